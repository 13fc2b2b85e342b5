"""What calls want done is done here, command by command, and their end is settled (IO)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

from sipshop.billing.cdr import CallKind, Cdr
from sipshop.facts import CallAnswered, CallEnded, CallRang, Fact, RequestRefused
from sipshop.media.sdp import NoCommonMedia
from sipshop.proxy import news, orders
from sipshop.proxy.admission import Cause
from sipshop.proxy.course import Side
from sipshop.proxy.fate import Fate
from sipshop.proxy.orders import Command
from sipshop.sip.events import Ask, Content
from sipshop.sip.leg import Leg
from sipshop.sip.offer import State as OfferState
from sipshop.sip.useragent import UserAgent
from sipshop.store import CallAnswered as AnsweredRow
from sipshop.store import CallDoubted, CallRelayed, Store
from sipshop.switch.accounts import Accounts
from sipshop.switch.balances import Balances
from sipshop.switch.dialler import Dialler, offered
from sipshop.switch.farewells import Farewells
from sipshop.switch.limits import Limiter
from sipshop.switch.live import LiveCalls
from sipshop.switch.meter import Meter
from sipshop.switch.options import Options
from sipshop.switch.records import Live, cdr_of, row_of, trunks_tried
from sipshop.switch.refusals import REFUSALS
from sipshop.switch.settler import RETRY_S, Settler
from sipshop.switch.transfers import part
from sipshop.switch.trunks import Trunks


class Runner:
    """Runs live calls: does what one commands, tells it what came of that, and has it tick when it wants to.

    It has the `meter` that grants them talk time, and the `dialler` of their legs B. `turn` gives the time, `mono_ms`
    that of the heartbeats.
    """

    def __init__(
        self,
        *,
        agent: UserAgent,
        store: Store,
        accounts: Accounts,
        limits: Limiter,
        balances: Balances,
        calls: LiveCalls,
        trunks: Trunks,
        settler: Settler,
        farewells: Farewells,
        turn: Callable[[], AbstractContextManager[float]],
        tell: Callable[[Fact], None],
        mono_ms: Callable[[float], int],
        utc_ms: Callable[[], int],
        clock: Callable[[], float],
        options: Options,
    ) -> None:
        self._agent = agent
        self._store = store
        self._calls = calls
        self._settler = settler
        self._farewells = farewells
        self._turn = turn
        self._tell = tell
        self._mono_ms = mono_ms
        self._utc_ms = utc_ms
        self._clock = clock
        self._process = options.process
        self.meter = Meter(
            accounts=accounts,
            limits=limits,
            balances=balances,
            store=store,
            timers=agent.timers,
            run=self.run,
            most_s=options.max_call_s,
            slice_s=options.slice_s,
        )
        self.dialler = Dialler(
            agent=agent,
            store=store,
            calls=calls,
            meter=self.meter,
            trunks=trunks,
            run=self.run,
            clock=clock,
            process=options.process,
            redirects=options.redirects,
        )

    def change(self, options: Options) -> None:
        """Take other limits for the calls that begin from now on."""
        self.meter.limit(most_s=options.max_call_s, slice_s=options.slice_s)
        self.dialler.redirects = options.redirects

    def run(self, live: Live, commands: list[Command], now: float) -> None:
        """Do what a call wants done, in order, and look when it wants to hear of the time."""
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
        self.run(live, live.call.tick(now), now)

    def _do(self, live: Live, command: Command, now: float) -> None:
        match command:
            case orders.Authorise():
                self.run(live, live.call.hear(self.meter.authorise(live), now), now)
            case orders.Dial() | orders.DialOn() | orders.GiveUp():
                self.dialler.do(live, command, now)
            case orders.Progress(status=status, content=content, is_reliable=is_reliable):
                self._progress(live)
                live.leg_a.progress(status, self._told(live, Side.CALLER, content), now, reliably=is_reliable)
            case orders.AcknowledgeProgress(content=content):
                assert live.leg_b is not None, "what rang was dialled"
                live.leg_b.acknowledge_progress(content, now)
            case orders.Commit():
                live.added_s -= now
                done = partial(self._committed, live)
                row = row_of(live, self._process, answered=True)
                self._store.submit(AnsweredRow(live.offer.shop.tenant, live.call_id, row), done)
            case orders.Answer(content=content):
                live.leg_a.answer(self._told(live, Side.CALLER, content), now)
                self._answered(live, now)
            case orders.Acknowledge(content=content):
                assert live.leg_b is not None, "a call that was answered has leg B"
                live.leg_b.acknowledge(content, now)
            case orders.Reject(fate=fate):
                self._reject(live, _said(live, fate), now)
            case orders.HangUp(side=side, q850=q850):
                leg_to_end = self._leg(live, side)
                self._calls.let_go(leg_to_end)
                leg_to_end.hang_up(f"Q.850;cause={q850}", now)
            case orders.AwaitProof(side=side, talk_ms=talk_ms):
                self._await_proof(live, self._leg(live, side), talk_ms, now)
            case orders.Settle(fate=fate, talk_ms=talk_ms):
                self.meter.charge(live, talk_ms)
                self._settle(live, cdr_of(live, _said(live, fate), talk_ms, self._utc_ms()), now)
                part(live, self.run, now)
            case _:
                self._pass(live, command, now)

    def _pass(self, live: Live, command: Command, now: float) -> None:
        """Requests inside the dialogs, on their way through."""
        match command:
            case orders.PassAsk(to=to, ask=ask):
                self._relay(live, to, ask, now)
            case orders.PassReply(to=to, ask=ask, status=status, content=content):
                self._leg(live, to).reply(ask, status, self._told(live, to, content), now)
            case orders.PassWithdrawal(to=to, ask=ask):
                self._leg(live, to).withdraw(ask, now)
            case orders.PassAskAcknowledgement(to=to, ask=ask, content=content):
                self._leg(live, to).acknowledge_relayed(ask, content)
            case _:
                raise AssertionError(f"{command!r} is no command of a call")

    def _relay(self, live: Live, to: Side, ask: Ask, now: float) -> None:
        """Pass a request inside the call; a carrier is offered no more in it than at the beginning."""
        trunk = live.carrier_at(to)
        if trunk is not None:
            try:
                ask.content = offered(ask.content, trunk)
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
        return offered(content, trunk, may_be_silent=True)

    def _leg(self, live: Live, side: Side) -> Leg:
        if side is Side.CALLER:
            caller = live.joined or live.leg_a
            assert isinstance(caller, Leg), "who is transferred is heard in the call that he comes from"
            return caller
        assert live.leg_b is not None, "a call that was answered has leg B"
        return live.leg_b

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
                self.run(live, live.call.hear(news.NotCommitted(str(result)), now), now)
                return
            if not live.leg_a.is_free:
                self.run(live, live.call.hear(news.Written(), now), now)
            # talk time starts with the 2xx, which may have to wait for a PRACK of the caller
            live.leg_a.when_free(lambda then: self.run(live, live.call.hear(news.Committed(), then), then), now)

    def _answered(self, live: Live, now: float) -> None:
        """The 2xx has gone to the caller: talk time runs from `now`."""
        live.relayed_at_ms = self._utc_ms()
        self.meter.watch(live, now)
        tenant, trunk = live.offer.shop.tenant, live.trunk
        if live.offer.kind is CallKind.EMERGENCY:
            # nobody waited for this row; it is what ends the call after a crash
            row = row_of(live, self._process, answered=True)
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
            self.run(live, live.call.hear(news.Proved(lived), then), then)

        self.meter.rest(live)
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

    def _reject(self, live: Live, fate: Fate, now: float) -> None:
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


def _said(live: Live, fate: Fate) -> Fate:
    """A fate as the caller hears it: of a call from outside no carrier has failed, but the booth's phones."""
    if live.offer.carrier is None or fate.cause is not Cause.TRUNKS_FAILED:
        return fate
    return replace(fate, cause=Cause.UNREACHABLE, q850=None)
