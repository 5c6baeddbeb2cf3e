"""Tables and queries of PostgreSQL and SQLite, streamed by ADBC into a private copy that can be read again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from synth_pipeline.errors import SourceError, SourceUnavailable, SpecError
from synth_pipeline.records.files import sha256
from synth_pipeline.records.sources import columnar
from synth_pipeline.records.sources.base import Chunk, Ragged, Reading, clean_names, gather, near
from synth_pipeline.spec.source import SqlSource

_KEY = "{partition}"
_POSTGRES = ("postgresql://", "postgres://")


class Sql:
    """One table or query; copied as it is read, since a second query may see other rows."""

    kind = "sql"

    def __init__(self, config: SqlSource, base: Path, partition: str | None, store: str) -> None:
        scheme = config.url.partition("://")[0]
        if scheme not in ("sqlite", "postgresql", "postgres"):
            raise SpecError(
                f'"{scheme[:20]}" is no database that can be read',
                fix="use postgresql://… or sqlite:///…; export others to Parquet",
            )
        self.warnings: list[str] = []
        self.ragged: list[Ragged] = []
        query, table = config.query, config.table
        if _KEY in f"{query}{table}{config.url}" and partition is None:
            raise SpecError("the source names `{partition}`, and no partition was asked for", fix="--partition KEY")
        what = f"table={table}" if table else f"query={hashlib.sha256((query or '').encode()).hexdigest()[:12]}"
        key = partition or ""
        url = config.url.replace(_KEY, key)
        self._table = table.replace(_KEY, key) if table else None
        # the query is read as a part of others, which a semicolon would end
        self._query = query.replace(_KEY, key.replace("'", "''")).rstrip("; \t\r\n") if query else None
        if scheme == "sqlite":
            path = _sqlite_path(base, url)
            self._database: _Sqlite | _Postgres = _Sqlite(path)
            self.uri = f"sqlite:///{_sqlite_path(base, config.url)}#{what}"
            self._where = f"sqlite:///{path}#{what}"
        else:
            password_of(url)
            self._database = _Postgres(url)
            self.uri = self._where = f"{redact(config.url)}#{what}"
        self._copy: Path | None = None
        self._readings: dict[str, Reading] = {}

    def token(self) -> Any:
        return self._database.token(self._where)

    def fetch(self, scratch: Path) -> None:
        self._copy = scratch / "rows.parquet"
        with self._database.connected(self._where) as connection:
            query = self._query or f"SELECT * FROM {self._named(connection)}"  # noqa: S608 - quoted
            try:
                self._stream(connection, query, self._copy)
            except connection.Error as error:
                raise self._refused(error) from None

    def content_id(self) -> str:
        assert self._copy is not None
        return sha256(self._copy)

    def facts(self) -> dict[str, Any]:
        return {"files": [], "bytes": self._copy.stat().st_size if self._copy else 0}

    def schema(self) -> pa.Schema:
        assert self._copy is not None
        return pq.read_schema(self._copy).remove_metadata()

    def reading(self, column: str) -> Reading:
        return self._readings[column]

    def batches(self) -> Iterator[Chunk]:
        assert self._copy is not None
        start = 0
        for batch in gather(columnar.read(self._copy, self._where, lambda batch: batch)):
            yield Chunk(self._table or "query", start, batch)
            start += batch.num_rows

    def _stream(self, connection: Any, query: str, target: Path) -> None:
        with closing(connection.cursor()) as cursor:
            skip, self._readings = self._database.execute(cursor, query, self._where)
            reader = cursor.fetch_record_batch()
            names, notes = clean_names(reader.schema.names, self._where)
            self.warnings = notes
            kinds = [
                columnar.plain_type(f.type, name, self._where) for name, f in zip(names, reader.schema, strict=True)
            ]
            readings = dict(zip(names, self._readings.values(), strict=True)) if self._readings else {}
            self._readings = readings or {
                name: Reading.ANY if _undecided(f.type) else Reading.TYPED
                for name, f in zip(names, reader.schema, strict=True)
            }
            schema = pa.schema(list(zip(names, kinds, strict=True)))
            with pq.ParquetWriter(target, schema, compression="zstd", compression_level=1) as writer:
                for batch in gather(self._rows(reader, skip)):
                    arrays = [columnar.plain(a, kind) for a, kind in zip(batch.columns, kinds, strict=True)]
                    writer.write_batch(pa.record_batch(arrays, schema))

    def _rows(self, reader: Any, skip: int) -> Iterator[pa.RecordBatch]:
        batches = iter(reader)
        while True:
            try:
                batch = next(batches, None)
            except (OSError, pa.ArrowException) as error:  # its text may quote a value
                lost = "ERROR:" not in str(error) and "SQLite" not in str(error)
                kind = SourceUnavailable if lost else SourceError
                told = "the connection was lost" if lost else "the database failed on some row of the query"
                raise kind(told, where=self._where, fix="run again" if lost else "try the query by hand") from None
            if batch is None:
                return
            yield batch.slice(skip)
            skip = max(0, skip - batch.num_rows)

    def _named(self, connection: Any) -> str:
        assert self._table is not None
        known = self._database.tables(connection)
        if self._table in known:
            return known[self._table]
        fix = near(self._table, known) or (f"tables: {', '.join(sorted(known)[:20])}" if known else "it has no tables")
        raise SourceError(f'there is no table "{self._table}"', where=self._where, fix=fix)

    def _refused(self, error: Exception) -> SourceError:
        """Only messages about names and syntax are repeated: others may quote values."""
        state = getattr(error, "sqlstate", None) or ""
        told = str(error)
        if "locked" in told or state[:2] in ("08", "40", "53", "55", "57"):
            return SourceUnavailable("the database is busy or went away", where=self._where, fix="run again")
        if "no such" in told or "syntax error" in told or state.startswith("42"):
            line = re.sub(r"^.*?(ERROR:|\[SQLite\] Failed to prepare query:)\s*", "", told.splitlines()[0])
            return SourceError(f"the query was refused: {line[:200]}", where=self._where, fix="correct `source.query`")
        if state == "25006" or "readonly" in told:
            return SourceError("the query would write: only SELECT is allowed", where=self._where)
        return SourceError(
            f"the query failed ({state or type(error).__name__})", where=self._where, fix="try it by hand"
        )


class _Sqlite:
    """SQLite: every value has a type of its own, so columns are typed by what they hold, asked in SQL."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def token(self, where: str) -> Any:
        try:
            stats = [self._path.stat()]
        except FileNotFoundError:
            siblings = [p.name for p in self._path.parent.iterdir()] if self._path.parent.is_dir() else []
            raise SourceError("there is no such database", where=where, fix=near(self._path.name, siblings)) from None
        except PermissionError:
            raise SourceError("no permission to read this database", where=where) from None
        with suppress(FileNotFoundError):
            stats.append(Path(f"{self._path}-wal").stat())
        return [[s.st_size, s.st_mtime_ns, s.st_ino] for s in stats]

    def connected(self, where: str) -> Any:
        from adbc_driver_sqlite import dbapi

        self.token(where)
        try:
            return dbapi.connect(f"file:{quote(str(self._path))}?mode=ro")
        except dbapi.Error:
            raise SourceError("this is not a readable SQLite database", where=where) from None

    def tables(self, connection: Any) -> dict[str, str]:
        with closing(connection.cursor()) as cursor:
            try:
                cursor.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
            except connection.Error:
                raise SourceError("this is not a readable SQLite database", where=str(self._path)) from None
            return {name: _quoted(name) for (name,) in cursor.fetchall() if not name.startswith("sqlite_")}

    def execute(self, cursor: Any, query: str, where: str) -> tuple[int, dict[str, Reading]]:
        cursor.execute(f"SELECT * FROM ({query}) LIMIT 0")  # noqa: S608 - the user's own query, on a read-only handle
        names = cursor.fetch_record_batch().schema.names
        kinds = ", ".join(f"group_concat(DISTINCT typeof({_quoted(name)}))" for name in names)
        cursor.execute(f"SELECT {kinds} FROM ({query})")  # noqa: S608
        found = cursor.fetchall()
        firsts, selected, readings = [], [], {}
        for name, held in zip(names, found[0] if found else [None] * len(names), strict=True):
            first, expression, readings[name] = _sqlite_column(name, set((held or "").split(",")) - {"", "null"}, where)
            firsts.append(f"{first} AS {_quoted(name)}")
            selected.append(expression)
        # ADBC types a column by its first values: a row of our own says what they are, and is skipped
        rows = f"SELECT {', '.join(firsts)} UNION ALL SELECT {', '.join(selected)} FROM ({query})"  # noqa: S608
        cursor.execute(rows)
        return 1, readings


