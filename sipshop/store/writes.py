"""What can be made durable: each write is a frozen value that knows its SQL, and can be done twice.

They arrive in the order in which things happened, but a failed one may be tried again later, after others. So a call's
row only ever goes forward: from nothing to `new`, to `answered`, to a CDR, and **a CDR ends it**: whatever comes for
that call afterwards finds the CDR and does nothing.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from sqlalchemy import ColumnElement, bindparam, delete, func, select, update
from sqlalchemy.dialects.sqlite import Insert, insert

from sipshop.billing.cdr import Cdr
from sipshop.billing.desk import Bill, BoothSession, Payment, settle_bill
from sipshop.billing.errors import UnknownParty
from sipshop.billing.money import Money
from sipshop.store import queries, rows
from sipshop.store.errors import NothingToPay, UnknownBooth
from sipshop.store.rows import LiveCall
from sipshop.store.schema import (
    Statement,
    booth_sessions,
    calls,
    cdrs,
    charges,
    desk_log,
    meta,
    parties,
    payments,
    processes,
    tokens,
)

# The journal of calls.


def _unless_settled() -> Insert:
    """Insert a call's row where the call has no CDR."""
    settled = (
        select(cdrs.c.call_id)
        .where(cdrs.c.tenant == bindparam("tenant"), cdrs.c.call_id == bindparam("call_id"))
        .exists()
    )
    values = select(*(bindparam(column.name, type_=column.type) for column in calls.c)).where(~settled)
    return insert(calls).from_select(list(calls.c.keys()), values)


def _answered() -> Insert:
    """Put the whole row, but keep a start of talk time that is there: a late retry knows of none."""
    put = _unless_settled()
    forward: dict[str, ColumnElement[object]] = {
        column.name: put.excluded[column.name] for column in calls.c if not column.primary_key
    }
    for name in ("relayed_at_ms", "relayed_mono_ms"):
        forward[name] = func.coalesce(put.excluded[name], calls.c[name])
    return put.on_conflict_do_update(index_elements=list(calls.primary_key), set_=forward)


_IS_CALL: Final = (calls.c.tenant == bindparam("key_tenant"), calls.c.call_id == bindparam("key_call_id"))

_START: Final = Statement(_unless_settled().on_conflict_do_nothing())
_ANSWER: Final = Statement(_answered())
_RELAY: Final = Statement(
    update(calls)
    .where(*_IS_CALL)
    .values(relayed_at_ms=bindparam("relayed_at_ms"), relayed_mono_ms=bindparam("relayed_mono_ms"))
)
_FORGET: Final = Statement(delete(calls).where(*_IS_CALL))
_SETTLE: Final = Statement(insert(cdrs).on_conflict_do_nothing())
_CHARGE: Final = Statement(insert(charges))
_RAISE_VERSION: Final = Statement(
    update(booth_sessions)
    .where(booth_sessions.c.tenant == bindparam("key_tenant"), booth_sessions.c.id == bindparam("session_id"))
    .values(version=booth_sessions.c.version + 1)
    .returning(booth_sessions.c.version)
)


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A call is being set up: its `new` row."""

    waited_for: ClassVar[bool] = False
    tenant: str
    call_id: str
    row: LiveCall

    def apply(self, connection: sqlite3.Connection) -> None:
        """Insert the row, unless the call has gone further already."""
        assert (self.row.tenant, self.row.call_id) == (self.tenant, self.call_id), "the row of another call"
        _START.run(connection, rows.call_values(self.row))


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """A call was answered: all that hanging it up and settling it will need, whether its `new` row arrived or not."""

    waited_for: ClassVar[bool] = True
    tenant: str
    call_id: str
    row: LiveCall

    def apply(self, connection: sqlite3.Connection) -> None:
        """Insert or replace the row, unless the call has its CDR already."""
        assert (self.row.tenant, self.row.call_id) == (self.tenant, self.call_id), "the row of another call"
        _ANSWER.run(connection, rows.call_values(self.row))


@dataclass(frozen=True, slots=True)
class CallRelayed:
    """The caller was sent the 2xx: talk time starts, in UTC and on the process's monotonic clock."""

    waited_for: ClassVar[bool] = False
    tenant: str
    call_id: str
    relayed_at_ms: int
    relayed_mono_ms: int

    def apply(self, connection: sqlite3.Connection) -> None:
        """Add the instants to the call's row, if it has one still."""
        _RELAY.run(
            connection,
            {
                "key_tenant": self.tenant,
                "key_call_id": self.call_id,
                "relayed_at_ms": self.relayed_at_ms,
                "relayed_mono_ms": self.relayed_mono_ms,
            },
        )


