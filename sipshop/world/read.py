"""From a YAML text to a world, or all its errors at once; conf/demo.yaml explains every key.

Passwords go no further than this module. A text that is read `onto` the world that runs may leave them out where the
booth has one; and what that world cannot become is an error of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import ip_address
from typing import Final

from sipshop.billing.counter import Counter
from sipshop.billing.deck import RateDeck
from sipshop.billing.fx import Pair
from sipshop.billing.guard import MEAN_S, WARN_OF_LOSSES, GuardAction, LossGuard
from sipshop.billing.invoice import Letterhead
from sipshop.billing.limits import Limits, Place, Subject
from sipshop.billing.money import amount_text, check_currency, parse_amount
from sipshop.billing.parties import Kind, Party, party_faults
from sipshop.billing.tax import TaxMode
from sipshop.config import Problems, Section, nearest, read_yaml, shown
from sipshop.proxy.admission import Auth, Booth, Inbound, Shop
from sipshop.proxy.numbers import NumberRules
from sipshop.proxy.routing import Route, Trunk
from sipshop.sip.digest import Algorithm, ha1
from sipshop.sip.resolve import is_ip
from sipshop.world.agreements import address_or_name, telephone_number, with_agreement
from sipshop.world.decks import DeckReader
from sipshop.world.decks import check_name as _name
from sipshop.world.desks import read_counter
from sipshop.world.fx import Exchange, missing_rates, read_fx
from sipshop.world.letterheads import read_letterhead
from sipshop.world.limits import read_limits
from sipshop.world.model import MASK, Opening, Operator, Role, Sold, TaxTerms, World, WorldErrors
from sipshop.world.taxes import read_tax

_MAX_RANGE: Final = 10_000
_MAX_MARGIN_PPM: Final = 10_000_000
_PARTS_PER_PERCENT: Final = 10_000  # millionths
_USER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RANGE: Final = re.compile(r"(.*?)([0-9]+)\.\.(.*?)([0-9]+)", re.DOTALL)
_REALM: Final = re.compile(r"[ !#-\[\]-~]{1,64}")  # what needs no escape in a quoted string, RFC 3261 section 25.1


def parse_world(text: str, filename: str, onto: World | None = None) -> World:
    """Return the world that a YAML text describes; `filename` is only named in errors.

    With `onto`, what the text leaves out of a party's account or suspension, or of a booth's password, stays as it is
    there.

    Raises:
        WorldErrors: the text cannot be read, or something in it is missing, unknown, double, dangling or out of range,
            or `onto` cannot become this.
    """
    problems = Problems(filename)
    top = read_yaml(text, problems)
    world = _world(top, onto) if top is not None else None
    if problems or world is None:
        raise WorldErrors(problems.in_order())
    return world


def _world(top: Section, onto: World | None) -> World:
    """Read every part even if an earlier one is wrong, so that all errors are found."""
    provider = top.section("provider")
    tenant = provider.text("name", check=_account_name) if provider is not None else ""
    if provider is not None and onto is not None and tenant and tenant != onto.tenant:
        provider.fault("name", f"this is the world of {shown(onto.tenant)}, whose name cannot be changed")
    guard = _loss_guard(provider) if provider is not None else WARN_OF_LOSSES
    limits: list[Limits] = []
    letterhead = read_letterhead(provider, tenant, tenant) if provider is not None else None
    if provider is not None:
        _read_limits(provider, limits, Place.PARTY, tenant, (tenant, tenant, tenant))
        provider.end()
    decks = _decks(top, onto)
    letterheads = [letterhead] if letterhead is not None else []
    parties = _Parties(tenant, decks, _Known(onto), limits, letterheads=letterheads)
    parties.read(top, guard)
    trunks, trunk_names, trunk_sections = _trunks(top, tenant, decks, parties.known)
    routes = _routes(top, parties, trunk_names)
    emergency_trunks = any(trunk.emergency and not trunk.disabled for trunk in trunks)
    shops = _Shops(tenant, parties, decks, emergency_trunks=emergency_trunks)
    for section in top.sections("shops"):
        shops.read(section)
    operators = _operators(top, parties, shops)
    fx, is_fx_sound = read_fx(top)
    top.end()
    world = World(
        tenant=tenant,
        parties=tuple(parties.parties),
        shops=tuple(shops.shops),
        booths=tuple(shops.booths),
        decks=tuple(decks.decks.values()),
        trunks=trunks,
        routes=routes,
        open_booths=frozenset(shops.open_booths),
        openings=tuple(parties.openings),
        operators=operators,
        taxes=(*parties.taxes, *shops.taxes),
        limits=tuple(limits),
        fx=fx,
        letterheads=tuple(parties.letterheads),
        counters=tuple(shops.counters),
        imported=decks.imported,
    )
    sections = {"party": parties.sections, "shop": shops.sections, "trunk": trunk_sections}
    known = onto.fx if onto is not None else ()
    for exchange in exchanges_missing(world, known) if is_fx_sound else ():
        sections[exchange.kind][exchange.name].fault(exchange.key, exchange.fault)
    return world


def exchanges_missing(world: World, known: Iterable[Pair] = ()) -> Iterator[Exchange]:
    """Yield where money has to become money of another currency, and no rate is there; `known` pairs stay beside."""
    named = {frozenset((pair.base, pair.quote)) for pair in world.fx}
    return missing_rates(
        (*world.fx, *(pair for pair in known if frozenset((pair.base, pair.quote)) not in named)),
        parties=world.parties,
        shops=world.shops,
        trunks=world.trunks,
        routes=world.routes,
        decks={deck.name: deck.currency for deck in world.decks},
        accounts={opening.party: opening.currency for opening in world.openings},
    )


class _Known:
    """What is there already, by name; nothing where the text stands alone."""

    def __init__(self, world: World | None) -> None:
        self.parties = {party.name: party for party in world.parties} if world is not None else {}
        self.openings = {opening.party: opening for opening in world.openings} if world is not None else {}
        self.shops = {shop.name: shop for shop in world.shops} if world is not None else {}
        self.booths = {booth.name: booth for booth in world.booths} if world is not None else {}
        self.trunks = {trunk.name: trunk for trunk in world.trunks} if world is not None else {}
        self.operators = {person.name: person for person in world.operators} if world is not None else {}


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
            section.fault(key, f"there is no {self._what} named {shown(name)}{section.nearest(name, self._lines)}")


@dataclass(frozen=True, slots=True)
class _Decks:
    """The decks that could be read, by name, and the names of all."""

    decks: Mapping[str, RateDeck]
    names: _Names
    imported: frozenset[str]

    def refer(self, section: Section) -> str:
        """Read the deck that somebody sells by, and return its name."""
        name = section.text("deck", check=_name)
        self.names.refer(section, "deck", name)
        return name

    def currency(self, name: str) -> str:
        """Return the currency of a deck, or an empty text where the deck is wrong, which is told already."""
        return self.decks[name].currency if name in self.decks else ""


def _decks(top: Section, onto: World | None) -> _Decks:
    known = {deck.name: deck for deck in onto.decks} if onto is not None else {}
    reader = DeckReader(known, onto.imported if onto is not None else ())
    names = _Names("deck")
    for section in top.sections("decks"):
        name = section.text("name", check=_name)
        names.give(section, "name", name)
        reader.read(section, name)
    reader.finish()
    return _Decks(reader.decks, names, frozenset(reader.imported))


@dataclass(slots=True)
class _Parties:
    """Reads resellers and owners, in whatever order they stand; keeps their sections for what is found out later."""

    tenant: str
    decks: _Decks
    known: _Known
    limits: list[Limits]
    parties: list[Party] = field(default_factory=list)
    openings: list[Opening] = field(default_factory=list)
    taxes: list[TaxTerms] = field(default_factory=list)
    letterheads: list[Letterhead] = field(default_factory=list)
    names: _Names = field(default_factory=lambda: _Names("party"))
    by_kind: dict[Kind, dict[str, Party]] = field(default_factory=lambda: {kind: {} for kind in Kind})
    sections: dict[str, Section] = field(default_factory=dict)

    def read(self, top: Section, guard: LossGuard) -> None:
        known = self.known.parties.get(self.tenant)
        provider = Party(
            tenant=self.tenant,
            name=self.tenant,
            kind=Kind.PROVIDER,
            parent=None,
            guard=guard,
            suspender=known.suspender if known is not None else None,
        )
        self.parties.append(provider)
        self.by_kind[Kind.PROVIDER][self.tenant] = provider
        for section in top.sections("resellers", required=False):
            self._read(section, Kind.RESELLER)
        for section in top.sections("owners"):
            self._read(section, Kind.OWNER)
        for name, fault in party_faults(self.parties):
            if name in self.sections:
                self.sections[name].fault("parent", fault)

    def _read(self, section: Section, kind: Kind) -> None:
        name = section.text("name", check=_account_name)
        known = self.known.parties.get(name)
        parent = section.text("parent", self.tenant, check=_account_name) or self.tenant
        deck = self.decks.refer(section)
        opening = self._opening(section, name, self.decks.currency(deck))
        guard = _loss_guard(section)
        tax = read_tax(section, TaxMode.ADDED)
        letterhead = read_letterhead(section, self.tenant, name)
        suspender = self._suspender(section, known)
        _read_limits(section, self.limits, Place.PARTY, name, (name, parent, self.tenant))
        section.end()
        if name and name == self.tenant:
            section.fault("name", "is the name of the provider")
            return
        if known is not None and known.kind is not kind:
            section.fault("name", f"{name} is one of the {known.kind}s already: take another name")
        elif known is not None and known.parent != parent:
            section.fault("parent", f"{name} has an account with {shown(known.parent or '')}: it cannot change sellers")
        self.names.give(section, "name", name)
        if not name or name in self.sections:
            return
        self.sections[name] = section
        party = Party(
            tenant=self.tenant,
            name=name,
            kind=kind,
            parent=parent,
            deck=deck,
            guard=guard,
            suspender=suspender,
        )
        self.parties.append(party)
        self.by_kind[kind][name] = party
        self.openings.append(opening)
        if tax is not None:
            self.taxes.append(TaxTerms(sold=Sold.TO_PARTY, place=name, tax=tax))
        if letterhead is not None:
            self.letterheads.append(letterhead)

    def _suspender(self, section: Section, known: Party | None) -> str | None:
        """Read who has suspended a party: the provider whose world it is, or who did it before."""
        before = known.suspender if known is not None else None
        return before or self.tenant if section.flag("suspended", default=before is not None) else None

    def _opening(self, section: Section, name: str, currency: str) -> Opening:
        """Read how a party's account begins; of one that is there, what is left out stays as it is."""
        known = self.known.openings.get(name)
        credit_limit = _credit_limit(section, known)
        posted = known.opening_micros if known is not None else 0
        opening = section.number("opening", _amount, posted)
        if posted and section.sound and opening != posted:
            section.fault(
                "opening",
                f"{amount_text(posted, currency)} was posted already, and is posted once: book a payment instead",
            )
        currency = _currency(section, currency, known.currency if known is not None else "", f"the account of {name}")
        return Opening(party=name, currency=currency, credit_limit_micros=credit_limit, opening_micros=opening)

    def refer_owner(self, section: Section) -> Party | None:
        """Read the owner of a shop."""
        return self._refer(section, "owner", section.text("owner", check=_name), Kind.OWNER)

    def refer_router(self, section: Section) -> str:
        """Read whose routes these are: a reseller's, or the provider's if left out."""
        name = section.text("party", self.tenant, check=_name)
        if name != self.tenant:
            self._refer(section, "party", name, Kind.RESELLER)
        return name

    def refer_party(self, section: Section, kind: Kind) -> str:
        """Read for whom somebody acts: a party of this kind, the provider if that is his."""
        name = section.text("party", self.tenant if kind is Kind.PROVIDER else None, check=_name)
        self._refer(section, "party", name, kind)
        return name

    def _refer(self, section: Section, key: str, name: str, kind: Kind) -> Party | None:
        known = self.by_kind[kind]
        if name and name not in known:
            section.fault(key, f"there is no {kind} named {shown(name)}{section.nearest(name, known)}")
        return known.get(name)


