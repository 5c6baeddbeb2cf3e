"""What a whole input's columns are: types of texts, then meanings, from mergeable facts in bounded memory.

Facts are counts and sketches; no value of a row is kept in anything that outlives the reading.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.errors import SpecError, did_you_mean
from synth_pipeline.records.hashing import mix, sketched
from synth_pipeline.records.parsing import DATES, ISO, How, Kind, Kinds, classify, count_exact, exact
from synth_pipeline.records.schema import Column
from synth_pipeline.records.sources.base import Reading
from synth_pipeline.records.sources.columnar import MEDIA
from synth_pipeline.spec.columns import ColumnSpec, Meaning, Role

_SKETCH = 16_384
_ID_NAME = re.compile(r"(?i:(^|[^a-z])(id|key|uuid|guid|number|no|nr|num|ref|index|rowid)$)|[a-z](Id|ID)$")


@dataclass
class Facts:
    """What is known of one column's values so far; `merge` of two parts is the facts of the whole."""

    rows: int = 0
    nulls: int = 0
    kinds: Kinds = field(default_factory=Kinds.none)
    chars: int = 0
    spaces: int = 0
    infinite: int = 0
    rounded: int = 0
    """Numbers whose texts have more digits than a float holds."""
    decimals: int | None = 0
    low: float = math.inf
    high: float = -math.inf
    midnight: bool = True
    sketch: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    """The smallest hashes of the distinct values (KMV)."""

    def texts(self, texts: pa.Array, how: How) -> pa.Array | None:
        """Takes in the kinds of some texts; their values, when all can be read as `how` says."""
        values = exact(texts, how)
        if values is None or (how.kind is Kind.TEXT and not self._settled):
            self.kinds.add(classify(texts))
        else:
            self.kinds.add(count_exact(values, how))
        return values

    def values(self, values: pa.Array) -> None:
        """Takes in some typed values."""
        self.rows += len(values)
        self.nulls += values.null_count
        if pa.types.is_struct(values.type):
            return
        present = values.drop_null() if values.null_count else values
        if not len(present):
            return
        if pa.types.is_string(present.type):
            self.chars += pc.sum(pc.binary_length(present)).as_py()
            self.spaces += pc.sum(pc.count_substring(present, " ")).as_py()
            repeated = 0 < len(self.sketch) < 1_000
            self._add_hashes(sketched(pc.unique(present) if repeated else present))
        elif pa.types.is_boolean(present.type):
            self._add_hashes(mix(pc.unique(present).cast(pa.int64()).to_numpy(zero_copy_only=False)))
        else:
            self._numeric(present)

    def merge(self, other: Facts) -> None:
        self.rows += other.rows
        self.nulls += other.nulls
        self.kinds.add(other.kinds)
        self.chars += other.chars
        self.spaces += other.spaces
        self.infinite += other.infinite
        self.rounded += other.rounded
        self.decimals = (
            None if None in (self.decimals, other.decimals) else max(self.decimals or 0, other.decimals or 0)
        )
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.midnight &= other.midnight
        self._add_hashes(other.sketch)

    @property
    def present(self) -> int:
        return self.rows - self.nulls

    @property
    def distinct(self) -> int:
        """Exact up to 16,384, then within about one per cent."""
        if len(self.sketch) < _SKETCH:
            return len(self.sketch)
        return min(self.present, round((_SKETCH - 1) / (float(self.sketch[-1]) / 2.0**64)))

    @property
    def _settled(self) -> bool:
        """Text for certain, and not a number column with a few strays that deserve an exact count."""
        counts = self.kinds.counts
        never_numbers = counts[Kind.TEXT] + counts["zero"] + counts["huge"]
        return never_numbers > 0.05 * sum(counts.values())

    def _numeric(self, present: pa.Array) -> None:
        array = present
        if pa.types.is_date32(array.type):
            array = array.cast(pa.int32())
        elif pa.types.is_timestamp(array.type):
            array = array.cast(pa.int64())
            if self.midnight:
                self.midnight = not bool((array.to_numpy() % 86_400_000_000).any())
        numbers = array.to_numpy(zero_copy_only=False)
        if numbers.dtype == np.int32:
            numbers = numbers.astype(np.int64)
        self.low, self.high = min(self.low, float(numbers.min())), max(self.high, float(numbers.max()))
        if numbers.dtype == np.float64:
            self._grid(numbers)
            numbers = numbers + 0.0  # -0.0 and 0.0 are one value
        self._add_hashes(mix(numbers))

    def _grid(self, numbers: np.ndarray) -> None:
        """The fewest decimals, up to 8, that write every value."""
        largest = float(np.abs(numbers).max())
        while self.decimals is not None:
            if largest * 10.0**self.decimals < 2**53:
                scaled = numbers * 10.0**self.decimals
                if np.all(np.abs(scaled - np.rint(scaled)) <= 1e-9 * np.maximum(1, np.abs(scaled))):
                    return
            self.decimals = self.decimals + 1 if self.decimals < 8 else None

    def _add_hashes(self, hashes: np.ndarray) -> None:
        if len(self.sketch) == _SKETCH:
            hashes = hashes[hashes < self.sketch[-1]]
            if not len(hashes):
                return
        self.sketch = np.union1d(self.sketch, hashes)[:_SKETCH]


