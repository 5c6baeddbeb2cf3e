"""The instance in SYNTH_HOME: quiet, bounded, and without runs that a kill left open."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from synth_pipeline.orchestration import instance as instances

ROOT = Path(__file__).parents[2]


@dg.op
def nothing() -> None: ...


@dg.job
def some() -> None:
    nothing()


@pytest.mark.parametrize(
    ("process", "closed"),
    [
        (instances.this_process, False),
        (lambda: instances.this_process().rsplit("/", 1)[0] + "/1", True),
        (lambda: instances.this_process().replace(f"/{os.getpid()}/", "/4194999/"), True),
        (lambda: "elsewhere/1/2", False),
        (lambda: None, False),
    ],
    ids=["alive", "pid used again", "dead", "another machine", "not ours"],
)
def test_only_runs_of_dead_processes_are_closed(process: "object", closed: bool, instance: dg.DagsterInstance) -> None:
    told = process()  # type: ignore[operator]
    run = instance.create_run_for_job(
        some, status=dg.DagsterRunStatus.STARTED, tags={instances.PROCESS: told} if told else {}
    )
    instances.close_dead(instance)
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert (found.status == dg.DagsterRunStatus.FAILURE) is closed
    instance.delete_run(run.run_id)


def test_the_instance_lies_in_the_private_home_with_our_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    folder = instances.folder()
    assert folder == tmp_path / "home" / "dagster"
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0
    settings = yaml.safe_load((folder / "dagster.yaml").read_text("utf-8"))
    assert settings["telemetry"] == settings["nux"] == {"enabled": False}
    assert settings["concurrency"]["runs"]["max_concurrent_runs"] == 2
    assert (ROOT / "dagster.yaml").read_bytes() == (folder / "dagster.yaml").read_bytes()


def test_settings_of_the_users_own_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "own"))
    assert instances.folder() == tmp_path / "own"


def test_the_module_prints_the_folder(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "synth_pipeline.orchestration.instance"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "DAGSTER_HOME": ""},
    )
    assert told.stdout.strip() == str(tmp_path / "home" / "dagster")
