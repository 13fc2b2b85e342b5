"""The switch: hears the SIP engine, asks the pure rooms, does what they say (IO).

It owns the live calls, the open booth sessions and the clocks. What must survive a crash goes to the store before
anybody is told that it happened: a booth's command before it is acknowledged, an answer before the caller hears of it.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from sipshop.billing.cdr import CallKind, Cdr
from sipshop.facts import (
    CallAnswered,
    CallAttempted,
    CallEnded,
    CallRang,
    Fact,
    LossSeen,
    MessageDropped,
    RequestRefused,
)
from sipshop.media.sdp import NoCommonMedia, only
from sipshop.proxy import call as calls
from sipshop.proxy import health as healths
from sipshop.proxy import inbound
from sipshop.proxy.admission import Admitted, Booth, BoothState, Cause, Emergency, Refused, admit
from sipshop.proxy.call import Call, Command, Side, Target
from sipshop.proxy.inbound import Extension, Inflow
from sipshop.proxy.registrar import Location
from sipshop.proxy.routing import Trunk, by_health
from sipshop.proxy.trunk import Caller, identity, is_withheld
from sipshop.sip.dialog import Dialog
from sipshop.sip.endpoint import Endpoint
from sipshop.sip.events import Answered, Ask, Content, Event, Failed, HungUp, Lost, Progressed, Referred, Replied
from sipshop.sip.flow import Address, Flow, written
from sipshop.sip.leg import Leg
from sipshop.sip.message import NameAddr, Request, Uri, printable
from sipshop.sip.offer import State as OfferState
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.sip.replaces import Replaces, parse_replaces
from sipshop.sip.resolve import Plan
from sipshop.sip.shield import Rules
from sipshop.sip.timers import GIVE_UP_S
from sipshop.sip.transaction import ServerTransaction
from sipshop.sip.useragent import Disconnected, Dropped, Happened, Invited, Output, Requested, UserAgent
from sipshop.sip.useragent import Refused as Rejected
from sipshop.store import (
    CallAnswered as AnsweredRow,
)
from sipshop.store import (
    CallDoubted,
    CallRelayed,
    CallStarted,
    Heartbeat,
    Store,
)
from sipshop.switch.accounts import Accounts
from sipshop.switch.alerts import Alerts
from sipshop.switch.balances import Balances
from sipshop.switch.clock import utc_ms
from sipshop.switch.desk import Desk
from sipshop.switch.directory import Directory
from sipshop.switch.farewells import Farewells
from sipshop.switch.gate import Gate
from sipshop.switch.limits import Limiter
from sipshop.switch.live import LiveCalls
from sipshop.switch.meter import SLICE_S, Meter
from sipshop.switch.records import (
    Live,
    Offer,
    cdr_of,
    cdr_of_dead,
    cdr_of_refusal,
    charged_accounts,
    row_of,
    trunks_tried,
)
from sipshop.switch.refusals import REFUSALS
from sipshop.switch.registrations import Registrations
from sipshop.switch.settler import RETRY_S, Settler
from sipshop.switch.status import Health
from sipshop.switch.trace import Tracer
from sipshop.switch.transfers import (
    REFUSED,
    Consultation,
    OurAsk,
    Transferee,
    number_of,
    part,
    refusal_to_replace,
    wants_call,
)
from sipshop.switch.trunks import Trunks
from sipshop.switch.ways import MOST_WAYS, Way, Ways
from sipshop.world import World

log: Final = logging.getLogger("sipshop.switch")

#: How often the store is told that we live: no call is billed past the last time (billing.md, recovery).
HEARTBEAT_S: Final = 5.0
#: How often the lag of the event loop is measured.
BEAT_S: Final = 0.5
#: The cause of an attempt at a trunk whose name leads nowhere: no route to destination (ITU-T Q.850).
NO_ROUTE_Q850: Final = 3
#: The cause of an attempt at a trunk to which none of the phone's codecs may be offered: bearer capability not
#: implemented (ITU-T Q.850).
NO_MEDIA_Q850: Final = 65
BoothKey = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the switch runs: `process` names this run, `max_calls` bounds its live calls, `max_call_s` each talk.

    A talk is granted in slices of `slice_s` while somebody in its chain can run out of money. New calls are refused
    while the event loop lags by more than `overload_lag_s`. So many `redirects` of a carrier are followed at a try.
    `shield` says what strangers may cost us. Phones are asked every `keepalive_s` whether they are there. The rest is
    how long and how often they are registered.
    """

    process: str
    max_calls: int
    max_call_s: int
    slice_s: int = SLICE_S
    overload_lag_s: float = 1.0
    redirects: int = 0
    bindings_per_booth: int = 5
    registration_least_s: int = 60
    registration_most_s: int = 3600
    shield: Rules = field(default_factory=Rules)
    keepalive_s: int = 0


def _no_secret(reference: str) -> str:
    raise ValueError(f"{reference} cannot be fetched here")


