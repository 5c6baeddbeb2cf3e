"""What a user does from the command line, in real processes: run, rerun, load, verify, score, and being refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import synth_pipeline
from synth_pipeline_tests.end_to_end.people import csv, people

pytestmark = pytest.mark.slow  # each command is a process of its own and pays its imports


def synth(*arguments: str, cwd: Path) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON of stdout's last line, stderr."""
    command = [sys.executable, "-m", "synth_pipeline.cli.main", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=280, env=dict(os.environ))
    lines = done.stdout.strip().splitlines()
    return done.returncode, json.loads(lines[-1]) if lines and "--json" in arguments else {}, done.stderr


def test_one_file_becomes_a_release_and_again_costs_nothing(tmp_path: Path) -> None:
    file = csv(tmp_path)
    code, note, told = synth("run", str(file), "--set", "columns.churned.roles=[target]", "--json", cwd=tmp_path)
    assert code == 0, told
    assert note["published"]
    assert not note["reused"]
    assert set(note) >= {"dataset", "version", "release", "gates", "rows", "seconds", "scorecard", "report"}
    assert set(note["seconds"]) == {"ingest", "protect", "train", "generate", "validate", "export"}
    assert all(gate["verdict"] == "pass" for gate in note["gates"])

    loaded = synth_pipeline.load("people")
    assert loaded.manifest["dataset"] == "people"
    frame = loaded.to_pandas()
    real = people()
    assert list(frame.columns) == list(real.columns)
    for personal in ("customer_id", "name", "email"):
        assert not set(frame[personal].dropna()) & set(real[personal])
    assert frame["age"].between(17, 96).all()

    code, again, told = synth("run", "people", "--json", cwd=tmp_path)
    assert code == 0, told
    assert again["reused"]
    assert again["version"] == note["version"]
    assert synth("verify", note["release"], "--json", cwd=tmp_path)[0] == 0
    code, lineage, told = synth("lineage", note["release"], "--json", cwd=tmp_path)
    assert code == 0, told
    assert "people.csv" in json.dumps(lineage)

    code, _, told = synth("run", "people", "--force", "--json", cwd=tmp_path)
    assert code == 0, told
    assert loaded.manifest["content_id"] == synth_pipeline.load("people").manifest["content_id"]


def test_a_small_table_is_refused_with_reasons(tmp_path: Path) -> None:
    code, note, told = synth("run", str(csv(tmp_path, rows=150)), "--json", cwd=tmp_path)
    assert code == 3
    assert not note["published"]
    assert any(gate["verdict"] == "inconclusive" for gate in note["gates"])
    assert "not published" in told
    assert Path(note["scorecard"]).exists()
    assert not list((tmp_path / "releases").rglob("manifest.json"))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "nowhere.csv"], 1, "nowhere.csv"),
        (["run", "people.csv", "--generator", "tree"], 2, "trees"),
        (["run", "people.csv", "--set", "generator.min_laef=3"], 2, "min_leaf"),
        (["run", "people.csv", "--policy", "publik"], 2, "public"),
        (["run", "people.csv", "--bogus"], 2, "bogus"),
        (["show", "peple"], 1, "peple"),
        (["verify", "nowhere"], 1, "nowhere"),
    ],
)
def test_wrong_usage_says_what_is_wrong(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    csv(tmp_path, rows=60)
    got, _, told = synth(*arguments, cwd=tmp_path)
    assert got == code, told
    assert said in told
    assert "Traceback" not in told


def test_score_judges_a_table_that_somebody_else_made(tmp_path: Path) -> None:
    frames = {"real": people(5_000, 1), "holdout": people(4_000, 2), "honest": people(4_000, 3)}
    frames["copy"] = frames["real"].head(4_000)
    for name, frame in frames.items():
        frame.drop(columns=["customer_id", "name", "email"]).to_csv(tmp_path / f"{name}.csv", index=False)
    common = ["--real", "real.csv", "--holdout", "holdout.csv", "--target", "churned", "--json"]
    code, note, told = synth("score", "--synthetic", "honest.csv", *common, cwd=tmp_path)
    assert (code, note["verdict"]) == (0, "pass"), told
    assert set(note["measures"]["copy_excess"]) >= {"value", "low", "high", "reference", "n"}
    code, note, told = synth("score", "--synthetic", "copy.csv", *common, cwd=tmp_path)
    assert (code, note["verdict"]) == (3, "fail"), told


def test_rows_balance_and_conditions_are_kept(tmp_path: Path) -> None:
    file = csv(tmp_path)
    sets = ["--set", "generation.balance={plan: uniform}", "--rows", "5000"]
    code, note, told = synth("run", str(file), *sets, "--json", cwd=tmp_path)
    assert code in (0, 3), told  # balancing may cost fidelity
    assert note["rows"] == 5_000
    folder = Path(note["scorecard"]).parents[2] / "generate"
    plans = pq.read_table(next(folder.rglob("train-00000.parquet")))["plan"].to_pandas()
    assert abs((plans == "family").mean() - 0.5) < 0.03
