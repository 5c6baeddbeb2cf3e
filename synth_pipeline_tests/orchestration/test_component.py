"""One YAML becomes assets, checks, a job and a schedule; a wrong one a placeholder; nothing heavy is imported."""

import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from synth_pipeline.errors import SpecError
from synth_pipeline.orchestration import SyntheticDataset
from synth_pipeline.orchestration.component import INVALID, Attributes, dataset_definitions
from synth_pipeline.orchestration.location import code_location, declared
from synth_pipeline.orchestration.nouns import NOUNS
from synth_pipeline.orchestration.places import Places
from synth_pipeline.orchestration.timetable import partitions_of
from synth_pipeline.spec.dataset import DatasetSpec
from synth_pipeline.spec.yaml import COMPONENT
from synth_pipeline.stages.run import NOUNS as STAGES

ROOT = Path(__file__).parents[2]
SOURCE = {"type": "file", "path": "visits.csv"}


def definitions(**fields: Any) -> dg.Definitions:
    spec = DatasetSpec.model_validate({"name": "visits", "source": SOURCE, **fields})
    return dg.Definitions.merge(dataset_definitions(spec, Path()), dg.Definitions(resources={"places": Places()}))


def declare(home: Path, name: str, text: str) -> Path:
    file = home / "defs" / name / "defs.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text, "utf-8")
    return file


def yaml_of(name: str, more: str = "") -> str:
    return f"type: {COMPONENT}\nattributes:\n  name: {name}\n  source: {{type: file, path: x.csv}}\n{more}"


def test_the_nouns_here_are_the_stages_own() -> None:
    assert {noun.stage: noun.name for noun in NOUNS} == {stage: noun for stage, (noun, _) in STAGES.items()}


def test_six_assets_with_true_inputs() -> None:
    specs = {spec.key.to_user_string(): spec for spec in definitions().resolve_all_asset_specs()}
    inputs = {key: {dep.asset_key.to_user_string() for dep in spec.deps} for key, spec in specs.items()}
    assert inputs == {
        "source/visits": set(),
        "visits/ingested": {"source/visits"},
        "visits/protected": {"visits/ingested"},
        "visits/model": {"visits/protected"},
        "visits/synthetic": {"visits/model", "visits/protected"},
        "visits/scorecard": {"visits/synthetic", "visits/protected", "visits/model"},
        "visits/release": {"visits/synthetic", "visits/model", "visits/scorecard"},
    }


def test_assets_are_described_owned_and_grouped() -> None:
    found = definitions(owners=["team:synthetic-data", "ada@example.org"], description="Visits to a clinic.")
    for spec in found.resolve_all_asset_specs():
        assert spec.group_name == "visits"
        assert spec.description
        assert 1 <= len(spec.kinds) <= 3
        assert spec.tags["modality"] == "tabular"
        if spec.key.path[0] != "source":
            assert list(spec.owners) == ["team:synthetic-data", "ada@example.org"]
            assert "Visits to a clinic." in spec.description


@pytest.mark.parametrize(
    ("change", "touched"),
    [
        ({"validation": {"policy": "public"}}, {"scorecard"}),
        ({"generator": {"type": "trees", "min_leaf": 50}}, {"model"}),
        ({"privacy": {"rare_levels": 9}}, {"protected"}),
        ({"description": "other words"}, {"release"}),
        ({"schedule": {"cron": "0 3 * * *"}, "owners": ["team:x"]}, set()),
    ],
)
def test_a_code_version_changes_with_its_own_slice_alone(change: dict[str, Any], touched: set[str]) -> None:
    def versions(found: dg.Definitions) -> dict[str, str]:
        return {spec.key.path[-1]: spec.code_version or "" for spec in found.resolve_all_asset_specs()}

    before, after = versions(definitions()), versions(definitions(**change))
    assert {name for name in before if before[name] != after[name]} == touched


def test_checks_block_and_follow_the_partitions() -> None:
    for more in ({}, {"partitions": {"type": "monthly", "start": "2026-01-01", "column": "day"}}):
        found = definitions(**more)
        specs = [
            spec for asset in found.assets or () if isinstance(asset, dg.AssetsDefinition) for spec in asset.check_specs
        ]
        assert {(spec.asset_key.path[-1], spec.name) for spec in specs} == {
            ("ingested", "contract"),
            ("scorecard", "gates"),
            ("scorecard", "contract"),
            ("scorecard", "residual_scan"),
        }
        assert all(spec.blocking for spec in specs)
        assert all((spec.partitions_def is not None) == bool(more) for spec in specs)


