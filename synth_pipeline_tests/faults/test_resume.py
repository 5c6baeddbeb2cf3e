"""kill -9 while generating, then the same command again: finished shards are kept, and the bytes are the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from synth_pipeline.progress import Tick, listening
from synth_pipeline.records.home import Home
from synth_pipeline.records.records import Records
from synth_pipeline.stages.generate import generate
from synth_pipeline.stages.run import Result
from synth_pipeline.stages.train import train
from synth_pipeline_tests.stages import made

ROOT = Path(__file__).parents[2]
SHARDS = 8

KILLED = """
import os, signal, sys
from pathlib import Path
from synth_pipeline.progress import listening
from synth_pipeline.records.home import Home
from synth_pipeline.stages.generate import generate
from synth_pipeline_tests.stages import made

home = Home(Path(sys.argv[1]))
run = made.run(home, generation={"rows": int(sys.argv[2]), "shard_rows": int(sys.argv[2]) // 8},
               engine={"workers": int(sys.argv[3])}, generator={"type": sys.argv[4]})
after = int(sys.argv[5])

def kill(tick):
    if tick.stage == "generate" and tick.done >= after:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    with listening(kill):
        generate(run, run.latest("train"), run.latest("protect"))
"""


def prepared(home: Home, generator: str) -> tuple[Result, Result]:
    protected = made.protected(home)
    run = made.run(home, generator={"type": generator})
    home.point("made", "protect", None, protected.to_json())
    return train(run, protected), protected


def killed(home: Home, rows: int, workers: int, generator: str, after: int) -> Path:
    """The work folder that a killed driver has left."""
    script = home.root.parent / "killed.py"
    script.write_text(KILLED)
    arguments = [sys.executable, str(script), str(home.root), str(rows), str(workers), generator, str(after)]
    done = subprocess.run(arguments, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120)
    assert done.returncode == -signal.SIGKILL
    folders = [path for path in home.folder("work", "made", "generate").iterdir() if path.is_dir()]
    assert len(folders) == 1
    assert not (folders[0] / "records.json").exists()
    return folders[0]


def resumed(
    home: Home, model: Result, protected: Result, rows: int, workers: int, generator: str
) -> tuple[Result, int]:
    """The finished result, and how many rows had not to be drawn again."""
    ticks: list[Tick] = []
    generation = {"rows": rows, "shard_rows": rows // SHARDS}
    run = made.run(home, generation=generation, engine={"workers": workers}, generator={"type": generator})
    with listening(ticks.append):
        result = generate(run, model, protected)
    return result, next(tick.done for tick in ticks if tick.total)


def test_in_process(tmp_path: Path) -> None:
    kept_home, clean_home = Home(tmp_path / "kept"), Home(tmp_path / "clean")
    model, protected = prepared(kept_home, "gaussian_copula")
    folder = killed(kept_home, 800, 1, "gaussian_copula", 300)
    parts = {file.name: file.stat().st_mtime_ns for file in (folder / "data").glob("*.parquet")}
    assert len(parts) == 3
    (folder / "data" / ".train-00003.parquet.half").write_bytes(b"PAR1 and no more")
    result, kept = resumed(kept_home, model, protected, 800, 1, "gaussian_copula")
    assert kept == 300
    assert {name: (folder / "data" / name).stat().st_mtime_ns for name in parts} == parts
    assert sorted(file.name for file in (folder / "data").iterdir()) == [
        f"train-{i:05d}.parquet" for i in range(SHARDS)
    ]
    clean, _ = resumed(clean_home, *prepared(clean_home, "gaussian_copula"), 800, 1, "gaussian_copula")
    assert result.content_id == clean.content_id
    assert result.rows == made.rows_of(result).num_rows == 800


def test_a_damaged_shard_is_drawn_again(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    model, protected = prepared(home, "gaussian_copula")
    folder = killed(home, 800, 1, "gaussian_copula", 400)
    data = (folder / "data" / "train-00001.parquet").read_bytes()
    (folder / "data" / "train-00001.parquet").write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    (folder / "shards" / "00002.json").write_text("{")
    (folder / "data" / "train-00003.parquet").unlink()
    result, kept = resumed(home, model, protected, 800, 1, "gaussian_copula")
    assert kept == 100
    assert (folder / "data" / "train-00001.parquet").read_bytes() == data
    assert Records.open(result.folder).rows() == 800


def test_what_is_committed_is_not_touched_again(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    model, protected = prepared(home, "gaussian_copula")
    first, _ = resumed(home, model, protected, 800, 1, "gaussian_copula")
    manifest = (first.folder / "records.json").stat().st_mtime_ns
    run = made.run(home, generation={"rows": 800, "shard_rows": 100})
    assert generate(run, model, protected).reused
    assert (first.folder / "records.json").stat().st_mtime_ns == manifest
    assert json.loads((first.folder / "records.json").read_text())["content_id"] == first.content_id


KILLED_TRAINING = """
import os, signal, sys
from pathlib import Path
from synth_pipeline.records.home import Home
from synth_pipeline.stages.train import train
from synth_pipeline_tests.stages import made

run = made.run(Home(Path(sys.argv[1])), generator={"type": "trees"})
object.__setattr__(run, "report", lambda step, values: os.kill(os.getpid(), signal.SIGKILL))
train(run, run.latest("protect"))
"""


def test_training_starts_afresh_after_a_kill(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    protected = made.protected(home, made.table(4_000))
    home.point("made", "protect", None, protected.to_json())
    arguments = [sys.executable, "-c", KILLED_TRAINING, str(home.root)]
    assert subprocess.run(arguments, cwd=ROOT, timeout=120).returncode == -signal.SIGKILL
    run = made.run(home, generator={"type": "trees"})
    (left,) = (path for path in home.folder("work", "made", "train").iterdir() if path.is_dir())
    assert (left / "history.jsonl").exists()
    assert not (left / "model.json").exists()
    result = train(run, protected)
    assert result.folder == left
    steps = [json.loads(line)["step"] for line in (left / "history.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))


def test_two_at_once_do_the_work_once(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    model, protected = prepared(home, "trees")
    run = made.run(home, generator={"type": "trees"}, generation={"rows": 80_000, "shard_rows": 10_000})
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: generate(run, model, protected), range(2))
    assert first.content_id == second.content_id
    assert {first.reused, second.reused} == {True, False}


FULL_DISK = """
import resource, sys
from pathlib import Path
from synth_pipeline.errors import StorageError
from synth_pipeline.records.home import Home
from synth_pipeline.stages.generate import generate
from synth_pipeline_tests.stages import made

if __name__ == "__main__":
    run = made.run(Home(Path(sys.argv[1])), generator={"type": "trees"}, engine={"workers": int(sys.argv[2])},
                   generation={"rows": 320_000, "shard_rows": 100_000})
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # no file may grow beyond: like a full disk
    try:
        generate(run, run.latest("train"), run.latest("protect"))
    except StorageError as error:
        print(error)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_told_and_leaves_no_half_file(tmp_path: Path, workers: int) -> None:
    home = Home(tmp_path / "home")
    model, protected = prepared(home, "trees")
    script = tmp_path / "full.py"
    script.write_text(FULL_DISK)
    arguments = [sys.executable, str(script), str(home.root), str(workers)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "generate could not write" in done.stdout
    assert "free some space" in done.stdout
    run = made.run(home, generator={"type": "trees"}, generation={"rows": 320_000, "shard_rows": 100_000})
    result = generate(run, model, protected)
    assert result.rows == 320_000
    assert not list(result.folder.rglob(".*"))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_of_a_killed_driver_do_no_harm(tmp_path: Path, workers: int) -> None:
    """Killed with one or two workers, resumed with the other number: the content of an undisturbed run."""
    rows = 320_000
    home, clean_home = Home(tmp_path / "kept"), Home(tmp_path / "clean")
    model, protected = prepared(home, "trees")
    killed(home, rows, workers, "trees", rows // SHARDS)
    result, kept = resumed(home, model, protected, rows, 3 - workers, "trees")
    assert 0 < kept < rows
    clean, nothing = resumed(clean_home, *prepared(clean_home, "trees"), rows, 3 - workers, "trees")
    assert nothing == 0
    assert result.content_id == clean.content_id
