"""The HTTP API: the desk's commands for whoever holds a token, and the pages that monitoring asks for.

A token's tenant is the scope of everything it may see or change. No GET changes anything; what a POST changes has been
committed when it is answered.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Annotated, Any, Final, Protocol

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException as StarletteHTTPException

from sipshop.billing.desk import POSTPAID, Bill, BoothSession, Payment, SessionTerms
from sipshop.billing.errors import BadAmount, BillingError, UnknownAccount
from sipshop.billing.ledger import TransferKind
from sipshop.billing.money import Money, parse_amount
from sipshop.config import Problem
from sipshop.console.errors import bad_request, of_status, problem_of
from sipshop.console.guard import Guard
from sipshop.console.guard import Sender as _Sender
from sipshop.console.tokens import Identity, TokenLookup
from sipshop.console.views import (
    MAX_ROWS,
    AuditView,
    BillView,
    BoothList,
    BoothView,
    CdrList,
    LimitCommand,
    LockCommand,
    MoveCommand,
    PartyList,
    PartyView,
    PayCommand,
    PaymentView,
    ReloadedView,
    SuspendCommand,
    TopUpCommand,
    TransferList,
    UnlockCommand,
)
from sipshop.console.views import problems as _problems
from sipshop.console.worlds import WorldDesk, add_worlds
from sipshop.settings import Reloaded, SettingsErrors
from sipshop.store.audit import Violation
from sipshop.store.errors import StoreError
from sipshop.switch import BoothStatus, Health, PartyStatus, SwitchError, UnknownBooth
from sipshop.world import WorldErrors


class Desk(Protocol):
    """What the API asks of the switch; `sipshop.switch` keeps it.

    Commands are durable when they return. They raise BillingError, StoreError or SwitchError, whose texts are shown to
    the operator. A command that moves money has a key: given again alike, it is found done.
    """

    def booths(self, tenant: str) -> list[BoothStatus]:
        """Every booth of the tenant as it is now."""
        ...

    async def unlock(self, tenant: str, booth: str, author: str, terms: SessionTerms = POSTPAID) -> BoothSession:
        """Open the booth's session by these terms, or find it open."""
        ...

    async def top_up(self, tenant: str, booth: str, amount: Money, author: str, key: str) -> BoothSession:
        """Add to the deposit of the booth's unpaid session; its running call may go on for it."""
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

    def parties(self, tenant: str) -> list[PartyStatus]:
        """Every party of the tenant as it is now."""
        ...

    def party(self, tenant: str, name: str) -> PartyStatus:
        """One party as it is now."""
        ...

    async def suspend(self, tenant: str, party: str, author: str, cut: bool = False) -> object:
        """Let the party, and all below it, place no calls; with `cut` also end those that they have."""
        ...

    async def resume(self, tenant: str, party: str, author: str) -> object:
        """End a suspension."""
        ...

    async def move(
        self, tenant: str, party: str, kind: TransferKind, amount: Money, *, author: str, reason: str, key: str
    ) -> PartyStatus:
        """Book a payment or an adjustment of the party's account; an amount below zero leaves it."""
        ...

    async def set_limit(
        self, tenant: str, party: str, credit_limit: int | None, author: str, reason: str
    ) -> PartyStatus:
        """Change what the party may owe, in micro-units; None is no limit."""
        ...

    async def transfers(self, tenant: str, party: str, limit: int) -> list[dict[str, Any]]:
        """The newest movements of the party's account first."""
        ...

    async def audit(self) -> list[Violation]:
        """Where the books of any tenant do not hold."""
        ...

    async def cdr(self, tenant: str, call_id: str) -> dict[str, Any]:
        """The CDR of a call that is over, its latest revision, as `Cdr.to_json` gives it."""
        ...

    async def cdrs(self, tenant: str, limit: int, booth: str | None = None) -> list[dict[str, Any]]:
        """The newest CDRs first, as `Cdr.to_json` gives them."""
        ...

    def health(self) -> Health:
        """Whether the switch may be given work."""
        ...

    @property
    def worlds(self) -> WorldDesk:
        """What is asked about whole worlds."""
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


def nothing_to_reload() -> Reloaded:
    """What a reload does where no file says how the server runs: it raises SettingsErrors."""
    raise SettingsErrors([Problem("the server", 0, "", "has no configuration to read again: it runs by its options")])


def make_api(
    desk: Desk,
    metrics: Exposition,
    tokens: TokenLookup,
    *,
    version: str,
    reload: Callable[[], Reloaded] = nothing_to_reload,
    has_monitoring: bool = True,
) -> FastAPI:
    """Build the ASGI application; `tokens` says whose a token is by its SHA-256 in hexadecimal.

    `reload` reads the server's configuration again or raises SettingsErrors. Without `has_monitoring` the pages of
    monitoring are left out: they have a listener of their own then (`make_monitoring`).
    """
    api = FastAPI(
        title="sipshop",
        version=version,
        summary="The desk's commands and the call detail records of a CallShop switch",
        docs_url=None,  # their pages load scripts from the net, which a shop's server may not reach
        redoc_url=None,
    )
    api.add_middleware(Guard, tokens=tokens)
    if has_monitoring:
        api.include_router(_monitoring(desk, metrics))
    api.include_router(_commands(desk, reload))
    _answer_problems(api)
    return api


