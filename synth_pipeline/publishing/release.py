"""Publishing one version: claim its number, write its files, commit its manifest last, then move the pointers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.dataset as ds

from synth_pipeline.errors import GateFailed, StorageError
from synth_pipeline.progress import tick
from synth_pipeline.publishing.card import card
from synth_pipeline.publishing.croissant import croissant
from synth_pipeline.publishing.formats import field_notes, file_metadata, public_schema, write_csv, write_parquet
from synth_pipeline.publishing.manifest import Csv, FileNote, Manifest, TableNote, merkle_root
from synth_pipeline.publishing.store import MANIFEST, Store
from synth_pipeline.publishing.versions import Line, snap
from synth_pipeline.records.files import safe_component, sha256
from synth_pipeline.records.identity import canonical
from synth_pipeline.records.parquet import HashingFile
from synth_pipeline.records.reader import scan
from synth_pipeline.records.records import Part, Records
from synth_pipeline.spec.publication import Export


@dataclass(frozen=True)
class Contents:
    """What is to be released, and its public face."""

    records: Records
    schemas: Mapping[str, pa.Schema]
    tables: tuple[TableNote, ...]
    root: str

    @classmethod
    def of(cls, records: Records, descriptions: Mapping[str, str]) -> Contents:
        shapes = {name: public_schema(shape, dict(descriptions)) for name, shape in records.schemas.items()}
        notes = tuple(
            TableNote(name=name, rows=records.rows(table=name), fields=field_notes(shape))
            for name, shape in shapes.items()
        )
        payloads = [(part.table, part.split, part.rows, part.sha256) for part in records.parts]
        forms = {note.name: canonical([f.model_dump(exclude={"description"}) for f in note.fields]) for note in notes}
        return cls(records, shapes, notes, merkle_root(forms, payloads))


@dataclass(frozen=True)
class Publication:
    """A version that is out; `reused` when it already was."""

    line: Line
    manifest: Manifest
    reused: bool
    snapshot: int | None = None

    @property
    def location(self) -> str:
        return self.line.store.location(self.line.folder(self.manifest.version))


_THREADS = 2
"""Each holds a row group of 64 MiB or two."""

Documents = Callable[[Manifest], Mapping[str, bytes]]
"""The report and the publishable scorecard, once the manifest can be quoted."""


def publish(store: Store, draft: Manifest, contents: Contents, export: Export, documents: Documents) -> Publication:
    """Makes `draft` a version of its own, unless the newest one says the same.

    Raises:
        GateFailed: this very content was published before and then retracted.
        StorageError: the store refuses, or a synthetic part is not what its manifest lists.
    """
    line = Line(store, draft.dataset, draft.partition)
    _refuse_retracted(line, draft)
    newest = line.newest()
    known = _readable(line, newest) if newest else None
    if known is not None and known.identity == draft.identity and whole(line, known):
        return _announced(line, known, reused=True)
    with line.claimed() as version:
        draft = draft.model_copy(
            update={
                "version": version,
                "supersedes": newest,
                "created_at": time.strftime("%FT%TZ", time.gmtime()),
            }
        )
        manifest = _fill(line, draft, contents, export, documents)
        store.settle(line.folder(version))
        store.create(f"{line.folder(version)}/{MANIFEST}", manifest.to_bytes())  # from here on it exists
    return _announced(line, manifest, reused=False)


def whole(line: Line, manifest: Manifest) -> bool:
    """Whether all files are there at their size: enough to tell a store that somebody has tidied up."""
    found = line.store.files(line.folder(manifest.version))
    return all(found.get(file.path) == file.bytes for file in manifest.files)


def _announced(line: Line, manifest: Manifest, *, reused: bool) -> Publication:
    line.store.tidy(line.folder(manifest.version))
    line.point()
    return Publication(line, manifest, reused, snap(line) if line.partition else None)


def _readable(line: Line, version: str) -> Manifest | None:
    """A version's manifest; None if it is damaged, which is `verify`'s affair and no reason not to publish."""
    try:
        return line.manifest(version)
    except StorageError:
        return None


def _refuse_retracted(line: Line, draft: Manifest) -> None:
    for version in line.committed():
        note = line.tombstone(version)
        known = _readable(line, version) if note is not None else None
        if note is not None and known is not None and known.content_id == draft.content_id:
            raise GateFailed(
                f"this very content was published as {version} and then retracted: {note.get('reason', '')}",
                where=line.label,
                kept="all earlier versions",
                fix="change the source, the spec or the seed",
            )


def _fill(line: Line, draft: Manifest, contents: Contents, export: Export, documents: Documents) -> Manifest:
    """Writes every file but the manifest; returns that, complete."""
    files = list(_data(line, draft, contents))
    if "csv" in export.formats:
        flags: dict[str, int] = {}
        files += list(_csv(line, draft, contents, export.escape_formulas, flags))
        draft = draft.model_copy(update={"csv": Csv(formula_cells=flags, escaped=export.escape_formulas)})
    draft = draft.model_copy(update={"files": tuple(files)})
    texts: dict[str, tuple[Literal["card", "croissant", "scorecard", "report"], bytes]] = {
        "README.md": ("card", card(draft)),
        "croissant.json": ("croissant", croissant(draft)),
    }
    for path, data in documents(draft).items():
        texts[path] = ("report" if path.endswith(".html") else "scorecard", data)
    for path, (kind, data) in texts.items():
        with line.store.writing(f"{line.folder(draft.version)}/{path}") as local:
            file = HashingFile(local)
            try:
                file.write(data)
            finally:
                file.close()
        files.append(FileNote(path=path, kind=kind, bytes=file.size, sha256=file.sha256))
    return draft.model_copy(update={"files": tuple(files)})


def _data(line: Line, draft: Manifest, contents: Contents) -> Iterator[FileNote]:
    """Parts side by side: pyarrow encodes outside the interpreter's lock."""
    mark = {"dataset": draft.dataset, "version": draft.version, "digital_source_type": draft.digital_source_type}
    if draft.partition:
        mark["partition"] = draft.partition
    done, total = 0, sum(table.rows for table in contents.tables)
    with ThreadPoolExecutor(_THREADS) as pool:
        written = [
            pool.submit(_write, line, draft, contents, mark, table, split, number, of, part)
            for table in contents.schemas
            for split in contents.records.splits or ("train",)
            for number, of, part in _parts(contents.records, table, split)
        ]
        try:
            for future in written:
                note = future.result()
                done += note.rows or 0
                tick("export", done, total)
                yield note
        finally:
            pool.shutdown(cancel_futures=True)  # waits: nobody may write into a folder that is being cleared


