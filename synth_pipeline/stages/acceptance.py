"""Whether a source keeps its contract: the frozen schema and `contract.source` on ingested rows, once per content."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from synth_pipeline.progress import tick
from synth_pipeline.records.files import create
from synth_pipeline.records.identity import digest
from synth_pipeline.records.records import Records
from synth_pipeline.stages.run import Result, Run

VERSION = "1"


def accept(run: Run, ingested: Result) -> list[dict[str, Any]]:
    """The findings, each with name, passed, blocking, note and counts; kept beside the records that they are about.

    Raises:
        SpecError: an expectation that does not exist.
    """
    contract = run.spec.contract
    asked = [VERSION, ingested.content_id, contract.sample, [one.model_dump(mode="json") for one in contract.source]]
    known = ingested.folder / f"accepted-{digest(asked)}.json"
    if known.exists():
        return list(json.loads(known.read_bytes()))
    from synth_pipeline.evaluation.contract import check_expectations, check_schema

    tick("ingest", ingested.rows, ingested.rows, note="contract")
    records = Records.open(ingested.folder)
    found = check_schema(records)
    seeds = run.seeds.child("ingest", "contract")
    found += check_expectations(records, contract.source, sample=contract.sample, seeds=seeds)
    with suppress(FileExistsError):  # another run of the same content was quicker, and found the same
        create(known, json.dumps(found, ensure_ascii=False).encode(), private=True)
    return found
