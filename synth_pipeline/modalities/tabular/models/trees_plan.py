"""Constraints by construction: which variables stand for the columns, how rows come back, and what is drawn again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from synth_pipeline.errors import SpecError, did_you_mean
from synth_pipeline.features.columns import Levels, TableEncoder
from synth_pipeline.features.constraints import violations
from synth_pipeline.modalities.tabular.models.trees_drawing import Drawer
from synth_pipeline.protocols.generator import SampleRequest
from synth_pipeline.records.schema import Column, columns, decode, encode
from synth_pipeline.seeds import Seeds
from synth_pipeline.spec.constraints import Constraint

_TRIES = 50


@dataclass(frozen=True)
class Wish:
    """A request in codes: what variables may take, groups of levels with their weights, values set at the end."""

    allowed: Mapping[int, np.ndarray] = field(default_factory=dict)
    levels: tuple[Mapping[int, np.ndarray], ...] = ()
    weights: np.ndarray | None = None
    exact: Mapping[str, Any] = field(default_factory=dict)
    level_values: tuple[Any, ...] = ()
    level_column: str = ""


@dataclass(frozen=True)
class Plan:
    """How the columns of `schema` are modelled under `constraints`."""

    schema: pa.Schema
    constraints: tuple[Constraint, ...]

    @classmethod
    def fit(cls, constraints: tuple[Constraint, ...], table: pa.Table, seeds: Seeds) -> Plan:
        return cls(table.schema, constraints)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The variables that are learned."""
        return tuple(columns(self.schema))

    def forward(self, table: pa.Table) -> pa.Table:
        return table

    def backward(self, inner: pa.Table) -> pa.Table:
        return inner

    def wish(self, request: SampleRequest, encoder: TableEncoder) -> Wish:
        allowed: dict[int, np.ndarray] = {}
        for name, value in request.fixed.items():
            index = self._index(name, encoder)
            allowed[index] = _mask(encoder, index, value)
        if not request.weights:
            return Wish(allowed, exact=dict(request.fixed))
        (name, weights) = next(iter(request.weights.items()))
        index = self._index(name, encoder)
        book = encoder.books[index]
        if not weights and isinstance(book, Levels):
            weights = {str(value): 1.0 for value in book.values.to_pylist()}
        values = [_level(book, text) for text in weights]
        mass = np.array(list(weights.values()), float)
        if not len(mass) or (mass < 0).any() or mass.sum() <= 0:
            raise SpecError(f'the weights of "{name}" must not be negative, and one must be positive')
        return Wish(
            allowed,
            tuple({**allowed, index: _mask(encoder, index, value)} for value in values),
            mass / mass.sum(),
            dict(request.fixed),
            tuple(values),
            name,
        )

    def rows(
        self, wish: Wish, numbers: np.ndarray, drawer: Drawer, encoder: TableEncoder, rng: np.random.Generator
    ) -> pa.Table:
        """Rows number `numbers` of the release."""
        count = len(numbers)
        if wish.weights is None:
            group = np.zeros(count, np.int64)
            codes = drawer.draw(count, rng, wish.allowed)
        else:
            group = rng.choice(len(wish.weights), count, p=wish.weights)
            codes = np.empty((count, len(encoder.books)), np.int32, order="F")
            for level, allowed in enumerate(wish.levels):
                here = np.flatnonzero(group == level)
                codes[here] = drawer.draw(len(here), rng, allowed)
        table = self._finish(wish, codes, group, encoder, rng)
        for _ in range(_TRIES):
            broken = self.broken(table)
            if not broken.any():
                break
            again = np.flatnonzero(broken)
            if wish.weights is None:
                fresh = drawer.draw(len(again), rng, wish.allowed)
            else:
                fresh = np.empty((len(again), len(encoder.books)), np.int32, order="F")
                for level, allowed in enumerate(wish.levels):
                    here = np.flatnonzero(group[again] == level)
                    fresh[here] = drawer.draw(len(here), rng, allowed)
            other = self._finish(wish, fresh, group[again], encoder, rng)
            place = np.arange(count)
            place[again] = count + np.arange(len(again))
            table = pa.concat_tables([table, other]).take(pa.array(place))
        return table

    def broken(self, table: pa.Table) -> np.ndarray:
        bad = np.zeros(table.num_rows, bool)
        for constraint in self.constraints:
            bad |= violations(constraint, table)
        return bad

    def save(self, folder: Path) -> None:
        (folder / "plan.json").write_text(json.dumps({"schema": encode(self.schema)}), "utf-8")

    @classmethod
    def load(cls, folder: Path, constraints: tuple[Constraint, ...]) -> Plan:
        note = json.loads((folder / "plan.json").read_text("utf-8"))
        return cls(decode(note["schema"]), constraints)

    def _finish(
        self, wish: Wish, codes: np.ndarray, group: np.ndarray, encoder: TableEncoder, rng: np.random.Generator
    ) -> pa.Table:
        table = self.backward(encoder.decode(codes, rng))
        for name, value in wish.exact.items():
            kind = table.schema.field(name)
            table = table.set_column(table.schema.get_field_index(name), kind, _constant(value, kind.type, len(codes)))
        return table

    def _index(self, name: str, encoder: TableEncoder) -> int:
        if name not in encoder.names:
            raise SpecError(f'no learned column "{name}"; {did_you_mean(name, encoder.names)}')
        return encoder.names.index(name)


def _mask(encoder: TableEncoder, index: int, value: Any) -> np.ndarray:
    book = encoder.books[index]
    mask = np.zeros(book.size, bool)
    try:
        mask[book.codes_of(value)] = True
    except ValueError as error:
        raise SpecError(f'the value asked for of "{encoder.names[index]}" cannot be drawn: {error}') from None
    return mask


def _level(book: Any, text: str) -> Any:
    if isinstance(book, Levels):
        for value in book.values.to_pylist():
            if str(value).lower() == text.lower() or str(value) == text:
                return value
    return text


def _constant(value: Any, kind: pa.DataType, rows: int) -> pa.Array:
    from synth_pipeline.features import numbers

    if value is None:
        return pa.nulls(rows, kind)
    one = numbers.one(value, kind) if numbers.supported(kind) else pa.array([value]).cast(kind)
    return pa.repeat(one[0], rows)
