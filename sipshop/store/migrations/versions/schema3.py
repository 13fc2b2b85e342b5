"""Schema 3: tokens of parties and shops, which expire; operators; what is disabled; how far the retention has come."""

from __future__ import annotations

from collections.abc import Mapping

from alembic import op

revision = "3"
down_revision = "2"

_RETENTION = """
CREATE TABLE retention (
    tenant TEXT NOT NULL,
    work TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, work)
) STRICT
"""
_OPERATORS = """
CREATE TABLE operators (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    role TEXT NOT NULL,
    party TEXT NOT NULL,
    shop TEXT,
    PRIMARY KEY (tenant, name),
    FOREIGN KEY(tenant, party) REFERENCES parties (tenant, name),
    FOREIGN KEY(tenant, shop) REFERENCES shops (tenant, name)
) STRICT
"""
_BOOTHS = """
CREATE TABLE anew (
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
"""
_TRUNKS = """
CREATE TABLE anew (
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
"""
_TOKENS = """
CREATE TABLE anew (
    tenant TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    role TEXT NOT NULL,
    party TEXT NOT NULL,
    shop TEXT,
    label TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER,
    revoked_at_ms INTEGER,
    PRIMARY KEY (tenant, sha256),
    UNIQUE (sha256)
) STRICT
"""


def upgrade() -> None:
    """Nothing was disabled, masked or revoked before, and every token was its provider's."""
    op.execute(_RETENTION)
    op.execute(_OPERATORS)
    _remake("booths", _BOOTHS, {"disabled": "0"})
    _remake("trunks", _TRUNKS, {"disabled": "0"})
    _remake("tokens", _TOKENS, {"party": "tenant", "shop": "NULL", "expires_at_ms": "NULL", "revoked_at_ms": "NULL"})


def _remake(table: str, made: str, new: Mapping[str, str]) -> None:
    """Put a table that `made` makes as `anew` in the place of one, with its rows; `new` is SQL for each new column.

    The way that SQLite recommends: what refers to the table goes on doing so, by its name.
    """
    op.execute(made)
    old = [row[1] for row in op.get_bind().exec_driver_sql(f"PRAGMA table_info({table})")]
    columns, values = ", ".join([*old, *new]), ", ".join([*old, *new.values()])
    op.execute(f"INSERT INTO anew ({columns}) SELECT {values} FROM {table} ORDER BY rowid")  # noqa: S608 - names of ours
    op.drop_table(table)
    op.rename_table("anew", table)
