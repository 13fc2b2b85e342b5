"""The part of the API that is about whole worlds: apply one, export it, look at decks, trunks and people, ask prices.

A world tells what everybody pays, so all of it but a booth's price is for the provider alone.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Protocol, Self

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from sipshop.billing.cdr import utc_text
from sipshop.billing.deck import Extras, Rate
from sipshop.billing.errors import BadAmount
from sipshop.billing.money import amount_text, format_nanos, minor_unit_places, parse_amount, parse_scaled
from sipshop.billing.quote import DeckQuote, Quote
from sipshop.billing.rating import explain
from sipshop.console.paging import MAX_ROWS
from sipshop.console.scope import Sender, problems
from sipshop.console.views import TaxView
from sipshop.switch import Chain, ChainStep, DeckStatus, TrunkStatus
from sipshop.world import Kind, Operator, Plan, WorldError, WorldErrors

YAML: Final = "application/yaml"
MAX_QUOTED_S: Final = 86_400


class WorldDesk(Protocol):
    """What the API asks of the switch about worlds; `sipshop.switch.worlds` keeps it."""

    async def apply(
        self, tenant: str, text: str, filename: str, *, author: str, dry_run: bool = False, prune: bool = False
    ) -> Plan:
        """Make the tenant's world what a text says, all of it or nothing; or only tell what that changes."""
        ...

    async def export(self, tenant: str) -> str:
        """The tenant's world as a text, passwords masked."""
        ...

    def operators(self, tenant: str) -> tuple[Operator, ...]:
        """The people of the tenant's parties."""
        ...

    def decks(self, tenant: str) -> list[DeckStatus]:
        """Every deck of the tenant."""
        ...

    def deck(self, tenant: str, name: str) -> DeckStatus:
        """One deck of the tenant."""
        ...

    def trunks(self, tenant: str) -> list[TrunkStatus]:
        """Every trunk of the tenant."""
        ...

    async def probe(self, tenant: str, name: str) -> TrunkStatus:
        """Ask a carrier whether he is there."""
        ...

    def quotes(
        self,
        tenant: str,
        number: str,
        *,
        booth: str | None = None,
        party: str | None = None,
        amount_micros: int | None = None,
        talk_s: int = 60,
    ) -> list[Quote]:
        """What a call costs, or how long an amount lasts."""
        ...

    def deck_quote(
        self, tenant: str, name: str, number: str, *, talk_ms: int, at: str | None, funds_micros: int | None
    ) -> DeckQuote:
        """What a call costs by a deck, and how long funds last."""
        ...

    def chain(self, tenant: str, booth: str, number: str, *, talk_ms: int, at: str | None) -> Chain:
        """What everybody pays for a call from a booth."""
        ...


class ChangeView(BaseModel):
    """A thing of a world that becomes another."""

    action: Literal["add", "change", "suspend", "disable", "remove"]
    kind: Kind
    name: str
    details: list[str] = Field(description="what becomes of it, for people")


class PlanView(BaseModel):
    """What a text changes in the world, in the order in which it is done."""

    dry_run: bool = Field(description="true: nothing of it was done")
    changes: list[ChangeView]
    absent: dict[str, int] = Field(description="how many of a kind the text does not name, and are there all the same")

    @classmethod
    def of(cls, plan: Plan, *, dry_run: bool) -> Self:
        """The view of a plan."""
        changes = [
            ChangeView.model_validate(
                {
                    "action": change.action.value,
                    "kind": change.kind,
                    "name": change.name,
                    "details": list(change.details),
                }
            )
            for change in plan.changes
        ]
        return cls(dry_run=dry_run, changes=changes, absent=dict(plan.absent))


class OperatorView(BaseModel):
    """A person of a party; an operator at the counter has a shop."""

    name: str
    role: Literal["operator", "owner", "reseller", "provider"]
    party: str
    shop: str | None
    suspended: bool = Field(description="he has no token, and is given none")

    @classmethod
    def of(cls, person: Operator) -> Self:
        """The view of a person."""
        return cls(
            name=person.name,
            role=person.role.value,
            party=person.party,
            shop=person.shop,
            suspended=person.suspended,
        )


class OperatorList(BaseModel):
    """Everybody who works for a party of the tenant."""

    operators: list[OperatorView]


class SaleView(BaseModel):
    """A sale that a deck prices."""

    seller: str
    buyer: str


