"""Texts as values: which kinds a text column's values can be, and the parse that turns them into typed arrays."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

ISO = "ISO 8601"


class Kind(StrEnum):
    """What all of a column's texts are."""

    TEXT = "text"
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    DATE = "date"
    DATETIME = "datetime"
    INSTANT = "instant"
    """A datetime with an offset from UTC."""


TYPES = {
    Kind.TEXT: pa.string(),
    Kind.BOOL: pa.bool_(),
    Kind.INT: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.DATE: pa.date32(),
    Kind.DATETIME: pa.timestamp("us"),
    Kind.INSTANT: pa.timestamp("us", "UTC"),
}
DATES = (Kind.DATE, Kind.DATETIME, Kind.INSTANT)


@dataclass(frozen=True)
class How:
    """How a text column is read."""

    kind: Kind = Kind.TEXT
    formats: tuple[str, ...] = ()
    """strptime formats of dates, or `ISO`; several: each value in one of them."""
    month_first: bool = False
    """How 3/4/2025 is read."""

    @property
    def type(self) -> pa.DataType:
        return TYPES[self.kind]


def exact(texts: pa.Array, how: How) -> pa.Array | None:
    """The values if every text is plainly of this kind; None when any is not, or may not be (a leading zero)."""
    try:
        if how.kind is Kind.TEXT:
            return texts
        if how.kind is Kind.INT:
            return None if _leading_zero(texts) else _cast(texts, pa.int64())
        if how.kind is Kind.FLOAT:
            return None if _leading_zero(texts, dot=True) or _long(texts) else _cast(texts, pa.float64())
        if how.kind is Kind.BOOL:
            return None if pc.any(pc.invert(pc.is_in(texts, _BOOLS)), min_count=0).as_py() else texts.cast(pa.bool_())
        if how.formats == (ISO,):
            return texts.cast(how.type)
        if len(how.formats) == 1:
            return _strict_strptime(texts, how)
    except pa.ArrowInvalid:
        pass
    return None


def lenient(texts: pa.Array, how: How) -> pa.Array:
    """The values; what cannot be read as this kind is missing. For columns whose kind somebody has declared."""
    if (whole := exact(texts, how)) is not None:
        return whole
    texts = pc.utf8_trim_whitespace(texts)
    if how.kind in (Kind.INT, Kind.FLOAT):
        fits = pc.match_substring_regex(texts, _WHOLE if how.kind is Kind.INT else _NUMBER)
        kept = pc.if_else(fits, pc.replace_substring_regex(texts, r"^\+", ""), pa.scalar(None, texts.type))
        try:
            return kept.cast(how.type)
        except pa.ArrowInvalid:  # whole numbers beyond 64 bits
            kept = pc.if_else(pc.less(pc.binary_length(kept), 19), kept, pa.scalar(None, texts.type))
            return kept.cast(how.type)
    if how.kind is Kind.BOOL:
        lower = pc.utf8_lower(texts)
        true = pc.is_in(lower, pa.array(["true", "t", "yes", "y", "1"]))
        false = pc.is_in(lower, pa.array(["false", "f", "no", "n", "0"]))
        return pc.if_else(pc.or_(true, false), true, pa.scalar(None, pa.bool_()))
    if how.formats and how.formats[0] != ISO and len(how.formats) == 1 and "%f" not in how.formats[0]:
        values = pc.strptime(texts, format=how.formats[0], unit="us", error_is_null=True)
        return values.cast(how.type, safe=False) if how.kind is Kind.DATE else values.cast(how.type)
    return _by_distinct(texts, how)


@dataclass
class Kinds:
    """How many of some texts are of each kind; adding two is merging them."""

    counts: Counter[str]
    formats: Counter[str]
    """Date formats, month or day first as "%d/%m/%Y" where that is open."""
    day_first: int = 0
    """Dates that can be read with the day first (or that leave no choice)."""
    month_first: int = 0
    open_order: int = 0
    """Dates that can be read both ways, and differently."""

    @classmethod
    def none(cls) -> Kinds:
        return cls(Counter(), Counter())

    def add(self, other: Kinds) -> None:
        self.counts.update(other.counts)
        self.formats.update(other.formats)
        self.day_first += other.day_first
        self.month_first += other.month_first
        self.open_order += other.open_order


