"""The few SVG marks that charts are drawn with; every text is escaped here and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeGuard

from markupsafe import Markup, escape

WIDTH = 360
"""All charts are this wide, so that their text has the same size on a phone and in a column of a wide page."""


def picture(height: float, marks: Iterable[str], spoken: str, kind: str = "chart") -> Markup:
    """A whole drawing; `spoken` is what a screen reader says of it."""
    box = f'viewBox="0 0 {WIDTH} {_n(height)}" role="img" aria-label="{escape(spoken)}"'
    return Markup(f'<svg class="{kind}" {box}>{"".join(marks)}</svg>')  # noqa: S704 - marks come from below


def rect(kind: str, x: float, y: float, width: float, height: float, *, round_: float = 0, opacity: float = 1) -> str:
    corner = f' rx="{_n(round_)}"' if round_ else ""
    faint = f' fill-opacity="{opacity:.2f}"' if opacity < 1 else ""
    size = f'x="{_n(x)}" y="{_n(y)}" width="{_n(max(0.0, width))}" height="{_n(max(0.0, height))}"'
    return f'<rect class="{kind}" {size}{corner}{faint}/>'


def path(kind: str, steps: str) -> str:
    return f'<path class="{kind}" d="{steps}"/>'


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"/>'


def circle(kind: str, x: float, y: float, radius: float) -> str:
    return f'<circle class="{kind}" cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}"/>'


def text(kind: str, x: float, y: float, words: Any, *, size: float | None = None, whole: Any = None) -> str:
    """`whole`: what pointing at a shortened text shows."""
    tip = f"<title>{escape(short(whole, 200))}</title>" if whole is not None and str(whole) != str(words) else ""
    small = f' font-size="{_n(size)}"' if size else ""
    return f'<text class="{kind}" x="{_n(x)}" y="{_n(y)}"{small}>{escape(words)}{tip}</text>'


def label(kind: str, x: float, y: float, words: str) -> str:
    """A text around x that stays inside the picture."""
    half = 3.4 * len(words)
    anchor = "start" if x - half < 4 else "end" if x + half > WIDTH - 4 else "middle"
    return text(f"{kind} {anchor}", min(max(x, 6), WIDTH - 6), y, words)


def polyline(kind: str, points: Iterable[tuple[float, float]]) -> str:
    return path(kind, "".join(f"{'L' if i else 'M'}{_n(x)} {_n(y)}" for i, (x, y) in enumerate(points)))


def short(words: Any, most: int) -> str:
    """Names are anybody's: one of 10,000 characters stays one line."""
    words = str(words)
    return words if len(words) <= most else words[: max(1, most - 1)] + "…"


def finite(value: Any) -> TypeGuard[float]:
    """Whether a value can be drawn."""
    return isinstance(value, int | float) and math.isfinite(value)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
