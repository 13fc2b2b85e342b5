"""The laws of the books that are asked of each call in doubt: its chain of charges, their prices and their transfers.

`set_aside` copies what the sieve has left: the records and charges of calls, as `doubted_cdrs` and `doubted_charges`,
the names of transfers that no call was found for, as `strays`, and what moved on each account, as `sums`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

from sqlalchemy import text

from sipshop.billing.errors import BillingError
from sipshop.billing.ledger import WORLD
from sipshop.billing.money import Money
from sipshop.billing.rerate import booked_again
from sipshop.store import queries, rows
from sipshop.store.asking import Breach, Check, amount_of, ask, question, words
from sipshop.store.prices import Prices
from sipshop.store.rows import Row
from sipshop.store.schema import Statement
from sipshop.store.sieve import Sifted


def _statements(sql: str) -> tuple[Statement, ...]:
    return tuple(Statement(text(each)) for each in sql.split(";"))


_ASIDE: Final = _statements("""
    CREATE TEMP TABLE doubted (tenant TEXT, call_id TEXT, PRIMARY KEY (tenant, call_id)) WITHOUT ROWID;
    CREATE TEMP TABLE strays (tenant TEXT, key TEXT, kind TEXT, PRIMARY KEY (tenant, key)) WITHOUT ROWID;
    CREATE TEMP TABLE sums (
      tenant TEXT, name TEXT, currency TEXT, micros INTEGER, PRIMARY KEY (tenant, name, currency)
    ) WITHOUT ROWID
""")
_COPIES: Final = _statements("""
    CREATE TEMP TABLE doubted_cdrs AS SELECT cdrs.* FROM doubted CROSS JOIN cdrs
      ON cdrs.tenant = doubted.tenant AND cdrs.call_id = doubted.call_id;
    CREATE UNIQUE INDEX temp.doubted_cdrs_by_key ON doubted_cdrs (tenant, call_id, revision);
    CREATE TEMP TABLE doubted_charges AS SELECT charges.* FROM doubted CROSS JOIN charges
      ON charges.tenant = doubted.tenant AND charges.call_id = doubted.call_id;
    CREATE UNIQUE INDEX temp.doubted_charges_by_key ON doubted_charges (tenant, call_id, revision, level)
