"""Detection limits against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from synth_pipeline.evaluation.intervals import clopper_pearson
from synth_pipeline.evaluation.noticing import least_count, least_share


@pytest.mark.parametrize(("pi", "n"), [(0.5, 40), (0.8, 150), (0.2, 1_000)])
def test_the_share_is_noticed_four_times_in_five(pi: float, n: int) -> None:
    least = least_share(pi, n)
    assert least is not None
    hits = np.random.default_rng(0).binomial(n, least, 4_000)
    lowest = {int(h): clopper_pearson(int(h), n)[0] for h in np.unique(hits)}
    assert np.mean([lowest[int(h)] > pi for h in hits]) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(("pi", "by_chance"), [(0.5, 0.0), (0.8, 0.0), (0.5, 7.0), (0.8, 60.0), (0.3, 400.0)])
def test_the_count_is_noticed_four_times_in_five(pi: float, by_chance: float) -> None:
    rng = np.random.default_rng(1)
    copies = least_count(pi, by_chance)
    train = rng.poisson(by_chance * pi + copies, 3_000)
    held = rng.poisson(by_chance * (1 - pi), 3_000)
    low = [clopper_pearson(int(t), int(t + h))[0] if t + h else 0.0 for t, h in zip(train, held, strict=True)]
    assert np.mean(np.array(low) > pi) == pytest.approx(0.8, abs=0.03)


def test_closed_form_of_the_fewest() -> None:
    """Six copies at an even split; Poisson(7.906) has at least six in 80 % of cases."""
    assert least_count(0.5, 0.0) == pytest.approx(7.906, abs=0.001)


def test_too_few_trials_notice_nothing() -> None:
    assert least_share(0.5, 5) is None
    assert least_share(0.5, 6) is not None
    assert least_share(0.9, 20) is None
    assert least_count(1.0, 0.0) == float("inf")
