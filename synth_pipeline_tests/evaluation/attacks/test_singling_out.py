"""Singling out: who is isolated by a copy, nobody by fresh rows, and persons are counted, not rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation.attacks.singling_out import multivariate, univariate
from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.protocols.measure import Evidence, Findings, Score
from synth_pipeline.seeds import Seeds


def people(rng: np.random.Generator, rows: int) -> pa.Table:
    age = rng.gamma(4, 10, rows).round()
    return pa.table(
        {
            "age": age,
            "pay": np.round(rng.lognormal(3, 1, rows) * age, 2),
            "job": rng.choice(list("abcdefgh"), rows, p=np.arange(8, 0, -1) / 36),
            "town": pa.array(rng.choice(["x", "y", None], rows)),
            "member": rng.random(rows) < 0.3,
        }
    )


def evidence(seed: int, train: int = 300, holdout: int = 300, made: int = 300) -> Evidence:
    rng = np.random.default_rng([11, seed])
    real, held, synthetic = (people(rng, rows) for rows in (train, holdout, made))
    return Evidence(real, held, synthetic, synthetic, Seeds(seed))


def only(found: Findings) -> Score:
    (score,) = found.scores.values()
    assert score.value is not None
    assert score.low is not None
    assert score.high is not None
    return score


@pytest.mark.parametrize("attack", [univariate, multivariate])
@pytest.mark.parametrize(("train", "holdout"), [(300, 300), (600, 150), (150, 600)])
def test_fresh_rows_single_out_nobody(attack, train: int, holdout: int) -> None:
    outside = 0
    for seed in range(12):
        score = only(attack(evidence(seed, train, holdout)))
        outside += not score.low <= 0 <= score.high
    assert outside <= 2


@pytest.mark.parametrize(("train", "holdout"), [(600, 600), (800, 400), (1_000, 250), (250, 1_000)])
def test_a_verbatim_copy_is_a_risk_near_one_at_any_split(train: int, holdout: int) -> None:
    found = evidence(1, train, holdout)
    copied = replace(found, synthetic=found.train, released=found.train)
    assert only(univariate(copied)).low > 0.8
    several = only(multivariate(copied))
    # at 4:1 a quarter of train is looked at, and a small table cannot tell: it never passes
    assert several.high > 0.3
    assert several.low > {600: 0.6, 250: 0.6, 800: 0}.get(train, -1)


def test_a_copy_that_is_stored_twice_is_still_a_copy() -> None:
    found = evidence(2)
    twice = pa.concat_tables([found.train, found.train])
    for attack in (univariate, multivariate):
        assert only(attack(replace(found, synthetic=twice))).low > 0.6


def test_n_is_the_number_of_descriptions_that_were_asked() -> None:
    ages = pa.table({"age": [1.0, 2.0, 3.0, 3.0], "job": ["a", "b", "b", "b"]})
    found = univariate(Evidence(ages, ages, ages, ages, Seeds(0)))
    # of the three different rows: ages 1, 2, 3 alone, two ends, job a alone
    assert found.details["attacks"][0]["n"] == only(found).n == 6


def test_levels_that_all_share_leave_no_guess() -> None:
    same = pa.table({"a": ["x", "y"] * 50})
    score = only(univariate(Evidence(same, same, pa.table({"a": ["x", "y", "z"] * 9}), same, Seeds(0))))
    assert score.value == 0
    made = pa.table({"a": ["x"] * 20, "b": ["y"] * 20})
    score = only(univariate(Evidence(made, made, made, made, Seeds(0))))
    assert score.n <= 2  # one different row stands alone, but fits everybody
    assert score.value == 0


def test_missing_values_equal_no_value_and_lie_beyond_no_end() -> None:
    nan = pa.table({"x": [float("nan")] * 19 + [5.0], "y": list(range(20))})
    held = pa.table({"x": [float("nan")] * 19 + [7.0], "y": list(range(100, 120))})
    made = pa.table({"x": [float("nan"), 5.0, 9.0], "y": [50, 51, 52]})
    found = univariate(Evidence(nan, held, made, made, Seeds(0)))
    # right about train: x = 5, x <= 5 only; "x is missing" and "x >= 9" fit nineteen and nobody
    assert only(found).note.startswith("of 10 descriptions 2 fit one training person alone, 0 one held-out person;")


def test_one_person_with_many_rows_is_one_person() -> None:
    rng = np.random.default_rng(3)
    real, held = people(rng, 250), people(rng, 250)
    units = np.repeat(np.arange(250), 3)
    thrice = [side.take(pa.array(units)) for side in (real, held)]
    copied = Evidence(*thrice, real, real, Seeds(0), train_units=units, holdout_units=units + 250)
    assert only(univariate(copied)).low > 0.8
    assert only(multivariate(copied)).low > 0.4
    # the same rows of three times as many persons: nobody is alone
    strangers = replace(copied, train_units=None, holdout_units=None)
    assert only(univariate(strangers)).value == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("attack", [univariate, multivariate])
def test_hostile_values_and_the_same_seed(attack) -> None:
    rng = np.random.default_rng(4)
    rows = 12
    wide = {f"c{i}": rng.normal(size=rows) for i in range(300)}
    table = pa.table(
        {
            **wide,
            "gone": pa.nulls(rows, pa.float64()),
            "inf": [float("inf"), float("-inf"), float("nan")] * 4,
            "same": ["k"] * rows,
            "yes": [True, False] * 6,
        }
    )
    other = table.set_column(0, "c0", pa.array(rng.normal(size=rows)))
    found = Evidence(table, other, other, other, Seeds(0))
    first, second = attack(found), attack(found)
    assert first == second
    assert only(first).low <= 0 <= only(first).high
    with pytest.raises(Unfit):
        attack(replace(found, train=table.slice(0, 0)))
    with pytest.raises(Unfit):
        attack(Evidence(*[pa.table({"l": [[1], [2]]})] * 4, Seeds(0)))


def coarse(rng: np.random.Generator, rows: int) -> pa.Table:
    """Few values in each column, of which those at the ends are rare."""
    return pa.table(
        {
            "age": np.clip(rng.gamma(9, 4.5, rows).round(), 17, 90),
            "hours": np.clip(rng.normal(40, 9, rows).round(), 1, 80),
            "class": rng.choice(list("abcdef"), rows),
            "answer": rng.random(rows) < 0.3,
        }
    )


@pytest.mark.parametrize(("train", "holdout"), [(1_500, 1_500), (2_400, 600)])
def test_honest_coarse_tables_are_not_left_open_for_want_of_guesses(train: int, holdout: int) -> None:
    one, several = [], []
    for seed in range(8):
        rng = np.random.default_rng([5, seed])
        sides = [coarse(rng, rows) for rows in (train, holdout, train)]
        one.append(only(univariate(Evidence(*sides, sides[2], Seeds(seed)))).high <= 0.05)
        sides = [side.select(["class", "answer"]) for side in sides]
        several.append(only(multivariate(Evidence(*sides, sides[2], Seeds(seed)))).high <= 0.10)
    assert sum(one) >= 7
    assert all(several)


def test_an_end_that_many_rows_share_is_no_guess() -> None:
    ages = pa.table({"age": [17.0] * 50 + [90.0] * 50, "x": list(range(100))})
    score = only(univariate(Evidence(ages, ages, ages, ages, Seeds(0))))
    assert score.n == 100 + 2  # each x, and its two ends; no age


def test_a_few_guesses_that_fit_nobody_are_no_open_question_and_a_few_right_ones_no_certainty() -> None:
    real = pa.table({"x": [1] * 500 + [2] * 500, "y": list(range(8)) + [9] * 992})
    held = pa.table({"x": [1] * 500 + [2] * 500, "y": [9] * 1_000})
    made = pa.table({"x": [1] * 10 + [2] * 10, "y": [100, 101, 102, *[9] * 17]})
    nobody, eight = (only(univariate(Evidence(real, held, side, side, Seeds(0)))) for side in (made, real))
    assert nobody.value == 0
    assert nobody.high < 0.02
    assert nobody.detects < 0.05
    assert eight.value == pytest.approx((8 + 1) / 200)  # y = 0 … 7, and y <= 0
    assert eight.high > 0.05


@pytest.mark.slow
def test_rows_that_crowd_on_persons_are_no_evidence_of_a_leak() -> None:
    missed = 0
    for seed in range(60):
        rng = np.random.default_rng([6, seed])
        sides, units = [], []
        for first in (0, 10_000, 20_000):
            own = np.repeat(np.arange(200), np.minimum(rng.zipf(1.6, 200), 60))
            sides.append(pa.table({"x": rng.normal(size=len(own)).round(3), "y": rng.normal(size=200)[own].round(2)}))
            units.append(own + first)
        score = only(univariate(Evidence(*sides, sides[2], Seeds(seed), train_units=units[0], holdout_units=units[1])))
        missed += not score.low <= 0 <= score.high
    assert missed <= 7