""")


def set_aside(connection: sqlite3.Connection, sifted: Sifted) -> None:
    """Copy what the laws are to be asked of, inside a transaction that the copies go with when it is rolled back."""
    for statement in _ASIDE:
        statement.run(connection, {})
    connection.executemany("INSERT INTO doubted VALUES (?, ?)", sifted.doubted)
    connection.executemany("INSERT INTO strays VALUES (?, ?, ?)", sifted.strays)
    connection.executemany(
        "INSERT INTO sums VALUES (?, ?, ?, ?)", ((*account, micros) for account, micros in sifted.sums.items())
    )
    for statement in _COPIES:
        statement.run(connection, {})


# I1: one CDR.

_REVISIONS: Final = question(
    """
    SELECT tenant, call_id AS subject FROM doubted_cdrs
    GROUP BY tenant, call_id HAVING min(revision) <> 0 OR max(revision) + 1 <> count(*)
    """
)

# I2: the chain of charges.

_CHARGED_FOR_NOTHING: Final = question(
    """
    SELECT DISTINCT charges.tenant, charges.call_id AS subject
    FROM doubted_charges AS charges LEFT JOIN doubted_cdrs AS cdrs
      ON cdrs.tenant = charges.tenant AND cdrs.call_id = charges.call_id AND cdrs.revision = charges.revision
    WHERE charges.level = 0
      AND (cdrs.answered_at_ms IS NULL OR cdrs.kind = 'emergency' OR cdrs.direction <> 'outbound')
    """
)
_TALKED_FOR_NOTHING: Final = question(
    """
    SELECT tenant, call_id AS subject, talk_ms FROM doubted_cdrs AS cdrs
    WHERE kind = 'call' AND direction = 'outbound' AND answered_at_ms IS NOT NULL AND talk_ms > 0
      AND NOT EXISTS (
        SELECT 1 FROM doubted_charges AS charges
        WHERE charges.tenant = cdrs.tenant AND charges.call_id = cdrs.call_id AND charges.revision = cdrs.revision
      )
    """
)
_LEVELS: Final = question(
    """
    SELECT tenant, call_id AS subject FROM doubted_charges
    GROUP BY tenant, call_id, revision HAVING min(level) <> 0 OR max(level) + 1 <> count(*)
    """
)
_BROKEN_CHAIN: Final = question(
    """
    SELECT low.tenant, low.call_id AS subject, low.level, low.seller, high.buyer
    FROM doubted_charges AS low JOIN doubted_charges AS high
      ON high.tenant = low.tenant AND high.call_id = low.call_id AND high.revision = low.revision
        AND high.level = low.level + 1
    WHERE low.seller <> high.buyer
    """
)
_CHAIN_BEGINS: Final = question(
    """
    SELECT first.tenant, first.call_id AS subject, first.buyer
    FROM doubted_charges AS first
    JOIN doubted_cdrs AS cdrs
      ON cdrs.tenant = first.tenant AND cdrs.call_id = first.call_id AND cdrs.revision = first.revision
    WHERE first.level = 0 AND first.buyer <> cdrs.booth
    """
)
_CHAIN_ENDS: Final = question(
    """
    SELECT last.tenant, last.call_id AS subject, last.buyer
    FROM doubted_charges AS last
    LEFT JOIN parties ON parties.tenant = last.tenant AND parties.name = last.buyer AND parties.kind = 'provider'
    WHERE parties.name IS NULL AND NOT EXISTS (
      SELECT 1 FROM doubted_charges AS above
      WHERE above.tenant = last.tenant AND above.call_id = last.call_id AND above.revision = last.revision
        AND above.level = last.level + 1
    )
    """
)

# I3: charges and transfers.

# The transfer that each charge must have, by the names that billing.ledger gives keys and accounts; of a
# revision it is what it differs by from the one before, the other way round where that is less.
_DUE: Final = """
    WITH due AS (
      SELECT charges.tenant, charges.call_id, charges.revision, charges.level, charges.currency,
        charges.amount_micros - CASE WHEN charges.revision = 0 THEN 0 ELSE coalesce((
          SELECT before.amount_micros FROM doubted_charges AS before
          WHERE before.tenant = charges.tenant AND before.call_id = charges.call_id
            AND before.revision = charges.revision - 1 AND before.level = charges.level
        ), 0) END AS amount_micros,
        charges.call_id || ':' || charges.level || ':' || charges.revision AS key,
        CASE
          WHEN level = highest THEN 'carrier_cost:' || buyer
          WHEN level = 0 THEN 'session:' || cdrs.session_id || '@' || seller
          ELSE 'customer:' || buyer || '@' || seller
        END AS debit,
        CASE WHEN level = highest THEN 'payable:' ELSE 'revenue:' END || seller AS credit,
        highest
      FROM (
        SELECT tenant, call_id, revision, max(level) AS highest FROM doubted_charges GROUP BY tenant, call_id, revision
      ) AS ends
      JOIN doubted_charges AS charges
        ON charges.tenant = ends.tenant AND charges.call_id = ends.call_id AND charges.revision = ends.revision
      LEFT JOIN doubted_cdrs AS cdrs
        ON cdrs.tenant = charges.tenant AND cdrs.call_id = charges.call_id AND cdrs.revision = charges.revision
    )
