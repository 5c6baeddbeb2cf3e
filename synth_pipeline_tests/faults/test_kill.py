"""kill -9 at every commit of every stage, then again: the end is what an undisturbed run comes to.

Crash points are not hand-picked: the process dies just before, then just after, its first, second, … exclusive create
(what commits), starting again each time on what is left, until it comes to the end; then the same for its replaces
(what points).
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from synth_pipeline.records.home import Home
from synth_pipeline_tests.end_to_end.people import csv

_HEAVY = ("sklearn.ensemble", "scipy.stats", "pandas", "torch", "great_expectations", "faker")


def _through(folder: Path, source: Path, die: tuple[str, str, int] | None, answer: object) -> None:
    """All six stages; `die`: "before" or "after", which call ("link", "replace"), at its how-manieth."""
    from synth_pipeline.spec.dataset import DatasetSpec
    from synth_pipeline.stages import export, generate, ingest, protect, train, validate
    from synth_pipeline.stages.run import Run, manifest

    if die:
        when, name, nth = die
        real, calls = getattr(os, name), itertools.count(1)

        def deadly(one: str, other: str) -> None:
            last = next(calls) == nth
            if last and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            real(one, other)
            if last:
                os.kill(os.getpid(), signal.SIGKILL)

        setattr(os, name, deadly)
    spec = DatasetSpec.model_validate(
        {
            "name": "people",
            "source": {"type": "file", "path": str(source)},
            "generator": {"type": "trees", "min_leaf": 60},
            "validation": {"policy": str(source.with_name("lenient.yaml")), "queries": 500},
            "generation": {"shard_rows": 300},
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
    context.set_forkserver_preload(["synth_pipeline_tests.faults.test_kill", *_HEAVY])
    source = csv(tmp_path, rows=1_200)
    source.with_name("lenient.yaml").write_text("{name: lenient, version: 1, gates: {copy_excess: {max: 1}}}")

    def go(folder: Path, die: tuple[str, str, int] | None) -> dict[str, object] | None:
        answer = context.Queue()
        child = context.Process(target=_through, args=(folder, source, die, answer))
        child.start()
        child.join(300)
        if child.exitcode == 0:
            return answer.get(timeout=10)
        assert child.exitcode == -signal.SIGKILL, f"ended with {child.exitcode}"
        return None

    def until_the_end(folder: Path, deaths: Iterator[tuple[str, str, int]]) -> tuple[int, dict[str, object]]:
        for kills, die in enumerate(deaths):
            if ended := go(folder, die):
                return kills, ended
            assert kills < 60
        raise AssertionError

    undisturbed = go(tmp_path / "a", None)
    assert undisturbed is not None
    commits = ((when, "link", nth) for nth in itertools.count(1) for when in ("before", "after"))
    pointers = (("after", "replace", nth) for nth in itertools.count(1))
    for folder, deaths, fewest in (("b", commits, 6), ("c", pointers, 5)):
        kills, ended = until_the_end(tmp_path / folder, deaths)
        assert kills >= fewest
        assert ended["ids"] == undisturbed["ids"]
        assert ended["versions"] == ["v0001"]
