"""The model's own copy test: on a fold of train, how large leaves must be for its rows not to lean on training rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from synth_pipeline.protocols.measure import Evidence
from synth_pipeline.seeds import Seeds

FLOOR = 20
"""No leaf is smaller unless the user says so, whatever the copy test allows."""
_ROUNDS = 4
_START = 120


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
        slack = max(0.001, np.sqrt(self.exact_reference / self.queries))
        return self.excess <= limit and self.exact <= self.exact_reference + slack


def nearest_share(drawn: pa.Table, learned: pa.Table, unseen: pa.Table) -> tuple[float, float, float]:
    """Share of drawn rows nearer to `learned` than to `unseen` (a tie counts half), and the rates of exact matches
    with rows that one alone has.

    Distances and matches are those of the gates that will judge the release: what they see, this test must see.
    """
    from synth_pipeline.evaluation.columns import compared, points
    from synth_pipeline.evaluation.copying import exact
    from synth_pipeline.evaluation.neighbours import nearest

    cols = compared(learned, unseen, drawn)
    queries, *sides = points([drawn, learned, unseen], [learned, unseen], cols)
    near, far = (np.round(nearest(queries, side).distance, 5) for side in sides)
    wins = float((near < far).mean()) + 0.5 * float((near == far).mean())
    if not (near == 0).any():
        return wins, 0.0, float((far == 0).mean())
    _, met = exact(Evidence(learned, unseen, drawn, drawn, Seeds(0)))
    return wins, met["in_train"] / met["of"], met["in_holdout"] / met["of"]


def choose_leaf(measure: Callable[[int], CopyTest], rows: int, limit: float) -> int:
    """The smallest leaf whose copy test keeps `limit`, found in few tests; no splits at all if even wide leaves fail.

    Between tests the excess is taken to fall with leaf^-0.8 (measured on Adult between 50 and 400).
    """
    passed, failed = rows, 0
    leaf = int(np.clip(_START, FLOOR, max(FLOOR, rows // 4)))
    for _ in range(_ROUNDS):
        test = measure(leaf)
        step = (max(test.excess, limit / 8) / limit) ** 1.25
        if test.keeps(limit):
            passed = leaf
            if test.excess > 0.75 * limit:
                break
            ahead = max(leaf * min(max(step, 0.25), 0.8), FLOOR, failed * 1.1)
        else:
            failed = leaf
            ahead = leaf * min(max(step, 1.12 if test.excess > limit else 2), 4)
        if ahead > passed / 1.1:
            break
        if ahead > rows / 2:
            return rows
        leaf = int(float(f"{ahead:.2g}"))  # coarse, so that the last bits of a float never matter
    return passed if passed < rows else leaf
