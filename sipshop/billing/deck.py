"""Decks: what one side asks a minute for each prefix, and the one line of it that a call keeps.

A deck is immutable and swapped by reference; a live call keeps its `Tariff`, so a new deck never changes its price.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from sipshop.billing.errors import BadAmount, BadDeck, BadTariff
from sipshop.billing.money import (
    Rounding,
    RoundMode,
    check_currency,
    format_nanos,
    minor_unit_places,
    parse_price,
)

_PREFIX: Final = re.compile(r"[1-9][0-9]{0,14}")


class DurationRound(StrEnum):
    """How talk time in milliseconds becomes the whole seconds that are rated."""

    CEIL = "ceil"
    FLOOR = "floor"
    NEAREST = "nearest"  # half a second counts as one

    def seconds(self, talk_ms: int) -> int:
        """Return the whole seconds of a talk time that is not negative.

        >>> DurationRound.CEIL.seconds(60_001), DurationRound.FLOOR.seconds(60_999)
        (61, 60)
        """
        match self:
            case DurationRound.CEIL:
                return -(-talk_ms // 1000)
            case DurationRound.FLOOR:
                return talk_ms // 1000
            case DurationRound.NEAREST:
                return (talk_ms + 500) // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One line of a deck: what a call to numbers with this prefix costs.

    The first increment is `first_s` seconds at `first_price_nanos`, each next one `next_s` seconds at
    `next_price_nanos`; prices are nano-units a minute, the connect fee nano-units a call. A `forbidden` rate refuses
    the call.

    Raises:
        BadDeck: the prefix is not E.164 digits, an increment is under a second, or a price is negative.
    """

    prefix: str
    destination: str
    connect_fee_nanos: int
    first_s: int
    first_price_nanos: int
    next_s: int
    next_price_nanos: int
    forbidden: bool = False

    def __post_init__(self) -> None:
        if _PREFIX.fullmatch(self.prefix) is None:
            raise BadDeck(f"{self.prefix!r} is not a prefix: 1 to 15 digits with the country code, no 0 first")
        if self.first_s < 1 or self.next_s < 1:
            raise BadDeck(f"prefix {self.prefix}: an increment is at least 1 s")
        if min(self.connect_fee_nanos, self.first_price_nanos, self.next_price_nanos) < 0:
            # A negative price would make a longer call cheaper, and then no hold could ever cover a call.
            raise BadDeck(f"prefix {self.prefix}: a price is not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """What a call keeps of its deck: everything that `rating.cost` needs, so the price can be worked out again."""

    deck: str
    version: int
    currency: str
    rounding: Rounding
    duration_round: DurationRound
    rate: Rate

    def to_json(self) -> dict[str, Any]:
        """Return the snapshot in plain JSON types, prices as decimal strings."""
        rate = self.rate
        return {
            "deck": self.deck,
            "version": self.version,
            "currency": self.currency,
            "round": {"mode": self.rounding.mode.value, "places": self.rounding.places},
            "duration_round": self.duration_round.value,
            "rate": {
                "prefix": rate.prefix,
                "destination": rate.destination,
                "connect_fee": format_nanos(rate.connect_fee_nanos),
                "first_s": rate.first_s,
                "first_price": format_nanos(rate.first_price_nanos),
                "next_s": rate.next_s,
                "next_price": format_nanos(rate.next_price_nanos),
                "forbidden": rate.forbidden,
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Tariff:
        """Read back what `to_json` gave; raises BadTariff if it is not that."""
        try:
            rate = data["rate"]
            return cls(
                deck=data["deck"],
                version=data["version"],
                currency=check_currency(data["currency"]),
                rounding=Rounding(RoundMode(data["round"]["mode"]), data["round"]["places"]),
                duration_round=DurationRound(data["duration_round"]),
                rate=Rate(
                    prefix=rate["prefix"],
                    destination=rate["destination"],
                    connect_fee_nanos=parse_price(rate["connect_fee"]),
                    first_s=rate["first_s"],
                    first_price_nanos=parse_price(rate["first_price"]),
                    next_s=rate["next_s"],
                    next_price_nanos=parse_price(rate["next_price"]),
                    forbidden=rate["forbidden"],
                ),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadTariff(f"a stored tariff cannot be read: {error}") from error


@dataclass(frozen=True, slots=True, init=False)
class RateDeck:
    """All rates of one side, ready to be asked for a number.

    Without a `rounding` amounts are rounded half up to the currency's minor unit, so that the lines of a receipt add up
    in coins.

    Raises:
        BadDeck: two rates have one prefix, or the currency is no ISO 4217 code.
    """

    name: str
    currency: str
    rates: tuple[Rate, ...]
    version: int
    rounding: Rounding
    duration_round: DurationRound
    _by_prefix: Mapping[str, Rate] = field(repr=False, compare=False)
    _lengths: tuple[int, ...] = field(repr=False, compare=False)  # of the prefixes present, longest first

    def __init__(
        self,
        name: str,
        currency: str,
        rates: tuple[Rate, ...],
        *,
        version: int = 1,
        rounding: Rounding | None = None,
        duration_round: DurationRound = DurationRound.CEIL,
    ) -> None:
        by_prefix = {rate.prefix: rate for rate in rates}
        if len(by_prefix) != len(rates):
            raise BadDeck(f"deck {name!r} has two rates of one prefix")
        try:
            check_currency(currency)
        except BadAmount as error:
            raise BadDeck(f"deck {name!r}: {error}") from error
        keep = object.__setattr__  # the deck is frozen from here on
        keep(self, "name", name)
        keep(self, "currency", currency)
        keep(self, "rates", rates)
        keep(self, "version", version)
        keep(self, "rounding", rounding or Rounding(RoundMode.HALF_UP, minor_unit_places(currency)))
        keep(self, "duration_round", duration_round)
        keep(self, "_by_prefix", by_prefix)
        keep(self, "_lengths", tuple(sorted({len(prefix) for prefix in by_prefix}, reverse=True)))

    def match(self, e164: str) -> Tariff | None:
        """Return the tariff of the longest prefix of a number in E.164 digits, or None if there is no rate.

        A forbidden rate is returned as any other: its caller refuses the call.
        """
        for length in self._lengths:
            # A number shorter than this length is probed whole more than once; it finds the same answer.
            rate = self._by_prefix.get(e164[:length])
            if rate is not None:
                return Tariff(
                    deck=self.name,
                    version=self.version,
                    currency=self.currency,
                    rounding=self.rounding,
                    duration_round=self.duration_round,
                    rate=rate,
                )
        return None
