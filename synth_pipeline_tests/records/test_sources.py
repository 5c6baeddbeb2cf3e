"""Sources: every format gives the same table, from wherever it comes, and says what it changed."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_pipeline.errors import SourceError, SpecError
from synth_pipeline.records.files import sha256
from synth_pipeline.records.schema import Column, Meaning, columns
from synth_pipeline.records.sources import open_source, read_table, read_tables
from synth_pipeline.records.sources.base import Source
from synth_pipeline.records.sources.sql import password_of, redact
from synth_pipeline.spec.source import DatasetSource, FileSource, SqlSource

ROWS = 300


@pytest.fixture
def table() -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "n": pa.array(rng.integers(-5, 90, ROWS)),
            "x": pa.array(np.round(rng.normal(size=ROWS), 3), mask=rng.random(ROWS) < 0.1),
            "c": [f"level {i % 5}" for i in range(ROWS)],
            "b": rng.random(ROWS) < 0.5,
            "d": pa.array(rng.integers(15_000, 19_000, ROWS), pa.int32()).cast(pa.date32()),
            "t": pa.array(rng.integers(10**9, 2 * 10**9, ROWS)).cast(pa.timestamp("s")).cast(pa.timestamp("us")),
        }
    )


def opened(path: Path | str, scratch: Path | None = None, **options: Any) -> Source:
    source = open_source(FileSource(path=str(path), **options), Path.cwd(), None, "")
    source.fetch(scratch or Path(tempfile.gettempdir()))
    return source


def jsonl(table: pa.Table, path: Path) -> None:
    path.write_text("".join(json.dumps(row, default=str) + "\n" for row in table.to_pylist()))


def test_every_format_gives_the_same_table(table: pa.Table, tmp_path: Path) -> None:
    pacsv.write_csv(table, tmp_path / "a.csv")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    with pa.CompressedOutputStream(str(tmp_path / "c.csv.zst"), "zstd") as out:
        out.write((tmp_path / "a.csv").read_bytes())
    pacsv.write_csv(table, tmp_path / "d.tsv", pacsv.WriteOptions(delimiter="\t"))
    jsonl(table, tmp_path / "e.jsonl")
    pq.write_table(table, tmp_path / "f.parquet")
    with pa.ipc.new_file(str(tmp_path / "g.arrow"), table.schema) as writer:
        writer.write_table(table)
    with pa.ipc.new_stream(str(tmp_path / "h.arrow"), table.schema) as writer:
        writer.write_table(table)
    for path in sorted(tmp_path.iterdir()):
        found = read_table(path)
        assert found.replace_schema_metadata(None).equals(table.cast(found.schema)), path.name
        assert [c.meaning for c in columns(found.schema)] == [
            Meaning.NUMBER,
            Meaning.NUMBER,
            Meaning.CATEGORY,
            Meaning.BOOLEAN,
            Meaning.DATETIME,
            Meaning.DATETIME,
        ], path.name


def test_glob_folder_and_uri(table: pa.Table, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    (folder / "deep").mkdir(parents=True)
    for number, piece in enumerate((table[:100], table[100:250], table[250:])):
        pq.write_table(piece, folder / ("deep" if number == 2 else "") / f"{number}.parquet")
    (folder / "_SUCCESS").write_text("")
    (folder / ".hidden.parquet").write_text("x")
    for place in (folder, f"{folder}/**/*.parquet", f"file://{folder}"):
        assert sorted(read_table(place)["t"].to_pylist()) == sorted(table["t"].to_pylist())
    assert read_table(f"{folder}/*.parquet").num_rows == 250


def test_a_remote_file_is_fetched_once(table: pa.Table, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    with memory.open("/bucket/one.csv", "wb") as out:
        pacsv.write_csv(table, out)
    try:
        source = opened("memory://bucket/one.csv", tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["00000-one.csv"]
        assert source.content_id() == sha256(tmp_path / "00000-one.csv")
        assert source.token()[0][1:] == [memory.size("/bucket/one.csv"), source.token()[0][2]]
        assert read_table("memory://bucket/*.csv").num_rows == ROWS
        with pytest.raises(SourceError, match="nothing here"):
            opened("memory://bucket/two.csv", tmp_path)
    finally:
        memory.rm("/bucket", recursive=True)
    with pytest.raises(SourceError, match='"nosuch://" cannot be opened'):
        opened("nosuch://bucket/x.csv", tmp_path)


def test_files_with_different_columns_are_joined_by_name(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,x\n2,y\n")
    (tmp_path / "2.csv").write_text("b,c\nz,5\n")
    source = opened(tmp_path / "*.csv")
    assert source.schema().names == ["a", "b", "c"]
    assert any("1.csv: no column c" in note for note in source.warnings)
    assert read_table(tmp_path / "*.csv").to_pydict() == {"a": [1, 2, None], "b": ["x", "y", "z"], "c": [None, None, 5]}
    (tmp_path / "3.csv").write_text("q\n1\n")
    with pytest.raises(SourceError, match="no column in common"):
        opened(tmp_path / "*.csv")


def test_typed_values_become_plain_ones(tmp_path: Path) -> None:
    pq.write_table(
        pa.table(
            {
                "money": pa.array([Decimal("1.50"), Decimal("2.25")], pa.decimal128(10, 2)),
                "whole": pa.array([Decimal(7), Decimal(8)], pa.decimal128(12, 0)),
                "long": pa.array([Decimal("12345678901234567890.5"), None], pa.decimal128(30, 1)),
                "unsigned": pa.array([1, 2**64 - 1], pa.uint64()),
                "dictionary": pa.array(["a", "b"]).dictionary_encode(),
                "large": pa.array(["a", "b"], pa.large_string()),
                "nanos": pa.array([1, 10**18 + 1], pa.timestamp("ns")),
                "zoned": pa.array([0, 1], pa.timestamp("ms", "Europe/Vienna")),
                "small": pa.array([1, 2], pa.int8()),
                "half": pa.array([1.5, 2.5], pa.float32()),
                "clock": pa.array([0, 3_600_000_000], pa.time64("us")),
                "none": pa.nulls(2),
            }
        ),
        tmp_path / "x.parquet",
    )
    found = read_table(tmp_path / "x.parquet")
    assert {name: str(found.schema.field(name).type) for name in found.schema.names} == {
        "money": "double",
        "whole": "int64",
        "long": "double",
        "unsigned": "string",
        "dictionary": "string",
        "large": "string",
        "nanos": "timestamp[us]",
        "zoned": "timestamp[us, tz=UTC]",
        "small": "int64",
        "half": "double",
        "clock": "string",
        "none": "string",
    }
    assert found["unsigned"].to_pylist() == ["1", "18446744073709551615"]
    assert found["money"].to_pylist() == [1.5, 2.25]


def test_json_numbers_keep_their_digits_and_texts_stay_texts(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": 9007199254740993, "zip": "1234", "v": 1}\n\n{"v": 2.5, "new": true, "zip": null}\n')
    found = read_table(path)
    assert found.to_pydict() == {
        "id": [9007199254740993, None],
        "zip": ["1234", None],
        "v": [1.0, 2.5],
        "new": [None, True],
    }


def test_several_tables_are_typed_together(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("a,b,c\n" + "1,2020-01-01,x\n" * 30)
    (tmp_path / "synthetic.csv").write_text("c,a,b,extra\n" + "y,1.5,2021-02-03,1\n" * 20)
    pq.write_table(pa.table({"a": [3, 4], "b": ["2020-05-05", None], "c": ["z", "z"]}), tmp_path / "holdout.parquet")
    real, synthetic, holdout = read_tables([tmp_path / n for n in ("real.csv", "synthetic.csv", "holdout.parquet")])
    assert real.schema.equals(synthetic.schema, check_metadata=True)
    assert real.schema.equals(holdout.schema, check_metadata=True)
    assert [str(kind) for kind in real.schema.types] == ["double", "date32[day]", "string"]
    assert (real.num_rows, synthetic.num_rows, holdout.num_rows) == (30, 20, 2)
    assert synthetic["a"].to_pylist() == [1.5] * 20
    (tmp_path / "less.csv").write_text("a,b\n1,2020-01-01\n")
    with pytest.raises(SourceError, match="has no column c"):
        read_tables([tmp_path / "real.csv", tmp_path / "less.csv"])


def test_a_record_longer_than_a_block_is_read_once_and_whole(tmp_path: Path) -> None:
    long = "y" * (5 << 20)
    (tmp_path / "x.csv").write_text("a,b\n" + "1,2\n" * 100_000 + f"7,{long}\n" + "1,2\n" * 1_000)
    batches = [chunk.batch for chunk in opened(tmp_path / "x.csv").batches()]
    found = pa.Table.from_batches(batches)
    assert found.num_rows == 101_001
    assert found["b"][100_000].as_py() == long


def test_ragged_records_are_told_once_however_often_the_file_is_opened(tmp_path: Path) -> None:
    long = "y" * (10 << 20)
    many = "1,2\n" * 99_999 + "1\n"
    text = f"a,b\n{many * 6}7,{long}\n1,2,3\n1,2\n"
    (tmp_path / "x.csv").write_text(text)
    source = opened(tmp_path / "x.csv")
    for _ in range(2):
        rows = sum(chunk.batch.num_rows for chunk in source.batches())
        assert rows == 599_996
        assert [one.row for one in source.ragged] == [*range(100_000, 600_001, 100_000), 600_002]


def test_places_of_rows_do_not_depend_on_reading(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a\n" + "".join(f"{i}\n" for i in range(1_000_000)))
    at = 0
    for chunk in opened(tmp_path / "x.csv").batches():
        assert chunk.start == at
        assert chunk.batch.column(0)[0].as_py() == str(at)
        at += chunk.batch.num_rows
    assert at == 1_000_000


def test_partitions_stand_in_the_path_but_not_in_the_identity(tmp_path: Path) -> None:
    (tmp_path / "visits-2026-01.csv").write_text("a\n1\n")
    config = FileSource(path=f"{tmp_path}/visits-{{partition}}.csv")
    one = open_source(config, Path.cwd(), "2026-01", "")
    assert one.uri == f"file://{tmp_path}/visits-{{partition}}.csv"
    assert one.token()[0][0] == "visits-2026-01.csv"
    with pytest.raises(SpecError, match="no partition was asked for"):
        open_source(config, Path.cwd(), None, "")
    with pytest.raises(SourceError, match=r"did you mean .visits-2026-01.csv"):
        open_source(config, Path.cwd(), "2026-02", "").token()


def test_relative_paths_belong_to_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.csv").write_text("a\n1\n2\n")
    monkeypatch.chdir("/")
    assert open_source(FileSource(path="x.csv"), tmp_path, None, "").uri == f"file://{tmp_path}/x.csv"


def test_no_permission_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        folder.chmod(0o755)
        (folder / "x.csv").write_text("a\n1\n")
        (folder / "x.csv").chmod(0)
        if os.geteuid() == 0:
            os.seteuid(65534)  # root may read everything
        for path in (folder / "x.csv", folder / "*.csv", folder):
            with pytest.raises(SourceError, match="no permission"):
                opened(path)
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        shutil.rmtree(folder)


def publish(store: Path, table: pa.Table, name: str = "upstream", version: str = "v0001", part: str = "") -> Path:
    base = store / name / part
    folder = base / "versions" / version
    (folder / "data").mkdir(parents=True)
    pq.write_table(table, folder / "data/train-00000-of-00001.parquet")
    digest = sha256(folder / "data/train-00000-of-00001.parquet")
    files = [{"path": "data/train-00000-of-00001.parquet", "sha256": digest}, {"path": "README.md", "sha256": ""}]
    (folder / "manifest.json").write_text(json.dumps({"content_id": digest, "files": files}))
    (base / "refs").mkdir(exist_ok=True)
    (base / "refs/latest.json").write_text(json.dumps({"version": version}))
    return folder


def test_another_datasets_release_is_verified(table: pa.Table, tmp_path: Path) -> None:
    folder = publish(tmp_path, table)
    source = open_source(DatasetSource(name="upstream"), Path.cwd(), None, str(tmp_path))
    source.fetch(tmp_path)
    assert pa.Table.from_batches(chunk.batch for chunk in source.batches()).equals(table)
    assert source.facts()["versions"] == ["versions/v0001"]
    with pytest.raises(SourceError, match="it has no release versions/v0009"):
        open_source(DatasetSource(name="upstream", version="v0009"), Path.cwd(), None, str(tmp_path)).token()
    with pytest.raises(SourceError, match='did you mean "upstream"'):
        open_source(DatasetSource(name="upstrem"), Path.cwd(), None, str(tmp_path)).token()
    pq.write_table(table[1:], folder / "data/train-00000-of-00001.parquet")
    with pytest.raises(SourceError, match="is not what the manifest lists"):
        open_source(DatasetSource(name="upstream"), Path.cwd(), None, str(tmp_path)).fetch(tmp_path)


def test_parts_and_snapshots_of_a_partitioned_release(table: pa.Table, tmp_path: Path) -> None:
    for key, piece in (("a", table[:100]), ("b", table[100:])):
        publish(tmp_path, piece, part=f"partitions/{key}")
    (tmp_path / "upstream/snapshots").mkdir()
    for number, parts in enumerate(({"a": "v0001"}, {"a": "v0001", "b": "v0001"}), 1):
        (tmp_path / f"upstream/snapshots/s000{number}.json").write_text(json.dumps({"partitions": parts}))
    for partition, expected in (("a", table[:100]), ("b", table[100:]), (None, table), ("elsewhere", table)):
        source = open_source(DatasetSource(name="upstream"), Path.cwd(), partition, str(tmp_path))
        source.fetch(tmp_path)
        assert pa.Table.from_batches(chunk.batch for chunk in source.batches()).equals(expected)
    (tmp_path / "upstream/partitions/a/versions/v0001/retracted.json").write_text("{}")
    with pytest.raises(SourceError, match="was retracted"):
        open_source(DatasetSource(name="upstream"), Path.cwd(), "a", str(tmp_path)).token()


def test_passwords_are_in_no_uri() -> None:
    assert redact("postgresql://bob:hunter2@db:5/x?sslmode=on") == "postgresql://bob@db:5/x?sslmode=on"
    assert redact("postgresql://db/x?user=bob&password=hunter2&a=1") == "postgresql://db/x?user=bob&password=…&a=1"
    assert "hunter2" not in redact("postgresql://bob:hunt:hunter2@db/x")
    for uri in ("s3://bucket/x.csv", "s3://bucket/2024-01-01T10:00/a@b.csv", "https://host:8080/a@b.csv"):
        assert redact(uri) == uri
    assert redact("ftp://bob:hun/ter2@host/x.csv") == "ftp://bob@host/x.csv"


NAMES = st.from_regex(r"[A-Za-z0-9._@/%-]{0,9}", fullmatch=True)
PASSWORDS = st.text(min_size=1) | st.from_regex(r"[a-z0-9@:/?#&=%]+", fullmatch=True)


@given(NAMES, PASSWORDS)
def test_whatever_is_in_a_password_it_is_in_no_uri(user: str, password: str) -> None:
    assert redact(f"postgresql://{user}:{password}@host:5432/db?a=b") == f"postgresql://{user}@host:5432/db?a=b"


@given(
    NAMES, PASSWORDS, st.sampled_from(["postgresql://{}:{}@host:5432/db?a=b", "postgres://{}@host/db?a=b&password={}"])
)
def test_a_password_is_found_whole_or_refused(user: str, password: str, form: str) -> None:
    url = form.format(user, password)
    try:
        parts = password_of(url)
    except SpecError:
        assert set("@:/?#&=") & set(user + password)
    else:
        assert "".join(parts) == url
        # "…?password=a&b=c" is by the rules of URLs the password a and another option b; nobody can tell it was not
        assert parts[1] == (password if form.endswith("a=b") else password.partition("&")[0])


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("postgresql://u:pass@host/db", "pass"),
        ("postgresql://u:pa:ss%40@host/db", "pa:ss%40"),
        ("postgresql://u@host:5432/db", ""),
        ("postgresql://u:@/db?host=/tmp/x", ""),
        ("postgresql:///db?sslpassword=pass&a=b", "pass"),
        ("postgresql:///db?passfile=/x", ""),
        ("sqlite:///a:b@c.db", ""),
    ],
)
def test_passwords_in_urls(url: str, password: str) -> None:
    before, found, behind = password_of(url)
    assert (found, before + found + behind) == (password, url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:pa/ss@host/db",
        "postgresql://u:p@ss@host/db",
        "postgresql://u:p?ss@host/db",
        "postgresql://u@corp:pass@host/db",
        "postgresql://u:one@host/db?password=two",
        "postgresql://host/db?password=a&b",
    ],
)
def test_a_password_without_a_clear_end_is_refused(url: str) -> None:
    with pytest.raises(SpecError, match="nobody can tell where the password") as caught:
        open_source(SqlSource(url=url, table="t"), Path.cwd(), None, "")
    assert "ss@" not in str(caught.value)


def test_evidence_and_facts_hold_no_value(table: pa.Table, tmp_path: Path) -> None:
    pq.write_table(table, tmp_path / "x.parquet")
    for field in read_table(tmp_path / "x.parquet").schema:
        assert set(Column.of(field).facts) <= {"distinct", "integer", "decimals", "date_format", "day"}
