"""Exchange: dated rates, either way, and prices in one currency that are charged in another."""

from __future__ import annotations

import doctest
from collections import Counter
from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.billing import fx as module
from sipshop.billing.cdr import Charge
from sipshop.billing.chain import Level, grant
from sipshop.billing.deck import Tariff
from sipshop.billing.earnings import booked, margins, net
from sipshop.billing.errors import BadFx
from sipshop.billing.fx import Conversion, FxTable, Pair, day_of
from sipshop.billing.guard import LossGuard, losing_at
from sipshop.billing.ledger import Ledger, charge_transfers, payable, session_account
from sipshop.billing.money import Money, Rounding, RoundMode, minor_unit_places, parse_scaled
from sipshop.billing.rating import affordable_s, cost, explain, most_micros
from sipshop.billing.tax import Tax, TaxMode
from tests.billing.tariffs import TARIFFS, tariff
from tests.billing.test_ledger import CHAIN, cdr

NOON_MS = 1_700_000_000_000  # 2023-11-14, UTC
CFA = Pair(base="EUR", quote="XOF", rates=(("1999-01-01", 655_957_000_000),), holds_days=36_525)
DOLLAR = Pair(
    base="EUR",
    quote="USD",
    rates=(("2023-11-10", 1_068_300_000), ("2023-11-13", 1_067_000_000), ("2023-11-14", 1_072_400_000)),
    margin_ppm=20_000,
    holds_days=3,
)
TABLE = FxTable([CFA, DOLLAR])


@pytest.mark.parametrize(
    ("day", "found"),
    [
        pytest.param("2023-11-09", None, id="before the first"),
        pytest.param("2023-11-10", "2023-11-10", id="its own day"),
        pytest.param("2023-11-12", "2023-11-10", id="a Sunday has Friday's"),
        pytest.param("2023-11-13", "2023-11-13", id="the next day's"),
        pytest.param("2023-11-16", "2023-11-14", id="while it holds"),
        pytest.param("2023-11-17", None, id="no longer"),
    ],
)
def test_a_rate_holds_from_its_day_until_the_next_and_not_for_ever(day: str, found: str | None) -> None:
    dated = DOLLAR.on(date.fromisoformat(day))
    assert (dated[0] if dated is not None else None) == found


def test_a_day_is_one_of_utc() -> None:
    midnight_ms = 1_700_006_400_000
    assert [str(day_of(midnight_ms + ms)) for ms in (-1, 0)] == ["2023-11-14", "2023-11-15"]


@pytest.mark.parametrize(
    ("amount", "currency", "converted"),
    [
        # Regulation (EC) No 1103/97: article 4, the rate with its six figures, multiplied by or divided by and never
        # inverted; article 5, to the nearest coin, a tie up. Fixed for CFA francs at 655.957 (Council decision
        # 98/683/EC, 100 francs of the treaty = 1 FRF = 1/6.55957 EUR).
        pytest.param("100.00 EUR", "XOF", "65596 XOF", id="65595.7 is rounded to francs"),
        pytest.param("10000 XOF", "EUR", "15.24 EUR", id="15.2449 to cents"),
        pytest.param("65595.7 XOF", "EUR", "100.00 EUR", id="and back"),
        pytest.param("0.50 EUR", "XOF", "328 XOF", id="327.9785"),
        # By hand, with 2 % on it: 10 * 1.0724 * 1.02 = 10.93848; 10 / 1.0724 * 1.02 = 9.51137...
        pytest.param("10.00 EUR", "USD", "10.94 USD", id="the margin comes on top"),
        pytest.param("10.00 USD", "EUR", "9.51 EUR", id="either way"),
    ],
)
def test_what_is_charged_for_a_price_in_another_currency(amount: str, currency: str, converted: str) -> None:
    text, source = amount.split()
    rounding = Rounding(RoundMode.HALF_UP, minor_unit_places(source))
    conversion = TABLE.charging(source, currency, NOON_MS, rounding)
    assert conversion is not None
    assert str(conversion.convert(Money.parse(text, source))) == converted


