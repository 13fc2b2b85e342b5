"""Checkout over HTTP: bills, what comes on them besides calls, payments, and the receipts of a shop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Protocol, Self

from fastapi import APIRouter, Path, Query
from pydantic import Field, model_validator

from sipshop.billing.counter import Counter
from sipshop.billing.desk import Bill
from sipshop.billing.items import MOST_OF_A_GOOD, TEXT_LENGTH
from sipshop.billing.money import Money, parse_amount, parse_scaled
from sipshop.billing.receipt import Receipt
from sipshop.billing.tax import PERCENT_PLACES
from sipshop.billing.tender import Method, Tender
from sipshop.console.bills import BillView, CounterView, PaymentView, ReceiptList, ReceiptView, ReckoningView
from sipshop.console.paging import MAX_ROWS, Cursor, Limit, decode, encode, epoch_ms
from sipshop.console.scope import OPERATOR, Key, Sender, problems
from sipshop.console.views import AmountText, Command, Reason

_READING: Final = problems(_404="there is none: unknown_booth, no_session", _422="invalid_request", _503="unavailable")
_COMMAND: Final = problems(
    _400="malformed: the body is no JSON in UTF-8",
    _403="forbidden, or beyond_rights: the shop does not let its operators do this",
    _404="unknown_booth, or no_session: the booth has no unpaid session; unknown_item: it is not on the bill",
    _409="the state of the bill forbids it: call_alive, stale_bill, too_much_tendered, refused",
    _413="the body is too large",
    _422="invalid_request, bad_amount, bad_terms, tender_too_small",
    _503="unwritable, not_now, unavailable: nothing was changed",
)
_SHOP: Final = problems(_404="unknown_shop, unknown_receipt", _422="invalid_request, bad_cursor", _503="unavailable")

BillVersion = Annotated[int, Field(ge=0, lt=2**63)]


class Checkout(Protocol):
    """What is done at the counter; `sipshop.switch.checkout` does it."""

    def counter(self, tenant: str, shop: str) -> Counter:
        """How a shop's desk works."""
        ...

    async def bill(self, tenant: str, booth: str) -> Bill:
        """The bill of the booth's unpaid session."""
        ...

    async def add_good(
        self, tenant: str, booth: str, *, name: str, quantity: int, unit: Money | None, author: str, key: str
    ) -> Bill:
        """Sell something."""
        ...

    async def discount(
        self,
        tenant: str,
        booth: str,
        *,
        amount: Money | None = None,
        percent_ppm: int | None = None,
        reason: str,
        author: str,
        key: str,
        is_operator: bool,
    ) -> Bill:
        """Take an amount or a percentage off."""
        ...

    async def void(
        self,
        tenant: str,
        booth: str,
        *,
        call_id: str | None = None,
        item: int | None = None,
        reason: str,
        author: str,
        key: str,
        is_operator: bool,
    ) -> Bill:
        """Take back a call, or what was sold."""
        ...

    async def take_back(self, tenant: str, booth: str, *, item: int, author: str) -> Bill:
        """Let an item go as if it had not been there."""
        ...

    async def pay(
        self,
        tenant: str,
        booth: str,
        *,
        version: int,
        tenders: Sequence[Tender],
        language: str | None,
        author: str,
    ) -> Receipt:
        """Settle the bill as it was read at `version`, and lock the booth."""
        ...

    async def receipts(
        self,
        tenant: str,
        shop: str,
        *,
        limit: int,
        before: int | None = None,
        since_ms: int = 0,
        until_ms: int | None = None,
    ) -> list[Receipt]:
        """The newest receipts of a shop first."""
        ...

    async def receipt(self, tenant: str, shop: str, number: int) -> Receipt:
        """A receipt by its number."""
        ...


class CheckoutDesk(Protocol):
    """Where the counter is found."""

    @property
    def checkout(self) -> Checkout:
        """The counter of every shop."""
        ...


# What is sent.


class TenderBody(Command):
    """An amount that is handed over in one way."""

    method: Method = Field(strict=False)
    amount: AmountText

    def tender(self, currency: str) -> Tender:
        """The tender; raises BadAmount or BadTerms."""
        return Tender(self.method, Money(parse_amount(self.amount), currency))