@dataclass(frozen=True)
class Decision:
    """What inference came to for one column, and why."""

    column: Column
    evidence: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


def resolve(
    facts: Mapping[str, Facts],
    readings: Mapping[str, Reading],
    spec: Mapping[str, ColumnSpec],
    orders: Mapping[str, bool] | None = None,
) -> tuple[dict[str, How], list[str]]:
    """How each text column must be read, now that all texts were seen; and what a person should know.

    Args:
        orders: whether a column's dates have the month first, where earlier snapshots have settled it.
    """
    orders = orders or {}
    votes = sum(_order_vote(f.kinds) for f in facts.values())
    hows: dict[str, How] = {}
    warnings: list[str] = []
    for name, reading in readings.items():
        asked = spec.get(name)
        if reading is Reading.TYPED:
            continue
        if (how := declared(asked)) is not None:
            if how.kind is Kind.FLOAT and facts[name].kinds.counts["float"] == 0 and _whole(facts[name].kinds):
                how = How(Kind.INT)
            if how.kind is Kind.DATETIME and not how.formats:
                how = _dates(facts[name].kinds, votes, orders.get(name))[0] or How(Kind.DATETIME, (ISO,))
            hows[name] = how
            continue
        how, note = _resolve_one(facts[name].kinds, reading, votes, orders.get(name))
        hows[name] = how
        if note:
            warnings.append(f"{name}: {note}")
    return hows, warnings


def declared(spec: ColumnSpec | None) -> How | None:
    """The reading that the YAML asks for, if it asks for one."""
    if spec is None:
        return None
    if spec.format is not None:
        timed = any(sign in spec.format for sign in ("%H", "%I", "%T", "%R", "%s", "%X", "%c"))
        return How(Kind.INSTANT if "%z" in spec.format else Kind.DATETIME if timed else Kind.DATE, (spec.format,))
    by_meaning = {
        Meaning.NUMBER: How(Kind.FLOAT),
        Meaning.BOOLEAN: How(Kind.BOOL),
        Meaning.DATETIME: How(Kind.DATETIME),
        Meaning.TEXT: How(Kind.TEXT),
    }
    return by_meaning.get(spec.meaning) if spec.meaning else None


def decide(
    name: str, kind: pa.DataType, facts: Facts, spec: ColumnSpec | None, how: How | None, frozen: Column | None = None
) -> Decision:
    """A column's meaning from its type and its whole-input facts; what the YAML says wins, then the frozen contract."""
    guess, why = _meaning(name, kind, facts)
    roles = frozenset(spec.roles) if spec else frozenset()
    if spec and spec.meaning:
        meaning, why = spec.meaning, "declared"
    elif roles & {Role.PRIMARY_KEY, Role.ENTITY, Role.FOREIGN_KEY}:
        meaning, why = Meaning.IDENTIFIER, "by its role"
    elif frozen is not None:
        meaning, why = frozen.meaning, "as in earlier snapshots" if frozen.meaning is not guess else why
    else:
        meaning = guess
    warnings = []
    if facts.infinite:
        warnings.append(f"{name}: {facts.infinite:,} infinite values count as missing")
    if facts.rounded:
        warnings.append(
            f"{name}: {facts.rounded:,} numbers have more digits than a 64-bit float holds and were rounded; "
            "to keep them, say `meaning: text` under `columns:`"
        )
    if facts.present == 0:
        warnings.append(f"{name}: every value is missing")
    elif facts.distinct == 1 and facts.rows > 1:
        warnings.append(f"{name}: all present values are the same")
    if Role.PRIMARY_KEY in roles and (facts.nulls or facts.distinct < 0.97 * facts.present):
        warnings.append(f"{name}: declared as primary key, but values are missing or repeat")
    column = Column(
        name=name,
        type=kind,
        meaning=meaning,
        roles=roles,
        nullable=facts.nulls > 0 or bool(frozen and frozen.nullable),
        pii=spec.pii if spec else None,
        description=spec.description if spec else "",
        facts=_structure(kind, facts, how),
    )
    share = facts.nulls / facts.rows if facts.rows else 0.0
    evidence = {"why": why, "missing": round(share, 4), "distinct": _rounded(facts.distinct)}
    if how is not None:
        evidence["read_as"] = how.kind.value
    return Decision(column, evidence, tuple(warnings))


