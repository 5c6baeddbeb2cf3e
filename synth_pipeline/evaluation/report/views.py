"""From a scorecard to what the page shows, section by section; a part that is missing leaves its section out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from synth_pipeline.evaluation.report import charts, words
from synth_pipeline.evaluation.report.charts import number, percent
from synth_pipeline.evaluation.report.svg import short as cut
from synth_pipeline.evaluation.scorecard import Scorecard
from synth_pipeline.protocols.measure import Score

OPEN = 12
"""Columns shown before the rest is folded away."""


@dataclass(frozen=True)
class Table:
    """A table of the page; `kinds` are its columns' classes: "n" numbers, "t" long text.

    Neighbouring rows with the same first cell share one heading.
    """

    caption: str
    head: Sequence[str]
    kinds: Sequence[str]
    rows: Sequence[Sequence[Any]]
    more: str = ""

    @property
    def spans(self) -> list[int]:
        """Per row, how many rows its heading stands for; 0: an earlier row's heading stands for it."""
        spans: list[int] = []
        begin = 0
        for i, row in enumerate(self.rows):
            same = i > 0 and row[0] == self.rows[begin][0]
            spans.append(0 if same else 1)
            begin = begin if same else i
            spans[begin] += same
        return spans


def short(text: Any, most: int = 80) -> str:
    """Any name as one line."""
    return cut(text, most)


def sentence(text: str) -> str:
    """A note as a sentence of its own."""
    text = text.strip()
    return text and text[0].upper() + text[1:] + ("" if text[-1] in ".!?…" else ".")


def banner(scorecard: Scorecard) -> dict[str, Any]:
    """The verdict in one sentence, and each reason against it."""
    blocking = [check for check in scorecard.checks if check.get("blocking", True) and not check.get("passed")]
    failed = [gate for gate in scorecard.gates if gate.verdict != "pass"]
    verdict = "fail" if blocking and scorecard.verdict == "pass" else scorecard.verdict
    headline, text = words.BANNERS[verdict]
    if blocking:
        headline = "A check failed" if not failed else headline
        text = "What the data must keep was not kept: this table is not published." if not failed else text
    why = [_why(gate) for gate in failed]
    why += [f"{short(check['name'])}: {short(check.get('note', 'failed'), 300)}." for check in blocking]
    return {"verdict": verdict, "sign": words.VERDICTS[verdict][0], "headline": headline, "text": text, "why": why}


def _why(gate: Any) -> str:
    about = words.of(gate.name)
    if gate.value is None:
        return f"{about.title}: not measured. {gate.reason}".strip()
    interval = f" (95 % interval {about.show(gate.low)} to {about.show(gate.high)})" if gate.low is not None else ""
    limit = f"{'at least' if about.at_least else 'at most'} {about.show(gate.threshold)} is asked for"
    explained = gate.reason or words.VERDICTS[gate.verdict][2]
    return f"{about.title}: {about.show(gate.value)}{interval}, {limit}. {explained.rstrip('.')}."


