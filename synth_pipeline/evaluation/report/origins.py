"""Where a dataset comes from, what protected it, and how to load it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synth_pipeline.evaluation.report.charts import number, percent
from synth_pipeline.evaluation.report.tables import Table, short, table
from synth_pipeline.evaluation.scorecard import Scorecard


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
    return table("Protections", head, ("", "", "", "n", "t"), rows[: 4 * most])


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
