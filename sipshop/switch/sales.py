"""Who sells by one deck what he buys by another, taxed and exchanged: what the loss guard is asked about (IO)."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from functools import partial

from sipshop.billing.deck import RateDeck, Tariff
from sipshop.billing.parties import Party
from sipshop.sheets import Charged, Paid, Sale
from sipshop.switch.directory import Directory
from sipshop.world import World
from sipshop.world.model import Sold


def sales_with(directory: Directory, tenant: str, deck: RateDeck, party: str) -> Iterator[Sale]:
    """Yield the sales of a party and of those below him that another version of a deck is bought or sold by."""
    world = directory.world(tenant)
    decks = {each.name: each for each in world.decks} | {deck.name: deck}
    seen, _ = directory.below(tenant, party)
    for seller in world.parties:
        if seller.name not in seen:
            continue
        for source, bought, paid in _purchases(directory, world, seller):
            for sold_by, sold in _sales_of(directory, world, seller):
                if deck.name in {bought, sold_by} and bought != sold_by:
                    yield Sale(
                        party=seller.name,
                        source=source,
                        guard=seller.guard,
                        buys=decks[bought],
                        sells=decks[sold_by],
                        sold=sold,
                        bought=paid,
                    )


def _purchases(directory: Directory, world: World, seller: Party) -> Iterator[tuple[str, str, Paid]]:
    """Yield of whom and by which deck a party buys: of his seller, the provider by his trunks, a deck once."""
    if seller.deck is not None and seller.parent is not None:
        yield seller.parent, seller.deck, partial(_by_party, directory, seller)
        return
    for trunk in {trunk.deck: trunk for trunk in world.trunks if not trunk.disabled}.values():
        yield f"trunk {trunk.name}", trunk.deck, partial(directory.paid_in, world.tenant)


def _sales_of(directory: Directory, world: World, seller: Party) -> Iterator[tuple[str, Charged]]:
    """Yield by which decks a party sells, with their taxes and in their currencies; alike ones once."""
    currencies = {opening.party: opening.currency for opening in world.openings}
    seen: set[Hashable] = set()
    for child in world.parties:
        if child.parent == seller.name and child.deck is not None:
            kind: Hashable = child.deck, currencies.get(child.name)
            if kind not in seen:
                seen.add(kind)
                yield child.deck, partial(directory.charged_to, seller, child.name)
    for shop in world.shops:
        if shop.owner == seller.name:
            kind = shop.deck, shop.currency, directory.taxes.get((world.tenant, Sold.IN_SHOP, shop.name))
            if kind not in seen:
                seen.add(kind)
                yield shop.deck, partial(directory.sold_in, shop)


def _by_party(directory: Directory, buyer: Party, tariff: Tariff, currency: str, at_ms: int) -> Tariff | None:
    """What a party pays, in the currency of his account, which his own sales are booked in."""
    del currency
    return directory.sold_to(buyer, tariff, at_ms)
