"""What stands on a bill besides calls, and how it is paid: held against a naive reading of the same rules."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.billing.checkout import draw_receipt
from sipshop.billing.counter import Counter, Good, taxed_as
from sipshop.billing.desk import Bill, BillLine, BoothSession, check_item, draw_bill, item_of, settle_bill
from sipshop.billing.errors import (
    BadTerms,
    BeyondRights,
    DeskError,
    NoSuchItem,
    StaleBill,
    TenderTooSmall,
    TooMuchTendered,
    WrongCurrency,
)
from sipshop.billing.items import BillItem
from sipshop.billing.ledger import checkout_transfers, item_transfers, session_account
from sipshop.billing.money import Money
from sipshop.billing.receipt import EntryKind, Receipt, Seller
from sipshop.billing.tax import Tax, TaxMode
from sipshop.billing.tender import CashMode, CashRounding, Method, Tender

VAT: Final = Tax(200_000, TaxMode.INCLUDED, "VAT")
LOW: Final = Tax(70_000, TaxMode.INCLUDED, "VAT")
NEAREST: Final = CashRounding(50_000, CashMode.NEAREST)
UP: Final = CashRounding(50_000, CashMode.UP)
DOWN: Final = CashRounding(50_000, CashMode.DOWN)


def eur(text: str) -> Money:
    return Money.parse(text, "EUR")


def cash(text: str) -> Tender:
    return Tender(Method.CASH, eur(text))


def card(text: str) -> Tender:
    return Tender(Method.CARD, eur(text))


def call(number: int, amount: str, tax: Tax | None = None, added: int | None = None) -> BillLine:
    return BillLine(
        call_id=f"c{number}",
        answered_at_ms=number * 60_000,
        dialled="030 1234567",
        e164="49301234567",
        destination="Berlin",
        talk_ms=30_000,
        billed_s=60,
        amount=eur(amount),
        explanation=f"30 s = {amount}",
        tax=tax,
        added=number if added is None else added,
        priced=number if added is None else added,
    )


def good(price: str, quantity: int = 1, tax: Tax | None = None, text: str = "Coffee") -> BillItem:
    return BillItem(kind=EntryKind.GOOD, text=text, author="ana", at_ms=0, unit=eur(price), quantity=quantity, tax=tax)


def off(text: str = "", *, percent_ppm: int | None = None, most_ppm: int | None = None) -> BillItem:
    return BillItem(
        kind=EntryKind.DISCOUNT,
        text="a regular",
        author="ana",
        at_ms=0,
        amount=eur(text) if text else None,
        percent_ppm=percent_ppm,
        most_ppm=most_ppm,
    )


def void(*, call_id: str | None = None, item: int | None = None) -> BillItem:
    return BillItem(kind=EntryKind.VOID, text="a wrong one", author="olga", at_ms=0, call_id=call_id, item=item)


def bill(
    *made: BillLine | BillItem, deposit: str = "0", rounding: CashRounding | None = None, version: int | None = None
) -> Bill:
    """A bill on which these came, one after the other; an item that is refused never comes."""
    lines: list[BillLine] = []
    items: list[BillItem] = []
    session = BoothSession(
        tenant="Demo",
        id=7,
        booth="booth1",
        owner="Ann",
        opened_at_ms=0,
        opened_by="ana",
        version=0,
        closed_at_ms=None,
        paid=False,
        deposit_micros=eur(deposit).micros,
    )
    for each in made:
        if isinstance(each, BillLine):
            lines.append(each)
        else:
            check_item(draw_bill(session, "EUR", lines, items), each)
            items.append(replace(each, number=len(items) + 1, added=len(lines) + len(items) + 1))
    session = replace(session, version=len(made) if version is None else version)
    return replace(draw_bill(session, "EUR", lines, items), cash_rounding=rounding)


# What stands on a bill.


def test_a_bill_is_calls_and_goods_less_what_is_taken_off_and_back() -> None:
    owed = bill(
        call(1, "0.24"), call(2, "1.40"), good("1.80", 2), off("0.50"), void(call_id="c1"), good("10.00"), void(item=4)
    )
    told = ["3.60 EUR", "-0.50 EUR", "-0.24 EUR", "10.00 EUR", "-10.00 EUR"]
    assert [str(each.amount) for each in owed.items] == told
    assert str(owed.total) == "4.50 EUR"


@pytest.mark.parametrize(
    ("made", "total"),
    [
        pytest.param([good("1.26"), off(percent_ppm=100_000)], "1.13", id="ten percent, half up"),
        pytest.param([good("1.26"), off("1.26")], "0.00", id="all of it"),
        pytest.param([good("1.00"), off(percent_ppm=1_000_000)], "0.00", id="a gift"),
        pytest.param([call(1, "1.00"), off("0.80"), void(call_id="c1")], "0.00", id="never below nothing"),
        pytest.param([good("1.00"), off("0.60"), off(percent_ppm=400_000)], "0.00", id="two, of the same whole"),
        pytest.param(
            [good("10.00"), off("2.00", most_ppm=200_000), void(item=1), call(1, "1.00")],
            "0.80",
            id="what an operator gave shrinks with the bill",
        ),
        pytest.param(
            [good("1.28"), off(percent_ppm=200_000, most_ppm=200_000)], "1.02", id="as much as he may, to the cent"
        ),
    ],
)
def test_discounts_come_to(made: list[BillLine | BillItem], total: str) -> None:
    assert bill(*made).total == eur(total)


@pytest.mark.parametrize(
    ("made", "error", "text"),
    [
        pytest.param([off("0.01")], BadTerms, "cannot be taken off 0.00", id="nothing to take it off"),
        pytest.param([good("1.00"), off("1.01")], BadTerms, r"1\.01 EUR cannot be taken off 1\.00", id="too much"),
        pytest.param(
            [good("1.00"), off("0.21", most_ppm=200_000)],
            BeyondRights,
            r"operators take off 20% of a bill at most, in all; 0\.21 EUR is more",
            id="more than an operator may",
        ),
        pytest.param(
            [good("1.00"), off("0.11", most_ppm=200_000), off("0.10", most_ppm=200_000)],
            BeyondRights,
            r"0\.21 EUR is more",
            id="more than he may in two steps",
        ),
        pytest.param([void(call_id="c9")], NoSuchItem, "no call 'c9'", id="a call that is not there"),
        pytest.param([call(1, "1.00"), void(call_id="c1"), void(call_id="c1")], NoSuchItem, "already", id="twice"),
        pytest.param([good("1.00"), off("0.10"), void(item=2)], NoSuchItem, "nothing that was sold", id="a discount"),
        pytest.param([good("1.00"), void(item=2)], NoSuchItem, "nothing that was sold", id="itself"),
    ],
)
def test_what_cannot_come_on_a_bill(made: list[BillLine | BillItem], error: type[DeskError], text: str) -> None:
    with pytest.raises(error, match=text):
        bill(*made)


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        pytest.param({"text": ""}, "a good has a name", id="no name"),
        pytest.param({"text": "a\nb"}, "printable", id="two lines"),
        pytest.param({"quantity": 0}, "0 of Coffee cannot be sold", id="none of it"),
        pytest.param({"unit": Money(0, "EUR")}, "more than nothing", id="for nothing"),
        pytest.param({"kind": EntryKind.DISCOUNT}, "an amount or a percentage", id="a discount of neither"),
        pytest.param(
            {"kind": EntryKind.DISCOUNT, "percent_ppm": 1_000_001}, "at most 100 percent", id="more than everything"
        ),
        pytest.param({"kind": EntryKind.VOID}, "name one of them", id="a void of nothing"),
    ],
)
def test_items_that_cannot_be(terms: dict[str, object], text: str) -> None:
    with pytest.raises(BadTerms, match=text):
        replace(good("1.00"), **terms)  # type: ignore[arg-type]  # a table of wrong ones


def test_an_item_in_another_currency_is_refused() -> None:
    with pytest.raises(WrongCurrency):
        check_item(bill(), replace(good("1.00"), unit=Money(1_000_000, "USD")))


def test_a_void_stands_for_its_item_which_cannot_go() -> None:
    owed = bill(good("1.00"), good("2.00"), void(item=1))
    assert item_of(owed, 2) is not None
    with pytest.raises(NoSuchItem, match="with a reason"):
        item_of(owed, 1)
    with pytest.raises(NoSuchItem, match="no item 9"):
        item_of(owed, 9)


def test_a_discount_lowers_what_is_taxed_at_each_rate() -> None:
    owed = bill(call(1, "6.00", VAT), good("2.00", tax=LOW), good("2.00"), off("1.00"))
    assert [(each.tax.percent, str(each.parts.gross)) for each in owed.taxes] == [("20", "5.40 EUR"), ("7", "1.80 EUR")]
    assert owed.net + owed.tax == owed.total == eur("9.00")


def test_a_void_takes_its_tax_back() -> None:
    owed = bill(call(1, "6.00", VAT), good("2.00", tax=LOW), void(call_id="c1"))
    assert [(each.tax.percent, each.parts.gross.micros) for each in owed.taxes] == [("20", 0), ("7", 2_000_000)]


# How a bill is paid.


@pytest.mark.parametrize(
    ("total", "deposit", "rounding", "tenders", "payable", "change"),
    [
        pytest.param("1.26", "0", UP, [cash("1.30")], "1.30", "0.00", id="up"),
        pytest.param("1.26", "0", DOWN, [cash("1.25")], "1.25", "0.00", id="down"),
        pytest.param("1.26", "0", NEAREST, [cash("2.00")], "1.25", "0.75", id="nearest"),
        pytest.param("1.275", "0", NEAREST, [cash("2.00")], "1.30", "0.70", id="a half goes up"),
        pytest.param("1.26", "0", UP, [card("1.26")], "1.26", "0.00", id="a card is exact"),
        pytest.param("1.26", "0", UP, [card("1.00"), cash("0.50")], "1.30", "0.20", id="what is left for cash"),
        pytest.param("1.26", "0", None, [cash("1.26")], "1.26", "0.00", id="no rounding"),
        pytest.param("4.99", "5.00", UP, [], "5.00", "0.00", id="a deposit of 5.00 is enough, up"),
        pytest.param("4.96", "5.00", NEAREST, [], "4.95", "0.05", id="what goes back is in coins"),
        pytest.param("4.96", "5.00", DOWN, [], "4.95", "0.05", id="and for the customer"),
        pytest.param("0.01", "4.99", DOWN, [], "0.00", "4.99", id="never more than the deposit"),
        pytest.param("0", "4.99", UP, [], "0.00", "4.99", id="nothing called, nothing rounded"),
        pytest.param("5.02", "5.00", UP, [cash("0.05")], "5.05", "0.00", id="a deposit and a coin"),
        pytest.param("0.02", "0", NEAREST, [], "0.00", "0.00", id="less than half a coin"),
    ],
)
def test_cash_is_rounded_once(
    total: str, deposit: str, rounding: CashRounding | None, tenders: list[Tender], payable: str, change: str
) -> None:
    owed = bill(*([call(1, total)] if eur(total).micros else []), deposit=deposit, rounding=rounding)
    paid = settle_bill(owed, version=owed.version, tenders=tenders, live_calls=0)
    assert (paid.total + paid.rounding, paid.change) == (eur(payable), eur(change))


def test_too_little_is_refused_with_the_coins_that_are_missing() -> None:
    with pytest.raises(TenderTooSmall, match=r"1\.26 EUR does not pay 1\.30 EUR: 0\.04 EUR is missing"):
        settle_bill(bill(call(1, "1.26"), rounding=UP), version=1, tenders=[cash("1.26")], live_calls=0)


@pytest.mark.parametrize("tenders", [[card("1.27")], [card("1.00"), Tender(Method.VOUCHER, eur("0.50")), cash("5.00")]])
def test_there_is_no_change_for_a_card(tenders: list[Tender]) -> None:
    with pytest.raises(TooMuchTendered, match="change is given for cash alone"):
        bill(call(1, "1.26")).reckon(tenders)


@pytest.mark.parametrize(
    ("version", "text"),
    [
        (4, r"^Coffee, 1\.80 EUR: include it\? Then pay version 5$"),
        (3, r"^1 new call, 0\.35 EUR; Coffee, 1\.80 EUR: include them\? Then pay version 5$"),
        (1, r"^1 new call, 0\.35 EUR; a regular, -0\.10 EUR; Coffee, 1\.80 EUR; taken back: Tea: include them"),
        (9, "at version 5, not 9: read it again"),
    ],
)
def test_a_bill_that_changed_says_what_is_new(version: int, text: str) -> None:
    owed = bill(
        call(1, "1.00", added=1),
        good("2.00", text="Tea"),
        off("0.10"),
        call(2, "0.35", added=4),
        good("1.80"),
        version=5,
    )
    tea, regular, coffee = (each.item for each in owed.items)
    items = [replace(tea, added=1, removed=3), replace(regular, added=3), replace(coffee, added=5)]
    session = BoothSession(
        tenant="Demo",
        id=7,
        booth="booth1",
        owner="Ann",
        opened_at_ms=0,
        opened_by="ana",
        version=5,
        closed_at_ms=None,
        paid=False,
    )
    now = draw_bill(session, "EUR", owed.lines, items)
    with pytest.raises(StaleBill, match=text):
        settle_bill(now, version=version, tenders=[cash("9.00")], live_calls=0)


# Whatever stands on it.

AMOUNTS: Final = st.integers(1, 3_000).map(lambda cents: str(Money(cents * 10_000, "EUR")).removesuffix(" EUR"))
TAXES: Final = st.sampled_from([None, VAT, LOW])
MADE: Final = st.one_of(
    st.builds(lambda amount, tax: ("call", amount, tax), AMOUNTS, TAXES),
    st.builds(lambda amount, count, tax: ("good", amount, tax, count), AMOUNTS, st.integers(1, 3), TAXES),
    st.builds(lambda amount, most: ("off", amount, most), AMOUNTS, st.sampled_from([None, 100_000, 500_000])),
    st.builds(lambda ppm, most: ("percent", ppm, most), st.integers(1, 10**6), st.sampled_from([None, 250_000])),
    st.builds(lambda number: ("void call", number), st.integers(1, 4)),
    st.builds(lambda number: ("void item", number), st.integers(1, 4)),
)
ROUNDINGS: Final = st.sampled_from([None, UP, DOWN, NEAREST, CashRounding(1_000_000, CashMode.UP)])


def build(steps: list[tuple[object, ...]]) -> list[BillLine | BillItem]:
    """Those of the steps that a bill takes, in their order."""
    made: list[BillLine | BillItem] = []
    calls = 0
    for what, *of in steps:
        match what, of:
            case "call", [str(amount), tax]:
                calls += 1
                each: BillLine | BillItem = call(calls, amount, tax if isinstance(tax, Tax) else None)
            case "good", [str(amount), tax, int(count)]:
                each = good(amount, count, tax if isinstance(tax, Tax) else None)
            case "off", [str(amount), most]:
                each = off(amount, most_ppm=most if isinstance(most, int) else None)
            case "percent", [int(ppm), most]:
                each = off(percent_ppm=ppm, most_ppm=most if isinstance(most, int) else None)
            case "void call", [int(number)]:
                each = void(call_id=f"c{number}")
            case _, [int(number)]:
                each = void(item=number)
            case _:
                raise AssertionError(what)
        try:
            bill(*made, each)
        except DeskError:
            continue
        made.append(each)
    return made


def half_up(value: Fraction) -> int:
    """Micro-units rounded to cents."""
    return int((value / 10_000 + Fraction(1, 2)).__floor__()) * 10_000


def naive_total(made: list[BillLine | BillItem]) -> int:
    """The total as one would add it up on paper, in micro-units."""
    items = [each for each in made if isinstance(each, BillItem)]
    calls = {each.call_id: each.amount.micros for each in made if isinstance(each, BillLine)}
    goods = {n: each.unit.micros * each.quantity for n, each in enumerate(items, 1) if each.unit is not None}
    for each in items:
        calls.pop(each.call_id or "", None)
        goods.pop(each.item or 0, None)
    base = sum(calls.values()) + sum(goods.values())
    left, given = base, 0
    for each in items:
        if each.kind is not EntryKind.DISCOUNT:
            continue
        wished = each.amount.micros if each.amount else half_up(Fraction(base * (each.percent_ppm or 0), 10**6))
        if each.most_ppm is not None:
            wished = max(0, min(wished, half_up(Fraction(base * each.most_ppm, 10**6)) - given))
        taken = min(wished, left)
        given += taken if each.most_ppm is not None else 0
        left -= taken
    return left


@given(st.lists(MADE, max_size=12))
def test_the_total_is_what_one_adds_up_on_paper(steps: list[tuple[object, ...]]) -> None:
    made = build(steps)
    owed = bill(*made)
    assert owed.total.micros == naive_total(made) >= 0
    assert owed.net + owed.tax == owed.total
    assert all(Money(0, "EUR") <= each.parts.gross <= owed.total for each in owed.taxes)


@given(
    st.lists(MADE, max_size=8),
    st.integers(0, 2_000),
    ROUNDINGS,
    st.integers(0, 10**6),
    st.integers(0, 500),
)
def test_what_is_paid_leaves_nothing(
    steps: list[tuple[object, ...]], deposit: int, rounding: CashRounding | None, by_card: int, over: int
) -> None:
    paid_in = Money(deposit * 10_000, "EUR")
    owed = bill(*build(steps), deposit=paid_in.text, rounding=rounding)
    part = owed.due.micros * by_card // 10**6
    tenders = [Tender(Method.CARD, Money(part, "EUR"))] if part else []
    missing = owed.reckon(tenders).missing + Money(over * 10_000, "EUR")
    tenders += [Tender(Method.CASH, missing)] if missing.micros else []
    paid = settle_bill(owed, version=owed.version, tenders=tenders, live_calls=0)
    account = session_account(owed.session_id, "Ann")
    balance = owed.deposit.micros - sum(line.amount.micros for line in owed.lines)
    made = (*item_transfers(7, "Ann", owed.items), *checkout_transfers(7, "Ann", "Corner", paid))
    for transfer in made:
        balance += transfer.amount.micros * ((transfer.credit == account) - (transfer.debit == account))
    assert balance == 0
    assert len({transfer.key for transfer in made}) == len(made)
    assert paid.deposit + paid.tendered - paid.change == paid.total + paid.rounding
    assert paid.change <= paid.deposit + paid.tendered
    if rounding is not None:
        assert abs(paid.rounding.micros) <= rounding.step_micros
        assert paid.cash.micros % rounding.step_micros == 0 or paid.cash == -paid.deposit or not paid.total.micros
    receipt = draw_receipt(owed, paid, CORNER, number=1, at_ms=9, author="ana", language="fr")
    assert Receipt.from_json(receipt.to_json()) == receipt


# The counter.

CORNER: Final = Counter(
    tenant="Demo",
    shop="Corner",
    currency="EUR",
    rounding=NEAREST,
    goods=(Good(name="Coffee", price=eur("1.80")), Good(name="Book", price=eur("9.00"), tax=LOW)),
    discount_most_ppm=200_000,
).completed(Seller(name="Ann", address=("1 High Street",), tax_id="GB1"), "Europe/London")


def test_a_counter_is_read_back_as_it_was_written() -> None:
    assert Counter.from_json("Demo", "Corner", CORNER.to_json()) == CORNER
    bare = Counter(tenant="Demo", shop="Corner", currency="XOF")
    assert Counter.from_json("Demo", "Corner", bare.to_json()) == bare


def test_a_counter_says_no_more_than_its_owner_where_it_says_something() -> None:
    assert CORNER.completed(Seller(name="Eve"), "UTC") == CORNER


def test_a_receipt_is_in_a_language_of_the_shop() -> None:
    french = replace(CORNER, languages=("fr", "en"))
    assert (french.language(None), french.language("en")) == ("fr", "en")
    with pytest.raises(BadTerms, match="gives receipts in fr, en, not in 'de'"):
        french.language("de")


def test_one_rate_is_one_line_of_a_bill() -> None:
    added = Tax(70_000, TaxMode.ADDED, "VAT")
    coffee, book = CORNER.goods
    assert taxed_as(coffee, VAT) is VAT
    assert taxed_as(book, VAT) is LOW
    assert taxed_as(book, added) is added
    assert taxed_as(None, None) is None
    assert taxed_as(replace(book, tax=Tax(0, TaxMode.INCLUDED, "VAT")), VAT) is None
