"""`synth audit`: how easily a dataset's generator gives away what it was trained on, by canaries."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from synth_pipeline.cli.releases import Json, Partition, StoreAt


def audit(
    dataset: Annotated[str, typer.Argument(help="A declared dataset's name.")],
    partition: Partition = None,
    canaries: Annotated[
        int | None,
        typer.Option(help="Made-up rows, about half of them trained on; the YAML's, else 1000.", min=100, max=100_000),
    ] = None,
    store: StoreAt = None,
    json_: Json = False,
) -> None:
    """Train the dataset's generator once more, on rows with canaries among them, and see which can be told.

    Reads and protects the source first, where that is not done yet. Nothing is published, and the model is wiped.
    Exit codes: 0 audited, 2 wrong usage, 1 failure.
    """
    from synth_pipeline.cli.progress import lines
    from synth_pipeline.cli.run import _place
    from synth_pipeline.orchestration.execute import check_partition
    from synth_pipeline.orchestration.location import dataset as find
    from synth_pipeline.progress import listening
    from synth_pipeline.publishing.store import default_store
    from synth_pipeline.records.home import Home
    from synth_pipeline.stages.audit import NAME
    from synth_pipeline.stages.audit import audit as measure
    from synth_pipeline.stages.ingest import ingest
    from synth_pipeline.stages.protect import protect
    from synth_pipeline.stages.run import Run

    component = find(dataset)
    spec = component.spec
    assert spec is not None  # find raises otherwise
    check_partition(spec, partition)
    place = _place(store) or default_store()
    run = Run(spec=spec, home=Home.find(), store=place, base=component.base, partition=partition)
    with lines() as shown, listening(shown):
        found = measure(run, protect(run, ingest(run)), canaries)
    score = found.scores[NAME]
    typer.echo(f"{dataset}: {score.note or f'not audited: {score.error}'}", err=json_ or bool(score.error))
    if json_:
        note = {"dataset": dataset, "partition": partition, "measures": {NAME: score.to_json()}, **found.details}
        typer.echo(json.dumps(note, ensure_ascii=False, allow_nan=False))
    raise typer.Exit(1 if score.error else 0)
