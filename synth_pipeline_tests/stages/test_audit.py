"""The canary audit: memorisers are caught, honest generators are not, and nothing of the audited model stays."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synth_pipeline.protocols.generator import Capabilities, SampleRequest
from synth_pipeline.protocols.measure import Findings
from synth_pipeline.publishing.retention import find_source, forget
from synth_pipeline.records.home import Home
from synth_pipeline.records.ledger import Ledger
from synth_pipeline.records.records import Records, Unit
from synth_pipeline.records.schema import columns
from synth_pipeline.seeds import Seeds
from synth_pipeline.stages.audit import NAME, audit
from synth_pipeline.stages.run import Run
from synth_pipeline_tests.stages import made


class Copying:
    """Draws training rows as they are."""

    capabilities: ClassVar[Capabilities] = Capabilities()
    version: ClassVar[str] = "1"
    shown: ClassVar[list[Records]] = []
    error: ClassVar[Exception | None] = None

    def __init__(self, config: Any, constraints: Any = (), *, copy_limit: float = 0.045) -> None:
        self.rows: pa.Table

    def fit(self, records: Records, seeds: Any, report: Any) -> None:
        self.shown.append(records)
        report(1, {"loss": 1.0})
        self.rows = records.table()
        if self.error:
            raise self.error

    def sample(self, request: SampleRequest, seeds: Seeds) -> Iterator[tuple[str, pa.RecordBatch]]:
        rng = seeds.generator()
        for batch in self.drawn(request.rows, rng).combine_chunks().to_batches():
            yield "data", batch

    def drawn(self, rows: int, rng: np.random.Generator) -> pa.Table:
        return self.rows.take(pa.array(rng.integers(0, self.rows.num_rows, rows)))

    def save(self, folder: Path) -> None:
        pq.write_table(self.rows, folder / "rows.parquet")

    @classmethod
    def load(cls, folder: Path) -> Copying:
        self = cls(None)
        self.rows = pq.read_table(folder / "rows.parquet")
        return self

    def summary(self) -> dict[str, Any]:
        return {}


class Alone(Copying):
    """Draws each column on its own."""

    def drawn(self, rows: int, rng: np.random.Generator) -> pa.Table:
        names = self.rows.column_names
        drawn = [self.rows.column(n).take(pa.array(rng.integers(0, self.rows.num_rows, rows))) for n in names]
        return pa.table(drawn, schema=self.rows.schema)


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a class in the place of SDV's GaussianCopula."""

    def put(cls: type[Copying]) -> type[Copying]:
        monkeypatch.setattr(
            "synth_pipeline.modalities.tabular.configs.GaussianCopula.implementation", f"{__name__}:{cls.__name__}"
        )
        monkeypatch.setattr(Copying, "shown", [])
        monkeypatch.setattr(Copying, "error", None)
        return cls

    return put


def wiped(home: Home) -> bool:
    """Whether nothing is left of any audited model, nor of rows."""
    left = [path for path in home.root.glob("work/made/audit/**/*") if path.is_file()]
    return all(path.name == "audit.json" or path.suffix in (".lock", ".json") for path in left)


def same(one: Findings, other: Findings) -> bool:
    """Whether two findings differ in nothing but how long they took."""
    notes = [{**found.scores[NAME].to_json(), "seconds": 0.0} for found in (one, other)]
    return notes[0] == notes[1] and one.details == other.details


def test_a_memoriser_is_caught(home: Home, generator: Any) -> None:
    shown = generator(Copying).shown
    found = audit(made.run(home), made.protected(home), 1_000)
    score, told = found.scores[NAME], found.details["audit"]
    assert score.value is not None
    assert score.value > 5
    assert (score.low, score.high, score.reference, score.error) == (score.value, None, 0.0, "")
    assert told == {
        "canaries": 1_000,
        "trained": shown[0].rows() - 600,
        "guesses": 900,
        "right": 900,
        "epsilon": score.value,
        "confidence": 0.95,
        "level": 1.0,
        "generator": "gaussian_copula",
        "rows": 50_000,
    }
    assert "900 guesses" in score.note
    assert "probability < 5 %" in score.note
    assert wiped(home)
    json.dumps(told)