def _currency(section: Section, deck_currency: str, known: str, whose: str) -> str:
    """Read `currency:` of an account or a till: that of its deck if left out, and what it has been in for ever."""
    currency = section.text("currency", known or deck_currency, check=check_currency)
    if known and currency and currency != known:
        section.fault("currency", f"{whose} is in {known}, and stays so")
    return currency


def _credit_limit(section: Section, known: Opening | None) -> int | None:
    """Read `credit_limit` or `unlimited`, in micro-units; nothing at all is no credit, or what is known already."""
    not_given = -1
    credit_limit = section.number("credit_limit", _amount, not_given)
    is_unlimited = known is not None and known.credit_limit_micros is None and credit_limit == not_given
    if not section.flag("unlimited", default=is_unlimited):
        if credit_limit == not_given and known is not None and known.credit_limit_micros is not None:
            return known.credit_limit_micros
        return max(0, credit_limit)
    if credit_limit != not_given:
        section.fault("credit_limit", "is not asked for with `unlimited: true`")
    return None


def _read_limits(
    section: Section, limits: list[Limits], place: Place, names: str | Sequence[str], chain: tuple[str, str, str]
) -> None:
    """Read what is watched of those whom a section names; `chain` is their party, who sells to it, and the provider."""
    named = (names,) if isinstance(names, str) else names
    found = read_limits(section, Subject(place, named[0] if named else ""), chain)
    if found is not None:
        limits += [replace(found, subject=Subject(place, name)) for name in named]


