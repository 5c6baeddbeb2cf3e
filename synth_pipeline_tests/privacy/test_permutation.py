"""Keyed bijections: injective, without fixed points, shape and type kept, a function of key and value alone."""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_pipeline.privacy.transform.hashing import fingerprints, subkey, tokens
from synth_pipeline.privacy.transform.permutation import permute, pseudonyms

KEY, OTHER = subkey(b"k" * 32, "a"), subkey(b"k" * 32, "b")


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 5000), st.binary(min_size=32, max_size=32), st.booleans())
def test_permutes_any_range(size: int, key: bytes, derange: bool) -> None:
    numbers = np.arange(size, dtype=np.uint64)
    moved = permute(numbers, size, key, derange=derange)
    assert sorted(moved) == list(range(size))
    if derange:
        assert not (moved == numbers).any()


def test_permutes_large_ranges_without_meeting() -> None:
    for size in (2**40 + 12345, 2**60, 10**18):
        numbers = np.arange(200_000, dtype=np.uint64)
        moved = permute(numbers, size, KEY)
        assert len(np.unique(moved)) == len(numbers)
        assert (moved < size).all()
        # spread over the whole range: about as many in each quarter
        assert np.bincount((moved // np.uint64(-(-size // 4))).astype(int), minlength=4).min() > 48_000


text = st.one_of(
    st.none(),
    st.text(max_size=80),
    st.from_regex(r"[A-Z]{1,2}-[0-9]{1,6}", fullmatch=True),
    st.uuids().map(str),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(text, min_size=1, max_size=40))
def test_texts_keep_shape_and_never_meet(values: list[str | None]) -> None:
    column = pa.array(values, pa.string())
    made = pseudonyms(column, KEY)
    assert made.type == pa.string()
    assert made.null_count == column.null_count
    pairs = {a: b for a, b in zip(values, made.to_pylist(), strict=True) if a is not None}
    assert len(set(pairs.values())) == len(pairs)
    assert all(a != b for a, b in pairs.items())
    for a, b in pairs.items():
        if re.fullmatch(r"[A-Z]{1,2}-[0-9]{1,6}", a):
            assert re.sub(r"\d", "0", re.sub("[A-Z]", "A", a)) == re.sub(r"\d", "0", re.sub("[A-Z]", "A", b))
    # a function of key and value alone: order, batches and width of the type do not matter
    again = pseudonyms(pa.array(values[::-1], pa.large_string()), KEY).to_pylist()[::-1]
    assert again == made.to_pylist()
    assert pseudonyms(column.slice(len(values) // 2), KEY).to_pylist() == made.to_pylist()[len(values) // 2 :]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-12, 12), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=50))
def test_integers_keep_digits_and_sign(values: list[int | None]) -> None:
    made = pseudonyms(pa.array(values, pa.int64()), KEY)
    pairs = {a: b for a, b in zip(values, made.to_pylist(), strict=True) if a is not None}
    assert len(set(pairs.values())) == len(pairs)
    for a, b in pairs.items():
        assert a != b
        assert len(str(abs(a))) == len(str(abs(b)))
        assert (a < 0) == (b < 0)


@pytest.mark.parametrize("kind", [pa.int8(), pa.int16(), pa.uint8(), pa.int32(), pa.uint32(), pa.float64()])
def test_small_types_are_kept(kind: pa.DataType) -> None:
    values = pa.array(list(range(120)), kind)
    made = pseudonyms(values, KEY)
    assert made.type == kind
    assert len(made.unique()) == 120


def test_keys_matter_and_hexadecimal_stays_so() -> None:
    ids = pa.array([str(uuid.UUID(int=i * 7919**6)) for i in range(2000)])
    one, two = pseudonyms(ids, KEY), pseudonyms(ids, OTHER)
    assert not set(one.to_pylist()) & set(two.to_pylist())
    assert all(uuid.UUID(value) for value in one.to_pylist())
    assert len(one.unique()) == 2000


def test_tokens_are_hmac_sha256() -> None:
    secret = b"s" * 32
    made = tokens(pa.array(["a", None, "é", "a"]), secret, 16)
    expected = [hmac.new(secret, v.encode(), hashlib.sha256).hexdigest()[:16] for v in ("a", "é")]
    assert made.to_pylist() == [expected[0], None, expected[1], expected[0]]


def test_fingerprints_are_by_value() -> None:
    long = "x" * 1_000_000
    a = fingerprints(pa.array(["1", None, "b", long, "\0", "😀"]), KEY)
    b = fingerprints(pa.array(["1", None, "b", long, "\0", "😀"], pa.large_string()).dictionary_encode(), KEY)
    assert (a == b).all()
    assert a[1] == 0
    assert len(set(a.tolist())) == 6
    assert (fingerprints(pa.array([1, 2], pa.int8()), KEY) == fingerprints(pa.array([1, 2], pa.int64()), KEY)).all()
    many = pa.array(["a", "b", None] * 3000)
    assert (fingerprints(many, KEY)[:3] == fingerprints(many.slice(0, 3), KEY)).all()
