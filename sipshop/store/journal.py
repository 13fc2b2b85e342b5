"""The one writer: a thread that makes groups of writes durable, and tells the event loop when they are.

While a commit runs, writes queue up; the next commit takes all of them, so under load the disk is asked no more often
than it can answer. A commit has a price, though: most of a call's CPU in this room is the kernel's, in fdatasync. So
only a write that somebody waits for (an answer, a desk command) is committed at once; the others wait for the next such
one to take them along, for a fifth of a second at most. Order is kept: nothing overtakes.

A write that is refused (a stale bill) leaves its neighbours alone: the group is undone, then done again with a
savepoint around each write. A commit that fails fails its whole group, and nobody is told "written" about anything that
is not on the disk.

After a failure the connection is replaced before the next group, so that a disk that came back is used again. **The
new one is opened before the old one is closed**: a failed commit may have left its frames in the log, and only the
log's shared index, which lives as long as one connection is open, knows that they do not count. A cold open would
replay them. (So may the next start, if we die before the next good commit writes over them: every write is therefore
one that may be found done although it was reported as failed.)

Nor does anything overtake a failure: what was submitted before the event loop heard of it fails with it. Otherwise a
heartbeat could be on the disk while the end of a call before it is not, and a crash would then bill that call too long.
So every group carries the epoch that it was submitted in, and each failure that the loop hears of begins a new one.

Checkpoints are run here, between groups, once the group before has been reported and when nobody waits.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final, Protocol, TypeVar

from sipshop.billing.errors import BillingError
from sipshop.store.errors import StoreClosed, StoreError, Unwritable

logger = logging.getLogger(__name__)

# A call's four writes leave thirty pages of 4 KiB in the log if each is committed alone, eight in groups of twenty. So
# every 1000 writes it holds 10 to 30 MB and is folded back at the next pause; a load without any pause has groups, and
# is interrupted for it at four times that, before a small disk fills.
CHECKPOINT_WRITES: Final = 1_000
CHECKPOINT_WRITES_AT_LAST: Final = 4_000

# The result code of SQLite for a statement that is wrong in itself; every other one of its errors is the disk's.
_SQLITE_ERROR: Final = 1

PATIENCE_S: Final = 0.2

Result_co = TypeVar("Result_co", covariant=True)

Done = Callable[[object], None]
"""Told on the event loop: the write's result, or the exception that it was refused with."""


class Write(Protocol[Result_co]):
    """Something to be made durable; `waited_for` says that somebody stands still until it is."""

    @property
    def waited_for(self) -> bool:
        """Whether it is committed at once. Otherwise it may wait for company, `PATIENCE_S` at most."""
        ...

    def apply(self, connection: sqlite3.Connection) -> Result_co:
        """Do it, inside a transaction that the caller began and will commit.

        Raises:
            StoreError, BillingError: it is refused; what it did so far is undone.
        """
        ...


_Group = list[tuple[Write[object], Done | None]]


@dataclass(frozen=True, slots=True)
class _Batch:
    """Writes that were submitted in one epoch, and so stand or fall with its failures."""

    group: _Group
    epoch: int


@dataclass(frozen=True, slots=True)
class _Report:
    """What came of a group: an outcome for each write, in order; `failure` says why none of them is on the disk.

    `epoch` is the latest one in it.
    """

    group: _Group
    epoch: int
    outcomes: list[object]
    seconds: float
    failure: str | None


