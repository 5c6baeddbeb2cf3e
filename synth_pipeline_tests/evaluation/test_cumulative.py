"""Cumulative exposure: few copies in each of many releases add up, persons count once, and chance is no leak."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation import copying
from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.evaluation.cumulative import cumulative, with_earlier
from synth_pipeline.protocols.measure import Evidence, Score
from synth_pipeline.seeds import Seeds

LIMIT = 0.01


def _people(rng: np.random.Generator, rows: int, decimals: int = 2) -> pa.Table:
    age = rng.gamma(4, 10, rows).round()
    return pa.table(
        {
            "age": age,
            "pay": np.round(rng.lognormal(3, 1, rows) * age, decimals),
            "job": rng.choice(list("abcdefgh"), rows, p=np.arange(8, 0, -1) / 36),
            "town": pa.array(np.array(["x", "y", None])[rng.integers(0, 3, rows)], pa.string()),
        }
    )


def _evidence(rng: np.random.Generator, train: int, holdout: int, made: int, **more: Any) -> Evidence:
    real, held, synthetic = (_people(rng, rows) for rows in (train, holdout, made))
    return Evidence(real, held, synthetic, synthetic, Seeds(0), **more)


def _score(evidence: Evidence) -> tuple[Score, dict[str, Any]]:
    found = cumulative(evidence)
    return found.scores["cumulative_exposure"], found.details["cumulative"]


def _interval(score: Score) -> tuple[float, float, float]:
    assert score.value is not None
    assert score.low is not None
    assert score.high is not None
    return score.low, score.value, score.high


def _after(evidence: Evidence, releases: list[pa.Table], **more: int) -> Evidence:
    return with_earlier(evidence, [(one.num_rows, one.to_batches(max_chunksize=97)) for one in releases], **more)


def test_few_copies_in_each_release_add_up() -> None:
    rng = np.random.default_rng(1)
    train, holdout = _people(rng, 4_000, 6), _people(rng, 2_000, 6)
    evidence = Evidence(train, holdout, holdout, holdout, Seeds(0))
    chosen = rng.permutation(4_000)
    earlier: list[pa.Table] = []
    exposed = []
    for release in range(10):
        copies = train.take(pa.array(chosen[release * 10 : release * 10 + 10]))
        made = pa.concat_tables([_people(rng, 1_990, 6), copies])  # 0.5 %, of persons that were not met before
        asked = _after(replace(evidence, released=made), earlier, most=1_000)
        alone = copying.exact(asked)[0]
        assert alone.high is not None
        assert alone.high < LIMIT
        score, told = _score(asked)
        exposed.append(_interval(score))
        assert told["releases"] == release
        assert told["rows"] == 2_000 * (release + 1)
        earlier.append(made)
    assert exposed[0][2] < LIMIT
    assert exposed[-1][0] > LIMIT
    values = [value for _, value, _ in exposed]
    assert values == pytest.approx([(release + 1) * 10 / 4_000 for release in range(10)], abs=LIMIT)
    assert all(low <= value <= high for low, value, high in exposed)


@pytest.mark.parametrize(("train", "holdout"), [(600, 600), (1_200, 300), (300, 1_200)])
def test_fresh_rows_expose_nobody_however_many_are_published(train: int, holdout: int) -> None:
    rng = np.random.default_rng(train)
    values, outside = [], 0
    for _ in range(60):
        evidence = _evidence(rng, train, holdout, 2_000)
        published = _after(evidence, [_people(rng, 2_000) for _ in range(3)])
        low, value, high = _interval(_score(published)[0])
        values.append(value)
        outside += not low <= 0 <= high
    assert outside <= 7  # of 60, each wrong once in twenty; 8 or more: 1 in 100
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values)) + 1e-9


def test_real_rows_of_the_same_population_expose_both_sides_alike() -> None:
    rng = np.random.default_rng(2)
    whole = _people(rng, 3_000)
    outside = 0
    for _ in range(40):
        order = rng.permutation(3_000)
        train, holdout = whole.take(pa.array(order[:2_000])), whole.take(pa.array(order[2_000:]))
        made = whole.take(pa.array(rng.choice(3_000, 500)))
        low, _, high = _interval(_score(Evidence(train, holdout, made, made, Seeds(0)))[0])
        outside += not low <= 0 <= high
    assert outside <= 5


def test_verbatim_copies_expose_all_and_so_does_one_release_of_them() -> None:
    rng = np.random.default_rng(3)
    evidence = _evidence(rng, 500, 500, 400)
    score, told = _score(replace(evidence, released=evidence.train))
    assert _interval(score)[0] > 0.95
    assert (told["train"], told["of_train"]) == (500, 500)
    later, _ = _score(_after(evidence, [evidence.train]))
    assert _interval(later)[0] > 0.95  # what is out stays out


def test_one_persons_many_rows_count_once() -> None:
    rng = np.random.default_rng(4)
    units = np.repeat(np.arange(300), 10)
    people = _people(rng, 3_000)
    train, holdout, made = people.slice(0, 2_000), people.slice(2_000), _people(rng, 500)
    copied = pa.concat_tables([made, train.slice(0, 10)])  # all rows of one person
    evidence = Evidence(
        train, holdout, copied, copied, Seeds(0), train_units=units[:2_000], holdout_units=units[2_000:]
    )
    before = _score(replace(evidence, released=made))[1]
    score, told = _score(evidence)
    assert (told["of_train"], told["of_holdout"]) == (200, 100)
    assert told["train"] - before["train"] <= 1
    assert score.n == 200
    assert _score(replace(evidence, train_units=None, holdout_units=None))[1]["train"] >= 10


def test_a_row_that_two_persons_share_is_nobodys() -> None:
    people = pa.table({"a": ["u", "u", "v", "w"], "b": ["1", "1", "2", "3"]})
    others = pa.table({"a": ["x", "y"], "b": ["4", "5"]})
    made = pa.table({"a": ["u", "v", "q"], "b": ["1", "2", "9"]})
    told = _score(Evidence(people, others, made, made, Seeds(0)))[1]
    assert (told["train"], told["of_train"], told["holdout"]) == (1, 4, 0)


def test_values_alone_expose_too_and_those_met_by_chance_do_not_count() -> None:
    rng = np.random.default_rng(5)
    evidence = _evidence(rng, 1_000, 1_000, 1_000)
    replayed = evidence.synthetic.set_column(1, "pay", evidence.train.column("pay"))
    assert _interval(_score(replace(evidence, released=replayed))[0])[0] > 0.5

    def numbered(table: pa.Table) -> pa.Table:  # a range so narrow that half of its values are published anyway
        return table.append_column("score", pa.array(rng.integers(0, 4_000, table.num_rows)))

    sides = [numbered(table) for table in (evidence.train, evidence.holdout, _people(rng, 12_000))]
    score, _ = _score(Evidence(sides[0], sides[1], sides[2], sides[2], Seeds(0)))
    low, value, high = _interval(score)
    assert low <= 0 <= high
    assert high - low < 0.05
    assert "columns whose values recur by chance are left out" in score.note
    assert abs(value) < 0.02


@pytest.mark.parametrize("rows", [300, 2_000])
def test_columns_that_recur_by_chance_neither_blur_nor_bend(rows: int) -> None:
    """Many columns of which a few percent recur: whichever are looked at, honest rows stay at none, and narrowly."""
    values, outside = [], 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        wide = [pa.table({f"c{i}": rng.integers(0, 60 * rows, rows) for i in range(8)}) for _ in range(3)]
        low, value, high = _interval(_score(Evidence(*wide, wide[2], Seeds(0)))[0])
        values.append(value)
        outside += not low <= 0 <= high
        assert high - value < 0.035
    assert outside <= 5
    assert abs(np.mean(values)) <= 3 * np.std(values) / 30**0.5 + 1e-9


def test_where_nothing_is_anybodys_alone_nothing_is_said_to_be_noticeable() -> None:
    rng = np.random.default_rng(11)
    sides = [pa.table({f"c{i}": rng.choice(list("ab"), 900) for i in range(3)}) for _ in range(3)]
    score = _score(Evidence(*sides, sides[2], Seeds(0)))[0]
    assert score.detects is None
    assert "no row or value is anybody's alone" in score.note


@pytest.mark.parametrize(("train", "holdout", "base"), [(4_000, 1_000, 0.0), (2_000, 2_000, 0.02), (150, 100, 0.0)])
def test_what_it_says_it_would_notice_it_notices_four_times_in_five(train: int, holdout: int, base: float) -> None:
    rng = np.random.default_rng(train)

    def rows(start: int, count: int) -> pa.Table:
        return pa.table({"id": [f"v{i}" for i in range(start, start + count)], "side": ["s"] * count})

    real, held = rows(0, train), rows(train, holdout)
    detects = cumulative(Evidence(real, held, held.slice(0, 1), real.slice(0, 1), Seeds(0))).scores
    seen = []
    for _ in range(100):
        own = rng.random(holdout) < base
        made = held.filter(pa.array(own))
        limit = _score(Evidence(real, held, held, pa.concat_tables([made, rows(10**6, 5)]), Seeds(0)))[0].detects
        assert limit is not None
        part = base + limit * (1 - base)
        copied = real.filter(pa.array(rng.random(train) < part))
        released = pa.concat_tables([made, copied, rows(10**6, 5)])
        seen.append(_interval(_score(Evidence(real, held, released, released, Seeds(0)))[0])[0] > 0)
    assert np.mean(seen) >= 0.68  # 0.8 less 3 standard errors
    assert detects["cumulative_exposure"].detects is not None


def test_a_sample_of_earlier_rows_and_all_that_tell() -> None:
    rng = np.random.default_rng(8)
    evidence = _evidence(rng, 300, 300, 300)
    releases = [_people(rng, rows) for rows in (700, 0, 50, 245)]
    copies = evidence.train.slice(10, 5)
    published = _after(evidence, [*releases, copies, copies], most=100)
    rows = pa.concat_tables([*releases, copies, copies])
    assert published.earlier is not None
    assert published.telling is not None
    assert published.earlier.to_pylist() == rows.take(pa.array([1_005 * i // 100 for i in range(100)])).to_pylist()
    assert [row for row in published.telling.to_pylist() if row in copies.to_pylist()] == copies.to_pylist()
    assert published.telling.num_rows < 200  # each lone value once
    score, told = _score(published)
    assert (told["releases"], told["rows"], told["of_rows"]) == (6, 1_305, 1_305)
    assert "1305 published rows, of this release and 6 earlier ones" in score.note
    whole = _score(replace(evidence, earlier=rows))[1]
    assert (told["train"], told["holdout"]) == (whole["train"], whole["holdout"])
    sampled = _score(replace(published, telling=None))
    assert sampled[1]["train"] < told["train"]
    assert "400 of 1305 published rows" in sampled[0].note
    assert _after(evidence, []) is _after(evidence, [releases[1]]) is evidence


def test_columns_go_by_name_and_what_cannot_be_cast_is_missing() -> None:
    shape = pa.schema([("n", pa.int64()), ("t", pa.string()), ("b", pa.bool_()), ("d", pa.date32())])
    real = pa.Table.from_pylist([{"n": i, "t": f"t{i}", "b": True, "d": None} for i in range(9)], shape)
    evidence = Evidence(real, real.slice(0, 0), real, real, Seeds(0))
    one = pa.table({"t": pa.array(["x", None]).dictionary_encode(), "n": [1.0, 2.0], "more": [1, 2]})
    two = pa.table({"n": [1.5], "b": ["perhaps"], "d": [3.7]})
    table = _after(evidence, [one, two]).earlier  # and no real row to meet, which is told where it is measured
    assert table is not None
    assert table.schema.types == shape.types
    assert table.to_pydict() == {"n": [1, 2, None], "t": ["x", None, None], "b": [None] * 3, "d": [None] * 3}
    with pytest.raises(Unfit):
        cumulative(evidence)


def test_hostile_tables_are_measured_or_refused() -> None:
    rng = np.random.default_rng(6)
    odd = pa.table(
        {
            "x": [np.nan, np.inf, -np.inf, 0.0, 1e308, None] * 4,
            "gone": pa.nulls(24, pa.float64()),
            "same": ["a"] * 24,
            "flag": rng.random(24) < 0.5,
        }
    )
    score, _ = _score(_after(Evidence(odd.slice(0, 12), odd.slice(12), odd, odd, Seeds(0)), [odd]))
    low, value, high = _interval(score)
    assert low <= value <= high
    assert low <= 0
    few, _ = _score(_evidence(rng, 12, 12, 12))
    assert _interval(few)[2] > 0.2  # twelve persons tell little
    with pytest.raises(Unfit):
        cumulative(_evidence(rng, 12, 12, 0))


def test_keys_alone_where_the_records_are_no_tables() -> None:
    class Bytes:
        def keys(self, rows: pa.Table) -> np.ndarray:
            return np.array([hash(text) % 2**61 + 1 for text in rows.column("blob").to_pylist()], np.uint64)

    def blobs(*names: str) -> pa.Table:
        return pa.table({"blob": [name.encode() for name in names]})

    train, holdout = blobs(*"abcdef"), blobs(*"ghijkl")
    made, earlier = blobs("a", "z"), blobs("b", "y")
    evidence = Evidence(train, holdout, made, made, Seeds(0), earlier=earlier, features=Bytes())  # type: ignore[arg-type]
    assert (_score(evidence)[1]["train"], _score(evidence)[1]["holdout"]) == (2, 0)
