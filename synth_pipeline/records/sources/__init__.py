"""Where real rows come from: files, databases, other datasets' releases."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from synth_pipeline.protocols import registry
from synth_pipeline.records.sources.base import Source
from synth_pipeline.spec.source import FileSource, SourceConfig


def open_source(config: SourceConfig, base: Path, partition: str | None, store: str) -> Source:
    """The source that a spec's `source:` section describes.

    Args:
        base: what relative paths are relative to.
        partition: stands in for `{partition}`.
        store: where releases lie, for sources that are datasets.

    Raises:
        SourceError: it cannot be found.
        SpecError: its type or options are wrong.
    """
    source: Source = registry.load(config.implementation)(config, base, partition, store)
    return source


def read_table(path: str | Path) -> pa.Table:
    """One whole file (glob, folder, URI) as a table whose schema says what each column means."""
    return read_tables([path])[0]


def read_tables(paths: Sequence[str | Path]) -> list[pa.Table]:
    """Several files as tables of one schema, typed by all of their values together.

    Raises:
        SourceError: one cannot be read, or lacks a column of the first.
    """
    from synth_pipeline.records.intake import Input, Intake, settle
    from synth_pipeline.records.schema import schema_of

    with tempfile.TemporaryDirectory(prefix="synth-") as scratch:
        inputs = []
        for number, path in enumerate(paths):
            source = open_source(FileSource(path=str(path)), Path.cwd(), None, "")
            folder = Path(scratch, str(number))
            folder.mkdir()
            source.fetch(folder)
            inputs.append(Input(str(number), source))
        batches: dict[str, list[pa.RecordBatch]] = {one.label: [] for one in inputs}

        def again() -> None:
            for held in batches.values():
                held.clear()

        reading, _ = settle(
            Intake(inputs),
            take=lambda rows: batches[rows.label].append(rows.batch),
            again=again,
        )
        reading.check(limit=0.01)
        schema = schema_of(decision.column for decision in reading.decisions())
        return [pa.Table.from_batches([b.cast(schema) for b in batches[one.label]], schema) for one in inputs]
