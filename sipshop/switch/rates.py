"""What a shop's customers pay, as of now: the deck that it sells by, its tax, rates of exchange and numbers (IO)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sipshop.billing.deck import RateDeck, Tariff
from sipshop.billing.receipt import Seller
from sipshop.billing.tax import Tax
from sipshop.proxy.admission import Shop
from sipshop.switch.directory import Directory
from sipshop.switch.errors import UnknownShop
from sipshop.world import Sold


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """What a shop asks at an instant; it does not change, so it may be read on a thread.

    `charged` makes of a tariff of the deck what customers are charged by, None where no rate of exchange holds; `tax`
    is what is in that. `seller` is who stands on paper, `zone` the IANA time zone of the shop. `most_s` is the longest
    call that the switch lets.
    """

    shop: Shop
    deck: RateDeck
    tax: Tax | None
    seller: Seller
    zone: str
    charged: Callable[[Tariff], Tariff | None]
    at_ms: int
    most_s: int


class Rates:
    """The lists of prices of all shops."""

    def __init__(self, directory: Directory, utc_ms: Callable[[], int], most_s: int) -> None:
        self._directory = directory
        self._utc_ms = utc_ms
        self._most_s = most_s

    def prices(self, tenant: str, name: str) -> PriceList:
        """What a shop asks now; raises `UnknownShop`."""
        shop = self._directory.shops.get((tenant, name))
        if shop is None:
            raise UnknownShop(f"there is no shop named {name!r}")
        directory, at_ms = self._directory, self._utc_ms()
        seller, zone = directory.counters[tenant, name].on_paper
        return PriceList(
            shop=shop,
            deck=directory.decks[tenant, shop.deck],
            tax=directory.taxes.get((tenant, Sold.IN_SHOP, name)),
            seller=seller,
            zone=zone,
            charged=lambda tariff: directory.sold_in(shop, tariff, at_ms),
            at_ms=at_ms,
            most_s=self._most_s,
        )
