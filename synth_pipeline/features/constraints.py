"""Which rows break a constraint, and whether constraints fit a schema: shared by generators and measures."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.errors import SpecError, did_you_mean
from synth_pipeline.features import numbers
from synth_pipeline.features.expression import Expression
from synth_pipeline.spec.constraints import (
    Age,
    Constraint,
    FixedCombinations,
    Formula,
    Inequality,
    Predicate,
    Range,
    Sum,
    Unique,
)


def involved(constraint: Constraint) -> tuple[str, ...]:
    """The columns that a constraint speaks of."""
    match constraint:
        case Range(column=column):
            return (column,)
        case Inequality(low=low, high=high):
            return low, high
        case Sum(total=total, parts=parts):
            return total, *parts
        case Formula(column=column, expression=text):
            return column, *Expression.parse(text).columns
        case FixedCombinations(columns=names) | Unique(columns=names):
            return tuple(names)
        case Age(birth=birth, age=age, at=at):
            return (birth, age, at) if isinstance(at, str) else (birth, age)
        case Predicate(expression=text):
            return Expression.parse(text).columns
    raise AssertionError(constraint)


def check(constraints: Iterable[Constraint], schema: pa.Schema) -> None:
    """Raises SpecError where a constraint names an unknown column or one of the wrong type."""
    for index, constraint in enumerate(constraints):
        where = f"constraints[{index}] ({constraint.type})"
        for name in involved(constraint):
            if name not in schema.names:
                raise SpecError(
                    f'no column "{name}"; {did_you_mean(name, schema.names)}',
                    where=where,
                    fix="name a column that is learned: dropped, faked and text columns are not",
                )
        try:
            _check_types(constraint, schema)
        except SpecError as error:
            raise SpecError(error.what, where=where, fix=error.fix) from error


def violations(
    constraint: Constraint, table: pa.Table | pa.RecordBatch, reference: pa.Table | None = None
) -> np.ndarray:
    """One bool per row: True where it breaks the constraint. A missing value breaks nothing.

    `reference`: rows whose combinations `fixed_combinations` allows (train); without it nothing can break that one.
    `unique` marks every row that repeats an earlier one of the same table.
    """
    match constraint:
        case Range(column=column, min=low, max=high):
            return _outside(table.column(column), low, high)
        case Inequality(low=low, high=high, strict=strict):
            left, right = comparable(table.column(low), table.column(high))
            return _true((pc.greater_equal if strict else pc.greater)(left, right))
        case Sum(total=total, tolerance=tolerance):
            return _differs(table.column(total), total_of(constraint, table), tolerance)
        case Formula(column=column, expression=text, tolerance=tolerance):
            return _differs(table.column(column), Expression.parse(text).evaluate(table), tolerance)
        case FixedCombinations(columns=names):
            if reference is None:
                return np.zeros(table.num_rows, bool)
            keys, known = combinations(names, table, reference)
            return ~np.isin(keys, known)
        case Unique(columns=names):
            return _repeats(names, table)
        case Age(age=age):
            return _true(pc.not_equal(table.column(age).cast(pa.int64()), age_of(constraint, table)))
        case Predicate(expression=text):
            kept = Expression.parse(text).evaluate(table)
            if isinstance(kept, pa.Scalar):
                return np.full(table.num_rows, kept.as_py() is False)
            return _true(pc.invert(kept))
    raise AssertionError(constraint)


def total_of(constraint: Sum, table: pa.Table | pa.RecordBatch) -> Any:
    """What the total has to be: exact on integers, floats otherwise."""
    parts = [_addable(table.column(name)) for name in constraint.parts]
    if not all(pa.types.is_integer(part.type) for part in parts):
        parts = [part.cast(pa.float64()) for part in parts]
    total = parts[0]
    for part in parts[1:]:
        total = pc.add(total, part)
    return total


def age_of(constraint: Age, table: pa.Table | pa.RecordBatch) -> pa.Array:
    """Whole years from birth to the date at which the age holds (29 February counts from 1 March)."""
    birth = table.column(constraint.birth).cast(pa.timestamp("us")).cast(pa.date32(), safe=False)
    at: Any = constraint.at
    at = (
        table.column(at).cast(pa.timestamp("us")).cast(pa.date32(), safe=False)
        if isinstance(at, str)
        else pa.scalar(at, pa.date32())
    )
    years = pc.subtract(pc.year(at), pc.year(birth))

    def in_year(day: Any) -> Any:
        return pc.add(pc.multiply(pc.month(day), 100), pc.day(day))

    return pc.subtract(years, pc.less(in_year(at), in_year(birth)).cast(pa.int64()))


def comparable(left: Any, right: Any) -> tuple[Any, Any]:
    """Two columns on one line: times as timestamps of one unit, whole numbers exact, the rest floats."""
    if pa.types.is_temporal(left.type) or pa.types.is_temporal(right.type):
        if left.type == right.type:
            return left, right
        fine = pa.timestamp("ns" if "ns" in (_unit(left.type), _unit(right.type)) else "us")
        return _instant(left, fine), _instant(right, fine)
    left, right = _addable(left), _addable(right)
    if pa.types.is_integer(left.type) and pa.types.is_integer(right.type):
        return left, right
    return left.cast(pa.float64()), right.cast(pa.float64())


def combinations(
    names: Iterable[str], table: pa.Table | pa.RecordBatch, reference: pa.Table | pa.RecordBatch
) -> tuple[np.ndarray, np.ndarray]:
    """One integer per row of each table; equal integers, equal combinations (NULL is a value)."""
    rows = table.num_rows
    keys = np.zeros(rows + reference.num_rows, np.int64)
    for name in names:
        both = pa.chunked_array(
            [*_chunks(table.column(name)), *_chunks(reference.column(name).cast(table.schema.field(name).type))]
        )
        codes = both.combine_chunks().dictionary_encode(null_encoding="encode") if both.num_chunks else None
        if codes is None:
            continue
        if isinstance(codes, pa.ChunkedArray):
            codes = codes.combine_chunks()
        index = codes.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        # dense again after each column, so that the product never overflows
        _, keys = np.unique(keys * (len(codes.dictionary) + 1) + index, return_inverse=True)
    return keys[:rows], keys[rows:]


def _check_types(constraint: Constraint, schema: pa.Schema) -> None:
    def need(name: str, what: str, fits: bool) -> None:
        if not fits:
            raise SpecError(f'column "{name}" is {schema.field(name).type}, not {what}')

    def kind(name: str) -> pa.DataType:
        return schema.field(name).type

    match constraint:
        case Range(column=column, min=low, max=high):
            need(column, "a number or a date", numbers.supported(kind(column)))
            for bound in (low, high):
                if bound is not None and isinstance(bound, datetime.date) != pa.types.is_temporal(kind(column)):
                    raise SpecError(f'the bounds of "{column}" ({kind(column)}) are of another kind')
            if (
                low is not None
                and high is not None
                and isinstance(low, float) == isinstance(high, float)
                and str(low) != str(high)
            ):
                first, second = (_bound(value, kind(column)) for value in (low, high))
                if pc.greater(first, second).as_py():
                    raise SpecError(f'`min` of "{column}" exceeds `max`')
        case Inequality(low=low, high=high):
            need(low, "a number or a date", numbers.supported(kind(low)))
            need(high, "a number or a date", numbers.supported(kind(high)))
            dates = _is_date(kind(low)), _is_date(kind(high))
            times = pa.types.is_temporal(kind(low)), pa.types.is_temporal(kind(high))
            if dates[0] != dates[1] or times[0] != times[1] or (times[0] and not dates[0] and kind(low) != kind(high)):
                raise SpecError(f'"{low}" ({kind(low)}) and "{high}" ({kind(high)}) cannot be compared')
            if low == high:
                raise SpecError("`low` and `high` are the same column")
        case Sum(total=total, parts=parts):
            for name in (total, *parts):
                need(name, "a number", _is_number(kind(name)))
            if total in parts:
                raise SpecError(f'"{total}" is its own part')
        case Formula(column=column, expression=text):
            expression = Expression.parse(text)
            need(column, "a number", _is_number(kind(column)))
            if column in expression.columns:
                raise SpecError(f'"{column}" is computed from itself')
            result = expression.check(schema)
            if not _is_number(result):
                raise SpecError("the expression gives no number")
        case Age(birth=birth, age=age, at=at):
            need(birth, "a date", _is_date(kind(birth)))
            need(age, "an integer", pa.types.is_integer(kind(age)) or pa.types.is_floating(kind(age)))
            if isinstance(at, str):
                need(at, "a date", _is_date(kind(at)))
        case Predicate(expression=text):
            if not pa.types.is_boolean(Expression.parse(text).check(schema)):
                raise SpecError("the expression is no condition: it gives neither true nor false")


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_date(kind: pa.DataType) -> bool:
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))


def _bound(value: Any, kind: pa.DataType) -> pa.Scalar:
    if isinstance(value, float) and not pa.types.is_floating(kind):
        return pa.scalar(value)  # compared as a float: 0.5 bounds an integer as well
    return numbers.one(value, kind)[0]


def _outside(column: Any, low: Any, high: Any) -> np.ndarray:
    broken = np.zeros(len(column), bool)
    for bound, beyond in ((low, pc.less), (high, pc.greater)):
        if bound is not None:
            limit = _bound(bound, column.type)
            values = column.cast(pa.float64()) if limit.type == pa.float64() and column.type != limit.type else column
            broken |= _true(beyond(values, limit))
    return broken


def _differs(column: Any, expected: Any, tolerance: float) -> np.ndarray:
    given, wanted = _addable(column), expected
    if pa.types.is_integer(given.type) and pa.types.is_integer(wanted.type) and tolerance == 0:
        return _true(pc.not_equal(given, wanted))
    given, wanted = given.cast(pa.float64()), wanted.cast(pa.float64())
    size = pc.max_element_wise(pc.abs(given), pc.abs(wanted), skip_nulls=False)
    # floating sums of cancelling terms leave dust near zero
    slack = pc.add(pc.multiply(size, tolerance), 1e-12)
    far = pc.greater(pc.abs(pc.subtract(given, wanted)), slack)
    odd = pc.and_(pc.invert(pc.equal(given, wanted)), pc.invert(pc.is_finite(pc.subtract(given, wanted))))
    both_nan = pc.and_(pc.is_nan(given), pc.is_nan(wanted))
    return _true(pc.and_(pc.or_(far, odd), pc.invert(both_nan)))


def _repeats(names: Iterable[str], table: pa.Table | pa.RecordBatch) -> np.ndarray:
    keys, _ = combinations(names, table, table.slice(0, 0))
    missing = np.zeros(table.num_rows, bool)
    for name in names:
        column = table.column(name)
        if column.null_count:
            missing |= np.asarray(column.is_null())
    order = np.argsort(keys, kind="stable")
    repeated = np.zeros(table.num_rows, bool)
    repeated[order[1:]] = keys[order[1:]] == keys[order[:-1]]
    return repeated & ~missing


def _addable(column: Any) -> Any:
    kind = column.type
    if pa.types.is_integer(kind) and not pa.types.is_uint64(kind):
        return column.cast(pa.int64())
    return column.cast(pa.float64())


def _instant(column: Any, stamp: pa.DataType) -> Any:
    if pa.types.is_timestamp(column.type) and column.type.tz:
        column = column.cast(pa.timestamp(column.type.unit))
    return column.cast(stamp)


def _unit(kind: pa.DataType) -> str:
    return str(getattr(kind, "unit", "day"))


def _chunks(column: Any) -> list[pa.Array]:
    if isinstance(column, pa.Array):
        column = pa.chunked_array([column])
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return list(column.chunks)


def _true(result: Any) -> np.ndarray:
    """Kleene: unknown is not a violation."""
    flat = result.combine_chunks() if isinstance(result, pa.ChunkedArray) else result
    return np.asarray(flat.fill_null(False)).astype(bool)
