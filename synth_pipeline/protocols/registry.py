"""Which class stands behind a `type:` of the YAML: built-ins and entry points, imported when asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from synth_pipeline.errors import SpecError, did_you_mean

_TABULAR = "synth_pipeline.modalities.tabular"
_BUILT_IN: Mapping[str, Mapping[str, str]] = {
    "generators": {
        "trees": f"{_TABULAR}.configs:Trees",
        "gaussian_copula": f"{_TABULAR}.configs:GaussianCopula",
        "ctgan": f"{_TABULAR}.configs:Ctgan",
        "tvae": f"{_TABULAR}.configs:Tvae",
        "copulagan": f"{_TABULAR}.configs:CopulaGan",
    },
    "sources": {
        "file": "synth_pipeline.spec.source:FileSource",
        "sql": "synth_pipeline.spec.source:SqlSource",
        "dataset": "synth_pipeline.spec.source:DatasetSource",
    },
    "modalities": {"tabular": f"{_TABULAR}.modality:Tabular"},
    "engines": {"local": "synth_pipeline.engines.local:LocalEngine"},
}


@cache
def names(kind: str) -> Mapping[str, str]:
    """Every registered name of a kind → "module:attribute". A plug-in may not take a built-in's name."""
    plugged = {entry.name: entry.value for entry in entry_points(group=f"synth_pipeline.{kind}")}
    return {**plugged, **_BUILT_IN[kind]}


def find(kind: str, name: str) -> Any:
    """The registered object.

    Raises:
        SpecError: nothing has that name, or its module cannot be imported.
    """
    known = names(kind)
    if name not in known:
        raise SpecError(f'unknown {kind[:-1]} "{name}"; {did_you_mean(name, known)}')
    return load(known[name])


def load(target: str) -> Any:
    """The object behind "module:attribute"."""
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SpecError(f'"{target}" cannot be imported: {error}') from error
