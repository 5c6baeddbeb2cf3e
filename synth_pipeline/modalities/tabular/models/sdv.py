"""SDV's single-table synthesizers behind the Generator protocol. SDV is BUSL-1.1; nothing else imports it."""

from __future__ import annotations

import io
import json
import logging
import os
import random
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from synth_pipeline.engines.local import usable_cores
from synth_pipeline.errors import MissingExtra, SpecError, TrainingError, did_you_mean
from synth_pipeline.modalities.tabular.models.sdv_layout import Layout
from synth_pipeline.modalities.tabular.models.sdv_scrub import scrub
from synth_pipeline.progress import Report
from synth_pipeline.protocols.generator import Capabilities, SampleRequest
from synth_pipeline.records.records import Batch, Records
from synth_pipeline.seeds import Seeds

if TYPE_CHECKING:
    from synth_pipeline.spec.constraints import Constraint
    from synth_pipeline.spec.generation import GeneratorConfig

_CLASSES = {
    "gaussian_copula": "GaussianCopulaSynthesizer",
    "ctgan": "CTGANSynthesizer",
    "tvae": "TVAESynthesizer",
    "copulagan": "CopulaGANSynthesizer",
}
_OWN = ("type", "sdv_constraints")
"""Settings of ours; all others are SDV's own arguments."""

_BATCH = 65_536
_CELLS = 100_000_000


