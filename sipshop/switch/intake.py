"""A new INVITE: who sends it, and whether it becomes a call, which he is told if it does not (IO)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from sipshop.billing.cdr import CallKind
from sipshop.facts import Fact, RequestRefused
from sipshop.proxy import inbound, news
from sipshop.proxy.admission import Admitted, Cause, Emergency, Refused, admit
from sipshop.proxy.inbound import Extension, Inflow
from sipshop.proxy.orders import Command
from sipshop.proxy.routing import Trunk, by_health
from sipshop.sip.flow import Flow
from sipshop.sip.leg import Leg
from sipshop.sip.message import Request, printable
from sipshop.sip.transaction import ServerTransaction
from sipshop.sip.useragent import UserAgent
from sipshop.switch.directory import Directory
from sipshop.switch.gate import Gate
from sipshop.switch.meter import Meter
from sipshop.switch.opener import Opener
from sipshop.switch.records import Live, Offer
from sipshop.switch.referrals import Referrals, is_booths
from sipshop.switch.refusals import REFUSALS
from sipshop.switch.registrations import Registrations
from sipshop.switch.trunks import Trunks
from sipshop.switch.ways import Place

log: Final = logging.getLogger("sipshop.switch")


class Intake:
    """Hears every INVITE outside a dialog, of a booth or of a carrier.

    `closed` says why nobody's call is taken at this moment, `run` does what a call wants done.
    """

    def __init__(
        self,
        *,
        agent: UserAgent,
        directory: Directory,
        gate: Gate,
        registrations: Registrations,
        trunks: Trunks,
        meter: Meter,
        opener: Opener,
        referrals: Referrals,
        run: Callable[[Live, list[Command], float], None],
        closed: Callable[[Request, str], Cause | None],
        tell: Callable[[Fact], None],
    ) -> None:
        self._agent = agent
        self._directory = directory
        self._gate = gate
        self._registrations = registrations
        self._trunks = trunks
        self._meter = meter
        self._opener = opener
        self._referrals = referrals
        self._run = run
        self._closed = closed
        self._tell = tell
        self._inflow = Inflow()

    def hear(self, transaction: ServerTransaction, source: Flow, now: float) -> None:
        """Take an INVITE: ask everything of it, in order, and begin its call or refuse it."""
        request = transaction.request
        dialled = request.uri.user or ""
        closed = self._closed(request, dialled)
        if closed is not None:
            self._turn_away(transaction, source, closed, now)
            return
        carriers = self._directory.trunks_of_source(source.remote)
        if carriers and self._directory.booth_of_source(source.remote[0], request.from_.uri.user) is None:
            if request.get("replaces") is None:
                self._hear_carrier(transaction, source, carriers, now)
            else:
                self._referrals.refuse_replacing(
                    transaction, source, lambda live, leg: _is_carriers(live, leg, carriers), now
                )
            return
        booth = self._gate.authenticate(transaction, source, request.from_, now)
        if booth is None:
            return
        shop = self._directory.shop_of(booth)
        if self._directory.is_another(booth, request.from_.uri.user) and not shop.numbers.is_emergency(dialled):
            self._agent.refuse(transaction, 403, now)
            self._tell(RequestRefused(status=403, cause="wrong_aor", shop=shop.name))
            return
        if request.get("replaces") is not None and not shop.numbers.is_emergency(dialled):
            self._referrals.refuse_replacing(transaction, source, lambda live, leg: is_booths(live, leg, booth), now)
            return
        state = self._opener.state(booth)
        offer = partial(
            Offer, transaction=transaction, shop=shop, booth=booth, dialled=dialled, session_id=state.session_id
        )
        match admit(shop, booth, state, dialled):
            case Emergency():
                self._admit_emergency(offer(kind=CallKind.EMERGENCY), now)
            case Admitted(e164=e164):
                self._admit(offer(e164=e164), now)
            case Refused(cause=cause):
                self._opener.refuse_booth(offer(), cause, now)

    def _admit(self, offer: Offer, now: float) -> None:
        """Begin the call of an admitted number, if it can be made."""
        offer, found = self._opener.find_way(offer, now)
        if isinstance(found, Cause):
            self._opener.refuse_booth(offer, found, now)
        else:
            live = self._opener.open_charged(offer, found, now)
            self._run(live, live.call.begin(now), now)

    def _admit_emergency(self, offer: Offer, now: float) -> None:
        trunks = self._directory.routings[offer.shop.tenant].emergency()
        about = {"tenant": offer.shop.tenant, "shop": offer.shop.name, "booth": offer.booth.name}
        if not trunks:
            log.critical("no trunk takes the emergency call to %s", printable(offer.dialled), extra=about)
            self._opener.refuse_booth(offer, Cause.NO_ROUTE, now)
            return
        trunks = by_health(trunks, lambda trunk: self._trunks.standing(trunk, now), is_emergency=True)
        live = self._opener.open(offer, trunks, now)
        log.warning("emergency call to %s", printable(offer.dialled), extra={"call": live.call_id, **about})
        self._run(live, live.call.begin(now), now)

    def _hear_carrier(
        self, transaction: ServerTransaction, source: Flow, carriers: Sequence[Trunk], now: float
    ) -> None:
        """A call from a carrier, known by his address: it rings a booth, or nobody, and is never challenged."""
        request = transaction.request
        numbers = ((trunk, inbound.called(request, trunk)) for trunk in carriers)
        found = [(trunk, e164) for trunk, e164 in numbers if e164 and self._directory.rung(trunk.tenant, e164)]
        trunk, e164 = found[0] if found else (carriers[0], "")
        if not self._inflow.take(trunk, now):
            self._turn_away(transaction, source, Cause.FLOOD, now)
            return
        if not found:
            about = {"tenant": trunk.tenant, "trunk": trunk.name}
            log.info("a carrier calls %s, which rings nobody", printable(request.uri.user or ""), extra=about)
            self._turn_away(transaction, source, Cause.NO_INBOUND, now)
            return
        offers = partial(
            Offer, transaction=transaction, dialled=request.uri.user or "", session_id=None, e164=e164, carrier=trunk
        )
        self._call_booths(trunk, e164, offers, now)

    def _call_booths(self, trunk: Trunk, e164: str, offers: Callable[..., Offer], now: float) -> None:
        """Ring the first booth of a number that may be rung, or tell the carrier why none is."""
        causes = []
        for booth in self._directory.rung(trunk.tenant, e164):
            shop, phones = self._directory.shop_of(booth), self._registrations.bindings(booth, now)
            cause = inbound.refusal(shop, booth, self._opener.state(booth), len(phones))
            if cause is None:
                self._admit_carrier(offers(shop=shop, booth=booth), inbound.extensions(booth, phones, trunk), now)
                return
            causes.append((cause, offers(shop=shop, booth=booth)))
        cause = inbound.told(cause for cause, _ in causes)
        self._opener.refuse_booth(next(offer for why, offer in causes if why is cause), cause, now)

    def _admit_carrier(self, offer: Offer, phones: tuple[Extension, ...], now: float) -> None:
        """Begin a call from outside; it takes one of its carrier's lines, and nobody's money."""
        assert offer.carrier is not None, "it came from one"
        live = self._opener.open(offer, phones, now)
        assert isinstance(live.leg_a, Leg), "an INVITE makes one"
        assert live.leg_a.dialog is not None, "an INVITE with a Contact makes one"
        dialog, carrier = live.leg_a.dialog, offer.carrier
        dialog.symmetric = False  # a carrier is reached where he says that he is, and proves by TLS to be whom we know
        dialog.domain = Place.of(carrier, carrier.host, carrier.port).certified
        has_line = self._meter.take_line(live, offer.carrier, now)
        full = news.Denied(Cause.OVERLOADED, "the carrier has no free line")
        self._run(live, live.call.begin(now) if has_line else live.call.hear(full, now), now)

    def _turn_away(self, transaction: ServerTransaction, source: Flow, cause: Cause, now: float) -> None:
        """Refuse somebody who has proved nothing: he leaves no state."""
        refusal = REFUSALS[cause]
        self._agent.turn_away(
            transaction, source, refusal.status, now, reason=refusal.phrase, headers=refusal.headers()
        )
        self._tell(RequestRefused(status=refusal.status, cause=cause.value, shop=None))


def _is_carriers(live: Live, leg: Leg, carriers: Sequence[Trunk]) -> bool:
    """Whether a leg of a call is that of one of these carriers."""
    return leg is not live.booth_leg and live.trunk in carriers
