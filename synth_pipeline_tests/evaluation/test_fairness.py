"""Fairness of models: fairlearn's numbers, a synthetic table that was biased on purpose, groups that tell nothing."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from fairlearn.metrics import MetricFrame, demographic_parity_difference, equalized_odds_difference, selection_rate

from synth_pipeline.evaluation.fairness import difference, fairness, fitted
from synth_pipeline.protocols.measure import Evidence, Findings
from synth_pipeline.seeds import Seeds


def _table(rng: np.random.Generator, rows: int, bias: float = 0.0, target: str = "two") -> pa.Table:
    """Answers depend on x alike in both groups; with bias, the second group's are lowered."""
    group, x = rng.integers(0, 2, rows), rng.normal(size=rows)
    y = x + rng.normal(0, 0.5, rows) - bias * group
    made = {
        "two": np.where(y > 0, "yes", "no"),
        "three": np.select([y < -0.5, y > 0.5], ["low", "high"], "mid"),
        "number": y,
    }
    return pa.table({"g": np.where(group, "b", "a"), "x": x, "y": made[target]})


def _judged(seed: int, rows: int = 2_000, bias: float = 0.0, target: str = "two", least: int = 0) -> Findings:
    rng = np.random.default_rng(seed)
    train, holdout = (_table(rng, rows, target=target) for _ in range(2))
    made = _table(rng, rows, bias, target)
    evidence = Evidence(train, holdout, made, made, Seeds(seed), target="y", sensitive=("g",))
    labels = np.asarray(holdout["g"].to_pylist(), dtype=object)
    return fairness(fitted(evidence), {"g": [(level, labels == level) for level in ("a", "b")]})


def test_counts_give_fairlearns_numbers() -> None:
    rng = np.random.default_rng(0)
    truth, guess, group = rng.random(500) < 0.4, rng.random(500) < 0.3, rng.integers(0, 3, 500)
    frame = MetricFrame(metrics=selection_rate, y_true=truth, y_pred=guess, sensitive_features=group)
    parity = difference("demographic_parity_gap", group, truth, guess)
    assert parity == pytest.approx(demographic_parity_difference(truth, guess, sensitive_features=group))
    assert parity == pytest.approx(frame.difference())
    odds = difference("equalized_odds_gap", group, truth, guess)
    assert odds == pytest.approx(equalized_odds_difference(truth, guess, sensitive_features=group))


def test_weights_count_rows() -> None:
    rng = np.random.default_rng(1)
    truth, guess, group = rng.random(60) < 0.5, rng.random(60) < 0.5, rng.integers(0, 2, 60)
    times = rng.integers(0, 4, 60)
    for metric in ("demographic_parity_gap", "equalized_odds_gap"):
        repeated = difference(metric, *(np.repeat(side, times) for side in (group, truth, guess)))
        assert difference(metric, group, truth, guess, times) == pytest.approx(repeated)


@pytest.mark.parametrize("target", ["two", "three"])
def test_a_biased_synthetic_table_is_unfair(target: str) -> None:
    found = _judged(2, bias=1.5, target=target)
    for score in found.scores.values():
        assert score.value is not None
        assert score.low is not None
        assert score.value > 0.2
        assert score.low > 0
        assert score.reference == 0
    assert {(part["column"], part["metric"]) for part in found.details["fairness"]} == {
        ("g", "demographic parity"),
        ("g", "equalized odds"),
    }


def test_a_fresh_sample_is_as_fair_as_train() -> None:
    for seed in range(8):
        for score in _judged(seed, rows=400).scores.values():
            assert score.low is not None
            assert score.high is not None
            assert score.low <= 0 <= score.high


def test_numbers_and_lone_groups_are_not_measurable() -> None:
    for score in _judged(3, target="number").scores.values():
        assert score.value is None
        assert "number" in score.note
    for score in _judged(4, rows=15).scores.values():
        assert score.value is None or score.high > 0.2  # type: ignore[operator]
