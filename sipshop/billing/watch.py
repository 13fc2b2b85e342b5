"""Who has spent and called how much lately, and which calls go beyond a limit: the counters behind `limits`.

Spending is counted as it comes to be: what a talk costs is spread evenly over it, and of a call that is live all counts
that is granted, so that no number of calls at once is granted more than a rule lets them. A window slides in buckets,
and counts a bucket until all of it has gone by. Time is an argument (ms, UTC), and what is here can be made again from
the records of the calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from sipshop.billing.chain import Level
from sipshop.billing.limits import (
    DAY_MS,
    HOUR_MS,
    MEASURES,
    SPENDING,
    STANDING_OF,
    Asked,
    LimitAction,
    Limits,
    Measure,
    Place,
    Rule,
    Stand,
    Standing,
    Subject,
    country_of,
    price_a_minute,
)
from sipshop.billing.money import format_micros
from sipshop.billing.rating import longest

#: An hour slides by minutes, a day by quarters of an hour.
_BUCKETS: Final = {HOUR_MS: 60, DAY_MS: 96}
#: So many destinations may be counted, held or told of in a rule; the oldest is forgotten for one more.
MOST_KEPT: Final = 1_000


def part_after(amount: int, start_ms: int, end_ms: int, from_ms: int) -> int:
    """Return what of an amount falls on or after an instant, when it is spread evenly over a time; rounded up.

    >>> part_after(100, 0, 60, 45), part_after(100, 0, 60, 0), part_after(100, 0, 60, 60)
    (25, 100, 0)
    """
    if from_ms <= start_ms:
        return amount
    if from_ms >= end_ms:
        return 0
    return amount - amount * (from_ms - start_ms) // (end_ms - start_ms)


@dataclass(slots=True)
class Spent:
    """What was spent within the last hour or day: by talks that are over, and what those that live are granted.

    What was spent before `fresh_ms` does not count.
    """

    span_ms: int
    fresh_ms: int = 0
    _buckets: dict[int, int] = field(default_factory=dict)
    _sum: int = 0
    _first: int = 0  # the oldest bucket that counts
    _granted: dict[str, int] = field(default_factory=dict)
    _granted_sum: int = 0

    @property
    def bucket_ms(self) -> int:
        """How far the window slides at a time."""
        return self.span_ms // _BUCKETS[self.span_ms]

    def from_ms(self, now_ms: int) -> int:
        """The instant from which on it counts."""
        width = self.bucket_ms
        return max(self.fresh_ms, (now_ms // width - _BUCKETS[self.span_ms]) * width)

    def add(self, amount: int, start_ms: int, end_ms: int, now_ms: int) -> None:
        """Count what a talk has cost that is over."""
        from_ms, width = max(self.from_ms(now_ms), start_ms), self.bucket_ms
        left = part_after(amount, start_ms, end_ms, from_ms)
        bucket = from_ms // width
        while left > 0:
            bucket += 1
            after = part_after(amount, start_ms, end_ms, bucket * width)
            if after < left:
                self._buckets[bucket - 1] = self._buckets.get(bucket - 1, 0) + left - after
                self._sum += left - after
            left = after

    def total(self, now_ms: int, but: str = "") -> int:
        """What counts now, without what one call is granted."""
        first = self.from_ms(now_ms) // self.bucket_ms
        if first > self._first:
            self._first = first
            for bucket in [bucket for bucket in self._buckets if bucket < first]:
                self._sum -= self._buckets.pop(bucket)
        return self._sum + self._granted_sum - self._granted.get(but, 0)

    def grant(self, call_id: str, amount: int) -> None:
        """Count what a live call is granted instead of what it was granted before."""
        self._granted_sum += amount - self._granted.get(call_id, 0)
        self._granted[call_id] = amount

    def end(self, call_id: str) -> None:
        """A call is not live any more; it need not have been."""
        self._granted_sum -= self._granted.pop(call_id, 0)

    def begin_anew(self, fresh_ms: int) -> None:
        """Count from an instant on, now or later; what live calls are granted counts again with their next grant."""
        self.fresh_ms = fresh_ms
        self._buckets.clear()
        self._sum = 0
        self._granted = dict.fromkeys(self._granted, 0)
        self._granted_sum = 0

    def __len__(self) -> int:
        return len(self._buckets) + len(self._granted)


@dataclass(slots=True)
class Counted:
    """How many calls there were to each destination within the last hour, by minutes."""

    _minutes: dict[str, dict[int, int]] = field(default_factory=dict)

    def add(self, prefix: str, at_ms: int) -> None:
        """Count a call."""
        minutes = self._minutes.pop(prefix, {})  # whoever was called last stands last
        minute = at_ms // 60_000
        minutes[minute] = minutes.get(minute, 0) + 1
        self._minutes[prefix] = {each: calls for each, calls in minutes.items() if each >= minute - 60}
        if len(self._minutes) > MOST_KEPT:
            del self._minutes[next(iter(self._minutes))]

    def calls(self, prefix: str, now_ms: int) -> int:
        """How many count now."""
        first = now_ms // 60_000 - 60
        return sum(calls for minute, calls in self._minutes.get(prefix, {}).items() if minute >= first)

    def begin_anew(self, prefix: str) -> None:
        """Forget the calls to a destination and all within it."""
        for known in [known for known in self._minutes if known.startswith(prefix)]:
            del self._minutes[known]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """A call went beyond a rule; `detail` is for people and has in it nothing that a caller chose.

    `is_news` says that somebody is to be told; of a call that was not made for how the rule stood already, nobody is.
    `stand` is how the rule stands by it from now on, None where that is as before.
    """

    subject: Subject
    rule: Rule
    prefix: str
    detail: str
    is_news: bool
    stand: Stand | None = None

    @property
    def refuses(self) -> bool:
        """Whether the call is not made, or not extended."""
        return self.rule.action is not LimitAction.ALERT


@dataclass(slots=True)
class Watched:
    """One rule of a subject with what it counts, and how it stands, by destination."""

    subject: Subject
    rule: Rule
    spent: Spent | None = None
    counted: Counted = field(default_factory=Counted)
    live: set[str] = field(default_factory=set)
    called: dict[str, int] = field(default_factory=dict)  # when a country was called last
    stands: dict[str, Stand] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)

    def key(self, asked: Asked, e164: str) -> str:
        """What the rule tells destinations apart by."""
        if not MEASURES[self.rule.measure].is_of_destination:
            return ""
        return country_of(e164) if self.rule.measure is Measure.UNUSED else asked.prefix

    def is_released(self, e164: str, at_ms: int) -> bool:
        """Whether somebody lets calls to a number pass."""
        if not self.stands:
            return False
        found = (self.stands.get(e164[:digits]) for digits in range(len(e164) + 1))
        return any(stand is not None and stand.standing is Standing.RELEASED and stand.holds(at_ms) for stand in found)

    def standing(self, key: str) -> Stand | None:
        """How calls of a destination are kept from being made until somebody releases them."""
        stand = self.stands.get(key)
        return stand if stand is not None and stand.standing is not Standing.RELEASED else None

    def take(self, stand: Stand) -> None:
        """Have the rule stand so; what is released ends what is held within it, and is counted anew."""
        if stand.standing is Standing.RELEASED:
            for prefix in [prefix for prefix in self.stands if prefix.startswith(stand.prefix)]:
                del self.stands[prefix]
            self.counted.begin_anew(stand.prefix)
            self.told.clear()
            if self.spent is not None:
                self.spent.begin_anew(stand.fresh_ms)
        self.stands[stand.prefix] = stand

    def trip(self, key: str, detail: str, at_ms: int) -> Trip:
        """A call went beyond the rule."""
        stand = None
        standing = STANDING_OF.get(self.rule.action)
        if standing is not None and len(self.stands) < MOST_KEPT:
            stand = Stand(subject=self.subject, rule=self.rule.name, prefix=key, standing=standing, since_ms=at_ms)
            self.stands[key] = stand
        told_ms = self.told.get(key)
        is_news = stand is not None or told_ms is None or at_ms - told_ms >= MEASURES[self.rule.measure].span_ms
        if is_news:
            self.told.pop(key, None)
            self.told[key] = at_ms
            if len(self.told) > MOST_KEPT:
                del self.told[next(iter(self.told))]
        return Trip(subject=self.subject, rule=self.rule, prefix=key, detail=detail, is_news=is_news, stand=stand)

    def beyond(self, asked: Asked, e164: str, at_ms: int) -> str | None:
        """Why a call to begin goes beyond the rule, None where it does not; spending is asked elsewhere."""
        rule, most, where = self.rule, self.rule.most or 0, f"{asked.destination} ({asked.prefix})"
        match rule.measure:
            case Measure.CALLS:
                if self.counted.calls(asked.prefix, at_ms) >= most:
                    return f"{most} calls in an hour to {where}"
            case Measure.LIVE:
                if len(self.live) >= most:
                    return f"{most} calls at once"
            case Measure.PRICE:
                price = price_a_minute(asked.level, at_ms)
                if price > most:
                    return f"{where} costs {format_micros(price)} a minute, more than {format_micros(most)}"
            case Measure.UNUSED:
                last_ms = self.called.get(country_of(e164))
                if last_ms is None or at_ms - last_ms > most * DAY_MS:
                    return f"{where}: country {country_of(e164)} was not called for {most} days"
            case Measure.NIGHT:
                if rule.is_night(at_ms) and (rule.most is None or price_a_minute(asked.level, at_ms) > rule.most):
                    return f"{where} is called in the time of {rule.name}"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """A call as it is asked about: its way through the subjects, its number, and from when on it is priced."""

    call_id: str
    path: Sequence[Asked]
    e164: str
    at_ms: int
    is_answered: bool = False

    def price(self, level: Level, seconds: int) -> int:
        """What a talk of this length costs a level, at most while it is not answered."""
        return level.price(seconds * 1000, self.at_ms) if self.is_answered else level.most(seconds * 1000, self.at_ms)


def path_of(shop: str, booth: str, levels: Sequence[Level]) -> tuple[Asked, ...]:
    """Return everybody whose limits a call meets, the booth first and the provider last."""
    customer, *above = levels
    return (
        Asked(Subject(Place.BOOTH, booth), customer),
        Asked(Subject(Place.SHOP, shop), customer),
        *(Asked(Subject(Place.PARTY, level.buyer), level) for level in above),
        Asked(Subject(Place.PARTY, levels[-1].seller), levels[-1], is_charged=False),
    )


class Watch:
    """The limits of one tenant, and all that they count."""

    def __init__(self) -> None:
        self._of: dict[Subject, tuple[Watched, ...]] = {}

    def __iter__(self) -> Iterator[Watched]:
        for watched in self._of.values():
            yield from watched

    @property
    def is_idle(self) -> bool:
        """Whether nobody has a rule."""
        return not self._of

    def know(self, limits: Iterable[Limits]) -> tuple[list[Watched], list[Watched]]:
        """Take other limits; a rule that goes on to count the same keeps what it has counted.

        Gives the rules that are new, and those that are gone.
        """
        before = {(each.subject, each.rule.name): each for each in self}
        new: list[Watched] = []
        of: dict[Subject, tuple[Watched, ...]] = {}
        for limit in limits:
            watched = []
            for rule in limit.rules:
                known = before.get((limit.subject, rule.name))
                if known is not None and known.rule.measure is rule.measure:
                    del before[limit.subject, rule.name]
                    known.rule = rule
                    watched.append(known)
                    continue
                spent = Spent(MEASURES[rule.measure].span_ms) if rule.measure in SPENDING else None
                watched.append(Watched(limit.subject, rule, spent))
                new.append(watched[-1])
            if watched:
                of[limit.subject] = tuple(watched)
        self._of = of
        return new, list(before.values())

    def find(self, subject: Subject, rule: str) -> Watched | None:
        """The rule of a subject, by name."""
        return next((each for each in self._of.get(subject, ()) if each.rule.name == rule), None)

    def judge(self, talk: Talk) -> list[Trip]:
        """Every rule that a call to begin goes beyond, up to the first that refuses it."""
        trips: list[Trip] = []
        for asked, watched in self._met(talk.path):
            if watched.is_released(talk.e164, talk.at_ms):
                continue
            key = watched.key(asked, talk.e164)
            stand = watched.standing(key)
            if stand is not None:
                detail = f"{stand.standing.value} until somebody releases it"
                trips.append(Trip(subject=asked.subject, rule=watched.rule, prefix=key, detail=detail, is_news=False))
            else:
                detail_or_none = watched.beyond(asked, talk.e164, talk.at_ms)
                if detail_or_none is not None:
                    trips.append(watched.trip(key, detail_or_none, talk.at_ms))
            if trips and trips[-1].refuses:
                break
        return trips

    def begin(self, talk: Talk) -> None:
        """A call is made that was judged."""
        for asked, watched in self._met(talk.path):
            match watched.rule.measure:
                case Measure.CALLS:
                    watched.counted.add(asked.prefix, talk.at_ms)
                case Measure.LIVE:
                    watched.live.add(talk.call_id)
                case Measure.UNUSED:
                    watched.called[country_of(talk.e164)] = talk.at_ms

    # Spending.

    def is_spending(self, path: Sequence[Asked]) -> bool:
        """Whether a call has to be granted in slices because somebody on its way may spend no more than so much."""
        return any(watched.spent is not None for _, watched in self._met(path))

    def affordable_s(self, talk: Talk, floor_s: int, wish_s: int, now_ms: int) -> int | Trip:
        """The longest talk up to what is wanted that no rule forbids to pay for, or the rule that gives it no second.

        `floor_s` is what was granted before.
        """
        for asked, watched in self._met(talk.path):
            spent, most = watched.spent, watched.rule.most
            if spent is None or most is None or watched.rule.action is LimitAction.ALERT:
                continue
            if watched.is_released(talk.e164, now_ms):
                continue
            if watched.standing("") is not None:
                detail = "nothing more until somebody releases it"
                return Trip(subject=asked.subject, rule=watched.rule, prefix="", detail=detail, is_news=False)
            room, from_ms = most - spent.total(now_ms, talk.call_id), spent.from_ms(now_ms)
            fits = partial(self._fits, talk, asked.level, from_ms, room)
            if not fits(floor_s + 1):
                return watched.trip("", _spent_text(watched.rule), now_ms)
            wish_s = longest(fits, floor_s + 1, wish_s)
        return wish_s

    def _fits(self, talk: Talk, level: Level, from_ms: int, room: int, seconds: int) -> bool:
        return _granted(talk, level, from_ms, seconds) <= room

    def grant(self, talk: Talk, talk_s: int, now_ms: int) -> list[Trip]:
        """Count what a call was granted; the rules that somebody is to be told of."""
        for asked, watched in self._met(talk.path):
            spent = watched.spent
            if spent is not None:
                spent.grant(talk.call_id, _granted(talk, asked.level, spent.from_ms(now_ms), talk_s))
        return self._told(talk.path, now_ms)

    def end(self, talk: Talk, talk_ms: int, now_ms: int) -> list[Trip]:
        """Count what a call has cost that is over; the rules that somebody is to be told of."""
        for asked, watched in self._met(talk.path):
            watched.live.discard(talk.call_id)
            spent = watched.spent
            if spent is not None:
                spent.end(talk.call_id)
                if talk_ms:
                    spent.add(asked.level.price(talk_ms, talk.at_ms), talk.at_ms, talk.at_ms + talk_ms, now_ms)
        return self._told(talk.path, now_ms) if talk_ms else []

    def _told(self, path: Sequence[Asked], now_ms: int) -> list[Trip]:
        """The rules that only tell, and have something to tell."""
        trips = []
        for _, watched in self._met(path):
            rule, spent = watched.rule, watched.spent
            if rule.action is not LimitAction.ALERT or spent is None or rule.most is None:
                continue
            if spent.total(now_ms) >= rule.most and not watched.is_released("", now_ms):
                trips.append(watched.trip("", _spent_text(rule), now_ms))
        return [trip for trip in trips if trip.is_news]

    def _met(self, path: Iterable[Asked]) -> Iterator[tuple[Asked, Watched]]:
        if not self._of:
            return
        for asked in path:
            for watched in self._of.get(asked.subject, ()):
                yield asked, watched


def _granted(talk: Talk, level: Level, from_ms: int, seconds: int) -> int:
    """What of a talk counts from an instant on."""
    price = talk.price(level, seconds)
    return part_after(price, talk.at_ms, talk.at_ms + seconds * 1000, from_ms) if talk.is_answered else price


def _spent_text(rule: Rule) -> str:
    within = "an hour" if rule.measure is Measure.SPEND_HOUR else "a day"
    return f"{format_micros(rule.most or 0)} is spent within {within}"
