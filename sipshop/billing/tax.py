"""Tax on a sale: what of an amount is net and what is tax, so that both always add up to the gross.

What an account moves by is gross. Tax is rounded once for a whole total of one rate, as invoices in the EU have it
(EN 16931, rule BR-CO-17), never call by call: the tax in a hundred small calls is the tax in their sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sipshop.billing.errors import BadTax
from sipshop.billing.money import (
    MICRO_PLACES,
    Money,
    Rounding,
    RoundMode,
    digits_of,
    format_scaled,
    minor_unit_places,
    parse_scaled,
    round_ratio,
)

#: The parts of a tax's whole: a percentage has at most 4 decimal places.
PPM: Final = 1_000_000
PERCENT_PLACES: Final = 4
_MOST_PPM: Final = PPM


class TaxMode(StrEnum):
    """Whether prices have the tax in them."""

    INCLUDED = "included"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class Taxed:
    """An amount and its parts; `net + tax == gross`, to the last place."""

    net: Money
    tax: Money
    gross: Money

    def __post_init__(self) -> None:
        assert self.net + self.tax == self.gross, "net and tax are the gross"


@dataclass(frozen=True, slots=True)
class Tax:
    """A rate of tax, in millionths, by the name that bills call it, such as VAT.

    Raises:
        BadTax: it is below zero or above the whole.
    """

    percent_ppm: int
    mode: TaxMode
    name: str

    def __post_init__(self) -> None:
        if not 0 <= self.percent_ppm <= _MOST_PPM:
            raise BadTax(f"a tax is 0 to 100 percent, not {format_scaled(self.percent_ppm, PERCENT_PLACES, 0)}")

    @property
    def percent(self) -> str:
        """The rate as a decimal string.

        >>> Tax(81_000, TaxMode.ADDED, "VAT").percent
        '8.1'
        """
        return format_scaled(self.percent_ppm, PERCENT_PLACES, 0)

    def split(self, amount: Money, rounding: Rounding | None = None) -> Taxed:
        """Return the parts of a price: one that has the tax in it, or, with `added`, one that it comes on top of.

        The price and its tax are rounded to the currency's minor unit, half up, unless `rounding` says otherwise.

        >>> str(Tax(200_000, TaxMode.ADDED, "VAT").split(Money(5_000_000, "EUR")).gross)
        '6.00 EUR'
        """
        to = rounding or coins(amount.currency)
        price = Money(round_ratio(amount.micros, 1, to), amount.currency)
        if self.mode is TaxMode.INCLUDED:
            return self.within(price, to)
        tax = Money(round_ratio(price.micros * self.percent_ppm, PPM, to), price.currency)
        return Taxed(price, tax, price + tax)

    def within(self, gross: Money, rounding: Rounding | None = None) -> Taxed:
        """Return the parts of an amount that has been paid or charged, which is gross whatever prices are.

        The tax is rounded to the currency's minor unit, half up, unless `rounding` says otherwise, or to the last place
        of the amount, where that is further: a net never has more digits than its gross.
        """
        to = rounding or coins(gross.currency, gross.micros)
        num = round_ratio(gross.micros * self.percent_ppm, PPM + self.percent_ppm, to)
        tax = Money(num, gross.currency)
        return Taxed(gross - tax, tax, gross)

    def to_json(self) -> dict[str, Any]:
        """Return the tax in plain JSON types, the percentage as a decimal string."""
        return {"name": self.name, "percent": self.percent, "mode": self.mode.value}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Tax:
        """Read back what `to_json` gave; raises KeyError, TypeError or ValueError if it is not that."""
        return cls(parse_scaled(data["percent"], PERCENT_PLACES), TaxMode(data["mode"]), data["name"])


#: To the last place that an amount has.
EXACT: Final = Rounding(RoundMode.HALF_UP, MICRO_PLACES)


def coins(currency: str, *micros: int) -> Rounding:
    """Return how a total is rounded: half up to the currency's coins, or finer where one of these amounts is."""
    places = max([minor_unit_places(currency), *map(digits_of, micros)])
    return Rounding(RoundMode.HALF_UP, places)


@dataclass(frozen=True, slots=True)
class TaxSum:
    """What is taxed at one rate in a total, and the parts of that."""

    tax: Tax
    parts: Taxed


def taxes_within(amounts: Iterable[tuple[Tax | None, Money]], off: Money | None = None) -> tuple[TaxSum, ...]:
    """Return the taxes in gross amounts, one sum for each rate, in the order in which the rates come.

    Each sum is split once, so a bill of many calls has the tax of its total. What is taken `off` the whole, which is no
    more than it, lowers what is taxed at each rate, and what is not taxed, in proportion, to the last place of the
    amounts.
    """
    sums: dict[Tax | None, Money] = {}
    for tax, gross in amounts:
        sums[tax] = sums[tax] + gross if tax in sums else gross
    if off is not None and off.micros:
        sums = dict(zip(sums, _lowered(list(sums.values()), off), strict=True))
    return tuple(TaxSum(tax, tax.within(gross)) for tax, gross in sums.items() if tax is not None)


def _lowered(sums: list[Money], off: Money) -> Iterator[Money]:
    """Take an amount off some, in proportion; the parts are whole places and come to it."""
    places = coins(off.currency, off.micros, *(each.micros for each in sums)).places
    total = sum(each.micros for each in sums)
    passed = taken = 0
    for each in sums:
        passed += each.micros
        until = round_ratio(off.micros * passed, total, Rounding(RoundMode.HALF_UP, places))
        yield Money(each.micros - (until - taken), each.currency)
        taken = until
