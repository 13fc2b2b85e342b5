"""The whole switch in memory: a small world, two carriers, a booth's phone, and a store that obeys the test."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import sqlite3
import weakref
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from operator import is_
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from sipshop.billing.cdr import Cdr
from sipshop.billing.deck import RateDeck
from sipshop.billing.desk import Bill, BoothSession
from sipshop.billing.money import Money
from sipshop.billing.receipt import Receipt
from sipshop.billing.shift import Shift
from sipshop.billing.tender import Method, Tender
from sipshop.facts import Fact, RequestRefused
from sipshop.sip.course import State
from sipshop.sip.digest import answer
from sipshop.sip.endpoint import Endpoint, Tap
from sipshop.sip.events import Content
from sipshop.sip.flow import Address
from sipshop.sip.incoming import IncomingLeg
from sipshop.sip.lookup import WAIT_S, Then
from sipshop.sip.message import Request
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.sip.resolve import SHUN_S, Answers, Question, Records, Shunned, Srv, Wanted, plan
from sipshop.sip.resolve import Plan as FoundPlan
from sipshop.sip.resolve import Target as Way
from sipshop.sip.useragent import Manners, Output
from sipshop.store import (
    AccountState,
    Alarm,
    Alert,
    CallSettled,
    DeckVersion,
    KeptLimits,
    LiveCall,
    Login,
    Owed,
    PastCall,
    Store,
    StoreError,
    Token,
    Unwritable,
    WebSession,
    bindings,
    farewells,
    limits,
    queries,
    rows,
)
from sipshop.store.bindings import Kept
from sipshop.store.checkout import ITEMS, RECEIPT, RECEIPTS, open_bills, read_bill, read_receipt
from sipshop.store.connect import connect_writer
from sipshop.store.floor import NOTES, OPEN_ALARMS, alarm_of
from sipshop.store.journal import Done, Write
from sipshop.store.screens import SCREENS, Screen, screen_of
from sipshop.store.till import OPEN_SHIFTS, shift_of
from sipshop.store.worlds import Applied, WorldApplied, load_world, read_history, read_world
from sipshop.store.writes import unpaid_session
from sipshop.switch import Directory, Options, Switch
from sipshop.world import History, Plan, World, parse_world
from tests.sip.peers import FORGETTING_S, OFFER, Network, Peer, Phone, Recorder
from tests.store.examples import connection_in_memory

TENANT: Final = "Tel"
SWITCH: Final = ("192.0.2.1", 5060)
BOOTH, GATE = ("192.0.2.10", 5060), ("192.0.2.11", 5060)
CARRIER_ONE, CARRIER_TWO = ("192.0.2.20", 5060), ("192.0.2.21", 5060)
NOON_MS: Final = 1_700_000_000_000
BERLIN: Final = "0301234567"

WORLD_TEXT: Final = """\
provider: {name: Tel}
owners:
  - {name: Ann, deck: wholesale, unlimited: true}
decks:
  - name: sell
    currency: EUR
    rates:
      - {prefix: "49", destination: Germany, connect_fee: "0.05", first_s: 60, first_price: "0.12", next_s: 6}
      - {prefix: "49900", destination: Premium, forbidden: true}
      - {prefix: "44", destination: United Kingdom, first_s: 60, first_price: "0.30", next_s: 60}
  - name: wholesale
    currency: EUR
    round: {places: 6}
    rates:
      - {prefix: "4", destination: Europe, first_s: 1, first_price: "0.06", next_s: 1}
  - name: carrier
    currency: EUR
    round: {places: 4}
    rates:
      - {prefix: "4", destination: Europe, first_s: 1, first_price: "0.03", next_s: 1}
trunks:
  - {name: one, host: 192.0.2.20, emergency: true, carrier: Carrier, deck: carrier}
  - {name: two, host: 192.0.2.21, emergency: true, carrier: Carrier, deck: carrier}
routes:
  - {prefix: "49", trunks: [one, two]}
shops:
  - name: Corner
    owner: Ann
    deck: sell
    country_code: "49"
    emergency: ["112"]
    booths:
      - {name: booth1, password: secret}
      - {name: gate, auth: ip, ip: 192.0.2.11}
