"""BYEs that a process owes when it dies: the next one sends them, and nothing is left of any of them in the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sipshop.billing.cdr import Result
from sipshop.sip.course import State
from sipshop.sip.events import HungUp
from sipshop.sip.farewell import AGAIN_S
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.store import MOST_STARTS, FarewellOwed, Owed
from sipshop.switch.farewells import AT_ONCE, BREATH_S
from tests.sip.peers import LATENCY_S, Datagram, fair
from tests.switch.house import GATE, SWITCH, House

RESTARTED = HungUp('SIP;cause=503;text="Restarted"')


@pytest.fixture
def house() -> Iterator[House]:
    """A house with an open booth, which everybody has left and forgotten in the end."""
    house = House()
    house.unlock()
    yield house
    house.network.weather = fair
    house.forget()
    assert house.memory.count("farewells") == 0


def bye_is_lost(datagram: Datagram) -> tuple[float, ...]:
    return () if str(datagram) == "BYE" and datagram.source == SWITCH else (LATENCY_S,)


def ack_is_lost(datagram: Datagram) -> tuple[float, ...]:
    return () if str(datagram) == "ACK" and datagram.source == GATE else (LATENCY_S,)


def die(house: House, process: str = "run-2") -> None:
    house.network.weather = fair
    house.restart(process=process)
    house.advance()


def test_a_bye_that_is_answered_in_time_is_never_written(house: House) -> None:
    leg, _ = house.talking()
    house.memory.delay_s = 0.2  # as long as a settlement may wait for company
    written: list[str] = []
    house.memory.connection.set_trace_callback(lambda sql: written.append(sql) if "farewells" in sql else None)
    house.phone.hang_up(leg)
    house.advance(20.0)
    assert (written, house.switch.tables()["owed_byes"]) == ([], 0)
    assert house.cdr.result is Result.ANSWERED


def test_a_bye_that_has_no_answer_when_the_call_is_settled_is_kept_until_it_has_one(house: House) -> None:
    leg, _ = house.talking()
    house.network.weather = bye_is_lost
    house.phone.hang_up(leg)
    house.advance(1.0)
    assert house.memory.count("farewells") == 1
    house.network.weather = fair
    house.advance(10.0)  # it is sent again, answered, and forgotten with the next heartbeat
    assert (house.memory.count("farewells"), house.switch.tables()["owed_byes"]) == (0, 0)


def test_a_bye_that_is_never_answered_is_kept_for_32_s(house: House) -> None:
    leg, _ = house.talking()
    house.network.weather = bye_is_lost
    house.phone.hang_up(leg)
    house.advance(31.0)
    assert house.memory.count("farewells") == 1
    house.advance(8.0)
    assert house.memory.count("farewells") == 0


def test_a_bye_that_waits_for_an_ack_at_a_crash_is_sent_by_the_next_process(house: House) -> None:
    leg, incoming = house.calling()
    house.network.weather = ack_is_lost
    house.carrier.answer(incoming)
    house.advance()
    house.carrier.hang_up(incoming)
    house.advance()
    assert leg.state is State.CONFIRMED
    die(house)
    assert house.phone.last(leg) == RESTARTED
    assert len(house.memory.cdrs) == 1


def test_a_bye_is_sent_again_by_each_process_until_one_gets_an_answer(house: House) -> None:
    leg, incoming = house.talking()
    house.network.weather = bye_is_lost
    house.phone.hang_up(leg)
    house.advance()
    for life in ("run-2", "run-3"):
        house.restart(process=life)
        house.advance(1.0)
        assert incoming.state is State.CONFIRMED
    die(house, "run-4")
    assert house.carrier.last(incoming) == RESTARTED
    assert (len(house.memory.cdrs), house.cdr.recovered) == (1, False)


def test_the_byes_of_a_call_that_a_crash_cut_short_survive_a_second_crash(house: House) -> None:
    leg, incoming = house.talking()
    house.network.weather = bye_is_lost
    house.restart()
    house.advance(1.0)
    die(house, "run-3")
    assert (house.phone.last(leg), house.carrier.last(incoming)) == (RESTARTED, RESTARTED)
    assert (len(house.memory.cdrs), house.cdr.recovered) == (1, True)


def owed_twins(house: House, twins: int) -> None:
    """What a process owes that died with one BYE on its way, and as many others in dialogs like it."""
    leg, _ = house.talking()
    house.network.weather = bye_is_lost
    house.phone.hang_up(leg)
    house.advance()
    (owed,) = house.memory.farewells()
    for number in range(twins):
        twin = Owed({**owed.dialog, "call_id": f"twin{number}@gate"})
        FarewellOwed(twin).apply(house.memory.connection)


def test_many_byes_of_an_earlier_run_leave_time_for_those_who_call_now(house: House) -> None:
    owed_twins(house, 2 * AT_ONCE)
    sent: list[float] = []

    def watch(datagram: Datagram) -> tuple[float, ...]:
        if str(datagram) == "BYE" and datagram.source == SWITCH:
            sent.append(house.network.now)
        return (LATENCY_S,)

    house.network.weather = watch
    house.restart()
    house.advance(3 * BREATH_S)
    begun = sent[0]
    assert [sum(at == begun + turn * BREATH_S for at in sent) for turn in range(3)] == [AT_ONCE, AT_ONCE, 1]


def test_a_bye_that_many_starts_have_sent_in_vain_is_given_up(house: House) -> None:
    leg, incoming = house.talking()
    house.network.weather = bye_is_lost
    house.phone.hang_up(leg)
    house.advance()
    for life in range(MOST_STARTS):
        assert house.memory.count("farewells") == 1
        house.restart(process=f"life-{life}")
        house.advance(1.0)
        assert house.switch.tables()["owed_byes"] == 1
    house.restart(process="the last")
    house.advance(1.0)
    assert (house.memory.count("farewells"), house.switch.tables()["owed_byes"]) == (0, 0)
    assert incoming.state is State.CONFIRMED
    house.carrier.hang_up(incoming)


@pytest.mark.parametrize("rings", [False, True])
@pytest.mark.parametrize("dies_again", [False, True])
def test_a_bye_that_overtakes_the_answer_is_sent_again_when_the_caller_is_in_the_call(
    house: House, dies_again: bool, rings: bool
) -> None:
    leg, incoming = house.calling()
    if rings:  # then the caller has an early dialog, and takes the BYE for the end of that
        house.carrier.ring(incoming)
        house.advance()
    house.network.weather = lambda d: (2.0,) if str(d) == "200 INVITE" and d.destination == GATE else (LATENCY_S,)
    house.carrier.answer(incoming)
    house.advance(0.125)
    house.network.weather = bye_is_lost if dies_again else fair
    house.restart()
    house.advance(1.0)
    if dies_again:
        house.network.weather = fair
        house.restart(process="run-3")
    house.advance(3.0)
    assert house.phone.story(leg).endswith("Answered HungUp")
    assert house.carrier.last(incoming) == RESTARTED
    house.advance(33.0)
    assert (house.switch.tables()["legs"], house.switch.tables()["owed_byes"]) == (0, 0)


def late_answer(datagram: Datagram) -> tuple[float, ...]:
    return (2.0,) if str(datagram) == "200 INVITE" and datagram.destination == GATE else (LATENCY_S,)


def answered_late(house: House) -> OutgoingLeg:
    """The caller's leg in a call that was answered, which he has not heard yet."""
    leg, incoming = house.calling()
    house.carrier.ring(incoming)
    house.advance()
    house.network.weather = late_answer
    house.carrier.answer(incoming)
    house.advance(0.125)
    return leg


