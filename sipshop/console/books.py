"""The books over HTTP: reratings for the provider, statements and invoices for whoever buys or sells.

A party sees what it buys, and what those below it buy of each other; whoever stands above a party closes its periods.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Protocol, Self

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sipshop.billing.cdr import utc_text
from sipshop.billing.errors import BadPeriod
from sipshop.billing.invoice import Period, Statement
from sipshop.billing.money import format_micros
from sipshop.billing.rerate import Rerating, Summary
from sipshop.console.paging import Cursor, Limit, decode, encode, epoch_ms
from sipshop.console.paper.sheet import sheet_of
from sipshop.console.scope import Sender, problems
from sipshop.console.views import Command, Next, Reason
from sipshop.store.invoices import Closed, Invoice

MOST_ROWS: Final = 100_000
PDF: Final = "application/pdf"

Month = Annotated[str | None, Query(max_length=40, description="such as 2026-10, in the seller's time zone")]
First = Annotated[str | None, Query(alias="from", max_length=40, description="in place of it: the first day")]
Beyond = Annotated[str | None, Query(alias="until", max_length=40, description="and the first day after it")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Instant = Annotated[datetime, Field(strict=False, description="ISO 8601; UTC if it names no zone")]


class BooksDesk(Protocol):
    """What the API asks of the books; `sipshop.switch.books` keeps them."""

    async def preview(self, tenant: str, asked: Rerating, most: int) -> Summary:
        """What a rerating would come to."""
        ...

    async def rerate(self, tenant: str, asked: Rerating, *, batch: str, author: str, reason: str, most: int) -> Summary:
        """Rerate calls, once for a batch."""
        ...

    def period(
        self, tenant: str, party: str, *, month: str | None, first: str | None = None, beyond: str | None = None
    ) -> Period:
        """A period in the time zone of the party's seller, the month of now where none is given."""
        ...

    async def statement(self, tenant: str, party: str, period: Period) -> Statement:
        """What moved between a party and its seller."""
        ...

    async def close(self, tenant: str, party: str, period: Period, author: str) -> Closed:
        """Close a period between a party and its seller, once."""
        ...

    async def invoice(self, tenant: str, party: str, number: str) -> Invoice:
        """An invoice of a party."""
        ...

    async def invoices(
        self, tenant: str, parties: Collection[str], limit: int, after: tuple[str, str] | None = None
    ) -> list[Invoice]:
        """The newest invoices of some parties first."""
        ...


class RerateCommand(Command):
    """Charge calls anew by another version of a deck: of a party only what it or its own customers pay."""

    deck: str = Field(max_length=100)
    version: int = Field(ge=1, lt=2**31, description="the one that is to be charged by")
    old_versions: list[int] = Field(
        default_factory=list, max_length=100, description="only what was charged by these; none: by any other"
    )
    party: str | None = None
    since: Instant
    until: Instant = Field(description="calls that were let in before then; half-open")
    dry_run: bool = Field(default=True, description="only tell what it would come to")
    batch: Name | None = Field(default=None, description="names the rerating: run again, it is done once")
    reason: Reason | None = None
    rows: int = Field(default=1000, ge=0, le=MOST_ROWS, description="how many differences are told at most")

    @model_validator(mode="after")
    def _named(self) -> Self:
        if not self.dry_run and (self.batch is None or self.reason is None):
            raise ValueError("a rerating that is done needs a batch, which is its name, and a reason")
        if self.until <= self.since:
            raise ValueError("it ends before it begins")
        return self


class DifferenceView(BaseModel):
    """What a level of a call was charged, and what it is; level 0 is what the customer pays."""

    call_id: str
    level: int
    seller: str
    buyer: str
    currency: str
    old: str
    new: str
    delta: str


class UnratedView(BaseModel):
    """A charge that was meant and stays as it is."""

    call_id: str
    level: int
    seller: str
    buyer: str
    why: Literal["paid", "masked", "no_rate", "forbidden", "currency"]
    reason: str


class RerateTotal(BaseModel):
    """What the differences of a relation come to; the buyer is null where it is the customers in booths."""

    seller: str
    buyer: str | None
    currency: str
    charges: int
    old: str
    new: str
    delta: str


class KeptTotal(BaseModel):
    """How many charges stay as they are for a reason."""

    why: Literal["paid", "masked", "no_rate", "forbidden", "currency"]
    reason: str
    charges: int


