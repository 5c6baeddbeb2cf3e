"""Distances of a block of queries to a stretch of rows: cheap bounds leave few pairs over, to be measured exactly."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from synth_pipeline.protocols.points import Points, Vectors

Array = np.ndarray
Pairs = tuple[Array, Array, Array]
"""Query (counted within its block), row, distance; by query, then row."""
_SPARSE = 0.1
"""Pairs that levels leave over are measured one by one when they are no more than this part of a stretch."""
_SEEN = 1024
"""Rows of which a block first sees how far its nearest may lie."""
_CELLS = 1 << 19
"""Differences in double precision that are held at once."""
_FAR = 2.0**50
"""Rows beyond are always measured exactly: their squares would leave the range of single precision."""
_TINY = 1e-36
"""What products of single precision may lose below their range, per dimension."""


class Block(Protocol):
    """Some queries against all rows of a side."""

    def near(self, start: int, stop: int, limit: Array) -> Pairs:
        """All pairs with rows from `start` to `stop` that lie no farther apart than the query's `limit`."""

    def reach(self, k: int) -> Array:
        """Per query a distance within which k rows lie; infinite where there are not so many."""


class Mixed:
    """Points: levels first. Where they alone differ more often than the limit allows, the axes cannot help."""

    def __init__(self, queries: Points, side: Points) -> None:
        self._asked, self._known = _columns(queries, side), _columns(side, queries)
        seen = side.take(_sample(len(side)))
        self._seen, self._count = _columns(seen, queries), len(seen)

    def block(self, start: int, stop: int, width: int) -> Block:
        asked = [[column[start:stop] for column in kind] for kind in self._asked]
        return _MixedBlock(asked, self._known, self._seen, self._count, (stop - start, width))


class Euclidean:
    """Vectors: a product of matrices, centred, proposes; how far it may err is known (Higham 2002, section 3.1), so
    that nothing is missed. What it proposes is measured by differences in double precision."""

    def __init__(self, queries: Vectors, side: Vectors) -> None:
        import torch

        self.queries, self.side = queries.values, side.values
        lengths = np.abs(self.side).max(1, initial=0)
        usual = float(np.median(lengths)) if len(lengths) else 0.0
        usual = usual or float(lengths.max(initial=0))
        # dividing by a power of two is exact; a few rows that lie far off shall not spoil it for the others
        self.scale = 2.0 ** float(np.clip(np.ceil(np.log2(usual)), -100, 100)) if usual else 1.0
        plain = self.side[lengths / 1024 <= usual]
        centre = (plain.mean(0, dtype=np.float64) / self.scale).astype(np.float32) if len(plain) else np.float32(0)
        error = (self.side.shape[1] + 16) * 2.0**-23
        moved, self.low, self.high = [], [], []
        for values in (self.queries, self.side):
            with np.errstate(over="ignore"):
                placed = values * np.float32(1 / self.scale) - centre
            far = np.abs(placed).max(1, initial=0) > _FAR
            placed[far] = 0
            squares = np.einsum("ij,ij->i", placed, placed, dtype=np.float64)
            moved.append(torch.from_numpy(placed))
            self.low.append(np.where(far, -np.inf, squares * (1 - error)))
            self.high.append(np.where(far, np.inf, squares * (1 + error)))
        self.asked, self.known = moved
        self.known_low = torch.from_numpy(self.low[1].astype(np.float32))
        self.tiny = _TINY * queries.values.shape[1]
        self.seen = _sample(len(side))

    def block(self, start: int, stop: int, width: int) -> Block:
        return _EuclideanBlock(self, slice(start, stop))


def measured(queries: Points | Vectors, side: Points | Vectors) -> Mixed | Euclidean:
    if isinstance(queries, Vectors) and isinstance(side, Vectors):
        return Euclidean(queries, side)
    assert isinstance(queries, Points)
    assert isinstance(side, Points)
    return Mixed(queries, side)


