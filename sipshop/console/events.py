"""What happens, pushed to whoever listens: calls and registrations as they come, booths and balances as they are.

Facts wake the listeners. Calls are told one by one, from what is kept of them: who comes back is told what happened
meanwhile, or, like one who reads too slowly, that he missed something. Booths and balances are read when they are sent
and are sent only if they changed: a listener that is slow gets the last state, and nothing piles up.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from typing import Any, Final, Protocol

from pydantic import BaseModel

from sipshop.billing.cdr import utc_text
from sipshop.billing.errors import UnknownParty
from sipshop.console.scope import Scope, World
from sipshop.console.tokens import Identity
from sipshop.console.views import BoothView, PartyView
from sipshop.facts import (
    AlertEnded,
    AlertRaised,
    BoothChanged,
    CallAnswered,
    CallAttempted,
    CallEnded,
    CallRang,
    Fact,
    PartyChanged,
    RegistrationChanged,
    TillChanged,
)
from sipshop.switch import BoothStatus, CommandRefused, PartyStatus, UnknownBooth, UnknownShop, utc_ms

#: So many streams may be open in a tenant, and with one token: nobody takes all of them from the others.
MAX_LISTENERS: Final = 100
MAX_OF_TOKEN: Final = 20
#: How many calls and registrations of a tenant are kept, for who is slow or comes back.
MAX_KEPT: Final = 1000
#: What happens within this time is told together: states are read once for all of it.
GATHER_S: Final = 0.25
#: A stream in which nothing happens shows this often that it is there, and looks whether its token still is.
PING_S: Final = 15.0

MEDIA_TYPE: Final = "text/event-stream"
KINDS: Final = {
    "call": "a call was attempted, rang, was answered or ended; `state` says which",
    "registration": "a booth's phones came, went, or do not answer any more; `phones` are there, `reachable` answer",
    "booth": "a booth as it is now, as in /booths; the stream begins with each",
    "balance": "a party as it is now, as in /parties; the stream begins with each",
    "alert": "people are told of something (`state` is raised), or it has healed or somebody has taken note (ended)",
    "missed": "calls and registrations since `after` may be left out: the reader was too slow, or away for too long",
}

_Told = CallAttempted | CallRang | CallAnswered | CallEnded | RegistrationChanged | AlertRaised | AlertEnded


class States(World, Protocol):
    """Where the state of booths and parties is read."""

    def booths(self, tenant: str, shops: Collection[str]) -> list[BoothStatus]:
        """Every booth of these shops as it is now."""
        ...

    def parties(self, tenant: str, names: Collection[str]) -> list[PartyStatus]:
        """Those of these parties that are there, as they are now."""
        ...

    def chain(self, tenant: str, shop: str) -> tuple[str, ...]:
        """A shop's owner and everybody above him; raises `UnknownShop`."""
        ...


class Listener:
    """One stream's share of what happens, in one tenant; all that waits for it is bounded by the tenant's world.

    `place` is how far it has been told of calls and registrations; with a `shop` it hears of that one's booths alone.
    """

    def __init__(self, tenant: str, token: str, place: int, shop: str | None = None) -> None:
        self.tenant = tenant
        self.token = token
        self.place = place
        self.shop = shop
        self.booths: dict[str, None] = {}
        self.shops: dict[str, None] = {}  # whose chain's balances may have moved
        self.parties: dict[str, None] = {}  # changed with all below them
        self.tills: dict[str, None] = {}  # of shops
        self.woken = asyncio.Event()
        self.is_closed = False

    def hear(self, fact: _Told | BoothChanged | PartyChanged | TillChanged) -> None:
        """Note what a fact of this tenant changes, and wake the stream."""
        match fact:
            case BoothChanged(booth=booth):
                self.booths[booth] = None
            case PartyChanged(party=party):
                self.parties[party] = None
            case TillChanged(shop=shop):
                self.tills[shop] = None
            case AlertRaised() | AlertEnded():
                pass
            case _:
                self.booths[fact.booth] = None
                self.shops[fact.shop] = None
        self.woken.set()

    def is_for(self, fact: Fact) -> bool:
        """Whether a fact may be of the shop that is listened to; one that names none may be of all."""
        return self.shop is None or getattr(fact, "shop", None) in {None, self.shop}

    def close(self) -> None:
        """End the stream."""
        self.is_closed = True
        self.woken.set()


