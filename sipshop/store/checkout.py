"""What is written at the counter: what comes on a bill besides calls, payments, and the receipts of them.

What comes on a bill or goes raises the bill's version in its transaction, as a charge does; so of two that change one
bill at once both are done, and whoever pays has seen both.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects.sqlite import insert

from sipshop.billing.checkout import draw_receipt
from sipshop.billing.counter import Counter
from sipshop.billing.desk import Bill, BoothSession, Payment, check_item, draw_bill, item_of, settle_bill
from sipshop.billing.errors import DeskError
from sipshop.billing.items import Billed, BillItem
from sipshop.billing.ledger import checkout_transfers, item_transfers, tax_transfers
from sipshop.billing.money import Money, format_scaled
from sipshop.billing.receipt import EntryKind, Receipt
from sipshop.billing.tax import PERCENT_PLACES, Tax
from sipshop.billing.tender import Tender
from sipshop.store import queries, rows
from sipshop.store.errors import NothingToPay
from sipshop.store.rows import Row
from sipshop.store.schema import Statement, bill_items, booth_sessions, payment_taxes, payments, receipts
from sipshop.store.writes import keep_session, live_calls, note_in_log, post, raise_version, shop_of, unpaid_session

_ADD: Final = Statement(insert(bill_items))
_IS_ITEM: Final = (
    bill_items.c.tenant == bindparam("key_tenant"),
    bill_items.c.session_id == bindparam("key_session_id"),
    bill_items.c.number == bindparam("key_number"),
)
_REMOVE: Final = Statement(
    update(bill_items)
    .where(*_IS_ITEM)
    .values({name: bindparam(name) for name in ("removed", "removed_by", "removed_at_ms")})
)
_SETTLE_ITEM: Final = Statement(update(bill_items).where(*_IS_ITEM).values(came_to_micros=bindparam("came_to_micros")))
_OF_KEY: Final = Statement(
    select(bill_items).where(bill_items.c.tenant == bindparam("tenant"), bill_items.c.key == bindparam("key"))
)
_SESSION: Final = Statement(
    select(booth_sessions).where(
        booth_sessions.c.tenant == bindparam("tenant"), booth_sessions.c.id == bindparam("session_id")
    )
)
ITEMS: Final = Statement(
    select(bill_items)
    .where(bill_items.c.tenant == bindparam("tenant"), bill_items.c.session_id == bindparam("session_id"))
    .order_by(bill_items.c.number)
)

_OPEN: Final = Statement(
    select(booth_sessions, bill_items.c.currency)
    .join(
        bill_items,
        (bill_items.c.tenant == booth_sessions.c.tenant) & (bill_items.c.session_id == booth_sessions.c.id),
    )
    .where(booth_sessions.c.paid == 0, bill_items.c.removed.is_(None))
    .distinct()
)

_PAY: Final = Statement(insert(payments))
_PAY_TAX: Final = Statement(insert(payment_taxes))
_DRAW: Final = Statement(insert(receipts))
_NEXT_NUMBER: Final = Statement(
    select((func.coalesce(func.max(receipts.c.number), 0) + 1).label("number")).where(
        receipts.c.tenant == bindparam("tenant"), receipts.c.shop == bindparam("shop")
    )
)
_LAST_OF_BOOTH: Final = Statement(
    select(receipts.c.receipt, payments.c.version)
    .join(
        booth_sessions,
        (booth_sessions.c.tenant == receipts.c.tenant) & (booth_sessions.c.id == receipts.c.session_id),
    )
    .join(payments, (payments.c.tenant == receipts.c.tenant) & (payments.c.session_id == receipts.c.session_id))
    .where(receipts.c.tenant == bindparam("tenant"), booth_sessions.c.booth == bindparam("booth"))
    .order_by(receipts.c.session_id.desc())
    .limit(1)
)
RECEIPT: Final = Statement(
    select(receipts.c.receipt).where(
        receipts.c.tenant == bindparam("tenant"),
        receipts.c.shop == bindparam("shop"),
        receipts.c.number == bindparam("number"),
    )
)
RECEIPTS: Final = Statement(
    select(receipts.c.receipt)
    .where(
        receipts.c.tenant == bindparam("tenant"),
        receipts.c.shop == bindparam("shop"),
        receipts.c.number < bindparam("before"),
        receipts.c.at_ms >= bindparam("since_ms"),
        receipts.c.at_ms < bindparam("until_ms"),
    )
    .order_by(receipts.c.number.desc())
    .limit(bindparam("limit"))
)


# Rows.


def item_values(item: BillItem, tenant: str, session_id: int, currency: str, key: str) -> rows.Values:
    """Return the row of an item."""
    return {
        "tenant": tenant,
        "session_id": session_id,
        "number": item.number,
        "kind": item.kind.value,
        "text": item.text,
        "currency": currency,
        "quantity": item.quantity,
        "unit_micros": None if item.unit is None else item.unit.micros,
        "tax": None if item.tax is None else rows.to_json(item.tax.to_json()),
        "amount_micros": None if item.amount is None else item.amount.micros,
        "percent_ppm": item.percent_ppm,
        "most_ppm": item.most_ppm,
        "call_id": item.call_id,
        "item": item.item,
        "author": item.author,
        "at_ms": item.at_ms,
        "key": key,
        "added": item.added,
        "removed": None,
        "removed_by": None,
        "removed_at_ms": None,
        "came_to_micros": None,
    }


def read_item(row: Row) -> BillItem:
    """Read an item back."""

    def money(name: str) -> Money | None:
        return None if row[name] is None else Money(row[name], row["currency"])

    return BillItem(
        kind=EntryKind(row["kind"]),
        text=row["text"],
        author=row["author"],
        at_ms=row["at_ms"],
        number=row["number"],
        added=row["added"],
        removed=row["removed"],
        removed_by=row["removed_by"],
        quantity=row["quantity"],
        unit=money("unit_micros"),
        tax=None if row["tax"] is None else Tax.from_json(json.loads(row["tax"])),
        amount=money("amount_micros"),
        percent_ppm=row["percent_ppm"],
        most_ppm=row["most_ppm"],
        call_id=row["call_id"],
        item=row["item"],
    )


def read_bill(session: BoothSession, currency: str, lines: Iterable[Row], items: Iterable[Row]) -> Bill:
    """Draw up a session's bill from the rows of its charged calls, in their order, and of its items."""
    return draw_bill(session, currency, [rows.bill_line(row) for row in lines], [read_item(row) for row in items])


