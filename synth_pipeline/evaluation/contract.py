"""What the frozen schema promises, checked on every row as a stream; findings are counts, never values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.evaluation.expectations import check_expectations
from synth_pipeline.records.records import Records
from synth_pipeline.records.schema import Column, Meaning, Role, columns

__all__ = ["check_expectations", "check_schema"]

MAX_LEVELS = 10_000
"""A category with more levels than this is an identifier in all but name: its levels are not compared."""
HASHES = 1 << 24
"""Hashes that a uniqueness check holds at once (128 MiB); more rows take several passes over their key."""


def check_schema(
    records: Records, split: str | None = None, *, reference: Records | None = None
) -> list[dict[str, Any]]:
    """Checks inferred from the frozen schema, over all rows in bounded memory.

    Args:
        split: only this split.
        reference: what the rows were learned from; levels and ranges are then compared with its training rows.

    Returns:
        One dict per rule and table: name, passed, blocking, note, observed (counts only), rows. Never a value.
    """
    checks: list[dict[str, Any]] = []
    for table in records.tables:
        prefix = f"{table}: " if len(records.tables) > 1 else ""
        found = _check_table(records, split, table, reference)
        checks.extend({**check, "name": prefix + check["name"]} for check in found)
    return checks


def finding(
    name: str, broken: Mapping[str, int], rows: int, *, blocking: bool = True, what: str = "", kept: str = "kept by all"
) -> dict[str, Any]:
    """One check's result: how many rows break it, by column."""
    broken = {column: int(count) for column, count in broken.items() if count}
    worst = sorted(broken, key=lambda column: (-broken[column], column))
    named = ", ".join(f"{_short(column)} ({broken[column]:,})" for column in worst[:8])
    more = f" and {len(worst) - 8} more columns" if len(worst) > 8 else ""
    return {
        "name": name,
        "passed": not broken,
        "blocking": blocking,
        "note": f"{what}: {named}{more}" if broken else kept,
        "observed": {"columns": len(broken), "rows": max(broken.values(), default=0)},
        "rows": rows,
    }


@dataclass
class _Tally:
    """What one column's rows have come to so far."""

    nulls: int = 0
    not_finite: int = 0
    unknown: int = 0
    outside: int = 0


@dataclass
class _Known:
    """What the reference's rows hold in one column; stays in this process."""

    levels: pa.Array | None = None
    bounds: list[pa.Scalar] = field(default_factory=list)
    values: int = 0
    endless: bool = False

    def add(self, column: Column, array: pa.Array) -> None:
        self.values += len(array) - array.null_count
        if column.meaning in (Meaning.CATEGORY, Meaning.BOOLEAN) and not self.endless:
            fresh = pc.unique(array.drop_null())
            self.levels = fresh if self.levels is None else pc.unique(pa.concat_arrays([self.levels, fresh]))
            if len(self.levels) > MAX_LEVELS:
                self.levels, self.endless = None, True
        elif column.meaning in (Meaning.NUMBER, Meaning.DATETIME) and array.null_count < len(array):
            extremes = pc.min_max(array)
            both = pa.array([s.as_py() for s in (*self.bounds, extremes["min"], extremes["max"])], array.type)
            self.bounds = [pc.min(both), pc.max(both)]


def _check_table(
    records: Records, split: str | None, table: str, reference: Records | None
) -> Iterator[dict[str, Any]]:
    cols = columns(records.schema(table))
    known = _known(reference, table, cols) if reference is not None and table in reference.tables else {}
    tallies = {column.name: _Tally() for column in cols}
    rows = 0
    for _, batch in records.batches(split, table):
        rows += batch.num_rows
        for column in cols:
            _tally(tallies[column.name], column, _plain(batch.column(column.name)), known.get(column.name))

    yield {
        "name": "has rows",
        "passed": rows > 0,
        "blocking": True,
        "note": f"{rows:,} rows" if rows else "there is no row",
        "observed": {"rows": rows},
        "rows": rows,
    }
    yield finding(
        "columns and types are as frozen",
        dict.fromkeys(_changed(records, split, table), 1),
        rows,
        what="files differ from the schema in",
        kept=f"{len(cols):,} columns",
    )
    required = [column.name for column in cols if not column.nullable]
    yield finding(
        "no value is missing where it is required",
        {name: tallies[name].nulls for name in required},
        rows,
        what="missing values",
        kept=f"{len(required):,} required columns" if required else "no column is required",
    )
    for keys in _keys(cols):
        yield finding(
            f"{', '.join(map(_short, keys))} is unique",
            {", ".join(keys): _repeats(records, split, table, keys, rows)},
            rows,
            what="rows that repeat an earlier one",
            kept="no repeats",
        )
    yield finding(
        "numbers are finite",
        {name: tally.not_finite for name, tally in tallies.items()},
        rows,
        what="infinite or not a number",
    )
    empty = {
        name: tally.nulls
        for name, tally in tallies.items()
        if rows and tally.nulls == rows and (name not in known or known[name].values)
    }
    yield finding(
        "no column is empty", empty, rows, blocking=bool(known), what="only missing values", kept="all hold values"
    )
    if known:
        yield finding(
            "categories are known",
            {name: tally.unknown for name, tally in tallies.items()},
            rows,
            what="rows with a level that the protected rows do not have",
            kept="every level occurs in the protected rows",
        )
        yield finding(
            "numbers and dates keep to the protected range",
            {name: tally.outside for name, tally in tallies.items()},
            rows,
            blocking=False,
            what="rows outside it",
            kept="none lies outside",
        )


