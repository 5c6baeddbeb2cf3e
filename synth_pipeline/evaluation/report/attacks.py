"""What attackers found out, told as a person would: one card per attack, membership, and the canary audit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from synth_pipeline.evaluation.report import charts, words
from synth_pipeline.evaluation.report.charts import number, percent
from synth_pipeline.evaluation.report.forest import forest, roc
from synth_pipeline.evaluation.report.svg import finite
from synth_pipeline.evaluation.report.tables import Table, sentence, short
from synth_pipeline.evaluation.report.verdicts import card
from synth_pipeline.evaluation.scorecard import Scorecard

_SAID = {
    "singling_out_univariate": "Someone who takes a rare value from the synthetic table and claims that exactly one "
    "person has it is right in {a} claims about the people in the data, and in {c} about people who are not in it.",
    "singling_out_multivariate": "Someone who takes a combination of values from the synthetic table and claims that "
    "exactly one person has it is right in {a} claims about the people in the data, and in {c} about people who are "
    "not in it.",
    "linkability": "Someone who holds two files, each with some of the fields, and joins a person's two records by "
    "way of the synthetic table finds the right one in {a} cases for people in the data, and in {c} for people who "
    "are not in it.",
    "attribute_inference_overall": "Someone who knows all fields of a person but one and wants that one, whichever it "
    "is, is right in {a} cases about people in the data, and in {c} about people who are not in it.",
    "attribute_inference": "Someone who knows the other fields of a person and wants a hidden one is right in {a} "
    "cases about people in the data, and in {c} about people who are not in it.",
}
_MEMBERSHIP = ("mia_auc", "mia_tpr")
_ATTACKERS = {
    "distance": "distance to synthetic rows",
    "calibrated": "… over distance to real people",
    "density": "density of synthetic over real rows",
    "classifier": "classifier of synthetic and real rows",
}


def attacks(scorecard: Scorecard, details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One card per attack; measured ones without details are told by their score alone."""
    entries = [entry for entry in details.get("attacks") or () if entry.get("name")]
    told = {entry["name"] for entry in entries}
    bare = [
        {"name": name}
        for name in scorecard.scores
        if words.of(name).group == "attacks" and name not in {*told, *_MEMBERSHIP, "audit_epsilon"}
    ]
    order = {name: place for place, name in enumerate(words.MEASURES)}
    return [_card(scorecard, entry) for entry in sorted([*entries, *bare], key=lambda e: order.get(e["name"], 99))]


def _card(scorecard: Scorecard, entry: Mapping[str, Any]) -> dict[str, Any]:
    name = str(entry["name"])
    gate = next((gate for gate in scorecard.gates if gate.name == name), None)
    shown = card(scorecard, name, gate)
    rates = [
        {"name": "people in the data", "value": entry.get("rate"), "kind": "synthetic"},
        {"name": "people not in the data", "value": entry.get("control"), "kind": "real"},
    ]
    return {
        **shown,
        "beyond": gate is None and bool(entry.get("beyond", shown["beyond"])),
        "said": _sentences(entry),
        "knows": sentence(short(entry.get("knows", ""), 400)),
        "rates": charts.bars(rates, show=percent, whole=1.0, spoken="How often the attacker is right"),
        "counts": _counts(entry),
        "parts": _parts(entry),
    }


def _sentences(entry: Mapping[str, Any]) -> str:
    """What the attack comes to, in whole cases of a hundred, and what of it is due to the data."""
    rate, control, risk = (entry.get(key) for key in ("rate", "control", "risk"))
    low, high = entry.get("low"), entry.get("high")
    if not finite(rate) or not finite(control):
        return ""
    first = _SAID.get(str(entry["name"]), "The attacker is right in {a} cases about people in the data, and in {c} "
                      "about people who are not in it.")  # fmt: skip
    if worst := _worst(entry):
        first = first.replace("a hidden one", f"a hidden one (here {worst})")
    said = first.replace("{a}", _of_100(rate)).replace("{c}", _of_100(control))
    if not finite(risk) or not finite(high) or (high >= 1 and not finite(low)):
        return f"{said} These are too few cases to say what the data add to chance."
    if entry.get("beyond", finite(low) and low > 0):
        return (
            f"{said} So of the cases that chance would get wrong, the table gives away about "
            f"{_of_100(risk)} ({percent(low)} to {percent(high)}): more than chance explains."
        )
    return (
        f"{said} The difference is no larger than chance makes it: of the cases that chance would get wrong, the table "
        f"gives away at most {percent(max(high, 0.0))}, as far as these attacks tell."
    )


