"""Surrogates for synthetic rows: drawn from a public seed and the row's number alone, so that nothing links back.

Every draw is a function of (seed, column, row number): the result does not depend on shards or workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synth_pipeline.privacy.transform.entities import kind, surrogates
from synth_pipeline.privacy.transform.hashing import U64, is_number, mix
from synth_pipeline.privacy.transform.permutation import ALPHABET, CLASSES, DIGIT, FIXED, ROOM, permute, spell, strings
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
    by_name = {column.name: column for column in columns(schema)}
    named = _named(list(by_name.values()))

    def surrogate(column: Column, names: Sequence[pa.Array] = ()) -> pa.Array:
        return fresh(column, start, rows, total, seeds, by_name.get((column.action or {}).get("follows", "")), names)

    for column in by_name.values():
        if column.surrogate:
            arrays.append(surrogate(column, [surrogate(name) for name in named.get(column.name, ())]))
        elif column.name in learned.schema.names:
            values = learned.column(column.name)
            arrays.append(values if values.type == column.type else values.cast(column.type))
        else:
            arrays.append(pa.nulls(rows, column.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def fresh(
    column: Column,
    start: int,
    rows: int,
    total: int,
    seeds: Seeds,
    leader: Column | None = None,
    names: Sequence[pa.Array] = (),
) -> pa.Array:
    """One column's surrogates for some rows, by the action that protect recorded in it.

    `leader`: the entity that this column follows: its rows share one surrogate here too. `names`: whose e-mail it is.
    """
    action: Mapping[str, Any] = column.action or {}
    key = _key(seeds.child("surrogate", column.name))
    numbers = np.arange(start, start + rows, dtype=np.uint64)
    owners = numbers
    if leader is not None and (sizes := (leader.action or {}).get("multiplicity")):
        lead = _key(seeds.child("surrogate", leader.name))
        values, count = _groups(numbers, max(total, start + rows), tuple(map(tuple, sizes)), lead)
        owners = values
    elif action.get("multiplicity"):
        if Role.ENTITY not in column.roles:  # values that repeat are scattered, an entity's rows stay together
            numbers = permute(numbers, max(total, start + rows), key[8:] + key[:8], derange=False)
        layout = tuple(map(tuple, action["multiplicity"]))
        values, count = _groups(numbers, max(total, start + rows), layout, key)
    else:
        values, count = numbers, max(total, start + rows)
    made = _addresses(names, values, count, key) if names else _spelt(action, values, count, key, column.type)
    rate = float(action.get("null_rate") or 0.0)
    missing = None
    if rate and column.nullable:
        draw = mix(owners, np.frombuffer(key[16:24], "<u8")[0])
        missing = draw < np.uint64(min(int(rate * 2**64), 2**64 - 1))
    made = made.cast(column.type)
    return pc.if_else(pa.array(missing), pa.scalar(None, column.type), made) if missing is not None else made


def _named(cols: Sequence[Column]) -> dict[str, list[Column]]:
    """The e-mail column → those that hold its owner's name; nothing where a table does not tell whose it is."""

    def drawn(entity: str) -> list[Column]:
        return [column for column in cols if column.surrogate and (column.action or {}).get("entity") == entity]

    emails, parts = drawn("email"), [drawn("person")] if drawn("person") else [drawn("first_name"), drawn("last_name")]
    names = [column for part in parts for column in part]
    if len(emails) != 1 or not names or max(map(len, parts)) > 1:
        return {}
    action: Mapping[str, Any] = emails[0].action or {}
    if leader := action.get("follows"):
        together = all(leader in (name.name, (name.action or {}).get("follows")) for name in names)
    else:
        together = not action.get("multiplicity")
    return {emails[0].name: names} if together else {}


def _addresses(names: Sequence[pa.Array], values: U64, count: int, key: bytes) -> pa.Array:
    """E-mail addresses with their owners' names; the number at the end is another for every value."""
    parts = [name.cast(pa.large_string()).fill_null("") for name in names]
    whole = pc.binary_join_element_wise(*parts, pa.scalar(" ", pa.large_string()))
    if not pc.all(pc.string_is_ascii(whole)).as_py():
        whole = pc.utf8_normalize(whole, form="NFKD")
    plain = pc.utf8_lower(whole)
    plain = pc.utf8_trim_whitespace(pc.replace_substring_regex(plain, pattern="[^a-z ]", replacement=""))
    plain = pc.replace_substring_regex(plain, pattern=" +", replacement=".")
    plain = pc.if_else(pc.equal(plain, ""), pa.scalar("user", pa.large_string()), plain)
    serial = pa.array(permute(values, max(count, 10_000), key, derange=False)).cast(pa.large_string())
    hosts = pa.array(["@example.com", "@example.org", "@example.net"], pa.large_string())
    host = hosts.take(pa.array((values % np.uint64(3)).astype(np.int64)))
    return pc.binary_join_element_wise(plain, serial, host, pa.scalar("", pa.large_string()))


