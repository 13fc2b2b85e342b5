"""From the world that runs to the one that a text describes: what that changes, and what the world is afterwards.

What the text does not name stays as it is. With `prune` it goes: at once where it has no history, else it stays and
may do nothing more (parties are suspended, booths and trunks disabled). Decks stay: records name them and their
versions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from typing import Any, Final, Literal, Protocol, TypeVar

from sipshop.billing.cdr import utc_text
from sipshop.billing.deck import PERCENT_PLACES, Rate, RateDeck, Step
from sipshop.billing.fx import RATE_PLACES, Pair
from sipshop.billing.limits import Limits, Place, Subject
from sipshop.billing.money import Money, format_micros, format_nanos, format_scaled
from sipshop.billing.parties import Party
from sipshop.config import Problem
from sipshop.proxy.admission import Booth, Shop
from sipshop.proxy.routing import Route, Trunk
from sipshop.world.model import Opening, Sold, TaxTerms, World, WorldErrors
from sipshop.world.read import exchanges_missing, parse_world

#: A changed deck is told rate by rate up to so many of them.
RATES_TOLD: Final = 20

#: What fields are called in a world where they are kept in another unit.
_WRITTEN: Final = {
    "surcharge_ppm": "surcharge_percent",
    "percent_ppm": "percent",
    "margin_ppm": "margin",
    "discount_most_ppm": "discount_most_percent",
    "valid_from_ms": "valid_from",
    "valid_to_ms": "valid_to",
}

T = TypeVar("T")

#: What a world is made of, as changes are told.
Kind = Literal[
    "party", "deck", "trunk", "route", "shop", "booth", "fx", "tax", "letterhead", "desk", "operator", "limits"
]


class Action(StrEnum):
    """What becomes of a thing."""

    ADD = "add"
    CHANGE = "change"
    SUSPEND = "suspend"
    DISABLE = "disable"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that becomes another; `details` are for people and name no secret."""

    action: Action
    kind: Kind
    name: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The names of what is in the books, or has a live call, and so cannot be removed.

    `versions` are the greatest numbers that versions of decks were given, `scheduled` the decks of which a version is
    to come into force, with that instant in UTC.
    """

    parties: frozenset[str] = frozenset()
    shops: frozenset[str] = frozenset()
    booths: frozenset[str] = frozenset()
    trunks: frozenset[str] = frozenset()
    versions: Mapping[str, int] = field(default_factory=dict)
    scheduled: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A change of a world from `before` to `after`.

    `postings` are the amounts that are paid in by it, once for an account. `absent` counts by kind what the text does
    not name and what stays as it is all the same.
    """

    before: World
    after: World
    changes: tuple[Change, ...]
    postings: tuple[Opening, ...]
    absent: tuple[tuple[str, int], ...]

    @property
    def new_limits(self) -> tuple[Opening, ...]:
        """The accounts that are there already and get another credit limit."""
        before = {opening.party: opening for opening in self.before.openings}
        return tuple(
            opening
            for opening in self.after.openings
            if opening.party in before and opening.credit_limit_micros != before[opening.party].credit_limit_micros
        )

    @property
    def new_accounts(self) -> tuple[tuple[Party, Opening], ...]:
        """The parties that get an account, each with how it begins."""
        known = {party.name for party in self.before.parties}
        openings = {opening.party: opening for opening in self.after.openings}
        return tuple((party, openings[party.name]) for party in self.after.parties if party.name not in known)

    @property
    def disabled_booths(self) -> tuple[str, ...]:
        """The booths that nobody is let in as from now on; those that are removed had nobody in them."""
        enabled = {booth.name for booth in self.before.booths if not booth.disabled}
        return tuple(booth.name for booth in self.after.booths if booth.disabled and booth.name in enabled)

    @property
    def opened_booths(self) -> tuple[str, ...]:
        """The new booths whose text unlocks them at once."""
        known = {booth.name for booth in self.before.booths}
        return tuple(booth.name for booth in self.after.booths if booth.name in self.after.open_booths - known)