def test_a_bye_that_overtakes_the_answer_is_sent_again_though_the_ack_is_lost(house: House) -> None:
    leg = answered_late(house)
    house.network.weather = ack_is_lost
    house.restart()
    house.advance(3.0)
    assert leg.state is State.CONFIRMED
    house.advance(AGAIN_S)
    assert house.phone.last(leg) == RESTARTED
    house.advance(33.0)
    assert house.switch.tables()["owed_byes"] == 0


def test_a_bye_that_is_refused_for_its_number_is_sent_again_with_a_higher_one(house: House) -> None:
    leg = answered_late(house)
    house.network.weather = fair
    house.restart(process="run-2")  # its BYE has the number that the next one's would have, and ends an early dialog
    house.network.weather = bye_is_lost
    house.restart(process="run-3")
    house.advance(3.0)
    assert leg.state is State.CONFIRMED
    house.network.weather = fair
    house.advance(4.0)  # it hears that one now, which was not answered yet when its ACK came
    assert house.phone.story(leg).endswith("Answered HungUp")
    numbers = [datagram.message.cseq[0] for datagram in house.network.log if str(datagram) == "BYE"]
    assert max(numbers) > min(numbers) + 10_000


@pytest.mark.parametrize("delay_s", [0.0, 0.3])
def test_an_answer_that_crosses_a_cancel_is_ended_though_the_process_dies_of_it(house: House, delay_s: float) -> None:
    leg, incoming = house.calling()
    house.carrier.ring(incoming)
    house.advance()
    house.memory.delay_s = delay_s
    house.network.weather = bye_is_lost
    house.phone.give_up(leg)
    house.carrier.answer(incoming)
    house.advance()
    # it was acknowledged, if that it is owed a BYE is on disk; else it repeats its answer to the next process
    assert incoming.state is (State.ANSWERED if delay_s else State.CONFIRMED)
    house.restart()
    house.advance(0.5)
    die(house, "run-3")
    house.advance(2.0)
    assert house.carrier.last(incoming) == RESTARTED
    assert house.cdr.charges == ()


def test_a_disk_that_cannot_be_written_stops_no_bye(house: House) -> None:
    leg, incoming = house.calling()
    house.carrier.ring(incoming)
    house.advance()
    house.memory.broken = True
    house.phone.give_up(leg)
    house.carrier.answer(incoming)
    house.advance()
    assert house.carrier.story(incoming) == "Acknowledged HungUp"
    house.memory.broken = False
    house.advance(10.0)


def test_a_row_that_could_not_be_removed_is_removed_later(house: House) -> None:
    leg, _ = house.talking()
    house.network.weather = bye_is_lost
    house.phone.hang_up(leg)
    house.advance(1.0)
    house.network.weather = fair
    house.memory.broken = True
    house.advance(10.0)
    assert house.memory.count("farewells") == 1
    house.memory.broken = False
    house.advance(10.0)
    assert house.memory.count("farewells") == 0