def _loss_guard(section: Section) -> LossGuard:
    """Read `loss_guard:`; without it losses are warned of."""
    guard = section.section("loss_guard", required=False)
    if guard is None:
        return WARN_OF_LOSSES
    action = guard.choice("action", GuardAction, GuardAction.WARN)
    margin_ppm = guard.number("margin", _percent, 0)
    mean_s = guard.integer("mean_s", MEAN_S, low=1, high=86_400)
    guard.end()
    return LossGuard(action=action, margin_ppm=margin_ppm, mean_s=mean_s)


class _Transport(StrEnum):
    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


_PORTS: Final = {_Transport.UDP: 5060, _Transport.TCP: 5060, _Transport.TLS: 5061}


def _where(section: Section) -> tuple[str, int | None, str]:
    """Host, port and transport of a trunk; what a name leaves open is for DNS to say (RFC 3263)."""
    host = section.text("host", check=address_or_name)
    port = section.integer("port", 0, low=1, high=65535) or None
    transport = section.choice("transport", _Transport, _Transport.UDP)
    if is_ip(host):
        return host, port or _PORTS[transport], transport.value
    is_open = port is None and not section.has("transport")
    return host, port, "" if is_open else transport.value


def _trunks(
    top: Section, tenant: str, decks: _Decks, known: _Known
) -> tuple[tuple[Trunk, ...], _Names, dict[str, Section]]:
    trunks: list[Trunk] = []
    sections: dict[str, Section] = {}
    names = _Names("trunk")
    for section in top.sections("trunks"):
        name = section.text("name", check=_account_name)
        names.give(section, "name", name)
        sections.setdefault(name, section)
        host, port, transport = _where(section)
        trunk = Trunk(
            tenant=tenant,
            name=name,
            carrier=section.text("carrier", name, check=_account_name),
            deck=decks.refer(section),
            host=host,
            port=port,
            transport=transport,
            emergency=section.flag("emergency", default=False),
            answer_timeout_s=section.integer("answer_timeout_s", 60, low=1, high=600),
            first_response_timeout_s=section.integer("first_response_timeout_s", 4, low=1, high=32),
            max_calls=section.integer("max_calls", 0, low=1, high=100_000) or None,
            cps=section.integer("cps", 0, low=1, high=10_000) or None,
            disabled=section.flag("disabled", default=False),
        )
        trunks.append(with_agreement(trunk, section, known.trunks.get(name)))
        section.end()
    return tuple(trunks), names, sections


