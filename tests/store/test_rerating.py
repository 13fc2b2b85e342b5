"""Rerating in the database: what it says beforehand it does, once, wherever it is cut off; and all laws hold."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipshop.billing.cdr import Cdr
from sipshop.billing.deck import RateDeck
from sipshop.billing.errors import NoVersion, OtherBatch
from sipshop.billing.fx import Conversion
from sipshop.billing.ledger import session_account
from sipshop.billing.money import Rounding
from sipshop.billing.rating import cost
from sipshop.billing.rerate import Rerating
from sipshop.store import CallSettled, SessionOpened, Write, queries
from sipshop.store.audit import audit, audit_file
from sipshop.store.connect import connect_reader, connect_writer
from sipshop.store.rerating import BatchBegun, BatchDone, CallsRerated, deck_of, meant, some_at_once, would_be
from sipshop.store.rows import deck_values, rate_values
from tests.store.examples import (
    BOOTH,
    DECK,
    NOON_MS,
    OTHER,
    OWNER,
    OWNER_DECK,
    TENANT,
    cdr,
    euros,
    filled,
    paid,
    world_in_memory,
)

OPENED: Final = SessionOpened(tenant=TENANT, booth=BOOTH, author="ana", at_ms=NOON_MS)
DAY_MS: Final = 86_400_000
TO_TWO: Final = Rerating(deck="owner", version=2, since_ms=NOON_MS - DAY_MS, until_ms=NOON_MS + DAY_MS)
BACK: Final = replace(TO_TWO, version=1)


def put_deck(connection: sqlite3.Connection, deck: RateDeck) -> None:
    """A version of a deck comes into the books, as when a world is applied."""
    for table, values in (("decks", [deck_values(TENANT, deck) | {"position": 0}]), ("rates", _rates(deck))):
        for row in values:
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def _rates(deck: RateDeck) -> list[dict[str, Any]]:
    return [rate_values(TENANT, deck, rate) | {"position": position} for position, rate in enumerate(deck.rates)]


def version_two(of: RateDeck = OWNER_DECK, **changes: Any) -> RateDeck:
    """The same deck with another first rate, as version 2."""
    return RateDeck(of.name, "EUR", (replace(of.rates[0], **changes),), version=2, rounding=of.rounding)


def books(calls: int = 3, deck: RateDeck | None = None) -> sqlite3.Connection:
    """Some calls of 62 s, of a booth that is open, and a second version of the owner's deck at twice the price."""
    connection = world_in_memory()
    put_deck(connection, deck or version_two(first_price_nanos=240_000_000, next_price_nanos=240_000_000))
    OPENED.apply(connection)
    for number in range(1, calls + 1):
        CallSettled(cdr(f"c{number}")).apply(connection)
    return connection


def rerate(connection: sqlite3.Connection, asked: Rerating = TO_TWO, batch: str = "may") -> int:
    """All that a batch writes, one after the other; how many calls it revised."""
    begun = BatchBegun(tenant=TENANT, id=batch, asked=asked, author="root", reason="wrong prices", at_ms=NOON_MS)
    if begun.apply(connection):
        return 0
    revised = 0
    for write in writes_of(connection, asked, batch):
        revised += sum(told.cdr is not None for told in write.apply(connection).told)
    BatchDone(tenant=TENANT, id=batch, at_ms=NOON_MS).apply(connection)
    return revised


def writes_of(connection: sqlite3.Connection, asked: Rerating, batch: str) -> list[CallsRerated]:
    deck, calls = deck_of(connection, TENANT, asked), meant(connection, TENANT, asked)
    return [
        CallsRerated(tenant=TENANT, batch=batch, asked=asked, deck=deck, calls=some, held={}, author="root")
        for some in some_at_once(calls)
    ]