class DeckView(BaseModel):
    """A deck in the version that is in force."""

    deck: str
    version: int
    currency: str
    round: dict[str, str | int]
    duration_round: str
    rates: int = Field(description="how many rates it has")
    sales: list[SaleView]

    @classmethod
    def of(cls, status: DeckStatus) -> Self:
        """The view of a deck."""
        deck = status.deck
        return cls(
            deck=deck.name,
            version=deck.version,
            currency=deck.currency,
            round={"mode": deck.rounding.mode.value, "places": deck.rounding.places},
            duration_round=deck.duration_round.value,
            rates=len(deck.rates),
            sales=[SaleView(seller=seller, buyer=buyer) for seller, buyer in status.sales],
        )


class RateView(BaseModel):
    """A rate; its prices are a minute, its connect fee a call. What few rates have is null where this one has not."""

    prefix: str
    destination: str
    connect_fee: str
    first_s: int
    first_price: str
    next_s: int
    next_price: str
    forbidden: bool
    steps: list[tuple[int | None, int, str]] | None = Field(description="until_s, every_s and the price of each")
    grace_s: int | None
    free_s: int | None
    free_after_first: bool | None
    surcharge_percent: str | None
    min_charge: str | None
    max_charge: str | None
    max_policy: Literal["free", "disconnect"] | None
    valid_from: str | None
    valid_to: str | None
    window: str | None

    @classmethod
    def of(cls, rate: Rate, currency: str) -> Self:
        """The view of a rate of a deck in a currency."""
        places = minor_unit_places(currency)
        return cls(
            prefix=rate.prefix,
            destination=rate.destination,
            connect_fee=format_nanos(rate.connect_fee_nanos, places),
            first_s=rate.first_s,
            first_price=format_nanos(rate.first_price_nanos, places),
            next_s=rate.next_s,
            next_price=format_nanos(rate.next_price_nanos, places),
            forbidden=rate.forbidden,
            **_extras(rate.extras, currency),
        )


def _extras(extras: Extras, currency: str) -> dict[str, Any]:
    written = extras.to_json()
    for key, micros in (("min_charge", extras.min_charge_micros), ("max_charge", extras.max_charge_micros)):
        if key in written and micros is not None:
            written[key] = amount_text(micros, currency)
    if extras.steps:
        places = minor_unit_places(currency)
        written["steps"] = [
            (step.until_s, step.every_s, format_nanos(step.price_nanos, places)) for step in extras.steps
        ]
    for key in ("valid_from", "valid_to"):
        at_ms = written.pop(f"{key}_ms", None)
        written[key] = None if at_ms is None else utc_text(at_ms)
    keys = ("steps", "grace_s", "free_s", "free_after_first", "surcharge_percent", "min_charge", "max_charge")
    return dict.fromkeys((*keys, "max_policy", "window")) | written


class DeckList(BaseModel):
    """Every deck of the tenant."""

    decks: list[DeckView]


class DeckRates(DeckView):
    """A deck with its rates: those that were asked for, by prefix."""

    shown: list[RateView]


class TrunkView(BaseModel):
    """A way to a carrier."""

    trunk: str
    carrier: str
    deck: str
    host: str
    port: int | None = Field(description="null: DNS says, as the host is a name")
    transport: str | None = Field(description="udp, tcp or tls; null: DNS says, as the host is a name")
    emergency: bool
    disabled: bool
    max_calls: int | None = Field(description="null: no cap")
    cps: int | None = Field(description="how many calls are begun in a second; null: no cap")
    live_calls: int
    state: Literal["up", "half_open", "down", "disabled"] = Field(
        description="half_open: it was down, and one call or OPTIONS may try it"
    )
    since: str | None = Field(description="since when it is in this state, UTC; null: it is disabled")
    last_status: int | None = Field(
        description="the last thing that the carrier answered, 408: nothing; null: not asked"
    )
    rtt_ms: float | None = Field(description="how long the last OPTIONS that was answered was away")
    registration: Literal["registered", "registering", "failed"] | None = Field(
        description="null: it does not register"
    )
    registered_until: str | None
    registration_status: int | None = Field(description="what the registrar answered last, 408: nothing")

    @classmethod
    def of(cls, status: TrunkStatus) -> Self:
        """The view of a trunk."""
        trunk, condition = status.trunk, status.condition
        rtt_s = condition.rtt_s if condition is not None else None
        return cls(
            trunk=trunk.name,
            carrier=trunk.carrier,
            deck=trunk.deck,
            host=trunk.host,
            port=trunk.port,
            transport=trunk.transport or None,
            emergency=trunk.emergency,
            disabled=trunk.disabled,
            max_calls=trunk.max_calls,
            cps=trunk.cps,
            live_calls=status.live_calls,
            state=condition.state if condition is not None else "disabled",
            since=utc_text(status.since_ms) if status.since_ms is not None else None,
            last_status=condition.last_status if condition is not None else None,
            rtt_ms=round(rtt_s * 1000, 1) if rtt_s is not None else None,
            registration=condition.registration if condition is not None else None,
            registered_until=utc_text(status.registered_until_ms) if status.registered_until_ms is not None else None,
            registration_status=condition.registration_status if condition is not None else None,
        )


