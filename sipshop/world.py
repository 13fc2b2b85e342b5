"""A world: everything a provider sets up, from one YAML text to frozen values, or all its errors at once.

conf/demo.yaml explains every key. Passwords go no further than this module: a booth carries their digest hashes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from typing import Final

from sipshop.billing.deck import DurationRound, Rate, RateDeck
from sipshop.billing.money import Rounding, RoundMode, check_currency, minor_unit_places, parse_price
from sipshop.billing.parties import Kind, Party, party_faults
from sipshop.config import Problem, Problems, Section, nearest, read_yaml, shown
from sipshop.proxy.admission import Auth, Booth, Shop
from sipshop.proxy.numbers import NumberRules
from sipshop.proxy.routing import Route, Trunk
from sipshop.sip.digest import Algorithm, ha1

_NAME_LENGTH: Final = 64
_MAX_RANGE: Final = 10_000
_USER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RANGE: Final = re.compile(r"(.*?)([0-9]+)\.\.(.*?)([0-9]+)", re.DOTALL)
_REALM: Final = re.compile(r"[ !#-\[\]-~]{1,64}")  # what needs no escape in a quoted string, RFC 3261 section 25.1


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What one provider (`tenant`) has set up.

    The booth sessions of `open_booths` are opened at loading, which is for load tests alone: a booth starts locked.
    """

    tenant: str
    parties: tuple[Party, ...]
    shops: tuple[Shop, ...]
    booths: tuple[Booth, ...]
    decks: tuple[RateDeck, ...]
    trunks: tuple[Trunk, ...]
    routes: tuple[Route, ...]
    open_booths: frozenset[str]


WorldError = Problem  # one error of a world is what the reader of its file calls a problem


class WorldErrors(Exception):
    """A world cannot be used; `errors` are all of its errors, by line, and the text has one on each line."""

    def __init__(self, errors: Sequence[WorldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))


def parse_world(text: str, filename: str) -> World:
    """Return the world that a YAML text describes; `filename` is only named in errors.

    Raises:
        WorldErrors: the text cannot be read, or something in it is missing, unknown, double, dangling or out of range.
    """
    problems = Problems(filename)
    top = read_yaml(text, problems)
    world = _world(top) if top is not None else None
    if problems or world is None:
        raise WorldErrors(problems.in_order())
    return world


def _world(top: Section) -> World:
    """Read every part even if an earlier one is wrong, so that all errors are found."""
    provider = top.section("provider")
    tenant = provider.text("name", check=_name) if provider is not None else ""
    if provider is not None:
        provider.end()
    parties, owners = _parties(top, tenant)
    decks, deck_names = _decks(top)
    trunks, trunk_names = _trunks(top, tenant)
    routes = _routes(top, tenant, trunk_names)
    shops = _Shops(tenant, owners, decks, deck_names, emergency_trunks=any(trunk.emergency for trunk in trunks))
    for section in top.sections("shops"):
        shops.read(section)
    top.end()
    return World(
        tenant=tenant,
        parties=parties,
        shops=tuple(shops.shops),
        booths=tuple(shops.booths),
        decks=decks,
        trunks=trunks,
        routes=routes,
        open_booths=frozenset(shops.open_booths),
    )


