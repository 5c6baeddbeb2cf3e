"""Which rows belong to one partition: a date column's day, week or month, or a key column's value."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.errors import SourceError, SpecError
from synth_pipeline.records.split import unit_text
from synth_pipeline.spec.publication import StaticPartitions, TimePartitions


def window(kind: str, key: str) -> tuple[dt.date, dt.date]:
    """First day, and first day after, of a partition: "2026-10-03" (a week by its first day), "2026-10".

    Raises:
        SpecError: the key is no such date.
    """
    try:
        start = dt.date.fromisoformat(f"{key}-01" if kind == "monthly" and len(key) == 7 else key)
    except ValueError:
        form = "2026-10" if kind == "monthly" else "2026-10-03"
        raise SpecError(f'"{key}" is no {kind} partition', fix=f'keys look like "{form}"') from None
    if kind == "monthly":
        start = start.replace(day=1)
        return start, (start + dt.timedelta(days=32)).replace(day=1)
    return start, start + dt.timedelta(days=7 if kind == "weekly" else 1)


def keeper(partitions: TimePartitions | StaticPartitions, key: str) -> Callable[[pa.Array], np.ndarray]:
    """Tells, from the partition column's values, which rows belong to `key`; a missing value belongs to none."""
    if isinstance(partitions, StaticPartitions):
        return lambda values: _mask(pc.equal(unit_text(values), key))
    start, end = window(partitions.type, key)

    def within(values: pa.Array) -> np.ndarray:
        if not pa.types.is_temporal(values.type):
            raise SourceError(
                f'column "{partitions.column}" holds no dates, so no row can be assigned to a partition',
                fix="give its `format` under `columns:`",
            )
        days = (
            values.cast(pa.timestamp("us", values.type.tz)).cast(pa.date32(), safe=False)
            if pa.types.is_timestamp(values.type)
            else values
        )
        return _mask(pc.and_(pc.greater_equal(days, pa.scalar(start)), pc.less(days, pa.scalar(end))))

    return within


def _mask(found: pa.Array) -> np.ndarray:
    return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False), bool)
