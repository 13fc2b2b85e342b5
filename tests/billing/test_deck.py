"""Decks: the longest prefix, and the snapshot that a call keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.billing.deck import DurationRound, Rate, RateDeck, Tariff
from sipshop.billing.errors import BadDeck, BadTariff
from sipshop.billing.money import Rounding, RoundMode


def rate(prefix: str, *, price: int = 120_000_000, **changes: Any) -> Rate:
    terms: dict[str, Any] = {
        "prefix": prefix,
        "destination": f"to {prefix}",
        "connect_fee_nanos": 0,
        "first_s": 60,
        "first_price_nanos": price,
        "next_s": 60,
        "next_price_nanos": price,
    }
    return Rate(**(terms | changes))


def deck(*prefixes: str) -> RateDeck:
    return RateDeck("sell", "EUR", tuple(rate(prefix) for prefix in prefixes))


@pytest.mark.parametrize(
    ("e164", "prefix"),
    [
        ("4930123456", "49"),
        ("4915712345", "4915"),
        ("4915112345", "49151"),
        ("491", "49"),
        ("49", "49"),
        ("4", None),
        ("", None),
        ("33612345678", "336"),
        ("18095551234", "1809"),
        ("18105551234", "1"),
        ("22370123456", None),
    ],
)
def test_the_longest_prefix_is_the_rate(e164: str, prefix: str | None) -> None:
    tariff = deck("49", "4915", "49151", "33", "336", "1", "1809").match(e164, 0)
    assert (tariff.rate.prefix if tariff else None) == prefix


@given(
    st.sets(st.from_regex(r"[1-3][0-3]{0,6}", fullmatch=True), max_size=40),
    st.from_regex(r"[1-3][0-3]{0,9}", fullmatch=True),
)
def test_matching_agrees_with_trying_every_prefix(prefixes: set[str], e164: str) -> None:
    naive = max((prefix for prefix in prefixes if e164.startswith(prefix)), key=len, default=None)
    tariff = deck(*prefixes).match(e164, 0)
    assert (tariff.rate.prefix if tariff else None) == naive


def test_a_longer_prefix_wins_though_it_costs_more_or_is_forbidden() -> None:
    both = RateDeck("sell", "EUR", (rate("49", price=1), rate("49900", forbidden=True)))
    tariff = both.match("4990012345", 0)
    assert tariff is not None
    assert tariff.rate.forbidden


def test_a_rate_of_zero_is_a_rate() -> None:
    free = RateDeck("sell", "EUR", (rate("49", price=0),))
    assert free.match("4930123456", 0) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"prefix": ""},
        {"prefix": "+49"},
        {"prefix": "049"},
        {"prefix": "1234567890123456"},
        {"first_s": 0},
        {"next_s": 0},
        {"connect_fee_nanos": -1},
        {"first_price_nanos": -1},
        {"next_price_nanos": -1},
    ],
)
def test_a_rate_that_cannot_price_a_call_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadDeck):
        rate(**({"prefix": "49"} | changes))


def test_two_rates_of_one_prefix_are_refused() -> None:
    with pytest.raises(BadDeck, match="two rates"):
        deck("49", "49")


def test_a_deck_has_a_currency() -> None:
    with pytest.raises(BadDeck, match="not a currency"):
        RateDeck("sell", "euro", ())


@pytest.mark.parametrize(("currency", "places"), [("EUR", 2), ("XOF", 0), ("TND", 3)])
def test_a_deck_rounds_half_up_to_the_smallest_coin_unless_told_otherwise(currency: str, places: int) -> None:
    assert RateDeck("sell", currency, ()).rounding == Rounding(RoundMode.HALF_UP, places)
    exact = Rounding(RoundMode.DOWN, 6)
    assert RateDeck("sell", currency, (), rounding=exact).rounding == exact


def test_decks_are_equal_by_what_they_say_and_cannot_be_changed() -> None:
    assert deck("49", "33") == deck("49", "33")
    assert deck("49", "33") != deck("49", "34")
    with pytest.raises(AttributeError):
        deck("49").name = "other"  # type: ignore[misc]  # what must fail


@pytest.mark.parametrize(
    ("talk_ms", "ceil", "floor", "nearest"),
    [(0, 0, 0, 0), (1, 1, 0, 0), (499, 1, 0, 0), (500, 1, 0, 1), (1000, 1, 1, 1), (1001, 2, 1, 1), (1500, 2, 1, 2)],
)
def test_milliseconds_become_seconds(talk_ms: int, ceil: int, floor: int, nearest: int) -> None:
    assert DurationRound.CEIL.seconds(talk_ms) == ceil
    assert DurationRound.FLOOR.seconds(talk_ms) == floor
    assert DurationRound.NEAREST.seconds(talk_ms) == nearest


TARIFFS = st.builds(
    Tariff,
    deck=st.text(min_size=1, max_size=10),
    version=st.integers(1, 10**6),
    currency=st.sampled_from(["EUR", "XOF"]),
    rounding=st.builds(Rounding, st.sampled_from(RoundMode), st.integers(0, 6)),
    duration_round=st.sampled_from(DurationRound),
    rate=st.builds(
        Rate,
        prefix=st.from_regex(r"[1-9][0-9]{0,14}", fullmatch=True),
        destination=st.text(max_size=10),
        connect_fee_nanos=st.integers(0, 10**12),
        first_s=st.integers(1, 3600),
        first_price_nanos=st.integers(0, 10**12),
        next_s=st.integers(1, 3600),
        next_price_nanos=st.integers(0, 10**12),
        forbidden=st.booleans(),
    ),
)


@given(TARIFFS)
def test_a_tariff_survives_its_json(tariff: Tariff) -> None:
    assert Tariff.from_json(json.loads(json.dumps(tariff.to_json()))) == tariff


def test_the_json_of_a_tariff_has_decimal_strings() -> None:
    tariff = RateDeck("sell", "EUR", (rate("49", connect_fee_nanos=50_000_000),), version=3).match("4930123", 0)
    assert tariff is not None
    assert tariff.to_json() == {
        "deck": "sell",
        "version": 3,
        "currency": "EUR",
        "round": {"mode": "half_up", "places": 2},
        "duration_round": "ceil",
        "rate": {
            "prefix": "49",
            "destination": "to 49",
            "connect_fee": "0.05",
            "first_s": 60,
            "first_price": "0.12",
            "next_s": 60,
            "next_price": "0.12",
            "forbidden": False,
        },
    }


@pytest.mark.parametrize(
    "change",
    [
        {"rate": {}},
        {"rate": None},
        {"currency": "euro"},
        {"round": {"mode": "odd", "places": 2}},
        {"duration_round": 1},
    ],
)
def test_a_broken_snapshot_is_told_as_such(change: dict[str, Any]) -> None:
    tariff = deck("49").match("4930123", 0)
    assert tariff is not None
    with pytest.raises(BadTariff):
        Tariff.from_json(tariff.to_json() | change)
