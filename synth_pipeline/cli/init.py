"""`synth init`: a commented `defs.yaml` for a source, with every column that inference found."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml as pyyaml

from synth_pipeline.cli.adhoc import source_of, split_password
from synth_pipeline.errors import SpecError
from synth_pipeline.records.files import create
from synth_pipeline.records.home import Home, project_root
from synth_pipeline.records.inference import Decision
from synth_pipeline.records.schema import Meaning
from synth_pipeline.spec import yaml
from synth_pipeline.spec.dataset import DatasetSpec

SCHEMA = "synthetic_dataset.schema.json"
"""What editors complete and check the YAML by; a pure function of this package's version."""

_HINTS = """\

  # Further sections, all optional; hover over a field, or see `synth_pipeline.spec`, for what it means.
  # split: {fraction: 0.2}                     # or {column: …, values: […]}, or {holdout: FILE}
  # constraints:
  #   - {type: inequality, low: COLUMN, high: COLUMN}
  # privacy:
  #   columns: {COLUMN: {type: fake, entity: email}}
  # generator: {type: trees}
  # generation: {ratio: 1.0}
  # validation: {policy: internal}             # or public, or a policy file
  # export: {formats: [parquet, csv], licence: CC0-1.0}
  # schedule: {cron: "0 3 * * *"}
"""


