"""Keyed bijections: of numbers below any bound, and of texts within their shape (digits stay digits).

Pseudonyms stay in the private place and fresh identifiers come from a public seed, so the round function is a fast
keyed scrambler, not a block cipher; what must hold is that no two values meet, none stays, and nothing is remembered.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synth_pipeline.privacy.transform.hashing import U64, as_text, mix, tokens

_ROUNDS = 6
_LONGEST = 64  # characters; longer texts get a token
DIGIT, UPPER, LOWER, HEX, FIXED = 0, 1, 2, 3, 4
CLASSES = "dulh."
"""How manifests write them."""
ROOM = 1 << 60
"""Numbers up to this are permuted; in longer texts the rest is scrambled from it."""
RADIX = np.array([10, 26, 26, 16, 1], np.uint64)
ALPHABET = [b"0123456789", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz", b"0123456789abcdef"]
_CLASS = np.full(256, FIXED, np.uint8)
_CLASS[48:58], _CLASS[65:91], _CLASS[97:123] = DIGIT, UPPER, LOWER
_BASE = np.array([48, 65, 97, 48, 0], np.uint8)


def permute(numbers: U64, size: int | U64, key: bytes, *, derange: bool = True) -> U64:
    """A keyed bijection of 0 … size − 1; with `derange`, one that leaves no number in its place (size ≥ 2).

    `size` may differ from number to number: then there is one bijection per size.
    """
    sizes = np.asarray(size, np.uint64)
    keys = np.frombuffer(key[: 8 * (len(key) // 8)], "<u8")
    mixed = _walk(numbers, sizes, keys)
    if not derange:
        return mixed
    # σ⁻¹(σ(x) + s): conjugate to a shift, so it has no fixed point
    moved = mixed + np.minimum(1 + keys[0] % np.maximum(sizes - 1, 1), sizes - 1)
    return _walk(np.where(moved >= sizes, moved - sizes, moved), sizes, keys, inverse=True)


def pseudonyms(values: pa.Array, key: bytes) -> pa.Array:
    """Another value of the same type and shape for each value: a function of key and value alone, so joins survive.

    Integers keep their number of digits and their sign. Texts keep the class of every character; a text that
    is not ASCII, has no letter or digit, or is very long becomes a token. No two values share a pseudonym, none is its
    own.
    """
    if pa.types.is_integer(values.type):
        return _integers(values, key)
    if pa.types.is_floating(values.type):
        whole = values.cast(pa.int64(), safe=False)
        if (values.drop_null().to_numpy() == whole.drop_null().to_numpy()).all():
            return _integers(whole, key).cast(values.type, safe=False)
    if pa.types.is_temporal(values.type):  # a date that identifies: its day moves within the span of a lifetime
        return _integers(values.cast(pa.int32() if pa.types.is_date32(values.type) else pa.int64()), key).cast(
            values.type
        )
    return _texts(as_text(values), key).cast(pa.string() if pa.types.is_dictionary(values.type) else values.type)


def spell(index: U64, classes: list[int], fixed: bytes) -> NDArray[np.uint8]:
    """The index-th text of a shape, as bytes; the last variable positions count fastest."""
    out = np.empty((len(index), len(classes)), np.uint8)
    out[:] = np.frombuffer(fixed, np.uint8)
    rest = index.copy()
    for at in range(len(classes) - 1, -1, -1):
        if classes[at] != FIXED:
            radix = np.uint64(len(ALPHABET[classes[at]]))
            quotient = rest // radix
            out[:, at] = np.frombuffer(ALPHABET[classes[at]], np.uint8)[rest - quotient * radix]
            rest = quotient
    return out


def strings(matrix: NDArray[np.uint8]) -> pa.Array:
    """Equally long ASCII texts from a matrix of bytes."""
    count, width = matrix.shape
    offsets = np.arange(0, (count + 1) * width, width or 1, dtype=np.int64)[: count + 1]
    if width == 0:
        offsets = np.zeros(count + 1, np.int64)
    return pa.LargeStringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(matrix)))


def shapes(text: pa.Array) -> Iterator[tuple[bytes | None, NDArray[np.uint8], NDArray[np.int64]]]:
    """Texts by shape: the classes of its characters, the texts as a matrix, their rows; shape None: without one."""
    _, offset_buffer, data = text.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[text.offset : text.offset + len(text) + 1]
    sizes = np.diff(offsets)
    raw = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
    for width in np.unique(sizes):
        rows = np.flatnonzero(sizes == width)
        if not 0 < width <= _LONGEST:
            yield None, np.zeros((len(rows), 0), np.uint8), rows
            continue
        matrix = raw[offsets[rows][:, None] + np.arange(width)]
        classes = _classes(matrix)
        plain = (matrix < 128).all(axis=1)
        if not plain.all():
            yield None, matrix[~plain], rows[~plain]
            matrix, classes, rows = matrix[plain], classes[plain], rows[plain]
        rounds = 0
        while len(matrix):  # usually one round: most columns have one shape
            rounds += 1
            same = (classes == classes[0]).all(axis=1)
            yield classes[0].tobytes(), matrix[same], rows[same]
            matrix, classes, rows = matrix[~same], classes[~same], rows[~same]
            if rounds >= 8 and len(matrix) > 256:  # many shapes: a sample says enough
                step = len(matrix) // 128
                matrix, classes, rows = matrix[::step], classes[::step], rows[::step]


def _walk(numbers: U64, sizes: U64, keys: U64, inverse: bool = False) -> U64:
    """Feistel on a rectangle that just holds 0 … size − 1, repeated for what falls outside (cycle walking)."""
    bits = (np.frexp((np.maximum(sizes, 1) - 1).astype(np.float64))[1] + 1).astype(np.uint64) >> np.uint64(1)
    left = (sizes + (np.uint64(1) << bits) - np.uint64(1)) >> bits
    out = _feistel(numbers, left, bits, keys, inverse)
    outside = np.flatnonzero(out >= sizes)
    while len(outside):
        where = outside if sizes.ndim else ()
        again = _feistel(out[outside], left[where], bits[where], keys, inverse)
        out[outside] = again
        outside = outside[again >= (sizes[outside] if sizes.ndim else sizes)]
    return out


def _feistel(numbers: U64, left: U64, bits: U64, keys: U64, inverse: bool) -> U64:
    """The right half has `bits` bits, the left is below `left`; each is shifted by a keyed function of the other."""
    low = (np.uint64(1) << bits) - np.uint64(1)
    a, b = numbers >> bits, numbers & low
    order = range(_ROUNDS)
    with np.errstate(over="ignore"):
        for turn in reversed(order) if inverse else order:
            key = keys[turn % len(keys)] ^ np.uint64((turn + 1) * 0x9E3779B97F4A7C15 & (2**64 - 1))
            if turn % 2 == 0:
                step = mix(a, key)
                b = (b - step if inverse else b + step) & low
            else:
                step = mix(b, key) % left
                a = (a + (left - step) if inverse else a + step) % left
    return (a << bits) | b


def _integers(values: pa.Array, key: bytes) -> pa.Array:
    kind = values.type
    numbers = values.fill_null(0)
    top = 2 ** (kind.bit_width - (0 if pa.types.is_unsigned_integer(kind) else 1)) - 1
    raw = numbers.to_numpy(zero_copy_only=False)
    negative = raw < 0
    with np.errstate(over="ignore"):
        size = np.where(negative, np.uint64(0) - raw.astype(np.uint64), raw.astype(np.uint64))
    out = size.copy()
    for below in (False, True) if negative.any() else (False,):
        low, last = int(below), top + int(below)  # there is no -0, and one negative number more
        for digits in range(1, len(str(last)) + 1):
            high = min(10**digits - 1, last)
            rows = np.flatnonzero((negative == below) & (size >= np.uint64(low)) & (size <= np.uint64(high)))
            if len(rows):
                out[rows] = permute(size[rows] - np.uint64(low), high - low + 1, key) + np.uint64(low)
            low = 10**digits
    signed = np.where(negative, np.uint64(0) - out, out).astype(np.uint64)
    result = signed.view(np.int64) if not pa.types.is_unsigned_integer(kind) else signed
    return pa.array(result.astype(raw.dtype), kind, mask=values.is_null().to_numpy(zero_copy_only=False))


def _texts(text: pa.Array, key: bytes) -> pa.Array:
    count = len(text)
    if text.null_count == count:
        return text
    blank = text.fill_null("")
    _, offset_buffer, data = blank.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[blank.offset : blank.offset + count + 1]
    raw = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
    sizes = np.diff(offsets)
    done = np.zeros(count, bool)
    pieces, places = [], []
    for width in np.unique(sizes[(sizes > 0) & (sizes <= _LONGEST)]):
        rows = np.flatnonzero(sizes == width)
        matrix = raw[offsets[rows][:, None] + np.arange(width)]
        classes = _classes(matrix)
        fits = (matrix < 128).all(axis=1) & (classes != FIXED).any(axis=1)
        if not fits.all():
            rows, matrix, classes = rows[fits], matrix[fits], classes[fits]
        pieces.append(strings(_encipher(matrix, classes, key)))
        places.append(rows)
        done[rows] = True
    others = np.flatnonzero(~done)
    if len(others):
        pieces.append(tokens(text.take(pa.array(others)), key, 16).cast(pa.large_string()))
        places.append(others)
    order = np.empty(count, np.int64)
    order[np.concatenate(places)] = np.arange(count)
    return pa.concat_arrays(pieces).take(pa.array(order, mask=text.is_null().to_numpy(zero_copy_only=False)))


def _classes(matrix: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each character's alphabet. Texts laid out as UUIDs and common digests are hexadecimal throughout."""
    classes = _CLASS[matrix]
    width = matrix.shape[1]
    dashes = (8, 13, 18, 23) if width == 36 else ()
    if width in (32, 36, 40, 64):
        hexadecimal = (classes == DIGIT) | ((matrix >= 97) & (matrix <= 102))
        for at in dashes:
            hexadecimal[:, at] = matrix[:, at] == 45
        rows = hexadecimal.all(axis=1)
        classes[rows] = HEX
        for at in dashes:
            classes[rows, at] = FIXED
    return classes


