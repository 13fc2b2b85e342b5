"""Limits against fraud: what each rule refuses, what is counted, and that no calls at once spend more than a limit."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sipshop.billing.chain import Level
from sipshop.billing.limits import (
    DAY_MS,
    HOUR_MS,
    LimitAction,
    Limits,
    LowBalance,
    Measure,
    Overcommit,
    Place,
    Rule,
    Stand,
    Standing,
    Subject,
    country_of,
    night,
    price_a_minute,
)
from sipshop.billing.watch import MOST_KEPT, Spent, Talk, Trip, Watch, part_after, path_of
from tests.billing.tariffs import tariff

NOON_MS: Final = 1_700_000_000_000
CUBA: Final = tariff("1.20", "60/60")
BERLIN: Final = tariff("0.06", "1/1")
SHOP: Final = Subject(Place.SHOP, "Corner")
BOOTH: Final = Subject(Place.BOOTH, "b1")
OWNER: Final = Subject(Place.PARTY, "Ann")
PROVIDER: Final = Subject(Place.PARTY, "Tel")


def limit(measure: Measure, most: int | None, action: LimitAction = LimitAction.REFUSE, **more: object) -> Rule:
    rule = Rule(name="r", measure=measure, action=action, set_by="Tel", most=most)
    return replace(rule, **more)  # type: ignore[arg-type]  # fields of a rule, by name


def levels(customer: object = CUBA, above: object = BERLIN, booth: str = "b1") -> tuple[Level, ...]:
    return (
        Level(seller="Ann", buyer=booth, account="s", tariff=customer),  # type: ignore[arg-type]  # a tariff
        Level(seller="Tel", buyer="Ann", account="c", tariff=above),  # type: ignore[arg-type]  # a tariff
    )


def talk(call_id: str = "c1", at_ms: int = NOON_MS, *, e164: str = "53123", answered: bool = False) -> Talk:
    return Talk(call_id=call_id, path=path_of("Corner", "b1", levels()), e164=e164, at_ms=at_ms, is_answered=answered)


def watch_of(subject: Subject, *rules: Rule) -> Watch:
    watch = Watch()
    watch.know([Limits(subject=subject, rules=rules)])
    return watch


def refusal(watch: Watch, asked: Talk) -> Trip | None:
    return next((trip for trip in watch.judge(asked) if trip.refuses), None)


# What a world is like.


@pytest.mark.parametrize(
    ("e164", "country"),
    [
        ("493012345", "49"),
        ("18765551234", "1876"),
        ("12125551234", "1"),
        ("77012345678", "77"),
        ("74951234567", "7"),
        ("3531234567", "353"),
        ("2201234", "220"),
        ("201234", "20"),
        ("1", "1"),
    ],
)
def test_the_country_of_a_number(e164: str, country: str) -> None:
    assert country_of(e164) == country


def test_a_free_or_cheap_beginning_does_not_hide_what_a_long_call_costs() -> None:
    (cheap_first, _) = levels(tariff("0.01", "60/60", next_price="3.00"))
    assert price_a_minute(cheap_first, NOON_MS) == 2_950_167
    (with_fee, _) = levels(tariff("0.10", "60/60", fee="5.00"))
    assert price_a_minute(with_fee, NOON_MS) == 5_100_000


# The rules.


@pytest.mark.parametrize(
    ("rule_", "subject", "refused"),
    [
        pytest.param(limit(Measure.PRICE, 1_199_999), SHOP, True, id="dearer than a shop may"),
        pytest.param(limit(Measure.PRICE, 1_200_000), SHOP, False, id="as dear as it may"),
        pytest.param(limit(Measure.PRICE, 1_000_000), OWNER, False, id="the owner is asked by what he pays"),
        pytest.param(limit(Measure.PRICE, 59_999), OWNER, True, id="and that may be too dear"),
        pytest.param(limit(Measure.PRICE, 59_999), PROVIDER, True, id="the provider by what he sells at"),
        pytest.param(limit(Measure.PRICE, 1), Subject(Place.SHOP, "Kiosk"), False, id="another shop's rule"),
        pytest.param(limit(Measure.UNUSED, 30), SHOP, True, id="a country that was never called"),
        pytest.param(
            limit(Measure.NIGHT, None, calendar=night("Europe/Berlin", "daily 23:00-06:00")), BOOTH, True, id="night"
        ),
        pytest.param(
            limit(Measure.NIGHT, None, calendar=night("UTC", "daily 23:00-06:00")), BOOTH, False, id="day in its zone"
        ),
        pytest.param(
            limit(Measure.NIGHT, 1_200_000, calendar=night("Europe/Berlin", "daily 23:00-06:00")),
            BOOTH,
            False,
            id="cheap enough for the night",
        ),
    ],
)
def test_what_a_rule_refuses(rule_: Rule, subject: Subject, refused: bool) -> None:
    assert (refusal(watch_of(subject, rule_), talk()) is not None) is refused  # NOON_MS is 22:13 UTC, 23:13 in Berlin


def test_calls_at_once_are_counted_over_all_that_is_below() -> None:
    watch = watch_of(OWNER, limit(Measure.LIVE, 2))
    for call_id in ("c1", "c2"):
        assert refusal(watch, talk(call_id)) is None
        watch.begin(talk(call_id))
    tripped = refusal(watch, talk("c3"))
    assert tripped is not None
    assert (tripped.subject, tripped.detail) == (OWNER, "2 calls at once")
    watch.end(talk("c1"), 0, NOON_MS)
    assert refusal(watch, talk("c3")) is None


def test_calls_to_one_destination_count_for_an_hour() -> None:
    watch = watch_of(SHOP, limit(Measure.CALLS, 2))
    watch.begin(talk("c1", NOON_MS))
    watch.begin(talk("c2", NOON_MS + 60_000))
    assert refusal(watch, talk("c3", NOON_MS + HOUR_MS)) is not None
    assert refusal(watch, talk("c3", NOON_MS + HOUR_MS + 120_000)) is None


def test_a_country_that_was_called_is_known_for_some_days() -> None:
    watch = watch_of(SHOP, limit(Measure.UNUSED, 30))
    watch.begin(talk("c1", NOON_MS))
    assert refusal(watch, talk("c2", NOON_MS + 30 * DAY_MS)) is None
    assert refusal(watch, talk("c2", NOON_MS + 30 * DAY_MS + 1)) is not None
    assert refusal(watch, talk("c2", NOON_MS, e164="5255")) is not None


# What is done.


def test_an_alert_lets_the_call_pass_and_tells_once_in_an_hour() -> None:
    watch = watch_of(SHOP, limit(Measure.PRICE, 1, LimitAction.ALERT))
    told = [watch.judge(talk(at_ms=NOON_MS + minute * 60_000))[0] for minute in (0, 1, 59, 60)]
    assert [trip.is_news for trip in told] == [True, False, False, True]
    assert not any(trip.refuses for trip in told)


@pytest.mark.parametrize(
    ("action", "standing"), [(LimitAction.HOLD, Standing.HELD), (LimitAction.BLOCK, Standing.BLOCKED)]
)
def test_what_is_held_or_blocked_stays_so_until_it_is_released(action: LimitAction, standing: Standing) -> None:
    watch = watch_of(SHOP, limit(Measure.CALLS, 1, action))
    watch.begin(talk("c1"))
    first = refusal(watch, talk("c2"))
    assert first is not None
    assert first.stand == Stand(subject=SHOP, rule="r", prefix="49", standing=standing, since_ms=NOON_MS)
    tomorrow = talk("c3", NOON_MS + DAY_MS)
    again = refusal(watch, tomorrow)
    assert again is not None
    assert (again.is_news, again.stand) == (False, None)
    watched = watch.find(SHOP, "r")
    assert watched is not None
    at_once = Stand(
        subject=SHOP, rule="r", prefix="", standing=Standing.RELEASED, since_ms=tomorrow.at_ms, until_ms=tomorrow.at_ms
    )
    watched.take(at_once)
    assert refusal(watch, tomorrow) is None


def test_a_destination_may_be_released_for_good_and_all_for_a_time() -> None:
    watch = watch_of(SHOP, limit(Measure.PRICE, 1, LimitAction.HOLD))
    watched = watch.find(SHOP, "r")
    assert watched is not None
    released = Stand(subject=SHOP, rule="r", prefix="53", standing=Standing.RELEASED, since_ms=NOON_MS)
    watched.take(released)
    assert refusal(watch, talk(at_ms=NOON_MS + 999 * DAY_MS)) is None
    assert refusal(watch, talk(e164="5255")) is not None
    watched.take(replace(released, prefix="", until_ms=NOON_MS + 1000))
    assert refusal(watch, talk(e164="5255", at_ms=NOON_MS + 999)) is None
    assert refusal(watch, talk(e164="5255", at_ms=NOON_MS + 1000)) is not None


def test_a_rule_that_another_world_keeps_goes_on_counting() -> None:
    watch = watch_of(SHOP, limit(Measure.LIVE, 1))
    watch.begin(talk("c1"))
    new, gone = watch.know([Limits(subject=SHOP, rules=(limit(Measure.LIVE, 2), limit(Measure.PRICE, 5, name="p")))])
    assert ([each.rule.name for each in new], gone) == (["p"], [])
    watch.begin(talk("c2"))
    assert refusal(watch, talk("c3")) is not None
    _, gone = watch.know([])
    assert ([each.rule.name for each in gone], watch.is_idle) == (["r", "p"], True)


def test_what_is_kept_of_a_rule_is_bounded() -> None:
    watch = watch_of(SHOP, limit(Measure.UNUSED, 1, LimitAction.HOLD), limit(Measure.CALLS, 1, name="c"))
    for number in range(MOST_KEPT + 100):
        level = levels(replace(CUBA, rate=replace(CUBA.rate, prefix=f"5{number}")))
        asked = Talk(call_id=f"c{number}", path=path_of("Corner", "b1", level), e164=f"{200 + number}", at_ms=NOON_MS)
        watch.judge(asked)
        watch.begin(asked)
    for watched in watch:
        assert len(watched.stands) <= MOST_KEPT
        assert len(watched.told) <= MOST_KEPT


# Spending.


@given(st.integers(0, 10**9), st.integers(1, 10**6), st.lists(st.integers(0, 10**6), max_size=5))
def test_what_is_spread_comes_to_the_amount(amount: int, length: int, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, length) for cut in cuts), length]
    parts = [
        part_after(amount, 0, length, one) - part_after(amount, 0, length, other) for one, other in pairwise(edges)
    ]
    assert sum(parts) == amount
    assert min(parts) >= 0


def test_a_talk_counts_as_it_was_spent_and_not_at_its_end() -> None:
    spent = Spent(HOUR_MS)
    spent.add(6_000_000, NOON_MS - 2 * HOUR_MS, NOON_MS, NOON_MS)  # 3.00 an hour
    assert 3_000_000 <= spent.total(NOON_MS) <= 3_050_000
    assert 1_500_000 <= spent.total(NOON_MS + HOUR_MS // 2) <= 1_550_000
    assert spent.total(NOON_MS + HOUR_MS + 60_000) == 0
    assert len(spent) == 0


def test_a_grant_meets_the_limit_exactly() -> None:
    watch = watch_of(OWNER, limit(Measure.SPEND_HOUR, 100_000))  # at 0.001 a second
    assert watch.affordable_s(talk(), 0, 60, NOON_MS) == 60
    watch.grant(talk(), 60, NOON_MS)
    assert watch.affordable_s(talk("c2"), 0, 60, NOON_MS) == 40
    watch.grant(talk("c2"), 40, NOON_MS)
    third = watch.affordable_s(talk("c3"), 0, 60, NOON_MS)
    assert isinstance(third, Trip)
    assert third.detail == "0.10 is spent within an hour"
    longer = watch.affordable_s(talk(answered=True), 60, 120, NOON_MS)
    assert isinstance(longer, Trip)


def test_an_alert_on_spending_tells_when_the_amount_is_reached_and_stops_nobody() -> None:
    watch = watch_of(OWNER, limit(Measure.SPEND_DAY, 100_000, LimitAction.ALERT))
    assert watch.affordable_s(talk(), 0, 120, NOON_MS) == 120
    assert [trip.detail for trip in watch.grant(talk(), 120, NOON_MS)] == ["0.10 is spent within a day"]
    assert watch.grant(talk("c2"), 60, NOON_MS) == []


class Spenders(RuleBasedStateMachine):
    """Calls that begin, are granted more, and end, in any order: what they have spent in an hour stays below the limit.

    And a watch that is made again from what is over says the same.
    """

    MOST: Final = 500_000

    def __init__(self) -> None:
        super().__init__()
        self.watch = watch_of(OWNER, limit(Measure.SPEND_HOUR, self.MOST))
        self.now_ms = NOON_MS
        self.live: dict[str, tuple[Talk, int]] = {}
        self.over: list[tuple[int, int, int]] = []
        self.number = 0

    @rule(wish_s=st.integers(1, 300))
    def begin(self, wish_s: int) -> None:
        self.number += 1
        asked = talk(f"c{self.number}", self.now_ms)
        granted = self.watch.affordable_s(asked, 0, wish_s, self.now_ms)
        if isinstance(granted, int):
            self.watch.grant(asked, granted, self.now_ms)
            self.live[asked.call_id] = replace(asked, is_answered=True), granted

    @precondition(lambda self: self.live)
    @rule(data=st.data(), wish_s=st.integers(1, 300))
    def extend(self, data: st.DataObject, wish_s: int) -> None:
        asked, floor_s = self.live[data.draw(st.sampled_from(sorted(self.live)))]
        if self.now_ms - asked.at_ms > floor_s * 1000:
            return
        granted = self.watch.affordable_s(asked, floor_s, floor_s + wish_s, self.now_ms)
        if isinstance(granted, int):
            self.watch.grant(asked, granted, self.now_ms)
            self.live[asked.call_id] = asked, granted

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def hang_up(self, data: st.DataObject) -> None:
        self.end(data.draw(st.sampled_from(sorted(self.live))))

    def end(self, call_id: str) -> None:
        asked, granted = self.live.pop(call_id)
        talk_ms = min(self.now_ms - asked.at_ms, granted * 1000)
        self.watch.end(asked, talk_ms, self.now_ms)
        if talk_ms:
            self.over.append((asked.path[2].level.price(talk_ms, asked.at_ms), asked.at_ms, asked.at_ms + talk_ms))

    @rule(seconds=st.integers(1, 2000))
    def wait(self, seconds: int) -> None:
        self.now_ms += seconds * 1000
        for call_id, (asked, granted) in list(self.live.items()):
            if self.now_ms - asked.at_ms >= granted * 1000:
                self.end(call_id)

    @invariant()
    def no_hour_costs_more_than_the_limit(self) -> None:
        talks = [*self.over]
        for asked, _ in self.live.values():
            so_far_ms = self.now_ms - asked.at_ms
            if so_far_ms:
                price = asked.path[2].level.price(so_far_ms, asked.at_ms)
                talks.append((price, asked.at_ms, self.now_ms))
        spent = sum(part_after(*each, self.now_ms - HOUR_MS) for each in talks)
        assert spent <= self.MOST

    @invariant()
    def one_that_is_made_again_says_the_same(self) -> None:
        watched = self.watch.find(OWNER, "r")
        assert watched is not None
        assert watched.spent is not None
        anew = Spent(HOUR_MS)
        for amount, start_ms, end_ms in self.over:
            anew.add(amount, start_ms, end_ms, self.now_ms)
        for asked, _ in self.live.values():
            watched.spent.end(asked.call_id)
        assert watched.spent.total(self.now_ms) == anew.total(self.now_ms)
        for asked, granted in self.live.values():
            self.watch.grant(asked, granted, self.now_ms)


TestSpenders = Spenders.TestCase
TestSpenders.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


# Money that runs out, and money that is granted twice.


def test_little_is_told_once_and_healed_with_a_fifth_more() -> None:
    policy = LowBalance(amount_micros=100)
    assert [(policy.is_low(left, 0), policy.is_well(left, 0)) for left in (99, 100, 119, 120)] == [
        (True, False),
        (False, False),
        (False, False),
        (False, True),
    ]


def test_little_is_what_lasts_for_less_than_some_hours_at_the_pace_of_now() -> None:
    policy = LowBalance(lasts_ms=4 * HOUR_MS)
    assert (policy.is_low(399, 100), policy.is_low(400, 100)) == (True, False)
    assert (policy.is_well(479, 100), policy.is_well(480, 100), policy.is_well(1, 0)) == (False, True, True)


@pytest.mark.parametrize(
    ("granted", "own", "beyond"),
    [(100, 100, False), (101, 100, True), (None, 100, True), (None, None, False), (1, -5, True), (0, -5, False)],
)
def test_more_is_granted_than_there_is(granted: int | None, own: int | None, beyond: bool) -> None:
    assert Overcommit().is_beyond(granted, own) is beyond
