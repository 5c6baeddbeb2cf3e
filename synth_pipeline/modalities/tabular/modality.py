"""The tabular modality: tables of typed columns."""

from __future__ import annotations

from typing import ClassVar

from synth_pipeline.protocols.measure import Evidence, Findings
from synth_pipeline.spec.columns import Meaning


class Tabular:
    """Numbers, categories, booleans and dates in rows."""

    name: ClassVar[str] = "tabular"
    default_generator: ClassVar[str] = "trees"
    meanings: ClassVar[frozenset[Meaning]] = frozenset(
        {Meaning.NUMBER, Meaning.CATEGORY, Meaning.BOOLEAN, Meaning.DATETIME}
    )

    def scores(self) -> frozenset[str]:
        from synth_pipeline.modalities.tabular.measures import MEASURES

        return frozenset(name for measure in MEASURES for name in measure.names)

    def measure(self, evidence: Evidence) -> Findings:
        from synth_pipeline.modalities.tabular.measures import measure

        return measure(evidence)
