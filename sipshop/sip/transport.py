"""Sockets: where we listen by UDP, TCP and TLS, and the connections that are accepted and opened there (IO).

With `endpoint` and `lookup` the only modules of this room that do input and output. Bytes of whole messages go up with
the `Flow` they came on, and down with the flow they are to take. No task is made for a message; one is made for each
TCP connection that we open, and ends when it stands or has failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

from sipshop.sip import identity
from sipshop.sip.flow import Address, Flow
from sipshop.sip.message import FramingError, TooLarge
from sipshop.sip.stream import Framer, Ping
from sipshop.sip.veil import Veil

#: A burst of calls has to wait here while the loop is busy; the kernel gives what it may.
_RECEIVE_BUFFER_BYTES: Final = 4 << 20
#: Shorter than any SIP message: what phones send to keep a NAT's door open.
_SHORTEST_MESSAGE: Final = 16
_PORT_TRIES: Final = 16
#: A peer that lost its power, or its NAT's memory, is found out: silent for so long, asked so often, each so far apart.
_PROBE_AFTER_S: Final = 60
_PROBE_EVERY_S: Final = 15
_PROBES: Final = 4
#: What of ours nobody has acknowledged for so long will not arrive any more (milliseconds).
_UNACKNOWLEDGED_MS: Final = 30_000
#: The span in which connections from one source are counted.
_RATE_SPAN_S: Final = 1.0
#: Why a connection is lost that its peer has ended.
_CLOSED: Final = "tcp_closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What peers may take of us over TCP and TLS.

    `accepted` connections in all and `per_source` from one IP, and from one IP no more than `new_per_s` in a second; as
    many again as `accepted` may be opened by us. One that has not sent a whole message, or has begun one and not ended
    it, is closed after `silent_s`, any that is not used after `idle_s`; one whose peer leaves more than `unsent_bytes`
    unread is closed at once. Opening one may take `connect_s`, its handshake included, and so may a peer's handshake.
    """

    accepted: int = 4096
    per_source: int = 256
    new_per_s: int = 100
    silent_s: float = 30.0
    idle_s: float = 3900.0  # above the longest registration: a phone that refreshes it keeps its connection
    unsent_bytes: int = 1 << 20
    connect_s: float = 5.0


@dataclass(slots=True)
class Tls:
    """What the connections to come speak TLS with; who puts another context here changes none that stands.

    `server` may be None where nobody is listened to. `client` has to ask for a certificate and to leave its name alone:
    that is checked here, by the rules of SIP.
    """

    client: ssl.SSLContext
    server: ssl.SSLContext | None = None


