"""A real `dagster dev` over this project's workspace, with a SYNTH_HOME of its own: webserver, daemon, code server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import yaml

from synth_pipeline.spec.yaml import COMPONENT
from synth_pipeline_tests.cli.test_run import write_table

ROOT = Path(__file__).parents[2]
STAGES = ["ingested", "protected", "model", "synthetic", "scorecard", "release"]
EASY = {
    "name": "easy",
    "version": 1,
    "description": "So that few rows are enough.",
    "gates": {"copy_excess": {"max": 0.9, "minimum_n": 50}, "shape_error": {"max": 0.5, "minimum_n": 50}},
}
Found = TypeVar("Found")


class Server:
    """Asks the running server by GraphQL."""

    def __init__(self, root: Path, port: int) -> None:
        self.root, self.url = root, f"http://127.0.0.1:{port}"

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            found = json.load(answer)
        assert not found.get("errors"), found["errors"]
        return found["data"]

    def runs(self, **filters: Any) -> list[dict[str, Any]]:
        query = """query($f: RunsFilter) { runsOrError(filter: $f) { ... on Runs { results {
            runId status jobName tags { key value } } } } }"""
        return list(self.ask(query, f=filters)["runsOrError"]["results"])

    def ended(self, count: int, seconds: float, **filters: Any) -> list[dict[str, Any]]:
        """The runs, once `count` of them have come to an end."""

        def all_done() -> list[dict[str, Any]]:
            found = self.runs(**filters)
            done = [run for run in found if run["status"] in ("SUCCESS", "FAILURE", "CANCELED")]
            return done if len(done) >= count else []

        return until(all_done, seconds)

    def log(self, run_id: str) -> str:
        query = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
            ... on MessageEvent { message }
            ... on ExecutionStepFailureEvent { failureMetadata { description } } } } } }"""
        return json.dumps(self.ask(query, id=run_id)["logsForRun"])


def until(found: Callable[[], Found], seconds: float, every: float = 2.0) -> Found:
    """Waits for something true."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(every)
    return value


def declare(root: Path, name: str, keys: list[str], **fields: Any) -> None:
    """A dataset with a file per partition, small enough to be quick."""
    for number, key in enumerate(keys or ["all"]):
        write_table(root / name / f"{key}.csv", 600 + number)
    (root / "easy.yaml").write_text(yaml.safe_dump(EASY), "utf-8")
    attributes = {
        "name": name,
        "description": "A table made for a test.",
        "owners": ["team:synthetic-data"],
        "source": {"type": "file", "path": str(root / name / ("{partition}.csv" if keys else "all.csv"))},
        "validation": {"policy": str(root / "easy.yaml"), "queries": 500},
        **({"partitions": {"type": "static", "keys": keys}} if keys else {}),
        **fields,
    }
    folder = root / "home" / "defs" / name
    folder.mkdir(parents=True)
    (folder / "defs.yaml").write_text(yaml.safe_dump({"type": COMPONENT, "attributes": attributes}), "utf-8")


@contextmanager
def serving(root: Path) -> Iterator[Server]:
    """Starts the server in `root`, and ends it with everything that it has started."""
    port = _free_port()
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("DAGSTER", "SYNTH"))},
        "SYNTH_HOME": str(root / "home"),
        "SYNTH_STORE": str(root / "releases"),
        "OMP_NUM_THREADS": "1",
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    told = subprocess.run(
        [sys.executable, "-m", "synth_pipeline.orchestration.instance"],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    env["DAGSTER_HOME"] = told.stdout.strip()
    command = [
        sys.executable,
        "-m",
        "dagster",
        "dev",
        "-w",
        str(ROOT / "workspace.yaml"),
        "-p",
        str(port),
        "-h",
        "127.0.0.1",
    ]
    with open(root / "server.log", "wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True)
    server = Server(root, port)

    def up() -> bool:
        assert process.poll() is None, (root / "server.log").read_text("utf-8", "replace")[-3000:]
        try:
            found = server.ask("{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }")
        except (urllib.error.URLError, OSError):
            return False
        return [entry["loadStatus"] for entry in found["workspaceOrError"]["locationEntries"]] == ["LOADED"]

    try:
        until(up, 180)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
