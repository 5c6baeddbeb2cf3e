"""`type: synth_pipeline.orchestration.SyntheticDataset`: one YAML file becomes assets, checks, a job and a schedule."""

import logging
import re
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from synth_pipeline.errors import SpecError
from synth_pipeline.orchestration.assets import keys, source_asset, stage_assets
from synth_pipeline.orchestration.timetable import job_of, partitions_of, schedule_of
from synth_pipeline.spec import yaml
from synth_pipeline.spec.dataset import DatasetSpec

log = logging.getLogger("synth_pipeline")
INVALID = "invalid_definition"
"""The asset that stands for a dataset whose YAML is wrong."""


class Attributes(BaseModel):
    """What Dagster validates: nothing. Its schema, for editors and `dg check yaml`, is DatasetSpec's.

    So that a wrong YAML reaches `SyntheticDataset.load`, which explains it and lets the other datasets load.
    """

    model_config = ConfigDict(extra="allow")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(DatasetSpec.__pydantic_core_schema__)


class SyntheticDataset(dg.Component):
    """One synthetic dataset: ingest, protect, train, generate, validate, export."""

    def __init__(self, spec: DatasetSpec | None, base: Path, problem: str = "", label: str = "") -> None:
        self.spec = spec
        """None: the YAML is wrong, and `problem` says how."""
        self.base, self.problem = base, problem
        self.label = spec.name if spec else label

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        return Attributes

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        return dg.ComponentTypeSpec(
            owners=["team:synthetic-data"], produces=["asset", "asset_check", "job", "schedule"]
        )

    @classmethod
    def load(cls, attributes: Any, context: dg.ComponentLoadContext) -> "SyntheticDataset":
        given = dict(attributes.model_extra or {}) if attributes is not None else {}
        label = str(given.get("name", "")) or context.path.name
        try:
            document = _document(context)
            spec = yaml.validate(given, document, render=_renderer(context, document))
            return cls(spec, context.project_root)
        except SpecError as error:
            return cls(None, context.project_root, str(error), label)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        if self.spec is None:
            return placeholder(self.label, self.problem)
        try:
            return dataset_definitions(self.spec, self.base)
        except dg.DagsterError as error:  # a cron, a timezone or an owner that only Dagster can judge
            return placeholder(self.label, f"{_place(context)}: {str(error).splitlines()[0]}")
        except SpecError as error:
            return placeholder(self.label, f"{_place(context)}: {error}")


def dataset_definitions(spec: DatasetSpec, base: Path) -> dg.Definitions:
    """All of one dataset; resources and executor belong to the code location."""
    partitions = partitions_of(spec)
    job = job_of(spec, keys(spec))
    schedule = schedule_of(spec, job, partitions)
    source = source_asset(spec)
    return dg.Definitions(
        assets=[*([source] if source else []), *stage_assets(spec, partitions, base)],
        jobs=[job],
        schedules=[schedule] if schedule else [],
    )


def placeholder(label: str, problem: str) -> dg.Definitions:
    """One asset that tells what is wrong with a dataset and fails with it, while all others load."""
    name = re.sub(r"[^a-z0-9_]+", "_", label.lower()).strip("_")[:63] or "unnamed"
    log.warning("dataset %r is not loaded: %s", label, problem)

    @dg.asset(
        key=[name, INVALID],
        group_name=name,
        kinds={"error"},
        description=f"This dataset's YAML is wrong, so that its assets are not here.\n\n```\n{problem}\n```",
    )
    def invalid() -> None:
        raise dg.Failure(description=problem, allow_retries=False)

    return dg.Definitions(assets=[invalid])


def _document(context: dg.ComponentLoadContext) -> yaml.Document:
    """The YAML document being loaded, for its lines; Dagster keeps the values alone."""
    tree = context.resolution_context.source_position_tree
    if tree is None:
        return yaml.Document({})
    file, line = Path(tree.position.filename), tree.position.start.line
    found = [document for document in yaml.documents(file) if document.lines[()] <= line]
    return found[-1] if found else yaml.Document({}, str(file))


def _place(context: dg.ComponentLoadContext) -> str:
    tree = context.resolution_context.source_position_tree
    return str(tree.position.filename) if tree else str(context.path)


def _renderer(context: dg.ComponentLoadContext, document: yaml.Document) -> Any:
    scope = context.with_rendering_scope({"project_root": str(context.project_root)}).resolution_context
    end = "\ue000"  # keeps jinja from reading "1e5" or "007" as a number: a text stays the text it is

    def render(text: str) -> str:
        try:
            return str(scope.resolve_value(text + end)).removesuffix(end)
        except Exception as error:  # noqa: BLE001 - templates are code; whatever it is, it is the YAML's fault
            last = str(error).strip().splitlines()[-1]
            raise SpecError(f"a template cannot be filled in: {last}", where=document.file) from None

    return render
