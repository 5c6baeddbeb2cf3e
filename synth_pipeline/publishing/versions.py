"""Names of what was published: version lines, tombstones, the latest pointer, and snapshots of partitioned datasets."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from synth_pipeline.errors import StorageError, did_you_mean
from synth_pipeline.publishing.manifest import Manifest, seal, unseal
from synth_pipeline.publishing.store import MANIFEST, Store
from synth_pipeline.records.files import safe_component

TOMBSTONE = "retracted.json"
_VERSION = re.compile(r"v(\d{4,})$")
_SNAPSHOT = re.compile(r"s(\d{4,})\.json$")


@dataclass(frozen=True)
class Line:
    """The versions of one dataset, or of one partition of it."""

    store: Store
    dataset: str
    partition: str | None = None

    @property
    def base(self) -> str:
        name = safe_component(self.dataset)
        return f"{name}/partitions/{safe_component(self.partition)}" if self.partition else name

    @property
    def label(self) -> str:
        return f"{self.dataset}[{self.partition}]" if self.partition else self.dataset

    def folder(self, version: str) -> str:
        return f"{self.base}/versions/{safe_component(version)}"

    def numbered(self) -> list[str]:
        """Every version folder, committed or not, ascending."""
        found = [name for name in self.store.names(f"{self.base}/versions") if _VERSION.match(name)]
        return sorted(found, key=lambda name: int(name[1:]))

    def committed(self) -> list[str]:
        return [version for version in self.numbered() if self.is_committed(version)]

    def is_committed(self, version: str) -> bool:
        return self.store.exists(f"{self.folder(version)}/{MANIFEST}")

    def manifest(self, version: str) -> Manifest:
        """The manifest of a committed version.

        Raises:
            StorageError: there is no such version, or its manifest is damaged or stands in another version's place.
        """
        path = f"{self.folder(version)}/{MANIFEST}"
        try:
            data = self.store.read(path)
        except (FileNotFoundError, NotADirectoryError):
            known = self.committed()
            hint = did_you_mean(version, known) or "nothing was published yet"
            raise StorageError(f'{self.label} has no version "{version}"; {hint}', where=self.store.where) from None
        found = Manifest.from_bytes(data, self.store.location(path))
        if found.place != (self.dataset, self.partition, version):
            raise StorageError("this manifest belongs to another version", where=self.store.location(path))
        return found

    def tombstone(self, version: str) -> dict[str, Any] | None:
        """Why a version was retracted; None if it was not."""
        return tombstone(self.store, self.folder(version))

    def newest(self) -> str | None:
        """The highest version that is committed and not retracted."""
        for version in reversed(self.numbered()):
            if self.is_committed(version) and self.tombstone(version) is None:
                return version
        return None

    def latest(self) -> str | None:
        """What `refs/latest.json` names, unless that is gone or retracted: then the newest.

        Raises:
            StorageError: the pointer is damaged.
        """
        path = f"{self.base}/refs/latest.json"
        try:
            note = unseal(self.store.read(path), self.store.location(path))
        except FileNotFoundError:
            return self.newest()
        version = str(note["version"])
        return version if self.is_committed(version) and self.tombstone(version) is None else self.newest()

    def point(self) -> str | None:
        """Moves `refs/latest.json` to the newest version and returns that.

        Locally under a lock. Elsewhere every writer looks again after it has written, so that the last one to look
        sees, and names, the newest.
        """
        path = f"{self.base}/refs/latest.json"
        with self.store.lock(f"{self.base}/refs/.lock"):
            while True:
                version = self.newest()
                if version is None:
                    self.store.delete(path)
                else:
                    data = seal({"dataset": self.dataset, "partition": self.partition, "version": version})
                    if not self.store.exists(path) or self.store.read(path) != data:
                        self.store.replace(path, data)
                if self.newest() == version:
                    return version

    @contextmanager
    def claimed(self) -> Iterator[str]:
        """A new version's number, ours alone until the context ends: each publisher gets one of its own."""
        number = max((int(version[1:]) for version in self.committed()), default=0)
        while True:
            number += 1
            version = f"v{number:04d}"
            with self.store.claim(self.folder(version)) as ours:
                if ours:
                    yield version
                    return

    def retract(self, version: str, reason: str) -> bool:
        """Sets a tombstone and moves `latest` (and, of a partition, the snapshot) back; False if it had one."""
        if not self.is_committed(version):  # a damaged one can be retracted, too
            self.manifest(version)
        note = {"version": version, "reason": reason, "at": time.strftime("%FT%TZ", time.gmtime())}
        try:
            self.store.create(f"{self.folder(version)}/{TOMBSTONE}", seal(note))
            fresh = True
        except FileExistsError:
            fresh = False
        self.point()
        if self.partition:
            snap(self)
        return fresh


