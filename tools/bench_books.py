"""Measure the books: how long a million CDRs with four levels take to be audited and verified (make bench).

The database is made of calls that the store itself has written, each copied several times under a name of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from sipshop.billing.cdr import CallKind, Cdr, Charge, HungUpBy, Result
from sipshop.billing.rating import cost
from sipshop.store import CallSettled, SessionOpened, Store
from sipshop.store.connect import connect_writer
from sipshop.world import World, parse_world

CDRS: Final = 1_000_000
#: How many calls are written one by one; the others are their copies.
WRITTEN: Final = 100_000
DESTINATIONS: Final = 200
MEAN_TALK_S: Final = 180
BEGAN_MS: Final = 1_767_225_600_000
TENANT: Final = "Tel"
#: Who sells to whom, by which deck, from the booth to the carrier.
CHAIN: Final = (("Ann", "b00", "ann"), ("Rhea", "Ann", "rhea"), (TENANT, "Rhea", "tel"), ("Mills", TENANT, "mills"))


def main() -> None:
    """Print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cdrs", type=int, default=CDRS, help=f"how many CDRs [{CDRS}]")
    parser.add_argument(
        "--database", type=Path, help="measure this one, which is made where it is not there, and keep it"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = given.database or Path(folder) / "sipshop.db"
        if not database.exists():
            begun = time.perf_counter()
            # By a process of its own: the kernel counts the memory of ours as that of what we start.
            maker = get_context("spawn").Process(target=build, args=(database, given.cdrs))
            maker.start()
            maker.join()
            print(f"{given.cdrs} CDRs made in {time.perf_counter() - begun:.0f} s")
        print(f"{database.stat().st_size >> 20} MB of database")
        for command in (("audit",), ("cdr", "verify")):
            seconds, cpu_s, peak_mb, status = measured([*command, "--database", str(database)])
            print(
                f"{' '.join(command):12} {seconds:6.1f} s, {cpu_s:.1f} s of the processors, "
                f"{peak_mb} MB in the largest process, exit code {status}"
            )


def measured(command: Sequence[str]) -> tuple[float, float, int, int]:
    """How long a command of ours takes, on all processors too, the most memory of a process of it, its exit code."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "sipshop", *command], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss >> 10, process.returncode


# The database.


def build(path: Path, count: int) -> None:
    """Make a database with so many CDRs."""
    store = Store.open(path, process="bench", on_commit=lambda *_: None, on_health=lambda *_: None)
    the_world = world()
    store.load(the_world, at_ms=BEGAN_MS)
    store.close()
    with closing(connect_writer(path)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("BEGIN")
        SessionOpened(tenant=TENANT, booth="b00", author="bench", at_ms=BEGAN_MS).apply(connection)
        for cdr in calls(the_world, min(WRITTEN, count)):
            CallSettled(cdr).apply(connection)
        connection.execute("COMMIT")
        copy_calls(connection, min(WRITTEN, count), count)


def world() -> World:
    """A shop below an owner, a reseller and the provider, decks of many destinations, and a carrier."""
    rates = {
        "ann": 'connect_fee: "0.05", first_s: 60, first_price: "0.{}9", next_s: 60, next_price: "0.{}9"',
        "rhea": 'first_s: 30, first_price: "0.{}7", next_s: 6',
        "tel": 'first_s: 1, first_price: "0.{}5", next_s: 1',
        "mills": 'first_s: 1, first_price: "0.{}3", next_s: 1',
    }
    decks = "\n".join(
        f"  - name: {name}\n    currency: EUR\n    rates:\n"
        + "\n".join(
            f'      - {{prefix: "49{number}", destination: Place {number}, {terms.replace("{}", str(number))}}}'
            for number in range(100, 100 + DESTINATIONS)
        )
        for name, terms in rates.items()
    )
    return parse_world(
        f"""
provider: {{name: {TENANT}}}
resellers: [{{name: Rhea, deck: tel, unlimited: true}}]
owners: [{{name: Ann, parent: Rhea, deck: rhea, unlimited: true}}]
decks:
{decks}
trunks: [{{name: mills, carrier: Mills, deck: mills, host: 192.0.2.1, emergency: true}}]
routes: [{{prefix: "", trunks: [mills]}}]
shops:
  - name: Corner
    owner: Ann
    deck: ann
    country_code: "49"
    emergency: ["112"]
    booths: [{{name: b00, password: pw}}]
""",
        "bench",
    )


def calls(the_world: World, count: int) -> Iterator[Cdr]:
    """Calls of one booth, to some places more than to others, of the lengths that calls have."""
    chosen = random.Random(1)
    decks = {deck.name: deck for deck in the_world.decks}
    for number in range(count):
        place = 100 + min(int(chosen.expovariate(1 / 30)), DESTINATIONS - 1)
        at_ms, talk_ms = BEGAN_MS + number * 1000, 1 + int(chosen.expovariate(1 / MEAN_TALK_S) * 1000)
        found = [(seller, buyer, decks[deck].match(f"49{place}1234", at_ms)) for seller, buyer, deck in CHAIN]
        call_id = name_of(f"{number}")
        yield Cdr(
            call_id=call_id,
            kind=CallKind.CALL,
            tenant=TENANT,
            shop="Corner",
            booth="b00",
            session_id=1,
            dialled=f"00 49 {place} 1234",
            e164=f"49{place}1234",
            destination=f"Place {place}",
            setup_at_ms=at_ms,
            answered_at_ms=at_ms + 4000,
            ended_at_ms=at_ms + 4000 + talk_ms,
            pdd_ms=900,
            talk_ms=talk_ms,
            result=Result.ANSWERED,
            sip_status=200,
            q850=16,
            hung_up_by=HungUpBy.CALLER,
            trunk="mills",
            leg_a_call_id=f"{call_id}@192.0.2.9",
            leg_b_call_id=name_of(f"{number} b"),
            charges=tuple(
                Charge(seller=seller, buyer=buyer, tariff=tariff, cost=cost(tariff, at_ms + 4000, talk_ms))
                for seller, buyer, tariff in found
                if tariff is not None
            ),
        )


def name_of(text: str) -> str:
    """A name as calls have it, of which nobody sees where it comes from."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def copy_calls(connection: sqlite3.Connection, written: int, count: int) -> None:
    """Copy calls with all that hangs on them, each under another name, until there are so many.

    Indexes and triggers are made anew when all is there, and the journal is, which nobody would need, left out.
    """
    connection.create_function("name_of", 1, name_of, deterministic=True)
    connection.execute("PRAGMA journal_mode=OFF").fetchone()
    connection.execute("PRAGMA cache_size=-500000")
    connection.execute("BEGIN")
    made = connection.execute(
        "SELECT type, name, sql FROM sqlite_master"
        " WHERE type IN ('index', 'trigger') AND sql IS NOT NULL AND tbl_name IN ('cdrs', 'charges', 'transfers')"
    ).fetchall()
    for row in made:
        connection.execute(f"DROP {row['type']} {row['name']}")
    rows = {table: last_row(connection, table) for table in ("cdrs", "charges", "transfers")}
    for copy in range(1, -(-count // written)):
        at_most = min(written, count - copy * written)
        connection.execute("CREATE TEMP TABLE names (old TEXT PRIMARY KEY, new TEXT) WITHOUT ROWID")
        first = "SELECT call_id, name_of(call_id || ?) FROM cdrs WHERE rowid <= ?"
        connection.execute(f"INSERT INTO names {first}", (f" {copy}", at_most))
        copy_rows(connection, "cdrs", rows, "cdrs.call_id", {"call_id": "new", "leg_b_call_id": "name_of(new || ' b')"})
        copy_rows(connection, "charges", rows, "charges.call_id", {"call_id": "new"})
        ends = "substr(transfers.key, 1, 16)"
        copy_rows(connection, "transfers", rows, ends, {"key": "new || substr(transfers.key, 17)"})
        connection.execute("DROP TABLE names")
    # The CDRs are the only ones here, so their rowids are the numbers that the trigger would have given them.
    numbered = "SELECT tenant, rowid, call_id, revision, 0 FROM cdrs WHERE rowid > ? ORDER BY rowid"
    connection.execute(f"INSERT INTO outbox (tenant, number, call_id, revision, gone) {numbered}", (rows["cdrs"],))
    for row in made:
        connection.execute(row["sql"])
    connection.execute(
        """
        UPDATE accounts SET balance_micros =
          (SELECT coalesce(sum(amount_micros), 0) FROM transfers WHERE transfers.credit = accounts.name)
          - (SELECT coalesce(sum(amount_micros), 0) FROM transfers WHERE transfers.debit = accounts.name)
        """
    )
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode=WAL").fetchone()


def last_row(connection: sqlite3.Connection, table: str) -> int:
    """The rowid of what was written last."""
    return int(connection.execute(f"SELECT max(rowid) AS last FROM {table}").fetchone()["last"])


def copy_rows(
    connection: sqlite3.Connection, table: str, rows: dict[str, int], call_id: str, renamed: dict[str, str]
) -> None:
    """Copy those of the first rows whose calls have a new name, in their order."""
    columns = [row["name"] for row in connection.execute(f"PRAGMA table_info({table})")]
    values = ", ".join(renamed.get(column, f"{table}.{column}") for column in columns)
    connection.execute(
        f"INSERT INTO {table} SELECT {values} FROM {table} CROSS JOIN names ON names.old = {call_id}"
        f" WHERE {table}.rowid <= ? ORDER BY {table}.rowid",
        (rows[table],),
    )


if __name__ == "__main__":
    main()
