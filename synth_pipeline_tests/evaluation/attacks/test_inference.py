"""Attribute inference: copies tell every secret, fresh rows tell no more of train than of others."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation.attacks.guessing import by_trees, nearest_without
from synth_pipeline.evaluation.attacks.inference import _Secret, attribute_inference
from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.protocols.measure import Evidence, Score
from synth_pipeline.protocols.points import Points
from synth_pipeline.records.schema import columns
from synth_pipeline.seeds import Seeds


def people(rng: np.random.Generator, rows: int) -> pa.Table:
    age = rng.gamma(4, 10, rows).round()
    return pa.table(
        {
            "age": age,
            "pay": np.round(rng.lognormal(3, 1, rows) * age, 2),
            "job": rng.choice(list("abcdefgh"), rows, p=np.arange(8, 0, -1) / 36),
            "town": pa.array(rng.choice(["x", "y", None], rows)),
            "member": rng.random(rows) < 0.3,
        }
    )


def evidence(seed: int, rows: int = 200) -> Evidence:
    rng = np.random.default_rng([13, seed])
    real, held, synthetic = (people(rng, rows) for _ in range(3))
    return Evidence(real, held, synthetic, synthetic, Seeds(seed))


def scores(found: Evidence) -> tuple[Score, Score]:
    both = attribute_inference(found).scores
    assert list(both) == ["attribute_inference", "attribute_inference_overall"]
    assert all(None not in (score.value, score.low, score.high) for score in both.values())
    return both["attribute_inference"], both["attribute_inference_overall"]


def secret(values: pa.Array) -> _Secret:
    table = pa.table({"x": values})
    return _Secret.of(columns(table.schema)[0], [table], [table])


def right(values: pa.Array, guess: object) -> list[bool]:
    of = secret(values)
    guesses = np.asarray(guess, dtype=of.values[0].dtype)
    return of.right(0, guesses, np.arange(len(values)))[1].tolist()


def test_fresh_rows_tell_nothing_of_train() -> None:
    outside = np.zeros(2, int)
    for seed in range(8):
        outside += [not score.low <= 0 <= score.high for score in scores(evidence(seed))]
    assert (outside <= 1).all()


def test_a_verbatim_copy_tells_every_secret() -> None:
    found = evidence(1)
    worst, overall = scores(replace(found, synthetic=found.train))
    assert worst.low > 0.85
    assert overall.low > 0.75
    parts = attribute_inference(replace(found, synthetic=found.train)).details["attacks"][0]["parts"]
    assert all(part["n"] >= 10 and part["n_control"] >= 10 for part in parts)


def test_trees_learn_what_holds_for_all_and_it_is_no_risk() -> None:
    rng = np.random.default_rng(2)

    def ruled(rows: int) -> pa.Table:
        x = rng.normal(size=rows)
        return pa.table({"x": x, "y": np.where(x > 0, "up", "down"), "z": rng.normal(size=rows)})

    real, held, made = ruled(400), ruled(400), ruled(400)
    found = attribute_inference(Evidence(real, held, made, made, Seeds(0), target="y"))
    told = {part["name"]: part for part in found.details["attacks"][0]["parts"]}
    assert told["y (boosted trees)"]["rate"] > 0.95
    assert told["y (boosted trees)"]["low"] <= 0
    assert found.scores["attribute_inference_overall"].low <= 0


def test_a_number_is_right_within_a_part_of_the_truth_never_of_the_guess() -> None:
    assert right(pa.array([5.0, 5.0, 100.0, 100.0, -100.0]), [-1000.0, 1e9, 104.0, 106.0, -96.0]) == [
        False,
        False,
        True,
        False,
        True,
    ]
    # zero: 5 % of the interquartile range, here 2
    assert right(pa.array([0.0, 0.0, -1.0, 1.0, 1.0]), [0.04, 0.06, -1.0, 1.0, 2.0]) == [True, False, True, True, False]
    # a constant is guessed right only as it is
    assert right(pa.array([0.0] * 4), [0, 0, 1e-9, 1]) == [True, True, False, False]


def test_dates_have_no_zero() -> None:
    days = pa.array([datetime(2020, 1, 1), datetime(2020, 1, 11), datetime(2020, 1, 21), datetime(2020, 1, 31)])
    of = secret(days)
    truth = of.values[0]
    day = (truth[1] - truth[0]) / 10
    assert of.right(0, truth + day / 2, np.arange(4))[1].all()
    assert not of.right(0, truth + 2 * day, np.arange(4))[1].any()


def test_missing_is_no_target_and_no_right_guess() -> None:
    assert right(pa.array([None, float("nan"), 3.0, 4.0]), [np.nan, np.nan, 3.0, np.nan]) == [True, False]
    of = secret(pa.array(["a", None, "b"]))
    rows, hit = of.right(0, np.array([of.values[0][0], 0, 0], np.uint64), np.arange(3))
    assert (rows.tolist(), hit.tolist()) == ([0, 2], [True, False])


def test_nothing_hangs_on_row_numbers() -> None:
    """Equal in every known column: the guess is any row's, not that with the target's own number."""
    rng = np.random.default_rng(3)
    values = rng.permutation(200)
    table = pa.table({"known": ["same"] * 200, "secret": [f"v{v}" for v in values % 40]})
    other = pa.table({"known": ["same"] * 200, "secret": [f"v{v}" for v in rng.permutation(200) % 40]})
    found = attribute_inference(Evidence(table, other, table, table, Seeds(0), target="secret"))
    told = {part["name"]: part for part in found.details["attacks"][0]["parts"]}
    assert told["secret (nearest row)"]["rate"] < 0.1


def test_a_column_is_left_out_of_the_distance() -> None:
    rng = np.random.default_rng(4)
    side = Points(rng.random((3, 500)).astype(np.float32) * 5, rng.integers(0, 4, (2, 500)).astype(np.int32))
    asked = Points(rng.random((3, 70)).astype(np.float32) * 5, rng.integers(0, 4, (2, 70)).astype(np.int32))
    steps = 4_096

    def apart(axes: list[int], levels: list[int]) -> np.ndarray:
        whole = [np.rint(p.axes * steps).astype(int) for p in (asked, side)]
        total = sum(np.minimum(np.abs(whole[0][i][:, None] - whole[1][i][None]), steps) for i in axes)
        return total + sum(steps * (asked.levels[i][:, None] != side.levels[i][None]) for i in levels)

    found = nearest_without(asked, side, [(True, 1), (False, 0)])
    assert (found[0] == apart([0, 2], [0, 1]).argmin(1)).all()
    assert (found[1] == apart([0, 1, 2], [1]).argmin(1)).all()


def test_trees_guess_what_occurs() -> None:
    rng = np.random.default_rng(5)
    known = [rng.normal(size=(300, 2)) for _ in range(2)]
    amounts = np.where(known[0][:, 0] > 0, 0.0, 7.0)
    assert set(by_trees(known, [False, False], amounts, False, Seeds(0))[0]) <= {0.0, 7.0}
    nothing = by_trees(known, [False, False], np.full(300, np.nan), False, Seeds(0))[0]
    assert np.isnan(nothing).all()


def test_hostile_values_and_the_same_seed() -> None:
    rng = np.random.default_rng(6)
    rows = 12
    table = pa.table(
        {
            **{f"c{i}": rng.normal(size=rows) for i in range(60)},
            "gone": pa.nulls(rows, pa.float64()),
            "inf": [float("inf"), float("-inf"), float("nan")] * 4,
            "same": ["k"] * rows,
            "yes": [True, False] * 6,
        }
    )
    other = table.set_column(0, "c0", pa.array(rng.normal(size=rows)))
    made = other.set_column(62, "same", pa.array([f"new {i}" for i in range(rows)]))
    found = Evidence(table, other, made, made, Seeds(0), target="yes", sensitive=("same",))
    first, second = attribute_inference(found), attribute_inference(found)
    assert first == second
    assert all(score.low <= 0 and score.high > 0.2 for score in first.scores.values())
    gone = pa.table({"a": pa.nulls(20, pa.string()), "b": pa.nulls(20, pa.float64())})
    with pytest.raises(Unfit):
        attribute_inference(Evidence(gone, gone, gone, gone, Seeds(0)))


def test_declared_columns_are_among_the_secrets() -> None:
    rng = np.random.default_rng(7)
    table = pa.table({**{f"c{i}": rng.normal(size=30) for i in range(30)}, "rare": [True] + [False] * 29})
    found = attribute_inference(Evidence(table, table, table, table, Seeds(0), sensitive=("rare",)))
    assert "of 31 columns" in found.scores["attribute_inference"].note


def test_one_column_alone_leaves_nothing_to_infer_from() -> None:
    one = pa.table({"a": [1.0, 2.0, 3.0]})
    found = attribute_inference(Evidence(one, one, one, one, Seeds(0)))
    assert set(found.scores) == {"attribute_inference", "attribute_inference_overall"}
    for score in found.scores.values():
        assert (score.value, score.low, score.high, score.n) == (0, 0, 0, 3)
        assert "one column" in score.note
    with pytest.raises(Unfit):
        attribute_inference(Evidence(*[pa.table({"l": [[1], [2]]})] * 4, Seeds(0)))


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_numbers_near_the_end_of_their_range_are_compared_all_the_same() -> None:
    rng = np.random.default_rng(8)

    def side(rows: int) -> pa.Table:
        x = rng.normal(size=rows)
        huge = np.where(rng.random(rows) < 0.05, np.inf, np.clip(x, -2, 2) * 8e307)
        return pa.table({"x": x, "huge": huge, "ends": np.sign(rng.normal(size=rows)) * 1.7e308})

    real, held, made = side(400), side(400), side(400)
    fresh = attribute_inference(Evidence(real, held, made, made, Seeds(0))).scores["attribute_inference_overall"]
    assert fresh.low <= 0 <= fresh.high
    copied = attribute_inference(Evidence(real, held, real, real, Seeds(0))).scores["attribute_inference_overall"]
    assert copied.low > 0.3
