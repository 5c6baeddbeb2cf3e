"""What was published from one source adds up: persons exposed by any release so far, not rows that copy in this one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pyarrow as pa

from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.evaluation.copying import NEAR_UNIQUE
from synth_pipeline.evaluation.intervals import risk, z
from synth_pipeline.evaluation.keys import comparable
from synth_pipeline.evaluation.matches import Held, holders
from synth_pipeline.evaluation.readings import Readings
from synth_pipeline.evaluation.table import TableFeatures, features_of
from synth_pipeline.evaluation.units import units_of
from synth_pipeline.protocols.measure import Evidence, Findings, Score
from synth_pipeline.records.schema import columns

Array = np.ndarray
EARLIER_ROWS = 200_000
"""Rows of earlier releases that measures of how they lie are shown."""
_SURE = 0.02
"""Values are looked at as long as the interval stays within this of R: what meets many by chance tells of nobody."""
_CLOSE = 0.001
"""How near a number is read as a real one: in many releases some rows come by chance where one row hardly does."""
_BEYOND_DOUBT = 0.999
_POWER = 0.8


def cumulative(evidence: Evidence) -> Findings:
    """`cumulative_exposure`: R = (a - c) / (1 - c), a and c the parts of train's and of the holdout's persons of whom
    any published row, of this release or an earlier one, equals a row or repeats a value that they alone have.

    Persons count once, however often they are met: a few copies in each of many releases add up. A generator that
    copies nobody meets both sides alike, however much is published.
    """
    units = units_of(evidence)
    if not (len(units[0]) and len(units[1]) and evidence.released.num_rows):
        raise Unfit("no rows to compare")
    label = np.zeros(int(max(side.max() for side in units)) + 1, bool)
    label[units[0]] = True
    published = [table for table in (evidence.released, evidence.earlier, evidence.telling) if table is not None]
    (met, lone), *others = (
        (_exposed(held, [keys(rows) for rows in published]), _exposed(held, [held.keys]))
        for keys, held in _kinds(evidence, units)
    )
    trained, control = int(label.sum()), int((~label).sum())
    most = _by_chance(trained, control)
    # What is seldom met comes first: of columns in which most values recur anyway, nothing would be learned. Persons of
    # both sides count, since to choose by the holdout's would make chance look too small; unless train's stand out.
    left = 0
    for part, theirs in sorted(others, key=lambda part: (not _leans(part[0], label), float(part[0].mean()))):
        both = met | part
        if both.mean() <= most or (both[~label].mean() <= most and _leans(both, label)):
            met, lone = met | part, lone | theirs
        else:
            left += 1
    hits = int(met[label].sum()), int(met[~label].sum())
    value, low, high = risk((hits[0], trained), (hits[1], control))
    releases, rows, of_rows = _counts(evidence)
    which = "of this release" + (f" and {releases} earlier ones" if releases else "")
    note = (
        f"of {trained} persons of train {_few(hits[0])} are met by a published row or value that they alone have, "
        f"of {control} of the holdout {_few(hits[1])}; "
        f"{f'{rows} of {of_rows}' if rows < of_rows else rows} published rows, {which}"
        + (f"; {left} columns whose values recur by chance are left out" if left else "")
        + ("" if lone[label].any() else "; no row or value is anybody's alone: copies cannot be told from chance here")
    )
    details = {
        "releases": releases,
        "rows": rows,
        "of_rows": of_rows,
        "train": hits[0],
        "holdout": hits[1],
        "of_train": trained,
        "of_holdout": control,
    }
    score = Score(
        value, low, high, 0.0, trained, note, detects=_detects(trained, (hits[1], control), float(lone[label].mean()))
    )
    return Findings({"cumulative_exposure": score}, {"cumulative": details})


def with_earlier(
    evidence: Evidence, releases: Iterable[tuple[int, Iterable[pa.RecordBatch]]], most: int = EARLIER_ROWS
) -> Evidence:
    """The evidence with `earlier`, every so-manieth row of all earlier releases, at most `most`; and with `telling`,
    found among all of their rows: no more than there are values that one person alone has.

    Columns go by name. One that a release lacks, or has as what cannot be cast without loss, is missing there: such
    rows equal nobody's, yet their other values still tell.

    Args:
        releases: of each release, how many rows it has, and these.
    """
    known = list(releases)
    total = sum(rows for rows, _ in known)
    if not total:
        return evidence
    kinds = []
    with suppress(Unfit):  # then nothing is measured, and that is told where it is
        kinds = [(keys, held.keys[held.lone]) for keys, held in _kinds(evidence, units_of(evidence))]
    unmet = [np.ones(len(lone), bool) for _, lone in kinds]
    plain = pa.schema([pa.field(column.name, column.type) for column in evidence.train.schema])
    sample, telling, begin, step = [], [], 0, max(total / most, 1.0)
    for rows, batches in known:
        place = begin
        for batch in batches:
            table = pa.Table.from_batches([_aligned(batch, plain)])
            sample.append(table.take(_every(step, place, place + batch.num_rows)))
            fresh = [_fresh(keys(table), lone, left) for (keys, lone), left in zip(kinds, unmet, strict=True)]
            telling.append(table.take(np.unique(np.concatenate([*fresh, np.empty(0, np.int64)]))))
            place += batch.num_rows
        begin += rows
    told = {"releases": str(len(known)), "rows": str(total)}
    earlier = pa.concat_tables([plain.empty_table(), *sample]).replace_schema_metadata(told)
    return replace(evidence, earlier=earlier, telling=pa.concat_tables([plain.empty_table(), *telling]))


def _kinds(evidence: Evidence, units: tuple[Array, Array]) -> Iterator[tuple[Callable[[pa.Table], Array], Held]]:
    """How published rows are looked up, and who holds what: whole rows; then each column with many values that are
    somebody's alone, as `copying.replay` has them, where records are rows of a table."""
    features = features_of(evidence)
    yield features.keys, holders((features.keys(evidence.train), features.keys(evidence.holdout)), units)
    if not isinstance(features, TableFeatures):
        return
    for column in columns(evidence.train.schema):
        there = all(column.name in table.column_names for table in (evidence.holdout, evidence.released))
        if not comparable(column.type) or not there:
            continue
        keys = Readings(column, (evidence.train, evidence.holdout), _CLOSE).keys
        held = holders((keys(evidence.train), keys(evidence.holdout)), units)
        if held.units[held.lone].sum() >= max(NEAR_UNIQUE * held.units[held.keys != 0].sum(), 1):
            yield keys, held


