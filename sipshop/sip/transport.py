"""Sockets: one UDP and one TCP listener on the same address, and the connections that are opened from it.

The only module of this room but `endpoint` that does input and output. Bytes of whole messages go up with the `Flow`
they came on, and down with the flow they are to take. No task is made for a message; one is made for each TCP
connection that we open, and ends when it stands or has failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, cast

from sipshop.sip.flow import Address, Flow
from sipshop.sip.message import FramingError, TooLarge
from sipshop.sip.stream import Framer, Ping

#: A burst of calls has to wait here while the loop is busy; the kernel gives what it may.
_RECEIVE_BUFFER_BYTES: Final = 4 << 20
#: Shorter than any SIP message: what phones send to keep a NAT's door open.
_SHORTEST_MESSAGE: Final = 16
_PORT_TRIES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What peers may take of us over TCP.

    `accepted` connections in all and `per_source` from one IP; as many again as `accepted` may be opened by us.
    One that has not sent a whole message is closed after `silent_s`, any that is not used after `idle_s`; one whose
    peer leaves more than `unsent_bytes` unread is closed at once. Opening one may take `connect_s`.
    """

    accepted: int = 4096
    per_source: int = 256
    silent_s: float = 30.0
    idle_s: float = 3900.0  # above the longest registration: a phone that refreshes it keeps its connection
    unsent_bytes: int = 1 << 20
    connect_s: float = 5.0


class Transports:
    """The sockets of one listening address.

    After `listen` it sends, after `serve` it hears too: who starts may say goodbye to an earlier run's peers before
    any request meets him half made. `on_message` is called with every datagram and framed message; `on_lost` with the
    flow of a connection that failed or closed, never from inside `send`; `on_dropped` with the reason when something
    is thrown away: `keepalive`, `starting` (before `serve`), `udp_error`, `udp_unsent`, `tcp_refused` (limits),
    `tcp_idle`, `tcp_unsent`, `tcp_no_length`, `tcp_too_large`, `tcp_connect`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        on_message: Callable[[bytes, Flow], None],
        on_lost: Callable[[Flow], None],
        on_dropped: Callable[[str], None],
        limits: Limits | None = None,
    ) -> None:
        self._loop = loop
        self.on_message = on_message
        self.on_lost = on_lost
        self.on_dropped = on_dropped
        self.limits = limits or Limits()
        self._local: Address | None = None
        self._udp: asyncio.DatagramTransport | None = None
        self._datagrams: _Datagrams | None = None
        self._server: asyncio.Server | None = None
        self._connections: dict[int, _Connection] = {}
        self._by_remote: dict[Address, _Connection] = {}
        self._accepted = 0
        self._sources: Counter[str] = Counter()  # accepted connections by the peer's IP
        self._opening: set[asyncio.Task[None]] = set()
        self._last_number = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_heard = False
        self._closed = False

    @property
    def local(self) -> Address:
        """The address that both listeners are bound to, its port the real one where 0 was asked for."""
        assert self._local is not None, "listen comes first"
        return self._local

    @property
    def connections(self) -> int:
        """The TCP connections that stand or are being opened."""
        return len(self._connections)

    async def listen(self, host: str, port: int) -> None:
        """Bind UDP and TCP to one address: an IP literal, and a port of which 0 means any that both are free on.

        A datagram that comes before `serve` is thrown away, its sender repeats it; a connection waits in the kernel.

        Raises:
            OSError: as the system said it, `errno.EADDRINUSE` for an address that is taken.
        """
        udp, tcp = _bind_both(host, port)
        self._local = udp.getsockname()[0], udp.getsockname()[1]
        self._udp, self._datagrams = await self._loop.create_datagram_endpoint(
            lambda: _Datagrams(self, self.local), sock=udp
        )
        self._server = await self._loop.create_server(
            lambda: _Connection(self), sock=tcp, backlog=512, start_serving=False
        )

    async def serve(self) -> None:
        """Hear what comes from now on."""
        assert self._server is not None, "listen comes first"
        self._is_heard = True
        await self._server.start_serving()

    def send(self, data: bytes, flow: Flow) -> Flow:
        """Send on a flow; the flow that it went by, which is another one where a connection had to be opened.

        Never blocks and never raises for what the network does: a datagram may be lost and is counted if we know, a
        connection that fails is told to `on_lost`.
        """
        if not flow.reliable:
            assert self._udp is not None, "listen comes first"
            assert self._datagrams is not None
            if not self._udp.is_closing():
                if self._datagrams.is_full:
                    self.on_dropped("udp_unsent")
                else:
                    self._udp.sendto(data, flow.remote)
            return flow
        connection = self._connections.get(flow.connection) or self._by_remote.get(flow.remote)
        if connection is None:
            connection = self._open(flow.remote)
        connection.write(data)
        return connection.flow

    def close(self) -> None:
        """Stop listening, close every connection once its bytes are out, and tell nobody of them any more."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._server is not None:
            self._server.close()
        for task in self._opening:
            task.cancel()
        for connection in list(self._connections.values()):
            self._forget(connection)
            connection.close()
        if self._udp is not None:
            self._udp.close()

    def _open(self, remote: Address) -> _Connection:
        self._last_number += 1
        connection = _Connection(self, Flow("TCP", self.local, remote, self._last_number))
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
        host, port = connection.flow.remote
        wildcard = ipaddress.ip_address(self.local[0]).is_unspecified
        try:
            async with asyncio.timeout(self.limits.connect_s):
                await self._loop.create_connection(
                    lambda: connection, host, port, local_addr=None if wildcard else (self.local[0], 0)
                )
        except OSError:  # a timeout is one too
            self._fail(connection, "tcp_connect")

    def _accept(self, connection: _Connection, local: Address, remote: Address) -> bool:
        """Take in a connection that a peer has opened; whether there is room for it."""
        if self._accepted >= self.limits.accepted or self._sources[remote[0]] >= self.limits.per_source:
            self.on_dropped("tcp_refused")
        elif not self._closed:
            self._last_number += 1
            connection.flow = Flow("TCP", local, remote, self._last_number)
            connection.is_accepted = True
            self._accepted += 1
            self._sources[remote[0]] += 1
            self._remember(connection)
            return True
        return False

    def _remember(self, connection: _Connection) -> None:
        self._connections[connection.flow.connection] = connection
        self._by_remote[connection.flow.remote] = connection
        if self._sweeper is None:
            self._arm_sweeper()

    def _forget(self, connection: _Connection) -> bool:
        """Take a connection out of the tables; whether it was still in them."""
        flow = connection.flow
        if self._connections.pop(flow.connection, None) is None:
            return False
        if self._by_remote.get(flow.remote) is connection:
            del self._by_remote[flow.remote]
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
            self.on_lost(connection.flow)
        connection.abort()

    def _arm_sweeper(self) -> None:
        self._sweeper = self._loop.call_later(min(self.limits.silent_s, self.limits.idle_s) / 2, self._sweep)

    def _sweep(self) -> None:
        """Close what has idled for too long; one timer for all connections, none while there are none."""
        now = self._loop.time()
        for connection in list(self._connections.values()):
            is_silent = connection.is_accepted and not connection.has_spoken
            if now - connection.used_at_s >= (self.limits.silent_s if is_silent else self.limits.idle_s):
                self._fail(connection, "tcp_idle")
        self._sweeper = None
        if self._connections:
            self._arm_sweeper()