def make_monitoring(desk: Desk, metrics: Exposition, *, version: str) -> FastAPI:
    """Build the ASGI application of a listener that only monitoring asks."""
    api = FastAPI(title="sipshop monitoring", version=version, docs_url=None, redoc_url=None)
    api.include_router(_monitoring(desk, metrics))
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


async def _key(
    given: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            pattern=r"^[A-Za-z0-9._-]{1,64}$",
            description="names the command: sent again with the same key and the same content, it is done once",
        ),
    ] = None,
) -> str:
    """The name of a command that moves money, drawn here where the sender gave it none."""
    return secrets.token_hex(16) if given is None else given


_Key = Annotated[str, Depends(_key)]


_COMMAND: Final = _problems(
    _400="malformed: the body is no JSON in UTF-8",
    _404="unknown_booth, or no_session: the booth has no unpaid session",
    _409="the state of the booth forbids it: call_alive, stale_bill, below_used, account_in_use, refused",
    _413="the body is too large",
    _422="invalid_request, bad_amount, bad_terms, tender_too_small",
    _503="unwritable, not_now, unavailable: nothing was changed",
)
_READING: Final = _problems(
    _404="there is none: unknown_booth, no_session, unknown_call", _422="invalid_request", _503="unavailable"
)
_PARTY: Final = _problems(
    _400=_COMMAND[400]["description"],
    _404="unknown_party, or unknown_account: the provider has none",
    _409="the account forbids it: not_available, below_used, account_in_use, refused",
    _413=_COMMAND[413]["description"],
    _422="invalid_request, bad_amount",
    _503=_COMMAND[503]["description"],
)
_PARTY_READING: Final = _problems(_404=_PARTY[404]["description"], _422="invalid_request", _503="unavailable")


def _commands(desk: Desk, reload: Callable[[], Reloaded]) -> APIRouter:
    """The endpoints behind the guard."""
    router = APIRouter(
        prefix="/api/v1",
        dependencies=[Security(HTTPBearer(auto_error=False, description="a token of `sipshop`"))],  # for the schema
        responses=_problems(_401="unauthorized"),
    )
    _add_booths(router, desk)
    _add_parties(router, desk)
    add_worlds(router, desk.worlds)
    _add_server(router, reload)

    @router.get("/cdrs", tags=["cdrs"], responses=_READING)
    async def list_cdrs(
        sender: _Sender, limit: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 50, booth: str | None = None
    ) -> CdrList:
        """List call detail records, the newest first; `booth` leaves out all others."""
        if booth is not None:
            _status(desk, sender.tenant, booth)
        return CdrList(cdrs=await desk.cdrs(sender.tenant, limit, booth))

    @router.get("/cdrs/{call_id}", tags=["cdrs"], responses=_READING)
    async def read_cdr(sender: _Sender, call_id: str) -> dict[str, Any]:
        """Read the call detail record of a call: what every level paid and kept, and every trunk that was tried."""
        return await desk.cdr(sender.tenant, call_id)

    @router.get("/audit", tags=["audit"], responses=_problems(_503="unavailable"))
    async def audit(sender: _Sender) -> AuditView:
        """Hold every law of the books against the whole database of the tenant; this reads all of it."""
        whole = ""  # no tenant's: the database itself
        return AuditView.of(one for one in await desk.audit() if one.tenant in {sender.tenant, whole})

    return router


def _add_server(router: APIRouter, reload: Callable[[], Reloaded]) -> None:
    refusals = _problems(
        _403="forbidden: the token is not a provider's",
        _422="bad_configuration: `errors` names everything that is wrong; nothing was changed",
    )

    @router.post("/reload", tags=["server"], responses=refusals)
    async def reload_configuration(sender: _Sender) -> ReloadedView:
        """Have the server read its configuration again; say what changed at once, and what waits for a restart."""
        if sender.role != "provider":
            raise HTTPException(403, "the configuration is the provider's business")
        return ReloadedView.of(reload())


