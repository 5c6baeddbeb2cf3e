"""What personal data each column holds: streaming, over a sample of distinct values from every batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synth_pipeline.privacy.detect import names, patterns
from synth_pipeline.privacy.transform.hashing import as_text, is_number, is_text
from synth_pipeline.records.records import Batch, Records
from synth_pipeline.records.schema import Meaning, columns

_PER_BATCH = 4096  # rows of each batch that RE2 looks at
_CHECKED = 256  # of its hits in one batch, those that validators look at: the others count like them
_ENOUGH = 20_000  # distinct values per column after which dictionaries of names are not asked any more
_FILLS = 0.5
"""A column is of an entity when this share of its distinct values is nothing but that entity."""


@dataclass(frozen=True)
class Finding:
    """`entity` fills a column (`embedded` is false), or is found inside some of its longer values."""

    entity: str
    share: float
    evidence: str
    embedded: bool = False


def detect(records: Records | Iterable[Batch], schema: pa.Schema) -> dict[str, Finding]:
    """The most likely entity of each column that holds personal data."""
    detector = Detector(schema)
    for _, batch in records.batches() if isinstance(records, Records) else records:
        detector.add(batch)
    return detector.findings()


@dataclass
class _Tally:
    distinct: int = 0
    whole: dict[str, float] = field(default_factory=dict)
    inside: dict[str, float] = field(default_factory=dict)
    first: float = 0.0
    last: float = 0.0
    full: float = 0.0
    address: float = 0.0
    named: int = 0  # texts that the dictionaries of names were asked about

    def count(self, where: dict[str, float], entity: str, weight: float) -> None:
        where[entity] = where.get(entity, 0) + weight


class Detector:
    """Takes batches, then says what it found; memory does not grow with the rows."""

    def __init__(self, schema: pa.Schema) -> None:
        looked_at = {Meaning.NUMBER, Meaning.CATEGORY, Meaning.IDENTIFIER, Meaning.TEXT}
        self.tallies = {
            column.name: _Tally()
            for column in columns(schema)
            if column.meaning in looked_at and (is_text(column.type) or is_number(column.type))
        }

        self.dates = [column.name for column in columns(schema) if column.meaning is Meaning.DATETIME]

    def add(self, batch: pa.RecordBatch, only: str | None = None) -> None:
        for name in [only] if only else list(self.tallies):
            if name in self.tallies:
                self._look(self.tallies[name], batch.column(name))

    def findings(self) -> dict[str, Finding]:
        found = {name: _judge(name, tally) for name, tally in self.tallies.items()}
        born = {
            name: Finding("birth_date", 1.0, "column name") for name in self.dates if names.hint(name) == "birth_date"
        }
        return born | {name: finding for name, finding in found.items() if finding}

    def _look(self, tally: _Tally, values: pa.Array) -> None:
        wanted = _PER_BATCH if tally.distinct < 10 * _ENOUGH else _PER_BATCH // 4
        step = max(1, len(values) // wanted)  # spread over the batch: neighbours often repeat
        picked = values.take(pa.array(np.arange(0, len(values), step))) if step > 1 else values
        levels = picked.unique().drop_null()
        if not len(levels):
            return
        tally.distinct += len(levels)
        text = as_text(levels)
        if is_number(values.type):
            _numbers(tally, text)
        else:
            _texts(tally, text)


def _texts(tally: _Tally, text: pa.Array) -> None:
    rows, weight = _some(np.flatnonzero(patterns.gate(text)))
    for row in rows:
        value = text[int(row)].as_py()
        hits = patterns.find(value)
        if not hits:
            continue
        entity, hit = max(hits, key=lambda pair: len(pair[1]))
        if len(hit) >= 0.8 * len(value.strip()):
            tally.count(tally.whole, entity, weight)
        else:
            for entity in sorted({entity for entity, _ in hits}):
                tally.count(tally.inside, entity, weight)
    bare = text.filter(pc.match_substring_regex(text, pattern=r"^\d{9,19}$"))
    if len(bare):
        _numbers(tally, bare)
    if tally.named > _ENOUGH:
        return
    text = text.slice(0, 2000)
    weight = len(text)
    first, last, full = names.share_of_names(text)
    tally.first += first * weight
    tally.last += last * weight
    tally.full += full * weight
    tally.address += names.share_of_addresses(text) * weight
    tally.named += weight


def _numbers(tally: _Tally, digits: pa.Array) -> None:
    lengths = pc.utf8_length(digits).to_numpy(zero_copy_only=False)
    rows, weight = _some(np.flatnonzero((lengths >= 9) & (lengths <= 19)))
    for row in rows:
        value = digits[int(row)].as_py()
        if len(value) >= 13:
            if patterns.card(value):
                tally.count(tally.whole, "card", weight)
        elif len(value) == 9 and patterns.ssn(value):
            tally.count(tally.whole, "ssn?", weight)
        elif len(value) in (10, 11) and patterns.phone(value):
            tally.count(tally.whole, "phone?", weight)


def _some(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], float]:
    """At most 256 of the rows, evenly, and how many rows each stands for."""
    picked = rows[:: -(-len(rows) // _CHECKED)] if len(rows) > _CHECKED else rows
    return picked, len(rows) / max(1, len(picked))


def _judge(name: str, tally: _Tally) -> Finding | None:
    promised = names.hint(name)
    if not tally.distinct:
        return None
    share = {entity: count / tally.distinct for entity, count in sorted(tally.whole.items())}
    best = max((entity for entity in share if not entity.endswith("?")), key=share.__getitem__, default=None)
    if best and share[best] >= _FILLS:
        return Finding(best, share[best], "pattern")
    if promised in ("ssn", "phone") and share.get(f"{promised}?", 0) >= _FILLS:
        return Finding(promised, share[f"{promised}?"], "column name and pattern")
    # random ten-digit numbers keep the North American plan two times in three, so nearly all must
    if share.get("phone?", 0) >= 0.98 and tally.distinct >= 20:
        return Finding("phone", share["phone?"], "pattern")
    sampled = max(1, tally.named)
    first, last, full, address = (v / sampled for v in (tally.first, tally.last, tally.full, tally.address))
    if promised and tally.named:
        agreed = {"first_name": first, "last_name": last, "person": max(full, first, last), "address": address}
        return Finding(promised, max(share.get(promised, 0.0), agreed.get(promised, 0.0)), "column name")
    if promised in ("card", "iban", "ssn", "phone"):
        return Finding(promised, share.get(promised, 0.0), "column name") if tally.distinct >= 20 else None
    if tally.named:
        need = 0.3 if names.may_name_people(name) else 0.6
        many = 5 if names.may_name_people(name) else 20
        if tally.distinct >= many:
            entity, part = max((("person", full), ("first_name", first), ("last_name", last)), key=lambda pair: pair[1])
            if part >= need:
                return Finding(entity, part, "dictionary of names")
            if address >= _FILLS:
                return Finding("address", address, "form of a street address")
    scattered = {**tally.inside, **{e: n for e, n in tally.whole.items() if not e.endswith("?") and tally.named}}
    if scattered:
        entity = max(sorted(scattered), key=scattered.__getitem__)  # of equals the first by name, not by row
        return Finding(entity, scattered[entity] / tally.distinct, "inside longer values", embedded=True)
    return None
