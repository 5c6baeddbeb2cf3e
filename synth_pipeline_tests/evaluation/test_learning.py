"""What models learn and how it is scored: closed forms, influence functions, three families on hostile rows."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation.learning import FAMILIES, NoTask, Rows, Task, deviation, learnt, posed, result
from synth_pipeline.protocols.measure import Evidence
from synth_pipeline.records.schema import columns
from synth_pipeline.seeds import Seeds

NAN, INF = float("nan"), float("inf")


def _task(classes: int | None, levels: tuple[bool, ...] = (False,)) -> Task:
    (target,) = columns(pa.schema([("y", pa.int64())]))
    known = None if classes is None else pa.array([str(c) for c in range(classes)])
    return Task(target, tuple(f"x{i}" for i in range(len(levels))), list(levels), known)


def _guess(share: np.ndarray) -> np.ndarray:
    return np.stack([1 - share, share], 1)


def test_a_known_auc() -> None:
    """Of the four pairs of a positive and a negative, one is right, one wrong and two are ties."""
    found = result(_task(2), np.array([1.0, 1.0, 0.0, 0.0]), _guess(np.array([0.9, 0.5, 0.5, 0.5])))
    assert found.value == pytest.approx(0.75)
    assert found.parts.mean() == pytest.approx(0)


@pytest.mark.parametrize("classes", [2, 3, None])
def test_influences_give_the_spread_over_resamples(classes: int | None) -> None:
    rng = np.random.default_rng(0)
    task, rows = _task(classes), 600
    truth = rng.integers(0, classes, rows).astype(float) if classes else rng.normal(size=rows)
    if classes:
        guess = rng.random((rows, classes)) + 0.5 * np.eye(classes)[truth.astype(int)]
    else:
        guess = truth + rng.normal(size=rows)
    found = result(task, truth, guess)
    drawn = rng.integers(0, rows, (400, rows))
    again = np.std([result(task, truth[pick], guess[pick]).value for pick in drawn])
    assert deviation(found.parts, np.arange(rows)) == pytest.approx(again, rel=0.15)


def test_rows_of_one_person_count_as_one() -> None:
    parts = np.random.default_rng(1).normal(size=100)
    parts -= parts.mean()
    once = deviation(parts, np.arange(100))
    assert deviation(np.tile(parts, 4), np.tile(np.arange(100), 4)) == pytest.approx(once)
    assert deviation(parts, np.zeros(100, int)) == math.inf


def test_perfect_scores_of_few_rows_are_not_certain() -> None:
    found = result(_task(2), np.array([0.0, 1.0] * 5), _guess(np.array([0.0, 1.0] * 5)))
    assert found.value == 1
    assert found.least > 0.1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("classes", [2, 3, None])
def test_families_learn_from_hostile_rows(family: str, classes: int | None) -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(300, 4))
    truth = np.floor((classes or 0) * rng.random(300)) if classes else values[:, 0].copy()
    values[:, 0] = truth
    values[:, 1] = np.nan
    values[:, 2] = rng.integers(0, 5, 300)
    values[:10, 3] = [NAN, 1e300, -1e300, 0, 0, 0, 0, 0, 0, 0]
    values[:20, 2] = np.nan
    task = _task(classes, (False, False, True, False))
    rows = Rows(values, truth, np.arange(300), np.arange(300))
    asked = values.copy()
    asked[:, 2] = 249
    (guess,) = learnt(task, rows, [asked], 0, family)
    assert np.isfinite(guess).all()
    assert result(task, truth, guess).value > 0.8


def test_one_class_and_no_rows() -> None:
    task = _task(2)
    for rows in (0, 5):
        side = Rows(np.zeros((rows, 1)), np.ones(rows), np.arange(rows), np.arange(rows))
        (guess,) = learnt(task, side, [np.zeros((4, 1))], 0)
        assert result(task, np.array([0.0, 1.0, 0.0, 1.0]), guess).value == 0.5
    assert math.isnan(result(task, np.ones(4), np.full((4, 2), 0.5)).value)
    assert math.isnan(result(_task(None), np.ones(4), np.ones(4)).value)


def test_posed_keeps_answered_rows_and_their_places() -> None:
    table = pa.table({"x": [1.0, 2.0, 3.0, 4.0], "y": ["a", None, "b", "unseen"]})
    train = pa.table({"x": [1.0, 2.0, 3.0, 4.0], "y": ["a", "b", "b", "a"]})
    evidence = Evidence(
        train, table, table, table, Seeds(0), target="y", holdout_units=[5, 5, 6, 6], train_units=[1] * 4
    )
    task, _, holdout, synthetic = posed(evidence, 10, np.random.default_rng(0))
    assert task.features == ("x",)
    assert holdout.place.tolist() == [0, 2]
    assert len(np.unique(holdout.unit)) == 2
    assert len(synthetic) == 2
    with pytest.raises(NoTask):
        posed(Evidence(train, table, table, table, Seeds(0)), 10, np.random.default_rng(0))


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_answers_near_the_end_of_their_range_are_learnt_all_the_same() -> None:
    rng = np.random.default_rng(7)
    values = []
    for unit in (1.0, 2.0**1_020):
        x = np.clip(np.random.default_rng(8).normal(size=(3, 300)), -3, 3)
        sides = [pa.table({"x": part, "y": (part + 0.1 * np.roll(part, 1)) * unit}) for part in x]
        evidence = Evidence(*sides, sides[2], Seeds(0), target="y")
        task, train, holdout, _ = posed(evidence, 300, rng)
        (guess,) = learnt(task, train, [holdout.values], 0)
        values.append(result(task, holdout.answers, guess).value)
    assert values[0] == values[1] > 0.8
    far = sides[2].set_column(1, "y", pa.array(np.full(300, 1.7e308)))
    near = [side.set_column(1, "y", pa.array(side["x"])) for side in sides[:2]]
    task, *_, made = posed(Evidence(*near, far, far, Seeds(0), target="y"), 300, rng)
    assert np.isfinite(made.answers).all()
