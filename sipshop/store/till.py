"""Shifts in the database: opening and closing them, cash that is put in and taken out, counts, and reports.

What customers pay is noted by `drawer`, in the transaction that moves it. A Z report is drawn up in the one that closes
its shift, so nothing moves in the shift between the two, and is never written again.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.dialects.sqlite import insert

from sipshop.billing.cash import Count
from sipshop.billing.errors import BadCount, ShiftError, UnknownShift
from sipshop.billing.money import Money
from sipshop.billing.shift import BY_HAND, Checked, Move, MoveKind, Outside, Report, Shift, Sum, Turn, Variance
from sipshop.billing.tender import Method
from sipshop.store import rows
from sipshop.store.drawer import OPEN_SHIFT, move
from sipshop.store.rows import Row
from sipshop.store.schema import Statement, shifts, till_counts, z_reports
from sipshop.store.writes import note_in_log


def _question(sql: str) -> Statement:
    return Statement(text(sql))


_OPEN: Final = Statement(insert(shifts))
_CLOSE: Final = Statement(
    update(shifts)
    .where(
        shifts.c.tenant == bindparam("key_tenant"),
        shifts.c.shop == bindparam("key_shop"),
        shifts.c.number == bindparam("key_number"),
    )
    .values(closed_at_ms=bindparam("closed_at_ms"))
)
_NEXT_SHIFT: Final = Statement(
    select((func.coalesce(func.max(shifts.c.number), 0) + 1).label("number")).where(
        shifts.c.tenant == bindparam("tenant"), shifts.c.shop == bindparam("shop")
    )
)
_OF_KEY: Final = Statement(
    select(shifts).where(shifts.c.tenant == bindparam("tenant"), shifts.c.key == bindparam("key"))
)
_SHIFT: Final = Statement(
    select(shifts).where(
        shifts.c.tenant == bindparam("tenant"),
        shifts.c.shop == bindparam("shop"),
        shifts.c.number == bindparam("number"),
    )
)
OPEN_SHIFTS: Final = Statement(
    select(shifts).where(shifts.c.closed_at_ms.is_(None)).order_by(shifts.c.tenant, shifts.c.shop, shifts.c.number)
)
_MOVE_OF_KEY: Final = _question("SELECT * FROM till_moves WHERE tenant = :tenant AND key = :key")
_SUMS: Final = _question(
    """
    SELECT kind, method, count(*) AS times, sum(amount_micros) AS micros FROM till_moves
    WHERE tenant = :tenant AND shop = :shop AND shift = :shift GROUP BY kind, method ORDER BY min(number)
    """
)
_BY_HAND: Final = _question(
    """
    SELECT * FROM till_moves
    WHERE tenant = :tenant AND shop = :shop AND shift = :shift AND kind IN ('float', 'in', 'out') ORDER BY number
    """
)
_EXPECTED: Final = _question(
    """
    SELECT coalesce(sum(amount_micros), 0) AS micros FROM till_moves
    WHERE tenant = :tenant AND shop = :shop AND shift = :shift AND method = 'cash'
    """
)
_CHECKS: Final = _question(
    "SELECT * FROM till_counts WHERE tenant = :tenant AND shop = :shop AND shift = :shift ORDER BY number"
)
_COUNT: Final = Statement(insert(till_counts))
_COUNT_OF_KEY: Final = _question("SELECT * FROM till_counts WHERE tenant = :tenant AND key = :key")
_NEXT_COUNT: Final = _question(
    """
    SELECT coalesce(max(number), 0) + 1 AS number FROM till_counts
    WHERE tenant = :tenant AND shop = :shop AND shift = :shift
    """
)
# What moved before a shop had its first shift was outside none: it begins with the first float.
_LAST_Z: Final = _question(
    """
    SELECT coalesce(max(z_reports.number), 0) AS number, coalesce(
      max(z_reports.last_move),
      (SELECT min(number) FROM till_moves WHERE tenant = :tenant AND shop = :shop AND kind = 'float'),
      0
    ) AS last_move
    FROM z_reports WHERE tenant = :tenant AND shop = :shop
    """
)
_OUTSIDE: Final = _question(
    """
    SELECT author, count(*) AS times, sum(amount_micros) AS micros FROM till_moves
    WHERE tenant = :tenant AND shop = :shop AND shift IS NULL AND number > :after AND method = 'cash'
      AND currency = :currency
    GROUP BY author ORDER BY author
    """
)
_OUTSIDE_MOVES: Final = _question(
    """
    SELECT * FROM till_moves
    WHERE tenant = :tenant AND shop = :shop AND shift IS NULL AND number > :after AND method = 'cash'
    ORDER BY number DESC LIMIT :limit
    """
)
_NEWEST_MOVE: Final = _question(
    "SELECT coalesce(max(number), 0) AS number FROM till_moves WHERE tenant = :tenant AND shop = :shop"
)
_KEEP: Final = Statement(insert(z_reports))
_Z: Final = _question("SELECT document FROM z_reports WHERE tenant = :tenant AND shop = :shop AND number = :number")
_Z_OF_SHIFT: Final = _question(
    "SELECT document FROM z_reports WHERE tenant = :tenant AND shop = :shop AND shift = :number"
)
_LIST: Final = _question(
    """
    SELECT shifts.*, z_reports.number AS z, z_reports.expected_micros, z_reports.counted_micros,
      z_reports.author AS closed_by
    FROM shifts LEFT JOIN z_reports
      ON z_reports.tenant = shifts.tenant AND z_reports.shop = shifts.shop AND z_reports.shift = shifts.number
    WHERE shifts.tenant = :tenant AND shifts.shop = :shop AND shifts.number < :before
      AND (:operator IS NULL OR shifts.operator = :operator)
    ORDER BY shifts.number DESC LIMIT :limit
    """
)
_VARIANCES: Final = _question(
    """
    SELECT operator, currency, count(*) AS shifts, sum(counted_micros - expected_micros) AS variance,
      sum(min(counted_micros - expected_micros, 0)) AS missing,
      sum(max(counted_micros - expected_micros, 0)) AS over
    FROM z_reports WHERE tenant = :tenant AND shop = :shop AND at_ms >= :since_ms AND at_ms < :until_ms
    GROUP BY operator, currency ORDER BY operator, currency
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftOpened:
    """A person takes his turn at the till of a shop, with a float in the drawer; `key` names the command."""

    waited_for: ClassVar[bool] = True
    tenant: str
    shop: str
    operator: str
    opening: Money
    key: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> Shift:
        """Open it, or find it opened by this command, whatever became of it since.

        Raises:
            BadCount: the float is below zero.
            ShiftError: he has one open in the shop, or another one was opened under this key.
        """
        if self.opening.micros < 0:
            raise BadCount(f"a shift begins with what is in the drawer, nothing or more, not with {self.opening}")
        of = {"tenant": self.tenant, "shop": self.shop}
        row = _OF_KEY.run(connection, {"tenant": self.tenant, "key": self.key}).fetchone()
        if row is not None:
            shift = shift_of(row)
            if (shift.shop, shift.operator, shift.opening) != (self.shop, self.operator, self.opening):
                raise ShiftError("another shift was opened under this key before: use a new key for a new shift")
            return shift
        row = OPEN_SHIFT.run(connection, of | {"operator": self.operator}).fetchone()
        if row is not None:
            raise ShiftError(f"{self.operator} has shift {row['number']} of {self.shop} open: close that first")
        shift = Shift(
            tenant=self.tenant,
            shop=self.shop,
            number=_NEXT_SHIFT.run(connection, of).fetchone()["number"],
            operator=self.operator,
            opening=self.opening,
            opened_at_ms=self.at_ms,
        )
        _OPEN.run(connection, _shift_values(shift) | {"key": self.key})
        move(
            connection,
            self.tenant,
            self.shop,
            key=f"float:{self.shop}:{shift.number}",
            method=Method.CASH,
            kind=MoveKind.FLOAT,
            amount=self.opening,
            author=self.operator,
            reason="",
            at_ms=self.at_ms,
            shift=shift.number,
        )
        _log(connection, self, self.operator, "open shift", f"shift {shift.number}, float {self.opening}")
        return shift


