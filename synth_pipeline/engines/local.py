"""Shards on this machine: in this process when there is little to do, else in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any

from synth_pipeline.engines.base import Done, ShardTask, State
from synth_pipeline.errors import WorkerLost

SMALL = 300_000
"""Units below which starting processes costs more than it gains."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_IO_THREADS")


class LocalEngine:
    """Worker processes of one thread each; `workers` defaults to the usable cores."""

    def __init__(self, workers: int | None = None, small: int = SMALL) -> None:
        self.workers = workers or usable_cores()
        self._small = small

    def map_shards(
        self, fn: Callable[[State, ShardTask], Done], tasks: Sequence[ShardTask], setup: Callable[[], State]
    ) -> Iterator[Done]:
        """As `Engine.map_shards`.

        Raises:
            WorkerLost: a worker died (killed, out of memory, a crash in native code).
        """
        workers = min(self.workers, len(tasks))
        if multiprocessing.current_process().daemon:
            workers = 1  # a daemonic process may have no children
        if workers <= 1 or sum(task.units for task in tasks) < self._small:
            if tasks:
                state = setup()
                yield from (fn(state, task) for task in tasks)
            return
        yield from _in_processes(fn, tasks, setup, workers)


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_processes(
    fn: Callable[[State, ShardTask], Done], tasks: Sequence[ShardTask], setup: Callable[[], State], workers: int
) -> Iterator[Done]:
    # spawn: forking a process that runs threads (Arrow, BLAS) can deadlock.
    # The job travels as bytes so that numpy is first imported after the worker has set its thread limits.
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(pickle.dumps((fn, setup)),),
    )
    finished = 0
    try:
        futures: list[Future[Done]] = [pool.submit(_work, task) for task in tasks]
        for future in as_completed(futures):
            yield future.result()
            finished += 1
        pool.shutdown()
    except BrokenProcessPool:
        raise WorkerLost(
            "a worker process died",
            where=f"{finished} of {len(tasks)} shards done",
            kept="finished shards",
            fix="run again to go on; if it dies again, lower `engine.workers` (memory) or `generation.shard_rows`",
        ) from None
    finally:  # an error, Ctrl-C or a caller that stops asking: nothing may write any longer
        for process in list((getattr(pool, "_processes", None) or {}).values()):
            process.kill()
        pool.shutdown(cancel_futures=True)


_job: tuple[Callable[[Any, ShardTask], Any], Callable[[], Any]]
_state: list[Any] = []


def _start(job: bytes) -> None:
    """A worker's first act; errors of the job's own set-up are left to the first task, which can report them."""
    global _job  # noqa: PLW0603 - a worker process lives for one job
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    _job = pickle.loads(job)  # noqa: S301 - from the parent process
    import pyarrow as pa

    pa.set_cpu_count(1)


def _work(task: ShardTask) -> Any:
    fn, setup = _job
    if not _state:
        _state.append(setup())
    return fn(_state[0], task)


def _end_with_parent() -> None:
    """Without it, workers of a driver that was killed would wait, or write, for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
