"""Intervals of rates, shares, means and areas under the curve: closed forms, no data."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

Array = np.ndarray
LEVEL = 0.95


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


def difference(first: Array, second: Array, level: float = LEVEL) -> tuple[float, float, float]:
    """mean(first) - mean(second) of independent samples, with its normal interval."""
    value = float(first.mean() - second.mean())
    variance = sum(float(a.var(ddof=1)) / len(a) if len(a) > 1 else 0.25 for a in (first, second))
    half = z(level) * math.sqrt(variance)
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
