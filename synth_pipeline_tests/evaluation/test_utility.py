"""Boosted trees: what they can and cannot tell apart, and what they learn from synthetic rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation import utility
from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.protocols.measure import Evidence, Score
from synth_pipeline.seeds import Seeds


def _table(rng: np.random.Generator, rows: int) -> pa.Table:
    x, y = rng.normal(size=(2, rows))
    noise = rng.normal(0, 0.5, rows)
    amount = 3 * x + noise
    kind = np.where(amount > 2, "high", np.where(amount < -2, "low", "mid"))
    return pa.table({"x": x, "y": y, "amount": amount, "kind": kind, "yes": amount > 0})


def _worth(evidence: Evidence) -> Score:
    return utility.usefulness(evidence).scores["tstr_ratio"]


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    rng = np.random.default_rng(0)
    train, holdout, made = (_table(rng, 1_500) for _ in range(3))
    return Evidence(train, holdout, made, made, Seeds(0))


def test_a_fresh_sample_cannot_be_told_apart(evidence: Evidence) -> None:
    score, _ = utility.discernible(evidence)
    assert score.value == pytest.approx(0.5, abs=0.05)
    assert score.reference == pytest.approx(0.5, abs=0.05)


def test_shuffled_columns_and_copies(evidence: Evidence) -> None:
    rng = np.random.default_rng(1)
    shuffled = pa.table(
        {n: evidence.train[n].take(pa.array(rng.permutation(1_500))) for n in evidence.train.column_names}
    )
    assert (utility.discernible(replace(evidence, synthetic=shuffled))[0].low or 0) > 0.9
    # equal rows share a fold, so that copies look like noise instead of being learned by heart
    copies, _ = utility.discernible(replace(evidence, synthetic=evidence.train))
    assert copies.value == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(("target", "metric"), [("yes", "AUC"), ("kind", "AUC"), ("amount", "R²")])
def test_a_fresh_sample_is_worth_what_train_is(evidence: Evidence, target: str, metric: str) -> None:
    found = utility.usefulness(replace(evidence, target=target))
    assert found.details["utility"]["metric"] == metric
    assert len(found.details["utility"]["models"]) == 2
    assert set(found.scores) == {"tstr_ratio", "trts_ratio", "augmentation_gain"}
    for name, score in found.scores.items():
        assert score.low is not None
        assert score.high is not None
        assert score.detects is not None
        assert 0.97 < score.low < 1.01, name
        assert 0.99 < score.high < 1.03, name
        assert 0.8 < score.detects < 1


def test_more_rows_of_the_same_kind_help_where_train_is_small(evidence: Evidence) -> None:
    small = replace(evidence, train=evidence.train.slice(0, 300), target="amount")
    score = utility.usefulness(small).scores["augmentation_gain"]
    assert score.value is not None
    assert score.value > 1


def test_answers_that_are_turned_round_are_worth_less_than_nothing(evidence: Evidence) -> None:
    turned = pa.array([not answer for answer in evidence.synthetic["yes"].to_pylist()])
    made = evidence.synthetic.set_column(4, "yes", turned).drop_columns(["amount", "kind"])
    scores = utility.usefulness(replace(evidence, synthetic=made, target="yes")).scores
    for name in ("tstr_ratio", "trts_ratio"):
        assert scores[name].high is not None
        assert scores[name].high < 0.5


@pytest.mark.slow
def test_full_is_the_mean_of_families_and_seeds(evidence: Evidence) -> None:
    found = utility.usefulness(replace(evidence, target="yes", full=True))
    table = found.details["utility"]["families"]
    assert [row["name"] for row in table] == ["boosted trees", "random forest", "linear"]
    score = found.scores["tstr_ratio"]
    assert score.value == pytest.approx(np.mean([row["ratio"] for row in table]))
    assert score.low is not None
    assert score.low <= 1


def test_unlearnable_synthetic_rows_score_low(evidence: Evidence) -> None:
    kinds = evidence.synthetic["kind"].take(pa.array(np.random.default_rng(2).permutation(1_500)))
    useless = evidence.synthetic.set_column(evidence.synthetic.column_names.index("kind"), "kind", kinds)
    score = _worth(replace(evidence, synthetic=useless, target="kind"))
    assert score.high is not None
    assert score.high < 1


def test_targets_that_cannot_be_learned_have_no_value(evidence: Evidence) -> None:
    def having(values: list[object]) -> Evidence:
        sides = [t.append_column("t", pa.array(values)) for t in (evidence.train, evidence.holdout, evidence.synthetic)]
        return Evidence(*sides, sides[2], Seeds(0), target="t")

    assert _worth(evidence).value is None
    assert _worth(having(["one"] * 1_500)).value is None
    assert _worth(having([f"id{i}" for i in range(1_500)])).value is None


def test_one_class_in_the_synthetic_rows_is_scored_not_crashed(evidence: Evidence) -> None:
    made = evidence.synthetic
    one = made.set_column(made.column_names.index("yes"), "yes", pa.array([True] * 1_500))
    score = _worth(replace(evidence, synthetic=one, target="yes"))
    assert score.value is not None
    assert score.value < 0.6


def test_unseen_categories_and_missing_values_do_no_harm(evidence: Evidence) -> None:
    made = evidence.synthetic
    odd = made.set_column(made.column_names.index("kind"), "kind", pa.array(["new", None, "mid"] * 500))
    assert utility.discernible(replace(evidence, synthetic=odd))[0].value is not None
    assert _worth(replace(evidence, synthetic=odd, target="yes")).value is not None


def test_columns_without_any_value_do_no_harm(evidence: Evidence) -> None:
    def emptied(side: pa.Table, *names: str) -> pa.Table:
        for name in names:
            place = side.schema.get_field_index(name)
            side = side.set_column(place, name, pa.nulls(side.num_rows, side.schema.field(name).type))
        return side

    made = emptied(evidence.synthetic, "x", "kind")
    assert utility.discernible(replace(evidence, synthetic=made))[0].value is not None
    assert utility.usefulness(replace(evidence, synthetic=made, target="yes")).scores["tstr_ratio"].value is not None
    sides = [emptied(side, "x", "kind") for side in (evidence.train, evidence.holdout, evidence.synthetic)]
    assert utility.discernible(Evidence(*sides, sides[2], Seeds(0)))[0].value is not None
    unanswered = emptied(evidence.synthetic, "yes")
    scores = utility.usefulness(replace(evidence, synthetic=unanswered, target="yes")).scores
    assert scores["tstr_ratio"].value == pytest.approx(0.5, abs=0.02)
    assert scores["trts_ratio"].value is None


def test_too_few_rows(evidence: Evidence) -> None:
    with pytest.raises(Unfit):
        utility.discernible(replace(evidence, synthetic=evidence.synthetic.slice(0, 5)))