def _fresh(keys: Array, lone: Array, unmet: Array) -> Array:
    """The first of the rows for each lone key that was not met before; from now on it was."""
    if not len(lone):
        return np.empty(0, np.int64)
    at = np.minimum(np.searchsorted(lone, keys), len(lone) - 1)
    rows = np.flatnonzero((lone[at] == keys) & unmet[at])
    met, first = np.unique(at[rows], return_index=True)
    unmet[met] = False
    return rows[first]


def _every(step: float, begin: int, end: int) -> Array:
    """Which of the rows from `begin` to `end` are at a whole number of steps; counted from `begin`."""
    steps = np.arange(math.ceil(begin / step), math.ceil(end / step))
    return np.clip((steps * step).astype(np.int64) - begin, 0, max(end - begin - 1, 0))


def _aligned(batch: pa.RecordBatch, shape: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([_cast(batch, column.name, column.type) for column in shape], schema=shape)


def _cast(batch: pa.RecordBatch, name: str, kind: pa.DataType) -> pa.Array:
    if name in batch.schema.names:
        data = batch.column(name)
        try:
            return (data.cast(data.type.value_type) if pa.types.is_dictionary(data.type) else data).cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass
    return pa.nulls(batch.num_rows, kind)


def _counts(evidence: Evidence) -> tuple[int, int, int]:
    """How many earlier releases there are, how many published rows were looked at, and of how many."""
    own, earlier = evidence.released.num_rows, evidence.earlier
    if earlier is None:
        return 0, own, own
    note = earlier.schema.metadata or {}
    rows = int(note.get(b"rows", earlier.num_rows))
    return int(note.get(b"releases", 1)), own + (rows if evidence.telling is not None else earlier.num_rows), own + rows


def _exposed(held: Held, asked: Sequence[Array]) -> Array:
    """Which persons hold a lone key that was asked for."""
    met = np.zeros(len(held.keys), bool)
    for keys in asked:
        met |= np.isin(held.keys, keys)
    out = np.zeros(len(held.label), bool)
    out[held.unit[(met & held.lone)[held.place]]] = True
    return out


def _by_chance(n: int, control: int) -> float:
    """The largest c at which the interval of R = 0, about z·√(c/(1 - c)·(1/n + 1/n_control)), stays within `_SURE`."""
    odds = (_SURE / z()) ** 2 / (1 / n + 1 / control)
    return odds / (1 + odds)


def _leans(met: Array, label: Array) -> bool:
    """Whether train's persons are met more often beyond doubt."""
    trained, control = ((int(met[side].sum()), int(side.sum())) for side in (label, ~label))
    return risk(trained, control, _BEYOND_DOUBT)[1] > 0


def _detects(n: int, control: tuple[int, int], lone: float) -> float | None:
    """The smallest part of train's persons whose copying is told from none, with this control, four times in five.

    Of those who are copied only the part that holds something alone can be seen. None: no part is told.
    """
    few, many = 0, n  # the fewest persons whose interval leaves 0 out lie in (few, many]
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if risk((middle, n), control)[1] > 0 else (middle, many)
    chance, part = control[0] / control[1], many / n
    spread = math.sqrt(part * (1 - part) / n + chance * (1 - chance) / control[1])
    needed = part + NormalDist().inv_cdf(_POWER) * spread - chance
    return needed / (1 - chance) / lone if needed <= (1 - chance) * lone else None


def _few(hits: int) -> str:
    return "none" if not hits else "fewer than 10" if hits < 10 else str(hits)
