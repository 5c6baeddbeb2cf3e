"""What is measured: the evidence, a score with its interval and reference, and all findings together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from synth_pipeline.seeds import Seeds

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from synth_pipeline.protocols.points import Points, Vectors
    from synth_pipeline.spec.constraints import Constraint


@dataclass(frozen=True)
class Score:
    """One measure. `low`/`high`: 95 % interval (None: exact). `reference`: the same measure of real held-out rows in
    the synthetic rows' place. `n`: the number of rows or units behind it. `error`: why there is no value.

    `detects`: the smallest value whose interval would leave the reference out four times in five: what is smaller may
    be there unseen. `seconds`: what it cost (wall clock).
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reference: float | None = None
    n: int = 0
    note: str = ""
    error: str = ""
    detects: float | None = None
    seconds: float = field(default=0.0, compare=False)

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value != "" or key not in ("note", "error")}


class Features(Protocol):
    """How a modality's records are compared: all that the measures of copying, membership and likeness know of them.

    One row per record; made with the real sides, so that every side is seen on one scale.
    """

    def keys(self, rows: pa.Table) -> np.ndarray:
        """uint64 (rows,): equal keys where nobody could tell one record from the other."""

    def points(self, rows: pa.Table) -> Points | Vectors:
        """Where the records lie, for distances."""

    def matrix(self, rows: pa.Table) -> tuple[np.ndarray, list[bool]]:
        """float64 (rows, columns) for classifiers, NaN where missing; which columns hold codes of levels."""


@dataclass(frozen=True)
class Evidence:
    """What is compared: tables of equal columns, identifiers and surrogates already left out of `learned`.

    `train`, `holdout`: protected rows, every column that was learned. `synthetic`: rows drawn from the same model, at
    least as many as released when few were asked for. `released`: exactly the rows to be published (all columns).
    `units`: per train and holdout row, an integer that rows of one person share (None: every row its own).
    `earlier`: rows of releases that were already made from the same source (an even sample where they are many): what
    is published adds up. `telling`: of all their rows, those that hold something that one person alone has.
    `features`: how records are compared; None: as tables, column by column.
    `seconds`: what one measure may take.
    """

    train: pa.Table
    holdout: pa.Table
    synthetic: pa.Table
    released: pa.Table
    seeds: Seeds
    target: str | None = None
    sensitive: tuple[str, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    train_units: Any = None
    holdout_units: Any = None
    queries: int = 20_000
    full: bool = False
    earlier: pa.Table | None = None
    telling: pa.Table | None = None
    features: Features | None = None
    seconds: float = 1_800.0


@dataclass(frozen=True)
class Findings:
    """Scores by name, and details for the report: aggregates with counts ≥ k only, JSON."""

    scores: Mapping[str, Score]
    details: Mapping[str, Any] = field(default_factory=dict)
