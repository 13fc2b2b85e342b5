"""Transfers (RFC 3515, RFC 5589): a booth has its callee talk with somebody else, which the booth session pays for too.

That one is another number (a blind transfer), which is then a call of its own, admitted, rated and held as if the booth
had dialled it: its caller is the callee of the first call, and `Transferee` is his leg, with the verbs of a caller's.
Or the booth has called him already (with consultation): then `Consultation` joins the callees of two calls that talk.
Neither call is over before both are, so each keeps its one CDR, and what each costs is what it would have cost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Final, Protocol

from sipshop.media.sdp import NoCommonMedia
from sipshop.proxy import news
from sipshop.proxy.orders import Command
from sipshop.proxy.routing import Trunk
from sipshop.sip.course import State
from sipshop.sip.events import Acknowledged, Ask, Cancelled, Content, Replied
from sipshop.sip.leg import Leg
from sipshop.sip.message import Uri
from sipshop.sip.referral import Referral
from sipshop.sip.replaces import Replaces
from sipshop.sip.timers import Timer
from sipshop.switch.records import Live

#: What a booth's REFER is answered that its shop does not allow, or that names what is none of ours.
REFUSED: Final = 603
#: How long a callee may take to agree that he is transferred (seconds). Who has answered meanwhile costs nobody but the
#: provider: so it is no longer than a re-INVITE needs that was lost or has met another.
LIMIT_S: Final = 10.0
Run = Callable[[Live, list[Command], float], None]
#: An offer as a carrier gets it; raises `NoCommonMedia`.
Offered = Callable[[Content | None, Trunk], Content | None]


class Transfer(Protocol):
    """A transfer that is going on; both of its calls know it."""

    def parted(self, ended: Live, other: Live, now: float) -> None:
        """One of the calls is over before they were joined."""


def wants_call(uri: Uri) -> bool:
    """Whether a Refer-To asks for a call, and not for some other request."""
    return (uri.params.get("method") or "INVITE").upper() == "INVITE"


def number_of(uri: Uri, hosts: Collection[str]) -> str | None:
    """The digits that a REFER wants dialled, or None: it names another host."""
    return uri.user if uri.host.lower() in hosts else None


def refusal_to_replace(leg: Leg, replaces: Replaces) -> int | None:
    """The status by which a dialog of ours is not replaced, or None where it may be (RFC 3891 section 3).

    One that was not answered yet is replaced by whoever began it, which we never did for the one who asks.
    """
    match leg.state:
        case State.CONFIRMED | State.ANSWERED:
            return 486 if replaces.early_only else None
        case State.BYE_HELD | State.CLOSING | State.CLOSED:
            return 603
        case _:
            return 481


class OurAsk(Ask):
    """A request of ours to one of two whom a transfer joins; who sent it hears the answer, and nobody else."""

    __slots__ = ("hear",)

    def __init__(self, content: Content | None, hear: Callable[[Replied, float], None]) -> None:
        super().__init__("INVITE", content)
        self.hear = hear


class Reinvitation:
    """A re-INVITE of ours to a callee who is transferred; `then` hears his final answer, 408 where none comes in time.

    Where it meets one of his (491), both try again after a time of chance (RFC 3261 section 14.1). One that is not
    wanted any more leaves him with the description that he had before.
    """

    def __init__(self, leg: Leg, content: Content | None, then: Callable[[Replied, float], None], now: float) -> None:
        self._leg = leg
        self._before = leg.exchange.ours
        self._then: Callable[[Replied, float], None] | None = then
        self._ask = OurAsk(content, self._hear)
        self._is_wanted = True
        self._accepted: Replied | None = None
        self._again: Timer | None = None
        self._limit: Timer | None = None
        self._begin(now)

    def acknowledge(self, content: Content | None) -> None:
        """Answer the offer that his 2xx has made."""
        self._leg.acknowledge_relayed(self._ask, content)

    def drop(self, now: float) -> None:
        """Take it back, as far as it has come."""
        self._then, self._is_wanted = None, False
        if self._again is not None:
            self._rest()
        elif self._accepted is not None:
            self._take_back(now)
        elif self._limit is not None and self._ask.content is not None:
            self._rest()
            self._leg.withdraw(self._ask, now)  # else he makes an offer, which has to be answered anyway

    def _begin(self, now: float) -> None:
        self._limit = self._leg.agent.timers.start(now + LIMIT_S, self._give_up)
        self._leg.relay(self._ask, now)

    def _send_again(self, now: float) -> None:
        self._again = None
        self._leg.relay(self._ask, now)

    def _hear(self, replied: Replied, now: float) -> None:
        if replied.status == 491 and self._is_wanted and self._limit is not None:
            self._again = self._leg.agent.timers.start(now + self._leg.retry_s(), self._send_again)
            return
        self._rest()
        self._accepted = replied if replied.status < 300 else None
        if self._then is not None:
            self._then(replied, now)
        else:
            self._take_back(now)

    def _give_up(self, now: float) -> None:
        then, self._then = self._then, None
        was_sent = self._again is None
        self._is_wanted = False
        self._rest()
        if was_sent:
            self._leg.withdraw(self._ask, now)
        if then is not None:
            then(Replied(self._ask, 408 if was_sent else 491, None, late_offer=False), now)

    def _rest(self) -> None:
        for timer in (self._again, self._limit):
            if timer is not None:
                timer.stop()
        self._again = self._limit = None

    def _take_back(self, now: float) -> None:
        """If he has accepted it, have him hold what he held before."""
        accepted, self._accepted = self._accepted, None
        if accepted is None:
            return
        if accepted.late_offer:
            self.acknowledge(self._before if accepted.content is not None else None)
        elif self._ask.content is not self._before is not None:
            self._ask = OurAsk(self._before, self._hear)
            self._is_wanted = True
            self._begin(now)


class Transferee:
    """The callee of `old` as the caller of the call that he is transferred into.

    Whom the booth wants him to talk with is called without an offer. His own, with the 200, is the offer of a re-INVITE
    to the transferee, whose answer goes with the ACK (RFC 3725 section 4.1): each describes his sound to the other.
    """

    offer: Final = None
    takes_reliable: Final = False
    dialog: Final = None  # his is that of the old call

    def __init__(self, old: Live, referral: Referral, run: Run, offered: Offered) -> None:
        self.call_id: str = old.leg_a.call_id
        self._old = old
        self._referral = referral
        self._run = run
        self._offered = offered
        self._new: Live | None = None
        self._offering: Reinvitation | None = None
        self._answer: Content | None = None

    @property
    def is_free(self) -> bool:
        """Whether he can be told that he was answered: never before he has agreed to the offer."""
        return False

    def call(self, new: Live, now: float) -> None:
        """The other number is about to be called: from now on either call hears how the other one ends."""
        self._new = new
        _pair(self._old, new, self)
        self._run(self._old, self._old.call.hear(news.TransferBegun(), now), now)

    def when_free(self, do: Callable[[float], None], now: float) -> None:
        """Offer him what the other number offers, and do something when he has agreed to it."""
        try:
            content = _for(self._old, self._new_now.call.description, self._offered)
        except NoCommonMedia:
            self._fail(now)
        else:
            self._offering = Reinvitation(_callee(self._old), content, partial(self._agreed, do), now)

    def _agreed(self, do: Callable[[float], None], replied: Replied, now: float) -> None:
        if replied.status < 300 and replied.content is not None:
            self._answer = replied.content
            do(now)
        else:
            self._fail(now)

    def parted(self, ended: Live, other: Live, now: float) -> None:
        """One of the calls is over before they were joined."""
        failed = news.TransferFailed() if ended is self._new else Cancelled()
        self._run(other, other.call.hear(failed, now), now)

    def progress(self, status: int, content: Content | None, now: float, *, reliably: bool = False) -> None:
        """He is not told how it goes: his leg is in a call."""

    def put_off_asks(self, now: float) -> None:
        """What he asks is asked in the old call."""

    def answer(self, content: Content | None, now: float) -> None:
        """He talks with the other number: the booth is let go, and both calls are charged until they end."""
        self._referral.finish(200, now)
        self._run(self._old, self._old.call.hear(news.Transferred(), now), now)
        _join(self._old, self._new_now)
        self._run(self._new_now, self._new_now.call.hear(Acknowledged(self._answer, None), now), now)

    def reject(self, status: int, reason: str | None, headers: list[tuple[str, str]], now: float) -> None:
        """The other number cannot be had."""
        self._referral.finish(status, now)
        if self._offering is not None:
            self._offering.drop(now)

    def _fail(self, now: float) -> None:
        self._run(self._new_now, self._new_now.call.hear(Cancelled(), now), now)

    @property
    def _new_now(self) -> Live:
        assert self._new is not None, "it is called before anything comes of it"
        return self._new


class Consultation:
    """The callees of two calls of a booth, who are to talk with each other.

    The one whom the booth has consulted is asked for an offer, which is then offered to the other one, whose answer
    goes with the ACK (RFC 3725 section 4.1). If that fails, each has the booth as before.
    """

    def __init__(self, one: Live, consulted: Live, referral: Referral, run: Run, offered: Offered) -> None:
        self._one = one
        self._consulted = consulted
        self._referral = referral
        self._run = run
        self._offered = offered
        self._asking: Reinvitation | None = None
        self._offering: Reinvitation | None = None

    def begin(self, now: float) -> None:
        """Ask the consulted one; from now on either call hears how the other one ends."""
        _pair(self._one, self._consulted, self)
        for live in (self._one, self._consulted):
            self._run(live, live.call.hear(news.TransferBegun(), now), now)
        self._asking = Reinvitation(_callee(self._consulted), None, self._hear_offer, now)

    def parted(self, ended: Live, other: Live, now: float) -> None:
        """One of the calls is over before they were joined."""
        self._give_up(487, (other,), now)

    def _hear_offer(self, replied: Replied, now: float) -> None:
        if replied.status >= 300 or replied.content is None:
            self._fail(replied.status, now)
            return
        try:
            content = _for(self._one, replied.content, self._offered)
        except NoCommonMedia:
            self._fail(488, now)
        else:
            self._offering = Reinvitation(_callee(self._one), content, self._hear_answer, now)

    def _hear_answer(self, replied: Replied, now: float) -> None:
        if replied.status >= 300 or replied.content is None:
            self._fail(replied.status, now)
            return
        assert self._asking is not None, "who answers was offered what the other one said"
        self._asking.acknowledge(replied.content)
        self._referral.finish(200, now)
        for live in (self._one, self._consulted):
            self._run(live, live.call.hear(news.Transferred(), now), now)
        _join(self._one, self._consulted)

    def _fail(self, status: int, now: float) -> None:
        """It did not come to a join; a success without a description is a failure all the same."""
        both = self._one, self._consulted
        for live in both:
            live.partner = None
        self._give_up(status if status >= 300 else 488, both, now)

    def _give_up(self, status: int, left: Collection[Live], now: float) -> None:
        self._referral.finish(status, now)
        for sent in (self._asking, self._offering):
            if sent is not None:
                sent.drop(now)
        for live in left:
            self._run(live, live.call.hear(news.TransferFailed(), now), now)


def part(live: Live, run: Run, now: float) -> None:
    """A call is over: its partner hears of it, if it has one."""
    partner, live.partner = live.partner, None
    if partner is None:
        return
    partner.partner = None
    if live.joined is not None:
        run(partner, partner.call.hear(live.over or news.Cut("the call joined with it has ended"), now), now)
    else:
        assert live.transfer is not None, "partners that were not joined yet are about to be"
        live.transfer.parted(live, partner, now)


def _pair(one: Live, other: Live, transfer: Transfer) -> None:
    one.partner, other.partner = other, one
    one.transfer = other.transfer = transfer


def _join(one: Live, other: Live) -> None:
    one.joined, other.joined = _callee(other), _callee(one)


def _callee(live: Live) -> Leg:
    assert live.leg_b is not None, "a call that talks has leg B"
    return live.leg_b


def _for(live: Live, content: Content | None, offered: Offered) -> Content:
    """An offer as the callee of a call gets it; raises `NoCommonMedia` where there is none for him."""
    trunk = live.trunk
    fitting = offered(content, trunk) if trunk is not None else content
    if fitting is None:
        raise NoCommonMedia("the other one has said nothing of his sound")
    return fitting
