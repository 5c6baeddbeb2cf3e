"""A modality plugs in with one class: images, texts and sequences meet the measures that tables meet."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.evaluation import copying, utility
from synth_pipeline.evaluation.attacks.membership import membership
from synth_pipeline.evaluation.closeness import closeness
from synth_pipeline.evaluation.prdc import prdc
from synth_pipeline.protocols.measure import Evidence, Features, Score
from synth_pipeline.protocols.points import Vectors
from synth_pipeline.seeds import Seeds

Array = np.ndarray
ROWS = 300
WORDS = ["night", "storm", "river", "cold", "wide", "old", "house", "stood", "ran", "under", "light", "sea", "stone"]


class Seen:
    """What all three share: a row's vector, from which the rest follows."""

    def __init__(self, vectors: Callable[[pa.Table], Array]) -> None:
        self._vectors = vectors

    def keys(self, rows: pa.Table) -> Array:
        flat = np.ascontiguousarray(self._vectors(rows), np.float32)
        return np.array([zlib.crc32(row.tobytes()) + 1 for row in flat], np.uint64)

    def points(self, rows: pa.Table) -> Vectors:
        return Vectors(self._vectors(rows).astype(np.float32))

    def matrix(self, rows: pa.Table) -> tuple[Array, list[bool]]:
        values = self._vectors(rows).astype(np.float64)
        return values, [False] * values.shape[1]


def _pixels(rows: pa.Table) -> Array:
    """8 × 8 grey pixels."""
    return rows["image"].combine_chunks().flatten().to_numpy().reshape(-1, 64) / 255


def _grams(rows: pa.Table) -> Array:
    """How often each three letters follow one another, hashed to 64 places, per root of the length."""
    out = np.zeros((rows.num_rows, 64))
    for row, text in enumerate(rows["text"].to_pylist()):
        for start in range(len(text) - 2):
            out[row, zlib.crc32(text[start : start + 3].encode()) % 64] += 1
    return out / np.sqrt(np.maximum(out.sum(1, keepdims=True), 1))


def _windows(rows: pa.Table) -> Array:
    """Mean, deviation and change of each of four windows, for series of any length."""
    out = np.zeros((rows.num_rows, 12))
    for row, series in enumerate(rows["series"].to_pylist()):
        for number, part in enumerate(np.array_split(np.array(series, float), 4)):
            out[row, number * 3 : number * 3 + 3] = part.mean(), part.std(), part[-1] - part[0]
    return out


def _images(rng: np.random.Generator, rows: int) -> pa.Table:
    """A bright spot somewhere, and noise."""
    x, y, size = rng.random((3, rows, 1, 1)) * 8
    places = np.arange(8)
    spot = np.exp(-((places[None, :, None] - x) ** 2 + (places[None, None] - y) ** 2) / (1 + size))
    values = np.clip(spot * 200 + rng.normal(20, 8, spot.shape), 0, 255).astype(np.uint8)
    return pa.table({"image": pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 64)})


def _texts(rng: np.random.Generator, rows: int) -> pa.Table:
    return pa.table({"text": [" ".join(rng.choice(WORDS, rng.integers(8, 16))) for _ in range(rows)]})


def _series(rng: np.random.Generator, rows: int) -> pa.Table:
    made = [np.cumsum(rng.normal(rng.normal(), 1, rng.integers(20, 60))).tolist() for _ in range(rows)]
    return pa.table({"series": pa.array(made, pa.list_(pa.float64()))})


KINDS: dict[str, tuple[Callable[[np.random.Generator, int], pa.Table], Features]] = {
    "images": (_images, Seen(_pixels)),
    "texts": (_texts, Seen(_grams)),
    "sequences": (_series, Seen(_windows)),
}


def _evidence(kind: str, holdout: int = ROWS) -> Evidence:
    rng = np.random.default_rng(len(kind))
    draw, features = KINDS[kind]
    train, held, made = (draw(rng, rows) for rows in (ROWS, holdout, ROWS))
    return Evidence(train, held, made, made, Seeds(0), features=features)


def _scores(evidence: Evidence) -> dict[str, Score]:
    return {
        **copying.nearness(evidence)[0],
        "exact_match_excess": copying.exact(evidence)[0],
        "c2st_auc": utility.discernible(evidence)[0],
        **prdc(evidence).scores,
        **closeness(evidence).scores,
        **membership(evidence).scores,
    }


COPYING = ("copy_excess", "exact_match_excess", "c_t", "nndr_excess", "authenticity_excess")


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_nobody_pass(kind: str) -> None:
    scores = _scores(_evidence(kind))
    for name in COPYING:
        assert scores[name].low <= 0, name
    assert abs(scores["copy_excess"].value) < 0.15
    assert scores["mia_auc"].low < 0.55
    assert 0.4 < scores["c2st_auc"].value < 0.6
    for name in ("precision", "recall", "density", "coverage"):
        assert scores[name].high >= scores[name].detects, name


@pytest.mark.parametrize("kind", KINDS)
def test_copies_are_caught(kind: str) -> None:
    evidence = _evidence(kind)
    scores = _scores(replace(evidence, synthetic=evidence.train, released=evidence.train))
    for name in COPYING:
        assert scores[name].low > 0.5, name
    assert scores["mia_auc"].low > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_copies_is_caught_at_an_uneven_split(kind: str) -> None:
    evidence = _evidence(kind, holdout=ROWS // 2)
    made = pa.concat_tables([evidence.train.slice(0, ROWS // 4), evidence.synthetic.slice(ROWS // 4)])
    scores = _scores(replace(evidence, synthetic=made, released=made))
    assert scores["exact_match_excess"].value == pytest.approx(0.25, abs=0.01)
    assert scores["nndr_excess"].value == pytest.approx(0.25, abs=0.08)
    for name in ("exact_match_excess", "c_t", "nndr_excess"):
        assert scores[name].low > 0, name


def test_one_row_far_off_does_not_blind_the_search() -> None:
    """What the synthetic side holds never says which distances count as equal."""
    evidence = _evidence("sequences")
    rng = np.random.default_rng(1)
    wild = pa.table({"series": (rng.normal(size=(ROWS + 2, 30)) * 1e12).tolist()}, schema=evidence.train.schema)
    made = pa.concat_tables([evidence.train, wild])
    scores = copying.nearness(replace(evidence, synthetic=made, released=made))[0]
    assert scores["copy_excess"].value > 0.35


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_vectors_that_are_no_numbers_have_no_score(value: float) -> None:
    evidence = _evidence("sequences")
    broken = pa.table({"series": [[value] * 30] * ROWS}, schema=evidence.train.schema)
    for measure in (copying.nearness, prdc, closeness, membership):
        with pytest.raises(ValueError, match="finite"), np.errstate(all="ignore"):
            measure(replace(evidence, synthetic=broken, released=broken))