def order_of(formats: Iterable[str]) -> bool | None:
    """Whether dates written so have the month before the day; None: none of the formats is open to doubt."""
    for form in formats:
        if form.startswith(("%d/%m/%Y", "%d-%m-%Y", "%m/%d/%Y", "%m-%d-%Y")):
            return form.startswith("%m")
    return None


def check_names(spec: Mapping[str, ColumnSpec], names: list[str], where: str) -> None:
    """Raises SpecError when the YAML speaks of a column that the source has not."""
    for name in spec:
        if name not in names:
            raise SpecError(f'columns: the source has no column "{name}"; {did_you_mean(name, names)}', where=where)


# -- types ------------------------------------------------------------------------------------------------------------


def _whole(kinds: Kinds) -> bool:
    numbers = sum(kinds.counts[k] for k in ("int", "long", "zero"))
    return numbers > 0 and kinds.counts["float"] == 0


def _resolve_one(kinds: Kinds, reading: Reading, votes: int, order: bool | None) -> tuple[How, str]:
    counts = kinds.counts
    total = sum(counts.values()) - counts["unclassified"]
    if total == 0:
        return How(), ""
    dates = sum(counts[kind] for kind in DATES)
    if dates == total:
        how, note = _dates(kinds, votes, order)
        return how or How(), note
    if reading is Reading.DATES:
        return How(), ""
    if counts["int"] + counts["long"] == total:
        return How(Kind.INT), ""
    if counts["int"] + counts["float"] == total:
        return How(Kind.FLOAT), ""
    if counts["bool"] == total:
        return How(Kind.BOOL), ""
    numbers = counts["int"] + counts["long"] + counts["float"]
    if counts["zero"] or counts["huge"]:
        reason = "leading zeros" if counts["zero"] else "whole numbers beyond 64 bits"
        return How(), f"kept as text: {reason}" if numbers + counts["zero"] + counts["huge"] == total else ""
    if numbers == total:
        return How(), "kept as text: whole numbers beyond 2^53 among decimals would lose digits"
    for name, fitting in (("numbers", numbers), ("dates", dates)):
        if fitting > 0.5 * total:
            told = f"kept as text: {total - fitting:,} of {total:,} values are no {name}"
            meaning = "number" if name == "numbers" else "datetime"
            return How(), f"{told}; say under `columns:` which texts mean missing (`null`), or `meaning: {meaning}`"
    return How(), ""


def _order_vote(kinds: Kinds) -> int:
    """+1 when a column's dates can only be read with the day first, -1 with the month first."""
    total = sum(kinds.counts[kind] for kind in DATES)
    if not total or (not kinds.open_order and kinds.day_first == kinds.month_first):
        return 0
    return (kinds.day_first == total) - (kinds.month_first == total)


