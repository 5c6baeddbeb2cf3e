"""Canaries are possible but unreal; what copies them is caught, what does not is not."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation.attacks import canaries
from synth_pipeline.evaluation.columns import Unfit, compared
from synth_pipeline.evaluation.keys import row_keys
from synth_pipeline.evaluation.table import TableFeatures
from synth_pipeline.protocols.points import Vectors
from synth_pipeline.seeds import Seeds
from synth_pipeline_tests.stages import made


def seen(rows: pa.Table) -> set[int]:
    return set(row_keys(rows, compared(rows)).tolist())


def test_possible_distinct_and_nobody_s() -> None:
    train, holdout = made.table(600, 1), made.table(300, 2)
    found = canaries.make(train, 1_000, Seeds(0), holdout)
    assert found.num_rows == 1_000
    assert found.schema == train.schema
    assert len(seen(found)) == 1_000
    assert not seen(found) & (seen(train) | seen(holdout))
    for name in train.column_names:
        assert set(found.column(name).drop_null().to_pylist()) <= set(train.column(name).to_pylist())
    assert found.column("income").null_count == 0
    assert found.column("member").null_count > 0
    assert found == canaries.make(train, 1_000, Seeds(0), holdout)
    assert found != canaries.make(train, 1_000, Seeds(1), holdout)


def test_rare_levels_and_tails_are_favoured() -> None:
    draw = np.random.default_rng(0)
    level = np.where(draw.random(5_000) < 0.01, "rare", "common")
    train = pa.table({"level": level, "size": draw.normal(size=5_000), "other": draw.normal(size=5_000)})
    found = canaries.make(train, 1_000, Seeds(0))
    assert np.mean(found.column("level").to_numpy() == "rare") == pytest.approx(0.5, abs=0.06)
    low, high = np.quantile(train.column("size").to_numpy(), [0.1, 0.9])
    size = found.column("size").to_numpy()
    assert np.mean((size < low) | (size > high)) == pytest.approx(0.41, abs=0.06)  # by the arcsine law


def test_combinations_stay_together_and_the_unlawful_are_left_out() -> None:
    train = pa.table({"a": [0, 1, 2, 3] * 50, "b": ["u", "v", "w", None] * 50, "c": np.arange(200.0)})
    fits = {(row["a"], row["b"]) for row in train.to_pylist()}
    found = canaries.make(
        train,
        100,
        Seeds(0),
        together=[["a", "b"]],
        lawful=lambda rows: rows.filter(pa.array(rows.column("c").to_numpy() > 99)),
    )
    assert found.num_rows == 100
    assert {(row["a"], row["b"]) for row in found.to_pylist()} <= fits
    assert min(found.column("c").to_pylist()) > 99


HOSTILE: dict[str, Any] = {
    "gone": pa.nulls(60, pa.float64()),
    "no level": pa.nulls(60, pa.string()),
    "one": ["x"] * 60,
    "wild": [float("nan"), float("inf"), -float("inf"), 1e308, -1e308, 0.0] * 10,
    "flag": [True, False, None] * 20,
    "day": [datetime.date(1900, 1, 1), None, datetime.date(2100, 1, 1)] * 20,
    "when": pa.array([0, 1, None] * 20, pa.timestamp("us", "UTC")),
    "code": pa.array(["a", "b", "c"] * 20).dictionary_encode(),
    "exact": pa.array([1, 2, None] * 20).cast(pa.decimal128(24, 4)),
    "number": np.arange(60),
}


def test_hostile_columns() -> None:
    train = pa.table(HOSTILE)
    found = canaries.make(train, 500, Seeds(0))
    assert found.schema == train.schema
    assert found.num_rows == 500
    assert np.isfinite(found.column("wild").to_numpy()).all()
    features = TableFeatures(train, train)
    scores = canaries.scores(found, found.slice(0, 250), train, features)
    assert np.isfinite(scores).all()
    assert canaries.audited(scores, np.arange(500) < 250).epsilon > 2


def test_too_few_possible_rows_give_fewer() -> None:
    full = pa.table({"a": [True, True, False, False], "b": [True, False, True, False]})
    assert canaries.make(full, 10, Seeds(0)).num_rows == 0
    assert canaries.make(full.slice(0, 2), 10, Seeds(0)).num_rows == 0
    assert canaries.make(full.take([0, 3]), 10, Seeds(0)).num_rows == 2
    with pytest.raises(Unfit):
        canaries.make(full.slice(0, 0), 10, Seeds(0))
    with pytest.raises(Unfit):
        canaries.scores(full, full.slice(0, 0), full, TableFeatures(full, full))


def test_guesses_by_fixed_parts() -> None:
    scores = np.arange(10.0)
    assert canaries.guess(scores, 0.2, 0.1).tolist() == [-1, 0, 0, 0, 0, 0, 0, 0, 1, 1]
    assert canaries.guess(scores, 0.5, 0.5).tolist() == [-1] * 5 + [1] * 5
    assert canaries.guess(scores, 0.0, 0.0).tolist() == [0] * 10


def test_a_perfect_score_and_a_reversed_one() -> None:
    coins = canaries.flips(1_000, Seeds(0))
    assert 420 < coins.sum() < 580
    assert canaries.audited(coins.astype(float), coins).epsilon > 3
    assert canaries.audited(-coins.astype(float), coins).epsilon == 0


def test_coins_that_nothing_tells_are_rarely_told() -> None:
    found = [
        canaries.audited(Seeds(i, ("s",)).generator().random(200), canaries.flips(200, Seeds(i))) for i in range(400)
    ]
    assert sum(one.epsilon > 0 for one in found) <= 0.05 * 400 + 3 * np.sqrt(0.05 * 0.95 * 400)
    assert {one.guesses for one in found if one.epsilon == 0} == {180}


def _columns_alone(train: pa.Table, seeds: Seeds, rows: int = 2_000) -> pa.Table:
    """Each column from train's marginal, numbers with noise."""
    rng = seeds.generator()
    out = {}
    for name in train.column_names:
        drawn = train.column(name).take(pa.array(rng.integers(0, train.num_rows, rows))).combine_chunks()
        if pa.types.is_floating(drawn.type):
            drawn = pa.array(drawn.to_numpy(zero_copy_only=False) * rng.normal(1, 0.2, rows), from_pandas=True)
        out[name] = drawn
    return pa.table(out)