class Transports:
    """The sockets that we listen on, and their connections.

    After `listen` it sends, after `serve` it hears too: who starts may say goodbye to an earlier run's peers before
    any request meets him half made. `on_message` is called with every datagram and framed message; `on_lost` with the
    flow of a connection that failed or closed, and why, never from inside `send`: a reason of those below, or
    `tcp_closed`. `on_dropped` is called with the reason when something is thrown away: `keepalive`, `starting` (before
    `serve`), `udp_error`, `udp_unsent`, `tcp_refused` (limits), `tcp_idle`, `tcp_unsent`, `tcp_no_length`,
    `tcp_too_large`, `tcp_connect`; of a handshake that failed `tls_protocol`, `tls_certificate`, `tls_name`,
    `tls_timeout`, `tls_lost`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        on_message: Callable[[bytes, Flow], None],
        on_lost: Callable[[Flow, str], None],
        on_dropped: Callable[[str], None],
        limits: Limits | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._loop = loop
        self.on_message = on_message
        self.on_lost = on_lost
        self.on_dropped = on_dropped
        self.limits = limits or Limits()
        self._tls = tls
        self._listening: list[tuple[str, Address]] = []
        self._udp: dict[Address, _Datagrams] = {}
        self._servers: list[asyncio.Server] = []
        self._connections: dict[int, _Connection] = {}
        self._by_remote: dict[tuple[str, Address, str], _Connection] = {}  # transport, address, name of a certificate
        self._accepted = 0
        self._sources: Counter[str] = Counter()  # accepted connections by the peer's IP
        self._rates: Counter[str] = Counter()  # those that came in this span
        self._span_began_s = 0.0
        self._opening: set[asyncio.Task[None]] = set()
        self._last_number = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_heard = False
        self._closed = False

    @property
    def local(self) -> Address:
        """The address that we listened on first, its port the real one where 0 was asked for."""
        assert self._listening, "listen comes first"
        return self._listening[0][1]

    @property
    def connections(self) -> int:
        """The connections that stand or are being opened."""
        return len(self._connections)

    async def listen(self, host: str, port: int) -> Address:
        """Bind UDP and TCP to one address: an IP literal, and a port of which 0 means any that both are free on.

        A datagram that comes before `serve` is thrown away, its sender repeats it; a connection waits in the kernel.
        `::` is every address of IPv6 and none of IPv4. May be called again for further addresses.

        Raises:
            OSError: as the system said it, `errno.EADDRINUSE` for an address that is taken.
        """
        udp, tcp = _bind_both(host, port)
        local: Address = udp.getsockname()[0], udp.getsockname()[1]
        self._listening.append(("UDP", local))
        await self._loop.create_datagram_endpoint(lambda: _Datagrams(self, local), sock=udp)
        await self._take(tcp, "TCP", local)
        return local

    async def listen_tls(self, host: str, port: int) -> Address:
        """Bind TLS to an address, as `listen` does UDP and TCP; there has to be a server's context."""
        assert self._tls is not None, "a listener of TLS has a certificate"
        tcp = _bind(socket.SOCK_STREAM, host, port)
        local: Address = tcp.getsockname()[0], tcp.getsockname()[1]
        await self._take(tcp, "TLS", local)
        return local

    async def _take(self, bound: socket.socket, transport: str, local: Address) -> None:
        flow = Flow(transport, local, ("", 0))  # a peer's own is known once he is accepted
        server = await self._loop.create_server(
            lambda: _Connection(self, flow), sock=bound, backlog=512, start_serving=False
        )
        self._servers.append(server)
        self._listening.append((transport, local))

    async def serve(self) -> None:
        """Hear what comes from now on."""
        assert self._listening, "listen comes first"
        self._is_heard = True
        for server in self._servers:
            await server.start_serving()

    def send(self, data: bytes, flow: Flow) -> Flow:
        """Send on a flow; the flow that it went by, which is another one where a connection had to be opened.

        Never blocks and never raises for what the network does: a datagram may be lost and is counted if we know, a
        connection that fails is told to `on_lost`.
        """
        if not flow.reliable:
            datagrams = self._udp.get(flow.local)
            if datagrams is None or datagrams.is_ipv6 is not (":" in flow.remote[0]):
                datagrams = next((one for one in self._udp.values() if one.is_ipv6 is (":" in flow.remote[0])), None)
            if datagrams is not None and not datagrams.is_full:
                datagrams.transport.sendto(data, flow.remote)
            elif not self._closed:
                self.on_dropped("udp_unsent")
            return flow
        connection = self._connections.get(flow.connection) or self._by_remote.get(_key(flow))
        if connection is None:
            connection = self._open(flow)
        connection.write(data)
        return connection.flow

    def close(self) -> None:
        """Stop listening, close every connection once its bytes are out, and tell nobody of them any more."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for server in self._servers:
            server.close()
        for task in self._opening:
            task.cancel()
        for connection in list(self._connections.values()):
            self._forget(connection)
            connection.close()
        for datagrams in self._udp.values():
            datagrams.transport.close()
        self._udp.clear()

    def _open(self, flow: Flow) -> _Connection:
        self._last_number += 1
        connection = _Connection(self, Flow(flow.transport, flow.local, flow.remote, self._last_number, flow.name))
        refused = self._closed or len(self._connections) - self._accepted >= self.limits.accepted
        self._remember(connection)
        if refused:
            self._loop.call_soon(self._fail, connection, "tcp_refused")
        else:
            task = self._loop.create_task(self._connect(connection))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        return connection

    async def _connect(self, connection: _Connection) -> None:
        flow = connection.flow
        host, port = flow.remote
        ours = ipaddress.ip_address(flow.local[0])
        bound = not ours.is_unspecified and (ours.version == 6) == (":" in host)
        try:
            async with asyncio.timeout(self.limits.connect_s):
                await self._loop.create_connection(
                    lambda: connection, host, port, local_addr=(flow.local[0], 0) if bound else None
                )
        except OSError:  # a timeout is one too
            self._fail(connection, "tcp_connect")

    def _accept(self, connection: _Connection, remote: Address) -> bool:
        """Take in a connection that a peer has opened; whether there is room for it."""
        source = remote[0]
        if self._closed:
            return False
        if (
            self._accepted >= self.limits.accepted
            or self._sources[source] >= self.limits.per_source
            or self._comes_too_often(source)
        ):
            self.on_dropped("tcp_refused")
            return False
        self._last_number += 1
        connection.flow = Flow(connection.flow.transport, connection.flow.local, remote, self._last_number)
        connection.is_accepted = True
        self._accepted += 1
        self._sources[source] += 1
        self._remember(connection)
        return True

    def _comes_too_often(self, source: str) -> bool:
        now = self._loop.time()
        if now - self._span_began_s >= _RATE_SPAN_S:
            self._span_began_s = now
            self._rates.clear()
        self._rates[source] += 1
        return self._rates[source] > self.limits.new_per_s

    def _veil(self, flow: Flow, *, is_server: bool) -> Veil:
        assert self._tls is not None, "whoever listens or sends by TLS has said with what"
        context = self._tls.server if is_server else self._tls.client
        assert context is not None, "a listener of TLS has a certificate"
        return Veil(context, is_server=is_server, name=None if is_server else flow.name or flow.remote[0])

    def _remember(self, connection: _Connection) -> None:
        self._connections[connection.flow.connection] = connection
        self._by_remote[_key(connection.flow)] = connection
        if self._sweeper is None:
            self._arm_sweeper()

    def _forget(self, connection: _Connection) -> bool:
        """Take a connection out of the tables; whether it was still in them."""
        flow = connection.flow
        if self._connections.pop(flow.connection, None) is None:
            return False
        if self._by_remote.get(_key(flow)) is connection:
            del self._by_remote[_key(flow)]
        if connection.is_accepted:
            self._accepted -= 1
            self._sources[flow.remote[0]] -= 1
            if not self._sources[flow.remote[0]]:
                del self._sources[flow.remote[0]]
        return True

    def _fail(self, connection: _Connection, reason: str) -> None:
        """Give a connection up: it was never there, or it is thrown away with what it has not sent."""
        if self._forget(connection):
            self.on_dropped(reason)
            self.on_lost(connection.flow, reason)
        connection.abort()

    def _arm_sweeper(self) -> None:
        self._sweeper = self._loop.call_later(min(self.limits.silent_s, self.limits.idle_s) / 2, self._sweep)

    def _sweep(self) -> None:
        """Close what has idled for too long; one timer for all connections, none while there are none."""
        now = self._loop.time()
        for connection in list(self._connections.values()):
            is_slow = now - connection.owes_since_s >= self.limits.silent_s
            if is_slow or now - connection.used_at_s >= self.limits.idle_s:
                self._fail(connection, "tcp_idle")
        self._sweeper = None
        if self._connections:
            self._arm_sweeper()


class _Datagrams(asyncio.DatagramProtocol):
    """The half of one UDP socket that asyncio calls."""

    def __init__(self, owner: Transports, local: Address) -> None:
        self._owner = owner
        self.is_full = False
        self._local = local
        self.is_ipv6 = ":" in local[0]
        #: The flow from a peer's address: the same in each of his datagrams.
        self._flow_from = lru_cache(maxsize=4096)(lambda addr: Flow("UDP", local, _address(addr)))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's own class is a transport in all but its bases
        self.transport = cast("asyncio.DatagramTransport", transport)
        self._owner._udp[self._local] = self

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if len(data) < _SHORTEST_MESSAGE:
            self._owner.on_dropped("keepalive")
        elif not self._owner._is_heard:
            self._owner.on_dropped("starting")
        else:
            self._owner.on_message(data, self._flow_from(addr))

    def error_received(self, exc: Exception) -> None:
        # A refused port or a datagram that is too long; the transaction's own timer tells its user.
        self._owner.on_dropped("udp_error")

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False


class _Connection(asyncio.Protocol):
    """One connection, accepted or opened; while it is being opened or secured, what it is to send waits here."""

    def __init__(self, owner: Transports, flow: Flow) -> None:
        self._owner = owner
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self._veil: Veil | None = None
        self._handshake: asyncio.TimerHandle | None = None  # when it is given up
        self._waiting = bytearray()
        self.flow = flow
        self.is_accepted = False
        self.used_at_s = owner._loop.time()
        #: Since when the peer owes us the rest of a message: a client owes us the first from the start.
        self.owes_since_s = float("inf")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's own class is a Transport in all but its bases
        self._transport = transport = cast("asyncio.Transport", transport)
        if self.flow.connection:
            if self.flow.connection not in self._owner._connections:
                transport.abort()  # given up while it was being opened
                return
        else:
            remote = transport.get_extra_info("peername")
            if remote is None or not self._owner._accept(self, _address(remote)):
                transport.abort()
                return
            self.owes_since_s = self._owner._loop.time()
        _probe(transport)
        if self.flow.transport == "TLS":
            self._veil = self._owner._veil(self.flow, is_server=self.is_accepted)
            limit_s = self._owner.limits.connect_s
            self._handshake = self._owner._loop.call_later(limit_s, self._owner._fail, self, "tls_timeout")
            self._veil.begin()
            transport.write(self._veil.taken)
        else:
            self._flush()

    def data_received(self, data: bytes) -> None:
        if self._veil is not None:
            try:
                data = self._unveiled(self._veil, data)
            except ssl.SSLError as error:
                self._send(self._veil.taken)  # why, for the peer
                self._end("tls_certificate" if _is_about_certificate(error) else "tls_protocol")
                return
        if data:
            self._hear(data)
        if self._veil is not None and self._veil.is_over:
            if self._owner._forget(self):  # what is sent from now on needs another connection
                self._owner.on_lost(self.flow, _CLOSED)
            self.close()

    def _unveiled(self, veil: Veil, data: bytes) -> bytes:
        """What the peer has said; nothing of a stranger, who is hung up on before a byte of ours has gone there."""
        was_up = veil.is_up
        said = veil.hear(data)
        self._send(veil.taken)
        if veil.is_up and not was_up:
            self._stop_handshake()
            if not self.is_accepted and not identity.is_of(veil.certificate, self.flow.name or self.flow.remote[0]):
                self._end("tls_name")
                return b""
            self._flush()
        return said

    def _hear(self, data: bytes) -> None:
        frames = self._framer.feed(data)
        for frame in frames:
            if self._transport is None or self._transport.is_closing():
                return  # what came before this frame made us close
            if isinstance(frame, FramingError):
                self._owner._fail(self, "tcp_too_large" if isinstance(frame, TooLarge) else "tcp_no_length")
                return
            self.used_at_s = self._owner._loop.time()
            if isinstance(frame, Ping):
                self.write(b"\r\n")
            else:
                self._owner.on_message(frame, self.flow)
        if not self._framer.is_waiting:
            if frames:
                self.owes_since_s = float("inf")
        elif frames or self.owes_since_s == float("inf"):
            self.owes_since_s = self._owner._loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._handshake is not None:
            self._end("tls_lost")
        elif self._owner._forget(self):
            self._owner.on_lost(self.flow, _CLOSED)

    def write(self, data: bytes) -> None:
        """Send, or keep until the connection stands; one whose peer does not read is given up."""
        self.used_at_s = self._owner._loop.time()
        if self._transport is None or (self._veil is not None and not self._veil.is_up):
            self._waiting += data
            unsent_bytes = len(self._waiting)
        else:
            try:
                self._send(self._veiled(data))
            except ssl.SSLError:
                self._owner._loop.call_soon(self._owner._fail, self, "tls_protocol")
            unsent_bytes = self._transport.get_write_buffer_size()
        if unsent_bytes > self._owner.limits.unsent_bytes:
            self._owner._loop.call_soon(self._owner._fail, self, "tcp_unsent")

    def _veiled(self, data: bytes) -> bytes:
        if self._veil is None:
            return data
        self._veil.say(data)
        return self._veil.taken

    def _flush(self) -> None:
        """Send what has waited for the connection."""
        if self._waiting:
            self._send(self._veiled(bytes(self._waiting)))
            self._waiting.clear()

    def _send(self, data: bytes) -> None:
        if data and self._transport is not None:
            self._transport.write(data)

    def _stop_handshake(self) -> None:
        if self._handshake is not None:
            self._handshake.cancel()
            self._handshake = None

    def _end(self, reason: str) -> None:
        """Give it up, but let the peer have what was said to him."""
        self._stop_handshake()
        if self._owner._forget(self):
            self._owner.on_dropped(reason)
            self._owner.on_lost(self.flow, reason)
        if self._transport is not None:
            self._transport.close()

    def close(self) -> None:
        """Close when all is sent."""
        self._stop_handshake()
        if self._transport is not None and not self._transport.is_closing():
            if self._veil is not None:
                self._veil.end()
                self._send(self._veil.taken)
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._stop_handshake()
        if self._transport is not None:
            self._transport.abort()


def _key(flow: Flow) -> tuple[str, Address, str]:
    """What makes one connection as good as another: over TLS the peer has proved to have this name (RFC 5923)."""
    return flow.transport, flow.remote, flow.name


def _address(known: tuple[Any, ...]) -> Address:
    """What the kernel says of a peer; an address of one link is none without its zone (RFC 4007 section 11)."""
    host, port, *of_ipv6 = known
    if not of_ipv6 or not of_ipv6[1] or "%" in host:
        return host, port
    try:
        return f"{host}%{socket.if_indextoname(of_ipv6[1])}", port
    except OSError:
        return f"{host}%{of_ipv6[1]}", port  # the interface is gone, and the peer with it


def _is_about_certificate(error: ssl.SSLError) -> bool:
    """Whether hands were not shaken because a certificate was missing or not believed, ours or the peer's."""
    reason = error.reason or ""
    return "CERTIFICATE" in reason or "UNKNOWN_CA" in reason


