"""The till in the database: cash is in the shift of whoever moves it, to the cent, whatever happens in what order."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.billing.cash import Count
from sipshop.billing.counter import Counter, TillMode
from sipshop.billing.desk import SessionTerms
from sipshop.billing.errors import BadCount, DeskError, NoShift, ShiftError, UnknownShift
from sipshop.billing.shift import MoveKind, Report
from sipshop.billing.tender import Method, Tender
from sipshop.store import (
    CashMoved,
    DrawerCounted,
    NothingToPay,
    SessionOpened,
    SessionToppedUp,
    ShiftClosed,
    ShiftOpened,
    Store,
    Write,
)
from sipshop.store.audit import audit
from sipshop.store.checkout import SessionPaid
from sipshop.store.till import moves_outside, turns, x_report, z_report
from tests.store.examples import (
    BOOTH,
    COUNTER,
    NOON_MS,
    OTHER,
    TENANT,
    euros,
    good,
    item_added,
    running,
    world,
    world_in_memory,
)
from tests.store.examples import (
    opened as opened_store,
)

SHOP: Final = "corner"


def opened(operator: str = "ana", cents: int = 5_000, key: str = "k") -> ShiftOpened:
    return ShiftOpened(
        tenant=TENANT, shop=SHOP, operator=operator, opening=euros(cents * 10_000), key=key, at_ms=NOON_MS
    )


def by_hand(shift: int, kind: MoveKind, cents: int, key: str, author: str = "ana") -> CashMoved:
    return CashMoved(
        tenant=TENANT,
        shop=SHOP,
        shift=shift,
        kind=kind,
        amount=euros(cents * 10_000),
        reason="r",
        author=author,
        key=key,
        at_ms=NOON_MS,
    )


def closed(shift: int, cents: int = 0, author: str = "ana") -> ShiftClosed:
    count = Count(currency="EUR", numbers=(), other_micros=cents * 10_000)
    return ShiftClosed(tenant=TENANT, shop=SHOP, shift=shift, count=count, author=author, at_ms=NOON_MS + 1)


def unlocked(author: str, cents: int, key: str, booth: str = BOOTH) -> SessionOpened:
    terms = SessionTerms(deposit=euros(cents * 10_000))
    return SessionOpened(tenant=TENANT, booth=booth, author=author, at_ms=NOON_MS, terms=terms, key=key)


def topped_up(author: str, cents: int, key: str) -> SessionToppedUp:
    return SessionToppedUp(
        tenant=TENANT, booth=BOOTH, amount=euros(cents * 10_000), author=author, at_ms=NOON_MS, key=key
    )


def paid(author: str, *tenders: Tender, version: int = 0) -> SessionPaid:
    return SessionPaid(
        tenant=TENANT,
        booth=BOOTH,
        version=version,
        tenders=tenders,
        counter=COUNTER,
        language="en",
        author=author,
        at_ms=NOON_MS,
    )


def refused(what: str, who: str, key: str) -> Write[object]:
    """What cannot be done as things are: a second shift, or what needs one."""
    match what:
        case "open":
            return opened(who, 1, key)
        case "close":
            return closed(99, author=who)
        case _:
            return by_hand(99, MoveKind(what), 1, key, who)


def x_of(connection: sqlite3.Connection, shift: int) -> Report:
    return x_report(connection, TENANT, shop=SHOP, number=shift, at_ms=NOON_MS, author="zoe")


@pytest.fixture
def books() -> Iterator[sqlite3.Connection]:
    with closing(world_in_memory()) as connection:
        yield connection
        assert audit(connection) == []


def test_what_customers_pay_is_in_the_shift_of_whoever_takes_it(books: sqlite3.Connection) -> None:
    opened().apply(books)
    opened("ben", 1_000, "k2").apply(books)
    unlocked("ana", 500, "d").apply(books)
    topped_up("ben", 200, "t").apply(books)
    paid("ana").apply(books)
    ana, ben = x_of(books, 1), x_of(books, 2)
    assert (ana.expected.text, ben.expected.text) == ("48.00", "12.00"), "what is over of the deposit went back"
    assert [(each.kind, each.times, each.amount.text) for each in ana.sums] == [
        (MoveKind.FLOAT, 1, "50.00"),
        (MoveKind.DEPOSIT, 1, "5.00"),
        (MoveKind.REFUND, 1, "-7.00"),
    ]


def test_what_is_no_cash_is_noted_and_not_expected_in_the_drawer(books: sqlite3.Connection) -> None:
    opened().apply(books)
    replace(unlocked("ana", 1, "d"), terms=SessionTerms()).apply(books)
    item_added(good("Copy", "2.00")).apply(books)
    tenders = Tender(Method.CARD, euros(1_500_000)), Tender(Method.CASH, euros(1_000_000))
    assert paid("ana", *tenders, version=1).apply(books).change == euros(500_000)
    sums = {each.method: each.amount.text for each in x_of(books, 1).sums if each.kind is MoveKind.CHECKOUT}
    assert sums == {Method.CARD: "1.50", Method.CASH: "0.50"}
    assert x_of(books, 1).expected.text == "50.50"


def test_what_moved_before_the_first_shift_and_in_none_since(books: sqlite3.Connection) -> None:
    unlocked("ana", 500, "d").apply(books)
    opened("ben").apply(books)
    topped_up("ana", 200, "t").apply(books)
    assert [move.amount.text for move in moves_outside(books, TENANT, shop=SHOP, limit=9)] == ["2.00"]
    z = closed(1, 5_000, "ben").apply(books)
    assert (z.outside.times, z.outside.amount.text, z.outside.authors) == (1, "2.00", ("ana",))
    assert z.variance == euros(0)
    opened("ben", key="k2").apply(books)
    assert closed(2, author="ben").apply(books).outside.times == 0, "it was told once"


def test_a_person_has_one_open_shift_in_a_shop(books: sqlite3.Connection) -> None:
    assert opened().apply(books).number == 1
    with pytest.raises(ShiftError, match="ana has shift 1 of corner open: close that first"):
        opened(key="k2").apply(books)
    assert opened().apply(books).number == 1, "the same command finds it done"
    with pytest.raises(ShiftError, match="another shift was opened under this key"):
        opened("ben").apply(books)
    closed(1, 5_000).apply(books)
    assert not opened().apply(books).is_open, "repeated after its end it opens none"
    assert opened(key="k3").apply(books).number == 2


def test_z_reports_are_numbered_in_the_order_of_closing(books: sqlite3.Connection) -> None:
    for number, who in enumerate(("ana", "ben", "cleo"), 1):
        assert opened(who, key=who).apply(books).number == number
    assert [closed(shift).apply(books).number for shift in (3, 1, 2)] == [1, 2, 3]
    assert z_report(books, TENANT, shop=SHOP, number=1).shift.operator == "cleo"
    assert [turn.z for turn in turns(books, TENANT, shop=SHOP, limit=9, before=99, operator=None)] == [1, 3, 2]


def test_a_closed_shift_takes_nothing_and_its_report_stays(books: sqlite3.Connection) -> None:
    opened().apply(books)
    z = closed(1, 4_990).apply(books)
    with pytest.raises(ShiftError, match="shift 1 of corner is closed"):
        by_hand(1, MoveKind.IN, 1, "m").apply(books)
    with pytest.raises(ShiftError, match="is closed"):
        closed(1, 5_000).apply(books)
    unlocked("ana", 500, "d").apply(books)
    assert closed(1, 4_990).apply(books) == z == z_report(books, TENANT, shop=SHOP, number=1) == x_of(books, 1)


@pytest.mark.parametrize("table", ["till_moves", "till_counts", "z_reports"])
@pytest.mark.parametrize("change", ["UPDATE {} SET author = 'eve'", "DELETE FROM {}"])
def test_what_a_till_tells_stays_as_it_was_written(books: sqlite3.Connection, table: str, change: str) -> None:
    opened().apply(books)
    count = Count.of("EUR", {"50": 1})
    counted = DrawerCounted(tenant=TENANT, shop=SHOP, shift=1, count=count, author="ana", key="c", at_ms=NOON_MS)
    counted.apply(books)
    closed(1).apply(books)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        books.execute(change.format(table))


@pytest.mark.parametrize(
    ("write", "error"),
    [
        pytest.param(by_hand(9, MoveKind.IN, 1, "m"), UnknownShift, id="no such shift"),
        pytest.param(closed(9), UnknownShift, id="no such shift to close"),
        pytest.param(by_hand(1, MoveKind.OUT, 0, "m"), BadCount, id="nothing"),
        pytest.param(replace(closed(1), count=Count.of("TND", {})), BadCount, id="another currency"),
        pytest.param(opened("ben", -1, "x"), BadCount, id="a float below zero"),
        pytest.param(replace(closed(1), shop="other"), UnknownShift, id="another shop"),
        pytest.param(replace(closed(1), tenant=OTHER), UnknownShift, id="another provider's"),
    ],
)
def test_what_cannot_be_done_is_refused(books: sqlite3.Connection, write: Write[object], error: type) -> None:
    opened().apply(books)
    with pytest.raises(error):
        write.apply(books)


# A shop that takes cash in shifts only. The journal takes back what such a command had begun.


def test_a_shop_that_wants_shifts_takes_no_cash_without_one(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        with pytest.raises(NoShift, match="cash of corner is moved in a shift: ana has none open there"):
            await store.commit(unlocked("ana", 500, "d"))
        assert await store.session(TENANT, BOOTH) is None, "nor is the booth open"
        await store.commit(replace(unlocked("ana", 1, "d"), terms=SessionTerms()))
        with pytest.raises(NoShift):
            await store.commit(topped_up("ana", 500, "t"))
        await store.commit(opened("ben"))
        with pytest.raises(NoShift, match="ana"):
            await store.commit(topped_up("ana", 500, "t"))
        await store.commit(opened("ana", key="k2"))
        await store.commit(topped_up("ana", 500, "t"))
        await store.commit(closed(2, 5_500))
        assert (await store.commit(topped_up("ana", 500, "t"))).deposit_micros == 5_000_000, "it is found done"
        with pytest.raises(NoShift):
            await store.commit(paid("ana"))  # 5.00 would go back
        assert await store.session(TENANT, BOOTH) is not None
        assert await store.audit() == []

    wanted = replace(world(), counters=(Counter(tenant=TENANT, shop=SHOP, currency="EUR", till=TillMode.REQUIRED),))
    store = opened_store(tmp_path / "db")
    try:
        store.load(wanted, at_ms=NOON_MS)
        running(store, work)
    finally:
        store.close()


# Whatever happens in what order: a drawer holds what a child would count.


@dataclass
class Model:
    """Drawers as piles of cents."""

    drawers: dict[str, tuple[int, int]] = field(default_factory=dict)  # number and cents, by whose it is
    outside: int = 0
    shifts: int = 0
    deposit: int | None = None

    def take(self, who: str, cents: int) -> None:
        if who in self.drawers:
            number, there = self.drawers[who]
            self.drawers[who] = number, there + cents
        elif self.shifts:
            self.outside += cents


STEPS: Final = st.lists(
    st.tuples(
        st.sampled_from(["open", "in", "out", "deposit", "pay", "close"]),
        st.sampled_from(["ana", "ben"]),
        st.integers(1, 9_999),
    ),
    max_size=25,
)


@given(STEPS)
def test_a_drawer_holds_what_was_put_into_it(steps: list[tuple[str, str, int]]) -> None:
    model = Model()
    with closing(world_in_memory()) as books:
        for number, (what, who, cents) in enumerate(steps):
            key = f"key{number}"
            drawer = model.drawers.get(who)
            match what:
                case "open" if drawer is None:
                    opened(who, cents, key).apply(books)
                    model.shifts += 1
                    model.drawers[who] = model.shifts, cents
                case "in" | "out" if drawer is not None:
                    by_hand(drawer[0], MoveKind(what), cents, key, who).apply(books)
                    model.take(who, cents if what == "in" else -cents)
                case "deposit":
                    write = unlocked(who, cents, key) if model.deposit is None else topped_up(who, cents, key)
                    write.apply(books)
                    model.deposit = (model.deposit or 0) + cents
                    model.take(who, cents)
                case "pay" if model.deposit is not None:
                    paid(who).apply(books)
                    model.take(who, -model.deposit)
                    model.deposit = None
                case "close" if drawer is not None:
                    z = closed(drawer[0], cents, who).apply(books)
                    assert z.expected == euros(drawer[1] * 10_000)
                    assert z.variance == euros((cents - drawer[1]) * 10_000)
                    assert z.outside.amount == euros(model.outside * 10_000)
                    model.outside = 0
                    del model.drawers[who]
                case "pay":  # a payment that is repeated is found done, and moves nothing
                    with suppress(NothingToPay):
                        paid(who).apply(books)
                case _:
                    with pytest.raises(DeskError):
                        refused(what, who, key).apply(books)
        for shift, cents in model.drawers.values():
            assert x_of(books, shift).expected == euros(cents * 10_000)
        assert audit(books) == []