def balances(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT name, balance_micros FROM accounts").fetchall())


def test_what_is_said_beforehand_is_done() -> None:
    with closing(books()) as connection:
        before = balances(connection)
        told = would_be(connection, TENANT, TO_TWO, 1000)
        assert told.to_json()["totals"] == [
            {
                "seller": "rhea",
                "buyer": "zoe",
                "currency": "EUR",
                "charges": 3,
                "old": "0.396",
                "new": "0.792",
                "delta": "0.396",
            }
        ]
        assert balances(connection) == before
        assert rerate(connection) == told.calls == 3
        assert audit(connection) == []
        changed = {
            name: micros - before[name] for name, micros in balances(connection).items() if micros != before[name]
        }
        assert changed == {OWNER: -396_000, "revenue:rhea": 396_000}


def test_facts_stay_and_the_first_record_with_them() -> None:
    with closing(books(1)) as connection:
        rerate(connection)
        first, second = connection.execute("SELECT * FROM cdrs ORDER BY revision").fetchall()
        assert {name for name in first.keys() if first[name] != second[name]} == {"revision"}  # noqa: SIM118 - a Row
        assert (first["revision"], second["revision"]) == (0, 1)


def test_a_batch_is_done_once_and_a_name_is_one_rerating() -> None:
    with closing(books()) as connection:
        assert rerate(connection) == 3
        after = balances(connection)
        assert rerate(connection) == 0
        assert balances(connection) == after
        with pytest.raises(OtherBatch, match="batch 'may' was another rerating"):
            rerate(connection, replace(TO_TWO, party="zoe"))


def test_a_version_that_is_not_there_is_named_with_those_that_are() -> None:
    with closing(books()) as connection:
        with pytest.raises(NoVersion, match="deck 'owner' has no version 3: its versions are 1, 2"):
            would_be(connection, TENANT, replace(TO_TWO, version=3), 10)
        with pytest.raises(NoVersion, match="there is no deck of this name"):
            would_be(connection, OTHER, TO_TWO, 10)


@pytest.mark.parametrize(
    ("asked", "calls"),
    [
        pytest.param(TO_TWO, 3, id="every call"),
        pytest.param(replace(TO_TWO, party="zoe"), 3, id="the buyer's"),
        pytest.param(replace(TO_TWO, party="rhea"), 0, id="not the seller's own purchases"),
        pytest.param(replace(TO_TWO, old_versions=frozenset({7})), 0, id="of another old version"),
        pytest.param(replace(TO_TWO, until_ms=NOON_MS), 0, id="before the call, half-open"),
        pytest.param(replace(TO_TWO, since_ms=NOON_MS, until_ms=NOON_MS + 1), 3, id="in its millisecond"),
    ],
)
def test_what_is_meant(asked: Rerating, calls: int) -> None:
    with closing(books()) as connection:
        assert would_be(connection, TENANT, asked, 1000).calls == calls


@pytest.mark.parametrize(
    ("deck", "breaks", "why"),
    [
        pytest.param(version_two(prefix="4989"), "", "no_rate", id="no rate"),
        pytest.param(version_two(forbidden=True), "", "forbidden", id="forbidden"),
        pytest.param(
            version_two(), "UPDATE cdrs SET e164 = '4930123****'", "masked", id="a number that was masked since"
        ),
        pytest.param(RateDeck("owner", "USD", OWNER_DECK.rates, version=2), "", "currency", id="in another currency"),
    ],
)
def test_what_cannot_be_rerated_is_told_with_the_reason(deck: RateDeck, breaks: str, why: str) -> None:
    with closing(books(2, deck)) as connection:
        if breaks:
            connection.execute(breaks)
        told = would_be(connection, TENANT, TO_TWO, 1).to_json()
        assert [(row["call_id"], row["level"], row["why"]) for row in told["unrated"]] == [("c1", 1, why)]
        assert (told["calls"], told["left_off"], [row["charges"] for row in told["kept"]]) == (0, 1, [2])
        assert rerate(connection) == 0


def test_what_a_customer_has_paid_stays_as_he_paid_it() -> None:
    walk_in = version_two(DECK, first_price_nanos=10, next_price_nanos=10)
    asked = replace(TO_TWO, deck="walk-in")
    with closing(books(1, walk_in)) as connection:
        paid(1, euros(290_000)).apply(connection)
        assert [row["why"] for row in would_be(connection, TENANT, asked, 9).to_json()["unrated"]] == ["paid"]
        assert rerate(connection, asked) == 0


def test_a_bill_that_was_read_before_is_stale() -> None:
    walk_in = version_two(DECK, connect_fee_nanos=0)
    with closing(books(2, walk_in)) as connection:
        rerate(connection, replace(TO_TWO, deck="walk-in"))
        assert connection.execute("SELECT version FROM booth_sessions").fetchone()[0] == 4
        account = session_account(1, "zoe")
        assert balances(connection)[account] == -480_000
        payment = paid(4, euros(480_000))
        assert payment.apply(connection).total == euros(480_000)
        assert audit(connection) == []


def test_a_line_that_is_charged_anew_stays_where_it_was_on_the_bill() -> None:
    walk_in = version_two(DECK, connect_fee_nanos=0)
    with closing(books(3, walk_in)) as connection:
        asked, deck = replace(TO_TWO, deck="walk-in"), deck_of(connection, TENANT, replace(TO_TWO, deck="walk-in"))
        one = CallsRerated(tenant=TENANT, batch="may", asked=asked, deck=deck, calls=("c1",), held={}, author="root")
        one.apply(connection)
        lines = queries.BILL_LINES.run(connection, {"tenant": TENANT, "session_id": 1}).fetchall()
        assert [(line["call_id"], line["amount_micros"]) for line in lines] == [
            ("c1", 240_000),
            ("c2", 290_000),
            ("c3", 290_000),
        ]


def test_an_account_that_is_overdrawn_by_it_is_flagged_until_it_is_given_back() -> None:
    dear = version_two(first_price_nanos=30_000_000_000, next_price_nanos=30_000_000_000)
    with closing(books(1, dear)) as connection:
        flagged = "SELECT overdrawn FROM accounts WHERE name = ?"
        rerate(connection)
        assert connection.execute(flagged, (OWNER,)).fetchone()[0] == 1
        assert audit(connection) == []
        rerate(connection, BACK, "back")
        assert connection.execute(flagged, (OWNER,)).fetchone()[0] == 0
        assert audit(connection) == []


@settings(max_examples=25, deadline=None)
@given(
    talks=st.lists(st.integers(1, 400_000), min_size=1, max_size=4),
    price=st.integers(0, 3_000_000_000),
    fee=st.integers(0, 500_000_000),
    first_s=st.integers(1, 90),
    which=st.sampled_from([DECK, OWNER_DECK]),
)
def test_there_and_back_restores_every_balance_and_twice_is_once(
    talks: list[int], price: int, fee: int, first_s: int, which: RateDeck
) -> None:
    deck = version_two(which, connect_fee_nanos=fee, first_s=first_s, first_price_nanos=price)
    there, back = (replace(TO_TWO, deck=which.name, version=version) for version in (2, 1))
    with closing(books(0, deck)) as connection:
        for number, talk_ms in enumerate(talks):
            CallSettled(cdr(f"h{number}", talk_ms=talk_ms)).apply(connection)
        before = balances(connection)
        rerate(connection, there, "there")
        once = balances(connection)
        rerate(connection, there, "there")
        rerate(connection, there, "there under another name")
        assert balances(connection) == once
        assert audit(connection) == []
        rerate(connection, back, "back")
        assert balances(connection) == before
        assert audit(connection) == []


DIED: Final = 137


def died_after(path: Path, statements: int, work: Callable[[sqlite3.Connection], object]) -> bool:
    """Do some work in a process that dies after so many statements; whether it did not come to its end."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == DIED
    done = 0

    def count(_statement: str) -> None:
        nonlocal done
        if done == statements:
            os._exit(DIED)
        done += 1

    try:
        with closing(connect_writer(path)) as connection:
            connection.set_trace_callback(count)
            work(connection)
    finally:
        os._exit(0)


def each_by_itself(connection: sqlite3.Connection, *writes: Write[object]) -> None:
    """Each write in a transaction of its own, as the journal does it."""
    for write in writes:
        connection.execute("BEGIN IMMEDIATE")
        write.apply(connection)
        connection.execute("COMMIT")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_batch_that_dies_anywhere_is_run_again_and_comes_to_the_same(tmp_path: Path) -> None:
    original = tmp_path / "original"
    with filled(original):
        pass
    with closing(connect_writer(original)) as connection:
        put_deck(connection, version_two(first_price_nanos=240_000_000))
        each_by_itself(connection, OPENED, CallSettled(cdr("c1")), CallSettled(cdr("c2")))
    begun = BatchBegun(tenant=TENANT, id="may", asked=TO_TWO, author="root", reason="r", at_ms=NOON_MS)

    def batch(connection: sqlite3.Connection) -> None:
        singly = [
            replace(write, calls=(call,)) for write in writes_of(connection, TO_TWO, "may") for call in write.calls
        ]
        done = BatchDone(tenant=TENANT, id="may", at_ms=NOON_MS)
        each_by_itself(connection, begun, *singly, done)

    ends: set[tuple[tuple[str, int], ...]] = set()
    deaths = 0
    for statements in range(0, 1000, 4):
        path = tmp_path / f"after {statements}"
        shutil.copyfile(original, path)
        died = died_after(path, statements, batch)
        deaths += died
        assert audit_file(path) == []
        with closing(connect_writer(path)) as connection:
            batch(connection)
        assert audit_file(path) == []
        with closing(connect_reader(path)) as connection:
            ends.add(tuple(sorted(balances(connection).items())))
            assert connection.execute("SELECT count(*) FROM rerated").fetchone()[0] == 2
        if not died:
            break
    assert (len(ends), deaths > 8) == (1, True)


def exchange(source: str, currency: str) -> Conversion:
    """One euro is 1.1 dollars, on the day of the call."""
    return Conversion(
        source=source,
        currency=currency,
        rate_nanos=1_100_000_000,
        divides=source == "USD",
        day="2023-11-14",
        rounding=Rounding(places=6),
    )


def in_dollars(told: Cdr) -> Cdr:
    """The owner pays in dollars, by a deck in euros; she and her seller convert what they earn."""
    booth, owner, *above = told.charges
    sold = replace(booth.tariff, books=exchange("EUR", "USD"))
    bought = replace(owner.tariff, fx=exchange("EUR", "USD"), books=exchange("USD", "EUR"))
    paid = cost(bought, told.answered_at_ms or 0, told.talk_ms)
    return replace(told, charges=(replace(booth, tariff=sold), replace(owner, tariff=bought, cost=paid), *above))


def test_what_was_converted_is_converted_again_by_the_rate_of_its_day() -> None:
    with closing(books(0)) as connection:
        CallSettled(in_dollars(cdr("c1"))).apply(connection)
        assert audit(connection) == []
        before = balances_by_currency(connection)
        rerate(connection)
        after = balances_by_currency(connection)
        assert after[OWNER, "USD"] - before[OWNER, "USD"] == -145_200  # 0.132 EUR more
        assert after["revenue:rhea", "EUR"] - before["revenue:rhea", "EUR"] == 132_000
        assert audit(connection) == []
        rerate(connection, BACK, "back")
        assert balances_by_currency(connection) == before
        assert audit(connection) == []


def balances_by_currency(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    found = connection.execute("SELECT name, currency, balance_micros FROM accounts")
    return {(name, currency): micros for name, currency, micros in found.fetchall()}
