"""Each write by itself, on a database in memory: what it leaves behind, done once, twice, late and out of order."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.billing.desk import BoothSession, SessionTerms
from sipshop.billing.errors import (
    AccountInUse,
    BadTerms,
    BelowUsed,
    CallAlive,
    DeskError,
    LedgerError,
    StaleBill,
    TenderTooSmall,
    UnknownAccount,
    UnknownParty,
    WrongCurrency,
)
from sipshop.billing.ledger import TransferKind
from sipshop.billing.money import Money
from sipshop.store import (
    AccountMoved,
    CallAnswered,
    CallDoubted,
    CallGranted,
    CallRelayed,
    CallSettled,
    CallStarted,
    Heartbeat,
    LimitSet,
    NothingToPay,
    PartySuspended,
    SessionLocked,
    SessionOpened,
    SessionToppedUp,
    UnknownBooth,
    Write,
)
from sipshop.store import rows as row_shapes
from sipshop.store.checkout import read_receipt
from tests.store.examples import (
    BOOTH,
    NOON_MS,
    OWNER,
    RESELLER,
    TENANT,
    cash,
    cdr,
    euros,
    live_call,
    paid,
    world_in_memory,
)

STARTED = CallStarted(TENANT, "c1", live_call())
ANSWERED = CallAnswered(TENANT, "c1", live_call(state="answered"))
RELAYED = CallRelayed(TENANT, "c1", NOON_MS + 900, 5_900)
SETTLED = CallSettled(cdr())

OPENED = SessionOpened(tenant=TENANT, booth=BOOTH, author="ana", at_ms=NOON_MS)
LOCKED = SessionLocked(tenant=TENANT, booth=BOOTH, author="ana", at_ms=NOON_MS + 5)
PAID = paid(1, Money(5_000_000, "EUR"), at_ms=NOON_MS + 9)
SUSPENDED = PartySuspended(tenant=TENANT, party="zoe", suspended=True, by=TENANT, author="root", at_ms=NOON_MS)


@pytest.fixture(name="connection")
def _connection() -> Iterator[sqlite3.Connection]:
    with closing(world_in_memory()) as connection:
        yield connection


def rows(connection: sqlite3.Connection, table: str) -> list[sqlite3.Row]:
    return connection.execute(f"SELECT * FROM {table}").fetchall()


# Calls.


def test_a_call_leaves_its_row_as_it_was_told(connection: sqlite3.Connection) -> None:
    STARTED.apply(connection)
    assert [row_shapes.live_call(row) for row in rows(connection, "calls")] == [STARTED.row]
    ANSWERED.apply(connection)
    RELAYED.apply(connection)
    relayed = replace(ANSWERED.row, relayed_at_ms=NOON_MS + 900, relayed_mono_ms=5_900)
    assert [row_shapes.live_call(row) for row in rows(connection, "calls")] == [relayed]


def test_an_answer_stands_without_the_new_row(connection: sqlite3.Connection) -> None:
    ANSWERED.apply(connection)
    assert [row["state"] for row in rows(connection, "calls")] == ["answered"]


@pytest.mark.parametrize(
    ("late", "column", "value"),
    [
        pytest.param(STARTED, "state", "answered", id="a late start does not take the answer back"),
        pytest.param(ANSWERED, "relayed_at_ms", NOON_MS + 900, id="a repeated answer keeps the start of talk time"),
    ],
)
def test_a_row_only_goes_forward(connection: sqlite3.Connection, late: Write[None], column: str, value: object) -> None:
    for write in (STARTED, ANSWERED, RELAYED, late):
        write.apply(connection)
    assert [row[column] for row in rows(connection, "calls")] == [value]


@pytest.mark.parametrize("late", [STARTED, ANSWERED, RELAYED], ids=["started", "answered", "relayed"])
def test_nothing_raises_a_settled_call_from_the_dead(connection: sqlite3.Connection, late: Write[None]) -> None:
    SETTLED.apply(connection)
    late.apply(connection)
    assert rows(connection, "calls") == []


@given(st.lists(st.sampled_from([STARTED, ANSWERED, RELAYED, SETTLED]), max_size=12), st.integers(0, 12))
def test_any_order_with_retries_leaves_one_cdr_and_no_call(
    writes: list[CallStarted | CallAnswered | CallRelayed | CallSettled], at: int
) -> None:
    with closing(world_in_memory()) as connection:
        OPENED.apply(connection)
        for write in [*writes[:at], SETTLED, *writes[at:]]:
            write.apply(connection)
        assert [len(rows(connection, table)) for table in ("cdrs", "charges", "calls")] == [1, 4, 0]
        assert [row["version"] for row in rows(connection, "booth_sessions")] == [1]


def test_a_settled_call_comes_back_as_it_was(connection: sqlite3.Connection) -> None:
    OPENED.apply(connection)
    SETTLED.apply(connection)
    charges = [row_shapes.charge(row) for row in rows(connection, "charges")]
    assert [row_shapes.cdr(row, charges) for row in rows(connection, "cdrs")] == [SETTLED.cdr]


@pytest.mark.parametrize(
    ("settled", "version"),
    [
        pytest.param(cdr(), 1, id="a charge raises the bill's version"),
        pytest.param(cdr(talk_ms=0), 0, id="a call without charges does not"),
        pytest.param(cdr(talk_ms=0, session_id=None), None, id="a call without a session has no bill"),
    ],
)
def test_settling_tells_the_version_of_the_bill(
    connection: sqlite3.Connection, settled: object, version: int | None
) -> None:
    OPENED.apply(connection)
    write = CallSettled(settled)  # type: ignore[arg-type]  # parametrize forgets the type
    assert [write.apply(connection), write.apply(connection)] == [version, version]


def test_a_correction_is_one_more_revision(connection: sqlite3.Connection) -> None:
    OPENED.apply(connection)
    assert SETTLED.apply(connection) == 1
    assert CallSettled(replace(cdr(talk_ms=1), revision=1)).apply(connection) == 2
    assert [row["revision"] for row in rows(connection, "cdrs")] == [0, 1]


# Grants.


@pytest.mark.parametrize(
    ("stored", "granted", "expected"),
    [
        pytest.param(None, 60_000, 60_000, id="the first"),
        pytest.param(60_000, 90_000, 90_000, id="a longer one"),
        pytest.param(90_000, 60_000, 90_000, id="one that comes late does not shorten it"),
    ],
)
def test_a_grant_is_only_raised(
    connection: sqlite3.Connection, stored: int | None, granted: int, expected: int
) -> None:
    CallStarted(TENANT, "c1", live_call(granted_ms=stored)).apply(connection)
    CallGranted(TENANT, "c1", granted).apply(connection)
    CallAnswered(TENANT, "c1", live_call(state="answered", granted_ms=stored)).apply(connection)
    assert [row["granted_ms"] for row in rows(connection, "calls")] == [expected]


def test_a_talk_in_doubt_was_granted_what_is_known_of_it(connection: sqlite3.Connection) -> None:
    for call_id in ("c1", "c2"):
        CallStarted(TENANT, call_id, live_call(call_id, granted_ms=60_000)).apply(connection)
    CallDoubted(TENANT, "c1", 25_000).apply(connection)
    assert {row["call_id"]: row["granted_ms"] for row in rows(connection, "calls")} == {"c1": 25_000, "c2": 60_000}
    SETTLED.apply(connection)
    CallDoubted(TENANT, "c1", 25_000).apply(connection)
    assert [row["call_id"] for row in rows(connection, "calls")] == ["c2"]


def test_a_grant_of_a_call_that_is_over_is_nothing(connection: sqlite3.Connection) -> None:
    SETTLED.apply(connection)
    CallGranted(TENANT, "c1", 60_000).apply(connection)
    assert rows(connection, "calls") == []


# Money.


def balances(connection: sqlite3.Connection) -> dict[str, int]:
    """What stands on each account, but for those with nothing."""
    return {row["name"]: row["balance_micros"] for row in rows(connection, "accounts") if row["balance_micros"]}


def moves(connection: sqlite3.Connection, kind: str) -> list[tuple[object, ...]]:
    return [
        (row["key"], row["debit"], row["credit"], row["amount_micros"], row["author"], row["reason"], row["at_ms"])
        for row in rows(connection, "transfers")
        if row["kind"] == kind
    ]


def test_a_world_opens_an_account_for_each_party_but_the_provider(connection: sqlite3.Connection) -> None:
    assert [tuple(row) for row in rows(connection, "accounts") if row["name"] != "world"] == [
        (TENANT, OWNER, "EUR", 20_000_000, 5_000_000, 0),
        (TENANT, RESELLER, "EUR", 100_000_000, 0, 0),
    ]
    assert moves(connection, "opening") == [
        (f"opening:{OWNER}", "world", OWNER, 20_000_000, "world", "", NOON_MS),
        (f"opening:{RESELLER}", "world", RESELLER, 100_000_000, "world", "", NOON_MS),
    ]


def test_a_settlement_moves_what_every_level_pays_and_once(connection: sqlite3.Connection) -> None:
    OPENED.apply(connection)
    for _ in range(2):
        SETTLED.apply(connection)
    at_ms = SETTLED.cdr.ended_at_ms
    assert moves(connection, "charge") == [
        ("c1:0:0", "session:1@zoe", "revenue:zoe", 290_000, "switch", "", at_ms),
        ("c1:1:0", OWNER, "revenue:rhea", 132_000, "switch", "", at_ms),
        ("c1:2:0", RESELLER, "revenue:acme", 93_000, "switch", "", at_ms),
        ("c1:3:0", "carrier_cost:acme", "payable:Mills", 70_000, "switch", "", at_ms),
    ]
    assert balances(connection) == {
        "world": -120_000_000,
        OWNER: 19_868_000,
        RESELLER: 99_907_000,
        "session:1@zoe": -290_000,
        "revenue:zoe": 290_000,
        "revenue:rhea": 132_000,
        "revenue:acme": 93_000,
        "carrier_cost:acme": -70_000,
        "payable:Mills": 70_000,
    }


def test_what_costs_nothing_moves_nothing(connection: sqlite3.Connection) -> None:
    CallSettled(cdr(talk_ms=1)).apply(connection)
    assert [key for key, *_ in moves(connection, "charge")] == ["c1:0:0", "c1:1:0"]
    assert len(rows(connection, "charges")) == 4


PAYMENT = AccountMoved(
    tenant=TENANT,
    party="zoe",
    kind=TransferKind.PAYMENT,
    amount=euros(3_000_000),
    author="root",
    reason="bank transfer 17",
    at_ms=NOON_MS,
    key="k1",
    held_micros=0,
)


@pytest.mark.parametrize(
    ("kind", "micros", "expected"),
    [
        pytest.param("payment", 3_000_000, ("payment:k1", "world", OWNER, 3_000_000), id="paid"),
        pytest.param("payment", -3_000_000, ("payment:k1", OWNER, "world", 3_000_000), id="paid back"),
        pytest.param("adjustment", -1, ("adjustment:k1", OWNER, "world", 1), id="adjusted"),
    ],
)
def test_a_party_is_paid_for_or_adjusted_once(
    connection: sqlite3.Connection, kind: str, micros: int, expected: tuple[object, ...]
) -> None:
    write = replace(PAYMENT, kind=TransferKind(kind), amount=euros(micros))
    first = write.apply(connection)
    assert first.is_new
    assert (first.account.name, first.account.balance_micros) == (OWNER, 20_000_000 + micros)
    again = replace(write, at_ms=NOON_MS + 1).apply(connection)
    assert (again.is_new, again.account) == (False, first.account)
    assert moves(connection, kind) == [(*expected, "root", "bank transfer 17", NOON_MS)]
    assert log(connection) == [f"root {kind} zoe"]
    assert balances(connection)["world"] == -120_000_000 - micros


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"amount": euros(4_000_000)}, id="another amount"),
        pytest.param({"party": "rhea"}, id="another party"),
        pytest.param({"reason": "bank transfer 18"}, id="another reason"),
    ],
)
def test_a_key_names_one_movement(connection: sqlite3.Connection, change: dict[str, Any]) -> None:
    PAYMENT.apply(connection)
    with pytest.raises(LedgerError, match="under this key"):
        replace(PAYMENT, **change).apply(connection)
    assert replace(PAYMENT, kind=TransferKind.ADJUSTMENT).apply(connection).is_new


def test_an_account_is_overdrawn_by_an_adjustment_until_it_has_what_its_calls_hold(
    connection: sqlite3.Connection,
) -> None:
    def after(kind: str, micros: int, held: int, key: str) -> bool:
        write = replace(PAYMENT, kind=TransferKind(kind), amount=euros(micros), held_micros=held, key=key)
        account = write.apply(connection).account
        assert [bool(row["overdrawn"]) for row in rows(connection, "accounts") if row["name"] == OWNER] == [
            account.overdrawn
        ]
        return account.overdrawn

    assert not after("adjustment", -15_000_000, 10_000_000, "a1")  # 5.00 and a limit of 5.00: what is held is there
    assert after("adjustment", -1, 10_000_000, "a2")
    assert after("payment", -1_000_000, 10_000_000, "p1")
    assert after("payment", 500_000, 10_000_000, "p2")
    assert not after("payment", 500_001, 10_000_000, "p3")
    assert not after("payment", -1, 10_000_000, "p4")  # who is paid back too much was not adjusted


LIMIT = LimitSet(tenant=TENANT, party="zoe", credit_limit=9_000_000, author="root", reason="trusted", at_ms=NOON_MS)


def test_a_limit_is_set_and_logged_once(connection: sqlite3.Connection) -> None:
    for write in (LIMIT, LIMIT, replace(LIMIT, credit_limit=None), replace(LIMIT, credit_limit=0)):
        account = write.apply(connection)
        assert account.credit_limit_micros == write.credit_limit
        assert [row["credit_limit_micros"] for row in rows(connection, "accounts") if row["name"] == OWNER] == [
            write.credit_limit
        ]
    assert [row["detail"] for row in rows(connection, "desk_log")] == [
        "5.00 -> 9.00, trusted",
        "9.00 -> unlimited, trusted",
        "unlimited -> 0.00, trusted",
    ]


def test_a_limit_is_not_lowered_under_what_is_owed(connection: sqlite3.Connection) -> None:
    replace(PAYMENT, amount=euros(-23_000_000)).apply(connection)
    replace(LIMIT, credit_limit=3_000_000).apply(connection)
    with pytest.raises(BelowUsed, match=r"2\.99 EUR is below the 3\.00 EUR"):
        replace(LIMIT, credit_limit=2_990_000).apply(connection)


def test_nobody_without_a_limit_is_overdrawn(connection: sqlite3.Connection) -> None:
    write = replace(PAYMENT, kind=TransferKind.ADJUSTMENT, amount=euros(-90_000_000))
    assert write.apply(connection).account.overdrawn
    assert not replace(LIMIT, credit_limit=None).apply(connection).overdrawn
    assert not replace(write, key="k2").apply(connection).account.overdrawn


def test_a_process_has_one_heartbeat(connection: sqlite3.Connection) -> None:
    Heartbeat("run-1", 5_000, NOON_MS).apply(connection)
    Heartbeat("run-1", 10_000, NOON_MS + 5_000).apply(connection)
    assert [tuple(row) for row in rows(connection, "processes")] == [("run-1", 10_000, NOON_MS + 5_000)]


# The desk.


def log(connection: sqlite3.Connection) -> list[str]:
    return [f"{row['author']} {row['action']} {row['subject']}" for row in rows(connection, "desk_log")]


def test_unlocking_begins_a_session_once(connection: sqlite3.Connection) -> None:
    session = OPENED.apply(connection)
    assert session == BoothSession(
        tenant=TENANT,
        id=1,
        booth=BOOTH,
        owner="zoe",
        opened_at_ms=NOON_MS,
        opened_by="ana",
        version=0,
        closed_at_ms=None,
        paid=False,
    )
    assert replace(OPENED, author="ben", at_ms=NOON_MS + 1).apply(connection) == session
    assert log(connection) == [f"ana unlock {BOOTH}"]


def test_unlocking_again_goes_on_with_the_unpaid_session(connection: sqlite3.Connection) -> None:
    first = OPENED.apply(connection)
    locked = LOCKED.apply(connection)
    assert locked == LOCKED.apply(connection) == replace(first, closed_at_ms=NOON_MS + 5)
    assert OPENED.apply(connection) == first
    assert log(connection) == [f"ana unlock {BOOTH}", f"ana lock {BOOTH}", f"ana unlock {BOOTH}"]


def euro_terms(*, deposit: int | None = None, limit: int | None = None) -> SessionTerms:
    return SessionTerms(
        deposit=None if deposit is None else euros(deposit), limit=None if limit is None else euros(limit)
    )


@pytest.mark.parametrize(
    ("terms", "deposit", "limit", "talk_limit_ms", "detail"),
    [
        pytest.param(SessionTerms(), 0, None, None, "session 1", id="nothing"),
        pytest.param(euro_terms(deposit=5_000_000), 5_000_000, 0, None, "session 1, deposit 5.00 EUR", id="a deposit"),
        pytest.param(euro_terms(limit=5_000_000), 0, 5_000_000, None, "session 1, limit 5.00 EUR", id="a limit"),
        pytest.param(SessionTerms(talk_limit_ms=600_000), 0, None, 600_000, "session 1, 600 s of talk", id="minutes"),
    ],
)
def test_a_new_session_is_bound_to_its_terms(
    connection: sqlite3.Connection,
    terms: SessionTerms,
    deposit: int,
    limit: int | None,
    talk_limit_ms: int | None,
    detail: str,
) -> None:
    write = replace(OPENED, terms=terms)
    session = write.apply(connection)
    assert (session.deposit_micros, session.credit_limit_micros) == (deposit, limit)
    assert session.talk_limit_ms == talk_limit_ms
    assert write.apply(connection) == session  # the very same command, tried again
    assert [row_shapes.booth_session(row) for row in rows(connection, "booth_sessions")] == [session]
    assert [tuple(row) for row in rows(connection, "accounts") if row["name"] == "session:1@zoe"] == [
        (TENANT, "session:1@zoe", "EUR", deposit, limit, 0)
    ]
    assert [row["detail"] for row in rows(connection, "desk_log")] == [detail]


def test_an_open_booth_takes_no_other_terms(connection: sqlite3.Connection) -> None:
    write = replace(OPENED, terms=euro_terms(deposit=5_000_000))
    session = write.apply(connection)
    with pytest.raises(BadTerms, match=f"booth {BOOTH} is open already: top up its session instead"):
        replace(write, at_ms=NOON_MS + 1).apply(connection)
    assert OPENED.apply(connection) == session


def test_a_session_goes_on_by_new_terms(connection: sqlite3.Connection) -> None:
    def reopened(terms: SessionTerms, at_ms: int) -> tuple[int, int | None, int | None]:
        LOCKED.apply(connection)
        session = replace(OPENED, terms=terms, at_ms=at_ms).apply(connection)
        account = next(row for row in rows(connection, "accounts") if row["name"] == "session:1@zoe")
        assert account["credit_limit_micros"] == session.credit_limit_micros
        assert account["balance_micros"] == session.deposit_micros - 290_000
        return session.deposit_micros, session.credit_limit_micros, session.talk_limit_ms

    OPENED.apply(connection)
    SETTLED.apply(connection)
    assert reopened(SessionTerms(talk_limit_ms=60_000), 1) == (0, None, 60_000)
    assert reopened(euro_terms(limit=1_000_000), 2) == (0, 1_000_000, 60_000)
    assert reopened(euro_terms(deposit=2_000_000), 3) == (2_000_000, 1_000_000, 60_000)
    assert reopened(euro_terms(deposit=3_000_000), 4) == (5_000_000, 1_000_000, 60_000)
    assert reopened(euro_terms(limit=4_000_000), 5) == (5_000_000, 4_000_000, 60_000)
    assert reopened(SessionTerms(), 6) == (5_000_000, 4_000_000, 60_000)
    assert [key for key, *_ in moves(connection, "deposit")] == ["deposit:1:1", "deposit:1:2"]


def test_a_deposit_binds_a_session_that_nothing_bound(connection: sqlite3.Connection) -> None:
    OPENED.apply(connection)
    LOCKED.apply(connection)
    session = replace(OPENED, terms=euro_terms(deposit=1_000_000)).apply(connection)
    assert (session.deposit_micros, session.credit_limit_micros) == (1_000_000, 0)


@pytest.mark.parametrize("term", ["deposit", "limit"])
def test_a_session_cannot_be_bound_to_less_than_it_owes(connection: sqlite3.Connection, term: str) -> None:
    OPENED.apply(connection)
    SETTLED.apply(connection)
    LOCKED.apply(connection)
    with pytest.raises(BelowUsed, match=r"0\.28 EUR is below the 0\.29 EUR"):
        replace(OPENED, terms=euro_terms(**{term: 280_000})).apply(connection)
    assert replace(OPENED, terms=euro_terms(**{term: 290_000})).apply(connection).is_open


@pytest.mark.parametrize("term", ["deposit", "limit"])
def test_a_call_without_a_limit_gets_none_while_it_goes_on(connection: sqlite3.Connection, term: str) -> None:
    OPENED.apply(connection)
    STARTED.apply(connection)
    LOCKED.apply(connection)
    with pytest.raises(AccountInUse, match="wait for its end or cut it"):
        replace(OPENED, terms=euro_terms(**{term: 5_000_000})).apply(connection)


TOPPED_UP = SessionToppedUp(
    tenant=TENANT, booth=BOOTH, amount=euros(2_000_000), author="ana", at_ms=NOON_MS + 7, key="k1"
)


@pytest.mark.parametrize(
    ("terms", "limit"),
    [
        pytest.param(euro_terms(deposit=5_000_000), 0, id="a deposit"),
        pytest.param(euro_terms(limit=5_000_000), 5_000_000, id="a limit"),
        pytest.param(SessionTerms(), None, id="no limit stays none"),
    ],
)
@pytest.mark.parametrize("is_locked", [False, True], ids=["open", "locked"])
def test_topping_up_adds_to_the_deposit_once(
    connection: sqlite3.Connection, terms: SessionTerms, limit: int | None, is_locked: bool
) -> None:
    before = replace(OPENED, terms=terms).apply(connection).deposit_micros
    if is_locked:
        LOCKED.apply(connection)
    for at_ms in (NOON_MS + 7, NOON_MS + 8):
        session = replace(TOPPED_UP, at_ms=at_ms).apply(connection)
        assert (session.deposit_micros, session.credit_limit_micros) == (before + 2_000_000, limit)
        assert session.is_open is not is_locked
    assert moves(connection, "deposit")[-1] == (
        *("topup:k1", "till:corner", "session:1@zoe", 2_000_000, "ana", ""),
        NOON_MS + 7,
    )
    assert log(connection)[-1] == f"ana topup {BOOTH}"
    assert balances(connection)["till:corner"] == -before - 2_000_000


def test_a_top_up_whose_answer_was_lost_is_found_after_the_payment(connection: sqlite3.Connection) -> None:
    OPENED.apply(connection)
    TOPPED_UP.apply(connection)
    replace(PAID, version=0, tenders=()).apply(connection)
    session = TOPPED_UP.apply(connection)
    assert (session.id, session.paid) == (1, True)
    OPENED.apply(connection)
    with pytest.raises(DeskError, match="use a new key"):
        TOPPED_UP.apply(connection)


def test_another_deposit_needs_another_key(connection: sqlite3.Connection) -> None:
    OPENED.apply(connection)
    TOPPED_UP.apply(connection)
    with pytest.raises(DeskError, match=r"2\.00 EUR was taken under this key before"):
        replace(TOPPED_UP, amount=euros(1)).apply(connection)


@pytest.mark.parametrize(
    ("deposit", "tendered", "change", "checkout"),
    [
        pytest.param(100_000, 200_000, 10_000, ("till:corner", "session:1@zoe", 190_000), id="some is to be paid"),
        pytest.param(290_000, 0, 0, None, id="the deposit is just enough"),
        pytest.param(5_000_000, 0, 4_710_000, ("session:1@zoe", "till:corner", 4_710_000), id="some goes back"),
    ],
)
def test_checkout_brings_a_session_to_zero(
    connection: sqlite3.Connection, deposit: int, tendered: int, change: int, checkout: tuple[object, ...] | None
) -> None:
    replace(OPENED, terms=euro_terms(deposit=deposit)).apply(connection)
    SETTLED.apply(connection)
    payment = replace(PAID, tenders=cash(euros(tendered))).apply(connection)
    assert (payment.total, payment.deposit, payment.change) == (euros(290_000), euros(deposit), euros(change))
    (kept,) = rows(connection, "payments")
    assert (kept["total_micros"], kept["deposit_micros"], kept["change_micros"]) == (290_000, deposit, change)
    assert [read_receipt(row["receipt"]) for row in rows(connection, "receipts")] == [payment]
    assert [(debit, credit, amount) for _, debit, credit, amount, *_ in moves(connection, "checkout")] == (
        [checkout] if checkout else []
    )
    assert "session:1@zoe" not in balances(connection)
    assert balances(connection)["till:corner"] == -290_000


def test_locking_a_booth_that_was_never_open_changes_nothing(connection: sqlite3.Connection) -> None:
    assert LOCKED.apply(connection) is None
    assert log(connection) == []


def test_paying_closes_the_session_and_the_next_customer_gets_his_own(connection: sqlite3.Connection) -> None:
    OPENED.apply(connection)
    SETTLED.apply(connection)
    payment = PAID.apply(connection)
    assert (payment.total, payment.change) == (Money(290_000, "EUR"), Money(4_710_000, "EUR"))
    assert [(row["paid"], row["closed_at_ms"]) for row in rows(connection, "booth_sessions")] == [(1, NOON_MS + 9)]
    assert OPENED.apply(connection).id == 2


def test_paying_again_finds_the_payment(connection: sqlite3.Connection) -> None:
    OPENED.apply(connection)
    SETTLED.apply(connection)
    assert PAID.apply(connection) == PAID.apply(connection)
    assert len(rows(connection, "payments")) == 1
    with pytest.raises(NothingToPay, match=BOOTH):
        replace(PAID, tenders=cash(Money(1_000_000, "EUR"))).apply(connection)


def test_a_lock_before_paying_keeps_its_time(connection: sqlite3.Connection) -> None:
    OPENED.apply(connection)
    LOCKED.apply(connection)
    replace(PAID, version=0).apply(connection)
    assert [row["closed_at_ms"] for row in rows(connection, "booth_sessions")] == [NOON_MS + 5]


def test_a_stale_bill_is_refused_with_what_is_new(connection: sqlite3.Connection) -> None:
    OPENED.apply(connection)
    CallSettled(cdr("c1")).apply(connection)
    CallSettled(cdr("c2", talk_ms=1_000)).apply(connection)
    with pytest.raises(StaleBill, match=r"1 new call, 0\.17 EUR"):
        PAID.apply(connection)


def test_a_call_without_a_cdr_holds_the_payment_up(connection: sqlite3.Connection) -> None:
    OPENED.apply(connection)
    STARTED.apply(connection)
    with pytest.raises(CallAlive):
        replace(PAID, version=0).apply(connection)


def test_too_little_money_is_refused(connection: sqlite3.Connection) -> None:
    OPENED.apply(connection)
    SETTLED.apply(connection)
    with pytest.raises(TenderTooSmall):
        replace(PAID, tenders=cash(Money(280_000, "EUR"))).apply(connection)


def test_suspending_is_kept_and_logged_once(connection: sqlite3.Connection) -> None:
    for write in (SUSPENDED, SUSPENDED, replace(SUSPENDED, suspended=False)):
        write.apply(connection)
    assert log(connection) == ["root suspend zoe", "root resume zoe"]


@pytest.mark.parametrize(
    ("write", "error"),
    [
        pytest.param(replace(OPENED, booth="b9"), UnknownBooth, id="unlock"),
        pytest.param(replace(LOCKED, booth="b9"), UnknownBooth, id="lock"),
        pytest.param(replace(PAID, booth="b9"), UnknownBooth, id="pay"),
        pytest.param(replace(SUSPENDED, party="nobody"), UnknownParty, id="suspend"),
        pytest.param(replace(TOPPED_UP, booth="b9"), UnknownBooth, id="top up"),
        pytest.param(TOPPED_UP, NothingToPay, id="top up a booth without a session"),
        pytest.param(replace(PAYMENT, party="nobody"), UnknownParty, id="pay for"),
        pytest.param(replace(PAYMENT, party=TENANT), UnknownAccount, id="the provider pays nobody"),
        pytest.param(replace(LIMIT, party="nobody"), UnknownParty, id="limit"),
        pytest.param(replace(LIMIT, party=TENANT), UnknownAccount, id="the provider has no limit"),
        pytest.param(replace(OPENED, tenant="umbrella"), UnknownBooth, id="another tenant's booth is nobody's"),
    ],
)
def test_unknown_names_are_refused(
    connection: sqlite3.Connection, write: Write[object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        write.apply(connection)


@pytest.mark.parametrize(
    ("write", "error"),
    [
        pytest.param(
            replace(OPENED, terms=SessionTerms(deposit=Money(1, "USD"))), WrongCurrency, id="a deposit in dollars"
        ),
        pytest.param(
            replace(OPENED, terms=SessionTerms(limit=Money(1, "USD"))), WrongCurrency, id="a limit in dollars"
        ),
        pytest.param(replace(TOPPED_UP, amount=Money(1, "USD")), WrongCurrency, id="a top-up in dollars"),
        pytest.param(replace(TOPPED_UP, amount=euros(0)), BadTerms, id="a top-up of nothing"),
        pytest.param(replace(TOPPED_UP, amount=euros(-1)), BadTerms, id="a top-up of less"),
        pytest.param(replace(PAYMENT, amount=Money(1, "USD")), WrongCurrency, id="a payment in dollars"),
        pytest.param(replace(PAYMENT, amount=euros(0)), LedgerError, id="a payment of nothing"),
    ],
)
def test_money_of_the_wrong_kind_is_refused(
    connection: sqlite3.Connection, write: Write[object], error: type[Exception]
) -> None:
    before = balances(connection)
    with pytest.raises(error):
        write.apply(connection)
    assert (balances(connection), log(connection)) == (before, [])
