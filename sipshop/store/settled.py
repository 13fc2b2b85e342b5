"""The laws of the books that are asked of bills that were paid: what stood on them, how they were paid, and receipts.

A bill that was paid before there were receipts has none, and stays without one.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from typing import Final

from sipshop.billing.desk import Payment
from sipshop.billing.ledger import checkout_transfers
from sipshop.billing.money import Money
from sipshop.billing.receipt import Receipt
from sipshop.billing.tender import Method
from sipshop.store.asking import Breach, Check, amount_of, ask, question, words
from sipshop.store.checkout import read_receipt
from sipshop.store.rows import Row

# I13: what stood on a bill. An item is `due` once its bill was paid: so much moved between these accounts by this key.

_DUE: Final = """
    WITH due AS (
      SELECT bill_items.tenant, 'item:' || bill_items.session_id || ':' || bill_items.number AS key,
        CASE bill_items.kind WHEN 'good' THEN 'goods' ELSE bill_items.kind END AS kind, bill_items.currency,
        bill_items.came_to_micros AS micros,
        'session:' || booth_sessions.id || '@' || booth_sessions.owner AS account,
        'revenue:' || booth_sessions.owner AS revenue
      FROM bill_items JOIN booth_sessions
        ON booth_sessions.tenant = bill_items.tenant AND booth_sessions.id = bill_items.session_id
      WHERE booth_sessions.paid = 1 AND bill_items.removed IS NULL
    )
