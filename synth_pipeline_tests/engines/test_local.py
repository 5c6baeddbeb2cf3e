"""The local engine: same results anywhere, clear errors, and no worker that outlives its driver."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from synth_pipeline.engines.base import ShardTask, shards
from synth_pipeline.engines.local import LocalEngine
from synth_pipeline.errors import SpecError, WorkerLost

TASKS = shards(10, 3)


def test_shards_cover_all_units() -> None:
    assert [(t.index, t.start, t.units) for t in TASKS] == [(0, 0, 3), (1, 3, 3), (2, 6, 3), (3, 9, 1)]
    assert shards(0, 3) == []


def square(offset: int, task: ShardTask) -> tuple[int, int, int]:
    return task.index, task.start**2 + offset, os.getpid()


def seven() -> int:
    return 7


def test_results_do_not_depend_on_workers() -> None:
    alone = sorted(done[:2] for done in LocalEngine(1).map_shards(square, TASKS, seven))
    together = list(LocalEngine(2, small=0).map_shards(square, TASKS, seven))
    assert sorted(done[:2] for done in together) == alone
    assert os.getpid() not in {pid for *_, pid in together}


def test_small_jobs_stay_in_this_process() -> None:
    assert {pid for *_, pid in LocalEngine(2).map_shards(square, TASKS, seven)} == {os.getpid()}


def test_no_tasks_need_no_setup() -> None:
    assert list(LocalEngine(2).map_shards(square, [], partial(pytest.fail, "set up for nothing"))) == []


def limits(_state: int, _task: ShardTask) -> tuple[str | None, int]:
    import pyarrow as pa

    return os.environ.get("OMP_NUM_THREADS"), pa.cpu_count()


def test_workers_have_one_thread_each() -> None:
    assert set(LocalEngine(2, small=0).map_shards(limits, TASKS[:2], seven)) == {("1", 1)}


def die(_state: int, task: ShardTask) -> int:
    if task.index == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return task.index


def test_a_dead_worker_is_a_transient_error() -> None:
    with pytest.raises(WorkerLost, match="died") as caught:
        list(LocalEngine(2, small=0).map_shards(die, TASKS, seven))
    assert not caught.value.terminal
    assert "run again" in str(caught.value)


def complain(_state: int, _task: ShardTask) -> None:
    raise SpecError("no such column", where="shard", fix="look")


def test_errors_of_the_work_come_back_whole() -> None:
    with pytest.raises(SpecError) as caught:
        list(LocalEngine(2, small=0).map_shards(complain, TASKS, seven))
    assert (caught.value.where, caught.value.fix) == ("shard", "look")


def note_and_sleep(folder: Path, task: ShardTask) -> int:
    (folder / str(os.getpid())).touch()
    if task.index:
        time.sleep(60)
    return task.index


def test_a_caller_that_stops_asking_leaves_no_worker(tmp_path: Path) -> None:
    results = LocalEngine(2, small=0).map_shards(note_and_sleep, TASKS, partial(Path, tmp_path))
    assert next(results) == 0
    results.close()
    wait_until_gone(tmp_path)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_driver(tmp_path: Path, sign: signal.Signals) -> None:
    code = (
        "from functools import partial; from pathlib import Path\n"
        "from synth_pipeline_tests.engines.test_local import *\n"
        f"list(LocalEngine(2, small=0).map_shards(note_and_sleep, TASKS, partial(Path, {str(tmp_path)!r})))"
    )
    root = Path(__file__).parents[2]
    driver = subprocess.Popen([sys.executable, "-c", code], cwd=root, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    driver.send_signal(sign)
    _, errors = driver.communicate(timeout=20)
    assert driver.returncode != 0
    assert "SpawnProcess" not in errors  # no traceback of a worker
    wait_until_gone(tmp_path)


def wait_until_gone(folder: Path) -> None:
    pids = [int(file.name) for file in folder.iterdir()]
    assert pids
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived its driver"
        time.sleep(0.05)
