"""The last hand that details pass through before they leave the house: it takes out small counts of real rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from synth_pipeline.evaluation.report import words
from synth_pipeline.protocols.measure import Score

K = 10


def suppressed(details: Mapping[str, Any]) -> dict[str, Any]:
    """The details with every count of fewer than k real rows set to nought; levels too rare to show join the others."""
    k = max(K, int((details.get("sizes") or {}).get("K", K)))
    safe = dict(details)
    if "columns" in safe:
        train = int((details.get("sizes") or {}).get("train", 0))
        safe["columns"] = [_gaps(_column(column, k), k, train) for column in safe["columns"]]
    if density := (safe.get("pca") or {}).get("real_density"):
        counts = [_counts(row, k) for row in density["counts"]]
        safe["pca"] = {**safe["pca"], "real_density": {**density, "counts": counts}}
    if copying := safe.get("copying"):
        safe["copying"] = {key: value for key, value in copying.items() if key not in ("replay", "exact")}
        if distances := copying.get("distances"):
            shown = {key: _counts(v, k) for key, v in distances.items() if key != "edges"}
            safe["copying"]["distances"] = {"edges": distances["edges"], **shown}
    return safe


def without_counts(scores: Mapping[str, Score]) -> dict[str, Score]:
    """Scores less the notes of those that match single rows: a note counts them one by one."""
    return {
        name: replace(score, note="") if words.of(name).group == "copying" else score for name, score in scores.items()
    }


def _column(column: Mapping[str, Any], k: int) -> dict[str, Any]:
    real, synthetic = column.get("real", ()), column.get("synthetic", ())
    if column.get("kind") != "levels":
        return {**column, "real": _counts(real, k)}
    kept: list[tuple[str, int, int]] = []
    other = [0, 0]
    for level, count, drawn in zip(column.get("levels", ()), real, synthetic, strict=False):
        if level != "…" and (count >= k or count == 0):  # a level with no real row is the model's own
            kept.append((level, count, drawn))
        else:
            other = [other[0] + count, other[1] + drawn]
    if any(other):
        kept.append(("…", other[0] if other[0] >= k else 0, other[1]))
    return {
        **column,
        "levels": [level for level, _, _ in kept],
        "real": [count for _, count, _ in kept],
        "synthetic": [drawn for _, _, drawn in kept],
    }


def _gaps(column: dict[str, Any], k: int, rows: int) -> dict[str, Any]:
    """A share of missing values that fewer than k rows make is none."""
    missing = column.get("missing")
    if not missing or not missing.get("real") or missing["real"] * rows >= k:
        return column
    return {**column, "missing": {**missing, "real": 0.0}}


def _counts(counts: Sequence[int], k: int) -> list[int]:
    return [int(count) if count >= k else 0 for count in counts]
