"""What the API shows of bills, payments, receipts and counters."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, Field

from sipshop.billing.cdr import utc_text
from sipshop.billing.counter import Counter
from sipshop.billing.desk import Bill, BillLine, Reckoning
from sipshop.billing.items import Billed
from sipshop.billing.money import Money, format_scaled
from sipshop.billing.receipt import Entry, EntryKind, Receipt
from sipshop.billing.tax import PERCENT_PLACES
from sipshop.console.views import Next, TaxSumView


class BillLineView(BaseModel):
    """A charged call on a bill; `explanation` is its arithmetic."""

    call_id: str
    answered_at: str
    dialled: str
    e164: str
    destination: str
    talk_ms: int
    billed_s: int
    amount: str
    explanation: str

    @classmethod
    def of(cls, line: BillLine) -> Self:
        """The view of a bill's line."""
        return cls(
            call_id=line.call_id,
            answered_at=utc_text(line.answered_at_ms),
            dialled=line.dialled,
            e164=line.e164,
            destination=line.destination,
            talk_ms=line.talk_ms,
            billed_s=line.billed_s,
            amount=line.amount.text,
            explanation=line.explanation,
        )


class BillItemView(BaseModel):
    """Something on a bill that is no call; `amount` is what it adds, below zero for a discount or a void."""

    item: int
    kind: str = Field(description="good, discount or void")
    text: str = Field(description="the good's name, or the reason")
    amount: str
    quantity: int
    unit: str | None = Field(description="the price of one good")
    percent: str | None = Field(description="of a discount that is a percentage")
    call_id: str | None = Field(description="the call that a void takes back")
    voids: int | None = Field(description="the item that a void takes back")
    author: str
    at: str

    @classmethod
    def of(cls, billed: Billed) -> Self:
        """The view of an item."""
        item = billed.item
        return cls(
            item=item.number,
            kind=item.kind.value,
            text=item.text,
            amount=billed.amount.text,
            quantity=item.quantity,
            unit=None if item.unit is None else item.unit.text,
            percent=None if item.percent_ppm is None else format_scaled(item.percent_ppm, PERCENT_PLACES, 0),
            call_id=item.call_id,
            voids=item.item,
            author=item.author,
            at=utc_text(item.at_ms),
        )


class BillView(BaseModel):
    """What a booth's session owes at a version; all its amounts are in `currency`.

    `total` is what the customer pays, tax and all: `net` and `tax` are it. `rounding` is what the rounding of cash adds
    if he pays in cash.
    """

    booth: str
    session_id: int
    version: int
    currency: str
    lines: list[BillLineView]
    items: list[BillItemView]
    net: str
    tax: str
    total: str
    taxes: list[TaxSumView] = Field(description="the tax by rate, of the total of each; empty: nothing is taxed")
    deposit: str
    due: str = Field(description="what the deposit does not cover")
    rounding: str
    due_in_cash: str = Field(description="what is to be handed over if all of it is cash")

    @classmethod
    def of(cls, bill: Bill) -> Self:
        """The view of a bill."""
        in_cash = bill.reckon(())
        return cls(
            booth=bill.booth,
            session_id=bill.session_id,
            version=bill.version,
            currency=bill.total.currency,
            lines=[BillLineView.of(line) for line in bill.lines],
            items=[BillItemView.of(each) for each in bill.items],
            net=bill.net.text,
            tax=bill.tax.text,
            total=bill.total.text,
            taxes=[TaxSumView.of_sum(each) for each in bill.taxes],
            deposit=bill.deposit.text,
            due=bill.due.text,
            rounding=in_cash.rounding.text,
            due_in_cash=in_cash.missing.text,
        )


class ReckoningView(BaseModel):
    """What a bill comes to if it is paid so: what is missing in cash, or what goes back."""

    version: int
    currency: str
    total: str
    rounding: str
    payable: str
    missing: str
    change: str

    @classmethod
    def of(cls, bill: Bill, reckoned: Reckoning) -> Self:
        """The view of a reckoning of this bill."""
        return cls(
            version=bill.version,
            currency=bill.total.currency,
            total=bill.total.text,
            rounding=reckoned.rounding.text,
            payable=reckoned.payable.text,
            missing=reckoned.missing.text,
            change=reckoned.change.text,
        )


class TenderView(BaseModel):
    """An amount that was handed over in one way."""

    method: str
    amount: str


