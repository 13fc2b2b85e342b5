"""Schema 6: where phones are reached; which numbers of carriers ring which booth; the direction of a live call."""

from __future__ import annotations

from collections.abc import Mapping

from alembic import op

revision = "6"
down_revision = "5"

_BINDINGS = """
CREATE TABLE bindings (
    tenant TEXT NOT NULL,
    booth TEXT NOT NULL,
    held TEXT NOT NULL,
    PRIMARY KEY (tenant, booth)
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
    inbound_numbers TEXT NOT NULL,
    PRIMARY KEY (tenant, name),
    FOREIGN KEY(tenant, shop) REFERENCES shops (tenant, name)
) STRICT
"""
_CALLS = """
CREATE TABLE anew (
    tenant TEXT NOT NULL,
    call_id TEXT NOT NULL,
    process TEXT NOT NULL,
    state TEXT NOT NULL,
    shop TEXT NOT NULL,
    booth TEXT NOT NULL,
    session_id INTEGER,
    kind TEXT NOT NULL,
    dialled TEXT NOT NULL,
    e164 TEXT,
    destination TEXT,
    setup_at_ms INTEGER NOT NULL,
    trunk TEXT,
    attempts TEXT NOT NULL,
    leg_a_call_id TEXT NOT NULL,
    leg_b_call_id TEXT,
    parties TEXT NOT NULL,
    dialog_a TEXT,
    dialog_b TEXT,
    pdd_ms INTEGER,
    relayed_at_ms INTEGER,
    relayed_mono_ms INTEGER,
    granted_ms INTEGER,
    direction TEXT NOT NULL,
    PRIMARY KEY (tenant, call_id)
) STRICT
"""


def upgrade() -> None:
    """Nobody was called from outside, and nobody's phone was kept."""
    op.execute(_BINDINGS)
    _remake("shops", _SHOPS, {"inbound": "'never'", "inbound_numbers": "'[]'"})
    _remake("booths", _BOOTHS, {"inbound_numbers": "'[]'"})
    _remake("calls", _CALLS, {"direction": "'outbound'"})


def _remake(table: str, made: str, new: Mapping[str, str]) -> None:
    """Put a table that `made` makes as `anew` in the place of one, with its rows; `new` is SQL for each new column."""
    op.execute(made)
    kept = [row[1] for row in op.get_bind().exec_driver_sql("PRAGMA table_info(anew)") if row[1] not in new]
    columns, values = ", ".join([*kept, *new]), ", ".join([*kept, *new.values()])
    op.execute(f"INSERT INTO anew ({columns}) SELECT {values} FROM {table} ORDER BY rowid")  # noqa: S608 - names of ours
    op.drop_table(table)
    op.rename_table("anew", table)
