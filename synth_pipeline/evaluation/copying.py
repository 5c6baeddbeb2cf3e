"""How far synthetic rows lean on training rows: near, exact, and value by value, always against the holdout.

All three rest on one fact: had the generator not seen which rows are train's, every real row that a synthetic row
meets would be train's with probability π, train's part of the pool. So with w = the part of the met rows that is
train's, mean((w - π) / (1 - π)) is 0 for a generator that copies nobody and 1 for one that only copies, at any split.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.evaluation.columns import Unfit, subset, texts
from synth_pipeline.evaluation.keys import comparable
from synth_pipeline.evaluation.matches import Excess, Held, Share, clustered, excess, holders, matched
from synth_pipeline.evaluation.neighbours import Nearest, nearest
from synth_pipeline.evaluation.noticing import least_share
from synth_pipeline.evaluation.readings import Readings
from synth_pipeline.evaluation.table import features_of
from synth_pipeline.evaluation.units import units_of
from synth_pipeline.evaluation.unusual import deciles, rarity
from synth_pipeline.protocols.measure import Evidence, Score
from synth_pipeline.protocols.points import Points, Vectors
from synth_pipeline.records.schema import columns

Array = np.ndarray
NEAR_UNIQUE = 0.2
"""A column is replayable when at least this part of its real values occurs once: ids, amounts, free text."""
_BINS = 20
_FEWEST = 10
_GROUPS = 12


def nearness(evidence: Evidence) -> tuple[dict[str, Score], dict[str, Any]]:
    """`nearest_share` and `copy_excess` of the synthetic rows, and histograms of the distances."""
    train, holdout = evidence.train, evidence.holdout
    rng = evidence.seeds.child("nearness").generator()
    synthetic = evidence.synthetic if evidence.full else subset(evidence.synthetic, evidence.queries, rng)
    _require(train.num_rows, holdout.num_rows, synthetic.num_rows)
    queries, trained, held = map(features_of(evidence).points, (synthetic, train, holdout))
    to_train, to_holdout = nearest(queries, trained), nearest(queries, held)
    tied = np.isclose(to_train.distance, to_holdout.distance, rtol=1e-5, atol=trained.rounding)
    met = to_train.weight + to_holdout.weight
    mine = np.where(tied, to_train.weight / met, (to_train.distance < to_holdout.distance).astype(float))

    units = np.concatenate(units_of(evidence))
    label = np.zeros(units.max() + 1)
    label[units[: train.num_rows]] = 1
    rows = np.bincount(units, minlength=len(label))
    query = np.concatenate([to_train.query, to_holdout.query])
    unit = units[np.concatenate([to_train.row, to_holdout.row + train.num_rows])]
    part = np.concatenate([to_train.part, to_holdout.part])
    part *= np.concatenate([mine[to_train.query], 1 - mine[to_holdout.query]])

    def share(chosen: Array) -> Share:
        return clustered(mine[chosen], np.bincount(unit, part * chosen[query], minlength=len(label)), label, rows)

    found = share(np.ones(len(mine), bool))
    pi = train.num_rows / (train.num_rows + holdout.num_rows)
    value, low, high = found.excess(pi)
    note = f"π = {pi:.4f}; {synthetic.num_rows} queries against all {train.num_rows + holdout.num_rows} real rows"
    least = least_share(pi, found.n)
    noticed = (least - pi) / (1 - pi) if least is not None else None
    scores = {
        "nearest_share": Score(found.value, found.low, found.high, pi, round(found.n), note, detects=least),
        "copy_excess": Score(value, low, high, 0.0, round(found.n), note, detects=noticed),
    }
    probe = held.take(np.sort(rng.permutation(holdout.num_rows)[: min(2_000, evidence.queries)]))
    details = {
        "share": found.value,
        "low": found.low,
        "high": found.high,
        "pi": pi,
        "excess": value,
        "distances": _distances(to_train, to_holdout, nearest(probe, trained)),
        "groups": _parts(_levels(evidence, synthetic), share, pi)[:_GROUPS],
        "deciles": sorted(_parts(_places(queries, (trained, held)), share, pi), key=lambda part: int(part["name"])),
    }
    return scores, details


def exact(evidence: Evidence) -> tuple[Score, dict[str, Any]]:
    """`exact_match_excess`: released rows that equal a real row in every compared column; all rows, no sampling.

    Values are equal that are hardly told apart (`readings`), so that noise nobody sees does not hide a copy.
    A row that several persons share is nobody's in particular: meeting it tells nothing, and does not count.
    """
    _require(evidence.train.num_rows, evidence.holdout.num_rows, evidence.released.num_rows)
    keys = features_of(evidence).keys
    train, holdout, asked = keys(evidence.train), keys(evidence.holdout), keys(evidence.released)
    found = _join(holders((train, holdout), units_of(evidence)), asked)
    details = {"in_train": found.in_train, "in_holdout": found.in_holdout, "of": len(asked)}
    note = (
        f"{found.in_train} released rows equal a training row, {found.in_holdout} a holdout row, of {len(asked)}; "
        f"rows that several real units share are not counted{found.blind}"
    )
    return Score(found.value, found.low, found.high, 0.0, len(asked), note, detects=found.detects), details


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
        reading = Readings(column, (evidence.train, evidence.holdout))
        train, holdout, asked = map(reading.keys, (evidence.train, evidence.holdout, released))
        held = holders((train, holdout), units)
        if held.units[held.lone].sum() < max(NEAR_UNIQUE * held.units[held.keys != 0].sum(), 1):
            continue
        asked = asked[asked != 0]
        if not len(asked):
            continue
        found = _join(held, asked)
        counts = {"in_train": found.in_train, "in_holdout": found.in_holdout, "of": len(asked)}
        details.append({"name": column.name, **counts})
        note = (
            f"worst column: {column.name}; {found.in_train} values that only one unit of train has, "
            f"{found.in_holdout} of holdout"
        )
        if worst is None or worst.high is None or found.high > worst.high:
            bounds = found.value, found.low, found.high
            worst = Score(*bounds, 0.0, len(asked), note, detects=found.detects)
    if worst is None:
        note = f"no column in which at least {NEAR_UNIQUE:.0%} of the real values are unique"
        worst = Score(0.0, 0.0, 0.0, 0.0, released.num_rows, note)
    return worst, details


def _levels(evidence: Evidence, synthetic: pa.Table) -> dict[str, Array]:
    """Which queries have each of the commonest levels of the sensitive columns, where ten units of both sides do."""
    found = {}
    units = units_of(evidence)
    for name in evidence.sensitive:
        if not all(name in side.column_names for side in (evidence.train, evidence.holdout, synthetic)):
            continue
        values, *real = (
            texts(side, name).fill_null("missing") for side in (synthetic, evidence.train, evidence.holdout)
        )
        counted = values.value_counts().to_pylist()
        for level in sorted(counted, key=lambda item: (-item["counts"], item["values"]))[:_GROUPS]:
            chosen, *has = (pc.equal(side, level["values"]).to_numpy(zero_copy_only=False) for side in (values, *real))
            if all(len(np.unique(own[of])) >= _FEWEST for own, of in zip(units, has, strict=True)):
                found[f"{name} = {level['values']}"] = chosen
    return found


def _places(queries: Points | Vectors, real: tuple[Points | Vectors, Points | Vectors]) -> dict[str, Array]:
    """Tenths of the queries by how unusual they are, 10 the most, whichever side lies near."""
    tenth = deciles(rarity(queries, real))
    return {str(place + 1): tenth == place for place in range(10)}


def _parts(marks: dict[str, Array], share: Callable[[Array], Share], pi: float) -> list[dict[str, Any]]:
    """The excess among the queries that each mark chooses, the largest part first."""
    out = []
    for name, chosen in marks.items():
        if chosen.sum() >= _FEWEST:
            found = share(chosen)
            value, low, high = found.excess(pi)
            n = {"n": int(chosen.sum()), "units": round(found.n)}
            out.append({"name": name, "excess": value, "low": low, "high": high, **n})
    return sorted(out, key=lambda part: (-part["n"], part["name"]))


def _join(held: Held, asked: Array) -> Excess:
    """Of the asked keys that are lone among the real ones: train's excess, and counts by side."""
    return excess(*matched(held, asked), held, len(asked))


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
