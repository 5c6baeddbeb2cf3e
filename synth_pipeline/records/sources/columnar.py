"""Parquet and Arrow IPC: typed columns, brought to the few plain types that the rest of the pipeline knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synth_pipeline.errors import SourceError
from synth_pipeline.records.sources.base import pieces, too_wide
from synth_pipeline.records.sources.delimited import damaged

MEDIA = pa.struct([("bytes", pa.large_binary()), ("path", pa.string())])
_EXACT_DIGITS = 15


def plain_type(arrow: pa.DataType, column: str, where: str) -> pa.DataType:
    """bool, int64, float64, string, date32 or timestamp[us]; media as they are.

    Decimals of more than 15 digits become text that inference reads again: no digit is lost unnoticed.

    Raises:
        SourceError: nested or binary values.
    """
    types = pa.types
    if types.is_dictionary(arrow):
        return plain_type(arrow.value_type, column, where)
    if isinstance(arrow, pa.BaseExtensionType):
        return (
            pa.string()
            if arrow.extension_name in ("arrow.uuid", "arrow.json")
            else plain_type(arrow.storage_type, column, where)
        )
    if types.is_boolean(arrow):
        return pa.bool_()
    if types.is_uint64(arrow) or types.is_decimal(arrow):
        digits, scale = (20, 0) if types.is_uint64(arrow) else (arrow.precision, arrow.scale)
        if digits <= (18 if scale == 0 else _EXACT_DIGITS):
            return pa.int64() if scale == 0 else pa.float64()
        return pa.string()
    if types.is_integer(arrow):
        return pa.int64()
    if types.is_floating(arrow):
        return pa.float64()
    if types.is_date(arrow):
        return pa.date32()
    if types.is_timestamp(arrow):
        return pa.timestamp("us", "UTC" if arrow.tz else None)
    if (
        types.is_string(arrow)
        or types.is_large_string(arrow)
        or types.is_string_view(arrow)
        or types.is_null(arrow)
        or types.is_time(arrow)
    ):
        return pa.string()
    if types.is_duration(arrow):
        return pa.int64()
    if types.is_struct(arrow) and {field.name for field in arrow} == {"bytes", "path"}:
        return MEDIA
    if types.is_nested(arrow):
        raise too_wide(column, arrow, where)
    raise SourceError(
        f'column "{column}" holds {str(arrow)[:80]}, which no part of the pipeline understands',
        where=where,
        fix="drop the column or export it as text",
    )


def undecided(arrow: pa.DataType) -> bool:
    """Whether `plain_type` made text of numbers, so that inference must look again."""
    return pa.types.is_uint64(arrow) or pa.types.is_decimal(arrow)


def plain(column: pa.Array, target: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if isinstance(column, pa.ExtensionArray):
        if column.type.extension_name == "arrow.uuid":
            return pa.array([None if value is None else str(value) for value in column.to_pylist()], target)
        column = column.storage
    if column.type == target:
        return column
    if pa.types.is_duration(column.type) and pa.types.is_integer(target):
        return column.cast(target)
    # nanoseconds beyond microseconds are cut: the pipeline's grid is microseconds
    safe = not pa.types.is_timestamp(column.type)
    if pa.types.is_date64(column.type):
        safe = False
    return column.cast(target, safe=safe)


def common_type(column: str, one: pa.DataType, other: pa.DataType, where: str) -> pa.DataType:
    """The type of a column that two files hold as different ones.

    Raises:
        SourceError: there is none that loses nothing.
    """
    numbers = {pa.int64(), pa.float64()}
    if {one, other} <= numbers:
        return pa.float64()
    if (
        pa.types.is_temporal(one)
        and pa.types.is_temporal(other)
        and getattr(one, "tz", None) == getattr(other, "tz", None)
    ):
        return pa.timestamp("us", getattr(one, "tz", None))
    raise SourceError(
        f'column "{column}" is {one} in the files before and {other} here',
        where=where,
        fix="make the files agree, or name those that belong together by a glob",
    )


def schema(path: Path, where: str) -> pa.Schema:
    """The file's own schema."""
    try:
        if path.suffix.lower() == ".parquet" or _is_parquet(path):
            return pq.read_schema(path)
        with _ipc(path) as reader:
            return reader.schema
    except pa.ArrowInvalid:
        raise _not_columnar(path, where) from None
    except OSError as error:
        raise damaged(where, error) from None


def read(path: Path, where: str, keep: Callable[[pa.RecordBatch], pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """All rows in order, a row group's pages at a time (`pre_buffer` would hold the whole file)."""
    try:
        if _is_parquet(path):
            with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True) as file:
                for batch in file.iter_batches(batch_size=65_536):
                    for piece in pieces(batch):
                        yield keep(piece)
        else:
            with _ipc(path) as reader:
                count = getattr(reader, "num_record_batches", None)
                batches = iter(reader) if count is None else (reader.get_batch(i) for i in range(count))
                for batch in batches:
                    for piece in pieces(batch):
                        yield keep(piece)
    except pa.ArrowInvalid:
        raise _not_columnar(path, where) from None
    except OSError as error:
        raise damaged(where, error) from None


def _is_parquet(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"PAR1"


def _ipc(path: Path) -> pa.RecordBatchReader:
    source = pa.memory_map(str(path))
    try:
        return pa.ipc.open_file(source)
    except pa.ArrowInvalid:  # a stream, not a file
        source.seek(0)
        return pa.ipc.open_stream(source)


def _not_columnar(path: Path, where: str) -> SourceError:
    kind = "Parquet" if path.suffix.lower() == ".parquet" else "Arrow"
    return SourceError(f"the {kind} file is damaged or cut short", where=where, fix="fetch or export it again")


def nulls_for_nan(column: pa.Array) -> tuple[pa.Array, int]:
    """NaN and infinities as missing values, and how many infinities there were."""
    if not pa.types.is_floating(column.type):
        return column, 0
    finite = pc.is_finite(column)
    if pc.all(finite, min_count=0).as_py():
        return column, 0
    infinite = pc.sum(pc.is_inf(column)).as_py() or 0
    return pc.if_else(finite, column, pa.scalar(None, column.type)), infinite
