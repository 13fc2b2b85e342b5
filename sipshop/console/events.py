"""What happens, pushed to whoever listens: calls and registrations as they come, booths and balances as they are.

Facts wake the listeners. Calls are told one by one, from a queue that is bounded: who reads too slowly is told how many
he missed. Booths and balances are read when they are sent and are sent only if they changed: a listener that is slow
gets the last state, and nothing piles up.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from pydantic import BaseModel

from sipshop.billing.cdr import utc_text
from sipshop.billing.errors import UnknownParty
from sipshop.console.scope import Scope, World
from sipshop.console.tokens import Identity
from sipshop.console.views import BoothView, PartyView
from sipshop.facts import (
    BoothChanged,
    CallAnswered,
    CallAttempted,
    CallEnded,
    CallRang,
    Fact,
    PartyChanged,
    RegistrationChanged,
)
from sipshop.switch import BoothStatus, CommandRefused, PartyStatus, UnknownShop

#: Who opens more streams than this in all is told to come back later.
MAX_LISTENERS: Final = 100
#: What waits for a listener that does not read.
MAX_WAITING: Final = 1000
#: What happens within this time is told together: states are read once for all of it.
GATHER_S: Final = 0.25
#: A stream in which nothing happens shows this often that it is there, and looks whether its token still is.
PING_S: Final = 15.0

MEDIA_TYPE: Final = "text/event-stream"
KINDS: Final = {
    "call": "a call was attempted, rang, was answered or ended; `state` says which",
    "registration": "a booth's phones came or went; `phones` is how many there are",
    "booth": "a booth as it is now, as in /booths; the stream begins with each",
    "balance": "a party as it is now, as in /parties; the stream begins with each",
    "missed": "the reader was too slow: `events` calls and registrations were left out",
}

_Told = CallAttempted | CallRang | CallAnswered | CallEnded | RegistrationChanged


class States(World, Protocol):
    """Where the state of booths and parties is read."""

    def booths(self, tenant: str) -> list[BoothStatus]:
        """Every booth as it is now."""
        ...

    def parties(self, tenant: str) -> list[PartyStatus]:
        """Every party as it is now."""
        ...

    def chain(self, tenant: str, shop: str) -> tuple[str, ...]:
        """A shop's owner and everybody above him; raises `UnknownShop`."""
        ...


class Listener:
    """One stream's share of what happens, in one tenant."""

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.waiting: deque[_Told] = deque()
        self.missed = 0
        self.booths: dict[str, None] = {}
        self.shops: dict[str, None] = {}  # whose chain's balances may have moved
        self.parties: dict[str, None] = {}  # changed with all below them
        self.woken = asyncio.Event()
        self.is_closed = False

    def hear(self, fact: Fact) -> None:
        """Note a fact of this tenant, and wake the stream."""
        match fact:
            case CallAttempted() | CallRang() | CallAnswered() | CallEnded() | RegistrationChanged():
                if fact.tenant != self.tenant:
                    return
                self._queue(fact)
                self.booths[fact.booth] = None
                self.shops[fact.shop] = None
            case BoothChanged(tenant=tenant, booth=booth) if tenant == self.tenant:
                self.booths[booth] = None
            case PartyChanged(tenant=tenant, party=party) if tenant == self.tenant:
                self.parties[party] = None
            case _:
                return
        self.woken.set()

    def _queue(self, fact: _Told) -> None:
        if len(self.waiting) == MAX_WAITING:
            self.waiting.popleft()
            self.missed += 1
        self.waiting.append(fact)

    def close(self) -> None:
        """End the stream."""
        self.is_closed = True
        self.woken.set()