def plan_world(text: str, filename: str, before: World, *, history: History, prune: bool) -> Plan:
    """Work out what a text makes of the world `before`; `history` is looked at for `prune` alone.

    Raises:
        WorldErrors: the text is wrong, or does not fit what stays as it is; nothing is to be done then.
    """
    wanted = parse_world(text, filename, onto=before)
    merged, absent = _merged(before, wanted, history, prune=prune)
    told = (*_faults(merged), *_scheduled(before, merged, history))
    faults = [Problem(filename, 1, "", fault) for fault in told]
    if faults:
        raise WorldErrors(faults)
    changes = tuple(_changes(before, merged))
    posted = {opening.party: opening.opening_micros for opening in before.openings}
    postings = tuple(opening for opening in merged.openings if opening.opening_micros and not posted.get(opening.party))
    return Plan(before=before, after=merged, changes=changes, postings=postings, absent=absent)


# Together.


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Absent = tuple[tuple[str, int], ...]


def _merged(before: World, wanted: World, history: History, *, prune: bool) -> tuple[World, Absent]:
    """Put what is wanted first, in its order, and after it what stays of the rest; and count what stays untouched."""
    booths, shops, parties = _left(before, wanted, history, prune=prune)
    trunks = _others(before.trunks, wanted.trunks, _by_name)
    routes = _others(before.routes, wanted.routes, _route_key)
    operators = _others(before.operators, wanted.operators, _by_name)
    decks = _others(before.decks, wanted.decks, _by_name)
    pairs = [pair for pair in before.fx if _currencies(pair) not in set(map(_currencies, wanted.fx))]
    if prune:
        trunks = [replace(trunk, disabled=True) for trunk in trunks if trunk.name in history.trunks]
        routes, operators, pairs = [], [], []
    kept, kept_shops = {party.name for party in parties}, {shop.name for shop in shops}
    merged = World(
        tenant=before.tenant,
        parties=(*wanted.parties, *parties),
        shops=(*wanted.shops, *shops),
        booths=(*wanted.booths, *booths),
        decks=(*_versioned(before.decks, wanted.decks, history.versions), *decks),
        trunks=(*wanted.trunks, *trunks),
        routes=(*wanted.routes, *routes),
        open_booths=wanted.open_booths,
        openings=(*wanted.openings, *(opening for opening in before.openings if opening.party in kept)),
        operators=(*wanted.operators, *operators),
        taxes=(*wanted.taxes, *_other_taxes(before, shops, parties)),
        fx=(*wanted.fx, *pairs),
        limits=(*wanted.limits, *_limits_left(before, parties, shops, booths)),
        letterheads=(*wanted.letterheads, *(known for known in before.letterheads if known.party in kept)),
        counters=(*wanted.counters, *(counter for counter in before.counters if counter.shop in kept_shops)),
        imported=wanted.imported | {deck.name for deck in decks if deck.name in before.imported},
    )
    rest: dict[str, Sequence[object]] = {
        "party": parties,
        "shop": shops,
        "booth": booths,
        "deck": decks,
        "trunk": trunks,
        "route": routes,
        "operator": operators,
        "fx": pairs,
    }
    return merged, tuple((kind, len(things)) for kind, things in rest.items() if things)


def _left(
    before: World, wanted: World, history: History, *, prune: bool
) -> tuple[list[Booth], list[Shop], list[Party]]:
    """Return what stays of the booths, shops and parties that the text does not name."""
    booths = _others(before.booths, wanted.booths, _by_name)
    shops = _others(before.shops, wanted.shops, _by_name)
    parties = _others(before.parties, wanted.parties, _by_name)
    if not prune:
        return booths, shops, parties
    booths = [replace(booth, disabled=True) for booth in booths if booth.name in history.booths]
    needed = history.shops | {booth.shop for booth in booths}
    shops = [shop for shop in shops if shop.name in needed]
    needed_parties = {party.name for party in parties} & (history.parties | {shop.owner for shop in shops})
    parents = {party.name: party.parent for party in before.parties}
    for name in tuple(needed_parties):
        above = parents[name]
        while above is not None and above not in needed_parties:
            needed_parties.add(above)
            above = parents[above]
    stopped = (replace(party, suspender=party.suspender or before.tenant) for party in parties)
    return booths, shops, [party for party in stopped if party.name in needed_parties]


