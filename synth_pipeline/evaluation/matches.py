"""Who holds what among the real rows, and how far released rows with equal keys lean on train."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth_pipeline.evaluation.intervals import effective, share
from synth_pipeline.evaluation.noticing import least_count

Array = np.ndarray
_COPIES = 4
"""A table may be stored this many times over without its rows becoming common."""


@dataclass(frozen=True)
class Share:
    """Which part of what synthetic rows met belongs to train, clustered on the real units that were met."""

    value: float
    low: float
    high: float
    n: float

    def excess(self, pi: float, met: float = 1.0) -> tuple[float, float, float]:
        """(share - π) / (1 - π), of the part of rows that met any."""
        low, value, high = ((part - pi) / (1 - pi) * met for part in (self.low, self.value, self.high))
        return value, low, high


@dataclass(frozen=True)
class Held:
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


@dataclass(frozen=True)
class Excess:
    """Train's part of the released rows that meet a real one, over what chance gives it; how many rows meet each side;
    the smallest part of copied rows that would be noticed, and what that rests on."""

    value: float
    low: float
    high: float
    in_train: int
    in_holdout: int
    detects: float | None
    lone: float
    """The part of train's rows that are one unit's alone: of a copied row, whether it can be seen."""

    @property
    def blind(self) -> str:
        """What to add to a note where no copy can be seen."""
        return "" if self.lone else "; no row is anybody's alone: exact copies cannot be told from chance here"


def holders(sides: tuple[Array, Array], units: tuple[Array, Array]) -> Held:
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
    return Held(keys, held, (held <= most) & (keys != 0), place, unit, label)


def matched(held: Held, asked: Array) -> tuple[Array, Array]:
    """Pairs (row of `asked`, real unit) that share a lone key."""
    at = np.minimum(np.searchsorted(held.keys, asked), len(held.keys) - 1)
    rows = np.flatnonzero((held.keys[at] == asked) & held.lone[at])
    order = np.argsort(held.place, kind="stable")
    begin, counts = (np.cumsum(held.units) - held.units)[at[rows]], held.units[at[rows]]
    offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(rows, counts), held.unit[order[np.repeat(begin, counts) + offset]]


def excess(rows: Array, units: Array, held: Held, asked: int) -> Excess:
    """Of released rows that meet real units, each row counted once: train's excess, with its interval.

    Every pair of `held` counts once towards π, so that the many equal rows of one person do not pull it.
    """
    times = np.bincount(rows, minlength=asked)
    part = 1 / times[rows]
    mine = np.bincount(rows, part * held.label[units], minlength=asked)[times > 0]
    pi = float(held.label[held.unit].mean())
    there = (held.keys[held.place] != 0) & (held.label[held.unit] > 0)
    lone = float(held.lone[held.place[there]].mean()) if there.any() else 0.0
    in_train, in_holdout = int((mine > 1e-9).sum()), int((mine < 1 - 1e-9).sum())
    if not len(mine):
        return Excess(0.0, 0.0, 0.0, 0, 0, _attainable(least_count(pi, 0.0), lone * asked), lone)
    weights = np.bincount(units, part, minlength=len(held.label))
    found = clustered(mine, weights, held.label, np.bincount(held.unit, minlength=len(held.label)))
    each = max(len(mine) / found.n, 1.0)  # rows that meet one unit stand for one
    by_chance = float((1 - mine).sum()) / (1 - pi)
    detects = _attainable(least_count(pi, by_chance / each) * each, lone * asked)
    return Excess(*found.excess(pi, len(mine) / asked), in_train, in_holdout, detects, lone)


def clustered(mine: Array, weights: Array, label: Array, rows: Array) -> Share:
    """Mean of `mine`, with an interval from how unevenly it rests on the real units.

    With a = a unit's part of all meetings and m = its part of all real rows, share - π = sum((a - m) · label), since π
    itself is sum(m · label): only the unevenness varies with who was drawn into train. The variance is never less than
    that between the synthetic rows. The interval is exact where it is worth few trials.
    """
    value = float(mine.mean())
    met = weights / weights.sum()
    # where hardly a holdout row is met, their part of all rows says nothing of how sure the share is
    uneven = min(float((part**2 * (label - value) ** 2).sum()) for part in (met - rows / rows.sum(), met))
    between = float(mine.var(ddof=1)) / len(mine) if len(mine) > 1 else 0.25
    certain = value in (0.0, 1.0)
    n = 1 / float((met**2).sum()) if certain else effective(value, max(uneven, between), float((rows > 0).sum()))
    return Share(value, *share(value * n, n), n=n)


def _attainable(count: float, of: float) -> float | None:
    """As a part of what can be seen; None where not even a verbatim copy of all of it would be noticed."""
    return count / of if count <= of else None