def _encipher(matrix: NDArray[np.uint8], classes: NDArray[np.uint8], key: bytes) -> NDArray[np.uint8]:
    """Numbers of at most 12 characters each, permuted together, spelt again."""
    digits = (matrix - _BASE[classes]).astype(np.uint64)
    digits[classes == FIXED] = 0
    letters = (classes == HEX) & (matrix > 57)
    digits[letters] = matrix[letters] - np.uint8(87)
    radix = RADIX[classes]
    runs = [range(at, min(at + 12, matrix.shape[1])) for at in range(0, matrix.shape[1], 12)]
    numbers, sizes = [], []
    for run in runs:
        number, size = np.zeros(len(matrix), np.uint64), np.ones(len(matrix), np.uint64)
        for place in run:
            number = number * radix[:, place] + digits[:, place]
            size = size * radix[:, place]
        numbers.append(number)
        sizes.append(size)
    out = matrix.copy()
    for run, number in zip(runs, _mingle(numbers, sizes, key), strict=True):
        for place in reversed(run):
            quotient = number // radix[:, place]
            digit = (number - quotient * radix[:, place]).astype(np.uint8)
            number = quotient
            letter = _BASE[classes[:, place]] + digit + np.where((classes[:, place] == HEX) & (digit > 9), 39, 0)
            out[:, place] = np.where(classes[:, place] == FIXED, out[:, place], letter)
    return out


def _mingle(numbers: list[U64], sizes: list[U64], key: bytes) -> list[U64]:
    """One bijection of all numbers together: each is shifted by a keyed function of those already shifted."""
    if len(numbers) == 1:
        return [permute(numbers[0], sizes[0], key)]
    keys = np.frombuffer(key[:32], "<u8")
    current = list(numbers)
    with np.errstate(over="ignore"):
        for turn in range(2):
            for i, size in enumerate(sizes):
                step = np.zeros(len(current[0]), np.uint64)
                for j, other in enumerate(current):
                    if j != i:
                        step = mix(step + other, keys[(turn + j) % 4] + np.uint64(i + 1))
                current[i] = (current[i] + step % size) % size
    return [permute(current[0], sizes[0], key), *current[1:]]
