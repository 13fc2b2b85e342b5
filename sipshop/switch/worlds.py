"""What a provider does with his world while calls run: apply another one, look at it, ask what it costs (IO)."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Final

from sipshop.billing.deck import RateDeck, Tariff
from sipshop.billing.desk import BoothSession
from sipshop.billing.earnings import margins
from sipshop.billing.ledger import customer
from sipshop.billing.money import Money
from sipshop.billing.quote import Answer, DeckQuote, Quote, deck_quote, e164_of, quoted
from sipshop.billing.rating import Cost, cost
from sipshop.proxy.admission import Booth, Cause, Shop
from sipshop.proxy.numbers import BadNumber, NumberRules
from sipshop.proxy.routing import Trunk
from sipshop.sheets import Sale
from sipshop.store import Store, Token, opening_transfer
from sipshop.switch.accounts import Accounts
from sipshop.switch.balances import Balances
from sipshop.switch.directory import Directory, Passage
from sipshop.switch.errors import BadQuote, UnknownBooth, UnknownDeck, UnknownTrunk
from sipshop.switch.limits import Limiter
from sipshop.switch.live import BoothKey, LiveCalls
from sipshop.switch.meter import Meter
from sipshop.switch.rates import Rates
from sipshop.switch.sales import sales_with
from sipshop.switch.trunks import Condition, Trunks
from sipshop.world import History, Operator, Plan, World, export_world, plan_world

#: How parties write numbers: whole, whatever stands before the country code.
_WHOLE_NUMBERS: Final = NumberRules(country_code="", international_prefix="00", national_prefix="")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeckStatus:
    """A deck in the version that is in force, and the sales that it prices, each as (seller, buyer)."""

    deck: RateDeck
    sales: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkStatus:
    """A trunk, how many calls it carries, and how it does, with the instants in UTC; None where it is not in use."""

    trunk: Trunk
    live_calls: int
    condition: Condition | None = None
    since_ms: int | None = None
    registered_until_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainStep:
    """What one level of a call pays the next one; of a carrier, by which trunk.

    `margin` is what the buyer keeps of his own sale, None for the customer; `common` is the same
    in the currency in which the provider is paid for the call, in which all can be added, None without a rate.
    """

    seller: str
    buyer: str
    trunk: str | None
    tariff: Tariff
    cost: Cost
    margin: Money | None
    common: Money | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Everybody who pays for a call, the customer first and the carriers in their order last; or why none can be."""

    answer: str
    e164: str | None
    steps: tuple[ChainStep, ...] = ()


