"""A model's task on a table: what is learnt from which columns, by which family of models, and how well it went."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.evaluation.columns import Unfit, compared, is_number, magnitude, matrix, numbers, texts
from synth_pipeline.evaluation.intervals import midranks
from synth_pipeline.evaluation.units import units_of
from synth_pipeline.protocols.measure import Evidence
from synth_pipeline.records.schema import Column, columns

Array = np.ndarray
_CLASSES = 20
_ROUNDS = 100
_TREES = 400
"""Boosted trees of one model: each round grows one for every class."""
_FAR = 1e9
"""Answers end where they are so many times the largest of train."""
_FINITE = 3e38
"""Trees hold numbers in single precision."""


class NoTask(Unfit):
    """There is nothing to learn: no target is declared, or it is no class and no number."""


@dataclass(frozen=True)
class Task:
    """`classes`: the target's in train; None for a number to regress. `levels`: which features hold codes."""

    target: Column
    features: tuple[str, ...]
    levels: list[bool]
    classes: pa.Array | None


@dataclass(frozen=True)
class Rows:
    """Rows that have an answer: what models see of them, the answer, which row of its table each is, and whose."""

    values: Array
    answers: Array
    place: Array
    unit: Array

    def __len__(self) -> int:
        return len(self.answers)

    def take(self, rows: Array) -> Rows:
        return Rows(self.values[rows], self.answers[rows], self.place[rows], self.unit[rows])

    def __add__(self, other: Rows) -> Rows:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Rows(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True)
class Result:
    """A score on test rows; what each row adds to its error (its influence function); and the least standard
    deviation that so few rows warrant, however even they look."""

    value: float
    parts: Array
    least: float


def posed(evidence: Evidence, most: int, rng: np.random.Generator) -> tuple[Task, Rows, Rows, Rows]:
    """The task, and random rows of train, holdout and synthetic with an answer: as many of train as of synthetic.

    Raises:
        NoTask: nothing is to be learnt.
        Unfit: it cannot be learnt from these tables.
    """
    target = next((c for c in columns(evidence.train.schema) if c.name == evidence.target), None)
    if target is None:
        raise NoTask("no target column is declared")
    sides = evidence.train, evidence.holdout, evidence.synthetic
    features = [column for column in compared(*sides) if column.name != target.name]
    if not features or any(target.name not in side.column_names for side in sides):
        raise Unfit("no column to learn the target from")
    known = pc.unique(texts(evidence.train, target.name)).drop_null()
    classes = None if is_number(target) and len(known) > _CLASSES else known
    if classes is not None and not 2 <= len(classes) <= _CLASSES:
        raise NoTask(f"the target has {len(classes)} classes")
    size = min(most, evidence.train.num_rows, evidence.synthetic.num_rows)
    chosen = [_chosen(side.num_rows, rows, rng) for side, rows in zip(sides, (size, most, size), strict=True)]
    taken = [side.take(rows) for side, rows in zip(sides, chosen, strict=True)]
    values, levels = matrix(taken, taken[:2], features)
    # scores have no unit, and squares of far numbers no end
    unit = magnitude(numbers(taken[0], target.name)) if classes is None else 1.0
    owners = [*units_of(evidence), np.arange(evidence.synthetic.num_rows)]
    out = []
    for side, rows, seen, owner in zip(taken, chosen, values, owners, strict=True):
        answers = _answers(target, side, classes, unit)
        kept = np.flatnonzero(~np.isnan(answers))
        out.append(Rows(seen[kept], answers[kept], rows[kept], owner[rows[kept]]))
    return Task(target, tuple(column.name for column in features), levels, classes), out[0], out[1], out[2]


