"""REFER (RFC 3515): what a peer wants us to call, and how we tell it what came of that.

A REFER that is taken makes a subscription of its own inside the dialog. It gets a first NOTIFY at once and a last one
with the final status, and it outlives the BYE of the peer that asked: most phones hang up right after the 202.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipshop.sip.dialog import Dialog
from sipshop.sip.inside import Inside
from sipshop.sip.message import REASONS, MalformedMessage, Request, Response, Uri, parse_address
from sipshop.sip.replaces import Replaces, replaces_in
from sipshop.sip.transaction import ClientTransaction

if TYPE_CHECKING:
    from sipshop.sip.leg import Leg

#: How long a subscription lasts, in seconds: longer than a call is let ring at every carrier.
_EXPIRES_S: Final = 600
_SIPFRAG: Final = "message/sipfrag;version=2.0"


def refer_to(request: Request) -> tuple[Uri, Replaces | None]:
    """Whom a REFER names, and the dialog that is to be replaced.

    Raises:
        MalformedMessage: not exactly one Refer-To (section 2.4.2), or one that cannot be read, its Replaces included;
            status 416 says that it is no SIP URI.
    """
    values = request.all("refer-to")
    if len(values) != 1:
        raise MalformedMessage("REFER needs exactly one Refer-To")
    uri = parse_address(values[0]).uri
    return uri, replaces_in(uri.headers)


class Referral:
    """The subscription that a REFER has made; `number` is its CSeq, by which its events are known."""

    def __init__(self, leg: Leg, dialog: Dialog, number: int) -> None:
        self._leg = leg
        self._dialog = dialog
        self._number = number
        self._over = False

    def begin(self, now: float) -> None:
        """Say that it is being tried (section 2.4.4)."""
        self._notify(100, f"active;expires={_EXPIRES_S}", now)

    def finish(self, status: int, now: float) -> None:
        """Say what came of it, once; nothing follows (section 2.4.7)."""
        if not self._over:
            self._over = True
            self._notify(status, "terminated;reason=noresource", now)

    def give_up(self) -> None:
        """The peer wants to hear no more of it."""
        self._over = True

    def _notify(self, status: int, state: str, now: float) -> None:
        headers = [
            ("contact", self._leg.agent.contact(self._leg.agent.way(self._dialog), secure=self._dialog.secure)),
            ("event", f"refer;id={self._number}"),
            ("subscription-state", state),
            ("content-type", _SIPFRAG),
        ]
        body = f"SIP/2.0 {status} {REASONS.get(status, 'Failed')}\r\n".encode("ascii")
        _Notify(self._leg, self._dialog, self).send("NOTIFY", now, headers, body)


class _Notify(Inside):
    """A NOTIFY: whoever refuses one, or does not answer, gets no other; his call goes on (RFC 5057 section 5.1)."""

    def __init__(self, leg: Leg, dialog: Dialog, referral: Referral) -> None:
        super().__init__(leg, dialog)
        self._referral = referral

    def _hear(self, transaction: ClientTransaction, response: Response | None, now: float) -> None:
        if response is None or response.status >= 300:
            self._referral.give_up()
