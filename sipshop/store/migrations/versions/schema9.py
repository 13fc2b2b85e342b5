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

_STATEMENTS: tuple[str, ...] = (*_FAREWELLS, *_COUNTERS)


def upgrade() -> None:
    """Nothing of what is there changes."""
    for statement in _STATEMENTS:
        op.execute(statement)
