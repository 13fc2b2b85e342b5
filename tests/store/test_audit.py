"""The laws of the books: a busy database keeps all of them, and each is seen alone where it is broken."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.billing.cash import Count
from sipshop.billing.cdr import Cdr, Charge
from sipshop.billing.desk import SessionTerms
from sipshop.billing.errors import DeskError, LedgerError
from sipshop.billing.ledger import Transfer, TransferKind, payable, revenue
from sipshop.billing.rating import cost
from sipshop.billing.shift import MoveKind
from sipshop.billing.tender import Method, Tender
from sipshop.store import (
    LAWS,
    AccountMoved,
    BatchTaken,
    CallAnswered,
    CallGranted,
    CallSettled,
    CashMoved,
    DrawerCounted,
    ItemTakenBack,
    LimitSet,
    NewerSchema,
    NothingToPay,
    OlderSchema,
    RecordParked,
    SessionLocked,
    SessionOpened,
    SessionToppedUp,
    ShiftClosed,
    ShiftOpened,
    Store,
    StoreError,
    TargetBegun,
    Unusable,
    Write,
    audit_file,
)
from sipshop.store.audit import audit
from sipshop.store.connect import connect_writer
from sipshop.store.schema import TRIGGERS
from sipshop.store.writes import post
from tests.store.examples import (
    BOOTH,
    COUNTER,
    NOON_MS,
    OTHER,
    OWNER,
    TENANT,
    TO_FIVE,
    cash,
    cdr,
    euros,
    filled,
    good,
    item_added,
    live_call,
    off,
    opened,
    paid,
    running,
    taken_back,
    world,
    world_in_memory,
)
from tests.store.test_invoices import NOVEMBER, closing_of

UNLOCKED: Final = SessionOpened(
    tenant=TENANT, booth=BOOTH, author="ana", at_ms=NOON_MS, terms=SessionTerms(deposit=euros(5_000_000))
)
LOCKED: Final = SessionLocked(tenant=TENANT, booth=BOOTH, author="ana", at_ms=NOON_MS)
TOPPED_UP: Final = SessionToppedUp(
    tenant=TENANT, booth=BOOTH, amount=euros(2_000_000), author="ana", at_ms=NOON_MS, key="t1"
)
PAID: Final = paid(2, euros(0))
ADJUSTED: Final = AccountMoved(
    tenant=TENANT,
    party="rhea",
    kind=TransferKind.ADJUSTMENT,
    amount=euros(-1_230_000),
    author="root",
    reason="a wrong invoice",
    at_ms=NOON_MS,
    key="a1",
    held_micros=0,
)
LIMITED: Final = LimitSet(
    tenant=TENANT, party="rhea", credit_limit=1_000_000, author="root", reason="a good payer", at_ms=NOON_MS
)

TURN: Final = ShiftOpened(
    tenant=TENANT, shop="corner", operator="ana", opening=euros(50_000_000), key="s1", at_ms=NOON_MS
)
PUT_IN: Final = CashMoved(
    tenant=TENANT,
    shop="corner",
    shift=1,
    kind=MoveKind.IN,
    amount=euros(20_000_000),
    reason="change",
    author="ana",
    key="m1",
    at_ms=NOON_MS,
)
COUNTED: Final = DrawerCounted(
    tenant=TENANT,
    shop="corner",
    shift=1,
    count=Count.of("EUR", {"50": 1, "20": 1}, "4.71"),
    author="ana",
    key="n1",
    at_ms=NOON_MS,
)
CLOSED: Final = ShiftClosed(
    tenant=TENANT, shop="corner", shift=1, count=Count.of("EUR", {"50": 1}), author="ana", at_ms=NOON_MS
)

BUSY: Final[tuple[Write[object], ...]] = (
    TURN,
    UNLOCKED,
    CallSettled(cdr("c1")),
    CallSettled(cdr("c2", talk_ms=1_000)),
    CallSettled(cdr("cancelled", talk_ms=0)),
    PAID,
    PUT_IN,
    COUNTED,
    CLOSED,
    replace(UNLOCKED, terms=SessionTerms(limit=euros(3_000_000))),
    CallAnswered(TENANT, "live", live_call("live", state="answered", session_id=2, granted_ms=600_000)),
    CallGranted(TENANT, "live", 660_000),
    CallSettled(cdr("c3", talk_ms=61_500, session_id=2)),
    LOCKED,
    TOPPED_UP,  # outside all shifts
    replace(TURN, operator="ben", key="s2"),
    replace(TURN, key="s3"),
    replace(PUT_IN, shift=3, kind=MoveKind.OUT, key="m2"),
    replace(CLOSED, shift=2),
    ADJUSTED,
    LIMITED,
    TargetBegun(tenant=TENANT, target="books", from_beginning=True),
    BatchTaken(tenant=TENANT, target="books", first=1, last=2),
    RecordParked(tenant=TENANT, target="books", number=3, why="HTTP status 422", at_ms=NOON_MS),
    replace(UNLOCKED, booth="booth2", key="d2"),
    item_added(good("Coffee", "1.80", 2), booth="booth2"),
    item_added(good("Phone card", "10.00"), booth="booth2"),
    item_added(off(percent_ppm=100_000), booth="booth2"),
    item_added(taken_back(item=1), booth="booth2"),
    item_added(good("Copy", "0.13"), booth="booth2"),
    ItemTakenBack(tenant=TENANT, booth="booth2", item=2, author="ana", at_ms=NOON_MS),
    item_added(good("Phone card", "20.01"), booth="booth2"),
    replace(
        paid(7, euros(5_000_000), booth="booth2", counter=replace(COUNTER, rounding=TO_FIVE)),
        tenders=(Tender(Method.CARD, euros(10_000_000)), Tender(Method.CASH, euros(5_000_000))),
    ),
)


def busy() -> sqlite3.Connection:
    """A database in which every kind of money has moved, with a call that holds some."""
    connection = world_in_memory()
    for write in BUSY:
        write.apply(connection)
    return connection


def laws_broken(connection: sqlite3.Connection) -> list[str]:
    return sorted({violation.law for violation in audit(connection)})


def test_a_busy_database_keeps_every_law() -> None:
    with closing(busy()) as connection:
        assert audit(connection) == []


# Each law by itself: what breaks it, and nothing but it is seen.

Break = Callable[[sqlite3.Connection], object]

BOOKS: Final = (
    '{"from": "EUR", "to": "USD", "rate": "1.1", "day": "2026-11-20", "round": {"mode": "half_up", "places": 6}}'
)


def sql(*statements: str) -> Break:
    def run(connection: sqlite3.Connection) -> None:
        for statement in statements:
            assert connection.execute(statement).rowcount != 0, "the example lacks what is to be broken"

    return run


def settled(change: Callable[[Cdr], Cdr]) -> Break:
    """A call that is settled in every way as it should be, but should not have been."""
    return lambda connection: CallSettled(change(cdr("odd", session_id=2))).apply(connection)


def _in_dollars(charge: Charge) -> Charge:
    tariff = replace(charge.tariff, currency="USD")
    return replace(charge, tariff=tariff, cost=cost(tariff, 0, 62_000))


def _bought_by_nobody(told: Cdr) -> Cdr:
    booth, owner, *above = told.charges
    return replace(told, charges=(booth, replace(owner, buyer="nobody"), *above))


def _moves_without_a_charge(connection: sqlite3.Connection) -> None:
    stray = Transfer(
        key="c9:0:0",
        kind=TransferKind.CHARGE,
        debit=revenue("rhea"),
        credit=payable("Mills"),
        amount=euros(1),
    )
    post(connection, TENANT, (stray,), author="switch", reason="", at_ms=NOON_MS)


def _invoiced(statement: str) -> Break:
    """An invoice of the owner's, which somebody changes by a statement."""

    def run(connection: sqlite3.Connection) -> None:
        assert closing_of(connection, NOVEMBER).apply(connection).is_new
        trigger = TRIGGERS["invoices_do_not_change"]
        connection.execute("DROP TRIGGER invoices_do_not_change")
        connection.execute(statement)
        connection.execute(trigger)

    return run


