"""How a table is laid out for SDV, and how SDV's rows become the table's exact Arrow types again.

SDV sees neutral names ("c000" …), level numbers and plain floats: its artefact then holds no name or level, odd names
and far dates cannot trip it, and no type is lost on the way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.errors import SpecError, TrainingError, did_you_mean
from synth_pipeline.records.schema import Column, Meaning

_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@dataclass(frozen=True)
class Layout:
    """One plan per column: what SDV sees of it ("level", "number", "time"), or nothing at all ("constant").

    `levels` holds the levels of a "level" column and the one value (or missing) of a "constant" one.
    `steps` holds, for "time", the grid on which all training values lie, in the type's own unit: (step, offset).
    """

    schema: pa.Schema
    kinds: tuple[str, ...]
    levels: tuple[pa.Array, ...]
    steps: tuple[tuple[int, int], ...]

    @classmethod
    def learn(cls, table: pa.Table) -> Layout:
        plans = [_plan(Column.of(field), _plain(table.column(field.name))) for field in table.schema]
        kinds, levels, steps = zip(*plans, strict=True)
        return cls(table.schema, kinds, levels, steps)

    def encode(self, table: pa.Table) -> Any:
        """A pandas frame of floats and level numbers, without the constant columns."""
        import pandas as pd

        found: dict[str, Any] = {}
        for i, (kind, field) in enumerate(zip(self.kinds, self.schema, strict=True)):
            column = _plain(table.column(field.name))
            if kind == "level":
                found[_alias(i)] = self._codes(i, column)
            elif kind == "number":
                found[_alias(i)] = _floats(column)
            elif kind == "time":
                found[_alias(i)] = _seconds(column)
        return pd.DataFrame(found)

    def decode(self, frame: Any) -> pa.RecordBatch:
        arrays = []
        for i, (kind, field) in enumerate(zip(self.kinds, self.schema, strict=True)):
            if kind == "constant":
                array = self.levels[i].take(pa.array(np.zeros(len(frame), dtype=np.int64)))
            elif kind == "level":
                array = self.levels[i].take(pa.array(frame[_alias(i)].to_numpy().astype(np.int64)))
            elif kind == "time":
                array = _from_seconds(frame[_alias(i)].to_numpy(dtype=float), field.type, *self.steps[i])
            else:
                array = _from_floats(frame[_alias(i)].to_numpy(dtype=float), field.type)
            arrays.append(array.dictionary_encode().cast(field.type) if _is_dictionary(field.type) else array)
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def sdtypes(self) -> dict[str, dict[str, str]]:
        """SDV's metadata of the columns that it sees."""
        seen = {"level": "categorical", "number": "numerical", "time": "numerical"}
        return {_alias(i): {"sdtype": seen[kind]} for i, kind in enumerate(self.kinds) if kind in seen}

    def alias(self, name: str, where: str) -> str:
        """SDV's name for a column.

        Raises:
            SpecError: there is no such column, or it is constant and SDV does not see it.
        """
        names = self.schema.names
        if name not in names:
            raise SpecError(f'no column "{name}"; {did_you_mean(str(name), names)}', where=where)
        if self.kinds[names.index(name)] == "constant":
            raise SpecError(f'"{name}" is constant in the training rows', where=where)
        return _alias(names.index(name))

    def codes(self, name: str, texts: Sequence[str]) -> list[str]:
        """Level numbers of levels that are given as text."""
        levels = pc.cast(self.levels[self.schema.names.index(name)], pa.string()).to_pylist()
        return [str(levels.index(text)) for text in texts]

    def fixed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Conditions as SDV sees them; a constant column meets its own by itself."""
        found: dict[str, Any] = {}
        for name, value in values.items():
            i = self.schema.names.index(name)
            array = pa.array([value], _value_type(self.schema.field(i).type))
            if self.kinds[i] == "level":
                found[_alias(i)] = self._codes(i, array)[0]
            elif self.kinds[i] != "constant":
                found[_alias(i)] = float((_seconds if self.kinds[i] == "time" else _floats)(array)[0])
        return found

    def save(self, path: Path) -> None:
        """One row whose columns are lists of levels: Arrow keeps every type exactly."""
        fields = [pa.field(f.name, pa.list_(_value_type(f.type))) for f in self.schema]
        row = [pa.ListArray.from_arrays(pa.array([0, len(a)], pa.int32()), a) for a in self.levels]
        plan = json.dumps({"kinds": self.kinds, "steps": self.steps})
        notes = {b"plan": plan.encode(), b"schema": self.schema.serialize().to_pybytes()}
        schema = pa.schema(fields, metadata=notes)
        with pa.ipc.new_file(str(path), schema) as file:
            file.write(pa.RecordBatch.from_arrays(row, schema=schema))

    @classmethod
    def load(cls, path: Path) -> Layout:
        with pa.ipc.open_file(str(path)) as file:
            batch = file.get_batch(0)
        plan = json.loads(batch.schema.metadata[b"plan"])
        return cls(
            schema=pa.ipc.read_schema(pa.py_buffer(batch.schema.metadata[b"schema"])),
            kinds=tuple(plan["kinds"]),
            levels=tuple(column.flatten() for column in batch.columns),
            steps=tuple((step, offset) for step, offset in plan["steps"]),
        )

    def _codes(self, i: int, array: pa.Array) -> Any:
        return pc.index_in(array, self.levels[i]).to_numpy(zero_copy_only=False).astype(str).astype(object)


def _alias(index: int) -> str:
    return f"c{index:04d}"  # one width: SDV tells some columns apart by prefix


def _plan(column: Column, values: pa.Array) -> tuple[str, pa.Array, tuple[int, int]]:
    nothing = values.slice(0, 0)
    distinct = pc.unique(values)
    if len(distinct) == 1:
        return "constant", distinct, (1, 0)
    if column.meaning is Meaning.NUMBER and pa.types.is_boolean(values.type) is False and not _is_text(values.type):
        if pa.types.is_floating(values.type) and pc.any(pc.is_inf(values)).as_py():
            raise TrainingError(f'"{column.name}" holds infinite values, which SDV cannot learn')
        return "number", nothing, (1, 0)
    if column.meaning is Meaning.DATETIME and pa.types.is_temporal(values.type):
        numbers = _integers(pc.drop_null(values))
        step = int(np.gcd.reduce(numbers - numbers.min())) or 1
        return "time", nothing, (step, int(numbers.min() % step))
    if column.meaning in (Meaning.CATEGORY, Meaning.BOOLEAN, Meaning.NUMBER, Meaning.DATETIME):
        return "level", distinct.take(pc.array_sort_indices(distinct)), (1, 0)
    raise TrainingError(f'SDV cannot learn "{column.name}", a column of {column.meaning.value}s')


def _plain(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    array = array.cast(_value_type(array.type)) if _is_dictionary(array.type) else array
    if pa.types.is_floating(array.type):  # NaN is a missing value: SDV knows no difference
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    return array


def _is_dictionary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if _is_dictionary(kind) else kind


def _floats(array: pa.Array) -> Any:
    return array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)  # nulls become NaN


def _from_floats(values: Any, kind: pa.DataType) -> pa.Array:
    missing = np.isnan(values)
    if not pa.types.is_integer(kind):
        return pa.array(values, mask=missing).cast(kind, safe=False)
    bits, signed = kind.bit_width, not pa.types.is_unsigned_integer(kind)
    high = 2.0 ** (bits - signed)
    low = -high if signed else 0.0
    # the largest float below 2^64 or 2^63 is 1,024 or 512 away
    whole = np.clip(np.rint(np.where(missing, 0.0, values)), low, np.nextafter(high, 0.0) if bits == 64 else high - 1)
    return pa.array(whole.astype(kind.to_pandas_dtype()), mask=missing)


def _unit(kind: pa.DataType) -> float:
    if pa.types.is_date32(kind):
        return 86_400.0
    return 1e-3 if pa.types.is_date64(kind) else _UNITS[kind.unit]


def _width(kind: pa.DataType) -> pa.DataType:
    return pa.int32() if kind.bit_width == 32 else pa.int64()


def _integers(array: pa.Array) -> Any:
    return array.view(_width(array.type)).cast(pa.int64()).to_numpy(zero_copy_only=False)


def _seconds(array: pa.Array) -> Any:
    missing = array.is_null().to_numpy(zero_copy_only=False)
    numbers = array.view(_width(array.type)).fill_null(0).to_numpy(zero_copy_only=False)
    return np.where(missing, np.nan, numbers * _unit(array.type))


def _from_seconds(values: Any, kind: pa.DataType, step: int, offset: int) -> pa.Array:
    missing = np.isnan(values)
    own = np.where(missing, 0.0, values) / _unit(_value_type(kind))
    whole = np.rint((own - offset) / step).astype(np.int64) * step + offset
    return pa.array(whole, mask=missing).cast(_width(_value_type(kind))).view(_value_type(kind))
