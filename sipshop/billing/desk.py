"""The desk: what a booth's customer owes, and when that may be paid.

A booth session lasts from unlock to checkout; a call belongs to the session that admitted it. Its bill has a version,
so that nobody pays a bill that has grown since it was read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sipshop.billing.errors import BadBill, CallAlive, StaleBill, TenderTooSmall, WrongCurrency
from sipshop.billing.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class BoothSession:
    """One customer's time in a booth.

    `version` counts the charges on its bill; `closed_at_ms` (UTC) is None while the booth is unlocked. A closed session
    that is not `paid` is reopened when the booth is unlocked again.
    """

    tenant: str
    id: int
    booth: str
    opened_at_ms: int
    opened_by: str
    version: int
    closed_at_ms: int | None
    paid: bool

    @property
    def is_open(self) -> bool:
        """Whether the booth may place calls in this session."""
        return self.closed_at_ms is None and not self.paid


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """One charged call on a bill; `explanation` is its arithmetic as `rating.explain` writes it."""

    call_id: str
    answered_at_ms: int
    dialled: str
    e164: str
    destination: str
    talk_ms: int
    billed_s: int
    amount: Money
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a booth session owes at a version; the lines stand in the order in which they were charged.

    Raises:
        BadBill: the total is not the sum of the lines.
        CurrencyMismatch: a line is in another currency than the total.
    """

    tenant: str
    session_id: int
    booth: str
    version: int
    lines: tuple[BillLine, ...]
    total: Money

    def __post_init__(self) -> None:
        if sum_lines(self.lines, self.total.currency) != self.total:
            raise BadBill(f"the bill of booth {self.booth} does not add up to its total of {self.total}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A booth session paid in full: `tendered` was handed over, `change` given back."""

    session_id: int
    version: int
    total: Money
    tendered: Money
    change: Money


def sum_lines(lines: Iterable[BillLine], currency: str) -> Money:
    """Return the sum of the lines' amounts, zero of this currency without any; raises CurrencyMismatch."""
    total = Money(0, currency)
    for line in lines:
        total += line.amount
    return total


def settle_bill(bill: Bill, *, version: int, tendered: Money, live_calls: int) -> Payment:
    """Return the payment of a bill that the operator read at `version`.

    Raises:
        CallAlive: a call of the session is still alive, so the bill is not final.
        StaleBill: the bill is at another version by now.
        WrongCurrency: the tender is in another currency.
        TenderTooSmall: the tender does not cover the total.
    """
    if live_calls:
        raise CallAlive(live_calls)
    if version != bill.version:
        raise _stale(bill, version)
    if tendered.currency != bill.total.currency:
        raise WrongCurrency(bill.total, tendered)
    if tendered < bill.total:
        raise TenderTooSmall(bill.total, tendered)
    return Payment(
        session_id=bill.session_id,
        version=version,
        total=bill.total,
        tendered=tendered,
        change=tendered - bill.total,
    )


def _stale(bill: Bill, version: int) -> StaleBill:
    """Say what was added after `version`: each charge raises the version by one, so it is the last lines."""
    added = bill.version - version
    if not 0 < added <= len(bill.lines):
        return StaleBill(version, bill.version, None, None)
    return StaleBill(version, bill.version, added, sum_lines(bill.lines[-added:], bill.total.currency))
