"""Code books keep types and values, protect extremes, and survive saving."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_pipeline.errors import TrainingError
from synth_pipeline.features.columns import Levels, TableEncoder
from synth_pipeline.features.grids import Grid
from synth_pipeline.records.schema import Column, Meaning

_KINDS = {
    pa.int8(): st.integers(-128, 127),
    pa.uint8(): st.integers(0, 255),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.decimal128(9, 2): st.decimals(-9999999, 9999999, places=2),
    pa.decimal128(38, 4): st.decimals(-(10**30), 10**30, places=4),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(max_size=5),
    pa.large_string(): st.sampled_from(["a", "b", "é", "😀", ""]),
    pa.date32(): st.dates(),
    pa.timestamp("s"): st.datetimes(datetime.datetime(1700, 1, 1)).map(lambda d: d.replace(microsecond=0)),
    pa.timestamp("us", "Europe/Berlin"): st.datetimes(datetime.datetime(1900, 1, 1), timezones=st.just(datetime.UTC)),
    pa.time64("us"): st.times(),
    pa.duration("ms"): st.integers(-(10**9), 10**9).map(lambda ms: datetime.timedelta(milliseconds=ms)),
    pa.null(): st.none(),
}


@st.composite
def _arrays(draw: st.DrawFn) -> pa.Array:
    kind = draw(st.sampled_from(list(_KINDS)))
    return pa.array(draw(st.lists(st.none() | _KINDS[kind], max_size=60)), kind)


@given(_arrays())
@settings(max_examples=150, deadline=None)
def test_types_and_missing_cells_survive(array: pa.Array) -> None:
    table = pa.table({"x": array})
    encoder = TableEncoder.fit(table)
    codes = encoder.encode(table)
    assert codes.dtype == np.int32
    assert (codes < encoder.sizes).all()
    back = encoder.decode(codes, np.random.default_rng(0))
    assert back.column("x").type == array.type
    assert np.array_equal(np.asarray(back.column("x").is_null()), np.asarray(array.is_null()))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4), st.integers(10, 30))
@settings(max_examples=50, deadline=None)
def test_repeated_integers_are_atoms_and_come_back_exactly(values: list[int], times: int) -> None:
    table = pa.table({"x": pa.array(values * times, pa.int64())})
    encoder = TableEncoder.fit(table)
    assert encoder.decode(encoder.encode(table), np.random.default_rng(0)).equals(
        table.cast(encoder.schema), check_metadata=False
    )


def test_not_a_number_and_infinities_are_codes_of_their_own() -> None:
    values = [float("nan"), float("inf"), float("-inf"), 1e308, -1e308, 0.5, None] * 6
    table = pa.table({"x": pa.array(values, pa.float64())})
    encoder = TableEncoder.fit(table)
    assert str(encoder.decode(encoder.encode(table), np.random.default_rng(0))["x"].to_pylist()) == str(values)


def test_integers_beyond_the_floats_stay_exact() -> None:
    table = pa.table({"x": pa.array([2**53 + 1, 2**53 + 3, None] * 9)})
    encoder = TableEncoder.fit(table)
    assert encoder.decode(encoder.encode(table), np.random.default_rng(0))["x"].equals(table["x"])


def test_wide_decimals_keep_their_small_neighbours() -> None:
    values = [decimal.Decimal("12345678901234567890.25"), decimal.Decimal("-0.01"), decimal.Decimal("-3.50"), None]
    table = pa.table({"x": pa.array(values * 9, pa.decimal128(38, 2))})
    encoder = TableEncoder.fit(table)
    drawn = encoder.decode(encoder.encode(table), np.random.default_rng(0))["x"].to_pylist()
    assert drawn[1:4] == values[1:]
    assert abs(drawn[0] / values[0] - 1) < decimal.Decimal("1e-12")


def test_numbers_keep_their_grid_and_distribution() -> None:
    rng = np.random.default_rng(1)
    cents = np.round(rng.lognormal(8, 1, 20_000)) * 5
    table = pa.table({"x": pa.array(np.round(cents / 100, 2))})
    encoder = TableEncoder.fit(table)
    drawn = encoder.decode(encoder.encode(table), rng)["x"].to_numpy()
    assert np.allclose(drawn * 20, np.round(drawn * 20), atol=1e-6), "the grid of 0.05 is kept"
    quantiles = np.linspace(0.01, 0.99, 50)
    error = np.abs(np.quantile(drawn, quantiles) / np.quantile(table["x"], quantiles) - 1)
    assert error.max() < 0.02


def test_extremes_of_train_do_not_show() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(size=5_000), [50.0, -50.0]])
    table = pa.table({"x": values})
    encoder = TableEncoder.fit(table)
    drawn = encoder.decode(encoder.encode(table), np.random.default_rng(1))["x"].to_numpy()
    assert np.abs(drawn).max() < 10
    kept = TableEncoder.fit(table, extremes=True)
    assert kept.books[0].low.min() == -50.0  # type: ignore[union-attr]


def test_stored_numbers_are_not_rows_values() -> None:
    values = np.random.default_rng(0).random(2_000)
    book = TableEncoder.fit(pa.table({"x": values})).books[0]
    assert isinstance(book, Grid)
    stored = np.concatenate([array.ravel().astype(float) for array in book.arrays().values()])
    assert not np.isin(values, stored).any()


def test_unseen_values_have_a_place() -> None:
    table = pa.table({"n": np.arange(1_000) / 7, "c": ["a", "b"] * 500})
    encoder = TableEncoder.fit(table)
    other = pa.table({"n": [-1e9, 1e9, None, float("nan")], "c": ["a", "zzz", None, "b"]})
    codes = encoder.encode(other)
    assert codes[:, 1].tolist() == [1, 3, 0, 2]
    assert (codes[:, 0] < encoder.sizes[0]).all()
    assert codes[2, 0] == 0


def test_ranks_are_the_distribution_function() -> None:
    table = pa.table({"n": np.random.default_rng(0).normal(size=10_000), "c": ["a"] * 10_000})
    ranks = TableEncoder.fit(table, bins=256, extremes=True).ranks(table)
    exact = (np.argsort(np.argsort(table["n"].to_numpy())) + 0.5) / 10_000
    assert np.abs(ranks[:, 0] - exact).max() < 0.005
    assert np.isnan(ranks[:, 1]).all()


def test_books_do_not_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    table = pa.table({"c": rng.choice(list("abcdef"), 600), "n": rng.normal(size=600)})
    shuffled = table.take(rng.permutation(600))
    books = [TableEncoder.fit(each).books for each in (table, shuffled)]
    assert books[0][0].values.equals(books[1][0].values)  # type: ignore[union-attr]
    assert all(np.array_equal(books[0][1].arrays()[k], v) for k, v in books[1][1].arrays().items())  # type: ignore[union-attr]


def test_many_levels() -> None:
    names = [f"level {i}" for i in range(40_000)]
    table = pa.table({"c": names * 2})
    encoder = TableEncoder.fit(table)
    assert encoder.sizes.tolist() == [40_001]
    assert encoder.decode(encoder.encode(table), np.random.default_rng(0))["c"].equals(table["c"])


def test_saved_books_decode_the_same(tmp_path: Path) -> None:
    rows = 300
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "__class__": rng.normal(size=rows),
            "😀/..": pa.array(rng.choice(["x", "y", None], rows)),  # type: ignore[arg-type]
            "d": pa.array([decimal.Decimal("1.10"), None, decimal.Decimal("2.20")] * 100),
            "t": pa.array(rng.integers(0, 10**9, rows), pa.timestamp("ms", "UTC")),
            "n": pa.nulls(rows),
            "k": pa.array(["p", "q", "r"] * 100).dictionary_encode(),
        }
    )
    encoder = TableEncoder.fit(table)
    encoder.save(tmp_path)
    again = TableEncoder.load(tmp_path)
    codes = encoder.encode(table)
    assert np.array_equal(again.encode(table), codes)
    assert again.decode(codes, np.random.default_rng(5)).equals(encoder.decode(codes, np.random.default_rng(5)))


def test_a_number_called_category_is_levels() -> None:
    table = pa.table({"zip": pa.array([10115, 20095, 10115])})
    encoder = TableEncoder.fit(table, [Column("zip", pa.int64(), Meaning.CATEGORY)])
    assert isinstance(encoder.books[0], Levels)
    assert encoder.books[0].values.to_pylist() == [10115, 20095]


def test_nested_values_are_refused_by_name() -> None:
    with pytest.raises(TrainingError, match="things"):
        TableEncoder.fit(pa.table({"things": [[{"a": 1}], [{"a": 2}]]}))


@pytest.mark.parametrize("kind", [pa.float64(), pa.int64(), pa.timestamp("us")])
def test_what_one_person_repeats_is_no_point_mass(kind: pa.DataType) -> None:
    rng = np.random.default_rng(4)
    units = np.concatenate([np.repeat(np.arange(400), 30), np.full(3_000, 400)])
    own = rng.permutation(1_000_000)[:401] + 1_000_000
    own[400] = 9_000_000  # the last one is alone, far out, with many rows
    values = own[units].astype(np.int64)
    shared = rng.random(len(units)) < 0.3
    values[shared & (units < 400)] = 1_500_000  # what many persons have is a point mass
    array = pa.array(values).cast(kind)
    table = pa.table({"x": array})
    replayed = []
    for whose in (None, units):
        encoder = TableEncoder.fit(table, units=whose)
        drawn = encoder.decode(encoder.encode(table), np.random.default_rng(0)).column("x")
        drawn = drawn.cast(pa.int64(), safe=False).to_numpy()
        replayed.append(np.isin(drawn, own).mean())
        assert (drawn == 1_500_000).mean() == pytest.approx((values == 1_500_000).mean(), abs=0.01)
    assert drawn.max() < 9_000_000
    assert replayed[0] > 0.3
    assert replayed[1] < 0.01
