"""SDV's adapter: exact types, seeds, conditions, constraints, and no training row in what is saved."""

from __future__ import annotations

import datetime
import decimal
import gc
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from synth_pipeline.errors import PrivacyError, SpecError, TrainingError
from synth_pipeline.modalities.tabular import configs
from synth_pipeline.modalities.tabular.models import sdv_scrub
from synth_pipeline.modalities.tabular.models.sdv import Sdv
from synth_pipeline.modalities.tabular.models.sdv_layout import Layout
from synth_pipeline.protocols.generator import SampleRequest
from synth_pipeline.records.records import Records
from synth_pipeline.records.schema import Column, Meaning, schema_of
from synth_pipeline.seeds import Seeds

ROWS = 997  # a prime: no other length of a fitted model equals it by chance


def every_type(rows: int = ROWS) -> pa.Table:
    draw = np.random.default_rng(0)

    def missing() -> Any:
        return draw.random(rows) < 0.1

    minutes = [
        datetime.datetime(1500, 1, 1) + datetime.timedelta(minutes=15 * int(i)) for i in draw.integers(0, 9e4, rows)
    ]
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(int(i)) for i in draw.integers(0, 900, rows)]
    cents = [decimal.Decimal(int(i)) / 100 for i in draw.integers(0, 99_999, rows)]
    return pa.table(
        {
            "id 🙂": pa.array(draw.integers(0, 100, rows)),
            "__class__": pa.array(draw.normal(size=rows), mask=missing()),
            "level": pa.array(draw.choice(["x", "y", "é z", ""], rows), mask=missing()),
            "flag": pa.array(draw.random(rows) < 0.3, mask=missing()),
            "day": pa.array(days, mask=missing()),
            "stamp": pa.array(minutes, pa.timestamp("us"), mask=missing()),
            "zoned": pa.array(minutes, pa.timestamp("ms", tz="Europe/Madrid")),
            "price": pa.array(cents, pa.decimal128(9, 2), mask=missing()),
            "byte": pa.array(draw.integers(0, 256, rows).astype("uint8"), mask=missing()),
            "huge": pa.array(draw.integers(2**62, 2**63 - 1, rows)),
            "small": pa.array(draw.random(rows).astype("float32")),
            "coded": pa.array(draw.choice(["p", "q"], rows)).dictionary_encode(),
            "year": pa.array(draw.choice([1999, 2007], rows)),
            "same": pa.array(["always"] * rows),
            "none": pa.nulls(rows, pa.float64()),
        },
        schema=None,
    )


def with_category(table: pa.Table, name: str) -> pa.Table:
    cols = [Column.of(field) for field in table.schema]
    return table.cast(schema_of(c.having(meaning=Meaning.CATEGORY) if c.name == name else c for c in cols))


def config(kind: str, **settings: Any) -> Any:
    classes = {
        "gaussian_copula": configs.GaussianCopula,
        "ctgan": configs.Ctgan,
        "tvae": configs.Tvae,
        "copulagan": configs.CopulaGan,
    }
    return classes[kind](type=kind, **({} if kind == "gaussian_copula" else {"epochs": 2}), **settings)


def fitted(kind: str, table: pa.Table, seed: int = 1, **settings: Any) -> Sdv:
    model = Sdv(config(kind, **settings))
    model.fit(Records.of(table), Seeds(seed), lambda _step, _values: None)
    return model


def drawn(model: Sdv, rows: int = 400, seed: int = 2, **request: Any) -> pa.Table:
    return pa.Table.from_batches(batch for _, batch in model.sample(SampleRequest(rows, **request), Seeds(seed)))


@pytest.fixture(scope="module")
def copula() -> Sdv:
    return fitted("gaussian_copula", with_category(every_type(), "year"))


def test_types_come_back_exactly(copula: Sdv) -> None:
    table, rows = with_category(every_type(), "year"), drawn(copula, 2_000)
    assert rows.schema.equals(table.schema, check_metadata=True)
    assert rows.num_rows == 2_000
    assert set(rows["year"].to_pylist()) == {1999, 2007}
    assert set(rows["level"].to_pylist()) == {"x", "y", "é z", "", None}
    assert set(rows["same"].to_pylist()) == {"always"}
    assert rows["none"].null_count == 2_000
    assert all(moment.minute % 15 == 0 for moment in rows["stamp"].drop_null().to_pylist())
    for name in ("day", "stamp", "zoned", "price", "byte", "__class__", "id 🙂"):
        low, high = (pc.min_max(table[name])[end].as_py() for end in ("min", "max"))
        assert all(low <= value <= high for value in rows[name].drop_null().to_pylist()), name
    for name in table.column_names:
        share = table[name].null_count / table.num_rows
        assert rows[name].null_count / rows.num_rows == pytest.approx(share, abs=0.05), name