class TrunkList(BaseModel):
    """Every trunk of the tenant."""

    trunks: list[TrunkView]


class QuoteView(BaseModel):
    """What `seller` asks `buyer`; without a price `answer` says why, and the rest is null."""

    seller: str
    buyer: str
    answer: Literal["price", "emergency", "forbidden", "no_rate", "bad_number", "no_funds", "no_fx"]
    e164: str | None
    destination: str | None
    deck: str | None
    version: int | None
    prefix: str | None
    currency: str | None
    talk_s: int | None = Field(description="the talk that was asked for, or how long the amount lasts")
    billed_s: int | None
    amount: str | None = Field(description="what the buyer pays, tax and all")
    net: str | None = Field(description="the amount without its tax; null: nothing is taxed")
    tax: str | None
    taxed: TaxView | None = Field(description="what it is taxed at")
    fx: dict[str, Any] | None = Field(description="the rate of exchange, where the deck is in another currency")
    explanation: str | None = Field(description="the arithmetic of the amount")

    @classmethod
    def of(cls, quote: Quote) -> Self:
        """The view of a quote."""
        tariff, cost, parts = quote.tariff, quote.cost, quote.parts
        return cls(
            seller=quote.seller,
            buyer=quote.buyer,
            answer=quote.answer.value,
            e164=quote.e164,
            destination=tariff.rate.destination if tariff is not None else None,
            deck=tariff.deck if tariff is not None else None,
            version=tariff.version if tariff is not None else None,
            prefix=tariff.rate.prefix if tariff is not None else None,
            currency=tariff.charged_in if tariff is not None else None,
            talk_s=quote.talk_s if cost is not None else None,
            billed_s=cost.billed_s if cost is not None else None,
            amount=cost.amount.text if cost is not None else None,
            net=parts.net.text if parts is not None else None,
            tax=parts.tax.text if parts is not None else None,
            taxed=TaxView.of(tariff.tax) if tariff is not None else None,
            fx=tariff.fx.to_json() if tariff is not None and tariff.fx is not None else None,
            explanation=explain(cost) if cost is not None else None,
        )


class DeckQuoteView(BaseModel):
    """What a deck asks, whoever sells by it; without a price `answer` says why, and the rest is null."""

    answer: Literal["price", "forbidden", "no_rate", "no_funds"]
    deck: str
    version: int
    number: str
    at: str
    seconds: str
    prefix: str | None
    destination: str | None
    billed_s: int | None
    amount: str | None
    currency: str
    lines: list[dict[str, Any]] = Field(description="the terms of the amount: kind, seconds, and price or percent")
    explanation: str | None = Field(description="the arithmetic of the amount")
    granted_s: int | None = Field(default=None, description="how long the balance lasts; null: without end")


class LevelView(BaseModel):
    """What one level of a call pays the next one; the carriers come last, in the order in which they are tried."""

    seller: str
    buyer: str
    trunk: str | None
    deck: str
    version: int
    prefix: str
    destination: str
    billed_s: int
    amount: str
    currency: str
    margin: str | None = Field(description="what the buyer keeps of his own sale, net; null for the customer")
    margin_currency: str | None
    common_margin: str | None = Field(description="the margin in `common_currency`; null without a rate")
    common_currency: str | None = Field(description="that in which the provider is paid: these margins add up")
    tax: TaxView | None = Field(description="what the amount has in it")
    fx: dict[str, Any] | None = Field(description="the rate of exchange, where the deck is in another currency")
    explanation: str

    @classmethod
    def of(cls, step: ChainStep) -> Self:
        """The view of a level."""
        return cls(
            seller=step.seller,
            buyer=step.buyer,
            trunk=step.trunk,
            deck=step.tariff.deck,
            version=step.tariff.version,
            prefix=step.tariff.rate.prefix,
            destination=step.tariff.rate.destination,
            billed_s=step.cost.billed_s,
            amount=step.cost.amount.text,
            currency=step.cost.amount.currency,
            margin=None if step.margin is None else step.margin.text,
            margin_currency=None if step.margin is None else step.margin.currency,
            common_margin=None if step.common is None else step.common.text,
            common_currency=None if step.common is None else step.common.currency,
            tax=TaxView.of(step.tariff.tax),
            fx=None if step.tariff.fx is None else step.tariff.fx.to_json(),
            explanation=explain(step.cost),
        )


