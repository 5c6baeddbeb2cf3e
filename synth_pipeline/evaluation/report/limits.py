"""What was not tested: what this run left out, and what no such test can show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synth_pipeline.evaluation.report import words
from synth_pipeline.evaluation.report.tables import sentence, short
from synth_pipeline.evaluation.scorecard import Scorecard


def untested(scorecard: Scorecard, details: Mapping[str, Any]) -> dict[str, list[str]]:
    """Two lists of sentences: of this run, and of every run."""
    here = [sentence(short(text, 300)) for text in details.get("not_tested") or ()]
    scores = scorecard.scores
    here += [
        f"{words.of(name).title}: it could not be measured ({short(score.error, 200)})."
        for name, score in scores.items()
        if score.error and not any(score.error in said for said in here)
    ]
    here += [
        f"{words.of(name).title}: {sentence(short(score.note, 200))}"
        for name, score in scores.items()
        if score.value is None and not score.error and score.note
    ]
    if "linkability" not in scores and "attribute_inference" not in scores:
        here.append("No attack on single fields was made: what an attacker could infer about a person is not known.")
    if "mia_auc" not in scores:
        here.append("No attack on membership was made: whether a person's presence can be told is not known.")
    if "audit_epsilon" not in scores and not any("canary" in text for text in here):
        here.append("No canaries were planted: the worst case, a record made to be remembered, was not tried.")
    if not details.get("groups"):
        here.append("No group of people was looked at on its own (no column is declared sensitive).")
    return {"here": here, "always": [*_ALWAYS, _earlier(details)]}


_ALWAYS = (
    "Attackers who hold the model itself, or may ask it for as many rows as they like: the tests see the published "
    "rows only.",
    "Knowledge from outside: an attacker who has other tables about the same people may learn more.",
    "Columns that were left out before learning (identifiers, keys) and values that were replaced by fakes; of free "
    "text, only whether values come back, not what they say.",
    "Rare people: groups with few members are judged with wide intervals or not at all, and one single person may "
    "differ from the average of everybody.",
    "Attacks that nobody has thought of yet. Only differential privacy bounds those, and only with its own proof.",
)


def _earlier(details: Mapping[str, Any]) -> str:
    if (details.get("cumulative") or {}).get("releases"):
        return (
            "Earlier releases from the same source are counted where whole rows, or values that one person alone has, "
            "come back, and lie before the membership attackers; what they tell together otherwise is not counted, nor "
            "are releases made elsewhere."
        )
    return "Other releases from the same source: none was given, and what is published adds up."
