"""Reading a `defs.yaml` into a DatasetSpec: every problem at once, each with its file, line, field and nearest name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from synth_pipeline.errors import SpecError, did_you_mean
from synth_pipeline.spec.dataset import DatasetSpec

COMPONENT = "synth_pipeline.orchestration.SyntheticDataset"
"""The `type:` of a dataset's YAML."""

Keys = tuple[str | int, ...]
"""A field's place: the keys and indices that lead to it."""

_ENVELOPE = ("type", "attributes", "template_vars_module", "requirements", "post_processing")
_MAX_BYTES, _MAX_DEPTH, _MAX_VALUES = 4 << 20, 50, 500_000
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Template(str):
    """A string that `write` leaves to be filled in."""


@dataclass(frozen=True)
class Document:
    """One YAML document of one file, with the line of every field."""

    content: Mapping[str, Any]
    file: str = ""
    lines: Mapping[Keys, int] = field(default_factory=dict, repr=False)

    @property
    def type(self) -> str:
        return str(self.content.get("type", ""))

    @property
    def attributes(self) -> Any:
        return self.content.get("attributes")

    def place(self, keys: Keys) -> str:
        """`file:line` of a field, or of the nearest field around it."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return f"{self.file}:{self.lines[keys]}" if keys in self.lines else self.file


def load_spec(source: Path | str, *, render: Callable[[str], str] | None = None) -> DatasetSpec:
    """The first dataset that a file (a Path) or a text (a str) declares.

    Args:
        render: fills in a string that holds a template; a template without it is an error.

    Raises:
        SpecError: every problem at once.
    """
    ours = [document for document in documents(source) if document.type.startswith("synth_pipeline.")]
    if not ours:
        raise SpecError("declares no dataset", where=_file(source), fix=f"start it with `type: {COMPONENT}`")
    return validate(ours[0].attributes, ours[0], render=render)


def validate(
    attributes: Any, document: Document | None = None, *, render: Callable[[str], str] | None = None
) -> DatasetSpec:
    """`attributes:` as a spec; `document` says where they stand.

    Raises:
        SpecError: every problem at once.
    """
    document = document or Document({})
    try:
        filled = _rendered(attributes if attributes is not None else {}, render, document, ("attributes",))
        return DatasetSpec.model_validate(filled)
    except ValidationError as error:
        raise explain(error, filled, document) from None


def explain(error: ValidationError, attributes: Any, document: Document | None = None) -> SpecError:
    """All that pydantic found, told in the YAML's own terms; never an input value, which could be a secret."""
    document = document or Document({})
    found: dict[Keys, list[str]] = {}
    for issue in error.errors(include_url=False, include_input=True):
        keys, options = _located(issue["loc"], attributes)
        message = _message(issue, options)
        if message not in found.setdefault(keys, []):
            found[keys].append(message)
    problems = [(document.place(("attributes", *keys)), _dotted(keys), " or ".join(m)) for keys, m in found.items()]
    return _together(document.file, problems)


def documents(source: Path | str) -> list[Document]:
    """Every document of a file or text, checked in form alone: syntax, size, duplicate keys, the envelope.

    Raises:
        SpecError: every problem at once, except that nothing is known behind a syntax error.
    """
    file = _file(source)
    text = _read(source) if isinstance(source, Path) else source
    try:
        _bounded(text, file)
        loader = _Loader(text)
        try:
            found = []
            while loader.check_node():
                node = loader.get_node()
                assert node is not None  # check_node said so
                problems = list(_check(node, file))
                if problems:
                    raise _together(file, problems)
                lines: dict[Keys, int] = {}
                _record(node, (), lines)
                found.append(Document(_envelope(loader.construct_document(node), file, lines), file, lines))
            return found
        finally:
            loader.dispose()
    except RecursionError:
        raise SpecError("nested too deeply", where=file) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{file}:{mark.line + 1}" if mark else file
        raise SpecError(f"not YAML: {error.problem or error.context}", where=where) from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: 2026-99-99 looks like a date and is none
        raise SpecError(f"not YAML: {str(error).splitlines()[0]}", where=file) from None


