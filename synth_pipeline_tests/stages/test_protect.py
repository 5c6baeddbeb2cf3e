"""The protect stage on committed records: what stays, what goes, what is recorded, what is nowhere."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.errors import ContractError, PrivacyError, SpecError
from synth_pipeline.privacy.keys import key
from synth_pipeline.privacy.residual import scan
from synth_pipeline.privacy.transform.fresh import fill
from synth_pipeline.records.home import Home
from synth_pipeline.records.records import Records, RecordsWriter, Unit
from synth_pipeline.records.schema import Column, Meaning, Role, columns, learned, schema_of
from synth_pipeline.seeds import Seeds
from synth_pipeline.spec.dataset import DatasetSpec
from synth_pipeline.stages.protect import protect
from synth_pipeline.stages.run import Result, Run

MAIL, CARD = "canary.person@private-mail.de", "4539578763621486"
N = 3000


def _column(values: list[Any], kind: pa.DataType, meaning: Meaning, *roles: Role, pii: str | None = None) -> Any:
    return values, kind, meaning, roles, pii


def people(canaries: bool = False) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    text, number = pa.string(), pa.int64()
    births = [dt.date(1940, 1, 1) + dt.timedelta(int(days)) for days in rng.integers(0, 20000, N)]
    out = {
        "visit": _column(list(range(1, N + 1)), number, Meaning.IDENTIFIER, Role.PRIMARY_KEY),
        "patient": _column([f"P-{i // 3:05d}" for i in range(N)], text, Meaning.IDENTIFIER, Role.ENTITY),
        "email": _column([f"user{i // 3}@mail.org" if i % 5 else None for i in range(N)], text, Meaning.CATEGORY),
        "card": _column([4539578763000000 + i for i in range(N)], number, Meaning.NUMBER, pii="card"),
        "notes": _column([f"seen on day {i} and sent home again" for i in range(N)], text, Meaning.TEXT),
        "ward": _column([str(w) for w in rng.choice(["A", "B", "C"], N)], text, Meaning.CATEGORY),
        "job": _column([str(w) for w in rng.choice(["nurse", "cook"], N)], text, Meaning.CATEGORY),
        "cost": _column([round(float(x), 2) for x in rng.lognormal(3, 1, N)], pa.float64(), Meaning.NUMBER),
        "days": _column([int(x) for x in rng.integers(0, 50, N)], number, Meaning.NUMBER),
        "born": _column(births, pa.date32(), Meaning.DATETIME),
        "alive": _column([bool(b) for b in rng.random(N) < 0.9], pa.bool_(), Meaning.BOOLEAN),
    }  # fmt: skip
    if canaries:
        for name in ("email", "notes", "ward", "job"):
            out[name][0][11], out[name][0][12] = f"about {MAIL}" if name == "notes" else MAIL, CARD
            out[name][0][13] = f"x {MAIL} y {CARD}"
        out["patient"][0][11], out["patient"][0][14] = MAIL, CARD
        for name in ("card", "days", "visit"):
            out[name][0][12] = int(CARD)
        out["cost"][0][12] = float(CARD)
        for name in ("ward", "job"):  # more units than k, so that rarity does not save us
            out[name][0][100:160] = [MAIL] * 30 + [CARD] * 30
    return out


def ingested(home: Home, data: Mapping[str, Any], unit: Unit | None = None, holdout: float = 0.2) -> Result:
    schema = schema_of(Column(n, k, m, frozenset(r), pii=p) for n, (_, k, m, r, p) in data.items())
    table = pa.table({n: pa.array(v, k) for n, (v, k, _, _, _) in data.items()}, schema=schema)
    folder = home.noun("d", "ingest", "0" * 64)
    folder.mkdir(parents=True)
    writer = RecordsWriter(folder, {"data": schema})
    cut = round(table.num_rows * (1 - holdout))
    for split, rows in (("train", table.slice(0, cut)), ("holdout", table.slice(cut))):
        for batch in rows.to_batches(max_chunksize=700):
            writer.write("data", split, batch)
    records = writer.commit(unit or Unit(column="patient"), {"root": "root-1"})
    return Result("ingest", "p", records.content_id, folder)


def run_of(
    home: Home, privacy: Mapping[str, Any] | None = None, contract: Mapping[str, Any] | None = None, **more: Any
) -> Run:
    told = {"name": "d", "source": {"type": "file", "path": "x.csv"}, "privacy": privacy or {}}
    return Run(DatasetSpec.model_validate({**told, "contract": contract or {}}), home, "s", **more)


def protected(home: Home, privacy: Mapping[str, Any] | None = None, data: Mapping[str, Any] | None = None) -> Records:
    return Records.open(protect(run_of(home, privacy), ingested(home, data or people())).folder)


def released(records: Records, rows: int = 500) -> Records:
    names = [column.name for column in learned(records.schema())]
    batch = records.table("train", columns=names).slice(0, rows).combine_chunks().to_batches()[0]
    return Records.of(pa.Table.from_batches([fill(records.schema(), batch, 0, rows, Seeds(1))]))


def test_defaults(home: Home) -> None:
    records = protected(home)
    actions = {name: action["type"] for name, action in records.facts["actions"].items()}
    assert actions == {
        "visit": "fake", "patient": "fake", "email": "fake", "card": "fake", "notes": "drop", "ward": "suppress",
        "job": "suppress", "cost": "keep", "days": "keep", "born": "keep", "alive": "keep",
    }  # fmt: skip
    assert {c.name for c in learned(records.schema())} == {"ward", "job", "cost", "days", "born", "alive"}
    assert records.schema().names == [name for name in people() if name != "notes"]
    assert [records.rows(split) for split in ("train", "holdout")] == [2400, 600]
    assert records.unit.column == "patient"
    source, made = people(), records.table("train")
    for name in ("visit", "patient", "email", "card"):
        before, after = source[name][0][:2400], made[name].to_pylist()
        assert made[name].type == source[name][1]
        assert not {v for v in before if v is not None} & {v for v in after if v is not None} - set(range(3001))
        assert all(a != b for a, b in zip(before, after, strict=True) if a is not None), "no value keeps its own"
        assert [a is None for a in before] == [b is None for b in after]
        assert len(set(before)) == len(set(after)) == len(set(zip(before, after, strict=True))), "one to one"
    for name in ("cost", "days", "born", "alive", "ward"):
        assert made[name].to_pylist() == source[name][0][:2400]
    notes = {column.name: column for column in columns(records.schema())}
    assert notes["patient"].action["multiplicity"] == [[3, 800]]
    assert notes["visit"].action["unique"] is True
    assert notes["email"].action["follows"] == "patient"
    assert "follows" not in notes["card"].action
    assert notes["email"].action["null_rate"] == pytest.approx(0.2)
    assert {line["column"]: line["entity"] for line in records.facts["report"]}["email"] == "email"


def test_a_birth_date_is_reported_and_kept(home: Home) -> None:
    data = people()
    data["dob"] = data.pop("born")
    records = protected(home, data=data)
    assert {line["column"]: line["entity"] for line in records.facts["report"]}["dob"] == "birth_date"
    assert records.facts["actions"]["dob"]["type"] == "keep"


@pytest.mark.parametrize("kind", [pa.int8(), pa.int32(), pa.int64(), pa.uint64(), pa.float64()])
def test_numbers_as_keys(home: Home, kind: pa.DataType) -> None:
    high = {pa.int8(): 100, pa.float64(): 2**52}.get(kind, 2 ** (kind.bit_width - 1) - 1)
    data = {name: (values[:90], *rest) for name, (values, *rest) in people().items()}
    data["visit"] = _column([high - i if i % 2 else i for i in range(90)], kind, Meaning.IDENTIFIER, Role.PRIMARY_KEY)
    records = protected(home, data=data)
    out = released(records, 60)
    drawn = out.table()["visit"].to_pylist()
    assert len(set(drawn)) == 60
    assert not set(drawn) & set(data["visit"][0])
    assert len(set(records.table()["visit"].to_pylist())) == 90


@pytest.mark.parametrize("kind", [pa.int32(), pa.uint32(), pa.int64(), pa.uint64(), pa.float64()])
@pytest.mark.parametrize("entity", ["ssn", "identifier"])
def test_surrogates_of_narrow_numbers_fit(home: Home, kind: pa.DataType, entity: str) -> None:
    data = people()
    data["ssn"] = _column([200_010_001 + i for i in range(N)], kind, Meaning.IDENTIFIER, pii="ssn")
    records = protected(home, {"columns": {"ssn": {"type": "fake", "entity": entity, "unique": True}}}, data)
    made, out = records.table()["ssn"], released(records).table()["ssn"]
    assert made.type == out.type == records.schema().field("ssn").type
    assert made.type.bit_width == 64
    assert len(made.unique()) == N
    assert len(out.unique()) == 500
    assert not set(made.to_pylist()) & set(data["ssn"][0])


def test_an_address_inside_texts_does_not_make_them_addresses(home: Home) -> None:
    data = people()
    data["contact"] = _column(
        [f"customer no. {i}, reached by way of user{i}@mail.org" for i in range(N)], pa.string(), Meaning.CATEGORY
    )
    records = protected(home, {"columns": {"contact": {"type": "fake"}}}, data)
    assert records.facts["actions"]["contact"]["entity"] == "identifier"
    assert all("customer" not in value for value in records.table()["contact"].to_pylist())


@pytest.mark.parametrize("other", [1e308, -1e308, None])
def test_a_card_among_extreme_numbers_is_removed(home: Home, other: float | None) -> None:
    data = people()
    data["cost"][0][5], data["cost"][0][6] = other, float(CARD)
    assert float(CARD) not in protected(home, data=data).table()["cost"].to_pylist()


@pytest.mark.parametrize("other", [float("inf"), float("nan")])
def test_infinite_numbers_break_the_contract(home: Home, other: float) -> None:
    data = people()
    data["cost"][0][5] = other
    with pytest.raises(ContractError, match="not a number: cost"):
        protected(home, data=data)


def test_reused_and_forced(home: Home) -> None:
    source = ingested(home, people())
    first = protect(run_of(home), source)
    second = protect(run_of(home), source)
    assert second.reused
    assert not first.reused
    assert protect(run_of(home, force=True), source).content_id == first.content_id
    assert protect(run_of(home, {"rare_levels": 9}), source).plan_id != first.plan_id


def test_a_broken_contract_stops_it_whoever_asks(home: Home) -> None:
    source = ingested(home, people())
    protect(run_of(home), source)
    wrong = {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "ward", "value_set": ["A", "B"]}}
    told = run_of(home, contract={"source": [{**wrong, "blocking": False}]})
    assert protect(told, source).reused
    broken = run_of(home, contract={"source": [wrong]})
    for _ in range(2):  # the second time from what the first has noted
        with pytest.raises(ContractError, match=r"breaks its contract: .*in_set"):
            protect(broken, source)


def test_another_key_gives_other_pseudonyms_and_another_plan(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ingested(home, people())
    first = protect(run_of(home), source)
    monkeypatch.setenv("SYNTH_KEY", "another key of enough characters")
    second = protect(run_of(home), source)
    assert first.plan_id != second.plan_id
    one, two = (Records.open(r.folder).table("train") for r in (first, second))
    assert one["patient"].to_pylist() != two["patient"].to_pylist()
    assert one["ward"].to_pylist() == two["ward"].to_pylist()


def test_joins_survive(home: Home, tmp_path: Path) -> None:
    one = protected(home).table("train")["patient"].to_pylist()
    other = people()
    del other["visit"], other["card"], other["notes"]
    two = protected(Home(tmp_path / "second"), data=other).table("train")["patient"].to_pylist()
    assert one == two


def test_declared_actions(home: Home) -> None:
    spec = {
        "columns": {
            "email": {"type": "hash", "length": 20},
            "card": {"type": "mask", "last": 4},
            "notes": {"type": "keep", "reason": "public notices"},
            "cost": {"type": "generalise", "width": 10},
            "days": {"type": "generalise", "bins": [10, 20, 30]},
            "born": {"type": "generalise", "date": "year"},
            "ward": {"type": "suppress", "min_count": 2000, "to": "other"},
            "job": {"type": "generalise", "prefix": 1},
            "alive": {"type": "drop"},
        },
        "rare_levels": 1,
    }
    records = protected(home, spec)
    table, source = records.table("train"), people()
    assert "alive" not in records.schema().names
    assert all(v is None or (len(v) == 20 and int(v, 16) >= 0) for v in table["email"].to_pylist())
    assert table["card"].to_pylist() == ["*" * 12 + str(v)[-4:] for v in source["card"][0][:2400]]
    assert table["cost"].to_pylist() == [10 * (v // 10) for v in source["cost"][0][:2400]]
    assert set(table["days"].to_pylist()) == {"< 10", "[10, 20)", "[20, 30)", "≥ 30"}
    assert all(v.month == v.day == 1 for v in table["born"].to_pylist())
    assert set(table["ward"].to_pylist()) == {"other"}
    assert set(table["job"].to_pylist()) == {"n", "c"}
    assert {"card", "notes", "days", "job"} <= {c.name for c in learned(records.schema())}


def test_mask_is_suppressed_where_rare(home: Home) -> None:
    records = protected(home, {"columns": {"card": {"type": "mask", "last": 4}}})
    assert records.table("train")["card"].null_count == 2400
    assert any("card" in warning for warning in records.facts["warnings"])


def test_rare_levels_count_units_of_train(home: Home) -> None:
    data = people()
    values = ["common"] * N
    values[0:9] = ["three units, nine rows"] * 9
    values[30:45] = ["five units"] * 15
    values[2400:2500] = ["holdout only"] * 100
    values[60] = None
    data["level"] = _column(values, pa.string(), Meaning.CATEGORY)
    table = protected(home, data=data).table()["level"].to_pylist()
    assert set(table) == {"common", "five units", None}
    assert table.count(None) == 9 + 100 + 1


@pytest.mark.parametrize("kind", ["rows", "units"])
def test_canaries_are_gone(home: Home, kind: str) -> None:
    data = people(canaries=True)
    result = protect(run_of(home), ingested(home, data, Unit() if kind == "rows" else None))
    records = Records.open(result.folder)
    out = released(records)
    everything = json.dumps(result.to_json()) + json.dumps(dict(records.facts)) + str(records.schema())
    for rows in (records.table(), out.table()):
        everything += str(rows.to_pylist())
    for canary in (MAIL, CARD, "canary.person", f"{float(CARD):.6e}"):
        assert canary not in everything
    for file in home.root.rglob("*"):
        if file.is_file() and "ingest" not in file.parts:
            assert MAIL.encode() not in file.read_bytes()
            assert CARD.encode() not in file.read_bytes()
    assert all(check["passed"] for check in scan(out, records, Records.open(home.noun("d", "ingest", "0" * 64))))


def test_keys_are_in_no_output(home: Home) -> None:
    result = protect(run_of(home), ingested(home, people()))
    secret = key(home, "pseudonym", "root-1")
    for file in home.root.rglob("*"):
        if file.is_file() and "keys" not in file.parts:
            data = file.read_bytes()
            assert secret.secret not in data
            assert secret.secret.hex().encode() not in data
    assert Records.open(result.folder).facts["key_id"] == secret.id
    assert str(secret.secret) not in repr(secret)


def test_synthetic_surrogates_share_nothing_with_source_or_pseudonyms(home: Home) -> None:
    records = protected(home)
    out, source, pseudonyms = released(records).table(), people(), records.table()
    for name in ("visit", "patient", "email", "card"):
        drawn = {v for v in out[name].to_pylist() if v is not None}
        assert not drawn & set(source[name][0])
        assert not drawn & set(pseudonyms[name].to_pylist())


def test_synthetic_people_keep_their_address(home: Home) -> None:
    data = people()
    data["email"] = _column(
        [f"user{i // 3}@mail.org" if i % 30 > 2 else None for i in range(N)], pa.string(), Meaning.CATEGORY
    )
    data["first_name"] = _column([["Ann", "Bob", "Cleo"][i // 3 % 3] for i in range(N)], pa.string(), Meaning.CATEGORY)
    table = released(protected(home, data=data), 1500).table().to_pydict()
    for name in ("email", "first_name"):
        of_each: dict[str, set[str]] = {}
        for patient, value in zip(table["patient"], table[name], strict=True):
            of_each.setdefault(patient, set()).add(value)
        assert len(of_each) == 500
        assert all(len(values) == 1 for values in of_each.values())
    assert len(set(table["email"])) > 400


def test_late_evidence_counts(home: Home) -> None:
    data = people()
    data["contact"] = _column(
        ["none"] * 2900 + [f"late{i}@mail.org" for i in range(100)], pa.string(), Meaning.CATEGORY
    )
    records = protected(home, data=data)
    assert "late" not in str(records.table()["contact"].to_pylist())


@pytest.mark.parametrize(
    ("columns_", "message"),
    [
        ({"emial": {"type": "drop"}}, 'did you mean "email"'),
        ({"patient": {"type": "keep", "reason": "because"}}, "recognisable"),
        ({"patient": {"type": "drop"}}, "which rows belong together"),
        ({"visit": {"type": "mask"}}, "recognisable"),
        ({"ward": {"type": "generalise", "width": 3}}, "a number"),
        ({"cost": {"type": "generalise", "date": "year"}}, "a date"),
        ({"cost": {"type": "generalise", "prefix": 3}}, "a text"),
        ({"born": {"type": "fake"}}, "cannot hold"),
        ({"days": {"type": "fake", "entity": "email"}}, "cannot hold"),
        ({"ward": {"type": "fake", "entity": "emial"}}, "did you mean"),
        ({"days": {"type": "suppress", "to": "other"}}, "replaces levels of text"),
    ],
)
def test_wrong_actions_are_explained(home: Home, columns_: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        protect(run_of(home, {"columns": columns_}), ingested(home, people()))


def test_nothing_left_to_learn(home: Home) -> None:
    data = {name: column for name, column in people().items() if name in ("visit", "email")}
    with pytest.raises(PrivacyError, match="no column to learn"):
        protect(run_of(home), ingested(home, data, Unit()))


def test_hostile_texts(home: Home) -> None:
    data = people()
    odd = [
        "x" * 1_000_000,
        "a\0b",
        "\u202egro.liam@a",
        "😀🏳️‍🌈",
        "раураl",
        "",
        " ",
        "=cmd|'/c calc'!A1",
        "<script>",
        "{{ 7*7 }}",
        "'; DROP",
    ]
    for name, meaning in (("odd_id", Meaning.IDENTIFIER), ("odd_text", Meaning.TEXT), ("odd_level", Meaning.CATEGORY)):
        data[name] = _column([odd[i % len(odd)] if i % 20 < 11 else None for i in range(N)], pa.string(), meaning)
    for i in range(20, N):  # the huge value once
        for name in ("odd_id", "odd_text", "odd_level"):
            if data[name][0][i] == odd[0]:
                data[name][0][i] = None
    records = protected(home, data=data)
    made = records.table("train")["odd_id"].to_pylist()
    before = data["odd_id"][0][:2400]
    assert [a is None for a in made] == [b is None for b in before]
    assert len({a for a in made if a}) == len({b for b in before if b is not None})
    assert set(records.table()["odd_level"].to_pylist()) <= {*odd[1:], None}


def test_an_entity_without_surrogates_is_dropped(home: Home) -> None:
    data = people()
    data["patient"] = _column(data["born"][0], pa.date32(), Meaning.IDENTIFIER, Role.ENTITY)
    records = protected(home, data=data)
    assert records.unit.column is None
    assert any("rows count as units" in warning for warning in records.facts["warnings"])


@pytest.mark.parametrize(("patients", "text"), [(15, "00000-0000"), (60, "SMITH-0000")])
def test_templates_keep_only_what_many_units_share(home: Home, patients: int, text: str) -> None:
    data = people()
    data["patient"] = _column([f"P-{i % 600:05d}" for i in range(N)], pa.string(), Meaning.IDENTIFIER, Role.ENTITY)
    claims = [f"SMITH-{i:04d}" if i % 600 < patients else None for i in range(N)]
    data["claim"] = _column(claims, pa.string(), Meaning.IDENTIFIER)
    (template,) = protected(home, data=data).facts["actions"]["claim"]["templates"]
    assert template["text"] == text