class _Names:
    """The names of one kind of thing in the file: each is given once, and only given ones are referred to."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lines: dict[str, int] = {}

    def give(self, section: Section, key: str, name: str) -> None:
        if not name and not section.sound:
            return  # it could not be read; that is told already
        if name in self._lines:
            section.fault(key, f"{self._what} {shown(name)} is already at line {self._lines[name]}")
        else:
            self._lines[name] = section.line

    def refer(self, section: Section, key: str, name: str) -> None:
        if name and name not in self._lines:
            section.fault(key, f"there is no {self._what} named {shown(name)}{nearest(name, self._lines)}")


def _parties(top: Section, provider: str) -> tuple[tuple[Party, ...], _Names]:
    parties = [Party(tenant=provider, name=provider, kind=Kind.PROVIDER, parent=None)]
    sections: dict[str, Section] = {}
    owners = _Names("owner")
    for section in top.sections("owners"):
        name = section.text("name", check=_name)
        parent = section.text("parent", provider, check=_name)
        section.end()
        if name and name == provider:
            section.fault("name", "is the name of the provider")
            continue
        owners.give(section, "name", name)
        if name and name not in sections:
            sections[name] = section
            parties.append(Party(tenant=provider, name=name, kind=Kind.OWNER, parent=parent or provider))
    for name, fault in party_faults(parties):
        if name in sections:
            sections[name].fault("parent", fault)
    return tuple(parties), owners


def _decks(top: Section) -> tuple[tuple[RateDeck, ...], _Names]:
    decks: list[RateDeck] = []
    names = _Names("deck")
    for section in top.sections("decks"):
        name = section.text("name", check=_name)
        names.give(section, "name", name)
        currency = section.text("currency", check=check_currency)
        rounding = _rounding(section, currency)
        duration_round = section.choice("duration_round", DurationRound, DurationRound.CEIL)
        rates = _rates(section)
        section.end()
        if section.sound:
            decks.append(RateDeck(name, currency, rates, rounding=rounding, duration_round=duration_round))
    return tuple(decks), names


def _rounding(deck: Section, currency: str) -> Rounding:
    """Read `round:`; without it amounts are rounded half up to the currency's smallest coin."""
    coin_places = minor_unit_places(currency)
    section = deck.section("round", required=False)
    if section is None:
        return Rounding(RoundMode.HALF_UP, coin_places)
    mode = section.choice("mode", RoundMode, RoundMode.HALF_UP)
    places = section.integer("places", coin_places, low=0, high=6)
    section.end()
    return Rounding(mode, places)


def _rates(deck: Section) -> tuple[Rate, ...]:
    rates: list[Rate] = []
    prefixes = _Names("prefix")
    for section in deck.sections("rates"):
        prefix = section.text("prefix", check=_rate_prefix)
        prefixes.give(section, "prefix", prefix)
        destination = section.text("destination", check=_name)
        forbidden = section.flag("forbidden", default=False)
        # A forbidden destination is never called, so it needs no price; any other has one, if only of 0.
        fee = section.number("connect_fee", _price, 0)
        first_s = section.integer("first_s", 1 if forbidden else None, low=1, high=3600)
        first_price = section.number("first_price", _price, 0 if forbidden else None)
        next_s = section.integer("next_s", 1 if forbidden else None, low=1, high=3600)
        next_price = section.number("next_price", _price, first_price)
        section.end()
        if section.sound:
            rates.append(
                Rate(
                    prefix=prefix,
                    destination=destination,
                    connect_fee_nanos=fee,
                    first_s=first_s,
                    first_price_nanos=first_price,
                    next_s=next_s,
                    next_price_nanos=next_price,
                    forbidden=forbidden,
                )
            )
    return tuple(rates)


class _Transport(StrEnum):
    UDP = "udp"
    TCP = "tcp"


def _trunks(top: Section, tenant: str) -> tuple[tuple[Trunk, ...], _Names]:
    trunks: list[Trunk] = []
    names = _Names("trunk")
    for section in top.sections("trunks"):
        name = section.text("name", check=_name)
        names.give(section, "name", name)
        trunks.append(
            Trunk(
                tenant=tenant,
                name=name,
                host=section.text("host", check=_ip_literal),
                port=section.integer("port", 5060, low=1, high=65535),
                transport=section.choice("transport", _Transport, _Transport.UDP).value,
                emergency=section.flag("emergency", default=False),
                answer_timeout_s=section.integer("answer_timeout_s", 60, low=1, high=600),
                first_response_timeout_s=section.integer("first_response_timeout_s", 4, low=1, high=32),
            )
        )
        section.end()
    return tuple(trunks), names


def _routes(top: Section, tenant: str, trunk_names: _Names) -> tuple[Route, ...]:
    routes: list[Route] = []
    prefixes = _Names("the route for prefix")
    for section in top.sections("routes"):
        prefix = section.text("prefix", check=_route_prefix)
        prefixes.give(section, "prefix", prefix)
        trunks = section.texts("trunks")
        if not trunks and section.sound:
            section.fault("trunks", "must name a trunk")
        for name in trunks:
            trunk_names.refer(section, "trunks", name)
        if len(set(trunks)) < len(trunks):
            section.fault("trunks", "names a trunk twice")
        section.end()
        routes.append(Route(tenant=tenant, prefix=prefix, trunks=trunks))
    return tuple(routes)


