"""Groups of sensitive columns: who is hurt is found, and who is missing is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation.groups import NAMES, groups, newcombe
from synth_pipeline.protocols.measure import Evidence, Findings
from synth_pipeline.seeds import Seeds


def _table(rng: np.random.Generator, rows: int, only: str | None = None, shift: float = 0.0) -> pa.Table:
    g = np.full(rows, only) if only else np.where(rng.random(rows) < 0.3, "few", "many")
    x = rng.normal(size=rows) + shift * (g == "few")
    z, w = rng.normal(size=(2, rows))
    answer = np.where(x + rng.normal(0, 0.5, rows) > 0, "yes", "no")
    return pa.table({"g": g, "x": x, "z": z, "w": w, "y": answer})


def _evidence(seed: int, made: pa.Table | None = None, rows: int = 1_200) -> Evidence:
    rng = np.random.default_rng(seed)
    train, holdout = _table(rng, rows), _table(rng, rows)
    made = made if made is not None else _table(rng, rows)
    return Evidence(train, holdout, made, made, Seeds(seed), target="y", sensitive=("g",))


def _row(found: Findings, group: str) -> dict[str, object]:
    return next(row for row in found.details["groups"] if row["group"] == group)


def test_a_fresh_sample_hurts_nobody() -> None:
    found = groups(_evidence(0))
    assert set(found.scores) == set(NAMES)
    for name, score in found.scores.items():
        assert score.value is not None, name
        assert score.low is not None
        assert score.high is not None
        assert score.low <= score.reference <= score.high, name  # type: ignore[operator]
    row = _row(found, "few")
    assert row["share"] == pytest.approx(0.3, abs=0.05)
    assert row["share_low"] < 0 < row["share_high"]  # type: ignore[operator]
    assert row["metric_real"] > 0.8  # type: ignore[operator]


def test_copies_of_one_group_alone_are_found() -> None:
    evidence = _evidence(1)
    few = np.asarray(evidence.train["g"].to_pylist()) == "few"
    fresh = _table(np.random.default_rng(9), int((~few).sum()), only="many")
    made = pa.concat_tables([evidence.train.filter(pa.array(few)), fresh])
    found = groups(replace(evidence, synthetic=made, released=made))
    score = found.scores["group_copy_excess"]
    assert score.value is not None
    assert score.low is not None
    assert score.value > 0.9
    assert score.low > 0.7
    assert "g: few" in score.note
    assert _row(found, "many")["copy_low"] < 0.1  # type: ignore[operator]


def test_a_group_that_is_drawn_wrongly_is_found() -> None:
    score = groups(_evidence(2, _table(np.random.default_rng(8), 1_200, shift=2.0))).scores["group_shape_error"]
    assert score.low is not None
    assert score.low > 0.1
    assert "g: few" in score.note


def test_a_group_that_is_useless_to_models_is_found() -> None:
    made = _table(np.random.default_rng(7), 1_200)
    few = np.asarray(made["g"].to_pylist()) == "few"
    answers = np.asarray(made["y"].to_pylist())
    answers[few] = np.where(answers[few] == "yes", "no", "yes")
    made = made.set_column(4, "y", pa.array(answers))
    scores = groups(_evidence(3, made)).scores
    assert scores["group_tstr_ratio"].high is not None
    assert scores["group_tstr_ratio"].high < 0.7
    assert "g: few" in scores["group_tstr_ratio"].note
    assert scores["equalized_odds_gap"].low is not None
    assert scores["equalized_odds_gap"].low > 0


def test_an_absent_group_is_told_and_never_fair() -> None:
    found = groups(_evidence(4, _table(np.random.default_rng(6), 1_200, only="many")))
    assert _row(found, "few")["absent"]
    assert found.scores["group_shape_error"].value == 1.0
    for name in ("demographic_parity_gap", "equalized_odds_gap"):
        assert found.scores[name].high == 1.0
        assert "absent from the synthetic rows: g: few" in found.scores[name].note


def test_nothing_declared_and_nothing_large_enough() -> None:
    evidence = _evidence(5)
    for case in (replace(evidence, sensitive=()), replace(evidence, sensitive=("nowhere",)), _evidence(5, rows=25)):
        for score in groups(case).scores.values():
            assert score.value is None
            assert score.note


def test_rows_of_few_persons_are_no_group() -> None:
    evidence = _evidence(6)
    few = np.asarray(evidence.train["g"].to_pylist()) == "few"
    owners = np.where(few, np.arange(len(few)) % 20, np.arange(len(few)) + 100)
    found = groups(replace(evidence, train_units=owners, holdout_units=np.arange(1_200) + 10_000))
    assert [row["group"] for row in found.details["groups"]] == ["many"]


def test_numbers_by_quarters_missing_values_and_no_target() -> None:
    evidence = _evidence(7)
    holed = [
        side.append_column("age", pa.array([None if i % 10 == 0 else i for i in range(side.num_rows)]))
        for side in (evidence.train, evidence.holdout, evidence.synthetic)
    ]
    found = groups(Evidence(*holed, holed[2], Seeds(0), sensitive=("age",)))
    assert {row["group"] for row in found.details["groups"]} == {
        "lowest quarter",
        "second quarter",
        "third quarter",
        "highest quarter",
        "(missing)",
    }
    assert found.scores["group_shape_error"].value is not None
    assert found.scores["group_tstr_ratio"].value is None


def test_a_synthetic_table_without_the_column() -> None:
    evidence = _evidence(8)
    made = evidence.synthetic.drop_columns(["g"])
    found = groups(replace(evidence, synthetic=made, released=made))
    assert all(row["absent"] for row in found.details["groups"])


def test_newcombes_published_interval() -> None:
    """Newcombe 1998, table II, 56/70 - 48/80: method 10 gives .0524 to .3339."""
    assert newcombe(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=1e-4)
