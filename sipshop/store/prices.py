"""What charges come to by the tariffs that they kept: law I7 for the audit, and the arithmetic for whoever verifies.

Most talks recur: so many seconds by the same tariff cost the same. So a price is worked out once and looked up after.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from sipshop.billing.deck import Tariff
from sipshop.billing.rating import cost
from sipshop.store import rows

#: How many prices and tariffs are remembered; some hundred bytes each.
_REMEMBERED: Final = 500_000


class Price(NamedTuple):
    """What a charge's row says of its price: `lines` is the text of its terms."""

    amount_micros: int
    currency: str
    duration_s: int
    billed_s: int
    lines: str


class _Known(NamedTuple):
    """A tariff, the whole seconds of a talk where only those matter to it, and the prices by when and how long."""

    tariff: Tariff
    seconds: Callable[[int], int] | None
    prices: dict[tuple[int, int], Price]


class Prices:
    """Works out prices from the texts of tariffs."""

    def __init__(self) -> None:
        self._tariffs: dict[str, _Known] = {}
        self._remembered = 0

    def price(self, tariff_text: str, answered_at_ms: int, talk_ms: int) -> Price:
        """Return what a talk costs; raises BillingError or ValueError where that cannot be worked out."""
        known = self._tariffs.get(tariff_text)
        if known is None:
            known = self._read(tariff_text)
        tariff, seconds, prices = known
        # A plain one costs what any other of as many seconds does.
        talk = (answered_at_ms, talk_ms) if seconds is None else (0, seconds(talk_ms) * 1000)
        price = prices.get(talk)
        if price is None:
            due = cost(tariff, *talk)
            price = Price(due.amount.micros, due.amount.currency, due.duration_s, due.billed_s, rows.lines_text(due))
            prices[talk] = price
            self._remember()
        return price

    def _read(self, text: str) -> _Known:
        tariff = rows.tariff(text)
        is_plain = not (tariff.later or tariff.rate.extras.grace_s)
        known = self._tariffs[text] = _Known(tariff, tariff.duration_round.seconds if is_plain else None, {})
        self._remember()
        return known

    def _remember(self) -> None:
        """Count what was remembered last, and forget all where that is too much."""
        self._remembered += 1
        if self._remembered >= _REMEMBERED:
            self._tariffs.clear()
            self._remembered = 0
