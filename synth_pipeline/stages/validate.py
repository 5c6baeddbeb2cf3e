"""Validation: synthetic rows measured beside held-out real ones, checked against the contract, judged by the policy."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from synth_pipeline.errors import StorageError
from synth_pipeline.evaluation.gates import judge as judged_by
from synth_pipeline.evaluation.gates import load_policy, verdict
from synth_pipeline.evaluation.intervals import searched
from synth_pipeline.evaluation.scorecard import Scorecard
from synth_pipeline.evaluation.threads import TimedOut
from synth_pipeline.progress import tick
from synth_pipeline.protocols import registry
from synth_pipeline.protocols.measure import Evidence, Findings, Score
from synth_pipeline.publishing.manifest import plain
from synth_pipeline.records import schema as schemas
from synth_pipeline.records.files import create
from synth_pipeline.records.identity import canonical, digest, plan_id
from synth_pipeline.records.ledger import Ledger
from synth_pipeline.records.records import Records
from synth_pipeline.spec.columns import Role
from synth_pipeline.stages.earlier import add_earlier, earlier
from synth_pipeline.stages.run import NOUNS, Outcome, Result, Run, manifest, perform
from synth_pipeline.stages.train import check_validation
from synth_pipeline.stages.versions import VALIDATE as VERSION

REPORT = "report.html"
PROFILE = "profile.json"
_ROWS = 100_000
"""Released rows that statistics look at; exact checks look at all."""
_IN_MEMORY = 1_000_000


def validate(run: Run, synthetic: Result, model: Result, protected: Result) -> Result:
    """Measures, checks and judges; returns whatever the verdict is (`metrics["verdict"]`), raises only when it breaks.

    Raises:
        SpecError: the policy does not exist, or it is for generators that see no private rows and this one does.
        StorageError: the synthetic rows were drawn from another model.
    """
    policy = load_policy(run.spec.validation.policy, run.base)
    check_validation(run, bool(manifest(model.folder, "train")["capabilities"].get("source_free")))
    seeds = run.seeds.child("validate")
    inputs = {
        "synthetic": synthetic.content_id,
        "model": model.content_id,
        "protected": protected.content_id,
    }
    real, released = Records.open(protected.folder), Records.open(synthetic.folder)
    root = str(real.facts.get("root", ""))
    out = earlier(run, root, released)
    judged = {**inputs, **({"earlier": digest(list(out))} if out else {})}  # what is published adds up
    plan = plan_id(
        "validate",
        VERSION,
        {**run.spec.slice("validate"), "policy": policy.to_json()},
        judged,
        seed=seeds.integer(63),
    )

    def work(folder: Path) -> Outcome:
        if released.facts.get("model") != model.content_id:
            raise StorageError(
                "the synthetic rows were not drawn from this model",
                where=str(synthetic.folder),
                fix="run generate again",
            )
        ledger = Ledger(run.home.ledger)
        ledger.derive(root, run.spec.name, "validate", folder)
        # new source rows are a new question; new settings for the same rows are another try at the old one
        asked = f"{run.spec.generator.type} of {_source(run, real)}"
        attempts = ledger.attempt(root, run.spec.name, run.partition, asked, _scored(run, synthetic, model))
        tick("validate", 0, note="reading")
        with TemporaryDirectory(dir=folder) as scratch:
            evidence, warnings, lost = _evidence(run, real, released, model, out, Path(scratch))
            findings = registry.find("modalities", run.spec.modality)().measure(evidence)
            del evidence
        findings = _audited(run, protected, findings)
        if lost:  # what nobody knows never passes
            told = Score(None, error=f"{lost}: bring them back, or choose a policy without this gate")
            findings = replace(findings, scores={**findings.scores, "cumulative_exposure": told})
        checks = _checks(run, real, released)
        gates = judged_by(findings.scores, policy, attempts)
        card = Scorecard(
            dataset=run.spec.name,
            partition=run.partition,
            policy=policy.to_json(),
            scores=findings.scores,
            gates=gates,
            verdict=verdict(gates, checks),
            judged=judged,
            attempts=attempts,
            details=plain(findings.details),
            checks=tuple(checks),
            warnings=tuple(warnings),
        )
        tick("validate", 0, note="report")
        _report(run, folder, card, real, released, model)
        note = {"root": root, **card.to_json()}
        content = hashlib.sha256(canonical(_timeless({**note, "attempts": 0})).encode()).hexdigest()
        text = json.dumps({"content_id": content, **note}, indent=1, ensure_ascii=False, allow_nan=False)
        create(folder / NOUNS["validate"][1], text.encode())
        return _outcome(manifest(folder, "validate"))

    asked = replace(run, force=True) if _hurried(run.home.noun(run.spec.name, "validate", plan)) else run
    return perform(asked, "validate", plan, work, lambda folder: _outcome(manifest(folder, "validate")))


def _hurried(folder: Path) -> bool:
    """Whether what was committed is a scorecard in which a measure ran out of time: that may be the machine's fault."""
    try:
        errors = json.loads((folder / NOUNS["validate"][1]).read_bytes())["details"].get("errors") or {}
    except (OSError, ValueError, KeyError):
        return False
    return any(TimedOut.WORDS in str(told) for told in errors.values())


