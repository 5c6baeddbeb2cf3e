"""The validate stage on real stages' output: what it judges, records and commits."""

from __future__ import annotations

import json
import math
import random
import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from synth_pipeline.errors import GateFailed, StorageError
from synth_pipeline.evaluation.gates import judge, verdict
from synth_pipeline.evaluation.measuring import Measure
from synth_pipeline.evaluation.scorecard import Scorecard
from synth_pipeline.modalities.tabular import measures
from synth_pipeline.modalities.tabular.modality import Tabular
from synth_pipeline.protocols.measure import Findings, Score
from synth_pipeline.records.home import Home
from synth_pipeline.records.records import Records
from synth_pipeline.spec.dataset import DatasetSpec
from synth_pipeline.spec.publication import Validation
from synth_pipeline.stages.export import export
from synth_pipeline.stages.generate import generate
from synth_pipeline.stages.ingest import ingest
from synth_pipeline.stages.protect import protect
from synth_pipeline.stages.run import Result, Run
from synth_pipeline.stages.train import train
from synth_pipeline.stages.validate import validate


@pytest.fixture
def run(tmp_path: Path, home: Home) -> Run:
    rng = random.Random(0)
    lines = ["person,age,cost,ward"]
    for number in range(1_200):
        age = max(0, round(rng.gauss(45, 15)))
        lines.append(f"P{number % 600:04d},{age},{age * 10 + rng.randrange(200)},{rng.choice('aabbc')}")
    source = tmp_path / "visits.csv"
    source.write_text("\n".join(lines) + "\n")
    spec = DatasetSpec.model_validate(
        {
            "name": "visits",
            "source": {"type": "file", "path": str(source)},
            "columns": {"person": {"meaning": "identifier", "roles": ["entity"]}, "ward": {"roles": ["target"]}},
            "generation": {"rows": 50},
        }
    )
    return Run(spec=spec, home=home, store=str(tmp_path / "releases"), base=tmp_path)


def _until_validate(run: Run) -> tuple[Result, Result, Result]:
    protected = protect(run, ingest(run))
    model = train(run, protected)
    return generate(run, model, protected), model, protected


def _scores(monkeypatch: pytest.MonkeyPatch, **works: Callable[[], Score]) -> None:
    """Replaces all measures; policies may still name those that are not measured now."""
    known = Tabular().scores()
    monkeypatch.setattr(Tabular, "scores", lambda _: known)

    def measure(name: str, work: Callable[[], Score]) -> Measure:
        return Measure((name,), lambda _: Findings({name: work()}, {"told": {name: math.nan}}), name)

    monkeypatch.setattr(measures, "MEASURES", tuple(measure(name, work) for name, work in works.items()))


def _slow(seconds: float, score: Score) -> Score:
    time.sleep(seconds)
    return score


def test_few_released_rows_are_judged_with_audit_rows(run: Run) -> None:
    synthetic, model, protected = _until_validate(run)
    result = validate(run, synthetic, model, protected)
    note = json.loads((result.folder / "scorecard.json").read_bytes())
    card = Scorecard.from_json(note)
    assert card.verdict == result.metrics["verdict"] == verdict(card.gates, card.checks)
    assert card.gates == judge(card.scores, card.policy, card.attempts)
    assert card.judged["synthetic"] == synthetic.content_id
    assert note["content_id"] == result.content_id
    assert note["root"]
    sizes = card.details["sizes"]
    assert sizes["released"] == 50
    assert sizes["synthetic"] > 400
    assert any("audit rows" in warning for warning in card.warnings)
    assert card.scores["exact_match_excess"].n == 50
    assert any(check["name"].startswith("residual") for check in card.checks)
    assert (result.folder / "report.html").stat().st_size < 3 << 20
    assert (result.folder / "profile.json").exists()
    # every person has two rows: the interval knows no more units than persons
    assert card.scores["copy_excess"].n <= 600

    again = validate(run, synthetic, model, protected)
    assert again.reused
    assert again.content_id == result.content_id