"""
# Where the money comes from and goes to is the rest of all accounts: I6 sees it.
_BALANCES: Final = question(
    """
    SELECT accounts.tenant, accounts.name AS subject, accounts.currency, accounts.balance_micros,
      coalesce(sums.micros, 0) AS micros
    FROM accounts LEFT JOIN sums
      ON sums.tenant = accounts.tenant AND sums.name = accounts.name AND sums.currency = accounts.currency
    WHERE accounts.name <> :world AND accounts.balance_micros <> coalesce(sums.micros, 0)
    UNION ALL
    SELECT sums.tenant, sums.name AS subject, sums.currency, 0 AS balance_micros, sums.micros
    FROM sums LEFT JOIN accounts
      ON accounts.tenant = sums.tenant AND accounts.name = sums.name AND accounts.currency = sums.currency
    WHERE sums.name <> :world AND accounts.name IS NULL
    """
)
_UNPAID_CHARGES: Final = question(
    """
    SELECT due.tenant, due.key AS subject, due.debit, due.credit, due.currency, due.amount_micros
    FROM due LEFT JOIN transfers ON transfers.tenant = due.tenant AND transfers.key = due.key
      AND transfers.kind = CASE WHEN due.revision = 0 THEN 'charge' ELSE 'rerating' END
      AND transfers.debit = CASE WHEN due.amount_micros < 0 THEN due.credit ELSE due.debit END
      AND transfers.credit = CASE WHEN due.amount_micros < 0 THEN due.debit ELSE due.credit END
      AND transfers.currency = due.currency AND transfers.amount_micros = abs(due.amount_micros)
    WHERE due.amount_micros <> 0 AND transfers.key IS NULL
    """,
    given=_DUE,
)
_CHARGED_TWICE: Final = question(
    """
    SELECT tenant, key AS subject FROM strays WHERE kind IN ('charge', 'rerating')
    EXCEPT SELECT tenant, key AS subject FROM due WHERE amount_micros <> 0
    """,
    given=_DUE,
)

# I7: prices.

_CHARGED: Final = question(
    """
    SELECT charges.tenant, charges.call_id, charges.level, charges.currency, charges.amount_micros, charges.duration_s,
      charges.billed_s, charges.tariff, charges.lines, cdrs.talk_ms,
      coalesce(cdrs.answered_at_ms, cdrs.setup_at_ms) AS answered_at_ms
    FROM doubted_charges AS charges JOIN doubted_cdrs AS cdrs
      ON cdrs.tenant = charges.tenant AND cdrs.call_id = charges.call_id AND cdrs.revision = charges.revision
    """
)

# I8: keys.

_BAD_KEYS: Final = question(
    r"""
    SELECT tenant, key AS subject, kind FROM strays
    WHERE NOT CASE kind
      WHEN 'charge' THEN key LIKE '_%\:_%\:_%'
      WHEN 'rerating' THEN key LIKE '_%\:_%\:_%'
      WHEN 'deposit' THEN key LIKE 'deposit:_%' OR key LIKE 'topup:_%'
      WHEN 'opening' THEN key LIKE 'opening:_%'
      WHEN 'checkout' THEN key LIKE 'checkout:_%'
      WHEN 'payment' THEN key LIKE 'payment:_%'
      WHEN 'adjustment' THEN key LIKE 'adjustment:_%'
      WHEN 'goods' THEN key LIKE 'item:_%\:_%'
      WHEN 'discount' THEN key LIKE 'item:_%\:_%'
      WHEN 'void' THEN key LIKE 'item:_%\:_%'
      WHEN 'rounding' THEN key LIKE 'rounding:_%'
      WHEN 'tax' THEN key LIKE 'tax:_%\:_%'
      WHEN 'invoice_tax' THEN key LIKE 'invoice:_%\:_%'
      WHEN 'fx' THEN key LIKE '_%\:_%\:_%\:from' OR key LIKE '_%\:_%\:_%\:to'
      ELSE 0
    END
    """
)

# I9: what came in to all parties less what went out, by their transfers, against the two ends of the chain. Within a
# currency: what somebody has converted came from his money of one and went to his money of another.

_MARGINS: Final = question(
    """
    SELECT due.tenant, due.call_id AS subject, due.currency,
      sum(sign(due.amount_micros) * coalesce(transfers.amount_micros, 0)
        * ((due.level < due.highest) - (due.level > 0))) AS margins,
      sum(CASE WHEN due.level = 0 THEN due.amount_micros ELSE 0 END)
        - sum(CASE WHEN due.level = due.highest THEN due.amount_micros ELSE 0 END) AS spread
    FROM due LEFT JOIN transfers ON transfers.tenant = due.tenant AND transfers.key = due.key
    GROUP BY due.tenant, due.call_id, due.revision, due.currency
    HAVING margins <> spread
    """,
    given=_DUE,
)
_TWO_CURRENCIES: Final = question(
    r"""
    SELECT low.tenant, low.call_id AS subject, low.seller, low.currency AS earned, high.currency AS paid
    FROM doubted_charges AS low JOIN doubted_charges AS high
      ON high.tenant = low.tenant AND high.call_id = low.call_id AND high.revision = low.revision
        AND high.level = low.level + 1
    WHERE low.currency <> high.currency
      AND low.tariff NOT LIKE '%"books"\:%' AND high.tariff NOT LIKE '%"books"\:%'
    """
)
_CONVERTED: Final = question(
    r"""
    SELECT charges.tenant, charges.call_id || ':' || charges.level || ':' || charges.revision AS key, charges.seller,
      charges.buyer, charges.currency, charges.amount_micros, charges.tariff, NOT EXISTS (
        SELECT 1 FROM doubted_charges AS above
        WHERE above.tenant = charges.tenant AND above.call_id = charges.call_id AND above.revision = charges.revision
          AND above.level = charges.level + 1
      ) AS is_last,
      before.tariff AS old_tariff, before.amount_micros AS old_micros
    FROM doubted_charges AS charges LEFT JOIN doubted_charges AS before
      ON before.tenant = charges.tenant AND before.call_id = charges.call_id AND before.level = charges.level
        AND before.revision = charges.revision - 1
    WHERE charges.tariff LIKE '%"books"\:%'
    """
)
_CONVERTED_FOR_NOTHING: Final = question(
    r"""
    SELECT tenant, key AS subject FROM strays WHERE kind = 'fx'
    EXCEPT SELECT tenant, call_id || ':' || level || ':' || revision || '\:from' FROM doubted_charges
      WHERE tariff LIKE '%"books"\:%'
    EXCEPT SELECT tenant, call_id || ':' || level || ':' || revision || '\:to' FROM doubted_charges
      WHERE tariff LIKE '%"books"\:%'
    """
)


def _wrongly_priced(connection: sqlite3.Connection) -> Iterator[Breach]:
    """I7: what is not the cost of its talk."""
    prices = Prices()
    # Unpacked and not asked by name: there may be many of them.
    for tenant, call_id, level, currency, micros, duration_s, billed_s, tariff, lines, talk_ms, at_ms in _CHARGED.run(
        connection, {}
    ):
        try:
            due = prices.price(tariff, at_ms, talk_ms)
        except (BillingError, ValueError) as error:
            yield tenant, f"{call_id} level {level}", f"its price cannot be worked out: {error}"
            continue
        if due != (micros, currency, duration_s, billed_s, lines):
            due_text, found_text = amount_of(due.amount_micros, due.currency), amount_of(micros, currency)
            yield tenant, f"{call_id} level {level}", f"is {due_text} by its tariff, and stands as {found_text}"


#: What a transfer is compared by.
_MOVED: Final = ("kind", "debit", "credit", "currency", "amount_micros")


def _wrongly_converted(connection: sqlite3.Connection) -> Iterator[Breach]:
    """I9: what is not converted in somebody's books by the rate that the call kept."""
    for row in _CONVERTED.run(connection, {}):
        try:
            tariff = rows.tariff(row["tariff"])
            old = tariff if row["old_tariff"] is None else rows.tariff(row["old_tariff"])
        except (BillingError, ValueError):
            continue  # I7 tells of it
        if min(row["amount_micros"], row["old_micros"] or 0) < 0:
            continue  # likewise
        if any(each.books is not None and each.books.source != row["currency"] for each in (tariff, old)):
            yield row["tenant"], row["key"], f"is in {row['currency']}, and converted from another currency"
            continue
        amount, before = (Money(row[name] or 0, row["currency"]) for name in ("amount_micros", "old_micros"))
        for due in booked_again(
            row["key"],
            (old, before),
            (tariff, amount),
            seller=row["seller"],
            buyer=row["buyer"],
            is_last=bool(row["is_last"]),
        ):
            found = queries.TRANSFER.run(connection, {"tenant": row["tenant"], "key": due.key}).fetchone()
            wanted = (due.kind, due.debit, due.credit, due.amount.currency, due.amount.micros)
            if found is None or tuple(found[name] for name in _MOVED) != wanted:
                yield row["tenant"], due.key, f"{due.amount} was not moved from {due.debit} to {due.credit}"


