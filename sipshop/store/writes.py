"""What can be made durable: each write is a frozen value that knows its SQL, and can be done twice.

They arrive in the order in which things happened, but a failed one may be tried again later, after others. So a call's
row only ever goes forward: from nothing to `new`, to `answered`, to a CDR, and **a CDR ends it**: whatever comes for
that call afterwards finds the CDR and does nothing.

Money moves by transfers alone, each under a key that is one in the tenant, and each changes the balances of its two
accounts in the transaction that writes it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from sqlalchemy import ColumnElement, bindparam, delete, func, select, update
from sqlalchemy.dialects.sqlite import Insert, insert

from sipshop.billing.cdr import Cdr
from sipshop.billing.desk import POSTPAID, BoothSession, SessionTerms
from sipshop.billing.errors import (
    AccountInUse,
    BadTerms,
    BelowUsed,
    DeskError,
    LedgerError,
    UnknownAccount,
    UnknownParty,
    WrongCurrency,
)
from sipshop.billing.ledger import (
    WORLD,
    Transfer,
    TransferKind,
    charge_transfers,
    customer,
    moved,
    session_account,
    till,
)
from sipshop.billing.money import Money, amount_text
from sipshop.billing.parties import Party, PartyTree
from sipshop.store import queries, rows
from sipshop.store.drawer import note_transfers
from sipshop.store.errors import NothingToPay, UnknownBooth, UnknownOperator, UnknownToken
from sipshop.store.farewells import Owed
from sipshop.store.rows import AccountState, LiveCall, Moved, Row, Token
from sipshop.store.schema import (
    Statement,
    accounts,
    booth_sessions,
    calls,
    cdrs,
    charges,
    desk_log,
    meta,
    parties,
    processes,
    tokens,
    transfers,
)

# Money.

_TRANSFER: Final = Statement(insert(transfers))

_put = insert(accounts)
_ADD: Final = Statement(
    _put.on_conflict_do_update(
        index_elements=list(accounts.primary_key),
        set_={"balance_micros": accounts.c.balance_micros + _put.excluded.balance_micros},
    )
)
_LIMIT: Final = Statement(
    _put.on_conflict_do_update(
        index_elements=list(accounts.primary_key),
        set_={"credit_limit_micros": _put.excluded.credit_limit_micros},
    )
)
_OVERDRAW: Final = Statement(
    update(accounts)
    .where(
        accounts.c.tenant == bindparam("key_tenant"),
        accounts.c.name == bindparam("key_name"),
        accounts.c.currency == bindparam("key_currency"),
    )
    .values(overdrawn=bindparam("wanted"))
)


def post(
    connection: sqlite3.Connection, tenant: str, made: Iterable[Transfer], *, author: str, reason: str, at_ms: int
) -> None:
    """Write transfers that are not there, and change the balances of their accounts; a new account has no limit.

    What they move at a till is noted there. Raises `NoShift` where that needs a shift which its author has not open.
    """
    written = tuple(made)
    note_transfers(connection, tenant, written, author=author, reason=reason, at_ms=at_ms)
    _TRANSFER.run_many(
        connection,
        (rows.transfer_values(tenant, transfer, author=author, reason=reason, at_ms=at_ms) for transfer in written),
    )
    _ADD.run_many(
        connection,
        (
            _account_values(tenant, name, transfer.amount.currency, balance_micros=micros)
            for transfer in written
            for name, micros in ((transfer.debit, -transfer.amount.micros), (transfer.credit, transfer.amount.micros))
        ),
    )


def limit_account(
    connection: sqlite3.Connection, tenant: str, name: str, currency: str, credit_limit: int | None
) -> None:
    """Set an account's credit limit in micro-units, None for none; one that is not there begins with nothing on it."""
    values = _account_values(tenant, name, currency, balance_micros=0)
    _LIMIT.run(connection, values | {"credit_limit_micros": credit_limit})


def _account_values(tenant: str, name: str, currency: str, *, balance_micros: int) -> rows.Values:
    return {
        "tenant": tenant,
        "name": name,
        "currency": currency,
        "balance_micros": balance_micros,
        "credit_limit_micros": None,
        "overdrawn": 0,
    }


