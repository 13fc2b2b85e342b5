"""The audit: the laws of the books, each asked of the whole database at one instant.

A law is a question for what breaks it; a database that keeps it gives nothing back. What two laws would both see is
left to the one that says more. Holds live in the switch's memory, but what a live call holds can be worked out from its
row: the cost of the talk that it was granted.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from sqlalchemy import text

from sipshop.billing.errors import BillingError
from sipshop.billing.ledger import WORLD, customer, session_account
from sipshop.billing.money import Money, amount_text
from sipshop.billing.rating import cost
from sipshop.billing.rerate import booked_again
from sipshop.store import queries, rows
from sipshop.store.connect import Tell, connect_reader, secret_of, tell_nobody
from sipshop.store.errors import Unusable
from sipshop.store.prices import Prices
from sipshop.store.rows import Row
from sipshop.store.schema import TRIGGERS, Statement

LAWS: Final[Mapping[str, str]] = {
    "I1": "An attempt has one CDR at most, and no call is alive that has one.",
    "I2": "A talked call is charged at every level from its booth to the carrier; nothing else is charged.",
    "I3": "A balance is the sum of the account's transfers, and every charge has its transfer.",
    "I4": "What live calls hold, they hold on accounts that are there.",
    "I5": "No account is owed more, with what live calls hold on it, than its credit limit allows.",
    "I6": "All balances of a currency come to nothing together.",
    "I7": "A charge is what the call's talk time costs by the tariff that the call kept.",
    "I8": "A transfer has a key that says what it is for, once in the tenant, and stays as it was written.",
    "I9": "The margins of a call and the tax in it come to what its booth paid less what its carrier gets.",
    "I10": "Every CDR is in the outbox, and each target has what it should up to where it stands.",
    "I11": "An invoice is as it was written, and comes to what moved on its account in its period.",
    "I12": "A seller's invoices are numbered one after the other, and their periods do not meet.",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """A law that does not hold: `subject` is the call, account or transfer of a tenant ("" for the database itself)."""

    law: str
    tenant: str
    subject: str
    text: str


def audit_file(path: Path, tell: Tell = tell_nobody, *, processes: int = 1) -> list[Violation]:
    """Audit a database, whether a server runs on it or not; `tell` hears how many checks are done, and of how many.

    Several processes share the checks. Each check sees one commit, which need not be that of the next: a law holds
    after every one.

    Raises:
        NewerSchema, OlderSchema: another sipshop made it.
        Unusable: it is not there, damaged, or no database of ours.
    """
    try:
        with closing(connect_reader(path)) as connection:
            if secret_of(connection, path) is None:
                raise Unusable(path, "there is nothing in it")
            if processes == 1:
                return audit(connection, tell)
        return _audit_together(path, tell, processes)
    except sqlite3.Error as error:
        raise Unusable(path, str(error)) from error


def _audit_together(path: Path, tell: Tell, processes: int) -> list[Violation]:
    """Have each check made by the next process that is free, those first that last long."""
    found: dict[int, list[Violation]] = {}
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        order = sorted(range(len(_CHECKS)), key=lambda number: -_CHECKS[number].weight)
        made = {pool.submit(_checked, path, number): number for number in order}
        for done in as_completed(made):
            found[made[done]] = done.result()
            tell(len(found), len(_CHECKS))
    return [violation for number in sorted(found) for violation in found[number]]


def _checked(path: Path, number: int) -> list[Violation]:
    """What a check finds; raises sqlite3.Error."""
    check = _CHECKS[number]
    with closing(connect_reader(path)) as connection:
        connection.execute("PRAGMA cache_size=-65536")
        connection.execute("BEGIN")
        return [Violation(check.law, *breach) for breach in check.find(connection)]


def audit(connection: sqlite3.Connection, tell: Tell = tell_nobody) -> list[Violation]:
    """Return every breach, in the order of the laws; all questions see the same commit."""
    connection.execute("BEGIN")
    try:
        violations: list[Violation] = []
        for number, check in enumerate(_CHECKS):
            tell(number, len(_CHECKS))
            violations += (Violation(check.law, *breach) for breach in check.find(connection))
        return violations
    finally:
        connection.execute("ROLLBACK")


_Breach = tuple[str, str, str]
_Find = Callable[[sqlite3.Connection], Iterator[_Breach]]


@dataclass(frozen=True, slots=True)
class _Check:
    """One question that a law asks; `weight` is about how many seconds it takes of a million CDRs."""

    law: str
    find: _Find
    weight: int = 1


def _question(sql: str, *, given: str = "") -> Statement:
    """A statement of SQL that stands here; `given` is what it has in common with others."""
    return Statement(text(given + sql))


def _ask(question: Statement, found: Callable[[Row], str], **values: object) -> _Find:
    """The check that asks for `tenant` and `subject` of what breaks a law, and tells it by the row."""

    def check(connection: sqlite3.Connection) -> Iterator[_Breach]:
        for row in question.run(connection, values):
            yield row["tenant"], row["subject"], found(row)

    return check


def _is(what: str) -> Callable[[Row], str]:
    """What is told of every row in the same words."""
    return lambda _row: what


def _amount(micros: int, currency: str) -> str:
    return f"{amount_text(micros, currency)} {currency}"


# I1: one CDR.

_ALIVE_AND_SETTLED: Final = _question(
    """
    SELECT DISTINCT calls.tenant, calls.call_id AS subject
    FROM calls JOIN cdrs ON cdrs.tenant = calls.tenant AND cdrs.call_id = calls.call_id
    """
)
_REVISIONS: Final = _question(
    """
    SELECT tenant, call_id AS subject FROM cdrs
    GROUP BY tenant, call_id HAVING min(revision) <> 0 OR max(revision) + 1 <> count(*)
    """
)
_TWO_FOR_ONE: Final = _question(
    """
    SELECT tenant, min(call_id) AS subject, max(call_id) AS other FROM cdrs WHERE leg_b_call_id IS NOT NULL
    GROUP BY tenant, leg_b_call_id HAVING min(call_id) <> max(call_id)
    """
)

# I2: the chain of charges.

_CHARGED_FOR_NOTHING: Final = _question(
    """
    SELECT DISTINCT charges.tenant, charges.call_id AS subject
    FROM charges LEFT JOIN cdrs
      ON cdrs.tenant = charges.tenant AND cdrs.call_id = charges.call_id AND cdrs.revision = charges.revision
    WHERE charges.level = 0
      AND (cdrs.answered_at_ms IS NULL OR cdrs.kind = 'emergency' OR cdrs.direction <> 'outbound')
    """
)
_TALKED_FOR_NOTHING: Final = _question(
    """
    SELECT tenant, call_id AS subject, talk_ms FROM cdrs
    WHERE kind = 'call' AND direction = 'outbound' AND answered_at_ms IS NOT NULL AND talk_ms > 0
      AND NOT EXISTS (
        SELECT 1 FROM charges
        WHERE charges.tenant = cdrs.tenant AND charges.call_id = cdrs.call_id AND charges.revision = cdrs.revision
      )
    """
)
_LEVELS: Final = _question(
    """
    SELECT tenant, call_id AS subject FROM charges
    GROUP BY tenant, call_id, revision HAVING min(level) <> 0 OR max(level) + 1 <> count(*)
    """
)
_BROKEN_CHAIN: Final = _question(
    """
    SELECT low.tenant, low.call_id AS subject, low.level, low.seller, high.buyer
    FROM charges AS low JOIN charges AS high
      ON high.tenant = low.tenant AND high.call_id = low.call_id AND high.revision = low.revision
        AND high.level = low.level + 1
    WHERE low.seller <> high.buyer
    """
)
_CHAIN_BEGINS: Final = _question(
    """
    SELECT first.tenant, first.call_id AS subject, first.buyer
    FROM charges AS first
    JOIN cdrs ON cdrs.tenant = first.tenant AND cdrs.call_id = first.call_id AND cdrs.revision = first.revision
    WHERE first.level = 0 AND first.buyer <> cdrs.booth
    """
)
_CHAIN_ENDS: Final = _question(
    """
    SELECT last.tenant, last.call_id AS subject, last.buyer
    FROM charges AS last
    LEFT JOIN parties ON parties.tenant = last.tenant AND parties.name = last.buyer AND parties.kind = 'provider'
    WHERE parties.name IS NULL AND NOT EXISTS (
      SELECT 1 FROM charges AS above
      WHERE above.tenant = last.tenant AND above.call_id = last.call_id AND above.revision = last.revision
        AND above.level = last.level + 1
    )
    """
)

# I3: balances and transfers. Where the money comes from and goes to is the rest of all accounts: I6 sees it.

_BALANCES: Final = _question(
    """
    WITH sums AS (
      SELECT tenant, name, currency, sum(micros) AS micros
      FROM (
        SELECT tenant, credit AS name, currency, sum(amount_micros) AS micros FROM transfers GROUP BY 1, 2, 3
        UNION ALL
        SELECT tenant, debit AS name, currency, -sum(amount_micros) AS micros FROM transfers GROUP BY 1, 2, 3
      ) AS moves
      WHERE name <> :world
      GROUP BY tenant, name, currency
    )
    SELECT accounts.tenant, accounts.name AS subject, accounts.currency, accounts.balance_micros,
      coalesce(sums.micros, 0) AS micros
    FROM accounts LEFT JOIN sums
      ON sums.tenant = accounts.tenant AND sums.name = accounts.name AND sums.currency = accounts.currency
    WHERE accounts.name <> :world AND accounts.balance_micros <> coalesce(sums.micros, 0)
    UNION ALL
    SELECT sums.tenant, sums.name AS subject, sums.currency, 0 AS balance_micros, sums.micros
    FROM sums LEFT JOIN accounts
      ON accounts.tenant = sums.tenant AND accounts.name = sums.name AND accounts.currency = sums.currency
    WHERE accounts.name IS NULL
    """
)

# Nearly every charge has the transfer that it must have: those that have not are found first, then looked at in full.
_SUSPECTS: Final = """
    WITH suspects AS MATERIALIZED (
      SELECT DISTINCT charges.tenant, charges.call_id, charges.revision
      FROM charges
      LEFT JOIN transfers ON transfers.tenant = charges.tenant
        AND transfers.key = charges.call_id || ':' || charges.level || ':' || charges.revision
      WHERE charges.revision > 0 OR charges.amount_micros <> 0 AND (
        transfers.amount_micros IS NOT charges.amount_micros OR transfers.currency <> charges.currency
        OR transfers.kind <> 'charge'
        OR CASE
          WHEN NOT EXISTS (
      SELECT 1 FROM charges AS above
      WHERE above.tenant = charges.tenant AND above.call_id = charges.call_id AND above.revision = charges.revision
        AND above.level = charges.level + 1
    ) THEN
            transfers.debit <> 'carrier_cost:' || charges.buyer OR transfers.credit <> 'payable:' || charges.seller
          WHEN charges.level = 0 THEN
            transfers.debit IS NOT (
              SELECT 'session:' || cdrs.session_id || '@' || charges.seller FROM cdrs
              WHERE cdrs.tenant = charges.tenant AND cdrs.call_id = charges.call_id
                AND cdrs.revision = charges.revision
            )
            OR transfers.credit <> 'revenue:' || charges.seller
          ELSE
            transfers.debit <> 'customer:' || charges.buyer || '@' || charges.seller
            OR transfers.credit <> 'revenue:' || charges.seller
        END
      )
    )
