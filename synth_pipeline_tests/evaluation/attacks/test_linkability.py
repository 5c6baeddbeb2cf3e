"""Linkability: copies link both halves of a person, fresh rows and ties link nobody."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation.attacks.linkability import halves, linkability
from synth_pipeline.evaluation.columns import Unfit, compared
from synth_pipeline.protocols.measure import Evidence, Score
from synth_pipeline.seeds import Seeds


def people(rng: np.random.Generator, rows: int) -> pa.Table:
    age = rng.gamma(4, 10, rows).round()
    return pa.table(
        {
            "age": age,
            "pay": np.round(rng.lognormal(3, 1, rows) * age, 2),
            "height": rng.normal(170, 10, rows),
            "job": rng.choice(list("abcdefgh"), rows, p=np.arange(8, 0, -1) / 36),
            "town": pa.array(rng.choice(["x", "y", None], rows)),
        }
    )


def evidence(seed: int, train: int = 300, holdout: int = 300, made: int = 300) -> Evidence:
    rng = np.random.default_rng([12, seed])
    real, held, synthetic = (people(rng, rows) for rows in (train, holdout, made))
    return Evidence(real, held, synthetic, synthetic, Seeds(seed))


def score(found: Evidence) -> Score:
    (only,) = linkability(found).scores.values()
    assert only.value is not None
    assert only.low is not None
    assert only.high is not None
    return only


@pytest.mark.parametrize(("train", "holdout"), [(300, 300), (600, 150)])
def test_fresh_rows_link_nobody(train: int, holdout: int) -> None:
    outside = 0
    for seed in range(12):
        found = score(evidence(seed, train, holdout))
        outside += not found.low <= 0 <= found.high
    assert outside <= 2


def test_a_verbatim_copy_links_everybody() -> None:
    found = evidence(1)
    assert score(replace(found, synthetic=found.train)).low > 0.9
    twice = pa.concat_tables([found.train] * 8)
    assert score(replace(found, synthetic=twice)).low > 0.9


def test_order_links_nobody() -> None:
    """Where all rows are equally near, stored order would take the same five for both halves."""
    real = pa.table({"a": ["x"] * 200, "b": ["y"] * 200})
    made = pa.table({"a": [f"other {i}" for i in range(200)], "b": [f"other {i}" for i in range(200)]})
    linked = 0
    for seed in range(8):
        found = linkability(Evidence(real, real, made, made, Seeds(seed))).details["attacks"][0]
        linked += found["control"]
        assert found["low"] <= 0 <= found["high"]
    assert linked <= 4  # five of two hundred twice: one in eight


def test_both_halves_tell_about_as_much() -> None:
    table = people(np.random.default_rng(3), 400)
    first, second = halves(table, compared(table))
    assert {column.name for column in first} | {column.name for column in second} == set(table.column_names)
    assert abs(len(first) - len(second)) <= 1
    assert not {column.name for column in first} & {column.name for column in second}


def test_what_cannot_be_linked() -> None:
    one = pa.table({"a": [1, 2, 3, 3]})
    found = score(Evidence(one, one, one, one, Seeds(0)))
    assert (found.value, found.low, found.high, found.n) == (0, 0, 0, 4)
    assert "one column" in found.note
    units = np.array([0, 1, 2, 2])
    assert score(Evidence(one, one, one, one, Seeds(0), train_units=units, holdout_units=units + 3)).n == 3
    with pytest.raises(Unfit):
        linkability(Evidence(*[pa.table({"l": [[1], [2]]})] * 4, Seeds(0)))
    # five rows or fewer are near to everybody by either half
    few = people(np.random.default_rng(4), 12)
    found = score(Evidence(few, few, few.slice(0, 5), few, Seeds(0)))
    assert found.low < 0
    assert found.high == 1
