"""`generator:` and `generation:`: what learns, and how much is drawn."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from synth_pipeline.spec.base import Spec


class GeneratorConfig(Spec):
    """Base of all generators: `implementation` names the class ("module:Class"), imported when needed."""

    type: str
    implementation: ClassVar[str]


class Generation(Spec):
    """How many rows, under which conditions."""

    rows: int | None = Field(None, gt=0, description="Rows to publish.")
    ratio: float | None = Field(
        None, gt=0, description="Rows to publish as a multiple of the training rows; default 1."
    )
    conditions: dict[str, str | int | float | bool | None] = Field(
        default_factory=dict, description="Column → value that every synthetic row has."
    )
    balance: dict[str, Literal["uniform"] | dict[str, float]] = Field(
        default_factory=dict,
        max_length=1,
        description='Column → "uniform" or level weights: the column is drawn from these, the rest given it.',
    )
    shard_rows: int = Field(262_144, gt=0, description="Rows of one shard; it is part of the result's identity.")

    @model_validator(mode="after")
    def _one_of(self) -> Generation:
        if self.rows is not None and self.ratio is not None:
            raise ValueError("give `rows` or `ratio`, not both")
        if both := set(self.conditions) & set(self.balance):
            raise ValueError(f"a column cannot be both fixed and balanced: {', '.join(sorted(both))}")
        return self


class LocalEngine(Spec):
    """Worker processes on this machine."""

    type: Literal["local"] = "local"
    workers: int | None = Field(
        None, ge=1, description="Processes; default: the usable cores. Never changes the result."
    )
