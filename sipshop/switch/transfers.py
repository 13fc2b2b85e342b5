"""Blind transfers (RFC 3515): a booth has its callee talk with another number, which the booth session pays for too.

That number is a call of its own, admitted, rated and held as if the booth had dialled it. Its caller is the callee of
the first call: `Transferee` is his leg, with the verbs of a caller's. Neither call is over before both are, so each
keeps its one CDR, and what each costs is what it would have cost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from sipshop.proxy import call as calls
from sipshop.proxy.call import Command
from sipshop.sip.leg import Acknowledged, Ask, Cancelled, Content, Event, Leg, Referred, Replied
from sipshop.sip.referral import Referral
from sipshop.switch.records import Live

#: What a booth's REFER is answered that its shop does not allow, or that names what is none of ours.
REFUSED: Final = 603
Run = Callable[[Live, list[Command], float], None]


def number_of(referred: Referred, hosts: Collection[str]) -> str | None:
    """The digits that a REFER wants dialled, or None: it names another host, another method, or a call to replace."""
    uri = referred.uri
    is_plain = referred.replaces is None and (uri.params.get("method") or "INVITE").upper() == "INVITE"
    return uri.user if is_plain and uri.host.lower() in hosts else None


class Transferee:
    """The callee of `old` as the caller of the call that he is transferred into.

    Whom the booth wants him to talk with is called without an offer. His own, with the 200, is the offer of a re-INVITE
    to the transferee, whose answer goes with the ACK (RFC 3725 section 4.1): each describes his sound to the other.
    """

    offer: Final = None
    takes_reliable: Final = False
    dialog: Final = None  # his is that of the old call

    def __init__(self, old: Live, referral: Referral, run: Run) -> None:
        self.call_id: str = old.leg_a.call_id
        self._old = old
        self._referral = referral
        self._run = run
        self._new: Live | None = None
        self._ask: Ask | None = None  # our re-INVITE to him
        self._answer: Content | None = None
        self._then: Callable[[float], None] | None = None

    @property
    def is_free(self) -> bool:
        """Whether he can be told that he was answered: never before he has agreed to the offer."""
        return False

    def call(self, new: Live, now: float) -> None:
        """The other number is about to be called: from now on either call hears how the other one ends."""
        self._new, self._old.partner, new.partner = new, new, self._old
        self._run(self._old, self._old.call.hear(calls.TransferBegun(), now), now)

    def when_free(self, do: Callable[[float], None], now: float) -> None:
        """Offer him what the other number offers, and do something when he has agreed to it."""
        content = self._new_now.call.description
        if content is None:
            self._fail(now)  # an answer to no offer at all: nobody would hear anybody
            return
        self._then, self._ask = do, Ask("INVITE", content)
        self._leg.relay(self._ask, now)

    def takes(self, event: Event, now: float) -> bool:
        """Whether an event of his leg is the answer to our re-INVITE, which is nobody else's business."""
        if not isinstance(event, Replied) or event.ask is not self._ask:
            return False
        then, self._ask, self._then = self._then, None, None
        if then is not None and event.status < 300 and event.content is not None:
            self._answer = event.content
            then(now)
        else:
            self._fail(now)
        return True

    def progress(self, status: int, content: Content | None, now: float, *, reliably: bool = False) -> None:
        """He is not told how it goes: his leg is in a call."""

    def put_off_asks(self, now: float) -> None:
        """What he asks is asked in the old call."""

    def answer(self, content: Content | None, now: float) -> None:
        """He talks with the other number: the booth is let go, and both calls are charged until they end."""
        old, new = self._old, self._new_now
        self._referral.finish(200, now)
        self._run(old, old.call.hear(calls.Transferred(), now), now)
        assert new.leg_b is not None, "who answers was called"
        old.joined, new.joined = new.leg_b, self._leg
        self._run(new, new.call.hear(Acknowledged(self._answer, None), now), now)

    def reject(self, status: int, reason: str | None, headers: list[tuple[str, str]], now: float) -> None:
        """The other number cannot be had."""
        self._referral.finish(status, now)
        if self._ask is not None:
            self._leg.withdraw(self._ask, now)
            self._ask = self._then = None

    def _fail(self, now: float) -> None:
        self._run(self._new_now, self._new_now.call.hear(Cancelled(), now), now)

    @property
    def _leg(self) -> Leg:
        assert self._old.leg_b is not None, "a call that talks has leg B"
        return self._old.leg_b

    @property
    def _new_now(self) -> Live:
        assert self._new is not None, "it is called before anything comes of it"
        return self._new


def part(live: Live, run: Run, now: float) -> None:
    """A call is over: its partner hears of it, if it has one."""
    partner, live.partner = live.partner, None
    if partner is None:
        return
    partner.partner = None
    if live.joined is not None:
        run(partner, partner.call.hear(live.over or calls.Cut("the call joined with it has ended"), now), now)
    elif isinstance(live.leg_a, Transferee):
        run(partner, partner.call.hear(calls.TransferFailed(), now), now)
    else:
        run(partner, partner.call.hear(Cancelled(), now), now)
