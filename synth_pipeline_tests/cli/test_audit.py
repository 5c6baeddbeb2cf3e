"""`synth audit` from the outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synth_pipeline.cli.adhoc import Wishes, declare
from synth_pipeline.cli.main import app, guarded
from synth_pipeline.records.home import Home
from synth_pipeline_tests.end_to_end.people import csv
from synth_pipeline_tests.end_to_end.test_cli import synth


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    source = {"type": "file", "path": str(csv(tmp_path, rows=900))}
    declare(source, "people", Wishes(), {}, Home.find())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_declared_dataset_is_audited_without_a_run(declared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: app(["audit", "people", "--canaries", "200", "--json"])) == 0
    told = capfd.readouterr()
    note = json.loads(told.out)
    assert note["dataset"] == "people"
    assert note["measures"]["audit_epsilon"]["value"] >= 0
    assert note["audit"]["canaries"] == 200
    assert "guesses" in told.err
    assert guarded(lambda: app(["audit", "people", "--canaries", "200"])) == 0
    assert note["measures"]["audit_epsilon"]["note"] in capfd.readouterr().out
    assert not list((declared / "home").rglob("audit/*/model"))
    assert not (declared / "releases").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["peple"], "people"),
        (["people", "--partition", "x"], "no partitions"),
        (["people", "--canaries", "5"], "canaries"),
        ([], "Missing argument"),
    ],
)
def test_wrong_usage(declared: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert guarded(lambda: app(["audit", *arguments])) == 2
    assert said in capfd.readouterr().err


def test_a_failure_is_told_and_is_no_success(declared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (declared / "people.csv").write_text("a,b\n" + "1,x\n2,y\n" * 200)
    assert guarded(lambda: app(["audit", "people", "--json"])) == 1
    told = capfd.readouterr()
    assert json.loads(told.out)["measures"]["audit_epsilon"]["value"] is None
    assert "not audited: not measurable" in told.err
    (declared / "people.csv").unlink()
    assert guarded(lambda: app(["audit", "people"])) == 1


@pytest.mark.slow
def test_in_a_process_of_its_own(declared: Path) -> None:
    code, note, told = synth("audit", "people", "--canaries", "100", "--json", cwd=declared)
    assert code == 0, told
    assert note["audit"]["generator"] == "trees"
