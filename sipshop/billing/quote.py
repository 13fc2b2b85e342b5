"""Quotes: what a call would cost, and how long an amount would last, by the arithmetic that bills are made with."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum

from sipshop.billing.deck import Tariff
from sipshop.billing.rating import Cost, cost


class Answer(StrEnum):
    """Whether a number can be quoted, and why not."""

    PRICE = "price"
    EMERGENCY = "emergency"  # free
    FORBIDDEN = "forbidden"
    NO_RATE = "no_rate"
    BAD_NUMBER = "bad_number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What `seller` asks `buyer` for a call to a number; `e164` is None where it is none.

    With an amount given, `talk_s` is how long it lasts, 0 if it does not pay for a first second; else it is the talk
    that was asked about. `tariff` and `cost` are there with a price.
    """

    seller: str
    buyer: str
    answer: Answer
    e164: str | None
    talk_s: int = 0
    tariff: Tariff | None = None
    cost: Cost | None = None


def lasts_s(tariff: Tariff, amount_micros: int, most_s: int) -> int:
    """Return the longest talk in whole seconds, `most_s` at most, that costs no more than an amount.

    >>> from sipshop.billing.deck import Rate, RateDeck
    >>> mali = Rate(prefix="223", destination="Mali", connect_fee_nanos=50_000_000, first_s=60,
    ...             first_price_nanos=390_000_000, next_s=60, next_price_nanos=390_000_000)
    >>> lasts_s(RateDeck("sell", "EUR", (mali,)).match("22370123456"), 5_000_000, 14_400)
    720
    """
    return bisect_right(range(most_s + 1), amount_micros, key=lambda s: cost(s * 1000, tariff).amount.micros) - 1


def quoted(
    seller: str,
    buyer: str,
    e164: str,
    tariff: Tariff | None,
    *,
    amount_micros: int | None,
    talk_s: int,
    most_s: int,
) -> Quote:
    """Return the quote of a number that was understood, for an amount or, without one, for a talk."""
    if tariff is None:
        return Quote(seller=seller, buyer=buyer, answer=Answer.NO_RATE, e164=e164)
    if tariff.rate.forbidden:
        return Quote(seller=seller, buyer=buyer, answer=Answer.FORBIDDEN, e164=e164, tariff=tariff)
    if amount_micros is not None:
        talk_s = lasts_s(tariff, amount_micros, most_s)
    return Quote(
        seller=seller,
        buyer=buyer,
        answer=Answer.PRICE,
        e164=e164,
        talk_s=talk_s,
        tariff=tariff,
        cost=cost(talk_s * 1000, tariff),
    )
