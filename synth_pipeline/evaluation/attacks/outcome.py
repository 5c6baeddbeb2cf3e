"""How an attack ended: how often it was right about training persons and about held-out ones, and what that risks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth_pipeline.evaluation import intervals
from synth_pipeline.protocols.measure import Findings, Score

Array = np.ndarray
FEWEST = 10
"""Guesses on either side below which a part is not told."""
PARTS = 40


@dataclass(frozen=True)
class Outcome:
    """Guesses about training persons (`hits` of `n`) and about held-out ones, who show what is right without a leak.

    `scale`: by how much the risk is multiplied, where only that part of train was within the guesses' reach.
    """

    name: str
    hits: int
    n: int
    hits_control: int
    n_control: int
    scale: float = 1.0

    @classmethod
    def of(cls, name: str, right: Array, right_control: Array, scale: float = 1.0) -> Outcome:
        return cls(name, int(right.sum()), len(right), int(right_control.sum()), len(right_control), scale)

    def risk(self, level: float = intervals.LEVEL) -> tuple[float, float, float]:
        """R = (a - c) / (1 - c) (Giomi et al. 2023, equation 2), never over 1, with its interval; without guesses all
        is possible."""
        value, low, high = intervals.risk((self.hits, self.n), (self.hits_control, self.n_control), level)
        value, low, high = (min(x * self.scale, 1.0) for x in (value, low, high))
        return (0.0 if math.isnan(value) else value), max(low, -1.0), high

    @property
    def detects(self) -> float:
        """The smallest risk that would be noticed: 2.8 standard deviations of R where there is none."""
        if not (self.n and self.n_control):
            return 1.0
        control = (self.hits_control + 1) / (self.n_control + 2)
        deviation = math.sqrt(control / (1 - control) * (1 / self.n + 1 / self.n_control))
        return min(intervals.noticed(deviation) * self.scale, 1.0)

    @property
    def tellable(self) -> bool:
        return min(self.n, self.n_control) >= FEWEST

    def to_json(self) -> dict[str, Any]:
        value, low, high = self.risk()
        return {
            "name": self.name,
            "rate": self.hits / self.n if self.n else None,
            "control": self.hits_control / self.n_control if self.n_control else None,
            "risk": value,
            "low": low,
            "high": high,
            "n": self.n,
            "n_control": self.n_control,
        }


def found(
    whole: Outcome,
    knows: str,
    parts: Sequence[Outcome] = (),
    note: str = "",
    interval: tuple[float, float, float] | None = None,
) -> Findings:
    """An attack's score, under the name of its outcome, and its entry in the details.

    `interval`: (value, low, high) where the score is not this one outcome's own.
    """
    value, low, high = interval or whole.risk()
    rates = f"{_percent(whole.hits, whole.n)} of {whole.n} guesses are right about training persons, "
    rates += f"{_percent(whole.hits_control, whole.n_control)} of {whole.n_control} about held-out ones"
    score = Score(value, low, high, 0.0, min(whole.n, whole.n_control), note or rates, detects=whole.detects)
    entry = {
        **whole.to_json(),
        "risk": value,
        "low": low,
        "high": high,
        "detects": whole.detects,
        "knows": knows,
        "parts": [part.to_json() for part in parts if part.tellable][:PARTS],
    }
    return Findings({whole.name: score}, {"attacks": [entry]})


def _percent(hits: int, n: int) -> str:
    return f"{hits / n:.1%}" if n else "none"
