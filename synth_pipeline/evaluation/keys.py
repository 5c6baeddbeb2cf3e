"""Rows and values as 64-bit keys: equal values have equal keys, whatever their types; so copies are found by a join."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.evaluation.columns import is_number, numbers, texts
from synth_pipeline.records.schema import Column

Array = np.ndarray
_ROUNDED_BITS = 20  # of a double's 52: numbers that agree to ten digits are equal


def row_keys(table: pa.Table, cols: Sequence[Column]) -> Array:
    """64 bits per row: equal rows, equal keys; two of 10⁷ × 10⁶ different rows collide with probability 5 in 10⁷."""
    return joined((value_keys(table, column) for column in cols), table.num_rows)


def joined(values: Iterable[Array], rows: int) -> Array:
    """Keys of rows from those of their values, column by column."""
    keys = np.full(rows, 0x9E3779B97F4A7C15, np.uint64)
    for column in values:
        keys = mix(keys ^ column)
    return np.maximum(keys, 1)


def value_keys(table: pa.Table, column: Column) -> Array:
    """64 bits per value; 0 is a missing one."""
    if is_number(column):
        if pa.types.is_integer(column.type) or pa.types.is_temporal(column.type):
            return _whole_keys(table, column)
        values = numbers(table, column.name) + 0.0  # -0.0 is 0.0
        gone = np.isnan(values)
        return np.where(gone, 0, np.maximum(mix(rounded(values)), 1)).astype(np.uint64)
    from pandas.util import hash_array

    encoded = texts(table, column.name).dictionary_encode()
    words = np.asarray(encoded.dictionary.to_pylist(), dtype=object)
    hashed = np.maximum(hash_array(words, categorize=False), 1) if len(words) else np.ones(1, np.uint64)
    places = pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False)
    return np.where(encoded.is_null().to_numpy(zero_copy_only=False), 0, hashed[places]).astype(np.uint64)


def wholes(table: pa.Table, column: Column) -> tuple[Array, Array, Array]:
    """A column of integers or times as int64 to the last bit (as doubles, microseconds of one second would be one
    value), what each value exceeds that by (0 where the table is typed as the column), and which are missing."""
    data = table.column(column.name)
    if pa.types.is_dictionary(data.type):
        data = data.cast(data.type.value_type)
    if pa.types.is_temporal(data.type) and pa.types.is_temporal(column.type):
        data = data.cast(column.type, safe=False)
        data = data.cast(pa.int64() if data.type.bit_width == 64 else pa.int32())
    if pa.types.is_integer(data.type):
        values = pc.fill_null(data, 0).cast(pa.int64(), safe=False).to_numpy()
        return values, np.zeros(len(values)), data.is_null().to_numpy()
    plain = numbers(table, column.name)
    gone = np.isnan(plain)
    floor = np.floor(np.where(np.abs(plain) < 2.0**63, plain, 0.0))
    return floor.astype(np.int64), np.where(gone, 0.0, plain - floor), gone


def _whole_keys(table: pa.Table, column: Column) -> Array:
    values, rest, gone = wholes(table, column)
    bits = np.where(rest == 0, values.view(np.uint64), ~rounded(values + rest))
    return np.where(gone, 0, np.maximum(mix(bits), 1)).astype(np.uint64)


def rounded(values: Array) -> Array:
    """The bits of each number that count."""
    bits = np.where(np.isnan(values), 0.0, values).view(np.uint64)
    return (bits + np.uint64(1 << (_ROUNDED_BITS - 1))) >> np.uint64(_ROUNDED_BITS)


def mix(keys: Array) -> Array:
    """splitmix64's finaliser (Steele 2014)."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def comparable(kind: pa.DataType) -> bool:
    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