def test_columns_drawn_alone_prove_nothing(home: Home, generator: Any) -> None:
    generator(Alone)
    found = audit(made.run(home), made.protected(home), 400)
    assert found.scores[NAME].value == pytest.approx(0, abs=0.5)
    assert found.scores[NAME].detects == pytest.approx(0.32, abs=0.05)


def test_canaries_are_trained_on_as_persons_of_their_own(home: Home, generator: Any) -> None:
    shown = generator(Copying).shown
    rows = made.table(600)
    ids = pa.array([f"p{i // 3}" for i in range(600)])
    cols = [made.surrogate("who"), *columns(rows.schema)]
    protected = made.protected(home, rows.add_column(0, "who", ids), cols)
    note = json.loads((protected.folder / "records.json").read_text())
    note["unit"]["column"] = "who"
    (protected.folder / "records.json").write_text(json.dumps(note))
    assert Records.open(protected.folder).unit == Unit("data", "who")
    audit(made.run(home), protected, 100)
    records = shown[0]
    units, table = records.facts["units"], records.table()
    assert records.rows() == table.num_rows == len(units) > 600
    assert table.column_names == rows.column_names
    assert table.slice(0, 600).to_pylist() == rows.to_pylist()
    assert sorted(set(units[:600])) == list(range(200))
    assert units[600:].tolist() == list(range(200, 200 + len(units) - 600))
    assert records.splits == ("train",)


def test_the_finding_is_kept_while_nothing_changes(home: Home, generator: Any) -> None:
    shown = generator(Alone).shown
    protected = made.protected(home)
    first = audit(made.run(home), protected, 100)
    assert audit(made.run(home, description="other words"), protected, 100) == first
    assert len(shown) == 1
    forced = Run(**{**made.run(home).__dict__, "force": True})
    assert same(audit(forced, protected, 100), first)
    assert len(shown) == 2
    assert not same(audit(made.run(home, seed=3), protected, 100), first)
    assert not same(audit(made.run(home), protected, 120), first)
    assert audit(made.run(home, validation={"audit": {"canaries": 120}}), protected).details["audit"]["canaries"] == 120
    assert len(shown) == 4


def test_who_cannot_learn_canaries_never_passes_and_leaves_nothing(home: Home, generator: Any) -> None:
    cls = generator(Copying)
    cls.error = ValueError("Jane Doe is no level")
    protected = made.protected(home)
    found = audit(made.run(home), protected, 100)
    score = found.scores[NAME]
    assert (score.value, found.details) == (None, {})
    assert "ValueError" in score.error
    assert "Jane" not in score.error
    assert wiped(home)
    cls.error = None
    assert audit(made.run(home), protected, 100).scores[NAME].value is not None
    cls.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        audit(made.run(home), protected, 110)
    assert wiped(home)
    cls.error = None
    killed = home.folder("work", "made", "audit", "of-a-killed-audit", "model")
    (killed / "rows.parquet").write_bytes(b"rows")
    audit(made.run(home), protected, 100)  # only read again
    assert wiped(home)


def test_a_table_without_room_for_canaries_is_not_measured(home: Home, generator: Any) -> None:
    generator(Copying)
    rows = pa.table({"a": [True, False] * 50, "b": ["x", "x", "y", "y"] * 25})
    score = audit(made.run(home), made.protected(home, rows), 100).scores[NAME]
    assert score.value is None
    assert "not measurable" in score.error


