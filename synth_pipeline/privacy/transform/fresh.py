"""Surrogates for synthetic rows: drawn from a public seed and the row's number alone, so that nothing links back.

Every draw is a function of (seed, column, row number): the result does not depend on shards or workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.privacy.transform.entities import kind, surrogates
from synth_pipeline.privacy.transform.hashing import U64, is_number, mix
from synth_pipeline.privacy.transform.permutation import FIXED, HEX, permute, spell, strings
from synth_pipeline.records.schema import Column, Role, columns
from synth_pipeline.seeds import Seeds

_GROUPS = 4096
"""Values whose repeats are laid out at once; the layout then recurs with other values."""


def fill(schema: pa.Schema, learned: pa.RecordBatch, start: int, total: int, seeds: Seeds) -> pa.RecordBatch:
    """The learned columns of rows start … start + n − 1 of `total`, and fresh surrogates beside them, in schema order.

    `seeds` must be the same for all shards of one release: so unique surrogates are unique over all of them.
    """
    rows = learned.num_rows
    arrays = []
    for column in columns(schema):
        if column.surrogate:
            arrays.append(fresh(column, start, rows, total, seeds))
        elif column.name in learned.schema.names:
            values = learned.column(column.name)
            arrays.append(values if values.type == column.type else values.cast(column.type))
        else:
            arrays.append(pa.nulls(rows, column.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def fresh(column: Column, start: int, rows: int, total: int, seeds: Seeds) -> pa.Array:
    """One column's surrogates for some rows, by the action that protect recorded in it."""
    action: Mapping[str, Any] = column.action or {}
    key = _key(seeds.child("surrogate", column.name))
    numbers = np.arange(start, start + rows, dtype=np.uint64)
    if action.get("multiplicity"):
        if Role.ENTITY not in column.roles:  # values that repeat are scattered, an entity's rows stay together
            numbers = permute(numbers, max(total, start + rows), key[8:] + key[:8], derange=False)
        layout = tuple(map(tuple, action["multiplicity"]))
        values, count = _groups(numbers, max(total, start + rows), layout, key)
    else:
        values, count = numbers, max(total, start + rows)
    made = _spelt(action, values, count, key, column.type)
    rate = float(action.get("null_rate") or 0.0)
    missing = None
    if rate and column.nullable:
        draw = mix(np.arange(start, start + rows, dtype=np.uint64), np.frombuffer(key[16:24], "<u8")[0])
        missing = draw < np.uint64(min(int(rate * 2**64), 2**64 - 1))
    made = made.cast(column.type)
    return pc.if_else(pa.array(missing), pa.scalar(None, column.type), made) if missing is not None else made


def _spelt(action: Mapping[str, Any], values: U64, count: int, key: bytes, kind_of: pa.DataType) -> pa.Array:
    """The surrogates that stand for values 0 … count − 1 (different numbers, different surrogates)."""
    if action["type"] == "hash":
        length = int(action["length"])
        return strings(_long(values, count, [HEX] * length, b"0" * length, 0, key))
    entity = action["entity"]
    if entity != "identifier":
        maker = kind(entity, action["locale"])
        if maker.common and not action.get("unique"):
            index = permute(values, max(count, maker.common), key, derange=False) % np.uint64(maker.common)
        else:
            size = maker.capacity if count <= maker.capacity else 1 << count.bit_length()
            index = permute(values, size, key, derange=False)
        made = surrogates(entity, index, action["locale"], action.get("form"))
        return pc.replace_substring_regex(made, r"\D", "") if is_number(kind_of) else made
    if action.get("low") is not None:
        low, high = int(action["low"]), int(action["high"])
        return pa.array(permute(values, max(high - low, count), key, derange=False).astype(np.int64) + low)
    return _templates(action.get("templates") or [_TOKEN], values, count, key)


_TOKEN = {"text": "0" * 12, "classes": "h" * 12, "low": 0, "weight": 1}


def _templates(templates: list[dict[str, Any]], values: U64, count: int, key: bytes) -> pa.Array:
    weights = np.cumsum([template["weight"] for template in templates], dtype=np.float64)
    draw = mix(values, np.frombuffer(key[24:32], "<u8")[0]).astype(np.float64) / 2**64
    chosen = np.searchsorted(weights / weights[-1], draw, side="right").clip(0, len(templates) - 1)
    pieces, places = [], []
    for i, template in enumerate(templates):
        rows = np.flatnonzero(chosen == i)
        if len(rows):
            classes = ["dulh.".index(sign) for sign in template["classes"]]
            pieces.append(strings(_long(values[rows], count, classes, template["text"].encode(), template["low"], key)))
            places.append(rows)
    order = np.empty(len(values), np.int64)
    order[np.concatenate(places)] = np.arange(len(values))
    return pa.concat_arrays(pieces).take(pa.array(order))


def _long(values: U64, count: int, classes: list[int], fixed: bytes, low: int, key: bytes) -> Any:
    """Texts of a template: the last characters hold a permuted number from `low` on, those before are scrambled.

    A template too small for `count` values beyond `low` (the first number that no real identifier has) grows by digits.
    """
    room, places = 1, 0
    for where in range(len(classes) - 1, -1, -1):
        if classes[where] != FIXED:
            if room * _RADIX[classes[where]] > 1 << 60:
                break
            room *= _RADIX[classes[where]]
        places += 1
    head = len(classes) - places
    if head == 0:
        while room - low < count:
            at = next(i for i, kind_of in enumerate(classes) if kind_of != FIXED)
            classes, fixed = [*classes[:at], 0, *classes[at:]], fixed[:at] + b"0" + fixed[at:]
            low, room = max(low, room), room * 10
        return spell(permute(values, room - low, key, derange=False) + np.uint64(low), classes, fixed)
    number = permute(values, room, key, derange=False)
    tail = spell(number, classes[head:], fixed[head:])
    front = spell(mix(number, np.frombuffer(key[:8], "<u8")[0]), classes[:head], fixed[:head])
    return np.concatenate([front, tail], axis=1)


_RADIX = (10, 26, 26, 16)


def _groups(rows: U64, total: int, layout: tuple[tuple[int, ...], ...], key: bytes) -> tuple[U64, int]:
    """The value that each row shares with others, and how many values there are."""
    ends = _layout(layout, key)
    span = int(ends[-1])
    cycle = rows // np.uint64(span)
    place = np.searchsorted(ends, rows - cycle * np.uint64(span), side="right").astype(np.uint64)
    count = (-(-total // span)) * len(ends)
    return cycle * np.uint64(len(ends)) + place, count


@lru_cache(maxsize=64)
def _layout(layout: tuple[tuple[int, ...], ...], key: bytes) -> U64:
    """Where each value's rows end: sizes at evenly spaced quantiles of the histogram, in random order."""
    sizes = np.array([size for size, _ in layout], np.uint64)
    share = np.cumsum([count for _, count in layout], dtype=np.float64)
    points = (np.arange(_GROUPS) + 0.5) / _GROUPS * share[-1]
    drawn = sizes[np.searchsorted(share, points, side="left").clip(0, len(sizes) - 1)]
    order = permute(np.arange(_GROUPS, dtype=np.uint64), _GROUPS, key, derange=False).astype(np.int64)
    return np.cumsum(drawn[order]).astype(np.uint64)


def _key(seeds: Seeds) -> bytes:
    return seeds.generator().bytes(32)
