"""Every measure of the tabular modality, put together: scores for the gates and details for the report.

`Findings.details` is JSON, aggregates only: every count of real rows is 0 or ≥ `K`, no real row, no real extreme value.
The publishable report is drawn from it alone.

    {
      "sizes":   {"train", "holdout", "synthetic", "released", "queries": rows; "columns": n; "k": K},
      "columns": [                        # worst shape error first; one per compared column
        {"name", "meaning",
         "shape_error": x, "reference": x | null,     # KS (numbers, dates) or TV (the rest); reference: the holdout's
         "wasserstein": x | null,                     # numbers and dates, in units of train's interquartile spread
         "missing": {"real": share, "synthetic": share},
         "kind": "histogram" | "levels",
         "edges": [number | ISO text] (bins + 1, evenly spaced; both outer bins also hold all beyond; none where
                  train has too few values for edges that are nobody's),                                 # histogram
         "levels": [text],                            # levels: commonest first; "…" last stands for all others
         "real": [count], "synthetic": [count],       # by bin or level; real counts < K are 0; missing values left out
         "rows": {"real": n, "synthetic": n}}         # denominators (non-missing rows); fewer than K are 0 or all
      ],
      "associations": {"columns": [name], "real": [[0..1]], "synthetic": [[0..1]]},   # same order, symmetric
      "pairs": [{"a", "b", "trend_error": x, "reference": x}],      # worst first, at most 30
      "pca":     {"synthetic": [[x, y] …], "real_density": {"x_edges", "y_edges", "counts": [[n, by x][by y]]},
                  "explained": [share, share]},        # counts[i][j]: x bin i, y bin j; cells < K are 0
      "utility": {"target": name | null, "task": "classification" | "regression" | null, "metric": "AUC" | "R²",
                  "models": [{"name": "trained on synthetic" | "trained on real", "value", "low", "high"}],
                  "c2st": {"value", "low", "high", "reference"}},
      "copying": {"share", "low", "high", "pi", "excess",
                  "distances": {"edges": [d], "synthetic_to_train": [n], "synthetic_to_holdout": [n],
                                "holdout_to_train": [n]},          # nearest distances, counts < K are 0
                  "exact": {"in_train": rows, "in_holdout": rows, "of": rows},
                  "replay": [{"name", "in_train": n, "in_holdout": n, "of": n}]},   # distinct near-unique values
      "constraints": [{"constraint": text, "violations": rows, "of": rows}],
      "errors": {measure: text}           # measures that crashed: type of the error only
    }

A part that could not be computed is absent.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from synth_pipeline.evaluation import (
    closeness,
    copying,
    corners,
    cumulative,
    fidelity,
    groups,
    marginals,
    near,
    prdc,
    propensity,
    utility,
)
from synth_pipeline.evaluation.attacks import inference, linkability, membership, singling_out
from synth_pipeline.evaluation.columns import Unfit, compared, is_number, matrix, missing, numbers, subset, texts
from synth_pipeline.evaluation.measuring import Measure, measure_all
from synth_pipeline.evaluation.report.suppress import suppressed_column
from synth_pipeline.evaluation.table import features_of
from synth_pipeline.protocols.measure import Evidence, Findings, Score
from synth_pipeline.records.schema import Column, Meaning

Array = np.ndarray
K = 10
"""Fewest real rows behind any number that may be shown."""
_BINS = 24
_LEVELS = 20
_ROWS = 50_000
_DOTS = 1_000
_CELLS = 30
_FEWEST = 4 * K
"""Values below which no histogram is drawn: quantiles with K rows beyond would lie about the median, as real values."""


def measure(evidence: Evidence) -> Findings:
    """Every measure; one that crashes is recorded with its error and without a value, so that it never passes."""
    with suppress(Unfit):  # where there is nothing to compare, each measure says so
        evidence = replace(evidence, features=features_of(evidence))
    found = measure_all(MEASURES, evidence)
    return replace(found, details={"sizes": _sizes(evidence), **found.details})


def _nearness(evidence: Evidence) -> Findings:
    scores, details = copying.nearness(evidence)
    return Findings(scores, {"copying": details})


def _exact(evidence: Evidence) -> Findings:
    score, details = copying.exact(evidence)
    return Findings({"exact_match_excess": score}, {"copying": {"exact": details}})


def _replay(evidence: Evidence) -> Findings:
    score, details = copying.replay(evidence)
    return Findings({"value_replay_excess": score}, {"copying": {"replay": details}})


def _shapes(evidence: Evidence) -> Findings:
    score, details = fidelity.shapes(evidence)
    return Findings({"shape_error": score}, {"columns": _overlays(evidence, details)})


def _trends(evidence: Evidence) -> Findings:
    score, details = fidelity.trends(evidence)
    return Findings({"trend_error": score}, details)


def _gaps(evidence: Evidence) -> Findings:
    return Findings({"missing_error": fidelity.gaps(evidence)})


def _violations(evidence: Evidence) -> Findings:
    score, details = violations(evidence)
    return Findings({"constraint_violations": score}, {"constraints": details})


def _discernible(evidence: Evidence) -> Findings:
    score, details = utility.discernible(evidence)
    return Findings({"c2st_auc": score}, {"utility": {"c2st": details}})


def _pca(evidence: Evidence) -> Findings:
    return Findings({}, {"pca": _picture(evidence)})


MEASURES = (
    Measure(("copy_excess", "nearest_share"), _nearness, "near copies"),
    Measure(("exact_match_excess",), _exact, "exact copies"),
    Measure(("near_match_excess",), near.near, "copies with one field changed"),
    Measure(("value_replay_excess",), _replay, "replayed values"),
    Measure(("corner_copy_excess",), corners.corners, "copies of unusual records alone"),
    Measure(("cumulative_exposure",), cumulative.cumulative, "what all releases of the source expose together"),
    Measure(
        ("c_t", "nndr_excess", "authenticity_excess"), closeness.closeness, "copies by cells and ratios", full=True
    ),
    Measure(("singling_out_univariate",), singling_out.univariate, "singling out by one field"),
    Measure(("singling_out_multivariate",), singling_out.multivariate, "singling out by several fields"),
    Measure(("linkability",), linkability.linkability, "linking two tables"),
    Measure(
        ("attribute_inference", "attribute_inference_overall"),
        inference.attribute_inference,
        "guessing a field from the others",
    ),
    Measure(("mia_auc", "mia_tpr"), membership.membership, "telling who was in the data"),
    Measure(("shape_error",), _shapes, "the shape of columns"),
    Measure(("trend_error",), _trends, "relations between columns"),
    Measure(("triple_error", "k_marginal"), marginals.marginals, "relations of three columns"),
    Measure(("missing_error",), _gaps, "missing values"),
    Measure(("constraint_violations",), _violations, "constraints"),
    Measure(("c2st_auc",), _discernible, "telling real from synthetic"),
    Measure(("pmse_ratio",), propensity.pmse, "propensity of being synthetic"),
    Measure(("precision", "recall", "density", "coverage"), prdc.prdc, "precision and recall of the distribution"),
    Measure(("tstr_ratio", "trts_ratio", "augmentation_gain"), utility.usefulness, "use for machine learning"),
    Measure(
        ("group_shape_error", "group_copy_excess", "group_tstr_ratio", "demographic_parity_gap", "equalized_odds_gap"),
        groups.groups,
        "groups and fairness",
    ),
    Measure((), _pca, "picture"),
)
"""In the order of the report: what the gates are about first."""


def violations(evidence: Evidence) -> tuple[Score, list[dict[str, Any]]]:
    """`constraint_violations`: the part of the released rows that break any constraint; all rows, so it is exact."""
    from synth_pipeline.features import constraints as rules

    rows = evidence.released.num_rows
    if not rows:
        raise Unfit("no rows to compare")
    broken = np.zeros(rows, bool)
    details = []
    for constraint in evidence.constraints:
        mask = rules.violations(constraint, evidence.released, evidence.train)
        broken |= mask
        named = ", ".join(rules.involved(constraint))
        details.append({"constraint": f"{constraint.type}: {named}", "violations": int(mask.sum()), "of": rows})
    note = f"{len(evidence.constraints)} constraints" if evidence.constraints else "no constraint is declared"
    return Score(float(broken.mean()), reference=0.0, n=rows, note=note), details


def _sizes(evidence: Evidence) -> dict[str, int]:
    return {
        "train": evidence.train.num_rows,
        "holdout": evidence.holdout.num_rows,
        "synthetic": evidence.synthetic.num_rows,
        "released": evidence.released.num_rows,
        "queries": min(evidence.queries, evidence.synthetic.num_rows),
        "columns": len(compared(evidence.train, evidence.holdout, evidence.synthetic)),
        "K": K,
    }


def _overlays(evidence: Evidence, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is drawn of each column, worst first."""
    rng = evidence.seeds.child("overlays").generator()
    train, synthetic = subset(evidence.train, _ROWS, rng), subset(evidence.synthetic, _ROWS, rng)
    by_name = {column.name: column for column in compared(train, evidence.holdout, synthetic)}
    out = []
    for note in sorted(found, key=lambda item: (-item["shape_error"], item["name"])):
        column = by_name[note["name"]]
        gone = [missing(side, column) for side in (train, synthetic)]
        drawn = _histogram(column, train, synthetic) if is_number(column) else _bars(column, train, synthetic)
        shown = {
            **note,
            "missing": {"real": float(gone[0].mean()), "synthetic": float(gone[1].mean())},
            **drawn,
            "rows": {"real": int((~gone[0]).sum()), "synthetic": int((~gone[1]).sum())},
        }
        out.append(suppressed_column(shown, K, train.num_rows))
    return out


