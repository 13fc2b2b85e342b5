"""Statements and invoices: they add up to the ledger whatever happens, and a closed period takes nothing more."""

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipshop.billing.cdr import Cdr
from sipshop.billing.errors import NotToBeClosed, UnknownAccount, UnknownInvoice
from sipshop.billing.invoice import Letterhead, Period, Statement
from sipshop.billing.ledger import TransferKind
from sipshop.billing.tax import Tax, TaxMode
from sipshop.store import AccountMoved, CallSettled
from sipshop.store.audit import audit, audit_file
from sipshop.store.connect import connect_reader, connect_writer
from sipshop.store.invoices import Closed, PeriodClosed, invoice_of, invoices_of, statement_of
from tests.store.examples import OWNER, TENANT, cdr, euros, filled
from tests.store.test_rerating import OPENED, TO_TWO, balances, books, died_after, each_by_itself, rerate

BERLIN: Final = "Europe/Berlin"
RHEA: Final = Letterhead(
    tenant=TENANT, party="rhea", name="Rhéa Télécom GmbH", address=("Hauptstr. 1", "10115 Berlin"), zone=BERLIN
)
ZOE: Final = Letterhead(tenant=TENANT, party="zoe", name="Zoë's Call Shop", tax_id="DE1")
VAT: Final = Tax(190_000, TaxMode.ADDED, "VAT")
DAY_MS: Final = 86_400_000


