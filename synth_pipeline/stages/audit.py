"""The canary audit: the dataset's generator trained once more, on rows among which canaries were hidden."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from synth_pipeline.errors import StorageBusy, StorageError, SynthError
from synth_pipeline.evaluation.attacks import canaries
from synth_pipeline.evaluation.columns import Unfit
from synth_pipeline.evaluation.sample import draw as some
from synth_pipeline.evaluation.table import TableFeatures
from synth_pipeline.features.constraints import violations
from synth_pipeline.progress import tick
from synth_pipeline.protocols import registry
from synth_pipeline.protocols.measure import Findings, Score
from synth_pipeline.records.files import replace
from synth_pipeline.records.home import empty, lease
from synth_pipeline.records.identity import canonical, plan_id
from synth_pipeline.records.ledger import Ledger
from synth_pipeline.records.records import Records
from synth_pipeline.seeds import Seeds
from synth_pipeline.spec.constraints import Constraint, FixedCombinations, Unique
from synth_pipeline.spec.publication import CanaryAudit
from synth_pipeline.stages.generate import draw
from synth_pipeline.stages.keeping import derive, references
from synth_pipeline.stages.run import Result, Run
from synth_pipeline.stages.train import copy_aim, learn, learnable_constraints, learned_records, versions

VERSION = "1"
NAME = "audit_epsilon"
MANIFEST = "audit.json"
_MODEL = "model"
CONFIDENCE = 0.95
FEWEST = 50
"""Canaries without which nothing is measured."""
_ROWS = (50_000, 500_000)
"""Synthetic rows that are looked through: as many as are released, but no fewer (the more there are, the more a model
gives away: on Adult's first 5,000 rows, AUC 0.64 with 20,000, 0.69 with 50,000, 0.71 with 100,000) and no more."""
_REAL = 100_000
"""Real rows of a side that canaries are compared with."""
_CELLS = 20_000_000
"""Cells of a table in memory: wide tables are looked at in fewer rows."""


def audit(run: Run, protected: Result, count: int | None = None) -> Findings:
    """`audit_epsilon`: how large the generator's ε must at least be, from one training (Steinke et al. 2023).

    About half of `count` canaries (else as many as the YAML asks for), chosen by fair coins, join the train rows; what
    the model then generates is searched for them. No ε below the bound explains how well they are told apart. The
    model is wiped; only the finding stays, and is read again while nothing that decides it has changed. A failure is
    recorded as the score's error, kept for nobody: the next call tries again.
    """
    wanted = count or (run.spec.validation.audit or CanaryAudit()).canaries
    records = Records.open(protected.folder)
    limit = copy_aim(run, records)
    cls = registry.load(run.spec.generator.implementation)
    seeds = run.seeds.child("audit")
    plan = plan_id(
        "audit",
        VERSION,
        {**run.spec.slice("train"), **run.spec.slice("generate"), "copy_limit": limit, "canaries": wanted},
        {"protected": protected.content_id},
        tools={"generator": str(cls.version), **versions(cls)},
        seed=seeds.integer(63),
    )
    folder = run.home.noun(run.spec.name, "audit", plan)
    _wipe_killed(folder.parent)
    with lease(folder, tell=lambda note: tick("audit", 0, note=note)):
        if (folder / MANIFEST).exists() and not run.force:
            note = dict(json.loads((folder / MANIFEST).read_bytes()))
        else:
            Ledger(run.home.ledger).derive(str(records.facts.get("root", "")), run.spec.name, "audit", folder)
            begun = time.monotonic()
            with _private(folder) as scratch:
                found = _told(lambda: _audit(run, records, wanted, limit, seeds, scratch))
            score = dataclasses.replace(found.scores[NAME], seconds=round(time.monotonic() - begun, 3))
            found = Findings({NAME: score}, found.details)
            if score.error:
                return found
            note = _commit(folder, run, records, found)
    run.home.point(run.spec.name, "audit", run.partition, {"folder": str(folder), "plan_id": plan}, run.run_id)
    return Findings({name: Score(**score) for name, score in note["scores"].items()}, note["details"])


def _audit(run: Run, records: Records, count: int, limit: float, seeds: Seeds, scratch: Path) -> Findings:
    visible = learned_records(records)
    names = visible.schema().names
    fits = _CELLS // len(names)
    train = some(visible, "train", min(_REAL, fits), seeds.child("real"))
    holdout = some(records, "holdout", min(_REAL, fits), seeds.child("unseen")).select(names).cast(train.schema)
    constraints = learnable_constraints(run.spec.constraints, records.schema(), visible.schema())
    made = canaries.make(
        train,
        count,
        seeds.child("canaries"),
        holdout,
        together=_groups(constraints),
        lawful=_lawful(constraints, records),
    )
    if made.num_rows < FEWEST:
        raise Unfit(f"not measurable: no {FEWEST} unusual records are possible beside the real ones")
    coins = canaries.flips(made.num_rows, seeds.child("coins"))
    tick("audit", 0, note=f"training {run.spec.generator.type} with {int(coins.sum())} canaries")
    silent = dataclasses.replace(run, report=lambda _step, _values: None)
    joined = _joined(visible, made.filter(pa.array(coins)))
    note = learn(silent, records, joined, seeds.child("train"), scratch, limit, "audit")
    total = run.spec.generation.rows or round((run.spec.generation.ratio or 1.0) * visible.rows("train"))
    rows = min(max(total, _ROWS[0]), _ROWS[1], fits)
    tick("audit", 0, note=f"drawing {rows:,} rows")
    model = Result("train", "audit", note["content_id"], scratch)
    batches = draw(model, records, rows, seeds.child("draw"), generation=run.spec.generation)
    synthetic = pa.Table.from_batches((batch.select(names).cast(train.schema) for _, batch in batches), train.schema)
    tick("audit", 0, note="guessing")
    # scales of the real rows alone: had they seen the canaries that were put in, they would tell
    features = TableFeatures(train, holdout)
    scores = canaries.scores(made, synthetic, holdout, features)
    return _findings(canaries.audited(scores, coins, CONFIDENCE), int(coins.sum()), joined.rows(), rows, run)


def _findings(found: canaries.Audited, put_in: int, learned: int, rows: int, run: Run) -> Findings:
    level = found.right / found.guesses
    below = math.floor(1_000 * found.epsilon) / 1_000  # never rounded up: it is a lower bound
    told = (
        f"a generator that is ε-differentially private with ε below {below:g} would be that easy to see "
        f"through with probability < {100 * (1 - CONFIDENCE):.0f} %"
        if below > 0
        else "that is no more than chance explains, which proves no ε and promises none"
    )
    note = (
        f"Of {found.guesses:,} guesses {found.right:,} were right ({100 * level:.0f} %, by chance 50 %): {told}. "
        f"{found.canaries:,} canaries, {put_in:,} of them among the {learned:,} rows that it learned; "
        f"{rows:,} synthetic rows were looked through. {len(canaries.RULES)} ways to choose guesses were fixed "
        "beforehand; the bound allows for taking the best."
    )
    score = Score(
        found.epsilon,
        low=found.epsilon,
        reference=0.0,
        n=found.guesses,
        note=note,
        detects=canaries.detects(found.canaries, CONFIDENCE),
    )
    details = {
        "canaries": found.canaries,
        "trained": put_in,
        "guesses": found.guesses,
        "right": found.right,
        "epsilon": found.epsilon,
        "confidence": CONFIDENCE,
        "level": level,
        "generator": run.spec.generator.type,
        "rows": rows,
    }
    return Findings({NAME: score}, {"audit": details})


def _told(work: Callable[[], Findings]) -> Findings:
    """The findings, or why there are none; of errors that may quote rows only the kind."""
    try:
        return work()
    except StorageError:
        raise
    except (SynthError, Unfit) as error:
        told = error.what if isinstance(error, SynthError) else str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, there is no value and its gate stays shut
        told = type(error).__name__
    return Findings({NAME: Score(None, error=told)})


@contextmanager
def _private(folder: Path) -> Iterator[Path]:
    """An empty folder for the audited model, which nobody may ever use: wiped whatever happens."""
    scratch = folder / _MODEL
    empty(scratch)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _wipe_killed(stage: Path) -> None:
    """Removes the models of audits that were killed before they could."""
    for model in stage.glob(f"*/{_MODEL}"):
        with suppress(StorageBusy), lease(model.parent, wait=0):
            shutil.rmtree(model, ignore_errors=True)


def _commit(folder: Path, run: Run, records: Records, found: Findings) -> dict[str, Any]:
    content = {
        "root": str(records.facts.get("root", "")),
        "dataset": run.spec.name,
        "protected": records.content_id,
        "scores": {name: {**score.to_json(), "seconds": 0.0} for name, score in found.scores.items()},
        "details": dict(found.details),
    }
    note = {"content_id": hashlib.sha256(canonical(content).encode()).hexdigest(), **content}
    note["scores"] = {name: score.to_json() for name, score in found.scores.items()}
    replace(folder / MANIFEST, json.dumps(note, indent=1, ensure_ascii=False, allow_nan=False).encode())
    return note


def _joined(visible: Records, more: pa.Table) -> Records:
    """The training rows and the canaries, each of which is a person of its own."""
    (key, data), table = next(iter(visible.datasets.items())), visible.tables[0]
    facts = dict(visible.facts)
    if (units := facts.get("units")) is not None:
        facts["units"] = np.concatenate([units, units.max(initial=-1) + 1 + np.arange(more.num_rows)])
    whole = ds.dataset([data, ds.dataset(more.cast(visible.schema(table)))])
    return dataclasses.replace(visible, datasets={key: whole}, facts=facts, parts=(), folder=None, content_id="")


def _groups(constraints: tuple[Constraint, ...]) -> list[list[str]]:
    """Columns of which only combinations that train holds may occur; overlapping ones are one group."""
    groups: list[set[str]] = []
    for constraint in constraints:
        if isinstance(constraint, FixedCombinations):
            group = set(constraint.columns)
            for other in [one for one in groups if one & group]:
                groups.remove(other)
                group |= other
            groups.append(group)
    return [sorted(group) for group in groups]


def _lawful(constraints: tuple[Constraint, ...], records: Records) -> Callable[[pa.Table], pa.Table]:
    """Drawn rows with what follows from other columns computed, less those that break a constraint: generators never
    make such rows, so that as canaries they could not be found."""
    if not constraints:
        return lambda rows: rows
    reference = references(constraints, records)

    def possible(rows: pa.Table) -> pa.Table:
        rows = derive(rows, constraints)
        broken = [violations(c, rows, reference.get(i)) for i, c in enumerate(constraints) if not isinstance(c, Unique)]
        return rows.filter(pa.array(~np.logical_or.reduce(broken))) if broken else rows

    return possible
