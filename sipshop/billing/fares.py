"""A list of prices: what a shop asks for each destination at an instant, by the arithmetic that bills are made with."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from sipshop.billing.deck import Rate, RateDeck, Step, Tariff
from sipshop.billing.money import Money, Rounding, RoundMode, round_ratio
from sipshop.billing.quote import lasts_s
from sipshop.billing.rating import Cost, cost, first_charged_s
from sipshop.billing.tax import PPM, TaxMode

_WHOLE: Final = Rounding(RoundMode.HALF_UP, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fare:
    """A line of the list: what calls to numbers with these prefixes cost; all of it is what customers pay, tax and all.

    `tariff` is what they are charged by. Without one the shop sells no such calls on that day: they are forbidden, or
    there is no rate of exchange.
    """

    rate: Rate
    prefixes: tuple[str, ...]
    tariff: Tariff | None
    at_ms: int

    @property
    def destination(self) -> str:
        """What people call it."""
        return self.rate.destination

    @property
    def window(self) -> str | None:
        """The deck's window that it is for, by name; None where it is for any time."""
        return self.rate.extras.window

    def price(self, talk_s: int) -> Cost:
        """What a talk of so many seconds costs, begun at the instant of the list."""
        assert self.tariff is not None, "asked of what is sold alone"
        return cost(self.tariff, self.at_ms, talk_s * 1000)

    def lasts_s(self, amount: Money, most_s: int) -> int:
        """How many seconds an amount lasts, `most_s` at most; 0 where it does not pay for the minimum call."""
        assert self.tariff is not None, "asked of what is sold alone"
        return lasts_s(self.tariff, amount.micros, most_s, self.at_ms)

    @property
    def minimum(self) -> Cost:
        """The least that an answered call costs: the fee, and the first increment that is charged."""
        assert self.tariff is not None, "asked of what is sold alone"
        return self.price(first_charged_s(self.tariff, self.at_ms))

    @property
    def connect_fee_nanos(self) -> int:
        """The fee of a call, in nano-units."""
        return self._asked_nanos(self.rate.connect_fee_nanos)

    @property
    def terms(self) -> tuple[tuple[int, Step], ...]:
        """The increments, each from a second on, with the price of a minute as customers pay it.

        One that goes on as the one before is left out.
        """
        rate = self.rate
        steps = rate.extras.steps or (
            Step(rate.first_s, rate.first_s, rate.first_price_nanos),
            Step(None, rate.next_s, rate.next_price_nanos),
        )
        made: list[tuple[int, Step]] = []
        start_s, before = 0, None
        for step in steps:
            terms = step.every_s, step.price_nanos
            if terms != before:
                made.append((start_s, replace(step, price_nanos=self._asked_nanos(step.price_nanos))))
            start_s, before = step.until_s or 0, terms
        return tuple(made)

    @property
    def most_nanos(self) -> int:
        """The most that a call costs, in nano-units; asked of a rate with a maximum alone."""
        most = self.rate.extras.max_charge_micros
        assert most is not None, "asked of a rate with a maximum alone"
        return self._taxed(most * 1000 * PPM, PPM)

    def _asked_nanos(self, nanos: int) -> int:
        """A price of the deck as customers pay it, to the nearest nano-unit."""
        return self._taxed(nanos * (PPM + self.rate.extras.surcharge_ppm), PPM)

    def _taxed(self, num: int, den: int) -> int:
        """A price of `num / den` nano-units with the tax, in the currency of the shop."""
        assert self.tariff is not None, "asked of what is sold alone"
        tax, fx = self.tariff.tax, self.tariff.fx
        if tax is not None and tax.mode is TaxMode.ADDED:
            num, den = num * (PPM + tax.percent_ppm), den * PPM
        if fx is not None:
            num, den = num * fx.num, den * fx.den
        return round_ratio(num, den, _WHOLE)


def fares(
    deck: RateDeck,
    charged: Callable[[Tariff], Tariff | None],
    at_ms: int,
    *,
    group: Callable[[str], Hashable],
    prefixes: Iterable[str] | None = None,
    all_windows: bool = False,
) -> list[Fare]:
    """Return what a deck asks at an instant, rates that say the same for one destination as one line.

    `charged` makes of a tariff what customers are charged by, None where they cannot be; prefixes of different groups
    are never on one line. Without `prefixes` it is the whole deck. With `all_windows` there is a line for each time of
    the week, else for the time that it is.
    """
    wanted = dict.fromkeys(rate.prefix for rate in deck.rates) if prefixes is None else dict.fromkeys(prefixes)
    lines: dict[Hashable, list[tuple[str, Rate, Tariff]]] = {}
    for prefix, tariff in _in_force(deck, wanted, at_ms, all_windows=all_windows):
        key = group(prefix), replace(tariff.rate, prefix="1"), tariff.later
        lines.setdefault(key, []).append((prefix, tariff.rate, tariff))
    made = []
    for line in lines.values():
        _, rate, tariff = line[0]
        found = None if rate.forbidden else charged(tariff)
        made.append(Fare(rate=rate, prefixes=tuple(each for each, _, _ in line), tariff=found, at_ms=at_ms))
    return made


def _in_force(
    deck: RateDeck, prefixes: Iterable[str], at_ms: int, *, all_windows: bool
) -> Iterator[tuple[str, Tariff]]:
    """Yield what is in force for each prefix itself; one that has nothing now leaves it to a shorter one."""
    if all_windows:
        wanted = set(prefixes)
        yield from (
            (rate.prefix, deck.tariff(rate))
            for rate in deck.rates
            if rate.prefix in wanted and rate.extras.is_valid(at_ms)
        )
        return
    for prefix in prefixes:
        tariff = deck.match(prefix, at_ms)
        if tariff is not None and tariff.rate.prefix == prefix:
            yield prefix, tariff
