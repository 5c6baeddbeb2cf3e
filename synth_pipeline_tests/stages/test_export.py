"""The export stage: what it refuses, what it publishes, and when it has nothing to do."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from synth_pipeline.errors import GateFailed, StorageError
from synth_pipeline.evaluation.gates import judge, load_policy, verdict
from synth_pipeline.evaluation.scorecard import Scorecard
from synth_pipeline.protocols.measure import Score
from synth_pipeline.publishing.audit import verify
from synth_pipeline.publishing.lineage import lineage
from synth_pipeline.publishing.load import find, load
from synth_pipeline.publishing.store import open_store
from synth_pipeline.publishing.versions import Line
from synth_pipeline.records import schema as schemas
from synth_pipeline.records.home import Home
from synth_pipeline.records.identity import digest
from synth_pipeline.records.ledger import Ledger
from synth_pipeline.records.records import RecordsWriter, Unit
from synth_pipeline.spec.dataset import DatasetSpec
from synth_pipeline.stages.export import export
from synth_pipeline.stages.run import Result, Run
from synth_pipeline_tests.publishing.made import SCHEMA, SECRET, rows

GOOD = {
    **{name: Score(0.0, 0.0, 0.001, 0.0, 5000) for name in load_policy("internal").gates},
    "copy_excess": Score(0.01, 0.0, 0.03, 0.0, 5000),
    "mia_auc": Score(0.5, 0.49, 0.51, 0.5, 5000),
    "constraint_violations": Score(0.0, n=5000),
    "shape_error": Score(0.02, 0.01, 0.03, 0.01, 5000),
    "trend_error": Score(0.05, 0.04, 0.06, 0.04, 5000),
    "missing_error": Score(0.01, 0.0, 0.02, 0.0, 5000),
}


class Nouns:
    """All that export reads, made by hand in a home."""

    def __init__(self, tmp_path: Path, home: Home, spec: dict[str, Any] | None = None, **more: Any) -> None:
        source = {"type": "file", "path": str(tmp_path / "attic" / "visits.csv")}
        self.spec = DatasetSpec.model_validate({"name": "visits", "source": source, **(spec or {})})
        self.run = Run(self.spec, home, str(tmp_path / "releases"), run_id="run-1", **more)
        self.root = Ledger(home.ledger).root(f"file://{tmp_path}/attic/visits.csv", "c")
        facts = {
            "root": self.root,
            "source": {
                "uri": f"file://{tmp_path}/attic/visits.csv",
                "kind": "file",
                "content_id": "c",
                "token": SECRET,
            },
            "rows": {"train": 60, "holdout": 20, "rejected": 0},
            "split": {"kind": "keyed", "key_id": "split-1", "unit": "id", "fraction": 0.25},
            "inferred": {"age": {"evidence": SECRET}},
        }
        self.ingested = self.records("ingest", 80, 7, facts)
        actions = {column.name: dict(column.action) for column in schemas.columns(SCHEMA) if column.action}
        report = [{"column": "email", "entity": "email", "share": 0.9876, "action": "fake", "reason": "pattern"}]
        guarded = {
            "root": self.root, "ingested": self.ingested.content_id, "key_id": "pseudonym-1",
            "actions": {**actions, "notes": {"type": "drop"}}, "report": report,
        }  # fmt: skip
        self.protected = self.records("protect", 80, 8, guarded)
        self.model = self.result("train", "m0del")
        (self.model.folder / "model.json").write_text(
            json.dumps({
                "content_id": "m0del", "type": "trees", "config": {"type": "trees"}, "generator_version": "1",
                "rows": 60,
                "libraries": {"numpy": "2"}, "licence": "", "capabilities": {"bit_exact": True}, "root": self.root,
            })
        )  # fmt: skip
        (self.model.folder / "history.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
        drawn = {"root": self.root, "model": "m0del", "rows": 60, "rejected": 0, "violations": {}, "shards": 1}
        drawn["seed"] = 77  # what the rows were drawn with, whatever the YAML says by now
        self.synthetic = self.records("generate", 60, 9, drawn)
        self.scorecard = self.scored(GOOD)

    def result(self, stage: str, content_id: str) -> Result:
        folder = self.run.home.noun("visits", stage, content_id)
        folder.mkdir(parents=True, exist_ok=True)
        return Result(stage, "p" * 64, content_id, folder)

    def records(self, stage: str, n: int, seed: int, facts: dict[str, Any]) -> Result:
        folder = self.run.home.noun("visits", stage, f"{stage}{seed}")
        folder.mkdir(parents=True)
        town = schemas.Column.of(SCHEMA.field("town")).having(type=pa.string()).field()
        schema = SCHEMA.set(SCHEMA.get_field_index("town"), town)  # as ingest freezes it
        writer = RecordsWriter(folder, {"data": schema})
        writer.write("data", "train", rows(n, seed).cast(schema))
        made = writer.commit(Unit(), facts)
        return Result(stage, "p" * 64, made.content_id, folder)

    def scored(self, scores: dict[str, Score], checks: tuple[dict[str, Any], ...] = (), **judged: str) -> Result:
        policy = load_policy("internal")
        gates = judge(scores, policy)
        seen = {
            "synthetic": self.synthetic.content_id,
            "protected": self.protected.content_id,
            "model": "m0del",
            **judged,
        }
        card = Scorecard("visits", None, policy.to_json(), scores, gates, verdict(gates, checks), seen, checks=checks)
        result = self.result("validate", f"card-{len(checks)}-{len(judged)}-{scores['copy_excess'].value}")
        note = {**card.to_json(), "content_id": result.content_id, "root": self.root}
        (result.folder / "scorecard.json").write_text(json.dumps(note))
        return result

    def export(self, **more: Any) -> Result:
        return export(self.run, **{
            "scorecard": self.scorecard, "synthetic": self.synthetic, "model": self.model,
            "protected": self.protected, **more,
        })  # fmt: skip


@pytest.fixture
def made(tmp_path: Path, home: Home) -> Nouns:
    return Nouns(tmp_path, home)


def test_a_release_tells_its_whole_way_and_nothing_private(made: Nouns, tmp_path: Path) -> None:
    done = made.export()
    release = load("visits", store=made.run.store)
    manifest = release.members[0][1]
    assert (done.metrics["version"], done.rows, done.reused) == ("v0001", 60, False)
    assert done.content_id == manifest.content_id
    assert Path(done.metrics["report"]).is_file()
    assert (manifest.source.uri, manifest.source.root) == ("visits.csv", made.root)
    assert manifest.privacy.actions["notes"] == {"type": "drop"}
    assert manifest.privacy.actions["email"] == {
        "type": "fake", "entity": "email", "locale": "en_US", "surrogate": True,
    }  # fmt: skip
    assert manifest.privacy.found == ({"column": "email", "entity": "email", "action": "fake"},)
    assert (manifest.privacy.key_id, manifest.privacy.split["key_id"]) == ("pseudonym-1", "split-1")
    assert manifest.training.generator == "trees"
    assert manifest.generation.seed == 77 != made.run.spec.seed
    assert manifest.execution == {"run_id": "run-1"}
    assert {gate["name"] for gate in manifest.validation.gates} == set(GOOD)
    assert verify(release.members[0][0], "v0001").sound
    for path in (tmp_path / "releases").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for private in (SECRET, "0.123456", "0.9876", str(tmp_path), "attic"):
                assert private.encode() not in data, (path.name, private)
    released = Ledger(made.run.home.ledger).releases(made.root)
    assert [(r.dataset, r.version, r.content_id) for r in released] == [("visits", "v0001", done.content_id)]


def test_lineage_finds_what_is_still_at_home(made: Nouns) -> None:
    made.export()
    line, manifest = find(open_store(made.run.store), "visits").members[0]
    steps = {step.noun: step for step in lineage(made.run.home, line, manifest)}
    for noun, result in (("ingested", made.ingested), ("protected", made.protected), ("synthetic", made.synthetic)):
        assert (steps[noun].content_id, steps[noun].folder) == (result.content_id, str(result.folder))
    assert steps["model"].folder == str(made.model.folder)
    assert steps["scorecard"].folder == str(made.scorecard.folder)
    assert steps["source"].note == "file visits.csv"


def test_running_again_changes_nothing_until_the_store_does(made: Nouns, tmp_path: Path) -> None:
    first = made.export()
    again = made.export()
    assert (again.reused, again.metrics, again.content_id) == (True, first.metrics, first.content_id)
    forced = replace(made.run, force=True)
    made.run = forced
    assert made.export().reused
    assert find(open_store(made.run.store), "visits").version == "v0001"
    made.run = replace(forced, force=False, store=str(tmp_path / "elsewhere"))
    assert made.export().metrics["version"] == "v0001"
    assert load("visits", store=tmp_path / "elsewhere").rows == 60
    shutil.rmtree(tmp_path / "elsewhere")
    assert not made.export().reused
    assert load("visits", store=tmp_path / "elsewhere").rows == 60


def test_a_failed_or_unclear_gate_publishes_nothing(made: Nouns, tmp_path: Path) -> None:
    for score, word in (
        (Score(0.3, 0.25, 0.35, 0.0, 5000), "fail"),
        (Score(0.07, 0.05, 0.09, 0.0, 5000), "inconclusive"),
    ):
        card = made.scored({**GOOD, "copy_excess": score})
        with pytest.raises(GateFailed, match=rf"copy_excess: {word}[\s\S]*0\.08[\s\S]*") as caught:
            made.export(scorecard=card)
        assert str(card.folder / "scorecard.json") in str(caught.value)
        assert caught.value.exit_code == 3
    missing = {name: score for name, score in GOOD.items() if name != "shape_error"}
    with pytest.raises(GateFailed, match="shape_error: inconclusive"):
        made.export(scorecard=made.scored(missing))
    assert not (tmp_path / "releases").exists()


def test_a_scorecard_that_lies_about_its_verdict_is_judged_again(made: Nouns) -> None:
    card = made.scored({**GOOD, "copy_excess": Score(0.3, 0.25, 0.35, 0.0, 5000)})
    path = card.folder / "scorecard.json"
    note = json.loads(path.read_bytes())
    note["verdict"] = "pass"
    note["gates"] = [{**gate, "verdict": "pass"} for gate in note["gates"]]
    path.write_text(json.dumps(note))
    with pytest.raises(GateFailed, match="copy_excess: fail"):
        made.export(scorecard=card)


def test_a_scorecard_of_another_policy_is_refused(made: Nouns, tmp_path: Path) -> None:
    note = made.spec.model_dump(mode="json", exclude_unset=True)
    made.run = replace(made.run, spec=DatasetSpec.model_validate({**note, "validation": {"policy": "public"}}))
    with pytest.raises(GateFailed, match="validate again"):
        made.export()
    stricter = load_policy("internal").to_json()
    stricter["gates"]["copy_excess"]["max"], stricter["name"] = 0.001, "strict"
    (tmp_path / "strict.yaml").write_text(json.dumps(stricter))
    spec = DatasetSpec.model_validate({**note, "validation": {"policy": "strict.yaml"}})
    made.run = replace(made.run, spec=spec, base=tmp_path)
    with pytest.raises(GateFailed, match="validate again"):
        made.export()


def test_what_another_dataset_published_meanwhile_must_be_measured_first(made: Nouns) -> None:
    ledger = Ledger(made.run.home.ledger)
    ledger.release(made.root, "cousin", None, "v0001", "other rows", "elsewhere")
    with pytest.raises(GateFailed, match="validate again"):
        made.export()
    assert made.export(scorecard=made.scored(GOOD, earlier=digest(["other rows"]))).rows == 60
    ledger.release(made.root, "cousin", None, "v0002", "more rows", "elsewhere")
    with pytest.raises(GateFailed, match="validate again"):
        made.export(scorecard=made.scored(GOOD, earlier=digest(["other rows"])))


def test_the_public_scorecard_counts_no_single_rows(made: Nouns) -> None:
    told = Score(0.0, 0.0, 0.001, 0.0, 5000, "3 released rows equal a training row")
    done = made.export(scorecard=made.scored({**GOOD, "exact_match_excess": told}))
    text = (Path(done.metrics["path"]) / "scorecard.json").read_text()
    assert "exact_match_excess" in text
    assert "training row" not in text


def test_only_blocking_checks_block(made: Nouns) -> None:
    card = made.scored(GOOD, ({"name": "residual_scan", "passed": False, "blocking": True},))
    with pytest.raises(GateFailed, match="residual_scan"):
        made.export(scorecard=card)
    advice = made.scored(GOOD, ({"name": "a", "passed": False, "blocking": False}, {"name": "b", "passed": True}))
    assert made.export(scorecard=advice).metrics["version"] == "v0001"


def test_a_scorecard_of_other_bytes_is_refused(made: Nouns) -> None:
    for noun in ("synthetic", "protected", "model"):
        with pytest.raises(GateFailed, match=f"judged another {noun}"):
            made.export(scorecard=made.scored(GOOD, **{noun: "other"}))
    (made.scorecard.folder / "scorecard.json").write_text("{")
    with pytest.raises(StorageError, match="scorecard cannot be read"):
        made.export()


def test_a_store_that_cannot_be_written_is_named(made: Nouns, tmp_path: Path) -> None:
    (tmp_path / "releases").write_text("a file")
    with pytest.raises(StorageError, match="could not be written") as caught:
        made.export()
    assert str(tmp_path / "releases") in str(caught.value)
    (tmp_path / "releases").unlink()
    assert made.export().metrics["version"] == "v0001"


def test_what_was_retracted_does_not_come_back_by_itself(made: Nouns) -> None:
    made.export()
    Line(open_store(made.run.store), "visits").retract("v0001", "it should not have been")
    with pytest.raises(GateFailed, match="it should not have been"):
        made.export()


def test_a_new_description_is_a_new_version_of_the_same_rows(made: Nouns) -> None:
    first = made.export()
    note = made.spec.model_dump(mode="json", exclude_unset=True)
    note["columns"] = {"age": {"description": "Age at the visit"}}
    made.run = replace(made.run, spec=DatasetSpec.model_validate(note))
    second = made.export()
    assert second.metrics["version"] == "v0002"
    assert "Age at the visit" in (Path(second.metrics["path"]) / "README.md").read_text()
    assert second.content_id == first.content_id
