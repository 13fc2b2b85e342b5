"""Schema 5: what is agreed with a carrier; the telephone numbers of shops and booths."""

from __future__ import annotations

from collections.abc import Mapping

from alembic import op

revision = "5"
down_revision = "4"

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
    PRIMARY KEY (tenant, name),
    FOREIGN KEY(tenant, owner) REFERENCES parties (tenant, name)
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
    caller_id TEXT NOT NULL,
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
    terms TEXT NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT
"""


def upgrade() -> None:
    """Nobody had a number, and with every carrier it was as usual."""
    _remake("shops", _SHOPS, {"caller_id": "''"})
    _remake("booths", _BOOTHS, {"caller_id": "''"})
    _remake("trunks", _TRUNKS, {"terms": "'{}'"})


def _remake(table: str, made: str, new: Mapping[str, str]) -> None:
    """Put a table that `made` makes as `anew` in the place of one, with its rows; `new` is SQL for each new column."""
    op.execute(made)
    kept = [row[1] for row in op.get_bind().exec_driver_sql("PRAGMA table_info(anew)") if row[1] not in new]
    columns, values = ", ".join([*kept, *new]), ", ".join([*kept, *new.values()])
    op.execute(f"INSERT INTO anew ({columns}) SELECT {values} FROM {table} ORDER BY rowid")  # noqa: S608 - names of ours
    op.drop_table(table)
    op.rename_table("anew", table)
