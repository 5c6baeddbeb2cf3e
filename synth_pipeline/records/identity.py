"""Plan ids: what a noun will be, known before it is made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values, equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def plan_id(
    stage: str,
    version: str,
    spec: Mapping[str, Any],
    inputs: Mapping[str, str],
    *,
    tools: Mapping[str, str] | None = None,
    keys: Mapping[str, str] | None = None,
    seed: int | None = None,
) -> str:
    """sha256 over all that decides the result, and nothing that does not (paths, schedule, owners, descriptions).

    Args:
        spec: the stage's slice of the dataset's spec.
        inputs: content ids by noun.
        tools: versions of the generator and its library.
        keys: key ids (never keys).
        seed: only where the stage draws.
    """
    text = canonical([stage, version, spec, inputs, tools or {}, keys or {}, seed])
    return hashlib.sha256(text.encode()).hexdigest()


def digest(value: Any) -> str:
    """A short name for a value, for code versions and logs."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]
