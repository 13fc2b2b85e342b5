"""Copies of a database that hold together, and putting one in its place.

A copy is made by SQLite's own backup: all pages as they were at one commit, whoever writes meanwhile, and as one file
without a log beside it. It holds everything that the database holds, with the hashes of all passwords and tokens.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from sipshop.store.connect import InstanceLock, Tell, connect_reader, connect_writer, secret_of, tell_nobody
from sipshop.store.errors import InTheWay, OlderSchema, Unusable, Unwritable

logger = logging.getLogger(__name__)

_BESIDE: Final = ("-wal", "-shm", "-journal")
_ONLY_OURS: Final = 0o600
_PAGES_A_STEP: Final = 4096  # 16 MB


def backup(database: Path, target: Path, tell: Tell = tell_nobody) -> None:
    """Copy a database to a new file, whether a server runs on it or not; the file is there when the copy is whole.

    `tell` hears how many pages are copied, and of how many.

    Raises:
        InTheWay: there is such a file.
        Unusable: the database is not there, damaged, or none of ours.
        NewerSchema, OlderSchema: another sipshop made it, and this one would not know what it copies.
        Unwritable: the copy cannot be written.
    """
    if target.exists():
        raise InTheWay(f"{target} is there already: name a new file for the backup")
    check(database)
    copy(database, target, tell)


def restore(source: Path, database: Path, *, replace: bool, tell: Tell = tell_nobody) -> Path | None:
    """Put a backup in the place of a database, and return where the one that was there is kept; None if none was.

    A backup of an older sipshop is upgraded when a server starts on it. Without `replace` a database is left alone.
    `tell` hears how many pages are copied, and of how many.

    Raises:
        InTheWay: there is a database, or files of one that the backup would be mixed up with.
        AlreadyRunning: a server runs on it.
        Unusable: the backup is not there, damaged, or no database of ours.
        NewerSchema, OlderSchema: another sipshop made it, whose databases are not read or brought forward.
        Unwritable: the folder cannot be written; then the database is as it was.
    """
    check(source, whole=True)
    _make_folder(database.parent)
    lock = InstanceLock.taken(database.absolute())
    try:
        if not replace and database.exists():
            raise InTheWay(f"{database} is there already: --replace moves it aside")
        fresh = database.with_name(f"{database.name}.restored")
        with suppress(FileNotFoundError):
            fresh.unlink()
        copy(source, fresh, tell)
        try:
            aside = _moved_aside(database)
            fresh.rename(database)
        except OSError as error:
            raise Unwritable(f"{database} cannot be replaced: {error.strerror}") from error
        _sync(database.parent)
    finally:
        lock.release()
    return aside


def copy(database: Path, target: Path, tell: Tell = tell_nobody) -> None:
    """Copy a database to a file, and have it on the disk; a file of that name is replaced when the copy is whole.

    Raises:
        Unusable: the database cannot be read.
        Unwritable: the copy cannot be written; then nothing is left of it.
    """
    part = target.with_name(f"{target.name}.part")
    _make_folder(target.parent)
    try:
        _make_empty(part)
        try:
            _copy_pages(database, part, tell)
            _sync(part)
            part.rename(target)
        finally:
            _remove(part)
        _sync(target.parent)
    except OSError as error:
        raise Unwritable(f"{target} cannot be written: {error.strerror}") from error


def _copy_pages(database: Path, part: Path, tell: Tell) -> None:
    try:
        source = connect_reader(database)
    except sqlite3.Error as error:
        raise Unusable(database, str(error)) from error
    with closing(source), closing(sqlite3.connect(part, isolation_level=None)) as copied:
        try:
            # What this transaction sees is one commit, and stays it over all steps, whoever writes meanwhile.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            source.backup(copied, pages=_PAGES_A_STEP, progress=lambda _status, left, whole: tell(whole - left, whole))
            # The header still says that a log belongs to it: a backup is one file.
            copied.execute("PRAGMA journal_mode=DELETE").fetchone()
            _check_pages(copied, database)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # a full disk, most of all
                raise Unwritable(f"{part} cannot be written: {error}") from error
            raise Unusable(database, str(error)) from error


def check(database: Path, *, whole: bool = False) -> None:
    """Refuse what is no database of ours, or of an older sipshop; look at every page of it if it is to be `whole`.

    Raises:
        Unusable: it is not there, damaged, or none of ours.
        NewerSchema, OlderSchema: another sipshop made it, whose databases are not read or brought forward.
    """
    try:
        with closing(connect_reader(database)) as connection:
            try:
                secret = secret_of(connection, database)
            except OlderSchema as error:
                if not error.can_upgrade:
                    raise
            else:
                if secret is None:
                    raise Unusable(database, "there is nothing in it")
            if whole:
                _check_pages(connection, database)
    except sqlite3.Error as error:
        raise Unusable(database, str(error)) from error


def _check_pages(connection: sqlite3.Connection, database: Path) -> None:
    """Raise Unusable where what is read as `database` does not hang together: a copy of it would be of no use."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise Unusable(database, f"it is damaged: {found}")


def _moved_aside(database: Path) -> Path | None:
    """Keep a database under another name, with its log; None if there is none.

    A log that stays behind would be replayed into whatever file takes the name, so it may not be there alone.
    """
    if not database.exists():
        for beside in _beside(database):
            if beside.exists():
                raise InTheWay(f"{beside} is left of a database that is gone: move it away first")
        return None
    with suppress(sqlite3.Error), closing(connect_writer(database)) as connection:
        # Its log goes into it; one that is damaged keeps it, under its new name.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    number = 1
    while (aside := database.with_name(f"{database.name}.replaced-{number}")).exists():
        number += 1
    for before, after in zip(_beside(database), _beside(aside), strict=True):
        if before.exists():
            before.rename(after)
    database.rename(aside)
    return aside


def _beside(database: Path) -> list[Path]:
    return [database.with_name(database.name + end) for end in _BESIDE]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unwritable(f"the folder {folder} cannot be made: {error.strerror}") from error


def _make_empty(path: Path) -> None:
    """An empty file that its owner alone can read."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _ONLY_OURS))
    path.chmod(_ONLY_OURS)


def _remove(part: Path) -> None:
    for path in (part, *_beside(part)):
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have a file's content, or a folder's names, on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
