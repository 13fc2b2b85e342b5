"""One heap of deadlines for everything that waits: transactions, dialogs and calls.

Nothing here knows what time it is; whoever does asks `deadline` and calls `tick`.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from functools import partial
from typing import Final

#: Round-trip estimate, longest interval of a repeated request, longest life of a message in the network, in seconds
#: (RFC 3261 section 17.1.1.1).
T1_S: Final = 0.5
T2_S: Final = 4.0
T4_S: Final = 5.0
#: How long one side of a transaction waits for the other before it gives up (timers B, F, H, L and M).
GIVE_UP_S: Final = 64 * T1_S
#: How late a lazy timer may be.
LAZY_S: Final = 0.5


class Timer:
    """One thing to do at `at_s`, until it is stopped or done."""

    __slots__ = ("_timers", "at_s", "fire")

    def __init__(self, at_s: float, fire: Callable[[float], object], timers: Timers) -> None:
        self.at_s = at_s
        self.fire: Callable[[float], object] | None = fire
        self._timers = timers

    def stop(self) -> None:
        """Do not fire any more; may be called twice, or after it fired."""
        if self.fire is not None:
            self.fire = None
            self._timers._running -= 1


class Timers:
    """The heap. A stopped timer stays in it until its time comes, or until the stopped outnumber the running by far.

    Lazy timers of one instant are one entry of it.
    """

    __slots__ = ("_count", "_groups", "_heap", "_running")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._groups: dict[float, list[Timer]] = {}  # lazy timers by their instant
        self._count = 0  # keeps timers of one instant in the order in which they were started
        self._running = 0

    def __len__(self) -> int:
        return self._running

    def start(self, at_s: float, fire: Callable[[float], object]) -> Timer:
        """Call `fire(now)` in the first tick at or after `at_s`."""
        if self._running * 4 < len(self._heap) > 64:
            self._heap = [entry for entry in self._heap if entry[2].fire is not None]
            heapq.heapify(self._heap)
        timer = Timer(at_s, fire, self)
        self._running += 1
        self._push(timer)
        return timer

    def start_lazily(self, at_s: float, fire: Callable[[float], object]) -> Timer:
        """Call `fire(now)` at or at most `LAZY_S` after `at_s`, together with others of that span.

        For what only forgets something: each call leaves half a dozen of these, and a wake-up of its own for each
        would cost more than the call. A stopped one is kept until its time comes, without what it would have done.
        """
        at_s = math.ceil(at_s / LAZY_S) * LAZY_S
        group = self._groups.get(at_s)
        if group is None:
            group = self._groups[at_s] = []
            self.start(at_s, partial(self._fire_group, at_s))
            self._running -= 1  # of a group, only its members count
        timer = Timer(at_s, fire, self)
        group.append(timer)
        self._running += 1
        return timer

    @property
    def deadline(self) -> float | None:
        """When the next timer fires, or None."""
        heap = self._heap
        while heap and heap[0][2].fire is None:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def tick(self, now: float) -> None:
        """Fire every timer that is due, those too that firing starts and that are due already."""
        while self._heap and self._heap[0][0] <= now:
            self._fire(heapq.heappop(self._heap)[2], now)

    def _fire(self, timer: Timer, now: float) -> None:
        fire, timer.fire = timer.fire, None
        if fire is not None:
            self._running -= 1
            fire(now)

    def _fire_group(self, at_s: float, now: float) -> None:
        self._running += 1
        group = self._groups.pop(at_s)
        group.reverse()
        try:
            while group:
                self._fire(group.pop(), now)
        finally:
            for timer in reversed(group):  # one of them failed: the others are for the next tick
                self._push(timer)

    def _push(self, timer: Timer) -> None:
        self._count += 1
        heapq.heappush(self._heap, (timer.at_s, self._count, timer))
