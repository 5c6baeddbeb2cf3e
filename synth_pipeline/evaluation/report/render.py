"""Two flavours of one page: which parts each shows, the page's head, and the size that neither may pass."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from markupsafe import Markup

from synth_pipeline.evaluation.report import (
    attacks,
    groups,
    limits,
    origins,
    phrases,
    pictures,
    profiles,
    verdicts,
)
from synth_pipeline.evaluation.report.charts import number, percent
from synth_pipeline.evaluation.report.suppress import published
from synth_pipeline.evaluation.report.tables import short
from synth_pipeline.evaluation.scorecard import Scorecard

MAX_BYTES = 3_000_000
"""A report is mailed, archived and opened on phones."""

_NAMES = {
    "gates": "Gates",
    "copying": "Copying",
    "attacks": "Attacks",
    "membership": "Membership",
    "audit": "Canary audit",
    "untested": "What was not tested",
    "columns": "Columns",
    "associations": "Associations",
    "pca": "At a glance",
    "likeness": "Likeness",
    "utility": "Utility",
    "groups": "Groups and fairness",
    "training": "Training",
    "measures": "All measures",
    "checks": "Checks",
    "warnings": "Warnings",
    "protections": "Protections",
    "profile": "Profile",
    "tests": "Classical tests",
    "lineage": "Lineage",
    "load": "How to load this",
}


def render_internal(
    scorecard: Scorecard,
    *,
    profile: Mapping[str, Any],
    history: Iterable[Mapping[str, Any]],
    lineage: Mapping[str, Any],
    protections: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The report for those who may see the protected rows' statistics.

    Args:
        profile: `{"real": profile(…), "synthetic": profile(…), "comparison": compare(…)}`, each part optional.
        history: the training curve, `{"step": n, name: value, …}`.
        lineage: parts of a release manifest, each optional: `source`, `privacy`, `training`, `generation`, `upstream`
            (noun → content id), `code`.
        protections: `{"column", "action", "entity", "share", "reason"}` for each column that was looked at.
    """
    curve = list(history)

    def context(most: int) -> dict[str, Any]:
        return {
            **_common(scorecard, scorecard.details, curve, most),
            "internal": True,
            "protections": origins.protections(protections, most),
            "profile": profiles.side_by_side(profile.get("real"), profile.get("synthetic"), most),
            "tests": profiles.tests(profile.get("comparison"), most),
            "lineage": origins.lineage(lineage),
            "facts": origins.facts(scorecard, lineage),
            "footer": "Internal report: it holds statistics of protected rows. Export makes the publishable one.",
        }

    return _page(context)


def render_public(
    scorecard: Scorecard,
    *,
    manifest: Mapping[str, Any],
    synthetic_profile: Mapping[str, Any],
    history: Iterable[Mapping[str, Any]] = (),
) -> str:
    """The report that travels with a release: synthetic rows, and real counts of at least k only.

    Args:
        manifest: the release's manifest, as JSON.
        synthetic_profile: `profile(…)` of the released rows.
        history: the training curve.
    """
    curve = list(history)
    # again, whoever wrote the scorecard: this page leaves the house
    scorecard = published(scorecard)
    details = scorecard.details

    def context(most: int) -> dict[str, Any]:
        privacy = manifest.get("privacy") or {}
        return {
            **_common(scorecard, details, curve, most),
            "internal": False,
            "version": manifest.get("version", ""),
            "description": manifest.get("description", ""),
            "protections": origins.protections(privacy.get("found") or (), most, privacy.get("actions")),
            "profile": profiles.alone(synthetic_profile, most),
            "lineage": origins.lineage(manifest),
            "load": origins.load(manifest),
            "facts": origins.facts(scorecard, manifest),
            "footer": "Every row of this dataset was drawn from a model. Real rows appear in this report only as "
            f"counts of at least {details.get('sizes', {}).get('K', 10)}.",
        }

    return _page(context)


def _common(
    scorecard: Scorecard, details: Mapping[str, Any], history: list[Mapping[str, Any]], most: int
) -> dict[str, Any]:
    return {
        "dataset": scorecard.dataset,
        "partition": scorecard.partition,
        "attempts": scorecard.attempts,
        "policy_name": scorecard.policy.get("name", ""),
        "banner": verdicts.banner(scorecard),
        "gates": verdicts.gates(scorecard),
        "untested": limits.untested(scorecard, details),
        "copying": pictures.copying(scorecard, details),
        "attacks": attacks.attacks(scorecard, details),
        "membership": attacks.membership(scorecard, details),
        "audit": attacks.audit(scorecard, details),
        "columns": pictures.columns(scorecard, details, most),
        "associations": pictures.associations(scorecard, details),
        "pca": pictures.pca(details),
        "likeness": pictures.likeness(scorecard, details),
        "utility": pictures.utility(scorecard, details),
        "groups": groups.groups(scorecard, details),
        "training": pictures.training(history),
        "measures": verdicts.measures(scorecard),
        "checks": verdicts.checks(scorecard, details),
        "warnings": verdicts.warnings(scorecard, details),
        "k": details.get("sizes", {}).get("K", 10),
    }


def _page(context: Any) -> str:
    """The page with as much as fits."""
    for most in (240, 80, 20, 4):
        page = _render(context(most))
        if len(page.encode()) < MAX_BYTES:
            break
    return page


def _render(context: dict[str, Any]) -> str:
    template, style = _template()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    sections = [(_anchor(key), name) for key, name in _NAMES.items() if context.get(key)]
    flavour = "internal report" if context["internal"] else "report"
    page = template.render(
        {
            "version": "",
            "description": "",
            "load": None,
            "tests": None,
            "style": Markup(style),  # noqa: S704 - our own file
            "style_hash": f"sha256-{digest}",
            "title": f"{short(context['dataset'])} · {flavour}",
            "sections": sections,
            "verdicts": phrases.VERDICTS,
            "number": number,
            "percent": percent,
            "short": short,
            **context,
        }
    )
    return str(page)


def _anchor(key: str) -> str:
    return "overview-picture" if key == "pca" else key


@cache
def _template() -> tuple[Any, str]:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    here = "synth_pipeline.evaluation.report"
    environment = Environment(
        loader=PackageLoader(here), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = (resources.files(here) / "templates" / "style.css").read_text("utf-8")
    return environment.get_template("report.html.j2"), style
