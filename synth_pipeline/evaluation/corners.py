"""Copies of a few: the copy excess within corners of the real table, where an average over all rows hides them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth_pipeline.evaluation.columns import Unfit, subset
from synth_pipeline.evaluation.intervals import LEVEL, effective, noticed, wilson, worst, z
from synth_pipeline.evaluation.neighbours import knn, nearest
from synth_pipeline.evaluation.table import features_of
from synth_pipeline.evaluation.units import units_of
from synth_pipeline.protocols.measure import Evidence, Features, Findings, Score
from synth_pipeline.protocols.points import Points, Vectors

Array = np.ndarray
_QUERIES = 100
"""Synthetic rows that must meet a corner before anything is said of it."""
_REAL = 30
"""Real units that it must have on either side."""
_TAILS = (0.1, 0.02)
"""Parts of the real rows that are called most unusual."""
_NEIGHBOURS = 5
_SAMPLE = 2_000
_MOST = 500


@dataclass(frozen=True)
class Corner:
    """One part of the real rows: what share of the synthetic rows that meet it met a training row there."""

    name: str
    share: float
    pi: float
    n: float
    units: int

    def excess(self, level: float = LEVEL) -> tuple[float, float, float]:
        """(share - π) / (1 - π) as `copy_excess`, π being train's part of the corner."""
        value, low, high = ((x - self.pi) / (1 - self.pi) for x in (self.share, *wilson(self.share, self.n, level)))
        return value, low, high

    def detects(self, corners: int) -> float:
        deviation = math.sqrt(self.pi / (1 - self.pi) / self.n)
        return min(noticed(deviation) + (z(1 - (1 - LEVEL) / corners) - z()) * deviation, 1.0)


def corners(evidence: Evidence) -> Findings:
    """`corner_copy_excess`: the largest copy excess within any corner: the real rows of one level, or the 10 % and the
    2 % that lie farthest from others (by the distance to their fifth nearest in a sample of both sides together).

    A corner is made of the pooled real rows, which does not look at the sides: whom a synthetic row meets there is of
    train with probability π, as for the whole table. Corners that fewer than 100 synthetic rows meet are not told.
    """
    rng = evidence.seeds.child("corners").generator()
    synthetic = subset(evidence.synthetic, evidence.queries, rng)
    train, holdout = evidence.train, evidence.holdout
    if not (train.num_rows and holdout.num_rows and synthetic.num_rows):
        raise Unfit("no rows to compare")
    features = features_of(evidence)
    sides = features.points(train), features.points(holdout)
    weight = met(features.points(synthetic), *sides)
    units = np.concatenate(units_of(evidence))
    label = np.zeros(int(units.max()) + 1)
    label[units[: train.num_rows]] = 1
    found, looked = [], 0
    for name, rows in _corners(evidence, features, sides, rng):
        looked += 1
        corner = _measured(name, rows, weight, units, label)
        if corner is not None:
            found.append(corner)
    if not found:
        raise Unfit("no corner of the table is met often enough")
    place, value, low, high = worst([corner.excess for corner in found])
    bad = found[place]
    note = (
        f"the worst of {len(found)} corners: {bad.name}; {bad.n:.0f} independent meetings, "
        f"{bad.units} real units; {looked - len(found)} corners are met too seldom"
    )
    detects = max(corner.detects(len(found)) for corner in found)
    score = Score(value, low, high, 0.0, round(bad.n), note, detects=detects)
    return Findings({"corner_copy_excess": score}, {"corners": _told(found)})


def met(queries: Points | Vectors, train: Points | Vectors, holdout: Points | Vectors) -> Array:
    """Per real row, train's first: how many queries have it nearest; rows that tie share the query evenly."""
    to_train, to_holdout = nearest(queries, train), nearest(queries, holdout)
    tied = np.isclose(to_train.distance, to_holdout.distance, rtol=1e-5, atol=queries.rounding)
    part = to_train.weight / (to_train.weight + to_holdout.weight)
    mine = np.where(tied, part, (to_train.distance < to_holdout.distance).astype(float))
    out = [
        np.bincount(side.row, side.part * share[side.query], minlength=len(rows))
        for side, share, rows in ((to_train, mine, train), (to_holdout, 1 - mine, holdout))
    ]
    return np.concatenate(out)


