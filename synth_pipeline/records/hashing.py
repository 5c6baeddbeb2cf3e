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


def key_of(secret: bytes) -> bytes:
    """16 key bytes of a secret of any length."""
    return hashlib.blake2b(secret, digest_size=16).digest()


def siphash(texts: pa.Array, key: bytes) -> np.ndarray:
    """uint64 of every value of a string column; a missing value counts as the empty text."""
    texts = texts.cast(pa.large_binary()) if texts.type != pa.large_binary() else texts
    if texts.null_count:
        texts = pc.fill_null(texts, b"")
    count = len(texts)
    out = np.empty(count, U64)
    if not count:
        return out
    _, offsets_buffer, data_buffer = texts.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[texts.offset : texts.offset + count + 1]
    base = offsets[0]
    data = (
        np.frombuffer(data_buffer, np.uint8)[base : offsets[-1]] if data_buffer is not None else np.empty(0, np.uint8)
    )
    # eight zero bytes behind the last value: every value's words can be read without a bound check
    padded = np.concatenate([data, np.zeros(8, np.uint8)])
    starts = (offsets[:-1] - base).astype(np.int64)
    lengths = np.diff(offsets)
    k0, k1 = (U64(word) for word in np.frombuffer(key, "<u8"))
    for begin in range(0, count, _CHUNK):
        part = slice(begin, min(begin + _CHUNK, count))
        out[part] = _sip(padded, starts[part], lengths[part], k0, k1)
    return out


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
    left = (lengths & 7).astype(U64)
    tail = _words(data, starts + 8 * whole)
    tail &= (U64(1) << (left << U64(3))) - U64(1)
    tail |= (lengths.astype(U64) & U64(0xFF)) << U64(56)
    _absorb(state, tail)
    state[2] ^= U64(0xFF)
    for _ in range(4):
        _round(state)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


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
