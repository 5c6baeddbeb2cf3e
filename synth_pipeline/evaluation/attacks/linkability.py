"""Linkability (Giomi et al. 2023, section 4.2): two tables about the same persons, joined by the synthetic rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from synth_pipeline.evaluation.attacks.entropy import entropies
from synth_pipeline.evaluation.attacks.outcome import Outcome, found, impossible
from synth_pipeline.evaluation.columns import Unfit, compared, points, subset
from synth_pipeline.evaluation.keys import row_keys
from synth_pipeline.evaluation.neighbours import knn
from synth_pipeline.evaluation.units import one_each
from synth_pipeline.protocols.measure import Evidence, Findings
from synth_pipeline.records.schema import Column

Array = np.ndarray
_NEIGHBOURS = 5
_TARGETS = 2_000
_SYNTHETIC = 50_000
_KNOWS = "half of the fields from one source, the other half from another, not whose they are, and the released rows"


def linkability(evidence: Evidence) -> Findings:
    """`linkability`: an attacker holds two tables with half of the columns each; a person's two rows are linked when
    one synthetic row is among the five nearest to both."""
    cols = compared(evidence.train, evidence.holdout, evidence.synthetic)
    if not cols:
        raise Unfit("no column to compare")
    if not (evidence.train.num_rows and evidence.holdout.num_rows and evidence.synthetic.num_rows):
        raise Unfit("no rows to compare")
    if len(cols) == 1:
        note = "one column cannot be divided among two tables: there is nothing to link"
        return impossible(["linkability"], evidence, _KNOWS, note)
    rng = evidence.seeds.child("linkability").generator()
    targets = [
        side.take(pa.array(rows))
        for side, rows in zip((evidence.train, evidence.holdout), one_each(evidence, _TARGETS, rng), strict=True)
    ]
    # a row that is released twice stands for one record
    _, first = np.unique(row_keys(evidence.synthetic, cols), return_index=True)
    synthetic = subset(evidence.synthetic.take(pa.array(np.sort(first))), _SYNTHETIC, rng)
    near = [_near(targets, synthetic, evidence, half, rng) for half in halves(synthetic, cols)]
    linked = [(one[:, :, None] == other[:, None, :]).any((1, 2)) for one, other in zip(*near, strict=True)]
    whole = Outcome.of("linkability", *linked)
    return found(whole, _KNOWS)


def halves(table: pa.Table, cols: list[Column]) -> tuple[list[Column], list[Column]]:
    """Two sets of columns that tell about as much: by entropy, dealt out A B B A."""
    order = np.argsort(-entropies(table, cols), kind="stable")
    first = [cols[i] for place, i in enumerate(order) if place % 4 in (0, 3)]
    return first, [column for column in cols if column not in first]


def _near(
    targets: list[pa.Table], synthetic: pa.Table, evidence: Evidence, cols: list[Column], rng: np.random.Generator
) -> list[Array]:
    """Per side the rows of `synthetic` nearest to each target.

    Which of equally near rows are taken is chance, and another chance for each half of the columns: in stored order,
    the same rows would come first in both, and link everybody.
    """
    order = rng.permutation(synthetic.num_rows)
    side, *queries = points([synthetic.take(pa.array(order)), *targets], [evidence.train, evidence.holdout], cols)
    rows = [knn(asked, side, min(_NEIGHBOURS, len(order)))[1] for asked in queries]
    return [order[found] for found in rows]