def _known(reference: Records, table: str, cols: Iterable[Column]) -> dict[str, _Known]:
    split = "train" if "train" in reference.splits else None
    schema = reference.schema(table)
    wanted = [c for c in cols if not c.surrogate and c.name in schema.names and schema.field(c.name).type == c.type]
    known = {column.name: _Known() for column in wanted}
    for _, batch in reference.batches(split, table, [column.name for column in wanted]):
        for column in wanted:
            known[column.name].add(column, _plain(batch.column(column.name)))
    return known


def _tally(tally: _Tally, column: Column, array: pa.Array, known: _Known | None) -> None:
    tally.nulls += array.null_count
    if pa.types.is_floating(array.type):
        tally.not_finite += len(array) - array.null_count - (pc.sum(pc.is_finite(array)).as_py() or 0)
    if known is not None and known.levels is not None:
        tally.unknown += pc.sum(pc.invert(pc.is_in(array.drop_null(), value_set=known.levels))).as_py() or 0
    if known is not None and known.bounds:
        low, high = known.bounds
        outside = pc.or_(pc.less(array, low), pc.greater(array, high))
        tally.outside += pc.sum(outside).as_py() or 0


def _plain(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _changed(records: Records, split: str | None, table: str) -> set[str]:
    """Columns whose stored type or place is not the schema's."""
    wanted = [(f.name, f.type) for f in records.schema(table)]
    changed: set[str] = set()
    for (owner, owned), data in records.datasets.items():
        if owner == table and split in (None, owned):
            for fragment in data.get_fragments():
                stored = [(f.name, f.type) for f in fragment.physical_schema]
                if stored != wanted:
                    changed |= {name for name, _ in set(stored) ^ set(wanted)} or {"(the order of columns)"}
    return changed


def _keys(cols: list[Column]) -> list[tuple[str, ...]]:
    """What may not repeat: the primary key, and surrogates whose originals were unique."""
    primary = tuple(column.name for column in cols if Role.PRIMARY_KEY in column.roles)
    alone = [(c.name,) for c in cols if c.surrogate and c.action and c.action.get("unique") and primary != (c.name,)]
    return ([primary] if primary else []) + alone


def _repeats(records: Records, split: str | None, table: str, keys: tuple[str, ...], rows: int) -> int:
    """Rows whose key occurred before. 64-bit hashes: a chance collision among 10 million rows has odds of 1 in 10⁵."""
    passes = max(1, -(-rows // HASHES))
    repeats = 0
    for part in range(passes):
        held = []
        for _, batch in records.batches(split, table, list(keys)):
            hashes = _hashes([_plain(batch.column(key)) for key in keys])
            held.append(hashes[hashes % np.uint64(passes) == part] if passes > 1 else hashes)
        everything = np.concatenate(held) if held else np.empty(0, np.uint64)
        everything.sort()
        repeats += int(np.count_nonzero(everything[1:] == everything[:-1]))
    return repeats


def _hashes(arrays: list[pa.Array]) -> np.ndarray:
    """One 64-bit hash per row; rows with a missing key part are left out (a unique column may have several)."""
    from pandas.util import hash_array

    valid = np.ones(len(arrays[0]), dtype=bool)
    for array in arrays:
        valid &= ~np.asarray(array.is_null())
    combined = np.zeros(int(valid.sum()), dtype=np.uint64)
    for array in arrays:
        values = array.filter(pa.array(valid)).to_numpy(zero_copy_only=False)
        hashed = hash_array(values.astype(object) if values.dtype.kind in "OUS" else values, categorize=False)
        combined = combined * np.uint64(0x9E3779B97F4A7C15) + hashed
    return combined


def _short(name: str) -> str:
    return name if len(name) <= 60 else name[:57] + "…"
