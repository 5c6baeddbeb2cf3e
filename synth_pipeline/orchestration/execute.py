"""Running one dataset's job in this process, as a run that the UI shows afterwards."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from synth_pipeline.errors import SpecError, did_you_mean
from synth_pipeline.orchestration.component import dataset_definitions
from synth_pipeline.orchestration.instance import PROCESS, persistent, this_process
from synth_pipeline.orchestration.nouns import FORCE, NOUNS
from synth_pipeline.orchestration.places import Places
from synth_pipeline.orchestration.timetable import partitions_of
from synth_pipeline.spec.dataset import DatasetSpec

_LABEL = "__repository__@synth_pipeline"
"""What the UI finds a run's code location by."""


@dataclass(frozen=True)
class Failed:
    """Which stage ended the run, and why; `blocked`: it came to its end, and said no."""

    stage: str
    reason: str
    exit_code: int
    blocked: bool = False


@dataclass(frozen=True)
class Went:
    """What became of a run: each finished stage's metadata as plain values."""

    run_id: str
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    failed: Failed | None = None
    broken: Mapping[str, str] = field(default_factory=dict)
    """Failed check → what it says."""


def execute(spec: DatasetSpec, base: Path, *, partition: str | None, store: str | None, force: bool) -> Went:
    """Runs the six stages.

    Raises:
        SpecError: the partition is missing or unknown.
    """
    check_partition(spec, partition)
    instance = persistent()
    tags = {"synth/dataset": spec.name, PROCESS: this_process(), ".dagster/repository": _LABEL}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        job = dg.Definitions.merge(
            dataset_definitions(spec, base), dg.Definitions(resources={"places": Places(store=store or "")})
        ).resolve_job_def(f"{spec.name}_job")
    result = job.execute_in_process(
        instance=instance,
        partition_key=partition,
        tags={**tags, **({FORCE: "true"} if force else {})},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )
    return _went(result)


def check_partition(spec: DatasetSpec, partition: str | None) -> None:
    """Raises SpecError unless `partition` is one of the dataset's, or it has none and none is given."""
    partitions = partitions_of(spec)
    if partitions is None:
        if partition is not None:
            raise SpecError(f"{spec.name} has no partitions", fix="leave out --partition")
        return
    keys = partitions.get_partition_keys()
    if not keys:
        raise SpecError(f"no partition of {spec.name} is complete yet")
    if partition is None:
        raise SpecError(f"{spec.name} is partitioned: say which one", fix=f"--partition {keys[-1]}")
    if partition not in keys:
        raise SpecError(f'{spec.name} has no partition "{partition}"; {did_you_mean(partition, keys[-20:])}')


def _went(result: dg.ExecuteInProcessResult) -> Went:
    stages: dict[str, Mapping[str, Any]] = {}
    broken: dict[str, str] = {}
    failed: Failed | None = None
    of = {noun.name: noun.stage for noun in NOUNS}
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION and event.asset_key:
            shown = event.step_materialization_data.materialization.metadata
            stages[of[event.asset_key.path[-1]]] = {name: value.value for name, value in shown.items()}
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if not check.passed:
                broken[f"{check.asset_key.path[-1]} {check.check_name}"] = check.description or "failed"
        elif event.event_type == dg.DagsterEventType.STEP_FAILURE and failed is None:
            stage = of[str(event.step_key).rpartition("__")[2]]
            failed = _failure(stage, event.step_failure_data)
    if failed is None and not result.success:
        failed = Failed("", "the run did not start", 1)
    return Went(result.run_id, stages, failed, broken)


def _failure(stage: str, data: Any) -> Failed:
    if told := data.user_failure_data:
        code = told.metadata.get("exit_code")
        return Failed(stage, str(told.description), int(code.value) if code else 1)
    if data.error and data.error.cls_name == "DagsterAssetCheckFailedError":
        return Failed(stage, "a blocking check failed", 3, blocked=True)
    return Failed(stage, f"{stage} failed: {data.error.cls_name if data.error else 'unknown'}", 1)
