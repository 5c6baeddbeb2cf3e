"""Exact nearest-neighbour search over mixed-type rows: every reference row counts, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from synth_pipeline.evaluation.threads import spread
from synth_pipeline.protocols.points import Points, Vectors

Array = np.ndarray
_QUERIES = 128
_ROWS = 4096  # a block of distances and its scratch stay within the cores' caches
_SPARSE = 0.1
"""Pairs that levels leave over are measured one by one when they are no more than this part of a block."""
_TIES = 256
"""Tied rows that are remembered per query; their number and weight are counted whatever it is."""


@dataclass(frozen=True)
class Nearest:
    """The nearest of one side for each query.

    `weight`: how many rows lie at that distance. `query`, `row`, `part`: those rows (the first `_TIES` distinct ones),
    and what part of the query each stands for: a query's parts sum to 1.
    """

    distance: Array
    weight: Array
    query: Array
    row: Array
    part: Array


def nearest(queries: Points | Vectors, side: Points | Vectors) -> Nearest:
    """For each query the nearest rows of `side` by the sum over columns of min(1, difference).

    Rows within rounding of the nearest are ties. Equal rows of `side` are searched once.
    """
    import torch

    assert isinstance(queries, Points)
    assert isinstance(side, Points)
    row_of, first, counts = _distinct(side)
    unique = side.take(first)
    slack = 1e-6 * (1 + len(side.axes) + len(side.levels))
    distance = np.empty(len(queries), np.float32)
    weight = np.zeros(len(queries), np.float64)
    asked, known = _tensors(queries, unique), _tensors(unique, queries)
    weights = torch.from_numpy(counts.astype(np.float32))

    def search(start: int) -> tuple[Array, Array]:
        stop = min(start + _QUERIES, len(queries))
        block = [[column[start:stop] for column in kind] for kind in asked]
        with torch.inference_mode():
            found = _block(block, known, weights, slack, stop - start)
        distance[start:stop], weight[start:stop] = found[0], found[1]
        return found[2] + start, found[3]

    pairs = spread(search, range(0, len(queries), _QUERIES))
    query = np.concatenate([pair[0] for pair in pairs]) if pairs else np.empty(0, np.int64)
    row = np.concatenate([pair[1] for pair in pairs]) if pairs else np.empty(0, np.int64)
    return _spread(distance, weight, query, row, row_of, counts)


def knn(queries: Points | Vectors, side: Points | Vectors, k: int, skip: Array | None = None) -> tuple[Array, Array]:
    """The k nearest rows of `side` for each query, nearest first, equal ones by row number: distances (queries, k)
    float32, rows (queries, k) int64. Where `side` has fewer rows: infinite, -1.

    `skip`: per query a row of `side` that does not count: itself, when rows are held against their own side.
    """
    distance = np.full((len(queries), k), np.inf, np.float32)
    row = np.full((len(queries), k), -1, np.int64)

    def search(start: int) -> None:
        block = queries.take(np.arange(start, min(start + _QUERIES, len(queries))))
        apart = _apart(block, side)
        if skip is not None:
            apart[np.arange(len(block)), skip[start : start + len(block)]] = np.inf
        order = np.argsort(apart, axis=1, kind="stable")[:, :k]
        distance[start : start + len(block), : order.shape[1]] = np.take_along_axis(apart, order, 1)
        row[start : start + len(block), : order.shape[1]] = order

    spread(search, range(0, len(queries), _QUERIES))
    return distance, row


def _apart(queries: Points | Vectors, side: Points | Vectors) -> Array:
    if isinstance(queries, Vectors) and isinstance(side, Vectors):
        return np.sqrt(((queries.values[:, None] - side.values[None]) ** 2).sum(2))
    assert isinstance(queries, Points)
    assert isinstance(side, Points)
    total = np.zeros((len(queries), len(side)), np.float32)
    for mine, theirs in zip(queries.axes, side.axes, strict=True):
        total += np.minimum(np.abs(mine[:, None] - theirs[None]), 1)
    for codes, others in zip(queries.levels, side.levels, strict=True):
        total += codes[:, None] != others[None]
    return total


def _tensors(rows: Points, others: Points) -> list[list[Any]]:
    """The axes as float32, the levels in the fewest bytes that hold both sides' codes: narrow ones compare faster."""
    import torch

    levels = []
    for codes, theirs in zip(rows.levels, others.levels, strict=True):
        most = max(int(codes.max(initial=0)), int(theirs.max(initial=0)))
        kind = np.int8 if most < 127 else np.int16 if most < 32_767 else np.int32
        levels.append(codes.astype(kind))
    return [[torch.from_numpy(axis) for axis in rows.axes], levels]


