"""CSV and TSV as text columns: delimiter, encoding and header found out, bad records set aside, memory bounded."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from synth_pipeline.errors import SourceError
from synth_pipeline.records.sources.base import Ragged, clean_names

_DELIMITERS = ",;\t|"
_SAMPLE = 256 << 10
_BLOCK = 2 << 20
_RECORD_LIMIT = 64 << 20
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class Dialect:
    """How one file is written."""

    delimiter: str
    encoding: str
    names: tuple[str, ...]
    """The header, made usable."""
    notes: tuple[str, ...] = ()


def dialect(path: Path, where: str, delimiter: str | None, encoding: str | None) -> Dialect:
    """Reads the file's beginning.

    Raises:
        SourceError: it is empty, not text, or has no usable header.
    """
    with _unpacked(path, where) as stream:
        head = _read(stream, _SAMPLE, where)
        more = bool(stream.read(1)) if len(head) >= _SAMPLE else False
    if not head.strip():
        raise SourceError("the file is empty", where=where)
    encoding = encoding or next((name for bom, name in _BOMS if head.startswith(bom)), "utf-8")
    try:
        text = codecs.getincrementaldecoder(encoding)("strict").decode(head).lstrip("\ufeff")
    except LookupError:
        raise SourceError(f'unknown encoding "{encoding[:40]}"', where=where, fix="correct `source.encoding`") from None
    except UnicodeDecodeError as error:
        raise _undecodable(path, where, encoding, error) from None
    if "\0" in text:
        raise _nul(where, text.index("\0"))
    if more:
        if "\n" not in text and "\r" not in text:
            raise _long_record(where)
        text = text[: max(text.rfind("\n"), text.rfind("\r")) + 1] or text
    found = delimiter or _sniff(text)
    header = next(csv.reader(io.StringIO(text, newline=""), delimiter=found), [])
    names, notes = clean_names(header, where)
    if delimiter and len(names) == 1 and (other := _sniff(text)) != delimiter and other in header[0]:
        raise SourceError(
            f"read with {delimiter!r} between cells there is one column; {other!r} gives several",
            where=where,
            fix="correct or remove `source.delimiter`",
        )
    if len(names) > 1 and all(_is_number(name) for name in header):
        notes.append("every name in the header is a number: if the file has no header line, add one")
    return Dialect(found, encoding, tuple(names), tuple(notes))


def read(
    path: Path, where: str, how: Dialect, null: tuple[str, ...], ragged: Callable[[Ragged], None]
) -> Iterator[pa.RecordBatch]:
    """All records of the right width as text, missing values null.

    A record that does not fit the block ends Arrow's reader; then the file is opened anew with larger blocks, and the
    rows already handed out are skipped, so that only files with long records pay for them.
    """
    block, done, told = _BLOCK, 0, 0

    def once(record: Ragged) -> None:
        nonlocal told
        if record.row > told:  # else an earlier opening has told of it
            told = record.row
            ragged(record)

    while True:
        try:
            for batch in _pass(path, where, how, null, block, done, once):
                done += batch.num_rows
                yield batch
            return
        except _Straddle:
            if block >= _RECORD_LIMIT:
                raise _long_record(where) from None
            block = min(4 * block, _RECORD_LIMIT)


class _Straddle(Exception):
    """A record is longer than a block."""


def _pass(
    path: Path,
    where: str,
    how: Dialect,
    null: tuple[str, ...],
    block: int,
    skip: int,
    ragged: Callable[[Ragged], None],
) -> Iterator[pa.RecordBatch]:
    width = len(how.names)

    def bad(record: Any) -> str:
        if "\n" in record.text and record.text.count('"') % 2:
            raise _unclosed(where)
        # one column: an empty line is a missing value, not a short record
        ragged(Ragged(where, record.number - 1, f"{record.actual_columns} cells instead of {width}"))
        return "skip"

    text = pa.string()
    with _unpacked(path, where) as raw:
        stream = _Checked(raw, where, nul=how.encoding != "utf-8")
        last = None
        try:
            reader = pacsv.open_csv(
                stream,
                # serial: as fast as threads here (parsing is the bottleneck), and only then are row numbers known
                read_options=pacsv.ReadOptions(
                    use_threads=False,
                    block_size=block,
                    column_names=list(how.names),
                    skip_rows_after_names=0,
                    skip_rows=0,
                    encoding="utf8" if how.encoding == "utf-8" else how.encoding,
                ),
                parse_options=pacsv.ParseOptions(
                    delimiter=how.delimiter,
                    newlines_in_values=True,
                    ignore_empty_lines=width > 1,
                    invalid_row_handler=bad,
                ),
                convert_options=pacsv.ConvertOptions(
                    column_types=dict.fromkeys(how.names, text), strings_can_be_null=True, null_values=list(null)
                ),
            )
            header = True
            for batch in reader:
                if header and batch.num_rows:
                    batch, header = batch.slice(1), False  # names are ours: the header is the first record
                last = batch if batch.num_rows else last
                if skip >= batch.num_rows:
                    skip -= batch.num_rows
                    continue
                if skip:
                    batch, skip = batch.slice(skip), 0
                yield batch
            end = last.column(width - 1)[-1].as_py() if last is not None else None
            if end and "\n" in end and not stream.closes_a_quote:
                raise _unclosed(where)
        except pa.ArrowInvalid as error:
            message = str(error)
            if "straddling object" in message:
                raise _Straddle from None
            if "UTF8" in message:
                raise _undecodable(path, where, how.encoding, None) from None
            if "Empty CSV" in message:
                raise SourceError("the file is empty", where=where) from None
            raise SourceError("this is not well-formed CSV", where=where, fix="check `source.delimiter`") from None
        except UnicodeDecodeError as error:
            raise _undecodable(path, where, how.encoding, error) from None
        except OSError as error:
            raise damaged(where, error) from None


class _Checked(io.RawIOBase):
    """A stream that refuses NUL bytes (they mean a binary file, or UTF-16 without its mark) and knows its end."""

    def __init__(self, raw: pa.NativeFile, where: str, nul: bool) -> None:
        super().__init__()
        self._raw, self._where, self._nul, self._done, self._tail = raw, where, nul, 0, b""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        data = bytes(self._raw.read(size))
        if not self._nul and (place := data.find(b"\0")) >= 0:
            raise _nul(self._where, self._done + place)
        self._done += len(data)
        if data:
            self._tail = (self._tail + data[-8:])[-8:]
        return data

    @property
    def closes_a_quote(self) -> bool:
        """Whether the text ends in a quote and perhaps a line end: else a cell with several lines was left open."""
        return self._tail.replace(b"\0", b"").rstrip(b"\r\n").endswith(b'"')


def _unpacked(path: Path, where: str) -> pa.NativeFile:
    kind = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix.lower())
    try:
        return pa.input_stream(str(path), compression=kind)
    except OSError as error:
        raise damaged(where, error) from None


def _read(stream: pa.NativeFile, size: int, where: str) -> bytes:
    try:
        return bytes(stream.read(size))
    except OSError as error:
        raise damaged(where, error) from None


def damaged(where: str, error: OSError) -> SourceError:
    """A stream that ends early or cannot be unpacked; Arrow's message holds no content, but says little."""
    if isinstance(error, PermissionError):
        return SourceError("no permission to read this file", where=where, fix="change its permissions or owner")
    packed = where.lower().endswith((".gz", ".zst"))
    what = "the compressed file is damaged or cut short" if packed else f"cannot be read: {error.strerror or 'damaged'}"
    return SourceError(what, where=where, fix="fetch or export it again")