@dataclass(frozen=True, slots=True)
class CallSettled:
    """A call is over: its CDR and charges take the place of its row."""

    waited_for: ClassVar[bool] = False
    cdr: Cdr

    def apply(self, connection: sqlite3.Connection) -> int | None:
        """Write the CDR, once, and return the version that its booth session's bill has then (None: no session).

        A charge raises that version, so that a bill that was read before is stale.
        """
        cdr = self.cdr
        is_new = _SETTLE.run(connection, rows.cdr_values(cdr)).rowcount == 1
        _FORGET.run(connection, {"key_tenant": cdr.tenant, "key_call_id": cdr.call_id})
        if not (is_new and cdr.charges):
            return self._version(connection)
        version = self._raised_version(connection)
        _CHARGE.run_many(connection, rows.charge_values(cdr, version))
        return version

    def _raised_version(self, connection: sqlite3.Connection) -> int | None:
        values = {"key_tenant": self.cdr.tenant, "session_id": self.cdr.session_id}
        row = _RAISE_VERSION.run(connection, values).fetchone()
        return None if row is None else int(row["version"])

    def _version(self, connection: sqlite3.Connection) -> int | None:
        values = {"tenant": self.cdr.tenant, "session_id": self.cdr.session_id}
        row = queries.SESSION_VERSION.run(connection, values).fetchone()
        return None if row is None else int(row["version"])


_beat = insert(processes)
_HEARTBEAT: Final = Statement(
    _beat.on_conflict_do_update(
        index_elements=[processes.c.process],
        set_={"mono_ms": _beat.excluded.mono_ms, "utc_ms": _beat.excluded.utc_ms},
    )
)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A process lives at this instant, of its monotonic clock and in UTC; it belongs to no tenant.

    After a crash no call is billed past the last one.
    """

    waited_for: ClassVar[bool] = False
    process: str
    mono_ms: int
    utc_ms: int

    def apply(self, connection: sqlite3.Connection) -> None:
        """Replace the process's last one."""
        _HEARTBEAT.run(connection, {"process": self.process, "mono_ms": self.mono_ms, "utc_ms": self.utc_ms})


