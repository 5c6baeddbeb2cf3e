"""Another dataset's published release as a source, verified against its manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from synth_pipeline.errors import SourceError
from synth_pipeline.records.files import sha256
from synth_pipeline.records.sources import columnar
from synth_pipeline.records.sources.base import Chunk, Ragged, Reading, gather, near
from synth_pipeline.spec.source import DatasetSource


class Dataset:
    """The Parquet files that a release's manifest lists, and nothing else."""

    kind = "dataset"

    def __init__(self, config: DatasetSource, base: Path, partition: str | None, store: str) -> None:
        self._store = config.store or store
        self.uri = f"{self._store.rstrip('/')}/{config.name}"
        if "://" not in self.uri:
            self.uri = f"file://{Path(base, self.uri).resolve()}"
        self.warnings: list[str] = []
        self.ragged: list[Ragged] = []
        self._name, self._version = config.name, config.version
        self._parts: list[tuple[str, Path]] = []
        self._schema = pa.schema([])

    def token(self) -> Any:
        return {"version": self._versioned(), "manifest": self._manifest()["content_id"]}

    def fetch(self, scratch: Path) -> None:
        listed = [(file["path"], file["sha256"]) for file in self._manifest()["files"]]
        wanted = [(path, digest) for path, digest in listed if path.endswith(".parquet") and path.startswith("data/")]
        if not wanted:
            raise SourceError("the release lists no Parquet files", where=self.uri)
        folder = f"versions/{self._versioned()}"
        self._parts = []
        for number, (path, digest) in enumerate(sorted(wanted)):
            local = self._local(f"{folder}/{path}", scratch / f"{number:05d}.parquet")
            if sha256(local) != digest:
                raise SourceError(f"{path} is not what the manifest lists", where=self.uri, fix="synth verify")
            self._parts.append((path, local))
        own = columnar.schema(self._parts[0][1], self.uri)
        self._schema = pa.schema([(field.name, columnar.plain_type(field.type, field.name, self.uri)) for field in own])

    def content_id(self) -> str:
        return str(self._manifest()["content_id"])

    def facts(self) -> dict[str, Any]:
        return {
            "files": [path for path, _ in self._parts],
            "bytes": sum(path.stat().st_size for _, path in self._parts),
            "version": self._versioned(),
        }

    def schema(self) -> pa.Schema:
        return self._schema

    def reading(self, column: str) -> Reading:
        return Reading.TYPED

    def batches(self) -> Iterator[Chunk]:
        for name, path in self._parts:
            start = 0
            for batch in gather(columnar.read(path, self.uri, lambda batch: batch)):
                arrays = [columnar.plain(a, f.type) for a, f in zip(batch.columns, self._schema, strict=True)]
                yield Chunk(name, start, pa.record_batch(arrays, self._schema))
                start += batch.num_rows

    def _versioned(self) -> str:
        if self._version != "latest":
            return self._version
        return str(self._json("refs/latest.json", "it has published nothing yet")["version"])

    def _manifest(self) -> dict[str, Any]:
        version = self._versioned()
        return self._json(f"versions/{version}/manifest.json", f'it has no release "{version}"')

    def _json(self, path: str, absent: str) -> dict[str, Any]:
        try:
            with self._open(path) as file:
                return dict(json.loads(file.read()))
        except FileNotFoundError:
            raise SourceError(f'dataset "{self._name}": {absent}', where=self.uri, fix=self._suggest()) from None
        except ValueError:
            raise SourceError(f"{path} is damaged", where=self.uri, fix="synth verify") from None

    def _suggest(self) -> str:
        root = Path(self.uri.removeprefix("file://")).parent
        others = [p.name for p in root.iterdir()] if "://" not in str(root) and root.is_dir() else []
        return near(self._name, [name for name in others if name != self._name]) or f'run "{self._name}" first'

    def _open(self, path: str) -> Any:
        if self.uri.startswith("file://"):
            return open(Path(self.uri.removeprefix("file://"), path), "rb")
        import fsspec

        return fsspec.open(f"{self.uri}/{path}", "rb").open()

    def _local(self, path: str, copy: Path) -> Path:
        if self.uri.startswith("file://"):
            return Path(self.uri.removeprefix("file://"), path)
        import shutil

        with self._open(path) as incoming, open(copy, "wb") as out:
            shutil.copyfileobj(incoming, out, 1 << 20)
        return copy
