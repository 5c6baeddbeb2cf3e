"""Where records lie, for distances: mixed columns, or vectors in Euclidean space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Points:
    """Mixed columns. Distance: the sum over axes of min(1, difference), plus the number of levels that differ."""

    axes: Array  # float32 (number columns, rows)
    levels: Array  # int32 (level columns, rows)

    @property
    def rounding(self) -> float:
        """Distances that differ by no more are equal."""
        return 1e-5 * (1 + len(self.axes) + len(self.levels))

    def __len__(self) -> int:
        return int(self.axes.shape[1])

    def take(self, rows: Array) -> Points:
        return Points(np.ascontiguousarray(self.axes[:, rows]), np.ascontiguousarray(self.levels[:, rows]))


@dataclass(frozen=True)
class Vectors:
    """Embeddings, pixels, windows of a series. Distance: Euclidean."""

    values: Array  # float32 (rows, dimensions)

    def __post_init__(self) -> None:
        if not np.isfinite(self.values).all():
            raise ValueError("vectors must be finite")

    @property
    def rounding(self) -> float:
        """Distances that differ by no more are equal: twice what single precision loses of a row of usual length."""
        lengths = np.linalg.norm(self.values.astype(np.float64), axis=1)
        return 2.0**-22 * float(np.median(lengths)) if len(lengths) else 0.0

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Array) -> Vectors:
        return Vectors(np.ascontiguousarray(self.values[rows]))
