"""Real sockets on loopback, on asyncio's own loop and on uvloop: what arrives, what is counted, what is given up."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from typing import Self

import pytest
import uvloop

from sipshop.sip.flow import Address, Flow
from sipshop.sip.transport import Limits, Tls, Transports, _address, source_towards

HOST = "127.0.0.1"
PATIENCE_S = 10.0
OPTIONS = b"OPTIONS sip:h SIP/2.0\r\nContent-Length: 0\r\n\r\n"
ANSWER = b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"

Run = Callable[[Callable[[], Awaitable[None]]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    def start(main: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(PATIENCE_S):
                await main()

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(bounded())

    return start


class Side:
    """One end: its transports, and a queue for each kind of thing they tell."""

    def __init__(self, limits: Limits | None = None, tls: Tls | None = None) -> None:
        self.messages: asyncio.Queue[tuple[bytes, Flow]] = asyncio.Queue()
        self.lost: asyncio.Queue[Flow] = asyncio.Queue()
        self.why = ""  # the last one was
        self.dropped: asyncio.Queue[str] = asyncio.Queue()
        self.transports = Transports(
            asyncio.get_running_loop(),
            on_message=lambda data, flow: self.messages.put_nowait((data, flow)),
            on_lost=self._lose,
            on_dropped=self.dropped.put_nowait,
            limits=limits,
            tls=tls,
        )

    def _lose(self, flow: Flow, why: str) -> None:
        self.lost.put_nowait(flow)
        self.why = why

    async def __aenter__(self) -> Self:
        await self.transports.listen(HOST, 0)
        await self.transports.serve()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.transports.close()
        await asyncio.sleep(0)  # the loop's turn in which the sockets are closed

    @property
    def address(self) -> Address:
        return self.transports.local

    def towards(self, other: Address, transport: str = "TCP") -> Flow:
        return Flow(transport, self.address, other)


def free_port() -> int:
    """A TCP port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def test_udp_and_tcp_listen_on_the_same_port_and_a_taken_one_is_said(run: Run) -> None:
    async def main() -> None:
        async with Side() as side:
            host, port = side.address
            assert host == HOST
            assert port
            second = Side()
            with pytest.raises(OSError, match="in use") as caught:
                await second.transports.listen(host, port)
            assert caught.value.errno == errno.EADDRINUSE
            second.transports.close()

    run(main)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_is_half_taken_is_taken(run: Run, kind: socket.SocketKind) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_INET, kind) as other:
            other.bind((HOST, 0))
            if kind is socket.SOCK_STREAM:
                other.listen()
            side = Side()
            with pytest.raises(OSError, match="in use"):
                await side.transports.listen(HOST, other.getsockname()[1])
            side.transports.close()

    run(main)


def test_nothing_is_heard_before_serve_but_all_can_be_sent(run: Run) -> None:
    """What a restarted server hears while it starts must not meet it half made."""

    async def main() -> None:
        us = Side()
        await us.transports.listen(HOST, 0)
        async with Side() as them:
            them.transports.send(OPTIONS, them.towards(us.address, "UDP"))
            assert await us.dropped.get() == "starting"
            them.transports.send(OPTIONS, them.towards(us.address))  # the kernel takes the connection: it waits there
            us.transports.send(ANSWER, us.towards(them.address, "UDP"))
            assert (await them.messages.get())[0] == ANSWER
            assert us.messages.empty()
            await us.transports.serve()
            data, flow = await us.messages.get()
            assert (data, flow.transport) == (OPTIONS, "TCP")
            them.transports.send(OPTIONS, them.towards(us.address, "UDP"))
            data, flow = await us.messages.get()
            assert (data, flow.transport) == (OPTIONS, "UDP")
        await us.__aexit__()

    run(main)


def test_datagrams_that_wait_when_the_socket_opens_do_no_harm(run: Run) -> None:
    async def main() -> None:
        side = Side()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind((HOST, 0))
            listening = asyncio.ensure_future(side.transports.listen(HOST, 0))
            await asyncio.sleep(0)  # bound, while the loop has not yet told us of it
            for _ in range(5):
                peer.sendto(OPTIONS, side.address)
            await listening
            for _ in range(5):
                assert await side.dropped.get() == "starting"
        await side.__aexit__()

    run(main)


