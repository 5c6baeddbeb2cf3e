"""The last hand that a scorecard passes through before it leaves the house: it takes out small counts of real rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from synth_pipeline.evaluation.report import words
from synth_pipeline.evaluation.scorecard import Gate, Scorecard
from synth_pipeline.protocols.measure import Score

K = 10
COUNTED = frozenset(
    {
        "exact_match_excess",
        "near_match_excess",
        "value_replay_excess",
        "cumulative_exposure",
        "singling_out_univariate",
        "singling_out_multivariate",
        "linkability",
        "attribute_inference",
        "attribute_inference_overall",
        "mia_tpr",
    }
)
"""Measures that are, at bottom, a count of people over n: with all digits the count could be had back."""
_SPOKEN = ("fidelity", "utility")
"""Groups whose notes hold no count of persons."""


def published(scorecard: Scorecard) -> Scorecard:
    """The scorecard less what only the house may see."""
    k = _k(scorecard.details)
    sizes = {name: score.n for name, score in scorecard.scores.items()}
    return replace(
        scorecard,
        details=suppressed(scorecard.details),
        scores=without_counts(scorecard.scores, k),
        gates=tuple(_gate(gate, sizes.get(gate.name, 0), k) for gate in scorecard.gates),
    )


def suppressed(details: Mapping[str, Any]) -> dict[str, Any]:
    """The details with every count of fewer than k real rows set to nought; what is not known to be safe is left out.

    Levels too rare to show join the others; rates are told in steps that stand for at least k people.
    """
    k = _k(details)
    train = int((details.get("sizes") or {}).get("train", 0))
    safe: dict[str, Any] = {key: details[key] for key in _AS_THEY_ARE if key in details}
    if "columns" in details:
        safe["columns"] = [suppressed_column(column, k, train) for column in details["columns"]]
    for name, make in _PARTS.items():
        if details.get(name) and (kept := make(details[name], k)):
            safe[name] = kept
    return safe


def suppressed_column(column: Mapping[str, Any], k: int, train: int) -> dict[str, Any]:
    """One column's note, in which no count of real rows lies between 0 and k, nor follows from the others."""
    return _gaps(_column(column, k), k, train)


def without_counts(scores: Mapping[str, Score], k: int = K) -> dict[str, Score]:
    """Scores less the notes of those that are about persons, and less the digits that would count single ones."""
    return {name: _score(name, score, k) for name, score in scores.items()}


def coarse(value: float | None, n: float, k: int = K, way: int = 0) -> float | None:
    """A share of n in steps that stand for at least k of them; `way`: -1 rounds down, 1 up."""
    if value is None or not math.isfinite(value):
        return value
    if n < k:
        return None
    power = 10.0 ** math.floor(math.log10(k / n))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= k / n * (1 - 1e-9))
    times = value / step
    whole = round(times) if way == 0 else math.floor(times + 1e-9) if way < 0 else math.ceil(times - 1e-9)
    return float(f"{whole * step:.6g}")


def _k(details: Mapping[str, Any]) -> int:
    return max(K, int((details.get("sizes") or {}).get("K", K)))


def _score(name: str, score: Score, k: int) -> Score:
    about = words.of(name).group
    if about not in _SPOKEN and any(letter.isdigit() for letter in score.note):
        score = replace(score, note="" if score.value is not None else "not measurable")
    if about in words.PRIVACY or about == "fairness":
        if 0 < score.n < k:
            return Score(None, error="too few people to be shown" if score.value is not None else score.error)
        if name in COUNTED and score.n:
            return replace(
                score,
                value=coarse(score.value, score.n, k),
                low=coarse(score.low, score.n, k, -1),
                high=coarse(score.high, score.n, k, 1),
                reference=coarse(score.reference, score.n, k),
                detects=coarse(score.detects, score.n, k, 1),
            )
    return score


