"""`README.md`: the dataset card, with the YAML by which `load_dataset` just works; a pure function of the manifest."""

from __future__ import annotations

import re
from typing import Any

import yaml

from synth_pipeline.publishing import prose
from synth_pipeline.publishing.manifest import Manifest

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))


def card(manifest: Manifest) -> bytes:
    """The Markdown text. Names and descriptions come from outside: they are shown, never interpreted."""
    head = yaml.safe_dump(_front(manifest), sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n{_body(manifest)}".encode()


def inert(text: str) -> str:
    """Text that Markdown, HTML and template engines show as it is."""
    line = re.sub(r"[\s\x00-\x1f\x7f]+", " ", text).strip()
    line = re.sub(r"[&<>`*\[\]{}|\\#~!$=@]", lambda sign: f"&#{ord(sign[0])};", line)
    return re.sub(r"^([-+_])|^(\d+)([.)])", lambda m: f"&#{ord(m[1])};" if m[1] else f"{m[2]}&#{ord(m[3])};", line)


def _front(manifest: Manifest) -> dict[str, Any]:
    single = len(manifest.tables) == 1
    configs = []
    for table in manifest.tables:
        folder = "data" if single else f"data/{table.name}"
        splits = dict.fromkeys(file.split or "train" for file in manifest.data_files(table.name))
        files = [{"split": split, "path": f"{folder}/{split}-*.parquet"} for split in splits]
        configs.append({"config_name": "default" if single else table.name, "data_files": files})
    return {
        "pretty_name": manifest.dataset,
        "license": manifest.licence or "unknown",
        "tags": ["synthetic", manifest.modality, "synth-pipeline"],
        "annotations_creators": ["machine-generated"],
        "size_categories": [next((name for limit, name in _SIZES if manifest.rows < limit), "n>10M")],
        "configs": configs,
    }


def _body(manifest: Manifest) -> str:
    whole = f"{manifest.dataset}, partition {manifest.partition}" if manifest.partition else manifest.dataset
    parts = [f"# {inert(whole)}", inert(manifest.description) or prose.summary(manifest)]
    parts.append(
        f"**Synthetic data** ({manifest.digital_source_type}), version {manifest.version}, {manifest.created_at[:10]}. "
        "No row describes a real case."
    )
    if manifest.source.simulated:
        parts.append("**The source itself is simulated**: it never held real persons.")
    parts.append("## How to load it\n\n```python\n" + _snippet(manifest) + "\n```")
    for table in manifest.tables:
        parts.append(f"## Columns of {inert(table.name)} ({table.rows:,} rows)")
        rows = ["| column | type | meaning | description |", "| --- | --- | --- | --- |"]
        for field in table.fields:
            told = inert(field.description) + (f" (invented {inert(field.surrogate)})" if field.surrogate else "")
            rows.append(f"| {_shown(field.name)} | {inert(field.type)} | {field.meaning} | {told.strip()} |")
        parts.append("\n".join(rows))
    parts.append(_measured(manifest))
    for title, text in (
        ("Where it comes from", f"Derived from {prose.derived_from(manifest)}. {prose.generated_by(manifest)}"),
        ("Personal and sensitive information", prose.personal(manifest)),
        ("Limitations", prose.limitations(manifest)),
        ("Biases", prose.biases(manifest)),
        ("Uses", prose.uses(manifest)),
        ("Social impact", prose.impact(manifest)),
        ("Licence", _licence(manifest)),
        ("Citation of the source", manifest.source.citation),
    ):
        if text:
            parts.append(f"## {title}\n\n{inert(text)}")
    return "\n\n".join(parts) + "\n"


def _snippet(manifest: Manifest) -> str:
    where = f', partition="{manifest.partition}"' if manifest.partition else ""
    glob = "data/*.parquet" if len(manifest.tables) == 1 else f"data/{manifest.tables[0].name}/*.parquet"
    return "\n".join(
        [
            "import synth_pipeline",
            f'synth_pipeline.load("{manifest.dataset}", version="{manifest.version}"{where}).to_pandas()',
            "",
            "# or, in this folder, with whatever you like:",
            'datasets.load_dataset(".")',
            f'polars.scan_parquet("{glob}")',
            f"duckdb.sql(\"from '{glob}'\")",
        ]
    )


def _measured(manifest: Manifest) -> str:
    rows = [
        "## What was measured",
        "",
        "| gate | value | 95 % interval | limit | verdict |",
        "| --- | --- | --- | --- | --- |",
    ]
    for gate in manifest.validation.gates:
        low, high = gate.get("low"), gate.get("high")
        between = f"{_number(low)} to {_number(high)}" if low is not None or high is not None else ""
        name, verdict = inert(str(gate.get("name", ""))), inert(str(gate.get("verdict", "")))
        rows.append(
            f"| {name} | {_number(gate.get('value'))} | {between} | {_number(gate.get('threshold'))} | {verdict} |"
        )
    many = (
        f"{manifest.validation.attempts} synthetic contents of this source and kind of generator have been scored"
        if (manifest.validation.attempts > 1)
        else "This is the first synthetic content of this source and kind of generator that was scored"
    )
    return "\n".join(rows) + f"\n\n{many}. Everything else measured: `scorecard.json`; in pictures: `report.html`."


def _licence(manifest: Manifest) -> str:
    parts = [f"This dataset: {manifest.licence or 'not stated'}."]
    if manifest.source.licence:
        parts.append(f"Its source: {manifest.source.licence}.")
    if manifest.training.licence:
        parts.append(f"The generator's software: {manifest.training.licence}.")
    return " ".join(parts)


def _number(value: Any) -> str:
    return f"{value or 0:.4g}" if isinstance(value, int | float) else ""  # no "-0"


def _shown(name: str) -> str:
    return inert(name if len(name) <= 120 else name[:119] + "…") or "(empty)"
