"""What is measured: the evidence, a score with its interval and reference, and all findings together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from synth_pipeline.seeds import Seeds

if TYPE_CHECKING:
    import pyarrow as pa

    from synth_pipeline.spec.constraints import Constraint


@dataclass(frozen=True)
class Score:
    """One measure. `low`/`high`: 95 % interval (None: exact). `reference`: the same measure of real held-out rows in
    the synthetic rows' place. `n`: the number of rows or units behind it. `error`: why there is no value."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reference: float | None = None
    n: int = 0
    note: str = ""
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value != "" or key not in ("note", "error")}


@dataclass(frozen=True)
class Evidence:
    """What is compared: tables of equal columns, identifiers and surrogates already left out of `learned`.

    `train`, `holdout`: protected rows, every column that was learned. `synthetic`: rows drawn from the same model, at
    least as many as released when few were asked for. `released`: exactly the rows to be published (all columns).
    `units`: per train and holdout row, an integer that rows of one person share (None: every row its own).
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


@dataclass(frozen=True)
class Findings:
    """Scores by name, and details for the report: aggregates with counts ≥ k only, JSON."""

    scores: Mapping[str, Score]
    details: Mapping[str, Any] = field(default_factory=dict)
