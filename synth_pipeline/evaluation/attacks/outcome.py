"""How an attack ended: how often it was right about training persons and about held-out ones, and what that risks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth_pipeline.evaluation import intervals
from synth_pipeline.evaluation.units import units_of
from synth_pipeline.protocols.measure import Evidence, Findings, Score

Array = np.ndarray
FEWEST = 10
"""Guesses on either side below which a part is not told."""
PARTS = 40
_NORMAL = 30
"""Persons below which their spread says little about the error of their mean."""


@dataclass(frozen=True)
class Outcome:
    """Guesses about training persons (`hits` of `n`) and about held-out ones, who show what is right without a leak.

    `scale`: by how much the risk is multiplied, where only that part of train was within the guesses' reach.
    `persons`: on either side, where n counts something else.
    """

    name: str
    hits: float
    n: float
    hits_control: float
    n_control: float
    scale: float = 1.0
    persons: tuple[int, int] | None = None

    @classmethod
    def of(cls, name: str, right: Array, right_control: Array, scale: float = 1.0) -> Outcome:
        return cls(name, int(right.sum()), len(right), int(right_control.sum()), len(right_control), scale)

    @classmethod
    def of_means(cls, name: str, right: Array, right_control: Array) -> Outcome:
        """From each person's share of right guesses: as many independent trials as their means are worth."""
        (hits, n), (hits_control, n_control) = _trials(right), _trials(right_control)
        return cls(name, hits, n, hits_control, n_control, persons=(len(right), len(right_control)))

    @classmethod
    def of_persons(cls, name: str, whom: Array, whom_control: Array, scale: float = 1.0, fewest: int = 0) -> Outcome:
        """From the person whom each guess is right about, -1 where it is wrong. Guesses about the same person are right
        together: they are worth as many trials less as they crowd (Kish's design effect). Where fewer than `fewest` are
        made, the missing ones count as wrong on both sides."""
        (hits, n), (hits_control, n_control) = _crowded(whom, fewest), _crowded(whom_control, fewest)
        return cls(name, hits, n, hits_control, n_control, scale, (len(whom), len(whom_control)))

    def risk(self, level: float = intervals.LEVEL) -> tuple[float, float, float]:
        """R = (a - c) / (1 - c) (Giomi et al. 2023, equation 2), never over 1, with its interval; without guesses all
        is possible."""
        value, low, high = intervals.risk((self.hits, self.n), (self.hits_control, self.n_control), level)
        value, low, high = (max(min(x * self.scale, 1.0), -1.0) for x in (value, low, high))
        return (0.0 if math.isnan(value) else value), low, high

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
        return min(self.targets) >= FEWEST

    @property
    def targets(self) -> tuple[int, int]:
        return self.persons or (int(self.n), int(self.n_control))

    def to_json(self) -> dict[str, Any]:
        value, low, high = self.risk()
        return {
            "name": self.name,
            "rate": self.hits / self.n if self.n else None,
            "control": self.hits_control / self.n_control if self.n_control else None,
            "risk": value,
            "low": low,
            "high": high,
            "n": self.targets[0],
            "n_control": self.targets[1],
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
    score = Score(value, low, high, 0.0, min(whole.targets), note or rates(whole), detects=whole.detects)
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


def impossible(names: Sequence[str], evidence: Evidence, knows: str, note: str) -> Findings:
    """Of attacks that such a table leaves no room for: no risk, beyond doubt."""
    n, n_control = (len(np.unique(side)) for side in units_of(evidence))
    each = [found(Outcome(name, 0, n, 0, n_control), knows, note=note, interval=(0.0, 0.0, 0.0)) for name in names]
    scores = {name: score for part in each for name, score in part.scores.items()}
    return Findings(scores, {"attacks": [entry for part in each for entry in part.details["attacks"]]})


def rates(whole: Outcome) -> str:
    """Both rates in words."""
    (n, n_control), told = whole.targets, whole.to_json()
    if not (n and n_control):
        return "no guess could be made"
    return (
        f"{told['rate']:.1%} of {n} guesses about training persons are right, "
        f"{told['control']:.1%} of {n_control} about held-out ones"
    )


def _trials(right: Array) -> tuple[float, float]:
    """(hits, trials) of equal mean and error."""
    n, mean = len(right), float(right.mean()) if len(right) else 0.0
    if n < _NORMAL or not 0 < mean < 1:
        return mean * n, float(n)
    variance = float(right.var(ddof=1)) / n
    trials = mean * (1 - mean) / variance if variance > 0 else float(n)
    return mean * trials, trials


def _crowded(whom: Array, fewest: int) -> tuple[float, float]:
    _, times = np.unique(whom[whom >= 0], return_counts=True)
    effect = float((times**2).sum() / times.sum()) if len(times) else 1.0
    return float(times.sum()) / effect, max(len(whom), fewest) / effect