class Switch:
    """The live calls of one process; `desk` is the people's door to them, `accounts` what they may spend.

    `gate` knows who a request comes from, and who is not heard.

    Everything that touches calls runs in turns of the event loop, so that nothing here needs a lock. Facts go to each
    of `on_fact` in the order in which they came to be, a world that takes the place of another to `on_world`.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        store: Store,
        agent: UserAgent,
        options: Options,
        random: Callable[[int], bytes],
        on_fact: Iterable[Callable[[Fact], None]] = (),
        on_lag: Callable[[float], None] = lambda _lag_s: None,
        on_world: Callable[[World], None] = lambda _world: None,
        fetch_secret: Callable[[str], str] = _no_secret,
        utc_ms: Callable[[], int] = utc_ms,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._store = store
        self._agent = agent
        self._options = options
        self._random = random
        self._listeners = tuple(on_fact)
        self._on_lag = on_lag
        self._tell_world = on_world
        self._utc_ms = utc_ms
        self._clock = clock
        self._started_s = clock()
        self._sealer = hmac.new(store.secret, digestmod="sha256")
        self.gate = Gate(
            agent,
            directory,
            self._tell,
            secret=store.secret,
            random=random,
            rules=options.shield,
            utc_ms=utc_ms,
            clock=clock,
        )
        self._registrations = Registrations(
            agent=agent,
            directory=directory,
            store=store,
            tell=self._tell,
            location=_location(options),
            keepalive_s=options.keepalive_s,
            on_moved=self._phone_moved,
            on_kept=self.gate.trust,
            utc_ms=utc_ms,
        )
        self._calls = LiveCalls(directory)
        self._inflow = Inflow()
        self.trunks = Trunks(
            agent=agent,
            tell=self._tell,
            ways=Ways(lambda: self._endpoint_now),
            learn=self._learn,
            fetch=fetch_secret,
        )
        self.accounts = Accounts(store.accounts(), store.unpaid_sessions())
        self.alerts = Alerts(directory, store, self._tell, utc_ms)
        self._limits = Limiter(directory=directory, store=store, alerts=self.alerts, utc_ms=utc_ms)
        self._balances = Balances(
            directory=directory, store=store, accounts=self.accounts, alerts=self.alerts, utc_ms=utc_ms
        )
        self._settler = Settler(store, agent.timers, self._turn)
        self._farewells = Farewells(store, agent, self._turn)
        self._meter = Meter(
            accounts=self.accounts,
            limits=self._limits,
            balances=self._balances,
            store=store,
            timers=agent.timers,
            run=self._run,
            most_s=options.max_call_s,
            slice_s=options.slice_s,
        )
        self.desk = Desk(
            directory=directory,
            store=store,
            accounts=self.accounts,
            calls=self._calls,
            meter=self._meter,
            settler=self._settler,
            registrations=self._registrations,
            turn=self._turn,
            run=self._run,
            tell=self._tell,
            health=self.health,
            utc_ms=utc_ms,
            clock=clock,
            on_world=self._swapped,
            carriers=self.trunks,
            most_s=options.max_call_s,
            limits=self._limits,
            balances=self._balances,
            alerts=self.alerts,
            random=random,
        )
        self.tracer = Tracer(
            directory=directory,
            calls=self._calls,
            tap=lambda heard: self._endpoint_now.tap(heard),  # noqa: PLW0108  # there is none before `begin`
            random=random,
            utc_ms=utc_ms,
            clock=clock,
        )
        self._endpoint: Endpoint | None = None
        self._lag_s = 0.0
        self._draining = False
        self._recovering = 0
        self._interrupted: set[str] = set()  # Call-IDs of callers whose calls an earlier process left behind

    # Life.

    def begin(self, endpoint: Endpoint) -> None:
        """Take the store's sessions and unfinished calls, and send by `endpoint`, which hears nobody yet."""
        self._endpoint = endpoint
        kept = self._store.limits()
        self.alerts.begin(kept)
        self._limits.begin(kept)
        self._balances.begin(kept)
        self.desk.begin()
        with endpoint.turn() as now:
            self._recover(now)
            self._heartbeat(now)
            self._registrations.begin(now)
            self.trunks.begin(self._directory.worlds, now)
            self._agent.timers.start(now + BEAT_S, partial(self._beat, now + BEAT_S))

    def change(self, options: Options) -> None:
        """Take other limits for the calls that begin from now on, and the passwords of trunks from where they are kept.

        What phones have registered stays as it was begun.
        """
        self._options = options
        self._meter.limit(most_s=options.max_call_s, slice_s=options.slice_s)
        self.gate.change(options.shield)
        with self._turn() as now:
            self.trunks.reread(now)

    async def drain(self, limit_s: float) -> int:
        """Refuse new calls, end those that live, and wait until their CDRs are on disk; how many are left then.

        An emergency call is not ended by us: its sound flows past us, and may go on when we are gone.
        """
        self._draining = True
        with self._turn() as now:
            self.trunks.end(now)
            self._registrations.end(now)
            for live in self._calls:
                if live.offer.kind is not CallKind.EMERGENCY:
                    self._run(live, live.call.hear(calls.Cut("the switch goes down"), now), now)
        left = await self._settler.drain(limit_s)
        self._farewells.sweep()
        await self.trunks.gone()
        if left:
            log.error("%d calls have no CDR yet: the next start settles them", left)
        return left

    def health(self) -> Health:
        """Whether calls and commands can be taken."""
        writable = self._store.writable
        reasons = {
            f"settling {self._recovering} calls of an earlier run": self._recovering > 0,
            "going down": self._draining,
            "the database cannot be written": not writable,
        }
        why = "; ".join(reason for reason, holds in reasons.items() if holds)
        return Health(
            ready=not why,
            recovering=self._recovering > 0,
            writable=writable,
            draining=self._draining,
            why=why,
        )

    def tables(self) -> dict[str, int]:
        """How many entries each table of the engine holds: all zero when nothing is going on, but for what lasts.

        Registrations and nonces last for a while by design, two timers are ours, trunks and registrations have some.
        """
        return {
            **self._agent.tables(),
            "timers": max(0, len(self._agent.timers) - 2 - self._registrations.timers - self.trunks.timers),
            "calls": len(self._calls),
            "owned_legs": self._calls.legs,
            "unsettled_calls": self._settler.unsettled,
            "unwritten_cdrs": self._settler.unwritten,
            "owed_byes": len(self._farewells),
            "holds": self.accounts.holds,
            "bindings": self._registrations.size,
            "nonces": self.gate.nonces,
        }

    # What the SIP engine hands up.

    def handle(self, output: Output, now: float) -> None:
        """Take one output of the user agent."""
        match output:
            case Happened(leg=leg, event=event):
                self._hear_leg(leg, event, now)
            case Invited(transaction=transaction, source=source):
                self._hear_invite(transaction, source, now)
            case Requested(transaction=transaction, source=source):
                self._hear_request(transaction, source, now)
            case Disconnected(flow=flow):
                self._registrations.hear_lost(flow, now)
            case Dropped(reason=reason):
                self._tell(MessageDropped(reason=reason))
            case Rejected(status=status, cause=cause):
                self._tell(RequestRefused(status=status, cause=cause, shop=None))

    def _hear_request(self, transaction: ServerTransaction, source: Flow, now: float) -> None:
        request = transaction.request
        if request.method == "OPTIONS":
            headers = [("allow", self._agent.allow), ("accept", "application/sdp")]
            self._agent.turn_away(transaction, source, 200, now, headers=headers)
            return
        booth = self.gate.authenticate(transaction, source, request.to, now)
        if booth is not None:
            self._registrations.hear(transaction, booth, now)

    def _hear_invite(self, transaction: ServerTransaction, source: Flow, now: float) -> None:
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
                self._refuse_replacing(transaction, source, lambda live, leg: _is_carriers(live, leg, carriers), now)
            return
        booth = self.gate.authenticate(transaction, source, request.from_, now)
        if booth is None:
            return
        shop = self._directory.shop_of(booth)
        if self._directory.is_another(booth, request.from_.uri.user) and not shop.numbers.is_emergency(dialled):
            self._agent.refuse(transaction, 403, now)
            self._tell(RequestRefused(status=403, cause="wrong_aor", shop=shop.name))
            return
        if request.get("replaces") is not None and not shop.numbers.is_emergency(dialled):
            self._refuse_replacing(transaction, source, lambda live, leg: _is_booths(live, leg, booth), now)
            return
        state = self._state(booth)
        offer = partial(
            Offer, transaction=transaction, shop=shop, booth=booth, dialled=dialled, session_id=state.session_id
        )
        match admit(shop, booth, state, dialled):
            case Emergency():
                self._admit_emergency(offer(kind=CallKind.EMERGENCY), now)
            case Admitted(e164=e164):
                self._admit(offer(e164=e164), now)
            case Refused(cause=cause):
                self._refuse_booth(offer(), cause, now)

    def _phone_moved(self, booth: Booth, old: Flow, new: Flow) -> None:
        """A phone has registered from another place, with its password: its calls are reached there too."""
        for live in self._calls.of_booth((booth.tenant, booth.name)):
            leg = live.booth_leg
            if leg is not None and leg.flow == old:
                leg.move(new)

    def _state(self, booth: Booth) -> BoothState:
        session = self.desk.open_session((booth.tenant, booth.name))
        return BoothState(
            session_id=session.id if session is not None else None,
            live_calls=self._calls.count((booth.tenant, booth.name)),
            suspended=self._directory.suspended_above(booth),
        )

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
            cause = inbound.refusal(shop, booth, self._state(booth), len(phones))
            if cause is None:
                self._admit_carrier(offers(shop=shop, booth=booth), inbound.extensions(booth, phones, trunk), now)
                return
            causes.append((cause, offers(shop=shop, booth=booth)))
        cause = inbound.told(cause for cause, _ in causes)
        self._refuse_booth(next(offer for why, offer in causes if why is cause), cause, now)

    def _admit_carrier(self, offer: Offer, phones: tuple[Extension, ...], now: float) -> None:
        """Begin a call from outside; it takes one of its carrier's lines, and nobody's money."""
        assert offer.carrier is not None, "it came from one"
        live = self._open(offer, phones, now)
        assert isinstance(live.leg_a, Leg), "an INVITE makes one"
        assert live.leg_a.dialog is not None, "an INVITE with a Contact makes one"
        live.leg_a.dialog.symmetric = False  # a carrier is reached where he says that he is
        has_line = self._meter.take_line(live, offer.carrier, now)
        full = calls.Denied(Cause.OVERLOADED, "the carrier has no free line")
        self._run(live, live.call.begin(now) if has_line else live.call.hear(full, now), now)

    def _closed(self, request: Request, dialled: str) -> Cause | None:
        """Why nobody's call is taken at this moment, whoever he is; emergency calls are always heard."""
        if self._draining:
            cause = Cause.DRAINING
        elif len(self._calls) >= self._options.max_calls or self._lag_s > self._options.overload_lag_s:
            cause = Cause.OVERLOADED
        elif request.call_id in self._interrupted:
            cause = Cause.RESTARTED
        else:
            return None
        return None if self._directory.is_emergency(dialled) else cause

    def _admit(self, offer: Offer, now: float) -> None:
        """Begin the call of an admitted number, if it can be made."""
        offer, found = self._find_way(offer, now)
        if isinstance(found, Cause):
            self._refuse_booth(offer, found, now)
        else:
            live = self._open_charged(offer, found, now)
            self._run(live, live.call.begin(now), now)

    def _find_way(self, offer: Offer, now: float) -> tuple[Offer, tuple[Trunk, ...] | Cause]:
        """The trunks that take an admitted number, if every level sells it; the offer then has its passage."""
        shop, booth, e164, session_id = offer.shop, offer.booth, offer.e164, offer.session_id
        assert e164 is not None, "the number was understood"
        assert session_id is not None, "the booth is open"
        at_ms = self._utc_ms()
        passage = self._directory.passage(shop, booth.name, session_id, e164, self._agent.pick, at_ms=at_ms)
        if isinstance(passage, Cause):
            return replace(offer, destination=self._directory.destination(shop, e164, at_ms)), passage
        offer = replace(offer, destination=passage.levels[0].tariff.rate.destination, passage=passage)
        return offer, by_health(passage.trunks, lambda trunk: self.trunks.standing(trunk, now)) or Cause.TRUNKS_FAILED

    def _open_charged(
        self, offer: Offer, trunks: tuple[Trunk, ...], now: float, leg_a: Transferee | None = None
    ) -> Live:
        """Make a call that a booth session pays for."""
        passage, session_id, tenant = offer.passage, offer.session_id, offer.shop.tenant
        assert passage is not None, "every level sells it"
        assert session_id is not None, "the booth is open"
        live = self._open(offer, trunks, now, leg_a)
        live.payers = self.accounts.payers(tenant, session_id, passage.levels)
        self._settler.expect((tenant, offer.booth.name), live.call_id)
        for party in passage.losses:
            self._tell(LossSeen(tenant=tenant, party=party, call_id=live.call_id))
        return live

    def _admit_emergency(self, offer: Offer, now: float) -> None:
        trunks = self._directory.routings[offer.shop.tenant].emergency()
        about = {"tenant": offer.shop.tenant, "shop": offer.shop.name, "booth": offer.booth.name}
        if not trunks:
            log.critical("no trunk takes the emergency call to %s", printable(offer.dialled), extra=about)
            self._refuse_booth(offer, Cause.NO_ROUTE, now)
            return
        trunks = by_health(trunks, lambda trunk: self.trunks.standing(trunk, now), is_emergency=True)
        live = self._open(offer, trunks, now)
        log.warning("emergency call to %s", printable(offer.dialled), extra={"call": live.call_id, **about})
        self._run(live, live.call.begin(now), now)

    def _open(self, offer: Offer, targets: tuple[Target, ...], now: float, leg_a: Transferee | None = None) -> Live:
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

    def _turn_away(self, transaction: ServerTransaction, source: Flow, cause: Cause, now: float) -> None:
        """Refuse somebody who has proved nothing: he leaves no state."""
        refusal = REFUSALS[cause]
        self._agent.turn_away(
            transaction, source, refusal.status, now, reason=refusal.phrase, headers=refusal.headers()
        )
        self._tell(RequestRefused(status=refusal.status, cause=cause.value, shop=None))

    def _refuse_booth(self, offer: Offer, cause: Cause, now: float) -> None:
        """Refuse a booth that we know: it leaves a CDR of zero."""
        refusal = REFUSALS[cause]
        self._agent.refuse(offer.transaction, refusal.status, now, reason=refusal.phrase, headers=refusal.headers())
        self._note_refusal(offer, cause)

    def _note_refusal(self, offer: Offer, cause: Cause) -> None:
        self._tell(RequestRefused(status=REFUSALS[cause].status, cause=cause.value, shop=offer.shop.name))
        self._settler.write(cdr_of_refusal(offer, self._random(8).hex(), REFUSALS[cause], self._utc_ms()))

    def _hear_leg(self, leg: Leg, event: Event, now: float) -> None:
        found = self._calls.of_leg(leg)
        if found is None:
            return  # given up: it finishes its own business
        live, side = found
        if isinstance(event, Referred):
            self._hear_referred(live, leg, event, now)
            return
        if isinstance(event, Replied) and isinstance(event.ask, OurAsk):
            event.ask.hear(event, now)
            return
        if side is Side.CALLEE:
            self._note_carrier(live, event, now)
        if isinstance(event, HungUp | Lost | Failed):
            self._calls.let_go(leg)
        if isinstance(event, HungUp | Lost) and live.joined is not None:
            live.over = event
        elif isinstance(event, Lost) and event.alive_at_s is not None:
            vanished = calls.Vanished(event.why, event.alive_at_s)
            self._run(live, live.call.hear(vanished, now, side), now)
            return
        self._run(live, live.call.hear(event, now, side), now)

    # Transfers.

    def _hear_referred(self, live: Live, leg: Leg, referred: Referred, now: float) -> None:
        """A REFER: a booth that has proved to be one may have its callee talk with somebody else, if its shop lets it.

        Whoever has seen a call's tags could send one, and phone at the booth's cost: it needs the password again.
        """
        ask, transaction = referred.ask, referred.ask.transaction
        assert transaction is not None, "it is the peer's"
        if leg is not live.booth_leg or not self._may_transfer(live):
            self._refuse_transfer(live, leg, ask, now)
            return
        found = self.gate.examine(transaction.request, transaction.flow, transaction.request.from_, now)
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
            self._note_refusal(offer, way)
            return
        transferee = Transferee(live, leg.refer(ask, now), self._run, _offered)
        new = self._open_charged(offer, way, now, transferee)
        transferee.call(new, now)
        self._run(new, new.call.begin(now), now)

    def _transfer_to_consulted(self, live: Live, leg: Leg, ask: Ask, replaces: Replaces, now: float) -> None:
        """Join the callees of two calls of a booth.

        What becomes of the dialog that is to be replaced NOTIFY tells, as if the callee had asked for it: a 481 to the
        REFER itself would end the call that it came in (RFC 5057 section 5.1).
        """
        state = self._state(live.offer.booth)
        if state.suspended is not None or state.session_id != live.offer.session_id:
            cause = Cause.SUSPENDED if state.suspended is not None else Cause.LOCKED
            leg.reply(ask, REFUSALS[cause].status, None, now, REFUSALS[cause].headers())
            self._tell(RequestRefused(status=REFUSALS[cause].status, cause=cause.value, shop=live.offer.shop.name))
            return
        booth = live.offer.booth
        other = self._replaced(replaces, lambda live, leg: _is_booths(live, leg, booth))
        referral = leg.refer(ask, now)
        if isinstance(other, Live) and other is not live and other.offer.session_id == live.offer.session_id:
            Consultation(live, other, referral, self._run, _offered).begin(now)
        else:
            status = other if isinstance(other, int) else REFUSED
            referral.finish(status, now)
            self._tell_not_replaced(status, live.offer.shop.name)

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

    def _refuse_replacing(
        self, transaction: ServerTransaction, source: Flow, is_his: Callable[[Live, Leg], bool], now: float
    ) -> None:
        """An INVITE that wants to take a dialog over: nobody may, and he is told what RFC 3891 has for his case."""
        replaced = self._replaced(parse_replaces(transaction.request.get("replaces") or ""), is_his)
        status = replaced if isinstance(replaced, int) else REFUSED
        self._agent.turn_away(transaction, source, status, now)
        self._tell_not_replaced(status, None)

    def _tell_not_replaced(self, status: int, shop: str | None) -> None:
        cause = "no_dialog" if status == 481 else "no_transfer"
        self._tell(RequestRefused(status=status, cause=cause, shop=shop))

    def _may_transfer(self, live: Live) -> bool:
        """Whether a call may be transferred: one that its booth has dialled and talks in, in a shop that allows it."""
        offer = live.offer
        booth = self._directory.booths.get((live.tenant, offer.booth.name))
        is_charged = offer.carrier is None and offer.kind is CallKind.CALL
        talks = live.call.state is calls.State.TALKING
        return is_charged and talks and booth is not None and self._directory.shop_of(booth).transfer

    def _admit_transfer(self, offer: Offer, booth: Booth, now: float) -> tuple[Offer, tuple[Trunk, ...] | Cause]:
        """What is asked of any dialled number; its line is the booth's own, whose phone is about to leave."""
        closed = self._closed(offer.transaction.request, offer.dialled)
        if closed is not None:
            return offer, closed
        state = self._state(booth)
        shop = self._directory.shop_of(booth)
        match admit(shop, booth, replace(state, live_calls=state.live_calls - 1), offer.dialled):
            case Admitted(e164=e164, session_id=session_id) if session_id == offer.session_id:
                return self._find_way(replace(offer, shop=shop, booth=booth, e164=e164), now)
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
        return frozenset({request.uri.host.lower(), request.to.uri.host.lower(), self._advertised_host.lower()})

    def _note_carrier(self, live: Live, event: Event, now: float) -> None:
        """Tell a carrier's health what a call has found out about him."""
        assert live.dialled is not None, "leg B was dialled"
        trunk = live.dialled.target
        if not isinstance(trunk, Trunk):
            return
        assert live.way is not None, "it was dialled at an address"
        match event:
            case Progressed(status=status) if status > 100 and not live.rang:
                self.trunks.answered(live.way)
                self.trunks.hear(trunk, healths.Answered(status), now)
            case Answered():
                self.trunks.answered(live.way)
                self.trunks.hear(trunk, healths.Answered(200), now)
            case Failed(responded=responded, status=status, retry_after_s=retry_after_s, why=why):
                if calls.fails_here(status, responded=responded):
                    self.trunks.lost(trunk, live.way, why or str(status), now, retry_after_s)
                    if live.ways:
                        return  # what he is like his other addresses will tell
                heard = healths.Answered(status, retry_after_s) if responded else healths.Silent()
                self.trunks.hear(trunk, heard, now)

    # What calls want done.

    def _run(self, live: Live, commands: list[Command], now: float) -> None:
        for command in commands:
            self._do(live, command, now)
        self._arm(live)

    def _arm(self, live: Live) -> None:
        deadline = live.call.deadline
        if live.timer is not None and live.timer.at_s != deadline:
            live.timer.stop()
            live.timer = None
        if deadline is not None and live.timer is None:
            live.timer = self._agent.timers.start(deadline, partial(self._tick, live))

    def _tick(self, live: Live, now: float) -> None:
        live.timer = None
        self._run(live, live.call.tick(now), now)

    def _do(self, live: Live, command: Command, now: float) -> None:
        match command:
            case calls.Authorise():
                self._run(live, live.call.hear(self._meter.authorise(live), now), now)
            case calls.Dial() | calls.DialOn() | calls.GiveUp():
                self._call_out(live, command, now)
            case calls.Progress(status=status, content=content, is_reliable=is_reliable):
                self._progress(live)
                live.leg_a.progress(status, self._told(live, Side.CALLER, content), now, reliably=is_reliable)
            case calls.AcknowledgeProgress(content=content):
                assert live.leg_b is not None, "what rang was dialled"
                live.leg_b.acknowledge_progress(content, now)
            case calls.Commit():
                live.added_s -= now
                done = partial(self._committed, live)
                row = row_of(live, self._options.process, answered=True)
                self._store.submit(AnsweredRow(live.offer.shop.tenant, live.call_id, row), done)
            case calls.Answer(content=content):
                live.leg_a.answer(self._told(live, Side.CALLER, content), now)
                self._answered(live, now)
            case calls.Acknowledge(content=content):
                assert live.leg_b is not None, "a call that was answered has leg B"
                live.leg_b.acknowledge(content, now)
            case calls.Reject(fate=fate):
                self._reject(live, _said(live, fate), now)
            case calls.HangUp(side=side, q850=q850):
                leg_to_end = self._leg(live, side)
                self._calls.let_go(leg_to_end)
                leg_to_end.hang_up(f"Q.850;cause={q850}", now)
            case calls.AwaitProof(side=side, talk_ms=talk_ms):
                self._await_proof(live, self._leg(live, side), talk_ms, now)
            case calls.Settle(fate=fate, talk_ms=talk_ms):
                self._meter.charge(live, talk_ms)
                self._settle(live, cdr_of(live, _said(live, fate), talk_ms, self._utc_ms()), now)
                part(live, self._run, now)
            case _:
                self._pass(live, command, now)

    def _call_out(self, live: Live, command: calls.Dial | calls.DialOn | calls.GiveUp, now: float) -> None:
        """Leg B, before anybody has answered it."""
        match command:
            case calls.Dial(target=target, attempt=attempt):
                self._try(live, target, attempt, now)
            case calls.DialOn(attempt=attempt):
                self._dial_on(live, attempt, now)
            case calls.GiveUp():
                self._give_up(live, now)

    def _give_up(self, live: Live, now: float) -> None:
        """Leave a carrier: because he said nothing in his time, or because nobody wants to know any more."""
        if live.search is not None:
            live.search = None  # nothing was sent, and nothing will be
            target = live.call.attempts[-1].target
            assert isinstance(target, Trunk), "a phone is where it registered"
            self.trunks.hear(target, healths.Withdrawn(), now)
            return
        leg, attempt = live.leg_b, live.dialled
        assert leg is not None, "what is given up was dialled"
        assert attempt is not None, "what is given up was dialled"
        self._calls.let_go(leg)
        is_silent = not leg.responded and now >= attempt.sent_at_s + attempt.target.first_response_timeout_s
        if isinstance(attempt.target, Trunk):
            assert live.way is not None, "it was dialled at an address"
            if is_silent:
                self.trunks.lost(attempt.target, live.way, "timeout", now)
            if not (is_silent and live.ways):
                self.trunks.hear(attempt.target, healths.Silent() if is_silent else healths.Withdrawn(), now)
        leg.give_up(now)

    def _pass(self, live: Live, command: Command, now: float) -> None:
        """Requests inside the dialogs, on their way through."""
        match command:
            case calls.PassAsk(to=to, ask=ask):
                self._relay(live, to, ask, now)
            case calls.PassReply(to=to, ask=ask, status=status, content=content):
                self._leg(live, to).reply(ask, status, self._told(live, to, content), now)
            case calls.PassWithdrawal(to=to, ask=ask):
                self._leg(live, to).withdraw(ask, now)
            case calls.PassAskAcknowledgement(to=to, ask=ask, content=content):
                self._leg(live, to).acknowledge_relayed(ask, content)
            case _:
                raise AssertionError(f"{command!r} is no command of a call")

    def _relay(self, live: Live, to: Side, ask: Ask, now: float) -> None:
        """Pass a request inside the call; a carrier is offered no more in it than at the beginning."""
        trunk = live.carrier_at(to)
        if trunk is not None:
            try:
                ask.content = _offered(ask.content, trunk)
            except NoCommonMedia:
                self._leg(live, to.other).reply(ask, 488, None, now)
                return
        self._leg(live, to).relay(ask, now)

    def _told(self, live: Live, to: Side, content: Content | None) -> Content | None:
        """What a response says of the session: where it makes the offer, a carrier gets his codecs of it.

        One that has none of them offers him no stream: the phone's response is sent, and cannot be refused any more.
        """
        trunk = live.carrier_at(to)
        if trunk is None or self._leg(live, to).exchange.state is not OfferState.OUR_TURN:
            return content
        return _offered(content, trunk, may_be_silent=True)

    def _leg(self, live: Live, side: Side) -> Leg:
        if side is Side.CALLER:
            caller = live.joined or live.leg_a
            assert isinstance(caller, Leg), "who is transferred is heard in the call that he comes from"
            return caller
        assert live.leg_b is not None, "a call that was answered has leg B"
        return live.leg_b

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
            self._run(live, live.call.hear(calls.Blocked(), now), now)
            return
        try:
            _offered(live.leg_a.offer, trunk)
        except NoCommonMedia as error:
            blocked = calls.Blocked(q850=NO_MEDIA_Q850, detail=str(error), why="codecs")
            self._run(live, live.call.hear(blocked, now), now)
            return
        self.trunks.hear(trunk, healths.Tried(), now)
        search = live.search = object()
        self.trunks.find(trunk, now, partial(self._found, live, attempt, search))
        if live.search is search:
            self._run(live, live.call.hear(calls.Searching(), now), now)

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
        self.trunks.hear(trunk, healths.Silent(), now)
        blocked = calls.Blocked(q850=NO_ROUTE_Q850, detail=plan.why, why="dns")
        self._run(live, live.call.hear(blocked, now), now)

    def _dial_on(self, live: Live, attempt: int, now: float) -> None:
        """Send the INVITE to the next address; its Call-ID and tag are ours to recognise even after a restart."""
        trunk = live.call.attempts[attempt - 1].target
        assert isinstance(trunk, Trunk), "a phone has one address"
        live.way, *others = live.ways
        live.ways = tuple(others)
        call_id = self._seal(f"{live.call_id}/{attempt}/{written(live.way.address)}/{live.way.transport}")
        self._dialled(live, self._invite(live, trunk, live.way, call_id, now), attempt, now)
        self._run(live, live.call.hear(calls.Sent(len(others)), now), now)

    def _invite(self, live: Live, trunk: Trunk, way: Way, call_id: str, now: float) -> OutgoingLeg:
        offer, request = live.offer, live.offer.transaction.request
        target = _target(trunk, offer.dialled if offer.e164 is None else trunk.numbers.called(offer.e164))
        shown = identity(trunk.caller_id, _caller(offer), trunk.numbers, trunk.domain or self._advertised_host)
        return self._agent.dial(
            self.trunks.flow(way),
            target=target,
            from_=shown.from_,
            to=f"<{target}>",
            call_id=call_id,
            tag=self._seal(call_id),
            max_forwards=int(request.get("max-forwards") or 70) - 1,
            content=_offered(live.leg_a.offer, trunk),
            now=now,
            redirects=self._options.redirects,
            # an offer that comes while it rings needs a caller who answers while it rings
            reliably=live.leg_a.offer is not None or live.leg_a.takes_reliable,
            headers=shown.headers,
            credentials=self.trunks.credentials(trunk),
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
            from_=inbound.caller(request, offer.carrier, self._advertised_host),
            to=str(NameAddr(Uri("sip", offer.booth.name, self._advertised_host))),
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
            row = row_of(live, self._options.process, answered=False)
            self._store.submit(CallStarted(live.offer.shop.tenant, live.call_id, row))
            live.added_s += self._clock() - now

    def _progress(self, live: Live) -> None:
        if not live.rang:
            live.rang = True
            after_ms = round((self._clock() - live.setup_at_s) * 1000)
            shop, booth = live.offer.shop.name, live.offer.booth.name
            self._tell(CallRang(call_id=live.call_id, tenant=live.tenant, shop=shop, booth=booth, after_ms=after_ms))

    def _committed(self, live: Live, result: object) -> None:
        """The store's word on an answer."""
        with self._turn() as now:
            if isinstance(result, Exception):
                self._run(live, live.call.hear(calls.NotCommitted(str(result)), now), now)
                return
            if not live.leg_a.is_free:
                self._run(live, live.call.hear(calls.Written(), now), now)
            # talk time starts with the 2xx, which may have to wait for a PRACK of the caller
            live.leg_a.when_free(lambda then: self._run(live, live.call.hear(calls.Committed(), then), then), now)

    def _answered(self, live: Live, now: float) -> None:
        """The 2xx has gone to the caller: talk time runs from `now`."""
        live.relayed_at_ms = self._utc_ms()
        self._meter.watch(live, now)
        tenant, trunk = live.offer.shop.tenant, live.trunk
        if live.offer.kind is CallKind.EMERGENCY:
            # nobody waited for this row; it is what ends the call after a crash
            row = row_of(live, self._options.process, answered=True)
            self._store.submit(AnsweredRow(tenant, live.call_id, row))
        else:
            live.added_s += self._clock()
        self._insist(live, CallRelayed(tenant, live.call_id, live.relayed_at_ms, self._mono_ms(now)))
        self._tell(
            CallAnswered(
                call_id=live.call_id,
                tenant=live.tenant,
                shop=live.offer.shop.name,
                booth=live.offer.booth.name,
                trunk=trunk.name if trunk is not None else "",
                relayed_at_ms=live.relayed_at_ms,
                after_ms=round((self._clock() - live.setup_at_s) * 1000),
                added_us=round(live.added_s * 1e6),
            )
        )

    def _await_proof(self, live: Live, leg: Leg, talk_ms: int, now: float) -> None:
        """Hear what a leg that was taken for gone answers to BYE; if we die before, it is billed as gone."""

        def over(then: float) -> None:
            lived = leg.bye_status is not None and leg.bye_status < 300
            self._run(live, live.call.hear(calls.Proved(lived), then), then)

        self._meter.rest(live)
        self._insist(live, CallDoubted(live.tenant, live.call_id, talk_ms))
        leg.at_end(over, now)

    def _insist(self, live: Live, write: CallRelayed | CallDoubted) -> None:
        """Write how long a talk is, again and again if need be while the call lives: a crash would bill by it."""

        def written(result: object) -> None:
            if isinstance(result, Exception) and not live.call.ended:
                with self._turn() as now:
                    self._agent.timers.start(now + RETRY_S, lambda _now: self._insist(live, write))

        if not live.call.ended:
            self._store.submit(write, written)

    def _reject(self, live: Live, fate: calls.Fate, now: float) -> None:
        if isinstance(live.leg_a, Leg):
            self._calls.let_go(live.leg_a)
        if fate.cause is None:
            headers = [("reason", f"Q.850;cause={fate.q850}")] if fate.q850 is not None else []
            live.leg_a.reject(fate.status, None, headers, now)
            return
        refusal = REFUSALS[fate.cause]
        live.leg_a.reject(refusal.status, refusal.phrase, refusal.headers(), now)
        self._tell(RequestRefused(status=refusal.status, cause=fate.cause.value, shop=live.offer.shop.name))

    def _settle(self, live: Live, cdr: Cdr, now: float) -> None:
        """A call is over: forget it and write its CDR."""
        self._calls.remove(live)
        self._settler.write(cdr, self._farewells.of((live.leg_a, live.leg_b), now))
        for fact in trunks_tried(cdr):
            self._tell(fact)
        self._tell(
            CallEnded(
                call_id=cdr.call_id,
                tenant=cdr.tenant,
                shop=cdr.shop,
                booth=cdr.booth,
                trunk=cdr.trunk,
                talk_ms=cdr.talk_ms,
                result=cdr.result.value,
                sip_status=cdr.sip_status or 0,
                q850=cdr.q850,
                hung_up_by=cdr.hung_up_by.value if cdr.hung_up_by is not None else None,
            )
        )

    def _swapped(self, world: World) -> None:
        """A tenant's world was put in the place of another."""
        self.gate.know_the_world()
        with self._turn() as now:
            self.trunks.begin([world], now)
            self._registrations.swapped(now)
        self._tell_world(world)

    def _learn(self, trunk: Trunk, addresses: frozenset[Address]) -> None:
        """A carrier calls from other addresses than before: his name leads there now."""
        self._directory.learn(trunk, addresses)
        self.gate.know_the_world()

    # What an earlier process left behind.

    def _recover(self, now: float) -> None:
        """End the calls of a process that died: BYE on both legs, and a CDR up to its last sign of life."""
        self._farewells.recover(now)
        left = self._store.dead_calls(self._options.process)
        if left:
            log.warning("%d calls of an earlier run are ended and settled", len(left))
        self._recovering = len(left)
        now_ms = self._utc_ms()
        for row, last_heartbeat_ms in left:
            self._interrupted.add(row.leg_a_call_id)
            dialogs = [Dialog.from_json(stored) for stored in (row.dialog_a, row.dialog_b) if stored is not None]
            owed = tuple(self._farewells.end(dialog, now) for dialog in dialogs)
            cdr = cdr_of_dead(row, last_heartbeat_ms, now_ms)
            if row.session_id is not None:
                self._settler.expect((row.tenant, row.booth), row.call_id)
                self.accounts.settle(row.tenant, row.call_id, row.session_id, charged_accounts(cdr), cdr.talk_ms)
            self._limits.remember(cdr)
            self._settler.write(cdr, owed, self._recovered)
        if left:
            # an INVITE that is still repeated must not place the call a second time
            self._agent.timers.start(now + GIVE_UP_S, lambda _now: self._interrupted.clear())

    def _recovered(self) -> None:
        self._recovering -= 1

    def is_ours(self, call_id: str, tag: str) -> bool:
        """Whether a dialog with a carrier was begun by this installation, in this life or an earlier one."""
        return hmac.compare_digest(self._seal(call_id), tag)

    # Small things.

    def _seal(self, text: str) -> str:
        seal = self._sealer.copy()  # a copy of a keyed hash costs a fraction of a new one
        seal.update(text.encode("utf-8", "surrogateescape"))
        return seal.digest()[:12].hex()

    def _heartbeat(self, now: float) -> None:
        self.gate.tidy(now)
        self._farewells.sweep()
        self._store.submit(Heartbeat(self._options.process, self._mono_ms(now), self._utc_ms()))
        self._agent.timers.start(now + HEARTBEAT_S, self._heartbeat)

    def _beat(self, due_s: float, now: float) -> None:
        """Measure how late the event loop runs what was due."""
        self._lag_s = max(0.0, self._clock() - due_s)
        self._on_lag(self._lag_s)
        self.gate.tell_drops()
        self._agent.timers.start(now + BEAT_S, partial(self._beat, now + BEAT_S))

    def _mono_ms(self, now: float) -> int:
        return int((now - self._started_s) * 1000)

    @property
    def _endpoint_now(self) -> Endpoint:
        assert self._endpoint is not None, "the switch has begun"
        return self._endpoint

    def _turn(self) -> AbstractContextManager[float]:
        return self._endpoint_now.turn()

    @property
    def _advertised_host(self) -> str:
        host = self._agent.advertise[0]
        return f"[{host}]" if ":" in host else host

    def _tell(self, fact: Fact) -> None:
        for listener in self._listeners:
            listener(fact)


def _is_booths(live: Live, leg: Leg, booth: Booth) -> bool:
    """Whether a leg of a call is that of a booth's phone."""
    return leg is live.booth_leg and live.booth_key == (booth.tenant, booth.name)


def _is_carriers(live: Live, leg: Leg, carriers: Sequence[Trunk]) -> bool:
    """Whether a leg of a call is that of one of these carriers."""
    return leg is not live.booth_leg and live.trunk in carriers


def _said(live: Live, fate: calls.Fate) -> calls.Fate:
    """A fate as the caller hears it: of a call from outside no carrier has failed, but the booth's phones."""
    if live.offer.carrier is None or fate.cause is not Cause.TRUNKS_FAILED:
        return fate
    return replace(fate, cause=Cause.UNREACHABLE, q850=None)


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


def _offered(content: Content | None, trunk: Trunk, *, may_be_silent: bool = False) -> Content | None:
    """An offer as a carrier gets it; raises `NoCommonMedia` where nothing is left of its sound."""
    if content is None or not trunk.codecs or not content.type.lower().startswith("application/sdp"):
        return content
    return Content(content.type, only(content.data, trunk.codecs, may_be_silent=may_be_silent))


def _location(options: Options) -> Location:
    return Location(
        max_bindings=options.bindings_per_booth,
        min_expires_s=options.registration_least_s,
        max_expires_s=options.registration_most_s,
        default_expires_s=options.registration_most_s,
    )