@dataclass(frozen=True, slots=True, kw_only=True)
class CashMoved:
    """Cash is put into the drawer of a shift, or taken out, for a reason; `key` names the command."""

    waited_for: ClassVar[bool] = True
    tenant: str
    shop: str
    shift: int
    kind: MoveKind
    amount: Money
    reason: str
    author: str
    key: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> Shift:
        """Note it, once. More may be taken out than is expected there: whoever counts blind is not told how much is.

        Raises:
            UnknownShift: there is no such shift.
            BadCount: the amount is nothing, or less, or in another currency.
            ShiftError: the shift is closed, or something else was moved under this key.
        """
        assert self.kind in BY_HAND - {MoveKind.FLOAT}, "what customers pay is moved by transfers"
        shift = _open_shift(connection, self)
        if self.amount.micros <= 0:
            raise BadCount("cash that is put in or taken out is more than nothing")
        _check_currency(shift, self.amount.currency)
        amount = self.amount if self.kind is MoveKind.IN else -self.amount
        key = f"by_hand:{self.key}"
        row = _MOVE_OF_KEY.run(connection, {"tenant": self.tenant, "key": key}).fetchone()
        if row is not None:
            found = move_of(row)
            told = row["shop"], found.shift, found.kind, found.amount, found.reason
            if told != (self.shop, self.shift, self.kind, amount, self.reason):
                raise ShiftError("something else was moved under this key before: use a new key for a new movement")
            return shift
        if not shift.is_open:
            raise ShiftError(_closed(shift))
        move(
            connection,
            self.tenant,
            self.shop,
            key=key,
            method=Method.CASH,
            kind=self.kind,
            amount=amount,
            author=self.author,
            reason=self.reason,
            at_ms=self.at_ms,
            shift=shift.number,
        )
        _log(connection, self, self.author, f"cash {self.kind}", f"shift {shift.number}, {self.amount}, {self.reason}")
        return shift


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawerCounted:
    """A drawer is counted in the middle of a shift; whoever counts is not told what was expected."""

    waited_for: ClassVar[bool] = True
    tenant: str
    shop: str
    shift: int
    count: Count
    author: str
    key: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> Shift:
        """Keep the count with what was expected at this moment, once.

        Raises:
            UnknownShift: there is no such shift.
            BadCount: another currency was counted.
            ShiftError: the shift is closed, or something else was counted under this key.
        """
        shift = _open_shift(connection, self)
        _check_currency(shift, self.count.currency)
        pieces = rows.to_json(self.count.to_json())
        row = _COUNT_OF_KEY.run(connection, {"tenant": self.tenant, "key": self.key}).fetchone()
        if row is not None:
            if (row["shop"], row["shift"], row["pieces"]) != (self.shop, self.shift, pieces):
                raise ShiftError("something else was counted under this key before: use a new key for a new count")
            return shift
        if not shift.is_open:
            raise ShiftError(_closed(shift))
        of = _of_shift(shift)
        values = of | {
            "number": _NEXT_COUNT.run(connection, of).fetchone()["number"],
            "key": self.key,
            "pieces": pieces,
            "counted_micros": self.count.total.micros,
            "expected_micros": _EXPECTED.run(connection, of).fetchone()["micros"],
            "author": self.author,
            "at_ms": self.at_ms,
        }
        _COUNT.run(connection, values)
        _log(connection, self, self.author, "count drawer", f"shift {shift.number}, {self.count.total}")
        return shift


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftClosed:
    """A shift ends with what was counted in its drawer: its Z report gets the shop's next number."""

    waited_for: ClassVar[bool] = True
    tenant: str
    shop: str
    shift: int
    count: Count
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> Report:
        """Close it and return its report; the same count of a shift that is closed finds it done.

        Raises:
            UnknownShift: there is no such shift.
            BadCount: another currency was counted.
            ShiftError: it was closed with another count.
        """
        shift = _open_shift(connection, self)
        _check_currency(shift, self.count.currency)
        of = {"tenant": self.tenant, "shop": self.shop}
        if not shift.is_open:
            row = _Z_OF_SHIFT.run(connection, of | {"number": shift.number}).fetchone()
            report = Report.from_json(json.loads(row["document"]))
            if report.count != self.count:
                raise ShiftError(_closed(shift))
            return report
        number = _LAST_Z.run(connection, of).fetchone()["number"] + 1
        shift = replace(shift, closed_at_ms=self.at_ms)
        report = draw_up(connection, shift, number=number, at_ms=self.at_ms, author=self.author, count=self.count)
        key = {"key_tenant": self.tenant, "key_shop": self.shop, "key_number": shift.number}
        _CLOSE.run(connection, key | {"closed_at_ms": self.at_ms})
        self._keep(connection, report)
        detail = f"shift {shift.number} of {shift.operator}, Z {number}, counted {report.counted}"
        _log(connection, self, self.author, "close shift", f"{detail}, expected {report.expected}")
        return report

    def _keep(self, connection: sqlite3.Connection, report: Report) -> None:
        document = rows.to_json(report.to_json())
        of = {"tenant": self.tenant, "shop": self.shop}
        values = of | {
            "number": report.number,
            "shift": self.shift,
            "operator": report.shift.operator,
            "currency": report.currency,
            "expected_micros": report.expected.micros,
            "counted_micros": self.count.total.micros,
            "outside_micros": report.outside.amount.micros,
            "last_move": _NEWEST_MOVE.run(connection, of).fetchone()["number"],
            "author": self.author,
            "at_ms": self.at_ms,
            "document": document,
            "sha256": hashlib.sha256(document.encode()).hexdigest(),
        }
        _KEEP.run(connection, values)


