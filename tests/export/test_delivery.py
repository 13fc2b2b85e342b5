"""What a target gets, and when: told by hand, with a time, and by chance."""

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipshop.export.delivery import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    LONGEST_RETRY_AFTER_S,
    LOOK_S,
    REFUSALS,
    Action,
    Batch,
    Delivery,
    Failed,
    Found,
    Hurried,
    Keep,
    Kept,
    Look,
    Park,
    Refused,
    Send,
    State,
    Taken,
)

NOON: Final = 1_000.0


def sending(batch: Batch, most: int = 100) -> Delivery:
    """A delivery that has just been told to send a batch."""
    delivery = Delivery(most, lambda: 1.0)
    assert delivery.tick(NOON) == [Look(most)]
    assert delivery.hear(Found(batch), NOON) == [Send(batch)]
    return delivery


def due(delivery: Delivery) -> list[Action]:
    """What it does when its time has come, and not before."""
    assert delivery.deadline is not None
    assert delivery.tick(delivery.deadline - 0.001) == []
    return delivery.tick(delivery.deadline)


def test_what_was_taken_is_kept_before_anything_else_is_looked_for() -> None:
    delivery = sending(Batch(1, 100))
    assert delivery.hear(Taken(), NOON) == [Keep(Batch(1, 100))]
    assert delivery.hear(Kept(), NOON) == [Look(100)]


def test_an_empty_outbox_is_looked_at_again_in_a_second() -> None:
    delivery = Delivery(100, lambda: 1.0)
    delivery.tick(NOON)
    assert delivery.hear(Found(None), NOON) == []
    assert delivery.deadline == NOON + LOOK_S
    assert due(delivery) == [Look(100)]


def test_a_failure_repeats_the_same_batch_after_pauses_that_grow() -> None:
    delivery, now, pauses = sending(Batch(1, 7)), NOON, []
    for _ in range(12):
        assert delivery.hear(Failed("HTTP status 500"), now) == []
        assert delivery.deadline is not None
        pauses.append(delivery.deadline - now)
        now = delivery.deadline
        assert due(delivery) == [Look(100, last=7)]
        delivery.hear(Found(Batch(1, 7)), now)
    assert pauses[:5] == [FIRST_PAUSE_S * 2**number for number in range(5)]
    assert pauses[-1] == LONGEST_PAUSE_S
    assert (delivery.progress.failures, delivery.progress.why) == (12, "HTTP status 500")
    assert delivery.hear(Taken(), now) == [Keep(Batch(1, 7))]
    assert delivery.hear(Kept(), now) == [Look(100)]
    assert delivery.progress.failures == 0


def test_half_of_a_pause_is_by_chance() -> None:
    delivery = Delivery(100, lambda: 0.0)
    delivery.tick(NOON)
    delivery.hear(Failed("the database"), NOON)
    assert delivery.deadline == NOON + FIRST_PAUSE_S / 2


@pytest.mark.parametrize(
    ("asked_s", "waits_s"),
    [
        pytest.param(0.1, FIRST_PAUSE_S, id="less than our own pause"),
        pytest.param(40.0, 40.0, id="more"),
        pytest.param(10.0**9, LONGEST_RETRY_AFTER_S, id="for ever"),
    ],
)
def test_a_target_that_asks_for_time_gets_it(asked_s: float, waits_s: float) -> None:
    delivery = sending(Batch(1, 1))
    delivery.hear(Failed("HTTP status 503", asked_s), NOON)
    assert delivery.deadline == NOON + waits_s


