"""The BYEs that are owed, in their table."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from sipshop.store import MOST_STARTS, CallSettled, FarewellOwed, FarewellsFound, FarewellsOver, Owed, Store
from sipshop.store.farewells import ALL, owed
from tests.store.examples import cdr, connection_in_memory, filled, running

BYE: Final = {"call_id": "b1", "local_tag": "ours", "remote_tag": "their\udcff", "target": "sip:ü@[::1]"}
OTHER: Final = {**BYE, "remote_tag": "a fork's"}


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = connection_in_memory()
    yield connection
    connection.close()


def kept(connection: sqlite3.Connection) -> list[object]:
    return [owed(row).dialog for row in ALL.run(connection, {})]


def test_each_dialog_of_a_call_is_kept_once_and_as_it_was(connection: sqlite3.Connection) -> None:
    for dialog in (BYE, OTHER, BYE):
        FarewellOwed(Owed(dialog)).apply(connection)
    assert sorted(map(str, kept(connection))) == sorted(map(str, [BYE, OTHER]))


def test_what_is_over_goes_and_may_go_twice(connection: sqlite3.Connection) -> None:
    first, second = Owed(BYE), Owed(OTHER)
    CallSettled(cdr(session_id=None, talk_ms=0), (first, second)).apply(connection)
    for _ in range(2):
        FarewellsOver((first,)).apply(connection)
    assert kept(connection) == [OTHER]


def test_each_start_that_finds_one_is_counted_and_the_last_removes_it(connection: sqlite3.Connection) -> None:
    FarewellOwed(Owed(BYE)).apply(connection)
    for start in range(MOST_STARTS):
        assert [owed(row).starts for row in ALL.run(connection, {})] == [start]
        FarewellsFound().apply(connection)
    FarewellOwed(Owed(OTHER)).apply(connection)
    FarewellsFound().apply(connection)
    assert [(owed(row).dialog, owed(row).starts) for row in ALL.run(connection, {})] == [(OTHER, 1)]


def test_what_is_over_before_its_turn_is_not_written(connection: sqlite3.Connection) -> None:
    early = Owed(BYE)
    early.is_over = True
    CallSettled(cdr(session_id=None, talk_ms=0), (early,)).apply(connection)
    assert (kept(connection), early.is_written) == ([], False)


def test_what_is_over_while_it_is_being_written_is_removed_or_was_not_written(connection: sqlite3.Connection) -> None:
    """Whatever the writer's thread has done when the loop looks, no row stays that nobody would remove."""

    class Hasty(Owed):
        """Is over after so many looks of the writer at its flag."""

        def __init__(self, looks: int) -> None:
            super().__init__(BYE)
            self.looks = looks

        def __getattribute__(self, name: str) -> Any:
            if name == "is_over":
                self.looks -= 1
                return self.looks < 0
            return super().__getattribute__(name)

    for looks in range(3):
        hasty = Hasty(looks)
        hasty.write(connection)
        if hasty.is_written:
            FarewellsOver((hasty,)).apply(connection)
        assert kept(connection) == []


def test_a_start_finds_what_was_owed(tmp_path: Path) -> None:
    with filled(tmp_path / "db") as store:

        async def work(store: Store) -> None:
            await store.commit(FarewellOwed(Owed(BYE)))

        running(store, work)
    with filled(tmp_path / "db", process="run-2") as store:
        (found,) = store.farewells()
    assert (found.dialog, found.is_written, found.is_over) == (BYE, True, False)
