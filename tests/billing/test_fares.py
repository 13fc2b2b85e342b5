"""A list of prices says what bills will say: the minimum call, how long an amount lasts, tax and all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipshop.billing.calendar import Calendar, Window
from sipshop.billing.deck import NO_EXTRAS, Extras, Rate, RateDeck, Step, Tariff
from sipshop.billing.fares import Fare, fares
from sipshop.billing.fx import Conversion
from sipshop.billing.money import Money, Rounding, parse_price
from sipshop.billing.rating import cost
from sipshop.billing.tax import Tax, TaxMode

NOON_MS = int(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()) * 1000
NIGHT_MS = NOON_MS + 11 * 3_600_000


def rate(
    prefix: str, price: str, *, to: str = "Mali", fee: str = "0", by: str = "60/60", extras: Extras = NO_EXTRAS
) -> Rate:
    first_s, next_s = map(int, by.split("/"))
    return Rate(
        prefix=prefix,
        destination=to,
        connect_fee_nanos=parse_price(fee),
        first_s=first_s,
        first_price_nanos=parse_price(price),
        next_s=next_s,
        next_price_nanos=parse_price(price),
        extras=extras,
    )


def listed(*rates: Rate, at_ms: int = NOON_MS, all_windows: bool = False, **more: object) -> list[Fare]:
    windows = {"night": Window.parse("daily 22:00-06:00")}
    deck = RateDeck("sell", "EUR", rates, calendar=Calendar("UTC", windows))

    def charged(tariff: Tariff) -> Tariff:
        return replace(tariff, **more)  # type: ignore[arg-type] # what it is taxed and exchanged at

    return fares(deck, charged, at_ms, group=lambda prefix: prefix[:3], all_windows=all_windows)


def euros(text: str) -> Money:
    return Money.parse(text, "EUR")


@pytest.mark.parametrize(
    ("made", "least", "seconds"),
    [
        pytest.param(rate("223", "0.39", fee="0.05"), "0.44", 60, id="the fee and a minute"),
        pytest.param(rate("223", "0.12", by="30/6"), "0.06", 30, id="half a minute"),
        pytest.param(rate("223", "0.12", extras=Extras(free_s=10)), "0.12", 60, id="what is free is not the least"),
        pytest.param(rate("223", "0.12", extras=Extras(min_charge_micros=500_000)), "0.50", 60, id="a least charge"),
        pytest.param(rate("223", "0.12", extras=Extras(grace_s=20)), "0.12", 60, id="after the grace"),
    ],
)
def test_the_minimum_call(made: Rate, least: str, seconds: int) -> None:
    (fare,) = listed(made)
    assert (fare.minimum.amount, fare.minimum.billed_s) == (euros(least), seconds)


def test_five_euros_to_bamako() -> None:
    (fare,) = listed(rate("223", "0.39", fee="0.05"))
    assert fare.lasts_s(euros("5"), 14_400) == 720
    assert fare.price(600).amount == euros("3.95")
    assert fare.lasts_s(euros("0.43"), 14_400) == 0, "it does not pay for the minimum call"
    assert fare.lasts_s(euros("5000"), 14_400) == 14_400


def test_a_tax_that_is_added_is_in_all_prices() -> None:
    (fare,) = listed(rate("223", "0.40", fee="0.05"), tax=Tax(200_000, TaxMode.ADDED, "VAT"))
    assert (fare.connect_fee_nanos, fare.terms[0][1].price_nanos) == (60_000_000, 480_000_000)
    assert fare.minimum.amount == euros("0.54")
    (fare,) = listed(rate("223", "0.40"), tax=Tax(200_000, TaxMode.INCLUDED, "VAT"))
    assert fare.terms[0][1].price_nanos == 400_000_000


def test_prices_are_in_the_currency_of_the_shop() -> None:
    fx = Conversion(
        source="EUR",
        currency="XOF",
        rate_nanos=655_957_000_000,
        divides=False,
        day="2026-03-02",
        rounding=Rounding(places=0),
    )
    (fare,) = listed(rate("223", "0.50"), fx=fx)
    assert fare.minimum.amount == Money(328_000_000, "XOF")
    assert fare.terms[0][1].price_nanos == 327_978_500_000


def test_prefixes_that_cost_the_same_are_one_line() -> None:
    found = listed(
        rate("4915", "0.19", to="Germany Mobile"),
        rate("4916", "0.19", to="Germany Mobile"),
        rate("4917", "0.21", to="Germany Mobile"),
        rate("49", "0.08", to="Germany"),
        rate("1809", "0.19", to="Germany Mobile"),
    )
    assert [fare.prefixes for fare in found] == [("4915", "4916"), ("4917",), ("49",), ("1809",)]


def test_what_is_forbidden_has_no_price() -> None:
    (fare,) = listed(replace(rate("223", "0.39"), forbidden=True))
    assert fare.tariff is None


def test_the_time_of_day_decides_and_a_poster_has_all_of_them() -> None:
    rates = rate("223", "0.40"), rate("223", "0.20", extras=Extras(window="night"))
    assert [fare.minimum.amount.text for fare in listed(*rates)] == ["0.40"]
    assert [fare.minimum.amount.text for fare in listed(*rates, at_ms=NIGHT_MS)] == ["0.20"]
    found = listed(*rates, all_windows=True)
    assert [(fare.window, fare.minimum.amount.text) for fare in found] == [(None, "0.40"), ("night", "0.20")]


def test_a_rate_that_is_not_valid_is_not_listed() -> None:
    old = Extras(valid_to_ms=NOON_MS)
    assert listed(rate("2237", "0.90", extras=old)) == []
    assert listed(rate("2237", "0.90", extras=old), all_windows=True) == []
    assert len(listed(rate("2237", "0.90", extras=old), at_ms=NOON_MS - 1)) == 1


def test_steps_are_told_with_the_second_from_which_they_hold() -> None:
    steps = Step(60, 60, parse_price("0.30")), Step(180, 60, parse_price("0.30")), Step(None, 6, parse_price("0.20"))
    (fare,) = listed(rate("223", "0.30", extras=Extras(steps=steps, surcharge_ppm=100_000)))
    assert [(start_s, step.every_s, step.price_nanos) for start_s, step in fare.terms] == [
        (0, 60, 330_000_000),
        (180, 6, 220_000_000),
    ]


@settings(max_examples=60)
@given(
    st.integers(1, 2_000),
    st.integers(0, 300),
    st.sampled_from(["60/60", "30/6", "1/1", "60/1"]),
    st.integers(1, 20_000_000),
    st.sampled_from([None, Tax(81_000, TaxMode.ADDED, "VAT"), Tax(200_000, TaxMode.INCLUDED, "VAT")]),
)
def test_so_long_as_an_amount_lasts_so_much_a_call_costs(
    thousandths: int, fee: int, by: str, micros: int, tax: Tax | None
) -> None:
    """A second more than the amount lasts costs more than it, and the minimum is what the first second costs."""
    made = rate("223", f"{thousandths / 1000:.3f}", fee=f"{fee / 1000:.3f}", by=by)
    (fare,) = listed(made, tax=tax)
    assert fare.tariff is not None
    lasts_s = fare.lasts_s(Money(micros, "EUR"), 10**6)
    assert cost(fare.tariff, NOON_MS, lasts_s * 1000).amount.micros <= micros
    assert lasts_s == 10**6 or cost(fare.tariff, NOON_MS, (lasts_s + 1) * 1000).amount.micros > micros
    assert fare.minimum == cost(fare.tariff, NOON_MS, 1000) or fare.minimum.amount == fare.price(1).amount
