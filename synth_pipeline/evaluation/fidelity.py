"""How alike the distributions are: one column, two columns, missing values; the holdout in synthetic's place beside it.

Every error here is a total variation or Kolmogorov-Smirnov distance: the difference of the means of one witness
function (which cells have too much, which too little) over synthetic and over train. That gives its variance from rows.
All sides are random subsets of equal size, so that sampling noise lifts value and reference alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.evaluation.columns import Unfit, compared, is_number, magnitude, missing, numbers, texts
from synth_pipeline.evaluation.intervals import difference, noticed, z
from synth_pipeline.evaluation.units import units_of
from synth_pipeline.protocols.measure import Evidence, Score
from synth_pipeline.records.schema import Column

Array = np.ndarray
_ROWS = 50_000
_BINS = 16
_LEVELS = 31
_PAIRS = 2_000
_FAR = 1e9


@dataclass(frozen=True)
class Marginal:
    """One column's error, and each row's part in it."""

    error: float
    synthetic: Array
    train: Array


@dataclass(frozen=True)
class Sides:
    """Random subsets of equal size of train, holdout and synthetic rows, and whose the real rows are: a person's rows
    are one observation."""

    train: pa.Table
    holdout: pa.Table
    synthetic: pa.Table
    train_units: Array
    holdout_units: Array

    @classmethod
    def of(cls, evidence: Evidence, purpose: str) -> Sides:
        tables = evidence.train, evidence.holdout, evidence.synthetic
        size = min(_ROWS, *(table.num_rows for table in tables))
        if size < 2:
            raise Unfit("no rows to compare")
        rng = evidence.seeds.child(purpose).generator()
        rows = [np.sort(rng.choice(n, size, replace=False)) if n > size else np.arange(n) for n in map(len, tables)]
        units = [owner[taken] for owner, taken in zip(units_of(evidence), rows, strict=False)]
        train, holdout, synthetic = (table.take(taken) for table, taken in zip(tables, rows, strict=True))
        return cls(train, holdout, synthetic, *units)

    @property
    def columns(self) -> list[Column]:
        """
        Raises:
            Unfit: no column is in all of them.
        """
        cols = compared(self.train, self.holdout, self.synthetic)
        if not cols:
            raise Unfit("no column to compare")
        return cols

    def made(self, ours: Array, real: Array) -> tuple[float, float, float]:
        """Difference of the means of what synthetic and train rows add."""
        return difference(ours, real, (None, self.train_units))

    def held(self, held: Array, real: Array) -> tuple[float, float, float]:
        """The same of holdout and train rows."""
        return difference(held, real, (self.holdout_units, self.train_units))


def shapes(evidence: Evidence) -> tuple[Score, list[dict[str, Any]]]:
    """`shape_error`: mean over columns of KS (numbers, dates) or TV (levels) between the values that are there."""
    sides = Sides.of(evidence, "shapes")
    train, holdout, synthetic = sides.train, sides.holdout, sides.synthetic
    parts, references, details = [], [], []
    for column in sides.columns:
        found, held = (marginal(column, side, train) for side in (synthetic, holdout))
        parts.append(found)
        references.append(held)
        details.append(
            {
                "name": column.name,
                "meaning": column.meaning.value,
                "shape_error": found.error,
                "reference": held.error,
                "wasserstein": _wasserstein(column, synthetic, train),
            }
        )
    value, low, high = sides.made(*mean_parts(parts))
    reference, _, above = sides.held(*mean_parts(references))
    detects = reference + noticed((above - reference) / z())
    return Score(value, max(low, 0.0), min(high, 1.0), reference, train.num_rows, detects=min(detects, 1.0)), details


def mean_parts(parts: Sequence[Marginal]) -> tuple[Array, Array]:
    """Each row's part in the mean of several columns' errors."""
    return np.mean([part.synthetic for part in parts], axis=0), np.mean([part.train for part in parts], axis=0)


def gaps(evidence: Evidence) -> Score:
    """`missing_error`: mean over columns of the difference between the rates of missing values."""
    sides = Sides.of(evidence, "gaps")
    train = sides.train
    ours, real, held = (
        np.stack([missing(side, c) for c in sides.columns]).astype(float)
        for side in (sides.synthetic, train, sides.holdout)
    )
    sign = np.sign(ours.mean(1) - real.mean(1))[:, None]
    value, low, high = sides.made((sign * ours).mean(0), (sign * real).mean(0))
    sign = np.sign(held.mean(1) - real.mean(1))[:, None]
    reference, _, above = sides.held((sign * held).mean(0), (sign * real).mean(0))
    detects = min(reference + noticed((above - reference) / z()), 1.0)
    return Score(value, max(low, 0.0), min(high, 1.0), reference, train.num_rows, detects=detects)


def trends(evidence: Evidence) -> tuple[Score, dict[str, Any]]:
    """`trend_error`: mean over pairs of columns of the TV between their joint tables; edges and levels from train."""
    sides = Sides.of(evidence, "trends")
    train, holdout, synthetic, cols = sides.train, sides.holdout, sides.synthetic, sides.columns
    if len(cols) == 1:
        note = "there is one column: no pair to compare"
        return Score(0.0, 0.0, 0.0, 0.0, train.num_rows, note, detects=0.0), {}
    coded = [binned(column, train, (train, holdout, synthetic)) for column in cols]
    pairs = list(itertools.combinations(range(len(cols)), 2))
    if len(pairs) > _PAIRS:
        rng = evidence.seeds.child("pairs").generator()
        pairs = [pairs[i] for i in np.sort(rng.choice(len(pairs), _PAIRS, replace=False))]
    ours, theirs, held, known = (np.zeros(train.num_rows) for _ in range(4))
    real, drawn = np.eye(len(cols)), np.eye(len(cols))
    errors, references = [], []
    for a, b in pairs:
        width = coded[b][1]
        cells = [x.astype(np.int64) * width + y for x, y in zip(coded[a][0], coded[b][0], strict=True)]
        t, h, s = (np.bincount(cell, minlength=coded[a][1] * width) for cell in cells)
        witness = np.sign(s - t) / 2
        ours += witness[cells[2]]
        theirs += witness[cells[0]]
        witness = np.sign(h - t) / 2
        held += witness[cells[1]]
        known += witness[cells[0]]
        errors.append(float(np.abs(s - t).sum()) / 2 / train.num_rows)
        references.append(float(np.abs(h - t).sum()) / 2 / train.num_rows)
        real[a, b] = real[b, a] = association(t.reshape(-1, width))
        drawn[a, b] = drawn[b, a] = association(s.reshape(-1, width))
    value, low, high = sides.made(ours / len(pairs), theirs / len(pairs))
    reference, _, above = sides.held(held / len(pairs), known / len(pairs))
    detects = min(reference + noticed((above - reference) / z()), 1.0)
    worst = sorted(range(len(pairs)), key=lambda i: references[i] - errors[i])[:30]
    details = {
        "associations": {
            "columns": [column.name for column in cols],
            "real": np.round(real, 4).tolist(),
            "synthetic": np.round(drawn, 4).tolist(),
        },
        "pairs": [
            {
                "a": cols[pairs[i][0]].name,
                "b": cols[pairs[i][1]].name,
                "trend_error": errors[i],
                "reference": references[i],
            }
            for i in worst
        ],
    }
    return Score(value, max(low, 0.0), min(high, 1.0), reference, train.num_rows, detects=detects), details


def marginal(column: Column, side: pa.Table, train: pa.Table) -> Marginal:
    """KS or TV between one column's values on two sides, missing ones left out."""
    if is_number(column):
        values = [numbers(table, column.name) for table in (side, train)]
        known = [np.sort(v[~np.isnan(v)]) for v in values]
        if not all(map(len, known)):
            return _one_sided(*values)
        grid = np.unique(np.concatenate(known))
        apart = np.subtract(*(np.searchsorted(k, grid, "right") / len(k) for k in known))
        cut = int(np.argmax(np.abs(apart)))
        sign = 1.0 if apart[cut] >= 0 else -1.0
        sides = [np.where(np.isnan(v), 0.0, (v <= grid[cut]) * sign) / (~np.isnan(v)).mean() for v in values]
        return Marginal(float(abs(apart[cut])), *sides)
    coded, size = _levels(column, (side, train))
    if not all((codes >= 0).any() for codes in coded):
        return _one_sided(*(np.where(codes >= 0, 0.0, np.nan) for codes in coded))
    shares = [np.bincount(codes[codes >= 0], minlength=size) / (codes >= 0).sum() for codes in coded]
    witness = np.sign(shares[0] - shares[1]) / 2
    sides = [np.where(codes >= 0, witness[codes], 0.0) / (codes >= 0).mean() for codes in coded]
    return Marginal(float(np.abs(shares[0] - shares[1]).sum()) / 2, *sides)


