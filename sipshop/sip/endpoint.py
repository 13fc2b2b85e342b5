"""The IO shell around the user agent: reads the clock, moves bytes, arms one timer (IO).

Everything that happens in one turn of the event loop (a message, a timer, a command from above) carries one `now`,
and what it puts out is done in order before the turn ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from sipshop.sip.flow import Address, Flow
from sipshop.sip.lookup import WAIT_S, Resolver, Then
from sipshop.sip.resolve import Wanted
from sipshop.sip.transport import Limits, Tls, Transports, source_towards
from sipshop.sip.useragent import Dropped, Output, Send, UserAgent

#: The event loop's timers count in steps of this; an alarm that rang a fraction too early would only ring again.
_ALARM_STEP_S: Final = 0.001


Tap = Callable[[bytes, Flow, bool], None]
"""Is told of a message: its bytes, its flow, and whether it is sent by us."""


class Endpoint:
    """Our sockets with their user agent; `handle(output, now)` gets all that is not to be sent."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        agent: UserAgent,
        handle: Callable[[Output, float], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        limits: Limits | None = None,
        tls: Tls | None = None,
        name_servers: Sequence[Address] = (),
        dns_wait_s: float = WAIT_S,
    ) -> None:
        self.agent = agent
        self._loop = loop
        self._clock = clock  # not the loop's own: uvloop's stands still within a turn and counts milliseconds
        self._handle = handle
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at: float | None = None
        self._busy = False
        self.transports = Transports(
            loop,
            on_message=self._on_message,
            on_lost=self._on_lost,
            on_dropped=self._on_dropped,
            limits=limits,
            tls=tls,
        )
        self.resolver = Resolver(loop, turn=self.turn, pick=agent.pick, servers=name_servers, wait_s=dns_wait_s)
        self._send: Callable[[bytes, Flow], object] = self.transports.send

    async def listen(self, host: str, port: int, *, advertise: Address | None = None) -> None:
        """Open UDP and TCP on one address, to send only; `OSError` where it is taken or is not ours.

        May be called for several. Peers that are reached from there are told `advertise`, or the address itself.
        """
        local = await self.transports.listen(host, port)
        for transport in ("UDP", "TCP"):
            self.agent.addresses.add(transport, local, advertise or local)

    async def listen_tls(self, host: str, port: int, *, advertise: Address | None = None) -> None:
        """Open TLS on one address, as `listen` does UDP and TCP."""
        local = await self.transports.listen_tls(host, port)
        self.agent.addresses.add("TLS", local, advertise or local)

    async def serve(self) -> None:
        """Hear what comes from now on: all that is to handle it is ready."""
        await self.transports.serve()

    @property
    def local(self) -> Address:
        """The address that we listen on first."""
        return self.transports.local

    def local_for(self, transport: str, remote_host: str) -> Address:
        """Our address for a flow to a host: of several that would do, the one that the kernel would send from."""
        addresses = self.agent.addresses
        several = len(addresses.candidates(transport, remote_host)) > 1
        return addresses.local_for(transport, remote_host, source_towards(remote_host) if several else "")

    def find(self, wanted: Wanted, now: float, then: Then) -> None:
        """Find the addresses of somebody: `then(plan, now)` is told the targets, or why there are none.

        Called in a turn. Where all is known, and always for an IP address, `then` is called before this returns;
        otherwise in a turn of its own when DNS has answered, at the latest after `dns_wait_s`. A target's flow is
        `target.flow(endpoint.local_for(target.transport, target.address[0]))`; one that does not answer is shunned by
        `endpoint.resolver.shun(target, now)`, and then tried after all others.
        """
        self.resolver.find(wanted, now, then, families=self.agent.addresses.families)

    @contextmanager
    def turn(self) -> Iterator[float]:
        """One turn that did not begin with a message: gives `now`, and does at the end what was put out."""
        now = self._clock()
        yield now
        self._finish(now)

    def tap(self, heard: Tap | None) -> None:
        """Have every message told before it is done or sent, until this is asked again with None.

        Who is not tapped pays nothing for it: the way of a message is another one while somebody listens.
        """

        def hear(data: bytes, flow: Flow) -> None:
            if heard is not None:
                heard(data, flow, False)
            self._on_message(data, flow)

        def send(data: bytes, flow: Flow) -> None:
            if heard is not None:
                heard(data, flow, True)
            self.transports.send(data, flow)

        self.transports.on_message = self._on_message if heard is None else hear
        self._send = self.transports.send if heard is None else send

    def close(self) -> None:
        """Stop listening and close every connection."""
        if self._alarm is not None:
            self._alarm.cancel()
        self.resolver.close()
        self.transports.close()

    def _on_message(self, data: bytes, flow: Flow) -> None:
        now = self._clock()  # as in `turn`, without its cost: this is the hot path
        self.agent.hear(data, flow, now)
        self._finish(now)

    def _on_lost(self, flow: Flow, why: str) -> None:
        with self.turn() as now:
            self.agent.hear_lost(flow, now, why)

    def _on_dropped(self, reason: str) -> None:
        with self.turn():
            self.agent.out.append(Dropped(reason))

    def _on_alarm(self) -> None:
        self._alarm = self._alarm_at = None
        with self.turn() as now:
            self.agent.timers.tick(now)

    def _finish(self, now: float) -> None:
        if self._busy:
            return  # a turn inside a turn: the outer one does what both put out, in order
        self._busy = True
        try:
            out = self.agent.out
            while out:
                output = out.popleft()
                try:
                    if isinstance(output, Send):
                        self._send(output.data, output.flow)
                    else:
                        self._handle(output, now)
                except Exception as error:  # one call's bug must not stop the others
                    context = {"message": f"{type(output).__name__} was not handled", "exception": error}
                    self._loop.call_exception_handler(context)
        finally:
            self._busy = False
        self._arm()

    def _arm(self) -> None:
        deadline = self.agent.timers.deadline
        if deadline == self._alarm_at:
            return
        if self._alarm is not None:
            if deadline is not None and self._alarm_at is not None and self._alarm_at < deadline:
                return  # it rings early and is set again then: cheaper than to move it at every message
            self._alarm.cancel()
            self._alarm = self._alarm_at = None
        if deadline is not None:
            self._alarm_at = deadline
            wait_s = max(0.0, deadline - self._clock()) + _ALARM_STEP_S
            self._alarm = self._loop.call_later(wait_s, self._on_alarm)
