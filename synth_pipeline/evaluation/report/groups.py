"""Groups of people side by side: how well each is drawn, how it is protected, how it is served."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from synth_pipeline.evaluation.report import words
from synth_pipeline.evaluation.report.attacks import interval
from synth_pipeline.evaluation.report.charts import number, percent
from synth_pipeline.evaluation.report.forest import forest
from synth_pipeline.evaluation.report.svg import finite
from synth_pipeline.evaluation.report.tables import Table, short, table
from synth_pipeline.evaluation.report.verdicts import card
from synth_pipeline.evaluation.report.wording import signed
from synth_pipeline.evaluation.scorecard import Scorecard

MOST = 60
"""Groups that are shown."""
_METRICS = {"demographic parity": "unequal predictions", "equalized odds": "unequal errors"}


def groups(scorecard: Scorecard, details: Mapping[str, Any]) -> dict[str, Any] | None:
    """Groups with their sizes, and the gaps between them."""
    found = [group for group in details.get("groups") or () if group.get("group") is not None]
    gaps = list(details.get("fairness") or ())
    gated = {gate.name for gate in scorecard.gates}
    cards = [
        card(scorecard, name)
        for name in scorecard.scores
        if words.of(name).group == "fairness" and name not in gated and scorecard.scores[name].value is not None
    ]
    if not found and not gaps and not cards:
        return None
    shown = found[:MOST]
    return {
        "cards": cards,
        "table": _table(shown, f"{len(found) - MOST:,} more are in the scorecard." if len(found) > MOST else ""),
        "copying": forest(
            [
                {"name": _name(g), "value": g.get("copy_excess"), "low": g.get("copy_low"), "high": g.get("copy_high")}
                for g in shown
                if finite(g.get("copy_excess"))
            ],
            "Rows that lean on a training row, by group",
            chance=0.0,
            show=percent,
        ),
        "shapes": forest(
            [
                {"name": _name(g), "value": g.get("shape_error"), "mark": g.get("reference"), "kind": "synthetic"}
                for g in shown
                if finite(g.get("shape_error"))
            ],
            "Shape error by group",
            show=percent,
            span=(0.0,),
        ),
        "gaps": forest(
            [{**gap, "name": _gap(gap), "value": _wider(gap)} for gap in gaps[:MOST]],
            "How much wider gaps between groups are when a model learns from synthetic rows",
            chance=0.0,
            chance_name="as with real rows",
            show=signed,
            span=(-0.02, 0.05),
        ),
        "gaps_table": Table(
            "Gaps",
            ("Gap", "From synthetic", "From real"),
            ("t", "n", "n"),
            [(_gap(gap), percent(gap.get("synthetic")), percent(gap.get("real"))) for gap in gaps[:MOST]],
        ),
        "absent": [_name(g) for g in found if g.get("absent", g.get("n_synthetic") == 0)][:MOST],
    }


def _table(found: list[Mapping[str, Any]], more: str) -> Table | None:
    rows = [
        (
            short(group.get("column", ""), 40),
            short(group["group"], 40),
            _both(number, group.get("n"), group.get("n_holdout")),
            _both(percent, group.get("share"), group.get("share_synthetic")),
            _both(percent, group.get("shape_error"), group.get("reference")),
            percent(group.get("copy_excess")),
            interval(group, percent, "copy_low", "copy_high"),
            _both(number, group.get("metric_synthetic"), group.get("metric_real")),
        )
        for group in found
    ]
    head = (
        "Column",
        "Group",
        "n: training, held out",
        "Share: real, synthetic",
        "Shape error: synthetic, held out",
        "Copy excess",
        "95\u00a0% interval",
        "Model from: synthetic, real",
    )
    made = table("Groups", head, ("", "", *("n",) * 6), rows)
    return made and Table(made.caption, made.head, made.kinds, made.rows, more)


def _both(show: Callable[[Any], str], *values: Any) -> str:
    return " · ".join(map(show, values)) if any(value is not None for value in values) else "–"


def _name(group: Mapping[str, Any]) -> str:
    name = f"{short(group.get('column', ''), 24)} = {short(group['group'], 24)}"
    return f"{name} (n = {number(group['n'])})" if group.get("n") else name


def _gap(gap: Mapping[str, Any]) -> str:
    metric = str(gap.get("metric", ""))
    return f"{short(gap.get('column', ''), 24)}: {_METRICS.get(metric, metric.replace('_', ' '))}"


def _wider(gap: Mapping[str, Any]) -> float | None:
    made, real = gap.get("synthetic"), gap.get("real")
    return made - real if finite(made) and finite(real) else None
