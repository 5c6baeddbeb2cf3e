"""What of the private nouns' notes a release may tell: settings, names, counts and content ids; never a value."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from synth_pipeline.evaluation.scorecard import Scorecard
from synth_pipeline.publishing.manifest import Generation, Privacy, Source, Training, Validation, plain
from synth_pipeline.records.home import project_root
from synth_pipeline.spec.dataset import DatasetSpec

# an action's settings; what protect learned from the rows (null rates, multiplicities) stays behind
_SETTINGS = (
    "type", "entity", "locale", "unique", "length", "first", "last", "sign", "width", "bins", "date", "prefix",
    "min_count", "to", "reason", "surrogate",
)  # fmt: skip
_PACKAGES = ("synth-pipeline", "pyarrow", "numpy", "dagster")


def source(ingested: Mapping[str, Any], spec: DatasetSpec) -> Source:
    """From the ingested records' facts."""
    note = ingested.get("source", {})
    return Source(
        kind=str(note.get("kind", "none")),
        uri=public_uri(str(note.get("uri", ""))),
        root=str(ingested.get("root", "")),
        content_id=str(note.get("content_id", "")),
        version=str(note.get("version", "")),
        rows={str(key): int(value) for key, value in (ingested.get("rows") or {}).items()},
        licence=spec.export.source_licence,
        citation=spec.export.citation,
        simulated=spec.export.simulated,
    )


def public_uri(uri: str) -> str:
    """A URI that may leave the house: of a local path the last name, of any other no user, query or fragment."""
    parts = urlsplit(uri)
    scheme = uri.split("://", 1)[0] if "://" in uri else ""
    if scheme in ("", "file"):
        return Path(parts.path if scheme else uri).name
    if scheme.startswith("sqlite"):
        table = f"#{parts.fragment}" if parts.fragment else ""
        return f"{scheme}:///{Path(parts.path).name}{table}"
    host = parts.netloc.rsplit("@", 1)[-1]
    return urlunsplit((scheme, host, parts.path, "", parts.fragment))


def privacy(ingested: Mapping[str, Any], protected: Mapping[str, Any]) -> Privacy:
    """From the ingested and the protected records' facts."""
    actions = {
        str(name): {key: plain(action[key]) for key in _SETTINGS if action.get(key) is not None}
        for name, action in (protected.get("actions") or {}).items()
    }
    found = tuple(_finding(line) for line in protected.get("report") or ())
    split = ingested.get("split") or {}
    return Privacy(
        actions=actions,
        found=tuple(line for line in found if line.get("entity")),
        key_id=str(protected.get("key_id") or ""),
        split={key: plain(split[key]) for key in ("kind", "key_id", "unit", "fraction") if split.get(key) is not None},
        unit=str(split.get("unit") or "row"),
    )


def _finding(line: Mapping[str, Any]) -> dict[str, str]:
    action = line.get("action") or ""
    kind = action.get("type", "") if isinstance(action, Mapping) else action
    note = {"column": line.get("column"), "entity": line.get("entity"), "action": kind}
    return {key: str(value) for key, value in note.items() if value}


def training(model: Mapping[str, Any]) -> Training:
    """From the model's manifest."""
    return Training(
        generator=str(model["type"]),
        config=plain(model.get("config") or {}),
        version=str(model.get("generator_version", "")),
        libraries={str(key): str(value) for key, value in (model.get("libraries") or {}).items()},
        licence=str(model.get("licence") or ""),
        capabilities={str(key): bool(value) for key, value in (model.get("capabilities") or {}).items()},
        rows=int(model.get("rows") or 0),
    )


def generation(synthetic: Mapping[str, Any], spec: DatasetSpec, rows: int) -> Generation:
    """From the synthetic records' facts."""
    broken = synthetic.get("violations") or 0
    return Generation(
        rows=rows,
        rejected=int(synthetic.get("rejected") or 0),
        violations=sum(broken.values()) if isinstance(broken, Mapping) else int(broken),
        shards=int(synthetic.get("shards") or 0),
        seed=int(synthetic.get("seed", spec.seed)),
        conditions=plain(spec.generation.conditions),
        balance=plain(spec.generation.balance),
        conditions_real=bool(synthetic.get("conditions_real")),
    )


def validation(scorecard: Scorecard) -> Validation:
    """Gates with their numbers; of the checks only what was checked and whether it held."""
    from synth_pipeline.evaluation.report.suppress import published

    note = published(scorecard).to_json()
    return Validation(
        policy=str(scorecard.policy.get("name", "")),
        policy_version=str(scorecard.policy.get("version", "")),
        verdict=scorecard.verdict,
        gates=tuple(plain(gate) for gate in note["gates"]),
        checks=tuple(
            {key: plain(check[key]) for key in ("name", "passed", "blocking") if key in check}
            for check in scorecard.checks
        ),
        attempts=scorecard.attempts,
        judged={str(key): str(value) for key, value in scorecard.judged.items()},
    )


def code() -> dict[str, str]:
    """Versions of what made the release."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    if commit := _commit():
        found["git"] = commit
    return found


def public_scorecard(scorecard: Scorecard) -> dict[str, Any]:
    """The scorecard less what only the house may see: checks keep their outcome, warnings stay inside."""
    from synth_pipeline.evaluation.report.suppress import published

    note = plain(published(scorecard).to_json())
    note["checks"] = list(validation(scorecard).checks)
    note.pop("warnings")
    return dict(note)


def _commit() -> str:
    """The project's git commit, read without git."""
    git = (project_root() or Path.cwd()) / ".git"
    try:
        head = (git / "HEAD").read_text("utf-8").strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        if (loose := git / name).is_file():
            return loose.read_text("utf-8").strip()
        packed = (git / "packed-refs").read_text("utf-8").splitlines()
        return next((line.split(" ")[0] for line in packed if line.endswith(" " + name)), "")
    except OSError:
        return ""