def _other_taxes(before: World, shops: Iterable[Shop], parties: Iterable[Party]) -> Iterator[TaxTerms]:
    """Yield the taxes of the shops and parties that stay beside those of the text."""
    stay = {(Sold.IN_SHOP, shop.name) for shop in shops} | {(Sold.TO_PARTY, party.name) for party in parties}
    yield from (terms for terms in before.taxes if (terms.sold, terms.place) in stay)


def _limits_left(
    before: World, parties: Iterable[Party], shops: Iterable[Shop], booths: Iterable[Booth]
) -> Iterator[Limits]:
    """Give the limits of those who stay although the text does not name them."""
    left = {Subject(Place.PARTY, party.name) for party in parties}
    left |= {Subject(Place.SHOP, shop.name) for shop in shops}
    left |= {Subject(Place.BOOTH, booth.name) for booth in booths}
    yield from (limits for limits in before.limits if limits.subject in left)


def _versioned(before: Iterable[RateDeck], wanted: Iterable[RateDeck], given: Mapping[str, int]) -> Iterator[RateDeck]:
    """Give a deck that changed a version that none had; one that did not stays the one that is there."""
    known = {deck.name: deck for deck in before}
    for deck in wanted:
        old = known.get(deck.name)
        if old is None:
            yield deck
        elif _same_deck(old, deck):
            yield old
        else:
            yield deck.renewed(max(old.version, given.get(deck.name, 0)) + 1)


def _same_deck(one: RateDeck, other: RateDeck) -> bool:
    return one.renewed(other.version) == other


def _others(before: Iterable[T], wanted: Iterable[T], key: Callable[[T], str]) -> list[T]:
    named = {key(thing) for thing in wanted}
    return [thing for thing in before if key(thing) not in named]


def _by_name(thing: _Named) -> str:
    return thing.name


def _currencies(pair: Pair) -> frozenset[str]:
    return frozenset((pair.base, pair.quote))


def _route_key(route: Route) -> str:
    return f"{route.party}: {route.prefix or 'any number'}"


def _faults(world: World) -> Iterator[str]:
    """Tell what does not fit together of what the text says and what stays beside it."""
    yield from (exchange.fault for exchange in exchanges_missing(world))
    lists: dict[str, Shop] = {}
    for shop in world.shops:
        other = lists.setdefault(shop.realm, shop)
        if other.digest != shop.digest:
            yield f"shops {other.name} and {shop.name} have one realm, but other lists of digest algorithms"
    yield from _rung_twice(world)
    if not any(trunk.emergency and not trunk.disabled for trunk in world.trunks):
        for shop in world.shops:
            if shop.numbers.emergency:
                yield f"no trunk has `emergency: true`, but shop {shop.name} has emergency numbers"


def _scheduled(before: World, after: World, history: History) -> Iterator[str]:
    """Tell of a deck that would change, though a version of it waits that was made from the one before."""
    versions = {deck.name: deck.version for deck in before.decks}
    for deck in after.decks:
        at_ms = history.scheduled.get(deck.name)
        if at_ms is not None and deck.version != versions.get(deck.name):
            yield f"deck {deck.name} would change, but a version of it waits for {utc_text(at_ms)}: discard that first"


def _rung_twice(world: World) -> Iterator[str]:
    """Tell of a number that would ring two: one in the text, one that stays beside it."""
    numbers = [(f"shop {shop.name}", number) for shop in world.shops for number in shop.inbound_numbers]
    numbers += [(f"booth {booth.name}", number) for booth in world.booths for number in booth.inbound_numbers]
    rung: dict[str, str] = {}
    for name, number in numbers:
        other = rung.setdefault(number, name)
        if other != name:
            yield f"inbound number {number} would ring {other} and {name}"


# What is another.


def _changes(before: World, after: World) -> Iterator[Change]:
    yield from _decks(before.decks, after.decks)
    yield from _parties(before, after)
    yield from _things("trunk", before.trunks, after.trunks, _by_name)
    yield from _order(before.trunks, after.trunks)
    yield from _things("route", before.routes, after.routes, _route_key)
    yield from _things("shop", before.shops, after.shops, _by_name)
    yield from _things("booth", before.booths, after.booths, _by_name)
    yield from _things("fx", before.fx, after.fx, _by_name)
    yield from _things("tax", before.taxes, after.taxes, _by_name)
    yield from _things("letterhead", before.letterheads, after.letterheads, lambda letterhead: letterhead.party)
    yield from _things("desk", before.counters, after.counters, lambda counter: counter.shop)
    yield from _things("operator", before.operators, after.operators, _by_name)
    yield from _things("limits", before.limits, after.limits, lambda limits: str(limits.subject))


