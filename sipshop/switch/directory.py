"""The worlds as the switch reads them: every question one look-up; suspended parties and whole worlds are swapped."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Final

from sipshop.billing.chain import Level
from sipshop.billing.counter import Counter
from sipshop.billing.deck import RateDeck, Tariff
from sipshop.billing.earnings import booked
from sipshop.billing.fx import FxTable
from sipshop.billing.guard import GuardAction, LossGuard, losing_at
from sipshop.billing.invoice import Letterhead
from sipshop.billing.ledger import customer, session_account
from sipshop.billing.money import Money
from sipshop.billing.parties import Party, PartyTree
from sipshop.billing.rating import cost
from sipshop.billing.receipt import Seller
from sipshop.billing.tax import Tax
from sipshop.proxy.admission import Auth, Booth, Cause, Shop
from sipshop.proxy.routing import Choice, Routing, Trunk, ordered
from sipshop.proxy.trunk import Sources
from sipshop.sip.digest import Algorithm
from sipshop.sip.flow import Address
from sipshop.sip.resolve import is_ip
from sipshop.world import Sold, World

#: Carriers of one priority are compared by what a call of this length costs.
COMPARED_MS: Final = 60_000
#: How many pairs of rates the loss guard remembers; then it forgets all of them and begins again.
_MOST_JUDGED: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """How a call can be made: who pays for it, the trunks in their order, and what each of them would cost.

    `losses` are the parties, and trunks (for the provider), where the loss guard only warns.
    """

    levels: tuple[Level, ...]
    trunks: tuple[Trunk, ...]
    buys: Mapping[str, Tariff]
    losses: frozenset[str] = frozenset()


class Directory:
    """Shops, booths, decks, routes and parties of every tenant.

    A realm belongs to one set of digest algorithms, whoever's shops are in it; `default_realm` is the one that a
    request gets which names none of ours.
    """

    def __init__(self, worlds: Iterable[World], *, default_realm: str) -> None:
        self.default_realm: Final = default_realm
        self._named: dict[tuple[str, str], frozenset[Address]] = {}  # of a trunk: where its name leads
        self._take({world.tenant: world for world in worlds})

    def _take(self, worlds: dict[str, World]) -> None:
        """Build every look-up; whoever holds something of an older one keeps it as it was."""
        self._worlds = worlds
        self.shops: dict[tuple[str, str], Shop] = {}
        self.booths: dict[tuple[str, str], Booth] = {}
        self.decks: dict[tuple[str, str], RateDeck] = {}
        self.taxes: dict[tuple[str, Sold, str], Tax] = {}  # by tenant, and by shop or party
        self.counters: dict[tuple[str, str], Counter] = {}  # of every shop, completed
        self._fx: dict[str, FxTable] = {}
        self._currencies: dict[tuple[str, str], str] = {}  # of a party's account
        self.routings: dict[str, Routing] = {}
        self.parties: dict[str, PartyTree] = {}
        self.algorithms: dict[str, tuple[Algorithm, ...]] = {}
        self._by_realm: dict[tuple[str, str], Booth] = {}
        self._digest_users: set[str] = set()
        self._by_ip: dict[str, list[Booth]] = {}
        self._rung: dict[tuple[str, str], tuple[Booth, ...]] = {}
        self._judged: dict[Hashable, bool] = {}
        self._below: dict[tuple[str, str], tuple[frozenset[str], frozenset[str]]] = {}
        for world in worlds.values():
            self._add(world)
        self._know_sources()

    def _add(self, world: World) -> None:
        tenant = world.tenant
        self.parties[tenant] = PartyTree(world.parties)
        self.routings[tenant] = Routing(world.trunks, world.routes)
        self.decks.update({(tenant, deck.name): deck for deck in world.decks})
        self._fx[tenant] = FxTable(world.fx)
        self._currencies.update({(tenant, opening.party): opening.currency for opening in world.openings})
        self.taxes.update({(tenant, terms.sold, terms.place): terms.tax for terms in world.taxes})
        known = {counter.shop: counter for counter in world.counters}
        letterheads = {letterhead.party: letterhead for letterhead in world.letterheads}
        for shop in world.shops:
            self.shops[tenant, shop.name] = shop
            paper = letterheads.get(shop.owner, Letterhead(tenant=tenant, party=shop.owner, name=shop.owner))
            counter = known.get(shop.name, Counter(tenant=tenant, shop=shop.name, currency=shop.currency))
            owner = Seller(name=paper.name, address=paper.address, tax_id=paper.tax_id)
            self.counters[tenant, shop.name] = counter.completed(owner, paper.zone, shop.numbers.country_code)
            self.algorithms[shop.realm] = shop.digest
            of_shop = tuple(booth for booth in world.booths if booth.shop == shop.name)
            self._rung.update({(tenant, number): of_shop for number in shop.inbound_numbers})
        for booth in world.booths:
            self.booths[tenant, booth.name] = booth
            self._rung.update({(tenant, number): (booth,) for number in booth.inbound_numbers})
            if booth.disabled:
                continue  # its bill may still be paid, but nobody is let in as it
            if booth.auth is Auth.IP and booth.ip is not None:
                self._by_ip.setdefault(booth.ip, []).append(booth)
            else:
                self._by_realm[self.shop_of(booth).realm, booth.name] = booth
                self._digest_users.add(booth.name)

    def _know_sources(self) -> None:
        self._sources: Sources[Trunk] = Sources()
        for world in self._worlds.values():
            for trunk in world.trunks:
                if not trunk.disabled:
                    self._sources.add(trunk, self._addresses(trunk), trunk.sources)

    def _addresses(self, trunk: Trunk) -> Iterable[Address]:
        """The addresses of a trunk's host; those of a name are what was learned of it."""
        if trunk.port is not None and is_ip(trunk.host):
            return [(trunk.host, trunk.port)]
        return self._named.get((trunk.tenant, trunk.name), ())

    def learn(self, trunk: Trunk, addresses: frozenset[Address]) -> None:
        """Know a trunk by these addresses, to which its name leads now, and no more by those before them."""
        self._named.pop((trunk.tenant, trunk.name), None)
        if addresses:
            self._named[trunk.tenant, trunk.name] = addresses
        self._know_sources()

    @property
    def worlds(self) -> Iterable[World]:
        """The worlds of all tenants."""
        return self._worlds.values()

    def world(self, tenant: str) -> World:
        """The world of a tenant, with the suspensions of now; its credit limits are those of its loading."""
        return self._worlds[tenant]

    def swap(self, world: World) -> None:
        """Take a tenant's world in place of the one that is here; a call that is live keeps what it was made of."""
        self._take(self._worlds | {world.tenant: world})

    def shop_of(self, booth: Booth) -> Shop:
        """The shop of a booth."""
        return self.shops[booth.tenant, booth.shop]

    def destination(self, shop: Shop, e164: str, at_ms: int) -> str | None:
        """What a shop's customers call the place of a number at an instant, None without a rate."""
        tariff = self.decks[shop.tenant, shop.deck].match(e164, at_ms)
        return tariff.rate.destination if tariff is not None else None

    def chain(self, shop: Shop) -> tuple[Party, ...]:
        """The shop's owner and everybody above him, the provider last."""
        return self.parties[shop.tenant].chain(shop.owner)

    def below(self, tenant: str, party: str) -> tuple[frozenset[str], frozenset[str]]:
        """The names of a party and of all below it, and of the shops of those; raises `UnknownParty`."""
        found = self._below.get((tenant, party))
        if found is None:
            parties = self.parties[tenant].below(party)
            shops = (shop.name for shop in self.shops.values() if shop.tenant == tenant and shop.owner in parties)
            found = self._below[tenant, party] = parties, frozenset(shops)
        return found

    def passage(
        self, shop: Shop, booth: str, session_id: int, e164: str, pick: Callable[[int], int], *, at_ms: int
    ) -> Passage | Cause:
        """How a number can be called from a booth session, or why it cannot; `pick(n)` draws among equal carriers.

        `at_ms` is now, UTC: it decides which rates are in force.
        """
        chain = self.chain(shop)
        levels: list[Level] = []
        account = session_account(session_id, shop.owner)
        deck, buyer = shop.deck, booth
        for party in chain:
            tariff = self.decks[shop.tenant, deck].match(e164, at_ms)
            if tariff is None:
                return Cause.NO_RATE_ABOVE if levels else Cause.NO_RATE
            if tariff.rate.forbidden:
                return Cause.FORBIDDEN_ABOVE if levels else Cause.FORBIDDEN
            terms = self._charged(shop, party, buyer if levels else None, tariff, at_ms)
            if terms is None:
                return Cause.NO_FX
            levels.append(Level(seller=party.name, buyer=buyer, account=account, tariff=terms))
            if party.parent is not None:
                assert party.deck is not None, "only the provider buys from nobody"
                deck, buyer, account = party.deck, party.name, customer(party.name, party.parent)
        losses: set[str] = set()
        for party, sold, bought in zip(chain, levels, levels[1:], strict=False):
            if self._loses(shop.tenant, sold.tariff, bought.tariff, party.guard, at_ms):
                if party.guard.action is not GuardAction.WARN:
                    return Cause.LOSS
                losses.add(party.name)
        carriers = self._carriers(shop.tenant, chain, levels[-1].tariff, e164, pick, at_ms=at_ms)
        if isinstance(carriers, Cause):
            return carriers
        trunks, buys, losing = carriers
        return Passage(levels=tuple(levels), trunks=trunks, buys=buys, losses=frozenset(losses | losing))

    def sold_in(self, shop: Shop, tariff: Tariff, at_ms: int) -> Tariff | None:
        """A tariff of a shop as its customers are charged by it: taxed, in the shop's currency; None without a rate."""
        return self._charged(shop, self.parties[shop.tenant][shop.owner], None, tariff, at_ms)

    def sold_to(self, party: Party, tariff: Tariff, at_ms: int) -> Tariff | None:
        """A tariff as a party is charged by it, in the currency of its account; None without a rate of exchange."""
        currency = self._currencies.get((party.tenant, party.name), tariff.currency)
        return self._exchanged(party.tenant, tariff, currency, None, at_ms)

    def fx(self, tenant: str) -> FxTable:
        """A tenant's rates of exchange."""
        return self._fx[tenant]

    def told_in(self, tenant: str, amount: Money, currency: str, at_ms: int) -> Money | None:
        """An amount in another currency, for people; None where no rate holds."""
        if amount.currency == currency:
            return amount
        booking = self._fx[tenant].booking(amount.currency, currency, at_ms)
        return booking.convert(amount) if booking is not None else None

    def charged_to(self, seller: Party, buyer: str, tariff: Tariff, at_ms: int) -> Tariff | None:
        """A tariff as a party is charged by it, with how its seller books that; None without a rate of exchange."""
        tenant = seller.tenant
        currency = self._currencies[tenant, buyer]
        return self._exchanged(tenant, tariff, currency, self._currencies.get((tenant, seller.name)), at_ms)

    def paid_in(self, tenant: str, tariff: Tariff, currency: str, at_ms: int) -> Tariff | None:
        """A carrier's tariff with how the provider books it beside a sale in a currency; None without a rate."""
        return self._exchanged(tenant, tariff, tariff.currency, currency, at_ms)

    def _charged(self, shop: Shop, seller: Party, buyer: str | None, tariff: Tariff, at_ms: int) -> Tariff | None:
        """What a call keeps of a sale: to a party, or, of a shop, to its customers, with their tax."""
        tenant = shop.tenant
        if buyer is None:
            tax, currency = self.taxes.get((tenant, Sold.IN_SHOP, shop.name)), shop.currency
            if tax is not None:
                tariff = replace(tariff, tax=tax)
        else:
            currency = self._currencies[tenant, buyer]
        return self._exchanged(tenant, tariff, currency, self._currencies.get((tenant, seller.name)), at_ms)

    def _exchanged(self, tenant: str, tariff: Tariff, currency: str, books: str | None, at_ms: int) -> Tariff | None:
        """A tariff that charges in one currency and is booked in another; None where one of them has no rate."""
        fx = self._fx[tenant]
        if currency != tariff.currency:
            charging = fx.charging(tariff.currency, currency, at_ms, tariff.rounding)
            if charging is None:
                return None
            tariff = replace(tariff, fx=charging)
        if books is not None and books != currency:
            booking = fx.booking(currency, books, at_ms)
            if booking is None:
                return None
            tariff = replace(tariff, books=booking)
        return tariff

    def _carriers(
        self, tenant: str, chain: tuple[Party, ...], sold: Tariff, e164: str, pick: Callable[[int], int], *, at_ms: int
    ) -> tuple[tuple[Trunk, ...], dict[str, Tariff], set[str]] | Cause:
        """The trunks with a rate, in order, on which the provider does not lose more than his guard lets him.

        With them what each asks, and the names of those on which he loses and is only warned.
        """
        choices = self.routings[tenant].route([party.name for party in chain[1:]], e164)
        if not choices:
            return Cause.NO_ROUTE
        guard, is_without_fx = chain[-1].guard, False
        buys: dict[str, Tariff] = {}
        for choice in choices:
            found = self.decks[tenant, choice.trunk.deck].match(e164, at_ms)
            if found is not None and not found.rate.forbidden:
                buy = self.paid_in(tenant, found, sold.charged_in, at_ms)
                if buy is None:
                    is_without_fx = True
                else:
                    buys[choice.trunk.name] = buy
        losing = {name for name, buy in buys.items() if self._loses(tenant, sold, buy, guard, at_ms)}
        trunks = ordered(_priced(choices, buys, at_ms), pick)
        if not trunks:
            return Cause.NO_FX if is_without_fx else Cause.NO_RATE_ABOVE
        if guard.action is GuardAction.WARN:
            return trunks, buys, losing
        safe = tuple(trunk for trunk in trunks if trunk.name not in losing)
        is_refused = not safe or (guard.action is GuardAction.REFUSE and trunks[0].name in losing)
        return Cause.LOSS if is_refused else (safe, buys, set())

    def _loses(self, tenant: str, sell: Tariff, buy: Tariff, guard: LossGuard, at_ms: int) -> bool:
        """Whether a sale loses; decks do not change, so each pair of rates is worked out once, unless others come."""
        if sell.later or buy.later:
            return losing_at(sell, buy, guard, at_ms) is not None
        terms = sell.tax, sell.fx, sell.books, buy.fx, buy.books
        key = tenant, sell.deck, sell.version, sell.rate, buy.deck, buy.version, buy.rate, guard, terms
        judged = self._judged.get(key)
        if judged is None:
            if len(self._judged) >= _MOST_JUDGED:
                self._judged.clear()
            judged = self._judged[key] = losing_at(sell, buy, guard) is not None
        return judged

    def is_emergency(self, dialled: str) -> bool:
        """Whether any shop's phones would reach an emergency service by these digits."""
        return any(shop.numbers.is_emergency(dialled) for shop in self.shops.values())

    def realm_of(self, host: str) -> str:
        """The digest realm for a request that names this host: a realm of ours, else the default one."""
        return host if host in self.algorithms else self.default_realm

    def algorithms_of(self, realm: str) -> tuple[Algorithm, ...]:
        """The digest algorithms of a realm, in the order in which they are offered."""
        return self.algorithms.get(realm, (Algorithm.MD5,))

    def ha1_of(self, realm: str, user: str) -> Mapping[Algorithm, str] | None:
        """The hashed passwords of a user, or None where there is no such booth."""
        booth = self._by_realm.get((realm, user))
        return booth.ha1 if booth is not None else None

    def booth_of_user(self, realm: str, user: str) -> Booth | None:
        """The booth that authenticates by digest as this user."""
        return self._by_realm.get((realm, user))

    def booth_of_source(self, ip: str, user: str | None) -> Booth | None:
        """The booth that authenticates by this source address: the one that From names, or the only one there.

        A name that a booth has which authenticates by digest is left to the digest: both may stand behind one NAT.
        """
        booths = self._by_ip.get(ip)
        if booths is None:
            return None
        named = next((booth for booth in booths if booth.name == user), None)
        if named is None and len(booths) == 1 and user not in self._digest_users:
            return booths[0]
        return named

    def is_another(self, booth: Booth, name: str | None) -> bool:
        """Whether a booth gives itself the name of another one of its provider's."""
        return name != booth.name and name is not None and (booth.tenant, name) in self.booths

    def known_hosts(self) -> frozenset[str]:
        """The addresses that booths and trunks are known by."""
        trunks = [trunk for world in self._worlds.values() for trunk in world.trunks]
        sources = (network.partition("/")[0] for trunk in trunks for network in trunk.sources if _is_one_host(network))
        hosts = (host for trunk in trunks for host, _ in self._addresses(trunk))
        return frozenset([*self._by_ip, *hosts, *sources])

    def trunks_of_source(self, source: Address) -> Sequence[Trunk]:
        """The trunks whose carriers send from this address, in the order of the worlds."""
        return self._sources.find(source)

    def rung(self, tenant: str, e164: str) -> tuple[Booth, ...]:
        """The booths that a number of carriers rings: its own one, or all of its shop; none where nobody has it."""
        return self._rung.get((tenant, e164), ())

    def suspended_above(self, booth: Booth) -> str | None:
        """Who keeps a booth from calling: its owner or the nearest suspended party above him, by name."""
        party = self.parties[booth.tenant].suspended(self.shop_of(booth).owner)
        return party.name if party is not None else None

    def take_party(self, party: Party) -> None:
        """Note that a party was suspended or resumed."""
        tenant = party.tenant
        tree = self.parties[tenant] = self.parties[tenant].replaced(party)
        self._worlds[tenant] = replace(self._worlds[tenant], parties=tuple(tree))


def _is_one_host(network: str) -> bool:
    return ip_network(network).num_addresses == 1


def _priced(choices: Iterable[Choice], buys: Mapping[str, Tariff], at_ms: int) -> Iterator[tuple[Choice, int]]:
    """The choices that have a rate, with what a call costs there, all in the currency in which it is sold to the last.

    Where there is but one, nobody asks.
    """
    for choice in choices:
        buy = buys.get(choice.trunk.name)
        if buy is not None:
            is_asked = len(buys) > 1
            yield choice, booked(buy, cost(buy, at_ms, COMPARED_MS).amount).micros if is_asked else 0