def _gate(gate: Gate, n: int, k: int) -> Gate:
    about = words.of(gate.name).group
    if about not in words.PRIVACY and about != "fairness":
        return gate
    if 0 < n < k:
        return replace(gate, value=None, low=None, high=None, reason="too few people to be shown")
    if gate.name not in COUNTED or gate.value is None or not n:
        return gate
    low, high = coarse(gate.low, n, k, -1), coarse(gate.high, n, k, 1)
    if gate.verdict == "pass" and low is not None and high is not None:  # rounding must not seem to break the limit
        if gate.high is not None and gate.high <= gate.threshold:
            high = min(high, gate.threshold)
        if gate.low is not None and gate.low >= gate.threshold:
            low = max(low, gate.threshold)
    return replace(gate, value=coarse(gate.value, n, k), low=low, high=high, reason="")


def _copying(note: Mapping[str, Any], k: int) -> dict[str, Any]:
    kept = ("share", "low", "high", "pi", "excess")
    safe: dict[str, Any] = {key: note[key] for key in kept if key in note}
    if distances := note.get("distances"):
        shown = {key: _counts(v, k) for key, v in distances.items() if key != "edges"}
        safe["distances"] = {"edges": distances["edges"], **shown}
    for name in ("groups", "deciles"):
        if ranked := _ranked(note.get(name) or (), k, ("excess", "value", "low", "high", "share")):
            safe[name] = ranked
    return safe


def _density(note: Mapping[str, Any], k: int) -> dict[str, Any]:
    if not (density := note.get("real_density")):
        return dict(note)
    return {**note, "real_density": {**density, "counts": [_counts(row, k) for row in density["counts"]]}}


def _attacks(entries: Sequence[Mapping[str, Any]], k: int) -> list[dict[str, Any]]:
    told = ("name", "knows")
    return [
        {
            **{key: entry[key] for key in told if key in entry},
            **_rates(entry, k),
            "beyond": _beyond(entry),  # rounding must not hide what was proved
            "parts": [
                {"name": part.get("name"), **_rates(part, k)} for part in entry.get("parts") or () if _many(part, k)
            ],
        }
        for entry in entries
        if _many(entry, k)
    ]


def _beyond(entry: Mapping[str, Any]) -> bool:
    low = entry.get("low")
    return bool(entry.get("beyond", low is not None and low > 0))


def _rates(note: Mapping[str, Any], k: int) -> dict[str, Any]:
    """An attack's figures in steps of k people."""
    n = min(note["n"], note["n_control"])
    ways = {"rate": 0, "control": 0, "risk": 0, "low": -1, "high": 1, "detects": 1}
    sizes = {"n": _tens(note["n"], k), "n_control": _tens(note["n_control"], k)}
    return {key: coarse(note.get(key), n, k, way) for key, way in ways.items() if key in note} | sizes


def _membership(note: Mapping[str, Any], k: int) -> dict[str, Any]:
    if not _many(note, k):
        return {}
    n, control = note["n"], note["n_control"]
    tails = {"tpr": 0, "tpr_low": -1, "tpr_high": 1}
    safe: dict[str, Any] = {"fpr": note.get("fpr"), "n": _tens(n, k), "n_control": _tens(control, k)}
    safe["attacks"] = [
        {"name": attack.get("name")}
        | {key: _digits(attack.get(key)) for key in ("auc", "low", "high")}
        | {key: coarse(attack.get(key), n, k, way) for key, way in tails.items()}
        for attack in note.get("attacks") or ()
    ]
    if curve := note.get("roc"):
        points = zip(curve.get("fpr") or (), curve.get("tpr") or (), strict=False)
        steps = sorted({(coarse(x, control, k), coarse(y, n, k)) for x, y in points})
        safe["roc"] = {"name": curve.get("name"), "fpr": [x for x, _ in steps], "tpr": [y for _, y in steps]}
    for name in ("groups", "deciles"):
        if ranked := _ranked(note.get(name) or (), k, ("auc", "low", "high")):
            safe[name] = ranked
    return safe


