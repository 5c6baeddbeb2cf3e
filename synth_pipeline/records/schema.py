"""What a column means: the frozen Arrow schema that travels with every Records, one JSON note per field."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from synth_pipeline.spec.columns import Meaning, Role

__all__ = [
    "Column",
    "Meaning",
    "Role",
    "columns",
    "decode",
    "default_meaning",
    "digest_form",
    "encode",
    "learned",
    "schema_of",
    "strip",
    "to_json",
    "with_role",
]

_KEY = b"synth"


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, what it means, and what the privacy filter did to it.

    `pii` is the kind of personal datum found in it ("email", "person", …). `action` is the protection that the
    protect stage applied, as plain JSON; a column whose action is a surrogate (`action["surrogate"]` is true) is
    never learned: the generate stage draws fresh values for it by following the same action.
    """

    name: str
    type: pa.DataType
    meaning: Meaning
    roles: frozenset[Role] = frozenset()
    nullable: bool = True
    pii: str | None = None
    action: Mapping[str, Any] | None = None
    description: str = ""
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Frozen at ingest, structural only (never values): e.g. `decimals`, `date_format`, `integer`."""

    @classmethod
    def of(cls, arrow: pa.Field) -> Column:
        note = json.loads((arrow.metadata or {}).get(_KEY, b"{}"))
        return cls(
            name=arrow.name,
            type=arrow.type,
            meaning=Meaning(note["meaning"]) if "meaning" in note else default_meaning(arrow.type),
            roles=frozenset(map(Role, note.get("roles", ()))),
            nullable=arrow.nullable,
            pii=note.get("pii"),
            action=note.get("action"),
            description=note.get("description", ""),
            facts=note.get("facts", {}),
        )

    def field(self) -> pa.Field:
        note: dict[str, Any] = {"meaning": self.meaning.value}
        if self.roles:
            note["roles"] = sorted(role.value for role in self.roles)
        for key in ("pii", "action", "description", "facts"):
            if value := getattr(self, key):
                note[key] = dict(value) if isinstance(value, Mapping) else value
        text = json.dumps(note, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return pa.field(self.name, self.type, self.nullable, metadata={_KEY: text.encode()})

    def having(self, **changes: Any) -> Column:
        return replace(self, **changes)

    @property
    def surrogate(self) -> bool:
        """Drawn by the generate stage from fresh keys, never learned."""
        return bool(self.action and self.action.get("surrogate"))


def default_meaning(arrow: pa.DataType) -> Meaning:
    """What an unannotated Arrow column most likely means."""
    if pa.types.is_boolean(arrow):
        return Meaning.BOOLEAN
    if pa.types.is_integer(arrow) or pa.types.is_floating(arrow) or pa.types.is_decimal(arrow):
        return Meaning.NUMBER
    if pa.types.is_temporal(arrow):
        return Meaning.DATETIME
    return Meaning.CATEGORY


def columns(schema: pa.Schema) -> list[Column]:
    return [Column.of(arrow) for arrow in schema]


def schema_of(cols: Iterable[Column], metadata: Mapping[bytes, bytes] | None = None) -> pa.Schema:
    return pa.schema([column.field() for column in cols], metadata=dict(metadata) if metadata else None)


def with_role(schema: pa.Schema, role: Role) -> list[str]:
    return [column.name for column in columns(schema) if role in column.roles]


def learned(schema: pa.Schema) -> list[Column]:
    """The columns that a generator may see: no identifier, no surrogate, no free text."""
    hidden = {Meaning.IDENTIFIER, Meaning.TEXT}
    return [column for column in columns(schema) if column.meaning not in hidden and not column.surrogate]


def strip(schema: pa.Schema) -> pa.Schema:
    """The schema less all notes: what two tables must share to be compared."""
    return pa.schema([pa.field(arrow.name, arrow.type) for arrow in schema])


def to_json(schema: pa.Schema) -> list[dict[str, Any]]:
    """A readable form for manifests and `records.json`."""
    return [
        {"name": f.name, "type": str(f.type), "nullable": f.nullable, **json.loads((f.metadata or {}).get(_KEY, b"{}"))}
        for f in schema
    ]


def digest_form(schema: pa.Schema) -> str:
    """Canonical text of a schema, for content ids."""
    return json.dumps(to_json(schema), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def encode(schema: pa.Schema) -> str:
    """The exact schema as text (Arrow IPC, base64)."""
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def decode(text: str) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))
