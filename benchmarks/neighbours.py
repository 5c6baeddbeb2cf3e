"""How fast nearest rows are found: beside the code of sdmetrics on the same rows, and a million rows against a million.

python -m benchmarks.neighbours [--rows 1000000] [--quick]
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from synth_pipeline.evaluation.columns import is_number
from synth_pipeline.evaluation.neighbours import knn, nearest
from synth_pipeline.evaluation.table import TableFeatures
from synth_pipeline.evaluation.threads import cores
from synth_pipeline.records.sources import read_tables

SHARED = Path(os.environ.get("SYNTH_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
PUBLISHED = 2.3
"""Seconds per million pairs of sdmetrics 0.32, measured earlier on two cores."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=SHARED / "audit_ladder")
    options.add_argument("--rows", type=int, default=1_000_000, help="real rows of the large table, and synthetic ones")
    options.add_argument("--queries", type=int, default=20_000)
    options.add_argument("--quick", action="store_true", help="a tenth of the rows and queries")
    asked = options.parse_args()
    less = 10 if asked.quick else 1
    train, holdout, made = read_tables([asked.data / f"adult_{part}.csv.gz" for part in ("trn", "val", "mostly")])
    print(f"{cores()} cores, load {os.getloadavg()[0]:.1f} when it began; wall clock; … per core: of processor time\n")
    print("| search | queries × rows × columns | s | pair-columns/s | … per core | s per million pairs |")
    print("| --- " * 6 + "|")
    pair = _adult(train, holdout, made, asked.queries // less)
    _large(train, holdout, asked.rows // less, asked.queries // less)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"| peak memory so far: {peak:.2f} GB | | | | | |")
    _beside_sdmetrics(train, made, 500 if asked.quick else 1_000, pair)


def _adult(train: pa.Table, holdout: pa.Table, made: pa.Table, queries: int) -> float:
    """Processor seconds that `nearest` takes per pair."""
    features = TableFeatures(train, holdout, made)
    side, drawn = features.points(train), features.points(made.slice(0, queries))
    nearest(drawn.take(np.arange(256)), side)  # libraries are loaded before the clock starts
    for name, search in (("nearest", nearest), ("knn, k = 5", lambda a, b: knn(a, b, 5))):
        taken = _seconds(search, drawn, side)
        _row(name, len(drawn), len(side), train.num_columns, taken)
        if search is nearest:
            pair = taken[1] / len(drawn) / len(side)
    return pair


def _beside_sdmetrics(train: pa.Table, made: pa.Table, queries: int, pair: float) -> None:
    """The same rows in the same run, as many as it can do; `pair`: what a pair costs us on the whole table."""
    import pandas as pd
    from sdmetrics.single_table.privacy.dcr_utils import calculate_dcr

    train, made = train.slice(0, 2 * queries), made.slice(0, queries)
    features = TableFeatures(train, train, made)
    frames: list[pd.DataFrame] = [table.to_pandas() for table in (made, train)]
    kinds = {
        column.name: {"sdtype": "numerical" if is_number(column) else "categorical"} for column in features.columns
    }
    theirs = _seconds(lambda a, b: calculate_dcr(a, b, {"columns": kinds}), *frames)
    drawn, side = features.points(made), features.points(train)
    ours = min(_seconds(nearest, drawn, side) for _ in range(5))
    _row("sdmetrics' DCR", queries, 2 * queries, len(kinds), theirs)
    _row("nearest, same rows", queries, 2 * queries, len(kinds), ours)
    whole = theirs[1] / (2 * queries**2) / pair
    print(f"\nprocessor time of sdmetrics over ours: {theirs[1] / ours[1]:,.0f} on these rows,")
    print(
        f"{whole:,.0f} per pair where ours has the whole table ({PUBLISHED} s per million pairs of sdmetrics elsewhere)"
    )


def _large(train: pa.Table, holdout: pa.Table, rows: int, queries: int) -> None:
    """Adult's rows drawn again with every number shifted a little and every tenth level drawn anew."""
    rng = np.random.default_rng(0)
    pool = pa.concat_tables([train, holdout.cast(train.schema)])
    real, made = _jittered(pool, rows, rng), _jittered(pool, rows, rng)
    features = TableFeatures(real, real.slice(0, 1), made, scale=(real,))
    drawn = features.points(made.take(np.sort(rng.choice(rows, queries, replace=False))))
    side = features.points(real)
    _row(f"nearest, queries drawn from {rows:,}", queries, rows, real.num_columns, _seconds(nearest, drawn, side))
    _row(f"knn, k = 5, queries drawn from {rows:,}", queries, rows, real.num_columns, _seconds(_five, drawn, side))


def _five(queries: Any, side: Any) -> Any:
    return knn(queries, side, 5)


def _jittered(pool: pa.Table, rows: int, rng: np.random.Generator) -> pa.Table:
    out = {}
    drawn = rng.integers(0, pool.num_rows, rows)
    for name in pool.column_names:
        column = pool[name].combine_chunks()
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            values = column.to_numpy(zero_copy_only=False).astype(np.float64)
            noise = rng.normal(0, np.nanstd(values) / 10, rows) * (values[drawn] != 0)
            out[name] = pa.array(np.round(values[drawn] + noise), from_pandas=True)
        else:
            anew = np.where(rng.random(rows) < 0.1, rng.permutation(drawn), drawn)
            out[name] = column.dictionary_encode().take(pa.array(anew))
    return pa.table(out)


def _seconds(search: Callable[..., Any], *sides: Any) -> tuple[float, float]:
    """Wall clock and processor time."""
    begun, used = time.perf_counter(), time.process_time()
    search(*sides)
    return time.perf_counter() - begun, time.process_time() - used


def _row(name: str, queries: int, rows: int, columns: int, taken: tuple[float, float]) -> None:
    pairs = queries * rows
    speeds = [f"{pairs * columns / seconds:.2g}" for seconds in taken]
    cells = name, f"{queries:,} × {rows:,} × {columns}", f"{taken[0]:.3f}", *speeds, f"{taken[0] / pairs * 1e6:.2g}"
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
