"""The currencies of a world: what one is in another (`fx:`), and where one has to become another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Final, NamedTuple

from sipshop.billing.fx import HOLDS_DAYS, PERCENT_PLACES, PPM, RATE_PLACES, FxTable, Pair
from sipshop.billing.money import check_currency, parse_scaled
from sipshop.billing.parties import Kind, Party
from sipshop.config import Section, shown
from sipshop.proxy.admission import Shop
from sipshop.proxy.routing import Route, Trunk

_PAIR: Final = re.compile(r"([A-Z]{3})/([A-Z]{3})")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOST_DAYS: Final = 36_525  # a rate that is fixed by law holds for a hundred years


def read_fx(top: Section) -> tuple[tuple[Pair, ...], bool]:
    """Read `fx:`, the pairs of currencies with their rates by day, and whether all of it is sound."""
    is_sound = True
    pairs: dict[frozenset[str], Pair] = {}
    lines: dict[frozenset[str], int] = {}
    for section in top.sections("fx", required=False):
        name = section.text("pair", check=_pair)
        rates = _rates(section)
        margin_ppm = section.number("margin", _margin, 0)
        holds_days = section.integer("holds_days", HOLDS_DAYS, low=1, high=_MOST_DAYS)
        section.end()
        both = frozenset(name.split("/"))
        if name and both in lines:
            section.fault("pair", f"these two currencies are already at line {lines[both]}; it serves both ways")
        lines.setdefault(both, section.line)
        is_sound = is_sound and section.sound
        if section.sound:
            base, quote = name.split("/")
            pairs[both] = Pair(base=base, quote=quote, rates=rates, margin_ppm=margin_ppm, holds_days=holds_days)
    return tuple(pairs.values()), is_sound


def _rates(section: Section) -> tuple[tuple[str, int], ...]:
    """Read `rates:`, a table of days and what one of the first currency is in the second from each on."""
    table = section.section("rates")
    if table is None:
        return ()
    rates = {day: table.number(day, _rate) for day in table.names()}
    for day in rates:
        if not _is_day(day):
            table.fault(day, f"{shown(day)} is not a day such as 2026-11-22")
    if not rates:
        section.fault("rates", "has no rates: give one, such as 2026-11-22")
    section.sound = section.sound and table.sound
    return tuple(sorted(rates.items()))


class Exchange(NamedTuple):
    """Where money of a currency becomes money of another: at the deck or the account of a thing of the world."""

    kind: str
    name: str
    key: str
    currency: str
    other: str
    why: str

    @property
    def fault(self) -> str:
        """What is told where there is no rate for it."""
        return f"{self.why}: say under `fx` what {self.currency} is in {self.other}"


def missing_rates(
    fx: Iterable[Pair],
    *,
    parties: Sequence[Party],
    shops: Iterable[Shop],
    trunks: Sequence[Trunk],
    routes: Iterable[Route],
    decks: Mapping[str, str],
    accounts: Mapping[str, str],
) -> Iterator[Exchange]:
    """Yield every exchange for which there is no rate at all.

    `decks` and `accounts` are the currencies of decks, and of parties with those above them. What is not there, or of
    no currency, is passed over: that is told already.
    """
    table = FxTable(fx)
    exchanges = (
        *_of_parties(parties, decks, accounts),
        *_of_shops(shops, decks, accounts),
        *_of_trunks(parties, trunks, routes, decks, accounts),
    )
    told: set[tuple[str, str]] = set()
    for each in exchanges:
        is_known = bool(each.currency) and bool(each.other)
        if is_known and not table.has(each.currency, each.other) and (each.kind, each.name) not in told:
            told.add((each.kind, each.name))
            yield each


def _of_parties(parties: Iterable[Party], decks: Mapping[str, str], accounts: Mapping[str, str]) -> Iterator[Exchange]:
    for party in parties:
        deck, account = decks.get(party.deck or "", ""), accounts.get(party.name, "")
        why = f"deck {shown(party.deck or '')} is in {deck}, the account of {party.name} in {account}"
        yield Exchange("party", party.name, "deck", deck, account, why)
        sellers = accounts.get(party.parent or "", "")  # none is the provider's: he buys in what he is paid in
        why = f"{party.name} pays in {account}, and {party.parent} buys in {sellers}"
        yield Exchange("party", party.name, "deck", account, sellers, why)


def _of_shops(shops: Iterable[Shop], decks: Mapping[str, str], accounts: Mapping[str, str]) -> Iterator[Exchange]:
    for shop in shops:
        deck, owners = decks.get(shop.deck, ""), accounts.get(shop.owner, "")
        why = f"deck {shown(shop.deck)} is in {deck}, the till of {shop.name} in {shop.currency}"
        yield Exchange("shop", shop.name, "deck", deck, shop.currency, why)
        why = f"customers of {shop.name} pay in {shop.currency}, and {shop.owner} buys in {owners}"
        yield Exchange("shop", shop.name, "deck", shop.currency, owners, why)


def _of_trunks(
    parties: Iterable[Party],
    trunks: Iterable[Trunk],
    routes: Iterable[Route],
    decks: Mapping[str, str],
    accounts: Mapping[str, str],
) -> Iterator[Exchange]:
    by_name = {party.name: party for party in parties}
    for owner, trunk in _reached(by_name.values(), trunks, routes):
        first = _first_buyer(owner, by_name)
        if first is not None:
            sold, paid = decks.get(trunk.deck, ""), accounts.get(first.name, "")
            why = f"trunk {trunk.name} sells in {sold}, and calls of {owner.name} reach it that are paid in {paid}"
            yield Exchange("trunk", trunk.name, "deck", sold, paid, why)


def _first_buyer(owner: Party, parties: Mapping[str, Party]) -> Party | None:
    """The one in an owner's chain to whom the provider sells; None in a broken chain, which is told already."""
    party: Party | None = owner
    for _ in parties:
        above = parties.get(party.parent or "") if party is not None else None
        if above is None or above.kind is Kind.PROVIDER:
            return party if above is not None else None
        party = above
    return None


