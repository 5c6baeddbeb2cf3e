"""Publishing: what a version holds, when it is reused, and what it never tells."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synth_pipeline.errors import GateFailed, StorageError
from synth_pipeline.publishing.audit import verify, verify_pointers
from synth_pipeline.publishing.load import load
from synth_pipeline.publishing.manifest import Manifest, seal, unseal
from synth_pipeline.publishing.store import open_store
from synth_pipeline.publishing.versions import Line, datasets, snapshots
from synth_pipeline.records.records import RecordsWriter, Unit
from synth_pipeline.spec.publication import Export
from synth_pipeline_tests.publishing.made import SCHEMA, SECRET, published, synthetic


@pytest.fixture(params=["local", "memory"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "releases") if request.param == "local" else f"memory://{tmp_path.name}"


def test_a_version_holds_what_its_manifest_lists_and_nothing_else(tmp_path: Path, where: str) -> None:
    store, records = open_store(where), synthetic(tmp_path / "s")
    done = published(store, records)
    line = done.line
    assert done.manifest.version == "v0001"
    assert not done.reused
    found = set(store.files(line.folder("v0001")))
    assert found == {file.path for file in done.manifest.files} | {"manifest.json"}
    assert {file.kind for file in done.manifest.files} == {"data", "card", "croissant", "scorecard", "report"}
    assert [file.path for file in done.manifest.data_files()] == [
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
    ]
    assert verify(line, "v0001").sound
    assert verify_pointers(line) == []
    assert datasets(store) == ["visits"]


def test_the_rows_come_back(tmp_path: Path, where: str) -> None:
    records = synthetic(tmp_path / "s")
    published(open_store(where), records)
    release = load("visits", store=where)
    expected = records.table().cast(pa.schema([pa.field(f.name, f.type) for f in release.to_arrow().schema]))
    assert release.to_arrow().cast(expected.schema).equals(expected)
    assert release.rows == 300
    assert sum(batch.num_rows for batch in release.batches(columns=["age"])) == 300
    assert list(release.to_pandas().columns) == SCHEMA.names
    assert release.manifest["version"] == release.version == "v0001"
    assert str(release.path).endswith("visits/versions/v0001")
    with pytest.raises(StorageError, match="no table"):
        release.to_arrow("dota")


def test_what_private_stages_noted_stays_behind(tmp_path: Path) -> None:
    store = open_store(tmp_path / "releases")
    published(store, synthetic(tmp_path / "s"))
    for path in (tmp_path / "releases").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert SECRET.encode() not in data, path
            assert b"0.123456" not in data, path
            assert str(tmp_path).encode() not in data, path
    file = next((tmp_path / "releases").rglob("*.parquet"))
    schema = pq.read_schema(file)
    note = json.loads(schema.field("email").metadata[b"synth"])
    assert note == {"meaning": "identifier", "pii": "none", "surrogate": "email", "synthetic": True}
    mark = json.loads(schema.metadata[b"synth"])
    assert mark["digital_source_type"].endswith("trainedAlgorithmicMedia")
    assert (mark["dataset"], mark["version"]) == ("visits", "v0001")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["town"] == {"dtype": "string", "_type": "Value"}


def test_the_same_content_is_not_published_twice(tmp_path: Path, where: str) -> None:
    store, records = open_store(where), synthetic(tmp_path / "s")
    first, again = published(store, records), published(store, records)
    assert again.reused
    assert again.manifest == first.manifest
    other = published(store, synthetic(tmp_path / "t", seed=1))
    assert (other.manifest.version, other.manifest.supersedes) == ("v0002", "v0001")
    changed = published(store, synthetic(tmp_path / "u", seed=1), description="Another card")
    assert changed.manifest.version == "v0003"
    assert changed.manifest.content_id == other.manifest.content_id


def test_a_tidied_up_version_is_published_anew(tmp_path: Path) -> None:
    store, records = open_store(tmp_path / "releases"), synthetic(tmp_path / "s")
    first = published(store, records)
    next(Path(first.location).glob("data/*.parquet")).unlink()
    assert published(store, records).manifest.version == "v0002"


def test_manifests_differ_only_in_time(tmp_path: Path) -> None:
    records = synthetic(tmp_path / "s")
    one = published(open_store(tmp_path / "a"), records)
    two = published(open_store(tmp_path / "b"), records)
    bare = {"created_at": "", "files": ()}
    assert one.manifest.model_copy(update=bare) == two.manifest.model_copy(update=bare)
    data = [[file.sha256 for file in done.manifest.data_files()] for done in (one, two)]
    assert data[0] == data[1]


def test_retracting_moves_latest_back(tmp_path: Path, where: str) -> None:
    store = open_store(where)
    published(store, synthetic(tmp_path / "s"))
    second = published(store, synthetic(tmp_path / "t", seed=1))
    line = second.line
    assert load("visits", store=where).version == "v0002"
    assert line.retract("v0002", "a wrong licence")
    assert not line.retract("v0002", "again")
    assert load("visits", store=where).version == "v0001"
    with pytest.raises(StorageError, match=r"retracted: a wrong licence[\s\S]*latest is v0001"):
        load("visits", version="v0002", store=where)
    assert verify(line, "v0002").retracted == "a wrong licence"
    with pytest.raises(GateFailed, match="retracted: a wrong licence"):
        published(store, synthetic(tmp_path / "u", seed=1), description="The same rows under another card")
    line.retract("v0001", "too")
    with pytest.raises(StorageError, match="all versions were retracted"):
        load("visits", store=where)


def test_partitions_and_snapshots(tmp_path: Path, where: str) -> None:
    store = open_store(where)
    for index, key in enumerate(["2026-09-01", "2026-10-01", "2026-09-01"]):
        done = published(store, synthetic(tmp_path / f"s{index}", n=100 + index, seed=index), partition=key)
        assert done.snapshot == index + 1
    assert published(store, synthetic(tmp_path / "again", n=102, seed=2), partition="2026-09-01").snapshot == 3
    assert snapshots(store, "visits") == [1, 2, 3]
    whole = load("visits", store=where)
    assert (whole.version, whole.rows, whole.to_arrow().num_rows) == ("s0003", 203, 203)
    assert {key: note["version"] for key, note in whole.manifest["partitions"].items()} == {
        "2026-09-01": "v0002",
        "2026-10-01": "v0001",
    }
    assert load("visits", store=where, snapshot=1).rows == 100
    assert load("visits", store=where, partition="2026-10-01").version == "v0001"
    assert load("visits", store=where, partition="2026-09-01", version="v0001").rows == 100
    Line(store, "visits", "2026-09-01").retract("v0002", "no")
    assert load("visits", store=where).rows == 201
    Line(store, "visits", "2026-10-01").retract("v0001", "no")
    assert load("visits", store=where).rows == 100
    with pytest.raises(StorageError, match="was retracted"):
        load("visits", store=where, snapshot=3)
    with pytest.raises(StorageError, match="no snapshot 9"):
        load("visits", store=where, snapshot=9)
    with pytest.raises(StorageError, match="belongs to one partition"):
        load("visits", version="v0001", store=where)
    with pytest.raises(StorageError, match='did you mean "2026-09-01"'):
        load("visits", store=where, partition="2026-09-02")


def test_near_names_are_told(tmp_path: Path, where: str) -> None:
    published(open_store(where), synthetic(tmp_path / "s"))
    with pytest.raises(StorageError, match='did you mean "visits"'):
        load("visit", store=where)
    with pytest.raises(StorageError, match='did you mean "v0001"'):
        load("visits", version="v001", store=where)
    with pytest.raises(StorageError, match="the store is empty"):
        load("visits", store=f"{where}-other")
    with pytest.raises(StorageError):
        load("../visits", store=where)


def test_csv_flags_and_escapes_formulas(tmp_path: Path) -> None:
    risky = pa.table(
        {"=sum(a)": ["=cmd|' /C calc'!A0", "-5", "plain", None, "@x", 'a,b\n"c"'], "n": [-1, 2, 3, 4, 5, 6]}
    )
    batch = risky.to_batches()[0]
    for escape in (False, True):
        export = Export(formats=("parquet", "csv"), escape_formulas=escape)
        done = published(
            open_store(tmp_path / f"e{escape}"), synthetic(tmp_path / f"s{escape}", batch=batch), export=export
        )
        csv = done.manifest.csv
        assert csv is not None
        assert (csv.formula_cells, csv.escaped) == ({"=sum(a)": 3}, escape)
        import pandas as pd

        back = pd.read_csv(Path(done.location) / "csv" / "train.csv")
        cells = [*back.columns, *(str(cell) for cell in back.iloc[:, 0])]
        assert ("=cmd|' /C calc'!A0" in cells) is not escape
        assert ("'=sum(a)" in cells) is escape
        assert 'a,b\n"c"' in cells
        assert (
            load("visits", store=tmp_path / f"e{escape}").to_arrow().column(0).to_pylist()
            == risky.column(0).to_pylist()
        )


def test_sealed_files_show_any_changed_byte() -> None:
    data = seal({"a": 1.5, "b": ["ü", None], "c": {"d": True}})
    assert unseal(data)["a"] == 1.5
    for place in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            with pytest.raises(StorageError):
                unseal(bytes(flipped))


def test_a_manifest_of_a_later_form_is_refused(tmp_path: Path) -> None:
    manifest = published(open_store(tmp_path / "releases"), synthetic(tmp_path / "s")).manifest
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest
    later = seal({**manifest.model_dump(mode="json"), "schema_version": "2"})
    with pytest.raises(StorageError, match="upgrade"):
        Manifest.from_bytes(later)


def test_a_part_altered_since_it_was_judged_is_refused(tmp_path: Path) -> None:
    records = synthetic(tmp_path / "s")
    path = tmp_path / "s" / records.parts[1].path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(StorageError, match="altered since it was judged"):
        published(open_store(tmp_path / "releases"), records)
    assert open_store(tmp_path / "releases").files("visits") == {}


def test_a_store_without_exclusive_create_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store("memory://loose")
    opened = type(store.fs).open
    monkeypatch.setattr(
        type(store.fs), "open", lambda self, path, mode="rb", **more: opened(self, path, mode.replace("x", "w"), **more)
    )
    with pytest.raises(StorageError, match="two publishers could mix"):
        published(store, synthetic(tmp_path / "s"))


def test_a_table_without_rows_still_has_its_columns(tmp_path: Path) -> None:
    shapes = {"people": pa.schema([("id", pa.int64())]), "orders": pa.schema([("price", pa.float64())])}
    writer = RecordsWriter(tmp_path / "s", shapes)
    writer.write("people", "train", pa.record_batch([[1, 2]], shapes["people"]))
    records = writer.commit(Unit("people"), {})
    done = published(open_store(tmp_path / "releases"), records, export=Export(formats=("parquet", "csv")))
    assert verify(done.line, "v0001").sound
    empty = load("visits", store=tmp_path / "releases").to_arrow("orders")
    assert (empty.num_rows, empty.column_names) == (0, ["price"])
