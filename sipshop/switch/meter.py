"""The meter: grants a call its talk time slice by slice, and charges every level when it is over (IO)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sipshop.billing.cdr import CallKind
from sipshop.billing.chain import longest_s
from sipshop.proxy import news
from sipshop.proxy.admission import Cause
from sipshop.proxy.orders import Command
from sipshop.proxy.routing import Caps, Trunk
from sipshop.sip.timers import Timers
from sipshop.store import CallGranted, Store
from sipshop.switch.accounts import Accounts
from sipshop.switch.balances import Balances
from sipshop.switch.limits import Limiter
from sipshop.switch.records import Live

#: A call is granted talk time in slices of this, while money lasts, and a longer one this much before its end.
SLICE_S: Final = 60
RENEWAL_LEAD_S: Final = 10.0
#: Nearer than this to the end of what is granted, no more is asked for.
LAST_CALL_S: Final = 0.25


class Meter:
    """What calls may spend, and what they have spent.

    A talk lasts `most_s` at most, and is granted in slices of `slice_s` while somebody in its chain can run out of
    money. `run` does what a call wants done.
    """

    def __init__(
        self,
        *,
        accounts: Accounts,
        limits: Limiter,
        balances: Balances,
        store: Store,
        timers: Timers,
        run: Callable[[Live, list[Command], float], None],
        most_s: int,
        slice_s: int,
    ) -> None:
        self._accounts = accounts
        self._limits = limits
        self._balances = balances
        self._store = store
        self._timers = timers
        self._run = run
        self._most_s = most_s
        self._slice_s = slice_s
        self._caps = Caps()

    def limit(self, *, most_s: int, slice_s: int) -> None:
        """Grant by other limits from now on; what was granted stays."""
        self._most_s = most_s
        self._slice_s = slice_s

    def authorise(self, live: Live) -> news.Granted | news.Denied:
        """Have every level hold what the first slice costs, if no limit forbids the call."""
        denied = self._limits.admit(live)
        if denied is not None:
            return denied
        talk_s: int | None = longest_s(live.payers, self._most_s, live.setup_at_ms)
        if self._accounts.is_limited(live.tenant, live.payers) or self._limits.is_spending(live):
            wish_s = self._limits.affordable_s(live, 0, min(self._slice_s, talk_s or 0))
            if isinstance(wish_s, news.Denied):
                return wish_s
            talk_s = self._accounts.grant(
                live.tenant, live.call_id, live.payers, floor_s=0, wish_s=wish_s, at_ms=live.setup_at_ms
            )
        if talk_s is None:
            return news.Denied(Cause.NO_FUNDS, "a level of the chain has no funds for a first second")
        self._limits.granted(live, talk_s, is_first=True)
        self._balances.check_call(live)
        return news.Granted(talk_s * 1000)

    def renew(self, live: Live, now: float) -> None:
        """Grant a talking call another slice, where every level can pay for it, and look again before that ends."""
        answered_at_s, granted_ms = live.call.answered_at_s, live.call.granted_ms
        if not live.call.talks or answered_at_s is None or granted_ms is None:
            return
        if granted_ms > self._most_of(live) * 1000:
            return  # more is granted than its trunk carries
        floor_s, wish_s = granted_ms // 1000, min(int(now - answered_at_s) + self._slice_s, self._most_of(live))
        talk_s = self._longer(live, floor_s, wish_s) if wish_s > floor_s else None
        if talk_s is not None:
            self._limits.granted(live, talk_s)
            self._balances.check_call(live)
            self._run(live, live.call.hear(news.Extended(talk_s * 1000), now), now)
            self._store.submit(CallGranted(live.tenant, live.call_id, talk_s * 1000))
        self.watch(live, now)

    def _longer(self, live: Live, floor_s: int, wish_s: int) -> int | None:
        """Hold what a longer talk costs, as far as limits and money go; None where that is not a second."""
        limit_s = self._limits.affordable_s(live, floor_s, wish_s)
        if isinstance(limit_s, news.Denied):
            return None
        return self._accounts.grant(
            live.tenant, live.call_id, live.payers, floor_s=floor_s, wish_s=limit_s, at_ms=live.priced_at_ms
        )

    def watch(self, live: Live, now: float) -> None:
        """Look again at what can be granted, the nearer the end the more often: money may come in meanwhile."""
        self.rest(live)
        answered_at_s, granted_ms = live.call.answered_at_s, live.call.granted_ms
        if answered_at_s is None or granted_ms is None or granted_ms >= self._most_of(live) * 1000:
            return
        left_s = answered_at_s + granted_ms / 1000 - now
        if left_s > LAST_CALL_S:
            at_s = now + max(left_s / 2, left_s - RENEWAL_LEAD_S)
            live.renewal = self._timers.start(at_s, lambda then: self.renew(live, then))

    def _most_of(self, live: Live) -> int:
        """How long a talk may be that its trunk carries (seconds)."""
        trunk = live.trunk
        return min(self._most_s, trunk.max_call_s or self._most_s) if trunk is not None else self._most_s

    def rest(self, live: Live) -> None:
        """Grant no more: nobody talks any longer. What is held stays."""
        if live.renewal is not None:
            live.renewal.stop()
            live.renewal = None

    def charge(self, live: Live, talk_ms: int) -> None:
        """A call is over: charge every level in memory, free what was held and its carrier's line."""
        self.rest(live)
        self._free_line(live)
        self._limits.ended(live, talk_ms)
        passage = live.offer.passage
        if passage is not None:
            charges = (
                {level.account: level.price(talk_ms, live.priced_at_ms) for level in passage.levels} if talk_ms else {}
            )
            self._accounts.settle(live.tenant, live.call_id, live.offer.session_id, charges, talk_ms)
            self._balances.note(live, talk_ms)
            self._balances.check_call(live)

    def take_line(self, live: Live, trunk: Trunk, now: float) -> bool:
        """Count a call on a trunk, if it has a line left; an emergency call is never counted."""
        self._free_line(live)
        if live.offer.kind is CallKind.EMERGENCY:
            return True
        if not self._caps.take(trunk, now):
            return False
        live.line = trunk
        return True

    def carried(self, trunk: Trunk) -> int:
        """How many calls a trunk carries; emergency calls are not counted."""
        return self._caps.calls(trunk)

    def _free_line(self, live: Live) -> None:
        if live.line is not None:
            self._caps.release(live.line)
            live.line = None