def _receipt(statement: str) -> Break:
    """A receipt that somebody changes by a statement."""

    def run(connection: sqlite3.Connection) -> None:
        for name in ("receipts_do_not_change", "receipts_do_not_go"):
            connection.execute(f"DROP TRIGGER {name}")
        sql(statement)(connection)
        for name in ("receipts_do_not_change", "receipts_do_not_go"):
            connection.execute(TRIGGERS[name])

    return run


def _at_the_till(*statements: str) -> Break:
    """What somebody changes at a till who then puts its triggers back."""
    kept = [name for name in TRIGGERS if name.endswith(("_do_not_change", "_do_not_go"))]

    def run(connection: sqlite3.Connection) -> None:
        for name in kept:
            connection.execute(f"DROP TRIGGER {name}")
        sql(*statements)(connection)
        for name in kept:
            connection.execute(TRIGGERS[name])

    return run


def _stray(kind: str, key: str) -> Break:
    return sql(f"INSERT INTO transfers VALUES ('acme', '{key}', '{kind}', 'world', 'world', 'EUR', 0, 'root', '', 1)")


BREAKS: Final = [
    pytest.param("I13", sql("UPDATE payments SET version = 1 WHERE session_id = 1"), id="a call that was not on it"),
    pytest.param("I13", sql("DELETE FROM bill_items WHERE session_id = 3 AND number = 5"), id="an item of nothing"),
    pytest.param("I13", sql("UPDATE bill_items SET kind = 'discount' WHERE number = 5"), id="an item of another kind"),
    pytest.param("I13", _stray("goods", "item:3:9"), id="a good that nobody has sold"),
    pytest.param("I14", _receipt("UPDATE receipts SET number = 3 WHERE number = 2"), id="a receipt that is left out"),
    pytest.param("I14", _receipt("DELETE FROM receipts WHERE number = 2"), id="a payment without its receipt"),
    pytest.param("I14", _receipt("UPDATE receipts SET sha256 = 'x'"), id="a receipt that was written anew"),
    pytest.param("I14", _receipt("UPDATE receipts SET receipt = '{}'"), id="a receipt of nothing"),
    pytest.param("I14", sql("UPDATE payments SET change_micros = 1 WHERE session_id = 3"), id="other change"),
    pytest.param("I14", _stray("checkout", "checkout:3:voucher"), id="a voucher that nobody gave"),
    pytest.param("I14", _stray("checkout", "checkout:9"), id="a payment of no bill"),
    pytest.param("I14", _stray("rounding", "rounding:1"), id="a rounding of nothing"),
    pytest.param(
        "I15", _at_the_till("UPDATE till_moves SET author = 'ben' WHERE key = 'topup:t1'"), id="another's cash"
    ),
    pytest.param(
        "I15",
        _at_the_till(
            "UPDATE till_moves SET amount_micros = 1 WHERE key = 'topup:t1'",
            "UPDATE z_reports SET outside_micros = 1 WHERE number = 2",
        ),
        id="cash of another amount",
    ),
    pytest.param(
        "I15",
        _at_the_till(
            "DELETE FROM till_moves WHERE key = 'topup:t1'",
            "UPDATE till_moves SET number = number - 1 WHERE number > 5",
            "UPDATE z_reports SET last_move = last_move - 1, outside_micros = 0 WHERE number = 2",
        ),
        id="cash that is in no book",
    ),
    pytest.param(
        "I15",
        sql(
            "INSERT INTO till_moves SELECT 'acme', 'corner', max(number) + 1, 'deposit:9', 'cash', NULL, 'deposit',"
            " 'EUR', 1, 'ana', '', 1 FROM till_moves"
        ),
        id="cash that nobody paid",
    ),
    pytest.param("I15", _at_the_till("UPDATE till_moves SET number = 99 WHERE number = 8"), id="a movement left out"),
    pytest.param("I15", _at_the_till("UPDATE till_moves SET shift = 7 WHERE key = 'by_hand:m2'"), id="no such shift"),
    pytest.param("I16", sql("UPDATE shifts SET float_micros = 1 WHERE number = 3"), id="another float"),
    pytest.param("I16", sql("UPDATE shifts SET closed_at_ms = 1 WHERE number = 3"), id="closed without a report"),
    pytest.param("I15", sql("DELETE FROM shifts WHERE number = 3"), id="cash of a shift that is gone"),
    pytest.param("I16", _at_the_till("UPDATE z_reports SET number = 3 WHERE number = 2"), id="a Z that is left out"),
    pytest.param("I16", _at_the_till("UPDATE z_reports SET outside_micros = 1"), id="a Z of other cash outside"),
    pytest.param("I16", _at_the_till("UPDATE z_reports SET counted_micros = 1"), id="a count beside its document"),
    pytest.param(
        "I16",
        _at_the_till("UPDATE z_reports SET document = replace(document, '50.00', '40.00')"),
        id="a Z that was written anew",
    ),
    pytest.param(
        "I16",
        _at_the_till("UPDATE till_moves SET amount_micros = 1 WHERE key = 'by_hand:m1'"),
        id="a movement of a closed shift",
    ),
    pytest.param("I11", _invoiced("UPDATE invoices SET net_micros = net_micros - 1"), id="an invoice of too little"),
    pytest.param("I11", _invoiced("UPDATE invoices SET sha256 = 'x'"), id="an invoice that was written anew"),
    pytest.param("I12", _invoiced("UPDATE invoices SET number = 2"), id="a number that is left out"),
    pytest.param("I1", sql("UPDATE calls SET call_id = 'c1'"), id="a live call that has its CDR"),
    pytest.param(
        "I1",
        sql(
            "UPDATE cdrs SET revision = 1 WHERE call_id = 'cancelled'",
            "UPDATE outbox SET revision = 1 WHERE call_id = 'cancelled'",
        ),
        id="a revision of nothing",
    ),
    pytest.param("I1", sql("UPDATE cdrs SET leg_b_call_id = 'c1-b' WHERE call_id = 'c2'"), id="two CDRs of one call"),
    pytest.param(
        "I2",
        sql("UPDATE cdrs SET answered_at_ms = 1, talk_ms = 5000 WHERE call_id = 'cancelled'"),
        id="a call that was talked for nothing",
    ),
    pytest.param("I2", sql("UPDATE cdrs SET kind = 'emergency' WHERE call_id = 'c1'"), id="a charged emergency"),
    pytest.param("I2", sql("UPDATE cdrs SET answered_at_ms = NULL WHERE call_id = 'c1'"), id="charged, not answered"),
    pytest.param("I2", sql("UPDATE cdrs SET booth = 'gate' WHERE call_id = 'c1'"), id="another booth than that pays"),
    pytest.param("I2", settled(_bought_by_nobody), id="a level between two that do not meet"),
    pytest.param("I2", settled(lambda told: replace(told, charges=told.charges[:-1])), id="no charge of the carrier"),
    pytest.param("I2", settled(lambda told: replace(told, charges=told.charges[1:])), id="no charge of the booth"),
    pytest.param(
        "I3",
        sql(
            "UPDATE accounts SET balance_micros = balance_micros + 1 WHERE name = 'revenue:rhea'",
            "UPDATE accounts SET balance_micros = balance_micros - 1 WHERE name = 'payable:Mills'",
        ),
        id="a balance that no transfer made",
    ),
    pytest.param("I3", _moves_without_a_charge, id="a transfer without its charge"),
    pytest.param("I4", sql("UPDATE calls SET session_id = 99"), id="a hold on no session"),
    pytest.param("I4", sql("UPDATE calls SET session_id = 1"), id="a hold on a paid session"),
    pytest.param("I4", sql("UPDATE calls SET parties = replace(parties, 'zoe', 'eve')"), id="a hold on no account"),
    pytest.param("I4", sql("UPDATE calls SET parties = '[[1,2,3]'"), id="a hold that cannot be read"),
    pytest.param("I5", sql("UPDATE calls SET granted_ms = 100000000"), id="more granted than anybody has"),
    pytest.param(
        "I5",
        lambda connection: CallSettled(cdr("long", talk_ms=10**8)).apply(connection),
        id="more charged than allowed",
    ),
    pytest.param(
        "I6",
        sql("UPDATE accounts SET balance_micros = balance_micros + 1 WHERE name = 'world'"),
        id="money from nowhere",
    ),
    pytest.param("I7", sql("UPDATE charges SET billed_s = 61 WHERE call_id = 'c1'"), id="seconds that are not billed"),
    pytest.param("I7", sql("UPDATE cdrs SET talk_ms = 121000 WHERE call_id = 'c1'"), id="a talk at another's price"),
    pytest.param("I7", sql("UPDATE charges SET tariff = '[]' WHERE call_id = 'c1'"), id="a tariff that is none"),
    pytest.param("I7", sql("UPDATE charges SET lines = '[]' WHERE call_id = 'c1'"), id="a price without its terms"),
    pytest.param(
        "I8",
        sql("INSERT INTO transfers VALUES ('acme', '', 'payment', 'world', 'world', 'EUR', 0, 'root', '', 1)"),
        id="a transfer without a key",
    ),
    pytest.param(
        "I8",
        sql("INSERT INTO transfers VALUES ('acme', 'gift:1', 'gift', 'world', 'world', 'EUR', 0, 'root', '', 1)"),
        id="a transfer of no known kind",
    ),
    pytest.param("I8", sql("DROP TRIGGER transfers_do_not_go"), id="transfers that can be deleted"),
    pytest.param(
        "I9",
        settled(lambda told: replace(told, charges=(*told.charges[:-1], _in_dollars(told.charges[-1])))),
        id="a chain in two currencies",
    ),
    pytest.param(
        "I3",
        sql("INSERT INTO payment_taxes VALUES ('acme', 1, 0, '{}', 'EUR', 80, 20, 100)"),
        id="a tax that was not put aside",
    ),
    pytest.param(
        "I3",
        sql("INSERT INTO payment_taxes VALUES ('acme', 1, 0, '{}', 'EUR', 80, 0, 100)"),
        id="a net and a tax that are not the gross",
    ),
    pytest.param(
        "I3",
        sql("INSERT INTO transfers VALUES ('acme', 'tax:1:0', 'tax', 'world', 'world', 'EUR', 0, 'root', '', 1)"),
        id="a tax of no bill",
    ),
    pytest.param(
        "I9",
        sql("INSERT INTO transfers VALUES ('acme', 'c1:0:0:to', 'fx', 'world', 'world', 'EUR', 0, 'root', '', 1)"),
        id="an exchange for nothing",
    ),
    pytest.param(
        "I9",
        sql(f"UPDATE charges SET tariff = json_insert(tariff, '$.books', json('{BOOKS}')) WHERE call_id = 'c1'"),
        id="a charge that was not converted",
    ),
    pytest.param("I10", sql("DELETE FROM outbox WHERE number = 4"), id="a CDR that nobody would be given"),
    pytest.param("I10", sql("UPDATE outbox SET gone = 1 WHERE number = 1"), id="a CDR that is said to be gone"),
    pytest.param(
        "I10",
        sql("INSERT INTO outbox VALUES ('acme', 5, 'c9', 0, 0)"),
        id="a place in the outbox without a CDR",
    ),
    pytest.param("I10", sql("UPDATE outbox SET number = 9 WHERE number = 4"), id="numbers with a gap"),
    pytest.param("I10", sql("UPDATE export_targets SET delivered = 1"), id="fewer delivered than are behind a target"),
    pytest.param("I10", sql("UPDATE export_targets SET taken = 9, delivered = 8"), id="more delivered than there are"),
    pytest.param("I10", sql("UPDATE export_parked SET number = 4"), id="a parked record that was not tried"),
]


