"""SipHash over columns: the reference vectors, whatever offset, length or missing value."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from synth_pipeline.records.hashing import siphash, sketched

KEY = bytes(range(16))
# from the reference implementation: vectors_sip64, messages 00, 00 01, …, read little-endian
VECTORS = {
    0: 0x726FDB47DD0E0E31,
    1: 0x74F839C593DC67FD,
    2: 0x0D6C8009D9A94F5A,
    8: 0x93F5F5799A932462,
    15: 0xA129CA6149BE45E5,
    63: 0x958A324CEB064572,
}


def test_reference_vectors() -> None:
    messages = [bytes(range(size)) for size in range(64)]
    found = siphash(pa.array(messages, pa.binary()), KEY)
    assert {size: int(found[size]) for size in VECTORS} == VECTORS


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(0, 30))
def test_each_value_alone_gives_the_same(values: list[bytes], start: int) -> None:
    whole = siphash(pa.array(values, pa.binary()), KEY)
    alone = [int(siphash(pa.array([value], pa.binary()), KEY)[0]) for value in values]
    assert [int(one) for one in whole] == alone
    assert np.array_equal(siphash(pa.array(values, pa.binary()).slice(start), KEY), whole[start:])


@given(st.lists(st.text(max_size=30), max_size=30))
def test_sketch_hashes_tell_values_apart_and_nothing_else(values: list[str]) -> None:
    found = [int(one) for one in sketched(pa.array(values, pa.string()))]
    assert len(set(found)) == len(set(values))
    assert [int(sketched(pa.array([value]))[0]) for value in values] == found


def test_one_very_long_value_does_not_hold_up_the_rest() -> None:
    values = ["x" * 20_000_000, "x" * 20_000_001, "short", "x" * 512, "x" * 513]
    for hashes in (siphash(pa.array(values), KEY), sketched(pa.array(values))):
        assert len(set(hashes.tolist())) == 5
    assert siphash(pa.array(values), KEY)[2] == siphash(pa.array(["short"]), KEY)[0]


def test_hashes_of_similar_values_spread_evenly() -> None:
    for hashes in (
        siphash(pa.array([f"P{i}" for i in range(100_000)]), KEY),
        sketched(pa.array([f"P{i}" for i in range(100_000)])),
    ):
        buckets = np.bincount((hashes >> np.uint64(54)).astype(int), minlength=1024)
        chi = float(((buckets - buckets.mean()) ** 2 / buckets.mean()).sum())
        assert abs(chi - 1023) < 5 * (2 * 1023) ** 0.5