def _spelt(action: Mapping[str, Any], values: U64, count: int, key: bytes, kind_of: pa.DataType) -> pa.Array:
    """The surrogates that stand for values 0 … count − 1 (different numbers, different surrogates)."""
    if action["type"] == "hash":
        length = int(action["length"])
        token = {"text": "0" * length, "classes": "h" * length, "low": 0}
        return strings(_long(values, *_grown(token, count), key))
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
_SLOTS = 64


def _templates(templates: list[dict[str, Any]], values: U64, count: int, key: bytes) -> pa.Array:
    """Each of 64 neighbouring values has a slot, each template its share of slots; so each counts its own values."""
    slots = _slots(tuple(int(template["weight"]) for template in templates))
    cycles = -(-count // _SLOTS)
    growing = next((i for i, template in enumerate(templates) if "grow" in template), 0)
    for i, template in enumerate(templates):  # a shape without enough unused numbers leaves them to the one that grows
        if i != growing and _free(template) < cycles * int((slots == i).sum()):
            slots = np.where(slots == i, growing, slots)
    shuffled = permute(values, cycles * _SLOTS, key, derange=False)
    cycle, slot = np.divmod(shuffled, np.uint64(_SLOTS))
    chosen = slots[slot.astype(np.int64)]
    order = np.empty(len(values), np.int64)
    pieces, done = [], 0
    for i in np.unique(chosen):
        rows = np.flatnonzero(chosen == i)
        mine = np.uint64((slots == i).sum())
        rank = np.cumsum(slots == i).astype(np.uint64)[slot[rows].astype(np.int64)] - np.uint64(1)
        classes, fixed, low = _grown(templates[i], cycles * int(mine))
        pieces.append(strings(_long(cycle[rows] * mine + rank, classes, fixed, low, key)))
        order[rows] = np.arange(done, done + len(rows))
        done += len(rows)
    return pa.concat_arrays(pieces).take(pa.array(order))


@lru_cache(maxsize=64)
def _slots(weights: tuple[int, ...]) -> NDArray[np.int64]:
    points = (np.arange(_SLOTS) + 0.5) / _SLOTS * sum(weights)
    return np.searchsorted(np.cumsum(weights), points).clip(0, len(weights) - 1)


def _room(classes: list[int]) -> int:
    return prod(len(ALPHABET[each]) for each in classes if each != FIXED)


def _free(template: Mapping[str, Any]) -> int:
    return _room([CLASSES.index(sign) for sign in template["classes"]]) - int(template["low"])


def _grown(template: Mapping[str, Any], count: int) -> tuple[list[int], bytes, int]:
    """The template's classes, fixed characters and first number, with more digits if `count` values need them."""
    classes = [CLASSES.index(sign) for sign in template["classes"]]
    fixed, low = template["text"].encode(), int(template["low"])
    at = classes.index(DIGIT) if DIGIT in classes else len(classes)
    while _room(classes) - low < count:
        missing = max(1, template.get("grow", 0) - len(classes))
        classes, fixed = [*classes[:at], *[DIGIT] * missing, *classes[at:]], fixed[:at] + b"0" * missing + fixed[at:]
        low = 0  # longer than any real one: all are free
    return classes, fixed, low


def _long(values: U64, classes: list[int], fixed: bytes, low: int, key: bytes) -> NDArray[np.uint8]:
    """Texts of a template: its last characters hold a permuted number from `low` on, those before are scrambled."""
    head = len(classes)
    room = 1
    while head and (classes[head - 1] == FIXED or room * len(ALPHABET[classes[head - 1]]) <= ROOM):
        head -= 1
        room *= 1 if classes[head] == FIXED else len(ALPHABET[classes[head]])
    if head == 0:
        return spell(permute(values, room - low, key, derange=False) + np.uint64(low), classes, fixed)
    number = permute(values, room, key, derange=False)
    tail = spell(number, classes[head:], fixed[head:])
    front = spell(mix(number, np.frombuffer(key[:8], "<u8")[0]), classes[:head], fixed[:head])
    return np.concatenate([front, tail], axis=1)


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
