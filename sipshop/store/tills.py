"""The laws of the books that are asked of tills: of what moved there, of shifts, and of their reports."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from typing import Final

from sipshop.billing.errors import BillingError
from sipshop.billing.shift import Report
from sipshop.store.asking import Breach, Check, amount_of, ask, question, words

# I15: what customers have handed over, in the ledger and in the book of the till. Their accounts are named by
# `drawer.TENDERED`.

_DUE: Final = """
    WITH kinds (kind, method) AS (
      VALUES ('till', 'cash'), ('card', 'card'), ('mobile', 'mobile'), ('voucher', 'voucher')
    ),
    tenants AS (SELECT DISTINCT tenant FROM shops),
    due AS (
      SELECT transfers.tenant, transfers.key, kinds.method, substr(transfers.debit, length(kinds.kind) + 2) AS shop,
        transfers.currency, transfers.amount_micros AS micros, transfers.author, transfers.at_ms
      FROM tenants CROSS JOIN kinds CROSS JOIN transfers ON transfers.tenant = tenants.tenant
        AND transfers.debit >= kinds.kind || ':' AND transfers.debit < kinds.kind || ';'
      UNION ALL
      SELECT transfers.tenant, transfers.key, kinds.method, substr(transfers.credit, length(kinds.kind) + 2) AS shop,
        transfers.currency, -transfers.amount_micros AS micros, transfers.author, transfers.at_ms
      FROM tenants CROSS JOIN kinds CROSS JOIN transfers ON transfers.tenant = tenants.tenant
        AND transfers.credit >= kinds.kind || ':' AND transfers.credit < kinds.kind || ';'
    )