_Command = ShiftOpened | CashMoved | DrawerCounted | ShiftClosed


def _open_shift(connection: sqlite3.Connection, command: CashMoved | DrawerCounted | ShiftClosed) -> Shift:
    """The shift that a command is for, open or not."""
    return shift_named(connection, command.tenant, shop=command.shop, number=command.shift)


def _check_currency(shift: Shift, currency: str) -> None:
    if currency != shift.opening.currency:
        raise BadCount(f"the drawer of shift {shift.number} holds {shift.opening.currency}, not {currency}")


def _closed(shift: Shift) -> str:
    return f"shift {shift.number} of {shift.shop} is closed: nothing moves in it any more"


def _of_shift(shift: Shift) -> dict[str, object]:
    return {"tenant": shift.tenant, "shop": shift.shop, "shift": shift.number}


def _log(connection: sqlite3.Connection, command: _Command, author: str, action: str, detail: str) -> None:
    note_in_log(
        connection,
        tenant=command.tenant,
        at_ms=command.at_ms,
        author=author,
        action=action,
        subject=command.shop,
        detail=detail,
    )


# Questions, each about one commit.


def shift_named(connection: sqlite3.Connection, tenant: str, *, shop: str, number: int) -> Shift:
    """Return a shift by its number; raises UnknownShift."""
    row = _SHIFT.run(connection, {"tenant": tenant, "shop": shop, "number": number}).fetchone()
    if row is None:
        raise UnknownShift(f"{shop} has no shift {number}")
    return shift_of(row)


