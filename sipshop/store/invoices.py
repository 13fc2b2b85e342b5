"""Statements and invoices in the database: what moved on an account in a period, and periods that are closed.

A statement is drawn up on a thread of its own. Closing its period is one small write: it gives the number, freezes the
document and moves the tax, all or nothing. What comes into the books between the two is in the next period, as
everything is that comes later.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, ClassVar, Final

from sqlalchemy import text
from sqlalchemy.dialects.sqlite import insert

from sipshop.billing.cdr import utc_text
from sipshop.billing.errors import NotToBeClosed, UnknownInvoice
from sipshop.billing.invoice import Closing, Entry, Letterhead, Period, Statement, document, fill, tax_on
from sipshop.billing.ledger import Transfer, TransferKind, customer, moved, tax_account
from sipshop.billing.money import Money
from sipshop.billing.tax import Tax
from sipshop.store import rows
from sipshop.store.errors import UnknownPlace
from sipshop.store.rows import Row
from sipshop.store.schema import Statement as Question
from sipshop.store.schema import invoices
from sipshop.store.writes import judge, note_in_log, party_account, post

#: How many calls are looked up at once.
_CALLS_AT_ONCE: Final = 500


def _question(sql: str) -> Question:
    return Question(text(sql))


_CLOSINGS: Final = _question(
    """
    SELECT name, from_ms, until_ms, last_transfer, closing_micros FROM invoices
    WHERE tenant = :tenant AND buyer = :buyer AND seller = :seller ORDER BY until_ms
    """
)
_LAST: Final = _question("SELECT coalesce(max(rowid), 0) AS place FROM transfers")

# What is in no period that was closed before `after_ms`: it is later, or came later. Taxes came with their invoices.
_ENTRIES: Final = _question(
    """
    SELECT rowid AS place, key, kind, at_ms, reason, -amount_micros AS micros FROM transfers
    WHERE tenant = :tenant AND debit = :account AND at_ms < :until_ms
      AND (at_ms >= :after_ms OR (rowid > :after AND kind <> 'invoice_tax'))
    UNION ALL
    SELECT rowid AS place, key, kind, at_ms, reason, amount_micros AS micros FROM transfers
    WHERE tenant = :tenant AND credit = :account AND at_ms < :until_ms
      AND (at_ms >= :after_ms OR (rowid > :after AND kind <> 'invoice_tax'))
    ORDER BY at_ms, place
    """
)

# A rerating tells by how many billed seconds it differs from the revision before; the talk is the same.
_OF_CALLS: Final = _question(
    """
    SELECT asked.value AS key, cdrs.destination,
      CASE WHEN charges.revision = 0 THEN charges.duration_s ELSE 0 END AS duration_s,
      charges.billed_s - CASE WHEN charges.revision = 0 THEN 0 ELSE coalesce((
        SELECT before.billed_s FROM charges AS before
        WHERE before.tenant = charges.tenant AND before.call_id = charges.call_id
          AND before.revision = charges.revision - 1 AND before.level = charges.level
      ), 0) END AS billed_s
    FROM json_each(:calls) AS asked
    JOIN charges ON charges.tenant = :tenant AND charges.call_id = json_extract(asked.value, '$[0]')
      AND charges.revision = json_extract(asked.value, '$[2]') AND charges.level = json_extract(asked.value, '$[1]')
    JOIN cdrs ON cdrs.tenant = charges.tenant AND cdrs.call_id = charges.call_id AND cdrs.revision = charges.revision
    """
)


def statement_of(connection: sqlite3.Connection, tenant: str, *, buyer: str, seller: str, period: Period) -> Statement:
    """Draw up what moved between a party and its seller in a period.

    Raises:
        UnknownParty: there is no such party.
        UnknownAccount: it is the provider.
    """
    account = party_account(connection, tenant, buyer)
    assert account.name == customer(buyer, seller), "a party buys of one seller"
    closings = tuple(_closing(row) for row in _CLOSINGS.run(connection, _relation(tenant, buyer, seller)))
    until_ms = period.until_ms
    before = [closing for closing in closings if closing.until_ms <= period.since_ms]
    statement = Statement(
        buyer=buyer,
        seller=seller,
        currency=account.currency,
        period=period,
        closings=closings,
        last_transfer=_LAST.run(connection, {}).fetchone()["place"],
        opening_micros=before[-1].closing_micros if before else 0,
    )
    of = {
        "tenant": tenant,
        "account": account.name,
        "until_ms": until_ms,
        "after_ms": before[-1].until_ms if before else 0,
        "after": before[-1].last_transfer if before else 0,
    }
    return fill(statement, _entries(connection, tenant, _ENTRIES.run(connection, of)))


def _relation(tenant: str, buyer: str, seller: str) -> dict[str, str]:
    return {"tenant": tenant, "buyer": buyer, "seller": seller}


def _closing(row: Row) -> Closing:
    return Closing(
        name=row["name"],
        since_ms=row["from_ms"],
        until_ms=row["until_ms"],
        last_transfer=row["last_transfer"],
        closing_micros=row["closing_micros"],
    )


def _entries(connection: sqlite3.Connection, tenant: str, found: Iterator[Row]) -> Iterator[Entry]:
    """Read transfers as entries, those of calls with what their charges tell of them."""
    while some := list(islice(found, _CALLS_AT_ONCE)):
        calls = {row["key"]: _call_of(row["key"]) for row in some if row["kind"] in {"charge", "rerating"}}
        of = {"tenant": tenant, "calls": rows.to_json(list(calls.values()))}
        told = {row["key"]: row for row in _OF_CALLS.run(connection, of)}
        for row in some:
            call = told[rows.to_json(calls[row["key"]])] if row["key"] in calls else None
            yield Entry(
                key=row["key"],
                kind=TransferKind(row["kind"]),
                place=row["place"],
                at_ms=row["at_ms"],
                micros=row["micros"],
                reason=row["reason"],
                destination="" if call is None else call["destination"] or "",
                duration_s=0 if call is None else call["duration_s"],
                billed_s=0 if call is None else call["billed_s"],
            )


def _call_of(key: str) -> list[Any]:
    """The call, level and revision that a charge's key names."""
    call_id, level, revision = key.rsplit(":", 2)
    return [call_id, int(level), int(revision)]