@pytest.mark.parametrize(("law", "broken"), BREAKS)
def test_what_breaks_a_law_is_seen_as_that_law_alone(law: str, broken: Break) -> None:
    with closing(busy()) as connection:
        broken(connection)
        assert laws_broken(connection) == [law]


def test_every_law_is_broken_here() -> None:
    assert {param.values[0] for param in BREAKS} == set(LAWS)


@pytest.mark.parametrize(
    ("tampered", "laws"),
    [
        pytest.param("UPDATE charges SET amount_micros = 1 WHERE call_id = 'c1' AND level = 1", "I3 I7", id="a charge"),
        pytest.param("UPDATE charges SET level = 9 WHERE call_id = 'c1' AND level = 3", "I2 I3 I9", id="a level"),
        pytest.param("DELETE FROM charges WHERE call_id = 'c1'", "I13 I2 I3", id="no charges"),
        pytest.param("DELETE FROM cdrs WHERE call_id = 'c1'", "I13 I2 I3", id="no CDR"),
        pytest.param("DELETE FROM accounts WHERE name = 'revenue:rhea'", "I3 I6", id="no account"),
        pytest.param("UPDATE transfers SET amount_micros = 1 WHERE key = 'c1:0:0'", "I3 I9", id="a transfer"),
        pytest.param("DELETE FROM transfers WHERE key = 'c1:0:0'", "I3 I9", id="no transfer"),
    ],
)
def test_what_was_tampered_with_is_seen_from_every_side(tampered: str, laws: str) -> None:
    """Whoever takes the triggers away is seen by that too (I8)."""
    with closing(busy()) as connection:
        connection.execute("DROP TRIGGER transfers_do_not_change")
        connection.execute("DROP TRIGGER transfers_do_not_go")
        sql(tampered)(connection)
        assert laws_broken(connection) == sorted([*laws.split(), "I8"])


