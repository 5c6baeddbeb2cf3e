"""Joint tables of pairs and triples: closed forms, and relations that only three columns show."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.evaluation.marginals import combinations, marginals
from synth_pipeline.protocols.measure import Evidence, Score
from synth_pipeline.seeds import Seeds


def _evidence(train: pa.Table, holdout: pa.Table, made: pa.Table) -> Evidence:
    return Evidence(train, holdout, made, made, Seeds(0))


def _bits(rng: np.random.Generator, rows: int, parity: bool = False) -> pa.Table:
    a, b, c = rng.integers(0, 2, (3, rows))
    return pa.table({name: np.where(bit, "y", "n") for name, bit in zip("abc", (a, b, a ^ b if parity else c))})  # noqa: B905


def _known(score: Score) -> tuple[float, float, float, float]:
    assert score.value is not None
    assert score.low is not None
    assert score.high is not None
    assert score.reference is not None
    return score.value, score.low, score.high, score.reference


def test_equal_tables_score_a_thousand_and_disjoint_ones_nothing() -> None:
    rng = np.random.default_rng(0)
    train, holdout = _bits(rng, 500), _bits(rng, 500)
    scores = marginals(_evidence(train, holdout, train)).scores
    assert scores["k_marginal"].value == 1_000
    assert scores["triple_error"].value == 0
    other = pa.table({name: ["z"] * 500 for name in "abc"})
    scores = marginals(_evidence(train, holdout, other)).scores
    assert scores["k_marginal"].value == pytest.approx(0)
    assert scores["triple_error"].value == pytest.approx(1)


def test_parity_shows_in_triples_alone() -> None:
    """Any two of a, b and a xor b are independent; the three together fill half of the cells: TV = 1/2."""
    rng = np.random.default_rng(1)
    scores = marginals(_evidence(_bits(rng, 20_000), _bits(rng, 20_000), _bits(rng, 20_000, parity=True))).scores
    value, low, high, reference = _known(scores["triple_error"])
    assert value == pytest.approx(0.5, abs=0.02)
    assert low < value < high
    assert reference < 0.03
    assert _known(scores["k_marginal"])[0] > 980


def test_known_total_variation() -> None:
    """Two independent coins of .5 against .8: the joint tables differ by .39, so NIST's score is 610."""
    rng = np.random.default_rng(2)

    def coins(p: float) -> pa.Table:
        return pa.table({name: np.where(rng.random(40_000) < p, "y", "n") for name in "ab"})

    scores = marginals(_evidence(coins(0.5), coins(0.5), coins(0.8))).scores
    value, low, high, reference = _known(scores["k_marginal"])
    assert value == pytest.approx(1_000 * (1 - 0.39), abs=10)
    assert low < 610 < high
    assert reference > 985
    assert scores["triple_error"].value is None
    assert "not measurable" in scores["triple_error"].note


def test_a_fresh_sample_is_within_its_interval_of_the_reference() -> None:
    missed = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        scores = marginals(_evidence(*(_bits(rng, 400) for _ in range(3)))).scores
        missed += any(not (low <= reference <= high) for _, low, high, reference in map(_known, scores.values()))
    assert missed <= 6


def test_the_detection_limit_is_the_smallest_effect_that_shows() -> None:
    rng = np.random.default_rng(3)
    score = marginals(_evidence(*(_bits(rng, 2_000) for _ in range(3)))).scores["triple_error"]
    assert score.detects is not None
    effect = score.detects - _known(score)[3]
    assert 0.01 < effect < 0.1


def test_combinations_are_drawn_without_replacement() -> None:
    rng = np.random.default_rng(4)
    assert sorted(combinations(6, 3, 50, rng)) == sorted(itertools.combinations(range(6), 3))
    drawn = combinations(1_000, 3, 200, rng)
    assert len(set(drawn)) == 200
    assert all(0 <= a < b < c < 1_000 for a, b, c in drawn)


@pytest.mark.parametrize(
    "values", [[float("nan")] * 40, [float("inf"), -1e308, 1e308, None] * 10, [True, False] * 20, ["a"] * 40]
)
def test_hostile_columns(values: list[object]) -> None:
    rng = np.random.default_rng(5)
    plain = _bits(rng, 40).append_column("bad", pa.array(["x"] * 40))
    hostile = plain.set_column(3, "bad", pa.array(values))
    for evidence in (_evidence(hostile, hostile, plain), _evidence(plain, plain, hostile)):
        for score in marginals(evidence).scores.values():
            value, low, high, _ = _known(score)
            assert np.isfinite([value, low, high]).all()


def test_hundreds_of_columns_and_too_few() -> None:
    rng = np.random.default_rng(6)

    def wide() -> pa.Table:
        return pa.table({f"c{i}": rng.normal(size=30) for i in range(300)})

    assert marginals(_evidence(wide(), wide(), wide())).scores["triple_error"].value is not None
    one = pa.table({"a": [1.0, 2.0, 3.0]})
    found = marginals(_evidence(one, one, one)).scores
    assert [found[name].value for name in ("k_marginal", "triple_error")] == [None, None]
    assert found["k_marginal"].note == "not measurable: fewer than two columns to compare"
    with pytest.raises(Unfit):
        marginals(_evidence(*[pa.table({"l": [[1], [2]]})] * 3))