def _worst(entry: Mapping[str, Any]) -> str:
    """The part that the attack as a whole is told of."""
    whole = [entry.get(key) for key in ("rate", "control", "n")]
    same = (p for p in entry.get("parts") or () if [p.get(key) for key in ("rate", "control", "n")] == whole)
    part = next(same, None)
    return short(part["name"], 60) if part else ""


def _of_100(share: float) -> str:
    """A share as whole cases."""
    if share <= 0:
        return "hardly any of 100"  # true as well where a small rate was rounded down
    if share < 0.0005:
        return "fewer than 1 of 1,000"
    if share < 0.0095:
        return f"{math.floor(1000 * share + 0.5)} of 1,000"
    if 0.995 <= share < 1:
        return "more than 99 of 100"
    return f"{math.floor(100 * share + 0.5)} of 100"


def _counts(entry: Mapping[str, Any]) -> str:
    """How many attacks it rests on."""
    n, control = entry.get("n"), entry.get("n_control")
    return f"{number(n)} attacks on people in the data, {number(control)} on people who are not." if n else ""


def _parts(entry: Mapping[str, Any]) -> Table | None:
    parts = [part for part in entry.get("parts") or () if part.get("name") is not None]
    rows = [
        (
            short(part["name"], 80),
            percent(part.get("rate")),
            percent(part.get("control")),
            percent(part.get("risk")),
            interval(part, percent),
            " / ".join(number(part.get(key)) for key in ("n", "n_control")),
        )
        for part in sorted(parts, key=lambda part: -(part.get("risk") if finite(part.get("risk")) else -math.inf))
    ]
    head = ("Part", "Right, in the data", "Right, not in it", "Risk", "95\u00a0% interval", "Attacks on each")
    return Table("By part, riskiest first", head, ("t", "n", "n", "n", "n", "n"), rows[:40]) if rows else None


def membership(scorecard: Scorecard, details: Mapping[str, Any]) -> dict[str, Any] | None:
    """The attackers who ask whether a person was in the data."""
    note = details.get("membership") or {}
    gates = {gate.name: gate for gate in scorecard.gates}
    cards = [card(scorecard, name, gates.get(name)) for name in _MEMBERSHIP if name in scorecard.scores]
    attackers = list(note.get("attacks") or ())
    if not cards and not attackers:
        return None
    fpr = note.get("fpr") or 0.01
    curve = note.get("roc") or {}
    tails = [
        {"name": _attacker(a), "value": a.get("tpr"), "low": a.get("tpr_low"), "high": a.get("tpr_high")}
        for a in attackers
    ]
    measurable = any(finite(row["value"]) for row in tails)
    return {
        "told": _who(attackers, note),
        "cards": cards,
        "attackers": forest(
            [{**a, "name": _attacker(a), "value": a.get("auc")} for a in attackers],
            "How often each attacker tells a member from a stranger (AUC)",
            chance=0.5,
            span=(0.45, 0.6),
        ),
        "tails": forest(tails, f"Members recognised at {percent(fpr)} false alarms", chance=fpr, show=percent)
        if measurable
        else "",
        "tail_missing": bool(attackers) and not measurable,
        "fpr": percent(fpr),
        "roc": roc(curve.get("fpr") or (), curve.get("tpr") or (), at=fpr),
        "roc_name": short(curve.get("name", ""), 40),
        "groups": by_part(note.get("groups"), "AUC by group", "auc"),
        "deciles": by_part(deciles(note.get("deciles")), "AUC by tenth of unusualness", "auc"),
    }


