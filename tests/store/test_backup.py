"""Copies of a database that hold together whatever is written meanwhile, and putting one in its place."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from sipshop.store import (
    AlreadyRunning,
    CallSettled,
    InTheWay,
    NewerSchema,
    SessionOpened,
    Store,
    StoreError,
    Unusable,
    Unwritable,
    audit_file,
)
from sipshop.store.backup import backup, restore
from tests.store.examples import BOOTH, NOON_MS, TENANT, cdr, filled, opened, running
from tests.store.test_migrations import made_by

OPENED = SessionOpened(tenant=TENANT, booth=BOOTH, author="ana", at_ms=NOON_MS)


def cdrs(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM cdrs").fetchone()[0])


def with_calls(path: Path, *calls: str) -> Path:
    async def work(store: Store) -> None:
        for call in calls:
            store.submit(CallSettled(cdr(call)))
        await store.commit(OPENED)

    with filled(path) as store:
        running(store, work)
    return path


def test_what_is_written_between_two_steps_is_not_in_the_copy_and_does_not_begin_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipshop.store.backup._PAGES_A_STEP", 1)
    path, told = with_calls(tmp_path / "db", "a"), []

    def note(done: int, whole: int) -> None:
        told.append((done, whole))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DELETE FROM cdrs")
            connection.commit()

    backup(path, tmp_path / "copy", note)
    pages = told[0][1]
    assert told == [(page, pages) for page in range(1, pages + 1)]
    assert (cdrs(path), cdrs(tmp_path / "copy")) == (0, 1)


@pytest.mark.parametrize("step", [4096, 1], ids=["one step", "a step a page"])
def test_a_backup_while_it_is_written_to_is_of_one_instant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Every commit is a call with its charges and transfers: a copy with half of one would not pass the audit."""
    monkeypatch.setattr("sipshop.store.backup._PAGES_A_STEP", step)
    path, counts = tmp_path / "db", []

    async def work(store: Store) -> None:
        done = threading.Event()

        def copy_again_and_again() -> None:
            for number in range(5):
                backup(path, tmp_path / f"copy{number}")
            done.set()

        copying = threading.Thread(target=copy_again_and_again)
        copying.start()
        number = 0
        while not done.is_set() or number < 100:
            store.submit(CallSettled(cdr(f"c{number}")))
            await store.commit(OPENED)
            number += 1
        copying.join()
        counts.append(number)

    with filled(path) as store:
        running(store, work)
    copies = [tmp_path / f"copy{number}" for number in range(5)]
    assert [audit_file(copy) for copy in copies] == [[]] * 5
    found = [cdrs(copy) for copy in copies]
    assert found == sorted(found)
    assert cdrs(path) == counts[0] >= found[-1]


def test_a_backup_is_one_file_for_its_owner_alone(tmp_path: Path) -> None:
    with filled(tmp_path / "data" / "db"):
        backup(tmp_path / "data" / "db", tmp_path / "safe" / "copy")
    assert [path.name for path in (tmp_path / "safe").iterdir()] == ["copy"]
    assert (tmp_path / "safe" / "copy").stat().st_mode & 0o777 == 0o600


