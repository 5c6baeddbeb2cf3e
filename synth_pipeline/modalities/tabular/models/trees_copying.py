"""The model's own copy test: on a fold of train, how large leaves must be for its rows not to lean on training rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from synth_pipeline.features.columns import Levels, TableEncoder

FLOOR = 20
"""No leaf is smaller unless the user says so, whatever the copy test allows."""
_ROUNDS = 5
_START = 120
_BLOCK = 512
_POINTS = 8_192
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
        slack = max(0.001, 3 * np.sqrt(self.exact_reference / self.queries))
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
    sides = _with_norms(learned), _with_norms(unseen)
    for low in range(0, len(queries), _BLOCK):
        block = queries[low : low + _BLOCK]
        near, far = (_least(block, side) for side in sides)
        wins += float((near < far).sum()) + 0.5 * float((near == far).sum())
        exact += float((near == 0).sum())
        reference += float((far == 0).sum())
    return wins / len(queries), exact / len(queries), reference / len(queries)


def choose_leaf(measure: Callable[[int], CopyTest], rows: int, limit: float) -> int:
    """The smallest leaf whose copy test keeps `limit`, found in few tests; no splits at all if none does.

    Between tests the excess is taken to fall with leaf^-0.8 (measured on Adult between 50 and 400).
    """
    passed, failed = rows, 0
    leaf = int(np.clip(_START, FLOOR, max(FLOOR, rows // 4)))
    for _ in range(_ROUNDS):
        test = measure(leaf)
        step = (max(test.excess, limit / 8) / limit) ** 1.25
        if test.keeps(limit):
            passed = leaf
            ahead = leaf * min(max(step, 0.25), 0.8)
            if test.excess > 0.75 * limit:
                break
        else:
            failed = leaf
            ahead = leaf * min(max(step, 1.25), 4)
        ahead = max(ahead, FLOOR, failed * 1.2)
        if ahead > min(passed / 1.2, rows / 2):
            break
        leaf = int(ahead)
    return passed


def judges_half_width(rows: int) -> float:
    """Half of the 95 % interval that a later judge of `rows` rows will have: where its limit is kept by the bad end.

    1.5: its rows cluster on their nearest real units, and its split is less even than the fold's.
    """
    return 1.5 * 1.96 / np.sqrt(min(rows, 20_000))


def _least(block: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Squared distance to the nearest point, rounded where float32 cannot tell it from equality."""
    best = np.full(len(block), np.inf, np.float32)
    # |q - p|² = |q|² + [-2q, 1]·[p, |p|²]: one product, one pass for the minimum
    queries = np.concatenate([-2 * block, np.ones((len(block), 1), np.float32)], axis=1)
    for low in range(0, len(points), _POINTS):
        np.minimum(best, (queries @ points[low : low + _POINTS].T).min(1), out=best)
    return np.round(np.maximum(best + np.einsum("ij,ij->i", block, block), 0), 5)


def _with_norms(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points, np.einsum("ij,ij->i", points, points)[:, None]], axis=1)
