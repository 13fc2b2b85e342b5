"""Tax: net and tax are the gross, to the last place, whichever of them was given."""

from __future__ import annotations

import doctest
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.billing import tax as module
from sipshop.billing.errors import BadTax
from sipshop.billing.money import Money, minor_unit_places
from sipshop.billing.tax import PPM, Tax, TaxMode, taxes_within

CURRENCIES = ["EUR", "XOF", "TND"]
TAXES = st.builds(Tax, st.integers(0, PPM), st.sampled_from(TaxMode), st.just("VAT"))
MICROS = st.integers(-(10**15), 10**15)


@pytest.mark.parametrize(
    ("percent_ppm", "mode", "price", "net", "tax", "gross"),
    [
        # EN 16931-1, BR-CO-17: tax is the taxable amount times the rate, to two places, for a total of one rate;
        # BR-CO-15: what is to be paid is the net and the tax. Amounts of the example invoice of Peppol BIS Billing 3.0.
        pytest.param(250_000, TaxMode.ADDED, "1325.00 EUR", "1325.00", "331.25", "1656.25", id="Peppol BIS 3.0"),
        # HMRC, VAT guide (notice 700), VAT fraction: of a price with 20 % in it a sixth is tax, with 17.5 % 7/47.
        pytest.param(200_000, TaxMode.INCLUDED, "6.00 GBP", "5.00", "1.00", "6.00", id="a sixth"),
        pytest.param(175_000, TaxMode.INCLUDED, "47.00 GBP", "40.00", "7.00", "47.00", id="7/47"),
        # By hand: 0.10 / 1.19 = 0.08403..., a tie of 0.125 goes up.
        pytest.param(190_000, TaxMode.INCLUDED, "0.10 EUR", "0.08", "0.02", "0.10", id="ten cents"),
        pytest.param(250_000, TaxMode.ADDED, "0.50 EUR", "0.50", "0.13", "0.63", id="a tie goes up"),
        pytest.param(81_000, TaxMode.INCLUDED, "10.00 CHF", "9.25", "0.75", "10.00", id="8.1 %"),
        pytest.param(180_000, TaxMode.INCLUDED, "500 XOF", "424", "76", "500", id="a currency without cents"),
        pytest.param(190_000, TaxMode.ADDED, "1.255 TND", "1.255", "0.238", "1.493", id="a currency of thousandths"),
        pytest.param(
            200_000, TaxMode.INCLUDED, "-6.00 EUR", "-5.00", "-1.00", "-6.00", id="a credit mirrors its charge"
        ),
        pytest.param(0, TaxMode.ADDED, "7.00 EUR", "7.00", "0.00", "7.00", id="nothing"),
    ],
)
def test_a_price_is_split(percent_ppm: int, mode: TaxMode, price: str, net: str, tax: str, gross: str) -> None:
    amount, currency = price.split()
    parts = Tax(percent_ppm, mode, "VAT").split(Money.parse(amount, currency))
    assert parts == module.Taxed(*(Money.parse(text, currency) for text in (net, tax, gross)))


@given(tax=TAXES, micros=MICROS, currency=st.sampled_from(CURRENCIES))
def test_net_and_tax_are_the_gross_in_coins(tax: Tax, micros: int, currency: str) -> None:
    parts = tax.split(Money(micros, currency))
    coin = 10 ** (6 - minor_unit_places(currency))
    assert parts.net + parts.tax == parts.gross
    assert {amount.micros % coin for amount in (parts.net, parts.tax, parts.gross)} == {0}
    exact = Fraction(parts.net.micros * tax.percent_ppm, PPM)
    assert abs(parts.tax.micros - exact) <= coin, "the tax is that of the net, to a coin"


@given(tax=TAXES, micros=MICROS, currency=st.sampled_from(CURRENCIES))
def test_what_was_charged_stays_as_it_was_charged(tax: Tax, micros: int, currency: str) -> None:
    parts = tax.within(Money(micros, currency))
    assert parts.gross == Money(micros, currency)
    assert parts.net + parts.tax == parts.gross


def test_a_hundred_small_calls_have_the_tax_of_their_sum() -> None:
    vat, levy = Tax(200_000, TaxMode.INCLUDED, "VAT"), Tax(30_000, TaxMode.ADDED, "levy")
    cent = Money(10_000, "EUR")
    sums = taxes_within([*[(vat, cent)] * 100, (None, cent), (levy, cent), (vat, cent)])
    assert [(each.tax, str(each.parts.tax), str(each.parts.gross)) for each in sums] == [
        (vat, "0.17 EUR", "1.01 EUR"),  # one by one each would have none
        (levy, "0.00 EUR", "0.01 EUR"),
    ]


@pytest.mark.parametrize("percent_ppm", [-1, PPM + 1])
def test_a_tax_that_there_cannot_be_is_refused(percent_ppm: int) -> None:
    with pytest.raises(BadTax, match="0 to 100 percent"):
        Tax(percent_ppm, TaxMode.ADDED, "VAT")


@given(tax=TAXES)
def test_a_tax_is_read_back_as_it_was_written(tax: Tax) -> None:
    assert Tax.from_json(tax.to_json()) == tax


def test_the_examples_of_its_text_are_right() -> None:
    assert doctest.testmod(module) == (0, 2)