def init(
    name: Annotated[str, typer.Argument(help="Name of the new dataset: small letters, digits and _.")],
    source: Annotated[str, typer.Option("--from", help="File, glob, folder, URI or database.")],
    table: Annotated[str | None, typer.Option(help="Table of a database.")] = None,
    query: Annotated[str | None, typer.Option(help="SELECT of a database.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Write defs/NAME/defs.yaml for a source: every column with its meaning, ready to run and to edit."""
    path, decisions, warnings = write_definition(name, source_of(source, table, query))
    if as_json:
        columns = {d.column.name: {"meaning": d.column.meaning.value, "type": str(d.column.type)} for d in decisions}
        note = {"dataset": name, "definition": str(path), "columns": columns, "warnings": warnings}
        typer.echo(json.dumps(note, ensure_ascii=False))
        return
    for warning in warnings:
        typer.echo(f"note: {warning}", err=True)
    typer.echo(f"{path}\nnext: look at the columns, then `synth run {name}`", err=True)


def write_definition(name: str, source: Mapping[str, Any]) -> tuple[Path, list[Decision], list[str]]:
    """The new file, what was found out about its columns, and what a person should know.

    Raises:
        SpecError: the name is taken, or is no name.
        SourceError: the source cannot be read.
    """
    _without_password(name, source)  # raises, before anything is read
    root = project_root()
    folder = _folder(name, root)
    path = folder / "defs.yaml"
    if path.exists():
        raise SpecError(f'"{name}" is declared already', where=str(path), fix="edit that file, or choose another name")
    spec = yaml.validate({"name": name, "source": dict(source)}, yaml.Document({}, "synth init"), render=str)
    decisions, warnings = _look(spec)
    schema = _write_schema(root)
    text = definition(name, _portable(name, source, root), decisions, os.path.relpath(schema, folder))
    try:
        create(path, text.encode())
    except FileExistsError:
        raise SpecError(f'"{name}" has just been declared by somebody else', where=str(path)) from None
    return path, decisions, warnings


def definition(name: str, source: Mapping[str, Any], decisions: list[Decision], schema: str) -> str:
    """The YAML's text."""
    head = yaml.write({"name": name, "description": "", "modality": "tabular", "source": source})
    lines = [
        f"# yaml-language-server: $schema={schema}",
        f"# Written by `synth init {name}`; edit it as you like. `synth run {name}` publishes it.",
        head.rstrip("\n"),
        "  # What inference found over all rows. What you change here is a promise: values that break it are rejected.",
        "  # Say `roles: [entity]` of the column that names a person, `[primary_key]` of one that is unique,",
        "  # `[target]` of what a model would predict, `[sensitive]` of what must not be disclosed.",
        "  columns:",
    ]
    for decision in decisions:
        *before, last = _column(decision)
        lines += [f"    {line}" for line in before] + [f"    {last}  # {_comment(decision)}"]
    return "\n".join(lines) + "\n" + _HINTS


def _look(spec: DatasetSpec) -> tuple[list[Decision], list[str]]:
    from synth_pipeline.records.intake import Input, Intake, settle
    from synth_pipeline.records.sources import open_source

    # copies of what can be read only once stay in the private place
    with tempfile.TemporaryDirectory(dir=Home.find().folder("work"), prefix=".init-") as scratch:
        opened = open_source(spec.source, Path.cwd(), None, "")
        opened.fetch(Path(scratch))
        intake = Intake([Input("train", opened)])
        reading, notes = settle(intake, lambda rows: None)
        reading.check(getattr(spec.source, "max_rejects", 0.01))
        decisions = reading.decisions()
    return decisions, [*intake.warnings, *notes, *(note for d in decisions for note in d.warnings)]


def _folder(name: str, root: Path | None) -> Path:
    if root is None:
        return Home.find().definitions / name
    from synth_pipeline.orchestration.location import Project

    return Project.find().folder / name


def _portable(name: str, source: Mapping[str, Any], root: Path | None) -> dict[str, Any]:
    """Files inside the project are named from its root, so that the project can move."""
    path = source.get("path")
    if root is None or path is None or "://" in path or not Path(path).is_relative_to(root):
        return _without_password(name, source)
    inside = Path(path).relative_to(root).as_posix()
    return {**source, "path": yaml.Template("{{ project_root }}/" + inside)} if "{{" not in inside else dict(source)


def _without_password(name: str, source: Mapping[str, Any]) -> dict[str, Any]:
    """The database driver finds PGPASSWORD and ~/.pgpass by itself; for anything else the YAML names a variable."""
    found = dict(source)
    if told := split_password(str(source.get("url", ""))):
        found["url"] = told[0].removesuffix(":") + told[2]
    if told := split_password(str(source.get("path", ""))):
        found["path"] = yaml.Template(f"{told[0]}{{{{ env('SYNTH_{name.upper()}_PASSWORD') }}}}{told[2]}")
    return found


def _write_schema(root: Path | None) -> Path:
    """Where the modeline points; written anew each time, since it belongs to the installed version."""
    from synth_pipeline.records.files import replace

    path = (root / ".dg" if root else Home.find().folder()) / SCHEMA
    attributes = DatasetSpec.model_json_schema(ref_template="#/$defs/{model}")
    definitions = attributes.pop("$defs", {})
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": definitions,
        "type": "object",
        "properties": {"type": {"const": yaml.COMPONENT}, "attributes": attributes},
        "required": ["type", "attributes"],
    }
    replace(path, json.dumps(schema, indent=1).encode())
    return path


def _column(decision: Decision) -> list[str]:
    """The column's entry, one line unless its name is long or strange."""
    entry = {decision.column.name: {"meaning": decision.column.meaning.value}}
    for plain in (True, False):  # PyYAML leaves some rare signs bare: then all that is not ASCII is escaped
        text = pyyaml.safe_dump(entry, default_flow_style=None, allow_unicode=plain, width=10_000)
        if pyyaml.safe_load(text) == entry:
            break
    return text.rstrip("\n").split("\n")


def _comment(decision: Decision) -> str:
    column, evidence = decision.column, decision.evidence
    parts = [str(column.type), str(evidence["why"])]
    if column.meaning in (Meaning.CATEGORY, Meaning.NUMBER, Meaning.IDENTIFIER):
        parts.append(f"{evidence['distinct']:,} different")
    if evidence["missing"]:
        parts.append(f"{evidence['missing']:.1%} missing")
    if column.meaning is Meaning.TEXT:
        parts.append("dropped unless `privacy.columns` says otherwise")
    return ", ".join(parts)
