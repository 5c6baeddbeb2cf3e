"""Tables that leak on purpose, in disguises that have fooled other gates: each makes evidence that must be blocked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.evaluation.columns import is_number, numbers, texts
from synth_pipeline.protocols.measure import Evidence
from synth_pipeline.records.schema import Column, columns

Array = np.ndarray
Adversary = Callable[[Evidence, np.random.Generator], Evidence]
_BINS = 5
_MINORITY = 0.05
_UNUSUAL = 0.015
_TIMES = 4


def verbatim(evidence: Evidence, rng: np.random.Generator) -> Evidence:
    """Training rows as they are."""
    return made(evidence, evidence.train)


def shuffled(evidence: Evidence, rng: np.random.Generator) -> Evidence:
    """Training rows in another order."""
    return made(evidence, evidence.train.take(rng.permutation(evidence.train.num_rows)))


def categorical(evidence: Evidence, rng: np.random.Generator) -> Evidence:
    """A table of levels alone, copied: every number becomes one of five bins, on the real side too."""
    cuts = {
        column.name: np.unique(np.nanquantile(numbers(evidence.train, column.name), np.linspace(0, 1, _BINS + 1)[1:-1]))
        for column in columns(evidence.train.schema)
        if is_number(column)
    }
    train, holdout = (_binned(side, cuts) for side in (evidence.train, evidence.holdout))
    return made(replace(evidence, train=train, holdout=holdout), train)


def jittered(evidence: Evidence, rng: np.random.Generator) -> Evidence:
    """Training rows with their most telling number blurred: by up to a tenth of its standard deviation."""
    train = evidence.train
    named = [column for column in columns(train.schema) if is_number(column)]
    worst = max(named, key=lambda column: len(np.unique(numbers(train, column.name))))
    return made(evidence, _blurred(train, worst, rng))


def resampled(evidence: Evidence, rng: np.random.Generator) -> Evidence:
    """Training rows, in each of which one value was replaced by one that another row has there."""
    return made(evidence, _one_redrawn(evidence.train, rng))


def minority(evidence: Evidence, rng: np.random.Generator) -> Evidence:
    """Fresh rows, but the persons of one rare level (about one row in twenty) are copies."""
    few, others = _minority(evidence)
    return made(evidence, pa.concat_tables([others, few]))


def minority_resampled(evidence: Evidence, rng: np.random.Generator) -> Evidence:
    """The same with one value of every copy replaced."""
    few, others = _minority(evidence)
    return made(evidence, pa.concat_tables([others, _one_redrawn(few, rng, evidence.train)]))


def outliers(evidence: Evidence, rng: np.random.Generator) -> Evidence:
    """Fresh rows, beside which the 1.5 % most unusual training rows stand four times each."""
    return made(evidence, pa.concat_tables([evidence.synthetic, _unusual(evidence.train)]))


def outliers_resampled(evidence: Evidence, rng: np.random.Generator) -> Evidence:
    """The same with one value of every copy replaced."""
    return made(
        evidence,
        pa.concat_tables([evidence.synthetic, _one_redrawn(_unusual(evidence.train), rng, evidence.train)]),
    )


ADVERSARIES: dict[str, Adversary] = {
    "verbatim copy": verbatim,
    "rows shuffled": shuffled,
    "all-categorical copy": categorical,
    "one number blurred": jittered,
    "one value a row redrawn": resampled,
    "minority copied": minority,
    "minority copied, one value a row redrawn": minority_resampled,
    "outliers copied": outliers,
    "outliers copied, one value a row redrawn": outliers_resampled,
}


def made(evidence: Evidence, rows: pa.Table) -> Evidence:
    return replace(evidence, synthetic=rows, released=rows)


def planted(evidence: Evidence, part: float, rng: np.random.Generator) -> Evidence:
    """Fresh rows of which this part is replaced by verbatim training rows."""
    fresh = evidence.synthetic
    copies = min(round(part * fresh.num_rows), fresh.num_rows)
    taken = rng.choice(evidence.train.num_rows, copies, replace=copies > evidence.train.num_rows)
    return made(evidence, pa.concat_tables([fresh.slice(copies), evidence.train.take(taken)]))


def _minority(evidence: Evidence) -> tuple[pa.Table, pa.Table]:
    """The training rows of the level whose part is nearest to one in twenty, and the fresh rows of all others."""
    best: tuple[float, str, str] | None = None
    for column in columns(evidence.train.schema):
        if is_number(column):
            continue
        for row in texts(evidence.train, column.name).drop_null().value_counts().to_pylist():
            apart = abs(row["counts"] / evidence.train.num_rows - _MINORITY)
            best = min(best or (1.0, "", ""), (apart, column.name, row["values"]))
    assert best is not None, "no column of levels"
    _, name, level = best
    train, fresh = (
        pc.fill_null(pc.equal(texts(side, name), level), False) for side in (evidence.train, evidence.synthetic)
    )
    return evidence.train.filter(train), evidence.synthetic.filter(pc.invert(fresh))


def _unusual(table: pa.Table) -> pa.Table:
    """The rows of most surprise: the sum over columns of -log of how common their value (of a number: its bin) is."""
    surprise = np.zeros(table.num_rows)
    for column in columns(table.schema):
        if is_number(column):
            values = numbers(table, column.name)
            cuts = np.unique(np.nanquantile(values, np.linspace(0, 1, 41)[1:-1]))
            codes = np.where(np.isnan(values), len(cuts) + 1, np.searchsorted(cuts, values, "right"))
        else:
            codes = texts(table, column.name).dictionary_encode().indices.fill_null(-1).to_numpy() + 1
        counts = np.bincount(codes)
        if np.count_nonzero(counts) < table.num_rows / 2:  # where all are different, nobody stands out
            surprise -= np.log(counts[codes] / table.num_rows)
    most = np.argsort(-surprise, kind="stable")[: max(round(_UNUSUAL * table.num_rows), 1)]
    return table.take(np.repeat(most, _TIMES))


def _one_redrawn(rows: pa.Table, rng: np.random.Generator, source: pa.Table | None = None) -> pa.Table:
    source = source or rows
    which = rng.integers(0, rows.num_columns, rows.num_rows)
    for place, field in enumerate(rows.schema):
        other = source.column(place).take(rng.integers(0, source.num_rows, rows.num_rows))
        rows = rows.set_column(place, field, pc.if_else(pa.array(which == place), other, rows.column(place)))
    return rows


def _blurred(rows: pa.Table, column: Column, rng: np.random.Generator) -> pa.Table:
    values = numbers(rows, column.name)
    noisy = values + rng.uniform(-0.1, 0.1, len(values)) * np.nanstd(values)
    place = rows.schema.get_field_index(column.name)
    field = rows.schema.field(place)
    if pa.types.is_integer(field.type):
        noisy = np.round(noisy)
    gone = np.isnan(noisy)
    drawn = pa.array(np.where(gone, 0, noisy), pa.float64(), mask=gone).cast(field.type, safe=False)
    return rows.set_column(place, field, drawn)


def _binned(table: pa.Table, cuts: dict[str, Array]) -> pa.Table:
    out = {}
    for column in columns(table.schema):
        if column.name in cuts:
            values = numbers(table, column.name)
            bins = np.char.add("bin ", np.searchsorted(cuts[column.name], values, "right").astype(str))
            out[column.name] = pa.array(bins, mask=np.isnan(values))
        else:
            out[column.name] = texts(table, column.name)
    return pa.table(out)
