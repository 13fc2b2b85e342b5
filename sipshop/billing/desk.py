"""The desk: what a booth's customer owes, and when that may be paid.

A booth session lasts from unlock to checkout; a call belongs to the session that admitted it. Its bill has a version,
so that nobody pays a bill that has grown since it was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sipshop.billing.errors import (
    BadBill,
    BadTerms,
    BeyondRights,
    CallAlive,
    NoSuchItem,
    StaleBill,
    TenderTooSmall,
    TooMuchTendered,
    WrongCurrency,
)
from sipshop.billing.items import Billed, BillItem, billed, share, wish
from sipshop.billing.money import Money, format_scaled
from sipshop.billing.receipt import EntryKind
from sipshop.billing.tax import PERCENT_PLACES, Tax, TaxSum, taxes_within
from sipshop.billing.tender import CashRounding, Method, Tender


@dataclass(frozen=True, slots=True, kw_only=True)
class BoothSession:
    """One customer's time in a booth; `owner` is the shop's, who charges it.

    `version` counts what came on its bill and went; `closed_at_ms` (UTC) is None while the booth is unlocked. A closed
    session that is not `paid` is reopened when the booth is unlocked again.

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

    `amount` is what the customer pays for it, with its `tax`. `added` is the version that the bill reached by the call,
    `priced` the one by which it got the price that it has.
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
    added: int = 0
    priced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reckoning:
    """What a bill comes to if it is paid by some tenders: `missing` is what they lack, in cash, `change` what is over.

    `rounding` is what the rounding of cash adds to the total, or takes off; `cash` is what the till gains, below zero
    where more of a deposit goes back than is handed over.
    """

    rounding: Money
    payable: Money
    missing: Money
    change: Money
    cash: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a booth session owes at a version; the lines stand in the order in which they were charged.

    Besides the calls there are `items` that stand, each with what it adds; `gone` were on it before. `total` is gross:
    `net` and `tax` come to it. The tax is that of the total, and not a sum of rounded ones. `deposit` was paid before;
    what is over goes back to the customer. Of what is paid in cash whole coins are asked (`cash_rounding`).

    Raises:
        BadBill: the total is not the sum of the lines and items.
        CurrencyMismatch: a line is in another currency than the total.
    """

    tenant: str
    session_id: int
    booth: str
    version: int
    lines: tuple[BillLine, ...]
    total: Money
    deposit: Money
    items: tuple[Billed, ...] = ()
    gone: tuple[BillItem, ...] = ()
    cash_rounding: CashRounding | None = None

    @property
    def base(self) -> Money:
        """What discounts are taken off: calls and goods, without what was taken back."""
        return self.total - self._off

    @property
    def _off(self) -> Money:
        """What the discounts come to, not above zero."""
        off = (each.amount for each in self.items if each.item.kind is EntryKind.DISCOUNT)
        return sum(off, Money(0, self.total.currency))

    @property
    def taxes(self) -> tuple[TaxSum, ...]:
        """What is taxed, one sum for each rate; a discount lowers what is taxed at each."""
        return taxes_within(self._taxed(), -self._off)

    def _taxed(self) -> Iterator[tuple[Tax | None, Money]]:
        of_calls = {line.call_id: line.tax for line in self.lines}
        of_items = {each.item.number: each.item.tax for each in self.items}
        yield from ((line.tax, line.amount) for line in self.lines)
        for each in self.items:
            item = each.item
            if item.kind is EntryKind.VOID:
                tax = of_items.get(item.item) if item.item is not None else of_calls.get(item.call_id or "")
                yield tax, each.amount
            elif item.kind is EntryKind.GOOD:
                yield item.tax, each.amount

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

    @property
    def payable(self) -> Money:
        """What the customer pays in the end if he pays in cash."""
        return self.total + self.rounding_for(())

    def rounding_for(self, tenders: Iterable[Tender]) -> Money:
        """Return what the rounding of cash adds if these pay, and cash the rest; raises as `reckon`."""
        return self.reckon(tenders).rounding

    def reckon(self, tenders: Iterable[Tender]) -> Reckoning:
        """Work out what these come to; they may be too little.

        Cash is rounded once: what is to be handed over, or goes back of the deposit. So a deposit never gives back more
        than itself, and one that covers the bill is enough. A bill of nothing is not rounded.

        Raises:
            WrongCurrency: one is in another currency.
            TooMuchTendered: those that are not in cash are more than there is to pay.
        """
        zero = Money(0, self.total.currency)
        paid = {True: zero, False: zero}  # by whether it is cash
        for tender in tenders:
            if tender.amount.currency != self.total.currency:
                raise WrongCurrency(self.total, tender.amount)
            paid[tender.method is Method.CASH] += tender.amount
        if paid[False] > self.due:
            raise TooMuchTendered(self.due, paid[False])
        exact = self.total - self.deposit - paid[False]
        asked = self._rounded(exact)
        rounding = asked - exact
        over = paid[True] - asked
        return Reckoning(
            rounding=rounding,
            payable=self.total + rounding,
            missing=max(-over, zero),
            change=max(over, zero),
            cash=asked,
        )

    def _rounded(self, exact: Money) -> Money:
        """What is asked in cash for this; below zero it goes back."""
        if self.cash_rounding is None or not self.total.micros:
            return exact
        if exact.micros >= 0:
            return self.cash_rounding.rounded(exact)
        return -min(self.cash_rounding.given_back(-exact), self.deposit)

    def __post_init__(self) -> None:
        amounts = (each.amount for each in self.items)
        if sum(amounts, sum_lines(self.lines, self.total.currency)) != self.total:
            raise BadBill(f"the bill of booth {self.booth} does not add up to its total of {self.total}")


def draw_bill(session: BoothSession, currency: str, lines: Sequence[BillLine], items: Sequence[BillItem]) -> Bill:
    """Return the bill of a session from its charged calls and from all items that were ever on it."""
    found = billed({line.call_id: line.amount for line in lines}, items, currency)
    return Bill(
        tenant=session.tenant,
        session_id=session.id,
        booth=session.booth,
        version=session.version,
        lines=tuple(lines),
        items=found,
        gone=tuple(item for item in items if not item.stands),
        total=sum((each.amount for each in found), sum_lines(lines, currency)),
        deposit=Money(session.deposit_micros, currency),
    )


def check_item(bill: Bill, item: BillItem) -> None:
    """Refuse an item that cannot come on a bill.

    Raises:
        WrongCurrency: it is in another currency.
        NoSuchItem: it takes back what is not there, or not any more.
        BadTerms: it takes off more than there is.
        BeyondRights: it takes off more than whoever gives it may give.
    """
    for amount in (item.unit, item.amount):
        if amount is not None and amount.currency != bill.total.currency:
            raise WrongCurrency(bill.total, amount)
    if item.kind is EntryKind.VOID:
        _check_void(bill, item)
    if item.kind is EntryKind.DISCOUNT:
        _check_discount(bill, item)


def _check_void(bill: Bill, item: BillItem) -> None:
    goods = {each.item.number for each in bill.items if each.item.kind is EntryKind.GOOD}
    if item.call_id is not None and item.call_id not in {line.call_id for line in bill.lines}:
        raise NoSuchItem(f"there is no call {item.call_id!r} on the bill of booth {bill.booth}")
    if item.item is not None and item.item not in goods:
        raise NoSuchItem(f"item {item.item} of the bill of booth {bill.booth} is nothing that was sold")
    if any((each.item.call_id, each.item.item) == (item.call_id, item.item) for each in _voids(bill)):
        raise NoSuchItem("it was taken back already")


def _check_discount(bill: Bill, item: BillItem) -> None:
    asked = wish(item, bill.base)
    if not asked.micros or asked > bill.total:
        raise BadTerms(f"{asked} cannot be taken off {bill.total}")
    if item.most_ppm is not None:
        limited = (each.amount for each in bill.items if each.item.most_ppm is not None)
        given = -sum(limited, Money(0, bill.total.currency))
        if given + asked > share(bill.base, item.most_ppm):
            percent = format_scaled(item.most_ppm, PERCENT_PLACES, 0)
            raise BeyondRights(f"operators take off {percent}% of a bill at most, in all; {given + asked} is more")


def _voids(bill: Bill) -> Iterator[Billed]:
    return (each for each in bill.items if each.item.kind is EntryKind.VOID)


def item_of(bill: Bill, number: int) -> BillItem | None:
    """Return an item that may be taken back: one that stands and was not voided; None for one that is gone already.

    Raises:
        NoSuchItem: there was never such an item, or a void stands for it.
    """
    if any(item.number == number for item in bill.gone):
        return None
    found = next((each.item for each in bill.items if each.item.number == number), None)
    if found is None:
        raise NoSuchItem(f"there is no item {number} on the bill of booth {bill.booth}")
    if any(each.item.item == number for each in _voids(bill)):
        raise NoSuchItem(f"item {number} was taken back already, with a reason")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A booth session paid in full: the `tenders` were handed over besides the `deposit`, `change` given back.

    `total` is gross, and `taxes` are what it was taxed at; `rounding` is what the rounding of cash added to it. `cash`
    is what the till gained, below zero where more went back.
    """

    session_id: int
    version: int
    total: Money
    rounding: Money
    deposit: Money
    tenders: tuple[Tender, ...]
    change: Money
    cash: Money
    taxes: tuple[TaxSum, ...] = ()

    @property
    def tendered(self) -> Money:
        """All that was handed over."""
        return sum((tender.amount for tender in self.tenders), Money(0, self.total.currency))


