"""What comes on bills, payments and receipts as they are written: once, numbered, all or nothing."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sipshop.billing.errors import DeskError, NoSuchItem, StaleBill, TooMuchTendered
from sipshop.billing.tax import Tax, TaxMode
from sipshop.billing.tender import Method, Tender
from sipshop.store import CallSettled, ItemTakenBack, NothingToPay, SessionMoved, SessionOpened, Store, UnknownBooth
from sipshop.store.audit import audit
from sipshop.store.checkout import read_receipt
from tests.store.examples import (
    BOOTH,
    COUNTER,
    NOON_MS,
    TENANT,
    TO_FIVE,
    cdr,
    euros,
    filled,
    good,
    item_added,
    off,
    paid,
    running,
    taken_back,
    world_in_memory,
)

OPENED = SessionOpened(tenant=TENANT, booth=BOOTH, author="ana", at_ms=NOON_MS)
COFFEE = item_added(good("Coffee", "1.80", 2), key="coffee")
VAT = Tax(200_000, TaxMode.INCLUDED, "VAT")


@pytest.fixture(name="connection")
def _connection() -> Iterator[sqlite3.Connection]:
    with closing(world_in_memory()) as connection:
        OPENED.apply(connection)
        yield connection
        assert audit(connection) == []


def log(connection: sqlite3.Connection) -> list[str]:
    return [f"{row['author']} {row['action']}: {row['detail']}" for row in connection.execute("SELECT * FROM desk_log")]


def balances(connection: sqlite3.Connection) -> dict[str, int]:
    found = connection.execute("SELECT name, balance_micros FROM accounts WHERE balance_micros <> 0")
    return {row["name"]: row["balance_micros"] for row in found if not row["name"].startswith(("customer", "world"))}


def test_each_change_is_a_version_of_the_bill(connection: sqlite3.Connection) -> None:
    assert COFFEE.apply(connection).version == 1
    CallSettled(cdr("c1")).apply(connection)
    bill = item_added(taken_back(call_id="c1")).apply(connection)
    assert (bill.version, bill.total) == (3, euros(3_600_000))
    bill = ItemTakenBack(tenant=TENANT, booth=BOOTH, item=1, author="ben", at_ms=NOON_MS).apply(connection)
    assert (bill.version, bill.total, [item.text for item in bill.gone]) == (4, euros(0), ["Coffee"])
    assert log(connection)[1:] == [
        "ana good: session 1, item 1: 2 x Coffee at 1.80 EUR",
        "ana void: session 1, item 2: call c1, a wrong one",
        "ben take back: session 1, item 1: 2 x Coffee at 1.80 EUR",
    ]


def test_a_command_that_is_sent_again_is_found_done(connection: sqlite3.Connection) -> None:
    first = COFFEE.apply(connection)
    again = replace(COFFEE, item=replace(COFFEE.item, at_ms=NOON_MS + 5))
    assert again.apply(connection) == first
    with pytest.raises(DeskError, match="use a new key"):
        replace(COFFEE, item=good("Tea", "1.00")).apply(connection)
    paid(1, euros(3_600_000)).apply(connection)
    assert COFFEE.apply(connection).total == euros(3_600_000)  # its answer was lost, and then it was paid
    assert connection.execute("SELECT count(*) AS n FROM bill_items").fetchone()["n"] == 1


def test_an_item_goes_once(connection: sqlite3.Connection) -> None:
    COFFEE.apply(connection)
    back = ItemTakenBack(tenant=TENANT, booth=BOOTH, item=1, author="ana", at_ms=NOON_MS)
    assert back.apply(connection) == back.apply(connection)
    with pytest.raises(NoSuchItem, match="no item 2"):
        replace(back, item=2).apply(connection)


def test_there_must_be_a_bill(connection: sqlite3.Connection) -> None:
    with pytest.raises(NothingToPay):
        replace(COFFEE, booth="gate").apply(connection)
    with pytest.raises(UnknownBooth):
        replace(COFFEE, booth="b9").apply(connection)


def test_goods_go_with_their_customer_to_another_booth(connection: sqlite3.Connection) -> None:
    COFFEE.apply(connection)
    SessionMoved(tenant=TENANT, booth=BOOTH, to="booth2", author="ana", at_ms=NOON_MS).apply(connection)
    assert paid(1, euros(3_600_000), booth="booth2").apply(connection).payable == euros(3_600_000)


def test_all_that_a_payment_moves(connection: sqlite3.Connection) -> None:
    CallSettled(cdr("c1")).apply(connection)  # 0.29
    COFFEE.apply(connection)
    item_added(good("Book", "9.00", tax=VAT)).apply(connection)
    item_added(off(percent_ppm=100_000)).apply(connection)  # of 12.89: 1.29
    pay = replace(
        paid(4, euros(2_000_000), counter=replace(COUNTER, rounding=TO_FIVE)),
        tenders=(Tender(Method.CARD, euros(10_000_000)), Tender(Method.CASH, euros(2_000_000))),
        language="fr",
    )
    receipt = pay.apply(connection)
    told = (receipt.number, receipt.language, str(receipt.total), str(receipt.rounding), str(receipt.change))
    assert told == (1, "fr", "11.60 EUR", "0.00 EUR", "0.40 EUR")
    assert [(entry.kind.value, str(entry.amount)) for entry in receipt.entries] == [
        ("call", "0.29 EUR"),
        ("good", "3.60 EUR"),
        ("good", "9.00 EUR"),
        ("discount", "-1.29 EUR"),
    ]
    (tax,) = receipt.taxes
    assert str(tax.parts.gross) == "8.10 EUR"
    found = balances(connection)
    assert found["till:corner"] == -1_600_000
    assert found["card:corner"] == -10_000_000
    assert found["tax:zoe"] == tax.parts.tax.micros
    assert "session:1@zoe" not in found
    assert pay.apply(connection) == receipt


def test_rounding_is_the_owners_gain(connection: sqlite3.Connection) -> None:
    item_added(good("Copy", "0.13")).apply(connection)
    receipt = paid(1, euros(150_000), counter=replace(COUNTER, rounding=TO_FIVE)).apply(connection)
    assert (receipt.rounding, receipt.payable) == (euros(20_000), euros(150_000))
    found = balances(connection)
    assert (found["rounding:zoe"], found["revenue:zoe"], found["till:corner"]) == (20_000, 130_000, -150_000)


def test_a_bill_that_grew_is_not_paid(connection: sqlite3.Connection) -> None:
    COFFEE.apply(connection)
    with pytest.raises(StaleBill, match=r"Coffee, 3\.60 EUR: include it\? Then pay version 1"):
        paid(0, euros(0)).apply(connection)


def test_what_is_refused_draws_no_number(connection: sqlite3.Connection) -> None:
    COFFEE.apply(connection)
    pay = paid(1, euros(3_600_000))
    with pytest.raises(TooMuchTendered):
        replace(pay, tenders=(Tender(Method.VOUCHER, euros(4_000_000)),)).apply(connection)
    assert pay.apply(connection).number == 1
    replace(OPENED, booth="gate").apply(connection)
    OPENED.apply(connection)
    assert paid(0, euros(0)).apply(connection).number == 2
    assert paid(0, euros(0), booth="gate").apply(connection).number == 3


def test_a_receipt_stays_as_it_was_drawn(connection: sqlite3.Connection) -> None:
    COFFEE.apply(connection)
    receipt = paid(1, euros(5_000_000)).apply(connection)
    (row,) = connection.execute("SELECT * FROM receipts")
    assert read_receipt(row["receipt"]) == receipt
    assert json.loads(row["receipt"])["seller"] == {"name": "zoe", "address": [], "tax_id": ""}
    for change in ("UPDATE receipts SET author = 'eve'", "DELETE FROM receipts"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(change)


def test_a_start_finds_the_bills_that_are_more_than_calls(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        for write in (OPENED, CallSettled(cdr("c1")), COFFEE, replace(OPENED, booth="gate")):
            await store.commit(write)
        receipts = await store.receipts(TENANT, "corner", limit=9, before=None, since_ms=0, until_ms=NOON_MS + 9)
        assert (receipts, await store.receipt(TENANT, "corner", 1)) == ([], None)
        receipt = await store.commit(paid(0, euros(0), booth="gate"))
        assert await store.receipt(TENANT, "corner", 1) == receipt

    with filled(tmp_path / "db") as store:
        running(store, work)
    with filled(tmp_path / "db") as store:
        (bill,) = store.open_bills()
        assert (bill.booth, bill.version, bill.total) == (BOOTH, 2, euros(3_890_000))
