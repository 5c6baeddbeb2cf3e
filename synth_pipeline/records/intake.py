"""One reading of real rows: typed under a guess, while facts about the whole input confirm or mend it.

Types can only be known once every value was seen, and a second reading costs as much as the first. So rows are typed
as the first rows suggest; if the rest agrees, as it nearly always does, one reading was enough.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.errors import ContractError, SourceError
from synth_pipeline.records.inference import Decision, Facts, check_names, decide, declared, order_of, resolve
from synth_pipeline.records.parsing import TYPES, How, Kind, classify, lenient, rounded
from synth_pipeline.records.rejects import Rejects
from synth_pipeline.records.schema import Column
from synth_pipeline.records.sources.base import Chunk, Reading, Source, near
from synth_pipeline.records.sources.columnar import common_type, nulls_for_nan
from synth_pipeline.spec.columns import ColumnSpec

T = TypeVar("T")
Hows = Mapping[str, How]
MOST_READINGS = 4


class Rows(NamedTuple):
    """Typed rows; `places` are their 0-based places among their file's readable rows."""

    label: str
    file: str
    places: np.ndarray
    batch: pa.RecordBatch


class Window(NamedTuple):
    """Keeps the rows of one partition: `keep` tells from the values of `column`."""

    column: str
    keep: Callable[[pa.Array], np.ndarray]


@dataclass(frozen=True)
class Input:
    """A source and the label its rows carry."""

    label: str
    source: Source


