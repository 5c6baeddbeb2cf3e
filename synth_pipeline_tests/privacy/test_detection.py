"""What each column holds: by pattern, by name, by dictionary; and what real tables do not hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from faker import Faker

from synth_pipeline.privacy.detect.columns import detect
from synth_pipeline.privacy.detect.names import hint
from synth_pipeline.records.records import Records


@pytest.fixture(scope="module")
def people() -> pa.Table:
    fake = Faker("en_US")
    fake.seed_instance(7)
    rows = range(600)
    return pa.table(
        {
            "c1": [fake.email() for _ in rows],
            "c2": [fake.name() for _ in rows],
            "c3": [fake.first_name() for _ in rows],
            "c4": [fake.ssn() for _ in rows],
            "c5": [fake.iban() for _ in rows],
            "c6": [fake.ipv4_public() for _ in rows],
            "c7": [fake.mac_address() for _ in rows],
            "c8": [int(fake.credit_card_number("visa16")) for _ in rows],
            "c9": [float(fake.credit_card_number("mastercard")) for _ in rows],
            "c10": [2125550000 + 37 * i for i in rows],
            "c11": [fake.street_address() for _ in rows],
            "SSN": [int(fake.ssn().replace("-", "")) for _ in rows],
            "homePhone": [fake.phone_number() for _ in rows],
            "note": [fake.sentence() + (" " + fake.email() if i % 60 == 0 else "") for i in rows],
        }
    )


def test_finds_by_pattern_name_and_dictionary(people: pa.Table) -> None:
    found = detect(Records.of(people), people.schema)
    whole = {name: finding.entity for name, finding in found.items() if not finding.embedded}
    assert whole == {
        "c1": "email", "c2": "person", "c3": "first_name", "c4": "ssn", "c5": "iban", "c6": "ip", "c7": "mac",
        "c8": "card", "c9": "card", "c10": "phone", "SSN": "ssn", "homePhone": "phone",
    } | ({"c11": "address"} if "c11" in whole else {})  # fmt: skip
    assert found["note"].embedded
    assert found["note"].entity == "email"
    assert found["note"].share == pytest.approx(10 / 600, rel=0.01)


def test_numbers_that_are_only_numbers() -> None:
    rng = np.random.default_rng(0)
    n = 5000
    table = pa.table(
        {
            "nine_digits": rng.integers(10**8, 10**9, n),
            "ten_digits": rng.integers(10**9, 10**10, n),
            "seconds": rng.integers(1_500_000_000, 1_700_000_000, n),
            "milliseconds": rng.integers(1_500_000_000_000, 1_700_000_000_000, n),
            "sixteen_digits": rng.integers(10**15, 10**16, n),
            "small": rng.integers(0, 9, n),
            "month": rng.choice(["May", "June", "April", "August"], n),
            "city": rng.choice(["Washington", "Paris", "Lincoln", "Austin", "Charlotte"], n),
            "version": rng.choice(["1.2.3", "1.3.0"], n),
        }
    )
    assert detect(Records.of(table), table.schema) == {}


def test_what_is_found_does_not_depend_on_the_order_of_sets_or_rows() -> None:
    values = [f"reach {mail} or +49 30 12345{i:02d} at any time of day" for i in range(40) for mail in ("a@b.org",)]
    found = {
        detect([("data", pa.record_batch({"x": pa.array(order)}))], pa.schema({"x": pa.string()}))["x"].entity
        for order in (values, values[::-1], [*values[1:], values[0]])
    }
    assert found == {"email"}, "of equals the first by name"


def test_evidence_counts_distinct_values_and_nothing_is_found_in_nothing() -> None:
    table = pa.table(
        {"a": pa.array([None, None], pa.string()), "b": pa.array([], pa.string()).take(pa.nulls(2, pa.int64()))}
    )
    assert detect(Records.of(table), table.schema) == {}
    often = pa.table({"a": ["x"] * 990 + [f"u{i}@mail.org" for i in range(10)]})
    assert not detect(Records.of(often), often.schema)["a"].embedded


@pytest.mark.parametrize(
    ("name", "entity"),
    [
        ("customerEmail", "email"), ("E-Mail", "email"), ("PHONE_NO", "phone"), ("first name", "first_name"),
        ("LastName", "last_name"), ("patient_name", "person"), ("dob", "birth_date"), ("Home Address", "address"),
        ("ipAddress", "ip"), ("username", "username"), ("name", None), ("panel", None), ("emailed", None),
        ("telephone_count", None), ("cardinality", None), ("ship", None),
    ],
)  # fmt: skip
def test_column_names_promise(name: str, entity: str | None) -> None:
    assert hint(name) == entity


def test_public_tables_hold_nobody(shared: Path) -> None:
    for path in sorted((shared / "tabular").glob("*/*.parquet")):
        table = pq.read_table(path).slice(0, 20_000)
        assert detect(Records.of(table), table.schema) == {}, path.name


def test_sakila_customers_are_found(shared: Path) -> None:
    table = pyarrow.csv.read_csv(shared / "relational" / "sakila" / "customer.csv")
    found = {name: finding.entity for name, finding in detect(Records.of(table), table.schema).items()}
    assert found == {"first_name": "first_name", "last_name": "last_name", "email": "email"}
