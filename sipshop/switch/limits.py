"""Limits against fraud at work: asked of each call, told to people, kept over a restart (IO).

`billing/watch` counts and decides; here is what it is asked with, and what becomes of its answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sipshop.billing.cdr import CallKind, Cdr
from sipshop.billing.deck import RateDeck
from sipshop.billing.limits import (
    DAY_MS,
    MEASURES,
    LimitAction,
    Limits,
    Measure,
    Place,
    Rule,
    Stand,
    Standing,
    Subject,
    country_of,
)
from sipshop.billing.watch import Talk, Trip, Watch, Watched, path_of
from sipshop.proxy import news
from sipshop.proxy.admission import Cause
from sipshop.store import CountryCalled, KeptLimits, LimitForgotten, LimitReleased, LimitTripped, PastCall, Store
from sipshop.switch.alerts import Alerts
from sipshop.switch.alerts import Cause as Why
from sipshop.switch.directory import Directory
from sipshop.switch.errors import BadRelease, UnknownLimit
from sipshop.switch.records import Live
from sipshop.world import World

#: Calls that were set up longer ago than this can have cost nothing within the last day: none talks as long.
LOOK_BACK_MS: Final = 2 * DAY_MS

_CAUSES: Final[Mapping[LimitAction, Cause]] = {
    LimitAction.REFUSE: Cause.LIMITED,
    LimitAction.HOLD: Cause.HELD_BACK,
    LimitAction.BLOCK: Cause.BLOCKED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitStatus:
    """A rule of somebody as it is at this instant.

    `party` and `shop` say whose it is. `used` is what counts now: micro-units for spending, calls for calls at once,
    None where there is nothing to count. `stands` are the destinations that are held, blocked or released.
    """

    subject: Subject
    party: str
    shop: str | None
    rule: Rule
    used: int | None
    stands: tuple[Stand, ...]


class Limiter:
    """The limits of every tenant."""

    def __init__(self, *, directory: Directory, store: Store, alerts: Alerts, utc_ms: Callable[[], int]) -> None:
        self._directory = directory
        self._store = store
        self._alerts = alerts
        self._utc_ms = utc_ms
        self._watches: dict[str, Watch] = {}
        self._called: dict[tuple[str, str], dict[str, int]] = {}  # of a shop: when each country was called last

    # Life.

    def begin(self, kept: KeptLimits) -> None:
        """Take the worlds' rules, how they stand, and what was called and spent before we started."""
        for tenant, shop, digits, at_ms in kept.called:
            self._note_called(tenant, shop, country_of(digits), at_ms)
        now_ms = self._utc_ms()
        for world in self._directory.worlds:
            watch = self._watch(world.tenant)
            new, _ = watch.know(world.limits)
            for tenant, stand in kept.stands:
                watched = watch.find(stand.subject, stand.rule) if tenant == world.tenant else None
                if watched is not None:
                    watched.take(stand)
            if new:
                past = self._store.recent_calls(world.tenant, now_ms - LOOK_BACK_MS)
                self._count(world.tenant, new, past)

    async def know(self, world: World) -> None:
        """Take the rules of a world that took the place of another; a new one counts what there was before it too."""
        tenant = world.tenant
        new, gone = self._watch(tenant).know(world.limits)
        for watched in gone:
            self._store.submit(LimitForgotten(tenant, watched.subject, watched.rule.name))
        if new:
            now_ms = self._utc_ms()
            past = await self._store.recently_called(tenant, now_ms - LOOK_BACK_MS)
            # who ends from now on is counted as he ends
            over = [call for call in past if (call.answered_at_ms or call.setup_at_ms) + call.talk_ms <= now_ms]
            self._count(tenant, new, over)

    def remember(self, cdr: Cdr) -> None:
        """Count a call that an earlier process left behind."""
        watch = self._watch(cdr.tenant)
        if cdr.kind is not CallKind.CALL or cdr.e164 is None or watch.is_idle:
            return
        past = PastCall(
            tenant=cdr.tenant,
            shop=cdr.shop,
            booth=cdr.booth,
            e164=cdr.e164,
            setup_at_ms=cdr.setup_at_ms,
            answered_at_ms=cdr.answered_at_ms,
            talk_ms=cdr.talk_ms,
            amounts={
                charge.buyer if level else "": charge.cost.amount.micros for level, charge in enumerate(cdr.charges)
            },
        )
        self._count(cdr.tenant, list(watch), [past])

    def _count(self, tenant: str, rules: list[Watched], past: Iterable[PastCall]) -> None:
        """Count what is over, by these rules alone."""
        of: dict[Subject, list[Watched]] = {}
        for watched in rules:
            of.setdefault(watched.subject, []).append(watched)
            if watched.rule.measure is Measure.UNUSED:
                for shop in self._shops_of(tenant, watched.subject):
                    for country, at_ms in self._called.get((tenant, shop), {}).items():
                        watched.called[country] = max(at_ms, watched.called.get(country, 0))
        for call in past:
            for subject, deck, buyer in self._way(tenant, call):
                for watched in of.get(subject, ()):
                    self._count_call(watched, call, self._directory.decks[tenant, deck], call.amounts.get(buyer, 0))

    def _count_call(self, watched: Watched, call: PastCall, deck: RateDeck, amount: int) -> None:
        if watched.rule.measure is Measure.CALLS:
            tariff = deck.match(call.e164, call.setup_at_ms)
            if tariff is not None:
                watched.counted.add(tariff.rate.prefix, call.setup_at_ms)
        if watched.spent is not None and call.answered_at_ms is not None:
            watched.spent.add(amount, call.answered_at_ms, call.answered_at_ms + call.talk_ms, self._utc_ms())

    def _way(self, tenant: str, call: PastCall) -> Iterator[tuple[Subject, str, str]]:
        """Whom a call of the past has met, each with the deck that it was priced by and the name it was charged under.

        A shop that is not there any more has no limits, nor has anybody for its sake.
        """
        shop = self._directory.shops.get((tenant, call.shop))
        if shop is None:
            return
        yield Subject(Place.BOOTH, call.booth), shop.deck, ""
        yield Subject(Place.SHOP, shop.name), shop.deck, ""
        deck = shop.deck
        for party in self._directory.chain(shop):
            deck = party.deck or deck  # the provider has the price that he sells at
            yield Subject(Place.PARTY, party.name), deck, party.name

    def _shops_of(self, tenant: str, subject: Subject) -> Iterable[str]:
        if subject.place is Place.PARTY:
            return self._directory.below(tenant, subject.name)[1]
        return (subject.name,)

    # Calls.

    def admit(self, live: Live) -> news.Denied | None:
        """Why a call may not be made, None where it may; those who are to know are told."""
        watch = self._watch(live.tenant)
        if watch.is_idle or live.offer.passage is None:
            return None
        trips = watch.judge(self._talk(live))
        self._tell(live, trips)
        return next((_denied(trip) for trip in trips if trip.refuses), None)

    def is_spending(self, live: Live) -> bool:
        """Whether a call has to be granted slice by slice for the sake of a limit."""
        watch = self._watch(live.tenant)
        return not watch.is_idle and live.offer.passage is not None and watch.is_spending(self._talk(live).path)

    def affordable_s(self, live: Live, floor_s: int, wish_s: int) -> int | news.Denied:
        """The longest talk up to what is wanted that the limits leave, or why they leave no second."""
        watch = self._watch(live.tenant)
        if watch.is_idle or live.offer.passage is None:
            return wish_s
        found = watch.affordable_s(self._talk(live), floor_s, wish_s, self._utc_ms())
        if isinstance(found, int):
            return found
        self._tell(live, [found])
        return _denied(found)

    def granted(self, live: Live, talk_s: int, *, is_first: bool = False) -> None:
        """Count what a call was granted, and, with its first grant, that it is made."""
        if live.offer.passage is None:
            return
        watch = self._watch(live.tenant)
        if is_first:
            self._note_call(live)
        if watch.is_idle:
            return
        talk = self._talk(live)
        if is_first:
            watch.begin(talk)
        self._tell(live, watch.grant(talk, talk_s, self._utc_ms()))

    def ended(self, live: Live, talk_ms: int) -> None:
        """Count what a call has cost that is over."""
        watch = self._watch(live.tenant)
        if not watch.is_idle and live.offer.passage is not None:
            self._tell(live, watch.end(self._talk(live), talk_ms, self._utc_ms()))

    def _talk(self, live: Live) -> Talk:
        passage, e164 = live.offer.passage, live.offer.e164
        assert passage is not None, "an emergency call meets no limit, nor one from outside"
        assert e164 is not None, "its number was understood"
        return Talk(
            call_id=live.call_id,
            path=path_of(live.offer.shop.name, live.offer.booth.name, passage.levels),
            e164=e164,
            at_ms=live.priced_at_ms,
            is_answered=live.relayed_at_ms is not None,
        )

    def _tell(self, live: Live, trips: Iterable[Trip]) -> None:
        for trip in trips:
            if trip.stand is not None:
                self._store.submit(LimitTripped(live.tenant, trip.stand))
            if trip.is_news:
                where = f"booth {live.offer.booth.name} of {live.offer.shop.name}"
                why = Why(
                    kind=trip.rule.measure.value,
                    action=trip.rule.action.value,
                    subject=trip.subject,
                    rule=trip.rule.name,
                    prefix=trip.prefix,
                    detail=f"{trip.detail}: {where}",
                )
                self._alerts.raise_(live.tenant, why)

    def _note_call(self, live: Live) -> None:
        """Keep when a shop has called a country last, to the day."""
        e164, shop, at_ms = live.offer.e164, live.offer.shop.name, live.setup_at_ms
        assert e164 is not None, "its number was understood"
        country = country_of(e164)
        before_ms = self._called.get((live.tenant, shop), {}).get(country, 0)
        if at_ms - before_ms >= DAY_MS:
            self._note_called(live.tenant, shop, country, at_ms)
            self._store.submit(CountryCalled(live.tenant, shop, e164, at_ms))

    def _note_called(self, tenant: str, shop: str, country: str, at_ms: int) -> None:
        countries = self._called.setdefault((tenant, shop), {})
        countries[country] = max(at_ms, countries.get(country, 0))

    # People.

    def limits(self, tenant: str) -> list[LimitStatus]:
        """Every rule of a tenant, in the order of its world."""
        now_ms = self._utc_ms()
        return [self._status(tenant, watched, now_ms) for watched in self._watch(tenant)]

    def limit(self, tenant: str, subject: Subject, rule: str) -> LimitStatus:
        """One rule; raises `UnknownLimit`."""
        return self._status(tenant, self._find(tenant, subject, rule), self._utc_ms())

    async def release(
        self,
        tenant: str,
        subject: Subject,
        rule: str,
        *,
        prefix: str,
        until_ms: int | None,
        author: str,
        reason: str,
        live: Iterable[Live],
    ) -> LimitStatus:
        """Let calls pass a rule until an instant or, to one destination, for good; durable when it returns.

        Neither of them ends what is held, and what is counted begins anew. `live` are the calls that it may concern.

        Raises:
            UnknownLimit: there is no such rule.
            BadRelease: the rule is about no destination, or would only be asked again, or the instant is over.
            StoreError: nothing was written.
        """
        watched, now_ms = self._find(tenant, subject, rule), self._utc_ms()
        measure = watched.rule.measure
        if prefix and not MEASURES[measure].is_of_destination:
            raise BadRelease(f"{rule} is about no destination: release it until a time, or altogether")
        if not prefix and until_ms is None and measure in {Measure.PRICE, Measure.UNUSED, Measure.NIGHT}:
            raise BadRelease(f"{rule} would hold the next call again: release a destination, or all until a time")
        if until_ms is not None and until_ms <= now_ms:
            raise BadRelease("the time until which it is released is over already")
        stand = Stand(
            subject=subject,
            rule=rule,
            prefix=prefix,
            standing=Standing.RELEASED,
            since_ms=now_ms,
            until_ms=until_ms if until_ms is not None or prefix else now_ms,
        )
        write = LimitReleased(tenant=tenant, stand=stand, author=author, detail=reason)
        await self._store.commit(write)
        watched.take(stand)
        for one in live:
            if one.offer.passage is not None and one.call.granted_ms is not None:
                self.granted(one, one.call.granted_ms // 1000)
        return self._status(tenant, watched, now_ms)

    def _find(self, tenant: str, subject: Subject, rule: str) -> Watched:
        watched = self._watch(tenant).find(subject, rule)
        if watched is None:
            raise UnknownLimit(f"there is no limit named {rule!r} of {subject}")
        return watched

    def _status(self, tenant: str, watched: Watched, now_ms: int) -> LimitStatus:
        party, shop = self._alerts.place_of(tenant, watched.subject)
        used = watched.spent.total(now_ms) if watched.spent is not None else None
        if watched.rule.measure is Measure.LIVE:
            used = len(watched.live)
        stands = tuple(stand for stand in watched.stands.values() if stand.holds(now_ms))
        return LimitStatus(subject=watched.subject, party=party, shop=shop, rule=watched.rule, used=used, stands=stands)

    def limits_of(self, tenant: str, subject: Subject) -> Limits | None:
        """All that is watched of somebody."""
        limits = self._directory.world(tenant).limits
        return next((each for each in limits if each.subject == subject), None)

    def _watch(self, tenant: str) -> Watch:
        watch = self._watches.get(tenant)
        if watch is None:
            watch = self._watches[tenant] = Watch()
        return watch


def _denied(trip: Trip) -> news.Denied:
    return news.Denied(_CAUSES[trip.rule.action], f"limit {trip.rule.name} of {trip.subject}: {trip.detail}")