def test_rows_of_another_model_are_refused(run: Run) -> None:
    synthetic, model, protected = _until_validate(run)
    with pytest.raises(StorageError, match="not drawn from this model") as raised:
        validate(run, synthetic, replace(model, content_id="another"), protected)
    assert raised.value.fix == "run generate again"


def test_another_seed_is_another_attempt_and_the_same_content_is_not(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _scores(monkeypatch)
    counted = []
    for seed in (0, 1, 1):
        tried = replace(run, spec=run.spec.model_copy(update={"seed": seed}), force=True)
        result = validate(tried, *_until_validate(tried))
        counted.append(result.metrics["attempts"])
    assert counted == [1, 2, 2]


def test_no_setting_starts_the_count_of_attempts_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _scores(monkeypatch)
    made = _until_validate(run)

    def counted(generation: dict, generator: dict, validation: dict, again: bool = True) -> int:
        varied = run.spec.model_dump(mode="json", exclude_unset=True) | {
            "generation": {"rows": 50, **generation},
            "generator": {"type": "trees", **generator},
            "validation": validation,
        }
        tried = replace(run, spec=DatasetSpec.model_validate(varied))
        return int(validate(tried, *(_until_validate(tried) if again else made)).metrics["attempts"])

    assert counted({}, {}, {}) == 1
    assert counted({"rows": 60}, {}, {}) == 2
    assert counted({}, {"min_leaf": 90}, {}) == 3
    assert counted({}, {}, {"queries": 900}, again=False) == 4  # the same rows, with other audit rows beside them
    assert counted({}, {}, {"policy": "public"}, again=False) == 4  # the same rows under other limits
    assert counted({}, {}, {"seconds": 900}, again=False) == 4  # and by other measures


def test_no_other_reading_of_the_source_starts_it_again_but_other_bytes_do(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    _scores(monkeypatch)

    def counted(**sections: Any) -> int:
        varied = run.spec.model_dump(mode="json", exclude_unset=True) | sections
        tried = replace(run, spec=DatasetSpec.model_validate(varied))
        return int(validate(tried, *_until_validate(tried)).metrics["attempts"])

    first = run.spec.model_dump(mode="json", exclude_unset=True).get("split", {})
    column = next(iter(Records.open(_until_validate(run)[2].folder).schema().names))
    assert counted() == 1
    assert counted(columns={column: {"description": "told otherwise"}}, seed=1) == 2
    assert counted(split={**first, "fraction": 0.45}, seed=2) == 3
    file = Path(run.spec.source.model_dump()["path"])
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    assert counted(seed=3) == 1


def test_what_it_cost_is_no_part_of_the_content(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _until_validate(run)
    notes = []
    for seconds in (0.0, 0.2):
        _scores(monkeypatch, copy_excess=partial(_slow, seconds, Score(0.0, -0.01, 0.01, 0.0, 9_000)))
        result = validate(replace(run, force=True), *made)
        notes.append(json.loads((result.folder / "scorecard.json").read_bytes()))
    first, second = notes
    assert first["scores"]["copy_excess"]["seconds"] < 0.15 < second["scores"]["copy_excess"]["seconds"]
    assert first["content_id"] == second["content_id"]
    _scores(monkeypatch, copy_excess=lambda: Score(0.0, -0.01, 0.011, 0.0, 9_000))
    assert validate(replace(run, force=True), *made).content_id != first["content_id"]


def test_what_crashes_hangs_or_is_no_number_never_passes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash() -> Score:
        raise RuntimeError("P0007 is 83 years old")

    good = Score(0.0, -0.001, 0.001, 0.0, 9_000)
    works: dict[str, Callable[[], Score]] = {
        "copy_excess": crash,
        "exact_match_excess": lambda: replace(good, value=math.nan),
        "value_replay_excess": partial(_slow, 2, good),
        "constraint_violations": lambda: replace(good, high=math.nan),
        "shape_error": lambda: replace(good, high=math.inf),
        "trend_error": lambda: Score(None, note="too few rows"),
        "missing_error": lambda: good,
        "told_only": lambda: replace(good, low=-math.inf, reference=math.nan),
    }
    _scores(monkeypatch, **works)
    limited = run.spec.model_dump(mode="json", exclude_unset=True) | {"validation": {"seconds": 0.4}}
    hasty = replace(run, spec=DatasetSpec.model_validate(limited))
    synthetic, model, protected = _until_validate(hasty)
    result = validate(hasty, synthetic, model, protected)
    text = (result.folder / "scorecard.json").read_text()
    card = Scorecard.from_json(json.loads(text))
    assert {gate.name: gate.verdict for gate in card.gates if gate.name in works} == {
        name: "pass" if name == "missing_error" else "inconclusive" for name in works if name != "told_only"
    }
    assert card.verdict == result.metrics["verdict"] != "pass"
    errors = {name: score.error for name, score in card.scores.items() if score.error}
    assert errors == {
        "copy_excess": "RuntimeError",
        "exact_match_excess": "it is not a number",
        "value_replay_excess": "it took longer than 0.4 s",
        "constraint_violations": "it is not a number",
    }
    assert card.scores["told_only"].value == 0.0
    assert "NaN" not in text
    assert "Infinity" not in text
    assert "P0007" not in text + (result.folder / "report.html").read_text()
    assert "copy_excess (RuntimeError)" in card.details["not_tested"]
    with pytest.raises(GateFailed, match="it took longer"):
        export(hasty, result, synthetic, model, protected)


def test_what_ran_out_of_time_is_measured_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _until_validate(run)
    hurried = replace(run, spec=run.spec.model_copy(update={"validation": Validation(policy="internal", seconds=0.2)}))
    _scores(monkeypatch, copy_excess=partial(_slow, 1.0, Score(0.0, 0.0, 0.0, n=500)))
    first = validate(hurried, *made)
    assert (
        "took longer" in json.loads((first.folder / "scorecard.json").read_bytes())["details"]["errors"]["copy_excess"]
    )
    _scores(monkeypatch, copy_excess=lambda: Score(0.0, 0.0, 0.0, n=500))
    again = validate(hurried, *made)
    assert not again.reused
    assert validate(hurried, *made).reused


def test_the_canary_audit_is_asked_for_by_name(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _scores(monkeypatch, copy_excess=lambda: Score(0.0, -0.001, 0.001, 0.0, 9_000))
    made = _until_validate(run)
    card = Scorecard.from_json(json.loads((validate(run, *made).folder / "scorecard.json").read_bytes()))
    assert "audit" not in card.details
    assert any("canary audit" in text for text in card.details["not_tested"])
    asked = run.spec.model_dump(mode="json", exclude_unset=True) | {"validation": {"audit": {"canaries": 100}}}
    audited = replace(run, spec=DatasetSpec.model_validate(asked))
    note = json.loads((validate(audited, *made).folder / "scorecard.json").read_bytes())
    assert note["details"]["audit"]["canaries"] <= 100
    assert note["scores"]["audit_epsilon"]["value"] >= 0
    assert not note["details"].get("not_tested")


def test_fresh_keys_are_checked_and_a_small_key_space_is_judged(run: Run) -> None:
    spec = run.spec.model_dump(mode="json", exclude_unset=True)
    source = Path(spec["source"]["path"])
    header, *lines = source.read_text().splitlines()
    keyed = [re.sub(r"^P\d+", f"P{i:04d}", line) + f",{i % 40},{i // 40}" for i, line in enumerate(lines)]
    source.write_text("\n".join([f"{header},bed,week", *keyed]) + "\n")
    spec["columns"] = {"person": {"meaning": "identifier", "roles": ["primary_key"]}, "bed": {"meaning": "category"}}
    spec["constraints"] = [{"type": "unique", "columns": ["person"]}, {"type": "unique", "columns": ["bed", "week"]}]
    made = replace(run, spec=DatasetSpec.model_validate(spec))
    result = validate(made, *_until_validate(made))
    card = Scorecard.from_json(json.loads((result.folder / "scorecard.json").read_bytes()))
    assert card.scores["constraint_violations"].value == 0.0
    assert [rule["of"] for rule in card.details["constraints"]] == [50, 50]
    assert card.details["sizes"]["synthetic"] > 40 * 30  # more than there are keys
    page = (result.folder / "report.html").read_text()
    assert "source: kind" in page
    assert str(source.parent) not in page