@pytest.mark.parametrize(
    ("source", "places", "currency", "expected"),
    [
        ("EUR", 2, "XOF", 0),
        ("EUR", 4, "XOF", 2),
        ("EUR", 6, "USD", 6),
        ("XOF", 0, "EUR", 2),
        ("XOF", 6, "EUR", 6),
        ("EUR", 0, "XOF", 0),
    ],
)
def test_a_charge_is_as_much_finer_than_coins_as_its_deck(
    source: str, places: int, currency: str, expected: int
) -> None:
    conversion = TABLE.charging(source, currency, NOON_MS, Rounding(RoundMode.UP, places))
    assert conversion is not None
    assert conversion.rounding == Rounding(RoundMode.UP, expected)


def test_nothing_is_guessed() -> None:
    rounding = Rounding()
    assert TABLE.charging("EUR", "USD", NOON_MS + 3 * 86_400_000, rounding) is None, "the newest is too old"
    assert TABLE.charging("USD", "XOF", NOON_MS, rounding) is None, "not by way of a third currency"
    assert TABLE.booking("EUR", "GBP", NOON_MS) is None
    booking = TABLE.booking("EUR", "USD", NOON_MS)
    assert booking is not None
    assert (booking.margin_ppm, booking.rounding.places) == (0, 6)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"quote": "EUR"}, "EUR/EUR is one currency"),
        ({"rates": ()}, "EUR/USD has no rates"),
        ({"rates": (("2023-11-10", 0),)}, "a rate is more than nothing"),
        ({"rates": (("2023-11-10", 1), ("2023-11-09", 1))}, "a day comes once, the earliest first"),
    ],
)
def test_rates_that_there_cannot_be_are_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(BadFx, match=told):
        replace(DOLLAR, **change)


def test_two_pairs_of_the_same_currencies_are_refused() -> None:
    with pytest.raises(BadFx, match="EUR/USD and USD/EUR are of the same two currencies"):
        FxTable([DOLLAR, Pair(base="USD", quote="EUR", rates=(("2023-11-10", 10**9),))])


# Prices.

RATES = st.integers(1, 10**13)
ROUNDINGS = st.builds(Rounding, st.sampled_from(RoundMode), st.integers(0, 6))


def conversions(source: str, currency: str) -> st.SearchStrategy[Conversion]:
    return st.builds(
        Conversion,
        source=st.just(source),
        currency=st.just(currency),
        rate_nanos=RATES,
        divides=st.booleans(),
        day=st.just("2023-11-14"),
        rounding=ROUNDINGS,
        margin_ppm=st.sampled_from([0, 0, 15_000]),
    )


TAXES = st.none() | st.builds(Tax, st.integers(0, 10**6), st.sampled_from(TaxMode), st.just("VAT"))
SOLD = st.builds(replace, TARIFFS, tax=TAXES, fx=st.none() | conversions("EUR", "XOF"))


@given(SOLD, st.integers(0, 10_000_000), st.integers(0, 3_600_000))
def test_a_price_is_rounded_once_behind_tax_and_exchange(sold: Tariff, talk_ms: int, more_ms: int) -> None:
    plain = replace(sold, tax=None, fx=None, rounding=Rounding(RoundMode.DOWN, 6))
    found, exact = cost(sold, 0, talk_ms), cost(plain, 0, talk_ms)
    num = Fraction(sum(line.num for line in exact.lines), 60_000)
    if sold.tax is not None and sold.tax.mode is TaxMode.ADDED:
        num *= Fraction(10**6 + sold.tax.percent_ppm, 10**6)
    rounding = sold.rounding
    if sold.fx is not None:
        rate = Fraction(sold.fx.rate_nanos, 10**9)
        num = (num / rate if sold.fx.divides else num * rate) * Fraction(10**6 + sold.fx.margin_ppm, 10**6)
        rounding = sold.fx.rounding
    assert abs(found.amount.micros - num) <= 10 ** (6 - rounding.places)
    assert found.amount.micros % 10 ** (6 - rounding.places) == 0
    assert found.amount.currency == sold.charged_in
    assert cost(sold, 0, talk_ms + more_ms).amount >= found.amount
    assert most_micros(sold, 0, talk_ms) == found.amount.micros
    assert found.billed_s == exact.billed_s


