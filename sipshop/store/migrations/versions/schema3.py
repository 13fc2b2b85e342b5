"""Schema 3: how far the retention has come; people of parties; booths and trunks that are switched off."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"


def upgrade() -> None:
    """Make the tables, and the two that get a column anew: nothing was masked or switched off before."""
    op.create_table(
        "retention",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("work", sa.Text, nullable=False),
        sa.Column("until_ms", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "work"),
        sqlite_strict=True,
    )
    op.create_table(
        "operators",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("party", sa.Text, nullable=False),
        sa.Column("shop", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("tenant", "name"),
        sa.ForeignKeyConstraint(["tenant", "party"], ["parties.tenant", "parties.name"]),
        sa.ForeignKeyConstraint(["tenant", "shop"], ["shops.tenant", "shops.name"]),
        sqlite_strict=True,
    )
    for table, columns in _WITH_A_SWITCH.items():
        # SQLite adds a column behind the constraints; made anew, the table is the one that a new database has
        op.execute(columns.format(name=f"{table}_new"))
        op.execute(f"INSERT INTO {table}_new SELECT *, 0 FROM {table}")  # noqa: S608 - names of ours
        op.execute(f"DROP TABLE {table}")
        op.execute(f"ALTER TABLE {table}_new RENAME TO {table}")


_WITH_A_SWITCH: Final = {
    "booths": """
        CREATE TABLE {name} (
            tenant TEXT NOT NULL,
            name TEXT NOT NULL,
            position INTEGER NOT NULL,
            shop TEXT NOT NULL,
            calls INTEGER NOT NULL,
            auth TEXT NOT NULL,
            ip TEXT,
            ha1 TEXT NOT NULL,
            disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
            PRIMARY KEY (tenant, name),
            FOREIGN KEY(tenant, shop) REFERENCES shops (tenant, name)
        ) STRICT
    """,
    "trunks": """
        CREATE TABLE {name} (
            tenant TEXT NOT NULL,
            name TEXT NOT NULL,
            position INTEGER NOT NULL,
            host TEXT NOT NULL,
            port INTEGER NOT NULL,
            transport TEXT NOT NULL,
            emergency INTEGER NOT NULL CHECK (emergency IN (0, 1)),
            answer_timeout_s INTEGER NOT NULL,
            first_response_timeout_s INTEGER NOT NULL,
            carrier TEXT NOT NULL,
            deck TEXT NOT NULL,
            max_calls INTEGER,
            cps INTEGER,
            disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
            PRIMARY KEY (tenant, name)
        ) STRICT
    """,
}
