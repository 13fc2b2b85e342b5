"""Our prices against prices that are worked out another way, over thousands of decks with everything in them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipshop.billing.calendar import Calendar, Window
from sipshop.billing.deck import Extras, Rate, RateDeck, Tariff, WindowPolicy
from sipshop.billing.money import Rounding, parse_amount
from sipshop.billing.rating import affordable_s, cost, cut_off_s, explain, first_charged_s, most_micros
from tests.billing.decks import NIGHTS, NUMBER, decks
from tests.billing.reference import Priced

TALK_MS = st.integers(0, 2_000) | st.integers(0, 300_000)


@settings(max_examples=400, deadline=None)
@given(decks(), TALK_MS)
def test_a_call_costs_what_the_slow_way_says(made: tuple[RateDeck, int], talk_ms: int) -> None:
    deck, at_ms = made
    tariff = deck.match(NUMBER, at_ms)
    assert tariff is not None
    slow = Priced(deck, NUMBER, at_ms, talk_ms)
    ours = cost(tariff, at_ms, talk_ms)
    assert (ours.amount.micros, ours.billed_s) == (slow.amount_micros, slow.billed_s)
    assert parse_amount(explain(ours).split()[-1]) == ours.amount.micros


@settings(max_examples=150, deadline=None)
@given(decks(), TALK_MS, TALK_MS)
def test_a_longer_call_never_costs_less(made: tuple[RateDeck, int], one_ms: int, other_ms: int) -> None:
    deck, at_ms = made
    tariff = deck.match(NUMBER, at_ms)
    assert tariff is not None
    shorter, longer = (cost(tariff, at_ms, talk_ms) for talk_ms in sorted((one_ms, other_ms)))
    assert shorter.amount <= longer.amount
    assert shorter.billed_s <= longer.billed_s


@settings(max_examples=150, deadline=None)
@given(decks(), st.just(0) | st.integers(0, 3_000_000))
def test_funds_pay_for_what_they_grant_and_for_no_more(made: tuple[RateDeck, int], funds: int) -> None:
    deck, at_ms = made
    tariff = deck.match(NUMBER, at_ms)
    assert tariff is not None

    def price(seconds: int) -> int:
        return cost(tariff, at_ms, seconds * 1000).amount.micros

    granted_s = affordable_s(tariff, at_ms, funds)
    first_s, end_s = first_charged_s(tariff, at_ms), cut_off_s(tariff, at_ms)
    if granted_s is None:
        assert end_s is None
        assert price(10**8) <= funds
    elif granted_s == 0 and price(first_s) > funds:
        assert all(price(seconds) == 0 for seconds in range(first_s))
    else:
        assert price(granted_s) <= funds
        assert granted_s == end_s or price(granted_s + 1) > funds


@settings(max_examples=150, deadline=None)
@given(decks())
def test_a_maximum_that_ends_calls_ends_them_before_more_is_due(made: tuple[RateDeck, int]) -> None:
    deck, at_ms = made
    tariff = deck.match(NUMBER, at_ms)
    assert tariff is not None
    end_s = cut_off_s(tariff, at_ms)
    if end_s is not None and end_s < 4_000:
        within, beyond = (Priced(deck, NUMBER, at_ms, seconds * 1000) for seconds in (end_s, end_s + 1))
        assert not (end_s and within.ends_call)
        assert beyond.ends_call


@settings(max_examples=150, deadline=None)
@given(decks(), st.integers(0, 3_600_000), TALK_MS)
def test_what_is_held_before_the_answer_is_enough_whenever_it_comes(
    made: tuple[RateDeck, int], rings_ms: int, talk_ms: int
) -> None:
    deck, at_ms = made
    tariff = deck.match(NUMBER, at_ms)
    assert tariff is not None
    assert cost(tariff, at_ms + rings_ms, talk_ms).amount.micros <= most_micros(tariff, at_ms, talk_ms)


@settings(max_examples=150, deadline=None)
@given(decks())
def test_a_snapshot_survives_its_json(made: tuple[RateDeck, int]) -> None:
    deck, at_ms = made
    tariff = deck.match(NUMBER, at_ms)
    assert tariff is not None
    assert Tariff.from_json(tariff.to_json()) == tariff


PER_SECOND = st.integers(0, 1000).map(lambda micros: micros * 60_000)  # nano-units a minute: whole micro-units a second


def by_the_second(price_nanos: int, **more: Any) -> Rate:
    return Rate(
        prefix="49",
        destination="any",
        connect_fee_nanos=0,
        first_s=1,
        first_price_nanos=price_nanos,
        next_s=1,
        next_price_nanos=price_nanos,
        extras=Extras(**more),
    )


@pytest.mark.parametrize(("zone", "night"), NIGHTS)
@settings(max_examples=40, deadline=None)
@given(PER_SECOND, PER_SECOND, st.integers(0, 6 * 3600), st.integers(1, 4 * 3600), st.integers(0, 4 * 3600))
def test_a_call_over_an_edge_costs_the_sum_of_its_parts(
    zone: str, night: str, price: int, dearer: int, after_s: int, first_s: int, then_s: int
) -> None:
    calendar = Calendar(zone, {"early": Window.parse("daily 00:00-01:30", "daily 02:30-03:00")})
    rates = by_the_second(price), by_the_second(dearer, window="early")
    deck = RateDeck(
        "deck", "EUR", rates, rounding=Rounding(places=6), calendar=calendar, window_policy=WindowPolicy.SPLIT
    )
    begin = calendar.instant(night) + after_s * 1000

    def price_of(at_ms: int, seconds: int) -> int:
        tariff = deck.match(NUMBER, at_ms)
        assert tariff is not None
        return cost(tariff, at_ms, seconds * 1000).amount.micros

    whole = price_of(begin, first_s + then_s)
    assert whole == price_of(begin, first_s) + price_of(begin + first_s * 1000, then_s)