class Worlds:
    """The worlds of all tenants, one change at a time.

    `close` takes booths out of the open ones and gives back what undoes that, `opened` takes a session that was opened
    with a new booth, `ended` a token that opens nothing any more; `on_swap` is told of each world that takes the place
    of another. `carriers` are the trunks as they are at this moment; `rates` tells what shops ask.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        store: Store,
        accounts: Accounts,
        calls: LiveCalls,
        meter: Meter,
        turn: Callable[[], AbstractContextManager[float]],
        utc_ms: Callable[[], int],
        close: Callable[[Iterable[BoothKey]], Callable[[], None]],
        opened: Callable[[BoothSession], None],
        ended: Callable[[Token], None],
        on_swap: Callable[[World], None],
        carriers: Trunks,
        most_s: int,
        limits: Limiter,
        balances: Balances,
    ) -> None:
        self._directory = directory
        self._store = store
        self._accounts = accounts
        self._calls = calls
        self._meter = meter
        self._turn = turn
        self._utc_ms = utc_ms
        self._close = close
        self._opened = opened
        self._ended = ended
        self._on_swap = on_swap
        self._carriers = carriers
        self._most_s = most_s
        self._limits = limits
        self._balances = balances
        self._changing = asyncio.Lock()
        self.rates = Rates(directory, utc_ms, most_s)

    async def apply(
        self, tenant: str, text: str, filename: str, *, author: str, dry_run: bool = False, prune: bool = False
    ) -> Plan:
        """Make a tenant's world what a text says, all of it or nothing, or with `dry_run` only tell what that changes.

        It is durable when this returns. Calls that are live keep the shop, tariffs and trunk that they began with.

        Raises:
            WorldErrors: the text is wrong, or the world cannot become this.
            LedgerError: a credit limit is lowered under what is used, or set where calls are live without one, or
                somebody would grant more than his policy lets.
            Conflict: a phone could be taken for another tenant's.
            WorldChanged: somebody else changed it meanwhile.
            StoreError: nothing was written.
        """
        async with self._changing:
            with uncollected():
                return await self._apply(tenant, text, filename, author=author, dry_run=dry_run, prune=prune)

    async def _apply(self, tenant: str, text: str, filename: str, *, author: str, dry_run: bool, prune: bool) -> Plan:
        offers = [live.offer for live in self._calls if live.tenant == tenant]
        booths = frozenset(offer.booth.name for offer in offers)
        shops = frozenset(offer.shop.name for offer in offers)

        def planned(world: World, history: History) -> tuple[Plan, History]:
            busy = replace(history, booths=history.booths | booths, shops=history.shops | shops)
            return plan_world(text, filename, world, history=busy, prune=prune), history

        plan, history = await self._store.with_world(tenant, self._directory.world(tenant).decks, planned)
        if not dry_run and plan.changes:
            await self._do(plan, history if prune else None, author)
        return plan

    async def _do(self, plan: Plan, history: History | None, author: str) -> None:
        tenant = plan.after.tenant
        disabled = [(tenant, booth) for booth in plan.disabled_booths]
        sellers = self._balances.check_plan(plan)
        unlimit = self._limit(plan)
        reopen = self._close(disabled)
        try:
            applied = await self._store.apply_world(tenant, plan, history, author=author, at_ms=self._utc_ms())
        except Exception:
            unlimit()
            reopen()
            raise
        self._close(disabled)  # who was unlocked meanwhile was locked again by what is written
        self._directory.swap(plan.after)
        self._open_accounts(plan)
        self._balances.know()
        self._balances.warn(tenant, sellers)
        for session in applied.opened:
            self._opened(session)
        for token in applied.ended:
            self._ended(token)
        self._on_swap(plan.after)
        with self._turn() as now:
            for live in self._calls:  # a higher limit, or what was paid in, lets them go on
                if live.tenant == tenant:
                    self._meter.renew(live, now)
        await self._limits.know(plan.after)

    def _limit(self, plan: Plan) -> Callable[[], None]:
        """Lower and raise credit limits: from now on nobody is granted more than will be allowed."""
        tenant = plan.after.tenant
        names = _accounts(plan.before)
        accounts = {opening.party: names[opening.party] for opening in plan.new_limits}
        return self._accounts.limit(
            tenant,
            {accounts[opening.party]: opening.credit_limit_micros for opening in plan.new_limits},
            {
                name: self._calls.count_in(tenant, self._directory.below(tenant, party)[1])
                for party, name in accounts.items()
            },
        )

    def _open_accounts(self, plan: Plan) -> None:
        ledger = self._accounts.ledger(plan.after.tenant)
        before, after = _accounts(plan.before), _accounts(plan.after)
        for party, opening in plan.new_accounts:
            ledger.open(after[party.name], opening.currency, balance=0, credit_limit=opening.credit_limit_micros)
        parties = {party.name: party for party in plan.after.parties}
        for opening in plan.postings:
            ledger.apply(opening_transfer(parties[opening.party], opening))
        for name in before.keys() - parties.keys():
            ledger.close(before[name])

    async def take_deck(self, tenant: str, deck: RateDeck, write: Callable[[], Awaitable[None]]) -> RateDeck:
        """Put another version of a deck in the place of the one in force, as soon as it is written; that one is given.

        Calls that are live keep their tariffs.

        Raises:
            UnknownDeck: there is none.
            StoreError: nothing was written.
        """
        async with self._changing:
            old = self.deck(tenant, deck.name).deck
            await write()
            world = self._directory.world(tenant)
            decks = tuple(deck if each.name == deck.name else each for each in world.decks)
            after = replace(world, decks=decks, imported=world.imported | {deck.name})
            self._directory.swap(after)
            self._on_swap(after)
            return old

    def sales_with(self, tenant: str, deck: RateDeck, party: str) -> Iterator[Sale]:
        """The sales of a party and of those below him that another version of a deck is bought or sold by."""
        return sales_with(self._directory, tenant, deck, party)

    async def export(self, tenant: str) -> str:
        """The text of a tenant's world, passwords masked: applied, it changes nothing."""
        async with self._changing:
            with uncollected():
                decks = self._directory.world(tenant).decks
                return await self._store.with_world(tenant, decks, lambda world, _: export_world(world))

    def operators(self, tenant: str) -> tuple[Operator, ...]:
        """The people of a tenant's parties."""
        return self._directory.world(tenant).operators

    def decks(self, tenant: str) -> list[DeckStatus]:
        """Every deck of a tenant, in the order of its world."""
        world = self._directory.world(tenant)
        sales: dict[str, list[tuple[str, str]]] = {deck.name: [] for deck in world.decks}
        for party in world.parties:
            if party.parent is not None and party.deck is not None:
                sales[party.deck].append((party.parent, party.name))
        for shop in world.shops:
            sales[shop.deck].append((shop.owner, f"customers of {shop.name}"))
        for trunk in world.trunks:
            sales[trunk.deck].append((trunk.carrier, tenant))
        return [DeckStatus(deck=deck, sales=tuple(dict.fromkeys(sales[deck.name]))) for deck in world.decks]

    def deck(self, tenant: str, name: str) -> DeckStatus:
        """One deck; raises `UnknownDeck`."""
        for status in self.decks(tenant):
            if status.deck.name == name:
                return status
        raise UnknownDeck(f"there is no deck named {name!r}")

    def trunks(self, tenant: str) -> list[TrunkStatus]:
        """Every trunk of a tenant, in the order of its world."""
        with self._turn() as now:
            return [self._trunk(trunk, now) for trunk in self._directory.world(tenant).trunks]

    async def probe(self, tenant: str, name: str) -> TrunkStatus:
        """Ask a carrier by OPTIONS whether he is there, and register with him where we are not; what came of it.

        Raises:
            UnknownTrunk: there is no such trunk, or it is disabled.
        """
        trunk = next((trunk for trunk in self._directory.world(tenant).trunks if trunk.name == name), None)
        if trunk is None or trunk.disabled:
            raise UnknownTrunk(f"there is no trunk named {name!r} in use")
        with self._turn() as now:
            heard = self._carriers.ask(trunk, now)
        if heard is not None:
            await asyncio.wait([heard], timeout=trunk.probing.patience_s + 1)
        with self._turn() as now:
            return self._trunk(trunk, now)

    def _trunk(self, trunk: Trunk, now: float) -> TrunkStatus:
        condition = self._carriers.condition(trunk, now)
        now_ms = self._utc_ms()

        def utc(at_s: float | None) -> int | None:
            return now_ms + round((at_s - now) * 1000) if at_s is not None else None

        return TrunkStatus(
            trunk=trunk,
            live_calls=self._meter.carried(trunk),
            condition=condition,
            since_ms=utc(condition.since_s) if condition is not None else None,
            registered_until_ms=utc(condition.registered_until_s) if condition is not None else None,
        )

    def quotes(
        self,
        tenant: str,
        number: str,
        *,
        booth: str | None = None,
        party: str | None = None,
        amount_micros: int | None = None,
        talk_s: int = 60,
    ) -> list[Quote]:
        """What a call costs, or how long an amount lasts: from a booth, for a party, or else in every shop.

        A party is asked what its seller sells to it by, the provider each of his trunks.

        Raises:
            UnknownBooth, UnknownParty: there is none.
        """
        if booth is not None:
            found = self._directory.booths.get((tenant, booth))
            if found is None:
                raise UnknownBooth(f"there is no booth named {booth!r}")
            sales = iter([self._sale(self._directory.shop_of(found), found)])
        elif party is not None:
            sales = self._bought(tenant, party)
        else:
            sales = (self._sale(shop) for shop in self._directory.world(tenant).shops)
        return [self._quote(tenant, sale, number, amount_micros=amount_micros, talk_s=talk_s) for sale in sales]

    def deck_quote(
        self, tenant: str, name: str, number: str, *, talk_ms: int, at: str | None, funds_micros: int | None
    ) -> DeckQuote:
        """What a call to a whole number costs by a deck, now or at an instant, and how long funds last.

        Raises:
            UnknownDeck: there is none.
            BadQuote: the number or the instant cannot be read.
        """
        deck = self.deck(tenant, name).deck
        try:
            e164, at_ms = e164_of(number), self._utc_ms() if at is None else deck.calendar.instant(at)
        except ValueError as error:
            raise BadQuote(str(error)) from error
        return deck_quote(deck, e164, at_ms=at_ms, talk_ms=talk_ms, funds_micros=funds_micros)

    def chain(self, tenant: str, booth: str, number: str, *, talk_ms: int, at: str | None) -> Chain:
        """What everybody pays for a call from a booth, as if it were open, now or at an instant.

        Raises:
            UnknownBooth: there is none.
            BadQuote: the instant cannot be read.
        """
        found = self._directory.booths.get((tenant, booth))
        if found is None:
            raise UnknownBooth(f"there is no booth named {booth!r}")
        shop = self._directory.shop_of(found)
        calendar = self._directory.decks[tenant, shop.deck].calendar
        try:
            at_ms = self._utc_ms() if at is None else calendar.instant(at)
        except ValueError as error:
            raise BadQuote(str(error)) from error
        if shop.numbers.is_emergency(number):
            return Chain(answer=Answer.EMERGENCY.value, e164=None)
        try:
            e164 = shop.numbers.to_e164(number)
        except BadNumber:
            return Chain(answer=Answer.BAD_NUMBER.value, e164=None)
        passage = self._directory.passage(shop, booth, 0, e164, _first, at_ms=at_ms)
        if isinstance(passage, Cause):
            return Chain(answer=passage.value, e164=e164)
        steps, currency = tuple(_steps(tenant, passage, at_ms, talk_ms)), passage.levels[-1].tariff.charged_in
        return Chain(answer=Answer.PRICE.value, e164=e164, steps=tuple(self._told(tenant, steps, currency, at_ms)))

    def _told(self, tenant: str, steps: Sequence[ChainStep], currency: str, at_ms: int) -> Iterator[ChainStep]:
        """The steps with their margins in one currency too."""
        for step in steps:
            common = None if step.margin is None else self._directory.told_in(tenant, step.margin, currency, at_ms)
            yield replace(step, common=common)

    def _sale(self, shop: Shop, booth: Booth | None = None) -> _Sale:
        buyer = booth.name if booth is not None else f"customers of {shop.name}"
        return _Sale(
            seller=shop.owner,
            buyer=buyer,
            deck=shop.deck,
            numbers=shop.numbers,
            charged=lambda tariff, at_ms: self._directory.sold_in(shop, tariff, at_ms),
        )

    def _bought(self, tenant: str, party: str) -> Iterator[_Sale]:
        found = self._directory.parties[tenant][party]
        if found.parent is not None and found.deck is not None:
            yield _Sale(
                seller=found.parent,
                buyer=party,
                deck=found.deck,
                numbers=_WHOLE_NUMBERS,
                charged=lambda tariff, at_ms: self._directory.sold_to(found, tariff, at_ms),
            )
            return
        for trunk in self._directory.world(tenant).trunks:
            if not trunk.disabled:
                yield _Sale(seller=trunk.carrier, buyer=party, deck=trunk.deck, numbers=_WHOLE_NUMBERS)

    def _quote(self, tenant: str, sale: _Sale, number: str, *, amount_micros: int | None, talk_s: int) -> Quote:
        if sale.numbers.is_emergency(number):
            return Quote(seller=sale.seller, buyer=sale.buyer, answer=Answer.EMERGENCY, e164=None)
        try:
            e164 = sale.numbers.to_e164(number)
        except BadNumber:
            return Quote(seller=sale.seller, buyer=sale.buyer, answer=Answer.BAD_NUMBER, e164=None)
        at_ms = self._utc_ms()
        tariff = self._directory.decks[tenant, sale.deck].match(e164, at_ms)
        if tariff is not None:
            tariff = sale.charged(tariff, at_ms)
            if tariff is None:
                return Quote(seller=sale.seller, buyer=sale.buyer, answer=Answer.NO_FX, e164=e164)
        return quoted(
            sale.seller,
            sale.buyer,
            e164,
            tariff,
            amount_micros=amount_micros,
            talk_s=talk_s,
            most_s=self._most_s,
            at_ms=at_ms,
        )