def ms(text: str) -> int:
    """An instant of UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


NOVEMBER, DECEMBER, JANUARY = (Period.month(month, BERLIN) for month in ("2023-11", "2023-12", "2024-01"))
IN_NOVEMBER: Final = ms("2023-11-20T12:00:00")
IN_DECEMBER: Final = ms("2023-12-05T12:00:00")
IN_JANUARY: Final = ms("2024-01-05T12:00:00")
LATER: Final = ms("2024-06-01T00:00:00")


def call(call_id: str, at_ms: int, talk_ms: int = 62_000) -> Cdr:
    """A call that ended at an instant; of 62 s the owner pays 0.132."""
    return replace(
        cdr(call_id, talk_ms=talk_ms),
        setup_at_ms=at_ms - talk_ms - 900,
        answered_at_ms=at_ms - talk_ms,
        ended_at_ms=at_ms,
    )


def pay(connection: sqlite3.Connection, key: str, at_ms: int, micros: int, kind: TransferKind) -> None:
    AccountMoved(
        tenant=TENANT,
        party="zoe",
        kind=kind,
        amount=euros(micros),
        author="root",
        reason=f"reason {key}",
        at_ms=at_ms,
        key=key,
        held_micros=0,
    ).apply(connection)


def drawn(connection: sqlite3.Connection, period: Period) -> Statement:
    return statement_of(connection, TENANT, buyer="zoe", seller="rhea", period=period)


def closing_of(
    connection: sqlite3.Connection, period: Period, *, at_ms: int = LATER, tax: Tax | None = VAT
) -> PeriodClosed:
    return PeriodClosed(
        tenant=TENANT,
        statement=drawn(connection, period),
        seller=RHEA,
        buyer=ZOE,
        tax=tax,
        held={},
        author="root",
        at_ms=at_ms,
    )


def close(connection: sqlite3.Connection, period: Period, *, at_ms: int = LATER, tax: Tax | None = VAT) -> Closed:
    return closing_of(connection, period, at_ms=at_ms, tax=tax).apply(connection)


def printed(closed: Closed) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(closed.invoice.document)
    return document


def a_month() -> sqlite3.Connection:
    """The owner paid 20.00 in beforehand, and in November two calls cost her 0.132 each; one of December is there."""
    connection = books(0)
    for made in (call("n1", IN_NOVEMBER), call("n2", IN_NOVEMBER + 1), call("d1", IN_DECEMBER)):
        CallSettled(made).apply(connection)
    pay(connection, "p1", IN_NOVEMBER, 3_000_000, TransferKind.PAYMENT)
    pay(connection, "a1", IN_NOVEMBER, -500_000, TransferKind.ADJUSTMENT)
    return connection


def test_a_statement_lists_what_moved_and_adds_up() -> None:
    with closing(a_month()) as connection:
        told = drawn(connection, NOVEMBER).to_json()
        assert told["calls"] == [
            {"destination": "Germany Berlin", "calls": 2, "seconds": 124, "billed_s": 132, "amount": "0.264"}
        ]
        assert told["account"] == {
            "opening": "0.00",
            "calls": "0.264",
            "corrections": "0.00",
            "tax": "0.00",
            "payments": "23.00",
            "adjustments": "-0.50",
            "closing": "22.236",
        }
        assert [(row["date"], row["kind"], row["amount"]) for row in told["payments"]] == [
            ("2023-11-14", "opening", "20.00"),
            ("2023-11-20", "payment", "3.00"),
        ]
        assert drawn(connection, DECEMBER).to_json()["account"]["opening"] == "22.236"


def test_an_invoice_is_a_statement_closed_with_its_tax_and_both_names() -> None:
    with closing(a_month()) as connection:
        closed = close(connection, NOVEMBER)
        document = printed(closed)
        assert closed.is_new
        assert (document["number"], document["kind"]) == ("2024-0001", "invoice")
        assert (document["date"], document["due_date"]) == ("2024-06-01", "2024-06-15")
        assert (document["net"], document["tax"]["amount"], document["gross"]) == ("0.264", "0.05", "0.314")
        assert document["account"]["closing"] == "22.186"
        assert document["seller"]["name"] == "Rhéa Télécom GmbH"
        assert balances(connection)[OWNER] == 20_000_000 + 3_000_000 - 500_000 - 3 * 132_000 - 50_000
        assert balances(connection)["tax:rhea"] == 50_000
        assert drawn(connection, DECEMBER).to_json()["account"]["opening"] == "22.186"
        assert audit(connection) == []


def test_closing_twice_does_nothing_twice() -> None:
    with closing(a_month()) as connection:
        first = close(connection, NOVEMBER)
        again = close(connection, NOVEMBER, at_ms=LATER + 1)
        assert (again.is_new, again.transfers, again.invoice) == (False, (), first.invoice)
        assert connection.execute("SELECT count(*) FROM invoices").fetchone()[0] == 1
        assert audit(connection) == []


def test_what_comes_late_is_in_the_open_period_and_says_so() -> None:
    with closing(a_month()) as connection:
        close(connection, NOVEMBER)
        closed_before = printed(close(connection, NOVEMBER))
        CallSettled(call("late", IN_NOVEMBER)).apply(connection)
        pay(connection, "p2", IN_NOVEMBER, 1_000_000, TransferKind.PAYMENT)
        rerate(
            connection, replace(TO_TWO, until_ms=IN_JANUARY)
        )  # twice the price: two calls of November, one of December
        told = drawn(connection, DECEMBER).to_json()
        assert told["corrections"] == [
            {"invoice": "2024-0001", "kind": "late", "calls": 1, "amount": "0.132"},
            {"invoice": "2024-0001", "kind": "rerated", "calls": 3, "amount": "0.396"},
        ]
        assert told["calls"][0] | {"amount": "0.264", "calls": 1} == told["calls"][0]
        assert [(row["amount"], row["closed_by"]) for row in told["payments"]] == [("1.00", "2024-0001")]
        assert printed(close(connection, NOVEMBER)) == closed_before
        assert close(connection, DECEMBER).invoice.name == "2024-0002"
        assert audit(connection) == []


def test_what_is_given_back_for_a_closed_period_is_a_credit_note() -> None:
    with closing(a_month()) as connection:
        rerate(connection, replace(TO_TWO, until_ms=IN_JANUARY))
        close(connection, NOVEMBER)
        close(connection, DECEMBER)
        rerate(connection, replace(TO_TWO, version=1, until_ms=IN_JANUARY), "back")
        document = printed(close(connection, JANUARY))
        assert (document["kind"], document["net"], document["tax"]["amount"]) == ("credit_note", "-0.396", "-0.08")
        assert audit(connection) == []


@pytest.mark.parametrize(
    ("period", "at_ms", "why"),
    [
        pytest.param(NOVEMBER, NOVEMBER.until_ms - 1, "ends at 2023-11-30T23:00:00.000Z", id="not over yet"),
        pytest.param(
            DECEMBER, LATER, "movements and before this period are in none that is closed", id="one before is open"
        ),
        pytest.param(
            Period.days("2023-11-01", "2023-11-10", BERLIN), LATER, "nothing moved between zoe and rhea", id="empty"
        ),
    ],
)
def test_what_cannot_be_closed_is_told_with_the_reason(period: Period, at_ms: int, why: str) -> None:
    with closing(a_month()) as connection, pytest.raises(NotToBeClosed, match=why):
        close(connection, period, at_ms=at_ms)


def test_periods_do_not_meet() -> None:
    with closing(a_month()) as connection:
        close(connection, NOVEMBER)
        with pytest.raises(NotToBeClosed, match="is closed, by invoice 2024-0001"):
            close(connection, Period.days("2023-11-15", "2023-12-15", BERLIN))


def test_a_statement_that_was_drawn_up_before_another_closing_is_drawn_up_again() -> None:
    with closing(a_month()) as connection:
        stale = closing_of(connection, Period.days("2023-11-01", "2023-12-02", BERLIN))
        close(connection, NOVEMBER)
        with pytest.raises(NotToBeClosed, match="closed meanwhile"):
            stale.apply(connection)


def test_numbers_are_given_by_seller_and_year_and_never_twice() -> None:
    with closing(a_month()) as connection:
        assert close(connection, NOVEMBER, at_ms=ms("2023-12-03T00:00:00")).invoice.name == "2023-0001"
        assert close(connection, DECEMBER).invoice.name == "2024-0001"
        CallSettled(call("j", IN_JANUARY)).apply(connection)
        taken = replace(closing_of(connection, JANUARY), seller=replace(RHEA, numbering="2024-####"))
        with pytest.raises(NotToBeClosed, match="rhea has an invoice 2024-0001 already"):
            taken.apply(connection)
        assert audit(connection) == []


def test_a_midnight_of_the_seller_parts_the_months() -> None:
    with closing(books(0)) as connection:
        edge_ms = ms("2023-11-30T23:00:00")  # midnight in Berlin
        for number, at_ms in enumerate((edge_ms - 1, edge_ms)):
            CallSettled(call(f"e{number}", at_ms)).apply(connection)
        assert [
            sum(line.calls for line in drawn(connection, month).calls.values()) for month in (NOVEMBER, DECEMBER)
        ] == [
            1,
            1,
        ]


def test_the_provider_buys_of_nobody_here_and_what_is_not_there_is_named() -> None:
    with closing(a_month()) as connection:
        with pytest.raises(UnknownAccount):
            statement_of(connection, TENANT, buyer=TENANT, seller="x", period=NOVEMBER)
        with pytest.raises(UnknownInvoice, match="zoe has no invoice '2024-0001'"):
            invoice_of(connection, TENANT, buyer="zoe", name="2024-0001")


def test_invoices_are_listed_newest_first_page_by_page() -> None:
    with closing(a_month()) as connection:
        close(connection, NOVEMBER)
        close(connection, DECEMBER)
        names = [one.name for one in invoices_of(connection, TENANT, buyers=["zoe"], limit=9, after=None)]
        assert names == ["2024-0002", "2024-0001"]
        after = invoices_of(connection, TENANT, buyers=["zoe"], limit=9, after=("zoe", "2024-0002"))
        assert [one.name for one in after] == ["2024-0001"]
        assert invoices_of(connection, TENANT, buyers=["rhea"], limit=9, after=None) == []


@pytest.mark.parametrize(
    ("statement", "law"),
    [
        ("UPDATE invoices SET net_micros = net_micros + 1", "I11"),
        ("UPDATE invoices SET tax_micros = 0, closing_micros = closing_micros + tax_micros", "I11"),
        ("UPDATE invoices SET document = replace(document, 'Berlin', 'Bonn')", "I11"),
        ("UPDATE invoices SET number = 2", "I12"),
    ],
)
def test_an_invoice_that_was_changed_is_seen(statement: str, law: str) -> None:
    with closing(a_month()) as connection:
        close(connection, NOVEMBER)
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
        (trigger,) = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'invoices_do_not_change'"
        ).fetchone()
        connection.execute("DROP TRIGGER invoices_do_not_change")
        connection.execute(statement)
        connection.execute(trigger)
        assert {breach.law for breach in audit(connection)} == {law}


MOMENTS: Final = st.integers(IN_NOVEMBER, IN_JANUARY)
EVENTS: Final = st.one_of(
    st.tuples(st.just("call"), MOMENTS, st.integers(1, 300_000)),
    st.tuples(st.just("payment"), MOMENTS, st.integers(1, 9_000_000)),
    st.tuples(st.just("adjustment"), MOMENTS, st.integers(-9_000_000, -1)),
    st.tuples(st.just("rerate"), MOMENTS, st.sampled_from([1, 2])),
    st.tuples(st.just("close"), MOMENTS, st.just(0)),
)


@settings(max_examples=30, deadline=None)
@given(events=st.lists(EVENTS, max_size=12), taxed=st.booleans())
def test_statements_add_up_to_the_ledger_for_any_history(events: list[tuple[str, int, int]], taxed: bool) -> None:
    """Months are closed in their order, and in between comes what may, dated whenever: all of it is somewhere, once."""
    months = iter((NOVEMBER, DECEMBER))
    with closing(books(0)) as connection:
        for number, (what, at_ms, size) in enumerate(events):
            match what:
                case "call":
                    CallSettled(call(f"h{number}", at_ms, size)).apply(connection)
                case "rerate":
                    rerate(connection, replace(TO_TWO, version=size, until_ms=at_ms), f"b{number}")
                case "close":
                    month = next(months, None)
                    if month is not None and not drawn(connection, month).is_empty:
                        close(connection, month, tax=VAT if taxed else None)
                case _:
                    pay(connection, f"m{number}", at_ms, size, TransferKind(what))
        assert audit(connection) == []
        told = [drawn(connection, month) for month in (NOVEMBER, DECEMBER, JANUARY)]
        for one, other in pairwise(told):
            assert one.closing_micros == other.opening_micros
        assert told[0].opening_micros == 0
        assert told[-1].closing_micros == balances(connection)[OWNER]
        for row in connection.execute("SELECT * FROM invoices").fetchall():
            month = NOVEMBER if row["until_ms"] == NOVEMBER.until_ms else DECEMBER
            now = drawn(connection, month).to_json()
            assert json.loads(row["document"])["account"] == now["account"]
            assert json.loads(row["document"])["calls"] == now["calls"]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_closing_that_dies_anywhere_leaves_neither_a_gap_nor_a_double(tmp_path: Path) -> None:
    original = tmp_path / "original"
    with filled(original):
        pass
    with closing(connect_writer(original)) as connection:
        each_by_itself(connection, OPENED, CallSettled(call("n1", IN_NOVEMBER)), CallSettled(call("d1", IN_DECEMBER)))

    def both(connection: sqlite3.Connection) -> None:
        for month in (NOVEMBER, DECEMBER):
            each_by_itself(connection, closing_of(connection, month))

    deaths = 0
    for statements in range(1000):
        path = tmp_path / f"after {statements}"
        shutil.copyfile(original, path)
        died = died_after(path, statements, both)
        deaths += died
        assert audit_file(path) == []
        with closing(connect_writer(path)) as connection:
            both(connection)
        assert audit_file(path) == []
        with closing(connect_reader(path)) as connection:
            assert [row[0] for row in connection.execute("SELECT name FROM invoices ORDER BY rowid")] == [
                "2024-0001",
                "2024-0002",
            ]
        if not died:
            break
    assert deaths > 20