def write(attributes: Mapping[str, Any], note: str = "") -> str:
    """The text of a `defs.yaml`; strings in `attributes` are literal, whatever signs they hold."""
    content = {"type": COMPONENT, "attributes": _inert(attributes)}
    body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    if yaml.safe_load(body) != content:  # PyYAML leaves some rare signs bare: escape all that is not ASCII
        body = yaml.safe_dump(content, sort_keys=False, allow_unicode=False, width=100)
    return "".join(f"# {line}\n" for line in note.splitlines()) + body


def _inert(value: Any) -> Any:
    """Strings that would be taken for templates become templates that give just these strings."""
    if isinstance(value, Template):
        return str(value)
    if isinstance(value, str):
        return f"{{{{ {json.dumps(value, ensure_ascii=False)} }}}}" if "{{" in value else value
    if isinstance(value, Mapping):
        return {str(key): _inert(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_inert(item) for item in value]
    return value


def _rendered(value: Any, render: Callable[[str], str] | None, document: Document, keys: Keys) -> Any:
    """Renders only the strings that hold `{{`, so that "3" stays a string and a pattern stays a pattern."""
    if isinstance(value, str) and "{{" in value:
        if render is None:
            raise SpecError("a template cannot be used here", where=document.place(keys))
        return render(value)
    if isinstance(value, Mapping):
        return {key: _rendered(item, render, document, (*keys, key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rendered(item, render, document, (*keys, index)) for index, item in enumerate(value)]
    return value


# --- form -------------------------------------------------------------------------------------------------------------


def _file(source: Path | str) -> str:
    return str(source) if isinstance(source, Path) else "<text>"


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SpecError(f"larger than {_MAX_BYTES >> 20} MiB", where=str(path))
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise SpecError("not UTF-8 text", where=str(path)) from None
    except OSError as error:
        raise SpecError(f"cannot be read: {error.strerror}", where=str(path)) from None


def _bounded(text: str, file: str) -> None:
    """Depth is bounded on the event stream, before any recursive walk."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise SpecError(f"nested deeper than {_MAX_DEPTH} levels", where=file)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            depth -= 1


def _check(root: yaml.Node, file: str) -> Iterator[tuple[str, str, str]]:
    """Duplicate keys, keys that YAML does not read as text, and aliases that grow without bound."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()
    problems: list[tuple[str, str, str]] = []

    def size(node: yaml.Node) -> int:
        """How many values the node stands for when its aliases are written out."""
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in open_nodes:
            raise SpecError("an alias that holds itself", where=f"{file}:{node.start_mark.line + 1}")
        open_nodes.add(id(node))
        total = 1
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if not isinstance(key, yaml.ScalarNode):
                    problems.append((f"{file}:{line}", "", "a key must be a plain text"))
                elif key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
                    kind = key.tag.rpartition(":")[2]
                    problems.append(
                        (f"{file}:{line}", "", f'YAML reads the key {key.value} as {kind}: write "{key.value}"')
                    )
                elif key.value in seen and key.value != "<<":
                    problems.append((f"{file}:{line}", key.value, f"given twice, first in line {seen[key.value]}"))
                else:
                    seen[key.value] = line
                total += size(value)
        elif isinstance(node, yaml.SequenceNode):
            total += sum(map(size, node.value))
        open_nodes.discard(id(node))
        sizes[id(node)] = total
        return total

    if size(root) > _MAX_VALUES:
        problems.append((file, "", f"stands for more than {_MAX_VALUES:,} values"))
    return iter(problems)


def _record(node: yaml.Node, keys: Keys, lines: dict[Keys, int]) -> None:
    lines.setdefault(keys, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            lines[(*keys, key.value)] = key.start_mark.line + 1
            _record(value, (*keys, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _record(item, (*keys, index), lines)


def _envelope(content: Any, file: str, lines: Mapping[Keys, int]) -> Mapping[str, Any]:
    here = Document({}, file, lines)
    if not isinstance(content, Mapping):
        raise SpecError("not a mapping", where=file, fix=f"start it with `type: {COMPONENT}`")
    problems = [
        (here.place((key,)), key, f"unknown field; {did_you_mean(key, _ENVELOPE)}")
        for key in content
        if key not in _ENVELOPE
    ]
    if not isinstance(content.get("type"), str):
        problems.append((here.place(()), "type", f"required: `type: {COMPONENT}`"))
    elif content["type"].startswith("synth_pipeline.") and not isinstance(content.get("attributes"), Mapping):
        problems.append((here.place(("attributes",)), "attributes", "required: the dataset's fields"))
    if problems:
        raise _together(file, problems)
    return content


# --- meaning ----------------------------------------------------------------------------------------------------------


def _together(file: str, problems: Sequence[tuple[str, str, str]]) -> SpecError:
    """One error for all problems, in the file's order."""
    ordered = sorted(problems, key=lambda problem: int(problem[0].rpartition(":")[2] or 0) if ":" in problem[0] else 0)
    texts = [f"{name}: {message}" if name else message for _, name, message in ordered]
    if len(ordered) == 1:
        return SpecError(texts[0], where=ordered[0][0])
    listed = "\n".join(
        f"  {place}{': ' if place else ''}{text}" for (place, _, _), text in zip(ordered, texts, strict=True)
    )
    return SpecError(f"{len(ordered)} problems\n{listed}", where=file)


def _dotted(keys: Keys) -> str:
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def plain(text: str, file: str) -> Any:
    """One YAML document that is no dataset, checked in form like one: a key that stands twice is an error.

    Raises:
        SpecError: it is not YAML, or not in order.
    """
    try:
        _bounded(text, file)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if problems := list(_check(node, file)):
                raise _together(file, problems)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError:
        raise SpecError("nested too deeply", where=file) from None
    except (yaml.YAMLError, ValueError) as error:
        raise SpecError(f"not YAML: {str(error).splitlines()[0]}", where=file) from None


def _located(loc: Sequence[str | int], attributes: Any) -> tuple[Keys, list[str]]:
    """The field that a pydantic location names, less the union tags in it; and the names allowed around it."""
    schema: Any = _schema()
    value = attributes
    keys: list[str | int] = []
    options: list[str] = []
    for step in loc:
        schema = _resolved(schema)
        mapping = schema.get("discriminator", {}).get("mapping", {})
        if step in mapping and "oneOf" in schema:
            schema = {"$ref": mapping[step]}
            continue
        options = list(schema.get("properties", {}))
        held = (isinstance(value, Mapping) and step in value) or (
            isinstance(value, Sequence) and isinstance(step, int) and step < len(value)
        )
        if not held and step not in options:  # the name of a plain union's branch, or of a validator
            continue
        keys.append(step)
        value = value[step] if held else None  # type: ignore[index, call-overload]
        inner = schema.get("items") if isinstance(step, int) else schema.get("properties", {}).get(step)
        schema = inner or schema.get("additionalProperties") or {}
    tags = list(_resolved(schema).get("discriminator", {}).get("mapping", {}))
    return tuple(keys), tags or options


@cache
def _schema() -> dict[str, Any]:
    return DatasetSpec.model_json_schema()


def _resolved(schema: Any) -> dict[str, Any]:
    """Through references, and through "or null"."""
    while isinstance(schema, dict):
        if "$ref" in schema:
            schema = _schema()["$defs"][schema["$ref"].rpartition("/")[2]]
        elif len(some := [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]) == 1:
            schema = some[0]
        else:
            return schema
    return {}


def _message(issue: Any, options: Sequence[str]) -> str:
    kind, context = issue["type"], issue.get("ctx", {})
    match kind:
        case "extra_forbidden":
            return f"unknown field; {did_you_mean(str(issue['loc'][-1]), options)}"
        case "missing":
            return "required"
        case "union_tag_invalid":
            tag, allowed = str(context["tag"]), _quoted(context["expected_tags"])
            return f'unknown type "{tag}"; {did_you_mean(tag, allowed)}'
        case "union_tag_not_found":
            return f"needs a `type:`; allowed: {', '.join(options)}"
        case "literal_error" | "enum":
            allowed = _quoted(context["expected"])
            given = issue["input"] if isinstance(issue["input"], str) else ""
            near = did_you_mean(given, allowed) if given else ""
            return f"allowed: {', '.join(allowed)}" + (f"; {near}" if near.startswith("did") else "")
        case "value_error":
            return str(context["error"])
        case "model_type" | "model_attributes_type" | "dict_type":
            return "needs fields of its own, indented below it"
        case "string_type":
            return 'needs a text: put it in "quotes"' if isinstance(issue["input"], int | float) else "needs a text"
    return re.sub(r"^(Input|String) should ", "must ", issue["msg"]).replace("a valid tuple", "a list")


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)
