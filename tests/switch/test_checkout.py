"""The counter: goods, discounts and voids while calls run, payments that race with calls, and receipts."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from typing import Any, Final

import pytest

from sipshop.billing.desk import Bill, SessionTerms
from sipshop.billing.errors import BadTerms, BeyondRights, CallAlive, DeskError, StaleBill
from sipshop.billing.money import Money
from sipshop.billing.receipt import Receipt, Seller
from sipshop.billing.tender import Method, Tender
from sipshop.facts import BoothChanged
from sipshop.store import NothingToPay, Unwritable
from sipshop.store.audit import audit
from sipshop.switch import UnknownBooth, UnknownReceipt, UnknownShop
from sipshop.switch.checkout import Checkout
from sipshop.world import parse_world
from tests.switch.house import NOON_MS, TENANT, House, MemoryStore, at_once, cash

#: 49 is 0.10 for each begun minute, tax of 20% in it.
WORLD: Final = """\
provider: {name: Tel}
owners: [{name: Ann, deck: sell, unlimited: true, legal: {name: Ann Ltd}, invoices: {timezone: Europe/Berlin}}]
decks:
  - name: sell
    currency: EUR
    rates: [{prefix: "49", destination: Germany, first_s: 60, first_price: "0.10", next_s: 60}]
trunks: [{name: one, deck: sell, host: 192.0.2.20, emergency: true}]
routes: [{prefix: "", trunks: [one]}]
shops:
  - name: Corner
    owner: Ann
    deck: sell
    country_code: "49"
    emergency: ["112"]
    tax: {percent: "20", mode: included}
    desk:
      cash_rounding: {step: "0.05", mode: up}
      goods: [{name: Coffee, price: "1.80"}, {name: Book, price: "9.00", tax: {percent: "7"}}]
      languages: [fr, en]
      discount_most_percent: "20"
      operators_may_void: false
    booths: [{name: gate, auth: ip, ip: 192.0.2.11}, {name: next, password: x}]
