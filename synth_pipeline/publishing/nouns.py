"""The private nouns as lineage sees them: what a dataset's stages have committed, found by content id."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synth_pipeline.records.home import Home

MANIFESTS = {
    "ingest": "records.json",
    "protect": "records.json",
    "train": "model.json",
    "generate": "records.json",
    "validate": "scorecard.json",
    "export": "manifest.json",
}
"""Stage → the file that commits its noun."""


def nouns(home: Home, dataset: str, stage: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Committed folders of one stage and their manifests."""
    work = home.root / "work" / dataset / stage
    if not work.is_dir():
        return
    for folder in sorted(work.iterdir()):
        if (path := folder / MANIFESTS[stage]).is_file():
            try:
                yield folder, dict(json.loads(path.read_bytes()))
            except ValueError:
                continue


def find_noun(home: Home, dataset: str, stage: str, content_id: str) -> dict[str, Any] | None:
    """The manifest of the noun with that content, and its `folder`; None if it is not here (any more)."""
    for folder, note in nouns(home, dataset, stage):
        if content_id and note.get("content_id") == content_id:
            return {**note, "folder": str(folder)}
    return None
