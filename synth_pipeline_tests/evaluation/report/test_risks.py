from __future__ import annotations

import dataclasses
import json
import re
from itertools import pairwise
from typing import Any

import pytest

from synth_pipeline.evaluation.gates import judge, verdict
from synth_pipeline.evaluation.report import words
from synth_pipeline.evaluation.report.forest import forest, roc
from synth_pipeline.evaluation.report.suppress import COUNTED, coarse, published, suppressed
from synth_pipeline.evaluation.scorecard import Scorecard
from synth_pipeline.protocols.measure import Score
from synth_pipeline_tests.evaluation.report import examples
from synth_pipeline_tests.evaluation.report.test_report import Page, internal, public


def told(page: str) -> str:
    return re.sub(r"\s+", " ", Page(page).text.replace("\u00a0", " "))


def judged(scores: dict[str, Score], gates: dict[str, Any], **policy: Any) -> Scorecard:
    rules = {"name": "own", "version": 1, "gates": gates, **policy}
    found = judge(scores, rules)
    card = examples.scorecard()
    return dataclasses.replace(card, policy=rules, scores=scores, gates=found, verdict=verdict(found))


def part(name: str, n: int, others: int, **more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "name": name, "rate": 0.5, "control": 0.25, "risk": 1 / 3, "low": 0.1, "high": 0.5, "n": n,
        "n_control": others,
    }  # fmt: skip
    return {**base, **more}


def test_an_attack_is_told_in_cases_of_a_hundred():
    page = told(internal(examples.scorecard()))
    assert "right in 41 of 100 cases about people in the data, and in 39 of 100 about people who are not in it" in page
    assert "gives away about 3 of 100 (0.1 % to 6.5 %): more than chance explains" in page
    assert "in 4 of 1,000 cases for people in the data, and in 4 of 1,000 for people who are not in it" in page
    assert "The difference is no larger than chance makes it" in page
    assert "What the attacker knows: All fields but one." in page
    assert "Would notice with 80 % power at a risk of ≥ 3.1 %." in page


def test_what_cannot_be_told_is_not_called_safe():
    card = examples.scorecard()
    few = part("linkability", 12, 12, low=float("-inf"), high=1.0)
    tails = [{"name": "distance", "auc": 0.5, "low": 0.4, "high": 0.6, "tpr": None, "tpr_low": None, "tpr_high": None}]
    details = {
        **card.details,
        "attacks": [few],
        "membership": {"attacks": tails, "fpr": 0.01, "n": 40, "n_control": 40},
    }
    scores = {
        "linkability": Score(1 / 3, float("-inf"), 1.0, 0.0, 12),
        "mia_tpr": Score(None, reference=0.01, n=40, note="not measurable: 40 non-members, at least 1520 are needed"),
    }
    page = told(internal(dataclasses.replace(card, details=details, scores=scores, gates=())))
    assert "too few cases to say what the data add to chance" in page
    assert "That is not a zero: it is not known" in page
    assert "Not measurable: 40 non-members, at least 1,520 are needed." in page
    assert "Telling for sure who was in the data: Not measurable" in page


def test_what_was_not_tested_is_told_with_and_without_details():
    page = told(internal(examples.scorecard()))
    assert "Authenticity (a measure of the full set)." in page
    assert "Attackers who hold the model itself" in page
    bare = examples.scorecard(details={}, scores={}, gates=())
    page = told(internal(bare))
    for said in ("No attack on single fields", "No attack on membership", "No canaries", "No group of people"):
        assert said in page
    assert "none was given, and what is published adds up" in page


def test_detection_limits_speak_in_the_measure_s_own_words():
    scores = {
        "copy_excess": Score(0.01, -0.01, 0.03, 0.0, 4_000, detects=0.021, seconds=3.25),
        "tstr_ratio": Score(0.99, 0.97, 1.01, 1.0, 4_000, detects=0.97),
        "constraint_violations": Score(0.0, None, None, None, 4_000, detects=0.5),
    }
    page = told(internal(judged(scores, {"copy_excess": {"max": 0.08}})))
    assert "Would notice with 80 % power if ≥ 2.1 % of the rows were copies." in page
    assert "Would notice with 80 % power at a value of ≤ 97 %." in page
    assert "50 %" not in re.sub(r"one in.*?fort", "", page.split("Broken rules")[1].split("Checks")[0])
    assert "3.2" in page


def test_measures_are_grouped_privacy_first():
    page = told(internal(examples.scorecard())).split("All measures")[-1]
    places = [page.index(f"{title}: {question}") for title, question in list(words.GROUPS.values())[:5]]
    assert places == sorted(places)


def test_a_policy_without_privacy_gates_says_so_and_not_that_all_is_well():
    scores = {"constraint_violations": Score(0.0, None, None, 0.0, 100)}
    card = judged(scores, {"constraint_violations": {"max": 0.0}}, source_free=True, name="source_free")
    assert card.verdict == "pass"
    for page in (internal(card), public(card)):
        text = told(page)
        assert "Released without privacy gates" in text
        assert "no limit that protects people" in text
        assert "Every gate passed" not in text
        assert 'class="banner free"' in page


