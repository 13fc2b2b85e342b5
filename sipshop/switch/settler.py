"""Writes CDRs, again and again if need be, and knows which calls have none on disk yet (IO)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

from sipshop.billing.cdr import Cdr
from sipshop.sip.timers import Timer, Timers
from sipshop.store import CallSettled, Owed, Store

log: Final = logging.getLogger("sipshop.switch")

#: How long a CDR that could not be written waits before it is tried again.
RETRY_S: Final = 1.0
#: How many CDRs of unanswered calls are kept for a disk that cannot be written; those of answered calls are all kept.
MOST_UNWRITTEN: Final = 10_000

BoothKey = tuple[str, str]
"""(tenant, booth)"""


class Settler:
    """The way of every CDR to the disk.

    A call of a booth session is `expect`ed from its admission, so that its bill is not closed before its CDR is there.
    """

    def __init__(self, store: Store, timers: Timers, turn: Callable[[], AbstractContextManager[float]]) -> None:
        self._store = store
        self._timers = timers
        self._turn = turn
        self._unsettled: dict[BoothKey, set[str]] = {}
        self._unwritten: list[tuple[CallSettled, Callable[[], None]]] = []
        self._retry: Timer | None = None
        self._empty: asyncio.Event | None = None

    @property
    def unsettled(self) -> int:
        """Calls of booth sessions without a CDR on disk, those that are still going on included."""
        return sum(map(len, self._unsettled.values()))

    @property
    def unwritten(self) -> int:
        """CDRs that could not be written and wait to be tried again."""
        return len(self._unwritten)

    def unsettled_of(self, booth: BoothKey) -> int:
        """The same of one booth."""
        return len(self._unsettled.get(booth, ()))

    def expect(self, booth: BoothKey, call_id: str) -> None:
        """A call of a booth session has begun, or was found: its CDR is to come."""
        self._unsettled.setdefault(booth, set()).add(call_id)

    def write(self, cdr: Cdr, owed: tuple[Owed, ...] = (), written: Callable[[], None] = lambda: None) -> None:
        """Have a CDR written with the BYEs that are owed; `written` is called when it is on disk, however late."""
        self._submit(CallSettled(cdr, owed), written)

    async def drain(self, limit_s: float) -> int:
        """Wait until every CDR is on disk, but no longer than that; how many calls have none then."""
        self._empty = asyncio.Event()
        self._tell_empty()
        try:
            async with asyncio.timeout(limit_s):
                await self._empty.wait()
        except TimeoutError:
            pass  # the caller learns by the count
        return self.unsettled

    def _submit(self, settled: CallSettled, written: Callable[[], None]) -> None:
        self._store.submit(settled, partial(self._answered, settled, written))

    def _answered(self, settled: CallSettled, written: Callable[[], None], result: object) -> None:
        if isinstance(result, Exception):
            self._keep(settled, written, result)
            return
        cdr = settled.cdr
        key = cdr.tenant, cdr.booth
        waiting = self._unsettled.get(key)
        if waiting is not None:
            waiting.discard(cdr.call_id)
            if not waiting:
                del self._unsettled[key]
        written()
        self._tell_empty()

    def _keep(self, settled: CallSettled, written: Callable[[], None], why: Exception) -> None:
        cdr = settled.cdr
        if cdr.answered_at_ms is None and len(self._unwritten) >= MOST_UNWRITTEN:
            log.error("the CDR of an unanswered call is given up: %s", why, extra={"call": cdr.call_id})
            return
        self._unwritten.append((settled, written))
        if self._retry is None:
            log.error("CDRs cannot be written and wait, this one first: %s", why, extra={"call": cdr.call_id})
            with self._turn() as now:
                self._retry = self._timers.start(now + RETRY_S, self._try_again)

    def _try_again(self, now: float) -> None:
        del now
        self._retry = None
        waiting, self._unwritten = self._unwritten, []
        for settled, written in waiting:
            self._submit(settled, written)

    def _tell_empty(self) -> None:
        if self._empty is not None and not self._unsettled and not self._unwritten:
            self._empty.set()
