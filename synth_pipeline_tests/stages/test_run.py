"""What the stages share: a noun is made once, recomputed beside what is there, and found by the run that made it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from synth_pipeline.errors import StorageError
from synth_pipeline.privacy.keys import key
from synth_pipeline.publishing.retention import collect, find_source, forget
from synth_pipeline.publishing.store import open_store
from synth_pipeline.records.home import Home
from synth_pipeline.records.ledger import Ledger
from synth_pipeline.stages.run import Outcome, Result, Run, perform
from synth_pipeline_tests.stages import made

PLAN = "a" * 64


def write(folder: Path, text: str) -> Outcome:
    (folder / "model.json").write_text(json.dumps({"content_id": text}))
    return Outcome(text)


def read(folder: Path) -> Outcome:
    return Outcome(json.loads((folder / "model.json").read_text())["content_id"])


def go(run: Run, text: str, plan: str = PLAN) -> Result:
    return perform(run, "train", plan, lambda folder: write(folder, text), read)


@pytest.fixture
def run(home: Home) -> Run:
    return made.run(home)


def test_force_replaces_what_is_there_only_when_it_is_done(run: Run) -> None:
    first = go(run, "old")
    forced = replace(run, force=True)

    def check(folder: Path) -> Outcome:
        assert read(first.folder).content_id == "old"
        assert not any(folder.iterdir())
        return write(folder, "new")

    second = perform(forced, "train", PLAN, check, read)
    assert (second.folder, second.reused, read(first.folder).content_id) == (first.folder, False, "new")
    assert go(run, "never").reused
    assert [path.name for path in first.folder.parent.iterdir() if path.is_dir()] == [first.folder.name]


def test_a_forced_run_that_fails_leaves_the_old_noun(run: Run) -> None:
    first = go(run, "old")

    def fail(folder: Path) -> Outcome:
        (folder / "half").write_text("")
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="train could not write: No space left"):
        perform(replace(run, force=True), "train", PLAN, fail, read)
    again = go(run, "never")
    assert (again.reused, again.content_id) == (True, "old")
    assert [path.name for path in first.folder.parent.iterdir() if path.is_dir()] == [first.folder.name]


def test_an_exchange_that_was_killed_half_way_is_ended(run: Run) -> None:
    first = go(run, "old")
    os.rename(first.folder, f"{first.folder}.old")
    assert go(run, "never").content_id == "old"
    assert not Path(f"{first.folder}.old").exists()


def test_a_run_goes_on_from_its_own_results(run: Run) -> None:
    one, two = replace(run, run_id="one"), replace(run, run_id="two")
    go(one, "a", "a" * 64)
    go(two, "b", "b" * 64)
    assert one.latest("train").content_id == "a"
    assert two.latest("train").content_id == "b"
    assert run.latest("train").content_id == replace(run, run_id="three").latest("train").content_id == "b"


def test_gc_keeps_what_a_running_run_stands_on_and_forget_its_pointer_not(run: Run, home: Home) -> None:
    store = open_store(run.store)
    mine = go(replace(run, run_id="one"), "a", "a" * 64)
    go(replace(run, run_id="two"), "b", "b" * 64)
    assert not collect(home, store, 0)
    assert mine.folder.exists()
    os.utime(mine.folder.parent / "run-one.json", (0, 0))
    assert [Path(waste.path) for waste in collect(home, store, 0)] == [mine.folder]
    note = {"content_id": "b", "root": Ledger(home.ledger).root("file:///made.csv", "c")}
    (mine.folder.parent / ("b" * 24) / "model.json").write_text(json.dumps(note))
    (mine.folder.parent / "keeps-the-folder").mkdir()
    forget(home, find_source(home, "made"))
    assert not list(home.root.glob("work/**/run-two*"))


def test_a_damaged_key_is_no_verdict(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNTH_KEY")
    key(home, "split", "r")
    path = home.keys / "master.key"
    path.chmod(0o644)
    with pytest.raises(StorageError, match="read by others") as raised:
        key(home, "split", "r")
    assert raised.value.exit_code == 1
    path.chmod(0o600)
    path.write_text("short")
    with pytest.raises(StorageError, match="damaged") as raised:
        key(home, "split", "r")
    assert raised.value.exit_code == 1
