"""`synth score`: the pipeline's own measures and gates on a synthetic table that anyone made."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer


def score(
    real: Annotated[str, typer.Option(help="The real rows that the generator learned: a file, glob, folder or URI.")],
    holdout: Annotated[str, typer.Option(help="Real rows of the same kind that it never saw.")],
    synthetic: Annotated[str, typer.Option(help="What it made.")],
    target: Annotated[str | None, typer.Option(help="Column that a model would predict: adds tstr_ratio.")] = None,
    sensitive: Annotated[list[str] | None, typer.Option(help="Column of a group to protect; may be repeated.")] = None,
    policy: Annotated[str, typer.Option(help="`internal`, `public`, or a policy file.")] = "internal",
    full: Annotated[bool, typer.Option("--full", help="All synthetic rows as queries of the search; slower.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="End stdout with one JSON object.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write the internal report here (HTML).")] = None,
    seed: Annotated[int, typer.Option(help="Root of every random draw.")] = 0,
) -> None:
    """Score a synthetic table against the real rows it was learned from and held-out ones.

    Exit codes: 0 every gate passed, 3 one failed or is inconclusive, 2 wrong usage, 1 failure.
    """
    from synth_pipeline.errors import SpecError, did_you_mean
    from synth_pipeline.evaluation.gates import judge, load_policy, verdict
    from synth_pipeline.evaluation.intervals import searched
    from synth_pipeline.evaluation.scorecard import Scorecard
    from synth_pipeline.protocols.measure import Evidence
    from synth_pipeline.protocols.registry import find
    from synth_pipeline.records.sources import read_tables
    from synth_pipeline.seeds import Seeds

    limits = load_policy(policy)
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
    findings = find("modalities", "tabular")().measure(evidence)
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


def _line(card: Any) -> str:
    names = ("value", "low", "high", "reference", "n")
    measures = {
        name: {**{key: getattr(score, key) for key in names}, **({"error": score.error} if score.error else {})}
        for name, score in card.scores.items()
    }
    note = {"measures": measures, "gates": [asdict(gate) for gate in card.gates], "verdict": card.verdict}
    return json.dumps(note, ensure_ascii=False, allow_nan=False)


def _show(card: Any) -> None:
    """Measures and verdicts on stderr, for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=True, highlight=False, soft_wrap=True, width=None if sys.stderr.isatty() else 160)
    gates = {gate.name: gate for gate in card.gates}
    table = Table("measure", "value", "95 % interval", "held-out rows", "n", "limit", "verdict", box=None)
    for name, score in card.scores.items():
        gate = gates.get(name)
        colour = {"pass": "green", "fail": "red", "inconclusive": "yellow"}[gate.verdict] if gate else "dim"
        between = "" if score.low is None else f"{_short(score.low)} … {_short(score.high)}"
        table.add_row(
            name,
            _short(score.value) or score.error or score.note,
            between,
            _short(score.reference),
            str(score.n or ""),
            _short(gate.threshold) if gate else "",
            f"[{colour}]{gate.verdict if gate else 'told only'}[/]",
        )
    console.print(table)
    for gate in card.gates:
        if gate.verdict != "pass":
            console.print(f"{gate.name}: {gate.verdict}: {gate.reason}", markup=False)
    colour = {"pass": "green", "fail": "red"}.get(card.verdict, "yellow")
    console.print(f"{card.verdict} under policy {card.policy['name']}", style=f"bold {colour}")


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
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
