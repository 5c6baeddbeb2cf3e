"""SYNTH_HOME: the private place. Work folders, pointers, keys, the ledger, Dagster's home; mode 0700, never synced."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synth_pipeline.errors import StorageBusy, StorageError
from synth_pipeline.records.files import replace, safe_component

RUN_DAYS = 7.0
"""How long a run's own pointers count: runs that take longer find what the dataset stands at."""


def project_root(start: Path | None = None) -> Path | None:
    """The nearest folder above `start` whose pyproject.toml declares a Dagster project with this component."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if file.is_file() and "[tool.dg" in (text := file.read_text("utf-8")) and "synth_pipeline" in text:
            return folder
    return None


@dataclass(frozen=True)
class Home:
    """Paths below SYNTH_HOME; every folder is made private when first asked for."""

    root: Path

    @classmethod
    def find(cls) -> Home:
        """`$SYNTH_HOME`, else the project's `data/store`, else `~/.synth`."""
        if named := os.environ.get("SYNTH_HOME"):
            return cls(Path(named).expanduser().resolve())
        project = project_root()
        return cls(project / "data" / "store" if project else Path.home() / ".synth")

    def folder(self, *names: str) -> Path:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.root.chmod(0o700)
            path = self.root.joinpath(*names)
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StorageError(f"cannot use the private folder: {error.strerror}", where=str(self.root)) from error
        return path

    @property
    def keys(self) -> Path:
        return self.folder("keys")

    @property
    def dagster(self) -> Path:
        return self.folder("dagster")

    @property
    def definitions(self) -> Path:
        return self.folder("defs")

    @property
    def ledger(self) -> Path:
        return self.folder() / "ledger.sqlite"

    def noun(self, dataset: str, stage: str, plan_id: str) -> Path:
        """Where a noun is worked on and, once its manifest exists, read."""
        return self.folder("work", safe_component(dataset), stage) / plan_id[:24]

    def point(self, dataset: str, stage: str, partition: str | None, note: Mapping[str, Any], run_id: str = "") -> None:
        """Records which plan a dataset's stage stands at; stages of later processes start from it.

        With a `run_id` that run's own pointer is written too: what other runs do meanwhile does not move it.
        """
        shared = self._pointer(dataset, stage, partition)
        data = json.dumps(dict(note), sort_keys=True).encode()
        if run_id:
            replace(self._pointer(dataset, stage, partition, run_id), data)
            for pointer in set(shared.parent.glob("run-*.json")) - set(pointers(shared.parent)):
                pointer.unlink(missing_ok=True)
        replace(shared, data)

    def pointed(self, dataset: str, stage: str, partition: str | None, run_id: str = "") -> dict[str, Any] | None:
        """The run's own pointer, if it has one, else the dataset's."""
        for own in (run_id, "") if run_id else ("",):
            with suppress(FileNotFoundError):
                return dict(json.loads(self._pointer(dataset, stage, partition, own).read_bytes()))
        return None

    def _pointer(self, dataset: str, stage: str, partition: str | None, run_id: str = "") -> Path:
        name = safe_component(f"run-{run_id}" if run_id else "current")
        suffix = f"@{safe_component(partition)}" if partition else ""
        return self.folder("work", safe_component(dataset), stage) / f"{name}{suffix}.json"


def pointers(stage: Path, days: float = RUN_DAYS) -> list[Path]:
    """The pointers that count in a stage's folder: the dataset's own, and those of runs of the last `days`."""
    oldest = time.time() - days * 86_400
    recent = []
    for pointer in stage.glob("run-*.json"):
        with suppress(FileNotFoundError):  # another run clears up, too
            if pointer.stat().st_mtime >= oldest:
                recent.append(pointer)
    return [*stage.glob("current*.json"), *recent]


@contextmanager
def lease(folder: Path, *, wait: float = 3600.0, tell: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Holds `folder` for this process: `flock`, so that the kernel frees it however the process ends.

    The lock file says who holds it, for people.

    Raises:
        StorageBusy: another live process still holds it after `wait` seconds.
    """
    import fcntl

    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = folder.with_name(folder.name + ".lock")
    file = open(lock, "a+")  # noqa: SIM115 - closed below, where it may be another one by then
    try:
        deadline = time.monotonic() + wait
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_still(lock, file.fileno()):
                    break
                file.close()  # `forget` has removed it meanwhile: whoever comes next would lock another file
                file = open(lock, "a+")  # noqa: SIM115
            except BlockingIOError:
                file.seek(0)
                holder = file.read() or "another process"
                if time.monotonic() >= deadline:
                    raise StorageBusy(f"{holder} is working on this", where=str(folder), fix="wait for it") from None
                if not told:
                    tell(f"waiting for {holder}")
                    told = True
                time.sleep(0.2)
        file.seek(0)
        file.truncate()
        file.write(f"{socket.gethostname()} pid {os.getpid()} since {time.strftime('%FT%TZ', time.gmtime())}")
        file.flush()
        yield
    finally:
        file.close()


def _is_still(path: Path, handle: int) -> bool:
    """Whether `path` names the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def empty(folder: Path) -> None:
    """An empty private folder in place of whatever an interrupted run has left."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
