"""Which phones answer: every binding is asked by OPTIONS now and then, which keeps a NAT's door open besides.

A machine without a clock: it says whom to ask, and is told what came. A phone that misses `MISSES` questions in a row
is taken for unreachable until it answers one, or registers again. Questions are spread: a phone's first one is drawn
from the second half of an interval, and never are more than `AT_ONCE` sent together, whatever a restart brings.

>>> watch = Watch(every_s=30, pick=lambda below: 0)
>>> watch.follow(("Tel/b1", ("sip", "b1")), now=0.0)
>>> watch.deadline, watch.tick(15.0)
(15.0, [('Tel/b1', ('sip', 'b1'))])
>>> [watch.miss(("Tel/b1", ("sip", "b1"))) for _ in range(4)]
[False, False, True, False]
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sipshop.proxy.registrar import Key

#: So many questions without an answer, one after the other, and nobody is there.
MISSES: Final = 3
#: So many are asked together, and the next ones so much later: at most 200 a second, however many phones there are.
AT_ONCE: Final = 20
_PAUSE_S: Final = 0.1

Place = tuple[str, Key]
"""A binding: its address of record, and its key there."""


@dataclass(slots=True)
class Sight:
    """What was seen of a phone, on the clock of `now`: when it was heard last, how long its last answer took.

    Nothing was heard of one that an earlier process knew.
    """

    seen_at_s: float | None
    asks_at_s: float
    rtt_s: float | None = None
    misses: int = 0


class Watch:
    """The phones that are asked every `every_s`; 0 asks nobody. `pick(n)` draws a whole number below n."""

    __slots__ = ("_every_s", "_heap", "_not_before_s", "_pick", "_sights")

    def __init__(self, every_s: int, pick: Callable[[int], int]) -> None:
        self._every_s = every_s
        self._pick = pick
        self._sights: dict[Place, Sight] = {}
        self._heap: list[tuple[float, Place]] = []
        self._not_before_s = float("-inf")

    def __len__(self) -> int:
        return len(self._sights)

    def sight(self, place: Place) -> Sight | None:
        """What was seen of a phone."""
        return self._sights.get(place)

    def follow(self, place: Place, now: float, *, seen: bool = True) -> None:
        """A phone has registered, or was `seen` by an earlier process alone: it is asked from now on."""
        sight = self._sights.get(place)
        if sight is not None:
            sight.seen_at_s, sight.misses = now, 0
            return
        half_ms = self._every_s * 500
        asks_at_s = now + (half_ms + self._pick(max(1, half_ms))) / 1000
        self._sights[place] = Sight(now if seen else None, asks_at_s)
        self._queue(asks_at_s, place)

    def forget(self, place: Place) -> None:
        """A binding is gone."""
        self._sights.pop(place, None)

    @property
    def deadline(self) -> float | None:
        """When `tick` is wanted next, or None."""
        while self._heap:
            at_s, place = self._heap[0]
            sight = self._sights.get(place)
            if sight is not None and sight.asks_at_s == at_s:
                return max(at_s, self._not_before_s)
            heapq.heappop(self._heap)
        return None

    def tick(self, now: float) -> list[Place]:
        """Whom to ask now."""
        asked: list[Place] = []
        while (deadline := self.deadline) is not None and deadline <= now:
            _, place = heapq.heappop(self._heap)
            sight = self._sights[place]
            sight.asks_at_s = now + self._every_s
            self._queue(sight.asks_at_s, place)
            asked.append(place)
            if len(asked) == AT_ONCE:
                self._not_before_s = now + _PAUSE_S
        return asked

    def answer(self, place: Place, rtt_s: float, now: float) -> None:
        """A phone has answered, whatever it said."""
        sight = self._sights.get(place)
        if sight is not None:
            sight.seen_at_s, sight.rtt_s, sight.misses = now, rtt_s, 0

    def miss(self, place: Place) -> bool:
        """A phone has not answered; True where that makes it unreachable."""
        sight = self._sights.get(place)
        if sight is None:
            return False
        sight.misses += 1
        return sight.misses == MISSES

    def _queue(self, asks_at_s: float, place: Place) -> None:
        if self._every_s:
            heapq.heappush(self._heap, (asks_at_s, place))
