"""The HTTP API: the desk's commands for whoever holds a token, and the pages that monitoring asks for.

A token's tenant is the scope of everything it may see or change. No GET changes anything; what a POST changes has been
committed when it is answered.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final, Protocol

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException as StarletteHTTPException

from sipshop.billing.desk import POSTPAID, BoothSession, SessionTerms
from sipshop.billing.errors import BadAmount, BillingError, SuspendedAbove, UnknownAccount
from sipshop.billing.ledger import TransferKind
from sipshop.billing.money import Money, parse_amount
from sipshop.config import Problem as Mistake
from sipshop.console.access import Tokens, add_tokens
from sipshop.console.bans import Bans, add_bans
from sipshop.console.books import BooksDesk, add_books
from sipshop.console.checkout import CheckoutDesk, add_checkout
from sipshop.console.decks import DeckDesk, add_decks
from sipshop.console.errors import Problem, bad_request, of_status, problem_of
from sipshop.console.events import Hub
from sipshop.console.exports import Books, NoTargets, Outbox, add_exports
from sipshop.console.finding import Finder
from sipshop.console.floor import FloorDesk, add_floor
from sipshop.console.guard import Guard
from sipshop.console.limits import LimitDesk, add_limits
from sipshop.console.live import Live, add_live
from sipshop.console.logins import LoginDesk, add_logins
from sipshop.console.mappings import MappingDesk, add_mappings
from sipshop.console.pages.app import add_pages
from sipshop.console.paging import MAX_ROWS, Cursor, Limit, decode, encode, page_of
from sipshop.console.printing import PrintingDesk, add_printing
from sipshop.console.rates import RatesDesk, add_rates
from sipshop.console.records import add_records
from sipshop.console.reference import add_reference
from sipshop.console.scope import Key, Scope, Sender, problems
from sipshop.console.screens import ScreensDesk, add_screens
from sipshop.console.till import TillDesk, add_till
from sipshop.console.tracing import Traces, add_traces
from sipshop.console.views import (
    AuditView,
    BoothList,
    BoothView,
    LimitCommand,
    LockCommand,
    MoveCommand,
    PartyList,
    PartyView,
    ReloadedView,
    SuspendCommand,
    TopUpCommand,
    TransferList,
    UnlockCommand,
)
from sipshop.console.worlds import WorldDesk, add_worlds
from sipshop.settings import Reloaded, RetentionSettings, SettingsErrors
from sipshop.sheets import BadMapping, BadSheet
from sipshop.store.audit import Violation
from sipshop.store.errors import StoreError
from sipshop.switch import Health, PartyStatus, SwitchError, utc_ms
from sipshop.world import WorldErrors


class Desk(
    Books, Live, Tokens, LimitDesk, FloorDesk, CheckoutDesk, TillDesk, LoginDesk, PrintingDesk, ScreensDesk, Protocol
):
    """What the API asks of the switch; `sipshop.switch` keeps it.

    Commands are durable when they return. They raise BillingError, StoreError or SwitchError, whose texts are shown to
    the operator. A command that moves money has a key: given again alike, it is found done.
    """

    async def unlock(
        self, tenant: str, booth: str, author: str, terms: SessionTerms = POSTPAID, key: str | None = None
    ) -> BoothSession:
        """Open the booth's session by these terms, or find it open."""
        ...

    async def top_up(self, tenant: str, booth: str, amount: Money, author: str, key: str) -> BoothSession:
        """Add to the deposit of the booth's unpaid session; its running call may go on for it."""
        ...

    async def lock(self, tenant: str, booth: str, author: str, cut: bool = False) -> object:
        """Refuse new calls from the booth; with `cut` also end the one that it has."""
        ...

    async def suspend(self, tenant: str, party: str, author: str, *, by: str, cut: bool = False) -> object:
        """Let the party, and all below it, place no calls, as `by` wants it; with `cut` also end those they have."""
        ...

    async def resume(self, tenant: str, party: str, author: str, *, by: str) -> object:
        """End a suspension; raises SuspendedAbove where somebody above `by` began it."""
        ...

    async def move(
        self, tenant: str, party: str, kind: TransferKind, amount: Money, *, author: str, reason: str, key: str
    ) -> object:
        """Book a payment or an adjustment of the party's account; an amount below zero leaves it."""
        ...

    async def set_limit(self, tenant: str, party: str, credit_limit: int | None, author: str, reason: str) -> object:
        """Change what the party may owe, in micro-units; None is no limit."""
        ...

    async def transfers(self, tenant: str, party: str, limit: int, after: str | None = None) -> list[dict[str, Any]]:
        """The newest movements of the party's account first, or those after the one with this key."""
        ...

    async def audit(self) -> list[Violation]:
        """Where the books of any tenant do not hold."""
        ...

    def health(self) -> Health:
        """Whether the switch may be given work."""
        ...

    @property
    def worlds(self) -> PricedWorlds:
        """What is asked about whole worlds, and what shops ask."""
        ...

    @property
    def books(self) -> BooksDesk:
        """What is asked about reratings, statements and invoices."""
        ...

    @property
    def decks(self) -> SheetDesk:
        """What is asked about versions of decks, and mappings."""
        ...