def _routes(top: Section, parties: _Parties, trunk_names: _Names) -> tuple[Route, ...]:
    routes: list[Route] = []
    prefixes: dict[str, _Names] = {}
    for section in top.sections("routes"):
        party = parties.refer_router(section)
        prefix = section.text("prefix", check=_route_prefix)
        prefixes.setdefault(party, _Names("the route for prefix")).give(section, "prefix", prefix)
        choices = _choices(section, trunk_names)
        section.end()
        routes.append(Route(tenant=parties.tenant, party=party, prefix=prefix, choices=choices))
    return tuple(routes)


def _choices(route: Section, trunk_names: _Names) -> tuple[tuple[str, int, int], ...]:
    """Read `trunks:`, either names in the order in which they are tried, or tables with priority and weight."""
    if route.lists_tables("trunks"):
        choices: list[tuple[str, int, int]] = []
        for section in route.sections("trunks"):
            name = section.text("trunk", check=_name)
            trunk_names.refer(section, "trunk", name)
            priority = section.integer("priority", 1, low=1, high=100)
            weight = section.integer("weight", 1, low=1, high=1000)
            section.end()
            choices.append((name, priority, weight))
    else:
        choices = [(name, place, 1) for place, name in enumerate(route.texts("trunks", check=_name), start=1)]
        for name, _, _ in choices:
            trunk_names.refer(route, "trunks", name)
    if not choices and route.sound:
        route.fault("trunks", "must name a trunk")
    if len({name for name, _, _ in choices}) < len(choices):
        route.fault("trunks", "names a trunk twice")
    return tuple(choices)


