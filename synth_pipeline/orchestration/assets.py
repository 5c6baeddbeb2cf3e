"""A dataset's six assets: each calls one stage function and shows what came of it."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from synth_pipeline.orchestration import checks, metadata
from synth_pipeline.orchestration.curve import Curve
from synth_pipeline.orchestration.failures import told
from synth_pipeline.orchestration.nouns import FORCE, NAMES, NOUNS, Noun
from synth_pipeline.orchestration.places import Places
from synth_pipeline.progress import tick
from synth_pipeline.records.home import Home
from synth_pipeline.records.identity import digest
from synth_pipeline.spec.dataset import DatasetSpec
from synth_pipeline.spec.source import DatasetSource
from synth_pipeline.stages.versions import VERSIONS

if TYPE_CHECKING:
    from synth_pipeline.stages.run import Result, Run

DONE, REUSED = "done", "reused"
"""Notes of a stage's last tick."""
_RETRIES = dg.RetryPolicy(max_retries=2, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL)
"""For what may succeed when tried again; a terminal error says so itself (`told`)."""


def keys(spec: DatasetSpec) -> list[dg.AssetKey]:
    return [dg.AssetKey([spec.name, noun.name]) for noun in NOUNS]


def source_key(spec: DatasetSpec) -> dg.AssetKey:
    """The asset that the rows come from: another dataset's release, or something outside Dagster."""
    if isinstance(spec.source, DatasetSource):
        return dg.AssetKey([spec.source.name, "release"])
    return dg.AssetKey(["source", spec.name])


def source_asset(spec: DatasetSpec) -> dg.AssetSpec | None:
    """The external asset of a source outside Dagster."""
    if isinstance(spec.source, DatasetSource):
        return None
    return dg.AssetSpec(
        source_key(spec),
        group_name=spec.name,
        description=f"Where the rows of {spec.name} come from. Not made here.",
        kinds={_kind(spec)},
        tags={"modality": spec.modality},
    )


def stage_assets(
    spec: DatasetSpec, partitions: dg.PartitionsDefinition | None, base: Path
) -> list[dg.AssetsDefinition]:
    """The six assets; `base` is what relative source paths are relative to."""
    return [_asset(spec, noun, partitions, base) for noun in NOUNS]


def _asset(
    spec: DatasetSpec, noun: Noun, partitions: dg.PartitionsDefinition | None, base: Path
) -> dg.AssetsDefinition:
    key = dg.AssetKey([spec.name, noun.name])
    inputs = [dg.AssetKey([spec.name, NAMES[stage]]) for stage in noun.reads] or [source_key(spec)]

    @dg.asset(
        key=key,
        deps=inputs,
        group_name=spec.name,
        description="\n\n".join(filter(None, (noun.description, spec.description))),
        kinds=set(noun.kinds or {spec.generator.type}),
        owners=list(spec.owners),
        tags={"modality": spec.modality},
        code_version=f"{VERSIONS[noun.stage]}-{digest(spec.slice(noun.stage))}",
        partitions_def=partitions,
        check_specs=checks.specs(noun.stage, key, partitions),
        retry_policy=_RETRIES,
    )
    def made(context: dg.AssetExecutionContext, places: Places) -> dg.MaterializeResult:
        home = Home.find()
        curve = Curve(context)
        with told(noun.stage, home, context.run_id):
            from synth_pipeline.stages.run import Run

            run = Run(
                spec=spec,
                home=home,
                store=places.releases(),
                base=base,
                partition=context.partition_key if context.has_partition_key else None,
                force=context.run.tags.get(FORCE) == "true",
                report=curve,
                run_id=context.run_id,
            )
            tick(noun.stage, 0)
            result = _function(noun.stage)(run, *(run.latest(stage) for stage in noun.takes))
            curve.finish()
            found = _checked(run, result)
            tick(noun.stage, result.rows, result.rows, note=REUSED if result.reused else DONE)
            if noun.stage == "ingest" and (observed := _observed(spec, result)):
                context.log_event(observed)
            return dg.MaterializeResult(
                data_version=dg.DataVersion(result.content_id),
                metadata={**_common(result), **_SHOWN[noun.stage](run, result)},
                check_results=found,
            )

    return made


def _function(stage: str) -> Callable[..., "Result"]:
    """The stage function: what it needs is imported in the process that runs it, never when definitions load."""
    found: Callable[..., Result] = getattr(importlib.import_module(f"synth_pipeline.stages.{stage}"), stage)
    return found


