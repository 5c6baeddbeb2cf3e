"""What the table is to each group of a sensitive column: how much of it, how alike, useful, private and fair."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.evaluation.columns import Unfit, is_number, missing, numbers, texts
from synth_pipeline.evaluation.copying import nearness
from synth_pipeline.evaluation.fairness import Models, fairness, fitted
from synth_pipeline.evaluation.fidelity import Sides, marginal, mean_parts
from synth_pipeline.evaluation.intervals import LEVEL, noticed, wilson, worst, z
from synth_pipeline.evaluation.learning import NoTask, result
from synth_pipeline.evaluation.table import features_of
from synth_pipeline.evaluation.units import units_of
from synth_pipeline.evaluation.utility import over, spread_of
from synth_pipeline.protocols.measure import Evidence, Findings, Score
from synth_pipeline.records.schema import Column, columns

Array = np.ndarray
Part = Callable[[float], tuple[float, float, float]]
_FEWEST = 30
_LEVELS = 12
_QUERIES = 4_000
NAMES = (
    "group_shape_error",
    "group_tstr_ratio",
    "group_copy_excess",
    "demographic_parity_gap",
    "equalized_odds_gap",
)


@dataclass(frozen=True)
class Group:
    """One level of a sensitive column, and which rows of train, holdout and synthetic have it."""

    column: str
    name: str
    train: Array
    holdout: Array
    synthetic: Array

    @property
    def told(self) -> str:
        return f"{self.column}: {self.name}"

    @property
    def absent(self) -> bool:
        """Whether synthetic rows lack it though tens of them were to be expected."""
        return not self.synthetic.any() and self.expected >= _FEWEST

    @property
    def expected(self) -> float:
        return float(self.train.mean() * len(self.synthetic))

    @property
    def judged(self) -> bool:
        """Whether there are enough synthetic rows to say anything, or should be."""
        return max(self.expected, self.synthetic.sum()) >= _FEWEST


def groups(evidence: Evidence) -> Findings:
    """Per level of each sensitive column with 30 persons on each real side; the scores are those of the worst group.

    `group_shape_error`: the group's mean shape error less the same of its holdout rows.
    `group_tstr_ratio`: TSTR on the group's holdout rows, by one model of all rows.
    `group_copy_excess`: the copy excess of the group's synthetic rows among its real ones.
    `demographic_parity_gap`, `equalized_odds_gap`: see `fairness`.
    """
    if not evidence.sensitive:
        return _nothing("no sensitive column is declared")
    found = [group for name in evidence.sensitive for group in _groups_of(evidence, name)]
    if not found:
        return _nothing(f"not measurable: no group of a sensitive column has {_FEWEST} persons in train and holdout")
    evidence = replace(evidence, features=features_of(evidence))
    rows = [_represented(group) for group in found]
    scores = {
        "group_shape_error": _worst(found, rows, evidence, _shape),
        "group_copy_excess": _worst(found, rows, evidence, _copied),
    }
    details: dict[str, Any] = {"groups": rows}
    try:
        models = fitted(evidence)
    except NoTask as error:
        scores |= {name: Score(None, note=str(error)) for name in NAMES if name not in scores}
    except Unfit as error:
        scores |= {name: Score(None, error=str(error)) for name in NAMES if name not in scores}
    else:
        scores["group_tstr_ratio"] = _useful(found, rows, models)
        fair = fairness(models, _members(found))
        scores |= {name: _unless_absent(score, found) for name, score in fair.scores.items()}
        details |= fair.details
    return Findings(scores, details)


def newcombe(hits: int, n: int, others: int, m: int, level: float = LEVEL) -> tuple[float, float]:
    """Interval of hits / n - others / m of independent samples (Newcombe 1998, method 10)."""
    (p, q), (a, b), (c, d) = (hits / n, others / m), wilson(hits / n, n, level), wilson(others / m, m, level)
    return p - q - math.hypot(p - a, d - q), p - q + math.hypot(b - p, q - c)


def _groups_of(evidence: Evidence, name: str) -> list[Group]:
    """The levels of one column; the quarters of a number."""
    column = next((c for c in columns(evidence.train.schema) if c.name == name), None)
    if column is None or name not in evidence.holdout.column_names:
        return []
    sides = evidence.train, evidence.holdout, evidence.synthetic
    here = [side for side in sides if name in side.column_names]
    labels = _quarters(column, here) if is_number(column) else None
    labels = labels or [_levels(column, side) for side in here]
    if len(here) < len(sides):  # the synthetic rows lack the column
        labels.append(np.full(evidence.synthetic.num_rows, None, object))
    names, counts = np.unique(labels[0][labels[0] != None].astype(str), return_counts=True)  # noqa: E711
    common = [str(names[i]) for i in np.argsort(-counts, kind="stable")[:_LEVELS]]
    made = [Group(name, level, *(side == level for side in labels)) for level in common]
    owners = units_of(evidence)

    def persons(group: Group) -> int:
        return min(
            len(np.unique(owner[rows])) for owner, rows in zip(owners, (group.train, group.holdout), strict=True)
        )

    return [group for group in made if persons(group) >= _FEWEST]


def _levels(column: Column, side: pa.Table) -> Array:
    return np.asarray(pc.fill_null(texts(side, column.name), "(missing)").to_pylist(), dtype=object)


def _quarters(column: Column, sides: Sequence[pa.Table]) -> list[Array] | None:
    """Which quarter of train's values each row is in; None where a number is really a level."""
    values = [numbers(side, column.name) for side in sides]
    known = values[0][~np.isnan(values[0])]
    if len(np.unique(known)) <= _LEVELS:
        return None
    edges = np.quantile(known, [0.25, 0.5, 0.75], method="inverted_cdf")
    names = np.array(["lowest quarter", "second quarter", "third quarter", "highest quarter"], dtype=object)
    out = [names[np.searchsorted(edges, side, "left")] for side in values]
    for labels, side in zip(out, sides, strict=True):
        labels[missing(side, column)] = "(missing)"
    return out