def draw_up(
    connection: sqlite3.Connection,
    shift: Shift,
    *,
    number: int | None,
    at_ms: int,
    author: str,
    count: Count | None,
) -> Report:
    """Draw up what a shift has come to at this moment."""
    of, currency = _of_shift(shift), shift.opening.currency
    return Report(
        shift=shift,
        number=number,
        at_ms=at_ms,
        author=author,
        sums=tuple(
            Sum(
                kind=MoveKind(row["kind"]),
                method=Method(row["method"]),
                times=row["times"],
                amount=Money(row["micros"], currency),
            )
            for row in _SUMS.run(connection, of)
        ),
        by_hand=tuple(move_of(row) for row in _BY_HAND.run(connection, of)),
        checks=tuple(_checked(row, currency) for row in _CHECKS.run(connection, of)),
        outside=_outside(connection, shift),
        count=count,
    )


def _outside(connection: sqlite3.Connection, shift: Shift) -> Outside:
    of, currency = {"tenant": shift.tenant, "shop": shift.shop}, shift.opening.currency
    after = _LAST_Z.run(connection, of).fetchone()["last_move"]
    found = _OUTSIDE.run(connection, of | {"after": after, "currency": currency}).fetchall()
    return Outside(
        times=sum(row["times"] for row in found),
        amount=Money(sum(row["micros"] for row in found), currency),
        authors=tuple(row["author"] for row in found),
    )