class TendersCommand(Command):
    """What a customer would pay with; what is missing he would pay in cash."""

    tenders: list[TenderBody] = Field(default=[], max_length=20)


class PayCommand(Command):
    """Pay the bill as it was read: its version, and what was handed over, as one sum in cash or by ways of paying."""

    version: BillVersion
    tendered: AmountText | None = Field(default=None, description="all in cash; in place of `tenders`")
    tenders: list[TenderBody] | None = Field(default=None, max_length=20)
    language: str | None = Field(
        default=None, max_length=20, description="of the receipt; the shop's usual one if left out"
    )

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.tendered is None) is (self.tenders is None):
            raise ValueError("give tendered or tenders, one of them")
        return self

    def paid_by(self, currency: str) -> tuple[Tender, ...]:
        """What was handed over; raises BadAmount or BadTerms."""
        if self.tenders is not None:
            return tuple(each.tender(currency) for each in self.tenders)
        cash = Money(parse_amount(self.tendered or ""), currency)
        return (Tender(Method.CASH, cash),) if cash.micros else ()


class GoodCommand(Command):
    """Sell something: by its name on the shop's list, or anything else at a `price`."""

    name: str = Field(min_length=1, max_length=TEXT_LENGTH)
    quantity: int = Field(default=1, ge=1, le=MOST_OF_A_GOOD)
    price: AmountText | None = Field(default=None, description="of one; left out for what is on the list")


class DiscountCommand(Command):
    """Take an amount or a percentage off a bill."""

    amount: AmountText | None = None
    percent: str | None = Field(default=None, max_length=20, description="0 to 100, with at most 4 decimal places")
    reason: Annotated[Reason, Field(max_length=TEXT_LENGTH)]

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.amount is None) is (self.percent is None):
            raise ValueError("give amount or percent, one of them")
        return self


class VoidCommand(Command):
    """Take back a call, or what was sold, all of it."""

    call_id: str | None = Field(default=None, min_length=1, max_length=200)
    item: int | None = Field(default=None, ge=1, lt=2**63)
    reason: Annotated[Reason, Field(max_length=TEXT_LENGTH)]

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.call_id is None) is (self.item is None):
            raise ValueError("give call_id or item, one of them")
        return self


# The endpoints.


def add_checkout(router: APIRouter, desk: CheckoutDesk) -> None:
    """Add the endpoints of bills, payments and receipts."""

    @router.get("/booths/{booth}/bill", tags=["bills"], responses=_READING)
    async def read_bill(sender: Sender, booth: str) -> BillView:
        """Read what the booth's session owes, with the arithmetic of each call, and the bill's version."""
        sender.booth(booth)
        return BillView.of(await desk.checkout.bill(sender.tenant, booth))

    @router.post("/booths/{booth}/bill/reckon", tags=["bills"], responses=_COMMAND)
    async def reckon_bill(sender: Sender, booth: str, command: TendersCommand) -> ReckoningView:
        """Work out what the bill comes to if it is paid so, the rest in cash; nothing is changed."""
        currency = sender.booth(booth).currency
        bill = await desk.checkout.bill(sender.tenant, booth)
        return ReckoningView.of(bill, bill.reckon([each.tender(currency) for each in command.tenders]))

    @router.post("/booths/{booth}/pay", tags=["bills"], responses=_COMMAND)
    async def pay_bill(sender: Sender, booth: str, command: PayCommand) -> PaymentView:
        """Pay the bill as it was read, and lock the booth; asked again, the same payment is found done."""
        receipt = await desk.checkout.pay(
            sender.tenant,
            booth,
            version=command.version,
            tenders=command.paid_by(sender.booth(booth).currency),
            language=command.language,
            author=sender.author,
        )
        return PaymentView.of(receipt, command.version)

    _add_items(router, desk)
    _add_receipts(router, desk)


