"""The HTTP API: the desk's commands for whoever holds a token, and the pages that monitoring asks for.

A token's tenant is the scope of everything it may see or change. No GET changes anything; unlock, lock, pay, suspend
and resume have been committed when they are answered.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Protocol

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException as StarletteHTTPException

from sipshop.billing.desk import Bill, BoothSession, Payment
from sipshop.billing.errors import BillingError
from sipshop.billing.money import Money, parse_amount
from sipshop.console.errors import MEDIA_TYPE, bad_request, of_status, problem_of
from sipshop.console.guard import Guard, identity_of
from sipshop.console.tokens import Identity, TokenLookup
from sipshop.console.views import (
    BillView,
    BoothList,
    BoothView,
    CdrList,
    LockCommand,
    PartyView,
    PayCommand,
    PaymentView,
    ProblemView,
)
from sipshop.store.errors import StoreError
from sipshop.switch import BoothStatus, Health, SwitchError, UnknownBooth

MAX_CDRS: Final = 1000


class Desk(Protocol):
    """What the API asks of the switch; `sipshop.switch` keeps it.

    Commands are durable when they return. They raise DeskError, UnknownParty, StoreError or SwitchError, whose texts
    are shown to the operator.
    """

    def booths(self, tenant: str) -> list[BoothStatus]:
        """Every booth of the tenant as it is now."""
        ...

    async def unlock(self, tenant: str, booth: str, author: str) -> BoothSession:
        """Open the booth's session, or find it open."""
        ...

    async def lock(self, tenant: str, booth: str, author: str, cut: bool = False) -> object:
        """Refuse new calls from the booth; with `cut` also end the one that it has."""
        ...

    async def bill(self, tenant: str, booth: str) -> Bill:
        """Draw up the bill of the booth's unpaid session."""
        ...

    async def pay(self, tenant: str, booth: str, version: int, tendered: Money, author: str) -> Payment:
        """Settle the bill as it was read at `version`, and lock the booth."""
        ...

    async def suspend(self, tenant: str, party: str, author: str) -> object:
        """Let the party, and all below it, place no calls."""
        ...

    async def resume(self, tenant: str, party: str, author: str) -> object:
        """End a suspension."""
        ...

    async def cdrs(self, tenant: str, limit: int, booth: str | None = None) -> list[dict[str, Any]]:
        """The newest CDRs first, as `Cdr.to_json` gives them."""
        ...

    def health(self) -> Health:
        """Whether the switch may be given work."""
        ...


class Exposition(Protocol):
    """What /metrics shows; `sipshop.metrics` keeps it."""

    @property
    def content_type(self) -> str:
        """The media type of what `render` returns."""
        ...

    def render(self) -> bytes:
        """Every series as it is now."""
        ...


def make_api(desk: Desk, metrics: Exposition, tokens: TokenLookup, *, version: str) -> FastAPI:
    """Build the ASGI application; `tokens` says whose a token is by its SHA-256 in hexadecimal."""
    api = FastAPI(
        title="sipshop",
        version=version,
        summary="The desk's commands and the call detail records of a CallShop switch",
        docs_url=None,  # their pages load scripts from the net, which a shop's server may not reach
        redoc_url=None,
    )
    api.add_middleware(Guard, tokens=tokens)
    api.include_router(_monitoring(desk, metrics))
    api.include_router(_commands(desk))
    _answer_problems(api)
    return api


def _monitoring(desk: Desk, metrics: Exposition) -> APIRouter:
    """The pages without a token: they tell of the process and of counts, never of a customer."""
    router = APIRouter(tags=["monitoring"])

    @router.get("/healthz", summary="Is the process alive?")
    async def healthz() -> dict[str, str]:
        """200 as soon as the event loop runs."""
        return {"status": "ok"}

    @router.get("/readyz", summary="May it be given work?", responses={503: {"description": "Not now; `why` says why"}})
    async def readyz() -> JSONResponse:
        """503 while recovering, draining, or when the database cannot be written."""
        health = desk.health()
        body = {
            "ready": health.ready,
            "recovering": health.recovering,
            "writable": health.writable,
            "draining": health.draining,
            "why": health.why,
        }
        return JSONResponse(body, 200 if health.ready else 503)

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def scrape() -> Response:
        """The Prometheus text format."""
        return Response(metrics.render(), headers={"Content-Type": metrics.content_type})

    return router


async def _identity(request: Request) -> Identity:  # a plain function would be given a thread
    """Whom the guard let in; without a guard nobody comes in."""
    identity = identity_of(request.state)
    if identity is None:
        raise HTTPException(401, "the request has passed no guard")
    return identity


_Sender = Annotated[Identity, Depends(_identity)]


def _problems(**codes: str) -> dict[int | str, dict[str, Any]]:
    """The refusals of an endpoint for its documentation: `_404="no such booth"`."""
    content = {MEDIA_TYPE: {"schema": ProblemView.model_json_schema()}}
    return {int(code.lstrip("_")): {"description": text, "content": content} for code, text in codes.items()}


