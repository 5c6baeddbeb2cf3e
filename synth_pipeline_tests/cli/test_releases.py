"""The commands about releases: what they say, what they exit with, and that nothing in a name is run."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from synth_pipeline.cli.main import app
from synth_pipeline.errors import SpecError, StorageBusy, StorageError
from synth_pipeline.publishing.load import load
from synth_pipeline.publishing.manifest import Source
from synth_pipeline.publishing.store import open_store
from synth_pipeline.publishing.versions import Line
from synth_pipeline.records.home import Home, lease
from synth_pipeline.records.ledger import Ledger
from synth_pipeline_tests.publishing.made import published, synthetic


def run(*arguments: str, code: int = 0, text: str = "") -> str:
    done = CliRunner().invoke(app, list(arguments), input=text)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.stdout


def said(*arguments: str, code: int = 0) -> Any:
    return json.loads(run(*arguments, "--json", code=code).strip().splitlines()[-1])


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two versions of `visits`, and one of each partition of `clinic`."""
    store = open_store()
    source = Source(kind="file", uri="visits.csv", root="r00t", content_id="c0ffee")
    for seed in (0, 1):
        published(store, synthetic(tmp_path / f"s{seed}", seed=seed), source=source)
    for seed, key in ((2, "2026-09"), (3, "2026-10")):
        published(store, synthetic(tmp_path / f"s{seed}", n=50, seed=seed), "clinic", key)
    return tmp_path


def test_list_and_show(two: Path, home: Home) -> None:
    home.point("wine", "validate", None, {"metrics": {"verdict": "inconclusive"}, "folder": "/nowhere"})
    listed = {note["dataset"]: note for note in said("list")["datasets"]}
    assert (listed["visits"]["version"], listed["visits"]["rows"]) == ("v0002", 300)
    assert (listed["clinic"]["version"], listed["clinic"]["partitions"]) == ("s0002", ["2026-09", "2026-10"])
    assert listed["wine"]["state"] == "not published, came to: validate (inconclusive)"
    assert "came to: validate" in run("list")
    assert said("show", "visits@v0001")["version"] == "v0001"
    assert set(said("show", "clinic")["partitions"]) == {"2026-09", "2026-10"}
    assert "copy_excess 0.01" in run("show", "visits")
    with pytest.raises(StorageError, match='did you mean "visits"'):
        run("show", "visit")


def test_compare(two: Path) -> None:
    note = said("compare", "visits@v0001", "visits@v0002")
    assert note["same_content"] is False
    assert note["gates"] == {"copy_excess": [0.01, 0.01]}
    assert "copy_excess" in run("compare", "visits@v0001", "visits@v0002")


def test_verify_names_every_bad_file(two: Path) -> None:
    assert said("verify", "visits")["sound"]
    assert said("verify", "clinic")["sound"]
    folder = Path(load("visits").path)
    report, part = folder / "report.html", next(folder.glob("data/*.parquet"))
    report.write_bytes(report.read_bytes()[:-1])
    part.unlink()
    (folder / "extra.txt").write_text("x")
    note = said("verify", "visits", code=1)
    assert [audit["release"] for audit in note["releases"]] == ["visits@v0002"]
    problems = "\n".join(note["releases"][0]["problems"])
    for name in ("report.html: holds", f"data/{part.name}: missing", "extra.txt: not listed"):
        assert name in problems
    assert said("verify", "visits@v0001")["sound"]
    assert len(said("verify", "visits", "--all", code=1)["releases"]) == 2
    assert said("verify", str(folder), code=1)["releases"][0]["problems"] == note["releases"][0]["problems"]


def test_lineage_without_a_home(two: Path, home: Home) -> None:
    steps = said("lineage", "visits")["lineage"]["visits"]
    assert said("lineage", str(load("visits").path))["lineage"]["visits"] == steps
    assert said("show", str(load("visits").path))["version"] == "v0002"
    assert [step["noun"] for step in steps] == [
        "release", "scorecard", "synthetic", "model", "protected", "ingested", "source",
    ]  # fmt: skip
    assert steps[-1]["note"] == "file visits.csv"
    assert steps[1]["folder"] is None
    assert "file visits.csv" in run("lineage", "visits@v0001")


def test_lineage_goes_on_through_the_release_that_was_the_source(two: Path) -> None:
    source = Source(kind="dataset", uri="visits", version="v0001", content_id="x")
    published(open_store(), synthetic(two / "derived", n=20, seed=9), "derived", source=source)
    steps = said("lineage", "derived")["lineage"]["derived"]
    assert [step["note"] for step in steps if step["noun"] in ("release", "source")] == [
        "derived v0001", "dataset visits", "visits v0001", "file visits.csv",
    ]  # fmt: skip


