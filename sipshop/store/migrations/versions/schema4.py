"""Schema 4: who suspended a party; operators who are suspended, and whose a token is."""

from __future__ import annotations

from collections.abc import Mapping

from alembic import op

revision = "4"
down_revision = "3"

_PARTIES = """
CREATE TABLE anew (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    kind TEXT NOT NULL,
    parent TEXT,
    deck TEXT,
    guard TEXT NOT NULL,
    suspender TEXT,
    PRIMARY KEY (tenant, name),
    FOREIGN KEY(tenant, parent) REFERENCES parties (tenant, name) DEFERRABLE INITIALLY DEFERRED
) STRICT
"""
_OPERATORS = """
CREATE TABLE anew (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    role TEXT NOT NULL,
    party TEXT NOT NULL,
    shop TEXT,
    suspended INTEGER NOT NULL CHECK (suspended IN (0, 1)),
    PRIMARY KEY (tenant, name),
    FOREIGN KEY(tenant, party) REFERENCES parties (tenant, name),
    FOREIGN KEY(tenant, shop) REFERENCES shops (tenant, name)
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
    operator TEXT,
    PRIMARY KEY (tenant, sha256),
    UNIQUE (sha256)
) STRICT
"""


def upgrade() -> None:
    """Who suspended a party was not noted, so it counts as the provider; no token was of a person."""
    _remake("parties", _PARTIES, {"suspender": "CASE suspended WHEN 1 THEN tenant END"})
    _remake("operators", _OPERATORS, {"suspended": "0"})
    _remake("tokens", _TOKENS, {"operator": "NULL"})


def _remake(table: str, made: str, new: Mapping[str, str]) -> None:
    """Put a table that `made` makes as `anew` in the place of one, with its rows; `new` is SQL for each new column."""
    op.execute(made)
    kept = [row[1] for row in op.get_bind().exec_driver_sql("PRAGMA table_info(anew)") if row[1] not in new]
    columns, values = ", ".join([*kept, *new]), ", ".join([*kept, *new.values()])
    op.execute(f"INSERT INTO anew ({columns}) SELECT {values} FROM {table} ORDER BY rowid")  # noqa: S608 - names of ours
    op.drop_table(table)
    op.rename_table("anew", table)
