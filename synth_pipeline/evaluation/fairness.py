"""Whether a model that learns from synthetic rows treats groups less alike than one that learns from real rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth_pipeline.evaluation.intervals import LEVEL, noticed, worst, z
from synth_pipeline.evaluation.learning import Rows, Task, learnt, posed
from synth_pipeline.evaluation.threads import spread
from synth_pipeline.protocols.measure import Evidence, Findings, Score
from synth_pipeline.seeds import Seeds

Array = np.ndarray
_ROWS = 20_000
_PARTS = 5
_RESAMPLES = 200
_FEWEST = 10
"""Rows of a group that a rate needs: with none, the rate would be 0 and the group look fairly treated."""
_METRICS = {"demographic_parity_gap": "demographic parity", "equalized_odds_gap": "equalized odds"}


@dataclass(frozen=True)
class Models:
    """Predictions for the holdout of boosted trees: pairs of one trained on synthetic and one on as many real rows,
    first of all rows, then of fifths of them."""

    task: Task
    holdout: Rows
    guesses: list[tuple[Array, Array]]
    seeds: Seeds


@dataclass(frozen=True)
class _Gap:
    """How much larger one difference between groups is for the synthetic-trained model, and its standard deviation."""

    column: str
    metric: str
    synthetic: float
    real: float
    deviation: float
    n: int

    @property
    def value(self) -> float:
        return self.synthetic - self.real

    def at(self, level: float) -> tuple[float, float, float]:
        half = z(level) * self.deviation
        return self.value, max(self.value - half, -1.0), min(self.value + half, 1.0)


def fitted(evidence: Evidence) -> Models:
    """The models that all groups are judged by.

    Raises:
        NoTask, Unfit: there is nothing to learn.
    """
    seeds = evidence.seeds.child("fairness")
    rng = seeds.generator()
    task, train, holdout, synthetic = posed(evidence, _ROWS, rng)
    orders = [rng.permutation(len(rows)) for rows in (synthetic, train)]
    sets = [synthetic, train]
    for part in range(_PARTS):
        sets += [
            rows.take(np.sort(order[part::_PARTS])) for rows, order in zip((synthetic, train), orders, strict=True)
        ]
    found = spread(lambda rows: learnt(task, rows, [holdout.values], seeds.integer())[0], sets)
    return Models(task, holdout, list(zip(found[::2], found[1::2], strict=True)), seeds)


def fairness(models: Models, members: Mapping[str, Sequence[tuple[str, Array]]]) -> Findings:
    """`demographic_parity_gap`, `equalized_odds_gap`: the largest difference between groups of a model's selection
    rates, or of its true or false positive rates (Agarwal et al. 2018, as fairlearn computes them), of the model that
    is trained on synthetic rows less that of the one trained on real rows; both tested on the holdout.

    The worst sensitive column; with more than two classes the worst of each against the rest. `members`: per column
    its groups and which rows of the holdout belong to each. Intervals from resampling persons of the holdout and from
    the spread of models of fifths of the rows.
    """
    if models.task.classes is None:
        return Findings({name: Score(None, note="not measurable: the target is a number") for name in _METRICS})
    classes = range(1, 2) if len(models.task.classes) == 2 else range(len(models.task.classes))
    gaps: dict[str, list[_Gap]] = {name: [] for name in _METRICS}
    details = []
    weights = _resampled(models.holdout, models.seeds.child("persons").generator())
    for column, groups in members.items():
        member = np.full(len(models.holdout), -1)
        for number, (_, rows) in enumerate(groups):
            member[rows[models.holdout.place]] = number
        found = [gap for c in classes for gap in _gaps(models, column, member, len(groups), c, weights)]
        for name, known in gaps.items():
            own = [gap for gap in found if gap.metric == name]
            known += own
            if own:
                details.append(_told(own))
    return Findings({name: _score(found) for name, found in gaps.items()}, {"fairness": details})


def _score(gaps: Sequence[_Gap]) -> Score:
    if not gaps:
        return Score(None, note=f"not measurable: fewer than two groups with {_FEWEST} rows of each answer")
    place, value, low, high = worst([gap.at for gap in gaps])
    gap = gaps[place]
    note = f"{gap.column}: {gap.synthetic:.3f} trained on synthetic rows, {gap.real:.3f} trained on real ones"
    return Score(value, low, high, 0.0, gap.n, note, detects=noticed(gap.deviation))


def _told(gaps: Sequence[_Gap]) -> dict[str, Any]:
    place, _, low, high = worst([gap.at for gap in gaps])
    gap = gaps[place]
    return {
        "column": gap.column,
        "metric": _METRICS[gap.metric],
        "synthetic": gap.synthetic,
        "real": gap.real,
        "low": low,
        "high": high,
    }


def _gaps(models: Models, column: str, member: Array, groups: int, positive: int, weights: Array) -> list[_Gap]:
    """One column and class: a gap for each metric that at least two groups have rows enough for."""
    from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference
    from scipy.stats import t

    truth = models.holdout.answers == positive
    chosen = [[guess.argmax(1) == positive for guess in pair] for pair in models.guesses]
    answered = np.array([np.bincount(truth[member == g], minlength=2) for g in range(groups)])
    out = []
    for metric, needed, exact in (
        ("demographic_parity_gap", answered.sum(1), demographic_parity_difference),
        ("equalized_odds_gap", answered.min(1), equalized_odds_difference),
    ):
        kept = np.flatnonzero(needed >= _FEWEST)
        if len(kept) < 2:
            continue
        rows = np.isin(member, kept)
        place = np.searchsorted(kept, member[rows])
        made, real = (float(exact(truth[rows], guess[rows], sensitive_features=place)) for guess in chosen[0])

        inside = [[guess[rows] for guess in pair] for pair in chosen]
        again = [_apart(metric, place, truth[rows], inside[0], weight[rows]) for weight in weights]
        parts = [_apart(metric, place, truth[rows], pair) for pair in inside[1:]]
        # the parts' spread knows only so much of itself: Student's quantile in the normal one's place
        learning = float(np.std(parts, ddof=1) / math.sqrt(len(parts)) * t.ppf((1 + LEVEL) / 2, len(parts) - 1)) / z()
        least = 2 / (int(needed[kept].min()) + 4)
        deviation = math.hypot(float(np.nanstd(again, ddof=1)), learning, least)
        out.append(_Gap(column, metric, made, real, deviation, int(rows.sum())))
    return out


def _apart(metric: str, place: Array, truth: Array, pair: Sequence[Array], weight: Array | None = None) -> float:
    first, second = (difference(metric, place, truth, guess, weight) for guess in pair)
    return first - second


def difference(metric: str, place: Array, truth: Array, guess: Array, weight: Array | None = None) -> float:
    """fairlearn's definitions on counts of rows, for hundreds of resamples. `place`: each row's group, from 0."""
    cells = place * 4 + truth * 2 + guess
    counts = np.bincount(cells, weight, minlength=4 * (int(place.max()) + 1)).reshape(-1, 2, 2)
    if metric == "demographic_parity_gap":
        counts = counts.sum(1, keepdims=True)
    with np.errstate(invalid="ignore"):
        rates = counts[:, :, 1] / counts.sum(2)
    return float((np.nanmax(rates, 0) - np.nanmin(rates, 0)).max())


def _resampled(holdout: Rows, rng: np.random.Generator) -> Array:
    """How often each row is drawn when persons are drawn with replacement (Efron's bootstrap)."""
    _, person = np.unique(holdout.unit, return_inverse=True)
    persons = int(person.max(initial=-1)) + 1
    drawn = (np.bincount(rng.integers(0, persons, persons), minlength=persons) for _ in range(_RESAMPLES))
    return np.stack([times[person] for times in drawn]).astype(np.int32)
