"""Schema 8: BYEs that are owed are kept; what is sold may be taxed, and be in another currency; decks are imported.

Who made which version of a deck is known, and how the sheets of carriers are read.
"""

from __future__ import annotations

from alembic import op

revision = "8"
down_revision = "7"

# Decks that are imported.
_SHEETS = (
    """
    CREATE TABLE deck_versions (
        tenant TEXT NOT NULL,
        deck TEXT NOT NULL,
        version INTEGER NOT NULL,
        state TEXT NOT NULL,
        origin TEXT NOT NULL,
        base INTEGER,
        imported INTEGER NOT NULL CHECK (imported IN (0, 1)),
        author TEXT NOT NULL,
        party TEXT NOT NULL,
        reason TEXT NOT NULL,
        source TEXT NOT NULL,
        made_at_ms INTEGER NOT NULL,
        from_ms INTEGER,
        PRIMARY KEY (tenant, deck, version)
    ) STRICT
    """,
    """
    CREATE TABLE sheet_mappings (
        tenant TEXT NOT NULL,
        party TEXT NOT NULL,
        name TEXT NOT NULL,
        mapping TEXT NOT NULL,
        author TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, party, name)
    ) STRICT
    """,
)
_FAREWELLS = """
CREATE TABLE farewells (
    call_id TEXT NOT NULL,
    local_tag TEXT NOT NULL,
    remote_tag TEXT NOT NULL,
    dialog TEXT NOT NULL,
    PRIMARY KEY (call_id, local_tag, remote_tag)
) STRICT
"""
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
_PAYMENT_TAXES = """
CREATE TABLE payment_taxes (
    tenant TEXT NOT NULL,
    session_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    tax TEXT NOT NULL,
    currency TEXT NOT NULL,
    net_micros INTEGER NOT NULL,
    tax_micros INTEGER NOT NULL,
    gross_micros INTEGER NOT NULL,
    PRIMARY KEY (tenant, session_id, number),
    FOREIGN KEY(tenant, session_id) REFERENCES payments (tenant, session_id)
) STRICT
"""
_FX_PAIRS = """
CREATE TABLE fx_pairs (
    tenant TEXT NOT NULL,
    pair TEXT NOT NULL,
    position INTEGER NOT NULL,
    terms TEXT NOT NULL,
    PRIMARY KEY (tenant, pair)
) STRICT
"""

_STATEMENTS: tuple[str, ...] = (
    # The BYEs that a process owed when it died.
    _FAREWELLS,
    # Taxes and currencies: nothing was taxed, and a chain was in one currency.
    _TAXES,
    _PAYMENT_TAXES,
    _FX_PAIRS,
    *_SHEETS,
)


def upgrade() -> None:
    """Nothing of what is there changes: versions that are there tell of nobody who made them."""
    for statement in _STATEMENTS:
        op.execute(statement)
