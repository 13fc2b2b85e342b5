"""Puts the pages on the application that serves the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, FastAPI

from sipshop.console.events import Hub
from sipshop.console.finding import Finder
from sipshop.console.pages.account import add_account
from sipshop.console.pages.assets import PREFIX, Assets
from sipshop.console.pages.board import add_board
from sipshop.console.pages.checkout import add_checkout
from sipshop.console.pages.door import Hardened
from sipshop.console.pages.frame import Frame
from sipshop.console.pages.login import Gatekeeper, add_login
from sipshop.console.pages.paper import add_paper
from sipshop.console.pages.poster import add_poster
from sipshop.console.pages.rates import add_rates
from sipshop.console.pages.receipts import add_receipts
from sipshop.console.pages.screen import add_screen
from sipshop.console.pages.till import add_till_pages


def add_pages(
    api: FastAPI, desk: Any, hub: Hub, utc_ms: Callable[[], int], random: Callable[[int], bytes], *, finder: Finder
) -> Frame:
    """Serve the pages, and return their frame, which words what goes wrong on one."""
    assets = Assets()
    frame = Frame(assets)
    router = APIRouter(include_in_schema=False)
    gatekeeper = Gatekeeper(desk.logins, utc_ms)
    add_login(router, frame, desk.logins, gatekeeper, random)
    add_account(router, frame, desk.logins, gatekeeper, random)
    add_board(router, frame, desk, hub)
    add_till_pages(router, frame, desk)
    add_paper(router, assets, desk)
    add_checkout(router, frame, desk)
    add_receipts(router, frame, desk, utc_ms)
    add_rates(router, frame, desk, finder)
    add_poster(router, frame, desk)
    add_screen(router, frame, desk, hub, utc_ms=utc_ms, random=random)
    api.router.routes.extend(router.routes)
    api.add_route(f"{PREFIX}{{name}}", assets.serve, include_in_schema=False)
    api.add_middleware(Hardened)
    api.state.random = random
    api.state.pages = router
    return frame
