"""When a carrier is up, down and half-open, and when he is probed; time is a number."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.proxy.health import (
    LONGEST_RETRY_AFTER_S,
    Answered,
    Health,
    Heard,
    Probe,
    Silent,
    Standing,
    State,
    Tried,
    Withdrawn,
)
from sipshop.proxy.trunk import Probing

WATCHED = Probing(every_s=20, misses=3, rest_s=30)
UNWATCHED = replace(WATCHED, every_s=0)
BUSY = Answered(503)


def health(probing: Probing = WATCHED) -> Health:
    return Health(probing, lambda _n: 0, 0.0)


def down(probing: Probing = WATCHED, now: float = 10.0) -> Health:
    carrier = health(probing)
    for _ in range(probing.misses):
        carrier.hear(Silent(), now)
    assert carrier.state is State.DOWN
    return carrier


def half_open(probing: Probing = WATCHED) -> Health:
    carrier = down(probing)
    carrier.tick(40.0)
    assert carrier.state is State.HALF_OPEN
    return carrier


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 405, 407, 480, 481, 486, 487, 500, 501, 513, 600], ids=str)
def test_any_answer_but_a_timeout_or_an_absent_server_is_a_sign_of_life(status: int) -> None:
    carrier = health()
    for _ in range(10):
        carrier.hear(Answered(status), 1.0)
    assert carrier.state is State.UP


@pytest.mark.parametrize("happened", [Silent(), *map(Answered, (408, 502, 503, 504))], ids=repr)
def test_so_many_misses_in_a_row_open_the_breaker(happened: Heard) -> None:
    carrier = health()
    states = [(carrier.hear(happened, now), carrier.state)[1] for now in (1.0, 2.0, 3.0)]
    assert states == [State.UP, State.UP, State.DOWN]
    assert carrier.since_s == 3.0


def test_an_answer_between_misses_begins_the_count_anew() -> None:
    carrier = health()
    for happened in (Silent(), Silent(), Answered(404), Silent(), Silent()):
        carrier.hear(happened, 1.0)
    assert carrier.state is State.UP


def test_who_is_down_is_tried_last_and_left_alone_until_he_has_rested() -> None:
    carrier = down(now=10.0)
    assert carrier.standing(39.0) is Standing.LAST
    assert carrier.deadline == 40.0
    assert carrier.tick(39.9) == []


def test_after_the_rest_one_probe_asks() -> None:
    carrier = down(now=10.0)
    assert carrier.tick(40.0) == [Probe()]
    assert carrier.state is State.HALF_OPEN
    assert carrier.standing(41.0) is Standing.LAST  # the probe is his trial


def test_half_open_lets_one_call_try_where_nobody_probes() -> None:
    carrier = half_open(UNWATCHED)
    assert carrier.standing(40.0) is Standing.FIRST
    carrier.hear(Tried(), 40.0)
    assert carrier.standing(40.0) is Standing.LAST


def test_a_trial_that_comes_to_nothing_lets_the_next_one_try() -> None:
    carrier = half_open(UNWATCHED)
    carrier.hear(Tried(), 40.0)
    carrier.hear(Withdrawn(), 41.0)
    assert carrier.standing(41.0) is Standing.FIRST


def test_a_trial_that_succeeds_closes_the_breaker_at_once() -> None:
    carrier = half_open()
    carrier.hear(Answered(200, rtt_s=0.02), 41.0)
    assert (carrier.state, carrier.standing(41.0), carrier.rtt_s) == (State.UP, Standing.FIRST, 0.02)


def test_a_trial_that_fails_opens_it_at_once() -> None:
    carrier = half_open()
    carrier.hear(Silent(), 44.0)
    assert (carrier.state, carrier.deadline) == (State.DOWN, 74.0)


def test_probes_go_on_while_he_is_up() -> None:
    carrier = health()
    sent = []
    for _ in range(5):
        assert carrier.deadline is not None
        sent.append(carrier.deadline)
        assert carrier.tick(carrier.deadline) == [Probe()]
        carrier.hear(Answered(200), sent[-1] + 0.1)
    assert sent == [0.0, 20.0, 40.0, 60.0, 80.0]


def test_carriers_are_not_probed_in_step() -> None:
    carriers = [Health(WATCHED, lambda n, share=share: n * share // 10, 0.0) for share in range(10)]  # type: ignore[misc]
    assert len({carrier.deadline for carrier in carriers}) == 10
    for carrier in carriers:
        first_s = carrier.deadline
        assert first_s is not None
        carrier.tick(first_s)
        assert carrier.deadline is not None
        assert 18 <= carrier.deadline - first_s <= 20


def test_probes_begin_again_when_he_is_back() -> None:
    carrier = half_open()
    carrier.hear(Answered(200), 41.0)
    assert carrier.deadline is not None
    assert carrier.tick(carrier.deadline) == [Probe()]


@pytest.mark.rfc("3261", "21.5.4")
def test_who_asks_to_be_left_alone_is_not_called_until_his_time_is_over() -> None:
    carrier = health()
    carrier.hear(Answered(503, retry_after_s=120), 5.0)
    assert carrier.state is State.DOWN
    assert carrier.standing(124.9) is Standing.NOT
    assert carrier.deadline == 125.0
    assert carrier.tick(125.0) == [Probe()]
    assert carrier.standing(125.0) is Standing.LAST


def test_an_absurd_retry_after_closes_no_trunk_for_a_day() -> None:
    carrier = health()
    carrier.hear(Answered(503, retry_after_s=86_400), 0.0)
    assert carrier.deadline == LONGEST_RETRY_AFTER_S


def test_a_503_without_a_time_is_a_miss_like_others() -> None:
    carrier = health()
    carrier.hear(BUSY, 1.0)
    assert (carrier.state, carrier.standing(1.0)) == (State.UP, Standing.FIRST)


def test_an_answer_to_an_emergency_call_opens_a_trunk_that_was_told_to_wait() -> None:
    carrier = health()
    carrier.hear(Answered(503, retry_after_s=120), 5.0)
    carrier.hear(Answered(200), 6.0)
    assert (carrier.state, carrier.standing(6.0)) == (State.UP, Standing.FIRST)


def test_without_probes_nothing_wakes_anybody_while_he_is_up() -> None:
    carrier = health(UNWATCHED)
    carrier.hear(Answered(200), 1.0)
    assert carrier.deadline is None


def test_other_rules_are_taken_while_what_is_known_stays() -> None:
    carrier = down(UNWATCHED)
    carrier.change(WATCHED, 12.0)
    assert carrier.state is State.DOWN
    assert carrier.tick(12.0) == []
    assert carrier.tick(40.0) == [Probe()]


HAPPENINGS = st.one_of(
    st.just(Tried()),
    st.just(Withdrawn()),
    st.just(Silent()),
    st.builds(Answered, st.integers(200, 699), st.one_of(st.none(), st.integers(0, 10_000))),
)


@given(st.sampled_from([WATCHED, UNWATCHED]), st.lists(st.tuples(HAPPENINGS, st.integers(0, 50))))
def test_whatever_happens_a_carrier_that_lives_again_is_called_again(
    probing: Probing, story: list[tuple[Heard, int]]
) -> None:
    """No order of events leaves a trunk shut for ever: within the longest wait there is a way back."""
    carrier = health(probing)
    now = 0.0
    for happened, pause_s in story:
        now += pause_s
        while carrier.deadline is not None and carrier.deadline <= now:
            carrier.tick(carrier.deadline)
        carrier.hear(happened, now)
    until_s = now + LONGEST_RETRY_AFTER_S + probing.rest_s + 1
    while carrier.deadline is not None and carrier.deadline <= until_s:
        at_s = carrier.deadline
        for _ in carrier.tick(at_s):
            carrier.hear(Answered(200), at_s)
    carrier.hear(Withdrawn(), until_s)  # the last call that tried him is over too
    assert carrier.standing(until_s) is Standing.FIRST


@given(st.lists(st.tuples(HAPPENINGS, st.integers(0, 50))))
def test_only_one_tries_a_carrier_that_is_half_open(story: list[tuple[Heard, int]]) -> None:
    carrier = health(UNWATCHED)
    now = 0.0
    for happened, pause_s in story:
        now += pause_s
        carrier.tick(now)
        carrier.hear(happened, now)
        if carrier.state is State.HALF_OPEN and carrier.standing(now) is Standing.FIRST:
            carrier.hear(Tried(), now)
            assert carrier.standing(now) is Standing.LAST
