"""The laws of the books that are asked of the whole database: of accounts, live calls, the outbox and invoices.

What two laws would both see is left to the one that says more. Holds live in the switch's memory, but what a live call
holds can be worked out from its row: the cost of the talk that it was granted.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from sipshop.billing.errors import BillingError
from sipshop.billing.ledger import customer, session_account
from sipshop.billing.rating import cost
from sipshop.store import queries, rows
from sipshop.store.asking import Breach, Check, amount_of, ask, question, words
from sipshop.store.rows import Row
from sipshop.store.schema import TRIGGERS

# I1: one CDR.

_ALIVE_AND_SETTLED: Final = question(
    """
    SELECT DISTINCT calls.tenant, calls.call_id AS subject
    FROM calls CROSS JOIN cdrs ON cdrs.tenant = calls.tenant AND cdrs.call_id = calls.call_id
    """
)
_TWO_FOR_ONE: Final = question(
    """
    SELECT tenant, min(call_id) AS subject, max(call_id) AS other FROM cdrs WHERE leg_b_call_id IS NOT NULL
    GROUP BY tenant, leg_b_call_id HAVING min(call_id) <> max(call_id)
    """
)

# I3: taxes.

_TAXES: Final = question(
    """
    WITH told AS (
      SELECT tax.tenant, 'tax:' || tax.session_id || ':' || tax.number AS key, tax.currency, tax.tax_micros,
        tax.net_micros + tax.tax_micros = tax.gross_micros AS adds_up, 'tax:' || booth_sessions.owner AS account
      FROM payment_taxes AS tax
      JOIN booth_sessions ON booth_sessions.tenant = tax.tenant AND booth_sessions.id = tax.session_id
    )
    SELECT tenant, key AS subject, 'is on a bill, and its net and its tax are not its gross' AS found
    FROM told WHERE NOT adds_up
    UNION ALL
    SELECT told.tenant, told.key AS subject, 'is on a bill that was paid, and was not put aside' AS found
    FROM told LEFT JOIN transfers ON transfers.tenant = told.tenant AND transfers.key = told.key
      AND transfers.kind = 'tax' AND transfers.credit = told.account AND transfers.currency = told.currency
      AND transfers.amount_micros = told.tax_micros
    WHERE told.tax_micros <> 0 AND transfers.key IS NULL
    UNION ALL
    SELECT transfers.tenant, transfers.key AS subject, 'puts a tax aside that is on no bill' AS found
    FROM transfers LEFT JOIN told ON told.tenant = transfers.tenant AND told.key = transfers.key
    WHERE transfers.kind = 'tax' AND told.key IS NULL
    """
)

# I4 and I5: holds and limits.

_LIVE: Final = question(
    """
    SELECT calls.tenant, calls.call_id, calls.session_id, calls.trunk, calls.parties, calls.granted_ms,
      coalesce(calls.relayed_at_ms, calls.setup_at_ms) AS priced_at_ms,
      coalesce(booth_sessions.paid, 1) AS paid
    FROM calls LEFT JOIN booth_sessions
      ON booth_sessions.tenant = calls.tenant AND booth_sessions.id = calls.session_id
    WHERE calls.granted_ms IS NOT NULL
    """
)
_LIMITED: Final = question(
    """
    SELECT tenant, name, currency, balance_micros, credit_limit_micros FROM accounts
    WHERE credit_limit_micros IS NOT NULL AND overdrawn = 0 AND balance_micros + credit_limit_micros < :held
    """
)

# I6: the whole.

_NOT_IN_BALANCE: Final = question(
    """
    SELECT tenant, currency AS subject, sum(balance_micros) AS micros FROM accounts
    GROUP BY tenant, currency HAVING sum(balance_micros) <> 0
    """
)

# I8: what keeps transfers as they were written.

_TRIGGERS_FOUND: Final = question("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")

# I10: the export.

# In the order of the keys, which both tables have an index for: all are compared, and nothing is looked up.
_UNNUMBERED: Final = question(
    """
    WITH missing AS MATERIALIZED (
      SELECT tenant, call_id, revision FROM cdrs
      EXCEPT SELECT tenant, call_id, revision FROM outbox ORDER BY tenant, call_id, revision
    )
    SELECT tenant, call_id AS subject, revision FROM missing
    UNION ALL
    SELECT cdrs.tenant, cdrs.call_id AS subject, cdrs.revision
    FROM outbox CROSS JOIN cdrs
      ON cdrs.tenant = outbox.tenant AND cdrs.call_id = outbox.call_id AND cdrs.revision = outbox.revision
    WHERE outbox.gone = 1
    """
)
_NUMBERED_FOR_NOTHING: Final = question(
    """
    WITH missing AS MATERIALIZED (
      SELECT tenant, call_id, revision FROM outbox
      EXCEPT SELECT tenant, call_id, revision FROM cdrs ORDER BY tenant, call_id, revision
    )
    SELECT outbox.tenant, outbox.call_id AS subject, outbox.number, outbox.revision
    FROM missing CROSS JOIN outbox ON outbox.tenant = missing.tenant AND outbox.call_id = missing.call_id
      AND outbox.revision = missing.revision
    WHERE outbox.gone = 0
    """
)
_OUTBOX_NUMBERS: Final = question(
    """
    SELECT tenant, 'outbox' AS subject FROM outbox
    GROUP BY tenant HAVING min(number) <> 1 OR max(number) <> count(*)
    """
)
_DELIVERIES: Final = question(
    """
    WITH told AS (
      SELECT export_targets.*,
        (SELECT coalesce(max(number), 0) FROM outbox WHERE outbox.tenant = export_targets.tenant) AS last,
        (
          SELECT count(*) FROM export_parked
          WHERE export_parked.tenant = export_targets.tenant AND export_parked.target = export_targets.target
        ) AS parked,
        (
          SELECT count(*) FROM export_parked
          WHERE export_parked.tenant = export_targets.tenant AND export_parked.target = export_targets.target
            AND export_parked.number BETWEEN export_targets.first + 1 AND export_targets.taken
        ) AS parked_behind
      FROM export_targets
    )
    SELECT tenant, target AS subject, first, taken, last, delivered, skipped, parked FROM told
    WHERE NOT (0 <= first AND first <= taken AND taken <= last)
      OR delivered + skipped + parked <> taken - first OR parked_behind <> parked
    """
)

# I11 and I12: invoices. What is dated in a period and came after it was closed is in the next one; the tax of an
# invoice came with it.

_INVOICED: Final = question(
    """
    WITH closed AS (
      SELECT *, 'customer:' || buyer || '@' || seller AS account,
        lag(until_ms, 1, 0) OVER earlier AS after_ms,
        lag(last_transfer, 1, 0) OVER earlier AS after_transfer,
        lag(closing_micros) OVER earlier AS before_micros
      FROM invoices WINDOW earlier AS (PARTITION BY tenant, buyer, seller ORDER BY until_ms)
    ),
    moves AS (
      SELECT tenant, debit AS account, at_ms, rowid AS place, kind, -amount_micros AS micros FROM transfers
      WHERE (tenant, debit) IN (SELECT tenant, account FROM closed)
      UNION ALL
      SELECT tenant, credit AS account, at_ms, rowid AS place, kind, amount_micros AS micros FROM transfers
      WHERE (tenant, credit) IN (SELECT tenant, account FROM closed)
    )
    SELECT closed.tenant, closed.seller || ' ' || closed.name AS subject, closed.currency, closed.opening_micros,
      closed.net_micros, closed.tax_micros, closed.closing_micros, closed.before_micros, closed.document,
      closed.sha256,
      -coalesce(sum(CASE WHEN moves.kind IN ('charge', 'rerating') THEN moves.micros ELSE 0 END), 0) AS net,
      -coalesce(sum(CASE WHEN moves.kind = 'invoice_tax' THEN moves.micros ELSE 0 END), 0) AS tax,
      coalesce(sum(moves.micros), 0) AS moved
    FROM closed LEFT JOIN moves
      ON moves.tenant = closed.tenant AND moves.account = closed.account AND moves.at_ms < closed.until_ms
        AND CASE WHEN moves.kind = 'invoice_tax' THEN moves.at_ms >= closed.from_ms
          ELSE moves.place <= closed.last_transfer
            AND (moves.at_ms >= closed.after_ms OR moves.place > closed.after_transfer) END
    GROUP BY closed.tenant, closed.seller, closed.series, closed.number
    """
)
_NUMBERS: Final = question(
    """
    SELECT tenant, seller || ' ' || series AS subject FROM invoices
    GROUP BY tenant, seller, series HAVING min(number) <> 1 OR max(number) <> count(*)
    """
)
_MEETING: Final = question(
    """
    SELECT one.tenant, one.seller || ' ' || one.name AS subject, other.name AS other
    FROM invoices AS one JOIN invoices AS other
      ON other.tenant = one.tenant AND other.buyer = one.buyer AND other.seller = one.seller
        AND other.until_ms > one.until_ms
    WHERE other.from_ms < one.until_ms OR other.last_transfer < one.last_transfer
    """
)


def _wrongly_invoiced(connection: sqlite3.Connection) -> Iterator[Breach]:
    """I11: invoices that are not what moved, or not what was written."""
    for row in _INVOICED.run(connection, {}):
        currency = row["currency"]
        wanted = (
            ("net", row["net_micros"], row["net"]),
            ("tax", row["tax_micros"], row["tax"]),
            ("balance", row["closing_micros"], row["opening_micros"] + row["moved"]),
            ("opening balance", row["opening_micros"], row["before_micros"] or 0),
        )
        for what, stands, moved in wanted:
            if stands != moved:
                found, due = amount_of(stands, currency), amount_of(moved, currency)
                yield row["tenant"], row["subject"], f"its {what} stands as {found}, the books come to {due}"
        if hashlib.sha256(row["document"].encode()).hexdigest() != row["sha256"]:
            yield row["tenant"], row["subject"], "its document is not the one that was written"


def _accounts_held_on(connection: sqlite3.Connection) -> tuple[dict[tuple[str, str, str], int], list[Breach]]:
    """Work out what live calls hold, by tenant, account and currency; and which of them cannot hold what they do."""
    held: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    breaches: list[Breach] = []
    for row in _LIVE.run(connection, {}).fetchall():
        tenant, call_id = row["tenant"], row["call_id"]
        try:
            parties = rows.call_parties(row["parties"])
        except (BillingError, ValueError) as error:
            breaches.append((tenant, call_id, f"who pays for it cannot be read: {error}"))
            continue
        payers = parties if row["trunk"] is None else parties[:-1]  # the carrier is paid when it is over
        if payers and row["paid"]:
            breaches.append((tenant, call_id, "it is granted talk time, but its booth session is paid or not there"))
            continue
        for level, (seller, buyer, tariff) in enumerate(payers):
            name = customer(buyer, seller) if level else session_account(row["session_id"], seller)
            if queries.ACCOUNT.run(connection, {"tenant": tenant, "account": name}).fetchone() is None:
                breaches.append((tenant, call_id, f"it holds money on {name}, which is not there"))
            amount = cost(tariff, row["priced_at_ms"], row["granted_ms"]).amount
            held[tenant, name, amount.currency] += amount.micros
    return held, breaches


def _held_nowhere(connection: sqlite3.Connection) -> Iterator[Breach]:
    """I4: holds without an account."""
    yield from _accounts_held_on(connection)[1]


def _beyond_their_limit(connection: sqlite3.Connection) -> Iterator[Breach]:
    """I5: less than nothing available, but for what an adjustment took."""
    held, _ = _accounts_held_on(connection)
    for row in _LIMITED.run(connection, {"held": max(held.values(), default=0)}).fetchall():
        balance, limit, currency = row["balance_micros"], row["credit_limit_micros"], row["currency"]
        on_hold = held.get((row["tenant"], row["name"], currency), 0)
        if balance + limit < on_hold:
            told = f"has {amount_of(balance, currency)}, may owe {amount_of(limit, currency)}"
            yield row["tenant"], row["name"], f"{told}, and {amount_of(on_hold, currency)} of it is on hold"


def _changeable(connection: sqlite3.Connection) -> Iterator[Breach]:
    """I8: what should keep transfers and invoices as they were written and number CDRs, and is not there."""
    found = {row["name"]: row["sql"] for row in _TRIGGERS_FOUND.run(connection, {})}
    for name, sql in TRIGGERS.items():
        if found.get(name) != sql:
            yield "", name, "the books are not protected by this trigger any more"


def _delivery_text(row: Row) -> str:
    counts = f"{row['delivered']} delivered, {row['skipped']} skipped and {row['parked']} parked"
    return f"{counts} are not those after {row['first']} up to {row['taken']}, of {row['last']}"


CHECKS: Final = (
    Check("I1", ask(_ALIVE_AND_SETTLED, words("is alive still, but has a CDR"))),
    Check(
        "I1",
        ask(_TWO_FOR_ONE, lambda row: f"is one call to the carrier with {row['other']}, which has a CDR too"),
        is_long=True,
    ),
    Check("I3", ask(_TAXES, lambda row: str(row["found"]))),
    Check("I4", _held_nowhere),
    Check("I5", _beyond_their_limit),
    Check("I6", ask(_NOT_IN_BALANCE, lambda row: f"all balances come to {amount_of(row['micros'], row['subject'])}")),
    Check("I8", _changeable),
    Check(
        "I10",
        ask(_UNNUMBERED, lambda row: f"its revision {row['revision']} has no place in the outbox"),
        is_long=True,
    ),
    Check(
        "I10",
        ask(
            _NUMBERED_FOR_NOTHING,
            lambda row: f"its revision {row['revision']} is number {row['number']} of the outbox, and not there",
        ),
        is_long=True,
    ),
    Check("I10", ask(_OUTBOX_NUMBERS, words("its numbers are not one after the other, from 1"))),
    Check("I10", ask(_DELIVERIES, _delivery_text)),
    Check("I11", _wrongly_invoiced),
    Check("I12", ask(_NUMBERS, words("its invoices are not numbered one after the other, from 1"))),
    Check("I12", ask(_MEETING, lambda row: f"is for a time that invoice {row['other']} is for too")),
)
