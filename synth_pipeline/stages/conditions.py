"""`generation.conditions` and `.balance`, checked against what was learned and put into the columns' own types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.errors import SpecError, did_you_mean
from synth_pipeline.features.levels import level_text, level_texts
from synth_pipeline.records import schema as schemas
from synth_pipeline.records.records import Records
from synth_pipeline.records.schema import Column, Meaning
from synth_pipeline.spec.generation import Generation

Fixed = dict[str, Any]
Weights = dict[str, dict[str, float]]
_LOOK = "see the column's levels with `synth show`, or in the internal report"


def resolve(
    generation: Generation, protected: Records, visible: pa.Schema, model: Mapping[str, Any]
) -> tuple[Fixed, Weights]:
    """Fixed values as Python objects of the column's type, and level weights by the levels' text.

    Raises:
        SpecError: the generator cannot draw under conditions, or a column, value or level was never learned.
    """
    if not generation.conditions and not generation.balance:
        return {}, {}
    if not model["capabilities"]["conditional"]:
        raise SpecError(
            f'generator "{model["type"]}" cannot draw under conditions',
            where="generation",
            fix="use `generator: {type: trees}`, or remove `conditions` and `balance`",
        )
    cols = {column.name: column for column in schemas.columns(visible)}
    fixed: Fixed = {}
    for name, value in generation.conditions.items():
        column = _column(name, cols, protected, f"generation.conditions.{name}")
        fixed[name] = _value(column, value, protected)
    weights: Weights = {}
    for name, wanted in generation.balance.items():
        where = f"generation.balance.{name}"
        column = _column(name, cols, protected, where)
        if column.meaning not in (Meaning.CATEGORY, Meaning.BOOLEAN):
            raise SpecError(f"only a category or boolean can be balanced, not a {column.meaning.value}", where=where)
        levels = _levels(column, protected)
        if wanted == "uniform":
            weights[name] = dict.fromkeys(levels, 1.0)
            continue
        asked = [(level_text(level, column.type), weight) for level, weight in wanted.items()]
        if unknown := {level for level, _ in asked if level not in levels}:
            raise SpecError(f"{len(unknown)} of its levels are not among those learned", where=where, fix=_LOOK)
        if any(weight < 0 for weight in wanted.values()) or not sum(wanted.values()) > 0:
            raise SpecError("weights must not be negative, and one must be positive", where=where)
        weights[name] = dict.fromkeys((level for level, _ in asked), 0.0)
        for level, weight in asked:
            weights[name][level] += weight
    return fixed, weights


def _column(name: str, cols: Mapping[str, Column], protected: Records, where: str) -> Column:
    if name in cols:
        return cols[name]
    if name in protected.schema().names:
        raise SpecError(
            "generators never see this column (identifier, free text or replaced by surrogates)", where=where
        )
    raise SpecError(f'no column "{name}"; {did_you_mean(name, cols)}', where=where)


def _value(column: Column, value: Any, protected: Records) -> Any:
    """`value` in the column's type, if any training row could have had it."""
    where = f"generation.conditions.{column.name}"
    try:
        if isinstance(value, bool) != pa.types.is_boolean(column.type) and not pa.types.is_string(column.type):
            value = str(value) if value is not None else None  # a text parses strictly, True would become 1
        text = pa.scalar(str(value).lower() if isinstance(value, bool) else value)
        scalar = text.cast(column.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        raise SpecError(f"not a {column.type}", where=where) from None
    ordered = column.meaning in (Meaning.NUMBER, Meaning.DATETIME)
    low = high = None
    for _, batch in protected.batches("train", columns=[column.name]):
        array = batch.column(0)
        if not scalar.is_valid:
            if array.null_count:
                return None
        elif ordered:
            ends = pc.min_max(array)
            if ends["min"].is_valid:
                low = ends["min"] if low is None or pc.less(ends["min"], low).as_py() else low
                high = ends["max"] if high is None or pc.greater(ends["max"], high).as_py() else high
        elif pc.any(pc.equal(array, scalar)).as_py():
            return scalar.as_py()
    if low is not None and pc.and_(pc.greater_equal(scalar, low), pc.less_equal(scalar, high)).as_py():
        return scalar.as_py()
    what = "lies outside what was learned" if ordered and scalar.is_valid else "is not among the levels learned"
    raise SpecError(f"the value {what}", where=where, fix=_LOOK)


def _levels(column: Column, protected: Records) -> list[str]:
    """The texts of a column's levels in train, sorted."""
    found: set[str] = set()
    for _, batch in protected.batches("train", columns=[column.name]):
        found.update(text for text in level_texts(pc.unique(batch.column(0))) if text is not None)
    return sorted(found)
