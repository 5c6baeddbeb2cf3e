"""All measures together: nothing crashes into a pass, and details hold no small counts."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation.gates import judge, load_policy, verdict
from synth_pipeline.evaluation.report import words
from synth_pipeline.modalities.tabular import measures
from synth_pipeline.modalities.tabular.modality import Tabular
from synth_pipeline.protocols.measure import Evidence
from synth_pipeline.seeds import Seeds
from synth_pipeline.spec.constraints import Inequality, Range, Unique

NAMES = {
    "copy_excess", "nearest_share", "exact_match_excess", "near_match_excess", "value_replay_excess",
    "corner_copy_excess", "cumulative_exposure", "singling_out_univariate", "singling_out_multivariate", "linkability",
    "attribute_inference", "attribute_inference_overall", "mia_auc", "mia_tpr", "shape_error", "trend_error",
    "triple_error", "k_marginal", "missing_error", "constraint_violations", "c2st_auc", "pmse_ratio", "precision",
    "recall", "density", "coverage", "tstr_ratio", "trts_ratio", "augmentation_gain", "group_shape_error",
    "group_copy_excess", "group_tstr_ratio", "demographic_parity_gap", "equalized_odds_gap",
}  # fmt: skip
FULL = {"c_t", "nndr_excess", "authenticity_excess"}


def test_names_stay_as_they_are_and_are_explained() -> None:
    promised = {name for measure in measures.MEASURES for name in measure.names}
    assert promised == NAMES | FULL
    page = (Path(__file__).parents[3] / "docs" / "measures.md").read_text("utf-8")
    for name in (*promised, "audit_epsilon"):
        assert f"`{name}`" in page
        assert name in words.MEASURES
    for policy in ("internal", "public", "source_free"):
        assert set(load_policy(policy).gates) <= NAMES


def _table(rng: np.random.Generator, rows: int) -> pa.Table:
    start = rng.integers(0, 2_000, rows)
    first = [datetime.date(2020, 1, 1) + datetime.timedelta(days=int(d)) for d in start]
    age = rng.gamma(5, 9, rows).round()
    return pa.table(
        {
            "age": age,
            "since": first,
            "ward": rng.choice(["a", "b", "c", "rare"], rows, p=[0.5, 0.3, 0.199, 0.001]),
            "cost": pa.array(
                np.where(rng.random(rows) < 0.1, None, np.round(rng.lognormal(3, 1, rows), 2)), pa.float64()
            ),
            "ill": age + rng.normal(0, 10, rows) > 50,
        }
    )


def _evidence(rows: int, seed: int = 0, made: pa.Table | None = None, **more: Any) -> Evidence:
    rng = np.random.default_rng(seed)
    train, holdout, fresh = (_table(rng, rows) for _ in range(3))
    synthetic = fresh if made is None else made
    return Evidence(train, holdout, synthetic, synthetic, Seeds(0), target="ill", **more)


def test_a_fresh_sample_passes() -> None:
    findings = Tabular().measure(_evidence(3_000))
    assert set(findings.scores) == NAMES
    assert not findings.details.get("errors")
    gates = judge(findings.scores, load_policy("internal"))
    assert verdict(gates) == "pass", [gate for gate in gates if gate.verdict != "pass"]


def test_details_are_json_without_small_counts() -> None:
    evidence = _evidence(3_000)
    details = json.loads(json.dumps(Tabular().measure(evidence).details, allow_nan=False))
    for column in details["columns"]:
        assert len(column["real"]) == len(column["synthetic"])
        assert all(count == 0 or count >= measures.K for count in column["real"])
        assert "rare" not in column.get("levels", ())
        if column["kind"] == "histogram":
            assert len(column["edges"]) == len(column["real"]) + 1
    assert {type(edge) for c in details["columns"] if c["name"] == "since" for edge in c["edges"]} == {str}
    assert all(n == 0 or n >= measures.K for row in details["pca"]["real_density"]["counts"] for n in row)
    edges = next(column["edges"] for column in details["columns"] if column["name"] == "cost")
    costs = evidence.train["cost"].drop_null().to_numpy()
    assert (costs < edges[0]).sum() >= 0
    assert edges[-1] < costs.max()


def test_few_values_have_no_edges_and_small_gaps_cannot_be_computed() -> None:
    rng = np.random.default_rng(3)
    amounts = rng.lognormal(8, 1, 3_000)
    few = np.arange(3_000) < 15
    train = pa.table(
        {
            "lone": pa.array(amounts, mask=np.arange(3_000) >= 3),
            "some": pa.array(amounts, mask=~few),
            "full": pa.array(amounts, mask=np.arange(3_000) < 4),
            "yes": pa.array(amounts > 3_000, mask=np.arange(3_000) < 4),
        }
    )
    evidence = Evidence(train, train, train, train, Seeds(0))
    columns = {c["name"]: c for c in json.loads(json.dumps(Tabular().measure(evidence).details))["columns"]}
    assert columns["lone"]["edges"] == columns["some"]["edges"] == []
    assert (columns["lone"]["rows"]["real"], columns["lone"]["missing"]["real"]) == (0, 1.0)
    assert (columns["some"]["rows"]["real"], columns["some"]["missing"]["real"]) == (15, 2_985 / 3_000)
    for name in ("full", "yes"):
        assert (columns[name]["rows"]["real"], columns[name]["missing"]["real"]) == (3_000, 0.0)
        left = 3_000 - sum(columns[name]["real"])
        assert left == 0 or left >= measures.K
    assert not set(columns["full"]["edges"]) & set(amounts)


@pytest.mark.parametrize("rows", [40, 41, 100, 3_000])
def test_edges_lie_on_a_coarse_grid(rows: int) -> None:
    values = np.random.default_rng(rows).lognormal(8, 1, rows)
    edges = measures._edges(values)
    assert (values <= edges[1]).sum() >= measures.K
    assert len(edges) == 25
    step = 10.0 ** (np.floor(np.log10(edges[-1] - edges[0])) - 2)
    for end in (edges[0], edges[-1]):
        assert end / step == pytest.approx(round(end / step), abs=1e-6)
    assert not np.isin(edges, values).any()


@pytest.mark.parametrize("rows", [1, 2, 12])
def test_tiny_tables_are_inconclusive(rows: int) -> None:
    findings = Tabular().measure(_evidence(rows, made=_table(np.random.default_rng(9), 2_000)))
    gates = judge(findings.scores, load_policy("internal"))
    assert verdict(gates) == "inconclusive"
    assert next(gate for gate in gates if gate.name == "copy_excess").verdict == "inconclusive"


def test_empty_and_foreign_tables_never_pass() -> None:
    for made in (_table(np.random.default_rng(1), 0), pa.table({"else": [1, 2, 3]})):
        findings = Tabular().measure(_evidence(200, made=made))
        assert findings.scores["copy_excess"].value is None
        assert verdict(judge(findings.scores, load_policy("internal"))) != "pass"


def test_a_crash_is_recorded_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("row 17 holds a secret")

    monkeypatch.setattr(measures.copying, "nearness", crash)
    findings = Tabular().measure(_evidence(300))
    assert findings.scores["copy_excess"].error == "RuntimeError"
    assert "secret" not in json.dumps(findings.details)
    assert verdict(judge(findings.scores, load_policy("internal"))) != "pass"


def test_constraint_violations_are_exact() -> None:
    rules = (Range(type="range", column="age", min=0, max=30), Inequality(type="inequality", low="age", high="cost"))
    evidence = _evidence(500, constraints=rules)
    score, details = measures.violations(evidence)
    ages, costs = (evidence.released[name].to_numpy() for name in ("age", "cost"))
    assert score.value == pytest.approx(((ages > 30) | (ages > costs)).mean())
    assert [item["violations"] for item in details] == [(ages > 30).sum(), (ages > costs).sum()]


def test_a_fresh_key_is_checked_on_the_released_rows() -> None:
    evidence = _evidence(500, constraints=(Unique(type="unique", columns=["customer"]),))
    keys = pa.array([f"C{max(i, 3)}" for i in range(500)])
    evidence = dataclasses.replace(evidence, released=evidence.released.append_column("customer", keys))
    score, details = measures.violations(evidence)
    assert score.value == 3 / 500
    assert details[0]["violations"] == 3


def test_equal_seeds_equal_findings() -> None:
    one, two = (Tabular().measure(_evidence(600)) for _ in range(2))
    assert one.scores == two.scores
    assert json.dumps(one.details) == json.dumps(two.details)
