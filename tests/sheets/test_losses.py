"""Who would lose by another version of a deck: each pair of rates that some number is sold and bought by."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest

from sipshop.billing.deck import Rate, RateDeck
from sipshop.billing.guard import WARN_OF_LOSSES, LossGuard
from sipshop.billing.money import Rounding
from sipshop.sheets import Change, Kind, Loss, Losses, Sale


def rate(prefix: str, cents: int, increment_s: int = 1, *, forbidden: bool = False) -> Rate:
    nanos = cents * 10_000_000
    return Rate(
        prefix=prefix,
        destination="X",
        connect_fee_nanos=0,
        first_s=increment_s,
        first_price_nanos=nanos,
        next_s=increment_s,
        next_price_nanos=nanos,
        forbidden=forbidden,
    )


def deck(name: str, *rates: Rate) -> RateDeck:
    return RateDeck(name, "EUR", rates, rounding=Rounding(places=6))


def losses(bought: RateDeck, sold: RateDeck, changed: str, prefixes: Sequence[str], guard: LossGuard) -> list[Loss]:
    sale = Sale(party="Tel", source="trunk one", guard=guard, buys=bought, sells=sold)
    asked = Losses(changed, [sale], 0)
    one = rate("1", 1)
    return [loss for prefix in prefixes for loss in asked.of(Change(Kind.UP, prefix, one, one, None))]


BUY: Final = deck("buy", rate("49", 5), rate("4930", 2), rate("491", 9, forbidden=True))


@pytest.mark.parametrize(
    ("sold", "told"),
    [
        pytest.param([rate("49", 6)], [], id="a sale that brings its cost"),
        pytest.param([rate("49", 4)], [("49", "49", 1)], id="a sale under its cost"),
        pytest.param([rate("4", 4)], [("49", "4", 1)], id="sold by a shorter prefix"),
        pytest.param([rate("4", 9), rate("4915", 4)], [], id="a longer one below a forbidden rate is not bought"),
        pytest.param([rate("4", 9), rate("4940", 4)], [("4940", "4940", 1)], id="sold by a longer one"),
        pytest.param([rate("4", 9), rate("49301", 1)], [], id="a longer one that is bought by a longer one"),
        pytest.param([rate("44", 1)], [], id="not sold"),
        pytest.param([rate("49", 1, forbidden=True)], [], id="not to be sold"),
    ],
)
def test_a_dearer_purchase(sold: list[Rate], told: list[tuple[str, str, int]]) -> None:
    found = losses(BUY, deck("sell", *sold), "buy", ["49"], WARN_OF_LOSSES)
    assert [(loss.prefix, loss.sell_prefix, loss.duration_s) for loss in found] == told
    assert all(
        (loss.party, loss.source, loss.buys, loss.buy_prefix) == ("Tel", "trunk one", "buy", "49") for loss in found
    )


def test_a_cheaper_sale_is_asked_of_all_that_it_is_bought_by() -> None:
    found = losses(BUY, deck("sell", rate("49", 3)), "sell", ["49"], WARN_OF_LOSSES)
    assert [(loss.prefix, loss.buy_prefix) for loss in found] == [("49", "49")]
    found = losses(BUY, deck("sell", rate("49", 1)), "sell", ["49"], WARN_OF_LOSSES)
    assert [(loss.prefix, loss.buy_prefix) for loss in found] == [("49", "49"), ("4930", "4930")]


def test_a_minute_that_is_bought_whole_loses_on_a_short_call() -> None:
    found = losses(deck("buy", rate("49", 5, 60)), deck("sell", rate("49", 6)), "buy", ["49"], WARN_OF_LOSSES)
    assert [loss.duration_s for loss in found] == [1]


def test_the_margin_of_the_guard_counts() -> None:
    guard = replace(WARN_OF_LOSSES, margin_ppm=300_000)
    assert losses(BUY, deck("sell", rate("49", 6)), "buy", ["49"], guard)


def test_a_sale_without_a_rate_of_exchange_is_left_out() -> None:
    sold = RateDeck("sell", "USD", (rate("49", 1),))
    assert losses(BUY, sold, "buy", ["49"], WARN_OF_LOSSES) == []
