"""What the six stages share: the run they belong to, the result they return, and doing a noun's work at most once."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synth_pipeline.errors import StorageError
from synth_pipeline.progress import Report, tick
from synth_pipeline.records.home import Home, empty, lease
from synth_pipeline.seeds import Seeds
from synth_pipeline.spec.dataset import DatasetSpec

NOUNS = {
    "ingest": ("ingested", "records.json"),
    "protect": ("protected", "records.json"),
    "train": ("model", "model.json"),
    "generate": ("synthetic", "records.json"),
    "validate": ("scorecard", "scorecard.json"),
    "export": ("release", "manifest.json"),
}
"""Stage → its noun and the manifest whose existence commits it."""


def _quiet(_step: int, _values: Mapping[str, float]) -> None:
    return None


@dataclass(frozen=True)
class Run:
    """One dataset, one partition, one go: where things lie and how to report. Holds no data."""

    spec: DatasetSpec
    home: Home
    store: str
    """Where releases go: a folder or an fsspec URI."""
    base: Path = field(default_factory=Path.cwd)
    """What relative source paths are relative to."""
    partition: str | None = None
    force: bool = False
    report: Report = _quiet
    """Takes training curves."""
    run_id: str = ""
    """The orchestrator's, recorded in manifests."""

    @property
    def seeds(self) -> Seeds:
        return Seeds(self.spec.seed, (self.spec.name, self.partition or ""))

    def latest(self, stage: str) -> Result:
        """What the stage came to in this run, else last: how a stage in a process of its own finds its inputs.

        Raises:
            StorageError: that stage has not run yet.
        """
        note = self.home.pointed(self.spec.name, stage, self.partition, self.run_id)
        if note is None:
            noun = NOUNS[stage][0]
            raise StorageError(f"{self.spec.name} has no {noun} yet", fix=f'run the "{stage}" stage first')
        return Result(**{**note, "folder": Path(note["folder"]), "warnings": tuple(note["warnings"])})


@dataclass(frozen=True)
class Result:
    """What a stage came to: printable, serialisable, aggregates only."""

    stage: str
    plan_id: str
    content_id: str
    folder: Path
    rows: int = 0
    reused: bool = False
    seconds: float = 0.0
    metrics: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            **self.__dict__,
            "folder": str(self.folder),
            "metrics": dict(self.metrics),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Outcome:
    """What a stage's work hands back: the manifest's content id and what to show of it."""

    content_id: str
    rows: int = 0
    metrics: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def perform(
    run: Run,
    stage: str,
    plan: str,
    work: Callable[[Path], Outcome],
    read: Callable[[Path], Outcome],
    *,
    resumes: bool = False,
) -> Result:
    """Does `work` in the plan's folder under its lease, unless it is committed: then only reads it.

    What is recomputed by force is made beside what is there, and takes its place when it is done.

    Args:
        work: does the stage's work in the folder it is given; commits the manifest last.
        read: the outcome of a committed folder.
        resumes: whether `work` can go on from what an interrupted run left; else it starts from an empty folder.
    """
    begun = time.monotonic()
    folder = run.home.noun(run.spec.name, stage, plan)
    manifest = folder / NOUNS[stage][1]
    with lease(folder, tell=lambda note: tick(stage, 0, note=note)):
        _mend(folder)
        reused = manifest.exists() and not run.force
        try:
            if reused:
                outcome = read(folder)
            elif manifest.exists():
                outcome = _anew(folder, work)
            else:
                if run.force or not resumes or not folder.exists():
                    empty(folder)
                outcome = work(folder)
        except OSError as error:
            if reused:
                raise
            raise StorageError(
                f"{stage} could not write: {error.strerror or error}",
                where=str(folder),
                kept="everything committed before",
                fix="free some space or mend the permissions, then run again",
            ) from error
    result = Result(
        stage=stage,
        plan_id=plan,
        content_id=outcome.content_id,
        folder=folder,
        rows=outcome.rows,
        reused=reused,
        seconds=time.monotonic() - begun,
        metrics=outcome.metrics,
        warnings=outcome.warnings,
    )
    run.home.point(run.spec.name, stage, run.partition, result.to_json(), run.run_id)
    return result


def _anew(folder: Path, work: Callable[[Path], Outcome]) -> Outcome:
    """Does the work once more; until it is done, and if it fails, what was there stays as it is."""
    fresh = folder.with_name(folder.name + ".new")
    with lease(fresh):  # so that nobody clears it up meanwhile
        empty(fresh)
        try:
            outcome = work(fresh)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        folder.rename(_old(folder))
        fresh.rename(folder)
    _mend(folder)
    return outcome


def _mend(folder: Path) -> None:
    """Ends an exchange that a kill has interrupted: the old noun comes back, unless the new one has its place."""
    old = _old(folder)
    if old.exists() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _old(folder: Path) -> Path:
    return folder.with_name(folder.name + ".old")


def manifest(folder: Path, stage: str) -> dict[str, Any]:
    """A committed noun's manifest."""
    return dict(json.loads((folder / NOUNS[stage][1]).read_bytes()))