def tombstone(store: Store, folder: str) -> dict[str, Any] | None:
    """What a version's folder says of its retraction; None if nothing."""
    try:
        data = store.read(f"{folder}/{TOMBSTONE}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return unseal(data)
    except StorageError:
        return {"reason": "(the tombstone is damaged)"}  # a damaged one still counts


def datasets(store: Store) -> list[str]:
    """Names of the datasets in a store."""
    return [name for name in store.names("") if not name.startswith(".") and _is_dataset(store, name)]


def partitions(store: Store, dataset: str) -> list[str]:
    return store.names(f"{safe_component(dataset)}/partitions")


def lines(store: Store, dataset: str) -> list[Line]:
    """The dataset's own line, or one for each partition.

    Raises:
        StorageError: nothing was published under that name.
    """
    keys = partitions(store, dataset)
    own = Line(store, dataset)
    found = ([own] if own.numbered() else []) + [Line(store, dataset, key) for key in keys]
    if not found:
        hint = did_you_mean(dataset, datasets(store)) or "the store is empty"
        raise StorageError(f'no release of "{dataset}" here; {hint}', where=store.where, fix="see `synth list`")
    return found


def snapshots(store: Store, dataset: str) -> list[int]:
    found = map(_SNAPSHOT.match, store.names(f"{safe_component(dataset)}/snapshots"))
    return sorted(int(match[1]) for match in found if match)


def snapshot(store: Store, dataset: str, number: int) -> dict[str, Any]:
    """Which version of each partition made up the whole.

    Raises:
        StorageError: there is no such snapshot, or it is damaged.
    """
    path = f"{safe_component(dataset)}/snapshots/s{number:04d}.json"
    try:
        return unseal(store.read(path), store.location(path))
    except FileNotFoundError:
        known = snapshots(store, dataset)
        fix = f"known: 1 to {known[-1]}" if known else "this dataset has no snapshots"
        raise StorageError(f"{dataset} has no snapshot {number}", where=store.where, fix=fix) from None


def snap(line: Line) -> int:
    """The number of a snapshot in which `line` stands at its newest version; made if the latest one does not say so.

    Compare-and-set: snapshot n + 1 is created only if nobody else has, else looked at again.
    """
    while True:
        known = snapshots(line.store, line.dataset)
        last = known[-1] if known else 0
        newest = line.newest()
        try:
            before: dict[str, str] = dict(snapshot(line.store, line.dataset, last)["partitions"]) if last else {}
        except StorageError:  # damaged: told anew from the partitions themselves
            others = [Line(line.store, line.dataset, key) for key in partitions(line.store, line.dataset)]
            before = {str(o.partition): v for o in others if o.partition != line.partition and (v := o.newest())}
        if before.get(line.partition or "") == newest:
            return last
        after = {key: version for key, version in before.items() if key != line.partition}
        if newest is not None:
            after[line.partition or ""] = newest
        note = {
            "dataset": line.dataset,
            "snapshot": last + 1,
            "partitions": after,
            "at": time.strftime("%FT%TZ", time.gmtime()),
        }
        try:
            line.store.create(f"{line.dataset}/snapshots/s{last + 1:04d}.json", seal(note))
            return last + 1
        except FileExistsError:
            continue


def _is_dataset(store: Store, name: str) -> bool:
    return bool(store.names(f"{name}/versions") or store.names(f"{name}/partitions"))