def _audited(run: Run, protected: Result, findings: Findings) -> Findings:
    """The findings and, where it is asked for, the canary audit's."""
    if run.spec.validation.audit is None:
        untested = [*findings.details.get("not_tested", ()), "the canary audit (asked for by `validation: audit`)"]
        return replace(findings, details={**findings.details, "not_tested": untested})
    from synth_pipeline.stages.audit import audit

    begun = time.monotonic()
    found = audit(run, protected)
    took = round(time.monotonic() - begun, 3)
    scores = {name: replace(score, seconds=took) for name, score in found.scores.items()}
    return Findings({**findings.scores, **scores}, {**findings.details, **found.details})


def _timeless(value: Any) -> Any:
    """A note less what its numbers cost: equal findings are equal contents, however long they took."""
    if isinstance(value, Mapping):
        return {key: _timeless(item) for key, item in value.items() if key != "seconds"}
    return [_timeless(item) for item in value] if isinstance(value, list | tuple) else value


def _scored(run: Run, synthetic: Result, model: Result) -> str:
    """What one attempt scores: the released rows, and whatever decides which audit rows stand beside them.

    Nothing else is part of it: to judge the same rows by more measures, or under another policy, is no other attempt.
    """
    spec = run.spec.slice("validate")
    drawn = {"queries": run.spec.validation.queries, "generation": spec["generation"]}
    inputs = {"synthetic": synthetic.content_id, "model": model.content_id}
    return plan_id("attempt", "1", drawn, inputs, seed=run.seeds.child("validate").integer(63))


def _evidence(
    run: Run, real: Records, released: Records, model: Result, before: dict[str, list[str]], scratch: Path
) -> tuple[Evidence, list[str], str]:
    """Learned columns of both splits and of the released rows, and more rows of the same model if those are few; then
    warnings, and why not all earlier releases are among it."""
    from synth_pipeline.evaluation.sample import draw as some
    from synth_pipeline.stages.generate import draw

    seeds, warnings = run.seeds.child("validate"), []
    names = [column.name for column in schemas.learned(real.schema())]
    shape = schemas.schema_of(schemas.Column.of(real.schema().field(name)) for name in names)
    train, holdout = (real.table(split, columns=names).cast(shape) for split in ("train", "holdout"))
    out = _mapped(released, _with_constrained(run, shape, released.schema()), scratch / "released.arrow")
    # few rows would leave the nearest-neighbour gate wide open
    wanted = searched(run.spec.validation.queries, train.num_rows, holdout.num_rows)
    most = max(_ROWS, wanted)
    rows = out if out.num_rows <= most else some(released, None, most, seeds)
    synthetic = rows.select(names).cast(shape)
    if synthetic.num_rows < wanted:
        missing = wanted - synthetic.num_rows
        batches = draw(model, real, missing, seeds.child("audit"), synthetic.num_rows, run.spec.generation)
        more = pa.Table.from_batches(itertools.islice((batch.select(names).cast(shape) for _, batch in batches), None))
        synthetic = pa.concat_tables([synthetic, more])
        warnings.append(f"{missing} audit rows were drawn beside the {out.num_rows} released ones, for the statistics")
    units = _units(real)
    targets, sensitive = (schemas.with_role(shape, role) for role in (Role.TARGET, Role.SENSITIVE))
    evidence = Evidence(
        train=train,
        holdout=holdout,
        synthetic=synthetic,
        released=out,
        seeds=seeds,
        target=targets[0] if targets else None,
        sensitive=tuple(sensitive),
        constraints=run.spec.constraints,
        train_units=units and units[0],
        holdout_units=units and units[1],
        queries=wanted,
        full=run.spec.validation.full,
        seconds=run.spec.validation.seconds,
    )
    evidence, lost = add_earlier(evidence, before)
    return evidence, warnings, lost


def _with_constrained(run: Run, shape: pa.Schema, released: pa.Schema) -> pa.Schema:
    """The learned columns, and those that only a constraint speaks of: a key that is drawn fresh is checked as well."""
    from synth_pipeline.features.constraints import involved

    more = dict.fromkeys(name for constraint in run.spec.constraints for name in involved(constraint))
    fields = [released.field(name) for name in more if name in released.names and name not in shape.names]
    return schemas.schema_of(schemas.Column.of(field) for field in [*shape, *fields])


