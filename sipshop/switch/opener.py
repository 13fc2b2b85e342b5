"""What every new call of a booth needs, whoever wants it: its state, its way, its beginning or its refusal (IO)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sipshop.billing.cdr import CallKind
from sipshop.billing.desk import BoothSession
from sipshop.facts import CallAttempted, Fact, LossSeen, RequestRefused
from sipshop.proxy.admission import Booth, BoothState, Cause
from sipshop.proxy.call import Call
from sipshop.proxy.orders import Target
from sipshop.proxy.routing import Trunk, by_health
from sipshop.sip.useragent import UserAgent
from sipshop.switch.accounts import Accounts
from sipshop.switch.directory import Directory
from sipshop.switch.live import BoothKey, LiveCalls
from sipshop.switch.records import Live, Offer, cdr_of_refusal
from sipshop.switch.refusals import REFUSALS
from sipshop.switch.settler import Settler
from sipshop.switch.transfers import Transferee
from sipshop.switch.trunks import Trunks


class Opener:
    """Makes the calls of booths that were let in, and leaves a CDR of zero of those that were not.

    `open_session` looks up the booth session that is open in a booth.
    """

    def __init__(
        self,
        *,
        agent: UserAgent,
        directory: Directory,
        calls: LiveCalls,
        accounts: Accounts,
        settler: Settler,
        trunks: Trunks,
        open_session: Callable[[BoothKey], BoothSession | None],
        tell: Callable[[Fact], None],
        random: Callable[[int], bytes],
        utc_ms: Callable[[], int],
    ) -> None:
        self._agent = agent
        self._directory = directory
        self._calls = calls
        self._accounts = accounts
        self._settler = settler
        self._trunks = trunks
        self._open_session = open_session
        self._tell = tell
        self._random = random
        self._utc_ms = utc_ms

    def state(self, booth: Booth) -> BoothState:
        """What a booth is doing at this moment."""
        session = self._open_session((booth.tenant, booth.name))
        return BoothState(
            session_id=session.id if session is not None else None,
            live_calls=self._calls.count((booth.tenant, booth.name)),
            suspended=self._directory.suspended_above(booth),
        )

    def find_way(self, offer: Offer, now: float) -> tuple[Offer, tuple[Trunk, ...] | Cause]:
        """The trunks that take an admitted number, if every level sells it; the offer then has its passage."""
        shop, booth, e164, session_id = offer.shop, offer.booth, offer.e164, offer.session_id
        assert e164 is not None, "the number was understood"
        assert session_id is not None, "the booth is open"
        at_ms = self._utc_ms()
        passage = self._directory.passage(shop, booth.name, session_id, e164, self._agent.pick, at_ms=at_ms)
        if isinstance(passage, Cause):
            return replace(offer, destination=self._directory.destination(shop, e164, at_ms)), passage
        offer = replace(offer, destination=passage.levels[0].tariff.rate.destination, passage=passage)
        return offer, by_health(passage.trunks, lambda trunk: self._trunks.standing(trunk, now)) or Cause.TRUNKS_FAILED

    def open_charged(
        self, offer: Offer, trunks: tuple[Trunk, ...], now: float, leg_a: Transferee | None = None
    ) -> Live:
        """Make a call that a booth session pays for."""
        passage, session_id, tenant = offer.passage, offer.session_id, offer.shop.tenant
        assert passage is not None, "every level sells it"
        assert session_id is not None, "the booth is open"
        live = self.open(offer, trunks, now, leg_a)
        live.payers = self._accounts.payers(tenant, session_id, passage.levels)
        self._settler.expect((tenant, offer.booth.name), live.call_id)
        for party in passage.losses:
            self._tell(LossSeen(tenant=tenant, party=party, call_id=live.call_id))
        return live

    def open(self, offer: Offer, targets: tuple[Target, ...], now: float, leg_a: Transferee | None = None) -> Live:
        """Make a call of an INVITE, with leg A, or of a transfer."""
        watched = offer.kind is not CallKind.EMERGENCY
        call_id, shop, booth = self._random(8).hex(), offer.shop, offer.booth
        live = Live(
            call=Call(call_id, targets, emergency=offer.kind is CallKind.EMERGENCY),
            offer=offer,
            setup_at_ms=self._utc_ms(),
            setup_at_s=now,
            leg_a=leg_a or self._agent.accept(offer.transaction, now, watched=watched),
        )
        self._calls.add(live)
        self._tell(
            CallAttempted(
                tenant=shop.tenant,
                shop=shop.name,
                booth=booth.name,
                call_id=call_id,
                kind=offer.kind.value,
                direction=offer.direction.value,
                at_ms=live.setup_at_ms,
            )
        )
        return live

    def refuse_booth(self, offer: Offer, cause: Cause, now: float) -> None:
        """Refuse a booth that we know: it leaves a CDR of zero."""
        refusal = REFUSALS[cause]
        self._agent.refuse(offer.transaction, refusal.status, now, reason=refusal.phrase, headers=refusal.headers())
        self.note_refusal(offer, cause)

    def note_refusal(self, offer: Offer, cause: Cause) -> None:
        """Tell of a call that was refused, and write its CDR."""
        self._tell(RequestRefused(status=REFUSALS[cause].status, cause=cause.value, shop=offer.shop.name))
        self._settler.write(cdr_of_refusal(offer, self._random(8).hex(), REFUSALS[cause], self._utc_ms()))
