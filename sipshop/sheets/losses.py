"""Who would lose money by another version of a deck: every sale that it is bought for, or that is made by it.

A seller buys by one deck and sells by another; of both the longest prefix of a number counts. So what is asked is each
pair of rates that some number is priced by.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sipshop.billing.deck import RateDeck, Tariff
from sipshop.billing.guard import LossGuard, losing_at
from sipshop.sheets.changes import Change, Kind

_MOST_JUDGED: Final = 200_000
#: So many of the sales of one prefix are told; a deck of whole countries is sold by hundreds of codes.
MOST_TOLD: Final = 20


Charged = Callable[[Tariff, int], Tariff | None]
"""What a tariff becomes for who pays by it at an instant: its tax and its currency; None without a rate of exchange."""
Paid = Callable[[Tariff, str, int], Tariff | None]
"""The same of a purchase, beside a sale that is charged in a currency."""


def as_it_is(tariff: Tariff, at_ms: int) -> Tariff | None:
    """A sale without tax, in the currency of its deck."""
    del at_ms
    return tariff


def _as_bought(tariff: Tariff, currency: str, at_ms: int) -> Tariff | None:
    del at_ms
    return tariff if tariff.currency == currency else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """A party that buys by one deck, by `source` (a trunk, or his seller), and sells by another.

    `sold` and `bought` say what becomes of a tariff of either.
    """

    party: str
    source: str
    guard: LossGuard
    buys: RateDeck
    sells: RateDeck
    sold: Charged = as_it_is
    bought: Paid = _as_bought


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A sale that does not bring its cost: at `duration_s` seconds, to numbers that begin with `prefix`."""

    party: str
    source: str
    prefix: str
    sells: str
    sell_prefix: str
    buys: str
    buy_prefix: str
    duration_s: int

    def to_json(self) -> dict[str, Any]:
        """Return it in plain JSON types."""
        return {
            "party": self.party,
            "source": self.source,
            "prefix": self.prefix,
            "sell_deck": self.sells,
            "sell_prefix": self.sell_prefix,
            "buy_deck": self.buys,
            "buy_prefix": self.buy_prefix,
            "seconds": self.duration_s,
        }


class Losses:
    """Asks the loss guard of each seller about the changes of a deck; a sale without a rate of exchange is left out."""

    def __init__(self, deck: str, sales: Iterable[Sale], at_ms: int) -> None:
        self._deck = deck
        self._at_ms = at_ms
        self._sales = list(sales)
        self._prefixes: dict[str, Sequence[str]] = {}
        self._judged: dict[Hashable, int | None] = {}

    def of(self, change: Change) -> list[Loss]:
        """The losses that a change leads to, `MOST_TOLD` of them at most."""
        if change.kind in {Kind.WITHDRAWN, Kind.RENAMED, Kind.BLOCKED}:
            return []
        at_ms = self._at_ms if change.from_ms is None else change.from_ms
        found: list[Loss] = []
        for sale in self._sales:
            for loss in self._of_sale(sale, change.prefix, at_ms):
                if len(found) >= MOST_TOLD:
                    return found
                found.append(loss)
        return found

    def _of_sale(self, sale: Sale, prefix: str, at_ms: int) -> Iterator[Loss]:
        is_bought = sale.buys.name == self._deck
        for digits in self._below(sale.sells if is_bought else sale.buys, prefix):
            sold, bought = _tariffs(sale, digits, at_ms)
            if sold is None or bought is None or sold.rate.forbidden or bought.rate.forbidden:
                continue
            if (bought if is_bought else sold).rate.prefix != prefix:
                continue  # a longer prefix of the changed deck is asked by itself
            duration_s = self._losing_at(sold, bought, sale.guard, at_ms)
            if duration_s is not None:
                yield Loss(
                    party=sale.party,
                    source=sale.source,
                    prefix=digits,
                    sells=sold.deck,
                    sell_prefix=sold.rate.prefix,
                    buys=bought.deck,
                    buy_prefix=bought.rate.prefix,
                    duration_s=duration_s,
                )

    def _below(self, deck: RateDeck, prefix: str) -> Iterator[str]:
        """Yield a prefix, and those of a deck that are longer."""
        prefixes = self._prefixes.get(deck.name)
        if prefixes is None:
            prefixes = self._prefixes[deck.name] = sorted({rate.prefix for rate in deck.rates})
        yield prefix
        place = bisect_left(prefixes, prefix)
        while place < len(prefixes) and prefixes[place].startswith(prefix):
            if prefixes[place] != prefix:
                yield prefixes[place]
            place += 1

    def _losing_at(self, sold: Tariff, bought: Tariff, guard: LossGuard, at_ms: int) -> int | None:
        if sold.later or bought.later:
            return losing_at(sold, bought, guard, at_ms)
        key = sold.deck, bought.deck, _terms(sold), _terms(bought), guard
        if key not in self._judged:
            if len(self._judged) >= _MOST_JUDGED:
                self._judged.clear()
            self._judged[key] = losing_at(sold, bought, guard)
        return self._judged[key]


def _tariffs(sale: Sale, digits: str, at_ms: int) -> tuple[Tariff | None, Tariff | None]:
    """What a number is sold and bought by, each as it is charged; None where there is none."""
    sold, bought = sale.sells.match(digits, at_ms), sale.buys.match(digits, at_ms)
    sold = sold and sale.sold(sold, at_ms)
    return sold, (bought and sale.bought(bought, sold.charged_in, at_ms)) if sold is not None else None


def _terms(tariff: Tariff) -> tuple[object, ...]:
    rate = tariff.rate
    return (
        tariff.tax,
        tariff.fx,
        tariff.books,
        rate.connect_fee_nanos,
        rate.first_s,
        rate.first_price_nanos,
        rate.next_s,
        rate.next_price_nanos,
        rate.extras,
    )
