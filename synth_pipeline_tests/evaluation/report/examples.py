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
