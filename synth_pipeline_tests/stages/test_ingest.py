"""Ingest as a stage: known by token or content, split that nothing moves, partitions, contract, resume."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from synth_pipeline.errors import ContractError, SourceError, SpecError
from synth_pipeline.records.home import Home
from synth_pipeline.records.ledger import Ledger
from synth_pipeline.records.records import Records, RecordsWriter, Unit
from synth_pipeline.records.schema import Column, Meaning, Role
from synth_pipeline.records.sources.files import Files
from synth_pipeline.spec.dataset import DatasetSpec
from synth_pipeline.stages.ingest import ingest
from synth_pipeline.stages.run import Result, Run


def people(rows: int = 3_000, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "person": [f"P{i:05d}" for i in rng.integers(0, rows // 3, rows)],
            "visit": pa.array(np.arange(rows)),
            "day": pa.array(rng.integers(19_700, 19_800, rows), pa.int32()).cast(pa.date32()),
            "cost": np.round(rng.gamma(2, 50, rows), 2),
            "ward": pa.array([f"ward {i}" for i in rng.integers(0, 6, rows)], mask=rng.random(rows) < 0.05),
        }
    )


ENTITY = {"person": {"roles": ["entity"]}, "visit": {"roles": ["primary_key"]}}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    pacsv.write_csv(people(), tmp_path / "visits.csv")
    return tmp_path / "visits.csv"


def run(home: Home, path: Path | str, *, force: bool = False, partition: str | None = None, **spec: Any) -> Result:
    given = {"name": "visits", "source": {"type": "file", "path": str(path)}, **spec}
    return ingest(Run(DatasetSpec.model_validate(given), home, "", partition=partition, force=force))


def sides(result: Result, column: str) -> dict[str, set[Any]]:
    records = Records.open(result.folder)
    return {side: set(records.table(side, columns=[column]).column(0).to_pylist()) for side in ("train", "holdout")}


def test_records_say_what_everything_is(home: Home, source: Path) -> None:
    result = run(home, source, columns=ENTITY)
    records = Records.open(result.folder)
    counts = pc.value_counts(people()["person"]).field("counts")
    assert records.unit == Unit("data", "person", (), pc.max(counts).as_py())
    notes = {field.name: Column.of(field) for field in records.schema()}
    assert notes["person"].meaning is Meaning.IDENTIFIER
    assert notes["person"].roles == {Role.ENTITY}
    assert notes["cost"].facts["decimals"] == 2
    assert notes["ward"].nullable
    assert not notes["cost"].nullable
    assert notes["day"].type == pa.date32()
    facts = records.facts
    assert facts["rows"]["train"] + facts["rows"]["holdout"] == records.rows() == 3_000
    assert facts["split"]["unit"] == "person"
    assert facts["split"]["key_id"].startswith("split-")
    assert facts["source"]["files"] == ["visits.csv"]
    assert facts["source"]["uri"] == f"file://{source}"
    assert set(facts["inferred"]) == set(records.schema().names)
    assert (facts["root"], "visits", "ingest", result.folder) == (
        facts["root"],
        *Ledger(home.ledger).derived(facts["root"])[0],
    )
    everything = pa.concat_tables(records.table(side).replace_schema_metadata(None) for side in ("train", "holdout"))
    stored = everything.sort_by("visit").cast(people().schema)
    assert stored.equals(people())


def test_no_person_is_on_both_sides(home: Home, source: Path) -> None:
    both = sides(run(home, source, columns=ENTITY), "person")
    assert not both["train"] & both["holdout"]
    assert len(both["holdout"]) > 300


def test_an_unchanged_source_is_not_even_read(home: Home, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(home, source)
    monkeypatch.setattr(Files, "fetch", lambda *_: pytest.fail("it was read"))
    again = run(home, source)
    assert again.reused
    assert again.content_id == first.content_id
    assert again.plan_id == first.plan_id


def test_a_touched_or_copied_source_is_known_by_its_content(home: Home, source: Path) -> None:
    first = run(home, source)
    os.utime(source, (1, 1))
    assert run(home, source).reused
    shutil.copy(source, source.with_name("copy.csv"))
    copied = run(home, source.with_name("copy.csv"))
    assert copied.content_id == first.content_id
    roots = {Records.open(one.folder).facts["root"] for one in (first, copied)}
    assert len(roots) == 1  # the same bytes: the same split key, attempts and history


def test_force_reads_again_and_gives_the_same_bytes(home: Home, source: Path) -> None:
    first = run(home, source)
    again = run(home, source, force=True)
    assert not again.reused
    assert again.content_id == first.content_id


def test_what_only_shows_things_does_not_ingest_again(home: Home, source: Path) -> None:
    first = run(home, source, description="one", columns={"cost": {"description": "Euro"}})
    assert run(home, source, description="two", seed=7, columns={"cost": {"description": "€"}}).reused
    other = run(home, source, columns={"cost": {"pii": "none"}})
    assert other.plan_id != first.plan_id


def test_neither_snapshots_nor_types_move_a_person(home: Home, source: Path) -> None:
    table = people().set_column(0, "person", pc.cast(pc.utf8_slice_codeunits(people()["person"], 1), pa.int64()))
    pacsv.write_csv(table, source)
    before = sides(run(home, source, columns=ENTITY), "person")
    pq.write_table(table[500:].set_column(0, "person", table["person"][500:].cast(pa.string())), source)
    columns = {**ENTITY, "cost": {"description": "now Parquet"}}
    after = sides(
        run(home, source, columns=columns, source={"type": "file", "path": str(source), "format": "parquet"}), "person"
    )
    assert {int(one) for one in after["holdout"]} <= before["holdout"]
    assert {int(one) for one in after["train"]} <= before["train"]


def test_growth_moves_nobody(home: Home, source: Path) -> None:
    before = sides(run(home, source, columns=ENTITY), "person")
    grown = pa.concat_tables([people(), people(30_000, seed=1)])
    pacsv.write_csv(grown, source)
    after = sides(run(home, source, columns=ENTITY), "person")
    assert before["holdout"] <= after["holdout"]
    assert before["train"] <= after["train"]


def test_rows_without_an_id_are_units_of_their_own(home: Home, source: Path) -> None:
    table = people()
    mask = pa.array(np.arange(table.num_rows) % 2 == 0)
    pacsv.write_csv(
        table.set_column(0, "person", pc.if_else(mask, pa.scalar(None, pa.string()), table["person"])), source
    )
    records = Records.open(run(home, source, columns=ENTITY, split={"fraction": 0.3}).folder)
    missing = pc.sum(pc.is_null(records.table("holdout")["person"])).as_py()
    assert 380 < missing < 520


def test_small_tables_hold_out_half(home: Home, tmp_path: Path) -> None:
    pacsv.write_csv(people(178), tmp_path / "small.csv")
    facts = Records.open(run(home, tmp_path / "small.csv").folder).facts
    assert facts["split"]["fraction"] == 0.5
    assert 60 < facts["rows"]["holdout"] < 118
    assert any("by file and row number" in note for note in facts["warnings"])


def test_a_column_that_says_who_is_held_out(home: Home, source: Path) -> None:
    fold = pa.array(np.where(np.arange(3_000) < 900, "test", "train"))
    pacsv.write_csv(people().append_column("fold", fold), source)
    records = Records.open(run(home, source, split={"column": "fold", "values": ["test"]}).folder)
    assert records.facts["rows"] == {"train": 2_100, "holdout": 900, "rejected": 0}
    assert "fold" not in records.schema().names
    assert records.facts["split"]["kind"] == "column"


def test_a_file_of_its_own_is_held_out(home: Home, source: Path, tmp_path: Path) -> None:
    pacsv.write_csv(people(700, seed=3).set_column(3, "cost", pa.array(np.arange(700))), tmp_path / "held.csv")
    first = run(home, source, split={"holdout": str(tmp_path / "held.csv")})
    records = Records.open(first.folder)
    assert records.facts["rows"] == {"train": 3_000, "holdout": 700, "rejected": 0}
    assert records.schema().field("cost").type == pa.float64()
    assert run(home, source, split={"holdout": str(tmp_path / "held.csv")}).reused
    pacsv.write_csv(people(600, seed=3), tmp_path / "held.csv")
    changed = run(home, source, split={"holdout": str(tmp_path / "held.csv")})
    assert changed.plan_id != first.plan_id


PARTED = {"type": "monthly", "start": "2023-12-01"}


def test_partitions_by_path(home: Home, tmp_path: Path) -> None:
    for month, seed in (("2024-01", 1), ("2024-02", 2)):
        pacsv.write_csv(people(3_000, seed), tmp_path / f"visits-{month}.csv")
    place = tmp_path / "visits-{partition}.csv"
    one, two = (run(home, place, partition=m, partitions=PARTED, columns=ENTITY) for m in ("2024-01", "2024-02"))
    assert one.plan_id != two.plan_id
    first, second = sides(one, "person"), sides(two, "person")
    assert not first["train"] & second["holdout"]  # the same people, a month later
    assert not first["holdout"] & second["train"]
    assert run(home, place, partition="2024-01", partitions=PARTED, columns=ENTITY).reused


def test_a_later_partition_may_have_more_columns(home: Home, tmp_path: Path) -> None:
    place = tmp_path / "visits-{partition}.csv"
    pacsv.write_csv(people(), tmp_path / "visits-2024-01.csv")
    pacsv.write_csv(people(seed=1).append_column("new", pa.array(range(3_000))), tmp_path / "visits-2024-02.csv")
    first = run(home, place, partition="2024-01", partitions=PARTED, columns=ENTITY)
    second = run(home, place, partition="2024-02", partitions=PARTED, columns=ENTITY)
    assert any('new column "new"' in note for note in second.warnings)
    assert run(home, place, partition="2024-01", partitions=PARTED, columns=ENTITY).content_id == first.content_id


@pytest.mark.parametrize(
    ("kind", "key", "first", "last"),
    [
        ("monthly", "2024-01", "2024-01-01", "2024-01-31"),
        ("monthly", "2024-02-01", "2024-02-01", "2024-02-29"),
        ("weekly", "2024-01-07", "2024-01-07", "2024-01-13"),
        ("daily", "2024-01-31", "2024-01-31", "2024-01-31"),
    ],
)
def test_partitions_by_a_date_column(home: Home, source: Path, kind: str, key: str, first: str, last: str) -> None:
    parted = {"type": kind, "start": "2023-12-01", "column": "day"}
    records = Records.open(run(home, source, partition=key, partitions=parted, columns=ENTITY).folder)
    days = pc.strftime(people()["day"], format="%Y-%m-%d")
    expected = people().filter(pc.and_(pc.greater_equal(days, first), pc.less_equal(days, last)))
    assert records.rows() == expected.num_rows > 0
    found = {visit for side in sides_of(records, "visit").values() for visit in side}
    assert found == set(expected["visit"].to_pylist())


def sides_of(records: Records, column: str) -> dict[str, set[Any]]:
    return {side: set(records.table(side, columns=[column]).column(0).to_pylist()) for side in ("train", "holdout")}


def test_partitions_by_a_key_and_what_is_wrong_with_them(home: Home, source: Path) -> None:
    parted = {"type": "static", "keys": ["ward 1", "ward 2", "none"], "column": "ward"}
    records = Records.open(run(home, source, partition="ward 1", partitions=parted).folder)
    assert set(records.table(columns=["ward"])["ward"].to_pylist()) == {"ward 1"}
    with pytest.raises(SourceError, match='no row belongs to partition "none"'):
        run(home, source, partition="none", partitions=parted)
    with pytest.raises(SourceError, match="holds no dates"):
        run(home, source, partition="2024-01", partitions={**PARTED, "column": "ward"})
    with pytest.raises(SpecError, match="is no monthly partition"):
        run(home, source, partition="January", partitions={**PARTED, "column": "day"})
    with pytest.raises(SourceError, match='no column "dya"'):
        run(home, source, partition="2024-01", partitions={**PARTED, "column": "dya"})


def test_the_contract_is_frozen_and_can_be_changed_on_purpose(home: Home, source: Path) -> None:
    run(home, source)
    whole = people().set_column(3, "cost", pc.cast(pc.round(people()["cost"]), pa.int64()))
    pacsv.write_csv(whole, source)
    kept = Records.open(run(home, source).folder)
    assert kept.schema().field("cost").type == pa.float64()  # whole numbers by chance are still numbers
    pacsv.write_csv(people().drop_columns(["ward"]), source)
    with pytest.raises(ContractError, match='"ward" is gone'):
        run(home, source)
    forced = run(home, source, force=True)
    assert "ward" not in Records.open(forced.folder).schema().names
    assert run(home, source).reused
    pacsv.write_csv(people().set_column(3, "cost", people()["ward"]), source)
    with pytest.raises(ContractError, match='"cost" was double and is now string'):
        run(home, source)
    assert run(home, source, columns={"cost": {"meaning": "category"}}).rows == 3_000


def test_first_partitions_at_once_hold_out_the_same_share(home: Home, tmp_path: Path) -> None:
    place = tmp_path / "visits-{partition}.csv"
    pacsv.write_csv(people(200), tmp_path / "visits-2024-01.csv")
    pacsv.write_csv(people(40_000), tmp_path / "visits-2024-02.csv")  # alone: 20 %, not half
    with ThreadPoolExecutor(2) as pool:
        both = list(
            pool.map(
                lambda month: run(home, place, partition=month, partitions=PARTED, columns=ENTITY),
                ("2024-01", "2024-02"),
            )
        )
    assert len({Records.open(one.folder).facts["split"]["fraction"] for one in both}) == 1
    one, two = (sides(result, "person") for result in both)
    assert not one["train"] & two["holdout"]
    assert not one["holdout"] & two["train"]


def test_a_lost_or_outdated_contract_is_that_of_the_records_in_use(home: Home, source: Path) -> None:
    place = home.folder("work", "visits") / "contract.json"
    run(home, source)
    frozen = place.read_bytes()
    place.unlink()
    assert run(home, source).reused
    assert place.read_bytes() == frozen
    run(home, source, columns={"ward": {"meaning": "text"}})
    assert place.read_bytes() != frozen
    assert run(home, source).reused
    assert place.read_bytes() == frozen


def test_who_is_killed_before_the_commit_keeps_the_share(
    home: Home, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RecordsWriter, "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            run(home, source, columns=ENTITY)
    pacsv.write_csv(people(40_000), source)
    result = run(home, source, columns=ENTITY)
    assert Records.open(result.folder).facts["split"]["fraction"] == 0.5  # as the 1,000 people of the killed run


@pytest.mark.parametrize("form", ["%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y %H:%M"])
def test_the_order_of_day_and_month_is_frozen(home: Home, source: Path, form: str) -> None:
    def write(days: pa.Array, form: str) -> pa.Array:
        pacsv.write_csv(pa.table({"day": pc.strftime(days, format=form), "n": pa.array(range(len(days)))}), source)
        return days.cast(pa.timestamp("us") if "%H" in form else pa.date32())

    def stored(result: Result) -> list[Any]:
        return Records.open(result.folder).table().sort_by("n")["day"].to_pylist()

    many = pa.array([dt.datetime(2024, 1 + i % 12, 1 + i % 28) for i in range(300)], pa.timestamp("us"))
    few = pa.array([dt.datetime(2024, 2, 1 + i % 12) for i in range(300)], pa.timestamp("us"))
    same = pa.array([dt.datetime(2024, 1 + i % 12, 1 + i % 12) for i in range(300)], pa.timestamp("us"))
    for days in (many, few, same, many):
        expected = write(days, form)
        result = run(home, source)
        assert stored(result) == expected.to_pylist()
        assert not any("told apart" in note for note in result.warnings)
    other = form.replace("%m", "?").replace("%d", "%m").replace("?", "%d")
    write(many, other)
    with pytest.raises(ContractError, match='dates of column "day" were read with the') as caught:
        run(home, source)
    assert "2024" not in str(caught.value)
    write(few, form)
    assert run(home, source).rows == 300
    write(many, other)
    assert run(home, source, force=True).rows == 300


def test_digits_that_a_float_cannot_hold_are_told(home: Home, source: Path) -> None:
    amounts = [f"{12_345_678_901_234_567 + i}.89" for i in range(3_000)]
    pacsv.write_csv(people().append_column("amount", pa.array(amounts)), source)
    (note,) = [note for note in run(home, source).warnings if note.startswith("amount")]
    assert "3,000 numbers have more digits" in note
    assert "12345" not in note
    kept = run(home, source, columns={"amount": {"meaning": "text"}})
    assert set(sides(kept, "amount")["train"]) < set(amounts)


def test_a_killed_fetch_leaves_nothing_behind(home: Home, source: Path) -> None:
    leftover = home.folder("work", "visits", "ingest", "fetch@")
    (leftover / "private.parquet").write_text("rows of a run that was killed")
    run(home, source)
    assert not leftover.exists()


def test_no_value_reaches_manifest_or_metrics(home: Home, source: Path) -> None:
    canary = "canary.person@example.org"
    table = people().append_column("mail", pa.array([canary] * 10 + [f"u{i}@example.org" for i in range(2_990)]))
    pacsv.write_csv(table, source)
    result = run(home, source)
    shown = json.dumps(result.to_json()) + (result.folder / "records.json").read_text()
    assert canary not in shown
    assert (home.folder("work", "visits") / "contract.json").read_text().find(canary) < 0


def test_texts_and_numbers_that_mean_missing(home: Home, source: Path, tmp_path: Path) -> None:
    table = people().set_column(3, "cost", pa.array(np.where(np.arange(3_000) % 3 == 0, -999.0, 1.5)))
    columns = {"cost": {"null": ["-999", "-999.0"]}, "ward": {"null": ["ward 1"]}}
    pacsv.write_csv(table, source)
    pq.write_table(table, tmp_path / "typed.parquet")
    for path in (source, tmp_path / "typed.parquet"):
        records = Records.open(run(home, path, name=path.suffix[1:], columns=columns).folder)
        stored = records.table()
        assert set(stored["cost"].to_pylist()) == {None, 1.5}
        assert stored["cost"].null_count == 1_000
        assert "ward 1" not in stored["ward"].to_pylist()
