from __future__ import annotations

import datetime
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.errors import SpecError
from synth_pipeline.evaluation import contract
from synth_pipeline.evaluation.contract import check_expectations, check_schema
from synth_pipeline.records.records import Records, RecordsWriter, Unit
from synth_pipeline.records.schema import Column, Meaning, Role, schema_of
from synth_pipeline.seeds import Seeds
from synth_pipeline.spec.publication import Expectation

CANARY = "078-05-1120"
SCHEMA = schema_of(
    [
        Column("id", pa.int64(), Meaning.IDENTIFIER, frozenset({Role.PRIMARY_KEY}), nullable=False),
        Column("ward", pa.string(), Meaning.CATEGORY),
        Column("weight", pa.float64(), Meaning.NUMBER),
        Column("seen", pa.timestamp("us"), Meaning.DATETIME),
    ]
)


def rows(n: int = 100, **changes: Any) -> pa.Table:
    columns = {
        "id": list(range(n)),
        "ward": [["north", "south", None][i % 3] for i in range(n)],
        "weight": [50.0 + i % 40 for i in range(n)],
        "seen": [datetime.datetime(2026, 1, 1) + datetime.timedelta(days=i) for i in range(n)],
        **changes,
    }
    return pa.table(columns, schema=SCHEMA)


def by_name(checks: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in checks}


def broken(checks: Iterable[dict[str, Any]]) -> set[str]:
    return {check["name"] for check in checks if not check["passed"]}


def test_sound_rows_pass_every_check():
    checks = check_schema(Records.of(rows()), reference=Records.of(rows()))
    assert not broken(checks)
    assert all(set(check) == {"name", "passed", "blocking", "note", "observed", "rows"} for check in checks)
    assert {check["rows"] for check in checks} == {100}


def test_each_broken_promise_is_found():
    bad = rows(
        id=[0, 0, *range(2, 100)],
        ward=["west"] * 3 + ["north"] * 97,
        weight=[float("inf"), float("nan")] + [60.0] * 98,
        seen=[datetime.datetime(1999, 1, 1)] + [datetime.datetime(2026, 1, 2)] * 99,
    )
    checks = by_name(check_schema(Records.of(bad), reference=Records.of(rows())))
    assert checks["id is unique"]["observed"] == {"columns": 1, "rows": 1}
    assert checks["numbers are finite"]["observed"] == {"columns": 1, "rows": 2}
    assert checks["categories are known"]["observed"] == {"columns": 1, "rows": 3}
    assert checks["numbers and dates keep to the protected range"]["observed"]["columns"] == 2
    assert broken(checks.values()) == {
        "id is unique",
        "numbers are finite",
        "categories are known",
        "numbers and dates keep to the protected range",
    }


def test_missing_required_values_and_empty_columns_are_found():
    loose = pa.schema([field.with_nullable(True) for field in SCHEMA])
    bad = rows(ward=[None] * 100).cast(loose).set_column(0, loose.field("id"), pa.array([None, *range(99)], pa.int64()))
    bad = pa.Table.from_arrays(bad.columns, schema=SCHEMA)
    found = check_schema(Records.of(bad))
    assert broken(found) == {"no value is missing where it is required", "no column is empty"}
    assert not by_name(found)["no column is empty"]["blocking"]
    assert by_name(check_schema(Records.of(bad), reference=Records.of(rows())))["no column is empty"]["blocking"]


def test_no_rows_blocks():
    checks = by_name(check_schema(Records.of(rows(0)), reference=Records.of(rows())))
    assert broken(checks.values()) == {"has rows"}
    assert checks["has rows"]["blocking"]


def test_a_file_of_another_type_is_found(tmp_path: Path):
    writer = RecordsWriter(tmp_path, {"data": SCHEMA})
    writer.write("data", "train", rows().to_batches()[0])
    records = writer.commit(Unit(), {})
    import pyarrow.parquet as pq

    changed = rows().set_column(2, "weight", pa.array(range(100), pa.int32()))
    pq.write_table(changed, tmp_path / records.parts[0].path)
    check = by_name(check_schema(Records.open(tmp_path)))["columns and types are as frozen"]
    assert not check["passed"]
    assert check["blocking"]
    assert "weight" in check["note"]


