"""A world as the text that `read` takes: whoever applies what was exported changes nothing.

Passwords are masked. Every text stands in double quotes with JSON's escapes, which are YAML's too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sipshop.billing.cdr import utc_text
from sipshop.billing.counter import Counter
from sipshop.billing.deck import (
    NO_EXTRAS,
    ChangePolicy,
    Extras,
    IncrementRule,
    Rate,
    RateDeck,
    Step,
    WindowPolicy,
)
from sipshop.billing.fx import HOLDS_DAYS, PERCENT_PLACES, RATE_PLACES, Pair
from sipshop.billing.guard import PPM, WARN_OF_LOSSES, LossGuard
from sipshop.billing.invoice import Letterhead
from sipshop.billing.limits import Place, Subject
from sipshop.billing.money import amount_text, format_micros, format_nanos, format_scaled
from sipshop.billing.parties import Kind, Party
from sipshop.billing.receipt import Seller
from sipshop.billing.tax import Tax
from sipshop.proxy.admission import Auth, Booth, Inbound, Shop
from sipshop.proxy.routing import Route, Trunk
from sipshop.world.agreements import agreement
from sipshop.world.limits import written
from sipshop.world.model import MASK, Opening, Operator, Sold, World

Value = str | int | bool
"""What stands behind a key: a text is quoted, the rest is not; a `_Raw` is written already."""


class _Raw(str):
    """A value that is YAML already."""

    __slots__ = ()


def _comment(text: str) -> str:
    """A text in a comment: what does not print would end its line."""
    return f"'{text}'" if text.isprintable() else ascii(text)


def export_world(world: World) -> str:
    """Return the text of a world, with a mask where a password is."""
    return "".join(f"{line}\n" for line in _lines(world))


def _lines(world: World) -> Iterator[str]:
    yield f'# The world of {_comment(world.tenant)}. "{MASK}" stands for a password that stays as it is.'
    (provider,) = (party for party in world.parties if party.kind is Kind.PROVIDER)
    letterheads = {letterhead.party: letterhead for letterhead in world.letterheads}
    watched = _Watched(world)
    about = {
        "name": provider.name,
        **_guard(provider.guard),
        **_letterhead(letterheads.get(provider.name)),
        **watched.of_party(provider),
    }
    yield f"provider: {_table(about)}"
    openings = {opening.party: opening for opening in world.openings}
    currencies = {deck.name: deck.currency for deck in world.decks}
    taxes = {(terms.sold, terms.place): terms.tax for terms in world.taxes}
    for key, kind in (("resellers", Kind.RESELLER), ("owners", Kind.OWNER)):
        of_kind = [party for party in world.parties if party.kind is kind]
        told = (
            (
                one,
                _party(
                    one, openings[one.name], currencies, taxes.get((Sold.TO_PARTY, one.name)), letterheads.get(one.name)
                ),
            )
            for one in of_kind
        )
        yield from _list(key, ({**keys, **watched.of_party(one)} for one, keys in told))
    yield from _listed("decks", (_deck(deck, is_imported=deck.name in world.imported) for deck in world.decks))
    yield from _list("trunks", map(_trunk, world.trunks))
    yield from _list("routes", map(_route, world.routes))
    booths: dict[str, list[Booth]] = {}
    for booth in world.booths:
        booths.setdefault(booth.shop, []).append(booth)
    counters = {counter.shop: counter for counter in world.counters}
    of_shops = (
        (
            *(shop, booths.get(shop.name, ()), currencies, watched),
            {**_tax(taxes.get((Sold.IN_SHOP, shop.name))), **_desk(counters.get(shop.name))},
        )
        for shop in world.shops
    )
    yield from _listed("shops", (_shop(*each) for each in of_shops))
    yield from _list("operators", map(_operator, world.operators))
    yield from _list("fx", map(_fx, world.fx))


class _Watched:
    """The limits of a world, as they are written beside whom they are for."""

    def __init__(self, world: World) -> None:
        self._limits = {limits.subject: limits for limits in world.limits}
        self._parents = {party.name: party.parent or party.name for party in world.parties}
        self._tenant = world.tenant

    def of(self, subject: Subject, party: str) -> Mapping[str, Value]:
        """The keys of what is watched of a subject, whose party this is."""
        limits = self._limits.get(subject)
        if limits is None:
            return {}
        texts = written(limits, (party, self._parents[party], self._tenant), _table, _texts)
        return {key: _Raw(text) for key, text in texts.items()}

    def of_party(self, party: Party) -> Mapping[str, Value]:
        """The keys of what is watched of a party."""
        return self.of(Subject(Place.PARTY, party.name), party.name)


def _party(
    party: Party, opening: Opening, decks: Mapping[str, str], tax: Tax | None, letterhead: Letterhead | None
) -> Mapping[str, Value]:
    limit = opening.credit_limit_micros
    return {
        "name": party.name,
        "parent": party.parent or "",
        "deck": party.deck or "",
        **({"currency": opening.currency} if opening.currency != decks.get(party.deck or "") else {}),
        **({"unlimited": True} if limit is None else {"credit_limit": amount_text(limit, opening.currency)}),
        **({"opening": amount_text(opening.opening_micros, opening.currency)} if opening.opening_micros else {}),
        **({"suspended": True} if party.suspended else {}),
        **_guard(party.guard),
        **_tax(tax),
        **_letterhead(letterhead),
    }


def _letterhead(known: Letterhead | None) -> Mapping[str, Value]:
    if known is None:
        return {}
    legal = _legal(known)
    invoices: dict[str, Value] = {"timezone": known.zone, "number": known.numbering, "due_days": known.due_days}
    return {"legal": _Raw(_table(legal)), "invoices": _Raw(_table(invoices))}


def _legal(known: Letterhead | Seller) -> dict[str, Value]:
    return {
        "name": known.name,
        **({"address": "\n".join(known.address)} if known.address else {}),
        **({"tax_id": known.tax_id} if known.tax_id else {}),
    }


def _tax(tax: Tax | None) -> Mapping[str, Value]:
    return {} if tax is None else {"tax": _Raw(_table(tax.to_json()))}


def _guard(guard: LossGuard) -> Mapping[str, Value]:
    if guard == WARN_OF_LOSSES:
        return {}
    percent = format_micros(guard.margin_ppm * (100 * 1_000_000 // PPM))
    table = _table({"action": guard.action.value, "margin": percent, "mean_s": guard.mean_s})
    return {"loss_guard": _Raw(table)}


def _deck(deck: RateDeck, *, is_imported: bool) -> Iterator[str]:
    rounding = _table({"mode": deck.rounding.mode.value, "places": deck.rounding.places})
    yield f"name: {_value(deck.name)}  # version {deck.version}"
    yield f"currency: {_value(deck.currency)}"
    yield f"round: {rounding}"
    yield f"duration_round: {_value(deck.duration_round.value)}"
    if deck.calendar.zone != "UTC":
        yield f"timezone: {_value(deck.calendar.zone)}"
    if deck.window_policy is not WindowPolicy.START:
        yield f"window_policy: {deck.window_policy.value}"
    if deck.change_policy is not ChangePolicy.FREEZE:
        yield f"change_policy: {deck.change_policy.value}"
    if deck.increment_rule is not IncrementRule.STANDARD:
        yield f"increment_rule: {deck.increment_rule.value}"
    if deck.calendar.windows:
        windows = (f"{_value(name)}: {_texts(window.texts)}" for name, window in deck.calendar.windows.items())
        yield f"windows: {{{', '.join(windows)}}}"
    if is_imported:
        yield "imported: true"
    else:
        yield from _list("rates", map(_rate, deck.rates))


def _rate(rate: Rate) -> Mapping[str, Value]:
    """A rate without what goes without saying: decks are long, and what is exported must not be too long to read."""
    name: Mapping[str, Value] = {"prefix": rate.prefix, "destination": rate.destination}
    fee, first, next_ = (
        format_nanos(nanos) for nanos in (rate.connect_fee_nanos, rate.first_price_nanos, rate.next_price_nanos)
    )
    increments: Mapping[str, Value] = {
        "first_s": rate.first_s,
        "first_price": first,
        "next_s": rate.next_s,
        **({"next_price": next_} if next_ != first else {}),
    }
    return {
        **name,
        **({"connect_fee": fee} if rate.connect_fee_nanos else {}),
        **({} if rate.extras.steps else increments),
        **_extras(rate.extras),
        **({"forbidden": True} if rate.forbidden else {}),
    }


def _extras(extras: Extras) -> Mapping[str, Value]:
    if extras is NO_EXTRAS:
        return {}
    kept: dict[str, Value] = extras.to_json()
    if extras.steps:
        kept["steps"] = _Raw(f"[{', '.join(map(_step, extras.steps))}]")
    for key in ("valid_from", "valid_to"):
        at_ms = kept.pop(f"{key}_ms", None)
        if isinstance(at_ms, int):
            kept[key] = utc_text(at_ms)
    return kept


def _step(step: Step) -> str:
    until: Mapping[str, Value] = {} if step.until_s is None else {"until_s": step.until_s}
    return _table({**until, "every_s": step.every_s, "price": format_nanos(step.price_nanos)})


def _trunk(trunk: Trunk) -> Mapping[str, Value]:
    caps = {"max_calls": trunk.max_calls, "cps": trunk.cps}
    return {
        "name": trunk.name,
        "carrier": trunk.carrier,
        "deck": trunk.deck,
        "host": trunk.host,
        **({"port": trunk.port} if trunk.port is not None else {}),
        **({"transport": trunk.transport} if trunk.transport else {}),
        "emergency": trunk.emergency,
        "answer_timeout_s": trunk.answer_timeout_s,
        "first_response_timeout_s": trunk.first_response_timeout_s,
        **{name: cap for name, cap in caps.items() if cap is not None},
        **({"disabled": True} if trunk.disabled else {}),
        **{key: _flow(value) for key, value in agreement(trunk).items()},
    }


def _flow(value: Any) -> Value:
    """A table or list in one line; anything else as it is."""
    match value:
        case dict():
            return _Raw(_table({key: _flow(each) for key, each in value.items()}))
        case list():
            return _Raw(f"[{', '.join(_value(_flow(each)) for each in value)}]")
        case str() | int():
            return value
        case _:
            raise AssertionError(f"{value!r} is not written down like this")


def _route(route: Route) -> Mapping[str, Value]:
    choices = (
        _table({"trunk": trunk, "priority": priority, "weight": weight}) for trunk, priority, weight in route.choices
    )
    return {"party": route.party, "prefix": route.prefix, "trunks": _Raw(f"[{', '.join(choices)}]")}


def _shop(
    shop: Shop,
    booths: Iterable[Booth],
    decks: Mapping[str, str],
    watched: _Watched,
    sells: Mapping[str, Value],
) -> Iterator[str]:
    """A shop; `sells` is how: its tax and its desk."""
    numbers = shop.numbers
    written: Mapping[str, Value] = {
        "name": shop.name,
        "owner": shop.owner,
        "deck": shop.deck,
        **({"currency": shop.currency} if shop.currency != decks.get(shop.deck) else {}),
        "country_code": numbers.country_code,
        "international_prefix": numbers.international_prefix,
        "national_prefix": numbers.national_prefix,
        "emergency": _texts(numbers.emergency),
        "realm": shop.realm,
        "digest": _texts(algorithm.value for algorithm in shop.digest),
        **({"caller_id": shop.caller_id} if shop.caller_id else {}),
        **({"inbound": shop.inbound.value} if shop.inbound is not Inbound.NEVER else {}),
        **({"inbound_numbers": _texts(shop.inbound_numbers)} if shop.inbound_numbers else {}),
        **({"transfer": True} if shop.transfer else {}),
        **sells,
        **watched.of(Subject(Place.SHOP, shop.name), shop.owner),
    }
    for key, value in written.items():
        yield f"{key}: {_value(value)}"
    of_booth = ((booth, watched.of(Subject(Place.BOOTH, booth.name), shop.owner)) for booth in booths)
    yield from _list("booths", ({**_booth(booth), **limits} for booth, limits in of_booth))


def _desk(counter: Counter | None) -> Mapping[str, Value]:
    """What a shop says of its desk, as it is written; what is left to the owner stays so."""
    if counter is None:
        return {}
    terms = counter.to_json()
    most_ppm = counter.discount_most_ppm
    desk: dict[str, Any] = {
        "cash_rounding": terms["rounding"],
        "goods": terms["goods"] or None,
        "legal": None if counter.seller is None else _legal(counter.seller),
        "timezone": counter.zone,
        "languages": terms["languages"],
        "discount_most_percent": None if most_ppm is None else format_scaled(most_ppm, PERCENT_PLACES, 0),
        "operators_may_void": counter.operators_may_void,
        "till": counter.till.value,
    }
    return {"desk": _flow({key: value for key, value in desk.items() if value is not None})}


def _booth(booth: Booth) -> Mapping[str, Value]:
    proof: Mapping[str, Value] = {"auth": "ip", "ip": booth.ip or ""} if booth.auth is Auth.IP else {"password": MASK}
    return {
        "name": booth.name,
        **proof,
        "calls": booth.calls,
        **({"disabled": True} if booth.disabled else {}),
        **({"caller_id": booth.caller_id} if booth.caller_id else {}),
        **({"inbound_numbers": _texts(booth.inbound_numbers)} if booth.inbound_numbers else {}),
    }


def _fx(pair: Pair) -> Mapping[str, Value]:
    rates = (f"{_value(day)}: {_value(format_scaled(nanos, RATE_PLACES, 0))}" for day, nanos in pair.rates)
    margin = format_scaled(pair.margin_ppm, PERCENT_PLACES, 0)
    return {
        "pair": pair.name,
        "rates": _Raw(f"{{{', '.join(rates)}}}"),
        **({"margin": margin} if pair.margin_ppm else {}),
        **({"holds_days": pair.holds_days} if pair.holds_days != HOLDS_DAYS else {}),
    }


def _operator(operator: Operator) -> Mapping[str, Value]:
    place = {"party": operator.party} if operator.shop is None else {"shop": operator.shop}
    return {
        "name": operator.name,
        "role": operator.role.value,
        **place,
        **({"suspended": True} if operator.suspended else {}),
    }


def _list(key: str, tables: Iterator[Mapping[str, Value]]) -> Iterator[str]:
    """A list of small tables, one on a line."""
    lines = [f"  - {_table(table)}" for table in tables]
    yield from (f"{key}:", *lines) if lines else (f"{key}: []",)


def _listed(key: str, blocks: Iterator[Iterator[str]]) -> Iterator[str]:
    """A list of tables of many lines."""
    lines: list[str] = []
    for block in blocks:
        first, *rest = block
        lines += [f"  - {first}", *(f"    {line}" for line in rest)]
    yield from (f"{key}:", *lines) if lines else (f"{key}: []",)


def _table(values: Mapping[str, Value]) -> str:
    return f"{{{', '.join(f'{key}: {_value(value)}' for key, value in values.items())}}}"


def _texts(values: Iterator[str] | tuple[str, ...]) -> _Raw:
    return _Raw(f"[{', '.join(map(_value, values))}]")


def _value(value: Value) -> str:
    match value:
        case _Raw():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case _:
            return json.dumps(value, ensure_ascii=False)
