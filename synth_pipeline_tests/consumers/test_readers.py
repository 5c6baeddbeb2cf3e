"""Whoever reads Parquet, or a dataset card, or Croissant, reads a release as it is."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

import synth_pipeline
from synth_pipeline.publishing.store import open_store
from synth_pipeline.records.records import RecordsWriter, Unit
from synth_pipeline.records.sources.dataset import Dataset
from synth_pipeline.spec.publication import Export
from synth_pipeline.spec.source import DatasetSource
from synth_pipeline_tests.publishing.made import SCHEMA, published, synthetic

RAI = ("dataLimitations", "dataBiases", "personalSensitiveInformation", "dataUseCases", "dataSocialImpact")


@pytest.fixture(scope="module", params=[1, 3])
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("readers")
    export = Export(formats=("parquet", "csv"))
    records = synthetic(base / "s", parts=request.param)
    return Path(published(open_store(base / "releases"), records, export=export).location)


def test_synth_pipeline(release: Path) -> None:
    found = synth_pipeline.load("visits", store=release.parents[2])
    assert (found.rows, found.path) == (300, release)


def test_importing_costs_nothing() -> None:
    heavy = "{'pyarrow', 'numpy', 'pandas', 'pydantic', 'dagster', 'torch'}"
    code = f"import sys, synth_pipeline; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_pandas(release: Path) -> None:
    import pandas as pd

    frame = pd.read_parquet(release / "data")
    assert list(frame.columns) == SCHEMA.names
    assert len(frame) == 300
    assert len(pd.read_csv(release / "csv" / "train.csv")) == 300


def test_pyarrow(release: Path) -> None:
    data = ds.dataset(release / "data")
    assert data.count_rows() == 300
    assert data.schema.field("town").type == pa.string()


def test_polars(release: Path) -> None:
    import polars as pl

    frame = pl.scan_parquet(release / "data").collect()
    assert frame.shape == (300, len(SCHEMA))
    assert frame.get_column("seen").dtype == pl.Date


def test_duckdb(release: Path) -> None:
    import duckdb

    rows = duckdb.connect().execute(f"select count(*), count(distinct town) from '{release}/data/*.parquet'").fetchone()
    assert rows == (300, 3)


def test_load_dataset(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    found = datasets.load_dataset(str(release), cache_dir=str(tmp_path))
    assert set(found) == {"train"}
    assert found["train"].num_rows == 300
    assert found["train"].features["town"].dtype == "string"
    assert found["train"].features["at"].dtype == "timestamp[us]"


def test_mlcroissant(release: Path, caplog: pytest.LogCaptureFixture) -> None:
    import mlcroissant as mlc

    with caplog.at_level(logging.WARNING):
        described = mlc.Dataset(jsonld=str(release / "croissant.json"))
    issues = described.metadata.ctx.issues
    assert not issues.errors
    records = list(described.records("data-rows"))
    assert len(records) == 300
    note = json.loads((release / "croissant.json").read_text())
    assert note["rai:hasSyntheticData"] is True
    assert all(len(note[f"rai:{name}"]) > 20 for name in RAI)
    assert note["prov:wasDerivedFrom"]
    assert note["prov:wasGeneratedBy"]
    assert not issues.warnings


def test_hostile_names_are_read_as_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets
    import mlcroissant as mlc
    import polars as pl

    names = ["=cmd|' /C calc'!A0", "<script>alert(1)</script>", "{{ 7*7 }}", "a|b\n---", "__class__", "😀", "a/b", " "]
    batch = pa.table({name: ["x", "{{ 1 }}", None] for name in names}).to_batches()[0]
    done = published(open_store(tmp_path / "releases"), synthetic(tmp_path / "s", parts=1, batch=batch))
    found = datasets.load_dataset(done.location, cache_dir=str(tmp_path / "cache"))
    assert found["train"].column_names == names
    assert pl.scan_parquet(Path(done.location) / "data").collect().columns == names
    described = mlc.Dataset(jsonld=f"{done.location}/croissant.json")
    assert not described.metadata.ctx.issues.errors


def test_several_tables_are_several_configurations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets
    import mlcroissant as mlc

    tables = {
        "people": pa.table({"id": [1, 2, 3], "name": ["a", "b", "c"]}),
        "orders": pa.table({"person": [1, 1, 2, 3], "price": [1.5, 2.5, 3.5, None]}),
    }
    writer = RecordsWriter(tmp_path / "s", {name: table.schema for name, table in tables.items()})
    for name, table in tables.items():
        writer.write(name, "train", table.to_batches()[0])
    done = published(open_store(tmp_path / "releases"), writer.commit(Unit("people"), {}), "shop")
    assert (Path(done.location) / "data" / "orders" / "train-00000-of-00001.parquet").is_file()
    for name, table in tables.items():
        found = datasets.load_dataset(done.location, name, cache_dir=str(tmp_path / "cache"))
        assert found["train"].to_dict() == table.to_pydict()
        assert synth_pipeline.load("shop", store=tmp_path / "releases").to_arrow(name).to_pydict() == table.to_pydict()
        described = mlc.Dataset(jsonld=f"{done.location}/croissant.json")
        assert len(list(described.records(f"{name}-rows"))) == table.num_rows


def test_another_dataset_reads_it_as_its_source(release: Path) -> None:
    source = Dataset(DatasetSource(name="visits"), release, None, str(release.parents[2]))
    source.fetch(release)
    assert sum(chunk.batch.num_rows for chunk in source.batches()) == 300
    assert source.schema().names == SCHEMA.names
    assert source.content_id() == synth_pipeline.load("visits", store=release.parents[2]).manifest["content_id"]
