"""What must outlive every run: source roots, which nouns derive from them, scored attempts and releases (SQLite)."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from synth_pipeline.errors import StorageError

_TABLES = """
CREATE TABLE IF NOT EXISTS root (id TEXT PRIMARY KEY, uri TEXT NOT NULL, first_seen REAL NOT NULL);
CREATE TABLE IF NOT EXISTS seen (root TEXT NOT NULL, content_id TEXT NOT NULL, PRIMARY KEY (root, content_id));
CREATE TABLE IF NOT EXISTS noun (
  root TEXT NOT NULL, dataset TEXT NOT NULL, stage TEXT NOT NULL, folder TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS attempt (
  root TEXT NOT NULL, dataset TEXT NOT NULL, partition TEXT NOT NULL, plan TEXT NOT NULL, content_id TEXT NOT NULL,
  at REAL NOT NULL, PRIMARY KEY (root, partition, plan, content_id));
CREATE TABLE IF NOT EXISTS release (
  root TEXT NOT NULL, dataset TEXT NOT NULL, partition TEXT NOT NULL, version TEXT NOT NULL, content_id TEXT NOT NULL,
  path TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (dataset, partition, version, path));
"""


@dataclass(frozen=True)
class Release:
    """One published version that derives from a source root."""

    dataset: str
    partition: str
    version: str
    content_id: str
    path: str


class Ledger:
    """One SQLite file in SYNTH_HOME; every method is one transaction."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def root(self, uri: str, content_id: str) -> str:
        """The root id of a source: its own if its URI is known, else that of any source with these very bytes.

        So a renamed or copied file keeps its keys, its attempts and its history.
        """
        with self._transaction() as db:
            row = db.execute("SELECT id FROM root WHERE uri = ?", (uri,)).fetchone()
            row = row or db.execute("SELECT root FROM seen WHERE content_id = ?", (content_id,)).fetchone()
            if row:
                found = row[0]
            else:
                found = hashlib.sha256(uri.encode()).hexdigest()[:24]
                db.execute("INSERT INTO root VALUES (?, ?, ?)", (found, uri, time.time()))
            db.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (found, content_id))
        return str(found)

    def derive(self, root: str, dataset: str, stage: str, folder: Path) -> None:
        """Notes that a folder holds something that derives from a root: what `forget` will wipe."""
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO noun VALUES (?, ?, ?, ?)", (root, dataset, stage, str(folder)))

    def derived(self, root: str) -> list[tuple[str, str, Path]]:
        """(dataset, stage, folder) of all that derives from a root."""
        with self._transaction() as db:
            rows = db.execute("SELECT dataset, stage, folder FROM noun WHERE root = ?", (root,)).fetchall()
        return [(dataset, stage, Path(folder)) for dataset, stage, folder in rows]

    def find_roots(self, text: str) -> list[tuple[str, str]]:
        """(id, uri) of the roots whose id or URI is `text`, or whose URI ends in it as a path."""
        with self._transaction() as db:
            rows = db.execute("SELECT id, uri FROM root").fetchall()
        return [(i, uri) for i, uri in rows if text in (i, uri) or uri.endswith("/" + text.lstrip("/"))]

    def attempt(self, root: str, dataset: str, partition: str | None, plan: str, content_id: str) -> int:
        """Records what was scored; how many distinct ones this root, partition and `plan` have had.

        `plan`: the kind of generator, and nothing that is easily varied: each variation would start a count of its own.
        """
        key = (root, partition or "", plan)
        with self._transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO attempt VALUES (?, ?, ?, ?, ?, ?)",
                (root, dataset, partition or "", plan, content_id, time.time()),
            )
            query = "SELECT count(*) FROM attempt WHERE root = ? AND partition = ? AND plan = ?"
            return int(db.execute(query, key).fetchone()[0])

    def release(self, root: str, dataset: str, partition: str | None, version: str, content_id: str, path: str) -> None:
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO release VALUES (?, ?, ?, ?, ?, ?, ?)",
                (root, dataset, partition or "", version, content_id, path, time.time()),
            )

    def releases(self, root: str) -> list[Release]:
        with self._transaction() as db:
            query = "SELECT dataset, partition, version, content_id, path FROM release WHERE root = ? ORDER BY at"
            return [Release(*row) for row in db.execute(query, (root,))]

    def forget(self, root: str) -> None:
        """Drops what leads to the source; attempts stay, so that forgetting is no way to reset their count."""
        with self._transaction() as db:
            db.execute("DELETE FROM noun WHERE root = ?", (root,))
            db.execute("DELETE FROM seen WHERE root = ?", (root,))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as db:
                db.executescript(_TABLES)
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                    db.execute("COMMIT")
                except BaseException:
                    db.execute("ROLLBACK")
                    raise
        except sqlite3.Error as error:
            raise StorageError(f"the ledger cannot be used: {error}", where=str(self.path)) from error
