"""Keeping constraints for generators that do not: what follows from other columns is computed, the rest drawn again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.features.constraints import age_of, involved, total_of, violations
from synth_pipeline.features.expression import Expression
from synth_pipeline.records.records import Records
from synth_pipeline.spec.constraints import Age, Constraint, FixedCombinations, Formula, Sum

ROUNDS = 20
"""How often rows that break a constraint are drawn again before the rest is let through, and counted."""


@dataclass
class Kept:
    """What keeping cost, and what could not be kept: rows by constraint."""

    rejected: int = 0
    violations: dict[str, int] = field(default_factory=dict)


def references(constraints: Iterable[Constraint], protected: Records) -> Mapping[int, pa.Table]:
    """The distinct combinations in train that `fixed_combinations` allows, by the constraint's place."""
    found = {}
    for index, constraint in enumerate(constraints):
        if isinstance(constraint, FixedCombinations):
            names = list(involved(constraint))
            distinct: pa.Table | None = None
            for _, batch in protected.batches("train", columns=names):
                rows = pa.Table.from_batches([batch])
                rows = rows if distinct is None else pa.concat_tables([distinct, rows])
                distinct = rows.group_by(names).aggregate([])
            if distinct is not None:
                found[index] = distinct.select(names)
    return found


def keep(
    draw: Callable[[int, int], pa.Table],
    rows: int,
    constraints: tuple[Constraint, ...],
    reference: Mapping[int, pa.Table],
    kept: Kept,
) -> pa.Table:
    """`rows` rows of `draw(how many, round)`: rows that break a constraint are drawn again, at most `ROUNDS` times."""
    good: pa.Table | None = None
    missing = rows
    for attempt in range(ROUNDS + 1):
        drawn = derive(draw(missing, attempt), constraints)
        table = drawn if good is None else pa.concat_tables([good, drawn])
        broken = [violations(constraint, table, reference.get(i)) for i, constraint in enumerate(constraints)]
        wrong = np.logical_or.reduce(broken)
        missing = int(wrong.sum())
        if missing == 0 or attempt == ROUNDS:
            break
        kept.rejected += missing
        good = table.filter(pa.array(~wrong))
    for constraint, mask in zip(constraints, broken, strict=True):
        if count := int(mask.sum()):
            name = f"{constraint.type}({', '.join(involved(constraint))})"
            kept.violations[name] = kept.violations.get(name, 0) + count
    return table


def derived(constraints: Iterable[Constraint]) -> set[str]:
    """The columns that follow from others."""
    return {involved(constraint)[_PLACE[type(constraint)]] for constraint in constraints if type(constraint) in _PLACE}


_PLACE: Mapping[type, int] = {Sum: 0, Formula: 0, Age: 1}


def derive(table: pa.Table, constraints: tuple[Constraint, ...]) -> pa.Table:
    """Sums, formulas and ages computed; where a part is missing, so is what follows from it."""
    for constraint in constraints:
        match constraint:
            case Sum(total=name):
                value = total_of(constraint, table)
            case Formula(column=name, expression=text):
                value = Expression.parse(text).evaluate(table)
            case Age(age=name):
                value = age_of(constraint, table)
            case _:
                continue
        place = table.schema.get_field_index(name)
        kind = table.schema.field(place).type
        if isinstance(value, pa.Scalar):
            value = pa.array([value.as_py()] * table.num_rows, value.type)
        if pa.types.is_integer(kind) and pa.types.is_floating(value.type):
            value = pc.round(value)
        table = table.set_column(place, table.schema.field(place), value.cast(kind, safe=False))
    return table
