"""Whether synthetic rows lie closer to training rows than held-out rows do: three ways to say it, one search.

Given train, a held-out row and a synthetic row of a generator that copies nobody are draws of one distribution; so
whatever train alone decides (cells, cuts, gaps), both meet it equally often, at any sizes of train and holdout.

What is positive is copying. What is negative clears nobody: rows that are off the real distribution lie far from all
real rows, and copies among them no longer show in the sum (`copy_excess`, which asks each row whether it lies closer to
train or to holdout, is not misled so).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synth_pipeline.evaluation.columns import Unfit, subset
from synth_pipeline.evaluation.intervals import effective, midranks, noticed, risk, z
from synth_pipeline.evaluation.neighbours import distinct, knn, rounded_up
from synth_pipeline.evaluation.table import features_of_train
from synth_pipeline.evaluation.units import units_of, variance
from synth_pipeline.protocols.measure import Evidence, Findings, Score
from synth_pipeline.protocols.points import Points, Vectors

Array = np.ndarray
_CUT = 0.05
_OWN = 5_000
"""Training rows whose own ratios say where the cut lies."""
_CELLS = 10
_FEWEST = 50
"""Held-out rows per cell, on average."""
_LEAST = 10
"""Rows of either side in every cell."""


@dataclass(frozen=True)
class Near:
    """What each row of a side sees of the distinct training rows.

    `first`: the distance to the nearest. `ratio`: that over the distance to the second: 0 for a copy, near 1 for a row
    that is nobody's in particular. `gap`: how far the nearest itself lies from its own nearest.
    """

    first: Array
    ratio: Array
    gap: Array


def closeness(evidence: Evidence) -> Findings:
    """`c_t`, `nndr_excess` and `authenticity_excess`; 0 when nobody is copied, positive when training rows are."""
    if not (evidence.train.num_rows and evidence.holdout.num_rows and evidence.synthetic.num_rows):
        raise Unfit("no rows to compare")
    rng = evidence.seeds.child("closeness").generator()
    features = features_of_train(evidence)
    rows = np.sort(rng.permutation(evidence.holdout.num_rows)[: evidence.queries])
    units = units_of(evidence)[1][rows]
    held = features.points(evidence.holdout.take(rows))
    drawn = features.points(subset(evidence.synthetic, evidence.queries, rng))
    trained = features.points(evidence.train)
    trained = trained.take(distinct(trained)[1])
    if len(trained) < 3:
        raise Unfit("too few distinct training rows")
    some = np.sort(rng.permutation(len(trained))[:_OWN])
    cut = float(np.quantile(_ratio(knn(trained.take(some), trained, 2, some)[0]), _CUT, method="lower"))
    near = [_near(side, trained) for side in (drawn, held)]
    cells = _cells((drawn, held), trained, rng)
    lonely = [(side.ratio <= cut) & (side.ratio < 1) for side in near]
    inauthentic = [side.first <= side.gap for side in near]
    rare = "that are as much closer to one training row than to all others as one training row in twenty is"
    scores = {
        "c_t": _c_t((near[0].first, near[1].first), cells, units),
        "nndr_excess": _excess(lonely[0], lonely[1], units, rare),
        "authenticity_excess": _excess(
            inauthentic[0], inauthentic[1], units, "that are no farther from a training row than all others are from it"
        ),
    }
    return Findings(scores)


def _near(side: Points | Vectors, trained: Points | Vectors) -> Near:
    distance, row = knn(side, trained, 2)
    met, which = np.unique(row[:, 0], return_inverse=True)
    gap = knn(trained.take(met), trained, 1, met)[0][:, 0]
    return Near(distance[:, 0], _ratio(distance), rounded_up(gap, trained)[which])


def _ratio(distance: Array) -> Array:
    return np.divide(distance[:, 0], distance[:, 1], out=np.ones(len(distance)), where=distance[:, 1] > 0)


def _cells(sides: Sequence[Points | Vectors], trained: Points | Vectors, rng: np.random.Generator) -> list[Array]:
    """Which training row, of a few that lie far apart (chosen as k-means++ does), each row is nearest to."""
    some = trained.take(np.sort(rng.permutation(len(trained))[:_OWN]))
    chosen = [int(rng.integers(len(some)))]
    apart = np.full(len(some), np.inf)
    for _ in range(min(_CELLS, len(sides[1]) // _FEWEST) - 1):
        apart = np.minimum(apart, knn(some, some.take(np.array(chosen[-1:])), 1)[0][:, 0].astype(np.float64) ** 2)
        if not 0 < apart.sum() < np.inf:
            break
        chosen.append(int(rng.choice(len(some), p=apart / apart.sum())))
    return [knn(side, some.take(np.array(chosen)), 1)[1][:, 0] for side in sides]


def _c_t(first: Sequence[Array], cells: Sequence[Array], units: Array) -> Score:
    """C_T (Meehan et al. 2020, section 3) with its sign turned: the mean over cells of Mann and Whitney's Z between
    distances to train, weighted by held-out rows; a standard normal one where there is one cell and no copying."""
    (drawn, held), rows = first, len(first[1])
    if min(len(drawn), rows) < _LEAST:
        return Score(None, n=rows, note=f"not measurable: fewer than {_LEAST} rows")
    found = []
    for mine, theirs in _pooled(*cells):
        value, spread = _mann_whitney(drawn[mine], held[theirs], units[theirs])
        found.append((theirs.sum() / rows, value, spread))
    weight, value, spread = np.array(found).T
    mean, deviation = float(weight @ value), float(np.sqrt(weight**2 @ spread))
    half = z() * deviation
    null = noticed(float(np.sqrt((weight**2).sum())))
    note = f"{len(weight)} cells; {len(drawn)} synthetic and {rows} held-out rows"
    return Score(mean, mean - half, mean + half, 0.0, len(drawn), note + _hidden(mean + half), detects=null)


def _pooled(drawn: Array, held: Array) -> list[tuple[Array, Array]]:
    """Members of each cell; those with too few rows of a side are one cell with the largest."""
    counts = np.array([np.bincount(side, minlength=max(drawn.max(), held.max()) + 1) for side in (drawn, held)]).min(0)
    target = np.where(counts >= _LEAST, np.arange(len(counts)), counts.argmax())
    return [(target[drawn] == cell, target[held] == cell) for cell in np.unique(target)]


def _mann_whitney(drawn: Array, held: Array, units: Array) -> tuple[float, float]:
    """Z, positive where `drawn` is smaller, and its variance: 1 if all come from one distribution, more where DeLong's
    (1988; over units) says so."""
    m, n = len(drawn), len(held)
    pooled = np.concatenate([drawn, held])
    ranks = midranks(pooled)
    above = (ranks[m:] - midranks(held)) / m  # per held-out row: the share of synthetic ones that are closer
    ahead = 1 - (ranks[:m] - midranks(drawn)) / n
    ties = np.unique(pooled, return_counts=True)[1].astype(float)
    null = (m + n + 1 - (ties**3 - ties).sum() / ((m + n) * (m + n - 1))) / (12 * m * n)
    if null <= 1e-15:
        return 0.0, 1.0
    return float((above.mean() - 0.5) / null**0.5), max(1.0, (variance(above, units) + variance(ahead)) / null)


def _excess(drawn: Array, held: Array, units: Array, what: str) -> Score:
    """(a - c) / (1 - c): the part of the synthetic rows that chance, as held-out rows show it, does not explain."""
    rate, control = float(drawn.mean()), float(held.mean())
    if control == 1:
        return Score(None, n=len(drawn), note=f"not measurable: all held-out rows are rows {what}")
    worth = max(1, round(effective(control, variance(held, units), len(np.unique(units)))))
    _, low, high = risk((int(drawn.sum()), len(drawn)), (round(control * worth), worth))
    value = (rate - control) / (1 - control)
    chance = max(control, 1 / worth)
    null = noticed(math.sqrt(chance / (1 - chance) * (1 / len(drawn) + 1 / worth))) if chance < 1 else 1.0
    note = f"{rate:.2%} of the synthetic rows, {control:.2%} of the held-out ones are rows {what}"
    low, high = min(low, value), max(high, value)
    return Score(value, low, high, 0.0, len(drawn), note + _hidden(high), detects=min(null, 1.0))


def _hidden(high: float) -> str:
    return "; synthetic rows lie farther from train than real rows do, which would hide copies" if high < 0 else ""
