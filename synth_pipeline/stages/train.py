"""Training: the dataset's generator learns the protected training rows; the committed model is checked before use."""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from synth_pipeline.errors import StorageError, SynthError, TrainingError
from synth_pipeline.evaluation.gates import aim, check_policy, load_policy
from synth_pipeline.features.constraints import check
from synth_pipeline.progress import Report, tick
from synth_pipeline.protocols import registry
from synth_pipeline.protocols.generator import Generator
from synth_pipeline.records import schema as schemas
from synth_pipeline.records.files import create, sha256
from synth_pipeline.records.identity import canonical, plan_id
from synth_pipeline.records.ledger import Ledger
from synth_pipeline.records.records import Records
from synth_pipeline.seeds import Seeds
from synth_pipeline.spec.constraints import Constraint, Unique
from synth_pipeline.stages.run import NOUNS, Outcome, Result, Run, manifest, perform
from synth_pipeline.stages.versions import TRAIN as VERSION

GENERATOR = "generator"
HISTORY = "history.jsonl"
COPY_LIMIT = 0.08
"""What a generator aims at when its policy has no gate on copying."""

_LIBRARIES = ("numpy", "pyarrow", "scikit-learn")


def train(run: Run, protected: Result) -> Result:
    """Fits the generator to the learned columns of the train split.

    Raises:
        TrainingError: there is nothing to learn, or the generator failed.
        SpecError: a constraint names a column that does not exist or that generators never see.
    """
    cls = registry.load(run.spec.generator.implementation)
    seeds = run.seeds.child("train")
    # before the time is spent; validate asks the model that came of it
    check_validation(run, cls.capabilities.source_free)
    limit = copy_aim(run, Records.open(protected.folder))
    plan = plan_id(
        "train",
        VERSION,
        {**run.spec.slice("train"), "copy_limit": limit},
        {"protected": protected.content_id},
        tools={"generator": str(cls.version), **versions(cls)},
        seed=seeds.integer(63),
    )

    def work(folder: Path) -> Outcome:
        records = Records.open(protected.folder)
        Ledger(run.home.ledger).derive(records.facts.get("root", ""), run.spec.name, "train", folder)
        visible = learned_records(records)
        rows = visible.rows("train")
        tick("train", 0, rows, note=run.spec.generator.type)
        note = learn(run, records, visible, seeds, folder, limit, plan)
        tick("train", rows, rows)
        return _outcome(note)

    return perform(run, "train", plan, work, lambda folder: _outcome(manifest(folder, "train")))


def learn(
    run: Run, records: Records, visible: Records, seeds: Seeds, folder: Path, copy_limit: float, plan: str
) -> dict[str, Any]:
    """Fits the dataset's generator to `visible`, the learned part of `records`, and commits it in `folder`.

    Returns the model's manifest. The canary audit comes here, too: what it says must be true of this very code.
    """
    cls = registry.load(run.spec.generator.implementation)
    _check_meanings(run.spec.modality, visible)
    rows = visible.rows("train")
    if rows == 0:
        raise TrainingError("there are no training rows", where=run.spec.name, fix="look at the split and filters")
    constraints = learnable_constraints(run.spec.constraints, records.schema(), visible.schema())
    if cls.capabilities.source_free:
        visible = without_rows(visible)
    generator = cls(run.spec.generator, constraints, copy_limit=copy_limit)
    begun = time.monotonic()
    saved = folder / GENERATOR
    saved.mkdir()
    with open(folder / HISTORY, "w", encoding="utf-8") as history, no_values_in_errors(run.spec.generator.type):
        generator.fit(visible, seeds, _reporting(run.report, history))
        generator.save(saved)
    content = {
        "type": run.spec.generator.type,
        "implementation": run.spec.generator.implementation,
        "config": run.spec.generator.model_dump(mode="json"),
        "constraints": [constraint.model_dump(mode="json") for constraint in run.spec.constraints],
        "generator_version": str(cls.version),
        "capabilities": asdict(cls.capabilities),
        "schema": schemas.encode(visible.schema()),
        "protected_schema": schemas.encode(records.schema()),
        "rows": rows,
        "files": {str(f.relative_to(folder)): sha256(f) for f in sorted(saved.rglob("*")) if f.is_file()},
    }
    note = {
        "root": records.facts.get("root", ""),
        "dataset": run.spec.name,
        "plan": plan,
        "content_id": hashlib.sha256(canonical(content).encode()).hexdigest(),
        **content,
        "libraries": versions(cls),
        "licence": getattr(cls, "licence", ""),
        "summary": generator.summary(),
        "seed": run.spec.seed,
        "seconds": round(time.monotonic() - begun, 3),
    }
    create(folder / NOUNS["train"][1], json.dumps(note, indent=1, ensure_ascii=False).encode())
    return note


def learned_records(records: Records) -> Records:
    """What a generator is handed: training rows, learned columns, and which rows are of one person; nothing else.

    The fact `units` numbers the persons (an array, one entry per row); it is absent where each has one row.

    Raises:
        TrainingError: no column is left to learn.
    """
    table = records.tables[0]
    cols = schemas.learned(records.schema(table))
    if not cols:
        raise TrainingError(
            "no column is left to learn: all are identifiers, free text or surrogates",
            fix="declare the meaning of at least one column, or keep one (`columns:`, `privacy.columns:`)",
        )
    shape = schemas.schema_of(cols)
    train_rows = records.only("train")
    return Records(
        schemas={table: shape},
        datasets={key: data.replace_schema(shape) for key, data in train_rows.datasets.items() if key[0] == table},
        content_id=train_rows.content_id,
        facts=_persons(train_rows, table),
        parts=tuple(part for part in train_rows.parts if part.table == table),
        folder=train_rows.folder,
    )


