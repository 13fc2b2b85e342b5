"""Write down a database of this schema, for the tests of the sipshop that will have the next one.

    .venv/bin/python -m tests.store.old_database

Run it before you raise SCHEMA_VERSION: tests/store/test_migrations.py brings every such database forward.
"""

import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from sipshop.billing.cdr import Cdr
from sipshop.billing.desk import SessionTerms
from sipshop.billing.ledger import TransferKind
from sipshop.store import (
    AccountMoved,
    CallAnswered,
    CallRelayed,
    CallSettled,
    CallStarted,
    Heartbeat,
    PartySuspended,
    SessionOpened,
    Store,
    Token,
    TokenAdded,
)
from sipshop.store.schema import SCHEMA_VERSION
from tests.store.examples import BOOTH, NOON_MS, TENANT, cdr, euros, filled, live_call, paid, running

FOLDER = Path(__file__).parent / "databases"


def of_the_gate(made: Cdr) -> Cdr:
    """The same call from the other booth."""
    charges = tuple(replace(charge, buyer="gate") if charge.buyer == BOOTH else charge for charge in made.charges)
    return replace(made, charges=charges)


async def a_day(store: Store) -> None:
    """A deposit and its calls, a paid session, a payment, a suspension, and a call that lives when all ends."""
    opened = SessionOpened(
        tenant=TENANT, booth=BOOTH, author="ana", at_ms=NOON_MS, terms=SessionTerms(deposit=euros(5_000_000))
    )
    gate = of_the_gate(cdr("g1", talk_ms=5_000, session_id=2, booth="gate"))
    for write in (
        opened,
        CallStarted(TENANT, "c1", live_call("c1")),
        CallSettled(cdr("c1")),
        CallSettled(cdr("c2", talk_ms=0)),
        CallSettled(cdr("c3", talk_ms=1_000)),
        replace(opened, booth="gate", terms=SessionTerms()),
        CallSettled(gate),
        paid(1, euros(200_000), booth="gate", at_ms=NOON_MS + 9),
        AccountMoved(
            tenant=TENANT,
            party="zoe",
            kind=TransferKind.PAYMENT,
            amount=euros(7_000_000),
            author="root",
            reason="bank",
            at_ms=NOON_MS + 10,
            key="p1",
            held_micros=0,
        ),
        TokenAdded(
            tenant=TENANT,
            token=Token(
                tenant=TENANT,
                sha256="ab" * 32,
                role="provider",
                party=TENANT,
                shop=None,
                label="demo",
                created_at_ms=NOON_MS,
                expires_at_ms=None,
            ),
            author="start",
            at_ms=NOON_MS,
        ),
        PartySuspended(tenant=TENANT, party="rhea", suspended=True, by=TENANT, author="root", at_ms=NOON_MS + 11),
        CallAnswered(TENANT, "c9", live_call("c9", state="answered", granted_ms=60_000)),
        CallRelayed(TENANT, "c9", NOON_MS + 800, 100),
        Heartbeat("run-1", 5_000, NOON_MS + 4_900),
    ):
        await store.commit(write)


def main() -> None:
    """Write it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "db"
        with filled(path, random_bytes=lambda count: b"s" * count) as store:
            running(store, a_day)
        with closing(sqlite3.connect(path)) as connection:
            text = "\n".join(connection.iterdump()) + "\n"
    (FOLDER / f"schema{SCHEMA_VERSION}.sql").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
