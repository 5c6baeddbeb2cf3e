"""`privacy:`: what the protect stage does to each column."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from synth_pipeline.spec.base import Spec


class Keep(Spec):
    """Leave the column as it is, although it looks personal: say why."""

    type: Literal["keep"]
    reason: str = Field(min_length=3, description="Recorded in the manifest and shown in the report.")


class Drop(Spec):
    """Remove the column."""

    type: Literal["drop"]


class Fake(Spec):
    """Keyed surrogates of the same kind; synthetic rows get fresh ones."""

    type: Literal["fake"]
    entity: str | None = Field(
        None, description='Kind of surrogate ("email", "person", …); the detected one if not given.'
    )
    locale: str = Field("en_US", description="Faker locale.")
    unique: bool | None = Field(None, description="No two originals share a surrogate; default: as in the source.")


class Hash(Spec):
    """Keyed HMAC-SHA-256, hexadecimal; synthetic rows get fresh tokens of the same form."""

    type: Literal["hash"]
    length: int = Field(16, ge=8, le=64, description="Hexadecimal digits.")


class Mask(Spec):
    """Hide all but the first or last characters; what remains is learned as a category."""

    type: Literal["mask"]
    first: int = Field(0, ge=0, description="Characters kept at the start.")
    last: int = Field(0, ge=0, description="Characters kept at the end.")
    sign: str = Field("*", min_length=1, max_length=1, description="What stands for a hidden character.")


class Generalise(Spec):
    """Coarsen: bins of a number, a date truncated, a text's prefix."""

    type: Literal["generalise"]
    width: float | None = Field(None, gt=0, description="Bin width of a number; its lower edge is kept.")
    bins: tuple[float, ...] | None = Field(None, min_length=2, description="Bin edges of a number.")
    date: Literal["year", "quarter", "month", "week", "day", "hour"] | None = Field(
        None, description="Truncate a date to this."
    )
    prefix: int | None = Field(None, ge=1, description="Characters kept of a text.")

    @model_validator(mode="after")
    def _one_of(self) -> Generalise:
        if sum(value is not None for value in (self.width, self.bins, self.date, self.prefix)) != 1:
            raise ValueError("give exactly one of `width`, `bins`, `date`, `prefix`")
        return self


class Suppress(Spec):
    """Replace levels that fewer than `min_count` units of train share."""

    type: Literal["suppress"]
    min_count: int = Field(5, ge=2, description="Units that a level needs to be kept.")
    to: str | None = Field(None, description="What replaces a rare level; a missing value if not given.")


Action = Annotated[Keep | Drop | Fake | Hash | Mask | Generalise | Suppress, Field(discriminator="type")]


class PrivacySpec(Spec):
    """Defaults protect: identifiers are replaced, free text is dropped, rare levels are suppressed."""

    detect: bool = Field(True, description="Look for personal data in every text-like column.")
    free_text: Literal["drop"] = Field("drop", description="What becomes of free-text columns without an action.")
    rare_levels: int = Field(
        5, ge=1, description="A category's level that fewer units of train share is suppressed (1: none)."
    )
    locale: str = Field("en_US", description="Faker locale of surrogates.")
    columns: dict[str, Action] = Field(default_factory=dict, description="Column name → what to do with it.")