"""
_ITEMS: Final = question(
    r"""
    SELECT due.tenant, due.key AS subject, 'was on a bill that was paid, and did not move' AS found
    FROM due LEFT JOIN transfers ON transfers.tenant = due.tenant AND transfers.key = due.key
      AND transfers.kind = due.kind AND transfers.currency = due.currency AND transfers.amount_micros = abs(due.micros)
      AND transfers.debit = CASE WHEN due.micros < 0 THEN due.revenue ELSE due.account END
      AND transfers.credit = CASE WHEN due.micros < 0 THEN due.account ELSE due.revenue END
    WHERE coalesce(due.micros, 1) <> 0 AND transfers.key IS NULL
    UNION ALL
    SELECT transfers.tenant, transfers.key AS subject, 'moved for what is on no bill that was paid' AS found
    FROM parties CROSS JOIN transfers
      ON transfers.tenant = parties.tenant AND transfers.key > 'item\:' AND transfers.key < 'item;'
    LEFT JOIN due ON due.tenant = transfers.tenant AND due.key = transfers.key AND due.micros <> 0
    WHERE parties.kind = 'provider' AND due.key IS NULL
    """,
    given=_DUE,
)
# The calls of a bill are those that were charged up to its version, each at its latest price.
_TOTALS: Final = question(
    """
    SELECT payments.tenant, 'session ' || payments.session_id AS subject, payments.currency, payments.total_micros,
      coalesce((
        SELECT sum(charges.amount_micros) FROM cdrs JOIN charges
          ON charges.tenant = cdrs.tenant AND charges.call_id = cdrs.call_id AND charges.revision = cdrs.revision
            AND charges.level = 0
        WHERE cdrs.tenant = payments.tenant AND cdrs.session_id = payments.session_id
          AND charges.bill_version <= payments.version AND NOT EXISTS (
            SELECT 1 FROM cdrs AS later WHERE later.tenant = cdrs.tenant AND later.call_id = cdrs.call_id
              AND later.revision > cdrs.revision
          )
      ), 0) + coalesce((
        SELECT sum(bill_items.came_to_micros) FROM bill_items
        WHERE bill_items.tenant = payments.tenant AND bill_items.session_id = payments.session_id
          AND bill_items.removed IS NULL
      ), 0) AS micros
    FROM payments WHERE payments.total_micros <> micros
    """
)

# I14: how a bill was paid.

_RECEIPTS: Final = question(
    """
    SELECT receipts.*, payments.currency, payments.version, payments.total_micros, payments.deposit_micros,
      payments.tendered_micros, payments.change_micros, booth_sessions.owner
    FROM receipts
    JOIN payments ON payments.tenant = receipts.tenant AND payments.session_id = receipts.session_id
    JOIN booth_sessions ON booth_sessions.tenant = receipts.tenant AND booth_sessions.id = receipts.session_id
    """
)
_PAID: Final = question(
    r"""
    SELECT key, kind, debit, credit, currency, amount_micros FROM transfers
    WHERE tenant = :tenant AND (
      key = 'checkout\:' || :session_id OR key = 'rounding\:' || :session_id
      OR key > 'checkout\:' || :session_id || '\:' AND key < 'checkout\:' || :session_id || ';'
    )
    """
)
_PAID_FOR_NOTHING: Final = question(
    r"""
    SELECT transfers.tenant, transfers.key AS subject
    FROM parties CROSS JOIN transfers
      ON transfers.tenant = parties.tenant AND (
        transfers.key > 'checkout\:' AND transfers.key < 'checkout;'
        OR transfers.key > 'rounding\:' AND transfers.key < 'rounding;'
      )
    LEFT JOIN payments
      ON payments.tenant = transfers.tenant AND payments.session_id = CAST(substr(transfers.key, 10) AS INTEGER)
    WHERE parties.kind = 'provider' AND payments.session_id IS NULL
    """
)
_NUMBERS: Final = question(
    """
    SELECT tenant, 'shop ' || shop AS subject FROM receipts
    GROUP BY tenant, shop HAVING min(number) <> 1 OR max(number) <> count(*)
    """
)
# Payments are written in their order, and so are rows.
_WITHOUT: Final = question(
    """
    WITH since AS (
      SELECT receipts.tenant, min(payments.rowid) AS place FROM receipts JOIN payments
        ON payments.tenant = receipts.tenant AND payments.session_id = receipts.session_id
      GROUP BY receipts.tenant
    )
    SELECT payments.tenant, 'session ' || payments.session_id AS subject
    FROM since JOIN payments ON payments.tenant = since.tenant AND payments.rowid > since.place
    LEFT JOIN receipts ON receipts.tenant = payments.tenant AND receipts.session_id = payments.session_id
    WHERE receipts.number IS NULL
    """
)


def _wrongly_received(connection: sqlite3.Connection) -> Iterator[Breach]:
    """I14: receipts that are not as they were written, or not what was paid, or not what moved."""
    for row in _RECEIPTS.run(connection, {}).fetchall():
        subject = f"receipt {row['number']} of {row['shop']}"
        if hashlib.sha256(row["receipt"].encode()).hexdigest() != row["sha256"]:
            yield row["tenant"], subject, "it is not the one that was written"
        try:
            receipt = read_receipt(row["receipt"])
        except (KeyError, TypeError, ValueError) as error:
            yield row["tenant"], subject, f"it cannot be read: {error}"
            continue
        if _as_told(receipt) != tuple(row[name] for name in _TOLD):
            yield row["tenant"], subject, "it does not say what was paid"
        if _moved(connection, receipt) != _due(receipt, row["owner"]):
            yield row["tenant"], subject, "what it says was paid did not move so"


#: What a receipt has in common with its own row and with that of its payment.
_TOLD: Final = (
    *("tenant", "shop", "number", "session_id", "at_ms", "author", "currency"),
    *("total_micros", "deposit_micros", "tendered_micros", "change_micros"),
)


def _as_told(receipt: Receipt) -> tuple[object, ...]:
    amounts = receipt.total, receipt.deposit, receipt.tendered, receipt.change
    return (
        *(receipt.tenant, receipt.shop, receipt.number, receipt.session_id, receipt.at_ms, receipt.author),
        receipt.currency,
        *(amount.micros for amount in amounts),
    )


def _moved(connection: sqlite3.Connection, receipt: Receipt) -> set[tuple[object, ...]]:
    of = {"tenant": receipt.tenant, "session_id": receipt.session_id}
    return {tuple(row) for row in _PAID.run(connection, of)}


def _due(receipt: Receipt, owner: str) -> set[tuple[object, ...]]:
    """The transfers by which a bill was paid, as a receipt tells them."""
    cash = (each.amount for each in receipt.tenders if each.method is Method.CASH)
    payment = Payment(
        session_id=receipt.session_id,
        version=0,
        total=receipt.total,
        rounding=receipt.rounding,
        deposit=receipt.deposit,
        tenders=receipt.tenders,
        change=receipt.change,
        cash=sum(cash, Money(0, receipt.currency)) - receipt.change,
    )
    made = checkout_transfers(receipt.session_id, owner, receipt.shop, payment)
    return {(one.key, one.kind.value, one.debit, one.credit, one.amount.currency, one.amount.micros) for one in made}


def _total_text(row: Row) -> str:
    stands, due = (amount_of(row[name], row["currency"]) for name in ("total_micros", "micros"))
    return f"its bill stands as {stands}, what is on it comes to {due}"


CHECKS: Final = (
    Check("I13", ask(_ITEMS, lambda row: str(row["found"]))),
    Check("I13", ask(_TOTALS, _total_text), is_long=True),
    Check("I14", _wrongly_received, is_long=True),
    Check("I14", ask(_PAID_FOR_NOTHING, words("pays a bill that was not paid"))),
    Check("I14", ask(_NUMBERS, words("its receipts are not numbered one after the other, from 1"))),
    Check("I14", ask(_WITHOUT, words("was paid, and has no receipt"))),
)
