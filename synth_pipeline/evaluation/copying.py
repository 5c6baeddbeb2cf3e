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
_COPIES = 4
"""A table may be stored this many times over without its rows becoming common."""


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

    A row that several persons share is nobody's in particular: meeting it tells nothing, and does not count.
    """
    cols = compared(evidence.train, evidence.holdout, evidence.released)
    _require(len(cols), evidence.train.num_rows, evidence.holdout.num_rows, evidence.released.num_rows)
    train, holdout, asked = (_row_keys(table, cols) for table in (evidence.train, evidence.holdout, evidence.released))
    (value, low, high), rates = _join(_held((train, holdout), _units(evidence)), asked)
    details = {"in_train": rates[0], "in_holdout": rates[1], "of": len(asked)}
    note = (
        f"{rates[0]} released rows equal a training row, {rates[1]} a holdout row, of {len(asked)}; "
        "rows that several real units share are not counted"
    )
    return Score(value, low, high, 0.0, len(asked), note), details


def replay(evidence: Evidence) -> tuple[Score, list[dict[str, Any]]]:
    """`value_replay_excess`: values that one real unit alone has and released rows repeat; the worst column."""
    released = evidence.released
    _require(1, evidence.train.num_rows, evidence.holdout.num_rows, released.num_rows)
    units = _units(evidence)
    worst: Score | None = None
    details = []
    for column in columns(evidence.train.schema):
        if any(column.name not in table.column_names for table in (evidence.holdout, released)):
            continue
        if not _comparable(column.type):
            continue
        train, holdout, asked = (_value_keys(table, column) for table in (evidence.train, evidence.holdout, released))
        held = _held((train, holdout), units)
        if held.units[held.lone].sum() < max(NEAR_UNIQUE * held.units[held.keys != 0].sum(), 1):
            continue
        asked = asked[asked != 0]
        if not len(asked):
            continue
        (value, low, high), rates = _join(held, asked)
        details.append({"name": column.name, "in_train": rates[0], "in_holdout": rates[1], "of": len(asked)})
        note = f"worst column: {column.name}; {rates[0]} values that only one unit of train has, {rates[1]} of holdout"
        if worst is None or worst.high is None or high > worst.high:
            worst = Score(value, low, high, 0.0, released.num_rows, note)
    if worst is None:
        note = f"no column in which at least {NEAR_UNIQUE:.0%} of the real values are unique"
        worst = Score(0.0, 0.0, 0.0, 0.0, released.num_rows, note)
    return worst, details


@dataclass(frozen=True)
class _Held:
    """Which real units hold which keys: pair i says that `unit[i]` holds `keys[place[i]]`, in however many rows."""

    keys: Array
    units: Array
    """How many units hold each key."""
    lone: Array
    """Which keys are somebody's in particular."""
    place: Array
    unit: Array
    label: Array
    """1 for each unit of train."""


def _held(sides: tuple[Array, Array], units: tuple[Array, Array]) -> _Held:
    """Who holds what. Lone is what one unit holds: rows of one person that repeat a value do not make it common.

    Where most of the units share their key with the same one, two or three others, the table is stored so many times
    over (or by households), and lone is what no more than that hold.
    """
    keys, place = np.unique(np.concatenate(sides), return_inverse=True)
    unit = np.concatenate(units)
    span = int(unit.max()) + 1
    if span < len(unit):
        place, unit = np.divmod(np.unique(place.astype(np.int64) * span + unit), span)
    label = np.zeros(span)
    label[units[0]] = 1
    held = np.bincount(place, minlength=len(keys))
    sizes = np.bincount(np.minimum(held, _COPIES + 1), held * (keys != 0), minlength=_COPIES + 2)
    usual = int(sizes[1 : _COPIES + 1].argmax()) + 1
    most = usual if sizes[usual] > sizes.sum() / 2 else 1
    return _Held(keys, held, (held <= most) & (keys != 0), place, unit, label)


def _join(held: _Held, asked: Array) -> tuple[tuple[float, float, float], tuple[int, int]]:
    """Of the asked keys that are lone among the real ones: train's excess with its interval, and counts by side."""
    at = np.minimum(np.searchsorted(held.keys, asked), len(held.keys) - 1)
    hit = at[(held.keys[at] == asked) & held.lone[at]]
    train = np.bincount(held.place, held.label[held.unit], minlength=len(held.keys))
    rates = int((train[hit] > 0).sum()), int((train[hit] < held.units[hit]).sum())
    if not len(hit):
        return (0.0, 0.0, 0.0), rates
    times = np.bincount(hit, minlength=len(held.keys)) / held.units  # of each holder: how many hits it stands for
    weights = np.bincount(held.unit, times[held.place], minlength=len(held.label))
    # every pair counts once, so that the many equal rows of one person do not pull π
    pairs = np.bincount(held.unit, minlength=len(held.label))
    pi = float(held.label[held.unit].mean())
    found = _clustered((train / held.units)[hit], weights, held.label, pairs)
    return found.excess(pi, len(hit) / len(asked)), rates


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
        if pa.types.is_integer(column.type) or pa.types.is_temporal(column.type):
            return _whole_keys(table, column)
        values = numbers(table, column.name) + 0.0  # -0.0 is 0.0
        gone = np.isnan(values)
        return np.where(gone, 0, np.maximum(_mix(_rounded(values)), 1)).astype(np.uint64)
    from pandas.util import hash_array

    encoded = texts(table, column.name).dictionary_encode()
    words = np.asarray(encoded.dictionary.to_pylist(), dtype=object)
    hashed = np.maximum(hash_array(words, categorize=False), 1) if len(words) else np.ones(1, np.uint64)
    places = pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False)
    return np.where(encoded.is_null().to_numpy(zero_copy_only=False), 0, hashed[places]).astype(np.uint64)


def _whole_keys(table: pa.Table, column: Column) -> Array:
    """Integers and times to the last bit: as doubles, microseconds of one second would be one value."""
    data = table.column(column.name)
    if pa.types.is_dictionary(data.type):
        data = data.cast(data.type.value_type)
    if pa.types.is_temporal(data.type) and pa.types.is_temporal(column.type):
        data = data.cast(column.type, safe=False)
        data = data.cast(pa.int64() if data.type.bit_width == 64 else pa.int32())
    if pa.types.is_integer(data.type):
        gone = data.is_null().to_numpy()
        bits = pc.fill_null(data, 0).cast(pa.int64(), safe=False).to_numpy().view(np.uint64)
    else:  # a table that was typed otherwise
        values = numbers(table, column.name)
        gone = np.isnan(values)
        whole = (np.floor(values) == values) & (np.abs(values) < 2.0**63)
        bits = np.where(whole, values, 0).astype(np.int64).view(np.uint64)
        bits = np.where(whole, bits, ~_rounded(values))
    return np.where(gone, 0, np.maximum(_mix(bits), 1)).astype(np.uint64)


def _rounded(values: Array) -> Array:
    """The bits of each number that count."""
    bits = np.where(np.isnan(values), 0.0, values).view(np.uint64)
    return (bits + np.uint64(1 << (_ROUNDED_BITS - 1))) >> np.uint64(_ROUNDED_BITS)


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