class ChainView(BaseModel):
    """Everybody who pays for a call from a booth; `answer` is price, or why it would be refused."""

    answer: str
    number: str
    e164: str | None
    levels: list[LevelView]


class QuoteList(BaseModel):
    """A quote for each sale that was asked about."""

    number: str
    quotes: list[QuoteView]


_PROVIDER_ONLY: Final = problems(_403="forbidden: the token is not the provider's")
_APPLY: Final = _PROVIDER_ONLY | problems(
    _409="conflict, world_changed, below_used, account_in_use: nothing was changed",
    _413="the text is too large",
    _422="bad_world with every error in `errors` (file, line, field, message), or invalid_request",
    _503="unwritable, not_now, unavailable: nothing was changed",
)
_BODY: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {YAML: {"schema": {"type": "string"}}}},
}


def add_worlds(router: APIRouter, desk: WorldDesk) -> None:
    """Add the endpoints to the router of the API."""

    @router.post("/world", tags=["world"], responses=_APPLY, openapi_extra=_BODY)
    async def apply_world(
        sender: Sender,
        request: Request,
        *,
        dry_run: Annotated[bool, Query(description="only tell what would change")] = False,
        prune: Annotated[
            bool,
            Query(description="take out what the text does not name: suspend or disable what has history"),
        ] = False,
        file: Annotated[
            str, Query(max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$", description="how errors name the text")
        ] = "world",
    ) -> PlanView:
        """Make the world what a YAML text says, all of it or nothing; what the text does not name stays as it is."""
        sender.only_provider()
        text = _decoded(await request.body(), file)
        plan = await desk.apply(sender.tenant, text, file, author=sender.author, dry_run=dry_run, prune=prune)
        return PlanView.of(plan, dry_run=dry_run)

    @router.get(
        "/world",
        tags=["world"],
        response_class=Response,
        responses=_PROVIDER_ONLY | {200: {"content": {YAML: {"schema": {"type": "object", "description": "a world"}}}}},
    )
    async def export_world(sender: Sender) -> Response:
        """Write the world as YAML, passwords masked; applied, it changes nothing."""
        sender.only_provider()
        return Response(await desk.export(sender.tenant), media_type=YAML)

    @router.get("/operators", tags=["world"], responses=_PROVIDER_ONLY)
    async def list_operators(sender: Sender) -> OperatorList:
        """List the people of the parties."""
        sender.only_provider()
        people = desk.operators(sender.tenant)
        return OperatorList(operators=[OperatorView.of(person) for person in people])

    @router.get("/trunks", tags=["world"], responses=_PROVIDER_ONLY)
    async def list_trunks(sender: Sender) -> TrunkList:
        """List the ways to carriers."""
        sender.only_provider()
        return TrunkList(trunks=[TrunkView.of(status) for status in desk.trunks(sender.tenant)])

    @router.post(
        "/trunks/{trunk}/probe",
        tags=["world"],
        responses=_PROVIDER_ONLY | problems(_404="unknown_trunk", _422="invalid_request"),
    )
    async def probe_trunk(sender: Sender, trunk: str) -> TrunkView:
        """Ask a carrier by OPTIONS whether he is there, and wait for what he says."""
        sender.only_provider()
        return TrunkView.of(await desk.probe(sender.tenant, trunk))

    _add_prices(router, desk)


def _add_prices(router: APIRouter, desk: WorldDesk) -> None:
    @router.get("/decks", tags=["prices"], responses=_PROVIDER_ONLY)
    async def list_decks(sender: Sender) -> DeckList:
        """List the decks, without their rates."""
        sender.only_provider()
        return DeckList(decks=[DeckView.of(status) for status in desk.decks(sender.tenant)])

    @router.get(
        "/decks/{deck}",
        tags=["prices"],
        responses=_PROVIDER_ONLY | problems(_404="unknown_deck", _422="invalid_request"),
    )
    async def read_deck(
        sender: Sender,
        deck: str,
        prefix: Annotated[str, Query(pattern="^[0-9]{0,15}$", description="only rates that begin so")] = "",
        limit: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 200,
    ) -> DeckRates:
        """Read a deck and its rates, by prefix."""
        sender.only_provider()
        status = desk.deck(sender.tenant, deck)
        chosen = sorted(
            (rate for rate in status.deck.rates if rate.prefix.startswith(prefix)), key=lambda rate: rate.prefix
        )
        view = DeckView.of(status)
        return DeckRates(**dict(view), shown=[RateView.of(rate, status.deck.currency) for rate in chosen[:limit]])

    @router.get(
        "/quotes",
        tags=["prices"],
        responses=_PROVIDER_ONLY | problems(_404="unknown_booth, unknown_party", _422="invalid_request, bad_amount"),
    )
    async def quote(
        sender: Sender,
        number: Annotated[str, Query(min_length=1, max_length=64, description="as it is dialled there")],
        *,
        booth: str | None = None,
        party: str | None = None,
        amount: Annotated[str | None, Query(max_length=40, description="how long does so much last?")] = None,
        seconds: Annotated[int, Query(ge=0, le=MAX_QUOTED_S, description="what does so long a talk cost?")] = 60,
    ) -> QuoteList:
        """Tell what a call costs, or how long an amount lasts: from a booth, for a party, or else in every shop."""
        if booth is not None:
            sender.booth(booth)  # raises for one that he does not reach
        if party is not None:
            sender.party(party)
        if booth is None and party is None:
            sender.only_provider()
        micros = None if amount is None else parse_amount(amount)
        if micros is not None and micros < 0:
            raise BadAmount("an amount to talk for is not below zero")
        quotes = desk.quotes(sender.tenant, number, booth=booth, party=party, amount_micros=micros, talk_s=seconds)
        return QuoteList(number=number, quotes=[QuoteView.of(quote) for quote in quotes])

    _add_exact_quotes(router, desk)


Seconds = Annotated[
    str, Query(pattern=r"^[0-9]{1,6}(\.[0-9]{1,3})?$", description="what does so long a talk cost? 90 or 60.4")
]
At = Annotated[
    str | None, Query(max_length=40, description="ISO 8601, in the deck's zone unless it has an offset [now]")
]


def _add_exact_quotes(router: APIRouter, desk: WorldDesk) -> None:
    @router.get(
        "/decks/{deck}/quote",
        tags=["prices"],
        response_model_exclude_unset=True,
        responses=_PROVIDER_ONLY | problems(_404="unknown_deck", _422="invalid_request, bad_amount, bad_quote"),
    )
    async def quote_by_deck(
        sender: Sender,
        deck: str,
        number: Annotated[str, Query(min_length=1, max_length=64, description="whole, country code first")],
        *,
        seconds: Seconds = "60",
        at: At = None,
        balance: Annotated[str | None, Query(max_length=40, description="how long does so much last?")] = None,
    ) -> DeckQuoteView:
        """Tell what a call costs by a deck, and how long a balance lasts; more than it pays for is priced too."""
        sender.only_provider()
        funds_micros = None if balance is None else parse_amount(balance)
        found = desk.deck_quote(
            sender.tenant, deck, number, talk_ms=parse_scaled(seconds, 3), at=at, funds_micros=funds_micros
        )
        return DeckQuoteView.model_validate(found.to_json())

    @router.get(
        "/chain",
        tags=["prices"],
        responses=_PROVIDER_ONLY | problems(_404="unknown_booth", _422="invalid_request, bad_quote"),
    )
    async def quote_chain(
        sender: Sender,
        booth: str,
        number: Annotated[str, Query(min_length=1, max_length=64, description="as it is dialled there")],
        *,
        seconds: Seconds = "60",
        at: At = None,
    ) -> ChainView:
        """Tell what everybody pays for a call from a booth, down to the carriers in the order they are tried."""
        sender.only_provider()
        found = desk.chain(sender.tenant, booth, number, talk_ms=parse_scaled(seconds, 3), at=at)
        levels = [LevelView.of(step) for step in found.steps]
        return ChainView(answer=found.answer, number=number, e164=found.e164, levels=levels)


def _decoded(body: bytes, filename: str) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise WorldErrors([WorldError(filename, line, "", "is not UTF-8 text")]) from error
