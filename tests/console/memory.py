"""A desk in memory for tests of the API and of the command line, and a server on a real socket.

It keeps the promises of `sipshop.console.api.Desk` over the real functions of `billing`; only the phones and the disk
are missing.
"""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

import httpx
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from sipshop.billing.desk import Bill, BillLine, BoothSession, Payment, settle_bill, sum_lines
from sipshop.billing.errors import UnknownParty
from sipshop.billing.money import Money
from sipshop.billing.parties import Kind, Party, PartyTree
from sipshop.console.api import make_api
from sipshop.console.tokens import hash_token
from sipshop.metrics import Metrics
from sipshop.store.errors import NothingToPay
from sipshop.switch import BoothStatus, Health, UnknownBooth

TENANT = "acme"
TOKEN = "sipshop_the-token-of-acme"
STRANGER = "sipshop_the-token-of-another-provider"
OPENED_AT_MS = 1_767_225_599_007

TOKENS = {hash_token(TOKEN): (TENANT, "provider"), hash_token(STRANGER): ("other", "provider")}
READY = Health(ready=True, recovering=False, writable=True, draining=False, why="")


@dataclass(kw_only=True)
class Room:
    """A booth of the desk: its live calls, its session, and what the session owes."""

    live_calls: int = 0
    session: BoothSession | None = None
    lines: list[BillLine] = field(default_factory=list)