def _dates(kinds: Kinds, votes: int, order: bool | None) -> tuple[How | None, str]:
    counts = kinds.counts
    total = sum(counts[kind] for kind in DATES)
    if counts[Kind.INSTANT] and counts[Kind.INSTANT] < total:
        return None, "kept as text: only some of the times have an offset from UTC"
    kind = Kind.INSTANT if counts[Kind.INSTANT] else Kind.DATETIME if counts[Kind.DATETIME] else Kind.DATE
    note = ""
    if kinds.day_first < total and kinds.month_first < total:
        return None, "kept as text: some dates can only have the day first, others only the month; declare `format`"
    month_first = kinds.day_first < total
    if kinds.day_first == kinds.month_first == total and order is not None:
        month_first = order
    elif kinds.day_first == kinds.month_first == total and kinds.open_order:
        month_first = votes < 0
        first = "month" if month_first else "day"
        reason = "as in another column" if votes else "by convention"
        note = f"day and month cannot be told apart: read with the {first} first, {reason}; if wrong, give `format`"
    formats = sorted({_ordered(form, month_first) for form in kinds.formats})
    if len(formats) > 1 and not note:
        note = f"dates in {len(formats)} formats"
    return How(kind, tuple(formats), month_first), note


def _ordered(form: str, month_first: bool) -> str:
    for sep in "/-":
        if form.startswith((f"%d{sep}%m{sep}%Y", f"%m{sep}%d{sep}%Y")):
            first = f"%m{sep}%d{sep}%Y" if month_first else f"%d{sep}%m{sep}%Y"
            return first + form[len(first) :]
    return form


# -- meanings ---------------------------------------------------------------------------------------------------


def _meaning(name: str, kind: pa.DataType, facts: Facts) -> tuple[Meaning, str]:
    present, distinct = facts.present, facts.distinct
    if kind == MEDIA:
        return Meaning.IMAGE, "bytes with a path"
    if pa.types.is_boolean(kind):
        return Meaning.BOOLEAN, "true and false"
    if pa.types.is_temporal(kind):
        return Meaning.DATETIME, "dates"
    if pa.types.is_floating(kind):
        return Meaning.NUMBER, "numbers"
    if pa.types.is_integer(kind):
        unique = present >= 20 and distinct >= 0.98 * present
        dense = unique and facts.high - facts.low + 1 <= 1.02 * present
        if dense:
            return Meaning.IDENTIFIER, "different whole numbers without gaps"
        if unique and _ID_NAME.search(name):
            return Meaning.IDENTIFIER, "different whole numbers, named like a key"
        if distinct <= 2 and present >= 20:
            return Meaning.CATEGORY, "two whole numbers"
        return Meaning.NUMBER, "whole numbers"
    if present == 0:
        return Meaning.CATEGORY, "no values"
    length, words = facts.chars / present, facts.spaces / present + 1
    repeats = distinct <= 0.5 * present or distinct < min(20, 0.9 * present)
    if words >= 6 and distinct > 100 and distinct > 0.05 * present:
        return Meaning.TEXT, "sentences"
    if words >= 4 and length >= 25 and distinct > 20 and not repeats:
        return Meaning.TEXT, "sentences"
    if length > 200:
        return Meaning.TEXT, "long texts"
    if repeats or (present < 200 and distinct < 0.9 * present):
        return Meaning.CATEGORY, "repeated texts"
    if present < 20:
        return Meaning.CATEGORY, "too few rows to tell a category from an identifier"
    return Meaning.IDENTIFIER, "texts that hardly repeat"


def _structure(kind: pa.DataType, facts: Facts, how: How | None) -> dict[str, Any]:
    """What generators and writers keep to: grids and formats, never values."""
    found: dict[str, Any] = {"distinct": _rounded(facts.distinct)}
    if pa.types.is_integer(kind):
        found["integer"] = True
    elif pa.types.is_floating(kind):
        if facts.decimals == 0 and facts.present:
            found["integer"] = True
        if facts.decimals is not None:
            found["decimals"] = facts.decimals
    elif pa.types.is_temporal(kind):
        if how is not None and how.formats:
            # of several, one that tells the order of day and month: later snapshots keep to it
            form = next((form for form in how.formats if order_of([form]) is not None), how.formats[0])
            iso = "%Y-%m-%d" if how.kind is Kind.DATE else "%Y-%m-%dT%H:%M:%S"
            found["date_format"] = iso if form == ISO else form
        found["day"] = bool(facts.midnight or pa.types.is_date(kind))
    return found


def _rounded(number: int) -> int:
    """Two significant digits above 100: a fact about the column, not about one person."""
    if number <= 100:
        return number
    unit = 10 ** (len(str(number)) - 2)
    return round(number / unit) * unit
