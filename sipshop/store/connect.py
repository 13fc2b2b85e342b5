"""The ways into the database file: a connection that writes, one that only reads, and the lock that keeps us alone.

SQLite runs in WAL mode with `synchronous=FULL`: a COMMIT that returned is on the disk, by one fdatasync of the log. The
pages are copied from the log into the database by checkpoints; those are the journal's business (see `journal`), so
`wal_autocheckpoint` is off on the connections that write: SQLite would run one inside some caller's COMMIT, with two or
three more syncs in it, and that caller is a booth waiting for its 200.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sipshop.store import queries
from sipshop.store.errors import AlreadyRunning, NewerSchema, OlderSchema, Unusable
from sipshop.store.schema import OLDEST_SCHEMA, SCHEMA_VERSION

BUSY_TIMEOUT_S: Final = 5.0

#: Hears how much of something that lasts is done, and of how much.
Tell = Callable[[int, int], None]


def tell_nobody(_done: int, _whole: int) -> None:
    """Nobody watches."""


def _connect(path: Path, query: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(path.absolute()))}?{query}"
    # Each connection has one user at a time, who is not always the thread that opened it.
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    return connection


def _looked_at(connection: sqlite3.Connection) -> sqlite3.Connection:
    """The connection, after a first read, which is what really opens the file; closed if that fails."""
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def connect_writer(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """A connection that may write, on a file that is there unless `create` is set.

    It has read once, so it holds the log's index. A file that cannot be written opens all the same: SQLite falls back
    to reading, and the first write tells.

    Raises:
        sqlite3.Error: the file cannot be opened or is no database.
    """
    if create:
        with suppress(OSError):  # SQLite says what is wrong
            path.touch(0o600)  # hashes of passwords are in it; its log and its index get the same mode
    connection = _connect(path, "mode=rwc" if create else "mode=rw")
    try:
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA foreign_keys=ON")
    except BaseException:
        connection.close()
        raise
    return _looked_at(connection)


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, on whatever can be read.

    A database in WAL mode wants its index file beside it even to read; on a read-only filesystem, after a clean end,
    there is none and none can be made. Then the file alone is read, as immutable: its log was emptied at that end.

    Raises:
        sqlite3.Error: the file cannot be opened or is no database.
    """
    try:
        return _looked_at(_connect(path, "mode=ro"))
    except sqlite3.OperationalError:
        return _looked_at(_connect(path, "mode=ro&immutable=1"))


def secret_of(connection: sqlite3.Connection, path: Path) -> bytes | None:
    """Return the secret of a database of ours; None if its making was cut off, so that nothing is in it.

    Raises:
        NewerSchema, OlderSchema: another sipshop made it.
        Unusable: another program did.
    """
    tables = {row["name"] for row in connection.execute("SELECT name FROM sqlite_master")}
    if not tables:
        return None
    if "meta" not in tables:
        raise Unusable(path, "it holds the tables of another program")
    noted = {key: queries.META.run(connection, {"key": key}).fetchone() for key in ("schema_version", "secret")}
    if None in noted.values():
        raise Unusable(path, "its notes about itself are missing")
    version = int(noted["schema_version"]["value"])
    if version > SCHEMA_VERSION:
        raise NewerSchema(path, version, SCHEMA_VERSION)
    if version < SCHEMA_VERSION:
        raise OlderSchema(path, version, SCHEMA_VERSION, oldest=OLDEST_SCHEMA)
    return bytes(noted["secret"]["value"])


class InstanceLock:
    """The lock file beside a database: whoever holds its flock is the only process that uses the database.

    The kernel gives the lock back when the holder dies, however it dies; the file stays, because removing it would let
    two processes lock two files of one name. It holds the pid of its last owner, for the message.
    """

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    @classmethod
    def taken(cls, database: Path) -> InstanceLock:
        """Take the lock of a database, or none where no lock file can be made or opened (a read-only filesystem).

        Raises:
            AlreadyRunning: another process holds it.
        """
        path = database.with_name(database.name + ".lock")
        descriptor = _opened(path)
        if descriptor is None:
            return cls(None)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).strip()
            os.close(descriptor)
            raise AlreadyRunning(database, int(holder) if holder.isdigit() else None) from None
        except OSError:  # a filesystem without locks
            os.close(descriptor)
            return cls(None)
        _sign(descriptor)
        return cls(descriptor)

    def release(self) -> None:
        """Let the next process in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _opened(path: Path) -> int | None:
    """The lock file's descriptor, for reading if it cannot be written: that is enough to lock it."""
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
        try:
            return os.open(path, flags | os.O_CLOEXEC, 0o644)
        except OSError:
            continue
    return None


def _sign(descriptor: int) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError:  # a full or read-only disk: the lock holds without a name in it
        return
