"""What is written of the floor of a shop: sessions that move to another booth, notes, cut calls, and alarms."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass, replace
from typing import ClassVar, Final

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.sqlite import insert

from sipshop.billing.desk import BoothSession
from sipshop.billing.errors import BadTerms, CallAlive
from sipshop.store import queries
from sipshop.store.errors import NothingToPay, UnknownAlarm, UnknownBooth
from sipshop.store.rows import Row
from sipshop.store.schema import Statement, alarms, booth_sessions, session_notes
from sipshop.store.writes import note_in_log, unpaid_session

_MOVE: Final = Statement(
    update(booth_sessions)
    .where(booth_sessions.c.tenant == bindparam("key_tenant"), booth_sessions.c.id == bindparam("key_id"))
    .values(booth=bindparam("booth"))
)
_put = insert(session_notes)
_NOTE: Final = Statement(
    _put.on_conflict_do_update(
        index_elements=list(session_notes.primary_key),
        set_={"note": _put.excluded.note, "author": _put.excluded.author, "at_ms": _put.excluded.at_ms},
    )
)
NOTES: Final = Statement(
    select(session_notes)
    .join(
        booth_sessions,
        (booth_sessions.c.tenant == session_notes.c.tenant) & (booth_sessions.c.id == session_notes.c.session_id),
    )
    .where(booth_sessions.c.paid == 0)
)
_RAISE: Final = Statement(insert(alarms).on_conflict_do_nothing())
_ACKNOWLEDGE: Final = Statement(
    update(alarms)
    .where(
        alarms.c.tenant == bindparam("key_tenant"),
        alarms.c.call_id == bindparam("key_call_id"),
        alarms.c.acknowledged_at_ms.is_(None),
    )
    .values(acknowledged_at_ms=bindparam("at_ms"), acknowledged_by=bindparam("author"))
)
_ALARM: Final = Statement(
    select(alarms).where(alarms.c.tenant == bindparam("key_tenant"), alarms.c.call_id == bindparam("key_call_id"))
)
OPEN_ALARMS: Final = Statement(select(alarms).where(alarms.c.acknowledged_at_ms.is_(None)).order_by(alarms.c.at_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An emergency call of a booth, and who has seen to it; both None until somebody has. Instants are UTC."""

    tenant: str
    call_id: str
    shop: str
    booth: str
    dialled: str
    at_ms: int
    acknowledged_at_ms: int | None = None
    acknowledged_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMoved:
    """A customer goes to another booth of the shop: his session goes with him, and with it the bill of its calls.

    Of a call that was made before, the record goes on to name the booth that made it.
    """

    waited_for: ClassVar[bool] = True
    tenant: str
    booth: str
    to: str
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> BoothSession:
        """Return the session in its new booth.

        Raises:
            UnknownBooth: the tenant has no such booth, or the other one is not of the same shop.
            NothingToPay: there is no unpaid session.
            CallAlive: a call of it has no CDR yet.
            BadTerms: the other booth has a session of its own, is disabled, or is this one.
        """
        here, there = (_shop(connection, self.tenant, name) for name in (self.booth, self.to))
        session = unpaid_session(connection, self.tenant, self.booth)
        if session is None:
            raise NothingToPay(f"booth {self.booth} has no session to move")
        if there["name"] != here["name"]:
            raise UnknownBooth(f"the shop {here['name']} has no booth named {self.to!r}")
        if self.to == self.booth or unpaid_session(connection, self.tenant, self.to) is not None:
            raise BadTerms(f"booth {self.to} is taken: its own session has to be paid first")
        if there["disabled"]:
            raise BadTerms(f"booth {self.to} is disabled: its world would have to take it in again")
        values = {"tenant": self.tenant, "session_id": session.id}
        alive = int(queries.LIVE_CALLS.run(connection, values).fetchone()["live"])
        if alive:
            raise CallAlive(alive)
        _MOVE.run(connection, {"key_tenant": self.tenant, "key_id": session.id, "booth": self.to})
        _log(connection, self, "move", self.booth, f"session {session.id} to {self.to}")
        return replace(session, booth=self.to)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionNoted:
    """The operator writes down something about a booth's unpaid session; an empty note takes the place of one too."""

    waited_for: ClassVar[bool] = True
    tenant: str
    booth: str
    note: str
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> int:
        """Return the number of the session; raises UnknownBooth, or NothingToPay where it has none."""
        session = unpaid_session(connection, self.tenant, self.booth)
        if session is None:
            raise NothingToPay(f"booth {self.booth} has no session to write about")
        values = {"tenant": self.tenant, "session_id": session.id, "note": self.note}
        _NOTE.run(connection, values | {"author": self.author, "at_ms": self.at_ms})
        _log(connection, self, "note", self.booth, f"session {session.id}: {self.note}")
        return session.id


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsCut:
    """The operator ended the calls of a booth, which stays open: so many of them."""

    waited_for: ClassVar[bool] = True
    tenant: str
    booth: str
    calls: int
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write it into the desk's log."""
        _log(connection, self, "cut", self.booth, f"{self.calls} calls")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRaised:
    """A booth calls an emergency number. Nobody waits for it: the call least of all."""

    waited_for: ClassVar[bool] = False
    tenant: str
    alarm: Alarm

    def apply(self, connection: sqlite3.Connection) -> None:
        """Keep it, unless it is there."""
        _RAISE.run(connection, asdict(self.alarm))


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmAcknowledged:
    """Somebody at the desk has seen to an emergency call."""

    waited_for: ClassVar[bool] = True
    tenant: str
    call_id: str
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> Alarm:
        """Return the alarm with whoever saw to it first; raises UnknownAlarm where there is none."""
        key = {"key_tenant": self.tenant, "key_call_id": self.call_id}
        is_first = _ACKNOWLEDGE.run(connection, key | {"at_ms": self.at_ms, "author": self.author}).rowcount == 1
        row = _ALARM.run(connection, key).fetchone()
        if row is None:
            raise UnknownAlarm(f"there is no emergency call named {self.call_id!r}")
        alarm = alarm_of(row)
        if is_first:
            _log(connection, self, "acknowledge", alarm.booth, f"emergency call {self.call_id} to {alarm.dialled}")
        return alarm


_Command = SessionMoved | SessionNoted | CallsCut | AlarmAcknowledged


def _shop(connection: sqlite3.Connection, tenant: str, booth: str) -> Row:
    row: Row | None = queries.BOOTH_SHOP.run(connection, {"tenant": tenant, "booth": booth}).fetchone()
    if row is None:
        raise UnknownBooth(f"there is no booth named {booth!r}")
    return row


def _log(connection: sqlite3.Connection, command: _Command, action: str, subject: str, detail: str) -> None:
    note_in_log(
        connection,
        tenant=command.tenant,
        at_ms=command.at_ms,
        author=command.author,
        action=action,
        subject=subject,
        detail=detail,
    )


def alarm_of(row: Row) -> Alarm:
    """Read an alarm back."""
    return Alarm(
        tenant=row["tenant"],
        call_id=row["call_id"],
        shop=row["shop"],
        booth=row["booth"],
        dialled=row["dialled"],
        at_ms=row["at_ms"],
        acknowledged_at_ms=row["acknowledged_at_ms"],
        acknowledged_by=row["acknowledged_by"],
    )
