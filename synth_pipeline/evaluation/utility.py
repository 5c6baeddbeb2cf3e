"""What the table is worth to a model: can trees tell it from real rows, and do they learn the same from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.evaluation.columns import Unfit, compared, is_number, matrix, numbers, subset, texts
from synth_pipeline.evaluation.intervals import auc, z
from synth_pipeline.evaluation.table import features_of
from synth_pipeline.evaluation.threads import spread
from synth_pipeline.protocols.measure import Evidence, Score
from synth_pipeline.records.schema import Column, columns
from synth_pipeline.seeds import Seeds

Array = np.ndarray
_ROWS = 20_000
_FOLDS = 3
_CLASSES = 20
_RESAMPLES = 200


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
    (value, variance), (reference, _) = _told_apart(t, (s, h), levels, evidence.seeds.child("c2st"))
    half = z() * float(np.sqrt(variance))
    score = Score(value, max(value - half, 0.0), min(value + half, 1.0), reference, size)
    return score, {"value": value, "low": score.low, "high": score.high, "reference": reference}


def transfer(evidence: Evidence) -> tuple[Score, dict[str, Any]]:
    """`tstr_ratio`: the score on the holdout of trees trained on synthetic rows, over that of trees trained on train.

    AUC (its mean over classes against the rest) for classes, R² for numbers. The interval resamples the holdout.
    """
    target = next((c for c in columns(evidence.train.schema) if c.name == evidence.target), None)
    if target is None:
        return Score(None, note="no target column is declared"), {"target": None, "task": None, "metric": None}
    sides = evidence.train, evidence.holdout, evidence.synthetic
    features = [column for column in compared(*sides) if column.name != target.name]
    if not features or any(target.name not in side.column_names for side in sides):
        raise Unfit("no column to learn the target from")
    size = min(_ROWS, evidence.train.num_rows, evidence.synthetic.num_rows)
    rng = evidence.seeds.child("tstr").generator()
    train, synthetic = subset(evidence.train, size, rng), subset(evidence.synthetic, size, rng)
    holdout = subset(evidence.holdout, _ROWS, rng)
    classes = _classes(target, evidence.train)
    if classes is not None and not 2 <= len(classes) <= _CLASSES:
        return Score(None, note=f"the target has {len(classes)} classes"), {
            "target": target.name,
            "task": None,
            "metric": None,
        }
    (t, h, s), levels = matrix((train, holdout, synthetic), (train, holdout), features)
    answers = [_answers(target, side, classes) for side in (train, holdout, synthetic)]
    seed = evidence.seeds.child("tstr").integer()
    asked = ~np.isnan(answers[1])
    truth = answers[1][asked]
    guesses = spread(lambda xy: _fitted(*xy, h[asked], levels, classes, seed), ((s, answers[2]), (t, answers[0])))
    score = _mean_auc if classes is not None else _r2
    ours, real = (score(truth, guess) for guess in guesses)
    if not (np.isfinite(ours) and np.isfinite(real)) or real <= 0:
        return Score(None, n=len(truth), error="the target cannot be learnt even from real rows"), {
            "target": target.name,
            "task": None,
            "metric": None,
        }
    drawn = rng.integers(0, len(truth), (_RESAMPLES if len(truth) < 5_000 else _RESAMPLES // 4, len(truth)))
    again = np.array([[score(truth[rows], guess[rows]) for guess in guesses] for rows in drawn])
    again = again[np.isfinite(again).all(1)]
    if len(again) < _RESAMPLES // 8:
        raise Unfit("too few answers in the holdout")
    deviations = again.std(0, ddof=1)
    half = z() * float(np.std(again[:, 0] / again[:, 1], ddof=1))
    details = {
        "target": target.name,
        "task": "classification" if classes is not None else "regression",
        "metric": "AUC" if classes is not None else "R²",
        "models": [
            {"name": name, "value": v, "low": v - z() * float(sd), "high": v + z() * float(sd)}
            for name, v, sd in zip(("trained on synthetic", "trained on real"), (ours, real), deviations, strict=True)
        ],
    }
    return Score(ours / real, ours / real - half, ours / real + half, 1.0, len(truth)), details


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
        model = _trees(levels, seeds.integer()).fit(rows[~test], labels[~test])
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


def _fitted(
    rows: Array, answers: Array, asked: Array, levels: list[bool], classes: pa.Array | None, seed: int
) -> Array:
    """Predictions for `asked` of trees fitted on rows with an answer: a number, or one column per class."""
    known = ~np.isnan(answers)
    rows, answers = rows[known], answers[known]
    if classes is None:
        if len(answers) < 2:
            return np.full(len(asked), np.nan)
        return _trees(levels, seed, regression=True).fit(rows, answers).predict(asked)
    out = np.zeros((len(asked), len(classes)))
    present = np.unique(answers).astype(int)
    if len(present) == 1:  # one class: nothing to learn, all rows alike
        out[:, present] = 1.0
    elif len(present) > 1:
        model = _trees(levels, seed).fit(rows, answers.astype(int))
        out[:, model.classes_.astype(int)] = model.predict_proba(asked)
    return out


def _trees(levels: list[bool], seed: int, regression: bool = False) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    return kind(
        max_iter=100, learning_rate=0.1, early_stopping=False, categorical_features=levels or None, random_state=seed
    )


def _classes(target: Column, train: pa.Table) -> pa.Array | None:
    """The target's classes in train, None for a number to regress: one with more than `_CLASSES` values."""
    known = pc.unique(texts(train, target.name)).drop_null()
    return None if is_number(target) and len(known) > _CLASSES else known


def _answers(target: Column, side: pa.Table, classes: pa.Array | None) -> Array:
    if classes is None:
        values = numbers(side, target.name)
        return np.where(np.isfinite(values), values, np.nan)
    codes = pc.index_in(texts(side, target.name), classes)
    return np.asarray(codes.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _mean_auc(truth: Array, guess: Array) -> float:
    present = [c for c in range(guess.shape[1]) if 0 < (truth == c).sum() < len(truth)]
    if guess.shape[1] == 2:
        present = present[-1:]
    return float(np.mean([auc(guess[:, c], truth == c)[0] for c in present])) if present else float("nan")


def _r2(truth: Array, guess: Array) -> float:
    spread = float(((truth - truth.mean()) ** 2).sum())
    return 1 - float(((truth - guess) ** 2).sum()) / spread if spread > 0 else float("nan")


def _groups(rows: Array) -> Array:
    """Each row's number among the distinct ones, NaN equal to NaN."""
    flat = np.ascontiguousarray(np.where(np.isnan(rows), np.inf, rows))
    keys = flat.view(np.dtype((np.void, flat.shape[1] * 8))).ravel()
    return np.unique(keys, return_inverse=True)[1]