def _ranked(parts: Sequence[Mapping[str, Any]], k: int, values: Sequence[str]) -> list[dict[str, Any]]:
    """Parts with enough people on both sides, to three digits."""
    return [
        {"name": part.get("name")}
        | {key: _digits(part[key]) for key in values if key in part}
        | {key: _tens(part[key], k) for key in ("n", "n_control", "n_holdout") if part.get(key) is not None}
        for part in parts
        if _many(part, k)
    ]


def _audit(note: Mapping[str, Any], k: int) -> dict[str, Any]:
    if (note.get("canaries") or 0) < k or (note.get("guesses") or 0) < k:
        return {}
    kept = ("canaries", "guesses", "epsilon", "confidence", "generator")
    return {key: note[key] for key in kept if key in note} | {"level": coarse(note.get("level"), note["guesses"], k)}


def _groups(found: Sequence[Mapping[str, Any]], k: int) -> list[dict[str, Any]]:
    return [_group(group, k) for group in found if (group.get("n") or 0) >= k]


def _group(group: Mapping[str, Any], k: int) -> dict[str, Any]:
    """One group; its size in tens, so that no group left out follows from the others."""
    n, held = int(group["n"]), int(group.get("n_holdout") or 0)
    safe = {key: group[key] for key in ("column", "group", "n_synthetic", "share_synthetic", "absent") if key in group}
    safe |= {"n": _tens(n, k), "n_holdout": _tens(held, k) if held >= k else None}
    if (share := group.get("share")) is not None:
        safe["share"] = coarse(share, n / share, k) if share > 0 else 0.0
    for key in ("shape_error", "copy_excess", "copy_low", "copy_high"):
        if key in group:
            safe[key] = _digits(group[key])
    if held >= k:
        safe["reference"] = _digits(group.get("reference"))
        safe |= {key: coarse(group[key], held, k) for key in ("metric_synthetic", "metric_real") if key in group}
    return safe


def _fairness(gaps: Sequence[Mapping[str, Any]], k: int) -> list[dict[str, Any]]:
    told, values = ("column", "metric"), ("synthetic", "real", "low", "high")
    return [
        {key: gap[key] for key in told if key in gap} | {key: _digits(gap[key], 2) for key in values if key in gap}
        for gap in gaps
    ]


def _likeness(note: Mapping[str, Any], k: int) -> dict[str, Any]:
    """Figures only, three digits of them; whole numbers that may be small counts stay out."""
    safe: dict[str, Any] = {}
    for key, value in note.items():
        if isinstance(value, Mapping):
            safe[key] = _likeness(value, k)
        elif isinstance(value, bool) or (isinstance(value, int) and value >= k):
            safe[key] = value
        elif isinstance(value, float):
            safe[key] = _digits(value)
    return safe


def _cumulative(note: Mapping[str, Any], k: int) -> dict[str, Any]:
    return {key: note[key] for key in ("releases", "rows") if key in note}


_PARTS: dict[str, Callable[[Any, int], Any]] = {
    "pca": _density,
    "copying": _copying,
    "attacks": _attacks,
    "membership": _membership,
    "audit": _audit,
    "likeness": _likeness,
    "groups": _groups,
    "fairness": _fairness,
    "cumulative": _cumulative,
    "corners": lambda found, k: _ranked(found, k, ("excess", "low", "high")),
}
_AS_THEY_ARE = ("sizes", "associations", "pairs", "utility", "constraints", "errors", "not_tested")


def _many(part: Mapping[str, Any], k: int) -> bool:
    """Whether a part has k people on each side that it counts."""
    sides = [part[key] for key in ("n", "n_control", "n_holdout") if part.get(key) is not None]
    return bool(sides) and min(sides) >= k


def _tens(count: int, k: int) -> int:
    return int(count) // k * k


def _digits(value: Any, digits: int = 3) -> Any:
    return round(value, digits) if isinstance(value, float) and math.isfinite(value) else value


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
