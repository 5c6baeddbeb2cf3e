"""`trees`: sequential trees over typed columns. Fast, conditional, bit-exact; saved as arrays and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter

from synth_pipeline.errors import SpecError, StorageError, TrainingError
from synth_pipeline.features.columns import TableEncoder
from synth_pipeline.features.constraints import check
from synth_pipeline.modalities.tabular.configs import Trees as Config
from synth_pipeline.modalities.tabular.models import trees_copying as copying
from synth_pipeline.modalities.tabular.models.trees_drawing import Drawer
from synth_pipeline.modalities.tabular.models.trees_growing import Forest, Tree, grow, ordering, variable
from synth_pipeline.modalities.tabular.models.trees_plan import Plan
from synth_pipeline.modalities.tabular.models.trees_requests import Writer
from synth_pipeline.progress import Report
from synth_pipeline.protocols.generator import Capabilities, SampleRequest
from synth_pipeline.records.records import DEFAULT_TABLE, Batch, Records
from synth_pipeline.records.schema import Role, learned, schema_of
from synth_pipeline.seeds import Seeds
from synth_pipeline.spec.constraints import Constraint
from synth_pipeline.spec.generation import GeneratorConfig

_CELLS = 40_000_000
_MOST_ROWS = 262_144
_TEST_ROWS = 50_000
_TEST_QUERIES = 4_000
_MANY_LEVELS = 500
_CHUNK = 65_536
_CHUNK_CELLS = 4_000_000
_CONSTRAINTS: TypeAdapter[tuple[Constraint, ...]] = TypeAdapter(tuple[Constraint, ...])


class Trees:
    """Each variable is drawn from the leaf distribution of a tree grown on the variables before it.

    What is stored: code books (levels; bin edges between ranks), trees, and how often each code fell into each leaf.
    Not stored: rows, or which codes came together beyond a leaf's box.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        conditional=True, bit_exact=True, constraints=True, parallel=True
    )
    version: ClassVar[str] = "1"

    def __init__(
        self, config: GeneratorConfig, constraints: tuple[Constraint, ...] = (), *, copy_limit: float = 0.045
    ) -> None:
        if not isinstance(config, Config):
            raise SpecError("trees needs its own configuration", fix="generator: {type: trees}")
        self.config, self.constraints, self.copy_limit = config, tuple(constraints), copy_limit
        self.table_name = DEFAULT_TABLE
        self._facts: dict[str, Any] = {}

    def fit(self, records: Records, seeds: Seeds, report: Report) -> None:
        self.table_name = records.tables[0]
        table, units = _rows(records, seeds)
        chosen = learned(table.schema)
        if not chosen:
            raise TrainingError("no column is left to learn", fix="keep at least one column that is not an identifier")
        if not table.num_rows:
            raise TrainingError("there are no training rows")
        table = table.select([column.name for column in chosen]).cast(schema_of(chosen))
        check(self.constraints, table.schema)
        self.plan = Plan.fit(self.constraints, table)
        inner = self.plan.forward(table)
        leaf = self.config.min_leaf or self._own_leaf(inner, units, seeds.child("copying"), report)
        self.encoder, self.forest = self._learn(inner, units, leaf, seeds.child("growing"))
        self._drawer = Drawer(self.forest)
        self._facts |= {"rows": records.rows(), "rows_used": table.num_rows, "min_leaf": leaf}
        Writer(
            self.plan, self.encoder, self._drawer, SampleRequest(0), table.num_rows
        )  # what cannot be kept says so now

    def sample(self, request: SampleRequest, seeds: Seeds) -> Iterator[Batch]:
        if request.conditions is not None:
            raise SpecError("trees take fixed values and weights, not rows, as conditions")
        rng = seeds.generator()
        writer = Writer(self.plan, self.encoder, self._drawer, request, self._facts["rows"])
        chunk = max(1_024, min(_CHUNK, _CHUNK_CELLS // len(self.plan.schema)))  # bounded memory, whatever the width
        for low in range(0, request.rows, chunk):
            rows = min(chunk, request.rows - low)
            row_numbers = request.start + low + np.arange(rows, dtype=np.int64)
            for batch in writer.rows(row_numbers, rng).combine_chunks().to_batches():
                yield self.table_name, batch

    def save(self, folder: Path) -> None:
        arrays: dict[str, np.ndarray] = {}
        for index, tree in enumerate(self.forest.trees):
            arrays[f"{index}/starts"], arrays[f"{index}/codes"] = tree.starts, tree.codes
            arrays[f"{index}/counts"] = tree.counts
            for i, reach in enumerate(tree.reach):
                arrays[f"{index}/reach{i}"] = reach
        note = {
            "version": self.version,
            "table": self.table_name,
            "config": self.config.model_dump(mode="json"),
            "constraints": _CONSTRAINTS.dump_python(self.constraints, mode="json"),
            "copy_limit": self.copy_limit,
            "facts": self._facts,
            "order": list(self.forest.order),
            "features": [list(tree.features) for tree in self.forest.trees],
        }
        self.encoder.save(folder, "columns")
        self.plan.save(folder)
        np.savez_compressed(folder / "forest.npz", allow_pickle=False, **arrays)
        (folder / "trees.json").write_text(json.dumps(note, ensure_ascii=False), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        try:
            note = json.loads((folder / "trees.json").read_text("utf-8"))
            with np.load(folder / "forest.npz", allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            raise StorageError("the saved trees cannot be read", where=str(folder), fix="train again") from error
        model = cls(
            Config(**note["config"]), _CONSTRAINTS.validate_python(note["constraints"]), copy_limit=note["copy_limit"]
        )
        model.table_name, model._facts = note["table"], note["facts"]
        model.encoder = TableEncoder.load(folder, "columns")
        model.plan = Plan.load(folder, model.constraints)
        trees = tuple(
            Tree(
                tuple(features),
                tuple(arrays[f"{i}/reach{k}"] for k in range(len(features))),
                arrays[f"{i}/starts"],
                arrays[f"{i}/codes"],
                arrays[f"{i}/counts"],
            )
            for i, features in enumerate(note["features"])
        )
        model.forest = Forest(tuple(note["order"]), trees, _variables(model.encoder))
        model._drawer = Drawer(model.forest)
        return model

    def summary(self) -> dict[str, Any]:
        return {
            **self._facts,
            "variables": len(self.forest.order),
            "leaves": sum(tree.leaves for tree in self.forest.trees),
            "largest_tree": max(tree.leaves for tree in self.forest.trees),
            "codes": int(self.encoder.sizes.sum()),
        }

    def _learn(self, inner: pa.Table, units: np.ndarray | None, leaf: int, seeds: Seeds) -> tuple[TableEncoder, Forest]:
        bins, sub_bins = self.config.bins, self.config.sub_bins
        encoder = TableEncoder.fit(inner, self.plan.columns, bins=bins, sub_bins=sub_bins, units=units)
        first = [
            index
            for role in (Role.CONDITION, Role.TARGET)
            for index, column in enumerate(encoder.columns)
            if role in column.roles
        ]
        first = list(dict.fromkeys(first))
        forest = grow(encoder.encode(inner), _variables(encoder), ordering(encoder.sizes, first), leaf, seeds)
        return encoder, forest

    def _own_leaf(self, inner: pa.Table, units: np.ndarray | None, seeds: Seeds, report: Report) -> int:
        """The leaf that its own copy test allows: learn each half of train in turn, with the other half held out."""
        if inner.num_rows < 10 * copying.FLOOR:
            return max(copying.FLOOR, inner.num_rows // 4)
        halves = _halves(inner.num_rows, units, seeds.generator())
        folds = [inner.take(pa.array(half)) for half in halves]
        hidden: list[str] = []
        if inner.num_rows > _TEST_ROWS:
            # a small fold knows levels that its other half lacks, although train has many rows of each
            book_sizes = zip(self.plan.columns, TableEncoder.fit(inner, self.plan.columns).books, strict=True)
            hidden = [column.name for column, book in book_sizes if not book.ordered and book.size > _MANY_LEVELS]
            hidden = hidden if len(hidden) < len(self.plan.columns) else []
        compared = [fold.drop(hidden) for fold in folds]
        tests: list[copying.CopyTest] = []

        def measure(leaf: int) -> copying.CopyTest:
            found = []
            for side, fold in enumerate(folds):
                # the same leaf on half of the rows leans on them as much as on the whole (measured on Adult and Bank)
                whose = None if units is None else units[halves[side]]
                encoder, forest = self._learn(fold, whose, leaf, seeds.child("growing", side))
                draw = seeds.child("drawing", side).generator()
                rows = min(_TEST_QUERIES, fold.num_rows)
                drawn = encoder.decode(Drawer(forest).draw(rows, draw), draw)
                found.append(copying.nearest_share(drawn.drop(hidden), compared[side], compared[1 - side]))
            share, exact, reference = np.mean(found, axis=0).tolist()
            test = copying.CopyTest(leaf, share, 2 * share - 1, 2 * rows, exact, reference)
            tests.append(test)
            report(len(tests), {"min_leaf": leaf, "copy_excess": test.excess, "exact_match": exact})
            return test

        leaf = copying.choose_leaf(measure, inner.num_rows, self.copy_limit)
        self._facts["copy_tests"] = [
            {"min_leaf": test.min_leaf, "excess": round(test.excess, 4), "exact": round(test.exact, 5)}
            for test in tests
        ]
        return leaf


def _variables(encoder: TableEncoder) -> tuple[Any, ...]:
    return tuple(variable(book.size, book.ordered) for book in encoder.books)


def _halves(rows: int, units: np.ndarray | None, rng: np.random.Generator) -> list[np.ndarray]:
    """Two disjoint random sets of rows; no person is in both, as none is in both train and holdout."""
    pick = rng.permutation(rows)[:_TEST_ROWS]
    if units is not None:
        persons, whose = np.unique(units[pick], return_inverse=True)
        side = (rng.permutation(len(persons)) % 2)[whose]
        alike = min(int((side == 0).sum()), int((side == 1).sum()))
        if alike >= 5 * copying.FLOOR:
            return [np.sort(pick[side == one][:alike]) for one in (0, 1)]
    return [np.sort(half) for half in np.array_split(pick, 2)]


def _rows(records: Records, seeds: Seeds) -> tuple[pa.Table, np.ndarray | None]:
    """All rows, or a random subset where they would not fit; and whose they are, where persons have several."""
    name, units = records.tables[0], records.facts.get("units")
    schema = records.schema(name)
    total = records.rows(table=name)
    most = min(_MOST_ROWS, max(20_000, _CELLS // max(len(schema), 1)))
    if total <= most:
        return records.table(table=name), units
    pick = np.zeros(total, bool)
    pick[seeds.child("rows").generator().permutation(total)[:most]] = True
    kept, at = [], 0
    for _, batch in records.batches(table=name):
        kept.append(batch.filter(pa.array(pick[at : at + batch.num_rows])).cast(schema))
        at += batch.num_rows
    return pa.Table.from_batches(kept, schema), None if units is None else units[pick]
