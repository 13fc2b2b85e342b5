"""Amounts, prices and the one rounding."""

from __future__ import annotations

import doctest
from fractions import Fraction
from operator import add, ge, gt, le, lt, sub
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.billing import deck, money, rating
from sipshop.billing.errors import BadAmount, BadDeck, CurrencyMismatch
from sipshop.billing.money import (
    Money,
    Rounding,
    RoundMode,
    check_currency,
    format_micros,
    format_nanos,
    minor_unit_places,
    parse_amount,
    parse_price,
    round_ratio,
)

MICROS = st.integers(-(10**18) + 1, 10**18 - 1)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0", 0),
        ("1", 1_000_000),
        ("0.17", 170_000),
        ("0.000001", 1),
        ("-5.00", -5_000_000),
        ("1560.00", 1_560_000_000),
        ("00.10", 100_000),
        ("999999999999.999999", 999_999_999_999_999_999),
    ],
)
def test_an_amount_is_read_exactly(text: str, micros: int) -> None:
    assert parse_amount(text) == micros


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("1,560.00", id="thousands separator"),
        pytest.param("1,5", id="decimal comma"),
        pytest.param("1_000", id="underscore"),
        pytest.param("1e3", id="exponent"),
        pytest.param(".5", id="no digit before the point"),
        pytest.param("5.", id="no digit after the point"),
        pytest.param("+5", id="plus"),
        pytest.param("--5", id="two signs"),
        pytest.param(" 5", id="space"),
        pytest.param("5\n", id="line end"),
        pytest.param("٥", id="digits of another script"),  # noqa: RUF001 - that script is the case
        pytest.param("NaN", id="not a number"),
        pytest.param("0.0000001", id="seven places"),
        pytest.param("0.1000000", id="seven places, the last of them zero"),
        pytest.param("1234567890123", id="more than a database column holds"),
        pytest.param("1" * 5000, id="more digits than Python converts"),
    ],
)
def test_anything_but_a_plain_decimal_is_no_amount(text: str) -> None:
    with pytest.raises(BadAmount) as caught:
        parse_amount(text)
    assert len(str(caught.value)) < 120
    assert str(caught.value).isprintable()


def test_a_price_has_three_places_more_than_an_amount() -> None:
    assert parse_price("0.000000001") == 1
    with pytest.raises(BadAmount):
        parse_price("0.0000000001")


@given(MICROS)
def test_an_amount_survives_its_text(micros: int) -> None:
    assert parse_amount(format_micros(micros)) == micros


@given(MICROS)
def test_a_price_survives_its_text(nanos: int) -> None:
    assert parse_price(format_nanos(nanos)) == nanos


@pytest.mark.parametrize(
    ("micros", "places", "text"),
    [
        (170_000, None, "0.17"),
        (319_667, None, "0.319667"),
        (0, None, "0.00"),
        (5_000_000, None, "5.00"),
        (-50_000, None, "-0.05"),
        (170_000, 6, "0.170000"),
        (24_000_000, 0, "24"),
        (24_500_000, 0, "24.5"),
    ],
)
def test_an_amount_is_written_without_needless_zeros_and_never_shortened(
    micros: int, places: int | None, text: str
) -> None:
    assert format_micros(micros, places) == text


@given(MICROS, MICROS)
def test_money_of_one_currency_adds_and_compares_as_its_micros(a: int, b: int) -> None:
    left, right = Money(a, "EUR"), Money(b, "EUR")
    assert left + right == Money(a + b, "EUR")
    assert left - right == Money(a - b, "EUR")
    assert -left == Money(-a, "EUR")
    assert [test(left, right) for test in (lt, le, gt, ge)] == [test(a, b) for test in (lt, le, gt, ge)]


@pytest.mark.parametrize("operation", [add, sub, lt, le, gt, ge])
def test_two_currencies_never_meet(operation: Any) -> None:
    with pytest.raises(CurrencyMismatch, match=r"1\.00 EUR and 1\.00 USD"):
        operation(Money(1_000_000, "EUR"), Money(1_000_000, "USD"))


def test_money_of_two_currencies_is_unequal() -> None:
    assert Money(1, "EUR") != Money(1, "USD")


def test_money_is_read_with_its_currency() -> None:
    assert Money.parse("5.00", "EUR") == Money(5_000_000, "EUR")
    with pytest.raises(BadAmount, match="three capital letters"):
        Money.parse("5.00", "euro")


@pytest.mark.parametrize("code", ["", "eur", "EURO", "E1R", "EU\u0420"])
def test_a_currency_is_three_capital_letters(code: str) -> None:
    with pytest.raises(BadAmount):
        check_currency(code)


@pytest.mark.parametrize(("currency", "places"), [("EUR", 2), ("XOF", 0), ("JPY", 0), ("TND", 3)])
def test_the_smallest_coin_of_a_currency(currency: str, places: int) -> None:
    assert minor_unit_places(currency) == places