def test_layout_is_lossless() -> None:
    table = with_category(every_type(), "year")
    layout = Layout.learn(table)
    back = pa.Table.from_batches([layout.decode(layout.encode(table))])
    for name in set(table.column_names) - {"huge"}:  # beyond 2^53 SDV itself computes in floats
        assert back[name].to_pylist() == table[name].to_pylist(), name
    assert np.allclose(back["huge"].to_numpy(), table["huge"].to_numpy(), rtol=1e-15)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "kind", ["gaussian_copula", "ctgan", pytest.param("tvae", marks=SLOW), pytest.param("copulagan", marks=SLOW)]
)
def test_same_seed_same_rows_before_and_after_saving(kind: str, tmp_path: Path) -> None:
    table = every_type(300).select(["level", "day", "byte", "__class__"])
    first, second = fitted(kind, table), fitted(kind, table)
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    rows = drawn(first)
    assert np.random.get_state()[1].tolist() == before, "the process's own streams changed"  # noqa: NPY002
    first.save(tmp_path)
    loaded = Sdv.load(tmp_path)
    assert drawn(second).equals(rows)
    assert drawn(loaded).equals(rows)
    assert drawn(loaded).equals(rows)  # what was drawn before does not matter
    assert not drawn(loaded, seed=3).equals(rows)


@pytest.mark.parametrize("kind", ["gaussian_copula", pytest.param("ctgan", marks=SLOW)])
def test_conditions_and_balance(kind: str) -> None:
    model = fitted(kind, every_type().select(["level", "flag", "year", "same", "__class__"]))
    assert set(drawn(model, fixed={"level": "é z", "same": "always"})["level"].to_pylist()) == {"é z"}
    assert drawn(model, fixed={"flag": None})["flag"].null_count == 400
    flags = drawn(model, weights={"flag": {"true": 3.0, "false": 1.0}})["flag"]
    assert pc.mean(flags.cast(pa.int8())).as_py() == pytest.approx(0.75, abs=0.08)
    first = flags.slice(0, 100)
    assert 0 < pc.sum(first.cast(pa.int64())).as_py() < 100  # not in blocks


def test_losses_are_reported_epoch_by_epoch() -> None:
    seen: list[tuple[int, dict[str, float]]] = []
    for kind in ("ctgan", "tvae"):
        model = Sdv(config(kind))
        model.fit(
            Records.of(every_type(300).select(["level", "byte"])), Seeds(0), lambda s, v: seen.append((s, dict(v)))
        )
    assert [step for step, _ in seen] == [0, 1, 0, 1]
    assert set(seen[0][1]) == {"generator_loss", "discriminator_loss"}
    assert set(seen[2][1]) == {"loss"}
    assert all(np.isfinite(list(values.values())).all() for _, values in seen)


