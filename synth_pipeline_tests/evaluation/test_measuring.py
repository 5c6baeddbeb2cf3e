"""Running measures: crashes, hangs and broken promises are told, cost no other measure its value, and never pass."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pyarrow as pa
import pytest

from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.evaluation.gates import judge
from synth_pipeline.evaluation.measuring import Measure, measure_all
from synth_pipeline.evaluation.threads import TimedOut, spread, within
from synth_pipeline.protocols.measure import Evidence, Findings, Score
from synth_pipeline.seeds import Seeds

ROWS = pa.table({"a": [1]})
EVIDENCE = Evidence(ROWS, ROWS, ROWS, ROWS, Seeds(0), seconds=0.5)


def _good(_: Evidence) -> Findings:
    return Findings({"good": Score(0.0, n=9)}, {"shared": {"good": 1}, "attacks": [1]})


def _crash(_: Evidence) -> Findings:
    raise RuntimeError("row 17 holds a secret")


def _unfit(_: Evidence) -> Findings:
    raise Unfit("no column to compare")


def _hang(_: Evidence) -> Findings:
    time.sleep(3)
    return Findings({"hang": Score(0.0, n=9)})


def _forgetful(_: Evidence) -> Findings:
    return Findings({"half": Score(0.0, n=9)}, {"shared": {"half": 2}, "attacks": [2]})


def test_one_by_one() -> None:
    found = measure_all(
        [
            Measure(("good",), _good, "good things"),
            Measure(("crash",), _crash, "crashes"),
            Measure(("unfit",), _unfit, "unfit things"),
            Measure(("hang",), _hang, "hanging"),
            Measure(("half", "lost"), _forgetful, "promises"),
            Measure(("slow",), _good, "slow things", full=True),
        ],
        EVIDENCE,
    )
    told = {name: (score.value, score.error) for name, score in found.scores.items()}
    assert told == {
        "good": (0.0, ""),
        "crash": (None, "RuntimeError"),
        "unfit": (None, "no column to compare"),
        "hang": (None, "it took longer than 0.5 s"),
        "half": (0.0, ""),
        "lost": (None, "it gave no value"),
    }
    assert found.scores["hang"].seconds == pytest.approx(0.5, abs=0.4)
    assert found.details["shared"] == {"good": 1, "half": 2}
    assert found.details["attacks"] == [1, 2]
    assert found.details["not_tested"] == [
        "crashes (RuntimeError)",
        "unfit things (no column to compare)",
        "hanging (it took longer than 0.5 s)",
        "slow things (a measure of the full set)",
    ]
    assert "secret" not in json.dumps(found.details)
    policy = {"name": "test", "version": 1, "gates": {name: {"max": 1.0} for name in [*told, "slow"]}}
    passed = [gate.name for gate in judge(found.scores, policy) if gate.verdict == "pass"]
    assert passed == ["good", "half"]


def test_the_full_set_is_measured_when_it_is_asked_for() -> None:
    found = measure_all([Measure(("good",), _good, "slow things", full=True)], replace(EVIDENCE, full=True))
    assert found.scores["good"].value == 0.0
    assert "not_tested" not in found.details


def test_spread_work_gives_up_when_the_time_is_over() -> None:
    done = []
    with within(0.2), pytest.raises(TimedOut):
        spread(lambda i: (time.sleep(0.1), done.append(i)), range(100))
    assert len(done) < 20
    assert spread(lambda i: i, range(3)) == [0, 1, 2]