def test_one_failure_among_many_limits_is_told_as_holm_sees_it():
    names = list(words.MEASURES)[:12]
    scores = {name: Score(0.0, -0.01, 0.01, 0.0, 900) for name in names}
    scores["copy_excess"] = Score(0.1, 0.081, 0.119, 0.0, 900)
    card = judged(scores, {name: {"max": 0.08} for name in names})
    gate = next(gate for gate in card.gates if gate.name == "copy_excess")
    assert (gate.verdict, "Holm" in gate.reason) == ("inconclusive", True)
    page = told(internal(card))
    assert "On its own this would fail" in page
    assert "It neither passes nor fails, and blocks." in page


def test_a_canary_audit_says_what_it_means_and_what_not():
    page = told(internal(examples.scorecard()))
    assert "400 canaries" in page
    assert "at least e^ε = 1.36 times as likely" in page
    assert "at least 0.31" in page
    assert "A low value is no guarantee of privacy" in page
    none = examples.scorecard()
    details = {**none.details, "audit": {**none.details["audit"], "epsilon": 0.0}}
    assert "No leak could be proved" in told(internal(dataclasses.replace(none, details=details)))


def test_absent_groups_are_named():
    assert "Absent from the synthetic table: race = Other" in told(internal(examples.scorecard()))


def hostile() -> Scorecard:
    """Small counts in every corner of the details and scores, each of them a number that nothing else is."""
    card = examples.scorecard()
    small = part("Rarely-on-Sea", 7, 4000)
    alone = {"name": "Rarely-on-Sea", "auc": 0.777, "low": 0.7, "high": 0.8, "n": 3, "n_control": 4000}
    group = {
        "column": "town", "group": "Rarely-on-Sea", "n": 6, "n_holdout": 8123, "n_synthetic": 0, "absent": True,
        "share": 6 / 16_281, "copy_excess": 0.7771, "metric_real": 0.7772,
    }  # fmt: skip
    kept = {
        "column": "town", "group": "Common", "n": 16_275, "n_holdout": 4, "n_synthetic": 16_281,
        "share": 16_275 / 16_281, "share_synthetic": 1.0,
        "metric_real": 0.7773, "metric_synthetic": 0.7774, "reference": 0.7775,
    }  # fmt: skip
    details = {
        **card.details,
        "attacks": [
            part("attribute_inference", 2000, 2000, rate=3 / 2000, control=1 / 2000, risk=0.0010005, parts=[small]),
            part("linkability", 6, 2000, rate=0.33777),
        ],
        "membership": {
            "attacks": [{"name": "distance", "auc": 0.5, "low": 0.49, "high": 0.51, "tpr": 7 / 4000, "tpr_low": 0.0,
                         "tpr_high": 0.003}],
            "fpr": 0.01, "n": 4003, "n_control": 4007, "groups": [alone], "deciles": [alone],
            "roc": {"name": "distance", "fpr": [0.0, 1 / 4007, 1.0], "tpr": [0.0, 7 / 4003, 1.0]},
        },
        "audit": {"canaries": 400, "guesses": 9, "right": 8, "epsilon": 0.1},
        "likeness": {"matched": 4, "prdc": {"k": 5, "odd": 3}, "names": ["Rarely-on-Sea"]},
        "groups": [group, kept],
        "cumulative": {"releases": 2, "rows": 48_000, "train": 7, "holdout": 3, "of_train": 9_999, "of_holdout": 999},
        "corners": [{"name": "Rarely-on-Sea", "excess": 0.777, "low": 0.7, "high": 0.8, "n": 5}],
        "copying": {**card.details["copying"], "near": {"in_train": 7, "in_holdout": 3, "of": 16_281},
                    "groups": [{"name": "Rarely-on-Sea", "excess": 0.777, "n": 4}]},
        "unheard": {"Rarely-on-Sea": 7},
    }  # fmt: skip
    scores = {
        **{name: Score(7 / 16_281, 0.0, 11 / 16_281, 0.0, 16_281, "7 rows of Rarely-on-Sea") for name in COUNTED},
        "linkability": Score(0.33777, 0.1, 0.9, 0.0, 6, "2 of 6 in Rarely-on-Sea"),
        "group_copy_excess": Score(0.0, -0.1, 0.2, 0.0, 6, "worst of 2 groups: town: Rarely-on-Sea, 6 rows"),
        "mia_tpr": Score(None, reference=0.01, n=7, note="not measurable: 7 non-members of Rarely-on-Sea"),
    }
    policy = {"name": "own", "version": 1, "gates": {name: {"max": 0.001} for name in scores}}
    return dataclasses.replace(card, details=details, scores=scores, policy=policy, gates=judge(scores, policy))


