"""A desk in memory for tests of the API and of the command line, and a server on a real socket.

It keeps the promises of `sipshop.console.api.Desk` over the real functions of `billing`; only the phones and the disk
are missing.
"""

import asyncio
import itertools
import socket
import sqlite3
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NoReturn, Self, TypeVar, cast

import httpx
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from sipshop.billing.cdr import utc_text
from sipshop.billing.deck import RateDeck
from sipshop.billing.desk import (
    POSTPAID,
    BillLine,
    BoothSession,
    SessionTerms,
)
from sipshop.billing.errors import BadTerms, LedgerError, UnknownAccount, UnknownParty
from sipshop.billing.ledger import (
    WORLD,
    Account,
    Ledger,
    Transfer,
    TransferKind,
    customer,
    moved,
    session_account,
    till,
)
from sipshop.billing.limits import LimitAction, Measure, Place, Rule, Subject
from sipshop.billing.money import Money, format_micros
from sipshop.billing.parties import Kind, Party, PartyTree
from sipshop.console.api import make_api
from sipshop.console.events import Hub
from sipshop.console.tokens import hash_token
from sipshop.metrics import Metrics
from sipshop.sip.shield import Rules
from sipshop.sip.timers import Timers
from sipshop.sip.useragent import UserAgent
from sipshop.store import (
    AccountState,
    Alert,
    Applied,
    CdrPlace,
    DeckVersion,
    SheetMapping,
    Store,
    Token,
    UnknownAlert,
    UnknownOperator,
    Write,
)
from sipshop.store.audit import Violation
from sipshop.store.decks import (
    MAPPINGS,
    SCHEDULED,
    VERSIONS,
    RatesRemoved,
    given_versions,
    mapping_of,
    read_deck,
    version_of,
)
from sipshop.store.errors import NothingToPay, UnknownPlace
from sipshop.store.verify import Verified
from sipshop.store.worlds import RATES_AT_ONCE, DeckStaged, load_world
from sipshop.switch import (
    BoothStatus,
    CallStatus,
    Decks,
    Directory,
    Gate,
    Health,
    PartyStatus,
    Reach,
    RegistrationStatus,
    Tracer,
    UnknownBooth,
    UnknownCall,
    UnknownLimit,
    UnknownShop,
    Worlds,
)
from sipshop.switch.accounts import Accounts
from sipshop.switch.alerts import Alerts
from sipshop.switch.balances import Balances
from sipshop.switch.books import Books
from sipshop.switch.limits import Limiter, LimitStatus
from sipshop.switch.live import LiveCalls
from sipshop.switch.meter import Meter
from sipshop.switch.trunks import Trunks
from sipshop.switch.ways import Ways
from sipshop.world import History, Operator, Plan, World, parse_world
from tests.console.memory_checkout import MemoryCheckout
from tests.console.memory_floor import MemoryFloor, MemoryTills, memory_logins, memory_screens
from tests.console.memory_printing import memory_printing
from tests.console.shared import Shared
from tests.store.examples import connection_in_memory

TENANT = "acme"
TOKEN = "sipshop_the-token-of-acme"
STRANGER = "sipshop_the-token-of-another-provider"
OPENED_AT_MS = 1_767_225_599_007

Made = TypeVar("Made")


def token_of(token: str, *, tenant: str = TENANT, party: str, role: str, shop: str | None = None) -> Token:
    """What the store keeps of a token that never expires."""
    return Token(
        tenant=tenant,
        sha256=hash_token(token),
        role=role,
        party=party,
        shop=shop,
        label=f"{role} of {party}",
        created_at_ms=OPENED_AT_MS,
        expires_at_ms=None,
    )


RESELLER, OWNER, OPERATOR = "sipshop_rhea's", "sipshop_olga's", "sipshop_at-the-counter"
_ISSUED = (
    token_of(TOKEN, party="acme", role="provider"),
    token_of(STRANGER, tenant="other", party="other", role="provider"),
    token_of(RESELLER, party="rhea", role="reseller"),
    token_of(OWNER, party="olga", role="owner"),
    token_of(OPERATOR, party="olga", role="operator", shop="center"),
)
TOKENS = {token.sha256: token for token in _ISSUED}
READY = Health(ready=True, recovering=False, writable=True, draining=False, why="")


