"""C_T, the distance ratio and authenticity: closed forms, nulls at any split, copies, the array that is indexed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation.closeness import closeness
from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.protocols.measure import Evidence
from synth_pipeline.protocols.points import Vectors
from synth_pipeline.seeds import Seeds

Array = np.ndarray
NAMES = ("c_t", "nndr_excess", "authenticity_excess")


class Coordinates:
    """Every column one coordinate."""

    def keys(self, rows: pa.Table) -> Array:
        raise NotImplementedError

    def points(self, rows: pa.Table) -> Vectors:
        return Vectors(np.stack([column.to_numpy() for column in rows.columns], 1).astype(np.float32))

    def matrix(self, rows: pa.Table) -> tuple[Array, list[bool]]:
        raise NotImplementedError


def _people(rng: np.random.Generator, rows: int) -> pa.Table:
    age = rng.gamma(4, 10, rows).round()
    return pa.table(
        {
            "age": age,
            "pay": np.round(rng.lognormal(3, 1, rows) * age, 2),
            "size": rng.normal(size=rows),
            "job": rng.choice(list("abcdefgh"), rows, p=np.arange(8, 0, -1) / 36),
        }
    )


def _evidence(rng: np.random.Generator, train: int, holdout: int, made: int, seed: int = 0) -> Evidence:
    real, held, drawn = (_people(rng, rows) for rows in (train, holdout, made))
    return Evidence(real, held, drawn, drawn, Seeds(seed))


def _plane(rng: np.random.Generator, *rows: int) -> list[pa.Table]:
    return [pa.table({"x": rng.random(n), "y": rng.random(n)}) for n in rows]


@pytest.mark.parametrize(("train", "holdout", "made"), [(200, 200, 200), (300, 80, 300), (80, 300, 200)])
def test_nothing_is_found_where_nobody_copies(train: int, holdout: int, made: int) -> None:
    found = []
    for seed in range(60):
        scores = closeness(_evidence(np.random.default_rng([seed, train]), train, holdout, made, seed)).scores
        found.append([scores[name] for name in NAMES])
    for place, name in enumerate(NAMES):
        values = np.array([scores[place].value for scores in found])
        assert abs(values.mean()) <= 3 * values.std(ddof=1) / math.sqrt(60), name
        wrong = sum(scores[place].low > 0 for scores in found)
        assert wrong <= 5, name  # of 60, each wrong once in forty: more than five once in a thousand times
        missed = sum(not scores[place].low <= 0 <= scores[place].high for scores in found)
        assert missed <= 8, name
        # what it says it would notice is about what it would: 2.8 deviations of its value under no copying
        stated = np.mean([scores[place].detects for scores in found]) / 2.8
        assert 0.7 * values.std(ddof=1) <= stated <= 1.8 * values.std(ddof=1), name


@pytest.mark.parametrize(("train", "holdout"), [(600, 600), (900, 200)])
@pytest.mark.parametrize("part", [0.25, 1])
def test_the_copied_part_is_estimated(train: int, holdout: int, part: float) -> None:
    rng = np.random.default_rng(2)
    evidence = _evidence(rng, train, holdout, 600)
    copied = evidence.train.take(pa.array(rng.choice(train, int(600 * part), replace=False)))
    made = pa.concat_tables([copied, evidence.synthetic.slice(copied.num_rows)])
    scores = closeness(replace(evidence, synthetic=made)).scores
    assert scores["nndr_excess"].value == pytest.approx(part, abs=0.06)
    assert scores["authenticity_excess"].value == pytest.approx(part, abs=0.15)
    for name in NAMES:
        assert scores[name].low > 0, name
        assert scores[name].low <= scores[name].value <= scores[name].high
    blurred = made.set_column(2, "size", pa.array(made["size"].to_numpy() + rng.normal(0, 0.02, 600)))
    assert closeness(replace(evidence, synthetic=blurred)).scores["c_t"].low > 0


def test_a_table_that_is_stored_twice_hides_no_copies() -> None:
    rng = np.random.default_rng(3)
    evidence = _evidence(rng, 500, 500, 500)
    twice = replace(evidence, train=pa.concat_tables([evidence.train] * 2), synthetic=evidence.train)
    assert all(closeness(twice).scores[name].low > 0.9 for name in NAMES)


def test_authenticity_is_that_of_the_nearest_training_row() -> None:
    """Alaa et al. 2022, equation 7, row by row: the gap is that of the training row that is met."""
    rng = np.random.default_rng(4)
    train, holdout, made = _plane(rng, 120, 100, 90)
    score = closeness(Evidence(train, holdout, made, made, Seeds(0), features=Coordinates())).scores[NAMES[2]]

    def points(table: pa.Table) -> Array:
        return Coordinates().points(table).values.astype(float)

    def inauthentic(table: pa.Table) -> float:
        hits = 0
        for row in points(table):
            apart = np.linalg.norm(points(train) - row, axis=1)
            met = points(train)[apart.argmin()]
            others = np.linalg.norm(np.delete(points(train), apart.argmin(), 0) - met, axis=1)
            hits += apart.min() <= others.min()
        return hits / table.num_rows

    a, c = inauthentic(made), inauthentic(holdout)
    assert score.value == pytest.approx((a - c) / (1 - c))
    assert f"{c:.2%} of the held-out" in score.note


@pytest.mark.parametrize(
    ("columns", "wanted"), [(["x"], 2 / 3), (["x", "y"], math.pi / (4 * math.pi / 3 + math.sqrt(3) / 2))]
)
def test_held_out_rows_are_as_often_inauthentic_as_geometry_says(columns: list[str], wanted: float) -> None:
    """How often the neighbour of a point has no nearer one: 0.6667 on a line, 0.6215 in the plane."""
    rng = np.random.default_rng(5)
    train, holdout, made = (table.select(columns) for table in _plane(rng, 8_000, 8_000, 10))
    scores = closeness(Evidence(train, holdout, made, made, Seeds(0), features=Coordinates())).scores
    told = float(scores["authenticity_excess"].note.split("rows, ")[1].split("%")[0]) / 100
    assert told == pytest.approx(wanted, abs=0.02)


def test_c_t_is_the_mann_whitney_statistic_turned_round() -> None:
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(6)
    train, holdout, made = _plane(rng, 200, 40, 60)
    made = pa.table({name: made[name].to_numpy() * 0.9 for name in made.column_names})
    score = closeness(Evidence(train, holdout, made, made, Seeds(0), features=Coordinates())).scores["c_t"]

    def first(table: pa.Table) -> Array:
        points = [Coordinates().points(side).values.astype(float) for side in (table, train)]
        return np.linalg.norm(points[0][:, None] - points[1][None], axis=2).min(1)

    known = mannwhitneyu(first(made), first(holdout), method="asymptotic", use_continuity=False)
    z = -(known.statistic - 60 * 40 / 2) / math.sqrt(60 * 40 * 101 / 12)
    assert score.value == pytest.approx(z)
    assert score.note.startswith("1 cells")


def test_rows_of_one_person_are_one_observation() -> None:
    rng = np.random.default_rng(7)
    evidence = _evidence(rng, 400, 40, 400)
    many = replace(evidence, holdout=evidence.holdout.take(pa.array(np.repeat(np.arange(40), 10))))
    told = replace(many, train_units=np.arange(400), holdout_units=np.repeat(np.arange(400, 440), 10))
    for name, alone in closeness(many).scores.items():
        score = closeness(told).scores[name]
        assert score.value == pytest.approx(alone.value)
        assert score.high - score.low > 1.5 * (alone.high - alone.low)


def test_rows_that_are_off_clear_nobody_and_say_so() -> None:
    rng = np.random.default_rng(9)
    evidence = _evidence(rng, 400, 400, 400)
    size = evidence.synthetic.column_names.index("size")
    off = evidence.synthetic.set_column(size, "size", pa.array(np.full(400, 9.0)))
    for score in closeness(replace(evidence, synthetic=off)).scores.values():
        assert score.low <= 0
        assert ("would hide copies" in score.note) == (score.high < 0)
    assert closeness(replace(evidence, synthetic=off)).scores["c_t"].high < 0


def test_same_seed_same_scores_and_small_or_odd_tables() -> None:
    rng = np.random.default_rng(8)
    evidence = _evidence(rng, 300, 200, 200)
    assert closeness(evidence) == closeness(evidence)
    small = closeness(_evidence(rng, 8, 4, 50)).scores
    assert small["c_t"].value is None
    assert "not measurable" in small["c_t"].note
    assert all(small[name].high - small[name].low > 0.4 for name in NAMES[1:] if small[name].value is not None)
    alike = pa.table({"a": ["x"] * 50, "b": [1.0] * 50})
    with pytest.raises(Unfit):
        closeness(Evidence(alike, alike, alike, alike, Seeds(0)))
    odd = pa.table({"age": [float("nan"), 1e308], "pay": [float("inf"), None], "size": [None, 1], "job": ["new", None]})
    for score in closeness(replace(evidence, synthetic=odd.take(pa.array([0, 1] * 50)))).scores.values():
        assert np.isfinite([score.value, score.low, score.high]).all()
        assert score.low <= 0
