"""The heap of timers: who fires, when, in which order, and what a stopped one leaves behind."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.sip.timers import LAZY_S, Timer, Timers


def test_the_earliest_is_the_deadline_and_fires_first() -> None:
    timers, fired = Timers(), list[str]()
    timers.start(2.0, lambda _now: fired.append("late"))
    timers.start(1.0, lambda _now: fired.append("early"))
    assert (timers.deadline, len(timers)) == (1.0, 2)
    timers.tick(1.0)
    assert (fired, timers.deadline, len(timers)) == (["early"], 2.0, 1)
    timers.tick(2.0)
    assert (fired, timers.deadline, len(timers)) == (["early", "late"], None, 0)


def test_nothing_fires_before_its_time() -> None:
    timers, fired = Timers(), list[float]()
    timers.start(1.0, fired.append)
    timers.tick(0.999)
    assert fired == []


def test_a_late_tick_fires_all_that_is_due_in_order_and_says_the_time_that_it_is() -> None:
    timers, fired = Timers(), list[tuple[str, float]]()

    def note(name: str, now: float) -> None:
        fired.append((name, now))

    for at_s, name in ((3.0, "c"), (1.0, "a"), (2.0, "b"), (9.0, "d")):
        timers.start(at_s, partial(note, name))
    timers.tick(5.0)
    assert fired == [("a", 5.0), ("b", 5.0), ("c", 5.0)]


def test_timers_of_one_instant_fire_in_the_order_of_their_start() -> None:
    timers, fired = Timers(), list[int]()

    def note(number: int, now: float) -> None:
        assert now == 1.0
        fired.append(number)

    for number in range(5):
        timers.start(1.0, partial(note, number))
    timers.tick(1.0)
    assert fired == [0, 1, 2, 3, 4]


def test_a_stopped_timer_never_fires_and_is_no_deadline() -> None:
    timers, fired = Timers(), list[float]()
    timer = timers.start(1.0, fired.append)
    timers.start(2.0, fired.append)
    timer.stop()
    timer.stop()  # again: nothing
    assert (timers.deadline, len(timers)) == (2.0, 1)
    timers.tick(2.0)
    timer.stop()
    assert (fired, len(timers)) == ([2.0], 0)


def test_a_timer_that_has_fired_can_be_stopped_without_harm() -> None:
    timers = Timers()
    timer = timers.start(1.0, lambda _now: None)
    timers.tick(1.0)
    timer.stop()
    assert len(timers) == 0


def test_what_firing_starts_and_is_due_fires_in_the_same_tick() -> None:
    timers, fired = Timers(), list[float]()

    def start_another(now: float) -> None:
        timers.start(now, fired.append)

    timers.start(1.0, start_another)
    timers.tick(1.0)
    assert fired == [1.0]


def test_firing_may_stop_another_of_the_same_instant() -> None:
    timers, fired = Timers(), list[float]()
    doomed: list[Timer] = []
    timers.start(1.0, lambda _now: doomed[0].stop())
    doomed.append(timers.start(1.0, fired.append))
    timers.tick(1.0)
    assert (fired, len(timers)) == ([], 0)


@given(st.floats(0, 1e6, allow_nan=False))
def test_a_lazy_timer_is_never_early_and_hardly_late(at_s: float) -> None:
    timers, fired = Timers(), list[float]()
    timers.start_lazily(at_s, fired.append)
    timers.start_lazily(at_s, fired.append)
    deadline = timers.deadline
    assert deadline is not None
    assert at_s <= deadline <= at_s + LAZY_S
    timers.tick(deadline)
    assert fired == [deadline, deadline]


def test_lazy_timers_of_one_span_are_counted_and_stopped_one_by_one() -> None:
    timers, fired = Timers(), list[str]()
    timers.start_lazily(1.1, lambda _now: fired.append("first"))
    doomed = timers.start_lazily(1.2, lambda _now: fired.append("second"))
    timers.start_lazily(1.3, lambda _now: doomed.stop())
    late = timers.start_lazily(1.4, lambda _now: fired.append("fourth"))
    assert len(timers) == 4
    late.stop()
    late.stop()
    assert len(timers) == 3
    timers.tick(1.5)
    assert (fired, len(timers), timers.deadline) == (["first", "second"], 0, None)


def test_a_lazy_timer_that_fails_leaves_the_others_of_its_span_for_the_next_tick() -> None:
    timers, fired = Timers(), list[float]()

    def fail(_now: float) -> None:
        raise ZeroDivisionError

    timers.start_lazily(1.0, fail)
    timers.start_lazily(1.0, fired.append)
    timers.start_lazily(1.0, fired.append).stop()
    with pytest.raises(ZeroDivisionError):
        timers.tick(1.0)
    assert (fired, len(timers), timers.deadline) == ([], 1, 1.0)
    timers.tick(2.0)
    assert (fired, len(timers), timers.deadline) == ([2.0], 0, None)


def test_stopped_timers_do_not_fill_the_heap() -> None:
    timers = Timers()
    keeper = timers.start(100.0, lambda _now: None)
    for _ in range(10_000):
        timers.start(50.0, lambda _now: None).stop()
    assert len(timers) == 1
    assert len(timers._heap) <= 65
    assert timers.deadline == keeper.at_s


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("start"), st.integers(0, 50)),
            st.tuples(st.just("stop"), st.integers(0, 200)),
            st.tuples(st.just("tick"), st.integers(0, 50)),
        ),
        max_size=300,
    )
)
def test_it_does_what_a_plain_list_would(steps: list[tuple[str, int]]) -> None:
    timers, now = Timers(), 0.0
    fired: list[int] = []
    started: list[Timer] = []
    waiting: dict[int, float] = {}
    for step, value in steps:
        match step:
            case "start":
                number = len(started)
                waiting[number] = now + value
                started.append(timers.start(now + value, partial(lambda number, _now: fired.append(number), number)))
            case "stop" if started:
                started[value % len(started)].stop()
                waiting.pop(value % len(started), None)
            case "tick":
                now += value
                due = sorted((at_s, number) for number, at_s in waiting.items() if at_s <= now)
                timers.tick(now)
                assert fired == [number for _, number in due]
                waiting = {number: at_s for number, at_s in waiting.items() if at_s > now}
                fired.clear()
        assert len(timers) == len(waiting)
        assert timers.deadline == min(waiting.values(), default=None)