def _who(attackers: list[Mapping[str, Any]], note: Mapping[str, Any]) -> str:
    best = max((a for a in attackers if finite(a.get("auc"))), key=lambda a: a["auc"], default=None)
    if best is None:
        return ""
    of = f" ({number(note['n'])} people in the data, {number(note.get('n_control'))} not)" if note.get("n") else ""
    low = best.get("low")
    verdict = (
        "which is no better than tossing a coin, as far as these people tell"
        if not finite(low) or low <= 0.5
        else "where tossing a coin would be right in 50"
    )
    return (
        "Someone holds the whole records of two people, one of whom was in the training data, and says which. "
        f"The best of {len(attackers)} attackers is right in {round(100 * best['auc'])} of 100 such pairs, "
        f"{verdict}{of}."
    )


def _attacker(attack: Mapping[str, Any]) -> str:
    name = str(attack.get("name", ""))
    return _ATTACKERS.get(name, name)


def audit(scorecard: Scorecard, details: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the canaries proved: a lower bound, and never more than that."""
    note = details.get("audit") or {}
    if not note and "audit_epsilon" not in scorecard.scores:
        return None
    gate = next((gate for gate in scorecard.gates if gate.name == "audit_epsilon"), None)
    score, epsilon = scorecard.scores.get("audit_epsilon"), note.get("epsilon")
    epsilon = score.value if epsilon is None and score else epsilon
    said, level = "", note.get("level")
    if note.get("canaries"):
        said = f"{number(note['canaries'])} canaries were shown to the model or kept back by the toss of a coin; "
        said += f"the auditor dared {number(note.get('guesses'))} guesses"
        said += f" and was right in {percent(level)} of them, where the coin alone gives 50\u00a0%." if level else "."
    sure = percent(note.get("confidence", 0.95))
    if finite(epsilon) and epsilon > 0:
        means = (
            f"With {sure} confidence the training leaks at least ε = {number(epsilon)}: there is a record with which "
            f"some outcome is at least e^ε = {number(math.exp(min(epsilon, 50)))} times as likely as without it."
        )
    else:
        means = "No leak could be proved: the auditor did no better than the coin."
    return {
        "card": card(scorecard, "audit_epsilon", gate) if score else None,
        "said": said,
        "means": means,
        "generator": short(note.get("generator", ""), 60),
    }


def deciles(parts: Any) -> list[dict[str, Any]]:
    """Tenths of the records by how unusual they are, the most unusual first."""
    ranked = sorted(parts or (), key=lambda part: -int(part["name"]) if str(part.get("name")).isdigit() else 0)
    ends = {"10": "10, most unusual", "1": "1, most usual"}
    return [{**part, "name": ends.get(str(part.get("name")), f"{part.get('name')}")} for part in ranked]


def by_part(
    parts: Any, spoken: str, key: str, *, chance: float = 0.5, show: Any = number, span: tuple[float, ...] = (0.45, 0.6)
) -> dict[str, Any] | None:
    """Many intervals beside chance, and how many of them miss it by chance alone."""
    rows = [{**part, "value": part.get(key), "name": _sized(part)} for part in parts or ()]
    chart = forest(rows[:40], spoken, chance=chance, show=show, span=span)
    if not chart:
        return None
    above = sum(1 for row in rows if finite(row.get("low")) and row["low"] > chance)
    told = f"{number(above)} of {len(rows)}" if above else f"none of {len(rows)}"
    note = f"Lying wholly above the line: {told}; by chance alone it would be about one interval in forty."
    return {"chart": chart, "note": note}


def _sized(part: Mapping[str, Any]) -> str:
    sizes = [number(part[key]) for key in ("n", "n_control") if part.get(key)]
    told = f", n = {' + '.join(sizes)}" if sizes else ""
    return short(part.get("name", ""), 46 - len(told)) + told


def interval(part: Mapping[str, Any], show: Any, low: str = "low", high: str = "high") -> str:
    ends = part.get(low), part.get(high)
    if ends[0] is None or ends[1] is None:
        return "–"
    return f"{show(ends[0])} to {show(ends[1])}"