def test_datagrams_go_both_ways_on_one_flow(run: Run) -> None:
    async def main() -> None:
        async with Side() as us, Side() as them:
            sent = us.transports.send(OPTIONS, us.towards(them.address, "UDP"))
            data, flow = await them.messages.get()
            assert (data, flow) == (OPTIONS, Flow("UDP", them.address, us.address))
            them.transports.send(ANSWER, flow)
            assert await us.messages.get() == (ANSWER, sent)

    run(main)


def test_a_datagram_that_cannot_be_sent_and_one_that_nobody_takes_kill_nothing(run: Run) -> None:
    async def main() -> None:
        async with Side() as us, Side() as them:
            us.transports.send(b"x" * 70_000, us.towards(them.address, "UDP"))
            assert await us.dropped.get() == "udp_error"
            us.transports.send(OPTIONS, us.towards((HOST, free_port()), "UDP"))
            us.transports.send(b"\r\n\r\n", us.towards(them.address, "UDP"))
            us.transports.send(OPTIONS, us.towards(them.address, "UDP"))
            assert (await them.messages.get())[0] == OPTIONS
            assert await them.dropped.get() == "keepalive"

    run(main)


def test_a_refusal_told_by_the_kernel_is_counted(run: Run) -> None:
    async def main() -> None:
        async with Side() as us, Side() as them:
            us.transports._udp[us.address].error_received(ConnectionRefusedError())
            assert await us.dropped.get() == "udp_error"
            us.transports.send(OPTIONS, us.towards(them.address, "UDP"))
            assert (await them.messages.get())[0] == OPTIONS

    run(main)


def test_a_connection_is_opened_once_and_used_by_both_sides(run: Run) -> None:
    async def main() -> None:
        async with Side() as us, Side() as them:
            sent = us.transports.send(OPTIONS, us.towards(them.address))
            again = us.transports.send(OPTIONS, us.towards(them.address))
            assert sent == again
            assert sent.connection
            data, flow = await them.messages.get()
            assert (data, flow.local) == (OPTIONS, them.address)
            assert (await them.messages.get()) == (OPTIONS, flow)
            assert them.transports.send(ANSWER, flow) == flow
            assert await us.messages.get() == (ANSWER, sent)
            assert (us.transports.connections, them.transports.connections) == (1, 1)

    run(main)


def test_an_answer_to_a_closed_connection_opens_a_new_one_or_is_lost(run: Run) -> None:
    async def main() -> None:
        async with Side() as us:
            reader, writer = await asyncio.open_connection(*us.address)
            writer.write(OPTIONS)
            _, flow = await us.messages.get()
            writer.close()
            await writer.wait_closed()
            assert await us.lost.get() == flow
            retried = us.transports.send(ANSWER, flow)
            assert retried.connection not in {0, flow.connection}
            assert await us.lost.get() == retried
            assert await us.dropped.get() == "tcp_connect"
            assert us.transports.connections == 0
            assert await reader.read() == b""

    run(main)


def test_a_phone_that_is_gone_and_comes_back_to_its_port_is_reached(run: Run) -> None:
    async def main() -> None:
        async with Side() as us, Side() as them:
            gone = Flow("TCP", us.address, them.address, 99)
            assert us.transports.send(OPTIONS, gone).connection != 99
            assert (await them.messages.get())[0] == OPTIONS

    run(main)


@pytest.mark.scenario(37)
def test_pieces_pings_and_what_is_no_sip(run: Run) -> None:
    async def main() -> None:
        async with Side() as us:
            reader, writer = await asyncio.open_connection(*us.address)
            writer.write(b"\r\n\r\n" + OPTIONS[:20])
            assert await reader.readexactly(2) == b"\r\n"
            writer.write(OPTIONS[20:] + OPTIONS + b"GET / HTTP/1.1\r\n\r\n" + OPTIONS)
            assert (await us.messages.get())[0] == OPTIONS
            _, flow = await us.messages.get()
            assert await us.lost.get() == flow
            assert await us.dropped.get() == "tcp_no_length"
            assert us.messages.empty()
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()

    run(main)


