"""Checkout: a bill is paid once it is final, at the version that was read, in full."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.billing.desk import Bill, BillLine, BoothSession, Payment, SessionTerms, settle_bill
from sipshop.billing.errors import (
    BadBill,
    BadTerms,
    CallAlive,
    CurrencyMismatch,
    DeskError,
    StaleBill,
    TenderTooSmall,
    WrongCurrency,
)
from sipshop.billing.money import Money
from sipshop.billing.tender import Method, Tender


def eur(text: str) -> Money:
    return Money.parse(text, "EUR")


def cash(amount: Money) -> tuple[Tender, ...]:
    return (Tender(Method.CASH, amount),) if amount.micros else ()


def bill(*amounts: str, total: str | None = None, version: int | None = None, deposit: str = "0") -> Bill:
    lines = tuple(
        BillLine(
            call_id=f"c{number}",
            answered_at_ms=number * 60_000,
            dialled="030 1234567",
            e164="49301234567",
            destination="Berlin",
            talk_ms=30_000,
            billed_s=60,
            amount=eur(amount),
            explanation=f"30 s = {amount}",
            added=number + 1,
            priced=number + 1,
        )
        for number, amount in enumerate(amounts)
    )
    owed = eur(total) if total else Money(sum(line.amount.micros for line in lines), "EUR")
    return Bill(
        tenant="Demo",
        session_id=7,
        booth="booth1",
        version=len(lines) if version is None else version,
        lines=lines,
        total=owed,
        deposit=eur(deposit),
    )


def test_a_final_bill_is_paid_and_change_given() -> None:
    paid = settle_bill(bill("0.24", "1.40"), version=2, tenders=cash(eur("5.00")), live_calls=0)
    assert paid == Payment(
        session_id=7,
        version=2,
        total=eur("1.64"),
        rounding=eur("0"),
        deposit=eur("0"),
        tenders=cash(eur("5.00")),
        change=eur("3.36"),
        cash=eur("1.64"),
    )
    assert paid.tendered == eur("5.00")


@pytest.mark.parametrize(
    ("deposit", "due", "tendered", "change"),
    [
        pytest.param("1.00", "0.64", "1.00", "0.36", id="it covers a part"),
        pytest.param("1.64", "0", "0", "0", id="it covers all"),
        pytest.param("5.00", "0", "0", "3.36", id="what is over goes back"),
        pytest.param("5.00", "0", "1.00", "4.36", id="a coin more than was asked for goes back too"),
    ],
)
def test_a_deposit_pays_first(deposit: str, due: str, tendered: str, change: str) -> None:
    owed = bill("0.24", "1.40", deposit=deposit)
    assert owed.due == eur(due)
    assert settle_bill(owed, version=2, tenders=cash(eur(tendered)), live_calls=0).change == eur(change)


def test_what_a_deposit_leaves_is_still_to_be_paid() -> None:
    with pytest.raises(TenderTooSmall, match=r"0\.63 EUR does not pay 0\.64 EUR"):
        settle_bill(bill("0.24", "1.40", deposit="1.00"), version=2, tenders=cash(eur("0.63")), live_calls=0)


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        pytest.param({"deposit": eur("1"), "talk_limit_ms": 1}, "give one of them", id="two of them"),
        pytest.param({"deposit": eur("0")}, "more than nothing", id="a deposit of nothing"),
        pytest.param({"limit": eur("-1")}, "more than nothing", id="a limit below zero"),
        pytest.param({"talk_limit_ms": 0}, "more than nothing", id="no minutes"),
    ],
)
def test_a_booth_is_unlocked_for_one_thing_that_is_something(terms: dict[str, Any], text: str) -> None:
    with pytest.raises(BadTerms, match=text):
        SessionTerms(**terms)


def test_an_empty_bill_is_paid_with_nothing() -> None:
    assert settle_bill(bill(), version=0, tenders=cash(eur("0")), live_calls=0).change == eur("0")


@pytest.mark.parametrize(
    ("live_calls", "text"),
    [(1, "1 call is still going on"), (3, "3 calls are still going on")],
)
def test_a_bill_is_not_paid_while_a_call_is_alive(live_calls: int, text: str) -> None:
    with pytest.raises(CallAlive, match=text) as caught:
        settle_bill(bill("0.24"), version=1, tenders=cash(eur("5.00")), live_calls=live_calls)
    assert caught.value.live_calls == live_calls


@pytest.mark.parametrize(
    ("version", "text"),
    [
        pytest.param(2, r"1 new call, 0\.35 EUR: include it\? Then pay version 3", id="one call more"),
        pytest.param(1, r"2 new calls, 0\.65 EUR: include them\? Then pay version 3", id="two calls more"),
        pytest.param(0, r"3 new calls, 0\.89 EUR: include them\? Then pay version 3", id="all are new"),
        pytest.param(-1, "at version 3, not -1: read it again", id="a version that never was"),
        pytest.param(4, "at version 3, not 4: read it again", id="a version to come"),
    ],
)
def test_a_bill_that_has_changed_is_not_paid(version: int, text: str) -> None:
    with pytest.raises(StaleBill, match=text):
        settle_bill(bill("0.24", "0.30", "0.35"), version=version, tenders=cash(eur("5.00")), live_calls=0)


def test_a_tender_below_the_total_is_refused_with_what_is_missing() -> None:
    with pytest.raises(TenderTooSmall, match=r"0\.20 EUR does not pay 0\.24 EUR: 0\.04 EUR is missing"):
        settle_bill(bill("0.24"), version=1, tenders=cash(eur("0.20")), live_calls=0)


def test_nothing_is_paid_by_less_than_nothing() -> None:
    with pytest.raises(BadTerms, match="a payment by cash must be more than nothing"):
        settle_bill(bill(), version=0, tenders=cash(eur("-1")), live_calls=0)


def test_a_tender_in_another_currency_is_refused() -> None:
    with pytest.raises(WrongCurrency, match="in EUR, not in USD"):
        settle_bill(bill("0.24"), version=1, tenders=cash(Money.parse("5.00", "USD")), live_calls=0)


def test_every_refusal_is_an_error_of_the_desk() -> None:
    assert all(issubclass(kind, DeskError) for kind in (CallAlive, StaleBill, TenderTooSmall, WrongCurrency, BadBill))


def test_a_bill_adds_up() -> None:
    with pytest.raises(BadBill, match=r"does not add up to its total of 0\.25 EUR"):
        bill("0.24", total="0.25")


def test_a_bill_has_one_currency() -> None:
    line = bill("0.24").lines[0]
    with pytest.raises(CurrencyMismatch):
        Bill(
            tenant="Demo",
            session_id=7,
            booth="booth1",
            version=1,
            lines=(line,),
            total=Money(240_000, "USD"),
            deposit=eur("0"),
        )


CENTS = st.integers(0, 10**6).map(lambda cents: str(Money(cents * 10_000, "EUR")).removesuffix(" EUR"))


@given(st.lists(CENTS, max_size=8), CENTS)
def test_tendered_is_total_and_change(amounts: list[str], over: str) -> None:
    owed = bill(*amounts)
    paid = settle_bill(owed, version=owed.version, tenders=cash(owed.total + eur(over)), live_calls=0)
    assert paid.tendered == paid.total + paid.change
    assert paid.change == eur(over)


@pytest.mark.parametrize(
    ("closed_at_ms", "paid", "is_open"), [(None, False, True), (1, False, False), (1, True, False)]
)
def test_a_booth_session_is_open_until_it_is_closed(closed_at_ms: int | None, paid: bool, is_open: bool) -> None:
    session = BoothSession(
        tenant="Demo",
        id=7,
        booth="booth1",
        owner="Ann",
        opened_at_ms=0,
        opened_by="anna",
        version=0,
        closed_at_ms=closed_at_ms,
        paid=paid,
    )
    assert session.is_open is is_open
