"""Files of one dataset: found by path, glob, folder or URI, told apart by name, read as one table."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from synth_pipeline.errors import SourceError, SourceUnavailable, SpecError
from synth_pipeline.records.files import sha256
from synth_pipeline.records.sources import columnar, delimited, jsonl
from synth_pipeline.records.sources.base import Chunk, Ragged, Reading, clean_names, gather, near
from synth_pipeline.spec.source import FileSource

_FORMATS = {
    ".csv": "csv", ".txt": "csv", ".data": "csv", ".tsv": "tsv", ".tab": "tsv",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
}  # fmt: skip
_PACKED = (".gz", ".zst")
_KEY = "{partition}"


class Files:
    """One or more files of one format, joined by column name."""

    kind = "file"

    def __init__(self, config: FileSource, base: Path, partition: str | None, store: str) -> None:
        self._config = config
        self._remote = "://" in config.path and not config.path.startswith("file://")
        path = config.path.removeprefix("file://") if not self._remote else config.path
        if not self._remote:
            path = os.path.normpath(base / os.path.expanduser(path))
        self.uri = path if self._remote else f"file://{path}"
        if self._remote:
            from synth_pipeline.records.sources.sql import redact

            self.uri = redact(path)
        if _KEY in path and partition is None:
            raise SpecError(
                "the path names `{partition}`, and no partition was asked for", where=self.uri, fix="--partition KEY"
            )
        self._path = path.replace(_KEY, partition or "")
        self.warnings: list[str] = []
        self.ragged: list[Ragged] = []
        self._found: list[tuple[str, Path]] | None = None  # name as shown, file on this machine
        self._fields: dict[str, pa.DataType] = {}
        self._readings: dict[str, Reading] = {}
        self._dialects: dict[str, delimited.Dialect] = {}
        self._names: dict[str, list[str]] = {}

    def token(self) -> Any:
        if self._remote:
            return self._remote_token()
        stats = [(path.stat(), name) for name, path in self._local()]
        return [[name, s.st_size, s.st_mtime_ns, s.st_ino, s.st_dev] for s, name in stats]

    def fetch(self, scratch: Path) -> None:
        if self._remote:
            self._download(scratch)
        files = self._local()
        seen = {self._format(path) for _, path in files}
        if len(seen) > 1:
            raise SourceError(
                f"files of several formats: {', '.join(sorted(seen))}",
                where=self.uri,
                fix="name one by a glob, e.g. `*.csv`, or set `source.format`",
            )
        for name, path in files:
            self._look(name, path)
        self._join()

    def content_id(self) -> str:
        digests = [self._guard(path, sha256) for _, path in self._local()]
        return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()

    def facts(self) -> dict[str, Any]:
        files = self._local()
        return {"files": [name for name, _ in files], "bytes": sum(path.stat().st_size for _, path in files)}

    def schema(self) -> pa.Schema:
        return pa.schema(list(self._fields.items()))

    def reading(self, column: str) -> Reading:
        return self._readings[column]

    def batches(self) -> Iterator[Chunk]:
        self.ragged = []
        for name, path in self._local():
            start = 0
            for batch in gather(self._read(name, path)):
                yield Chunk(name, start, batch)
                start += batch.num_rows

    # -- finding -------------------------------------------------------------------------------------------------

    def _local(self) -> list[tuple[str, Path]]:
        if self._found is None:
            paths = _expand(self._path)
            root = paths[0].parent if len(paths) == 1 else Path(os.path.commonpath([path.parent for path in paths]))
            self._found = [(str(path.relative_to(root)), path) for path in paths]
        return self._found

    def _format(self, path: Path) -> str:
        if self._config.format:
            return self._config.format
        suffixes = [suffix.lower() for suffix in path.suffixes]
        if suffixes and suffixes[-1] in _PACKED:
            suffixes.pop()
        if not suffixes or suffixes[-1] not in _FORMATS:
            raise SourceError(
                f'"{path.name[:120]}" has no known ending ({", ".join(sorted(_FORMATS))}; .gz and .zst after them)',
                where=self.uri,
                fix="set `source.format`",
            )
        return _FORMATS[suffixes[-1]]

    def _guard(self, path: Path, act: Any) -> Any:
        try:
            return act(path)
        except OSError as error:
            raise delimited.damaged(str(path), error) from None

    # -- the files' columns ------------------------------------------------------------------------------------------

    def _look(self, name: str, path: Path) -> None:
        form, where = self._format(path), self._where(name)
        if self._guard(path, lambda p: p.stat().st_size) == 0:
            raise SourceError("the file is empty", where=where)
        if form in ("csv", "tsv"):
            self._guard(path, _readable)
            delimiter = self._config.delimiter or ("\t" if form == "tsv" else None)
            found = delimited.dialect(path, where, delimiter, self._config.encoding)
            self._dialects[name] = found
            self._names[name] = list(found.names)
            self.warnings += [f"{name}: {note}" for note in found.notes]
            self._add(name, dict.fromkeys(found.names, pa.string()), dict.fromkeys(found.names, Reading.ANY))
        elif form == "jsonl":
            self._guard(path, _readable)
            keys = jsonl.keys(path, where)
            names, notes = clean_names(list(keys), where)
            self.warnings += [f"{name}: {note}" for note in notes]
            self._names[name] = list(keys)
            self._add(name, dict.fromkeys(names, pa.string()), dict(zip(names, keys.values(), strict=True)))
        else:
            self._guard(path, _readable)
            own = columnar.schema(path, where)
            names, notes = clean_names(own.names, where)
            self.warnings += [f"{name}: {note}" for note in notes]
            self._names[name] = names
            kinds = {new: columnar.plain_type(field.type, new, where) for new, field in zip(names, own, strict=True)}
            readings = {
                new: Reading.ANY if columnar.undecided(field.type) else Reading.TYPED
                for new, field in zip(names, own, strict=True)
            }
            self._add(name, kinds, readings)

    def _add(self, name: str, kinds: dict[str, pa.DataType], readings: dict[str, Reading]) -> None:
        if not kinds:
            raise SourceError("there are no columns", where=self._where(name))
        if self._fields and not set(kinds) & set(self._fields):
            raise SourceError(
                "has no column in common with the files before it",
                where=self._where(name),
                fix="name the files that belong together by a glob",
            )
        for column, kind in kinds.items():
            known = self._fields.setdefault(column, kind)
            if known != kind:
                self._fields[column] = columnar.common_type(column, known, kind, self._where(name))
            before = self._readings.setdefault(column, readings[column])
            if before != readings[column]:
                self._readings[column] = Reading.DATES if Reading.DATES in (before, readings[column]) else Reading.ANY

    def _join(self) -> None:
        for name, names in self._names.items():
            kept = set(clean_names(names, name)[0])
            if missing := [column for column in self._fields if column not in kept]:
                self.warnings.append(f"{name}: no column {', '.join(missing[:5])}: missing values there")

    def _where(self, name: str) -> str:
        return name if len(self._local()) > 1 or self._remote else str(self._local()[0][1])

    # -- the files' rows ------------------------------------------------------------------------------------------

    def _read(self, name: str, path: Path) -> Iterator[pa.RecordBatch]:
        form, where = self._format(path), self._where(name)
        if form in ("csv", "tsv"):

            def aside(record: Ragged) -> None:
                self.ragged.append(record._replace(file=name))

            batches = delimited.read(path, where, self._dialects[name], self._config.null, aside)
            names = self._names[name]
        elif form == "jsonl":
            batches = jsonl.read(path, where, self._names[name], self._config.null)
            names = clean_names(self._names[name], where)[0]
        else:
            batches = columnar.read(path, where, lambda batch: batch)
            names = self._names[name]
        schema = self.schema()
        for batch in batches:
            own = dict(zip(names, batch.columns, strict=True))
            yield pa.record_batch(
                [
                    columnar.plain(own[field.name], field.type)
                    if field.name in own
                    else pa.nulls(batch.num_rows, field.type)
                    for field in schema
                ],
                schema,
            )

    # -- elsewhere -------------------------------------------------------------------------------------------------

    def _filesystem(self) -> tuple[Any, list[str]]:
        import fsspec

        try:
            fs, _, _ = fsspec.get_fs_token_paths(self._path)
            inner = fs._strip_protocol(self._path)
            if glob.has_magic(inner):
                paths = sorted(path for path in fs.glob(inner) if fs.isfile(path))
            elif fs.isdir(inner):
                paths = sorted(path for path in fs.find(inner) if _known(path))
            else:
                paths = [inner] if fs.exists(inner) else []
        except (ImportError, ValueError) as error:
            scheme = self._path.partition("://")[0]
            raise SourceError(
                f'"{scheme}://" cannot be opened: {type(error).__name__}',
                where=self.uri,
                fix="install the fsspec package of that storage",
            ) from None
        except FileNotFoundError:
            paths = []
        except Exception as error:  # noqa: BLE001 - any storage's own errors; their texts may hold credentials
            raise SourceUnavailable(
                f"the storage did not answer ({type(error).__name__})",
                where=self.uri,
                fix="check address, network and credentials",
            ) from None
        if not paths:
            raise SourceError("there is nothing here", where=self.uri)
        return fs, paths

    def _remote_token(self) -> Any:
        fs, paths = self._filesystem()
        token = []
        for path in paths:
            info = fs.info(path)
            mark = next(
                (
                    str(info[key])
                    for key in ("ETag", "etag", "md5Hash", "version_id", "mtime", "LastModified", "created")
                    if info.get(key)
                ),
                None,
            )
            if mark is None:
                return None
            token.append([path, info.get("size"), mark])
        return token

    def _download(self, scratch: Path) -> None:
        fs, paths = self._filesystem()
        self._found = []
        for number, path in enumerate(paths):
            name = path.rsplit("/", 1)[-1].partition("?")[0]
            target = scratch / f"{number:05d}-{name[-100:]}"
            try:
                with fs.open(path, "rb") as incoming, open(target, "wb") as out:
                    shutil.copyfileobj(incoming, out, 1 << 20)
            except Exception as error:
                if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                    raise
                raise SourceUnavailable(
                    f"reading stopped ({type(error).__name__})", where=self.uri, fix="run again"
                ) from None
            self._found.append((name, target))


def _expand(pattern: str) -> list[Path]:
    path = Path(pattern)
    try:
        if path.is_dir():
            files = sorted(
                file for file in path.rglob("*") if file.is_file() and _known(file.name) and not _hidden(file, path)
            )
            if not files:
                raise SourceError(
                    "no data files in this folder", where=pattern, fix=f"endings read: {', '.join(sorted(_FORMATS))}"
                )
            return files
        if path.exists():
            return [path]
        if glob.has_magic(pattern):
            files = sorted(Path(found) for found in glob.glob(pattern, recursive=True) if Path(found).is_file())
            if not files:
                raise SourceError("no file matches this pattern", where=pattern)
            return files
        siblings = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
    except PermissionError:
        raise SourceError("no permission to read this", where=pattern, fix="change its permissions or owner") from None
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}", where=pattern[:300]) from None
    if not path.parent.is_dir():
        raise SourceError("there is no such file, nor its folder", where=pattern, fix="check the path")
    raise SourceError("there is no such file", where=pattern, fix=near(path.name, siblings) or "check the path")


def _known(name: str) -> bool:
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    return bool(suffixes) and suffixes[-1] in _FORMATS


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith((".", "_")) for part in file.relative_to(root).parts)


def _readable(path: Path) -> None:
    with open(path, "rb") as file:
        file.read(1)