def without_rows(records: Records) -> Records:
    """The columns alone, for a generator that claims to need no private row: so it cannot have seen one."""
    return Records(
        schemas=records.schemas,
        datasets={key: ds.dataset(records.schemas[key[0]].empty_table()) for key in records.datasets},
    )


def _persons(train: Records, table: str) -> dict[str, np.ndarray]:
    """Whose each row is, as numbers in order of appearance: no identifier."""
    name = train.unit.column
    if train.unit.table != table or name is None or name not in train.schema(table).names:
        return {}
    ids = train.table(columns=[name], table=table).column(0)
    known = pc.unique(ids).drop_null()
    if len(known) + ids.null_count == len(ids):
        return {}
    found = pc.index_in(ids, known)
    rows = np.arange(len(ids))
    return {"units": np.where(ids.is_null().to_numpy(), len(known) + rows, found.fill_null(0).to_numpy())}


def learnable_constraints(
    constraints: tuple[Constraint, ...], protected: pa.Schema, visible: pa.Schema
) -> tuple[Constraint, ...]:
    """The constraints that the generator has to keep; a surrogate that is declared unique is drawn unique.

    Raises:
        SpecError: one names an unknown column, one of the wrong type, or one that generators never see.
    """
    surrogates = {column.name for column in schemas.columns(protected) if column.surrogate}
    to_keep = tuple(c for c in constraints if not (isinstance(c, Unique) and set(c.columns) <= surrogates))
    check(to_keep, visible)
    return to_keep


def _check_meanings(modality: str, visible: Records) -> None:
    known = registry.find("modalities", modality).meanings
    for column in schemas.columns(visible.schema()):
        if column.meaning not in known:
            raise TrainingError(
                f'"{column.name}" is a column of {column.meaning.value}s, which modality "{modality}" cannot learn',
                fix="drop it (`privacy.columns`), or use another modality",
            )


def load_generator(folder: Path) -> tuple[Generator, dict[str, Any]]:
    """A committed model and its manifest; every file is checked against the manifest before anything reads it.

    Raises:
        StorageError: a file is missing, added or changed.
    """
    note = manifest(folder, "train")
    found = _files(folder)
    if set(found) != set(note["files"]) or any(sha256(found[name]) != hash_ for name, hash_ in note["files"].items()):
        raise StorageError(
            "the model's files are not those its manifest lists",
            where=str(folder),
            fix="train again with `--force`",
        )
    return registry.load(note["implementation"]).load(folder / GENERATOR), note


def _files(folder: Path) -> dict[str, Path]:
    return {file.relative_to(folder).as_posix(): file for file in (folder / GENERATOR).rglob("*") if file.is_file()}


def _outcome(note: Mapping[str, Any]) -> Outcome:
    metrics = {"generator": note["type"], "training_seconds": note["seconds"]}
    if note["licence"]:
        metrics["licence"] = note["licence"]
    summary = {key: value for key, value in note["summary"].items() if isinstance(value, (int, float, str, bool))}
    return Outcome(note["content_id"], note["rows"], {**summary, **metrics})


def check_validation(run: Run, source_free: bool) -> None:
    """That the policy can be meant for this modality and this generator.

    Raises:
        SpecError: it cannot.
    """
    known = registry.find("modalities", run.spec.modality)().scores() | {"audit_epsilon"}
    check_policy(load_policy(run.spec.validation.policy, run.base), known, source_free)


def copy_aim(run: Run, records: Records) -> float:
    """The copy excess that a generator which can choose how closely it fits should aim at, to pass the policy."""
    validation = run.spec.validation
    gate = load_policy(validation.policy, run.base).gates.get("copy_excess")
    limit = COPY_LIMIT if gate is None or gate.max is None else gate.max
    return round(aim(limit, records.rows("train"), records.rows("holdout"), validation.queries), 4)


def versions(cls: type) -> dict[str, str]:
    """Versions of what the generator stands on, found without importing any of it."""
    found = {}
    for name in (*_LIBRARIES, *getattr(cls, "libraries", ())):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def _reporting(report: Report, history: Any) -> Report:
    def tell(step: int, values: Mapping[str, float]) -> None:
        history.write(json.dumps({"step": step, **{key: float(value) for key, value in values.items()}}) + "\n")
        history.flush()
        report(step, values)

    return tell


@contextmanager
def no_values_in_errors(generator: str) -> Iterator[None]:
    """Libraries quote data in their messages; what leaves here is the error's kind and the line that raised it."""
    try:
        yield
    except (SynthError, OSError):
        raise
    except MemoryError:
        raise TrainingError(
            f"{generator} ran out of memory", fix="fewer columns or levels, or a smaller generator"
        ) from None
    except Exception as error:  # noqa: BLE001 - libraries raise anything
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise TrainingError(
            f"{generator} failed with {type(error).__name__}",
            where=f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}",
            fix="try another generator, or report this with the lines above",
        ) from None
