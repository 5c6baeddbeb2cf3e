"""A dataset's partitions, its job and its schedule."""

from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from synth_pipeline.errors import SpecError
from synth_pipeline.spec.dataset import DatasetSpec
from synth_pipeline.spec.publication import Schedule, StaticPartitions, TimePartitions

_TIMED = {
    "daily": dg.DailyPartitionsDefinition,
    "weekly": dg.WeeklyPartitionsDefinition,
    "monthly": dg.MonthlyPartitionsDefinition,
}


def partitions_of(spec: DatasetSpec) -> dg.PartitionsDefinition | None:
    """Keys are the first day of each day, week or month, or the listed ones; days are those of the schedule's timezone.

    Raises:
        SpecError: the timezone is unknown, or a month does not start on its first day.
    """
    match spec.partitions:
        case TimePartitions(type=kind, start=start, end=end):
            if kind == "monthly" and start.day != 1:
                raise SpecError(
                    f'partitions of "{spec.name}": a month starts on its first day, not on {start}',
                    fix=f"start: {start.replace(day=1)}",
                )
            # weeks start on the weekday of `start`: else Dagster would leave out the first one
            weekday = {"day_offset": start.isoweekday() % 7} if kind == "weekly" else {}
            return _TIMED[kind](
                start_date=start.isoformat(),
                end_date=end.isoformat() if end else None,
                timezone=_timezone(spec),
                **weekday,
            )
        case StaticPartitions(keys=keys):
            return dg.StaticPartitionsDefinition(list(keys))
    return None


def _timezone(spec: DatasetSpec) -> str:
    """What a tick calls the last complete day is so where its clock hangs."""
    name = spec.schedule.timezone if spec.schedule else "UTC"
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise SpecError(f'the schedule of "{spec.name}": no timezone "{name}"', fix="e.g. Europe/Rome") from None
    return name


def job_of(spec: DatasetSpec, keys: list[dg.AssetKey]) -> Any:  # Dagster does not export the class
    """All six assets with their checks."""
    return dg.define_asset_job(
        f"{spec.name}_job",
        selection=dg.AssetSelection.assets(*keys),
        description=f"From the source to a release of {spec.name}. The run tag synth/force=true recomputes.",
        tags={"synth/dataset": spec.name},
    )


def schedule_of(
    spec: DatasetSpec, job: Any, partitions: dg.PartitionsDefinition | None
) -> dg.ScheduleDefinition | None:
    """Requests the whole job at every tick: of the last complete partition, or of every listed one."""
    if spec.schedule is None:
        return None
    told: Schedule = spec.schedule

    @dg.schedule(
        name=f"{spec.name}_schedule",
        job=job,
        cron_schedule=told.cron,
        execution_timezone=told.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING if told.enabled else dg.DefaultScheduleStatus.STOPPED,
        description=f"Runs {spec.name}_job at {told.cron} ({told.timezone}).",
    )
    def ticks(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        at = context.scheduled_execution_time
        if partitions is None:
            yield dg.RunRequest(run_key=at.isoformat())
            return
        due = partitions.get_partition_keys(current_time=at)
        if isinstance(spec.partitions, TimePartitions):
            due = due[-1:]
        if not due:
            yield dg.SkipReason(f"no partition of {spec.name} is complete at {at.isoformat()}")
        for key in due:
            yield dg.RunRequest(run_key=f"{key} {at.isoformat()}", partition_key=key)

    return ticks
