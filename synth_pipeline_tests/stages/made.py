"""Protected records made by hand, for tests of the stages that come after protect."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from synth_pipeline.records.home import Home
from synth_pipeline.records.records import Records, RecordsWriter, Unit
from synth_pipeline.records.schema import Column, Meaning, schema_of
from synth_pipeline.spec.dataset import DatasetSpec
from synth_pipeline.stages.run import Result, Run


def table(rows: int = 600, seed: int = 0) -> pa.Table:
    """Numbers, dates, categories and booleans, with missing values and one strong dependency."""
    draw = np.random.default_rng(seed)
    kind = draw.integers(0, 3, rows)
    return pa.table(
        {
            "age": pa.array(draw.integers(18, 90, rows)),
            "income": pa.array(draw.gamma(2.0, 900.0, rows) * (1 + kind), mask=draw.random(rows) < 0.1),
            "kind": pa.array(np.array(["red", "green", "blue"])[kind]),
            "member": pa.array(draw.random(rows) < 0.3, mask=draw.random(rows) < 0.05),
            "since": pa.array(
                [datetime.date(2020, 1, 1) + datetime.timedelta(int(d)) for d in draw.integers(0, 900, rows)]
            ),
        }
    )


def protected(home: Home, rows: pa.Table | None = None, columns: list[Column] | None = None) -> Result:
    """What the protect stage would have left: the rows as train and, halved, as holdout."""
    rows = table() if rows is None else rows
    shape = rows.schema if columns is None else schema_of(columns)
    folder = home.folder("work", "made", "protect") / "plan"
    folder.mkdir()
    writer = RecordsWriter(folder, {"data": shape})
    for split, part in (("train", rows), ("holdout", rows.slice(0, rows.num_rows // 2))):
        for batch in part.cast(shape).to_batches():
            writer.write("data", split, batch)
    records = writer.commit(Unit(), {"root": "root-of-test"})
    return Result("protect", "plan", records.content_id, folder, rows.num_rows)


def run(home: Home, **sections: Any) -> Run:
    """A run of a small dataset; by default with SDV's GaussianCopula, which needs no tuning."""
    sections.setdefault("generator", {"type": "gaussian_copula"})
    spec = DatasetSpec.model_validate({"name": "made", "source": {"type": "file", "path": "made.csv"}, **sections})
    return Run(spec=spec, home=home, store=str(home.root / "releases"), base=Path("."))


def rows_of(result: Result) -> pa.Table:
    return Records.open(result.folder).table("train")


def surrogate(name: str, **action: Any) -> Column:
    """A column that generators never see."""
    note = {"type": "fake", "surrogate": True, "entity": "person", "locale": "en_US", "null_rate": 0.0, "unique": True}
    return Column(name, pa.string(), Meaning.IDENTIFIER, action={**note, "multiplicity": None, **action})
