"""Great Expectations on a bounded sample: the YAML's and a default suite; counts and shares come back, never values."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from synth_pipeline.errors import ContractError, SpecError, did_you_mean
from synth_pipeline.evaluation.sample import draw
from synth_pipeline.records.records import Records
from synth_pipeline.records.schema import Column, Role, columns
from synth_pipeline.seeds import Seeds
from synth_pipeline.spec.publication import Expectation

if TYPE_CHECKING:
    import pandas as pd

SAFE = ("element_count", "missing_count", "missing_percent", "unexpected_count", "unexpected_percent")
"""What of a result is passed on: the rest (observed values, partial lists, exceptions) can hold rows' content."""
COUNTED = ("expect_table_row_count", "expect_table_column_count", "expect_column_unique_value_count")
"""Expectations whose observed value is a count."""
MAX_COLUMNS = 60
"""Columns that the default suite looks into; the schema's own checks cover the others."""


def check_expectations(
    records: Records,
    expectations: tuple[Expectation, ...],
    *,
    sample: int,
    seeds: Seeds,
    inferred: bool = True,
    split: str | None = None,
) -> list[dict[str, Any]]:
    """Runs the YAML's expectations, after the default suite if `inferred`, on at most `sample` seeded random rows.

    Great Expectations (seconds to import) is loaded only when there is something to run.

    Returns:
        One dict per expectation: name, passed, blocking, note, observed (counts and shares only), rows (looked at).

    Raises:
        SpecError: an expectation that does not exist, or that Great Expectations does not understand.
    """
    suite = (_inferred(columns(records.schema())) if inferred else ()) + expectations
    if not suite:
        return []
    rows = records.rows(split)
    frame = _pandas(draw(records, split, sample, seeds.child("expectations")).replace_schema_metadata(None))
    findings = _run(frame, suite)
    seen = f"{len(frame):,} of {rows:,} rows" if len(frame) < rows else f"all {rows:,} rows"
    names: dict[str, int] = {}
    checks = []
    for place, (expectation, (passed, note, observed)) in enumerate(zip(suite, findings, strict=True)):
        name = _name(expectation)
        names[name] = names.get(name, 0) + 1
        default = inferred and place < len(suite) - len(expectations)
        checks.append(
            {
                "name": name if names[name] == 1 else f"{name} #{names[name]}",
                "passed": passed,
                "blocking": expectation.blocking,
                "note": "; ".join(filter(None, (note, seen, "default suite" if default else ""))),
                "observed": observed,
                "rows": len(frame),
            }
        )
    return checks


