"""What money does at a till, in the transaction that moves it: nobody who moves any can leave that out.

`writes.post`, by which all transfers are written, has each noted here that moves what customers hand over. Cash belongs
to the shift of whoever moves it; where he has none it is noted outside all shifts, or refused, as the shop wants it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.sqlite import insert

from sipshop.billing.counter import TillMode
from sipshop.billing.errors import NoShift
from sipshop.billing.ledger import Transfer, TransferKind
from sipshop.billing.money import Money
from sipshop.billing.shift import BY_HAND, MoveKind
from sipshop.billing.tender import Method
from sipshop.store.schema import Statement, counters, shifts, till_moves

#: The accounts of what customers hand over, by the first part of their names: that of a till is below zero by it.
TENDERED: Final = {"till": Method.CASH} | {method.value: method for method in Method if method is not Method.CASH}
_PREFIXES: Final = tuple(f"{kind}:" for kind in TENDERED)

_next_number = (
    select(func.coalesce(func.max(till_moves.c.number), 0) + 1).where(
        till_moves.c.tenant == bindparam("tenant"), till_moves.c.shop == bindparam("shop")
    )
).scalar_subquery()
_MOVE: Final = Statement(
    insert(till_moves)
    .inline()
    .values({column.name: bindparam(column.name) for column in till_moves.c} | {"number": _next_number})
)
OPEN_SHIFT: Final = Statement(
    select(shifts).where(
        shifts.c.tenant == bindparam("tenant"),
        shifts.c.shop == bindparam("shop"),
        shifts.c.operator == bindparam("operator"),
        shifts.c.closed_at_ms.is_(None),
    )
)
_TILL_MODE: Final = Statement(
    select(func.json_extract(counters.c.terms, "$.till").label("till")).where(
        counters.c.tenant == bindparam("tenant"), counters.c.shop == bindparam("shop")
    )
)


def note_transfers(
    connection: sqlite3.Connection, tenant: str, made: Iterable[Transfer], *, author: str, reason: str, at_ms: int
) -> None:
    """Note what of some transfers moved at a till.

    Raises:
        NoShift: it is cash, whoever moves it has no shift open, and the shop wants one.
    """
    for transfer in made:
        for account, amount in ((transfer.debit, transfer.amount), (transfer.credit, -transfer.amount)):
            if account.startswith(_PREFIXES):
                kind, _, shop = account.partition(":")
                move(
                    connection,
                    tenant,
                    shop,
                    key=transfer.key,
                    method=TENDERED[kind],
                    kind=_kind(transfer, amount),
                    amount=amount,
                    author=author,
                    reason=reason,
                    at_ms=at_ms,
                    shift=shift_of(connection, tenant, shop, author, amount.currency),
                )


def _kind(transfer: Transfer, amount: Money) -> MoveKind:
    if transfer.kind is TransferKind.DEPOSIT:
        return MoveKind.DEPOSIT
    return MoveKind.CHECKOUT if amount.micros >= 0 else MoveKind.REFUND


def move(
    connection: sqlite3.Connection,
    tenant: str,
    shop: str,
    *,
    key: str,
    method: Method,
    kind: MoveKind,
    amount: Money,
    author: str,
    reason: str,
    at_ms: int,
    shift: int | None,
) -> None:
    """Note one movement; raises `NoShift` where cash of a customer needs a shift and has none."""
    is_of_customer = method is Method.CASH and kind not in BY_HAND
    if shift is None and is_of_customer and amount.micros and _needs_shift(connection, tenant, shop):
        raise NoShift(f"cash of {shop} is moved in a shift: {author} has none open there")
    values = {
        "tenant": tenant,
        "shop": shop,
        "key": key,
        "method": method.value,
        "shift": shift,
        "kind": kind.value,
        "currency": amount.currency,
        "amount_micros": amount.micros,
        "author": author,
        "reason": reason,
        "at_ms": at_ms,
    }
    _MOVE.run(connection, values)


def shift_of(connection: sqlite3.Connection, tenant: str, shop: str, author: str, currency: str) -> int | None:
    """Return the number of somebody's open shift, None where he has none; a drawer holds one currency."""
    row = OPEN_SHIFT.run(connection, {"tenant": tenant, "shop": shop, "operator": author}).fetchone()
    return int(row["number"]) if row is not None and row["currency"] == currency else None


def _needs_shift(connection: sqlite3.Connection, tenant: str, shop: str) -> bool:
    row = _TILL_MODE.run(connection, {"tenant": tenant, "shop": shop}).fetchone()
    return row is not None and row["till"] == TillMode.REQUIRED
