"""The checkout: a booth's bill as it grows, what comes on it at the desk, and its payment."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from sipshop.billing.counter import Counter
from sipshop.billing.items import TEXT_LENGTH
from sipshop.billing.money import Money, parse_amount, parse_scaled
from sipshop.billing.tax import PERCENT_PLACES
from sipshop.console.pages.door import Form, Member, SignedIn, command_key
from sipshop.console.pages.frame import Frame
from sipshop.console.pages.sheet import BLANK, KEYS, Seen, Typed, sheet
from sipshop.console.pages.slips import DISCOUNTS, METHODS, VOIDS
from sipshop.console.pages.words import amount_text
from sipshop.console.scope import OPERATOR
from sipshop.console.views import one_line
from sipshop.store import NothingToPay

#: So many goods have a button each; the others are found by their names.
MOST_BUTTONS: Final = 24

_BILL: Final = "/board/{shop}/booths/{booth}/bill"
_MOST_DIGITS: Final = 18
_RECENT: Final = 20


def add_checkout(router: APIRouter, frame: Frame, desk: Any) -> None:
    """Add the page of a bill and its commands."""
    checkout = desk.checkout

    async def sheet_of(member: Member, shop: str, booth: str, fields: dict[str, str]) -> dict[str, Any]:
        """The bill as it is, with what is typed reckoned in; raises NothingToPay."""
        bill, counter = await checkout.bill(member.scope.tenant, booth), checkout.counter(member.scope.tenant, shop)
        seen = None
        if "seen" in fields:
            seen = Seen(
                version=_number(fields["seen"]), expected=_number(fields.get("expected", "0")), by=member.scope.author
            )
        return sheet(
            bill,
            {name: text for name, text in fields.items() if name in METHODS},
            member.words,
            zone=counter.on_paper[1],
            may_void=_may_void(counter, member),
            alive=member.scope.booth(booth).live_calls,
            seen=seen,
        )

    @router.get(_BILL)
    async def show_bill(request: Request, member: SignedIn, shop: str, booth: str) -> Response:
        """The bill of a booth's customer; the board where there is none."""
        _in_shop(member, shop, booth)
        try:
            found = await sheet_of(member, shop, booth, {})
        except NothingToPay:
            return RedirectResponse(f"/board/{quote(shop, safe='')}", 303)
        counter, words = checkout.counter(member.scope.tenant, shop), member.words
        return frame.page(
            request,
            member.visitor,
            "bill.html",
            shop=shop,
            booth=booth,
            note=next(iter(desk.floor.cards(member.scope.tenant, shop, {booth}))).note,
            sheet=found,
            sheet_json=json.dumps(found),
            blank=BLANK,
            goods=[
                {"name": good.name, "price": words.money(good.price.micros, good.price.currency)}
                for good in counter.goods
            ],
            methods=[(method.value, KEYS.get(method, ""), words(label)) for method, label in METHODS.items()],
            most_buttons=MOST_BUTTONS,
            tongues=counter.languages,
            discount_reasons=[(text, words(text)) for text in DISCOUNTS],
            may_void=_may_void(counter, member),
            void_reasons=[(text, words(text)) for text in VOIDS],
            max_name=TEXT_LENGTH,
            max_reason=TEXT_LENGTH,
        )

    @router.get(f"{_BILL}/sheet")
    async def reckon(request: Request, member: SignedIn, shop: str, booth: str) -> Response:
        """The same in figures, with what is typed; where it was paid meanwhile, where its receipt is."""
        _in_shop(member, shop, booth)
        try:
            return JSONResponse(await sheet_of(member, shop, booth, dict(request.query_params)))
        except NothingToPay:
            return JSONResponse({"gone": await where(member, shop, _number(request.query_params.get("session", "0")))})

    async def where(member: Member, shop: str, session_id: int) -> str:
        """Where to go when a bill is gone: to its receipt, or to the board where it was paid long ago."""
        for receipt in await checkout.receipts(member.scope.tenant, shop, limit=_RECENT):
            if receipt.session_id == session_id:
                return receipt_path(shop, receipt.number)
        return f"/board/{quote(shop, safe='')}"

    _add_commands(router, checkout)


