"""Guessing one column of a row from all others: by the nearest synthetic row, and by trees fitted on synthetic rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synth_pipeline.evaluation.columns import magnitude
from synth_pipeline.evaluation.threads import spread
from synth_pipeline.protocols.points import Points
from synth_pipeline.seeds import Seeds

Array = np.ndarray
_QUERIES = 32
_ROWS = 4_096  # a block of distances and its scratch stay within a core's cache
_STEPS = 4_096
_REACH = 5
"""Axes end here or lie far beyond; see `columns.points`."""
_FITTED = 20_000
_ROUNDS = 50
_TREES = 300
"""Boosting grows a tree per class in each round: with more classes than six it takes fewer rounds."""
_CLASSES = 15


def nearest_without(queries: Points, side: Points, left_out: Sequence[tuple[bool, int]]) -> list[Array]:
    """For each of `left_out` (is it an axis, its number), the first of the nearest rows of `side` to each query by all
    other columns.

    Distances are whole numbers of steps: differences of sums are exact, and ties are ties. Each column's part is found
    twice, for the sum and to be taken from it, so that one scan serves all secrets.
    """
    columns = len(side.axes) + len(side.levels)
    steps = max(min(_STEPS, 32_000 // max(columns, 1)), 1)
    theirs = [*_whole(side.axes, steps), *_narrow(side.levels)]
    mine = [*_whole(queries.axes, steps), *_narrow(queries.levels)]
    places = [number if axis else len(side.axes) + number for axis, number in left_out]
    out = [np.zeros(len(queries), np.int64) for _ in left_out]
    most = np.full((_QUERIES, _ROWS), steps, np.int16)

    def search(start: int) -> None:
        stop = min(start + _QUERIES, len(queries))
        size = stop - start
        total, part = np.empty((2, _QUERIES, _ROWS), np.int16)
        unequal = np.empty((_QUERIES, _ROWS), bool)
        best = np.full((len(places), size), np.iinfo(np.int16).max, np.int16)

        def measure(place: int, begin: int, end: int) -> Array:
            apart = part[:size, : end - begin]
            asked, known = mine[place][start:stop, None], theirs[place][None, begin:end]
            if place < len(side.axes):
                np.abs(np.subtract(asked, known, out=apart), out=apart)
                return np.minimum(apart, most[:size, : end - begin], out=apart)
            differ = np.not_equal(asked, known, out=unequal[:size, : end - begin])
            return np.multiply(differ, np.int16(steps), out=apart)

        for begin in range(0, len(side), _ROWS):
            end = min(begin + _ROWS, len(side))
            whole = total[:size, : end - begin]
            whole.fill(0)
            for place in range(columns):
                np.add(whole, measure(place, begin, end), out=whole)
            for i, place in enumerate(places):
                rest = np.subtract(whole, measure(place, begin, end), out=part[:size, : end - begin])
                row = rest.argmin(1)
                low = rest[np.arange(size), row]
                closer = low < best[i]
                best[i][closer] = low[closer]
                out[i][start:stop][closer] = row[closer] + begin

    spread(search, range(0, len(queries), _QUERIES))
    return out


def _whole(axes: Array, steps: int) -> Array:
    """Axes in whole steps; what lies far beyond the end (missing values) lies a mismatch beyond it."""
    return np.rint(np.clip(axes, -1, _REACH + 1.5) * steps).astype(np.int16)


def _narrow(levels: Array) -> Array:
    """Codes in two bytes where they fit: they compare faster."""
    return levels.astype(np.int16) if levels.max(initial=0) < 32_767 else levels


def by_trees(known: Sequence[Array], levels: list[bool], secret: Array, is_level: bool, seeds: Seeds) -> list[Array]:
    """What boosted trees guess for the rows of each matrix but the first, whose secret they are fitted on.

    Levels (keys, 0 is missing): the likeliest of the commonest. Numbers (NaN is missing): the likely middle, as the
    nearest value that occurs.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    there = np.flatnonzero(secret != 0 if is_level else np.isfinite(secret))
    if is_level:
        values, counts = np.unique(secret[there], return_counts=True)
        values = values[np.argsort(-counts, kind="stable")[:_CLASSES]]
        there = there[np.isin(secret[there], values)]
    else:
        values = np.unique(secret[there])
    if len(values) < 2:
        alone = values[0] if len(values) else secret.dtype.type(0 if is_level else np.nan)
        return [np.full(len(rows), alone) for rows in known[1:]]
    rng = seeds.generator()
    there = np.sort(rng.choice(there, _FITTED, replace=False)) if len(there) > _FITTED else there
    options = {
        "learning_rate": 0.2,
        "max_leaf_nodes": 15,
        "early_stopping": False,
        "categorical_features": levels if any(levels) else None,
        "random_state": seeds.integer(),
    }
    shown = known[0][there]
    shown[:, np.isnan(shown).all(0)] = 0.0  # trees find no cut where nothing is known
    if is_level:
        rounds = _ROUNDS if len(values) == 2 else max(min(_ROUNDS, _TREES // len(values)), 1)
        model = HistGradientBoostingClassifier(max_iter=rounds, **options)
        _, codes = np.unique(secret[there], return_inverse=True)
        ordered = np.sort(values)
        model.fit(shown, codes)
        return [ordered[model.predict(rows)] for rows in known[1:]]
    model = HistGradientBoostingRegressor(loss="absolute_error", max_iter=_ROUNDS, **options)
    unit = magnitude(values)
    model.fit(shown, secret[there] / unit)
    return [values[_snapped(model.predict(rows), values / unit)] for rows in known[1:]]


def _snapped(guess: Array, values: Array) -> Array:
    """Which value is nearest."""
    above = np.clip(np.searchsorted(values, guess), 1, len(values) - 1)
    return above - (guess - values[above - 1] <= values[above] - guess)
