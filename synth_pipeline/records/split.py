"""Which rows are held out: a keyed draw by the unit's id, so that no snapshot, partition or seed moves a person."""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.records.hashing import key_of, siphash, sketched

_BLOCK = 4_096


def default_fraction(units: int) -> float:
    """max(20 %, min(2,000 units, half of them)): enough to measure with, where there is enough."""
    return max(0.2, min(2_000.0, units / 2) / units) if units else 0.2


def by_value(secret: bytes, values: pa.Array, fraction: float) -> np.ndarray:
    """Whether each unit is held out, by its id alone: 7, 7.0 and "7" are one unit, whatever a snapshot calls its type.

    Monotone in `fraction`: who is held out at 20 % is held out at 50 %.
    """
    draws = siphash(unit_text(values), key_of(secret))
    return (draws >> np.uint64(11)).astype(np.float64) * 2.0**-53 < fraction


def by_row(secret: bytes, file: str, start: int, rows: int, fraction: float) -> np.ndarray:
    """The same for rows without an id: by file and place, whatever they hold."""
    own = hmac.digest(secret, file.encode("utf-8", "surrogatepass"), "sha256")
    first, last = start // _BLOCK, (start + rows - 1) // _BLOCK
    stream = b"".join(
        hashlib.shake_128(own + block.to_bytes(8, "little")).digest(8 * _BLOCK) for block in range(first, last + 1)
    )
    draws = np.frombuffer(stream, "<u8")[start - first * _BLOCK :][:rows]
    return (draws >> np.uint64(11)).astype(np.float64) * 2.0**-53 < fraction


def by_column(values: pa.Array, held: tuple[str, ...]) -> np.ndarray:
    """Rows whose own column says so."""
    if pa.types.is_boolean(values.type):  # YAML's True, Arrow's true
        held = tuple(value.lower() for value in held)
    found = pc.is_in(unit_text(values), pa.array(held, pa.string()))
    return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False), bool)


def unit_text(values: pa.Array) -> pa.Array:
    """Canonical text of ids: whole numbers without a point, texts as they are."""
    if pa.types.is_floating(values.type):
        whole = pc.equal(pc.round(values), values)
        if pc.all(whole, min_count=0).as_py() and (pc.max(pc.abs(values)).as_py() or 0) < 2**53:
            return values.cast(pa.int64()).cast(pa.string())
    return values.cast(pa.string()) if not pa.types.is_string(values.type) else values


class Contributions:
    """The most rows that one unit has: exact up to a million units, beyond that a bound from above.

    Units are counted by their hashes. When there are too many, the rarer half is dropped after the fashion of Misra
    and Gries (1982; mergeable by Agarwal et al., 2012), so that memory stays bounded and the bound holds.
    """

    def __init__(self, capacity: int = 1 << 20) -> None:
        self._capacity = capacity
        self._hashes = np.empty(0, np.uint64)
        self._counts = np.empty(0, np.int64)
        self._dropped = 0
        self._pending: list[np.ndarray] = []
        self._waiting = 0

    def add(self, units: pa.Array) -> None:
        self._pending.append(sketched(units.drop_null()))
        self._waiting += len(units)
        if self._waiting > self._capacity:
            self._merge()

    @property
    def largest(self) -> int:
        self._merge()
        return max(1, int(self._counts.max(initial=0)) + self._dropped)

    def _merge(self) -> None:
        if not self._pending:
            return
        hashes, counts = np.unique(np.concatenate(self._pending), return_counts=True)
        together, where = np.unique(np.concatenate([self._hashes, hashes]), return_inverse=True)
        sums = np.bincount(where, np.concatenate([self._counts, counts]), len(together)).astype(np.int64)
        if len(together) > self._capacity:
            least = int(np.partition(sums, -self._capacity // 2)[-self._capacity // 2])
            kept = sums > least
            together, sums = together[kept], sums[kept] - least
            self._dropped += least
        self._hashes, self._counts = together, sums
        self._pending, self._waiting = [], 0