@pytest.mark.parametrize("change", ["UPDATE transfers SET reason = ''", "DELETE FROM transfers"])
def test_a_transfer_stays_as_it_was_written(change: str) -> None:
    with closing(busy()) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(change)


def test_a_violation_says_whose_and_what() -> None:
    with closing(busy()) as connection:
        connection.execute("UPDATE accounts SET balance_micros = -6000000 WHERE name = ?", (OWNER,))
        told = {violation.law: violation for violation in audit(connection)}
    assert (told["I5"].tenant, told["I5"].subject) == (TENANT, OWNER)
    assert told["I5"].text == "has -6.00 EUR, may owe 5.00 EUR, and 1.32 EUR of it is on hold"


def test_who_is_overdrawn_by_an_adjustment_breaks_no_law() -> None:
    with closing(busy()) as connection:
        moved = replace(ADJUSTED, amount=euros(-200_000_000), key="a2", held_micros=990_000).apply(connection)
        assert moved.account.overdrawn
        assert audit(connection) == []
        connection.execute("UPDATE accounts SET overdrawn = 0")
        assert laws_broken(connection) == ["I5"]


# Whatever the desk and the switch do, in any order and again: the books hold. Who may spend what is for the switch to
# say, so here a limit may be passed (I5), and a call may be granted time in a session that was paid (I4).

