"""`source:` and `split:`: where the real rows come from and which of them are held out."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from synth_pipeline.spec.base import Spec


class SourceConfig(Spec):
    """Base of all sources: `implementation` names the class that reads it ("module:Class"), imported when needed."""

    type: str
    implementation: ClassVar[str]


class FileSource(SourceConfig):
    """Files: CSV/TSV (.gz, .zst too), JSON lines, Parquet, Arrow IPC; a path, glob, folder or URI."""

    implementation: ClassVar[str] = "synth_pipeline.records.sources.files:Files"
    type: Literal["file"] = "file"
    path: str = Field(description="Path, glob, folder or fsspec URI; `{partition}` stands for the partition's key.")
    format: Literal["csv", "tsv", "jsonl", "parquet", "arrow"] | None = Field(
        None, description="By the file's name when not given."
    )
    delimiter: str | None = Field(None, min_length=1, max_length=1, description="Of CSV; sniffed when not given.")
    encoding: str | None = Field(
        None, description="Of text; UTF-8 (a BOM is honoured), else an error names this field."
    )
    null: tuple[str, ...] = Field(
        ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"), description="Texts that mean a missing value."
    )
    max_rejects: float = Field(
        0.01, ge=0, le=1, description="Largest share of rows that may go to the rejects file before ingest fails."
    )


class SqlSource(SourceConfig):
    """A table or query of PostgreSQL or SQLite."""

    implementation: ClassVar[str] = "synth_pipeline.records.sources.sql:Sql"
    type: Literal["sql"] = "sql"
    url: str = Field(
        description="`postgresql://user@host/db` or `sqlite:///file.db`; passwords by `{{ env('NAME') }}` or the "
        "driver's own means (PGPASSWORD, ~/.pgpass), never in clear.",
        repr=False,
    )
    table: str | None = Field(None, description="Table to read whole; `schema.table` is understood.")
    query: str | None = Field(None, description="A SELECT; `{partition}` stands for the partition's key.")

    @model_validator(mode="after")
    def _one_of(self) -> SqlSource:
        if (self.table is None) == (self.query is None):
            raise ValueError("give either `table` or `query`")
        return self


class DatasetSource(SourceConfig):
    """Another dataset's published release."""

    implementation: ClassVar[str] = "synth_pipeline.records.sources.dataset:Dataset"
    type: Literal["dataset"] = "dataset"
    name: str = Field(description="Name of the other dataset.")
    version: str = Field("latest", description='"latest", or a version such as "v0003".')
    store: str | None = Field(None, description="Its release store, when it is not this one's.")


class Split(Spec):
    """Which units are held out of training: by default a keyed random share of them."""

    fraction: float | None = Field(
        None, gt=0, lt=1, description="Expected share held out; default max(20 %, min(2,000 units, half of them))."
    )
    column: str | None = Field(None, description="A column that already says which row is held out.")
    values: tuple[str, ...] = Field((), description="Values of `column` that mark holdout rows.")
    holdout: str | None = Field(None, description="Path or URI of a file with the holdout rows.")

    @model_validator(mode="before")
    @classmethod
    def _texts(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("values"), list):
            return {**data, "values": [str(value) for value in data["values"]]}
        return data

    @model_validator(mode="after")
    def _one_of(self) -> Split:
        if sum(value is not None for value in (self.fraction, self.column, self.holdout)) > 1:
            raise ValueError("give one of `fraction`, `column` (with `values`) and `holdout`")
        if (self.column is None) != (not self.values):
            raise ValueError("`column` and `values` belong together")
        return self

    @field_validator("holdout")
    @classmethod
    def _not_empty(cls, value: str | None) -> str | None:
        if value == "":
            raise ValueError("an empty path")
        return value
