"""Constraints by construction: which variables are learned in the columns' stead, and how rows come back from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.errors import StorageError
from synth_pipeline.features import numbers
from synth_pipeline.features.constraints import age_of, combinations, comparable, involved, total_of, violations
from synth_pipeline.features.expression import Expression
from synth_pipeline.records.schema import Column, Meaning, columns, decode, encode
from synth_pipeline.spec.constraints import Age, Constraint, FixedCombinations, Formula, Inequality, Range, Sum, Unique

Derived = Sum | Formula | Age


@dataclass(frozen=True)
class Gap:
    """`dependent` = `base` + gap (or − gap when `below`): the gap is what is learned, and it is never negative."""

    dependent: str
    base: str
    below: bool
    strict: bool
    middle: float
    """Stands for a missing base, so that the dependent is learned there too: the base's median."""
    places: int | None
    """Decimals of the gap, when both columns have a decimal grid."""


@dataclass(frozen=True)
class Plan:
    """How the columns of `schema` are learned under `constraints`.

    The variable of a joint stands at its first member's name, a gap at its dependent's, the missing-flag of a derived
    column at that column's: names never collide.
    """

    schema: pa.Schema
    constraints: tuple[Constraint, ...]
    joints: tuple[tuple[str, ...], ...]
    allowed: tuple[pa.Table, ...]
    """Per joint: its combinations in train."""
    gaps: tuple[Gap, ...]
    """A base comes before what depends on it."""
    derived: tuple[Derived, ...]
    """Inputs come before what is computed from them."""
    places: Mapping[str, int]
    """Decimals of derived floats."""

    @classmethod
    def fit(cls, constraints: tuple[Constraint, ...], table: pa.Table) -> Plan:
        joints, gaps, derived = _structure(constraints)
        allowed = tuple(_combinations(table.select(list(members))) for members in joints)
        places = {}
        for constraint in derived:
            name = involved(constraint)[0] if not isinstance(constraint, Age) else constraint.age
            if pa.types.is_floating(table.schema.field(name).type):
                values, present = numbers.to_numbers(table.column(name))
                found = numbers.decimals(values[present])
                if found is not None:
                    places[name] = found
        measured = tuple(_measured(gap, table) for gap in gaps)
        return cls(table.schema, constraints, joints, allowed, measured, derived, places)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The variables that are learned, in the schema's order."""
        kinds: dict[str, Column | None] = {}
        for members in self.joints:
            kinds[members[0]] = Column(members[0], pa.int32(), Meaning.CATEGORY)
            kinds.update(dict.fromkeys(members[1:]))
        for gap in self.gaps:
            kinds[gap.dependent] = Column(gap.dependent, self._line(gap).type, Meaning.NUMBER)
        for constraint in self.derived:
            kinds[made(constraint)] = Column(made(constraint), pa.bool_(), Meaning.BOOLEAN)
        chosen = []
        for column in columns(self.schema):
            stand_in = kinds.get(column.name, column)
            if stand_in is not None:
                chosen.append(stand_in.having(roles=column.roles))
        return tuple(chosen)

    def forward(self, table: pa.Table) -> pa.Table:
        """Rows in the variables that are learned."""
        made_of: dict[str, Any] = {name: table.column(name) for name in table.column_names}
        for constraint in self.derived:
            name = made(constraint)
            inputs = np.ones(table.num_rows, bool)
            for other in involved(constraint):
                if other != name:
                    inputs &= np.asarray(table.column(other).is_valid())
            made_of[name] = pa.array(np.asarray(table.column(name).is_null()) & inputs)
        for gap in self.gaps:
            made_of[gap.dependent] = self._gap(gap, table)
        for members, allowed in zip(self.joints, self.allowed, strict=True):
            keys, known = combinations(members, table, allowed)
            order = np.argsort(known)
            at = order[np.minimum(np.searchsorted(known[order], keys), len(known) - 1)]
            made_of[members[0]] = pa.array(at.astype(np.int32))
        return pa.table([made_of[column.name] for column in self.columns], names=[c.name for c in self.columns])

    def backward(
        self,
        inner: pa.Table,
        exact: Mapping[str, pa.Array],
        settle: Callable[[dict[str, pa.Array]], None] = lambda _: None,
    ) -> pa.Table:
        """Rows of the learned columns.

        `exact`: columns whose values are given. `settle` may change plain columns before others are computed from them.
        """
        rows: dict[str, Any] = {name: inner.column(name).combine_chunks() for name in inner.column_names}
        flags = {made(constraint): rows.pop(made(constraint)) for constraint in self.derived}
        gaps = {gap.dependent: rows.pop(gap.dependent) for gap in self.gaps}
        for members, allowed in zip(self.joints, self.allowed, strict=True):
            index = rows[members[0]]
            for name in members:
                rows[name] = allowed.column(name).combine_chunks().take(index)
        for name in list(rows):
            rows[name] = exact.get(name, self._clipped(name, rows[name]))
        settle(rows)
        for gap in self.gaps:
            name = gap.dependent
            rows[name] = exact.get(name, self._clipped(name, self._from_gap(gap, rows[gap.base], gaps[name])))
        for constraint in self.derived:
            name = made(constraint)
            table = pa.table({other: rows[other] for other in involved(constraint) if other != name})
            rows[name] = self._computed(constraint, table, flags[name])
        return pa.table([rows[name] for name in self.schema.names], schema=self.schema)

    def broken(self, table: pa.Table) -> np.ndarray:
        """Rows × constraints: what construction could not rule out; uniqueness is not a row's own matter."""
        marks = np.zeros((table.num_rows, len(self.constraints)), bool)
        for index, constraint in enumerate(self.constraints):
            if isinstance(constraint, FixedCombinations):
                joint = next(i for i, members in enumerate(self.joints) if set(constraint.columns) <= set(members))
                marks[:, index] = violations(constraint, table, self.allowed[joint])
            elif not isinstance(constraint, Unique):
                marks[:, index] = violations(constraint, table)
        return marks

    def sources(self, names: Iterable[str]) -> frozenset[str]:
        """The variables that these columns are made of."""
        found: set[str] = set()
        for name in names:
            found.add(next((members[0] for members in self.joints if name in members), name))
            for gap in self.gaps:
                if gap.dependent == name:
                    found |= self.sources([gap.base])
            for constraint in self.derived:
                if made(constraint) == name:
                    found |= self.sources(other for other in involved(constraint) if other != name)
        return frozenset(found)

    def plain(self, name: str) -> bool:
        """Whether the column is learned as it is."""
        return (
            not any(name in members for members in self.joints)
            and not any(gap.dependent == name for gap in self.gaps)
            and not any(made(constraint) == name for constraint in self.derived)
        )

    def save(self, folder: Path) -> None:
        note = {
            "schema": encode(self.schema),
            "middles": [gap.middle for gap in self.gaps],
            "gap_places": [gap.places for gap in self.gaps],
            "places": dict(self.places),
        }
        (folder / "plan.json").write_text(json.dumps(note), "utf-8")
        for index, table in enumerate(self.allowed):
            with (
                pa.OSFile(str(folder / f"joint{index}.arrow"), "wb") as file,
                pa.ipc.new_file(file, table.schema) as to,
            ):
                to.write_table(table)

    @classmethod
    def load(cls, folder: Path, constraints: tuple[Constraint, ...]) -> Plan:
        joints, gaps, derived = _structure(constraints)
        allowed = []
        try:
            note = json.loads((folder / "plan.json").read_text("utf-8"))
            for index in range(len(joints)):
                with pa.OSFile(str(folder / f"joint{index}.arrow"), "rb") as file:
                    allowed.append(pa.ipc.open_file(file).read_all())
        except (OSError, ValueError) as error:
            raise StorageError("the saved plan cannot be read", where=str(folder), fix="train again") from error
        measured = tuple(
            Gap(gap.dependent, gap.base, gap.below, gap.strict, middle, places)
            for gap, middle, places in zip(gaps, note["middles"], note["gap_places"], strict=True)
        )
        return cls(decode(note["schema"]), constraints, joints, tuple(allowed), measured, derived, note["places"])

    def _line(self, gap: Gap) -> pa.Array:
        """An empty array of the type in which the gap is counted: int64 ticks or float64."""
        empty = self.schema.empty_table()
        base, _ = comparable(empty.column(gap.base), empty.column(gap.dependent))
        return pa.array([], pa.float64() if pa.types.is_floating(base.type) else pa.int64())

    def _gap(self, gap: Gap, table: pa.Table) -> pa.Array:
        base, dependent = comparable(table.column(gap.base), table.column(gap.dependent))
        (start, known), (end, present) = numbers.to_numbers(base), numbers.to_numbers(dependent)
        start = np.where(known, start, np.asarray(gap.middle).astype(start.dtype))
        with np.errstate(over="ignore", invalid="ignore"):
            values = start - end if gap.below else end - start
        if gap.places is not None:
            values = np.round(values, gap.places)
        return pa.array(values, mask=~present)

    def _from_gap(self, gap: Gap, base: pa.Array, gaps: pa.Array) -> pa.Array:
        kind = self.schema.field(gap.dependent).type
        line, _ = comparable(base, pa.array([], kind))
        start, known = numbers.to_numbers(line)
        size, present = numbers.to_numbers(gaps)
        least: Any = 0
        if gap.strict:
            least = 1 if start.dtype == np.int64 else 10.0**-gap.places if gap.places is not None else 1e-9
        size = np.where(known, np.maximum(size, least), size)
        start = np.where(known, start, np.asarray(gap.middle).astype(start.dtype))
        with np.errstate(over="ignore", invalid="ignore"):
            values = start - size if gap.below else start + size
        if values.dtype == np.float64 and pa.types.is_integer(kind):
            values = np.floor(values) if gap.below else np.ceil(values)
        elif gap.places is not None:
            values = np.round(values, gap.places)
        return _cast(values, present, line.type, kind, up=not gap.below)

    def _clipped(self, name: str, array: pa.Array) -> pa.Array:
        for constraint in self.constraints:
            if isinstance(constraint, Range) and constraint.column == name:
                outside = violations(constraint, pa.table({name: array}))
                if outside.any():
                    array = _clip(array, outside, constraint)
        return array

    def _computed(self, constraint: Derived, table: pa.Table, missing: pa.Array) -> pa.Array:
        name = made(constraint)
        kind = self.schema.field(name).type
        if isinstance(constraint, Age):
            result: Any = age_of(constraint, table)
        elif isinstance(constraint, Sum):
            result = total_of(constraint, table)
        else:
            result = Expression.parse(constraint.expression).evaluate(table)
        if isinstance(result, pa.Scalar):
            result = pa.repeat(result, len(missing))
        if isinstance(result, pa.ChunkedArray):
            result = result.combine_chunks()
        if pa.types.is_integer(result.type) and pa.types.is_integer(kind):
            values, present = numbers.to_numbers(result)
            if pa.types.is_uint64(kind):
                return result.cast(kind, safe=False)
        else:
            values, present = numbers.to_numbers(result.cast(pa.float64()))
        present = present & ~np.asarray(missing)
        if pa.types.is_floating(kind):
            if name in self.places and not isinstance(constraint, Age):
                rounded = np.round(values, self.places[name])
                # rounding is for looks: it must stay within what counts as equal
                near = np.abs(rounded - values) <= constraint.tolerance / 2 * np.maximum(
                    np.abs(rounded), np.abs(values)
                )
                values = np.where(near | (np.abs(rounded - values) <= 1e-12), rounded, values)
            return numbers.from_numbers(values.astype(np.float64), present, kind)
        if pa.types.is_decimal(kind):
            return numbers.from_numbers(np.rint(values * 10.0**kind.scale), present, kind)
        if values.dtype == np.float64:
            present &= np.isfinite(values)
            values = np.clip(np.rint(np.where(present, values, 0)), -(2.0**62), 2.0**62).astype(np.int64)
        if pa.types.is_uint64(kind):
            return pa.array(np.maximum(values, 0), mask=~present).cast(kind)
        return numbers.from_numbers(values, present, kind)