def classify(texts: pa.Array) -> Kinds:
    """Every non-missing text's kind, found on the distinct ones."""
    found = Kinds.none()
    pairs = pc.value_counts(pc.drop_null(texts))
    values, counts = pc.utf8_trim_whitespace(pairs.field(0)), pairs.field(1)
    for name, pattern in _NUMERIC:
        hit = pc.match_substring_regex(values, pattern)
        if number := pc.sum(pc.filter(counts, hit)).as_py():
            found.counts[name] += number
            rest = pc.invert(hit)
            values, counts = values.filter(rest), counts.filter(rest)
    maybe = pc.match_substring_regex(values, _DATE_LIKE)
    if text := pc.sum(pc.filter(counts, pc.invert(maybe))).as_py():
        found.counts[Kind.TEXT] += text
    for value, number in zip(values.filter(maybe).to_pylist(), counts.filter(maybe).to_pylist(), strict=True):
        _count_date(found, value, number)
    return found


def count_exact(values: pa.Array, how: How) -> Kinds:
    """What `classify` would find, for values that `exact` has read."""
    found = Kinds.none()
    number = len(values) - values.null_count
    if how.kind is Kind.INT:
        long = pc.sum(pc.or_(pc.greater_equal(values, _LONG), pc.less_equal(values, -_LONG))).as_py() or 0
        found.counts.update({"int": number - long, "long": long})
    elif how.kind in DATES:
        found.counts[how.kind] += number
        found.formats[how.formats[0]] += number
        found.day_first = found.month_first = number
        if (
            "%d/%m" in how.formats[0]
            or "%d-%m-" in how.formats[0]
            or "%m/%d" in how.formats[0]
            or "%m-%d-%Y" in how.formats[0]
        ):
            both = pc.sum(pc.less_equal(pc.day(values), 12)).as_py() or 0
            same = pc.sum(pc.equal(pc.day(values), pc.month(values))).as_py() or 0
            found.open_order = both - same
            if how.month_first:
                found.day_first = both
            else:
                found.month_first = both
    else:
        found.counts[how.kind] += number
    return found


def rounded(texts: pa.Array, values: pa.Array) -> int:
    """How many texts have more digits than their values: 64 bits hold 15 of any number, 17 of some."""
    size = pc.binary_length(texts)
    large = texts.filter(pc.and_(pc.greater(size, 15), pc.greater_equal(pc.abs(values), 10.0**15)))
    large = large.filter(pc.match_substring_regex(large, _LARGE)).to_pylist()
    small = texts.filter(pc.and_(pc.greater(size, 18), pc.less(pc.abs(values), 10.0**15)))
    more = pc.sum(pc.match_substring_regex(small, _MORE_DIGITS)).as_py() or 0
    return int(more) + sum(Decimal(text) != Decimal(repr(float(text))) for text in large)


def moment(text: str, month_first: bool) -> dt.datetime | None:
    """The time a text names, or None."""
    found = _read(text)
    if found is None:
        return None
    return found.month_first if month_first else found.day_first


# -- numbers and booleans --------------------------------------------------------------------------------------------

_LONG = 10**15
_BOOLS = pa.array([None, "true", "false", "True", "False", "TRUE", "FALSE"], pa.string())
_WHOLE = r"^[+-]?[0-9]{1,19}$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$|^(?i:[+-]?inf(inity)?|nan)$"
_LARGE = r"^\s*[+-]?0*[1-9][0-9]{15,}(\.[0-9]*)?\s*$"
_MORE_DIGITS = r"[1-9](\.?[0-9]){16,}\.?[1-9]"  # 18 and more, less zeros before and behind
_NUMERIC = (
    ("zero", r"^-?0[0-9]+(\.[0-9]*)?$"),  # a leading zero: a code, never a number
    ("int", r"^-?(0|[1-9][0-9]{0,14})$"),
    ("long", r"^-?[1-9][0-9]{15,17}$"),  # exact as int64, not as float64
    ("huge", r"^-?[1-9][0-9]{18,}$"),  # neither, in general
    ("float", r"^-?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][+-]?[0-9]+)?$|^(?i:[+-]?inf(inity)?|nan)$"),
    ("bool", r"^(true|false|True|False|TRUE|FALSE)$"),
)


