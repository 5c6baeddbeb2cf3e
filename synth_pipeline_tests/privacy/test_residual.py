"""The residual scan: what must block, what is chance and must not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.privacy.residual import scan
from synth_pipeline.records.records import Records
from synth_pipeline.records.schema import Column, Meaning, schema_of

N = 2000
REAL = {
    "id": [f"C-{i:06d}" for i in range(N)],
    "account": [100_000_000 + 37 * i for i in range(N)],
    "person": [f"{first} {last}" for first in ("Anna", "Ben") for last in ("Smith", "Jones")] * (N // 4),
    "first": ["Anna", "Benjamin"] * (N // 2),
    "note": [f"patient {i} complained about the long wait" for i in range(N)],
    "level": ["one", "two"] * (N // 2),
    "number": list(range(N)),
}
IDENTIFYING = {"id": "identifier", "account": "identifier", "person": "person", "first": "first_name", "note": "text"}


def _records(values: dict[str, list[Any]], surrogates: dict[str, str] | None = None) -> Records:
    cols = []
    for name, column in values.items():
        kind = pa.array(column).type
        action = {"type": "fake", "surrogate": True, "entity": surrogates[name]} if name in (surrogates or {}) else None
        cols.append(Column(name, kind, Meaning.CATEGORY, action=action))
    schema = schema_of(cols)
    return Records.of(pa.table({n: pa.array(v) for n, v in values.items()}).cast(schema))


def _scan(
    released: dict[str, list[Any]], source: Records | None = None, declared: tuple[str, ...] = ()
) -> dict[str, Any]:
    surrogates = {name: kind for name, kind in IDENTIFYING.items() if name in released and name != "note"}
    facts = {"surrogates": list(surrogates), "identifying": IDENTIFYING, "declared": list(declared)}
    protected = Records.of(pa.table({"x": [1]}), residual=facts)
    found = scan(_records(released, surrogates), protected, source or _records(REAL))
    return {check["name"]: check for check in found}


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("id", ["C-000007"] + ["C-900000"] * 9),
        ("level", ["one"] * 9 + ["  c-000017 "]),
        ("level", ["one"] * 9 + ["Anna Smith"]),
        ("level", ["one"] * 9 + ["patient 3 complained about the long wait"]),
        ("account", [100_000_037] + [7] * 9),
        ("level", ["one"] * 9 + ["100000037"]),
    ],
)
def test_surviving_identifiers_block(column: str, values: list[Any]) -> None:
    check = _scan({column: values})["residual_survivors"]
    assert not check["passed"]
    assert check["blocking"]
    assert check["columns"] == {column: 1}
    assert not any(str(value) in str(check) for value in values), "no value in any message"


def test_a_kept_number_column_that_repeats_accounts_blocks() -> None:
    assert not _scan({"number": REAL["account"][:500]})["residual_survivors"]["passed"]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("person", ["Anna Smith", "Ben Jones"]),  # drawn from public lists: such people exist everywhere
        ("first", ["Anna", "Benjamin"]),
        ("level", ["Anna", "Benjamin", "one"]),  # a word is no whole name
        ("level", ["C-0000", "waiting", "complained about the long wait"]),
        ("number", list(range(N))),
        ("id", [f"C-9{i:05d}" for i in range(N)]),
    ],
)
def test_coincidences_do_not_block(column: str, values: list[Any]) -> None:
    assert all(check["passed"] for check in _scan({column: values}).values())


def test_large_amounts_may_meet_accounts_by_chance() -> None:
    rng = np.random.default_rng(0)
    source = _records({**REAL, "account": rng.integers(10**8, 10**9, N).tolist()} | {"number": [1] * N})
    many = _records({"account": rng.integers(10**8, 2 * 10**8, 200_000).tolist()})
    amounts = rng.integers(10**8, 10**9, 200_000).tolist()
    facts = {"surrogates": [], "identifying": {"account": "identifier"}, "declared": []}
    protected = Records.of(pa.table({"x": [1]}), residual=facts)
    by_chance = scan(_records({"amount": amounts}), protected, many)[0]
    assert by_chance["passed"]
    assert scan(_records({"amount": [5, 6]}), protected, source)[0]["passed"]


@pytest.mark.parametrize(
    "value",
    ["anna@private-mail.de", "call +49 30 1234567", "4539578763621486", "GB29NWBK60161331926819", "078-05-1120"],
)
def test_personal_data_outside_surrogates_block(value: str) -> None:
    check = _scan({"level": ["one"] * 50 + [value]})["residual_personal"]
    assert not check["passed"]
    assert check["columns"] == {"level": 1}
    assert value not in str(check)
    assert _scan({"id": ["x"] * 50 + [value]})["residual_personal"]["passed"], "inside a surrogate column"
    assert _scan({"level": ["one"] * 50 + [value]}, declared=("level",))["residual_personal"]["passed"]


def test_card_numbers_among_numbers() -> None:
    assert not _scan({"number": [*range(5000), 4539578763621486]})["residual_personal"]["passed"]
    assert not _scan({"number": [4539578763621486.0] + [float(i) for i in range(5000)]})["residual_personal"]["passed"]
    long = np.random.default_rng(0).integers(10**15, 10**16, 5000).tolist()  # one in ten passes Luhn
    assert _scan({"number": long})["residual_personal"]["passed"]


def test_without_the_source_nothing_is_promised() -> None:
    facts = {"surrogates": [], "identifying": IDENTIFYING, "declared": []}
    protected = Records.of(pa.table({"x": [1]}), residual=facts)
    check = scan(_records({"level": ["one"]}), protected, None)[0]
    assert not check["passed"]
    assert "run the dataset again" in check["note"]


def test_made_up_values_in_the_source_are_nobodys() -> None:
    made_up = {
        "email": ["ann.smith12@example.com"], "phone": ["(202) 555-0143"], "ip": ["192.0.2.7"], "ssn": ["912-34-5678"],
        "card": [9999000000000004], "url": ["https://example.org/ann.smith"],
    }  # fmt: skip
    identifying = {name: name for name in made_up}
    protected = Records.of(
        pa.table({"x": [1]}), residual={"surrogates": list(made_up), "identifying": identifying, "declared": []}
    )
    assert all(check["passed"] for check in scan(_records(made_up, identifying), protected, _records(made_up)))


def test_a_range_is_nobodys_only_for_its_own_kind() -> None:
    accounts = {
        "account": ["912-34-5678", "9999000000000004", "030 555 0143", "ann@example.com"],
        "phone": ["+49 30 5550143"] * 4,
    }
    for column, value in (("account", "912-34-5678"), ("account", "9999000000000004"), ("phone", "+49 30 5550143")):
        facts = {"surrogates": [], "identifying": {"account": "identifier", "phone": "phone"}, "declared": []}
        protected = Records.of(pa.table({"x": [1]}), residual=facts)
        released = _records({"level": [value, "one"]})
        assert scan(released, protected, _records({column: accounts[column]}))[0]["columns"] == {"level": 1}
    ours = _records({"ssn": ["912-34-5678"]}, {"ssn": "ssn"})
    assert scan(ours, protected, _records({"account": accounts["account"]}))[0]["passed"], (
        "chance: drawn from the range"
    )


def test_short_identifiers_are_looked_for_in_their_own_column() -> None:
    facts = {"surrogates": ["id"], "identifying": {"id": "identifier"}, "declared": []}
    protected = Records.of(pa.table({"x": [1]}), residual=facts)
    source = _records({"id": [1, 2, 3], "n": [1, 2, 3]})
    kinds = {"id": "identifier"}
    assert not scan(_records({"id": [3, 10], "n": [1, 2]}, kinds), protected, source)[0]["passed"]
    assert scan(_records({"id": [11, 10], "n": [1, 2]}, kinds), protected, source)[0]["passed"]