@pytest.mark.scenario(37)
def test_a_message_that_is_too_long_ends_its_connection(run: Run) -> None:
    async def main() -> None:
        async with Side() as us:
            _, writer = await asyncio.open_connection(*us.address)
            writer.write(b"INVITE sip:h SIP/2.0\r\nContent-Length: 100000\r\n\r\n")
            assert await us.dropped.get() == "tcp_too_large"
            assert us.transports.connections == 0
            writer.close()

    run(main)


@pytest.mark.parametrize("limits", [Limits(per_source=1), Limits(accepted=1)])
def test_connections_are_limited_and_room_comes_back(run: Run, limits: Limits) -> None:
    async def main() -> None:
        async with Side(limits) as us:
            _, first = await asyncio.open_connection(*us.address)
            first.write(OPTIONS)
            _, flow = await us.messages.get()
            _, second = await asyncio.open_connection(*us.address)
            assert await us.dropped.get() == "tcp_refused"
            first.close()
            assert await us.lost.get() == flow
            _, third = await asyncio.open_connection(*us.address)
            third.write(OPTIONS)
            assert (await us.messages.get())[0] == OPTIONS
            for writer in (second, third):
                writer.close()

    run(main)


def test_connections_that_we_open_are_limited_too(run: Run) -> None:
    async def main() -> None:
        async with Side(Limits(accepted=1)) as us, Side() as them, Side() as others:
            us.transports.send(OPTIONS, us.towards(them.address))
            refused = us.transports.send(OPTIONS, us.towards(others.address))
            assert us.lost.empty(), "it is not told from inside send"
            assert await us.lost.get() == refused
            assert await us.dropped.get() == "tcp_refused"
            assert (await them.messages.get())[0] == OPTIONS
            assert us.transports.connections == 1

    run(main)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        pytest.param(Limits(silent_s=0.05), b"INVITE sip:h SIP/2.0\r\n", id="never a whole message"),
        pytest.param(Limits(idle_s=0.05), OPTIONS, id="nothing more for too long"),
        pytest.param(Limits(silent_s=0.05), OPTIONS + b"INVITE sip:h SIP/2.0\r\n", id="a message that never ends"),
    ],
)
def test_a_connection_that_idles_is_closed(run: Run, limits: Limits, said: bytes) -> None:
    async def main() -> None:
        async with Side(limits) as us:
            _, writer = await asyncio.open_connection(*us.address)
            writer.write(said)
            assert await us.dropped.get() == "tcp_idle"
            assert (await us.lost.get()).remote == writer.get_extra_info("sockname")
            assert us.transports.connections == 0
            writer.close()

    run(main)


@pytest.mark.scenario(37)
def test_a_peer_that_never_reads_is_closed(run: Run) -> None:
    async def main() -> None:
        async with Side() as us:
            with socket.socket() as deaf:
                deaf.setblocking(False)
                await asyncio.get_running_loop().sock_connect(deaf, us.address)
                await asyncio.get_running_loop().sock_sendall(deaf, OPTIONS)
                _, flow = await us.messages.get()
                answer = ANSWER[:-4] + b"\r\nX: " + b"x" * 60_000 + b"\r\n\r\n"
                sent = 0
                while us.lost.empty():
                    us.transports.send(answer, flow)
                    sent += 1
                    assert sent < 2000, "what waits to be sent has no end"
                    await asyncio.sleep(0)  # the loop's turn in which it is found out
                assert await us.lost.get() == flow
                assert await us.dropped.get() == "tcp_unsent"

    run(main)


def test_what_waits_for_a_connection_is_limited(run: Run) -> None:
    async def main() -> None:
        async with Side(Limits(unsent_bytes=1000)) as us, Side() as them:
            flow = us.transports.send(b"x" * 1001, us.towards(them.address))
            assert await us.lost.get() == flow
            assert await us.dropped.get() == "tcp_unsent"
            assert us.transports.connections == 0

    run(main)