class MemoryDesk:
    """One tenant with some booths, and a provider over an owner; every command raises `failure` while it is set."""

    def __init__(self, *booths: str) -> None:
        self.rooms = {name: Room() for name in booths}
        self.paid: dict[str, Payment] = {}
        self.records: list[dict[str, Any]] = []
        self.log: list[tuple[str, ...]] = []
        self.failure: Exception | None = None
        self.state = READY
        self._sessions = 0
        self._parties = PartyTree(
            [
                Party(tenant=TENANT, name="acme", kind=Kind.PROVIDER, parent=None, suspended=False),
                Party(tenant=TENANT, name="olga", kind=Kind.OWNER, parent="acme", suspended=False),
            ]
        )

    def charge(self, booth: str, micros: int, *, dialled: str = "003222222222") -> None:
        """End a call of the booth's session with this price."""
        room = self.rooms[booth]
        assert room.session is not None
        room.session = replace(room.session, version=room.session.version + 1)
        room.lines.append(
            BillLine(
                call_id=f"call-{len(room.lines)}",
                answered_at_ms=OPENED_AT_MS,
                dialled=dialled,
                e164="3222222222",
                destination="Belgium",
                talk_ms=61_250,
                billed_s=120,
                amount=Money(micros, "EUR"),
                explanation="62 s = 60 + 60 s at 0.12/min",
            )
        )

    def booths(self, tenant: str) -> list[BoothStatus]:
        return [self._status(name, room) for name, room in self.rooms.items()] if tenant == TENANT else []

    async def unlock(self, tenant: str, booth: str, author: str) -> BoothSession:
        room = self._command(tenant, booth, "unlock", author)
        if room.session is None:
            self._sessions += 1
            room.lines.clear()
            room.session = BoothSession(
                tenant=tenant,
                id=self._sessions,
                booth=booth,
                opened_at_ms=OPENED_AT_MS,
                opened_by=author,
                version=0,
                closed_at_ms=None,
                paid=False,
            )
        room.session = replace(room.session, closed_at_ms=None)
        return room.session

    async def lock(self, tenant: str, booth: str, author: str, cut: bool = False) -> BoothSession | None:
        room = self._command(tenant, booth, "cut" if cut else "lock", author)
        if cut:
            room.live_calls = 0
        if room.session is not None:
            room.session = replace(room.session, closed_at_ms=OPENED_AT_MS + 1)
        return room.session

    async def bill(self, tenant: str, booth: str) -> Bill:
        return self._bill(self._room(tenant, booth), booth)

    async def pay(self, tenant: str, booth: str, version: int, tendered: Money, author: str) -> Payment:
        room = self._command(tenant, booth, "pay", author)
        done = self.paid.get(booth)
        if room.session is None and done is not None and (done.version, done.tendered) == (version, tendered):
            return done
        payment = settle_bill(self._bill(room, booth), version=version, tendered=tendered, live_calls=room.live_calls)
        self.paid[booth] = payment
        room.session = None
        return payment

    async def suspend(self, tenant: str, party: str, author: str) -> None:
        self._suspend(tenant, party, author, suspended=True)

    async def resume(self, tenant: str, party: str, author: str) -> None:
        self._suspend(tenant, party, author, suspended=False)

    async def cdrs(self, tenant: str, limit: int, booth: str | None = None) -> list[dict[str, Any]]:
        wanted = self.records if tenant == TENANT else []
        return [record for record in wanted if booth in {None, record["booth"]}][:limit]

    def health(self) -> Health:
        return self.state

    def _command(self, tenant: str, booth: str, command: str, author: str) -> Room:
        if self.failure is not None:
            raise self.failure
        room = self._room(tenant, booth)
        self.log.append((command, booth, author))
        return room

    def _room(self, tenant: str, booth: str) -> Room:
        if tenant != TENANT or booth not in self.rooms:
            raise UnknownBooth(f"there is no booth named {booth!r}")
        return self.rooms[booth]

    def _bill(self, room: Room, booth: str) -> Bill:
        if room.session is None:
            raise NothingToPay(f"booth {booth} has no session to pay")
        return Bill(
            tenant=TENANT,
            session_id=room.session.id,
            booth=booth,
            version=room.session.version,
            lines=tuple(room.lines),
            total=sum_lines(room.lines, "EUR"),
        )

    def _suspend(self, tenant: str, party: str, author: str, *, suspended: bool) -> None:
        if self.failure is not None:
            raise self.failure
        if tenant != TENANT:
            raise UnknownParty(f"there is no party named {party!r}")
        self._parties = self._parties.with_suspended(party, suspended)
        self.log.append(("suspend" if suspended else "resume", party, author))

    def _status(self, name: str, room: Room) -> BoothStatus:
        session = room.session
        is_open = session is not None and session.is_open
        return BoothStatus(
            booth=name,
            shop="center",
            state="in call" if room.live_calls else "open" if is_open else "locked",
            suspended=self._parties.suspended("olga") is not None,
            registered=1,
            currency="EUR",
            session_id=None if session is None else session.id,
            opened_at_ms=None if session is None else session.opened_at_ms,
            opened_by=None if session is None else session.opened_by,
            dialled="003222222222" if room.live_calls else None,
            seconds=None,
            live_calls=room.live_calls,
        )


def memory_api(desk: MemoryDesk) -> FastAPI:
    """The API over a desk in memory, with the tokens above and the real metrics."""
    metrics = Metrics(version="1.2.3")
    metrics.expect(shops=["center"], carriers=["demo"])
    return make_api(desk, metrics, TOKENS.get, version="1.2.3")


class Stage:
    """An application on which one API after another may be played."""

    def __init__(self) -> None:
        self.api: ASGIApp = memory_api(MemoryDesk())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.api(scope, receive, send)


@contextmanager
def serving(api: ASGIApp) -> Iterator[str]:
    """The URL of a server on a free port of the loopback, as long as the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:  # it listens at once, so nobody has to wait for the server
        server = uvicorn.Server(uvicorn.Config(api, log_level="debug", log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class Caller:
    """A program that calls an API without a socket between them; use it as a context."""

    def __init__(self, api: FastAPI, token: str | None = TOKEN) -> None:
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(api, raise_app_exceptions=False), base_url="http://api"
        )
        self.headers = self._client.headers
        if token is not None:
            self.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, path, **more))

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)
