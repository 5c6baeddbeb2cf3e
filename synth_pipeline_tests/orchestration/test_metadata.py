"""What reaches Dagster: plain values, inert texts, never rows; errors without data; at most 100 points of a curve."""

import json
import time
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from synth_pipeline.errors import SourceError, SourceUnavailable
from synth_pipeline.orchestration.curve import LIMIT, Curve
from synth_pipeline.orchestration.failures import told
from synth_pipeline.orchestration.metadata import lineage, schema, table, to_metadata
from synth_pipeline.records.home import Home
from synth_pipeline.records.schema import Column, Meaning, Role, schema_of

CANARY = "canary@example.org"


def test_numpy_scalars_become_numbers_that_dagster_stores(instance: dg.DagsterInstance) -> None:
    values = {"a": np.float64(0.5), "b": np.int32(3), "c": np.bool_(True), "d": float("nan"), "e": None, "f": Path("x")}

    @dg.asset
    def one() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata=to_metadata({**values, "g": {"x": [np.float32(1)]}}))

    assert dg.materialize([one], instance=instance).success
    event = instance.get_latest_materialization_event(dg.AssetKey("one"))
    assert event is not None
    assert event.asset_materialization is not None
    shown = {key: value.value for key, value in event.asset_materialization.metadata.items()}
    assert shown == {"a": 0.5, "b": 3, "c": True, "d": "nan", "f": "x", "g": {"x": [1.0]}}


@pytest.mark.parametrize(
    "rows",
    [
        pa.table({"a": [1]}),
        pa.record_batch({"a": [1]}),
        pd.DataFrame({"a": [1]}),
        np.array([1, 2]),
        list(range(101)),
        {"deep": [{"er": pa.table({"a": [1]})}]},
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_rows_are_refused(rows: Any) -> None:
    with pytest.raises(TypeError, match="rows"):
        to_metadata({"x": rows})


def test_a_schema_shows_meanings_roles_and_personal_data() -> None:
    shape = schema_of(
        [
            Column("id", pa.int64(), Meaning.IDENTIFIER, frozenset({Role.PRIMARY_KEY}), nullable=False),
            Column("mail", pa.string(), Meaning.IDENTIFIER, pii="email", description="Where to write."),
            Column("age", pa.int64(), Meaning.NUMBER, pii="none"),
        ]
    )
    one, mail, age = schema(shape)["dagster/column_schema"].columns
    assert one.constraints.unique
    assert not one.constraints.nullable
    assert (mail.tags["pii"], mail.description) == ("email", "Where to write.")
    assert age.tags == {"meaning": "number"}


def test_strange_names_are_stored(instance: dg.DagsterInstance) -> None:
    names = ["x" * 10_000, "😀", "__class__", "<script>alert(1)</script>", "{{ 7*7 }}", "a|b", "=cmd|' /C calc'!A0"]
    shape = schema_of([Column(name, pa.int64(), Meaning.NUMBER) for name in names])
    parent = dg.AssetKey("up")

    @dg.asset
    def two() -> dg.MaterializeResult:
        shown = {**schema(shape), **lineage(names, parent, names), "t": table(("n",), [[name] for name in names])}
        return dg.MaterializeResult(metadata=shown)

    assert dg.materialize([two], instance=instance).success


def test_markdown_tables_are_inert() -> None:
    text = str(table(("a",), [["<script>alert(1)</script> | [x](javascript:1) `y`\nz"]]).value)
    assert "<script>" not in text
    assert r"\[x\](" in text
    assert len(text.splitlines()) == 3


@pytest.mark.parametrize(
    ("error", "described", "retried"),
    [
        (SourceUnavailable("the database did not answer", fix="try later"), "the database did not answer", True),
        (SourceError("no such file"), "no such file", False),
        (ValueError(f"could not convert {CANARY}"), "ingest failed unexpectedly: ValueError", False),
    ],
)
def test_errors_keep_their_words_if_they_are_ours_and_only_their_kind_if_not(
    error: Exception, described: str, retried: bool, home: Home
) -> None:
    with pytest.raises(dg.Failure) as caught, told("ingest", home, "0123456789"):
        raise error
    assert described in str(caught.value.description)
    assert caught.value.allow_retries is retried
    assert CANARY not in str(caught.value.description)


def test_no_foreign_message_reaches_the_event_log(instance: dg.DagsterInstance, home: Home) -> None:
    @dg.asset
    def leaky() -> None:
        with told("train", home, "run"):
            try:
                raise KeyError(CANARY)
            except KeyError as error:
                raise ValueError(f"bad value {CANARY}") from error

    result = dg.materialize([leaky], instance=instance, raise_on_error=False)
    assert not result.success
    log = instance.all_logs(result.run_id)
    assert log
    assert not [entry for entry in log if CANARY in entry.to_json() or CANARY in str(entry.user_message)]
    [trace] = (home.root / "logs").iterdir()
    assert CANARY in trace.read_text("utf-8")
    assert trace.stat().st_mode & 0o077 == 0


class Context:
    """As much of an asset's context as a curve uses."""

    asset_key = dg.AssetKey("model")
    has_partition_key = False

    def __init__(self) -> None:
        self.events: list[dg.AssetObservation] = []

    def log_event(self, event: dg.AssetObservation) -> None:
        self.events.append(event)


def test_a_curve_has_at_most_100_points_and_its_last(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    context = Context()
    curve = Curve(context)  # type: ignore[arg-type]
    for step in range(100_000):
        clock[0] += 1.0
        curve(step, {"loss": np.float64(1 / (step + 1))})
    curve.finish()
    steps = [event.metadata["step"].value for event in context.events]
    assert len(steps) <= LIMIT
    assert steps[:20] == list(range(20))
    assert steps[-1] == 99_999
    assert len(steps) > 60
    json.dumps([event.metadata["loss"].value for event in context.events])
