"""Made-up scorecards that look like real ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from synth_pipeline.evaluation.gates import judge
from synth_pipeline.evaluation.scorecard import Scorecard
from synth_pipeline.protocols.measure import Score

HOSTILE = (
    "<script>alert(1)</script>",
    "{{ 7*7 }}",
    '"onload="alert(2)',
    "'; DROP TABLE x",
    "__class__",
    "ü😀" * 20,
    "n" * 10_000,
)


def scorecard(
    verdict: Any = "pass", *, names: tuple[str, ...] = (), levels: tuple[str, ...] = (), wide: int = 0, **changes: Any
) -> Scorecard:
    """A plausible scorecard of Adult; `names` are further columns, `levels` further levels, `wide` further numbers."""
    spread = {"pass": 0.02, "inconclusive": 0.06, "fail": 0.01}[verdict]
    copied = 0.021 if verdict != "fail" else 0.31
    scores = {
        "copy_excess": Score(copied, copied - spread, copied + spread, 0.0, 16_281),
        "nearest_share": Score(0.512, 0.504, 0.52, 0.5, 16_281),
        "exact_match_excess": Score(0.0, -0.0003, 0.0004, 0.0, 16_281),
        "value_replay_excess": Score(0.0, 0.0, 0.0002, 0.0, 16_281),
        "shape_error": Score(0.0123, 0.0101, 0.0148, 0.0098, 16_281),
        "trend_error": Score(0.041, 0.037, 0.046, 0.036, 16_281),
        "c2st_auc": Score(0.571, 0.562, 0.58, 0.502, 16_281),
        "tstr_ratio": Score(0.991, 0.987, 0.996, 1.0, 16_281, "boosted trees, 3 seeds"),
        "constraint_violations": Score(0.0, None, None, None, 16_281),
        "missing_error": Score(None, error="MemoryError"),
        **more_scores(),
    }
    policy = {
        "name": "internal",
        "version": 1,
        "gates": {
            "copy_excess": {"max": 0.08},
            "exact_match_excess": {"max": 0.005},
            "value_replay_excess": {"max": 0.02},
            "shape_error": {"max": 0.1, "over_reference": True},
            "tstr_ratio": {"min": 0.9},
        },
    }
    judged = judge(scores, policy)
    assert judged[0].verdict == verdict
    return Scorecard(
        **{
            "dataset": "adult",
            "partition": None,
            "policy": policy,
            "scores": scores,
            "gates": judged,
            "verdict": verdict,
            "judged": {"synthetic": "a" * 64, "protected": "b" * 64, "model": "c" * 64},
            "attempts": 2,
            "details": details(names, levels, wide),
            "checks": checks(),
            "warnings": ("rows are split by their number: between snapshots a person may move across",),
            **changes,
        }
    )


def details(names: tuple[str, ...] = (), levels: tuple[str, ...] = (), wide: int = 0) -> dict[str, Any]:
    draw = np.random.default_rng(7)
    columns = [_histogram(name, draw) for name in ("age", "fnlwgt", "hours-per-week", *names)]
    columns += [_histogram(f"v{i:04d}", draw) for i in range(wide)]
    dated = {**_histogram("seen", draw), "meaning": "datetime"}
    dated["edges"] = [f"2026-{m:02d}-01T00:00:00" for m in range(1, 13)]
    dated["real"], dated["synthetic"] = dated["real"][:11], dated["synthetic"][:11]
    columns += [dated, _levels("sex", ("Male", "Female"), draw), _levels("workclass", (*"ABCDEFGHIJKL", "…"), draw)]
    if levels:
        columns.append(_levels("hostile", levels, draw))
    shown = [column["name"] for column in columns][:60]
    n = len(shown)
    real = np.clip(np.abs(draw.normal(0, 0.3, (n, n))), 0, 1)
    real = (real + real.T) / 2
    np.fill_diagonal(real, 1)
    drawn = np.clip(real + draw.normal(0, 0.05, (n, n)), 0, 1)
    np.fill_diagonal(drawn, 1)
    points = draw.normal(0, 1, (800, 2))
    counts, xs, ys = np.histogram2d(*draw.normal(0, 1, (2, 9000)), bins=28, range=[[-3.5, 3.5]] * 2)
    bins = np.histogram(draw.gamma(2, 0.4, 4000), np.linspace(0, 4, 31))[0]
    return {
        "sizes": {"train": 16_281, "holdout": 16_280, "released": 16_281, "columns": len(columns), "K": 10},
        "columns": columns,
        "associations": {"columns": shown, "real": real.tolist(), "synthetic": drawn.tolist()},
        "pairs": [{"a": shown[0], "b": shown[1], "trend_error": 0.21, "reference": 0.05}],
        "pca": {
            "synthetic": points.tolist(),
            "real_density": {
                "x_edges": xs.tolist(), "y_edges": ys.tolist(), "counts": np.where(counts < 10, 0, counts).tolist()
            },
            "explained": [0.22, 0.13],
        },
        "utility": {
            "target": "income",
            "task": "classification",
            "metric": "AUC",
            "models": [
                {"name": "trained on synthetic", "value": 0.914, "low": 0.909, "high": 0.919},
                {"name": "trained on real", "value": 0.923, "low": 0.918, "high": 0.928},
            ],
        },
        "copying": {
            "share": 0.512, "low": 0.504, "high": 0.52, "pi": 0.5, "excess": 0.021,
            "distances": {
                "edges": np.linspace(0, 4, 31).tolist(), "synthetic_to_train": bins.tolist(),
                "synthetic_to_holdout": bins[::-1].tolist(), "holdout_to_train": bins.tolist(),
            },
            "exact": {"in_train": 14, "in_holdout": 13, "of": 16_281},
            "replay": [{"name": "fnlwgt", "in_train": 31, "in_holdout": 33, "of": 11_000}],
        },
        "constraints": [{"constraint": "education-num ≥ 1", "violations": 0, "of": 16_281}],
        "errors": {"missing_error": "MemoryError"},
        **risks(),
    }  # fmt: skip


def more_scores() -> dict[str, Score]:
    """The attacks, and all that looks at whole rows and at groups."""
    return {
        "near_match_excess": Score(0.001, -0.0004, 0.0024, 0.0, 16_281, detects=0.002, seconds=3.2),
        "cumulative_exposure": Score(0.0004, -0.0002, 0.001, 0.0, 16_281, detects=0.001, seconds=0.4),
        "c_t": Score(0.31, -1.6, 2.3, 0.0, 16_280, detects=-2.8, seconds=2.1),
        "nndr_excess": Score(0.002, -0.004, 0.008, 0.0, 16_281, detects=0.009),
        "authenticity_excess": Score(-0.003, -0.01, 0.005, 0.0, 16_281, detects=0.01),
        "singling_out_univariate": Score(0.021, 0.004, 0.041, 0.0, 500, "12 of 500", detects=0.031, seconds=1.4),
        "singling_out_multivariate": Score(0.009, -0.03, 0.052, 0.0, 500, detects=0.06, seconds=2.4),
        "linkability": Score(0.0, -0.002, 0.004, 0.0, 2_000, detects=0.005, seconds=1.0),
        "attribute_inference": Score(0.033, 0.001, 0.065, 0.0, 2_000, detects=0.05, seconds=14.2),
        "mia_auc": Score(0.512, 0.498, 0.526, 0.5, 4_000, detects=0.52, seconds=8.8),
        "mia_tpr": Score(0.013, 0.006, 0.024, 0.01, 4_000, detects=0.02, seconds=8.8),
        "audit_epsilon": Score(0.31, 0.31, None, 0.0, 400, detects=0.3, seconds=60.0),
        "triple_error": Score(0.08, 0.07, 0.09, 0.075, 16_281),
        "k_marginal": Score(942.0, 930.0, 951.0, 955.0, 16_281),
        "pmse_ratio": Score(1.7, 1.2, 2.4, 1.0, 10_000),
        "precision": Score(0.81, 0.79, 0.83, 0.83, 5_000),
        "recall": Score(0.74, 0.72, 0.76, 0.82, 5_000),
        "density": Score(0.97, 0.93, 1.01, 1.0, 5_000),
        "coverage": Score(0.9, 0.88, 0.92, 0.95, 5_000),
        "trts_ratio": Score(1.01, 0.99, 1.03, 1.0, 16_280),
        "augmentation_gain": Score(0.998, 0.993, 1.003, 1.0, 16_280, detects=0.993),
        "group_shape_error": Score(0.006, -0.01, 0.022, 0.0, 820),
        "group_copy_excess": Score(0.034, -0.04, 0.11, 0.0, 410, detects=0.1),
        "group_tstr_ratio": Score(0.96, 0.9, 1.02, 1.0, 820),
        "demographic_parity_gap": Score(-0.01, -0.04, 0.02, 0.0, 16_280),
        "equalized_odds_gap": Score(0.01, -0.03, 0.05, 0.0, 16_280),
    }


def risks() -> dict[str, Any]:
    """What the attacks, the audit and the looks at groups leave in the details."""

    def attack(name: str, rate: float, control: float, low: float, high: float, n: int, knows: str) -> dict[str, Any]:
        risk = (rate - control) / (1 - control)
        sizes = {"risk": risk, "low": low, "high": high, "n": n, "n_control": n}
        parts = [
            {**sizes, "name": f"part {i}", "rate": rate - i / 300, "control": control, "risk": risk - i / 300}
            for i in range(6)
        ]
        known = {"name": name, "rate": rate, "control": control, "detects": (high - low) * 0.7, "knows": knows}
        return {**known, **sizes, "parts": parts}

    x = np.linspace(0, 1, 101)
    ranks = np.random.default_rng(1).normal(0.502, 0.01, 10)

    def auc(name: str, value: float, n: int, half: float) -> dict[str, Any]:
        return {"name": name, "auc": value, "low": value - half, "high": value + half, "n": n, "n_control": n}

    return {
        "attacks": [
            attack("singling_out_univariate", 0.094, 0.075, 0.004, 0.041, 500, "one column of the synthetic table"),
            attack("singling_out_multivariate", 0.129, 0.121, -0.03, 0.052, 500, "four columns of the synthetic table"),
            attack("linkability", 0.004, 0.004, -0.002, 0.004, 2000, "7 fields in one file, 7 in the other"),
            attack("attribute_inference", 0.41, 0.39, 0.001, 0.065, 2000, "all fields but one"),
        ],
        "membership": {
            "attacks": [
                {**auc(name, 0.5 + i / 250, 4000, 0.014), "tpr": 0.01 + i / 1000, "tpr_low": 0.006, "tpr_high": 0.024}
                for i, name in enumerate(("distance", "calibrated", "density", "classifier"))
            ],
            "fpr": 0.01, "n": 4000, "n_control": 4000,
            "roc": {"name": "classifier", "fpr": x.tolist(), "tpr": (x**0.95).tolist()},
            "groups": [auc("sex = Female", 0.505, 1330, 0.022), auc("sex = Male", 0.51, 2670, 0.016)],
            "deciles": [auc(str(i + 1), float(ranks[i]), 400, 0.04) for i in range(10)],
        },
        "audit": {
            "canaries": 400, "guesses": 200, "right": 124, "epsilon": 0.31, "confidence": 0.95, "level": 0.62,
            "generator": "ctgan",
        },
        "likeness": {"k": 5, "coverage": 0.9},
        "groups": [
            {
                "column": "sex", "group": "Female", "n": 5387, "n_holdout": 5384, "n_synthetic": 5400, "share": 0.331,
                "share_synthetic": 0.332, "shape_error": 0.014, "reference": 0.011, "copy_excess": 0.024,
                "copy_low": -0.01, "copy_high": 0.058, "metric_synthetic": 0.9, "metric_real": 0.921,
            },
            {
                "column": "race", "group": "Other", "n": 131, "n_holdout": 140, "n_synthetic": 0, "share": 0.008,
                "share_synthetic": 0.0, "shape_error": None, "reference": None, "copy_excess": None,
            },
        ],
        "fairness": [
            {"column": "sex", "metric": metric, "synthetic": made, "real": real, "low": low, "high": high}
            for metric, made, real, low, high in (
                ("demographic parity", 0.17, 0.18, -0.04, 0.02), ("equalized odds", 0.09, 0.08, -0.03, 0.05)
            )
        ],
        "corners": [
            {"name": "the 10% most unusual rows", "excess": 0.03, "low": -0.02, "high": 0.08, "n": 900},
            {"name": "a level that 500 real rows share", "excess": 0.01, "low": -0.06, "high": 0.08, "n": 400},
        ],
        "cumulative": {
            "releases": 2, "rows": 48_000, "train": 19, "holdout": 12, "of_train": 16_281, "of_holdout": 16_280
        },
        "not_tested": ["authenticity (a measure of the full set)"],
    }  # fmt: skip


def checks() -> tuple[dict[str, Any], ...]:
    rule = {"blocking": True, "observed": {"rows": 0}, "rows": 16_281}
    return (
        {**rule, "name": "has rows", "passed": True, "note": "16,281 rows"},
        {**rule, "name": "numbers are finite", "passed": True, "note": "kept by all"},
        {
            **rule,
            "name": "no column is empty",
            "passed": False,
            "blocking": False,
            "note": "only missing values: spare (16,281)",
        },
        {**rule, "name": "residual scan", "passed": True, "note": "0 hits outside the surrogates"},
    )


def history() -> list[dict[str, float]]:
    return [{"step": i, "loss": 2.0 / (1 + i / 20), "copy_excess": 0.4 / (1 + i / 5)} for i in range(120)]


def manifest() -> dict[str, Any]:
    return {
        "dataset": "adult",
        "version": "v0003",
        "created_at": "2026-11-22T13:00:00Z",
        "description": "Census income, drawn from a model.",
        "source": {
            "kind": "file",
            "uri": "train.parquet",
            "content_id": "d" * 64,
            "rows": {"train": 16_281, "holdout": 16_280},
        },
        "privacy": {
            "actions": {"email": {"type": "fake", "entity": "email"}},
            "found": [],
            "unit": "row",
            "key_id": "k1",
        },
        "training": {"generator": "trees", "config": {"bins": 64}, "libraries": {"numpy": "2.4"}, "rows": 16_281},
        "generation": {"rows": 16_281, "seed": 0, "shards": 1},
        "validation": {"verdict": "pass"},
        "upstream": {noun: noun[0] * 64 for noun in ("ingested", "protected", "model", "synthetic", "scorecard")},
        "code": {"synth-pipeline": "0.1.0"},
    }


def protections() -> list[dict[str, Any]]:
    return [
        {"column": "email", "entity": "email", "share": 1.0, "action": "fake", "reason": "found by pattern"},
        {"column": "ssn", "entity": "us_ssn", "share": 0.97, "action": {"type": "hash"}, "reason": "found by pattern"},
    ]


def _histogram(name: str, draw: np.random.Generator) -> dict[str, Any]:
    edges = np.linspace(17, 90, 31)
    real, drawn = (np.histogram(draw.gamma(6, 6, 16_000) + 17, edges)[0] for _ in range(2))
    return {
        "name": name, "meaning": "number", "shape_error": 0.021, "reference": 0.012, "wasserstein": 0.03,
        "missing": {"real": 0.01, "synthetic": 0.012}, "kind": "histogram", "edges": edges.tolist(),
        "real": np.where(real < 10, 0, real).tolist(), "synthetic": drawn.tolist(),
    }  # fmt: skip


def _levels(name: str, levels: tuple[str, ...], draw: np.random.Generator) -> dict[str, Any]:
    real = np.sort(draw.integers(20, 6000, len(levels)))[::-1]
    return {
        "name": name, "meaning": "category", "shape_error": 0.011, "reference": None,
        "missing": {"real": 0, "synthetic": 0},
        "kind": "levels", "levels": list(levels), "real": real.tolist(),
        "synthetic": (real * draw.uniform(0.9, 1.1, len(levels))).astype(int).tolist(),
    }  # fmt: skip
