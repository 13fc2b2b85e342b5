"""The tiles of booths as all boards show them: worded once in each language, however many look on.

A tile is kept for as long as nothing happens in its booth, and for a moment at most: boards tell what happened one
after the other, so that no call has to wait for all of them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from sipshop.console.events import Hub
from sipshop.console.floor import Floor
from sipshop.console.pages.tiles import tile
from sipshop.console.pages.words import Words

#: How long a tile is told as it was worded, with its age: all boards tell what happened within less.
KEPT_S: Final = 0.2
#: So many are kept at most: those of all shops that are looked at, in every language.
MAX_KEPT: Final = 5000
#: So many are worded in a turn, where all are.
AT_A_TIME: Final = 4


@dataclass(frozen=True, slots=True)
class Tile:
    """A booth's tile as JSON but for its end, and when it was worded; `runs` where it has a call with figures."""

    booth: str
    text: str
    worded_s: float
    changes: int
    runs: bool

    def told(self, now_s: float) -> str:
        """The tile as JSON, with how old it is."""
        return f'{self.text},"age":{round(max(0.0, now_s - self.worded_s) * 1000)}}}'


class Wall:
    """The tiles of every shop; `clock` is the one that streams have."""

    def __init__(self, floor: Floor, hub: Hub, clock: Callable[[], float]) -> None:
        self._floor = floor
        self._hub = hub
        self._kept: dict[tuple[str, str, str], Tile] = {}
        self.clock = clock

    def tiles(self, tenant: str, shop: str, booths: Iterable[str], words: Words) -> Iterator[Tile]:
        """These booths of a shop; those that it has not are left out."""
        for booth in booths:
            changes, key = self._hub.changes(tenant, booth), (tenant, booth, words.language)
            kept = self._kept.get(key)
            if kept is None or kept.changes != changes or self.clock() - kept.worded_s >= KEPT_S:
                kept = self._word(tenant, shop, booth, words, changes)
            if kept is not None:
                yield kept

    async def all_tiles(self, tenant: str, shop: str, words: Words) -> AsyncGenerator[Tile]:
        """Every booth of a shop, in the order of its world; calls go on in between."""
        names = self._floor.booths(tenant, shop)
        for place in range(0, len(names), AT_A_TIME):
            for each in self.tiles(tenant, shop, names[place : place + AT_A_TIME], words):
                yield each
            await asyncio.sleep(0)

    def _word(self, tenant: str, shop: str, booth: str, words: Words, changes: int) -> Tile | None:
        now_s = self.clock()
        for card in self._floor.cards(tenant, shop, (booth,)):
            found = tile(card, words)
            text = json.dumps(found, separators=(",", ":"))[:-1]
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            kept = Tile(booth, text, now_s, changes, found["talk"] is not None)
            self._kept[tenant, booth, words.language] = kept
            return kept
        return None
