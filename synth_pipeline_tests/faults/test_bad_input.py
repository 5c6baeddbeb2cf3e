"""Bad input: each ends in a clear, typed error or in a documented result, and never in a lost or altered value."""

from __future__ import annotations

import gzip
import itertools
import os
import random
import resource
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synth_pipeline.errors import ContractError, SourceError, SourceUnavailable, SpecError, SynthError
from synth_pipeline.records.home import Home
from synth_pipeline.records.records import Records
from synth_pipeline.records.schema import Column, Meaning
from synth_pipeline.records.sources import read_table
from synth_pipeline.spec.dataset import DatasetSpec
from synth_pipeline.stages.ingest import ingest
from synth_pipeline.stages.run import Run

CANARY = "canary.person@example.org"


class Bench:
    """Ingests bytes as a file of a given name."""

    def __init__(self, folder: Path, home: Home) -> None:
        self.folder, self.home, self._count = folder, home, itertools.count()

    def write(self, content: bytes | str, name: str = "people.csv") -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def __call__(self, content: bytes | str, file: str = "people.csv", **spec: Any) -> Records:
        return self.read(self.write(content, file), **spec)

    def read(self, path: Path | str, **spec: Any) -> Records:
        source = {"type": "file", "path": str(path), **spec.pop("source", {})}
        spec.setdefault("name", f"people_{next(self._count)}")  # else its contract would be compared
        run = Run(DatasetSpec.model_validate({"source": source, **spec}), self.home, "", base=self.folder)
        return Records.open(ingest(run).folder)


@pytest.fixture
def bench(tmp_path: Path, home: Home) -> Bench:
    folder = tmp_path / "in"
    folder.mkdir()
    return Bench(folder, home)


def lines(count: int, cell: str = "{i},{j}", head: str = "a,b") -> str:
    return head + "\n" + "".join(cell.format(i=i, j=i % 7) + "\n" for i in range(count))


def column(records: Records, name: str) -> Column:
    return Column.of(records.schema().field(name))


def values(records: Records, name: str) -> list[Any]:
    return records.table(columns=[name]).column(0).to_pylist()


# -- files that are no table -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "name", "told"),
    [
        (b"", "x.csv", "empty"),
        (b"\n\n  \n", "x.csv", "empty"),
        (b"", "x.parquet", "empty"),
        (b"", "x.jsonl", "empty"),
        (b"", "x.csv.gz", "empty"),
        (gzip.compress(b"", mtime=0), "x.csv.gz", "empty"),
        (b"a,b\n", "x.csv", "only a header"),
        (b"a,b", "x.csv", "only a header"),
        (b"a,b\n1,2\n", "x.csv", "too few rows"),
        (b"\xff\xfea\x00\n\x00\x00\xd8\n\x00", "x.csv", "not UTF-16"),
        (b"a,b\n1,2\n3,\x00\n", "x.csv", "NUL"),
        (b"a\x00,\x00b\x00\n\x00", "x.csv", "NUL"),
        (b"PAR1 but no more", "x.parquet", "damaged or cut short"),
        (b"text", "x.parquet", "damaged or cut short"),
        (b"text", "x.arrow", "damaged or cut short"),
        (gzip.compress(lines(5_000).encode(), mtime=0)[:-40], "x.csv.gz", "cut short"),
        (gzip.compress(random.Random(0).randbytes(90_000), mtime=0)[:100], "x.csv.gz", "cut short"),
        (b"not gzip at all", "x.csv.gz", "damaged"),
        (b"not zstd at all", "x.csv.zst", "damaged"),
        (b"{}\n{}\n", "x.jsonl", "no columns"),
        (b'{"a": 1}\n[1]\n', "x.jsonl", "line 2 is not a JSON object"),
        (b'{"a": 1}\n{"a": \n', "x.jsonl", "line 2 is not JSON"),
        (b'{"a": {"b": 1}}\n', "x.jsonl", "nested"),
        (b'{"a": "\xff"}\n', "x.jsonl", "not UTF-8"),
        (b"hello", "x.docx", "no known ending"),
    ],
)
def test_what_is_no_table_is_refused(bench: Bench, content: bytes, name: str, told: str) -> None:
    with pytest.raises(SourceError, match=told) as caught:
        bench(content, name)
    assert caught.value.where


def test_parquet_cut_short(bench: Bench) -> None:
    path = bench.folder / "x.parquet"
    pq.write_table(pa.table({"a": range(10_000)}), path)
    bench.write(path.read_bytes()[:-100], "x.parquet")
    with pytest.raises(SourceError, match="cut short"):
        bench.read(path)


