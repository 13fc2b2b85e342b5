"""The outbox: every revision of a CDR in the order in which it was written, and how far each target of the export is.

A CDR gets its number in the transaction that writes it, by a trigger of the schema, so that nothing can be written and
not be there to deliver. A target is moved on after it has taken what it was given: whoever dies in between gives it
again. Numbers are a tenant's own, from 1 on and without a gap, so what a target has is told by counting.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, Final

from sqlalchemy import text

from sipshop.billing.cdr import utc_text
from sipshop.store import rows
from sipshop.store.connect import connect_reader
from sipshop.store.errors import NotInTheOutbox, UnknownTarget, Unusable
from sipshop.store.schema import Statement
from sipshop.store.writes import note_in_log

#: How many parked records are shown of a target.
MOST_SHOWN: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A CDR in its place in the outbox, as `Cdr.to_json` gives it; None where it was removed when its time had come."""

    number: int
    record: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """What a target refused by itself, and why; `is_due` says that it shall be tried once more."""

    number: int
    call_id: str
    revision: int
    why: str
    at_ms: int
    is_due: bool

    def to_json(self) -> dict[str, Any]:
        """Return it in plain JSON types."""
        return {
            "number": self.number,
            "call_id": self.call_id,
            "revision": self.revision,
            "why": self.why,
            "at": utc_text(self.at_ms),
            "is_due": self.is_due,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a target is: all that is numbered after `first` and up to `taken` is behind it.

    `last` is the newest number that there is; `oldest_at_ms`, UTC, is when the call ended that comes next, None where
    nothing waits. `parked` are the first of those that it refused, `parked_count` is how many there are.
    """

    first: int
    taken: int
    delivered: int
    skipped: int
    last: int
    oldest_at_ms: int | None
    parked: tuple[Parked, ...] = ()
    parked_count: int = 0

    @property
    def backlog(self) -> int:
        """How many records wait to be delivered."""
        return self.last - self.taken


def _question(sql: str) -> Statement:
    return Statement(text(sql))


_STANDING: Final = _question(
    """
    SELECT first, taken, delivered, skipped,
      (SELECT coalesce(max(number), 0) FROM outbox WHERE outbox.tenant = :tenant) AS last,
      (
        SELECT cdrs.ended_at_ms FROM outbox
        JOIN cdrs ON cdrs.tenant = outbox.tenant AND cdrs.call_id = outbox.call_id AND cdrs.revision = outbox.revision
        WHERE outbox.tenant = :tenant AND outbox.number > export_targets.taken ORDER BY outbox.number LIMIT 1
      ) AS oldest_at_ms,
      (
        SELECT count(*) FROM export_parked
        WHERE export_parked.tenant = :tenant AND export_parked.target = :target
      ) AS parked_count
    FROM export_targets WHERE tenant = :tenant AND target = :target
    """
)
_PARKED: Final = _question(
    """
    SELECT export_parked.number, export_parked.why, export_parked.at_ms, export_parked.is_due,
      outbox.call_id, outbox.revision
    FROM export_parked
    JOIN outbox ON outbox.tenant = export_parked.tenant AND outbox.number = export_parked.number
    WHERE export_parked.tenant = :tenant AND export_parked.target = :target
    ORDER BY export_parked.number LIMIT :at_most
    """
)
_DUE: Final = _question(
    """
    SELECT number FROM export_parked
    WHERE tenant = :tenant AND target = :target AND is_due = 1 ORDER BY number LIMIT 1
    """
)
_RECORDS: Final = _question(
    """
    SELECT outbox.number, cdrs.*, charges.level, charges.seller, charges.buyer, charges.currency,
      charges.amount_micros, charges.duration_s, charges.billed_s, charges.tariff, charges.lines
    FROM outbox
    LEFT JOIN cdrs
      ON cdrs.tenant = outbox.tenant AND cdrs.call_id = outbox.call_id AND cdrs.revision = outbox.revision
    LEFT JOIN charges
      ON charges.tenant = cdrs.tenant AND charges.call_id = cdrs.call_id AND charges.revision = cdrs.revision
    WHERE outbox.tenant = :tenant AND outbox.number BETWEEN :first AND :last
    ORDER BY outbox.number, charges.level
    """
)
_OLDEST_UNDELIVERED: Final = _question(
    """
    SELECT min(cdrs.setup_at_ms) AS setup_at_ms FROM outbox
    JOIN cdrs ON cdrs.tenant = outbox.tenant AND cdrs.call_id = outbox.call_id AND cdrs.revision = outbox.revision
    WHERE outbox.tenant = :tenant
      AND outbox.number > (SELECT taken FROM export_targets WHERE tenant = :tenant AND target = :target)
    """
)


# What is read, on the thread of whoever asks: each opens the file anew and sees it as it is now.


def read_standing(path: Path, tenant: str, target: str) -> Standing | None:
    """Return how far a target is, None where it never began; raises Unusable."""
    try:
        with closing(connect_reader(path)) as connection:
            connection.execute("BEGIN")
            row = _STANDING.run(connection, {"tenant": tenant, "target": target}).fetchone()
            if row is None:
                return None
            asked = {"tenant": tenant, "target": target, "at_most": MOST_SHOWN}
            parked = _PARKED.run(connection, asked).fetchall() if row["parked_count"] else []
    except sqlite3.Error as error:
        raise Unusable(path, str(error)) from error
    return Standing(
        first=row["first"],
        taken=row["taken"],
        delivered=row["delivered"],
        skipped=row["skipped"],
        last=row["last"],
        oldest_at_ms=row["oldest_at_ms"],
        parked=tuple(_parked(one) for one in parked),
        parked_count=row["parked_count"],
    )


def read_due(path: Path, tenant: str, target: str) -> int | None:
    """Return the number of a parked record that shall be tried once more; raises Unusable."""
    try:
        with closing(connect_reader(path)) as connection:
            row = _DUE.run(connection, {"tenant": tenant, "target": target}).fetchone()
    except sqlite3.Error as error:
        raise Unusable(path, str(error)) from error
    return None if row is None else int(row["number"])


def read_records(path: Path, tenant: str, first: int, last: int) -> list[Exported]:
    """Return the CDRs with these numbers, in order, as far as there are so many; raises Unusable."""
    try:
        with closing(connect_reader(path)) as connection:
            found = _RECORDS.run(connection, {"tenant": tenant, "first": first, "last": last}).fetchall()
    except sqlite3.Error as error:
        raise Unusable(path, str(error)) from error
    return [
        Exported(number=number, record=_record(list(joined)))
        for number, joined in groupby(found, key=lambda row: int(row["number"]))
    ]


def oldest_undelivered_ms(path: Path, tenant: str, target: str) -> int | None:
    """Return when the oldest call was set up that a target has yet to get, None if it has them all; raises Unusable."""
    try:
        with closing(connect_reader(path)) as connection:
            row = _OLDEST_UNDELIVERED.run(connection, {"tenant": tenant, "target": target}).fetchone()
    except sqlite3.Error as error:
        raise Unusable(path, str(error)) from error
    return None if row["setup_at_ms"] is None else int(row["setup_at_ms"])


def _parked(row: rows.Row) -> Parked:
    return Parked(
        number=row["number"],
        call_id=row["call_id"],
        revision=row["revision"],
        why=row["why"],
        at_ms=row["at_ms"],
        is_due=bool(row["is_due"]),
    )


def _record(joined: list[sqlite3.Row]) -> dict[str, Any] | None:
    """A CDR from its rows, one a charge; none where it is gone."""
    if joined[0]["call_id"] is None:
        return None
    return rows.cdr(joined[0], (rows.charge(row) for row in joined if row["level"] is not None)).to_json()


# What is written.

_START: Final = _question(
    """
    INSERT INTO export_targets (tenant, target, first, taken, delivered, skipped)
    SELECT :tenant, :target, begin, begin, 0, 0
    FROM (
      SELECT CASE WHEN :from_beginning THEN 0 ELSE coalesce(max(number), 0) END AS begin
      FROM outbox WHERE tenant = :tenant
    ) WHERE true
    ON CONFLICT DO NOTHING
    """
)
_ADVANCE: Final = _question(
    """
    UPDATE export_targets SET taken = :last, delivered = delivered + :delivered, skipped = skipped + :skipped
    WHERE tenant = :tenant AND target = :target AND taken = :first - 1
    """
)
_COUNT: Final = _question(
    """
    UPDATE export_targets SET delivered = delivered + :delivered, skipped = skipped + :skipped
    WHERE tenant = :tenant AND target = :target
    """
)
_PARK: Final = _question(
    """
    INSERT INTO export_parked (tenant, target, number, why, at_ms, is_due)
    VALUES (:tenant, :target, :number, :why, :at_ms, 0)
    """
)
_PARK_AGAIN: Final = _question(
    """
    UPDATE export_parked SET why = :why, at_ms = :at_ms, is_due = 0
    WHERE tenant = :tenant AND target = :target AND number = :number
    """
)
_UNPARK: Final = _question("DELETE FROM export_parked WHERE tenant = :tenant AND target = :target AND number = :number")
_MAKE_DUE: Final = _question("UPDATE export_parked SET is_due = 1 WHERE tenant = :tenant AND target = :target")
_IS_THERE: Final = _question("SELECT taken FROM export_targets WHERE tenant = :tenant AND target = :target")
_IS_NUMBERED: Final = _question("SELECT number FROM outbox WHERE tenant = :tenant AND number = :number")


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetBegun:
    """A target is named for the first time: it gets every CDR that there is, or those that are yet to come."""

    waited_for: ClassVar[bool] = False
    tenant: str
    target: str
    from_beginning: bool

    def apply(self, connection: sqlite3.Connection) -> None:
        """Note where it begins; one that began before goes on where it was."""
        values = {"tenant": self.tenant, "target": self.target, "from_beginning": self.from_beginning}
        _START.run(connection, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTaken:
    """A target has taken the records from `first` to `last`, of which `gone` had been removed before they came to it.

    `is_parked` says that it is one that was parked.
    """

    waited_for: ClassVar[bool] = False
    tenant: str
    target: str
    first: int
    last: int
    gone: int = 0
    is_parked: bool = False

    def apply(self, connection: sqlite3.Connection) -> bool:
        """Move the target on; False where somebody has moved it meanwhile, and nothing is counted."""
        delivered = self.last - self.first + 1 - self.gone
        values = {"tenant": self.tenant, "target": self.target, "delivered": delivered, "skipped": self.gone}
        if not self.is_parked:
            moved = _ADVANCE.run(connection, values | {"first": self.first, "last": self.last})
            return moved.rowcount == 1
        gone = _UNPARK.run(connection, {"tenant": self.tenant, "target": self.target, "number": self.first})
        if gone.rowcount:
            _COUNT.run(connection, values)
        return gone.rowcount == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordParked:
    """A target refuses a record again and again, which shall not keep those behind it waiting."""

    waited_for: ClassVar[bool] = False
    tenant: str
    target: str
    number: int
    why: str
    at_ms: int
    is_parked: bool = False

    def apply(self, connection: sqlite3.Connection) -> bool:
        """Put it aside and move the target on; False where somebody has moved it meanwhile."""
        values = {"tenant": self.tenant, "target": self.target, "number": self.number}
        told = {"why": self.why, "at_ms": self.at_ms}
        if self.is_parked:
            return _PARK_AGAIN.run(connection, values | told).rowcount == 1
        moved = {"first": self.number, "last": self.number, "delivered": 0, "skipped": 0}
        if _ADVANCE.run(connection, values | moved).rowcount != 1:
            return False
        _PARK.run(connection, values | told)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedRetried:
    """Somebody wants what a target refused to be tried once more."""

    waited_for: ClassVar[bool] = True
    tenant: str
    target: str
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> int:
        """Have it tried; how many there are. Raises UnknownTarget."""
        values = {"tenant": self.tenant, "target": self.target}
        if _IS_THERE.run(connection, values).fetchone() is None:
            raise UnknownTarget(f"there is no target named {self.target!r}")
        due = _MAKE_DUE.run(connection, values).rowcount
        _note(connection, self, "outbox retry", f"{due} parked")
        return due


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSkipped:
    """Somebody wants a target never to get a record: one that is parked, or the one that comes next."""

    waited_for: ClassVar[bool] = True
    tenant: str
    target: str
    number: int
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> None:
        """Skip it.

        Raises:
            UnknownTarget: there is no such target.
            NotInTheOutbox: the record is neither parked nor the next one.
        """
        of_target = {"tenant": self.tenant, "target": self.target}
        values = of_target | {"number": self.number}
        there = _IS_THERE.run(connection, of_target).fetchone()
        if there is None:
            raise UnknownTarget(f"there is no target named {self.target!r}")
        if _UNPARK.run(connection, values).rowcount:
            _COUNT.run(connection, of_target | {"delivered": 0, "skipped": 1})
        elif (
            self.number == there["taken"] + 1
            and _IS_NUMBERED.run(connection, {"tenant": self.tenant, "number": self.number}).fetchone()
        ):
            moved = {"first": self.number, "last": self.number, "delivered": 0, "skipped": 1}
            _ADVANCE.run(connection, of_target | moved)
        else:
            raise NotInTheOutbox(
                f"{self.target} has no record {self.number} that is parked or comes next: "
                f"`sipshop outbox list` shows which are"
            )
        _note(connection, self, "outbox skip", f"record {self.number}")


def _note(connection: sqlite3.Connection, command: ParkedRetried | RecordSkipped, action: str, detail: str) -> None:
    note_in_log(
        connection,
        tenant=command.tenant,
        at_ms=command.at_ms,
        author=command.author,
        action=action,
        subject=command.target,
        detail=detail,
    )
