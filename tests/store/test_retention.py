"""What goes in time and what stays: no number for ever, and every cent."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from sipshop.store import CallSettled, SessionOpened, Store, audit_file
from sipshop.store.retention import AT_ONCE, NumbersMasked, Retention, retain_once
from tests.store.examples import BOOTH, NOON_MS, TENANT, cdr, filled, running, world_in_memory

DAY_MS: Final = 86_400_000
OPENED: Final = SessionOpened(tenant=TENANT, booth=BOOTH, author="ana", at_ms=NOON_MS)


def settled(path: Path, *calls: tuple[str, int, int]) -> None:
    """A database with calls: name, age in days at NOON, and how long they talked."""

    async def work(store: Store) -> None:
        await store.commit(OPENED)
        for name, days, talk_ms in calls:
            made = cdr(name, talk_ms=talk_ms)
            answered_at_ms = made.answered_at_ms and made.answered_at_ms - days * DAY_MS
            store.submit(CallSettled(replace(made, setup_at_ms=NOON_MS - days * DAY_MS, answered_at_ms=answered_at_ms)))

    with filled(path) as store:
        running(store, work)


def retained(path: Path, kept: Retention) -> int:
    with filled(path) as store:
        return running(store, lambda store: retain_once(store, TENANT, kept, NOON_MS, pause_s=0))


def numbers(path: Path) -> dict[str, tuple[str, str | None]]:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT call_id, dialled, e164 FROM cdrs ORDER BY call_id").fetchall()
    return {name: (dialled, e164) for name, dialled, e164 in found}


PLAIN: Final = ("0301234567", "49301234567")
HIDDEN: Final = ("030123****", "4930123****")


def test_numbers_are_masked_in_time_and_unanswered_calls_go(tmp_path: Path) -> None:
    path = tmp_path / "db"
    settled(
        path,
        ("a new call", 179, 62_000),
        ("an old call", 181, 62_000),
        ("a very old call", 4_000, 62_000),
        ("nobody answered", 181, 0),
        ("nobody answered long ago", 366, 0),
    )
    assert retained(path, Retention()) == 4 + 1  # the last one was masked too before it went
    assert numbers(path) == {
        "a new call": PLAIN,
        "an old call": HIDDEN,
        "a very old call": HIDDEN,
        "nobody answered": HIDDEN,
    }
    assert audit_file(path) == []
    assert retained(path, Retention()) == 0


def test_for_ever_is_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "db"
    settled(path, ("c1", 9_000, 62_000), ("c2", 9_000, 0))
    assert retained(path, Retention(numbers_days=None, unanswered_days=None)) == 0
    assert numbers(path) == {"c1": PLAIN, "c2": PLAIN}


def test_the_desks_notes_go_only_where_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "db"
    settled(path)
    for kept, left in ((Retention(), 1), (Retention(desk_log_days=1), 1)):
        retained(path, kept)
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT count(*) FROM desk_log").fetchone() == (left,)

    async def two_days_later(store: Store) -> int:
        return await retain_once(store, TENANT, Retention(desk_log_days=1), NOON_MS + 2 * DAY_MS, pause_s=0)

    with filled(path) as store:
        assert running(store, two_days_later) == 1


def test_many_are_done_in_small_writes_even_of_one_millisecond(tmp_path: Path) -> None:
    path, many = tmp_path / "db", 2 * AT_ONCE + 1
    settled(path, *((f"c{number}", 200, 0) for number in range(many)))
    assert retained(path, Retention()) == many
    assert set(numbers(path).values()) == {HIDDEN}


def test_more_digits_are_hidden_later_and_none_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "db"
    settled(path, ("c1", 200, 62_000))
    retained(path, Retention(hidden_digits=6))
    assert numbers(path) == {"c1": ("0301******", "49301******")}
    assert retained(path, Retention(hidden_digits=3)) == 0
    retained(path, Retention(hidden_digits=7))
    assert numbers(path) == {"c1": ("030*******", "4930*******")}


@pytest.mark.parametrize(
    ("dialled", "e164", "masked"),
    [
        pytest.param("112", None, ("***", None), id="shorter than the mask"),
        pytest.param("", None, ("", None), id="nothing"),
        pytest.param("+49 (30) 123-45 67", None, ("+49 (30) 123-** **", None), id="what stands between"),
        pytest.param("*21*0301234567#", None, ("*21*0301234****", None), id="a service code"),
        pytest.param("0049' OR 1=1 --", None, ("0049' O* *** --", None), id="what would be SQL"),
        pytest.param("gr\u00fc\u00dfe\U0001f4de", None, ("gr****", None), id="what is no number at all"),
    ],
)
def test_a_mask_hides_the_last_characters(dialled: str, e164: str | None, masked: tuple[str, str | None]) -> None:
    with closing(world_in_memory()) as connection:
        CallSettled(replace(cdr(talk_ms=0), dialled=dialled, e164=e164)).apply(connection)
        NumbersMasked(TENANT, NOON_MS + 1, 4).apply(connection)
        assert tuple(connection.execute("SELECT dialled, e164 FROM cdrs").fetchone()) == masked


def test_each_tenant_keeps_its_own(tmp_path: Path) -> None:
    with closing(world_in_memory()) as connection:
        for tenant in ("acme", "umbrella"):
            CallSettled(replace(cdr(talk_ms=0), tenant=tenant)).apply(connection)
        assert NumbersMasked("umbrella", NOON_MS + 1, 4).apply(connection) == 1
        found = connection.execute("SELECT tenant, dialled FROM cdrs ORDER BY tenant").fetchall()
        assert [tuple(row) for row in found] == [("acme", PLAIN[0]), ("umbrella", HIDDEN[0])]
