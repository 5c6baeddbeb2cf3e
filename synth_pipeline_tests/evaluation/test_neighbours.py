"""The search against brute force: mixed types, missing values, ties, duplicates, unseen levels."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation.columns import Points, columns, compared, numbers, points, texts
from synth_pipeline.evaluation.neighbours import knn, nearest
from synth_pipeline.protocols.points import Vectors

Array = np.ndarray


def _points(rng: np.random.Generator, rows: int, axes: int, levels: int, grid: int = 0) -> Points:
    values = rng.random((axes, rows)) * 5
    if grid:
        values = np.round(values * grid) / grid
    return Points(values.astype(np.float32), rng.integers(0, 4, (levels, rows)).astype(np.int32))


def _vectors(rng: np.random.Generator, rows: int, size: int, grid: int = 0, **moved: float) -> Vectors:
    values = rng.normal(size=(rows, size))
    if grid:
        values = np.round(values * grid)
    return Vectors((values * moved.get("scale", 1) + moved.get("by", 0)).astype(np.float32))


def _brute(queries: Points | Vectors, side: Points | Vectors) -> Array:
    if isinstance(queries, Vectors):
        return np.sqrt(((queries.values[:, None].astype(float) - side.values[None]) ** 2).sum(2))
    apart = np.zeros((len(queries), len(side)))
    for mine, theirs in zip(queries.axes, side.axes, strict=True):
        apart += np.minimum(np.abs(mine[:, None].astype(float) - theirs[None]), 1)
    for code, other in zip(queries.levels, side.levels, strict=True):
        apart += code[:, None] != other[None]
    return apart


@pytest.mark.parametrize(("axes", "levels", "grid"), [(3, 4, 0), (0, 6, 0), (5, 0, 0), (2, 3, 2), (1, 12, 1)])
def test_equals_brute_force(axes: int, levels: int, grid: int) -> None:
    rng = np.random.default_rng(axes * 10 + levels)
    queries, side = _points(rng, 300, axes, levels, grid), _points(rng, 9_000, axes, levels, grid)
    apart = _brute(queries, side)
    found = nearest(queries, side)
    assert found.distance == pytest.approx(apart.min(1), abs=1e-5)
    tied = apart <= apart.min(1, keepdims=True) + 1e-5
    assert found.weight == pytest.approx(tied.sum(1))
    assert tied[found.query, found.row].all()
    assert np.bincount(found.query, found.part, minlength=300) == pytest.approx(np.ones(300))


SIDES = {
    "mixed": lambda rng, rows: _points(rng, rows, 3, 4),
    "levels alone, many ties": lambda rng, rows: _points(rng, rows, 0, 5),
    "numbers alone": lambda rng, rows: _points(rng, rows, 4, 0),
    "numbers on a grid": lambda rng, rows: _points(rng, rows, 2, 2, 2),
    "one value": lambda rng, rows: Points(np.zeros((1, rows), np.float32), np.zeros((1, rows), np.int32)),
    "no column": lambda rng, rows: Points(np.empty((0, rows), np.float32), np.empty((0, rows), np.int32)),
    "300 levels": lambda rng, rows: _points(rng, rows, 1, 300),
    "vectors": lambda rng, rows: _vectors(rng, rows, 7),
    "vectors on a grid": lambda rng, rows: _vectors(rng, rows, 3, 2),
    "long vectors": lambda rng, rows: _vectors(rng, rows, 90),
    "huge vectors": lambda rng, rows: _vectors(rng, rows, 5, scale=1e37),
    "tiny vectors": lambda rng, rows: _vectors(rng, rows, 5, scale=1e-30),
    "vectors far from the origin": lambda rng, rows: _vectors(rng, rows, 5, by=3_000),
    "vectors and one that is far": lambda rng, rows: Vectors(
        np.concatenate([_vectors(rng, rows - 1, 4).values, np.full((1, 4), 1e30, np.float32)])
    ),
    "equal vectors": lambda rng, rows: Vectors(np.full((rows, 2), 0.1, np.float32)),
    "vectors without a dimension": lambda rng, rows: Vectors(np.empty((rows, 0), np.float32)),
}


@pytest.mark.parametrize("kind", SIDES)
def test_the_k_nearest_are_those_of_brute_force(kind: str) -> None:
    rng = np.random.default_rng(11)
    for rows, k in ((5_000, 5), (5_000, 1), (3, 5), (1, 1), (1, 2)):
        queries, side = SIDES[kind](rng, 140), SIDES[kind](rng, rows)
        _is_brute(queries, side, k, None)
        some = np.arange(rows)[:140]
        _is_brute(side.take(some), side, k, some)


def _is_brute(queries: Points | Vectors, side: Points | Vectors, k: int, skip: Array | None) -> None:
    distance, row = knn(queries, side, k, skip)
    apart = _brute(queries, side)
    if skip is not None:
        apart[np.arange(len(queries)), skip] = np.inf
    order = np.argsort(apart, axis=1, kind="stable")[:, :k]
    wanted = np.full(distance.shape, np.inf)
    wanted[:, : order.shape[1]] = np.take_along_axis(apart, order, 1)
    assert distance.dtype == np.float32
    assert np.allclose(distance, wanted, rtol=1e-6, atol=1e-6)
    assert ((row == -1) == np.isinf(wanted)).all()
    there = row >= 0
    found = apart[np.nonzero(there)[0], row[there]]
    assert np.allclose(found, wanted[there], rtol=1e-6, atol=1e-6), "every row is as near as it is said to be"
    for mine in row:
        assert len(set(mine[mine >= 0])) == (mine >= 0).sum(), "no row counts twice"
    tied = there[:, 1:] & (distance[:, 1:] == distance[:, :-1])
    assert (np.diff(row, axis=1)[tied] > 0).all(), "equal ones go by row number"
    if len(np.unique(apart)) < 50:  # whole distances: nothing is rounded
        known = np.isfinite(wanted[:, : order.shape[1]])
        assert (row[:, : order.shape[1]][known] == order[known]).all()


@pytest.mark.parametrize("kind", SIDES)
def test_the_nearest_are_those_of_brute_force(kind: str) -> None:
    rng = np.random.default_rng(12)
    for rows in (5_000, 1):
        queries, side = SIDES[kind](rng, 140), SIDES[kind](rng, rows)
        found, apart = nearest(queries, side), _brute(queries, side)
        low = apart.min(1, keepdims=True)
        assert np.allclose(found.distance, low[:, 0], rtol=1e-6, atol=1e-6)
        tied = apart <= low + side.rounding
        assert (found.weight <= tied.sum(1)).all()
        assert (found.weight >= (apart <= low + side.rounding / 20).sum(1)).all()
        assert tied[found.query, found.row].all()
        assert np.bincount(found.query, found.part, minlength=len(queries)) == pytest.approx(np.ones(len(queries)))


def test_one_far_row_does_not_make_vectors_equal() -> None:
    rng = np.random.default_rng(13)
    plain = _vectors(rng, 1_000, 8)
    spoilt = Vectors(np.concatenate([plain.values, np.full((1, 8), 1e20, np.float32)]))
    assert spoilt.rounding == pytest.approx(plain.rounding, rel=0.01)
    assert nearest(plain, spoilt).weight.tolist() == [1] * 1_000


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_no_numbers_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Vectors(np.array([[0, value]], np.float32))


@pytest.mark.parametrize("most", [255, 300, 40_000])
def test_a_side_that_knows_few_levels_does_not_fold_the_others(most: int) -> None:
    codes = np.array([[most, most - 256 if most > 256 else most, -1, -2, 44]], np.int32)
    queries = Points(np.empty((0, 5), np.float32), codes)
    few = Points(np.empty((0, 3), np.float32), np.array([[44, -1, 7]], np.int32))
    for mine, side in ((queries, few), (few, queries)):
        assert nearest(mine, side).distance.tolist() == _brute(mine, side).min(1).tolist()


def test_equal_rows_share_evenly() -> None:
    side = Points(np.zeros((1, 1_000), np.float32), np.zeros((1, 1_000), np.int32))
    found = nearest(Points(np.zeros((1, 2), np.float32), np.ones((1, 2), np.int32)), side)
    assert found.weight.tolist() == [1_000, 1_000]
    assert found.distance.tolist() == [1, 1]
    assert found.part == pytest.approx(np.full(len(found.part), 1 / 256))


def test_no_column_at_all_ties_with_every_row() -> None:
    empty = Points(np.empty((0, 5), np.float32), np.empty((0, 5), np.int32))
    assert nearest(empty, empty).weight.tolist() == [5] * 5


def test_scale_missing_and_unseen() -> None:
    real = pa.table({"x": [1.0, 2.0, 2.0, float("nan"), None], "c": ["a", "b", None, "b", "a"]})
    made = pa.table({"x": [2.0, None, float("inf"), 1.5], "c": ["z", None, "a", "b"]})
    drawn, known = points([made, real], [real], compared(real, made))
    assert known.axes[0, 1] == known.axes[0, 2]
    assert known.axes[0, 3] == known.axes[0, 4] > known.axes[0, :3].max() + 1
    assert drawn.axes[0, 1] == known.axes[0, 3]
    assert drawn.levels[0, 0] == -1, "an unseen level equals nothing"
    assert drawn.levels[0, 1] == known.levels[0, 2] == -2, "missing equals missing"
    assert known.axes[0, 0] < drawn.axes[0, 3] < known.axes[0, 1]


def test_levels_have_one_canonical_text() -> None:
    assert texts(pa.table({"c": [3, 4, None]}), "c").to_pylist() == ["3", "4", None]
    assert texts(pa.table({"c": [3.0, float("nan"), 4.0]}), "c").to_pylist() == ["3", None, "4"]
    assert texts(pa.table({"c": pa.array(["x", None]).dictionary_encode()}), "c").to_pylist() == ["x", None]
    assert texts(pa.table({"c": [True, None]}), "c").to_pylist() == ["true", None]


def test_numbers_of_every_type() -> None:
    import datetime
    from decimal import Decimal

    day = datetime.date(2020, 1, 2)
    table = pa.table(
        {
            "int": pa.array([1, None]),
            "decimal": pa.array([Decimal("1.50"), None]),
            "date": pa.array([day, None]),
            "time": pa.array([datetime.time(1), None]),
            "stamp": pa.array([datetime.datetime(2020, 1, 2), None], pa.timestamp("ms", "UTC")),
            "text": ["1.5", "x"],
        }
    )
    for column in columns(table.schema):
        values = numbers(table, column.name)
        assert np.isfinite(values[0]), column.name
        assert np.isnan(values[1]), column.name
