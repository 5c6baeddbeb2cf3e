"""Fresh surrogates: functions of seed and row alone, unique where they must be, in the form that was recorded."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_pipeline.privacy.transform.fresh import fill
from synth_pipeline.privacy.transform.statistics import Forms
from synth_pipeline.records.schema import Column, Meaning, Role, columns, schema_of
from synth_pipeline.seeds import Seeds

SEEDS = Seeds(7, ("fresh",))


def _schema(*roles: Role, kind: pa.DataType | None = None, **action: Any) -> pa.Schema:
    note = {
        "type": "fake",
        "locale": "en_US",
        "surrogate": True,
        "null_rate": 0.0,
        "unique": True,
        "multiplicity": None,
    }
    surrogate = Column("s", kind or pa.string(), Meaning.IDENTIFIER, frozenset(roles), action=note | action)
    return schema_of([Column("x", pa.int64(), Meaning.NUMBER), surrogate])


def _fill(schema: pa.Schema, total: int, cuts: tuple[int, ...] = (), seeds: Seeds = SEEDS) -> pa.Array:
    edges = [0, *cuts, total]
    x = pa.record_batch({"x": pa.array(range(total), pa.int64())})
    parts = [fill(schema, x.slice(a, b - a), a, total, seeds) for a, b in pairwise(edges)]
    table = pa.Table.from_batches(parts)
    assert table.schema.names == schema.names
    assert table.schema.equals(schema, check_metadata=True)
    assert table["x"].to_pylist() == list(range(total))
    return table["s"].combine_chunks()


ACTIONS: list[dict[str, Any]] = [
    {"entity": "email"},
    {"entity": "person"},
    {"entity": "phone", "form": "(000) 000-0000"},
    {"entity": "card"},
    {"entity": "identifier", "templates": []},
    {"entity": "identifier", "templates": [{"text": "C-000", "classes": "..ddd", "low": 900, "weight": 1}]},
    {
        "entity": "identifier",
        "templates": [
            {"text": "A0000", "classes": ".dddd", "low": 0, "weight": 3},
            {"text": "00", "classes": "ud", "low": 0, "weight": 1},
        ],
    },
    {"entity": "identifier", "templates": [{"text": "0" * 40, "classes": "h" * 40, "low": 0, "weight": 1}]},
    {
        "entity": "identifier",
        "templates": [
            {"text": "A-00", "classes": "..dd", "low": 100, "weight": 1},
            {"text": "A-000", "classes": "..ddd", "low": 900, "weight": 9, "grow": 8},
        ],
    },
    {"type": "hash", "length": 16, "entity": "token"},
    {"type": "hash", "length": 64, "entity": "token"},
    {"type": "hash", "length": 8, "entity": "token"},
]


@pytest.mark.parametrize("action", ACTIONS)
def test_unique_over_all_shards_and_independent_of_them(action: dict[str, Any]) -> None:
    schema = _schema(**action)
    whole = _fill(schema, 3000)
    assert len(whole.unique()) == 3000
    assert _fill(schema, 3000, (1, 1024, 2999)).equals(whole)
    assert not _fill(schema, 3000, seeds=Seeds(8, ("fresh",))).equals(whole)


def test_forms() -> None:
    assert all(re.fullmatch(r"A-\d{6}", v) for v in _fill(_schema(**ACTIONS[8]), 500).to_pylist())
    assert all(re.fullmatch(r"C-\d{3,}", v) for v in _fill(_schema(**ACTIONS[5]), 500).to_pylist())
    assert all(re.fullmatch(r"A\d{4}|[A-Z]\d", v) for v in _fill(_schema(**ACTIONS[6]), 500).to_pylist())
    assert all(re.fullmatch(r"\(\d{3}\) 555-01\d\d", v) for v in _fill(_schema(**ACTIONS[2]), 500).to_pylist())
    assert all(re.fullmatch(r"[0-9a-f]{16}", v) for v in _fill(_schema(**ACTIONS[9]), 500).to_pylist())


def test_integers_stay_integers() -> None:
    made = _fill(_schema(kind=pa.int64(), entity="identifier", low=1000, high=10000), 5000)
    assert made.type == pa.int64()
    assert len(made.unique()) == 5000
    assert 1000 <= min(made.to_pylist()) <= max(made.to_pylist()) < 10000
    cards = _fill(_schema(kind=pa.int64(), entity="card"), 100)
    assert cards.type == pa.int64()
    assert {len(str(v)) for v in cards.to_pylist()} == {16}


def test_missing_share() -> None:
    made = _fill(_schema(entity="email", null_rate=0.25), 20_000)
    assert made.null_count / 20_000 == pytest.approx(0.25, abs=0.01)
    assert len(made.drop_null().unique()) == 20_000 - made.null_count
    assert _fill(_schema(entity="email", null_rate=1.0), 50).null_count == 50


@pytest.mark.parametrize("roles", [(), (Role.ENTITY,)])
def test_repeats_follow_the_histogram(roles: tuple[Role, ...]) -> None:
    histogram = [[1, 500], [3, 300], [10, 200]]
    schema = _schema(*roles, entity="identifier", templates=[], unique=False, multiplicity=histogram)
    made = _fill(schema, 40_000)
    sizes = np.unique(np.unique(made.to_numpy(zero_copy_only=False), return_counts=True)[1], return_counts=True)
    shares = dict(zip(sizes[0].tolist(), (sizes[1] / sizes[1].sum()).tolist(), strict=True))
    assert {1, 3, 10} <= shares.keys()
    assert shares[1] == pytest.approx(0.5, abs=0.03)
    assert shares[3] == pytest.approx(0.3, abs=0.03)
    assert _fill(schema, 40_000, (17, 30_000)).equals(made)
    together = np.mean(np.array(made.to_pylist()[1:]) == np.array(made.to_pylist()[:-1]))
    assert together > 0.5 if roles else together < 0.01


@settings(max_examples=40, deadline=None)
@given(st.lists(st.from_regex(r"[A-C]{1,2}-[0-9]{2,4}", fullmatch=True), min_size=1, max_size=60), st.integers(1, 300))
def test_fresh_identifiers_are_never_real_ones(real: list[str], total: int) -> None:
    forms = Forms()
    forms.add(pa.array(real))
    made = _fill(_schema(entity="identifier", templates=forms.templates()), total).to_pylist()
    assert len(set(made)) == total
    assert not set(made) & set(real)


def test_serial_numbers_of_growing_length() -> None:
    real = [f"C-{i}" for i in range(1, 5001)]
    forms = Forms()
    forms.add(pa.array(real))
    made = _fill(_schema(entity="identifier", templates=forms.templates()), 5000).to_pylist()
    assert len(set(made)) == 5000
    assert not set(made) & set(real)
    assert all(re.fullmatch(r"C-\d{4,5}", value) for value in made)


def _people(email: dict[str, Any], **names: dict[str, Any]) -> pa.Schema:
    def surrogate(name: str, note: dict[str, Any], *roles: Role) -> Column:
        base = {"type": "fake", "locale": "en_US", "surrogate": True, "null_rate": 0.0, "unique": False}
        return Column(name, pa.string(), Meaning.IDENTIFIER, frozenset(roles), action=base | note)

    owner = {"entity": "identifier", "templates": [], "multiplicity": [[1, 5], [4, 5]]}
    cols = [surrogate(name, {"entity": name} | note) for name, note in names.items()]
    mail = surrogate("email", {"entity": "email"} | email)
    return schema_of([surrogate("owner", owner, Role.ENTITY), mail, *cols, Column("x", pa.int64(), Meaning.NUMBER)])


def _table(schema: pa.Schema, *cuts: int) -> pa.Table:
    x = pa.record_batch({"x": pa.array(range(2000), pa.int64())})
    return pa.Table.from_batches(
        [fill(schema, x.slice(a, b - a), a, 2000, SEEDS) for a, b in pairwise([0, *cuts, 2000])]
    )


FOLLOWS = {"follows": "owner"}


@pytest.mark.parametrize(
    ("schema", "per"),
    [
        (_people({}, person={}), "x"),
        (_people({}, person={"locale": "de_DE", "null_rate": 0.2}), "x"),
        (_people({}, person=FOLLOWS | {"unique": True}), "x"),
        (_people({"null_rate": 0.1}, first_name={}, last_name={}), None),
        (_people(FOLLOWS, first_name=FOLLOWS, last_name=FOLLOWS), "owner"),
    ],
)
def test_addresses_are_made_of_the_rows_own_name(schema: pa.Schema, per: str | None) -> None:
    table = _table(schema)
    assert table.equals(_table(schema, 3, 1024)), "whatever the shards"
    emails = table["email"].drop_null()
    assert len(emails.unique()) == len(table[per].unique() if per else emails)
    for row in table.to_pylist():
        name = row["person"] if "person" in row else f"{row['first_name']} {row['last_name']}"
        plain = unicodedata.normalize("NFKD", name or "user").encode("ascii", "ignore").decode().lower()
        if row["email"] is not None:
            assert re.fullmatch(r"([a-z.]+)\d+@example\.(com|org|net)", row["email"])
            assert re.match("[a-z.]+", row["email"])[0] == ".".join(re.sub("[^a-z ]", "", plain).split())  # type: ignore[index]


@pytest.mark.parametrize(
    "schema",
    [
        _people({}),
        _people(FOLLOWS, person={}),
        _people({"multiplicity": [[1, 5], [4, 5]]}, person={}),
    ],
)
def test_addresses_stand_alone_where_nobody_says_whose_they_are(schema: pa.Schema) -> None:
    alone = schema_of(column for column in columns(schema) if column.name != "person")
    assert _table(schema)["email"].equals(_table(alone)["email"])


def test_constant_parts_are_kept_when_many_share_them() -> None:
    forms = Forms()
    forms.add(pa.array([f"INV-2020-{i:06d}" for i in range(0, 50_000, 7)]))
    (template,) = forms.templates()
    assert template["text"] == "INV-2020-000000"
    assert template["low"] == 50_000
    assert template["grow"] == 16
    repeated = Forms()
    repeated.add(pa.array(["ACME-17"] * 15))
    repeated.add(pa.array(["ACME-18"] * 15))
    assert repeated.templates()[0]["text"] == "0000-00", "thirty rows, two values"
    numbered = pa.array([f"SMITH-{i:03d}" for i in range(60)])
    for units, text in ((3, "00000-000"), (30, "SMITH-000")):
        forms = Forms()
        for half in (0, 30):
            forms.add(numbered.slice(half, 30), np.arange(half, half + 30, dtype=np.uint64) % np.uint64(units) + 1)
        forms.add(pa.array([None, "SMITH-999"]))
        assert forms.templates()[0]["text"] == text, "what few people share tells who they are"
    few = Forms()
    few.add(pa.array(["SECRET-1"] * 5))
    assert few.templates()[0]["text"] == "000000-0"
    one = Forms()
    one.add(pa.array(["SECRET-1"] * 500))
    assert one.templates()[0]["text"] == "000000-0"