def test_a_missing_file_names_its_neighbour(bench: Bench) -> None:
    bench.write("a\n1\n", "customers.csv")
    with pytest.raises(SourceError, match=r'did you mean "customers.csv"\?'):
        bench.read(bench.folder / "custmers.csv")
    with pytest.raises(SourceError, match="nor its folder"):
        bench.read("/nowhere/at/all.csv")
    with pytest.raises(SourceError, match="no file matches"):
        bench.read(bench.folder / "*.parquet")


def test_an_empty_folder(bench: Bench) -> None:
    (bench.folder / "empty").mkdir()
    with pytest.raises(SourceError, match="no data files"):
        bench.read(bench.folder / "empty")


def test_no_permission(bench: Bench) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = bench.write(lines(100))
    path.chmod(0)
    with pytest.raises(SourceError, match="no permission"):
        bench.read(path)


def test_nested_values_are_named(bench: Bench) -> None:
    path = bench.folder / "x.parquet"
    pq.write_table(pa.table({"a": [1, 2], "tags": [["x"], ["y"]]}), path)
    with pytest.raises(SourceError, match='"tags" holds nested values'):
        bench.read(path)


def test_a_line_of_two_gigabytes_costs_no_memory(bench: Bench) -> None:
    path = bench.folder / "x.csv.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as out:
        out.write(b"a,b\n1,2\n" * 100_000)
        block = b"x" * (32 << 20)
        for _ in range(64):
            out.write(block)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SourceError, match="longer than 64 MB"):
        bench.read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700 << 10  # KiB


def test_a_header_of_two_gigabytes(bench: Bench) -> None:
    path = bench.folder / "x.csv.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as out:
        for _ in range(64):
            out.write(b"x" * (32 << 20))
    with pytest.raises(SourceError, match="longer than 64 MB"):
        bench.read(path)


def test_an_unclosed_quote_does_not_swallow_the_rest(bench: Bench) -> None:
    rows = [f"{i},text {i}" for i in range(50_000)]
    rows[25_000] = '25000,"oops'
    with pytest.raises(SourceError):
        bench("a,b\n" + "\n".join(rows) + "\n")


# -- encodings and delimiters ------------------------------------------------------------------------------------------


def test_a_byte_order_mark_is_no_part_of_the_first_name(bench: Bench) -> None:
    records = bench(b"\xef\xbb\xbf" + lines(100).encode())
    assert records.schema().names == ["a", "b"]


def test_utf_16_with_its_mark(bench: Bench) -> None:
    records = bench("\ufeff".encode("utf-16-le") + lines(100, "{i},ü{j}").encode("utf-16-le"))
    assert set(values(records, "b")) == {f"ü{j}" for j in range(7)}


def test_other_encodings_are_asked_for_by_place(bench: Bench) -> None:
    text = lines(70_000, "{i},ok").encode() + "9,Zürich\n".encode("latin-1")
    with pytest.raises(SourceError, match=r"byte [\d,]+ \(line 70,002\).*UTF-8") as caught:
        bench(text)
    assert "source.encoding" in str(caught.value)
    assert "rich" not in str(caught.value)
    records = bench(text, source={"encoding": "latin-1"})
    assert "Zürich" in values(records, "b")
    with pytest.raises(SourceError, match='unknown encoding "klingon"'):
        bench(text, source={"encoding": "klingon"})


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_delimiters_are_found(bench: Bench, sign: str) -> None:
    text = lines(200, "{i},x y{j}", "one,two").replace(",", sign)
    assert bench(text).schema().names == ["one", "two"]


def test_a_wrong_delimiter_is_noticed(bench: Bench) -> None:
    with pytest.raises(SourceError, match="there is one column; ',' gives several"):
        bench(lines(200), source={"delimiter": ";"})


def test_decimal_commas_do_not_beat_the_delimiter(bench: Bench) -> None:
    records = bench(lines(200, "{i};{j},5", "a;b"))
    assert records.schema().names == ["a", "b"]


# -- names -------------------------------------------------------------------------------------------------------------


def test_repeated_and_empty_names_are_made_distinct_and_told(bench: Bench) -> None:
    records = bench("a,a,,a_2\n" + "".join(f"{i},{i % 3},{i % 5},{i % 2}\n" for i in range(100)))
    assert records.schema().names == ["a", "a_3", "column_3", "a_2"]
    told = " ".join(records.facts["warnings"])
    assert 'column 2 repeats the name "a"' in told
    assert "column 3 has no name" in told


def test_a_name_of_10_000_characters_is_refused(bench: Bench) -> None:
    with pytest.raises(SourceError, match="column 2 has 10,000 characters") as caught:
        bench(lines(100, head="a," + "n" * 10_000))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "name", ["🦄", "__class__", "{{ 7*7 }}", "'; DROP TABLE x", "<script>", "=cmd|x", "a b", "ünï"]
)
def test_strange_names_stay_what_they_are(bench: Bench, name: str) -> None:
    assert bench(lines(100, head=f"a,{name}")).schema().names == ["a", name]