def test_no_small_count_of_real_people_reaches_the_public_page():
    card = hostile()
    inside, outside = internal(card), public(card)
    assert "Rarely-on-Sea" in inside
    assert "Rarely-on-Sea" not in outside
    assert "777" not in outside
    safe = published(card)
    note = safe.to_json()
    for secret in (7 / 16_281, 11 / 16_281, 3 / 2000, 1 / 2000, 0.0010005, 7 / 4000, 7 / 4003, 1 / 4007, 6 / 16_281):
        assert not re.search(
            rf"(?<!\d){re.escape(f'{secret:.4g}')}", json.dumps(note["details"]) + json.dumps(note["scores"])
        )
    assert "unheard" not in safe.details
    assert not {"audit", "corners"} & set(safe.details)
    assert safe.details["cumulative"] == {"releases": 2, "rows": 48_000}
    assert not {"exact", "replay", "near", "groups"} & set(safe.details["copying"])
    [attack] = safe.details["attacks"]
    assert (attack["name"], attack["parts"]) == ("attribute_inference", [])
    assert (attack["rate"], attack["control"]) == (0.0, 0.0)
    assert safe.details["likeness"] == {"prdc": {}}
    [common] = safe.details["groups"]
    assert (common["n"], common["share"], common["n_holdout"]) == (16_270, 1.0, None)  # the rest does not follow
    assert "metric_real" not in common
    assert not {"groups", "deciles"} & set(safe.details["membership"])
    assert safe.details["membership"]["n"] == 4000
    assert safe.scores["linkability"].value is None
    assert all(gate.value is None for gate in safe.gates if gate.name in ("linkability", "group_copy_excess"))
    assert suppressed(safe.details) == safe.details


def test_rounding_never_hides_what_was_proved_nor_breaks_a_limit_that_holds():
    scores = {"singling_out_univariate": Score(0.021, 0.004, 0.041, 0.0, 500)}
    card = judged(scores, {"singling_out_univariate": {"max": 0.05}})
    card = dataclasses.replace(card, details=examples.risks())
    safe = published(card)
    assert (safe.gates[0].verdict, safe.gates[0].low, safe.gates[0].high) == ("pass", 0.0, 0.05)
    page = told(public(card)).split("Singling out by one value")[2]
    assert "more than chance explains" in page[:900]


@pytest.mark.parametrize(
    ("value", "n", "way", "shown"),
    [
        (0.0214, 500, 0, 0.02),
        (0.0214, 500, 1, 0.04),
        (-0.001, 500, -1, -0.02),
        (0.00043, 16_281, 0, 0.0),
        (0.0006, 16_281, 0, 0.001),
        (0.5, 10, 0, 0.0),
        (0.7, 10, 0, 1.0),
        (0.5, 9, 0, None),
        (None, 500, 0, None),
    ],
)
def test_shares_leave_in_steps_of_ten_people(value: float | None, n: int, way: int, shown: float | None):
    assert coarse(value, n, way=way) == shown


def test_a_step_stands_for_at_least_ten_people_at_any_size():
    for n in range(10, 3_000, 7):
        values = sorted({coarse(hits / n, n) for hits in range(n + 1)})
        steps = [b - a for a, b in pairwise(values)]
        assert min(steps, default=1) * n >= 10 * (1 - 1e-6)


def test_forests_stay_inside_whatever_they_are_given():
    rows = [
        {"name": "<b>" * 40, "value": 0.5, "low": float("-inf"), "high": float("inf")},
        {"name": "b", "value": None, "low": None, "high": None},
        {"name": "c", "value": float("nan"), "low": float("nan"), "high": 1.0},
    ]
    drawn = str(forest(rows, "test", chance=0.5))
    assert "<b>" not in drawn
    assert "not measurable" in drawn
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert all(0 <= float(x) <= 360 for x in re.findall(r' (?:x|cx|x1|x2)="([^"]+)"', drawn))
    assert not forest([], "test")
    assert not forest(rows[1:], "test", chance=0.5)


def test_a_roc_curve_is_drawn_in_its_frame_and_told_in_words():
    drawn = str(roc([0, 0.01, 0.5, 1], [0, 0.2, 0.8, 1]))
    assert "1\u00a0% wrongly accused, 20\u00a0% recognised" in drawn
    assert not roc([0.1], [0.2])
    assert not roc([float("nan")] * 3, [0.1, 0.2, 0.3])


def test_every_chart_has_an_alternative_in_words():
    for page in (internal(examples.scorecard()), public(examples.scorecard())):
        pictures = [attrs for tag, attrs in Page(page).tags if tag == "svg"]
        assert len(pictures) > 30
        assert all(attrs.get("role") == "img" and len(attrs.get("aria-label") or "") > 3 for attrs in pictures)


def test_every_measure_is_told_in_a_title_a_sense_and_a_group():
    for name, about in words.MEASURES.items():
        assert about.title, name
        assert about.means.endswith((".", "?")), name
        assert about.good, name
        assert about.group in words.GROUPS, name
        assert "{x}" in about.notices, name
    order = [list(words.GROUPS).index(about.group) for about in words.MEASURES.values()]
    assert order == sorted(order)
