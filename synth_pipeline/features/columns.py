"""Columns as integer codes and back, keyed by what a column means: shared by trees, networks and evaluation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.errors import StorageError, TrainingError
from synth_pipeline.features import numbers
from synth_pipeline.features.grids import Grid
from synth_pipeline.records.schema import Column, Meaning, columns, decode, encode


@dataclass(frozen=True)
class Levels:
    """The code book of an unordered column: code 0 is NULL, the others index `values`, most frequent first."""

    type: pa.DataType
    values: pa.Array

    ordered = False

    @classmethod
    def fit(cls, array: pa.ChunkedArray) -> Levels:
        flat = _plain(array)
        counted = flat.value_counts()
        values, counts = counted.field(0), np.asarray(counted.field(1))
        if values.null_count:
            keep = np.asarray(values.is_valid())
            values, counts = values.filter(pa.array(keep)), counts[keep]
        # ties by the value itself: the code book must not depend on the order of the rows
        by_value = np.asarray(pc.array_sort_indices(values)) if not pa.types.is_null(values.type) else np.arange(0)
        order = by_value[np.argsort(-counts[by_value], kind="stable")]
        return cls(array.type, values.take(pa.array(order)))

    @property
    def size(self) -> int:
        return len(self.values) + 1

    def encode(self, array: pa.ChunkedArray | pa.Array) -> np.ndarray:
        """Codes (int32); a level that train never showed gets code `size`, one past the last."""
        flat = _plain(array)
        if pa.types.is_null(self.values.type) or pa.types.is_null(flat.type):
            return np.where(np.asarray(flat.is_valid()), self.size, 0).astype(np.int32)
        if flat.type != self.values.type:
            flat = flat.cast(self.values.type)
        known = pc.index_in(flat, self.values)
        codes = known.fill_null(self.size - 1).to_numpy(zero_copy_only=False).astype(np.int32) + 1
        if flat.null_count:
            codes[~np.asarray(flat.is_valid())] = 0
        return codes

    def decode(self, codes: np.ndarray, rng: np.random.Generator) -> pa.Array:
        """The levels themselves; nothing is drawn."""
        if not len(self.values):
            return pa.nulls(len(codes), self.type)
        missing = codes == 0
        index = pa.array(codes - 1, mask=missing) if missing.any() else pa.array(codes - 1)
        taken = self.values.take(index)
        return taken if taken.type == self.type else taken.cast(self.type)

    def rank(self, array: pa.ChunkedArray | pa.Array) -> np.ndarray:
        """Levels have no order: NaN."""
        return np.full(len(array), np.nan, np.float32)

    def codes_of(self, value: Any) -> np.ndarray:
        """The code of one Python value; ValueError when train does not hold it."""
        if value is None:
            return np.zeros(1, np.int64)
        try:
            code = self.encode(pa.array([value]).cast(self.values.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            raise ValueError(f"not a value of type {self.type}") from error
        if code[0] == self.size:
            raise ValueError("train does not hold this level")
        return code.astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        return {"kind": "levels"}


Book = Grid | Levels


@dataclass(frozen=True)
class TableEncoder:
    """One code book per column; codes of row i and column j are `encode(table)[i, j]`."""

    columns: tuple[Column, ...]
    books: tuple[Book, ...]

    @classmethod
    def fit(
        cls,
        table: pa.Table,
        learned: Sequence[Column] | None = None,
        *,
        bins: int = 64,
        sub_bins: int = 16,
        extremes: bool = False,
        units: np.ndarray | None = None,
    ) -> TableEncoder:
        """Code books of `learned` (default: every column of the table's annotated schema).

        `extremes`: keep each number's least and greatest value (only where nothing is released from the codes).
        `units`: a whole number per row that the rows of one person share (default: every row somebody else's).

        Raises:
            TrainingError: a column's type has neither order nor equality.
        """
        chosen = tuple(learned if learned is not None else columns(table.schema))
        books = (_fit(column, table.column(column.name), bins, sub_bins, extremes, units) for column in chosen)
        return cls(chosen, tuple(books))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def sizes(self) -> np.ndarray:
        """Number of codes of each column, NULL's included."""
        return np.array([book.size for book in self.books], np.int64)

    @property
    def ordered(self) -> np.ndarray:
        """Which columns' codes ascend with the value."""
        return np.array([book.ordered for book in self.books], bool)

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([column.field() for column in self.columns])

    def encode(self, table: pa.Table | pa.RecordBatch) -> np.ndarray:
        """Codes, int32, rows × columns (Fortran order: a column lies together).

        Code 0 is NULL. A level that train never showed gets `sizes[j]`; an unseen number its nearest code.
        """
        codes = np.empty((table.num_rows, len(self.books)), np.int32, order="F")
        for index, (column, book) in enumerate(zip(self.columns, self.books, strict=True)):
            codes[:, index] = book.encode(table.column(column.name))
        return codes

    def decode(self, codes: np.ndarray, rng: np.random.Generator) -> pa.Table:
        """Rows with exactly the learned schema; numbers are drawn inside their bins."""
        arrays = [book.decode(np.ascontiguousarray(codes[:, i]), rng) for i, book in enumerate(self.books)]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def ranks(self, table: pa.Table | pa.RecordBatch) -> np.ndarray:
        """float32, rows × columns: train's distribution function at each number or time, finer than the codes.

        NaN where the value is missing or the column has no order.
        """
        ranks = np.empty((table.num_rows, len(self.books)), np.float32, order="F")
        for index, (column, book) in enumerate(zip(self.columns, self.books, strict=True)):
            ranks[:, index] = book.rank(table.column(column.name))
        return ranks

    def save(self, folder: Path, name: str = "columns") -> None:
        """`<name>.json`, `<name>.npz` (numbers) and `<name>.arrow` (levels): no rows, no pickle."""
        note = {"schema": encode(self.schema), "books": [book.to_json() for book in self.books]}
        arrays = {
            f"{i}/{key}": array
            for i, book in enumerate(self.books)
            if isinstance(book, Grid)
            for key, array in book.arrays().items()
        }
        levels = {str(i): book.values for i, book in enumerate(self.books) if isinstance(book, Levels)}
        (folder / f"{name}.json").write_text(json.dumps(note), "utf-8")
        np.savez(folder / f"{name}.npz", allow_pickle=False, **arrays)
        table = pa.table(
            [pa.LargeListArray.from_arrays(pa.array([0, len(v)], pa.int64()), v) for v in levels.values()],
            names=list(levels),
        )
        with pa.OSFile(str(folder / f"{name}.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)

    @classmethod
    def load(cls, folder: Path, name: str = "columns") -> TableEncoder:
        try:
            note = json.loads((folder / f"{name}.json").read_text("utf-8"))
            with pa.OSFile(str(folder / f"{name}.arrow"), "rb") as file:
                levels = pa.ipc.open_file(file).read_all()
            with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            raise StorageError("the columns' code books cannot be read", where=str(folder)) from error
        grouped: dict[str, dict[str, np.ndarray]] = {}
        for key, array in arrays.items():
            index, _, part = key.partition("/")
            grouped.setdefault(index, {})[part] = array
        schema = decode(note["schema"])
        books: list[Book] = []
        for index, (field, book) in enumerate(zip(schema, note["books"], strict=True)):
            if book["kind"] == "grid":
                books.append(Grid.load(field.type, book, grouped[str(index)]))
            else:
                books.append(Levels(field.type, levels.column(str(index)).chunk(0).values))
        return cls(tuple(columns(schema)), tuple(books))


def is_ordered(column: Column) -> bool:
    """Whether a column is learned as numbers on a line."""
    return column.meaning in (Meaning.NUMBER, Meaning.DATETIME) and numbers.supported(column.type)


def _fit(
    column: Column, array: pa.ChunkedArray, bins: int, sub_bins: int, extremes: bool, units: np.ndarray | None
) -> Book:
    try:
        if is_ordered(column):
            places = column.facts.get("decimals")
            return Grid.fit(
                array,
                bins=bins,
                sub_bins=sub_bins,
                places=places if isinstance(places, int) and 0 <= places <= numbers.MAX_DECIMALS else None,
                extremes=extremes,
                units=units,
            )
        return Levels.fit(array)
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise TrainingError(
            f"values of type {column.type} can be neither ordered nor counted",
            where=f'column "{column.name}"',
            fix="drop the column (privacy.columns) or store it in another type",
        ) from error


def _plain(array: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One contiguous array without dictionary encoding."""
    flat = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if isinstance(flat, pa.ChunkedArray):
        flat = pa.concat_arrays(flat.chunks) if flat.num_chunks else pa.array([], flat.type)
    return flat.dictionary_decode() if pa.types.is_dictionary(flat.type) else flat
