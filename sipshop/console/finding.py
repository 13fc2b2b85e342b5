"""Finding what people ask the price of: a number, a prefix, a country or a city, in any language of the pages.

The index of a deck is made once, and holds for as long as the deck is in force; a question is a walk through it.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final

from sipshop.billing.deck import RateDeck
from sipshop.billing.fares import Fare, fares
from sipshop.billing.quote import E164_DIGITS
from sipshop.console.pages.countries import codes_of, country_of
from sipshop.console.places import City, begins, cities, countries, names_of, plain
from sipshop.proxy.numbers import BadNumber, NumberRules
from sipshop.switch import PriceList

#: So many lines are found; whoever wants others says more.
MOST: Final = 40
_MOST_CITIES: Final = 6
_MOST_GROUPS: Final = 10 * MOST
_MOST_PREFIXES: Final = 10 * MOST
_BETWEEN: Final = str.maketrans("", "", " -./()\N{NO-BREAK SPACE}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A line of the list of prices, and why it is an answer: its country, a city of it, or the number asked about."""

    fare: Fare
    country: str | None
    city: str = ""
    e164: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was found, the best first; `more` says that there is more of it, `emergency` that the number is one."""

    found: tuple[Found, ...] = ()
    more: bool = False
    emergency: bool = False


@dataclass(frozen=True, slots=True)
class _Group:
    """The rates of one destination in one country."""

    country: str | None
    destination: str
    name: str  # plain
    prefixes: tuple[str, ...]


class Index:
    """What the rates of a deck are found by."""

    def __init__(self, deck: RateDeck) -> None:
        groups: dict[tuple[str | None, str], dict[str, None]] = defaultdict(dict)
        for rate in deck.rates:
            groups[country_of(rate.prefix), rate.destination][rate.prefix] = None
        self.groups = tuple(
            _Group(country, name, plain(name), tuple(prefixes)) for (country, name), prefixes in groups.items()
        )
        self.prefixes = sorted({rate.prefix for rate in deck.rates})


class Finder:
    """Answers questions; each deck is looked through once."""

    def __init__(self) -> None:
        self._indexes: dict[tuple[str, str], tuple[RateDeck, Index]] = {}

    def find(self, prices: PriceList, text: str) -> Answer:
        """Answer what somebody typed; without a word nothing is found. May be called on a thread."""
        digits = _digits(text)
        if digits is not None and prices.shop.numbers.is_emergency(digits):
            return Answer(emergency=True)
        index = self._index(prices)
        found = _by_number(prices, index, digits) if digits is not None else _by_name(prices, index, text)
        lines: dict[tuple[str, ...], Found] = {}
        for each in found:
            lines.setdefault((each.fare.destination, each.fare.window or "", *each.fare.prefixes), each)
            if len(lines) > MOST:
                break
        return Answer(found=tuple(lines.values())[:MOST], more=len(lines) > MOST)

    def _index(self, prices: PriceList) -> Index:
        key = prices.shop.tenant, prices.deck.name
        known = self._indexes.get(key)
        if known is None or known[0] is not prices.deck:
            known = self._indexes[key] = prices.deck, Index(prices.deck)
        return known[1]


def _digits(text: str) -> str | None:
    """What was typed as a number, a plus before it kept; None where it is none."""
    bare = text.translate(_BETWEEN)
    plus, rest = ("+", bare[1:]) if bare.startswith("+") else ("", bare)
    if not rest or len(rest) > E164_DIGITS or not all(each.isdecimal() for each in rest):
        return None
    return plus + "".join(str(unicodedata.decimal(each)) for each in rest)


def _by_number(prices: PriceList, index: Index, digits: str) -> Iterator[Found]:
    """What a call to a number costs, and what numbers cost that begin so."""
    for e164 in _meant(prices.shop.numbers, digits):
        tariff = prices.deck.match(e164, prices.at_ms)
        if tariff is not None:
            yield from (
                Found(fare=fare, country=country_of(e164), e164=e164) for fare in _fares(prices, [tariff.rate.prefix])
            )
    for e164 in _meant(prices.shop.numbers, digits):
        place = bisect_left(index.prefixes, e164)
        some = index.prefixes[place : place + _MOST_PREFIXES]
        longer = [prefix for prefix in some if prefix.startswith(e164)]  # they are sorted
        yield from (Found(fare=fare, country=country_of(fare.prefixes[0])) for fare in _fares(prices, longer))


def _meant(numbers: NumberRules, digits: str) -> list[str]:
    """The numbers, or beginnings of numbers, that digits may be, as E.164 digits."""
    if digits.startswith("+"):
        return [digits[1:]] if digits[1:2] != "0" else []
    international = numbers.international_prefix
    if digits.startswith(international):
        rest = digits[len(international) :]
        return [rest] if rest and rest[0] != "0" else []
    meant = [] if digits[0] == "0" else [digits]
    with suppress(BadNumber):
        meant.append(numbers.to_e164(digits))
    return meant


def _by_name(prices: PriceList, index: Index, text: str) -> Iterator[Found]:
    """What is called so, the best first: a whole name, the beginning of one, a country, a city."""
    whole, words = plain(text), plain(text).split()
    if not words:
        return
    named = {country: place for place, country in enumerate(countries(text))}
    ranked = nsmallest(_MOST_GROUPS, _ranked(index, words, whole, named), key=lambda each: each[:3])
    seen = cities(text, _MOST_CITIES)
    is_country = any(whole in names_of(country) for country in named)
    if is_country or any(rank == 0 for rank, *_ in ranked):
        seen = [city for city in seen if plain(city.name) == whole]
    else:
        yield from (each for city in seen if plain(city.name) == whole for each in _in_city(prices, index, city))
    for *_, group in ranked:
        yield from (Found(fare=fare, country=group.country) for fare in _fares(prices, group.prefixes))
    listed = {group.country for *_, group in ranked}
    for country in named:
        if country not in listed:
            yield from _at(prices, country, codes_of(country))
    for city in seen:
        yield from _in_city(prices, index, city)


def _ranked(
    index: Index, words: list[str], whole: str, named: dict[str, int]
) -> Iterator[tuple[int, int, str, _Group]]:
    """The destinations of which each word begins a word of their name, or of a name of their country."""
    left: dict[str | None, list[str]] = {}  # the words that no name of a country has
    for group in index.groups:
        if group.country not in left:
            names = " ".join(names_of(group.country))
            left[group.country] = [word for word in words if not begins([word], names)]
        if begins(left[group.country], group.name):
            rank = 0 if group.name == whole else 1 if group.name.startswith(whole) else 2
            yield rank, named.get(group.country or "", len(named)), group.name, group


def _in_city(prices: PriceList, index: Index, city: City) -> Iterator[Found]:
    """What calls to a city cost, to its landlines if they are known; and then to the rest of its country."""
    yield from _at(prices, city.country, city.prefixes or codes_of(city.country), city.name)
    for group in index.groups:
        if group.country == city.country:
            yield from (Found(fare=fare, country=group.country) for fare in _fares(prices, group.prefixes))


def _at(prices: PriceList, country: str, prefixes: tuple[str, ...], city: str = "") -> Iterator[Found]:
    """The rates that numbers have which begin with these prefixes, whosever prefixes those of the rates are."""
    tariffs = (prices.deck.match(prefix, prices.at_ms) for prefix in prefixes)
    matched = dict.fromkeys(tariff.rate.prefix for tariff in tariffs if tariff is not None)
    yield from (Found(fare=fare, country=country, city=city) for fare in _fares(prices, matched))


def _fares(prices: PriceList, prefixes: Iterable[str]) -> list[Fare]:
    return fares(prices.deck, prices.charged, prices.at_ms, group=country_of, prefixes=prefixes)