def _histogram(column: Column, train: pa.Table, synthetic: pa.Table) -> dict[str, Any]:
    values = [v[np.isfinite(v)] for v in (numbers(side, column.name) for side in (train, synthetic))]
    if len(values[0]) < _FEWEST:
        return {"kind": "histogram", "edges": [], "real": [], "synthetic": []}
    edges = _edges(values[0])
    counts = [np.histogram(np.clip(v, edges[0], edges[-1]), edges)[0] for v in values]
    told: list[Any] = [float(f"{edge:.6g}") for edge in edges]
    if column.meaning is Meaning.DATETIME and pa.types.is_temporal(column.type):
        told = _dates(edges, column.type)
    return {"kind": "histogram", "edges": told, "real": _shown(counts[0]), "synthetic": counts[1].tolist()}


def _edges(values: Array) -> Array:
    """Even bins between quantiles that at least K real rows lie beyond, rounded outwards to two digits of the width:
    no edge is anybody's value."""
    tail = max(0.005, K / len(values))
    low, high = (float(end) for end in np.quantile(values, [tail, 1 - tail]))
    width = high - low
    if not np.isfinite(width) or width <= 0:
        step = 10.0 ** (np.floor(np.log10(abs(low))) - 1) if low and np.isfinite(low) else 1.0
        low = high = float(np.clip(low, -1e300, 1e300))
    else:
        step = 10.0 ** (np.floor(np.log10(width)) - 1)
    low, high = np.floor(low / step) * step, np.ceil(high / step) * step
    return np.linspace(low, high if high > low else low + step, _BINS + 1)


