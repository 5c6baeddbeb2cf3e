"""Identifiers with a form: published examples, look-alikes, hostile text."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_pipeline.privacy.detect import patterns

# test numbers that networks and processors publish
CARDS = ["4111111111111111", "4242 4242 4242 4242", "5555-5555-5555-4444", "378282246310005", "6011111111111117"]
# examples of the IBAN registry
IBANS = ["GB29NWBK60161331926819", "DE89 3704 0044 0532 0130 00", "FR1420041010050500013M02606", "NO9386011117947"]


@pytest.mark.parametrize("number", CARDS)
def test_published_card_numbers_are_cards_and_a_wrong_digit_is_not(number: str) -> None:
    assert patterns.card(number)
    changed = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert not patterns.card(changed)


@pytest.mark.parametrize("account", IBANS)
def test_published_ibans_are_ibans_and_a_wrong_digit_is_not(account: str) -> None:
    assert patterns.iban(account)
    assert not patterns.iban(account[:-1] + str((int(account[-1]) + 1) % 10))


def test_luhn_of_its_patent() -> None:
    assert patterns.luhn("79927398713")
    assert not any(patterns.luhn(f"7992739871{digit}") for digit in (0, 1, 2, 4, 5, 6, 7, 8, 9))


@pytest.mark.parametrize(
    ("number", "valid"),
    [("078-05-1120", True), ("000-12-3456", False), ("666-12-3456", False), ("900-12-3456", False),
     ("123-00-4567", False), ("123-45-0000", False)],
)  # fmt: skip
def test_social_security_rules(number: str, valid: bool) -> None:
    assert patterns.ssn(number) is valid


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("write to a.b+c@mail.example.de today", "email"),
        ("é.müller@bücher.de", "email"),
        ("card 4111 1111 1111 1111 ok", "card"),
        ("DE89 3704 0044 0532 0130 00", "iban"),
        ("ssn 078-05-1120.", "ssn"),
        ("from 10.20.30.40 port 5", "ip"),
        ("2001:db8:0:1::8a2e:370:7334", "ip"),
        ("00:1A:2b:3C:4d:5E", "mac"),
        ("see https://example.org/a?b=c", "url"),
        ("+49 30 1234567", "phone"),
        ("call (212) 555-2345 now", "phone"),
        ("card ４１１１１１１１１１１１１１１１", "card"),
        ("123e4567-e89b-12d3-a456-426614174000", "uuid"),
    ],
)
def test_finds(text: str, entity: str) -> None:
    assert entity in {found for found, _ in patterns.find(text)}
    assert patterns.holds(pa.array([text]))[0]


@pytest.mark.parametrize(
    "text",
    ["2020-01-02 12:13:14", "1.2.3", "2020-2021", "4111111111111112", "12:30:45", "999.999.999.999", "a@b", "@", "",
     "GB00NWBK60161331926819", "127.0.0.1", "0.0.0.0", "12345678901234567890123", "<=50K", "10th", "?", "Ave."],
)  # fmt: skip
def test_leaves_look_alikes(text: str) -> None:
    assert patterns.find(text) == []


def test_nulls_and_hostile_texts_are_looked_at_in_linear_time() -> None:
    odd = [None, "", "\0", "a\0b@c.de\0", "\u202eed.c@a", "😀" * 1000, "@" * 100_000, "1" * 1_000_000]
    huge = ["a.b@" * 250_000, "+1 " * 300_000, "1:" * 300_000, "AB12 " * 200_000, "x" * 999_990 + " a@b.org"]
    values = pa.array(odd + huge)
    began = time.perf_counter()
    found = patterns.holds(values)
    assert time.perf_counter() - began < 20
    assert found[3]
    assert found[-1]
    assert not found[[0, 1, 2, 5, 6, 7]].any()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=60)), max_size=20))
def test_gate_lets_every_hit_through(texts: list[str | None]) -> None:
    values = pa.array(texts, pa.string())
    gate = patterns.gate(values)
    hits = np.array([bool(text and patterns.find(text)) for text in texts], bool)
    assert not (hits & ~gate).any()


def test_cards_among_numbers() -> None:
    numbers = np.array([5, 4111111111111111, 4111111111111112, 10**15, -4111111111111111])
    assert patterns.cards_among(numbers).tolist() == [False, True, False, False, False]
