"""One application for all desks of the tests of a process, because to build one takes a fifth of a second.

It is built over stand-ins, and each request is for those who are named in the `Shared` that takes it. What an
application itself keeps, such as who tried which password how often, all of them have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import cache
from operator import itemgetter
from typing import Any, Final

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

#: Whom the stand-ins stand for in the request that is answered.
_PRESENT: Final[ContextVar[Mapping[str, object] | None]] = ContextVar("present", default=None)


class StandIn:
    """Passes on to somebody what it is asked; to stand-ins of what he has where nobody is there yet."""

    def __init__(self, find: Callable[[Mapping[str, object]], Any]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> Any:
        present = _PRESENT.get()
        if present is None:
            return StandIn(lambda present: getattr(self._find(present), name))
        return getattr(self._find(present), name)

    def __call__(self, *values: object, **named: object) -> Any:
        present = _PRESENT.get()
        assert present is not None, "nobody is asked before there is a request"
        return self._find(present)(*values, **named)


class Shared:
    """An ASGI application: the one that `make` builds over stand-ins, for those who are named in `present`."""

    def __init__(self, make: Callable[..., FastAPI], present: Mapping[str, object]) -> None:
        self._application = _made(make, tuple(present))
        self._present = present

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        before = _PRESENT.set(self._present)
        try:
            await self._application(scope, receive, send)
        finally:
            _PRESENT.reset(before)


@cache
def _made(make: Callable[..., FastAPI], names: tuple[str, ...]) -> FastAPI:
    assert _PRESENT.get() is None, "it would be built for one of them alone"
    return make(**{name: StandIn(itemgetter(name)) for name in names})