def made(constraint: Derived) -> str:
    """The column that a constraint computes."""
    match constraint:
        case Sum(total=name) | Formula(column=name) | Age(age=name):
            return name
    raise AssertionError(constraint)


def _structure(
    constraints: Iterable[Constraint],
) -> tuple[tuple[tuple[str, ...], ...], tuple[Gap, ...], tuple[Derived, ...]]:
    """What can be kept by construction; the rest, and what would run in circles, is left to drawing again."""
    joints: list[list[str]] = []
    for constraint in constraints:
        if isinstance(constraint, FixedCombinations):
            merged = list(dict.fromkeys(constraint.columns))
            for other in [joint for joint in joints if set(joint) & set(merged)]:
                joints.remove(other)
                merged = list(dict.fromkeys([*other, *merged]))
            joints.append(merged)
    taken = {name for joint in joints for name in joint}
    parents: dict[str, tuple[str, ...]] = {}

    def reaches(start: str, goal: str) -> bool:
        return start == goal or any(reaches(parent, goal) for parent in parents.get(start, ()))

    derived: dict[str, Derived] = {}
    for constraint in constraints:
        if isinstance(constraint, Sum | Formula | Age):
            name = made(constraint)
            inputs = tuple(other for other in involved(constraint) if other != name)
            if name not in taken and name not in parents and not any(reaches(other, name) for other in inputs):
                parents[name], derived[name] = inputs, constraint
    gaps: dict[str, Gap] = {}
    for constraint in constraints:
        if isinstance(constraint, Inequality):
            for dependent, base in ((constraint.high, constraint.low), (constraint.low, constraint.high)):
                free = dependent not in taken and dependent not in parents
                # a computed base would have to exist before the columns that it is computed from
                if free and base not in derived and not reaches(base, dependent):
                    parents[dependent] = (base,)
                    gaps[dependent] = Gap(dependent, base, dependent == constraint.low, constraint.strict, 0.0, None)
                    break

    def depth(name: str) -> int:
        return 1 + max((depth(parent) for parent in parents.get(name, ())), default=0)

    return (
        tuple(tuple(joint) for joint in joints),
        tuple(sorted(gaps.values(), key=lambda gap: depth(gap.dependent))),
        tuple(derived[name] for name in sorted(derived, key=depth)),
    )


