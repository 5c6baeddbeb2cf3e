"""Ten million rows from the Adult model to Parquet: rows a second, and peak memory of all processes together."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq

from synth_pipeline.records.home import Home
from synth_pipeline.records.records import RecordsWriter, Unit
from synth_pipeline.records.schema import Column, Meaning, Role, columns, schema_of
from synth_pipeline.spec.dataset import DatasetSpec
from synth_pipeline.stages.generate import generate
from synth_pipeline.stages.run import Result, Run
from synth_pipeline.stages.train import train

DATA = Path(os.environ.get("SYNTH_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")) / "tabular" / "adult"
RATE, MEMORY = 250_000, 1.5 * 2**30


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=10_000_000)
    options.add_argument("--workers", type=int)
    asked = options.parse_args()
    if not DATA.is_dir():
        print("the Adult data set is not here")
        return 0
    with tempfile.TemporaryDirectory() as place:
        home = Home(Path(place) / "home")
        protected = adult(home)
        spec = DatasetSpec.model_validate(
            {
                "name": "adult",
                "source": {"type": "file", "path": str(DATA / "train.parquet")},
                "generation": {"rows": asked.rows},
                "engine": {"workers": asked.workers},
            }
        )
        run = Run(spec=spec, home=home, store=place)
        model = train(run, protected)
        print(f"train     {model.seconds:8.2f} s  {model.metrics}")
        with Memory() as memory:
            result = generate(run, model, protected)
        size = sum(file.stat().st_size for file in result.folder.rglob("*.parquet"))
    rate = result.rows / result.seconds
    print(f"generate  {result.seconds:8.2f} s  {result.rows:,} rows, {size / 2**20:,.0f} MiB of Parquet")
    print(f"rate      {rate:8,.0f} rows/s   (reach {RATE:,})")
    print(f"peak RSS  {memory.peak / 2**20:8,.0f} MiB  (reach {MEMORY / 2**20:,.0f}; driver and workers together)")
    return 0 if rate >= RATE and memory.peak <= MEMORY else 1


def adult(home: Home) -> Result:
    """Half of Adult as protect would leave it: nothing in it is personal, so only meanings are noted."""
    table = pq.read_table(DATA / "train.parquet")
    notes = [
        column.having(meaning=Meaning.CATEGORY) if column.meaning is Meaning.TEXT else column
        for column in columns(table.schema)
    ]
    notes[-1] = notes[-1].having(roles=frozenset({Role.TARGET}))
    shape = schema_of([Column(c.name, c.type, c.meaning, c.roles) for c in notes])
    folder = home.folder("work", "adult", "protect") / "plan"
    folder.mkdir()
    half = table.num_rows // 2
    writer = RecordsWriter(folder, {"data": shape})
    for split, rows in (("train", table.slice(0, half)), ("holdout", table.slice(half))):
        for batch in rows.cast(shape).to_batches():
            writer.write("data", split, batch)
    records = writer.commit(Unit(), {"root": "adult"})
    return Result("protect", "plan", records.content_id, folder, half)


class Memory:
    """Samples the resident memory of this process and all its children; shared pages count once per process."""

    def __enter__(self) -> Memory:
        self.peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.peak = max(self.peak, sum(map(_resident, [os.getpid(), *_children(os.getpid())])))


def _children(process: int) -> list[int]:
    try:
        found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [child for pid in map(int, found) for child in (pid, *_children(pid))]


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


if __name__ == "__main__":
    begun = time.monotonic()
    code = main()
    print(f"in all    {time.monotonic() - begun:8.2f} s")
    sys.exit(code)