class Intake:
    """Some sources as one table: the same columns, typed jointly."""

    def __init__(
        self,
        inputs: Sequence[Input],
        columns: Mapping[str, ColumnSpec] | None = None,
        frozen: Mapping[str, Column] | None = None,
        window: Window | None = None,
    ) -> None:
        self.inputs, self.columns, self.frozen, self.window = inputs, columns or {}, frozen or {}, window
        self.warnings = [note for one in inputs for note in one.source.warnings]
        self.fields: dict[str, pa.DataType] = {}
        self.readings: dict[str, Reading] = {}
        self._align()
        check_names(self.columns, list(self.fields), inputs[0].source.uri)
        if window and window.column not in self.fields:
            fix = near(window.column, self.fields)
            raise SourceError(f'no column "{window.column}" to tell partitions by', where=inputs[0].source.uri, fix=fix)

    def guess(self) -> Hows:
        """How the first rows ask to be read."""
        facts = {name: Facts() for name in self.fields}
        for one in self.inputs:
            for chunk in one.source.batches():
                for name in self.readings:
                    if self._free(name):
                        facts[name].kinds.add(classify(self._text(chunk.batch, name).slice(0, 20_000)))
                break
        return self._resolve(facts)[0]

    def reading(self, hows: Hows) -> Pass:
        return Pass(self, hows)

    def type_of(self, name: str, hows: Hows) -> pa.DataType:
        return TYPES[hows[name].kind] if name in hows else self.fields[name]

    def _resolve(self, facts: Mapping[str, Facts]) -> tuple[Hows, list[str]]:
        orders = self._orders()
        hows, warnings = resolve(facts, self.readings, self.columns, orders)
        for name, order in orders.items():
            found = order_of(hows[name].formats) if name in hows else None
            if found is not None and found != order:
                raise self._turned(name, order)
        for name, how in hows.items():  # what earlier snapshots settled stays, where the new values allow it
            if name in self.frozen and declared(self.columns.get(name)) is None:
                hows[name] = _floor(how, self.frozen[name], facts[name])
        return hows, warnings

    def _orders(self) -> dict[str, bool]:
        """The frozen order of day and month of the columns that have one."""
        written = {name: column.facts.get("date_format") for name, column in self.frozen.items()}
        orders = {name: order_of([form]) for name, form in written.items() if form}
        asked = {name for name, spec in self.columns.items() if spec.format}
        return {name: order for name, order in orders.items() if order is not None and name not in asked}

    def _turned(self, name: str, month_before: bool) -> ContractError:
        was, now = ("month", "day") if month_before else ("day", "month")
        return ContractError(
            f'the source no longer keeps its contract: the dates of column "{name}" were read with the {was} first, '
            f"and some can now only have the {now} first",
            where=self.inputs[0].source.uri,
            kept="the last accepted snapshot and all that was made from it",
            fix="mend the source, give the column's `format` under `columns:`, or accept the change with --force",
        )

    def _free(self, name: str) -> bool:
        return self.readings[name] is not Reading.TYPED

    def _text(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        values = self._present(batch, name)
        return values if pa.types.is_string(values.type) else values.cast(pa.string())

    def _present(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        """The source's values, less those that the YAML says mean a missing one."""
        values, spec = batch.column(name), self.columns.get(name)
        if spec is None or not spec.null:
            return values
        missing = pc.is_in(values.cast(pa.string()), pa.array(spec.null))
        return pc.if_else(missing, pa.scalar(None, values.type), values)

    def _align(self) -> None:
        first = self.inputs[0].source
        for one in self.inputs:
            schema = one.source.schema()
            if one.source is not first:
                if missing := [name for name in self.fields if name not in schema.names]:
                    raise SourceError(
                        f"has no column {', '.join(missing[:5])}",
                        where=one.source.uri,
                        fix=f"it must have the columns of {first.uri}",
                    )
                if extra := [name for name in schema.names if name not in self.fields]:
                    self.warnings.append(
                        f"{one.label}: columns that only this file has are left out: {', '.join(extra[:5])}"
                    )
            for field in schema:
                if one.source is not first and field.name not in self.fields:
                    continue
                reading = one.source.reading(field.name)
                if pa.types.is_string(field.type) and declared(self.columns.get(field.name)):
                    reading = Reading.ANY
                known = self.readings.get(field.name, reading)
                self.readings[field.name] = reading if known is reading else Reading.ANY
                kind = self.fields.setdefault(field.name, field.type)
                if kind != field.type:
                    both_typed = self.readings[field.name] is Reading.TYPED
                    self.fields[field.name] = (
                        common_type(field.name, kind, field.type, one.source.uri) if both_typed else pa.string()
                    )


class Pass:
    """Iterate once; then `outcome` tells whether the guess held."""

    def __init__(self, intake: Intake, hows: Hows) -> None:
        self.intake, self.hows = intake, hows
        self.facts = {name: Facts() for name in intake.fields}
        self.rejects = Rejects()
        self.rows = {one.label: 0 for one in intake.inputs}
        self.counts = {one.label: 0 for one in intake.inputs}
        """Rows read, kept or not."""
        self.holds = True
        """False as soon as a value is seen that the guess cannot read: what is yielded after that is of no use."""

    def __iter__(self) -> Iterator[Rows]:
        with ThreadPoolExecutor(2) as pool:
            for one in self.intake.inputs:
                for chunk in ahead(one.source.batches()):
                    self.counts[one.label] += chunk.batch.num_rows
                    rows = self._typed(one.label, chunk, pool)
                    if rows is not None and rows.batch.num_rows:
                        self.rows[one.label] += rows.batch.num_rows
                        yield rows

    def outcome(self) -> tuple[Hows, list[str]]:
        return self.intake._resolve(self.facts)

    def decisions(self) -> list[Decision]:
        intake = self.intake
        return [
            decide(
                name,
                intake.type_of(name, self.hows),
                self.facts[name],
                intake.columns.get(name),
                self.hows.get(name),
                intake.frozen.get(name),
            )
            for name in intake.fields
        ]

    def check(self, limit: float) -> list[tuple[str, int, str, str]]:
        """The rejected rows.

        Raises:
            SourceError: they are more than `limit` of all, or a source has no rows.
        """
        for one in self.intake.inputs:
            if not self.counts[one.label] and not one.source.ragged:
                raise SourceError("there are no rows, only a header", where=one.source.uri, fix="check the export")
        ragged = [record for one in self.intake.inputs for record in one.source.ragged]
        return self.rejects.finish(ragged, sum(self.counts.values()), limit, self.intake.inputs[0].source.uri)

    def _typed(self, label: str, chunk: Chunk, pool: ThreadPoolExecutor) -> Rows | None:
        intake = self.intake
        names = list(intake.fields)
        results = list(pool.map(lambda name: self._column(chunk.batch, name), names))
        values = {name: value for name, (value, _) in zip(names, results, strict=True) if value is not None}
        self.holds &= len(values) == len(names)
        if not self.holds:
            return None
        keep = np.ones(chunk.batch.num_rows, bool)
        if intake.window:
            keep &= intake.window.keep(values[intake.window.column])
        bad = {name: result[1] for name, result in zip(names, results, strict=True) if result[1] is not None}
        keep = self._set_aside(chunk, keep, bad)
        places = np.arange(chunk.start, chunk.start + chunk.batch.num_rows)
        if not keep.all():
            mask = pa.array(keep)
            values = {name: value.filter(mask) for name, value in values.items()}
            places = places[keep]
        list(pool.map(lambda name: self.facts[name].values(values[name]), names))
        schema = pa.schema([(name, intake.type_of(name, self.hows)) for name in names])
        return Rows(label, chunk.file, places, pa.record_batch([values[name] for name in names], schema))

    def _column(self, batch: pa.RecordBatch, name: str) -> tuple[pa.Array | None, np.ndarray | None]:
        """A column's values (None: the guess is wrong), and which rows its declared type refuses."""
        intake, facts = self.intake, self.facts[name]
        if not intake._free(name):
            values = intake._present(batch, name)
            if values.type != intake.fields[name]:
                values = values.cast(intake.fields[name])
            values, infinite = nulls_for_nan(values)
            facts.infinite += infinite
            return values, None
        texts, how = intake._text(batch, name), self.hows[name]
        values = facts.texts(texts, how)
        if values is None:  # padded, in several formats, or not of this kind
            values = lenient(texts, how)
            if values.null_count != texts.null_count and declared(intake.columns.get(name)) is None:
                return None, None
        refused = None
        if values.null_count != texts.null_count:
            refused = np.asarray(pc.and_(pc.is_null(values), pc.is_valid(texts)).to_numpy(zero_copy_only=False))
        if how.kind is Kind.FLOAT:
            values, infinite = nulls_for_nan(values)
            facts.infinite += infinite
            facts.rounded += rounded(texts, values)
        return values, refused

    def _set_aside(self, chunk: Chunk, keep: np.ndarray, bad: Mapping[str, np.ndarray]) -> np.ndarray:
        refused = np.zeros(len(keep), bool)
        for name, mask in bad.items():
            new = np.flatnonzero(mask & keep & ~refused)
            refused[new] = True
            reason = f"not readable as {self.hows[name].kind.value}"
            self.rejects.add(chunk.file, chunk.start + new, [name] * len(new), [reason] * len(new))
        return keep & ~refused


def settle(
    intake: Intake, take: Callable[[Rows], object], again: Callable[[], object] = lambda: None
) -> tuple[Pass, list[str]]:
    """Reads until the guess holds: once, or twice when a late value changes a type.

    Args:
        take: gets the rows.
        again: is called when all rows taken so far were of no use.
    """
    hows = intake.guess()
    for _ in range(MOST_READINGS):
        reading = intake.reading(hows)
        for rows in reading:
            if reading.holds:
                take(rows)
        found, notes = reading.outcome()
        if reading.holds and found == hows:
            return reading, notes
        hows = found
        again()
    raise unsettled(intake)


def unsettled(intake: Intake) -> SourceError:
    """What the whole input shows depends on it alone, so a second reading confirms the first: this is a defect."""
    return SourceError("the columns' types do not settle", where=intake.inputs[0].source.uri, fix="declare `columns:`")


def _floor(how: How, frozen: Column, facts: Facts) -> How:
    """The frozen type where it is wider than what this snapshot alone would suggest."""
    kinds = {str(kind): name for name, kind in TYPES.items()}
    if str(frozen.type) not in kinds:
        return how
    known = kinds[str(frozen.type)]
    if known is how.kind:
        return how
    if not sum(facts.kinds.counts.values()):
        return How(known, ("ISO 8601",) if known in (Kind.DATE, Kind.DATETIME, Kind.INSTANT) else ())
    if known is Kind.TEXT or (how.kind, known) == (Kind.INT, Kind.FLOAT):
        return How(known)
    if (how.kind, known) == (Kind.DATE, Kind.DATETIME):
        return How(known, how.formats, how.month_first)
    return how


def ahead(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """The same items, made in a thread of their own while the caller works on earlier ones."""
    box: queue.Queue[tuple[bool, object]] = queue.Queue(depth)
    stop = threading.Event()

    def put(entry: tuple[bool, object]) -> bool:
        while not stop.is_set():
            try:
                box.put(entry, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((True, item)):
                    return
            put((False, None))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            put((False, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            more, item = box.get()
            if not more:
                if isinstance(item, BaseException):
                    raise item
                return
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()
