"""The stream of events: what is told to whom, and what happens to whoever is slow."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, aclosing
from typing import Any

import httpx
import pytest

from sipshop.console.events import MAX_KEPT, MAX_LISTENERS, MAX_OF_TOKEN, Hub, stream
from sipshop.console.tokens import Identity
from sipshop.facts import (
    BoothChanged,
    CallAnswered,
    CallAttempted,
    CallEnded,
    CallRang,
    Fact,
    MessageDropped,
    PartyChanged,
    RegistrationChanged,
)
from sipshop.switch import CommandRefused
from tests.console.memory import OPENED_AT_MS, TENANT, TOKEN, MemoryDesk, memory_api, serving, token_of

WHERE = {"tenant": TENANT, "shop": "center", "booth": "b1"}
CALL: list[Fact] = [
    CallAttempted(**WHERE, call_id="c", kind="call", direction="outbound", at_ms=OPENED_AT_MS),
    CallRang(**WHERE, call_id="c", after_ms=150),
    CallAnswered(**WHERE, call_id="c", trunk="demo", relayed_at_ms=OPENED_AT_MS, after_ms=4_000, added_us=900),
    CallEnded(
        **WHERE,
        call_id="c",
        trunk="demo",
        talk_ms=61_250,
        result="answered",
        sip_status=200,
        q850=16,
        hung_up_by="caller",
    ),
]


async def read(events: AsyncIterator[str]) -> list[tuple[str, dict[str, Any]]]:
    """All events until nothing more happens."""
    found: list[tuple[str, dict[str, Any]]] = []
    async for text in events:
        if text.startswith(":"):
            return found
        assert text.endswith("\n\n")
        for block in text.removesuffix("\n\n").split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            if "event" in fields:
                found.append((fields["event"], json.loads(fields["data"])))
    return found


def told(
    desk: MemoryDesk,
    happens: Callable[[Hub], object],
    *,
    role: str = "provider",
    party: str = "acme",
    shop: str | None = None,
    is_valid: Callable[[], bool] = lambda: True,
) -> list[tuple[str, dict[str, Any]]]:
    """What a listener is told of what happens after his stream has begun."""
    identity = Identity(token_of("t", party=party, role=role, shop=shop), "me")

    async def main() -> list[tuple[str, dict[str, Any]]]:
        hub = Hub()
        async with aclosing(stream(hub, identity, desk, is_valid, gather_s=0, ping_s=0)) as events:
            await read(events)
            happens(hub)
            return await read(events)

    return asyncio.run(main())


def publish(*facts: Fact) -> Callable[[Hub], None]:
    def happens(hub: Hub) -> None:
        for fact in facts:
            hub.publish(fact)

    return happens


@pytest.fixture
def desk() -> MemoryDesk:
    return MemoryDesk("b1", "b2")


def test_a_stream_begins_with_everything_as_it_is(desk: MemoryDesk) -> None:
    async def main() -> list[tuple[str, dict[str, Any]]]:
        identity = Identity(token_of("t", party="acme", role="provider"), "me")
        async with aclosing(stream(Hub(), identity, desk, lambda: True, gather_s=0, ping_s=0)) as events:
            return await read(events)

    names = [data.get("booth") or data.get("party") for _, data in asyncio.run(main())]
    assert names == ["b1", "b2", "acme", "rhea", "olga"]


def test_a_call_is_told_step_by_step(desk: MemoryDesk) -> None:
    events = told(desk, publish(*CALL))
    assert [(kind, data["state"]) for kind, data in events] == [
        ("call", "attempted"),
        ("call", "ringing"),
        ("call", "answered"),
        ("call", "ended"),
    ]
    assert events[-1][1]["trunk"] == "demo"


@pytest.mark.parametrize(("role", "party", "shop"), [("owner", "olga", None), ("operator", "olga", "center")])
def test_who_is_not_the_provider_is_told_no_carrier(desk: MemoryDesk, role: str, party: str, shop: str) -> None:
    events = told(desk, publish(*CALL), role=role, party=party, shop=shop)
    assert len(events) == 4
    assert "demo" not in str(events)


@pytest.mark.parametrize(("role", "party", "shop"), [("reseller", "rhea", None), ("operator", "olga", "kiosk")])
def test_of_anothers_shop_nothing_is_told(desk: MemoryDesk, role: str, party: str, shop: str | None) -> None:
    registered = RegistrationChanged(**WHERE, bindings=1, reachable=1)
    assert told(desk, publish(*CALL, registered, BoothChanged(**WHERE)), role=role, party=party, shop=shop) == []


def test_of_another_tenant_nothing_is_told(desk: MemoryDesk) -> None:
    where = WHERE | {"tenant": "other"}
    facts = (
        RegistrationChanged(**where, bindings=1, reachable=1),
        BoothChanged(**where),
        PartyChanged(tenant="other", party="acme"),
    )
    assert told(desk, publish(*facts, MessageDropped(reason="keepalive"))) == []


def test_a_registration_is_told(desk: MemoryDesk) -> None:
    assert told(desk, publish(RegistrationChanged(**WHERE, bindings=2, reachable=2))) == [
        ("registration", {"shop": "center", "booth": "b1", "phones": 2, "reachable": 2})
    ]


def test_a_booth_is_told_as_it_is_now_and_once(desk: MemoryDesk) -> None:
    def happens(hub: Hub) -> None:
        asyncio.get_running_loop()
        desk.rooms["b1"].live_calls = 1
        publish(BoothChanged(**WHERE), BoothChanged(**WHERE))(hub)

    assert [(kind, data["booth"], data["state"]) for kind, data in told(desk, happens)] == [("booth", "b1", "in call")]


def test_what_did_not_change_is_not_told(desk: MemoryDesk) -> None:
    assert told(desk, publish(BoothChanged(**WHERE), PartyChanged(tenant=TENANT, party="acme"))) == []


def test_balances_move_with_calls(desk: MemoryDesk) -> None:
    def happens(hub: Hub) -> None:
        desk.hold("olga", 4_000_000)
        publish(CALL[0])(hub)

    (_, (kind, data)) = told(desk, happens, role="owner", party="olga")
    assert (kind, data["party"], data["held"]) == ("balance", "olga", "4.00")
    desk = MemoryDesk("b1")
    assert [kind for kind, _ in told(desk, happens, role="operator", party="olga", shop="center")] == ["call"]


def test_who_reads_too_slowly_is_told_that_he_missed_something(desk: MemoryDesk) -> None:
    assert "missed" not in dict(told(desk, publish(*[CALL[1]] * MAX_KEPT)))
    events = told(desk, publish(*[CALL[1]] * (MAX_KEPT + 3)))
    assert [kind for kind, _ in events] == ["missed"] + ["call"] * MAX_KEPT


class Clock:
    """Milliseconds that pass only where a test says so."""

    def __init__(self) -> None:
        self.ms = OPENED_AT_MS

    def __call__(self) -> int:
        return self.ms


OLGA = Identity(token_of("t", party="olga", role="owner"), "me")


def connection(hub: Hub, desk: MemoryDesk, after: int | None) -> list[str]:
    """All lines that a stream has for whoever comes back, until nothing more happens."""

    async def main() -> list[str]:
        found: list[str] = []
        async with aclosing(stream(hub, OLGA, desk, lambda: True, after=after, gather_s=0, ping_s=0)) as events:
            async for text in events:
                found += text.splitlines()
                if text.startswith(":"):
                    return found
        raise AssertionError("the stream has ended")

    return asyncio.run(main())


def last_id(lines: list[str]) -> int:
    return int([line for line in lines if line.startswith("id: ")][-1].removeprefix("id: "))


def calls_of(lines: list[str]) -> list[str]:
    """What is told of calls, and whether something was missed."""
    told = []
    for kind, data in itertools.pairwise(line for line in lines if line.startswith(("event: ", "data: "))):
        if kind in {"event: call", "event: missed"}:
            told.append(json.loads(data.removeprefix("data: ")).get("state", "missed"))
    return told


def test_who_comes_back_is_told_what_happened_meanwhile_in_order_and_once(desk: MemoryDesk) -> None:
    hub = Hub(Clock())  # all of it in one millisecond
    came_to = last_id(connection(hub, desk, None))
    publish(*CALL)(hub)
    lines = connection(hub, desk, came_to)
    ids = [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]
    assert (ids, len(set(ids[1:5]))) == (sorted(ids), 4)
    assert calls_of(lines) == ["attempted", "ringing", "answered", "ended"]
    assert calls_of(connection(hub, desk, ids[2])) == ["answered", "ended"]  # the connection broke after the second
    assert calls_of(connection(hub, desk, last_id(lines))) == []


@pytest.mark.parametrize(
    ("after_ms", "says"),
    [
        pytest.param(OPENED_AT_MS - 1, ["missed", "ringing"], id="before this process began"),
        pytest.param(OPENED_AT_MS, ["ringing"], id="when it began"),
        pytest.param(OPENED_AT_MS + 60_001, ["missed"], id="by a clock that was set back since"),
    ],
)
def test_who_comes_back_is_told_if_something_may_be_gone(desk: MemoryDesk, after_ms: int, says: list[str]) -> None:
    clock = Clock()
    hub = Hub(clock)
    clock.ms += 60_000
    publish(CALL[1])(hub)
    assert calls_of(connection(hub, desk, after_ms * 1000)) == says


def test_an_id_tells_nothing_of_what_others_do(desk: MemoryDesk) -> None:
    def ids(happens: Callable[[Hub], None]) -> list[str]:
        clock = Clock()
        hub = Hub(clock)
        happens(hub)
        clock.ms += 1
        return [line for line in connection(hub, desk, None) if line.startswith("id: ")]

    elsewhere = WHERE | {"shop": "kiosk"}
    assert ids(publish(RegistrationChanged(**elsewhere, bindings=1, reachable=1))) == ids(publish())


def test_a_booth_that_is_gone_when_it_would_be_told_ends_no_stream(desk: MemoryDesk) -> None:
    gone = WHERE | {"booth": "gone"}
    assert told(desk, publish(RegistrationChanged(**gone, bindings=0, reachable=0), BoothChanged(**gone))) == [
        ("registration", {"shop": "center", "booth": "gone", "phones": 0, "reachable": 0})
    ]


def test_a_stream_ends_with_its_token(desk: MemoryDesk) -> None:
    valid = iter([True, False])
    assert told(desk, publish(*CALL), is_valid=lambda: next(valid)) == []


def test_there_is_an_end_of_listeners() -> None:
    def identity(number: int, tenant: str = TENANT) -> Identity:
        return Identity(token_of(f"t{number}", tenant=tenant, party=tenant, role="provider"), "me")

    hub = Hub()
    with ExitStack() as streams:
        for number in range(MAX_LISTENERS):
            streams.enter_context(hub.listening(identity(number // MAX_OF_TOKEN)))
        first = streams.pop_all()
        with pytest.raises(CommandRefused, match=r"100 streams of events are open already$"):
            hub.check_room(identity(500))
        hub.check_room(identity(0, "other"))
        first.close()
    hub.check_room(identity(0))
    with ExitStack() as streams:
        for _ in range(MAX_OF_TOKEN):
            streams.enter_context(hub.listening(identity(0)))
        with pytest.raises(CommandRefused, match="20 streams of events are open already with this token"):
            hub.check_room(identity(0))
        hub.check_room(identity(1))


def test_over_a_socket_until_the_server_goes_down(desk: MemoryDesk) -> None:
    hub = Hub()
    with serving(memory_api(desk, hub)) as url:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.stream("GET", f"{url}/api/v1/events", headers=headers, timeout=10) as answer:
            assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
            lines = answer.iter_lines()
            assert next(line for line in lines if line.startswith("event")) == "event: booth"
            hub.close()
            assert list(lines)[-1] == ""
        assert httpx.get(f"{url}/api/v1/events", headers=headers).json()["code"] == "not_now"
