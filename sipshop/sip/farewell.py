"""A BYE that is owed: whoever owns the calls may want it kept until it was answered, so that it outlives him.

A dialog whose BYE was lost with the process that sent it would stay up at the peer. A 2xx that nobody wants is
acknowledged only when its BYE is kept: until then the peer repeats it, to whichever process runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sipshop.sip.dialog import Dialog
from sipshop.sip.message import Response
from sipshop.sip.timers import GIVE_UP_S, Timer, Timers
from sipshop.sip.transaction import ClientTransaction

#: So often a BYE is sent once more, with a higher number, to a peer who answers it 500.
MOST_REFUSED: Final = 3
#: So long after its answer a BYE that may have overtaken a 2xx is sent once more: no network keeps a datagram longer.
AGAIN_S: Final = 8.0

Then = Callable[[float], None]
"""Called with the time."""

Keep = Callable[[Dialog, Then, float], Then]
"""Keeps that a dialog is owed a BYE, then calls back; what it returns is called when the BYE is owed no more."""


def keep_nothing(_dialog: Dialog, then: Then, now: float) -> Then:
    """Go on at once: this is of those whose dialogs may die with them."""
    then(now)
    return _do_nothing


def _do_nothing(_now: float) -> None:
    pass


class Farewell:
    """The BYE of a dialog that no leg holds: whatever comes back, or nothing, `over` is called, once."""

    def __init__(self, over: Then = _do_nothing) -> None:
        self.over = over
        self._is_done = False

    def on_response(self, _transaction: ClientTransaction, response: Response, now: float) -> None:
        """A response that the transaction does not absorb."""
        if response.status >= 200:
            self._finish(now)

    def on_no_response(self, _transaction: ClientTransaction, _why: str, now: float) -> None:
        """The peer had its time."""
        self._finish(now)

    def _finish(self, now: float) -> None:
        if not self._is_done:
            self._is_done = True
            self.over(now)


class Ending:
    """The BYE of a dialog that an earlier process held; `over` is called after 64*T1, and not before.

    It may overtake the 2xx that made the dialog. Then the peer refuses it, or takes it for the end of an early dialog,
    and is in the call all the same when the 2xx comes: his ACK tells so, and `send` sends another BYE. That ACK may be
    lost, and no 2xx is repeated that would bring another: so one more BYE goes to everybody AGAIN_S after the answer.

    A 500 may mean that he has had a BYE with as high a number (RFC 3261 section 12.2.2): processes that died at once,
    one after the other, knew of the same last one. `send` sends each with a much higher number than the one before.
    """

    def __init__(self, timers: Timers, send: Then, over: Then) -> None:
        self._timers = timers
        self._send = send
        self._end = over
        self._over: Timer | None = None
        self._again: Timer | None = None
        self._is_answered = self._is_repeated = False
        self._refused = 0

    def begin(self, now: float) -> None:
        """Send BYE."""
        self._stop()
        self._is_answered = False
        self._over = self._timers.start_lazily(now + GIVE_UP_S, self._finish)
        self._send(now)

    def hear_ack(self, now: float) -> None:
        """The peer is in the dialog."""
        if self._is_answered:
            self.begin(now)

    def on_response(self, _transaction: ClientTransaction, response: Response, now: float) -> None:
        """A response that the transaction does not absorb."""
        if response.status == 500 and self._refused < MOST_REFUSED:
            self._refused += 1
            self._send(now)
        elif response.status >= 200:
            self._is_answered = True
            if not self._is_repeated and self._again is None:
                self._again = self._timers.start_lazily(now + AGAIN_S, self._repeat)

    def on_no_response(self, _transaction: ClientTransaction, _why: str, _now: float) -> None:
        """His time is over."""

    def _repeat(self, now: float) -> None:
        self._is_repeated, self._again = True, None
        self._send(now)

    def _finish(self, now: float) -> None:
        self._stop()
        self._end(now)

    def _stop(self) -> None:
        for timer in (self._over, self._again):
            if timer is not None:
                timer.stop()
        self._over = self._again = None
