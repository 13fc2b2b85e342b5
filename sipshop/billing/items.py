"""What stands on a bill besides calls: goods, discounts, and what was taken back of either.

An item is on the bill from the version by which it came to the one by which it went. What a discount comes to is worked
out anew whenever the bill is drawn up, so it grows and shrinks with what is taken off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sipshop.billing.errors import BadTerms
from sipshop.billing.money import Money, round_ratio
from sipshop.billing.receipt import EntryKind
from sipshop.billing.tax import PPM, Tax, coins

MOST_OF_A_GOOD: Final = 999
TEXT_LENGTH: Final = 100
#: The most that a bill can come to, so that every sum keeps within a column.
_MOST_MICROS: Final = 10**15


@dataclass(frozen=True, slots=True, kw_only=True)
class BillItem:
    """Something on a bill that is no call; `text` is the name of a good, or the reason of a discount or a void.

    A good has a `quantity`, the price of one (`unit`) and the `tax` in it. A discount has an `amount` or a percentage,
    and, if somebody gave it who may give so much only, `most_ppm`: what all such discounts may come to of the bill.
    A void names the call or the item that it takes back, all of it.

    `added` and `removed` are the versions of the bill that it came and went by; `removed_by` took it back.

    Raises:
        BadTerms: it cannot be so.
    """

    kind: EntryKind
    text: str
    author: str
    at_ms: int
    number: int = 0  # 0: on no bill yet
    added: int = 0
    removed: int | None = None
    removed_by: str | None = None
    quantity: int = 1
    unit: Money | None = None
    tax: Tax | None = None
    amount: Money | None = None
    percent_ppm: int | None = None
    most_ppm: int | None = None
    call_id: str | None = None
    item: int | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.text) <= TEXT_LENGTH or not self.text.isprintable() or self.text.strip() != self.text:
            what = "a good has a name" if self.kind is EntryKind.GOOD else f"a {self.kind} has a reason"
            raise BadTerms(f"{what}: 1 to {TEXT_LENGTH} printable characters")
        _CHECKS[self.kind](self)

    @property
    def stands(self) -> bool:
        """Whether it is on the bill still."""
        return self.removed is None


def _check_good(item: BillItem) -> None:
    if item.unit is None or item.unit.micros <= 0:
        raise BadTerms(f"{item.text} has to have a price of more than nothing")
    if not 1 <= item.quantity <= MOST_OF_A_GOOD:
        raise BadTerms(f"{item.quantity} of {item.text} cannot be sold: 1 to {MOST_OF_A_GOOD}")
    if item.unit.micros * item.quantity > _MOST_MICROS:
        raise BadTerms(f"{item.quantity} of {item.text} at {item.unit} are more than any bill")


def _check_discount(item: BillItem) -> None:
    if (item.amount is None) is (item.percent_ppm is None):
        raise BadTerms("a discount is an amount or a percentage: give one of them")
    if item.amount is not None and not 0 < item.amount.micros <= _MOST_MICROS:
        raise BadTerms(f"a discount is more than nothing, not {item.amount}")
    if item.percent_ppm is not None and not 0 < item.percent_ppm <= PPM:
        raise BadTerms("a discount is more than 0 and at most 100 percent")


def _check_void(item: BillItem) -> None:
    if (item.call_id is None) is (item.item is None):
        raise BadTerms("a call or an item is taken back: name one of them")


_CHECKS: Final = {
    EntryKind.GOOD: _check_good,
    EntryKind.DISCOUNT: _check_discount,
    EntryKind.VOID: _check_void,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """An item that stands on a bill, with what it adds to the total: below zero for a discount or a void."""

    item: BillItem
    amount: Money


def billed(calls: Mapping[str, Money], items: Sequence[BillItem], currency: str) -> tuple[Billed, ...]:
    """Return what stands on a bill besides these calls, in the order in which it came, with what each comes to.

    The sum of all is never below zero: the discounts, in their order, take off what is there at most, and those of
    somebody who may give so much only no more than that, all together.
    """
    standing = [item for item in items if item.stands]
    goods = {item.number: _price(item) for item in standing if item.kind is EntryKind.GOOD}
    zero = Money(0, currency)
    fixed: dict[int, Money] = dict(goods)
    for item in standing:
        if item.kind is EntryKind.VOID:
            taken = calls.get(item.call_id, zero) if item.call_id is not None else goods.get(item.item or 0, zero)
            fixed[item.number] = -taken
    base = sum((*calls.values(), *fixed.values()), zero)
    assert base >= zero, "a void takes back what stands above it, once"
    off = dict(_discounts((item for item in standing if item.kind is EntryKind.DISCOUNT), base))
    return tuple(Billed(item=item, amount=fixed.get(item.number, off.get(item.number, zero))) for item in standing)


def _discounts(items: Iterable[BillItem], base: Money) -> Iterator[tuple[int, Money]]:
    """What each discount takes off, as amounts below zero."""
    given = limited = 0
    for item in items:
        micros = min(wish(item, base).micros, base.micros - given)
        if item.most_ppm is not None:
            micros = max(0, min(micros, share(base, item.most_ppm).micros - limited))
            limited += micros
        given += micros
        yield item.number, Money(-micros, base.currency)


def wish(item: BillItem, base: Money) -> Money:
    """Return what a discount would take off calls, goods and voids of this sum, if nothing bounded it."""
    if item.amount is not None:
        return item.amount
    assert item.percent_ppm is not None, "a discount is an amount or a percentage"
    return share(base, item.percent_ppm)


def share(amount: Money, ppm: int) -> Money:
    """Return so many millionths of an amount, rounded half up to its coins, or finer where it is finer."""
    return Money(round_ratio(amount.micros * ppm, PPM, coins(amount.currency, amount.micros)), amount.currency)


def _price(item: BillItem) -> Money:
    assert item.unit is not None, "a good has a price"
    return Money(item.unit.micros * item.quantity, item.unit.currency)
