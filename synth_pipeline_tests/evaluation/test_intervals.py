"""Closed forms against published values and simulation."""

from __future__ import annotations

import numpy as np
import pytest

from synth_pipeline.evaluation.intervals import (
    auc,
    clopper_pearson,
    difference,
    effective,
    holm,
    midranks,
    noticed,
    risk,
    share,
    wilson,
    worst,
    z,
)


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


def test_clopper_pearson_published_values() -> None:
    # Newcombe 1998, table I
    assert clopper_pearson(81, 263) == pytest.approx((0.2527, 0.3676), abs=1e-4)
    assert clopper_pearson(15, 148) == pytest.approx((0.0578, 0.1617), abs=1e-4)
    assert clopper_pearson(0, 20) == pytest.approx((0, 0.1684), abs=1e-4)
    assert clopper_pearson(1, 29) == pytest.approx((0.0009, 0.1776), abs=1e-4)
    assert clopper_pearson(0, 10)[0] == 0.0
    assert clopper_pearson(10, 10)[1] == 1.0


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("n", [5, 12, 60])
def test_small_shares_are_never_covered_too_seldom(p: float, n: int) -> None:
    from scipy.stats import binom

    covered = sum(binom.pmf(k, n, p) for k in range(n + 1) if share(k, n)[0] <= p <= share(k, n)[1])
    assert covered >= 0.95


def test_the_share_of_nothing_is_unknown() -> None:
    assert share(0, 0) == (0.0, 1.0)


def test_risk_closed_forms() -> None:
    value, low, high = risk((500, 1_000), (0, 10_000))
    assert value == 0.5  # nothing comes by chance: the risk is the rate
    assert low == pytest.approx(wilson(0.5, 1_000)[0], abs=1e-3)
    assert high == pytest.approx(wilson(0.5, 1_000)[1], abs=1e-3)
    assert risk((300, 1_000), (300, 1_000))[0] == 0
    assert risk((1_000, 1_000), (500, 1_000))[0] == 1
    assert risk((0, 1_000), (500, 1_000))[0] == -1  # worse than chance
    assert risk((10, 10), (10, 10)) == (0.0, -np.inf, 1.0)  # nothing is left to gain
    assert risk((0, 0), (5, 10))[2] == 1.0


@pytest.mark.parametrize(("a", "c", "n"), [(0.05, 0.05, 2_000), (0.3, 0.25, 500), (0.9, 0.85, 3_000), (0.1, 0.02, 60)])
def test_risk_covers(a: float, c: float, n: int) -> None:
    rng = np.random.default_rng(3)
    truth = (a - c) / (1 - c)
    inside = 0
    for hits, control in zip(rng.binomial(n, a, 1_000), rng.binomial(n, c, 1_000), strict=True):
        _, low, high = risk((int(hits), n), (int(control), n))
        inside += low <= truth <= high
    assert inside >= 930  # 950 less three standard errors


def test_the_worst_of_many_equal_risks_is_not_overstated() -> None:
    rng = np.random.default_rng(4)
    wrong = under = 0
    for _ in range(300):
        seen = rng.normal(0, 1, 12)
        parts = [lambda level, s=s: (s, s - z(level), s + z(level)) for s in seen]
        place, value, low, high = worst(parts)
        assert value == seen[place] == seen.max()
        wrong += low > 0
        under += high < 0
    assert wrong <= 0.05 * 300 + 3 * np.sqrt(300 * 0.05 * 0.95)
    assert under == 0


def test_what_would_be_noticed_is_noticed_four_times_in_five() -> None:
    effects = np.random.default_rng(5).normal(noticed(0.1), 0.1, 10_000)
    assert (effects - z() * 0.1 > 0).mean() == pytest.approx(0.8, abs=0.02)


def test_holm_published_example() -> None:
    # p-values of Holm's own procedure worked by hand: 0.05/4, 0.05/3, 0.05/2, 0.05
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]
    assert holm([]) == []
    assert holm([0.05]) == [True]
    assert holm([float("nan"), 0.001]) == [False, True]