def _things(kind: Kind, before: Iterable[T], after: Iterable[T], key: Callable[[T], str]) -> Iterator[Change]:
    old, new = ({key(thing): thing for thing in things} for things in (before, after))
    for name, thing in new.items():
        if name not in old:
            yield Change(action=Action.ADD, kind=kind, name=name)
        elif thing != old[name]:
            is_out = getattr(thing, "disabled", False) and not getattr(old[name], "disabled", False)
            action = Action.DISABLE if is_out else Action.CHANGE
            yield Change(action=action, kind=kind, name=name, details=tuple(_details(old[name], thing)))
    yield from (Change(action=Action.REMOVE, kind=kind, name=name) for name in old if name not in new)


def _order(before: Sequence[Trunk], after: Sequence[Trunk]) -> Iterator[Change]:
    """Emergency calls try the trunks in the order of the world."""
    known = {trunk.name for trunk in before}
    stayed = {trunk.name for trunk in after} & known
    old, new = ([trunk.name for trunk in trunks if trunk.name in stayed] for trunks in (before, after))
    if old != new:
        details = (f"{', '.join(old)} -> {', '.join(new)}",)
        yield Change(action=Action.CHANGE, kind="trunk", name="order for emergency calls", details=details)


def _parties(before: World, after: World) -> Iterator[Change]:
    old, new = ({party.name: party for party in world.parties} for world in (before, after))
    old_openings, new_openings = ({opening.party: opening for opening in w.openings} for w in (before, after))
    for name, party in new.items():
        opening, known = new_openings.get(name), old_openings.get(name)
        if name not in old:
            yield Change(action=Action.ADD, kind="party", name=name, details=tuple(_account(None, opening)))
            continue
        details = (*_details(old[name], party), *_account(known, opening))
        if details:
            is_out = party.suspended and not old[name].suspended
            yield Change(
                action=Action.SUSPEND if is_out else Action.CHANGE, kind="party", name=name, details=tuple(details)
            )
    yield from (Change(action=Action.REMOVE, kind="party", name=name) for name in old if name not in new)


def _account(before: Opening | None, after: Opening | None) -> Iterator[str]:
    if after is None:
        return
    if before is None or before.credit_limit_micros != after.credit_limit_micros:
        limit = _limit(after)
        yield f"credit_limit {limit}" if before is None else f"credit_limit {_limit(before)} -> {limit}"
    if after.opening_micros and not (before is not None and before.opening_micros):
        yield f"opening {Money(after.opening_micros, after.currency)} is posted"


def _limit(opening: Opening) -> str:
    micros = opening.credit_limit_micros
    return "unlimited" if micros is None else str(Money(micros, opening.currency))


def _decks(before: Iterable[RateDeck], after: Iterable[RateDeck]) -> Iterator[Change]:
    old, new = ({deck.name: deck for deck in decks} for decks in (before, after))
    for name, deck in new.items():
        known = old.get(name)
        if known is None:
            yield Change(action=Action.ADD, kind="deck", name=name, details=(f"{len(deck.rates)} rates",))
        elif deck is not known and deck != known:
            details = (f"version {known.version} -> {deck.version}", *_header(known, deck), *_rates(known, deck))
            yield Change(action=Action.CHANGE, kind="deck", name=name, details=details)


def _header(old: RateDeck, new: RateDeck) -> Iterator[str]:
    for label, was, now in (("round", old.rounding, new.rounding),):
        if was != now:
            yield f"{label} {was.mode} {was.places} -> {now.mode} {now.places}"
    for key in ("duration_round", "window_policy", "change_policy", "increment_rule"):
        was_, now_ = getattr(old, key), getattr(new, key)
        if was_ != now_:
            yield f"{key} {was_} -> {now_}"
    if old.calendar.zone != new.calendar.zone:
        yield f"timezone {old.calendar.zone} -> {new.calendar.zone}"
    names = {**old.calendar.windows, **new.calendar.windows}
    for name in names:
        before, after = (deck.calendar.windows.get(name) for deck in (old, new))
        if before != after:
            shown = (" and ".join(window.texts) if window is not None else "none" for window in (before, after))
            yield f"window {name} {' -> '.join(shown)}"