class Lately:
    """The newest calls and registrations of one tenant, kept once for all who listen, and for who comes back.

    Each has a place: its instant in microseconds (UTC), moved on where two would share one. A place tells nobody how
    much happens elsewhere, and what an earlier process told has a smaller one.
    """

    def __init__(self, now_us: int) -> None:
        self._facts: deque[tuple[int, _Told]] = deque()
        self._gone = now_us  # the newest place of what is not here any more
        self._last = now_us

    def add(self, fact: _Told, now_us: int) -> None:
        """Take a fact in, and let go of the oldest if there are too many."""
        if len(self._facts) == MAX_KEPT:
            self._gone, _ = self._facts.popleft()
        self._last = max(self._last + 1, now_us)
        self._facts.append((self._last, fact))

    def place(self, now_us: int) -> int:
        """The place of this instant: all that is here has a smaller one or this one, all that comes a greater one."""
        self._last = max(self._last, now_us)
        return self._last

    def misses(self, place: int, now_us: int) -> bool:
        """Whether something that came after a place may be gone, or the place is of another clock than ours."""
        return not self._gone <= place <= self.place(now_us)

    def after(self, place: int) -> list[tuple[int, _Told]]:
        """What came after a place, in order."""
        found = list(takewhile(lambda each: each[0] > place, reversed(self._facts)))
        found.reverse()
        return found


class Hub:
    """Every listener, and what happened lately, by tenant."""

    def __init__(self, utc_ms: Callable[[], int] = utc_ms) -> None:
        self._utc_ms = utc_ms
        self._began_us = self._now_us()
        self._lately: dict[str, Lately] = {}
        self._listeners: dict[str, set[Listener]] = {}
        self._changes: Counter[tuple[str, str]] = Counter()  # of each booth; of what is no booth's: ""
        self._is_closed = False

    def publish(self, fact: Fact) -> None:
        """Let every listener of a fact's tenant hear of it."""
        match fact:
            case (
                CallAttempted()
                | CallRang()
                | CallAnswered()
                | CallEnded()
                | RegistrationChanged()
                | AlertRaised()
                | AlertEnded()
            ):
                self.lately(fact.tenant).add(fact, self._now_us())
            case BoothChanged() | PartyChanged() | TillChanged():
                pass
            case _:
                return
        self._changes[fact.tenant, getattr(fact, "booth", "")] += 1
        for listener in self._listeners.get(fact.tenant, ()):
            if listener.is_for(fact):
                listener.hear(fact)

    def changes(self, tenant: str, booth: str) -> int:
        """A number that grows with all that may have changed a booth: what was read at the same one holds still."""
        return self._changes[tenant, ""] + self._changes[tenant, booth]

    def lately(self, tenant: str) -> Lately:
        """What happened lately in a tenant."""
        found = self._lately.get(tenant)
        if found is None:
            found = self._lately[tenant] = Lately(self._began_us)
        return found

    def place(self, tenant: str) -> int:
        """The place of this instant."""
        return self.lately(tenant).place(self._now_us())

    def misses(self, listener: Listener) -> bool:
        """Whether a listener can be told no more of something that came since it was told last."""
        return self.lately(listener.tenant).misses(listener.place, self._now_us())

    @contextmanager
    def listening(self, identity: Identity, after: int | None = None, shop: str | None = None) -> Iterator[Listener]:
        """A listener for as long as the block runs, from a place on or from now; raises `CommandRefused`: too many."""
        self.check_room(identity)
        tenant, token = identity.tenant, identity.token.sha256
        listener = Listener(tenant, token, self.place(tenant) if after is None else after, shop)
        listeners = self._listeners.setdefault(tenant, set())
        listeners.add(listener)
        try:
            yield listener
        finally:
            listeners.discard(listener)

    @property
    def listeners(self) -> int:
        """How many listen, of all tenants."""
        return sum(map(len, self._listeners.values()))

    def check_room(self, identity: Identity) -> None:
        """Raise `CommandRefused` where there can be no more listeners."""
        if self._is_closed:
            raise CommandRefused("the switch goes down")
        listeners = self._listeners.get(identity.tenant, set())
        if len(listeners) >= MAX_LISTENERS:
            raise CommandRefused(f"{MAX_LISTENERS} streams of events are open already")
        if sum(listener.token == identity.token.sha256 for listener in listeners) >= MAX_OF_TOKEN:
            raise CommandRefused(f"{MAX_OF_TOKEN} streams of events are open already with this token")

    def close(self) -> None:
        """End every stream and begin no other: a server that stops waits for its streams."""
        self._is_closed = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.close()

    def _now_us(self) -> int:
        return self._utc_ms() * 1000


async def stream(
    hub: Hub,
    identity: Identity,
    states: States,
    is_valid: Callable[[], bool],
    *,
    after: int | None = None,
    gather_s: float = GATHER_S,
    ping_s: float = PING_S,
) -> AsyncGenerator[str]:
    """The events that an identity may see, as text/event-stream, until its token is not valid or the hub is closed.

    It goes on `after` the place that an earlier stream came to. All that is told together is worded at once and sent as
    one text: a reader who is slow in taking it gets nothing that is older than the next one.
    """
    with hub.listening(identity, after) as listener:
        teller = Teller(hub, identity, states)
        listener.parties[identity.token.party] = None  # with all below it
        yield f"id: {listener.place}\nretry: 3000\n\n"
        while not listener.is_closed and is_valid():
            listener.woken.clear()
            told = "".join(teller.tell(listener))
            if told:
                yield told
            await asyncio.sleep(gather_s)
            try:
                async with asyncio.timeout(ping_s):
                    await listener.woken.wait()
            except TimeoutError:
                if not listener.woken.is_set():
                    listener.place = hub.place(listener.tenant)
                yield f": nothing happened\nid: {listener.place}\n\n"


