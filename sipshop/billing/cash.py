"""Notes and coins: what a currency has of them, and what lies in a drawer when somebody has counted it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sipshop.billing.errors import BadAmount, BadCount
from sipshop.billing.money import MICRO_PLACES, Money, amount_text, minor_unit_places, parse_amount

#: More of one piece than any drawer holds: what is typed beyond it is a mistake.
MOST_PIECES: Final = 100_000

# By ISO 4217: notes, then coins, the greatest first; those that are still taken, though no longer made, among them.
_PIECES: Final = {
    "AED": ("1000 500 200 100 50 20 10 5", "1 0.50 0.25"),
    "ALL": ("10000 5000 2000 1000 500 200", "200 100 50 20 10 5"),
    "AUD": ("100 50 20 10 5", "2 1 0.50 0.20 0.10 0.05"),
    "BAM": ("200 100 50 20 10", "5 2 1 0.50 0.20 0.10 0.05"),
    "BRL": ("200 100 50 20 10 5 2", "1 0.50 0.25 0.10 0.05"),
    "CAD": ("100 50 20 10 5", "2 1 0.25 0.10 0.05"),
    "CHF": ("1000 200 100 50 20 10", "5 2 1 0.50 0.20 0.10 0.05"),
    "CNY": ("100 50 20 10 5 1", "1 0.50 0.10"),
    "COP": ("100000 50000 20000 10000 5000 2000", "1000 500 200 100 50"),
    "CZK": ("5000 2000 1000 500 200 100", "50 20 10 5 2 1"),
    "DKK": ("1000 500 200 100 50", "20 10 5 2 1 0.50"),
    "DZD": ("2000 1000 500 200", "200 100 50 20 10 5"),
    "EGP": ("200 100 50 20 10 5 1", "1 0.50 0.25"),
    "EUR": ("500 200 100 50 20 10 5", "2 1 0.50 0.20 0.10 0.05 0.02 0.01"),
    "GBP": ("50 20 10 5", "2 1 0.50 0.20 0.10 0.05 0.02 0.01"),
    "GHS": ("200 100 50 20 10 5 2 1", "2 1 0.50 0.20 0.10"),
    "HUF": ("20000 10000 5000 2000 1000 500", "200 100 50 20 10 5"),
    "ILS": ("200 100 50 20", "10 5 2 1 0.50 0.10"),
    "INR": ("500 200 100 50 20 10 5", "20 10 5 2 1"),
    "JOD": ("50 20 10 5 1", "0.500 0.250 0.100 0.050"),
    "JPY": ("10000 5000 2000 1000", "500 100 50 10 5 1"),
    "KES": ("1000 500 200 100 50", "20 10 5 1"),
    "KRW": ("50000 10000 5000 1000", "500 100 50 10"),
    "KWD": ("20 10 5 1 0.500 0.250", "0.100 0.050 0.020 0.010 0.005"),
    "MAD": ("200 100 50 20", "10 5 2 1 0.50 0.20 0.10"),
    "MXN": ("1000 500 200 100 50 20", "20 10 5 2 1 0.50"),
    "NGN": ("1000 500 200 100 50 20 10 5", ""),
    "NOK": ("1000 500 200 100 50", "20 10 5 1"),
    "NZD": ("100 50 20 10 5", "2 1 0.50 0.20 0.10"),
    "PEN": ("200 100 50 20 10", "5 2 1 0.50 0.20 0.10"),
    "PHP": ("1000 500 200 100 50 20", "20 10 5 1 0.25"),
    "PLN": ("500 200 100 50 20 10", "5 2 1 0.50 0.20 0.10 0.05 0.02 0.01"),
    "QAR": ("500 200 100 50 10 5 1", "0.50 0.25"),
    "RON": ("500 200 100 50 20 10 5 1", "0.50 0.10 0.05 0.01"),
    "RSD": ("5000 2000 1000 500 200 100 50 20 10", "20 10 5 2 1"),
    "SAR": ("500 200 100 50 20 10 5", "2 1 0.50 0.25 0.10 0.05"),
    "SEK": ("1000 500 200 100 50 20", "10 5 2 1"),
    "THB": ("1000 500 100 50 20", "10 5 2 1 0.50 0.25"),
    "TND": ("50 20 10 5", "5 2 1 0.500 0.200 0.100 0.050 0.020 0.010 0.005"),
    "TRY": ("200 100 50 20 10 5", "5 1 0.50 0.25 0.10 0.05"),
    "UAH": ("1000 500 200 100 50 20", "10 5 2 1 0.50 0.10"),
    "USD": ("100 50 20 10 5 2 1", "1 0.50 0.25 0.10 0.05 0.01"),
    "VND": ("500000 200000 100000 50000 20000 10000 5000 2000 1000", ""),
    "XAF": ("10000 5000 2000 1000 500", "500 200 100 50 25 10 5 2 1"),
    "XOF": ("10000 5000 2000 1000 500", "500 250 200 100 50 25 10 5 1"),
    "ZAR": ("200 100 50 20 10", "5 2 1 0.50 0.20 0.10"),
}
_SERIES: Final = (5, 2, 1)
#: How many powers of ten of the smallest coin a currency is given of whose notes nothing is known here.
_POWERS: Final = 7
_COIN_POWERS: Final = 3


@dataclass(frozen=True, slots=True)
class Piece:
    """A note or a coin. There may be both of one value: they are counted together, as notes."""

    value: Money
    is_note: bool


@cache
def pieces(currency: str) -> tuple[Piece, ...]:
    """Return the notes and coins of a currency, the greatest first, each value once.

    One whose notes are not known here has a series of 1, 2 and 5.

    >>> [piece.value.text for piece in pieces("CHF") if not piece.is_note]
    ['5.00', '2.00', '1.00', '0.50', '0.20', '0.10', '0.05']
    """
    if currency not in _PIECES:
        return tuple(_series(currency))
    notes, coins = ([parse_amount(value) for value in listed.split()] for listed in _PIECES[currency])
    values = sorted({*notes, *coins}, reverse=True)
    return tuple(Piece(Money(micros, currency), micros in notes) for micros in values)


def _series(currency: str) -> list[Piece]:
    smallest = 10 ** (MICRO_PLACES - minor_unit_places(currency))
    return [
        Piece(Money(first * smallest * 10**power, currency), power >= _COIN_POWERS)
        for power in reversed(range(_POWERS))
        for first in _SERIES
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What somebody has counted: how many there are of each value in micro-units, the greatest first, and the rest.

    `other_micros` is what is none of the pieces: rolls, a note that is not listed, a voucher that is as good as cash.
    """

    currency: str
    numbers: tuple[tuple[int, int], ...]
    other_micros: int = 0

    @classmethod
    def of(cls, currency: str, numbers: Mapping[str, int], other: str = "0") -> Count:
        """Read how many there are of each value, which is a decimal text.

        >>> str(Count.of("EUR", {"50": 2, "0.05": 3}).total)
        '100.15 EUR'

        Raises:
            BadCount: the currency has no such piece, one stands there twice, or a number is none that there can be.
        """
        known = {piece.value.micros for piece in pieces(currency)}
        found: dict[int, int] = {}
        for text, number in numbers.items():
            micros = _amount(text)
            if micros not in known:
                raise BadCount(f"there is no note or coin of {text[:40]!a} {currency}: count it as `other`")
            if micros in found:
                raise BadCount(f"{amount_text(micros, currency)} {currency} is counted twice")
            if not 0 <= number <= MOST_PIECES:
                raise BadCount(f"of {text} {currency} there are 0 to {MOST_PIECES}, not {number}")
            found[micros] = number
        rest = _amount(other)
        if rest < 0:
            raise BadCount(f"other cash is not below zero, such as {other[:40]!a}")
        there = tuple((micros, found[micros]) for micros in sorted(found, reverse=True) if found[micros])
        return cls(currency=currency, numbers=there, other_micros=rest)

    @property
    def total(self) -> Money:
        """All of it."""
        return Money(sum(micros * number for micros, number in self.numbers) + self.other_micros, self.currency)

    def to_json(self) -> dict[str, Any]:
        """Return the count in plain JSON types; `of` reads its `pieces` and `other`."""
        return {
            "pieces": {amount_text(micros, self.currency): number for micros, number in self.numbers},
            "other": amount_text(self.other_micros, self.currency),
            "total": self.total.text,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], currency: str) -> Count:
        """Read back what `to_json` gave, whatever pieces there are by now; raises KeyError, TypeError or ValueError."""
        return cls(
            currency=currency,
            numbers=tuple((parse_amount(value), int(number)) for value, number in data["pieces"].items()),
            other_micros=parse_amount(data["other"]),
        )


def _amount(text: str) -> int:
    try:
        return parse_amount(text)
    except BadAmount as error:
        raise BadCount(str(error)) from None
