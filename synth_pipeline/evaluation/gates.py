"""Policies and their judgement: one limit against one interval, three outcomes, and nothing that is unknown passes.

Pure: the same scores, policy and attempts give the same gates, so that `export` can judge again what validate judged.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from statistics import NormalDist
from typing import Any

from pydantic import Field, ValidationError, model_validator

from synth_pipeline.errors import SpecError, did_you_mean
from synth_pipeline.evaluation.intervals import holm, searched, z
from synth_pipeline.evaluation.scorecard import Gate, Verdict
from synth_pipeline.protocols.measure import Score
from synth_pipeline.spec.base import Spec
from synth_pipeline.spec.yaml import plain

_CLUSTERED = 0.7
"""How unevenly synthetic rows meet real ones: the variance of a real row's part over its square (measured on Adult)."""
_OWN_TEST = 6_000
"""Independent rows behind a generator's own estimate of its excess."""

_MANY = 50
"""How many times more rows are still worth telling of."""
_OPEN = 1e6
"""Where an interval ends that has no end."""


class Limit(Spec):
    """What one measure must keep."""

    max: float | None = Field(None, allow_inf_nan=False, description="The upper end of the interval must not pass it.")
    min: float | None = Field(None, allow_inf_nan=False, description="The lower end must not fall below it.")
    minimum_n: int = Field(1, ge=0, description="With fewer rows or units the gate is inconclusive.")
    over_reference: bool = Field(False, description="Whether the limit is for the value less its reference.")

    @model_validator(mode="after")
    def _one(self) -> Limit:
        if (self.max is None) == (self.min is None):
            raise ValueError("give `max` or `min`, one of them")
        return self


class Policy(Spec):
    """A named, versioned set of limits; every gate blocks."""

    name: str
    version: int
    description: str = ""
    source_free: bool = Field(False, description="Only for generators that saw no private rows.")
    gates: dict[str, Limit] = Field(min_length=1, description="Measure → its limit.")

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)


def load_policy(name: str, base: Path | None = None) -> Policy:
    """A built-in policy by name, or a policy file by its path (relative to `base`).

    Raises:
        SpecError: there is none, or it is not a policy.
    """
    built_in = {file.name.removesuffix(".yaml"): file for file in _folder().iterdir() if file.name.endswith(".yaml")}
    path = (base or Path.cwd()) / name
    if name in built_in:
        where, text = f"policy {name}", built_in[name].read_text("utf-8")
    elif path.is_file():
        where, text = str(path), path.read_text("utf-8")
    else:
        raise SpecError(f'unknown policy "{name}"; {did_you_mean(name, built_in)}', fix="or give a policy file's path")
    try:
        policy = Policy.model_validate(plain(text, where))
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SpecError(f"not a policy: {what}", where=where) from error
    if name not in built_in and policy.name in built_in and policy != load_policy(policy.name):
        raise SpecError(f'"{policy.name}" is the name of a built-in policy, and this is another', where=where)
    return policy


def judge(scores: Mapping[str, Score], policy: Policy | Mapping[str, Any], attempts: int = 1) -> tuple[Gate, ...]:
    """One gate per limit of the policy, against intervals whose error is divided by the number of attempts.

    To pass, every gate must pass: that errs no more often than one gate does (intersection-union test, Berger 1982). To
    fail, one is enough: so that many gates do not find fault with honest rows by chance, a failure must also stand
    Holm's correction over all gates; else it is inconclusive, and blocks as well.
    """
    if not isinstance(policy, Policy):
        policy = Policy.model_validate(policy)
    attempts = max(attempts, 1)
    gates = [_gate(name, limit, scores.get(name), attempts) for name, limit in policy.gates.items()]
    known = [gate for gate in gates if gate.value is not None]
    stands = dict(
        zip([gate.name for gate in known], holm([_p(gate, attempts) for gate in known], 0.05 / attempts), strict=True)
    )
    told = "; together with the other gates that may be chance (Holm)"
    return tuple(
        replace(gate, verdict="inconclusive", reason=gate.reason + told)
        if gate.verdict == "fail" and not stands.get(gate.name)
        else gate
        for gate in gates
    )


def check_policy(policy: Policy, known: Collection[str], source_free: bool) -> None:
    """Refuses, before any time is spent, a policy that cannot be meant.

    Args:
        known: the scores that the modality gives.
        source_free: whether the generator sees no private row.

    Raises:
        SpecError: a gate on what is not measured, or no gate that protects people although rows of people are learned.
    """
    from synth_pipeline.evaluation.report.words import protects

    for name in policy.gates:
        if name not in known:
            raise SpecError(f'policy "{policy.name}": no measure is called "{name}"; {did_you_mean(name, known)}')
    if not source_free and (policy.source_free or not any(map(protects, policy.gates))):
        raise SpecError(
            f'policy "{policy.name}" has no privacy gates: it is for generators that see no private rows',
            fix="choose `internal` or `public`",
        )


