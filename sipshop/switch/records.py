"""A live call as the switch holds it, and what is written of it: its row in the journal, its CDR."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sipshop.billing.cdr import Attempt, CallKind, Cdr, Charge, Direction, HungUpBy, Result
from sipshop.billing.chain import Payer
from sipshop.billing.deck import Tariff
from sipshop.billing.ledger import charge_accounts
from sipshop.billing.rating import cost
from sipshop.facts import TrunkTried
from sipshop.proxy.admission import Booth, Shop
from sipshop.proxy.call import Attempt as Dialled
from sipshop.proxy.call import Call
from sipshop.proxy.course import Side
from sipshop.proxy.fate import Fate, fails_over
from sipshop.proxy.routing import Trunk
from sipshop.sip.events import HungUp, Lost
from sipshop.sip.incoming import IncomingLeg
from sipshop.sip.leg import Leg
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.sip.timers import Timer
from sipshop.sip.transaction import ServerTransaction
from sipshop.store import LiveCall
from sipshop.switch.directory import Passage
from sipshop.switch.refusals import REFUSALS, Refusal
from sipshop.switch.ways import Way

if TYPE_CHECKING:
    from sipshop.switch.transfers import Transfer, Transferee

#: What a call was that a crash cut short after its answer was made durable.
RECOVERED_Q850: Final = 41

Parties = tuple[tuple[str, str, Tariff], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An INVITE of a booth that we know, and what was found out about it so far.

    `session_id` is the booth session that was open at that instant; `e164`, `destination` (the name of the booth's
    rate) and `passage` follow from the number. Of a call from outside `carrier` is the trunk that it came by: it
    has the booth that is rung, and neither session nor passage, so that nobody pays for it.
    """

    transaction: ServerTransaction
    shop: Shop
    booth: Booth
    dialled: str
    session_id: int | None
    kind: CallKind = CallKind.CALL
    e164: str | None = None
    destination: str | None = None
    passage: Passage | None = None
    carrier: Trunk | None = None

    @property
    def direction(self) -> Direction:
        """Which way it goes."""
        return Direction.OUTBOUND if self.carrier is None else Direction.INBOUND


@dataclass(slots=True, kw_only=True)
class Live:
    """One call that has no CDR yet.

    `setup_at_ms` is UTC, `setup_at_s` the same instant on the clock of the event loop; `added_s` is our own part of
    the time that the caller waited. `dialled` is the attempt that leg B is. `payers` hold money for it; `line` is the
    trunk on which it counts; `is_stored` says that its `new` row is on its way to the store. `search` is what waits for
    the addresses of a trunk, `way` the one that leg B was sent to, and `ways` are those that are left.

    Of a `transfer` `partner` is the other call, and `joined` that one's leg B once it has taken the place of leg A;
    `over` tells how a leg has ended it.
    """

    call: Call
    offer: Offer
    setup_at_ms: int
    setup_at_s: float
    leg_a: IncomingLeg | Transferee
    leg_b: OutgoingLeg | None = None
    leg_b_call_id: str | None = None
    dialled: Dialled | None = None
    relayed_at_ms: int | None = None
    rang: bool = False
    added_s: float = 0.0
    timer: Timer | None = None
    payers: tuple[Payer, ...] = ()
    renewal: Timer | None = None
    line: Trunk | None = None
    is_stored: bool = False
    transfer: Transfer | None = field(default=None, compare=False, repr=False)
    partner: Live | None = field(default=None, compare=False, repr=False)
    joined: Leg | None = None
    over: HungUp | Lost | None = None
    search: object | None = None
    way: Way | None = None
    ways: tuple[Way, ...] = ()

    @property
    def priced_at_ms(self) -> int:
        """The instant, UTC, from which its talk is priced: its answer, and before that when it was let in."""
        return self.setup_at_ms if self.relayed_at_ms is None else self.relayed_at_ms

    @property
    def tenant(self) -> str:
        """Whose call it is."""
        return self.offer.shop.tenant

    @property
    def booth_key(self) -> tuple[str, str]:
        """Whose it is: (tenant, booth)."""
        return self.offer.booth.tenant, self.offer.booth.name

    @property
    def trunk(self) -> Trunk | None:
        """The trunk that it goes by: the one that was tried last, or the one that a call from outside came by."""
        target = self.call.target
        return target if isinstance(target, Trunk) else self.offer.carrier

    def carrier_at(self, side: Side) -> Trunk | None:
        """The carrier behind a leg, None where that is a phone's."""
        if side is Side.CALLER:
            return self.partner.trunk if self.joined is not None and self.partner is not None else self.offer.carrier
        target = self.call.target
        return target if isinstance(target, Trunk) else None

    @property
    def booth_leg(self) -> Leg | None:
        """The leg of the booth's phone, None where it is no part of the call (any more)."""
        if self.offer.carrier is not None:
            return self.leg_b
        return self.leg_a if self.joined is None and isinstance(self.leg_a, Leg) else None

    @property
    def parties(self) -> Parties:
        """(seller, buyer, tariff) of each level that pays, the booth first, the carrier that was tried last at the end.

        Nobody pays for an emergency call.
        """
        passage, trunk = self.offer.passage, self.trunk
        if passage is None:
            return ()
        levels = tuple((level.seller, level.buyer, level.tariff) for level in passage.levels)
        return (
            levels if trunk is None else (*levels, (trunk.carrier, passage.levels[-1].seller, passage.buys[trunk.name]))
        )

    @property
    def call_id(self) -> str:
        """The name of the call, ours and unique."""
        return self.call.call_id

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The trunks that were tried, as the CDR tells them."""
        return tuple(
            Attempt(
                trunk=attempt.target.name,
                status=attempt.status,
                q850=attempt.q850,
                pdd_ms=attempt.pdd_ms,
                why=attempt.why,
            )
            for attempt in self.call.attempts
            if isinstance(attempt.target, Trunk)
        )

    @property
    def pdd_ms(self) -> int | None:
        """From the caller's INVITE to the first ringing or answer, of the trunk that was tried last."""
        if not self.call.attempts or self.call.attempts[-1].pdd_ms is None:
            return None
        last = self.call.attempts[-1]
        return round((last.dialled_at_s - self.setup_at_s) * 1000) + (last.pdd_ms or 0)


