"""The BYEs that we owe, and whether they were answered: what a process that dies owes, the next one sends (IO)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

from sipshop.sip.dialog import Dialog
from sipshop.sip.farewell import Then
from sipshop.sip.leg import Leg
from sipshop.sip.useragent import UserAgent
from sipshop.store import MOST_STARTS, FarewellOwed, FarewellsFound, FarewellsOver, Owed, Store

log: Final = logging.getLogger("sipshop.switch")

#: A start sends so many BYEs that were owed, then hears who calls now before it sends more.
AT_ONCE: Final = 10
BREATH_S: Final = 0.02
#: The Reason of a BYE in a dialog that an earlier process held.
RESTARTED: Final = 'SIP;cause=503;text="Restarted"'


class Farewells:
    """Dialogs that are owed a BYE. One is settled with its call's CDR, in one transaction (`of`), or kept beforehand.

    A row goes with the next `sweep` after its BYE was answered, or after the peer had its time.
    """

    def __init__(self, store: Store, agent: UserAgent, turn: Callable[[], AbstractContextManager[float]]) -> None:
        self._store = store
        self._agent = agent
        self._turn = turn
        self._open: list[Owed] = []
        agent.keep = self.keep

    def __len__(self) -> int:
        """How many are owed still."""
        return sum(not owed.is_over for owed in self._open)

    def keep(self, dialog: Dialog, then: Then, _now: float) -> Then:
        """Have it written that a dialog is owed a BYE, and go on then; a disk that cannot be written stops nobody."""

        def written(_result: object) -> None:
            with self._turn() as now:
                then(now)

        owed = self._add(dialog)
        self._store.submit(FarewellOwed(owed), written)
        return partial(_end, owed)

    def of(self, legs: Iterable[object], now: float) -> tuple[Owed, ...]:
        """What is owed to the legs of a call that is over, to be written with its CDR."""
        return tuple(self._of_leg(leg, now) for leg in legs if isinstance(leg, Leg) and leg.owes_bye)

    def _of_leg(self, leg: Leg, now: float) -> Owed:
        assert leg.dialog is not None, "a leg that owes a BYE has a dialog"
        owed = self._add(leg.dialog)
        leg.at_end(partial(_end, owed), now)
        return owed

    def end(self, dialog: Dialog, now: float) -> Owed:
        """Send BYE in a dialog that an earlier process held."""
        owed = self._add(dialog)
        self._agent.end_dialog(dialog, RESTARTED, partial(_end, owed), now)
        return owed

    def recover(self, now: float) -> None:
        """Send what an earlier process owed, some at a time, and give up what many starts have sent in vain."""
        found = self._store.farewells()
        if not found:
            return
        self._store.submit(FarewellsFound())
        left = [owed for owed in found if owed.starts < MOST_STARTS]
        given_up = len(found) - len(left)
        log.info("%d BYEs of an earlier run are sent again, %d are given up", len(left), given_up)
        self._open += left
        self._send(left, now)

    def _send(self, left: list[Owed], now: float) -> None:
        for owed in left[:AT_ONCE]:
            self._agent.end_dialog(Dialog.from_json(owed.dialog), RESTARTED, partial(_end, owed), now)
        rest = left[AT_ONCE:]
        if rest:
            self._agent.timers.start(now + BREATH_S, partial(self._send, rest))

    def sweep(self) -> None:
        """Have the rows removed of those that are over."""
        over = [owed for owed in self._open if owed.is_over]
        if not over:
            return
        self._open = [owed for owed in self._open if not owed.is_over]
        rows = tuple(owed for owed in over if owed.is_written)
        if rows:
            self._store.submit(FarewellsOver(rows), partial(self._swept, rows))

    def _swept(self, rows: tuple[Owed, ...], result: object) -> None:
        if isinstance(result, Exception):
            self._open += rows  # the next sweep finds them

    def _add(self, dialog: Dialog) -> Owed:
        owed = Owed(dialog.to_json())
        self._open.append(owed)
        return owed


def _end(owed: Owed, _now: float) -> None:
    owed.is_over = True
