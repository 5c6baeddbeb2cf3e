"""The live training curve: at most 100 observations of the model asset, however many steps are reported."""

import time
from collections.abc import Mapping

import dagster as dg

LIMIT = 100
_EAGER = 20


class Curve:
    """Takes every step's report; passes on the first 20, then ever rarer ones, and the last.

    After the first 20 a point needs a second and a tenth of the time so far since the last one: 79 such points last
    for a day, and the curve stays evenly readable at every length.
    """

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context
        self._begun = self._told = time.monotonic()
        self._count = 0
        self._held: tuple[int, Mapping[str, float]] | None = None

    def __call__(self, step: int, values: Mapping[str, float]) -> None:
        now = time.monotonic()
        waited, so_far = now - self._told, self._told - self._begun
        if self._count < _EAGER or (self._count < LIMIT - 1 and waited >= max(1.0, so_far / 10)):
            self._tell(step, values)
            self._told, self._held = now, None
        else:
            self._held = (step, dict(values))

    def finish(self) -> None:
        """The last point, if it was held back."""
        if self._held is not None:
            self._tell(*self._held)
            self._held = None

    def _tell(self, step: int, values: Mapping[str, float]) -> None:
        self._count += 1
        self._context.log_event(
            dg.AssetObservation(
                asset_key=self._context.asset_key,
                partition=self._context.partition_key if self._context.has_partition_key else None,
                metadata={"step": int(step), **{str(key): float(value) for key, value in values.items()}},
            )
        )