def _dates(edges: Array, kind: pa.DataType) -> list[Any]:
    if pa.types.is_date(kind):
        plain = pa.array(edges.astype(np.int64), pa.timestamp("us"))
    elif pa.types.is_timestamp(kind):
        plain = pa.array(edges.astype(np.int64), pa.timestamp(kind.unit))
    else:
        return [float(edge) for edge in edges]
    return [
        moment.as_py().isoformat(sep=" ", timespec="minutes") for moment in plain.cast(pa.timestamp("s"), safe=False)
    ]


def _bars(column: Column, train: pa.Table, synthetic: pa.Table) -> dict[str, Any]:
    real, drawn = (
        {row["values"]: row["counts"] for row in texts(side, column.name).drop_null().value_counts().to_pylist()}
        for side in (train, synthetic)
    )
    shown = sorted((level for level, n in real.items() if n >= K), key=lambda level: (-real[level], level))[:_LEVELS]
    counts = [[side.get(level, 0) for level in shown] for side in (real, drawn)]
    rest = [sum(side.values()) - sum(part) for side, part in zip((real, drawn), counts, strict=True)]
    if any(rest):
        shown, counts = [*shown, "…"], [[*part, more] for part, more in zip(counts, rest, strict=True)]
    return {"kind": "levels", "levels": shown, "real": _shown(np.array(counts[0], int)), "synthetic": counts[1]}


