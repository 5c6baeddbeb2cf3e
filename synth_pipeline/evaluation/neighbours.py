"""Exact nearest-neighbour search over mixed-type rows: every reference row counts, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from synth_pipeline.evaluation.columns import Points
from synth_pipeline.evaluation.threads import spread

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


def nearest(queries: Points, side: Points) -> Nearest:
    """For each query the nearest rows of `side` by the sum over columns of min(1, difference).

    Rows within rounding of the nearest are ties. Equal rows of `side` are searched once.
    """
    import torch

    row_of, first, counts = _distinct(side)
    unique = side.take(first)
    slack = 1e-6 * (1 + len(side.axes) + len(side.levels))
    distance = np.empty(len(queries), np.float32)
    weight = np.zeros(len(queries), np.float64)
    q_axes, q_levels = torch.from_numpy(queries.axes), torch.from_numpy(queries.levels)
    r_axes, r_levels = torch.from_numpy(unique.axes), torch.from_numpy(unique.levels)
    weights = torch.from_numpy(counts.astype(np.float32))

    def search(start: int) -> tuple[Array, Array]:
        stop = min(start + _QUERIES, len(queries))
        with torch.inference_mode():
            found = _block(q_axes[:, start:stop], q_levels[:, start:stop], r_axes, r_levels, weights, slack)
        distance[start:stop], weight[start:stop] = found[0], found[1]
        return found[2] + start, found[3]

    pairs = spread(search, range(0, len(queries), _QUERIES))
    query = np.concatenate([pair[0] for pair in pairs]) if pairs else np.empty(0, np.int64)
    row = np.concatenate([pair[1] for pair in pairs]) if pairs else np.empty(0, np.int64)
    return _spread(distance, weight, query, row, row_of, counts)


def _block(
    q_axes: Any, q_levels: Any, r_axes: Any, r_levels: Any, weights: Any, slack: float
) -> tuple[Array, Array, Array, Array]:
    import torch

    size = q_axes.shape[1]
    best = torch.full((size,), torch.inf)
    weight = torch.zeros(size)
    scratch = torch.empty(size, _ROWS), torch.empty(size, _ROWS), torch.empty((size, _ROWS), dtype=torch.bool)
    kept_query, kept_row, kept_distance = [], [], []
    for start in range(0, len(weights), _ROWS):
        stop = min(start + _ROWS, len(weights))
        total, part, differs = (buffer[:, : stop - start] for buffer in scratch)
        total.zero_()
        for axis in range(len(q_axes)):
            torch.sub(q_axes[axis, :, None], r_axes[axis, None, start:stop], out=part)
            total.add_(part.abs_().clamp_(max=1))
        for level in range(len(q_levels)):
            torch.ne(q_levels[level, :, None], r_levels[level, None, start:stop], out=differs)
            total.add_(differs)
        low = total.amin(1)
        near = (low <= best + slack).nonzero().squeeze(1)
        if not len(near):
            continue
        weight[near[low[near] < best[near] - slack]] = 0
        best[near] = torch.minimum(best[near], low[near])
        close = total[near] <= (best[near] + slack)[:, None]
        weight[near] += close.float() @ weights[start:stop]
        query, row = close.nonzero(as_tuple=True)
        rank = torch.arange(len(query)) - torch.searchsorted(query, query)
        query, row = query[rank < _TIES], row[rank < _TIES]
        kept_query.append(near[query])
        kept_row.append(row + start)
        kept_distance.append(total[near[query], row])
    if not kept_query:
        none = np.empty(0, np.int64)
        return best.numpy(), weight.numpy(), none, none
    query, row, apart = (torch.cat(kept) for kept in (kept_query, kept_row, kept_distance))
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