@given(SOLD, st.integers(0, 10**9))
def test_what_funds_pay_for_is_the_longest_talk_within_them(sold: Tariff, funds: int) -> None:
    talk_s = affordable_s(sold, 0, funds)
    if talk_s is None:
        assert cost(sold, 0, 10**9).amount.micros <= funds
        return
    assert cost(sold, 0, talk_s * 1000).amount.micros <= funds
    assert cost(sold, 0, (talk_s + 1) * 1000).amount.micros > funds


@given(
    st.lists(st.tuples(SOLD, st.integers(0, 10**8), st.integers(0, 10**6)), min_size=1, max_size=4),
    st.integers(1, 600),
)
def test_a_grant_is_within_the_funds_of_every_currency(levels: list[tuple[Tariff, int, int]], wish_s: int) -> None:
    ledger, payers = Ledger(), []
    for number, (sold, balance, limit) in enumerate(levels):
        account = ledger.open(f"level {number}", sold.charged_in, balance=balance, credit_limit=limit)
        payers.append(Level(seller="above", buyer=account.name, account=account.name, tariff=sold))
    granted_s = 0
    while (talk_s := grant(ledger, "call", payers, floor_s=granted_s, wish_s=wish_s, at_ms=0)) is not None:
        assert granted_s < talk_s <= wish_s
        granted_s = talk_s
        for payer in payers:
            account = ledger[payer.account]
            assert account.held == cost(payer.tariff, 0, talk_s * 1000).amount.micros
            assert (account.available or 0) >= 0
    if granted_s < wish_s:  # one second more is one that somebody cannot pay
        second_ms = (granted_s + 1) * 1000
        assert any(
            payer.price(second_ms, 0) > ledger[payer.account].balance + (ledger[payer.account].credit_limit or 0)
            for payer in payers
        )


@given(SOLD, st.integers(0, 4_000_000))
def test_a_snapshot_prices_again_what_it_priced(sold: Tariff, talk_ms: int) -> None:
    kept = Tariff.from_json(sold.to_json())
    assert kept == sold
    assert cost(kept, 0, talk_ms) == cost(sold, 0, talk_ms)


def conversion(rate: str, source: str, currency: str, *, divides: bool = False, places: int = 6) -> Conversion:
    return Conversion(
        source=source,
        currency=currency,
        rate_nanos=parse_scaled(rate, 9),
        divides=divides,
        day="2023-11-14",
        rounding=Rounding(RoundMode.HALF_UP, places),
    )


VAT = Tax(200_000, TaxMode.ADDED, "VAT")


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        ({"tax": VAT}, "90 s = 0.05 + (60 + 60) s at 0.12/min = 0.29 x 120% -> 0.35"),
        ({"tax": replace(VAT, mode=TaxMode.INCLUDED)}, "90 s = 0.05 + (60 + 60) s at 0.12/min = 0.29"),
        (
            {"fx": conversion("655.957", "EUR", "XOF", places=0)},
            "90 s = 0.05 + (60 + 60) s at 0.12/min = 0.29 x 655.957 -> 190",
        ),
        (
            {"tax": VAT, "fx": replace(conversion("2", "EUR", "TND", divides=True, places=3), margin_ppm=10_000)},
            "90 s = 0.05 + (60 + 60) s at 0.12/min = 0.29 x 120% / 2 x 101% -> 0.176",
        ),
        (
            {"fx": conversion("2", "EUR", "USD", places=2)},
            "90 s = 0.05 + (60 + 60) s at 0.12/min = 0.29 x 2 = 0.58",
        ),
    ],
)
def test_a_bill_says_what_a_price_was_multiplied_by(terms: dict[str, Any], told: str) -> None:
    plain = tariff("0.12", "60/60", fee="0.05", places=2)
    sold = replace(plain, **terms)
    assert explain(cost(sold, 0, 90_000)) == told


# Margins and books.

TILL = replace(tariff("0.30", "60/60", places=2), tax=VAT, books=conversion("1.10", "EUR", "USD"))
ANN = replace(tariff("0.20", "60/60", places=2), fx=conversion("1.10", "EUR", "USD", places=2))
RHEA = replace(tariff("0.15", "60/60", places=2), currency="USD")
CARRIER = replace(tariff("50", "60/60", places=0), currency="XOF", books=conversion("600", "XOF", "USD", divides=True))


