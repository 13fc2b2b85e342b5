"""The desk's one door: commands of operators and owners, and what they see (IO).

What a command changes is on the disk before it is acknowledged, and holds in memory from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from typing import Any

from sipshop.billing.cdr import CallKind
from sipshop.billing.desk import POSTPAID, BoothSession, SessionTerms
from sipshop.billing.errors import AccountInUse, UnknownAccount
from sipshop.billing.ledger import WORLD, TransferKind, buyer_of, customer, moved
from sipshop.billing.limits import Subject
from sipshop.billing.money import Money
from sipshop.facts import BoothChanged, Fact, PartyChanged
from sipshop.proxy import news
from sipshop.proxy.orders import Command
from sipshop.sip.message import printable
from sipshop.store import (
    AccountMoved,
    Alert,
    CdrPlace,
    LimitSet,
    PartySuspended,
    SessionLocked,
    SessionOpened,
    SessionToppedUp,
    Store,
    Token,
    TokenAdded,
    TokenRevoked,
    UnknownOperator,
)
from sipshop.store.audit import Violation
from sipshop.store.verify import Verified
from sipshop.switch.accounts import Accounts
from sipshop.switch.alerts import Alerts
from sipshop.switch.balances import Balances
from sipshop.switch.board import Board
from sipshop.switch.books import Books
from sipshop.switch.checkout import Checkout
from sipshop.switch.decks import Decks
from sipshop.switch.directory import Directory
from sipshop.switch.errors import UnknownBooth, UnknownCall, UnknownShop
from sipshop.switch.floor import Floor
from sipshop.switch.limits import Limiter, LimitStatus
from sipshop.switch.live import BoothKey, LiveCalls
from sipshop.switch.logins import Logins
from sipshop.switch.meter import Meter
from sipshop.switch.printing import Printing
from sipshop.switch.records import Live
from sipshop.switch.registrations import Registrations
from sipshop.switch.screens import Screens
from sipshop.switch.settler import Settler
from sipshop.switch.status import BoothStatus, CallStatus, Health, PartyStatus, Reach, RegistrationStatus
from sipshop.switch.till import Tills
from sipshop.switch.trunks import Trunks
from sipshop.switch.worlds import Worlds
from sipshop.world import Operator, World


class Desk:
    """The booth sessions, and every command that a person may give; those about whole worlds are in `worlds`.

    Those about reratings and invoices are in `books`, bills and payments in `checkout`, receipts on their way to paper
    in `printing`, shifts in `till`, the rest of a shop's day is in `floor`, who comes in by the pages in `logins`,
    screens for customers in `screens`; `board` makes what is seen. `turn` gives the time and does what calls put out,
    `run` does what a call wants done; `tell` is told what a command changed, `health` says whether commands can be
    taken.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        store: Store,
        accounts: Accounts,
        calls: LiveCalls,
        meter: Meter,
        settler: Settler,
        registrations: Registrations,
        turn: Callable[[], AbstractContextManager[float]],
        run: Callable[[Live, list[Command], float], None],
        tell: Callable[[Fact], None],
        health: Callable[[], Health],
        utc_ms: Callable[[], int],
        clock: Callable[[], float],
        on_world: Callable[[World], None],
        carriers: Trunks,
        most_s: int,
        limits: Limiter,
        balances: Balances,
        alerts: Alerts,
        random: Callable[[int], bytes],
    ) -> None:
        self._directory = directory
        self._store = store
        self._accounts = accounts
        self._calls = calls
        self._meter = meter
        self._registrations = registrations
        self._turn = turn
        self._run = run
        self._tell = tell
        self.health = health
        self._utc_ms = utc_ms
        self._clock = clock
        self._on_world = on_world
        self._limits = limits
        self._balances = balances
        self._alerts = alerts
        self._open: dict[BoothKey, BoothSession] = {}
        self.board = Board(
            directory=directory,
            accounts=accounts,
            calls=calls,
            registrations=registrations,
            balances=balances,
        )
        self.logins = Logins(directory, store, utc_ms)
        self.screens = Screens(directory, store, utc_ms)
        self.checkout = Checkout(
            directory=directory,
            store=store,
            accounts=accounts,
            settler=settler,
            balances=balances,
            sessions=self._open,
            tell=tell,
            utc_ms=utc_ms,
        )
        self.floor = Floor(
            directory=directory,
            store=store,
            accounts=accounts,
            calls=calls,
            settler=settler,
            sessions=self._open,
            statuses=self.booths,
            status=self.booth,
            status_of=self.board.call,
            beside=self.checkout.beside,
            turn=turn,
            run=run,
            tell=tell,
            utc_ms=utc_ms,
            clock=clock,
        )
        self.till = Tills(directory=directory, store=store, tell=tell, utc_ms=utc_ms)
        self.printing = Printing(
            directory=directory, store=store, receipt=self.checkout.receipt, utc_ms=utc_ms, random=random
        )
        self._tokens: dict[str, Token] = {}  # those that were not revoked: nobody who guesses makes us read the disk
        self.worlds = Worlds(
            directory=directory,
            store=store,
            accounts=accounts,
            calls=calls,
            meter=meter,
            turn=turn,
            utc_ms=utc_ms,
            close=self._close,
            opened=self._opened,
            ended=self._end_token,
            on_swap=self._swapped,
            carriers=carriers,
            most_s=most_s,
            limits=limits,
            balances=balances,
        )
        self.books = Books(
            directory=directory,
            store=store,
            accounts=accounts,
            moved=self._moved,
            tell=tell,
            utc_ms=utc_ms,
        )
        self.decks = Decks(store=store, worlds=self.worlds, random=random, utc_ms=utc_ms)

    def begin(self) -> None:
        """Take the sessions that were open when the store was closed, and the tokens."""
        for session in self._store.open_sessions():
            self._open[session.tenant, session.booth] = session
        self._tokens = {token.sha256: token for token in self._store.valid_tokens()}
        self.decks.begin()
        self.logins.begin()
        self.screens.begin()
        self.floor.begin()
        self.checkout.begin()
        self.till.begin()

    def open_session(self, booth: BoothKey) -> BoothSession | None:
        """The session that a booth may call in, None where it is locked."""
        return self._open.get(booth)

    def booths(self, tenant: str, shops: Collection[str] | None = None) -> list[BoothStatus]:
        """Every booth of a tenant, or of these shops of it, in the order of its world."""
        now = self._clock()
        return [
            self.board.booth(booth, self._open.get((booth.tenant, booth.name)), now)
            for booth in self._directory.booths.values()
            if booth.tenant == tenant and (shops is None or booth.shop in shops)
        ]

    def booth(self, tenant: str, name: str) -> BoothStatus:
        """One booth; raises `UnknownBooth`."""
        key = self._key(tenant, name)
        return self.board.booth(self._directory.booths[key], self._open.get(key), self._clock())

    def registrations(self, tenant: str, shops: Collection[str] | None = None) -> list[RegistrationStatus]:
        """Every phone that is registered for a booth of these shops, or of all; in the order of the world."""
        now = self._clock()
        booths = [booth for booth in self._directory.booths.values() if booth.tenant == tenant]
        wanted = (booth for booth in booths if shops is None or booth.shop in shops)
        return [status for booth in wanted for status in self._registrations.of_booth(booth, now)]

    async def unlock(
        self, tenant: str, booth: str, author: str, terms: SessionTerms = POSTPAID, key: str | None = None
    ) -> BoothSession:
        """Open a booth session, or go on with the booth's unpaid one; durable when it returns.

        `key` names a command that takes a deposit: given again, it is found done, whatever became of the booth since.

        Raises:
            UnknownBooth: there is no such booth.
            DeskError, LedgerError: the unpaid session cannot go on by these terms.
            StoreError: nothing was written, and the booth is as it was.
        """
        booth_key = self._key(tenant, booth)
        unpaid = self._accounts.unpaid_of(booth_key)
        undo = self._accounts.bind(unpaid, terms, self._calls.count(booth_key)) if unpaid is not None else None
        try:
            session = await self._store.commit(
                SessionOpened(tenant=tenant, booth=booth, author=author, at_ms=self._utc_ms(), terms=terms, key=key)
            )
        except Exception:
            if undo is not None:
                undo()
            raise
        if session.is_open:  # a command that is repeated after the end of its session changes nothing
            self._open[booth_key] = session
            self._keep(session)
            self._booth_changed(booth_key)
        return session

    async def top_up(self, tenant: str, booth: str, amount: Money, author: str, key: str) -> BoothSession:
        """Take more of a deposit for a booth's unpaid session; its running calls may go on for it at once.

        `key` names the command: given again with the same amount, it is found done.

        Raises:
            UnknownBooth: there is no such booth.
            NothingToPay: it has no unpaid session.
            DeskError: the amount is nothing, in another currency, or another one under the same key.
            StoreError: nothing was written.
        """
        booth_key = self._key(tenant, booth)
        session = await self._store.commit(
            SessionToppedUp(tenant=tenant, booth=booth, amount=amount, author=author, at_ms=self._utc_ms(), key=key)
        )
        if not session.paid:  # a command that is repeated after the checkout is found done, and changes nothing
            self._keep(session)
            self._booth_changed(booth_key)
        return session

    def _close(self, booths: Iterable[BoothKey]) -> Callable[[], None]:
        """Take no new calls of these booths; what undoes that."""
        before = {booth: self._open.pop(booth) for booth in booths if booth in self._open}

        def reopen() -> None:
            for booth, session in before.items():
                self._open.setdefault(booth, session)

        return reopen

    def _opened(self, session: BoothSession) -> None:
        """Take calls of a booth that was added open."""
        self._open[session.tenant, session.booth] = session
        self._keep(session)

    def _swapped(self, world: World) -> None:
        """Tell of a world that took the place of another: whatever is below its provider may be new."""
        self._on_world(world)
        self._tell(PartyChanged(tenant=world.tenant, party=world.tenant))

    def _keep(self, session: BoothSession) -> None:
        """Take a session as the store has it now, and let its calls use what was added."""
        booth = self._directory.booths[session.tenant, session.booth]
        self._accounts.keep(session, self._directory.shop_of(booth).currency)
        self._balances.check_session(session)
        with self._turn() as now:
            for live in self._calls.of_booth((session.tenant, session.booth)):
                self._meter.renew(live, now)

    async def lock(self, tenant: str, booth: str, author: str, cut: bool = False) -> BoothSession | None:
        """Stop new calls of a booth at once, and end the running ones if `cut`; durable when it returns.

        Gives the unpaid session, None where there is none.

        Raises:
            UnknownBooth: there is no such booth.
            StoreError: nothing was written; the booth is open again if it was, but what was cut stays cut.
        """
        key = self._key(tenant, booth)
        before = self._open.pop(key, None)
        if cut:
            self._cut(self._calls.of_booth(key), f"cut by {printable(author)}")
        try:
            session = await self._store.commit(
                SessionLocked(tenant=tenant, booth=booth, author=author, at_ms=self._utc_ms())
            )
        except Exception:
            if before is not None:
                self._open.setdefault(key, before)
            raise
        self._open.pop(key, None)
        self._booth_changed(key)
        return session

    async def suspend(self, tenant: str, party: str, author: str, *, by: str, cut: bool = False) -> None:
        """Let a party, and all below it, place no new calls, and end the running ones if `cut`.

        Emergency calls go on. `by` is the party that wants it so: nobody below that one can end it.

        Raises:
            UnknownParty: there is no such party.
            StoreError: nothing was written, nobody is suspended and nothing cut.
        """
        await self._set_suspended(tenant, party, author, by, suspended=True)
        if cut:
            self._cut(self._calls.below(tenant, party), f"suspended by {printable(author)}")

    async def resume(self, tenant: str, party: str, author: str, *, by: str) -> None:
        """Let a party place calls again, as `by` wants it; raises `UnknownParty`, `SuspendedAbove` or `StoreError`."""
        await self._set_suspended(tenant, party, author, by, suspended=False)

    def parties(self, tenant: str, names: Collection[str] | None = None) -> list[PartyStatus]:
        """Every party of a tenant, or those of these that it has, in the order of its world."""
        tree = self._directory.parties[tenant]
        return [self.board.party(tenant, party) for party in tree if names is None or party.name in names]

    def party(self, tenant: str, name: str) -> PartyStatus:
        """One party; raises `UnknownParty`."""
        return self.board.party(tenant, self._directory.parties[tenant][name])

    async def move(
        self, tenant: str, party: str, kind: TransferKind, amount: Money, *, author: str, reason: str, key: str
    ) -> PartyStatus:
        """Book a payment of a party to the one above it, or an adjustment of its account; durable when it returns.

        An amount below zero goes the other way: a payment back takes only what is available, an adjustment may
        overdraw the account. `key` names the command: given again alike, it is found done.

        Raises:
            UnknownParty: there is no such party.
            UnknownAccount: it is the provider, whom nobody sells to.
            Overcommitted: its seller would grant more than its policy lets.
            LedgerError: it is more than what is available, or another movement under the same key.
            WrongCurrency: the account is in another one.
            StoreError: nothing was written.
        """
        ledger, account = self._accounts.ledger(tenant), self._account_of(tenant, party)
        is_payout = kind is TransferKind.PAYMENT and amount.micros < 0
        hold = f"{kind.value}:{key}"
        if amount.micros > 0 or is_payout:
            is_new = not await self._store.has_moved(tenant, hold)
            if is_new and is_payout:
                ledger.take(hold, account, -amount.micros)
            elif is_new:
                self._balances.check_grant(tenant, party, paid=amount.micros)
        try:
            result = await self._store.commit(
                AccountMoved(
                    tenant=tenant,
                    party=party,
                    kind=kind,
                    amount=amount,
                    author=author,
                    reason=reason,
                    at_ms=self._utc_ms(),
                    key=key,
                    held_micros=ledger[account].held - ledger.held_by(hold).get(account, 0),
                )
            )
        finally:
            ledger.void(hold)
        if result.is_new:
            ledger.apply(moved(hold, kind, source=WORLD, account=account, amount=amount))
            self._regranted(tenant, party, is_more=amount.micros > 0)
            self._renew_below(tenant, party)
            self._tell(PartyChanged(tenant=tenant, party=party))
        return self.party(tenant, party)

    async def set_limit(
        self, tenant: str, party: str, credit_limit: int | None, author: str, reason: str
    ) -> PartyStatus:
        """Change what a party may owe the one above it (micro-units; None is no limit); durable when it returns.

        Raises:
            UnknownParty, UnknownAccount: as for `move`.
            BelowUsed: it is lowered under what is spent and held.
            Overcommitted: its seller would grant more than its policy lets.
            AccountInUse: a party without a limit gets one while calls are live for which nothing is held.
            StoreError: nothing was written.
        """
        ledger, account = self._accounts.ledger(tenant), self._account_of(tenant, party)
        live = self._calls.count_in(tenant, self._directory.below(tenant, party)[1])
        if live and credit_limit is not None and ledger[account].credit_limit is None:
            raise AccountInUse(f"{live} calls below {party} are live without a limit: wait for their end or cut them")
        self._balances.check_grant(tenant, party, limits={party: credit_limit})
        before = ledger.limit(account, credit_limit)  # from now on nobody is granted more than will be allowed
        try:
            await self._store.commit(
                LimitSet(
                    tenant=tenant,
                    party=party,
                    credit_limit=credit_limit,
                    author=author,
                    reason=reason,
                    at_ms=self._utc_ms(),
                )
            )
        except Exception:
            ledger[account].credit_limit = before
            raise
        is_more = credit_limit is None or (before is not None and credit_limit > before)
        self._regranted(tenant, party, is_more=is_more)
        self._renew_below(tenant, party)
        self._tell(PartyChanged(tenant=tenant, party=party))
        return self.party(tenant, party)

    def _regranted(self, tenant: str, party: str, *, is_more: bool) -> None:
        """Tell who is to know of what a party may spend now."""
        self._balances.check_party(tenant, party)
        seller = self._directory.parties[tenant][party].parent
        if is_more and seller is not None:
            self._balances.warn(tenant, [seller])

    async def transfers(self, tenant: str, party: str, limit: int, after: str | None = None) -> list[dict[str, Any]]:
        """The newest movements of a party's account first, or those `after` the one with this key.

        Raises `UnknownParty`, `UnknownAccount`, or `UnknownPlace` for a key that is not there.
        """
        return await self._store.transfers(tenant, self._account_of(tenant, party), limit, after)

    async def audit(self) -> list[Violation]:
        """Every breach of the laws of the ledger, in the database and in what is held in memory."""
        found = await self._store.audit()
        held = [Violation("I4", tenant, "ledger", fault) for tenant, fault in self._accounts.faults()]
        return [*found, *held]

    async def cdr(self, tenant: str, call_id: str) -> dict[str, Any]:
        """The CDR of a call, its latest revision; raises `UnknownCall`."""
        found = await self._store.cdr(tenant, call_id)
        if found is None:
            raise UnknownCall(f"there is no call named {call_id!r} that has ended")
        return found

    async def cdrs(
        self,
        tenant: str,
        limit: int,
        booth: str | None = None,
        *,
        shops: Collection[str] | None = None,
        since_ms: int = 0,
        after: CdrPlace | None = None,
        latest: bool = False,
    ) -> list[dict[str, Any]]:
        """The newest CDRs first, of one booth or of some shops where named, set up at `since_ms` (UTC) or later.

        `after` goes on where an earlier answer ended; `latest` leaves out revisions that another one has replaced.
        Raises `UnknownBooth` for one that is not there.
        """
        if booth is not None:
            self._key(tenant, booth)
        return await self._store.cdrs(
            tenant, limit=limit, booth=booth, shops=shops, since_ms=since_ms, after=after, latest=latest
        )

    async def verify(self, tenant: str, since_ms: int, until_ms: int | None, party: str | None) -> Verified:
        """Work out once more what the charges of calls come to, of one party where it is named."""
        return await self._store.verify(tenant, since_ms=since_ms, until_ms=until_ms, party=party)

    # Who sees what, and the tokens of people and programs.

    def reach(self, tenant: str, party: str) -> Reach:
        """What a party may see; raises `UnknownParty`."""
        parties, shops = self._directory.below(tenant, party)
        return Reach(parties=parties, shops=shops)

    def chain(self, tenant: str, shop: str) -> tuple[str, ...]:
        """A shop's owner and everybody above him, the provider last, by name; raises `UnknownShop`."""
        found = self._directory.shops.get((tenant, shop))
        if found is None:
            raise UnknownShop(f"there is no shop named {shop!r}")
        return tuple(party.name for party in self._directory.chain(found))

    def token(self, sha256: str) -> Token | None:
        """The API token with this SHA-256 in hexadecimal, unless it was revoked; it may have expired."""
        return self._tokens.get(sha256)

    def operator(self, tenant: str, name: str) -> Operator:
        """A person of the tenant's world; raises `UnknownOperator`."""
        for person in self.worlds.operators(tenant):
            if person.name == name:
                return person
        raise UnknownOperator(f"there is no operator named {name!r}")

    async def tokens(self, tenant: str) -> list[Token]:
        """Every API token, the oldest first."""
        return await self._store.tokens(tenant)

    async def add_token(self, tenant: str, token: Token, author: str) -> None:
        """Let a token in; durable when it returns. Raises `UnknownOperator` or another `StoreError`."""
        await self._store.commit(TokenAdded(tenant=tenant, token=token, author=author, at_ms=self._utc_ms()))
        self._tokens[token.sha256] = token

    async def revoke_token(self, tenant: str, token_id: str, author: str) -> Token:
        """Let a token in no more, by its id; durable when it returns. Raises `UnknownToken` or another `StoreError`."""
        write = TokenRevoked(tenant=tenant, id=token_id, author=author, at_ms=self._utc_ms())
        revoked = await self._store.commit(write)
        self._end_token(revoked)
        return revoked

    def _end_token(self, token: Token) -> None:
        self._tokens.pop(token.sha256, None)

    # Limits, and what people are told of.

    def limits(self, tenant: str) -> list[LimitStatus]:
        """Every rule of a tenant's limits."""
        return self._limits.limits(tenant)

    def limit(self, tenant: str, subject: Subject, rule: str) -> LimitStatus:
        """One rule; raises `UnknownLimit`."""
        return self._limits.limit(tenant, subject, rule)

    async def release(
        self,
        tenant: str,
        subject: Subject,
        rule: str,
        *,
        prefix: str,
        until_ms: int | None,
        author: str,
        reason: str,
    ) -> LimitStatus:
        """Let calls pass a rule; durable when it returns, and the running ones may go on at once.

        Raises:
            UnknownLimit: there is no such rule.
            BadRelease: it cannot be released so.
            StoreError: nothing was written.
        """
        live = [live for live in self._calls if live.tenant == tenant]
        status = await self._limits.release(
            tenant, subject, rule, prefix=prefix, until_ms=until_ms, author=author, reason=reason, live=live
        )
        with self._turn() as now:
            for one in live:
                self._meter.renew(one, now)
        return status

    async def alerts(
        self,
        tenant: str,
        limit: int,
        *,
        reach: Reach,
        before_id: int | None = None,
        only_open: bool = False,
    ) -> list[Alert]:
        """The newest alerts first, as far as somebody reaches."""
        return await self._store.alerts(
            tenant,
            limit=limit,
            parties=reach.parties,
            shops=reach.shops,
            before_id=before_id,
            only_open=only_open,
        )

    async def alert(self, tenant: str, alert_id: int) -> Alert:
        """One alert; raises `UnknownAlert`."""
        return await self._store.alert(tenant, alert_id)

    async def acknowledge(self, tenant: str, alert_id: int, author: str) -> Alert:
        """Take note of an alert; durable when it returns. Raises `UnknownAlert` or another `StoreError`."""
        return await self._alerts.acknowledge(tenant, alert_id, author)

    # Live calls.

    def calls(self, tenant: str) -> list[CallStatus]:
        """Every live call of a tenant, the oldest first."""
        now = self._clock()
        return [self.board.call(live, now) for live in self._calls if live.tenant == tenant]

    async def _set_suspended(self, tenant: str, party: str, author: str, by: str, *, suspended: bool) -> None:
        at_ms = self._utc_ms()
        changed = await self._store.commit(
            PartySuspended(tenant=tenant, party=party, suspended=suspended, by=by, author=author, at_ms=at_ms)
        )
        self._directory.take_party(changed)
        self._tell(PartyChanged(tenant=tenant, party=party))

    def _account_of(self, tenant: str, party: str) -> str:
        """The account that a party is charged on."""
        parent = self._directory.parties[tenant][party].parent
        if parent is None:
            raise UnknownAccount(f"{party} is the provider: nobody sells to it, so it has no account here")
        return customer(party, parent)

    def _renew_below(self, tenant: str, party: str) -> None:
        """Let calls that were short of a party's money go on at once."""
        with self._turn() as now:
            for live in self._calls.below(tenant, party):
                self._meter.renew(live, now)

    def _moved(self, tenant: str, accounts: Collection[str]) -> None:
        """The books moved money: calls that were short go on, and of whoever has little left now somebody is told."""
        self._renew_below(tenant, tenant)
        for party in filter(None, map(buyer_of, accounts)):
            self._balances.check_party(tenant, party)

    def _booth_changed(self, key: BoothKey) -> None:
        tenant, booth = key
        self._tell(BoothChanged(tenant=tenant, shop=self._directory.booths[key].shop, booth=booth))

    def _key(self, tenant: str, booth: str) -> BoothKey:
        if (tenant, booth) not in self._directory.booths:
            raise UnknownBooth(f"there is no booth named {booth!r}")
        return tenant, booth

    def _cut(self, lives: list[Live], detail: str) -> None:
        """End calls, but for emergency calls."""
        with self._turn() as now:
            for live in lives:
                if live.offer.kind is not CallKind.EMERGENCY:
                    self._run(live, live.call.hear(news.Cut(detail), now), now)
