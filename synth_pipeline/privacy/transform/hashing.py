"""Keyed fingerprints and tokens of whole Arrow columns, and the keys they are made under."""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synth_pipeline.records.hashing import siphash

U64 = NDArray[np.uint64]
_LONG = 256  # bytes; longer values are hashed one by one, so that a single huge one does not slow all others
_NULL = np.uint64(0)


def subkey(secret: bytes, *names: str) -> bytes:
    """A key of its own for each purpose."""
    return hmac.digest(secret, "\x1f".join(names).encode(), "sha256")


def fingerprints(values: pa.Array, key: bytes) -> U64:
    """One keyed number per value: equal values, equal numbers, in any table; a null's is 0.

    SipHash-2-4 (64 bits). Integers hash by value whatever their width; text by its UTF-8 bytes; all else by its text.
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        levels = fingerprints(values.dictionary, key)
        codes = values.indices.fill_null(0).to_numpy(zero_copy_only=False)
        found = levels[codes] if len(levels) else np.zeros(len(values), np.uint64)
    elif pa.types.is_integer(values.type) and not pa.types.is_uint64(values.type):
        found = _numbers(values, key)
    elif len(values) > 4096 and len(values.slice(0, 1024).unique()) < 256:
        return fingerprints(as_text(values).dictionary_encode(), key)  # few levels: each is hashed once
    else:
        found = _text(as_text(values), key)
    if values.null_count:
        found[values.is_null().to_numpy(zero_copy_only=False)] = _NULL
    return found


def is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def as_text(values: pa.Array) -> pa.Array:
    """Values as `large_string`; whole floats without a fraction, so that 5 and 5.0 are one."""
    kind = values.type
    if pa.types.is_large_string(kind):
        return values
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.array([None if v is None else v.hex() for v in values.to_pylist()], pa.large_string())
    if pa.types.is_floating(kind):
        numbers = values.cast(pa.float64())
        if len(numbers) and (pc.max(pc.abs(numbers)).as_py() or 0) < 2**63 and _whole(numbers):
            return numbers.cast(pa.int64()).cast(pa.large_string())  # not in the form 4.1e15
        return pc.replace_substring_regex(numbers.cast(pa.large_string()), pattern=r"\.0$", replacement="")
    return values.cast(pa.large_string())


def _whole(numbers: pa.Array) -> bool:
    return bool(pc.all(pc.equal(numbers, pc.floor(numbers))).as_py())


def tokens(values: pa.Array, secret: bytes, digits: int) -> pa.Array:
    """HMAC-SHA-256 of each value's text, as hexadecimal digits; works on distinct values."""
    coded = as_text(values).dictionary_encode()
    base = hmac.new(secret, digestmod=hashlib.sha256)

    def one(text: str) -> str:
        mac = base.copy()  # 30 % faster than a new one: the key is scheduled once
        mac.update(text.encode("utf-8", "surrogatepass"))
        return mac.hexdigest()[:digits]

    levels = pa.array([one(text) for text in coded.dictionary.to_pylist()], pa.string())
    return levels.take(coded.indices)


def mix(numbers: U64, key: U64 | np.uint64) -> U64:
    """A keyed bijective scrambling of 64 bits (the finaliser of MurmurHash3, keyed before and between)."""
    with np.errstate(over="ignore"):
        h = numbers ^ key
        h ^= h >> np.uint64(33)
        h *= np.uint64(0xFF51AFD7ED558CCD)
        h ^= (h >> np.uint64(33)) + key
        h *= np.uint64(0xC4CEB9FE1A85EC53)
        h ^= h >> np.uint64(33)
    return h


def _text(text: pa.Array, key: bytes) -> U64:
    sizes = pc.binary_length(text)
    if (pc.max(sizes).as_py() or 0) <= _LONG:
        return siphash(text, key[:16])
    long = np.flatnonzero(pc.greater(sizes, _LONG).fill_null(False).to_numpy(zero_copy_only=False))
    shorter = pc.if_else(pc.greater(sizes, _LONG), pa.scalar("", text.type), text)
    found = siphash(shorter, key[:16])
    for row in long:
        data = text[int(row)].as_buffer()
        found[row] = int.from_bytes(hashlib.blake2b(data, key=key[:32], digest_size=8).digest(), "little")
    return found


def _numbers(values: pa.Array, key: bytes) -> U64:
    numbers = np.ascontiguousarray(values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False))
    offsets = np.arange(0, 8 * len(numbers) + 1, 8, dtype=np.int64)
    as_bytes = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(numbers), [None, pa.py_buffer(offsets), pa.py_buffer(numbers)]
    )
    return siphash(as_bytes, key[:16])
