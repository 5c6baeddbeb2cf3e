"""SipHash-2-4 over whole Arrow columns: a keyed pseudorandom function, some ten times faster than one HMAC per value.

Reference: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

U64 = np.uint64
_CHUNK = 8_192  # rows whose state stays in the cache
_LONG = 512


def key_of(secret: bytes) -> bytes:
    """16 key bytes of a secret of any length."""
    return hashlib.blake2b(secret, digest_size=16).digest()


def siphash(texts: pa.Array, key: bytes) -> np.ndarray:
    """uint64 of every value of a string column; a missing value counts as the empty text.

    Values of more than 512 bytes go through BLAKE2b under the same key: word by word, one of them would hold up all.
    """
    k0, k1 = (U64(word) for word in np.frombuffer(key, "<u8"))
    data, starts, lengths = _bytes(texts)
    out = np.empty(len(starts), U64)
    long = lengths > _LONG
    for row in np.flatnonzero(long):
        value = data[starts[row] : starts[row] + lengths[row]]
        out[row] = int.from_bytes(hashlib.blake2b(value.tobytes(), key=key, digest_size=8).digest(), "little")
    short = np.flatnonzero(~long) if long.any() else np.arange(len(starts))
    for begin in range(0, len(short), _CHUNK):
        rows = short[begin : begin + _CHUNK]
        out[rows] = _sip(data, starts[rows], lengths[rows], k0, k1)
    return out


def sketched(texts: pa.Array) -> np.ndarray:
    """A fast unkeyed hash of every value, of its first 512 bytes and its length: for sketches only."""
    data, starts, lengths = _bytes(texts)
    out = np.empty(len(starts), U64)
    for begin in range(0, len(starts), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        first, size = starts[part], np.minimum(lengths[part], _LONG)
        state = mix(lengths[part])
        words = size >> 3
        for word in range(int(words.max(initial=0))):
            if (words > word).all():
                state = _stir(state, _words(data, first + 8 * word))
            else:
                rows = np.flatnonzero(words > word)
                state[rows] = _stir(state[rows], _words(data, first[rows] + 8 * word))
        out[part] = mix(_stir(state, _tail(data, first, size)))
    return out


def _bytes(texts: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The column's bytes, and where each value starts and how long it is."""
    texts = texts.cast(pa.large_binary()) if texts.type != pa.large_binary() else texts
    if texts.null_count:
        texts = pc.fill_null(texts, b"")
    if not len(texts):
        return np.zeros(8, np.uint8), np.empty(0, np.int64), np.empty(0, np.int64)
    _, offsets_buffer, data_buffer = texts.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = np.empty(0, np.uint8)
    if data_buffer is not None:
        data = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
    # eight zero bytes behind the last value: every value's words can be read without a bound check
    return np.concatenate([data, np.zeros(8, np.uint8)]), offsets[:-1] - offsets[0], np.diff(offsets)


def _sip(data: np.ndarray, starts: np.ndarray, lengths: np.ndarray, k0: np.uint64, k1: np.uint64) -> np.ndarray:
    n = len(starts)
    state = [np.full(n, constant ^ key, U64) for constant, key in (
        (U64(0x736F6D6570736575), k0), (U64(0x646F72616E646F6D), k1),
        (U64(0x6C7967656E657261), k0), (U64(0x7465646279746573), k1),
    )]  # fmt: skip
    whole = lengths >> 3
    for word in range(int(whole.max(initial=0))):
        rows = np.flatnonzero(whole > word)
        if len(rows) == n:
            _absorb(state, _words(data, starts + 8 * word))
        else:
            some = [lane[rows] for lane in state]
            _absorb(some, _words(data, starts[rows] + 8 * word))
            for lane, changed in zip(state, some, strict=True):
                lane[rows] = changed
    tail = _tail(data, starts, lengths)
    tail |= (lengths.astype(U64) & U64(0xFF)) << U64(56)
    _absorb(state, tail)
    state[2] ^= U64(0xFF)
    for _ in range(4):
        _round(state)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _tail(data: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The last, incomplete word of each value."""
    tail = _words(data, starts + 8 * (lengths >> 3))
    tail &= (U64(1) << ((lengths & 7).astype(U64) << U64(3))) - U64(1)
    return tail


def _stir(state: np.ndarray, word: np.ndarray) -> np.ndarray:
    state = (state ^ word) * U64(0x9E3779B97F4A7C15)
    state ^= state >> U64(29)
    return state


def _words(data: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Eight little-endian bytes at each place."""
    window = np.lib.stride_tricks.sliding_window_view(data, 8)
    return np.ascontiguousarray(window[places]).view("<u8").ravel()


def _absorb(state: list[np.ndarray], word: np.ndarray) -> None:
    state[3] ^= word
    _round(state)
    _round(state)
    state[0] ^= word


def _rotate(lane: np.ndarray, bits: int) -> np.ndarray:
    high = lane << U64(bits)
    lane >>= U64(64 - bits)
    lane |= high
    return lane


def _round(v: list[np.ndarray]) -> None:
    v[0] += v[1]
    v[1] = _rotate(v[1], 13)
    v[1] ^= v[0]
    v[0] = _rotate(v[0], 32)
    v[2] += v[3]
    v[3] = _rotate(v[3], 16)
    v[3] ^= v[2]
    v[0] += v[3]
    v[3] = _rotate(v[3], 21)
    v[3] ^= v[0]
    v[2] += v[1]
    v[1] = _rotate(v[1], 17)
    v[1] ^= v[2]
    v[2] = _rotate(v[2], 32)


def mix(values: np.ndarray) -> np.ndarray:
    """A fast unkeyed hash of 64-bit values (splitmix64's finaliser), for sketches only."""
    h = values.view(U64).copy()
    h ^= h >> U64(30)
    h *= U64(0xBF58476D1CE4E5B9)
    h ^= h >> U64(27)
    h *= U64(0x94D049BB133111EB)
    h ^= h >> U64(31)
    return h
