"""The one way to write Parquet: zstd-3, page index and checksums, bounded row groups, hashed and fsynced as written."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_ROWS = 131_072
ROW_GROUP_BYTES = 64 << 20


class HashingFile(io.RawIOBase):
    """A local file that knows the sha256 of what was written to it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = open(path, "wb", buffering=1 << 20)  # noqa: SIM115 - closed by close()
        self._hash = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data)
        if self._file.closed:  # abandoned: the Parquet writer still wants to leave its footer
            return view.nbytes
        self._file.write(view)
        self._hash.update(view)
        self.size += view.nbytes
        return view.nbytes

    def close(self) -> None:
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        super().close()

    def abandon(self) -> None:
        self._file.close()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def writer_options(schema: pa.Schema) -> dict[str, Any]:
    """Options that make bytes a pure function of the rows and pyarrow's version."""
    floats = [field.name for field in schema if pa.types.is_floating(field.type)]
    others = [field.name for field in schema if not pa.types.is_floating(field.type)]
    return {
        "compression": "zstd",
        "compression_level": 3,
        "write_page_index": True,
        "write_page_checksum": True,
        "use_dictionary": others or False,
        "use_byte_stream_split": floats or False,
    }


class PartWriter:
    """Gathers batches into row groups of at most 131,072 rows and 64 MiB, whatever the batches' sizes."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.rows = 0
        self.arrow_bytes = 0
        self.schema = schema
        self._file = HashingFile(path)
        self._writer = pq.ParquetWriter(pa.PythonFile(self._file, mode="w"), schema, **writer_options(schema))
        self._held: list[pa.RecordBatch] = []
        self._held_rows = self._held_bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        batch = batch.cast(self.schema) if batch.schema != self.schema else batch
        while batch.num_rows:
            width = max(1, batch.nbytes // batch.num_rows)
            room = max(1, min(ROW_GROUP_ROWS - self._held_rows, (ROW_GROUP_BYTES - self._held_bytes) // width))
            piece, batch = batch.slice(0, room), batch.slice(room)
            self._held.append(piece)
            self._held_rows += piece.num_rows
            self._held_bytes += piece.nbytes
            self.rows += piece.num_rows
            self.arrow_bytes += piece.nbytes
            if self._held_rows >= ROW_GROUP_ROWS or self._held_bytes >= ROW_GROUP_BYTES:
                self._flush()

    def close(self) -> tuple[int, str]:
        """Bytes and sha256 of the finished, fsynced file."""
        self._flush()
        self._writer.close()
        self._file.close()
        return self._file.size, self._file.sha256

    def abandon(self) -> None:
        self._file.abandon()

    def _flush(self) -> None:
        if self._held:
            table = pa.Table.from_batches(self._held, self.schema)
            self._writer.write_table(table, row_group_size=max(1, table.num_rows))
            self._held, self._held_rows, self._held_bytes = [], 0, 0
