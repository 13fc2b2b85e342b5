"""Coming in and going out, and what a person changes about himself: password, second factor, language."""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from sipshop.console.logins import Logins
from sipshop.console.pages import totp
from sipshop.console.pages.door import (
    AnyVisitor,
    Form,
    SignedIn,
    Visitor,
    hash_secret,
    new_secret,
    set_language,
    set_secret,
)
from sipshop.console.pages.frame import Frame
from sipshop.console.pages.throttle import Throttle
from sipshop.console.pages.words import LANGUAGES, mark
from sipshop.console.passwords import MAX_LENGTH, is_password
from sipshop.sip.message import printable
from sipshop.world import Operator

log: Final = logging.getLogger("sipshop.web")

_WRONG: Final = mark("The name, the password or the code is wrong.")
WAIT: Final = mark("Too many tries. Wait %(seconds)s seconds, then try again.")
_BACK: Final = re.compile(r"/(?:[A-Za-z0-9._~%-]+/?)*")
_NETWORK_BITS: Final = 64  # of IPv6: what one customer of a provider has to himself


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What somebody shows to come in."""

    name: str
    password: str
    code: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """Whether he may; `step` is that of the code that he used."""

    person: Operator | None = None
    step: int | None = None
    wait_s: int = 0


class Gatekeeper:
    """Holds what people show against what is kept of them; in the same time whether there is such a person or not."""

    def __init__(self, logins: Logins, utc_ms: Callable[[], int]) -> None:
        self._logins = logins
        self._utc_ms = utc_ms
        self._throttle = Throttle()

    async def ask(self, asked: _Asked) -> _Answer:
        """Say whether somebody may come in, and count it against him if not."""
        name = asked.name.casefold()[:MAX_LENGTH]
        wait_ms = self._throttle.wait_ms(name, asked.source, self._utc_ms())
        if wait_ms:
            return _Answer(wait_s=-(-wait_ms // 1000))
        # counted before it is known to be wrong: who asks a hundred times at once is not answered a hundred times
        self._throttle.failed(name, asked.source, self._utc_ms())
        person = self._logins.named(asked.name)
        login = None if person is None else self._logins.login(person.tenant, person.name)
        is_right = await is_password(None if login is None else login.password, asked.password)
        if person is None or login is None or not is_right:
            return _Answer()
        step = None
        if login.totp is not None:
            login = self._logins.login(person.tenant, person.name) or login  # a code may have been used meanwhile
            step = totp.matched_step(login.totp or "", asked.code, self._utc_ms(), after=login.totp_step)
            if step is None:
                return _Answer()
        self._throttle.passed(name, asked.source)
        return _Answer(person=person, step=step)

    @property
    def now_ms(self) -> int:
        """The instant, in UTC, by which codes are held."""
        return self._utc_ms()

    def wait_s(self, name: str, source: str) -> int:
        """How long somebody who is in may not try his password."""
        return -(-self._throttle.wait_ms(name, source, self._utc_ms()) // 1000)

    def tries(self, name: str, source: str) -> None:
        """Count a try of somebody who is in, before it is known to be wrong."""
        self._throttle.failed(name, source, self._utc_ms())

    def passed(self, name: str, source: str) -> None:
        """It was right."""
        self._throttle.passed(name, source)


def source_of(request: Request) -> str:
    """Return where a request comes from, as far as tries are counted: an address, or a network of IPv6."""
    host = request.client.host if request.client is not None else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((address, _NETWORK_BITS), strict=False))
    return str(address)


def add_login(
    router: APIRouter,
    frame: Frame,
    logins: Logins,
    gatekeeper: Gatekeeper,
    random: Callable[[int], bytes],
) -> None:
    """Add the pages of coming in and going out."""

    def login_page(request: Request, visitor: Visitor, status: int = 200, *, name: str = "", why: str = "") -> Response:
        return frame.page(request, visitor, "login.html", status=status, name=name, why=why)

    @router.get("/")
    async def begin(visitor: AnyVisitor) -> Response:
        """The first page of whoever comes."""
        return RedirectResponse("/login" if visitor.person is None else "/board", 303)

    @router.get("/login")
    async def show_login(request: Request, visitor: AnyVisitor) -> Response:
        """The form of the login."""
        if visitor.person is not None:
            return RedirectResponse("/board", 303)
        return login_page(request, visitor)

    @router.post("/login")
    async def log_in(request: Request, visitor: AnyVisitor, fields: Form) -> Response:
        """Let somebody in, with another cookie than the one that he came with."""
        name = fields.get("name", "").strip()
        asked = _Asked(
            name=name,
            password=fields.get("password", "")[:MAX_LENGTH],
            code=fields.get("code", ""),
            source=source_of(request),
        )
        answer = await gatekeeper.ask(asked)
        if answer.wait_s:
            why = visitor.words(WAIT, seconds=visitor.words.number(answer.wait_s))
            return login_page(request, visitor, 429, name=name, why=why)
        if answer.person is None:
            log.warning("nobody was let in as %s", printable(name[:MAX_LENGTH]), extra={"client": asked.source})
            return login_page(request, visitor, 403, name=name, why=visitor.words(_WRONG))
        secret = new_secret(random)
        await logins.enter(answer.person.tenant, answer.person.name, hash_secret(secret), answer.step)
        if visitor.session is not None:
            await logins.leave(visitor.session)
        response = RedirectResponse("/board", 303)
        set_secret(response, secret, is_secure=visitor.is_secure)
        return response

    @router.post("/logout")
    async def log_out(member: SignedIn, fields: Form) -> Response:
        """Sign this browser out."""
        del fields
        await logins.leave(member.session)
        return RedirectResponse("/login", 303)

    _add_language(router, logins)


def _add_language(router: APIRouter, logins: Logins) -> None:
    @router.post("/language")
    async def choose_language(visitor: AnyVisitor, fields: Form) -> Response:
        """Show the pages in another language: to this browser, and to this person wherever he comes in."""
        language, back = fields.get("language", ""), fields.get("back", "/")
        response = RedirectResponse(back if _BACK.fullmatch(back) else "/", 303)
        if language in LANGUAGES:
            if visitor.person is not None:
                await logins.set_language(visitor.person.tenant, visitor.person.name, language)
            set_language(response, language, is_secure=visitor.is_secure)
        return response
