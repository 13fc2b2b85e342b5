"""Amounts of money and prices as exact integers, and the one place where a ratio becomes an amount.

An amount is an `int` of micro-units (1e-6) of its currency, a price an `int` of nano-units (1e-9) a minute. Texts are
exact decimals with a point and nothing else: no exponent, no thousands separator, never more places than the unit has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from sipshop.billing.errors import BadAmount, BadDeck, CurrencyMismatch

MICRO_PLACES: Final = 6
NANO_PLACES: Final = 9

# So many integer digits keep every parsed value within the 64 bits that a database column has.
_AMOUNT_DIGITS: Final = 12
_PRICE_DIGITS: Final = 9
_DECIMAL: Final = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_SHOWN_CHARACTERS: Final = 40

# ISO 4217: the currencies whose minor unit is not a hundredth.
_MINOR_UNIT_PLACES: Final = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"), 0),
    **dict.fromkeys(("UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in micro-units (1e-6) of a currency, which is an ISO 4217 code.

    Sums and comparisons stay within one currency; two currencies raise CurrencyMismatch, except that `==` is False.

    >>> str(Money(120_000, "EUR") + Money(50_000, "EUR"))
    '0.17 EUR'
    """

    micros: int
    currency: str

    @classmethod
    def parse(cls, text: str, currency: str) -> Self:
        """Read an exact decimal amount; raises BadAmount as `parse_amount` and `check_currency` do."""
        return cls(parse_amount(text), check_currency(currency))

    def __str__(self) -> str:
        return f"{self.text} {self.currency}"

    @property
    def text(self) -> str:
        """The amount alone, as `amount_text` writes it."""
        return amount_text(self.micros, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.micros, self.currency)

    def __add__(self, other: Money) -> Money:
        return Money(self.micros + self._micros_of(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.micros - self._micros_of(other), self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.micros < self._micros_of(other)

    def __le__(self, other: Money) -> bool:
        return self.micros <= self._micros_of(other)

    def __gt__(self, other: Money) -> bool:
        return self.micros > self._micros_of(other)

    def __ge__(self, other: Money) -> bool:
        return self.micros >= self._micros_of(other)

    def _micros_of(self, other: Money) -> int:
        if other.currency != self.currency:
            raise CurrencyMismatch(f"{self} and {other} are of two currencies")
        return other.micros


class RoundMode(StrEnum):
    """Which neighbour an amount between two places becomes; by magnitude, so a credit mirrors its charge."""

    UP = "up"  # away from zero
    DOWN = "down"  # toward zero
    HALF_UP = "half_up"  # the nearer; a tie away from zero
    HALF_EVEN = "half_even"  # the nearer; a tie to the even neighbour


@dataclass(frozen=True, slots=True)
class Rounding:
    """How a deck's amounts are rounded: the mode, and the places after the decimal point, 0 to 6.

    Raises:
        BadDeck: places out of range.
    """

    mode: RoundMode = RoundMode.HALF_UP
    places: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.places <= MICRO_PLACES:
            raise BadDeck(f"an amount is rounded to 0 to {MICRO_PLACES} places, not {self.places}")


def round_ratio(num: int, den: int, rounding: Rounding) -> int:
    """Return `num / den` micro-units, rounded once to the rounding's places; exact at any size. `den` is positive.

    >>> round_ratio(319_666_667, 1_000, Rounding(RoundMode.HALF_UP, 2))
    320000
    """
    if den <= 0:
        raise ValueError(f"a ratio's denominator is positive, not {den}")
    step: int = 10 ** (MICRO_PLACES - rounding.places)
    unit = den * step
    steps, rest = divmod(abs(num), unit)
    match rounding.mode:
        case RoundMode.UP:
            away = rest > 0
        case RoundMode.DOWN:
            away = False
        case RoundMode.HALF_UP:
            away = 2 * rest >= unit
        case RoundMode.HALF_EVEN:
            away = 2 * rest > unit or (2 * rest == unit and steps % 2 == 1)
    micros = (steps + away) * step
    return micros if num >= 0 else -micros


def parse_amount(text: str) -> int:
    """Return the micro-units of an exact decimal amount.

    >>> parse_amount("0.17")
    170000

    Raises:
        BadAmount: not a plain decimal, more than 6 places, or more than 12 digits before the point.
    """
    return _parse(text, places=MICRO_PLACES, digits=_AMOUNT_DIGITS)


def parse_price(text: str) -> int:
    """Return the nano-units of an exact decimal price, a minute or a call.

    >>> parse_price("0.12")
    120000000

    Raises:
        BadAmount: not a plain decimal, more than 9 places, or more than 9 digits before the point.
    """
    return _parse(text, places=NANO_PLACES, digits=_PRICE_DIGITS)


def parse_scaled(text: str, places: int) -> int:
    """Return `10**places` times an exact decimal with so many places at most; raises BadAmount as `parse_price`.

    >>> parse_scaled("12.5", 4)
    125000
    """
    return _parse(text, places=places, digits=_PRICE_DIGITS)


def format_micros(micros: int, places: int | None = None) -> str:
    """Return an amount as a decimal string with at least `places` (2 by default) digits after the point.

    Trailing zeros beyond them are left out and no other digit ever is, so `parse_amount` gives the amount back.

    >>> format_micros(170_000), format_micros(319_667), format_micros(170_000, 6)
    ('0.17', '0.319667', '0.170000')
    """
    return format_scaled(micros, MICRO_PLACES, 2 if places is None else places)


def amount_text(micros: int, currency: str) -> str:
    """Return an amount as a decimal string with the places of its currency's coins, or more where it is finer.

    >>> amount_text(1_500_000, "TND"), amount_text(5_000_000, "XOF"), amount_text(319_667, "EUR")
    ('1.500', '5', '0.319667')
    """
    return format_micros(micros, minor_unit_places(currency))


def format_nanos(nanos: int, places: int = 2) -> str:
    """Return a price as a decimal string with at least so many places; `parse_price` gives it back."""
    return format_scaled(nanos, NANO_PLACES, places)


def format_scaled(value: int, scale: int, places: int) -> str:
    """Return `value * 10**-scale` as an exact decimal string with at least `places` digits after the point."""
    whole, fraction = divmod(abs(value), 10**scale)
    digits = f"{fraction:0{scale}d}".rstrip("0").ljust(places, "0") if scale else "0" * places
    sign = "-" if value < 0 else ""
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def check_currency(code: str) -> str:
    """Return `code` if it is three capital letters (ISO 4217), or raise BadAmount."""
    if _CURRENCY.fullmatch(code) is None:
        raise BadAmount(f"{_shown(code)} is not a currency: three capital letters, such as EUR")
    return code


def digits_of(micros: int) -> int:
    """Return how many decimal places an amount needs.

    >>> digits_of(120_000), digits_of(5_000_000)
    (2, 0)
    """
    places, rest = MICRO_PLACES, abs(micros)
    while places and rest % 10 == 0:
        places, rest = places - 1, rest // 10
    return places


def minor_unit_places(currency: str) -> int:
    """How many decimal places the smallest coin of a currency has by ISO 4217: EUR 2, XOF 0, TND 3."""
    return _MINOR_UNIT_PLACES.get(currency, 2)


def _parse(text: str, *, places: int, digits: int) -> int:
    found = _DECIMAL.fullmatch(text)
    if found is None:
        raise BadAmount(f"{_shown(text)} is not a decimal number such as 0.12")
    sign, whole, fraction = found[1], found[2], found[3] or ""
    if len(fraction) > places:
        raise BadAmount(f"{_shown(text)} has more than {places} decimal places")
    if len(whole) > digits:
        raise BadAmount(f"{_shown(text)} has more than {digits} digits before the point")
    scaled = int(whole + fraction.ljust(places, "0"))
    return -scaled if sign else scaled


def _shown(text: str) -> str:
    return ascii(text) if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]!a}..."
