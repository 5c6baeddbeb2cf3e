"""What every generator is: it learns from records, then writes new ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from synth_pipeline.progress import Report
from synth_pipeline.seeds import Seeds

if TYPE_CHECKING:
    from synth_pipeline.records.records import Batch, Records
    from synth_pipeline.spec.constraints import Constraint
    from synth_pipeline.spec.generation import GeneratorConfig


@dataclass(frozen=True)
class Capabilities:
    """What callers adapt to.

    `conditional`: honours fixed values and weights. `bit_exact`: equal seeds give equal bytes on every machine and
    with any number of workers. `constraints`: keeps them by construction (else the generate stage repairs or rejects).
    `parallel`: shards may be drawn in several processes at once. `source_free`: needs no private row: it is handed the
    schema alone.
    """

    conditional: bool = False
    bit_exact: bool = False
    constraints: bool = False
    parallel: bool = False
    source_free: bool = False


@dataclass(frozen=True)
class SampleRequest:
    """What to draw. `start` is the number of rows drawn before this shard, so that keys stay unique across shards.

    `period`: the rows are drawn to be looked at, as if releases of so many rows followed each other: keys are unique
    within each of them only, so that more rows can be drawn than there are keys.
    """

    rows: int
    start: int = 0
    fixed: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    conditions: Records | None = None
    period: int | None = None


class Generator(Protocol):
    """Made from its config and the dataset's constraints; sees training rows only, never identifiers.

    `copy_limit`: the excess of rows that lean on training rows to stay under, for generators that can choose.
    """

    capabilities: ClassVar[Capabilities]
    version: ClassVar[str]

    def __init__(
        self, config: GeneratorConfig, constraints: tuple[Constraint, ...] = (), *, copy_limit: float = 0.045
    ) -> None: ...

    def fit(self, records: Records, seeds: Seeds, report: Report) -> None:
        """Learns from all rows of `records` (the stage hands over train alone, learned columns alone)."""

    def sample(self, request: SampleRequest, seeds: Seeds) -> Iterator[Batch]:
        """Exactly `request.rows` rows, with the schema of what was learned."""

    def save(self, folder: Path) -> None:
        """Writes everything that `load` needs into an existing empty folder: JSON and arrays, no pickle."""

    @classmethod
    def load(cls, folder: Path) -> Self: ...

    def summary(self) -> dict[str, Any]:
        """Aggregates for the model's manifest and Dagster: numbers and short texts, never values of rows."""
