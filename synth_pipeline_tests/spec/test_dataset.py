"""The spec: what decides a result is in its stage's slice, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from synth_pipeline.spec.dataset import SLICES, DatasetSpec

BASE: dict[str, Any] = {"name": "adult", "source": {"type": "file", "path": "adult.csv"}}


def _changed(change: dict[str, Any]) -> set[str]:
    """The stages whose slice a change of the YAML moves."""
    before, after = DatasetSpec.model_validate(BASE), DatasetSpec.model_validate({**BASE, **change})
    return {stage for stage in SLICES if before.slice(stage) != after.slice(stage)}


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ({"source": {"type": "file", "path": "elsewhere.csv"}}, set()),
        ({"schedule": {"cron": "0 3 * * *"}}, set()),
        ({"owners": ["team:data"]}, set()),
        ({"engine": {"workers": 1}}, set()),
        ({"description": "people"}, {"export"}),
        ({"validation": {"policy": "public"}}, {"validate"}),
        ({"generation": {"rows": 10}}, {"generate", "validate"}),
        ({"generator": {"type": "trees", "bins": 32}}, {"train"}),
        ({"privacy": {"rare_levels": 9}}, {"protect"}),
        ({"split": {"fraction": 0.4}}, {"ingest"}),
        ({"columns": {"a": {"description": "only words"}}}, {"ingest", "export"}),
    ],
)
def test_a_change_reaches_only_the_stages_it_decides(change: dict[str, Any], stages: set[str]) -> None:
    assert _changed(change) == stages


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Has Spaces"},
        {"unknown": 1},
        {"generator": {"type": "tress"}},
        {"split": {"fraction": 0.3, "column": "part", "values": ["test"]}},
        {"split": {"column": "part"}},
        {"source": {"type": "file", "path": "{partition}.csv"}},
        {"partitions": {"type": "static", "keys": ["a"]}},
        {"partitions": {"type": "static", "keys": ["../a"], "column": "c"}},
        {"generation": {"rows": 5, "ratio": 2}},
        {"generation": {"conditions": {"a": 1}, "balance": {"a": "uniform"}}},
        {"owners": ["nobody"]},
        {"seed": -1},
        {"source": {"type": "sql", "url": "sqlite:///x.db"}},
        {"privacy": {"columns": {"a": {"type": "generalise", "width": 5, "prefix": 2}}}},
        {"constraints": [{"type": "range", "column": "a"}]},
    ],
)
def test_wrong_specs_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DatasetSpec.model_validate({**BASE, **wrong})


def test_the_editor_schema_describes_every_field() -> None:
    schema = DatasetSpec.model_json_schema()
    missing = [name for name, field in schema["properties"].items() if "description" not in field]
    assert missing == []
    assert {"trees", "ctgan"} <= set(schema["properties"]["generator"]["discriminator"]["mapping"])
