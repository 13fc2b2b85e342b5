"""What a charge is to its seller: without the tax, and in the currency in which he buys himself.

What is charged is gross and in the currency of the account; margins are of net amounts, and each is in the currency of
whoever keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sipshop.billing.deck import Tariff
from sipshop.billing.money import Money
from sipshop.billing.tax import EXACT


def net(tariff: Tariff, charged: Money) -> Money:
    """Return a charge without the tax in it, to the last place: tax is rounded when the bill is paid."""
    return charged if tariff.tax is None else tariff.tax.within(charged, EXACT).net


def booked(tariff: Tariff, charged: Money) -> Money:
    """Return what a charge is in its seller's books, or, of a carrier's charge, in those of the provider who pays."""
    amount = net(tariff, charged)
    return amount if tariff.books is None else tariff.books.convert(amount)


def paid(tariff: Tariff, charged: Money, currency: str) -> Money:
    """Return a charge in its buyer's currency: all are in it but those of carriers, which are booked in it."""
    return charged if charged.currency == currency else booked(tariff, charged)


def margins(charges: Iterable[tuple[Tariff, Money]]) -> Iterator[Money | None]:
    """Yield what the buyer of each charge keeps: his own sale, the one before it, less this; None for the customer."""
    sold: Money | None = None
    for tariff, charged in charges:
        yield None if sold is None else sold - paid(tariff, charged, sold.currency)
        sold = booked(tariff, charged)
