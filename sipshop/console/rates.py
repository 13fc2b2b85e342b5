"""The prices of a shop over HTTP: how long an amount lasts to a place, what minutes there cost, and the poster."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Protocol

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from sipshop.billing.cdr import utc_text
from sipshop.billing.errors import BadAmount
from sipshop.billing.fares import Fare
from sipshop.billing.money import Money, format_nanos, minor_unit_places, parse_amount
from sipshop.billing.rating import explain
from sipshop.console.finding import Answer, Finder, Found
from sipshop.console.pages.poster import pdf_answer
from sipshop.console.pages.words import Words, words
from sipshop.console.paper.poster import Size
from sipshop.console.scope import Sender, problems
from sipshop.switch import PriceList

#: What is asked about where nothing is said.
MONEY: Final = "5"
MINUTES: Final = 10
MOST_MINUTES: Final = 1440
MAX_QUESTION: Final = 100

#: Those of the pages.
Language = Literal["en", "fr", "es", "it", "pt", "pl", "ar"]

_REFUSALS: Final = problems(_404="unknown_shop", _422="invalid_request, bad_amount")
_PDF: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}},
}


class Prices(Protocol):
    """What shops ask; `sipshop.switch.rates` knows."""

    def prices(self, tenant: str, name: str) -> PriceList:
        """What a shop asks now; raises `UnknownShop`."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody wants to know: how long so much money lasts, and what so many minutes cost."""

    money: Money
    minutes: int


class StepView(BaseModel):
    """Increments of `every_s` seconds, from a second on."""

    from_s: int
    every_s: int
    price: str = Field(description="a minute, tax and all")


class FareView(BaseModel):
    """What calls to a destination cost, tax and all; without a price `answer` says why, and the rest is null."""

    answer: Literal["price", "forbidden", "no_fx"]
    country: str | None = Field(description="ISO 3166 code")
    country_name: str | None = Field(description="in the language that was asked for")
    city: str | None = Field(description="the city that was asked about, by that name")
    destination: str
    prefixes: list[str]
    e164: str | None = Field(description="the number that was asked about")
    window: str | None = Field(description="the deck's window that the price is for; null: at any time")
    connect_fee: str | None
    steps: list[StepView]
    minimum: str | None = Field(description="what an answered call costs at least")
    minimum_s: int | None = Field(description="the seconds that this pays for")
    lasts_s: int | None = Field(description="how long `money` lasts, up to the longest call that there is")
    amount: str | None = Field(description="what a call of `minutes` costs")
    explanation: str | None = Field(description="the arithmetic of the amount")

    @classmethod
    def of(cls, found: Found, prices: PriceList, question: Question, told: Words) -> FareView:
        """The view of a line that was found."""
        fare = found.fare
        is_sold = fare.tariff is not None
        places = minor_unit_places(prices.shop.currency)
        cost = fare.price(question.minutes * 60) if is_sold else None
        minimum = fare.minimum if is_sold else None
        return cls(
            answer="price" if is_sold else "forbidden" if fare.rate.forbidden else "no_fx",
            country=found.country,
            country_name=None if found.country is None else told.country(found.country),
            city=found.city or None,
            destination=fare.destination,
            prefixes=list(fare.prefixes),
            e164=found.e164,
            window=fare.window,
            connect_fee=format_nanos(fare.connect_fee_nanos, places) if is_sold else None,
            steps=steps_of(fare, places) if is_sold else [],
            minimum=None if minimum is None else minimum.amount.text,
            minimum_s=None if minimum is None else minimum.billed_s,
            lasts_s=fare.lasts_s(question.money, prices.most_s) if is_sold else None,
            amount=None if cost is None else cost.amount.text,
            explanation=None if cost is None else explain(cost),
        )


class RatesView(BaseModel):
    """What was found, the best first."""

    shop: str
    currency: str
    deck: str
    version: int
    at: str
    money: str
    minutes: int
    longest_s: int = Field(description="the longest call that there is")
    emergency: bool = Field(description="the number is one of emergency: it costs nothing")
    more: bool = Field(description="there is more of it: say more")
    rates: list[FareView]


class RatesDesk(Protocol):
    """Where prices are found."""

    @property
    def rates(self) -> Prices:
        """What shops ask."""
        ...


def question_of(money: str, minutes: int, currency: str) -> Question:
    """Read what was asked; raises BadAmount."""
    micros = parse_amount(money)
    if micros < 0:
        raise BadAmount("an amount to talk for is not below zero")
    return Question(Money(micros, currency), minutes)


def steps_of(fare: Fare, places: int) -> list[StepView]:
    """The increments of a fare; those that go on as before are left out."""
    return [
        StepView(from_s=start_s, every_s=step.every_s, price=format_nanos(step.price_nanos, places))
        for start_s, step in fare.terms
    ]


async def answer_to(finder: Finder, prices: PriceList, text: str) -> Answer:
    """Find something, on a thread: the first question about a large deck reads all of it."""
    return await asyncio.to_thread(finder.find, prices, text)


def add_rates(router: APIRouter, desk: RatesDesk, finder: Finder) -> None:
    """Add the endpoints of prices."""
    _add_poster(router, desk)

    @router.get("/shops/{shop}/rates", tags=["prices"], responses=_REFUSALS)
    async def find_rates(
        sender: Sender,
        shop: str,
        *,
        q: Annotated[
            str, Query(max_length=MAX_QUESTION, description="a number, a prefix, a country, a city or a destination")
        ] = "",
        money: Annotated[str, Query(max_length=40, description="how long does so much last?")] = MONEY,
        minutes: Annotated[int, Query(ge=1, le=MOST_MINUTES, description="what does so long a call cost?")] = MINUTES,
        language: Annotated[Language, Query(description="of the names of countries")] = "en",
    ) -> RatesView:
        """Find what calls cost from a shop now: how long an amount lasts, and what a number of minutes costs."""
        prices = desk.rates.prices(sender.tenant, sender.shop(shop))
        question = question_of(money, minutes, prices.shop.currency)
        answer = await answer_to(finder, prices, q)
        told = words(language)
        return RatesView(
            shop=shop,
            currency=prices.shop.currency,
            deck=prices.deck.name,
            version=prices.deck.version,
            at=utc_text(prices.at_ms),
            money=question.money.text,
            minutes=question.minutes,
            longest_s=prices.most_s,
            emergency=answer.emergency,
            more=answer.more,
            rates=[FareView.of(each, prices, question, told) for each in answer.found],
        )


def _add_poster(router: APIRouter, desk: RatesDesk) -> None:
    @router.get(
        "/shops/{shop}/poster.pdf",
        tags=["prices"],
        response_class=Response,
        responses=problems(_404="unknown_shop", _422="invalid_request: or it would have too many lines") | _PDF,
    )
    async def download_poster(
        sender: Sender,
        shop: str,
        *,
        language: Annotated[Language, Query(description="of the poster")] = "en",
        size: Annotated[Size, Query(description="of the paper")] = Size.A4,
    ) -> Response:
        """The poster of the tariffs as they are now: every destination, and what the least call there costs."""
        prices = desk.rates.prices(sender.tenant, sender.shop(shop))
        return await pdf_answer(prices, words(language), size)
