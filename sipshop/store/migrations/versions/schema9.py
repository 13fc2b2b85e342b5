"""Schema 9: what stands on a bill besides calls, receipts by number, and the cash of a shift.

Of a BYE that is owed it is known how many starts have sent it.
"""

from __future__ import annotations

from alembic import op

revision = "9"
down_revision = "8"

# BYEs that are owed, and how often a start has found them.
_FAREWELLS = (
    """
    CREATE TABLE anew (
        call_id TEXT NOT NULL,
        local_tag TEXT NOT NULL,
        remote_tag TEXT NOT NULL,
        dialog TEXT NOT NULL,
        starts INTEGER NOT NULL,
        PRIMARY KEY (call_id, local_tag, remote_tag)
    ) STRICT
    """,
    "INSERT INTO anew SELECT call_id, local_tag, remote_tag, dialog, 0 FROM farewells",
    "DROP TABLE farewells",
    "ALTER TABLE anew RENAME TO farewells",
)

# How the desks of shops work.
_COUNTERS = (
    """
    CREATE TABLE counters (
        tenant TEXT NOT NULL,
        shop TEXT NOT NULL,
        position INTEGER NOT NULL,
        terms TEXT NOT NULL,
        PRIMARY KEY (tenant, shop)
    ) STRICT
    """,
)

# What stands on bills besides calls, and receipts.
_CHECKOUT = (
    """
    CREATE TABLE bill_items (
        tenant TEXT NOT NULL,
        session_id INTEGER NOT NULL,
        number INTEGER NOT NULL,
        kind TEXT NOT NULL,
        text TEXT NOT NULL,
        currency TEXT NOT NULL,
        quantity INTEGER NOT NULL,
        unit_micros INTEGER,
        tax TEXT,
        amount_micros INTEGER,
        percent_ppm INTEGER,
        most_ppm INTEGER,
        call_id TEXT,
        item INTEGER,
        author TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        "key" TEXT NOT NULL,
        added INTEGER NOT NULL,
        removed INTEGER,
        removed_by TEXT,
        removed_at_ms INTEGER,
        came_to_micros INTEGER,
        PRIMARY KEY (tenant, session_id, number),
        UNIQUE (tenant, "key"),
        FOREIGN KEY(tenant, session_id) REFERENCES booth_sessions (tenant, id)
    ) STRICT
    """,
    """
    CREATE TABLE receipts (
        tenant TEXT NOT NULL,
        shop TEXT NOT NULL,
        number INTEGER NOT NULL,
        session_id INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        author TEXT NOT NULL,
        receipt TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        PRIMARY KEY (tenant, shop, number),
        UNIQUE (tenant, session_id),
        FOREIGN KEY(tenant, session_id) REFERENCES payments (tenant, session_id)
    ) STRICT
    """,
    (
        "CREATE TRIGGER receipts_do_not_change BEFORE UPDATE ON receipts"
        " BEGIN SELECT RAISE(ABORT, 'receipts are append-only'); END"
    ),
    (
        "CREATE TRIGGER receipts_do_not_go BEFORE DELETE ON receipts"
        " BEGIN SELECT RAISE(ABORT, 'receipts are append-only'); END"
    ),
)

# Receipts on their way to paper.
_PRINTING = (
    """
    CREATE TABLE print_jobs (
        tenant TEXT NOT NULL,
        shop TEXT NOT NULL,
        id INTEGER NOT NULL,
        number INTEGER NOT NULL,
        language TEXT NOT NULL,
        goes_to TEXT NOT NULL,
        state TEXT NOT NULL,
        copy INTEGER,
        attempts INTEGER NOT NULL,
        claim TEXT,
        claimed_at_ms INTEGER,
        printer TEXT,
        why TEXT,
        at_ms INTEGER NOT NULL,
        author TEXT NOT NULL,
        "key" TEXT NOT NULL,
        ended_at_ms INTEGER,
        PRIMARY KEY (tenant, shop, id),
        UNIQUE (tenant, "key")
    ) STRICT
    """,
    "CREATE INDEX waiting_print_jobs ON print_jobs (tenant, shop, id) WHERE ended_at_ms IS NULL",
    "CREATE INDEX printed_receipts ON print_jobs (tenant, shop, number)",
)

_STATEMENTS: tuple[str, ...] = (*_FAREWELLS, *_COUNTERS, *_CHECKOUT, *_PRINTING)


def upgrade() -> None:
    """Nothing of what is there changes."""
    for statement in _STATEMENTS:
        op.execute(statement)
