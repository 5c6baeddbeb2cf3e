"""Running measures: crashes, hangs and broken promises are told, cost no other measure its value, and never pass."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace

import pyarrow as pa
import pytest

from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.evaluation.gates import judge
from synth_pipeline.evaluation.measuring import Measure, measure_all, sound
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


def _greedy(_: Evidence) -> Findings:
    return Findings({"greedy": Score(0.0, n=9), "crash": Score(0.0, n=9)})


def test_a_measure_speaks_for_itself_alone() -> None:
    found = measure_all([Measure(("crash",), _crash), Measure(("greedy",), _greedy)], EVIDENCE)
    assert found.scores["crash"].error == "RuntimeError"
    assert found.scores["greedy"].value == 0.0


def test_an_interval_must_hold_its_value() -> None:
    for score in (Score(0.9, 0.1, 0.2, n=9), Score(0.0, 0.1, 0.2, n=9), Score(0.3, None, 0.2, n=9)):
        assert sound(score).error
    for score in (Score(0.1, 0.1, 0.2, n=9), Score(0.1, 0.1, n=9), Score(0.2 + 1e-12, 0.1, 0.2, n=9)):
        assert not sound(score).error


def test_what_hangs_for_good_does_not_keep_the_process_alive() -> None:
    program = (
        "import time\n"
        "from synth_pipeline_tests.evaluation.test_measuring import EVIDENCE, Findings, Measure, measure_all, spread\n"
        "hang = lambda _: spread(lambda i: time.sleep(100), range(4))\n"
        "print(measure_all([Measure(('hang',), hang)], EVIDENCE).scores['hang'].error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "it took longer than 0.5 s\n"


def test_spread_keeps_order_and_raises_what_was_raised() -> None:
    def work(i: int) -> int:
        if i == 7:
            raise Unfit("seven")
        return i

    assert spread(work, range(7)) == list(range(7))
    assert spread(work, []) == []
    with pytest.raises(Unfit, match="seven"):
        spread(work, range(20))


def test_spread_work_gives_up_when_the_time_is_over() -> None:
    done = []
    with within(0.2), pytest.raises(TimedOut):
        spread(lambda i: (time.sleep(0.1), done.append(i)), range(100))
    assert len(done) < 20
    assert spread(lambda i: i, range(3)) == [0, 1, 2]
