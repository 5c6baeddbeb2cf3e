"""The small expression language of constraints: parsed by `ast`, whitelisted, evaluated by Arrow; never `eval`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.errors import SpecError, did_you_mean
from synth_pipeline.features import numbers

_LIMIT = 10_000
_ARROW_ERRORS = (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, ValueError, TypeError)
_COMPARE: Mapping[type, str] = {
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
}
_HELP = "use + - * / // % **, comparisons, and/or/not, in, is null, numbers, 'texts' and column names"


@dataclass(frozen=True)
class Expression:
    """A parsed expression and the columns it names."""

    text: str
    tree: ast.expr
    columns: tuple[str, ...]
    _names: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Backticks quote names: "`hours per week` <= 99".

        Raises:
            SpecError: it is no expression of this language.
        """
        if len(text) > _LIMIT:
            raise SpecError(f"the expression is longer than {_LIMIT} characters")
        quoted: dict[str, str] = {}

        def stand_in(match: re.Match[str]) -> str:
            if match.group(1) is None:
                return match.group(0)  # a text literal: its backticks are its own
            key = f"quoted_{len(quoted)}_"
            quoted[key] = match.group(1)
            return f" {key} "

        plain = re.sub(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`([^`]+)`""", stand_in, text)
        try:
            tree = ast.parse(plain.strip(), mode="eval").body
            names: dict[str, str] = {}
            _check(tree, quoted, names)
        except SyntaxError as error:
            raise SpecError(f"the expression cannot be read: {error.msg}", where=_short(text), fix=_HELP) from None
        except (RecursionError, MemoryError):
            raise SpecError("the expression is nested too deeply", where=_short(text)) from None
        return cls(text, tree, tuple(dict.fromkeys(names.values())), names)

    def check(self, schema: pa.Schema) -> pa.DataType:
        """The type of its result over this schema.

        Raises:
            SpecError: a column is unknown, or an operation does not fit the columns' types.
        """
        for name in self.columns:
            if name not in schema.names:
                raise SpecError(
                    f'no column "{name}"; {did_you_mean(name, schema.names)}', where=f"expression {_short(self.text)}"
                )
        return self.evaluate(schema.empty_table()).type

    def evaluate(self, table: pa.Table | pa.RecordBatch) -> pa.Array | pa.ChunkedArray | pa.Scalar:
        """Values of all rows; a missing operand makes the result missing, logic is three-valued (Kleene)."""
        try:
            return self._value(self.tree, table)
        except _ARROW_ERRORS as error:
            kinds = ", ".join(f"{name}: {table.schema.field(name).type}" for name in self.columns)
            raise SpecError(
                f"the expression does not fit its columns' types ({kinds})", where=_short(self.text)
            ) from error

    def _value(self, node: ast.expr, table: pa.Table | pa.RecordBatch) -> Any:
        match node:
            case ast.Constant(value=constant):
                return pa.scalar(constant)
            case ast.Name(id=name):
                if name in ("null", "true", "false"):
                    return pa.scalar({"null": None, "true": True, "false": False}[name])
                return _plain(table.column(self._names[name]))
            case ast.UnaryOp(op=op, operand=operand):
                value = self._value(operand, table)
                if isinstance(op, ast.Not):
                    return pc.invert(value)
                return pc.negate(_number(value)) if isinstance(op, ast.USub) else _number(value)
            case ast.BinOp(left=left, op=op, right=right):
                return _arithmetic(op, self._value(left, table), self._value(right, table))
            case ast.BoolOp(op=junction, values=values):
                join = pc.and_kleene if isinstance(junction, ast.And) else pc.or_kleene
                result = self._value(values[0], table)
                for further in values[1:]:
                    result = join(result, self._value(further, table))
                return result
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                result = None
                for comparison, right in zip(ops, comparators, strict=True):
                    one = self._comparison(comparison, left, right, table)
                    result = one if result is None else pc.and_kleene(result, one)
                    left = right
                return result
        raise AssertionError("checked when parsed")

    def _comparison(self, op: ast.cmpop, left: ast.expr, right: ast.expr, table: pa.Table | pa.RecordBatch) -> Any:
        value = self._value(left, table)
        if isinstance(op, ast.Is | ast.IsNot):
            return pc.is_null(value) if isinstance(op, ast.Is) else pc.is_valid(value)
        if isinstance(op, ast.In | ast.NotIn):
            assert isinstance(right, ast.Tuple | ast.List | ast.Set)
            result: Any = None
            for item in right.elts:
                same = pc.equal(*_alike(value, self._value(item, table)))
                result = same if result is None else pc.or_kleene(result, same)
            return pc.invert(result) if isinstance(op, ast.NotIn) else result
        return pc.call_function(_COMPARE[type(op)], list(_alike(value, self._value(right, table))))


def _check(node: ast.expr, quoted: Mapping[str, str], names: dict[str, str]) -> None:
    match node:
        case ast.Constant(value=bool() | int() | float() | str()):
            return None
        case ast.Name(id=name):
            if name in quoted or name not in ("null", "true", "false"):
                names[name] = quoted.get(name, name)
            return None
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd(), operand=operand):
            return _check(operand, quoted, names)
        case ast.BinOp(
            left=left,
            op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.FloorDiv() | ast.Mod() | ast.Pow(),
            right=right,
        ):
            _check(left, quoted, names)
            return _check(right, quoted, names)
        case ast.BoolOp(values=values):
            for value in values:
                _check(value, quoted, names)
            return None
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            _check(left, quoted, names)
            for op, right in zip(ops, comparators, strict=True):
                if isinstance(op, ast.Is | ast.IsNot):
                    if not (isinstance(right, ast.Name) and right.id == "null"):
                        raise SyntaxError("`is` compares with null only")
                elif isinstance(op, ast.In | ast.NotIn):
                    if not isinstance(right, ast.Tuple | ast.List | ast.Set) or not right.elts:
                        raise SyntaxError("`in` needs a list of constants")
                    for item in right.elts:
                        _check(item, quoted, names)
                else:
                    _check(right, quoted, names)
            return None
    raise SyntaxError(f"{type(node).__name__} is not allowed")


def _arithmetic(op: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(op, ast.Sub) and pa.types.is_temporal(left.type) and pa.types.is_temporal(right.type):
        return _days(left, right)
    left, right = _number(left), _number(right)
    whole = pa.types.is_integer(left.type) and pa.types.is_integer(right.type)
    if not whole or isinstance(op, ast.Div | ast.Pow):
        left, right = left.cast(pa.float64()), right.cast(pa.float64())
    checked: Callable[..., Any]
    match op:
        case ast.Div():
            return pc.divide(left, right)
        case ast.Pow():
            return pc.power(left, right)
        case ast.FloorDiv() | ast.Mod():
            exact = left.cast(pa.float64()), right.cast(pa.float64())
            quotient = pc.floor(pc.divide(*exact))
            if isinstance(op, ast.FloorDiv):
                return quotient
            return pc.subtract(exact[0], pc.multiply(exact[1], quotient))
        case ast.Add():
            checked = pc.add_checked
        case ast.Sub():
            checked = pc.subtract_checked
        case _:
            checked = pc.multiply_checked
    try:
        return checked(left, right)
    except pa.ArrowInvalid:  # integer overflow: floats lose digits but keep the size
        return checked(left.cast(pa.float64()), right.cast(pa.float64()))


def _plain(array: Any) -> Any:
    return array.cast(array.type.value_type) if pa.types.is_dictionary(array.type) else array


def _number(value: Any) -> Any:
    kind = value.type
    if pa.types.is_null(kind):
        return value.cast(pa.float64())
    if pa.types.is_boolean(kind):
        return value.cast(pa.int64())
    if pa.types.is_integer(kind) and not pa.types.is_uint64(kind):
        return value.cast(pa.int64())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return value.cast(pa.float64())
    raise TypeError(f"{kind} is not a number")


def _days(left: Any, right: Any) -> Any:
    stamp = pa.timestamp("us")
    ticks = [value.cast(stamp).cast(pa.int64()).cast(pa.float64()) for value in (left, right)]
    return pc.divide(pc.subtract(*ticks), 86_400e6)


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Both sides of a comparison on one line: texts become dates beside dates, numbers meet as numbers."""
    for one, other, turn in ((left, right, False), (right, left, True)):
        if pa.types.is_temporal(one.type) and isinstance(other, pa.Scalar) and pa.types.is_string(other.type):
            moved = numbers.one(other.as_py(), one.type)[0]
            return (moved, one) if turn else (one, moved)
        if pa.types.is_null(one.type):
            return (one.cast(other.type), other) if not turn else (other, one.cast(other.type))
        if pa.types.is_decimal(one.type) or (pa.types.is_boolean(one.type) and not pa.types.is_boolean(other.type)):
            return _number(left), _number(right)
    return left, right


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:79] + "…"
