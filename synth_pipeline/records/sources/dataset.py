"""Another dataset's published release as a source: what its manifest lists, verified, and nothing else."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from synth_pipeline.errors import SourceError, SpecError
from synth_pipeline.records.files import safe_component, sha256
from synth_pipeline.records.sources import columnar
from synth_pipeline.records.sources.base import Chunk, Ragged, Reading, gather, near
from synth_pipeline.spec.source import DatasetSource


class Dataset:
    """A release: one version, or, of a partitioned dataset, its part or the latest snapshot of all parts."""

    kind = "dataset"

    def __init__(self, config: DatasetSource, base: Path, partition: str | None, store: str) -> None:
        where = config.store or store
        if "://" not in where:
            where = f"file://{Path(base, where).resolve()}"
        self._name, self._version, self._partition = safe_component(config.name), config.version, partition
        self.uri = f"{where.rstrip('/')}/{self._name}"
        import fsspec

        self._fs, self._root = fsspec.core.url_to_fs(self.uri)
        self.warnings: list[str] = []
        self.ragged: list[Ragged] = []
        self._parts: list[tuple[str, Path]] = []
        self._schema = pa.schema([])

    def token(self) -> Any:
        return [[folder, manifest["content_id"]] for folder, manifest in self._members]

    def fetch(self, scratch: Path) -> None:
        self._parts = []
        for folder, manifest in self._members:
            listed = [file for file in manifest["files"] if file["path"].endswith(".parquet")]
            for file in sorted(listed, key=lambda one: one["path"]):
                path = f"{folder}/{file['path']}"
                local = self._local(path, scratch / f"{len(self._parts):05d}.parquet")
                if sha256(local) != file["sha256"]:
                    raise SourceError(f"{path} is not what the manifest lists", where=self.uri, fix="synth verify")
                self._parts.append((path, local))
        if not self._parts:
            raise SourceError("the release lists no Parquet files", where=self.uri)
        own = [columnar.schema(local, self.uri) for _, local in self._parts]
        plain = [[(f.name, columnar.plain_type(f.type, f.name, self.uri)) for f in schema] for schema in own]
        if any(one != plain[0] for one in plain):
            raise SourceError("the parts of this release have different columns", where=self.uri)
        self._schema = pa.schema(plain[0])

    def content_id(self) -> str:
        ids = [str(manifest["content_id"]) for _, manifest in self._members]
        return ids[0] if len(ids) == 1 else hashlib.sha256("\n".join(ids).encode()).hexdigest()

    def facts(self) -> dict[str, Any]:
        return {
            "files": [path for path, _ in self._parts],
            "bytes": sum(local.stat().st_size for _, local in self._parts),
            "versions": [folder for folder, _ in self._members],
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

    @cached_property
    def _members(self) -> list[tuple[str, dict[str, Any]]]:
        """Folders of the versions that make up the release, with their manifests."""
        found = []
        for folder in self._folders():
            if self._fs.exists(f"{self._root}/{folder}/retracted.json"):
                raise SourceError(f"{self._name}: {folder} was retracted", where=self.uri, fix="use another version")
            found.append((folder, self._json(f"{folder}/manifest.json", f"it has no release {folder}")))
        return found

    def _folders(self) -> list[str]:
        line = ""
        if self._partition and self._fs.exists(f"{self._root}/partitions/{safe_component(self._partition)}"):
            line = f"partitions/{self._partition}/"
        elif not self._fs.exists(f"{self._root}/versions") and (snapshots := self._names("snapshots")):
            if self._version != "latest":
                raise SpecError(f'"{self._name}" is partitioned: only its latest snapshot or one part can be read')
            parts = self._json(f"snapshots/{snapshots[-1]}", "it has no snapshot")["partitions"]
            return [f"partitions/{key}/versions/{version}" for key, version in sorted(parts.items())]
        if self._version != "latest":
            return [f"{line}versions/{safe_component(self._version)}"]
        latest = self._json(f"{line}refs/latest.json", "it has published nothing yet")
        return [f"{line}versions/{latest['version']}"]

    def _names(self, folder: str) -> list[str]:
        path = f"{self._root}/{folder}"
        return sorted(p.rsplit("/", 1)[-1] for p in self._fs.ls(path, detail=False)) if self._fs.exists(path) else []

    def _json(self, path: str, absent: str) -> dict[str, Any]:
        try:
            return dict(json.loads(self._fs.cat_file(f"{self._root}/{path}")))
        except FileNotFoundError:
            raise SourceError(f'dataset "{self._name}": {absent}', where=self.uri, fix=self._suggest()) from None
        except ValueError:
            raise SourceError(f"{path} is damaged", where=self.uri, fix="synth verify") from None

    def _suggest(self) -> str:
        store = self._root.rpartition("/")[0]
        paths = self._fs.ls(store, detail=False) if self._fs.exists(store) else []
        others = [name for path in paths if (name := path.rsplit("/", 1)[-1]) != self._name]
        return near(self._name, others) or f"run `synth run {self._name}` first"

    def _local(self, path: str, copy: Path) -> Path:
        whole = f"{self._root}/{path}"
        if self.uri.startswith("file://"):
            return Path(whole)
        with self._fs.open(whole, "rb") as incoming, open(copy, "wb") as out:
            shutil.copyfileobj(incoming, out, 1 << 20)
        return copy
