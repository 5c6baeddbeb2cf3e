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
        safe["columns"] = [suppressed_column(column, k, train) for column in safe["columns"]]
    if density := (safe.get("pca") or {}).get("real_density"):
        counts = [_counts(row, k) for row in density["counts"]]
        safe["pca"] = {**safe["pca"], "real_density": {**density, "counts": counts}}
    if copying := safe.get("copying"):
        safe["copying"] = {key: value for key, value in copying.items() if key not in ("replay", "exact")}
        if distances := copying.get("distances"):
            shown = {key: _counts(v, k) for key, v in distances.items() if key != "edges"}
            safe["copying"]["distances"] = {"edges": distances["edges"], **shown}
    return safe


def suppressed_column(column: Mapping[str, Any], k: int, train: int) -> dict[str, Any]:
    """One column's note, in which no count of real rows lies between 0 and k, nor follows from the others."""
    return _gaps(_column(column, k), k, train)


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


def _gaps(column: dict[str, Any], k: int, train: int) -> dict[str, Any]:
    """Missing and present rows: where fewer than k are either, all are the other. What is left over beside the counts
    shown is told by them as well: the commonest takes it in where it is small."""
    missing, rows = column.get("missing"), column.get("rows")
    if not missing or missing.get("real") is None:
        return column
    share = float(missing["real"])
    if not rows:
        return {**column, "missing": {**missing, "real": 0.0}} if share * train < k else column
    present = int(rows.get("real") or 0)
    gone = round(present * share / (1 - share)) if share < 1 else max(train - present, 0)
    looked_at, counts = present + gone, list(column.get("real") or ())
    if present < k:
        present, gone, counts = 0, looked_at if gone >= k else 0, [0] * len(counts)
    elif gone < k:
        present, gone = looked_at, 0
    if 0 < (left := present - sum(counts)) < k and any(counts):
        counts[counts.index(max(counts))] += left
    return {
        **column,
        "real": counts,
        "missing": {**missing, "real": gone / looked_at if looked_at else 0.0},
        "rows": {**rows, "real": present},
    }


def _counts(counts: Sequence[int], k: int) -> list[int]:
    return [int(count) if count >= k else 0 for count in counts]
