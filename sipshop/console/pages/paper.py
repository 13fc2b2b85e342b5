"""Receipts on paper, for people: printed by the printer of the desk or by the browser, and whether that printer lives.

What is printed is worded in the customer's language, whoever looks at it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from sipshop.console.pages.assets import Assets
from sipshop.console.pages.door import Form, SignedIn, command_key
from sipshop.console.pages.slips import language_of, slip_of
from sipshop.console.pages.words import LANGUAGES, Words, mark, words
from sipshop.console.printing import pdf_response, printed
from sipshop.store import GoesTo
from sipshop.switch import PrinterStatus

_MOST_DIGITS: Final = 15


def add_paper(router: APIRouter, assets: Assets, desk: Any) -> None:
    """Add what prints receipts."""

    @router.get("/receipts/{shop}/printers")
    async def see_printers(member: SignedIn, shop: str) -> Response:
        """Whether a receipt that is sent to the desk's printer comes out, in words."""
        found = desk.printing.printers(member.scope.tenant, member.scope.shop(shop))
        return JSONResponse({"works": any(each.works for each in found), "text": printer_text(found, member.words)})

    @router.post("/receipts/{shop}/{number}/print")
    async def print_receipt(request: Request, member: SignedIn, fields: Form, shop: str, number: str) -> Response:
        """Have a receipt printed; what goes to a browser is shown as it is to be printed."""
        goes_to = GoesTo.BROWSER if fields.get("to") == "browser" else GoesTo.PRINTER
        language = fields.get("language") or None
        if language is not None and language not in LANGUAGES:
            raise HTTPException(422, "no receipt is worded in this language")
        job = await desk.printing.ask(
            member.scope.tenant,
            member.scope.shop(shop),
            _whole(number),
            goes_to=goes_to,
            language=language,
            author=member.scope.author,
            key=command_key(member, fields),
        )
        place = f"/receipts/{quote(shop, safe='')}/{job.number}"
        paper = f"{place}/paper?job={job.id}" if goes_to is GoesTo.BROWSER else ""
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse(paper or place, 303)
        return JSONResponse({"done": True, "job": job.id, "paper": paper})

    @router.get("/receipts/{shop}/{number}/paper")
    async def show_paper(member: SignedIn, shop: str, number: str, job: str = "", language: str = "") -> Response:
        """A receipt as it is printed on a roll or on A4; without a job it is a reprint."""
        receipt, copy = await printed(
            desk.printing, member.scope.tenant, member.scope.shop(shop), _whole(number), _job(job)
        )
        wanted = language if language in LANGUAGES else language_of(receipt)
        page, policy = await asyncio.to_thread(_page, assets, receipt, copy, wanted, member.words)
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    @router.get("/receipts/{shop}/{number}/pdf")
    async def show_pdf(member: SignedIn, shop: str, number: str, job: str = "", paper: str = "a4") -> Response:
        """A receipt as a PDF."""
        receipt, copy = await printed(
            desk.printing, member.scope.tenant, member.scope.shop(shop), _whole(number), _job(job)
        )
        return await pdf_response(receipt, copy, None, "80mm" if paper == "80mm" else "a4")


def printer_text(printers: list[PrinterStatus], _: Words) -> str:
    """Return how the printers of a desk are, in a sentence."""
    if not printers:
        return _("No printer at the desk: receipts are printed from this browser.")
    if any(printer.works for printer in printers):
        return _("The printer is ready.")
    if any(printer.is_there for printer in printers):
        return _("The printer does not print: look at its paper and its cable.")
    return _("The printer does not answer: look whether it is on.")


def _page(assets: Assets, receipt: Any, copy: int, language: str, reader: Words) -> tuple[str, str]:
    from sipshop.console.paper.slip_page import POLICY_WITH_BUTTON, slip_page  # noqa: PLC0415 - who prints none needs none

    slip = slip_of(receipt, copy=copy, language=words(language).language)
    return slip_page(slip, script=assets.url("paper.js"), button=reader(mark("Print"))), POLICY_WITH_BUTTON


def _job(text: str) -> int | None:
    return _whole(text) if text else None


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise HTTPException(404, f"nothing has the number {text[:40]!a}")
    return int(text)
