"""Released data files: the public schema, Parquet that every reader understands, and CSV."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.publishing.manifest import FieldNote
from synth_pipeline.records.parquet import HashingFile, PartWriter
from synth_pipeline.records.schema import Column, Meaning, columns

# what spreadsheets take for a formula (OWASP, "CSV injection"), less plain numbers
_FORMULA = r"^[=+\-@\t\r]"
_NUMBER = r"^[+\-]?[0-9]+([.,][0-9]+)*([eE][+\-]?[0-9]+)?$"


def public_schema(schema: pa.Schema, descriptions: dict[str, str]) -> pa.Schema:
    """The schema as released: meaning, roles, description, and that nothing in it is anybody's.

    What the private stages noted for each other (actions, keys, facts of the source) stays behind.
    """
    fields = []
    for column in columns(schema):
        note: dict[str, Any] = {"meaning": column.meaning.value, "pii": "none", "synthetic": True}
        if column.roles:
            note["roles"] = sorted(role.value for role in column.roles)
        if text := descriptions.get(column.name) or column.description:
            note["description"] = text
        if kind := surrogate_kind(column):
            note["surrogate"] = kind
        text = json.dumps(note, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        fields.append(pa.field(column.name, _value_type(column.type), column.nullable, {b"synth": text.encode()}))
    return pa.schema(fields)


def field_notes(public: pa.Schema) -> tuple[FieldNote, ...]:
    """The manifest's form of a public schema."""
    found = []
    for arrow in public:
        note = json.loads(arrow.metadata[b"synth"])
        found.append(
            FieldNote(
                name=arrow.name,
                type=str(arrow.type),
                meaning=note["meaning"],
                nullable=arrow.nullable,
                roles=tuple(note.get("roles", ())),
                description=note.get("description", ""),
                surrogate=note.get("surrogate"),
            )
        )
    return tuple(found)


def surrogate_kind(column: Column) -> str | None:
    """The kind of personal datum whose place a column's freshly drawn values take."""
    if not column.surrogate or column.action is None:
        return None
    return str(column.action.get("entity") or column.pii or column.action.get("type") or "identifier")


def file_metadata(public: pa.Schema, mark: dict[str, Any]) -> dict[bytes, bytes]:
    """File-level Parquet metadata: our mark, and the features that `datasets` reads types from."""
    metadata = {b"synth": json.dumps(mark, sort_keys=True, ensure_ascii=False).encode()}
    features = {arrow.name: _feature(arrow) for arrow in public}
    if all(features.values()):
        metadata[b"huggingface"] = json.dumps({"info": {"features": features}}, ensure_ascii=False).encode()
    return metadata


def write_parquet(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> tuple[int, int, str]:
    """Rows, bytes and sha256 of the finished file."""
    writer = PartWriter(path, schema)
    try:
        for batch in batches:
            writer.write(_cast(batch, schema))
        size, digest = writer.close()
    except BaseException:
        writer.abandon()
        raise
    return writer.rows, size, digest


def write_csv(
    path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], escape: bool, flags: dict[str, int]
) -> tuple[int, int, str]:
    """Rows, bytes and sha256; counts in `flags` the cells (and headers) of each column that a spreadsheet would run."""
    import pyarrow.csv as csv

    shape = pa.schema([pa.field(arrow.name, _text_type(arrow.type)) for arrow in schema])
    mask = pc.match_substring_regex(pa.array(shape.names, pa.string()), _FORMULA).to_pylist()
    for name, hit in zip(shape.names, mask, strict=True):
        if hit:
            flags[name] = flags.get(name, 0) + 1
    heads = ["'" + name if hit and escape else name for name, hit in zip(shape.names, mask, strict=True)]
    titled = pa.schema([pa.field(head, arrow.type) for head, arrow in zip(heads, shape, strict=True)])
    rows = 0
    file = HashingFile(path)
    try:
        with csv.CSVWriter(pa.PythonFile(file, mode="w"), titled) as writer:
            for batch in batches:
                rows += batch.num_rows
                cells = [_defused(column, name, escape, flags) for name, column in _texts(batch, shape)]
                writer.write_batch(pa.RecordBatch.from_arrays(cells, schema=titled))
        file.close()
    except BaseException:
        file.abandon()
        raise
    return rows, file.size, file.sha256


def _texts(batch: pa.RecordBatch, shape: pa.Schema) -> Iterator[tuple[str, pa.Array]]:
    for arrow, column in zip(shape, batch.columns, strict=True):
        plain = column.cast(_value_type(column.type)) if pa.types.is_dictionary(column.type) else column
        yield arrow.name, plain.cast(arrow.type)


def _defused(column: pa.Array, name: str, escape: bool, flags: dict[str, int]) -> pa.Array:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    risky = pc.and_not(pc.match_substring_regex(column, _FORMULA), pc.match_substring_regex(column, _NUMBER))
    risky = pc.fill_null(risky, False)
    if not (count := pc.sum(risky).as_py() or 0):
        return column
    flags[name] = flags.get(name, 0) + count
    if not escape:
        return column
    quote = pa.scalar("'", column.type)
    return pc.if_else(risky, pc.binary_join_element_wise(quote, column, pa.scalar("", column.type)), column)


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    arrays = [
        column if column.type == arrow.type else column.cast(arrow.type)
        for column, arrow in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _value_type(arrow: pa.DataType) -> pa.DataType:
    return arrow.value_type if pa.types.is_dictionary(arrow) else arrow


def _text_type(arrow: pa.DataType) -> pa.DataType:
    """What CSV holds of a type: numbers, booleans and dates as they are, the rest as text."""
    kept = (
        pa.types.is_boolean,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_temporal,
        pa.types.is_large_string,
    )
    arrow = _value_type(arrow)
    return arrow if any(test(arrow) for test in kept) else pa.string()


def _feature(arrow: pa.Field) -> dict[str, Any] | None:
    """The `datasets` feature of a field; None if that library has none for it."""
    media = {Meaning.IMAGE: "Image", Meaning.AUDIO: "Audio", Meaning.VIDEO: "Video"}
    if kind := media.get(Column.of(arrow).meaning):
        return {"_type": kind}
    names = {
        "double": "float64",
        "float": "float32",
        "halffloat": "float16",
        "date32[day]": "date32",
        "date64[ms]": "date64",
    }
    known = (
        pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_temporal, pa.types.is_decimal128,
        pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary,
    )  # fmt: skip
    if not any(test(arrow.type) for test in known):
        return None
    return {"dtype": names.get(str(arrow.type), str(arrow.type)), "_type": "Value"}