def test_retract(two: Path) -> None:
    with pytest.raises(SpecError, match="name the version"):
        run("retract", "visits", "--reason", "x")
    assert said("retract", "visits@v0002", "--reason", "wrong licence")["latest"] == "v0001"
    assert said("retract", "visits@v0002", "--reason", "again")["fresh"] is False
    assert load("visits").version == "v0001"
    with pytest.raises(SpecError, match="--partition"):
        run("retract", "clinic@v0001", "--reason", "x")
    assert said("retract", "clinic@v0001", "--partition", "2026-09", "--reason", "x")["latest"] is None
    assert load("clinic").rows == 50
    assert said("retract", str(Path(load("visits").path)), "--reason", "too")["latest"] is None


def _derived(home: Home, dataset: str, stage: str, root: str, plan: str) -> Path:
    folder = home.noun(dataset, stage, plan)
    folder.mkdir(parents=True)
    (folder / "records.json").write_text(json.dumps({"content_id": plan, "facts": {"root": root}}))
    return folder


def test_forget_wipes_what_derives_from_one_source_alone(two: Path, home: Home) -> None:
    ledger = Ledger(home.ledger)
    root, other = ledger.root("file:///data/visits.csv", "c1"), ledger.root("file:///data/other.csv", "c2")
    told, untold = _derived(home, "visits", "ingest", root, "a"), _derived(home, "visits", "protect", root, "b")
    kept = _derived(home, "other", "ingest", other, "c")
    ledger.derive(root, "visits", "ingest", told)
    ledger.derive(other, "other", "ingest", kept)
    home.point("visits", "ingest", None, {"folder": str(told)})
    home.point("other", "ingest", None, {"folder": str(kept)})
    (home.definitions / "visits").mkdir()
    (home.folder("work", "visits") / "contract.json").write_text("{}")
    (home.folder("logs") / "1-synth.txt").write_text("a trace")
    foreign = two / "another-home" / "ingested"
    foreign.mkdir(parents=True)
    ledger.derive(root, "visits", "ingest", foreign)
    ledger.release(root, "visits", None, "v0002", "x", "p")
    with lease(untold), pytest.raises(StorageBusy):
        run("forget", "visits.csv", "--yes")
    assert told.exists()
    run("forget", "visits.csv", code=2, text="n\n")
    assert told.exists()
    note = said("forget", "visits", "--yes", "--releases")
    assert note["retracted"] == ["visits@v0002"]
    assert not told.exists()
    assert not untold.exists()
    assert not (home.root / "work" / "visits").exists()
    assert home.pointed("visits", "ingest", None) is None
    assert not (home.definitions / "visits").exists()
    assert not list((home.root / "logs").iterdir())
    assert foreign.exists()
    assert kept.exists()
    assert home.pointed("other", "ingest", None) is not None
    assert load("visits").version == "v0001"
    with pytest.raises(SpecError, match="no source is known"):
        run("forget", "visitors.csv", "--yes")


def test_forget_reaches_work_that_was_interrupted_before_anything_was_committed(home: Home) -> None:
    folder = home.noun("visits", "ingest", "a" * 24)
    folder.mkdir()
    (folder / "part").write_text("rows")
    said("forget", "visits", "--yes")
    assert not folder.exists()


def test_forget_asks_which_when_two_sources_share_a_name(two: Path, home: Home) -> None:
    ledger = Ledger(home.ledger)
    ledger.root("file:///a/x.csv", "1")
    ledger.root("file:///b/x.csv", "2")
    with pytest.raises(SpecError, match="2 sources go by that name"):
        run("forget", "x.csv", "--yes")


def test_gc_keeps_what_pointers_name(two: Path, home: Home) -> None:
    old, named, fresh, busy = (_derived(home, "visits", "ingest", "r", plan) for plan in "abcd")
    home.point("visits", "ingest", "p", {"folder": str(named)})
    for folder in (old, named, busy):
        for path in (*folder.rglob("*"), folder):
            os.utime(path, (time.time() - 9 * 86_400,) * 2)
    (home.root / "work" / "visits" / "contract.json").write_text("{}")
    orphan = Path(open_store().where) / "visits" / "versions" / "v0009" / "data"
    orphan.mkdir(parents=True)
    (orphan / "part").write_text("half")
    assert len(said("gc", "--dry-run")["removed"]) == 3
    assert old.exists()
    with lease(busy):
        gone = {Path(waste["path"]).name for waste in said("gc")["removed"]}
    assert gone == {old.name, "v0009"}
    assert not old.exists()
    assert not orphan.exists()
    assert named.exists()
    assert fresh.exists()
    assert busy.exists()
    assert said("verify", "visits")["sound"]


def test_gc_leaves_a_live_publisher_alone(two: Path) -> None:
    line = Line(open_store(), "visits")
    with line.claimed() as version:
        assert version == "v0003"
        assert said("gc", "--older-than", "0")["removed"] == []
        assert line.store.exists(line.folder(version))
    assert not line.store.exists(line.folder(version))
