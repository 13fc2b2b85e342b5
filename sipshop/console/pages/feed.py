"""What happens on the floor of a shop, pushed to its boards: server-sent events over the hub that all events go by.

A stream begins with every booth as it is, so whoever comes back, after a moment or a restart of the server, sees what
is. Calls that ended meanwhile are told too, from the place that he came to; where they are gone he is told that.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, Final

from sipshop.console.events import Hub, Listener
from sipshop.console.floor import Floor
from sipshop.console.pages.tiles import tile
from sipshop.console.pages.words import Words, mark, span
from sipshop.console.tokens import Identity
from sipshop.facts import CallEnded

#: What happens within this time is told together.
GATHER_S: Final = 0.04
#: A stream in which nothing happens shows this often that it is there; a page that hears nothing for long is cut off.
PING_S: Final = 5.0
#: The figures of a running call are told anew before they end.
RENEW_S: Final = 30.0


class Feed:
    """One board's share of what happens: its shop, its language, and what it was told last of each booth.

    `till` says who is on shift; nothing where that is not told.
    """

    def __init__(
        self,
        hub: Hub,
        floor: Floor,
        identity: Identity,
        shop: str,
        words: Words,
        *,
        till: Callable[[], dict[str, str]] = dict,
    ) -> None:
        self._hub = hub
        self._floor = floor
        self._identity = identity
        self._shop = shop
        self._words = words
        self._till = till
        self._told: dict[str, dict[str, Any]] = {}

    async def stream(
        self,
        is_valid: Callable[[], bool],
        clock: Callable[[], float],
        *,
        after: int | None,
        gather_s: float = GATHER_S,
        ping_s: float = PING_S,
    ) -> AsyncGenerator[str]:
        """The events as text/event-stream, until the session is not valid or the hub is closed."""
        with self._hub.listening(self._identity, after) as listener:
            renewed_s = clock()
            yield "".join(self._begin(listener))
            while not listener.is_closed and is_valid():
                listener.woken.clear()
                is_late = clock() - renewed_s >= RENEW_S
                if is_late:
                    renewed_s = clock()
                told = "".join(self._tell(listener, renew=is_late))
                if told:
                    yield told
                await asyncio.sleep(gather_s)
                try:
                    async with asyncio.timeout(ping_s):
                        await listener.woken.wait()
                except TimeoutError:
                    yield _event("ping", {}, self._hub.place(listener.tenant))

    def _begin(self, listener: Listener) -> Iterator[str]:
        """All booths as they are, and what was missed."""
        if self._hub.misses(listener):
            yield _event("missed", {"text": self._words(mark("The board was away for long. It is up to date now."))})
        yield from self._ended(listener)
        cards = self._floor.cards(listener.tenant, self._shop)
        tiles = [tile(card, self._words) for card in cards]
        self._told = {each["booth"]: each for each in tiles}
        listener.booths.clear()
        yield _event("till", self._till())
        yield _event("tiles", {"whole": True, "tiles": tiles}, listener.place)

    def _tell(self, listener: Listener, *, renew: bool) -> Iterator[str]:
        """What changed since the last time, and the figures of running calls where they have to be told anew."""
        yield from self._ended(listener)
        wanted = set(self._told) if listener.parties else set(listener.booths)
        if self._shop in listener.tills:
            yield _event("till", self._till())
        for listed in (listener.booths, listener.shops, listener.parties, listener.tills):
            listed.clear()
        if renew:
            wanted |= {booth for booth, told in self._told.items() if told["talk"] is not None}
        if not wanted:
            return
        tiles = [tile(card, self._words) for card in self._floor.cards(listener.tenant, self._shop, wanted)]
        changed = [each for each in tiles if self._told.get(each["booth"]) != each]
        self._told |= {each["booth"]: each for each in changed}
        if changed:
            yield _event("tiles", {"whole": False, "tiles": changed}, listener.place)

    def _ended(self, listener: Listener) -> Iterator[str]:
        """The calls of the shop that ended since the place that was told last."""
        for place, fact in self._hub.lately(listener.tenant).after(listener.place):
            if isinstance(fact, CallEnded) and fact.shop == self._shop:
                time = span(fact.talk_ms)
                text = (
                    self._words(mark("%(booth)s: call ended after %(time)s"), booth=fact.booth, time=time)
                    if fact.talk_ms
                    else self._words(mark("%(booth)s: no answer"), booth=fact.booth)
                )
                yield _event("ended", {"booth": fact.booth, "talked": bool(fact.talk_ms), "text": text}, place)
        listener.place = self._hub.place(listener.tenant)


def _event(kind: str, data: dict[str, Any], place: int | None = None) -> str:
    """One event; JSON has no line feeds of its own, so it is one line whatever a caller has dialled."""
    written = "" if place is None else f"id: {place}\n"
    return f"{written}event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
