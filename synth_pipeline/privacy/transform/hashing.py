"""Keyed 64-bit fingerprints of whole Arrow columns: SipHash-2-4 (Aumasson and Bernstein 2012), vectorised."""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
_LONG = 256  # bytes; longer values are hashed one by one, so that a single huge one does not slow all others
_CHUNK = 16_384  # rows; four states and a word then stay in the L2 cache
_NULL = np.uint64(0)


def subkey(secret: bytes, *names: str) -> bytes:
    """A key of its own for each purpose."""
    return hmac.digest(secret, "\x1f".join(names).encode(), "sha256")


def fingerprints(values: pa.Array, key: bytes) -> U64:
    """One keyed number per value: equal values, equal numbers, in any table; a null's is 0.

    Integers hash by value whatever their width; text by its UTF-8 bytes; all else by its text.
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        levels = fingerprints(values.dictionary, key)
        codes = values.indices.fill_null(0).to_numpy(zero_copy_only=False)
        found = levels[codes] if len(levels) else np.zeros(len(values), np.uint64)
    elif pa.types.is_integer(values.type) and not pa.types.is_uint64(values.type):
        found = _sip_words([values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64)], key)
    else:
        found = _sip_bytes(as_text(values), key)
    if values.null_count:
        found[values.is_null().to_numpy(zero_copy_only=False)] = _NULL
    return found


def as_text(values: pa.Array) -> pa.Array:
    """Values as `large_string`; whole floats without a fraction, so that 5 and 5.0 are one."""
    kind = values.type
    if pa.types.is_large_string(kind):
        return values
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.array([None if v is None else v.hex() for v in values.to_pylist()], pa.large_string())
    if pa.types.is_floating(kind):
        text = values.cast(pa.float64()).cast(pa.large_string())
        return pc.replace_substring_regex(text, pattern=r"\.0$", replacement="")
    return values.cast(pa.large_string())


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


def _sip_bytes(text: pa.Array, key: bytes) -> U64:
    _, offset_buffer, data = text.buffers()
    count = len(text)
    if count == 0:
        return np.zeros(0, np.uint64)
    offsets = np.frombuffer(offset_buffer, np.int64)[text.offset : text.offset + count + 1]
    begin, end = int(offsets[0]), int(offsets[-1])
    raw = np.zeros(end - begin + 16, np.uint8)
    if end > begin:
        raw[: end - begin] = np.frombuffer(data, np.uint8)[begin:end]
    starts, sizes = offsets[:-1] - begin, np.diff(offsets)
    # every 8 bytes from any start, without copying: a view whose stride is one byte
    words = np.ndarray((len(raw) - 7,), "<u8", raw.data, strides=(1,))
    out = np.empty(count, np.uint64)
    for at in range(0, count, _CHUNK):
        part = slice(at, at + _CHUNK)
        out[part] = _sip_rows(words, starts[part], sizes[part], key)
    for row in np.flatnonzero(sizes > _LONG):
        value = raw[starts[row] : starts[row] + sizes[row]].tobytes()
        out[row] = int.from_bytes(hashlib.blake2b(value, key=key[:32], digest_size=8).digest(), "little")
    return out


def _sip_rows(words: NDArray[np.uint64], starts: NDArray[np.int64], sizes: NDArray[np.int64], key: bytes) -> U64:
    short = np.minimum(sizes, _LONG)
    full = short >> 3
    state = _start(len(starts), key)
    for j in range(int(full.max(initial=0))):
        live = full > j
        if live.all():
            _absorb(state, words[starts + 8 * j])
        else:
            rows = np.flatnonzero(live)
            part = [v[rows] for v in state]
            _absorb(part, words[starts[rows] + 8 * j])
            for v, p in zip(state, part, strict=True):
                v[rows] = p
    rest = (short & 7).astype(np.uint64)
    kept = (np.uint64(1) << (rest * np.uint64(8))) - np.uint64(1)
    tail = (words[starts + 8 * full] & kept) | (sizes.astype(np.uint64) << np.uint64(56))
    _absorb(state, tail)
    return _finish(state)


def _sip_words(columns: list[U64], key: bytes) -> U64:
    out = np.empty(len(columns[0]), np.uint64)
    for at in range(0, len(out), _CHUNK):
        part = slice(at, at + _CHUNK)
        state = _start(len(out[part]), key)
        for column in columns:
            _absorb(state, column[part])
        _absorb(state, np.full(len(out[part]), (8 * len(columns)) << 56, np.uint64))
        out[part] = _finish(state)
    return out


def _start(count: int, key: bytes) -> list[U64]:
    k0, k1 = np.frombuffer(key[:16], "<u8")
    magic = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
    return [np.full(count, np.uint64(m) ^ k, np.uint64) for m, k in zip(magic, (k0, k1, k0, k1), strict=True)]


def _absorb(state: list[U64], word: U64) -> None:
    state[3] ^= word
    _rounds(state, 2)
    state[0] ^= word


def _finish(state: list[U64]) -> U64:
    state[2] ^= np.uint64(0xFF)
    _rounds(state, 4)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _rounds(state: list[U64], count: int) -> None:
    v0, v1, v2, v3 = state
    spare = np.empty_like(v0)
    with np.errstate(over="ignore"):
        for _ in range(count):
            v0 += v1
            _turn(v1, 13, spare)
            v1 ^= v0
            _turn(v0, 32, spare)
            v2 += v3
            _turn(v3, 16, spare)
            v3 ^= v2
            v0 += v3
            _turn(v3, 21, spare)
            v3 ^= v0
            v2 += v1
            _turn(v1, 17, spare)
            v1 ^= v2
            _turn(v2, 32, spare)


def _turn(v: U64, by: int, spare: U64) -> None:
    np.left_shift(v, np.uint64(by), out=spare)
    np.right_shift(v, np.uint64(64 - by), out=v)
    np.bitwise_or(v, spare, out=v)
