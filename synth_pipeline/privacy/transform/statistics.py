"""What protection learns from the training rows in bounded memory: common levels, repeats, forms of identifiers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.privacy.transform.hashing import U64, as_text, is_number, mix
from synth_pipeline.privacy.transform.permutation import ALPHABET, CLASSES, FIXED, ROOM, shapes

_HELD = 524_288
"""Entries after which counts are merged."""
_KEPT = 262_144
"""Rare levels remembered after a merge; beyond it their counts start again, which can only suppress more."""
_SAMPLED = 131_072
"""Distinct values whose repeats are counted exactly; a keyed-hash sample of all when there are more."""


class Levels:
    """Which levels (by fingerprint) at least `least` units share."""

    def __init__(self, least: int) -> None:
        self.least = least
        self._common = np.zeros(0, np.uint64)
        self._level: list[U64] = []
        self._unit: list[U64] = []
        self._held = 0
        self._limit = _HELD >> 4  # early at first: what is common is soon known, and then costs little

    def add(self, levels: U64, units: U64 | None) -> None:
        """Fingerprints of the rows' values (0: missing), and of their units (None: every row its own)."""
        open_ = (levels != 0) & ~contains(self._common, levels)
        self._by_row = units is None
        self._level.append(levels[open_])
        self._unit.append(np.ones(len(self._level[-1]), np.uint64) if units is None else units[open_])
        self._held += len(self._level[-1])
        if self._held > self._limit:
            self._merge()
            self._limit = min(2 * self._limit, _HELD)

    def common(self) -> U64:
        """Sorted fingerprints of the levels to keep."""
        self._merge()
        return self._common

    def _merge(self) -> None:
        if not self._level:
            return
        levels, units = np.concatenate(self._level), np.concatenate(self._unit)
        fresh = ~contains(self._common, levels)
        levels, units = levels[fresh], units[fresh]
        if self._by_row:
            found, member = np.unique(levels, return_inverse=True)
            rows = np.bincount(member, units.astype(np.float64), len(found)).astype(np.uint64)
            enough = rows >= self.least
            self._common = np.union1d(self._common, found[enough])
            levels, units = found[~enough], rows[~enough]
        else:
            order = np.lexsort((units, levels))
            levels, units = levels[order], units[order]
            first = np.ones(len(levels), bool)
            first[1:] = (levels[1:] != levels[:-1]) | (units[1:] != units[:-1])
            levels, units = levels[first], units[first]
            found, counts = np.unique(levels, return_counts=True)
            self._common = np.union1d(self._common, found[counts >= self.least])
            rare = ~contains(self._common, levels)
            levels, units = levels[rare], units[rare]
        if len(levels) > _KEPT:
            levels, units = levels[:0], units[:0]
        self._level, self._unit, self._held = [levels], [units], len(levels)


class Repeats:
    """How many rows share one value: an exact histogram over a hash sample of the distinct values."""

    def __init__(self) -> None:
        self._found = np.zeros(0, np.uint64)
        self._counts = np.zeros(0, np.int64)
        self._level = 0
        self._held: list[U64] = []
        self._size = 0
        self.rows = self.missing = 0

    def add(self, values: U64) -> None:
        present = values != 0
        self.rows += len(values)
        self.missing += int((~present).sum())
        self._held.append(self._sample(values[present]))
        self._size += len(self._held[-1])
        if self._size > _HELD:
            self._merge()

    def skip(self, values: pa.Array) -> None:
        """Takes values that are known to be all different."""
        self.rows += len(values)
        self.missing += values.null_count

    @property
    def null_rate(self) -> float:
        return self.missing / self.rows if self.rows else 0.0

    def histogram(self) -> list[list[int]]:
        """[[rows per value, how many values]], smallest first; of the sampled values."""
        self._merge()
        sizes, counts = np.unique(self._counts, return_counts=True)
        return [[int(size), int(count)] for size, count in zip(sizes, counts, strict=True)]

    @property
    def distinct(self) -> int:
        """About how many distinct values there are; exact up to 131,072."""
        self._merge()
        return len(self._found) << self._level

    def _sample(self, values: U64) -> U64:
        # the lowest bits choose: a value is counted in every batch or in none
        return values[values & np.uint64((1 << self._level) - 1) == 0] if self._level else values

    def _merge(self) -> None:
        if not self._held:
            return
        values = np.concatenate([self._found, *self._held])
        weights = np.concatenate([self._counts, np.ones(len(values) - len(self._found), np.int64)])
        self._found, member = np.unique(values, return_inverse=True)
        self._counts = np.bincount(member, weights, len(self._found)).astype(np.int64)
        while len(self._found) > _SAMPLED:
            self._level += 1
            kept = self._found & np.uint64((1 << self._level) - 1) == 0
            self._found, self._counts = self._found[kept], self._counts[kept]
        self._held, self._size = [], 0