@dataclass(slots=True)
class _Shops:
    """Reads shops and their booths one by one; keeps what must be different or alike among all of them."""

    tenant: str
    parties: _Parties
    decks: _Decks
    emergency_trunks: bool
    shops: list[Shop] = field(default_factory=list)
    booths: list[Booth] = field(default_factory=list)
    open_booths: list[str] = field(default_factory=list)
    taxes: list[TaxTerms] = field(default_factory=list)
    counters: list[Counter] = field(default_factory=list)
    sections: dict[str, Section] = field(default_factory=dict)
    names: _Names = field(default_factory=lambda: _Names("shop"))
    booth_names: _Names = field(default_factory=lambda: _Names("booth"))
    rung: _Names = field(default_factory=lambda: _Names("inbound number"))
    digests: dict[str, tuple[str, tuple[Algorithm, ...]]] = field(default_factory=dict)  # by realm

    def read(self, section: Section) -> None:
        name = section.text("name", check=_account_name)
        self.names.give(section, "name", name)
        self.sections.setdefault(name, section)
        owner = self.parties.refer_owner(section)
        deck = self.decks.refer(section)
        currency = self._check_known(section, name, owner, self.decks.currency(deck))
        numbers = self._numbers(section)
        realm = section.text("realm", "sipshop", check=_realm)
        digest = self._digest(section, name, realm)
        sellers = (owner.name, owner.parent or "", self.tenant) if owner is not None else ("", "", self.tenant)
        _read_limits(section, self.parties.limits, Place.SHOP, name, sellers)
        for booth in section.sections("booths"):
            self._read_booths(booth, name, realm, sellers)
        caller_id = section.text("caller_id", "", check=telephone_number)
        inbound = section.choice("inbound", Inbound, Inbound.NEVER)
        inbound_numbers = self._inbound_numbers(section)
        if inbound_numbers and inbound is Inbound.NEVER and section.sound:
            section.fault("inbound_numbers", "ring nobody: `inbound: open` or `inbound: always` lets them")
        transfer = section.flag("transfer", default=False)
        tax = read_tax(section, *TaxMode)
        counter = read_counter(section, self.tenant, name, currency)
        section.end()
        if tax is not None:
            self.taxes.append(TaxTerms(sold=Sold.IN_SHOP, place=name, tax=tax))
        if counter is not None:
            self.counters.append(counter)
        self.shops.append(
            Shop(
                tenant=self.tenant,
                name=name,
                owner=owner.name if owner is not None else "",
                deck=deck,
                currency=currency,
                realm=realm,
                digest=digest,
                numbers=numbers,
                caller_id=caller_id,
                inbound=inbound,
                inbound_numbers=inbound_numbers,
                transfer=transfer,
            )
        )

    def _inbound_numbers(self, section: Section) -> tuple[str, ...]:
        """Read the numbers that ring somebody: each rings one booth or one shop."""
        numbers = section.texts("inbound_numbers", (), check=telephone_number)
        for number in numbers:
            self.rung.give(section, "inbound_numbers", number)
        return numbers

    def _check_known(self, section: Section, name: str, owner: Party | None, deck_currency: str) -> str:
        """Refuse what would take a shop's customers, and what they owe, to another owner; return its currency."""
        known = self.parties.known.shops.get(name)
        if known is not None and owner is not None and owner.name != known.owner:
            section.fault("owner", f"shop {name} is owned by {shown(known.owner)}: it cannot change owners")
        known_currency = known.currency if known is not None else ""
        return _currency(section, deck_currency, known_currency, f"the till of shop {name}")

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

    def _read_booths(self, section: Section, shop: str, realm: str, sellers: tuple[str, str, str]) -> None:
        """Read one entry of `booths`, which is one booth or, in its range form, many."""
        written = section.text("name")
        names = _expand(section, "name", written) if ".." in written else (written,)
        for name in names:
            if name and _USER.fullmatch(name) is None:
                section.fault("name", f"{shown(name)} is not letters, digits, dots, dashes and underscores, at most 64")
            self.booth_names.give(section, "name", name)
            self._check_shop(section, name, shop)
        calls = section.integer("calls", 1, low=1, high=10_000)
        auth = section.choice("auth", Auth, Auth.DIGEST)
        ip = section.text("ip", check=_ip_literal) if auth is Auth.IP else section.text("ip", "")
        if auth is Auth.DIGEST and ip:
            section.fault("ip", "is only for `auth: ip`")
        hashes = self._hashes(section, auth, realm, names, ranged=".." in written)
        disabled = section.flag("disabled", default=False)
        caller_id = section.text("caller_id", "", check=telephone_number)
        inbound_numbers = self._inbound_numbers(section)
        if inbound_numbers and len(names) > 1:
            section.fault("inbound_numbers", "ring one booth: write this one apart, or give the numbers to the shop")
        unlocked = section.flag("open", default=False)
        _read_limits(section, self.parties.limits, Place.BOOTH, names, sellers)
        if disabled and unlocked:
            section.fault("open", "is not asked for with `disabled: true`")
        section.end()
        if not section.sound:
            return
        for name, ha1s in zip(names, hashes, strict=True):
            self.booths.append(
                Booth(
                    tenant=self.tenant,
                    shop=shop,
                    name=name,
                    calls=calls,
                    auth=auth,
                    ip=ip or None,
                    ha1=ha1s,
                    disabled=disabled,
                    caller_id=caller_id,
                    inbound_numbers=inbound_numbers,
                )
            )
        if unlocked:
            self.open_booths += names

    def _check_shop(self, section: Section, name: str, shop: str) -> None:
        known = self.parties.known.booths.get(name)
        if known is not None and shop and known.shop != shop:
            section.fault("name", f"booth {shown(name)} is in shop {shown(known.shop)}: it cannot change shops")

    def _hashes(
        self, section: Section, auth: Auth, realm: str, names: Sequence[str], *, ranged: bool
    ) -> list[Mapping[Algorithm, str]]:
        """Read the passwords of booths and hash them; where none is given, a booth keeps what it has."""
        if auth is Auth.IP:
            if section.text("password", ""):
                section.fault("password", "is not asked for with `auth: ip`")
            return [{} for _ in names]
        is_kept = all(self._keeps(name, realm) for name in names) if names else False
        written = section.text("password", MASK if is_kept else None, check=_password)
        if written == MASK:
            if not is_kept:
                section.fault("password", "is only a mask: give the password of a booth that is new or in a new realm")
            return [self.parties.known.booths[name].ha1 for name in names] if is_kept else []
        passwords = self._passwords(section, written, len(names), ranged=ranged)
        if not section.sound:
            return []
        return [
            {algorithm: ha1(algorithm, name, realm, password) for algorithm in Algorithm}
            for name, password in zip(names, passwords, strict=True)
        ]

    def _keeps(self, name: str, realm: str) -> bool:
        """Whether a booth has a password that goes on to hold in this realm."""
        booth = self.parties.known.booths.get(name)
        return booth is not None and bool(booth.ha1) and self.parties.known.shops[booth.shop].realm == realm

    def _passwords(self, section: Section, written: str, booths: int, *, ranged: bool) -> tuple[str, ...]:
        if not ranged or not written:
            return (written,) * booths
        passwords = _expand(section, "password", written)
        if booths and passwords and len(passwords) != booths:
            section.fault("password", f"is a range of {len(passwords)}, but there are {booths} booths")
        return passwords


