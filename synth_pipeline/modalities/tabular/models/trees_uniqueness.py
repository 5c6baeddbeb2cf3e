"""Uniqueness across a whole release without talking between shards: row n may only take values of its own class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from synth_pipeline.errors import SpecError
from synth_pipeline.features import numbers
from synth_pipeline.features.columns import TableEncoder
from synth_pipeline.features.grids import Grid

_SPREAD = 64
_MOST = (1 << 31) - 1
_WIDEST = 1 << 62


@dataclass(frozen=True)
class Digit:
    """One unique column as a digit: `low + step × digit`, or a level."""

    name: str
    index: int
    size: int
    low: Any
    step: Any


@dataclass(frozen=True)
class Uniqueness:
    """A key's values as whole numbers below `size`, cut into `classes`; row n moves to the value of class f(n) that is
    nearest below its own, f a permutation: two rows of one release never share a class, so never a key.

    Values move by less than `classes` steps: 1/64 of the range, or more where the training table nearly fills it.
    `open_above`: a single whole number may go on beyond the greatest one of train when all classes are taken.
    """

    columns: tuple[str, ...]
    digits: tuple[Digit, ...]
    size: int
    classes: int
    open_above: bool

    @classmethod
    def of(cls, names: tuple[str, ...], free: tuple[str, ...], encoder: TableEncoder, rows: int) -> Uniqueness:
        """`free`: the columns whose values may still be moved.

        Raises:
            SpecError: there are none.
        """
        digits = sorted((_digit(name, encoder) for name in free), key=lambda digit: digit.size)
        while len(digits) > 1 and math.prod(digit.size for digit in digits) > _WIDEST:
            digits.pop(0)
        size = min(math.prod(digit.size for digit in digits), _WIDEST)
        if not digits:
            raise SpecError(
                f"{', '.join(names)}: none of these columns can be moved to make rows unique",
                fix="leave a column out of the other constraints, or give it the meaning `identifier`",
            )
        book = encoder.books[digits[0].index]
        open_above = len(digits) == 1 and isinstance(book, Grid) and book.low.dtype == np.int64
        wanted = rows if open_above else 16 * rows
        return cls(names, tuple(digits), size, max(1, min(size, _MOST, max(size // _SPREAD, wanted))), open_above)

    def settle(self, rows: dict[str, pa.Array], row_numbers: np.ndarray, encoder: TableEncoder) -> None:
        """Moves keys to their rows' classes; a key with a missing part stays, it equals nothing.

        Raises:
            SpecError: more rows are wanted than there are keys.
        """
        missing = np.zeros(len(row_numbers), bool)
        for name in self.columns:
            if name in rows:
                missing |= np.asarray(rows[name].is_null())
        beyond = row_numbers >= self.classes
        if beyond.any() and not (self.open_above and self._fits(int(row_numbers.max()), encoder)):
            raise SpecError(
                f"{', '.join(self.columns)}: only {self.classes:,} unique rows can be drawn",
                fix="ask for fewer rows (generation.rows), or drop the constraint `unique`",
            )
        place = np.zeros(len(row_numbers), np.int64)
        for digit in self.digits:
            place = place * digit.size + self._read(digit, rows[digit.name], encoder)
        mine = _permuted(row_numbers, self.classes)
        place = place // self.classes * self.classes + mine
        place = np.where(place >= self.size, place - self.classes, place)
        place = np.where(beyond, self.size + row_numbers - self.classes, place)
        for digit in reversed(self.digits):
            if self.open_above:
                rows[digit.name] = self._write(digit, place, rows[digit.name], missing, encoder)
                break
            place, at = np.divmod(place, digit.size)
            rows[digit.name] = self._write(digit, at, rows[digit.name], missing, encoder)

    def _fits(self, last: int, encoder: TableEncoder) -> bool:
        """Whether the column's type can count that far beyond."""
        kind = encoder.books[self.digits[0].index].type
        top = int(self.digits[0].low) + (self.size + last - self.classes) * int(self.digits[0].step)
        if pa.types.is_integer(kind) and not pa.types.is_uint64(kind):
            return top <= np.iinfo(kind.to_pandas_dtype()).max
        return top < (2**31 if kind.bit_width == 32 and pa.types.is_temporal(kind) else 2**53)

    def _read(self, digit: Digit, array: pa.Array, encoder: TableEncoder) -> np.ndarray:
        book = encoder.books[digit.index]
        if not isinstance(book, Grid):
            return np.clip(book.encode(array).astype(np.int64) - 1, 0, digit.size - 1)
        ticks = _ticks(book, array)
        exact = ticks.astype(np.float64) - float(digit.low)
        return np.clip(np.nan_to_num(exact / digit.step), 0, digit.size - 1).astype(np.int64)

    def _write(
        self, digit: Digit, at: np.ndarray, before: pa.Array, missing: np.ndarray, encoder: TableEncoder
    ) -> pa.Array:
        book = encoder.books[digit.index]
        if not isinstance(book, Grid):
            return book.values.take(pa.array(at, mask=missing)).cast(before.type)
        ticks: np.ndarray = digit.low + at * digit.step
        if book.places is not None:
            ticks = ticks / 10.0**book.places
        kept = np.asarray(before.is_valid()) & missing
        moved = numbers.from_numbers(ticks, ~missing, before.type)
        if not kept.any():
            return moved
        return pa.concat_arrays([moved, before]).take(pa.array(np.arange(len(at)) + np.where(missing, len(at), 0)))


def _digit(name: str, encoder: TableEncoder) -> Digit:
    index = encoder.names.index(name)
    book = encoder.books[index]
    if not isinstance(book, Grid):
        return Digit(name, index, max(1, book.size - 1), 0, 1)
    known = [code for code in range(1, book.size) if code not in book.odd]
    if not known:
        return Digit(name, index, 1, 0, 1)
    first = book.first[known]
    low, high = book.low[first].min(), book.high[first + book.slots[known] - 1].max()
    if book.low.dtype == np.int64:
        return Digit(name, index, (int(high) - int(low)) // book.step + 1, int(low), book.step)
    size = 1 << 40  # a float without a grid gets a fine one
    step = float(high / size - low / size)
    return Digit(name, index, size, float(low), step) if step > 0 else Digit(name, index, 1, float(low), 1.0)


def _ticks(book: Grid, array: pa.Array) -> np.ndarray:
    values, present = numbers.to_numbers(array)
    if book.places is not None:
        with np.errstate(invalid="ignore"):
            values = np.rint(np.nan_to_num(values) * 10.0**book.places)
    return np.where(present, values, 0)


def _permuted(row_numbers: np.ndarray, classes: int) -> np.ndarray:
    """A fixed bijection of 0 … classes − 1 that spreads neighbours (golden-ratio stride)."""
    stride = max(1, int(classes * 0.6180339887498949))
    while math.gcd(stride, classes) != 1:
        stride += 1
    return row_numbers % classes * stride % classes
