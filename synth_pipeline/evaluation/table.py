"""A table's records as the measures see them: column by column, on scales fitted on all real rows together."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from synth_pipeline.evaluation import columns
from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.evaluation.keys import joined
from synth_pipeline.evaluation.readings import Readings
from synth_pipeline.protocols.measure import Evidence, Features
from synth_pipeline.protocols.points import Points

Array = np.ndarray


class TableFeatures:
    """Numbers by their ranks, levels by equality; identifiers and free text are left out."""

    def __init__(
        self, train: pa.Table, holdout: pa.Table, *others: pa.Table, scale: tuple[pa.Table, ...] | None = None
    ) -> None:
        """Fitted on `scale`, else on train and holdout. Raises Unfit when there is no column to compare, or no real
        row."""
        self.columns = columns.compared(train, holdout, *others)
        if not self.columns:
            raise Unfit("no column to compare")
        if not (train.num_rows and holdout.num_rows):
            raise Unfit("no rows to compare")
        self._real = [table.select([column.name for column in self.columns]) for table in scale or (train, holdout)]
        self._sides = train, holdout
        self._readings: list[Readings] | None = None

    def keys(self, rows: pa.Table) -> Array:
        """Equal for rows whose values are read as the same real ones: what is hardly told apart is equal."""
        if self._readings is None:
            self._readings = [Readings(column, self._sides) for column in self.columns]
        return joined((reading.keys(rows) for reading in self._readings), rows.num_rows)

    def points(self, rows: pa.Table) -> Points:
        return columns.points([rows], self._real, self.columns)[0]

    def matrix(self, rows: pa.Table) -> tuple[Array, list[bool]]:
        (values,), levels = columns.matrix([rows], self._real, self.columns)
        return values, levels


def features_of(evidence: Evidence) -> Features:
    """The modality's own, or those of a table."""
    return evidence.features or TableFeatures(evidence.train, evidence.holdout, evidence.synthetic, evidence.released)


def features_of_train(evidence: Evidence) -> Features:
    """The same for measures that put holdout rows and synthetic rows on a par: a table's scales are train's alone.

    Ranks that holdout rows helped to make hold them half a rank farther from train than unseen rows.
    """
    if evidence.features is None or isinstance(evidence.features, TableFeatures):
        return TableFeatures(evidence.train, evidence.holdout, evidence.synthetic, scale=(evidence.train,))
    return evidence.features
