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
from sipshop.store.prices import Prices
from sipshop.store.rows import Row
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


#: The columns of what is asked for, as they come.
_COLUMNS: Final = (
    *("tariff", "answered_at_ms", "talk_ms"),
    *("amount_micros", "currency", "duration_s", "billed_s", "lines"),
    *("tenant", "call_id", "revision", "level", "seller", "buyer"),
)
_CHARGES: Final = Statement(
    text(
        """
        SELECT charges.tariff, coalesce(cdrs.answered_at_ms, cdrs.setup_at_ms), cdrs.talk_ms,
          charges.amount_micros, charges.currency, charges.duration_s, charges.billed_s, charges.lines,
          charges.tenant, charges.call_id, charges.revision, charges.level, charges.seller, charges.buyer
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
            connection.row_factory = None  # there are millions of charges: those that differ get names
            charges = (row for each in tenants for row in _CHARGES.run(connection, asked | {"tenant": each}))
            return _verified(charges, tell)
    except sqlite3.Error as error:
        raise Unusable(path, str(error)) from error


def _verified(charges: Iterator[tuple[Any, ...]], tell: Tell) -> Verified:
    prices = Prices()
    found: list[Difference] = []
    count = more = 0
    for count, charge in enumerate(charges, 1):
        if count % _ROWS_BETWEEN == 0:
            tell(count, 0)
        if _is_right(prices, charge):
            continue
        if len(found) < MOST_TOLD:
            found.append(_difference(dict(zip(_COLUMNS, charge, strict=True))))
        else:
            more += 1
    return Verified(charges=count, differences=tuple(found), more=more)


def _is_right(prices: Prices, charge: tuple[Any, ...]) -> bool:
    tariff, answered_at_ms, talk_ms, *_ = charge
    try:
        return prices.price(tariff, answered_at_ms, talk_ms) == charge[3:8]
    except (BillingError, ValueError):
        return False


def _difference(row: Row) -> Difference:
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
