"""Copying measures: nulls at every split, verbatim copies in disguise, persons with many rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation import copying
from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.evaluation.table import TableFeatures
from synth_pipeline.evaluation.unusual import rarity
from synth_pipeline.protocols.measure import Evidence, Score
from synth_pipeline.protocols.points import Points, Vectors
from synth_pipeline.seeds import Seeds


def _people(rng: np.random.Generator, rows: int) -> pa.Table:
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


def _evidence(rng: np.random.Generator, train: int, holdout: int, made: int) -> Evidence:
    real, held, synthetic = (_people(rng, rows) for rows in (train, holdout, made))
    return Evidence(real, held, synthetic, synthetic, Seeds(0))


def _all(evidence: Evidence) -> dict[str, Score]:
    return {
        "copy_excess": copying.nearness(evidence)[0]["copy_excess"],
        "exact": copying.exact(evidence)[0],
        "replay": copying.replay(evidence)[0],
    }


@pytest.mark.parametrize(("train", "holdout"), [(1_500, 1_500), (2_000, 1_000), (2_400, 600), (600, 2_400)])
def test_fresh_rows_have_no_excess_at_any_split(train: int, holdout: int) -> None:
    rng = np.random.default_rng(train)
    outside = 0
    for _ in range(8):
        for score in _all(_evidence(rng, train, holdout, 1_500)).values():
            assert score.value is not None
            assert score.low is not None
            assert score.high is not None
            outside += not score.low <= 0 <= score.high
    assert outside <= 4  # of 24, each wrong once in twenty


@pytest.mark.parametrize(("train", "holdout"), [(1_500, 1_500), (2_400, 600), (600, 2_400)])
def test_excess_estimates_the_copied_part_at_any_split(train: int, holdout: int) -> None:
    rng = np.random.default_rng(7)
    evidence = _evidence(rng, train, holdout, 2_000)
    copied = evidence.train.take(pa.array(rng.choice(train, 500, replace=train < 500)))
    mixed = pa.concat_tables([evidence.synthetic.slice(0, 1_500), copied.cast(evidence.synthetic.schema)])
    scores = _all(replace(evidence, synthetic=mixed, released=mixed))
    for name, score in scores.items():
        slack = 0.04 if name == "exact" else 0.08
        assert score.value == pytest.approx(0.25, abs=slack), name


def test_verbatim_copies_score_one_shuffled_or_not() -> None:
    rng = np.random.default_rng(3)
    evidence = _evidence(rng, 800, 800, 10)
    for order in (np.arange(800), rng.permutation(800)):
        made = evidence.train.take(pa.array(order))
        scores = _all(replace(evidence, synthetic=made, released=made))
        assert all(score.low is not None and score.low > 0.9 for score in scores.values())


def test_all_categorical_copy_is_seen() -> None:
    rng = np.random.default_rng(4)

    def levels(rows: int) -> pa.Table:
        return pa.table({f"c{i}": rng.choice(list("abcdefghij"), rows) for i in range(6)})

    train, holdout = levels(1_500), levels(1_500)
    scores = _all(Evidence(train, holdout, train, train, Seeds(0)))
    assert scores["copy_excess"].value == pytest.approx(1, abs=0.02)
    assert scores["exact"].value == pytest.approx(1, abs=0.02)
    fresh = levels(1_500)
    scores = _all(Evidence(train, holdout, fresh, fresh, Seeds(0)))
    assert scores["copy_excess"].low is not None
    assert scores["copy_excess"].low < 0


def test_common_rows_are_no_copies() -> None:
    train = holdout = made = pa.table({"a": ["x", "y"] * 500, "b": [1, 2] * 500})
    scores = _all(Evidence(train, holdout, made, made, Seeds(0)))
    assert [score.value for score in scores.values()] == [0, 0, 0]


def test_equality_is_of_values_not_of_types() -> None:
    train = pa.table({"n": pa.array([1, 2, 3, 4]), "x": [0.1 + 0.2, 1.0, -0.0, 2.0]})
    holdout = pa.table({"n": pa.array([11, 12, 13, 14]), "x": [9.0, 8.0, 7.0, 6.0]})
    made = pa.table({"n": pa.array([1.0, 2.0, 3.0, 4.0]), "x": [0.3, 1.0, 0.0, 2.0]})
    score, found = copying.exact(Evidence(train, holdout, made, made, Seeds(0)))
    assert (score.value, found) == (1.0, {"in_train": 4, "in_holdout": 0, "of": 4})


def test_replay_sees_one_column_and_counts_all_released_rows() -> None:
    rng = np.random.default_rng(5)
    evidence = _evidence(rng, 2_000, 2_000, 2_000)
    pay = evidence.synthetic.column_names.index("pay")
    made = evidence.synthetic.set_column(pay, "pay", evidence.train.column("pay"))
    score, found = copying.replay(replace(evidence, released=made))
    assert score.value is not None
    assert score.value > 0.5
    assert [item["name"] for item in found] == ["pay"]
    assert "pay" in score.note


def test_rows_of_one_person_are_one_unit() -> None:
    rng = np.random.default_rng(6)
    people = _people(rng, 60)
    rows = pa.array(np.repeat(np.arange(60), 25))
    many = people.take(rows)
    train, holdout = many.slice(0, 750), many.slice(750)
    units = np.repeat(np.arange(60), 25)
    made = _people(rng, 1_000)
    alone = Evidence(train, holdout, made, made, Seeds(0))
    together = replace(alone, train_units=units[:750], holdout_units=units[750:])
    wide, narrow = (copying.nearness(evidence)[0]["copy_excess"] for evidence in (together, alone))
    assert wide.value == narrow.value
    assert wide.n <= narrow.n
    assert wide.n <= 60


def test_values_that_a_person_repeats_are_still_one_persons() -> None:
    rng = np.random.default_rng(10)
    units = np.repeat(np.arange(300), 5)
    weights = np.round(rng.normal(75, 12, 400), 4)
    ward = rng.choice(list("abc"), 1_500)
    real = pa.table({"weight": weights[units], "ward": ward})
    train, holdout = real.slice(0, 1_000), real.slice(1_000)
    known = {"train_units": units[:1_000], "holdout_units": units[1_000:]}
    told = Evidence(train, holdout, train, train, Seeds(0), **known)
    for score in (copying.exact(told)[0], copying.replay(told)[0]):
        assert score.low is not None
        assert score.low > 0.9
    fresh = pa.table({"weight": np.round(rng.normal(75, 12, 1_000), 4), "ward": ward[:1_000]})
    for score in (copying.exact(replace(told, released=fresh))[0], copying.replay(replace(told, released=fresh))[0]):
        assert score.value == pytest.approx(0, abs=0.02)  # a hundredth of them comes close enough by chance
    # a person with very many rows of one value does not make up for what is taken from the others
    heavy = pa.table({"weight": np.full(20_000, 70.25), "ward": ["a"] * 20_000})
    many = replace(told, train=pa.concat_tables([train, heavy]), train_units=np.append(units[:1_000], [999] * 20_000))
    assert copying.replay(many)[0].value == pytest.approx(1)


@pytest.mark.parametrize("times", [2, 3])
def test_a_table_that_is_stored_twice_has_not_become_common(times: int) -> None:
    rng = np.random.default_rng(11)
    real = _people(rng, 1_000)
    real = pa.concat_tables([real] * times).take(pa.array(rng.permutation(1_000 * times)[:-3]))  # a few rows got lost
    cut = real.num_rows * 4 // 5
    evidence = Evidence(real.slice(0, cut), real.slice(cut), real, real.slice(0, cut), Seeds(0))
    for score in (copying.exact(evidence)[0], copying.replay(evidence)[0]):
        assert score.low is not None
        assert score.low > 0.2
    fresh = replace(evidence, released=_people(rng, 2_000))
    for score in (copying.exact(fresh)[0], copying.replay(fresh)[0]):
        assert score.low is not None
        assert score.low <= 0


def test_times_and_whole_numbers_count_to_the_last_bit() -> None:
    second = 1_700_000_000_000_000
    rng = np.random.default_rng(12)
    ticks = second + rng.permutation(1_000_000)[:3_000]
    stamps = pa.array(ticks, pa.timestamp("us", "UTC"))
    table = pa.table({"at": stamps, "n": ticks})
    train, holdout, fresh = table.slice(0, 1_000), table.slice(1_000, 1_000), table.slice(2_000)
    for made, value in ((fresh, 0), (train, 1)):
        evidence = Evidence(train, holdout, made, made, Seeds(0))
        scores = copying.exact(evidence)[0], copying.replay(evidence)[0]
        assert [score.value for score in scores] == pytest.approx([value, value], abs=0.01 * (1 - value))
    # the same moments in another unit, the same numbers in another type
    other = pa.table({"at": stamps.cast(pa.timestamp("ns", "UTC")), "n": ticks.astype(np.float64)}).slice(0, 1_000)
    assert copying.exact(Evidence(train, holdout, other, other, Seeds(0)))[0].value == 1
    # numbers that follow each other are all different, and halves lie between them
    dense = pa.table({"n": ticks[0] + rng.permutation(3_000)})
    train, holdout, fresh = dense.slice(0, 1_000), dense.slice(1_000, 1_000), dense.slice(2_000)
    halves = pa.table({"n": train["n"].to_numpy() + 0.5})
    for made, value in ((fresh, 0), (halves, 0), (train, 1)):
        assert copying.exact(Evidence(train, holdout, made, made, Seeds(0)))[0].value == value


def test_twelve_rows_tell_nothing() -> None:
    rng = np.random.default_rng(8)
    score = copying.nearness(_evidence(rng, 12, 12, 5_000))[0]["copy_excess"]
    assert score.low is not None
    assert score.high is not None
    assert score.high - score.low > 0.5
    assert score.n <= 24


def test_nothing_to_compare_is_said() -> None:
    rng = np.random.default_rng(9)
    evidence = _evidence(rng, 10, 10, 10)
    with pytest.raises(Unfit):
        copying.nearness(replace(evidence, synthetic=pa.table({"other": [1]})))
    with pytest.raises(Unfit):
        copying.exact(replace(evidence, released=evidence.released.slice(0, 0)))


@pytest.mark.parametrize(("train", "holdout"), [(600, 600), (900, 300)])
@pytest.mark.parametrize("name", ["exact", "replay"])
def test_what_is_printed_as_noticeable_is_noticed(name: str, train: int, holdout: int) -> None:
    """With as many verbatim copies as `detects` says, the interval leaves 0 in 80 % of cases."""
    seen = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        evidence = _evidence(rng, train, holdout, 800)
        measure = getattr(copying, name)
        honest = measure(evidence)[0]
        assert honest.detects is not None
        assert honest.detects < 0.1
        copies = evidence.train.take(pa.array(rng.choice(train, rng.poisson(honest.detects * 800), replace=False)))
        made = pa.concat_tables([evidence.released.slice(len(copies)), copies.cast(evidence.released.schema)])
        low = measure(replace(evidence, released=made))[0].low
        seen += low is not None and low > 0
    assert 0.65 <= seen / 60 <= 0.95


@pytest.mark.parametrize("kinds", [2, 6, 11])
def test_where_few_rows_are_anybodys_alone_more_copies_go_unnoticed(kinds: int) -> None:
    """With few levels every row is shared; with more, copies are seen as often as they are somebody's alone."""
    seen = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        sides = [pa.table({f"c{i}": rng.integers(0, kinds, 700).astype(str) for i in range(3)}) for _ in range(3)]
        evidence = Evidence(*sides, sides[2], Seeds(0))
        honest = copying.exact(evidence)[0]
        if kinds == 2:
            assert honest.detects is None
            assert "no row is anybody's alone" in honest.note
            assert copying.exact(replace(evidence, released=sides[0]))[0].value == 0
            return
        if honest.detects is None:
            continue
        copies = sides[0].take(pa.array(rng.choice(700, rng.poisson(honest.detects * 700))))
        made = pa.concat_tables([evidence.released.slice(len(copies)), copies])
        low = copying.exact(replace(evidence, released=made))[0].low
        seen.append(low is not None and low > 0)
    assert not seen or np.mean(seen) >= 0.6
    assert seen or kinds == 6