def _sqlite_path(base: Path, url: str) -> Path:
    return Path(base, url.removeprefix("sqlite:///")).resolve()


def _sqlite_column(name: str, held: set[str], where: str) -> tuple[str, str, Reading]:
    column = _quoted(name)
    if "blob" in held:
        raise SourceError(f'column "{name}" holds blobs', where=where, fix="leave it out of the query")
    if held == {"integer"}:
        return "0", column, Reading.TYPED
    if held in ({"real"}, {"real", "integer"}):
        return "0.0", f"CAST({column} AS REAL)", Reading.TYPED
    if held <= {"text"}:
        return "''", column, Reading.DATES  # SQLite has no type for dates
    exact = f"CASE typeof({column}) WHEN 'real' THEN printf('%!.17g', {column}) ELSE CAST({column} AS TEXT) END"
    return "''", exact, Reading.ANY


class _Postgres:
    """PostgreSQL: typed; what Arrow cannot hold is asked for as text."""

    def __init__(self, url: str) -> None:
        self._url = url

    def token(self, where: str) -> Any:
        return None

    def connected(self, where: str) -> Any:
        from adbc_driver_postgresql import dbapi

        try:
            connection = dbapi.connect(self._url)
        except dbapi.Error as error:
            raise _unconnected(str(error), where) from None
        with closing(connection.cursor()) as cursor:
            cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
            cursor.execute("SET synchronize_seqscans = off")  # else a scan may start in the middle
            connection.commit()
        return connection

    def tables(self, connection: Any) -> dict[str, str]:
        with closing(connection.cursor()) as cursor:
            cursor.execute(
                "SELECT table_schema::text, table_name::text, "
                "table_schema::text = ANY (current_schemas(false)::text[]) "
                "FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
            )
            found: dict[str, str] = {}
            for schema, name, plain in cursor.fetchall():
                found[f"{schema}.{name}"] = f"{_quoted(schema)}.{_quoted(name)}"
                if plain:
                    found.setdefault(name, found[f"{schema}.{name}"])
            return found

    def execute(self, cursor: Any, query: str, where: str) -> tuple[int, dict[str, Reading]]:
        cursor.execute(f"SELECT * FROM ({query}) AS rows LIMIT 0")  # noqa: S608 - in a read-only transaction
        schema = cursor.fetch_record_batch().schema
        odd = [_odd(field.type) for field in schema]
        if any(odd):
            columns = [f"{_quoted(f.name)}::text" if o else _quoted(f.name) for f, o in zip(schema, odd, strict=True)]
            query = f"SELECT {', '.join(columns)} FROM ({query}) AS rows"  # noqa: S608
        cursor.execute(query)
        return 0, {}


