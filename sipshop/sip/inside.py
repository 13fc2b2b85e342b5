"""Requests that a leg sends inside its dialog, and what their answers mean to it.

Each is sent once more with credentials where it is challenged and the leg has some. A leg without any (a phone's)
answers no challenge: whoever sent it is no trunk of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sipshop.sip.dialog import Dialog
from sipshop.sip.digest import Authorization
from sipshop.sip.events import Ask, Content
from sipshop.sip.flow import Flow
from sipshop.sip.message import Request, Response
from sipshop.sip.offer import Input as Offering
from sipshop.sip.timers import GIVE_UP_S
from sipshop.sip.transaction import ClientTransaction, Unheard

if TYPE_CHECKING:
    from sipshop.sip.leg import Leg


class Inside:
    """One request inside a dialog."""

    def __init__(self, leg: Leg, dialog: Dialog | None) -> None:
        assert dialog is not None, "a request inside a dialog needs one"
        self.leg = leg
        self.dialog = dialog
        self.withdrawn = False
        self._authorization: Authorization | None = leg.digest.begin() if leg.digest is not None else None

    def send(self, method: str, now: float, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> None:
        """Send it; what comes back is heard by the class that it is."""
        self.leg.agent.send_inside(self.dialog, method, self, now, headers=headers, body=body)

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """A response that the transaction does not absorb."""
        if response.status not in {100, 408, 481}:  # a 100 is a proxy's, and may be all that is left
            self.leg.heard_at_s = now
        if self._authorization is not None and response.status in {401, 407} and not self.withdrawn:
            request = transaction.request
            credentials = self._authorization.hear(response, request.method, request.target)
            if credentials is not None:
                self._send_again(request, transaction.flow, credentials, now)
                return
        self._hear(transaction, response, now)

    def on_no_response(self, transaction: ClientTransaction, why: str, now: float) -> None:
        """The request failed."""
        self._hear(transaction, None, now)

    def _send_again(self, request: Request, flow: Flow, credentials: list[tuple[str, str]], now: float) -> None:
        self.dialog.local_cseq += 1
        again = self.leg.agent.again(request, flow, credentials, self.dialog.local_cseq)
        self.leg.agent.transactions.request(again, flow, self, now)

    def _hear(self, transaction: ClientTransaction, response: Response | None, now: float) -> None:
        """Take a response, or None where none will come."""
        raise NotImplementedError


class Reinvite(Inside):
    """What may be a re-INVITE: it has an ACK, a CANCEL, and an end even if no final response comes."""

    def __init__(self, leg: Leg, dialog: Dialog | None, method: str) -> None:
        super().__init__(leg, dialog)
        self.method = method
        self._ack: tuple[Request, Flow] | None = None
        self._answered: Request | None = None  # that of ours which the final response is to
        self._proceeding: ClientTransaction | None = None  # a provisional response came
        self._done = False

    def cancel(self, now: float) -> None:
        """Cancel it, now or as soon as there is something to cancel (RFC 3261 section 9.1)."""
        self.withdrawn = True
        if self._proceeding is not None and self.method == "INVITE":
            self._send_cancel(self._proceeding, now)

    def wait_no_longer(self, now: float) -> None:
        """Forget it if the final response does not come soon: nothing else would end its transaction."""
        self.leg.agent.timers.start(now + GIVE_UP_S, self._abandon)

    def acknowledge(self, content: Content | None) -> None:
        """Send the ACK of its 2xx."""
        assert self._answered is not None, "what is acknowledged was answered"
        self._ack = self.leg.agent.send_ack(self.dialog, content, self._answered)

    def _send_again(self, request: Request, flow: Flow, credentials: list[tuple[str, str]], now: float) -> None:
        self._proceeding = None
        super()._send_again(request, flow, credentials, now)

    def _hear(self, transaction: ClientTransaction, response: Response | None, now: float) -> None:
        if response is None:
            self._finish()
            self._hear_final(None, now)
        elif response.status < 200:
            is_first, self._proceeding = self._proceeding is None, transaction
            if is_first and self.withdrawn and self.method == "INVITE":
                self._send_cancel(transaction, now)
        elif self._done:
            if self._ack is not None:
                self.leg.agent.send(*self._ack)
        else:
            self._finish()
            self._answered = transaction.request
            self._hear_final(response, now)

    def _hear_final(self, response: Response | None, now: float) -> None:
        raise NotImplementedError

    def _send_cancel(self, transaction: ClientTransaction, now: float) -> None:
        self.leg.agent.transactions.request(cancel_of(transaction.request), transaction.flow, Unheard(), now)
        self.wait_no_longer(now)

    def _abandon(self, now: float) -> None:
        if not self._done and self._proceeding is not None:
            self._proceeding.abandon(now)
            self._finish()
            self.leg.exchange.hear(Offering.REFUSED)

    def _finish(self) -> None:
        self._done = True
        self.leg.on_invite_done(self)


class Relay(Reinvite):
    """A request on behalf of the other leg."""

    def __init__(self, leg: Leg, dialog: Dialog, ask: Ask, method: str) -> None:
        super().__init__(leg, dialog, method)
        self.ask = ask

    def begin(self, now: float) -> None:
        """Send it."""
        headers = content_headers(self.ask.content)
        if self.method in {"INVITE", "UPDATE"}:
            headers = [*self.leg.session_headers(self.dialog), *headers]
        self.send(self.method, now, headers, self.ask.content.data if self.ask.content else b"")

    def _hear_final(self, response: Response | None, now: float) -> None:
        self.leg.on_replied(self, response, now)


class Refresh(Reinvite):
    """Our refresh of the session (RFC 4028): an UPDATE, or a re-INVITE that offers what holds already."""

    def begin(self, now: float) -> None:
        """Send it."""
        headers, body = self.leg.session_headers(self.dialog), b""
        if self.method == "INVITE":
            ours = self.leg.exchange.ours
            self.leg.exchange.hear(Offering.SENT_BARE if ours is None else Offering.SENT_OFFER, ours)
            headers, body = [*headers, *content_headers(ours)], ours.data if ours is not None else b""
        self.send(self.method, now, headers, body)

    def _hear_final(self, response: Response | None, now: float) -> None:
        leg = self.leg
        if self.method == "INVITE":
            # the answer is the one that we know: the offer was
            leg.exchange.hear(Offering.REFUSED)
            if response is not None and response.status < 300:
                self.acknowledge(None)
        if response is None or response.status in {408, 481}:
            leg.on_gone(now)
        elif response.status < 300:
            leg.on_refreshed(response, now)
        else:
            leg.on_refused_refresh(response, self.method, now)


class Probe(Inside):
    """An OPTIONS that asks only whether anybody is there: any answer but 408 and 481 says yes."""

    def begin(self, now: float) -> None:
        """Send it."""
        self.send("OPTIONS", now, [("accept", "application/sdp")])

    def _hear(self, transaction: ClientTransaction, response: Response | None, now: float) -> None:
        if response is None or response.status < 200:
            return  # the next one finds that this one was not answered
        if response.status in {408, 481}:
            self.leg.on_gone(now)
        else:
            self.leg.on_probed(now)


class Prack(Inside):
    """The acknowledgement of a reliable provisional response (RFC 3262): what it is answered changes nothing."""

    def begin(self, rack: str, content: Content | None, now: float) -> None:
        """Send it."""
        self.send("PRACK", now, [("rack", rack), *content_headers(content)], content.data if content else b"")

    def _hear(self, transaction: ClientTransaction, response: Response | None, now: float) -> None:
        """The INVITE goes on, whatever this is answered."""


class Bye(Inside):
    """Our BYE: whatever comes back, or nothing, the leg is over."""

    def begin(self, reason: str | None, now: float) -> None:
        """Send it."""
        self.send("BYE", now, [("reason", reason)] if reason else [])

    def _hear(self, transaction: ClientTransaction, response: Response | None, now: float) -> None:
        if response is None or response.status >= 200:
            self.leg.on_bye_done(response.status if response is not None else None, now)


def content_headers(content: Content | None) -> list[tuple[str, str]]:
    """The header fields of a body."""
    return [("content-type", content.type)] if content is not None else []


def cancel_of(invite: Request) -> Request:
    """The CANCEL of an INVITE: the same hop, branch, route and number (RFC 3261 section 9.1)."""
    headers = [("via", invite.get("via") or ""), ("max-forwards", "70")]
    headers += [(name, value) for name, value in invite.headers if name in {"route", "from", "to", "call-id"}]
    headers.append(("cseq", f"{invite.cseq[0]} CANCEL"))
    return Request("CANCEL", invite.target, headers)
