"""Synthetic datasets from one YAML file; consumers need `load` alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synth_pipeline.publishing.load import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    if name == "load":  # on first use: whoever imports a submodule does not pay for pyarrow
        from synth_pipeline.publishing.load import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