"""


@pytest.fixture
def house() -> Iterator[House]:
    house = House(MemoryStore, world=parse_world(WORLD, "checkout"))
    house.unlock()
    yield house
    assert audit(house.memory.connection) == []
    assert house.switch.accounts.faults() == []


def checkout(house: House) -> Checkout:
    return house.switch.desk.checkout


def euros(text: str) -> Money:
    return Money.parse(text, "EUR")


def bill(house: House) -> Bill:
    return at_once(checkout(house).bill(TENANT, "gate"))


def sell(house: House, name: str, quantity: int = 1, unit: str | None = None, key: str | None = None) -> Bill:
    return at_once(
        checkout(house).add_good(
            TENANT,
            "gate",
            name=name,
            quantity=quantity,
            unit=None if unit is None else euros(unit),
            author="ana",
            key=f"{name} {quantity} {unit}" if key is None else key,
        )
    )


def discount(house: House, text: str = "", *, percent_ppm: int | None = None, is_operator: bool = True) -> Bill:
    return at_once(
        checkout(house).discount(
            TENANT,
            "gate",
            amount=euros(text) if text else None,
            percent_ppm=percent_ppm,
            reason="a regular",
            author="ana",
            key=f"off {text} {percent_ppm}",
            is_operator=is_operator,
        )
    )


def void(house: House, *, call_id: str | None = None, item: int | None = None, is_operator: bool = False) -> Bill:
    return at_once(
        checkout(house).void(
            TENANT,
            "gate",
            call_id=call_id,
            item=item,
            reason="a bad line",
            author="olga",
            key=f"void {call_id} {item}",
            is_operator=is_operator,
        )
    )


def paying(house: House, *tenders: Tender, version: int | None = None) -> Coroutine[Any, Any, Receipt]:
    asked = bill(house).version if version is None else version
    return checkout(house).pay(TENANT, "gate", version=asked, tenders=tenders, language=None, author="ana")


def pay(house: House, *tenders: Tender, version: int | None = None) -> Receipt:
    return at_once(paying(house, *tenders, version=version))


def hang_up(house: House) -> None:
    for leg in list(house.phone.legs):
        house.phone.hang_up(leg)
    house.advance()


def changes(house: House) -> int:
    return len(house.switch_peer.told(BoothChanged))


# What comes on a bill.


def test_a_good_costs_what_the_list_says_and_anything_else_what_is_said(house: House) -> None:
    sell(house, "Coffee", 2)
    sell(house, "Book")
    sell(house, "Stamp", unit="0.13")
    owed = bill(house)
    assert (owed.total, owed.version) == (euros("12.73"), 3)
    assert [(each.tax.percent, str(each.parts.gross)) for each in owed.taxes] == [("20", "3.73 EUR"), ("7", "9.00 EUR")]
    with pytest.raises(BadTerms, match=r"Coffee costs 1\.80 EUR here"):
        sell(house, "Coffee", unit="0.10")
    with pytest.raises(BadTerms, match="'Tea' is not on the list of Corner: give its price"):
        sell(house, "Tea")
    assert bill(house) == owed


def test_the_boards_hear_of_each_change_once_it_is_durable(house: House) -> None:
    before = changes(house)
    sell(house, "Coffee")
    assert changes(house) == before + 1
    house.memory.broken = True
    with pytest.raises(Unwritable):
        sell(house, "Book")
    assert changes(house) == before + 1
    house.memory.broken = False
    at_once(checkout(house).take_back(TENANT, "gate", item=1, author="ana"))
    assert changes(house) == before + 2
    assert bill(house).total == euros("0.00")


def test_goods_are_sold_while_a_call_runs_and_take_nothing_from_its_deposit(house: House) -> None:
    pay(house)
    at_once(house.switch.desk.unlock(TENANT, "gate", "ana", SessionTerms(deposit=euros("0.30")), "k"))
    house.talking()
    sell(house, "Coffee")
    house.advance(240.0)  # three minutes are paid for
    assert house.cdr.talk_ms == 180_000
    owed = bill(house)
    assert (str(owed.total), str(owed.due), str(owed.reckon(()).missing)) == ("2.10 EUR", "1.80 EUR", "1.80 EUR")


def test_an_operator_gives_what_his_shop_lets_him(house: House) -> None:
    sell(house, "Book")
    with pytest.raises(BeyondRights, match=r"operators take off 20% of a bill at most, in all; 1\.81 EUR is more"):
        discount(house, "1.81")
    assert discount(house, "1.80").total == euros("7.20")
    with pytest.raises(BeyondRights, match="ask its owner"):
        void(house, item=1, is_operator=True)
    assert discount(house, percent_ppm=500_000, is_operator=False).total == euros("2.70")
    assert void(house, item=1).total == euros("0.00")


def test_a_free_call_needs_a_reason_and_shows_who_gave_it(house: House) -> None:
    house.talking()
    hang_up(house)
    owed = void(house, call_id=house.cdr.call_id)
    assert (owed.total, [line.amount for line in owed.lines]) == (euros("0.00"), [euros("0.10")])
    receipt = pay(house)
    assert [(entry.kind.value, entry.text, entry.author) for entry in receipt.entries] == [
        ("call", "Germany", ""),
        ("void", "a bad line", "olga"),
    ]


def on_the_board(house: House) -> Money:
    """What the booth's card says that is on the bill, calls and all."""
    (card,) = house.switch.desk.floor.cards(TENANT, "Corner", ["gate"])
    return Money(card.spent_micros + card.beside_micros, "EUR")


def test_the_board_shows_the_whole_bill_also_after_a_restart(house: House) -> None:
    house.talking()
    hang_up(house)
    sell(house, "Coffee")
    discount(house, percent_ppm=100_000)
    assert on_the_board(house) == bill(house).total == euros("1.71")
    void(house, call_id=house.cdr.call_id)
    assert on_the_board(house) == bill(house).total == euros("1.62")
    house.restart()
    assert on_the_board(house) == euros("1.62")
    house.talking()
    hang_up(house)
    assert on_the_board(house) == bill(house).total == euros("1.71")
    pay(house, *cash(euros("1.75")))
    assert on_the_board(house) == euros("0.00")


# Payment.


