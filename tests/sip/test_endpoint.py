"""A user agent on real sockets: which address of ours a peer is told, and how large requests reach him."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from sipshop.sip.endpoint import Endpoint
from sipshop.sip.events import Content
from sipshop.sip.flow import Address, Flow
from sipshop.sip.message import Request, parse
from sipshop.sip.resolve import Plan, Wanted
from sipshop.sip.timers import Timers
from sipshop.sip.useragent import UserAgent
from tests.sip.test_transport import run

__all__ = ["run"]

Run = Callable[[Callable[[], Awaitable[None]]], None]
LARGE = Content("application/sdp", b"v=0\r\n" + b"a=candidate:1 1 UDP 1 192.0.2.1 5000 typ host\r\n" * 100)
SMALL = Content("application/sdp", b"v=0\r\n")


@asynccontextmanager
async def endpoint(*hosts: str) -> AsyncIterator[Endpoint]:
    agent = UserAgent(
        timers=Timers(),
        token=lambda: secrets.token_hex(8),
        pick=secrets.randbelow,
        advertise=("192.0.2.1", 5060),
    )
    made = Endpoint(asyncio.get_running_loop(), agent, lambda _output, _now: None)
    for host in hosts:
        await made.listen(host, 0)
    await made.serve()
    yield made
    made.close()
    await asyncio.sleep(0)


def call(caller: Endpoint, remote: Address, content: Content, transport: str = "UDP") -> None:
    with caller.turn() as now:
        caller.agent.dial(
            Flow(transport, caller.local_for(transport, remote[0]), remote),
            target="sip:1@peer.example",
            from_="<sip:shop@192.0.2.1>",
            to="<sip:1@peer.example>",
            call_id=secrets.token_hex(8),
            tag="t",
            max_forwards=70,
            content=content,
            now=now,
        )


def deaf_to_tcp(host: str = "127.0.0.1") -> socket.socket:
    """A peer of UDP alone: nobody listens on the TCP port of the same number."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, 0))
    made.setblocking(False)
    return made


async def heard(peer: socket.socket) -> Request:
    message = parse(await asyncio.get_running_loop().sock_recv(peer, 65_535))
    assert isinstance(message, Request)
    return message


@pytest.mark.scenario(36)
def test_a_large_invite_reaches_a_peer_of_udp_alone(run: Run) -> None:
    async def main() -> None:
        async with endpoint("127.0.0.1") as caller:
            with deaf_to_tcp() as peer:
                call(caller, peer.getsockname(), LARGE)
                invite = await heard(peer)
                assert (invite.via.transport, invite.body) == ("UDP", LARGE.data)
                assert f"{invite.via.host}:{invite.via.port}" == "{}:{}".format(*caller.local)

    run(main)


@pytest.mark.scenario(36)
def test_a_large_invite_goes_by_tcp_to_a_peer_who_listens_there(run: Run) -> None:
    async def main() -> None:
        arrived: asyncio.Queue[tuple[bytes, Flow]] = asyncio.Queue()

        def tap(data: bytes, flow: Flow, is_sent: bool) -> None:
            if not is_sent:
                arrived.put_nowait((data, flow))

        async with endpoint("127.0.0.1") as caller, endpoint("127.0.0.1") as peer:
            peer.tap(tap)
            call(caller, peer.local, LARGE)
            data, flow = await arrived.get()
            assert (flow.transport, parse(data).via.transport) == ("TCP", "TCP")
            call(caller, peer.local, SMALL)
            while (b"v=0\r\n" + b"a=") in data or not data.startswith(b"INVITE"):
                data, flow = await arrived.get()
            assert flow.transport == "UDP"

    run(main)


def test_a_peer_is_told_the_address_that_he_can_reach(run: Run) -> None:
    async def main() -> None:
        async with endpoint("127.0.0.2", "127.0.0.1", "::1") as caller:
            with deaf_to_tcp("::1") as peer:
                call(caller, peer.getsockname()[:2], SMALL)
                invite = await heard(peer)
                assert invite.via.host == "[::1]"
                assert invite.contacts[0].uri.host == "[::1]"
            with deaf_to_tcp("127.0.0.3") as peer:
                call(caller, peer.getsockname(), SMALL)
                assert (await heard(peer)).via.host == "127.0.0.1", "the kernel would send from there"

    run(main)


def test_the_endpoint_finds_addresses_of_the_families_that_it_has(run: Run) -> None:
    async def main() -> None:
        found: list[Plan] = []
        async with endpoint("127.0.0.1") as caller:
            with caller.turn() as now:
                caller.find(Wanted(host="192.0.2.9"), now, lambda plan, _now: found.append(plan))
            assert [target.address for target in found[0].targets] == [("192.0.2.9", 5060)]
            assert caller.agent.addresses.families == (4,)

    run(main)
