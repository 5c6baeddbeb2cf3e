"""Forest plots and ROC curves as inline SVG: many intervals on one scale, beside the line that chance draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from synth_pipeline.evaluation.report.charts import number
from synth_pipeline.evaluation.report.svg import (
    WIDTH,
    circle,
    finite,
    label,
    line,
    path,
    picture,
    polyline,
    rect,
    short,
    text,
)

_LEFT, _RIGHT = 10, WIDTH - 10
_PITCH = 36


def forest(
    rows: Iterable[Mapping[str, Any]],
    spoken: str,
    *,
    chance: float | None = None,
    chance_name: str = "chance",
    show: Callable[[Any], str] = number,
    span: Sequence[float] = (),
    mark_name: str = "held-out rows",
) -> Markup:
    """One line per row: `name`, `value`, `low`, `high`; `mark` is a reference, `kind` a colour.

    An interval without an end runs to the edge of the picture.
    """
    rows = list(rows)
    ends = [row.get(key) for row in rows for key in ("value", "low", "high", "mark")]
    known = [float(x) for x in [*ends, *span, chance] if finite(x)]
    if not known or not any(finite(row.get("value")) for row in rows):
        return Markup("")
    bottom, top = min(known), max(known)
    room = 0.04 * ((top - bottom) or abs(top) or 1)
    bottom, top = bottom - room, top + room

    def at(x: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * (min(max(x, bottom), top) - bottom) / (top - bottom)

    head = 20 if chance is not None else 4
    base = head + _PITCH * len(rows)
    parts: list[str] = []
    if chance is not None:
        parts.append(label("reference-text", at(chance), head - 8, f"{chance_name} {show(chance)}"))
    for i, row in enumerate(rows):
        parts += _row(row, head + i * _PITCH, at, show)
        if chance is not None:  # beside each bar, so that no name is struck through
            top_ = head + i * _PITCH + 15
            parts.append(line("chance", at(chance), top_, at(chance), top_ + 16))
    parts.append(line("axis", _LEFT, base + 2, _RIGHT, base + 2))
    parts += [label("tick", _LEFT, base + 16, show(min(known))), label("tick", _RIGHT, base + 16, show(max(known)))]
    told = "; ".join(_told(row, show, mark_name) for row in rows[:40])
    beside = f" {chance_name.capitalize()}: {show(chance)}." if chance is not None else ""
    return picture(base + 22, parts, f"{spoken}.{beside} {told}", "forest")


def roc(fpr: Sequence[float], tpr: Sequence[float], *, at: float = 0.01) -> Markup:
    """The curve twice: on plain axes, and on logarithmic ones, where the few who are surely found can be seen."""
    points = sorted((float(x), float(y)) for x, y in zip(fpr, tpr, strict=False) if finite(x) and finite(y))
    if len(points) < 2:
        return Markup("")
    side, gap, head, floor = 150, 44, 22, 1e-3
    log = [(x, y) for x, y in points if x >= floor and y >= floor]
    parts: list[str] = []
    for panel, (title, curve) in enumerate((("plain axes", points), ("logarithmic axes", log))):
        left = 14 + panel * (side + gap)

        def place(value: float, panel: int = panel) -> float:
            return math.log10(max(value, floor)) / 3 + 1 if panel else value

        def spot(
            x: float, y: float, left: float = left, place: Callable[[float], float] = place
        ) -> tuple[float, float]:
            return left + side * place(x), head + side * (1 - place(y))

        parts += [text("tick", left, head - 8, title), rect("plane", left, head, side, side)]
        parts.append(polyline("diagonal", [spot(floor if panel else 0, floor if panel else 0), spot(1, 1)]))
        if panel:
            x, _ = spot(at, 1)
            parts += [line("grid", x, head, x, head + side), text("tick", x + 3, head + 12, _share(at))]
        if curve:
            parts.append(polyline("line-synthetic thin", [spot(x, y) for x, y in _thinned(curve)]))
        low, high = ("0.1 %", "100 %") if panel else ("0", "100 %")
        parts += [
            text("tick", left, head + side + 14, low),
            text("tick end", left + side, head + side + 14, high),
        ]
    parts.append(
        text("tick middle", WIDTH / 2, head + side + 30, "wrongly accused (across) and rightly recognised (up)")
    )
    spoken = "ROC curve of the attacker, beside the diagonal of chance: " + ", ".join(
        f"{_share(x)} wrongly accused, {_share(y)} recognised" for x, y in _thinned(points, 6)
    )
    return picture(head + side + 38, parts, spoken, "roc")


def _row(row: Mapping[str, Any], y: float, at: Callable[[float], float], show: Callable[[Any], str]) -> list[str]:
    value, low, high, mark = (row.get(key) for key in ("value", "low", "high", "mark"))
    kind = row.get("kind") or "plain"
    shown = show(value) if finite(value) else "not measurable"
    parts = [text("tick", _LEFT, y + 11, short(row["name"], 46), whole=row["name"])]
    parts.append(text("tick strong end", _RIGHT, y + 11, shown))
    middle = y + 23
    parts.append(rect("track", _LEFT, middle - 3, _RIGHT - _LEFT, 6, round_=3))
    if low is not None and high is not None and not (math.isnan(low) or math.isnan(high)):
        parts.append(rect(f"interval {kind}", at(low), middle - 3, max(2, at(high) - at(low)), 6, round_=3))
    if finite(mark):
        parts.append(path("reference", f"M{at(mark):.1f} {middle + 4:.1f}l4 7h-8z"))
    if finite(value):
        parts.append(circle(f"value {kind}", at(value), middle, 5.5))
    return parts


def _told(row: Mapping[str, Any], show: Callable[[Any], str], mark_name: str) -> str:
    if not finite(row.get("value")):
        return f"{short(row['name'], 60)}: not measurable"
    said = f"{short(row['name'], 60)}: {show(row['value'])}"
    if row.get("low") is not None and row.get("high") is not None:
        said += f" ({show(row['low'])} to {show(row['high'])})"
    return said + (f", {mark_name} {show(row['mark'])}" if finite(row.get("mark")) else "")


def _thinned(points: list[tuple[float, float]], most: int = 200) -> list[tuple[float, float]]:
    return points if len(points) <= most else [*points[:: -(-len(points) // most)], points[-1]]


def _share(value: float) -> str:
    return f"{100 * value:.3g}\u00a0%"
