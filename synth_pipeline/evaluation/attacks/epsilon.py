"""How large ε must at least be, given how often an attack was right: closed forms, no data."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from synth_pipeline.evaluation.intervals import clopper_pearson

_MOST = 60.0
"""exp(-60) is far below what a double tells from nothing beside 1: no finite number of guesses certifies more."""


def lower_bound(right: int, guesses: int, canaries: int, delta: float = 0.0, confidence: float = 0.95) -> float:
    """The largest ε that so many right guesses refute: the one-run audit (Steinke, Nasr & Jagielski 2023).

    Of `canaries` records each was put in by a fair coin; the attacker guessed the coins of `guesses` of them, chosen
    and guessed from the result alone, and `right` of the guesses were right. Under (ε, δ)-differential privacy that
    happens with probability below 1 - `confidence` (their theorem 5.2); 0 if chance alone explains it.
    """
    if not 0 <= right <= guesses <= canaries:
        raise ValueError("0 ≤ right ≤ guesses ≤ canaries does not hold")
    if not 0 <= delta <= 1 or not 0 < confidence < 1:
        raise ValueError("δ lies between 0 and 1, the confidence strictly between them")
    return _largest(lambda epsilon: tail(right, guesses, canaries, epsilon, delta) < 1 - confidence)


def tail(right: int, guesses: int, canaries: int, epsilon: float, delta: float = 0.0) -> float:
    """At most how probable `right` or more right guesses are if the mechanism is (ε, δ)-differentially private.

    δ = 0: P[Bin(r, e^ε / (1 + e^ε)) ≥ W]. δ > 0 adds 2 m δ · max over i of P[W > Bin ≥ W - i] / i.
    """
    from scipy.stats import binom

    share = 1 / (1 + math.exp(-epsilon))  # how often randomised response tells the truth
    beta = float(binom.sf(right - 1, guesses, share))
    if delta and right:
        below = np.arange(right - 1, -1, -1)
        mass = np.cumsum(binom.pmf(below, guesses, share))
        beta += 2 * canaries * delta * float((mass / np.arange(1, right + 1)).max())
    return min(beta, 1.0)


def two_sample(
    hits: int, members: int, alarms: int, others: int, delta: float = 0.0, confidence: float = 0.95
) -> float:
    """ε̂ = ln((TPR_low - δ) / FPR_high), each rate's Clopper-Pearson interval at `confidence` (Nasr et al. 2021).

    `hits` of `members` and `alarms` of `others`, all of them independent runs, were taken for members.
    """
    low = clopper_pearson(hits, members, confidence)[0] if members else 0.0
    high = clopper_pearson(alarms, others, confidence)[1] if others else 1.0
    return max(math.log((low - delta) / high), 0.0) if low > delta else 0.0


def detectable(guesses: int, confidence: float = 0.95, power: float = 0.8) -> float | None:
    """The smallest ε of randomised response that `guesses` guesses show to be above 0 with that power; None: none."""
    from scipy.stats import binom

    needed = int(binom.isf(1 - confidence, guesses, 0.5)) + 1  # the fewest right guesses that refute ε = 0
    while needed <= guesses and tail(needed, guesses, guesses, 0.0) >= 1 - confidence:
        needed += 1
    if guesses < 1 or needed > guesses:
        return None
    return _largest(lambda epsilon: tail(needed, guesses, guesses, epsilon) < power)


def _largest(refuted: Callable[[float], bool]) -> float:
    """Where a condition that holds up to some ε ends, from below; 0 where it never holds."""
    if not refuted(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while high < _MOST and refuted(high):
        low, high = high, 2 * high
    if high >= _MOST:
        return low
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low