@pytest.mark.parametrize("passes", [1, 3])
def test_uniqueness_holds_over_all_passes(monkeypatch: pytest.MonkeyPatch, passes: int):
    monkeypatch.setattr(contract, "HASHES", 100 // passes)
    check = by_name(check_schema(Records.of(rows(id=[i // 2 for i in range(100)]))))["id is unique"]
    assert check["observed"]["rows"] == 50


def test_text_and_compound_keys():
    schema = schema_of(
        [
            Column("a", pa.string(), Meaning.IDENTIFIER, frozenset({Role.PRIMARY_KEY})),
            Column("b", pa.int32(), Meaning.CATEGORY, frozenset({Role.PRIMARY_KEY})),
        ]
    )
    table = pa.table({"a": ["x", "x", "y", "x"], "b": [1, 2, 1, 1]}, schema=schema)
    assert by_name(check_schema(Records.of(table)))["a, b is unique"]["observed"]["rows"] == 1


def test_surrogates_have_no_known_levels_and_stay_unique():
    action = {"type": "fake", "surrogate": True, "unique": True}
    schema = schema_of([Column("mail", pa.string(), Meaning.CATEGORY, action=action)])
    real, drawn = (pa.table({"mail": [f"{who}{i}" for i in range(9)]}, schema=schema) for who in "rs")
    assert not broken(check_schema(Records.of(drawn), reference=Records.of(real)))
    twice = pa.table({"mail": ["a", "a"]}, schema=schema)
    assert broken(check_schema(Records.of(twice), reference=Records.of(real))) == {"mail is unique"}


def test_nothing_a_check_says_holds_a_value():
    secret = rows(ward=[CANARY] * 100, weight=[987654.321] * 100)
    text = json.dumps(check_schema(Records.of(secret), reference=Records.of(rows())))
    assert CANARY not in text
    assert "987654" not in text


def test_thousand_columns_give_short_findings():
    wide = pa.table({f"c{i}": [float("inf")] for i in range(1000)})
    check = by_name(check_schema(Records.of(wide)))["numbers are finite"]
    assert check["observed"]["columns"] == 1000
    assert len(check["note"]) < 500


def test_without_expectations_great_expectations_is_not_imported():
    code = (
        "import sys, pyarrow as pa; from synth_pipeline.evaluation.contract import *; "
        "from synth_pipeline.records.records import Records; from synth_pipeline.seeds import Seeds; "
        "r = Records.of(pa.table({'a': [1]})); check_schema(r); "
        "check_expectations(r, (), sample=9, seeds=Seeds(0), inferred=False); "
        "sys.exit('great_expectations' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestExpectations:
    """With the real Great Expectations."""

    def run(self, table: pa.Table, *wanted: Expectation, sample: int = 1000, inferred: bool = False) -> list[Any]:
        return check_expectations(Records.of(table), wanted, sample=sample, seeds=Seeds(1), inferred=inferred)

    def test_default_suite_passes_on_sound_rows_and_finds_repeats(self):
        assert not broken(self.run(rows(), inferred=True))
        assert broken(self.run(rows(id=[7] * 100), inferred=True)) == {"expect_column_values_to_be_unique(id)"}

    def test_values_never_come_back(self):
        table = rows(ward=[CANARY] * 100)
        checks = self.run(
            table,
            Expectation(type="expect_column_values_to_be_in_set", kwargs={"column": "ward", "value_set": ["north"]}),
            Expectation(
                type="expect_column_distinct_values_to_be_in_set", kwargs={"column": "ward", "value_set": ["north"]}
            ),
            Expectation(
                type="expect_column_most_common_value_to_be_in_set", kwargs={"column": "ward", "value_set": [1]}
            ),
            Expectation(type="expect_column_max_to_be_between", kwargs={"column": "ward", "max_value": "0"}),
            Expectation(
                type="expect_column_values_to_match_strftime_format", kwargs={"column": "ward", "strftime_format": "%Y"}
            ),
            Expectation(type="expect_column_mean_to_be_between", kwargs={"column": "ward", "max_value": 1}),
        )
        assert len(broken(checks)) == 6
        assert CANARY not in json.dumps(checks)
        assert checks[0]["observed"]["unexpected_percent"] == 100.0

    def test_what_cannot_be_computed_is_an_error_not_a_failure(self):
        absent, hollow = self.run(
            rows(ward=[None] * 100),
            Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": "nope"}),
            Expectation(type="expect_column_values_to_match_regex", kwargs={"column": "ward", "regex": "x"}),
        )
        assert not absent["passed"]
        assert absent["note"].startswith("error: no column nope")
        assert not hollow["passed"]
        assert hollow["note"].startswith("error: ward holds no value")

    def test_several_of_one_type_on_one_column_all_run(self):
        def between(**kwargs: Any) -> Expectation:
            return Expectation(type="expect_column_values_to_be_between", kwargs={"column": "weight", **kwargs})

        wanted = (between(max_value=1000), between(max_value=1), between(max_value=1, mostly=1.0), between(max_value=1))
        checks = self.run(rows(), *wanted, inferred=True)[-4:]
        assert [check["passed"] for check in checks] == [True, False, False, False]
        assert not [check for check in checks if check["note"].startswith("error")]
        assert len({check["name"] for check in checks}) == 4

    def test_an_empty_table_never_passes(self):
        wanted = Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": "id"})
        assert broken(self.run(rows(0), wanted)) == {"expect_column_values_to_not_be_null(id)"}

    def test_the_sample_is_bounded_stated_and_seeded(self):
        wanted = Expectation(
            type="expect_column_values_to_be_between", kwargs={"column": "id", "max_value": 500}, blocking=False
        )
        first, second = (self.run(rows(5000), wanted, sample=200)[0] for _ in range(2))
        assert first == second
        assert first["rows"] == 200
        assert "200 of 5,000 rows" in first["note"]
        assert not first["blocking"]
        assert 80 < first["observed"]["unexpected_percent"] < 97

    def test_integers_with_gaps_stay_integers(self):
        schema = pa.schema([pa.field("key", pa.int64())])
        table = pa.table({"key": [2**53, 2**53 + 1, None]}, schema=schema)
        wanted = Expectation(type="expect_column_values_to_be_unique", kwargs={"column": "key"})
        assert not broken(self.run(table, wanted))

    def test_hostile_names_and_every_type(self):
        table = pa.table(
            {
                "<script>": ["a"],
                "{{ x }}": pa.array([1], pa.uint8()),
                "__class__": pa.array([True]),
                "ü😀": pa.array([datetime.date(2026, 1, 1)]),
                "n" * 10_000: pa.array([1.5], pa.float32()),
                "blob": pa.array([b"1"], pa.binary()),
            }
        )
        assert not broken(self.run(table, inferred=True))

    @pytest.mark.parametrize(
        ("expectation", "said"),
        [
            (Expectation(type="expect_column_values_to_be_nul"), 'did you mean "expect_column_values_to_be_null"?'),
            (
                Expectation(type="expect_column_values_to_be_in_set", kwargs={"column": "ward", "valueset": []}),
                'did you mean "value_set"?',
            ),
            (Expectation(type="expect_column_values_to_be_in_set", kwargs={"column": "ward"}), "value_set"),
        ],
    )
    def test_a_wrong_expectation_says_what_is_wrong(self, expectation: Expectation, said: str):
        with pytest.raises(SpecError) as error:
            self.run(rows(), expectation)
        assert said in str(error.value)


def test_hashes_of_a_million_keys_differ():
    values = pa.array(np.arange(1_000_000))
    assert len(np.unique(contract._hashes([values]))) == 1_000_000
