"""Each write by itself, on a database in memory: what it leaves behind, done once, twice, late and out of order."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.billing.desk import BoothSession
from sipshop.billing.errors import CallAlive, StaleBill, TenderTooSmall, UnknownParty
from sipshop.billing.money import Money
from sipshop.store import (
    CallAnswered,
    CallRelayed,
    CallSettled,
    CallStarted,
    Heartbeat,
    NothingToPay,
    PartySuspended,
    SessionLocked,
    SessionOpened,
    SessionPaid,
    UnknownBooth,
    Write,
)
from sipshop.store import rows as row_shapes
from sipshop.store.store import load_world
from tests.store.examples import BOOTH, NOON_MS, TENANT, cdr, connection_in_memory, live_call, world

STARTED = CallStarted(TENANT, "c1", live_call())
ANSWERED = CallAnswered(TENANT, "c1", live_call(state="answered"))
RELAYED = CallRelayed(TENANT, "c1", NOON_MS + 900, 5_900)
SETTLED = CallSettled(cdr())

OPENED = SessionOpened(tenant=TENANT, booth=BOOTH, author="ana", at_ms=NOON_MS)
LOCKED = SessionLocked(tenant=TENANT, booth=BOOTH, author="ana", at_ms=NOON_MS + 5)
PAID = SessionPaid(
    tenant=TENANT, booth=BOOTH, version=1, tendered=Money(5_000_000, "EUR"), author="ana", at_ms=NOON_MS + 9
)
SUSPENDED = PartySuspended(tenant=TENANT, party="zoe", suspended=True, author="root", at_ms=NOON_MS)


def database() -> sqlite3.Connection:
    connection = connection_in_memory()
    connection.execute("BEGIN")
    load_world(connection, world(), at_ms=NOON_MS)
    connection.execute("COMMIT")
    return connection


@pytest.fixture(name="connection")
def _connection() -> Iterator[sqlite3.Connection]:
    with closing(database()) as connection:
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
    with closing(database()) as connection:
        OPENED.apply(connection)
        for write in [*writes[:at], SETTLED, *writes[at:]]:
            write.apply(connection)
        assert [len(rows(connection, table)) for table in ("cdrs", "charges", "calls")] == [1, 1, 0]
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
        replace(PAID, tendered=Money(1_000_000, "EUR")).apply(connection)


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
        replace(PAID, tendered=Money(280_000, "EUR")).apply(connection)


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
        pytest.param(replace(OPENED, tenant="umbrella"), UnknownBooth, id="another tenant's booth is nobody's"),
    ],
)
def test_unknown_names_are_refused(
    connection: sqlite3.Connection, write: Write[object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        write.apply(connection)
