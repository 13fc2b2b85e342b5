"""Screens for customers over HTTP: links that show the booths of a shop, and nothing else, to whoever has one."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection
from typing import Annotated, Final, Protocol, Self

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, Field

from sipshop.billing.cdr import utc_text
from sipshop.console.rates import Language
from sipshop.console.scope import Scope, Sender, problems
from sipshop.console.tokens import hash_token
from sipshop.console.views import Command, one_line
from sipshop.store import Screen
from sipshop.switch import UnknownBooth

MAX_LABEL: Final = 60
_KEY_BYTES: Final = 32

_MAKING: Final = problems(
    _400="malformed: the body is no JSON in UTF-8",
    _404="unknown_shop, unknown_booth",
    _413="the body is too large",
    _422="invalid_request",
    _503="unwritable, not_now (the shop has too many), unavailable: no screen was made",
)
_REMOVING: Final = problems(_404="unknown_screen", _422="invalid_request", _503="unwritable, unavailable")


class Screens(Protocol):
    """Where screens are kept; `sipshop.switch.screens` does it. Commands are durable when they return."""

    def find(self, sha256: str) -> Screen | None:
        """The screen whose key has this SHA-256."""
        ...

    def of_shops(self, tenant: str, shops: Collection[str]) -> list[Screen]:
        """The screens of these shops, the oldest first."""
        ...

    async def add(self, screen: Screen) -> None:
        """Have a link show something."""
        ...

    async def remove(self, tenant: str, screen_id: str, shops: Collection[str], author: str) -> Screen:
        """Have a link show nothing any more; raises `UnknownScreen`."""
        ...


class ScreensDesk(Protocol):
    """Where the screens are found."""

    @property
    def screens(self) -> Screens:
        """The screens for customers."""
        ...


class ScreenCommand(Command):
    """Make a screen."""

    booth: Annotated[str | None, Field(max_length=100, description="what it shows; null: all booths of the shop")] = (
        None
    )
    language: Annotated[Language, Field(description="of what it shows")] = "en"
    label: Annotated[str, Field(max_length=MAX_LABEL, description="where it is"), AfterValidator(one_line)] = "screen"


class ScreenView(BaseModel):
    """A screen for customers."""

    id: str
    shop: str
    booth: str | None
    language: str
    label: str
    made_by: str
    made_at: str

    @classmethod
    def of(cls, screen: Screen) -> Self:
        """The view of a screen."""
        return cls(
            id=screen.id,
            shop=screen.shop,
            booth=screen.booth,
            language=screen.language,
            label=screen.label,
            made_by=screen.author,
            made_at=utc_text(screen.created_at_ms),
        )


class NewScreenView(ScreenView):
    """A screen that was made just now, with the path of its link: it is told this once."""

    path: str


class ScreenList(BaseModel):
    """The screens of a shop."""

    screens: list[ScreenView]


async def make_screen(
    screens: Screens,
    sender: Scope,
    shop: str,
    *,
    booth: str | None,
    language: str,
    label: str,
    random: Callable[[int], bytes],
    now_ms: int,
) -> tuple[Screen, str]:
    """Make a screen of a shop that somebody reaches, and return it with its key; raises UnknownShop, UnknownBooth."""
    sender.shop(shop)
    if booth is not None and sender.booth(booth).shop != shop:
        raise UnknownBooth(f"there is no booth named {booth!r} in {shop}")
    key = base64.urlsafe_b64encode(random(_KEY_BYTES)).decode("ascii").rstrip("=")
    screen = Screen(
        tenant=sender.tenant,
        sha256=hash_token(key),
        shop=shop,
        booth=booth,
        language=language,
        label=label,
        author=sender.author,
        created_at_ms=now_ms,
    )
    await screens.add(screen)
    return screen, key


def path_of(key: str) -> str:
    """The path of a screen's link."""
    return f"/screen/{key}"


def add_screens(
    router: APIRouter, desk: ScreensDesk, utc_ms: Callable[[], int], random: Callable[[int], bytes]
) -> None:
    """Add the endpoints of screens."""

    @router.get(
        "/shops/{shop}/screens", tags=["booths"], responses=problems(_404="unknown_shop", _422="invalid_request")
    )
    async def list_screens(sender: Sender, shop: str) -> ScreenList:
        """List the screens for customers of a shop, the oldest first."""
        found = desk.screens.of_shops(sender.tenant, {sender.shop(shop)})
        return ScreenList(screens=[ScreenView.of(screen) for screen in found])

    @router.post("/shops/{shop}/screens", tags=["booths"], status_code=201, responses=_MAKING)
    async def add_screen(sender: Sender, shop: str, command: ScreenCommand | None = None) -> NewScreenView:
        """Make a screen for customers; the answer alone tells its link, which needs no login."""
        asked = command or ScreenCommand()
        screen, key = await make_screen(
            desk.screens,
            sender,
            shop,
            booth=asked.booth,
            language=asked.language,
            label=asked.label,
            random=random,
            now_ms=utc_ms(),
        )
        return NewScreenView(**ScreenView.of(screen).model_dump(), path=path_of(key))

    @router.post("/shops/{shop}/screens/{screen}/remove", tags=["booths"], responses=_REMOVING)
    async def remove_screen(sender: Sender, shop: str, screen: str) -> ScreenView:
        """Take a screen away: its link shows nothing any more, from this moment."""
        gone = await desk.screens.remove(sender.tenant, screen, {sender.shop(shop)}, sender.author)
        return ScreenView.of(gone)