class Hub:
    """Every listener; costs next to nothing while there is none."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._is_closed = False

    def publish(self, fact: Fact) -> None:
        """Let every listener hear of a fact."""
        for listener in self._listeners:
            listener.hear(fact)

    @contextmanager
    def listening(self, tenant: str) -> Iterator[Listener]:
        """A listener for as long as the block runs; raises `CommandRefused` where there are too many."""
        self.check_room()
        listener = Listener(tenant)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def check_room(self) -> None:
        """Raise `CommandRefused` where there can be no more listeners."""
        if self._is_closed:
            raise CommandRefused("the switch goes down")
        if len(self._listeners) >= MAX_LISTENERS:
            raise CommandRefused(f"{MAX_LISTENERS} streams of events are open already")

    def close(self) -> None:
        """End every stream and begin no other: a server that stops waits for its streams."""
        self._is_closed = True
        for listener in self._listeners:
            listener.close()


async def stream(
    hub: Hub,
    identity: Identity,
    states: States,
    is_valid: Callable[[], bool],
    *,
    gather_s: float = GATHER_S,
    ping_s: float = PING_S,
) -> AsyncGenerator[str]:
    """The events that an identity may see, as text/event-stream, until its token is not valid or the hub is closed."""
    with hub.listening(identity.tenant) as listener:
        teller = Teller(identity, states)
        listener.booths = dict.fromkeys(status.booth for status in states.booths(identity.tenant))
        listener.parties = dict.fromkeys(status.party for status in states.parties(identity.tenant))
        yield "retry: 3000\n\n"
        while not listener.is_closed and is_valid():
            listener.woken.clear()
            for event in teller.tell(listener):
                yield event
            await asyncio.sleep(gather_s)
            try:
                async with asyncio.timeout(ping_s):
                    await listener.woken.wait()
            except TimeoutError:
                yield ": nothing happened\n\n"


class Teller:
    """Words what a listener heard, within what an identity may see."""

    def __init__(self, identity: Identity, states: States) -> None:
        self._identity = identity
        self._states = states
        self._told: dict[tuple[str, str], str] = {}  # the last state of each booth and party

    def tell(self, listener: Listener) -> Iterator[str]:
        """Give the events since the last time, calls first, and empty the listener."""
        try:
            scope = Scope.of(self._identity, self._states)
        except UnknownParty:
            listener.close()  # the party is gone, and its token with it
            return
        if listener.missed:
            yield _event("missed", {"events": listener.missed})
            listener.missed = 0
        while listener.waiting:
            fact = listener.waiting.popleft()
            if fact.shop in scope.reach.shops:
                yield _event(*_worded(fact, scope))
        parties, booths = self._dirty(listener, scope)
        for listed in (listener.booths, listener.shops, listener.parties):
            listed.clear()
        yield from self._changed("booth", "booth", map(BoothView.of, booths))
        yield from self._changed("balance", "party", map(PartyView.of, parties))

    def _dirty(self, listener: Listener, scope: Scope) -> tuple[list[PartyStatus], list[BoothStatus]]:
        """The parties and booths that may have changed, as they are now."""
        tenant, reach = listener.tenant, scope.reach
        parties, shops = set(listener.parties), set[str]()
        for party in listener.parties:
            try:
                below = self._states.reach(tenant, party)
            except UnknownParty:
                continue
            parties |= below.parties
            shops |= below.shops
        for shop in listener.shops:
            try:
                parties |= set(self._states.chain(tenant, shop))
            except UnknownShop:
                continue
        if shops or len(listener.booths) > 1:
            seen = [status for status in self._states.booths(tenant) if status.shop in reach.shops]
            booths = [status for status in seen if status.shop in shops or status.booth in listener.booths]
        else:
            one = [self._states.booth(tenant, booth) for booth in listener.booths]
            booths = [status for status in one if status.shop in reach.shops]
        return [self._states.party(tenant, name) for name in sorted(parties & reach.parties)], booths

    def _changed(self, kind: str, key: str, views: Iterator[BaseModel]) -> Iterator[str]:
        for view in views:
            data = view.model_dump(mode="json")
            told = _event(kind, data)
            if self._told.get((kind, data[key])) != told:
                self._told[kind, data[key]] = told
                yield told


def _worded(fact: _Told, scope: Scope) -> tuple[str, dict[str, Any]]:
    """The kind of an event, and its data."""
    where = {"shop": fact.shop, "booth": fact.booth}
    match fact:
        case RegistrationChanged(bindings=phones):
            return "registration", where | {"phones": phones}
        case CallAttempted():
            more: dict[str, Any] = {"state": "attempted", "kind": fact.kind, "at": utc_text(fact.at_ms)}
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


def _event(kind: str, data: dict[str, Any]) -> str:
    """One event; JSON has no line feeds of its own, so it is one line whatever a caller has dialled."""
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"
