"""Copies of a few persons: seen in their corner, and not imagined where nobody was copied."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.adversaries import ADVERSARIES, made
from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.evaluation.corners import Corner, corners, met
from synth_pipeline.evaluation.intervals import clopper_pearson, wilson
from synth_pipeline.evaluation.table import features_of
from synth_pipeline.protocols.measure import Evidence, Score
from synth_pipeline.protocols.points import Vectors
from synth_pipeline.seeds import Seeds
from synth_pipeline_tests.evaluation.test_proofs import honest

NAME = "corner_copy_excess"
TENTH = "the 10% most unusual rows"


def score(evidence: Evidence) -> Score:
    return corners(evidence).scores[NAME]


@pytest.mark.parametrize(("train", "holdout"), [(600, 600), (900, 300), (300, 900)])
def test_fresh_rows_have_no_corner_of_copies_at_any_split(train: int, holdout: int) -> None:
    seeds = 12
    found = [score(honest(train, holdout, 900, seed)) for seed in range(seeds)]
    beyond = sum(one.low > 0 for one in found if one.low is not None)
    assert clopper_pearson(beyond, seeds)[0] <= 0.025
    assert all(one.value is not None and one.high is not None and one.value <= one.high for one in found)


@pytest.mark.parametrize("name", [name for name in ADVERSARIES if "minority" in name or "outliers" in name])
def test_copies_of_few_fill_their_corner(name: str) -> None:
    evidence = honest(3_000, 3_000, 3_000)
    low, high = score(evidence).low, score(evidence).high
    assert low is not None
    assert high is not None
    assert low <= 0
    assert high <= 0.5
    found = score(ADVERSARIES[name](evidence, np.random.default_rng(1)))
    assert found.low is not None
    assert found.high is not None
    assert found.low > 0.1
    assert found.high > 0.5


@pytest.mark.parametrize("name", [name for name in ADVERSARIES if "minority" in name or "outliers" in name])
def test_copies_of_few_are_seen_where_the_holdout_is_small(name: str) -> None:
    found = score(ADVERSARIES[name](honest(4_000, 1_000, 4_000), np.random.default_rng(1)))
    assert found.low is not None
    assert found.high is not None
    assert found.low > 0
    assert found.high > 0.5


def test_every_query_meets_one_real_row_in_all() -> None:
    evidence = honest(500, 400, 300)
    points = features_of(evidence).points
    sides = points(evidence.train), points(evidence.holdout)
    weight = met(points(evidence.synthetic), *sides)
    assert weight.sum() == pytest.approx(300)
    own = met(sides[0], *sides)
    assert own[:500].sum() >= 499


def test_a_corners_excess_is_that_of_its_own_split() -> None:
    corner = Corner("half", share=0.75, pi=0.5, n=400, units=800)
    assert corner.excess()[0] == pytest.approx(0.5)
    assert corner.excess()[1:] == pytest.approx([2 * end - 1 for end in wilson(0.75, 400)])
    assert 2.8 * 0.05 < corner.detects(20) < 4.5 * 0.05


def test_what_is_met_too_seldom_is_not_told() -> None:
    for tiny in (honest(25, 25, 400), honest(400, 400, 20)):
        found = score(tiny)
        assert found.value is None
        assert found.note.startswith("not measurable: none of")
    with pytest.raises(Unfit):
        corners(replace(tiny, synthetic=tiny.synthetic.slice(0, 0)))


@pytest.mark.parametrize(
    ("train", "holdout", "wide"), [(300, 300, True), (800, 200, True), (2_000, 2_000, False), (4_000, 1_000, False)]
)
def test_honest_tables_are_judged_and_pass_at_any_size_and_split(train: int, holdout: int, wide: bool) -> None:
    seeds = 6
    found = [corners(honest(train, holdout, train, seed)) for seed in range(seeds)]
    highs = [one.scores[NAME].high for one in found]
    assert all(high is not None and high <= 0.5 for high in highs)
    for one in found:
        tails = {part["name"] for part in one.details["corners"] if "unusual" in part["name"]}
        assert tails & ({"the 20% most unusual rows", "the 50% most unusual rows"} if wide else {TENTH})
        assert "too seldom to be judged" in one.scores[NAME].note


def test_persons_with_many_rows_are_one_unit() -> None:
    evidence = honest(150, 150, 900)
    rows = np.repeat(np.arange(150), 6)
    many = replace(
        evidence,
        train=evidence.train.take(rows),
        holdout=evidence.holdout.take(rows),
        train_units=rows,
        holdout_units=rows + 150,
    )
    alone = replace(many, train_units=None, holdout_units=None)
    persons, rows = ({corner["name"]: corner for corner in corners(one).details["corners"]} for one in (many, alone))
    assert persons
    for name in persons.keys() & rows.keys():
        assert persons[name]["excess"] == pytest.approx(rows[name]["excess"])
        assert persons[name]["n"] < rows[name]["n"]


def test_notes_hold_no_levels_and_details_no_small_counts() -> None:
    found = corners(honest(2_000, 2_000, 2_000))
    text = json.dumps(found.details) + found.scores[NAME].note
    assert not any(word in text for word in ("town", "ward", "surgery"))
    assert all(one["n"] >= 0 for one in found.details["corners"])


class Dots:
    """Records that are vectors, without any level."""

    def keys(self, rows: pa.Table) -> np.ndarray:
        return np.arange(rows.num_rows, dtype=np.uint64)

    def points(self, rows: pa.Table) -> Vectors:
        return Vectors(self.matrix(rows)[0].astype(np.float32))

    def matrix(self, rows: pa.Table) -> tuple[np.ndarray, list[bool]]:
        return np.stack([rows["x"].to_numpy(), rows["y"].to_numpy()], 1), [False, False]


def test_any_modality_has_corners() -> None:
    rng = np.random.default_rng(0)
    train, holdout, fresh = (pa.table({"x": rng.normal(size=2_000), "y": rng.normal(size=2_000)}) for _ in range(3))
    evidence = Evidence(train, holdout, fresh, fresh, Seeds(0), features=Dots())
    assert (score(evidence).low or 0) <= 0
    far = np.argsort(-np.hypot(train["x"].to_numpy(), train["y"].to_numpy()))[:100]
    copied = pa.concat_tables([fresh, train.take(np.repeat(far, 3))])
    assert (score(made(evidence, copied)).low or 0) > 0.3


def test_equal_seeds_equal_scores() -> None:
    evidence = honest(700, 700, 700)
    assert corners(evidence) == corners(evidence)
