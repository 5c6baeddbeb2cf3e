"""Singling out (Cohen & Nissim 2020): descriptions taken from the synthetic rows that fit exactly one person.

A description that isolates one synthetic row is a guess, and right when it fits exactly one training person (Giomi et
al. 2023, section 4.1). The same descriptions are asked of the holdout: what isolates somebody there too does so by
chance. "Exactly one" means the same only among equally many persons, so both sides have as many; where train is the
larger, its leak is seen in that part only, and the risk is scaled up by as much (what then stands alone in the part
by chance is missed: at uneven splits a leak may look smaller than it is, never larger).

The attacker is asked for 200 descriptions at least: where he finds fewer, as in coarse tables, the missing ones count
as wrong on both sides. So a handful that fit nobody does not leave open whether hundreds would have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa

from synth_pipeline.evaluation.attacks.outcome import Outcome, found
from synth_pipeline.evaluation.columns import Unfit, compared, is_number, numbers
from synth_pipeline.evaluation.keys import row_keys, value_keys
from synth_pipeline.evaluation.threads import spread
from synth_pipeline.evaluation.units import units_of
from synth_pipeline.protocols.measure import Evidence, Findings
from synth_pipeline.records.schema import Column

Array = np.ndarray
_GUESSES = 2_000  # of one field
_COMBINED = 4_000  # of several
_FEWEST = 200  # of either
_SCALE = 4
_FIELDS = 4
_SYNTHETIC = 50_000
_TRIED = 5_000  # descriptions that are tried at a time
_ROUNDS = 120
_SETS = 2_000
_WORTH = 0.002
"""New guesses, of those already made, that are worth another round."""
_FIRST = 512
"""Rows that a description meets first: most fit two of them already and need no more."""


def univariate(evidence: Evidence) -> Findings:
    """`singling_out_univariate`: descriptions of one field: one synthetic row's value alone, or beyond all others."""
    sides = _Sides.of(evidence, "univariate")
    rng = evidence.seeds.child("singling_out", "univariate", "guesses").generator()
    candidates = [_alone(column, sides.synthetic) for column in sides.columns]
    place = np.repeat(np.arange(len(candidates)), [len(keys) + len(ends) for keys, ends in candidates])
    item = np.concatenate([np.arange(len(keys) + len(ends)) for keys, ends in candidates])
    asked = int(_GUESSES * min(sides.scale, _SCALE) ** 2)  # more where the risk is scaled up, and its error with it
    drawn = np.sort(rng.choice(len(place), min(len(place), asked), replace=False))
    whom = [np.full(len(drawn), -1) for _ in sides.real]
    for i, column in enumerate(sides.columns):
        mine = np.flatnonzero(place[drawn] == i)
        if len(mine):
            for out, (table, units) in zip(whom, sides.real, strict=True):
                out[mine] = _fitting(column, candidates[i], table, units)[item[drawn[mine]]]
    parts = []
    for i, column in enumerate(sides.columns):
        train, holdout = (side[place[drawn] == i] for side in whom)
        parts.append(Outcome.of_persons(column.name, train, holdout, sides.scale))
    fewest = math.ceil(_FEWEST * min(sides.scale, _SCALE))
    return _told("singling_out_univariate", whom, sides.scale, fewest, parts)


def multivariate(evidence: Evidence) -> Findings:
    """`singling_out_multivariate`: descriptions of four fields of one synthetic row: numbers as far from the middle as
    its own or farther, levels equal, missing where missing."""
    sides = _Sides.of(evidence, "multivariate")
    rng = evidence.seeds.child("singling_out", "multivariate", "guesses").generator()
    synthetic, *real = _codes([sides.synthetic, *(table for table, _ in sides.real)], sides.columns)
    tops = np.array([max(side[i].max(initial=0) for side in (synthetic, *real)) for i in range(len(sides.columns))])
    guesses = _isolating(synthetic, sides.columns, tops, rng)
    whom = [_whom(guesses, codes, units) for codes, (_, units) in zip(real, sides.real, strict=True)]
    return _told("singling_out_multivariate", whom, sides.scale, _FEWEST, [])


