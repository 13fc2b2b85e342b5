"""The poster of tariffs of a shop: every destination with its price and that of the least call, tax and all, to print.

It is made of the deck that is in force and by the arithmetic that bills are made with; a deck with windows has a line
for each of them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel.dates import format_date
from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

from sipshop.billing.fares import Fare, fares
from sipshop.console.pages.countries import country_of
from sipshop.console.pages.door import Member, SignedIn
from sipshop.console.pages.frame import Frame
from sipshop.console.pages.words import LANGUAGES, SOURCE, Words, mark, span, words
from sipshop.console.paper.poster import Poster, PosterGroup, PosterRow, Size
from sipshop.console.places import plain
from sipshop.switch import PriceList

#: More lines than this are no poster.
MOST_LINES: Final = 5000


def poster_of(prices: PriceList, told: Words, size: Size) -> Poster:
    """Word a poster; raises HTTPException (422) for a deck with so many destinations that it is a book."""
    listed = fares(prices.deck, prices.charged, prices.at_ms, group=country_of, all_windows=True)
    sold = [fare for fare in listed if fare.tariff is not None]
    if len(sold) > MOST_LINES:
        raise HTTPException(422, f"a poster has {MOST_LINES} lines at most, and this one would have {len(sold)}")
    seller = prices.seller
    lines = [seller.name, *seller.address]
    if seller.tax_id:
        lines.append(told(mark("Tax number %(number)s"), number=seller.tax_id))
    return Poster(
        language=told.language,
        is_rtl=told.direction == "rtl",
        size=size,
        title=told(mark("Tariffs")),
        about=told(mark("%(shop)s, prices of %(date)s"), shop=prices.shop.name, date=_date(prices, told)),
        seller=tuple(lines),
        columns=(
            told(mark("Destination")),
            told(mark("For the connection")),
            told(mark("A minute")),
            told(mark("Counted by")),
            told(mark("Minimum call")),
        ),
        groups=tuple(_groups(sold, prices, told)),
        notes=tuple(_notes(prices, told)),
    )


def _groups(sold: list[Fare], prices: PriceList, told: Words) -> Iterator[PosterGroup]:
    """The countries by their names, and last what is of none."""
    found: dict[str | None, list[Fare]] = defaultdict(list)
    for fare in sold:
        found[country_of(fare.prefixes[0])].append(fare)
    named = sorted((plain(told.country(code)), code) for code in found if code is not None)
    for _, code in named:
        yield PosterGroup(told.country(code), tuple(_rows(found[code], code, prices, told)))
    if None in found:
        yield PosterGroup(told(mark("Other networks")), tuple(_rows(found[None], None, prices, told)))


def _rows(sold: list[Fare], country: str | None, prices: PriceList, told: Words) -> Iterator[PosterRow]:
    names = set() if country is None else {plain(words(SOURCE).country(country)), plain(told.country(country))}
    for fare in sorted(sold, key=lambda each: (plain(each.destination) not in names, plain(each.destination))):
        name = "" if plain(fare.destination) in names else fare.destination
        yield PosterRow(
            " · ".join(filter(None, (name, fare.window))),
            tuple(_cells(fare, prices.shop.currency, told)),
        )


def _cells(fare: Fare, currency: str, told: Words) -> Iterator[str]:
    """The fee, the price of a minute, how it is counted, and what the least call costs."""
    yield told.price(fare.connect_fee_nanos, currency) if fare.connect_fee_nanos else "-"
    minutes: list[tuple[int, str]] = []
    counted: list[tuple[int, str]] = []
    for start_s, step in fare.terms:
        price, every = told.price(step.price_nanos, currency), told(mark("%(number)s s"), number=step.every_s)
        if not minutes or minutes[-1][1] != price:
            minutes.append((start_s, price))
        if not counted or counted[-1][1] != every:
            counted.append((start_s, every))
    yield _joined(minutes, told)
    match counted:
        case [(_, first), (start_s, then)] if start_s == fare.terms[0][1].every_s:
            yield told(mark("%(first)s, then %(next)s"), first=first, next=then)
        case _:
            yield _joined(counted, told)
    least = fare.minimum
    yield told.money(least.amount.micros, currency)


def _joined(steps: list[tuple[int, str]], told: Words) -> str:
    """What holds from each second on."""
    return "; ".join(
        what if start_s == 0 else told(mark("from %(time)s on %(what)s"), time=span(start_s * 1000), what=what)
        for start_s, what in steps
    )


def _notes(prices: PriceList, told: Words) -> Iterator[str]:
    """What has to be known to read the prices."""
    currency, tax = prices.shop.currency, prices.tax
    if tax is not None and tax.percent_ppm:
        yield told(
            mark("All prices in %(currency)s, with %(tax)s of %(percent)s%% in them."),
            currency=currency,
            tax=tax.name,
            percent=told.decimal(tax.percent),
        )
    else:
        yield told(mark("All prices in %(currency)s: what you pay."), currency=currency)
    yield told(
        mark("“Minimum call” is the price of the shortest call that is answered: the connection and the first step.")
    )
    yield told(mark("A call that is not answered costs nothing. Emergency calls are free."))
    for name, window in prices.deck.calendar.windows.items():
        yield f"{name}: {'; '.join(window.texts)} ({prices.deck.calendar.zone})"


def _date(prices: PriceList, told: Words) -> str:
    """The day of the prices, by the clocks of the shop."""
    at = datetime.fromtimestamp(prices.at_ms // 1000, UTC).astimezone(ZoneInfo(prices.zone))
    return format_date(at, "long", locale=told.language)


async def pdf_answer(prices: PriceList, told: Words, size: Size) -> Response:
    """The poster as a PDF; its name has no character that a header would need quoted."""
    content = await asyncio.to_thread(_pdf, prices, told, size)
    headers = {"Content-Disposition": f'inline; filename="tariffs-{told.language}-{size}.pdf"'}
    return Response(content, media_type="application/pdf", headers=headers)


def _pdf(prices: PriceList, told: Words, size: Size) -> bytes:
    from sipshop.console.paper.poster_pdf import poster_pdf  # noqa: PLC0415 - a server that prints none needs none of it

    return poster_pdf(poster_of(prices, told, size))


def add_poster(router: APIRouter, frame: Frame, desk: Any) -> None:
    """Add the poster as a page to print, and as a PDF."""

    def asked(request: Request, member: Member, shop: str) -> tuple[PriceList, Words, Size]:
        """The prices of a shop, in the language and on the paper that were chosen."""
        prices = desk.worlds.rates.prices(member.scope.tenant, member.scope.shop(shop))
        language, size = request.query_params.get("language"), request.query_params.get("size")
        told = words(language) if language in LANGUAGES else member.words
        return prices, told, Size(size) if size in set(Size) else Size.A4

    @router.get("/rates/{shop}/poster")
    async def show_poster(request: Request, member: SignedIn, shop: str) -> Response:
        """The poster, as it prints."""
        poster = await asyncio.to_thread(poster_of, *asked(request, member, shop))
        return frame.page(request, member.visitor, "poster.html", shop=shop, poster=poster, sizes=list(Size))

    @router.get("/rates/{shop}/poster.pdf")
    async def download_poster(request: Request, member: SignedIn, shop: str) -> Response:
        """The poster as a PDF."""
        return await pdf_answer(*asked(request, member, shop))