def _add_items(router: APIRouter, desk: CheckoutDesk) -> None:
    @router.post("/booths/{booth}/bill/goods", tags=["bills"], responses=_COMMAND)
    async def sell_good(sender: Sender, booth: str, command: GoodCommand, key: Key) -> BillView:
        """Put something that is sold on the bill; what it is taxed at the shop's list says, or the shop's tax."""
        currency = sender.booth(booth).currency
        bill = await desk.checkout.add_good(
            sender.tenant,
            booth,
            name=command.name,
            quantity=command.quantity,
            unit=None if command.price is None else Money(parse_amount(command.price), currency),
            author=sender.author,
            key=key,
        )
        return BillView.of(bill)

    @router.post("/booths/{booth}/bill/discounts", tags=["bills"], responses=_COMMAND)
    async def give_discount(sender: Sender, booth: str, command: DiscountCommand, key: Key) -> BillView:
        """Take something off the bill; an operator gives as much as his shop lets him."""
        currency = sender.booth(booth).currency
        bill = await desk.checkout.discount(
            sender.tenant,
            booth,
            amount=None if command.amount is None else Money(parse_amount(command.amount), currency),
            percent_ppm=None if command.percent is None else parse_scaled(command.percent, PERCENT_PLACES),
            reason=command.reason,
            author=sender.author,
            key=key,
            is_operator=sender.role == OPERATOR,
        )
        return BillView.of(bill)

    @router.post("/booths/{booth}/bill/voids", tags=["bills"], responses=_COMMAND)
    async def void_entry(sender: Sender, booth: str, command: VoidCommand, key: Key) -> BillView:
        """Take back a call or what was sold, for a reason that stays on the bill."""
        sender.booth(booth)
        bill = await desk.checkout.void(
            sender.tenant,
            booth,
            call_id=command.call_id,
            item=command.item,
            reason=command.reason,
            author=sender.author,
            key=key,
            is_operator=sender.role == OPERATOR,
        )
        return BillView.of(bill)

    @router.post("/booths/{booth}/bill/items/{item}/remove", tags=["bills"], responses=_COMMAND)
    async def remove_item(sender: Sender, booth: str, item: Annotated[int, Path(ge=1, lt=2**63)]) -> BillView:
        """Let an item go from the bill as if it had not been there; the desk's log names who did it."""
        sender.booth(booth)
        return BillView.of(await desk.checkout.take_back(sender.tenant, booth, item=item, author=sender.author))


def _add_receipts(router: APIRouter, desk: CheckoutDesk) -> None:
    @router.get("/shops/{shop}/desk", tags=["receipts"], responses=_SHOP)
    async def read_desk(sender: Sender, shop: str) -> CounterView:
        """Read how a shop's desk works, as its world says."""
        return CounterView.of(desk.checkout.counter(sender.tenant, sender.shop(shop)))

    @router.get("/shops/{shop}/receipts", tags=["receipts"], responses=_SHOP)
    async def list_receipts(
        sender: Sender,
        shop: str,
        *,
        limit: Limit = MAX_ROWS,
        cursor: Cursor = None,
        since: Annotated[datetime | None, Query(description="drawn then or later; UTC if it names no zone")] = None,
        until: Annotated[datetime | None, Query(description="drawn before then")] = None,
    ) -> ReceiptList:
        """List a shop's receipts, the newest first."""
        found = await desk.checkout.receipts(
            sender.tenant,
            sender.shop(shop),
            limit=limit + 1,
            before=None if cursor is None else decode(cursor, int)[0],
            since_ms=0 if since is None else epoch_ms(since),
            until_ms=None if until is None else epoch_ms(until),
        )
        more = encode(found[limit - 1].number) if len(found) > limit else None
        return ReceiptList(receipts=[ReceiptView.of(receipt) for receipt in found[:limit]], next=more)

    @router.get("/shops/{shop}/receipts/{receipt}", tags=["receipts"], responses=_SHOP)
    async def read_receipt(
        sender: Sender, shop: str, receipt: Annotated[int, Path(ge=1, lt=2**63, description="its number")]
    ) -> ReceiptView:
        """Read a receipt, word for word as it was drawn."""
        return ReceiptView.of(await desk.checkout.receipt(sender.tenant, sender.shop(shop), receipt))
