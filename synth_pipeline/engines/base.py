"""What every engine does: run one function over shards that are pure data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

State = TypeVar("State")
Done = TypeVar("Done")


@dataclass(frozen=True)
class ShardTask:
    """One shard: its number, how many units it holds and how many come before it. Says all that its seeds hang on."""

    index: int
    units: int
    start: int


def shards(units: int, size: int) -> list[ShardTask]:
    """`units` cut into shards of `size`, the last one smaller: a matter of the spec, never of the engine."""
    return [ShardTask(i, min(size, units - start), start) for i, start in enumerate(range(0, units, size))]


class Engine(Protocol):
    """Runs shards somewhere. Results do not depend on where or in which order."""

    def map_shards(
        self, fn: Callable[[State, ShardTask], Done], tasks: Sequence[ShardTask], setup: Callable[[], State]
    ) -> Iterator[Done]:
        """`fn(state, task)` for every task, as they finish; `state = setup()` once per process.

        `fn` and `setup` must be picklable: module-level functions, or `functools.partial` of one over plain data.
        """
