from __future__ import annotations

import datetime
import json

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation import profile as module
from synth_pipeline.evaluation.profile import compare, profile
from synth_pipeline.records.records import Records
from synth_pipeline.records.schema import Column, Meaning, schema_of
from synth_pipeline.seeds import Seeds


def table(n: int = 1000, shift: float = 0.0, seed: int = 0) -> pa.Table:
    draw = np.random.default_rng(seed)
    x = draw.normal(shift, 1, n)
    return pa.table(
        {
            "x": x,
            "twice": 2 * x,
            "gaps": pa.array([None if i % 4 == 0 else float(i) for i in range(n)]),
            "ward": draw.choice(["north", "south"], n, p=(0.7, 0.3) if not shift else (0.3, 0.7)),
            "seen": [datetime.date(2026, 1, 1) + datetime.timedelta(days=int(d)) for d in draw.integers(0, 99, n)],
            "flag": draw.random(n) < 0.5,
            "same": ["one"] * n,
        }
    )


def fields(found: dict) -> dict[str, dict]:
    return {field["name"]: field for field in found["fields"]}


def test_a_profile_counts_what_is_there():
    found = profile(table(), seeds=Seeds(0), internal=True)
    by = fields(found)
    assert (found["rows"], found["columns"], found["missing"], found["looked_at"]) == (1000, 7, 250, 1000)
    assert by["gaps"]["missing"] == 250
    assert by["gaps"]["number"]["n"] == 750
    assert by["gaps"]["number"]["median"] == pytest.approx(500, abs=2)
    assert by["ward"]["levels"][0][0] == "north"
    assert sum(count for _, count in by["ward"]["levels"]) + by["ward"]["others"] == 1000
    assert by["seen"]["date"]["min"] == "2026-01-01"
    assert by["same"]["constant"]
    assert {alert["what"] for alert in found["alerts"]} >= {"constant", "almost a function of x"}
    json.dumps(found)


def test_without_internal_no_extreme_value_is_told():
    x = np.r_[np.zeros(998), -77777.0, 88888.0]
    rows = pa.table({"x": x})
    assert "77777" in json.dumps(profile(rows, seeds=Seeds(0), internal=True))
    outside = json.dumps(profile(rows, seeds=Seeds(0), internal=False))
    assert "77777" not in outside
    assert "88888" not in outside


def test_rare_levels_identifiers_and_surrogates_are_never_named():
    schema = schema_of(
        [
            Column("id", pa.string(), Meaning.IDENTIFIER),
            Column("mail", pa.string(), Meaning.CATEGORY, action={"type": "fake", "surrogate": True}),
            Column("text", pa.string(), Meaning.TEXT),
            Column("ward", pa.string(), Meaning.CATEGORY),
        ]
    )
    secret = ["canary"] * 50
    rows = pa.table(
        {"id": secret, "mail": secret, "text": secret, "ward": ["rare"] * 9 + ["common"] * 41}, schema=schema
    )
    text = json.dumps(profile(rows, seeds=Seeds(0), internal=True))
    assert "canary" not in text
    assert '"rare"' not in text
    assert '"common"' in text


def test_duplicates_leave_keys_aside():
    schema = schema_of([Column("id", pa.int64(), Meaning.IDENTIFIER), Column("a", pa.string(), Meaning.CATEGORY)])
    rows = pa.table({"id": [1, 2, 3, 4], "a": ["x", "x", None, None]}, schema=schema)
    assert profile(rows, seeds=Seeds(0), internal=True)["duplicates"] == {"rows": 2, "of": 4}


def test_statistics_come_from_a_bounded_seeded_sample(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "ROWS", 100)
    records = Records.of({"train": {"data": table(900)}, "holdout": {"data": table(50)}})
    one, two = (profile(records, seeds=Seeds(0), internal=True, split="train") for _ in range(2))
    assert one == two
    assert (one["rows"], one["looked_at"]) == (900, 100)
    assert one["missing"] == 225  # counted over all rows
    assert profile(records, seeds=Seeds(1), internal=True, split="train") != one


@pytest.mark.parametrize(
    "rows",
    [
        pa.table({"a": pa.array([], pa.float64()), "b": pa.array([], pa.string())}),
        pa.table({"a": pa.nulls(5, pa.float64()), "b": pa.nulls(5, pa.string()), "c": pa.nulls(5, pa.timestamp("us"))}),
        pa.table({"a": [float("inf"), float("nan"), 1e308, -1e308, None]}),
        pa.table({"a": [2**63 - 1, -(2**63), 0], "b": [b"x", b"y", None], "c": [[1], [], None]}),
        pa.table({"a": pa.array(["x", "y", "x"]).dictionary_encode(), "b": pa.array([1, 2, 3], pa.uint8())}),
    ],
    ids=["empty", "nulls", "extremes", "types", "dictionary"],
)
def test_odd_tables(rows: pa.Table):
    found = profile(rows, seeds=Seeds(0), internal=True)
    assert found["rows"] == rows.num_rows
    json.dumps(found, allow_nan=False)
    json.dumps(compare(rows, rows, Seeds(0)), allow_nan=False)


def test_equal_distributions_look_equal_and_others_do_not():
    alike = compare(table(2000, seed=1), table(2000, seed=2), Seeds(0))
    apart = compare(table(2000, seed=1), table(2000, shift=2, seed=2), Seeds(0))
    effects = {row["name"]: row["effect"] for row in alike["columns"]}
    assert {row["test"] for row in alike["columns"]} == {"ks", "chi_square"}
    assert max(effects.values()) < 0.08
    shifted = {row["name"]: row for row in apart["columns"]}
    assert shifted["x"]["effect"] > 0.5
    assert shifted["ward"]["effect"] == pytest.approx(0.4, abs=0.05)
    assert shifted["ward"]["p"] < 1e-6
    for near, far in zip(alike["detection"], apart["detection"], strict=True):
        assert near["low"] - 0.03 < 0.5 < near["high"] + 0.03
        assert far["auc"] > 0.85


def test_chi_square_is_on_counts():
    """90/10 against 10/90 in 1,000 rows each: no chance (SDMetrics' frequencies give 0.008)."""
    one, other = (pa.table({"c": ["a"] * n + ["b"] * (1000 - n)}) for n in (900, 100))
    (row,) = compare(one, other, Seeds(0))["columns"]
    assert row["statistic"] == pytest.approx(1280)
    assert row["effect"] == pytest.approx(0.8)


def test_detection_sees_relations_only_where_it_can():
    draw = np.random.default_rng(0)
    x = draw.normal(size=2000)
    real = pa.table({"x": x, "y": x + 0.1 * draw.normal(size=2000)})
    shuffled = pa.table({"x": x, "y": draw.permutation(np.asarray(real["y"]))})
    logistic, svc = compare(real, shuffled, Seeds(0))["detection"]
    assert logistic["auc"] < 0.6
    assert svc["auc"] > 0.9


def test_comparing_is_seeded():
    assert compare(table(seed=1), table(seed=2), Seeds(4)) == compare(table(seed=1), table(seed=2), Seeds(4))