_COMMAND: Final = _problems(
    _400="malformed: the body is no JSON in UTF-8",
    _404="unknown_booth, or no_session: the booth has no unpaid session",
    _409="the state of the booth forbids it: call_alive, stale_bill, refused",
    _413="the body is too large",
    _422="invalid_request, bad_amount, tender_too_small",
    _503="unwritable, not_now, unavailable: nothing was changed",
)
_READING: Final = _problems(_404=_COMMAND[404]["description"], _422="invalid_request", _503="unavailable")
_PARTY: Final = _problems(_404="unknown_party", _422="invalid_request", _503=_COMMAND[503]["description"])


def _commands(desk: Desk) -> APIRouter:
    """The endpoints behind the guard."""
    router = APIRouter(
        prefix="/api/v1",
        dependencies=[Security(HTTPBearer(auto_error=False, description="a token of `sipshop`"))],  # for the schema
        responses=_problems(_401="unauthorized"),
    )
    _add_booths(router, desk)
    _add_parties(router, desk)

    @router.get("/cdrs", tags=["cdrs"], responses=_READING)
    async def list_cdrs(
        sender: _Sender, limit: Annotated[int, Query(ge=1, le=MAX_CDRS)] = 50, booth: str | None = None
    ) -> CdrList:
        """List call detail records, the newest first; `booth` leaves out all others."""
        if booth is not None:
            _status(desk, sender.tenant, booth)
        return CdrList(cdrs=await desk.cdrs(sender.tenant, limit, booth))

    return router


def _add_booths(router: APIRouter, desk: Desk) -> None:
    @router.get("/booths", tags=["booths"])
    async def list_booths(sender: _Sender) -> BoothList:
        """List every booth with its state."""
        return BoothList(booths=[BoothView.of(status) for status in desk.booths(sender.tenant)])

    @router.post("/booths/{booth}/unlock", tags=["booths"], responses=_COMMAND)
    async def unlock_booth(sender: _Sender, booth: str) -> BoothView:
        """Open a booth for a customer; an open booth stays as it is."""
        await desk.unlock(sender.tenant, booth, sender.author)
        return BoothView.of(_status(desk, sender.tenant, booth))

    @router.post("/booths/{booth}/lock", tags=["booths"], responses=_COMMAND)
    async def lock_booth(sender: _Sender, booth: str, command: LockCommand | None = None) -> BoothView:
        """Refuse new calls from a booth; a running call goes on unless it is cut."""
        await desk.lock(sender.tenant, booth, sender.author, cut=command is not None and command.cut)
        return BoothView.of(_status(desk, sender.tenant, booth))

    @router.get("/booths/{booth}/bill", tags=["bills"], responses=_READING)
    async def read_bill(sender: _Sender, booth: str) -> BillView:
        """Read what the booth's session owes, with the arithmetic of each call, and the bill's version."""
        return BillView.of(await desk.bill(sender.tenant, booth))

    @router.post("/booths/{booth}/pay", tags=["bills"], responses=_COMMAND)
    async def pay_bill(sender: _Sender, booth: str, command: PayCommand) -> PaymentView:
        """Pay the bill as it was read, and lock the booth; asked again, the same payment is found done."""
        currency = _status(desk, sender.tenant, booth).currency
        tendered = Money(parse_amount(command.tendered), currency)
        return PaymentView.of(booth, await desk.pay(sender.tenant, booth, command.version, tendered, sender.author))


def _add_parties(router: APIRouter, desk: Desk) -> None:
    @router.post("/parties/{party}/suspend", tags=["parties"], responses=_PARTY)
    async def suspend_party(sender: _Sender, party: str) -> PartyView:
        """Stop the calls of a party and of all below it; emergency calls go on."""
        await desk.suspend(sender.tenant, party, sender.author)
        return PartyView(party=party, suspended=True)

    @router.post("/parties/{party}/resume", tags=["parties"], responses=_PARTY)
    async def resume_party(sender: _Sender, party: str) -> PartyView:
        """End a party's suspension; one above it still holds."""
        await desk.resume(sender.tenant, party, sender.author)
        return PartyView(party=party, suspended=False)


def _status(desk: Desk, tenant: str, booth: str) -> BoothStatus:
    """The booth's status; raises UnknownBooth."""
    for status in desk.booths(tenant):
        if status.booth == booth:
            return status
    raise UnknownBooth(f"there is no booth named {booth!r}")


def _answer_problems(api: FastAPI) -> None:
    """Let every error leave as a problem (RFC 9457), the framework's own ones too."""

    async def answer(_request: Request, error: Exception) -> Response:
        match error:
            case RequestValidationError():
                places = [
                    {"where": ".".join(str(part) for part in place["loc"]), "what": place["msg"]}
                    for place in error.errors()
                ]
                problem = bad_request(places)
            case StarletteHTTPException():
                problem = of_status(error.status_code, error.detail, error.headers)
            case _:
                problem = problem_of(error)
        return problem.response()

    for kind in (RequestValidationError, StarletteHTTPException, BillingError, StoreError, SwitchError, Exception):
        api.add_exception_handler(kind, answer)
