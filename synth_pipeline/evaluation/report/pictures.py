"""What the details hold, drawn: columns, associations, principal components, copying, utility, training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

from synth_pipeline.evaluation.report import charts, words
from synth_pipeline.evaluation.report.attacks import by_part, deciles
from synth_pipeline.evaluation.report.charts import number, percent
from synth_pipeline.evaluation.report.forest import forest
from synth_pipeline.evaluation.report.tables import Table, short
from synth_pipeline.evaluation.report.verdicts import card
from synth_pipeline.evaluation.scorecard import Scorecard

OPEN = 12
"""Columns shown before the rest is folded away."""


def columns(scorecard: Scorecard, details: Mapping[str, Any], most: int) -> dict[str, Any] | None:
    """Overlays, worst first; `most` of them drawn, the others named with their numbers."""
    notes = list(details.get("columns") or ())
    if not notes:
        return None
    absent = {"meaning": "", "shape_error": None, "reference": None, "missing": None}
    drawn = [{**absent, **note, "chart": _overlay(note)} for note in notes[:most]]
    rest, shown = notes[most:], notes[most : most + 20 * most]
    told = _average(scorecard, "shape_error") + (f" The {most} worst of {len(notes):,} are drawn." if rest else "")
    listed = Table(
        "The remaining columns",
        ("Column", "Meaning", "Shape error", "Held-out rows"),
        ("", "", "n", "n"),
        [
            (short(n["name"], 60), n.get("meaning", ""), number(n.get("shape_error")), number(n.get("reference")))
            for n in shown
        ],
        f"{len(rest) - len(shown):,} more are in the scorecard." if len(rest) > len(shown) else "",
    )
    return {"told": told, "first": drawn[:OPEN], "more": drawn[OPEN:], "rest": listed if rest else None}


def _average(scorecard: Scorecard, name: str) -> str:
    """A measure as a sentence's end, for the sections that show where it comes from."""
    score, about = scorecard.scores.get(name), words.of(name)
    if score is None or score.value is None:
        return ""
    beside = f" (held-out rows: {about.show(score.reference)})" if score.reference is not None else ""
    return f" On average they are {about.show(score.value)} apart{beside}."


def _overlay(note: Mapping[str, Any]) -> Any:
    real, synthetic = note.get("real") or (), note.get("synthetic") or ()
    if note.get("kind") == "histogram":
        if not note.get("edges"):
            return Markup('<p class="note">Too few real values to be drawn.</p>')
        return charts.histogram(note.get("edges") or (), real, synthetic, name=short(note["name"]))
    return charts.levels(note.get("levels") or (), real, synthetic, name=short(note["name"]))


def associations(scorecard: Scorecard, details: Mapping[str, Any]) -> dict[str, Any] | None:
    note = details.get("associations") or {}
    names = [short(name) for name in note.get("columns") or ()]
    if len(names) < 2:
        return None
    real, synthetic = note["real"], note["synthetic"]
    cut = slice(0, charts.MAX_MATRIX)
    difference = [
        [None if a is None or b is None else b - a for a, b in zip(x[cut], y[cut], strict=True)]
        for x, y in zip(real[cut], synthetic[cut], strict=True)
    ]
    pairs = [
        (f"{short(p['a'], 40)} × {short(p['b'], 40)}", number(p["trend_error"]), number(p.get("reference")))
        for p in (details.get("pairs") or ())[:8]
    ]
    return {
        "told": _average(scorecard, "trend_error")
        + (f" The first {charts.MAX_MATRIX} of {len(names):,} columns." if len(names) > charts.MAX_MATRIX else ""),
        "real": charts.matrix(names, real),
        "synthetic": charts.matrix(names, synthetic),
        "difference": charts.matrix(names, difference, scale="difference"),
        "pairs": Table("Pairs of columns", ("Pair", "Error", "Held-out rows"), ("t", "n", "n"), pairs)
        if pairs
        else None,
    }


def pca(details: Mapping[str, Any]) -> dict[str, Any] | None:
    note = details.get("pca") or {}
    if not note.get("synthetic"):
        return None
    explained = note.get("explained")
    return {
        "chart": charts.scatter(note["synthetic"], note.get("real_density") or {}),
        "explained": percent(sum(explained)) if explained else "",
    }


def utility(scorecard: Scorecard, details: Mapping[str, Any]) -> dict[str, Any] | None:
    note = details.get("utility") or {}
    gated = {gate.name for gate in scorecard.gates}
    measured = [
        card(scorecard, name)
        for name in ("tstr_ratio", "trts_ratio", "augmentation_gain", "c2st_auc")
        if name in scorecard.scores and name not in gated and scorecard.scores[name].value is not None
    ]
    models = [
        {**model, "kind": "synthetic" if "synthetic" in model.get("name", "") else "real"}
        for model in note.get("models") or ()
    ]
    if not models and not measured:
        return None
    told = "How useful the synthetic table is in place of the real one."
    if note.get("target"):
        told = f"A model that predicts “{short(note['target'])}”, once learned from synthetic and once from real rows."
    elif not models:
        told += " No target column is declared (`roles: [target]`), so that no model was trained."
    return {
        "told": told,
        "title": f"{note.get('metric') or 'Score'} on unseen real rows",
        "bars": charts.bars(models),
        "measures": measured,
    }


