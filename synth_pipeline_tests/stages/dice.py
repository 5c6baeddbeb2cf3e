"""A generator for tests that may draw in several processes: each row is a function of the seeds alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa

from synth_pipeline.protocols.generator import Capabilities, SampleRequest
from synth_pipeline.records.records import Batch, Records
from synth_pipeline.records.schema import decode, encode
from synth_pipeline.seeds import Seeds
from synth_pipeline.spec.generation import GeneratorConfig


class Dice:
    """Integers below 1,000 in every column."""

    capabilities: ClassVar[Capabilities] = Capabilities(bit_exact=True, parallel=True)
    version: ClassVar[str] = "1"
    schema: pa.Schema

    def __init__(self, config: Any, constraints: Any = (), *, copy_limit: float = 0.08) -> None:
        pass

    def fit(self, records: Records, seeds: Seeds, report: Any) -> None:
        self.schema = records.schema()

    def sample(self, request: SampleRequest, seeds: Seeds) -> Iterator[Batch]:
        for start in range(0, request.rows, 20_000):
            rows = min(20_000, request.rows - start)
            draw = seeds.child(start).generator()
            arrays = [pa.array(draw.integers(0, 1_000, rows)).cast(field.type) for field in self.schema]
            yield "data", pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def save(self, folder: Path) -> None:
        (folder / "schema").write_text(encode(self.schema))

    @classmethod
    def load(cls, folder: Path) -> Dice:
        self = cls(None)
        self.schema = decode((folder / "schema").read_text())
        return self

    def summary(self) -> dict[str, Any]:
        return {}


class DiceConfig(GeneratorConfig):
    """What stands in a spec."""

    implementation: ClassVar[str] = f"{__name__}:Dice"
    type: Literal["gaussian_copula"] = "gaussian_copula"
