"""`synth score` from the outside: exit codes, the JSON, hostile and missing files."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest

from synth_pipeline.cli.main import app, guarded


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
    assert set(note["measures"]["copy_excess"]) >= {"value", "low", "high", "reference", "n"}
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
    assert _score(files, "--target", "agee") == 2
    assert guarded(lambda: app(["score", "--real", str(files["train"])])) == 2
    assert _score({**files, "made": files["made"].with_name("none.csv")}) == 1