def _kind(spec: DatasetSpec) -> str:
    told = spec.source.model_dump()
    if url := told.get("url"):
        return "sqlite" if str(url).startswith("sqlite") else "postgres"
    if named := told.get("format"):
        return str(named)
    suffixes = Path(str(told.get("path", ""))).suffixes
    known = {
        ".csv": "csv",
        ".tsv": "csv",
        ".jsonl": "json",
        ".ndjson": "json",
        ".parquet": "parquet",
        ".arrow": "arrow",
    }
    return next((known[suffix] for suffix in suffixes if suffix in known), spec.source.type)


def _observed(spec: DatasetSpec, result: "Result") -> dg.AssetObservation | None:
    """What was seen of a source outside Dagster: its content is its data version."""
    if isinstance(spec.source, DatasetSource):
        return None
    seen = _note(result).get("facts", {}).get("source", {})
    shown = {key: seen.get(key) for key in ("uri", "kind", "files", "bytes")}
    shown["files"] = len(shown["files"]) if isinstance(shown["files"], list | dict) else shown["files"]
    return dg.AssetObservation(
        asset_key=source_key(spec),
        metadata=metadata.to_metadata(shown),
        tags={"dagster/data_version": str(seen.get("content_id", ""))},
    )


def _checked(run: "Run", result: "Result") -> list[dg.AssetCheckResult]:
    if result.stage == "ingest":
        from synth_pipeline.stages.acceptance import accept

        return checks.of_source(accept(run, result))
    return checks.of_scorecard(_note(result)) if result.stage == "validate" else []


# --- what each asset shows --------------------------------------------------------------------------------------------


def _note(result: "Result") -> dict[str, Any]:
    from synth_pipeline.stages.run import manifest

    return manifest(result.folder, result.stage)


def _common(result: "Result") -> dict[str, Any]:
    plain = {k: v for k, v in result.metrics.items() if isinstance(v, str | bool | int | float) or hasattr(v, "item")}
    return metadata.to_metadata(
        {
            **plain,
            "dagster/row_count": result.rows or None,
            "reused": result.reused,
            "seconds": float(result.seconds),
            "content_id": result.content_id,
            "folder": result.folder,
            "warnings": metadata.bullets(result.warnings),
        }
    )


def _records(run: "Run", result: "Result") -> dict[str, Any]:
    """Schema and lineage of a noun that is Records."""
    from synth_pipeline.records.records import Records

    records = Records.open(result.folder)
    shape = records.schema()
    parents = {"protect": "ingest", "generate": "protect"}
    shown: dict[str, Any] = metadata.schema(shape)
    if parent := parents.get(result.stage):
        above = Records.open(run.latest(parent).folder).schema()
        shown |= metadata.lineage(shape.names, dg.AssetKey([run.spec.name, NAMES[parent]]), above.names)
    return shown


def _ingested(run: "Run", result: "Result") -> dict[str, Any]:
    rows = _note(result).get("facts", {}).get("rows", {})
    return {**_records(run, result), **metadata.to_metadata({f"rows/{name}": count for name, count in rows.items()})}


def _protected(run: "Run", result: "Result") -> dict[str, Any]:
    heads = ("column", "entity", "share", "action", "reason")
    report = _note(result).get("facts", {}).get("report", ())
    rows = [[line.get(head) if head != "action" else _action(line.get(head)) for head in heads] for line in report]
    return {**_records(run, result), "personal_data": metadata.table(heads, rows)}


def _action(action: Any) -> str:
    return str(action.get("type", "") if isinstance(action, dict) else action or "")


def _model(_run: "Run", _result: "Result") -> dict[str, Any]:
    return {}


def _scorecard(_run: "Run", result: "Result") -> dict[str, Any]:
    card = _note(result)
    values = {name: score["value"] for name, score in card["scores"].items()}
    report = result.folder / "report.html"
    return metadata.to_metadata(
        {
            **{name: float(value) for name, value in values.items() if value is not None},
            "verdict": card["verdict"],
            "attempts": card["attempts"],
            "gates": checks.gates_table(card["gates"]),
            "report": report if report.exists() else None,
        }
    )


def _release(run: "Run", result: "Result") -> dict[str, Any]:
    from synth_pipeline.records.records import Records

    synthetic = Records.open(run.latest("generate").folder).schema()
    parent = dg.AssetKey([run.spec.name, NAMES["generate"]])
    return {
        **metadata.schema(synthetic),
        **metadata.lineage(synthetic.names, parent, synthetic.names),
        **{name: dg.MetadataValue.path(str(result.metrics[name])) for name in ("path", "report")},
    }


_SHOWN: dict[str, Callable[["Run", "Result"], dict[str, Any]]] = {
    "ingest": _ingested,
    "protect": _protected,
    "train": _model,
    "generate": _records,
    "validate": _scorecard,
    "export": _release,
}