AMOUNTS: Final = st.integers(1, 9_000_000).map(euros)
TERMS: Final = st.one_of(
    st.just(SessionTerms()),
    AMOUNTS.map(lambda amount: SessionTerms(deposit=amount)),
    AMOUNTS.map(lambda amount: SessionTerms(limit=amount)),
    st.integers(1, 10**6).map(lambda talk_ms: SessionTerms(talk_limit_ms=talk_ms)),
)
INSTANTS: Final = st.integers(NOON_MS, NOON_MS + 3)
KEYS: Final = st.sampled_from("abc")
CALLS: Final = st.sampled_from(["c1", "c2", "c3", "c4"])
WRITES: Final[st.SearchStrategy[Write[object]]] = st.one_of(
    st.builds(lambda at_ms, terms: replace(UNLOCKED, at_ms=at_ms, terms=terms), INSTANTS, TERMS),
    st.just(LOCKED),
    st.builds(lambda amount, key: replace(TOPPED_UP, amount=amount, key=key), AMOUNTS, KEYS),
    st.builds(lambda version, tender: replace(PAID, version=version, tenders=cash(tender)), st.integers(0, 3), AMOUNTS),
    st.builds(
        lambda call_id, granted_ms: CallAnswered(
            TENANT, call_id, live_call(call_id, state="answered", granted_ms=granted_ms)
        ),
        CALLS,
        st.integers(0, 10**6),
    ),
    st.builds(lambda call_id, granted_ms: CallGranted(TENANT, call_id, granted_ms), CALLS, st.integers(0, 10**6)),
    st.builds(lambda call_id, talk_ms: CallSettled(cdr(call_id, talk_ms=talk_ms)), CALLS, st.integers(0, 10**6)),
    st.builds(
        lambda party, kind, micros, key: replace(ADJUSTED, party=party, kind=kind, amount=euros(micros), key=key),
        st.sampled_from(["zoe", "rhea", TENANT]),
        st.sampled_from([TransferKind.PAYMENT, TransferKind.ADJUSTMENT]),
        st.integers(-(10**7), 10**7),
        KEYS,
    ),
    st.builds(lambda limit: replace(LIMITED, credit_limit=limit), st.none() | st.integers(0, 10**7)),
    st.builds(lambda who, key: replace(TURN, operator=who, key=key), st.sampled_from(["ana", "ben"]), KEYS),
    st.builds(
        lambda shift, kind, amount, key: replace(PUT_IN, shift=shift, kind=kind, amount=amount, key=key),
        st.integers(1, 3),
        st.sampled_from([MoveKind.IN, MoveKind.OUT]),
        AMOUNTS,
        KEYS,
    ),
    st.builds(lambda shift: replace(CLOSED, shift=shift), st.integers(1, 3)),
)