def party_account(connection: sqlite3.Connection, tenant: str, party: str) -> AccountState:
    """Return the account that a party is charged on.

    Raises:
        UnknownParty: the tenant has no such party.
        UnknownAccount: it is the provider, or was never given an account.
    """
    name = account_name(queries.PARTY.run(connection, {"tenant": tenant, "party": party}).fetchone(), party)
    return _account(connection, tenant, name)


def account_name(row: Row | None, party: str) -> str:
    """Return the name of the account that a party is charged on, from its row or from none; raises as above."""
    if row is None:
        raise UnknownParty(f"there is no party named {party!r}")
    if row["parent"] is None:
        raise UnknownAccount(f"{party} is the provider: nobody sells to it, so it has no account here")
    return customer(party, row["parent"])


def _account(connection: sqlite3.Connection, tenant: str, name: str) -> AccountState:
    row = queries.ACCOUNT.run(connection, {"tenant": tenant, "account": name}).fetchone()
    if row is None:
        raise UnknownAccount(f"there is no account named {name!r}")
    return rows.account_state(row)


def _found(connection: sqlite3.Connection, tenant: str, key: str) -> sqlite3.Row | None:
    """Return the transfer of this key, if it was made already."""
    row: sqlite3.Row | None = queries.TRANSFER.run(connection, {"tenant": tenant, "key": key}).fetchone()
    return row


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
    """Put the whole row, but keep a start of talk time and a later grant: a late retry knows of none."""
    put = _unless_settled()
    forward: dict[str, ColumnElement[object]] = {
        column.name: put.excluded[column.name] for column in calls.c if not column.primary_key
    }
    for name in ("relayed_at_ms", "relayed_mono_ms"):
        forward[name] = func.coalesce(put.excluded[name], calls.c[name])
    forward["granted_ms"] = func.max(
        func.coalesce(put.excluded.granted_ms, calls.c.granted_ms),
        func.coalesce(calls.c.granted_ms, put.excluded.granted_ms),
    )
    return put.on_conflict_do_update(index_elements=list(calls.primary_key), set_=forward)


_IS_CALL: Final = (calls.c.tenant == bindparam("key_tenant"), calls.c.call_id == bindparam("key_call_id"))

_START: Final = Statement(_unless_settled().on_conflict_do_nothing())
_ANSWER: Final = Statement(_answered())
_RELAY: Final = Statement(
    update(calls)
    .where(*_IS_CALL)
    .values(relayed_at_ms=bindparam("relayed_at_ms"), relayed_mono_ms=bindparam("relayed_mono_ms"))
)
_GRANT: Final = Statement(
    update(calls)
    .where(*_IS_CALL)
    .values(granted_ms=func.max(func.coalesce(calls.c.granted_ms, bindparam("granted_ms")), bindparam("granted_ms")))
)
_DOUBT: Final = Statement(update(calls).where(*_IS_CALL).values(granted_ms=bindparam("granted_ms")))
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
class CallGranted:
    """A call may talk this long, because that is what its levels can pay and hold for it: ms from its answer."""

    waited_for: ClassVar[bool] = False
    tenant: str
    call_id: str
    granted_ms: int

    def apply(self, connection: sqlite3.Connection) -> None:
        """Raise what the call's row says, if it has one still; what was granted is never taken back."""
        _GRANT.run(connection, {"key_tenant": self.tenant, "key_call_id": self.call_id, "granted_ms": self.granted_ms})


@dataclass(frozen=True, slots=True)
class CallDoubted:
    """A talk is over, and may have been longer than this, which is known: a crash bills no more."""

    waited_for: ClassVar[bool] = False
    tenant: str
    call_id: str
    talk_ms: int

    def apply(self, connection: sqlite3.Connection) -> None:
        """Lower what the call's row says was granted, if it has one still: nothing is granted to it any more."""
        _DOUBT.run(connection, {"key_tenant": self.tenant, "key_call_id": self.call_id, "granted_ms": self.talk_ms})


