"""Training: what the generator may see, what the manifest tells, and that nothing foreign is ever loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.errors import SpecError, StorageError, TrainingError
from synth_pipeline.modalities.tabular.configs import Trees as TreesConfig
from synth_pipeline.modalities.tabular.models.trees import Trees
from synth_pipeline.protocols.generator import Capabilities, SampleRequest
from synth_pipeline.records.home import Home
from synth_pipeline.records.ledger import Ledger
from synth_pipeline.records.records import Records, Unit
from synth_pipeline.records.schema import Column, Meaning, Role, columns, schema_of
from synth_pipeline.seeds import Seeds
from synth_pipeline.stages.run import manifest
from synth_pipeline.stages.train import learned_records, load_generator, train
from synth_pipeline_tests.stages import made


class Listening:
    """A generator that keeps what it was shown; what a plug-in would be."""

    capabilities: ClassVar[Capabilities] = Capabilities()
    version: ClassVar[str] = "7"
    shown: ClassVar[list[Records]] = []
    error: ClassVar[Exception | None] = None

    def __init__(self, config: Any, constraints: Any = (), *, copy_limit: float = 0.045) -> None:
        self.copy_limit = copy_limit

    def fit(self, records: Records, seeds: Any, report: Any) -> None:
        if self.error:
            raise self.error
        self.shown.append(records)
        report(1, {"loss": 2.5})
        report(2, {"loss": 1.5})

    def save(self, folder: Path) -> None:
        (folder / "limit.json").write_text(json.dumps(self.copy_limit))

    @classmethod
    def load(cls, folder: Path) -> Listening:
        return cls(None, copy_limit=json.loads((folder / "limit.json").read_text()))

    def summary(self) -> dict[str, Any]:
        return {"limit": self.copy_limit}


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> type[Listening]:
    monkeypatch.setattr(
        "synth_pipeline.modalities.tabular.configs.GaussianCopula.implementation", f"{__name__}:Listening"
    )
    monkeypatch.setattr(Listening, "shown", [])
    monkeypatch.setattr(Listening, "error", None)
    return Listening


def with_surrogate() -> tuple[pa.Table, list[Column]]:
    rows = made.table(200)
    cols = [made.surrogate("name"), *columns(rows.schema), Column("note", pa.string(), Meaning.TEXT)]
    text = pa.array([f"person {i}" for i in range(200)])
    return rows.add_column(0, "name", text).append_column("note", text), cols


def test_who_claims_to_need_no_rows_sees_none(
    home: Home, listening: type[Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "capabilities", Capabilities(source_free=True))
    rows, cols = with_surrogate()
    train(made.run(home), made.protected(home, rows, cols))
    shown = listening.shown[0]
    assert shown.schema().names == made.table(1).column_names
    assert shown.rows() == shown.table().num_rows == 0
    assert not shown.facts
    assert shown.folder is None


def test_a_policy_without_privacy_gates_is_refused_to_who_learns_from_rows(
    home: Home, listening: type[Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, rows = made.run(home, validation={"policy": "source_free"}), made.protected(home)
    with pytest.raises(SpecError, match="no private rows"):
        train(run, rows)
    assert not listening.shown
    monkeypatch.setattr(listening, "capabilities", Capabilities(source_free=True))
    train(run, rows)


def test_generators_see_train_rows_and_learned_columns_only(home: Home, listening: type[Listening]) -> None:
    rows, cols = with_surrogate()
    train(made.run(home), made.protected(home, rows, cols))
    shown = listening.shown[0]
    assert shown.schema().names == made.table(1).column_names
    assert shown.splits == ("train",)
    assert shown.rows() == shown.table().num_rows == 200
    assert shown.table().column_names == made.table(1).column_names


def test_manifest_and_history(home: Home, listening: type[Listening]) -> None:
    told: list[tuple[int, dict[str, float]]] = []
    run = made.run(home)
    object.__setattr__(run, "report", lambda step, values: told.append((step, dict(values))))
    result = train(run, made.protected(home))
    note = manifest(result.folder, "train")
    assert note["content_id"] == result.content_id
    assert note["type"] == "gaussian_copula"
    assert note["generator_version"] == "7"
    assert set(note["files"]) == {"generator/limit.json"}
    assert note["rows"] == result.rows == 600
    assert note["root"] == "root-of-test"
    assert {"numpy", "pyarrow", "scikit-learn"} <= set(note["libraries"])
    assert note["summary"] == {"limit": note["summary"]["limit"]}
    history = [json.loads(line) for line in (result.folder / "history.jsonl").read_text().splitlines()]
    assert history == [{"step": 1, "loss": 2.5}, {"step": 2, "loss": 1.5}]
    assert told == [(1, {"loss": 2.5}), (2, {"loss": 1.5})]
    assert [(stage, folder) for _, stage, folder in Ledger(home.ledger).derived("root-of-test")] == [
        ("train", result.folder)
    ]


def test_unchanged_is_reused_and_force_trains_again(home: Home, listening: type[Listening]) -> None:
    protected = made.protected(home)
    first = train(made.run(home), protected)
    second = train(made.run(home, description="another text", owners=["me@example.org"]), protected)
    assert (second.reused, second.content_id) == (True, first.content_id)
    assert len(listening.shown) == 1
    forced = made.run(home)
    object.__setattr__(forced, "force", True)
    third = train(forced, protected)
    assert (third.reused, third.content_id) == (False, first.content_id)
    assert train(made.run(home, seed=5), protected).plan_id != first.plan_id


@pytest.mark.parametrize("harm", ["change", "add", "remove"])
def test_a_model_that_was_tampered_with_is_not_loaded(home: Home, listening: type[Listening], harm: str) -> None:
    folder = train(made.run(home), made.protected(home)).folder
    assert load_generator(folder)[1]["generator_version"] == "7"
    file = folder / "generator" / "limit.json"
    if harm == "change":
        file.write_text("0.9")
    elif harm == "add":
        (folder / "generator" / "more.pkl").write_bytes(b"x")
    else:
        file.unlink()
    with pytest.raises(StorageError, match="manifest"):
        load_generator(folder)


def test_a_library_s_error_loses_its_values(home: Home, listening: type[Listening]) -> None:
    listening.error = ValueError("bad value 'Jane Doe' in row 17")
    protected = made.protected(home)
    with pytest.raises(TrainingError) as caught:
        train(made.run(home), protected)
    assert "Jane" not in str(caught.value)
    assert "ValueError" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    listening.error = None
    assert train(made.run(home), protected).rows == 600


def test_nothing_to_learn_is_an_error(home: Home) -> None:
    rows = pa.table({"name": ["a", "b"]})
    with pytest.raises(TrainingError, match="no column is left"):
        train(made.run(home), made.protected(home, rows, [made.surrogate("name")]))


def test_no_rows_are_an_error(home: Home) -> None:
    with pytest.raises(TrainingError, match="no training rows"):
        train(made.run(home), made.protected(home, made.table(1).slice(0, 0)))


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ({"type": "range", "column": "agee", "min": 0}, '"age"'),
        ({"type": "range", "column": "name", "min": 0}, "name"),
    ],
)
def test_constraints_on_what_is_never_learned(
    home: Home, listening: type[Listening], constraint: dict[str, Any], message: str
) -> None:
    rows, cols = with_surrogate()
    with pytest.raises(SpecError, match=message):
        train(made.run(home, constraints=[constraint]), made.protected(home, rows, cols))


def test_a_unique_surrogate_is_no_matter_of_the_generator(home: Home, listening: type[Listening]) -> None:
    rows, cols = with_surrogate()
    run = made.run(home, constraints=[{"type": "unique", "columns": ["name"]}])
    assert train(run, made.protected(home, rows, cols)).rows == 200


def test_sdv_s_licence_stands_in_the_manifest(home: Home) -> None:
    result = train(made.run(home), made.protected(home, made.table(100)))
    note = manifest(result.folder, "train")
    assert note["licence"] == "BUSL-1.1"
    assert {"sdv", "torch"} <= set(note["libraries"])
    generator, _ = load_generator(result.folder)
    assert generator.summary() == note["summary"]


def test_learned_records_read_nothing_else(home: Home) -> None:
    rows, cols = with_surrogate()
    shown = learned_records(Records.open(made.protected(home, rows, cols).folder))
    assert sum(batch.num_rows for _, batch in shown.batches()) == 200
    assert "name" not in shown.schema().names


def test_generators_are_told_which_rows_are_of_one_person_and_replay_nobodys_value() -> None:
    rng = np.random.default_rng(0)
    units = rng.permutation(np.repeat(np.arange(200), 25))
    own = np.round(rng.normal(75, 12, 200), 4)
    shape = schema_of(
        [
            Column("person", pa.string(), Meaning.IDENTIFIER, roles=frozenset({Role.ENTITY})),
            Column("weight", pa.float64(), Meaning.NUMBER),
            Column("ward", pa.string(), Meaning.CATEGORY),
        ]
    )
    rows = pa.table([[f"P{unit}" for unit in units], own[units], rng.choice(list("abc"), len(units))], schema=shape)
    shown = learned_records(Records.of({"train": {"data": rows}}, Unit("data", "person")))
    assert shown.schema().names == ["weight", "ward"]
    told = shown.facts["units"]
    assert len(set(told)) == len(set(zip(told, units, strict=True))) == 200
    trees = Trees(TreesConfig(type="trees", min_leaf=100))
    trees.fit(shown, Seeds(0), lambda _step, _values: None)
    drawn = pa.Table.from_batches([batch for _, batch in trees.sample(SampleRequest(5_000), Seeds(1))])
    assert np.isin(drawn.column("weight").to_numpy(), own).mean() < 0.01

    once = rows.take(pa.array(np.unique(units, return_index=True)[1]))
    assert "units" not in learned_records(Records.of({"train": {"data": once}}, Unit("data", "person"))).facts