def sum_lines(lines: Iterable[BillLine], currency: str) -> Money:
    """Return the sum of the lines' amounts, zero of this currency without any; raises CurrencyMismatch."""
    total = Money(0, currency)
    for line in lines:
        total += line.amount
    return total


def sum_taxes(taxes: Iterable[TaxSum], currency: str) -> Money:
    """Return the sum of taxes, zero of this currency without any."""
    return Money(sum(each.parts.tax.micros for each in taxes), currency)


def settle_bill(bill: Bill, *, version: int, tenders: Sequence[Tender], live_calls: int) -> Payment:
    """Return the payment of a bill that the operator read at `version`.

    Raises:
        CallAlive: a call of the session is still alive, so the bill is not final.
        StaleBill: the bill is at another version by now.
        WrongCurrency: a tender is in another currency.
        TooMuchTendered: more is paid otherwise than in cash than there is to pay.
        TenderTooSmall: the tenders and the deposit do not cover the total.
    """
    if live_calls:
        raise CallAlive(live_calls)
    if version != bill.version:
        raise _stale(bill, version)
    reckoned = bill.reckon(tenders)
    tendered = sum((tender.amount for tender in tenders), Money(0, bill.total.currency))
    if reckoned.missing.micros:
        raise TenderTooSmall(tendered + reckoned.missing, tendered)
    return Payment(
        session_id=bill.session_id,
        version=version,
        total=bill.total,
        rounding=reckoned.rounding,
        deposit=bill.deposit,
        tenders=tuple(tenders),
        change=reckoned.change,
        cash=reckoned.cash,
        taxes=bill.taxes,
    )


def _stale(bill: Bill, version: int) -> StaleBill:
    """Say what came and went after `version`: everything on a bill knows the version that it came by."""
    if not 0 <= version < bill.version:
        return StaleBill(version, bill.version)
    calls = [line for line in bill.lines if line.added > version]
    return StaleBill(
        version,
        bill.version,
        len(calls),
        sum_lines(calls, bill.total.currency),
        repriced=sum(line.added <= version < line.priced for line in bill.lines),
        new_items=[f"{each.item.text}, {each.amount}" for each in bill.items if each.item.added > version],
        gone_items=[item.text for item in bill.gone if item.added <= version < (item.removed or 0)],
    )
