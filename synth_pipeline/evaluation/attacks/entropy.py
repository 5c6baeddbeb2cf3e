"""How much each column tells about whose row it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from synth_pipeline.evaluation.columns import is_number, magnitude, numbers
from synth_pipeline.evaluation.keys import value_keys
from synth_pipeline.records.schema import Column

Array = np.ndarray
_BINS = 16


def entropies(table: pa.Table, cols: Sequence[Column]) -> Array:
    """Shannon's entropy of each column in bits, numbers in sixteen bins of equal counts; missing is a value."""
    return np.array([_bits(_binned(table, column)) for column in cols])


def _binned(table: pa.Table, column: Column) -> Array:
    if not is_number(column):
        return value_keys(table, column)
    values = numbers(table, column.name)
    values = values / magnitude(values)
    known = values[np.isfinite(values)]
    if not len(known):
        return np.isnan(values)
    edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1]))
    return np.where(np.isnan(values), -1, np.searchsorted(edges, values))


def _bits(values: Array) -> float:
    _, counts = np.unique(values, return_counts=True)
    part = counts / max(len(values), 1)
    return float(-(part * np.log2(part)).sum()) + 0.0
