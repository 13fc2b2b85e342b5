"""Schema 7: a prefix may have several rates in a deck, and a rate more than prices."""

from __future__ import annotations

from alembic import op

revision = "7"
down_revision = "6"

_RATES = """
CREATE TABLE anew (
    tenant TEXT NOT NULL,
    deck TEXT NOT NULL,
    version INTEGER NOT NULL,
    prefix TEXT NOT NULL,
    position INTEGER NOT NULL,
    destination TEXT NOT NULL,
    connect_fee_nanos INTEGER NOT NULL,
    first_s INTEGER NOT NULL,
    first_price_nanos INTEGER NOT NULL,
    next_s INTEGER NOT NULL,
    next_price_nanos INTEGER NOT NULL,
    forbidden INTEGER NOT NULL CHECK (forbidden IN (0, 1)),
    extras TEXT NOT NULL,
    PRIMARY KEY (tenant, deck, version, position),
    FOREIGN KEY(tenant, deck, version) REFERENCES decks (tenant, name, version)
) STRICT
"""


def upgrade() -> None:
    """A rate had nothing beyond its prices; the header of a deck is JSON, in which what is new is left out."""
    op.execute(_RATES)
    columns = ", ".join(row[1] for row in op.get_bind().exec_driver_sql("PRAGMA table_info(rates)"))
    kept = f"INSERT INTO anew ({columns}, extras) SELECT {columns}, '{{}}' FROM rates ORDER BY rowid"  # noqa: S608 - ours
    op.execute(kept)
    op.drop_table("rates")
    op.rename_table("anew", "rates")
