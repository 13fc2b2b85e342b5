"""Leg B: its trunks or phones one after the other, each at every address that it has, until one answers (IO)."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import partial
from typing import Final

from sipshop.billing.cdr import CallKind
from sipshop.media.sdp import NoCommonMedia, only
from sipshop.proxy import health as healths
from sipshop.proxy import inbound, news, orders
from sipshop.proxy.fate import fails_here
from sipshop.proxy.inbound import Extension
from sipshop.proxy.orders import Command, Target
from sipshop.proxy.routing import Trunk
from sipshop.proxy.trunk import Caller, identity, is_withheld
from sipshop.sip.events import Answered, Content, Event, Failed, Progressed
from sipshop.sip.flow import written
from sipshop.sip.message import NameAddr, Uri
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.sip.resolve import Plan
from sipshop.sip.useragent import UserAgent
from sipshop.store import CallStarted, Store
from sipshop.switch.live import LiveCalls
from sipshop.switch.meter import Meter
from sipshop.switch.records import Live, Offer, row_of
from sipshop.switch.trunks import Trunks
from sipshop.switch.ways import MOST_WAYS, Way

#: The cause of an attempt at a trunk whose name leads nowhere: no route to destination (ITU-T Q.850).
NO_ROUTE_Q850: Final = 3
#: The cause of an attempt at a trunk to which none of the phone's codecs may be offered: bearer capability not
#: implemented (ITU-T Q.850).
NO_MEDIA_Q850: Final = 65


class Dialler:
    """Makes the legs B of live calls, and tells the carriers' health what a call has found out about one.

    `run` does what a call wants done; `process` names this run in the journal. So many `redirects` of a carrier are
    followed at a try.
    """

    def __init__(
        self,
        *,
        agent: UserAgent,
        store: Store,
        calls: LiveCalls,
        meter: Meter,
        trunks: Trunks,
        run: Callable[[Live, list[Command], float], None],
        clock: Callable[[], float],
        process: str,
        redirects: int,
    ) -> None:
        self._agent = agent
        self._store = store
        self._calls = calls
        self._meter = meter
        self._trunks = trunks
        self._run = run
        self._clock = clock
        self._process = process
        self.redirects = redirects
        self._sealer = hmac.new(store.secret, digestmod="sha256")

    def do(self, live: Live, command: orders.Dial | orders.DialOn | orders.GiveUp, now: float) -> None:
        """Leg B, before anybody has answered it."""
        match command:
            case orders.Dial(target=target, attempt=attempt):
                self._try(live, target, attempt, now)
            case orders.DialOn(attempt=attempt):
                self._dial_on(live, attempt, now)
            case orders.GiveUp():
                self._give_up(live, now)

    def _give_up(self, live: Live, now: float) -> None:
        """Leave a carrier: because he said nothing in his time, or because nobody wants to know any more."""
        if live.search is not None:
            live.search = None  # nothing was sent, and nothing will be
            target = live.call.attempts[-1].target
            assert isinstance(target, Trunk), "a phone is where it registered"
            self._trunks.hear(target, healths.Withdrawn(), now)
            return
        leg, attempt = live.leg_b, live.dialled
        assert leg is not None, "what is given up was dialled"
        assert attempt is not None, "what is given up was dialled"
        self._calls.let_go(leg)
        is_silent = not leg.responded and now >= attempt.sent_at_s + attempt.target.first_response_timeout_s
        if isinstance(attempt.target, Trunk):
            assert live.way is not None, "it was dialled at an address"
            if is_silent:
                self._trunks.lost(attempt.target, live.way, "timeout", now)
            if not (is_silent and live.ways):
                self._trunks.hear(attempt.target, healths.Silent() if is_silent else healths.Withdrawn(), now)
        leg.give_up(now)

    def _try(self, live: Live, target: Target, attempt: int, now: float) -> None:
        live.leg_a.put_off_asks(now)  # the one that was tried before was to answer them
        live.ways = ()
        if isinstance(target, Trunk):
            self._dial(live, target, attempt, now)
        else:
            self._ring(live, target, attempt, now)

    def _dial(self, live: Live, trunk: Trunk, attempt: int, now: float) -> None:
        """Find the carrier, and send him the INVITE of leg B: in this turn where it is known where he is."""
        if not self._meter.take_line(live, trunk, now):
            self._run(live, live.call.hear(news.Blocked(), now), now)
            return
        try:
            offered(live.leg_a.offer, trunk)
        except NoCommonMedia as error:
            blocked = news.Blocked(q850=NO_MEDIA_Q850, detail=str(error), why="codecs")
            self._run(live, live.call.hear(blocked, now), now)
            return
        self._trunks.hear(trunk, healths.Tried(), now)
        search = live.search = object()
        self._trunks.find(trunk, now, partial(self._found, live, attempt, search))
        if live.search is search:
            self._run(live, live.call.hear(news.Searching(), now), now)

    def _found(self, live: Live, attempt: int, search: object, plan: Plan, now: float) -> None:
        """It is known where a carrier is, or that nobody knows; a call that has not waited for it is not sent."""
        if live.search is not search:
            return
        live.search = None
        if plan.targets:
            live.ways = plan.targets[:MOST_WAYS]
            self._dial_on(live, attempt, now)
            return
        trunk = live.call.attempts[attempt - 1].target
        assert isinstance(trunk, Trunk), "a phone is not looked up"
        self._trunks.hear(trunk, healths.Silent(), now)
        blocked = news.Blocked(q850=NO_ROUTE_Q850, detail=plan.why, why="dns")
        self._run(live, live.call.hear(blocked, now), now)

    def _dial_on(self, live: Live, attempt: int, now: float) -> None:
        """Send the INVITE to the next address; its Call-ID and tag are ours to recognise even after a restart."""
        trunk = live.call.attempts[attempt - 1].target
        assert isinstance(trunk, Trunk), "a phone has one address"
        live.way, *others = live.ways
        live.ways = tuple(others)
        call_id = self._seal(f"{live.call_id}/{attempt}/{written(live.way.address)}/{live.way.transport}")
        self._dialled(live, self._invite(live, trunk, live.way, call_id, now), attempt, now)
        self._run(live, live.call.hear(news.Sent(len(others)), now), now)

    def _invite(self, live: Live, trunk: Trunk, way: Way, call_id: str, now: float) -> OutgoingLeg:
        offer, request = live.offer, live.offer.transaction.request
        target = _target(trunk, offer.dialled if offer.e164 is None else trunk.numbers.called(offer.e164))
        shown = identity(trunk.caller_id, _caller(offer), trunk.numbers, trunk.domain or self._agent.advertised_host)
        return self._agent.dial(
            self._trunks.flow(way),
            target=target,
            from_=shown.from_,
            to=f"<{target}>",
            call_id=call_id,
            tag=self._seal(call_id),
            max_forwards=int(request.get("max-forwards") or 70) - 1,
            content=offered(live.leg_a.offer, trunk),
            now=now,
            redirects=self.redirects,
            # an offer that comes while it rings needs a caller who answers while it rings
            reliably=live.leg_a.offer is not None or live.leg_a.takes_reliable,
            headers=shown.headers,
            credentials=self._trunks.credentials(trunk),
            watched=offer.kind is not CallKind.EMERGENCY,
        )

    def _ring(self, live: Live, phone: Extension, attempt: int, now: float) -> None:
        """Send the INVITE to a phone of the booth, by the way that it registered on: nothing of it is the carrier's."""
        offer, binding = live.offer, phone.binding
        assert offer.carrier is not None, "a booth is rung by a carrier's call"
        request, call_id = offer.transaction.request, self._seal(f"{live.call_id}/{attempt}")
        leg = self._agent.dial(
            binding.flow,
            target=binding.target,
            from_=inbound.caller(request, offer.carrier, self._agent.advertised_host),
            to=str(NameAddr(Uri("sip", offer.booth.name, self._agent.advertised_host))),
            call_id=call_id,
            tag=self._seal(call_id),
            max_forwards=int(request.get("max-forwards") or 70) - 1,
            content=live.leg_a.offer,
            now=now,
            reliably=live.leg_a.offer is not None or live.leg_a.takes_reliable,
            headers=[("route", hop) for hop in binding.path],
            symmetric=True,
        )
        self._dialled(live, leg, attempt, now)

    def _dialled(self, live: Live, leg: OutgoingLeg, attempt: int, now: float) -> None:
        """Leg B was sent its INVITE."""
        live.leg_b, live.leg_b_call_id, live.dialled = leg, leg.call_id, live.call.attempts[attempt - 1]
        self._calls.listen(leg, live)
        if not live.is_stored:
            live.is_stored = True
            row = row_of(live, self._process, answered=False)
            self._store.submit(CallStarted(live.offer.shop.tenant, live.call_id, row))
            live.added_s += self._clock() - now

    def hear(self, live: Live, event: Event, now: float) -> None:
        """Tell a carrier's health what a call has found out about him."""
        assert live.dialled is not None, "leg B was dialled"
        trunk = live.dialled.target
        if not isinstance(trunk, Trunk):
            return
        assert live.way is not None, "it was dialled at an address"
        match event:
            case Progressed(status=status) if status > 100 and not live.rang:
                self._trunks.answered(live.way)
                self._trunks.hear(trunk, healths.Answered(status), now)
            case Answered():
                self._trunks.answered(live.way)
                self._trunks.hear(trunk, healths.Answered(200), now)
            case Failed(responded=responded, status=status, retry_after_s=retry_after_s, why=why):
                if fails_here(status, responded=responded):
                    self._trunks.lost(trunk, live.way, why or str(status), now, retry_after_s)
                    if live.ways:
                        return  # what he is like his other addresses will tell
                heard = healths.Answered(status, retry_after_s) if responded else healths.Silent()
                self._trunks.hear(trunk, heard, now)

    def is_ours(self, call_id: str, tag: str) -> bool:
        """Whether a dialog with a carrier was begun by this installation, in this life or an earlier one."""
        return hmac.compare_digest(self._seal(call_id), tag)

    def _seal(self, text: str) -> str:
        seal = self._sealer.copy()  # a copy of a keyed hash costs a fraction of a new one
        seal.update(text.encode("utf-8", "surrogateescape"))
        return seal.digest()[:12].hex()


def offered(content: Content | None, trunk: Trunk, *, may_be_silent: bool = False) -> Content | None:
    """An offer as a carrier gets it; raises `NoCommonMedia` where nothing is left of its sound."""
    if content is None or not trunk.codecs or not content.type.lower().startswith("application/sdp"):
        return content
    return Content(content.type, only(content.data, trunk.codecs, may_be_silent=may_be_silent))


def _target(trunk: Trunk, user: str) -> str:
    """The Request-URI of a call; with a domain of his the carrier's address is no business of it."""
    params: dict[str, str | None] = {} if trunk.transport in {"", "udp"} else {"transport": trunk.transport}
    return str(Uri("sip", user, trunk.realm_host, None if trunk.domain else trunk.port, params))


def _caller(offer: Offer) -> Caller:
    return Caller(
        shop=offer.shop.caller_id,
        booth=offer.booth.caller_id,
        withheld=is_withheld(offer.transaction.request.get("privacy")),
        is_emergency=offer.kind is CallKind.EMERGENCY,
    )