def aim(limit: float, train: int, holdout: int, queries: int) -> float:
    """The copy excess at which a generator passes `limit` 19 times in 20.

    It leaves room for the gate's half-width at these sizes, and for the chance in the measured value itself.

    An eighth of the limit where the sizes leave no room: then only more rows, or a larger holdout, would help.
    """
    if not train or not holdout:
        return limit / 8
    independent = 1 / (1 / searched(queries, train, holdout) + _CLUSTERED / (train + holdout))
    deviation = math.sqrt(train / holdout / independent)  # of (share - π) / (1 - π), share binomial around π
    own = 1 / math.sqrt(min(_OWN_TEST, train))  # of the generator's own test, on halves of train
    return max(limit - 1.96 * deviation - 1.645 * math.hypot(deviation, own), limit / 8)


def verdict(gates: Iterable[Gate], checks: Iterable[Mapping[str, Any]] = ()) -> Verdict:
    """Pass only if every gate passed and every blocking check did; a failure outweighs what is inconclusive."""
    outcomes = {gate.verdict for gate in gates}
    outcomes |= {"fail" for check in checks if check.get("blocking", True) and check.get("passed") is not True}
    if not outcomes or "fail" in outcomes:
        return "fail"
    return "pass" if outcomes == {"pass"} else "inconclusive"


def blockers(gates: Iterable[Gate], checks: Iterable[Mapping[str, Any]] = ()) -> list[str]:
    """Why something is not published: one sentence per gate or check that did not pass."""
    told = [f"{gate.name}: {gate.verdict}: {gate.reason}" for gate in gates if gate.verdict != "pass"]
    broken = [check for check in checks if check.get("blocking", True) and check.get("passed") is not True]
    return told + [f"{check.get('name', 'check')}: {check.get('note') or 'failed'}" for check in broken]


def _gate(name: str, limit: Limit, score: Score | None, attempts: int) -> Gate:
    threshold = limit.max if limit.max is not None else limit.min
    assert threshold is not None
    unknown = _unknown(score, limit)
    if score is None or score.value is None or unknown:
        return Gate(name, None, None, None, threshold, "inconclusive", unknown or "it was not measured")
    base = (score.reference or 0.0) if limit.over_reference else 0.0
    value, low, high = score.value - base, *_widened(score, attempts)
    low, high = low - base, high - base
    if score.n < limit.minimum_n:
        reason = f"{score.n} rows or units; {limit.minimum_n} are needed"
        return Gate(name, value, low, high, threshold, "inconclusive", reason)
    upper = limit.max is not None
    bad, good = (high, low) if upper else (low, high)
    sign = 1 if upper else -1
    if sign * (bad - threshold) <= 0:
        return Gate(name, value, low, high, threshold, "pass")
    if sign * (good - threshold) > 0:
        reason = f"{value:.4g} [{low:.4g}, {high:.4g}] breaks the limit of {threshold:.4g}"
        return Gate(name, value, low, high, threshold, "fail", reason)
    reason = f"the limit of {threshold:.4g} lies within [{low:.4g}, {high:.4g}]"
    room = sign * (threshold - value)
    if room > 0 and score.n:
        needed = math.ceil(score.n * ((sign * (bad - value)) / room) ** 2)
        more = f"about {needed} rows or units would tell" if needed < _MANY * score.n else "it lies at the limit itself"
        reason += f"; {more}, {score.n} were there"
    return Gate(name, value, low, high, threshold, "inconclusive", reason)


def _p(gate: Gate, attempts: int) -> float:
    """The smallest level at which the gate's interval would still break its limit; 1 for one that does not fail."""
    if gate.verdict != "fail":
        return 1.0
    assert gate.value is not None
    assert gate.low is not None
    assert gate.high is not None
    above = gate.value > gate.threshold
    reach = gate.value - gate.low if above else gate.high - gate.value
    if reach <= 0:  # an exact value
        return 0.0
    grow = abs(gate.value - gate.threshold) / reach
    certain = (gate.high if above else gate.low) == gate.value  # such ends grow with the square, see _widened
    return 2 * (1 - NormalDist().cdf(z(1 - 0.05 / attempts) * (math.sqrt(grow) if certain else grow)))


def _unknown(score: Score | None, limit: Limit) -> str:
    """Why there is nothing to judge; empty when there is."""
    if score is None:
        return "it was not measured"
    if score.error:
        return f"it could not be measured: {score.error}"
    if score.value is None:
        return score.note or "it has no value"
    if not all(math.isfinite(end) for end in (score.value, score.low, score.high) if end is not None):
        return "it is not a number"
    if limit.over_reference and (score.reference is None or not math.isfinite(score.reference)):
        return "it has no reference"
    return ""


def _widened(score: Score, attempts: int) -> tuple[float, float]:
    """The interval at level 1 - 0.05 / attempts (Bonferroni), from the one at 95 %.

    Ends grow with the normal quantile; from a value at the other end of its interval (a count of none or of all),
    they grow with its square, as Wilson's do.
    """
    assert score.value is not None
    if (score.low is None) != (score.high is None):  # a bound on one side says nothing about the other
        return (-_OPEN if score.low is None else score.low), (_OPEN if score.high is None else score.high)
    low = score.value if score.low is None else score.low
    high = score.value if score.high is None else score.high
    grow = z(1 - 0.05 / attempts) / z()
    below = grow if high > score.value else grow**2
    above = grow if low < score.value else grow**2
    return score.value - (score.value - low) * below, score.value + (high - score.value) * above


@cache
def _folder() -> Any:
    return files("synth_pipeline.evaluation") / "policies"