def redact(url: str) -> str:
    """`url` without its password and without query values that may be secrets.

    People forget to escape a password, so that a database's ends at the last @, whatever it holds.
    """
    start = r"://[^:]*" if url.startswith(_POSTGRES) else r"://[^:/]*(?!:\d{1,5}/)"  # a port is no password
    url = re.sub(rf"({start}):.*@", r"\1@", url, count=1, flags=re.DOTALL)
    return re.sub(r"([?&][^=&]*(?:pass|secret|token|key|sig)[^=&]*=)[^&]*", r"\1…", url, flags=re.IGNORECASE)


def password_of(url: str) -> tuple[str, str, str]:
    """What stands before the password of a database's URL, the password as it is written, and what stands behind it.

    Raises:
        SpecError: nobody can tell where it ends.
    """
    if not url.startswith(_POSTGRES):
        return url, "", ""
    start = url.find("://") + 3
    end = url.rfind("@")
    user, colon, _ = url[start : max(start, end)].partition(":")
    spans = [(start + len(user) + 1, end)] if colon else []
    clear = not colon or not set("@/?#") & set(url[start:end])
    options = url.partition("?")[2]
    at = len(url) - len(options)
    for option in options.split("&") if options else ():
        name, equals, _ = option.partition("=")
        clear &= bool(name and equals)
        if name in ("password", "sslpassword"):
            spans.append((at + len(name) + 1, at + len(option)))
        at += len(option) + 1
    spans = [span for span in spans if span[0] < span[1]]
    if not clear or len(spans) > 1:
        raise SpecError(
            "nobody can tell where the password in the database's URL begins and ends",
            fix="write @ : / ? # & = in names and passwords as %40 %3A %2F %3F %23 %26 %3D, or give the password by "
            "PGPASSWORD or ~/.pgpass",
        )
    first, last = spans[0] if spans else (len(url), len(url))
    return url[:first], url[first:last], url[last:]


def _unconnected(told: str, where: str) -> SourceError:
    """The driver's own text is not repeated: it may quote the whole connection string."""
    try:
        host = urlsplit(where).hostname or "the local socket"
    except ValueError:  # a bracket out of place
        host = "no such address"
    if "password" in told or "role" in told:
        return SourceError(
            "the database refused this user or password",
            where=where,
            fix="correct them; give the password by PGPASSWORD, ~/.pgpass or `{{ env('NAME') }}`",
        )
    if "database" in told and "does not exist" in told:
        return SourceError("there is no such database on the server", where=where)
    return SourceUnavailable(f"the database server does not answer ({host})", where=where, fix="is it running?")


def _odd(arrow: pa.DataType) -> bool:
    """PostgreSQL types that reach Arrow as raw bytes or intervals: inet, enums, ranges …"""
    opaque = isinstance(arrow, pa.BaseExtensionType) and pa.types.is_binary(arrow.storage_type)
    return opaque or pa.types.is_interval(arrow)


def _undecided(arrow: pa.DataType) -> bool:
    return columnar.undecided(arrow) or getattr(arrow, "type_name", "") == "numeric"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
