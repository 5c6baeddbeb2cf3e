"""JSON lines as text columns: numbers keep every digit, nested values are refused, memory bounded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from synth_pipeline.errors import SourceError
from synth_pipeline.records.sources.base import Reading
from synth_pipeline.records.sources.delimited import damaged

_LINE_LIMIT = 64 << 20
_ROWS = 8_192


def keys(path: Path, where: str) -> dict[str, Reading]:
    """Every key in first-seen order, and whether any of its values is written as a JSON string."""
    found: dict[str, Reading] = {}
    for record in _records(path, where):
        for key, value in record.items():
            if isinstance(value, list | dict):
                raise SourceError(
                    f'"{key[:80]}" holds nested values',
                    where=where,
                    fix="flatten it into keys of its own, or drop it",
                )
            text = isinstance(value, str) and not isinstance(value, _Literal)
            if key not in found or text:
                found[key] = Reading.DATES if text else Reading.ANY
    return found


def read(path: Path, where: str, names: list[str], null: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    schema = pa.schema([(name, pa.string()) for name in names])
    missing = frozenset(null)
    held: list[dict[str, Any]] = []
    for record in _records(path, where):
        held.append(record)
        if len(held) == _ROWS:
            yield _batch(held, names, schema, missing)
            held = []
    if held:
        yield _batch(held, names, schema, missing)


class _Literal(str):
    """The text of a number or boolean that was not quoted."""

    __slots__ = ()


_TRUE, _FALSE = _Literal("true"), _Literal("false")
# NaN and infinities are no JSON, yet Python and pandas write them
_DECODER = json.JSONDecoder(parse_int=_Literal, parse_float=_Literal, parse_constant=_Literal)


def _records(path: Path, where: str) -> Iterator[dict[str, Any]]:
    kind = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix.lower())
    try:
        with pa.input_stream(str(path), compression=kind) as stream:
            for number, line in enumerate(_lines(stream, where), 1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                    if not text:
                        continue
                    record = _DECODER.decode(text)
                except UnicodeDecodeError:
                    raise SourceError(f"line {number:,} is not UTF-8", where=where, fix="convert the file") from None
                except ValueError:
                    raise SourceError(
                        f"line {number:,} is not JSON", where=where, fix="write one object a line"
                    ) from None
                if not isinstance(record, dict):
                    raise SourceError(
                        f"line {number:,} is not a JSON object", where=where, fix="write one object a line"
                    )
                yield record
    except OSError as error:
        raise damaged(where, error) from None


def _lines(stream: pa.NativeFile, where: str) -> Iterator[bytes]:
    rest = b""
    while data := stream.read(1 << 20):
        *whole, rest = (rest + data).split(b"\n")
        yield from whole
        if len(rest) > _LINE_LIMIT:
            raise SourceError(
                f"one line is longer than {_LINE_LIMIT >> 20} MB", where=where, fix="write one object a line"
            )
    if rest:
        yield rest


def _batch(
    records: list[dict[str, Any]], names: list[str], schema: pa.Schema, missing: frozenset[str]
) -> pa.RecordBatch:
    return pa.record_batch(
        [pa.array([_text(record.get(name), missing) for record in records], pa.string()) for name in names], schema
    )


def _text(value: Any, missing: frozenset[str]) -> str | None:
    if value is True:
        return _TRUE
    if value is False:
        return _FALSE
    return None if value is None or value in missing else value