def x_report(connection: sqlite3.Connection, tenant: str, *, shop: str, number: int, at_ms: int, author: str) -> Report:
    """Draw up the X report of an open shift, or return the Z report of a closed one; raises UnknownShift."""
    shift = shift_named(connection, tenant, shop=shop, number=number)
    if shift.is_open:
        return draw_up(connection, shift, number=None, at_ms=at_ms, author=author, count=None)
    row = _Z_OF_SHIFT.run(connection, {"tenant": tenant, "shop": shop, "number": number}).fetchone()
    return Report.from_json(json.loads(row["document"]))


def z_report(connection: sqlite3.Connection, tenant: str, *, shop: str, number: int) -> Report:
    """Return a Z report by its number, as it was written; raises UnknownShift."""
    row = _Z.run(connection, {"tenant": tenant, "shop": shop, "number": number}).fetchone()
    if row is None:
        raise UnknownShift(f"{shop} has no Z report {number}")
    return Report.from_json(json.loads(row["document"]))


def turns(
    connection: sqlite3.Connection, tenant: str, *, shop: str, limit: int, before: int, operator: str | None
) -> list[Turn]:
    """Return the newest shifts of a shop first, with numbers below `before`; of one person where he is named."""
    of = {"tenant": tenant, "shop": shop, "limit": limit, "before": before, "operator": operator}
    return [_turn(row) for row in _LIST.run(connection, of)]


def variances(
    connection: sqlite3.Connection, tenant: str, *, shop: str, since_ms: int, until_ms: int
) -> list[Variance]:
    """Return what the drawers of each person were wrong by, of shifts that were closed in a time (half-open)."""
    of = {"tenant": tenant, "shop": shop, "since_ms": since_ms, "until_ms": until_ms}
    return [
        Variance(
            operator=row["operator"],
            shifts=row["shifts"],
            variance=Money(row["variance"], row["currency"]),
            missing=Money(row["missing"], row["currency"]),
            over=Money(row["over"], row["currency"]),
        )
        for row in _VARIANCES.run(connection, of)
    ]


def moves_outside(connection: sqlite3.Connection, tenant: str, *, shop: str, limit: int) -> list[Move]:
    """Return the cash that moved outside all shifts since the last Z report, the newest first."""
    of = {"tenant": tenant, "shop": shop}
    after = _LAST_Z.run(connection, of).fetchone()["last_move"]
    return [move_of(row) for row in _OUTSIDE_MOVES.run(connection, of | {"after": after, "limit": limit})]


# Rows.


def shift_of(row: Row) -> Shift:
    """Read a shift back."""
    return Shift(
        tenant=row["tenant"],
        shop=row["shop"],
        number=row["number"],
        operator=row["operator"],
        opening=Money(row["float_micros"], row["currency"]),
        opened_at_ms=row["opened_at_ms"],
        closed_at_ms=row["closed_at_ms"],
    )


def _shift_values(shift: Shift) -> dict[str, object]:
    return {
        "tenant": shift.tenant,
        "shop": shift.shop,
        "number": shift.number,
        "operator": shift.operator,
        "currency": shift.opening.currency,
        "float_micros": shift.opening.micros,
        "opened_at_ms": shift.opened_at_ms,
        "closed_at_ms": shift.closed_at_ms,
    }


def move_of(row: Row) -> Move:
    """Read a movement back."""
    return Move(
        number=row["number"],
        key=row["key"],
        shift=row["shift"],
        kind=MoveKind(row["kind"]),
        method=Method(row["method"]),
        amount=Money(row["amount_micros"], row["currency"]),
        author=row["author"],
        reason=row["reason"],
        at_ms=row["at_ms"],
    )


def _checked(row: Row, currency: str) -> Checked:
    return Checked(
        at_ms=row["at_ms"],
        author=row["author"],
        count=Count.from_json(json.loads(row["pieces"]), currency),
        expected=Money(row["expected_micros"], currency),
    )


def _turn(row: Row) -> Turn:
    def amount(column: str) -> Money | None:
        return None if row[column] is None else Money(row[column], row["currency"])

    return Turn(
        shift=shift_of(row),
        z=row["z"],
        expected=amount("expected_micros"),
        counted=amount("counted_micros"),
        closed_by=row["closed_by"],
    )