def _add_commands(router: APIRouter, checkout: Any) -> None:
    done: Final = {"done": True}

    @router.post(_BILL)
    async def pay(member: SignedIn, fields: Form, shop: str, booth: str) -> Response:
        """Take the payment of the bill that was read, and lock the booth."""
        currency = _in_shop(member, shop, booth)
        bill = await checkout.bill(member.scope.tenant, booth)
        receipt = await checkout.pay(
            member.scope.tenant,
            booth,
            version=_number(fields.get("version", "")),
            tenders=Typed.of({name: text for name, text in fields.items() if name in METHODS}, currency).tenders(bill),
            language=fields.get("language"),
            author=member.scope.author,
        )
        return JSONResponse({"receipt": receipt_path(shop, receipt.number)})

    @router.post(f"{_BILL}/good")
    async def add_good(member: SignedIn, fields: Form, shop: str, booth: str) -> Response:
        """Put something on the bill: by its name from the shop's list, else at the price that was typed."""
        currency = _in_shop(member, shop, booth)
        quantity, unit = amount_text(fields.get("quantity", "1")), fields.get("unit", "").strip()
        await checkout.add_good(
            member.scope.tenant,
            booth,
            name=_line(fields.get("name", "")),
            quantity=_number(quantity),
            unit=Money(parse_amount(amount_text(unit)), currency) if unit else None,
            author=member.scope.author,
            key=command_key(member, fields),
        )
        return JSONResponse(done)

    @router.post(f"{_BILL}/discount")
    async def discount(member: SignedIn, fields: Form, shop: str, booth: str) -> Response:
        """Take something off the whole bill: a percentage or an amount."""
        currency = _in_shop(member, shop, booth)
        percent, amount = fields.get("percent", "").strip(), fields.get("amount", "").strip()
        await checkout.discount(
            member.scope.tenant,
            booth,
            amount=Money(parse_amount(amount_text(amount)), currency) if amount else None,
            percent_ppm=parse_scaled(amount_text(percent), PERCENT_PLACES) if percent else None,
            reason=_line(fields.get("reason", "")),
            author=member.scope.author,
            key=command_key(member, fields),
            is_operator=member.scope.role == OPERATOR,
        )
        return JSONResponse(done)

    @router.post(f"{_BILL}/void")
    async def void(member: SignedIn, fields: Form, shop: str, booth: str) -> Response:
        """Take a call off the bill, for a reason."""
        _in_shop(member, shop, booth)
        await checkout.void(
            member.scope.tenant,
            booth,
            call_id=fields.get("call", ""),
            item=None,
            reason=_line(fields.get("reason", "")),
            author=member.scope.author,
            key=command_key(member, fields),
            is_operator=member.scope.role == OPERATOR,
        )
        return JSONResponse(done)

    @router.post(f"{_BILL}/takeback")
    async def take_back(member: SignedIn, fields: Form, shop: str, booth: str) -> Response:
        """Take back what was put on the bill here: a good, a discount, or that something was taken off."""
        _in_shop(member, shop, booth)
        item = _number(fields.get("number", ""))
        await checkout.take_back(member.scope.tenant, booth, item=item, author=member.scope.author)
        return JSONResponse(done)


def _may_void(counter: Counter, member: Member) -> bool:
    """Whether somebody may take calls off a bill of the shop."""
    return counter.operators_may_void or member.scope.role != OPERATOR


def receipt_path(shop: str, number: int) -> str:
    """Where a receipt is shown to whoever was just paid."""
    return f"/receipts/{quote(shop, safe='')}/{number}?paid=1"


def _in_shop(member: Member, shop: str, booth: str) -> str:
    """The currency of a booth of the shop; raises UnknownBooth or UnknownShop for any other."""
    status = member.scope.booth(booth)
    if status.shop != member.scope.shop(shop):
        raise HTTPException(404, "the booth is another shop's")
    return status.currency


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise HTTPException(422, f"{text[:40]!a} is not a number")
    return int(text)


def _line(text: str) -> str:
    try:
        return one_line(text)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