def facts(scorecard: Scorecard, lineage: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a reader asks first."""
    sizes = scorecard.details.get("sizes") or {}
    training, generation = lineage.get("training") or {}, lineage.get("generation") or {}
    policy = scorecard.policy
    found = [
        ("Rows", number(generation.get("rows") or sizes.get("released"))),
        ("Columns", number(sizes.get("columns"))),
        ("Learned from", f"{number(sizes['train'])} rows" if "train" in sizes else "–"),
        ("Held out", f"{number(sizes['holdout'])} rows" if "holdout" in sizes else "–"),
        ("Generator", short(training.get("generator") or "–", 40)),
        ("Policy", f"{short(policy.get('name', '–'), 40)} {policy.get('version', '')}".strip()),
        ("Attempts", number(scorecard.attempts)),
        ("Created", str(lineage.get("created_at") or "")[:10] or "–"),
    ]
    return [(name, value) for name, value in found if value != "–"]


def gates(scorecard: Scorecard) -> list[dict[str, Any]]:
    """One card per gate; what did not pass comes first."""
    order = {"fail": 0, "inconclusive": 1, "pass": 2}
    ranked = sorted(scorecard.gates, key=lambda gate: order.get(gate.verdict, 0))
    return [_card(scorecard, gate.name, gate) for gate in ranked]


def _card(scorecard: Scorecard, name: str, gate: Any = None) -> dict[str, Any]:
    score = scorecard.scores.get(name) or Score(None, error="no such measure")
    about = words.of(name)
    gate = gate or next((gate for gate in scorecard.gates if gate.name == name), None)
    expected = (scorecard.details.get("copying") or {}).get("pi") if name == "nearest_share" else None
    value, low, high = (gate.value, gate.low, gate.high) if gate else (score.value, score.low, score.high)
    return {
        "words": about,
        "gated": gate is not None,
        "verdict": gate.verdict if gate else "",
        "value": value,
        "low": low,
        "high": high,
        "n": score.n,
        "note": sentence(short(score.note, 300)),
        "error": score.error or ("" if value is not None else (gate.reason if gate else "") or "there is no value"),
        "reason": sentence(short(gate.reason, 300)) if gate and value is not None else "",
        "gauge": charts.gauge(
            value,
            low,
            high,
            limit=gate.threshold if gate else None,
            at_least=about.at_least,
            reference=score.reference,
            expected=expected,
            verdict=gate.verdict if gate else "",
            show=about.show,
        ),
    }


def copying(scorecard: Scorecard, details: Mapping[str, Any]) -> dict[str, Any] | None:
    gated = {gate.name for gate in scorecard.gates}
    names = [n for n in scorecard.scores if words.of(n).group == "copying" and n not in gated]
    note = details.get("copying") or {}
    distances = note.get("distances") or {}
    series = [
        ("synthetic to training", distances.get("synthetic_to_train", ()), "synthetic"),
        ("synthetic to held-out", distances.get("synthetic_to_holdout", ()), "real"),
        ("held-out to training", distances.get("holdout_to_train", ()), "holdout"),
    ]
    exact = note.get("exact") or {}
    found = {
        "measures": [_card(scorecard, name) for name in names],
        "distances": charts.curves(distances["edges"], series) if distances.get("edges") else "",
        "has_real": bool(sum(distances.get("holdout_to_train", ()))),
        "exact": charts.bars(
            [
                {"name": "equal to a training row", "value": exact["in_train"], "kind": "synthetic"},
                {"name": "equal to a held-out row", "value": exact["in_holdout"], "kind": "real"},
            ]
        )
        if exact.get("of")
        else "",
        "exact_of": exact.get("of"),
        "replay": Table(
            "Nearly unique values that came back",
            ("Column", "In training", "In held-out", "Of distinct values"),
            ("", "n", "n", "n"),
            [
                (short(r["name"]), number(r["in_train"]), number(r["in_holdout"]), number(r["of"]))
                for r in note["replay"]
            ],
        )
        if note.get("replay")
        else None,
    }
    return found if names or found["distances"] or found["exact"] or found["replay"] else None


def columns(scorecard: Scorecard, details: Mapping[str, Any], most: int) -> dict[str, Any] | None:
    """Overlays, worst first; `most` of them drawn, the others named with their numbers."""
    notes = list(details.get("columns") or ())
    if not notes:
        return None
    absent = {"meaning": "", "shape_error": None, "reference": None, "missing": None}
    drawn = [{**absent, **note, "chart": _overlay(note)} for note in notes[:most]]
    rest, shown = notes[most:], notes[most : most + 20 * most]
    told = _average(scorecard, "shape_error") + (f" The {most} worst of {len(notes):,} are drawn." if rest else "")
    listed = Table(
        "The remaining columns",
        ("Column", "Meaning", "Shape error", "Held-out rows"),
        ("", "", "n", "n"),
        [
            (short(n["name"], 60), n.get("meaning", ""), number(n.get("shape_error")), number(n.get("reference")))
            for n in shown
        ],
        f"{len(rest) - len(shown):,} more are in the scorecard." if len(rest) > len(shown) else "",
    )
    return {"told": told, "first": drawn[:OPEN], "more": drawn[OPEN:], "rest": listed if rest else None}


def _average(scorecard: Scorecard, name: str) -> str:
    """A measure as a sentence's end, for the sections that show where it comes from."""
    score, about = scorecard.scores.get(name), words.of(name)
    if score is None or score.value is None:
        return ""
    beside = f" (held-out rows: {about.show(score.reference)})" if score.reference is not None else ""
    return f" On average they are {about.show(score.value)} apart{beside}."


def _overlay(note: Mapping[str, Any]) -> Any:
    real, synthetic = note.get("real") or (), note.get("synthetic") or ()
    if note.get("kind") == "histogram":
        return charts.histogram(note.get("edges") or (), real, synthetic, name=short(note["name"]))
    return charts.levels(note.get("levels") or (), real, synthetic, name=short(note["name"]))


def associations(scorecard: Scorecard, details: Mapping[str, Any]) -> dict[str, Any] | None:
    note = details.get("associations") or {}
    names = [short(name) for name in note.get("columns") or ()]
    if len(names) < 2:
        return None
    real, synthetic = note["real"], note["synthetic"]
    cut = slice(0, charts.MAX_MATRIX)
    difference = [
        [None if a is None or b is None else b - a for a, b in zip(x[cut], y[cut], strict=True)]
        for x, y in zip(real[cut], synthetic[cut], strict=True)
    ]
    pairs = [
        (f"{short(p['a'], 40)} × {short(p['b'], 40)}", number(p["trend_error"]), number(p.get("reference")))
        for p in details.get("pairs") or ()
    ]
    return {
        "told": _average(scorecard, "trend_error")
        + (f" The first {charts.MAX_MATRIX} of {len(names):,} columns." if len(names) > charts.MAX_MATRIX else ""),
        "real": charts.matrix(names, real),
        "synthetic": charts.matrix(names, synthetic),
        "difference": charts.matrix(names, difference, scale="difference"),
        "pairs": Table("Pairs of columns", ("Pair", "Error", "Held-out rows"), ("t", "n", "n"), pairs)
        if pairs
        else None,
    }


def pca(details: Mapping[str, Any]) -> dict[str, Any] | None:
    note = details.get("pca") or {}
    if not note.get("synthetic"):
        return None
    explained = note.get("explained")
    return {
        "chart": charts.scatter(note["synthetic"], note.get("real_density") or {}),
        "explained": percent(sum(explained)) if explained else "",
    }


def utility(scorecard: Scorecard, details: Mapping[str, Any]) -> dict[str, Any] | None:
    note = details.get("utility") or {}
    gated = {gate.name for gate in scorecard.gates}
    measured = [
        _card(scorecard, name)
        for name in ("tstr_ratio", "c2st_auc")
        if name in scorecard.scores and name not in gated and scorecard.scores[name].value is not None
    ]
    models = [
        {**model, "kind": "synthetic" if "synthetic" in model.get("name", "") else "real"}
        for model in note.get("models") or ()
    ]
    if not models and not measured:
        return None
    told = "How useful the synthetic table is in place of the real one."
    if note.get("target"):
        told = f"A model that predicts “{short(note['target'])}”, once learned from synthetic and once from real rows."
    return {
        "told": told,
        "title": f"{note.get('metric') or 'Score'} on unseen real rows",
        "bars": charts.bars(models),
        "measures": measured,
    }


def training(history: Iterable[Mapping[str, Any]]) -> list[tuple[str, Any, float]]:
    """One curve per value that the generator reported, at most twelve."""
    series: dict[str, list[tuple[float, float]]] = {}
    for place, point in enumerate(history):
        step = point.get("step", place)
        for name, value in point.items():
            if name != "step" and isinstance(value, int | float) and not isinstance(value, bool):
                series.setdefault(str(name), []).append((float(step), float(value)))
    return [(name, charts.lines(points, name=short(name)), points[-1][1]) for name, points in list(series.items())[:12]]


def measures(scorecard: Scorecard) -> Table | None:
    gated = {gate.name: gate for gate in scorecard.gates}
    rows = []
    for name, score in scorecard.scores.items():
        about, gate = words.of(name), gated.get(name)
        limit = f"{'≥' if about.at_least else '≤'} {about.show(gate.threshold)}" if gate else "–"
        rows.append(
            (
                Markup("{}<small>{}</small>").format(about.title, name),
                about.show(score.value) if not score.error else "–",
                f"{about.show(score.low)} to {about.show(score.high)}" if score.low is not None else "–",
                about.show(score.reference),
                number(score.n) if score.n else "–",
                limit,
                " ".join(words.VERDICTS[gate.verdict][:2]) if gate else "",
                short(score.error or score.note, 300),
            )
        )
    head = ("Measure", "Value", "95\u00a0% interval", "Reference", "n", "Limit", "Verdict", "Note")
    return _table("Measures", head, ("t", "n", "n", "n", "n", "n", "w", "t"), rows)


def _table(caption: str, head: Sequence[str], kinds: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table | None:
    """A table less the columns in which nothing is said."""
    said = [i for i in range(len(head)) if any(row[i] not in ("", "–") for row in rows)]
    if not rows:
        return None
    kept = [[row[i] for i in said] for row in rows]
    return Table(caption, [head[i] for i in said], [kinds[i] for i in said], kept)


def checks(scorecard: Scorecard, details: Mapping[str, Any]) -> dict[str, Any] | None:
    """What did not pass, or everything when it is little; passed checks are folded away."""
    if not scorecard.checks:
        return None
    rows = [(check.get("passed"), _check(check)) for check in scorecard.checks]
    broken, kept = [row for passed, row in rows if not passed], [row for passed, row in rows if passed]
    head, kinds = ("Check", "Result", "Found", "Rows looked at"), ("", "", "t", "n")
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


_ACTIONS = {
    "fake": "replaced by fakes",
    "hash": "replaced by keyed codes",
    "mask": "masked",
    "generalise": "generalised",
    "suppress": "rare levels suppressed",
    "keep": "kept as it is",
    "drop": "dropped",
}


def protections(
    found: Sequence[Mapping[str, Any]], most: int, actions: Mapping[str, Mapping[str, Any]] | None = None
) -> Table | None:
    rows = [_protection(note) for note in found]
    told = {str(note.get("column")) for note in found}
    rows += [_protection({"column": c, "action": a}) for c, a in (actions or {}).items() if c not in told]
    head = ("Column", "Found in it", "Done to it", "Share of values", "Reason")
    return _table("Protections", head, ("", "", "", "n", "t"), rows[: 4 * most])


def _protection(note: Mapping[str, Any]) -> tuple[Any, ...]:
    action = note.get("action") or ""
    kind = str(action.get("type", "")) if isinstance(action, Mapping) else str(action)
    entity = note.get("entity") or (action.get("entity") if isinstance(action, Mapping) else None) or "–"
    share = note.get("share")
    shown = percent(share) if isinstance(share, int | float) else str(share or "–")
    reason = note.get("reason") or (action.get("reason", "") if isinstance(action, Mapping) else "")
    return (short(note.get("column", "")), short(entity), _ACTIONS.get(kind, kind or "–"), shown, short(reason, 200))


def lineage(note: Mapping[str, Any]) -> dict[str, Any] | None:
    """The chain from source to here, and the settings that make it again."""
    if not note:
        return None
    source, training, generation = (note.get(key) or {} for key in ("source", "training", "generation"))
    upstream = note.get("upstream") or {}
    rows = source.get("rows") or {}
    held = " + ".join(f"{number(count)} {name}" for name, count in rows.items() if count and name != "rejected")
    chain = [
        (
            "Source",
            short(source.get("kind") or ("simulated" if source.get("simulated") else "")),
            source.get("content_id"),
        ),
        ("Ingested", held, upstream.get("ingested")),
        ("Protected", "personal data replaced", upstream.get("protected")),
        ("Model", short(training.get("generator", "")), upstream.get("model")),
        (
            "Synthetic",
            f"{number(generation['rows'])} rows" if generation.get("rows") else "",
            upstream.get("synthetic"),
        ),
        ("Scorecard", (note.get("validation") or {}).get("verdict", ""), upstream.get("scorecard")),
    ]
    flat: list[tuple[str, str]] = []
    for section in ("source", "privacy", "training", "generation", "code", "execution"):
        part: Mapping[str, Any] = note.get(section) or {}
        for key, value in part.items():
            if key not in ("actions", "found") and (text := _told(value)):
                flat.append((f"{section}: {key.replace('_', ' ')}", text))
    return {
        "chain": [{"name": name, "note": text, "id": str(id_ or "")} for name, text, id_ in chain if text or id_],
        "table": Table("Settings", ("What", "Value"), ("", "t"), flat) if flat else None,
    }


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_told(item)}" for key, item in value.items() if _told(item))[:600]
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, map(_told, value)))[:600]
    return "" if value is None or value == "" else short(number(value), 300)


def load(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Snippets that run as they are from the release's folder."""
    name = str(manifest.get("dataset", "dataset"))
    version = str(manifest.get("version") or "latest")
    partition = f', partition="{manifest["partition"]}"' if manifest.get("partition") else ""
    return [
        (
            "synth_pipeline",
            f'import synth_pipeline\n\nrows = synth_pipeline.load(\n    "{name}", version="{version}"{partition}\n)\n'
            "frame = rows.to_pandas()  # hashes are verified",
        ),
        ("Hugging Face datasets", 'from datasets import load_dataset\n\nrows = load_dataset(".", split="train")'),
        ("Polars", 'import polars as pl\n\nframe = pl.scan_parquet("data").collect()'),
        ("DuckDB", "SELECT * FROM 'data/*.parquet' LIMIT 10;"),
    ]
