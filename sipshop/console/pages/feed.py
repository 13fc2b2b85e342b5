"""What happens on the floor of a shop, pushed to its boards: server-sent events over the hub that all events go by.

A stream begins with every booth as it is, so whoever comes back, after a moment or a restart of the server, sees what
is. Calls that ended meanwhile are told too, from the place that he came to; where they are gone he is told that.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Final

from sipshop.console.events import Hub, Listener
from sipshop.console.pages.wall import Tile, Wall
from sipshop.console.pages.words import Words, mark, span
from sipshop.console.tokens import Identity
from sipshop.facts import CallEnded

#: What happens within about this time is told together, by each board at another moment of it.
GATHER_S: Final = 0.04
#: A stream in which nothing happens shows this often that it is there; a page that hears nothing for long is cut off.
PING_S: Final = 5.0
#: The figures of a running call are told anew before they end.
RENEW_S: Final = 30.0

#: What spreads any number of boards evenly: the golden section.
_SPREAD: Final = 0.618034


class Feed:
    """One board's share of what happens: its shop, its language, and what it was told last of each booth.

    `till` says who is on shift; nothing where that is not told.
    """

    def __init__(
        self,
        hub: Hub,
        wall: Wall,
        identity: Identity,
        shop: str,
        words: Words,
        *,
        till: Callable[[], dict[str, str]] = dict,
    ) -> None:
        self._hub = hub
        self._wall = wall
        self._identity = identity
        self._shop = shop
        self._words = words
        self._till = till
        self._told: dict[str, Tile] = {}

    async def stream(
        self,
        is_valid: Callable[[], bool],
        *,
        after: int | None,
        gather_s: float = GATHER_S,
        ping_s: float = PING_S,
    ) -> AsyncGenerator[str]:
        """The events as text/event-stream, until the session is not valid or the hub is closed."""
        with self._hub.listening(self._identity, after, self._shop) as listener:
            gather_s *= 0.5 + self._hub.listeners * _SPREAD % 1
            yield "".join([each async for each in self._begin(listener)])
            while not listener.is_closed and is_valid():
                told = "".join(self._tell(listener))
                if told:
                    yield told
                try:
                    async with asyncio.timeout(ping_s):
                        await listener.woken.wait()
                except TimeoutError:
                    yield _event("ping", "{}", self._hub.place(listener.tenant))
                    continue
                await asyncio.sleep(gather_s)

    async def _begin(self, listener: Listener) -> AsyncGenerator[str]:
        """All booths as they are, and what was missed."""
        if self._hub.misses(listener):
            text = self._words(mark("The board was away for long. It is up to date now."))
            yield _event("missed", _json({"text": text}))
        for each in self._ended(listener):
            yield each
        listener.booths.clear()  # what happens from here on is told again, as it may have been read already
        tiles = [each async for each in self._wall.all_tiles(listener.tenant, self._shop, self._words)]
        self._told = {each.booth: each for each in tiles}
        yield _event("till", _json(self._till()))
        yield self._tiles(tiles, listener.place, is_whole=True)

    def _tell(self, listener: Listener) -> Iterator[str]:
        """What changed since the last time, and the figures of running calls where they have to be told anew."""
        listener.woken.clear()
        yield from self._ended(listener)
        now_s = self._wall.clock()
        wanted = set(self._told) if listener.parties else set(listener.booths)
        if self._shop in listener.tills:
            yield _event("till", _json(self._till()))
        wanted |= {booth for booth, told in self._told.items() if told.runs and now_s - told.worded_s >= RENEW_S}
        for listed in (listener.booths, listener.shops, listener.parties, listener.tills):
            listed.clear()
        changed = [
            each
            for each in self._wall.tiles(listener.tenant, self._shop, wanted, self._words)
            if each.booth not in self._told or self._told[each.booth].text != each.text
        ]
        self._told |= {each.booth: each for each in changed}
        if changed:
            yield self._tiles(changed, listener.place, is_whole=False)

    def _tiles(self, tiles: list[Tile], place: int, *, is_whole: bool) -> str:
        now_s = self._wall.clock()
        listed = ",".join(each.told(now_s) for each in tiles)
        return _event("tiles", f'{{"whole":{_json(is_whole)},"tiles":[{listed}]}}', place)

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
                told = {"booth": fact.booth, "talked": bool(fact.talk_ms), "text": text}
                yield _event("ended", _json(told), place)
        listener.place = self._hub.place(listener.tenant)


def _json(data: object) -> str:
    return json.dumps(data, separators=(",", ":"))


def _event(kind: str, data: str, place: int | None = None) -> str:
    """One event; JSON has no line feeds of its own, so it is one line whatever a caller has dialled."""
    written = "" if place is None else f"id: {place}\n"
    return f"{written}event: {kind}\ndata: {data}\n\n"
