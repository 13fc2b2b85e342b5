"""Receipts on paper over HTTP: as a page, as a PDF, and as jobs for the agents that feed the printers of shops.

Only a receipt that is printed for the first time is the original; whatever says which job it is printed for shows the
mark of that job, all else is a reprint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal, Protocol, Self

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import AfterValidator, BaseModel, Field

from sipshop.billing.cdr import utc_text
from sipshop.billing.receipt import Receipt
from sipshop.console.books import PDF
from sipshop.console.pages.slips import slip_of
from sipshop.console.paging import Cursor, Limit, decode, encode
from sipshop.console.scope import Key, Sender, problems
from sipshop.console.views import Command, Next, one_line
from sipshop.store import GoesTo, PrintJob, UnknownPrintJob
from sipshop.switch import MOST_WAIT_S, PrinterStatus

#: The largest number of a receipt or a job that the database holds.
MOST: Final = 2**53

Language = Literal["en", "fr", "es", "it", "pt", "pl", "ar"]
OneLine = Annotated[str, AfterValidator(one_line)]
InLanguage = Annotated[Language | None, Query(description="that of the customer where none is given")]
OfJob = Annotated[int | None, Query(ge=1, le=MOST, description="the print job that it is for; none: a reprint")]

_ASKING: Final = problems(
    _400="malformed: the body is no JSON in UTF-8",
    _404="unknown_shop, unknown_receipt",
    _413="the body is too large",
    _422="invalid_request, or bad_terms: the key is that of another command",
    _503="unwritable, unavailable: nothing was changed",
)
_READING: Final = problems(
    _404="unknown_shop, unknown_receipt, unknown_print_job", _422="invalid_request", _503="unavailable"
)
_LISTING: Final = problems(_404="unknown_shop", _422="invalid_request, bad_cursor", _503="unavailable")
_CLAIMING: Final = problems(
    _400="malformed: the body is no JSON in UTF-8",
    _404="unknown_shop",
    _413="the body is too large",
    _422="invalid_request",
    _503="unwritable, unavailable: nothing was claimed",
)
_ENDING: Final = problems(
    _400="malformed: the body is no JSON in UTF-8",
    _404="unknown_shop, or unknown_print_job: another agent has it by now",
    _413="the body is too large",
    _422="invalid_request",
    _503="unwritable, unavailable: say it again",
)


class Printing(Protocol):
    """Receipts on their way to paper; `sipshop.switch.printing` keeps them."""

    async def receipt(self, tenant: str, shop: str, number: int) -> Receipt:
        """A receipt as it was drawn."""
        ...

    async def ask(
        self, tenant: str, shop: str, number: int, *, goes_to: GoesTo, language: str | None, author: str, key: str
    ) -> PrintJob:
        """Have a receipt printed."""
        ...

    async def jobs(self, tenant: str, shop: str, *, limit: int, before_id: int | None = None) -> list[PrintJob]:
        """The newest jobs of a shop first."""
        ...

    async def job(self, tenant: str, shop: str, job_id: int) -> PrintJob:
        """One job."""
        ...

    async def copy_of(self, tenant: str, shop: str, number: int) -> int:
        """How often a receipt may be on paper."""
        ...

    def printers(self, tenant: str, shop: str) -> list[PrinterStatus]:
        """The printers of a shop."""
        ...

    async def claim(
        self,
        tenant: str,
        shop: str,
        *,
        printer: str,
        fault: str,
        wait_s: float,
        is_gone: Callable[[], Awaitable[bool]],
    ) -> tuple[PrintJob, Receipt] | None:
        """Give an agent the next job."""
        ...

    async def end(
        self, tenant: str, shop: str, job_id: int, *, claim: str, why: str | None, may_be_on_paper: bool
    ) -> PrintJob:
        """Take an agent's word on a job."""
        ...


class PrintingDesk(Protocol):
    """Where printing is found."""

    @property
    def printing(self) -> Printing:
        """The print jobs of every shop."""
        ...


class PrintCommand(Command):
    """Have a receipt printed."""

    goes_to: Literal["printer", "browser"] = Field(
        default="printer", description="browser: whoever asks prints it himself, and it counts as printed"
    )
    language: Language | None = Field(default=None, description="that of the customer where none is given")


class ClaimCommand(Command):
    """An agent asks for work."""

    printer: OneLine = Field(max_length=100, description="what the printer is called at the desk")
    fault: str = Field(default="", max_length=300, description="why it does not print now: it gets no job then")
    wait_s: int = Field(default=0, ge=0, le=int(MOST_WAIT_S), description="so long it waits for work")


