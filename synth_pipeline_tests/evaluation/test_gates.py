"""Judging: three outcomes, attempts, and nothing unknown ever passes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from synth_pipeline.errors import SpecError
from synth_pipeline.evaluation.gates import Policy, blockers, check_policy, judge, load_policy, verdict
from synth_pipeline.protocols.measure import Score


def _policy(**limit: object) -> Policy:
    return Policy.model_validate({"name": "test", "version": 1, "gates": {"m": limit}})


def _outcome(score: Score | None, attempts: int = 1, **limit: object) -> str:
    (gate,) = judge({"m": score} if score else {}, _policy(**limit), attempts)
    return gate.verdict


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (Score(0.05, 0.04, 0.06, n=100), "pass"),
        (Score(0.05, 0.04, 0.08, n=100), "pass"),
        (Score(0.05, 0.01, 0.09, n=100), "inconclusive"),
        (Score(0.10, 0.08, 0.12, n=100), "inconclusive"),
        (Score(0.10, 0.09, 0.12, n=100), "fail"),
        (Score(0.08, n=100), "pass"),
        (Score(0.081, n=100), "fail"),
    ],
)
def test_upper_limit(score: Score, expected: str) -> None:
    assert _outcome(score, max=0.08) == expected


def test_lower_limit() -> None:
    assert _outcome(Score(0.99, 0.98, 1.0, n=9), min=0.9) == "pass"
    assert _outcome(Score(0.91, 0.89, 0.93, n=9), min=0.9) == "inconclusive"
    assert _outcome(Score(0.8, 0.7, 0.89, n=9), min=0.9) == "fail"


@pytest.mark.parametrize(
    "score",
    [
        None,
        Score(None),
        Score(None, error="MemoryError"),
        Score(0.0, 0.0, 0.0, n=100, error="it crashed"),
        Score(math.nan, 0.0, 0.0, n=100),
        Score(0.0, 0.0, math.nan, n=100),
        Score(0.0, -math.inf, 0.0, n=100),
        Score(0.0, 0.0, 0.0, n=4),
    ],
)
def test_the_unknown_is_inconclusive(score: Score | None) -> None:
    assert _outcome(score, max=0.08, minimum_n=5) == "inconclusive"


def test_over_reference_needs_one() -> None:
    assert _outcome(Score(0.3, 0.29, 0.31, reference=0.25, n=9), max=0.1, over_reference=True) == "pass"
    assert _outcome(Score(0.3, 0.29, 0.31, n=9), max=0.1, over_reference=True) == "inconclusive"


def test_attempts_widen_the_interval() -> None:
    score = Score(0.05, 0.021, 0.079, n=1_000)
    assert [_outcome(score, attempts, max=0.08) for attempts in (1, 2, 50)] == ["pass", "inconclusive", "inconclusive"]
    (gate,) = judge({"m": score}, _policy(max=0.08), 2)
    assert gate.high == pytest.approx(0.05 + 0.029 * 2.2414 / 1.95996, abs=1e-5)
    assert "rows or units would tell" in gate.reason


def test_an_interval_from_nought_grows_with_the_square() -> None:
    (gate,) = judge({"m": Score(0.0, 0.0, 0.01, n=9)}, _policy(max=1.0), 2)
    assert gate.high == pytest.approx(0.01 * (2.2414 / 1.95996) ** 2, abs=1e-6)


def test_judging_again_gives_the_same() -> None:
    scores = {"copy_excess": Score(0.01, 0.0, 0.02, 0.0, 5_000)}
    policy = load_policy("internal")
    assert judge(scores, policy, 3) == judge(scores, policy.to_json(), 3)


def test_verdicts() -> None:
    good, open_, bad = (
        judge({"m": Score(v, v, v, n=9)}, _policy(max=1.0, minimum_n=n)) for v, n in ((0, 1), (0, 99), (2, 1))
    )
    assert verdict(good) == "pass"
    assert verdict([*good, *open_]) == "inconclusive"
    assert verdict([*good, *open_, *bad]) == "fail"
    assert verdict(()) == "fail"
    broken = {"name": "schema", "passed": False, "blocking": True, "note": "2 columns"}
    assert verdict(good, [broken]) == "fail"
    assert verdict(good, [{**broken, "passed": None}]) == "fail"
    assert verdict(good, [{**broken, "blocking": False}]) == "pass"
    assert blockers(bad, [broken]) == ["m: fail: 2 [2, 2] breaks the limit of 1", "schema: 2 columns"]


def test_policies_are_found_by_name_or_path(tmp_path: Path) -> None:
    assert load_policy("internal").gates["copy_excess"].max == 0.08
    assert load_policy("public").gates["copy_excess"].max == 0.05
    own = tmp_path / "own.yaml"
    own.write_text("name: own\nversion: 2\ngates: {copy_excess: {max: 0.01}}\n")
    assert load_policy("own.yaml", tmp_path).version == 2
    with pytest.raises(SpecError, match="did you mean"):
        load_policy("intrenal")
    for text in (
        "name: x",
        "[1",
        "name: own\nversion: 2\ngates: {m: {max: 1, min: 0}}",
        "name: a\nversion: 1\ngates: {m: {mxa: 1}}",
    ):
        own.write_text(text)
        with pytest.raises(SpecError, match=r"not a policy|not YAML"):
            load_policy(str(own))


def _several(scores: dict[str, Score], attempts: int = 1) -> dict[str, str]:
    policy = Policy.model_validate({"name": "test", "version": 1, "gates": {name: {"max": 0.0} for name in scores}})
    return {gate.name: gate.verdict for gate in judge(scores, policy, attempts)}


def test_one_failure_among_many_gates_must_stand_holms_correction() -> None:
    weak = Score(0.021, 0.001, 0.041, n=9)  # alone: p just under 0.05
    honest = {f"h{i}": Score(-0.02, -0.04, 0.0, n=9) for i in range(9)}
    assert _several({"m": weak}) == {"m": "fail"}
    told = _several({"m": weak, **honest})
    assert told.pop("m") == "inconclusive"
    assert set(told.values()) == {"pass"}
    strong = Score(0.02, 0.01, 0.03, n=9)  # p = 0.0001 < 0.05 / 10
    assert _several({"m": strong, **honest})["m"] == "fail"
    assert _several({"m": Score(0.02, n=9), **honest})["m"] == "fail"  # exact
    # the first refusal loosens the next: 0.03 ≤ 0.05 / 1
    assert _several({"a": strong, "m": Score(0.0222, 0.002, 0.0422, n=9)}) == {"a": "fail", "m": "fail"}


def test_a_correction_never_lets_anything_pass() -> None:
    for grow in (0.5, 0.9, 1.0, 1.5):
        scores = {f"m{i}": Score(0.02, 0.02 - 0.02 * grow, 0.04, n=9) for i in range(6)}
        assert set(_several(scores).values()) <= {"fail", "inconclusive"}


def test_counts_of_all_or_none_grow_with_the_square() -> None:
    all_ = Score(1.0, 0.01, 1.0, n=4)
    assert _several({"m": all_}) == {"m": "fail"}
    assert _several({"m": all_}, attempts=5) == {"m": "inconclusive"}


def test_the_policy_without_privacy_gates_is_for_generators_that_saw_nothing() -> None:
    free, known = load_policy("source_free"), set(load_policy("public").gates)
    check_policy(free, known, source_free=True)
    check_policy(load_policy("internal"), known, source_free=False)
    with pytest.raises(SpecError, match="no private rows"):
        check_policy(free, known, source_free=False)
    weak = Policy.model_validate({"name": "weak", "version": 1, "gates": {"shape_error": {"max": 0.1}}})
    with pytest.raises(SpecError, match="no privacy gates"):
        check_policy(weak, known, source_free=False)
    check_policy(weak, known, source_free=True)


def test_a_gate_on_what_is_not_measured_is_a_slip() -> None:
    with pytest.raises(SpecError, match='did you mean "copy_excess"'):
        check_policy(
            Policy.model_validate({"name": "own", "version": 1, "gates": {"copy_exces": {"max": 0.1}}}),
            {"copy_excess", "shape_error"},
            source_free=False,
        )


def test_nobody_may_call_another_policy_internal(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: internal\nversion: 2\ngates: {copy_excess: {max: 0.9}}\n")
    with pytest.raises(SpecError, match="built-in"):
        load_policy("mine.yaml", tmp_path)
    same = load_policy("internal").to_json()
    (tmp_path / "mine.yaml").write_text(json.dumps(same))
    assert load_policy("mine.yaml", tmp_path) == load_policy("internal")


def test_a_bound_on_one_side_is_no_interval() -> None:
    assert _outcome(Score(0.1, 0.1, n=9), max=1.0) == "inconclusive"
    assert _outcome(Score(1.1, 1.1, n=9), max=1.0) == "fail"
    assert _outcome(Score(0.1, None, 0.1, n=9), max=1.0) == "pass"


def test_a_policy_says_everything_once(tmp_path: Path) -> None:
    text = "name: mine\nversion: 1\ngates:\n  copy_excess: {max: 0.08}\n  copy_excess: {max: 0.9}\n"
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(SpecError, match="copy_excess"):
        load_policy("mine.yaml", tmp_path)
