"""What a call costs: one exact numerator, rounded once, at the end.

Amounts of one call are added as `num`, in nano-units times seconds, that is 1/60 of a nano-unit: a price of nano-units
a minute times seconds is already in it, a fee is multiplied by 60. Nothing else prices a call.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sipshop.billing.deck import Tariff
from sipshop.billing.money import MICRO_PLACES, Money, format_micros, format_nanos, format_scaled, round_ratio

_NUMS_PER_NANO: Final = 60
_NUMS_PER_MICRO: Final = 60 * 1000


class LineKind(StrEnum):
    """What a line of a call's price is for."""

    FEE = "fee"
    FIRST = "first"
    NEXT = "next"


@dataclass(frozen=True, slots=True)
class Line:
    """One term of a call's price.

    `seconds` are the billed seconds of the increments, 0 for the fee; `price_nanos` is nano-units a minute, for the
    fee nano-units a call; `num` is their product, 1/60 of a nano-unit.
    """

    kind: LineKind
    seconds: int
    price_nanos: int
    num: int

    def to_json(self) -> dict[str, Any]:
        """Return the line in plain JSON types, the price as a decimal string."""
        return {"kind": self.kind.value, "seconds": self.seconds, "price": format_nanos(self.price_nanos)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a call costs and why: the rounded amount, the seconds talked and billed, the terms in billing order."""

    amount: Money
    duration_s: int
    billed_s: int
    lines: tuple[Line, ...]


def cost(talk_ms: int, tariff: Tariff) -> Cost:
    """Return the cost of a talk time in milliseconds; pure, and never less for a longer call.

    The first increment is billed whole, then whole next increments. Talk time that rounds to zero seconds costs
    nothing, not even the fee.
    """
    if talk_ms < 0:
        raise ValueError(f"talk time is not negative: {talk_ms} ms")
    rate = tariff.rate
    duration_s = tariff.duration_round.seconds(talk_ms)
    if duration_s == 0:
        return Cost(amount=Money(0, tariff.currency), duration_s=0, billed_s=0, lines=())
    next_s = -(-max(0, duration_s - rate.first_s) // rate.next_s) * rate.next_s
    lines = [_increments(LineKind.FIRST, rate.first_s, rate.first_price_nanos)]
    if rate.connect_fee_nanos:
        fee = Line(LineKind.FEE, 0, rate.connect_fee_nanos, _NUMS_PER_NANO * rate.connect_fee_nanos)
        lines.insert(0, fee)
    if next_s:
        lines.append(_increments(LineKind.NEXT, next_s, rate.next_price_nanos))
    micros = round_ratio(sum(line.num for line in lines), _NUMS_PER_MICRO, tariff.rounding)
    return Cost(
        amount=Money(micros, tariff.currency),
        duration_s=duration_s,
        billed_s=rate.first_s + next_s,
        lines=tuple(lines),
    )


def explain(cost: Cost) -> str:
    """Return the arithmetic of a cost on one line, exact, in no language: digits, units and signs.

    A sum that was rounded shows both values, joined by `->`; `...` stands for a decimal fraction that has no end.

    >>> from sipshop.billing.deck import Rate, RateDeck
    >>> berlin = Rate(prefix="4930", destination="Berlin", connect_fee_nanos=50_000_000, first_s=60,
    ...               first_price_nanos=120_000_000, next_s=60, next_price_nanos=120_000_000)
    >>> explain(cost(62_000, RateDeck("sell", "EUR", (berlin,)).match("49301234567")))
    '62 s = 0.05 + (60 + 60) s at 0.12/min = 0.29'
    """
    amount = format_micros(cost.amount.micros)
    terms = [*_fee(cost), *_talk(cost)]
    if not terms:
        return f"{cost.duration_s} s = {amount}"
    exact = sum(line.num for line in cost.lines)
    rounded = exact != cost.amount.micros * _NUMS_PER_MICRO
    result = f"{_exact(exact)} -> {amount}" if rounded else amount
    return f"{cost.duration_s} s = {' + '.join(terms)} = {result}"


def _increments(kind: LineKind, seconds: int, price_nanos: int) -> Line:
    return Line(kind, seconds, price_nanos, price_nanos * seconds)


def _fee(cost: Cost) -> list[str]:
    return [format_nanos(line.price_nanos) for line in cost.lines if line.kind is LineKind.FEE]


def _talk(cost: Cost) -> list[str]:
    """Return the increments as terms; those of one price share it, in brackets if a fee stands before them."""
    increments = [line for line in cost.lines if line.kind is not LineKind.FEE]
    prices = {line.price_nanos for line in increments}
    if len(increments) > 1 and len(prices) == 1:
        seconds = " + ".join(str(line.seconds) for line in increments)
        shared = seconds if len(increments) == len(cost.lines) else f"({seconds})"
        return [f"{shared} s at {format_nanos(increments[0].price_nanos)}/min"]
    return [f"{line.seconds} s at {format_nanos(line.price_nanos)}/min" for line in increments]


def _exact(num: int) -> str:
    """Return `num` (1/60 nano-unit) as a decimal: to its last digit, or one digit past micro-units and `...`."""
    if num % 3 == 0:
        # 60 nano-units are 20 * 3: without the 3 the fraction ends within two more places than nano-units have.
        return format_scaled(num // 3 * 5, 11, 2)
    shown = num * 10 ** (MICRO_PLACES + 1) // (_NUMS_PER_NANO * 10**9)
    return f"{format_scaled(shown, MICRO_PLACES + 1, MICRO_PLACES + 1)}..."
