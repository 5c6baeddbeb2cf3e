"""The noun Scorecard: measures, gates and their verdict, what was judged, and details for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from synth_pipeline.protocols.measure import Score

Verdict = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True)
class Gate:
    """One limit held against one measure's interval."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    threshold: float
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True)
class Scorecard:
    """What validate found about one synthetic content, and whether the policy lets it out.

    `details` holds aggregates only (bins with counts ≥ k): it is what the publishable report is drawn from.
    """

    dataset: str
    partition: str | None
    policy: Mapping[str, Any]
    """name, version, limits, minimum n: the whole policy, so that export can judge again."""
    scores: Mapping[str, Score]
    gates: tuple[Gate, ...]
    verdict: Verdict
    judged: Mapping[str, str]
    """Content ids of what was judged: synthetic, protected, model."""
    attempts: int = 1
    details: Mapping[str, Any] = field(default_factory=dict)
    checks: tuple[Mapping[str, Any], ...] = ()
    """Contract checks and the residual scan: name, passed, blocking, observed counts."""
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            **self.__dict__,
            "policy": dict(self.policy),
            "scores": {name: score.to_json() for name, score in self.scores.items()},
            "gates": [asdict(gate) for gate in self.gates],
            "judged": dict(self.judged),
            "details": dict(self.details),
            "checks": [dict(check) for check in self.checks],
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, note: Mapping[str, Any]) -> Scorecard:
        return cls(
            **{
                **{key: note[key] for key in cls.__dataclass_fields__ if key in note},
                "scores": {name: Score(**score) for name, score in note["scores"].items()},
                "gates": tuple(Gate(**gate) for gate in note["gates"]),
                "checks": tuple(note["checks"]),
                "warnings": tuple(note["warnings"]),
            }
        )