@dataclass(frozen=True, slots=True)
class CallSettled:
    """A call is over: its CDR, what every level pays, and the transfers of it take the place of its row.

    So do the BYEs that are `owed` to its legs.
    """

    waited_for: ClassVar[bool] = False
    cdr: Cdr
    owed: tuple[Owed, ...] = ()

    def apply(self, connection: sqlite3.Connection) -> int | None:
        """Write the CDR and move its money, once, and return its booth session's bill version (None: no session).

        A charge raises that version, so that a bill that was read before is stale.
        """
        cdr = self.cdr
        is_new = _SETTLE.run(connection, rows.cdr_values(cdr)).rowcount == 1
        _FORGET.run(connection, {"key_tenant": cdr.tenant, "key_call_id": cdr.call_id})
        for owed in self.owed:
            owed.write(connection)
        if not (is_new and cdr.charges):
            return self._version(connection)
        version = raise_version(connection, cdr.tenant, cdr.session_id)
        _CHARGE.run_many(connection, rows.charge_values(cdr, version))
        post(connection, cdr.tenant, charge_transfers(cdr), author="switch", reason="", at_ms=cdr.ended_at_ms)
        return version

    def _version(self, connection: sqlite3.Connection) -> int | None:
        values = {"tenant": self.cdr.tenant, "session_id": self.cdr.session_id}
        row = queries.SESSION_VERSION.run(connection, values).fetchone()
        return None if row is None else int(row["version"])


