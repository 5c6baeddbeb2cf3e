"""Dagster's instance in SYNTH_HOME: made when first needed; runs that a kill left behind are closed.

`python -m synth_pipeline.orchestration.instance` prints its folder, for DAGSTER_HOME.
"""

import os
import shutil
import socket
from pathlib import Path

import dagster as dg

from synth_pipeline.records.home import Home, lease

PROCESS = "synth/process"
"""Run tag: the process that executes the run itself, when no daemon watches over it."""

_OPEN = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def folder() -> Path:
    """`$DAGSTER_HOME`, else SYNTH_HOME/dagster with our settings."""
    if named := os.environ.get("DAGSTER_HOME"):
        return Path(named).expanduser().resolve()
    home = Home.find().dagster
    if not (home / "dagster.yaml").exists():
        shutil.copyfile(Path(__file__).with_name("dagster.yaml"), home / "dagster.yaml")
    return home


def persistent() -> dg.DagsterInstance:
    """The instance that the UI shows, with no run left open by a process that is gone."""
    home = folder()
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    with lease(home / "opening"):  # two first runs at once would both create the databases
        instance = dg.DagsterInstance.get()
        close_dead(instance)
    return instance


def close_dead(instance: dg.DagsterInstance) -> None:
    """Fails the open runs whose process has died: nobody else would ever close them."""
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=_OPEN)):
        process = run.tags.get(PROCESS)
        if process and not _alive(process):
            instance.report_run_failed(run, "its process ended before the run did; run again to go on from there")


def this_process() -> str:
    """Host, pid and start: a later process with the same pid is another one."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def _alive(process: str) -> bool:
    host, pid, started = process.rsplit("/", 2)
    return host != socket.gethostname() or _started(int(pid)) == started


def _started(pid: int) -> str:
    """A process's start time in clock ticks, "" if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        if Path("/proc/self").exists():
            return ""
        return _exists(pid)
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def _exists(pid: int) -> str:
    """Where /proc is missing: whether the pid is in use at all."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "running"


if __name__ == "__main__":
    print(folder())  # noqa: T201