def test_nearness_notices_what_it_says() -> None:
    seen = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        evidence = replace(_evidence(rng, 600, 600, 800), queries=400)
        honest = copying.nearness(evidence)[0]
        least = honest["copy_excess"].detects
        assert least is not None
        assert honest["nearest_share"].detects == pytest.approx(0.5 + least / 2)
        copies = evidence.train.take(pa.array(rng.choice(600, rng.binomial(800, least), replace=False)))
        made = pa.concat_tables([evidence.synthetic.slice(len(copies)), copies.cast(evidence.synthetic.schema)])
        low = copying.nearness(replace(evidence, synthetic=made))[0]["copy_excess"].low
        seen += low is not None and low > 0
    assert 0.6 <= seen / 25 <= 0.97


def test_few_matches_have_exact_intervals() -> None:
    """At an even split five rows in train and none in the holdout are luck in one of 32 cases: not below 2.5 %."""
    rng = np.random.default_rng(13)
    evidence = _evidence(rng, 500, 500, 100)
    for copies, beyond in ((5, False), (6, True)):
        made = evidence.train.slice(0, copies)
        low = copying.exact(replace(evidence, released=made))[0].low
        assert low is not None
        assert (low > 0) is beyond
    few = _evidence(rng, 9, 3, 8)
    assert copying.exact(few)[0].detects is None  # not even eight copies of three quarters of the rows would tell