def row_of(live: Live, process: str, *, answered: bool) -> LiveCall:
    """The journal's row of a call; once answered it holds both dialogs, so that a later process can end them."""
    trunk = live.trunk
    dialog_a, dialog_b = live.leg_a.dialog, live.leg_b.dialog if live.leg_b is not None else None
    return LiveCall(
        tenant=live.offer.shop.tenant,
        call_id=live.call_id,
        process=process,
        state="answered" if answered else "new",
        shop=live.offer.shop.name,
        booth=live.offer.booth.name,
        session_id=live.offer.session_id,
        kind=live.offer.kind,
        dialled=live.offer.dialled,
        e164=live.offer.e164,
        destination=live.offer.destination,
        setup_at_ms=live.setup_at_ms,
        trunk=trunk.name if trunk is not None else None,
        attempts=live.attempts,
        leg_a_call_id=live.leg_a.call_id,
        leg_b_call_id=live.leg_b_call_id,
        parties=live.parties,
        dialog_a=dialog_a.to_json() if answered and dialog_a is not None else None,
        dialog_b=dialog_b.to_json() if answered and dialog_b is not None else None,
        pdd_ms=live.pdd_ms,
        relayed_at_ms=None,
        relayed_mono_ms=None,
        granted_ms=live.call.granted_ms,
        direction=live.offer.direction,
    )


def trunks_tried(cdr: Cdr) -> Iterator[TrunkTried]:
    """How each trunk did that a call had tried, in order."""
    last = len(cdr.attempts) - 1
    for number, attempt in enumerate(cdr.attempts):
        is_cut_short = number == last and cdr.result in {Result.CANCELLED, Result.NO_ANSWER}
        outcome = _outcome(attempt, is_cut_short=is_cut_short)
        yield TrunkTried(tenant=cdr.tenant, trunk=attempt.trunk, outcome=outcome)


def _outcome(attempt: Attempt, *, is_cut_short: bool) -> str:
    match attempt:
        case Attempt(status=200):
            return "answered"
        case Attempt(status=int() as status):
            return "failed" if fails_over(status) else "refused"
        case Attempt(why="dns"):
            return "silent"
        case Attempt(q850=int()):
            return "full"
        case Attempt(pdd_ms=None) if not is_cut_short:
            return "silent"
        case _:
            return "unanswered"


