"""Numeric work spread over threads that each keep to one core: no barriers, so a busy machine does not stall it."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

Item = TypeVar("Item")
Out = TypeVar("Out")
_END: ContextVar[tuple[float, float] | None] = ContextVar("end", default=None)


class TimedOut(RuntimeError):
    """The work took longer than it may."""

    WORDS = "it took longer than"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"{self.WORDS} {seconds:g} s")


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Whatever is spread inside gives up when the time is over."""
    before = _END.set((time.monotonic() + seconds, seconds))
    try:
        yield
    finally:
        _END.reset(before)


def spread(work: Callable[[Item], Out], items: Iterable[Item]) -> list[Out]:
    """`work` of every item, in order.

    OpenMP's own threads wait for one another after every small loop, spinning; where cores are shared that costs up to
    twenty times the work itself. Here the libraries run single-threaded inside as many threads as there are cores.

    Raises:
        TimedOut: the time that `within` gives is over.
    """
    import torch

    todo = list(items)
    out: dict[int, Out] = {}
    wrong: list[BaseException] = []
    turn, end = iter(range(len(todo))), _END.get()
    lock = threading.Lock()

    def worker() -> None:
        _alone()
        _END.set(end)
        while not wrong:
            with lock:
                place = next(turn, None)
            if place is None:
                return
            try:
                if end and time.monotonic() > end[0]:
                    raise TimedOut(end[1])
                out[place] = work(todo[place])
            except BaseException as error:  # noqa: BLE001 - raised again below
                wrong.append(error)

    before = torch.get_num_threads()
    # daemons: one that hangs for good must not keep the process from ending
    threads = [threading.Thread(target=worker, daemon=True) for _ in range(min(cores(), len(todo)))]
    try:
        with warnings.catch_warnings():
            # scikit-learn speaks of its configuration, which nobody here has changed
            warnings.filterwarnings("ignore", message=".*sklearn.utils.parallel.delayed.*")
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        torch.set_num_threads(before)
    if wrong:
        raise wrong[0]
    return [out[place] for place in range(len(todo))]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _alone() -> Any:
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)  # OpenMP's number of threads is each thread's own