class DoneCommand(Command):
    """The job is printed."""

    claim: str = Field(max_length=64, description="as the job came")


class FailedCommand(Command):
    """The job was not printed, or not whole."""

    claim: str = Field(max_length=64, description="as the job came")
    why: str = Field(min_length=1, max_length=300)
    may_be_on_paper: bool = Field(description="false: surely nothing of it came out, so it is as if never tried")


class PrintJobView(BaseModel):
    """A receipt that is to be printed, or was."""

    id: int
    shop: str
    receipt: int
    language: str
    goes_to: Literal["printer", "browser"]
    state: Literal["waiting", "claimed", "done", "failed"]
    copy_number: int | None = Field(description="how often it may have been printed before; null until it is claimed")
    attempts: int
    printer: str | None
    why: str | None = Field(description="what went wrong last")
    asked_at: str
    author: str
    ended_at: str | None

    @classmethod
    def of(cls, job: PrintJob) -> Self:
        """The view of a job."""
        return cls(
            id=job.id,
            shop=job.shop,
            receipt=job.number,
            language=job.language,
            goes_to=job.goes_to.value,
            state=job.state.value,
            copy_number=job.copy,
            attempts=job.attempts,
            printer=job.printer,
            why=job.why,
            asked_at=utc_text(job.at_ms),
            author=job.author,
            ended_at=None if job.ended_at_ms is None else utc_text(job.ended_at_ms),
        )


class PrinterView(BaseModel):
    """A printer of a shop, as its agent told last."""

    name: str
    is_there: bool = Field(description="its agent asks for work")
    fault: str = Field(description="why it does not print; empty if it does")
    seen_at: str

    @classmethod
    def of(cls, printer: PrinterStatus) -> Self:
        """The view of a printer."""
        return cls(
            name=printer.name, is_there=printer.is_there, fault=printer.fault, seen_at=utc_text(printer.seen_at_ms)
        )


class PrintList(BaseModel):
    """The newest print jobs of a shop first, and its printers."""

    prints: list[PrintJobView]
    printers: list[PrinterView]
    next: Next


class ClaimedView(BaseModel):
    """What an agent is to print, null where nobody wants anything; `slip` is all that is read on it, in blocks."""

    job: PrintJobView | None
    claim: str | None
    slip: dict[str, Any] | None


def add_printing(router: APIRouter, desk: PrintingDesk) -> None:
    """Add the endpoints of receipts on paper and of print jobs."""
    _add_paper(router, desk)
    _add_jobs(router, desk)

    @router.post("/shops/{shop}/prints/claim", tags=["printing"], responses=_CLAIMING)
    async def claim_print(request: Request, sender: Sender, shop: str, command: ClaimCommand) -> ClaimedView:
        """Take the next job of a shop, for an agent at its desk: it prints it and says what came of it.

        Who says nothing for two minutes loses the job to the next, who prints a copy.
        """
        found = await desk.printing.claim(
            sender.tenant,
            sender.shop(shop),
            printer=command.printer,
            fault=command.fault,
            wait_s=command.wait_s,
            is_gone=request.is_disconnected,
        )
        if found is None:
            return ClaimedView(job=None, claim=None, slip=None)
        job, receipt = found
        slip = await asyncio.to_thread(slip_of, receipt, copy=job.copy or 0, language=job.language)
        return ClaimedView(job=PrintJobView.of(job), claim=job.claim, slip=slip.to_json())

    @router.post("/shops/{shop}/prints/{job_id}/done", tags=["printing"], responses=_ENDING)
    async def end_print(sender: Sender, shop: str, job_id: int, command: DoneCommand) -> PrintJobView:
        """Say that a job is printed."""
        place = sender.tenant, sender.shop(shop), _known(job_id)
        return PrintJobView.of(await desk.printing.end(*place, claim=command.claim, why=None, may_be_on_paper=True))

    @router.post("/shops/{shop}/prints/{job_id}/failed", tags=["printing"], responses=_ENDING)
    async def fail_print(sender: Sender, shop: str, job_id: int, command: FailedCommand) -> PrintJobView:
        """Say why a job is not printed: it waits for the next try, unless it has spoiled paper three times."""
        place = sender.tenant, sender.shop(shop), _known(job_id)
        ended = await desk.printing.end(
            *place, claim=command.claim, why=command.why, may_be_on_paper=command.may_be_on_paper
        )
        return PrintJobView.of(ended)


