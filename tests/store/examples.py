"""A small world, calls made in it, and a store on a disk, for the tests of the store."""

import asyncio
import itertools
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from sipshop.billing.cdr import Attempt, CallKind, Cdr, Charge, HungUpBy, Result
from sipshop.billing.counter import Counter
from sipshop.billing.deck import DurationRound, Rate, RateDeck, Tariff
from sipshop.billing.fx import Pair
from sipshop.billing.guard import GuardAction, LossGuard
from sipshop.billing.items import BillItem
from sipshop.billing.ledger import customer
from sipshop.billing.money import Money, Rounding, RoundMode
from sipshop.billing.parties import Kind, Party
from sipshop.billing.rating import cost
from sipshop.billing.receipt import EntryKind, Seller
from sipshop.billing.tax import Tax, TaxMode
from sipshop.billing.tender import CashMode, CashRounding, Method, Tender
from sipshop.proxy.admission import Auth, Booth, Shop
from sipshop.proxy.numbers import NumberRules
from sipshop.proxy.routing import Route, Trunk
from sipshop.sip.digest import Algorithm
from sipshop.store import ItemAdded, LiveCall, SessionPaid, Store
from sipshop.store.schema import schema_statements
from sipshop.store.worlds import load_world
from sipshop.world import Opening, Sold, TaxTerms, World

_SCHEMA: Final = schema_statements()

TENANT: Final = "acme"
OTHER: Final = "umbrella"
_GATES: Final = {TENANT: "192.0.2.7", OTHER: "192.0.2.8"}
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
OWNER_DECK: Final = RateDeck(
    "owner", "EUR", (replace(BERLIN, connect_fee_nanos=0, first_s=30, next_s=6),), rounding=Rounding(places=6)
)
MILLS: Final = RateDeck(
    "mills",
    "EUR",
    (
        replace(
            BERLIN, connect_fee_nanos=0, first_s=1, first_price_nanos=90_000_000, next_s=1, next_price_nanos=90_000_000
        ),
    ),
    version=7,
    rounding=Rounding(RoundMode.UP, 4),
    duration_round=DurationRound.FLOOR,
)
CARRIER_DECK: Final = RateDeck(
    "carrier",
    "EUR",
    (
        replace(
            BERLIN, connect_fee_nanos=0, first_s=1, first_price_nanos=70_000_000, next_s=1, next_price_nanos=70_000_000
        ),
    ),
)
OWNER: Final = customer("zoe", "rhea")
RESELLER: Final = customer("rhea", TENANT)


COUNTER: Final = Counter(tenant=TENANT, shop="corner", currency="EUR").completed(Seller(name="zoe"), "UTC")


def cash(amount: Money) -> tuple[Tender, ...]:
    """What is handed over in coins; nothing is nothing."""
    return (Tender(Method.CASH, amount),) if amount.micros else ()


def paid(
    version: int,
    tendered: Money,
    *,
    tenant: str = TENANT,
    booth: str = BOOTH,
    at_ms: int = NOON_MS,
    counter: Counter = COUNTER,
) -> SessionPaid:
    """A payment in cash at the counter of `world`."""
    return SessionPaid(
        tenant=tenant,
        booth=booth,
        version=version,
        tenders=cash(tendered),
        counter=replace(counter, tenant=tenant),
        language="en",
        author="ana",
        at_ms=at_ms,
    )


TO_FIVE: Final = CashRounding(50_000, CashMode.NEAREST)


def good(name: str, price: str, quantity: int = 1, tax: Tax | None = None) -> BillItem:
    """Something that ana sells."""
    return BillItem(
        kind=EntryKind.GOOD,
        text=name,
        author="ana",
        at_ms=NOON_MS,
        unit=Money.parse(price, "EUR"),
        quantity=quantity,
        tax=tax,
    )


def off(*, amount: Money | None = None, percent_ppm: int | None = None, most_ppm: int | None = None) -> BillItem:
    """A discount that ana gives."""
    return BillItem(
        kind=EntryKind.DISCOUNT,
        text="a regular",
        author="ana",
        at_ms=NOON_MS,
        amount=amount,
        percent_ppm=percent_ppm,
        most_ppm=most_ppm,
    )


def taken_back(*, call_id: str | None = None, item: int | None = None) -> BillItem:
    """A call or a good that ana takes back."""
    return BillItem(kind=EntryKind.VOID, text="a wrong one", author="ana", at_ms=NOON_MS, call_id=call_id, item=item)


_keys = itertools.count()


def item_added(item: BillItem, *, booth: str = BOOTH, key: str | None = None) -> ItemAdded:
    """An item that comes on the bill of a booth, by a key of its own."""
    return ItemAdded(tenant=TENANT, booth=booth, item=item, key=f"item {next(_keys)}" if key is None else key)


