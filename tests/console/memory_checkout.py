"""The counter in memory: what `tests.console.memory.MemoryDesk` has it from; the rules are those of `billing.desk`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sipshop.billing.checkout import draw_receipt
from sipshop.billing.counter import Counter, Good
from sipshop.billing.desk import Bill, check_item, draw_bill, item_of, settle_bill
from sipshop.billing.errors import BadTerms, BeyondRights, DeskError
from sipshop.billing.items import BillItem
from sipshop.billing.money import Money
from sipshop.billing.receipt import EntryKind, Receipt, Seller
from sipshop.billing.tender import Tender
from sipshop.store import NothingToPay
from sipshop.switch import UnknownReceipt, UnknownShop

if TYPE_CHECKING:
    from tests.console.memory import MemoryDesk

OPENED_AT_MS = 1_767_225_600_007


@dataclass
class Kept:
    """What came on the bill of a session, and by which keys."""

    items: list[BillItem] = field(default_factory=list)
    keys: dict[str, BillItem] = field(default_factory=dict)


class MemoryCheckout:
    """The counter of the one shop, center: coffee at 1.80; operators give 20% at most, and take nothing back."""

    def __init__(self, desk: MemoryDesk, tenant: str) -> None:
        self._desk = desk
        self._tenant = tenant
        self._kept: dict[int, Kept] = {}
        self.drawn: list[tuple[int, Receipt]] = []  # with the versions of their bills
        self.desk_of_center = Counter(
            tenant=tenant,
            shop="center",
            currency="EUR",
            goods=(Good(name="Coffee", price=Money(1_800_000, "EUR")),),
            discount_most_ppm=200_000,
            operators_may_void=False,
        ).completed(Seller(name="olga"), "UTC")

    def counter(self, tenant: str, shop: str) -> Counter:
        if (tenant, shop) != (self._tenant, "center"):
            raise UnknownShop(f"there is no shop named {shop!r}")
        return self.desk_of_center

    async def bill(self, tenant: str, booth: str) -> Bill:
        return self._bill(tenant, booth)

    async def add_good(
        self, tenant: str, booth: str, *, name: str, quantity: int, unit: Money | None, author: str, key: str
    ) -> Bill:
        good = self.desk_of_center.good(name)
        price = unit if good is None else good.price
        if price is None:
            raise BadTerms(f"{name!r} is not on the list of center: give its price")
        item = BillItem(
            kind=EntryKind.GOOD, text=name, author=author, at_ms=OPENED_AT_MS, quantity=quantity, unit=price
        )
        return self._add(tenant, booth, item, key)

    async def discount(
        self,
        tenant: str,
        booth: str,
        *,
        amount: Money | None = None,
        percent_ppm: int | None = None,
        reason: str,
        author: str,
        key: str,
        is_operator: bool,
    ) -> Bill:
        item = BillItem(
            kind=EntryKind.DISCOUNT,
            text=reason,
            author=author,
            at_ms=OPENED_AT_MS,
            amount=amount,
            percent_ppm=percent_ppm,
            most_ppm=self.desk_of_center.discount_most_ppm if is_operator else None,
        )
        return self._add(tenant, booth, item, key)

    async def void(
        self,
        tenant: str,
        booth: str,
        *,
        call_id: str | None = None,
        item: int | None = None,
        reason: str,
        author: str,
        key: str,
        is_operator: bool,
    ) -> Bill:
        if is_operator:
            raise BeyondRights("operators of center take nothing back from a bill: ask its owner")
        void = BillItem(kind=EntryKind.VOID, text=reason, author=author, at_ms=OPENED_AT_MS, call_id=call_id, item=item)
        return self._add(tenant, booth, void, key)

    async def take_back(self, tenant: str, booth: str, *, item: int, author: str) -> Bill:
        self._desk.command(tenant, booth, "take back", author)
        bill = self._bill(tenant, booth)
        if item_of(bill, item) is not None:
            kept = self._kept[bill.session_id]
            version = self._raise(booth)
            kept.items = [
                replace(each, removed=version, removed_by=author) if each.number == item else each
                for each in kept.items
            ]
        return self._bill(tenant, booth)

    async def pay(
        self,
        tenant: str,
        booth: str,
        *,
        version: int,
        tenders: Sequence[Tender],
        language: str | None,
        author: str,
    ) -> Receipt:
        room = self._desk.command(tenant, booth, "pay", author)
        worded = self.desk_of_center.language(language)
        for known, receipt in self.drawn:
            if room.session is None and (receipt.booth, known, receipt.tenders) == (booth, version, tuple(tenders)):
                return receipt
        bill = self._bill(tenant, booth)
        payment = settle_bill(bill, version=version, tenders=tenders, live_calls=room.live_calls)
        receipt = draw_receipt(
            bill,
            payment,
            self.desk_of_center,
            number=len(self.drawn) + 1,
            at_ms=OPENED_AT_MS,
            author=author,
            language=worded,
        )
        self.drawn.append((version, receipt))
        room.session = None
        return receipt

    async def receipts(
        self,
        tenant: str,
        shop: str,
        *,
        limit: int,
        before: int | None = None,
        since_ms: int = 0,
        until_ms: int | None = None,
    ) -> list[Receipt]:
        self.counter(tenant, shop)
        found = [
            receipt
            for _, receipt in reversed(self.drawn)
            if (before is None or receipt.number < before)
            and since_ms <= receipt.at_ms
            and (until_ms is None or receipt.at_ms < until_ms)
        ]
        return found[:limit]

    async def receipt(self, tenant: str, shop: str, number: int) -> Receipt:
        self.counter(tenant, shop)
        for _, receipt in self.drawn:
            if receipt.number == number:
                return receipt
        raise UnknownReceipt(f"shop {shop} has no receipt {number}")

    def _bill(self, tenant: str, booth: str) -> Bill:
        room = self._desk.room(tenant, booth)
        if room.session is None:
            raise NothingToPay(f"booth {booth} has no session to pay")
        kept = self._kept.setdefault(room.session.id, Kept())
        bill = draw_bill(room.session, "EUR", room.lines, kept.items)
        return replace(bill, cash_rounding=self.desk_of_center.rounding)

    def _add(self, tenant: str, booth: str, item: BillItem, key: str) -> Bill:
        self._desk.command(tenant, booth, item.kind.value, item.author)
        bill = self._bill(tenant, booth)
        kept = self._kept[bill.session_id]
        if key in kept.keys:
            if kept.keys[key] != item:
                raise DeskError("something else came on a bill under this key before: use a new key for a new item")
            return bill
        check_item(bill, item)
        kept.keys[key] = item
        kept.items.append(replace(item, number=len(kept.items) + 1, added=self._raise(booth)))
        return self._bill(tenant, booth)

    def _raise(self, booth: str) -> int:
        room = self._desk.rooms[booth]
        assert room.session is not None
        room.session = replace(room.session, version=room.session.version + 1)
        return room.session.version
