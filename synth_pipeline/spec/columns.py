"""`columns:`: what the user knows about a column that inference cannot."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from synth_pipeline.spec.base import Spec


class Meaning(StrEnum):
    """What kind of thing a column holds; encoders, protections and measures register by it."""

    NUMBER = "number"
    CATEGORY = "category"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    IDENTIFIER = "identifier"
    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"


class Role(StrEnum):
    """What a column is for."""

    PRIMARY_KEY = "primary_key"
    FOREIGN_KEY = "foreign_key"
    SEQUENCE_KEY = "sequence_key"
    SEQUENCE_INDEX = "sequence_index"
    TARGET = "target"
    SENSITIVE = "sensitive"
    CONDITION = "condition"
    ENTITY = "entity"


class ColumnSpec(Spec):
    """One column. Everything is optional: what is not said is inferred from the data and reported."""

    meaning: Meaning | None = Field(None, description="What the column holds; inferred when not given.")
    roles: tuple[Role, ...] = Field(
        (), description="`entity` names the person (or other unit) that the release protects; `primary_key` is unique."
    )
    pii: str | None = Field(
        None, description='The kind of personal datum ("email", "person", …); "none" says that it is not personal.'
    )
    description: str = Field("", description="Shown in Dagster, the dataset card and Croissant.")
    null: tuple[str, ...] = Field((), description="Further texts that mean a missing value in this column.")
    format: str | None = Field(None, description="strptime format of a date column that inference reads wrongly.")
