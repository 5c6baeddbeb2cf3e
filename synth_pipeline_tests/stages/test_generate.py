"""Generation: as many rows as asked for, in the protected schema, under conditions and constraints, always the same."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from synth_pipeline.errors import SpecError, TrainingError
from synth_pipeline.modalities.tabular.models.sdv import Sdv
from synth_pipeline.progress import Tick, listening
from synth_pipeline.protocols.generator import Capabilities
from synth_pipeline.records.home import Home
from synth_pipeline.records.records import Records
from synth_pipeline.records.schema import Column, Meaning, Role, columns
from synth_pipeline.seeds import Seeds
from synth_pipeline.spec.generation import Generation
from synth_pipeline.stages.generate import DIGITAL_SOURCE_TYPE, draw, generate
from synth_pipeline.stages.run import Result
from synth_pipeline.stages.train import train
from synth_pipeline_tests.stages import made


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Result, Result]:
    """One GaussianCopula for all tests that only draw from it."""
    home = Home(tmp_path_factory.mktemp("trained") / "home")
    rows = made.table()
    cols = [made.surrogate("name"), *columns(rows.schema)]
    protected = made.protected(home, rows.add_column(0, "name", pa.array([f"p{i}" for i in range(600)])), cols)
    return home, train(made.run(home), protected), protected


def go(trained: tuple[Home, Result, Result], **sections: Any) -> Result:
    home, model, protected = trained
    return generate(made.run(home, **sections), model, protected)


def test_as_many_rows_as_train_by_default(trained: tuple[Home, Result, Result]) -> None:
    result = go(trained)
    rows = made.rows_of(result)
    records = Records.open(result.folder)
    assert result.rows == rows.num_rows == 600
    assert records.splits == ("train",)
    assert rows.column_names == ["name", *made.table(1).column_names]
    assert len(set(rows["name"].to_pylist())) == 600
    assert not set(rows["name"].to_pylist()) & {f"p{i}" for i in range(600)}
    assert records.facts == {
        "root": "root-of-test",
        "model": trained[1].content_id,
        "seed": 0,
        "conditions_real": False,
        "rows": 600,
        "rejected": 0,
        "violations": {},
        "shards": 1,
        "empty": [],
    }


@pytest.mark.parametrize(
    ("generation", "rows", "shards"),
    [
        ({"rows": 1}, 1, 1),
        ({"rows": 1001, "shard_rows": 250}, 1001, 5),
        ({"ratio": 0.25, "shard_rows": 50}, 150, 3),
        ({"ratio": 1e-9}, 1, 1),
    ],
)
def test_rows_and_shards(
    trained: tuple[Home, Result, Result], generation: dict[str, Any], rows: int, shards: int
) -> None:
    result = go(trained, generation=generation)
    parts = Records.open(result.folder).parts
    assert result.rows == rows == made.rows_of(result).num_rows
    assert [part.path for part in parts] == [f"data/train-{i:05d}.parquet" for i in range(shards)]
    assert {part.rows for part in parts[:-1]} <= {generation.get("shard_rows")}


def test_seed_decides_and_nothing_else(trained: tuple[Home, Result, Result]) -> None:
    first = go(trained, generation={"rows": 300})
    assert go(trained, generation={"rows": 300}).reused
    assert go(trained, generation={"rows": 300}, seed=1).content_id != first.content_id
    forced = made.run(trained[0], generation={"rows": 300}, engine={"type": "local", "workers": 2})
    object.__setattr__(forced, "force", True)
    again = generate(forced, *trained[1:])
    assert (again.reused, again.content_id) == (False, first.content_id)


def test_shards_differ(trained: tuple[Home, Result, Result]) -> None:
    rows = made.rows_of(go(trained, generation={"rows": 400, "shard_rows": 200}))
    assert rows.slice(0, 200)["income"].to_pylist() != rows.slice(200)["income"].to_pylist()


def test_parts_say_what_they_are_and_no_more(trained: tuple[Home, Result, Result]) -> None:
    result = go(trained)
    schema = pq.read_schema(Records.open(result.folder).folder / "data/train-00000.parquet")
    assert schema.metadata[b"digital_source_type"] == DIGITAL_SOURCE_TYPE
    note = json.loads(schema.field("name").metadata[b"synth"])
    assert note["action"] == {"type": "fake", "surrogate": True}
    assert Column.of(Records.open(result.folder).schema().field("name")).action["locale"] == "en_US"


def test_a_library_s_error_while_drawing_loses_its_values(
    trained: tuple[Home, Result, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise KeyError("Jane Doe")
        yield

    monkeypatch.setattr(Sdv, "sample", fail)
    with pytest.raises(TrainingError) as caught:
        go(trained, seed=99)
    assert "Jane" not in str(caught.value)
    assert "KeyError" in str(caught.value)
    assert caught.value.__suppress_context__


def test_progress_is_told(trained: tuple[Home, Result, Result]) -> None:
    ticks: list[Tick] = []
    with listening(ticks.append):
        go(trained, generation={"rows": 90, "shard_rows": 30}, seed=77)
    assert [(tick.done, tick.total) for tick in ticks if tick.stage == "generate"] == [
        (0, 90),
        (30, 90),
        (60, 90),
        (90, 90),
    ]


def test_a_column_that_nothing_makes_stays_empty_and_is_told(home: Home) -> None:
    rows = made.table(100)
    cols = [*columns(rows.schema), Column("note", pa.string(), Meaning.TEXT, nullable=False)]
    protected = made.protected(home, rows.append_column("note", rows["kind"]), cols)
    run = made.run(home)
    result = generate(run, train(run, protected), protected)
    assert made.rows_of(result)["note"].null_count == 100
    assert "note" in result.warnings[0]


# --- conditions and balance ------------------------------------------------------------------------------------------


GENERATORS = pytest.mark.parametrize("kind", ["trees", "gaussian_copula"])


def drawn(home: Home, kind: str, **generation: Any) -> pa.Table:
    protected = home.folder("work", "made", "protect") / "plan"
    result = (
        Result("protect", "plan", Records.open(protected).content_id, protected)
        if protected.exists()
        else made.protected(home)
    )
    run = made.run(home, generator={"type": kind}, generation=generation)
    return made.rows_of(generate(run, train(run, result), result))


@GENERATORS
def test_conditions(home: Home, kind: str) -> None:
    rows = drawn(home, kind, rows=200, conditions={"kind": "red", "member": True})
    assert set(rows["kind"].to_pylist()) == {"red"}
    assert set(rows["member"].to_pylist()) == {True}
    assert drawn(home, kind, rows=20, conditions={"member": None})["member"].null_count == 20
    assert set(drawn(home, kind, rows=20, conditions={"age": 40})["age"].to_pylist()) == {40}
    day = str(made.table()["since"][7].as_py())
    assert {
        str(drawn_day) for drawn_day in drawn(home, kind, rows=20, conditions={"since": day})["since"].to_pylist()
    } == {day}


@GENERATORS
def test_balance(home: Home, kind: str) -> None:
    uniform = drawn(home, kind, rows=900, balance={"kind": "uniform"})
    counts = {pair["values"]: pair["counts"] for pair in uniform["kind"].value_counts().to_pylist()}
    assert all(count == pytest.approx(300, abs=60) for count in counts.values())
    weighted = drawn(home, kind, rows=300, balance={"member": {"true": 9, "false": 1}})
    assert pc.mean(weighted["member"].cast(pa.int8())).as_py() == pytest.approx(0.9, abs=0.06)


@GENERATORS
def test_balance_of_float_levels(home: Home, kind: str) -> None:
    grades = [2.5 if i % 3 == 2 else i % 3 + 1.0 for i in range(600)]
    columns = [Column("grade", pa.float64(), Meaning.CATEGORY), Column("age", pa.int64(), Meaning.NUMBER)]
    made.protected(home, pa.table({"grade": grades, "age": [18 + i % 50 for i in range(600)]}), columns)
    assert set(drawn(home, kind, rows=200, balance={"grade": {"1": 1, "2.5": 1}})["grade"].to_pylist()) == {1.0, 2.5}
    assert set(drawn(home, kind, rows=100, balance={"grade": {"2.0": 1}})["grade"].to_pylist()) == {2.0}
    assert set(drawn(home, kind, rows=200, balance={"grade": "uniform"})["grade"].to_pylist()) == {1.0, 2.0, 2.5}


@pytest.mark.parametrize(
    ("generation", "message"),
    [
        ({"conditions": {"kindd": "red"}}, '"kind"'),
        ({"conditions": {"name": "p1"}}, "never see"),
        ({"conditions": {"age": "old"}}, "not a int64"),
        ({"conditions": {"age": 7.5}}, "not a int64"),
        ({"conditions": {"age": True}}, "not a int64"),
        ({"conditions": {"age": 300}}, "outside what was learned"),
        ({"conditions": {"age": None}}, "not among"),
        ({"conditions": {"kind": "purple"}}, "not among"),
        ({"conditions": {"since": "yesterday"}}, "not a date32"),
        ({"balance": {"kind": {"purple": 1.0}}}, "not among"),
        ({"balance": {"member": {"maybe": 1.0}}}, "not among"),
        ({"balance": {"kind": {"red": -1.0}}}, "negative"),
        ({"balance": {"kind": {"red": 0.0}}}, "positive"),
        ({"balance": {"age": "uniform"}}, "category or boolean"),
        ({"balance": {"name": "uniform"}}, "never see"),
    ],
)
def test_wrong_conditions_are_found_before_drawing(
    trained: tuple[Home, Result, Result], generation: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        go(trained, generation=generation)
    assert "generation" in caught.value.where
    assert "red, " not in str(caught.value)  # the learned levels are not printed
    assert "blue" not in str(caught.value)


def test_a_generator_without_conditions_says_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sdv, "capabilities", Capabilities())
    protected = made.protected(home)
    run = made.run(home, generation={"conditions": {"kind": "red"}})
    with pytest.raises(SpecError, match="cannot draw under conditions"):
        generate(run, train(run, protected), protected)


# --- constraints that the generator does not keep --------------------------------------------------------------------


CONSTRAINTS = [
    {"type": "range", "column": "age", "min": 40},
    {"type": "predicate", "expression": "kind != 'red' or member == true"},
    {"type": "formula", "column": "income", "expression": "age * 2.5"},
    {"type": "fixed_combinations", "columns": ["kind", "member"]},
]


def test_constraints_are_kept_by_derivation_and_rejection(home: Home) -> None:
    rows = made.table()
    rows = rows.filter(pc.invert(pc.and_kleene(pc.equal(rows["kind"], "blue"), pc.fill_null(rows["member"], False))))
    protected = made.protected(home, rows)
    run = made.run(home, constraints=CONSTRAINTS, generation={"rows": 500, "shard_rows": 200})
    result = generate(run, train(run, protected), protected)
    drawn = made.rows_of(result)
    assert pc.min(drawn["age"]).as_py() >= 40
    assert np.allclose(drawn["income"].to_numpy(), drawn["age"].to_numpy() * 2.5)
    assert {(row["kind"], row["member"]) for row in drawn.to_pylist()} <= {
        (row["kind"], row["member"]) for row in rows.to_pylist()
    }
    assert not any(row["kind"] == "red" and row["member"] is False for row in drawn.to_pylist())
    assert result.metrics["rejected"] > 0
    assert result.metrics["violations"] == 0
    assert result.warnings == ()


def test_what_cannot_be_kept_is_counted(home: Home) -> None:
    protected = made.protected(home)
    run = made.run(home, constraints=[{"type": "range", "column": "age", "min": 1000}], generation={"rows": 50})
    result = generate(run, train(run, protected), protected)
    assert Records.open(result.folder).facts["violations"] == {"range(age)": 50}
    assert result.metrics["violations"] == 50
    assert "50 rows" in result.warnings[0]


def test_conditions_on_what_follows_from_other_columns(home: Home) -> None:
    protected = made.protected(home)
    run = made.run(home, constraints=[CONSTRAINTS[2]], generation={"conditions": {"income": 100.0}})
    with pytest.raises(SpecError, match="follows from a constraint"):
        generate(run, train(run, protected), protected)


# --- audit rows ------------------------------------------------------------------------------------------------------


def test_audit_rows(trained: tuple[Home, Result, Result]) -> None:
    _, model, protected = trained
    records = Records.open(protected.folder)

    def rows(seed: int, start: int = 0, **more: Any) -> pa.Table:
        return pa.Table.from_batches(b for _, b in draw(model, records, 300, Seeds(seed), start, **more))

    assert rows(1).num_rows == 300
    assert rows(1).column_names == made.table(1).column_names
    assert rows(1).equals(rows(1))
    assert not rows(1).equals(rows(2))
    assert not rows(1).equals(rows(1, start=300))
    conditioned = rows(1, generation=Generation(conditions={"kind": "blue"}))
    assert set(conditioned["kind"].to_pylist()) == {"blue"}


# --- several processes -----------------------------------------------------------------------------------------------


def test_same_content_with_one_and_two_workers(home: Home) -> None:
    """Surrogates that repeat (persons) and that do not (names), beside what trees draw."""
    rows = made.table()
    rows = rows.append_column("name", rows["kind"]).append_column("person", rows["kind"])
    person = made.surrogate("person", unique=False, multiplicity=[[2, 5], [3, 5]]).having(
        roles=frozenset({Role.ENTITY})
    )
    cols = [*columns(made.table(1).schema), made.surrogate("name"), person]
    protected = made.protected(home, rows, cols)
    generation = {"rows": 330_000, "shard_rows": 60_000}
    run = made.run(home, generator={"type": "trees"}, generation=generation, engine={"workers": 1})
    model = train(run, protected)
    alone = generate(run, model, protected)
    together = made.run(home, generator={"type": "trees"}, generation=generation, engine={"workers": 2})
    object.__setattr__(together, "force", True)
    both = generate(together, model, protected)
    assert (both.reused, both.content_id) == (False, alone.content_id)
    drawn = made.rows_of(both)
    assert pc.count_distinct(drawn["name"]).as_py() == drawn.num_rows == 330_000
    sizes = drawn["person"].value_counts().field("counts").to_pylist()
    assert sorted(set(sizes) - {1}) == [2, 3]
