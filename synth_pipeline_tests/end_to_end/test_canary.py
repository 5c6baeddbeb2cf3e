"""A planted e-mail address and card number are nowhere outside the source and the private ingested records."""

from __future__ import annotations

import gzip
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from synth_pipeline_tests.end_to_end.people import people
from synth_pipeline_tests.end_to_end.test_cli import synth

pytestmark = pytest.mark.slow

MAIL, CARD = "canary.person@private-mail.de", 4539578763621486
NEEDLES = (
    MAIL.encode(),
    b"canary.person",
    str(CARD).encode(),
    b"4539 5787 6362 1486",
    struct.pack("<q", CARD),
    struct.pack("<d", float(CARD)),
)


def planted() -> pd.DataFrame:
    """One canary, and in categories more than any k, in each kind of column."""
    frame = people()
    frame["remark"] = [f"called on day {row} about the bill and was very friendly" for row in range(len(frame))]
    frame["visits"] = [row % 30 for row in range(len(frame))]
    frame["plan"] = frame["plan"].astype(object)
    frame["joined"] = frame["joined"].astype(object)
    for column in ("customer_id", "name", "email", "plan", "remark", "joined"):
        frame.loc[frame.index[101], column] = MAIL
        frame.loc[frame.index[202], column] = str(CARD)
    frame.loc[frame.index[303], "remark"] = f"please write to {MAIL} or charge 4539 5787 6362 1486"
    frame.loc[frame.index[404], "plan"] = f"family ({MAIL})"
    frame.loc[frame.index[500:520], "plan"] = MAIL
    frame.loc[frame.index[520:540], "plan"] = str(CARD)
    for column in ("visits", "age", "income", "spent", "score"):
        frame.loc[frame.index[606], column] = CARD
    return frame


def contents(file: Path) -> Iterator[bytes]:
    """A file's bytes, and what is packed inside them."""
    data = file.read_bytes()
    yield data
    if file.suffix == ".parquet":
        for column in pq.read_table(file).itercolumns():
            for chunk in column.chunks:
                yield from (bytes(buffer) for buffer in chunk.buffers() if buffer is not None)
    elif zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    elif data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)


def test_canaries_stay_with_the_source(tmp_path: Path) -> None:
    source = tmp_path / "in" / "people.csv"
    source.parent.mkdir()
    planted().to_csv(source, index=False)
    code, note, told = synth("run", str(source), "--json", cwd=tmp_path)
    assert code in (0, 3), told
    assert not any(needle.decode("latin-1") in told + str(note) for needle in NEEDLES[:4])
    files = [
        file
        for file in tmp_path.rglob("*")
        if file.is_file() and file != source and not {"ingest", "keys"} & set(file.relative_to(tmp_path).parts)
    ]
    assert {"protect", "train", "generate", "validate"} <= {part for file in files for part in file.parts}
    leaks = {
        str(f.relative_to(tmp_path)) for f in files for data in contents(f) for needle in NEEDLES if needle in data
    }
    assert not leaks


def test_the_search_would_find_them(tmp_path: Path) -> None:
    """The canaries are where they may be: without this, the test above could pass for want of looking."""
    file = tmp_path / "x.parquet"
    planted().astype(str).to_parquet(file)
    assert sum(needle in data for data in contents(file) for needle in NEEDLES[:3]) >= 3
