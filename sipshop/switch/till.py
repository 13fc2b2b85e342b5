"""The tills of every shop: whose shift is open, cash that is put in and taken out, counts and reports (IO)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sipshop.billing.cash import Count
from sipshop.billing.counter import TillMode
from sipshop.billing.money import Money
from sipshop.billing.shift import Move, MoveKind, Report, Shift, Turn, Variance
from sipshop.facts import Fact, TillChanged
from sipshop.store import CashMoved, DrawerCounted, ShiftClosed, ShiftOpened, Store
from sipshop.store.till import moves_outside, shift_named, turns, variances, x_report, z_report
from sipshop.switch.directory import Directory
from sipshop.switch.errors import UnknownShop


class Tills:
    """Every command about a shift. What customers pay comes into one by itself, with the transfer that moves it.

    What is given as a count or an amount is in the currency of the shop. `tell` is told when a shift begins or ends.
    """

    def __init__(
        self, *, directory: Directory, store: Store, tell: Callable[[Fact], None], utc_ms: Callable[[], int]
    ) -> None:
        self._directory = directory
        self._store = store
        self._tell = tell
        self._utc_ms = utc_ms
        self._open: dict[tuple[str, str], dict[int, Shift]] = {}

    def begin(self) -> None:
        """Take the shifts that were open when the store was closed."""
        for shift in self._store.open_shifts():
            self._take(shift)

    # What people see.

    def open_in(self, tenant: str, shop: str) -> list[Shift]:
        """The shifts of a shop that are open, in the order in which they were opened."""
        return list(self._open.get((tenant, shop), {}).values())

    def of_person(self, tenant: str, shop: str, operator: str | None) -> Shift | None:
        """The open shift of a person in a shop, None where he has none, or where it is nobody who asks."""
        return next((shift for shift in self.open_in(tenant, shop) if shift.operator == operator), None)

    def now_ms(self) -> int:
        """This instant, UTC."""
        return self._utc_ms()

    def zone(self, tenant: str, shop: str) -> str:
        """The IANA time zone of a shop; raises `UnknownShop`."""
        self.currency(tenant, shop)
        return self._directory.counters[tenant, shop].on_paper[1]

    def is_required(self, tenant: str, shop: str) -> bool:
        """Whether a shop takes cash in a shift only; raises `UnknownShop`."""
        self.currency(tenant, shop)
        return self._directory.counters[tenant, shop].till is TillMode.REQUIRED

    def currency(self, tenant: str, shop: str) -> str:
        """The currency of a shop's till; raises `UnknownShop`."""
        found = self._directory.shops.get((tenant, shop))
        if found is None:
            raise UnknownShop(f"there is no shop named {shop!r}")
        return found.currency

    async def shift(self, tenant: str, shop: str, number: int) -> Shift:
        """A shift, open or closed; raises `UnknownShift`."""
        return await self._store.ask(tenant, partial(shift_named, shop=shop, number=number))

    async def turns(
        self, tenant: str, shop: str, limit: int, *, before: int, operator: str | None = None
    ) -> list[Turn]:
        """The newest shifts of a shop first, with numbers below `before`; of one person where he is named."""
        of = partial(turns, shop=shop, limit=limit, before=before, operator=operator)
        return await self._store.ask(tenant, of)

    async def variances(self, tenant: str, shop: str, *, since_ms: int, until_ms: int) -> list[Variance]:
        """What the drawers of each person were wrong by, of shifts that were closed in a time."""
        return await self._store.ask(tenant, partial(variances, shop=shop, since_ms=since_ms, until_ms=until_ms))

    async def outside(self, tenant: str, shop: str, limit: int) -> list[Move]:
        """The cash that moved outside all shifts since the last Z report, the newest first."""
        return await self._store.ask(tenant, partial(moves_outside, shop=shop, limit=limit))

    async def report(self, tenant: str, shop: str, number: int, author: str) -> Report:
        """The X report of a shift that is open, the Z report of one that is closed; raises `UnknownShift`."""
        of = partial(x_report, shop=shop, number=number, at_ms=self._utc_ms(), author=author)
        return await self._store.ask(tenant, of)

    async def z_report(self, tenant: str, shop: str, number: int) -> Report:
        """A Z report by its number, as it was written; raises `UnknownShift`."""
        return await self._store.ask(tenant, partial(z_report, shop=shop, number=number))

    # Commands, durable when they return. Each raises StoreError where nothing was written.

    async def open(self, tenant: str, shop: str, operator: str, opening: Money, key: str) -> Shift:
        """Begin a person's shift with a float in the drawer; `key` names the command.

        Raises:
            BadCount: the float is below zero.
            ShiftError: he has one open in the shop.
        """
        shift = await self._store.commit(
            ShiftOpened(tenant=tenant, shop=shop, operator=operator, opening=opening, key=key, at_ms=self._utc_ms())
        )
        if shift.is_open:  # a command that is repeated after its end changes nothing
            self._take(shift)
            self._tell(TillChanged(tenant=tenant, shop=shop))
        return shift

    async def move(
        self, tenant: str, shop: str, number: int, kind: MoveKind, amount: Money, *, reason: str, author: str, key: str
    ) -> Shift:
        """Put cash into the drawer of a shift or take it out; `key` names the command.

        Raises:
            UnknownShift: there is no such shift.
            BadCount: the amount is nothing, or less.
            ShiftError: the shift is closed, or something else was moved under this key.
        """
        return await self._store.commit(
            CashMoved(
                tenant=tenant,
                shop=shop,
                shift=number,
                kind=kind,
                amount=amount,
                reason=reason,
                author=author,
                key=key,
                at_ms=self._utc_ms(),
            )
        )

    async def count(self, tenant: str, shop: str, number: int, count: Count, *, author: str, key: str) -> Shift:
        """Keep a count in the middle of a shift; `key` names the command. Raises as `move`."""
        return await self._store.commit(
            DrawerCounted(
                tenant=tenant,
                shop=shop,
                shift=number,
                count=count,
                author=author,
                key=key,
                at_ms=self._utc_ms(),
            )
        )

    async def close(self, tenant: str, shop: str, number: int, count: Count, *, author: str) -> Report:
        """End a shift with what was counted in its drawer, once; its Z report.

        Raises:
            UnknownShift: there is no such shift.
            BadCount: another currency was counted.
            ShiftError: it was closed with another count.
        """
        report = await self._store.commit(
            ShiftClosed(tenant=tenant, shop=shop, shift=number, count=count, author=author, at_ms=self._utc_ms())
        )
        if self._open.get((tenant, shop), {}).pop(number, None) is not None:
            self._tell(TillChanged(tenant=tenant, shop=shop))
        return report

    def _take(self, shift: Shift) -> None:
        self._open.setdefault((shift.tenant, shift.shop), {})[shift.number] = shift