def _reached(
    parties: Iterable[Party], trunks: Iterable[Trunk], routes: Iterable[Route]
) -> Iterator[tuple[Party, Trunk]]:
    """Yield each owner with each trunk that a call of his may take; a name that is not there is passed over."""
    by_trunk = {trunk.name: trunk for trunk in trunks}
    by_name = {party.name: party for party in parties}
    by_party: dict[str, list[Route]] = {}
    for route in routes:
        by_party.setdefault(route.party, []).append(route)
    below: dict[str, list[Trunk]] = {}  # the trunks of all owners below one party, which are the same
    for owner in by_name.values():
        if owner.kind is Kind.OWNER and owner.deck is not None:
            seller = owner.parent or ""
            if seller not in below:
                names = {name: None for route in _reachable(seller, by_name, by_party) for name, _, _ in route.choices}
                below[seller] = [by_trunk[name] for name in names if name in by_trunk]
            yield from ((owner, trunk) for trunk in below[seller])


def _reachable(seller: str, parties: Mapping[str, Party], routes: Mapping[str, Sequence[Route]]) -> Iterator[Route]:
    """Yield the routes that a call below this party may take: those that no route of a nearer one stands before."""
    nearer: set[str] = set()
    passed: set[str] = set()
    party = parties.get(seller)
    while party is not None and party.name not in passed:  # a circle is told already
        passed.add(party.name)
        own = routes.get(party.name, ())
        yield from (route for route in own if not _prefixes(route.prefix) & nearer)
        nearer.update(route.prefix for route in own)
        party = parties.get(party.parent or "")


def _prefixes(digits: str) -> set[str]:
    """Return everything that these digits begin with, nothing and all of them included."""
    return {digits[:length] for length in range(len(digits) + 1)}


def _pair(text: str) -> str:
    found = _PAIR.fullmatch(text)
    if found is None:
        raise ValueError(f"{shown(text)} is not a pair of currencies such as EUR/XOF: what one EUR is in XOF")
    if check_currency(found[1]) == check_currency(found[2]):
        raise ValueError(f"{text} is one currency: a pair is of two")
    return text


def _rate(text: str) -> int:
    nanos = parse_scaled(text, RATE_PLACES)
    if nanos <= 0:
        raise ValueError(f"a rate is more than nothing, not {shown(text)}")
    return nanos


def _margin(text: str) -> int:
    ppm = parse_scaled(text, PERCENT_PLACES)
    if not 0 <= ppm <= PPM:
        raise ValueError(f"must be a percentage from 0 to 100, not {shown(text)}")
    return ppm


def _is_day(text: str) -> bool:
    try:
        return _DAY.fullmatch(text) is not None and bool(date.fromisoformat(text))
    except ValueError:
        return False