class Follows:
    """Whether the rows of one unit share one value, in a hash sample of the units: an address of a person does."""

    def __init__(self) -> None:
        self._units = np.zeros(0, np.uint64)
        self._pairs = np.zeros(0, np.uint64)
        self._level = 0
        self._rows = 0
        self._broken = False

    def add(self, values: U64, units: U64) -> None:
        if self._broken:
            return
        chosen = (values != 0) & (units != 0) & (units & np.uint64((1 << self._level) - 1) == 0)
        values, units = values[chosen], units[chosen]
        self._rows += len(units)
        pairs = np.concatenate([self._pairs, mix(units ^ mix(values, _PAIR), _PAIR)])
        self._pairs, first = np.unique(pairs, return_index=True)
        self._units = np.concatenate([self._units, units])[first]
        self._broken = len(np.unique(self._units)) < len(self._units)
        if len(self._units) > _SAMPLED:
            self._level += 1
            kept = self._units & np.uint64((1 << self._level) - 1) == 0
            self._units, self._pairs = self._units[kept], self._pairs[kept]

    @property
    def holds(self) -> bool:
        """Not broken by any unit, and told by enough rows beyond each unit's first."""
        return not self._broken and self._rows - len(self._units) >= 20


_PAIR = np.uint64(0x9E3779B97F4A7C15)


_SHARED = 20
"""Different values, of different units, that a part of an identifier must be common to before it counts as constant."""


@dataclass
class _Shape:
    rows: int = 0
    values: set[int] = field(default_factory=set)
    units: set[int] = field(default_factory=set)
    """Fingerprints of the first 20 different values and units, or more: no longer counted then."""
    low: Any = None
    high: Any = None
    top: bytes = b""


@dataclass
class Forms:
    """How identifiers are written: the shapes of texts with what is constant in them, or the width of numbers."""

    rows: int = 0
    widest: int = 0
    shapes: dict[bytes, _Shape] = field(default_factory=dict)
    _rest: int = 0
    _by_unit: bool = False

    def add(self, values: pa.Array, units: U64 | None = None) -> None:
        """Takes rows' values, and fingerprints of their units (None: every row its own, or not known for these)."""
        if units is not None:
            self._by_unit = True
            units = units[values.is_valid().to_numpy(zero_copy_only=False)]
        values = values.drop_null()
        self.rows += len(values)
        if not len(values):
            return
        if is_number(values.type):
            extent = pc.min_max(values)
            self.widest = max(self.widest, *(abs(int(extent[side].as_py())) for side in ("min", "max")))
            return
        for shape, matrix, rows in shapes(as_text(values)):
            if shape is None or (shape not in self.shapes and len(self.shapes) >= 256):
                self._rest += len(matrix)
                continue
            note = self.shapes.setdefault(shape, _Shape())
            note.rows += len(matrix)
            _count(note.values, matrix)
            if units is not None:
                _count(note.units, units[rows])
            low, high = matrix.min(axis=0), matrix.max(axis=0)
            note.low = low if note.low is None else np.minimum(note.low, low)
            note.high = high if note.high is None else np.maximum(note.high, high)
            note.top = max(note.top, _last(matrix))

    def templates(self) -> list[dict[str, Any]]:
        """The usual shapes as templates: constant characters, the alphabets of the others, and the first free number.

        A character counts as constant when at least 20 different values of 20 different units share it: a shape of few
        values or of few people is all variable. A shape that the source has nearly used up is left to others; one
        template, longest, may `grow` beyond any real length.
        """
        usual = sorted(self.shapes.items(), key=lambda pair: (-pair[1].rows, pair[0]))[:8]
        usual = [(shape, note) for shape, note in usual if note.rows >= 0.01 * self.rows]
        if not usual or sum(note.rows for _, note in usual) < 0.5 * self.rows:
            return []
        made = [_template(np.frombuffer(shape, np.uint8), note, self._shared(note)) for shape, note in usual]
        longest = max(range(len(made)), key=lambda i: len(made[i]["text"]))
        made[longest]["grow"] = 1 + max(map(len, self.shapes))
        return made

    def _shared(self, note: _Shape) -> bool:
        return len(note.values) >= _SHARED and (not self._by_unit or len(note.units) >= _SHARED)