def test_a_connection_that_does_not_come_about_in_time_is_given_up(run: Run) -> None:
    async def main() -> None:
        # A listener whose queue is full takes no more: its kernel drops what would connect.
        with socket.socket() as full:
            full.bind((HOST, 0))
            full.listen(0)
            address = full.getsockname()
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            async with Side(Limits(connect_s=0.1)) as us:
                flow = us.transports.send(OPTIONS, us.towards(address))
                assert await us.lost.get() == flow
                assert await us.dropped.get() == "tcp_connect"
            for filler in fillers:
                filler.close()

    run(main)


def test_after_close_nobody_is_told_and_what_was_sent_arrives(run: Run) -> None:
    async def main() -> None:
        async with Side() as them:
            async with Side() as us:
                us.transports.send(OPTIONS, us.towards(them.address))
                _, flow = await them.messages.get()
                us.transports.send(ANSWER, us.towards(them.address))
            assert await them.messages.get() == (ANSWER, flow)
            assert await them.lost.get() == flow
            assert us.lost.empty()
            us.transports.send(OPTIONS, us.towards(them.address, "UDP"))

    run(main)


def test_ipv6(run: Run) -> None:
    async def main() -> None:
        us, them = Side(), Side()
        for side in (us, them):
            await side.transports.listen("::1", 0)
            await side.transports.serve()
        for transport in ("UDP", "TCP"):
            us.transports.send(OPTIONS, us.towards(them.address, transport))
            _, flow = await them.messages.get()
            assert (flow.transport, flow.local, flow.remote[0]) == (transport, them.address, "::1")
            them.transports.send(ANSWER, flow)
            assert (await us.messages.get())[0] == ANSWER
        for side in (us, them):
            await side.__aexit__()

    run(main)


def test_a_peer_who_trickles_is_closed_in_time_and_one_who_ends_his_message_is_not(run: Run) -> None:
    async def main() -> None:
        async with Side(Limits(silent_s=0.2)) as us:
            _, slow = await asyncio.open_connection(*us.address)
            _, steady = await asyncio.open_connection(*us.address)
            for writer in (slow, steady):
                writer.write(OPTIONS + OPTIONS[:5])
            for _ in range(2):
                await us.messages.get()
            steady.write(OPTIONS[5:])
            await us.messages.get()
            while us.lost.empty():
                slow.write(b"X")  # it is not silent, and gets nowhere
                await asyncio.sleep(0.02)
            assert (await us.lost.get()).remote == slow.get_extra_info("sockname")
            assert us.transports.connections == 1
            slow.close()
            steady.close()

    run(main)


def test_connections_that_come_too_fast_are_closed_and_others_are_not(run: Run) -> None:
    async def main() -> None:
        async with Side(Limits(new_per_s=2)) as us:
            writers = [(await asyncio.open_connection(*us.address))[1] for _ in range(3)]
            assert await us.dropped.get() == "tcp_refused"
            writers.append((await asyncio.open_connection(*us.address, local_addr=("127.0.0.2", 0)))[1])
            writers[3].write(OPTIONS)
            assert (await us.messages.get())[1].remote[0] == "127.0.0.2"
            us.transports._span_began_s -= 1.0  # a second goes by
            writers.append((await asyncio.open_connection(*us.address))[1])
            writers[4].write(OPTIONS)
            assert (await us.messages.get())[1].remote[0] == HOST
            for writer in writers:
                writer.close()

    run(main)


def test_a_peer_who_lost_his_power_is_found_out(run: Run) -> None:
    async def main() -> None:
        async with Side() as us, Side() as them:
            us.transports.send(OPTIONS, us.towards(them.address))
            await them.messages.get()
            for side in (us, them):
                [connection] = side.transports._connections.values()
                assert connection._transport is not None
                made = connection._transport.get_extra_info("socket")
                assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
                assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000

    run(main)