@dataclass(kw_only=True)
class Room:
    """A booth of the desk: its live calls, its session, and what the session owes."""

    live_calls: int = 0
    session: BoothSession | None = None
    lines: list[BillLine] = field(default_factory=list)


WORLD_TEXT = """\
provider: {name: acme}
resellers: [{name: rhea, deck: to-rhea, unlimited: true}]
owners: [{name: olga, deck: to-olga, credit_limit: "10.00", opening: "5.00"}]
decks:
  - name: sell
    currency: EUR
    rates:
      - {prefix: "32", destination: Belgium, connect_fee: "0.05", first_s: 60, first_price: "0.12", next_s: 60}
      - {prefix: "3290", destination: Belgium Premium, forbidden: true}
  - {name: to-olga, currency: EUR, rates: [{prefix: "3", destination: X, first_s: 1, first_price: "0.06", next_s: 1}]}
  - {name: to-rhea, currency: EUR, rates: [{prefix: "3", destination: X, first_s: 1, first_price: "0.05", next_s: 1}]}
  - {name: buy, currency: EUR, rates: [{prefix: "3", destination: X, first_s: 1, first_price: "0.03", next_s: 1}]}
trunks:
  - {name: demo, carrier: Far, deck: buy, host: 192.0.2.1, emergency: true, max_calls: 30}
  - {name: spare, carrier: Farther, deck: buy, host: "2001:db8::1", disabled: true}
routes: [{prefix: "", trunks: [demo, spare]}]
shops:
  - name: center
    owner: olga
    deck: sell
    country_code: "32"
    emergency: ["112"]
    booths: [{name: b1, password: one}, {name: b2, password: two}]
operators:
  - {name: ana, shop: center}
  - {name: otto, role: owner, party: olga}
"""


@cache
def stored_world() -> World:
    """The world of `WORLD_TEXT`, which nobody changes."""
    return parse_world(WORLD_TEXT, "memory")


def _no_network() -> NoReturn:
    raise AssertionError("nobody is reached from here")


class MemoryWorlds(Worlds):
    """The real room over a database that is a variable."""

    def __init__(self) -> None:
        self.stored = stored_world()
        directory = Directory([self.stored], default_realm="sipshop")
        accounts = Accounts(
            [
                (
                    TENANT,
                    AccountState(
                        name=customer(opening.party, TENANT),
                        currency=opening.currency,
                        balance_micros=opening.opening_micros,
                        credit_limit_micros=opening.credit_limit_micros,
                        overdrawn=False,
                    ),
                )
                for opening in self.stored.openings
            ],
            [],
        )
        calls, store, timers = LiveCalls(directory), cast("Store", self), Timers()  # the boundary to the disk
        agent = UserAgent(timers=timers, token=lambda: "t", pick=lambda _below: 0, advertise=("192.0.2.1", 5060))
        carriers = Trunks(
            agent=agent, tell=lambda _fact: None, ways=Ways(_no_network), learn=lambda _trunk, _found: None, fetch=str
        )
        carriers.begin([self.stored], 0.0)
        alerts = Alerts(directory, store, lambda _fact: None, lambda: OPENED_AT_MS)
        limits = Limiter(directory=directory, store=store, alerts=alerts, utc_ms=lambda: OPENED_AT_MS)
        balances = Balances(
            directory=directory, store=store, accounts=accounts, alerts=alerts, utc_ms=lambda: OPENED_AT_MS
        )
        super().__init__(
            directory=directory,
            store=store,
            accounts=accounts,
            calls=calls,
            meter=Meter(
                accounts=accounts,
                limits=limits,
                balances=balances,
                store=store,
                timers=timers,
                run=lambda *_: None,
                most_s=14_400,
                slice_s=60,
            ),
            turn=lambda: nullcontext(0.0),
            utc_ms=lambda: OPENED_AT_MS,
            close=lambda _booths: lambda: None,
            opened=lambda _session: None,
            ended=lambda _token: None,
            on_swap=lambda _world: None,
            carriers=carriers,
            most_s=14_400,
            limits=limits,
            balances=balances,
        )
        self.failure: Exception | None = None

    async def with_world(self, tenant: str, decks: Sequence[RateDeck], use: Callable[[World, History], Made]) -> Made:
        assert (tenant, decks) == (TENANT, self.stored.decks)
        return use(self.stored, History())

    async def apply_world(self, tenant: str, plan: Plan, _history: History, *, author: str, at_ms: int) -> Applied:
        assert tenant == plan.after.tenant
        assert (bool(author), at_ms) == (True, OPENED_AT_MS)
        if self.failure is not None:
            raise self.failure
        self.stored = plan.after
        return Applied()