def _corners(
    evidence: Evidence, features: Features, sides: tuple[Any, Any], rng: np.random.Generator
) -> Iterator[tuple[str, Array]]:
    """(what it is, which of the pooled real rows): tails of the unusual, then every level that is not too rare."""
    apart = _unusual(sides, rng)
    for tail in _TAILS:
        yield f"the {tail:.0%} most unusual rows", apart > np.quantile(apart, 1 - tail)
    matrices = [features.matrix(side) for side in (evidence.train, evidence.holdout)]
    values = np.concatenate([matrix for matrix, _ in matrices])
    given = 0
    for place in np.flatnonzero(matrices[0][1]):
        codes = np.where(np.isnan(values[:, place]), -1, values[:, place])
        levels, which, counts = np.unique(codes, return_inverse=True, return_counts=True)
        for i in np.argsort(-counts, kind="stable"):
            if len(levels) > 1 and counts[i] >= 2 * _REAL and given < _MOST:
                given += 1
                yield f"a level that {counts[i]} real rows share", which == i


def _unusual(sides: tuple[Any, Any], rng: np.random.Generator) -> Array:
    """Each real row's distance to its fifth nearest in a sample of all real rows, itself left out."""
    rows = [len(side) for side in sides]
    sample = np.sort(rng.permutation(sum(rows))[:_SAMPLE])
    taken = sides[0].take(sample[sample < rows[0]]), sides[1].take(sample[sample >= rows[0]] - rows[0])
    k = _NEIGHBOURS
    place = np.full(sum(rows), -1)
    place[sample] = np.arange(len(sample)) - np.where(sample < rows[0], 0, len(taken[0]))
    out = []
    for side, begin in zip(sides, (0, rows[0]), strict=True):
        own = place[begin : begin + len(side)]
        found = [
            knn(side, part, k, skip=own if mine else None)[0]
            for part, mine in zip(taken, (begin == 0, begin > 0), strict=True)
            if len(part)
        ]
        nearby = np.sort(np.concatenate(found, 1), 1)
        out.append(nearby[:, min(k, nearby.shape[1]) - 1])
    apart = np.concatenate(out)
    return np.where(np.isfinite(apart), apart, np.max(apart[np.isfinite(apart)], initial=0) + 1)


def _measured(name: str, rows: Array, weight: Array, units: Array, label: Array) -> Corner | None:
    """None where too little of either is there; clustered on the real units that were met, as `copy_excess`."""
    inside, counts = np.unique(units[rows], return_counts=True)
    mine = label[inside]
    total = float(weight[rows].sum())
    if total < _QUERIES or min(mine.sum(), (1 - mine).sum()) < _REAL:
        return None
    part = np.bincount(np.searchsorted(inside, units[rows]), weight[rows], minlength=len(inside)) / total
    share, pi = float(part @ mine), float(counts @ mine / counts.sum())
    if share in (0.0, 1.0):
        return Corner(name, share, pi, 1 / float((part**2).sum()), len(inside))
    even = counts / counts.sum()
    uneven = min(float((p**2 * (mine - share) ** 2).sum()) for p in (part - even, part))
    n = effective(share, max(uneven, share * (1 - share) / total), len(inside))
    return Corner(name, share, pi, n, len(inside))


def _told(found: list[Corner]) -> list[dict[str, Any]]:
    first = sorted(found, key=lambda corner: -corner.excess()[0])[:40]
    return [
        {
            "name": corner.name,
            "n": round(corner.n),
            **dict(zip(("excess", "low", "high"), corner.excess(), strict=True)),
        }
        for corner in first
    ]
