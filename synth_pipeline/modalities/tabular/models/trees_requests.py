"""Requests: fixed values and weights in codes, and rows that keep them and the constraints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth_pipeline.errors import SpecError, did_you_mean
from synth_pipeline.features import numbers
from synth_pipeline.features.columns import Levels, TableEncoder
from synth_pipeline.features.constraints import involved
from synth_pipeline.features.grids import Grid
from synth_pipeline.features.levels import level_texts
from synth_pipeline.modalities.tabular.models.trees_drawing import Drawer
from synth_pipeline.modalities.tabular.models.trees_plan import Plan, made
from synth_pipeline.modalities.tabular.models.trees_uniqueness import Uniqueness
from synth_pipeline.protocols.generator import SampleRequest
from synth_pipeline.spec.constraints import Unique

_ROUNDS = 300
_GENTLE = 8
"""Rounds in which a broken row keeps the variables that come before the broken constraint's."""
_CANDIDATES = 4_096


@dataclass(frozen=True)
class Wish:
    """What one group of rows must have: codes that variables may take, and exact values of columns."""

    allowed: Mapping[int, np.ndarray] = field(default_factory=dict)
    exact: Mapping[str, Any] = field(default_factory=dict)


class Writer:
    """Writes the rows of one request from a fitted model."""

    def __init__(self, plan: Plan, encoder: TableEncoder, drawer: Drawer, request: SampleRequest, rows: int) -> None:
        self.plan, self.encoder, self.drawer = plan, encoder, drawer
        self.wishes, self.weights = self._wishes(request)
        self.period = request.period
        fixed = set(request.fixed) | set(request.weights)
        self.unique = [
            Uniqueness.of(
                constraint.columns,
                tuple(name for name in constraint.columns if plan.plain(name) and name not in fixed),
                encoder,
                rows,
            )
            for constraint in plan.constraints
            if isinstance(constraint, Unique)
        ]
        self.checked = bool(plan.constraints) or any(
            not plan.plain(name) for wish in self.wishes for name in wish.exact
        )

    def rows(self, row_numbers: np.ndarray, rng: np.random.Generator) -> pa.Table:
        """Rows number `row_numbers` of the release.

        Raises:
            SpecError: the conditions cannot be kept together with the constraints.
        """
        count = len(row_numbers)
        if self.period is not None:
            row_numbers = row_numbers % self.period
        group = np.zeros(count, np.int64)
        if self.weights is not None:
            group = rng.choice(len(self.weights), count, p=self.weights)
        codes = self._codes(group, rng)
        table = self._table(codes, group, row_numbers, rng)
        if not self.checked:
            return table
        tried = count
        for turn in range(_ROUNDS):
            broken, unmet = self._broken(table, group)
            again = np.flatnonzero(broken.any(1) | unmet)
            if not len(again) or tried > 1_000 * count + 1_000_000:
                break
            if turn < _GENTLE and not unmet.any() and (start := self._start(broken)):
                fresh = self._codes(group[again], rng, codes[again], start)
                other = self._table(fresh, group[again], row_numbers[again], rng)
                tried += len(again)
            else:  # whole rows: rejection, exact whatever the constraint
                copies = int(np.clip(_CANDIDATES // len(again), 1, 256))
                wide = np.repeat(again, copies)
                fresh = self._codes(group[wide], rng)
                other = self._table(fresh, group[wide], row_numbers[wide], rng)
                bad, off = self._broken(other, group[wide])
                best = (~(bad.any(1) | off)).reshape(len(again), copies).argmax(1) + np.arange(len(again)) * copies
                fresh, other = fresh[best], other.take(pa.array(best))
                tried += len(wide)
            codes[again] = fresh
            place = np.arange(count)
            place[again] = count + np.arange(len(again))
            table = pa.concat_tables([table, other]).take(pa.array(place))
        if self._broken(table, group)[1].any():
            raise SpecError(
                "the fixed values were not met: a column among them is computed from others by a constraint",
                fix="fix the columns that it is computed from instead",
            )
        return table

    def _codes(
        self, group: np.ndarray, rng: np.random.Generator, kept: np.ndarray | None = None, start: int = 0
    ) -> np.ndarray:
        if len(self.wishes) == 1:
            return self.drawer.draw(len(group), rng, self.wishes[0].allowed, kept, start)
        codes = np.empty((len(group), len(self.encoder.books)), np.int32, order="F")
        for index, wish in enumerate(self.wishes):
            here = np.flatnonzero(group == index)
            codes[here] = self.drawer.draw(len(here), rng, wish.allowed)
        return codes

    def _table(
        self, codes: np.ndarray, group: np.ndarray, row_numbers: np.ndarray, rng: np.random.Generator
    ) -> pa.Table:
        def settle(rows: dict[str, pa.Array]) -> None:
            for unique in self.unique:
                unique.settle(rows, row_numbers, self.encoder)

        return self.plan.backward(self.encoder.decode(codes, rng), self._exact(group), settle)

    def _exact(self, group: np.ndarray) -> dict[str, pa.Array]:
        given = {}
        for name in self.wishes[0].exact:
            kind = self.plan.schema.field(name).type
            values = pa.concat_arrays([_one(wish.exact[name], kind) for wish in self.wishes])
            given[name] = values.take(pa.array(group))
        return given

    def _broken(self, table: pa.Table, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Per row and constraint: broken; per row: a fixed value of a computed column is not met."""
        unmet = np.zeros(table.num_rows, bool)
        for name, wanted in self._exact(group).items():
            if not self.plan.plain(name):
                column = table.column(name).combine_chunks()
                same = pc.equal(column, wanted).fill_null(False)
                unmet |= ~np.asarray(pc.or_(same, pc.and_(column.is_null(), wanted.is_null()))).astype(bool)
        return self.plan.broken(table), unmet

    def _start(self, broken: np.ndarray) -> int:
        """The position in drawing order before which nothing feeds a broken constraint; 0 under conditions."""
        if any(wish.allowed for wish in self.wishes):
            return 0
        names = {
            name
            for index in np.flatnonzero(broken.any(0))
            for name in self.plan.sources(involved(self.plan.constraints[index]))
        }
        order = [self.encoder.names[index] for index in self.drawer.forest.order]
        return min((order.index(name) for name in names), default=0)

    def _wishes(self, request: SampleRequest) -> tuple[tuple[Wish, ...], np.ndarray | None]:
        fixed = self._wish(dict(request.fixed))
        if not request.weights:
            return (fixed,), None
        if len(request.weights) > 1:
            raise SpecError("only one column can be balanced at a time")
        name, weights = next(iter(request.weights.items()))
        self._known(name)
        levels = self._levels(name)
        by_text = {str(text): level for text, level in zip(level_texts(levels), levels.to_pylist(), strict=True)}
        if not weights:
            weights = dict.fromkeys(by_text, 1.0)
        values = []
        for text in weights:
            if by_text and text not in by_text:  # levels are data: none is named
                raise SpecError(f'one of the levels asked for of "{name}" was not learned')
            values.append(by_text.get(text, text))
        mass = np.array(list(weights.values()), float)
        if not len(mass) or not (np.isfinite(mass).all() and (mass >= 0).all() and mass.sum() > 0):
            raise SpecError(f'the weights of "{name}" must not be negative, and one must be positive')
        wishes = tuple(self._wish({**request.fixed, name: value}) for value in values)
        return wishes, mass / mass.sum()

    def _levels(self, name: str) -> pa.Array:
        """The levels of an unordered column; none of a number's."""
        for members, allowed in zip(self.plan.joints, self.plan.allowed, strict=True):
            if name in members:
                return pc.unique(allowed.column(name)).drop_null()
        book = self.encoder.books[self.encoder.names.index(name)]
        if isinstance(book, Levels) and self.plan.plain(name):
            return book.values
        if isinstance(book, Grid) and self.plan.plain(name) and len(book.atoms) and not len(book.bin_codes):
            return book.decode(book.atom_codes, np.random.default_rng(0))
        return pa.nulls(0, pa.string())

    def _wish(self, fixed: dict[str, Any]) -> Wish:
        allowed: dict[int, np.ndarray] = {}
        for name, value in fixed.items():
            self._known(name)
            index, mask = self._mask(name, value)
            allowed[index] = allowed[index] & mask if index in allowed else mask
        if any(not mask.any() for mask in allowed.values()):
            raise SpecError("the fixed values never occur together", fix="relax `generation.conditions`")
        return Wish({index: mask for index, mask in allowed.items() if not mask.all()}, fixed)

    def _known(self, name: str) -> None:
        if name not in self.plan.schema.names:
            raise SpecError(f'no learned column "{name}"; {did_you_mean(name, self.plan.schema.names)}')

    def _mask(self, name: str, value: Any) -> tuple[int, np.ndarray]:
        """The variable that decides a column, and which of its codes agree with the value."""
        plan, encoder = self.plan, self.encoder
        kind = plan.schema.field(name).type
        try:
            for members, allowed in zip(plan.joints, plan.allowed, strict=True):
                if name in members:
                    index = encoder.names.index(members[0])
                    column = allowed.column(name).combine_chunks()
                    same = column.is_null() if value is None else pc.equal(column, _one(value, kind)[0])
                    hits = np.flatnonzero(np.asarray(same.fill_null(False)).astype(bool))
                    return index, np.isin(_level_of(encoder, index), hits)
            if plan.plain(name):
                index = encoder.names.index(name)
                mask = np.zeros(encoder.books[index].size, bool)
                mask[encoder.books[index].codes_of(value)] = True
                return index, mask
            index = encoder.names.index(name)
            book = encoder.books[index]
            _one(value, kind)  # is it a value of the column at all?
            if any(made(constraint) == name for constraint in plan.derived):
                assert isinstance(book, Levels)
                return index, np.append(False, [level == (value is None) for level in book.values.to_pylist()])
            mask = np.ones(book.size, bool)
            mask[0] = value is None
            if value is None:
                mask[1:] = False
            return index, mask
        except (ValueError, pa.ArrowInvalid) as error:
            raise SpecError(f'the value asked for of "{name}" cannot be drawn: {error}') from None


def _level_of(encoder: TableEncoder, index: int) -> np.ndarray:
    """Each code's level of a joint's variable; −1 for NULL."""
    book = encoder.books[index]
    assert isinstance(book, Levels)
    return np.append(-1, book.values.to_numpy(zero_copy_only=False))


def _one(value: Any, kind: pa.DataType) -> pa.Array:
    """One Python value as an array of the column's type."""
    if value is None:
        return pa.nulls(1, kind)
    try:
        return numbers.one(value, kind) if numbers.supported(kind) else pa.array([value]).cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise ValueError(f"not a value of type {kind}") from error
