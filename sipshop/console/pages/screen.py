"""Screens for customers: a page in big figures for whoever has its link, and the page where operators make them.

A link has a key of its own. It shows the booths of one shop, or one of them, and opens nothing else: no command, no
other page, no login; what it shows of a number are its first digits.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from sipshop.console.events import MEDIA_TYPE, Hub
from sipshop.console.floor import Floor
from sipshop.console.pages.door import Form, Member, SignedIn
from sipshop.console.pages.frame import Frame
from sipshop.console.pages.rates import chooser
from sipshop.console.pages.tiles import tile
from sipshop.console.pages.words import LANGUAGES, Words, mark, words
from sipshop.console.scope import OPERATOR
from sipshop.console.screens import MAX_LABEL, make_screen, path_of
from sipshop.console.tokens import Identity, hash_token
from sipshop.console.views import one_line
from sipshop.store import Screen, Token
from sipshop.switch import Card

#: What happens within this time is told together.
GATHER_S: Final = 0.1
PING_S: Final = 5.0
#: The figures of a running call are told anew before they end.
RENEW_S: Final = 30.0
#: So many digits of a number are shown.
SHOWN_DIGITS: Final = 5

#: What a card shows that the page fills in by itself.
BLANK: Final = {"booth": "", "state": "locked", "stateText": "", "country": "", "number": "", "figures": [["", "", ""]]}
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_SHOWN: Final = ("booth", "state", "stateText", "country", "talk", "figures", "minutes")


def customer_tile(card: Card, told: Words) -> dict[str, Any]:
    """Return a booth as customers see it: what it costs and what is left, and of the number its first digits."""
    whole = tile(card, told)
    shown = {name: whole[name] for name in _SHOWN}
    return shown | {"number": hidden(whole["number"])}


def hidden(number: str) -> str:
    """Return a number of which only the first digits can be read.

    >>> hidden("0022320223344"), hidden("112")
    ('00223••••••••', '112')
    """
    return number[:SHOWN_DIGITS] + "•" * len(number[SHOWN_DIGITS:])


class Show:
    """What one screen shows, as it happens: server-sent events, as a board has them.

    A stream begins with every booth as it is, so whoever comes back sees what is.
    """

    def __init__(self, hub: Hub, floor: Floor, screen: Screen, clock: Callable[[], float] = time.perf_counter) -> None:
        self._hub = hub
        self._floor = floor
        self._screen = screen
        self._words = words(screen.language)
        self._clock = clock
        self._told: dict[str, dict[str, Any]] = {}

    def tiles(self, booths: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """The booths of the screen, or these of them, as they are."""
        screen = self._screen
        wanted = None if booths is None else set(booths)
        if screen.booth is not None:
            wanted = {screen.booth} if wanted is None else wanted & {screen.booth}
        cards = self._floor.cards(screen.tenant, screen.shop, wanted)
        return [customer_tile(card, self._words) for card in cards]

    async def stream(
        self, is_valid: Callable[[], bool], *, gather_s: float = GATHER_S, ping_s: float = PING_S
    ) -> AsyncGenerator[str]:
        """The events as text/event-stream, until the screen is taken away or the hub is closed."""
        with self._hub.listening(identity_of(self._screen)) as listener:
            renewed_s = self._clock()
            yield self._event(self.tiles(), is_whole=True)
            while not listener.is_closed:
                listener.woken.clear()
                wanted = set(self._told) if listener.parties else set(listener.booths)
                for listed in (listener.booths, listener.shops, listener.parties):
                    listed.clear()
                if self._clock() - renewed_s >= RENEW_S:
                    renewed_s = self._clock()
                    wanted |= {booth for booth, told in self._told.items() if told["talk"] is not None}
                now = self.tiles(wanted) if wanted else []
                changed = [each for each in now if self._told.get(each["booth"]) != each]
                if changed:
                    yield self._event(changed, is_whole=False)
                await asyncio.sleep(gather_s)
                try:
                    async with asyncio.timeout(ping_s):
                        await listener.woken.wait()
                except TimeoutError:
                    yield "event: ping\ndata: {}\n\n"
                if not is_valid():
                    break

    def _event(self, tiles: list[dict[str, Any]], *, is_whole: bool) -> str:
        self._told |= {each["booth"]: each for each in tiles}
        data = json.dumps({"whole": is_whole, "tiles": tiles}, separators=(",", ":"))
        return f"event: tiles\ndata: {data}\n\n"


def identity_of(screen: Screen) -> Identity:
    """Return a screen as the hub knows listeners; it is no token, and opens nothing."""
    token = Token(
        tenant=screen.tenant,
        sha256=screen.sha256,
        role=OPERATOR,
        party="",
        shop=screen.shop,
        label="screen",
        created_at_ms=screen.created_at_ms,
        expires_at_ms=None,
    )
    return Identity(token, f"screen/{screen.id}")


def add_screen(
    router: APIRouter,
    frame: Frame,
    desk: Any,
    hub: Hub,
    *,
    utc_ms: Callable[[], int],
    random: Callable[[int], bytes],
) -> None:
    """Add the page that customers see, and what it hears."""

    def screen_of(key: str) -> Screen:
        """The screen of a key; HTTPException (404) where it shows nothing, or nothing any more."""
        found: Screen | None = desk.screens.find(hash_token(key)) if _KEY.fullmatch(key) else None
        if found is None:
            raise HTTPException(404, "there is no such screen")
        return found

    @router.get("/screen/{key}")
    async def show_screen(key: str) -> Response:
        """What a customer sees."""
        screen = screen_of(key)
        tiles = Show(hub, desk.floor, screen).tiles()
        response = frame.bare(
            "screen.html",
            words(screen.language),
            shop=screen.shop,
            path=path_of(key),
            tiles=tiles,
            blank=BLANK,
            is_one=screen.booth is not None,
        )
        response.headers["Referrer-Policy"] = "no-referrer"  # the address is the key
        return response

    @router.get("/screen/{key}/events")
    async def listen(key: str) -> StreamingResponse:
        """The same, as it happens."""
        screen = screen_of(key)
        hub.check_room(identity_of(screen))
        events = Show(hub, desk.floor, screen).stream(lambda: desk.screens.find(screen.sha256) is not None)
        headers = {"X-Accel-Buffering": "no", "Referrer-Policy": "no-referrer"}
        return StreamingResponse(events, media_type=MEDIA_TYPE, headers=headers)

    _add_making(router, frame, desk, utc_ms, random)


def _add_making(
    router: APIRouter, frame: Frame, desk: Any, utc_ms: Callable[[], int], random: Callable[[int], bytes]
) -> None:
    def page(request: Request, member: Member, shop: str, link: str = "") -> Response:
        booths = [each.booth for each in desk.booths(member.scope.tenant, {shop})]
        return frame.page(
            request,
            member.visitor,
            "screens.html",
            shop=shop,
            booths=booths,
            screens=desk.screens.of_shops(member.scope.tenant, {shop}),
            link=link,
            most=MAX_LABEL,
        )

    @router.get("/screens")
    async def choose_screens(request: Request, member: SignedIn) -> Response:
        """The screens of the one shop that somebody reaches, or the shops to choose from."""
        return chooser(frame, request, member, "/screens", member.words(mark("Customer screens")))

    @router.get("/screens/{shop}")
    async def show_screens(request: Request, member: SignedIn, shop: str) -> Response:
        """The screens of a shop."""
        return page(request, member, member.scope.shop(shop))

    @router.post("/screens/{shop}/add")
    async def add(request: Request, member: SignedIn, fields: Form, shop: str) -> Response:
        """Make a screen, and show its link this once."""
        language, booth = fields.get("language", ""), fields.get("booth") or None
        try:
            label = one_line(fields.get("label", "").strip()[:MAX_LABEL] or "screen")
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        _, key = await make_screen(
            desk.screens,
            member.scope,
            shop,
            booth=booth,
            language=language if language in LANGUAGES else member.words.language,
            label=label,
            random=random,
            now_ms=utc_ms(),
        )
        return page(request, member, shop, link=f"{request.url.scheme}://{request.url.netloc}{path_of(key)}")

    @router.post("/screens/{shop}/{screen}/remove")
    async def remove(member: SignedIn, fields: Form, shop: str, screen: str) -> Response:
        """Take a screen away."""
        del fields
        await desk.screens.remove(member.scope.tenant, screen, {member.scope.shop(shop)}, member.scope.author)
        return RedirectResponse(f"/screens/{quote(shop, safe='')}", 303)