def _write(
    line: Line, draft: Manifest, contents: Contents, mark: Mapping[str, str], table: str, split: str, number: int,
    of: int, part: Part | None,
) -> FileNote:  # fmt: skip
    shape = contents.schemas[table]
    schema = shape.with_metadata(file_metadata(shape, {**mark, "table": table}))
    path = f"{_folder('data', table, contents)}/{split}-{number:05d}-of-{of:05d}.parquet"
    with line.store.writing(f"{line.folder(draft.version)}/{path}") as local:
        rows, size, digest = write_parquet(local, schema, _rows(contents.records, part) if part else ())
    if part and rows != part.rows:
        raise StorageError(f"{part.path} holds {rows} rows, its manifest lists {part.rows}", where=line.label)
    payload = part.sha256 if part else None
    return FileNote(
        path=path, kind="data", bytes=size, sha256=digest, table=table, split=split, rows=rows, payload=payload
    )


def _csv(line: Line, draft: Manifest, contents: Contents, escape: bool, flags: dict[str, int]) -> Iterator[FileNote]:
    for name, shape in contents.schemas.items():
        for split in contents.records.splits or ("train",):
            path = f"{_folder('csv', name, contents)}/{split}.csv"
            parts = [part for _, _, part in _parts(contents.records, name, split) if part]
            batches = (batch for part in parts for batch in _rows(contents.records, part))
            with line.store.writing(f"{line.folder(draft.version)}/{path}") as local:
                rows, size, digest = write_csv(local, shape, batches, escape, flags)
            yield FileNote(path=path, kind="csv", bytes=size, sha256=digest, table=name, split=split, rows=rows)


def _folder(kind: str, table: str, contents: Contents) -> str:
    return kind if len(contents.schemas) == 1 else f"{kind}/{safe_component(table)}"


def _parts(records: Records, table: str, split: str) -> list[tuple[int, int, Part | None]]:
    """(number, of how many, part); a table without any row still has a file, which holds its columns."""
    found = sorted((p for p in records.parts if (p.table, p.split) == (table, split)), key=lambda part: part.path)
    if not found and split == (records.splits or ("train",))[0]:
        return [(0, 1, None)]
    return [(number, len(found), part) for number, part in enumerate(found)]


def _rows(records: Records, part: Part) -> Iterator[pa.RecordBatch]:
    """A part's rows, after its bytes were found to be what was judged."""
    path = (records.folder or Path()) / part.path
    if not path.is_file() or sha256(path) != part.sha256:
        raise StorageError(
            "a synthetic part is missing or was altered since it was judged",
            where=str(path),
            kept="nothing was published",
            fix="run again with --force",
        )
    return scan(ds.dataset(str(path), schema=records.schema(part.table), format="parquet"))