def raise_version(connection: sqlite3.Connection, tenant: str, session_id: int | None) -> int | None:
    """Make the bill of a booth session another one than was read before; its version, None without a session."""
    row = _RAISE_VERSION.run(connection, {"key_tenant": tenant, "session_id": session_id}).fetchone()
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
    update(booth_sessions)
    .where(*_IS_SESSION)
    .values(
        {
            name: bindparam(name)
            for name in ("closed_at_ms", "paid", "deposit_micros", "credit_limit_micros", "talk_limit_ms")
        }
    )
)
_SUSPEND: Final = Statement(
    update(parties)
    .where(parties.c.tenant == bindparam("key_tenant"), parties.c.name == bindparam("key_name"))
    .values(suspender=bindparam("suspender"))
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
_REVOKE_TOKEN: Final = Statement(
    update(tokens)
    .where(tokens.c.tenant == bindparam("key_tenant"), tokens.c.sha256 == bindparam("key_sha256"))
    .values(revoked_at_ms=bindparam("revoked_at_ms"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened:
    """The operator unlocks a booth: its unpaid session goes on, or a new one begins.

    By its `terms` a new session is bound to a deposit, a limit, minutes or nothing. One that goes on stays as it was
    where there are none; a deposit is added to it, a limit or minutes take the place of those before. `key` names a
    command that takes a deposit.
    """

    waited_for: ClassVar[bool] = True
    tenant: str
    booth: str
    author: str
    at_ms: int
    terms: SessionTerms = POSTPAID
    key: str | None = None

    def apply(self, connection: sqlite3.Connection) -> BoothSession:
        """Return the booth's open session; of a deposit that was taken before under the same key, the session as it is.

        Raises:
            UnknownBooth: the tenant has no such booth.
            WrongCurrency: the terms are in another currency than the shop's.
            BadTerms: the booth is disabled, or open already, and not by this command.
            AccountInUse: a call goes on without a limit, so none can be set.
            BelowUsed: more is owed already than the terms allow.
            DeskError: another deposit was taken under this key.
        """
        shop = shop_of(connection, self.tenant, self.booth)
        for amount in (self.terms.deposit, self.terms.limit):
            _check_currency(amount, shop["currency"])
        if self.terms.deposit is not None and self.key is not None:
            row = _found(connection, self.tenant, f"deposit:{self.key}")
            if row is not None:
                return _found_done(connection, self, rows.transfer(row), self.terms.deposit)
        if shop["disabled"]:
            raise BadTerms(f"booth {self.booth} is disabled: its world would have to take it in again")
        session = unpaid_session(connection, self.tenant, self.booth)
        if session is not None and session.is_open:
            if self.terms.none or self._is_done(connection, session):
                return session
            raise BadTerms(f"booth {self.booth} is open already: top up its session instead")
        session = self._begin(connection, shop) if session is None else self._go_on(connection, session, shop)
        if self.terms.deposit is not None:
            session = self._deposit(connection, session, shop, self.terms.deposit)
        _log(connection, self, "unlock", self.booth, self._detail(session))
        return session

    def _begin(self, connection: sqlite3.Connection, shop: Row) -> BoothSession:
        session = BoothSession(
            tenant=self.tenant,
            id=queries.NEXT_SESSION_ID.run(connection, {"tenant": self.tenant}).fetchone()["id"],
            booth=self.booth,
            owner=shop["owner"],
            opened_at_ms=self.at_ms,
            opened_by=self.author,
            version=0,
            closed_at_ms=None,
            paid=False,
            credit_limit_micros=self._credit_limit(None),
            talk_limit_ms=self.terms.talk_limit_ms,
        )
        _OPEN_SESSION.run(connection, rows.session_values(session))
        _limit_session(connection, session, shop["currency"])
        return session

    def _go_on(self, connection: sqlite3.Connection, session: BoothSession, shop: Row) -> BoothSession:
        credit_limit = self._credit_limit(session.credit_limit_micros)
        if credit_limit != session.credit_limit_micros and credit_limit is not None:
            self._check_limit(connection, session, Money(credit_limit, shop["currency"]))
        talk_limit_ms = session.talk_limit_ms if self.terms.talk_limit_ms is None else self.terms.talk_limit_ms
        session = replace(session, closed_at_ms=None, credit_limit_micros=credit_limit, talk_limit_ms=talk_limit_ms)
        keep_session(connection, session)
        _limit_session(connection, session, shop["currency"])
        return session

    def _check_limit(self, connection: sqlite3.Connection, session: BoothSession, credit_limit: Money) -> None:
        """Refuse a limit that the session is beyond, or that a call was never held to."""
        if session.credit_limit_micros is None and live_calls(connection, session):
            raise AccountInUse("a call is going on without a limit: wait for its end or cut it, then unlock again")
        account = _account(connection, self.tenant, session_account(session.id, session.owner))
        added = self.terms.deposit or Money(0, account.currency)
        if account.balance_micros + (credit_limit + added).micros < 0:
            raise BelowUsed(credit_limit + added, Money(-account.balance_micros, account.currency))

    def _credit_limit(self, before: int | None) -> int | None:
        if self.terms.limit is not None:
            return self.terms.limit.micros
        return 0 if self.terms.deposit is not None and before is None else before

    def _deposit(self, connection: sqlite3.Connection, session: BoothSession, shop: Row, amount: Money) -> BoothSession:
        if self.key is not None:
            return _deposited(connection, self, session, shop, amount, key=f"deposit:{self.key}")
        prefix = f"deposit:{session.id}:"
        values = {"tenant": self.tenant, "first": prefix, "beyond": f"deposit:{session.id};"}  # ";" comes after ":"
        number = queries.KEYS.run(connection, values).fetchone()["made"] + 1
        return _deposited(connection, self, session, shop, amount, key=f"{prefix}{number}")

    def _detail(self, session: BoothSession) -> str:
        match self.terms:
            case SessionTerms(deposit=Money() as amount):
                return f"session {session.id}, deposit {amount}"
            case SessionTerms(limit=Money() as amount):
                return f"session {session.id}, limit {amount}"
            case SessionTerms(talk_limit_ms=int() as talk_ms):
                return f"session {session.id}, {talk_ms // 1000} s of talk"
        return f"session {session.id}"

    def _is_done(self, connection: sqlite3.Connection, session: BoothSession) -> bool:
        """Whether this very command opened the session, so that a deposit is not taken twice."""
        values = _log_values(self, "unlock", self.booth, self._detail(session))
        return queries.LOGGED.run(connection, values).fetchone() is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionToppedUp:
    """The customer pays in more beforehand, while the booth is open or locked; `key` names the command."""

    waited_for: ClassVar[bool] = True
    tenant: str
    booth: str
    amount: Money
    author: str
    at_ms: int
    key: str

    def apply(self, connection: sqlite3.Connection) -> BoothSession:
        """Return the session with its deposit; a session without any limit stays without one.

        The same command is found done, and gives the session even when it was paid meanwhile.

        Raises:
            UnknownBooth: the tenant has no such booth.
            BadTerms: the amount is nothing, or less.
            WrongCurrency: it is in another currency than the shop's.
            NothingToPay: there is no unpaid session.
            DeskError: another amount, or another session, was topped up under this key.
        """
        shop = shop_of(connection, self.tenant, self.booth)
        if self.amount.micros <= 0:
            raise BadTerms("a deposit must be more than nothing")
        _check_currency(self.amount, shop["currency"])
        key = f"topup:{self.key}"
        row = _found(connection, self.tenant, key)
        if row is not None:
            return _found_done(connection, self, rows.transfer(row), self.amount)
        session = unpaid_session(connection, self.tenant, self.booth)
        if session is None:
            raise NothingToPay(f"booth {self.booth} has no session to top up")
        session = _deposited(connection, self, session, shop, self.amount, key=key)
        _log(connection, self, "topup", self.booth, f"session {session.id}, {self.amount}")
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
        session = replace(session, closed_at_ms=self.at_ms)
        keep_session(connection, session)
        _log(connection, self, "lock", self.booth, f"session {session.id}")
        return session


@dataclass(frozen=True, slots=True, kw_only=True)
class PartySuspended:
    """A party, and with it all below it, may place no calls, or may again; `by` is the party that wants it so."""

    waited_for: ClassVar[bool] = True
    tenant: str
    party: str
    suspended: bool
    by: str
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> Party:
        """Set it, and return the party as it is now.

        Raises:
            UnknownParty: the tenant has no such party.
            SuspendedAbove: somebody above `by` has suspended it.
        """
        tree = PartyTree(rows.party(row) for row in queries.PARTIES.run(connection, {"tenant": self.tenant}))
        party = (tree.suspend if self.suspended else tree.resume)(self.party, self.by)
        if party != tree[self.party]:
            values = {"key_tenant": self.tenant, "key_name": self.party, "suspender": party.suspender}
            _SUSPEND.run(connection, values)
            _log(connection, self, "suspend" if self.suspended else "resume", self.party, f"by {self.by}")
        return party


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountMoved:
    """A party pays the one above it, or its account is adjusted; below zero the money goes the other way.

    `key` names the command. `held_micros` is what live calls hold on the account: an adjustment that leaves less than
    that overdraws it.
    """

    waited_for: ClassVar[bool] = True
    tenant: str
    party: str
    kind: TransferKind
    amount: Money
    author: str
    reason: str
    at_ms: int
    key: str
    held_micros: int

    def apply(self, connection: sqlite3.Connection) -> Moved:
        """Move it, once.

        Raises:
            UnknownParty: the tenant has no such party.
            UnknownAccount: it is the provider.
            WrongCurrency: the account is in another currency.
            LedgerError: it is an amount of nothing, or something else was moved under this key.
        """
        assert self.kind in {TransferKind.PAYMENT, TransferKind.ADJUSTMENT}, "nothing else is moved by hand"
        account = party_account(connection, self.tenant, self.party)
        _check_currency(self.amount, account.currency)
        if not self.amount.micros:
            raise LedgerError("an amount of nothing moves nothing")
        transfer = moved(
            f"{self.kind.value}:{self.key}", self.kind, source=WORLD, account=account.name, amount=self.amount
        )
        row = _found(connection, self.tenant, transfer.key)
        if row is not None:
            if rows.transfer(row) != transfer or row["reason"] != self.reason:
                raise LedgerError("something else was moved under this key before: use a new key for a new movement")
            return Moved(account=account, is_new=False)
        post(connection, self.tenant, (transfer,), author=self.author, reason=self.reason, at_ms=self.at_ms)
        _log(connection, self, self.kind.value, self.party, f"{self.amount}, {self.reason}")
        balance_micros = account.balance_micros + self.amount.micros
        account = self._judged(connection, replace(account, balance_micros=balance_micros))
        return Moved(account=account, is_new=True)

    def _judged(self, connection: sqlite3.Connection, account: AccountState) -> AccountState:
        """Set or clear the flag of an account that has less than its calls hold."""
        limit = account.credit_limit_micros
        if limit is None or account.balance_micros + limit >= self.held_micros:
            overdrawn = False
        elif self.kind is TransferKind.ADJUSTMENT:
            overdrawn = True
        else:
            return account
        return _overdrawn(connection, self.tenant, account, overdrawn=overdrawn)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSet:
    """What a party may owe the one above it is changed: micro-units, None without end."""

    waited_for: ClassVar[bool] = True
    tenant: str
    party: str
    credit_limit: int | None
    author: str
    reason: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> AccountState:
        """Set it.

        Raises:
            UnknownParty: the tenant has no such party.
            UnknownAccount: it is the provider.
            BelowUsed: it is lowered under what is owed.
        """
        account = party_account(connection, self.tenant, self.party)
        before, after = account.credit_limit_micros, self.credit_limit
        if before == after:
            return account
        is_lower = after is not None and (before is None or after < before)
        if after is not None and is_lower and account.balance_micros + after < 0:
            raise BelowUsed(Money(after, account.currency), Money(-account.balance_micros, account.currency))
        limit_account(connection, self.tenant, account.name, account.currency, after)
        account = replace(account, credit_limit_micros=after)
        if after is None and account.overdrawn:
            account = _overdrawn(connection, self.tenant, account, overdrawn=False)
        limits = " -> ".join(_limit_text(limit, account.currency) for limit in (before, after))
        _log(connection, self, "limit", self.party, f"{limits}, {self.reason}")
        return account


def _limit_text(credit_limit: int | None, currency: str) -> str:
    return "unlimited" if credit_limit is None else amount_text(credit_limit, currency)


def judge(connection: sqlite3.Connection, tenant: str, accounts_of: Mapping[str, str], held: Mapping[str, int]) -> None:
    """Set or clear the flag of accounts, given with their currencies, that a correction left with less than is held."""
    for name, currency in accounts_of.items():
        row = queries.ACCOUNT.run(connection, {"tenant": tenant, "account": name}).fetchone()
        assert row is not None, "money was moved on it"
        account = rows.account_state(row)
        limit = account.credit_limit_micros
        if account.currency == currency:
            is_short = limit is not None and account.balance_micros + limit < held.get(name, 0)
            _overdrawn(connection, tenant, account, overdrawn=is_short)


def _overdrawn(connection: sqlite3.Connection, tenant: str, account: AccountState, *, overdrawn: bool) -> AccountState:
    if account.overdrawn != overdrawn:
        values = {"key_tenant": tenant, "key_name": account.name, "key_currency": account.currency}
        _OVERDRAW.run(connection, values | {"wanted": int(overdrawn)})
    return replace(account, overdrawn=overdrawn)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAdded:
    """A token opens the HTTP API; only its SHA-256 is kept."""

    waited_for: ClassVar[bool] = True
    tenant: str
    token: Token
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> None:
        """Add it, unless it is there.

        Raises:
            UnknownOperator: the person that it is for is not in the world, or is suspended there or somebody else.
        """
        assert self.token.tenant == self.tenant, "the token of another tenant"
        if self.token.operator is not None:
            self._check_operator(connection, self.token.operator)
        if _ADD_TOKEN.run(connection, rows.token_values(self.token)).rowcount:
            opens = self.token.party if self.token.shop is None else f"{self.token.party}, shop {self.token.shop}"
            _log(connection, self, "add token", self.token.id, f"{self.token.role} of {opens}: {self.token.label}")

    def _check_operator(self, connection: sqlite3.Connection, name: str) -> None:
        people = map(rows.operator, queries.OPERATORS.run(connection, {"tenant": self.tenant}))
        of_token = (name, self.token.role, self.token.party, self.token.shop, False)
        if of_token not in ((one.name, one.role.value, one.party, one.shop, one.suspended) for one in people):
            raise UnknownOperator(f"there is no operator named {name!r} who may come in so")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRevoked:
    """A token opens nothing any more."""

    waited_for: ClassVar[bool] = True
    tenant: str
    id: str
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> Token:
        """Revoke it, or find it revoked.

        Raises:
            UnknownToken: the tenant has no such token.
        """
        row = queries.TOKEN_OF_ID.run(connection, {"tenant": self.tenant, "id": self.id}).fetchone()
        if row is None:
            raise UnknownToken(f"there is no token with the id {self.id!r}")
        token = rows.token(row)
        if token.revoked_at_ms is not None:
            return token
        key = {"key_tenant": self.tenant, "key_sha256": token.sha256}
        _REVOKE_TOKEN.run(connection, key | {"revoked_at_ms": self.at_ms})
        _log(connection, self, "revoke token", token.id, token.label)
        return replace(token, revoked_at_ms=self.at_ms)


_Command = (
    SessionOpened
    | SessionToppedUp
    | SessionLocked
    | PartySuspended
    | AccountMoved
    | LimitSet
    | TokenAdded
    | TokenRevoked
)


def unpaid_session(connection: sqlite3.Connection, tenant: str, booth: str) -> BoothSession | None:
    """Return the one session of a booth that is not paid, open or locked.

    Raises:
        UnknownBooth: the tenant has no such booth.
    """
    row = queries.UNPAID_SESSION.run(connection, {"tenant": tenant, "booth": booth}).fetchone()
    if row is not None:
        return rows.booth_session(row)
    shop_of(connection, tenant, booth)
    return None


def shop_of(connection: sqlite3.Connection, tenant: str, booth: str) -> Row:
    """Return the name, owner and currency of a booth's shop."""
    row: sqlite3.Row | None = queries.BOOTH_SHOP.run(connection, {"tenant": tenant, "booth": booth}).fetchone()
    if row is None:
        raise UnknownBooth(f"there is no booth named {booth!r}")
    return row


def live_calls(connection: sqlite3.Connection, session: BoothSession) -> int:
    """Return how many calls of a session have no CDR yet."""
    values = {"tenant": session.tenant, "session_id": session.id}
    return int(queries.LIVE_CALLS.run(connection, values).fetchone()["live"])


def _check_currency(amount: Money | None, currency: str) -> None:
    if amount is not None and amount.currency != currency:
        raise WrongCurrency(Money(0, currency), amount)


def keep_session(connection: sqlite3.Connection, session: BoothSession) -> None:
    """Write all of a session that may change."""
    values = rows.session_values(session)
    _CHANGE_SESSION.run(connection, values | {"key_tenant": session.tenant, "key_id": session.id})


def _limit_session(connection: sqlite3.Connection, session: BoothSession, currency: str) -> None:
    name = session_account(session.id, session.owner)
    limit_account(connection, session.tenant, name, currency, session.credit_limit_micros)


def _deposited(
    connection: sqlite3.Connection,
    command: SessionOpened | SessionToppedUp,
    session: BoothSession,
    shop: Row,
    amount: Money,
    *,
    key: str,
) -> BoothSession:
    """Take a deposit into the till, and give it to the session."""
    deposit = Transfer(
        key=key,
        kind=TransferKind.DEPOSIT,
        debit=till(shop["name"]),
        credit=session_account(session.id, session.owner),
        amount=amount,
    )
    post(connection, command.tenant, (deposit,), author=command.author, reason="", at_ms=command.at_ms)
    session = replace(session, deposit_micros=session.deposit_micros + amount.micros)
    keep_session(connection, session)
    return session


def _found_done(
    connection: sqlite3.Connection, command: SessionOpened | SessionToppedUp, made: Transfer, amount: Money
) -> BoothSession:
    """Return the session that a deposit under the command's key was taken for, however it is now.

    Raises:
        DeskError: it was another amount, or another session.
    """
    row = queries.LAST_SESSION.run(connection, {"tenant": command.tenant, "booth": command.booth}).fetchone()
    session = None if row is None else rows.booth_session(row)
    is_its = session is not None and made.credit == session_account(session.id, session.owner)
    if session is None or not is_its or made.amount != amount:
        raise DeskError(f"{made.amount} was taken under this key before: use a new key for a new deposit")
    return session


def note_in_log(
    connection: sqlite3.Connection, *, tenant: str, at_ms: int, author: str, action: str, subject: str, detail: str
) -> None:
    """Write into the desk's log who did what to what."""
    values: rows.Values = {"tenant": tenant, "at_ms": at_ms, "author": author}
    _LOG.run(connection, values | {"action": action, "subject": subject, "detail": detail})


def _log_values(command: _Command, action: str, subject: str, detail: str) -> rows.Values:
    values: rows.Values = {"tenant": command.tenant, "at_ms": command.at_ms, "author": command.author}
    return values | {"action": action, "subject": subject, "detail": detail}


def _log(connection: sqlite3.Connection, command: _Command, action: str, subject: str, detail: str) -> None:
    _LOG.run(connection, _log_values(command, action, subject, detail))
