"""The last look at what is to be released: no source identifier survived, no personal data outside the surrogates.

A source value is looked for when it names somebody by itself: the whole value of a column that was replaced, masked or
dropped as identifying, at least eight letters or digits long (six where one is a digit), of two words or more where it
is a person's name, of 24 signs or more where it is free text. Shorter values meet others by chance, except in the very
column that they come from, where identifiers of any length are looked for. Values from ranges that belong to nobody
(example.com, 555-01xx) are passed over in columns of that kind: they are made up in the source too. In kept numbers
only nine digits and more count, and only more meetings than chance explains: a million account numbers of nine digits
fill a thousandth of their range, so one amount in a thousand meets one. Names and addresses are not looked for inside
surrogates drawn from public lists: two people called Anna Smith are no leak, and the draw never saw the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synth_pipeline.privacy.detect import patterns
from synth_pipeline.privacy.transform.entities import KNOWN, NAMES
from synth_pipeline.privacy.transform.hashing import U64, as_text, fingerprints, is_number, is_text
from synth_pipeline.records.records import Records
from synth_pipeline.records.schema import columns

_KEY = b"a scan compares, it hides nothing"[:32]
_BITS = 1 << 28
"""Size of the filter that holds the released values: 32 MiB, one false alarm in a thousand at 10 million values."""
_WIDEST = 20
_RESERVED = {
    "email": r"@example\.(com|org|net)$",
    "url": r"^\w+://example\.(com|org|net)(/|$)",
    "phone": r"^((\+|00)?1\D{0,2})?(\(?\d{3}\)?\D{0,2})?555\D?01\d\d(x\d+)?$",
    "ip": r"^(192\.0\.2|198\.51\.100|203\.0\.113|2[45]\d\.\d+\.\d+)\.|^2001:0?db8:",
    "ssn": r"^9\d\d[ -]?[0-4]\d[ -]?\d{4}$",
    "card": r"^9999",
    "iban": r"^xx\d\d",
}
"""Kind → its values that belong to nobody."""


def scan(released: Records, protected: Records, ingested: Records | None) -> list[dict[str, Any]]:
    """Checks for the scorecard, in bounded memory; counts and column names only.

    Args:
        released: exactly the rows to be published.
        protected: its facts say what was done to which column.
        ingested: the private source rows; None when they are gone, which fails the check.
    """
    facts = protected.facts["residual"]
    return [_survivors(released, facts, ingested), _personal(released, facts)]


def _survivors(released: Records, facts: Mapping[str, Any], ingested: Records | None) -> dict[str, Any]:
    name = "residual_survivors"
    identifying: dict[str, str] = dict(facts["identifying"])
    if not identifying:
        return _check(name, True, "no column of the source identifies anybody", values=0)
    if ingested is None:
        return _check(name, False, "the source rows are gone: run the dataset again", values=0)
    present = [c for c in identifying if c in ingested.schema().names]
    named = [c for c in present if identifying[c] in NAMES]
    others = [c for c in present if identifying[c] not in NAMES]
    listed = {c.name for c in columns(released.schema()) if c.surrogate and (c.action or {}).get("entity") in NAMES}
    everywhere = [c.name for c in columns(released.schema()) if _comparable(c.type)]
    found: dict[str, int] = {}
    # a name may recur in a column of names: there only other identifiers are looked for
    for sources, targets in ((others, everywhere), (named, [c for c in everywhere if c not in listed])):
        if sources and targets:
            for column, count in _meetings(released, targets, ingested, sources, identifying).items():
                found[column] = found.get(column, 0) + count
    for column in present:  # fresh identifiers are made so that none is a real one: here any meeting is wrong
        if identifying[column] == "identifier" and column in everywhere:
            met = _meetings(released, [column], ingested, [column], {column: "any"}).get(column, 0)
            found |= {column: max(met, found.get(column, 0))} if met else {}
    total = sum(found.values())
    note = (
        f"source values found in {', '.join(sorted(found))}"
        if found
        else "no source identifier is in any released column"
    )
    return _check(name, not found, note, values=total, columns=found)


def _meetings(
    released: Records, targets: list[str], ingested: Records, sources: list[str], identifying: Mapping[str, str]
) -> dict[str, int]:
    """Released columns → distinct values that are source identifiers.

    Three streams: released values into a filter; source values that pass it are remembered; these are looked up.
    """
    seen = np.zeros(_BITS >> 3, np.uint8)
    widths: dict[str, NDArray[np.int64]] = {}
    for column, values in _released(released, targets):
        widths[column] = widths.get(column, 0) + _digit_counts(values)
        for place in _places(fingerprints(values, _KEY)):
            np.bitwise_or.at(seen, place >> np.uint64(3), np.uint8(1) << (place & np.uint64(7)).astype(np.uint8))
    suspects: list[U64] = []
    source_widths = np.zeros(_WIDEST, np.int64)
    for column in sources:
        for _, batch in ingested.batches(columns=[column]):
            values = _telling(_normal(batch.column(0).unique()), identifying[column])
            if len(values):
                source_widths += _digit_counts(values)
                prints = fingerprints(values, _KEY)
                hits = np.ones(len(prints), bool)
                for place in _places(prints):
                    hits &= (seen[place >> np.uint64(3)] >> (place & np.uint64(7)).astype(np.uint8) & 1).astype(bool)
                if hits.any():
                    suspects.append(np.unique(prints[hits]))
    if not suspects:
        return {}
    looked_for = np.unique(np.concatenate(suspects))
    met: dict[str, set[int]] = {}
    for column, values in _released(released, targets):
        prints = fingerprints(values, _KEY)
        if len(hits := prints[np.isin(prints, looked_for)]):
            met.setdefault(column, set()).update(map(int, hits))
    shape, space = released.schema(), 9.0 * 10.0 ** (np.arange(_WIDEST) - 1.0)
    chance = {
        c: 0.0 if is_text(shape.field(c).type) else float((n * source_widths / space).sum()) for c, n in widths.items()
    }
    surrogates = {c.name for c in columns(shape) if c.surrogate}
    return {
        column: len(values)
        for column, values in met.items()
        if column in surrogates or len(values) > chance[column] + 4 * np.sqrt(chance[column])
    }


def _digit_counts(values: pa.Array) -> NDArray[np.int64]:
    """How many values are numbers of 0, 1, 2 … digits."""
    numbers = values.filter(pc.match_substring_regex(values, r"^\d{1,19}$"))
    return np.bincount(pc.utf8_length(numbers).to_numpy(zero_copy_only=False), minlength=_WIDEST).astype(np.int64)


def _released(released: Records, targets: list[str]) -> Iterator[tuple[str, pa.Array]]:
    surrogates = {c.name: (c.action or {}).get("entity") for c in columns(released.schema()) if c.surrogate}
    for _, batch in released.batches(columns=targets):
        for column in targets:
            values = batch.column(column).unique().drop_null()
            if not is_text(values.type):
                values = as_text(values)
                least = 1 if column in surrogates else 9  # ordinary numbers meet short account numbers by chance
                values = values.filter(pc.greater_equal(pc.utf8_length(values), least))
            # a surrogate from its own kind's range is nobody's, whatever account number has the same digits
            yield column, _somebodys(_normal(values), surrogates.get(column))


def _normal(values: pa.Array) -> pa.Array:
    return pc.utf8_lower(pc.utf8_trim_whitespace(as_text(values.drop_null())))


def _telling(values: pa.Array, entity: str) -> pa.Array:
    """The values that name somebody by themselves."""
    if entity == "any":
        return values
    values = _somebodys(values, entity)
    if entity == "text" or entity not in (*KNOWN, "identifier"):
        return values.filter(pc.greater_equal(pc.utf8_length(values), 24))
    if entity in NAMES:
        return values.filter(pc.match_substring_regex(values, r"\S{2,}\s+\S{3,}"))
    plain = pc.utf8_length(pc.replace_substring_regex(values, r"[^\pL\pN]", ""))
    long = pc.greater_equal(plain, 8)
    short = pc.and_(pc.greater_equal(plain, 6), pc.match_substring_regex(values, r"\d"))
    return values.filter(pc.or_(long, short))


def _somebodys(values: pa.Array, entity: str | None) -> pa.Array:
    """The values of a kind less those from its reserved range."""
    pattern = _RESERVED.get(entity or "")
    return values.filter(pc.invert(pc.match_substring_regex(values, pattern))) if pattern else values


def _personal(released: Records, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Pattern hits in columns that are neither surrogates nor declared harmless."""
    passed_over = {*facts["surrogates"], *facts["declared"]}
    found: dict[str, int] = {}
    looked = [c for c in columns(released.schema()) if c.name not in passed_over and _comparable(c.type)]
    numbers: dict[str, list[int]] = {}
    for _, batch in released.batches(columns=[column.name for column in looked]) if looked else ():
        for column in looked:
            values = batch.column(column.name).unique().drop_null()
            if is_text(values.type):
                if count := int(patterns.holds(values, patterns.PERSONAL).sum()):
                    found[column.name] = found.get(column.name, 0) + count
            else:
                cards, long = _cards(values)
                tally = numbers.setdefault(column.name, [0, 0, 0])
                for i, count in enumerate((cards, long, len(values))):
                    tally[i] += count
    for name, (cards, long, count) in numbers.items():
        # one number in ten passes Luhn: only cards among few long numbers, or most of them, say something
        if cards and (cards > 0.3 * long or long < 0.01 * count):
            found[name] = cards
    note = f"personal data found in {', '.join(sorted(found))}" if found else "no personal data outside the surrogates"
    return _check("residual_personal", not found, note, values=sum(found.values()), columns=found)


def _cards(values: pa.Array) -> tuple[int, int]:
    numbers = values.to_numpy(zero_copy_only=False)
    whole = np.where((numbers >= 10**12) & (numbers < 2**63) & (numbers == np.floor(numbers)), numbers, 0).astype(
        np.int64
    )
    return int(patterns.cards_among(whole).sum()), int((whole > 0).sum())


def _places(prints: U64) -> tuple[U64, U64, U64]:
    bits = np.uint64(_BITS - 1)
    return prints & bits, (prints >> np.uint64(18)) & bits, (prints >> np.uint64(36)) & bits


def _comparable(kind: pa.DataType) -> bool:
    return is_text(kind) or is_number(kind)


def _check(name: str, passed: bool, note: str, **counts: Any) -> dict[str, Any]:
    return {"name": name, "passed": passed, "blocking": True, "note": note, **counts}
