"""How unusual records are among the real ones, told by their own values alone: never by which real rows lie near."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synth_pipeline.protocols.points import Points, Vectors

Array = np.ndarray


def rarity(records: Points | Vectors, real: Sequence[Points | Vectors]) -> Array:
    """Mixed columns: the sum of -log p, with p how many real rows have the level, or lie as far out on the axis;
    vectors: the distance to the real ones' mean. It treats train and holdout alike."""
    if isinstance(records, Vectors):
        pooled = np.concatenate([side.values for side in real if isinstance(side, Vectors)])
        return np.asarray(np.linalg.norm(records.values - pooled.mean(0), axis=1), dtype=np.float64)
    sides = [side for side in real if isinstance(side, Points)]
    rows = sum(map(len, sides))
    out = np.zeros(len(records))
    for place, axis in enumerate(records.axes):
        known = np.sort(np.concatenate([side.axes[place] for side in sides]))
        under, over = np.searchsorted(known, axis, "right"), rows - np.searchsorted(known, axis, "left")
        out -= np.log(np.clip(2 * np.minimum(under, over) / rows, 1 / rows, 1))
    for place, codes in enumerate(records.levels):
        known, counts = np.unique(np.concatenate([side.levels[place] for side in sides]), return_counts=True)
        at = np.minimum(np.searchsorted(known, codes), len(known) - 1)
        out -= np.log(np.where(known[at] == codes, counts[at], 1) / rows)
    return out


def deciles(values: Array) -> Array:
    """0 to 9 for each value; equal values share one."""
    return np.searchsorted(np.quantile(values, np.arange(1, 10) / 10), values, "left")
