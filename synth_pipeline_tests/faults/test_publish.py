"""What may befall a publication: damage, kill -9 at any step, a full disk, two at once, hostile names. Nothing half."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from synth_pipeline.errors import StorageError, SynthError
from synth_pipeline.publishing.audit import verify, verify_pointers
from synth_pipeline.publishing.load import load
from synth_pipeline.publishing.store import open_store
from synth_pipeline.publishing.versions import Line, snapshots
from synth_pipeline.spec.publication import Export
from synth_pipeline_tests.publishing.made import published, synthetic

STEPS = 60
"""More than a publication takes."""


def publisher(*arguments: str) -> list[int]:
    command = [sys.executable, "-m", "synth_pipeline_tests.faults.publisher", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return [int(number) for number in done.stdout.split()]


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_flipped_bit_in_any_file_is_found_and_named(tmp_path: Path, place: float) -> None:
    store = open_store(tmp_path / "releases")
    done = published(store, synthetic(tmp_path / "s"), export=Export(formats=("parquet", "csv")))
    folder = Path(done.location)
    for name in [*(file.path for file in done.manifest.files), "manifest.json"]:
        path = folder / name
        sound = path.read_bytes()
        data = bytearray(sound)
        data[int(len(data) * place)] ^= 4
        path.write_bytes(data)
        problems = verify(done.line, "v0001").problems
        assert problems
        assert all(problem.startswith(f"{name}: ") for problem in problems)
        with pytest.raises(StorageError, match=re.escape(name)):
            load("visits", store=store.where)
        path.write_bytes(sound)
    assert verify(done.line, "v0001").sound


def test_a_flipped_bit_in_a_pointer_is_found(tmp_path: Path) -> None:
    store = open_store(tmp_path / "releases")
    line = published(store, synthetic(tmp_path / "s"), partition="p").line
    for name, problem in (("partitions/p/refs/latest.json", "refs/latest.json"), ("snapshots/s0001.json", "s0001")):
        path = tmp_path / "releases" / "visits" / name
        sound = path.read_bytes()
        for at in range(0, len(sound), 7):
            data = bytearray(sound)
            data[at] ^= 1
            path.write_bytes(data)
            assert problem in verify_pointers(line)[0]
            with pytest.raises(StorageError):
                load("visits", store=store.where, partition="p" if "refs" in name else None)
        path.write_bytes(sound)
    assert load("visits", store=store.where).rows == 300


def test_damage_does_not_stop_the_next_publication(tmp_path: Path) -> None:
    store = open_store(tmp_path / "releases")
    for key in ("p", "q"):
        line = published(store, synthetic(tmp_path / f"s{key}"), partition=key).line
    base = tmp_path / "releases" / "visits"
    for path in ("partitions/q/versions/v0001/manifest.json", "partitions/q/refs/latest.json", "snapshots/s0002.json"):
        (base / path).write_bytes(b"{" + (base / path).read_bytes()[1:].replace(b"1", b"0"))
    done = published(store, synthetic(tmp_path / "new", n=20, seed=5), partition="q")
    assert (done.manifest.version, done.snapshot) == ("v0002", 3)
    assert load("visits", store=store.where).rows == 320
    assert [problem for problem in verify_pointers(line) if "s0003" in problem or "latest" in problem] == []


def test_a_symlink_does_not_pass_for_a_file(tmp_path: Path) -> None:
    line = published(open_store(tmp_path / "releases"), synthetic(tmp_path / "s")).line
    folder = tmp_path / "releases" / "visits" / "versions" / "v0001"
    (folder / "elsewhere").symlink_to(tmp_path / "s")
    assert verify(line, "v0001").problems == ["elsewhere: not listed in the manifest"]


def test_page_checksums_stop_readers_that_verify_nothing_else(tmp_path: Path) -> None:
    done = published(open_store(tmp_path / "releases"), synthetic(tmp_path / "s", parts=1))
    path = next(Path(done.location).glob("data/*.parquet"))
    import pyarrow.parquet as pq

    sound = path.read_bytes()
    silent = 0
    rows = pq.read_table(path, page_checksum_verification=True)
    group = pq.read_metadata(path).row_group(0)
    pages = max(
        (c.dictionary_page_offset or c.data_page_offset) + c.total_compressed_size
        for c in map(group.column, range(group.num_columns))
    )
    for at in range(8, pages, max(1, pages // 200)):
        data = bytearray(sound)
        data[at] ^= 1
        path.write_bytes(data)
        try:
            silent += not pq.read_table(path, page_checksum_verification=True).equals(rows)
        except (pa.ArrowException, OSError):
            continue
    assert silent == 0


def test_killed_at_any_step_and_run_again(tmp_path: Path) -> None:
    """Before each call that changes the disk: readers see the old version or the new one, whole; a re-run mends all."""
    old, new = synthetic(tmp_path / "old", n=40), synthetic(tmp_path / "new", n=40, seed=1)
    published(open_store(tmp_path / "template"), old)
    stores = tmp_path / "stores"
    for step in range(STEPS):
        shutil.copytree(tmp_path / "template", stores / str(step))
    died, last = publisher("crash", str(stores), str(tmp_path / "new"))
    assert last == 0
    assert 20 < died < STEPS
    seen = set()
    for step in range(died):
        store = open_store(stores / str(step))
        line = Line(store, "visits")
        found = load("visits", store=store.where)
        seen.add(found.version)
        audit = verify(line, found.version)
        assert audit.sound, (step, audit.problems)
        again = published(store, new)
        assert again.manifest.version == "v0002", step
        assert load("visits", store=store.where).version == "v0002"
        assert line.committed() == line.numbered() == ["v0001", "v0002"]
        for version in line.committed():
            assert verify(line, version).sound, (step, verify(line, version).problems)
        assert verify_pointers(line) == []
    assert seen == {"v0001", "v0002"}


def test_every_restart_gets_further(tmp_path: Path) -> None:
    records = synthetic(tmp_path / "s", n=40)
    died, last = publisher("progress", str(tmp_path / "releases"), str(records.folder))
    assert (died, last) == (4, 0)  # the manifest and the pointer, each before and after
    line = Line(open_store(tmp_path / "releases"), "visits")
    assert line.committed() == line.numbered() == ["v0001"]
    assert verify(line, "v0001").sound
    assert verify_pointers(line) == []


@pytest.mark.parametrize("scheme", ["", "local://"])
def test_publishers_at_once_get_a_number_each(tmp_path: Path, scheme: str) -> None:
    """Told apart by flock in a folder, by exclusive creation where fsspec is all there is."""
    folders = [str(synthetic(tmp_path / f"s{seed}", n=60, seed=seed).folder) for seed in range(6)]
    assert publisher("race", f"{scheme}{tmp_path}/releases", *folders) == [0] * 6
    line = Line(open_store(f"{scheme}{tmp_path}/releases"), "visits")
    assert line.committed() == line.numbered() == [f"v{n:04d}" for n in range(1, 7)]
    assert all(verify(line, version).sound for version in line.committed())
    assert len({line.manifest(version).content_id for version in line.committed()}) == 6
    assert line.latest() == "v0006"
    assert verify_pointers(line) == []


@pytest.mark.parametrize("scheme", ["", "local://"])
def test_partitions_at_once_all_reach_the_snapshot(tmp_path: Path, scheme: str) -> None:
    folders = [str(synthetic(tmp_path / f"s{seed}", n=60, seed=seed).folder) for seed in range(6)]
    assert publisher("race-partitions", f"{scheme}{tmp_path}/releases", *folders) == [0] * 6
    store = open_store(f"{scheme}{tmp_path}/releases")
    assert snapshots(store, "visits") == list(range(1, 7))
    assert load("visits", store=store.where).rows == 360


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_old_version_and_nothing_else(tiny_disk: Path, tmp_path: Path) -> None:
    store = open_store(tiny_disk)
    line = published(store, synthetic(tmp_path / "s", n=50)).line
    before = store.files("visits")
    with pytest.raises((OSError, SynthError)):
        published(store, synthetic(tmp_path / "big", n=20_000, seed=1))
    assert store.files("visits") == before
    assert load("visits", store=store.where).version == "v0001"
    assert published(store, synthetic(tmp_path / "small", n=50, seed=2)).manifest.version == "v0002"
    assert verify(line, "v0002").sound


HOSTILE = (
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "{{ 7*7 }}",
    "'; DROP TABLE x; --",
    "a|b\n---\n# c",
    "__class__",
    "[x](javascript:alert(1))",
    "😀" * 20,
    "x" * 10_000,
)


def test_hostile_names_and_values_stay_inert(tmp_path: Path) -> None:
    table = pa.table({name: [*HOSTILE[:7], None] for name in HOSTILE})
    records = synthetic(tmp_path / "s", batch=table.to_batches()[0])
    done = published(
        open_store(tmp_path / "releases"),
        records,
        description="<img src=x onerror=alert(1)> {{ config }}\n---\nlicense: mit",
        export=Export(formats=("parquet", "csv"), escape_formulas=True),
    )
    folder = Path(done.location)
    readme = (folder / "README.md").read_text()
    _, front, body = readme.split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "unknown"
    for sign in ("<script", "<img", "{{", "](javascript", "\n# c", "\n---"):
        assert sign not in body, sign
    note = json.loads((folder / "croissant.json").read_text())
    assert [field["name"] for field in note["recordSet"][0]["field"]] == list(HOSTILE)
    assert load("visits", store=tmp_path / "releases").to_arrow().column_names == list(HOSTILE)
    import pandas as pd

    cells = pd.read_csv(folder / "csv" / "train.csv", keep_default_na=False)
    for cell in (*cells.columns, *cells.to_numpy().ravel()):
        assert not str(cell).startswith(("=", "+", "-", "@")), cell
    assert done.manifest.csv is not None
    assert sum(done.manifest.csv.formula_cells.values()) == 10


def test_names_that_would_leave_the_store_are_refused(tmp_path: Path) -> None:
    for name in ("../x", "a/b", ".hidden", ""):
        with pytest.raises(StorageError):
            published(open_store(tmp_path / "releases"), synthetic(tmp_path / f"s{len(name)}{name[:1] == '.'}"), name)
        shutil.rmtree(tmp_path / f"s{len(name)}{name[:1] == '.'}")
    assert not (tmp_path / "x").exists()
