"""What a call costs: one exact numerator, rounded once, at the end; and how much of a call an amount pays.

Amounts of one call are added as `num`, in nano-units times seconds, that is 1/60 of a nano-unit: a price of nano-units
a minute times seconds is already in it, a fee is multiplied by 60. Nothing else prices a call.

A call's seconds are counted twice: as it is talked, where instants are, and as it is billed, without those that are
free, where increments are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final

from sipshop.billing.deck import (
    FORESEEN_MS,
    NO_EXTRAS,
    PERCENT_PLACES,
    PPM,
    IncrementRule,
    MaxPolicy,
    Rate,
    Step,
    Tariff,
)
from sipshop.billing.fx import RATE_PLACES
from sipshop.billing.money import MICRO_PLACES, Money, format_nanos, format_scaled, minor_unit_places, round_ratio
from sipshop.billing.tax import TaxMode

#: A call that is let in is answered within this, or not at all.
ANSWER_WITHIN_MS: Final = 3_600_000

_NUMS_PER_NANO: Final = 60
_NUMS_PER_MICRO: Final = 60 * 1000
_NANOS_PER_MICRO: Final = 1000


class LineKind(StrEnum):
    """What a line of a call's price is for."""

    GRACE = "grace"  # nothing is charged: the talk is shorter than this
    FEE = "fee"
    FIRST = "first"
    FREE = "free"
    NEXT = "next"
    SURCHARGE = "surcharge"
    MINIMUM = "minimum"  # charged instead of less
    MAXIMUM = "maximum"  # charged instead of more
    # What the sum of all these is multiplied by.
    TAX = "tax"  # that is added: a percentage of the sum, beyond it
    TIMES = "times"  # the rate of exchange into the currency of the account
    DIVIDED = "divided"  # by the rate of exchange out of it
    MARGIN = "margin"  # on the exchange: a percentage, beyond it


_FACTORS: Final = frozenset({LineKind.TAX, LineKind.TIMES, LineKind.DIVIDED, LineKind.MARGIN})
_PERCENTAGES: Final = frozenset({LineKind.SURCHARGE, LineKind.TAX, LineKind.MARGIN})
#: What is no term of the sum.
_BEYOND: Final = frozenset({LineKind.MINIMUM, LineKind.MAXIMUM, *_FACTORS})


