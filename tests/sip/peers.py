"""A network in memory that joins user agents: time is a number, and every datagram is at the mercy of the test."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sipshop.sip.events import Answered, Ask, Asked, Cancelled, Content, Event, Progressed, Replied
from sipshop.sip.flow import Address, Flow
from sipshop.sip.incoming import IncomingLeg
from sipshop.sip.leg import Leg
from sipshop.sip.message import Request, Response, parse
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.sip.timers import GIVE_UP_S, Timers
from sipshop.sip.transaction import ClientTransaction, ServerTransaction, Transactions
from sipshop.sip.useragent import Dropped, Happened, Invited, Manners, Output, Refused, Requested, Send, UserAgent

#: One way, in seconds; a binary fraction, so that sums of it and of the SIP timers are exact.
LATENCY_S: Final = 1 / 64
#: After this nobody may remember anything: every timer of RFC 3261 has run out, and each BYE's that it led to.
FORGETTING_S: Final = 2 * GIVE_UP_S + 32

OFFER: Final = Content("application/sdp", b"v=0\r\ns=offer\r\n")
ANSWER: Final = Content("application/sdp", b"v=0\r\ns=answer\r\n")
HOLD: Final = Content("application/sdp", b"v=0\r\ns=offer\r\na=sendonly\r\n")
HELD: Final = Content("application/sdp", b"v=0\r\ns=answer\r\na=recvonly\r\n")


def summary(message: Request | Response) -> str:
    """A message in a word or two: `INVITE`, `200 INVITE`."""
    return message.method if isinstance(message, Request) else f"{message.status} {message.cseq[1]}"


@dataclass(frozen=True, slots=True)
class Datagram:
    """What somebody sent; `message` is how its receiver will read it, `name` whom he has to be by his certificate."""

    at_s: float
    data: bytes
    transport: str
    source: Address
    destination: Address
    message: Request | Response
    name: str = ""

    def __str__(self) -> str:
        return summary(self.message)


Weather = Callable[[Datagram], Sequence[float]]
"""When the copies of a datagram arrive, in seconds from now; none where it is lost."""


def fair(_datagram: Datagram) -> Sequence[float]:
    return (LATENCY_S,)


def losing(*what: str, times: int = 1_000_000) -> Weather:
    """Lose the first so many of each of these messages."""
    left = dict.fromkeys(what, times)

    def weather(datagram: Datagram) -> Sequence[float]:
        name = str(datagram)
        if left.get(name, 0):
            left[name] -= 1
            return ()
        return fair(datagram)

    return weather


def delaying(seconds: float, *what: str, times: int = 1_000_000) -> Weather:
    """Delay the first so many of each of these messages, and so let others overtake them."""
    left = dict.fromkeys(what, times)

    def weather(datagram: Datagram) -> Sequence[float]:
        name = str(datagram)
        if left.get(name, 0):
            left[name] -= 1
            return (LATENCY_S + seconds,)
        return fair(datagram)

    return weather


class Network:
    """Carries datagrams between peers, and is the clock of all of them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.weather: Weather = fair
        self.log: list[Datagram] = []
        self._peers: dict[Address, Peer] = {}
        self.taps: dict[Address, Callable[[bytes, Flow, bool], None]] = {}
        self._lives: Counter[Address] = Counter()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def lives(self, address: Address) -> int:
        """How many peers there were at an address so far."""
        return self._lives[address]

    def tap(self, address: Address, heard: Callable[[bytes, Flow, bool], None] | None) -> None:
        """Have every message of an address told, as `sipshop.sip.endpoint` does, or none any more."""
        self.taps.pop(address, None)
        if heard is not None:
            self.taps[address] = heard

    def join(self, peer: Peer) -> None:
        self._lives[peer.address] += 1
        self._peers[peer.address] = peer

    def leave(self, peer: Peer) -> None:
        """Its power is cut: what is on the way to it arrives nowhere."""
        del self._peers[peer.address]

    def at(self, at_s: float, do: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (at_s, self._count, do))

    def carry(self, data: bytes, transport: str, source: Address, destination: Address, name: str = "") -> None:
        datagram = Datagram(self.now, data, transport, source, destination, parse(data), name)
        self.log.append(datagram)
        if source in self.taps:
            self.taps[source](data, Flow(transport, source, destination), True)
        for delay_s in self.weather(datagram) if transport == "UDP" else (LATENCY_S,):
            self.at(self.now + delay_s, lambda: self._deliver(datagram))

    def cut(self, one: Peer, other: Peer) -> None:
        """The TCP connection between two peers breaks, and both notice."""
        for here, there in ((one, other), (other, one)):
            here.agent.hear_lost(Flow("TCP", here.address, there.address, 1), self.now)
            here.work(self.now)

    def step(self, until_s: float) -> bool:
        """Go to the next thing that happens, not beyond `until_s`; False where nothing happens until then."""
        alarms = [peer.agent.timers.deadline for peer in self._peers.values()]
        instants = [alarm for alarm in alarms if alarm is not None] + [entry[0] for entry in self._due[:1]]
        at_s = min(instants, default=None)
        if at_s is None or at_s > until_s:
            self.now = until_s
            return False
        self.now = max(self.now, at_s)
        if self._due and self._due[0][0] <= self.now:
            heapq.heappop(self._due)[2]()
            return True
        for peer in list(self._peers.values()):
            deadline = peer.agent.timers.deadline
            if deadline is not None and deadline <= self.now:
                peer.agent.timers.tick(self.now)
                peer.work(self.now)
        return True

    def advance(self, seconds: float = 1.0) -> None:
        """Let time pass."""
        until_s = self.now + seconds
        while self.step(until_s):
            pass

    def between(self, one: Peer, other: Peer) -> list[str]:
        """What went between two peers, in the order of sending: `> INVITE` is from the first."""
        return [
            f"{'>' if datagram.source == one.address else '<'} {datagram}"
            for datagram in self.log
            if {datagram.source, datagram.destination} == {one.address, other.address}
        ]

    def instants(self, name: str, source: Peer) -> list[float]:
        """When a peer sent a message."""
        return [datagram.at_s for datagram in self.log if str(datagram) == name and datagram.source == source.address]

    def _deliver(self, datagram: Datagram) -> None:
        peer = self._peers.get(datagram.destination)
        if peer is not None:
            connection = 1 if datagram.transport == "TCP" else 0
            flow = Flow(datagram.transport, peer.address, datagram.source, connection)
            if peer.address in self.taps:
                self.taps[peer.address](datagram.data, flow, False)
            peer.agent.hear(datagram.data, flow, self.now)
            peer.work(self.now)


