"""`synth run FILE`: a source on the command line becomes a declared dataset in SYNTH_HOME/defs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml as pyyaml

from synth_pipeline.errors import SourceError, SpecError, SynthError, did_you_mean
from synth_pipeline.records.files import replace
from synth_pipeline.records.home import Home, lease
from synth_pipeline.spec import yaml
from synth_pipeline.spec.dataset import DatasetSpec

_SQL = ("postgresql", "postgres", "sqlite")
_GLOB = re.compile(r"[*?\[]")
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:\d*)?")
_NOTE = """Written by `synth run`, and written anew each time that this source is run.
To keep changes of your own, move the folder into your project's defs/."""


@dataclass(frozen=True)
class Wishes:
    """What the command line asks for beyond the YAML; None and () leave it as it is."""

    modality: str | None = None
    generator: str | None = None
    sets: tuple[str, ...] = ()
    rows: int | None = None
    seed: int | None = None
    holdout: str | None = None
    policy: str | None = None

    def apply(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """`attributes` as wished; nothing is checked yet.

        Raises:
            SpecError: a `--set` cannot be read.
        """
        found = dict(attributes)
        if self.modality is not None:
            found["modality"] = self.modality
        if self.generator is not None and found.get("generator", {}).get("type") != self.generator:
            found["generator"] = {"type": self.generator}
        if self.rows is not None:
            kept = {key: value for key, value in found.get("generation", {}).items() if key != "ratio"}
            found["generation"] = {**kept, "rows": self.rows}
        if self.seed is not None:
            found["seed"] = self.seed
        if self.holdout is not None:
            found["split"] = {"holdout": _absolute(self.holdout)}
        if self.policy is not None:
            found["validation"] = {**found.get("validation", {}), "policy": _policy(self.policy)}
        for text in self.sets:
            path, equals, value = text.partition("=")
            if not equals or not path.strip("."):
                raise SpecError(f'"{text}" is not of the form a.b=value', where="--set")
            try:
                _put(found, path.strip().split("."), pyyaml.safe_load(value))
            except pyyaml.YAMLError:
                raise SpecError(f'the value of "{path}" is not YAML', where="--set", fix="quote it") from None
        if (generator := found.get("generator")) and isinstance(generator, dict):
            generator.setdefault("type", "trees")
        return found


def is_source(text: str) -> bool:
    """Whether it names data rather than a dataset: a URI, or something that is there."""
    return "://" in text or Path(text).expanduser().exists() or bool(_GLOB.search(text) and _matches(text))


def source_of(text: str, table: str | None, query: str | None) -> dict[str, Any]:
    """`source:` of a file, glob, folder, URI or database.

    Raises:
        SpecError: `--table` or `--query` missing, or given for what is no database; an unclear password.
    """
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    split_password(text)
    if scheme in _SQL:
        if (table is None) == (query is None):
            raise SpecError("a database needs either --table or --query")
        return {"type": "sql", "url": _sql_url(text), **({"table": table} if table else {"query": query})}
    if table or query:
        raise SpecError("--table and --query belong to postgresql:// and sqlite:// sources")
    return {"type": "file", "path": text if scheme else _absolute(text)}


def without_secrets(text: str) -> str:
    """A source as it may be repeated: without a password, or what could be one."""
    from synth_pipeline.records.sources.sql import redact

    try:
        split_password(text)
    except SpecError:
        return f"{text.partition('://')[0]}://…"
    return redact(text)


def declare(
    source: Mapping[str, Any], name: str | None, wishes: Wishes, taken: Mapping[str, Path], home: Home
) -> tuple[DatasetSpec, Path]:
    """Writes the dataset's YAML; returns what it says, and the file.

    A name not asked for is the source's, with a number behind it where another source or the project has that already.

    Raises:
        SpecError: the name is the project's, or something asked for is wrong.
    """
    folder = home.definitions
    with lease(folder):  # two first runs must not find the same name free
        return _declare(source, name, wishes, {**_written(folder), **taken}, folder)


def _declare(
    source: Mapping[str, Any], name: str | None, wishes: Wishes, taken: Mapping[str, Path], folder: Path
) -> tuple[DatasetSpec, Path]:
    mine = {key for key, file in taken.items() if file.is_relative_to(folder)}
    if name is not None:
        if name in taken and name not in mine:
            raise SpecError(
                f'"{name}" is declared in {taken[name]}', fix=f"`synth run {name}` runs that; else give another --name"
            )
    else:
        name = _free(_named(source), source, taken, mine)
    attributes = wishes.apply({"name": name, "source": dict(source)})
    spec = yaml.validate(attributes, yaml.Document({}, "synth run"), render=str)
    path = folder / name / "defs.yaml"
    replace(path, yaml.write(_without_password(attributes, name), _NOTE).encode())
    return spec, path


def _written(folder: Path) -> dict[str, Path]:
    """What `synth run FILE` has declared by now."""
    return {file.parent.name: file for file in folder.glob("*/defs.yaml")}


def split_password(uri: str) -> tuple[str, str, str] | None:
    """What stands before a URI's password, the password, and what stands behind; None if it has none.

    Raises:
        SpecError: where the password ends is a matter of opinion, or it is given as a parameter.
    """
    scheme, found, rest = uri.partition("://")
    if not found or scheme.lower() == "sqlite":
        return None
    if (
        scheme.lower() not in _SQL and len(chained := re.split(r"(?<!\[)::", uri)) > 1
    ):  # fsspec's, as zip://a::https://b
        if any(split_password(one) for one in chained):
            raise SpecError("the address holds a password", fix="fetch the file by other means")
        return None
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    behind = rest[len(authority) :]
    user, at, hosts = authority.rpartition("@")
    asked = [unquote(part.partition("=")[0]).lower() for part in re.split(r"[?&;#]", behind)[1:]]
    unclear = (
        "@" in user
        or not all(_HOST.fullmatch(host) for host in hosts.split(","))
        or ("@" in behind and scheme.lower() in _SQL)
        or any(("pass" in key or "pwd" in key) and key != "passfile" for key in asked)
    )
    if unclear:
        raise SpecError(
            "the address seems to hold a password, and it cannot be told apart safely",
            fix="leave it out and give it by PGPASSWORD or ~/.pgpass, or write its / # ? @ : as %2F %23 %3F %40 %3A",
        )
    name, colon, password = user.partition(":")
    if not at or not colon or not password:
        return None
    head = f"{scheme}://{name}:"
    return head, password, uri[len(head) + len(password) :]


# --- names and values -------------------------------------------------------------------------------------------------


def _free(base: str, source: Mapping[str, Any], taken: Mapping[str, Path], mine: set[str]) -> str:
    for number in range(1, 10_000):
        suffix = f"_{number}" if number > 1 else ""
        name = base[: 63 - len(suffix)] + suffix
        if name not in taken or (name in mine and _same(taken[name], source, name)):
            return name
    raise SpecError(f'too many sources are called "{base}"', fix="give a --name")


def _same(file: Path, source: Mapping[str, Any], name: str) -> bool:
    """Whether a declared dataset reads this very source."""
    try:
        known = yaml.documents(file)[0].attributes["source"]
    except (SpecError, KeyError, IndexError, TypeError):
        return True  # a broken file of that name: it is written anew
    written = pyyaml.safe_load(yaml.write({"source": _without_password({"source": source}, name)["source"]}))
    told = written["attributes"]["source"]
    return all(known.get(key) == told.get(key) for key in ("type", "path", "url", "table", "query"))


def _named(source: Mapping[str, Any]) -> str:
    text = str(source.get("table") or source.get("path") or urlsplit(str(source.get("url"))).path)
    if told := split_password(text):
        text = told[2]
    last = [part for part in re.split(r"[/\\]", text) if part and not _GLOB.search(part)] or ["data"]
    stem = re.sub(
        r"(\.(csv|tsv|txt|jsonl?|ndjson|parquet|arrow|feather|ipc|gz|zst|db|sqlite3?))+$", "", last[-1].lower()
    )
    name = re.sub(r"[^a-z0-9]+", "_", stem).strip("_")
    return (name if name[:1].isalpha() else f"data_{name}".strip("_"))[:63]


def _sql_url(text: str) -> str:
    """SQLite files by their absolute path: the YAML is read from anywhere."""
    scheme, _, rest = text.partition("://")
    if scheme.lower() != "sqlite":
        return text
    path = Path(rest.removeprefix("/")).expanduser()
    if not path.is_absolute() and not path.exists() and Path(rest).exists():
        path = Path(rest)  # sqlite:///abs/path.db, with three slashes where purists write four
    return f"sqlite:////{str(path.resolve()).lstrip('/')}"


def _without_password(attributes: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A password stays in this process's environment; the YAML names the variable."""
    source = dict(attributes["source"])
    for key in ("url", "path"):
        if told := split_password(str(source.get(key, ""))):
            before, password, behind = told
            variable = f"SYNTH_{name.upper()}_PASSWORD"
            os.environ[variable] = password
            # a template is not escaped by yaml.write: it is put in behind it
            source[key] = yaml.Template(f"{before}{{{{ env('{variable}') }}}}{behind}")
    if split_password(str((attributes.get("split") or {}).get("holdout", ""))):
        raise SpecError("the address of the holdout file holds a password", fix="declare the dataset: `synth init`")
    return {**attributes, "source": source}


def _absolute(text: str) -> str:
    return text if "://" in text else str(Path(text).expanduser().absolute())


def _policy(text: str) -> str:
    """A built-in policy's name as it is, a policy file by its absolute path."""
    return _absolute(text) if text.endswith((".yaml", ".yml")) else text


def _matches(text: str) -> bool:
    path = Path(text).expanduser()
    anchor = Path(path.anchor) if path.is_absolute() else Path()
    return next(anchor.glob(str(path.relative_to(anchor))), None) is not None


def _put(into: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = into.get(key)
        into[key] = dict(inner) if isinstance(inner, Mapping) else {}
        into = into[key]
    into[keys[-1]] = value


def unknown(text: str, taken: Mapping[str, Path]) -> SynthError:
    """What to say of a text that is neither data that are there nor a dataset."""
    if re.search(r"[/\\.*]", text):
        return SourceError("there is no such file", where=text, fix=f"look at the path; this is {Path.cwd()}")
    hint = did_you_mean(text, taken)
    return SpecError(
        f'no file and no dataset "{text}"', fix=hint.replace("allowed:", "the datasets here are") or "name a file"
    )