class EntryView(BaseModel):
    """A line of a receipt; null where it is not of this kind."""

    kind: str = Field(description="call, good, discount or void")
    text: str
    amount: str
    dialled: str | None
    at: str | None
    talk_ms: int | None
    billed_s: int | None
    explanation: str | None
    quantity: int | None
    unit: str | None
    author: str | None

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """The view of an entry."""
        is_call, is_good = entry.kind is EntryKind.CALL, entry.kind is EntryKind.GOOD
        return cls(
            kind=entry.kind.value,
            text=entry.text,
            amount=entry.amount.text,
            dialled=entry.dialled if is_call else None,
            at=None if entry.at_ms is None else utc_text(entry.at_ms),
            talk_ms=entry.talk_ms if is_call else None,
            billed_s=entry.billed_s if is_call else None,
            explanation=entry.explanation if is_call else None,
            quantity=entry.quantity if is_good else None,
            unit=None if entry.unit is None else entry.unit.text,
            author=entry.author or None,
        )


class ReceiptView(BaseModel):
    """A bill that was paid, as it was then; all its amounts are in `currency`."""

    shop: str
    number: int
    session_id: int
    booth: str
    at: str
    author: str
    language: str
    timezone: str
    seller: dict[str, Any] = Field(description="name, address (a line each) and tax_id")
    currency: str
    entries: list[EntryView]
    taxes: list[TaxSumView]
    total: str
    rounding: str
    payable: str
    deposit: str
    tenders: list[TenderView]
    tendered: str
    change: str

    @classmethod
    def of(cls, receipt: Receipt) -> Self:
        """The view of a receipt."""
        return cls(
            shop=receipt.shop,
            number=receipt.number,
            session_id=receipt.session_id,
            booth=receipt.booth,
            at=utc_text(receipt.at_ms),
            author=receipt.author,
            language=receipt.language,
            timezone=receipt.zone,
            seller=receipt.seller.to_json(),
            currency=receipt.currency,
            entries=[EntryView.of(entry) for entry in receipt.entries],
            taxes=[TaxSumView.of_sum(each) for each in receipt.taxes],
            total=receipt.total.text,
            rounding=receipt.rounding.text,
            payable=receipt.payable.text,
            deposit=receipt.deposit.text,
            tenders=[TenderView(method=each.method.value, amount=each.amount.text) for each in receipt.tenders],
            tendered=receipt.tendered.text,
            change=receipt.change.text,
        )


class ReceiptList(BaseModel):
    """Receipts of a shop, the newest first."""

    receipts: list[ReceiptView]
    next: Next


class PaymentView(BaseModel):
    """A bill that was paid, the change to give back, the rest of the deposit included, and the receipt of it."""

    booth: str
    session_id: int
    version: int
    currency: str
    net: str
    tax: str
    total: str
    taxes: list[TaxSumView]
    rounding: str
    payable: str
    deposit: str
    tenders: list[TenderView]
    tendered: str
    change: str
    shop: str
    receipt: int = Field(description="its number")

    @classmethod
    def of(cls, receipt: Receipt, version: int) -> Self:
        """The view of a payment at a version of its bill."""
        tax = sum((each.parts.tax for each in receipt.taxes), Money(0, receipt.currency))
        return cls(
            booth=receipt.booth,
            session_id=receipt.session_id,
            version=version,
            currency=receipt.currency,
            net=(receipt.total - tax).text,
            tax=tax.text,
            total=receipt.total.text,
            taxes=[TaxSumView.of_sum(each) for each in receipt.taxes],
            rounding=receipt.rounding.text,
            payable=receipt.payable.text,
            deposit=receipt.deposit.text,
            tenders=[TenderView(method=each.method.value, amount=each.amount.text) for each in receipt.tenders],
            tendered=receipt.tendered.text,
            change=receipt.change.text,
            shop=receipt.shop,
            receipt=receipt.number,
        )


class CounterView(BaseModel):
    """How a shop's desk works: what it sells besides calls, how cash is rounded, what its operators may do."""

    shop: str
    currency: str
    cash_rounding: dict[str, str] | None = Field(description="step and mode")
    goods: list[dict[str, Any]] = Field(description="name, price and, if it has one of its own, tax")
    seller: dict[str, Any]
    timezone: str
    languages: list[str]
    discount_most_percent: str | None
    operators_may_void: bool
    till: str

    @classmethod
    def of(cls, counter: Counter) -> Self:
        """The view of a counter."""
        seller, zone = counter.on_paper
        most_ppm = counter.discount_most_ppm
        return cls(
            shop=counter.shop,
            currency=counter.currency,
            cash_rounding=None if counter.rounding is None else counter.rounding.to_json(counter.currency),
            goods=[good.to_json() for good in counter.goods],
            seller=seller.to_json(),
            timezone=zone,
            languages=list(counter.languages),
            discount_most_percent=None if most_ppm is None else format_scaled(most_ppm, PERCENT_PLACES, 0),
            operators_may_void=counter.operators_may_void,
            till=counter.till.value,
        )