def _represented(group: Group) -> dict[str, Any]:
    """The group's row for the report: its sizes, and its part of the synthetic rows less its part of train."""
    n, made = int(group.train.sum()), int(group.synthetic.sum())
    of, made_of = len(group.train), len(group.synthetic)
    row: dict[str, Any] = {
        "column": group.column,
        "group": group.name,
        "n": n,
        "n_holdout": int(group.holdout.sum()),
        "n_synthetic": made,
        "share": n / of,
        "share_synthetic": made / made_of if made_of else 0.0,
        "absent": group.absent,
    }
    if made_of:
        low, high = newcombe(made, made_of, n, of)
        row |= {"share_low": low, "share_high": high}
    return row


def _worst(
    found: Sequence[Group],
    rows: Sequence[dict[str, Any]],
    evidence: Evidence,
    measure: Callable[[Group, dict[str, Any], Evidence], tuple[Part, int]],
) -> Score:
    """The largest of all groups' values; what is told of each goes into its row."""
    named, parts, sizes = [], [], []
    for group, row in zip(found, rows, strict=True):
        if not group.judged:
            continue
        try:
            part, n = measure(group, row, evidence)
        except Unfit:
            continue
        named.append(group)
        parts.append(part)
        sizes.append(n)
    if not parts:
        return Score(None, note="not measurable: no group has enough synthetic rows")
    place, value, low, high = worst(parts)
    _, below, above = parts[place](LEVEL)
    note = f"worst of {len(parts)} groups: {named[place].told}"
    return Score(value, low, high, 0.0, sizes[place], note, detects=noticed((above - below) / 2 / z()))


def _shape(group: Group, row: dict[str, Any], evidence: Evidence) -> tuple[Part, int]:
    if group.synthetic.sum() < 2:  # nobody there: as different as can be
        row |= {"shape_error": 1.0, "reference": None}
        return lambda level: (1.0, 1.0, 1.0), int(group.train.sum())
    own = _within(evidence, group)
    sides = Sides.of(own, f"shape of {group.told}")
    cols = [column for column in sides.columns if column.name != group.column]
    if not cols:
        raise Unfit("no column to compare")
    parts = ([marginal(c, side, sides.train) for c in cols] for side in (sides.synthetic, sides.holdout))
    made, held = (how(*mean_parts(part)) for how, part in zip((sides.made, sides.held), parts, strict=True))
    row |= {"shape_error": made[0], "reference": held[0]}
    spread = math.hypot(made[2] - made[0], held[2] - held[0]) / z()
    return _normal(made[0] - held[0], spread), sides.train.num_rows