def test_constraints_hold_for_canaries(home: Home, generator: Any) -> None:
    shown = generator(Copying).shown
    draw = np.random.default_rng(0)
    low, gap = draw.integers(0, 50, 600), draw.integers(0, 9, 600)
    town = draw.integers(0, 6, 600)
    rows = pa.table(
        {
            "low": low,
            "high": low + gap,
            "both": 2 * low + gap,
            "town": np.array(["a", "b", "c", "d", "e", "f"])[town],
            "land": np.array(["u", "v"])[town % 2],
            "size": draw.normal(size=600),
        }
    )
    run = made.run(
        home,
        constraints=[
            {"type": "inequality", "low": "low", "high": "high"},
            {"type": "sum", "total": "both", "parts": ["low", "high"]},
            {"type": "fixed_combinations", "columns": ["town", "land"]},
        ],
    )
    found = audit(run, made.protected(home, rows), 200)
    assert found.scores[NAME].value is not None
    lands = {(row["town"], row["land"]) for row in rows.to_pylist()}
    hidden = shown[0].table().slice(600).to_pylist()
    assert len(hidden) > 60
    for row in hidden:
        assert row["low"] <= row["high"]
        assert row["both"] == row["low"] + row["high"]
        assert (row["town"], row["land"]) in lands


def test_forgetting_the_source_forgets_the_audit(home: Home, generator: Any) -> None:
    generator(Alone)
    root = Ledger(home.ledger).root("file:///made.csv", "content")
    protected = made.protected(home)
    note = json.loads((protected.folder / "records.json").read_text())
    note["facts"]["root"] = root
    (protected.folder / "records.json").write_text(json.dumps(note))
    audit(made.run(home), protected, 100)
    assert list(home.root.glob("work/made/audit/*/audit.json"))
    forget(home, find_source(home, "file:///made.csv"))
    assert not list(home.root.glob("work/made/audit/*/*"))


@pytest.mark.parametrize("leaf", [None, 1])
def test_trees(home: Home, leaf: int | None) -> None:
    run = made.run(home, generator={"type": "trees", "min_leaf": leaf})
    protected = made.protected(home)
    found: Findings = audit(run, protected, 400)
    value = found.scores[NAME].value
    assert value is not None
    assert value < 1 if leaf is None else value >= 0
    assert same(found, audit(Run(**{**run.__dict__, "force": True}), protected, 400))


@pytest.mark.parametrize("kind", ["trees", "gaussian_copula"])
def test_a_unique_number_does_not_stop_the_audit(home: Home, kind: str) -> None:
    rows = made.table(400).append_column("number", pa.array(np.random.default_rng(0).permutation(4_000)[:400]))
    run = made.run(home, generator={"type": kind}, constraints=[{"type": "unique", "columns": ["number"]}])
    score = audit(run, made.protected(home, rows), 100).scores[NAME]
    assert score.error == ""
    assert score.value is not None


def test_hostile_tables_give_a_right_or_no_answer(home: Home, generator: Any) -> None:
    generator(Copying)
    draw = np.random.default_rng(0)
    twelve = audit(made.run(home), made.protected(home, made.table(12)), 200).scores[NAME]
    assert twelve.value is not None
    assert twelve.value > 2
    odd = pa.table(
        {
            "gone": pa.nulls(300, pa.float64()),
            "one": ["x"] * 300,
            "wild": np.where(draw.random(300) < 0.1, np.inf, np.where(draw.random(300) < 0.1, np.nan, 1e300)),
            "flag": draw.random(300) < 0.5,
            "size": draw.normal(size=300),
            "many": [f"level {i}" for i in range(300)],
        }
    )
    shutil.rmtree(home.root / "work")
    score = audit(made.run(home), made.protected(home, odd), 200).scores[NAME]
    assert score.value is not None
    assert score.value > 2


@pytest.mark.slow
def test_a_thousand_columns(home: Home, generator: Any) -> None:
    generator(Copying)
    draw = np.random.default_rng(0)
    wide = pa.table({f"c{i}": draw.integers(0, 9, 40) for i in range(1_000)})
    score = audit(made.run(home), made.protected(home, wide), 100).scores[NAME]
    assert score.value is not None
    assert score.value > 1