def _add_booths(router: APIRouter, desk: Desk) -> None:
    @router.get("/booths", tags=["booths"])
    async def list_booths(sender: _Sender) -> BoothList:
        """List every booth with its state."""
        return BoothList(booths=[BoothView.of(status) for status in desk.booths(sender.tenant)])

    @router.post("/booths/{booth}/unlock", tags=["booths"], responses=_COMMAND)
    async def unlock_booth(sender: _Sender, booth: str, command: UnlockCommand | None = None) -> BoothView:
        """Open a booth for a customer, without end or for what the body says; an open booth stays as it is."""
        currency = _status(desk, sender.tenant, booth).currency
        await desk.unlock(sender.tenant, booth, sender.author, _terms(command or UnlockCommand(), currency))
        return BoothView.of(_status(desk, sender.tenant, booth))

    @router.post("/booths/{booth}/topup", tags=["booths"], responses=_COMMAND)
    async def top_up_booth(sender: _Sender, booth: str, command: TopUpCommand, key: _Key) -> BoothView:
        """Add to the deposit of a booth's session; a running call goes on for it at once."""
        amount = Money(parse_amount(command.amount), _status(desk, sender.tenant, booth).currency)
        await desk.top_up(sender.tenant, booth, amount, sender.author, key)
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
    @router.get("/parties", tags=["parties"])
    async def list_parties(sender: _Sender) -> PartyList:
        """List every party with its account."""
        return PartyList(parties=[PartyView.of(status) for status in desk.parties(sender.tenant)])

    @router.get("/parties/{party}", tags=["parties"], responses=_PARTY_READING)
    async def read_party(sender: _Sender, party: str) -> PartyView:
        """Read a party's state and account."""
        return PartyView.of(desk.party(sender.tenant, party))

    @router.post("/parties/{party}/suspend", tags=["parties"], responses=_PARTY)
    async def suspend_party(sender: _Sender, party: str, command: SuspendCommand | None = None) -> PartyView:
        """Stop the new calls of a party and of all below it, or cut the running ones too; emergency calls go on."""
        await desk.suspend(sender.tenant, party, sender.author, cut=command is not None and command.cut)
        return PartyView.of(desk.party(sender.tenant, party))

    @router.post("/parties/{party}/resume", tags=["parties"], responses=_PARTY)
    async def resume_party(sender: _Sender, party: str) -> PartyView:
        """End a party's suspension; one above it still holds."""
        await desk.resume(sender.tenant, party, sender.author)
        return PartyView.of(desk.party(sender.tenant, party))

    _add_accounts(router, desk)


def _add_accounts(router: APIRouter, desk: Desk) -> None:
    async def move(sender: Identity, party: str, kind: TransferKind, command: MoveCommand, key: str) -> PartyView:
        amount = Money(parse_amount(command.amount), _currency(desk, sender.tenant, party))
        return PartyView.of(
            await desk.move(sender.tenant, party, kind, amount, author=sender.author, reason=command.reason, key=key)
        )

    @router.get("/parties/{party}/transfers", tags=["accounts"], responses=_PARTY_READING)
    async def list_transfers(
        sender: _Sender, party: str, limit: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 50
    ) -> TransferList:
        """List what moved on a party's account, the newest first."""
        return TransferList(party=party, transfers=await desk.transfers(sender.tenant, party, limit))

    @router.post("/parties/{party}/payments", tags=["accounts"], responses=_PARTY)
    async def book_payment(sender: _Sender, party: str, command: MoveCommand, key: _Key) -> PartyView:
        """Book what a party paid; an amount below zero is paid back, at most what is available."""
        return await move(sender, party, TransferKind.PAYMENT, command, key)

    @router.post("/parties/{party}/adjustments", tags=["accounts"], responses=_PARTY)
    async def book_adjustment(sender: _Sender, party: str, command: MoveCommand, key: _Key) -> PartyView:
        """Correct a party's balance; an amount below zero may overdraw the account, which then starts no calls."""
        return await move(sender, party, TransferKind.ADJUSTMENT, command, key)

    @router.post("/parties/{party}/limit", tags=["accounts"], responses=_PARTY)
    async def set_credit_limit(sender: _Sender, party: str, command: LimitCommand) -> PartyView:
        """Set what a party may owe, or that it may owe without end."""
        limit = None if command.credit_limit is None else parse_amount(command.credit_limit)
        if limit is not None and limit < 0:
            raise BadAmount("a credit limit is not below zero")
        return PartyView.of(await desk.set_limit(sender.tenant, party, limit, sender.author, command.reason))


def _terms(command: UnlockCommand, currency: str) -> SessionTerms:
    """What a booth is unlocked for; raises BadAmount or BadTerms."""
    return SessionTerms(
        deposit=None if command.deposit is None else Money(parse_amount(command.deposit), currency),
        limit=None if command.limit is None else Money(parse_amount(command.limit), currency),
        talk_limit_ms=None if command.minutes is None else command.minutes * 60_000,
    )


def _currency(desk: Desk, tenant: str, party: str) -> str:
    """The currency of a party's account; raises UnknownParty or UnknownAccount."""
    currency = desk.party(tenant, party).currency
    if currency is None:
        raise UnknownAccount(f"{party} is the provider: nobody sells to it, so it has no account here")
    return currency


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

    ours = (BillingError, SettingsErrors, StoreError, SwitchError, WorldErrors)
    for kind in (RequestValidationError, StarletteHTTPException, *ours, Exception):
        api.add_exception_handler(kind, answer)
