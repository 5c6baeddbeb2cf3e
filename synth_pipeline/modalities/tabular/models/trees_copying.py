"""The model's own copy test: on a fold of train, how large leaves must be for its rows not to lean on training rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from synth_pipeline.features.columns import Levels, TableEncoder

FLOOR = 20
"""No leaf is smaller unless the user says so, whatever the copy test allows."""
_ROUNDS = 6
_BLOCK = 512
_WIDTH = 512
_LEVEL_WIDTH = 16


@dataclass(frozen=True)
class CopyTest:
    """One answer: `excess` of rows nearer to the fold that was learned than to the fold that was not."""

    min_leaf: int
    share: float
    excess: float
    queries: int
    exact: float
    exact_reference: float

    def keeps(self, limit: float) -> bool:
        """Neither leaning on training rows nor repeating them more than unseen rows would be repeated."""
        slack = 3 * np.sqrt(max(self.exact_reference, 1e-4) / self.queries)
        return self.excess <= limit and self.exact <= self.exact_reference + slack


def positions(encoder: TableEncoder, table: pa.Table, rng: np.random.Generator) -> np.ndarray:
    """Rows as points (float32): a number by its rank, a level by a corner, so that each column weighs at most 1."""
    ranks = encoder.ranks(table)
    parts: list[np.ndarray] = []
    for index, (column, book) in enumerate(zip(encoder.columns, encoder.books, strict=True)):
        if isinstance(book, Levels):
            codes = book.encode(table.column(column.name))
            if book.size + 1 <= 4 * _LEVEL_WIDTH:
                corners = np.eye(book.size + 1, dtype=np.float32)
            else:  # nearly equidistant points in few dimensions
                corners = rng.standard_normal((book.size + 1, _LEVEL_WIDTH), dtype=np.float32)
                corners /= np.linalg.norm(corners, axis=1, keepdims=True)
            parts.append(corners[codes] * np.float32(np.sqrt(0.5)))
        else:
            parts.append(np.nan_to_num(ranks[:, index], nan=-1.0)[:, None])
    points = np.concatenate(parts, axis=1)
    if points.shape[1] > _WIDTH:
        points = points @ rng.standard_normal((points.shape[1], _WIDTH), dtype=np.float32) / np.float32(np.sqrt(_WIDTH))
    return points


def nearest_share(queries: np.ndarray, learned: np.ndarray, unseen: np.ndarray) -> tuple[float, float, float]:
    """Share of queries nearer to `learned` than to `unseen` (a tie counts half), and the rates of exact matches."""
    wins = exact = reference = 0.0
    for low in range(0, len(queries), _BLOCK):
        block = queries[low : low + _BLOCK]
        near, far = (_least(block, points) for points in (learned, unseen))
        wins += float((near < far).sum()) + 0.5 * float((near == far).sum())
        exact += float((near == 0).sum())
        reference += float((far == 0).sum())
    return wins / len(queries), exact / len(queries), reference / len(queries)


def choose_leaf(measure: Callable[[int], CopyTest], rows: int, limit: float, start: int = 100) -> int:
    """The smallest leaf whose copy test keeps `limit`, by bisection; leaves as large as the table if none does."""
    passed: int | None = None
    failed: int | None = None
    leaf = int(np.clip(start, FLOOR, max(FLOOR, rows // 4)))
    for _ in range(_ROUNDS):
        if measure(leaf).keeps(limit):
            passed = leaf
            ahead = leaf // 2 if failed is None else int(np.sqrt(leaf * failed))
        else:
            failed = leaf
            ahead = leaf * 2 if passed is None else int(np.sqrt(leaf * passed))
        ahead = int(np.clip(ahead, FLOOR, rows // 2))
        known = [edge for edge in (passed, failed) if edge is not None]
        if any(abs(np.log(ahead / edge)) < 0.15 for edge in known):
            break
        leaf = ahead
    return passed if passed is not None else rows


def judges_half_width(rows: int) -> float:
    """Half of the 95 % interval that a later judge of `rows` rows will have: where its limit is kept by the bad end.

    1.5: its rows cluster on their nearest real units, and its split is less even than the fold's.
    """
    return 1.5 * 1.96 / np.sqrt(min(rows, 20_000))


def _least(block: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Squared distance to the nearest point, rounded where float32 cannot tell it from equality."""
    best = np.full(len(block), np.inf, np.float32)
    norm = np.einsum("ij,ij->i", block, block)
    for low in range(0, len(points), 32_768):
        part = points[low : low + 32_768]
        distance = block @ part.T
        distance *= -2
        distance += np.einsum("ij,ij->i", part, part)
        np.minimum(best, distance.min(1) + norm, out=best)
    return np.round(np.maximum(best, 0), 5)
