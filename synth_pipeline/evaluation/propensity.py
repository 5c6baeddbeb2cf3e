"""The propensity score mean squared error: how far a tree's guesses of who is synthetic stray from a coin's."""

from __future__ import annotations

import math

import numpy as np

from synth_pipeline.evaluation.columns import Unfit, subset
from synth_pipeline.evaluation.intervals import noticed, z
from synth_pipeline.evaluation.table import features_of
from synth_pipeline.evaluation.threads import spread
from synth_pipeline.protocols.measure import Evidence, Findings, Score
from synth_pipeline.seeds import Seeds

Array = np.ndarray
_ROWS = 5_000
_PERMUTATIONS = 30
_LEAF = 50
"""Fewest rows of a leaf (a twentieth of all, but five, where that is less): trees that learn by heart tell nothing.

Measured on the audit ladder (adult flip10, mostly): of 20, 50, 200 and 500 rows of 10,000, 50 tells most.
"""


def pmse(evidence: Evidence) -> Findings:
    """`pmse_ratio`: the mean of (p - 1/2)² over synthetic and train rows (pMSE, Woo et al. 2009), p from a
    classification tree, over its mean when the labels are permuted (Snoke et al. 2018).

    The permutations are learnt by heart as much as the labels are, so 1 is what real rows would have; less tells of
    rows that both sides share. The interval takes the pMSE for a multiple of a non-central χ², whose spread without
    an effect the permutations give.
    """
    sides = evidence.train, evidence.holdout, evidence.synthetic
    size = min(_ROWS, *(side.num_rows for side in sides))
    if size < 10:
        raise Unfit("too few rows to compare")
    seeds = evidence.seeds.child("pmse")
    rng = seeds.generator()
    matrix = features_of(evidence).matrix
    train, holdout, synthetic = (matrix(subset(side, size, rng))[0] for side in sides)
    value, deviation = permuted(np.concatenate([train, synthetic]), seeds)
    reference, _ = permuted(np.concatenate([train, holdout]), seeds)
    half = z() * deviation * math.sqrt(max(2 * value - 1, 1))
    # the effect d with d = noticed(deviation · √(1 + 2 d))
    square = noticed(deviation) ** 2
    detects = 1 + square + math.sqrt(square**2 + square)
    note = f"a tree's pMSE is {value:.2f} times that of permuted labels; {size} rows a side"
    score = Score(value, max(value - half, 0.0), value + half, reference, size, note, detects=detects)
    return Findings({"pmse_ratio": score})


def permuted(rows: Array, seeds: Seeds) -> tuple[float, float]:
    """The ratio of the pMSE (first half of rows against second) to the mean of its permutations, and its standard
    deviation without an effect."""
    ranked = _ranked(rows)
    labels = np.repeat([False, True], [len(rows) // 2, len(rows) - len(rows) // 2])
    rng = seeds.child("permutations").generator()
    orders = [labels, *(rng.permutation(labels) for _ in range(_PERMUTATIONS))]
    seed = seeds.integer()
    value, *null = spread(lambda order: _pmse(ranked, order, seed), orders)
    mean = float(np.mean(null))
    if len(set(null)) == 1:
        raise Unfit("too few distinct rows for a tree")
    return value / mean, float(np.std(null, ddof=1)) / mean * math.sqrt(1 + 1 / _PERMUTATIONS)


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
