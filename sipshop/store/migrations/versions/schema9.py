"""Schema 9: what stands on a bill besides calls, receipts by number, and the cash of a shift."""

from __future__ import annotations

from alembic import op

revision = "9"
down_revision = "8"

_STATEMENTS: tuple[str, ...] = ()


def upgrade() -> None:
    """Nothing of what is there changes."""
    for statement in _STATEMENTS:
        op.execute(statement)
