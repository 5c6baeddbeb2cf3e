"""What goes: everything that derives from a forgotten source, and what interrupted or outdated work has left."""

from __future__ import annotations

import json
import math
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synth_pipeline.errors import SpecError, StorageBusy, did_you_mean
from synth_pipeline.publishing.nouns import MANIFESTS, nouns
from synth_pipeline.publishing.store import CLAIM, LocalStore, Store
from synth_pipeline.publishing.versions import Line, datasets, lines
from synth_pipeline.records.home import Home, lease, pointers
from synth_pipeline.records.ledger import Ledger, Release

_SCRATCH = re.compile(r"\..+\.[0-9a-f]{32}$")
"""What `records.files` writes to before a file gets its name."""


@dataclass
class Forgotten:
    """What `forget` found, and (when it was told to go on) did."""

    root: str
    uri: str
    folders: list[Path] = field(default_factory=list)
    definitions: list[Path] = field(default_factory=list)
    traces: list[Path] = field(default_factory=list)
    """Of unexpected errors, whosever they are: only these files may quote a row."""
    releases: list[Release] = field(default_factory=list)
    retracted: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "root": self.root,
            "source": self.uri,
            "folders": [str(folder) for folder in self.folders],
            "definitions": [str(folder) for folder in self.definitions],
            "traces": len(self.traces),
            "releases": [f"{r.dataset}{f'[{r.partition}]' if r.partition else ''}@{r.version}" for r in self.releases],
            "retracted": self.retracted,
        }


def find_source(home: Home, text: str) -> Forgotten:
    """What derives from the source that `text` names: its URI, path, root id, or a dataset made from it.

    Raises:
        SpecError: no source, or more than one, goes by that name.
    """
    ledger = Ledger(home.ledger)
    path = Path(text).expanduser()
    names = dict.fromkeys((text, str(path.absolute()), path.absolute().as_uri(), f"file://{path.absolute()}"))
    found = {root: uri for name in names for root, uri in ledger.find_roots(name)}
    work = home.root / "work"
    known = sorted(folder.name for folder in work.iterdir() if folder.is_dir()) if work.is_dir() else []
    if not found and text in known:
        roots = {_root(note) for stage in MANIFESTS for _, note in nouns(home, text, stage)} - {""}
        found = {root: uri for root in roots for _, uri in ledger.find_roots(root)} or {"": text}
    if not found:
        raise SpecError(f'no source is known as "{text}"; {did_you_mean(text, known)}', where=str(home.root))
    if len(found) > 1:
        listed = ", ".join(f"{uri} ({root})" for root, uri in sorted(found.items()))
        raise SpecError(f"{len(found)} sources go by that name: {listed}", fix="give one of the ids")
    root, uri = found.popitem()
    gone = Forgotten(root, uri, releases=ledger.releases(root))
    # only what lies in this home: a copied one still names the folders of the home that it was copied from
    derived = {folder: dataset for dataset, _, folder in ledger.derived(root) if folder.is_relative_to(work)}
    for dataset in known:  # whoever did not tell the ledger is found by its own manifest
        for stage in MANIFESTS:
            derived |= {folder: dataset for folder, note in nouns(home, dataset, stage) if root and _root(note) == root}
    concerned = {*derived.values(), *([text] if text in known else [])}
    interrupted = {folder for dataset in concerned for folder in _uncommitted(work / dataset)}
    gone.folders = sorted(folder for folder in {*derived, *interrupted} if folder.exists())
    own = [home.root / "defs" / dataset for dataset in sorted(concerned)]
    gone.definitions = [folder for folder in own if folder.is_dir()]
    gone.traces = sorted((home.root / "logs").glob("*.txt"))
    return gone


