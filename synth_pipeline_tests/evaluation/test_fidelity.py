"""Distances between distributions: known values, references, hostile columns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation import fidelity
from synth_pipeline.evaluation.columns import compared
from synth_pipeline.protocols.measure import Evidence
from synth_pipeline.seeds import Seeds

NAN, INF = float("nan"), float("inf")


def _table(rng: np.random.Generator, rows: int, shift: float = 0.0, tied: bool = True) -> pa.Table:
    x = rng.normal(shift, 1, rows)
    y = x + rng.normal(0, 0.3, rows) if tied else rng.normal(0, 1.04, rows)
    return pa.table({"x": x, "y": y, "c": np.where(rng.random(rows) < 0.3, "a", "b")})


def _evidence(train: pa.Table, holdout: pa.Table, made: pa.Table) -> Evidence:
    return Evidence(train, holdout, made, made, Seeds(0))


def test_known_distances() -> None:
    train = pa.table({"n": [0.0, 0.0, 1.0, 1.0], "c": ["a", "a", "b", "b"]})
    made = pa.table({"n": [1.0, 1.0, 1.0, 1.0], "c": ["a", "z", "z", "z"]})
    for column, expected in zip(compared(train), (0.5, 0.75), strict=True):
        assert fidelity.marginal(column, made, train).error == pytest.approx(expected)


def test_witnesses_average_to_the_error() -> None:
    rng = np.random.default_rng(0)
    train, made = _table(rng, 500), _table(rng, 500, 0.4)
    for column in compared(train):
        found = fidelity.marginal(column, made, train)
        assert found.synthetic.mean() - found.train.mean() == pytest.approx(found.error)


def test_a_fresh_sample_scores_as_the_holdout_does() -> None:
    rng = np.random.default_rng(1)
    score, details = fidelity.shapes(_evidence(*(_table(rng, 3_000) for _ in range(3))))
    assert score.value == pytest.approx(score.reference, abs=0.015)
    assert {item["name"] for item in details} == {"x", "y", "c"}
    trend, _ = fidelity.trends(_evidence(*(_table(rng, 3_000) for _ in range(3))))
    assert trend.value == pytest.approx(trend.reference, abs=0.02)


def test_a_broken_relation_shows_in_trends_not_in_shapes() -> None:
    rng = np.random.default_rng(2)
    evidence = _evidence(_table(rng, 3_000), _table(rng, 3_000), _table(rng, 3_000, tied=False))
    shape, (trend, details) = fidelity.shapes(evidence)[0], fidelity.trends(evidence)
    assert shape.value is not None
    assert shape.value < 0.04
    assert trend.low is not None
    assert trend.reference is not None
    assert trend.low > trend.reference + 0.1
    assert (details["pairs"][0]["a"], details["pairs"][0]["b"]) == ("x", "y")
    names = details["associations"]["columns"]
    place = names.index("x"), names.index("y")
    assert details["associations"]["real"][place[0]][place[1]] > 0.4
    assert details["associations"]["synthetic"][place[0]][place[1]] < 0.1


def test_one_outlier_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    train, holdout, made = (_table(rng, 2_000) for _ in range(3))
    spoiled = made.set_column(0, "x", pa.array(np.append(made["x"].to_numpy()[:-1], 1e300)))
    before, after = (fidelity.trends(_evidence(train, holdout, m))[0].value for m in (made, spoiled))
    assert after == pytest.approx(before, abs=1e-3)


def test_missing_values_count_apart() -> None:
    rng = np.random.default_rng(4)
    train, holdout, made = (_table(rng, 2_000) for _ in range(3))
    holes = pa.array(np.where(rng.random(2_000) < 0.5, None, made["x"].to_numpy()), pa.float64())
    holed = made.set_column(0, "x", holes)
    evidence = _evidence(train, holdout, holed)
    gap = fidelity.gaps(evidence)
    assert gap.value == pytest.approx(0.5 / 3, abs=0.02)
    assert gap.low is not None
    assert gap.high is not None
    assert gap.low < gap.value < gap.high  # type: ignore[operator]
    shape, _ = fidelity.shapes(evidence)
    assert shape.value == pytest.approx(fidelity.shapes(replace(evidence, synthetic=made))[0].value, abs=0.02)


def test_association_of_known_tables() -> None:
    assert fidelity.association(np.diag([50, 50])) == pytest.approx(1, abs=0.01)
    assert fidelity.association(np.full((3, 4), 25)) == 0
    assert fidelity.association(np.array([[10, 0], [0, 0]])) == 0
    assert fidelity.association(np.zeros((2, 2))) == 0


@pytest.mark.parametrize(
    "values",
    [
        [1.0] * 40,
        [NAN] * 40,
        [INF, -INF, NAN, 0.0] * 10,
        [1e308, -1e308, 1e-308, 0.0] * 10,
        ["same"] * 40,
        [None] * 40,
        [True, False] * 20,
        [2**62, 2**62 + 1] * 20,
    ],
)
def test_hostile_columns(values: list[object]) -> None:
    rng = np.random.default_rng(5)
    kind = pa.string() if values[0] is None else None
    hostile = _table(rng, 40).append_column("bad", pa.array(values, kind))
    plain = hostile.set_column(3, "bad", pa.array([values[0]] * 40, hostile.schema.field("bad").type))
    for made in (hostile, plain):
        evidence = _evidence(hostile, hostile, made)
        for score in (fidelity.shapes(evidence)[0], fidelity.trends(evidence)[0], fidelity.gaps(evidence)):
            assert score.value is not None
            assert 0 <= score.value <= 1


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_distances_of_numbers_near_the_end_of_their_range() -> None:
    rng = np.random.default_rng(9)
    moved = {}
    for unit in (1.0, 2.0**1_020):
        real = np.clip(rng.normal(size=500), -3, 3)
        sides = [pa.table({"x": (real + by) * unit}) for by in (0, 0.1, 0.5)]
        moved[unit] = fidelity.shapes(_evidence(*sides))[1][0]["wasserstein"]
    assert list(moved.values()) == pytest.approx([0.5 / 1.35] * 2, rel=0.1)
    sides = [pa.table({"x": np.append(np.full(50, 1e-300), far)}) for far in (1e-299, 1e-299, 1.7e308)]
    assert fidelity.shapes(_evidence(*sides))[1][0]["wasserstein"] > 1e6


def test_rows_of_one_person_are_one_observation() -> None:
    rng = np.random.default_rng(10)
    real, held, made = (_table(rng, rows) for rows in (200, 200, 2_000))
    owners = np.repeat(np.arange(200), 10)
    sides = [side.take(pa.array(owners)) for side in (real, held)]
    rows = Evidence(*sides, made, made, Seeds(0))
    persons = replace(rows, train_units=owners, holdout_units=owners + 200)
    for measure in (lambda e: fidelity.shapes(e)[0], lambda e: fidelity.trends(e)[0]):
        narrow, wide = measure(rows), measure(persons)
        assert (wide.value, wide.reference, wide.n) == (narrow.value, narrow.reference, narrow.n)
        # √((1 + 10) / 2) times as wide, where nothing is cut off
        assert (wide.high - wide.value) / (narrow.high - narrow.value) == pytest.approx(2.35, rel=0.15)
        assert wide.detects - wide.reference == pytest.approx(
            np.sqrt(10) * (narrow.detects - narrow.reference), rel=0.1
        )


def test_intervals_over_persons_cover_the_true_rate_of_missing_values() -> None:
    outside = {True: 0, False: 0}
    for seed in range(60):
        rng = np.random.default_rng([11, seed])
        owners = np.repeat(np.arange(100), 8)
        lost = [rng.random(100)[owners] < share for share in (0.3, 0.3)] + [rng.random(800) < 0.5]
        sides = [pa.table({"x": pa.array(np.zeros(800), mask=gone)}) for gone in lost]
        for known in outside:
            units = {"train_units": owners, "holdout_units": owners + 100} if known else {}
            score = fidelity.gaps(Evidence(*sides, sides[2], Seeds(seed), **units))
            outside[known] += not score.low <= 0.2 <= score.high
    assert outside[True] <= 8
    assert outside[False] > 15
