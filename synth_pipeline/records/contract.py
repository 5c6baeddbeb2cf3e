"""What a dataset's columns are promised to be: frozen at the first ingest, compared at every later one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from synth_pipeline.errors import ContractError, StorageError
from synth_pipeline.records.files import replace
from synth_pipeline.records.schema import Column, Meaning, columns, decode, encode, to_json


@dataclass(frozen=True)
class Contract:
    """The accepted schema and the share held out: both outlive snapshots and partitions."""

    schema: pa.Schema
    fraction: float | None
    """Frozen with the schema: a share that moved with the number of rows would move people across."""
    spec: str
    """Digest of the YAML's part that shaped the columns: who edits it accepts a new contract."""
    split: str

    @classmethod
    def read(cls, path: Path) -> Contract | None:
        try:
            note = json.loads(path.read_bytes())
            return cls(decode(note["arrow"]), note["fraction"], note["spec"], note["split"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, pa.ArrowInvalid) as error:
            raise StorageError(
                "the frozen contract is damaged", where=str(path), fix="delete it: the next run freezes a new one"
            ) from error

    def write(self, path: Path) -> None:
        replace(
            path, json.dumps({**self.to_json(), "arrow": encode(self.schema)}, indent=1, ensure_ascii=False).encode()
        )

    def to_json(self) -> dict[str, Any]:
        return {"columns": to_json(self.schema), "fraction": self.fraction, "spec": self.spec, "split": self.split}

    @property
    def columns(self) -> Mapping[str, Column]:
        return {column.name: column for column in columns(self.schema)}


def compare(frozen: Contract, schema: pa.Schema, where: str) -> list[str]:
    """What a new snapshot adds to the contract, as warnings.

    Raises:
        ContractError: a column is gone or has changed its type: what was learned before would not fit.
    """
    new = {column.name: column for column in columns(schema)}
    broken: list[str] = []
    notes: list[str] = []
    for name, old in frozen.columns.items():
        if name not in new:
            broken.append(f'column "{name}" is gone')
        elif new[name].type != old.type:
            broken.append(f'column "{name}" was {old.type} and is now {new[name].type}')
        else:
            notes += _grown(old, new[name])
    notes += [f'new column "{name}": part of the data from now on' for name in new if name not in frozen.columns]
    if broken:
        more = f" and {len(broken) - 10} more" if len(broken) > 10 else ""
        raise ContractError(
            "the source no longer keeps its contract: " + "; ".join(broken[:10]) + more,
            where=where,
            kept="the last accepted snapshot and all that was made from it",
            fix="mend the source, edit `columns:` in the YAML, or accept the change with --force",
        )
    return notes


def _grown(old: Column, new: Column) -> list[str]:
    notes = []
    if new.nullable and not old.nullable:
        notes.append(f"{new.name}: values are missing that never were before")
    before, now = old.facts.get("distinct"), new.facts.get("distinct")
    if new.meaning is Meaning.CATEGORY and before and now and before <= 100 and now > before:
        notes.append(f"{new.name}: {now} levels, {before} before")
    return notes
