"""SIP traces on demand: the messages of one booth, call or number, kept for a while and up to a bound (IO).

While no trace runs, nothing of this is asked for any message: the endpoint is tapped only as long as there is one.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from sipshop.proxy.admission import Booth
from sipshop.sip.endpoint import Tap
from sipshop.sip.flow import Flow
from sipshop.sip.message import MalformedMessage, Request, Response, parse
from sipshop.sip.pcap import Packet
from sipshop.switch.directory import Directory
from sipshop.switch.errors import CommandRefused, UnknownTrace
from sipshop.switch.live import LiveCalls

#: Traces of a tenant that run or can still be read.
MAX_TRACES: Final = 4
#: What the messages of one trace may take together; the oldest go first.
MAX_TRACE_BYTES: Final = 8_000_000
#: Call-IDs that a trace follows; a flood of others must not fill the memory.
_MAX_CALL_IDS: Final = 1000
#: What proves a password is not for whoever reads a trace, who could try passwords against it.
_PROOF: Final = re.compile(rb'(?i)(\bresponse\s*=\s*")([0-9a-f]+)(?=")')
_SHORTEST_NUMBER: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is traced: one of these. A call is named by our name for it or by a SIP Call-ID of its legs."""

    booth: str | None = None
    call_id: str | None = None
    number: str | None = None


@dataclass(frozen=True, slots=True)
class Traced:
    """A message of a trace; `number` counts from 1, `says` is what it is in a few words, `is_sent` by us."""

    number: int
    packet: Packet
    is_sent: bool
    says: str


@dataclass(slots=True, kw_only=True)
class Trace:
    """The newest messages of a trace, of `size` bytes; `count` is how many there were, and the older ones are gone."""

    id: str
    tenant: str
    wanted: Wanted
    ends_at_s: float
    started_at_s: float
    started_at_ms: int
    messages: deque[Traced]
    is_running: bool = True
    count: int = 0
    size: int = 0
    call_ids: set[str] = field(default_factory=set)

    def keep(self, data: bytes, flow: Flow, is_sent: bool, says: str, now: float) -> None:
        """Take a message in."""
        self.count += 1
        ways = (flow.local, flow.remote) if is_sent else (flow.remote, flow.local)
        at_us = self.started_at_ms * 1000 + round((now - self.started_at_s) * 1e6)
        blotted = _PROOF.sub(lambda found: found[1] + b"x" * len(found[2]), data)
        if len(self.messages) == self.messages.maxlen:
            self._drop_oldest()
        self.messages.append(Traced(self.count, Packet(at_us, flow.transport, *ways, blotted), is_sent, says))
        self.size += len(blotted)
        while self.size > MAX_TRACE_BYTES:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self.size -= len(self.messages.popleft().packet.data)