@dataclass(frozen=True)
class _Sides:
    """Different synthetic rows, and equally many persons of train and of the holdout: rows, and whose they are."""

    columns: list[Column]
    synthetic: pa.Table
    real: list[tuple[pa.Table, Array]]
    scale: float

    @classmethod
    def of(cls, evidence: Evidence, name: str) -> _Sides:
        cols = compared(evidence.train, evidence.holdout, evidence.synthetic)
        if not cols:
            raise Unfit("no column to compare")
        if not (evidence.train.num_rows and evidence.holdout.num_rows and evidence.synthetic.num_rows):
            raise Unfit("no rows to compare")
        rng = evidence.seeds.child("singling_out", name, "sides").generator()
        # a row that is released twice stands for one record
        _, first = np.unique(row_keys(evidence.synthetic, cols), return_index=True)
        kept = rng.permutation(first)[:_SYNTHETIC]
        units = units_of(evidence)
        persons = [np.unique(side) for side in units]
        equal = min(map(len, persons))
        real = []
        for table, side, everyone in zip((evidence.train, evidence.holdout), units, persons, strict=True):
            chosen = np.sort(rng.choice(everyone, equal, replace=False)) if len(everyone) > equal else everyone
            rows = np.flatnonzero(np.isin(side, chosen))
            real.append((table.take(pa.array(rows)), np.searchsorted(chosen, side[rows])))
        return cls(cols, evidence.synthetic.take(pa.array(kept)), real, len(persons[0]) / equal)


def _told(name: str, whom: list[Array], scale: float, fewest: int, parts: list[Outcome]) -> Findings:
    knows = "the released rows, and nothing of any person"
    whole = Outcome.of_persons(name, whom[0], whom[1], scale, fewest)
    made = len(whom[0])
    if not made:
        note = "no description taken from the released rows fits one of them alone: there is no guess to make"
        return found(whole, knows, note=note, interval=(0.0, 0.0, 0.0))
    right, right_control = (int((side >= 0).sum()) for side in whom)
    note = f"of {made} descriptions {right} fit one training person alone, {right_control} one held-out person"
    if made < fewest:
        note += f"; {fewest} were asked for, and the missing ones count as wrong"
    return found(whole, knows, parts, note)


def _alone(column: Column, synthetic: pa.Table) -> tuple[Array, list[tuple[int, float]]]:
    """Values that one synthetic row has (0: it alone lacks one), and, of numbers, the ends where one row lies."""
    keys, counts = np.unique(value_keys(synthetic, column), return_counts=True)
    ends: list[tuple[int, float]] = []
    if is_number(column):
        values = numbers(synthetic, column.name)
        values = values[np.isfinite(values)]
        if len(values):
            ends = [(-1, float(values.min())), (1, float(values.max()))]
            ends = [(way, end) for way, end in ends if (values == end).sum() == 1]
    return keys[counts == 1], ends


def _fitting(column: Column, asked: tuple[Array, list[tuple[int, float]]], table: pa.Table, units: Array) -> Array:
    """The one person that each description fits, -1 where it is none or several: first the values, then the ends."""
    keys, ends = asked
    held, place = np.unique(value_keys(table, column), return_inverse=True)
    low, high = np.full(len(held), len(units)), np.full(len(held), -1)
    np.minimum.at(low, place, units)
    np.maximum.at(high, place, units)
    at = np.minimum(np.searchsorted(held, keys), len(held) - 1)
    whom = np.where((held[at] == keys) & (low[at] == high[at]), high[at], -1)
    if not ends:
        return whom
    values = numbers(table, column.name)
    beyond = [np.unique(units[values >= end if way > 0 else values <= end]) for way, end in ends]  # NaN is neither
    return np.concatenate([whom, [persons[0] if len(persons) == 1 else -1 for persons in beyond]])


@dataclass(frozen=True)
class _Guesses:
    """Descriptions of several fields: field `column[i, j]` has a code from `low[i, j]` to `low + width`, for all j."""

    column: Array  # int64 (guesses, fields)
    low: Array  # int32
    width: Array  # uint32

    def __len__(self) -> int:
        return len(self.column)

    def take(self, rows: Array) -> _Guesses:
        return _Guesses(self.column[rows], self.low[rows], self.width[rows])

    def fits(self, codes: Array) -> Array:
        """bool (guesses, rows)."""
        out = np.ones((len(self), codes.shape[1]), bool)
        for i, field in enumerate(codes):
            guess, place = np.nonzero(self.column == i)
            if len(guess):
                # one comparison for both ends: what lies below the low one wraps around
                apart = (field[None] - self.low[guess, place][:, None]).view(np.uint32)
                out[guess] &= apart <= self.width[guess, place][:, None]
        return out


