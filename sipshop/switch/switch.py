"""The switch: hears the SIP engine, and has each thing done by the one beside it whose business it is (IO).

New calls are the business of `intake`, transfers of `referrals`, what live calls want done of the `runner`. The switch
makes them all, begins, changes and ends with the process, and keeps its time. What must survive a crash goes to the
store before anybody is told that it happened: a booth's command before it is acknowledged, an answer before the caller
hears of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

from sipshop.billing.cdr import CallKind
from sipshop.facts import Fact, MessageDropped, RequestRefused
from sipshop.proxy import news
from sipshop.proxy.admission import Booth, Cause
from sipshop.proxy.course import Side
from sipshop.proxy.registrar import Location
from sipshop.proxy.routing import Trunk
from sipshop.sip.endpoint import Endpoint
from sipshop.sip.events import Event, Failed, HungUp, Lost, Referred, Replied
from sipshop.sip.flow import Address, Flow
from sipshop.sip.leg import Leg
from sipshop.sip.message import Request
from sipshop.sip.transaction import ServerTransaction
from sipshop.sip.useragent import Disconnected, Dropped, Happened, Invited, Output, Requested, UserAgent
from sipshop.sip.useragent import Refused as Rejected
from sipshop.store import Heartbeat, Store
from sipshop.switch.accounts import Accounts
from sipshop.switch.alerts import Alerts
from sipshop.switch.balances import Balances
from sipshop.switch.clock import utc_ms
from sipshop.switch.desk import Desk
from sipshop.switch.directory import Directory
from sipshop.switch.farewells import Farewells
from sipshop.switch.gate import Gate
from sipshop.switch.intake import Intake
from sipshop.switch.limits import Limiter
from sipshop.switch.live import LiveCalls
from sipshop.switch.opener import Opener
from sipshop.switch.options import Options
from sipshop.switch.recovery import Recovery
from sipshop.switch.referrals import Referrals
from sipshop.switch.registrations import Registrations
from sipshop.switch.runner import Runner
from sipshop.switch.settler import Settler
from sipshop.switch.status import Health
from sipshop.switch.trace import Tracer
from sipshop.switch.transfers import OurAsk
from sipshop.switch.trunks import Trunks
from sipshop.switch.ways import Ways
from sipshop.world import World

log: Final = logging.getLogger("sipshop.switch")

#: How often the store is told that we live: no call is billed past the last time (billing.md, recovery).
HEARTBEAT_S: Final = 5.0
#: How often the lag of the event loop is measured.
BEAT_S: Final = 0.5


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
        self._listeners: tuple[Callable[[Fact], None], ...] = tuple(on_fact)
        self._on_lag = on_lag
        self._tell_world = on_world
        self._utc_ms = utc_ms
        self._clock = clock
        self._started_s = clock()
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
        self._runner = Runner(
            agent=agent,
            store=store,
            accounts=self.accounts,
            limits=self._limits,
            balances=self._balances,
            calls=self._calls,
            trunks=self.trunks,
            settler=self._settler,
            farewells=self._farewells,
            turn=self._turn,
            tell=self._tell,
            mono_ms=self._mono_ms,
            utc_ms=utc_ms,
            clock=clock,
            options=options,
        )
        self._recovery = Recovery(
            store=store,
            accounts=self.accounts,
            limits=self._limits,
            settler=self._settler,
            farewells=self._farewells,
            timers=agent.timers,
            utc_ms=utc_ms,
            process=options.process,
        )
        self.desk = Desk(
            directory=directory,
            store=store,
            accounts=self.accounts,
            calls=self._calls,
            meter=self._runner.meter,
            settler=self._settler,
            registrations=self._registrations,
            turn=self._turn,
            run=self._runner.run,
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
        self._listeners = (self.desk.floor.hear, *self._listeners)
        opener = Opener(
            agent=agent,
            directory=directory,
            calls=self._calls,
            accounts=self.accounts,
            settler=self._settler,
            trunks=self.trunks,
            open_session=self.desk.open_session,
            tell=self._tell,
            random=random,
            utc_ms=utc_ms,
        )
        self._referrals = Referrals(
            agent=agent,
            directory=directory,
            gate=self.gate,
            calls=self._calls,
            opener=opener,
            run=self._runner.run,
            closed=self._closed,
            tell=self._tell,
        )
        self._intake = Intake(
            agent=agent,
            directory=directory,
            gate=self.gate,
            registrations=self._registrations,
            trunks=self.trunks,
            meter=self._runner.meter,
            opener=opener,
            referrals=self._referrals,
            run=self._runner.run,
            closed=self._closed,
            tell=self._tell,
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
            self._recovery.begin(now)
            self._heartbeat(now)
            self._registrations.begin(now)
            self.trunks.begin(self._directory.worlds, now)
            self._agent.timers.start(now + BEAT_S, partial(self._beat, now + BEAT_S))

    def change(self, options: Options) -> None:
        """Take other limits for the calls that begin from now on, and the passwords of trunks from where they are kept.

        What phones have registered stays as it was begun.
        """
        self._options = options
        self._runner.change(options)
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
                    self._runner.run(live, live.call.hear(news.Cut("the switch goes down"), now), now)
        left = await self._settler.drain(limit_s)
        self._farewells.sweep()
        await self.trunks.gone()
        if left:
            log.error("%d calls have no CDR yet: the next start settles them", left)
        return left

    def health(self) -> Health:
        """Whether calls and commands can be taken."""
        writable, recovering = self._store.writable, self._recovery.left
        reasons = {
            f"settling {recovering} calls of an earlier run": recovering > 0,
            "going down": self._draining,
            "the database cannot be written": not writable,
        }
        why = "; ".join(reason for reason, holds in reasons.items() if holds)
        return Health(
            ready=not why,
            recovering=recovering > 0,
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
                self._intake.hear(transaction, source, now)
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

    def _phone_moved(self, booth: Booth, old: Flow, new: Flow) -> None:
        """A phone has registered from another place, with its password: its calls are reached there too."""
        for live in self._calls.of_booth((booth.tenant, booth.name)):
            leg = live.booth_leg
            if leg is not None and leg.flow == old:
                leg.move(new)

    def _closed(self, request: Request, dialled: str) -> Cause | None:
        """Why nobody's call is taken at this moment, whoever he is; emergency calls are always heard."""
        if self._draining:
            cause = Cause.DRAINING
        elif len(self._calls) >= self._options.max_calls or self._lag_s > self._options.overload_lag_s:
            cause = Cause.OVERLOADED
        elif request.call_id in self._recovery.interrupted:
            cause = Cause.RESTARTED
        else:
            return None
        return None if self._directory.is_emergency(dialled) else cause

    def _hear_leg(self, leg: Leg, event: Event, now: float) -> None:
        found = self._calls.of_leg(leg)
        if found is None:
            return  # given up: it finishes its own business
        live, side = found
        if isinstance(event, Referred):
            self._referrals.hear(live, leg, event, now)
            return
        if isinstance(event, Replied) and isinstance(event.ask, OurAsk):
            event.ask.hear(event, now)
            return
        if side is Side.CALLEE:
            self._runner.dialler.hear(live, event, now)
        if isinstance(event, HungUp | Lost | Failed):
            self._calls.let_go(leg)
        if isinstance(event, HungUp | Lost) and live.joined is not None:
            live.over = event
        elif isinstance(event, Lost) and event.alive_at_s is not None:
            vanished = news.Vanished(event.why, event.alive_at_s)
            self._runner.run(live, live.call.hear(vanished, now, side), now)
            return
        self._runner.run(live, live.call.hear(event, now, side), now)

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

    def is_ours(self, call_id: str, tag: str) -> bool:
        """Whether a dialog with a carrier was begun by this installation, in this life or an earlier one."""
        return self._runner.dialler.is_ours(call_id, tag)

    def _tell(self, fact: Fact) -> None:
        for listener in self._listeners:
            listener(fact)


def _location(options: Options) -> Location:
    return Location(
        max_bindings=options.bindings_per_booth,
        min_expires_s=options.registration_least_s,
        max_expires_s=options.registration_most_s,
        default_expires_s=options.registration_most_s,
    )
