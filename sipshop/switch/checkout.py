"""The counter of every shop: what comes on a bill besides calls, payments, and the receipts of them (IO)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from sipshop.billing.counter import Counter, taxed_as
from sipshop.billing.desk import Bill, BoothSession
from sipshop.billing.errors import BadTerms, BeyondRights, CallAlive
from sipshop.billing.items import BillItem, billed
from sipshop.billing.money import Money
from sipshop.billing.receipt import EntryKind, Receipt
from sipshop.billing.tender import Tender
from sipshop.facts import BoothChanged, Fact
from sipshop.proxy.admission import Shop
from sipshop.store import ItemAdded, ItemTakenBack, NothingToPay, SessionPaid, Store
from sipshop.switch.accounts import Accounts
from sipshop.switch.balances import Balances
from sipshop.switch.directory import Directory
from sipshop.switch.errors import UnknownBooth, UnknownReceipt, UnknownShop
from sipshop.switch.live import BoothKey
from sipshop.switch.settler import Settler
from sipshop.world import Sold

#: How many receipts are given at once, unless somebody asks for another number.
RECEIPTS_AT_ONCE: Final = 100
_EVER_MS: Final = 2**63 - 1


class Checkout:
    """Bills and their payment; `sessions` are those that are open, `tell` is told of a bill that changed.

    A `key` names a command: given again with the same content, it is found done. `is_operator` says that the author
    works at the desk and may do what the shop lets him; others may do all.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        store: Store,
        accounts: Accounts,
        settler: Settler,
        balances: Balances,
        sessions: dict[BoothKey, BoothSession],
        tell: Callable[[Fact], None],
        utc_ms: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._store = store
        self._accounts = accounts
        self._settler = settler
        self._balances = balances
        self._sessions = sessions
        self._tell = tell
        self._utc_ms = utc_ms
        self._beside: dict[tuple[str, int], Bill] = {}  # the last bills of unpaid sessions with more than calls on them

    def begin(self) -> None:
        """Take the bills of the store that have more than calls on them."""
        for bill in self._store.open_bills():
            self._beside[bill.tenant, bill.session_id] = bill

    def beside(self, session: BoothSession, spent_micros: int) -> int:
        """What goods, discounts and voids add to calls that come to so much, in micro-units; below zero they take off.

        The calls are those of now: there may be more of them than on the last bill.
        """
        bill = self._beside.get((session.tenant, session.id))
        if bill is None:
            return 0
        items = [each.item for each in bill.items]
        voided = {item.call_id for item in items if item.kind is EntryKind.VOID}
        calls = {line.call_id: line.amount for line in bill.lines if line.call_id in voided}
        rest = spent_micros - sum(amount.micros for amount in calls.values())
        calls[""] = Money(max(0, rest), bill.total.currency)
        return sum(each.amount.micros for each in billed(calls, items, bill.total.currency))

    def counter(self, tenant: str, shop: str) -> Counter:
        """How a shop's desk works, with who stands on its receipts; raises `UnknownShop`."""
        return self._directory.counters[tenant, self._shop(tenant, shop).name]

    async def bill(self, tenant: str, booth: str) -> Bill:
        """The bill of a booth's unpaid session.

        Raises:
            UnknownBooth: there is no such booth.
            NothingToPay: it has no unpaid session.
        """
        counter = self._counter_of(tenant, booth)
        bill = await self._store.bill(tenant, booth)
        if bill is None:
            raise NothingToPay(f"booth {booth} has no unpaid session")
        return replace(bill, cash_rounding=counter.rounding)

    async def add_good(
        self, tenant: str, booth: str, *, name: str, quantity: int, unit: Money | None, author: str, key: str
    ) -> Bill:
        """Sell something: by its name on the shop's list, or anything else at a price; durable when it returns.

        Raises:
            UnknownBooth: there is no such booth.
            NothingToPay: it has no unpaid session.
            DeskError: it cannot be sold so, or something else came by this key.
            StoreError: nothing was written.
        """
        counter = self._counter_of(tenant, booth)
        good = counter.good(name)
        if good is None and unit is None:
            raise BadTerms(f"{name!r} is not on the list of {counter.shop}: give its price")
        if good is not None and unit not in {None, good.price}:
            raise BadTerms(f"{name} costs {good.price} here: leave the price out, and give a discount for less")
        shop_tax = self._directory.taxes.get((tenant, Sold.IN_SHOP, counter.shop))
        item = BillItem(
            kind=EntryKind.GOOD,
            text=name,
            author=author,
            at_ms=self._utc_ms(),
            quantity=quantity,
            unit=good.price if good is not None else unit,
            tax=taxed_as(good, shop_tax),
        )
        return await self._add(tenant, booth, item, key)

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
        """Take an amount or a percentage off a bill; of what a percentage comes to, later calls have their part.

        Raises:
            UnknownBooth, NothingToPay, StoreError: as `add_good`.
            BeyondRights: it is more than an operator of the shop may give.
            DeskError: it is more than there is, or something else came by this key.
        """
        counter = self._counter_of(tenant, booth)
        item = BillItem(
            kind=EntryKind.DISCOUNT,
            text=reason,
            author=author,
            at_ms=self._utc_ms(),
            amount=amount,
            percent_ppm=percent_ppm,
            most_ppm=counter.discount_most_ppm if is_operator else None,
        )
        return await self._add(tenant, booth, item, key)

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
        """Take back a call, or what was sold, for a reason; both stay on the bill.

        Raises:
            UnknownBooth, NothingToPay, StoreError: as `add_good`.
            BeyondRights: operators of the shop may not.
            NoSuchItem: it is not on the bill, or was taken back already.
            DeskError: something else came by this key.
        """
        counter = self._counter_of(tenant, booth)
        if is_operator and not counter.operators_may_void:
            raise BeyondRights(f"operators of {counter.shop} take nothing back from a bill: ask its owner")
        void = BillItem(
            kind=EntryKind.VOID, text=reason, author=author, at_ms=self._utc_ms(), call_id=call_id, item=item
        )
        return await self._add(tenant, booth, void, key)

    async def take_back(self, tenant: str, booth: str, *, item: int, author: str) -> Bill:
        """Let an item go from a bill as if it had not been there; who did it is kept. Done twice, it is done once.

        Raises:
            UnknownBooth, NothingToPay, StoreError: as `add_good`.
            NoSuchItem: there was never such an item, or it was voided.
        """
        key = self._key(tenant, booth)
        taken = ItemTakenBack(tenant=tenant, booth=booth, item=item, author=author, at_ms=self._utc_ms())
        return self._changed(key, await self._store.commit(taken))

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
        """Take the payment of the bill that was read at `version`, lock the booth and draw the receipt.

        It is durable when it returns. The receipt is in the shop's usual language unless one is named.

        Raises:
            UnknownBooth: there is no such booth.
            CallAlive: a call of the session is alive, or ended and not on disk yet.
            DeskError: the bill changed meanwhile, or the tenders do not pay it.
            StoreError: nothing was written.
        """
        counter, key = self._counter_of(tenant, booth), (tenant, booth)
        worded = counter.language(language)
        alive = self._settler.unsettled_of(key)
        if alive:
            raise CallAlive(alive)
        before = self._sessions.pop(key, None)  # no call may land between the sum and the payment
        try:
            receipt = await self._store.commit(
                SessionPaid(
                    tenant=tenant,
                    booth=booth,
                    version=version,
                    tenders=tuple(tenders),
                    counter=counter,
                    language=worded,
                    author=author,
                    at_ms=self._utc_ms(),
                )
            )
        except Exception:
            if before is not None:
                self._sessions.setdefault(key, before)
            raise
        self._accounts.forget(tenant, receipt.session_id)
        self._beside.pop((tenant, receipt.session_id), None)
        self._balances.check_booth(tenant, booth)
        self._tell_changed(key)
        return receipt

    async def receipts(
        self,
        tenant: str,
        shop: str,
        *,
        limit: int = RECEIPTS_AT_ONCE,
        before: int | None = None,
        since_ms: int = 0,
        until_ms: int | None = None,
    ) -> list[Receipt]:
        """The newest receipts of a shop first, of a time if that is given; `before` goes on after the one numbered so.

        Raises:
            UnknownShop: there is no such shop.
        """
        until = _EVER_MS if until_ms is None else until_ms
        name = self._shop(tenant, shop).name
        return await self._store.receipts(tenant, name, limit=limit, before=before, since_ms=since_ms, until_ms=until)

    async def receipt(self, tenant: str, shop: str, number: int) -> Receipt:
        """A receipt of a shop by its number; raises `UnknownShop` or `UnknownReceipt`."""
        found = await self._store.receipt(tenant, self._shop(tenant, shop).name, number)
        if found is None:
            raise UnknownReceipt(f"shop {shop} has no receipt {number}")
        return found

    async def _add(self, tenant: str, booth: str, item: BillItem, key: str) -> Bill:
        added = ItemAdded(tenant=tenant, booth=booth, item=item, key=key)
        return self._changed((tenant, booth), await self._store.commit(added))

    def _changed(self, key: BoothKey, bill: Bill) -> Bill:
        """Tell the boards of a bill that changed, and give it as the counter asks for it."""
        unpaid = self._accounts.unpaid_of(key)
        if unpaid is not None and unpaid.id == bill.session_id:
            self._beside[bill.tenant, bill.session_id] = bill
        self._tell_changed(key)
        return replace(bill, cash_rounding=self._counter_of(*key).rounding)

    def _tell_changed(self, key: BoothKey) -> None:
        tenant, booth = key
        self._tell(BoothChanged(tenant=tenant, shop=self._directory.booths[key].shop, booth=booth))

    def _counter_of(self, tenant: str, booth: str) -> Counter:
        found = self._directory.booths[self._key(tenant, booth)]
        return self._directory.counters[tenant, found.shop]

    def _shop(self, tenant: str, shop: str) -> Shop:
        found = self._directory.shops.get((tenant, shop))
        if found is None:
            raise UnknownShop(f"there is no shop named {shop!r}")
        return found

    def _key(self, tenant: str, booth: str) -> BoothKey:
        if (tenant, booth) not in self._directory.booths:
            raise UnknownBooth(f"there is no booth named {booth!r}")
        return tenant, booth
