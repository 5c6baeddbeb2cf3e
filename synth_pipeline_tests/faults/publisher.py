"""A publisher that dies on purpose: `python -m … crash|progress|race|race-partitions STORE FOLDER…`, for test_publish.

Forked children publish; the parent only waits, so that one start of the interpreter serves all of them.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synth_pipeline.publishing.release import Contents, publish
from synth_pipeline.publishing.store import open_store
from synth_pipeline.records.records import Records
from synth_pipeline.spec.publication import Export
from synth_pipeline_tests.publishing.made import documents, draft

STEPS = ("link", "replace", "fsync", "unlink", "mkdir")
"""Calls after which the state on disk may differ."""


def watched(before: Callable[[int], None]) -> None:
    """Calls `before(n)` ahead of the n-th step of this process."""
    count = 0

    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any, **more: Any) -> Any:
            nonlocal count
            before(count)
            count += 1
            return call(*arguments, **more)

        return stepped

    for name in STEPS:
        setattr(os, name, wrap(getattr(os, name)))


def one(store: str, folder: str, name: str = "visits", partition: str | None = None) -> None:
    contents = Contents.of(Records.open(Path(folder)), {})
    publish(open_store(store), draft(contents, name, partition), contents, Export(), documents)


def forked(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            os._exit(9)
    return child


def crash(store: str, folder: str, step: int) -> int:
    """The wait status of a child that publishes into `store` and kills itself ahead of one step."""

    def work() -> None:
        watched(lambda n: os.kill(os.getpid(), signal.SIGKILL) if n == step else None)
        one(store, folder)

    return os.waitpid(forked(work), 0)[1]


def crashes(stores: str, folder: str) -> None:
    """One store per step, each a copy made by the caller, until a child comes through alive; prints how many died."""
    step = 0
    while os.path.isdir(f"{stores}/{step}"):
        status = crash(f"{stores}/{step}", folder, step)
        if os.WIFEXITED(status):
            break
        step += 1
    print(step, os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1)


def progress(store: str, folder: str) -> None:
    """Killed just before, then just after, the first name that each go creates or replaces, until one gets through."""

    def deadly(call: Callable[..., Any], after: bool) -> Callable[..., Any]:
        def dying(*arguments: Any, **more: Any) -> None:
            if after:
                call(*arguments, **more)
            os.kill(os.getpid(), signal.SIGKILL)

        return dying

    for go in range(50):

        def work(after: bool = bool(go % 2)) -> None:
            os.link, os.replace = deadly(os.link, after), deadly(os.replace, after)
            one(store, folder)

        if os.WIFEXITED(status := os.waitpid(forked(work), 0)[1]):
            break
    print(go, os.WEXITSTATUS(status))


def race(store: str, folders: list[str], partitioned: bool) -> None:
    """All at once: one child per folder."""
    children = [
        forked(lambda f=folder, i=i: one(store, f, partition=f"p{i}" if partitioned else None))  # type: ignore[misc]
        for i, folder in enumerate(folders)
    ]
    print(*(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))


if __name__ == "__main__":
    verb, where, *rest = sys.argv[1:]
    if verb == "crash":
        crashes(where, rest[0])
    elif verb == "progress":
        progress(where, rest[0])
    else:
        race(where, rest, partitioned=verb == "race-partitions")