@pytest.mark.parametrize(("host", "size"), [(HOST, 65_507), ("::1", 65_487)])
def test_the_longest_datagram_is_taken_whole(run: Run, host: str, size: int) -> None:
    async def main() -> None:
        us, them = Side(), Side()
        for side in (us, them):
            await side.transports.listen(host, 0)
            await side.transports.serve()
        data = OPTIONS[:-4] + b"\r\nX: " + b"x" * (size - len(OPTIONS) - 5) + b"\r\n\r\n"
        assert len(data) == size
        us.transports.send(data, us.towards(them.address, "UDP"))
        assert (await them.messages.get())[0] == data
        for side in (us, them):
            await side.__aexit__()

    run(main)


@pytest.mark.scenario(37)
def test_a_message_of_65_kb_in_any_pieces(run: Run) -> None:
    async def main() -> None:
        async with Side() as us:
            _, writer = await asyncio.open_connection(*us.address)
            data = b"INFO sip:h SIP/2.0\r\nl: 65000\r\n\r\n" + b"x" * 65_000
            for start in range(0, len(data), 7000):
                writer.write(data[start : start + 7000])
                await writer.drain()
                await asyncio.sleep(0)
            assert (await us.messages.get())[0] == data
            writer.close()

    run(main)


def test_several_addresses_at_once_each_sends_for_its_own(run: Run) -> None:
    async def main() -> None:
        async with Side() as us:
            second = await us.transports.listen("127.0.0.2", us.address[1])
            third = await us.transports.listen("::1", us.address[1])
            await us.transports.serve()
            them, of_ipv6 = Side(), Side()
            for side, host in ((them, HOST), (of_ipv6, "::1")):
                await side.transports.listen(host, 0)
                await side.transports.serve()
            for local in (us.address, second):
                us.transports.send(OPTIONS, Flow("UDP", local, them.address))
                assert (await them.messages.get())[1].remote == local
                us.transports.send(OPTIONS, Flow("TCP", local, them.address, 1000 + local[1]))
                assert (await them.messages.get())[1].remote[0] in {HOST, "127.0.0.2"}
            us.transports.send(OPTIONS, Flow("UDP", us.address, of_ipv6.address))  # from what cannot reach it
            assert (await of_ipv6.messages.get())[1].remote == third
            them.transports.send(OPTIONS, Flow("UDP", them.address, third))
            assert await them.dropped.get() == "udp_unsent", "there is no socket of that family"
            for side in (them, of_ipv6):
                await side.__aexit__()

    run(main)


def test_every_address_of_ipv6_is_none_of_ipv4(run: Run) -> None:
    async def main() -> None:
        async with Side() as us:
            host, port = "0.0.0.0", us.address[1]
            us.transports.close()
            both = Side()
            await both.transports.listen("::", port)
            await both.transports.listen(host, port)
            await both.transports.serve()
            async with Side() as them:
                for transport in ("UDP", "TCP"):
                    them.transports.send(OPTIONS, them.towards((HOST, port), transport))
                    _, flow = await both.messages.get()
                    assert (flow.local, flow.remote[0]) == ((host, port), HOST)
                    assert both.transports.send(ANSWER, flow) == flow
                    assert (await them.messages.get())[0] == ANSWER
            await both.__aexit__()

    run(main)


def test_an_address_of_one_link_keeps_its_zone() -> None:
    assert _address(("fe80::7", 5060, 0, 1)) == (f"fe80::7%{socket.if_indextoname(1)}", 5060)
    assert _address(("fe80::7%eth9", 5060, 0, 9)) == ("fe80::7%eth9", 5060)
    assert _address(("fe80::7", 5060, 0, 99_999)) == ("fe80::7%99999", 5060)
    assert _address(("2001:db8::7", 5060, 0, 0)) == ("2001:db8::7", 5060)
    assert _address(("192.0.2.7", 5060)) == ("192.0.2.7", 5060)


def test_where_the_kernel_would_send_from() -> None:
    assert source_towards(HOST) == HOST
    assert source_towards("::1") == "::1"
    assert source_towards("255.255.255.255") == "", "nobody may shout"
