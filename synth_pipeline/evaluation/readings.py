"""Released values read as the real ones they are hardly told from, so that unseen noise does not hide a copy."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.evaluation.columns import numbers, texts
from synth_pipeline.evaluation.keys import mix, rounded, wholes
from synth_pipeline.records.schema import Column, Meaning, default_meaning

Array = np.ndarray
CLOSE = 0.01
"""Of the way from a real number to the next one: what lies no farther off is read as that number."""
_FINE = 1e-7
"""Of the spread of the middle half of a column's real numbers: the same, however dense fractions lie."""
_UNSEEN = re.compile(r"[\W_]+")
_OTHER = np.uint64(0xD1B54A32D192ED03)


class Readings:
    """One column's values as keys; a value that no real row has is read as the real one that it is hardly told from.

    A number is read as the nearest real one when it is off by no more than the part `close` of that one's distance to
    the next real one; a text as a real one that differs in case, spaces, punctuation or compatible characters (NFKC)
    only. Real values are read as themselves, whichever side they are of: what is met by chance is met on both alike.
    """

    def __init__(self, column: Column, real: Sequence[pa.Table], close: float = CLOSE) -> None:
        self._column, self._close = column, close
        # what is written in numbers is read so, even where it means levels or an identifier
        self._ordered = default_meaning(column.type) in (Meaning.NUMBER, Meaning.DATETIME)
        self._whole = self._ordered and (pa.types.is_integer(column.type) or pa.types.is_temporal(column.type))
        if not self._ordered:
            self._texts = pc.unique(pa.chunked_array([texts(table, column.name) for table in real])).drop_null()
            self._alike: dict[str, str] | None = None
            return
        values = np.concatenate([_finite(*self._numbers(table)) for table in real])
        if not self._whole:  # numbers that agree to ten digits are one
            values = np.sort(values)
            values = values[np.unique(rounded(values), return_index=True)[1]]
        self._known = np.unique(values)

    def keys(self, table: pa.Table) -> Array:
        """64 bits per value; 0 is a missing one."""
        if not self._ordered:
            return self._text_keys(texts(table, self._column.name))
        values, rest, gone = self._numbers(table)
        place, close = _nearest(self._known, values, rest, self._close)
        bits = values.view(np.uint64) ^ mix(rounded(rest)) if self._whole else rounded(values)
        keys = np.where(close, mix(place.astype(np.uint64) + np.uint64(1)), mix(bits ^ _OTHER))
        return np.where(gone, 0, np.maximum(keys, 1)).astype(np.uint64)

    def _numbers(self, table: pa.Table) -> tuple[Array, Array, Array]:
        """Values (whole ones as int64), what they exceed those by, and which are missing."""
        if self._whole:
            return wholes(table, self._column)
        values = numbers(table, self._column.name) + 0.0  # -0.0 is 0.0
        return values, np.zeros(len(values)), np.isnan(values)

    def _text_keys(self, data: pa.Array) -> Array:
        from pandas.util import hash_array

        encoded = data.dictionary_encode()
        words = np.asarray(self._read(encoded.dictionary), dtype=object)
        hashed = np.maximum(hash_array(words, categorize=False), 1) if len(words) else np.ones(1, np.uint64)
        places = pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False)
        return np.where(encoded.is_null().to_numpy(zero_copy_only=False), 0, hashed[places]).astype(np.uint64)

    def _read(self, words: pa.Array) -> list[str]:
        """Each text as the real one that it is, else as the first one that it is like."""
        found = words.to_pylist()
        new = np.flatnonzero(~pc.is_in(words, self._texts).to_numpy(zero_copy_only=False))
        if len(new) and self._alike is None:
            self._alike = {_plain(word): word for word in sorted(self._texts.to_pylist(), reverse=True)}
        for place in new:
            found[place] = (self._alike or {}).get(_plain(found[place]), found[place])
        return found


def _finite(values: Array, rest: Array, gone: Array) -> Array:
    return values[~gone & np.isfinite(values) & (rest == 0)]


def _nearest(known: Array, values: Array, rest: Array, near: float) -> tuple[Array, Array]:
    """Which of the sorted known numbers is nearest to each value (of two, the lower), and whether it is close."""
    last = len(known) - 1
    if last < 0:
        return np.zeros(len(values), np.int64), np.zeros(len(values), bool)
    above = np.searchsorted(known, values, "right")
    low, high = np.maximum(above - 1, 0), np.minimum(above, last)
    with np.errstate(over="ignore", invalid="ignore"):
        down = np.where(above > 0, _apart(values, known[low]) + rest, np.inf)
        up = np.where((above <= last) & (rest < 1), _apart(known[high], values) - rest, np.inf)
        place = np.where(down <= up, low, high)
        gap = np.minimum(
            np.where(place > 0, _apart(known[place], known[np.maximum(place - 1, 0)]), np.inf),
            np.where(place < last, _apart(known[np.minimum(place + 1, last)], known[place]), np.inf),
        )
        if not last:  # a constant has no next one: its own size stands in
            gap = np.maximum(np.abs(known[place].astype(np.float64)), 1.0)
        whole = known.dtype == np.int64
        fine = 0.0 if whole else _FINE * float(known[3 * last // 4] - known[last // 4])
        reach = np.minimum(np.maximum(near * gap, fine), np.finfo(np.float64).max)
        return place, np.minimum(down, up) <= reach


def _apart(more: Array, less: Array) -> Array:
    """more - less, without overflow where both are whole."""
    if more.dtype == np.int64:
        return (more.view(np.uint64) - less.view(np.uint64)).astype(np.float64)
    return np.asarray(more - less)


def _plain(text: str) -> str:
    """What of a text is still there in another hand; all of it where that is nothing."""
    return _UNSEEN.sub("", unicodedata.normalize("NFKC", text).casefold()) or text