class Tracer:
    """The traces of one switch; `tap` has every message told, or none any more."""

    def __init__(
        self,
        *,
        directory: Directory,
        calls: LiveCalls,
        tap: Callable[[Tap | None], None],
        random: Callable[[int], bytes],
        utc_ms: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._calls = calls
        self._tap = tap
        self._random = random
        self._utc_ms = utc_ms
        self._clock = clock
        self._traces: dict[str, Trace] = {}

    def begin(self, tenant: str, wanted: Wanted, *, seconds: int, messages: int) -> Trace:
        """Start a trace that ends by itself; raises `CommandRefused` while too many run."""
        now = self._clock()
        self._end_old(now)
        ours = [trace for trace in self._traces.values() if trace.tenant == tenant]
        if len(ours) >= MAX_TRACES:
            ended = next((trace.id for trace in ours if not trace.is_running), None)
            if ended is None:
                raise CommandRefused(f"{MAX_TRACES} traces run already: stop one, or wait for its end")
            del self._traces[ended]
        trace = Trace(
            id=self._random(8).hex(),
            tenant=tenant,
            wanted=wanted,
            started_at_s=now,
            ends_at_s=now + seconds,
            started_at_ms=self._utc_ms(),
            messages=deque(maxlen=messages),
        )
        self._traces[trace.id] = trace
        self._tap(self._hear)
        return trace

    def read(self, tenant: str, trace_id: str) -> Trace:
        """A trace that runs, or one that ended not long ago; raises `UnknownTrace`."""
        self._end_old(self._clock())
        trace = self._traces.get(trace_id)
        if trace is None or trace.tenant != tenant:
            raise UnknownTrace(f"there is no trace named {trace_id!r}")
        return trace

    def end(self, tenant: str, trace_id: str) -> Trace:
        """Stop a trace, whose messages can still be read; raises `UnknownTrace`."""
        trace = self.read(tenant, trace_id)
        trace.ends_at_s = self._clock()
        self._end_old(trace.ends_at_s)
        return trace

    def _end_old(self, now: float) -> None:
        for trace in self._traces.values():
            trace.is_running = trace.is_running and now < trace.ends_at_s
        if not any(trace.is_running for trace in self._traces.values()):
            self._tap(None)

    def _hear(self, data: bytes, flow: Flow, is_sent: bool) -> None:
        now = self._clock()
        self._end_old(now)
        try:
            message = parse(data)
            says = _says(message)
            for trace in self._traces.values():
                if trace.is_running and self._is_of(trace, message, flow):
                    trace.keep(data, flow, is_sent, says, now)
        except MalformedMessage:
            return  # nobody's: it is refused, and counted

    def _is_of(self, trace: Trace, message: Request | Response, flow: Flow) -> bool:
        if message.call_id in trace.call_ids:
            return True
        if len(trace.call_ids) >= _MAX_CALL_IDS:
            return False
        found = self._begun(trace, message, flow)
        trace.call_ids |= found  # of both legs: the call may be forgotten before its last message
        return bool(found)

    def _begun(self, trace: Trace, message: Request | Response, flow: Flow) -> set[str]:
        """The Call-IDs of what a message is the first of, if the trace is to follow that."""
        call_id = message.call_id
        live = self._calls.of_call_id(call_id)
        if live is not None:
            booth, name, numbers = live.offer.booth, live.call_id, [live.offer.dialled, live.offer.e164 or ""]
            call_ids = {live.leg_a.call_id, live.leg_b_call_id or call_id}
        else:
            claimed = self._claimed(message, flow)
            if claimed is None:
                return set()
            is_invite = isinstance(message, Request) and message.method == "INVITE"
            numbers = [message.uri.user or ""] if isinstance(message, Request) and is_invite else []
            booth, name, call_ids = claimed, call_id, {call_id}
        wanted = trace.wanted
        is_wanted = (
            booth.name == wanted.booth or wanted.call_id in {name, *call_ids} or _reaches(wanted.number, numbers)
        )
        return call_ids if is_wanted and booth.tenant == trace.tenant else set()

    def _claimed(self, message: Request | Response, flow: Flow) -> Booth | None:
        """The booth that a message outside of every call says it is from."""
        uri = message.from_.uri
        by_address = self._directory.booth_of_source(flow.remote[0], uri.user)
        return by_address or self._directory.booth_of_user(self._directory.realm_of(uri.host), uri.user or "")


def _reaches(number: str | None, dialled: Iterable[str]) -> bool:
    """Whether a number is among those dialled, with or without what stands before it for other places."""
    digits = _digits(number or "")
    return len(digits) >= _SHORTEST_NUMBER and any(_digits(one).endswith(digits) for one in dialled)


def _digits(number: str) -> str:
    return "".join(character for character in number if character.isdigit()).lstrip("0")


def _says(message: Request | Response) -> str:
    if isinstance(message, Request):
        return f"{message.method} {message.uri.user or message.uri.host}"
    return f"{message.status} {message.reason} ({message.cseq[1]})"
