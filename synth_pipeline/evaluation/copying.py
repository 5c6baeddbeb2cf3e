"""How far synthetic rows lean on training rows: near, exact, and value by value, always against the holdout.

All three rest on one fact: had the generator not seen which rows are train's, every real row that a synthetic row
meets would be train's with probability π, train's part of the pool. So with w = the part of the met rows that is
train's, mean((w - π) / (1 - π)) is 0 for a generator that copies nobody and 1 for one that only copies, at any split.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from synth_pipeline.evaluation.columns import Unfit, subset
from synth_pipeline.evaluation.intervals import effective, wilson
from synth_pipeline.evaluation.keys import comparable, value_keys
from synth_pipeline.evaluation.neighbours import Nearest, nearest
from synth_pipeline.evaluation.table import features_of
from synth_pipeline.evaluation.units import units_of
from synth_pipeline.protocols.measure import Evidence, Score
from synth_pipeline.records.schema import columns

Array = np.ndarray
NEAR_UNIQUE = 0.2
"""A column is replayable when at least this part of its real values occurs once: ids, amounts, free text."""
_BINS = 20
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
    rng = evidence.seeds.child("nearness").generator()
    synthetic = subset(evidence.synthetic, evidence.queries, rng)
    _require(train.num_rows, holdout.num_rows, synthetic.num_rows)
    queries, trained, held = map(features_of(evidence).points, (synthetic, train, holdout))
    to_train, to_holdout = nearest(queries, trained), nearest(queries, held)
    tied = np.isclose(to_train.distance, to_holdout.distance, rtol=1e-5, atol=queries.rounding)
    met = to_train.weight + to_holdout.weight
    mine = np.where(tied, to_train.weight / met, (to_train.distance < to_holdout.distance).astype(float))

    units = np.concatenate(units_of(evidence))
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
    _require(evidence.train.num_rows, evidence.holdout.num_rows, evidence.released.num_rows)
    keys = features_of(evidence).keys
    train, holdout, asked = keys(evidence.train), keys(evidence.holdout), keys(evidence.released)
    (value, low, high), rates = _join(_held((train, holdout), units_of(evidence)), asked)
    details = {"in_train": rates[0], "in_holdout": rates[1], "of": len(asked)}
    note = (
        f"{rates[0]} released rows equal a training row, {rates[1]} a holdout row, of {len(asked)}; "
        "rows that several real units share are not counted"
    )
    return Score(value, low, high, 0.0, len(asked), note), details


def replay(evidence: Evidence) -> tuple[Score, list[dict[str, Any]]]:
    """`value_replay_excess`: values that one real unit alone has and released rows repeat; the worst column."""
    released = evidence.released
    _require(evidence.train.num_rows, evidence.holdout.num_rows, released.num_rows)
    units = units_of(evidence)
    worst: Score | None = None
    details = []
    for column in columns(evidence.train.schema):
        if any(column.name not in table.column_names for table in (evidence.holdout, released)):
            continue
        if not comparable(column.type):
            continue
        train, holdout, asked = (value_keys(table, column) for table in (evidence.train, evidence.holdout, released))
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
    # where hardly a holdout row is met, their part of all rows says nothing of how sure the share is
    uneven = min(float((part**2 * (label - value) ** 2).sum()) for part in (met - rows / rows.sum(), met))
    between = float(mine.var(ddof=1)) / len(mine) if len(mine) > 1 else 0.25
    certain = value in (0.0, 1.0)
    n = 1 / float((met**2).sum()) if certain else effective(value, max(uneven, between), float((rows > 0).sum()))
    return Share(value, *wilson(value, n), n=round(n))


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


def _require(*rows: int) -> None:
    if not all(rows):
        raise Unfit("no rows to compare")
