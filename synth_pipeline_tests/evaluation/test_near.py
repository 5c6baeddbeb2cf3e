"""Copies with one value replaced: seen in full, never where near matches are everywhere, by persons and once each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation import copying
from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.evaluation.near import near
from synth_pipeline.protocols.measure import Evidence, Score
from synth_pipeline.seeds import Seeds

Array = np.ndarray


def _people(rng: np.random.Generator, rows: int) -> pa.Table:
    return pa.table(
        {
            "age": rng.gamma(4, 10, rows).round(),
            "pay": np.round(rng.lognormal(3, 1, rows), 1),
            "job": rng.choice(list("abcdefghijkl"), rows),
            "town": pa.array(rng.choice([*"pqrstuvw", None], rows)),
            "visits": rng.poisson(6, rows),
            "member": rng.random(rows) < 0.3,
        }
    )


def _levels(rng: np.random.Generator, rows: int) -> pa.Table:
    return pa.table({f"c{i}": rng.choice(list("abc"), rows, p=[0.6, 0.3, 0.1]) for i in range(6)})


def _score(evidence: Evidence) -> Score:
    return near(evidence).scores["near_match_excess"]


def _swapped(rng: np.random.Generator, table: pa.Table) -> pa.Table:
    """One random column of each row takes another row's value."""
    which = rng.integers(0, table.num_columns, table.num_rows)
    columns = {}
    for place, name in enumerate(table.column_names):
        rows = np.arange(table.num_rows)
        rows[which == place] = rng.integers(0, table.num_rows, (which == place).sum())
        columns[name] = table.column(name).take(pa.array(rows))
    return pa.table(columns)


@pytest.mark.parametrize(("train", "holdout"), [(2_000, 2_000), (3_200, 800)])
def test_copies_with_one_value_replaced_are_copies(train: int, holdout: int) -> None:
    rng = np.random.default_rng(0)
    sides = [_people(rng, rows) for rows in (train, holdout)]
    made = _swapped(rng, sides[0])
    evidence = Evidence(*sides, made, made, Seeds(0))
    score = _score(evidence)
    assert score.value == pytest.approx(1, abs=0.05)
    assert score.low is not None
    assert score.low > 0.9
    exact = copying.exact(evidence)[0]
    assert exact.value is not None
    assert exact.value < 0.3  # that a value was replaced by its like
    half = pa.concat_tables([made.slice(0, 1_000), _people(rng, 1_000)])
    assert _score(replace(evidence, released=half)).value == pytest.approx(0.5, abs=0.05)


def test_exact_copies_are_near_ones_and_count_once() -> None:
    rng = np.random.default_rng(1)
    train, holdout = _people(rng, 1_000), _people(rng, 1_000)
    found = near(Evidence(train, holdout, train, train, Seeds(0)))
    assert found.scores["near_match_excess"].value == pytest.approx(1, abs=0.02)
    counts = found.details["copying"]["near"]
    assert counts["of"] == 1_000
    assert counts["in_train"] <= 1_000


@pytest.mark.parametrize(("train", "holdout"), [(400, 400), (640, 160)])
def test_near_matches_everywhere_are_centred_at_none(train: int, holdout: int) -> None:
    values, outside = [], 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        kind = _levels if seed % 2 else _people
        score = _score(Evidence(*(kind(rng, rows) for rows in (train, holdout, 500, 500)), Seeds(0)))
        assert score.value is not None
        assert score.low is not None
        assert score.high is not None
        values.append(score.value)
        outside += not score.low <= 0 <= score.high
    assert outside <= 8
    assert abs(np.mean(values)) <= 3 * np.std(values) / 60**0.5


def test_what_is_printed_as_noticeable_is_noticed() -> None:
    seen = tried = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        train, holdout, fresh = (_people(rng, 600) for _ in range(3))
        honest = Evidence(train, holdout, fresh, fresh, Seeds(0))
        least = _score(honest).detects
        assert least is not None
        copies = rng.poisson(least * 600)
        taken = _swapped(rng, train).take(pa.array(rng.choice(600, copies, replace=False)))
        made = pa.concat_tables([fresh.slice(copies), taken.cast(fresh.schema)])
        score = _score(replace(honest, released=made))
        assert score.low is not None
        seen += score.low > 0
        tried += 1
    assert 0.65 <= seen / tried <= 0.95


def test_rows_of_a_person_are_nobody_elses() -> None:
    rng = np.random.default_rng(2)
    units = np.repeat(np.arange(300), 4)
    people = _people(rng, 300).take(pa.array(units))
    real = people.set_column(4, "visits", pa.array(rng.integers(0, 90, 1_200)))
    evidence = Evidence(
        *(real.slice(0, 800), real.slice(800), real.slice(0, 800), real.slice(0, 800), Seeds(0)),
        train_units=units[:800],
        holdout_units=units[800:],
    )
    assert _score(evidence).value == pytest.approx(1, abs=0.02)
    few = replace(evidence, released=real.slice(0, 12))  # twelve rows, but of three persons
    score = _score(few)
    assert score.value == pytest.approx(1)
    assert score.low is not None
    assert score.low < 0


def test_equal_columns_do_not_cancel_out() -> None:
    rng = np.random.default_rng(3)
    one, two, three = rng.permutation(1_500).reshape(3, 500)

    def doubled(values: Array) -> pa.Table:
        return pa.table({"a": values, "b": values, "c": rng.integers(0, 3, 500)})

    evidence = Evidence(doubled(one), doubled(two), doubled(three), doubled(three), Seeds(0))
    assert _score(evidence).value == 0
    assert _score(replace(evidence, released=doubled(one))).value == pytest.approx(1)


def test_hostile_tables_are_judged_or_refused() -> None:
    rng = np.random.default_rng(4)
    sides = [_people(rng, 12) for _ in range(3)]
    twelve = Evidence(*sides, sides[2], Seeds(0))
    assert _score(twelve).value == 0
    gone = pa.table({name: pa.nulls(12, sides[0].schema.field(name).type) for name in sides[0].column_names})
    assert _score(replace(twelve, released=gone)).value == 0
    copied = _score(replace(twelve, released=sides[0].slice(0, 3)))
    assert copied.low is not None
    assert copied.low < 0  # three rows prove nothing
    one = Evidence(*(pa.table({"x": rng.random(20)}) for _ in range(4)), Seeds(0))
    assert _score(one).value == 0
    same = pa.table({"a": ["x"] * 50, "b": [1.0] * 50})
    assert _score(Evidence(same, same, same, same, Seeds(0))).value == 0
    wide = [pa.table({f"c{i}": rng.integers(0, 9, 40) for i in range(200)}) for _ in range(2)]
    assert _score(Evidence(*wide, wide[0], wide[0], Seeds(0))).value == pytest.approx(1)
    odd = sides[2].set_column(1, "pay", pa.array([np.nan, np.inf, -np.inf] * 4))
    assert _score(replace(twelve, released=odd)).value == 0
    with pytest.raises(Unfit):
        near(replace(twelve, released=twelve.released.slice(0, 0)))
    with pytest.raises(Unfit):
        near(replace(twelve, features=object()))  # type: ignore[arg-type]
