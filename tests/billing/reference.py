"""The price of a call once more, as slowly and plainly as one can write it: second by second, in fractions.

It shares no arithmetic with `sipshop.billing.rating`: increments are laid out one by one, each second is priced by what
the clock on the wall shows then.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil, floor
from zoneinfo import ZoneInfo

from sipshop.billing.calendar import Window
from sipshop.billing.deck import (
    ChangePolicy,
    DurationRound,
    IncrementRule,
    MaxPolicy,
    Rate,
    RateDeck,
    WindowPolicy,
)
from sipshop.billing.money import Rounding, RoundMode

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def said(window: Window, local: datetime) -> int:
    """2 if a date of the window is meant by a wall clock, 1 for a weekday, 0 for daily, -1 for not at all."""
    best = -1
    for text in window.texts:
        days, _, hours = text.partition(" ")
        start, end = ("00:00", "24:00") if not hours else hours.split("-")
        for back in (0, 1):
            day = local.date() - timedelta(days=back)
            minutes = (local.hour + 24 * back) * 60 + local.minute
            first, last = (int(clock[:2]) * 60 + int(clock[3:]) for clock in (start, end))
            last += 24 * 60 if last <= first else 0
            if not first <= minutes < last:
                continue
            if days == "daily":
                best = max(best, 0)
            elif days[0].isdigit():
                best = max(best, 2 if str(day) in days.split(",") else -1)
            else:
                names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
                for part in days.split(","):
                    one, _, other = part.partition("-")
                    here, there = names.index(one), names.index(other or one)
                    among = range(here, there + 1) if here <= there else [*range(here, 7), *range(there + 1)]
                    best = max(best, 1 if day.weekday() in among else -1)
    return best


def in_force(deck: RateDeck, e164: str, valid_ms: int, window_ms: int) -> Rate | None:
    """The rate that a deck has for a number, by going through all of them."""
    local = (EPOCH + timedelta(milliseconds=window_ms)).astimezone(ZoneInfo(deck.calendar.zone))
    found: list[tuple[int, int, Rate]] = []
    for rate in deck.rates:
        extras = rate.extras
        if not e164.startswith(rate.prefix):
            continue
        if extras.valid_from_ms is not None and valid_ms < extras.valid_from_ms:
            continue
        if extras.valid_to_ms is not None and valid_ms >= extras.valid_to_ms:
            continue
        says = -1
        if extras.window is not None:
            says = said(deck.calendar.windows[extras.window], local)
            if says < 0:
                continue
        found.append((len(rate.prefix), says, rate))
    return max(found, key=lambda each: each[:2])[2] if found else None


def rate_at(deck: RateDeck, e164: str, begun_ms: int, at_ms: int) -> Rate | None:
    """The rate of a second of a call, by the deck's policies; what does not forbid, or the one before."""
    by_window = at_ms if deck.window_policy is WindowPolicy.SPLIT else begun_ms
    by_validity = at_ms if deck.change_policy is ChangePolicy.SPLIT else begun_ms
    return in_force(deck, e164, by_validity, by_window)


def steps_of(rate: Rate) -> list[tuple[int, int, int]]:
    """(the second at which it begins, seconds of an increment, price) of each step."""
    if not rate.extras.steps:
        return [(0, rate.first_s, rate.first_price_nanos), (rate.first_s, rate.next_s, rate.next_price_nanos)]
    begins = [0, *(step.until_s or 0 for step in rate.extras.steps)]
    return [(begin, step.every_s, step.price_nanos) for begin, step in zip(begins, rate.extras.steps, strict=False)]


def step_of(rate: Rate, second: int) -> tuple[int, int]:
    """Seconds of an increment and price of a billed second."""
    return [(every, price) for begin, every, price in steps_of(rate) if begin <= second][-1]


def whole_seconds(rule: DurationRound, talk_ms: int) -> int:
    exact = Fraction(talk_ms, 1000)
    return {
        DurationRound.CEIL: ceil(exact),
        DurationRound.FLOOR: floor(exact),
        DurationRound.NEAREST: floor(exact + Fraction(1, 2)),
    }[rule]


def rounded(micros: Fraction, rounding: Rounding) -> int:
    step: int = 10 ** (6 - rounding.places)
    below = floor(micros / step)
    rest = micros / step - below
    up = {
        RoundMode.UP: rest > 0,
        RoundMode.DOWN: False,
        RoundMode.HALF_UP: rest >= Fraction(1, 2),
        RoundMode.HALF_EVEN: rest > Fraction(1, 2) or (rest == Fraction(1, 2) and below % 2 == 1),
    }[rounding.mode]
    return (below + up) * step


class Priced:
    """What a call costs, with the exact sum before any minimum and maximum."""

    def __init__(self, deck: RateDeck, e164: str, at_ms: int, talk_ms: int) -> None:
        self.amount_micros = 0
        self.billed_s = 0
        self.exact_micros = Fraction(0)
        self.ends_call = False
        rate = in_force(deck, e164, at_ms, at_ms)
        assert rate is not None
        extras = rate.extras
        duration_s = whole_seconds(deck.duration_round, talk_ms)
        if duration_s == 0 or Fraction(talk_ms, 1000) < extras.grace_s:
            return
        first_s = steps_of(rate)[0][1]
        free = set(range(extras.free_s))
        if extras.free_after_first:
            free = set(range(first_s, first_s + extras.free_s))
        to_bill = sum(second not in free for second in range(duration_s))
        talked = [second for second in range(duration_s + extras.free_s + 4000) if second not in free]

        rates = [rate]

        def rate_of(billed: int) -> Rate:
            """The rate of a billed second: that of the wall clock, or the one before where there is none."""
            while len(rates) <= talked[billed]:
                now = rate_at(deck, e164, at_ms, at_ms + len(rates) * 1000)
                rates.append(now if now is not None and not now.forbidden else rates[-1])
            return rates[talked[billed]]

        end = 0
        if deck.increment_rule is IncrementRule.MODULO:
            end = first_s if 0 < to_bill <= first_s else -(-to_bill // rate.next_s) * rate.next_s
        else:
            while end < to_bill:
                end += step_of(rate_of(end), end)[0]
        self.billed_s = end
        nanos = Fraction(rate.connect_fee_nanos) * (1 + Fraction(extras.surcharge_ppm, 10**6))
        for second in range(end):
            here = rate_of(second)
            nanos += Fraction(step_of(here, second)[1], 60) * (1 + Fraction(here.extras.surcharge_ppm, 10**6))
        self.exact_micros = nanos / 1000
        micros = max(self.exact_micros, Fraction(extras.min_charge_micros))
        if extras.max_charge_micros is not None:
            micros = min(micros, Fraction(extras.max_charge_micros))
        self.ends_call = (
            extras.max_policy is MaxPolicy.DISCONNECT
            and extras.max_charge_micros is not None
            and self.exact_micros > extras.max_charge_micros
        )
        self.amount_micros = rounded(micros, deck.rounding)
