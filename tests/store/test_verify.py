"""Charges worked out once more: a book that holds is clean, and each that was tampered with is shown with its sums."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sipshop.store import CallSettled, Store, Unusable, audit_file
from sipshop.store.verify import Verified, verify_file
from tests.store.examples import NOON_MS, OTHER, TENANT, cdr, filled, running


def books(path: Path, *tampered: str) -> Path:
    async def work(store: Store) -> None:
        for call_id in ("c1", "c2"):
            await store.commit(CallSettled(cdr(call_id, session_id=1)))

    with filled(path) as store:
        running(store, work)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in tampered:
            assert connection.execute(statement).rowcount > 0
    return path


def test_charges_as_they_were_made_are_what_they_should_be(tmp_path: Path) -> None:
    assert verify_file(books(tmp_path / "db")) == Verified(charges=8, differences=(), more=0)


def test_a_difference_shows_the_arithmetic_that_stands_and_that_is_due(tmp_path: Path) -> None:
    path = books(tmp_path / "db", "UPDATE charges SET amount_micros = 30000 WHERE call_id = 'c1' AND level = 0")
    (found,) = verify_file(path).differences
    assert (found.call_id, found.level, found.stands, found.due) == ("c1", 0, "0.03", "0.29")
    assert found.due_lines == "62 s = 0.05 + (60 + 60) s at 0.12/min = 0.29"
    assert found.stands_lines == "62 s = 0.05 + (60 + 60) s at 0.12/min = 0.29 -> 0.03"
    assert "I7" in {violation.law for violation in audit_file(path)}


@pytest.mark.parametrize(
    "tampered",
    [
        "UPDATE charges SET tariff = '[]' WHERE call_id = 'c1' AND level = 2",
        "UPDATE charges SET lines = '[[1]]' WHERE call_id = 'c1' AND level = 2",
        "UPDATE charges SET billed_s = 7 WHERE call_id = 'c1' AND level = 2",
        "UPDATE charges SET currency = 'USD' WHERE call_id = 'c1' AND level = 2",
    ],
)
def test_whatever_is_tampered_with_is_shown(tmp_path: Path, tampered: str) -> None:
    (found,) = verify_file(books(tmp_path / "db", tampered)).differences
    assert (found.call_id, found.level) == ("c1", 2)


def test_a_time_and_a_party_leave_out_the_others(tmp_path: Path) -> None:
    path = books(tmp_path / "db")
    assert verify_file(path, TENANT, since_ms=NOON_MS + 1).charges == 0
    assert verify_file(path, TENANT, until_ms=NOON_MS).charges == 0
    assert verify_file(path, TENANT, since_ms=NOON_MS, until_ms=NOON_MS + 1).charges == 8
    assert verify_file(path, party="zoe").charges == 4
    assert verify_file(path, OTHER).charges == 0


def test_what_is_no_database_of_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unusable):
        verify_file(tmp_path / "none")


def test_processes_share_an_audit_and_find_the_same(tmp_path: Path) -> None:
    path = books(tmp_path / "db", "UPDATE charges SET amount_micros = 30000 WHERE call_id = 'c1' AND level = 0")
    alone = audit_file(path)
    assert {violation.law for violation in alone} >= {"I3", "I7"}
    assert audit_file(path, others=2) == alone
