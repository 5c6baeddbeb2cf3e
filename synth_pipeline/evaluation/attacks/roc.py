"""ROC curves of an attack that was made in turns, each with other non-members: areas, hit rates and their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from synth_pipeline.evaluation.intervals import midranks, wilson

Array = np.ndarray


@dataclass(frozen=True)
class Fold:
    """One turn: something of every member and of that turn's non-members, such as the attacker's scores."""

    members: Array
    others: Array


@dataclass(frozen=True)
class Area:
    """An area under the ROC curve, worth so many independent trials."""

    value: float
    n: float

    def bounds(self, level: float) -> tuple[float, float, float]:
        return self.value, *wilson(self.value, self.n, level)


def area(folds: Sequence[Fold], inside: Sequence[Fold] | None = None, links: Array | None = None) -> Area:
    """The mean area of all turns, each weighing as its non-members; `inside`: of the records that it marks alone.

    Its variance is DeLong's (1988), with each member's part taken over all turns, for it is the same person in each.
    `links`: pairs (non-member of the first turn, of the second) that depend on each other: each is the other's nearest
    in the attacker's sample; without their covariance a quarter of the variance is missed.
    The interval is Wilson's at the number of trials which that variance is worth: sound near 0 and 1 too.
    """
    marks = inside or [Fold(np.ones(len(f.members), bool), np.ones(len(f.others), bool)) for f in folds]
    total = sum(int(mark.others.sum()) for mark in marks)
    value = variance = 0.0
    pull = np.zeros(len(folds[0].members))  # of each member on the value
    pulls = [np.zeros(len(fold.others)) for fold in folds]
    for fold, mark, other in zip(folds, marks, pulls, strict=True):
        positive, negative = fold.members[mark.members], fold.others[mark.others]
        m, n = len(positive), len(negative)
        ranks = midranks(np.concatenate([positive, negative]))
        above = (ranks[:m] - midranks(positive)) / n  # per member: the part of the non-members below it
        below = 1 - (ranks[m:] - midranks(negative)) / m
        mean = float(above.mean())
        value += mean * n / total
        pull[mark.members] += (above - mean) / m * n / total
        other[mark.others] = (below - mean) / total
        variance += (float(below.var(ddof=1)) if n > 1 else 0.25) / n * (n / total) ** 2
    if links is not None:
        variance += 2 * max(float((pulls[0][links[:, 0]] * pulls[1][links[:, 1]]).sum()), 0.0)
    m = int(np.any([mark.members for mark in marks], axis=0).sum())
    variance += float((pull**2).sum()) * m / (m - 1) if m > 1 else 0.25
    most = 3 * m * total / (m + total + 1)  # what a worthless attack's area is worth
    rest = value * (1 - value)
    return Area(value, min(most, rest / variance) if rest > 0 and variance > 0 else most)


def roc(folds: Sequence[Fold], at: Array) -> Array:
    """The part of members above the threshold at each false positive rate, the mean of all turns."""
    total = sum(len(fold.others) for fold in folds)
    return np.sum([_interpolated(fold, at) * len(fold.others) / total for fold in folds], axis=0)


def hits(folds: Sequence[Fold], fpr: float) -> Callable[[float], tuple[float, float, float]]:
    """The true positive rate at a false positive rate, as (value, low, high) at a level.

    Two errors are put together (MOVER): that of a rate among the members, and that of the threshold, which is only
    known by the non-members: the true one lies above a Binomial(n, fpr) number of them.
    """
    total = sum(len(fold.others) for fold in folds)
    value = float(roc(folds, np.array([fpr]))[0])
    variance = _variance(folds, fpr)
    spread = value * (1 - value)
    m = len(folds[0].members)
    n = min(m, spread / variance) if spread > 0 and variance > 0 else m

    def bounds(level: float) -> tuple[float, float, float]:
        from scipy.stats import binom

        low, high = wilson(value, n, level)
        under, over = (value - low) ** 2, (high - value) ** 2
        for fold in folds:
            size = len(fold.others)
            ends = binom.ppf([(1 - level) / 2, (1 + level) / 2], size, fpr) / size
            least, here, most = _interpolated(fold, np.array([ends[0], fpr, ends[1]])) * size / total
            under, over = under + (here - least) ** 2, over + (most - here) ** 2
        return value, max(value - math.sqrt(under), 0.0), min(value + math.sqrt(over), 1.0)

    return bounds


def _interpolated(fold: Fold, at: Array) -> Array:
    """The ROC curve as a line through its points: equal scores are told apart by chance."""
    thresholds = np.unique(np.concatenate([fold.members, fold.others]))
    rates = [1 - np.searchsorted(np.sort(side), thresholds, "left") / len(side) for side in (fold.others, fold.members)]
    false, true = (np.concatenate([[0.0], rate[::-1]]) for rate in rates)
    return np.interp(at, false, true)


def _variance(folds: Sequence[Fold], fpr: float) -> float:
    """Of the hit rate among members, each one's hits taken over all turns."""
    total = sum(len(fold.others) for fold in folds)
    hit = np.zeros(len(folds[0].members))
    for fold in folds:
        threshold = np.quantile(fold.others, 1 - fpr)
        hit += ((fold.members > threshold) + 0.5 * (fold.members == threshold)) * len(fold.others) / total
    return float(hit.var(ddof=1)) / len(hit) if len(hit) > 1 else 0.25