def binned(
    column: Column, train: pa.Table, sides: Sequence[pa.Table], bins: int = _BINS, levels: int = _LEVELS
) -> tuple[list[Array], int]:
    """Codes of a column's values with bins or levels fitted on train: 0 is missing; open ends; rare levels together."""
    if is_number(column):
        values = numbers(train, column.name)
        known = values[~np.isnan(values)]
        edges = (
            np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf"))
            if len(known)
            else np.empty(0)
        )
        coded = []
        for side in sides:
            values = numbers(side, column.name)
            coded.append(np.where(np.isnan(values), 0, 1 + np.searchsorted(edges, values, "right")))
        return coded, len(edges) + 2
    counted = texts(train, column.name).drop_null().value_counts()
    order = np.argsort(-counted.field("counts").to_numpy(zero_copy_only=False), kind="stable")[:levels]
    common = counted.field("values").take(pa.array(order))
    coded = []
    for side in sides:
        data = texts(side, column.name)
        codes = pc.fill_null(pc.index_in(data, common), len(common)).to_numpy(zero_copy_only=False) + 1
        coded.append(np.where(data.is_null().to_numpy(zero_copy_only=False), 0, codes))
    return coded, len(common) + 2


def association(table: Array) -> float:
    """Cramér's V with Bergsma's (2013) correction: 0 for independent columns, 1 when one tells the other."""
    table = table[table.sum(1) > 0][:, table.sum(0) > 0].astype(float)
    n = table.sum()
    rows, cols = table.shape
    if n < 2 or min(rows, cols) < 2:
        return 0.0
    expected = table.sum(1, keepdims=True) * table.sum(0) / n
    phi = max(0.0, float(((table - expected) ** 2 / expected).sum()) / n - (rows - 1) * (cols - 1) / (n - 1))
    least = min(rows - (rows - 1) ** 2 / (n - 1), cols - (cols - 1) ** 2 / (n - 1)) - 1
    return float(min(1.0, np.sqrt(phi / least))) if least > 0 else 0.0


