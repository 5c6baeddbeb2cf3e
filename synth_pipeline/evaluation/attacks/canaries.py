"""Canaries: made-up records, put in by fair coins, and how well what was generated gives the coins away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.evaluation.attacks.epsilon import detectable, lower_bound
from synth_pipeline.evaluation.columns import Unfit, compared, is_number
from synth_pipeline.evaluation.keys import row_keys
from synth_pipeline.evaluation.neighbours import knn
from synth_pipeline.protocols.measure import Features
from synth_pipeline.records.schema import Column
from synth_pipeline.seeds import Seeds

Array = np.ndarray
RULES = ((0.45, 0.45), (0.1, 0.1), (0.25, 0.0), (0.05, 0.0), (0.02, 0.0))
"""Which parts of the canaries are guessed to be in (the highest scores) and out (the lowest), fixed beforehand. Nearly
all, with room for coins that did not fall half and half; only the clearest; and only what seems to be in, for one who
sees a copy knows much, and one who sees none knows little."""
_ROUNDS = 20
_NEAREST = 2
"""Measured on Adult (trees with small leaves, rows copied in part, cells flipped): of 1, 2, 3, 5, 10 and 20 the best or
near it everywhere; and so is the regression beside the difference and the ratio of the two distances."""


@dataclass(frozen=True)
class Audited:
    """The best of the `RULES`: its guesses, how many were right, and the bound, which allows for having chosen."""

    canaries: int
    guesses: int
    right: int
    epsilon: float


def make(
    table: pa.Table,
    count: int,
    seeds: Seeds,
    *others: pa.Table,
    together: Sequence[Sequence[str]] = (),
    lawful: Callable[[pa.Table], pa.Table] = lambda rows: rows,
) -> pa.Table:
    """`count` distinct rows of the table's schema that are none of its own nor of `others`: unusual, but possible.

    Each column is drawn on its own from the values that occur in it: levels evenly, so that rare ones are as frequent
    as common ones; numbers and dates by the arcsine law over their distinct values, which favours both ends. Columns
    of one group in `together` keep a combination that occurs. `lawful`: of drawn rows, those that may exist. Where
    there are not so many, fewer.

    Raises:
        Unfit: no column to draw.
    """
    cols = compared(table)
    if not cols or not table.num_rows:
        raise Unfit("no column to make canaries of")
    draw = _drawing(table, cols, together)
    rng = seeds.generator()
    seen = np.concatenate([row_keys(rows, cols) for rows in (table, *others)])
    kept, missing = [table.slice(0, 0)], count
    for _ in range(_ROUNDS):
        rows = lawful(draw(2 * missing + 64, rng))
        keys = row_keys(rows, cols)
        _, first = np.unique(keys, return_index=True)
        first = np.sort(first)
        fresh = first[~np.isin(keys[first], seen)][:missing]
        kept.append(rows.take(pa.array(fresh)))
        seen = np.concatenate([seen, keys[fresh]])
        missing -= len(fresh)
        if not missing:
            break
    return pa.concat_tables(kept).combine_chunks()


def flips(count: int, seeds: Seeds) -> Array:
    """Fair coins: which canaries are trained on."""
    return seeds.generator().random(count) < 0.5


def scores(canaries: pa.Table, synthetic: pa.Table, reference: pa.Table, features: Features) -> Array:
    """How much nearer the synthetic rows come to each canary than its distance to unseen real rows lets expect.

    Mean log distance to the nearest few, less its regression on the same of `reference`: a canary that is far from
    everything is far from the synthetic rows in any case. `features` must not have seen which canaries were put in.

    Raises:
        Unfit: no rows to compare.
    """
    if not synthetic.num_rows or not reference.num_rows:
        raise Unfit("no rows to compare")
    points = features.points(canaries)
    made, real = (
        knn(points, features.points(rows), min(_NEAREST, rows.num_rows))[0] for rows in (synthetic, reference)
    )
    floor = max(0.01 * float(np.median(real[:, 0])), 1e-6)
    seen, expected = (np.log(apart.astype(np.float64) + floor).mean(1) for apart in (made, real))
    along = np.column_stack([np.ones(len(expected)), expected])
    return along @ np.linalg.lstsq(along, seen, rcond=None)[0] - seen


def guess(scores: Array, share_in: float, share_out: float) -> Array:
    """1 for the canaries of the highest scores, -1 for those of the lowest, 0 (no guess) between."""
    order = np.argsort(scores, kind="stable")
    guessed = np.zeros(len(scores), np.int8)
    guessed[order[: int(share_out * len(scores))]] = -1
    guessed[order[len(scores) - int(share_in * len(scores)) :]] = 1
    return guessed


def audited(scores: Array, coins: Array, confidence: float = 0.95) -> Audited:
    """What the attacker's guesses prove; each rule is judged at its part of the error, so that the best one counts."""
    each = 1 - (1 - confidence) / len(RULES)
    found = []
    for rule in RULES:
        guessed = guess(scores, *rule)
        made = int((guessed != 0).sum())
        right = int(((guessed == 1) & coins).sum() + ((guessed == -1) & ~coins).sum())
        found.append(Audited(len(coins), made, right, lower_bound(right, made, len(coins), confidence=each)))
    return max(found, key=lambda one: one.epsilon)  # the first of equals: nearly all guessed


def detects(count: int, confidence: float = 0.95) -> float | None:
    """The smallest ε that is told from 0 four times in five where every guess is right equally often; None: none."""
    each = 1 - (1 - confidence) / len(RULES)
    found = (detectable(sum(int(share * count) for share in rule), each) for rule in RULES)
    return min((epsilon for epsilon in found if epsilon is not None), default=None)


def _drawing(
    table: pa.Table, cols: Sequence[Column], together: Sequence[Sequence[str]]
) -> Callable[[int, np.random.Generator], pa.Table]:
    """Draws rows of the table's schema, each group of columns on its own."""
    grouped = {name for group in together for name in group}
    combinations = [table.group_by(list(group)).aggregate([]).select(list(group)) for group in together]
    pools = {column.name: _values(table, column) for column in cols if column.name not in grouped}
    ordered = {column.name for column in cols if is_number(column)}

    def draw(rows: int, rng: np.random.Generator) -> pa.Table:
        out: dict[str, pa.Array] = {}
        for name, pool in pools.items():
            place = rng.beta(0.5, 0.5, rows) if name in ordered else rng.random(rows)
            out[name] = pool.take(pa.array(np.minimum((place * len(pool)).astype(np.int64), len(pool) - 1)))
        for known in combinations:
            picked = known.take(pa.array(rng.integers(0, known.num_rows, rows)))
            out |= {name: picked.column(name) for name in known.column_names}
        rest = [name for name in table.column_names if name not in out]
        picked = table.select(rest).take(pa.array(rng.integers(0, table.num_rows, rows)))
        out |= {name: picked.column(name) for name in rest}
        return pa.table([out[name] for name in table.column_names], names=table.column_names).cast(table.schema)

    return draw


def _values(table: pa.Table, column: Column) -> pa.Array:
    """What occurs in a column, in order; a missing level is a level, a missing number no number."""
    data = table.column(column.name)
    if pa.types.is_dictionary(data.type):
        data = data.cast(data.type.value_type)
    known = pc.unique(data)
    if is_number(column):
        if pa.types.is_floating(known.type):
            known = known.filter(pc.is_finite(known))
        known = known.drop_null() if known.null_count < len(known) else known
    if not len(known):
        return pa.nulls(1, data.type)
    return known.take(pc.array_sort_indices(known))