def _add_jobs(router: APIRouter, desk: PrintingDesk) -> None:
    @router.post("/shops/{shop}/receipts/{receipt}/print", tags=["printing"], responses=_ASKING)
    async def print_receipt(
        sender: Sender, shop: str, receipt: int, key: Key, command: PrintCommand | None = None
    ) -> PrintJobView:
        """Have a receipt printed by the printer of the shop's desk, or take it for a browser to print."""
        wanted = command or PrintCommand()
        job = await desk.printing.ask(
            sender.tenant,
            sender.shop(shop),
            _known(receipt),
            goes_to=GoesTo(wanted.goes_to),
            language=wanted.language,
            author=sender.author,
            key=key,
        )
        return PrintJobView.of(job)

    @router.get("/shops/{shop}/prints", tags=["printing"], responses=_LISTING)
    async def list_prints(sender: Sender, shop: str, limit: Limit = 50, cursor: Cursor = None) -> PrintList:
        """List the print jobs of a shop, the newest first, and its printers."""
        before_id = None if cursor is None else decode(cursor, int)[0]
        place = sender.tenant, sender.shop(shop)
        found = await desk.printing.jobs(*place, limit=limit + 1, before_id=before_id)
        return PrintList(
            prints=[PrintJobView.of(job) for job in found[:limit]],
            printers=[PrinterView.of(printer) for printer in desk.printing.printers(*place)],
            next=encode(found[limit - 1].id) if len(found) > limit else None,
        )


def _add_paper(router: APIRouter, desk: PrintingDesk) -> None:
    @router.get(
        "/shops/{shop}/receipts/{receipt}/html",
        tags=["printing"],
        response_class=HTMLResponse,
        responses=_READING,
    )
    async def show_receipt(
        sender: Sender, shop: str, receipt: int, language: InLanguage = None, job: OfJob = None
    ) -> HTMLResponse:
        """Read a receipt as a page that prints on a roll and on A4; it runs nothing and loads nothing."""
        found, copy = await printed(desk.printing, sender.tenant, sender.shop(shop), receipt, job)
        page, policy = await asyncio.to_thread(_page, found, copy, language)
        headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        return HTMLResponse(page, headers=headers)

    @router.get(
        "/shops/{shop}/receipts/{receipt}/pdf",
        tags=["printing"],
        response_class=Response,
        responses={200: {"content": {PDF: {}}, "description": "The PDF"}, **_READING},
    )
    async def draw_receipt(
        sender: Sender,
        shop: str,
        receipt: int,
        *,
        language: InLanguage = None,
        job: OfJob = None,
        paper: Annotated[Literal["a4", "80mm"], Query(description="how wide the paper is")] = "a4",
    ) -> Response:
        """Read a receipt as a PDF."""
        found, copy = await printed(desk.printing, sender.tenant, sender.shop(shop), receipt, job)
        return await pdf_response(found, copy, language, paper)


async def printed(printing: Printing, tenant: str, shop: str, number: int, job_id: int | None) -> tuple[Receipt, int]:
    """Return a receipt, and which copy of it is printed for a job; without one it is a reprint in any case.

    Raises UnknownReceipt, or UnknownPrintJob for a job of another receipt.
    """
    receipt = await printing.receipt(tenant, shop, _known(number))
    if job_id is None:
        return receipt, max(1, await printing.copy_of(tenant, shop, number))
    job = await printing.job(tenant, shop, job_id)
    if job.number != number:
        raise UnknownPrintJob(f"print job {job_id} is of another receipt")
    return receipt, max(1, job.attempts) if job.copy is None else job.copy


async def pdf_response(receipt: Receipt, copy: int, language: str | None, paper: str) -> Response:
    """Answer with a receipt as a PDF."""
    made = await asyncio.to_thread(_pdf, receipt, copy, language, paper)
    headers = {
        "Content-Disposition": f'inline; filename="{receipt.number}.pdf"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return Response(made, media_type=PDF, headers=headers)


def _known(number: int) -> int:
    """A number that the database may be asked for; what is beyond it is none of anything."""
    return number if 0 < number <= MOST else 0


def _page(receipt: Receipt, copy: int, language: str | None) -> tuple[str, str]:
    """A receipt as a page, and what that may do."""
    from sipshop.console.paper.slip_page import POLICY, slip_page  # noqa: PLC0415 - who prints none needs none of it

    return slip_page(slip_of(receipt, copy=copy, language=language)), POLICY


def _pdf(receipt: Receipt, copy: int, language: str | None, paper: str) -> bytes:
    from sipshop.console.paper.slip_pdf import Paper, slip_pdf  # noqa: PLC0415 - likewise

    return slip_pdf(slip_of(receipt, copy=copy, language=language), Paper(paper))
