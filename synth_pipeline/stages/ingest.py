"""Ingest: a source's rows become typed, split, private Records."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.errors import SourceError, SourceUnavailable, SpecError, StorageError, did_you_mean
from synth_pipeline.privacy.keys import Key, key
from synth_pipeline.progress import tick
from synth_pipeline.records import rejects, split
from synth_pipeline.records.contract import Contract, compare
from synth_pipeline.records.files import replace
from synth_pipeline.records.home import empty, lease
from synth_pipeline.records.identity import digest, plan_id
from synth_pipeline.records.intake import MOST_READINGS, Input, Intake, Rows, Window, unsettled
from synth_pipeline.records.ledger import Ledger
from synth_pipeline.records.partitions import keeper
from synth_pipeline.records.records import DEFAULT_TABLE, Records, RecordsWriter, Unit
from synth_pipeline.records.schema import Role, schema_of
from synth_pipeline.records.sources import open_source
from synth_pipeline.spec.source import FileSource, Split
from synth_pipeline.stages.run import Outcome, Result, Run, perform

VERSION = "1"
_BY_ROW = (
    "no `entity` or `primary_key` column: rows are held out by file and row number, so that a person with several "
    "rows, or in a changed file, may be on both sides"
)


def ingest(run: Run) -> Result:
    """Reads the source once, unless it is known by its token or its content.

    Raises:
        SourceError: it cannot be read.
        SpecError: the spec speaks of columns that are not there.
        ContractError: it is no longer what it was when its contract was frozen.
    """
    inputs = _inputs(run)
    with _scratch(run) as scratch:
        known = _Known.of(run, inputs, scratch)
        root = Ledger(run.home.ledger).root(inputs[0].source.uri, known.content)
        secret = None if run.spec.split.column or run.spec.split.holdout else key(run.home, "split", root)
        plan = plan_id(
            "ingest",
            VERSION,
            {**run.spec.slice("ingest"), "partition": run.partition if _by_column(run) else None},
            {"source": known.content},
            keys={"split": secret.id} if secret else {},
        )
        work = _Work(run, inputs, known, root, secret)
        result = perform(run, "ingest", plan, work.do, work.read)
        Ledger(run.home.ledger).derive(root, run.spec.name, "ingest", result.folder)
        known.remember()
        return result


def _inputs(run: Run) -> list[Input]:
    config = run.spec.source
    inputs = [Input("train", open_source(config, run.base, run.partition, run.store))]
    if held := run.spec.split.holdout:
        like = config.model_copy(update={"path": held}) if isinstance(config, FileSource) else FileSource(path=held)
        inputs.append(Input("holdout", open_source(like, run.base, run.partition, run.store)))
    return inputs


def _by_column(run: Run) -> bool:
    return run.spec.partitions is not None and run.spec.partitions.column is not None


@contextmanager
def _scratch(run: Run) -> Iterator[Path]:
    """A private folder for copies of what can be read only once; what a killed run left there is removed."""
    folder = run.home.folder("work", run.spec.name, "ingest") / f"fetch@{run.partition or ''}"
    with lease(folder, tell=lambda note: tick("ingest", 0, note=note)):
        empty(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass
class _Known:
    """The content id of the inputs: remembered by their cheap tokens, else found by reading."""

    path: Path
    inputs: list[Input]
    scratch: Path
    tokens: list[Any]
    content: str = ""
    fetched: bool = False

    @classmethod
    def of(cls, run: Run, inputs: list[Input], scratch: Path) -> _Known:
        name = f"content@{run.partition}.json" if run.partition else "content.json"
        path = run.home.folder("work", run.spec.name, "ingest") / name
        known = cls(path, inputs, scratch, [[one.source.uri, one.source.token()] for one in inputs])
        with suppress(FileNotFoundError, ValueError, KeyError):
            note = json.loads(path.read_bytes())
            if None not in (token for _, token in known.tokens) and note["tokens"] == known.tokens:
                known.content = note["content"]
        if not known.content:
            known.fetch()
            tick("ingest", 0, note="hashing")
            contents = [one.source.content_id() for one in inputs]
            known.content = contents[0] if len(contents) == 1 else digest(contents)
        return known

    def fetch(self) -> None:
        if self.fetched:
            return
        for one in self.inputs:
            folder = self.scratch / one.label
            try:
                folder.mkdir()
                one.source.fetch(folder)
            except OSError as error:
                raise StorageError(
                    f"the source could not be copied: {error.strerror or error}",
                    where=str(folder),
                    kept="everything committed before",
                    fix="free some space or mend the permissions, then run again",
                ) from error
        self.fetched = True

    def unchanged(self) -> None:
        """Raises SourceUnavailable if a source was written to since its content id was taken."""
        for one, (_, token) in zip(self.inputs, self.tokens, strict=True):
            if token is not None and one.source.token() != token:
                raise SourceUnavailable(
                    "the source changed while it was read",
                    where=one.source.uri,
                    fix="run again when nobody writes to it",
                )

    def remember(self) -> None:
        replace(self.path, json.dumps({"tokens": self.tokens, "content": self.content}).encode())


@dataclass
class _Work:
    """What `perform` calls: doing the work in a folder, or reading what was done."""

    run: Run
    inputs: list[Input]
    known: _Known
    root: str
    secret: Key | None

    def read(self, folder: Path) -> Outcome:
        records = Records.open(folder)
        with self._freezing() as free:
            if free:  # the contract was lost, or is that of a YAML edited since and now set back
                fraction = records.facts["contract"]["fraction"]
                Contract(records.schema(), fraction, self._spec_digest, self._split_digest).write(self._contract)
        frozen = self._frozen()
        if frozen is not None and self.run.partition is None:  # a later partition may have added columns
            compare(frozen, records.schema(), self._uri)
        return _outcome(records)

    def do(self, folder: Path) -> Outcome:
        self.known.fetch()
        with self._freezing():
            return self._do(folder)

    @contextmanager
    def _freezing(self) -> Iterator[bool]:
        """Whether there is no contract to keep; then nobody else writes one until this ends.

        First partitions that run at once would else each hold out a share of their own, and people be on both sides.
        """
        if self._frozen() is not None:
            yield False
            return
        with lease(self._contract.with_suffix(""), tell=lambda note: tick("ingest", 0, note=note)):
            yield self._frozen() is None

    def _do(self, folder: Path) -> Outcome:
        frozen = self._frozen()
        intake = Intake(self.inputs, self.run.spec.columns, frozen.columns if frozen else None, self._window())
        before = Contract.read(self._contract)
        settled = self.run.spec.split.fraction or (
            before.fraction if before and before.split == self._split_digest else None
        )
        fraction = settled or split.default_fraction(10_000)
        hows = intake.guess()
        for _ in range(MOST_READINGS):
            reading = intake.reading(hows)
            going = _Going(folder, self.run.spec.split, self._unit_column(intake), self.secret, fraction)
            with going:
                for rows in reading:
                    if reading.holds:
                        going.write(rows)
                    tick("ingest", sum(reading.counts.values()))
            found, notes = reading.outcome()
            decisions = reading.decisions()
            if not reading.holds or found != hows:
                hows = found
            elif settled is None and (due := self._due(reading, going.unit)) != fraction:
                fraction = due
            else:
                break
            going.writer.abandon()
            empty(folder)
        else:
            raise unsettled(intake)
        self.known.unchanged()
        limit = getattr(self.run.spec.source, "max_rejects", 0.01)
        bad = reading.check(limit)
        rejected = reading.rejects.rows + sum(len(one.source.ragged) for one in self.inputs)
        if self.run.partition and not sum(reading.rows.values()):
            raise SourceError(f'no row belongs to partition "{self.run.partition}"', where=self._uri)
        schema = schema_of(d.column for d in decisions if d.column.name != self.run.spec.split.column)
        warnings = [*intake.warnings, *notes, *(note for d in decisions for note in d.warnings)]
        if frozen is not None:
            warnings += compare(frozen, schema, self._uri)
        if self.secret and going.unit is None:
            warnings.append(_BY_ROW)
        self._both_sides(going)
        if bad:
            rejects.write(folder, bad)
            warnings.append(f"{rejected:,} rows could not be read: {rejects.NAME} says which and why")
        contract = Contract(schema, fraction if self.secret else None, self._spec_digest, self._split_digest)
        contract.write(self._contract)  # before the commit: who is killed in between must not lose the share held out
        going.writer.shapes[DEFAULT_TABLE] = schema
        records = going.writer.commit(
            Unit(DEFAULT_TABLE, going.unit, max_contribution=going.contributions.largest),
            {
                "root": self.root,
                "source": self._source_facts(),
                "rows": {**going.rows, "rejected": rejected},
                "split": self._split_facts(going, fraction),
                "warnings": list(dict.fromkeys(warnings)),
                "inferred": {d.column.name: dict(d.evidence) for d in decisions},
                "contract": contract.to_json(),
            },
        )
        return _outcome(records)

    @property
    def _uri(self) -> str:
        return self.inputs[0].source.uri

    @property
    def _contract(self) -> Path:
        return self.run.home.folder("work", self.run.spec.name) / "contract.json"

    @property
    def _spec_digest(self) -> str:
        return digest(self.run.spec.slice("ingest"))

    @property
    def _split_digest(self) -> str:
        return digest(self.run.spec.split.model_dump(mode="json"))

    def _frozen(self) -> Contract | None:
        frozen = None if self.run.force else Contract.read(self._contract)
        return frozen if frozen and frozen.spec == self._spec_digest else None

    def _window(self) -> Window | None:
        partitions = self.run.spec.partitions
        if partitions is None or partitions.column is None:
            return None
        if self.run.partition is None:
            raise SpecError(f"{self.run.spec.name} is partitioned by {partitions.column}", fix="--partition KEY")
        return Window(partitions.column, keeper(partitions, self.run.partition))

    def _unit_column(self, intake: Intake) -> str | None:
        spec = self.run.spec
        for role in (Role.ENTITY, Role.PRIMARY_KEY):
            if names := spec.with_role(role):
                return names[0]
        if spec.split.column and spec.split.column not in intake.fields:
            raise SpecError(
                f'split: the source has no column "{spec.split.column}"',
                where=self._uri,
                fix=did_you_mean(spec.split.column, intake.fields),
            )
        return None

    def _due(self, reading: Any, unit: str | None) -> float:
        if self.secret is None:
            return split.default_fraction(10_000)
        return split.default_fraction(reading.facts[unit].distinct if unit else sum(reading.rows.values()))

    def _both_sides(self, going: _Going) -> None:
        for side in ("train", "holdout"):
            if going.rows[side] == 0:
                wish = self.run.spec.split
                if wish.column:
                    raise SpecError(
                        f'split: no {side} rows by column "{wish.column}"', where=self._uri, fix="check `split.values`"
                    )
                raise SourceError(
                    f"too few rows ({sum(going.rows.values()):,}) to train on some and hold others out", where=self._uri
                )

    def _split_facts(self, going: _Going, fraction: float) -> dict[str, Any]:
        wish = self.run.spec.split
        if wish.holdout:
            return {"kind": "file", "key_id": None, "unit": going.unit or "row", "fraction": None}
        if wish.column:
            return {"kind": "column", "key_id": None, "unit": going.unit or "row", "fraction": None}
        return {
            "kind": "keyed",
            "key_id": self.secret and self.secret.id,
            "unit": going.unit or "row",
            "fraction": fraction,
        }

    def _source_facts(self) -> dict[str, Any]:
        source = self.inputs[0].source
        return {
            "uri": source.uri,
            "kind": source.kind,
            "token": self.known.tokens[0][1],
            "content_id": self.known.content,
            **source.facts(),
        }


class _Going:
    """Rows on their way to disk: drawn to one side, written by a thread of its own."""

    def __init__(self, folder: Path, wish: Split, unit: str | None, secret: Key | None, fraction: float) -> None:
        self.unit, self.rows = unit, {"train": 0, "holdout": 0}
        self.contributions = split.Contributions()
        self._wish, self._secret, self._fraction = wish, secret, fraction
        self._folder = folder
        self._pool = ThreadPoolExecutor(1)
        self._pending: list[Future[None]] = []
        self.writer: RecordsWriter = RecordsWriter(folder, {})

    def __enter__(self) -> _Going:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._drain(0)
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
            if kind is not None:
                self.writer.abandon()

    def write(self, rows: Rows) -> None:
        held = self._held(rows)
        batch = rows.batch
        if self.unit:
            self.contributions.add(split.unit_text(batch.column(self.unit)))
        if self._wish.column:
            batch = batch.drop_columns([self._wish.column])
        self.writer.shapes.setdefault(DEFAULT_TABLE, batch.schema)
        for side, mask in (("train", ~held), ("holdout", held)):
            count = int(mask.sum())
            self.rows[side] += count
            if count:
                part = batch if count == len(mask) else batch.filter(pa.array(mask))
                self._pending.append(self._pool.submit(self.writer.write, DEFAULT_TABLE, side, part))
        self._drain(4)

    def _held(self, rows: Rows) -> np.ndarray:
        count = rows.batch.num_rows
        if self._wish.holdout:
            return np.full(count, rows.label == "holdout")
        if self._wish.column:
            return split.by_column(rows.batch.column(self._wish.column), self._wish.values)
        assert self._secret is not None
        if self.unit is None:
            return self._by_row(rows, self._secret.secret)
        values = rows.batch.column(self.unit)
        held = split.by_value(self._secret.secret, values, self._fraction)
        if values.null_count:  # rows that name nobody are units of their own
            held = np.where(
                pc.is_null(values).to_numpy(zero_copy_only=False), self._by_row(rows, self._secret.secret), held
            )
        return held

    def _by_row(self, rows: Rows, secret: bytes) -> np.ndarray:
        first, last = int(rows.places[0]), int(rows.places[-1])
        return split.by_row(secret, rows.file, first, last - first + 1, self._fraction)[rows.places - first]

    def _drain(self, allowed: int) -> None:
        while len(self._pending) > allowed:
            self._pending.pop(0).result()


def _outcome(records: Records) -> Outcome:
    rows = records.facts["rows"]
    return Outcome(
        content_id=records.content_id,
        rows=rows["train"] + rows["holdout"],
        metrics={**rows, "columns": len(records.schema()), "bytes": records.facts["source"].get("bytes")},
        warnings=tuple(records.facts["warnings"]),
    )
