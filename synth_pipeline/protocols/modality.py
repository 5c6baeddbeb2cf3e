"""What a modality supplies to the six stages: the default generator, formats, and its measures."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from synth_pipeline.protocols.measure import Evidence, Findings
    from synth_pipeline.spec.columns import Meaning


class Modality(Protocol):
    """One instance per process; no state."""

    name: ClassVar[str]
    default_generator: ClassVar[str]
    meanings: ClassVar[frozenset[Meaning]]
    """Meanings that its generators can learn."""

    def scores(self) -> frozenset[str]:
        """The names of all scores that `measure` may give: what a policy can hold a gate on."""

    def measure(self, evidence: Evidence) -> Findings:
        """Every measure of this modality; a measure that crashes is recorded as failed, never skipped."""