class PricedWorlds(WorldDesk, RatesDesk, Protocol):
    """Worlds, and the prices of their shops; `sipshop.switch.worlds` keeps both."""


class SheetDesk(DeckDesk, MappingDesk, Protocol):
    """Versions of decks, and the mappings that sheets are read by; `sipshop.switch.decks` keeps both."""


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
    raise SettingsErrors(
        [Mistake("the demo", 0, "", "it runs by its options, so there is no configuration to read again")]
    )


def make_api(
    desk: Desk,
    metrics: Exposition,
    hub: Hub,
    traces: Traces,
    *,
    bans: Bans,
    version: str,
    outbox: Outbox | None = None,
    reload: Callable[[], Reloaded] = nothing_to_reload,
    hidden_digits: Callable[[], int] = lambda: RetentionSettings().hidden_digits,
    host: str | None = None,
    has_monitoring: bool = True,
    utc_ms: Callable[[], int] = utc_ms,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> FastAPI:
    """Build the ASGI application.

    `hub` is where events are heard, `traces` who traces, `bans` who keeps the bans, `outbox` who delivers to targets
    (nobody does if None), `random` makes tokens. `reload` reads the server's configuration again or raises
    SettingsErrors, `hidden_digits` is what that says of masks now, and `host` the tenant who may ask for it: he runs
    the server for the others too; None where there is but one. Without `has_monitoring` the pages of monitoring are
    left out: they have a listener of their own (`make_monitoring`).
    """
    api = FastAPI(
        title="sipshop",
        version=version,
        summary="The desk's commands and the call detail records of a CallShop switch",
        docs_url=None,  # their pages load scripts from the net, which a shop's server may not reach
        redoc_url=None,
    )
    api.state.desk = desk
    api.add_middleware(Guard, tokens=desk.token, utc_ms=utc_ms)
    if has_monitoring:
        api.router.routes.extend(_monitoring(desk, metrics).routes)
    commands, finder = _commands(desk, reload, host), Finder()
    add_rates(commands, desk.worlds, finder)
    add_exports(commands, desk, outbox or NoTargets(), hidden_digits)
    add_records(commands, desk, hidden_digits)
    add_live(commands, desk, hub, desk.token, utc_ms)
    add_limits(commands, desk)
    add_traces(commands, traces)
    add_bans(commands, bans, host)
    add_books(commands, desk.books)
    add_tokens(commands, desk, utc_ms, random)
    add_screens(commands, desk, utc_ms, random)
    # `include_router` would build each route a second time: half of what the application takes to be built.
    api.router.routes.extend(commands.routes)
    add_reference(api)
    frame = add_pages(api, desk, hub, utc_ms, random, finder=finder)
    _answerproblems(api, frame.refusal)
    return api


def make_monitoring(desk: Desk, metrics: Exposition, *, version: str) -> FastAPI:
    """Build the ASGI application of a listener that only monitoring asks."""
    api = FastAPI(title="sipshop monitoring", version=version, docs_url=None, redoc_url=None)
    api.router.routes.extend(_monitoring(desk, metrics).routes)
    _answerproblems(api)
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


_COMMAND: Final = problems(
    _400="malformed: the body is no JSON in UTF-8",
    _404="unknown_booth, or no_session: the booth has no unpaid session",
    _409="the booth or the till forbids it: below_used, account_in_use, no_shift, refused",
    _413="the body is too large",
    _422="invalid_request, bad_amount, bad_terms",
    _503="unwritable, not_now, unavailable: nothing was changed",
)
_PARTY: Final = problems(
    _400=_COMMAND[400]["description"],
    _404="unknown_party, or unknown_account: the provider has none",
    _409="the account forbids it: not_available, below_used, account_in_use, overcommitted, refused",
    _413=_COMMAND[413]["description"],
    _422="invalid_request, bad_amount",
    _503=_COMMAND[503]["description"],
)
_PARTY_READING: Final = problems(
    _404=_PARTY[404]["description"], _422="invalid_request, bad_cursor", _503="unavailable"
)


def _commands(desk: Desk, reload: Callable[[], Reloaded], host: str | None) -> APIRouter:
    """The endpoints behind the guard."""
    router = APIRouter(
        prefix="/api/v1",
        dependencies=[Security(HTTPBearer(auto_error=False, description="a token of `sipshop`"))],  # for the schema
        responses=problems(_401="unauthorized", _403="forbidden: the token does not open this"),
    )
    _add_booths(router, desk)
    _add_parties(router, desk)
    add_floor(router, desk)
    add_checkout(router, desk)
    add_till(router, desk)
    add_logins(router, desk)
    add_printing(router, desk)
    add_worlds(router, desk.worlds)
    add_decks(router, desk.worlds, desk.decks)
    add_mappings(router, desk.decks)
    _add_server(router, reload, host)

    @router.get("/audit", tags=["audit"], responses=problems(_503="unavailable"))
    async def audit(sender: Sender) -> AuditView:
        """Hold every law of the books against the whole database of the tenant; this reads all of it."""
        sender.only_provider()
        whole = ""  # no tenant's: the database itself
        return AuditView.of(one for one in await desk.audit() if one.tenant in {sender.tenant, whole})

    return router


def _add_server(router: APIRouter, reload: Callable[[], Reloaded], host: str | None) -> None:
    refusals = problems(
        _403="forbidden: the token is not of the provider who runs the server",
        _422="bad_configuration: `errors` names everything that is wrong; nothing was changed",
    )

    @router.post("/reload", tags=["server"], responses=refusals)
    async def reload_configuration(sender: Sender) -> ReloadedView:
        """Have the server read its configuration again; say what changed at once, and what waits for a restart."""
        sender.only_provider()
        if host not in {None, sender.tenant}:  # the answer names what all providers have in common, and their files
            raise HTTPException(403, "this takes a token of the provider who runs the server")
        return ReloadedView.of(reload())


def _add_booths(router: APIRouter, desk: Desk) -> None:
    @router.get("/booths", tags=["booths"], responses=problems(_422="invalid_request, bad_cursor"))
    async def list_booths(sender: Sender, limit: Limit = MAX_ROWS, cursor: Cursor = None) -> BoothList:
        """List the booths with their states."""
        seen = desk.booths(sender.tenant, sender.reach.shops)
        page, after = page_of(seen, lambda status: status.booth, limit, cursor)
        return BoothList(booths=[BoothView.of(status) for status in page], next=after)

    @router.post("/booths/{booth}/unlock", tags=["booths"], responses=_COMMAND)
    async def unlock_booth(sender: Sender, booth: str, key: Key, command: UnlockCommand | None = None) -> BoothView:
        """Open a booth for a customer, without end or for what the body says; an open booth stays as it is."""
        terms = _terms(command or UnlockCommand(), sender.booth(booth).currency)
        await desk.unlock(sender.tenant, booth, sender.author, terms, key)
        return BoothView.of(sender.booth(booth))

    @router.post("/booths/{booth}/topup", tags=["booths"], responses=_COMMAND)
    async def top_up_booth(sender: Sender, booth: str, command: TopUpCommand, key: Key) -> BoothView:
        """Add to the deposit of a booth's session; a running call goes on for it at once."""
        amount = Money(parse_amount(command.amount), sender.booth(booth).currency)
        await desk.top_up(sender.tenant, booth, amount, sender.author, key)
        return BoothView.of(sender.booth(booth))

    @router.post("/booths/{booth}/lock", tags=["booths"], responses=_COMMAND)
    async def lock_booth(sender: Sender, booth: str, command: LockCommand | None = None) -> BoothView:
        """Refuse new calls from a booth; a running call goes on unless it is cut."""
        sender.booth(booth)
        await desk.lock(sender.tenant, booth, sender.author, cut=command is not None and command.cut)
        return BoothView.of(sender.booth(booth))


def _add_parties(router: APIRouter, desk: Desk) -> None:
    @router.get("/parties", tags=["parties"], responses=problems(_422="invalid_request, bad_cursor"))
    async def list_parties(sender: Sender, limit: Limit = MAX_ROWS, cursor: Cursor = None) -> PartyList:
        """List the parties with their accounts."""
        sender.forbid_operators()
        seen = desk.parties(sender.tenant, sender.reach.parties)
        page, after = page_of(seen, lambda status: status.party, limit, cursor)
        return PartyList(parties=[PartyView.of(sender.seen(status)) for status in page], next=after)

    @router.get("/parties/{party}", tags=["parties"], responses=_PARTY_READING)
    async def read_party(sender: Sender, party: str) -> PartyView:
        """Read a party's state and account."""
        return PartyView.of(sender.party(party))

    @router.post("/parties/{party}/suspend", tags=["parties"], responses=_PARTY)
    async def suspend_party(sender: Sender, party: str, command: SuspendCommand | None = None) -> PartyView:
        """Stop the new calls of a party and of all below it, or cut the running ones too; emergency calls go on."""
        sender.customer(party)
        cut = command is not None and command.cut
        await desk.suspend(sender.tenant, party, sender.author, by=sender.own_party, cut=cut)
        return PartyView.of(sender.party(party))

    @router.post("/parties/{party}/resume", tags=["parties"], responses=_PARTY)
    async def resume_party(sender: Sender, party: str) -> PartyView:
        """End a party's suspension, which who began it may do, or who is above; one above the party still holds."""
        sender.customer(party)
        try:
            await desk.resume(sender.tenant, party, sender.author, by=sender.own_party)
        except SuspendedAbove as error:
            raise SuspendedAbove(party, sender.named(error.suspender)) from None
        return PartyView.of(sender.party(party))

    _add_accounts(router, desk)


def _add_accounts(router: APIRouter, desk: Desk) -> None:
    async def move(sender: Scope, party: str, kind: TransferKind, command: MoveCommand, key: str) -> PartyView:
        amount = Money(parse_amount(command.amount), _currency(sender.customer(party)))
        await desk.move(sender.tenant, party, kind, amount, author=sender.author, reason=command.reason, key=key)
        return PartyView.of(sender.party(party))

    @router.get("/parties/{party}/transfers", tags=["accounts"], responses=_PARTY_READING)
    async def list_transfers(sender: Sender, party: str, limit: Limit = 50, cursor: Cursor = None) -> TransferList:
        """List what moved on a party's account, the newest first."""
        sender.party(party)
        after = None if cursor is None else decode(cursor, str)[0]
        found = await desk.transfers(sender.tenant, party, limit + 1, after)
        more = encode(found[limit - 1]["key"]) if len(found) > limit else None
        return TransferList(party=party, transfers=found[:limit], next=more)

    @router.post("/parties/{party}/payments", tags=["accounts"], responses=_PARTY)
    async def book_payment(sender: Sender, party: str, command: MoveCommand, key: Key) -> PartyView:
        """Book what a party paid; an amount below zero is paid back, at most what is available."""
        return await move(sender, party, TransferKind.PAYMENT, command, key)

    @router.post("/parties/{party}/adjustments", tags=["accounts"], responses=_PARTY)
    async def book_adjustment(sender: Sender, party: str, command: MoveCommand, key: Key) -> PartyView:
        """Correct a party's balance; an amount below zero may overdraw the account, which then starts no calls."""
        return await move(sender, party, TransferKind.ADJUSTMENT, command, key)

    @router.post("/parties/{party}/limit", tags=["accounts"], responses=_PARTY)
    async def set_credit_limit(sender: Sender, party: str, command: LimitCommand) -> PartyView:
        """Set what a party may owe, or that it may owe without end."""
        sender.customer(party)
        limit = None if command.credit_limit is None else parse_amount(command.credit_limit)
        if limit is not None and limit < 0:
            raise BadAmount("a credit limit is not below zero")
        await desk.set_limit(sender.tenant, party, limit, sender.author, command.reason)
        return PartyView.of(sender.party(party))


def _terms(command: UnlockCommand, currency: str) -> SessionTerms:
    """What a booth is unlocked for; raises BadAmount or BadTerms."""
    return SessionTerms(
        deposit=None if command.deposit is None else Money(parse_amount(command.deposit), currency),
        limit=None if command.limit is None else Money(parse_amount(command.limit), currency),
        talk_limit_ms=None if command.minutes is None else command.minutes * 60_000,
    )


def _currency(party: PartyStatus) -> str:
    """The currency of a party's account; raises UnknownAccount."""
    if party.currency is None:
        raise UnknownAccount(f"{party.party} is the provider: nobody sells to it, so it has no account here")
    return party.currency


def _answerproblems(
    api: FastAPI, on_page: Callable[[Request, Problem], Response | None] = lambda _request, _problem: None
) -> None:
    """Let every error leave as a problem (RFC 9457), the framework's own ones too; on a page as `on_page` words it."""

    async def answer(request: Request, error: Exception) -> Response:
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
        return on_page(request, problem) or problem.response()

    ours = (BadMapping, BadSheet, BillingError, SettingsErrors, StoreError, SwitchError, WorldErrors)
    for kind in (RequestValidationError, StarletteHTTPException, *ours, Exception):
        api.add_exception_handler(kind, answer)
