"""Schema 8: BYEs that are owed are kept; what is sold may be taxed, and be in another currency; CDRs have numbers.

Those are of the outbox, where targets of the export remember how far they are.
"""

from __future__ import annotations

from alembic import op

revision = "8"
down_revision = "7"

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
    # The outbox. What is there gets its numbers in the order in which it was written.
    """
    CREATE TABLE outbox (
        tenant TEXT NOT NULL,
        number INTEGER NOT NULL,
        call_id TEXT NOT NULL,
        revision INTEGER NOT NULL,
        gone INTEGER NOT NULL CHECK (gone IN (0, 1)),
        PRIMARY KEY (tenant, number),
        UNIQUE (tenant, call_id, revision)
    ) WITHOUT ROWID, STRICT
    """,
    """
    CREATE TABLE export_targets (
        tenant TEXT NOT NULL,
        target TEXT NOT NULL,
        first INTEGER NOT NULL,
        taken INTEGER NOT NULL,
        delivered INTEGER NOT NULL,
        skipped INTEGER NOT NULL,
        PRIMARY KEY (tenant, target)
    ) STRICT
    """,
    """
    CREATE TABLE export_parked (
        tenant TEXT NOT NULL,
        target TEXT NOT NULL,
        number INTEGER NOT NULL,
        why TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        is_due INTEGER NOT NULL CHECK (is_due IN (0, 1)),
        PRIMARY KEY (tenant, target, number)
    ) STRICT
    """,
    """
    INSERT INTO outbox (tenant, number, call_id, revision, gone)
    SELECT tenant, row_number() OVER (PARTITION BY tenant ORDER BY rowid), call_id, revision, 0 FROM cdrs
    """,
    (
        "CREATE TRIGGER cdrs_are_numbered AFTER INSERT ON cdrs BEGIN"
        " INSERT INTO outbox (tenant, number, call_id, revision, gone)"
        " SELECT NEW.tenant, coalesce(max(number), 0) + 1, NEW.call_id, NEW.revision, 0"
        " FROM outbox WHERE tenant = NEW.tenant; END"
    ),
    (
        "CREATE TRIGGER cdrs_keep_their_number AFTER DELETE ON cdrs BEGIN"
        " UPDATE outbox SET gone = 1"
        " WHERE tenant = OLD.tenant AND call_id = OLD.call_id AND revision = OLD.revision; END"
    ),
)


def upgrade() -> None:
    """Nothing of what is there changes."""
    for statement in _STATEMENTS:
        op.execute(statement)
