"""What Dagster is shown: numbers, short texts, column schemas and lineage. The event log is shared: never a row."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    import pyarrow as pa

_TEXT, _NAME, _ITEMS, _COLUMNS = 4_000, 200, 100, 500


def to_metadata(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values that Dagster can store.

    Raises:
        TypeError: a value is, or holds, rows: a table, a batch, a frame, an array, a long list.
    """
    return {str(key)[:_NAME]: _plain(str(key), value) for key, value in values.items() if value is not None}


def schema(shape: "pa.Schema") -> dict[str, dg.TableSchema]:
    """The column schema with what each column means; kinds of personal data as tags."""
    from synth_pipeline.records.schema import columns
    from synth_pipeline.spec.columns import Role

    found = []
    for column in columns(shape)[:_COLUMNS]:
        tags = {"meaning": column.meaning.value, **{f"role/{role.value}": "" for role in sorted(column.roles)}}
        if column.pii and column.pii != "none":
            tags["pii"] = column.pii
        if column.action:
            tags["action"] = str(column.action.get("type", ""))
        found.append(
            dg.TableColumn(
                name=column.name[:_NAME],
                type=str(column.type),
                description=column.description[:_TEXT] or None,
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable, unique=Role.PRIMARY_KEY in column.roles
                ),
                tags=tags,
            )
        )
    return {"dagster/column_schema": dg.TableSchema(columns=found)}


def lineage(names: Iterable[str], parent: dg.AssetKey, parents: Iterable[str]) -> dict[str, dg.TableColumnLineage]:
    """Every column from its namesake in the parent asset."""
    known = set(parents)
    deps = {
        name[:_NAME]: [dg.TableColumnDep(asset_key=parent, column_name=name[:_NAME])]
        for name in list(names)[:_COLUMNS]
        if name in known
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps_by_column=deps)}


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> dg.MarkdownMetadataValue:
    """A Markdown table of aggregates; signs that Markdown or HTML would take for markup stay inert."""
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(_cell(value) for value in row)} |" for row in list(rows)[:_COLUMNS]]
    return dg.MetadataValue.md("\n".join(lines))


def bullets(texts: Iterable[str]) -> dg.MarkdownMetadataValue | None:
    """Short texts one below the other; nothing when there are none."""
    lines = [f"* {_cell(text)}" for text in list(texts)[:_ITEMS]]
    return dg.MetadataValue.md("\n".join(lines)) if lines else None


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = "" if value is None else str(value)[:_TEXT]
    for sign in "\\`*_{}[]<>#|!":
        text = text.replace(sign, f"\\{sign}" if sign not in "<>" else {"<": "&lt;", ">": "&gt;"}[sign])
    return " ".join(text.split())


def _plain(key: str, value: Any) -> Any:
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # a numpy scalar: Dagster cannot store it
        value = value.item()
    if isinstance(value, dg.MetadataValue | dg.TableSchema | dg.TableColumnLineage | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return value[:_TEXT]
    if isinstance(value, Path):
        return dg.MetadataValue.path(value)
    if isinstance(value, Mapping | list | tuple):
        return dg.MetadataValue.json(_tree(key, value))
    raise TypeError(f"metadata {key!r}: a {type(value).__name__} is not shown, it could hold rows")


def _tree(key: str, value: Any) -> Any:
    """A small nest of plain values."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, Mapping | list | tuple):
        if len(value) > _ITEMS:
            raise TypeError(f"metadata {key!r}: {len(value)} items are not shown, they could be rows")
        if isinstance(value, Mapping):
            return {str(name)[:_NAME]: _tree(key, item) for name, item in value.items()}
        return [_tree(key, item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value[:_TEXT]
    raise TypeError(f"metadata {key!r}: a {type(value).__name__} is not shown, it could hold rows")
