"""The door of the pages: who sends a request, whether he means it, and what the answer forbids the browser.

A browser is known by a cookie with 256 random bits, of which only the SHA-256 is kept. Before anybody has come in there
is such a cookie too, so that the form of the login is held to the same rules; coming in changes it.

A change has to come from a page of ours, three times over: the cookie is `SameSite=Strict`, the browser says that the
request comes from here (`Sec-Fetch-Site`, `Origin`), and the request repeats a token that only a page of ours can read.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl, urlsplit

from fastapi import Depends, HTTPException, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from sipshop.billing.errors import UnknownParty
from sipshop.console.logins import Logins
from sipshop.console.pages.words import Words, chosen, words
from sipshop.console.scope import Scope
from sipshop.console.tokens import Identity
from sipshop.store import Token, WebSession
from sipshop.world import Operator

MAX_FORM_BYTES: Final = 16_384
LANGUAGE_COOKIE: Final = "sipshop-language"
CSRF_FIELD: Final = "csrf"
CSRF_HEADER: Final = "x-csrf-token"

_SECRET_BYTES: Final = 32
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_YEAR_S: Final = 31_536_000

#: The pages load and do what lies on this server, and nothing that stands in the page itself; nobody may frame them.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",  # what a page shows is its reader's, and the next one at the desk may be another
}


class Hardened:
    """ASGI middleware: the headers above on every answer that has none of its own, but for the API's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Pass the request on, and complete its answer."""
        if scope["type"] != "http" or scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return

        async def completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", f"max-age={_YEAR_S}")
            await send(message)

        await self._app(scope, receive, completed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who looks at a page: nobody, or a person who came in; `scope` is what he reaches now."""

    secret: str
    is_new: bool
    is_secure: bool
    words: Words
    session: WebSession | None = None
    person: Operator | None = None
    scope: Scope | None = None

    @property
    def token(self) -> str:
        """What a change has to repeat; it tells nothing of the cookie that it is made from."""
        return _b64(hashlib.sha256(f"csrf:{self.secret}".encode()).digest())

    def keep(self, response: Response) -> None:
        """Have a browser that is here for the first time keep its cookie."""
        if self.is_new:
            set_secret(response, self.secret, is_secure=self.is_secure)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A person who came in, and what he reaches."""

    visitor: Visitor
    session: WebSession
    person: Operator
    scope: Scope

    @property
    def words(self) -> Words:
        """His language."""
        return self.visitor.words


async def _visitor(request: Request) -> Visitor:
    state: Any = request.app.state
    return visitor_of(request, state.desk.logins, state.desk, state.random)


def visitor_of(request: Request, logins: Logins, desk: Any, random: Any) -> Visitor:
    """Say who sends a request; whoever has no cookie of ours gets one."""
    is_secure = request.url.scheme == "https"
    secret = request.cookies.get(cookie_name(is_secure=is_secure), "")
    is_new = not _SECRET.fullmatch(secret)
    if is_new:
        secret = new_secret(random)
    found = None if is_new else logins.who(hash_secret(secret))
    wishes = [request.cookies.get(LANGUAGE_COOKIE)]
    if found is not None:
        login = logins.login(found[0].tenant, found[0].operator)
        wishes.insert(0, login.language if login is not None else None)
    language = words(chosen(wishes, request.headers.get("accept-language", "")))
    nobody = Visitor(secret=secret, is_new=is_new, is_secure=is_secure, words=language)
    if found is None:
        return nobody
    session, person = found
    try:
        scope = Scope.of(identity_of(session, person), desk)
    except UnknownParty:
        return nobody
    return Visitor(
        secret=secret,
        is_new=False,
        is_secure=is_secure,
        words=language,
        session=session,
        person=person,
        scope=scope,
    )


async def _member(request: Request, visitor: Annotated[Visitor, Depends(_visitor)]) -> Member:
    if visitor.session is None or visitor.person is None or visitor.scope is None:
        raise HTTPException(401, "nobody is signed in here")
    request.app.state.desk.logins.saw(visitor.session)
    return Member(visitor=visitor, session=visitor.session, person=visitor.person, scope=visitor.scope)


async def _form(request: Request, visitor: Annotated[Visitor, Depends(_visitor)]) -> dict[str, str]:
    """The fields of a change that comes from a page of ours; HTTPException (403, 413) for any other."""
    check_origin(request.headers, request.url.netloc)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise HTTPException(413, f"a form has at most {MAX_FORM_BYTES} bytes")
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=50))
    except ValueError:
        raise HTTPException(400, "the form cannot be read") from None
    given = request.headers.get(CSRF_HEADER) or fields.get(CSRF_FIELD, "")
    if visitor.is_new or not hmac.compare_digest(given.encode(), visitor.token.encode()):
        raise HTTPException(403, "the page is too old: load it again")
    return fields


AnyVisitor = Annotated[Visitor, Depends(_visitor)]
SignedIn = Annotated[Member, Depends(_member)]
Form = Annotated[dict[str, str], Depends(_form)]


def check_origin(headers: Headers, here: str) -> None:
    """Refuse what a browser sends from another site, or what no browser sends: HTTPException (403)."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    is_ours = origin is not None and urlsplit(origin).netloc == here
    if (site is None and not is_ours) or (site is not None and site != "same-origin") or (origin and not is_ours):
        raise HTTPException(403, "a change has to come from a page of this server")


# The cookie.


def cookie_name(*, is_secure: bool) -> str:
    """Return the name of the cookie; with the prefix a browser takes it from this very host alone, and by TLS."""
    return "__Host-sipshop" if is_secure else "sipshop"


def new_secret(random: Any) -> str:
    """Make what a cookie holds."""
    return _b64(random(_SECRET_BYTES))


def hash_secret(secret: str) -> str:
    """Return the SHA-256 of a cookie in hexadecimal: all that is kept of it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def set_secret(response: Response, secret: str, *, is_secure: bool) -> None:
    """Have a browser keep a cookie until it is closed, or a session ends."""
    response.set_cookie(
        cookie_name(is_secure=is_secure), secret, path="/", secure=is_secure, httponly=True, samesite="strict"
    )


def set_language(response: Response, language: str, *, is_secure: bool) -> None:
    """Have a browser keep the language of whoever is not signed in."""
    response.set_cookie(LANGUAGE_COOKIE, language, max_age=_YEAR_S, secure=is_secure, httponly=True, samesite="strict")


def identity_of(session: WebSession, person: Operator) -> Identity:
    """Return somebody who is in as the scope knows people: what a token of his would open, his session opens."""
    token = Token(
        tenant=session.tenant,
        sha256=session.sha256,
        role=person.role.value,
        party=person.party,
        shop=person.shop,
        label="pages",
        created_at_ms=session.created_at_ms,
        expires_at_ms=None,
        operator=person.name,
    )
    return Identity(token, person.name)


def command_key(member: Member, fields: Mapping[str, str]) -> str:
    """Return the name of a command that moves money: sent twice by a page it is done once."""
    given = fields.get("key", "")
    if not re.fullmatch(r"[A-Za-z0-9._-]{8,64}", given):
        raise HTTPException(422, "a command needs a key of its own")
    return f"{member.scope.identity.token.id}:{given}"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")
