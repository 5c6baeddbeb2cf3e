"""Small records and manifests made by hand, and a publisher for tests."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from synth_pipeline.publishing.manifest import Generation, Manifest, Training, Validation, seal
from synth_pipeline.publishing.release import Contents, Publication, publish
from synth_pipeline.publishing.store import Store
from synth_pipeline.records.identity import digest
from synth_pipeline.records.records import Records, RecordsWriter, Unit
from synth_pipeline.records.schema import Column, Meaning, schema_of
from synth_pipeline.spec.columns import Role
from synth_pipeline.spec.publication import Export

SECRET = "do-not-tell-multiplicity"
SCHEMA = schema_of(
    [
        Column("id", pa.string(), Meaning.IDENTIFIER, frozenset({Role.PRIMARY_KEY}), action={
            "type": "hash", "length": 16, "surrogate": True, "multiplicity": [[1, 3]], "note": SECRET,
        }),
        Column("email", pa.string(), Meaning.IDENTIFIER, pii="email", action={
            "type": "fake", "entity": "email", "surrogate": True, "null_rate": 0.123456, "locale": "en_US",
        }),
        Column("age", pa.int64(), Meaning.NUMBER, description="Years", facts={"integer": True, "hint": SECRET}),
        Column("score", pa.float64(), Meaning.NUMBER),
        Column("town", pa.dictionary(pa.int32(), pa.string()), Meaning.CATEGORY),
        Column("well", pa.bool_(), Meaning.BOOLEAN, frozenset({Role.TARGET})),
        Column("seen", pa.date32(), Meaning.DATETIME),
        Column("at", pa.timestamp("us"), Meaning.DATETIME),
    ]
)  # fmt: skip


def rows(n: int, seed: int = 0, towns: tuple[str, ...] = ("Ulm", "Köln", "Bonn")) -> pa.RecordBatch:
    rng = np.random.default_rng(seed)
    day = datetime.date(2026, 1, 1)
    values = {
        "id": [f"{rng.integers(2**63):016x}" for _ in range(n)],
        "email": [None if i % 7 == 0 else f"a{i}@example.org" for i in range(n)],
        "age": [None if i % 5 == 0 else int(a) for i, a in enumerate(rng.integers(18, 90, n))],
        "score": rng.normal(size=n),
        "town": pa.array([towns[i % len(towns)] for i in range(n)]).dictionary_encode(),
        "well": rng.integers(0, 2, n).astype(bool),
        "seen": [day + datetime.timedelta(days=i % 300) for i in range(n)],
        "at": [datetime.datetime(2026, 1, 1) + datetime.timedelta(hours=i) for i in range(n)],
    }
    return pa.RecordBatch.from_arrays([pa.array(values[f.name], f.type) for f in SCHEMA], schema=SCHEMA)


def synthetic(
    folder: Path, n: int = 300, parts: int = 2, seed: int = 0, batch: pa.RecordBatch | None = None
) -> Records:
    """Committed records of `parts` parts."""
    batch = rows(n, seed) if batch is None else batch
    size = -(-batch.num_rows // parts)
    writer = RecordsWriter(folder, {"data": batch.schema}, part_rows=size)
    for start in range(0, batch.num_rows, size):
        writer.write("data", "train", batch.slice(start, size))
    return writer.commit(Unit(), {"rows": batch.num_rows, "root": "r00t"})


def draft(contents: Contents, name: str = "visits", partition: str | None = None, **more: Any) -> Manifest:
    return Manifest(
        **{
            "dataset": name,
            "partition": partition,
            "content_id": contents.root,
            "identity": digest([contents.root, more]),
            "tables": contents.tables,
            "training": Training(generator="trees", version="1", rows=200),
            "generation": Generation(rows=300, seed=0),
            "validation": Validation(
                policy="internal",
                policy_version="1",
                verdict="pass",
                gates=(
                    {
                        "name": "copy_excess",
                        "value": 0.01,
                        "low": 0.0,
                        "high": 0.02,
                        "threshold": 0.08,
                        "verdict": "pass",
                    },
                ),
            ),
            **more,
        }
    )


def documents(manifest: Manifest) -> Mapping[str, bytes]:
    page = f"<!doctype html><title>{manifest.dataset} {manifest.version}</title>"
    return {"scorecard.json": seal({"verdict": "pass"}), "report.html": page.encode()}


def published(
    store: Store,
    records: Records,
    name: str = "visits",
    partition: str | None = None,
    export: Export | None = None,
    **more: Any,
) -> Publication:
    contents = Contents.of(records, {})
    return publish(store, draft(contents, name, partition, **more), contents, export or Export(), documents)