class _MixedBlock:
    def __init__(self, asked: Any, known: Any, seen: Any, count: int, shape: tuple[int, int]) -> None:
        import torch

        self._asked, self._known, self._seen, self._count = asked, known, seen, count
        self._few = len(known[1]) < 255
        self._differ = np.empty(shape, np.uint8 if self._few else np.int16)
        self._unequal = np.empty(shape, bool)
        self._total, self._part = torch.empty(shape), torch.empty(shape)

    def near(self, start: int, stop: int, limit: Array) -> Pairs:
        import torch

        counted = self._counted(self._known[1], start, stop)
        if self._known[1]:
            most = np.clip(np.floor(limit), -1, 254 if self._few else 32_000)
            bound = most.astype(counted.dtype)
            mask = np.less_equal(counted, bound[:, None], out=self._unequal[:, : stop - start])
            mask &= (most >= 0)[:, None]
            flat = np.flatnonzero(mask)
            if len(flat) <= _SPARSE * mask.size:
                places = np.divmod(flat, stop - start)
                query, row = map(torch.from_numpy, places)
                apart = torch.from_numpy(counted[places].astype(np.float32))
                for mine, theirs in zip(self._asked[0], self._known[0], strict=True):
                    apart += (mine[query] - theirs[row + start]).abs_().clamp_(max=1)
                exact = apart.numpy()
                close = exact <= limit[places[0]]
                return places[0][close], places[1][close] + start, exact[close]
        whole = self._whole(counted, self._known[0], start, stop)
        asked, found = np.divmod(np.flatnonzero(whole <= limit[:, None]), stop - start)
        return asked, found + start, whole[asked, found]

    def reach(self, k: int) -> Array:
        if self._count < k:
            return np.full(len(self._differ), np.inf, np.float32)
        whole = self._whole(self._counted(self._seen[1], 0, self._count), self._seen[0], 0, self._count)
        return np.partition(whole, k - 1, axis=1)[:, k - 1] if k > 1 else whole.min(1)

    def _counted(self, levels: Any, start: int, stop: int) -> Array:
        """How many levels differ."""
        counted, mask = self._differ[:, : stop - start], self._unequal[:, : stop - start]
        counted.fill(0)
        for mine, theirs in zip(self._asked[1], levels, strict=True):  # numpy compares bytes 15 times faster than torch
            np.not_equal(mine[:, None], theirs[None, start:stop], out=mask)
            np.add(counted, mask.view(np.uint8), out=counted)
        return counted

    def _whole(self, counted: Array, axes: Any, start: int, stop: int) -> Array:
        import torch

        whole, part = self._total[:, : stop - start], self._part[:, : stop - start]
        whole.copy_(torch.from_numpy(counted))
        for mine, theirs in zip(self._asked[0], axes, strict=True):
            torch.sub(mine[:, None], theirs[None, start:stop], out=part)
            whole.add_(part.abs_().clamp_(max=1))
        return whole.numpy()


class _EuclideanBlock:
    def __init__(self, all_: Euclidean, asked: slice) -> None:
        self._all, self._asked = all_, asked

    def near(self, start: int, stop: int, limit: Array) -> Pairs:
        import torch

        side = self._all
        most = (limit.astype(np.float64) / side.scale) ** 2 + side.tiny - side.low[0][self._asked]
        bound = torch.from_numpy(np.where(limit >= 0, most, -np.inf).astype(np.float32))
        low = torch.addmm(side.known_low[start:stop], side.asked[self._asked], side.known[start:stop].T, alpha=-2)
        flat = np.flatnonzero((low <= bound[:, None]).numpy())
        query, row = np.divmod(flat, stop - start)
        apart = self._exact(query, row + start)
        close = apart <= limit[query]
        return query[close], row[close] + start, apart[close]

    def reach(self, k: int) -> Array:
        side = self._all
        size = self._asked.stop - self._asked.start
        if len(side.seen) < k:
            return np.full(size, np.inf)
        product = (side.asked[self._asked] @ side.known[side.seen].T).numpy().astype(np.float64)
        high = side.high[0][self._asked][:, None] + side.high[1][side.seen] - 2 * product + side.tiny
        nearest = np.partition(high, k - 1, axis=1)[:, k - 1]
        return np.sqrt(np.maximum(nearest, 0)) * side.scale * (1 + 1e-6)

    def _exact(self, query: Array, row: Array) -> Array:
        side = self._all
        apart = np.empty(len(query))
        step = max(1, _CELLS // max(1, side.side.shape[1]))
        for start in range(0, len(query), step):
            part = slice(start, start + step)
            difference = side.queries[query[part] + self._asked.start].astype(np.float64) - side.side[row[part]]
            apart[part] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
        return apart


def _columns(rows: Points, others: Points) -> list[list[Any]]:
    """The axes as float32, the levels in the fewest bytes that hold both sides' codes: narrow ones compare faster."""
    import torch

    levels = []
    for codes, theirs in zip(rows.levels, others.levels, strict=True):
        most = max(int(codes.max(initial=0)), int(theirs.max(initial=0)))
        kind = np.int8 if most < 127 else np.int16 if most < 32_767 else np.int32
        levels.append(codes.astype(kind))
    return [[torch.from_numpy(axis) for axis in rows.axes], levels]


def _sample(rows: int) -> Array:
    """Evenly spread over the rows, so that no order of theirs spoils it."""
    return np.linspace(0, max(rows - 1, 0), min(rows, _SEEN)).astype(np.int64)
