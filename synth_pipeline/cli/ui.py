"""`synth ui`: Dagster's UI and daemon over the same instance that `synth run` uses."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from synth_pipeline.records.home import project_root


def ui(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 3000,
) -> None:
    """Open Dagster: graph, checks, schedules, backfills. Ctrl-C ends it."""
    from synth_pipeline.orchestration.instance import folder

    os.environ["DAGSTER_HOME"] = str(folder())
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    project = project_root()
    where = ["-w", str(project / "workspace.yaml")] if project else ["-m", "synth_pipeline.definitions"]
    command = [str(Path(sys.executable).with_name("dagster")), "dev", *where, "-h", host, "-p", str(port)]
    os.execv(command[0], command)  # noqa: S606 - the server takes this process's place, signals reach it