def test_a_header_of_numbers_is_told(bench: Bench) -> None:
    records = bench(lines(100, head="1,2"))
    assert any("header" in note for note in records.facts["warnings"])


# -- rows --------------------------------------------------------------------------------------------------------------


def test_ragged_rows_are_set_aside_with_their_number(bench: Bench) -> None:
    rows = lines(1_000).splitlines()
    rows[500] = "1"
    rows[700] = f"1,2,{CANARY}"
    records = bench("\n".join(rows) + "\n")
    assert records.rows() == 998
    assert records.facts["rows"]["rejected"] == 2
    assert records.folder is not None
    found = pq.read_table(records.folder / "rejects.parquet").to_pylist()
    assert [(one["row"], one["reason"]) for one in found] == [
        (500, "1 cells instead of 2"),
        (700, "3 cells instead of 2"),
    ]
    assert CANARY not in str(found) + str(records.facts)


def test_too_many_ragged_rows_stop_it(bench: Bench) -> None:
    text = lines(1_000) + "1\n" * 50
    with pytest.raises(SourceError, match=r"50 of 1,050 rows cannot be read.*first is row 1,001"):
        bench(text)
    assert bench(text, source={"max_rejects": 0.1}).rows() == 1_000


def test_one_column_and_missing_lines(bench: Bench) -> None:
    records = bench("only\n" + "5\n\n7\n" * 100)
    assert records.rows() == 300
    assert values(records, "only").count(None) == 100


def test_quoted_newlines_delimiters_and_quotes(bench: Bench) -> None:
    records = bench("a,b\n" + '"x\ny","1,""5"""\n' * 200)
    assert set(values(records, "a")) == {"x\ny"}
    assert set(values(records, "b")) == {'1,"5"'}


def test_null_and_constant_columns_are_told(bench: Bench) -> None:
    records = bench(lines(200, "{i},,same", "a,nothing,constant"))
    assert set(values(records, "nothing")) == {None}
    told = " ".join(records.facts["warnings"])
    assert "nothing: every value is missing" in told
    assert "constant: all present values are the same" in told


def test_a_changed_type_far_into_the_file_is_seen(bench: Bench) -> None:
    text = lines(400_000, "{i},{j}") + "1,2.5\n" + "2,x\n"
    records = bench(text)
    assert column(records, "b").type == pa.string()
    assert {"x", "2.5", "0"} <= set(values(records, "b"))
    assert records.rows() == 400_002


# -- values ------------------------------------------------------------------------------------------------------------


def test_leading_zeros_survive(bench: Bench) -> None:
    records = bench(lines(5_000, "{i},{j}") + "77,007\n")
    assert "007" in values(records, "b")
    assert column(records, "b").type == pa.string()


def test_whole_numbers_beyond_2_to_53_keep_every_digit(bench: Bench) -> None:
    records = bench(lines(100, "90071992547409{i:02d},{j}"))
    assert column(records, "a").type == pa.int64()
    assert 9007199254740993 in values(bench(lines(94, "90071992547409{i:02d},{j}")), "a")
    records = bench(lines(100, "1234567890123456789012{i},{j}"))
    assert column(records, "a").type == pa.string()
    assert "12345678901234567890120" in values(records, "a")


def test_long_whole_numbers_among_decimals_stay_text(bench: Bench) -> None:
    records = bench("a\n" + "1.5\n" * 100 + "9007199254740993\n")
    assert "9007199254740993" in values(records, "a")
    assert any("2^53" in note for note in records.facts["warnings"])


def test_hexadecimal_is_no_number(bench: Bench) -> None:
    assert set(values(bench("a\n" + "0x1F\n12\n" * 50), "a")) == {"0x1F", "12"}


def test_huge_and_infinite_numbers(bench: Bench) -> None:
    records = bench("a,b\n" + "1e308,1\n-1e308,2\ninf,3\n-Infinity,4\nNaN,5\n2.5,6\n" * 20)
    found = values(records, "a")
    assert set(found) == {1e308, -1e308, 2.5, None}
    assert any("40 infinite values count as missing" in note for note in records.facts["warnings"])


def test_infinities_of_typed_files(bench: Bench) -> None:
    path = bench.folder / "x.parquet"
    pq.write_table(pa.table({"a": np.array([1.5, np.nan, np.inf, -np.inf] * 50)}), path)
    assert set(values(bench.read(path), "a")) == {1.5, None}


