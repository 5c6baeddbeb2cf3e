"""Protection: each column kept, dropped, replaced or coarsened; what was done is recorded, never what was there."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from synth_pipeline.errors import ContractError, PrivacyError
from synth_pipeline.privacy.detect.columns import Detector, Finding
from synth_pipeline.privacy.keys import Key, key
from synth_pipeline.privacy.transform.apply import Protector
from synth_pipeline.privacy.transform.hashing import U64, fingerprints, subkey
from synth_pipeline.privacy.transform.plan import Protection, plan
from synth_pipeline.progress import tick
from synth_pipeline.records.identity import plan_id
from synth_pipeline.records.ledger import Ledger
from synth_pipeline.records.records import Batch, Records, RecordsWriter, Unit
from synth_pipeline.records.schema import Role, columns, schema_of
from synth_pipeline.spec.privacy import Drop, Keep, PrivacySpec
from synth_pipeline.stages.acceptance import accept
from synth_pipeline.stages.run import Outcome, Result, Run, perform
from synth_pipeline.stages.versions import PROTECT as VERSION

_WORKERS = 2  # columns at once: Arrow and NumPy leave the interpreter's lock


def protect(run: Run, ingested: Result) -> Result:
    """Applies the dataset's privacy section to the ingested rows, in two passes of bounded memory.

    Raises:
        ContractError: the ingested rows break the contract; the orchestrator's check stops one run only, this any.
        SpecError: an action that does not suit its column.
        PrivacyError: nothing would be left to learn.
    """
    if broken := [finding for finding in accept(run, ingested) if finding["blocking"] and not finding["passed"]]:
        raise ContractError(
            "the source breaks its contract: "
            + "; ".join(f"{finding['name']}: {finding.get('note') or 'failed'}" for finding in broken[:5]),
            where=run.spec.name,
            kept="the ingested rows",
            fix="mend the source, or change `contract.source`",
        )
    source = Records.open(ingested.folder)
    root = str(source.facts["root"])
    secret = key(run.home, "pseudonym", root)
    plan_of = plan_id(
        "protect",
        VERSION,
        run.spec.slice("protect"),
        {"ingested": ingested.content_id},
        tools={"faker": version("faker")},
        keys={"pseudonym": secret.id},
    )

    def work(folder: Path) -> Outcome:
        Ledger(run.home.ledger).derive(root, run.spec.name, "protect", folder)
        return _outcome(_protect(source, run.spec.privacy, secret, folder))

    return perform(run, "protect", plan_of, work, lambda folder: _outcome(Records.open(folder)))


def _outcome(records: Records) -> Outcome:
    report = records.facts["report"]
    metrics = {
        "columns": len(records.schema()),
        "dropped": sum(line["action"] == "drop" for line in report),
        "replaced": len(records.facts["residual"]["surrogates"]),
        "suppressed_cells": sum(line.get("suppressed", 0) for line in report),
    }
    return Outcome(records.content_id, records.rows(), metrics, tuple(records.facts["warnings"]))


def _protect(source: Records, spec: PrivacySpec, secret: Key, folder: Path) -> Records:
    table = source.tables[0]
    schema = source.schema(table)
    detector = Detector(schema) if spec.detect else None
    found: dict[str, Finding] = {}
    total = source.rows(table=table)
    if detector:
        for _, batch in _peek(source, table):
            detector.add(batch)
        found = detector.findings()
    protections = plan(schema, spec, found)
    with ThreadPoolExecutor(_WORKERS) as pool, ThreadPoolExecutor(1) as hand:
        protectors = {name: Protector(protection, secret.secret) for name, protection in protections.items()}
        unit = _unit_column(source)
        unit_key = subkey(secret.secret, "unit")
        done = 0
        for split in source.splits:
            for _, batch in source.batches(split, table):
                units = fingerprints(batch.column(unit), unit_key) if unit and split == "train" else None

                def look(
                    name: str, batch: pa.RecordBatch = batch, units: U64 | None = units, split: str = split
                ) -> None:
                    values = batch.column(name)
                    if detector:
                        detector.add(batch, name)
                    if split == "train":
                        protectors[name].learn(values, units)
                    protectors[name].see(values, units)

                list(pool.map(look, schema.names))
                done += batch.num_rows
                tick("protect", done // 2, total)
        if detector and (later := _changed(schema, spec, detector.findings(), protections)):
            # something that the first rows did not show: rare, so the columns concerned are simply read again
            protections |= later
            again = {name: Protector(protection, secret.secret) for name, protection in later.items()}
            _learn(source, table, again, unit, unit_key)
            protectors |= again
        outputs = {name: column for name, p in protectors.items() if (column := p.finish(unit)) is not None}
        if not any(not column.surrogate for column in outputs.values()):
            raise PrivacyError(
                "protection leaves no column to learn",
                kept="the ingested rows",
                fix="keep or generalise some columns in `privacy.columns`",
            )
        shape = schema_of(outputs.values(), schema.metadata)
        writer = RecordsWriter(folder, {table: shape})
        writing: Future[None] | None = None
        try:
            for split in source.splits:
                for _, batch in source.batches(split, table, _existing(schema, outputs)):

                    def change(name: str, batch: pa.RecordBatch = batch) -> pa.Array:
                        return protectors[name].apply(batch.column(name))

                    arrays = list(pool.map(change, outputs))
                    changed = pa.RecordBatch.from_arrays(arrays, schema=shape)
                    if writing:
                        writing.result()
                    writing = hand.submit(writer.write, table, split, changed)  # while the next batch is made
                    done += batch.num_rows
                    tick("protect", done // 2, total)
            if writing:
                writing.result()
            return writer.commit(_unit(source.unit, outputs), _facts(source, protectors, outputs, secret))
        except BaseException:
            hand.shutdown(wait=True, cancel_futures=True)
            writer.abandon()
            raise


def _existing(schema: pa.Schema, outputs: dict[str, Any]) -> list[str]:
    return [name for name in schema.names if name in outputs]


def _peek(source: Records, table: str) -> Iterator[Batch]:
    """A few batches from the start of each split: what detection decides by at first."""
    for split in source.splits:
        for i, batch in enumerate(source.batches(split, table)):
            if i == 4:
                break
            yield batch


def _learn(source: Records, table: str, protectors: dict[str, Protector], unit: str | None, unit_key: bytes) -> None:
    names = list(dict.fromkeys([*protectors, *([unit] if unit else [])]))
    for split in source.splits:
        for _, batch in source.batches(split, table, names):
            units = fingerprints(batch.column(unit), unit_key) if unit else None
            for name, protector in protectors.items():
                if split == "train":
                    protector.learn(batch.column(name), units)
                protector.see(batch.column(name), units)


def _changed(
    schema: pa.Schema, spec: PrivacySpec, found: dict[str, Finding], before: dict[str, Protection]
) -> dict[str, Protection]:
    """Columns that all rows show to be other than the first rows said: never back to less protection."""
    after = plan(schema, spec, found)
    return {
        name: protection
        for name, protection in after.items()
        if protection.action.type != before[name].action.type
        and not (before[name].surrogate or isinstance(before[name].action, Drop))
    }


def _unit_column(source: Records) -> str | None:
    """The column whose values are counted, if one value may have several rows."""
    column = source.unit.column
    roles = {c.name: c.roles for c in columns(source.schema())}
    return column if column and Role.PRIMARY_KEY not in roles.get(column, ()) else None


def _unit(unit: Unit, outputs: dict[str, Any]) -> Unit:
    kept = unit.column if unit.column in outputs else None
    return Unit(unit.table, kept, unit.path, unit.max_contribution)


def _facts(source: Records, protectors: dict[str, Protector], outputs: dict[str, Any], secret: Key) -> dict[str, Any]:
    warnings, report = [], []
    rows = max(1, source.rows())
    for name, protector in protectors.items():
        protection = protector.protection
        line: dict[str, Any] = {
            "column": name,
            "entity": protection.entity,
            "share": protection.share,
            "action": protection.action.type,
            "reason": protection.reason,
        }
        if protector.suppressed:
            line["suppressed"] = protector.suppressed
            if protector.suppressed > 0.5 * rows:
                warnings.append(
                    f'"{name}": {protector.suppressed / rows:.0%} of the cells held too rare values and were removed'
                )
        if isinstance(protection.action, Keep) and protection.reason == protection.action.reason and protection.entity:
            warnings.append(f'"{name}" looks like {protection.entity} and is kept as declared')
        report.append(line)
    if source.unit.column and source.unit.column not in outputs:
        warnings.append(f'"{source.unit.column}" is dropped: rows count as units from here on')
    actions = {name: dict(outputs[name].action) if name in outputs else {"type": "drop"} for name in protectors}
    return {
        "root": source.facts["root"],
        "ingested": source.content_id,
        "actions": actions,
        "report": report,
        "key_id": secret.id,
        "residual": {
            "surrogates": [name for name, column in outputs.items() if column.surrogate],
            "identifying": {name: p.protection.kind for name, p in protectors.items() if p.protection.identifies},
            "declared": [
                name
                for name, p in protectors.items()
                if (isinstance(p.protection.action, Keep) and not p.protection.scrub)
                or p.protection.column.pii == "none"
            ],
        },
        "warnings": warnings,
    }