def _codes(tables: list[pa.Table], cols: list[Column]) -> list[Array]:
    """int32 (columns, rows) of each table: numbers by their order among all, levels by any; missing is -1."""
    out: list[list[Array]] = [[] for _ in tables]
    for column in cols:
        if is_number(column):
            values = [numbers(table, column.name) for table in tables]
            gone = [np.isnan(side) for side in values]
        else:
            values = [value_keys(table, column) for table in tables]
            gone = [side == 0 for side in values]
        known = np.unique(np.concatenate([side[~lost] for side, lost in zip(values, gone, strict=True)]))
        for codes, side, lost in zip(out, values, gone, strict=True):
            codes.append(np.where(lost, -1, np.searchsorted(known, side)).astype(np.int32))
    return [np.stack(codes) for codes in out]


def _isolating(codes: Array, cols: list[Column], tops: Array, rng: np.random.Generator) -> _Guesses:
    """Descriptions of random rows that fit no other row. One of a row: several would often be about the same person,
    and one guess be counted as many."""
    rows, fields = codes.shape[1], _field_sets(len(cols), rng)
    ordered = np.array([is_number(column) for column in cols])
    middle = np.array([np.median(field[field >= 0]) if (field >= 0).any() else 0 for field in codes])
    every = rows * len(fields)
    order = rng.choice(every, min(every, _TRIED * _ROUNDS), replace=False)  # none twice
    kept: list[_Guesses] = []
    described = np.zeros(rows, bool)
    for start in range(0, len(order), _TRIED):
        row, which = np.divmod(order[start : start + _TRIED], len(fields))
        row, which = row[~described[row]], which[~described[row]]
        column = fields[which]
        value = codes[column, row[:, None]]
        number = ordered[column] & (value >= 0)
        above = number & (value > middle[column])
        low = np.where(number & ~above, 0, value).astype(np.int32)
        high = np.where(above, tops[column], value)
        tried = _Guesses(column, low, (high - low).astype(np.uint32))
        alone = _single(tried, codes)
        _, first = np.unique(row[alone], return_index=True)
        alone = alone[np.sort(first)]
        described[row[alone]] = True
        kept.append(tried.take(alone))
        if described.sum() >= _COMBINED or len(alone) < _WORTH * described.sum():
            break
    whole = _Guesses(*(np.concatenate([getattr(part, name) for part in kept]) for name in ("column", "low", "width")))
    return whole.take(np.arange(min(_COMBINED, len(whole))))


def _field_sets(columns: int, rng: np.random.Generator) -> Array:
    """All sets of four columns, or many of them."""
    size = min(_FIELDS, columns)
    if math.comb(columns, size) <= _SETS:
        return np.array(list(combinations(range(columns), size)))
    return np.unique([np.sort(rng.choice(columns, size, replace=False)) for _ in range(_SETS)], axis=0)


def _single(guesses: _Guesses, codes: Array) -> Array:
    """Which descriptions fit exactly one row. Those that fit two are dropped as soon as they have met them."""
    block = 500
    if not len(guesses):
        return np.empty(0, np.int64)

    def count(start: int) -> Array:
        left = np.arange(start, min(start + block, len(guesses)))
        fits = np.zeros(len(left), np.int64)
        begin, size = 0, _FIRST
        while begin < codes.shape[1] and len(left):
            fits += guesses.take(left).fits(codes[:, begin : begin + size]).sum(1)
            left, fits = left[fits <= 1], fits[fits <= 1]
            begin += size
            size = min(4 * size, 8_192)
        return left[fits == 1]

    return np.concatenate(spread(count, range(0, len(guesses), block)))


def _whom(guesses: _Guesses, codes: Array, units: Array) -> Array:
    """The one person that each description fits, -1 where it is none or several."""
    block, size = 500, 8_192

    def count(start: int) -> Array:
        mine = guesses.take(np.arange(start, min(start + block, len(guesses))))
        low = np.full(len(mine), len(units), np.int64)
        high = np.full(len(mine), -1, np.int64)
        for begin in range(0, codes.shape[1], size):
            guess, row = np.nonzero(mine.fits(codes[:, begin : begin + size]))
            np.minimum.at(low, guess, units[row + begin])
            np.maximum.at(high, guess, units[row + begin])
        return np.where(low == high, high, -1)

    parts = spread(count, range(0, len(guesses), block))
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