def test_another_datasets_release_is_a_source() -> None:
    specs = {s.key: s for s in definitions(source={"type": "dataset", "name": "base"}).resolve_all_asset_specs()}
    deps = specs[dg.AssetKey(["visits", "ingested"])].deps
    assert [dep.asset_key for dep in deps] == [dg.AssetKey(["base", "release"])]
    assert dg.AssetKey(["source", "visits"]) not in specs


def test_a_second_code_location_can_depend_on_a_release() -> None:
    @dg.asset(deps=[["visits", "release"]])
    def dashboard() -> None: ...

    elsewhere = dg.Definitions(assets=[dashboard])
    dg.Definitions.validate_loadable(elsewhere)
    assert dg.AssetKey(["visits", "release"]) in {
        dep.asset_key for s in elsewhere.resolve_all_asset_specs() for dep in s.deps
    }


# --- schedules --------------------------------------------------------------------------------------------------------


def requests(found: dg.Definitions, at: datetime.datetime, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=at, repository_def=found.get_repository_def()
    )
    return list(found.resolve_schedule_def("visits_schedule").evaluate_tick(context).run_requests or [])


AT = datetime.datetime(2026, 10, 2, 4, tzinfo=datetime.UTC)


def test_a_schedule_runs_by_default_and_can_be_switched_off() -> None:
    on = definitions(schedule={"cron": "0 4 * * *"}).resolve_schedule_def("visits_schedule")
    off = definitions(schedule={"cron": "0 4 * * *", "enabled": False}).resolve_schedule_def("visits_schedule")
    assert (on.default_status, off.default_status) == (
        dg.DefaultScheduleStatus.RUNNING,
        dg.DefaultScheduleStatus.STOPPED,
    )
    assert definitions().schedules == []


def test_a_tick_requests_the_whole_job_once(instance: dg.DagsterInstance) -> None:
    found = definitions(schedule={"cron": "0 4 * * *"})
    assert [r.run_key for r in requests(found, AT, instance)] == [AT.isoformat()]


def test_a_tick_of_a_partitioned_dataset_requests_the_last_complete_partition(instance: dg.DagsterInstance) -> None:
    monthly = {"type": "monthly", "start": "2026-07-01", "column": "day"}
    found = definitions(schedule={"cron": "0 4 2 * *"}, partitions=monthly)
    assert [r.partition_key for r in requests(found, AT, instance)] == ["2026-09-01"]
    early = datetime.datetime(2026, 7, 15, tzinfo=datetime.UTC)
    assert requests(found, early, instance) == []


def test_a_tick_of_listed_partitions_requests_each(instance: dg.DagsterInstance) -> None:
    static = {"type": "static", "keys": ["north", "south"], "column": "region"}
    found = definitions(schedule={"cron": "0 4 * * *"}, partitions=static)
    assert [r.partition_key for r in requests(found, AT, instance)] == ["north", "south"]


@pytest.mark.parametrize(("start", "second"), [("2026-07-01", "2026-07-08"), ("2026-07-05", "2026-07-12")])
def test_a_week_begins_on_the_weekday_of_the_first(start: str, second: str) -> None:
    spec = DatasetSpec.model_validate(
        {"name": "visits", "source": SOURCE, "partitions": {"type": "weekly", "start": start, "column": "day"}}
    )
    partitions = partitions_of(spec)
    assert partitions is not None
    assert list(partitions.get_partition_keys(current_time=AT))[:2] == [start, second]


def test_a_month_that_starts_in_its_middle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="starts on its first day") as raised:
        definitions(partitions={"type": "monthly", "start": "2026-07-15", "column": "day"})
    assert raised.value.fix == "start: 2026-07-01"
    declare(tmp_path / "home", "bad", yaml_of("bad", "  partitions: {type: monthly, start: 2026-07-15, column: day}\n"))
    declare(tmp_path / "home", "worse", yaml_of("worse", "  schedule: {cron: '0 4 * * *', timezone: Mars/Base}\n"))
    declare(tmp_path / "home", "good", yaml_of("good"))
    specs = {spec.key.to_user_string(): spec for spec in code_location().resolve_all_asset_specs()}
    assert "good/release" in specs
    assert "starts on its first day" in (specs[f"bad/{INVALID}"].description or "")


def test_days_are_those_of_the_schedules_clock(instance: dg.DagsterInstance) -> None:
    """Soon after midnight in Tokyo yesterday is complete there, and in UTC has hours to go."""
    daily = {"type": "daily", "start": "2026-07-01", "column": "day"}
    found = definitions(schedule={"cron": "30 0 * * *", "timezone": "Asia/Tokyo"}, partitions=daily)
    at = datetime.datetime(2026, 9, 30, 15, 30, tzinfo=datetime.UTC)  # 0:30 on the first of October
    assert [r.partition_key for r in requests(found, at, instance)] == ["2026-09-30"]


