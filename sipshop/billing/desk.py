"""The desk: what a booth's customer owes, and when that may be paid.

A booth session lasts from unlock to checkout; a call belongs to the session that admitted it. Its bill has a version,
so that nobody pays a bill that has grown since it was read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sipshop.billing.errors import BadBill, BadTerms, CallAlive, StaleBill, TenderTooSmall, WrongCurrency
from sipshop.billing.money import Money
from sipshop.billing.tax import Tax, TaxSum, taxes_within


@dataclass(frozen=True, slots=True, kw_only=True)
class BoothSession:
    """One customer's time in a booth; `owner` is the shop's, who charges it.

    `version` counts the charges on its bill; `closed_at_ms` (UTC) is None while the booth is unlocked. A closed session
    that is not `paid` is reopened when the booth is unlocked again.

    `deposit_micros` is what was paid in beforehand, `credit_limit_micros` what may be spent beyond it (None: no end),
    `talk_limit_ms` how long all its calls together may talk (None: no end).
    """

    tenant: str
    id: int
    booth: str
    owner: str
    opened_at_ms: int
    opened_by: str
    version: int
    closed_at_ms: int | None
    paid: bool
    deposit_micros: int = 0
    credit_limit_micros: int | None = None
    talk_limit_ms: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether the booth may place calls in this session."""
        return self.closed_at_ms is None and not self.paid


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTerms:
    """What a booth is unlocked for: a deposit that was paid, a limit on what may be owed, a talk time, or no limit.

    Raises:
        BadTerms: more than one of them, or one that is nothing.
    """

    deposit: Money | None = None
    limit: Money | None = None
    talk_limit_ms: int | None = None

    def __post_init__(self) -> None:
        given = [term for term in (self.deposit, self.limit, self.talk_limit_ms) if term is not None]
        if len(given) > 1:
            raise BadTerms("a booth is unlocked for a deposit, a limit or minutes: give one of them")
        for term in given:
            if (term.micros if isinstance(term, Money) else term) <= 0:
                raise BadTerms("a deposit, a limit or minutes must be more than nothing")

    @property
    def none(self) -> bool:
        """Whether the customer may call without end and pays afterwards."""
        return self.deposit is None and self.limit is None and self.talk_limit_ms is None


POSTPAID: Final = SessionTerms()


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """One charged call on a bill; `explanation` is its arithmetic as `rating.explain` writes it.

    `amount` is what the customer pays for it, with its `tax`.
    """

    call_id: str
    answered_at_ms: int
    dialled: str
    e164: str
    destination: str
    talk_ms: int
    billed_s: int
    amount: Money
    explanation: str
    tax: Tax | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a booth session owes at a version; the lines stand in the order in which they were charged.

    `total` is gross: `net` and `tax` come to it. The tax is that of the total, and not a sum of rounded ones. `deposit`
    was paid before; what is over goes back to the customer.

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
    deposit: Money

    @property
    def taxes(self) -> tuple[TaxSum, ...]:
        """What is taxed, one sum for each rate."""
        return taxes_within((line.tax, line.amount) for line in self.lines)

    @property
    def tax(self) -> Money:
        """All tax in the total."""
        return sum_taxes(self.taxes, self.total.currency)

    @property
    def net(self) -> Money:
        """The total without its tax."""
        return self.total - self.tax

    @property
    def due(self) -> Money:
        """What is still to be paid; zero where the deposit covers the total."""
        return max(self.total - self.deposit, Money(0, self.total.currency))

    def __post_init__(self) -> None:
        if sum_lines(self.lines, self.total.currency) != self.total:
            raise BadBill(f"the bill of booth {self.booth} does not add up to its total of {self.total}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A booth session paid in full: `tendered` was handed over besides the `deposit`, `change` given back.

    `total` is gross, and `taxes` are what it was taxed at.
    """

    session_id: int
    version: int
    total: Money
    deposit: Money
    tendered: Money
    change: Money
    taxes: tuple[TaxSum, ...] = ()

    @property
    def tax(self) -> Money:
        """All tax in the total."""
        return sum_taxes(self.taxes, self.total.currency)

    @property
    def net(self) -> Money:
        """The total without its tax."""
        return self.total - self.tax


def sum_lines(lines: Iterable[BillLine], currency: str) -> Money:
    """Return the sum of the lines' amounts, zero of this currency without any; raises CurrencyMismatch."""
    total = Money(0, currency)
    for line in lines:
        total += line.amount
    return total


def sum_taxes(taxes: Iterable[TaxSum], currency: str) -> Money:
    """Return the sum of taxes, zero of this currency without any."""
    return Money(sum(each.parts.tax.micros for each in taxes), currency)


def settle_bill(bill: Bill, *, version: int, tendered: Money, live_calls: int) -> Payment:
    """Return the payment of a bill that the operator read at `version`.

    Raises:
        CallAlive: a call of the session is still alive, so the bill is not final.
        StaleBill: the bill is at another version by now.
        WrongCurrency: the tender is in another currency.
        TenderTooSmall: the tender and the deposit do not cover the total.
    """
    if live_calls:
        raise CallAlive(live_calls)
    if version != bill.version:
        raise _stale(bill, version)
    if tendered.currency != bill.total.currency:
        raise WrongCurrency(bill.total, tendered)
    if tendered < bill.due:
        raise TenderTooSmall(bill.due, tendered)
    return Payment(
        session_id=bill.session_id,
        version=version,
        total=bill.total,
        deposit=bill.deposit,
        tendered=tendered,
        change=tendered + bill.deposit - bill.total,
        taxes=bill.taxes,
    )


def _stale(bill: Bill, version: int) -> StaleBill:
    """Say what was added after `version`: each charge raises the version by one, so it is the last lines."""
    added = bill.version - version
    if not 0 < added <= len(bill.lines):
        return StaleBill(version, bill.version, None, None)
    return StaleBill(version, bill.version, added, sum_lines(bill.lines[-added:], bill.total.currency))