"""
# Of a sum that goes up and down the chain its ends are left: margins can be wrong only where one of those is.
_UNEVEN: Final = """
    WITH suspects AS MATERIALIZED (
      SELECT DISTINCT charges.tenant, charges.call_id, charges.revision
      FROM charges LEFT JOIN transfers ON transfers.tenant = charges.tenant
        AND transfers.key = charges.call_id || ':' || charges.level || ':' || charges.revision
      WHERE charges.revision > 0 OR coalesce(transfers.amount_micros, 0) <> charges.amount_micros AND (
        charges.level = 0 OR NOT EXISTS (
          SELECT 1 FROM charges AS above
          WHERE above.tenant = charges.tenant AND above.call_id = charges.call_id AND above.revision = charges.revision
            AND above.level = charges.level + 1
        )
      )
    )
"""
_ALL: Final = "WITH suspects AS (SELECT DISTINCT tenant, call_id, revision FROM charges)"
# The transfer that each of their charges must have, by the names that billing.ledger gives keys and accounts; of a
# revision it is what it differs by from the one before, the other way round where that is less.
_DUE: Final = """
    , due AS (
      SELECT charges.tenant, charges.call_id, charges.revision, charges.level, charges.currency,
        charges.amount_micros - CASE WHEN charges.revision = 0 THEN 0 ELSE coalesce((
          SELECT before.amount_micros FROM charges AS before
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
        SELECT suspects.tenant, suspects.call_id, suspects.revision, max(charges.level) AS highest
        FROM suspects JOIN charges ON charges.tenant = suspects.tenant AND charges.call_id = suspects.call_id
          AND charges.revision = suspects.revision
        GROUP BY suspects.tenant, suspects.call_id, suspects.revision
      ) AS ends
      JOIN charges
        ON charges.tenant = ends.tenant AND charges.call_id = ends.call_id AND charges.revision = ends.revision
      LEFT JOIN cdrs
        ON cdrs.tenant = charges.tenant AND cdrs.call_id = charges.call_id AND cdrs.revision = charges.revision
    )
"""
_UNPAID_CHARGES: Final = _question(
    """
    SELECT due.tenant, due.key AS subject, due.debit, due.credit, due.currency, due.amount_micros
    FROM due LEFT JOIN transfers ON transfers.tenant = due.tenant AND transfers.key = due.key
      AND transfers.kind = CASE WHEN due.revision = 0 THEN 'charge' ELSE 'rerating' END
      AND transfers.debit = CASE WHEN due.amount_micros < 0 THEN due.credit ELSE due.debit END
      AND transfers.credit = CASE WHEN due.amount_micros < 0 THEN due.debit ELSE due.credit END
      AND transfers.currency = due.currency AND transfers.amount_micros = abs(due.amount_micros)
    WHERE due.amount_micros <> 0 AND transfers.key IS NULL
    """,
    given=_SUSPECTS + _DUE,
)
_CHARGE_TRANSFERS: Final = _question("SELECT count(*) AS count FROM transfers WHERE kind IN ('charge', 'rerating')")
_CHARGES_MOVED: Final = _question(
    """
    SELECT count(*) AS count
    FROM charges CROSS JOIN transfers ON transfers.tenant = charges.tenant
        AND transfers.key = charges.call_id || ':' || charges.level || ':' || charges.revision
    WHERE transfers.kind IN ('charge', 'rerating')
    """
)
_CHARGED_TWICE: Final = _question(
    """
    SELECT tenant, key AS subject FROM transfers WHERE kind IN ('charge', 'rerating')
    EXCEPT SELECT tenant, key AS subject FROM due WHERE amount_micros <> 0
    """,
    given=_ALL + _DUE,
)

_TAXES: Final = _question(
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

_LIVE: Final = _question(
    """
    SELECT calls.tenant, calls.call_id, calls.session_id, calls.trunk, calls.parties, calls.granted_ms,
      coalesce(calls.relayed_at_ms, calls.setup_at_ms) AS priced_at_ms,
      coalesce(booth_sessions.paid, 1) AS paid
    FROM calls LEFT JOIN booth_sessions
      ON booth_sessions.tenant = calls.tenant AND booth_sessions.id = calls.session_id
    WHERE calls.granted_ms IS NOT NULL
    """
)
_LIMITED: Final = _question(
    """
    SELECT tenant, name, currency, balance_micros, credit_limit_micros FROM accounts
    WHERE credit_limit_micros IS NOT NULL AND overdrawn = 0 AND balance_micros + credit_limit_micros < :held
    """
)

# I6: the whole.

_NOT_IN_BALANCE: Final = _question(
    """
    SELECT tenant, currency AS subject, sum(balance_micros) AS micros FROM accounts
    GROUP BY tenant, currency HAVING sum(balance_micros) <> 0
    """
)

# I7: prices.

_CHARGED: Final = _question(
    """
    SELECT charges.tenant, charges.call_id, charges.level, charges.currency, charges.amount_micros, charges.duration_s,
      charges.billed_s, charges.tariff, charges.lines, cdrs.talk_ms,
      coalesce(cdrs.answered_at_ms, cdrs.setup_at_ms) AS answered_at_ms
    FROM charges JOIN cdrs
      ON cdrs.tenant = charges.tenant AND cdrs.call_id = charges.call_id AND cdrs.revision = charges.revision
    """
)

# I8: keys.

_BAD_KEYS: Final = _question(
    r"""
    SELECT tenant, key AS subject, kind FROM transfers
    WHERE NOT CASE kind
      WHEN 'charge' THEN key LIKE '_%\:_%\:_%'
      WHEN 'rerating' THEN key LIKE '_%\:_%\:_%'
      WHEN 'deposit' THEN key LIKE 'deposit:_%' OR key LIKE 'topup:_%'
      WHEN 'opening' THEN key LIKE 'opening:_%'
      WHEN 'checkout' THEN key LIKE 'checkout:_%'
      WHEN 'payment' THEN key LIKE 'payment:_%'
      WHEN 'adjustment' THEN key LIKE 'adjustment:_%'
      WHEN 'tax' THEN key LIKE 'tax:_%\:_%'
      WHEN 'invoice_tax' THEN key LIKE 'invoice:_%\:_%'
      WHEN 'fx' THEN key LIKE '_%\:_%\:_%\:from' OR key LIKE '_%\:_%\:_%\:to'
      ELSE 0
    END
    """
)
_TRIGGERS_FOUND: Final = _question("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")

# I9: what came in to all parties less what went out, by their transfers, against the two ends of the chain.

# Within a currency: what somebody has converted came from his money of one and went to his money of another.

_MARGINS: Final = _question(
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
    given=_UNEVEN + _DUE,
)

# I10: the export.

_UNNUMBERED: Final = _question(
    """
    SELECT cdrs.tenant, cdrs.call_id AS subject, cdrs.revision FROM cdrs
    WHERE NOT EXISTS (
      SELECT 1 FROM outbox WHERE outbox.tenant = cdrs.tenant AND outbox.call_id = cdrs.call_id
        AND outbox.revision = cdrs.revision AND outbox.gone = 0
    )
    """
)
_NUMBERED_FOR_NOTHING: Final = _question(
    """
    SELECT outbox.tenant, outbox.call_id AS subject, outbox.number, outbox.revision FROM outbox
    WHERE outbox.gone = 0 AND NOT EXISTS (
      SELECT 1 FROM cdrs WHERE cdrs.tenant = outbox.tenant AND cdrs.call_id = outbox.call_id
        AND cdrs.revision = outbox.revision
    )
    """
)
_OUTBOX_NUMBERS: Final = _question(
    """
    SELECT tenant, 'outbox' AS subject FROM outbox
    GROUP BY tenant HAVING min(number) <> 1 OR max(number) <> count(*)
    """
)
_DELIVERIES: Final = _question(
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
_TWO_CURRENCIES: Final = _question(
    r"""
    SELECT low.tenant, low.call_id AS subject, low.seller, low.currency AS earned, high.currency AS paid
    FROM charges AS low JOIN charges AS high
      ON high.tenant = low.tenant AND high.call_id = low.call_id AND high.revision = low.revision
        AND high.level = low.level + 1
    WHERE low.currency <> high.currency
      AND low.tariff NOT LIKE '%"books"\:%' AND high.tariff NOT LIKE '%"books"\:%'
    """
)
_CONVERTED: Final = _question(
    r"""
    SELECT charges.tenant, charges.call_id || ':' || charges.level || ':' || charges.revision AS key, charges.seller,
      charges.buyer, charges.currency, charges.amount_micros, charges.tariff, NOT EXISTS (
        SELECT 1 FROM charges AS above
        WHERE above.tenant = charges.tenant AND above.call_id = charges.call_id AND above.revision = charges.revision
          AND above.level = charges.level + 1
      ) AS is_last,
      before.tariff AS old_tariff, before.amount_micros AS old_micros
    FROM charges LEFT JOIN charges AS before
      ON before.tenant = charges.tenant AND before.call_id = charges.call_id AND before.level = charges.level
        AND before.revision = charges.revision - 1
    WHERE charges.tariff LIKE '%"books"\:%'
    """
)
_CONVERTED_FOR_NOTHING: Final = _question(
    r"""
    SELECT tenant, key AS subject FROM transfers WHERE kind = 'fx'
    EXCEPT SELECT tenant, call_id || ':' || level || ':' || revision || '\:from' FROM charges
      WHERE tariff LIKE '%"books"\:%'
    EXCEPT SELECT tenant, call_id || ':' || level || ':' || revision || '\:to' FROM charges
      WHERE tariff LIKE '%"books"\:%'
    """
)

# I11 and I12: invoices. What is dated in a period and came after it was closed is in the next one; the tax of an
# invoice came with it.

_INVOICED: Final = _question(
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
_NUMBERS: Final = _question(
    """
    SELECT tenant, seller || ' ' || series AS subject FROM invoices
    GROUP BY tenant, seller, series HAVING min(number) <> 1 OR max(number) <> count(*)
    """
)
_MEETING: Final = _question(
    """
    SELECT one.tenant, one.seller || ' ' || one.name AS subject, other.name AS other
    FROM invoices AS one JOIN invoices AS other
      ON other.tenant = one.tenant AND other.buyer = one.buyer AND other.seller = one.seller
        AND other.until_ms > one.until_ms
    WHERE other.from_ms < one.until_ms OR other.last_transfer < one.last_transfer
    """
)


def _wrongly_invoiced(connection: sqlite3.Connection) -> Iterator[_Breach]:
    """I11: invoices that are not what moved, or not what was written."""
    for row in _INVOICED.run(connection, {}):
        currency = row["currency"]
        due = (
            ("net", row["net_micros"], row["net"]),
            ("tax", row["tax_micros"], row["tax"]),
            ("balance", row["closing_micros"], row["opening_micros"] + row["moved"]),
            ("opening balance", row["opening_micros"], row["before_micros"] or 0),
        )
        for what, stands, moved in due:
            if stands != moved:
                told = f"its {what} stands as {_amount(stands, currency)}, the books come to {_amount(moved, currency)}"
                yield row["tenant"], row["subject"], told
        if hashlib.sha256(row["document"].encode()).hexdigest() != row["sha256"]:
            yield row["tenant"], row["subject"], "its document is not the one that was written"


def _accounts_held_on(connection: sqlite3.Connection) -> tuple[dict[tuple[str, str, str], int], list[_Breach]]:
    """Work out what live calls hold, by tenant, account and currency; and which of them cannot hold what they do."""
    held: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    breaches: list[_Breach] = []
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


def _held_nowhere(connection: sqlite3.Connection) -> Iterator[_Breach]:
    """I4: holds without an account."""
    yield from _accounts_held_on(connection)[1]


def _beyond_their_limit(connection: sqlite3.Connection) -> Iterator[_Breach]:
    """I5: less than nothing available, but for what an adjustment took."""
    held, _ = _accounts_held_on(connection)
    for row in _LIMITED.run(connection, {"held": max(held.values(), default=0)}).fetchall():
        balance, limit, currency = row["balance_micros"], row["credit_limit_micros"], row["currency"]
        on_hold = held.get((row["tenant"], row["name"], currency), 0)
        if balance + limit < on_hold:
            told = f"has {_amount(balance, currency)}, may owe {_amount(limit, currency)}"
            yield row["tenant"], row["name"], f"{told}, and {_amount(on_hold, currency)} of it is on hold"


def _wrongly_priced(connection: sqlite3.Connection) -> Iterator[_Breach]:
    """I7: what is not the cost of its talk."""
    prices = Prices()
    # Unpacked and not asked by name: there are millions of them.
    for tenant, call_id, level, currency, micros, duration_s, billed_s, tariff, lines, talk_ms, at_ms in _CHARGED.run(
        connection, {}
    ):
        try:
            due = prices.price(tariff, at_ms, talk_ms)
        except (BillingError, ValueError) as error:
            yield tenant, f"{call_id} level {level}", f"its price cannot be worked out: {error}"
            continue
        if due != (micros, currency, duration_s, billed_s, lines):
            due_text, found_text = _amount(due.amount_micros, due.currency), _amount(micros, currency)
            yield tenant, f"{call_id} level {level}", f"is {due_text} by its tariff, and stands as {found_text}"


def _charged_twice(connection: sqlite3.Connection) -> Iterator[_Breach]:
    """I3: transfers of charges that are not there; their keys are one each, so as many as charges is none too many."""
    moved, made = (question.run(connection, {}).fetchone()["count"] for question in (_CHARGES_MOVED, _CHARGE_TRANSFERS))
    if moved != made:
        yield from _ask(_CHARGED_TWICE, _is("moves money for a charge that is not there"))(connection)


def _changeable(connection: sqlite3.Connection) -> Iterator[_Breach]:
    """I8: what should keep transfers and invoices as they were written and number CDRs, and is not there."""
    found = {row["name"]: row["sql"] for row in _TRIGGERS_FOUND.run(connection, {})}
    for name, sql in TRIGGERS.items():
        if found.get(name) != sql:
            yield "", name, "the books are not protected by this trigger any more"


def _wrongly_converted(connection: sqlite3.Connection) -> Iterator[_Breach]:
    """I9: what is not converted in somebody's books by the rate that the call kept."""
    for row in _CONVERTED.run(connection, {}):
        try:
            tariff = rows.tariff(row["tariff"])
            old = tariff if row["old_tariff"] is None else rows.tariff(row["old_tariff"])
        except (BillingError, ValueError):
            continue  # I7 tells of it
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
            if found is None or rows.transfer(found) != due:
                yield row["tenant"], due.key, f"{due.amount} was not moved from {due.debit} to {due.credit}"


def _margins_text(row: Row) -> str:
    margins, spread = _amount(row["margins"], row["currency"]), _amount(row["spread"], row["currency"])
    return f"its margins come to {margins}, its two ends are {spread} apart"


def _delivery_text(row: Row) -> str:
    counts = f"{row['delivered']} delivered, {row['skipped']} skipped and {row['parked']} parked"
    return f"{counts} are not those after {row['first']} up to {row['taken']}, of {row['last']}"


_CHECKS: Final = (
    _Check("I1", _ask(_ALIVE_AND_SETTLED, _is("is alive still, but has a CDR"))),
    _Check("I1", _ask(_REVISIONS, _is("its CDR's revisions are not one after the other, from 0"))),
    _Check(
        "I1", _ask(_TWO_FOR_ONE, lambda row: f"is one call to the carrier with {row['other']}, which has a CDR too"), 2
    ),
    _Check(
        "I2", _ask(_CHARGED_FOR_NOTHING, _is("is charged, but no CDR of an answered call to a carrier says why")), 3
    ),
    _Check("I2", _ask(_TALKED_FOR_NOTHING, lambda row: f"talked {row['talk_ms']} ms, and nobody is charged"), 3),
    _Check("I2", _ask(_LEVELS, _is("its levels are not one after the other, from 0")), 2),
    _Check(
        "I2",
        _ask(_BROKEN_CHAIN, lambda row: f"{row['seller']} sells at level {row['level']}, {row['buyer']} buys above"),
        7,
    ),
    _Check("I2", _ask(_CHAIN_BEGINS, lambda row: f"is paid by {row['buyer']}, which is not its booth"), 3),
    _Check("I2", _ask(_CHAIN_ENDS, lambda row: f"its carrier is paid by {row['buyer']}, who is not the provider"), 6),
    _Check(
        "I3",
        _ask(
            _BALANCES,
            lambda row: (
                f"has {_amount(row['balance_micros'], row['currency'])}, "
                f"its transfers come to {_amount(row['micros'], row['currency'])}"
            ),
            world=WORLD,
        ),
        8,
    ),
    _Check(
        "I3",
        _ask(
            _UNPAID_CHARGES,
            lambda row: (
                f"{_amount(row['amount_micros'], row['currency'])} was charged, "
                f"but not moved from {row['debit']} to {row['credit']}"
            ),
        ),
        20,
    ),
    _Check("I3", _charged_twice, 6),
    _Check("I3", _ask(_TAXES, lambda row: str(row["found"]))),
    _Check("I4", _held_nowhere),
    _Check("I5", _beyond_their_limit),
    _Check("I6", _ask(_NOT_IN_BALANCE, lambda row: f"all balances come to {_amount(row['micros'], row['subject'])}")),
    _Check("I7", _wrongly_priced, 25),
    _Check("I8", _ask(_BAD_KEYS, lambda row: f"is no key of a transfer of kind {row['kind']!r}"), 2),
    _Check("I8", _changeable),
    _Check("I9", _ask(_MARGINS, _margins_text), 12),
    _Check(
        "I9",
        _ask(
            _TWO_CURRENCIES,
            lambda row: f"{row['seller']} earns {row['earned']}, pays {row['paid']}, and converts nothing",
        ),
        10,
    ),
    _Check("I9", _wrongly_converted, 8),
    _Check("I9", _ask(_CONVERTED_FOR_NOTHING, _is("converts money for a charge that is not there")), 8),
    _Check("I10", _ask(_UNNUMBERED, lambda row: f"its revision {row['revision']} has no place in the outbox"), 2),
    _Check(
        "I10",
        _ask(
            _NUMBERED_FOR_NOTHING,
            lambda row: f"its revision {row['revision']} is number {row['number']} of the outbox, and not there",
        ),
        2,
    ),
    _Check("I10", _ask(_OUTBOX_NUMBERS, _is("its numbers are not one after the other, from 1"))),
    _Check("I10", _ask(_DELIVERIES, _delivery_text)),
    _Check("I11", _wrongly_invoiced),
    _Check("I12", _ask(_NUMBERS, _is("its invoices are not numbered one after the other, from 1"))),
    _Check("I12", _ask(_MEETING, lambda row: f"is for a time that invoice {row['other']} is for too")),
)