def _measured(gap: Gap, table: pa.Table) -> Gap:
    base, dependent = comparable(table.column(gap.base), table.column(gap.dependent))
    values, present = numbers.to_numbers(base)
    known = values[present & np.isfinite(values)]
    middle = float(np.sort(known)[len(known) // 2]) if len(known) else 0.0
    places = None
    if values.dtype == np.float64:
        found = [numbers.decimals(side[0][side[1]]) for side in ((values, present), numbers.to_numbers(dependent))]
        places = None if None in found else max(found)  # type: ignore[type-var]
        middle = middle if places is None else round(middle, places)
    return Gap(gap.dependent, gap.base, gap.below, gap.strict, middle, places)


def _combinations(table: pa.Table) -> pa.Table:
    """Each combination once, in an order that says nothing about the rows'."""
    keys, _ = combinations(table.column_names, table, table.slice(0, 0))
    _, first = np.unique(keys, return_index=True)
    once = table.take(pa.array(first))
    text = [pc.fill_null(once.column(name).cast(pa.string()), "") for name in once.column_names]
    order = pc.sort_indices(
        pa.table(text, names=[str(i) for i in range(len(text))]), [(str(i), "ascending") for i in range(len(text))]
    )
    return once.take(order).combine_chunks()


def _cast(values: np.ndarray, present: np.ndarray, line: pa.DataType, kind: pa.DataType, up: bool) -> pa.Array:
    """Values on a line as the column's own, coarser type; rounded away from the base, never towards it."""
    if not pa.types.is_temporal(line):
        if pa.types.is_decimal(kind):
            scaled = values * 10.0**kind.scale
            return numbers.from_numbers(np.ceil(scaled - 1e-6) if up else np.floor(scaled + 1e-6), present, kind)
        if pa.types.is_uint64(kind):
            return pa.array(np.maximum(values, 0), mask=~present).cast(kind, safe=False)
        if pa.types.is_integer(kind):
            values = np.clip(values, -(2.0**62), 2.0**62).astype(np.int64) if values.dtype != np.int64 else values
        return numbers.from_numbers(values, present, kind)
    moments = numbers.from_numbers(values, present, line)
    if line == kind:
        return moments
    if pa.types.is_timestamp(kind) and kind.tz:
        plain = moments.cast(pa.timestamp(kind.unit), safe=False)
        back, result = plain.cast(line), plain.cast(pa.timestamp(kind.unit, "UTC")).cast(kind)
    else:
        result = moments.cast(kind, safe=False)
        back = result.cast(line)
    short = np.asarray((pc.less if up else pc.greater)(back, moments).fill_null(False)).astype(bool)
    if short.any():
        ticks, _ = numbers.to_numbers(result)
        unit = 86_400_000 if pa.types.is_date64(kind) else 1
        result = numbers.from_numbers(np.where(short, ticks + (unit if up else -unit), ticks), present, kind)
    return result


def _clip(array: pa.Array, outside: np.ndarray, constraint: Range) -> pa.Array:
    values, present = numbers.to_numbers(array)
    kind = array.type
    for bound, up in ((constraint.min, True), (constraint.max, False)):
        if bound is None:
            continue
        if isinstance(bound, float) and not pa.types.is_floating(kind):
            scale = 10**kind.scale if pa.types.is_decimal(kind) else 1
            bound = int(np.ceil(bound * scale) if up else np.floor(bound * scale))
            limit = bound - 2**63 if pa.types.is_uint64(kind) else bound
        else:
            limit = numbers.to_numbers(numbers.one(bound, kind))[0][0]
        values = np.where(outside, (np.maximum if up else np.minimum)(values, limit), values)
    return numbers.from_numbers(values, present, kind)
