"""SIP transactions: four tables and the layer that finds them (RFC 3261 section 17, RFC 4320, RFC 6026).

Every request and response of every leg passes here, so retransmission, matching and the life of a transaction are
decided in one place. A table says for each state and input the next state and what to do; a pair that is missing is a
protocol error of the one that caused it: of a peer it is ignored, of ours it raises `TransactionMisused`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import auto
from functools import partial
from typing import Any, ClassVar, Final, Protocol

from sipshop.sip.flow import Address, Flow
from sipshop.sip.message import Request, Response, SipError
from sipshop.sip.timers import GIVE_UP_S, T1_S, T2_S, T4_S, Timer, Timers
from sipshop.sip.words import Word

#: A request of more bytes is for TCP, where the peer listens to it: UDP would have to cut it (RFC 3261 section 18.1.1).
LARGEST_DATAGRAM: Final = 1300
#: How long a peer has to answer a large request on TCP before it is sent by UDP as well.
TCP_TRY_S: Final = 1.0
#: How long we remember whether a peer takes TCP, and of how many peers.
TCP_KNOWN_S: Final = 600.0
TCP_KNOWN_PEERS: Final = 1000

#: What makes a branch of RFC 3261 unique, unlike those of RFC 2543.
MAGIC_COOKIE: Final = "z9hG4bK"


#: The header fields that answer a challenge.
CREDENTIALS: Final = frozenset({"authorization", "proxy-authorization"})


class State(Word):
    """Where a transaction stands; the names are RFC 3261's and, for ACCEPTED, RFC 6026's."""

    CALLING = auto()
    TRYING = auto()
    PROCEEDING = auto()
    ACCEPTED = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    TERMINATED = auto()


class Input(Word):
    """What a transaction hears: from the peer (GOT), from its user (SEND), from the clock (TIMER)."""

    GOT_REQUEST = auto()
    GOT_ACK = auto()
    GOT_1XX = auto()
    GOT_2XX = auto()
    GOT_FAILURE = auto()
    SEND_1XX = auto()
    SEND_2XX = auto()
    SEND_FAILURE = auto()
    TIMER_A = auto()
    TIMER_B = auto()
    TIMER_D = auto()
    TIMER_E = auto()
    TIMER_F = auto()
    TIMER_G = auto()
    TIMER_H = auto()
    TIMER_I = auto()
    TIMER_J = auto()
    TIMER_K = auto()
    TIMER_L = auto()
    TIMER_M = auto()
    TRANSPORT_FAILED = auto()
    TCP_FAILED = auto()  # which was tried because the request is large: refused, or nothing came back in time
    ABANDONED = auto()  # cancelled long ago, and never a final response (section 9.1)


class Action(Word):
    """What a transaction does about it."""

    SEND = auto()  # the response that its user handed in
    RESEND = auto()  # what it sent last
    SEND_BY_UDP = auto()  # what was tried on TCP
    SEND_ACK = auto()  # for a final response other than 2xx, hop by hop (section 17.1.1.3)
    PASS_UP = auto()  # the message, to its user
    TELL_TIMEOUT = auto()
    TELL_FAILED = auto()
    START_A = auto()
    START_B = auto()
    START_D = auto()
    START_E = auto()
    START_E_SLOW = auto()  # the peer is at work on it (section 17.1.2.2)
    START_F = auto()
    START_G = auto()
    START_H = auto()
    START_I = auto()
    START_J = auto()
    START_K = auto()
    START_L = auto()
    START_M = auto()
    STOP_TIMERS = auto()


S, On, Do = State, Input, Action
Table = Mapping[tuple[State, Input], tuple[State, tuple[Action, ...]]]

# What each step needs of the enums stands in names of its own, here and below: before Python 3.12 to reach a member
# costs as much as a call.
_TERMINATED: Final = S.TERMINATED
#: What a response is, got or sent, by the first digit of its status.
_GOT: Final = {1: On.GOT_1XX, 2: On.GOT_2XX, **dict.fromkeys(range(3, 7), On.GOT_FAILURE)}
_SENT: Final = {1: On.SEND_1XX, 2: On.SEND_2XX, **dict.fromkeys(range(3, 7), On.SEND_FAILURE)}

#: RFC 3261 figure 5 as amended by RFC 6026 section 7.2.
INVITE_CLIENT: Final[Table] = {
    (S.CALLING, On.TIMER_A): (S.CALLING, (Do.RESEND, Do.START_A)),
    (S.CALLING, On.TIMER_B): (S.TERMINATED, (Do.TELL_TIMEOUT,)),
    (S.CALLING, On.TRANSPORT_FAILED): (S.TERMINATED, (Do.TELL_FAILED,)),
    (S.CALLING, On.TCP_FAILED): (S.CALLING, (Do.STOP_TIMERS, Do.SEND_BY_UDP, Do.START_A, Do.START_B)),
    (S.CALLING, On.GOT_1XX): (S.PROCEEDING, (Do.STOP_TIMERS, Do.PASS_UP)),
    (S.CALLING, On.GOT_2XX): (S.ACCEPTED, (Do.STOP_TIMERS, Do.START_M, Do.PASS_UP)),
    (S.CALLING, On.GOT_FAILURE): (S.COMPLETED, (Do.STOP_TIMERS, Do.SEND_ACK, Do.START_D, Do.PASS_UP)),
    (S.PROCEEDING, On.GOT_1XX): (S.PROCEEDING, (Do.PASS_UP,)),
    (S.PROCEEDING, On.GOT_2XX): (S.ACCEPTED, (Do.START_M, Do.PASS_UP)),
    (S.PROCEEDING, On.GOT_FAILURE): (S.COMPLETED, (Do.SEND_ACK, Do.START_D, Do.PASS_UP)),
    (S.PROCEEDING, On.TRANSPORT_FAILED): (S.PROCEEDING, ()),  # the peer has the request and may come back
    (S.PROCEEDING, On.ABANDONED): (S.TERMINATED, ()),
    (S.ACCEPTED, On.GOT_1XX): (S.ACCEPTED, ()),
    (S.ACCEPTED, On.GOT_2XX): (S.ACCEPTED, (Do.PASS_UP,)),
    (S.ACCEPTED, On.GOT_FAILURE): (S.ACCEPTED, ()),
    (S.ACCEPTED, On.TIMER_M): (S.TERMINATED, ()),
    (S.ACCEPTED, On.TRANSPORT_FAILED): (S.ACCEPTED, ()),
    (S.COMPLETED, On.GOT_1XX): (S.COMPLETED, ()),
    (S.COMPLETED, On.GOT_2XX): (S.COMPLETED, ()),
    (S.COMPLETED, On.GOT_FAILURE): (S.COMPLETED, (Do.SEND_ACK,)),
    (S.COMPLETED, On.TIMER_D): (S.TERMINATED, ()),
    (S.COMPLETED, On.TRANSPORT_FAILED): (S.TERMINATED, ()),
}

#: RFC 3261 figure 6.
CLIENT: Final[Table] = {
    (S.TRYING, On.TIMER_E): (S.TRYING, (Do.RESEND, Do.START_E)),
    (S.TRYING, On.TIMER_F): (S.TERMINATED, (Do.TELL_TIMEOUT,)),
    (S.TRYING, On.TRANSPORT_FAILED): (S.TERMINATED, (Do.TELL_FAILED,)),
    (S.TRYING, On.TCP_FAILED): (S.TRYING, (Do.STOP_TIMERS, Do.SEND_BY_UDP, Do.START_E, Do.START_F)),
    (S.TRYING, On.GOT_1XX): (S.PROCEEDING, (Do.PASS_UP,)),
    (S.TRYING, On.GOT_2XX): (S.COMPLETED, (Do.STOP_TIMERS, Do.START_K, Do.PASS_UP)),
    (S.TRYING, On.GOT_FAILURE): (S.COMPLETED, (Do.STOP_TIMERS, Do.START_K, Do.PASS_UP)),
    (S.PROCEEDING, On.TIMER_E): (S.PROCEEDING, (Do.RESEND, Do.START_E_SLOW)),
    (S.PROCEEDING, On.TIMER_F): (S.TERMINATED, (Do.TELL_TIMEOUT,)),
    (S.PROCEEDING, On.TRANSPORT_FAILED): (S.TERMINATED, (Do.TELL_FAILED,)),
    (S.PROCEEDING, On.GOT_1XX): (S.PROCEEDING, (Do.PASS_UP,)),
    (S.PROCEEDING, On.GOT_2XX): (S.COMPLETED, (Do.STOP_TIMERS, Do.START_K, Do.PASS_UP)),
    (S.PROCEEDING, On.GOT_FAILURE): (S.COMPLETED, (Do.STOP_TIMERS, Do.START_K, Do.PASS_UP)),
    (S.COMPLETED, On.GOT_1XX): (S.COMPLETED, ()),
    (S.COMPLETED, On.GOT_2XX): (S.COMPLETED, ()),
    (S.COMPLETED, On.GOT_FAILURE): (S.COMPLETED, ()),
    (S.COMPLETED, On.TRANSPORT_FAILED): (S.COMPLETED, ()),
    (S.COMPLETED, On.TIMER_K): (S.TERMINATED, ()),
}

#: RFC 3261 figure 7 as amended by RFC 6026 section 7.1.
INVITE_SERVER: Final[Table] = {
    (S.PROCEEDING, On.GOT_REQUEST): (S.PROCEEDING, (Do.RESEND,)),
    (S.PROCEEDING, On.GOT_ACK): (S.PROCEEDING, ()),
    (S.PROCEEDING, On.SEND_1XX): (S.PROCEEDING, (Do.SEND,)),
    (S.PROCEEDING, On.SEND_2XX): (S.ACCEPTED, (Do.SEND, Do.START_L)),
    (S.PROCEEDING, On.SEND_FAILURE): (S.COMPLETED, (Do.SEND, Do.START_G, Do.START_H)),
    (S.PROCEEDING, On.TRANSPORT_FAILED): (S.PROCEEDING, ()),  # the answer will open a connection of its own
    (S.ACCEPTED, On.GOT_REQUEST): (S.ACCEPTED, ()),  # its user repeats the 2xx (section 13.3.1.4)
    (S.ACCEPTED, On.GOT_ACK): (S.ACCEPTED, (Do.PASS_UP,)),
    (S.ACCEPTED, On.SEND_2XX): (S.ACCEPTED, (Do.SEND,)),
    (S.ACCEPTED, On.TIMER_L): (S.TERMINATED, ()),
    (S.ACCEPTED, On.TRANSPORT_FAILED): (S.ACCEPTED, ()),
    (S.COMPLETED, On.GOT_REQUEST): (S.COMPLETED, (Do.RESEND,)),
    (S.COMPLETED, On.GOT_ACK): (S.CONFIRMED, (Do.STOP_TIMERS, Do.START_I)),
    (S.COMPLETED, On.TIMER_G): (S.COMPLETED, (Do.RESEND, Do.START_G)),
    (S.COMPLETED, On.TIMER_H): (S.TERMINATED, ()),  # nobody waits for the ACK of a refusal
    (S.COMPLETED, On.TRANSPORT_FAILED): (S.COMPLETED, ()),
    (S.CONFIRMED, On.GOT_REQUEST): (S.CONFIRMED, ()),
    (S.CONFIRMED, On.GOT_ACK): (S.CONFIRMED, ()),
    (S.CONFIRMED, On.TIMER_I): (S.TERMINATED, ()),
    (S.CONFIRMED, On.TRANSPORT_FAILED): (S.CONFIRMED, ()),
}

#: RFC 3261 figure 8. Its user sends no 1xx but 100, and no 408 (RFC 4320 section 4).
SERVER: Final[Table] = {
    (S.TRYING, On.GOT_REQUEST): (S.TRYING, ()),
    (S.TRYING, On.SEND_1XX): (S.PROCEEDING, (Do.SEND,)),
    (S.TRYING, On.SEND_2XX): (S.COMPLETED, (Do.SEND, Do.START_J)),
    (S.TRYING, On.SEND_FAILURE): (S.COMPLETED, (Do.SEND, Do.START_J)),
    (S.TRYING, On.TRANSPORT_FAILED): (S.TRYING, ()),
    (S.PROCEEDING, On.GOT_REQUEST): (S.PROCEEDING, (Do.RESEND,)),
    (S.PROCEEDING, On.SEND_1XX): (S.PROCEEDING, (Do.SEND,)),
    (S.PROCEEDING, On.SEND_2XX): (S.COMPLETED, (Do.SEND, Do.START_J)),
    (S.PROCEEDING, On.SEND_FAILURE): (S.COMPLETED, (Do.SEND, Do.START_J)),
    (S.PROCEEDING, On.TRANSPORT_FAILED): (S.PROCEEDING, ()),
    (S.COMPLETED, On.GOT_REQUEST): (S.COMPLETED, (Do.RESEND,)),
    (S.COMPLETED, On.TIMER_J): (S.TERMINATED, ()),
    (S.COMPLETED, On.TRANSPORT_FAILED): (S.COMPLETED, ()),
}


@dataclass(frozen=True, slots=True)
class _Clock:
    """How a timer runs: seconds at first, and what is different over a reliable transport."""

    input: Input
    first_s: float
    longest_s: float | None = None  # it doubles up to here; None: it runs once
    unreliable_only: bool = False  # what it repeats, or waits for, a reliable transport does not need
    zero_if_reliable: bool = False  # there the transaction has nothing left to absorb
    lingering: bool = True  # it ends a transaction which only waits for stragglers


_CLOCKS: Final[Mapping[Action, _Clock]] = {
    Do.START_A: _Clock(On.TIMER_A, T1_S, GIVE_UP_S, unreliable_only=True, lingering=False),
    Do.START_B: _Clock(On.TIMER_B, GIVE_UP_S, lingering=False),
    Do.START_D: _Clock(On.TIMER_D, 32.0, zero_if_reliable=True),
    Do.START_E: _Clock(On.TIMER_E, T1_S, T2_S, unreliable_only=True, lingering=False),
    Do.START_E_SLOW: _Clock(On.TIMER_E, T2_S, unreliable_only=True, lingering=False),
    Do.START_F: _Clock(On.TIMER_F, GIVE_UP_S, lingering=False),
    Do.START_G: _Clock(On.TIMER_G, T1_S, T2_S, unreliable_only=True, lingering=False),
    Do.START_H: _Clock(On.TIMER_H, GIVE_UP_S),
    Do.START_I: _Clock(On.TIMER_I, T4_S, zero_if_reliable=True),
    Do.START_J: _Clock(On.TIMER_J, GIVE_UP_S, zero_if_reliable=True),
    Do.START_K: _Clock(On.TIMER_K, T4_S, zero_if_reliable=True),
    Do.START_L: _Clock(On.TIMER_L, GIVE_UP_S),
    Do.START_M: _Clock(On.TIMER_M, GIVE_UP_S),
}
#: How a transaction begins, by whether it is an INVITE's: table, state, and the timers of a client.
_SERVES: Final = {True: (INVITE_SERVER, S.PROCEEDING), False: (SERVER, S.TRYING)}
_ASKS: Final = {True: (INVITE_CLIENT, S.CALLING), False: (CLIENT, S.TRYING)}
_WAITS: Final = {
    True: (_CLOCKS[Do.START_A], _CLOCKS[Do.START_B]),
    False: (_CLOCKS[Do.START_E], _CLOCKS[Do.START_F]),
}


class TransactionMisused(SipError):
    """Our own side asked a transaction for what its state does not allow."""

    status = 500


class ClientUser(Protocol):
    """Who sent a request: told of each response, or that none will come."""

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """A response that the transaction does not absorb."""

    def on_no_response(self, transaction: ClientTransaction, why: str, now: float) -> None:
        """The request failed: `why` is "timeout", or in a word what became of the connection."""


class Unheard:
    """A request whose answer changes nothing."""

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Nothing."""

    def on_no_response(self, transaction: ClientTransaction, why: str, now: float) -> None:
        """Nothing."""


