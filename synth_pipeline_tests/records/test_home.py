"""The private place: modes, pointers, and leases that outlive nothing but their process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from synth_pipeline.errors import StorageBusy, StorageError
from synth_pipeline.records.home import Home, lease, pointers


def test_home_is_private(home: Home) -> None:
    assert stat.S_IMODE(os.stat(home.keys).st_mode) == 0o700
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700


def test_pointers_round_trip_by_partition(home: Home) -> None:
    assert home.pointed("adult", "train", None) is None
    home.point("adult", "train", None, {"plan_id": "a"})
    home.point("adult", "train", "2026-10", {"plan_id": "b"})
    assert home.pointed("adult", "train", None) == {"plan_id": "a"}
    assert home.pointed("adult", "train", "2026-10") == {"plan_id": "b"}


def test_a_run_finds_its_own_pointer_first(home: Home) -> None:
    for run, plan in (("one", "a"), ("two", "b")):
        home.point("adult", "train", None, {"plan_id": plan}, run)
        home.point("adult", "train", "2026-10", {"plan_id": f"{plan}-october"}, run)
    assert home.pointed("adult", "train", None, "one") == {"plan_id": "a"}
    assert home.pointed("adult", "train", "2026-10", "one") == {"plan_id": "a-october"}
    assert home.pointed("adult", "train", None) == home.pointed("adult", "train", None, "three") == {"plan_id": "b"}


def test_pointers_of_old_runs_are_cleared_up(home: Home) -> None:
    home.point("adult", "train", None, {"plan_id": "a"}, "one")
    [own] = home.folder("work", "adult", "train").glob("run-one*")
    os.utime(own, (0, 0))
    assert own not in pointers(own.parent)
    home.point("adult", "train", None, {"plan_id": "b"}, "two")
    assert not own.exists()
    assert home.pointed("adult", "train", None, "one") == {"plan_id": "b"}
    assert {path.name for path in pointers(own.parent)} == {"current.json", "run-two.json"}


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\0b", "x" * 300])
def test_names_cannot_leave_the_home(home: Home, name: str) -> None:
    with pytest.raises(StorageError):
        home.point(name, "train", None, {})


def _hold(folder: Path, ready: object) -> None:
    with lease(folder):
        ready.set()  # type: ignore[attr-defined]
        time.sleep(60)


def test_a_live_lease_is_never_stolen_and_a_killed_one_is_free(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path / "work", ready))
    holder.start()
    assert ready.wait(30)
    with pytest.raises(StorageBusy, match=f"pid {holder.pid}"), lease(tmp_path / "work", wait=0.3):
        pass
    os.kill(holder.pid or 0, signal.SIGKILL)
    holder.join()
    with lease(tmp_path / "work", wait=5):
        pass


def test_a_lock_file_that_was_removed_while_waiting_is_no_lease(tmp_path: Path) -> None:
    """`forget` removes lock files: who has waited for one holds nothing that others would see."""
    lock = tmp_path / "work.lock"
    entered, leave = threading.Event(), threading.Event()

    def wait() -> None:
        with lease(tmp_path / "work", wait=30):
            entered.set()
            leave.wait(30)

    with ThreadPoolExecutor(1) as pool:
        with lease(tmp_path / "work"):
            waiting = pool.submit(wait)
            time.sleep(0.4)
            lock.unlink()
        assert entered.wait(30)
        with pytest.raises(StorageBusy), lease(tmp_path / "work", wait=0):
            pass
        leave.set()
        waiting.result(30)
