"""Exact nearest-neighbour search over mixed columns or vectors: every reference row counts, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import numpy as np

from synth_pipeline.evaluation.distances import Block, measured
from synth_pipeline.evaluation.threads import spread
from synth_pipeline.protocols.points import Points, Vectors

Array = np.ndarray
_QUERIES = 128
_ROWS = 4096  # a block of distances and its scratch stay within the cores' caches
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


@dataclass(frozen=True)
class Within:
    """Per query how many rows its radius holds, and the sum of their numbers (where it is one: which); per row how many
    queries' radii hold it, and the sum of theirs."""

    count: Array
    row: Array
    reached: Array
    query: Array


def nearest(queries: Points | Vectors, side: Points | Vectors) -> Nearest:
    """For each query the nearest rows of `side`.

    Rows within rounding of the nearest are ties. Equal rows of `side` are searched once.
    """
    row_of, first, counts = distinct(side)
    unique = side.take(first)
    slack = _slack(side)
    distance = np.empty(len(queries), np.float32)
    weight = np.zeros(len(queries), np.float64)
    known = measured(queries, unique)

    def search(start: int) -> tuple[Array, Array]:
        stop = min(start + _QUERIES, len(queries))
        found = _tied(known.block(start, stop, _ROWS), counts, slack, stop - start)
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
    known = measured(queries, side)

    def search(start: int) -> None:
        stop = min(start + _QUERIES, len(queries))
        without = None if skip is None else skip[start:stop]
        query, place, found, apart = _closest(known.block(start, stop, _ROWS), len(side), k, without, stop - start)
        distance[start + query, place], row[start + query, place] = apart, found

    spread(search, range(0, len(queries), _QUERIES))
    return distance, row


def within(queries: Points | Vectors, side: Points | Vectors, radius: Array) -> Within:
    """Which rows of `side` lie within each query's radius."""
    count, row = np.zeros(len(queries), np.int64), np.zeros(len(queries), np.int64)
    reached, query = np.zeros(len(side), np.int64), np.zeros(len(side), np.int64)
    known = measured(queries, side)
    turn = Lock()

    def search(start: int) -> None:
        stop = min(start + _QUERIES, len(queries))
        block = known.block(start, stop, _ROWS)
        for first in range(0, len(side), _ROWS):
            last = min(first + _ROWS, len(side))
            asked, found, _ = block.near(first, last, radius[start:stop])
            with turn:
                for total, place, value in ((count, asked + start, 1), (row, asked + start, found)):
                    np.add.at(total, place, value)
                for total, value in ((reached, 1), (query, asked + start)):
                    np.add.at(total, found, value)

    spread(search, range(0, len(queries), _QUERIES))
    return Within(count, row, reached, query)


def rounded_up(distance: Array, side: Points | Vectors) -> Array:
    """Distances of rows of `side`, and what rounding may have taken from equal ones."""
    return distance.astype(np.float64) * (1 + 2.0**-22) + _slack(side)


def distinct(side: Points | Vectors) -> tuple[Array, Array, Array]:
    """The distinct rows: for each row which of them it is; the first row of each, and how often it occurs."""
    if isinstance(side, Vectors):
        flat = np.ascontiguousarray(side.values, np.float32).view(np.int32)
    else:
        flat = np.ascontiguousarray(np.concatenate([side.axes.view(np.int32), side.levels]).T)
    if not flat.shape[1]:
        flat = np.zeros((len(side), 1), np.int32)
    keys = flat.view(np.dtype((np.void, flat.shape[1] * 4))).ravel()
    _, first, row_of, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    return row_of, first, counts


def _slack(side: Points | Vectors) -> float:
    return side.rounding / 10 if isinstance(side, Points) else side.rounding


def _tied(block: Block, counts: Array, slack: float, size: int) -> tuple[Array, Array, Array, Array]:
    """Nearest distances, their weights and the tied pairs (query, distinct row) of a block of queries."""
    best = block.reach(1)
    weight = np.zeros(size)
    kept = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for start in range(0, len(counts), _ROWS):
        query, row, apart = block.near(start, min(start + _ROWS, len(counts)), best + slack)
        if not len(query):
            continue
        asked, begin = np.unique(query, return_index=True)
        low = np.minimum.reduceat(apart, begin)
        weight[asked[low < best[asked] - slack]] = 0
        best[asked] = np.minimum(best[asked], low)
        close = apart <= best[query] + slack
        query, row, apart = query[close], row[close], apart[close]
        weight += np.bincount(query, counts[row], minlength=size)
        first = _rank(query) < _TIES
        kept.append((query[first], row[first], apart[first]))
    query, row, apart = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    tied = apart <= best[query] + slack
    return best, weight, query[tied], row[tied]


def _closest(block: Block, rows: int, k: int, skip: Array | None, size: int) -> tuple[Array, Array, Array, Array]:
    """Query, rank, row and distance of the k nearest of each query of a block."""
    limit = block.reach(k if skip is None else k + 1)
    query, row, apart = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    rank = query
    for start in range(0, rows, _ROWS):
        more, others, distances = block.near(start, min(start + _ROWS, rows), limit)
        if skip is not None:
            other = others != skip[more]
            more, others, distances = more[other], others[other], distances[other]
        if not len(more):
            continue
        query, row = np.concatenate([query, more]), np.concatenate([row, others])
        apart = np.concatenate([apart, distances])
        order = np.lexsort((apart, query))  # stable: of equals the lower row, which was found earlier, comes first
        query, row, apart = query[order], row[order], apart[order]
        rank = _rank(query)
        first = rank < k
        query, row, apart, rank = query[first], row[first], apart[first], rank[first]
        full = rank == k - 1
        # later rows are kept only if they are nearer: of equals the lower row counts
        limit[query[full]] = np.nextafter(apart[full].astype(limit.dtype), -np.inf)
    return query, rank, row, apart


def _rank(query: Array) -> Array:
    """The how many-th of its query each pair is, in sorted pairs."""
    return np.arange(len(query)) - np.searchsorted(query, query)


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
