"""Schema 3: how far the retention has come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"


def upgrade() -> None:
    """Make the table; nothing was masked or forgotten before."""
    op.create_table(
        "retention",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("work", sa.Text, nullable=False),
        sa.Column("until_ms", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "work"),
        sqlite_strict=True,
    )
