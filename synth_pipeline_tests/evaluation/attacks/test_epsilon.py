"""Bounds of ε: published values, monotony, and that they hold where ε is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from synth_pipeline.evaluation.attacks.epsilon import detectable, lower_bound, tail, two_sample


@pytest.mark.parametrize(("right", "published"), [(550, 0.09), (600, 0.30), (800, 1.25), (1000, 5.81)])
def test_one_run_published_values(right: int, published: float) -> None:
    assert lower_bound(right, 1_000, 1_000) == pytest.approx(published, abs=0.005)


def test_one_run_published_value_with_delta() -> None:
    # appendix D of the paper: 75 of 100 guesses among 1,000 canaries at δ = 1e-4
    assert lower_bound(75, 100, 1_000, 1e-4) == pytest.approx(0.673, abs=0.001)


@pytest.mark.parametrize(("n", "published"), [(500, 4.9), (1_000, 5.6), (10_000, 7.9)])
def test_a_perfect_attack_on_two_samples_certifies_no_more(n: int, published: float) -> None:
    assert two_sample(n, n, 0, n) == pytest.approx(published, abs=0.05)


def test_all_right_is_a_closed_form() -> None:
    for n in (1, 5, 100, 10_000):
        share = 0.05 ** (1 / n)
        assert lower_bound(n, n, n) == pytest.approx(max(math.log(share / (1 - share)), 0.0), abs=1e-9)


def test_the_bound_is_where_the_tail_is_five_per_cent() -> None:
    for right, delta in ((600, 0.0), (600, 1e-4), (930, 1e-5)):
        assert tail(right, 1_000, 1_000, lower_bound(right, 1_000, 1_000, delta), delta) == pytest.approx(
            0.05, rel=1e-6
        )


def test_monotone() -> None:
    by_right = [lower_bound(right, 200, 400) for right in range(201)]
    assert by_right == sorted(by_right)
    assert by_right[:101] == [0.0] * 101
    by_delta = [lower_bound(180, 200, 400, delta) for delta in (0.0, 1e-6, 1e-4, 1e-3, 1e-2, 0.1, 1.0)]
    assert by_delta == sorted(by_delta, reverse=True)
    assert by_delta[-1] == 0.0
    by_confidence = [lower_bound(180, 200, 400, confidence=level) for level in (0.5, 0.9, 0.95, 0.999)]
    assert by_confidence == sorted(by_confidence, reverse=True)
    assert two_sample(300, 500, 10, 500) > two_sample(300, 500, 20, 500) > two_sample(250, 500, 20, 500)


def test_with_delta_as_the_paper_s_own_program_has_it() -> None:
    from scipy.stats import binom

    def p_value(m: int, r: int, v: int, eps: float, delta: float) -> float:
        q = 1 / (1 + math.exp(-eps))
        alpha = mass = 0.0
        for i in range(1, v + 1):
            mass += binom.pmf(v - i, r, q)
            alpha = max(alpha, mass / i)
        return min(binom.sf(v - 1, r, q) + alpha * delta * 2 * m, 1.0)

    for case in ((100, 60, 50, 0.3, 1e-3), (100, 100, 100, 2.0, 1e-5), (10, 4, 0, 1.0, 0.1), (50, 50, 26, 0.0, 1e-2)):
        m, r, v, eps, delta = case
        assert tail(v, r, m, eps, delta) == pytest.approx(p_value(*case), rel=1e-9)


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 2.0])
def test_randomised_response_is_bounded_rightly_and_closely(epsilon: float) -> None:
    rng = np.random.default_rng(0)
    truth = 1 / (1 + math.exp(-epsilon))
    seeds, canaries = 2_000, 500
    right = rng.binomial(canaries, truth, seeds)
    bounds = {int(w): lower_bound(int(w), canaries, canaries) for w in np.unique(right)}
    too_high = sum(bounds[int(w)] > epsilon for w in right)
    assert too_high <= 0.05 * seeds + 3 * math.sqrt(0.05 * 0.95 * seeds)
    many = 1_000_000
    close = lower_bound(int(rng.binomial(many, truth)), many, many)
    assert epsilon - 0.02 < close <= epsilon + 1e-3


def test_randomised_response_in_two_samples() -> None:
    rng = np.random.default_rng(1)
    truth, n = math.e / (1 + math.e), 400
    bounds = [two_sample(int(rng.binomial(n, truth)), n, int(rng.binomial(n, 1 - truth)), n) for _ in range(400)]
    assert np.mean(np.array(bounds) > 1) <= 0.05
    assert two_sample(int(1e6 * truth), 10**6, int(1e6 * (1 - truth)), 10**6) == pytest.approx(1, abs=0.01)


def test_what_is_detectable_is_detected_four_times_in_five() -> None:
    rng = np.random.default_rng(2)
    for guesses in (50, 1_000):
        epsilon = detectable(guesses)
        assert epsilon is not None
        right = rng.binomial(guesses, 1 / (1 + math.exp(-epsilon)), 2_000)
        fewest = next(w for w in range(guesses + 1) if lower_bound(w, guesses, guesses) > 0)
        assert np.mean(right >= fewest) == pytest.approx(0.8, abs=0.05)
    assert detectable(4) is None
    assert detectable(0) is None


def test_nothing_seen_proves_nothing() -> None:
    assert lower_bound(0, 0, 0) == 0.0
    assert lower_bound(0, 10, 10) == 0.0
    assert two_sample(0, 0, 0, 0) == 0.0
    assert two_sample(0, 10, 0, 10) == 0.0
    assert two_sample(10, 10, 0, 10, delta=1.0) == 0.0
    for wrong in ((2, 1, 1), (1, 2, 1), (-1, 1, 1)):
        with pytest.raises(ValueError, match="hold"):
            lower_bound(*wrong)
    with pytest.raises(ValueError, match="δ"):
        lower_bound(1, 1, 1, delta=2.0)
