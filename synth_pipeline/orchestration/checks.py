"""The blocking checks: what the stages found, as Dagster asset checks; aggregates only."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from synth_pipeline.orchestration.metadata import table, to_metadata

CHECKS = {
    "ingest": {"contract": "The source keeps its frozen schema and the contract's expectations."},
    "validate": {
        "gates": "Every gate of the policy passed: no other release is published.",
        "contract": "The synthetic rows keep the schema and the contract's expectations.",
        "residual_scan": "No source value survived and no personal data are left outside the recorded surrogates.",
    },
}
"""Stage → check → what it says."""

Finding = Mapping[str, Any]


def specs(stage: str, key: dg.AssetKey, partitions: dg.PartitionsDefinition | None) -> list[dg.AssetCheckSpec]:
    with warnings.catch_warnings():
        # partitions_def of a check is a preview; without it every partition leaves an evaluation planned for ever
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(name, asset=key, blocking=True, description=text, partitions_def=partitions)
            for name, text in CHECKS.get(stage, {}).items()
        ]


def of_source(findings: Iterable[Finding]) -> list[dg.AssetCheckResult]:
    """From what `accept` found."""
    return [_result("contract", findings)]


def of_scorecard(card: Mapping[str, Any]) -> list[dg.AssetCheckResult]:
    """From a scorecard's manifest."""
    gates = card["gates"]
    failed = [gate["name"] for gate in gates if gate["verdict"] != "pass"]
    residual = [check for check in card["checks"] if check["name"].startswith("residual")]
    contract = [check for check in card["checks"] if not check["name"].startswith("residual")]
    return [
        dg.AssetCheckResult(
            check_name="gates",
            passed=bool(gates) and not failed,
            description=f"not passed: {', '.join(failed)}" if failed else f"{len(gates)} gates passed",
            metadata=to_metadata(
                {
                    "verdicts": gates_table(gates),
                    **{gate["name"]: gate["value"] for gate in gates},
                    "failed": len(failed),
                }
            ),
        ),
        _result("contract", contract),
        _result("residual_scan", residual),
    ]


def gates_table(gates: Iterable[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    heads = ("gate", "verdict", "value", "low", "high", "limit", "reason")
    names = ("name", "verdict", "value", "low", "high", "threshold", "reason")
    return table(heads, [[gate.get(name) for name in names] for gate in gates])


def _result(name: str, findings: Iterable[Finding]) -> dg.AssetCheckResult:
    """One check of many findings: it passes if every blocking one does."""
    found = list(findings)
    broken = [finding for finding in found if not finding["passed"]]
    blocking = [finding for finding in broken if finding.get("blocking", True)]
    rows = [(finding["name"], _told(finding)) for finding in broken]
    return dg.AssetCheckResult(
        check_name=name,
        passed=not blocking,
        description="; ".join(f"{one['name']}: {one.get('note') or 'failed'}" for one in blocking[:5])
        if blocking
        else f"{len(found)} looked at",
        metadata=to_metadata(
            {
                "looked_at": len(found),
                "failed": len(broken),
                "blocking": len(blocking),
                "broken": table(("check", "found"), rows) if rows else None,
            }
        ),
    )


def _told(finding: Finding) -> str:
    """A finding's numbers and texts beside its name; findings hold aggregates only."""
    told = {key: value for key, value in finding.items() if key not in ("name", "passed", "blocking")}
    return ", ".join(f"{key} {value}" for key, value in told.items() if isinstance(value, str | int | float))
