"""A BYE that is owed: whoever owns the calls may want it kept until it was answered, so that it outlives him.

A dialog whose BYE was lost with the process that sent it would stay up at the peer. A 2xx that nobody wants is
acknowledged only when its BYE is kept: until then the peer repeats it, to whichever process runs.
"""

from __future__ import annotations

from collections.abc import Callable

from sipshop.sip.dialog import Dialog
from sipshop.sip.message import Response
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