def _leading_zero(texts: pa.Array, dot: bool = False) -> bool:
    """Whether any text has one; "0x1F", which Arrow reads as a number, counts."""
    for start, least in (("0", 2), ("-0", 3)):
        suspects = texts.filter(pc.and_(pc.starts_with(texts, start), pc.greater_equal(pc.binary_length(texts), least)))
        if dot:
            suspects = suspects.filter(pc.invert(pc.starts_with(suspects, f"{start}.")))
        if len(suspects):
            return True
    return False


def _long(texts: pa.Array) -> bool:
    """Whether any text is a whole number that float64 may not hold."""
    suspects = texts.filter(pc.greater(pc.binary_length(texts), 15))
    suspects = suspects.filter(pc.invert(pc.match_substring(suspects, ".")))
    return bool(len(suspects) and pc.any(pc.match_substring_regex(suspects, r"^[+-]?[0-9]{16,}$")).as_py())


def _cast(texts: pa.Array, to: pa.DataType) -> pa.Array:
    try:
        values = texts.cast(to)
    except pa.ArrowInvalid:
        values = pc.utf8_trim_whitespace(texts).cast(to)
    if pa.types.is_integer(to) and len(values) and (top := pc.max(pc.binary_length(texts)).as_py()) and top > 18:
        raise pa.ArrowInvalid("perhaps more digits than int64 has")  # let `classify` look
    return values


# -- dates ------------------------------------------------------------------------------------------------------------

_DATE_LIKE = r"^\d{1,4}[-/. ]\w{1,9}[-/. ,]|^\w{3,9}\.? \d{1,2},? \d{4}"
_TIME = (
    r"(?:(?P<T>[T ])(?P<h>\d{1,2}):(?P<mi>\d{2})(?::(?P<s>\d{2})(?P<f>[.,]\d{1,9})?)?"
    r"(?: ?(?P<ap>[AaPp][Mm]))?(?P<z> ?Z| ?[+-]\d{2}:?\d{2})?)?$"
)
_YEAR_FIRST = re.compile(r"^(?P<y>\d{4})(?P<sep>[-/.])(?P<a>\d{1,2})(?P=sep)(?P<b>\d{1,2})" + _TIME)
_YEAR_LAST = re.compile(r"^(?P<a>\d{1,2})(?P<sep>[-/.])(?P<b>\d{1,2})(?P=sep)(?P<y>\d{4})" + _TIME)
_NAMED = re.compile(r"^(?P<a>\d{1,2})(?P<sep>[- ])(?P<m>[A-Za-z]{3,9})(?P=sep)(?P<y>\d{4})" + _TIME)
_NAMED_FIRST = re.compile(r"^(?P<m>[A-Za-z]{3,9}) (?P<a>\d{1,2}),? (?P<y>\d{4})" + _TIME)
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)


@dataclass(frozen=True)
class _Moment:
    day_first: dt.datetime | None
    month_first: dt.datetime | None
    format: str
    timed: bool
    zoned: bool


