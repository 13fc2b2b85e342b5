"""A database of an older sipshop, brought forward with all that is in it; or left as it was."""

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from sipshop.billing.ledger import customer, session_account
from sipshop.store import CallSettled, NewerSchema, OlderSchema, Store, Unusable, Unwritable, audit_file
from sipshop.store.migrations import upgrade
from sipshop.store.schema import SCHEMA_VERSION
from tests.store.examples import BOOTH, NOON_MS, TENANT, cdr, opened, running

DATABASES: Final = Path(__file__).parent / "databases"
OLD: Final = sorted(int(path.stem.removeprefix("schema")) for path in DATABASES.glob("schema*.sql"))


def made_by(version: int, path: Path) -> Path:
    """A database as the sipshop of that schema left it: a shop at work, with a call that its end cut short."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATABASES / f"schema{version}.sql").read_text(encoding="utf-8"))
        connection.execute("PRAGMA journal_mode=WAL")
    return path


def tables(path: Path) -> dict[str, str]:
    """What the tables, indexes and triggers of a database are, whoever wrote their text."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: re.sub(r'[\s"]+', "", sql) for name, sql in found}


def content(path: Path) -> dict[str, list[dict[str, object]]]:
    """Every row of every table but of those that tell of the schema, by column."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        told = {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in names}
    return {
        name: sorted(rows, key=repr) for name, rows in told.items() if name not in {"meta", "alembic_version"} and rows
    }


#: What columns that came later say of rows that were there before.
LATER: Final[dict[tuple[str, str], Callable[[dict[str, object]], object] | object]] = {
    ("rates", "extras"): "{}",
    ("booths", "disabled"): 0,
    ("trunks", "disabled"): 0,
    ("tokens", "party"): TENANT,
    ("tokens", "shop"): None,
    ("tokens", "expires_at_ms"): None,
    ("tokens", "revoked_at_ms"): None,
    ("tokens", "operator"): None,
    ("shops", "caller_id"): "",
    ("booths", "caller_id"): "",
    ("trunks", "terms"): "{}",
    ("shops", "inbound"): "never",
    ("shops", "inbound_numbers"): "[]",
    ("shops", "transfer"): 0,
    ("booths", "inbound_numbers"): "[]",
    ("calls", "direction"): "outbound",
    ("farewells", "starts"): 0,
    ("parties", "suspender"): lambda row: TENANT if row["suspended"] else None,
}
#: The first that notes itself what shops have called; the step to it takes that from what the records tell.
SCHEMA_OF_CALLED: Final = 8
#: The first that notes itself what moves at tills; the step to it takes that from the transfers.
SCHEMA_OF_TILLS: Final = 9
#: Columns that are no more.
GONE: Final = {("parties", "suspended")}


def with_columns_of_now(content: dict[str, list[dict[str, object]]], old: int) -> dict[str, list[dict[str, object]]]:
    def now(table: str, row: dict[str, object]) -> dict[str, object]:
        later = {column: told for (of, column), told in LATER.items() if of == table and column not in row}
        added = {column: told(row) if callable(told) else told for column, told in later.items()}
        return {column: told for column, told in (row | added).items() if (table, column) not in GONE}

    told = {table: sorted((now(table, row) for row in rows), key=repr) for table, rows in content.items()}
    if old < SCHEMA_OF_CALLED:
        told |= {"called": list(called(told["cdrs"]))}
    return told if old >= SCHEMA_OF_TILLS else told | {"till_moves": list(moved_at_tills(told["transfers"]))}


def moved_at_tills(transfers: list[dict[str, Any]]) -> Iterator[dict[str, object]]:
    """What customers have handed over, as the transfers tell: outside all shifts."""
    paid = [row for row in transfers if "till:" in row["debit"] + row["credit"]]
    for number, row in enumerate(sorted(paid, key=lambda row: row["at_ms"]), 1):
        is_in = row["debit"].startswith("till:")
        yield {
            "tenant": row["tenant"],
            "shop": (row["debit"] if is_in else row["credit"]).removeprefix("till:"),
            "number": number,
            "method": "cash",
            "shift": None,
            "kind": row["kind"] if is_in else "refund",
            "amount_micros": row["amount_micros"] if is_in else -row["amount_micros"],
            **{name: row[name] for name in ("key", "currency", "author", "reason", "at_ms")},
        }


def called(cdrs: list[dict[str, Any]]) -> Iterator[dict[str, object]]:
    """What shops have called, as their records tell: the first digits of each number, and when last."""
    last: dict[tuple[str, str, str], int] = {}
    for row in cdrs:
        if row["e164"] is not None and row["direction"] == "outbound" and row["result"] != "refused":
            key = row["tenant"], row["shop"], row["e164"][:4]
            last[key] = max(row["setup_at_ms"], last.get(key, 0))
    yield from (
        {"tenant": tenant, "shop": shop, "digits": digits, "at_ms": at_ms}
        for (tenant, shop, digits), at_ms in last.items()
    )


def without_order(content: dict[str, list[dict[str, object]]]) -> dict[str, list[list[tuple[str, object]]]]:
    """The same, whatever the order of the columns."""
    return {table: sorted((sorted(row.items()) for row in rows), key=repr) for table, rows in content.items()}


def version(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as connection:
        (noted,) = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    return bytes(noted)


def test_there_is_an_example_of_every_schema_before_ours() -> None:
    assert list(range(2, SCHEMA_VERSION)) == OLD


@pytest.mark.parametrize("old", OLD)
def test_a_start_brings_a_database_forward_with_its_data(tmp_path: Path, old: int) -> None:
    async def work(store: Store) -> None:
        newest = (await store.cdrs(TENANT, limit=9, booth=BOOTH))[0]
        assert newest["charges"][0]["amount"] == "0.29"
        bill = await store.bill(TENANT, BOOTH)
        assert bill is not None
        assert [line.call_id for line in bill.lines] == ["c1", "c3"]
        await store.commit(CallSettled(cdr("c9")))

    path = made_by(old, tmp_path / "db")
    store = opened(path, process="run-2")
    try:
        assert store.writable
        assert store.secret == b"s" * 32
        token = store.token("ab" * 32)
        assert token is not None
        assert (token.tenant, token.role, token.party, token.expires_at_ms) == (TENANT, "provider", TENANT, None)
        assert {state.name: state.balance_micros for _, state in store.accounts()} == {
            customer("zoe", "rhea"): 26_748_000,
            customer("rhea", TENANT): 99_898_000,
            session_account(1, "zoe"): 4_540_000,
        }
        (dead, heartbeat_ms) = store.dead_calls("run-2")[0]
        assert (dead.call_id, dead.relayed_at_ms, heartbeat_ms) == ("c9", NOON_MS + 800, 5_000)
        running(store, work)
    finally:
        store.close()
    assert audit_file(path) == []


@pytest.mark.parametrize("old", OLD)
def test_an_upgraded_database_has_the_tables_of_a_new_one(tmp_path: Path, old: int) -> None:
    opened(tmp_path / "new").close()
    opened(made_by(old, tmp_path / "old")).close()
    assert tables(tmp_path / "old") == tables(tmp_path / "new")


@pytest.mark.parametrize("old", OLD)
def test_nothing_of_its_content_changes_and_a_copy_of_it_stays(tmp_path: Path, old: int) -> None:
    path = made_by(old, tmp_path / "db")
    before, as_it_was = content(path), tables(path)
    kept = upgrade(path, old)
    after = content(path)
    numbered = {(row["number"], row["call_id"], row["revision"], row["gone"]) for row in after.pop("outbox")}
    assert numbered == {(number, row["call_id"], row["revision"], 0) for number, row in enumerate(before["cdrs"], 1)}
    rest = {table: rows for table, rows in before.items() if table != "outbox"}
    assert without_order(after) == without_order(with_columns_of_now(rest, old))
    assert version(path) == str(SCHEMA_VERSION).encode()
    assert (content(kept), tables(kept), version(kept)) == (before, as_it_was, str(old).encode())
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_newer_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "db"
    opened(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET value = CAST('99' AS BLOB) WHERE key = 'schema_version'")
    before = path.read_bytes()
    with pytest.raises(NewerSchema, match=f"has schema version 99, this sipshop knows up to {SCHEMA_VERSION}"):
        opened(path)
    assert path.read_bytes() == before


def test_an_audit_reads_no_older_database_and_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OlderSchema, match="start this one's server on it, which upgrades it"):
        audit_file(made_by(2, tmp_path / "db"))


def steps_with(folder: Path, body: str) -> Path:
    """Ours, and one more that does `body`."""
    ours = Path(sys.modules["sipshop.store.migrations"].__file__ or "").parent
    (folder / "versions").mkdir(parents=True)
    for path in (ours / "env.py", *(ours / "versions").glob("*.py")):
        (folder / path.relative_to(ours)).write_text(path.read_text())
    text = f"from alembic import op\nrevision = '99'\ndown_revision = '{SCHEMA_VERSION}'\ndef upgrade():\n    {body}\n"
    (folder / "versions" / "schema99.py").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        pytest.param("op.execute('UPDATE nowhere SET x = 1')", Unwritable, "no such table: nowhere", id="wrong SQL"),
        pytest.param(
            "op.execute('INSERT INTO meta VALUES (1, 2)')", Unusable, "cannot store", id="data that does not fit"
        ),
        pytest.param(
            "op.execute('DELETE FROM parties')", Unusable, "a row of .* refers to one of parties", id="strays"
        ),
    ],
)
def test_a_step_that_fails_leaves_the_database_as_it_was(
    tmp_path: Path, body: str, error: type[Exception], text: str
) -> None:
    path = made_by(2, tmp_path / "db")
    before, as_it_was = content(path), tables(path)
    steps = steps_with(tmp_path / "steps", f"op.execute('CREATE TABLE half_done (x)'); {body}")
    with pytest.raises(error, match=text):
        upgrade(path, 2, steps=steps, wanted=99)
    assert (content(path), tables(path), version(path)) == (before, as_it_was, b"2")
    opened(path).close()


def test_a_step_may_make_a_table_anew(tmp_path: Path) -> None:
    path = made_by(2, tmp_path / "db")
    before = content(path)
    body = (
        "op.execute('CREATE TABLE anew AS SELECT * FROM shops');"
        " op.drop_table('shops'); op.rename_table('anew', 'shops')"
    )
    with pytest.raises(Unwritable, match="foreign key mismatch"):  # without its key nobody could refer to it
        upgrade(path, 2, steps=steps_with(tmp_path / "one", body), wanted=99)
    assert content(path) == before
    body = "with op.batch_alter_table('shops') as batch: batch.drop_column('numbers')"
    upgrade(path, 2, steps=steps_with(tmp_path / "two", body), wanted=99)
    assert len(content(path)["booths"]) == 3


def test_a_start_that_has_nothing_to_upgrade_does_not_load_alembic(tmp_path: Path) -> None:
    opened(tmp_path / "db").close()
    script = (
        "import sys; from pathlib import Path; from sipshop.store import Store; "
        f"Store.open(Path({str(tmp_path / 'db')!r}), process='p', on_commit=print, on_health=print).close(); "
        "sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
