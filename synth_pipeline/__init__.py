"""Synthetic datasets from one YAML file; consumers need `load` alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# Read by OpenMP once, when torch or scikit-learn first load it: with a busy neighbour, spinning threads make a step
# several times slower than sleeping ones.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from synth_pipeline.publishing.load import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    if name == "load":  # on first use: whoever imports a submodule does not pay for pyarrow
        from synth_pipeline.publishing.load import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
