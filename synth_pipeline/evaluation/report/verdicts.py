"""What the gates, measures and checks said: the banner, cards, tables and warnings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from synth_pipeline.evaluation.report import charts, phrases, words
from synth_pipeline.evaluation.report.charts import number
from synth_pipeline.evaluation.report.tables import Table, sentence, short, table
from synth_pipeline.evaluation.report.wording import Words
from synth_pipeline.evaluation.scorecard import Gate, Scorecard
from synth_pipeline.protocols.measure import Score


def banner(scorecard: Scorecard) -> dict[str, Any]:
    """The verdict in one sentence, and each reason against it."""
    blocking = [check for check in scorecard.checks if check.get("blocking", True) and not check.get("passed")]
    failed = [gate for gate in scorecard.gates if gate.verdict != "pass"]
    verdict = "fail" if blocking and scorecard.verdict == "pass" else scorecard.verdict
    headline, text = phrases.BANNERS[verdict]
    if blocking and not any(gate.verdict == "fail" for gate in failed):
        headline, text = phrases.BROKEN
    if unprotected(scorecard):
        headline, text = phrases.FREE if verdict == "pass" else (headline, f"{text} {phrases.FREE[1]}")
    text = text.replace("{policy}", short(scorecard.policy.get("name", "")))
    why = [_why(gate, scorecard) for gate in failed]
    why += [f"{short(check['name'])}: {short(check.get('note', 'failed'), 300)}." for check in blocking]
    tone = "free" if verdict == "pass" and unprotected(scorecard) else verdict
    sign = "i" if tone == "free" else phrases.VERDICTS[verdict][0]
    return {"verdict": verdict, "tone": tone, "sign": sign, "headline": headline, "text": text, "why": why}


def unprotected(scorecard: Scorecard) -> bool:
    """Whether the policy has no gate that protects people: right only where the generator saw no private row."""
    limits = scorecard.policy.get("gates") or {}
    return bool(limits) and not any(map(words.protects, limits))


def _why(gate: Gate, scorecard: Scorecard) -> str:
    about, limit = words.of(gate.name), _limit(scorecard, gate.name)
    if gate.value is None:
        return f"{about.title}: not measured. {sentence(gate.reason)}".strip()
    interval = f" (interval {about.show(gate.low)} to {about.show(gate.high)})" if gate.low is not None else ""
    above = " against held-out rows" if limit.over else ""
    asked = f"{'at least' if limit.at_least else 'at most'} {about.show(gate.threshold)} is asked for"
    return f"{about.title}: {about.show(gate.value)}{above}{interval}, {asked}. {_explained(gate)}"


def _explained(gate: Gate) -> str:
    """Why a gate did not pass, and how many rows would tell, where the gate says so."""
    if gate.value is None or gate.verdict == "pass":
        return sentence(gate.reason)
    if gate.verdict == "inconclusive" and "Holm" in gate.reason:
        return phrases.HOLM
    if gate.verdict == "inconclusive" and "lies within" not in gate.reason and gate.reason:
        return sentence(f"Too few to decide: {gate.reason}" if gate.reason.endswith("are needed") else gate.reason)
    _, _, more = gate.reason.partition("; ")
    return f"{phrases.VERDICTS[gate.verdict][2]} {sentence(more)}".strip()


def gates(scorecard: Scorecard) -> list[dict[str, Any]]:
    """One card per gate; what did not pass comes first."""
    order = {"fail": 0, "inconclusive": 1, "pass": 2}
    ranked = sorted(scorecard.gates, key=lambda gate: order.get(gate.verdict, 0))
    return [card(scorecard, gate.name, gate) for gate in ranked]


def card(scorecard: Scorecard, name: str, gate: Gate | None = None) -> dict[str, Any]:
    score = scorecard.scores.get(name) or Score(None, error="no such measure")
    about, limit = words.of(name), _limit(scorecard, name)
    if gate is None:
        value, low, high, reference, verdict = score.value, score.low, score.high, score.reference, ""
    else:
        verdict, value, low, high = gate.verdict, gate.value, gate.low, gate.high
        reference = 0.0 if limit.over else score.reference
    # a gate over the reference is drawn from the reference on
    base = score.reference or 0.0 if gate and limit.over else 0.0
    detects = None if score.detects is None or low is None or score.detects == base else score.detects - base
    gauge = charts.gauge(
        value,
        low,
        high,
        limit=gate.threshold if gate else None,
        at_least=limit.at_least,
        reference=reference,
        reference_name=about.beside,
        detects=detects,
        verdict=verdict,
        show=about.show,
        span=about.span,
    )
    compared = (
        f"Measured against held-out rows, which score {about.show(score.reference)}." if gate and limit.over else ""
    )
    explained = _explained(gate) if gate and value is not None else ""
    return {
        "words": about,
        "gated": gate is not None,
        "verdict": verdict,
        "value": value,
        "low": low,
        "high": high,
        "n": score.n,
        "notice": about.notice(score.detects, score.reference, over=bool(gate and limit.over))
        if low is not None
        else "",
        "over": bool(gate and limit.over),
        "beyond": gate is None and words.protects(name) and beyond(score),
        "interval": interval(about, low, high),
        "explained": " ".join(filter(None, (compared, explained))),
        "note": _told_by(score),
        "error": "" if value is not None and not score.error else _why_not(score, gate),
        "gauge": gauge,
    }


def interval(about: Words, low: float | None, high: float | None) -> str:
    """Both ends, or the one that is known."""
    if low is None or high is None:
        return "" if low is None else f"at least {about.show(low)}"
    return f"{about.show(low)} to {about.show(high)}"


def beyond(score: Score) -> bool:
    """Whether a measure that no gate holds is more than chance explains."""
    return score.low is not None and score.reference is not None and score.low > score.reference


def _why_not(score: Score, gate: Gate | None) -> str:
    told = score.error or (gate.reason if gate else "") or score.note or "there is no value"
    return sentence(short(told, 300))


def _told_by(score: Score) -> str:
    return sentence(short(score.note, 300))


def measures(scorecard: Scorecard) -> list[Table]:
    """One table per group of measures, in the report's order."""
    order = {name: place for place, name in enumerate(words.MEASURES)}
    names = sorted(scorecard.scores, key=lambda name: order.get(name, len(order)))
    out = []
    for group, (title, question) in words.GROUPS.items():
        rows = [_row(scorecard, name) for name in names if words.of(name).group == group]
        if made := table(f"{title}: {question}", _HEAD, ("t", "n", "n", "n", "n", "n", "n", "n", "w"), rows):
            out.append(made)
    return out