def test_a_call_that_lands_between_the_sum_and_the_payment_is_told_and_not_lost(house: House) -> None:
    sell(house, "Coffee")
    read = bill(house).version
    house.talking()
    with pytest.raises(CallAlive):
        pay(house, *cash(euros("1.80")), version=read)
    house.memory.delay_s = 1.0  # its record is on the way to the disk
    hang_up(house)
    with pytest.raises(CallAlive):
        pay(house, *cash(euros("1.80")), version=read)
    house.advance(2.0)
    with pytest.raises(StaleBill, match=r"^1 new call, 0\.10 EUR: include it\? Then pay version 2$") as stale:
        pay(house, *cash(euros("1.80")), version=read)
    receipt = pay(house, *cash(euros("2.00")), version=stale.value.current)
    assert (receipt.total, receipt.change) == (euros("1.90"), euros("0.10"))


def test_two_who_take_the_same_payment_take_it_once(house: House) -> None:
    sell(house, "Stamp", unit="0.13")
    first, second = (paying(house, *cash(euros("0.15")), version=1) for _ in range(2))
    receipt = at_once(first)
    assert at_once(second) == receipt
    with pytest.raises(NothingToPay):
        at_once(checkout(house).pay(TENANT, "gate", version=1, tenders=(), language=None, author="ben"))
    house.unlock()
    assert bill(house).session_id != receipt.session_id


def test_a_payment_that_is_refused_leaves_the_booth_open(house: House) -> None:
    sell(house, "Coffee")
    with pytest.raises(DeskError):
        pay(house)
    house.memory.broken = True
    with pytest.raises(Unwritable):
        at_once(
            checkout(house).pay(TENANT, "gate", version=1, tenders=cash(euros("1.80")), language=None, author="ana")
        )
    house.memory.broken = False
    house.talking()
    assert house.switch.desk.booth(TENANT, "gate").state == "in call"


def test_a_receipt_tells_all_and_is_found_again(house: House) -> None:
    house.talking()
    hang_up(house)
    sell(house, "Coffee")
    receipt = pay(house, Tender(Method.CARD, euros("1.00")), Tender(Method.CASH, euros("1.00")))
    assert (receipt.number, receipt.language, receipt.zone) == (1, "fr", "Europe/Berlin")
    assert (receipt.seller, receipt.author) == (Seller(name="Ann Ltd"), "ana")
    assert (str(receipt.total), str(receipt.rounding), str(receipt.change)) == ("1.90 EUR", "0.00 EUR", "0.10 EUR")
    assert receipt.entries[0].explanation == "1 s = 60 s at 0.10/min = 0.10"
    house.unlock()
    other = at_once(checkout(house).pay(TENANT, "gate", version=0, tenders=(), language="en", author="ben"))
    assert at_once(checkout(house).receipts(TENANT, "Corner")) == [other, receipt]
    assert at_once(checkout(house).receipts(TENANT, "Corner", before=2)) == [receipt]
    assert at_once(checkout(house).receipts(TENANT, "Corner", until_ms=NOON_MS)) == []
    assert at_once(checkout(house).receipt(TENANT, "Corner", 1)) == receipt
    house.restart()
    assert at_once(checkout(house).receipt(TENANT, "Corner", 2)) == other


def test_what_is_not_there_is_not_there(house: House) -> None:
    with pytest.raises(BadTerms, match="gives receipts in fr, en, not in 'pl'"):
        at_once(checkout(house).pay(TENANT, "gate", version=0, tenders=(), language="pl", author="ana"))
    with pytest.raises(UnknownReceipt, match="no receipt 9"):
        at_once(checkout(house).receipt(TENANT, "Corner", 9))
    with pytest.raises(UnknownShop, match="nowhere"):
        checkout(house).counter(TENANT, "nowhere")
    for ask in (
        checkout(house).bill(TENANT, "b9"),
        checkout(house).take_back(TENANT, "b9", item=1, author="ana"),
        checkout(house).pay("other", "gate", version=0, tenders=(), language=None, author="ana"),
    ):
        with pytest.raises(UnknownBooth):
            at_once(ask)
    with pytest.raises(NothingToPay):
        at_once(checkout(house).bill(TENANT, "next"))
