"""pMSE over its permutations: 1 for real rows, more for what a tree can tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.evaluation.propensity import permuted, pmse
from synth_pipeline.protocols.measure import Evidence, Score
from synth_pipeline.seeds import Seeds


def _table(rng: np.random.Generator, rows: int, shift: float = 0.0) -> pa.Table:
    x = rng.normal(shift, 1, rows)
    return pa.table({"x": x, "y": x + rng.normal(size=rows), "c": np.where(rng.random(rows) < 0.3, "a", "b")})


def _evidence(seed: int, rows: int, shift: float = 0.0) -> Evidence:
    rng = np.random.default_rng(seed)
    made = _table(rng, rows, shift)
    return Evidence(_table(rng, rows), _table(rng, rows), made, made, Seeds(seed))


def _score(evidence: Evidence) -> Score:
    return pmse(evidence).scores["pmse_ratio"]


def test_real_rows_have_a_ratio_of_one() -> None:
    """The null over many seeds: mean 1, though a tree's own pMSE is far from 0; and the interval holds it."""
    scores = [_score(_evidence(seed, 200)) for seed in range(20)]
    assert np.mean([score.value for score in scores]) == pytest.approx(1, abs=0.05)  # type: ignore[misc]
    held = sum(score.low <= 1 <= score.high for score in scores)  # type: ignore[operator]
    assert held >= 16
    assert np.mean([score.reference for score in scores]) == pytest.approx(1, abs=0.05)  # type: ignore[misc]


def test_what_a_tree_can_tell_raises_it() -> None:
    score = _score(_evidence(0, 1_000, shift=1.0))
    assert score.low is not None
    assert score.detects is not None
    assert score.low > 2
    assert 1 < score.detects < 2
    assert score.reference == pytest.approx(1, abs=0.4)


def test_copies_do_not_look_better_than_they_are() -> None:
    """Rows that both sides share cannot be split: less than real rows have."""
    evidence = _evidence(1, 500)
    score = _score(replace(evidence, synthetic=evidence.train))
    assert score.value is not None
    assert score.value < 1


def test_trees_see_ranks_alone() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(400, 3))
    rows[:50, 0] = np.nan
    rows[:200, 2] += 1
    monotone = rows.copy()
    monotone[:, 1] = np.exp(20 * rows[:, 1])
    monotone[:, 2] = np.clip(1e200 * rows[:, 2], -1e300, 1e300)
    assert permuted(rows[:200], rows[200:], Seeds(0)) == permuted(monotone[:200], monotone[200:], Seeds(0))


def test_hostile_rows() -> None:
    evidence = _evidence(3, 60)
    names = evidence.train.column_names
    odd = pa.table([[float("inf"), None, float("nan"), 1e308] * 15, [0.0] * 60, ["new"] * 60], names)
    assert _score(replace(evidence, synthetic=odd)).value is not None
    for few in (5, 10):  # trees of so few rows know nothing, or all by heart
        with pytest.raises(Unfit):
            pmse(replace(evidence, train=evidence.train.slice(0, few), synthetic=odd.slice(0, few // 2)))
    same = pa.table([[1.0] * 60, [0.0] * 60, ["a"] * 60], names)
    with pytest.raises(Unfit):
        pmse(Evidence(same, same, same, same, Seeds(0)))
