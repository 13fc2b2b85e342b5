"""Tariffs in the words of the trade, for the tests that compare and chain them."""

from __future__ import annotations

from hypothesis import strategies as st

from sipshop.billing.deck import DurationRound, Rate, Tariff
from sipshop.billing.money import Rounding, RoundMode, parse_price


def tariff(
    price: str,
    increments: str,
    *,
    fee: str = "0",
    next_price: str | None = None,
    places: int = 6,
    mode: RoundMode = RoundMode.HALF_UP,
    duration_round: DurationRound = DurationRound.CEIL,
) -> Tariff:
    """Return a tariff by its price a minute and its increments, such as 60/6."""
    first_s, next_s = increments.split("/")
    return Tariff(
        deck="deck",
        version=1,
        currency="EUR",
        rounding=Rounding(mode, places),
        duration_round=duration_round,
        rate=Rate(
            prefix="49",
            destination="Germany",
            connect_fee_nanos=parse_price(fee),
            first_s=int(first_s),
            first_price_nanos=parse_price(price),
            next_s=int(next_s),
            next_price_nanos=parse_price(next_price or price),
        ),
    )


PRICES = st.integers(0, 10**8) | st.integers(0, 3 * 10**9)
INCREMENTS = st.integers(1, 6) | st.integers(1, 90)

TARIFFS = st.builds(
    Tariff,
    deck=st.just("deck"),
    version=st.just(1),
    currency=st.just("EUR"),
    rounding=st.builds(Rounding, st.sampled_from(RoundMode), st.integers(0, 6)),
    duration_round=st.sampled_from(DurationRound),
    rate=st.builds(
        Rate,
        prefix=st.just("49"),
        destination=st.just("Germany"),
        connect_fee_nanos=PRICES,
        first_s=INCREMENTS,
        first_price_nanos=PRICES,
        next_s=INCREMENTS,
        next_price_nanos=PRICES,
    ),
)
