"""Relations of three columns at once, and NIST's k-marginal score, on tables coarse enough to be filled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from synth_pipeline.evaluation.fidelity import Sides, binned
from synth_pipeline.evaluation.intervals import noticed, z
from synth_pipeline.protocols.measure import Evidence, Findings, Score

Array = np.ndarray
_TABLES = 200
_BINS = 5
_LEVELS = 8
_WORST = 20


@dataclass(frozen=True)
class _Cells:
    """One side's joint tables: their mean total variation from train's, and each row's part in it."""

    errors: list[float]
    side: Array
    train: Array


def marginals(evidence: Evidence) -> Findings:
    """`triple_error`: mean total variation between the joint tables of random triples of distinct columns.
    `k_marginal`: (2 - mean L1) · 500 over pairs of columns, 1000 for equal tables (NIST, SDNist).

    Bins and levels from train, open ends; at most 200 tables each, drawn without replacement.
    """
    sides = Sides.of(evidence, "marginals")
    train, cols = sides.train, sides.columns

    @cache
    def coded(place: int) -> tuple[list[Array], int]:
        codes, size = binned(cols[place], train, (train, sides.holdout, sides.synthetic), _BINS, _LEVELS)
        return [code.astype(np.int8) for code in codes], size

    rng = evidence.seeds.child("marginals").child("tables").generator()
    scores, details = {}, {}
    for name, width in (("k_marginal", 2), ("triple_error", 3)):
        if len(cols) < width:
            few = "three" if width == 3 else "two"
            scores[name] = Score(None, note=f"not measurable: fewer than {few} columns to compare")
            continue
        drawn = combinations(len(cols), width, _TABLES, rng)
        held, made = (_compared([[coded(i) for i in places] for places in drawn], which) for which in (1, 2))
        score = _error(made, held, len(drawn), width, sides)
        scores[name] = _k_marginal(score) if width == 2 else score
        if width == 3:
            order = sorted(range(len(drawn)), key=lambda i: held.errors[i] - made.errors[i])[:_WORST]
            details["triples"] = [
                {
                    "columns": [cols[place].name for place in drawn[i]],
                    "triple_error": made.errors[i],
                    "reference": held.errors[i],
                }
                for i in order
            ]
    return Findings(scores, {"likeness": details} if details else {})


def combinations(n: int, width: int, most: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Distinct sets of `width` of n columns: all of them, or `most` drawn without replacement; in order."""
    total = math.comb(n, width)
    ranks = range(total) if total <= most else np.sort(rng.choice(total, most, replace=False)).tolist()
    return [_combination(rank, n, width) for rank in ranks]


def _combination(rank: int, n: int, width: int) -> tuple[int, ...]:
    """The set of this number, in the combinatorial number system (Knuth, volume 4A, 7.2.1.3)."""
    places = []
    top = n
    for size in range(width, 0, -1):
        top = next(place for place in range(top - 1, -1, -1) if math.comb(place, size) <= rank)
        rank -= math.comb(top, size)
        places.append(top)
    return tuple(reversed(places))


def _compared(tables: Sequence[Sequence[tuple[list[Array], int]]], which: int) -> _Cells:
    """A side (1: holdout, 2: synthetic) against train, over all tables."""
    rows = len(tables[0][0][0][0])
    ours, theirs = np.zeros(rows), np.zeros(rows)
    errors = []
    for table in tables:
        shape = tuple(size for _, size in table)
        cells = [np.ravel_multi_index([codes[side] for codes, _ in table], shape) for side in (0, which)]
        real, made = (np.bincount(cell, minlength=math.prod(shape)) for cell in cells)
        witness = np.sign(made - real) / 2
        ours += witness[cells[1]]
        theirs += witness[cells[0]]
        errors.append(float(np.abs(made - real).sum()) / 2 / rows)
    return _Cells(errors, ours / len(tables), theirs / len(tables))


def _error(made: _Cells, held: _Cells, tables: int, width: int, sides: Sides) -> Score:
    value, low, high = sides.made(made.side, made.train)
    reference, _, above = sides.held(held.side, held.train)
    detects = min(reference + noticed((above - reference) / z()), 1.0)
    kind = "pairs" if width == 2 else "triples"
    note = f"{tables} {kind} of columns, {sides.train.num_rows} rows a side"
    return Score(value, max(low, 0.0), min(high, 1.0), reference, sides.train.num_rows, note, detects=detects)


def _k_marginal(error: Score) -> Score:
    """An L1 distance is two total variations; so (2 - L1) · 500 = 1000 · (1 - error)."""

    def turned(part: Any) -> float:
        return 1_000 * (1 - float(part))

    return replace(
        error,
        value=turned(error.value),
        low=turned(error.high),
        high=turned(error.low),
        reference=turned(error.reference),
        detects=turned(error.detects),
    )
