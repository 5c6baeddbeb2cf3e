"""Closed forms against published values and simulation."""

from __future__ import annotations

import numpy as np
import pytest

from synth_pipeline.evaluation.intervals import auc, difference, effective, midranks, wilson, z


def test_wilson_published_values() -> None:
    # Newcombe 1998, table I
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(15 / 148, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
    assert wilson(1 / 29, 29) == pytest.approx((0.0061, 0.1718), abs=1e-4)


def test_wilson_ends() -> None:
    assert wilson(0.3, 0) == (0.0, 1.0)
    assert wilson(0.0, 10)[0] == 0.0
    assert wilson(1.0, 10)[1] == 1.0


def test_effective_never_exceeds_n() -> None:
    assert effective(0.5, 0.25 / 100, 1_000) == pytest.approx(100)
    assert effective(0.5, 0.0, 50) == 50
    assert effective(1.0, 0.0, 7) == 7


def test_auc_of_ties_and_separation() -> None:
    labels = np.array([False] * 5 + [True] * 5)
    assert auc(np.zeros(10), labels)[0] == 0.5
    value, variance = auc(np.arange(10.0), labels)
    assert (value, variance) == (1.0, 0.0)
    assert np.isnan(auc(np.arange(3.0), np.ones(3, bool))[0])


def test_auc_equals_pair_counting_and_its_variance_holds() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) < 25
    scores = np.round(rng.normal(labels * 0.7, 1), 1)
    pairs = scores[labels][:, None] - scores[~labels][None]
    assert auc(scores, labels)[0] == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    many = [auc(rng.normal(labels * 0.7, 1), labels) for _ in range(400)]
    assert np.std([value for value, _ in many]) == pytest.approx(np.sqrt(np.mean([v for _, v in many])), rel=0.15)


def test_difference_covers() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        value, low, high = difference(rng.normal(1, 2, 80), rng.normal(0, 1, 50))
        assert low < value < high
        hits += low <= 1 <= high
    assert hits / 300 > 0.9


def test_midranks() -> None:
    assert midranks(np.array([5.0, 1.0, 5.0])).tolist() == [2.5, 1.0, 2.5]
    assert z() == pytest.approx(1.96, abs=1e-3)
