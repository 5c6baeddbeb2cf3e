"""The search against brute force: mixed types, missing values, ties, duplicates, unseen levels."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation.columns import Points, columns, compared, numbers, points, texts
from synth_pipeline.evaluation.neighbours import nearest

Array = np.ndarray


def _points(rng: np.random.Generator, rows: int, axes: int, levels: int, grid: int = 0) -> Points:
    values = rng.random((axes, rows)) * 5
    if grid:
        values = np.round(values * grid) / grid
    return Points(values.astype(np.float32), rng.integers(0, 4, (levels, rows)).astype(np.int32))


def _brute(queries: Points, side: Points) -> Array:
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
