"""Schema 8: what is sold may be taxed."""

from __future__ import annotations

from alembic import op

revision = "8"
down_revision = "7"

_TAXES = """
CREATE TABLE taxes (
    tenant TEXT NOT NULL,
    sold TEXT NOT NULL,
    place TEXT NOT NULL,
    position INTEGER NOT NULL,
    terms TEXT NOT NULL,
    PRIMARY KEY (tenant, sold, place)
) STRICT
"""

_STATEMENTS: tuple[str, ...] = (
    # Taxes and currencies: nothing was taxed.
    _TAXES,
)


def upgrade() -> None:
    """Nothing of what is there changes."""
    for statement in _STATEMENTS:
        op.execute(statement)
