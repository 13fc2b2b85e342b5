"""Charges worked out once more, from the tariff and the talk time that each call kept, and shown where they differ.

The audit says that a charge is wrong (law I7); this says how: the arithmetic as it stands beside that which is due.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import text

from sipshop.billing.errors import BillingError
from sipshop.billing.money import format_micros
from sipshop.billing.rating import cost, explain
from sipshop.store import queries, rows
from sipshop.store.connect import Tell, connect_reader, secret_of, tell_nobody
from sipshop.store.errors import Unusable
from sipshop.store.prices import Price, Prices
from sipshop.store.schema import Statement

#: How many differences are told; the others are counted.
MOST_TOLD: Final = 1_000
_ROWS_BETWEEN: Final = 10_000
_EVER: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A charge that is not what its talk costs: the amount and the arithmetic as they stand, and as they should."""

    tenant: str
    call_id: str
    revision: int
    level: int
    seller: str
    buyer: str
    currency: str
    stands: str
    stands_lines: str
    due: str
    due_lines: str

    def to_json(self) -> dict[str, Any]:
        """Return it in plain JSON types, amounts as decimal strings."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """How many charges were worked out once more, those that differ, and how many more of these there are."""

    charges: int
    differences: tuple[Difference, ...]
    more: int

    def to_json(self) -> dict[str, Any]:
        """Return it in plain JSON types."""
        return {
            "clean": not self.differences,
            "charges": self.charges,
            "differences": [difference.to_json() for difference in self.differences],
            "more": self.more,
        }


_CHARGES: Final = Statement(
    text(
        """
        SELECT cdrs.tenant, cdrs.call_id, cdrs.revision, cdrs.talk_ms,
          coalesce(cdrs.answered_at_ms, cdrs.setup_at_ms) AS answered_at_ms,
          charges.level, charges.seller, charges.buyer, charges.currency, charges.amount_micros, charges.duration_s,
          charges.billed_s, charges.tariff, charges.lines
        FROM cdrs CROSS JOIN charges
          ON charges.tenant = cdrs.tenant AND charges.call_id = cdrs.call_id AND charges.revision = cdrs.revision
        WHERE cdrs.tenant = :tenant AND cdrs.setup_at_ms >= :since_ms AND cdrs.setup_at_ms < :until_ms
          AND (:party IS NULL OR charges.seller = :party OR charges.buyer = :party)
        """
    )
)


def verify_file(
    path: Path,
    tenant: str | None = None,
    *,
    since_ms: int = 0,
    until_ms: int | None = None,
    party: str | None = None,
    tell: Tell = tell_nobody,
) -> Verified:
    """Work out the charges in a database once more, whether a server runs on it or not: of one tenant, or of all.

    Those of calls that were set up from `since_ms` to before `until_ms` (UTC), and that `party` pays or is paid by if
    it is given. `tell` hears how many are done.

    Raises:
        NewerSchema, OlderSchema: another sipshop made it.
        Unusable: it is not there, damaged, or no database of ours.
    """
    try:
        with closing(connect_reader(path)) as connection:
            if secret_of(connection, path) is None:
                raise Unusable(path, "there is nothing in it")
            connection.execute("BEGIN")
            asked = {"since_ms": since_ms, "until_ms": _EVER if until_ms is None else until_ms, "party": party}
            tenants = [row["tenant"] for row in queries.TENANTS.run(connection, {})] if tenant is None else [tenant]
            charges = (row for each in tenants for row in _CHARGES.run(connection, asked | {"tenant": each}))
            return _verified(charges, tell)
    except sqlite3.Error as error:
        raise Unusable(path, str(error)) from error


def _verified(charges: Iterator[sqlite3.Row], tell: Tell) -> Verified:
    prices = Prices()
    found: list[Difference] = []
    count = more = 0
    for count, row in enumerate(charges, 1):
        if count % _ROWS_BETWEEN == 0:
            tell(count, 0)
        if _is_right(prices, row):
            continue
        if len(found) < MOST_TOLD:
            found.append(_difference(row))
        else:
            more += 1
    return Verified(charges=count, differences=tuple(found), more=more)


def _is_right(prices: Prices, row: sqlite3.Row) -> bool:
    try:
        due = prices.price(row["tariff"], row["answered_at_ms"], row["talk_ms"])
    except (BillingError, ValueError):
        return False
    return due == Price(row["amount_micros"], row["currency"], row["duration_s"], row["billed_s"], row["lines"])


def _difference(row: sqlite3.Row) -> Difference:
    try:
        due = cost(rows.tariff(row["tariff"]), row["answered_at_ms"], row["talk_ms"])
        due_text, due_lines = format_micros(due.amount.micros), explain(due)
        if due.amount.currency != row["currency"]:
            due_text = f"{due_text} {due.amount.currency}"
    except (BillingError, ValueError) as error:
        due_text, due_lines = "unknown", f"the tariff that it kept cannot be read: {error}"
    try:
        stands_lines = explain(rows.cost(row))
    except (BillingError, ValueError, TypeError) as error:
        stands_lines = f"its arithmetic cannot be read: {error}"
    return Difference(
        tenant=row["tenant"],
        call_id=row["call_id"],
        revision=row["revision"],
        level=row["level"],
        seller=row["seller"],
        buyer=row["buyer"],
        currency=row["currency"],
        stands=format_micros(row["amount_micros"]),
        stands_lines=stands_lines,
        due=due_text,
        due_lines=due_lines,
    )
