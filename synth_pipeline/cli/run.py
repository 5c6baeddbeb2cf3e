"""`synth run`: a file or a declared dataset through all six stages, as a run that Dagster's UI shows afterwards."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synth_pipeline.cli.adhoc import Wishes, declare, is_source, source_of, unknown, without_secrets
from synth_pipeline.errors import SpecError, SynthError

if TYPE_CHECKING:
    from synth_pipeline.orchestration.execute import Went

STAGES = ("ingest", "protect", "train", "generate", "validate", "export")


def run(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE_OR_DATASET", help="A file, glob, folder or URI; or a dataset's name.")
    ],
    name: Annotated[str | None, typer.Option(help="Of the dataset; the file's name if not given.")] = None,
    modality: Annotated[str | None, typer.Option(help="What kind of data this is.")] = None,
    generator: Annotated[str | None, typer.Option(help="What learns the data, e.g. trees, ctgan.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Any field of the YAML; may be repeated.")
    ] = None,
    rows: Annotated[int | None, typer.Option(help="Rows to publish; as many as train rows if not given.")] = None,
    seed: Annotated[int | None, typer.Option(help="Root of every public random draw.")] = None,
    holdout: Annotated[str | None, typer.Option(help="A file with the rows to hold out.")] = None,
    partition: Annotated[str | None, typer.Option(help="Which partition of a partitioned dataset.")] = None,
    policy: Annotated[str | None, typer.Option(help="internal, public, or a policy file.")] = None,
    store: Annotated[str | None, typer.Option(help="Where releases go.")] = None,
    table: Annotated[str | None, typer.Option(help="Of a database: the table to read.")] = None,
    query: Annotated[str | None, typer.Option(help="Of a database: the SELECT to read.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Recompute what is there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line of stdout.")] = False,
) -> None:
    """Make, judge and publish a synthetic dataset."""
    wishes = Wishes(modality, generator, tuple(set_ or ()), rows, seed, holdout, policy)
    note: dict[str, Any] = _empty(name or without_secrets(source))
    code = 1
    try:
        note, code = _run(source, name, wishes, partition, store, force, table, query)
    except SynthError as error:
        note["error"], code = str(error), error.exit_code
        raise
    finally:
        if as_json:
            note["exit_code"] = code
            print(json.dumps(note, ensure_ascii=False), flush=True)  # noqa: T201
    raise typer.Exit(code)


def _run(
    source: str,
    name: str | None,
    wishes: Wishes,
    partition: str | None,
    store: str | None,
    force: bool,
    table: str | None,
    query: str | None,
) -> tuple[dict[str, Any], int]:
    from synth_pipeline.cli.progress import lines
    from synth_pipeline.orchestration.execute import execute
    from synth_pipeline.orchestration.location import Project, declared, load
    from synth_pipeline.progress import listening
    from synth_pipeline.records.home import Home
    from synth_pipeline.spec import yaml

    taken = declared()
    if source in taken and name is None:
        if table is not None or query is not None:
            raise SpecError(f'"{source}" says in its YAML what it reads', where=str(taken[source]), fix="edit it there")
        component = load(taken[source], source)
        assert component.spec is not None  # load raises otherwise
        spec, base = component.spec, component.base
        if wishes != Wishes():
            given = spec.model_dump(mode="json", exclude_unset=True)
            spec = yaml.validate(wishes.apply(given), yaml.Document({}, "command line"), render=str)
    elif is_source(source):
        # this very spec, not the file: another run may write that anew at any time
        spec, _ = declare(source_of(source, table, query), name, wishes, taken, Home.find())
        base = Project.find().root
    elif source in taken:
        raise SpecError(f'"{source}" is a dataset and has its name already', fix="leave out --name")
    else:
        raise unknown(source, taken)
    with lines() as shown, listening(shown):
        went = execute(spec, base, partition=partition, store=_place(store), force=force)
    note = _note(spec.name, went)
    _show(note, went)
    return note, went.failed.exit_code if went.failed else 0


def _place(store: str | None) -> str | None:
    return store if store is None or "://" in store else str(Path(store).expanduser().absolute())


def _empty(name: str) -> dict[str, Any]:
    return {
        "dataset": name,
        "version": None,
        "release": None,
        "published": False,
        "reused": False,
        "gates": [],
        "rows": None,
        "seconds": dict.fromkeys(STAGES),
        "scorecard": None,
        "report": None,
    }


def _note(name: str, went: Went) -> dict[str, Any]:
    """The JSON: keys may be added later, never removed."""
    note = _empty(name) | {"run_id": went.run_id}
    note["seconds"] = {stage: went.stages.get(stage, {}).get("seconds") for stage in STAGES}
    if drawn := went.stages.get("generate"):
        note["rows"] = drawn.get("dagster/row_count")
    if judged := went.stages.get("validate"):
        folder = Path(judged["folder"])
        card = json.loads((folder / "scorecard.json").read_bytes())
        names = ("name", "value", "low", "high", "threshold", "verdict", "reason")
        note["gates"] = [{key: gate.get(key) for key in names} for gate in card["gates"]]
        note["scorecard"] = str(folder / "scorecard.json")
        note["report"] = str(folder / "report.html")
    if out := went.stages.get("export"):
        note |= {"version": out["version"], "release": out["path"], "report": out["report"], "published": True}
        note |= {"reused": out["reused"], "rows": out.get("dagster/row_count")}
    if went.failed:
        note |= {"error": went.failed.reason, "checks": dict(went.broken)}
    return note


def _show(note: dict[str, Any], went: Went) -> None:
    """Verdicts, reasons and paths, for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if note["gates"]:
        table = Table("gate", "value", "95 % interval", "limit", "verdict", box=None, pad_edge=False)
        for gate in note["gates"]:
            colour = {"pass": "green", "fail": "red"}.get(gate["verdict"], "yellow")
            between = (
                ""
                if gate["low"] is None and gate["high"] is None
                else f"{_short(gate['low'])} … {_short(gate['high'])}"
            )
            verdict = f"[{colour}]{gate['verdict']}[/]"
            table.add_row(gate["name"], _short(gate["value"]), between, _short(gate["threshold"]), verdict)
        console.print(table)
    for stage, shown in went.stages.items():
        if warnings := shown.get("warnings"):
            for line in str(warnings).splitlines():
                text = re.sub(r"\\(.)", r"\1", line.removeprefix("* "))  # it was escaped for Markdown
                console.print(f"{stage}: {text}", style="yellow", markup=False)
    if went.failed:
        if went.failed.exit_code == 3:
            console.print("not published", style="bold red")
            for reason in _reasons(note, went):
                console.print(f"  {reason}", markup=False)
        else:
            console.print(went.failed.reason, style="bold red", markup=False)
    else:
        state = "unchanged, already published as" if note["reused"] else "published"
        console.print(f"{state} {note['dataset']} {note['version']}, {note['rows']:,} rows", style="bold green")
        console.print(f"release    {note['release']}", markup=False)
    if note["scorecard"]:
        console.print(f"scorecard  {note['scorecard']}", markup=False)
        console.print(f"report     {note['report']}", markup=False)


def _reasons(note: dict[str, Any], went: Went) -> list[str]:
    open_gates = [gate for gate in note["gates"] if gate["verdict"] != "pass"]
    reasons = [
        f"{gate['name']}: {gate['verdict']}, {gate['reason'] or 'limit ' + _short(gate['threshold'])}"
        for gate in open_gates
    ]
    reasons += [f"{check}: {text}" for check, text in went.broken.items() if check != "scorecard gates"]
    return reasons or [went.failed.reason if went.failed else ""]


def _short(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