def cdr_of(live: Live, fate: Fate, talk_ms: int, now_ms: int) -> Cdr:
    """The CDR of a call that has come to its end."""
    answered_at_ms = live.relayed_at_ms
    trunk = live.trunk
    return Cdr(
        call_id=live.call_id,
        kind=live.offer.kind,
        direction=live.offer.direction,
        tenant=live.offer.shop.tenant,
        shop=live.offer.shop.name,
        booth=live.offer.booth.name,
        session_id=live.offer.session_id,
        dialled=live.offer.dialled,
        e164=live.offer.e164,
        destination=live.offer.destination,
        setup_at_ms=live.setup_at_ms,
        answered_at_ms=answered_at_ms,
        # the wall clock may have been set meanwhile: the end of talk is its start and its length
        ended_at_ms=now_ms if answered_at_ms is None else answered_at_ms + talk_ms,
        pdd_ms=live.pdd_ms,
        talk_ms=talk_ms,
        result=Result(fate.outcome.value),
        sip_status=status_of(fate),
        q850=q850_of(fate),
        hung_up_by=HungUpBy(fate.hung_up_by) if fate.hung_up_by is not None else None,
        trunk=trunk.name if trunk is not None else None,
        attempts=live.attempts,
        leg_a_call_id=live.leg_a.call_id,
        leg_b_call_id=live.leg_b_call_id,
        charges=charges_of(live.parties, answered_at_ms, talk_ms) if answered_at_ms is not None else (),
    )


def cdr_of_refusal(offer: Offer, call_id: str, refusal: Refusal, now_ms: int) -> Cdr:
    """The CDR of zero that a booth's refused attempt leaves."""
    return Cdr(
        call_id=call_id,
        kind=offer.kind,
        direction=offer.direction,
        tenant=offer.shop.tenant,
        shop=offer.shop.name,
        booth=offer.booth.name,
        session_id=offer.session_id,
        dialled=offer.dialled,
        e164=offer.e164,
        destination=offer.destination,
        setup_at_ms=now_ms,
        answered_at_ms=None,
        ended_at_ms=now_ms,
        pdd_ms=None,
        talk_ms=0,
        result=Result.REFUSED,
        sip_status=refusal.status,
        q850=refusal.q850,
        hung_up_by=HungUpBy.SWITCH,
        trunk=offer.carrier.name if offer.carrier is not None else None,
        leg_a_call_id=offer.transaction.request.call_id,
        leg_b_call_id=None,
    )


def cdr_of_dead(row: LiveCall, last_heartbeat_ms: int | None, now_ms: int) -> Cdr:
    """The CDR of a call that another process left behind.

    Talk time runs to the dead process's last sign of life and to what was granted, never further: what is lost by a
    crash is ours. Without a start of talk time it is zero, and the call counts as failed.
    """
    talk_ms = 0
    if row.relayed_mono_ms is not None and last_heartbeat_ms is not None:
        talk_ms = max(0, last_heartbeat_ms - row.relayed_mono_ms)
    if row.granted_ms is not None:
        talk_ms = min(talk_ms, row.granted_ms)
    answered = row.relayed_at_ms is not None
    return Cdr(
        call_id=row.call_id,
        kind=row.kind,
        direction=row.direction,
        tenant=row.tenant,
        shop=row.shop,
        booth=row.booth,
        session_id=row.session_id,
        dialled=row.dialled,
        e164=row.e164,
        destination=row.destination,
        setup_at_ms=row.setup_at_ms,
        answered_at_ms=row.relayed_at_ms,
        ended_at_ms=row.relayed_at_ms + talk_ms if row.relayed_at_ms is not None else now_ms,
        pdd_ms=row.pdd_ms,
        talk_ms=talk_ms,
        result=Result.ANSWERED if answered else Result.FAILED,
        sip_status=200 if answered else None,
        q850=RECOVERED_Q850,
        hung_up_by=HungUpBy.SWITCH,
        trunk=row.trunk,
        attempts=row.attempts,
        leg_a_call_id=row.leg_a_call_id,
        leg_b_call_id=row.leg_b_call_id,
        recovered=True,
        charges=charges_of(row.parties, row.relayed_at_ms, talk_ms) if row.relayed_at_ms is not None else (),
    )


def charges_of(parties: Parties, answered_at_ms: int, talk_ms: int) -> tuple[Charge, ...]:
    """What each level pays for a talk, worked out by the tariff that the call kept."""
    return tuple(
        Charge(seller=seller, buyer=buyer, tariff=tariff, cost=cost(tariff, answered_at_ms, talk_ms))
        for seller, buyer, tariff in parties
    )


def status_of(fate: Fate) -> int:
    """The SIP status that the caller gets."""
    return REFUSALS[fate.cause].status if fate.cause is not None else fate.status


def q850_of(fate: Fate) -> int | None:
    """The Q.850 cause: the carrier's own, or that of our refusal."""
    return REFUSALS[fate.cause].q850 if fate.q850 is None and fate.cause is not None else fate.q850


def charged_accounts(cdr: Cdr) -> dict[str, int]:
    """What a settled call takes from each account that can run dry, in micro-units."""
    return {
        account: charge.cost.amount.micros
        for charge, (account, _) in zip(cdr.charges, charge_accounts(cdr), strict=True)
    }