def forget(home: Home, gone: Forgotten, store: Store | None = None) -> None:
    """Wipes what `find_source` found; with a `store`, its releases get tombstones too.

    Raises:
        StorageBusy: one of the folders is being worked on; nothing was wiped.
    """
    for folder in gone.folders:
        with lease(folder, wait=0):
            pass
    for folder in gone.folders:
        with lease(folder, wait=0):
            shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(folder.name + ".lock").unlink(missing_ok=True)
        for pointer in pointers(folder.parent, math.inf):
            if _named(pointer) == folder:
                pointer.unlink(missing_ok=True)
    for dataset in {folder.parent.parent for folder in gone.folders}:
        if not any(True for stage in MANIFESTS for _ in nouns(home, dataset.name, stage)):
            shutil.rmtree(dataset, ignore_errors=True)  # contracts, tokens, interrupted work
    for folder in gone.definitions:
        shutil.rmtree(folder, ignore_errors=True)
    for trace in gone.traces:
        trace.unlink(missing_ok=True)
    if store is not None:
        for release in gone.releases:
            line = Line(store, release.dataset, release.partition or None)
            if line.is_committed(release.version):
                line.retract(release.version, "its source was forgotten")
                gone.retracted.append(f"{line.label}@{release.version}")
    Ledger(home.ledger).forget(gone.root)


@dataclass(frozen=True)
class Waste:
    """Something that nobody will miss."""

    path: str
    bytes: int
    why: str

    def to_json(self) -> dict[str, Any]:
        return dict(self.__dict__)


def collect(home: Home, store: Store, days: float, *, dry_run: bool = False) -> list[Waste]:
    """Removes (or only lists) uncommitted versions without a publisher, scratch files, old work without a pointer."""
    found = []
    for waste, remove in (*_store_waste(store, days), *_work_waste(home, days)):
        if not dry_run:
            try:
                remove()
            except StorageBusy:
                continue
        found.append(waste)
    return found


def _store_waste(store: Store, days: float) -> Iterator[tuple[Waste, Any]]:
    for name in datasets(store):
        for line in lines(store, name):
            for version in line.numbered():
                folder = line.folder(version)
                if line.is_committed(version):
                    if store.exists(f"{folder}/{CLAIM}") and store.abandoned(folder, days * 86_400):
                        claim = f"{folder}/{CLAIM}"
                        yield Waste(store.location(claim), 0, "claim of a finished publisher"), _deleting(store, claim)
                elif store.abandoned(folder, days * 86_400):
                    size = sum(store.files(folder).values())
                    yield Waste(store.location(folder), size, "never committed"), _sweeping(store, folder)
    if isinstance(store, LocalStore) and store.root.is_dir():
        for path in store.root.rglob(".*"):
            if _SCRATCH.match(path.name) and path.is_file() and _age(path) > max(days, 1 / 24):
                yield Waste(str(path), path.stat().st_size, "scratch file"), path.unlink


def _work_waste(home: Home, days: float) -> Iterator[tuple[Waste, Any]]:
    work = home.root / "work"
    for stage in sorted(path for path in work.glob("*/*") if path.is_dir()):
        kept = {_named(pointer) for pointer in pointers(stage, max(days, 1.0))}  # what goes on now
        for folder in sorted(entry for entry in stage.iterdir() if entry.is_dir()):
            if folder in kept or _age(folder) <= days:
                continue
            done = (folder / MANIFESTS.get(stage.name, "manifest.json")).is_file()
            why = "no longer pointed at" if done else "interrupted work"
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            yield Waste(str(folder), size, why), _wiping(folder)


def _deleting(store: Store, path: str) -> Any:
    return lambda: store.delete(path)


def _sweeping(store: Store, folder: str) -> Any:
    return lambda: store.sweep(folder)


def _wiping(folder: Path) -> Any:
    def wipe() -> None:
        with lease(folder, wait=0):
            shutil.rmtree(folder, ignore_errors=True)

    return wipe


def _named(pointer: Path) -> Path | None:
    try:
        return Path(json.loads(pointer.read_bytes())["folder"])
    except FileNotFoundError:
        return None


def _uncommitted(dataset: Path) -> Iterator[Path]:
    """Work that was interrupted, of whatever source."""
    for stage, name in MANIFESTS.items():
        for folder in (dataset / stage).glob("*"):
            if folder.is_dir() and not (folder / name).is_file():
                yield folder


def _root(note: dict[str, Any]) -> str:
    return str((note.get("facts") or {}).get("root") or note.get("root") or "")


def _age(path: Path) -> float:
    """Days since anything in it changed."""
    times = (
        [path.stat().st_mtime, *(file.stat().st_mtime for file in path.rglob("*"))]
        if path.is_dir()
        else [path.stat().st_mtime]
    )
    return (time.time() - max(times)) / 86_400
