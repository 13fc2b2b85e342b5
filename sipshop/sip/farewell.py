"""A BYE that is owed: whoever owns the calls may want it kept until it was answered, so that it outlives him.

A dialog whose BYE was lost with the process that sent it would stay up at the peer. A 2xx that nobody wants is
acknowledged only when its BYE is kept: until then the peer repeats it, to whichever process runs.
"""

from __future__ import annotations

from collections.abc import Callable

from sipshop.sip.dialog import Dialog
from sipshop.sip.message import Response
from sipshop.sip.timers import GIVE_UP_S, Timer, Timers
from sipshop.sip.transaction import ClientTransaction

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
    and is in the call all the same when the 2xx comes: his ACK tells so, and `send` sends another BYE.
    """

    def __init__(self, timers: Timers, send: Then, over: Then) -> None:
        self._timers = timers
        self._send = send
        self._over = over
        self._timer: Timer | None = None
        self._is_answered = False

    def begin(self, now: float) -> None:
        """Send BYE."""
        self._is_answered = False
        if self._timer is not None:
            self._timer.stop()
        self._timer = self._timers.start_lazily(now + GIVE_UP_S, self._over)
        self._send(now)

    def hear_ack(self, now: float) -> None:
        """The peer is in the dialog."""
        if self._is_answered:
            self.begin(now)

    def on_response(self, _transaction: ClientTransaction, response: Response, _now: float) -> None:
        """A response that the transaction does not absorb."""
        self._is_answered = response.status >= 200

    def on_no_response(self, _transaction: ClientTransaction, _why: str, _now: float) -> None:
        """His time is over."""