def test_margins_are_net_and_each_in_the_currency_of_whoever_keeps_it() -> None:
    charges = [(each, cost(each, 0, 60_000).amount) for each in (TILL, ANN, RHEA, CARRIER)]
    assert [str(amount) for _, amount in charges] == ["0.36 EUR", "0.22 USD", "0.15 USD", "50 XOF"]
    assert [str(net(each, amount)) for each, amount in charges] == ["0.30 EUR", "0.22 USD", "0.15 USD", "50 XOF"]
    assert [margin and str(margin) for margin in margins(charges)] == [
        None,
        "0.11 USD",  # 0.30 EUR are 0.33 USD
        "0.07 USD",
        "0.066667 USD",  # 50 XOF are 0.083333 USD
    ]


@given(
    st.lists(TARIFFS, min_size=4, max_size=4),
    TAXES,
    st.tuples(*(conversions(one, other) for one, other in [("EUR", "USD"), ("EUR", "TND"), ("TND", "USD")])),
    st.integers(0, 4_000_000),
)
def test_transfers_come_to_nothing_in_each_currency_and_margins_to_the_two_ends(
    tariffs: list[Tariff], tax: Tax | None, rates: tuple[Conversion, Conversion, Conversion], talk_ms: int
) -> None:
    # the booth pays euros to one who buys in dollars; the carrier is paid in dinars, and dollars are paid to the last
    chain = [
        replace(tariffs[0], tax=tax, books=rates[0]),
        replace(tariffs[1], fx=replace(rates[0], margin_ppm=0)),
        replace(tariffs[2], currency="USD"),
        replace(tariffs[3], currency="TND", books=rates[2]),
    ]
    made = cdr(*((seller, buyer, each) for (seller, buyer, _), each in zip(CHAIN, chain, strict=True)), talk_ms=talk_ms)
    balances: Counter[tuple[str, str]] = Counter()
    for transfer in charge_transfers(made):
        balances[transfer.debit, transfer.amount.currency] -= transfer.amount.micros
        balances[transfer.credit, transfer.amount.currency] += transfer.amount.micros
    for currency in ("EUR", "USD", "TND"):
        assert sum(micros for (_, of), micros in balances.items() if of == currency) == 0
    session, carrier = (session_account(7, "Ann"), "EUR"), (payable("Carrier"), "TND")
    assert (-balances[session], balances[carrier]) == (_micros(made.charges[0]), _micros(made.charges[-1]))
    kept = [margin for margin in made.margins if margin is not None]
    assert {margin.currency for margin in kept} == {"USD"}
    ends = booked(chain[0], made.charges[0].cost.amount) - booked(chain[3], made.charges[-1].cost.amount)
    assert sum(margin.micros for margin in kept) == ends.micros


def _micros(charge: Charge) -> int:
    return charge.cost.amount.micros


@pytest.mark.parametrize(
    ("sell", "buy", "lost_at_s"),
    [
        pytest.param(replace(TILL, books=None), tariff("0.30", "60/60"), None, id="as much without the tax"),
        pytest.param(replace(TILL, books=None), tariff("0.31", "60/60"), 1, id="the tax is no income"),
        pytest.param(TILL, ANN, None, id="each in its own currency"),
        pytest.param(TILL, replace(RHEA, rate=tariff("0.34", "60/60").rate), 1, id="0.30 EUR are 0.33 USD"),
        pytest.param(RHEA, CARRIER, None, id="a carrier of another currency"),
        pytest.param(RHEA, replace(CARRIER, rate=tariff("91", "60/60").rate), 1, id="who is too dear"),
    ],
)
def test_the_loss_guard_compares_net_prices_in_one_currency(sell: Tariff, buy: Tariff, lost_at_s: int | None) -> None:
    assert losing_at(sell, buy, LossGuard()) == lost_at_s


def test_the_examples_of_its_text_are_right() -> None:
    assert doctest.testmod(module) == (0, 1)