def _rates(old: RateDeck, new: RateDeck) -> Iterator[str]:
    was, now = ({_rate_key(rate): rate for rate in deck.rates} for deck in (old, new))
    told = [
        *(f"+ {_rate(rate)}" for key, rate in now.items() if key not in was),
        *(
            f"~ {rate.prefix} {rate.destination}: {', '.join(_details(was[key], rate))}"
            for key, rate in now.items()
            if key in was and rate != was[key]
        ),
        *(f"- {_rate(rate)}" for key, rate in was.items() if key not in now),
    ]
    if not told and old.rates != new.rates:
        yield "the rates stand in another order"
    yield from told[:RATES_TOLD]
    if len(told) > RATES_TOLD:
        yield f"and {len(told) - RATES_TOLD} rates more"


def _rate_key(rate: Rate) -> tuple[str, str | None, int | None]:
    """What tells a rate of a deck from the others."""
    return rate.prefix, rate.extras.window, rate.extras.valid_from_ms


def _rate(rate: Rate) -> str:
    if rate.forbidden:
        return f"{rate.prefix} {rate.destination}: forbidden"
    price = f"{format_nanos(rate.first_price_nanos)} a minute, {rate.first_s}/{rate.next_s}"
    return f"{rate.prefix} {rate.destination}: {price}"


def _details(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Tell field by field what differs in two values of one class."""
    for each in fields(new):
        was, now = getattr(old, each.name), getattr(new, each.name)
        if was == now:
            continue
        if each.name in {"ha1", "password"}:
            yield f"{path}password"
        elif isinstance(new, Pair) and each.name == "rates":
            yield from _fx_rates(dict(was), dict(now))
        elif each.name == "suspender":
            yield f"suspended {_shown('', old.suspended)} -> {_shown('', new.suspended)}"
        elif is_dataclass(now) and not isinstance(now, type) and type(was) is type(now):
            yield from _details(was, now, f"{path}{each.name}.")
        else:
            name = _WRITTEN.get(each.name, each.name.removesuffix("_nanos").removesuffix("_micros"))
            yield f"{path}{name} {_shown(each.name, was)} -> {_shown(each.name, now)}"


def _fx_rates(was: Mapping[str, int], now: Mapping[str, int]) -> Iterator[str]:
    """Tell the days whose rate is new, another or gone."""
    days = [day for day in sorted({**was, **now}) if was.get(day) != now.get(day)]
    for day in days[:RATES_TOLD]:
        told = (format_scaled(rates[day], RATE_PLACES, 0) if day in rates else "none" for rates in (was, now))
        yield f"{day}: {' -> '.join(told)}"
    if len(days) > RATES_TOLD:
        yield f"and {len(days) - RATES_TOLD} days more"


def _shown(name: str, value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case int() if name.endswith("_nanos"):
            return format_nanos(value)
        case int() if name.endswith("_micros"):
            return format_micros(value)
        case int() if name in {"surcharge_ppm", "percent_ppm", "margin_ppm", "discount_most_ppm"}:
            return format_scaled(value, PERCENT_PLACES, 0)
        case int() if name.startswith("valid_"):
            return utc_text(value)
        case Step():
            until = "" if value.until_s is None else f"to {value.until_s} s "
            return f"{until}every {value.every_s} s {format_nanos(value.price_nanos)}"
        case tuple():
            return ", ".join(_choice(each) for each in value) or "none"
        case _:
            return str(value)


def _choice(value: object) -> str:
    """One of a list: a text, a step of a rate, an address with its port, or a trunk of a route with what it says."""
    match value:
        case Step():
            return _shown("", value)
        case (trunk, priority, weight):
            return f"{trunk} (priority {priority}, weight {weight})"
        case (host, None):
            return str(host)
        case (host, port):
            return f"{host} port {port}"
        case _:
            return str(value)
