"""Intervals of rates, shares, means and areas under the curve: closed forms, no data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np

from synth_pipeline.evaluation.units import variance

Array = np.ndarray
LEVEL = 0.95
_EXACT = 200
"""Trials below which an interval is the exact one."""


def z(level: float = LEVEL) -> float:
    """Two-sided normal quantile: 1.96 for 95 %."""
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson(share: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a share seen in n (effective) trials; with none, all is possible."""
    if n <= 0:
        return 0.0, 1.0
    q = z(level) ** 2 / n
    centre = (share + q / 2) / (1 + q)
    half = math.sqrt(q * (share * (1 - share) + q / 4)) / (1 + q)
    # the ends are exact at 0 and 1, where rounding would leave a speck
    return (0.0 if share <= 0 else max(0.0, centre - half)), (1.0 if share >= 1 else min(1.0, centre + half))


def clopper_pearson(hits: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """The exact interval of a share (Clopper & Pearson 1934): never covers too seldom, whatever n."""
    from scipy.stats import beta

    tail = (1 - level) / 2
    low = 0.0 if hits <= 0 else float(beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits >= n else float(beta.ppf(1 - tail, hits + 1, n - hits))
    return low, high


def share(hits: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a share of independent trials: exact below `_EXACT` trials, Wilson's above."""
    return clopper_pearson(hits, n, level) if 0 < n < _EXACT else wilson(hits / n if n else 0.0, n, level)


def risk(attack: tuple[float, float], control: tuple[float, float], level: float = LEVEL) -> tuple[float, float, float]:
    """R = (a - c) / (1 - c), what an attack gains of what chance leaves over (Giomi et al. 2023), and its interval.

    a, c: success rates given as (hits, n) on training units and on held-out ones. 1 - R is the ratio of two rates of
    failure; its interval is put together from both rates' own (MOVER-R, Donner & Zou 2012).
    """
    (hits, n), (hits_control, n_control) = attack, control
    if not n or not n_control:
        return math.nan, -math.inf, 1.0
    failed, failed_control = 1 - hits / n, 1 - hits_control / n_control
    if not failed_control:  # chance alone is always right: nothing is left to gain
        return 0.0, -math.inf, 1.0
    top = [1 - end for end in reversed(share(hits, n, level))]
    bottom = [1 - end for end in reversed(share(hits_control, n_control, level))]
    low, high = _ratio(failed, top, failed_control, bottom)
    return 1 - failed / failed_control, 1 - high, 1 - low


def _ratio(top: float, tops: list[float], bottom: float, bottoms: list[float]) -> tuple[float, float]:
    """Interval of top / bottom from the intervals of both (equations 9 and 10 of Donner & Zou)."""
    product = top * bottom
    under = tops[0] * bottoms[1] * (2 * top - tops[0]) * (2 * bottom - bottoms[1])
    over = tops[1] * bottoms[0] * (2 * top - tops[1]) * (2 * bottom - bottoms[0])
    low = (product - math.sqrt(max(product**2 - under, 0.0))) / (bottoms[1] * (2 * bottom - bottoms[1]))
    if bottoms[0] * (2 * bottom - bottoms[0]) <= 0:
        return max(low, 0.0), math.inf
    high = (product + math.sqrt(max(product**2 - over, 0.0))) / (bottoms[0] * (2 * bottom - bottoms[0]))
    return max(low, 0.0), high


def worst(parts: Sequence[Callable[[float], tuple[float, float, float]]]) -> tuple[int, float, float, float]:
    """Which of several risks is the largest, its value, and an interval of the largest true one.

    Each part gives (value, low, high) at a level. The upper end needs no correction: it is at least that of whichever
    part is truly largest. The lower end claims that some part is so large: Bonferroni.
    """
    at = [part(LEVEL) for part in parts]
    place = max(range(len(at)), key=lambda i: at[i][0])
    corrected = (part(1 - (1 - LEVEL) / len(parts))[1] for part in parts)
    return place, at[place][0], min(max(corrected), at[place][0]), max(high for _, _, high in at)


def noticed(deviation: float) -> float:
    """The effect that a 95 % interval of this standard deviation (under no effect) separates from none in 80 % of
    cases: 2.8 deviations."""
    return (z() + NormalDist().inv_cdf(0.8)) * deviation


def holm(p: Sequence[float], alpha: float = 1 - LEVEL) -> list[bool]:
    """Which hypotheses are refused so that all of it errs with probability alpha at most (Holm 1979)."""
    refused = [False] * len(p)
    for step, i in enumerate(sorted(range(len(p)), key=lambda i: (math.isnan(p[i]), p[i]))):
        if not p[i] <= alpha / (len(p) - step):
            break
        refused[i] = True
    return refused


def effective(share: float, variance: float, n: float) -> float:
    """How many independent trials a share of this variance is worth, at most n."""
    spread = share * (1 - share)
    return n if variance <= 0 or spread <= 0 else min(n, spread / variance)


def searched(queries: int, train: int, holdout: int) -> int:
    """How many synthetic rows ask for their nearest real row, of at least `queries`.

    More where the split is uneven, for the excess has the share's error over 1 - π; but no more than eight to a real
    row, where they tell nothing new, or than a search of 4·10⁹ pairs takes.
    """
    real = max(train + holdout, 1)
    uneven = min(max(train / max(holdout, 1), 1.0), 8.0)
    return int(min(queries * uneven, max(queries, 4e9 / real), 8 * real))


def difference(
    first: Array, second: Array, units: tuple[Array | None, Array | None] = (None, None)
) -> tuple[float, float, float]:
    """mean(first) - mean(second) of independent samples, with its normal interval; `units`: who shares rows of each."""
    value = float(first.mean() - second.mean())
    half = z() * math.sqrt(variance(first, units[0]) + variance(second, units[1]))
    return value, value - half, value + half


def auc(scores: Array, labels: Array) -> tuple[float, float]:
    """Area under the ROC curve, ties counted half, and its variance (DeLong 1988)."""
    positive, negative = scores[labels], scores[~labels]
    m, n = len(positive), len(negative)
    if not m or not n:
        return math.nan, math.nan
    ranks = midranks(np.concatenate([positive, negative]))
    value = (ranks[:m].sum() - m * (m + 1) / 2) / (m * n)
    above = (ranks[:m] - midranks(positive)) / n  # per positive: share of negatives below it
    below = 1 - (ranks[m:] - midranks(negative)) / m
    variance = (above.var(ddof=1) / m if m > 1 else 0.25) + (below.var(ddof=1) / n if n > 1 else 0.25)
    return float(value), float(variance)


def midranks(values: Array) -> Array:
    """Ranks from 1, ties sharing their mean."""
    order = np.sort(values)
    return (np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right") + 1) / 2
