"""`constraints:`: what must hold between the columns of every synthetic row."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from synth_pipeline.spec.base import Spec

Bound = float | datetime.date | datetime.datetime


class Range(Spec):
    """min ≤ column ≤ max (a missing value is allowed)."""

    type: Literal["range"]
    column: str
    min: Bound | None = Field(None, description="Smallest allowed value.")
    max: Bound | None = Field(None, description="Largest allowed value.")

    @model_validator(mode="after")
    def _some(self) -> Range:
        if self.min is None and self.max is None:
            raise ValueError("give `min`, `max` or both")
        return self


class Inequality(Spec):
    """low ≤ high (or low < high), both numbers or both dates; a pair with a missing value is allowed."""

    type: Literal["inequality"]
    low: str = Field(description="Column that must not exceed `high`.")
    high: str = Field(description="Column that must not fall below `low`.")
    strict: bool = Field(False, description="Whether equality is forbidden too.")


class Sum(Spec):
    """total = the sum of the parts."""

    type: Literal["sum"]
    total: str
    parts: tuple[str, ...] = Field(min_length=2)
    tolerance: float = Field(1e-6, ge=0, description="Relative difference that still counts as equal.")


class Formula(Spec):
    """column = an arithmetic expression of other columns; the column is recomputed, never learned."""

    type: Literal["formula"]
    column: str
    expression: str = Field(description="+ - * / // % ** ( ), numbers, column names (in backticks where needed).")
    tolerance: float = Field(1e-6, ge=0, description="Relative difference that still counts as equal.")


class FixedCombinations(Spec):
    """Only combinations of these columns that train holds may occur."""

    type: Literal["fixed_combinations"]
    columns: tuple[str, ...] = Field(min_length=2)


class Unique(Spec):
    """No two rows share these columns' values."""

    type: Literal["unique"]
    columns: tuple[str, ...] = Field(min_length=1)


class Age(Spec):
    """age = whole years from birth to `at`; the age is recomputed, never learned."""

    type: Literal["age"]
    birth: str = Field(description="Date column.")
    age: str = Field(description="Integer column.")
    at: datetime.date | str = Field(
        union_mode="left_to_right", description="Date column, or one date, at which the age holds."
    )


class Predicate(Spec):
    """A condition on each row; rows that break it are drawn again."""

    type: Literal["predicate"]
    expression: str = Field(
        description="Comparisons, `and or not in is null`, arithmetic, columns, numbers, 'texts'. A missing value "
        "makes a comparison unknown, and unknown is allowed."
    )


Constraint = Annotated[
    Range | Inequality | Sum | Formula | FixedCombinations | Unique | Age | Predicate, Field(discriminator="type")
]
