"""Whether releases are still what was published: `verify` recomputes every hash and names every bad file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from synth_pipeline.errors import StorageError
from synth_pipeline.publishing.manifest import Manifest, unseal
from synth_pipeline.publishing.store import CLAIM, MANIFEST, Store
from synth_pipeline.publishing.versions import TOMBSTONE, Line, snapshot, snapshots, tombstone

_OURS = {MANIFEST, TOMBSTONE, CLAIM}


@dataclass
class Audit:
    """What verify found about one version."""

    release: str
    location: str
    problems: list[str] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    retracted: str | None = None
    manifest: Manifest | None = field(default=None, repr=False)

    @property
    def sound(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        return {**{k: v for k, v in self.__dict__.items() if k != "manifest"}, "sound": self.sound}


def verify(line: Line, version: str) -> Audit:
    """Recomputes all hashes of one version, and looks for what is missing or does not belong there."""
    audit = verify_folder(line.store, line.folder(version), f"{line.label}@{version}")
    if audit.manifest and audit.manifest.place != (line.dataset, line.partition, version):
        audit.problems.append(f"{MANIFEST}: belongs to another version")
    return audit


def verify_folder(store: Store, folder: str, label: str) -> Audit:
    """The same for a version's folder wherever it lies: a copy that somebody has received, say."""
    audit = Audit(label, store.location(folder))
    if (stone := tombstone(store, folder)) is not None:
        audit.retracted = str(stone.get("reason", ""))
    try:
        manifest = Manifest.from_bytes(store.read(f"{folder}/{MANIFEST}"))
    except FileNotFoundError:
        audit.problems.append(f"{MANIFEST}: missing, so nothing was published here")
        return audit
    except StorageError as error:
        audit.problems.append(f"{MANIFEST}: {error.what}")
        return audit
    audit.manifest = manifest
    audit.problems += check_files(store, folder, manifest)
    listed = {file.path for file in manifest.files}
    for path in store.files(folder):
        if path not in listed | _OURS:
            audit.problems.append(f"{path}: not listed in the manifest")
    audit.files, audit.bytes = len(manifest.files), sum(file.bytes for file in manifest.files)
    return audit


def verify_pointers(line: Line) -> list[str]:
    """What is wrong with `refs/latest.json` and the snapshots."""
    problems = []
    path = f"{line.base}/refs/latest.json"
    try:
        named = str(unseal(line.store.read(path))["version"])
        if named != line.newest():
            problems.append(f"refs/latest.json names {named}, the newest is {line.newest()}")
    except FileNotFoundError:
        if line.newest():
            problems.append("refs/latest.json: missing")
    except (StorageError, KeyError):
        problems.append("refs/latest.json: altered or damaged")
    if line.partition:
        for number in snapshots(line.store, line.dataset):
            try:
                snapshot(line.store, line.dataset, number)
            except StorageError as error:
                problems.append(f"snapshots/s{number:04d}.json: {error.what}")
    return problems


def check_files(store: Store, folder: str, manifest: Manifest) -> list[str]:
    """Each listed file that is missing, truncated or altered."""
    problems = []
    for file in manifest.files:
        try:
            with store.open(f"{folder}/{file.path}") as stream:
                digest, size = hashlib.sha256(), 0
                while chunk := stream.read(4 << 20):
                    digest.update(chunk)
                    size += len(chunk)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            problems.append(f"{file.path}: missing")
            continue
        except OSError as error:
            problems.append(f"{file.path}: cannot be read ({error.strerror or type(error).__name__})")
            continue
        if size != file.bytes:
            problems.append(f"{file.path}: holds {size} bytes, should hold {file.bytes}")
        elif digest.hexdigest() != file.sha256:
            problems.append(f"{file.path}: altered")
    return problems
