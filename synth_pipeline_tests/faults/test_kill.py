"""kill -9 at every commit of every stage, then again: the end is what an undisturbed run comes to.

Crash points are not hand-picked: the process dies just before, then just after, its first new exclusive create or
replace, is started again, and so on until it comes to the end.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from synth_pipeline.records.home import Home
from synth_pipeline_tests.end_to_end.people import csv


def _through(folder: Path, source: Path, die: str, answer: object) -> None:
    """All six stages; `die`: "before" or "after" the first commit that this process makes, "" never."""
    import synth_pipeline.records.files as files
    from synth_pipeline.spec.dataset import DatasetSpec
    from synth_pipeline.stages import export, generate, ingest, protect, train, validate
    from synth_pipeline.stages.run import Run, manifest

    link, replace = os.link, os.replace

    def deadly(real):  # type: ignore[no-untyped-def]
        def call(source: str, target: str) -> None:
            if die == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            real(source, target)
            if die == "after":
                os.kill(os.getpid(), signal.SIGKILL)

        return call

    if die:
        files.os.link, files.os.replace = deadly(link), deadly(replace)  # type: ignore[attr-defined]
    spec = DatasetSpec.model_validate(
        {
            "name": "people",
            "source": {"type": "file", "path": str(source)},
            "generator": {"type": "trees", "min_leaf": 400},
            "generation": {"shard_rows": 700},
        }
    )
    run = Run(spec=spec, home=Home(folder / "home"), store=str(folder / "releases"))
    ingested = ingest.ingest(run)
    protected = protect.protect(run, ingested)
    model = train.train(run, protected)
    synthetic = generate.generate(run, model, protected)
    scorecard = validate.validate(run, synthetic, model, protected)
    release = export.export(run, scorecard, synthetic, model, protected)
    answer.put(  # type: ignore[attr-defined]
        {
            "ids": [result.content_id for result in (ingested, protected, model, synthetic, scorecard, release)],
            "release": manifest(release.folder, "export"),
            "versions": sorted(str(path.name) for path in (folder / "releases" / "people" / "versions").iterdir()),
        }
    )


@pytest.mark.slow  # some dozens of processes
@pytest.mark.timeout(900)
def test_killed_anywhere_the_next_run_comes_to_the_same_end(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["synth_pipeline_tests.faults.test_kill", "sklearn.ensemble", "scipy.stats", "pandas"]
    )
    source = csv(tmp_path, rows=6_000)

    def go(folder: Path, die: str) -> dict[str, object] | None:
        answer = context.Queue()
        child = context.Process(target=_through, args=(folder, source, die, answer))
        child.start()
        child.join(300)
        if child.exitcode == 0:
            return answer.get(timeout=10)
        assert child.exitcode == -signal.SIGKILL, f"ended with {child.exitcode}"
        return None

    undisturbed = go(tmp_path / "a", "")
    assert undisturbed is not None
    kills, ended = 0, None
    while ended is None:
        ended = go(tmp_path / "b", "after" if kills % 2 else "before")
        kills += 1
        assert kills < 200
    assert kills > 12
    assert ended["ids"] == undisturbed["ids"]
    assert ended["versions"] == ["v0001"]