def _probe(transport: asyncio.Transport) -> None:
    """Have the kernel ask a silent peer whether he is still there: half of a connection serves nobody."""
    made = transport.get_extra_info("socket")
    for level, option, value in (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_AFTER_S),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY_S),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS),
    ):
        with contextlib.suppress(OSError):  # a connection that is gone is told of soon
            made.setsockopt(level, option, value)


def source_towards(host: str) -> str:
    """The IP address of ours from which the kernel sends to a host, "" where it knows no way there; nothing is sent."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect((host, 5060))
        except OSError:
            return ""
        return str(asked.getsockname()[0])


def _bind_both(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket, bound to one address; of a port that we choose, another is tried if one is taken."""
    for tries_left in reversed(range(_PORT_TRIES)):
        tcp = _bind(socket.SOCK_STREAM, host, port)
        try:
            return _bind(socket.SOCK_DGRAM, host, tcp.getsockname()[1]), tcp
        except OSError as error:
            tcp.close()
            if port or error.errno != errno.EADDRINUSE or not tries_left:
                raise
    raise AssertionError("the last try returns or raises")


def _bind(kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    try:
        made.setblocking(False)
        if made.family is socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # peers of IPv4 have an address of IPv4
        if kind is socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            with contextlib.suppress(OSError):  # a smaller one works too, only not as well
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        made.bind((host, port))
        if kind is socket.SOCK_STREAM:
            made.listen(512)  # an address in use may only show here
    except OSError:
        made.close()
        raise
    return made
