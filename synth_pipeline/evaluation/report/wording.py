"""How one measure is told: its title, its sense, and how its values are written."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from synth_pipeline.evaluation.report.charts import percent


@dataclass(frozen=True)
class Words:
    """One measure: its title, what it says, which way is good, and how its values are written."""

    title: str
    means: str
    good: str
    show: Callable[[Any], str] = percent
    at_least: bool = False
    group: str = "fidelity"
    span: tuple[float, ...] = ()
    """Values that the gauge always shows, so that a small difference looks small."""
    notices: str = "at a value of {x}"
    """Ends the sentence “would notice, with 80 % power, …”; `{x}` is the detection limit with its sign."""
    of: str = "rows"
    """What n counts."""
    beside: str = "held-out rows"
    """What the reference is."""

    def limit(self, detects: float | None, reference: float | None = None) -> str:
        """The detection limit with its sign; the limit lies below what is compared with where less is worse."""
        if detects is None or not math.isfinite(detects) or detects == reference:
            return "–"
        below = self.at_least if reference is None else detects < reference
        return f"{'≤' if below else '≥'}\u00a0{self.show(detects)}"

    def notice(self, detects: float | None, reference: float | None = None, *, over: bool = False) -> str:
        """The detection limit as a sentence; empty where there is none. `over`: told as held-out rows' and more."""
        limit = self.limit(detects, reference)
        if limit == "–":
            return ""
        if over and detects is not None:
            way = "below" if "≤" in limit else "above"
            said = f"at {self.show(abs(detects - (reference or 0.0)))} {way} held-out rows"
        else:
            said = self.notices.replace("{x}", limit)
        return f"Would notice with 80\u00a0% power {said}."


def signed(value: Any) -> str:
    """A difference of shares, with its sign."""
    shown = percent(value)
    return f"+{shown}" if isinstance(value, int | float) and math.isfinite(value) and value > 0 else shown