def unanswered() -> ServerTransaction:
    """A re-INVITE of some other leg, which waits for its answer."""
    data = (
        b"INVITE sip:b@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n"
        b"From: <sip:a@192.0.2.2>;tag=a\r\nTo: <sip:b@192.0.2.1>;tag=b\r\nCall-ID: c\r\nCSeq: 2 INVITE\r\n\r\n"
    )
    request = parse(data)
    assert isinstance(request, Request)
    layer = Transactions(Timers(), lambda _data, _flow: None)
    return layer.serve(request, Flow("UDP", ("192.0.2.1", 5060), ("192.0.2.2", 5060)))


class Recorder:
    """Notes what comes back to a request."""

    def __init__(self) -> None:
        self.responses: list[Response] = []
        self.request: Request | None = None  # the one that was answered last
        self.failure: str | None = None

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        self.responses.append(response)
        self.request = transaction.request

    def on_no_response(self, transaction: ClientTransaction, why: str, now: float) -> None:
        self.failure = why

    @property
    def statuses(self) -> list[int]:
        return [response.status for response in self.responses]

    @property
    def last(self) -> Response:
        return self.responses[-1]


class Peer(ABC):
    """A user agent at an address of a network; `advertise` is the address that it believes to have."""

    def __init__(
        self,
        network: Network,
        address: Address,
        *,
        advertise: Address | None = None,
        ours: Callable[[str, str], bool] = lambda _call_id, _tag: False,
        manners: Manners | None = None,
    ) -> None:
        self.network = network
        self.address = address
        self._count = 0
        # two lives at one address do not draw the same branches
        self._prefix = f"{address[0].rpartition('.')[2]}x{network.lives(address)}"
        self.agent = UserAgent(
            timers=Timers(),
            token=self._token,
            pick=lambda _below: 0,
            advertise=advertise or address,
            ours=ours,
            manners=manners,
        )
        self._busy = False
        network.join(self)

    @abstractmethod
    def handle(self, output: Output, now: float) -> None:
        """Take one output of the agent."""

    def work(self, now: float) -> None:
        """Do what the agent left to do, in order, as `sipshop.sip.endpoint` does."""
        if self._busy:
            return
        self._busy = True
        try:
            while self.agent.out:
                output = self.agent.out.popleft()
                if isinstance(output, Send):
                    flow = output.flow
                    self.network.carry(output.data, flow.transport, self.address, flow.remote, flow.name)
                else:
                    self.handle(output, now)
        finally:
            self._busy = False

    def flow_to(self, address: Address, transport: str = "UDP") -> Flow:
        return Flow(transport, self.address, address)

    def _token(self) -> str:
        self._count += 1
        return f"{self._prefix}x{self._count}"


