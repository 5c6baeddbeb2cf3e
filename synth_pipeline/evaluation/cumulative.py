"""What was published from one source adds up: persons exposed by any release so far, not rows that copy in this one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from statistics import NormalDist

import numpy as np
import pyarrow as pa

from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.evaluation.copying import NEAR_UNIQUE, _Held, _held
from synth_pipeline.evaluation.intervals import risk
from synth_pipeline.evaluation.keys import comparable, value_keys
from synth_pipeline.evaluation.table import TableFeatures, features_of
from synth_pipeline.evaluation.units import units_of
from synth_pipeline.protocols.measure import Evidence, Findings, Score
from synth_pipeline.records.schema import columns

Array = np.ndarray
EARLIER_ROWS = 200_000
_CHANCE = 0.5
"""Values that repeat at least this part of the held-out persons are met by chance: they tell nothing of anybody."""
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
    published = [evidence.released, *_earlier(evidence)]
    features = features_of(evidence)
    keys = features.keys
    met = _exposed(_held((keys(evidence.train), keys(evidence.holdout)), units), [keys(rows) for rows in published])
    # what is seldom met by chance comes first: of columns in which most values recur anyway, nothing would be learned
    found = _by_column(evidence, published, units) if isinstance(features, TableFeatures) else ()
    left = 0
    for part in sorted(found, key=lambda part: float(part[~label].mean())):
        if (met | part)[~label].mean() <= _CHANCE:
            met = met | part
        else:
            left += 1
    trained, others = int(label.sum()), int((~label).sum())
    hits = int(met[label].sum()), int(met[~label].sum())
    value, low, high = risk((hits[0], trained), (hits[1], others))
    releases, of_rows = _told(evidence)
    rows = sum(table.num_rows for table in published)
    note = (
        f"of {trained} persons of train {_few(hits[0])} are met by a published row or value that they alone have, "
        f"of {others} of the holdout {_few(hits[1])}; {_words(releases, rows, of_rows)}"
        + (f"; {left} columns whose values recur by chance are left out" if left else "")
    )
    detects = _detects(trained, (hits[1], others))
    details = {
        "releases": releases,
        "rows": rows,
        "of_rows": of_rows,
        "train": hits[0],
        "holdout": hits[1],
        "of_train": trained,
        "of_holdout": others,
    }
    score = Score(value, low, high, 0.0, trained, note, detects=detects)
    return Findings({"cumulative_exposure": score}, {"cumulative": details})


def gather(
    releases: Iterable[tuple[int, Iterable[pa.RecordBatch]]], shape: pa.Schema, most: int = EARLIER_ROWS
) -> pa.Table | None:
    """Rows of earlier releases as one table for `Evidence.earlier`: every so-manieth row, at most `most` in all.

    Columns go by name. One that a release lacks, or has as what cannot be cast without loss, is missing there: such
    rows equal nobody's, yet their other values still tell. None when there is no row.

    Args:
        releases: of each release, how many rows it has, and these.
    """
    known = list(releases)
    total = sum(rows for rows, _ in known)
    step = max(total / most, 1.0)
    pieces, begin = [], 0
    for rows, batches in known:
        place, end = begin, begin + rows
        for batch in batches:
            places = _every(step, place, place + batch.num_rows)
            place += batch.num_rows
            if len(places):
                pieces.append(_aligned(batch.take(pa.array(places)), shape))
        begin = end
    if not pieces:
        return None
    told = {"releases": str(len(known)), "rows": str(total)}
    return pa.Table.from_batches(pieces).replace_schema_metadata(told)


def _every(step: float, begin: int, end: int) -> Array:
    """Which of the rows from `begin` to `end` are at a whole number of steps; counted from `begin`."""
    steps = np.arange(math.ceil(begin / step), math.ceil(end / step))
    return np.clip((steps * step).astype(np.int64) - begin, 0, max(end - begin - 1, 0))


def _aligned(batch: pa.RecordBatch, shape: pa.Schema) -> pa.RecordBatch:
    plain = pa.schema([pa.field(column.name, column.type) for column in shape])
    return pa.RecordBatch.from_arrays([_cast(batch, column.name, column.type) for column in plain], schema=plain)


def _cast(batch: pa.RecordBatch, name: str, kind: pa.DataType) -> pa.Array:
    if name in batch.schema.names:
        data = batch.column(name)
        try:
            return (data.cast(data.type.value_type) if pa.types.is_dictionary(data.type) else data).cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass
    return pa.nulls(batch.num_rows, kind)


def _earlier(evidence: Evidence) -> Iterator[pa.Table]:
    if evidence.earlier is not None and evidence.earlier.num_rows:
        yield evidence.earlier


def _told(evidence: Evidence) -> tuple[int, int]:
    """How many earlier releases there are, and how many rows were published in all."""
    if evidence.earlier is None:
        return 0, evidence.released.num_rows
    note = evidence.earlier.schema.metadata or {}
    rows = int(note.get(b"rows", evidence.earlier.num_rows))
    return int(note.get(b"releases", 1)), rows + evidence.released.num_rows


def _by_column(evidence: Evidence, published: Sequence[pa.Table], units: tuple[Array, Array]) -> Iterator[Array]:
    """Of each column with many values that are somebody's alone (as `copying.replay` has them): who is met."""
    for column in columns(evidence.train.schema):
        if not comparable(column.type) or column.name not in evidence.holdout.column_names:
            continue
        sides = value_keys(evidence.train, column), value_keys(evidence.holdout, column)
        holders = _held(sides, units)
        if holders.units[holders.lone].sum() < max(NEAR_UNIQUE * holders.units[holders.keys != 0].sum(), 1):
            continue
        told = [value_keys(rows, column) for rows in published if column.name in rows.column_names]
        if told:
            yield _exposed(holders, told)


def _exposed(holders: _Held, asked: Sequence[Array]) -> Array:
    """Which persons hold a lone key that was asked for."""
    met = np.zeros(len(holders.keys), bool)
    for keys in asked:
        met |= np.isin(holders.keys, keys)
    out = np.zeros(len(holders.label), bool)
    out[holders.unit[(met & holders.lone)[holders.place]]] = True
    return out


def _detects(n: int, control: tuple[int, int]) -> float:
    """The smallest R that, with this control, is told from none four times in five."""
    few, many = 0, n  # the fewest persons whose interval leaves 0 out lie in (few, many]
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if risk((middle, n), control)[1] > 0 else (middle, many)
    chance, part = control[0] / control[1], many / n
    spread = math.sqrt(part * (1 - part) / n + chance * (1 - chance) / control[1])
    needed = part + NormalDist().inv_cdf(_POWER) * spread
    return min((needed - chance) / (1 - chance), 1.0) if chance < 1 else 1.0


def _few(hits: int) -> str:
    return "none" if not hits else "fewer than 10" if hits < 10 else str(hits)


def _words(releases: int, rows: int, of_rows: int) -> str:
    which = "of this release" + (f" and {releases} earlier ones" if releases else "")
    return f"{f'{rows} of {of_rows}' if rows < of_rows else rows} published rows, {which}"
