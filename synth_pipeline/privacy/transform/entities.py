"""What surrogates look like: the index-th e-mail, person, card … of a kind; never one that can be somebody's.

Kinds with reserved ranges stay inside them: example domains (RFC 2606), telephone 555-01xx, card numbers of no issuer
(ISO/IEC 7812: 9 and a country code that nobody has), IBAN of the user-assigned country XX (ISO 3166), social security
areas 9xx outside the tax-number groups, documentation addresses (RFC 5737, 3849; class E beyond them), local MAC bit.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synth_pipeline.errors import SpecError, did_you_mean
from synth_pipeline.privacy.transform.hashing import U64, mix
from synth_pipeline.privacy.transform.permutation import DIGIT, FIXED, HEX, spell, strings


@dataclass(frozen=True)
class Kind:
    """`make(index, form)`: texts for indexes below `capacity`; `more` turns what exceeds it into something to append.

    `common`: how many indexes are used where surrogates need not differ; None: all. `digits`: how many digits a written
    form may have.
    """

    capacity: int
    make: Callable[[U64, str | None], pa.Array]
    more: Callable[[pa.Array, U64], pa.Array]
    common: int | None = None
    digits: tuple[int, ...] = ()


def kind(entity: str, locale: str = "en_US") -> Kind:
    """The maker of an entity: one of ours, else any Faker provider's.

    Raises:
        SpecError: neither knows the entity, or Faker does not know the locale.
    """
    return _kind(entity, locale)


NAMES = frozenset({"person", "first_name", "last_name", "address"})
"""Kinds whose surrogates come from public lists of common values: meeting a real one is chance, not a leak."""
KNOWN = (*sorted(NAMES), "card", "email", "iban", "ip", "mac", "phone", "ssn", "url", "username", "uuid")


def known(entity: str) -> bool:
    return entity in KNOWN


def surrogates(entity: str, index: U64, locale: str = "en_US", form: str | None = None) -> pa.Array:
    """Texts for indexes; different indexes give different texts."""
    maker = kind(entity, locale)
    size = np.uint64(maker.capacity)
    rest = index // size
    made = maker.make(index - rest * size, form)
    return maker.more(made, rest) if rest.any() else made


def _form(digits: NDArray[np.uint8], form: str | None, default: str) -> pa.Array:
    """Digits (as bytes) put into a written form in which each 0 stands for one."""
    width = digits.shape[1]
    layout = form if form is not None and form.count("0") == width else default
    if layout.count("0") < width:  # a form without the country code
        digits = digits[:, width - layout.count("0") :]
    signs = np.frombuffer(layout.encode(), np.uint8)
    out = np.empty((len(digits), len(signs)), np.uint8)
    out[:] = signs
    out[:, signs == 48] = digits
    return strings(out)


def _digits(number: U64, width: int) -> NDArray[np.uint8]:
    return spell(number, [DIGIT] * width, b"0" * width)


_AREAS = np.array([a for a in range(200, 1000) if a % 100 != 11 and not 90 <= a % 100 <= 99 and a != 555], np.uint64)


def _phone(index: U64, form: str | None) -> pa.Array:
    area = _AREAS[index // np.uint64(100)]
    number = np.uint64(10_000_000_000) + area * np.uint64(10_000_000) + np.uint64(5_550_100) + index % np.uint64(100)
    width = 10 if form is not None and form.count("0") == 10 else 11
    return _form(_digits(number, 11)[:, 11 - width :], form, "+0-000-000-0000")


def _ssn(index: U64, form: str | None) -> pa.Array:
    serial = index % np.uint64(9999) + np.uint64(1)
    group = index // np.uint64(9999) % np.uint64(49) + np.uint64(1)
    area = index // np.uint64(9999 * 49) + np.uint64(900)
    return _form(_digits(area * np.uint64(10**6) + group * np.uint64(10**4) + serial, 9), form, "000-00-0000")


def _card(index: U64, form: str | None) -> pa.Array:
    digits = _digits(np.uint64(999_900_000_000_000) + index, 15) - np.uint8(48)
    doubled = digits.copy()
    doubled[:, ::2] *= 2
    doubled[doubled > 9] -= 9
    check = (10 - doubled.sum(axis=1, dtype=np.int64) % 10) % 10
    return _form(np.column_stack([digits, check.astype(np.uint8)]) + np.uint8(48), form, "0000000000000000")


def _iban(index: U64, form: str | None) -> pa.Array:
    body = _digits(index, 18)
    # XX00 moved behind the account number: X = 33; mod 97 in two steps that fit 64 bits
    remainder = (index % np.uint64(97)) * np.uint64(pow(10, 6, 97)) + np.uint64(333300)
    check = np.uint64(98) - remainder % np.uint64(97)
    plain = strings(np.column_stack([np.full((len(index), 2), ord("X"), np.uint8), _digits(check, 2), body]))
    if form is not None and " " in form:
        return pc.utf8_rtrim_whitespace(pc.replace_substring_regex(plain, pattern="(.{4})", replacement=r"\1 "))
    return plain


_EMPTY = pa.scalar("", pa.large_string())
_DOCUMENTATION = np.array(
    [
        (a << 24 | b << 16 | c << 8 | d)
        for a, b, c in ((192, 0, 2), (198, 51, 100), (203, 0, 113))
        for d in range(1, 255)
    ],
    np.uint64,
)


def _dotted(address: U64) -> pa.Array:
    parts = [
        pa.array((address >> np.uint64(s) & np.uint64(255)).astype(np.uint8)).cast(pa.large_string())
        for s in (24, 16, 8, 0)
    ]
    return _join(*parts, ".")


def _ip(index: U64, form: str | None) -> pa.Array:
    if form is not None and ":" in form:
        hexadecimal = spell(index, [HEX] * 16, b"0" * 16)
        cut = strings(hexadecimal)
        groups = [pc.utf8_slice_codeunits(cut, 4 * i, 4 * i + 4) for i in range(4)]
        return _join(_constant("2001:0db8", len(index)), *groups, _constant("0000:0001", len(index)), ":")
    few = np.uint64(len(_DOCUMENTATION))
    beyond = np.uint64(0xF0000000) + np.maximum(index, few) - few
    return _dotted(np.where(index < few, _DOCUMENTATION[np.minimum(index, few - np.uint64(1))], beyond))


def _mac(index: U64, form: str | None) -> pa.Array:
    sign = "-" if form is not None and "-" in form else ":"
    layout = np.frombuffer(("02" + f"{sign}00" * 5).encode(), np.uint8)
    classes = [FIXED if i % 3 == 2 or i < 2 else HEX for i in range(len(layout))]
    return strings(spell(index, classes, layout.tobytes()))


def _uuid(index: U64, form: str | None) -> pa.Array:
    """Version 8 (custom, RFC 9562): 60 bits from the index, the others scrambled from it."""
    other = mix(index, np.uint64(0x5851F42D4C957F2D))
    high = spell(index, [HEX] * 15, b"0" * 15)
    low = spell(other, [HEX] * 15, b"0" * 15)
    out = np.empty((len(index), 36), np.uint8)
    out[:] = np.frombuffer(b"00000000-0000-8000-a000-000000000000", np.uint8)
    out[:, [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 15, 16, 17]] = high
    out[:, [20, 21, 22, *range(24, 36)]] = low
    return strings(out)


def _append(separator: str) -> Callable[[pa.Array, U64], pa.Array]:
    def more(made: pa.Array, rest: U64) -> pa.Array:
        tail = _join(_constant("", len(rest)), pa.array(rest).cast(pa.large_string()), separator)
        return _join(made, pc.if_else(pa.array(rest > 0), tail, _EMPTY), "")

    return more


def _join(*parts: pa.Array | str) -> pa.Array:
    """Texts side by side; the last part is the sign between them."""
    return pc.binary_join_element_wise(*parts[:-1], pa.scalar(parts[-1], pa.large_string()))


def _constant(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.large_string()), count)


def _letters(rest: U64) -> pa.Array:
    """0 → "", 1 → "A" … 26 → "Z", 27 → "AA": bijective base 26."""
    out: pa.Array = _constant("", len(rest))
    alphabet = pa.array([chr(65 + i) for i in range(26)], pa.large_string())
    rest = rest.copy()
    while rest.any():
        live = rest > 0
        rest = np.where(live, rest - np.uint64(1), rest)
        letter = pc.if_else(pa.array(live), alphabet.take(pa.array((rest % np.uint64(26)).astype(np.int64))), _EMPTY)
        out = _join(letter, out, "")
        rest = np.where(live, rest // np.uint64(26), rest)
    return out


@cache
def pool(method: str, locale: str) -> pa.Array:
    """Distinct values of one Faker provider: its whole list if it has one, else what seed 0 draws."""
    from faker import Faker

    try:
        source = Faker(locale)
        for provider in source.get_providers():
            listed = getattr(provider, f"{method}s", None)
            if isinstance(listed, (tuple, list, dict)) and len(listed) > 100:
                return pa.array(list(dict.fromkeys(map(str, listed))), pa.large_string())
        draw = getattr(source, method)
        source.seed_instance(0)
        found = dict.fromkeys(str(draw()).replace("\n", ", ") for _ in range(1500))
    except (AttributeError, TypeError) as error:
        if isinstance(error, AttributeError) and "locale" in str(error).lower():
            raise SpecError(f'Faker has no locale "{locale}"', where="privacy.locale") from error
        raise SpecError(f'no surrogates of "{method}"; {did_you_mean(method, (*KNOWN, "identifier"))}') from error
    return pa.array(list(found), pa.large_string())


def _ascii(values: pa.Array) -> pa.Array:
    plain = (unicodedata.normalize("NFKD", v).encode("ascii", "ignore").decode().lower() for v in values.to_pylist())
    kept = dict.fromkeys(filter(None, (re.sub(r"[^a-z]", "", v) for v in plain)))
    return pa.array(list(kept) or ["a", "b", "c"], pa.large_string())


def _take(values: pa.Array, index: U64) -> pa.Array:
    return values.take(pa.array(index.astype(np.int64)))


@cache
def _kind(entity: str, locale: str) -> Kind:
    fixed = {
        "phone": Kind(len(_AREAS) * 100, _phone, _append("x"), digits=(10, 11)),
        "ssn": Kind(100 * 49 * 9999, _ssn, _append("-"), digits=(9,)),
        "card": Kind(10**11, _card, _append("-"), digits=(16,)),
        "iban": Kind(10**18, _iban, _append("-")),
        "ip": Kind(len(_DOCUMENTATION) + 0x0FFFFFFE, _ip, _append("-"), common=len(_DOCUMENTATION)),
        "mac": Kind(1 << 40, _mac, _append("-")),
        "uuid": Kind(1 << 60, _uuid, _append("-")),
    }
    if entity in fixed:
        return fixed[entity]
    if entity in ("person", "email", "username", "url"):
        first, last = pool("first_name", locale), pool("last_name", locale)
        if entity == "person":
            return _person(first, last)
        return _handle(entity, _ascii(first), _ascii(last))
    if entity == "address":
        streets = pool("street_name", locale)
        houses = np.uint64(9998)

        def house(index: U64, form: str | None) -> pa.Array:
            number = pa.array(index % houses + np.uint64(1)).cast(pa.large_string())
            return _join(number, _take(streets, index // houses), " ")

        return Kind(len(streets) * int(houses), house, _append(", No. "))
    values = pool(entity, locale)
    return Kind(len(values), lambda index, form: _take(values, index), _spaced, common=len(values))


def _spaced(made: pa.Array, rest: U64) -> pa.Array:
    tail = _letters(rest)
    return pc.if_else(pa.array(rest > 0), _join(made, tail, " "), made)


def _person(first: pa.Array, last: pa.Array) -> Kind:
    size = np.uint64(len(first))

    def make(index: U64, form: str | None) -> pa.Array:
        return _join(_take(first, index % size), _take(last, index // size), " ")

    def more(made: pa.Array, rest: U64) -> pa.Array:
        split = pc.if_else(pa.array(rest > 0), _join(_constant("", len(rest)), _letters(rest), " "), _EMPTY)
        # a middle name, so that the first and last words stay what they are
        head = pc.replace_substring_regex(made, pattern=r"^(\S+) .*$", replacement=r"\1")
        tail = pc.replace_substring_regex(made, pattern=r"^\S+", replacement="")
        return _join(head, split, tail, "")

    return Kind(len(first) * len(last), make, more)


def _handle(entity: str, first: pa.Array, last: pa.Array) -> Kind:
    size, names = np.uint64(len(first)), len(first) * len(last)
    serial = np.uint64(10_000)

    def user(index: U64) -> pa.Array:
        name = index // serial
        number = pa.array(index % serial).cast(pa.large_string())
        sign = "_" if entity == "username" else "."
        both = _join(_take(first, name % size), _take(last, name // size), sign)
        return _join(both, number, "")

    hosts = pa.array(["example.com", "example.org", "example.net"], pa.large_string())

    def make(index: U64, form: str | None) -> pa.Array:
        if entity == "username":
            return user(index)
        host = _take(hosts, index % np.uint64(3))
        if entity == "email":
            return _join(user(index), host, "@")
        return _join(_constant("https://", len(index)), host, _constant("/", len(index)), user(index), "")

    def more(made: pa.Array, rest: U64) -> pa.Array:
        tail = pa.array(rest).cast(pa.large_string())
        if entity != "email":
            return pc.if_else(pa.array(rest > 0), _join(made, tail, "-"), made)
        parts = pc.replace_substring_regex(made, pattern="@.*$", replacement="")
        host = pc.replace_substring_regex(made, pattern="^.*@", replacement="")
        longer = _join(_join(parts, tail, "-"), host, "@")
        return pc.if_else(pa.array(rest > 0), longer, made)

    return Kind(names * 10_000, make, more)
