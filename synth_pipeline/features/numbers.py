"""Arrow numbers and times as exact numpy ticks, and back to the very same Arrow type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

MAX_DECIMALS = 8
_SIGN = np.uint64(1 << 63)


def supported(arrow: pa.DataType) -> bool:
    """Whether values of this type lie on a line."""
    return bool(
        pa.types.is_integer(arrow)
        or pa.types.is_floating(arrow)
        or pa.types.is_decimal128(arrow)
        or pa.types.is_temporal(arrow)
    ) and not pa.types.is_interval(arrow)


def to_numbers(array: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Values (int64 ticks, or float64 for floats) and which of them are present; order is kept, nothing is rounded.

    Times count their own unit; decimals are unscaled; uint64 is shifted by 2⁶³; a decimal beyond 64 bits is a float.
    """
    flat = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if isinstance(flat, pa.ChunkedArray):
        flat = pa.concat_arrays(flat.chunks) if flat.num_chunks else pa.array([], flat.type)
    kind = flat.type
    present = np.ones(len(flat), bool) if flat.null_count == 0 else np.asarray(flat.is_valid())
    if pa.types.is_decimal128(kind):
        return _unscaled(flat, present), present
    if pa.types.is_floating(kind):
        return flat.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False), present
    if pa.types.is_uint64(kind):
        return (flat.fill_null(0).to_numpy(zero_copy_only=False) ^ _SIGN).view(np.int64), present
    whole = flat.view(_storage(kind)) if pa.types.is_temporal(kind) else flat
    return whole.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False), present


def from_numbers(values: np.ndarray, present: np.ndarray | None, kind: pa.DataType) -> pa.Array:
    """The inverse of `to_numbers`; values outside of the type's range are clipped to it."""
    mask = None if present is None or present.all() else ~present
    if pa.types.is_decimal128(kind):
        return _decimals(values, present, kind)
    if pa.types.is_floating(kind):
        with np.errstate(over="ignore"):
            return pa.array(values.astype(kind.to_pandas_dtype()), kind, mask=mask)
    if pa.types.is_uint64(kind):
        return pa.array(values.view(np.uint64) ^ _SIGN, kind, mask=mask)
    storage = _storage(kind) if pa.types.is_temporal(kind) else kind
    numpy = np.dtype(storage.to_pandas_dtype())
    if numpy.itemsize < 8:
        span = np.iinfo(numpy)
        values = np.clip(values, span.min, span.max)
    whole = pa.array(values.astype(numpy), storage, mask=mask)
    return whole.view(kind) if pa.types.is_temporal(kind) else whole


def one(value: Any, kind: pa.DataType) -> pa.Array:
    """One Python value (numbers, ISO texts or Python dates for times) as an array of this type.

    Raises:
        ValueError: it is no value of this type.
    """
    try:
        scalar = pa.scalar(value)
        if pa.types.is_string(scalar.type) and pa.types.is_temporal(kind) and not pa.types.is_time(kind):
            # ISO text: zones and plain dates are both understood
            scalar = scalar.cast(pa.timestamp("us", "UTC") if _zoned(value) else pa.timestamp("us"))
        if pa.types.is_decimal(kind) and pa.types.is_floating(scalar.type):
            scalar = pa.scalar(str(value)).cast(kind)
        if pa.types.is_timestamp(kind) and kind.tz and not getattr(scalar.type, "tz", None):
            scalar = scalar.cast(pa.timestamp(kind.unit)).cast(pa.timestamp(kind.unit, "UTC"))
        return pa.array([scalar.cast(kind)], kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, OverflowError) as error:
        raise ValueError(f"not a value of type {kind}") from error


def decimals(values: np.ndarray, single: bool = False) -> int | None:
    """Fewest decimals that write all finite values exactly; None when they need more than `MAX_DECIMALS`."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0
    largest = np.abs(finite).max()
    for places in range(MAX_DECIMALS + 1):
        if largest * 10.0**places >= 2.0**53:
            return None
        back = np.rint(finite * 10.0**places) / 10.0**places
        if np.array_equal(back.astype(np.float32) if single else back, finite.astype(np.float32) if single else finite):
            return places
    return None


def _zoned(text: str) -> bool:
    return "T" in text.replace(" ", "T") and (text.endswith("Z") or "+" in text or text.count("-") > 2)


def _storage(kind: pa.DataType) -> pa.DataType:
    return pa.int32() if kind.bit_width == 32 else pa.int64()


def _unscaled(array: pa.Array, present: np.ndarray) -> np.ndarray:
    words = np.frombuffer(array.buffers()[1], np.int64).reshape(-1, 2)[array.offset : array.offset + len(array)]
    low, high = np.where(present, words[:, 0], 0), np.where(present, words[:, 1], 0)
    if np.array_equal(high, low >> 63):
        return low
    wide = high.astype(np.float64) * 2.0**64 + low.view(np.uint64).astype(np.float64)
    return np.where(high == low >> 63, low, wide)


def _decimals(values: np.ndarray, present: np.ndarray | None, kind: pa.DataType) -> pa.Array:
    words = np.empty((len(values), 2), np.int64)
    top = 10**kind.precision - 1
    if values.dtype == np.int64:
        if top < 2**63:
            values = np.clip(values, -top, top)
        words[:, 0], words[:, 1] = values, values >> 63
    else:
        whole = np.clip(np.rint(values), -float(top), np.nextafter(float(top), 0))
        small = np.abs(whole) < 2.0**62
        narrow = np.where(small, whole, 0).astype(np.int64)
        high = np.floor(whole / 2.0**64)
        low = np.minimum(np.where(small, 0, whole - high * 2.0**64), np.nextafter(2.0**64, 0))
        words[:, 0] = np.where(small, narrow, low.astype(np.uint64).view(np.int64))
        words[:, 1] = np.where(small, narrow >> 63, high.astype(np.int64))
    valid = None
    if present is not None and not present.all():
        valid = pa.py_buffer(np.packbits(present, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(words)])