class Teller:
    """Words what a listener heard, within what an identity may see."""

    def __init__(self, hub: Hub, identity: Identity, states: States) -> None:
        self._hub = hub
        self._identity = identity
        self._states = states
        self._told: dict[tuple[str, str], str] = {}  # the last state of each booth and party

    def tell(self, listener: Listener) -> Iterator[str]:
        """Give the events since the last time, calls first and in their order, and empty the listener."""
        try:
            scope = Scope.of(self._identity, self._states)
        except UnknownParty:
            listener.close()  # the party is gone, and its token with it
            return
        if self._hub.misses(listener):
            yield _event("missed", {"after": utc_text(listener.place // 1000)})
        for place, fact in self._hub.lately(listener.tenant).after(listener.place):
            if _is_seen(fact, scope):
                yield f"id: {place}\n{_event(*_worded(fact, scope))}"
        listener.place = self._hub.place(listener.tenant)
        parties, booths = self._dirty(listener, scope)
        for listed in (listener.booths, listener.shops, listener.parties, listener.tills):
            listed.clear()
        yield from self._changed("booth", "booth", map(BoothView.of, booths))
        yield from self._changed("balance", "party", map(PartyView.of, map(scope.seen, parties)))

    def _dirty(self, listener: Listener, scope: Scope) -> tuple[list[PartyStatus], list[BoothStatus]]:
        """The parties and booths that may have changed, as they are now; what is gone is left out."""
        tenant, parties, shops = listener.tenant, set(listener.parties), set[str]()
        for party in listener.parties:
            with suppress(UnknownParty):
                below = self._states.reach(tenant, party)
                parties |= below.parties
                shops |= below.shops
        for shop in listener.shops:
            with suppress(UnknownShop):
                parties |= set(self._states.chain(tenant, shop))
        booths = {status.booth: status for status in self._states.booths(tenant, shops & scope.reach.shops)}
        for booth in listener.booths.keys() - booths.keys():
            with suppress(UnknownBooth):
                booths[booth] = scope.booth(booth)
        return self._states.parties(tenant, parties & scope.reach.parties), list(booths.values())

    def _changed(self, kind: str, key: str, views: Iterator[BaseModel]) -> Iterator[str]:
        for view in views:
            data = view.model_dump(mode="json")
            told = _event(kind, data)
            if self._told.get((kind, data[key])) != told:
                self._told[kind, data[key]] = told
                yield told


def _is_seen(fact: _Told, scope: Scope) -> bool:
    if isinstance(fact, AlertRaised | AlertEnded):
        return scope.sees(fact.party, fact.shop)
    return fact.shop in scope.reach.shops


def _worded(fact: _Told, scope: Scope) -> tuple[str, dict[str, Any]]:
    """The kind of an event, and its data."""
    if isinstance(fact, AlertRaised | AlertEnded):
        return "alert", _alert(fact)
    where = {"shop": fact.shop, "booth": fact.booth}
    match fact:
        case RegistrationChanged(bindings=phones, reachable=reachable):
            return "registration", where | {"phones": phones, "reachable": reachable}
        case CallAttempted():
            more: dict[str, Any] = {
                "state": "attempted",
                "kind": fact.kind,
                "direction": fact.direction,
                "at": utc_text(fact.at_ms),
            }
        case CallRang():
            more = {"state": "ringing", "after_ms": fact.after_ms}
        case CallAnswered():
            more = {"state": "answered", "at": utc_text(fact.relayed_at_ms), "after_ms": fact.after_ms}
        case CallEnded():
            more = {
                "state": "ended",
                "result": fact.result,
                "sip_status": fact.sip_status,
                "hung_up_by": fact.hung_up_by,
                "talk_ms": fact.talk_ms,
            }
    if isinstance(fact, CallAnswered | CallEnded) and scope.is_provider:
        more["trunk"] = fact.trunk
    return "call", {"call_id": fact.call_id} | where | more


def _alert(fact: AlertRaised | AlertEnded) -> dict[str, Any]:
    told = {"id": fact.id, "kind": fact.kind, "place": fact.place, "name": fact.name}
    told |= {"party": fact.party, "shop": fact.shop}
    match fact:
        case AlertRaised():
            more = {"action": fact.action, "rule": fact.rule or None, "detail": fact.detail}
            return {"state": "raised"} | told | more | {"at": utc_text(fact.at_ms)}
        case AlertEnded(by=by):
            return {"state": "ended"} | told | {"acknowledged_by": by}


def _event(kind: str, data: dict[str, Any]) -> str:
    """One event; JSON has no line feeds of its own, so it is one line whatever a caller has dialled."""
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"
