"""Generation: shards drawn from a committed model, fresh keys and fakes filled in, each shard a Parquet part."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
from pydantic import TypeAdapter

from synth_pipeline.engines.base import Engine, ShardTask, shards
from synth_pipeline.errors import SpecError, TrainingError
from synth_pipeline.progress import tick
from synth_pipeline.protocols import registry
from synth_pipeline.protocols.generator import Generator, SampleRequest
from synth_pipeline.records import schema as schemas
from synth_pipeline.records.files import replace, sha256
from synth_pipeline.records.identity import plan_id
from synth_pipeline.records.ledger import Ledger
from synth_pipeline.records.parquet import PartWriter
from synth_pipeline.records.records import DEFAULT_TABLE, Batch, Part, Records, RecordsWriter
from synth_pipeline.seeds import Seeds
from synth_pipeline.spec.constraints import Constraint, Unique
from synth_pipeline.spec.generation import Generation
from synth_pipeline.stages.conditions import resolve
from synth_pipeline.stages.keeping import Kept, derived, keep, references
from synth_pipeline.stages.run import Outcome, Result, Run, manifest, perform
from synth_pipeline.stages.train import learnable_constraints, load_generator, no_values_in_errors, versions
from synth_pipeline.stages.versions import GENERATE as VERSION

_NOTES = "shards"


def generate(run: Run, model: Result, protected: Result) -> Result:
    """Draws the dataset's rows; a killed run goes on where it stopped, with the same bytes.

    Raises:
        SpecError: conditions or balance that the generator or the data cannot meet.
        WorkerLost: a worker process died; what was finished is kept.
    """
    seeds = run.seeds.child("generate")
    plan = plan_id(
        "generate",
        VERSION,
        run.spec.slice("generate"),
        {"model": model.content_id, "protected": protected.content_id},
        tools=versions(registry.load(run.spec.generator.implementation)),
        seed=seeds.integer(63),
    )

    def work(folder: Path) -> Outcome:
        note = manifest(model.folder, "train")
        records = Records.open(protected.folder)
        Ledger(run.home.ledger).derive(note["root"], run.spec.name, "generate", folder)
        recipe = _recipe(model.folder, note, records, run.spec.generation, seeds, folder)
        tasks = shards(recipe.total, run.spec.generation.shard_rows)
        for leftover in folder.rglob(".*"):
            leftover.unlink()  # what a killed writer had not finished
        finished = {i: done for i in range(len(tasks)) if (done := _finished(folder, i))}
        rows = sum(done["part"]["rows"] for done in finished.values())
        tick("generate", rows, recipe.total)
        for done in _engine(run, note).map_shards(
            _write_shard, [task for task in tasks if task.index not in finished], partial(_Site.open, recipe)
        ):
            finished[done["shard"]] = done
            rows += done["part"]["rows"]
            tick("generate", rows, recipe.total)
        notes = [finished[task.index] for task in tasks]
        violations: dict[str, int] = {}
        for done in notes:
            for name, count in done["violations"].items():
                violations[name] = violations.get(name, 0) + count
        facts = {
            "root": note["root"],
            "model": model.content_id,
            "seed": run.spec.seed,
            "conditions_real": False,
            "rows": rows,
            "rejected": sum(done["rejected"] for done in notes),
            "violations": violations,
            "shards": len(notes),
            "empty": _empty(note),
        }
        writer = RecordsWriter(folder, {DEFAULT_TABLE: recipe.schema})
        writer.add(Part(**done["part"]) for done in notes)
        return _outcome(writer.commit(records.unit, facts))

    return perform(run, "generate", plan, work, lambda folder: _outcome(Records.open(folder)), resumes=True)


def draw(
    model: Result,
    protected: Records,
    rows: int,
    seeds: Seeds,
    start: int = 0,
    generation: Generation | None = None,
) -> Iterator[Batch]:
    """Rows of the learned columns, drawn like released ones (and under the same `generation` conditions, if given).

    `start` is the number of rows drawn before: another start or other seeds give other rows. They are drawn to be
    looked at: what is unique in a release comes again here, as if in another one.
    """
    note = manifest(model.folder, "train")
    generation = generation or Generation()
    recipe = _recipe(model.folder, note, protected, generation, seeds.child("from", start), model.folder)
    site = _Site.open(recipe.endless())
    for task in shards(rows, generation.shard_rows):
        for batch in site.learned(ShardTask(task.index, task.units, start + task.start), Kept()):
            yield DEFAULT_TABLE, batch


@dataclass(frozen=True)
class _Recipe:
    """All that a worker needs to know, as plain data."""

    model: Path
    folder: Path
    schema: pa.Schema
    total: int
    seeds: Seeds
    fixed: Mapping[str, Any]
    weights: Mapping[str, Mapping[str, float]]
    constraints: tuple[Constraint, ...]
    """Those that the generator does not keep by itself."""
    reference: Mapping[int, pa.Table]
    period: int | None = None

    def endless(self) -> _Recipe:
        """The same without an end to its keys: rows beyond the release's are as of another release."""
        kept = {i: c for i, c in enumerate(self.constraints) if not isinstance(c, Unique)}
        reference = {place: self.reference[i] for place, i in enumerate(kept) if i in self.reference}
        return dataclasses.replace(
            self, constraints=tuple(kept.values()), reference=reference, period=max(self.total, 1)
        )