def _levels(column: Column, sides: Sequence[pa.Table]) -> tuple[list[Array], int]:
    columns = [texts(side, column.name) for side in sides]
    known = pc.unique(pa.chunked_array(columns)).drop_null()
    return [pc.fill_null(pc.index_in(c, known), -1).to_numpy(zero_copy_only=False) for c in columns], len(known)


def _one_sided(side: Array, train: Array) -> Marginal:
    """A side without any value: the same when both have none, else as different as can be."""
    alike = bool(np.isnan(side).all() and np.isnan(train).all())
    return Marginal(float(not alike), np.full(len(side), float(not alike)), np.zeros(len(train)))


def _wasserstein(column: Column, side: pa.Table, train: pa.Table) -> float | None:
    """Mean distance that values must be moved, in units of train's interquartile spread, from 1,000 quantiles."""
    if not is_number(column):
        return None
    known = [v[np.isfinite(v)] for v in (numbers(table, column.name) for table in (side, train))]
    if not all(map(len, known)):
        return None
    levels = (np.arange(1_000) + 0.5) / 1_000
    unit = magnitude(known[1])
    with np.errstate(over="ignore"):
        ours, real = (np.quantile(np.clip(v / unit, -_FAR, _FAR), levels) for v in known)
        spread = real[750] - real[250] or real.std() or 1.0
        return float(min(np.abs(ours - real).mean() / spread, _FAR))
