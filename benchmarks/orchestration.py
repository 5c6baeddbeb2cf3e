"""What Dagster costs: loading the code location, six assets instead of six functions, an unchanged re-run."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

_LOAD = """
import json, sys, time
begun = time.perf_counter()
import dagster
imported = time.perf_counter()
import synth_pipeline.definitions
synth_pipeline.definitions.defs()
loaded = time.perf_counter()
heavy = set("torch pandas sdv diffusers transformers great_expectations sklearn".split())
print(json.dumps([imported - begun, loaded - imported, sorted(heavy & set(sys.modules))]))
"""
_POLICY = """
name: easy
version: 1
description: So that few rows are enough.
gates:
  copy_excess: {max: 1.0, minimum_n: 50}
  shape_error: {max: 0.9, minimum_n: 50}
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        os.environ |= {"SYNTH_HOME": str(root / "home"), "SYNTH_STORE": str(root / "releases")}
        os.environ.pop("DAGSTER_HOME", None)
        loads = [_load() for _ in range(5)]
        found = {
            "import dagster": median(load[0] for load in loads),
            "code location over it": median(load[1] for load in loads),
            "heavy imports": sorted({name for load in loads for name in load[2]}),
            **_six(root),
        }
    print(json.dumps(found, indent=1))


def _load() -> tuple[float, float, list[str]]:
    done = subprocess.run([sys.executable, "-c", _LOAD], capture_output=True, text=True, check=True)
    first, second, heavy = json.loads(done.stdout.splitlines()[-1])
    return first, second, heavy


def _six(root: Path) -> dict[str, float]:
    """All stages are committed once; then both ways only find that out, so that the difference is Dagster's."""
    from synth_pipeline.cli.adhoc import Wishes, declare, source_of
    from synth_pipeline.orchestration.execute import execute
    from synth_pipeline.orchestration.nouns import NOUNS
    from synth_pipeline.publishing.store import default_store
    from synth_pipeline.records.home import Home
    from synth_pipeline.spec import yaml

    draw = random.Random(1)
    rows = "".join(f"{draw.randint(0, 99)},{draw.randint(0, 9)},{draw.choice('abcd')}\n" for _ in range(2_000))
    (root / "table.csv").write_text("a,b,c\n" + rows, "utf-8")
    (root / "easy.yaml").write_text(_POLICY, "utf-8")
    wishes = Wishes(policy=str(root / "easy.yaml"))
    _, file = declare(source_of(str(root / "table.csv"), None, None), "table", wishes, {}, Home.find())
    spec = yaml.load_spec(file)
    first = execute(spec, root, partition=None, store=None, force=False)
    assert first.failed is None, first.failed

    def call() -> None:
        import importlib

        from synth_pipeline.stages.run import Run

        run = Run(spec=spec, home=Home.find(), store=default_store(), base=root)
        done = {}
        for noun in NOUNS:
            function = getattr(importlib.import_module(f"synth_pipeline.stages.{noun.stage}"), noun.stage)
            done[noun.stage] = function(run, *(done[stage] for stage in noun.takes))
            assert done[noun.stage].reused

    def again() -> None:
        assert execute(spec, root, partition=None, store=None, force=False).failed is None

    def command() -> None:
        subprocess.run(
            [sys.executable, "-m", "synth_pipeline.cli.main", "run", "table"], capture_output=True, check=True
        )

    functions, assets = _timed(call, 5), _timed(again, 5)
    return {
        "six functions": functions,
        "six assets in process": assets,
        "orchestration": assets - functions,
        "unchanged `synth run`": _timed(command, 3),
    }


def _timed(work: Callable[[], None], times: int) -> float:
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return median(seconds)


if __name__ == "__main__":
    main()