def test_a_refused_batch_is_halved_until_one_record_stands_alone_and_is_parked() -> None:
    delivery, now = sending(Batch(1, 8), most=8), NOON
    assert delivery.hear(Refused("HTTP status 422"), now) == [Look(4)]
    assert delivery.hear(Found(Batch(1, 4)), now) == [Send(Batch(1, 4))]
    assert delivery.hear(Refused("HTTP status 422"), now) == [Look(2)]
    delivery.hear(Found(Batch(1, 2)), now)
    assert delivery.hear(Refused("HTTP status 422"), now) == [Look(1)]
    delivery.hear(Found(Batch(1, 1)), now)
    for _ in range(REFUSALS - 1):
        assert delivery.hear(Refused("HTTP status 422"), now) == []
        assert delivery.deadline is not None
        now = delivery.deadline
        assert due(delivery) == [Look(1, last=1)]
        delivery.hear(Found(Batch(1, 1)), now)
    assert delivery.hear(Refused("HTTP status 422"), now) == [Park(Batch(1, 1), "HTTP status 422")]
    assert delivery.hear(Kept(), now) == [Look(2)]


def test_batches_grow_again_after_a_refusal() -> None:
    delivery = sending(Batch(1, 8), most=8)
    assert delivery.hear(Refused("no"), NOON) == [Look(4)]
    for first, at_most in ((1, 8), (5, 8)):
        delivery.hear(Found(Batch(first, first + 3)), NOON)
        delivery.hear(Taken(), NOON)
        assert delivery.hear(Kept(), NOON) == [Look(at_most)]


def test_a_parked_record_that_is_refused_again_is_parked_again_at_once() -> None:
    delivery = sending(Batch(3, 3, is_parked=True))
    assert delivery.hear(Refused("no"), NOON) == [Park(Batch(3, 3, is_parked=True), "no")]


def test_a_note_that_could_not_be_written_repeats_the_delivery() -> None:
    delivery = sending(Batch(1, 5))
    delivery.hear(Taken(), NOON)
    assert delivery.hear(Failed("the database"), NOON) == []
    assert due(delivery) == [Look(100, last=5)]


def test_who_is_in_a_hurry_ends_a_pause_and_disturbs_nothing_else() -> None:
    delivery = sending(Batch(1, 1))
    assert delivery.hear(Hurried(), NOON) == []
    delivery.hear(Failed("no answer"), NOON)
    assert delivery.hear(Hurried(), NOON + 0.1) == [Look(100, last=1)]
    assert delivery.progress.failures == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["taken", "failed", "refused", "crashed"]), max_size=60),
    st.integers(1, 9),
    st.integers(1, 20),
    st.sets(st.integers(1, 20)),
)
def test_nothing_is_lost_and_order_holds_whatever_happens(
    fates: list[str], most: int, last: int, poison: set[int]
) -> None:
    """In the end each record was delivered or parked, only poison was parked, and first deliveries are in order."""
    given_to: list[int] = []
    parked: list[int] = []
    taken, now = 0, NOON
    delivery = Delivery(most, lambda: 1.0)
    fate = iter(fates)
    actions = delivery.tick(now)
    while taken < last or delivery.progress.state is not State.IDLE:
        if not actions:
            assert delivery.deadline is not None
            now = max(now, delivery.deadline)
            actions = delivery.tick(now)
            continue
        match actions.pop(0):
            case Look(at_most, end):
                upto = min(end if end is not None and end > taken else taken + at_most, last)
                actions += delivery.hear(Found(Batch(taken + 1, upto) if upto > taken else None), now)
            case Send(batch):
                what = next(fate, "taken")
                records = range(batch.first, batch.last + 1)
                if what in {"failed", "refused"}:
                    actions += delivery.hear(Failed("trouble"), now)
                elif poison & set(records):
                    actions += delivery.hear(Refused("poison"), now)
                else:
                    given_to += records
                    if what == "crashed":  # after the delivery, before the note
                        delivery = Delivery(most, lambda: 1.0)
                        actions = delivery.tick(now)
                    else:
                        actions += delivery.hear(Taken(), now)
            case Keep(batch):
                taken = batch.last
                actions += delivery.hear(Kept(), now)
            case Park(batch, _):
                parked += range(batch.first, batch.last + 1)
                taken = batch.last
                actions += delivery.hear(Kept(), now)
    assert set(parked) == {number for number in poison if number <= last}
    assert set(given_to) | set(parked) == set(range(1, last + 1))
    assert list(dict.fromkeys(given_to)) == sorted(set(given_to))
