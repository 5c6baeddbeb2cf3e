"""The ledger: a source keeps its root under new names, attempts count distinct contents, and outlive forgetting."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from synth_pipeline.records.ledger import Ledger


def test_same_bytes_under_another_name_keep_the_root(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    root = ledger.root("file:///a.csv", "c1")
    assert ledger.root("file:///a.csv", "c2") == root
    assert ledger.root("file:///copy-of-a.csv", "c2") == root
    assert ledger.root("file:///b.csv", "c3") != root


def test_attempts_count_distinct_contents(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    seen = [ledger.attempt("r", "adult", None, "plan", content) for content in ("a", "a", "b", "c", "b")]
    assert seen == [1, 1, 2, 3, 3]
    assert ledger.attempt("r", "adult", "2026-10", "plan", "a") == 1
    ledger.forget("r")
    assert ledger.attempt("r", "adult", None, "plan", "d") == 4


def test_many_writers_at_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda k: ledger.attempt("r", "d", None, "p", f"c{k}"), range(40)))
    assert sorted(counts) == list(range(1, 41))
