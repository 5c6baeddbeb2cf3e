"""What consumers use: a published version, or the whole of a partitioned dataset, with its bytes checked first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds

from synth_pipeline.errors import StorageError, did_you_mean
from synth_pipeline.publishing.audit import check_files
from synth_pipeline.publishing.manifest import Manifest
from synth_pipeline.publishing.store import LocalStore, RemoteStore, Store, open_store
from synth_pipeline.publishing.versions import Line, lines, snapshot, snapshots
from synth_pipeline.records.reader import scan

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Release:
    """One version, or (of a partitioned dataset) one version of each partition, in the order of their keys."""

    name: str
    store: Store
    members: tuple[tuple[Line, Manifest], ...]
    snapshot: int | None = None

    @property
    def version(self) -> str:
        """A version such as "v0003", or a snapshot such as "s0007"."""
        return f"s{self.snapshot:04d}" if self.snapshot else self.members[0][1].version

    @property
    def path(self) -> Path | str:
        """The version's folder (of a whole partitioned dataset: the dataset's); a URI when the store is not local."""
        line, manifest = self.members[0]
        where = self.store.location(self.name if self.snapshot else line.folder(manifest.version))
        return Path(where) if isinstance(self.store, LocalStore) else where

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest; of a whole partitioned dataset: `{"snapshot": n, "partitions": {key: manifest}}`."""
        if not self.snapshot:
            return self.members[0][1].model_dump(mode="json")
        partitions = {line.partition or "": manifest.model_dump(mode="json") for line, manifest in self.members}
        return {"dataset": self.name, "snapshot": self.snapshot, "partitions": partitions}

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(table.name for _, manifest in self.members for table in manifest.tables))

    @property
    def rows(self) -> int:
        return sum(manifest.rows for _, manifest in self.members)

    def batches(self, table: str | None = None, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows of a table (the first, if not named) in bounded memory."""
        for data in self._datasets(table):
            yield from scan(data, columns)

    def to_arrow(self, table: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        pieces = []
        for data in self._datasets(table):
            schema = data.schema if columns is None else pa.schema([data.schema.field(name) for name in columns])
            pieces.append(pa.Table.from_batches(scan(data, columns), schema))
        # partitions may differ in what they found: a column that one of them lacks is null there
        return pa.concat_tables(pieces, promote_options="permissive") if len(pieces) > 1 else pieces[0]

    def to_pandas(self, table: str | None = None, columns: Sequence[str] | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self.to_arrow(table, columns).to_pandas()
        return frame

    def _datasets(self, table: str | None) -> Iterator[ds.Dataset]:
        name = table or self.tables[0]
        if name not in self.tables:
            raise StorageError(f'no table "{name}"; {did_you_mean(name, self.tables)}', where=self.name)
        for line, manifest in self.members:
            files = [f"{line.folder(manifest.version)}/{file.path}" for file in manifest.data_files(name)]
            if not files:
                continue
            if isinstance(self.store, RemoteStore):
                yield ds.dataset([self.store.full(f) for f in files], filesystem=self.store.fs, format="parquet")
            else:
                yield ds.dataset([self.store.location(file) for file in files], format="parquet")


def load(
    name: str,
    version: str = "latest",
    store: str | Path | None = None,
    partition: str | None = None,
    snapshot: int | None = None,
) -> Release:
    """A published dataset, after all its files were found to be what the manifest lists.

    Args:
        version: "latest", or a version such as "v0003" (of one partition, where the dataset is partitioned).
        store: a folder or fsspec URI; by default `$SYNTH_STORE`, else the project's `data/releases`.
        partition: one part of a partitioned dataset; without it, the whole at its latest snapshot.
        snapshot: an earlier whole.

    Raises:
        StorageError: no such release, it was retracted, or a file is missing or damaged.
    """
    found = find(open_store(store), name, version, partition, snapshot)
    for line, manifest in found.members:
        if problems := check_files(line.store, line.folder(manifest.version), manifest):
            raise StorageError(
                "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else ""),
                where=line.store.location(line.folder(manifest.version)),
                fix="restore the version from a copy, load an earlier one, or publish again",
            )
    return found


def find(
    store: Store, name: str, version: str = "latest", partition: str | None = None, number: int | None = None
) -> Release:
    """The release that the arguments name, its files unread.

    Raises:
        StorageError: no such release, or it was retracted.
    """
    known = lines(store, name)
    own = next((line for line in known if line.partition is None), None)
    if partition is not None:
        line = next((line for line in known if line.partition == partition), None)
        if line is None:
            keys = [str(line.partition) for line in known if line.partition]
            hint = did_you_mean(partition, keys) or "it is not partitioned"
            raise StorageError(f'{name} has no partition "{partition}"; {hint}', where=store.where)
        return Release(name, store, (_member(line, version),))
    if own is not None and number is None:
        return Release(name, store, (_member(own, version),))
    if version != "latest":
        raise StorageError(
            f"{name} is partitioned: a version belongs to one partition",
            where=store.where,
            fix="give `partition`, or a `snapshot` of the whole",
        )
    made = snapshots(store, name)
    if number is None and not made:
        raise StorageError(f"no snapshot of {name} was committed yet", where=store.where, fix="run a partition again")
    number = number or made[-1]
    members = [
        _member(Line(store, name, key), wanted)
        for key, wanted in sorted(snapshot(store, name, number)["partitions"].items())
    ]
    if not members:
        raise StorageError(f"every partition of {name} was retracted", where=store.where)
    return Release(name, store, tuple(members), number)


def _member(line: Line, version: str) -> tuple[Line, Manifest]:
    wanted = line.latest() if version == "latest" else version
    if wanted is None:
        retracted = line.committed()
        why = f"all versions were retracted: {', '.join(retracted)}" if retracted else "nothing was published yet"
        raise StorageError(f"{line.label}: {why}", where=line.store.where, fix="run it")
    manifest = line.manifest(wanted)
    if (stone := line.tombstone(wanted)) is not None:
        raise StorageError(
            f"{line.label} {wanted} was retracted: {stone.get('reason', '')}",
            where=line.store.location(line.folder(wanted)),
            fix=f"latest is {line.latest()}" if line.latest() else "no version is left",
        )
    return line, manifest
