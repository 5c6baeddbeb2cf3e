"""How far the synthetic rows and the real ones fill the same space: precision, recall, density and coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.evaluation.intervals import effective, noticed, wilson, z
from synth_pipeline.evaluation.neighbours import knn, rounded_up, within
from synth_pipeline.evaluation.table import features_of_train
from synth_pipeline.evaluation.units import units_of, variance
from synth_pipeline.protocols.measure import Evidence, Findings, Score
from synth_pipeline.protocols.points import Points, Vectors

Array = np.ndarray
K = 5
NAMES = ("precision", "recall", "density", "coverage")
_ROWS = 5_000


@dataclass(frozen=True)
class Figure:
    """One of the four, and its variance."""

    value: float
    variance: float


def prdc(evidence: Evidence) -> Findings:
    """`precision` and `recall` (Kynkäänniemi et al. 2019, equation 2), `density` and `coverage` (Naeem et al. 2020,
    equations 2 and 3) of synthetic rows about training rows, with k = 5; reference: holdout rows in their place.

    All on random subsets of equal size, for the figures depend on it.
    """
    sides = evidence.train, evidence.holdout, evidence.synthetic
    size = min(_ROWS, *(side.num_rows for side in sides))
    if size <= K:
        raise Unfit("too few rows to compare")
    rng = evidence.seeds.child("prdc").generator()
    rows = [np.sort(rng.choice(side.num_rows, size, replace=False)) for side in sides]
    features = features_of_train(evidence)
    real, held, drawn = (features.points(side.take(row)) for side, row in zip(sides, rows, strict=True))
    units = [side[row] for side, row in zip(units_of(evidence), rows, strict=False)]
    found = figures(real, drawn, units[0], None)
    usual = figures(real, held, units[0], units[1])
    scores = {name: _score(name, found[name], usual[name], size) for name in NAMES}
    told = {name: {k: getattr(s, k) for k in ("value", "low", "high", "reference")} for name, s in scores.items()}
    return Findings(scores, {"likeness": {"prdc": {"k": K, "n": size, **told}}})


def figures(
    real: Points | Vectors, drawn: Points | Vectors, real_units: Array | None, drawn_units: Array | None, k: int = K
) -> dict[str, Figure]:
    """The four, where a row's ball reaches to its k-th neighbour on its own side, that one included.

    Where more than k neighbours lie in the ball, since several are equally far, density divides by their number: so it
    stays 1 for rows of the same distribution, whatever ties there are. The variance is that over both sides' rows:
    what each row adds alone, which is what its loss would take away (the infinitesimal jackknife with radii fixed).
    """
    radii = _radii(real, k)
    met, peers = within(real, drawn, radii), within(real, real, radii).count - 1
    recalled = within(drawn, real, _radii(drawn, k))
    per_row = met.count / peers
    density = float(per_row.mean())
    least = density**2 / (k * len(drawn))  # as many meetings that happen by chance leave open, however even they are
    share = met.reached * (density / max(met.reached.mean(), 1e-300))  # what each drawn row adds to it
    return {
        "precision": _covered(met.reached, met.query, len(real), drawn_units, real_units),
        "recall": _covered(recalled.reached, recalled.query, len(drawn), real_units, drawn_units),
        "density": Figure(density, max(variance(per_row, real_units) + variance(share, drawn_units), least)),
        "coverage": _covered(met.count, met.row, len(drawn), real_units, drawn_units),
    }


def _covered(count: Array, last: Array, others: int, units: Array | None, other_units: Array | None) -> Figure:
    """The share of rows that are counted at all, and its variance over these rows and over those that count them."""
    hit = (count > 0).astype(float)
    alone = np.bincount(last[count == 1], minlength=others).astype(float)
    return Figure(float(hit.mean()), variance(hit, units) + variance(alone, other_units))


def _radii(side: Points | Vectors, k: int) -> Array:
    distance, _ = knn(side, side, k, np.arange(len(side)))
    return rounded_up(distance[:, -1], side)


def _score(name: str, found: Figure, usual: Figure, size: int) -> Score:
    note = f"k = {K}; {size} rows of each side"
    if name == "density":
        half = z() * found.variance**0.5
        low, high = max(found.value - half, 0.0), found.value + half
    else:
        low, high = wilson(found.value, effective(found.value, found.variance, size))
    detects = max(usual.value - noticed(max(usual.variance**0.5, 1 / size)), 0.0)
    return Score(found.value, low, high, usual.value, size, note, detects=detects)