class _Transaction:
    """What the four machines share: a state, its table and timers."""

    __slots__ = ("_interval_s", "_last", "_timers", "flow", "key", "layer", "request", "state", "table")

    #: The methods that do what a table says, but for the starting of timers.
    _deeds: ClassVar[Mapping[Action, Callable[[Any, Any, float], None]]] = {}

    def __init__(
        self, layer: Transactions, key: tuple[str, ...], request: Request, flow: Flow, begins: tuple[Table, State]
    ) -> None:
        self.layer = layer
        self.key = key
        self.request = request
        self.flow = flow
        self.table, self.state = begins
        self._last = b""
        self._timers: list[Timer] = []
        self._interval_s: float | None = None  # of the one timer that doubles

    def hear(self, happened: Input, now: float, message: Request | Response | None = None) -> bool:
        """Take one step of the table; False where it has no such step, and then nothing happened."""
        step = self.table.get((self.state, happened))
        if step is None:
            return False
        self.state, actions = step
        for action in actions:
            clock = _CLOCKS.get(action)
            if clock is not None:
                self._start(clock, now)
            else:
                self._deeds[action](self, message, now)
        if self.state is _TERMINATED:
            self._stop_timers()
            self.layer.forget(self)
        return True

    def lose(self, now: float, _why: str) -> None:
        """Hear that the connection is gone."""
        self.hear(Input.TRANSPORT_FAILED, now)

    def _resend(self, _message: None, _now: float) -> None:
        if self._last:
            self.layer.send(self._last, self.flow)

    def _transmit(self, data: bytes) -> None:
        self._last = data
        self.layer.send(data, self.flow)

    def _start(self, clock: _Clock, now: float) -> None:
        wait_s = clock.first_s
        if clock.unreliable_only and self.flow.reliable:
            return
        if clock.zero_if_reliable and self.flow.reliable:
            wait_s = 0.0
        elif clock.longest_s is not None:
            wait_s = self._interval_s or clock.first_s
            self._interval_s = min(2 * wait_s, clock.longest_s)
        timers = self.layer.timers
        start = timers.start_lazily if clock.lingering else timers.start
        self._timers.append(start(now + wait_s, partial(self.hear, clock.input)))

    def _stop_timers(self, _message: object = None, _now: float = 0.0) -> None:
        for timer in self._timers:
            timer.stop()
        self._timers.clear()


