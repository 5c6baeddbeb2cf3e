"""What the table is worth to a model: can trees tell it from real rows, and do they learn the same from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth_pipeline.evaluation.columns import Unfit, subset
from synth_pipeline.evaluation.intervals import LEVEL, auc, noticed, z
from synth_pipeline.evaluation.learning import (
    FAMILIES,
    NoTask,
    Result,
    Rows,
    Task,
    deviation,
    filled,
    learnt,
    posed,
    result,
)
from synth_pipeline.evaluation.table import features_of
from synth_pipeline.evaluation.threads import spread
from synth_pipeline.protocols.measure import Evidence, Findings, Score
from synth_pipeline.seeds import Seeds

Array = np.ndarray
_ROWS = 20_000
_FOLDS = 3
_ROUNDS = 300
"""Of boosting, to tell rows apart: measured on the audit ladder, three times as many as to learn a target tell more."""
_PARTS = 5
_PART = 200
"""Rows that a part should have, for a model of it to be like one of all."""
_SEEDS = 5
_NAMES = ("tstr_ratio", "trts_ratio", "augmentation_gain")


def discernible(evidence: Evidence) -> tuple[Score, dict[str, Any]]:
    """`c2st_auc`: how well boosted trees tell synthetic rows from training rows, on folds they have not seen.

    0.5 is perfect. The reference is the same for train against holdout. Equal rows share a fold.
    """
    sides = evidence.train, evidence.holdout, evidence.synthetic
    size = min(_ROWS, *(side.num_rows for side in sides))
    if size < 10:
        raise Unfit("too few rows to compare")
    rng = evidence.seeds.child("c2st").generator()
    train, holdout, synthetic = (subset(side, size, rng) for side in sides)
    matrix = features_of(evidence).matrix
    (t, levels), (h, _), (s, _) = matrix(train), matrix(holdout), matrix(synthetic)
    (value, variance), (reference, unmoved) = _told_apart(t, (s, h), levels, evidence.seeds.child("c2st"))
    least = 2 / (size + 4)  # rows that are all told apart do not make it certain
    half = z() * math.hypot(math.sqrt(variance), least)
    detects = min(reference + noticed(math.hypot(math.sqrt(unmoved), least)), 1.0)
    score = Score(value, max(value - half, 0.0), min(value + half, 1.0), reference, size, detects=detects)
    return score, {"value": value, "low": score.low, "high": score.high, "reference": reference}


def usefulness(evidence: Evidence) -> Findings:
    """Scores (AUC for classes, R² for numbers) of boosted trees, real held-out rows being the only test of them.

    `tstr_ratio`: trained on synthetic rows over trained on as many of train, both tested on the holdout (Esteban 2017).
    `trts_ratio`: trained on train and tested on synthetic rows, over tested on the holdout.
    `augmentation_gain`: trained on train and synthetic rows together over trained on train alone.

    The interval has two parts: which rows are tested (the score's influence function) and which are learnt from (the
    spread of models of fifths of the rows). `full`: TSTR is the mean over three families of models and five seeds, each
    of which draws its rows anew.
    """
    rng = evidence.seeds.child("tstr").generator()
    try:
        task, train, holdout, synthetic = posed(evidence, _ROWS, rng)
    except NoTask as error:
        nothing = {"target": None, "task": None, "metric": None}
        return Findings({name: Score(None, note=str(error)) for name in _NAMES}, {"utility": nothing})
    seeds = evidence.seeds.child("tstr")
    sets = [synthetic, train, train + synthetic]
    parts = _parts(train, synthetic, rng)
    asked = [holdout.values, synthetic.values]
    guesses = spread(lambda rows: learnt(task, rows, asked, seeds.integer()), [*sets, *parts])
    results = [(result(task, holdout.answers, h), result(task, synthetic.answers, s)) for h, s in guesses]
    real = results[1][0].value
    if not (math.isfinite(real) and real > 0):
        told = "the target cannot be learnt even from real rows"
        nothing = {"target": None, "task": None, "metric": None}
        return Findings({name: Score(None, n=len(holdout), error=told) for name in _NAMES}, {"utility": nothing})
    again = [results[len(sets) + i : len(sets) + i + 3] for i in range(0, len(parts), 3)]
    scores = {
        name: _score([_ratio(made, name, holdout, synthetic) for made in (results[:3], *again)], len(holdout))
        for name in _NAMES
    }
    details: dict[str, Any] = {
        "target": task.target.name,
        "task": "classification" if task.classes is not None else "regression",
        "metric": "AUC" if task.classes is not None else "R²",
        "models": [
            _model(name, found[0], holdout)
            for name, found in zip(("trained on synthetic", "trained on real"), results, strict=False)
        ],
    }
    if evidence.full:
        scores["tstr_ratio"], details["families"] = _families(task, train, holdout, synthetic, seeds)
    return Findings(scores, {"utility": details})


@dataclass(frozen=True)
class Ratio:
    """A ratio of two scores, and its standard deviation from the choice of test rows."""

    value: float
    deviation: float


def _ratio(results: Sequence[tuple[Result, Result]], name: str, holdout: Rows, synthetic: Rows) -> Ratio:
    """Of models of (synthetic, train, both), each tested on (holdout, synthetic): one of the three measures."""
    (made, _), (real, real_on_made), (both, _) = results
    if name == "trts_ratio":
        return _apart(real_on_made, synthetic, real, holdout)
    return over(made if name == "tstr_ratio" else both, real, holdout.unit)


def over(top: Result, bottom: Result, unit: Array) -> Ratio:
    """A ratio of scores on the same rows, by the delta method."""
    if not (math.isfinite(top.value) and bottom.value > 0):
        return Ratio(math.nan, math.inf)
    value = top.value / bottom.value
    spread = deviation((top.parts - value * bottom.parts) / bottom.value, unit)
    return Ratio(value, math.hypot(spread, max(top.least, bottom.least) / bottom.value))


def _apart(top: Result, on: Rows, bottom: Result, under: Rows) -> Ratio:
    """A ratio of scores on independent rows."""
    if not (math.isfinite(top.value) and bottom.value > 0):
        return Ratio(math.nan, math.inf)
    value = top.value / bottom.value
    above = math.hypot(deviation(top.parts, on.unit), top.least)
    below = math.hypot(deviation(bottom.parts, under.unit), bottom.least) * value
    return Ratio(value, math.hypot(above, below) / bottom.value)


def spread_of(ratios: Sequence[Ratio]) -> float:
    """Standard deviation of the first ratio; the others are of models of equal parts of the rows, whose mean varies
    as a model of all does. So few parts know only so much of their spread: Student's quantile for the normal one's.
    """
    from scipy.stats import t

    seen = [part.value for part in ratios[1:] if math.isfinite(part.value)]
    if len(seen) < 2:
        return math.inf
    learning = float(np.std(seen, ddof=1)) / math.sqrt(len(seen))
    return math.hypot(ratios[0].deviation, learning * float(t.ppf((1 + LEVEL) / 2, len(seen) - 1)) / z())


def _score(ratios: Sequence[Ratio], n: int) -> Score:
    value, deviation = ratios[0].value, spread_of(ratios)
    if not (math.isfinite(value) and math.isfinite(deviation)):
        return Score(None, n=n, note="not measurable: too few rows or answers for an interval")
    half = z() * deviation
    return Score(value, value - half, value + half, 1.0, n, detects=1 - noticed(deviation))


def _parts(train: Rows, synthetic: Rows, rng: np.random.Generator) -> list[Rows]:
    """Fifths of the rows (halves of few), three sets of each: synthetic, train, both."""
    out = []
    sides = [rng.permutation(len(rows)) for rows in (train, synthetic)]
    count = min(max(min(map(len, sides)) // _PART, 2), _PARTS)
    for part in range(count):
        real, made = train.take(np.sort(sides[0][part::count])), synthetic.take(np.sort(sides[1][part::count]))
        out += [made, real, real + made]
    return out


def _families(
    task: Task, train: Rows, holdout: Rows, synthetic: Rows, seeds: Seeds
) -> tuple[Score, list[dict[str, Any]]]:
    """The mean TSTR ratio of three families and five seeds; each seed draws rows with replacement (Efron's bootstrap),
    so that the spread over seeds is that over samples to learn from."""
    from scipy.stats import t

    jobs = [(family, seed, made) for family in FAMILIES for seed in range(_SEEDS) for made in (True, False)]

    def tried(job: tuple[str, int, bool]) -> Result:
        family, seed, made = job
        own = seeds.child("families").child(seed)
        rows = synthetic if made else train
        drawn = np.sort(own.child(int(made)).generator().integers(0, len(rows), len(rows)))
        (guess,) = learnt(task, rows.take(drawn), [holdout.values], own.integer(), family)
        return result(task, holdout.answers, guess)

    found = dict(zip(jobs, spread(tried, jobs), strict=True))
    table, ratios = [], np.full((len(FAMILIES), _SEEDS), math.nan)
    widths = np.zeros(ratios.shape)
    for place, family in enumerate(FAMILIES):
        pairs = [(found[family, seed, True], found[family, seed, False]) for seed in range(_SEEDS)]
        for seed, (made, real) in enumerate(pairs):
            one = over(made, real, holdout.unit)
            ratios[place, seed], widths[place, seed] = one.value, one.deviation
        table.append(
            {
                "name": family,
                "synthetic": float(np.mean([made.value for made, _ in pairs])),
                "real": float(np.mean([real.value for _, real in pairs])),
                "ratio": float(ratios[place].mean()),
                "sd": float(ratios[place].std(ddof=1)),
            }
        )
    if not (np.isfinite(ratios).all() and np.isfinite(widths).all()):
        return Score(None, n=len(holdout), note="not measurable: too few answers, or a family learns nothing"), table
    value = float(ratios.mean())
    spread_of_seeds = float(ratios.mean(0).std(ddof=1))
    half = math.hypot(z() * float(widths.mean()), float(t.ppf((1 + LEVEL) / 2, _SEEDS - 1)) * spread_of_seeds)
    note = f"mean of {len(FAMILIES)} families of models and {_SEEDS} seeds each"
    return Score(value, value - half, value + half, 1.0, len(holdout), note, detects=1 - noticed(half / z())), table


def _model(name: str, found: Result, holdout: Rows) -> dict[str, Any]:
    half = z() * math.hypot(deviation(found.parts, holdout.unit), found.least)
    return {"name": name, "value": found.value, "low": found.value - half, "high": found.value + half}


def _told_apart(real: Array, others: Sequence[Array], levels: list[bool], seeds: Seeds) -> list[tuple[float, float]]:
    """For each other side: the mean AUC over folds, and its variance."""
    jobs = []
    for number, other in enumerate(others):
        rows = np.concatenate([real, other])
        labels = np.repeat([False, True], [len(real), len(other)])
        same = _groups(rows)
        fold = seeds.child(number).generator().integers(0, _FOLDS, same.max() + 1)[same]
        for part in range(_FOLDS):
            test = fold == part
            if all(labels[side].any() and not labels[side].all() for side in (test, ~test)):
                jobs.append((number, rows, labels, test))

    def told(job: tuple[int, Array, Array, Array]) -> tuple[int, float, float, int]:
        number, rows, labels, test = job
        model = _trees(levels, seeds.integer()).fit(filled(rows[~test]), labels[~test])
        return number, *auc(model.predict_proba(rows[test])[:, 1], labels[test]), int(test.sum())

    found = np.array(spread(told, jobs), float).reshape(-1, 4)
    out = []
    for number in range(len(others)):
        part = found[found[:, 0] == number]
        if not len(part):
            raise Unfit("too few distinct rows for a test and a training fold")
        weight = part[:, 3] / part[:, 3].sum()
        out.append((float(part[:, 1] @ weight), float(part[:, 2] @ weight**2)))
    return out


def _trees(levels: list[bool], seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=_ROUNDS,
        learning_rate=0.1,
        early_stopping=False,
        categorical_features=levels or None,
        random_state=seed,
    )


def _groups(rows: Array) -> Array:
    """Each row's number among the distinct ones, NaN equal to NaN."""
    flat = np.ascontiguousarray(np.where(np.isnan(rows), np.inf, rows))
    keys = flat.view(np.dtype((np.void, flat.shape[1] * 8))).ravel()
    return np.unique(keys, return_inverse=True)[1]
