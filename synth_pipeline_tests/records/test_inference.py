"""Meanings from whole-input facts: what each kind of column is taken for; facts of parts merge to the whole's."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_pipeline.records.inference import Facts, decide
from synth_pipeline.records.schema import Column, Meaning, Role
from synth_pipeline.spec.columns import ColumnSpec

N = 1_000
RNG = np.random.default_rng(0)


def facts(values: pa.Array) -> Facts:
    found = Facts()
    found.values(values)
    return found


def meaning(values: object, name: str = "x", spec: ColumnSpec | None = None, frozen: Column | None = None) -> Meaning:
    array = values if isinstance(values, pa.Array) else pa.array(values)
    return decide(name, array.type, facts(array), spec, None, frozen).column.meaning


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (RNG.integers(0, 90, N), Meaning.NUMBER),
        (RNG.integers(0, 10**9, N), Meaning.NUMBER),
        (RNG.permutation(N), Meaning.IDENTIFIER),
        (np.arange(N) + 10**12, Meaning.IDENTIFIER),
        (RNG.integers(0, 2, N), Meaning.CATEGORY),
        (RNG.normal(size=N), Meaning.NUMBER),
        (RNG.random(N) < 0.5, Meaning.BOOLEAN),
        ([f"level {i % 9}" for i in range(N)], Meaning.CATEGORY),
        ([f"town {i % 300}" for i in range(N)], Meaning.CATEGORY),
        ([f"user{i}@example.org" for i in range(N)], Meaning.IDENTIFIER),
        ([f"Ann Example {i}" for i in range(N)], Meaning.IDENTIFIER),
        ([f"the patient number {i} was seen and went home again" for i in range(N)], Meaning.TEXT),
        (["x" * 300] * N, Meaning.TEXT),
        ([None] * N, Meaning.CATEGORY),
        (["a", "b", "c"], Meaning.CATEGORY),
        (pa.array(RNG.integers(0, 20_000, N).astype("int32")).cast(pa.date32()), Meaning.DATETIME),
    ],
)
def test_meanings(values: object, expected: Meaning) -> None:
    if isinstance(values, list) and values[0] is None:
        values = pa.array(values, pa.string())
    assert meaning(values) is expected


def test_names_help_with_whole_numbers_that_never_repeat() -> None:
    unique = RNG.choice(10**9, N, replace=False)
    assert meaning(unique, "income") is Meaning.NUMBER
    for name in ("id", "customer_id", "CustomerId", "account number", "order_no"):
        assert meaning(unique, name) is Meaning.IDENTIFIER, name
    assert meaning(unique, "paid") is Meaning.NUMBER
    assert meaning(RNG.integers(0, 50, N), "customer_id") is Meaning.NUMBER


def test_the_yaml_wins_then_roles_then_the_frozen_contract() -> None:
    numbers = RNG.integers(0, 90, N)
    frozen = Column("x", pa.int64(), Meaning.CATEGORY)
    assert meaning(numbers, frozen=frozen) is Meaning.CATEGORY
    assert meaning(numbers, spec=ColumnSpec(roles=(Role.ENTITY,)), frozen=frozen) is Meaning.IDENTIFIER
    declared = ColumnSpec(meaning=Meaning.NUMBER, roles=(Role.ENTITY,))
    assert meaning(numbers, spec=declared, frozen=frozen) is Meaning.NUMBER


def test_grids_of_decimals() -> None:
    for decimals in (0, 1, 2, 5, 8):
        values = np.round(RNG.normal(size=N) * 100, decimals)
        assert facts(pa.array(values)).decimals == decimals
    assert facts(pa.array(RNG.normal(size=N))).decimals is None
    assert facts(pa.array([1e308, 0.5])).decimals is None
    assert facts(pa.array(RNG.normal(size=N).astype("float32").astype("float64"))).decimals is None


def test_distinct_values_are_exact_then_close() -> None:
    for count in (1, 100, 16_000):
        assert facts(pa.array(np.arange(100_000) % count)).distinct == count
    texts = pa.array([f"t{i}" for i in range(300_000)])
    assert abs(facts(texts).distinct / 300_000 - 1) < 0.03


VALUES = st.lists(st.none() | st.integers(-(2**62), 2**62) | st.just(7), max_size=60)


@given(VALUES, VALUES, st.sampled_from([pa.int64(), pa.string(), pa.float64()]))
def test_facts_of_parts_merge_to_those_of_the_whole(
    one: list[int | None], other: list[int | None], kind: pa.DataType
) -> None:
    def array(values: list[int | None]) -> pa.Array:
        return pa.array(values, pa.int64()).cast(kind, safe=False)

    merged, whole = facts(array(one)), facts(array(one + other))
    merged.merge(facts(array(other)))
    assert np.array_equal(merged.sketch, whole.sketch)
    for name in ("rows", "nulls", "chars", "spaces", "low", "high", "midnight", "distinct"):
        assert getattr(merged, name) == getattr(whole, name), name
    assert merged.decimals == whole.decimals