def _recipe(
    model: Path, note: Mapping[str, Any], protected: Records, generation: Generation, seeds: Seeds, folder: Path
) -> _Recipe:
    visible = schemas.decode(note["schema"])
    # what no generator learns and no surrogate replaces stays empty
    schema = schemas.schema_of(
        column.having(nullable=True) if column.name in _empty(note) else column
        for column in schemas.columns(schemas.decode(note["protected_schema"]))
    )
    fixed, weights = resolve(generation, protected, visible, note)
    constraints: tuple[Constraint, ...] = ()
    if not note["capabilities"]["constraints"]:
        declared: tuple[Constraint, ...] = TypeAdapter(tuple[Constraint, ...]).validate_python(note["constraints"])
        constraints = learnable_constraints(declared, schema, visible)
        if both := sorted(derived(constraints) & {*fixed, *weights}):
            raise SpecError(
                f'"{both[0]}" follows from a constraint: "{note["type"]}" cannot draw under a condition on it',
                where="generation",
                fix="use `generator: {type: trees}`, or condition on the columns that it follows from",
            )
    return _Recipe(
        model=model,
        folder=folder,
        schema=schema,
        total=generation.rows or max(1, round((generation.ratio or 1.0) * note["rows"])),
        seeds=seeds,
        fixed=fixed,
        weights=weights,
        constraints=constraints,
        reference=references(constraints, protected),
    )


@dataclass(frozen=True)
class _Site:
    """A process that draws shards: the recipe and the loaded generator."""

    recipe: _Recipe
    generator: Generator
    learned_schema: pa.Schema

    @classmethod
    def open(cls, recipe: _Recipe) -> _Site:
        generator, note = load_generator(recipe.model)
        return cls(recipe, generator, schemas.decode(note["schema"]))

    def learned(self, task: ShardTask, kept: Kept) -> Iterator[pa.RecordBatch]:
        """The shard's rows of learned columns, exactly as many as asked for."""
        seeds = self.recipe.seeds.child("shard", task.index)
        if not self.recipe.constraints:
            yield from self._drawn(task.units, task.start, seeds)
            return

        def again(rows: int, attempt: int) -> pa.Table:
            batches = self._drawn(rows, task.start, seeds.child("round", attempt))
            return pa.Table.from_batches(batches, self.learned_schema)

        table = keep(again, task.units, self.recipe.constraints, self.recipe.reference, kept)
        yield from table.to_batches(max_chunksize=65_536)

    def _drawn(self, rows: int, start: int, seeds: Seeds) -> Iterator[pa.RecordBatch]:
        recipe = self.recipe
        request = SampleRequest(rows, start, fixed=recipe.fixed, weights=recipe.weights, period=recipe.period)
        got = 0
        with no_values_in_errors(type(self.generator).__name__):
            for _, batch in self.generator.sample(request, seeds):
                got += batch.num_rows
                yield batch.select(self.learned_schema.names).cast(self.learned_schema)
        if got != rows:
            raise TrainingError(f"the generator drew {got} rows when asked for {rows}", where=str(self.recipe.model))