class RerateView(BaseModel):
    """What a rerating comes to; one that was done before comes to nothing."""

    dry_run: bool
    calls: int = Field(description="how many get a revision")
    differences: list[DifferenceView]
    unrated: list[UnratedView]
    left_off: int = Field(description="how many rows more there are than are told here")
    totals: list[RerateTotal]
    kept: list[KeptTotal]


class CloseCommand(Command):
    """Close a month, or the days from one on and before another one, in the seller's time zone."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)
    month: str | None = Field(default=None, max_length=40)
    first: str | None = Field(default=None, alias="from", max_length=40)
    beyond: str | None = Field(default=None, alias="until", max_length=40)

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.month is None) == (self.first is None) or (self.first is None) != (self.beyond is None):
            raise ValueError("give a month, or from and until")
        return self


class InvoiceRow(BaseModel):
    """An invoice in a list."""

    number: str
    seller: str
    buyer: str
    since: str
    until: str
    currency: str
    net: str
    tax: str
    gross: str
    closed_at: str
    sha256: str

    @classmethod
    def of(cls, invoice: Invoice) -> Self:
        """The view of an invoice."""
        return cls.model_validate(_row(invoice))


class InvoiceView(InvoiceRow):
    """An invoice; `document` is all that is printed, and `sha256` the hash of the text that it was written as."""

    document: dict[str, Any]

    @classmethod
    def of(cls, invoice: Invoice) -> Self:
        """The view of an invoice with its document."""
        return cls.model_validate({**_row(invoice), "document": json.loads(invoice.document)})


class InvoiceList(BaseModel):
    """A page of invoices, the newest first."""

    invoices: list[InvoiceRow]
    next: Next


def _row(invoice: Invoice) -> dict[str, Any]:
    return {
        "number": invoice.name,
        "seller": invoice.seller,
        "buyer": invoice.buyer,
        "since": utc_text(invoice.since_ms),
        "until": utc_text(invoice.until_ms),
        "currency": invoice.currency,
        "net": format_micros(invoice.net_micros),
        "tax": format_micros(invoice.tax_micros),
        "gross": format_micros(invoice.net_micros + invoice.tax_micros),
        "closed_at": utc_text(invoice.closed_at_ms),
        "sha256": invoice.sha256,
    }


_RERATING: Final = problems(
    _400="malformed: the body is no JSON in UTF-8",
    _404="unknown_party; unknown_version: the deck has no such version, the text names those that it has",
    _409="refused: another rerating has this name",
    _413="the body is too large",
    _422="invalid_request",
    _503="unwritable, unavailable: run it again",
)
_STATEMENT: Final = problems(
    _404="unknown_party, or unknown_account: the provider has none",
    _422="invalid_request, bad_period",
    _503="unavailable",
)
_CLOSING: Final = problems(
    _400="malformed: the body is no JSON in UTF-8",
    _404="unknown_party, or unknown_account: the provider has none",
    _409="not_to_be_closed: the period is not over, meets a closed one, or comes after one that is open",
    _413="the body is too large",
    _422="invalid_request, bad_period",
    _503="unwritable, unavailable: nothing was changed",
)
_INVOICE: Final = problems(_404="unknown_party, unknown_invoice", _422="invalid_request", _503="unavailable")
_LIST: Final = problems(_404="unknown_party", _422="invalid_request, bad_cursor", _503="unavailable")


def add_books(router: APIRouter, books: BooksDesk) -> None:
    """Add the endpoints of reratings, statements and invoices."""
    _add_statements(router, books)
    _add_invoices(router, books)

    @router.post("/rerates", tags=["books"], responses=_RERATING)
    async def rerate(sender: Sender, command: RerateCommand) -> RerateView:
        """Tell what calls would cost by another version of their deck, or charge them so."""
        sender.only_provider()
        asked = Rerating(
            deck=command.deck,
            version=command.version,
            old_versions=frozenset(command.old_versions),
            party=command.party,
            since_ms=epoch_ms(command.since),
            until_ms=epoch_ms(command.until),
        )
        if command.dry_run or command.batch is None:
            found = await books.preview(sender.tenant, asked, command.rows)
        else:
            found = await books.rerate(
                sender.tenant,
                asked,
                batch=command.batch,
                author=sender.author,
                reason=command.reason or "",
                most=command.rows,
            )
        return RerateView.model_validate({"dry_run": command.dry_run, **found.to_json()})


def _add_statements(router: APIRouter, books: BooksDesk) -> None:
    @router.get("/parties/{party}/statement", tags=["books"], responses=_STATEMENT)
    async def read_statement(
        sender: Sender, party: str, month: Month = None, first: First = None, beyond: Beyond = None
    ) -> dict[str, Any]:
        """Read what moved between a party and its seller in a period, the month of now where none is given."""
        sender.party(party)
        if (first is None) != (beyond is None) or (first is not None and month is not None):
            raise BadPeriod("give a month, or from and until")
        period = books.period(sender.tenant, party, month=month, first=first, beyond=beyond)
        return (await books.statement(sender.tenant, party, period)).to_json()


def _add_invoices(router: APIRouter, books: BooksDesk) -> None:
    @router.post("/parties/{party}/invoices", tags=["books"], responses=_CLOSING)
    async def close_period(sender: Sender, party: str, command: CloseCommand) -> InvoiceView:
        """Close a period of a party with its seller: it gets its invoice, once, and takes nothing more."""
        sender.customer(party)
        period = books.period(sender.tenant, party, month=command.month, first=command.first, beyond=command.beyond)
        return InvoiceView.of((await books.close(sender.tenant, party, period, sender.author)).invoice)

    @router.get("/invoices", tags=["books"], responses=_LIST)
    async def list_invoices(
        sender: Sender,
        party: Annotated[str | None, Query(max_length=100, description="only what this one buys")] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> InvoiceList:
        """List invoices, the newest first."""
        sender.forbid_operators()
        parties = sender.reach.parties if party is None else {sender.party(party).party}
        after = None if cursor is None else decode(cursor, str, str)
        found = await books.invoices(sender.tenant, parties, limit + 1, None if after is None else (after[0], after[1]))
        more = encode(found[limit - 1].buyer, found[limit - 1].name) if len(found) > limit else None
        return InvoiceList(invoices=[InvoiceRow.of(each) for each in found[:limit]], next=more)

    @router.get("/parties/{party}/invoices/{number}", tags=["books"], responses=_INVOICE)
    async def read_invoice(sender: Sender, party: str, number: str) -> InvoiceView:
        """Read an invoice with all that is printed on it."""
        sender.party(party)
        return InvoiceView.of(await books.invoice(sender.tenant, party, number))

    @router.get(
        "/parties/{party}/invoices/{number}/html",
        tags=["books"],
        response_class=HTMLResponse,
        responses=_INVOICE,
    )
    async def show_invoice(sender: Sender, party: str, number: str) -> HTMLResponse:
        """Read an invoice as a page that can be printed; it runs nothing and loads nothing."""
        sender.party(party)
        invoice = await books.invoice(sender.tenant, party, number)
        page, policy = await asyncio.to_thread(_page, invoice)
        headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        return HTMLResponse(page, headers=headers)

    @router.get(
        "/parties/{party}/invoices/{number}/pdf",
        tags=["books"],
        response_class=Response,
        responses={200: {"content": {PDF: {}}, "description": "The PDF"}, **_INVOICE},
    )
    async def print_invoice(sender: Sender, party: str, number: str) -> Response:
        """Read an invoice as a PDF."""
        sender.party(party)
        invoice = await books.invoice(sender.tenant, party, number)
        made = await asyncio.to_thread(_pdf, invoice)
        # the number has no character that a header would need quoted
        headers = {"Content-Disposition": f'attachment; filename="{invoice.name}.pdf"', "Cache-Control": "no-store"}
        return Response(made, media_type=PDF, headers=headers)


def _page(invoice: Invoice) -> tuple[str, str]:
    """An invoice as a page, and what that may do."""
    from sipshop.console.paper.page import POLICY, page_of  # noqa: PLC0415 - a server that prints none needs none of it

    return page_of(sheet_of(json.loads(invoice.document), invoice.sha256)), POLICY


def _pdf(invoice: Invoice) -> bytes:
    from sipshop.console.paper.pdf import pdf_of  # noqa: PLC0415 - likewise

    return pdf_of(sheet_of(json.loads(invoice.document), invoice.sha256))
