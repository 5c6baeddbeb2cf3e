"""One column's protection at work: fitted on training rows, then applied to every batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.privacy.detect import patterns
from synth_pipeline.privacy.transform.entities import NAMES, kind, surrogates
from synth_pipeline.privacy.transform.hashing import U64, as_text, fingerprints, is_number, is_text, subkey, tokens
from synth_pipeline.privacy.transform.permutation import pseudonyms
from synth_pipeline.privacy.transform.plan import Protection
from synth_pipeline.privacy.transform.statistics import Follows, Forms, Levels, Repeats, contains, digit_form
from synth_pipeline.records.schema import Column
from synth_pipeline.spec.privacy import Fake, Generalise, Hash, Mask, Suppress


@dataclass
class Protector:
    """Learns one column (`learn`), says what its note is (`finish`), then transforms batches (`apply`)."""

    protection: Protection
    secret: bytes = field(repr=False)
    repeats: Repeats = field(default_factory=Repeats)
    forms: Forms = field(default_factory=Forms)
    follows: Follows = field(default_factory=Follows)
    levels: Levels | None = None
    form: str | None = None
    unique: bool = False
    suppressed: int = 0
    """Cells whose level was too rare, or that held a single identifier."""
    _common: U64 | None = None

    def __post_init__(self) -> None:
        if self.protection.least > 1:
            self.levels = Levels(self.protection.least)
        self._levels_key = subkey(self.secret, "levels")

    def learn(self, values: pa.Array, units: U64 | None) -> None:
        """Takes training rows' source values."""
        if self.protection.surrogate:
            if self.protection.counted:
                prints = fingerprints(values, self._levels_key)
                self.repeats.add(prints)
                if units is not None:
                    self.follows.add(prints, units)
            else:
                self.repeats.skip(values)
            if self.form is None and (digits := self._kind_digits):
                self.form = digit_form(values, digits)
            if self.form is None and self.protection.entity in ("ip", "mac", "iban"):
                self.form = _layout(self.protection.entity, values)
        elif self.levels is not None:
            self.levels.add(fingerprints(self._coarse(values), self._levels_key), units)

    def see(self, values: pa.Array, units: U64 | None = None) -> None:
        """Takes rows of either split: where fresh identifiers must not fall, and what is constant in them."""
        if (
            self.protection.surrogate
            and self.protection.entity == "identifier"
            and isinstance(self.protection.action, Fake)
        ):
            self.forms.add(values, units)

    def finish(self, unit: str | None = None) -> Column | None:
        """The protected column, with all that the generate stage needs in its note; `unit` is the unit's column."""
        output = self.protection.output
        if self.levels is not None:
            self._common = self.levels.common()
            self.levels = None
        if output is None:
            return None
        action = self.protection.action
        note: dict[str, Any] = action.model_dump(mode="json", exclude_none=True)
        if self.protection.surrogate:
            note |= self._surrogate_note()
            if unit is not None and unit != output.name and self.follows.holds:
                note["follows"] = unit
            output = output.having(type=_roomy(output.type))
        return output.having(action=note)

    def apply(self, values: pa.Array) -> pa.Array:
        protection = self.protection
        assert protection.output is not None
        action = protection.action
        if isinstance(action, Hash):
            return _missing(tokens(values, subkey(self.secret, "hash"), action.length), values)
        if isinstance(action, Fake):
            return self._fake(values, action).cast(_roomy(protection.output.type))
        out = self._coarse(values)
        if self._common is not None:
            out = self._suppress(out, action.to if isinstance(action, Suppress) else None)
        elif protection.scrub:
            out = self._scrub(out)
        return out.cast(protection.output.type) if out.type != protection.output.type else out

    @property
    def _kind_digits(self) -> tuple[int, ...]:
        entity, action = self.protection.entity, self.protection.action
        if entity in (None, "identifier") or not isinstance(action, Fake):
            return ()
        return kind(entity, action.locale).digits

    def _surrogate_note(self) -> dict[str, Any]:
        action = self.protection.action
        histogram = self.repeats.histogram()
        seen_once = not histogram or histogram[-1][0] == 1
        declared = action.unique if isinstance(action, Fake) else None
        self.unique = seen_once if declared is None else declared
        note: dict[str, Any] = {
            "surrogate": True,
            "entity": self.protection.entity if isinstance(action, Fake) else "token",
            "null_rate": round(self.repeats.null_rate, 6),
            "unique": self.unique,
            "multiplicity": None if seen_once or self.unique else _thinned(histogram),
        }
        if isinstance(action, Fake):
            note["locale"] = action.locale
            if self.form:
                note["form"] = self.form
            if self.protection.entity == "identifier":
                note |= self._identifier_note()
        return note

    def _identifier_note(self) -> dict[str, Any]:
        assert self.protection.output is not None
        kind_of = self.protection.output.type
        if is_number(kind_of):
            # one digit more than any real one, so that no fresh number is somebody's
            low = 10 ** len(str(self.forms.widest))
            top = 2**53 if pa.types.is_floating(kind_of) else 2**63 - 1
            if low * 2 > top:  # no digit to add: above the highest, or in a space too large to meet a real one
                return {"low": self.forms.widest + 1 if self.forms.widest < top // 2 else 1, "high": top}
            return {"low": low, "high": min(low * 10, top)}
        return {"templates": self.forms.templates()}

    def _fake(self, values: pa.Array, action: Fake) -> pa.Array:
        entity = self.protection.entity
        assert entity is not None
        if entity == "identifier":
            return pseudonyms(values, subkey(self.secret, "identifier"))
        print_ = fingerprints(values, subkey(self.secret, entity))
        maker = kind(entity, action.locale)
        number = is_number(values.type)
        if self.unique:
            index = print_ >> np.uint64(4)
            if number:  # which must hold all that is appended: 18 digits
                index %= np.uint64(min(maker.capacity * 10 ** (18 - max(maker.digits)), 1 << 60))
        else:
            index = print_ % np.uint64(maker.common or maker.capacity)
        made = surrogates(entity, index, action.locale, self.form)
        if entity in NAMES or maker.common:  # drawn from common values: may be the very same
            same = pc.equal(pc.utf8_lower(made), pc.utf8_lower(as_text(values))).fill_null(False)
            rows = np.flatnonzero(same.to_numpy(zero_copy_only=False))
            if len(rows):
                size = np.uint64(maker.common or maker.capacity)
                index[rows] = (index[rows] + np.uint64(1)) % size if not self.unique else index[rows] + np.uint64(1)
                made = surrogates(entity, index, action.locale, self.form)
        if number:
            made = pc.replace_substring_regex(made, r"\D", "")
        return _missing(made, values)

    def _coarse(self, values: pa.Array) -> pa.Array:
        action = self.protection.action
        if isinstance(action, Mask):
            return _mask(values, action)
        if isinstance(action, Generalise):
            return _generalise(values, action)
        return values

    def _suppress(self, values: pa.Array, to: str | None) -> pa.Array:
        assert self._common is not None
        coded = values.dictionary_encode()
        kept = contains(self._common, fingerprints(coded.dictionary, self._levels_key))
        if self.protection.scrub and is_text(coded.dictionary.type):
            usual = coded.dictionary.filter(pa.array(kept))
            kept[kept] = ~patterns.holds(usual, patterns.PERSONAL)
        if kept.all():
            return values
        codes = coded.indices.fill_null(0).to_numpy(zero_copy_only=False)
        rare = ~kept[codes] & coded.indices.is_valid().to_numpy(zero_copy_only=False)
        self.suppressed += int(rare.sum())
        return pc.if_else(pa.array(rare), pa.scalar(to, values.type), values)

    def _scrub(self, values: pa.Array) -> pa.Array:
        hits = _identifiers(values)
        if hits is None:
            return values
        self.suppressed += int(hits.sum())
        return pc.if_else(pa.array(hits), pa.scalar(None, values.type), values)


def _identifiers(values: pa.Array) -> Any:
    """Which cells hold a single person's identifier; None: no cell does."""
    if is_number(values.type):
        if (pc.max(values).as_py() or 0) < 10**12:
            return None
        numbers = values.fill_null(0).to_numpy(zero_copy_only=False)
        whole = np.where((numbers >= 10**12) & (numbers < 2**63), numbers, 0).astype(np.int64)
        hits = patterns.cards_among(whole)
        # one number in ten passes Luhn: cards stand out, or are many among the long ones
        long = int((whole >= 10**12).sum())
        return hits if hits.any() and (hits.sum() > 0.3 * long or long < 0.01 * len(values)) else None
    if not is_text(values.type):
        return None
    found = patterns.holds(values, patterns.PERSONAL)
    return found if found.any() else None


def _mask(values: pa.Array, action: Mask) -> pa.Array:
    coded = as_text(values).dictionary_encode()

    def one(text: str) -> str:
        hidden = len(text) - action.first - action.last
        if hidden <= 0:
            return action.sign * len(text)
        return text[: action.first] + action.sign * hidden + text[len(text) - action.last :]

    return pa.array([one(text) for text in coded.dictionary.to_pylist()], pa.string()).take(coded.indices)


def _generalise(values: pa.Array, action: Generalise) -> pa.Array:
    if action.prefix is not None:
        return pc.utf8_slice_codeunits(values, 0, action.prefix)
    if action.date is not None:
        return pc.floor_temporal(values, unit=action.date).cast(values.type)
    if action.width is not None:
        width = action.width
        numbers = values.cast(pa.float64(), safe=False)
        return pc.multiply(pc.floor(pc.divide(numbers, width)), width).cast(values.type, safe=False)
    assert action.bins is not None
    edges = sorted(action.bins)
    names = [
        f"< {edges[0]:g}",
        *(f"[{a:g}, {b:g})" for a, b in pairwise(edges)),
        f"≥ {edges[-1]:g}",
    ]
    numbers = values.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
    places = np.searchsorted(edges, numbers, side="right")
    return pa.array(names, pa.string()).take(pa.array(places, mask=np.isnan(numbers)))


def _layout(entity: str, values: pa.Array) -> str | None:
    first = next((v for v in as_text(values.drop_null().slice(0, 1)).to_pylist()), "")
    signs = {"ip": ":", "mac": "-", "iban": " "}
    return signs[entity] if signs[entity] in first else None


def _thinned(histogram: list[list[int]]) -> list[list[int]]:
    """At most 200 sizes, none that a single value has alone when there are more: sizes are rounded together."""
    if len(histogram) <= 200:
        return histogram
    total = sum(count for _, count in histogram)
    out: list[list[int]] = []
    held = rows = 0
    for size, count in histogram:
        held, rows = held + count, rows + size * count
        if held >= total / 200:
            out.append([max(1, round(rows / held)), held])
            held = rows = 0
    if held:
        out.append([max(1, round(rows / held)), held])
    return out


def _roomy(kind_of: pa.DataType) -> pa.DataType:
    """The type that holds a number's surrogates, which may have more digits than any real one."""
    if pa.types.is_integer(kind_of) and kind_of.bit_width < 64:
        return pa.int64()
    return pa.float64() if pa.types.is_floating(kind_of) else kind_of


def _missing(made: pa.Array, source: pa.Array) -> pa.Array:
    return pc.if_else(source.is_valid(), made, pa.scalar(None, made.type)) if source.null_count else made
