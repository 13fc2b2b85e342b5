"""The outbox: numbered by the database itself, and kept whole whatever goes."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from sipshop.store import BatchTaken, CallSettled, RecordParked, Store, TargetBegun, audit_file
from sipshop.store.outbox import Standing, oldest_undelivered_ms, read_records, read_standing
from sipshop.store.retention import Retention, retain_once
from tests.store.examples import NOON_MS, OTHER, TENANT, cdr, filled, running, world_in_memory

DAY_MS: Final = 86_400_000
TARGET: Final = "books"


def numbers(connection: sqlite3.Connection) -> list[tuple[int, str, int, int]]:
    rows = connection.execute("SELECT number, call_id, revision, gone FROM outbox ORDER BY number").fetchall()
    return [tuple(row) for row in rows]


def test_a_number_is_never_given_twice() -> None:
    """The rowid of the CDR would be, once the last one was removed."""
    with closing(world_in_memory()) as connection:
        for call_id in ("c1", "c2", "c2"):
            CallSettled(cdr(call_id, session_id=None, talk_ms=0)).apply(connection)
        connection.execute("DELETE FROM cdrs WHERE call_id = 'c2'")
        CallSettled(cdr("c3", session_id=None, talk_ms=0)).apply(connection)
        assert numbers(connection) == [(1, "c1", 0, 0), (2, "c2", 0, 1), (3, "c3", 0, 0)]


def test_whoever_writes_a_revision_has_it_numbered() -> None:
    with closing(world_in_memory()) as connection:
        CallSettled(cdr("c1", session_id=None, talk_ms=0)).apply(connection)
        columns = [row["name"] for row in connection.execute("PRAGMA table_info(cdrs)")]
        values = ", ".join("revision + 1" if column == "revision" else column for column in columns)
        connection.execute(f"INSERT INTO cdrs SELECT {values} FROM cdrs")
        assert numbers(connection) == [(1, "c1", 0, 0), (2, "c1", 1, 0)]


def test_a_target_moves_on_once_from_where_it_stands() -> None:
    with closing(world_in_memory()) as connection:
        for call_id in ("c1", "c2", "c3"):
            CallSettled(cdr(call_id, session_id=None, talk_ms=0)).apply(connection)
        TargetBegun(tenant=TENANT, target=TARGET, from_beginning=True).apply(connection)
        assert BatchTaken(tenant=TENANT, target=TARGET, first=1, last=2).apply(connection) is True
        assert BatchTaken(tenant=TENANT, target=TARGET, first=1, last=2).apply(connection) is False
        assert RecordParked(tenant=TENANT, target=TARGET, number=2, why="no", at_ms=NOON_MS).apply(connection) is False
        TargetBegun(tenant=TENANT, target=TARGET, from_beginning=False).apply(connection)
        (row,) = connection.execute("SELECT first, taken, delivered, skipped FROM export_targets").fetchall()
        assert tuple(row) == (0, 2, 2, 0)


async def _settled(store: Store, *call_ids: str) -> None:
    for call_id in call_ids:
        await store.commit(CallSettled(cdr(call_id, session_id=None, talk_ms=0)))


def test_what_is_read_is_of_one_provider_in_order_and_says_what_is_gone(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        await _settled(store, "c1", "c2", "c3")
        await store.commit(TargetBegun(tenant=TENANT, target=TARGET, from_beginning=True))

    with filled(tmp_path / "db") as store:
        running(store, work)
    with closing(sqlite3.connect(tmp_path / "db")) as connection:
        connection.execute("DELETE FROM cdrs WHERE call_id = 'c2'")
        connection.commit()
    found = read_records(tmp_path / "db", TENANT, 1, 9)
    assert [(one.number, one.record and one.record["call_id"]) for one in found] == [(1, "c1"), (2, None), (3, "c3")]
    assert read_records(tmp_path / "db", OTHER, 1, 9) == []
    assert read_standing(tmp_path / "db", OTHER, "books") is None
    seen = read_standing(tmp_path / "db", TENANT, "books")
    assert seen == Standing(first=0, taken=0, delivered=0, skipped=0, last=3, oldest_at_ms=NOON_MS + 900)


@pytest.mark.parametrize(
    ("taken", "after_days", "left"),
    [
        pytest.param(2, 11, 0, id="what was delivered goes in time"),
        pytest.param(0, 11, 2, id="what was not stays"),
        pytest.param(0, 45, 0, id="but not for ever"),
    ],
)
def test_the_retention_keeps_what_was_not_delivered(tmp_path: Path, taken: int, after_days: int, left: int) -> None:
    kept = Retention(numbers_days=10, unanswered_days=10, hold_days=30)

    async def work(store: Store) -> int:
        await _settled(store, "c1", "c2")
        await store.commit(TargetBegun(tenant=TENANT, target=TARGET, from_beginning=True))
        if taken:
            await store.commit(BatchTaken(tenant=TENANT, target=TARGET, first=1, last=taken))
        await retain_once(store, TENANT, kept, NOON_MS + after_days * DAY_MS, targets=["books"], pause_s=0)
        await asyncio.sleep(0)
        return len([one for one in await store.cdrs(TENANT, limit=9) if "*" not in one["dialled"]])

    with filled(tmp_path / "db") as store:
        assert running(store, work) == left
    assert audit_file(tmp_path / "db") == []
    oldest_ms = oldest_undelivered_ms(tmp_path / "db", TENANT, "books")
    assert oldest_ms == (NOON_MS if left else None)
