"""The trees: exact types, exact conditions, equal bytes for equal seeds, constraints kept, hostile tables survived."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_pipeline.errors import SpecError, StorageError, TrainingError
from synth_pipeline.features.constraints import age_of, violations
from synth_pipeline.modalities.tabular.configs import Trees as Config
from synth_pipeline.modalities.tabular.models.trees import Trees, _halves
from synth_pipeline.modalities.tabular.models.trees_drawing import Drawer, leaf_of
from synth_pipeline.modalities.tabular.models.trees_growing import grow, ordering, variable
from synth_pipeline.protocols.generator import SampleRequest
from synth_pipeline.records.records import Records
from synth_pipeline.records.schema import Column, Meaning, Role, schema_of
from synth_pipeline.seeds import Seeds
from synth_pipeline.spec.constraints import Age, Constraint
from synth_pipeline_tests.features.test_constraints import make


def fitted(table: pa.Table, *constraints: Constraint, min_leaf: int | None = 50, seed: int = 0) -> Trees:
    model = Trees(Config(min_leaf=min_leaf), constraints)
    model.fit(Records.of(table), Seeds(seed), lambda step, values: None)
    return model


def drawn(model: Trees, rows: int, start: int = 0, seed: int = 1, **request: Any) -> pa.Table:
    batches = [batch for _, batch in model.sample(SampleRequest(rows, start, **request), Seeds(seed))]
    return pa.Table.from_batches(batches, model.plan.schema)


def mixed(rows: int = 3_000, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 4, rows)
    return pa.table(
        {
            "group": pa.array([f"g{i}" for i in group]),
            "number": rng.normal(group * 3.0, 1.0),
            "count": pa.array(rng.poisson(group + 1), mask=rng.random(rows) < 0.1),
            "flag": rng.random(rows) < 0.1 + 0.2 * group,
            "day": pa.array((18_000 + 100 * group + rng.integers(0, 90, rows)).astype("i4")).view(pa.date32()),
        }
    )


@pytest.fixture(scope="module")
def model() -> Trees:
    return fitted(mixed())


def test_schema_rows_and_dependence_are_kept(model: Trees) -> None:
    table = drawn(model, 3_000)
    assert table.schema.types == mixed().schema.types
    real = mixed().group_by("group").aggregate([("number", "mean"), ("flag", "mean")]).sort_by("group")
    ours = table.group_by("group").aggregate([("number", "mean"), ("flag", "mean")]).sort_by("group")
    assert np.allclose(real["number_mean"], ours["number_mean"], atol=0.25)
    assert np.allclose(real["flag_mean"], ours["flag_mean"], atol=0.06)
    assert abs(table["count"].null_count - mixed()["count"].null_count) < 90


def test_equal_seeds_give_equal_rows_and_other_seeds_others(model: Trees) -> None:
    assert drawn(model, 500).equals(drawn(model, 500))
    assert not drawn(model, 500).equals(drawn(model, 500, seed=2))
    assert fitted(mixed()).forest.trees[-1].counts.tolist() == model.forest.trees[-1].counts.tolist()


def test_shards_do_not_depend_on_each_other(model: Trees) -> None:
    later = drawn(model, 400, start=400, seed=7)
    drawn(model, 400, seed=6)
    assert drawn(model, 400, start=400, seed=7).equals(later)


def test_a_saved_model_draws_the_same(model: Trees, tmp_path: Path) -> None:
    model.save(tmp_path)
    again = Trees.load(tmp_path)
    assert drawn(again, 1_000).equals(drawn(model, 1_000))
    assert again.summary() == model.summary()
    assert not [file for file in tmp_path.iterdir() if file.suffix in (".pkl", ".pickle")]
    (tmp_path / "forest.npz").write_bytes(b"")
    with pytest.raises(StorageError):
        Trees.load(tmp_path)


def test_no_row_can_be_read_from_what_is_saved(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    secret = pa.table({"a": rng.normal(size=2_000), "b": rng.normal(size=2_000), "c": rng.choice(list("xyz"), 2_000)})
    model = fitted(secret)
    model.save(tmp_path)
    stored: list[np.ndarray] = []
    for file in tmp_path.glob("*.npz"):
        with np.load(file, allow_pickle=False) as arrays:
            stored += [arrays[name] for name in arrays.files]
    for name in ("a", "b"):
        assert not any(np.isin(secret[name].to_numpy(), array).any() for array in stored)
    # leaves hold sorted codes and counts: no array is as long as the table, none follows the rows' order
    assert all(len(array) != 2_000 for array in stored)
    for tree in model.forest.trees:
        for leaf in range(tree.leaves):
            codes = tree.codes[tree.starts[leaf] : tree.starts[leaf + 1]]
            assert (np.diff(codes) > 0).all()


@pytest.mark.parametrize(
    "fixed",
    [
        {"group": "g2"},
        {"flag": True, "group": "g0"},
        {"count": None},
        {"count": 3},
        {"number": 1.25},
        {"day": dt.date(2019, 8, 1)},
    ],
)
def test_fixed_values_are_exact(model: Trees, fixed: Mapping[str, Any]) -> None:
    table = drawn(model, 300, fixed=fixed)
    assert table.num_rows == 300
    for name, value in fixed.items():
        assert set(table[name].to_pylist()) == {value}


def test_fixing_a_late_column_gives_the_right_rest(model: Trees) -> None:
    """Whatever the drawing order, the rest follows its distribution given the fixed value."""
    real = mixed(60_000, seed=5).filter(pc.field("flag"))
    late = drawn(model, 4_000, fixed={"flag": True})
    for level in ("g0", "g1", "g2", "g3"):
        share = [pc.mean(pc.equal(table["group"], level).cast(pa.int8())).as_py() for table in (real, late)]
        assert abs(share[0] - share[1]) < 0.05
    far = drawn(model, 2_000, fixed={"day": dt.date(2020, 2, 15)})  # only g3 was there on that day
    assert pc.mean(pc.equal(far["group"], "g3").cast(pa.int8())).as_py() > 0.95


def test_weights_are_kept(model: Trees) -> None:
    table = drawn(model, 4_000, weights={"group": {"g0": 3, "g3": 1}})
    assert set(table["group"].to_pylist()) == {"g0", "g3"}
    assert abs(pc.mean(pc.equal(table["group"], "g0").cast(pa.int8())).as_py() - 0.75) < 0.03
    even = drawn(model, 4_000, weights={"flag": {}})
    assert abs(pc.mean(even["flag"].cast(pa.int8())).as_py() - 0.5) < 0.03
    named = drawn(model, 200, weights={"flag": {"true": 1.0}})
    assert pc.all(named["flag"]).as_py()


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"fixed": {"gruop": "g1"}}, 'did you mean "group"'),
        ({"fixed": {"group": "g9"}}, "does not hold this level"),
        ({"fixed": {"number": 1e9}}, "outside of the range"),
        ({"fixed": {"day": "no date"}}, "not a value of type"),
        ({"weights": {"group": {"g9": 1}}}, "was not learned"),
        ({"weights": {"group": {"g1": -1}}}, "negative"),
        ({"fixed": {"group": "g3", "day": dt.date(2019, 4, 20)}}, "conditions"),
    ],
)
def test_what_cannot_be_drawn_is_said(model: Trees, request_: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        drawn(model, 50, **request_)


def constrained(rows: int = 3_000) -> pa.Table:
    rng = np.random.default_rng(0)
    start = rng.integers(15_000, 18_000, rows)
    quantity, price = rng.integers(1, 10, rows), np.round(rng.lognormal(2, 1, rows), 2)
    city = rng.integers(0, 30, rows)
    table = pa.table(
        {
            "id": np.arange(rows),
            "birth": pa.array(rng.integers(-10_000, 10_000, rows).astype("i4")).view(pa.date32()),
            "start": pa.array(start.astype("i4")).view(pa.date32()),
            "end": pa.array(
                (start + rng.geometric(0.01, rows)) * 86_400 * 10**6 + rng.integers(0, 10**10, rows),
                pa.timestamp("us", "UTC"),
            ),
            "quantity": quantity,
            "price": price,
            "total": np.round(quantity * price, 2),
            "a": pa.array(rng.integers(0, 50, rows), mask=rng.random(rows) < 0.1),
            "b": rng.random(rows).round(3),
            "city": [f"c{i}" for i in city],
            "state": [f"s{i % 7}" for i in city],
            "low": rng.normal(0, 1, rows).astype("f4"),
            "middle": pa.array(rng.normal(3, 1, rows).astype("f4"), mask=rng.random(rows) < 0.2),
            "high": rng.normal(5, 0.1, rows),
            "code": [f"k{i}" for i in rng.integers(0, 200, rows)],
            "number": rng.integers(0, 200, rows).astype("i2"),
        }
    )
    sums = pc.add(table["a"].cast(pa.float64()), table["b"])
    age = age_of(Age(type="age", birth="birth", age="age", at=dt.date(2024, 6, 1)), table)
    return table.append_column("sum", sums).append_column("age", age.cast(pa.int16()))


CONSTRAINTS = (
    make(type="age", birth="birth", age="age", at=dt.date(2024, 6, 1)),
    make(type="inequality", low="birth", high="start"),
    make(type="inequality", low="start", high="end", strict=True),
    make(type="formula", column="total", expression="quantity * price"),
    make(type="sum", total="sum", parts=["a", "b"]),
    make(type="fixed_combinations", columns=["city", "state"]),
    make(type="inequality", low="low", high="middle"),
    make(type="inequality", low="middle", high="high", strict=True),
    make(type="unique", columns=["id"]),
    make(type="unique", columns=["code", "number"]),
    make(type="range", column="price", min=0.5, max=40),
    make(type="range", column="start", min=dt.date(2012, 1, 1)),
    make(type="predicate", expression="not (city == 'c3' and quantity > 5) and price * quantity < 200"),
)


@pytest.fixture(scope="module")
def bound() -> Trees:
    return fitted(constrained(), *CONSTRAINTS)


def test_every_constraint_holds_together_and_across_shards(bound: Trees, tmp_path: Path) -> None:
    shards = pa.concat_tables([drawn(bound, 3_000), drawn(bound, 4_000, start=3_000, seed=2)])
    for constraint in CONSTRAINTS:
        assert not violations(constraint, shards, constrained()).any(), constraint.type
    assert shards.schema.types == constrained().schema.types
    assert shards["a"].null_count > 0
    assert shards["sum"].null_count == shards["a"].null_count
    bound.save(tmp_path)
    assert drawn(Trees.load(tmp_path), 3_000).equals(shards.slice(0, 3_000))


@pytest.mark.parametrize(
    "fixed",
    [
        {"city": "c3"},
        {"age": 40},
        {"state": "s2", "quantity": 3},
        {"start": dt.date(2015, 1, 1)},
        {"end": dt.datetime(2017, 1, 1, tzinfo=dt.UTC)},
        {"middle": 2.5},
        {"a": None},
    ],
)
def test_conditions_and_constraints_hold_together(bound: Trees, fixed: Mapping[str, Any]) -> None:
    table = drawn(bound, 300, fixed=fixed)
    for name, value in fixed.items():
        assert set(table[name].to_pylist()) == {value}
    for constraint in CONSTRAINTS:
        assert not violations(constraint, table, constrained()).any(), constraint.type


def test_conditions_that_no_combination_meets_are_refused(bound: Trees) -> None:
    with pytest.raises(SpecError, match="never occur together"):
        drawn(bound, 10, fixed={"city": "c2", "state": "s1"})


def test_gaps_are_learned_not_only_clipped() -> None:
    rng = np.random.default_rng(0)
    low = rng.integers(0, 1_000, 4_000)
    table = pa.table({"low": low, "high": low + rng.geometric(0.2, 4_000)})
    drawn_gap = drawn(fitted(table, make(type="inequality", low="low", high="high")), 4_000)
    gap = pc.subtract(drawn_gap["high"], drawn_gap["low"]).to_numpy()
    assert gap.min() >= 1
    assert abs(gap.mean() - 5) < 0.5


def test_two_bounds_on_one_column_and_cycles_are_kept() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(2_000), rng.random(2_000)
    table = pa.table({"a": a, "b": b, "c": np.maximum(a, b) + rng.random(2_000)})
    constraints = [
        make(type="inequality", low="a", high="c"),
        make(type="inequality", low="b", high="c"),
        make(type="predicate", expression="c - a < 1.2"),
    ]
    table = table.filter(pa.array(~violations(constraints[2], table)))
    result = drawn(fitted(table, *constraints), 2_000)
    assert not any(violations(constraint, result).any() for constraint in constraints)


def test_a_formula_of_a_sum_is_computed_in_order() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 9, 500), rng.integers(0, 9, 500)
    table = pa.table({"double": 2 * (x + y), "total": x + y, "x": x, "y": y})
    constraints = [
        make(type="formula", column="double", expression="2 * total"),
        make(type="sum", total="total", parts=["x", "y"]),
    ]
    result = drawn(fitted(table, *constraints), 500)
    assert not any(violations(constraint, result).any() for constraint in constraints)
    assert result.schema.types == table.schema.types


def test_more_unique_rows_than_keys_are_refused() -> None:
    table = pa.table({"pin": ["a", "b", "c"] * 100, "x": np.arange(300) % 7})
    model = fitted(table, make(type="unique", columns=["pin", "x"]))
    assert not violations(make(type="unique", columns=["pin", "x"]), drawn(model, 21)).any()
    with pytest.raises(SpecError, match="21 unique rows"):
        drawn(model, 22)


def test_rows_to_look_at_may_outnumber_the_keys() -> None:
    table = pa.table({"pin": ["a", "b", "c"] * 100, "x": np.arange(300) % 7})
    rule = make(type="unique", columns=["pin", "x"])
    many = drawn(fitted(table, rule), 400, start=20, period=20)
    assert many.num_rows == 400
    assert not violations(rule, many.slice(100, 20)).any()
    above = fitted(pa.table({"n": np.arange(500), "x": np.arange(500) % 3}), make(type="unique", columns=["n"]))
    assert pc.max(drawn(above, 5_000, start=100, period=100)["n"]).as_py() < 500


def test_levels_of_floats_are_named_as_everywhere() -> None:
    grades = Column("grade", pa.float64(), Meaning.CATEGORY)
    table = pa.table({"grade": np.arange(600) % 3 + 1.0, "x": np.arange(600) % 7})
    model = fitted(table.cast(schema_of([grades, Column("x", pa.int64(), Meaning.NUMBER)])))
    assert set(drawn(model, 200, weights={"grade": {"1": 1, "3": 1}})["grade"].to_pylist()) == {1.0, 3.0}
    with pytest.raises(SpecError, match="was not learned") as caught:
        drawn(model, 10, weights={"grade": {"9": 1}})
    assert not any(level in str(caught.value) for level in ("1", "2", "3", "9"))


def test_unique_numbers_go_on_above() -> None:
    model = fitted(pa.table({"n": np.arange(500), "x": np.arange(500) % 3}), make(type="unique", columns=["n"]))
    table = pa.concat_tables([drawn(model, 700), drawn(model, 900, start=700, seed=4)])
    assert len(pc.unique(table["n"])) == 1_600


def test_an_unknown_column_stops_training_with_a_suggestion() -> None:
    with pytest.raises(SpecError, match='did you mean "number"'):
        fitted(mixed(), make(type="range", column="numbr", min=0))


HOSTILE: dict[str, dict[str, Any]] = {
    "one row": {"a": [1], "b": ["x"]},
    "two rows": {"a": [1.5, None], "b": ["x", None]},
    "one column": {"a": list(range(300))},
    "all null": {"a": pa.nulls(200), "b": pa.nulls(200, pa.float64()), "c": pa.nulls(200, pa.string())},
    "constant": {"a": [7] * 200, "b": ["x"] * 200, "c": [None] * 199 + [1.0]},
    "extreme numbers": {"a": [1e308, -1e308, float("inf"), float("-inf"), float("nan"), 5e-324, None] * 40},
    "huge integers": {
        "a": [2**53 + 1, 2**63 - 1, -(2**63), 0] * 60,
        "b": pa.array([2**64 - 1, 0, 1, 5] * 60, pa.uint64()),
    },
    "hostile names": {
        "__class__": [1, 2] * 100,
        "😀": ["a", "b"] * 100,
        "x" * 10_000: [0.5, 1.5] * 100,
        "": [True] * 200,
    },
    "many levels": {"a": [f"v{i}" for i in range(600)], "b": [f"v{i % 300}" for i in range(600)]},
    "wide": {f"c{i}": np.random.default_rng(i).integers(0, 5, 150) for i in range(120)},
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_tables(name: str, tmp_path: Path) -> None:
    table = pa.table(HOSTILE[name])
    model = fitted(table, min_leaf=None)
    result = drawn(model, 250)
    assert result.num_rows == 250
    assert result.schema.types == table.schema.types
    for column in table.column_names:
        if table[column].null_count == table.num_rows:
            assert result[column].null_count == 250
    model.save(tmp_path)
    assert str(drawn(Trees.load(tmp_path), 250).to_pydict()) == str(result.to_pydict())


def test_nothing_to_learn_is_an_error() -> None:
    schema = schema_of([Column("id", pa.int64(), Meaning.IDENTIFIER)])
    with pytest.raises(TrainingError, match="no column"):
        fitted(pa.table({"id": [1, 2]}, schema=schema))
    with pytest.raises(TrainingError, match="no training rows"):
        fitted(pa.table({"x": pa.array([], pa.int64())}))


@given(
    st.integers(30, 200),
    st.integers(1, 5),
    st.integers(0, 2**16),
)
@settings(max_examples=15, deadline=None)
def test_compiled_trees_find_the_leaves_that_rows_fell_into(rows: int, columns: int, seed: int) -> None:
    """Each training row's compiled leaf holds its code, and leaf totals are the rows that fell there."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 90, columns)
    codes = np.stack([rng.integers(0, size, rows) for size in sizes], axis=1).astype(np.int32)
    variables = [variable(int(size), bool(rng.random() < 0.5)) for size in sizes]
    forest = grow(codes, variables, ordering(sizes), 3, Seeds(seed))
    views = {j: variables[j].view[codes[:, j]] for j in range(columns)}
    for position, index in enumerate(forest.order):
        tree = forest.trees[position]
        leaf = np.broadcast_to(leaf_of(tree, views, rows), rows)
        for one in range(tree.leaves):
            held, counts = np.unique(codes[leaf == one, index], return_counts=True)
            span = slice(tree.starts[one], tree.starts[one + 1])
            assert np.array_equal(tree.codes[span], held)
            assert np.array_equal(tree.counts[span], counts)
            assert counts.sum() >= min(3, rows)


