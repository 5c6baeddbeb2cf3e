"""What every source of real rows is, and the small things that all of them need."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from synth_pipeline.errors import SourceError

NAME_LIMIT = 512
"""Longest column name: longer ones are a sign of a missing header, and break file systems and pages downstream."""


class Reading(StrEnum):
    """What a source's column says of itself."""

    ANY = "any"
    """Text that may stand for anything: CSV."""
    DATES = "dates"
    """Text that the source knows to be text, but that has no other way to write a date: JSON, SQLite."""
    TYPED = "typed"
    """The source's own type counts."""


class Chunk(NamedTuple):
    """Some consecutive rows; `start` is the place of the first one among its file's readable rows."""

    file: str
    start: int
    batch: pa.RecordBatch


class Ragged(NamedTuple):
    """A record that has the wrong number of cells; `row` counts the file's records from 1, without the header."""

    file: str
    row: int
    reason: str


class Source(Protocol):
    """Real rows, readable as often as needed in bounded memory, with the same result each time."""

    kind: str
    uri: str
    """Canonical identity of the source root: no password, `{partition}` left as it is."""
    warnings: list[str]
    ragged: list[Ragged]
    """Records skipped by the last complete reading."""

    def token(self) -> Any:
        """Plain JSON that changes when the content may have changed, without reading it; None: there is no such."""
        ...

    def fetch(self, scratch: Path) -> None:
        """Makes the rows re-readable, keeping copies in `scratch` where the source itself does not allow that."""
        ...

    def content_id(self) -> str:
        """sha256 of the content, after `fetch`."""
        ...

    def facts(self) -> dict[str, Any]:
        """Names of files and number of bytes, for the manifest."""
        ...

    def schema(self) -> pa.Schema:
        """Columns in order, after `fetch`; text where the type is to be inferred."""
        ...

    def reading(self, column: str) -> Reading: ...

    def batches(self) -> Iterator[Chunk]:
        """All rows, in a stable order, each batch in the order and with the columns of `schema()`."""
        ...


def gather(batches: Iterable[pa.RecordBatch], size: int = 12 << 20) -> Iterator[pa.RecordBatch]:
    """Fewer, larger batches: numpy and Arrow kernels cost a fixed amount per call."""
    held: list[pa.RecordBatch] = []
    held_bytes = 0
    for batch in batches:
        if batch.num_rows == 0:
            continue
        held.append(batch)
        held_bytes += batch.nbytes
        if held_bytes >= size:
            yield _joined(held)
            held, held_bytes = [], 0
    if held:
        yield _joined(held)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def pieces(batch: pa.RecordBatch, size: int = 64 << 20) -> Iterator[pa.RecordBatch]:
    """`batch` in slices of about `size` bytes at most: row groups of other writers may be huge."""
    rows = max(1, size * batch.num_rows // max(1, batch.nbytes))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def clean_names(names: Sequence[str], where: str) -> tuple[list[str], list[str]]:
    """Usable, distinct column names, and what was changed.

    Raises:
        SourceError: a name is longer than 512 characters.
    """
    cleaned: list[str] = []
    notes: list[str] = []
    taken = set(names)
    for place, name in enumerate(names, 1):
        if len(name) > NAME_LIMIT:
            raise SourceError(
                f"the name of column {place} has {len(name):,} characters, {NAME_LIMIT} are allowed",
                where=where,
                fix="shorten it; if the file has no header line, add one",
            )
        new = name.strip() or f"column_{place}"
        if not name.strip():
            notes.append(f'column {place} has no name: called "{new}"')
        if new in cleaned:
            number = 2
            while f"{new}_{number}" in taken or f"{new}_{number}" in cleaned:
                number += 1
            notes.append(f'column {place} repeats the name "{new[:80]}": called "{new[:80]}_{number}"')
            new = f"{new}_{number}"
        cleaned.append(new)
    return cleaned, notes


def near(name: str, others: Iterable[str]) -> str:
    """`did you mean "x"?`, or nothing: unlike a spec's options, neighbours in a folder are not worth listing."""
    found = difflib.get_close_matches(name, list(others), n=1, cutoff=0.6)
    return f'did you mean "{found[0]}"?' if found else ""


def too_wide(column: str, arrow: pa.DataType, where: str) -> SourceError:
    """The error for a column whose cells are tables of their own."""
    return SourceError(
        f'column "{column}" holds nested values ({str(arrow)[:80]})',
        where=where,
        fix="flatten it into columns of its own, or drop it, before the pipeline reads it",
    )