"""
_UNNOTED: Final = question(
    """
    SELECT due.tenant, due.key AS subject, due.shop, due.currency, due.micros
    FROM due LEFT JOIN till_moves AS moves
      ON moves.tenant = due.tenant AND moves.key = due.key AND moves.method = due.method AND moves.shop = due.shop
        AND moves.currency = due.currency AND moves.amount_micros = due.micros AND moves.author = due.author
        AND moves.at_ms = due.at_ms
    WHERE moves.key IS NULL
    """,
    given=_DUE,
)
_NOTED_FOR_NOTHING: Final = question(
    """
    SELECT tenant, key AS subject, shop, currency, amount_micros AS micros FROM till_moves AS moves
    WHERE kind IN ('deposit', 'checkout', 'refund') AND NOT EXISTS (
      SELECT 1 FROM transfers
      WHERE transfers.tenant = moves.tenant AND transfers.key = moves.key
        AND (CASE moves.method WHEN 'cash' THEN 'till' ELSE moves.method END) || ':' || moves.shop
          IN (transfers.debit, transfers.credit)
    )
    """
)
_MOVE_NUMBERS: Final = question(
    """
    SELECT tenant, shop AS subject FROM till_moves
    GROUP BY tenant, shop HAVING min(number) <> 1 OR max(number) <> count(*)
    """
)
_ANOTHERS: Final = question(
    """
    SELECT moves.tenant, moves.key AS subject, moves.shop, moves.shift, moves.author, shifts.operator
    FROM till_moves AS moves LEFT JOIN shifts
      ON shifts.tenant = moves.tenant AND shifts.shop = moves.shop AND shifts.number = moves.shift
    WHERE moves.shift IS NOT NULL AND (
      shifts.number IS NULL OR shifts.currency <> moves.currency
      OR (moves.kind NOT IN ('in', 'out') AND shifts.operator <> moves.author)
    )
    """
)

# I16: shifts and their reports.

_SHIFTS: Final = question(
    """
    SELECT shifts.tenant, shifts.shop || ' ' || shifts.number AS subject,
      CASE WHEN moves.key IS NULL THEN 'began with another float than is in the book of its till'
        ELSE 'is closed without a Z report, or has one and is open' END AS found
    FROM shifts
    LEFT JOIN till_moves AS moves ON moves.tenant = shifts.tenant AND moves.shop = shifts.shop
      AND moves.shift = shifts.number AND moves.kind = 'float' AND moves.amount_micros = shifts.float_micros
    LEFT JOIN z_reports ON z_reports.tenant = shifts.tenant AND z_reports.shop = shifts.shop
      AND z_reports.shift = shifts.number
    WHERE moves.key IS NULL OR (shifts.closed_at_ms IS NULL) <> (z_reports.number IS NULL)
    UNION ALL
    SELECT tenant, shop AS subject, 'its shifts are not numbered one after the other, from 1' AS found FROM shifts
    GROUP BY tenant, shop HAVING min(number) <> 1 OR max(number) <> count(*)
    """
)
_Z_NUMBERS: Final = question(
    """
    SELECT tenant, shop AS subject FROM z_reports
    GROUP BY tenant, shop HAVING min(number) <> 1 OR max(number) <> count(*)
    """
)
_Z_SUMS: Final = question(
    """
    WITH told AS (
      SELECT *, lag(last_move, 1, (
        SELECT min(number) FROM till_moves
        WHERE till_moves.tenant = z_reports.tenant AND till_moves.shop = z_reports.shop AND kind = 'float'
      )) OVER (PARTITION BY tenant, shop ORDER BY number) AS after_move
      FROM z_reports
    )
    SELECT told.*, told.shop || ' Z ' || told.number AS subject,
      (
        SELECT coalesce(sum(amount_micros), 0) FROM till_moves AS moves
        WHERE moves.tenant = told.tenant AND moves.shop = told.shop AND moves.shift = told.shift
          AND moves.method = 'cash'
      ) AS moved,
      (
        SELECT coalesce(sum(amount_micros), 0) FROM till_moves AS moves
        WHERE moves.tenant = told.tenant AND moves.shop = told.shop AND moves.shift IS NULL AND moves.method = 'cash'
          AND moves.currency = told.currency AND moves.number > told.after_move AND moves.number <= told.last_move
      ) AS outside
    FROM told
    """
)


def _wrongly_reported(connection: sqlite3.Connection) -> Iterator[Breach]:
    """I16: Z reports that are not what moved, or not what was written."""
    for row in _Z_SUMS.run(connection, {}):
        tenant, subject, currency = row["tenant"], row["subject"], row["currency"]
        for what, stands, moved in (
            ("cash in the drawer", row["expected_micros"], row["moved"]),
            ("cash outside all shifts", row["outside_micros"], row["outside"]),
        ):
            if stands != moved:
                found, due = amount_of(stands, currency), amount_of(moved, currency)
                yield tenant, subject, f"its {what} stands as {found}, the book of the till comes to {due}"
        if hashlib.sha256(row["document"].encode()).hexdigest() != row["sha256"]:
            yield tenant, subject, "its document is not the one that was written"
        elif not _is_of(row["document"], row["expected_micros"], row["counted_micros"]):
            yield tenant, subject, "its document tells other figures than stand beside it"


def _is_of(document: str, expected_micros: int, counted_micros: int) -> bool:
    """Whether a report's document can be read, and tells these figures."""
    try:
        report = Report.from_json(json.loads(document))
    except (BillingError, KeyError, TypeError, ValueError):
        return False
    counted = None if report.counted is None else report.counted.micros
    return (report.expected.micros, counted) == (expected_micros, counted_micros)


CHECKS: Final = (
    Check(
        "I15",
        ask(
            _UNNOTED,
            lambda row: (
                f"{amount_of(row['micros'], row['currency'])} came to {row['shop']}, and is not in the book of its till"
            ),
        ),
        is_long=True,
    ),
    Check(
        "I15",
        ask(
            _NOTED_FOR_NOTHING,
            lambda row: (
                f"{amount_of(row['micros'], row['currency'])} is in the book of the till of {row['shop']}, "
                "and no transfer moved it"
            ),
        ),
        is_long=True,
    ),
    Check("I15", ask(_MOVE_NUMBERS, words("the movements at its till are not numbered one after the other, from 1"))),
    Check(
        "I15",
        ask(
            _ANOTHERS, lambda row: f"{row['author']} moved it in shift {row['shift']} of {row['operator'] or 'nobody'}"
        ),
    ),
    Check("I16", ask(_SHIFTS, lambda row: str(row["found"]))),
    Check("I16", ask(_Z_NUMBERS, words("its Z reports are not numbered one after the other, from 1"))),
    Check("I16", _wrongly_reported),
)