def test_conditional_draws_follow_the_joint_distribution() -> None:
    """Against exact enumeration: P(first | last = 1) of a chain whose order puts the condition last."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 3, 30_000)
    last = (rng.random(30_000) < np.array([0.05, 0.3, 0.6])[first]).astype(int)
    codes = np.stack([first, last], axis=1).astype(np.int32)
    forest = grow(codes, [variable(3, False), variable(2, False)], (0, 1), 100, Seeds(0))
    found = Drawer(forest).draw(30_000, rng, {1: np.array([False, True])})
    assert (found[:, 1] == 1).all()
    exact = np.bincount(first[last == 1], minlength=3) / (last == 1).sum()
    assert np.abs(np.bincount(found[:, 0], minlength=3) / 30_000 - exact).max() < 0.01


def test_condition_columns_are_learned_first() -> None:
    table = mixed(400)
    noted = [Column.of(field) for field in table.schema]
    noted[1] = noted[1].having(roles=frozenset({Role.CONDITION}))
    model = fitted(table.cast(schema_of(noted)))
    assert model.encoder.names[model.forest.order[0]] == "number"


def test_its_own_copy_test_raises_the_leaf(shared: Path) -> None:
    table = pq.read_table(shared / "tabular/adult/train.parquet").slice(0, 4_000)
    reports: list[Mapping[str, float]] = []
    model = Trees(Config(), copy_limit=0.02)
    model.fit(Records.of(table), Seeds(0), lambda step, values: reports.append(values))
    assert model.summary()["min_leaf"] > reports[0]["min_leaf"]
    loose = Trees(Config(), copy_limit=0.9)
    loose.fit(Records.of(table), Seeds(0), lambda step, values: None)
    assert loose.summary()["min_leaf"] < model.summary()["min_leaf"]


def test_the_copy_test_has_no_person_on_both_sides() -> None:
    units = np.repeat(np.arange(300), np.random.default_rng(0).integers(1, 40, 300))
    first, second = _halves(len(units), units, np.random.default_rng(1))
    assert len(first) == len(second) > len(units) / 3
    assert not set(units[first]) & set(units[second])
    first, second = _halves(100, None, np.random.default_rng(1))
    assert sorted([*first, *second]) == list(range(100))
