"""Schema 8: BYEs that are owed are kept."""

from __future__ import annotations

from alembic import op

revision = "8"
down_revision = "7"

_STATEMENTS: tuple[str, ...] = (
    # The BYEs that a process owed when it died.
    """
    CREATE TABLE farewells (
        call_id TEXT NOT NULL,
        local_tag TEXT NOT NULL,
        remote_tag TEXT NOT NULL,
        dialog TEXT NOT NULL,
        PRIMARY KEY (call_id, local_tag, remote_tag)
    ) STRICT
    """,
)


def upgrade() -> None:
    """Nothing of what is there changes."""
    for statement in _STATEMENTS:
        op.execute(statement)
