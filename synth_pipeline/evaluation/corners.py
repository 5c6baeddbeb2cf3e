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
_SURE, _SURE_TAIL = 0.12, 0.15
"""A corner is judged where its excess would have no larger standard error if nobody were copied; the tails, which are
few, up to a larger one."""
_REAL = 10
"""Real units that it must have on either side."""
_LEVEL = 60
"""Real rows that must share a level."""
_TAILS = (0.1, 0.02)
"""Parts of the real rows that are called most unusual."""
_WIDER = (0.2, 0.5)
"""Those that stand in where the table is too small for the first."""
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
    sure: bool = True
    """Whether so many meetings tell that nobody was copied, when nobody was."""

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
    train with probability π, as for the whole table. It is judged where its independent meetings are so many that the
    excess, were nobody copied, had a standard error of 0.12 (tails: 0.15) at most, and wherever copies show beyond
    doubt (95 % for all corners together). Where the 10 % cannot be judged, the 20 % or the 50 % stand in.
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
    apart = _unusual(sides, rng)
    looked: list[Corner | None] = []
    for tail in (*_TAILS, *_WIDER):
        if tail in _TAILS or not any(corner and corner.sure for corner in (looked[0], *looked[len(_TAILS) :])):
            rows = apart > np.quantile(apart, 1 - tail)
            looked.append(_measured(f"the {tail:.0%} most unusual rows", rows, weight, units, label, _SURE_TAIL))
    looked += [_measured(*corner, weight, units, label, _SURE) for corner in _levels(evidence, features)]
    strict = 1 - (1 - LEVEL) / len(looked)
    found = [corner for corner in looked if corner and (corner.sure or corner.excess(strict)[1] > 0)]
    if not found:
        note = f"not measurable: none of {len(looked)} corners of the table is met often enough to be judged"
        return Findings({"corner_copy_excess": Score(None, reference=0.0, note=note)}, {"corners": []})
    place, value, _, high = worst([corner.excess for corner in found])
    low = min(max(corner.excess(strict)[1] for corner in found), value)
    bad = found[place]
    note = (
        f"the worst of {len(found)} corners: {bad.name}; {bad.n:.0f} independent meetings, "
        f"{bad.units} real units; {len(looked) - len(found)} corners are met too seldom to be judged"
    )
    detects = max(corner.detects(len(looked)) for corner in found)
    score = Score(value, low, high, 0.0, round(bad.n), note, detects=detects)
    return Findings({"corner_copy_excess": score}, {"corners": _told(found)})


def met(queries: Points | Vectors, train: Points | Vectors, holdout: Points | Vectors) -> Array:
    """Per real row, train's first: how many queries have it nearest; rows that tie share the query evenly."""
    to_train, to_holdout = nearest(queries, train), nearest(queries, holdout)
    tied = np.isclose(to_train.distance, to_holdout.distance, rtol=1e-5, atol=train.rounding)
    part = to_train.weight / (to_train.weight + to_holdout.weight)
    mine = np.where(tied, part, (to_train.distance < to_holdout.distance).astype(float))
    out = [
        np.bincount(side.row, side.part * share[side.query], minlength=len(rows))
        for side, share, rows in ((to_train, mine, train), (to_holdout, 1 - mine, holdout))
    ]
    return np.concatenate(out)


def _levels(evidence: Evidence, features: Features) -> Iterator[tuple[str, Array]]:
    """(what it is, which of the pooled real rows) for every level that is not too rare."""
    matrices = [features.matrix(side) for side in (evidence.train, evidence.holdout)]
    values = np.concatenate([matrix for matrix, _ in matrices])
    given = 0
    for place in np.flatnonzero(matrices[0][1]):
        codes = np.where(np.isnan(values[:, place]), -1, values[:, place])
        levels, which, counts = np.unique(codes, return_inverse=True, return_counts=True)
        for i in np.argsort(-counts, kind="stable"):
            if len(levels) > 1 and counts[i] >= _LEVEL and given < _MOST:
                given += 1
                # in tens: from the sizes of all levels but one follows the last one's
                yield f"a level that about {counts[i] // 10 * 10:,} real rows share", which == i


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


def _measured(name: str, rows: Array, weight: Array, units: Array, label: Array, sure: float) -> Corner | None:
    """None where nobody is there or met; clustered on the real units that were met, as `copy_excess`."""
    inside, counts = np.unique(units[rows], return_counts=True)
    mine = label[inside]
    total = float(weight[rows].sum())
    if not total or min(mine.sum(), (1 - mine).sum()) < _REAL:
        return None
    part = np.bincount(np.searchsorted(inside, units[rows]), weight[rows], minlength=len(inside)) / total
    even = counts / counts.sum()
    share, pi = float(part @ mine), float(even @ mine)
    meetings = 1 / max(float(((part - even) ** 2).sum()), 1 / total)  # independent ones, if nobody were copied
    enough = pi / (1 - pi) / meetings <= sure**2
    if share in (0.0, 1.0):
        return Corner(name, share, pi, 1 / float((part**2).sum()), len(inside), enough)
    uneven = min(float((p**2 * (mine - share) ** 2).sum()) for p in (part - even, part))
    n = effective(share, max(uneven, share * (1 - share) / total), len(inside))
    return Corner(name, share, pi, n, len(inside), enough)


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
