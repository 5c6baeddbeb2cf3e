"""Taking training rows out of a fitted SDV synthesizer before it is saved, and refusing when some might be left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from synth_pipeline.errors import PrivacyError

KERNEL_POINTS = 512
"""Quantiles that stand for a kernel density's training values."""


FEWEST = 64
"""Rows below which a length says nothing: lists of columns, levels or settings are as long by chance."""


def scrub(model: Any, rows: int, columns: int) -> None:
    """Removes what SDV is known to keep of the rows, then looks for anything else of that length.

    Raises:
        PrivacyError: something as long as the training table is left.
    """
    for _, owner in _walk(model, "synthesizer"):
        if hasattr(owner, "_rid_by_cat_cols"):  # CTGAN: row numbers by level, from which all rows can be rebuilt
            owner._rid_by_cat_cols = []
        if hasattr(owner, "loss_values"):  # reported already; as long as epochs × batches
            owner.loss_values = None
        if type(owner).__name__ == "GaussianKDE" and hasattr(owner, "_params"):
            _thin(owner)
    if rows < max(FEWEST, 4 * columns):
        return
    if found := sorted({path for path, thing in _walk(model, "synthesizer") if _as_long_as(thing, rows)}):
        raise PrivacyError(
            f"the fitted synthesizer still holds something as long as the training table: {', '.join(found[:5])}",
            fix="use another generator, e.g. `generator: {type: trees}`",
        )


def _thin(kernel: Any) -> None:
    """Quantiles in place of a column's training values, which stand in row order."""
    values = np.sort(np.asarray(kernel._params["dataset"], dtype=float))
    count = max(2, min(KERNEL_POINTS, len(values) // 4))
    points = np.quantile(values, (np.arange(count) + 0.5) / count)
    kernel._params = {**kernel._params, "dataset": points.tolist()}
    kernel._model = kernel._get_model()


def _as_long_as(thing: Any, rows: int) -> bool:
    shape = getattr(thing, "shape", None)
    if shape is None:
        return isinstance(thing, (list, tuple, set, frozenset, dict)) and len(thing) == rows
    square = len(shape) == 2 and shape[0] == shape[1]  # a correlation matrix of as many columns as rows
    return len(shape) > 0 and rows in tuple(shape) and not square


def _walk(thing: Any, path: str, seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """Every object reachable through attributes and containers, with its path; network weights are left out."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, (str, bytes, int, float, complex, bool, type, type(None))):
        return
    seen.add(id(thing))
    module = type(thing).__module__.split(".")[0]
    if callable(thing) and not hasattr(thing, "__dict__"):
        return
    yield path, thing
    if isinstance(thing, dict):
        for key, value in list(thing.items()):
            yield from _walk(value, f"{path}[{key if isinstance(key, str) else '…'}]", seen)
    elif isinstance(thing, (list, tuple, set, frozenset)):
        for value in list(thing):
            yield from _walk(value, f"{path}[…]", seen)
    elif module in ("torch", "pandas", "numpy"):
        return
    elif hasattr(thing, "__dict__"):
        for key, value in list(vars(thing).items()):
            yield from _walk(value, f"{path}.{key}", seen)