def _read(text: str) -> _Moment | None:
    shapes = {"ymd": _YEAR_FIRST, "dmy": _YEAR_LAST, "dby": _NAMED, "bdy": _NAMED_FIRST}
    matches = ((shape, match) for shape, pattern in shapes.items() if (match := pattern.match(text)))
    shape, match = next(matches, ("", None))
    if match is None:
        return None
    part = match.groupdict()
    clock = _clock(part)
    if clock is None:
        return None
    year, a, sep = int(part["y"]), int(part["a"]), part.get("sep", "")
    if shape == "ymd":
        one = other = _at(year, a, int(part["b"]), clock)
        strict = (
            sep == "-"
            and len(part["a"]) == len(part["b"]) == 2
            and not part["ap"]
            and (not part["h"] or len(part["h"]) == 2)
        )
        label = f"%Y{sep}%m{sep}%d"
        if strict:
            label = ISO
    elif shape == "dmy":
        one = _at(year, int(part["b"]), a, clock)
        other = _at(year, a, int(part["b"]), clock) if sep != "." else one
        label = f"%d{sep}%m{sep}%Y"
    else:
        month = next((i for i, name in enumerate(_MONTHS, 1) if part["m"].lower() in (name, name[:3])), 0)
        one = other = _at(year, month, a, clock)
        name = "%b" if len(part["m"]) == 3 else "%B"
        label = f"%d{sep}{name}{sep}%Y" if shape == "dby" else f"{name} %d, %Y" if "," in text else f"{name} %d %Y"
    if one is None and other is None:
        return None
    if label != ISO and part["h"]:
        label += (
            f"{part['T']}{'%I' if part['ap'] else '%H'}:%M"
            + (":%S" if part["s"] else "")
            + (".%f" if part["f"] else "")
        )
        label += (" %p" if part["ap"] else "") + ("%z" if part["z"] else "")
    return _Moment(one, other, label, bool(part["h"]), bool(part["z"]))


def _clock(part: dict[str, str | None]) -> tuple[dt.time, dt.timedelta] | None:
    """Time of day and offset from UTC."""
    hour = int(part["h"] or 0)
    if part["ap"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if part["ap"].lower() == "pm" else 0)
    micro = int((part["f"] or ".0")[1:7].ljust(6, "0"))
    zone = (part["z"] or "").strip()
    offset = dt.timedelta()
    if zone and zone != "Z":
        offset = dt.timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:])) * (-1 if zone[0] == "-" else 1)
    try:
        return dt.time(hour, int(part["mi"] or 0), int(part["s"] or 0), micro), offset
    except ValueError:
        return None


def _at(year: int, month: int, day: int, clock: tuple[dt.time, dt.timedelta]) -> dt.datetime | None:
    try:
        return dt.datetime.combine(dt.date(year, month, day), clock[0]) - clock[1]
    except (ValueError, OverflowError):
        return None


def _count_date(found: Kinds, text: str, number: int) -> None:
    date = _read(text)
    if date is None:
        found.counts[Kind.TEXT] += number
        return
    found.counts[Kind.INSTANT if date.zoned else Kind.DATETIME if date.timed else Kind.DATE] += number
    found.formats[date.format] += number
    found.day_first += number if date.day_first else 0
    found.month_first += number if date.month_first else 0
    if date.day_first and date.month_first and date.day_first != date.month_first:
        found.open_order += number


def _strict_strptime(texts: pa.Array, how: How) -> pa.Array | None:
    form = how.formats[0]
    if "%f" in form or "%z" in form or "%p" in form or "%I" in form:
        return None  # not in C's strptime, or not alike everywhere
    values = pc.strptime(texts, format=form, unit="us", error_is_null=True)
    if values.null_count != texts.null_count or pc.any(pc.less(pc.year(values), 1000)).as_py():
        return None
    return values.cast(how.type)


def _by_distinct(texts: pa.Array, how: How) -> pa.Array:
    encoded = pc.dictionary_encode(texts)
    declared = how.formats[0] if len(how.formats) == 1 and how.formats[0] != ISO else None
    values = []
    for text in encoded.dictionary.to_pylist():
        value = moment(text, how.month_first)
        if value is None and declared:
            value = _python_strptime(text, declared)
        values.append(value)
    dictionary = pa.array(values, pa.timestamp("us")).cast(how.type, safe=False)
    return dictionary.take(encoded.indices)


def _python_strptime(text: str, form: str) -> dt.datetime | None:
    try:
        value = dt.datetime.strptime(text, form)
    except ValueError:
        return None
    return value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
