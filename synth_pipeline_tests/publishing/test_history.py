"""Any history of publishing, retracting, crashing and clearing keeps the store's promises."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from synth_pipeline.errors import GateFailed, StorageError
from synth_pipeline.publishing.audit import verify, verify_pointers
from synth_pipeline.publishing.load import find
from synth_pipeline.publishing.retention import collect
from synth_pipeline.publishing.store import open_store
from synth_pipeline.publishing.versions import Line
from synth_pipeline.records.home import Home
from synth_pipeline_tests.publishing.made import published, synthetic

CONTENTS = st.integers(0, 2)


class History(RuleBasedStateMachine):
    @initialize(scheme=st.sampled_from(["", "memory://"]), partition=st.sampled_from([None, "2026-10"]))
    def begin(self, scheme: str, partition: str | None) -> None:
        self.folder = tempfile.TemporaryDirectory()
        base = Path(self.folder.name)
        self.store = open_store(f"{scheme}{base}/releases")
        self.home = Home(base / "home")
        self.records = [synthetic(base / str(seed), n=4, parts=1, seed=seed) for seed in range(3)]
        self.line = Line(self.store, "visits", partition)
        self.versions: list[int] = []  # content of each version
        self.gone: set[int] = set()

    def teardown(self) -> None:
        self.folder.cleanup()

    @property
    def alive(self) -> list[int]:
        return [number for number in range(1, len(self.versions) + 1) if number not in self.gone]

    @rule(content=CONTENTS)
    def publish(self, content: int) -> None:
        banned = any(self.versions[number - 1] == content for number in self.gone)
        try:
            done = published(self.store, self.records[content], partition=self.line.partition)
        except GateFailed:
            assert banned
            return
        assert not banned
        expected = bool(self.alive) and self.versions[self.alive[-1] - 1] == content
        assert done.reused == expected
        if not expected:
            self.versions.append(content)
            assert done.manifest.version == f"v{len(self.versions):04d}"

    @rule(number=st.integers(1, 5))
    def retract(self, number: int) -> None:
        try:
            self.line.retract(f"v{number:04d}", "why not")
            self.gone.add(number)
        except StorageError:
            assert number > len(self.versions)

    @rule()
    def crash(self) -> None:
        folder = self.line.folder(f"v{len(self.versions) + 1:04d}")
        with self.store.writing(f"{folder}/data/train-00000-of-00009.parquet") as path:
            path.write_bytes(b"half")

    @rule()
    def clear(self) -> None:
        collect(self.home, self.store, 0)

    @invariant()
    def promises(self) -> None:
        if not hasattr(self, "line"):
            return
        committed = self.line.committed()
        assert committed == [f"v{number:04d}" for number in range(1, len(self.versions) + 1)]
        latest = f"v{self.alive[-1]:04d}" if self.alive else None
        assert self.line.latest() == self.line.newest() == latest
        assert all(verify(self.line, version).sound for version in committed)
        assert verify_pointers(self.line) == []
        if latest:
            assert find(self.store, "visits").members[0][1].version == latest


History.TestCase.settings = settings(
    max_examples=12, stateful_step_count=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
TestHistory = History.TestCase