def _first(many: int) -> int:
    """Draw among equal carriers: a quote names the same ones each time."""
    del many
    return 0


def _steps(tenant: str, passage: Passage, at_ms: int, talk_ms: int) -> Iterator[ChainStep]:
    priced = [(level, cost(level.tariff, at_ms, talk_ms)) for level in passage.levels]
    kept = margins((level.tariff, found.amount) for level, found in priced)
    for (level, found), margin in zip(priced, kept, strict=True):
        yield ChainStep(
            seller=level.seller, buyer=level.buyer, trunk=None, tariff=level.tariff, cost=found, margin=margin
        )
    last, sold = priced[-1]
    for trunk in passage.trunks:
        tariff = passage.buys[trunk.name]
        found = cost(tariff, at_ms, talk_ms)
        _, margin = margins(((last.tariff, sold.amount), (tariff, found.amount)))
        yield ChainStep(seller=trunk.carrier, buyer=tenant, trunk=trunk.name, tariff=tariff, cost=found, margin=margin)


def _accounts(world: World) -> dict[str, str]:
    """The account of each party with the one above it, by its name; the provider has none."""
    return {party.name: customer(party.name, party.parent) for party in world.parties if party.parent is not None}


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector away while a world is read or written.

    A text of 10 MB becomes millions of objects for a while, in no cycle, and each time the collector went through them
    calls would stand still for up to a second.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # a world lives long: it is not gone through either, and goes without the collector
        gc.enable()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sale:
    """Who sells to whom by which deck, and how the buyer writes numbers.

    `charged` makes of a tariff what the buyer is charged by at an instant, None where there is no rate of exchange.
    """

    seller: str
    buyer: str
    deck: str
    numbers: NumberRules
    charged: Callable[[Tariff, int], Tariff | None] = lambda tariff, _: tariff
