"""Schema 8: nothing yet."""

from __future__ import annotations

from alembic import op

revision = "8"
down_revision = "7"

_STATEMENTS: tuple[str, ...] = ()


def upgrade() -> None:
    """Nothing of what is there changes."""
    for statement in _STATEMENTS:
        op.execute(statement)