class BooksStore:
    """A database in memory, with the same world, for the real books over it."""

    def __init__(self, failure: Callable[[], Exception | None]) -> None:
        self._failure = failure
        self.connection = connection_in_memory()
        weakref.finalize(self, self.connection.close)
        load_world(self.connection, stored_world(), at_ms=OPENED_AT_MS)

    async def commit(self, write: Write[Made]) -> Made:
        failure = self._failure()
        if failure is not None:
            raise failure
        return write.apply(self.connection)

    async def ask(self, tenant: str, question: Callable[[sqlite3.Connection, str], Made]) -> Made:
        return question(self.connection, tenant)


class MemoryBooks(Books):
    """The real room over such a database; `now_ms` is what its clock says."""

    def __init__(self, failure: Callable[[], Exception | None]) -> None:
        self.stored = BooksStore(failure)
        self.now_ms = OPENED_AT_MS
        super().__init__(
            directory=Directory([stored_world()], default_realm="sipshop"),
            store=cast("Store", self.stored),
            accounts=Accounts([], []),
            moved=lambda _tenant, _accounts: None,
            tell=lambda _fact: None,
            utc_ms=lambda: self.now_ms,
        )


class MemoryShelf:
    """What the switch asks of a store about versions of decks, over SQLite in memory."""

    def __init__(self) -> None:
        self.connection = connection_in_memory()
        weakref.finalize(self, self.connection.close)
        load_world(self.connection, stored_world(), at_ms=OPENED_AT_MS)

    def scheduled_versions(self) -> list[DeckVersion]:
        return [version_of(row) for row in SCHEDULED.run(self.connection, {})]

    async def deck_versions(self, tenant: str, deck: str) -> list[DeckVersion]:
        return [version_of(row) for row in VERSIONS.run(self.connection, {"tenant": tenant, "deck": deck})]

    async def deck_version(self, tenant: str, deck: str, version: int) -> RateDeck:
        return read_deck(self.connection, tenant, deck, version)

    async def given_version(self, tenant: str, deck: str) -> int:
        return given_versions(self.connection, tenant).get(deck, 0)

    async def stage_deck(self, tenant: str, deck: RateDeck, tell: Callable[[int], None]) -> None:
        for first in range(0, max(1, len(deck.rates)), RATES_AT_ONCE):
            DeckStaged(tenant=tenant, deck=deck, first=first).apply(self.connection)
        tell(len(deck.rates))

    async def remove_rates(self, tenant: str, deck: str, version: int) -> None:
        RatesRemoved(tenant=tenant, deck=deck, version=version, before=10**9, is_last=True).apply(self.connection)

    async def mappings(self, tenant: str, party: str) -> list[SheetMapping]:
        return [mapping_of(row) for row in MAPPINGS.run(self.connection, {"tenant": tenant, "party": party})]

    async def commit(self, write: Write[Made]) -> Made:
        return write.apply(self.connection)