@dataclass
class Heard:
    """What a leg told its owner."""

    events: list[Event] = field(default_factory=list)

    def __str__(self) -> str:
        return " ".join(type(event).__name__ for event in self.events)


class Phone(Peer):
    """A peer that notes all it hears, and does what a polite phone does by itself.

    It answers requests inside a dialog, late offers and CANCEL at once, unless `polite` is off; what to do with an
    INVITE is `on_invite`'s, by default nothing.
    """

    def __init__(
        self,
        network: Network,
        address: Address,
        *,
        user: str = "phone",
        advertise: Address | None = None,
        transport: str = "UDP",
        ours: Callable[[str, str], bool] = lambda _call_id, _tag: False,
        manners: Manners | None = None,
    ) -> None:
        super().__init__(network, address, advertise=advertise, ours=ours, manners=manners)
        self.user = user
        self.transport = transport
        self.polite = True
        self.on_invite: Callable[[IncomingLeg], None] = lambda _leg: None
        self.legs: list[Leg] = []
        self.heard: dict[Leg, Heard] = {}
        self.dropped: list[str] = []
        self.refused: list[tuple[int, str]] = []

    def handle(self, output: Output, now: float) -> None:
        match output:
            case Happened(leg=leg, event=event):
                self.heard[leg].events.append(event)
                if self.polite:
                    self._react(leg, event, now)
            case Invited(transaction=transaction):
                leg = self.agent.accept(transaction, now)
                self._own(leg)
                self.on_invite(leg)
            case Requested(transaction=transaction):
                self.agent.refuse(transaction, 200, now)
            case Dropped(reason=reason):
                self.dropped.append(reason)
            case Refused(status=status, cause=cause):
                self.refused.append((status, cause))

    # what a person does

    def call(
        self,
        address: Address,
        number: str = "0301234567",
        *,
        content: Content | None = OFFER,
        headers: Iterable[tuple[str, str]] = (),
        call_id: str | None = None,
        reliably: bool = True,
    ) -> OutgoingLeg:
        self._count += 1
        target = f"sip:{number}@{address[0]}:{address[1]}"
        leg = self.agent.dial(
            self.flow_to(address, self.transport),
            target=target,
            from_=f"<sip:{self.user}@{address[0]}>",
            to=f"<{target}>",
            call_id=call_id or f"call{self._count}@{self.address[0]}",
            tag=f"t{self._count}",
            max_forwards=70,
            content=content,
            now=self.network.now,
            headers=headers,
            reliably=reliably,
        )
        self._own(leg)
        self.work(self.network.now)
        return leg

    def ring(
        self, leg: IncomingLeg, status: int = 180, content: Content | None = None, *, reliably: bool = False
    ) -> None:
        leg.progress(status, content, self.network.now, reliably=reliably)
        self.work(self.network.now)

    def answer(self, leg: IncomingLeg, content: Content | None = ANSWER) -> None:
        leg.answer(content, self.network.now)
        self.work(self.network.now)

    def reject(self, leg: IncomingLeg, status: int, headers: Iterable[tuple[str, str]] = ()) -> None:
        leg.reject(status, None, list(headers), self.network.now)
        self.work(self.network.now)

    def give_up(self, leg: OutgoingLeg) -> None:
        leg.give_up(self.network.now)
        self.work(self.network.now)

    def hang_up(self, leg: Leg, reason: str | None = None) -> None:
        leg.hang_up(reason, self.network.now)
        self.work(self.network.now)

    def acknowledge(self, leg: OutgoingLeg, content: Content | None = ANSWER) -> None:
        leg.acknowledge(content, self.network.now)
        self.work(self.network.now)

    def reinvite(self, leg: Leg, content: Content | None = HOLD, *, method: str = "INVITE") -> Ask:
        """Send a re-INVITE, or UPDATE, by the leg, which then knows of it; its `Replied` has the answer."""
        ask = Ask(method, content, unanswered())
        leg.relay(ask, self.network.now)
        self.work(self.network.now)
        return ask

    def send_inside(
        self, leg: Leg, method: str, content: Content | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> Recorder:
        """Send a request inside the dialog of a leg, past the leg: it could send two at once."""
        assert leg.dialog is not None
        recorder = Recorder()
        head = [*headers, ("content-type", content.type)] if content else [*headers]
        if method in {"INVITE", "REFER"}:
            head.append(("contact", self.agent.contact(leg.flow)))
        body = content.data if content else b""
        now = self.network.now
        self.agent.send_inside(leg.dialog, method, recorder, now, headers=head, body=body)
        self.work(now)
        return recorder

    def acknowledge_inside(self, leg: Leg, recorder: Recorder, content: Content | None = None) -> None:
        """Send the ACK of a re-INVITE that `send_inside` sent."""
        assert leg.dialog is not None
        assert recorder.request is not None
        self.agent.send_ack(leg.dialog, content, recorder.request)
        self.work(self.network.now)

    def send(self, request: Request, address: Address) -> Recorder:
        """Send any request; what comes back is noted."""
        recorder = Recorder()
        self.agent.transactions.request(request, self.flow_to(address, self.transport), recorder, self.network.now)
        self.work(self.network.now)
        return recorder

    # what it heard

    def story(self, leg: Leg) -> str:
        """The events of a leg, in order, by their names."""
        return str(self.heard[leg])

    def last(self, leg: Leg) -> Event:
        return self.heard[leg].events[-1]

    @property
    def incoming(self) -> IncomingLeg:
        """The leg of the last call that came in."""
        return next(leg for leg in reversed(self.legs) if isinstance(leg, IncomingLeg))

    def _own(self, leg: Leg) -> None:
        self.legs.append(leg)
        self.heard[leg] = Heard()

    def _react(self, leg: Leg, event: Event, now: float) -> None:
        match event:
            case Cancelled() if isinstance(leg, IncomingLeg):
                leg.reject(487, None, [], now)
            case Progressed(is_offer=True) if isinstance(leg, OutgoingLeg):
                leg.acknowledge_progress(ANSWER, now)
            case Answered(late_offer=late_offer) if isinstance(leg, OutgoingLeg):
                leg.acknowledge(ANSWER if late_offer else None, now)
            case Asked(ask=ask):
                content = None
                if ask.is_about_session:
                    content = OFFER if ask.content is None else HELD if ask.content == HOLD else ANSWER
                leg.reply(ask, 200, content, now)
            case Replied(ask=ask, late_offer=True):
                leg.acknowledge_relayed(ask, ANSWER)
            case _:
                pass
