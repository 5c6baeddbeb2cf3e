"""What nobody can tell from a real value is read as it; what is another value stays one, on both sides alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks.adversaries import made
from benchmarks.proofs import measured
from synth_pipeline.evaluation.readings import Readings
from synth_pipeline.protocols.measure import Evidence
from synth_pipeline.records.schema import columns
from synth_pipeline_tests.evaluation.test_proofs import honest

Array = np.ndarray
MEASURES = ("exact_match_excess", "near_match_excess", "value_replay_excess", "cumulative_exposure")


def _each(table: pa.Table, change: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> pa.Table:
    return pa.table({name: change(table.column(name)) for name in table.column_names})


def _nudged(data: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_floating(data.type):
        return data
    return pc.add(pc.multiply(data, 1 + 1e-9), 1e-6)


def _jittered(data: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_floating(data.type):
        return data
    moved = np.random.default_rng(len(data)).uniform(-1e-8, 1e-8, len(data)) * (pc.stddev(data).as_py() or 0)
    return pc.add(data, pa.array(moved))


def _spaced(data: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(data, "", " ") if pa.types.is_string(data.type) else data


def _loud(data: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.utf8_upper(data) if pa.types.is_string(data.type) else data


def _values(evidence: Evidence) -> list[float | None]:
    return [score.value for score in measured(evidence, MEASURES).values()]


@pytest.mark.parametrize("change", [_nudged, _jittered, _spaced, _loud])
def test_copies_under_noise_that_nobody_sees_are_copies(change: Callable[..., pa.ChunkedArray]) -> None:
    evidence = honest(1_500, 1_500, 1_500)
    assert _values(made(evidence, _each(evidence.train, change))) == pytest.approx(
        _values(made(evidence, evidence.train)), abs=0.01
    )
    few = [
        pa.concat_tables([_each(evidence.synthetic.slice(60), alter), _each(evidence.train.slice(0, 60), alter)])
        for alter in (change, lambda data: data)
    ]
    noisy, plain = (measured(made(evidence, rows), MEASURES) for rows in few)
    for name in MEASURES:
        assert noisy[name].value == pytest.approx(plain[name].value, abs=0.006), name
        assert noisy[name].low is not None
        assert noisy[name].low > 0, name


def _keys(real: list[object], asked: list[object], kind: pa.DataType, asked_kind: pa.DataType | None = None) -> Array:
    """Which of the real values each asked one is read as; -1: none of them."""
    table, other = pa.table({"x": pa.array(real, kind)}), pa.table({"x": pa.array(asked, asked_kind or kind)})
    reading = Readings(columns(table.schema)[0], (table.slice(0, 1), table.slice(1)))
    known = {key: place for place, key in reversed(list(enumerate(reading.keys(table).tolist())))}
    return [known.get(key, -1) for key in reading.keys(other).tolist()]


def test_numbers_are_read_as_the_nearest_real_one_that_is_close() -> None:
    real = [0.0, 10.0, 11.0, 1_000.0]
    asked = [0.09, 0.11, -0.1, 10.009, 10.02, 10.5, 10.995, 991.0, 5_000.0, np.inf, -np.inf]
    assert _keys(real, asked, pa.float64()) == [0, -1, 0, 1, -1, -1, 2, 3, -1, -1, -1]
    assert _keys([0, 10, 11, 1_000], [0, 1, 10, 991, 990], pa.int64()) == [0, -1, 1, 3, -1]
    assert _keys([0, 10, 11, 1_000], [0.05, 10.009, 10.5, 1e300], pa.int64(), pa.float64()) == [0, 1, -1, -1]
    huge = 2**62
    assert _keys([-huge, huge, huge + 1], [huge + 1, huge + 2, -huge], pa.int64()) == [2, -1, 0]
    assert _keys([1e308, -1e308, 5.0], [5.1, 0.99e308, np.inf, 1e300], pa.float64())[1:] == [0, -1, 2]
    assert _keys([np.inf, 1.0, 2.0], [1.001, 2.0, np.nan], pa.float64()) == [1, 2, -1]


def test_a_constant_and_a_column_of_nothing_have_readings() -> None:
    assert _keys([5.0, 5.0], [5.0 + 1e-6, 6.0], pa.float64()) == [0, -1]
    assert _keys([0, 0], [0, 1], pa.int64()) == [0, -1]
    for kind in (pa.float64(), pa.int64(), pa.string(), pa.timestamp("us"), pa.bool_()):
        table = pa.table({"x": pa.nulls(3, kind)})
        assert Readings(columns(table.schema)[0], (table, table.slice(0, 0))).keys(table).tolist() == [0, 0, 0]


def test_real_numbers_are_read_as_themselves() -> None:
    rng = np.random.default_rng(0)
    for values in (rng.normal(size=3_000), rng.integers(0, 10**9, 3_000), rng.lognormal(0, 9, 3_000)):
        table = pa.table({"x": values})
        keys = Readings(columns(table.schema)[0], (table, table)).keys(table)
        assert len(np.unique(keys)) == len(np.unique(values))


def test_texts_are_read_as_real_ones_that_differ_in_looks_only() -> None:
    real: list[object] = ["St. John's", "A-", "A", "+", "-", "Straße", "\uff21\uff11", None]
    asked: list[object] = ["st johns ", "A-", "a", "A", "+", "-", "*", "STRASSE", "A1", "B", None]
    assert _keys(real, asked, pa.string()) == [0, 1, 2, 2, 3, 4, -1, 5, 6, -1, 7]


def test_dense_columns_and_levels_in_numbers_are_read_too() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=200_000)
    table, moved = pa.table({"x": values}), pa.table({"x": values + rng.uniform(-1e-8, 1e-8, len(values))})
    reading = Readings(columns(table.schema)[0], (table, table.slice(0, 0)))
    assert (reading.keys(table) == reading.keys(moved)).mean() > 0.99


def test_chance_meets_both_sides_alike() -> None:
    values = []
    for seed in range(12):
        evidence = honest(900, 300, 900, seed)
        rng = np.random.default_rng(seed)
        real = rng.normal(size=1_200)
        evidence = replace(
            evidence,
            train=pa.table({"x": real[:900]}),
            holdout=pa.table({"x": real[900:]}),
            target=None,
            sensitive=(),
        )
        values.append(_values(made(evidence, pa.table({"x": rng.normal(size=5_000)}))))
    for found in np.array(values, float).T:
        assert abs(found.mean()) < 3 * found.std() / 12**0.5 + 1e-9
