"""What a terminal shows while stages work: one line each, with rows/s and time left; plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from synth_pipeline.progress import Tick

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PLAIN_EVERY = 10.0
_LAST = ("done", "reused")


class Lines(Protocol):
    """A listener for `progress.listening`, and the context in which it shows what it hears."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    def __call__(self, tick: Tick) -> None: ...


def lines() -> Lines:
    """Moving bars on a terminal, plain lines elsewhere; both on stderr."""
    return Bars() if sys.stderr.isatty() else Plain()


class Plain:
    """A line when a stage is done, and one every ten seconds meanwhile."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def __call__(self, tick: Tick) -> None:
        now = time.monotonic()
        begun = self._begun.setdefault(tick.stage, now)
        if tick.note in _LAST:
            self._line(tick, now - begun, tick.note)
        elif tick.note and tick.done == 0:
            self._line(tick, now - begun, tick.note)
            self._told[tick.stage] = now
        elif now - self._told.setdefault(tick.stage, begun) >= _PLAIN_EVERY:
            self._line(tick, now - begun, "")
            self._told[tick.stage] = now

    def _line(self, tick: Tick, seconds: float, note: str) -> None:
        parts = [f"{tick.stage:<9}"]
        if tick.done:
            of = f" of {tick.total:,}" if tick.total and tick.total != tick.done else ""
            parts.append(f"{tick.done:,}{of} {tick.unit}")
        if seconds >= 0.05:
            parts.append(f"{seconds:.1f} s")
        print("  ".join([*parts, note]).rstrip(), file=sys.stderr, flush=True)  # noqa: T201


class Bars:
    """One rich bar per stage."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._tasks: dict[str, TaskID] = {}
        self._progress: Progress = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[rows]:>16}"),
            TextColumn("{task.fields[rate]:>16}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}", markup=False),
            console=Console(stderr=True),
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for task in self._tasks.values():
            self._progress.stop_task(task)
        self._progress.stop()

    def __call__(self, tick: Tick) -> None:
        task = self._tasks.get(tick.stage)
        if task is None:
            task = self._tasks[tick.stage] = self._progress.add_task(tick.stage, total=None, rows="", rate="", note="")
        seconds = self._progress.tasks[self._progress.task_ids.index(task)].elapsed or 0.0
        rate = f"{tick.done / seconds:,.0f} {tick.unit}/s" if tick.done and seconds > 0.2 else ""
        last = tick.note in _LAST
        total = max(tick.total or tick.done, 1) if last else tick.total
        self._progress.update(
            task,
            completed=total if last else tick.done,
            total=total,
            rows=f"{tick.done:,} {tick.unit}" if tick.done else "",
            rate=rate,
            note=tick.note,
        )