def open_bills(read: Callable[[Statement, Mapping[str, Any]], Iterable[Row]]) -> list[Bill]:
    """Return the bills of all unpaid sessions on which something stands besides calls.

    `read` asks the database a statement with its values.
    """
    bills: list[Bill] = []
    for row in list(read(_OPEN, {})):
        session = rows.booth_session(row)
        of = {"tenant": session.tenant, "session_id": session.id}
        bills.append(read_bill(session, row["currency"], read(queries.BILL_LINES, of), read(ITEMS, of)))
    return bills


def read_receipt(text: str) -> Receipt:
    """Read a receipt back; raises KeyError, TypeError or ValueError if it is none."""
    return Receipt.from_json(json.loads(text))


def _drawn(connection: sqlite3.Connection, session: BoothSession, currency: str) -> Bill:
    of = {"tenant": session.tenant, "session_id": session.id}
    return read_bill(session, currency, queries.BILL_LINES.run(connection, of), ITEMS.run(connection, of))


# Writes.


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemAdded:
    """Something comes on the bill of a booth's unpaid session; `key` names the command."""

    waited_for: ClassVar[bool] = True
    tenant: str
    booth: str
    item: BillItem
    key: str

    def apply(self, connection: sqlite3.Connection) -> Bill:
        """Write it, and return the bill as it is then; the same command is found done, even when it was paid since.

        Raises:
            UnknownBooth: the tenant has no such booth.
            NothingToPay: it has no unpaid session.
            DeskError: it cannot come on this bill, or another item came by this key.
        """
        currency = shop_of(connection, self.tenant, self.booth)["currency"]
        row = _OF_KEY.run(connection, {"tenant": self.tenant, "key": self.key}).fetchone()
        if row is not None:
            return self._found_done(connection, row)
        session = _unpaid(connection, self.tenant, self.booth)
        bill = _drawn(connection, session, currency)
        check_item(bill, self.item)
        version = raise_version(connection, self.tenant, session.id)
        assert version is not None, "the session is there"
        item = replace(self.item, number=len(bill.items) + len(bill.gone) + 1, added=version)
        _ADD.run(connection, item_values(item, self.tenant, session.id, currency, self.key))
        note_in_log(
            connection,
            tenant=self.tenant,
            at_ms=item.at_ms,
            author=item.author,
            action=item.kind.value,
            subject=self.booth,
            detail=f"session {session.id}, item {item.number}: {_told(item)}",
        )
        return _drawn(connection, replace(session, version=version), currency)

    def _found_done(self, connection: sqlite3.Connection, row: Row) -> Bill:
        known = read_item(row)
        of = {"tenant": self.tenant, "session_id": row["session_id"]}
        session = rows.booth_session(_SESSION.run(connection, of).fetchone())
        same = replace(
            self.item, number=known.number, added=known.added, removed=known.removed, removed_by=known.removed_by
        )
        if session.booth != self.booth or replace(same, at_ms=known.at_ms) != known:
            raise DeskError("something else came on a bill under this key before: use a new key for a new item")
        return _drawn(connection, session, row["currency"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemTakenBack:
    """An item goes from the bill of a booth's unpaid session, as if it had never been there; who did it is kept."""

    waited_for: ClassVar[bool] = True
    tenant: str
    booth: str
    item: int
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> Bill:
        """Take it back, and return the bill as it is then; one that is gone already is found so.

        Raises:
            UnknownBooth: the tenant has no such booth.
            NothingToPay: it has no unpaid session.
            NoSuchItem: there was never such an item, or it was voided.
        """
        currency = shop_of(connection, self.tenant, self.booth)["currency"]
        session = _unpaid(connection, self.tenant, self.booth)
        bill = _drawn(connection, session, currency)
        item = item_of(bill, self.item)
        if item is None:
            return bill
        version = raise_version(connection, self.tenant, session.id)
        key = {"key_tenant": self.tenant, "key_session_id": session.id, "key_number": item.number}
        change = {"removed": version, "removed_by": self.author, "removed_at_ms": self.at_ms}
        _REMOVE.run(connection, key | change)
        note_in_log(
            connection,
            tenant=self.tenant,
            at_ms=self.at_ms,
            author=self.author,
            action="take back",
            subject=self.booth,
            detail=f"session {session.id}, item {item.number}: {_told(item)}",
        )
        assert version is not None, "the session is there"
        return _drawn(connection, replace(session, version=version), currency)


def _told(item: BillItem) -> str:
    """An item in the words of the desk's log."""
    match item:
        case BillItem(unit=Money() as unit):
            return f"{item.quantity} x {item.text} at {unit}"
        case BillItem(amount=Money() as amount):
            return f"{amount}, {item.text}"
        case BillItem(percent_ppm=int() as ppm):
            return f"{format_scaled(ppm, PERCENT_PLACES, 0)}%, {item.text}"
        case BillItem(call_id=str() as call_id):
            return f"call {call_id}, {item.text}"
        case _:
            return f"item {item.item}, {item.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPaid:
    """The customer pays the bill that the operator read at `version`; the booth is locked by it.

    `counter` is that of the booth's shop, completed; the receipt is in `language`.
    """

    waited_for: ClassVar[bool] = True
    tenant: str
    booth: str
    version: int
    tenders: tuple[Tender, ...]
    counter: Counter
    language: str
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> Receipt:
        """Draw up the bill as it stands in this transaction, and settle it: the session's account is at zero then.

        All of it is one transaction: the payment, what it moves, and the receipt with the shop's next number. The same
        payment of a booth that has no unpaid session is found done, so a lost answer can be asked for again.

        Raises:
            DeskError: a call of the session has no CDR yet, the bill is at another version, the tenders do not do.
            NothingToPay: there is no unpaid session.
            UnknownBooth: the tenant has no such booth.
        """
        session = unpaid_session(connection, self.tenant, self.booth)
        if session is None:
            return self._done(connection)
        shop = shop_of(connection, self.tenant, self.booth)
        assert shop["name"] == self.counter.shop, "a bill is paid at its own counter"
        bill = replace(_drawn(connection, session, shop["currency"]), cash_rounding=self.counter.rounding)
        payment = settle_bill(
            bill, version=self.version, tenders=self.tenders, live_calls=live_calls(connection, session)
        )
        self._write(connection, payment)
        self._settle_items(connection, bill.items, session)
        made = (
            *item_transfers(session.id, session.owner, bill.items),
            *tax_transfers(session.id, session.owner, payment.taxes),
            *checkout_transfers(session.id, session.owner, shop["name"], payment),
        )
        post(connection, self.tenant, made, author=self.author, reason="", at_ms=self.at_ms)
        closed_at_ms = self.at_ms if session.closed_at_ms is None else session.closed_at_ms
        keep_session(connection, replace(session, closed_at_ms=closed_at_ms, paid=True))
        receipt = self._draw(connection, bill, payment)
        tendered = ", ".join(f"{tender.amount} by {tender.method}" for tender in self.tenders) or "nothing"
        self._log(connection, f"session {session.id}, receipt {receipt.number}, {payment.total}, tendered {tendered}")
        return receipt

    def _write(self, connection: sqlite3.Connection, payment: Payment) -> None:
        author = {"tenant": self.tenant, "author": self.author, "at_ms": self.at_ms}
        _PAY.run(connection, rows.payment_values(payment) | author)
        of_tenant = {"tenant": self.tenant}
        _PAY_TAX.run_many(connection, (values | of_tenant for values in rows.payment_tax_values(payment)))

    def _settle_items(self, connection: sqlite3.Connection, items: Iterable[Billed], session: BoothSession) -> None:
        """Keep what each item came to: a discount is worked out no more."""
        key = {"key_tenant": self.tenant, "key_session_id": session.id}
        _SETTLE_ITEM.run_many(
            connection,
            (key | {"key_number": each.item.number, "came_to_micros": each.amount.micros} for each in items),
        )

    def _draw(self, connection: sqlite3.Connection, bill: Bill, payment: Payment) -> Receipt:
        of = {"tenant": self.tenant, "shop": self.counter.shop}
        number = _NEXT_NUMBER.run(connection, of).fetchone()["number"]
        receipt = draw_receipt(
            bill,
            payment,
            self.counter,
            number=number,
            at_ms=self.at_ms,
            author=self.author,
            language=self.language,
        )
        text = rows.to_json(receipt.to_json())
        _DRAW.run(
            connection,
            of
            | {
                "number": number,
                "session_id": receipt.session_id,
                "at_ms": self.at_ms,
                "author": self.author,
                "receipt": text,
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
            },
        )
        return receipt

    def _log(self, connection: sqlite3.Connection, detail: str) -> None:
        note_in_log(
            connection,
            tenant=self.tenant,
            at_ms=self.at_ms,
            author=self.author,
            action="pay",
            subject=self.booth,
            detail=detail,
        )

    def _done(self, connection: sqlite3.Connection) -> Receipt:
        row = _LAST_OF_BOOTH.run(connection, {"tenant": self.tenant, "booth": self.booth}).fetchone()
        if row is not None and row["version"] == self.version:
            receipt = read_receipt(row["receipt"])
            if receipt.tenders == self.tenders:
                return receipt
        raise NothingToPay(f"booth {self.booth} has no session to pay")


def _unpaid(connection: sqlite3.Connection, tenant: str, booth: str) -> BoothSession:
    session = unpaid_session(connection, tenant, booth)
    if session is None:
        raise NothingToPay(f"booth {booth} has no unpaid session")
    return session