def world(tenant: str = TENANT) -> World:
    """A provider, a reseller and an owner, a shop with three booths (not in alphabetical order), two trunks.

    The reseller has paid 100.00 in beforehand, the owner 20.00, and may owe 5.00.
    """
    return World(
        tenant=tenant,
        parties=(
            Party(tenant=tenant, name="zoe", kind=Kind.OWNER, parent="rhea", deck="owner"),
            Party(
                tenant=tenant,
                name=tenant,
                kind=Kind.PROVIDER,
                parent=None,
                guard=LossGuard(action=GuardAction.REFUSE, margin_ppm=50_000, mean_s=90),
            ),
            Party(tenant=tenant, name="rhea", kind=Kind.RESELLER, parent=tenant, deck="mills"),
        ),
        shops=(
            Shop(
                tenant=tenant,
                name="corner",
                owner="zoe",
                deck="walk-in",
                currency="EUR",
                realm=f"corner.{tenant}.example",
                digest=(Algorithm.SHA_256, Algorithm.MD5),
                numbers=NumberRules(country_code="49", emergency=("112", "110")),
            ),
        ),
        booths=(
            _booth(tenant, "booth2"),
            _booth(tenant, BOOTH),
            replace(_booth(tenant, "gate"), auth=Auth.IP, ip=_GATES[tenant], ha1={}, calls=4),
        ),
        decks=(DECK, MILLS, OWNER_DECK, CARRIER_DECK),
        trunks=(
            _trunk(tenant, "second", emergency=True),
            replace(_trunk(tenant, "first", emergency=False), max_calls=30, cps=5),
        ),
        routes=(
            Route(tenant=tenant, party=tenant, prefix="49", choices=(("second", 1, 1), ("first", 2, 3))),
            Route(tenant=tenant, party="rhea", prefix="49", choices=(("first", 1, 1),)),
        ),
        openings=(
            Opening(party="zoe", currency="EUR", credit_limit_micros=5_000_000, opening_micros=20_000_000),
            Opening(party="rhea", currency="EUR", credit_limit_micros=0, opening_micros=100_000_000),
        ),
        open_booths=frozenset(),
        fx=(Pair(base="EUR", quote="TND", rates=(("2026-11-20", 3_400_000_000),), margin_ppm=10_000, holds_days=30),),
        taxes=(
            TaxTerms(sold=Sold.TO_PARTY, place="rhea", tax=Tax(200_000, TaxMode.ADDED, "VAT")),
            TaxTerms(sold=Sold.IN_SHOP, place="corner", tax=Tax(81_000, TaxMode.INCLUDED, "TVA")),
        ),
    )


def _booth(tenant: str, name: str) -> Booth:
    return Booth(
        tenant=tenant, shop="corner", name=name, calls=1, auth=Auth.DIGEST, ip=None, ha1={Algorithm.MD5: "0123" * 8}
    )


def _trunk(tenant: str, name: str, *, emergency: bool) -> Trunk:
    return Trunk(
        tenant=tenant,
        name=name,
        carrier="Mills",
        deck="carrier",
        host="192.0.2.1",
        port=5060,
        transport="udp",
        emergency=emergency,
        answer_timeout_s=60,
        first_response_timeout_s=4,
    )


def euros(micros: int) -> Money:
    """An amount in the currency of the example world."""
    return Money(micros, "EUR")


def relations() -> tuple[tuple[str, str, Tariff], ...]:
    """Who sells to whom in a call from BOOTH to Berlin, and by which tariff: the carrier last."""
    sellers = (
        ("zoe", BOOTH, DECK),
        ("rhea", "zoe", OWNER_DECK),
        (TENANT, "rhea", MILLS),
        ("Mills", TENANT, CARRIER_DECK),
    )
    return tuple(
        (seller, buyer, tariff)
        for seller, buyer, deck in sellers
        if (tariff := deck.match("49301234567", 0)) is not None
    )


def live_call(
    call_id: str = "c1", *, state: str = "new", session_id: int | None = 1, granted_ms: int | None = None
) -> LiveCall:
    """A call from BOOTH to Berlin, as its row stands when it is new or answered."""
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
        parties=relations() if is_answered else relations()[:-1],
        dialog_a={"local_tag": "ü", "route_set": []},
        dialog_b={"cseq": 1} if is_answered else None,
        pdd_ms=40 if is_answered else None,
        relayed_at_ms=None,
        relayed_mono_ms=None,
        granted_ms=granted_ms,
    )


def cdr(call_id: str = "c1", *, talk_ms: int = 62_000, session_id: int | None = 1, booth: str = BOOTH) -> Cdr:
    """The same call when it is over: charged at every level if it was talked, cancelled if not.

    At 62 s its booth pays 0.29, the owner 0.132, the reseller 0.093 and the provider 0.07.
    """
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
        charges=tuple(
            Charge(seller=seller, buyer=buyer, tariff=tariff, cost=cost(tariff, 0, talk_ms))
            for seller, buyer, tariff in relations()
        )
        if is_answered
        else (),
    )


def connection_in_memory(like: sqlite3.Connection | None = None) -> sqlite3.Connection:
    """A database of ours that no disk knows of: empty, or like another one."""
    # whichever thread the collector runs in may close it
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys=ON")
    if like is None:
        for statement in _SCHEMA:
            connection.execute(statement)
    else:
        like.backup(connection)
    return connection


def world_in_memory() -> sqlite3.Connection:
    """The example world, in a database that no disk knows of."""
    connection = connection_in_memory()
    connection.execute("BEGIN")
    load_world(connection, world(), at_ms=NOON_MS)
    connection.execute("COMMIT")
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