# A process whose calls all have their CDRs is of no interest any more.
_FORGET_PROCESSES: Final = Statement(
    delete(processes).where(processes.c.process.not_in(select(calls.c.process).scalar_subquery()))
)
_note = insert(meta)
NOTE: Final = Statement(_note.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": _note.excluded.value}))


@dataclass(frozen=True, slots=True)
class ProcessStarted:
    """A process took the database; it belongs to no tenant. Its first write finds out whether there can be more."""

    waited_for: ClassVar[bool] = True
    process: str

    def apply(self, connection: sqlite3.Connection) -> None:
        """Note the process and forget those before it, but for the heartbeats that dead calls are settled by."""
        NOTE.run(connection, {"key": "process", "value": self.process.encode()})
        _FORGET_PROCESSES.run(connection, {})


# The desk. Each command is done, or is found done; then it is not logged a second time.

_IS_SESSION: Final = (booth_sessions.c.tenant == bindparam("key_tenant"), booth_sessions.c.id == bindparam("key_id"))

_OPEN_SESSION: Final = Statement(insert(booth_sessions))
_CHANGE_SESSION: Final = Statement(
    update(booth_sessions).where(*_IS_SESSION).values(closed_at_ms=bindparam("closed_at_ms"), paid=bindparam("paid"))
)
_PAY: Final = Statement(insert(payments))
_SUSPEND: Final = Statement(
    update(parties)
    .where(
        parties.c.tenant == bindparam("key_tenant"),
        parties.c.name == bindparam("key_name"),
        parties.c.suspended != bindparam("wanted"),
    )
    .values(suspended=bindparam("wanted"))
)
_HAS_PARTY: Final = Statement(
    select(parties.c.name).where(parties.c.tenant == bindparam("tenant"), parties.c.name == bindparam("party"))
)
_next_log_id = (
    select(func.coalesce(func.max(desk_log.c.id), 0) + 1).where(desk_log.c.tenant == bindparam("tenant"))
).scalar_subquery()
_LOG: Final = Statement(
    insert(desk_log)
    .inline()
    .values({column.name: bindparam(column.name) for column in desk_log.c} | {"id": _next_log_id})
)
_ADD_TOKEN: Final = Statement(insert(tokens).on_conflict_do_nothing())


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened:
    """The operator unlocks a booth: its unpaid session goes on, or a new one begins."""

    waited_for: ClassVar[bool] = True
    tenant: str
    booth: str
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> BoothSession:
        """Return the booth's open session.

        Raises:
            UnknownBooth: the tenant has no such booth.
        """
        session = unpaid_session(connection, self.tenant, self.booth)
        if session is not None and session.is_open:
            return session
        if session is None:
            session = self._begin(connection)
        else:
            session = _changed(connection, session, closed_at_ms=None, paid=False)
        _log(connection, self, "unlock", self.booth, f"session {session.id}")
        return session

    def _begin(self, connection: sqlite3.Connection) -> BoothSession:
        session = BoothSession(
            tenant=self.tenant,
            id=queries.NEXT_SESSION_ID.run(connection, {"tenant": self.tenant}).fetchone()["id"],
            booth=self.booth,
            opened_at_ms=self.at_ms,
            opened_by=self.author,
            version=0,
            closed_at_ms=None,
            paid=False,
        )
        _OPEN_SESSION.run(connection, rows.session_values(session))
        return session


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLocked:
    """The operator locks a booth: no new calls, and what was called is still to be paid."""

    waited_for: ClassVar[bool] = True
    tenant: str
    booth: str
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> BoothSession | None:
        """Return the booth's unpaid session, closed; None if it has none.

        Raises:
            UnknownBooth: the tenant has no such booth.
        """
        session = unpaid_session(connection, self.tenant, self.booth)
        if session is None or not session.is_open:
            return session
        session = _changed(connection, session, closed_at_ms=self.at_ms, paid=False)
        _log(connection, self, "lock", self.booth, f"session {session.id}")
        return session


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPaid:
    """The customer pays the bill that the operator read at `version`; the booth is locked by it."""

    waited_for: ClassVar[bool] = True
    tenant: str
    booth: str
    version: int
    tendered: Money
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> Payment:
        """Draw up the bill as it stands in this transaction, and settle it.

        The same payment of a booth that has no unpaid session is found done, so a lost answer can be asked for again.

        Raises:
            DeskError: a call of the session has no CDR yet, the bill is at another version, the tender does not do.
            NothingToPay: there is no unpaid session.
            UnknownBooth: the tenant has no such booth.
        """
        session = unpaid_session(connection, self.tenant, self.booth)
        if session is None:
            return self._found(connection)
        live = queries.LIVE_CALLS.run(connection, {"tenant": self.tenant, "session_id": session.id}).fetchone()["live"]
        payment = settle_bill(
            drawn_bill(connection, session), version=self.version, tendered=self.tendered, live_calls=live
        )
        author = {"tenant": self.tenant, "author": self.author, "at_ms": self.at_ms}
        _PAY.run(connection, rows.payment_values(payment) | author)
        closed_at_ms = self.at_ms if session.closed_at_ms is None else session.closed_at_ms
        _changed(connection, session, closed_at_ms=closed_at_ms, paid=True)
        detail = f"session {session.id}, {payment.total}, tendered {payment.tendered}"
        _log(connection, self, "pay", self.booth, detail)
        return payment

    def _found(self, connection: sqlite3.Connection) -> Payment:
        row = queries.LAST_PAYMENT.run(connection, {"tenant": self.tenant, "booth": self.booth}).fetchone()
        if row is not None:
            payment = rows.payment(row)
            if (payment.version, payment.tendered) == (self.version, self.tendered):
                return payment
        raise NothingToPay(f"booth {self.booth} has no session to pay")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartySuspended:
    """A party, and with it all below it, may place no calls; or may again."""

    waited_for: ClassVar[bool] = True
    tenant: str
    party: str
    suspended: bool
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> None:
        """Set it.

        Raises:
            UnknownParty: the tenant has no such party.
        """
        if _HAS_PARTY.run(connection, {"tenant": self.tenant, "party": self.party}).fetchone() is None:
            raise UnknownParty(f"there is no party named {self.party!r}")
        values = {"key_tenant": self.tenant, "key_name": self.party, "wanted": int(self.suspended)}
        if _SUSPEND.run(connection, values).rowcount:
            action = "suspend" if self.suspended else "resume"
            _log(connection, self, action, self.party, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAdded:
    """A token opens the HTTP API for a role; only its SHA-256 is kept."""

    waited_for: ClassVar[bool] = True
    tenant: str
    sha256: str
    role: str
    label: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> None:
        """Add it, unless it is there."""
        _ADD_TOKEN.run(
            connection,
            {
                "tenant": self.tenant,
                "sha256": self.sha256,
                "role": self.role,
                "label": self.label,
                "created_at_ms": self.at_ms,
            },
        )


_Command = SessionOpened | SessionLocked | SessionPaid | PartySuspended


def unpaid_session(connection: sqlite3.Connection, tenant: str, booth: str) -> BoothSession | None:
    """Return the one session of a booth that is not paid, open or locked.

    Raises:
        UnknownBooth: the tenant has no such booth.
    """
    row = queries.UNPAID_SESSION.run(connection, {"tenant": tenant, "booth": booth}).fetchone()
    if row is not None:
        return rows.booth_session(row)
    _currency(connection, tenant, booth)
    return None


def drawn_bill(connection: sqlite3.Connection, session: BoothSession) -> Bill:
    """Return the bill of a session as this connection sees it."""
    found = queries.BILL_LINES.run(connection, {"tenant": session.tenant, "session_id": session.id})
    return rows.bill(session, _currency(connection, session.tenant, session.booth), found)


def _currency(connection: sqlite3.Connection, tenant: str, booth: str) -> str:
    row = queries.BOOTH_CURRENCY.run(connection, {"tenant": tenant, "booth": booth}).fetchone()
    if row is None:
        raise UnknownBooth(f"there is no booth named {booth!r}")
    return str(row["currency"])


def _changed(
    connection: sqlite3.Connection, session: BoothSession, *, closed_at_ms: int | None, paid: bool
) -> BoothSession:
    values = {"key_tenant": session.tenant, "key_id": session.id, "closed_at_ms": closed_at_ms, "paid": int(paid)}
    _CHANGE_SESSION.run(connection, values)
    return replace(session, closed_at_ms=closed_at_ms, paid=paid)


def _log(connection: sqlite3.Connection, command: _Command, action: str, subject: str, detail: str) -> None:
    values = {"tenant": command.tenant, "at_ms": command.at_ms, "author": command.author}
    _LOG.run(connection, values | {"action": action, "subject": subject, "detail": detail})
