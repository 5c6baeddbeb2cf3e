"""Charts as inline SVG: pure functions from aggregates to markup; colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from synth_pipeline.evaluation.report.svg import (
    WIDTH,
    circle,
    label,
    line,
    path,
    picture,
    polyline,
    rect,
    short,
    text,
)

MAX_MATRIX = 40
"""Columns that an association matrix shows; more would be too small to read."""
_LEFT, _RIGHT = 8, WIDTH - 8


def number(value: Any, digits: int = 3) -> str:
    """A number for people: three significant digits, thousands apart."""
    if value is None:
        return "–"
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        return str(value)
    x = float(value)
    if not math.isfinite(x):
        return "not a number" if math.isnan(x) else ("−∞" if x < 0 else "∞")
    if x.is_integer() and abs(x) < 1e12:
        shown = f"{int(x):,}"
    elif 1000 <= abs(x) < 1e6:
        shown = f"{x:,.0f}"
    else:
        shown = f"{x:.{digits}g}"
    return shown.replace("-", "−")


def percent(value: Any) -> str:
    """A share for people."""
    if value is None or not math.isfinite(value):
        return number(value)
    if 0 < value < 0.00005:
        return "<\u00a00.01\u00a0%"
    shown = f"{100 * value:.{1 if abs(value) >= 0.01 else 2}f}".rstrip("0").rstrip(".")
    return ("0" if shown in ("", "-", "-0") else shown).replace("-", "−") + "\u00a0%"


def gauge(
    value: float | None,
    low: float | None,
    high: float | None,
    *,
    limit: float | None = None,
    at_least: bool = False,
    reference: float | None = None,
    reference_name: str = "held-out rows",
    detects: float | None = None,
    verdict: str = "",
    show: Callable[[Any], str] = percent,
    span: tuple[float, ...] = (),
) -> Markup:
    """A value with its interval on a scale: the limit as a line, what lies beyond it shaded, the reference below it,
    and below that from where on an effect would be noticed."""
    marks = [x for x in (value, low, high, limit, reference, detects) if x is not None and math.isfinite(x)]
    if not marks:
        return Markup("")
    at = _clipped(_scale([*marks, *span], limit))
    y, height, tone = 30 if limit is not None else 8, 12, _class(verdict)
    parts = [rect("track", _LEFT, y, _RIGHT - _LEFT, height, round_=6)]
    if limit is not None:
        edge = at(limit)
        x0, x1 = (_LEFT, edge) if at_least else (edge, _RIGHT)
        parts += [rect("beyond", x0, y, x1 - x0, height, round_=6), line("limit", edge, y - 7, edge, y + height + 7)]
        parts.append(label("limit-text", edge, y - 12, f"{'at least' if at_least else 'at most'} {show(limit)}"))
    if low is not None and high is not None:
        parts.append(rect(f"interval {tone}", at(low), y + 3, max(2, at(high) - at(low)), 6, round_=3))
    beside = reference is not None and math.isfinite(reference)
    if reference is not None and beside:
        parts.append(path("reference", f"M{at(reference):.1f} {y + height + 2}l5 9h-10z"))
        parts.append(label("reference-text", at(reference), y + height + 24, f"{reference_name} {show(reference)}"))
    if value is not None and math.isfinite(value):
        parts.append(circle(f"value {tone}", at(value), y + height / 2, 7))
    below = y + height + (28 if beside else 10)
    if detects is not None and math.isfinite(detects):
        parts.append(line("notice", at(detects), y - 4, at(detects), y + height + 4))
        parts.append(label("notice-text", at(detects), below + 14, f"noticed from {show(detects)}"))
        below += 20
    spoken = show(value) + (f", 95 % interval {show(low)} to {show(high)}" if low is not None else "")
    spoken += f", limit {show(limit)}" if limit is not None else ""
    spoken += f", noticed from {show(detects)}" if detects is not None else ""
    return picture(below, parts, spoken, "gauge")


def _clipped(at: Callable[[float], float]) -> Callable[[float], float]:
    """Ends that are not finite run to the edge."""
    return lambda x: _LEFT if x == -math.inf else _RIGHT if x == math.inf else at(x)


def _scale(marks: list[float], limit: float | None) -> Callable[[float], float]:
    """From values to places, with room on both sides of the limit."""
    bottom, top = min(marks), max(marks)
    if limit is not None:
        bottom, top = min(bottom, limit - 0.15 * abs(limit)), max(top, limit + 0.35 * abs(limit or 0.01))
    if bottom >= 0 and bottom < 0.5 * top:
        bottom = 0.0
    room = 0.06 * ((top - bottom) or abs(top) or 1)
    bottom, top = bottom - (room if bottom else 0.3 * room), top + room
    return lambda x: _LEFT + (_RIGHT - _LEFT) * (x - bottom) / (top - bottom)


def histogram(edges: Sequence[Any], real: Sequence[int], synthetic: Sequence[int], *, name: str = "") -> Markup:
    """Two distributions over the same bins: the real one filled, the synthetic one as a line above it."""
    before, after = _shares(real), _shares(synthetic)
    n, base = len(after), 100
    if n == 0:
        return Markup("")
    top, step = max([*before, *after]) or 1, (_RIGHT - _LEFT) / n

    def y(share: float) -> str:
        return f"{base - 90 * share / top:.1f}"

    area = "".join(
        f"M{_LEFT + i * step:.1f} {base}V{y(share)}h{max(0.5, step - 0.5):.1f}V{base}z"
        for i, share in enumerate(before)
        if share
    )
    outline = "".join(f"V{y(share)}H{_LEFT + (i + 1) * step:.1f}" for i, share in enumerate(after))
    parts = [path("area", area), path("synthetic-line", f"M{_LEFT} {base}{outline}V{base}")]
    parts.append(line("axis", _LEFT, base, _RIGHT, base))
    if len(edges) == n + 1:
        for i in sorted({0, n // 2, n}):
            # the outer bins are open: what is written there is their inner edge, never an extreme value
            inner, sign = (edges[min(max(i, 1), n - 1)], {0: "< ", n: "≥ "}.get(i, "")) if n > 2 else (edges[i], "")
            parts.append(label("tick", _LEFT + i * step, base + 14, sign + short(_tick(inner), 20)))
    return picture(120, parts, f"Distribution of {name}: real rows filled, synthetic rows as a line")


def levels(
    names: Sequence[str], real: Sequence[int], synthetic: Sequence[int], *, name: str = "", most: int = 10
) -> Markup:
    """Paired bars, one pair per level; what does not fit is summed up in one last pair. Either side may be absent."""
    names = [str(level) for level in names]
    sides = [(kind, _shares(counts)) for kind, counts in (("real", real), ("synthetic", synthetic)) if len(counts)]
    if len(names) > most:
        names = [*names[: most - 1], "…" if names[-1] == "…" else f"{len(names) - most + 1} others"]
        sides = [(kind, [*shares[: most - 1], sum(shares[most - 1 :])]) for kind, shares in sides]
    row, left, room = 24, 128, WIDTH - 128 - 54
    top = max((share for _, shares in sides for share in shares), default=0) or 1
    parts = []
    for i, level in enumerate(names):
        y = 4 + i * row
        shown = "all others" if level == "…" else level
        parts.append(text("tick end", left - 6, y + 13, short(shown, 19), whole=shown))
        thick = 8 if len(sides) > 1 else 14
        for place, (kind, shares) in enumerate(sides):
            width = max(0.8, room * shares[i] / top)
            parts.append(rect(kind, left, y + (2 if place == 0 else 11), width, thick, round_=1.5))
        longest = left + room * max(shares[i] for _, shares in sides) / top if sides else left
        parts.append(text("tick", longest + 5, y + 13, percent(sides[-1][1][i]) if sides else ""))
    return picture(8 + row * len(names), parts, f"Levels of {name}: shares of rows")


def matrix(names: Sequence[str], values: Sequence[Sequence[float | None]], *, scale: str = "strength") -> Markup:
    """A square of cells; `strength`: 0 to 1 in one hue; `signed` and `difference`: one hue below 0, another above."""
    n = min(len(names), MAX_MATRIX)
    if n == 0:
        return Markup("")
    left, side = 92, WIDTH - 92 - 4
    cell = side / n
    parts = [rect("plane", left, 2, side, side)]
    for i in range(n):
        for j in range(n):
            value = values[i][j]
            if value is None or not math.isfinite(value):
                continue
            faint = min(1.0, abs(value) / (0.3 if scale == "difference" else 1.0))  # 0.3 is already another table
            kind = "strength" if scale == "strength" else "synthetic" if value > 0 else "real"
            if faint >= 0.03:
                parts.append(rect(kind, left + j * cell, 2 + i * cell, cell - 0.3, cell - 0.3, opacity=faint))
    size = min(10.5, max(5.0, cell * 0.85))
    parts += [
        text(
            "tick end",
            left - 5,
            2 + (i + 0.5) * cell + size * 0.35,
            short(name, int(84 / size / 0.56)),
            size=size,
            whole=name,
        )
        for i, name in enumerate(names[:n])
    ]
    return picture(side + 4, parts, "Strength of association between columns", "matrix")


def scatter(points: Sequence[Sequence[float]], density: Mapping[str, Any], *, most: int = 1500) -> Markup:
    """Synthetic rows as points over the real rows' density: cells with too few real rows stay blank."""
    xs, ys = density.get("x_edges") or [], density.get("y_edges") or []
    shown = np.asarray(points, dtype=float).reshape(-1, 2)
    shown = shown[np.isfinite(shown).all(axis=1)]
    shown = shown[:: max(1, -(-len(shown) // most))]
    low, high = _frame(shown, xs, ys)
    height = 270

    def x(value: float) -> float:
        return 6 + (WIDTH - 12) * (value - low[0]) / (high[0] - low[0])

    def y(value: float) -> float:
        return height - 6 - (height - 12) * (value - low[1]) / (high[1] - low[1])

    counts = np.asarray(density.get("counts") or [[0]], dtype=float)
    top = math.sqrt(counts.max()) or 1
    parts = [rect("plane", 0, 0, WIDTH, height, round_=6)]
    for i, j in np.argwhere(counts > 0) if len(xs) > 1 and len(ys) > 1 else ():
        shade = 0.12 + 0.78 * math.sqrt(counts[i, j]) / top
        width, tall = x(xs[i + 1]) - x(xs[i]) + 0.3, y(ys[j]) - y(ys[j + 1]) + 0.3
        parts.append(rect("real", x(xs[i]), y(ys[j + 1]), width, tall, opacity=shade))
    inside = shown[((shown >= low) & (shown <= high)).all(axis=1)]
    parts.append(path("dots", "".join(f"M{x(a):.0f} {y(b):.0f}h0" for a, b in inside)))
    return picture(height, parts, "First two principal components: real density, synthetic rows as points")


def bars(
    rows: Iterable[Mapping[str, Any]],
    *,
    show: Callable[[Any], str] = number,
    whole: float | None = None,
    spoken: str = "Comparison by bars",
) -> Markup:
    """Horizontal bars with intervals; `kind` of a row ("real", "synthetic") picks its colour. `whole`: what a bar of
    the full width stands for."""
    rows = [row for row in rows if row.get("value") is not None and math.isfinite(row["value"])]
    if not rows:
        return Markup("")
    top = whole or max(max(abs(row["value"]), abs(row.get("high") or 0)) for row in rows) or 1
    pitch, parts = 44, []

    def at(value: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * max(0.0, value) / top

    for i, row in enumerate(rows):
        y = 6 + i * pitch
        parts.append(text("tick", _LEFT, y + 9, short(row["name"], 44), whole=row["name"]))
        parts.append(text("tick strong end", _RIGHT, y + 9, show(row["value"])))
        if whole:
            parts.append(rect("track", _LEFT, y + 15, _RIGHT - _LEFT, 14, round_=3))
        parts.append(rect(_class(row.get("kind", "real")), _LEFT, y + 15, at(row["value"]) - _LEFT, 14, round_=3))
        if row.get("low") is not None and row.get("high") is not None:
            x0, x1 = at(row["low"]), at(row["high"])
            parts.append(path("whisker", f"M{x0:.1f} {y + 22}H{x1:.1f}M{x0:.1f} {y + 18}v8M{x1:.1f} {y + 18}v8"))
    told = "; ".join(f"{short(row['name'], 44)}: {show(row['value'])}" for row in rows)
    return picture(pitch * len(rows) + 4, parts, f"{spoken}: {told}")


def lines(points: Sequence[tuple[float, float]], *, name: str = "") -> Markup:
    """One curve over steps."""
    points = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(points) > 400:
        points = [*points[:: -(-len(points) // 400)], points[-1]]
    if not points:
        return Markup("")
    (x0, x1), (y0, y1) = ((min(p[k] for p in points), max(p[k] for p in points)) for k in (0, 1))
    left, base = 52, 106
    places = [
        (left + (_RIGHT - left) * (x - x0) / ((x1 - x0) or 1), base - 2 - 94 * (y - y0) / ((y1 - y0) or 1))
        for x, y in points
    ]
    parts = [line("axis", left, base, _RIGHT, base), polyline("synthetic-line", places)]
    parts += [text("tick end", left - 5, 14, number(y1)), label("tick", left, base + 15, f"step {number(x0)}")]
    if y0 != y1:
        parts.append(text("tick end", left - 5, base + 2, number(y0)))
    parts.append(label("tick", _RIGHT, base + 15, number(x1)) if x0 != x1 else circle("value", *places[0], 4))
    return picture(126, parts, f"{name} over steps")


def curves(edges: Sequence[float], series: Sequence[tuple[str, Sequence[int], str]]) -> Markup:
    """Several distributions over the same bins as lines of their own colours."""
    drawn = [(_shares(counts), kind) for _, counts, kind in series if sum(counts)]
    if not drawn:
        return Markup("")
    base, top = 110, max(max(shares) for shares, _ in drawn)
    step = (_RIGHT - _LEFT) / len(drawn[0][0])
    parts = [line("axis", _LEFT, base, _RIGHT, base)]
    for shares, kind in drawn:
        places = [(_LEFT + (i + 0.5) * step, base - 98 * share / top) for i, share in enumerate(shares)]
        parts.append(polyline(f"line-{_class(kind)}", places))
    parts += [
        label("tick", _LEFT, base + 14, number(edges[0])),
        label("tick", _RIGHT, base + 14, f"≥ {number(edges[-2])}"),
    ]
    return picture(128, parts, "Distances to the nearest row")


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts) or 1
    return [count / total for count in counts]


def _frame(points: np.ndarray, xs: Sequence[float], ys: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Lower left and upper right: the density's own frame, else the middle 99 % of the points."""
    if len(xs) > 1 and len(ys) > 1:
        low, high = np.array([xs[0], ys[0]], float), np.array([xs[-1], ys[-1]], float)
    elif len(points):
        low, high = np.quantile(points, (0.005, 0.995), axis=0)
    else:
        low, high = np.zeros(2), np.ones(2)
    return low, np.where(high > low, high, low + 1)


def _tick(edge: Any) -> str:
    if isinstance(edge, str):  # ISO dates: the day is enough
        return edge[:10] if len(edge) > 10 and edge[4:5] == "-" else edge
    return number(edge)


def _class(name: str) -> str:
    return name if not name or name.isidentifier() else "other"