def _inferred(cols: list[Column]) -> tuple[Expectation, ...]:
    """The default suite: structure alone, since limits learned from values would be private statistics themselves."""
    some = cols[:MAX_COLUMNS]
    suite = [
        Expectation(type="expect_table_row_count_to_be_between", kwargs={"min_value": 1}),
        Expectation(type="expect_table_columns_to_match_ordered_list", kwargs={"column_list": [c.name for c in cols]}),
    ]
    required = [column.name for column in some if not column.nullable]
    suite += [Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": name}) for name in required]
    keys = [column.name for column in some if Role.PRIMARY_KEY in column.roles]
    if len(keys) == 1:
        suite.append(Expectation(type="expect_column_values_to_be_unique", kwargs={"column": keys[0]}))
    elif keys:
        suite.append(Expectation(type="expect_compound_columns_to_be_unique", kwargs={"column_list": keys}))
    for column in some:
        if pa.types.is_floating(column.type):
            edge = float(np.finfo(np.float64).max)
            kwargs = {"column": column.name, "min_value": -edge, "max_value": edge}
            suite.append(Expectation(type="expect_column_values_to_be_between", kwargs=kwargs))
    return tuple(suite)


def _pandas(table: pa.Table) -> pd.DataFrame:
    import pandas as pd

    def mapped(arrow: pa.DataType) -> Any:  # an integer column with gaps stays integer: floats would round keys
        return pd.Int64Dtype() if pa.types.is_signed_integer(arrow) else None

    gaps = [name for name in table.column_names if table.column(name).null_count]
    whole = table.to_pandas(date_as_object=False)
    if gaps:
        held = table.select(gaps).to_pandas(date_as_object=False, types_mapper=mapped)
        whole[gaps] = held[gaps]
    return whole


Finding = tuple[bool, str, dict[str, Any]]


def _run(frame: pd.DataFrame, suite: tuple[Expectation, ...]) -> list[Finding]:
    with _quiet():
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig
        from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        definition = context.data_sources.add_pandas("rows").add_dataframe_asset("data")
        batches = definition.add_batch_definition_whole_dataframe("sample")
        for expectation in suite:
            _understood(expectation)
        # given at once: adding them one by one silently replaces those of the same type and column
        configurations = [
            ExpectationConfiguration(type=expectation.type, kwargs=dict(expectation.kwargs), meta={"place": place})
            for place, expectation in enumerate(suite)
        ]
        contract = gx.ExpectationSuite(name="contract", expectations=[c.to_domain_obj() for c in configurations])
        validation = context.validation_definitions.add(
            gx.ValidationDefinition(name="contract", data=batches, suite=context.suites.add(contract))
        )
        try:
            results = validation.run(
                batch_parameters={"dataframe": frame},
                result_format={"result_format": "SUMMARY", "exclude_unexpected_values": True},
            ).results
        except Exception as error:  # noqa: BLE001 - its message may quote values
            raise ContractError(f"Great Expectations failed ({type(error).__name__})", where="contract") from None
    found: list[Finding] = [(False, "error: it was not run", {})] * len(suite)
    for result in results:  # GX groups them by column
        place = result.expectation_config.meta["place"]  # type: ignore[union-attr]
        found[place] = _judge(suite[place], result, frame)
    return found


def _judge(expectation: Expectation, result: Any, frame: pd.DataFrame) -> Finding:
    """GX passes whatever it has no value for; here that is an error, and so is an exception: never a pass."""
    raised = result.exception_info or {}
    if raised.get("raised_exception") or any(isinstance(note, dict) for note in raised.values()):
        absent = [name for name in _columns(expectation) if name not in frame.columns]
        why = f"no column {', '.join(absent)}" if absent else "Great Expectations could not compute it"
        return False, f"error: {why}", {}
    about = _columns(expectation)
    if not len(frame) and not expectation.type.startswith("expect_table_"):
        return False, "error: there is no row to look at", {}
    hollow = [name for name in about if name in frame.columns and frame[name].isna().all()]
    if hollow and expectation.type not in ("expect_column_to_exist", "expect_column_values_to_be_null"):
        return False, f"error: {', '.join(hollow)} holds no value to look at", {}
    note = result.result or {}
    observed = {key: note[key] for key in SAFE if isinstance(note.get(key), int | float)}
    if expectation.type.startswith(COUNTED) and isinstance(note.get("observed_value"), int | np.integer):
        observed["observed_value"] = int(note["observed_value"])
    return bool(result.success), _told(bool(result.success), observed), observed


def _told(success: bool, observed: dict[str, Any]) -> str:
    count = observed.get("unexpected_count")
    if count is None:
        return "kept" if success else "not kept"
    return f"{count:,} unexpected ({observed.get('unexpected_percent') or 0:.2f} %)" if count else "kept by all"


def _understood(expectation: Expectation) -> None:
    """Says what is wrong with an expectation in the YAML's own words, before anything runs."""
    from great_expectations.exceptions.exceptions import ExpectationNotFoundError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )

    where = f"contract: {expectation.type}"
    try:
        kind = get_expectation_impl(expectation.type)
    except ExpectationNotFoundError:
        known = [name for name in list_registered_expectation_implementations() if name.startswith("expect_")]
        raise SpecError(
            "there is no such expectation", where=where, fix=did_you_mean(expectation.type, known)
        ) from None
    known = [name for name in kind.__fields__ if name not in ("id", "rendered_content", "batch_id")]
    for name in expectation.kwargs:
        if name not in known:
            raise SpecError(f'it takes no "{name}"', where=where, fix=did_you_mean(name, known))
    try:
        ExpectationConfiguration(type=expectation.type, kwargs=dict(expectation.kwargs)).to_domain_obj()
    except Exception as error:  # noqa: BLE001 - GX raises its own pydantic's errors and others
        problems: list[Any] = getattr(error, "errors", list)()
        told = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in problems) or type(error).__name__
        raise SpecError(f"its arguments are wrong: {told}", where=where) from None


def _columns(expectation: Expectation) -> list[str]:
    kwargs = expectation.kwargs
    single = [kwargs[key] for key in ("column", "column_A", "column_B") if isinstance(kwargs.get(key), str)]
    return single + [
        name for name in _listed(kwargs.get("column_list")) if not expectation.type.startswith("expect_table_")
    ]


def _listed(value: Any) -> Iterable[str]:
    return [str(item) for item in value] if isinstance(value, list | tuple) else []


def _name(expectation: Expectation) -> str:
    about = ", ".join(name if len(name) <= 60 else name[:57] + "…" for name in _columns(expectation))
    return f"{expectation.type}({about})" if about else expectation.type


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """GX logs and warns with what it looks at; older versions also phoned home."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logger = logging.getLogger("great_expectations")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