def _block(asked: Any, known: Any, weights: Any, slack: float, size: int) -> tuple[Array, Array, Array, Array]:
    """Nearest distances, their weights and the tied pairs (query, distinct row) of a block of queries.

    Levels first: where they alone already differ more often than the best distance so far, the axes cannot help.
    """
    import torch

    best = torch.full((size,), torch.inf)
    weight = torch.zeros(size)
    kept: list[tuple[Any, Any, Any]] = []
    few = len(known[1]) < 255
    differ = np.empty((size, _ROWS), np.uint8 if few else np.int16)
    unequal = np.empty((size, _ROWS), bool)
    total, part = torch.empty(size, _ROWS), torch.empty(size, _ROWS)
    for start in range(0, len(weights), _ROWS):
        stop = min(start + _ROWS, len(weights))
        width = stop - start
        counted, mask = differ[:, :width], unequal[:, :width]
        counted.fill(0)
        for mine, theirs in zip(asked[1], known[1], strict=True):  # numpy compares bytes 15 times faster than torch
            np.not_equal(mine[:, None], theirs[None, start:stop], out=mask)
            np.add(counted, mask.view(np.uint8), out=counted)
        bound = np.minimum((best + slack).numpy(), 254 if few else 32_000).astype(counted.dtype)
        flat = np.flatnonzero(np.less_equal(counted, bound[:, None], out=mask)) if known[1] else None
        if flat is not None and len(flat) <= _SPARSE * size * width:
            places = np.divmod(flat, width)
            query, row = map(torch.from_numpy, places)
            apart = torch.from_numpy(counted[places].astype(np.float32))
            for mine, theirs in zip(asked[0], known[0], strict=True):
                apart += (mine[query] - theirs[row + start]).abs_().clamp_(max=1)
            low = torch.full((size,), torch.inf).scatter_reduce_(0, query, apart, "amin")
            weight[low < best - slack] = 0
            best = torch.minimum(best, low)
            close = apart <= best[query] + slack
            query, row, apart = query[close], row[close], apart[close]
        else:
            whole = total[:, :width].copy_(torch.from_numpy(counted))
            for mine, theirs in zip(asked[0], known[0], strict=True):
                torch.sub(mine[:, None], theirs[None, start:stop], out=part[:, :width])
                whole.add_(part[:, :width].abs_().clamp_(max=1))
            low = whole.amin(1)
            weight[low < best - slack] = 0
            near = (low <= best + slack).nonzero().squeeze(1)
            best = torch.minimum(best, low)
            place, row = (whole[near] <= (best[near] + slack)[:, None]).nonzero(as_tuple=True)
            query = near[place]
            apart = whole[query, row]
        weight.index_add_(0, query, weights[row + start])
        first = torch.arange(len(query)) - torch.searchsorted(query, query) < _TIES
        kept.append((query[first], row[first] + start, apart[first]))
    query, row, apart = (torch.cat(parts) for parts in zip(*kept, strict=True))
    tied = apart <= best[query] + slack
    return best.numpy(), weight.numpy(), query[tied].numpy(), row[tied].numpy()


def _spread(distance: Array, weight: Array, query: Array, row: Array, row_of: Array, counts: Array) -> Nearest:
    """From distinct rows back to all rows: each of the equal rows takes its even part."""
    share = counts[row].astype(np.float64)
    total = np.bincount(query, share, minlength=len(distance))
    order = np.argsort(row_of, kind="stable")  # rows grouped by what they are equal to
    begin = np.concatenate([[0], np.cumsum(counts)])[row]
    repeat = np.minimum(counts[row], _TIES)
    offset = np.arange(repeat.sum()) - np.repeat(np.cumsum(repeat) - repeat, repeat)
    return Nearest(
        distance=distance,
        weight=weight,
        query=np.repeat(query, repeat),
        row=order[np.repeat(begin, repeat) + offset],
        part=np.repeat(share / total[query] / repeat, repeat),
    )


def _distinct(side: Points) -> tuple[Array, Array, Array]:
    """(number of its distinct row for each row, first row of each distinct row, how often each occurs)."""
    flat = np.ascontiguousarray(np.concatenate([side.axes.view(np.int32), side.levels]).T)
    if not flat.shape[1]:
        flat = np.zeros((len(side), 1), np.int32)
    keys = flat.view(np.dtype((np.void, flat.shape[1] * 4))).ravel()
    _, first, row_of, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    return row_of, first, counts