class Journal:
    """Takes writes on the event loop, commits them on its own thread, and answers on the event loop.

    `connect` opens a connection for writing that has read once (`connect.connect_writer`). `on_commit(seconds, writes)`
    is told of each commit, `on_health(writable, why)` of each change from or to writable; both on the event loop, like
    every `done`. `clock` measures the commits, in seconds.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        *,
        on_commit: Callable[[float, int], None],
        on_health: Callable[[bool, str], None],
        writable: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._connect = connect
        self._on_commit = on_commit
        self._on_health = on_health
        self._clock = clock
        self._queue: SimpleQueue[_Batch | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        # Touched on the loop alone, where writes come from and reports go to.
        self._patient: _Group = []
        self._patience: asyncio.TimerHandle | None = None
        self._epoch = 0
        self._submitted = 0
        self._reported = 0
        self._writable = writable
        # Touched by the writer thread alone.
        self._connection: sqlite3.Connection | None = None
        self._suspect = True
        self._failed_epoch = -1
        self._failure = ""
        self._since_checkpoint = 0

    @property
    def pending(self) -> int:
        """Writes that were submitted and not yet reported."""
        return self._submitted - self._reported

    @property
    def writable(self) -> bool:
        """Whether the last commit succeeded."""
        return self._writable

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread; `loop` is where everything is reported."""
        assert self._thread is None, "a journal is started once"
        self._loop = loop
        self._thread = threading.Thread(target=self._run, name="sipshop-journal", daemon=True)
        self._thread.start()

    def submit(self, write: Write[object], done: Done | None = None) -> None:
        """Queue a write. `done` is called later, from the event loop, never from here.

        A write that comes after `close` is refused with `StoreClosed`.
        """
        assert self._loop is not None, "a journal is started before it is written to"
        if self._closed:
            if done is not None:
                self._loop.call_soon(done, StoreClosed("the store is closed"))
            return
        self._submitted += 1
        self._patient.append((write, done))
        if write.waited_for:
            self.flush()
        elif len(self._patient) == 1:
            self._patience = self._loop.call_later(PATIENCE_S, self.flush)

    def flush(self) -> None:
        """Have what waits for company committed now."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self._patient:
            self._queue.put(_Batch(self._patient, self._epoch))
            self._patient = []

    def close(self) -> None:
        """Write what is queued, then stop; blocks until it is on the disk. The last reports are left with the loop."""
        if self._thread is None or self._closed:
            return
        self._closed = True
        self.flush()
        self._queue.put(None)
        self._thread.join()

    # The writer thread.

    def _run(self) -> None:
        running = True
        while running:
            batches, running = self._next_batches()
            failed = [batch for batch in batches if batch.epoch <= self._failed_epoch]
            if failed:
                self._send(self._unwritten(failed, seconds=0.0))
            if len(failed) < len(batches):
                self._send(self._written(batches[len(failed) :]))
            if self._since_checkpoint >= (CHECKPOINT_WRITES if self._queue.empty() else CHECKPOINT_WRITES_AT_LAST):
                self._checkpoint()
        if self._connection is not None:
            self._connection.close()

    def _next_batches(self) -> tuple[list[_Batch], bool]:
        """Wait for a write and take all that are queued with it; False with the last ones."""
        batches: list[_Batch] = []
        item = self._queue.get()
        try:
            while item is not None:
                batches.append(item)
                item = self._queue.get_nowait()
        except Empty:
            return batches, True
        return batches, False

    def _written(self, batches: list[_Batch]) -> _Report:
        """Commit what one turn found, or nothing of it."""
        group = [entry for batch in batches for entry in batch.group]
        began = self._clock()
        try:
            connection = self._trusted_connection()
            connection.execute("BEGIN IMMEDIATE")
            outcomes = _outcomes(connection, group)
            connection.execute("COMMIT")
        except Exception as error:  # whatever it is, nothing was committed, and the thread goes on
            self._distrust()
            self._failed_epoch, self._failure = batches[-1].epoch, str(error)
            return self._unwritten(batches, seconds=self._clock() - began)
        self._since_checkpoint += len(group)
        return _Report(group, batches[-1].epoch, outcomes, self._clock() - began, None)

    def _unwritten(self, batches: list[_Batch], *, seconds: float) -> _Report:
        """What came of writes that failed, or were submitted before the loop heard of the last failure."""
        group = [entry for batch in batches for entry in batch.group]
        outcomes: list[object] = [Unwritable(f"not written: {self._failure}") for _ in group]
        return _Report(group, batches[-1].epoch, outcomes, seconds, self._failure)

    def _trusted_connection(self) -> sqlite3.Connection:
        """The connection, a new one if the last group failed."""
        if self._connection is None or self._suspect:
            fresh = self._connect()
            if self._connection is not None:
                self._connection.close()
            self._connection = fresh
            self._suspect = False
        return self._connection

    def _distrust(self) -> None:
        """Undo the open transaction, if SQLite has not done so, and have the connection replaced before the next."""
        self._suspect = True
        if self._connection is not None and self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                logger.warning("a failed commit could not be rolled back: %s", error)

    def _checkpoint(self) -> None:
        """Copy the log into the database, as far as readers allow; never waits for them."""
        assert self._connection is not None, "something was written"
        self._since_checkpoint = 0
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            # Nothing is lost: the log keeps all of it until a later one succeeds.
            logger.warning("the log could not be copied into the database: %s", error)

    def _send(self, report: _Report) -> None:
        assert self._loop is not None, "start() sets it before the thread runs"
        try:
            self._loop.call_soon_threadsafe(self._report, report)
        except RuntimeError:  # the loop is closed: what is on the disk is, and nobody is left to be told
            logger.info("%d writes ended after the event loop did", len(report.group))

    # The event loop.

    def _report(self, report: _Report) -> None:
        """Tell of a group: the measurements first, so that a `done` sees whether the store is writable.

        A write that a `done` submits belongs to the next epoch already: it has heard.
        """
        self._reported += len(report.group)
        if report.failure is None:
            self._on_commit(report.seconds, len(report.group))
        elif report.epoch == self._epoch:
            self.flush()  # what still waits for company was submitted before the failure was heard of
            self._epoch += 1
        if self._writable != (report.failure is None):
            self._writable = report.failure is None
            self._on_health(self._writable, report.failure or "written again")
        for (write, done), outcome in zip(report.group, report.outcomes, strict=True):
            self._tell(write, done, outcome)

    def _tell(self, write: Write[object], done: Done | None, outcome: object) -> None:
        if isinstance(outcome, Exception) and not isinstance(outcome, (StoreError, BillingError)):
            logger.error("a bug refused %r", type(write).__name__, exc_info=outcome)
        if done is None:
            return
        try:
            done(outcome)
        except Exception as error:  # one listener's bug is not the next one's
            assert self._loop is not None
            self._loop.call_exception_handler(
                {"message": f"a done of {type(write).__name__} failed", "exception": error}
            )


def _outcomes(connection: sqlite3.Connection, group: _Group) -> list[object]:
    """Apply the writes of a group: first as if none were refused, which is nearly always so and half the statements."""
    try:
        return [write.apply(connection) for write, _ in group]
    except Exception as error:
        if isinstance(error, sqlite3.Error) and not _is_statements_fault(error):
            raise
    connection.execute("ROLLBACK")
    connection.execute("BEGIN IMMEDIATE")
    return [_outcome(connection, write) for write, _ in group]


def _outcome(connection: sqlite3.Connection, write: Write[object]) -> object:
    """Apply one write of a group: its result, or the exception that refused it alone.

    Raises:
        sqlite3.Error: the disk's fault, and so the whole group's.
    """
    connection.execute("SAVEPOINT one")
    try:
        result = write.apply(connection)
    except Exception as error:
        if isinstance(error, sqlite3.Error) and not _is_statements_fault(error):
            raise
        connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")
        return error
    connection.execute("RELEASE one")
    return result


def _is_statements_fault(error: sqlite3.Error) -> bool:
    """Tell a statement that could never succeed from a disk that does not let it."""
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", _SQLITE_ERROR) == _SQLITE_ERROR
    return isinstance(
        error, (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.InterfaceError)
    )