def boosted_trees(task: Task, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if task.classes is None else HistGradientBoostingClassifier
    classes = 1 if task.classes is None or len(task.classes) == 2 else len(task.classes)
    return kind(
        max_iter=max(min(_ROUNDS, _TREES // classes), 20),
        learning_rate=0.1,
        early_stopping=False,
        categorical_features=task.levels or None,
        random_state=seed,
    )


def random_forest(task: Task, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestRegressor if task.classes is None else RandomForestClassifier
    return kind(n_estimators=100, min_samples_leaf=5, max_features="sqrt", random_state=seed)


def linear(task: Task, seed: int) -> Any:
    """Logistic or ridge regression on normal quantiles of numbers and one column per level."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, QuantileTransformer

    filled = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    scaled = QuantileTransformer(n_quantiles=200, output_distribution="normal", random_state=seed)
    numeric = [place for place, level in enumerate(task.levels) if not level]
    coded = [place for place, level in enumerate(task.levels) if level]
    seen = ColumnTransformer(
        [("numbers", make_pipeline(filled, scaled), numeric), ("levels", OneHotEncoder(handle_unknown="ignore"), coded)]
    )
    return make_pipeline(seen, Ridge() if task.classes is None else LogisticRegression(max_iter=500))


FAMILIES = {"boosted trees": boosted_trees, "random forest": random_forest, "linear": linear}


def learnt(task: Task, rows: Rows, asked: Sequence[Array], seed: int, family: str = "boosted trees") -> list[Array]:
    """Predictions for each of `asked` by a model fitted on `rows`: a number, or one probability per class."""
    values = filled(np.clip(rows.values, -_FINITE, _FINITE))
    asked = [np.clip(side, -_FINITE, _FINITE) for side in asked]
    if task.classes is None:
        if len(rows) < 2:
            return [np.full(len(side), np.nan) for side in asked]
        model = FAMILIES[family](task, seed).fit(values, rows.answers)
        return [model.predict(side) if len(side) else np.empty(0) for side in asked]
    out = [np.zeros((len(side), len(task.classes))) for side in asked]
    present = np.unique(rows.answers).astype(int)
    if len(present) == 1:  # one class: nothing to learn, all rows alike
        for guess in out:
            guess[:, present] = 1.0
    elif len(present) > 1:
        model = FAMILIES[family](task, seed).fit(values, rows.answers.astype(int))
        for guess, side in ((guess, side) for guess, side in zip(out, asked, strict=True) if len(side)):
            guess[:, model.classes_.astype(int)] = model.predict_proba(side)
    return out


def filled(values: Array) -> Array:
    """Columns without any value hold zeros: boosted trees know no other way to leave them out."""
    return np.where(np.isnan(values).all(0), 0.0, values)


def result(task: Task, truth: Array, guess: Array) -> Result:
    """AUC (its mean over classes against the rest) for classes, R² for numbers; not a number where there is none."""
    if task.classes is None:
        return _r2(truth, guess)
    present = [c for c in range(guess.shape[1]) if 0 < (truth == c).sum() < len(truth)]
    if guess.shape[1] == 2:
        present = present[-1:]
    if not present:
        return Result(math.nan, np.zeros(len(truth)), math.inf)
    found = [_auc(guess[:, c], truth == c) for c in present]
    return Result(
        float(np.mean([part.value for part in found])),
        np.mean([part.parts for part in found], axis=0),
        float(np.mean([part.least for part in found])),
    )


def deviation(parts: Array, unit: Array) -> float:
    """Standard deviation of a mean whose rows' influences are `parts`; rows of one person count as one."""
    if not len(parts):
        return math.inf
    _, place = np.unique(unit, return_inverse=True)
    sums = np.bincount(place, parts)
    return math.inf if len(sums) < 2 else math.sqrt(float((sums**2).sum()) * len(sums) / (len(sums) - 1)) / len(parts)


def _auc(scores: Array, labels: Array) -> Result:
    """The placements of DeLong (1988) as influences."""
    m, n = int(labels.sum()), int((~labels).sum())
    ranks = midranks(scores)
    placed = np.empty(len(scores))
    placed[labels] = (ranks[labels] - midranks(scores[labels])) / n
    placed[~labels] = 1 - (ranks[~labels] - midranks(scores[~labels])) / m
    value = float(placed[labels].mean())
    weight = np.where(labels, len(scores) / m, len(scores) / n)
    return Result(value, (placed - value) * weight, 2 / (min(m, n) + 4))


def _r2(truth: Array, guess: Array) -> Result:
    with np.errstate(all="ignore"):
        apart, missed = (truth - truth.mean()) ** 2, (truth - guess) ** 2
        spread = float(apart.mean()) if len(truth) else 0.0
        value = 1 - float(missed.mean()) / spread if spread > 0 else math.nan
        parts = -(missed - (1 - value) * apart) / spread if spread > 0 else np.zeros(len(truth))
    return Result(value, parts, 2 / (len(truth) + 4))


def _chosen(rows: int, most: int, rng: np.random.Generator) -> Array:
    return np.arange(rows) if rows <= most else np.sort(rng.choice(rows, most, replace=False))


def _answers(target: Column, side: pa.Table, classes: pa.Array | None, unit: float) -> Array:
    if classes is None:
        values = numbers(side, target.name)
        with np.errstate(over="ignore"):
            return np.where(np.isfinite(values), np.clip(values / unit, -_FAR, _FAR), np.nan)
    codes = pc.index_in(texts(side, target.name), classes)
    codes = codes.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(codes, dtype=np.float64)