def test_dates_in_three_formats(bench: Bench) -> None:
    text = "d\n" + "".join(f"2024-03-{i:02d}\n{i:02d}.03.2024\n{i}/03/2024\n" for i in range(1, 29))
    records = bench(text)
    assert column(records, "d").meaning is Meaning.DATETIME
    assert len(set(values(records, "d"))) == 28  # one month: every format was read alike
    assert any("3 formats" in note for note in records.facts["warnings"])


def test_dates_that_contradict_each_other_stay_text(bench: Bench) -> None:
    records = bench("d\n" + "13/02/2024\n02/13/2024\n" * 50)
    assert set(values(records, "d")) == {"13/02/2024", "02/13/2024"}
    assert any("declare `format`" in note for note in records.facts["warnings"])


def test_mixed_formats_in_typed_files_of_one_folder(bench: Bench) -> None:
    (bench.folder / "parts").mkdir()
    pq.write_table(pa.table({"a": [1, 2]}), bench.folder / "parts/1.parquet")
    pq.write_table(pa.table({"a": ["x", "y"]}), bench.folder / "parts/2.parquet")
    with pytest.raises(SourceError, match='"a" is int64 in the files before and string here'):
        bench.read(bench.folder / "parts")
    bench.write(lines(10), "parts/3.csv")
    with pytest.raises(SourceError, match="several formats"):
        bench.read(bench.folder / "parts")


def test_declared_types_reject_what_does_not_fit(bench: Bench) -> None:
    text = lines(1_000) + f"5,{CANARY}\n"
    records = bench(text, columns={"b": {"meaning": "number"}})
    assert records.rows() == 1_000
    assert column(records, "b").type == pa.int64()
    assert records.folder is not None
    assert pq.read_table(records.folder / "rejects.parquet").to_pylist() == [
        {"file": "people.csv", "row": 1_001, "column": "b", "reason": "not readable as int"}
    ]
    with pytest.raises(SourceError, match="cannot be read") as caught:
        bench(text + f"5,{CANARY}\n" * 100, columns={"b": {"meaning": "number"}})
    assert CANARY not in str(caught.value)


# -- the spec's own mistakes -------------------------------------------------------------------------------------------


def test_unknown_columns_are_named(bench: Bench) -> None:
    with pytest.raises(SpecError, match='no column "aa"; did you mean "a"'):
        bench(lines(100, head="a,income"), columns={"aa": {"meaning": "number"}})
    with pytest.raises(SpecError, match='no column "fold"'):
        bench(lines(100), split={"column": "fold", "values": ["x"]})
    with pytest.raises(SpecError, match="no holdout rows"):
        bench(lines(100), split={"column": "b", "values": ["x"]})


def test_drift_is_found_before_anything_is_trained(bench: Bench) -> None:
    bench(lines(200, "{i},{j},x", "a,b,c"), name="same")
    with pytest.raises(ContractError, match='"b" was int64 and is now string; column "c" is gone') as caught:
        bench(lines(200, "{i},n{j}", "a,b"), name="same")
    assert "--force" in str(caught.value)
    grown = bench(lines(200, "{i},{j},x,1", "a,b,c,d"), name="same")
    assert any('new column "d"' in note for note in grown.facts["warnings"])


def test_a_source_written_to_while_it_is_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from synth_pipeline.records.sources.files import Files

    path = bench.write(lines(500))
    reads = Files.batches

    def meanwhile(self: Files) -> Any:
        yield from reads(self)
        with path.open("a") as file:
            file.write("1,2\n")

    monkeypatch.setattr(Files, "batches", meanwhile)
    with pytest.raises(SourceUnavailable, match="changed while it was read"):
        bench.read(path)


def test_two_at_once_do_the_work_once(bench: Bench) -> None:
    path = bench.write(lines(50_000))
    found: list[Records | SynthError] = []
    threads = [threading.Thread(target=lambda: found.append(bench.read(path))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.content_id for one in found if isinstance(one, Records)}) == 1
    assert len(found) == 2


SIGNS = (b",", b"\n", b'"', b"\r\n", b";", b"\t", b"a", b"1", b"007", b"2024-01-02", b"\xef\xbb\xbf", b"\x00")
ODDITIES = (b"\xff\xfe", b"\xc3", "ü🦄".encode(), b"1e400", b"nan", b'{"a": 1}\n', b"PAR1", b"\x1f\x8b", b"x" * 600)
PIECES = st.lists(st.sampled_from(SIGNS) | st.sampled_from(ODDITIES) | st.binary(max_size=6), max_size=40)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    PIECES.map(b"".join),
    st.sampled_from(["x.csv", "x.tsv", "x.jsonl", "x.csv.gz", "x.csv.zst", "x.parquet", "x.arrow"]),
)
def test_no_bytes_are_met_without_words(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    try:
        table = read_table(path)
    except SynthError:
        return
    assert table.num_rows > 0
