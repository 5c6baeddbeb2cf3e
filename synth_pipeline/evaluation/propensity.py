"""The propensity score mean squared error: how far a tree's guesses of who is synthetic stray from a coin's."""

from __future__ import annotations

import math

import numpy as np

from synth_pipeline.evaluation.columns import Unfit, subset
from synth_pipeline.evaluation.intervals import LEVEL, noticed, z
from synth_pipeline.evaluation.table import features_of
from synth_pipeline.evaluation.threads import spread
from synth_pipeline.protocols.measure import Evidence, Findings, Score
from synth_pipeline.seeds import Seeds

Array = np.ndarray
_ROWS = 5_000
_TREES = 4
_PERMUTATIONS = 32
_LEAF = 50
"""Fewest rows of a leaf (a twentieth of all, but five, where that is less): trees that learn by heart tell nothing.

Measured on the audit ladder (adult flip10, mostly): of 20, 50, 200 and 500 rows of 10,000, 50 tells most.
"""


def pmse(evidence: Evidence) -> Findings:
    """`pmse_ratio`: the mean of (p - 1/2)² over synthetic and train rows (pMSE, Woo et al. 2009), p from a
    classification tree, over its mean when the labels are permuted (Snoke et al. 2018).

    The permutations are learnt by heart as much as the labels are, so 1 is what real rows would have; less tells of
    rows that both sides share. The interval takes the pMSE for a multiple of a non-central χ², whose spread without
    an effect the permutations give; where rows are many, trees of several sets of them show how stable it is.
    """
    sides = evidence.train, evidence.holdout, evidence.synthetic
    size = min(_TREES * _ROWS, *(side.num_rows for side in sides))
    if size < 10:
        raise Unfit("too few rows to compare")
    seeds = evidence.seeds.child("pmse")
    rng = seeds.generator()
    matrix = features_of(evidence).matrix
    train, holdout, synthetic = (matrix(subset(side, size, rng))[0] for side in sides)
    value, deviation = permuted(train, synthetic, seeds)
    reference, unmoved = permuted(train, holdout, seeds)
    half = z() * deviation
    # the effect d with d = noticed(unmoved · √(1 + 2 d))
    square = noticed(unmoved) ** 2
    detects = 1 + square + math.sqrt(square**2 + square)
    note = f"trees' pMSE is {value:.2f} times that of permuted labels; {size} rows a side"
    score = Score(value, max(value - half, 0.0), value + half, reference, size, note, detects=detects)
    return Findings({"pmse_ratio": score})


def permuted(real: Array, other: Array, seeds: Seeds) -> tuple[float, float]:
    """The ratio of the mean pMSE to the mean of its permutations, and its standard deviation: from the permutations,
    and no less than from how the trees of several disjoint sets of rows differ."""
    from scipy.stats import t

    rng = seeds.child("permutations").generator()
    sets = max(len(real) // _ROWS, 1)
    sides = [np.array_split(rng.permutation(len(side)), sets) for side in (real, other)]
    jobs = []
    for mine, theirs in zip(*sides, strict=True):
        rows = _ranked(np.concatenate([real[np.sort(mine)], other[np.sort(theirs)]]))
        labels = np.repeat([False, True], [len(mine), len(theirs)])
        jobs += [(rows, labels), *((rows, rng.permutation(labels)) for _ in range(-(-_PERMUTATIONS // sets)))]
    seed = seeds.integer()
    found = np.reshape(spread(lambda job: _pmse(*job, seed), jobs), (sets, -1))
    null = found[:, 1:]
    if null.min() == null.max():
        raise Unfit("too few distinct rows for a tree")
    ratios = found[:, 0] / null.mean()
    value = float(ratios.mean())
    within = float(null.std(ddof=1) / null.mean()) * math.sqrt((1 / sets + 1 / null.size) * max(2 * value - 1, 1))
    if sets == 1:
        return value, within
    between = float(ratios.std(ddof=1)) / math.sqrt(sets) * float(t.ppf((1 + LEVEL) / 2, sets - 1)) / z()
    return value, max(within, between)


def _pmse(rows: Array, labels: Array, seed: int) -> float:
    from sklearn.tree import DecisionTreeClassifier

    leaf = max(5, min(_LEAF, len(rows) // 20))
    tree = DecisionTreeClassifier(min_samples_leaf=leaf, random_state=seed).fit(rows, labels)
    return float(((tree.predict_proba(rows)[:, 1] - labels.mean()) ** 2).mean())


def _ranked(rows: Array) -> Array:
    """Each column's dense ranks: the same splits, and no number is too large for a tree. Missing stays missing."""
    out = np.empty(rows.shape, np.float32)
    for place, column in enumerate(rows.T):
        known = ~np.isnan(column)
        out[:, place] = np.nan
        out[known, place] = np.unique(column[known], return_inverse=True)[1]
    return out