# What is closed.

_INVOICE: Final = _question("SELECT * FROM invoices WHERE tenant = :tenant AND buyer = :buyer AND name = :name")
_OF_PERIOD: Final = _question(
    "SELECT * FROM invoices WHERE tenant = :tenant AND buyer = :buyer AND seller = :seller AND until_ms = :until_ms"
)
_LATEST: Final = _question(
    """
    SELECT coalesce(max(last_transfer), 0) AS place FROM invoices
    WHERE tenant = :tenant AND buyer = :buyer AND seller = :seller
    """
)
_NEXT: Final = _question(
    """
    SELECT coalesce(max(number), 0) + 1 AS number FROM invoices
    WHERE tenant = :tenant AND seller = :seller AND series = :series
    """
)
_IS_TAKEN: Final = _question("SELECT 1 FROM invoices WHERE tenant = :tenant AND seller = :seller AND name = :name")
_LIST: Final = _question(
    """
    SELECT rowid AS place, * FROM invoices
    WHERE tenant = :tenant AND rowid < :before AND buyer IN (SELECT value FROM json_each(:buyers))
    ORDER BY rowid DESC LIMIT :limit
    """
)
_PLACE: Final = _question(
    "SELECT rowid AS place FROM invoices WHERE tenant = :tenant AND buyer = :buyer AND name = :name"
)
_CLOSE: Final = Question(insert(invoices))


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """A period that was closed: `document` is all that is printed, as it was written, and `sha256` its hash."""

    seller: str
    buyer: str
    name: str
    since_ms: int
    until_ms: int
    currency: str
    net_micros: int
    tax_micros: int
    closing_micros: int
    closed_at_ms: int
    document: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """What came of closing a period: its invoice, whether it was made now, and what moved for it."""

    invoice: Invoice
    is_new: bool
    transfers: tuple[Transfer, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodClosed:
    """A period between a party and its seller takes nothing more: its statement becomes an invoice.

    `held` is what live calls hold, by account: one that the tax leaves with less is overdrawn.
    """

    waited_for: ClassVar[bool] = True
    tenant: str
    statement: Statement
    seller: Letterhead
    buyer: Letterhead
    tax: Tax | None
    held: Mapping[str, int]
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> Closed:
        """Close it, or find it closed.

        Raises:
            NotToBeClosed: it is not over, meets one that is closed, or one before it is not closed; nothing moved in
                it; the pattern of the seller's numbers makes one that is there; or it was closed meanwhile.
        """
        statement = self.statement
        of = _relation(self.tenant, statement.buyer, statement.seller)
        found = _OF_PERIOD.run(connection, of | {"until_ms": statement.period.until_ms}).fetchone()
        if found is not None and found["from_ms"] == statement.period.since_ms:
            return Closed(invoice=_invoice(found), is_new=False)
        self._check(connection, of)
        series = self.seller.series(self.at_ms)
        number = _NEXT.run(connection, of | {"series": series}).fetchone()["number"]
        name = self.seller.number(series, number)
        if _IS_TAKEN.run(connection, of | {"name": name}).fetchone() is not None:
            raise NotToBeClosed(
                f"{statement.seller} has an invoice {name} already: give `invoices.number` another pattern in the world"
            )
        tax_micros = tax_on(statement.net_micros, statement.currency, self.tax)
        statement = replace(statement, tax_micros=tax_micros)
        printed = rows.to_json(
            document(
                statement,
                seller=self.seller,
                buyer=self.buyer,
                tax=self.tax,
                number=name,
                closed_at_ms=self.at_ms,
            )
        )
        values = of | {
            "series": series,
            "number": number,
            "name": name,
            "currency": statement.currency,
            "from_ms": statement.period.since_ms,
            "until_ms": statement.period.until_ms,
            "last_transfer": statement.last_transfer,
            "opening_micros": statement.opening_micros,
            "net_micros": statement.net_micros,
            "tax_micros": statement.tax_micros,
            "closing_micros": statement.closing_micros,
            "closed_at_ms": self.at_ms,
            "author": self.author,
            "document": printed,
            "sha256": hash_of(printed),
        }
        _CLOSE.run(connection, values)
        note_in_log(
            connection,
            tenant=self.tenant,
            at_ms=self.at_ms,
            author=self.author,
            action="close period",
            subject=statement.buyer,
            detail=f"{statement.period}, invoice {name} of {statement.seller}",
        )
        return Closed(invoice=_invoice(values), is_new=True, transfers=self._move_tax(connection, name, tax_micros))

    def _check(self, connection: sqlite3.Connection, of: Mapping[str, str]) -> None:
        statement, period = self.statement, self.statement.period
        last = statement.closings[-1] if statement.closings else None
        if _LATEST.run(connection, of).fetchone()["place"] != (last.last_transfer if last is not None else 0):
            raise NotToBeClosed("a period was closed meanwhile: draw up the statement again")
        if period.until_ms > self.at_ms:
            raise NotToBeClosed(f"the period {period} ends at {utc_text(period.until_ms)}: it can be closed after that")
        if last is not None and period.since_ms < last.until_ms:
            raise NotToBeClosed(
                f"the time before {utc_text(last.until_ms)} is closed, by invoice {last.name} among others: "
                "a period to be closed begins then or later"
            )
        if statement.before:
            since = "" if last is None else f" after {utc_text(last.until_ms)}"
            raise NotToBeClosed(
                f"{statement.before} movements{since} and before this period are in none that is closed: "
                "close the period before this one first"
            )
        if statement.is_empty:
            raise NotToBeClosed(f"nothing moved between {statement.buyer} and {statement.seller} in {period}")

    def _move_tax(self, connection: sqlite3.Connection, name: str, micros: int) -> tuple[Transfer, ...]:
        """Have the buyer owe the tax as well; it is dated in the period that it is for."""
        statement = self.statement
        if not micros:
            return ()
        account = customer(statement.buyer, statement.seller)
        transfer = moved(
            f"invoice:{statement.seller}:{name}",
            TransferKind.INVOICE_TAX,
            source=account,
            account=tax_account(statement.seller),
            amount=Money(micros, statement.currency),
        )
        at_ms = statement.period.until_ms - 1
        post(connection, self.tenant, (transfer,), author=self.author, reason=f"invoice {name}", at_ms=at_ms)
        judge(connection, self.tenant, {account: statement.currency}, self.held)
        return (transfer,)


def hash_of(printed: str) -> str:
    """The SHA-256 of a document, in hexadecimal."""
    return hashlib.sha256(printed.encode()).hexdigest()


def _invoice(row: Row | Mapping[str, Any]) -> Invoice:
    return Invoice(
        seller=row["seller"],
        buyer=row["buyer"],
        name=row["name"],
        since_ms=row["from_ms"],
        until_ms=row["until_ms"],
        currency=row["currency"],
        net_micros=row["net_micros"],
        tax_micros=row["tax_micros"],
        closing_micros=row["closing_micros"],
        closed_at_ms=row["closed_at_ms"],
        document=row["document"],
        sha256=row["sha256"],
    )


def invoice_of(connection: sqlite3.Connection, tenant: str, *, buyer: str, name: str) -> Invoice:
    """Return an invoice of a party, by its number; raises UnknownInvoice."""
    row = _INVOICE.run(connection, {"tenant": tenant, "buyer": buyer, "name": name}).fetchone()
    if row is None:
        raise UnknownInvoice(f"{buyer} has no invoice {name!r}")
    return _invoice(row)


def invoices_of(
    connection: sqlite3.Connection, tenant: str, *, buyers: Collection[str], limit: int, after: tuple[str, str] | None
) -> list[Invoice]:
    """Return the newest invoices of some parties first, or those after the one of (buyer, number).

    Raises:
        UnknownPlace: there is none to go on after.
    """
    before = 2**63 - 1
    if after is not None:
        place = {"tenant": tenant, "buyer": after[0], "name": after[1]}
        found = _PLACE.run(connection, place).fetchone() if after[0] in buyers else None
        if found is None:
            raise UnknownPlace(f"there is no invoice {after[1]!r} of {after[0]!r}")
        before = found["place"]
    of = {"tenant": tenant, "before": before, "buyers": rows.to_json(sorted(buyers)), "limit": limit}
    return [_invoice(row) for row in _LIST.run(connection, of)]