class MemoryDesk:
    """One tenant with some booths, and a provider over a reseller and an owner.

    The reseller rhea may owe without end, the owner olga 10.00. Every command raises `failure` while it is set.
    """

    def __init__(self, *booths: str) -> None:
        self.rooms = {name: Room() for name in booths}
        self.records: list[dict[str, Any]] = []
        self.live: list[CallStatus] = []
        self.issued = dict(TOKENS)
        self.violations: list[Violation] = []
        self.log: list[tuple[str, ...]] = []
        self.failure: Exception | None = None
        self.rule = LimitStatus(
            subject=Subject(Place.BOOTH, "b1"),
            party="olga",
            shop="center",
            rule=Rule(name="often", measure=Measure.CALLS, action=LimitAction.HOLD, set_by="olga", most=3),
            used=None,
            stands=(),
        )
        self.told = [
            Alert(
                id=1,
                raised_at_ms=OPENED_AT_MS,
                kind="calls_per_hour",
                action="hold",
                place="booth",
                name="b1",
                party="olga",
                shop="center",
                rule="often",
                prefix="32",
                detail="3 calls in an hour to Belgium (32): booth b1 of center",
            )
        ]
        self.state = READY
        self.worlds = MemoryWorlds()
        self.books = MemoryBooks(lambda: self.failure)
        self.shelf = MemoryShelf()
        names = itertools.count(1)
        self.decks = Decks(
            store=cast("Store", self.shelf),  # the boundary to the disk
            worlds=self.worlds,
            random=lambda size: next(names).to_bytes(size, "big"),
            utc_ms=lambda: OPENED_AT_MS,
        )
        self.floor = MemoryFloor(self, TENANT)
        self.checkout = MemoryCheckout(self, TENANT)
        self.till = MemoryTills(self.worlds.stored, lambda: self.failure, lambda: OPENED_AT_MS)
        self.printing = memory_printing(
            self.worlds.stored, self.checkout.receipt, lambda: self.failure, lambda: OPENED_AT_MS
        )
        self.logins = memory_logins(self.worlds.stored, lambda: self.failure, lambda: OPENED_AT_MS)
        self.screens = memory_screens(self.worlds.stored, lambda: self.failure, lambda: OPENED_AT_MS)
        self._sessions = 0
        self._parties = PartyTree(
            [
                Party(tenant=TENANT, name="acme", kind=Kind.PROVIDER, parent=None),
                Party(tenant=TENANT, name="rhea", kind=Kind.RESELLER, parent="acme", deck="to-rhea"),
                Party(tenant=TENANT, name="olga", kind=Kind.OWNER, parent="acme", deck="to-olga"),
            ]
        )
        self.phones: list[RegistrationStatus] = []
        self._ledger = Ledger()
        self._ledger.open(customer("rhea", "acme"), "EUR", balance=0, credit_limit=None)
        self._ledger.open(customer("olga", "acme"), "EUR", balance=0, credit_limit=10_000_000)
        self._transfers: list[tuple[Transfer, str, str]] = []  # with author and reason
        self._done: dict[str, tuple[object, ...]] = {}  # what each key has done

    def charge(self, booth: str, micros: int, *, dialled: str = "003222222222") -> None:
        """End a call of the booth's session with this price."""
        room = self.rooms[booth]
        assert room.session is not None
        room.session = replace(room.session, version=room.session.version + 1)
        self._account_of(room.session).balance -= micros
        room.lines.append(
            BillLine(
                call_id=f"call-{len(room.lines)}",
                answered_at_ms=OPENED_AT_MS,
                dialled=dialled,
                e164="3222222222",
                destination="Belgium",
                talk_ms=61_250,
                billed_s=120,
                amount=Money(micros, "EUR"),
                explanation="62 s = 60 + 60 s at 0.12/min",
                added=room.session.version,
                priced=room.session.version,
            )
        )

    def hold(self, party: str, micros: int) -> None:
        """Let a live call hold so much on a party's account."""
        assert self._ledger.hold("a live call", {customer(party, "acme"): micros})

    def booths(self, tenant: str, shops: Collection[str]) -> list[BoothStatus]:
        is_ours = tenant == TENANT and "center" in shops
        return [self._status(name, room) for name, room in self.rooms.items()] if is_ours else []

    def booth(self, tenant: str, name: str) -> BoothStatus:
        return self._status(name, self.room(tenant, name))

    def registrations(self, tenant: str, shops: Collection[str]) -> list[RegistrationStatus]:
        return list(self.phones) if tenant == TENANT and "center" in shops else []

    def reach(self, tenant: str, party: str) -> Reach:
        if tenant != TENANT:
            return Reach(parties=frozenset({party}), shops=frozenset())
        below = self._parties.below(party)
        return Reach(parties=below, shops=frozenset({"center"} if "olga" in below else ()))

    def chain(self, tenant: str, shop: str) -> tuple[str, ...]:
        if (tenant, shop) != (TENANT, "center"):
            raise UnknownShop(f"there is no shop named {shop!r}")
        return "olga", "acme"

    def calls(self, tenant: str) -> list[CallStatus]:
        return self.live if tenant == TENANT else []

    def token(self, sha256: str) -> Token | None:
        found = self.issued.get(sha256)
        return None if found is None or found.revoked_at_ms is not None else found

    def operator(self, tenant: str, name: str) -> Operator:
        for person in self.worlds.stored.operators if tenant == TENANT else ():
            if person.name == name:
                return person
        raise UnknownOperator(f"there is no operator named {name!r}")

    async def tokens(self, tenant: str) -> list[Token]:
        return [token for token in self.issued.values() if token.tenant == tenant]

    async def add_token(self, tenant: str, token: Token, author: str) -> None:
        if self.failure is not None:
            raise self.failure
        self.issued[token.sha256] = token
        self.log.append(("add token", token.id, author))

    async def revoke_token(self, tenant: str, token_id: str, author: str) -> Token:
        if self.failure is not None:
            raise self.failure
        (token,) = (token for token in await self.tokens(tenant) if token.id == token_id)
        self.issued[token.sha256] = replace(token, revoked_at_ms=token.revoked_at_ms or OPENED_AT_MS + 1)
        self.log.append(("revoke token", token.id, author))
        return self.issued[token.sha256]

    async def unlock(
        self, tenant: str, booth: str, author: str, terms: SessionTerms = POSTPAID, key: str | None = None
    ) -> BoothSession:
        room = self.command(tenant, booth, "unlock", author)
        if terms.deposit is not None and room.session is not None and not self._is_new(f"deposit:{key}", booth, terms):
            return room.session
        self._done[f"deposit:{key}"] = (booth, terms)
        if room.session is not None and room.session.is_open and not terms.none:
            raise BadTerms(f"booth {booth} is open already: top up its session instead")
        if room.session is None:
            self._sessions += 1
            room.lines.clear()
            room.session = BoothSession(
                tenant=tenant,
                id=self._sessions,
                booth=booth,
                owner="olga",
                opened_at_ms=OPENED_AT_MS,
                opened_by=author,
                version=0,
                closed_at_ms=None,
                paid=False,
            )
            self._ledger.open(session_account(room.session.id, "olga"), "EUR", balance=0, credit_limit=None)
        account = self._account_of(room.session)
        if terms.deposit is not None:
            self._deposit(room, terms.deposit, author)
            account.credit_limit = 0
        if terms.limit is not None:
            account.credit_limit = terms.limit.micros
        if terms.talk_limit_ms is not None:
            room.session = replace(room.session, talk_limit_ms=terms.talk_limit_ms)
        assert room.session is not None
        room.session = replace(room.session, closed_at_ms=None, credit_limit_micros=account.credit_limit)
        return room.session

    async def top_up(self, tenant: str, booth: str, amount: Money, author: str, key: str) -> BoothSession:
        room = self.command(tenant, booth, "topup", author)
        if room.session is None:
            raise NothingToPay(f"booth {booth} has no session to pay")
        if self._is_new(f"topup:{key}", booth, amount):
            self._deposit(room, amount, author)
            self._done[f"topup:{key}"] = (booth, amount)
        return room.session

    async def lock(self, tenant: str, booth: str, author: str, cut: bool = False) -> BoothSession | None:
        room = self.command(tenant, booth, "cut" if cut else "lock", author)
        if cut:
            room.live_calls = 0
        if room.session is not None:
            room.session = replace(room.session, closed_at_ms=OPENED_AT_MS + 1)
        return room.session

    def parties(self, tenant: str, names: Collection[str]) -> list[PartyStatus]:
        return [self._party_status(party) for party in self._parties if tenant == TENANT and party.name in names]

    def party(self, tenant: str, name: str) -> PartyStatus:
        return self._party_status(self._party(tenant, name))

    async def suspend(self, tenant: str, party: str, author: str, *, by: str, cut: bool = False) -> None:
        self._suspend(tenant, self._party(tenant, party).name, author, by, suspended=True)
        if cut:
            for room in self.rooms.values():
                room.live_calls = 0

    async def resume(self, tenant: str, party: str, author: str, *, by: str) -> None:
        self._suspend(tenant, self._party(tenant, party).name, author, by, suspended=False)

    async def move(
        self, tenant: str, party: str, kind: TransferKind, amount: Money, *, author: str, reason: str, key: str
    ) -> PartyStatus:
        account = self._change_account(tenant, party, kind.value, author)
        if self._is_new(f"{kind}:{key}", party, amount, reason):
            if kind is TransferKind.PAYMENT and amount.micros < 0:
                self._ledger.take("paid back", account.name, -amount.micros)
                self._ledger.void("paid back")
            self._move(moved(f"{kind}:{key}", kind, source=WORLD, account=account.name, amount=amount), author, reason)
            self._done[f"{kind}:{key}"] = (party, amount, reason)
        return self.party(tenant, party)

    async def set_limit(
        self, tenant: str, party: str, credit_limit: int | None, author: str, reason: str
    ) -> PartyStatus:
        self._ledger.limit(self._change_account(tenant, party, "limit", author, reason).name, credit_limit)
        return self.party(tenant, party)

    async def transfers(self, tenant: str, party: str, limit: int, after: str | None = None) -> list[dict[str, Any]]:
        account = self._party_account(self._party(tenant, party)).name
        found = [
            {
                "at": utc_text(OPENED_AT_MS),
                "key": transfer.key,
                "kind": transfer.kind.value,
                "other": transfer.debit if transfer.credit == account else transfer.credit,
                "amount": format_micros(transfer.amount.micros * (1 if transfer.credit == account else -1)),
                "currency": transfer.amount.currency,
                "author": author,
                "reason": reason,
            }
            for transfer, author, reason in reversed(self._transfers)
            if account in {transfer.debit, transfer.credit}
        ]
        keys = [None, *(transfer["key"] for transfer in found)]
        if after not in keys:
            raise UnknownPlace(f"no transfer has the key {after!r}")
        return found[keys.index(after) :][:limit]

    async def audit(self) -> list[Violation]:
        return self.violations

    async def verify(self, tenant: str, since_ms: int, until_ms: int | None, party: str | None) -> Verified:
        return Verified(charges=4, differences=(), more=0)

    async def cdr(self, tenant: str, call_id: str) -> dict[str, Any]:
        for record in self.records if tenant == TENANT else []:
            if record["call_id"] == call_id:
                return record
        raise UnknownCall(f"there is no call named {call_id!r} that has ended")

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
        found = [
            record
            for record in (self.records if tenant == TENANT else [])
            if booth in {None, record["booth"]} and (shops is None or record["shop"] in shops)
        ]
        shown = [record["call_id"] for record in found]
        start = 0 if after is None or after.call_id not in shown else shown.index(after.call_id) + 1
        return found[start:][:limit]

    # One rule of booth b1, and the alerts that a test has put there.

    def limits(self, tenant: str) -> list[LimitStatus]:
        return [self.rule] if tenant == TENANT else []

    def limit(self, tenant: str, subject: Subject, rule: str) -> LimitStatus:
        for status in self.limits(tenant):
            if (status.subject, status.rule.name) == (subject, rule):
                return status
        raise UnknownLimit(f"there is no limit named {rule!r} of {subject}")

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
        if self.failure is not None:
            raise self.failure
        self.log.append(("release", rule, prefix, str(until_ms), author, reason))
        return self.limit(tenant, subject, rule)

    async def alerts(
        self, tenant: str, limit: int, *, reach: Reach, before_id: int | None = None, only_open: bool = False
    ) -> list[Alert]:
        seen = [alert for alert in reversed(self.told) if alert.party in reach.parties or alert.shop in reach.shops]
        open_ = [alert for alert in seen if alert.is_open or not only_open]
        return [alert for alert in open_ if before_id is None or alert.id < before_id][:limit]

    async def alert(self, tenant: str, alert_id: int) -> Alert:
        for alert in self.told:
            if alert.id == alert_id:
                return alert
        raise UnknownAlert(f"there is no alert {alert_id}")

    async def acknowledge(self, tenant: str, alert_id: int, author: str) -> Alert:
        if self.failure is not None:
            raise self.failure
        alert = await self.alert(tenant, alert_id)
        noted = replace(alert, acked_at_ms=alert.acked_at_ms or OPENED_AT_MS, acked_by=alert.acked_by or author)
        self.told[self.told.index(alert)] = noted
        return noted

    def health(self) -> Health:
        return self.state

    def command(self, tenant: str, booth: str, command: str, author: str) -> Room:
        """The room that a command is for, which goes into the log; raises `failure` while it is set."""
        if self.failure is not None:
            raise self.failure
        room = self.room(tenant, booth)
        self.log.append((command, booth, author))
        return room

    def room(self, tenant: str, booth: str) -> Room:
        """A booth's state; raises UnknownBooth."""
        if tenant != TENANT or booth not in self.rooms:
            raise UnknownBooth(f"there is no booth named {booth!r}")
        return self.rooms[booth]

    def _deposit(self, room: Room, amount: Money, author: str) -> None:
        assert room.session is not None
        account = self._account_of(room.session).name
        key = f"deposit:{room.session.id}:{len(self._transfers)}"
        self._move(moved(key, TransferKind.DEPOSIT, source=till("center"), account=account, amount=amount), author, "")
        room.session = replace(room.session, deposit_micros=room.session.deposit_micros + amount.micros)

    def _move(self, transfer: Transfer, author: str, reason: str) -> None:
        self._ledger.apply(transfer)
        self._transfers.append((transfer, author, reason))

    def _is_new(self, key: str, *content: object) -> bool:
        """Whether nothing was done by this key; raises LedgerError if it was something else."""
        done = self._done.get(key)
        if done not in {None, content}:
            raise LedgerError(f"{key} was something else")
        return done is None

    def _account_of(self, session: BoothSession) -> Account:
        return self._ledger[session_account(session.id, session.owner)]

    def _change_account(self, tenant: str, party: str, command: str, *author_and_reason: str) -> Account:
        if self.failure is not None:
            raise self.failure
        account = self._party_account(self._party(tenant, party))
        self.log.append((command, party, *author_and_reason))
        return account

    def _party_account(self, party: Party) -> Account:
        if party.parent is None:
            raise UnknownAccount(f"{party.name} is the provider: nobody sells to it, so it has no account here")
        return self._ledger[customer(party.name, party.parent)]

    def _party(self, tenant: str, name: str) -> Party:
        if tenant != TENANT:
            raise UnknownParty(f"there is no party named {name!r}")
        return self._parties[name]

    def _party_status(self, party: Party) -> PartyStatus:
        account = None if party.parent is None else self._party_account(party)
        above = self._parties.suspended(party.name)
        return PartyStatus(
            party=party.name,
            kind=party.kind.value,
            parent=party.parent,
            suspended=party.suspended,
            suspender=party.suspender,
            suspended_by=None if above is None else above.name,
            currency=None if account is None else account.currency,
            balance_micros=None if account is None else account.balance,
            credit_limit_micros=None if account is None else account.credit_limit,
            unlimited=account is not None and account.credit_limit is None,
            held_micros=0 if account is None else account.held,
            available_micros=None if account is None else account.available,
            overdrawn=account is not None and (account.available or 0) < 0,
            live_calls=sum(room.live_calls for room in self.rooms.values()),
        )

    def _suspend(self, tenant: str, party: str, author: str, by: str, *, suspended: bool) -> None:
        if self.failure is not None:
            raise self.failure
        do = self._parties.suspend if suspended else self._parties.resume
        self._parties = self._parties.replaced(do(party, by))
        self.log.append(("suspend" if suspended else "resume", party, author))

    def _status(self, name: str, room: Room) -> BoothStatus:
        session = room.session
        is_open = session is not None and session.is_open
        talk_limit_ms = None if session is None else session.talk_limit_ms
        talked_ms = sum(line.talk_ms for line in room.lines)
        return BoothStatus(
            booth=name,
            shop="center",
            state="in call" if room.live_calls else "open" if is_open else "locked",
            suspended=self._parties.suspended("olga") is not None,
            registered=1,
            reachable=1,
            currency="EUR",
            session_id=None if session is None else session.id,
            opened_at_ms=None if session is None else session.opened_at_ms,
            opened_by=None if session is None else session.opened_by,
            dialled="003222222222" if room.live_calls else None,
            seconds=None,
            live_calls=room.live_calls,
            deposit_micros=0 if session is None else session.deposit_micros,
            credit_limit_micros=None if session is None else session.credit_limit_micros,
            talk_limit_ms=talk_limit_ms,
            available_micros=None if session is None else self._account_of(session).available,
            left_ms=None if talk_limit_ms is None else talk_limit_ms - talked_ms,
        )


