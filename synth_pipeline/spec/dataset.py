"""One dataset: the whole YAML, sections in pipeline order, and each stage's slice of it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from synth_pipeline.errors import did_you_mean
from synth_pipeline.protocols import registry
from synth_pipeline.spec.base import Spec
from synth_pipeline.spec.columns import ColumnSpec, Role
from synth_pipeline.spec.constraints import Constraint
from synth_pipeline.spec.generation import Generation, GeneratorConfig, LocalEngine
from synth_pipeline.spec.plugged import Registered
from synth_pipeline.spec.privacy import PrivacySpec
from synth_pipeline.spec.publication import Contract, Export, Partitions, Schedule, Validation
from synth_pipeline.spec.source import SourceConfig, Split


class DatasetSpec(Spec):
    """One YAML file: from a source to a published synthetic dataset."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$", description="Asset group, key prefix and release folder.")
    description: str = Field("", description="Shown in Dagster, the card and Croissant.")
    owners: tuple[str, ...] = Field((), description='E-mail addresses or "team:name".')
    modality: str = Field("tabular", description="What kind of data this is.")
    source: Annotated[SerializeAsAny[SourceConfig], Registered("sources")] = Field(
        description="Where the real rows come from."
    )
    split: Split = Field(default_factory=Split, description="Which units are held out of training.")
    columns: dict[str, ColumnSpec] = Field(default_factory=dict, description="Column name → what you know about it.")
    constraints: tuple[Constraint, ...] = Field((), description="What must hold in every synthetic row.")
    contract: Contract = Field(default_factory=Contract, description="Expectations on source and output.")
    privacy: PrivacySpec = Field(default_factory=PrivacySpec, description="What the privacy filter does.")
    generator: Annotated[SerializeAsAny[GeneratorConfig], Registered("generators")] = Field(
        default_factory=lambda: registry.find("generators", "trees")(type="trees"), description="What learns the data."
    )
    generation: Generation = Field(default_factory=Generation, description="How much is drawn.")
    engine: LocalEngine = Field(
        default_factory=LocalEngine, description="What runs the shards; never changes the result."
    )
    validation: Validation = Field(default_factory=Validation, description="Which policy decides.")
    export: Export = Field(default_factory=Export, description="Formats and card.")
    schedule: Schedule | None = Field(None, description="When Dagster runs it by itself.")
    partitions: Partitions | None = Field(None, description="One model and version line per partition.")
    seed: int = Field(0, ge=0, lt=2**63, description="Root of every public random draw.")

    @field_validator("modality")
    @classmethod
    def _known(cls, value: str) -> str:
        known = registry.names("modalities")
        if value not in known:
            raise ValueError(f'unknown modality "{value}"; {did_you_mean(value, known)}')
        return value

    @field_validator("owners")
    @classmethod
    def _owners(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for owner in value:
            if "@" not in owner and not owner.startswith("team:"):
                raise ValueError(f'"{owner}" is neither an e-mail address nor "team:name"')
        return value

    @model_validator(mode="after")
    def _partitioned(self) -> DatasetSpec:
        placed = any("{partition}" in str(value) for value in self.source.model_dump().values())
        by_column = self.partitions is not None and self.partitions.column is not None
        if placed and self.partitions is None:
            raise ValueError("the source names `{partition}` but there is no `partitions:` section")
        if self.partitions is not None and not placed and not by_column:
            raise ValueError("`partitions:` needs `{partition}` in the source's path or query, or `partitions.column`")
        return self

    def with_role(self, role: Role) -> list[str]:
        return [name for name, column in self.columns.items() if role in column.roles]

    def slice(self, stage: str) -> dict[str, Any]:
        """What of the spec decides this stage's result, in canonical form: the input of its plan id.

        Sections that only say where, when or how things are shown are in no slice.
        """
        return {section: self._section(section) for section in SLICES[stage]}

    def _section(self, name: str) -> Any:
        dumped = self.model_dump(mode="json", exclude_defaults=False)
        if name == "columns":
            return {column: {**note, "description": ""} for column, note in dumped["columns"].items()}
        if name == "read":  # how a source is read, less where it lies: its content is an input of its own
            return {
                k: v
                for k, v in dumped["source"].items()
                if k not in ("path", "url", "store", "name", "version", "max_rejects")
            }
        if name == "placement":
            part = dumped["partitions"]
            return part and {"type": part["type"], "column": part["column"]}
        return dumped[name]


SLICES: dict[str, tuple[str, ...]] = {
    "ingest": ("read", "split", "columns", "placement"),
    "protect": ("privacy",),
    "train": ("modality", "generator", "constraints"),
    "generate": ("generation", "constraints"),
    "validate": ("modality", "validation", "constraints", "contract", "generation"),
    "export": ("name", "description", "export", "columns"),
}
