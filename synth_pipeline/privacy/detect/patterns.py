"""Identifiers that have a form: one RE2 alternation over whole columns, validators in Python on its few hits."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def luhn(digits: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1)."""
    total = 0
    for place, sign in enumerate(reversed(digits)):
        number = int(sign) * (1 + place % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def card(text: str) -> bool:
    """A payment card's number: its length, a network's first digits (those that are issued), Luhn."""
    digits = re.sub(r"[ -]", "", text)
    return bool(
        digits.isascii()
        and digits.isdigit()
        and 13 <= len(digits) <= 19
        and re.match(r"(4|5[0-8]|6[0-9]|3[0-9]|2[2-7])", digits)
        and len(set(digits)) > 1
        and luhn(digits)
    )


def iban(text: str) -> bool:
    """ISO 13616: the country's first two letters, check digits, mod 97 = 1."""
    packed = text.replace(" ", "").upper()
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", packed):
        return False
    return int("".join(str(int(sign, 36)) for sign in packed[4:] + packed[:4])) % 97 == 1


def ssn(text: str) -> bool:
    """A US social security number that can have been issued: no 000, 666 or 9xx, no 00, no 0000."""
    digits = re.sub(r"[ -]", "", text)
    return bool(
        re.fullmatch(r"\d{9}", digits)
        and digits[:3] not in ("000", "666")
        and digits[0] != "9"
        and digits[3:5] != "00"
        and digits[5:] != "0000"
    )


def ip(text: str) -> bool:
    """An IPv4 or IPv6 address, unless it is unspecified or names the machine itself."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (found.is_unspecified or found.is_loopback)


def phone(text: str) -> bool:
    """A written telephone number: with a country code 7-15 digits, without one the North American plan."""
    digits = re.sub(r"\D", "", text)
    if text.lstrip().startswith("+"):
        return 7 <= len(digits) <= 15
    return bool(re.fullmatch(r"1?[2-9]\d{2}[2-9]\d{6}", digits))


def email(text: str) -> bool:
    name, _, host = text.rpartition("@")
    return 0 < len(name) <= 64 and "." in host.strip(".") and ".." not in text


def _any(_text: str) -> bool:
    return True


@dataclass(frozen=True)
class Pattern:
    """How an entity is written inside running text, and what a hit must satisfy. Patterns are RE2: no look-around."""

    entity: str
    regex: str
    valid: Callable[[str], bool]
    personal: bool = True
    """A single one inside a kept column is removed; others (web addresses) count only when they fill a column."""


_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_GROUP = "[0-9A-Fa-f]{1,4}"
_IPV6 = rf"(?:{_GROUP}:){{7}}{_GROUP}|(?:{_GROUP}:){{1,6}}(?::{_GROUP}){{1,6}}|(?:{_GROUP}:){{2,7}}:"
PATTERNS: tuple[Pattern, ...] = (
    Pattern("url", r"(?:https?|ftp)://[^\s\"'<>]+|\bwww\.[A-Za-z0-9-]+\.[A-Za-z]{2,}[^\s\"'<>]*", _any, personal=False),
    Pattern(
        "email",
        r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\x{80}-\x{10FFFF}-]{1,64}@[\w\x{80}-\x{10FFFF}-]{1,63}(?:\.[\w\x{80}-\x{10FFFF}-]{1,63})+",
        email,
    ),
    Pattern(
        "uuid", r"\b[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}\b", _any, personal=False
    ),
    Pattern("iban", r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b", iban),
    Pattern(
        "mac", r"\b[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}\b|\b[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\b", _any
    ),
    Pattern("ip", rf"\b(?:{_OCTET}\.){{3}}{_OCTET}\b|{_IPV6}", ip),
    Pattern("card", r"\b\d(?:[ -]?\d){12,18}\b", card),
    Pattern("ssn", r"\b\d{3}-\d{2}-\d{4}\b|\b\d{3} \d{2} \d{4}\b", ssn),
    Pattern(
        "phone",
        r"\+[1-9]\d{0,2}[ .\-/]?\(?\d{1,4}\)?(?:[ .\-/]?\d{2,4}){1,4}"
        r"|(?:\b1[ .\-])?(?:\(\d{3}\) ?|\b\d{3}[ .\-])\d{3}[ .\-]\d{4}\b",
        phone,
    ),
)
BY_ENTITY = {pattern.entity: pattern for pattern in PATTERNS}
_PYTHON = {
    p.entity: re.compile(re.sub(r"\\x\{80\}-\\x\{10FFFF\}", "\u0080-\U0010ffff", p.regex), re.ASCII) for p in PATTERNS
}


def gate(values: pa.Array, patterns: Iterable[Pattern] = PATTERNS) -> NDArray[np.bool_]:
    """Which texts may hold one of the patterns: one pass of RE2 for all of them."""
    values = _narrow(values)
    both = pc.match_substring_regex(values, pattern="|".join(f"(?:{pattern.regex})" for pattern in patterns))
    return np.asarray(both.fill_null(False).to_numpy(zero_copy_only=False), bool)


def _narrow(values: pa.Array) -> pa.Array:
    """Full-width letters and digits as plain ones: a card number written in them is one."""
    wide = pc.match_substring_regex(values, pattern=r"[\x{FF01}-\x{FF5E}]")
    return pc.utf8_normalize(values, form="NFKC") if pc.any(wide).as_py() else values


def find(text: str, patterns: Iterable[Pattern] = PATTERNS) -> list[tuple[str, str]]:
    """(entity, what was found) of every valid hit."""
    text = text if text.isascii() else unicodedata.normalize("NFKC", text)
    found: list[tuple[str, str]] = []
    for pattern in patterns:
        hits = (hit.group() for hit in _PYTHON[pattern.entity].finditer(text))
        found.extend((pattern.entity, hit) for hit in hits if pattern.valid(hit))
    return found


def holds(values: pa.Array, patterns: Iterable[Pattern] = PATTERNS) -> NDArray[np.bool_]:
    """Which texts hold a valid hit."""
    chosen = tuple(patterns)
    mask = gate(values, chosen)
    for row in np.flatnonzero(mask):
        text = unicodedata.normalize("NFKC", values[row].as_py())
        mask[row] = any(p.valid(hit.group()) for p in chosen for hit in _PYTHON[p.entity].finditer(text))
    return mask


PERSONAL = tuple(pattern for pattern in PATTERNS if pattern.personal)


def cards_among(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which whole numbers are payment cards' (13-19 digits): vectorised, since one number in ten passes Luhn."""
    mask = numbers >= 10**12
    for row in np.flatnonzero(mask):
        mask[row] = card(str(int(numbers[row])))
    return mask
