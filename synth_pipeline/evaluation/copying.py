"""How far synthetic rows lean on training rows: near, exact, and value by value, always against the holdout.

All three rest on one fact: had the generator not seen which rows are train's, every real row that a synthetic row
meets would be train's with probability π, train's part of the pool. So with w = the part of the met rows that is
train's, mean((w - π) / (1 - π)) is 0 for a generator that copies nobody and 1 for one that only copies, at any split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.evaluation.columns import Unfit, compared, is_number, numbers, points, subset, texts
from synth_pipeline.evaluation.intervals import effective, wilson
from synth_pipeline.evaluation.neighbours import Nearest, nearest
from synth_pipeline.protocols.measure import Evidence, Score
from synth_pipeline.records.schema import Column, columns

Array = np.ndarray
NEAR_UNIQUE = 0.2
"""A column is replayable when at least this part of its real values occurs once: ids, amounts, free text."""
_BINS = 20
_ROUNDED_BITS = 20  # of a double's 52: numbers that agree to ten digits are equal


@dataclass(frozen=True)
class Share:
    """Which part of what synthetic rows met belongs to train, clustered on the real units that were met."""

    value: float
    low: float
    high: float
    n: int

    def excess(self, pi: float, met: float = 1.0) -> tuple[float, float, float]:
        """(share - π) / (1 - π), of the part of rows that met any."""
        low, value, high = ((part - pi) / (1 - pi) * met for part in (self.low, self.value, self.high))
        return value, low, high


def nearness(evidence: Evidence) -> tuple[dict[str, Score], dict[str, Any]]:
    """`nearest_share` and `copy_excess` of the synthetic rows, and histograms of the distances."""
    train, holdout = evidence.train, evidence.holdout
    cols = compared(train, holdout, evidence.synthetic)
    rng = evidence.seeds.child("nearness").generator()
    synthetic = subset(evidence.synthetic, evidence.queries, rng)
    _require(len(cols), train.num_rows, holdout.num_rows, synthetic.num_rows)
    queries, trained, held = points([synthetic, train, holdout], [train, holdout], cols)
    to_train, to_holdout = nearest(queries, trained), nearest(queries, held)
    slack = 1e-5 * (1 + len(cols))
    tied = np.abs(to_train.distance - to_holdout.distance) <= slack
    met = to_train.weight + to_holdout.weight
    mine = np.where(tied, to_train.weight / met, (to_train.distance < to_holdout.distance).astype(float))

    units = np.concatenate(_units(evidence))
    weights = np.zeros(units.max() + 1)
    for side, part, offset in ((to_train, mine, 0), (to_holdout, 1 - mine, train.num_rows)):
        weights += np.bincount(units[side.row + offset], side.part * part[side.query], minlength=len(weights))
    label = np.zeros(len(weights))
    label[units[: train.num_rows]] = 1
    found = _clustered(mine, weights, label, np.bincount(units, minlength=len(weights)))
    pi = train.num_rows / (train.num_rows + holdout.num_rows)
    value, low, high = found.excess(pi)
    note = f"π = {pi:.4f}; {synthetic.num_rows} queries against all {train.num_rows + holdout.num_rows} real rows"
    scores = {
        "nearest_share": Score(found.value, found.low, found.high, pi, found.n, note),
        "copy_excess": Score(value, low, high, 0.0, found.n, note),
    }
    probe = held.take(np.sort(rng.permutation(holdout.num_rows)[: min(2_000, evidence.queries)]))
    details = {
        "share": found.value,
        "low": found.low,
        "high": found.high,
        "pi": pi,
        "excess": value,
        "distances": _distances(to_train, to_holdout, nearest(probe, trained)),
    }
    return scores, details


def exact(evidence: Evidence) -> tuple[Score, dict[str, Any]]:
    """`exact_match_excess`: released rows that equal a real row in every compared column; all rows, no sampling.

    A row that several real rows share is nobody's in particular: meeting it tells nothing, and does not count.
    """
    cols = compared(evidence.train, evidence.holdout, evidence.released)
    _require(len(cols), evidence.train.num_rows, evidence.holdout.num_rows, evidence.released.num_rows)
    sides = [_row_keys(table, cols) for table in (evidence.train, evidence.holdout, evidence.released)]
    real, counts = np.unique(np.concatenate(sides[:2]), return_counts=True)
    single = real[counts == 1]
    sides = [*(np.where(np.isin(side, single), side, 0) for side in sides[:2]), sides[2]]
    found, met, rates = _join(sides, _units(evidence))
    pi = len(sides[0]) / (len(sides[0]) + len(sides[1]))
    value, low, high = found.excess(pi, met)
    details = {"in_train": rates[0], "in_holdout": rates[1], "of": len(sides[2])}
    note = (
        f"{rates[0]} released rows equal a training row, {rates[1]} a holdout row, of {len(sides[2])}; "
        "rows that several real ones share are not counted"
    )
    return Score(value, low, high, 0.0, len(sides[2]), note), details


def replay(evidence: Evidence) -> tuple[Score, list[dict[str, Any]]]:
    """`value_replay_excess`: values that one real row alone has and a released row repeats; the worst column counts."""
    released = evidence.released
    _require(1, evidence.train.num_rows, evidence.holdout.num_rows, released.num_rows)
    pi = evidence.train.num_rows / (evidence.train.num_rows + evidence.holdout.num_rows)
    worst: Score | None = None
    details = []
    for column in columns(evidence.train.schema):
        if any(column.name not in table.column_names for table in (evidence.holdout, released)):
            continue
        if not _comparable(column.type):
            continue
        keys = [_value_keys(table, column) for table in (evidence.train, evidence.holdout, released)]
        values, counts = np.unique(np.concatenate([keys[0][keys[0] != 0], keys[1][keys[1] != 0]]), return_counts=True)
        single = values[counts == 1]
        if len(single) < max(NEAR_UNIQUE * counts.sum(), 1):
            continue
        lone = [np.where(np.isin(side, single), side, 0) for side in keys[:2]]
        asked = keys[2][keys[2] != 0]
        if not len(asked):
            continue
        found, met, rates = _join([*lone, asked], _units(evidence))
        value, low, high = found.excess(pi, met)
        details.append({"name": column.name, "in_train": rates[0], "in_holdout": rates[1], "of": len(asked)})
        note = f"worst column: {column.name}; {rates[0]} values that only one training row has, {rates[1]} of holdout"
        if worst is None or worst.high is None or high > worst.high:
            worst = Score(value, low, high, 0.0, released.num_rows, note)
    if worst is None:
        note = f"no column in which at least {NEAR_UNIQUE:.0%} of the real values are unique"
        worst = Score(0.0, 0.0, 0.0, 0.0, released.num_rows, note)
    return worst, details


def _clustered(mine: Array, weights: Array, label: Array, rows: Array) -> Share:
    """Mean of `mine`, with an interval from how unevenly it rests on the real units.

    With a = a unit's part of all meetings and m = its part of all real rows, share - π = sum((a - m) · label), since π
    itself is sum(m · label): only the unevenness varies with who was drawn into train. The variance is never less than
    that between the synthetic rows.
    """
    value = float(mine.mean())
    met = weights / weights.sum()
    uneven = float(((met - rows / rows.sum()) ** 2 * (label - value) ** 2).sum())
    between = float(mine.var(ddof=1)) / len(mine) if len(mine) > 1 else 0.25
    certain = value in (0.0, 1.0)
    n = 1 / float((met**2).sum()) if certain else effective(value, max(uneven, between), float((rows > 0).sum()))
    return Share(value, *wilson(value, n), n=round(n))


def _join(sides: Sequence[Array], units: tuple[Array, Array]) -> tuple[Share, float, tuple[int, int]]:
    """Of the keys on the third side that train or holdout (the first two) hold: train's share; the part of them that
    meets any; counts by side. Key 0 meets nothing."""
    train, holdout, asked = sides
    pool, inverse = np.unique(np.concatenate([train, holdout]), return_inverse=True)
    both = [np.bincount(part, minlength=len(pool)) for part in (inverse[: len(train)], inverse[len(train) :])]
    place = np.minimum(np.searchsorted(pool, asked), max(len(pool) - 1, 0))
    hit = place[(pool[place] == asked) & (asked != 0)]
    rates = int((both[0][hit] > 0).sum()), int((both[1][hit] > 0).sum())
    if not len(hit):
        return Share(0.0, 0.0, 0.0, 0), 0.0, rates
    total = both[0] + both[1]
    mine = both[0][hit] / total[hit]
    times = np.bincount(hit, minlength=len(pool)) / total  # of each real row: how much of the hits it stands for
    every = np.concatenate(units)
    weights = np.bincount(every, times[inverse], minlength=every.max() + 1)
    label = np.zeros(len(weights))
    label[units[0]] = 1
    return _clustered(mine, weights, label, np.bincount(every, minlength=len(weights))), len(hit) / len(asked), rates


def _units(evidence: Evidence) -> tuple[Array, Array]:
    """One integer per row of train and of holdout, shared by the rows of one person."""
    rows = evidence.train.num_rows, evidence.holdout.num_rows
    if evidence.train_units is None or evidence.holdout_units is None:
        return np.arange(rows[0]), np.arange(rows[0], sum(rows))
    first, second = np.asarray(evidence.train_units), np.asarray(evidence.holdout_units)
    _, dense = np.unique(np.concatenate([first, second]), return_inverse=True)
    return dense[: rows[0]], dense[rows[0] :]


def _row_keys(table: pa.Table, cols: Sequence[Column]) -> Array:
    """64 bits per row: equal rows, equal keys; two of 10⁷ × 10⁶ different rows collide with probability 5 in 10⁷."""
    keys = np.full(table.num_rows, 0x9E3779B97F4A7C15, np.uint64)
    for column in cols:
        keys = _mix(keys ^ _value_keys(table, column))
    return np.maximum(keys, 1)


def _value_keys(table: pa.Table, column: Column) -> Array:
    """64 bits per value; 0 is a missing one."""
    if is_number(column):
        values = numbers(table, column.name) + 0.0  # -0.0 is 0.0
        gone = np.isnan(values)
        bits = np.where(gone, 0.0, values).view(np.uint64)
        kept = (bits + np.uint64(1 << (_ROUNDED_BITS - 1))) >> np.uint64(_ROUNDED_BITS)
        return np.where(gone, 0, np.maximum(_mix(kept), 1)).astype(np.uint64)
    from pandas.util import hash_array

    encoded = texts(table, column.name).dictionary_encode()
    words = np.asarray(encoded.dictionary.to_pylist(), dtype=object)
    hashed = np.maximum(hash_array(words, categorize=False), 1) if len(words) else np.ones(1, np.uint64)
    places = pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False)
    return np.where(encoded.is_null().to_numpy(zero_copy_only=False), 0, hashed[places]).astype(np.uint64)


def _mix(keys: Array) -> Array:
    """splitmix64's finaliser (Steele 2014)."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def _distances(to_train: Nearest, to_holdout: Nearest, between: Nearest) -> dict[str, Any]:
    pooled = np.concatenate([to_train.distance, to_holdout.distance, between.distance])
    edges = np.linspace(0, max(float(np.quantile(pooled, 0.99)), 1e-6), _BINS + 1)
    return {
        "edges": [round(float(edge), 6) for edge in edges],
        **{
            name: np.histogram(np.minimum(side.distance, edges[-1]), edges)[0].tolist()
            for name, side in (
                ("synthetic_to_train", to_train),
                ("synthetic_to_holdout", to_holdout),
                ("holdout_to_train", between),
            )
        },
    }


def _comparable(kind: pa.DataType) -> bool:
    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _require(cols: int, *rows: int) -> None:
    if not cols:
        raise Unfit("no column to compare")
    if not all(rows):
        raise Unfit("no rows to compare")
