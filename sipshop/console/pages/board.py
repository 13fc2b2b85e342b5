"""The operator's board: the booths of a shop as they are, and every command by a key, a click or a touch."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from sipshop.billing.desk import POSTPAID, SessionTerms
from sipshop.billing.errors import BadTerms
from sipshop.billing.money import Money, parse_amount
from sipshop.console.events import MEDIA_TYPE, Hub
from sipshop.console.floor import MAX_NOTE, acknowledge, move
from sipshop.console.pages.door import Form, Member, SignedIn, command_key
from sipshop.console.pages.feed import Feed
from sipshop.console.pages.frame import Frame
from sipshop.console.pages.tiles import tile
from sipshop.console.pages.till import on_shift
from sipshop.console.pages.wall import Wall
from sipshop.console.pages.words import amount_text, mark
from sipshop.console.views import MAX_MINUTES, one_line

#: What can be done with a booth, by the key that does it.
ACTIONS: Final = {
    "unlock": ("U", mark("Unlock")),
    "pay": ("P", mark("Bill and payment")),
    "lock": ("L", mark("Lock")),
    "cut": ("C", mark("Cut the call")),
    "topup": ("T", mark("Top up")),
    "move": ("M", mark("Move")),
    "note": ("N", mark("Note")),
    "acknowledge": ("A", mark("I have seen to it")),
}
#: What a booth looks like that the page fills in by itself: one that came into the world while the board was open.
BLANK: Final = dict.fromkeys(
    ("booth", "state", "phone", "phoneText", "stateText", "flag", "number", "destination", "note"), ""
) | {"figures": [[0, "", "", "", False]]}

_MAX_PLACE: Final = 18  # digits


def add_board(router: APIRouter, frame: Frame, desk: Any, hub: Hub) -> None:
    """Add the board and its commands."""
    wall = Wall(desk.floor, hub, time.perf_counter)

    @router.get("/board")
    async def choose_shop(request: Request, member: SignedIn) -> Response:
        """The board of the one shop that somebody reaches, or all of them to choose from."""
        shops = sorted(member.scope.reach.shops)
        if len(shops) == 1:
            return board_page(request, member, shops[0])
        booths = desk.booths(member.scope.tenant, member.scope.reach.shops)
        rows = [
            {
                "shop": shop,
                "booths": sum(booth.shop == shop for booth in booths),
                "open": sum(booth.shop == shop and booth.session_id is not None for booth in booths),
                "calls": sum(booth.live_calls for booth in booths if booth.shop == shop),
                "alarms": len(desk.floor.alarms(member.scope.tenant, {shop})),
            }
            for shop in shops
        ]
        return frame.page(request, member.visitor, "shops.html", shops=rows)

    @router.get("/board/{shop}")
    async def show_board(request: Request, member: SignedIn, shop: str) -> Response:
        """The board of a shop."""
        return board_page(request, member, member.scope.shop(shop))

    def board_page(request: Request, member: Member, shop: str) -> Response:
        # what comes after this instant is told by the stream
        cards = (replace(card, running=card.running[:1]) for card in desk.floor.cards(member.scope.tenant, shop))
        tiles = [tile(card, member.words) for card in cards]
        return frame.page(
            request,
            member.visitor,
            "board.html",
            shop=shop,
            tiles=tiles,
            blank=BLANK,
            actions=[(does, key, member.words(text)) for does, (key, text) in ACTIONS.items()],
            has_shops=len(member.scope.reach.shops) > 1,
            currency=desk.till.currency(member.scope.tenant, shop),
            max_minutes=MAX_MINUTES,
            max_note=MAX_NOTE,
            till=on_shift(desk.till, member.scope, shop, member.words),
        )

    @router.get("/board/{shop}/events")
    async def listen(request: Request, member: SignedIn, shop: str, after: str = "") -> StreamingResponse:
        """What happens in the shop, as it happens."""
        identity, words = member.scope.identity, member.words
        till = partial(on_shift, desk.till, member.scope, shop, words)
        feed = Feed(hub, wall, identity, member.scope.shop(shop), words, till=till)
        hub.check_room(identity)

        def is_valid() -> bool:
            """Whether he is in still, and reaches the shop still."""
            found = desk.logins.who(member.session.sha256)
            return found is not None and found[1] == member.person

        place = int(after) if after.isascii() and after.isdecimal() and len(after) <= _MAX_PLACE else None
        headers = {"X-Accel-Buffering": "no"}  # a proxy must not gather it
        events = feed.stream(is_valid, after=place)
        return StreamingResponse(events, media_type=MEDIA_TYPE, headers=headers)

    _add_commands(router, desk)


def _add_commands(router: APIRouter, desk: Any) -> None:
    done = {"done": True}

    def in_shop(member: Member, shop: str, booth: str) -> str:
        """The currency of a booth of the shop; raises UnknownBooth for any other."""
        status = member.scope.booth(booth)
        if status.shop != member.scope.shop(shop):
            raise HTTPException(404, "the booth is another shop's")
        return status.currency

    @router.post("/board/{shop}/booths/{booth}/unlock")
    async def unlock(member: SignedIn, fields: Form, shop: str, booth: str) -> Response:
        """Open a booth by the terms that were chosen."""
        terms = _terms(fields, in_shop(member, shop, booth))
        key = command_key(member, fields)
        await desk.unlock(member.scope.tenant, booth, member.scope.author, terms, key)
        return JSONResponse(done)

    @router.post("/board/{shop}/booths/{booth}/topup")
    async def top_up(member: SignedIn, fields: Form, shop: str, booth: str) -> Response:
        """Add to a deposit; the running call goes on for it."""
        amount = Money(parse_amount(amount_text(fields.get("amount", ""))), in_shop(member, shop, booth))
        key = command_key(member, fields)
        await desk.top_up(member.scope.tenant, booth, amount, member.scope.author, key)
        return JSONResponse(done)

    @router.post("/board/{shop}/booths/{booth}/lock")
    async def lock(member: SignedIn, fields: Form, shop: str, booth: str) -> Response:
        """Take no new calls of a booth, and end the one that it has where that was chosen."""
        in_shop(member, shop, booth)
        await desk.lock(member.scope.tenant, booth, member.scope.author, cut=fields.get("call") == "cut")
        return JSONResponse(done)

    @router.post("/board/{shop}/booths/{booth}/cut")
    async def cut(member: SignedIn, fields: Form, shop: str, booth: str) -> Response:
        """End a booth's calls."""
        del fields
        in_shop(member, shop, booth)
        await desk.floor.cut(member.scope.tenant, booth, member.scope.author)
        return JSONResponse(done)

    @router.post("/board/{shop}/booths/{booth}/move")
    async def move_session(member: SignedIn, fields: Form, shop: str, booth: str) -> Response:
        """Let the customer go on in another booth."""
        in_shop(member, shop, booth)
        await move(desk.floor, member.scope, booth, fields.get("to", ""))
        return JSONResponse(done)

    @router.post("/board/{shop}/booths/{booth}/note")
    async def note(member: SignedIn, fields: Form, shop: str, booth: str) -> Response:
        """Write something down about the customer."""
        in_shop(member, shop, booth)
        try:
            text = fields.get("note", "").strip()
            text = text and one_line(text)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        if len(text) > MAX_NOTE:
            raise HTTPException(422, f"a note has at most {MAX_NOTE} characters")
        await desk.floor.note(member.scope.tenant, booth, text, member.scope.author)
        return JSONResponse(done)

    @router.post("/board/{shop}/alarms/{call_id}/acknowledge")
    async def acknowledge_alarm(member: SignedIn, fields: Form, shop: str, call_id: str) -> Response:
        """Say that somebody has seen to an emergency call."""
        del fields
        member.scope.shop(shop)
        await acknowledge(desk.floor, member.scope, call_id)
        return JSONResponse(done)


def _terms(fields: dict[str, str], currency: str) -> SessionTerms:
    """What a booth is unlocked for; raises BadAmount or BadTerms."""
    match fields.get("terms"):
        case "deposit":
            return SessionTerms(deposit=Money(parse_amount(amount_text(fields.get("amount", ""))), currency))
        case "limit":
            return SessionTerms(limit=Money(parse_amount(amount_text(fields.get("amount", ""))), currency))
        case "minutes":
            minutes = amount_text(fields.get("minutes", ""))
            if not minutes.isdecimal() or not 1 <= int(minutes) <= MAX_MINUTES:
                raise BadTerms(f"minutes are from 1 to {MAX_MINUTES}")
            return SessionTerms(talk_limit_ms=int(minutes) * 60_000)
        case _:
            return POSTPAID
