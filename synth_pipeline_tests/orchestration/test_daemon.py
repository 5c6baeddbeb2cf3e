"""With a real webserver and daemon: a schedule's tick, a backfill of one run per partition, bounded by the queue."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synth_pipeline_tests.orchestration.server import STAGES, Server, declare, serving, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root: Path = tmp_path_factory.mktemp("daemon")
    declare(root, "shops", ["north", "south", "west"])
    declare(root, "ticking", [], schedule={"cron": "* * * * *"})
    with serving(root) as found:
        yield found


def tags(run: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["tags"]}


def stop(server: Server, name: str) -> None:
    query = """query($s: ScheduleSelector!) { scheduleOrError(scheduleSelector: $s) {
        ... on Schedule { scheduleState { id } } } }"""
    where = {"repositoryName": "__repository__", "repositoryLocationName": "synth_pipeline", "scheduleName": name}
    state = server.ask(query, s=where)["scheduleOrError"]["scheduleState"]["id"]
    server.ask("mutation($id: String!) { stopRunningSchedule(id: $id) { __typename } }", id=state)


def test_a_schedule_ticks_by_itself_and_its_run_publishes(server: Server) -> None:
    ticked = [{"key": "dagster/schedule_name", "value": "ticking_schedule"}]
    until(lambda: server.runs(tags=ticked), 180)
    stop(server, "ticking_schedule")  # one tick is enough: more would only queue
    [run, *_] = server.ended(1, 600, tags=ticked)
    assert run["status"] == "SUCCESS", server.log(run["runId"])
    assert run["jobName"] == "ticking_job"
    assert (server.root / "releases" / "ticking" / "versions" / "v0001" / "manifest.json").exists()


def test_a_backfill_is_one_run_per_partition(server: Server) -> None:
    launch = """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
        __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
    selection = [{"path": ["shops", name]} for name in STAGES]
    told = server.ask(launch, p={"partitionNames": ["north", "south", "west"], "assetSelection": selection})
    backfill = told["launchPartitionBackfill"]["backfillId"]
    runs = server.ended(3, 1200, tags=[{"key": "dagster/backfill", "value": backfill}])
    assert sorted(tags(run)["dagster/partition"] for run in runs) == ["north", "south", "west"]
    for run in runs:
        assert run["status"] == "SUCCESS", server.log(run["runId"])
    for key in ("north", "south", "west"):
        assert (
            server.root / "releases" / "shops" / "partitions" / key / "versions" / "v0001" / "manifest.json"
        ).exists()
    _one_evaluation_per_partition(server)


def _one_evaluation_per_partition(server: Server) -> None:
    """No check is left planned for ever, and each belongs to its partition."""
    query = """query($k: AssetKeyInput!, $n: String!) {
        assetCheckExecutions(assetKey: $k, checkName: $n, limit: 20) { status } }"""
    for name in ("gates", "contract", "residual_scan"):
        found = server.ask(query, k={"path": ["shops", "scorecard"]}, n=name)["assetCheckExecutions"]
        assert [check["status"] for check in found] == ["SUCCEEDED"] * 3
