"""Each constraint marks exactly the rows that break it; wrong constraints are refused when training starts."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import TypeAdapter

from synth_pipeline.errors import SpecError
from synth_pipeline.features.constraints import check, violations
from synth_pipeline.features.expression import Expression
from synth_pipeline.spec.constraints import Constraint

TABLE = pa.table(
    {
        "a": [1, 2, None, 4],
        "b": [2, 1, 3, 4],
        "s": ["x", "y", None, "z"],
        "f": [0.5, 0.1, 0.2, None],
        "d": pa.array([dt.date(2000, 2, 29), dt.date(1990, 1, 1), None, dt.date(2020, 5, 5)]),
        "at": pa.array([dt.datetime(2001, 2, 28)] * 4, pa.timestamp("us", "UTC")),
        "two words": [1, 2, 3, 4],
        "__class__": [1, 2, 3, 4],
        "g": pa.array([0, 11, 1, 5], pa.int8()),
        "big": [2**53, 2**53 + 1, 2**53 + 2, 0],
    }
)


def make(**fields: Any) -> Constraint:
    return TypeAdapter(Constraint).validate_python(fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"type": "range", "column": "a", "min": 2}, [1, 0, 0, 0]),
        ({"type": "range", "column": "a", "min": 1.5, "max": 2.5}, [1, 0, 0, 1]),
        ({"type": "range", "column": "d", "max": dt.date(2010, 1, 1)}, [0, 0, 0, 1]),
        ({"type": "range", "column": "at", "min": dt.date(2001, 2, 28)}, [0, 0, 0, 0]),
        ({"type": "inequality", "low": "a", "high": "b"}, [0, 1, 0, 0]),
        ({"type": "inequality", "low": "a", "high": "b", "strict": True}, [0, 1, 0, 1]),
        ({"type": "inequality", "low": "d", "high": "at"}, [0, 0, 0, 1]),
        ({"type": "sum", "total": "b", "parts": ["a", "__class__"]}, [0, 1, 0, 1]),
        ({"type": "formula", "column": "b", "expression": "a * 2 - `two words` % 3 + 1"}, [0, 1, 0, 1]),
        ({"type": "unique", "columns": ["a"]}, [0, 0, 0, 0]),
        ({"type": "unique", "columns": ["at"]}, [0, 1, 1, 1]),
        ({"type": "fixed_combinations", "columns": ["a", "s"]}, [0, 0, 1, 1]),
        ({"type": "age", "birth": "d", "age": "g", "at": "at"}, [0, 0, 0, 1]),
        ({"type": "age", "birth": "d", "age": "g", "at": dt.date(2001, 3, 1)}, [1, 0, 0, 1]),
        ({"type": "predicate", "expression": "a > 1 and s in ('x', 'y') or d < '2001-01-01'"}, [0, 0, 0, 1]),
        ({"type": "predicate", "expression": "s is not null"}, [0, 0, 1, 0]),
        ({"type": "predicate", "expression": "1 < b < 4 and not (a is null)"}, [0, 1, 1, 1]),
        ({"type": "predicate", "expression": "at - d < 3653"}, [0, 1, 0, 0]),
        ({"type": "predicate", "expression": "big != 9007199254740993"}, [0, 1, 0, 0]),
        ({"type": "predicate", "expression": "s == '`x`' or s != 'x'"}, [1, 0, 0, 0]),
        ({"type": "predicate", "expression": "b // 2 == 1"}, [0, 1, 0, 1]),
        ({"type": "predicate", "expression": "1 / (a - a) > 0"}, [0, 0, 0, 0]),
    ],
)
def test_marks_the_rows_that_break_it(fields: dict[str, Any], expected: list[int]) -> None:
    constraint = make(**fields)
    check([constraint], TABLE.schema)
    assert violations(constraint, TABLE, TABLE.slice(0, 2)).astype(int).tolist() == expected


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("__import__('os').system('true')", "Call is not allowed"),
        ("a.real > 1", "Attribute is not allowed"),
        ("a[0] > 1", "Subscript is not allowed"),
        ("(lambda: 1) == 1", "Lambda is not allowed"),
        ("[x for x in (1, 2)] == a", "ListComp is not allowed"),
        ("(y := 1) > 0", "NamedExpr is not allowed"),
        ("f'{a}' == 'x'", "JoinedStr is not allowed"),
        ("a >", "cannot be read"),
        ("aa > 1", 'did you mean "a"'),
        ("s > 1", "does not fit"),
        ("s + 1 > 2", "does not fit"),
        ("d > 'not a date'", "does not fit"),
        ("a + b", "no condition"),
        ("(" * 500 + "a" + ")" * 500 + " > 1", "read|nested"),
        ("a > 1" + " and a > 1" * 2_000, "longer than"),
    ],
)
def test_a_wrong_expression_says_what_is_wrong(expression: str, told: str) -> None:
    with pytest.raises(SpecError, match=told.replace("(", r"\(")):
        check([make(type="predicate", expression=expression)], TABLE.schema)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"type": "range", "column": "s", "min": 1}, "not a number or a date"),
        ({"type": "range", "column": "a", "min": dt.date(2000, 1, 1)}, "another kind"),
        ({"type": "range", "column": "a", "min": 5, "max": 1}, "exceeds"),
        ({"type": "inequality", "low": "a", "high": "d"}, "cannot be compared"),
        ({"type": "inequality", "low": "a", "high": "a"}, "same column"),
        ({"type": "sum", "total": "a", "parts": ["b", "nope"]}, 'no column "nope"'),
        ({"type": "sum", "total": "a", "parts": ["b", "s"]}, "not a number"),
        ({"type": "formula", "column": "a", "expression": "a + 1"}, "from itself"),
        ({"type": "formula", "column": "a", "expression": "b > 1"}, "no number"),
        ({"type": "age", "birth": "b", "age": "g", "at": "at"}, "not a date"),
        ({"type": "unique", "columns": ["__clas__"]}, 'did you mean "__class__"'),
    ],
)
def test_a_constraint_that_does_not_fit_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        check([make(**fields)], TABLE.schema)


def test_logic_is_three_valued() -> None:
    table = pa.table({"p": [True, True, False, None], "q": pa.array([True, None, None, None], pa.bool_())})
    for text, expected in (
        ("p and q", [True, None, False, None]),
        ("p or q", [True, True, None, None]),
        ("not q", [False, None, None, None]),
    ):
        assert Expression.parse(text).evaluate(table).to_pylist() == expected


def test_repeats_are_marked_from_the_second_on() -> None:
    table = pa.table({"k": [1, 1, None, None, 2, 1], "l": ["a", "a", "a", "a", "b", "c"]})
    assert violations(make(type="unique", columns=["k", "l"]), table).tolist() == [0, 1, 0, 0, 0, 0]
    assert violations(make(type="unique", columns=["k"]), table).tolist() == [0, 1, 0, 0, 0, 1]


def test_float_sums_are_equal_within_tolerance() -> None:
    table = pa.table(
        {"t": [0.3, 0.31, float("nan"), float("inf")], "x": [0.1] * 2 + [float("nan"), 1.0], "y": [0.2] * 4}
    )
    assert violations(make(type="sum", total="t", parts=["x", "y"]), table).tolist() == [0, 1, 0, 1]
    assert violations(make(type="sum", total="t", parts=["x", "y"], tolerance=0.1), table)[1] == np.False_