def _sniff(text: str) -> str:
    """The delimiter under which the first records agree best; a comma if none does."""
    best = (0.0, 0, ",")
    for sign in _DELIMITERS:
        try:
            widths = [
                len(row)
                for row, _ in zip(csv.reader(io.StringIO(text, newline=""), delimiter=sign), range(200), strict=False)
                if row
            ]
        except csv.Error:
            continue
        if not widths or widths[0] < 2:
            continue
        agree = sum(width == widths[0] for width in widths) / len(widths)
        # agreement first, in coarse steps: a ragged line must not beat the true delimiter; then the wider reading
        best = max(best, (round(agree, 1), widths[0], sign), key=lambda found: found[:2])
    return best[2]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _undecodable(path: Path, where: str, encoding: str, error: UnicodeDecodeError | None) -> SourceError:
    offset, line = _first_undecodable(path, where, encoding)
    place = f"byte {offset:,} (line {line:,})" if offset is not None else "some byte"
    return SourceError(
        f"{place} is not {encoding.upper()}: the file has another encoding, or mixes several",
        where=where,
        fix="set `source.encoding` (e.g. latin-1, cp1252, utf-16), or convert the file to UTF-8",
    )


def _first_undecodable(path: Path, where: str, encoding: str) -> tuple[int | None, int]:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    done, line = 0, 1
    with _unpacked(path, where) as stream:
        while data := _read(stream, 1 << 20, where):
            pending = len(decoder.getstate()[0])
            try:
                line += decoder.decode(data).count("\n")
            except UnicodeDecodeError as error:
                good = error.object[: error.start]
                return done - pending + error.start, line + good.count(b"\n")
            done += len(data)
    return (done, line) if decoder.getstate()[0] else (None, line)


def _nul(where: str, offset: int) -> SourceError:
    return SourceError(
        f"byte {offset:,} is NUL: this is not a text file, or it is UTF-16 without a byte-order mark",
        where=where,
        fix="set `source.encoding: utf-16-le`, or remove the NUL bytes",
    )


def _unclosed(where: str) -> SourceError:
    return SourceError(
        "a quote is opened and not closed before the end of the file",
        where=where,
        kept="nothing: all records behind that quote would have been lost in one cell",
        fix="close it, or double it if it is part of the text",
    )


def _long_record(where: str) -> SourceError:
    return SourceError(
        f"one record is longer than {_RECORD_LIMIT >> 20} MB",
        where=where,
        fix="look for a missing line end or an unclosed quote",
    )