def _copied(group: Group, row: dict[str, Any], evidence: Evidence) -> tuple[Part, int]:
    if not group.synthetic.any():
        raise Unfit("no rows to compare")
    own = _within(evidence, group)
    scores, _ = nearness(replace(own, queries=min(_QUERIES, evidence.queries)))
    share, excess = scores["nearest_share"], scores["copy_excess"]
    pi = float(own.train.num_rows / (own.train.num_rows + own.holdout.num_rows))
    row |= {"copy_excess": excess.value, "copy_low": excess.low, "copy_high": excess.high}

    def part(level: float) -> tuple[float, float, float]:
        at = float(share.value or 0.0)
        low, high = wilson(at, share.n, level)
        return (at - pi) / (1 - pi), (low - pi) / (1 - pi), (high - pi) / (1 - pi)

    return part, share.n


def _useful(found: Sequence[Group], rows: Sequence[dict[str, Any]], models: Models) -> Score:
    """The smallest ratio of all groups'."""
    named, parts, sizes, spreads = [], [], [], []
    for group, row in zip(found, rows, strict=True):
        inside = np.flatnonzero(group.holdout[models.holdout.place])
        if len(inside) < _FEWEST:
            continue
        held = models.holdout.take(inside)
        results = [
            (result(models.task, held.answers, made[inside]), result(models.task, held.answers, real[inside]))
            for made, real in models.guesses
        ]
        made, real = results[0]
        row |= {"metric_synthetic": _finite(made.value), "metric_real": _finite(real.value)}
        ratios = [over(*pair, unit=held.unit) for pair in results]
        spread = spread_of(ratios)
        if not (math.isfinite(ratios[0].value) and math.isfinite(spread)):
            continue
        named.append(group)
        parts.append(_normal(1 - ratios[0].value, spread))
        sizes.append(len(held))
        spreads.append(spread)
    if not parts:
        return Score(None, note="not measurable: too few answers in every group, or nothing can be learnt")
    place, value, low, high = worst(parts)
    note = f"worst of {len(parts)} groups: {named[place].told}"
    return Score(1 - value, 1 - high, 1 - low, 1.0, sizes[place], note, detects=1 - noticed(spreads[place]))


def _normal(value: float, spread: float) -> Part:
    return lambda level: (value, value - z(level) * spread, value + z(level) * spread)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _within(evidence: Evidence, group: Group) -> Evidence:
    """The group's rows alone."""
    sides = (evidence.train, group.train), (evidence.holdout, group.holdout), (evidence.synthetic, group.synthetic)
    train, holdout, synthetic = (side.filter(pa.array(rows)) for side, rows in sides)
    units = [
        None if owners is None else np.asarray(owners)[rows]
        for owners, rows in ((evidence.train_units, group.train), (evidence.holdout_units, group.holdout))
    ]
    return replace(
        evidence,
        train=train,
        holdout=holdout,
        synthetic=synthetic,
        released=synthetic,
        train_units=units[0],
        holdout_units=units[1],
        seeds=evidence.seeds.child("groups", group.column, group.name),
    )


def _members(found: Sequence[Group]) -> dict[str, list[tuple[str, Array]]]:
    out: dict[str, list[tuple[str, Array]]] = {}
    for group in found:
        out.setdefault(group.column, []).append((group.name, group.holdout))
    return out


def _unless_absent(score: Score, found: Sequence[Group]) -> Score:
    """Where synthetic rows lack a group, nothing is called fair: the interval goes to the worst there is."""
    missed = [group.told for group in found if group.absent]
    if not missed or score.value is None:
        return score
    return replace(score, high=1.0, note=f"{score.note}; absent from the synthetic rows: {', '.join(missed)}")


def _nothing(note: str) -> Findings:
    return Findings({name: Score(None, note=note) for name in NAMES})
