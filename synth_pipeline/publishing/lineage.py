"""The way back from a release to its source, told by manifests alone; whatever is still at home is found there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from synth_pipeline.publishing.manifest import Manifest
from synth_pipeline.publishing.nouns import find_noun
from synth_pipeline.publishing.versions import Line, datasets
from synth_pipeline.records.home import Home

_STAGES = (
    ("scorecard", "validate"),
    ("synthetic", "generate"),
    ("model", "train"),
    ("protected", "protect"),
    ("ingested", "ingest"),
)


@dataclass(frozen=True)
class Step:
    """One noun on the way: what it is, and where it still lies (None: gone, or in somebody else's home)."""

    noun: str
    content_id: str
    note: str = ""
    folder: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return dict(self.__dict__)


def lineage(home: Home, line: Line, manifest: Manifest) -> list[Step]:
    """From the release back to the source; through other datasets' releases, where the source is one of this store."""
    told = _told(manifest)
    here = line.store.location(line.folder(manifest.version))
    steps = [Step("release", manifest.content_id, f"{line.label} {manifest.version}", here, told["release"])]
    for noun, stage in _STAGES:
        content_id = manifest.upstream.get(noun, "")
        found = find_noun(home, manifest.dataset, stage, content_id)
        steps.append(Step(noun, content_id, "", str(found["folder"]) if found else None, told.get(noun, {})))
    source = manifest.source
    steps.append(Step("source", source.content_id, f"{source.kind} {source.uri}".strip(), None, told["source"]))
    return steps + _upstream(home, line, manifest)


def _told(manifest: Manifest) -> dict[str, dict[str, Any]]:
    check, made, learned = manifest.validation, manifest.generation, manifest.training
    return {
        "release": {"created_at": manifest.created_at, "rows": manifest.rows, **manifest.code, **manifest.execution},
        "scorecard": {
            "policy": f"{check.policy} {check.policy_version}".strip(),
            "verdict": check.verdict,
            "attempts": check.attempts,
        },
        "synthetic": {"rows": made.rows, "seed": made.seed, "shards": made.shards, "rejected": made.rejected},
        "model": {"generator": learned.generator, "version": learned.version, "rows": learned.rows},
        "protected": {
            "key": manifest.privacy.key_id,
            "actions": {name: action.get("type", "") for name, action in manifest.privacy.actions.items()},
        },
        "ingested": {**manifest.source.rows, **manifest.privacy.split},
        "source": {"root": manifest.source.root, "licence": manifest.source.licence},
    }


def _upstream(home: Home, line: Line, manifest: Manifest) -> list[Step]:
    """The lineage of the release that was the source, if it lies in this store."""
    source = manifest.source
    name = source.uri.rstrip("/").rsplit("/", 1)[-1]
    if source.kind != "dataset" or name == manifest.dataset or name not in datasets(line.store):
        return []
    other = Line(line.store, name)
    version = source.version or other.newest() or ""
    return lineage(home, other, other.manifest(version)) if other.is_committed(version) else []
