"""The last verb: judges the scorecard once more, and publishes a release only if everything that blocks has passed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from synth_pipeline.errors import GateFailed, StorageError
from synth_pipeline.evaluation.scorecard import Scorecard
from synth_pipeline.progress import tick
from synth_pipeline.publishing import provenance
from synth_pipeline.publishing.manifest import Manifest, seal
from synth_pipeline.publishing.nouns import find_noun
from synth_pipeline.publishing.release import Contents, Publication, publish, whole
from synth_pipeline.publishing.store import open_store
from synth_pipeline.publishing.versions import Line
from synth_pipeline.records.files import create
from synth_pipeline.records.home import lease
from synth_pipeline.records.identity import digest, plan_id
from synth_pipeline.records.ledger import Ledger
from synth_pipeline.records.records import Records
from synth_pipeline.stages.earlier import earlier
from synth_pipeline.stages.run import NOUNS, Outcome, Result, Run, manifest, perform
from synth_pipeline.stages.versions import EXPORT as VERSION


def export(run: Run, scorecard: Result, synthetic: Result, model: Result, protected: Result) -> Result:
    """Publishes the synthetic records, or says why not.

    Raises:
        GateFailed: a blocking gate or check did not pass, the scorecard judged other bytes or by another policy, or
            these were retracted.
        StorageError: the store cannot be written, or holds something damaged.
    """
    root = str(Records.open(protected.folder).facts.get("root", ""))
    # what is out from one source adds up: between the last look at it and one's own release nobody else publishes
    with lease(run.home.folder("roots") / (root or "none"), tell=lambda note: tick("export", 0, note=note)):
        return _export(run, scorecard, synthetic, model, protected)


def _export(run: Run, scorecard: Result, synthetic: Result, model: Result, protected: Result) -> Result:
    card = _judged(run, scorecard, synthetic, model, protected)
    plan = plan_id(
        "export",
        VERSION,
        {**run.spec.slice("export"), "descriptions": _descriptions(run), "policy": _policy(card)},
        {
            "scorecard": scorecard.content_id,
            "synthetic": synthetic.content_id,
            "model": model.content_id,
            "protected": protected.content_id,
        },
    )
    done: list[Publication] = []

    def work(folder: Path) -> Outcome:
        published = _publish(run, card, plan, scorecard, synthetic, model, protected)
        done.append(published)
        note = {
            "root": published.manifest.source.root,
            "version": published.manifest.version,
            "content_id": published.manifest.content_id,
            "store": run.store,
            "partition": run.partition,
            "path": published.location,
            "snapshot": published.snapshot,
            "rows": published.manifest.rows,
        }
        create(folder / NOUNS["export"][1], json.dumps(note, indent=1).encode())
        return _outcome(note)

    # the record of a publication is worth something only while the store still holds what it names
    folder = run.home.noun(run.spec.name, "export", plan)
    asked = run if _still_there(run, folder) else replace(run, force=True)
    result = perform(asked, "export", plan, work, lambda folder: _outcome(manifest(folder, "export")))
    return replace(result, reused=True) if done and done[0].reused else result


def _policy(card: Scorecard) -> list[str]:
    return [str(card.policy.get("name", "")), str(card.policy.get("version", ""))]


def _judged(run: Run, scorecard: Result, synthetic: Result, model: Result, protected: Result) -> Scorecard:
    """The scorecard, if it judged these very contents and lets them out."""
    from synth_pipeline.evaluation.gates import blockers, judge, load_policy, verdict

    path = scorecard.folder / NOUNS["validate"][1]
    try:
        card = Scorecard.from_json(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError("the scorecard cannot be read", where=str(path), fix="run again with --force") from error
    reasons = [
        f"the scorecard judged another {noun}"
        for noun, result in (("synthetic", synthetic), ("protected", protected), ("model", model))
        if card.judged.get(noun) != result.content_id
    ]
    root = str(Records.open(protected.folder).facts.get("root", ""))
    out = earlier(run, root, Records.open(synthetic.folder))
    if card.judged.get("earlier", "") != (digest(list(out)) if out else ""):
        reasons.append("other releases of the same source are out by now, and add up: validate again")
    if card.policy != load_policy(run.spec.validation.policy, run.base).to_json():
        reasons.append("the policy is not the one that the scorecard was judged by: validate again")
    # judged anew from the scores: what the file says of its own verdict is not taken on trust
    gates = judge(card.scores, card.policy, card.attempts)
    reasons += blockers(gates, card.checks)
    outcome = verdict(gates, card.checks)
    if reasons or outcome != "pass":
        raise GateFailed(
            "not published: " + ("; ".join(reasons) or f"the verdict is {outcome}"),
            where=str(path),
            kept="the scorecard and its report; every earlier release",
            fix="see report.html beside the scorecard",
        )
    return replace(card, gates=gates, verdict=outcome)


def _publish(
    run: Run, card: Scorecard, plan: str, scorecard: Result, synthetic: Result, model: Result, protected: Result
) -> Publication:
    records = Records.open(synthetic.folder)
    guarded = Records.open(protected.folder).facts
    ingested = find_noun(run.home, run.spec.name, "ingest", str(guarded.get("ingested", "")))
    origin: Mapping[str, Any] = ingested["facts"] if ingested else {"root": guarded.get("root", "")}
    contents = Contents.of(records, _descriptions(run))
    draft = Manifest(
        dataset=run.spec.name,
        partition=run.partition,
        description=run.spec.description,
        modality=run.spec.modality,
        licence=run.spec.export.licence,
        content_id=contents.root,
        identity=digest([contents.root, card.verdict, _policy(card), run.spec.slice("export"), _descriptions(run)]),
        tables=contents.tables,
        source=provenance.source(origin, run.spec),
        privacy=provenance.privacy(origin, guarded),
        training=provenance.training(manifest(model.folder, "train")),
        generation=provenance.generation(records.facts, run.spec, sum(table.rows for table in contents.tables)),
        validation=provenance.validation(card),
        upstream={
            "ingested": str(guarded.get("ingested", "")),
            "protected": protected.content_id,
            "model": model.content_id,
            "synthetic": synthetic.content_id,
            "scorecard": scorecard.content_id,
        },
        code=provenance.code(),
        execution={"run_id": run.run_id} if run.run_id else {},
    )

    def documents(complete: Manifest) -> Mapping[str, bytes]:
        from synth_pipeline.evaluation.profile import profile
        from synth_pipeline.evaluation.report import render_public

        page = render_public(
            card,
            manifest=complete.model_dump(mode="json"),
            synthetic_profile=profile(records, seeds=run.seeds.child("export"), internal=False),
            history=_history(model.folder),
        )
        return {"scorecard.json": seal(provenance.public_scorecard(card)), "report.html": page.encode()}

    try:
        published = publish(open_store(run.store), draft, contents, run.spec.export, documents)
    except OSError as error:
        raise StorageError(
            f"the release could not be written: {error.strerror or type(error).__name__}",
            where=run.store,
            kept="the scorecard, and every earlier release",
            fix="free some space or mend the permissions, then run again",
        ) from error
    root, version = str(guarded.get("root", "")), published.manifest.version
    ledger = Ledger(run.home.ledger)
    ledger.derive(root, run.spec.name, "export", run.home.noun(run.spec.name, "export", plan))
    ledger.release(root, run.spec.name, run.partition, version, contents.root, published.location)
    return published


def _history(folder: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in (folder / "history.jsonl").read_text("utf-8").splitlines()]
    except (OSError, ValueError):
        return []  # a picture less; the model itself was checked when it was used


def _descriptions(run: Run) -> dict[str, str]:
    return {name: column.description for name, column in run.spec.columns.items() if column.description}


def _still_there(run: Run, folder: Path) -> bool:
    """Whether the version that a committed record names is in this run's store, whole and not retracted."""
    try:
        note = manifest(folder, "export")
        line = Line(open_store(run.store), run.spec.name, run.partition)
        if note["store"] != run.store or line.tombstone(note["version"]) is not None:
            return False
        known = line.manifest(note["version"])
    except (OSError, ValueError, KeyError, StorageError):
        return False
    return known.content_id == note["content_id"] and whole(line, known)


def _outcome(note: Mapping[str, Any]) -> Outcome:
    metrics = {
        "version": note["version"],
        "path": note["path"],
        "report": f"{note['path']}/report.html",
        "store": note["store"],
    }
    if note["snapshot"]:
        metrics["snapshot"] = note["snapshot"]
    return Outcome(note["content_id"], note["rows"], metrics)