class ServerTransaction(_Transaction):
    """A request that we answer.

    `final` is the status that was answered, `to_tag` the tag that all our responses to it have; None while there is
    none.
    """

    __slots__ = ("final", "merge_key", "on_cancel", "to_tag")

    def __init__(self, layer: Transactions, key: tuple[str, ...], request: Request, flow: Flow) -> None:
        super().__init__(layer, key, request, flow, _SERVES[request.method == "INVITE"])
        self.final: int | None = None
        self.merge_key: tuple[str, ...] | None = None
        self.to_tag: str | None = None
        #: Called with the CANCEL and the time while an INVITE has no final response.
        self.on_cancel: Callable[[Request, float], None] | None = None

    def respond(self, response: Response, now: float) -> None:
        """Send a response.

        Raises:
            TransactionMisused: a final response was sent before, other than a repeated 2xx to an INVITE.
        """
        status = response.status
        if not self.hear(_SENT[status // 100], now, response):
            raise TransactionMisused(f"{self.request.method} was answered {self.final}, {status} comes too late")
        if status >= 200:
            self.final = status
            self.on_cancel = None  # it knows its leg, which knows us: circles wait for the garbage collector

    def _send(self, response: Response, _now: float) -> None:
        self._transmit(response.encode())

    def _pass_up(self, _ack: Request, _now: float) -> None:
        """An ACK of a 2xx that reuses the INVITE's branch goes up by its dialog, as one with its own branch does."""

    _deeds: ClassVar[Mapping[Action, Callable[[Any, Any, float], None]]] = {
        Do.SEND: _send,
        Do.RESEND: _Transaction._resend,
        Do.PASS_UP: _pass_up,
        Do.STOP_TIMERS: _Transaction._stop_timers,
    }


class ClientTransaction(_Transaction):
    """A request that we sent; its user hears what comes back.

    `udp` is the flow that a large one takes if TCP leads nowhere, as long as that is not known.
    """

    __slots__ = ("_lost", "udp", "user")

    def __init__(
        self, layer: Transactions, key: tuple[str, ...], request: Request, flow: Flow, user: ClientUser
    ) -> None:
        super().__init__(layer, key, request, flow, _ASKS[request.method == "INVITE"])
        self.user = user
        self.udp: Flow | None = None
        self._lost = "transport"  # why the connection is

    def begin(self, now: float) -> None:
        """Send the request and start its timers."""
        data = self.request.encode()
        if len(data) > LARGEST_DATAGRAM and not self.flow.reliable and self.layer.tcp.get(self.flow, now) is not False:
            self.udp, self.flow = self.flow, _by(self.request, "TCP", self.flow)
            data = self.request.encode()
            self._timers.append(self.layer.timers.start(now + TCP_TRY_S, partial(self.hear, Input.TCP_FAILED)))
        self._transmit(data)
        for clock in _WAITS[self.request.method == "INVITE"]:
            self._start(clock, now)

    def abandon(self, now: float) -> None:
        """Stop waiting for the final response to a cancelled INVITE (section 9.1)."""
        self.hear(Input.ABANDONED, now)

    def lose(self, now: float, why: str) -> None:
        """Hear that the connection is gone: there may be another way."""
        self._lost = why
        self.hear(Input.TRANSPORT_FAILED if self.udp is None else Input.TCP_FAILED, now)

    def hear_by_tcp(self, now: float) -> None:
        """Hear that the peer has answered: he takes TCP."""
        self.layer.tcp.note(self.flow, now, works=True)
        self.udp = None

    def _send_by_udp(self, _message: None, now: float) -> None:
        if self.udp is not None:
            self.layer.tcp.note(self.udp, now, works=False)
            self.flow, self.udp = _by(self.request, "UDP", self.udp), None
        self._transmit(self.request.encode())

    def _pass_up(self, response: Response, now: float) -> None:
        self.user.on_response(self, response, now)

    def _send_ack(self, response: Response, _now: float) -> None:
        self.layer.send(_ack_of_failure(self.request, response).encode(), self.flow)

    def _tell_timeout(self, _message: None, now: float) -> None:
        self.user.on_no_response(self, "timeout", now)

    def _tell_failed(self, _message: None, now: float) -> None:
        self.user.on_no_response(self, self._lost, now)

    _deeds: ClassVar[Mapping[Action, Callable[[Any, Any, float], None]]] = {
        Do.RESEND: _Transaction._resend,
        Do.SEND_BY_UDP: _send_by_udp,
        Do.SEND_ACK: _send_ack,
        Do.PASS_UP: _pass_up,
        Do.TELL_TIMEOUT: _tell_timeout,
        Do.TELL_FAILED: _tell_failed,
        Do.STOP_TIMERS: _Transaction._stop_timers,
    }


class TcpPeers:
    """Which peers that are called by UDP take TCP too, as far as we have tried: the latest, and not for ever."""

    def __init__(self) -> None:
        self._known: dict[Address, tuple[bool, float]] = {}

    def get(self, flow: Flow, now: float) -> bool | None:
        """Whether the peer takes TCP; None where nobody knows."""
        works, until_s = self._known.get(flow.remote, (False, 0.0))
        return works if now < until_s else None

    def took(self, flow: Flow) -> bool:
        """Whether the peer took it the last time, however long ago."""
        return self._known.get(flow.remote, (False, 0.0))[0]

    def note(self, flow: Flow, now: float, *, works: bool) -> None:
        """Remember how a try has ended."""
        self._known.pop(flow.remote, None)
        self._known[flow.remote] = works, now + TCP_KNOWN_S
        if len(self._known) > TCP_KNOWN_PEERS:
            del self._known[next(iter(self._known))]


class Transactions:
    """The layer: finds the transaction of a message, and sends by the callable that it is given."""

    def __init__(self, timers: Timers, send: Callable[[bytes, Flow], None]) -> None:
        self.timers = timers
        self.send = send
        self.servers: dict[tuple[str, ...], ServerTransaction] = {}
        self.clients: dict[tuple[str, ...], ClientTransaction] = {}
        self.tcp = TcpPeers()
        self._merges: dict[tuple[str, ...], ServerTransaction] = {}

    def hear_request(self, request: Request, now: float) -> bool:
        """Whether a request was a retransmission, or the ACK of a refusal, and is dealt with."""
        transaction = self.servers.get(_server_key(request, request.method))
        if transaction is None:
            return False
        if request.method == "ACK":
            transaction.hear(Input.GOT_ACK, now, request)
            # the ACK of a 2xx belongs to the dialog, whatever branch it carries
            return transaction.state is not State.ACCEPTED
        transaction.hear(Input.GOT_REQUEST, now, request)
        return True

    def hear_response(self, response: Response, now: float) -> bool:
        """Whether a response belongs to a request of ours that is still open."""
        transaction = self.clients.get((response.via.branch, response.cseq[1]))
        if transaction is None:
            return False
        if transaction.udp is not None:
            transaction.hear_by_tcp(now)
        transaction.hear(_GOT[response.status // 100], now, response)
        return True

    def serve(self, request: Request, flow: Flow) -> ServerTransaction:
        """Open a transaction for a request that is new; `flow` is where its responses go."""
        transaction = ServerTransaction(self, _server_key(request, request.method), request, flow)
        self.servers[transaction.key] = transaction
        if request.to.tag is None:
            transaction.merge_key = _merge_key(request)
            self._merges.setdefault(transaction.merge_key, transaction)
        return transaction

    def merging(self, transaction: ServerTransaction) -> bool:
        """Whether another transaction serves the same request, which came by two paths (section 8.2.2.2)."""
        return transaction.merge_key is not None and self._merges.get(transaction.merge_key) is not transaction

    def cancelled_by(self, cancel: Request) -> ServerTransaction | None:
        """The INVITE that a CANCEL means: the same branch, whatever address it came from (section 9.2)."""
        return self.servers.get(_server_key(cancel, "INVITE"))

    def request(self, request: Request, flow: Flow, user: ClientUser, now: float) -> ClientTransaction:
        """Send a request other than ACK. Its topmost Via carries the branch, which must be new."""
        transaction = ClientTransaction(self, (request.via.branch, request.method), request, flow, user)
        assert transaction.key not in self.clients, "a branch names one transaction"
        self.clients[transaction.key] = transaction
        transaction.begin(now)
        return transaction

    def hear_lost(self, flow: Flow, now: float, why: str = "transport") -> None:
        """A connection failed: whatever waits on it is told, and why.

        A request that opened the connection knows no number of it, only the peer.
        """
        unnumbered = replace(flow, connection=0)
        waiting: list[_Transaction] = [*self.clients.values(), *self.servers.values()]
        for transaction in waiting:
            if transaction.flow in {flow, unnumbered}:
                transaction.lose(now, why)

    def without_state(self, ack: Request, flow: Flow) -> tuple[bytes, Flow]:
        """The bytes of an ACK and the flow that it takes: a large one TCP, where the peer is known to take that."""
        data = ack.encode()
        if len(data) > LARGEST_DATAGRAM and not flow.reliable and self.tcp.took(flow):
            flow = _by(ack, "TCP", flow)
            data = ack.encode()
        return data, flow

    def forget(self, transaction: _Transaction) -> None:
        """A transaction has ended."""
        if isinstance(transaction, ServerTransaction):
            self.servers.pop(transaction.key, None)
            if transaction.merge_key is not None and self._merges.get(transaction.merge_key) is transaction:
                del self._merges[transaction.merge_key]
        else:
            self.clients.pop(transaction.key, None)


def _by(request: Request, transport: str, flow: Flow) -> Flow:
    """Have a request of ours go by another transport: the flow that it takes then, which its Via says."""
    _, _, rest = (request.get("via") or "").partition(" ")
    request.set("via", f"SIP/2.0/{transport} {rest}")
    return Flow(transport, flow.local, flow.remote)


def _server_key(request: Request, method: str) -> tuple[str, ...]:
    """How a request finds its transaction (section 17.2.3); a branch without the cookie is matched by RFC 2543."""
    via = request.via
    method = "INVITE" if method == "ACK" else method
    if via.branch.startswith(MAGIC_COOKIE) and via.branch != MAGIC_COOKIE:  # RFC 4475 section 3.2.1
        return (via.branch, via.sent_by, method)
    return (via.branch, via.sent_by, method, request.call_id, request.from_.tag or "", str(request.cseq[0]))


def _merge_key(request: Request) -> tuple[str, ...]:
    number, method = request.cseq
    return (request.call_id, request.from_.tag or "", str(number), method)


def credentials_of(invite: Request) -> list[tuple[str, str]]:
    """What the ACK of an INVITE repeats of it: an ACK cannot be challenged (RFC 3261 section 22.1)."""
    if CREDENTIALS.isdisjoint(invite.first()):
        return []
    return [field for field in invite.headers if field[0] in CREDENTIALS]


def _ack_of_failure(invite: Request, response: Response) -> Request:
    """The ACK of a final response other than 2xx: the INVITE's own hop, branch and route (section 17.1.1.3)."""
    headers = [("via", invite.get("via") or ""), ("max-forwards", "70")]
    headers += [(name, value) for name, value in invite.headers if name == "route"]
    headers.append(("from", invite.get("from") or ""))
    headers.append(("to", response.get("to") or ""))
    headers.append(("call-id", invite.call_id))
    headers.append(("cseq", f"{invite.cseq[0]} ACK"))
    headers += credentials_of(invite)
    return Request("ACK", invite.target, headers)
