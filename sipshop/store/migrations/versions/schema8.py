"""Schema 8: BYEs that are owed are kept; what is sold is taxed, converted, rerated, invoiced and limited.

People come in by pages, booth sessions have notes, and calls for help alarms. There are alerts, and CDRs have numbers
in the outbox, where targets of the export remember how far they are.
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
_RERATING_BATCHES = """
CREATE TABLE rerating_batches (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    asked TEXT NOT NULL,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    begun_at_ms INTEGER NOT NULL,
    done_at_ms INTEGER,
    PRIMARY KEY (tenant, id)
) STRICT
"""
_RERATED = """
CREATE TABLE rerated (
    tenant TEXT NOT NULL,
    call_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    batch TEXT NOT NULL,
    PRIMARY KEY (tenant, call_id, revision)
) STRICT
"""
_LETTERHEADS = """
CREATE TABLE letterheads (
    tenant TEXT NOT NULL,
    party TEXT NOT NULL,
    position INTEGER NOT NULL,
    terms TEXT NOT NULL,
    PRIMARY KEY (tenant, party)
) STRICT
"""
_INVOICES = """
CREATE TABLE invoices (
    tenant TEXT NOT NULL,
    seller TEXT NOT NULL,
    series TEXT NOT NULL,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    buyer TEXT NOT NULL,
    currency TEXT NOT NULL,
    from_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    last_transfer INTEGER NOT NULL,
    opening_micros INTEGER NOT NULL,
    net_micros INTEGER NOT NULL,
    tax_micros INTEGER NOT NULL,
    closing_micros INTEGER NOT NULL,
    closed_at_ms INTEGER NOT NULL,
    author TEXT NOT NULL,
    document TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (tenant, seller, series, number),
    UNIQUE (tenant, seller, name),
    UNIQUE (tenant, buyer, seller, until_ms)
) STRICT
"""
_INVOICES_DO_NOT_CHANGE = (
    "CREATE TRIGGER invoices_do_not_change BEFORE UPDATE ON invoices"
    " BEGIN SELECT RAISE(ABORT, 'invoices are append-only'); END"
)
_INVOICES_DO_NOT_GO = (
    "CREATE TRIGGER invoices_do_not_go BEFORE DELETE ON invoices"
    " BEGIN SELECT RAISE(ABORT, 'invoices are append-only'); END"
)

_STATEMENTS: tuple[str, ...] = (
    # The BYEs that a process owed when it died.
    _FAREWELLS,
    # Taxes and currencies: nothing was taxed, and a chain was in one currency.
    _TAXES,
    _PAYMENT_TAXES,
    _FX_PAIRS,
    # Limits. What a shop has called is known from its records, as far as they go back.
    """
    CREATE TABLE limits (
        tenant TEXT NOT NULL,
        place TEXT NOT NULL,
        name TEXT NOT NULL,
        position INTEGER NOT NULL,
        terms TEXT NOT NULL,
        PRIMARY KEY (tenant, place, name)
    ) STRICT
    """,
    """
    CREATE TABLE limit_stands (
        tenant TEXT NOT NULL,
        place TEXT NOT NULL,
        name TEXT NOT NULL,
        rule TEXT NOT NULL,
        prefix TEXT NOT NULL,
        standing TEXT NOT NULL,
        since_ms INTEGER NOT NULL,
        until_ms INTEGER,
        PRIMARY KEY (tenant, place, name, rule, prefix)
    ) STRICT
    """,
    """
    CREATE TABLE called (
        tenant TEXT NOT NULL,
        shop TEXT NOT NULL,
        digits TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, shop, digits)
    ) STRICT
    """,
    """
    CREATE TABLE alerts (
        tenant TEXT NOT NULL,
        id INTEGER NOT NULL,
        raised_at_ms INTEGER NOT NULL,
        kind TEXT NOT NULL,
        action TEXT NOT NULL,
        place TEXT NOT NULL,
        name TEXT NOT NULL,
        party TEXT NOT NULL,
        shop TEXT,
        rule TEXT NOT NULL,
        prefix TEXT NOT NULL,
        detail TEXT NOT NULL,
        healed_at_ms INTEGER,
        acked_at_ms INTEGER,
        acked_by TEXT,
        PRIMARY KEY (tenant, id)
    ) STRICT
    """,
    """
    INSERT INTO called (tenant, shop, digits, at_ms)
    SELECT tenant, shop, substr(e164, 1, 4), max(setup_at_ms) FROM cdrs
    WHERE e164 IS NOT NULL AND direction = 'outbound' AND result <> 'refused'
    GROUP BY tenant, shop, substr(e164, 1, 4)
    """,
    # Rerating, statements and invoices: nothing was rerated, and no period closed.
    _RERATING_BATCHES,
    _RERATED,
    _LETTERHEADS,
    _INVOICES,
    _INVOICES_DO_NOT_CHANGE,
    _INVOICES_DO_NOT_GO,
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
    *_SHEETS,
    # Who comes in by the pages.
    """
    CREATE TABLE logins (
        tenant TEXT NOT NULL,
        operator TEXT NOT NULL,
        password TEXT NOT NULL,
        totp TEXT,
        totp_step INTEGER NOT NULL,
        language TEXT NOT NULL,
        changed_at_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, operator)
    ) STRICT
    """,
    """
    CREATE TABLE web_sessions (
        tenant TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        operator TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        seen_at_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, sha256),
        UNIQUE (sha256)
    ) STRICT
    """,
    # The floor of a shop: notes and alarms.
    """
    CREATE TABLE session_notes (
        tenant TEXT NOT NULL,
        session_id INTEGER NOT NULL,
        note TEXT NOT NULL,
        author TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, session_id),
        FOREIGN KEY(tenant, session_id) REFERENCES booth_sessions (tenant, id)
    ) STRICT
    """,
    """
    CREATE TABLE alarms (
        tenant TEXT NOT NULL,
        call_id TEXT NOT NULL,
        shop TEXT NOT NULL,
        booth TEXT NOT NULL,
        dialled TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        acknowledged_at_ms INTEGER,
        acknowledged_by TEXT,
        PRIMARY KEY (tenant, call_id)
    ) STRICT
    """,
    "CREATE INDEX open_alarms ON alarms (tenant, at_ms) WHERE acknowledged_at_ms IS NULL",
)


def upgrade() -> None:
    """Nothing of what is there changes: nobody had limits, and versions that are there tell of nobody who made them."""
    for statement in _STATEMENTS:
        op.execute(statement)
