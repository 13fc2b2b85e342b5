"""The loss guard: whether a call that is sold here loses money, at any of the lengths that calls have.

A positive margin a minute can still lose on a short call, so total costs are compared, at several durations.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sipshop.billing.deck import Tariff
from sipshop.billing.earnings import booked, paid
from sipshop.billing.rating import cost

PPM: Final = 1_000_000
MEAN_S: Final = 180


class GuardAction(StrEnum):
    """What is done about a call that would lose money."""

    WARN = "warn"  # it is made, and counted
    REROUTE = "reroute"  # it is made by a trunk on which it does not lose; without one it is refused
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class LossGuard:
    """How a party guards its margin: `margin_ppm` is the least mark-up on cost, in millionths.

    `mean_s` is how long its calls are on average, one of the durations that are looked at.
    """

    action: GuardAction = GuardAction.WARN
    margin_ppm: int = 0
    mean_s: int = MEAN_S


WARN_OF_LOSSES: Final = LossGuard()


def losing_at(sell: Tariff, buy: Tariff, guard: LossGuard, at_ms: int = 0) -> int | None:
    """The first duration, in seconds, at which the sale does not bring its cost and the margin; None if it always does.

    Looked at are 1 s, the first increment of either side, 60 s and the mean. The sale counts without its tax, and both
    sides in one currency, that of the seller's books. The call is answered at an instant of UTC, which matters where
    one of them splits calls.
    """
    durations = {1, sell.rate.first_s, buy.rate.first_s, 60, guard.mean_s}
    for duration_s in sorted(durations):
        sold = booked(sell, cost(sell, at_ms, duration_s * 1000).amount)
        bought = paid(buy, cost(buy, at_ms, duration_s * 1000).amount, sold.currency)
        assert sold.currency == bought.currency, "a seller's books are in one currency"
        if sold.micros * PPM < bought.micros * (PPM + guard.margin_ppm):
            return duration_s
    return None
