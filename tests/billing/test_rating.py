"""What a call costs, and the arithmetic that a customer is shown."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.billing.deck import DurationRound, Rate, Tariff
from sipshop.billing.money import Money, Rounding, RoundMode, parse_amount
from sipshop.billing.rating import LineKind, cost, explain
from tests.billing.tariffs import tariff

BERLIN = tariff("0.12", "60/6", fee="0.05")


@pytest.mark.parametrize(
    ("talk_ms", "micros", "billed_s"),
    [
        pytest.param(0, 0, 0, id="unanswered is free"),
        pytest.param(1, 170_000, 60, id="a moment bills the first increment"),
        pytest.param(60_000, 170_000, 60, id="a full first increment bills no more"),
        pytest.param(60_001, 182_000, 66, id="one millisecond over opens the next"),
        pytest.param(66_000, 182_000, 66, id="a full next increment bills no more"),
        pytest.param(66_001, 194_000, 72, id="and one over opens another"),
        pytest.param(3_600_000, 7_250_000, 3600, id="an hour"),
    ],
)
def test_cost(talk_ms: int, micros: int, billed_s: int) -> None:
    priced = cost(BERLIN, 0, talk_ms)
    assert priced.amount == Money(micros, "EUR")
    assert priced.billed_s == billed_s


@pytest.mark.parametrize(
    ("level", "amount", "billed_s"),
    [
        pytest.param(tariff("0.25", "60/60", fee="0.12"), "0.870000", 180, id="booth"),
        pytest.param(tariff("0.18", "30/6"), "0.414000", 138, id="shop"),
        pytest.param(tariff("0.14", "1/1"), "0.319667", 137, id="reseller"),
        pytest.param(tariff("0.11", "1/1", places=4), "0.2512", 137, id="carrier"),
    ],
)
def test_137_seconds_at_every_level(level: Tariff, amount: str, billed_s: int) -> None:
    priced = cost(level, 0, 137_000)
    assert priced.amount == Money(parse_amount(amount), "EUR")
    assert priced.billed_s == billed_s


def test_an_increment_is_never_rounded_by_itself() -> None:
    # 0.001 a minute by the second is 0.0000166... a second: rounded one by one, an hour would cost 0.072 or 0.036.
    assert cost(tariff("0.001", "1/1"), 0, 3_600_000).amount == Money(60_000, "EUR")


def test_the_first_increment_may_be_longer_than_the_call_and_shorter_than_the_next() -> None:
    assert cost(tariff("0.60", "60/45"), 0, 61_000).billed_s == 105
    assert cost(tariff("0.60", "1/60"), 0, 2_000).billed_s == 61


def test_talk_time_that_rounds_to_no_second_costs_not_even_the_fee() -> None:
    priced = cost(tariff("0.12", "60/6", fee="0.05", duration_round=DurationRound.FLOOR), 0, 999)
    assert (priced.amount, priced.billed_s, priced.lines) == (Money(0, "EUR"), 0, ())


def test_the_lines_are_the_terms_in_the_order_of_billing() -> None:
    lines = cost(tariff("0.20", "60/60", fee="0.05", next_price="0.12"), 0, 62_000).lines
    assert [(line.kind, line.seconds, line.num) for line in lines] == [
        (LineKind.FEE, 0, 60 * 50_000_000),
        (LineKind.FIRST, 60, 60 * 200_000_000),
        (LineKind.NEXT, 60, 60 * 120_000_000),
    ]
    assert [line.to_json(2) for line in lines] == [
        {"kind": "fee", "seconds": 0, "price": "0.05"},
        {"kind": "first", "seconds": 60, "price": "0.20"},
        {"kind": "next", "seconds": 60, "price": "0.12"},
    ]


def test_talk_time_is_never_negative() -> None:
    with pytest.raises(ValueError, match="not negative"):
        cost(BERLIN, 0, -1)


@pytest.mark.parametrize(
    ("talk_ms", "priced_by", "text"),
    [
        pytest.param(62_000, tariff("0.12", "60/60"), "62 s = 60 + 60 s at 0.12/min = 0.24", id="two increments"),
        pytest.param(
            62_000, tariff("0.12", "60/60", fee="0.05"), "62 s = 0.05 + (60 + 60) s at 0.12/min = 0.29", id="with a fee"
        ),
        pytest.param(5_000, tariff("0.12", "60/60"), "5 s = 60 s at 0.12/min = 0.12", id="the first increment alone"),
        pytest.param(
            5_000, tariff("0.12", "60/60", fee="0.05"), "5 s = 0.05 + 60 s at 0.12/min = 0.17", id="alone, with a fee"
        ),
        pytest.param(
            62_000,
            tariff("0.20", "60/60", fee="0.05", next_price="0.12"),
            "62 s = 0.05 + 60 s at 0.20/min + 60 s at 0.12/min = 0.37",
            id="two prices",
        ),
        pytest.param(
            137_000,
            tariff("0.18", "30/6", places=2),
            "137 s = 30 + 108 s at 0.18/min = 0.414 -> 0.41",
            id="rounded to cents",
        ),
        pytest.param(
            137_000,
            tariff("0.14", "1/1"),
            "137 s = 1 + 136 s at 0.14/min = 0.3196666... -> 0.319667",
            id="rounded from a fraction without end",
        ),
        pytest.param(
            1_000,
            tariff("0.000000001", "1/1"),
            "1 s = 1 s at 0.000000001/min = 0.0000000... -> 0.00",
            id="less than can be written",
        ),
        pytest.param(
            3_000,
            tariff("0.000000001", "3/1"),
            "3 s = 3 s at 0.000000001/min = 0.00000000005 -> 0.00",
            id="the longest fraction that ends",
        ),
        pytest.param(62_000, tariff("0", "60/60"), "62 s = 60 + 60 s at 0.00/min = 0.00", id="free of charge"),
        pytest.param(0, BERLIN, "0 s = 0.00", id="no talk"),
    ],
)
def test_the_arithmetic_is_shown(talk_ms: int, priced_by: Tariff, text: str) -> None:
    assert explain(cost(priced_by, 0, talk_ms)) == text


PRICES = st.integers(0, 10**11)
TARIFFS = st.builds(
    Tariff,
    deck=st.just("any"),
    version=st.just(1),
    currency=st.just("EUR"),
    rounding=st.builds(Rounding, st.sampled_from(RoundMode), st.integers(0, 6)),
    duration_round=st.sampled_from(DurationRound),
    rate=st.builds(
        Rate,
        prefix=st.just("49"),
        destination=st.just("any"),
        connect_fee_nanos=PRICES,
        first_s=st.integers(1, 200),
        first_price_nanos=PRICES,
        next_s=st.integers(1, 200),
        next_price_nanos=PRICES,
    ),
)
TALK_MS = st.integers(0, 10**8)


@given(TALK_MS, TALK_MS, TARIFFS)
def test_longer_calls_never_cost_less(a_ms: int, b_ms: int, any_tariff: Tariff) -> None:
    shorter, longer = cost(any_tariff, 0, min(a_ms, b_ms)), cost(any_tariff, 0, max(a_ms, b_ms))
    assert shorter.amount <= longer.amount
    assert shorter.billed_s <= longer.billed_s


@given(st.integers(0, 2_000), TARIFFS)
def test_one_more_millisecond_never_costs_less(talk_ms: int, any_tariff: Tariff) -> None:
    assert cost(any_tariff, 0, talk_ms).amount <= cost(any_tariff, 0, talk_ms + 1).amount


@given(st.integers(1, 3_000), TARIFFS)
def test_the_cost_is_what_counting_increments_gives(talk_s: int, any_tariff: Tariff) -> None:
    rate = any_tariff.rate
    exact = Fraction(rate.connect_fee_nanos) + Fraction(rate.first_price_nanos * rate.first_s, 60)
    counted_s = rate.first_s
    while counted_s < talk_s:
        counted_s += rate.next_s
        exact += Fraction(rate.next_price_nanos * rate.next_s, 60)
    priced = cost(any_tariff, 0, talk_s * 1000)
    assert priced.billed_s == counted_s
    assert abs(priced.amount.micros - exact / 1000) < 10 ** (6 - any_tariff.rounding.places)
    assert sum(line.num for line in priced.lines) == exact * 60


@given(TALK_MS, TARIFFS)
def test_the_shown_arithmetic_ends_in_the_amount(talk_ms: int, any_tariff: Tariff) -> None:
    priced = cost(any_tariff, 0, talk_ms)
    text = explain(priced)
    assert text.isascii()
    assert parse_amount(text.split()[-1]) == priced.amount.micros
