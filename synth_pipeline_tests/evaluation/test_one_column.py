"""A table of one column: what needs a second one says that there is nothing to find, and copies are still noticed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation.fidelity import trends
from synth_pipeline.evaluation.gates import judge, load_policy, verdict
from synth_pipeline.modalities.tabular.modality import Tabular
from synth_pipeline.protocols.measure import Evidence
from synth_pipeline.seeds import Seeds

PAIRED = ("linkability", "attribute_inference_overall", "attribute_inference", "trend_error")


def test_no_pair_is_no_difference() -> None:
    one = pa.table({"a": [1, 2, 3, 4]})
    score, details = trends(Evidence(one, one, one, one, Seeds(0)))
    assert (score.value, score.low, score.high, score.reference, score.n) == (0, 0, 0, 0, 4)
    assert "one column" in score.note
    assert details == {}


@pytest.mark.parametrize("fine", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_single_number_is_judged_by_what_it_has(fine: bool) -> None:
    rng = np.random.default_rng(0)
    sides = [pa.table({"pay": np.round(rng.lognormal(7, 1, 3_000), 4 if fine else -2)}) for _ in range(3)]
    honest = Evidence(*sides, sides[2], Seeds(0))
    copied = Evidence(sides[0], sides[1], sides[0], sides[0], Seeds(0))
    outcomes = [Tabular().measure(evidence).scores for evidence in (honest, copied)]
    for policy in map(load_policy, ("internal", "public")):
        gates, caught = (judge(scores, policy) for scores in outcomes)
        blocked = {gate.name: gate.reason for gate in gates if gate.verdict != "pass"}
        assert not set(PAIRED) & set(blocked)
        assert not any("column" in reason for reason in blocked.values())
        assert verdict(gates) == "pass" or (policy.name == "public" and not fine)
        assert verdict(caught) == "fail" if fine else verdict(caught) != "pass"