def _count(known: set[int], found: Any) -> None:
    """Adds what is new among numbers, or texts as rows of bytes, until there are enough; 0 is none."""
    if len(known) >= _SHARED:
        return
    if found.ndim == 2:
        weights = mix(np.arange(1, found.shape[1] + 1, dtype=np.uint64), _PAIR) | np.uint64(1)
        found = found.astype(np.uint64) @ weights
    known.update(np.unique(found[found != 0])[:_SHARED].tolist())


def _template(shape: Any, note: _Shape, shared: bool) -> dict[str, Any]:
    constant = note.low == note.high
    if not shared or not ((shape != FIXED) & ~constant).any():  # a column of one value has no constant part
        constant = shape == FIXED
    classes = [FIXED if fixed else int(kind) for fixed, kind in zip(constant, shape, strict=True)]
    text = "".join(chr(sign) if kind == FIXED else "0" for sign, kind in zip(note.low, classes, strict=True))
    used, room = 0, 1
    for kind, sign in zip(classes, note.top, strict=True):
        if kind != FIXED:
            room *= len(ALPHABET[kind])
            used = used * len(ALPHABET[kind]) + ALPHABET[kind].index(sign)
    # round up, so that the template does not tell the highest number
    step = 10 ** max(0, len(str(used)) - 1)
    low = (used // step + 1) * step if room <= ROOM else 0
    return {"text": text, "classes": "".join(CLASSES[kind] for kind in classes), "low": low, "weight": note.rows}


def _last(matrix: Any) -> bytes:
    """The last of equally long texts in order."""
    for place in range(matrix.shape[1]):
        matrix = matrix[matrix[:, place] == matrix[:, place].max()]
    return bytes(matrix[0])


def contains(sorted_values: U64, values: U64) -> Any:
    """Which values are among sorted ones."""
    if not len(sorted_values):
        return np.zeros(len(values), bool)
    at = np.searchsorted(sorted_values, values)
    return sorted_values[np.minimum(at, len(sorted_values) - 1)] == values


def digit_form(values: pa.Array, allowed: tuple[int, ...]) -> str | None:
    """The most usual written form of numbers with that many digits: "(000) 000-0000"."""
    text = as_text(values.drop_null())
    if not len(text) or not allowed:
        return None
    form = pc.replace_substring_regex(text, pattern=r"\d", replacement="0")
    plain = pc.match_substring_regex(form, pattern=r"^[0 ()+./-]{1,32}$")
    counts = pc.value_counts(form.filter(plain))
    ranked = sorted(((c["counts"].as_py(), c["values"].as_py()) for c in counts), key=lambda pair: (-pair[0], pair[1]))
    return next((text for _, text in ranked if text.count("0") in allowed), None)