@dataclass(slots=True)
class _Shops:
    """Reads shops and their booths one by one; keeps what must be different or alike among all of them."""

    tenant: str
    owners: _Names
    decks: Iterable[RateDeck]
    deck_names: _Names
    emergency_trunks: bool
    shops: list[Shop] = field(default_factory=list)
    booths: list[Booth] = field(default_factory=list)
    open_booths: list[str] = field(default_factory=list)
    names: _Names = field(default_factory=lambda: _Names("shop"))
    booth_names: _Names = field(default_factory=lambda: _Names("booth"))
    digests: dict[str, tuple[str, tuple[Algorithm, ...]]] = field(default_factory=dict)  # by realm

    def read(self, section: Section) -> None:
        name = section.text("name", check=_name)
        self.names.give(section, "name", name)
        owner = section.text("owner")
        self.owners.refer(section, "owner", owner)
        deck = section.text("deck")
        self.deck_names.refer(section, "deck", deck)
        numbers = self._numbers(section)
        realm = section.text("realm", "sipshop", check=_realm)
        digest = self._digest(section, name, realm)
        for booth in section.sections("booths"):
            self._read_booths(booth, name, realm)
        section.end()
        currency = next((known.currency for known in self.decks if known.name == deck), "")
        self.shops.append(
            Shop(
                tenant=self.tenant,
                name=name,
                owner=owner,
                deck=deck,
                currency=currency,
                realm=realm,
                digest=digest,
                numbers=numbers,
            )
        )

    def _numbers(self, section: Section) -> NumberRules:
        numbers = NumberRules(
            country_code=section.text("country_code", check=_country_code),
            international_prefix=section.text("international_prefix", "00", check=_dial_prefix),
            national_prefix=section.text("national_prefix", "0", check=_dial_prefix_or_none),
            emergency=section.texts("emergency", check=_emergency_number),
        )
        if numbers.emergency and not self.emergency_trunks:
            section.fault("emergency", "no trunk has `emergency: true`, so these numbers could not be called")
        return numbers

    def _digest(self, section: Section, shop: str, realm: str) -> tuple[Algorithm, ...]:
        """Read the algorithms in the order of their challenges (RFC 8760 section 2.4), one list for each realm.

        A list that differed within a realm would tell a stranger which users exist.
        """
        written = section.texts("digest", (Algorithm.MD5.value,), check=_algorithm)
        algorithms = tuple(Algorithm(text) for text in written if text)
        if not written:
            section.fault("digest", "must name an algorithm")
        if len(set(algorithms)) < len(algorithms):
            section.fault("digest", "names an algorithm twice")
        if realm and algorithms and len(algorithms) == len(written):
            other, expected = self.digests.setdefault(realm, (shop, algorithms))
            if algorithms != expected:
                section.fault("digest", f"shop {shown(other)} has realm {shown(realm)} too, with another list")
        return algorithms

    def _read_booths(self, section: Section, shop: str, realm: str) -> None:
        """Read one entry of `booths`, which is one booth or, in its range form, many."""
        written = section.text("name")
        names = _expand(section, "name", written) if ".." in written else (written,)
        for name in names:
            if name and _USER.fullmatch(name) is None:
                section.fault("name", f"{shown(name)} is not letters, digits, dots, dashes and underscores, at most 64")
            self.booth_names.give(section, "name", name)
        calls = section.integer("calls", 1, low=1, high=10_000)
        auth = section.choice("auth", Auth, Auth.DIGEST)
        ip = section.text("ip", check=_ip_literal) if auth is Auth.IP else section.text("ip", "")
        if auth is Auth.DIGEST and ip:
            section.fault("ip", "is only for `auth: ip`")
        passwords = self._passwords(section, auth, len(names), ranged=".." in written)
        unlocked = section.flag("open", default=False)
        section.end()
        if not section.sound:
            return
        for name, password in zip(names, passwords, strict=True):
            hashes = {algorithm: ha1(algorithm, name, realm, password) for algorithm in Algorithm}
            self.booths.append(
                Booth(
                    tenant=self.tenant,
                    shop=shop,
                    name=name,
                    calls=calls,
                    auth=auth,
                    ip=ip or None,
                    ha1=hashes if auth is Auth.DIGEST else {},
                )
            )
        if unlocked:
            self.open_booths += names

    def _passwords(self, section: Section, auth: Auth, booths: int, *, ranged: bool) -> tuple[str, ...]:
        if auth is Auth.IP:
            if section.text("password", ""):
                section.fault("password", "is not asked for with `auth: ip`")
            return ("",) * booths
        written = section.text("password", check=_password)
        if not ranged or not written:
            return (written,) * booths
        passwords = _expand(section, "password", written)
        if booths and passwords and len(passwords) != booths:
            section.fault("password", f"is a range of {len(passwords)}, but there are {booths} booths")
        return passwords


