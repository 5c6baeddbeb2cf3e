"""`synth score` from the outside: exit codes, the JSON, hostile and missing files."""

from __future__ import annotations

import csv
import json
import math
import random
from pathlib import Path

import pytest

from synth_pipeline.cli import score
from synth_pipeline.cli.main import app, guarded
from synth_pipeline.evaluation.cumulative import cumulative
from synth_pipeline.evaluation.gates import judge, verdict
from synth_pipeline.evaluation.measuring import Measure
from synth_pipeline.evaluation.scorecard import Scorecard
from synth_pipeline.modalities.tabular import measures
from synth_pipeline.protocols.measure import Score


def _write(path: Path, seed: int, rows: int = 900) -> list[list[object]]:
    rng = random.Random(seed)
    data: list[list[object]] = []
    for _ in range(rows):
        age = int(rng.gauss(45, 15))
        data.append(
            [age, round(rng.lognormvariate(3, 1), 1), rng.choice("abcd"), "yes" if age + rng.gauss(0, 9) > 50 else "no"]
        )
    _save(path, data)
    return data


def _save(path: Path, data: list[list[object]]) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([["age", "cost", "ward", "ill"], *data])


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    made = {name: tmp_path / f"{name}.csv" for name in ("train", "holdout", "made")}
    for seed, path in enumerate(made.values()):
        _write(path, seed)
    return made


def _score(files: dict[str, Path], *more: str) -> int:
    asked = ["--real", files["train"], "--holdout", files["holdout"], "--synthetic", files["made"], *more]
    return guarded(lambda: app(["score", *map(str, asked)]))


def test_honest_rows_pass_and_the_last_line_is_json(
    files: dict[str, Path], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "out.html"
    policy = tmp_path / "own.yaml"
    policy.write_text("name: own\nversion: 1\ngates: {copy_excess: {max: 0.2}, shape_error: {max: 0.3}}\n")
    assert _score(files, "--json", "--policy", str(policy), "--report", str(page), "--target", "ill") == 0
    out = capfd.readouterr().out
    assert len(out.strip().splitlines()) == 1
    note = json.loads(out)
    assert note["verdict"] == "pass"
    keys = {"value", "low", "high", "reference", "n", "detects", "seconds", "note"}
    assert all(set(measure) - {"error"} == keys for measure in note["measures"].values())
    assert note["measures"]["tstr_ratio"]["value"] is not None
    assert [gate["name"] for gate in note["gates"]] == ["copy_excess", "shape_error"]
    assert page.read_text("utf-8").startswith("<!")


def test_copies_are_blocked(files: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    assert _score({**files, "made": files["train"]}, "--json") == 3
    told = capfd.readouterr()
    assert json.loads(told.out)["verdict"] == "fail"
    assert "exact_match_excess: fail" in told.err


def test_few_rows_are_inconclusive(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    few = {name: tmp_path / f"{name}.csv" for name in ("train", "holdout", "made")}
    for seed, path in enumerate(few.values()):
        _write(path, seed + 10, 12)
    assert _score(few, "--json") == 3
    assert json.loads(capfd.readouterr().out)["verdict"] == "inconclusive"


def test_wrong_usage(files: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    assert _score(files, "--policy", "intrenal") == 2
    assert 'did you mean "internal"' in capfd.readouterr().err
    assert _score(files, "--policy", "source_free") == 2
    assert "no private rows" in capfd.readouterr().err
    assert _score(files, "--target", "agee") == 2
    assert guarded(lambda: app(["score", "--real", str(files["train"])])) == 2
    assert _score({**files, "made": files["made"].with_name("none.csv")}) == 1


def test_people_see_families_what_it_would_notice_and_what_was_not_tested(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"copy_excess": {"max": 0.08}, "exact_match_excess": {"max": 0.01}}
    scores = {
        "shape_error": Score(0.01, 0.008, 0.012, 0.006, 24_421, seconds=0.1),
        "copy_excess": Score(0.0099, -0.005, 0.0249, 0.0, 17_060, detects=0.0214, seconds=4.2),
        "exact_match_excess": Score(None, error="it took longer than 5 s"),
        "tstr_ratio": Score(None, note="no target column"),
        "of_a_plug_in": Score(0.5, -math.inf, 1.0),
    }
    gates = judge(scores, {"name": "own", "version": 1, "gates": limits})
    details = {"not_tested": ["three families (a measure of the full set)"]}
    card = Scorecard("made", None, {"name": "own"}, scores, gates, verdict(gates), {}, details=details)
    score._show(card)
    lines = capsys.readouterr().err.splitlines()
    assert max(map(len, lines)) <= 120
    shown = [line.split()[0] for line in lines if line.strip()]
    order = [
        "Privacy:",
        "copy_excess",
        "exact_match_excess",
        "Fidelity",
        "shape_error",
        "Utility",
        "tstr_ratio",
        "Other",
    ]
    assert [word for word in shown if word in order][:8] == order
    [copied] = [line for line in lines if line.startswith("  copy_excess")]
    assert copied.split()[-5:] == ["0.0214", "17060", "4.2", "0.08", "pass"]
    assert "tstr_ratio: not measured: no target column" in lines
    assert any(line.startswith("exact_match_excess: inconclusive: it could not be measured: it took") for line in lines)
    assert lines[lines.index("not tested:") + 1] == "  three families (a measure of the full set)"
    assert lines[-1] == "inconclusive under policy own"
    note = json.loads(score._line(card))
    assert note["measures"]["of_a_plug_in"]["low"] is None
    assert note["not_tested"] == details["not_tested"]


def test_earlier_releases_add_up(
    files: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measures, "MEASURES", (Measure(("cumulative_exposure",), cumulative),))
    header, *lines = files["train"].read_text().splitlines()
    once, twice = tmp_path / "once.csv", tmp_path / "twice.csv"
    once.write_text("\n".join([header, *lines[:90]]) + "\n")
    twice.write_text(f"more,{header}\n" + "".join(f"?,{line}\n" for line in lines[90:180]))  # by name, not by place
    policy = tmp_path / "own.yaml"
    policy.write_text("name: own\nversion: 1\ngates: {cumulative_exposure: {max: 0.06}}\n")
    seen = []
    for code, more in ((0, []), (3, ["--earlier", once]), (3, ["--earlier", once, "--earlier", twice])):
        assert _score(files, "--json", "--policy", str(policy), *map(str, more)) == code
        measured = json.loads(capfd.readouterr().out)["measures"]["cumulative_exposure"]
        assert f"{len(more) // 2} earlier ones" in measured["note"] or not more
        seen.append(measured["value"])
    assert seen[0] < 0.05 < seen[1] < seen[2]
    assert _score(files, "--policy", str(policy), "--earlier", str(tmp_path / "none.csv")) == 1