def memory_api(desk: MemoryDesk, hub: Hub | None = None) -> Shared:
    """The API over a desk in memory, with the tokens above and the real metrics; one application serves all desks."""
    return Shared(_make_api, _present(desk, hub))


def own_api(desk: MemoryDesk, hub: Hub | None = None) -> FastAPI:
    """The same as an application that nobody else has, with all that it keeps, such as who tried which password."""
    return _make_api(**_present(desk, hub))


def _present(desk: MemoryDesk, hub: Hub | None) -> dict[str, Any]:
    metrics = Metrics(version="1.2.3")
    metrics.expect(TENANT, shops=["center"], trunks=["demo"])
    return {"desk": desk, "metrics": metrics, "hub": hub or Hub(), "traces": idle_tracer(), "bans": idle_gate()}


def _make_api(**present: Any) -> FastAPI:
    return make_api(**present, version="1.2.3", utc_ms=lambda: OPENED_AT_MS)


def idle_tracer() -> Tracer:
    """A tracer that hears nothing."""
    directory = Directory([], default_realm="sipshop")
    numbers = itertools.count()
    return Tracer(
        directory=directory,
        calls=LiveCalls(directory),
        tap=lambda _heard: None,
        random=lambda size: next(numbers).to_bytes(size),
        utc_ms=lambda: OPENED_AT_MS,
        clock=lambda: 0.0,
    )


def idle_gate() -> Gate:
    """A gate at which nobody has knocked."""
    agent = UserAgent(timers=Timers(), token=lambda: "t", pick=lambda _most: 0, advertise=("192.0.2.1", 5060))
    return Gate(
        agent,
        Directory([], default_realm="sipshop"),
        lambda _fact: None,
        secret=bytes(32),
        random=bytes,
        rules=Rules(),
        utc_ms=lambda: OPENED_AT_MS,
        clock=lambda: 0.0,
    )


class Stage:
    """An application on which one API after another may be played."""

    def __init__(self) -> None:
        self.api: ASGIApp = memory_api(MemoryDesk())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.api(scope, receive, send)


@contextmanager
def serving(api: ASGIApp) -> Iterator[str]:
    """The URL of a server on a free port of the loopback, as long as the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:  # it listens at once, so nobody has to wait for the server
        server = uvicorn.Server(uvicorn.Config(api, log_level="debug", log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class Caller:
    """A program that calls an API without a socket between them; use it as a context."""

    def __init__(self, api: ASGIApp, token: str | None = TOKEN) -> None:
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(api, raise_app_exceptions=False), base_url="http://api"
        )
        self.headers = self._client.headers
        if token is not None:
            self.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, path, **more))

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)
