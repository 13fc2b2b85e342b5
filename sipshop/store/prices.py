"""What charges come to by the tariffs that they kept: law I7 for the audit, and the arithmetic for whoever verifies.

Most talks recur: so many seconds by the same tariff cost the same. So a price is worked out once and looked up after.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sipshop.billing.deck import Tariff
from sipshop.billing.rating import cost
from sipshop.store import rows

#: How many prices are remembered; some hundred bytes each.
_REMEMBERED: Final = 500_000


class Price(NamedTuple):
    """What a charge's row says of its price: `lines` is the text of its terms."""

    amount_micros: int
    currency: str
    duration_s: int
    billed_s: int
    lines: str


class Prices:
    """Works out prices from the texts of tariffs."""

    def __init__(self) -> None:
        self._tariffs: dict[str, tuple[Tariff, bool]] = {}
        self._known: dict[tuple[str, int, int], Price] = {}

    def price(self, tariff_text: str, answered_at_ms: int, talk_ms: int) -> Price:
        """Return what a talk costs; raises BillingError or ValueError where that cannot be worked out."""
        tariff, is_plain = self._tariff(tariff_text)
        if is_plain:  # it costs what any other of as many seconds does
            talk = tariff_text, 0, tariff.duration_round.seconds(talk_ms) * 1000
        else:
            talk = tariff_text, answered_at_ms, talk_ms
        known = self._known.get(talk)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            due = cost(tariff, talk[1], talk[2])
            known = Price(due.amount.micros, due.amount.currency, due.duration_s, due.billed_s, rows.lines_text(due))
            self._known[talk] = known
        return known

    def _tariff(self, text: str) -> tuple[Tariff, bool]:
        """A tariff, and whether only the whole seconds of a talk matter to it."""
        found = self._tariffs.get(text)
        if found is None:
            if len(self._tariffs) >= _REMEMBERED:
                self._tariffs.clear()
            tariff = rows.tariff(text)
            found = self._tariffs[text] = tariff, not (tariff.later or tariff.rate.extras.grace_s)
        return found
