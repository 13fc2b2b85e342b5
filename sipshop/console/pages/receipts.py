"""Receipts at the desk: what was paid just now, and all of a day, to be given again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_time
from fastapi import APIRouter, HTTPException, Request
from starlette.responses import RedirectResponse, Response

from sipshop.billing.money import Money
from sipshop.billing.receipt import Entry, EntryKind, Receipt
from sipshop.console.pages.door import SignedIn
from sipshop.console.pages.frame import Frame
from sipshop.console.pages.paper import printer_text
from sipshop.console.pages.sheet import percent
from sipshop.console.pages.slips import METHODS, arithmetic, reason
from sipshop.console.pages.words import LANGUAGES, Words, mark, span

#: So many receipts stand on a page of the list.
AT_ONCE: Final = 100

_MOST_DIGITS: Final = 9


def add_receipts(router: APIRouter, frame: Frame, desk: Any, utc_ms: Callable[[], int]) -> None:
    """Add the list of receipts, and the page of one."""
    checkout = desk.checkout

    @router.get("/receipts")
    async def choose_receipts(request: Request, member: SignedIn) -> Response:
        """The receipts of the one shop that somebody reaches, or all shops to choose from."""
        shops = sorted(member.scope.reach.shops)
        if len(shops) == 1:
            return RedirectResponse(f"/receipts/{quote(shops[0], safe='')}", 303)
        return frame.page(request, member.visitor, "receiptshops.html", shops=shops)

    @router.get("/receipts/{shop}")
    async def list_receipts(request: Request, member: SignedIn, shop: str, day: str = "", before: str = "") -> Response:
        """The receipts of a day, the newest first."""
        zone = ZoneInfo(checkout.counter(member.scope.tenant, member.scope.shop(shop)).on_paper[1])
        today = datetime.fromtimestamp(utc_ms() / 1000, zone).date()
        shown = _day(day) or today
        found = await checkout.receipts(
            member.scope.tenant,
            shop,
            limit=AT_ONCE,
            before=_number(before) if before else None,
            since_ms=_midnight_ms(shown, zone),
            until_ms=_midnight_ms(shown + timedelta(days=1), zone),
        )
        return frame.page(
            request,
            member.visitor,
            "receipts.html",
            shop=shop,
            has_shops=len(member.scope.reach.shops) > 1,
            day=format_date(shown, "full", locale=member.words.language),
            earlier=(shown - timedelta(days=1)).isoformat(),
            later=(shown + timedelta(days=1)).isoformat() if shown < today else "",
            this=shown.isoformat(),
            receipts=[_row(receipt, member.words) for receipt in found],
            together=_together(found, member.words),
            more=found[-1].number if len(found) == AT_ONCE else 0,
        )

    @router.get("/receipts/{shop}/{number}")
    async def show_receipt(request: Request, member: SignedIn, shop: str, number: str, paid: str = "") -> Response:
        """One receipt; right after its payment with what goes back, and the way to the next customer."""
        receipt = await checkout.receipt(member.scope.tenant, member.scope.shop(shop), _number(number))
        words, printers = member.words, desk.printing.printers(member.scope.tenant, shop)
        return frame.page(
            request,
            member.visitor,
            "receipt.html",
            path_of=f"/receipts/{quote(shop, safe='')}/{receipt.number}",
            has_printer=bool(printers),
            printer=printer_text(printers, words),
            shop=shop,
            receipt=receipt,
            number=words.number(receipt.number),
            is_paid=bool(paid),
            payable=_money(receipt.payable, words),
            change=_money(receipt.change, words) if receipt.change.micros else "",
            at=_at(receipt, words),
            language=LANGUAGES.get(receipt.language, receipt.language),
            lines=[_line(entry, receipt, words) for entry in receipt.entries],
            sums=list(_sums(receipt, words)),
        )


def _together(receipts: Sequence[Receipt], words: Words) -> str:
    """How many receipts stand on a page, and what they come to, in each currency in which there are any."""
    sums: dict[str, int] = {}
    for receipt in receipts:
        sums[receipt.currency] = sums.get(receipt.currency, 0) + receipt.payable.micros
    amounts = " + ".join(words.money(micros, currency) for currency, micros in sums.items())
    return words.many(
        "%(number)s receipt: %(amount)s", "%(number)s receipts: %(amount)s", len(receipts), amount=amounts
    )


def _row(receipt: Receipt, words: Words) -> dict[str, str]:
    return {
        "number": words.number(receipt.number),
        "path": str(receipt.number),
        "time": _time(receipt.at_ms, receipt.zone, words),
        "booth": receipt.booth,
        "paid": _money(receipt.payable, words),
        "methods": ", ".join(words(METHODS[tender.method]) for tender in receipt.tenders)
        or (words(mark("Deposit, paid before")) if receipt.deposit.micros else ""),
        "author": receipt.author,
    }


def _line(entry: Entry, receipt: Receipt, words: Words) -> dict[str, str]:
    about = entry.author
    if entry.kind is EntryKind.CALL:
        at = "" if entry.at_ms is None else _time(entry.at_ms, receipt.zone, words)
        spans = {"talked": span(entry.talk_ms), "billed": span(entry.billed_s * 1000)}
        about = " \N{MIDDLE DOT} ".join(
            (entry.dialled, at, words(mark("Talked %(talked)s, billed %(billed)s"), **spans))
        )
    elif entry.unit is not None and entry.quantity != 1:
        about = f"{words.number(entry.quantity)} \N{MULTIPLICATION SIGN} {_money(entry.unit, words)}"
    prefix = {EntryKind.DISCOUNT: words(mark("Discount")), EntryKind.VOID: words(mark("Taken back"))}.get(entry.kind)
    return {
        "kind": entry.kind.value,
        "title": f"{prefix}: {reason(entry.text, words)}" if prefix else entry.text,
        "about": about,
        "sum": arithmetic(entry.explanation, words.language),
        "amount": _money(entry.amount, words),
    }


def _sums(receipt: Receipt, words: Words) -> Iterator[tuple[str, str, str]]:
    if receipt.rounding.micros:
        yield words(mark("Sum")), _money(receipt.total, words), ""
        yield words(mark("Rounding of cash")), _money(receipt.rounding, words), ""
    yield words(mark("Total")), _money(receipt.payable, words), "total"
    for each in receipt.taxes:
        name = f"{each.tax.name} {percent(each.tax.percent_ppm, words)}"
        yield words(mark("of which %(tax)s"), tax=name), _money(each.parts.tax, words), "soft"
    if receipt.deposit.micros:
        yield words(mark("Deposit, paid before")), _money(receipt.deposit, words), ""
    for tender in receipt.tenders:
        yield words(METHODS[tender.method]), _money(tender.amount, words), ""
    if receipt.change.micros:
        yield words(mark("Change")), _money(receipt.change, words), ""


def _money(amount: Money, words: Words) -> str:
    return words.money(amount.micros, amount.currency)


def _at(receipt: Receipt, words: Words) -> str:
    """When it was paid, by the clock of its shop."""
    day = datetime.fromtimestamp(receipt.at_ms / 1000, ZoneInfo(receipt.zone)).date()
    return f"{format_date(day, 'medium', locale=words.language)} {_time(receipt.at_ms, receipt.zone, words)}"


def _time(at_ms: int, zone: str, words: Words) -> str:
    return format_time(datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone)), "short", locale=words.language)


def _day(text: str) -> date | None:
    """A day as ISO 8601 writes it; None where there is none, or one that no calendar has."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if date(1970, 1, 2) <= found <= date(9000, 1, 1) else None


def _midnight_ms(day: date, zone: ZoneInfo) -> int:
    return round(datetime.combine(day, time(), zone).astimezone(UTC).timestamp() * 1000)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise HTTPException(404, f"no receipt has the number {text[:40]!a}")
    return int(text)
