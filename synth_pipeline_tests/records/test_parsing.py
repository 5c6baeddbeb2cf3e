"""Texts as values: the kinds they are found to be, and that exact, lenient and counted readings agree."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_pipeline.records.inference import Facts, resolve
from synth_pipeline.records.parsing import ISO, How, Kind, classify, count_exact, exact, lenient, moment, rounded
from synth_pipeline.records.sources.base import Reading


def inferred(texts: list[str | None], reading: Reading = Reading.ANY) -> tuple[How, list[str]]:
    facts = Facts()
    facts.kinds.add(classify(pa.array(texts, pa.string())))
    hows, notes = resolve({"x": facts}, {"x": reading}, {})
    return hows["x"], notes


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "-2", "0"], Kind.INT),
        (["1", None], Kind.INT),
        (["9007199254740993"], Kind.INT),
        (["1", "2.5"], Kind.FLOAT),
        (["1e5", ".5", "5.", "-1.5E-3"], Kind.FLOAT),
        (["inf", "-Infinity", "NaN", "1"], Kind.FLOAT),
        (["01", "2"], Kind.TEXT),
        (["-007"], Kind.TEXT),
        (["0x1F"], Kind.TEXT),
        (["+49151234"], Kind.TEXT),
        (["1,5"], Kind.TEXT),
        (["1_000"], Kind.TEXT),
        (["12345678901234567890"], Kind.TEXT),
        (["9007199254740993", "1.5"], Kind.TEXT),
        (["true", "False", "TRUE"], Kind.BOOL),
        (["yes", "no"], Kind.TEXT),
        (["2024-02-29"], Kind.DATE),
        (["2023-02-29"], Kind.TEXT),
        (["2024-02-29 10:30", "2024-02-29T10:30:15.123456"], Kind.DATETIME),
        (["2024-02-29", "2024-02-29 10:30"], Kind.DATETIME),
        (["2024-02-29T10:30:00Z", "2024-02-29T10:30:00+02:00"], Kind.INSTANT),
        (["2024-02-29T10:30:00Z", "2024-02-29T10:30:00"], Kind.TEXT),
        (["31/12/2024"], Kind.DATE),
        (["12/31/2024 11:59 PM"], Kind.DATETIME),
        (["5 Mar 2024", "05-Mar-2024"], Kind.DATE),
        (["March 5, 2024"], Kind.DATE),
        (["05/03/2024", "2024-03-05"], Kind.DATE),
        (["1/2/24"], Kind.TEXT),
        (["192.168.0.1"], Kind.TEXT),
        (["1.2.3"], Kind.TEXT),
        ([], Kind.TEXT),
        ([None], Kind.TEXT),
        ([""], Kind.TEXT),
    ],
)
def test_kinds(texts: list[str | None], kind: Kind) -> None:
    assert inferred(texts)[0].kind is kind


def test_one_unambiguous_date_settles_the_order_of_all() -> None:
    how, notes = inferred(["03/04/2024"] * 50 + ["25/04/2024"])
    assert not how.month_first
    assert not notes
    how, notes = inferred(["03/04/2024"] * 50 + ["04/25/2024"])
    assert how.month_first
    assert not notes


def test_what_earlier_snapshots_settled_wins_over_other_columns() -> None:
    open_, settled = Facts(), Facts()
    open_.kinds.add(classify(pa.array(["03/04/2024", "2024-01-01"])))
    settled.kinds.add(classify(pa.array(["04/25/2024"])))
    for order in (True, False):
        hows, notes = resolve({"a": open_, "b": settled}, dict.fromkeys("ab", Reading.ANY), {}, {"a": order})
        assert hows["a"].month_first is order
        assert not any("told apart" in note for note in notes)


def test_another_column_settles_an_ambiguous_one() -> None:
    open_, settled = Facts(), Facts()
    open_.kinds.add(classify(pa.array(["03/04/2024"])))
    settled.kinds.add(classify(pa.array(["04/25/2024"])))
    hows, notes = resolve({"a": open_, "b": settled}, dict.fromkeys("ab", Reading.ANY), {})
    assert hows["a"].month_first
    assert "as in another column" in notes[0]
    hows, notes = resolve({"a": open_}, {"a": Reading.ANY}, {})
    assert not hows["a"].month_first
    assert "by convention" in notes[0]


def test_json_texts_are_dates_or_texts_but_never_numbers() -> None:
    assert inferred(["1", "2"], Reading.DATES)[0].kind is Kind.TEXT
    assert inferred(["2024-01-01"], Reading.DATES)[0].kind is Kind.DATE


def test_a_date_read_in_every_way_is_the_same() -> None:
    for text in ("2024-03-05", "05.03.2024", "05/03/2024", "5 March 2024", "March 5, 2024", "2024/03/05"):
        assert moment(text, month_first=False) == dt.datetime(2024, 3, 5)
    assert moment("05/03/2024", month_first=True) == dt.datetime(2024, 5, 3)
    assert moment("2024-03-05T10:00:00.123456789+02:00", month_first=False) == dt.datetime(2024, 3, 5, 8, 0, 0, 123456)
    assert moment("03/05/2024 12:05 AM", month_first=True) == dt.datetime(2024, 3, 5, 0, 5)


DATES = st.datetimes(dt.datetime(1000, 1, 1), dt.datetime(2999, 1, 1)).map(lambda d: d.replace(microsecond=0))


@given(
    st.lists(DATES, min_size=1, max_size=40), st.sampled_from(["%Y-%m-%d %H:%M:%S", "%d.%m.%Y", "%d/%m/%Y %H:%M:%S"])
)
def test_written_dates_are_read_back(dates: list[dt.datetime], form: str) -> None:
    dates = [d.replace(hour=0, minute=0, second=0) for d in dates] if "%H" not in form else dates
    # strftime does not pad years below 1000 everywhere: those are outside the range
    texts = pa.array([date.strftime(form) for date in dates])
    how, _ = inferred(texts.to_pylist())
    assert how.kind in (Kind.DATE, Kind.DATETIME)
    if not how.month_first:  # all days may be 12 or less
        values = lenient(texts, how).cast(pa.timestamp("us"))
        assert values.to_pylist() == dates


@given(st.lists(st.integers(-(10**18) + 1, 10**18 - 1) | st.none(), min_size=1, max_size=50))
def test_whole_numbers_keep_every_digit(numbers: list[int | None]) -> None:
    texts = pa.array([None if n is None else str(n) for n in numbers], pa.string())
    how, _ = inferred(texts.to_pylist())
    if any(n is not None for n in numbers):
        assert how.kind is Kind.INT
        assert lenient(texts, how).to_pylist() == numbers


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=50))
def test_decimals_are_read_back(numbers: list[float]) -> None:
    texts = pa.array([repr(n) for n in numbers])
    how, _ = inferred(texts.to_pylist())
    assert how.kind is Kind.FLOAT
    assert lenient(texts, how).to_pylist() == numbers


TEXTS = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.from_regex(r"[+-]?[0-9]{1,20}(\.[0-9]*)?", fullmatch=True),
        st.sampled_from(
            [" 5", "true", "007", "2024-01-05", "5/1/2024", "0x1", "inf", "1e400", "2024-01-05T10:00Z", ""]
        ),
    ),
    max_size=8,
)


@given(TEXTS)
def test_what_is_inferred_can_be_read_without_loss(texts: list[str]) -> None:
    how, _ = inferred(list(texts))
    array = pa.array(texts, pa.string())
    values = lenient(array, how)
    assert values.null_count == 0
    assert values.type == how.type
    whole = exact(array, how)
    assert whole is None or whole.equals(values)


@given(TEXTS, st.sampled_from([How(Kind.INT), How(Kind.FLOAT), How(Kind.BOOL), How(Kind.DATE, (ISO,)), How()]))
def test_what_exact_reads_is_counted_as_classify_would(texts: list[str], how: How) -> None:
    array = pa.array(texts, pa.string())
    values = exact(array, how)
    if values is None or how.kind is Kind.TEXT:
        return
    counted, found = count_exact(values, how), classify(array)
    assert sum(counted.counts.values()) == sum(found.counts.values())
    numbers = {"int", "long", "float"}
    for kinds in (counted, found):
        present = {str(kind) for kind, count in kinds.counts.items() if count}
        assert present <= (numbers if how.kind in (Kind.INT, Kind.FLOAT) else {how.kind.value}) | {"text"}


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("12345678901234567.89", 1),
        ("-9999999999999999.9", 1),
        ("9007199254740993", 1),
        ("9007199254740992.0", 0),
        ("1234567890.1234567891", 1),
        ("1234567890.5000000000", 0),
        ("0000000000000000000.5", 0),
        ("0.00000000000000000012", 0),
        ("123456789012345678e-3", 1),
        ("no number 123456789012345678", 0),
        ("inf", 0),
    ],
)
def test_lost_digits_are_counted(text: str, lost: int) -> None:
    texts = pa.array([text, None, "1.5"])
    assert rounded(texts, lenient(texts, How(Kind.FLOAT))) == lost


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_a_float_written_by_a_program_loses_nothing(numbers: list[float]) -> None:
    assert rounded(pa.array([repr(number) for number in numbers], pa.string()), pa.array(numbers, pa.float64())) == 0
