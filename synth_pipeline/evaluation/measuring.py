"""All measures of a modality, one by one: what crashes, hangs or has no value is told, and never passes a gate."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.evaluation.threads import TimedOut, within
from synth_pipeline.protocols.measure import Evidence, Findings, Score

FAR = 1e6
"""Where an interval ends that has no end on that side."""


@dataclass(frozen=True)
class Measure:
    """One piece of work and the scores it promises. `full`: only when the slower measures are asked for.

    `tells`: what it looks at, in a few words, for the list of what was not tested.
    """

    names: tuple[str, ...]
    work: Callable[[Evidence], Findings]
    tells: str = ""
    full: bool = False


def measure_all(measures: Iterable[Measure], evidence: Evidence) -> Findings:
    """Every measure's scores with what they cost, and all details together.

    A measure that raises has its promised scores recorded with the kind of error alone, for messages may quote rows;
    so has one that takes longer than `evidence.seconds`.
    """
    scores: dict[str, Score] = {}
    details: dict[str, Any] = {}
    errors: dict[str, str] = {}
    untested: list[str] = []
    for measure in measures:
        if measure.full and not evidence.full:
            untested.append(f"{measure.tells} (a measure of the full set)")
            continue
        begun = time.monotonic()
        try:
            found = _limited(measure.work, evidence)
        except Exception as error:  # noqa: BLE001 - whatever it is, the measure has no value and its gate stays shut
            told = str(error) if isinstance(error, Unfit | TimedOut) else type(error).__name__
            errors[measure.names[0] if measure.names else measure.tells] = told
            found = Findings({name: Score(None, error=told) for name in measure.names})
            if measure.names:
                untested.append(f"{measure.tells} ({told})")
        took = round(time.monotonic() - begun, 3)
        for name in measure.names:  # and no other: a measure speaks for itself alone
            score = found.scores.get(name) or Score(None, error="it gave no value")
            scores[name] = replace(sound(score), seconds=took)
        _merge(details, found.details)
    if errors:
        details["errors"] = errors
    if untested:
        details["not_tested"] = untested
    return Findings(scores, details)


def sound(score: Score) -> Score:
    """The score as JSON can hold it: what is not a number has no value, an interval without an end goes very far."""
    if score.value is None:
        return score
    ends = [end for end in (score.low, score.high) if end is not None]
    if not math.isfinite(score.value) or any(map(math.isnan, ends)):
        return Score(None, n=score.n, note=score.note, error="it is not a number")
    slack = 1e-9 * (1 + abs(score.value))
    if not (score.low is None or score.low <= score.value + slack) or not (
        score.high is None or score.high >= score.value - slack
    ):
        return Score(None, n=score.n, note=score.note, error="its interval does not hold its value")
    low, high = (end if end is None else min(max(end, -FAR), FAR) for end in (score.low, score.high))
    reference, detects = (
        end if end is not None and math.isfinite(end) else None for end in (score.reference, score.detects)
    )
    return replace(score, low=low, high=high, reference=reference, detects=detects)


def _limited(work: Callable[[Evidence], Findings], evidence: Evidence) -> Findings:
    """The work's findings, or TimedOut. A thread cannot be killed: one that hangs is left behind, and gives up at its
    next `spread`."""
    box: list[Any] = []

    def run() -> None:
        try:
            with within(evidence.seconds):
                box.append(work(evidence))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            box.append(error)

    thread = threading.Thread(target=run, name="measure", daemon=True)
    thread.start()
    thread.join(evidence.seconds)
    if not box:
        raise TimedOut(evidence.seconds)
    if isinstance(box[0], BaseException):
        raise box[0]
    found: Findings = box[0]
    return found


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Adds details; parts that several measures share are mappings or lists, and grow."""
    for key, value in more.items():
        if isinstance(into.get(key), dict) and isinstance(value, Mapping):
            into[key] = {**into[key], **value}
        elif isinstance(into.get(key), list) and isinstance(value, list):
            into[key] = [*into[key], *value]
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value
