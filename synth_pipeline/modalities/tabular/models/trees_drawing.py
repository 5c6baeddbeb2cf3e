"""Drawing: codes of new rows from a forest, given which codes some variables may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from synth_pipeline.errors import SpecError
from synth_pipeline.modalities.tabular.models.trees_growing import Forest, Tree

_CHUNK = 65_536
_PATIENCE = 2_000
"""Candidates per wanted row after which conditions count as unattainable."""


@dataclass(frozen=True)
class _Urn:
    """The codes of each leaf, laid out so that one uniform number draws one: leaf l owns `size[l]` from `first[l]`."""

    first: np.ndarray
    size: np.ndarray
    codes: np.ndarray

    @classmethod
    def of(cls, tree: Tree, allowed: np.ndarray | None = None) -> _Urn:
        counts = tree.counts if allowed is None else np.where(allowed[tree.codes], tree.counts, 0)
        ends = np.concatenate([[0], np.cumsum(counts)])[tree.starts]
        small = np.uint8 if tree.codes.max(initial=0) < 256 else np.int32
        return cls(ends[:-1], np.diff(ends), np.repeat(tree.codes.astype(small), counts))


class Drawer:
    """Draws from one forest; what is derived from the arrays (urns, views) is built once."""

    def __init__(self, forest: Forest) -> None:
        self.forest = forest
        self.urns = [_Urn.of(tree) for tree in forest.trees]
        self.plain = [np.array_equal(v.view, np.arange(len(v.view))) for v in forest.variables]

    def draw(
        self,
        rows: int,
        rng: np.random.Generator,
        allowed: Mapping[int, np.ndarray] | None = None,
        kept: np.ndarray | None = None,
        start: int = 0,
    ) -> np.ndarray:
        """Codes, int32, rows × variables.

        `allowed[j]`: which codes variable j may take; rows follow the joint distribution given that (a candidate is
        kept with the probability that its leaf gives to the allowed codes, so the draw is exact in any order of
        variables). `kept`, `start`: rows whose variables before position `start` stay as they are.

        Raises:
            SpecError: no leaf, or hardly any row, satisfies the conditions.
        """
        out = np.empty((rows, len(self.forest.variables)), np.int32, order="F")
        if not allowed:
            for low in range(0, rows, _CHUNK):
                high = min(low + _CHUNK, rows)
                self._chain(out[low:high], rng, None if kept is None else kept[low:high], start)
            return out
        urns = {
            position: _Urn.of(self.forest.trees[position], allowed[index])
            for position, index in enumerate(self.forest.order)
            if index in allowed
        }
        odds = {position: urn.size / np.maximum(self.urns[position].size, 1) for position, urn in urns.items()}
        if rows and any(odd.max() == 0 for odd in odds.values()):
            raise SpecError("no row like the conditions was learned", fix="relax `generation.conditions`")
        done, tried = 0, 0
        while done < rows:
            rate = max(done, 1) / max(tried, 1) if tried else 1.0
            batch = int(np.clip((rows - done) / rate * 1.1 + 64, 64, _CHUNK))
            found = self._conditional(batch, rng, urns, odds)[: rows - done]
            out[done : done + len(found)] = found
            done, tried = done + len(found), tried + batch
            if done < rows and tried > _PATIENCE * rows + 100 * _CHUNK:
                raise SpecError(
                    f"the conditions are too rare: {done} of {rows} rows after {tried} candidates",
                    fix="relax `generation.conditions`, or give the columns the role `condition`",
                )
        return out

    def _chain(self, out: np.ndarray, rng: np.random.Generator, kept: np.ndarray | None, start: int) -> None:
        """Every variable after its predecessors, for one chunk."""
        views: dict[int, np.ndarray] = {}
        for position, index in enumerate(self.forest.order):
            if kept is not None and position < start:
                codes = kept[:, index]
            else:
                tree, urn = self.forest.trees[position], self.urns[position]
                codes = _pick(urn, leaf_of(tree, views, len(out)), rng.random(len(out)))
            out[:, index] = codes
            views[index] = self._view(index, codes)

    def _conditional(
        self, rows: int, rng: np.random.Generator, urns: Mapping[int, _Urn], odds: Mapping[int, np.ndarray]
    ) -> np.ndarray:
        """Candidates, less those that a conditioned variable turned down."""
        columns: dict[int, np.ndarray] = {}
        views: dict[int, np.ndarray] = {}
        for position, index in enumerate(self.forest.order):
            leaf = leaf_of(self.forest.trees[position], views, rows)
            if position in urns:
                odd = odds[position]
                stay = np.flatnonzero(rng.random(rows) * odd.max() < np.broadcast_to(odd[leaf], rows))
                if len(stay) < rows:
                    columns = {key: value[stay] for key, value in columns.items()}
                    views = {key: value[stay] for key, value in views.items()}
                    leaf = leaf[stay] if leaf.ndim else leaf
                    rows = len(stay)
            codes = _pick(urns.get(position, self.urns[position]), leaf, rng.random(rows))
            columns[index], views[index] = codes, self._view(index, codes)
        return np.stack([columns[index].astype(np.int32) for index in range(len(columns))], axis=1)

    def _view(self, index: int, codes: np.ndarray) -> np.ndarray:
        return codes if self.plain[index] and codes.dtype == np.uint8 else self.forest.variables[index].view[codes]


def leaf_of(tree: Tree, views: Mapping[int, np.ndarray], rows: int) -> np.ndarray:
    """Each row's leaf; a scalar 0 where there is only one."""
    if not tree.features:
        return np.zeros((), np.int64)
    leaf: np.ndarray = np.zeros(rows, np.int64)
    for word in range(tree.reach[0].shape[1]):
        bits = tree.reach[0][:, word][views[tree.features[0]]]
        for feature, reach in zip(tree.features[1:], tree.reach[1:], strict=True):
            bits &= reach[:, word][views[feature]]
        # one bit at most is set: a power of two is exact as a float, and its exponent is the bit's number
        exponent = (bits.astype(np.float64).view(np.int64) >> 52) - (1023 - 64 * word)
        leaf = exponent if word == 0 and tree.leaves <= 64 else np.where(bits != 0, exponent, leaf)
    return leaf


def _pick(urn: _Urn, leaf: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    at = uniform * urn.size[leaf]
    return urn.codes[at.astype(np.int64) + urn.first[leaf]]