class Sdv:
    """GaussianCopula, CTGAN, TVAE or CopulaGAN, as the config's type says."""

    capabilities: ClassVar[Capabilities] = Capabilities(conditional=True)
    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ("sdv", "rdt", "copulas", "ctgan", "torch", "pandas", "scipy")
    licence: ClassVar[str] = "BUSL-1.1"

    def __init__(
        self, config: GeneratorConfig, constraints: tuple[Constraint, ...] = (), *, copy_limit: float = 0.045
    ) -> None:
        self._type = config.type
        self._settings = config.model_dump(mode="python")
        self._layout: Layout
        self._model: Any = None
        self._summary: dict[str, Any] = {}

    def fit(self, records: Records, seeds: Seeds, report: Report) -> None:
        if (cells := records.rows() * len(records.schema())) > _CELLS:
            raise TrainingError(
                f"SDV holds the whole table in memory, several times: {cells:,} cells are too many",
                fix="use `generator: {type: trees}`, which streams",
            )
        table = records.table()
        self._layout = Layout.learn(table)
        frame = self._layout.encode(table)
        del table
        if frame.shape[1] == 0:
            raise TrainingError("every column is constant: nothing to learn", fix="use `generator: {type: trees}`")
        last: dict[str, float] = {}

        def tell(step: int, values: Mapping[str, float]) -> None:
            last.update({f"last_{name}": value for name, value in values.items()})
            report(step, values)

        with _quiet(seeds):
            self._model = self._build()
            with _watched(self._model, tell):
                self._model.fit({"data": frame})
            scrub(self._model, *frame.shape)
        self._summary = {"columns": frame.shape[1], **last}

    def sample(self, request: SampleRequest, seeds: Seeds) -> Iterator[Batch]:
        fixed = self._layout.fixed(request.fixed)
        drawn = 0
        while drawn < request.rows:
            rows = min(_BATCH, request.rows - drawn)
            branch = seeds.child("batch", drawn)
            with _quiet(branch):
                self._reseed(branch)
                frame = self._draw(rows, fixed, request.weights, branch)
            yield "data", self._layout.decode(frame)
            drawn += rows

    def save(self, folder: Path) -> None:
        with _quiet():
            self._model.save(str(folder / "synthesizer.pkl"))
        self._layout.save(folder / "layout.arrow")
        note = {"type": self._type, "settings": self._settings, "summary": self._summary}
        (folder / "sdv.json").write_text(json.dumps(note, sort_keys=True), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The stage has checked every file's sha256 against the model's manifest: nothing foreign is unpickled."""
        with _quiet():
            from sdv.utils import load_synthesizer

            self = cls.__new__(cls)
            self._model = load_synthesizer(str(folder / "synthesizer.pkl"))
        self._layout = Layout.load(folder / "layout.arrow")
        note = json.loads((folder / "sdv.json").read_text("utf-8"))
        self._type, self._settings, self._summary = note["type"], note["settings"], note["summary"]
        return self

    def summary(self) -> dict[str, Any]:
        return self._summary

    def _build(self) -> Any:
        from sdv import single_table
        from sdv.metadata import Metadata

        metadata = Metadata.load_from_dict({"tables": {"data": {"columns": self._layout.sdtypes()}}})
        settings = {key: value for key, value in self._settings.items() if key not in _OWN}
        if "numerical_distributions" in settings:
            settings["numerical_distributions"] = {
                self._layout.alias(name, "generator.numerical_distributions"): value
                for name, value in settings["numerical_distributions"].items()
            }
        model = getattr(single_table, _CLASSES[self._type])(metadata, **settings)
        if self._settings["sdv_constraints"]:
            model.add_constraints([self._constraint(i, c) for i, c in enumerate(self._settings["sdv_constraints"])])
        return model

    def _constraint(self, index: int, wanted: Mapping[str, Any]) -> Any:
        """One of SDV's own: `{class_name: …, parameters: {…}}`, our column names in place of SDV's."""
        from sdv import cag

        where = f"generator.sdv_constraints[{index}]"
        known = [name for name in cag.__all__ if "Programmable" not in name]  # those are code, not data
        name, parameters = str(wanted.get("class_name")), wanted.get("parameters")
        if name not in known or not isinstance(parameters, Mapping):
            raise SpecError(
                f"not an SDV constraint; {did_you_mean(name, known)}",
                where=where,
                fix="write `{class_name: Inequality, parameters: {low_column_name: …, high_column_name: …}}`",
            )
        return getattr(cag, name)(**{key: self._argument(key, value, where) for key, value in parameters.items()})

    def _argument(self, key: str, value: Any, where: str) -> Any:
        if key.endswith("column_name"):
            return self._layout.alias(value, where)
        if key.endswith("column_names"):
            return [self._layout.alias(name, where) for name in value]
        return value

    def _conditioned(self, values: dict[str, Any], rows: int) -> Any:
        from sdv.sampling import Condition

        try:
            with redirect_stderr(io.StringIO()):  # a progress bar
                frame = self._model.sample_from_conditions([Condition(values, rows)], batch_size=rows)["data"]
        except ValueError:
            frame = ()
        if len(frame) < rows:
            raise SpecError(
                f"{self._type} could draw only {len(frame):,} of {rows:,} rows under the conditions: they are too rare",
                where="generation",
                fix="use `generator: {type: trees}`, or ask for commoner values",
            )
        return frame

    def _reseed(self, seeds: Seeds) -> None:
        """SDV draws from states that it carries along; a shard must not depend on those before it."""
        self._model._set_random_state(seeds.child("model").integer())
        processor = self._model._data_processor
        for name, transformer in processor._hyper_transformer.field_transformers.items():
            if transformer is not None:
                state = np.random.RandomState(seeds.child("column", str(name)).integer())
                transformer.set_random_state(state, "reverse_transform")

    def _draw(
        self, rows: int, fixed: Mapping[str, Any], weights: Mapping[str, Mapping[str, float]], seeds: Seeds
    ) -> Any:
        import pandas as pd

        if not fixed and not weights:
            with redirect_stderr(io.StringIO()):  # a progress bar
                return self._model.sample(rows)["data"]
        groups = [(dict(fixed), rows)]
        for name, wanted in weights.items():
            codes = self._layout.codes(name, list(wanted))
            share = np.array(list(wanted.values()), dtype=float)
            counts = seeds.child("balance").generator().multinomial(rows, share / share.sum())
            alias = self._layout.alias(name, "generation.balance")
            groups = [({**fixed, alias: code}, int(n)) for code, n in zip(codes, counts, strict=True) if n]
        frames = [self._conditioned(values, n) for values, n in groups]
        order = seeds.child("order").generator().permutation(rows)
        return pd.concat(frames, ignore_index=True).iloc[order].reset_index(drop=True)


@contextmanager
def _watched(model: Any, report: Report) -> Iterator[None]:
    """Reports every epoch's losses while CTGAN or TVAE trains: their only hook is the progress bar."""
    from ctgan.synthesizers import ctgan, tvae

    def epochs(steps: Any, **_: Any) -> Iterator[int]:
        for epoch in steps:
            yield epoch
            losses = model._model.loss_values
            now = losses[losses["Epoch"] == epoch].drop(columns=["Epoch", "Batch"], errors="ignore")
            report(epoch, {name.lower().replace(" ", "_"): float(now[name].mean()) for name in now})

    bars = ctgan.tqdm, tvae.tqdm
    ctgan.tqdm = tvae.tqdm = epochs
    try:
        yield
    finally:
        ctgan.tqdm, tvae.tqdm = bars


@contextmanager
def _quiet(seeds: Seeds | None = None) -> Iterator[None]:
    """SDV with seeded global streams, which it draws from, put back after; no warnings, no prints."""
    _import()
    import torch

    states = random.getstate(), np.random.get_state(), torch.get_rng_state(), torch.get_num_threads()  # noqa: NPY002
    if seeds is not None:
        random.seed(seeds.child("random").integer())
        np.random.seed(seeds.child("numpy").integer())  # noqa: NPY002
        torch.manual_seed(seeds.child("torch").integer())
    torch.set_num_threads(min(states[3], usable_cores()))
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
        torch.set_num_threads(states[3])


@cache
def _import() -> None:
    """Imports SDV without the usage log that it would open below the user's home."""
    home = os.environ.get("XDG_DATA_HOME")
    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_DATA_HOME"] = place
        try:
            import sdv.single_table
            import sdv.utils  # noqa: F401
        except ImportError as error:
            raise MissingExtra(f"SDV cannot be imported: {error}", fix="pip install 'sdv>=2.0,<3'") from None
        finally:
            os.environ.pop("XDG_DATA_HOME")
            if home is not None:
                os.environ["XDG_DATA_HOME"] = home
        for name in ("SingleTableSynthesizer", "MultiTableSynthesizer", "Metadata", "SingleTableMetadata"):
            logger = logging.getLogger(name)
            for handler in list(logger.handlers):
                logger.removeHandler(handler)
                handler.close()
