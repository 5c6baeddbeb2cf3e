"""Personal data that only a column's name or a dictionary of names gives away: people, addresses."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_HINTS: tuple[tuple[str, str], ...] = (
    ("email", r"e? ?mails?( (address|adresse|addr|id))?"),
    (
        "phone",
        r"(tele)?(phone|fon|fono)( (number|no|nr|num))?|mobile( (number|no|phone))?|cell( ?phone)?|tel|fax|msisdn",
    ),
    ("first_name", r"(first|given|fore|middle) ?names?|vorname|prenom|nombre|fname"),
    ("last_name", r"(last|family|sur|maiden) ?names?|nachname|apellidos?|lname"),
    (
        "person",
        r"(full|complete|person|patient|customer|client|employee|contact|holder|owner|doctor|physician|insured|member|"
        r"student|applicant|passenger|guest|parent|mother|father|spouse|guardian|beneficiary|account holder|"
        r"card ?holder) ?names?",
    ),
    ("ssn", r"ssn|social security( (number|no))?|sin|tax ?id|national ?id|nino|nin"),
    ("card", r"(credit |debit |payment )?card ?(number|no|nr|num)|ccn|cc ?num(ber)?|pan|credit card"),
    ("iban", r"iban|bank account( (number|no))?"),
    (
        "address",
        r"(street|home|postal|mailing|billing|shipping|residential)? ?addr(ess)?( ?(line)? ?\d)?|street( name)?|"
        r"strasse|adresse|direccion",
    ),
    ("ip", r"(client |remote |src |source |dst )?ip( ?addr(ess)?)?(v[46])?"),
    ("mac", r"mac( ?addr(ess)?)?|hw ?addr"),
    ("username", r"user ?names?|login( name)?|screen ?name|nick ?names?|handle"),
    ("birth_date", r"dob|(date of )?birth( ?(date|day))?|birth ?date|geburtsdatum"),
)  # fmt: skip
_PREFIX = (
    r"(?:(?:the|my|customer|client|patient|user|employee|member|contact|person|home|work|primary|secondary|emergency|"
    r"billing|shipping|business|personal|private|alt|alternate|other|new|old) )*"
)
_COMPILED = tuple((entity, re.compile(rf"{_PREFIX}(?:{hint})(?: ?\d{{1,2}})?")) for entity, hint in _HINTS)
_WEAK = re.compile(r"names?|nom|name \d|last|first|middle|surname")
"""Names of columns that may hold people, if a dictionary agrees."""


def hint(column: str) -> str | None:
    """The entity that a column's name promises: "customerEmail" → "email"."""
    words = _words(column)
    return next((entity for entity, pattern in _COMPILED if pattern.fullmatch(words)), None)


def may_name_people(column: str) -> bool:
    return bool(_WEAK.fullmatch(_words(column)))


def share_of_names(values: pa.Array) -> tuple[float, float, float]:
    """Of distinct texts: the shares that are one known first name, one known last name, a full name.

    A full name is two to four words, among them a known first name and a known last name.
    """
    count = len(values) - values.null_count
    if count == 0:
        return 0.0, 0.0, 0.0
    first, last = dictionaries()
    plain = pc.utf8_lower(pc.replace_substring_regex(pc.utf8_trim_whitespace(values), pattern=r"[.,]", replacement=""))
    alone_first = int(pc.sum(pc.is_in(plain, value_set=first)).as_py() or 0)
    alone_last = int(pc.sum(pc.is_in(plain, value_set=last)).as_py() or 0)
    words = pc.split_pattern(plain, " ")
    counts = pc.list_value_length(words).fill_null(0).to_numpy(zero_copy_only=False)
    flat = words.flatten()
    owners = np.repeat(np.arange(len(counts)), counts)
    known_first = pc.is_in(flat, value_set=first).to_numpy(zero_copy_only=False)
    known_last = pc.is_in(flat, value_set=last).to_numpy(zero_copy_only=False)
    firsts = np.bincount(owners, known_first, len(counts))
    lasts = np.bincount(owners, known_last, len(counts))
    known = np.bincount(owners, known_first | known_last, len(counts))
    full = int(((counts >= 2) & (counts <= 4) & (firsts >= 1) & (lasts >= 1) & (known >= 2)).sum())
    return alone_first / count, alone_last / count, full / count


def share_of_addresses(values: pa.Array) -> float:
    """The share that starts or ends with a house number beside words of a street."""
    count = len(values) - values.null_count
    pattern = (
        r"(?i)^\d{1,6}[a-z]? +[^\d,]{2,40}( (street|st|avenue|ave|road|rd|lane|ln|drive|dr|court|ct|way|blvd|boulevard|"
        r"place|pl|square|sq|terrace|parkway|pkwy|highway|hwy|circle|trail|loop|route|plaza|alley|walk|row|mews|close|"
        r"[a-z]*(ways|views|ville|ridge|land|port|burgh|shire|point|crossing|springs|garden|gardens|grove|heights|hill|hills|"
        r"island|islands|junction|knoll|lake|manor|meadow|mill|mount|mountain|neck|oval|park|pass|path|pike|pine|plain|"
        r"prairie|ramp|ranch|rapid|rest|river|shoal|shore|spring|spur|station|stream|summit|trace|track|turnpike|union|"
        r"unions|valley|via|viaduct|view|village|vista|wall|well))\b)|^(rue|via|calle|avenida|plaza|\S*(stra(ss|ß)e|weg|platz|gasse|allee))\b.*\d|"
        r"^\S+( ?stra(ss|ß)e|weg|platz|gasse|allee) \d"
    )
    return int(pc.sum(pc.match_substring_regex(values, pattern=pattern)).as_py() or 0) / count if count else 0.0


@cache
def dictionaries() -> tuple[pa.Array, pa.Array]:
    """Known first and last names in lower case, from the lists that Faker ships; made once per process (0.1 s)."""
    import importlib

    first: set[str] = set()
    last: set[str] = set()
    for locale in ("en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pt_BR", "sv_SE", "pl_PL", "tr_TR"):
        provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
        for key in dir(provider):
            names = getattr(provider, key)
            if isinstance(names, (tuple, list, dict)) and key.startswith(("first_names", "last_names")):
                (first if key.startswith("first") else last).update(str(name).lower() for name in names)
    short = re.compile(r"\w{3,}")
    return tuple(pa.array(sorted(filter(short.match, names)), pa.string()) for names in (first, last))  # type: ignore[return-value]


def _words(column: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", column[:200])
    return re.sub(r"[\W_]+", " ", spaced).strip().lower()