class _Datagrams(asyncio.DatagramProtocol):
    """The UDP socket's half that asyncio calls."""

    def __init__(self, owner: Transports, local: Address) -> None:
        self._owner = owner
        self.is_full = False
        #: The flow from a peer's address: the same in each of his datagrams.
        self._flow_from = lru_cache(maxsize=4096)(lambda addr: Flow("UDP", local, (addr[0], addr[1])))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
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
    """One TCP connection, accepted or opened; while it is being opened, what it is to send waits here."""

    def __init__(self, owner: Transports, flow: Flow | None = None) -> None:
        self._owner = owner
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self._waiting = bytearray()
        self.flow = flow or Flow("TCP", owner.local, ("", 0))  # a peer's own is known once it is accepted
        self.is_accepted = False
        self.has_spoken = False
        self.used_at_s = owner._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's own class is a Transport in all but its bases
        self._transport = transport = cast("asyncio.Transport", transport)
        if self.flow.connection:
            if self.flow.connection in self._owner._connections:
                transport.write(bytes(self._waiting))
                self._waiting.clear()
            else:
                transport.abort()  # given up while it was being opened
            return
        local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        if remote is None or not self._owner._accept(self, (local[0], local[1]), (remote[0], remote[1])):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        for frame in self._framer.feed(data):
            if self._transport is None or self._transport.is_closing():
                return  # what came before this frame made us close
            if isinstance(frame, FramingError):
                self._owner._fail(self, "tcp_too_large" if isinstance(frame, TooLarge) else "tcp_no_length")
                return
            self.used_at_s = self._owner._loop.time()
            self.has_spoken = True
            if isinstance(frame, Ping):
                self.write(b"\r\n")
            else:
                self._owner.on_message(frame, self.flow)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._owner._forget(self):
            self._owner.on_lost(self.flow)

    def write(self, data: bytes) -> None:
        """Send, or keep until the connection stands; one whose peer does not read is given up."""
        self.used_at_s = self._owner._loop.time()
        if self._transport is None:
            self._waiting += data
            unsent_bytes = len(self._waiting)
        else:
            self._transport.write(data)
            unsent_bytes = self._transport.get_write_buffer_size()
        if unsent_bytes > self._owner.limits.unsent_bytes:
            self._owner._loop.call_soon(self._owner._fail, self, "tcp_unsent")

    def close(self) -> None:
        """Close when all is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()


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
