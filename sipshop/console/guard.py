"""The gate of /api: no token, no way in; and no body larger than a command can be.

It stands in front of the framework, which reads a whole body before it asks who sent it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sipshop.config import MAX_BYTES
from sipshop.console.errors import unauthorized
from sipshop.console.tokens import Identity, TokenLookup, identify
from sipshop.switch.sheets import MAX_BYTES as MAX_SHEET_BYTES

GUARDED: Final = "/api/"
MAX_BODY_BYTES: Final = 16_384
#: A provider's world is a text of up to `MAX_BYTES`, which its reader refuses with a word on its size.
WORLD: Final = "/api/v1/world"
MAX_WORLD_BYTES: Final = MAX_BYTES + MAX_BODY_BYTES
#: A rate sheet is written down as it comes, whoever of those that sell sends it.
_SHEETS: Final = re.compile(r"/api/v1/(?:decks/[^/]+/imports|mapping-guesses)")


class Guard:
    """ASGI middleware: puts the `Identity` of the sender into the request's state, or answers 401."""

    def __init__(self, app: ASGIApp, *, tokens: TokenLookup, utc_ms: Callable[[], int]) -> None:
        self._app = app
        self._tokens = tokens
        self._utc_ms = utc_ms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an identified request on; what is not below `GUARDED` is nobody's secret and passes as it is."""
        if scope["type"] != "http" or not scope["path"].startswith(GUARDED):
            await self._app(scope, receive, send)
            return
        token = bearer(Headers(scope=scope))
        identity = None if token is None else identify(token, self._tokens, self._utc_ms())
        if identity is None:
            await unauthorized(token_given=token is not None).response()(scope, receive, send)
            return
        scope.setdefault("state", {})["identity"] = identity
        await self._app(scope, _bounded(receive, _most(scope["path"], identity)), send)


def _most(path: str, identity: Identity) -> int:
    """How large a body may be."""
    if path == WORLD and identity.role == "provider":
        return MAX_WORLD_BYTES
    if _SHEETS.fullmatch(path) and identity.role != "operator":
        return MAX_SHEET_BYTES
    return MAX_BODY_BYTES


def bearer(headers: Headers) -> str | None:
    """The token of a request (RFC 6750 section 2.1), or None if it has none, or more than one."""
    values = headers.getlist("authorization")
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def identity_of(state: object) -> Identity | None:
    """Whom the guard let in, from a request's state."""
    identity = getattr(state, "identity", None)
    return identity if isinstance(identity, Identity) else None


def _bounded(receive: Receive, most: int) -> Receive:
    """The same body, which raises HTTPException (413) as soon as it is too large, whatever its Content-Length says."""
    read = 0

    async def receive_bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise HTTPException(413, f"a command has at most {most} bytes")
        return message

    return receive_bounded
