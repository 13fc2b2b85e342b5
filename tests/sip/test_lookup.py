"""DNS over real sockets, against a server of ours on loopback: what is waited for, what is not, and what is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop

from sipshop.sip.flow import Address
from sipshop.sip.lookup import Resolver, read_hosts
from sipshop.sip.message import parse_uri
from sipshop.sip.resolve import SHORTEST_TTL_S, Plan, Target, Wanted
from tests.sip.dns_server import DnsServer, Zone

PATIENCE_S = 10.0
ZONE: Zone = {
    ("carrier.example", "NAPTR"): ('10 10 "s" "SIP+D2U" "" _sip._udp.Carrier.example.',),
    ("_sip._udp.carrier.example", "SRV"): ("10 0 5080 one.carrier.example.", "20 0 5060 two.carrier.example."),
    ("one.carrier.example", "A"): ("192.0.2.1",),
    ("two.carrier.example", "A"): ("192.0.2.2",),
    ("gone.example", "NAPTR"): (),
    ("_sip._udp.gone.example", "SRV"): ("0 0 0 .",),
}
CARRIER = [("UDP", ("192.0.2.1", 5080)), ("UDP", ("192.0.2.2", 5060))]

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


class Caller:
    """Somebody who asks; `now` is what he takes for the time."""

    def __init__(self, *servers: Address, wait_s: float = 5.0, hosts: str = "") -> None:
        self.now = 0.0
        self.found: list[Plan] = []
        self.told = asyncio.Event()
        self.resolver = Resolver(
            asyncio.get_running_loop(),
            turn=self.turn,
            pick=lambda _below: 0,
            servers=servers,
            wait_s=wait_s,
            hosts=Path(hosts or "/nonexistent"),
        )

    @contextmanager
    def turn(self) -> Iterator[float]:
        yield self.now

    def ask(self, uri: str) -> None:
        self.told.clear()
        self.resolver.find(Wanted.of(parse_uri(uri)), self.now, self._tell, families=(4,))

    async def find(self, uri: str) -> list[tuple[str, Address]]:
        self.ask(uri)
        await self.told.wait()
        return [(target.transport, target.address) for target in self.found[-1].targets]

    def _tell(self, found: Plan, now: float) -> None:
        assert now == self.now
        assert not found.questions
        self.found.append(found)
        self.told.set()


@pytest.mark.scenario(41)
def test_a_cold_name_blocks_nobody_and_a_warm_one_is_told_in_the_same_turn(run: Run) -> None:
    async def main() -> None:
        async with DnsServer(ZONE) as server:
            caller = Caller(server.address)
            caller.ask("sip:carrier.example")
            caller.ask("sip:carrier.example")
            caller.ask("sip:192.0.2.7")
            assert [len(found.targets) for found in caller.found] == [1], "an address waits for nothing"
            caller.told.clear()
            await caller.told.wait()
            assert len(caller.found) == 3, "both who wait for a name are told in one turn"
            assert await caller.find("sip:carrier.example") == CARRIER
            assert set(server.asked.values()) == {1}, "nobody asks what another is asking"
            before = len(caller.found)
            caller.ask("sip:carrier.example")
            assert len(caller.found) == before + 1
            caller.resolver.close()

    run(main)


def test_names_are_asked_for_again_when_their_time_is_over(run: Run) -> None:
    async def main() -> None:
        async with DnsServer(ZONE, ttl_s=60) as server:
            caller = Caller(server.address)
            await caller.find("sip:one.carrier.example:5060")
            caller.now = 59.0
            await caller.find("sip:one.carrier.example:5060")
            assert server.asked["one.carrier.example A"] == 1
            server.zone["one.carrier.example", "A"] = ("192.0.2.77",)
            caller.now = 60.0
            assert await caller.find("sip:one.carrier.example:5060") == [("UDP", ("192.0.2.77", 5060))]

    run(main)


@pytest.mark.parametrize("uri", ["sip:nobody.example", "sip:gone.example", "sip:x..y.example:5060", "sip:a.b:5060"])
def test_a_name_that_leads_nowhere_is_told_with_a_reason_and_remembered(run: Run, uri: str) -> None:
    async def main() -> None:
        async with DnsServer(ZONE) as server:
            caller = Caller(server.address)
            assert await caller.find(uri) == []
            assert "has no address" in caller.found[-1].why
            asked = server.asked.total()
            assert await caller.find(uri) == []
            assert server.asked.total() == asked

    run(main)


@pytest.mark.parametrize("how", ["is_dead", "is_broken"])
def test_what_was_known_serves_while_dns_is_down(run: Run, how: str) -> None:
    async def main() -> None:
        async with DnsServer(ZONE) as server:
            caller = Caller(server.address, wait_s=0.2)
            assert await caller.find("sip:carrier.example") == CARRIER
            setattr(server, how, True)
            caller.now = 3600.0
            assert await caller.find("sip:carrier.example") == CARRIER
            caller.resolver.close()

    run(main)


def test_nobody_waits_for_ever(run: Run) -> None:
    async def main() -> None:
        async with DnsServer(ZONE) as server:
            server.is_dead = True
            caller = Caller(server.address, wait_s=0.1)
            assert await caller.find("sip:carrier.example") == []
            assert caller.found[-1].why in {
                "DNS has not told within 0.1 s where carrier.example is",
                "carrier.example has no address",
            }
            server.is_dead = False
            caller.now = SHORTEST_TTL_S + 1
            caller.resolver._wait_s = 5.0
            assert await caller.find("sip:carrier.example") == CARRIER
            caller.resolver.close()

    run(main)


def test_a_target_that_does_not_answer_is_tried_last(run: Run) -> None:
    async def main() -> None:
        async with DnsServer(ZONE) as server:
            caller = Caller(server.address)
            await caller.find("sip:carrier.example")
            caller.resolver.shun(caller.found[-1].targets[0], 0.0)
            assert await caller.find("sip:carrier.example") == CARRIER[::-1]
            caller.resolver.shun(Target("UDP", ("192.0.2.2", 5060), "carrier.example"), 0.0, 120.0)
            caller.now = 61.0
            assert await caller.find("sip:carrier.example") == CARRIER

    run(main)


def test_after_close_nobody_is_told(run: Run) -> None:
    async def main() -> None:
        async with DnsServer(ZONE) as server:
            caller = Caller(server.address, wait_s=0.05)
            caller.ask("sip:carrier.example")
            caller.resolver.close()
            await asyncio.sleep(0.1)
            assert caller.found == []

    run(main)


def test_names_of_the_hosts_file_are_not_asked_for(run: Run, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("# ours\n192.0.2.50 Carrier.lan carrier # the old one\n2001:db8::50 carrier.lan\nnonsense x\n")
    assert read_hosts(hosts) == {"carrier.lan": ("192.0.2.50", "2001:db8::50"), "carrier": ("192.0.2.50",)}
    assert read_hosts(tmp_path / "none") == {}

    async def main() -> None:
        async with DnsServer(ZONE) as server:
            caller = Caller(server.address, hosts=str(hosts))
            assert await caller.find("sip:CARRIER.lan") == [("UDP", ("192.0.2.50", 5060))]
            assert await caller.find("sip:carrier.lan:5070;transport=tcp") == [("TCP", ("192.0.2.50", 5070))]
            assert not server.asked

    run(main)
