"""How long work tells its watchers how far it is: one process-wide listener, and the training report callback."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

Report = Callable[[int, Mapping[str, float]], None]
"""`report(step, values)`: a training curve's next point."""


@dataclass(frozen=True)
class Tick:
    """One stage is `done` of `total` (None: unknown) units far."""

    stage: str
    done: int
    total: int | None = None
    unit: str = "rows"
    note: str = ""


Listener = Callable[[Tick], None]
_listeners: list[Listener] = []


def tick(stage: str, done: int, total: int | None = None, unit: str = "rows", note: str = "") -> None:
    """Tells whoever listens; free when nobody does."""
    for listener in _listeners:
        listener(Tick(stage, done, total, unit, note))


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hears every tick of this process, from any thread: Dagster runs steps outside the caller's context."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
