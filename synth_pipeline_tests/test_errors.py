"""Errors say what, where, what was kept and what next, and survive the way between processes."""

from __future__ import annotations

import pickle

import pytest

from synth_pipeline import errors


def test_message_has_all_that_is_known() -> None:
    error = errors.SourceError("no such file", where="a.csv:3", kept="the last release", fix="check the path")
    assert str(error) == "a.csv:3: no such file\n  kept: the last release\n  next: check the path"


def test_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(errors.GateFailed("blocked", fix="see the report")))
    assert isinstance(error, errors.GateFailed)
    assert str(error) == "blocked\n  next: see the report"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("tres", ["trees", "ctgan"], 'did you mean "trees"?'),
        ("zzz", ["b", "a"], "allowed: a, b"),
        ("zzz", [], ""),
    ],
)
def test_did_you_mean(name: str, options: list[str], said: str) -> None:
    assert errors.did_you_mean(name, options) == said


def test_only_what_may_pass_is_retried() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.SynthError)]
    assert {kind.__name__ for kind in kinds if not kind.terminal} == {"SourceUnavailable", "StorageBusy", "WorkerLost"}