@dataclass(frozen=True, slots=True)
class Line:
    """One term of a call's price.

    `seconds` are the billed seconds of the increments, 0 for the fee; `price_nanos` is nano-units a minute, for the
    fee, the minimum and the maximum nano-units a call, for a surcharge millionths; `num` is their product, 1/60 of a
    nano-unit, for a surcharge millionths of that. What the sum is multiplied by has no `num`, and as `price_nanos` the
    rate of exchange in nano-units, or the tax or the margin in millionths.
    """

    kind: LineKind
    seconds: int
    price_nanos: int
    num: int

    def to_json(self, places: int) -> dict[str, Any]:
        """Return the line in plain JSON types, the price with at least so many places, or the percentage, as a text."""
        if self.kind in _PERCENTAGES:
            return {"kind": self.kind.value, "percent": format_scaled(self.price_nanos, PERCENT_PLACES, 0)}
        if self.kind in _FACTORS:
            return {"kind": self.kind.value, "rate": format_scaled(self.price_nanos, RATE_PLACES, 0)}
        return {"kind": self.kind.value, "seconds": self.seconds, "price": format_nanos(self.price_nanos, places)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a call costs and why: the rounded amount, the seconds talked and billed, the terms in billing order."""

    amount: Money
    duration_s: int
    billed_s: int
    lines: tuple[Line, ...]


def cost(tariff: Tariff, answered_at_ms: int, talk_ms: int) -> Cost:
    """Return the cost of a talk time in milliseconds; pure, and never less for a longer call.

    The first increment is billed whole, then whole next increments. Talk time that rounds to zero seconds costs
    nothing, not even the fee. `answered_at_ms`, UTC, matters where the tariff has rates that come later.
    """
    if talk_ms < 0:
        raise ValueError(f"talk time is not negative: {talk_ms} ms")
    duration_s = tariff.duration_round.seconds(talk_ms)
    rate = _rate_at(tariff, answered_at_ms)
    extras = rate.extras
    if duration_s == 0 or talk_ms < extras.grace_s * 1000:
        grace = (Line(LineKind.GRACE, extras.grace_s, 0, 0),) if duration_s else ()
        return Cost(amount=Money(0, tariff.charged_in), duration_s=duration_s, billed_s=0, lines=grace)
    lines, billed_s = _terms(tariff, rate, answered_at_ms, duration_s)
    num, den = _sum(lines), _NUMS_PER_MICRO * PPM
    if extras is not NO_EXTRAS:
        least, most = extras.min_charge_micros, extras.max_charge_micros
        if num < least * den:
            lines.append(_instead(LineKind.MINIMUM, least))
            num = least * den
        if most is not None and num > most * den:
            lines.append(_instead(LineKind.MAXIMUM, most))
            num = most * den
    if tariff.tax is not None or tariff.fx is not None:
        lines += _factors(tariff)
    return Cost(
        amount=Money(_charged(tariff, num, den), tariff.charged_in),
        duration_s=duration_s,
        billed_s=billed_s,
        lines=tuple(lines),
    )


def _charged(tariff: Tariff, num: int, den: int) -> int:
    """A price of `num / den` micro-units as it is charged: with the tax, in the account's currency, rounded once."""
    tax, fx = tariff.tax, tariff.fx
    if tax is not None and tax.mode is TaxMode.ADDED:
        num, den = num * (PPM + tax.percent_ppm), den * PPM
    if fx is None:
        return round_ratio(num, den, tariff.rounding)
    return round_ratio(num * fx.num, den * fx.den, fx.rounding)


def _factors(tariff: Tariff) -> Iterator[Line]:
    """The same, as the terms that a price has after its sum."""
    tax, fx = tariff.tax, tariff.fx
    if tax is not None and tax.mode is TaxMode.ADDED:
        yield Line(LineKind.TAX, 0, tax.percent_ppm, 0)
    if fx is not None:
        yield Line(LineKind.DIVIDED if fx.divides else LineKind.TIMES, 0, fx.rate_nanos, 0)
        if fx.margin_ppm:
            yield Line(LineKind.MARGIN, 0, fx.margin_ppm, 0)


# What a call may last.


def affordable_s(tariff: Tariff, answered_at_ms: int, funds_micros: int) -> int | None:
    """Return the longest talk in whole seconds that funds pay for, None if they pay for any.

    It is 0 where they do not pay for the first increment that is charged, whatever is free before it.
    """

    def price(seconds: int) -> int:
        return cost(tariff, answered_at_ms, seconds * 1000).amount.micros

    if price(first_charged_s(tariff, answered_at_ms)) > funds_micros:
        return 0
    end_s = cut_off_s(tariff, answered_at_ms)
    if end_s is not None:
        return longest(lambda seconds: price(seconds) <= funds_micros, 0, end_s)
    if _is_bounded(tariff, answered_at_ms) and price(_settled_s(tariff)) <= funds_micros:
        return None
    return _longest_of_any(lambda seconds: price(seconds) <= funds_micros)


def first_charged_s(tariff: Tariff, answered_at_ms: int) -> int:
    """Return the shortest talk in whole seconds for which something is charged, if only a price of nothing."""
    rate = _rate_at(tariff, answered_at_ms)
    extras = rate.extras
    is_free = not (extras.free_after_first or rate.connect_fee_nanos or extras.min_charge_micros)
    return max(1, extras.grace_s, extras.free_s + 1 if is_free else 0)


def cut_off_s(tariff: Tariff, answered_at_ms: int) -> int | None:
    """Return the longest talk in whole seconds that a rate's maximum charge allows, None if it does not end a call."""
    rate = _rate_at(tariff, answered_at_ms)
    most = rate.extras.max_charge_micros
    if most is None or rate.extras.max_policy is not MaxPolicy.DISCONNECT:
        return None

    def fits(seconds: int) -> bool:
        if seconds < max(1, rate.extras.grace_s):
            return True
        return _sum(_terms(tariff, rate, answered_at_ms, seconds)[0]) <= most * _NUMS_PER_MICRO * PPM

    if not _tail(tariff, answered_at_ms) and fits(_settled_s(tariff)):
        return None
    return _longest_of_any(fits)


def most_micros(tariff: Tariff, from_ms: int, talk_ms: int) -> int:
    """Return what a talk costs at most that may be answered at any instant from one on; at least its cost at each.

    It is exact where no other rate comes meanwhile, else a bound: every second as dear as the dearest rate has any.
    """
    to_ms = from_ms + ANSWER_WITHIN_MS + talk_ms
    rates = [_rate_at(tariff, from_ms), *(rate for at_ms, rate in tariff.later if from_ms < at_ms <= to_ms)]
    if len(rates) == 1:
        return cost(tariff, from_ms, talk_ms).amount.micros
    duration_s = tariff.duration_round.seconds(talk_ms)
    steps = [step for rate in rates for _, step in _steps(rate)]
    billed_s = duration_s - 1 + max(step.every_s for step in steps) if duration_s else 0
    fee = max(rate.connect_fee_nanos for rate in rates) if duration_s else 0
    num = _NUMS_PER_NANO * fee + billed_s * max(step.price_nanos for step in steps)
    least = max(rate.extras.min_charge_micros for rate in rates) * _NUMS_PER_MICRO if duration_s else 0
    surcharge_ppm = max(rate.extras.surcharge_ppm for rate in rates)
    return _charged(tariff, max(num * (PPM + surcharge_ppm), least * PPM), _NUMS_PER_MICRO * PPM)


def _is_bounded(tariff: Tariff, answered_at_ms: int) -> bool:
    """Whether a call costs no more from some length on."""
    extras = _rate_at(tariff, answered_at_ms).extras
    return extras.max_charge_micros is not None or not _tail(tariff, answered_at_ms)


def _tail(tariff: Tariff, answered_at_ms: int) -> int:
    """The price, in nano-units a minute, of the seconds of a call that has lasted very long."""
    last = tariff.later[-1][1] if tariff.later else _rate_at(tariff, answered_at_ms)
    return last.extras.steps[-1].price_nanos if last.extras.steps else last.next_price_nanos


def _settled_s(tariff: Tariff) -> int:
    """A length beyond all steps, free seconds, changes of the rate and, where it comes to that, any maximum."""
    rates = (tariff.rate, *(rate for _, rate in tariff.later))
    steps_s = sum((step.until_s or 0) + step.every_s for rate in rates for _, step in _steps(rate))
    terms_s = sum(rate.extras.free_s + rate.extras.grace_s for rate in rates)
    most = max((rate.extras.max_charge_micros or 0 for rate in rates), default=0)
    prices = [step.price_nanos for rate in rates for _, step in _steps(rate) if step.price_nanos]
    return steps_s + terms_s + FORESEEN_MS // 1000 + (most * _NUMS_PER_MICRO // min(prices) if prices else 0)


def _longest_of_any(fits: Callable[[int], bool]) -> int:
    """The largest whole number that fits, where all below it fit too, and not all fit."""
    high = 1
    while fits(high):
        high *= 2
    return longest(fits, 0, high)


def longest(fits: Callable[[int], bool], low: int, high: int) -> int:
    """Return the largest from `low` to `high` that fits, where all below it fit too; `low` itself is not asked."""
    if high <= low or fits(high):
        return max(low, high)
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low


# The terms of a price.


def _rate_at(tariff: Tariff, at_ms: int) -> Rate:
    """The rate in force at an instant, the first one before any other."""
    rate = tariff.rate
    for from_ms, later in tariff.later:
        if from_ms > at_ms:
            break
        rate = later
    return rate


def _terms(tariff: Tariff, rate: Rate, answered_at_ms: int, duration_s: int) -> tuple[list[Line], int]:
    """Return the terms of a talk that begins with a rate, before any minimum and maximum, and the billed seconds."""
    extras = rate.extras
    if extras is NO_EXTRAS and not tariff.later:
        lines = list(_increments(rate, tariff.increment_rule, duration_s))
        billed_s = sum([line.seconds for line in lines])
        if rate.connect_fee_nanos:
            lines.insert(0, _fee(rate))
        return lines, billed_s
    first_s = extras.steps[0].every_s if extras.steps else rate.first_s
    before_s = 0 if extras.free_after_first else extras.free_s

    def billed(talked_s: int) -> int:
        if not extras.free_after_first:
            return max(0, talked_s - before_s)
        return talked_s if talked_s <= first_s else max(first_s, talked_s - extras.free_s)

    to_bill_s = billed(duration_s)
    priced = [(line, extras.surcharge_ppm) for line in ((_fee(rate),) if rate.connect_fee_nanos else ())]
    if tariff.later:
        changes = [(0, rate)]
        changes += [
            (billed(-((answered_at_ms - at_ms) // 1000)), to) for at_ms, to in tariff.later if at_ms > answered_at_ms
        ]
        talk = list(_split(changes, tariff.increment_rule, to_bill_s))
    else:
        talk = [(line, extras.surcharge_ppm) for line in _increments(rate, tariff.increment_rule, to_bill_s)]
    billed_s = sum(line.seconds for line, _ in talk)
    free_s = duration_s - to_bill_s
    if free_s:
        place = sum(line.kind is LineKind.FIRST for line, _ in talk) if extras.free_after_first else 0
        talk.insert(place, (Line(LineKind.FREE, free_s, 0, 0), 0))
    priced += talk
    return [line for line, _ in priced] + list(_surcharges(priced)), billed_s


def _fee(rate: Rate) -> Line:
    return Line(LineKind.FEE, 0, rate.connect_fee_nanos, _NUMS_PER_NANO * rate.connect_fee_nanos)


def _instead(kind: LineKind, micros: int) -> Line:
    return Line(kind, 0, micros * _NANOS_PER_MICRO, micros * _NUMS_PER_MICRO)


def _surcharges(priced: Iterable[tuple[Line, int]]) -> Iterator[Line]:
    """One line for each surcharge, on all that it is for."""
    sums: dict[int, int] = {}
    for line, ppm in priced:
        if ppm:
            sums[ppm] = sums.get(ppm, 0) + line.num
    yield from (Line(LineKind.SURCHARGE, 0, ppm, num * ppm) for ppm, num in sums.items())


def _sum(lines: Iterable[Line]) -> int:
    """What terms add up to, in millionths of a num."""
    return sum(
        [line.num if line.kind is LineKind.SURCHARGE else line.num * PPM for line in lines if line.kind not in _BEYOND]
    )


def _increments(rate: Rate, rule: IncrementRule, to_bill_s: int) -> Iterator[Line]:
    """The increments of a call that has one rate."""
    if to_bill_s == 0:
        return
    if rate.extras.steps:
        for start_s, step in _steps(rate):
            end_s = to_bill_s if step.until_s is None else min(step.until_s, to_bill_s)
            if end_s > start_s:
                seconds = -(-(end_s - start_s) // step.every_s) * step.every_s
                yield _increment(LineKind.NEXT if start_s else LineKind.FIRST, seconds, step.price_nanos)
        return
    yield _increment(LineKind.FIRST, rate.first_s, rate.first_price_nanos)
    next_s = _end_s(rate, rule, to_bill_s) - rate.first_s
    if next_s:
        yield _increment(LineKind.NEXT, next_s, rate.next_price_nanos)


def _end_s(rate: Rate, rule: IncrementRule, to_bill_s: int) -> int:
    """Where the increments end that are billed for so many seconds, of a rate without steps."""
    if to_bill_s <= rate.first_s:
        return rate.first_s
    if rule is IncrementRule.MODULO:
        return -(-to_bill_s // rate.next_s) * rate.next_s
    return rate.first_s - (rate.first_s - to_bill_s) // rate.next_s * rate.next_s


def _increment(kind: LineKind, seconds: int, price_nanos: int) -> Line:
    return Line(kind, seconds, price_nanos, price_nanos * seconds)


def _steps(rate: Rate) -> Iterator[tuple[int, Step]]:
    """The steps of any rate, each with the second at which it begins; the first increment is one."""
    steps = rate.extras.steps or (
        Step(rate.first_s, rate.first_s, rate.first_price_nanos),
        Step(None, rate.next_s, rate.next_price_nanos),
    )
    start_s = 0
    for step in steps:
        yield start_s, step
        start_s = step.until_s or 0


def _split(changes: list[tuple[int, Rate]], rule: IncrementRule, to_bill_s: int) -> Iterator[tuple[Line, int]]:
    """The seconds of a call whose rate changes, each at its own price, with the surcharge that is on them.

    `changes` are the rates with the billed second from which on each is in force. How long an increment is says the
    rate in which it begins.
    """
    end_s = _split_end_s(changes, to_bill_s)
    if rule is IncrementRule.MODULO:
        end_s = _end_s(changes[0][1], rule, to_bill_s) if to_bill_s else 0
    before: tuple[LineKind, int, int] | None = None
    seconds = 0
    for (from_s, rate), (to_s, _) in pairwise([*changes, (end_s, changes[-1][1])]):
        if from_s >= end_s:
            break
        for start_s, step in _steps(rate):
            until_s = min(to_s, end_s) if step.until_s is None else min(to_s, end_s, step.until_s)
            piece_s = until_s - max(from_s, start_s)
            if piece_s <= 0:
                continue
            what = (LineKind.NEXT if start_s else LineKind.FIRST, step.price_nanos, rate.extras.surcharge_ppm)
            if before not in {None, what} and before is not None:
                yield _increment(before[0], seconds, before[1]), before[2]
                seconds = 0
            before, seconds = what, seconds + piece_s
    if before is not None:
        yield _increment(before[0], seconds, before[1]), before[2]


def _split_end_s(changes: list[tuple[int, Rate]], to_bill_s: int) -> int:
    """Where the increments end that have begun before so many seconds."""
    end_s = 0
    for (_, rate), (to_s, _) in pairwise([*changes, (to_bill_s, changes[-1][1])]):
        for _, step in _steps(rate):
            until_s = min(to_s, to_bill_s) if step.until_s is None else min(to_s, to_bill_s, step.until_s)
            if until_s > end_s:
                end_s -= (end_s - until_s) // step.every_s * step.every_s
        if to_s >= to_bill_s:
            break
    return end_s


# The sentence on the bill.


def explain(cost: Cost) -> str:
    """Return the arithmetic of a cost on one line, exact, in no language: digits, units and signs.

    A sum that was rounded shows both values, joined by `->`; `...` stands for a decimal fraction that has no end.

    >>> from sipshop.billing.deck import Rate, RateDeck
    >>> berlin = Rate(prefix="4930", destination="Berlin", connect_fee_nanos=50_000_000, first_s=60,
    ...               first_price_nanos=120_000_000, next_s=60, next_price_nanos=120_000_000)
    >>> explain(cost(RateDeck("sell", "EUR", (berlin,)).match("49301234567", 0), 0, 62_000))
    '62 s = 0.05 + (60 + 60) s at 0.12/min = 0.29'
    """
    amount = cost.amount.text
    factors = [_factor(line) for line in cost.lines if line.kind in _FACTORS]
    # the currency of the deck is not known here where it is not that of the amount
    is_converted = any(line.kind in {LineKind.TIMES, LineKind.DIVIDED} for line in cost.lines)
    places = minor_unit_places("" if is_converted else cost.amount.currency)
    terms = [*_fees(cost, places), *_talk(cost, places), *_percentages(cost, places)]
    if not terms:
        return f"{cost.duration_s} s = {amount}"
    exact = _sum(cost.lines)
    signs = {LineKind.MINIMUM: "< min", LineKind.MAXIMUM: "> max"}
    bounds = [line for line in cost.lines if line.kind in signs]
    told = f"{cost.duration_s} s = {' + '.join(terms)}"
    if not bounds and not factors and exact == cost.amount.micros * _NUMS_PER_MICRO * PPM:
        return f"{told} = {amount}"
    told += f" = {_exact(exact, places)}"
    told += "".join(f" {signs[line.kind]} {format_nanos(line.price_nanos, places)}" for line in bounds)
    told += "".join(text for text, _, _ in factors)
    num, den = bounds[-1].num * PPM if bounds else exact, _NUMS_PER_MICRO * PPM
    for _, times, by in factors:
        num, den = num * times, den * by
    is_exact = bool(factors) and num == cost.amount.micros * den
    return f"{told} {'=' if is_exact else '->'} {amount}"


def _factor(line: Line) -> tuple[str, int, int]:
    """What a sum is multiplied by: as text, and as what is multiplied and divided by."""
    if line.kind in _PERCENTAGES:
        return f" x {format_scaled(PPM + line.price_nanos, PERCENT_PLACES, 0)}%", PPM + line.price_nanos, PPM
    rate = format_scaled(line.price_nanos, RATE_PLACES, 0)
    whole: int = 10**RATE_PLACES
    if line.kind is LineKind.DIVIDED:
        return f" / {rate}", whole, line.price_nanos
    return f" x {rate}", line.price_nanos, whole


def _fees(cost: Cost, places: int) -> list[str]:
    return [format_nanos(line.price_nanos, places) for line in cost.lines if line.kind is LineKind.FEE]


def _talk(cost: Cost, places: int) -> list[str]:
    """Return the increments as terms; those of one price share it, in brackets if a fee stands before them."""
    increments = [line for line in cost.lines if line.kind in {LineKind.FIRST, LineKind.NEXT, LineKind.FREE}]
    prices = {line.price_nanos for line in increments}
    if len(increments) > 1 and len(prices) == 1:
        seconds = " + ".join(str(line.seconds) for line in increments)
        shared = f"({seconds})" if cost.lines[0].kind is LineKind.FEE else seconds
        return [f"{shared} s at {format_nanos(increments[0].price_nanos, places)}/min"]
    return [f"{line.seconds} s at {format_nanos(line.price_nanos, places)}/min" for line in increments]


def _percentages(cost: Cost, places: int) -> list[str]:
    """Return the surcharges as terms, each with what it is on."""
    return [
        f"{_exact(line.num // line.price_nanos * PPM, places)} x {format_scaled(line.price_nanos, PERCENT_PLACES, 0)}%"
        for line in cost.lines
        if line.kind is LineKind.SURCHARGE
    ]


def _exact(millionths: int, places: int) -> str:
    """Return millionths of a num as a decimal: to its last digit, or to one past micro-units and `...`."""
    if millionths % 3 == 0:
        # 60 nano-units are 20 * 3: without the 3 the fraction ends within two more places than nano-units have.
        return format_scaled(millionths // 3 * 5, 17, places)
    shown = millionths * 10 ** (MICRO_PLACES + 1) // (_NUMS_PER_NANO * 10**9 * PPM)
    return f"{format_scaled(shown, MICRO_PLACES + 1, MICRO_PLACES + 1)}..."