@given(st.lists(st.tuples(WRITES, st.booleans()), max_size=15))
def test_whatever_is_written_the_books_hold(steps: list[tuple[Write[object], bool]]) -> None:
    with closing(world_in_memory()) as connection:
        for write, is_repeated in steps:
            before = _applied(connection, write)
            if is_repeated and before is not None:
                assert _applied(connection, write) is not None
        assert set(laws_broken(connection)) <= {"I4", "I5"}


def _applied(connection: sqlite3.Connection, write: Write[object]) -> object:
    """Apply a write as the journal does; None if it is refused."""
    connection.execute("BEGIN")
    try:
        result = write.apply(connection)
    except (DeskError, LedgerError, NothingToPay):
        connection.execute("ROLLBACK")
        return None
    connection.execute("COMMIT")
    return (result,)


# A database in a file.


def test_a_running_store_is_audited_with_all_that_was_submitted(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        await store.commit(replace(UNLOCKED, terms=SessionTerms()))
        store.submit(CallSettled(cdr(talk_ms=10**9)))
        assert [(found.law, found.tenant) for found in await store.audit()] == [("I5", TENANT), ("I5", TENANT)]

    with filled(tmp_path / "db") as store:
        store.load(world(OTHER), at_ms=NOON_MS)
        running(store, work)


def test_a_large_store_is_audited_by_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(store: Store) -> None:
        await store.commit(replace(UNLOCKED, terms=SessionTerms()))
        store.submit(CallSettled(cdr(talk_ms=10**9)))
        assert [(found.law, found.tenant) for found in await store.audit()] == [("I5", TENANT), ("I5", TENANT)]

    monkeypatch.setattr("sipshop.store.store.LARGE_BYTES", 0)
    with filled(tmp_path / "db") as store:
        running(store, work)


def test_a_file_is_audited_beside_a_running_store_and_after_it(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with filled(path):
        assert audit_file(path) == []
    assert audit_file(path) == []


@pytest.mark.parametrize("others", [0, 1])
def test_what_is_written_during_an_audit_waits_for_nothing_and_is_not_seen(tmp_path: Path, others: int) -> None:
    path = tmp_path / "db"
    with filled(path):
        pass
    with closing(connect_writer(path)) as writer:
        writer.execute("PRAGMA busy_timeout=0")

        def write(done: int, _whole: int) -> None:
            """What is written breaks I3; the other process has done all when we hear of it."""
            writer.execute("UPDATE accounts SET balance_micros = balance_micros + ? WHERE name = 'world'", (done + 1,))
            writer.execute("UPDATE accounts SET balance_micros = balance_micros - ? WHERE name = ?", (done + 1, OWNER))

        assert audit_file(path, write, others=others) == []
    assert {violation.law for violation in audit_file(path)} == {"I3"}


@pytest.fixture(name="old")
def _old(tmp_path: Path) -> Path:
    path = tmp_path / "old"
    opened(path).close()
    return path


@pytest.mark.parametrize(
    ("version", "error"), [pytest.param("1", OlderSchema, id="older"), pytest.param("99", NewerSchema, id="newer")]
)
def test_a_file_of_another_version_is_not_judged(old: Path, version: str, error: type[StoreError]) -> None:
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET value = CAST(? AS BLOB) WHERE key = 'schema_version'", (version,))
    with pytest.raises(error):
        audit_file(old)


def test_what_is_no_database_of_ours_is_not_judged(tmp_path: Path) -> None:
    empty, letter = tmp_path / "empty", tmp_path / "letter"
    empty.touch()
    letter.write_text("Dear madam, " * 1000)
    for path in (empty, letter, tmp_path / "nowhere"):
        with pytest.raises(Unusable, match=path.name):
            audit_file(path)
    assert not (tmp_path / "nowhere").exists()
