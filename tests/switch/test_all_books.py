"""All that the books can do in one story: taxes, exchange, other prices, reratings, invoices, exports and crashes."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from sipshop.billing.money import parse_amount
from sipshop.billing.rerate import Rerating
from sipshop.export.formats import encoder
from sipshop.export.forms import ExportForm
from sipshop.store.audit import audit
from sipshop.store.invoices import Invoice
from sipshop.store.outbox import read_records
from sipshop.store.schema import SCHEMA_VERSION
from sipshop.store.verify import verify_file
from tests.switch.house import NOON_MS, TENANT, at_once
from tests.switch.test_books import CALLING, DEEDS, MOMENTS, Shop
from tests.switch.test_fx import DAY_S, MIXED
from tests.switch.test_rerating import DAY_MS, agree

OPENING: Final = "50.00"
TAXED: Final = MIXED.replace("name: Ann,", 'name: Ann, tax: {percent: "7.7"},')


class Trade(Shop):
    """A shop whose prices, taxes and rates of exchange change, and whose calls are charged anew and invoiced."""

    def __init__(self) -> None:
        super().__init__(OPENING, TAXED)
        self.text = TAXED.replace("OPENING", OPENING).replace("GUARD", "warn")
        self.batches = count()

    def do(self, action: str) -> None:
        if action in TRADE:
            TRADE[action](self)
        else:
            super().do(action)

    def change(self, *ways: tuple[str, str]) -> None:
        """The world says something else; said again, it says what it said before."""
        for old, new in ways:
            self.text = self.text.replace(old, new, 1) if old in self.text else self.text.replace(new, old, 1)
        at_once(self.house.switch.desk.worlds.apply(TENANT, self.text, "trade.yaml", author="root"))

    def crash(self) -> None:
        self.house.worlds = (self.house.memory.world(TENANT),)  # a start reads the world as it became
        super().crash()

    def rerate(self, deck: str, version: int) -> None:
        """All calls of a deck are charged by its first or its newest version; a batch is done again, for nothing."""
        ((newest,),) = self.house.memory.connection.execute("SELECT max(version) FROM decks WHERE name = ?", [deck])
        asked = Rerating(deck=deck, version=version or newest, since_ms=NOON_MS - DAY_MS, until_ms=NOON_MS + 9 * DAY_MS)
        work = partial(self.house.switch.desk.books.rerate, TENANT, asked, author="root", reason="r", most=10)
        batch = f"batch {next(self.batches)}"
        at_once(work(batch=batch))
        assert at_once(work(batch=batch)).calls == 0

    def close_days(self, first: str, beyond: str) -> list[Invoice]:
        """The day is over: Ann and Rhea get their invoices, if they did anything; closed again, those are the same."""
        books = self.house.switch.desk.books
        closed = []
        for party in ("Ann", "Rhea"):
            period = books.period(TENANT, party, month=None, first=first, beyond=beyond)
            if not at_once(books.statement(TENANT, party, period)).is_empty:
                closed.append(at_once(books.close(TENANT, party, period, "root")).invoice)
                again = at_once(books.close(TENANT, party, period, "root"))
                assert (again.invoice, again.is_new) == (closed[-1], False)
        return closed

    def pass_a_day(self) -> None:
        """Everybody hangs up, all is written, and the next day comes."""
        self.disk()
        self.house.advance(200.0)
        at_once(self.house.switch.desk.lock(TENANT, "gate", "ana", cut=True))
        self.house.forget()
        self.house.network.now += DAY_S


TRADE: Final[dict[str, Callable[[Trade], None]]] = {
    "another price in the shop": lambda shop: shop.change(('first_price: "0.25"', 'first_price: "0.31"')),
    "another price of Rhea's": lambda shop: shop.change(('first_price: "0.18"', 'first_price: "0.11"')),
    "another price of the carrier's": lambda shop: shop.change(
        ('first_price: "0.11", next', 'first_price: "0.1", next')
    ),
    "another tax": lambda shop: shop.change(('percent: "20"', 'percent: "8.1"')),
    "the tax is included": lambda shop: shop.change(("mode: added", "mode: included")),
    "another rate of exchange": lambda shop: shop.change(('"1.10"', '"0.93"')),
    "the shop's calls anew": lambda shop: shop.rerate("booth", 0),
    "the shop's calls as before": lambda shop: shop.rerate("booth", 1),
    "Rhea's calls anew": lambda shop: shop.rerate("ann", 0),
    "Rhea's calls as before": lambda shop: shop.rerate("ann", 1),
    "the carrier's calls anew": lambda shop: shop.rerate("cheap", 0),
    "the process dies": Trade.crash,
}
BEFORE: Final = (
    "unlock",
    "unlock for a deposit",
    "lock",
    "check out",
    "top up",
    "the owner pays",
    "the caller hangs up",
)
HAPPENING: Final = st.tuples(MOMENTS, st.sampled_from([*TRADE, *BEFORE, "the disk is slow"]))
assert set(BEFORE) <= set(DEEDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("books")


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    scripts=st.tuples(
        *[st.tuples(st.lists(CALLING, min_size=1, max_size=4), st.lists(HAPPENING, min_size=4, max_size=9))] * 2
    )
)
def test_whatever_is_changed_rerated_invoiced_and_exported_the_books_are_right(
    folder: Path, scripts: Sequence[tuple[Sequence[tuple[float, str]], Sequence[tuple[float, str]]]]
) -> None:
    shop = Trade()
    house = shop.house
    invoices: list[Invoice] = []
    # A day on which nothing moved stays open, and what is corrected later counts in it.
    open_since = dict.fromkeys(("Ann", "Rhea"), 14)
    for day, (calls, happenings) in enumerate(scripts, start=14):
        shop.do("unlock")
        start_s = house.network.now
        for at_s, action in (*calls, *happenings):
            house.network.at(start_s + at_s, partial(shop.do, action))
        house.advance(60.5)
        shop.pass_a_day()
        closed = shop.close_days(f"2023-11-{day}", f"2023-11-{day + 1}")
        invoices += closed
        open_since |= {invoice.buyer: day + 1 for invoice in closed}
        shop.do("another price of Rhea's")
        shop.do("Rhea's calls anew")  # corrects a closed day
    assert audit(house.memory.connection) == []
    assert house.switch.accounts.faults() == []
    agree(house)
    path = folder / "books.db"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as copy:
        house.memory.connection.backup(copy)
        notes = [("schema_version", str(SCHEMA_VERSION).encode()), ("secret", bytes(32))]
        copy.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", notes)
        copy.commit()
    assert verify_file(path).differences == ()
    paid = _check_exports(house.memory.connection, path)
    for party, amount in paid.items():
        books = house.switch.desk.books
        first = f"2023-11-{open_since[party]}"
        open_period = books.period(TENANT, party, month=None, first=first, beyond="2023-11-17")
        left = at_once(books.statement(TENANT, party, open_period)).net_micros
        invoiced = [invoice.net_micros for invoice in invoices if invoice.buyer == party]
        assert sum(invoiced) + left == amount, "what is exported is what is on invoices"


def _check_exports(connection: sqlite3.Connection, path: Path) -> dict[str, int]:
    """Every revision is exported once, in each form with the same amounts, and the latest of them are what was paid.

    Gives what each party has paid for calls.
    """
    exported = [each.record for each in read_records(path, TENANT, 1, 1_000_000)]
    records = [record for record in exported if record is not None]
    named = [(record["call_id"], record["revision"]) for record in records]
    assert sorted(named) == sorted(tuple(row) for row in connection.execute("SELECT call_id, revision FROM cdrs"))
    amounts = [[parse_amount(charge["amount"]) for charge in record["charges"]] for record in records]
    assert amounts == [*map(_of_json, _written(ExportForm.JSONL, records).decode().splitlines())]
    rows = csv.DictReader(io.StringIO(_written(ExportForm.CSV, records).decode(), newline=""))
    assert amounts == [*map(_of_csv, rows)]
    table = parquet.read_table(io.BytesIO(_written(ExportForm.PARQUET, records)))
    assert amounts == [[int(each["amount"].scaleb(6)) for each in charges] for charges in table["charges"].to_pylist()]
    latest = dict(zip((call_id for call_id, _ in sorted(named)), _by_name(named, amounts), strict=True))
    for level, account in enumerate(("session:%", "customer:Ann@Rhea", "customer:Rhea@Tel")):
        ((paid,),) = connection.execute(
            "SELECT coalesce(sum(CASE WHEN debit LIKE :of THEN amount_micros ELSE -amount_micros END), 0)"
            " FROM transfers WHERE kind IN ('charge', 'rerating') AND (debit LIKE :of OR credit LIKE :of)",
            {"of": account},
        )
        assert sum(each[level] for each in latest.values() if each) == paid, account
    return {
        party: sum(each[level] for each in latest.values() if each) for level, party in enumerate(("Ann", "Rhea"), 1)
    }


def _by_name(named: list[tuple[str, int]], amounts: list[list[int]]) -> list[list[int]]:
    """The amounts in the order of calls and revisions."""
    return [found for _, found in sorted(zip(named, amounts, strict=True))]


def _written(form: ExportForm, records: list[dict[str, Any]]) -> bytes:
    writer = encoder(form)
    return writer.add(records) + writer.end()


def _of_json(line: str) -> list[int]:
    return [parse_amount(charge["amount"]) for charge in json.loads(line)["charges"]]


def _of_csv(row: dict[str, str]) -> list[int]:
    found = [row[f"charge{level}_amount"] for level in range(4)]
    return [parse_amount(amount) for amount in found if amount]
