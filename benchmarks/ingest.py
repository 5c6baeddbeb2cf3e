"""Speed and memory of ingest (and protect) on a large CSV: `python benchmarks/ingest.py --gb 5`.

The file is made deterministically in a temporary folder; peak RSS is of a process of its own per stage.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BLOCK = 200_000


def write(path: Path, gigabytes: float, seed: int = 0) -> int:
    """A CSV of people's visits, about `gigabytes` long: identifiers, names, numbers, dates, categories, notes."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv as pacsv

    cities = np.array([f"city {i:03d}" for i in range(500)])
    notes = np.array([f"note {i} on the usual matter" for i in range(2_000)])
    rows = 0
    with open(path, "wb") as file:
        while file.tell() < gigabytes * 1e9:
            rng = np.random.default_rng([seed, rows])
            i = np.arange(rows, rows + BLOCK)
            table = pa.table(
                {
                    "visit": i,
                    "patient": np.char.add("P", rng.integers(0, 3_000_000, BLOCK).astype(str)),
                    "email": [f"user{k}@mail{k % 97}.example" for k in rng.integers(0, 3_000_000, BLOCK)],
                    "age": rng.integers(0, 100, BLOCK),
                    "cost": np.round(rng.lognormal(5, 1, BLOCK), 2),
                    "city": cities[rng.integers(0, 500, BLOCK)],
                    "day": pa.array(rng.integers(15_000, 20_000, BLOCK).astype("int32")).cast(pa.date32()),
                    "at": pa.array(rng.integers(1_400_000_000, 1_700_000_000, BLOCK)).cast(pa.timestamp("s")),
                    "zip": [f"{k:05d}" for k in rng.integers(0, 99_999, BLOCK)],
                    "score": rng.normal(size=BLOCK),
                    "smoker": rng.random(BLOCK) < 0.3,
                    "note": notes[rng.integers(0, 2_000, BLOCK)],
                }
            )
            pacsv.write_csv(table, file, pacsv.WriteOptions(include_header=rows == 0, quoting_style="needed"))
            rows += BLOCK
    return rows


def stages(folder: Path) -> dict[str, Callable[[], Any]]:
    from synth_pipeline.records.home import Home
    from synth_pipeline.spec.dataset import DatasetSpec
    from synth_pipeline.stages.ingest import ingest
    from synth_pipeline.stages.run import Run

    def protected() -> Any:
        from synth_pipeline.stages.protect import protect

        return protect(run, run.latest("ingest"))

    spec = DatasetSpec.model_validate(
        {
            "name": "bench",
            "source": {"type": "file", "path": str(folder / "visits.csv")},
            "columns": {"patient": {"roles": ["entity"]}},
        }
    )
    run = Run(spec, Home(folder / "home"), str(folder / "releases"))
    return {"ingest": lambda: ingest(run), "protect": protected, "ingest again": lambda: ingest(run)}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gb", type=float, default=5.0, help="size of the CSV")
    options.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    options.add_argument("--stage", help="run one stage in this process and tell (internal)")
    given = options.parse_args()
    if given.stage:
        begun = time.monotonic()
        result = stages(given.folder)[given.stage]()
        seconds = time.monotonic() - begun
        cpu = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            json.dumps(
                {"seconds": round(seconds, 1), "cpu": round(cpu, 1), "peak_mib": peak >> 10, "rows": result.rows}
            )
        )
        return 0
    with tempfile.TemporaryDirectory(prefix="synth-bench-", dir=given.folder) as name:
        folder = Path(name)
        rows = write(folder / "visits.csv", given.gb)
        size = (folder / "visits.csv").stat().st_size
        print(f"{size / 1e9:.2f} GB, {rows:,} rows")
        spent, failed = 0.0, 0
        for stage in ("ingest", "protect", "ingest again"):
            command = [sys.executable, __file__, "--stage", stage, "--folder", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{stage:<13} failed: {done.stderr.strip().splitlines()[-1]}")
                failed = 1
                continue
            told = json.loads(done.stdout.strip().splitlines()[-1])
            speed = size / 1e6 / max(told["seconds"], 1e-9)
            wall, cpu, peak = told["seconds"], told["cpu"], told["peak_mib"]
            print(f"{stage:<13} {wall:8.1f} s  {cpu:8.1f} cpu-s  {speed:7.1f} MB/s  {peak:5} MiB")
            spent += told["seconds"] if stage != "ingest again" else 0.0
        print(f"together      {spent:8.1f} s                  {size / 1e6 / max(spent, 1e-9):7.1f} MB/s")
        return failed


if __name__ == "__main__":
    sys.exit(main())
