"""The sieve of the audit: it spares the laws what is plainly right, and hides nothing that they would have found."""

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.billing.cdr import CallKind, Cdr, Charge, Direction
from sipshop.billing.fx import Conversion
from sipshop.billing.money import Rounding
from sipshop.billing.rating import cost
from sipshop.billing.tax import Tax, TaxMode
from sipshop.store import CallSettled, Write, audit
from sipshop.store.prices import Prices
from sipshop.store.sieve import Part, Sifted, parts_of, sift
from sipshop.store.worlds import load_world
from tests.store.examples import NOON_MS, OTHER, TENANT, cdr, euros, paid, world
from tests.store.test_rerating import OPENED, books, rerate

DOLLARS: Final = Conversion(
    source="USD", currency="EUR", rate_nanos=900_000_000, divides=False, day="2026-11-20", rounding=Rounding(places=6)
)
EVERYTHING: Final = (-(2**63), 2**63 - 1)


def _anew(charge: Charge, talk_ms: int = 62_000, **terms: object) -> Charge:
    tariff = replace(charge.tariff, **terms)  # type: ignore[arg-type] # fields of a tariff, by their names
    return replace(charge, tariff=tariff, cost=cost(tariff, 0, talk_ms))


def _converted(told: Cdr) -> Cdr:
    """The carrier is paid in dollars, which the provider converts."""
    return replace(told, charges=(*told.charges[:-1], _anew(told.charges[-1], currency="USD", books=DOLLARS)))


def _taxed(told: Cdr) -> Cdr:
    tax = Tax(200_000, TaxMode.INCLUDED, "VAT")
    return replace(told, charges=(_anew(told.charges[0], tax=tax), *told.charges[1:]))


def _of_other(told: Cdr) -> Cdr:
    """The same call in the other tenant."""
    names = {TENANT: OTHER}
    charges = (
        replace(each, seller=names.get(each.seller, each.seller), buyer=names.get(each.buyer, each.buyer))
        for each in told.charges
    )
    return replace(told, tenant=OTHER, charges=tuple(charges))


def mixed() -> sqlite3.Connection:
    """Calls of every sort in two tenants, as they come: plain, rerated, taxed, converted, and such as cost none."""
    connection = books(3)
    connection.execute("BEGIN")
    load_world(connection, world(OTHER), at_ms=NOON_MS)
    connection.execute("COMMIT")
    assert rerate(connection) == 3
    other = replace(OPENED, tenant=OTHER)
    emergency = replace(cdr("sos"), kind=CallKind.EMERGENCY, charges=(), session_id=None)
    inbound = replace(cdr("in"), direction=Direction.INBOUND, charges=(), trunk=None)
    writes: tuple[Write[object], ...] = (
        other,
        CallSettled(_of_other(cdr("c1"))),
        CallSettled(cdr("p1")),
        CallSettled(cdr("cancelled", talk_ms=0)),
        CallSettled(_of_other(cdr("p1", talk_ms=5_000))),
        CallSettled(_of_other(cdr("p2"))),
        CallSettled(_taxed(cdr("taxed"))),
        CallSettled(_converted(cdr("dollars"))),
        CallSettled(emergency),
        CallSettled(inbound),
        CallSettled(cdr("p2", talk_ms=61_000)),
        paid(3, euros(10**6), tenant=OTHER),
        CallSettled(cdr("p3", talk_ms=1)),
    )
    for write in writes:
        write.apply(connection)
    return connection


def found_by(connection: sqlite3.Connection, parts: int = 1) -> set[audit.Violation]:
    return set(audit.audit(connection, parts=parts))


def in_full(connection: sqlite3.Connection) -> set[audit.Violation]:
    """What the laws find where every call is in doubt and every transfer has to show what it is for."""
    doubted = connection.execute("SELECT tenant, call_id FROM cdrs UNION SELECT tenant, call_id FROM charges")
    strays = connection.execute("SELECT tenant, key, kind FROM transfers").fetchall()
    sifted = Sifted({tuple(row) for row in doubted}, {tuple(row) for row in strays})
    sifted.doubted.update((row["tenant"], row["key"].split(":")[0]) for row in strays)
    for row in connection.execute("SELECT tenant, debit, credit, currency, amount_micros FROM transfers"):
        for name, micros in ((row["debit"], -row["amount_micros"]), (row["credit"], row["amount_micros"])):
            account = row["tenant"], name, row["currency"]
            sifted.sums[account] = sifted.sums.get(account, 0) + micros
    with audit.one_commit(connection):
        return set(audit.judged(connection, sifted, audit.broken(connection, audit.LONG)))


