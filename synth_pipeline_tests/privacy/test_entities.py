"""Surrogates: different for different indexes, of their kind, and only from ranges that belong to nobody."""

from __future__ import annotations

import ipaddress
import re

import numpy as np
import pyarrow as pa
import pytest

from synth_pipeline.errors import SpecError
from synth_pipeline.privacy.detect import patterns
from synth_pipeline.privacy.transform.entities import KNOWN, kind, surrogates


def _some(entity: str, beyond: int = 1) -> list[str]:
    size = kind(entity).capacity * beyond
    step = max(1, size // 4000)
    return surrogates(entity, np.arange(0, min(size, step * 4000), step, dtype=np.uint64)).to_pylist()


@pytest.mark.parametrize("entity", [*KNOWN, "city", "company"])
def test_different_indexes_give_different_surrogates(entity: str) -> None:
    assert len(set(_some(entity))) == len(_some(entity))
    more = _some(entity, 3)
    assert len(set(more)) == len(more)


def test_reserved_ranges() -> None:
    assert all(re.fullmatch(r"[\w.]+@example\.(com|org|net)", value) for value in _some("email"))
    assert all(re.fullmatch(r"https://example\.(com|org|net)/[\w.]+", value) for value in _some("url"))
    assert all(re.fullmatch(r"\+1-[2-9]\d\d-555-01\d\d", value) for value in _some("phone"))
    for value in _some("ssn"):
        area, group, serial = value.split("-")
        assert area[0] == "9"
        assert 1 <= int(group) <= 49, "groups from 50 are taxpayers' numbers"
        assert serial != "0000"
        assert not patterns.ssn(value)
    assert all(
        patterns.luhn(value) and value.startswith("9999") and not patterns.card(value) for value in _some("card")
    )
    assert all(patterns.iban(value) and value.startswith("XX") for value in _some("iban"))
    assert all(int(value[:2], 16) & 3 == 2 for value in _some("mac"))
    documentation = [ipaddress.ip_network(n) for n in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]
    for value in surrogates("ip", np.arange(kind("ip").common or 0, dtype=np.uint64)).to_pylist():
        assert any(ipaddress.ip_address(value) in network for network in documentation)
    assert all(ipaddress.ip_address(value).is_reserved for value in _some("ip")[1:])
    long = surrogates("ip", np.arange(50, dtype=np.uint64), form=":").to_pylist()
    assert all(ipaddress.ip_address(value) in ipaddress.ip_network("2001:db8::/32") for value in long)


def test_written_forms_are_followed() -> None:
    index = np.arange(3, dtype=np.uint64)
    assert surrogates("phone", index, form="(000) 000-0000")[0].as_py() == "(200) 555-0100"
    assert surrogates("phone", index, form="00")[0].as_py() == "+1-200-555-0100"
    assert surrogates("ssn", index, form="000000000")[0].as_py() == "900010001"
    assert re.fullmatch(r"\d{4} \d{4} \d{4} \d{4}", surrogates("card", index, form="0000 0000 0000 0000")[0].as_py())
    assert re.fullmatch(r"XX\d\d( \d{4}){4} \d\d", surrogates("iban", index, form=" ")[0].as_py())
    assert re.fullmatch(r"02(-[0-9a-f]{2}){5}", surrogates("mac", index, form="-")[0].as_py())


def test_locales_and_other_providers() -> None:
    german = surrogates("person", np.arange(50, dtype=np.uint64), "de_DE")
    assert len(german.unique()) == 50
    assert german.type == pa.large_string()
    assert len(surrogates("job", np.arange(20, dtype=np.uint64)).unique()) == 20
    with pytest.raises(SpecError, match=r'did you mean "email"'):
        kind("emial")
    with pytest.raises(SpecError, match="locale"):
        kind("person", "xx_XX")