def _margins_text(row: Row) -> str:
    margins, spread = amount_of(row["margins"], row["currency"]), amount_of(row["spread"], row["currency"])
    return f"its margins come to {margins}, its two ends are {spread} apart"


CHECKS: Final = (
    Check("I1", ask(_REVISIONS, words("its CDR's revisions are not one after the other, from 0"))),
    Check("I2", ask(_CHARGED_FOR_NOTHING, words("is charged, but no CDR of an answered call to a carrier says why"))),
    Check("I2", ask(_TALKED_FOR_NOTHING, lambda row: f"talked {row['talk_ms']} ms, and nobody is charged")),
    Check("I2", ask(_LEVELS, words("its levels are not one after the other, from 0"))),
    Check(
        "I2",
        ask(_BROKEN_CHAIN, lambda row: f"{row['seller']} sells at level {row['level']}, {row['buyer']} buys above"),
    ),
    Check("I2", ask(_CHAIN_BEGINS, lambda row: f"is paid by {row['buyer']}, which is not its booth")),
    Check("I2", ask(_CHAIN_ENDS, lambda row: f"its carrier is paid by {row['buyer']}, who is not the provider")),
    Check(
        "I3",
        ask(
            _BALANCES,
            lambda row: (
                f"has {amount_of(row['balance_micros'], row['currency'])}, "
                f"its transfers come to {amount_of(row['micros'], row['currency'])}"
            ),
            world=WORLD,
        ),
    ),
    Check(
        "I3",
        ask(
            _UNPAID_CHARGES,
            lambda row: (
                f"{amount_of(row['amount_micros'], row['currency'])} was charged, "
                f"but not moved from {row['debit']} to {row['credit']}"
            ),
        ),
    ),
    Check("I3", ask(_CHARGED_TWICE, words("moves money for a charge that is not there"))),
    Check("I7", _wrongly_priced),
    Check("I8", ask(_BAD_KEYS, lambda row: f"is no key of a transfer of kind {row['kind']!r}")),
    Check("I9", ask(_MARGINS, _margins_text)),
    Check(
        "I9",
        ask(
            _TWO_CURRENCIES,
            lambda row: f"{row['seller']} earns {row['earned']}, pays {row['paid']}, and converts nothing",
        ),
    ),
    Check("I9", _wrongly_converted),
    Check("I9", ask(_CONVERTED_FOR_NOTHING, words("converts money for a charge that is not there"))),
)
