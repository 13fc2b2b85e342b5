"""Schema 9: what stands on a bill besides calls, receipts by number, the cash of a shift, and customers' screens.

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

# The till: shifts, all that moves in a drawer, counts and Z reports. What customers have paid before moved outside all
# shifts: nobody had one.
_TILL = (
    """
    CREATE TABLE shifts (
        tenant TEXT NOT NULL,
        shop TEXT NOT NULL,
        number INTEGER NOT NULL,
        operator TEXT NOT NULL,
        currency TEXT NOT NULL,
        float_micros INTEGER NOT NULL,
        opened_at_ms INTEGER NOT NULL,
        closed_at_ms INTEGER,
        key TEXT NOT NULL,
        PRIMARY KEY (tenant, shop, number),
        UNIQUE (tenant, key)
    ) STRICT
    """,
    "CREATE UNIQUE INDEX one_open_shift ON shifts (tenant, shop, operator) WHERE closed_at_ms IS NULL",
    """
    CREATE TABLE till_moves (
        tenant TEXT NOT NULL,
        shop TEXT NOT NULL,
        number INTEGER NOT NULL,
        key TEXT NOT NULL,
        method TEXT NOT NULL,
        shift INTEGER,
        kind TEXT NOT NULL,
        currency TEXT NOT NULL,
        amount_micros INTEGER NOT NULL,
        author TEXT NOT NULL,
        reason TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, shop, number),
        UNIQUE (tenant, key, method)
    ) STRICT
    """,
    "CREATE INDEX till_moves_by_shift ON till_moves (tenant, shop, shift)",
    """
    CREATE TABLE till_counts (
        tenant TEXT NOT NULL,
        shop TEXT NOT NULL,
        shift INTEGER NOT NULL,
        number INTEGER NOT NULL,
        key TEXT NOT NULL,
        pieces TEXT NOT NULL,
        counted_micros INTEGER NOT NULL,
        expected_micros INTEGER NOT NULL,
        author TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, shop, shift, number),
        UNIQUE (tenant, key)
    ) STRICT
    """,
    """
    CREATE TABLE z_reports (
        tenant TEXT NOT NULL,
        shop TEXT NOT NULL,
        number INTEGER NOT NULL,
        shift INTEGER NOT NULL,
        operator TEXT NOT NULL,
        currency TEXT NOT NULL,
        expected_micros INTEGER NOT NULL,
        counted_micros INTEGER NOT NULL,
        outside_micros INTEGER NOT NULL,
        last_move INTEGER NOT NULL,
        author TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        document TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        PRIMARY KEY (tenant, shop, number),
        UNIQUE (tenant, shop, shift)
    ) STRICT
    """,
    r"""
    INSERT INTO till_moves
      (tenant, shop, number, key, method, shift, kind, currency, amount_micros, author, reason, at_ms)
    SELECT tenant, substr(account, 6), row_number() OVER (PARTITION BY tenant, account ORDER BY place), key, 'cash',
      NULL, CASE WHEN kind = 'checkout' AND micros < 0 THEN 'refund' ELSE kind END, currency, micros, author, reason,
      at_ms
    FROM (
      SELECT *, rowid AS place, debit AS account, amount_micros AS micros FROM transfers WHERE debit LIKE 'till\:%'
      UNION ALL
      SELECT *, rowid AS place, credit AS account, -amount_micros AS micros FROM transfers WHERE credit LIKE 'till\:%'
    )
    """,
    *(
        f"CREATE TRIGGER {table}_do_not_{what} BEFORE {does} ON {table}"
        f" BEGIN SELECT RAISE(ABORT, '{words} are append-only'); END"
        for table, words in (
            ("till_moves", "movements of a till"),
            ("till_counts", "counts of a till"),
            ("z_reports", "Z reports"),
        )
        for what, does in (("change", "UPDATE"), ("go", "DELETE"))
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

# Screens for customers.
_SCREENS = (
    """
    CREATE TABLE screens (
        tenant TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        shop TEXT NOT NULL,
        booth TEXT,
        language TEXT NOT NULL,
        label TEXT NOT NULL,
        author TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, sha256),
        UNIQUE (sha256)
    ) STRICT
    """,
)

_STATEMENTS: tuple[str, ...] = (*_FAREWELLS, *_COUNTERS, *_CHECKOUT, *_TILL, *_PRINTING, *_SCREENS)


def upgrade() -> None:
    """Nothing of what is there changes."""
    for statement in _STATEMENTS:
        op.execute(statement)
