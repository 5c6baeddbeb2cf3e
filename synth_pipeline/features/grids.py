"""The code book of one ordered column: point masses as atoms, the rest quantile bins with sub-quantiles inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from synth_pipeline.features import numbers

PROTECT = 5
"""How many units (rows, or persons) an atom, a slot or a tail needs, where the table has enough of them."""
_MANY = 128
_ARRAYS = ("low", "high", "first", "slots", "atoms", "atom_codes", "cuts", "bin_codes", "knots", "ranks")


@dataclass(frozen=True)
class Grid:
    """Numbers and times. Code 0 is NULL; the others ascend with the value (bins overlap atoms that lie in them).

    A code owns `slots[code]` equally likely slots from `first[code]` on; a slot is the closed range `low`..`high` of
    ticks, `step` apart (floats without a grid: the whole range). An atom owns one slot without width.
    """

    type: pa.DataType
    places: int | None
    """Decimals of a float that has a grid: its ticks are whole multiples of 10^-places."""
    step: int
    low: np.ndarray
    high: np.ndarray
    first: np.ndarray
    slots: np.ndarray
    atoms: np.ndarray
    atom_codes: np.ndarray
    cuts: np.ndarray
    bin_codes: np.ndarray
    knots: np.ndarray
    ranks: np.ndarray
    odd: tuple[int, int, int] = (0, 0, 0)
    """Codes of NaN, -inf and +inf; 0: train has none."""

    ordered = True

    @classmethod
    def fit(
        cls,
        array: pa.ChunkedArray,
        *,
        bins: int,
        sub_bins: int,
        places: int | None = None,
        extremes: bool = False,
        units: np.ndarray | None = None,
    ) -> Grid:
        """`places`: known decimals of a float. `extremes`: the range is public, keep the least and greatest value.

        `units`: the person of each row; what one person alone repeats is no point mass.
        """
        kind = array.type
        values, present = numbers.to_numbers(array)
        values = values[present]
        owners = None if units is None else units[present]
        odd = np.zeros(3, np.int64)
        if values.dtype == np.float64:
            odd[:] = [np.isnan(values).sum(), np.isneginf(values).sum(), np.isposinf(values).sum()]
            finite = np.isfinite(values)
            values, owners = values[finite], owners if owners is None else owners[finite]
            if pa.types.is_floating(kind):
                found = numbers.decimals(values, single=kind.bit_width < 64)
                places = found if places is None or found is None or found > places else places
                if places is not None:
                    values = np.rint(values * 10.0**places).astype(np.int64)
        if not pa.types.is_floating(kind):
            places = None
        if owners is None:
            values = np.sort(values)
        else:  # each person's values once
            order = np.lexsort((owners, values))
            values, owners = values[order], owners[order]
            once = np.append(True, (values[1:] != values[:-1]) | (owners[1:] != owners[:-1]))[: len(values)]
            values, owners = values[once], owners[once]
        return _book(kind, places, values, owners, odd, bins, sub_bins, extremes)

    @property
    def size(self) -> int:
        return len(self.slots)

    def encode(self, array: pa.ChunkedArray | pa.Array) -> np.ndarray:
        """Codes (int32); a value that train never showed gets the nearest bin's or atom's code."""
        values, present, odd = self._ticks(array)
        codes = np.zeros(len(values), np.int32)
        if len(self.bin_codes):
            codes = self.bin_codes[np.searchsorted(self.cuts, values, side="left")]
        if len(self.atoms):
            at = np.minimum(np.searchsorted(self.atoms, values), len(self.atoms) - 1)
            hit = self.atoms[at] == values
            if len(self.bin_codes):
                codes = np.where(hit, self.atom_codes[at], codes)
            else:
                below, exact = np.maximum(at - 1, 0), values.astype(np.float64)
                gap = np.abs(exact / 2 - self.atoms[below] / 2), np.abs(self.atoms[at] / 2 - exact / 2)
                codes = self.atom_codes[np.where((gap[0] < gap[1]) & ~hit, below, at)]
        codes = np.where(present, codes, 0).astype(np.int32)
        for code, here in zip(self.odd, odd, strict=True):
            if here is not None:
                codes[here] = code
        return codes

    def decode(self, codes: np.ndarray, rng: np.random.Generator) -> pa.Array:
        """Values drawn inside each code's slots, in the column's exact Arrow type."""
        where = rng.random(len(codes)) * self.slots[codes]
        within = where.astype(np.int64)
        slot = self.first[codes] + within
        where -= within
        low, high = self.low[slot], self.high[slot]
        if low.dtype == np.int64:
            steps = (high.view(np.uint64) - low.view(np.uint64)) // np.uint64(self.step)
            offset = np.minimum((where * (steps.astype(np.float64) + 1)).astype(np.uint64), steps)
            values = (low.view(np.uint64) + offset * np.uint64(self.step)).view(np.int64)
        else:
            values = low * (1 - where) + high * where
        if self.places is not None:
            values = values / 10.0**self.places
        for code, level in zip(self.odd, (np.nan, -np.inf, np.inf), strict=True):
            if code:
                values[codes == code] = level
        return numbers.from_numbers(values, codes != 0, self.type)

    def rank(self, array: pa.ChunkedArray | pa.Array) -> np.ndarray:
        """Train's mid-distribution function at each value (float32, 0..1); NaN where it is missing."""
        values, present, odd = self._ticks(array)
        ranks = np.full(len(values), 0.5)
        if len(self.knots):
            ranks = np.interp(values.astype(np.float64), self.knots, self.ranks)
        for level, here in zip((np.nan, 0.0, 1.0), odd, strict=True):
            if here is not None:
                ranks[here] = level
        return np.where(present, ranks, np.nan).astype(np.float32)

    def codes_of(self, value: Any) -> np.ndarray:
        """The codes that can stand for one Python value; ValueError when train holds nothing like it."""
        if value is None:
            return np.zeros(1, np.int64)
        array = numbers.one(value, self.type)
        ticks, _, odd = self._ticks(array)
        if all(here is None or not here[0] for here in odd):
            known = np.setdiff1d(np.arange(1, self.size), self.odd)
            if not len(known) or not self.low[self.first[known]].min() <= ticks[0] <= self._high(known).max():
                raise ValueError("it lies outside of the range that was learned")
        return self.encode(array).astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        return {"kind": "grid", "places": self.places, "step": self.step, "odd": list(self.odd)}

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def load(cls, kind: pa.DataType, note: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Grid:
        return cls(kind, note["places"], note["step"], odd=tuple(note["odd"]), **{k: arrays[k] for k in _ARRAYS})

    def _high(self, codes: np.ndarray) -> np.ndarray:
        return self.high[self.first[codes] + self.slots[codes] - 1]

    def _ticks(self, array: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, np.ndarray, list[np.ndarray | None]]:
        values, present = numbers.to_numbers(array if array.type == self.type else array.cast(self.type))
        odd: list[np.ndarray | None] = [None, None, None]
        if values.dtype == np.float64:
            finite = np.isfinite(values)
            if not finite.all():
                odd = [np.isnan(values) & present, np.isneginf(values) & present, np.isposinf(values) & present]
                values = np.where(finite, values, 0.0)
            if self.places is not None:
                values = np.rint(np.clip(values * 10.0**self.places, -(2.0**62), 2.0**62)).astype(np.int64)
            elif self.low.dtype == np.int64:  # a decimal wider than any that train holds
                values = np.clip(values, -(2.0**62), 2.0**62).astype(np.int64)
        return values, present, odd


def _book(
    kind: pa.DataType,
    places: int | None,
    values: np.ndarray,
    owners: np.ndarray | None,
    odd: np.ndarray,
    bins: int,
    sub_bins: int,
    extremes: bool,
) -> Grid:
    """The code book of sorted finite ticks; `owners`: whose they are, if not each somebody else's."""
    uniq, counts = np.unique(values, return_counts=True)
    rows = len(values) + int(odd.sum())
    persons = len(values) if owners is None else len(np.unique(owners))
    least = int(np.clip(persons // 20, 2, PROTECT))
    heavy = counts >= (least if len(uniq) <= _MANY else max(least, int(np.ceil(0.004 * rows))))
    atoms, atom_counts = uniq[heavy], counts[heavy]
    step = _step(uniq)
    light = ~np.repeat(heavy, counts)
    rest, owners = values[light], None if owners is None else owners[light]
    if len(rest) > 1 and not extremes:
        below, above = _tail(rest, owners, least), _tail(rest, owners if owners is None else owners[::-1], least)
        rest = np.clip(rest, _middle(rest[below - 1], rest[below], step), _middle(rest[-above - 1], rest[-above], step))
    cuts, starts, sizes = _bins(rest, min(bins, max(1, len(rest) // 20)), step)
    low, high, slots, mass = _slots(rest, starts, sizes, np.clip(_holders(sizes, owners) // least, 1, sub_bins), step)

    # codes: NULL, -inf, atoms and bins by value, +inf, NaN
    centre = np.concatenate([atoms, rest[starts + sizes // 2]])
    order = np.argsort(centre, kind="stable")
    before = 1 + int(odd[1] > 0)
    code = np.empty(len(centre), np.int64)
    code[order] = before + np.arange(len(centre))
    after = before + len(centre)
    codes_odd = (after + int(odd[2] > 0) if odd[0] else 0, 1 if odd[1] else 0, after if odd[2] else 0)
    size = after + int(odd[2] > 0) + int(odd[0] > 0)

    first, owned = np.zeros(size, np.int64), np.ones(size, np.int64)
    first[code[: len(atoms)]] = 1 + np.arange(len(atoms))
    first[code[len(atoms) :]] = 1 + len(atoms) + np.cumsum(slots) - slots
    owned[code[len(atoms) :]] = slots
    nothing = np.zeros(1, values.dtype)
    lows, highs = np.concatenate([nothing, atoms, low]), np.concatenate([nothing, atoms, high])
    weights = np.concatenate([atom_counts, mass])
    knots = lows[1:].astype(np.float64) / 2 + highs[1:].astype(np.float64) / 2
    knots, group = np.unique(knots, return_inverse=True)
    weights = np.bincount(group, weights, minlength=len(knots))
    return Grid(
        type=kind,
        places=places,
        step=step,
        low=lows,
        high=highs,
        first=first,
        slots=owned,
        atoms=atoms,
        atom_codes=code[: len(atoms)],
        cuts=cuts,
        bin_codes=code[len(atoms) :],
        knots=knots,
        ranks=(np.cumsum(weights) - weights / 2) / max(weights.sum(), 1),
        odd=codes_odd,
    )


def _step(uniq: np.ndarray) -> int:
    """The widest grid that all values lie on."""
    if uniq.dtype != np.int64 or len(uniq) < 2:
        return 1
    step = int(np.gcd.reduce(np.diff(uniq.view(np.uint64))))
    return step if step < 1 << 62 else 1  # wider than int64 can add


def _middle(low: Any, high: Any, step: int) -> Any:
    """Between two neighbours; on integers the last grid point of the lower half."""
    low, high = np.asarray(low), np.asarray(high)
    if low.dtype != np.int64:
        return low / 2 + high / 2
    wide = high.view(np.uint64) - low.view(np.uint64)
    return (low.view(np.uint64) + wide // np.uint64(step) // np.uint64(2) * np.uint64(step)).view(np.int64)


def _tail(rest: np.ndarray, owners: np.ndarray | None, least: int) -> int:
    """How many values from the end on make a tail of `least` persons; one person's many values are cut off at 5 %."""
    if owners is None:
        return min(least, len(rest) // 2)
    first = np.sort(np.unique(owners, return_index=True)[1])
    return int(min(first[min(least, len(first)) - 1] + 1, max(least, len(rest) // 20), len(rest) // 2))


def _holders(sizes: np.ndarray, owners: np.ndarray | None) -> np.ndarray:
    """How many persons have a value in each bin."""
    if owners is None:
        return sizes
    pairs = np.unique(np.stack([np.repeat(np.arange(len(sizes)), sizes), owners]), axis=1)
    return np.bincount(pairs[0], minlength=len(sizes))


def _bins(rest: np.ndarray, bins: int, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cuts between bins of about equal mass (no value lies in two); where each bin starts, and its length."""
    if not len(rest):
        none = np.zeros(0, np.int64)
        return rest[:0], none, none
    at = np.arange(1, bins) * len(rest) // bins
    cuts = np.unique(_middle(rest[at - 1], rest[at], step))
    sizes = np.bincount(np.searchsorted(cuts, rest, side="left"), minlength=len(cuts) + 1)
    cuts = cuts[sizes[:-1] > 0]
    if sizes[-1] == 0:
        cuts = cuts[:-1]
    sizes = sizes[sizes > 0]
    return cuts, np.cumsum(sizes) - sizes, sizes


def _slots(
    rest: np.ndarray, starts: np.ndarray, sizes: np.ndarray, slots: np.ndarray, step: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Each bin cut into equally likely slots: their ends, how many each bin has, and the mass of each slot."""
    owner = np.repeat(np.arange(len(slots)), slots)
    index = np.arange(len(owner)) - np.repeat(np.cumsum(slots) - slots, slots)
    start = starts[owner] + index * sizes[owner] // slots[owner]
    stop = np.append(start[1:], len(rest))[: len(start)]
    left, right = rest[np.maximum(start - 1, 0)], rest[start]
    grain = step if rest.dtype == np.int64 else 0
    low = np.where(left == right, right, _middle(left, right, step) + grain)
    left, right = rest[stop - 1], rest[np.minimum(stop, len(rest) - 1)]
    high = np.where(left == right, right, _middle(left, right, step))
    return low, np.maximum(low, high), slots, sizes[owner] / slots[owner]
