"""Records on disk and in memory: order, splits, bounded reads, deterministic bytes, damage found."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.errors import StorageError
from synth_pipeline.records.records import MANIFEST, Records, RecordsWriter, Unit
from synth_pipeline.records.schema import Column, Meaning, Role, learned, schema_of


def _schema() -> pa.Schema:
    return schema_of(
        [
            Column("id", pa.string(), Meaning.IDENTIFIER, frozenset({Role.PRIMARY_KEY})),
            Column("x", pa.int64(), Meaning.NUMBER, facts={"integer": True}),
            Column("mail", pa.string(), Meaning.CATEGORY, pii="email", action={"type": "fake", "surrogate": True}),
        ]
    )


def _batch(start: int, rows: int) -> pa.RecordBatch:
    numbers = range(start, start + rows)
    columns = [[f"k{n}" for n in numbers], list(numbers), [None if n % 3 else f"{n}@example.com" for n in numbers]]
    return pa.record_batch(
        [pa.array(column, field.type) for column, field in zip(columns, _schema(), strict=True)], schema=_schema()
    )


def _write(folder: Path, cuts: list[int]) -> Records:
    folder.mkdir(parents=True)
    writer = RecordsWriter(folder, {"data": _schema()}, part_rows=250)
    for start, stop in itertools.pairwise(cuts):
        writer.write("data", "train", _batch(start, stop - start))
    writer.write("data", "holdout", _batch(5_000, 40))
    return writer.commit(Unit("data", "id"), {"note": 1})


def test_round_trip_keeps_order_notes_and_splits(tmp_path: Path) -> None:
    records = _write(tmp_path / "a", [0, 100, 300, 777])
    again = Records.open(tmp_path / "a")
    assert again.content_id == records.content_id
    assert (again.rows("train"), again.rows("holdout"), again.rows()) == (777, 40, 817)
    assert again.table("train")["x"].to_pylist() == list(range(777))
    assert again.only("holdout").splits == ("holdout",)
    assert [column.name for column in learned(again.schema())] == ["x"]
    assert Column.of(again.schema().field("x")).facts == {"integer": True}
    assert again.unit == Unit("data", "id")


def test_bytes_do_not_depend_on_how_rows_were_batched_within_a_part(tmp_path: Path) -> None:
    one = _write(tmp_path / "a", [0, 250, 500])
    other = _write(tmp_path / "b", [0, 50, 250, 400, 500])
    assert one.content_id == other.content_id


def test_in_memory_records_read_the_same(tmp_path: Path) -> None:
    stored = _write(tmp_path / "a", [0, 300])
    held = Records.of({"train": {"data": stored.table("train")}})
    assert held.table("train").equals(stored.table("train"))
    assert held.rows() == 300


def test_uncommitted_folder_holds_nothing(tmp_path: Path) -> None:
    writer = RecordsWriter(tmp_path, {"data": _schema()})
    writer.write("data", "train", _batch(0, 10))
    writer.finish()
    with pytest.raises(StorageError, match="no committed records"):
        Records.open(tmp_path)


def test_commit_is_exclusive(tmp_path: Path) -> None:
    _write(tmp_path / "a", [0, 10])
    writer = RecordsWriter(tmp_path / "a", {"data": _schema()})
    with pytest.raises(FileExistsError):
        writer.commit(Unit(), {})
    assert not [path for path in (tmp_path / "a").iterdir() if path.name.startswith(f".{MANIFEST}")]


def test_every_flipped_bit_of_the_data_is_noticed(tmp_path: Path) -> None:
    records = _write(tmp_path / "a", [0, 250])
    path = tmp_path / "a" / records.parts[-1].path
    whole = path.read_bytes()
    expected = records.table("train")
    rng = np.random.default_rng(0)
    silent = 0
    footer = (
        len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    )  # the footer has no checksum but the manifest's sha256
    for position in rng.integers(4, footer, 60):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            silent += not Records.open(tmp_path / "a").table("train").equals(expected)
        except (OSError, pa.ArrowException, UnicodeDecodeError, ValueError):
            continue
    assert silent == 0


def test_reads_in_bounded_memory(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("x", pa.float64()), pa.field("y", pa.float64())])
    writer = RecordsWriter(tmp_path, {"data": schema})
    rng = np.random.default_rng(0)
    for _ in range(24):
        writer.write("data", "train", pa.record_batch([rng.random(131_072), rng.random(131_072)], schema=schema))
    records = writer.commit(Unit(), {})
    size = sum(part.bytes for part in records.parts)
    pool = pa.default_memory_pool()
    peak, before = 0, pool.bytes_allocated()
    for _, _batch in records.batches():
        peak = max(peak, pool.bytes_allocated() - before)
    assert peak < size / 4