def training(history: Iterable[Mapping[str, Any]]) -> list[tuple[str, Any, float]]:
    """One curve per value that the generator reported, at most twelve."""
    series: dict[str, list[tuple[float, float]]] = {}
    for place, point in enumerate(history):
        step = point.get("step", place)
        for name, value in point.items():
            if name != "step" and isinstance(value, int | float) and not isinstance(value, bool):
                series.setdefault(str(name), []).append((float(step), float(value)))
    return [(name, charts.lines(points, name=short(name)), points[-1][1]) for name, points in list(series.items())[:12]]


def likeness(scorecard: Scorecard, details: Mapping[str, Any]) -> dict[str, Any] | None:
    """Measures of the whole table's likeness that no gate shows already."""
    gated = {gate.name for gate in scorecard.gates}
    found = {n: s for n, s in scorecard.scores.items() if s.value is not None and math.isfinite(s.value)}
    manifold = [
        {"name": words.of(name).title, "value": s.value, "low": s.low, "high": s.high, "mark": s.reference}
        for name, s in found.items()
        if name in _MANIFOLD
    ]
    cards = [card(scorecard, name) for name in _LIKENESS if name in found and name not in gated]
    if not manifold and not cards:
        return None
    return {
        "manifold": forest(manifold, "Where rows lie", show=number, span=(0.0, 1.0)),
        "means": [(words.of(name).title, f"{words.of(name).means} {words.of(name).good}") for name in _MANIFOLD],
        "cards": cards,
    }


_MANIFOLD = ("precision", "recall", "density", "coverage")
_LIKENESS = ("triple_error", "k_marginal", "pmse_ratio")


def copying(scorecard: Scorecard, details: Mapping[str, Any]) -> dict[str, Any] | None:
    gated = {gate.name for gate in scorecard.gates}
    names = [n for n in scorecard.scores if words.of(n).group == "copying" and n not in gated]
    note, sizes = details.get("copying") or {}, details.get("sizes") or {}
    distances = note.get("distances") or {}
    series = [
        ("synthetic to training", distances.get("synthetic_to_train", ()), "synthetic"),
        ("held-out to training", distances.get("holdout_to_train", ()), "holdout"),
    ]
    parts = {
        name: by_part(rows, f"Copy excess by {name}", _excess(rows), chance=0.0, show=percent, span=(-0.05, 0.1))
        for name, rows in (
            ("group", note.get("groups")),
            ("decile", deciles(note.get("deciles"))),
            ("corner", (details.get("corners") or ())[:12]),
        )
    }
    found = {
        "measures": [card(scorecard, name) for name in names],
        "distances": charts.curves(distances["edges"], series) if distances.get("edges") else "",
        "ratio": sizes["train"] / sizes["holdout"] if sizes.get("train", 0) > 1.2 * sizes.get("holdout", 1e9) else None,
        "exact": _met(note.get("exact") or {}, "equal to"),
        "exact_of": (note.get("exact") or {}).get("of"),
        "near": _met(note.get("near") or {}, "nearly equal to"),
        "near_of": (note.get("near") or {}).get("of"),
        "groups": parts["group"],
        "deciles": parts["decile"],
        "corners": parts["corner"],
        "corners_of": len(details.get("corners") or ()),
        "cumulative": _cumulative(details.get("cumulative") or {}),
        "replay": Table(
            "Nearly unique values that came back",
            ("Column", "In training", "In held-out", "Of released values"),
            ("", "n", "n", "n"),
            [
                (short(r["name"]), number(r["in_train"]), number(r["in_holdout"]), number(r["of"]))
                for r in note["replay"]
            ],
        )
        if note.get("replay")
        else None,
    }
    return found if names or any(found[key] for key in _SHOWN) else None


_SHOWN = ("distances", "exact", "near", "replay", "groups", "deciles", "corners", "cumulative")


def _excess(rows: Any) -> str:
    return "excess" if rows and "excess" in rows[0] else "value"


def _met(note: Mapping[str, Any], how: str) -> Any:
    """Bars of rows that met a training row, and a held-out one."""
    if not note.get("of") or "in_train" not in note:
        return ""
    rows = [
        {"name": f"{how} a training row", "value": note["in_train"], "kind": "synthetic"},
        {"name": f"{how} a held-out row", "value": note["in_holdout"], "kind": "real"},
    ]
    return charts.bars(rows, spoken="Released rows")


def _cumulative(note: Mapping[str, Any]) -> str:
    """Earlier releases and this one, in one sentence."""
    if not note.get("releases"):
        return ""
    many = f"{number(note['releases'])} earlier release{'s' if note['releases'] != 1 else ''}"
    said = f"Together with {many} from the same source this makes {number(note.get('rows'))} published rows"
    if note.get("of_train") and "train" in note:
        said += f"; among them {number(note['train'])} of {number(note['of_train'])} training people are repeated, and "
        said += f"{number(note.get('holdout'))} of {number(note.get('of_holdout'))} held-out ones, by chance"
    return said + "."