def _operators(top: Section, parties: _Parties, shops: _Shops) -> tuple[Operator, ...]:
    """Read the people: an operator serves a shop, anybody else acts for a party of the kind that his role names."""
    operators: list[Operator] = []
    names = _Names("operator")
    owners = {shop.name: shop.owner for shop in shops.shops}
    for section in top.sections("operators", required=False):
        name = section.text("name", check=_person)
        names.give(section, "name", name)
        is_sound = section.sound
        section.sound = True
        role = section.choice("role", Role, Role.OPERATOR)
        if not section.sound:
            continue  # what else is asked of him depends on it
        section.sound = is_sound
        shop = None
        if role is Role.OPERATOR:
            shop = section.text("shop", check=_name)
            shops.names.refer(section, "shop", shop)
            party = owners.get(shop, "")
        else:
            party = parties.refer_party(section, Kind(role))
        known = parties.known.operators.get(name)
        suspended = section.flag("suspended", default=known is not None and known.suspended)
        section.end()
        operators.append(
            Operator(tenant=parties.tenant, name=name, role=role, party=party, shop=shop, suspended=suspended)
        )
    return tuple(operators)


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


def _person(text: str) -> str:
    """Check the name of somebody whom records name as their author, as they name these."""
    if text in {"switch", "start", "world"}:
        raise ValueError(f"{shown(text)} is not a name here: records call the program itself so")
    return _name(text)


def _account_name(text: str) -> str:
    """Check a name that accounts are called by, in which `@` and `:` have a meaning."""
    if "@" in text or ":" in text:
        raise ValueError(f"{shown(text)} is not a name here: @ and : are kept for the names of accounts")
    return _name(text)


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


def _amount(text: str) -> int:
    micros = parse_amount(text)
    if micros < 0:
        raise ValueError(f"must not be negative: {text}")
    return micros


def _percent(text: str) -> int:
    """Return millionths of a percentage that has at most 4 decimal places."""
    ppm, rest = divmod(parse_amount(text) * _PARTS_PER_PERCENT, 1_000_000)
    if rest or not 0 <= ppm <= _MAX_MARGIN_PPM:
        raise ValueError(f"must be a percentage from 0 to 1000 with at most 4 decimal places, not {shown(text)}")
    return ppm


def _ip_literal(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise ValueError(f"{shown(text)} is not an IPv4 or IPv6 address") from error


def _digits(text: str, pattern: str, what: str) -> str:
    if re.fullmatch(pattern, text) is None:
        raise ValueError(f"{shown(text)} is not {what}")
    return text


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
