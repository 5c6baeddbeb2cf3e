"""Released rows that are some real person's row in all columns but one: copies with one value replaced."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.evaluation.keys import mix
from synth_pipeline.evaluation.matches import excess, holders, matched
from synth_pipeline.evaluation.readings import Readings
from synth_pipeline.evaluation.table import TableFeatures, features_of
from synth_pipeline.evaluation.units import units_of
from synth_pipeline.protocols.measure import Evidence, Findings, Score
from synth_pipeline.records.schema import Column

Array = np.ndarray


def near(evidence: Evidence) -> Findings:
    """`near_match_excess`: released rows that equal a real row in every compared column, or in every one but one,
    train's over the holdout's; all rows, on the scale of `exact_match_excess`.

    One join per column left out. What several persons share is nobody's in particular and does not count; a row that
    meets several persons counts once, in even parts.
    """
    features = features_of(evidence)
    if not isinstance(features, TableFeatures):
        raise Unfit("near matches are of tables only")
    sides = evidence.train, evidence.holdout, evidence.released
    if not all(side.num_rows for side in sides):
        raise Unfit("no rows to compare")
    units = units_of(evidence)
    asked = evidence.released.num_rows
    span = int(max(side.max() for side in units)) + 1
    pairs = np.empty(0, np.int64)  # of a released row and a real unit, each once, however many columns agree
    whole = None
    for train, holdout, released in _keys(sides, features.columns):
        held = holders((train, holdout), units)
        whole = whole or held
        rows, met = matched(held, released)
        pairs = np.union1d(pairs, rows * span + met)
    assert whole is not None
    rows, met = np.divmod(pairs, span)
    found = excess(rows, met, whole, asked)
    note = (
        f"{found.in_train} released rows equal a training row in all of {len(features.columns)} columns but one at "
        f"most, {found.in_holdout} a holdout row, of {asked}; what several real units share is not counted{found.blind}"
    )
    score = Score(found.value, found.low, found.high, 0.0, asked, note, detects=found.detects)
    counts = {"in_train": found.in_train, "in_holdout": found.in_holdout, "of": asked}
    return Findings({"near_match_excess": score}, {"copying": {"near": counts}})


def _keys(sides: tuple[pa.Table, ...], cols: list[Column]) -> Iterator[list[Array]]:
    """64 bits per row of each side: of all columns, then of all but each one.

    A row's key is the sum of its values' keys, so that leaving one out is a subtraction; values are hashed twice, and
    no more than one column of them is kept.
    """
    sums = [np.zeros(side.num_rows, np.uint64) for side in sides]
    for place, column in enumerate(cols):
        for total, keys in zip(sums, _salted(sides, column, place), strict=True):
            total += keys
    yield [np.maximum(total, 1) for total in sums]
    if len(cols) == 1:
        return
    for place, column in enumerate(cols):
        yield [np.maximum(total - keys, 1) for total, keys in zip(sums, _salted(sides, column, place), strict=True)]


def _salted(sides: tuple[pa.Table, ...], column: Column, place: int) -> Iterator[Array]:
    """A column's keys, mixed with where it stands: equal values of two columns must not cancel out."""
    reading = Readings(column, sides[:2])
    for side in sides:
        yield mix(reading.keys(side) + np.uint64((place + 1) * 0x9E3779B97F4A7C15 % 2**64))