# --- loading ----------------------------------------------------------------------------------------------------------


def test_the_code_location_loads_and_every_own_dataset_is_in_it() -> None:
    found = code_location()
    dg.Definitions.validate_loadable(found)
    names = {spec.key.path[0] for spec in found.resolve_all_asset_specs()}
    assert set(declared()) <= names
    assert not [spec for spec in found.resolve_all_asset_specs() if spec.key.path[-1] == INVALID]
    assert set(found.resources or {}) == {"places"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (yaml_of("bad", "  sed: 1\n"), 'defs.yaml:5: sed: unknown field; did you mean "seed"?'),
        ("type: [\n", "not YAML"),
        (yaml_of("bad", "  schedule: {cron: 99 99 * * *}\n"), "cron"),
        (yaml_of("bad", "  schedule: {cron: 1 1 * * *, timezone: Mars/Olympus}\n"), "Mars/Olympus"),
        (yaml_of("bad", "  description: \"{{ env('SYNTH_NOT_SET') }}\"\n"), "SYNTH_NOT_SET"),
        (yaml_of("bad").replace("attributes", "atributes"), 'did you mean "attributes"?'),
        ("type: no.such.Component\nattributes: {}\n", "no"),
        (yaml_of("wine"), "defined elsewhere"),
    ],
)
def test_a_wrong_yaml_is_one_failing_asset_and_the_others_load(
    text: str, told: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    declare(tmp_path / "home", "bad", text)
    declare(tmp_path / "home", "good", yaml_of("good"))
    found = code_location()
    dg.Definitions.validate_loadable(found)
    specs = {spec.key.to_user_string(): spec for spec in found.resolve_all_asset_specs()}
    assert {"good/release", "wine/release"} <= set(specs)
    [placeholder] = [spec for key, spec in specs.items() if key.endswith(INVALID)]
    assert told in (placeholder.description or "")
    [asset] = [a for a in found.assets or () if isinstance(a, dg.AssetsDefinition) and a.keys == {placeholder.key}]
    result = dg.materialize([asset], raise_on_error=False, instance=instance)
    assert not result.success
    [failure] = [event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_FAILURE]
    assert told in str(failure.step_failure_data.user_failure_data.description)


def test_a_projects_dataset_stands_before_the_ad_hoc_one_of_its_name(tmp_path: Path) -> None:
    """`synth run customers.csv` first, `synth init customers` in the project next."""
    declare(tmp_path / "home", "wine", yaml_of("wine"))
    declare(tmp_path / "home", "mine", yaml_of("mine"))
    found = {spec.key.to_user_string() for spec in code_location().resolve_all_asset_specs()}
    assert {"wine/release", "mine/release"} <= found
    assert not any(INVALID in key for key in found)
    assert not declared()["wine"].is_relative_to(tmp_path)


def test_the_components_schema_is_the_specs() -> None:
    schema = Attributes.model_json_schema()
    fields = schema["$defs"]["DatasetSpec"]["properties"]
    assert set(fields) == set(DatasetSpec.model_fields)
    assert all(field.get("description") for name, field in fields.items() if name != "name")
    json.dumps(schema)


def test_templates_keep_a_text_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKS_LIKE_A_NUMBER", "1e5")
    component = SyntheticDataset.from_attributes_dict(
        attributes={"name": "a", "source": {"type": "file", "path": "{{ env('LOOKS_LIKE_A_NUMBER') }}"}, "seed": 3}
    )
    assert component.spec is not None
    assert component.spec.source.model_dump()["path"] == "1e5"


@pytest.mark.parametrize(
    "file", sorted((ROOT / "synth_pipeline" / "defs").rglob("defs.yaml")), ids=lambda f: f.parent.name
)
def test_every_own_yaml_is_right(file: Path) -> None:
    tree = dg.ComponentTree.for_project(ROOT)
    components = tree.get_all_components(of_type=SyntheticDataset)
    assert not [component.problem for component in components if component.problem]
    assert file.parent.name in {component.label for component in components}


def test_loading_definitions_imports_nothing_heavy() -> None:
    code = """
import sys, time
import dagster
begun = time.monotonic()
import synth_pipeline.definitions
synth_pipeline.definitions.defs()
seconds = time.monotonic() - begun
heavy = "torch pandas sdv diffusers transformers great_expectations sklearn ray numpy pyarrow scipy faker".split()
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