def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    with_calls(tmp_path / "db")
    (tmp_path / "copy").write_text("last week's")
    with pytest.raises(InTheWay, match="copy is there already: name a new file"):
        backup(tmp_path / "db", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "last week's"


def test_a_backup_that_fails_leaves_nothing(tmp_path: Path) -> None:
    path = with_calls(tmp_path / "db", *(f"c{number}" for number in range(300)))
    pages = bytearray(path.read_bytes())
    pages[4096:8192] = b"\xff" * 4096
    broken = tmp_path / "broken"
    broken.write_bytes(pages)
    with pytest.raises(Unusable, match="broken"):
        backup(broken, tmp_path / "safe" / "copy")
    assert not (tmp_path / "safe" / "copy").exists()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param(None, "unable to open", id="none there"),
        pytest.param(b"", "there is nothing in it", id="an empty file"),
        pytest.param(b"Dear madam, " * 1000, "not a database", id="a letter"),
    ],
)
@pytest.mark.parametrize("do", [backup, partial(restore, replace=False)], ids=["backup", "restore"])
def test_what_is_no_database_of_ours_is_not_copied(
    tmp_path: Path, do: Callable[[Path, Path], object], content: bytes | None, text: str
) -> None:
    if content is not None:
        (tmp_path / "db").write_bytes(content)
    with pytest.raises(Unusable, match=text):
        do(tmp_path / "db", tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_a_backup_is_restored_where_there_was_none(tmp_path: Path) -> None:
    with filled(with_calls(tmp_path / "db", "c1", "c2")) as store:
        backup(tmp_path / "db", tmp_path / "copy")
        secret, worlds = store.secret, store.worlds()
    assert restore(tmp_path / "copy", tmp_path / "elsewhere" / "db", replace=False) is None
    with filled(tmp_path / "elsewhere" / "db") as store:
        assert (store.secret, store.worlds()) == (secret, worlds)
    assert audit_file(tmp_path / "elsewhere" / "db") == []
    assert cdrs(tmp_path / "elsewhere" / "db") == 2


def test_what_is_replaced_is_kept(tmp_path: Path) -> None:
    path = with_calls(tmp_path / "db", "c1")
    backup(path, tmp_path / "copy")
    with_calls(path, "c1", "c2", "c3")
    with pytest.raises(InTheWay, match="--replace moves it aside"):
        restore(tmp_path / "copy", path, replace=False)
    assert cdrs(path) == 3
    assert restore(tmp_path / "copy", path, replace=True) == tmp_path / "db.replaced-1"
    assert (cdrs(path), cdrs(tmp_path / "db.replaced-1")) == (1, 3)
    assert restore(tmp_path / "copy", path, replace=True) == tmp_path / "db.replaced-2"
    assert cdrs(tmp_path / "db.replaced-2") == 1


def test_what_a_crash_left_in_the_log_is_kept_with_what_is_replaced(tmp_path: Path) -> None:
    backup(with_calls(tmp_path / "db", "c1"), tmp_path / "copy")
    crashed = tmp_path / "crashed"
    crashed.mkdir()

    async def work(store: Store) -> None:
        store.submit(CallSettled(cdr("c2")))
        await store.commit(OPENED)
        for name in ("db", "db-wal"):  # as a dead machine's disk has them
            (crashed / name).write_bytes((tmp_path / name).read_bytes())

    with filled(tmp_path / "db") as store:
        running(store, work)
    aside = restore(tmp_path / "copy", crashed / "db", replace=True)
    assert aside is not None
    assert (cdrs(crashed / "db"), cdrs(aside)) == (1, 2)


def test_a_log_that_is_left_of_nothing_is_not_mixed_with_the_backup(tmp_path: Path) -> None:
    backup(with_calls(tmp_path / "db", "c1"), tmp_path / "copy")
    (tmp_path / "new-wal").write_bytes(b"of another database")
    with pytest.raises(InTheWay, match="new-wal is left of a database that is gone"):
        restore(tmp_path / "copy", tmp_path / "new", replace=True)
    assert not (tmp_path / "new").exists()


def test_nothing_is_restored_under_a_running_server(tmp_path: Path) -> None:
    backup(with_calls(tmp_path / "db", "c1"), tmp_path / "copy")
    with filled(tmp_path / "db"), pytest.raises(AlreadyRunning, match="stop that one first"):
        restore(tmp_path / "copy", tmp_path / "db", replace=True)


def test_a_backup_of_an_older_sipshop_is_upgraded_at_the_next_start(tmp_path: Path) -> None:
    restore(made_by(2, tmp_path / "old"), tmp_path / "db", replace=False)
    opened(tmp_path / "db", process="run-2").close()
    assert audit_file(tmp_path / "db") == []


def _of_the_future(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET value = CAST('99' AS BLOB) WHERE key = 'schema_version'")


def _torn(path: Path) -> None:
    pages = bytearray(path.read_bytes())
    pages[-4096 * 8 :] = b"\xff" * 4096 * 8
    path.write_bytes(pages)


@pytest.mark.parametrize(
    ("spoil", "error"),
    [pytest.param(_of_the_future, NewerSchema, id="newer"), pytest.param(_torn, Unusable, id="damaged")],
)
def test_a_backup_that_could_not_be_used_replaces_nothing(
    tmp_path: Path, spoil: Callable[[Path], None], error: type[StoreError]
) -> None:
    path = with_calls(tmp_path / "db", *(f"c{number}" for number in range(50)))
    backup(path, tmp_path / "copy")
    spoil(tmp_path / "copy")
    with pytest.raises(error):
        restore(tmp_path / "copy", path, replace=True)
    assert cdrs(path) == 50


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    path = with_calls(tmp_path / "db")
    (tmp_path / "file").touch()
    with pytest.raises(Unwritable, match=r"the folder .*file cannot be made"):
        backup(path, tmp_path / "file" / "copy")


def test_a_session_that_was_open_is_open_after_the_restore(tmp_path: Path) -> None:
    path = with_calls(tmp_path / "db")
    backup(path, tmp_path / "copy")
    with filled(path) as store:
        running(store, lambda store: store.commit(replace(OPENED, booth="gate")))
    restore(tmp_path / "copy", path, replace=True)
    with filled(path) as store:
        assert [session.booth for session in store.open_sessions()] == [BOOTH]