def audit(train: pa.Table, holdout: pa.Table, generate: Any, count: int, seeds: Seeds) -> canaries.Audited:
    found = canaries.make(train, count, seeds.child("make"), holdout)
    coins = canaries.flips(count, seeds.child("coins"))
    synthetic = generate(pa.concat_tables([train, found.filter(pa.array(coins))]), seeds.child("draw"))
    return canaries.audited(canaries.scores(found, synthetic, holdout, TableFeatures(train, holdout)), coins)


def test_a_memoriser_is_caught() -> None:
    train, holdout = made.table(1_000, 1), made.table(500, 2)
    assert audit(train, holdout, lambda rows, _: rows, 1_000, Seeds(0)).epsilon > 5
    some = audit(train, holdout, lambda rows, _: rows.slice(rows.num_rows - 100), 1_000, Seeds(0))
    assert some.epsilon > 2  # a fifth of the canaries that were put in, and nothing else


def test_columns_drawn_alone_give_nothing_away() -> None:
    train, holdout = made.table(400, 1), made.table(200, 2)
    found = [audit(train, holdout, _columns_alone, 200, Seeds(seed)).epsilon for seed in range(20)]
    assert max(found) <= 0.5
    assert sum(epsilon > 0 for epsilon in found) <= 3


def test_vectors_as_well_as_tables() -> None:
    class Pictures:
        """Two pixels."""

        def keys(self, rows: pa.Table) -> np.ndarray:
            raise NotImplementedError

        def points(self, rows: pa.Table) -> Vectors:
            return Vectors(np.stack([rows.column(name).to_numpy() for name in "xy"], 1).astype(np.float32))

        def matrix(self, rows: pa.Table) -> tuple[np.ndarray, list[bool]]:
            raise NotImplementedError

    rng = np.random.default_rng(0)
    drawn = [pa.table(dict(zip("xy", rng.normal(size=(2, n)), strict=True))) for n in (400, 400)]
    coins = canaries.flips(400, Seeds(0))
    scores = canaries.scores(drawn[0], drawn[0].filter(pa.array(coins)), drawn[1], Pictures())
    assert canaries.audited(scores, coins).epsilon > 2


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_the_bound_of_the_best_rule_holds_for_randomised_response(epsilon: float) -> None:
    truth = 1 / (1 + np.exp(-epsilon))

    def bound(seed: int, count: int) -> float:
        coins = canaries.flips(count, Seeds(seed, ("coins",)))
        told = coins == (Seeds(seed, ("told",)).generator().random(count) < truth)
        return canaries.audited(told + Seeds(seed, ("ties",)).generator().random(count) / 2, coins).epsilon

    seeds = 300
    assert sum(bound(seed, 200) > epsilon for seed in range(seeds)) <= 0.05 * seeds + 3 * np.sqrt(0.05 * 0.95 * seeds)
    assert epsilon - 0.06 < bound(0, 40_000) <= epsilon


def test_what_it_detects_it_detects() -> None:
    assert canaries.detects(1_000) == pytest.approx(0.21, abs=0.01)
    assert canaries.detects(2) is None
    few, many = canaries.detects(100), canaries.detects(10_000)
    assert few is not None
    assert many is not None
    assert many < 0.1 < few
