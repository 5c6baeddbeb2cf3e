"""Rows that could not be read: where they stood and why, never what they held."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from synth_pipeline.errors import SourceError
from synth_pipeline.records.sources.base import Ragged

NAME = "rejects.parquet"
_SCHEMA = pa.schema([("file", pa.string()), ("row", pa.int64()), ("column", pa.string()), ("reason", pa.string())])
_KEPT = 100_000
"""Entries that are written; the rest is counted."""


class Rejects:
    """Collects rejected rows of one reading of a source."""

    def __init__(self) -> None:
        self.rows = 0
        self._cells: list[tuple[str, int, str, str]] = []
        self.by_reason: dict[str, int] = {}

    def add(self, file: str, places: np.ndarray, columns: Sequence[str], reasons: Sequence[str]) -> None:
        """Readable rows (0-based places in their file) that a column's declared type refuses."""
        self.rows += len(places)
        for place, column, reason in zip(places.tolist(), columns, reasons, strict=True):
            key = f"{column}: {reason}"
            self.by_reason[key] = self.by_reason.get(key, 0) + 1
            if len(self._cells) < _KEPT:
                self._cells.append((file, place, column, reason))

    def finish(self, ragged: Sequence[Ragged], read: int, limit: float, where: str) -> list[tuple[str, int, str, str]]:
        """All rejected rows with their row numbers, from 1, in their files.

        Raises:
            SourceError: they are more than `limit` of all rows.
        """
        total = read + len(ragged)
        rejected = self.rows + len(ragged)
        if rejected > limit * total:
            reasons = dict(self.by_reason)
            for record in ragged:
                reasons[record.reason] = reasons.get(record.reason, 0) + 1
            worst = sorted(reasons.items(), key=lambda item: -item[1])[:3]
            first = min((record.row for record in ragged), default=None)
            told = "; ".join(f"{reason} ({count:,} rows)" for reason, count in worst)
            share = f"{rejected / total:.1%}, at most {limit:.1%} may"
            raise SourceError(
                f"{rejected:,} of {total:,} rows cannot be read ({share}): {told}"
                + (f"; the first is row {first:,}" if first else ""),
                where=where,
                kept="nothing: no row was used",
                fix="correct the file or the declared columns, or raise `source.max_rejects`",
            )
        skipped: dict[str, list[int]] = {}
        for record in ragged:
            skipped.setdefault(record.file, []).append(record.row)
        found = [(record.file, record.row, "", record.reason) for record in ragged[:_KEPT]]
        for file, place, column, reason in self._cells:
            row = place + 1
            for before in skipped.get(file, ()):  # in order
                if before > row:
                    break
                row += 1
            found.append((file, row, column, reason))
        return sorted(found)


def write(folder: Path, entries: Sequence[tuple[str, int, str, str]]) -> None:
    columns = zip(*entries, strict=True) if entries else ((), (), (), ())
    arrays = [pa.array(list(column), field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    pq.write_table(pa.table(arrays, _SCHEMA), folder / NAME)
