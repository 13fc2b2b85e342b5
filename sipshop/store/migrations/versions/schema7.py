"""Schema 7: a prefix may have several rates in a deck, and a rate more than prices; a shop may transfer."""

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
_SHOPS = """
CREATE TABLE anew (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    owner TEXT NOT NULL,
    deck TEXT NOT NULL,
    currency TEXT NOT NULL,
    realm TEXT NOT NULL,
    digest TEXT NOT NULL,
    numbers TEXT NOT NULL,
    caller_id TEXT NOT NULL,
    inbound TEXT NOT NULL,
    inbound_numbers TEXT NOT NULL,
    transfer INTEGER NOT NULL,
    PRIMARY KEY (tenant, name),
    FOREIGN KEY(tenant, owner) REFERENCES parties (tenant, name)
) STRICT
"""


def upgrade() -> None:
    """A rate had nothing beyond its prices; the header of a deck is JSON, in which what is new is left out.

    No shop transferred.
    """
    _remake("rates", _RATES, "extras", "'{}'")
    _remake("shops", _SHOPS, "transfer", "0")


def _remake(table: str, made: str, new: str, value: str) -> None:
    """Put a table that `made` makes as `anew` in the place of one, with its rows; `value` is SQL for the new column."""
    op.execute(made)
    columns = ", ".join(row[1] for row in op.get_bind().exec_driver_sql(f"PRAGMA table_info({table})"))
    kept = f"INSERT INTO anew ({columns}, {new}) SELECT {columns}, {value} FROM {table} ORDER BY rowid"  # noqa: S608 - ours
    op.execute(kept)
    op.drop_table(table)
    op.rename_table("anew", table)
