"""The noun Records: named tables, split into train and holdout, read as a stream of Arrow batches.

On disk: `<table>/<split>-00000.parquet …` and `records.json` (schemas, unit, parts with sha256), which is created last
and exclusively: a folder without it holds nothing that a reader may trust.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from synth_pipeline.errors import StorageError, did_you_mean
from synth_pipeline.records import schema as schemas
from synth_pipeline.records.reader import scan

MANIFEST = "records.json"
DEFAULT_TABLE = "data"
Batch = tuple[str, pa.RecordBatch]
"""The one currency: a table's name and some of its rows."""


@dataclass(frozen=True)
class Part:
    """One Parquet file of one table and split; `path` is relative to the Records' folder."""

    table: str
    split: str
    path: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Unit:
    """Whom the release protects: one value of `column` in `table`, or one row when `column` is None."""

    table: str = DEFAULT_TABLE
    column: str | None = None
    path: tuple[str, ...] = ()
    max_contribution: int = 1


@dataclass(frozen=True)
class Records:
    """Tables with frozen schemas; `facts` are the writing stage's own notes, plain JSON."""

    schemas: Mapping[str, pa.Schema]
    datasets: Mapping[tuple[str, str], ds.Dataset] = field(repr=False)
    unit: Unit = Unit()
    content_id: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    folder: Path | None = None

    @classmethod
    def open(cls, folder: Path) -> Records:
        """Reads a committed folder.

        Raises:
            StorageError: nothing was committed there, or the manifest is not ours.
        """
        try:
            note = json.loads((folder / MANIFEST).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise StorageError("no committed records here", where=str(folder), fix="run the stage again") from error
        parts = tuple(Part(**part) for part in note["parts"])
        shapes = {name: schemas.decode(text) for name, text in note["arrow"].items()}
        files: dict[tuple[str, str], list[str]] = {}
        for part in parts:
            files.setdefault((part.table, part.split), []).append(str(folder / part.path))
        return cls(
            schemas=shapes,
            datasets={key: ds.dataset(paths, schema=shapes[key[0]], format="parquet") for key, paths in files.items()},
            unit=Unit(**{**note["unit"], "path": tuple(note["unit"]["path"])}),
            content_id=note["content_id"],
            facts=note["facts"],
            parts=parts,
            folder=folder,
        )

    @classmethod
    def of(
        cls, tables: Mapping[str, Mapping[str, pa.Table]] | pa.Table, unit: Unit | None = None, **facts: Any
    ) -> Records:
        """Records in memory: `{split: {table: rows}}`, or one table that is all `train`."""
        named = {"train": {DEFAULT_TABLE: tables}} if isinstance(tables, pa.Table) else tables
        shapes: dict[str, pa.Schema] = {}
        data: dict[tuple[str, str], ds.Dataset] = {}
        for split, group in named.items():
            for name, table in group.items():
                shapes.setdefault(name, table.schema)
                data[name, split] = ds.dataset(table)
        return cls(schemas=shapes, datasets=data, unit=unit or Unit(next(iter(shapes))), facts=facts)

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(self.schemas)

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(split for _, split in self.datasets))

    def schema(self, table: str | None = None) -> pa.Schema:
        return self.schemas[self._name(table)]

    def rows(self, split: str | None = None, table: str | None = None) -> int:
        name = self._name(table)
        if self.parts:
            return sum(part.rows for part in self.parts if part.table == name and split in (None, part.split))
        return sum(data.count_rows() for (t, s), data in self.datasets.items() if t == name and split in (None, s))

    def only(self, split: str) -> Records:
        """The same records with nothing but one split: what a generator is handed."""
        return Records(
            schemas=self.schemas,
            datasets={key: data for key, data in self.datasets.items() if key[1] == split},
            unit=self.unit,
            content_id=self.content_id and f"{self.content_id}/{split}",
            facts=self.facts,
            parts=tuple(part for part in self.parts if part.split == split),
            folder=self.folder,
        )

    def batches(
        self,
        split: str | None = None,
        table: str | None = None,
        columns: Sequence[str] | None = None,
        batch_rows: int = 65_536,
    ) -> Iterator[Batch]:
        """All rows in their stored order, in bounded memory."""
        wanted = [self._name(table)] if table or len(self.schemas) == 1 else list(self.schemas)
        for name in wanted:
            for (owner, owned), data in self.datasets.items():
                if owner == name and split in (None, owned):
                    for batch in scan(data, columns, batch_rows):
                        yield name, batch

    def table(
        self, split: str | None = None, table: str | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """One whole table in memory, notes kept: only for callers that have checked that it fits."""
        name = self._name(table)
        shape = self.schemas[name]
        if columns is not None:
            shape = pa.schema([shape.field(column) for column in columns])
        return pa.Table.from_batches((batch.cast(shape) for _, batch in self.batches(split, name, columns)), shape)

    def _name(self, table: str | None) -> str:
        if table is None:
            return next(iter(self.schemas))
        if table not in self.schemas:
            raise StorageError(f'no table "{table}"; {did_you_mean(table, self.schemas)}', where=str(self.folder or ""))
        return table


class RecordsWriter:
    """Writes parts into a work folder and commits them; the folder belongs to the caller's lease.

    Batches of one (table, split) keep their order; a part is closed when it holds `part_rows` rows or `part_bytes`
    Arrow bytes.
    """

    def __init__(
        self,
        folder: Path,
        shapes: Mapping[str, pa.Schema],
        *,
        part_rows: int = 4_194_304,
        part_bytes: int = 1 << 30,
        name: Callable[[str, int], str] = lambda split, index: f"{split}-{index:05d}.parquet",
    ) -> None:
        self.folder, self.shapes = folder, dict(shapes)
        self._limits = part_rows, part_bytes
        self._name = name
        self._open: dict[tuple[str, str], Any] = {}
        self._count: dict[tuple[str, str], int] = {}
        self.parts: list[Part] = []

    def write(self, table: str, split: str, batch: pa.RecordBatch) -> None:
        from synth_pipeline.records.parquet import PartWriter

        if batch.num_rows == 0:
            return
        key = (table, split)
        if key not in self._open:
            index = self._count.get(key, 0)
            self._count[key] = index + 1
            relative = f"{table}/{self._name(split, index)}"
            (self.folder / table).mkdir(parents=True, exist_ok=True)
            self._open[key] = PartWriter(self.folder / relative, self.shapes[table]), relative
        writer, _ = self._open[key]
        writer.write(batch)
        if writer.rows >= self._limits[0] or writer.arrow_bytes >= self._limits[1]:
            self._close(key)

    def add(self, parts: Iterable[Part]) -> None:
        """Parts that workers, or an earlier interrupted run, have already written and hashed."""
        self.parts.extend(parts)

    def finish(self) -> list[Part]:
        """Closes what is open without committing: what a worker does."""
        for key in list(self._open):
            self._close(key)
        return self.parts

    def commit(self, unit: Unit, facts: Mapping[str, Any]) -> Records:
        """Creates `records.json` exclusively: from here on the records exist."""
        from synth_pipeline.records.files import create

        parts = sorted(self.finish(), key=lambda part: (list(self.shapes).index(part.table), part.path))
        note = {
            "content_id": content_id(self.shapes, parts, unit),
            "tables": {name: schemas.to_json(shape) for name, shape in self.shapes.items()},
            "arrow": {name: schemas.encode(shape) for name, shape in self.shapes.items()},
            "unit": asdict(unit),
            "facts": dict(facts),
            "parts": [asdict(part) for part in parts],
        }
        create(self.folder / MANIFEST, json.dumps(note, indent=1, ensure_ascii=False, default=str).encode())
        return Records.open(self.folder)

    def abandon(self) -> None:
        """Closes file handles after an error; nothing is committed."""
        for writer, _ in self._open.values():
            writer.abandon()
        self._open.clear()

    def _close(self, key: tuple[str, str]) -> None:
        writer, relative = self._open.pop(key)
        size, digest = writer.close()
        self.parts.append(Part(*key, relative, writer.rows, size, digest))


def content_id(shapes: Mapping[str, pa.Schema], parts: Iterable[Part], unit: Unit) -> str:
    """Merkle root of the parts: equal bytes and meaning, equal id, wherever they lie."""
    root = hashlib.sha256()
    for name, shape in shapes.items():
        root.update(f"{name}\x1f{schemas.digest_form(shape)}\n".encode())
    root.update(json.dumps(asdict(unit), sort_keys=True).encode())
    for part in parts:
        root.update(f"{part.table}/{part.split}/{part.rows}/{part.sha256}\n".encode())
    return root.hexdigest()