def sifted_whole(connection: sqlite3.Connection) -> Sifted:
    return sift(connection, Prices(), Part(EVERYTHING, EVERYTHING, EVERYTHING))


def test_what_is_plain_falls_through_and_the_rest_stays() -> None:
    with closing(mixed()) as connection:
        sifted = sifted_whole(connection)
        assert {call_id for _, call_id in sifted.doubted} == {"c1", "c2", "c3", "dollars"}
        assert (OTHER, "c1") not in sifted.doubted
        assert {kind for _, _, kind in sifted.strays} == {"rerating", "charge", "fx"}
        assert found_by(connection) == set()
        assert in_full(connection) == set()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16, 40])
def test_parts_share_no_row_and_leave_none_out(count: int) -> None:
    with closing(mixed()) as connection:
        parts = parts_of(connection, count)
        assert len(parts) == count
        for table in ("cdrs", "charges", "transfers"):
            bounds = [getattr(part, table) for part in parts]
            assert [first for first, _ in bounds[1:]] == [last for _, last in bounds[:-1]]
            assert bounds[0][0] < 1
            assert bounds[-1][1] == connection.execute(f"SELECT max(rowid) FROM {table}").fetchone()[0]
        whole, together = sifted_whole(connection), Sifted()
        for part in parts:
            together.add(sift(connection, Prices(), part))
        assert (together.doubted, together.sums) == (whole.doubted, whole.sums)
        assert audit.audit(connection, parts=count) == []


def test_an_empty_database_has_parts_too() -> None:
    with closing(books(0)) as connection:
        assert audit.audit(connection, parts=3) == []


# A charge, a record or a transfer that stands elsewhere than it was written is found all the same.

ELSEWHERE: Final[list[Callable[[str], str]]] = [
    lambda table: f"UPDATE {table} SET rowid = -rowid",
    lambda table: f"UPDATE {table} SET rowid = rowid + 1000 WHERE rowid % 3 = 0",
]


@pytest.mark.parametrize("moved", ELSEWHERE)
@pytest.mark.parametrize("table", ["cdrs", "charges", "transfers"])
def test_the_order_of_rows_breaks_no_law(table: str, moved: Callable[[str], str]) -> None:
    with closing(mixed()) as connection:
        connection.execute("DROP TRIGGER transfers_do_not_change")
        connection.execute(moved(table))
        for parts in (1, 4):
            assert {violation.law for violation in found_by(connection, parts)} == {"I8"}


# Whatever is changed, removed or put in another's place, the audit finds what the laws find when asked of everything.

COLUMNS: Final = {
    "cdrs": "tenant call_id revision kind direction booth session_id answered_at_ms setup_at_ms talk_ms leg_b_call_id",
    "charges": "tenant call_id revision level seller buyer currency amount_micros duration_s billed_s tariff lines",
    "transfers": "tenant key kind debit credit currency amount_micros",
}
PLACES: Final = [f"{table} {column}" for table, columns in COLUMNS.items() for column in columns.split()]
FOREIGN: Final = ["-7", "''", "'x'", "0", "1", "7"]


@given(
    st.lists(
        st.tuples(st.sampled_from(PLACES), st.integers(0, 99), st.integers(0, 99) | st.sampled_from(FOREIGN)),
        min_size=1,
        max_size=3,
    ),
    st.lists(st.tuples(st.sampled_from(list(COLUMNS)), st.integers(0, 99)), max_size=1),
    st.integers(1, 6),
)
def test_nothing_wrong_passes(
    changed: list[tuple[str, int, int | str]], removed: list[tuple[str, int]], parts: int
) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        _MIXED.backup(connection)
        connection.row_factory = sqlite3.Row
        for place, number, value in changed:
            table, column = place.split()
            wanted = value if isinstance(value, str) else f"(SELECT {column} FROM {_row(connection, table, value)})"
            of = _row(connection, table, number)
            with suppress(sqlite3.IntegrityError):  # text in a column of numbers
                connection.execute(
                    f"UPDATE OR IGNORE {table} SET {column} = {wanted} WHERE rowid IN (SELECT rowid FROM {of})"
                )
        for table, number in removed:
            of = _row(connection, table, number)
            connection.execute(f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {of})")
        assert found_by(connection, parts) == in_full(connection)


def _row(connection: sqlite3.Connection, table: str, number: int) -> str:
    """One of the rows of a table, as SQL selects from it."""
    nth = number % connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return f"{table} ORDER BY rowid LIMIT 1 OFFSET {nth}"


def _unguarded() -> sqlite3.Connection:
    connection = mixed()
    for trigger in ("transfers_do_not_change", "transfers_do_not_go"):
        connection.execute(f"DROP TRIGGER {trigger}")
    return connection


_MIXED: Final = _unguarded()
