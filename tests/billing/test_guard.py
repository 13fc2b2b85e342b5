"""Which sales lose money, and at what length of a call."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.billing.deck import Tariff
from sipshop.billing.guard import MEAN_S, PPM, WARN_OF_LOSSES, GuardAction, LossGuard, losing_at
from sipshop.billing.rating import cost
from tests.billing.tariffs import TARIFFS, tariff

BUY = tariff("0.10", "1/1")


def guard(margin: str = "0", *, mean_s: int = MEAN_S) -> LossGuard:
    """Return a guard by its margin in percent."""
    return LossGuard(margin_ppm=int(Fraction(margin) * PPM / 100), mean_s=mean_s)


@pytest.mark.parametrize(
    ("sell", "buy", "guarded", "losing_s"),
    [
        pytest.param(tariff("0.12", "1/1"), BUY, guard(), None, id="dearer at every length"),
        pytest.param(BUY, BUY, guard(), None, id="what is sold at cost does not lose"),
        pytest.param(tariff("0", "1/1"), tariff("0", "60/60"), guard("50"), None, id="free for free does not lose"),
        pytest.param(tariff("0.09", "60/60"), BUY, guard(), 60, id="first whole minutes hide it, until the first ends"),
        pytest.param(tariff("0.09", "1/1"), BUY, guard(), 1, id="cheaper from the first second"),
        pytest.param(
            tariff("0.20", "1/1"), tariff("0.10", "1/1", fee="0.05"), guard(), 1, id="a fee that is not passed on"
        ),
        pytest.param(
            tariff("0.20", "6/6"), tariff("0.10", "60/60"), guard(), 1, id="a first minute that is sold by the second"
        ),
        pytest.param(
            tariff("0.12", "25/1", next_price="0.60"),
            tariff("0.12", "1/1"),
            guard("0.1"),
            25,
            id="only where our own first increment ends",
        ),
        pytest.param(
            tariff("0.30", "10/60", fee="0.04", next_price="0"), BUY, guard(), 60, id="a flat price that a minute eats"
        ),
        pytest.param(
            tariff("0.20", "60/60", next_price="0.05"), BUY, guard(), None, id="dear first minutes carry 180 s"
        ),
        pytest.param(
            tariff("0.20", "60/60", next_price="0.05"), BUY, guard(mean_s=600), 600, id="but not a mean of 600 s"
        ),
        pytest.param(tariff("0.105", "60/60"), tariff("0.10", "60/60"), guard("5"), None, id="exactly the margin"),
        pytest.param(
            tariff("0.105", "60/60"), tariff("0.10", "60/60"), guard("5.0001"), 1, id="a millionth over the margin"
        ),
        pytest.param(
            tariff("0.004", "60/60", places=2), tariff("0.001", "60/60", places=6), guard(), 1, id="rounded to nothing"
        ),
    ],
)
def test_the_shortest_call_that_loses(sell: Tariff, buy: Tariff, guarded: LossGuard, losing_s: int | None) -> None:
    assert losing_at(sell, buy, guarded) == losing_s


def test_a_guard_only_warns_unless_it_is_told_more() -> None:
    assert LossGuard(action=GuardAction.WARN, margin_ppm=0, mean_s=180) == WARN_OF_LOSSES


GUARDS = st.builds(LossGuard, margin_ppm=st.integers(0, 2 * PPM), mean_s=st.integers(1, 600))


@given(TARIFFS, TARIFFS, GUARDS)
def test_it_is_the_shortest_of_the_lengths_at_which_the_cost_and_the_margin_are_not_met(
    sell: Tariff, buy: Tariff, guarded: LossGuard
) -> None:
    def loses(duration_s: int) -> bool:
        sold, bought = (cost(side, 0, duration_s * 1000).amount.micros for side in (sell, buy))
        return sold < bought * (1 + Fraction(guarded.margin_ppm, PPM))

    lengths = (1, sell.rate.first_s, buy.rate.first_s, 60, guarded.mean_s)
    assert losing_at(sell, buy, guarded) == min(filter(loses, lengths), default=None)


@given(TARIFFS, TARIFFS, GUARDS, st.integers(0, PPM))
def test_who_wants_a_higher_margin_loses_no_later(sell: Tariff, buy: Tariff, guarded: LossGuard, more_ppm: int) -> None:
    losing_s = losing_at(sell, buy, guarded)
    if losing_s is not None:
        stricter_s = losing_at(sell, buy, replace(guarded, margin_ppm=guarded.margin_ppm + more_ppm))
        assert stricter_s is not None
        assert stricter_s <= losing_s