def _picture(evidence: Evidence) -> dict[str, Any]:
    """Two principal components of train's standardised columns: synthetic rows as dots, real ones as density."""
    cols = compared(evidence.train, evidence.holdout, evidence.synthetic)
    rng = evidence.seeds.child("pca").generator()
    train, synthetic = subset(evidence.train, _ROWS, rng), subset(evidence.synthetic, _DOTS, rng)
    real, drawn = _features(train, synthetic, cols)
    with np.errstate(over="ignore", invalid="ignore"):
        centre, spread = real.mean(0), real.std(0)
    keep = (spread > 1e-9) & np.isfinite(spread)
    if keep.sum() < 2 or len(real) < 3:
        raise Unfit("too few rows or varying columns for a picture")
    real, drawn = ((side[:, keep] - centre[keep]) / spread[keep] for side in (real, drawn))
    values, vectors = np.linalg.eigh(np.cov(real, rowvar=False))
    axes = vectors[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), [0, 1]])  # an axis has no sign of its own: fix one
    spots, dots = real @ axes, drawn @ axes
    edges = []
    for axis in range(2):
        low, high = np.quantile(spots[:, axis], [0.005, 0.995])
        edges.append(np.linspace(np.floor(low), max(np.ceil(high), np.floor(low) + 1), _CELLS + 1))
    counts, _, _ = np.histogram2d(spots[:, 0], spots[:, 1], edges)
    counts = np.where(counts >= K, counts, 0).astype(int)
    return {
        "synthetic": np.round(dots, 3).tolist(),
        "real_density": {
            "x_edges": np.round(edges[0], 4).tolist(),
            "y_edges": np.round(edges[1], 4).tolist(),
            "counts": counts.tolist(),
        },
        "explained": [round(float(v / values.sum()), 4) for v in values[::-1][:2]],
    }


def _features(train: pa.Table, synthetic: pa.Table, cols: list[Column]) -> tuple[Array, Array]:
    """Numbers clipped to train's 1st to 99th percentile, missing ones at its median; the commonest levels as 0 or 1."""
    (real, drawn), levels = matrix((train, synthetic), (train, synthetic), cols)
    parts: list[list[Array]] = [[], []]
    for place, level in enumerate(levels):
        sides = real[:, place], drawn[:, place]
        if level:
            common = np.argsort(-np.bincount(sides[0][~np.isnan(sides[0])].astype(int), minlength=1))[:8]
            for part, side in zip(parts, sides, strict=True):
                part.extend((side == code).astype(float) for code in common)
        elif np.isfinite(sides[0]).any():
            low, middle, high = np.nanquantile(sides[0], [0.01, 0.5, 0.99])
            for part, side in zip(parts, sides, strict=True):
                part.append(np.clip(np.where(np.isnan(side), middle, side), low, high))
    if not parts[0]:
        raise Unfit("no column for a picture")
    return np.stack(parts[0], 1), np.stack(parts[1], 1)


def _shown(counts: Array) -> list[int]:
    return np.where(counts >= K, counts, 0).astype(int).tolist()
