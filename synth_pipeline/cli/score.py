"""`synth score`: the pipeline's own measures and gates on a synthetic table that anyone made."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated, Any

import typer

_COLOURS = {"pass": "green", "fail": "red", "inconclusive": "yellow"}


def score(
    real: Annotated[str, typer.Option(help="The real rows that the generator learned: a file, glob, folder or URI.")],
    holdout: Annotated[str, typer.Option(help="Real rows of the same kind that it never saw.")],
    synthetic: Annotated[str, typer.Option(help="What it made.")],
    target: Annotated[str | None, typer.Option(help="Column that a model would predict: adds tstr_ratio.")] = None,
    sensitive: Annotated[list[str] | None, typer.Option(help="Column of a group to protect; may be repeated.")] = None,
    policy: Annotated[str, typer.Option(help="`internal`, `public`, or a policy file.")] = "internal",
    earlier: Annotated[
        list[str] | None, typer.Option(help="An earlier release of the same source; may be repeated. They add up.")
    ] = None,
    full: Annotated[
        bool,
        typer.Option("--full", help="The full set: also the slower measures, and every synthetic row searched for."),
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="End stdout with one JSON object.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write the internal report here (HTML).")] = None,
    seed: Annotated[int, typer.Option(help="Root of every random draw.")] = 0,
) -> None:
    """Score a synthetic table against the real rows it was learned from and held-out ones.

    Exit codes: 0 every gate passed, 3 one failed or is inconclusive, 2 wrong usage, 1 failure.
    """
    from synth_pipeline.errors import SpecError, did_you_mean
    from synth_pipeline.evaluation.cumulative import with_earlier
    from synth_pipeline.evaluation.gates import check_policy, judge, load_policy, verdict
    from synth_pipeline.evaluation.intervals import searched
    from synth_pipeline.evaluation.scorecard import Scorecard
    from synth_pipeline.protocols.measure import Evidence
    from synth_pipeline.protocols.registry import find
    from synth_pipeline.records.sources import read_tables
    from synth_pipeline.seeds import Seeds

    limits = load_policy(policy)
    modality = find("modalities", "tabular")()
    # a table cannot show what its generator saw; but to judge its quality alone is nobody's risk
    check_policy(limits, modality.scores(), source_free=not limits.source_free)
    train, held, made = read_tables([real, holdout, synthetic])
    for name in filter(None, (target, *(sensitive or ()))):
        if name not in train.column_names:
            raise SpecError(f'no column "{name}"; {did_you_mean(name, train.column_names)}', where=real)
    evidence = Evidence(
        train=train,
        holdout=held,
        synthetic=made,
        released=made,
        seeds=Seeds(seed, ("score",)),
        target=target,
        sensitive=tuple(sensitive or ()),
        full=full,
        queries=made.num_rows if full else searched(20_000, train.num_rows, held.num_rows),
    )
    evidence = with_earlier(evidence, ((table.num_rows, table.to_batches()) for table in _read(earlier)))
    findings = modality.measure(evidence)
    gates = judge(findings.scores, limits)
    card = Scorecard(
        dataset=Path(synthetic).name,
        partition=None,
        policy=limits.to_json(),
        scores=findings.scores,
        gates=gates,
        verdict=verdict(gates),
        judged={},
        details=findings.details,
    )
    _show(card)
    if report is not None:
        _write(card, evidence, report)
    if json_:
        print(_line(card))  # noqa: T201
    raise typer.Exit(0 if card.verdict == "pass" else 3)


def _read(paths: list[str] | None) -> Iterator[Any]:
    """Each on its own: an odd column of an old file shall not change how the others' values are read."""
    from synth_pipeline.records.sources import read_tables

    for path in paths or ():
        yield read_tables([path])[0]


def _line(card: Any) -> str:
    names = ("value", "low", "high", "reference", "n", "detects", "seconds", "note")
    measures = {
        name: {**{key: getattr(score, key) for key in names}, **({"error": score.error} if score.error else {})}
        for name, score in card.scores.items()
    }
    note = {
        "measures": measures,
        "gates": [asdict(gate) for gate in card.gates],
        "verdict": card.verdict,
        "not_tested": list(card.details.get("not_tested", ())),
    }
    return json.dumps(_plain(note), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    """What is no number has no value."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _show(card: Any) -> None:
    """Measures by family and verdicts on stderr, for people."""
    from rich.console import Console
    from rich.table import Table

    # numbers are not cut: a terminal that is too narrow breaks the lines itself
    width = max(get_terminal_size().columns, 120) if sys.stderr.isatty() else 160
    console = Console(stderr=True, highlight=False, soft_wrap=True, width=width)
    gates = {gate.name: gate for gate in card.gates}
    table = Table(box=None, pad_edge=False)
    table.add_column("measure", no_wrap=True)
    for title in ("value", "95 % interval", "held-out", "would notice", "n", "s", "limit"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for title, names in _families(card.scores):
        table.add_row(f"[bold]{title}[/]")
        for name in names:
            _row(table, name, card.scores[name], gates.get(name))
    console.print(table)
    for name, score in card.scores.items():
        if score.value is None and name not in gates:
            console.print(f"{name}: not measured: {score.error or score.note}", markup=False)
    for gate in card.gates:
        if gate.verdict != "pass":
            console.print(f"{gate.name}: {gate.verdict}: {gate.reason}", markup=False)
    if untested := card.details.get("not_tested"):
        console.print("not tested:")
        for what in untested:
            console.print(f"  {what}", markup=False)
    colour = _COLOURS.get(card.verdict, "yellow")
    console.print(f"{card.verdict} under policy {card.policy['name']}", style=f"bold {colour}")


def _families(scores: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Measures by what they are about, privacy first; each family in the order in which it was measured."""
    from synth_pipeline.evaluation.report.words import GROUPS, MEASURES, PRIVACY

    for family, (title, _) in GROUPS.items():
        names = [name for name in scores if (MEASURES[name].group if name in MEASURES else "other") == family]
        if names:
            yield f"Privacy: {title.lower()}" if family in PRIVACY else title, names


def _row(table: Any, name: str, score: Any, gate: Any) -> None:
    colour = _COLOURS[gate.verdict] if gate else "dim"
    verdict = gate.verdict if gate else "not measured" if score.value is None else "told only"
    table.add_row(
        f"  {name}",
        _short(score.value) or "–",
        "" if score.low is None else f"{_short(score.low)} … {_short(score.high)}",
        _short(score.reference),
        _short(score.detects),
        str(score.n or ""),
        f"{score.seconds:.1f}",
        _short(gate.threshold) if gate else "",
        f"[{colour}]{verdict}[/]",
    )


def _write(card: Any, evidence: Any, path: Path) -> None:
    from synth_pipeline.evaluation.profile import compare, profile
    from synth_pipeline.evaluation.report import render_internal
    from synth_pipeline.records.files import replace

    seeds = evidence.seeds.child("profile")
    profiles = {
        "real": profile(evidence.train, seeds=seeds, internal=True),
        "synthetic": profile(evidence.released, seeds=seeds, internal=True),
        "comparison": compare(evidence.train, evidence.released, seeds),
    }
    replace(path.absolute(), render_internal(card, profile=profiles, history=(), lineage={}).encode())
    print(f"report  {path}", file=sys.stderr)  # noqa: T201


def _short(value: Any) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