"""
WORLD: Final = parse_world(WORLD_TEXT, "world.yaml")

Result = TypeVar("Result")


def cash(amount: Money) -> tuple[Tender, ...]:
    """What is handed over in coins; nothing is nothing."""
    return (Tender(Method.CASH, amount),) if amount.micros else ()


def at_once(command: Coroutine[Any, Any, Result]) -> Result:
    """The result of a command that waits for nothing but a store that answers at once."""
    try:
        command.send(None)
    except StopIteration as done:
        return cast("Result", done.value)
    raise AssertionError("the command waits for something")


#: The databases that worlds were loaded into, by what was loaded: most houses have one of a few worlds.
_LOADED: Final[list[tuple[tuple[World, ...], sqlite3.Connection]]] = []
_MOST_LOADED: Final = 4


def _loaded(worlds: tuple[World, ...]) -> sqlite3.Connection:
    """A database that these worlds were loaded into, to be copied: that is a tenth of the work."""
    for known, connection in _LOADED:
        if len(known) == len(worlds) and all(map(is_, known, worlds)):
            return connection
    connection = connection_in_memory()
    for world in worlds:
        load_world(connection, world, at_ms=NOON_MS)
    _LOADED.append((worlds, connection))
    for _, old in _LOADED[:-_MOST_LOADED]:
        old.close()
    del _LOADED[:-_MOST_LOADED]
    return connection


class MemoryStore:
    """What the switch asks of a store, over SQLite in memory: what a write does is real, and when is up to the test.

    `delay_s` is how long a commit takes; while `broken`, writes fail.
    """

    secret = bytes(32)

    def __init__(self, network: Network, worlds: Sequence[World] = (WORLD,)) -> None:
        self.network = network
        self.delay_s = 0.0
        self.broken = False
        self.cdrs: list[Cdr] = []
        self._lives = 0
        self.connection = connection_in_memory(like=_loaded(tuple(worlds)))
        weakref.finalize(self, self.connection.close)

    @property
    def writable(self) -> bool:
        return not self.broken

    def scheduled_versions(self) -> list[DeckVersion]:
        return []

    def submit(self, write: Write[object], done: Done | None = None) -> None:
        life = self._lives

        def due() -> None:
            if life != self._lives:
                return
            result = self._apply(write)
            if done is not None:
                done(result)

        self.network.at(self.network.now + self.delay_s, due)

    def die(self) -> None:
        """The process that wrote here is gone: what it had not committed never comes."""
        self._lives += 1

    async def commit(self, write: Write[Result]) -> Result:
        result = self._apply(write)
        if isinstance(result, Exception):
            raise result
        return cast("Result", result)

    def _apply(self, write: Write[object]) -> object:
        if self.broken:
            return Unwritable("disk I/O error")
        try:
            result = write.apply(self.connection)
        except StoreError as error:
            return error
        if isinstance(write, CallSettled):
            self.cdrs.append(write.cdr)
        return result

    def open_sessions(self) -> list[BoothSession]:
        return [rows.booth_session(row) for row in self._read(queries.OPEN_SESSIONS)]

    def valid_tokens(self) -> list[Token]:
        return [rows.token(row) for row in self._read(queries.VALID_TOKENS)]

    def logins(self) -> list[Login]:
        return []

    def web_sessions(self) -> list[WebSession]:
        return []

    def notes(self) -> list[tuple[str, int, str]]:
        return [(row["tenant"], row["session_id"], row["note"]) for row in self._read(NOTES)]

    def open_bills(self) -> list[Bill]:
        return open_bills(lambda query, values: self._read(query, **values))

    def open_alarms(self) -> list[Alarm]:
        return [alarm_of(row) for row in self._read(OPEN_ALARMS)]

    def screens(self) -> list[Screen]:
        return [screen_of(row) for row in self._read(SCREENS)]

    def open_shifts(self) -> list[Shift]:
        return [shift_of(row) for row in self._read(OPEN_SHIFTS)]

    async def tokens(self, tenant: str) -> list[Token]:
        return [rows.token(row) for row in self._read(queries.TOKENS, tenant=tenant)]

    async def has_moved(self, tenant: str, key: str) -> bool:
        return bool(self._read(queries.TRANSFER, tenant=tenant, key=key))

    async def bill(self, tenant: str, booth: str) -> Bill | None:
        session = unpaid_session(self.connection, tenant, booth)
        if session is None:
            return None
        (shop,) = self._read(queries.BOOTH_SHOP, tenant=tenant, booth=booth)
        of = {"tenant": tenant, "session_id": session.id}
        return read_bill(session, shop["currency"], self._read(queries.BILL_LINES, **of), self._read(ITEMS, **of))

    async def receipts(
        self, tenant: str, shop: str, *, limit: int, before: int | None, since_ms: int, until_ms: int
    ) -> list[Receipt]:
        of = {"tenant": tenant, "shop": shop, "limit": limit, "before": 2**63 - 1 if before is None else before}
        return [
            read_receipt(row["receipt"]) for row in self._read(RECEIPTS, **of, since_ms=since_ms, until_ms=until_ms)
        ]

    async def receipt(self, tenant: str, shop: str, number: int) -> Receipt | None:
        found = self._read(RECEIPT, tenant=tenant, shop=shop, number=number)
        return read_receipt(found[0]["receipt"]) if found else None

    def unpaid_sessions(self) -> list[tuple[BoothSession, int]]:
        return [(rows.booth_session(row), row["talked_ms"]) for row in self._read(queries.UNPAID_SESSIONS)]

    def accounts(self) -> list[tuple[str, AccountState]]:
        found = [*self._read(queries.PARTY_ACCOUNTS), *self._read(queries.SESSION_ACCOUNTS)]
        return [(row["tenant"], rows.account_state(row)) for row in found]

    def limits(self) -> KeptLimits:
        return KeptLimits(
            stands=[(row["tenant"], limits.stand_of(row)) for row in self._read(limits.STANDS)],
            called=[(row["tenant"], row["shop"], row["digits"], row["at_ms"]) for row in self._read(limits.CALLED)],
            alerts={row["tenant"]: (row["last"], row["open"]) for row in self._read(limits.ALERT_STATE)},
            unhealed=[(row["tenant"], limits.alert_of(row)) for row in self._read(limits.UNHEALED)],
        )

    def recent_calls(self, tenant: str, since_ms: int) -> Iterable[PastCall]:
        return limits.past_calls(self._read(limits.RECENT, tenant=tenant, since_ms=since_ms))

    async def recently_called(self, tenant: str, since_ms: int) -> list[PastCall]:
        return list(self.recent_calls(tenant, since_ms))

    def alerts(self) -> list[Alert]:
        """Every alert of every tenant, the oldest first."""
        found = self.connection.execute("SELECT * FROM alerts ORDER BY tenant, id").fetchall()
        return [limits.alert_of(row) for row in found]

    def bindings(self) -> list[Kept]:
        return [bindings.kept(row) for row in self._read(bindings.ALL)]

    def farewells(self) -> list[Owed]:
        return [farewells.owed(row) for row in self._read(farewells.ALL)]

    def dead_calls(self, process: str) -> list[tuple[LiveCall, int | None]]:
        found = self._read(queries.DEAD_CALLS, process=process)
        return [(rows.live_call(row), row["mono_ms"]) for row in found]

    async def ask(self, tenant: str, question: Callable[[sqlite3.Connection, str], Result]) -> Result:
        return question(self.connection, tenant)

    def world(self, tenant: str) -> World:
        """A tenant's world as it is in the database."""
        return read_world(self.connection, tenant)

    async def with_world(
        self, tenant: str, decks: Sequence[RateDeck], use: Callable[[World, History], Result]
    ) -> Result:
        assert decks == self.world(tenant).decks
        return use(self.world(tenant), read_history(self.connection, tenant))

    async def apply_world(
        self, tenant: str, plan: Plan, history: History | None, *, author: str, at_ms: int
    ) -> Applied:
        assert tenant == plan.after.tenant
        return await self.commit(WorldApplied(plan=plan, history=history, author=author, at_ms=at_ms))

    def version(self, session_id: int) -> int:
        """The version of a booth session's bill."""
        ((version,),) = self._read(queries.SESSION_VERSION, tenant=TENANT, session_id=session_id)
        return int(version)

    def count(self, table: str) -> int:
        return int(self.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def _read(self, query: Any, **values: object) -> list[sqlite3.Row]:
        found: list[sqlite3.Row] = query.run(self.connection, values).fetchall()
        return found


class Names:
    """DNS in virtual time: the resolver's double, which keeps, orders and shuns as that does and asks a zone.

    What is not known yet is told after `delay_s`, or, while DNS is `dead`, after `WAIT_S`.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.zone: dict[tuple[str, str], tuple[Srv | str, ...]] = {}
        self.answers = Answers()
        self.shunned = Shunned()
        self.ttl_s = 60.0
        self.delay_s = 0.1
        self.dead = False
        self.asked = 0

    def find(self, wanted: Wanted, now: float, then: Then) -> None:
        questions: list[Question] = []

        def fresh(question: Question) -> Records | None:
            questions.append(question)
            return self.answers.fresh(question, now)

        found = plan(wanted, fresh, lambda _below: 0, families=(4,))
        if not found.questions:
            is_old = any(map(self.answers.is_old, questions))
            then(replace(found, targets=self.shunned.last(found.targets, now), is_old=is_old), now)
        else:
            tell = partial(self._give_up if self.dead else self._answer, found.questions, wanted, then)
            self.network.at(now + (WAIT_S if self.dead else self.delay_s), tell)

    def _answer(self, questions: Iterable[Question], wanted: Wanted, then: Then) -> None:
        now = self.network.now
        self.asked += 1
        for question in questions:
            self.answers.answered(question, self.zone.get((question.name, question.kind), ()), self.ttl_s, now)
        self.find(wanted, now, then)

    def _give_up(self, questions: Iterable[Question], wanted: Wanted, then: Then) -> None:
        now = self.network.now
        for question in questions:
            self.answers.failed(question, now)
        found = plan(wanted, lambda question: self.answers.any(question, now) or (), lambda _below: 0, families=(4,))
        then(replace(found, is_old=True), now)

    def shun(self, way: Way, now: float, for_s: float | None = None) -> None:
        self.shunned.add(way, now, SHUN_S if for_s is None else for_s)


class SwitchPeer(Peer):
    """The switch at its address, and the endpoint's double: it has its `turn` and its addresses, and no socket."""

    def __init__(
        self,
        network: Network,
        store: Store | MemoryStore,
        *,
        process: str = "run-1",
        max_calls: int = 100,
        keepalive_s: int = 0,
        worlds: Sequence[World] = (WORLD,),
        manners: Manners | None = None,
    ) -> None:
        super().__init__(network, SWITCH, ours=self._is_ours, manners=manners)
        self.facts: list[Fact] = []
        self.resolver = Names(network)
        numbers = itertools.count()
        self.switch = Switch(
            directory=Directory(worlds, default_realm="sipshop"),
            store=cast("Store", store),  # a double of the IO boundary, where it is one
            agent=self.agent,
            options=Options(process=process, max_calls=max_calls, max_call_s=7200, keepalive_s=keepalive_s),
            random=lambda size: hashlib.sha256(f"{process} {next(numbers)}".encode()).digest()[:size],
            on_fact=[self.facts.append],
            utc_ms=lambda: NOON_MS + round(network.now * 1000),
            clock=lambda: network.now,
        )

    def _is_ours(self, call_id: str, tag: str) -> bool:
        return self.switch.is_ours(call_id, tag)

    def begin(self) -> None:
        self.switch.begin(cast("Endpoint", self))  # see above

    @property
    def local(self) -> Address:
        return self.address

    def local_for(self, _transport: str, _remote_host: str) -> Address:
        return self.address

    def find(self, wanted: Wanted, now: float, then: Then) -> None:
        def told(found: FoundPlan, at_s: float) -> None:
            then(found, at_s)
            self.work(at_s)

        self.resolver.find(wanted, now, told)

    @contextmanager
    def turn(self) -> Iterator[float]:
        yield self.network.now
        self.work(self.network.now)

    def tap(self, heard: Tap | None) -> None:
        self.network.tap(self.address, heard)

    def handle(self, output: Output, now: float) -> None:
        self.switch.handle(output, now)

    def told(self, kind: type[Fact]) -> list[Fact]:
        return [fact for fact in self.facts if isinstance(fact, kind)]

    @property
    def refusals(self) -> list[tuple[int, str]]:
        return [(fact.status, fact.cause) for fact in self.facts if isinstance(fact, RequestRefused)]

    def leftovers(self) -> dict[str, int]:
        """The tables that are not empty, but for those that last."""
        return {
            name: size for name, size in self.switch.tables().items() if size and name not in {"nonces", "bindings"}
        }


class House:
    """Phone, switch and two carriers on one network; `phone` is that of booth `gate`, which proves itself by its IP."""

    def __init__(
        self,
        store: Callable[[Network, Sequence[World]], Store | MemoryStore] = MemoryStore,
        *,
        max_calls: int = 100,
        keepalive_s: int = 0,
        world: World = WORLD,
        more: Sequence[World] = (),
        manners: Manners | None = None,
        peers: Manners | None = None,
    ) -> None:
        self.network = Network()
        self.worlds = (world, *more)
        self.store = store(self.network, self.worlds)
        self.keepalive_s = keepalive_s
        self.switch_peer = self._process("run-1", max_calls, manners)
        self.phone = Phone(self.network, GATE, user="gate", manners=peers)
        self.carrier = Phone(self.network, CARRIER_ONE, user="one", manners=peers)
        self.second = Phone(self.network, CARRIER_TWO, user="two")
        self.switch_peer.begin()

    @property
    def switch(self) -> Switch:
        return self.switch_peer.switch

    @property
    def memory(self) -> MemoryStore:
        assert isinstance(self.store, MemoryStore)
        return self.store

    @property
    def phones(self) -> tuple[Phone, ...]:
        return self.phone, self.carrier, self.second

    def _process(self, process: str, max_calls: int = 100, manners: Manners | None = None) -> SwitchPeer:
        return SwitchPeer(
            self.network,
            self.store,
            process=process,
            max_calls=max_calls,
            keepalive_s=self.keepalive_s,
            worlds=self.worlds,
            manners=manners,
        )

    def restart(self, *, process: str = "run-2") -> SwitchPeer:
        """The process dies at once, and another one starts on the same database."""
        self.network.leave(self.switch_peer)
        if isinstance(self.store, MemoryStore):
            self.store.die()
        self.switch_peer = self._process(process)
        self.switch_peer.begin()
        return self.switch_peer

    # in virtual time alone

    def advance(self, seconds: float = 0.25) -> None:
        self.network.advance(seconds)

    def unlock(self, booth: str = "gate") -> None:
        at_once(self.switch.desk.unlock(TENANT, booth, "ana"))

    def calling(self, number: str = BERLIN, *, content: Content | None = OFFER) -> tuple[OutgoingLeg, IncomingLeg]:
        leg = self.phone.call(SWITCH, number, content=content)
        self.advance()
        return leg, self.carrier.incoming

    def talking(self, number: str = BERLIN) -> tuple[OutgoingLeg, IncomingLeg]:
        leg, incoming = self.calling(number)
        self.carrier.ring(incoming)
        self.advance()
        self.carrier.answer(incoming)
        self.advance()
        return leg, incoming

    def forget(self, *, dead: Collection[Phone] = ()) -> None:
        """Everybody who lives hangs up, and after long enough nobody remembers anything."""
        alive = [phone for phone in self.phones if phone not in dead]
        for phone in alive:
            for leg in phone.legs:
                if isinstance(leg, OutgoingLeg):
                    phone.give_up(leg)
                elif leg.state is State.OFFERED and isinstance(leg, IncomingLeg):
                    phone.reject(leg, 480)
                phone.hang_up(leg)
        self.advance(FORGETTING_S)
        assert self.switch_peer.leftovers() == {}
        for phone in alive:
            assert not any(phone.agent.tables().values()), (phone.user, phone.agent.tables())

    @property
    def caller_side(self) -> list[str]:
        return self.network.between(self.phone, self.switch_peer)

    @property
    def carrier_side(self) -> list[str]:
        return self.network.between(self.switch_peer, self.carrier)

    @property
    def cdr(self) -> Cdr:
        (cdr,) = self.memory.cdrs
        return cdr


class BoothPhone(Phone):
    """A phone that answers challenges with a password."""

    def __init__(self, network: Network, address: Address, *, user: str = "booth1", password: str = "secret") -> None:
        super().__init__(network, address, user=user)
        self.password = password
        self._cseq = 0

    def credentials(self, challenge: str, method: str, uri: str, *, nc: int = 1) -> tuple[str, str]:
        value = answer(challenge, user=self.user, password=self.password, method=method, uri=uri, cnonce="c", nc=nc)
        return ("authorization", value)

    def challenge(self) -> str:
        """The last challenge that came."""
        for datagram in reversed(self.network.log):
            if datagram.destination == self.address and datagram.message.get("www-authenticate"):
                return datagram.message.get("www-authenticate") or ""
        raise AssertionError("no challenge came")

    def call_with_password(self, number: str = BERLIN, *, nc: int = 1) -> OutgoingLeg:
        uri = f"sip:{number}@{SWITCH[0]}:{SWITCH[1]}"
        return self.call(SWITCH, number, headers=[self.credentials(self.challenge(), "INVITE", uri, nc=nc)])

    def registration(
        self, headers: Iterable[tuple[str, str]] = (), *, user: str | None = None, expires_s: int = 600
    ) -> Request:
        """The next REGISTER, not sent yet."""
        self._cseq += 1
        aor = f"<sip:{user or self.user}@{SWITCH[0]}>"
        fields = [
            ("via", self.agent.via(self.flow_to(SWITCH, self.transport))),
            ("max-forwards", "70"),
            ("from", f"{aor};tag=r"),
            ("to", aor),
            ("call-id", f"register@{self.address[0]}"),
            ("cseq", f"{self._cseq} REGISTER"),
            ("contact", f"<sip:{self.user}@{self.address[0]}:{self.address[1]}>"),
            ("expires", str(expires_s)),
            *headers,
        ]
        return Request("REGISTER", f"sip:{SWITCH[0]}", fields)

    def register(
        self, headers: Iterable[tuple[str, str]] = (), *, user: str | None = None, expires_s: int = 600
    ) -> Recorder:
        return self.send(self.registration(headers, user=user, expires_s=expires_s), SWITCH)


class Disk:
    """Opens connections for a store, and can have SQLite refuse every write on them."""

    def __init__(self, *, broken: bool = False) -> None:
        self._connections: list[sqlite3.Connection] = []
        self.broken = broken

    def connect(self, path: Path) -> sqlite3.Connection:
        connection = connect_writer(path)
        self._connections.append(connection)
        self._obey()
        return connection

    def fail(self) -> None:
        self.broken = True
        self._obey()

    def heal(self) -> None:
        """From the next connection on."""
        self.broken = False

    def _obey(self) -> None:
        if self.broken:
            self._connections[-1].execute("PRAGMA query_only=ON")


class DiskHouse(House):
    """The same over a real store, whose journal runs on its own thread while virtual time stands still."""

    def __init__(self, store: Store, disk: Disk, *, max_calls: int = 100) -> None:
        self._disk = store
        self.disk = disk
        store.start(asyncio.get_running_loop())
        super().__init__(lambda _network, _worlds: store, max_calls=max_calls)
        self.booth = BoothPhone(self.network, BOOTH)

    async def cdrs(self) -> list[dict[str, Any]]:
        await self.written()
        return await self.switch.desk.cdrs(TENANT, 100)

    async def dial(
        self, number: str = BERLIN, *, content: Content | None = OFFER
    ) -> tuple[OutgoingLeg, IncomingLeg | None]:
        """Booth `gate` dials; its leg, and the carrier's where the call went so far."""
        leg = self.phone.call(SWITCH, number, content=content)
        await self.run()
        calls = [leg for leg in self.carrier.legs if isinstance(leg, IncomingLeg)]
        return leg, calls[-1] if calls else None

    async def talk(self, number: str = BERLIN) -> tuple[OutgoingLeg, IncomingLeg]:
        leg, incoming = await self.dial(number)
        assert incoming is not None
        self.carrier.answer(incoming)
        await self.run()
        assert leg.state is State.CONFIRMED
        return leg, incoming

    async def run(self, seconds: float = 0.25) -> None:
        """Let virtual time pass, and the disk have its time whenever something is to be written."""
        until_s = self.network.now + seconds
        await self.written()
        while self.network.step(until_s):
            await self.written()

    async def written(self) -> None:
        """Wait until everything that was submitted is on the disk and was told."""
        self._disk.flush()
        async with asyncio.timeout(10):
            while self._disk.pending:  # noqa: ASYNC110  # the journal tells by the loop's turns, and by nothing else
                await asyncio.sleep(0)