def test_all_rows_ask_when_the_full_set_is_wanted() -> None:
    rng = np.random.default_rng(14)
    evidence = replace(_evidence(rng, 200, 200, 900), queries=100)
    assert "100 queries" in copying.nearness(evidence)[0]["copy_excess"].note
    assert "900 queries" in copying.nearness(replace(evidence, full=True))[0]["copy_excess"].note


def test_no_part_of_fresh_rows_leans_and_copied_outliers_show_in_theirs() -> None:
    outside = parts = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        evidence = replace(_evidence(rng, 800, 500, 800), sensitive=("job", "town"))
        details = copying.nearness(evidence)[1]
        assert [part["name"] for part in details["deciles"]] == [str(place) for place in range(1, 11)]
        assert {part["name"] for part in details["groups"]} > {"job = a", "town = x", "town = missing"}
        found = [*details["deciles"], *details["groups"]]
        parts += len(found)
        outside += sum(not part["low"] <= 0 <= part["high"] for part in found)
    assert outside <= 0.05 * parts + 3 * (0.05 * parts) ** 0.5
    train = evidence.train
    trained, held = map(TableFeatures(train, evidence.holdout).points, (train, evidence.holdout))
    rare = np.argsort(-rarity(trained, (trained, held)))[:60]
    made = pa.concat_tables([evidence.synthetic.slice(0, 300), train.take(pa.array(rare))])
    deciles = {p["name"]: p for p in copying.nearness(replace(evidence, synthetic=made))[1]["deciles"]}
    assert deciles["10"]["low"] > 0
    assert deciles["10"]["excess"] > 0.4 > max(deciles[str(place)]["excess"] for place in range(1, 6))