@pytest.mark.parametrize(
    ("mode", "rounded"),
    [
        (RoundMode.UP, [20_000, 20_000, 30_000, 20_000]),
        (RoundMode.DOWN, [10_000, 10_000, 20_000, 10_000]),
        (RoundMode.HALF_UP, [10_000, 20_000, 30_000, 20_000]),
        (RoundMode.HALF_EVEN, [10_000, 20_000, 20_000, 20_000]),
    ],
)
def test_each_mode_of_rounding_to_cents(mode: RoundMode, rounded: list[int]) -> None:
    assert [round_ratio(micros, 1, Rounding(mode, 2)) for micros in (10_001, 15_000, 25_000, 15_001)] == rounded
    assert [round_ratio(-micros, 1, Rounding(mode, 2)) for micros in (10_001, 15_000, 25_000, 15_001)] == [
        -micros for micros in rounded
    ]


def naive_round(value: Fraction, rounding: Rounding) -> int:
    """Round by looking at both neighbours, in exact fractions."""
    unit = Fraction(10**6, 10**rounding.places)
    low = abs(value) // unit
    rest = abs(value) / unit - low
    up = {
        RoundMode.UP: rest > 0,
        RoundMode.DOWN: False,
        RoundMode.HALF_UP: rest >= Fraction(1, 2),
        RoundMode.HALF_EVEN: rest > Fraction(1, 2) or (rest == Fraction(1, 2) and low % 2 == 1),
    }[rounding.mode]
    magnitude = int((low + up) * unit)
    return magnitude if value >= 0 else -magnitude


ROUNDINGS = st.builds(Rounding, st.sampled_from(RoundMode), st.integers(0, 6))


@given(st.integers(-(10**24), 10**24), st.integers(1, 10**9), ROUNDINGS)
def test_rounding_a_ratio_agrees_with_fractions(num: int, den: int, rounding: Rounding) -> None:
    assert round_ratio(num, den, rounding) == naive_round(Fraction(num, den), rounding)


@given(st.integers(-(10**6), 10**6), st.integers(1, 40), ROUNDINGS)
def test_rounding_agrees_with_fractions_near_its_ties(halves: int, den: int, rounding: Rounding) -> None:
    num = halves * den * 10 ** (6 - rounding.places)
    for near in (num - 1, num, num + 1):
        assert round_ratio(near, 2 * den, rounding) == naive_round(Fraction(near, 2 * den), rounding)


@given(st.integers(0, 10**15), st.integers(0, 10**15), ROUNDINGS)
def test_rounding_keeps_the_order(a: int, b: int, rounding: Rounding) -> None:
    assert round_ratio(min(a, b), 60_000, rounding) <= round_ratio(max(a, b), 60_000, rounding)


@pytest.mark.parametrize("places", [-1, 7])
def test_amounts_have_0_to_6_places(places: int) -> None:
    with pytest.raises(BadDeck):
        Rounding(RoundMode.UP, places)


@pytest.mark.parametrize("den", [0, -1])
def test_a_ratio_has_a_positive_denominator(den: int) -> None:
    with pytest.raises(ValueError, match="denominator"):
        round_ratio(1, den, Rounding())


@pytest.mark.parametrize("module", [money, deck, rating])
def test_the_examples_in_the_docstrings_are_true(module: Any) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize(
    ("micros", "currency", "text"),
    [
        (5_000_000, "EUR", "5.00 EUR"),
        (5_000_000, "TND", "5.000 TND"),
        (5_000_000, "XOF", "5 XOF"),
        (1_500_000, "JPY", "1.5 JPY"),
        (319_667, "EUR", "0.319667 EUR"),
        (-1_230_000, "TND", "-1.230 TND"),
    ],
)
def test_an_amount_has_the_places_of_its_coins_or_more_where_it_is_finer(micros: int, currency: str, text: str) -> None:
    assert str(Money(micros, currency)) == text
    assert Money.parse(*text.split()) == Money(micros, currency)


@pytest.mark.parametrize(
    ("currency", "told"),
    [
        ("EUR", "90 s = 0.50 + (60 + 60) s at 30.00/min = 60.50"),
        ("TND", "90 s = 0.500 + (60 + 60) s at 30.000/min = 60.500"),
        ("XOF", "90 s = 0.5 + (60 + 60) s at 30/min = 60.5 -> 61"),
    ],
)
def test_so_has_the_arithmetic_on_a_bill(currency: str, told: str) -> None:
    rate = deck.Rate(
        prefix="49",
        destination="Germany",
        connect_fee_nanos=parse_price("0.5"),
        first_s=60,
        first_price_nanos=parse_price("30"),
        next_s=60,
        next_price_nanos=parse_price("30"),
    )
    tariff = deck.RateDeck("sell", currency, (rate,)).match("4930123", 0)
    assert tariff is not None
    assert rating.explain(rating.cost(tariff, 0, 90_000)) == told