def test_own_constraints_hold() -> None:
    draw = np.random.default_rng(0)
    low = draw.integers(0, 100, 500)
    table = pa.table({"low": low, "high": low + draw.integers(1, 50, 500), "x": draw.normal(size=500)})
    wanted = {"class_name": "Inequality", "parameters": {"low_column_name": "low", "high_column_name": "high"}}
    rows = drawn(fitted("gaussian_copula", table, sdv_constraints=(wanted,)))
    assert pc.all(pc.less_equal(rows["low"], rows["high"])).as_py()


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ({"class_name": "Inequalty", "parameters": {}}, "Inequality"),
        ({"class_name": "Inequality", "parameters": {"low_column_name": "lvl", "high_column_name": "byte"}}, "level"),
        ({"class_name": "__loader__", "parameters": {}}, "allowed"),
    ],
)
def test_wrong_constraints_say_what_is_allowed(constraint: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        fitted("gaussian_copula", every_type(100).select(["level", "byte"]), sdv_constraints=(constraint,))
    assert "sdv_constraints[0]" in caught.value.where


def test_nothing_to_learn_and_infinity_are_errors() -> None:
    with pytest.raises(TrainingError, match="constant"):
        fitted("gaussian_copula", every_type(50).select(["same", "none"]))
    with pytest.raises(TrainingError, match="infinite"):
        fitted("gaussian_copula", pa.table({"x": [1.0, float("inf")] * 50}))


# --- what is saved ---------------------------------------------------------------------------------------------------


def of_length(thing: object, rows: int) -> list[object]:
    """Everything reachable that is as long as the table, or that lists row numbers that together are."""
    found, queue, seen = [], [thing], set()
    while queue:
        now = queue.pop()
        if id(now) in seen or isinstance(now, type) or type(now).__name__ in ("module", "function", "RandomState"):
            continue
        seen.add(id(now))
        queue.extend(gc.get_referents(now))
        if isinstance(now, list) and now and all(isinstance(part, np.ndarray) for part in now):
            found += [now] if sum(map(len, now)) == rows else []
        elif hasattr(now, "shape") or isinstance(now, (list, tuple, dict, set)):
            shape = getattr(now, "shape", None)
            lengths = (len(now),) if shape is None else tuple(shape)
            found += [now] if rows in lengths else []
    return found


@pytest.mark.parametrize("kind", ["gaussian_copula", "ctgan", "tvae", "copulagan"])
def test_saved_artefacts_hold_no_rows(kind: str, tmp_path: Path) -> None:
    table = every_type().select(["level", "flag", "year", "coded", "__class__", "day"])
    table = table.rename_columns([f"zebra {i}" for i in range(6)])
    settings = {"default_distribution": "gaussian_kde"} if kind == "gaussian_copula" else {}
    model = fitted(kind, table, **settings)
    model.save(tmp_path)
    data = (tmp_path / "synthesizer.pkl").read_bytes()
    loaded = pickle.loads(data)
    assert of_length(loaded, ROWS) == []
    assert not getattr(getattr(loaded._model, "_data_sampler", None), "_rid_by_cat_cols", [])
    assert b"zebra" not in data
    assert "é z".encode() not in data
    assert drawn(Sdv.load(tmp_path)).num_rows == 400


def test_the_leak_is_real_without_the_scrub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: from an unscrubbed CTGAN every row's categories are rebuilt, so the test above can fail."""
    monkeypatch.setattr("synth_pipeline.modalities.tabular.models.sdv.scrub", lambda *_: None)
    table = every_type().select(["level", "coded", "__class__"])
    fitted("ctgan", table).save(tmp_path)
    loaded = pickle.loads((tmp_path / "synthesizer.pkl").read_bytes())
    assert of_length(loaded, ROWS)
    layout = Layout.load(tmp_path / "layout.arrow")
    by_level = loaded._model._data_sampler._rid_by_cat_cols[0]
    infos = loaded._model._transformer._column_transform_info_list
    codes = next(info for info in infos if info.column_type == "discrete").transform.dummies
    rebuilt: list[Any] = [None] * ROWS
    for code, ids in zip(codes, by_level, strict=True):
        for i in ids:
            rebuilt[i] = layout.levels[0][int(code)].as_py()
    assert rebuilt == table["level"].to_pylist()


def test_anything_else_as_long_as_the_table_refuses_to_be_saved() -> None:
    class Keeper:
        def __init__(self) -> None:
            self.inner = {"rows": np.zeros((ROWS, 3))}

    with pytest.raises(PrivacyError, match="rows"):
        sdv_scrub.scrub(Keeper(), ROWS, 3)
    sdv_scrub.scrub(Keeper(), ROWS + 1, 3)


@pytest.mark.parametrize("rows", [2, 5, 12])
def test_tiny_tables_are_learned(rows: int) -> None:
    """As many rows as columns: nothing is taken for a leak."""
    table = every_type(40).slice(0, rows).select(["id 🙂", "level", "__class__", "day", "flag"])
    assert drawn(fitted("gaussian_copula", table), 10).num_rows == 10


def test_importing_the_adapter_imports_no_sdv_and_using_it_writes_nothing_below_home(tmp_path: Path) -> None:
    code = (
        "import sys; import synth_pipeline.modalities.tabular.models.sdv as sdv\n"
        "assert not {'sdv', 'torch'} & set(sys.modules)\n"
        "sdv._import(); assert 'sdv' in sys.modules"
    )
    root = Path(__file__).parents[3]
    env = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": ""}
    subprocess.run([sys.executable, "-c", code], cwd=root, env=env, check=True)
    assert not list(tmp_path.rglob("*sdv*"))
