"""Who asks for a transfer, by REFER or an INVITE that replaces a dialog, and whether he may have it (IO)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sipshop.billing.cdr import CallKind
from sipshop.facts import Fact, RequestRefused
from sipshop.proxy.admission import Admitted, Booth, Cause, Emergency, Refused, admit
from sipshop.proxy.course import State
from sipshop.proxy.routing import Trunk
from sipshop.sip.events import Ask, Referred
from sipshop.sip.flow import Flow
from sipshop.sip.leg import Leg
from sipshop.sip.message import Request
from sipshop.sip.replaces import Replaces, parse_replaces
from sipshop.sip.transaction import ServerTransaction
from sipshop.sip.useragent import UserAgent
from sipshop.switch.dialler import offered
from sipshop.switch.directory import Directory
from sipshop.switch.gate import Gate
from sipshop.switch.live import LiveCalls
from sipshop.switch.opener import Opener
from sipshop.switch.records import Live, Offer
from sipshop.switch.refusals import REFUSALS
from sipshop.switch.transfers import REFUSED, Consultation, Run, Transferee, number_of, refusal_to_replace, wants_call


class Referrals:
    """Hears what would have a dialog of ours changed for another, and begins the transfers that it allows.

    `closed` says why nobody's call is taken at this moment, `run` does what a call wants done.
    """

    def __init__(
        self,
        *,
        agent: UserAgent,
        directory: Directory,
        gate: Gate,
        calls: LiveCalls,
        opener: Opener,
        run: Run,
        closed: Callable[[Request, str], Cause | None],
        tell: Callable[[Fact], None],
    ) -> None:
        self._agent = agent
        self._directory = directory
        self._gate = gate
        self._calls = calls
        self._opener = opener
        self._run = run
        self._closed = closed
        self._tell = tell

    def hear(self, live: Live, leg: Leg, referred: Referred, now: float) -> None:
        """A REFER: a booth that has proved to be one may have its callee talk with somebody else, if its shop lets it.

        Whoever has seen a call's tags could send one, and phone at the booth's cost: it needs the password again.
        """
        ask, transaction = referred.ask, referred.ask.transaction
        assert transaction is not None, "it is the peer's"
        if leg is not live.booth_leg or not self._may_transfer(live):
            self._refuse_transfer(live, leg, ask, now)
            return
        found = self._gate.examine(transaction.request, transaction.flow, transaction.request.from_, now)
        if not isinstance(found, Booth):
            leg.reply(ask, 401, None, now, found)
            return
        is_another = (found.tenant, found.name) != live.booth_key
        if is_another or not wants_call(referred.uri):
            self._refuse_transfer(live, leg, ask, now)
        elif referred.replaces is not None:
            self._transfer_to_consulted(live, leg, ask, referred.replaces, now)
        else:
            self._transfer_to_number(live, leg, referred, found, now)

    def _transfer_to_number(self, live: Live, leg: Leg, referred: Referred, booth: Booth, now: float) -> None:
        ask, number = referred.ask, number_of(referred.uri, self._hosts_of(live))
        if number is None:
            self._refuse_transfer(live, leg, ask, now)
            return
        offer = replace(live.offer, dialled=number, e164=None, destination=None, passage=None)
        offer, way = self._admit_transfer(offer, booth, now)
        if isinstance(way, Cause):
            refusal = REFUSALS[way]
            leg.reply(ask, refusal.status, None, now, refusal.headers())
            self._opener.note_refusal(offer, way)
            return
        transferee = Transferee(live, leg.refer(ask, now), self._run, offered)
        new = self._opener.open_charged(offer, way, now, transferee)
        transferee.call(new, now)
        self._run(new, new.call.begin(now), now)

    def _transfer_to_consulted(self, live: Live, leg: Leg, ask: Ask, replaces: Replaces, now: float) -> None:
        """Join the callees of two calls of a booth.

        What becomes of the dialog that is to be replaced NOTIFY tells, as if the callee had asked for it: a 481 to the
        REFER itself would end the call that it came in (RFC 5057 section 5.1).
        """
        state = self._opener.state(live.offer.booth)
        if state.suspended is not None or state.session_id != live.offer.session_id:
            cause = Cause.SUSPENDED if state.suspended is not None else Cause.LOCKED
            leg.reply(ask, REFUSALS[cause].status, None, now, REFUSALS[cause].headers())
            self._tell(RequestRefused(status=REFUSALS[cause].status, cause=cause.value, shop=live.offer.shop.name))
            return
        booth = live.offer.booth
        other = self._replaced(replaces, lambda live, leg: is_booths(live, leg, booth))
        referral = leg.refer(ask, now)
        if isinstance(other, Live) and other is not live and other.offer.session_id == live.offer.session_id:
            Consultation(live, other, referral, self._run, offered).begin(now)
        else:
            status = other if isinstance(other, int) else REFUSED
            referral.finish(status, now)
            self._tell_not_replaced(status, live.offer.shop.name)

    def refuse_replacing(
        self, transaction: ServerTransaction, source: Flow, is_his: Callable[[Live, Leg], bool], now: float
    ) -> None:
        """An INVITE that wants to take a dialog over: nobody may, and he is told what RFC 3891 has for his case."""
        replaced = self._replaced(parse_replaces(transaction.request.get("replaces") or ""), is_his)
        status = replaced if isinstance(replaced, int) else REFUSED
        self._agent.turn_away(transaction, source, status, now)
        self._tell_not_replaced(status, None)

    def _replaced(self, replaces: Replaces, is_his: Callable[[Live, Leg], bool]) -> Live | int:
        """The call of which somebody may replace a dialog of his, or the status that refuses it (RFC 3891 section 3).

        What is another one's is as unknown to him as what never was.
        """
        leg = self._agent.leg_of(replaces.call_id, replaces.to_tag, replaces.from_tag)
        live, _ = (self._calls.of_leg(leg) if leg is not None else None) or (None, None)
        if leg is None or (live is not None and not is_his(live, leg)):
            return 481
        refusal = refusal_to_replace(leg, replaces)
        if refusal is not None:
            return refusal
        return live if live is not None and self._may_transfer(live) else REFUSED

    def _tell_not_replaced(self, status: int, shop: str | None) -> None:
        cause = "no_dialog" if status == 481 else "no_transfer"
        self._tell(RequestRefused(status=status, cause=cause, shop=shop))

    def _may_transfer(self, live: Live) -> bool:
        """Whether a call may be transferred: one that its booth has dialled and talks in, in a shop that allows it."""
        offer = live.offer
        booth = self._directory.booths.get((live.tenant, offer.booth.name))
        is_charged = offer.carrier is None and offer.kind is CallKind.CALL
        talks = live.call.state is State.TALKING
        return is_charged and talks and booth is not None and self._directory.shop_of(booth).transfer

    def _admit_transfer(self, offer: Offer, booth: Booth, now: float) -> tuple[Offer, tuple[Trunk, ...] | Cause]:
        """What is asked of any dialled number; its line is the booth's own, whose phone is about to leave."""
        closed = self._closed(offer.transaction.request, offer.dialled)
        if closed is not None:
            return offer, closed
        state = self._opener.state(booth)
        shop = self._directory.shop_of(booth)
        match admit(shop, booth, replace(state, live_calls=state.live_calls - 1), offer.dialled):
            case Admitted(e164=e164, session_id=session_id) if session_id == offer.session_id:
                return self._opener.find_way(replace(offer, shop=shop, booth=booth, e164=e164), now)
            case Admitted():
                return offer, Cause.LOCKED
            case Emergency():
                return offer, Cause.FORBIDDEN  # who needs help calls himself, and is not joined with anybody
            case Refused(cause=cause):
                return offer, cause

    def _refuse_transfer(self, live: Live, leg: Leg, ask: Ask, now: float) -> None:
        leg.reply(ask, REFUSED, None, now)
        self._tell(RequestRefused(status=REFUSED, cause="no_transfer", shop=live.offer.shop.name))

    def _hosts_of(self, live: Live) -> frozenset[str]:
        """The names that a booth's phone has for us."""
        request = live.offer.transaction.request
        return frozenset({request.uri.host.lower(), request.to.uri.host.lower(), self._agent.advertised_host.lower()})


def is_booths(live: Live, leg: Leg, booth: Booth) -> bool:
    """Whether a leg of a call is that of a booth's phone."""
    return leg is live.booth_leg and live.booth_key == (booth.tenant, booth.name)
