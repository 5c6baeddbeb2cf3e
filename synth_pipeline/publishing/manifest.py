"""The one truth about a release: what `manifest.json` holds, and how such small files are sealed against damage.

No real value, no key and no path of this machine belongs in it. Card, Croissant and lineage are pure functions of it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from synth_pipeline.errors import StorageError

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldNote(_Section):
    """One released column."""

    name: str
    type: str
    meaning: str
    nullable: bool = True
    roles: tuple[str, ...] = ()
    description: str = ""
    surrogate: str | None = Field(None, description="Kind of personal datum whose place freshly drawn values take.")


class TableNote(_Section):
    """One released table."""

    name: str
    rows: int
    fields: tuple[FieldNote, ...]


class FileNote(_Section):
    """One released file; `payload` is the hash of the synthetic part that a data file was written from."""

    path: str
    kind: Literal["data", "csv", "card", "croissant", "scorecard", "report"]
    bytes: int
    sha256: str
    table: str | None = None
    split: str | None = None
    rows: int | None = None
    payload: str | None = None


class Source(_Section):
    """What the release derives from."""

    kind: str = "none"
    uri: str = Field("", description="Less passwords and the folders of a local path.")
    root: str = ""
    content_id: str = ""
    version: str = Field("", description="Of the release that was the source, if one was.")
    rows: dict[str, int] = Field(default_factory=dict)
    licence: str = ""
    citation: str = ""
    simulated: bool = False


class Privacy(_Section):
    """What the privacy filter did, column by column; settings only, nothing that was seen in the data."""

    actions: dict[str, dict[str, Any]] = Field(default_factory=dict)
    found: tuple[dict[str, str], ...] = ()
    key_id: str = ""
    split: dict[str, Any] = Field(default_factory=dict)
    unit: str = "row"


class Training(_Section):
    """What learned, with which settings."""

    generator: str
    config: dict[str, Any] = Field(default_factory=dict)
    version: str = ""
    libraries: dict[str, str] = Field(default_factory=dict)
    licence: str = ""
    capabilities: dict[str, bool] = Field(default_factory=dict)
    rows: int = 0


class Generation(_Section):
    """How the released rows were drawn."""

    rows: int
    rejected: int = 0
    violations: int = 0
    shards: int = 0
    seed: int = 0
    conditions: dict[str, Any] = Field(default_factory=dict)
    balance: dict[str, Any] = Field(default_factory=dict)
    conditions_real: bool = False


class Validation(_Section):
    """What let the release out."""

    policy: str
    policy_version: str = ""
    verdict: str
    gates: tuple[dict[str, Any], ...] = ()
    checks: tuple[dict[str, Any], ...] = ()
    attempts: int = 1
    judged: dict[str, str] = Field(default_factory=dict)


class Csv(_Section):
    """Text cells that a spreadsheet would run, by column, and whether they were escaped."""

    formula_cells: dict[str, int] = Field(default_factory=dict)
    escaped: bool = False


class Manifest(_Section):
    """One version of one dataset (or of one of its partitions)."""

    schema_version: Literal["1"] = "1"
    dataset: str
    partition: str | None = None
    version: str = ""
    created_at: str = ""
    supersedes: str | None = None
    description: str = ""
    modality: str = "tabular"
    licence: str = ""
    digital_source_type: str = DIGITAL_SOURCE_TYPE
    content_id: str = Field(description="Merkle root of meaning and payloads: equal for equal rows in any version.")
    identity: str = Field(description="Content, verdict and card inputs: what makes publishing again pointless.")
    tables: tuple[TableNote, ...]
    source: Source = Source()
    privacy: Privacy = Privacy()
    training: Training
    generation: Generation
    validation: Validation
    upstream: dict[str, str] = Field(default_factory=dict, description="Noun → content id.")
    code: dict[str, str] = Field(default_factory=dict)
    execution: dict[str, str] = Field(default_factory=dict)
    csv: Csv | None = None
    files: tuple[FileNote, ...] = ()

    @property
    def place(self) -> tuple[str, str | None, str]:
        return self.dataset, self.partition, self.version

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    def data_files(self, table: str | None = None) -> list[FileNote]:
        return [file for file in self.files if file.kind == "data" and table in (None, file.table)]

    def to_bytes(self) -> bytes:
        return seal(self.model_dump(mode="json"))

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "") -> Manifest:
        """Reads what `to_bytes` wrote.

        Raises:
            StorageError: it was altered, or another release of this software wrote it in a form unknown here.
        """
        try:
            return cls.model_validate({k: v for k, v in unseal(data, where).items() if k != "digest"})
        except ValueError as error:
            raise StorageError("the manifest is not of a form known here", where=where, fix="upgrade") from error


def merkle_root(forms: Mapping[str, str], payloads: Iterable[tuple[str, str, int, str]]) -> str:
    """Over each table's columns (less descriptions) and each part's (table, split, rows, payload hash)."""
    root = hashlib.sha256()
    for name, form in forms.items():
        root.update(f"{name}\x1f{form}\n".encode())
    for part in payloads:
        root.update("\x1f".join(map(str, part)).encode() + b"\n")
    return root.hexdigest()


def seal(note: Mapping[str, Any]) -> bytes:
    """Canonical JSON with a digest of itself, so that any changed byte shows."""
    body = {key: value for key, value in note.items() if key != "digest"}
    return _dump({**body, "digest": hashlib.sha256(_dump(body)).hexdigest()})


def unseal(data: bytes, where: str = "") -> dict[str, Any]:
    """What was sealed.

    Raises:
        StorageError: not one byte for byte sealed file.
    """
    try:
        note = json.loads(data)
        sound = isinstance(note, dict) and seal(note) == data
    except (ValueError, RecursionError):
        sound = False
    if not sound:
        raise StorageError(
            "this file was altered or damaged", where=where, fix="restore it from a copy, or publish again"
        )
    return dict(note)


def plain(value: Any) -> Any:
    """`value` as JSON knows it: numpy scalars as numbers, what is not finite as null, the rest as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in (sorted(value, key=str) if isinstance(value, set | frozenset) else value)]
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def _dump(note: Mapping[str, Any]) -> bytes:
    return json.dumps(note, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"
