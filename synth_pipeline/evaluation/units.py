"""Persons (or other units) behind the real rows: who shares rows, and one row of each."""

from __future__ import annotations

import numpy as np

from synth_pipeline.protocols.measure import Evidence

Array = np.ndarray


def units_of(evidence: Evidence) -> tuple[Array, Array]:
    """One integer per row of train and of holdout, dense from 0, shared by the rows of one person."""
    rows = evidence.train.num_rows, evidence.holdout.num_rows
    if evidence.train_units is None or evidence.holdout_units is None:
        return np.arange(rows[0]), np.arange(rows[0], sum(rows))
    first, second = np.asarray(evidence.train_units), np.asarray(evidence.holdout_units)
    _, dense = np.unique(np.concatenate([first, second]), return_inverse=True)
    return dense[: rows[0]], dense[rows[0] :]


def one_each(evidence: Evidence, most: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Rows of train and of holdout to attack: one random row of each person, so that attacks are independent trials;
    at most `most` a side, in stored order."""
    out = []
    for side in units_of(evidence):
        order = rng.permutation(len(side))
        _, first = np.unique(side[order], return_index=True)
        rows = order[first]
        out.append(np.sort(rng.choice(rows, most, replace=False) if len(rows) > most else rows))
    return out[0], out[1]


def variance(values: Array, units: Array | None = None) -> float:
    """Of the mean of `values`, where the rows of one unit are one observation."""
    apart = values - values.mean()
    sums = apart if units is None else np.bincount(np.unique(units, return_inverse=True)[1], apart)
    if len(sums) < 2:
        return 0.25
    return float((sums**2).sum()) / len(values) ** 2 * len(sums) / (len(sums) - 1)
