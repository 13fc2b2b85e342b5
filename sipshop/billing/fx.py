"""Exchange: dated rates between two currencies, and what a call keeps of one.

A rate holds from its day on, UTC, until the next one's day, and for so many days at most; where none holds there is no
conversion, and nothing is guessed: not from an older rate, not by way of a third currency. The way back divides by the
same rate, as an inverse one would be rounded (Regulation (EC) No 1103/97, article 4).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from sipshop.billing.errors import BadFx
from sipshop.billing.money import (
    MICRO_PLACES,
    Money,
    Rounding,
    RoundMode,
    check_currency,
    format_scaled,
    minor_unit_places,
    parse_scaled,
    round_ratio,
)

PPM: Final = 1_000_000
PERCENT_PLACES: Final = 4
RATE_PLACES: Final = 9
#: How long a rate holds at most that says nothing else: over a week-end and a few holidays.
HOLDS_DAYS: Final = 7

_NANOS: Final = 10**RATE_PLACES
_DAY_MS: Final = 86_400_000
_EPOCH: Final = date(1970, 1, 1)


def day_of(at_ms: int) -> date:
    """Return the day, UTC, of an instant."""
    return _EPOCH + timedelta(days=at_ms // _DAY_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """An amount of `source` becomes one of `currency`, by the rate that held on a day; a call keeps it so.

    One of `source` is `rate_nanos` (1e-9) of `currency`; where it `divides`, one of `currency` is so much of `source`.
    What is charged is more by the margin, in millionths. `rounding` is that of the amount that comes of it.
    """

    source: str
    currency: str
    rate_nanos: int
    divides: bool
    day: str
    rounding: Rounding
    margin_ppm: int = 0

    @property
    def num(self) -> int:
        """What is multiplied by."""
        return (_NANOS if self.divides else self.rate_nanos) * (PPM + self.margin_ppm)

    @property
    def den(self) -> int:
        """What is divided by."""
        return (self.rate_nanos if self.divides else _NANOS) * PPM

    def convert(self, amount: Money) -> Money:
        """Return an amount in the other currency, rounded once."""
        assert amount.currency == self.source, "an amount of the currency that it is from"
        return Money(round_ratio(amount.micros * self.num, self.den, self.rounding), self.currency)

    def to_json(self) -> dict[str, Any]:
        """Return the conversion in plain JSON types, the rate and the margin in percent as decimal strings."""
        written: dict[str, Any] = {
            "from": self.source,
            "to": self.currency,
            "rate": format_scaled(self.rate_nanos, RATE_PLACES, 0),
            "day": self.day,
            "round": {"mode": self.rounding.mode.value, "places": self.rounding.places},
        }
        if self.divides:
            written["divides"] = True
        if self.margin_ppm:
            written["margin"] = format_scaled(self.margin_ppm, PERCENT_PLACES, 0)
        return written

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Conversion:
        """Read back what `to_json` gave; raises KeyError, TypeError or ValueError if it is not that."""
        return cls(
            source=check_currency(data["from"]),
            currency=check_currency(data["to"]),
            rate_nanos=parse_scaled(data["rate"], RATE_PLACES),
            divides=data.get("divides", False),
            day=data["day"],
            rounding=Rounding(RoundMode(data["round"]["mode"]), data["round"]["places"]),
            margin_ppm=parse_scaled(data.get("margin", "0"), PERCENT_PLACES),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What one of `base` is in `quote`, by day (ISO 8601), the earliest first, in nano-units.

    Raises:
        BadFx: a rate is no price, or a day comes twice or out of order.
    """

    base: str
    quote: str
    rates: tuple[tuple[str, int], ...]
    margin_ppm: int = 0
    holds_days: int = HOLDS_DAYS

    def __post_init__(self) -> None:
        if self.base == self.quote:
            raise BadFx(f"{self.name} is one currency")
        if not self.rates:
            raise BadFx(f"{self.name} has no rates")
        days = [date.fromisoformat(day) for day, _ in self.rates]
        if days != sorted(set(days)):
            raise BadFx(f"{self.name}: a day comes once, the earliest first")
        if min(rate for _, rate in self.rates) <= 0:
            raise BadFx(f"{self.name}: a rate is more than nothing")

    @property
    def name(self) -> str:
        """What it is called: what one of the first is in the second.

        >>> Pair(base="EUR", quote="XOF", rates=(("1999-01-01", 655_957_000_000),)).name
        'EUR/XOF'
        """
        return f"{self.base}/{self.quote}"

    @property
    def ends(self) -> date:
        """The first day on which its newest rate does not hold any more."""
        return date.fromisoformat(self.rates[-1][0]) + timedelta(days=self.holds_days)

    def on(self, day: date) -> tuple[str, int] | None:
        """Return the rate that holds on a day, with its own day; None where there is none or it is too old."""
        place = bisect_right(self.rates, day.isoformat(), key=lambda dated: dated[0])
        if not place:
            return None
        found = self.rates[place - 1]
        return found if day < date.fromisoformat(found[0]) + timedelta(days=self.holds_days) else None


class FxTable:
    """The pairs that there are, to be asked for a conversion either way.

    Raises:
        BadFx: two pairs are of the same two currencies.
    """

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Iterable[Pair] = ()) -> None:
        self._pairs: dict[frozenset[str], Pair] = {}
        for pair in pairs:
            other = self._pairs.setdefault(frozenset((pair.base, pair.quote)), pair)
            if other is not pair:
                raise BadFx(f"{other.name} and {pair.name} are of the same two currencies")

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._pairs.values())

    def has(self, one: str, other: str) -> bool:
        """Whether there are rates between two currencies, whatever the day; one needs none with itself."""
        return one == other or frozenset((one, other)) in self._pairs

    def charging(self, source: str, currency: str, at_ms: int, rounding: Rounding) -> Conversion | None:
        """Return by what a price in one currency is charged in another; None where no rate holds on that day.

        `rounding` is that of the price: the charge is rounded by its mode, and as much finer than coins as it is.
        """
        places = minor_unit_places(currency) + rounding.places - minor_unit_places(source)
        within = Rounding(rounding.mode, max(0, min(MICRO_PLACES, places)))
        return self._conversion(source, currency, at_ms, within, with_margin=True)

    def booking(self, source: str, currency: str, at_ms: int) -> Conversion | None:
        """Return by what a sum is told in another currency, to the last place; None where no rate holds on that day."""
        return self._conversion(source, currency, at_ms, Rounding(RoundMode.HALF_UP, MICRO_PLACES), with_margin=False)

    def _conversion(
        self, source: str, currency: str, at_ms: int, rounding: Rounding, *, with_margin: bool
    ) -> Conversion | None:
        pair = self._pairs.get(frozenset((source, currency)))
        dated = pair.on(day_of(at_ms)) if pair is not None else None
        if pair is None or dated is None:
            return None
        day, rate_nanos = dated
        return Conversion(
            source=source,
            currency=currency,
            rate_nanos=rate_nanos,
            divides=pair.base == currency,
            day=day,
            rounding=rounding,
            margin_ppm=pair.margin_ppm if with_margin else 0,
        )
