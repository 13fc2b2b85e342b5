"""Puts the pages on the application that serves the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, FastAPI

from sipshop.console.events import Hub
from sipshop.console.pages.account import add_account
from sipshop.console.pages.assets import PREFIX, Assets
from sipshop.console.pages.board import add_board
from sipshop.console.pages.door import Hardened
from sipshop.console.pages.frame import Frame
from sipshop.console.pages.login import Gatekeeper, add_login
from sipshop.console.pages.paper import add_paper
from sipshop.console.pages.till import add_till_pages


def add_pages(api: FastAPI, desk: Any, hub: Hub, utc_ms: Callable[[], int], random: Callable[[int], bytes]) -> Frame:
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
    api.router.routes.extend(router.routes)
    api.add_route(f"{PREFIX}{{name}}", assets.serve, include_in_schema=False)
    api.add_middleware(Hardened)
    api.state.random = random
    api.state.pages = router
    return frame