def _mapped(records: Records, shape: pa.Schema, path: Path) -> pa.Table:
    """All rows of some columns: in memory when they are few, else in a passing file that the kernel pages."""
    if records.rows() <= _IN_MEMORY:
        return records.table(columns=shape.names).cast(shape)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, shape) as writer:
        for _, batch in records.batches(columns=shape.names):
            writer.write_batch(batch.select(shape.names).cast(shape))
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _units(real: Records) -> tuple[Any, Any] | None:
    """The person (or other unit) of each row, as integers; None: every row its own."""
    name = real.unit.column
    if name is None or name not in real.schema(real.unit.table).names:
        return None
    sides = [real.table(split, columns=[name]).column(0) for split in ("train", "holdout")]
    codes = pa.chunked_array([chunk for side in sides for chunk in side.chunks]).dictionary_encode()
    flat = codes.combine_chunks()
    whole = flat if isinstance(flat, pa.DictionaryArray) else pa.concat_arrays(flat.chunks)
    ids = whole.indices.to_numpy(zero_copy_only=False)
    alone = np.isnan(ids) if ids.dtype.kind == "f" else np.zeros(len(ids), bool)
    ids = np.where(alone, len(whole.dictionary) + np.arange(len(ids)), np.nan_to_num(ids)).astype(np.int64)
    return ids[: len(sides[0])], ids[len(sides[0]) :]


def _checks(run: Run, real: Records, released: Records) -> list[Mapping[str, Any]]:
    """The frozen schema's promises, the contract's expectations and the residual scan, on the released bytes."""
    from synth_pipeline.evaluation.contract import check_expectations, check_schema
    from synth_pipeline.privacy.residual import scan

    contract = run.spec.contract
    tick("validate", 0, note="contract")
    checks: list[Mapping[str, Any]] = [*check_schema(released, reference=real)]
    checks += check_expectations(
        released, contract.synthetic, sample=contract.sample, seeds=run.seeds.child("validate", "contract")
    )
    tick("validate", 0, note="residual scan")
    source = _ingested(run, real)
    return [*checks, *scan(released, real, Records.open(Path(source["folder"])) if source else None)]


def _ingested(run: Run, real: Records) -> dict[str, Any] | None:
    from synth_pipeline.publishing.nouns import find_noun

    return find_noun(run.home, run.spec.name, "ingest", str(real.facts.get("ingested", "")))


def _source(run: Run, real: Records) -> str:
    """The source's own bytes: a schema, a split or a description that changes makes no new question of them."""
    ingested = str(real.facts.get("ingested", ""))
    note = _ingested(run, real)
    return str(((note or {}).get("facts", {}).get("source") or {}).get("content_id") or ingested)


def _report(run: Run, folder: Path, card: Scorecard, real: Records, released: Records, model: Result) -> None:
    from synth_pipeline.evaluation.profile import compare, profile
    from synth_pipeline.evaluation.report import render_internal
    from synth_pipeline.publishing import provenance

    seeds = run.seeds.child("validate", "profile")
    profiles = {
        "real": profile(real, seeds=seeds, internal=True, split="train"),
        "synthetic": profile(released, seeds=seeds, internal=True),
        "comparison": compare(real, released, seeds, split="train"),
    }
    create(folder / PROFILE, json.dumps(profiles, ensure_ascii=False, default=str).encode(), private=True)
    trained, ingested = manifest(model.folder, "train"), _ingested(run, real)
    page = render_internal(
        card,
        profile=profiles,
        history=_history(model.folder),
        lineage={
            "source": provenance.source(ingested["facts"], run.spec).model_dump(mode="json") if ingested else {},
            "upstream": {**card.judged, "ingested": real.facts.get("ingested", "")},
            "training": {"generator": trained["type"], "rows": trained["rows"], "licence": trained.get("licence", "")},
            "generation": {"rows": released.rows()},
            "validation": {"verdict": card.verdict},
        },
        protections=real.facts.get("report", ()),
    )
    create(folder / REPORT, page.encode(), private=True)


def _history(folder: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in (folder / "history.jsonl").read_text("utf-8").splitlines()]
    except (OSError, ValueError):
        return []  # a picture less; the model itself was checked when it was used


def _outcome(note: Mapping[str, Any]) -> Outcome:
    card = Scorecard.from_json(note)
    metrics: dict[str, Any] = {name: score.value for name, score in card.scores.items() if score.value is not None}
    metrics |= {"verdict": card.verdict, "attempts": card.attempts, "gates": [asdict(gate) for gate in card.gates]}
    return Outcome(note["content_id"], metrics=metrics, warnings=card.warnings)