def _expand(section: Section, key: str, text: str) -> tuple[str, ...]:
    """Return every text from `a07` to `a12` of the range `a07..a12`; both ends have the same width."""
    found = _RANGE.fullmatch(text)
    if found is None or found[1] != found[3] or len(found[2]) != len(found[4]) or found[2] > found[4]:
        section.fault(key, "must be a range such as booth00..booth19: same beginning, as many digits, upward")
        return ()
    first, last, width = int(found[2]), int(found[4]), len(found[2])
    if last - first >= _MAX_RANGE:
        section.fault(key, f"is a range of more than {_MAX_RANGE}")
        return ()
    return tuple(f"{found[1]}{number:0{width}d}" for number in range(first, last + 1))


# What a text must be: each returns what to take for it, or raises ValueError with what is wrong.


def _name(text: str) -> str:
    if not text or len(text) > _NAME_LENGTH or not text.isprintable() or text != text.strip() or "/" in text:
        raise ValueError(f"{shown(text)} is not a name: 1 to {_NAME_LENGTH} printable characters without a slash")
    return text


def _realm(text: str) -> str:
    if _REALM.fullmatch(text) is None:
        raise ValueError(f"{shown(text)} is not a realm: 1 to 64 ASCII characters without quotes and backslashes")
    return text


def _password(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError("must have characters, all of them printable")  # the password itself is not repeated
    return text


def _algorithm(text: str) -> str:
    if text not in list(Algorithm):
        raise ValueError(f"{shown(text)} is not one of {', '.join(Algorithm)}{nearest(text, Algorithm)}")
    return text


def _price(text: str) -> int:
    nanos = parse_price(text)
    if nanos < 0:
        raise ValueError(f"must not be negative: {text}")
    return nanos


def _ip_literal(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise ValueError(f"{shown(text)} is not an IPv4 or IPv6 address") from error


def _digits(text: str, pattern: str, what: str) -> str:
    if re.fullmatch(pattern, text) is None:
        raise ValueError(f"{shown(text)} is not {what}")
    return text


def _rate_prefix(text: str) -> str:
    return _digits(text, "[1-9][0-9]{0,14}", "a prefix: 1 to 15 digits with the country code, no 0 or + first")


def _route_prefix(text: str) -> str:
    return _digits(
        text, "(?:[1-9][0-9]{0,14})?", 'a prefix: digits with the country code, no 0 or + first, or "" for all'
    )


def _country_code(text: str) -> str:
    return _digits(text, "[1-9][0-9]{0,2}", "a country code: 1 to 3 digits, no 0 or + first")


def _dial_prefix(text: str) -> str:
    return _digits(text, "[0-9]{1,5}", "a prefix to dial: 1 to 5 digits")


def _dial_prefix_or_none(text: str) -> str:
    return _digits(text, "[0-9]{0,5}", 'a prefix to dial: up to 5 digits, or "" for none')


def _emergency_number(text: str) -> str:
    return _digits(text, "[0-9]{2,6}", "an emergency number: 2 to 6 digits")
