"""The worlds as the switch reads them: immutable but for suspension, every question one look-up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from sipshop.billing.deck import RateDeck
from sipshop.billing.parties import PartyTree
from sipshop.proxy.admission import Auth, Booth, Shop
from sipshop.proxy.routing import Routing
from sipshop.sip.digest import Algorithm
from sipshop.world import World


class Directory:
    """Shops, booths, decks, routes and parties of every tenant.

    A realm belongs to one set of digest algorithms, whoever's shops are in it; `default_realm` is the one that a
    request gets which names none of ours.
    """

    def __init__(self, worlds: Iterable[World], *, default_realm: str) -> None:
        self.worlds: Final = tuple(worlds)
        self.default_realm: Final = default_realm
        self.shops: dict[tuple[str, str], Shop] = {}
        self.booths: dict[tuple[str, str], Booth] = {}
        self.decks: dict[tuple[str, str], RateDeck] = {}
        self.routings: dict[str, Routing] = {}
        self.parties: dict[str, PartyTree] = {}
        self.algorithms: dict[str, tuple[Algorithm, ...]] = {}
        self._by_realm: dict[tuple[str, str], Booth] = {}
        self._digest_users: set[str] = set()
        self._by_ip: dict[str, list[Booth]] = {}
        for world in self.worlds:
            self._add(world)

    def _add(self, world: World) -> None:
        tenant = world.tenant
        self.parties[tenant] = PartyTree(world.parties)
        self.routings[tenant] = Routing(world.trunks, world.routes)
        self.decks.update({(tenant, deck.name): deck for deck in world.decks})
        for shop in world.shops:
            self.shops[tenant, shop.name] = shop
            self.algorithms[shop.realm] = shop.digest
        for booth in world.booths:
            self.booths[tenant, booth.name] = booth
            if booth.auth is Auth.IP and booth.ip is not None:
                self._by_ip.setdefault(booth.ip, []).append(booth)
            else:
                self._by_realm[self.shop_of(booth).realm, booth.name] = booth
                self._digest_users.add(booth.name)

    def shop_of(self, booth: Booth) -> Shop:
        """The shop of a booth."""
        return self.shops[booth.tenant, booth.shop]

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

    def suspended_above(self, booth: Booth) -> str | None:
        """Who keeps a booth from calling: its owner or the nearest suspended party above him, by name."""
        party = self.parties[booth.tenant].suspended(self.shop_of(booth).owner)
        return party.name if party is not None else None

    def suspend(self, tenant: str, party: str, suspended: bool) -> None:
        """Note that a party was suspended or resumed."""
        self.parties[tenant] = self.parties[tenant].with_suspended(party, suspended)
