"""The keyed split: stable by id, whatever surrounds it; fair; monotone; different under another key."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_pipeline.records import split

KEY, OTHER = b"k" * 32, b"o" * 32


def test_an_id_is_the_same_person_as_text_and_as_number() -> None:
    numbers = pa.array([7, 8, 123_456])
    for same in (numbers.cast(pa.string()), numbers.cast(pa.float64()), numbers.cast(pa.int32())):
        assert np.array_equal(split.by_value(KEY, numbers, 0.5), split.by_value(KEY, same, 0.5))


def test_missing_ids_do_not_change_how_the_others_are_read() -> None:
    assert split.unit_text(pa.array([7.0, None])).to_pylist() == ["7", None]
    assert split.unit_text(pa.array([7.5, 8.0])).to_pylist() == ["7.5", "8"]


@given(st.lists(st.text(max_size=20), min_size=1, max_size=50), st.randoms())
def test_no_neighbour_and_no_order_moves_a_unit(ids: list[str], random: object) -> None:
    held = dict(zip(ids, split.by_value(KEY, pa.array(ids), 0.5), strict=True))
    shuffled = sorted(set(ids), reverse=True)
    assert dict(zip(shuffled, split.by_value(KEY, pa.array(shuffled), 0.5), strict=True)) == held


def test_shares_keys_and_monotony() -> None:
    ids = pa.array([str(i) for i in range(100_000)])
    fifth, half = split.by_value(KEY, ids, 0.2), split.by_value(KEY, ids, 0.5)
    assert abs(fifth.mean() - 0.2) < 0.005
    assert abs(half.mean() - 0.5) < 0.006
    assert not (fifth & ~half).any()
    assert abs((half == split.by_value(OTHER, ids, 0.5)).mean() - 0.5) < 0.01


def test_rows_are_drawn_by_place_however_they_are_batched() -> None:
    whole = split.by_row(KEY, "a.csv", 0, 20_000, 0.3)
    assert abs(whole.mean() - 0.3) < 0.02
    pieces = [split.by_row(KEY, "a.csv", start, 777, 0.3) for start in range(0, 19_425, 777)]
    assert np.array_equal(np.concatenate(pieces), whole[: 25 * 777])
    assert (split.by_row(KEY, "b.csv", 0, 20_000, 0.3) != whole).any()


@pytest.mark.parametrize(("units", "fraction"), [(100, 0.5), (4_000, 0.5), (8_000, 0.25), (10_000, 0.2), (10**6, 0.2)])
def test_default_fraction(units: int, fraction: float) -> None:
    assert split.default_fraction(units) == fraction


def test_the_largest_contribution_is_counted_across_batches() -> None:
    counted = split.Contributions()
    for _ in range(3):
        counted.add(pa.array(["a", "b", None, None]))
    counted.add(pa.array(["a"]))
    assert counted.largest == 4
    assert split.Contributions().largest == 1


def test_more_units_than_are_counted_give_a_bound_from_above() -> None:
    rng = np.random.default_rng(0)
    units = np.concatenate([rng.integers(0, 50_000, 200_000), np.full(300, 7)])
    rng.shuffle(units)
    counted, exact = split.Contributions(capacity=2_000), split.Contributions()
    for start in range(0, len(units), 1_000):
        batch = pa.array(units[start : start + 1_000]).cast(pa.string())
        counted.add(batch)
        exact.add(batch)
    truth = int(np.bincount(units).max())
    assert exact.largest == truth
    assert truth <= counted.largest <= truth + 2 * 200_300 / 1_000


def test_a_column_of_booleans_says_who_is_held_out() -> None:
    assert split.by_column(pa.array([True, False, None]), ("True",)).tolist() == [True, False, False]
    assert split.by_column(pa.array([1, 2]), ("2",)).tolist() == [False, True]