def test_rarity_counts_what_is_far_out_or_seldom() -> None:
    axes = np.arange(1_000, dtype=np.float32)[None]
    levels = np.repeat([0, 1], [990, 10]).astype(np.int32)[None]
    real = Points(axes, levels)
    found = rarity(real, (real.take(np.arange(0, 1_000, 2)), real.take(np.arange(1, 1_000, 2))))
    assert found[999] == pytest.approx(-np.log(2 / 1_000) - np.log(0.01))
    assert found[500] == pytest.approx(-np.log(0.99), abs=0.01)
    far = rarity(Points(np.full((1, 1), 1e6, np.float32), np.full((1, 1), -1, np.int32)), (real,))
    assert far[0] == pytest.approx(2 * np.log(1_000))
    vectors = Vectors(np.array([[3.0, 4.0], [-3.0, -4.0]], np.float32))
    assert rarity(vectors, (vectors,)).tolist() == [5, 5]


class _Embedded:
    """A toy modality: records are vectors."""

    def keys(self, rows: pa.Table) -> np.ndarray:
        return np.maximum(self.points(rows).values.astype(np.float64).view(np.uint64)[:, 0], 1)

    def points(self, rows: pa.Table) -> Vectors:
        return Vectors(np.stack([rows.column(name).to_numpy() for name in ("x", "y")], axis=1).astype(np.float32))

    def matrix(self, rows: pa.Table) -> tuple[np.ndarray, list[bool]]:
        return self.points(rows).values.astype(np.float64), [False, False]


def test_vectors_are_judged_as_tables_are() -> None:
    rng = np.random.default_rng(15)
    train, holdout, fresh = (pa.table({"x": rng.normal(size=400), "y": rng.normal(size=400)}) for _ in range(3))
    for made, copied in ((fresh, 0), (train, 1)):
        evidence = Evidence(train, holdout, made, made, Seeds(0), features=_Embedded())
        scores, details = copying.nearness(evidence)
        for score in (scores["copy_excess"], copying.exact(evidence)[0]):
            assert score.low is not None
            assert score.high is not None
            assert score.low <= copied <= score.high
            assert score.low > 0.9 or not copied
        assert len(details["deciles"]) == 10
