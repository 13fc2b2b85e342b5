"""What calls cost, asked at the desk: how long an amount lasts to a place, what minutes there cost, as one types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from sipshop.billing.fares import Fare
from sipshop.billing.money import minor_unit_places
from sipshop.console.finding import Answer, Finder, Found
from sipshop.console.pages.door import Member, SignedIn
from sipshop.console.pages.frame import Frame
from sipshop.console.pages.words import Words, amount_text, mark, span
from sipshop.console.rates import MAX_QUESTION, MINUTES, MONEY, MOST_MINUTES, Question, answer_to, question_of
from sipshop.switch import PriceList

_MONEY_WITHOUT_COINS: Final = "1000"
_MOST_PREFIXES: Final = 4
#: A line that the page fills in by itself.
BLANK: Final = dict.fromkeys(("flag", "place", "about", "price", "least", "lasts", "cost", "why"), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What somebody typed, as he typed it."""

    q: str
    money: str
    minutes: str

    @classmethod
    def of(cls, request: Request, prices: PriceList) -> _Asked:
        """Read a question; what he did not type is what one asks most."""
        places = minor_unit_places(prices.shop.currency)
        given = request.query_params
        return cls(
            q=given.get("q", "")[:MAX_QUESTION],
            money=given.get("money", MONEY if places else _MONEY_WITHOUT_COINS)[:40],
            minutes=given.get("minutes", str(MINUTES))[:8],
        )

    def question(self, currency: str) -> Question:
        """What that means; raises BadAmount, HTTPException (422)."""
        minutes = self.minutes.strip()
        if not (minutes.isdecimal() and 1 <= int(minutes) <= MOST_MINUTES):
            raise HTTPException(422, f"minutes are from 1 to {MOST_MINUTES}")
        return question_of(amount_text(self.money), int(minutes), currency)


def add_rates(router: APIRouter, frame: Frame, desk: Any, finder: Finder) -> None:
    """Add the page of prices."""

    @router.get("/rates")
    async def choose_rates(request: Request, member: SignedIn) -> Response:
        """The prices of the one shop that somebody reaches, or all of them to choose from."""
        return chooser(frame, request, member, "/rates", member.words(mark("Rates")))

    @router.get("/rates/{shop}")
    async def show_rates(request: Request, member: SignedIn, shop: str) -> Response:
        """The prices of a shop, and the answer to a question if there is one."""
        prices = desk.worlds.rates.prices(member.scope.tenant, member.scope.shop(shop))
        asked = _Asked.of(request, prices)
        answer = await answer_to(finder, prices, asked.q)
        return frame.page(
            request,
            member.visitor,
            "rates.html",
            shop=shop,
            asked=asked,
            told=_told(answer, asked, prices, member.words),
            blank=BLANK,
            most=MAX_QUESTION,
        )

    @router.get("/rates/{shop}/found")
    async def find(request: Request, member: SignedIn, shop: str) -> Response:
        """The answer alone, for the page."""
        prices = desk.worlds.rates.prices(member.scope.tenant, member.scope.shop(shop))
        asked = _Asked.of(request, prices)
        return JSONResponse(_told(await answer_to(finder, prices, asked.q), asked, prices, member.words))


def chooser(frame: Frame, request: Request, member: Member, path: str, title: str) -> Response:
    """The page at a path for the one shop that somebody reaches, or the shops that he may choose from."""
    shops = sorted(member.scope.reach.shops)
    if len(shops) == 1:
        return RedirectResponse(f"{path}/{quote(shops[0], safe='')}", 303)
    return frame.page(request, member.visitor, "choose.html", shops=shops, to=path, title=title)


def _told(answer: Answer, asked: _Asked, prices: PriceList, words: Words) -> dict[str, Any]:
    """An answer in words: what stands above the columns, and the lines."""
    question, currency = asked.question(prices.shop.currency), prices.shop.currency
    note = ""
    if answer.emergency:
        note = words(mark("An emergency number: it costs nothing, and dials from a locked booth too."))
    elif asked.q.strip() and not answer.found:
        note = words(mark("Nothing is called so, or no calls go there."))
    elif answer.more:
        note = words(mark("There is more: type more of the name."))
    return {
        "lasts": words(mark("%(amount)s lasts"), amount=words.money(question.money.micros, currency)),
        "costs": words.many("%(number)s minute costs", "%(number)s minutes cost", question.minutes),
        "note": note,
        "lines": [_line(each, question, prices, words) for each in answer.found],
    }


def _line(found: Found, question: Question, prices: PriceList, words: Words) -> dict[str, str]:
    """A line as the page shows it."""
    fare = found.fare
    country = "" if found.country is None else words.country(found.country)
    told = {
        "flag": found.country or "",
        "place": ", ".join(filter(None, (found.city, country))) or fare.destination,
        "about": " · ".join(_about(found, country)),
    }
    if fare.tariff is None:
        why = mark("Calls there are barred.") if fare.rate.forbidden else mark("No rate of exchange for today.")
        return BLANK | told | {"why": words(why)}
    lasts_s = fare.lasts_s(question.money, prices.most_s)
    return (
        BLANK
        | told
        | {
            "price": price_text(fare, prices.shop.currency, words),
            "least": words.money(fare.minimum.amount.micros, prices.shop.currency),
            "lasts": lasts_text(lasts_s, prices.most_s, words),
            "cost": words.money(fare.price(question.minutes * 60).amount.micros, prices.shop.currency),
        }
    )


def _about(found: Found, country: str) -> Iterator[str]:
    """What tells a line from others of its country: the deck's name for it, and its prefixes."""
    if found.fare.destination not in {country, found.city}:
        yield found.fare.destination
    if found.e164 is not None:
        yield f"+{found.e164}"
        return
    prefixes = found.fare.prefixes
    shown = " ".join(f"+{prefix}" for prefix in prefixes[:_MOST_PREFIXES])
    yield shown if len(prefixes) <= _MOST_PREFIXES else f"{shown} …"


def lasts_text(lasts_s: int, most_s: int, words: Words) -> str:
    """How long an amount lasts."""
    if lasts_s == 0:
        return words(mark("not one call"))
    if lasts_s >= most_s:
        return words(mark("%(time)s, the longest call"), time=span(lasts_s * 1000))
    return span(lasts_s * 1000)


def price_text(fare: Fare, currency: str, words: Words) -> str:
    """The terms of a price: the fee, and each minute's price with the steps that are counted."""
    return ", ".join(_terms(fare, currency, words))


def _terms(fare: Fare, currency: str, words: Words) -> Iterator[str]:
    extras = fare.rate.extras
    if fare.connect_fee_nanos:
        yield words(mark("%(fee)s for the connection"), fee=words.price(fare.connect_fee_nanos, currency))
    for start_s, step in fare.terms:
        price, every = words.price(step.price_nanos, currency), words.number(step.every_s)
        if start_s == 0:
            yield words(mark("%(price)s a minute in steps of %(every)s s"), price=price, every=every)
        else:
            time = span(start_s * 1000)
            yield words(
                mark("from %(time)s on %(price)s a minute in steps of %(every)s s"), time=time, price=price, every=every
            )
    if extras.free_s:
        yield words(mark("%(seconds)s s free"), seconds=words.number(extras.free_s))
    if extras.max_charge_micros is not None:
        yield words(mark("at most %(amount)s a call"), amount=words.price(fare.most_nanos, currency))
