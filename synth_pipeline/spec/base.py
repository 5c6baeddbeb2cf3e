"""What every section of the YAML shares: unknown fields are errors, values are frozen."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A section of a dataset's YAML."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