def _write_shard(site: _Site, task: ShardTask) -> dict[str, Any]:
    """Writes one shard under a passing name, renames it, then notes it: each step whole or not at all."""
    from synth_pipeline.privacy.transform.fresh import fill

    recipe = site.recipe
    relative = f"{DEFAULT_TABLE}/train-{task.index:05d}.parquet"
    path = recipe.folder / relative
    path.parent.mkdir(exist_ok=True)
    scratch = path.with_name(f".{path.name}.{uuid4().hex}")
    kept = Kept()
    writer = PartWriter(scratch, _published(recipe.schema))
    try:
        start = task.start
        for batch in site.learned(task, kept):
            writer.write(fill(recipe.schema, batch, start, recipe.total, recipe.seeds.child("fresh")))
            start += batch.num_rows
        size, digest = writer.close()
    except BaseException:
        writer.abandon()
        scratch.unlink(missing_ok=True)
        raise
    scratch.replace(path)
    part = Part(DEFAULT_TABLE, "train", relative, task.units, size, digest)
    done = {"shard": task.index, "part": asdict(part), "rejected": kept.rejected, "violations": kept.violations}
    replace(_note(recipe.folder, task.index), json.dumps(done).encode())
    return done


def _finished(folder: Path, index: int) -> dict[str, Any] | None:
    """What an interrupted run has noted of a shard, if the part is still what it noted."""
    try:
        done = dict(json.loads(_note(folder, index).read_bytes()))
        return done if sha256(folder / done["part"]["path"]) == done["part"]["sha256"] else None
    except (OSError, ValueError, KeyError):
        return None


def _note(folder: Path, index: int) -> Path:
    return folder / _NOTES / f"{index:05d}.json"


def _published(schema: pa.Schema) -> pa.Schema:
    """The schema inside the parts, which may leave the house: what columns mean, and that no row is real."""
    cols = [
        column.having(action=column.action and {"type": column.action["type"], "surrogate": column.surrogate})
        for column in schemas.columns(schema)
    ]
    return schemas.schema_of(cols, {b"digital_source_type": DIGITAL_SOURCE_TYPE})


DIGITAL_SOURCE_TYPE = b"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's word for "made by a trained model"."""


def _empty(note: Mapping[str, Any]) -> list[str]:
    visible = schemas.decode(note["schema"]).names
    whole = schemas.columns(schemas.decode(note["protected_schema"]))
    return [column.name for column in whole if column.name not in visible and not column.surrogate]


def _engine(run: Run, note: Mapping[str, Any]) -> Engine:
    engine = run.spec.engine
    workers = engine.workers if note["capabilities"]["parallel"] else 1
    return registry.find("engines", engine.type)(workers)  # type: ignore[no-any-return]


def _outcome(records: Records) -> Outcome:
    facts = records.facts
    rows = facts["rows"]
    violations = sum(facts["violations"].values())
    warnings = [f"{violations} rows still break a constraint"] if violations else []
    if facts["empty"]:
        warnings.append(f"never learned, so left empty: {', '.join(facts['empty'])}")
    metrics = {"shards": facts["shards"], "rejected": facts["rejected"], "violations": violations}
    return Outcome(records.content_id, rows, metrics, tuple(warnings))
