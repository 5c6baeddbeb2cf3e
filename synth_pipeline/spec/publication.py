"""`contract:`, `validation:`, `export:`, `schedule:`, `partitions:`: what must hold and how it is published."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from synth_pipeline.spec.base import Spec


class Expectation(Spec):
    """One Great Expectations expectation, as in its own JSON: `{type: expect_…, kwargs: {…}}`."""

    type: str = Field(pattern=r"^expect_[a-z0-9_]+$")
    kwargs: dict[str, Any] = Field(default_factory=dict)
    blocking: bool = Field(True, description="Whether a failure stops the release.")


class Contract(Spec):
    """Expectations on the source and on what is released; checks of the frozen schema always run."""

    source: tuple[Expectation, ...] = Field((), description="Checked on ingested rows.")
    synthetic: tuple[Expectation, ...] = Field((), description="Checked on synthetic rows.")
    sample: int = Field(100_000, gt=0, description="Rows that Great Expectations sees; all rows if there are fewer.")


class CanaryAudit(Spec):
    """One more training, on rows among which canaries were hidden by fair coins: how well are they found again?"""

    canaries: int = Field(1_000, ge=100, le=100_000, description="Made-up rows; about half of them are trained on.")


class Validation(Spec):
    """Which policy gates the release."""

    policy: str = Field("internal", description="A built-in policy (`internal`, `public`) or a policy file's path.")
    queries: int = Field(
        20_000,
        ge=500,
        description="Synthetic rows used as queries of the nearest-neighbour search; the reference is whole.",
    )
    full: bool = Field(False, description="Also the slower measures.")
    seconds: float = Field(1_800.0, gt=0, description="What takes longer is not measured, and its gate stays shut.")
    audit: CanaryAudit | None = Field(None, description="Also the canary audit; trains once more.")


class Export(Spec):
    """Formats and what the dataset card says."""

    formats: tuple[Literal["parquet", "csv"], ...] = Field(
        ("parquet",), min_length=1, description="Parquet is always written."
    )
    escape_formulas: bool = Field(False, description="Prefix CSV cells that spreadsheets would run with an apostrophe.")
    licence: str = Field("", description="SPDX id of the synthetic data's licence.")
    source_licence: str = Field("", description="Licence of the source, as told in the card.")
    citation: str = Field("", description="How to cite the source.")
    simulated: bool = Field(False, description="The source itself is simulated, no real persons: the card says so.")


class Schedule(Spec):
    """When Dagster runs the whole job by itself."""

    cron: str = Field(description='Five cron fields, e.g. "0 3 * * *".')
    enabled: bool = Field(True, description="Whether the schedule starts switched on.")
    timezone: str = Field("UTC", description="IANA name.")

    @field_validator("cron")
    @classmethod
    def _fields(cls, value: str) -> str:
        if len(value.split()) != 5:
            raise ValueError("a cron expression has five fields: minute hour day month weekday")
        return value


class TimePartitions(Spec):
    """One model and one version line per day, week or month."""

    type: Literal["daily", "weekly", "monthly"]
    start: datetime.date = Field(description="First partition.")
    end: datetime.date | None = Field(None, description="First partition that no longer exists; none: it goes on.")
    column: str | None = Field(None, description="Date column that says which partition a row belongs to.")


class StaticPartitions(Spec):
    """One model and one version line per key."""

    type: Literal["static"]
    keys: tuple[str, ...] = Field(min_length=1)
    column: str | None = Field(None, description="Column that holds the key.")

    @model_validator(mode="after")
    def _sound(self) -> StaticPartitions:
        for key in self.keys:
            if not key or key.startswith(".") or any(sign in key for sign in "/\\\0@") or "..." in key:
                raise ValueError(f"{key!r} cannot be a partition key")
        if len(set(self.keys)) != len(self.keys):
            raise ValueError("a key is listed twice")
        return self


Partitions = Annotated[TimePartitions | StaticPartitions, Field(discriminator="type")]
