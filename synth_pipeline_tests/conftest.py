"""Fixtures for all: a private home of its own for every test, and the shared data sets where they are present."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from synth_pipeline.records.home import Home

os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
# The same examples in every run, and none of them timed; SYNTH_HYPOTHESIS=search looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("SYNTH_HYPOTHESIS", "same"))
SHARED = Path(os.environ.get("SYNTH_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's or the project's own home, store or keys."""
    monkeypatch.setenv("SYNTH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SYNTH_STORE", str(tmp_path / "releases"))
    monkeypatch.setenv("SYNTH_KEY", "0123456789abcdef0123456789abcdef")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of public data sets; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the shared data sets are not here")
    return SHARED
