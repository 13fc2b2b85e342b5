"""The journal: what shares a commit, what a refusal and a broken disk do to the others, and what is told when."""

import asyncio
import logging
import resource
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import pytest

from sipshop.store import (
    CallAnswered,
    CallRelayed,
    CallSettled,
    CallStarted,
    SessionOpened,
    Store,
    StoreClosed,
    UnknownBooth,
    Unwritable,
)
from sipshop.store.connect import connect_reader, connect_writer
from sipshop.store.journal import CHECKPOINT_WRITES
from tests.store.examples import BOOTH, NOON_MS, TENANT, Told, cdr, filled, live_call, running

OPENED = SessionOpened(tenant=TENANT, booth=BOOTH, author="ana", at_ms=NOON_MS)
NO_BOOTH = replace(OPENED, booth="b9")


def started(call_id: str) -> CallStarted:
    return CallStarted(TENANT, call_id, live_call(call_id))


def answered(call_id: str) -> CallAnswered:
    return CallAnswered(TENANT, call_id, live_call(call_id, state="answered"))


def count(path: Path, table: str) -> int:
    with closing(connect_reader(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


@dataclass
class Disk:
    """Opens connections for a store, and can have SQLite refuse every write on them."""

    connections: list[sqlite3.Connection] = field(default_factory=list)
    is_broken: bool = False

    def connect(self, path: Path) -> sqlite3.Connection:
        connection = connect_writer(path)
        self.connections.append(connection)
        self._obey(connection)
        return connection

    def fail(self) -> None:
        self.is_broken = True
        self._obey(self.connections[-1])

    def heal(self) -> None:
        """From the next connection on."""
        self.is_broken = False

    def _obey(self, connection: sqlite3.Connection) -> None:
        if self.is_broken:
            connection.execute("PRAGMA query_only=ON")


@contextmanager
def no_room_to_write() -> Iterator[None]:
    """Have the kernel refuse to write to any file beyond its first byte: EFBIG, a real error of a real write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# What shares a commit.


def test_what_nobody_waits_for_goes_with_what_somebody_does(tmp_path: Path) -> None:
    told = Told()
    with filled(tmp_path / "db", told) as store:

        async def work(store: Store) -> None:
            store.submit(started("c1"))
            store.submit(started("c2"))
            store.submit(CallRelayed(TENANT, "c0", NOON_MS, 1))
            assert store.pending == 3
            await store.commit(answered("c1"))
            assert store.pending == 0

        running(store, work)
    assert told.commits == [4]


def test_what_nobody_waits_for_is_not_forgotten(tmp_path: Path) -> None:
    told = Told()
    with filled(tmp_path / "db", told) as store:

        async def work(store: Store) -> None:
            written = asyncio.get_running_loop().create_future()
            store.submit(started("c1"))
            store.submit(started("c2"), written.set_result)
            assert await written is None

        running(store, work)
    assert told.commits == [2]


def test_closing_writes_what_is_queued_and_tells(tmp_path: Path) -> None:
    outcomes: list[object] = []
    with filled(tmp_path / "db") as store:

        async def work(store: Store) -> None:
            store.submit(started("c1"), outcomes.append)
            store.close()
            store.submit(started("c2"), outcomes.append)
            assert outcomes == []
            await asyncio.sleep(0)

        running(store, work)
    assert outcomes[0] is None
    assert isinstance(outcomes[1], StoreClosed)
    assert count(tmp_path / "db", "calls") == 1


def test_a_closed_event_loop_loses_nothing(tmp_path: Path) -> None:
    with filled(tmp_path / "db") as store:
        loop = asyncio.new_event_loop()
        store.start(loop)
        store.submit(started("c1"))
        loop.close()
        store.close()
    assert count(tmp_path / "db", "calls") == 1


# Refusals.


def test_a_refusal_is_its_own_alone_and_order_is_kept(tmp_path: Path) -> None:
    outcomes: list[object] = []
    with filled(tmp_path / "db") as store:

        async def work(store: Store) -> None:
            for write in (started("c1"), CallSettled(cdr("c0", session_id=7))):
                store.submit(write, outcomes.append)
            with pytest.raises(UnknownBooth, match="b9"):
                await store.commit(NO_BOOTH)
            assert (await store.commit(OPENED)).id == 1

        running(store, work)
    assert outcomes == [None, None]
    assert [count(tmp_path / "db", table) for table in ("calls", "cdrs", "booth_sessions")] == [1, 1, 1]


@dataclass(frozen=True)
class HalfDone:
    """A write with a bug: it fails when half of it is done."""

    waited_for: ClassVar[bool] = True
    error: Callable[[sqlite3.Connection], object]

    def apply(self, connection: sqlite3.Connection) -> None:
        started("half").apply(connection)
        self.error(connection)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(lambda _: [].pop(), IndexError, id="in Python"),
        pytest.param(lambda connection: connection.execute("no sql"), sqlite3.OperationalError, id="in the SQL"),
        pytest.param(
            lambda connection: connection.execute("INSERT INTO meta VALUES ('secret', x'00')"),
            sqlite3.IntegrityError,
            id="against a key",
        ),
    ],
)
def test_a_bug_in_one_write_is_not_the_others(
    tmp_path: Path,
    error: Callable[[sqlite3.Connection], object],
    expected: type[Exception],
    caplog: pytest.LogCaptureFixture,
) -> None:
    outcomes: list[object] = []
    with filled(tmp_path / "db") as store:

        async def work(store: Store) -> None:
            store.submit(started("c1"), outcomes.append)
            with pytest.raises(expected):
                await store.commit(HalfDone(error))
            assert store.writable

        running(store, work)
    assert outcomes == [None]
    assert count(tmp_path / "db", "calls") == 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_listener_that_raises_is_not_the_next_ones_loss(tmp_path: Path) -> None:
    complaints: list[str] = []
    with filled(tmp_path / "db") as store:

        async def work(store: Store) -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
            written = loop.create_future()
            store.submit(started("c1"), lambda _: [].pop())
            store.submit(answered("c1"), written.set_result)
            await written

        running(store, work)
    assert complaints == ["a done of CallStarted failed"]


# A broken disk.


def test_every_write_of_a_failed_commit_is_told_and_later_ones_succeed(tmp_path: Path) -> None:
    told, disk, outcomes = Told(), Disk(), list[object]()
    with filled(tmp_path / "db", told, connect=disk.connect) as store:

        async def work(store: Store) -> None:
            await store.commit(answered("c1"))
            disk.fail()
            for _ in range(2):
                store.submit(started("c2"), outcomes.append)
                with pytest.raises(Unwritable, match="readonly"):
                    await store.commit(answered("c3"))
                assert not store.writable
            disk.heal()
            await store.commit(answered("c3"))
            assert store.writable

        running(store, work)
    assert [type(outcome) for outcome in outcomes] == [Unwritable, Unwritable]
    assert told.health == [False, True]
    assert told.commits == [1, 1]
    assert count(tmp_path / "db", "calls") == 2


def test_a_write_that_the_kernel_refuses_is_not_there_after_a_restart(tmp_path: Path) -> None:
    with filled(tmp_path / "db") as store:

        async def work(store: Store) -> None:
            await store.commit(answered("c1"))
            with no_room_to_write(), pytest.raises(Unwritable):
                await store.commit(answered("c2"))
            await store.commit(answered("c3"))

        running(store, work)
    with filled(tmp_path / "db") as store:
        assert [call.call_id for call, _ in store.dead_calls("run-2")] == ["c1", "c3"]


def test_a_database_that_opened_read_only_is_written_when_it_can_be(tmp_path: Path) -> None:
    with filled(tmp_path / "db"):
        pass
    told, disk = Told(), Disk(is_broken=True)
    with filled(tmp_path / "db", told, connect=disk.connect) as store:
        assert not store.writable
        assert [world.tenant for world in store.worlds()] == [TENANT]

        async def work(store: Store) -> None:
            with pytest.raises(Unwritable):
                await store.commit(OPENED)
            disk.heal()
            await store.commit(OPENED)

        running(store, work)
    assert told.health == [True]


def test_the_log_is_folded_into_the_database(tmp_path: Path) -> None:
    log = tmp_path / "db-wal"
    sizes: list[int] = []
    with filled(tmp_path / "db") as store:

        async def work(store: Store) -> None:
            for turn in range(12):
                for number in range(CHECKPOINT_WRITES):
                    store.submit(started(f"c{turn}.{number}"))
                await store.commit(answered(f"c{turn}"))
                sizes.append(log.stat().st_size)

        running(store, work)
    # folded after 4,000 writes at the latest, and over the loop's head whenever the writer has a moment
    assert sizes[-1] < 8 * sizes[0]
    assert not log.exists()


# Nothing overtakes a failure.


@dataclass(frozen=True)
class Fails:
    """A write whose disk fails once it has begun: the connection is spoilt, and the next one is good again."""

    waited_for: ClassVar[bool] = True
    has_begun: threading.Event = field(default_factory=threading.Event)

    def apply(self, connection: sqlite3.Connection) -> None:
        self.has_begun.set()
        connection.execute("PRAGMA query_only=ON")
        started("failed").apply(connection)


def test_what_was_submitted_before_a_failure_was_heard_of_fails_with_it(tmp_path: Path) -> None:
    """Else a heartbeat would be on the disk, and the end of a call before it would not."""
    told, outcomes = Told(), list[object]()
    with filled(tmp_path / "db", told) as store:

        async def work(store: Store) -> None:
            failing = Fails()
            store.submit(failing, outcomes.append)
            assert failing.has_begun.wait(10)  # its group is closed: the next write is in another one
            store.submit(answered("queued"), outcomes.append)
            store.submit(started("waits for company"), outcomes.append)
            await store.commit(answered("in the same turn"))

        with pytest.raises(Unwritable):
            running(store, work)
    assert [type(outcome) for outcome in outcomes] == [Unwritable] * 3
    assert len({str(outcome) for outcome in outcomes}) == 1
    assert count(tmp_path / "db", "calls") == 0
    assert told.health == [False]


def test_what_is_submitted_after_a_failure_was_heard_of_is_written(tmp_path: Path) -> None:
    told, outcomes = Told(), list[object]()
    with filled(tmp_path / "db", told) as store:

        async def work(store: Store) -> None:
            loop = asyncio.get_running_loop()
            written = loop.create_future()
            failing = Fails()

            def heard(outcome: object) -> None:
                outcomes.append(outcome)
                store.submit(started("again"), outcomes.append)
                store.submit(answered("new"), written.set_result)

            store.submit(failing, heard)
            assert failing.has_begun.wait(10)
            store.submit(answered("queued"), outcomes.append)
            assert await written is None
            assert store.writable
            with pytest.raises(Unwritable):
                await store.commit(Fails())
            await store.commit(answered("queued"))

        running(store, work)
    assert [type(outcome) for outcome in outcomes] == [Unwritable, Unwritable, type(None)]
    assert count(tmp_path / "db", "calls") == 3
    assert told.health == [False, True, False, True]


def test_closing_after_a_failure_that_nobody_heard_of_writes_nothing_more(tmp_path: Path) -> None:
    outcomes: list[object] = []
    with filled(tmp_path / "db") as store:

        async def work(store: Store) -> None:
            failing = Fails()
            store.submit(failing, outcomes.append)
            assert failing.has_begun.wait(10)
            store.submit(started("queued"), outcomes.append)
            store.close()
            await asyncio.sleep(0)

        running(store, work)
    assert [type(outcome) for outcome in outcomes] == [Unwritable, Unwritable]
    assert count(tmp_path / "db", "calls") == 0


# What the desk reads.


def test_the_bill_has_the_call_that_has_just_ended(tmp_path: Path) -> None:
    with filled(tmp_path / "db") as store:

        async def work(store: Store) -> None:
            await store.commit(OPENED)
            store.submit(CallSettled(cdr()))
            bill = await store.bill(TENANT, BOOTH)
            assert bill is not None
            assert [(line.call_id, line.explanation) for line in bill.lines] == [
                ("c1", "62 s = 0.05 + (60 + 60) s at 0.12/min = 0.29")
            ]

        running(store, work)


def test_reading_does_not_need_a_disk_that_writes(tmp_path: Path) -> None:
    disk = Disk()
    with filled(tmp_path / "db", connect=disk.connect) as store:

        async def work(store: Store) -> None:
            await store.commit(OPENED)
            disk.fail()
            store.submit(CallSettled(cdr()))
            bill = await store.bill(TENANT, BOOTH)
            assert bill is not None
            assert bill.lines == ()

        running(store, work)


def test_who_stops_waiting_for_a_write_leaves_it_written(tmp_path: Path) -> None:
    with filled(tmp_path / "db") as store:

        async def work(store: Store) -> None:
            waiting = asyncio.ensure_future(store.commit(OPENED))
            asyncio.get_running_loop().call_soon(waiting.cancel)
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await store.session(TENANT, BOOTH) is not None

        running(store, work)
