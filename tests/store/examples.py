"""A small world, calls made in it, and a store on a disk, for the tests of the store."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from sipshop.billing.cdr import Attempt, CallKind, Cdr, Charge, HungUpBy, Result
from sipshop.billing.deck import DurationRound, Rate, RateDeck
from sipshop.billing.money import Rounding, RoundMode
from sipshop.billing.parties import Kind, Party
from sipshop.billing.rating import cost
from sipshop.proxy.admission import Auth, Booth, Shop
from sipshop.proxy.numbers import NumberRules
from sipshop.proxy.routing import Route, Trunk
from sipshop.sip.digest import Algorithm
from sipshop.store import LiveCall, Store
from sipshop.store.schema import schema_statements
from sipshop.world import World

_SCHEMA: Final = schema_statements()

TENANT: Final = "acme"
OTHER: Final = "umbrella"
BOOTH: Final = "booth1"
NOON_MS: Final = 1_700_000_000_000

BERLIN: Final = Rate(
    prefix="4930",
    destination="Germany Berlin",
    connect_fee_nanos=50_000_000,
    first_s=60,
    first_price_nanos=120_000_000,
    next_s=60,
    next_price_nanos=120_000_000,
)
PREMIUM: Final = replace(BERLIN, prefix="49900", destination="Premium", forbidden=True)
DECK: Final = RateDeck("walk-in", "EUR", (BERLIN, PREMIUM))
MILLS: Final = RateDeck(
    "mills",
    "EUR",
    (BERLIN,),
    version=7,
    rounding=Rounding(RoundMode.UP, 4),
    duration_round=DurationRound.FLOOR,
)


def world(tenant: str = TENANT) -> World:
    """A provider with one owner, one shop with three booths (not in alphabetical order), two trunks, two decks."""
    return World(
        tenant=tenant,
        parties=(
            Party(tenant=tenant, name="zoe", kind=Kind.OWNER, parent=tenant, suspended=False),
            Party(tenant=tenant, name=tenant, kind=Kind.PROVIDER, parent=None, suspended=False),
        ),
        shops=(
            Shop(
                tenant=tenant,
                name="corner",
                owner="zoe",
                deck="walk-in",
                currency="EUR",
                realm="corner.example",
                digest=(Algorithm.SHA_256, Algorithm.MD5),
                numbers=NumberRules(country_code="49", emergency=("112", "110")),
            ),
        ),
        booths=(
            _booth(tenant, "booth2"),
            _booth(tenant, BOOTH),
            replace(_booth(tenant, "gate"), auth=Auth.IP, ip="192.0.2.7", ha1={}, calls=4),
        ),
        decks=(DECK, MILLS),
        trunks=(_trunk(tenant, "second", emergency=True), _trunk(tenant, "first", emergency=False)),
        routes=(Route(tenant=tenant, prefix="49", trunks=("second", "first")),),
        open_booths=frozenset(),
    )


def _booth(tenant: str, name: str) -> Booth:
    return Booth(
        tenant=tenant, shop="corner", name=name, calls=1, auth=Auth.DIGEST, ip=None, ha1={Algorithm.MD5: "0123" * 8}
    )


def _trunk(tenant: str, name: str, *, emergency: bool) -> Trunk:
    return Trunk(
        tenant=tenant,
        name=name,
        host="192.0.2.1",
        port=5060,
        transport="udp",
        emergency=emergency,
        answer_timeout_s=60,
        first_response_timeout_s=4,
    )


def live_call(call_id: str = "c1", *, state: str = "new", session_id: int | None = 1) -> LiveCall:
    """A call from BOOTH to Berlin, as its row stands when it is new or answered."""
    tariff = DECK.match("49301234567")
    assert tariff is not None
    is_answered = state == "answered"
    return LiveCall(
        tenant=TENANT,
        call_id=call_id,
        process="run-1",
        state=state,
        shop="corner",
        booth=BOOTH,
        session_id=session_id,
        kind=CallKind.CALL,
        dialled="0301234567",
        e164="49301234567",
        destination="Germany Berlin",
        setup_at_ms=NOON_MS,
        trunk="second" if is_answered else None,
        attempts=(Attempt(trunk="second", status=200, q850=None, pdd_ms=40),) if is_answered else (),
        leg_a_call_id=f"{call_id}-a",
        leg_b_call_id=f"{call_id}-b" if is_answered else None,
        parties=(("zoe", BOOTH, tariff),),
        dialog_a={"local_tag": "ü", "route_set": []},
        dialog_b={"cseq": 1} if is_answered else None,
        pdd_ms=40 if is_answered else None,
        relayed_at_ms=None,
        relayed_mono_ms=None,
    )


def cdr(call_id: str = "c1", *, talk_ms: int = 62_000, session_id: int | None = 1, booth: str = BOOTH) -> Cdr:
    """The same call when it is over: charged if it was talked, cancelled if not."""
    tariff = DECK.match("49301234567")
    assert tariff is not None
    is_answered = talk_ms > 0
    return Cdr(
        call_id=call_id,
        kind=CallKind.CALL,
        tenant=TENANT,
        shop="corner",
        booth=booth,
        session_id=session_id,
        dialled="0301234567",
        e164="49301234567",
        destination="Germany Berlin",
        setup_at_ms=NOON_MS,
        answered_at_ms=NOON_MS + 900 if is_answered else None,
        ended_at_ms=NOON_MS + 900 + talk_ms,
        pdd_ms=40,
        talk_ms=talk_ms,
        result=Result.ANSWERED if is_answered else Result.CANCELLED,
        sip_status=200 if is_answered else 487,
        q850=16,
        hung_up_by=HungUpBy.CALLER,
        trunk="second",
        attempts=(Attempt(trunk="first", status=503, q850=None, pdd_ms=None),),
        leg_a_call_id=f"{call_id}-a",
        leg_b_call_id=f"{call_id}-b",
        charges=(Charge(seller="zoe", buyer=BOOTH, tariff=tariff, cost=cost(talk_ms, tariff)),) if is_answered else (),
    )


def connection_in_memory() -> sqlite3.Connection:
    """An empty database of ours that no disk knows of."""
    # whichever thread the collector runs in may close it
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys=ON")
    for statement in _SCHEMA:
        connection.execute(statement)
    return connection


@dataclass
class Told:
    """What a store told of itself."""

    commits: list[int] = field(default_factory=list)
    health: list[bool] = field(default_factory=list)

    def commit(self, seconds: float, writes: int) -> None:
        assert seconds >= 0
        self.commits.append(writes)

    def healthy(self, writable: bool, why: str) -> None:
        assert why
        self.health.append(writable)


def opened(path: Path, told: Told | None = None, *, process: str = "run-1", **more: Any) -> Store:
    """Open a store that tells `told`."""
    told = told or Told()
    return Store.open(path, process=process, on_commit=told.commit, on_health=told.healthy, **more)


@contextmanager
def filled(path: Path, told: Told | None = None, **more: Any) -> Iterator[Store]:
    """A store with the example world in it."""
    store = opened(path, told, **more)
    try:
        if store.writable and store.is_empty():
            store.load(world(), at_ms=NOON_MS)
        yield store
    finally:
        store.close()


Result_ = TypeVar("Result_")


def running(store: Store, work: Callable[[Store], Awaitable[Result_]]) -> Result_:
    """Start the store in an event loop of its own, do some work with it, and close it."""

    async def main() -> Result_:
        store.start(asyncio.get_running_loop())
        try:
            return await work(store)
        finally:
            store.close()

    return asyncio.run(main())
