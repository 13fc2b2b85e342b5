"""What the parties and booth sessions of every tenant may spend: the ledgers in memory, as the switch uses them.

The store is told of every change and has the last word at a start; in between, these decide. Talk time that a booth
session has bought is an account too, in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from sipshop.billing.chain import Level, Payer, TalkTime, grant
from sipshop.billing.desk import BoothSession, SessionTerms
from sipshop.billing.errors import AccountInUse, BelowUsed, LedgerError
from sipshop.billing.ledger import Account, Ledger, session_account
from sipshop.billing.money import Money
from sipshop.store import AccountState


def _talk_account(session_id: int) -> str:
    return f"talk:{session_id}"


def _lower(account: Account, talk: Account | None, micros: int, talk_ms: int) -> None:
    if account.credit_limit is not None:
        account.credit_limit -= micros
    if talk is not None:
        talk.balance -= talk_ms


class Accounts:
    """The accounts that can be charged, by tenant."""

    def __init__(
        self,
        states: Iterable[tuple[str, AccountState]],
        sessions: Iterable[tuple[BoothSession, int]],
    ) -> None:
        self._ledgers: dict[str, Ledger] = {}
        self._sessions: dict[tuple[str, int], BoothSession] = {}  # those that are not paid
        self._of_booth: dict[tuple[str, str], BoothSession] = {}
        self._talked_ms: dict[tuple[str, int], int] = {}
        for tenant, state in states:
            self.ledger(tenant).open(
                state.name, state.currency, balance=state.balance_micros, credit_limit=state.credit_limit_micros
            )
        for session, talked_ms in sessions:
            self._sessions[session.tenant, session.id] = session
            self._of_booth[session.tenant, session.booth] = session
            self._talked_ms[session.tenant, session.id] = talked_ms
            self._bound_talk(session)

    @property
    def holds(self) -> int:
        """How many calls hold money or talk time."""
        return sum(ledger.holds for ledger in self._ledgers.values())

    def ledger(self, tenant: str) -> Ledger:
        """The ledger of a tenant."""
        return self._ledgers.setdefault(tenant, Ledger())

    def faults(self) -> list[tuple[str, str]]:
        """Where what is held is not what the live calls hold, by tenant."""
        return [(tenant, fault) for tenant, ledger in self._ledgers.items() for fault in ledger.faults()]

    # Parties.

    def limit(self, tenant: str, limits: Mapping[str, int | None], live: Mapping[str, int]) -> Callable[[], None]:
        """Change the credit limits of accounts, of all or of none; what undoes that if they are not written.

        `live` tells how many calls there are below whom an account belongs to.

        Raises:
            BelowUsed: one is lowered under what is spent and held.
            AccountInUse: one without a limit gets one while calls are live for which nothing is held.
        """
        ledger = self.ledger(tenant)
        before: dict[str, int | None] = {}

        def undo() -> None:
            for name, credit_limit in before.items():
                ledger[name].credit_limit = credit_limit

        try:
            for name, credit_limit in limits.items():
                if live.get(name) and credit_limit is not None and ledger[name].credit_limit is None:
                    raise AccountInUse(
                        f"{live[name]} calls on {name} are live without a limit: wait for their end or cut them"
                    )
                before[name] = ledger.limit(name, credit_limit)
        except LedgerError:
            undo()
            raise
        return undo

    # Booth sessions.

    def bind(self, session: BoothSession, terms: SessionTerms, live_calls: int) -> Callable[[], None]:
        """Let an unpaid session spend no more than these terms will allow; what undoes that if they are not written.

        Raises:
            BelowUsed: more is spent and held than they allow.
            AccountInUse: calls are live for which nothing is held, or more talk is used than they allow.
        """
        account, talk = self._account(session), self.ledger(session.tenant).accounts.get(_talk_account(session.id))
        is_bound = talk is not None if terms.talk_limit_ms is not None else account.credit_limit is not None
        if live_calls and not terms.none and not is_bound:
            raise AccountInUse("a call is going on without such a limit: wait for its end or cut it, then unlock again")
        if terms.deposit is not None and account.credit_limit is None and account.balance + terms.deposit.micros < 0:
            raise BelowUsed(terms.deposit, Money(-account.balance, account.currency))
        less, less_ms = 0, 0
        if terms.limit is not None:
            if account.balance + terms.limit.micros < account.held:
                raise BelowUsed(terms.limit, Money(account.held - account.balance, account.currency))
            less = max(0, (account.credit_limit or 0) - terms.limit.micros)
        if terms.talk_limit_ms is not None:
            talked_ms = self._talked_ms[session.tenant, session.id]
            used_ms = talked_ms + (talk.held if talk is not None else 0)
            if terms.talk_limit_ms < used_ms:
                raise AccountInUse(f"{-(-used_ms // 1000)} s of talk are used or promised already: give more minutes")
            less_ms = max(0, talk.balance + talked_ms - terms.talk_limit_ms) if talk is not None else 0
        _lower(account, talk, less, less_ms)
        return partial(_lower, account, talk, -less, -less_ms)

    def keep(self, session: BoothSession, currency: str) -> None:
        """Take an unpaid session as the store has it now: new, with another limit, or with more deposit than before."""
        key = session.tenant, session.id
        before = self._sessions.get(key)
        self._sessions[key] = self._of_booth[session.tenant, session.booth] = session
        self._talked_ms.setdefault(key, 0)
        account = self.ledger(session.tenant).open(
            session_account(session.id, session.owner), currency, balance=0, credit_limit=None
        )
        account.balance += session.deposit_micros - (before.deposit_micros if before is not None else 0)
        account.credit_limit = session.credit_limit_micros
        self._bound_talk(session)

    def forget(self, tenant: str, session_id: int) -> None:
        """A session was paid: nothing is charged on it any more; it may be forgotten already."""
        session = self._sessions.pop((tenant, session_id), None)
        if session is None:
            return
        del self._talked_ms[tenant, session_id]
        if self._of_booth.get((tenant, session.booth)) is session:  # the next customer's may be there by now
            del self._of_booth[tenant, session.booth]
        ledger = self.ledger(tenant)
        ledger.close(session_account(session.id, session.owner))
        ledger.close(_talk_account(session.id))

    def move(self, session: BoothSession, booth: str) -> None:
        """Take an unpaid session as it is in its new booth, which it came to from this one."""
        self._of_booth.pop((session.tenant, booth), None)
        self._sessions[session.tenant, session.id] = self._of_booth[session.tenant, session.booth] = session

    def spent(self, session: BoothSession) -> int:
        """What is on an unpaid session's bill, in micro-units: what live calls hold is not."""
        return session.deposit_micros - self._account(session).balance

    def funds(self, session: BoothSession) -> int | None:
        """What an unpaid session may spend in all, in micro-units; None without end."""
        if session.credit_limit_micros is None:
            return None
        return session.deposit_micros + session.credit_limit_micros

    def talk_left(self, session: BoothSession) -> int | None:
        """What an unpaid session's talk time has left but for live calls, in milliseconds; None without end."""
        if session.talk_limit_ms is None:
            return None
        return session.talk_limit_ms - self._talked_ms[session.tenant, session.id]

    def unpaid_of(self, booth: tuple[str, str]) -> BoothSession | None:
        """The session of a booth, as (tenant, name), that is not paid: open or locked."""
        return self._of_booth.get(booth)

    def free(self, session: BoothSession) -> tuple[int | None, int | None]:
        """What a session has left, in micro-units and in milliseconds of talk; None where it is bound by neither."""
        talk = self.ledger(session.tenant).accounts.get(_talk_account(session.id))
        return self._account(session).available, talk.available if talk is not None else None

    # Calls.

    def payers(self, tenant: str, session_id: int, levels: Sequence[Level]) -> tuple[Payer, ...]:
        """All that must be able to pay for a call of a booth session, its talk time included."""
        talk = _talk_account(session_id)
        return (*levels, TalkTime(talk)) if talk in self.ledger(tenant).accounts else tuple(levels)

    def grant(
        self, tenant: str, call_id: str, payers: Sequence[Payer], *, floor_s: int, wish_s: int, at_ms: int
    ) -> int | None:
        """Hold what a longer talk costs at every level; its seconds, None where not one more can be paid.

        Before anything was granted `at_ms` is when the call was let in, then when it was answered.
        """
        return grant(
            self.ledger(tenant),
            call_id,
            payers,
            floor_s=floor_s,
            wish_s=wish_s,
            at_ms=at_ms,
            is_answered=floor_s > 0,
        )

    def is_limited(self, tenant: str, payers: Iterable[Payer]) -> bool:
        """Whether any of them can run out of money or time."""
        ledger = self.ledger(tenant)
        return any(ledger[payer.account].credit_limit is not None for payer in payers)

    def settle(
        self, tenant: str, call_id: str, session_id: int | None, charges: Mapping[str, int], talk_ms: int
    ) -> None:
        """Charge a call that is over, by account, and free what it held."""
        if session_id is None:
            self.ledger(tenant).void(call_id)
            return
        if (tenant, session_id) in self._talked_ms:
            self._talked_ms[tenant, session_id] += talk_ms
        self.ledger(tenant).post(call_id, {**charges, _talk_account(session_id): talk_ms})

    def _account(self, session: BoothSession) -> Account:
        return self.ledger(session.tenant)[session_account(session.id, session.owner)]

    def _bound_talk(self, session: BoothSession) -> None:
        """Open the talk account of a session that has minutes, or set it anew."""
        if session.talk_limit_ms is None:
            return
        account = self.ledger(session.tenant).open(_talk_account(session.id), "ms", balance=0, credit_limit=0)
        account.balance = session.talk_limit_ms - self._talked_ms[session.tenant, session.id]
