"""Earlier releases as an input of validation: which ones count, and that an unchanged dataset is validated once."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from synth_pipeline.evaluation.cumulative import cumulative
from synth_pipeline.evaluation.measuring import Measure
from synth_pipeline.modalities.tabular import measures
from synth_pipeline.protocols.measure import Evidence
from synth_pipeline.publishing.release import Contents
from synth_pipeline.publishing.store import open_store
from synth_pipeline.publishing.versions import Line
from synth_pipeline.records.home import Home
from synth_pipeline.records.ledger import Ledger
from synth_pipeline.records.records import Records
from synth_pipeline.seeds import Seeds
from synth_pipeline.spec.dataset import DatasetSpec
from synth_pipeline.stages.earlier import add_earlier, earlier
from synth_pipeline.stages.export import export
from synth_pipeline.stages.generate import generate
from synth_pipeline.stages.ingest import ingest
from synth_pipeline.stages.protect import protect
from synth_pipeline.stages.run import Result, Run
from synth_pipeline.stages.train import train
from synth_pipeline.stages.validate import validate
from synth_pipeline_tests.stages import made


@pytest.fixture
def run(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A small dataset whose only measure is the cumulative one."""
    monkeypatch.setattr(measures, "MEASURES", (Measure(("cumulative_exposure",), cumulative),))
    rng = random.Random(0)
    source = tmp_path / "visits.csv"
    lines = [f"{rng.gauss(45, 15):.6f},{rng.randrange(90)},{rng.choice('aabbc')}" for _ in range(500)]
    source.write_text("\n".join(["cost,age,ward", *lines]) + "\n")
    (tmp_path / "own.yaml").write_text("name: own\nversion: 1\ngates: {cumulative_exposure: {max: 0.9}}\n")
    spec = {
        "name": "visits",
        "source": {"type": "file", "path": str(source)},
        "generation": {"rows": 60},
        "validation": {"policy": "own.yaml", "queries": 500},
    }
    return Run(DatasetSpec.model_validate(spec), home, str(tmp_path / "releases"), tmp_path)


def _other(run: Run, **sections: Any) -> Run:
    return replace(run, spec=DatasetSpec.model_validate(run.spec.model_dump(mode="json") | sections))


def _validated(run: Run) -> tuple[Result, tuple[Result, Result, Result]]:
    protected = protect(run, ingest(run))
    model = train(run, protected)
    nouns = generate(run, model, protected), model, protected
    return validate(run, *nouns), nouns


def _published(run: Run) -> tuple[Result, Result]:
    card, nouns = _validated(run)
    return card, export(run, card, *nouns)


def _told(card: Result) -> tuple[dict[str, Any], list[str]]:
    note = json.loads((card.folder / "scorecard.json").read_bytes())
    return note["details"]["cumulative"], [text for text in note["warnings"] if "earlier" in text]


def test_other_releases_of_the_source_count_and_an_unchanged_dataset_is_validated_once(run: Run) -> None:
    first, release = _published(run)
    assert _told(first)[0]["releases"] == 0
    assert release.metrics["version"] == "v0001"
    again, still = _published(run)
    assert (again.reused, again.content_id, still.reused) == (True, first.content_id, True)

    seeded = _other(run, seed=1)
    second, _ = _published(seeded)
    assert (_told(second)[0]["releases"], _told(second)[0]["rows"]) == (1, 120)
    assert _published(seeded)[0].reused

    third, _ = _validated(_other(run, name="another"))  # of the same source
    assert (_told(third)[0]["releases"], _told(third)[0]["rows"]) == (2, 180)

    back, _ = _validated(run)  # what was out before is now one of two
    assert (back.reused, _told(back)[0]["releases"]) == (False, 1)
    assert _validated(run)[0].reused

    store = open_store(run.store)
    Line(store, "visits").retract("v0001", "a test")
    retracted, _ = _validated(_other(run, name="another", seed=5))
    assert (_told(retracted)[0]["releases"], _told(retracted)[1]) == (2, [])
    assert _validated(_other(run, name="another", seed=5))[0].reused

    shutil.rmtree(Path(run.store) / "visits" / "versions" / "v0001")
    gone, _ = _validated(_other(run, name="another", seed=6))
    assert _told(gone)[0]["releases"] == 1
    assert gone.metrics["verdict"] == "inconclusive"  # what nobody knows never passes
    score = json.loads((gone.folder / "scorecard.json").read_bytes())["scores"]["cumulative_exposure"]
    assert score["value"] is None
    assert "1 of 2 earlier releases of this source cannot be read any more" in score["error"]


def test_of_a_partitioned_source_only_what_may_hold_the_same_rows(home: Home) -> None:
    released = Records.open(made.protected(home).folder)
    whole, ledger = made.run(home), Ledger(home.ledger)
    own = Contents.of(released, {}).root
    for partition, content in (("a", "A"), ("b", "B"), (None, "W"), ("a", own), ("a", "A")):
        ledger.release("root", "any", partition, f"v{content}", content, f"/{partition}/{content}")
    ledger.release("root", "copied", "a", "v9", "A", "/elsewhere")
    ledger.release("other", "any", "a", "v1", "O", "/other")

    def found(partition: str | None, root: str = "root") -> list[str]:
        return list(earlier(replace(whole, partition=partition), root, released))

    assert found(None) == ["A", "B", "W"]
    assert found("a") == ["A", "W"]
    assert found("c") == ["W"]
    assert found(None, "") == found(None, "unknown") == []
    assert earlier(whole, "root", released)["A"] == ["/a/A", "/elsewhere"]


def test_a_damaged_release_is_told_and_another_copy_of_it_will_do(run: Run, tmp_path: Path) -> None:
    card, release = _published(run)
    content, place = release.content_id, Path(release.metrics["path"])
    real = pa.table({"cost": [1.5, 2.5], "ward": ["a", "b"], "new": [1, 2]})
    evidence = Evidence(real, real, real, real, Seeds(0))

    def read(content: str, *paths: Path, into: Evidence = evidence) -> tuple[pa.Table | None, str]:
        found, lost = add_earlier(into, {content: [str(path) for path in paths]})
        return found.earlier, lost

    table, lost = read(content, tmp_path / "nowhere", place)
    assert table is not None
    assert (table.num_rows, table.column("new").null_count, lost) == (60, 60, "")
    unheard = real.rename_columns(["un", "heard", "of"])
    assert read(content, place, into=replace(evidence, train=unheard)) == (None, "")  # it tells nothing of these
    gone = "1 of 1 earlier releases of this source cannot be read any more"
    assert read("another", place) == (None, gone)  # not what the ledger knows
    [file] = (place / "data").iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 40] = bytes(40)
    file.write_bytes(data)
    assert read(content, place)[1] == gone
    (place / "manifest.json").write_text("{}")
    assert read(content, place) == (None, gone)
    assert card.metrics["verdict"] == "pass"