_HEAD = (
    "Measure",
    "Value",
    "95\u00a0% interval",
    "Reference",
    "n",
    "Would notice",
    "Seconds",
    "Limit",
    "Verdict",
)


def _row(scorecard: Scorecard, name: str) -> tuple[Any, ...]:
    about, score, asked = words.of(name), scorecard.scores[name], _limit(scorecard, name)
    gate = next((gate for gate in scorecard.gates if gate.name == name), None)
    limit = f"{'≥' if asked.at_least else '≤'} {about.show(gate.threshold)}" if gate else "–"
    over = Markup("<small>over reference</small>") if gate and asked.over else ""
    note = sentence(short(score.error or score.note, 300))
    return (
        Markup("{}<small>{}</small><small>{}</small>").format(about.title, name, note),
        about.show(score.value) if not score.error else "–",
        interval(about, score.low, score.high) or "–",
        about.show(score.reference),
        number(score.n) if score.n else "–",
        about.limit(score.detects, score.reference) if score.low is not None else "–",
        f"{score.seconds:.1f}" if score.seconds else "–",
        limit + over,
        " ".join(phrases.VERDICTS[gate.verdict][:2]) if gate else "",
    )


def checks(scorecard: Scorecard, details: Mapping[str, Any]) -> dict[str, Any] | None:
    """What did not pass, or everything when it is little; passed checks are folded away."""
    if not scorecard.checks:
        return None
    rows = [(check.get("passed"), _check(check)) for check in scorecard.checks]
    broken, kept = [row for passed, row in rows if not passed], [row for passed, row in rows if passed]
    head, kinds = ("Check", "Result", "Found", "Rows looked at"), ("t", "w", "t", "n")
    folded = len(kept) > 12
    shown = broken if folded and broken else broken + kept if not folded else kept[:6]
    rules = [
        (short(rule["constraint"], 200), number(rule["violations"]), number(rule["of"]))
        for rule in details.get("constraints") or ()
    ]
    told = f"{len(rows):,} checks of the contract and of what survived the privacy filter: "
    told += f"{len(broken):,} did not pass." if broken else "all passed."
    rest = kept if broken else kept[6:]
    return {
        "told": told,
        "table": Table("Checks", head, kinds, shown),
        "kept": Table("Passed", head, kinds, rest[:600]) if folded else None,
        "constraints": Table("Constraints", ("Constraint", "Rows that break it", "Of rows"), ("t", "n", "n"), rules)
        if rules
        else None,
    }


def _check(check: Mapping[str, Any]) -> tuple[Any, ...]:
    passed = "✓ passed" if check.get("passed") else "✕ failed" if check.get("blocking", True) else "! warning"
    return (short(check["name"], 120), passed, short(check.get("note", ""), 400), number(check.get("rows")))


def warnings(scorecard: Scorecard, details: Mapping[str, Any]) -> list[str]:
    crashed = [
        f"{words.of(name).title} could not be measured ({short(error, 200)})."
        for name, error in (details.get("errors") or {}).items()
    ]
    return [sentence(short(text, 600)) for text in scorecard.warnings[:100]] + crashed


@dataclass(frozen=True)
class _Limit:
    """Which way a policy's limit points, and whether it is held against the difference from held-out rows."""

    at_least: bool
    over: bool


def _limit(scorecard: Scorecard, name: str) -> _Limit:
    note = (scorecard.policy.get("gates") or {}).get(name) or {}
    at_least = note.get("min") is not None if note else words.of(name).at_least
    return _Limit(at_least, bool(note.get("over_reference")))
