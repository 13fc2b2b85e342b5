"""Phone, switch and carrier: the scenarios that broke others (design: sip.md), in virtual time.

Each ends with the same question: after everybody has hung up and every timer has run out, does anybody remember
anything? Each answered call has exactly one CDR, and its row in the journal is gone.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sipshop.billing.cdr import HungUpBy, Result
from sipshop.billing.money import Money
from sipshop.sip.course import State
from sipshop.sip.events import Acknowledged, Answered, Content, Failed, HungUp, Progressed, Replied
from sipshop.sip.incoming import IncomingLeg
from sipshop.sip.message import Request
from sipshop.sip.outgoing import OutgoingLeg
from tests.sip.peers import ANSWER, FORGETTING_S, HELD, HOLD, OFFER, delaying, losing
from tests.switch.house import BERLIN, SWITCH, WORLD, House, at_once


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    house.unlock()
    yield house
    house.network.weather = lambda _datagram: (1 / 64,)
    house.memory.broken, house.memory.delay_s = False, 0.0
    house.forget()
    assert house.memory.count("calls") == 0
    call_ids = [cdr.call_id for cdr in house.memory.cdrs]
    assert len(call_ids) == len(set(call_ids)) == house.memory.count("cdrs")


def test_a_plain_call(house: House) -> None:
    leg, incoming = house.talking()
    house.advance(61.5)
    house.phone.hang_up(leg)
    house.advance()
    assert house.caller_side == [
        *("> INVITE", "< 100 INVITE", "< 180 INVITE", "< 200 INVITE", "> ACK"),
        *("> BYE", "< 200 BYE"),
    ]
    assert house.carrier_side == [
        *("> INVITE", "< 100 INVITE", "< 180 INVITE", "< 200 INVITE", "> ACK"),
        *("> BYE", "< 200 BYE"),
    ]
    assert house.phone.last(leg) == Answered(ANSWER, late_offer=False)
    assert incoming.offer == OFFER
    cdr = house.cdr
    assert (cdr.result, cdr.sip_status, cdr.hung_up_by) == (Result.ANSWERED, 200, HungUpBy.CALLER)
    # 0.05 to connect, 60 s and then one increment of 6 s at 0.12 a minute: 0.05 + 0.12 + 0.012, to the cent
    assert cdr.talk_ms == 61_750
    assert (cdr.charges[0].cost.billed_s, cdr.charges[0].cost.amount) == (66, Money(180_000, "EUR"))


def test_a_call_that_is_over_leaves_nothing_for_the_garbage_collector(house: House) -> None:
    gc.collect()
    gc.disable()
    try:
        leg, _ = house.talking()
        house.phone.hang_up(leg)
        house.advance(2 * FORGETTING_S)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_the_callee_hangs_up(house: House) -> None:
    leg, incoming = house.talking()
    house.carrier.hang_up(incoming, "Q.850;cause=16")
    house.advance()
    bye = next(d.message for d in house.network.log if str(d) == "BYE" and d.destination == house.phone.address)
    assert bye.get("reason") == "Q.850;cause=16"
    assert house.phone.last(leg) == HungUp("Q.850;cause=16")
    assert house.cdr.hung_up_by is HungUpBy.CALLEE


def test_nothing_of_one_side_is_seen_on_the_other(house: House) -> None:
    leg, incoming = house.talking()
    house.phone.hang_up(leg)
    house.advance()
    caller_secrets = (leg.call_id, leg.local_tag, house.phone.address[0], "gate")
    assert incoming.dialog is not None
    callee_secrets = (incoming.call_id, incoming.local_tag, house.carrier.address[0])
    for datagram in house.network.log:
        secrets = callee_secrets if house.phone.address in {datagram.source, datagram.destination} else caller_secrets
        text = datagram.data.decode()
        assert not [secret for secret in secrets if secret in text], str(datagram)


def test_ringing_and_early_media_reach_the_caller(house: House) -> None:
    leg, incoming = house.calling()
    for status, content in ((180, None), (183, ANSWER), (183, ANSWER)):
        house.carrier.ring(incoming, status, content)
        house.advance()
    assert house.phone.heard[leg].events == [
        Progressed(100, None),
        Progressed(180, None),
        Progressed(183, ANSWER),
        Progressed(183, ANSWER),
    ]
    assert leg.state is State.PROCEEDING


@pytest.mark.parametrize(
    ("status", "told", "result"),
    [
        (486, 486, Result.BUSY),
        (600, 486, Result.BUSY),
        (480, 480, Result.NO_ANSWER),
        (404, 404, Result.FAILED),
        (603, 603, Result.FAILED),
        (402, 480, Result.FAILED),
    ],
)
def test_what_the_callee_says_reaches_the_caller(house: House, status: int, told: int, result: Result) -> None:
    leg, incoming = house.calling()
    house.carrier.reject(incoming, status)
    house.advance()
    failed = house.phone.last(leg)
    assert isinstance(failed, Failed)
    assert failed.status == told
    assert (house.cdr.result, house.cdr.sip_status) == (result, told)
    assert house.second.legs == []


# CANCEL and answer.


@pytest.mark.scenario(1)
def test_an_answer_that_crosses_our_cancel_is_ended_and_the_caller_gets_one_487(house: House) -> None:
    leg, incoming = house.calling()
    house.phone.give_up(leg)
    house.advance(1 / 64)
    house.carrier.answer(incoming)  # while our CANCEL is on its way
    house.advance(5.0)
    assert house.carrier_side[2:] == [
        *("> CANCEL", "< 200 INVITE", "< 200 CANCEL"),
        *("> ACK", "> BYE", "< 200 BYE"),
    ]
    assert house.caller_side[2:] == ["> CANCEL", "< 200 CANCEL", "< 487 INVITE", "> ACK"]
    assert (house.cdr.result, house.cdr.talk_ms, house.cdr.charges) == (Result.CANCELLED, 0, ())


@pytest.mark.scenario(2)
def test_a_cancel_before_any_response_of_the_carrier_is_held(house: House) -> None:
    house.network.weather = delaying(2.0, "100 INVITE", times=10)
    leg = house.phone.call(SWITCH, BERLIN)
    house.network.weather = lambda d: (2.0,) if d.source == house.carrier.address else (1 / 64,)
    house.advance()
    house.phone.give_up(leg)
    house.advance(0.5)
    assert "> CANCEL" in house.caller_side
    assert "> CANCEL" not in house.carrier_side
    house.advance(3.0)
    assert "> CANCEL" in house.carrier_side


@pytest.mark.scenario(3)
def test_the_487_after_our_cancel_is_acknowledged_though_the_call_is_gone(house: House) -> None:
    leg, incoming = house.calling()
    house.carrier.polite = False
    house.phone.give_up(leg)
    house.advance()
    assert house.switch.tables()["calls"] == 0
    house.carrier.reject(incoming, 487)
    house.advance()
    assert house.carrier_side[-2:] == ["< 487 INVITE", "> ACK"]


@pytest.mark.scenario(4)
def test_after_a_cancel_without_a_final_response_the_leg_dies_and_no_other_trunk_is_dialled(house: House) -> None:
    house.carrier.polite = False
    leg, _ = house.calling()
    house.phone.give_up(leg)
    house.advance(31.0)
    assert house.switch.tables()["legs"] == 1
    house.advance(2.0)
    assert house.switch.tables()["legs"] == 0
    assert house.second.legs == []


@pytest.mark.scenario(1)
def test_a_200_long_after_our_cancel_is_acknowledged_and_ended(house: House) -> None:
    house.carrier.polite = False
    leg, incoming = house.calling()
    house.phone.give_up(leg)
    house.advance(40.0)
    house.carrier.answer(incoming)
    house.advance()
    assert house.carrier_side[-4:] == ["< 200 INVITE", "> ACK", "> BYE", "< 200 BYE"]


@pytest.mark.rfc("5407", "3.1.2")
def test_a_cancel_that_crosses_our_200_does_not_matter(house: House) -> None:
    leg, incoming = house.calling()
    house.carrier.answer(incoming)
    house.advance(1 / 64)
    house.phone.give_up(leg)
    house.advance()
    assert house.caller_side.count("< 487 INVITE") == 0
    assert house.phone.story(leg) == "Progressed"
    assert (house.cdr.result, house.cdr.hung_up_by) == (Result.ANSWERED, HungUpBy.CALLER)


# The answer is durable before the caller hears of it.


@pytest.mark.scenario(26)
def test_the_caller_is_answered_when_the_answer_is_on_disk_and_talk_starts_then(house: House) -> None:
    house.memory.delay_s = 0.5
    leg, incoming = house.calling()
    house.carrier.answer(incoming)
    house.advance(0.5)
    assert house.phone.story(leg) == "Progressed"
    house.advance(0.25)
    assert house.phone.story(leg) == "Progressed Answered"
    (sent_at_s,) = house.network.instants("200 INVITE", house.switch_peer)
    house.advance(10.0)
    house.phone.hang_up(leg)
    house.advance(5.0)
    assert house.cdr.answered_at_ms == 1_700_000_000_000 + round(sent_at_s * 1000)
    assert house.cdr.talk_ms == int((house.network.instants("BYE", house.phone)[0] + 1 / 64 - sent_at_s) * 1000)


@pytest.mark.parametrize("slow", [True, False])
def test_an_answer_that_cannot_be_written_ends_the_call(house: House, slow: bool) -> None:
    leg, incoming = house.calling()
    house.memory.broken, house.memory.delay_s = not slow, 5.0 if slow else 0.0
    house.carrier.answer(incoming)
    house.advance(3.0)
    failed = house.phone.last(leg)
    assert isinstance(failed, Failed)
    assert (failed.status, failed.retry_after_s) == (503, 5)
    house.memory.broken = False
    house.advance(10.0)
    # the carrier repeats its 200 until it is on disk that it is owed a BYE, or the disk has refused to say so: were we
    # to die before, the next process would hear of it
    assert house.carrier_side[2:] == ["< 200 INVITE"] * (4 if slow else 1) + ["> ACK", "> BYE", "< 200 BYE"]
    assert (house.cdr.result, house.cdr.sip_status, house.cdr.charges) == (Result.FAILED, 503, ())


def test_the_caller_cancels_while_the_answer_is_being_written(house: House) -> None:
    house.memory.delay_s = 1.0
    leg, incoming = house.calling()
    house.carrier.answer(incoming)
    house.advance()
    house.phone.give_up(leg)
    house.advance(5.0)
    assert house.carrier_side[2:] == ["< 200 INVITE", "< 200 INVITE", "> ACK", "> BYE", "< 200 BYE"]
    assert house.caller_side[-2:] == ["< 487 INVITE", "> ACK"]
    assert (house.cdr.result, house.cdr.charges) == (Result.CANCELLED, ())


def test_the_callee_hangs_up_while_the_answer_is_being_written(house: House) -> None:
    house.memory.delay_s = 1.0
    leg, incoming = house.calling()
    house.carrier.answer(incoming)
    house.advance()
    house.carrier.send_inside(incoming, "BYE")  # before its ACK, which RFC 3261 section 15 does not allow
    house.advance(5.0)
    failed = house.phone.last(leg)
    assert isinstance(failed, Failed)
    assert failed.status == 480
    assert (house.cdr.result, house.cdr.hung_up_by, house.cdr.charges) == (Result.FAILED, HungUpBy.CALLEE, ())


def test_an_answer_that_dies_with_us_is_heard_of_again_and_ended(house: House) -> None:
    house.memory.delay_s = 1.0
    leg, incoming = house.calling()
    house.memory.die()  # its row never reached the disk
    house.carrier.answer(incoming)
    house.advance(0.25)
    assert "> ACK" not in house.carrier_side
    house.restart()
    house.memory.delay_s = 0.0
    house.advance(5.0)
    assert house.carrier_side[-3:] == ["> ACK", "> BYE", "< 200 BYE"]
    assert house.carrier.story(incoming).endswith("HungUp")
    house.phone.give_up(leg)
    house.advance(40.0)


# ACK.


@pytest.mark.scenario(7)
def test_without_the_callers_ack_the_200_is_repeated_to_32_s_and_then_both_are_hung_up_on(house: House) -> None:
    house.network.weather = lambda d: () if str(d) == "ACK" and d.source == house.phone.address else (1 / 64,)
    _, incoming = house.calling()
    house.carrier.answer(incoming)
    house.advance(40.0)
    repeated = house.network.instants("200 INVITE", house.switch_peer)
    assert [at_s - repeated[0] for at_s in repeated] == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert house.network.instants("BYE", house.switch_peer) == [repeated[0] + 32.0] * 2
    assert (house.cdr.result, house.cdr.talk_ms, house.cdr.hung_up_by) == (Result.ANSWERED, 32_000, HungUpBy.SWITCH)


@pytest.mark.scenario(8)
def test_a_bye_for_the_caller_waits_for_his_ack(house: House) -> None:
    house.network.weather = delaying(1.0, "ACK", times=2)
    leg, incoming = house.calling()
    house.carrier.answer(incoming)
    house.carrier.hang_up(incoming)
    house.advance(10.0)
    side = house.caller_side
    assert side.index("> ACK") < side.index("< BYE")
    assert house.phone.story(leg) == "Progressed Answered HungUp"


@pytest.mark.scenario(7)
def test_a_200_that_the_carrier_repeats_is_acknowledged_again(house: House) -> None:
    house.network.weather = lambda d: () if str(d) == "ACK" and d.source == SWITCH else (1 / 64,)
    leg, incoming = house.calling()
    house.carrier.answer(incoming)
    house.advance(3.0)
    assert house.carrier_side.count("> ACK") == 3
    assert house.phone.story(leg) == "Progressed Answered"


@pytest.mark.scenario(12)
def test_the_second_answer_of_a_fork_behind_the_carrier_is_ended(house: House) -> None:
    leg, incoming = house.calling()
    invite = next(d for d in house.network.log if d.destination == house.carrier.address)
    house.network.carry(invite.data, "UDP", SWITCH, house.second.address)
    house.advance()
    house.carrier.answer(incoming)
    house.second.answer(house.second.incoming)
    house.advance()
    assert house.second.story(house.second.incoming) == "Acknowledged HungUp"
    assert house.carrier.story(incoming) == "Acknowledged"
    assert house.phone.story(leg) == "Progressed Answered"


# Offer and answer.


def reinvite(house: House, *, by: str, leg: OutgoingLeg | IncomingLeg) -> list[int]:
    """Somebody puts the other one on hold; the statuses that he is answered."""
    phone = house.phone if by == "phone" else house.carrier
    recorder = phone.send_inside(leg, "INVITE", HOLD)
    house.advance(0.125)
    if recorder.statuses[-1] == 200:
        assert recorder.last.body == HELD.data
        phone.acknowledge_inside(leg, recorder)
        house.advance()
    return recorder.statuses


@pytest.mark.parametrize("by", ["phone", "carrier"])
def test_hold_and_back(house: House, by: str) -> None:
    leg, incoming = house.talking()
    one = leg if by == "phone" else incoming
    for _ in range(2):
        assert reinvite(house, by=by, leg=one) == [100, 200]
    house.advance(40.0)
    assert (leg.state, incoming.state) == (State.CONFIRMED, State.CONFIRMED)


@pytest.mark.scenario(13)
def test_reinvites_from_both_sides_at_once_are_both_refused_for_now(house: House) -> None:
    leg, incoming = house.talking()
    mine, theirs = house.phone.reinvite(leg), house.carrier.reinvite(incoming)
    house.advance()
    assert house.phone.last(leg) == Replied(mine, 491, None, late_offer=False)
    assert house.carrier.last(incoming) == Replied(theirs, 491, None, late_offer=False)
    assert reinvite(house, by="phone", leg=leg) == [100, 200]


@pytest.mark.scenario(14)
def test_a_second_reinvite_while_the_first_waits_is_refused(house: House) -> None:
    leg, _ = house.talking()
    house.carrier.polite = False
    house.phone.send_inside(leg, "INVITE", HOLD)
    second = house.phone.send_inside(leg, "INVITE", OFFER)
    house.advance()
    assert second.statuses == [500]
    assert 0 <= int(second.last.get("retry-after") or "") <= 10


@pytest.mark.scenario(16)
def test_a_late_offer_crosses_and_so_does_the_answer_in_the_ack(house: House) -> None:
    leg, incoming = house.calling(content=None)
    assert incoming.offer is None
    house.carrier.answer(incoming, OFFER)
    house.advance()
    assert house.phone.last(leg) == Answered(OFFER, late_offer=True)
    assert house.carrier.last(incoming) == Acknowledged(ANSWER, None)


@pytest.mark.scenario(7)
def test_a_late_offer_without_the_callers_ack_ends_both(house: House) -> None:
    house.network.weather = lambda d: () if str(d) == "ACK" and d.source == house.phone.address else (1 / 64,)
    _, incoming = house.calling(content=None)
    house.carrier.answer(incoming, OFFER)
    house.advance(40.0)
    assert house.carrier.story(incoming) in {"Acknowledged HungUp", "Lost"}
    assert house.switch.tables()["calls"] == 0


@pytest.mark.scenario(16)
def test_a_reinvite_without_an_offer_crosses_with_its_answer_in_the_ack(house: House) -> None:
    leg, incoming = house.talking()
    recorder = house.phone.send_inside(leg, "INVITE", None)
    house.advance(0.125)
    assert (recorder.statuses, recorder.last.body) == ([100, 200], OFFER.data)
    house.phone.acknowledge_inside(leg, recorder, ANSWER)
    house.advance()
    acknowledged = house.carrier.last(incoming)
    assert isinstance(acknowledged, Acknowledged)
    assert acknowledged.content == ANSWER


def test_a_reinvite_that_is_cancelled(house: House) -> None:
    leg, incoming = house.talking()
    house.carrier.polite = False
    house.phone.send_inside(leg, "INVITE", HOLD)
    house.advance()
    sent = next(
        d.message for d in reversed(house.network.log) if d.source == house.phone.address and str(d) == "INVITE"
    )
    assert isinstance(sent, Request)
    cancel = Request("CANCEL", sent.target, [pair for pair in sent.headers if pair[0] not in {"cseq", "content-type"}])
    cancel.set("cseq", f"{sent.cseq[0]} CANCEL")
    house.phone.send(cancel, SWITCH)
    house.advance()
    assert "< 487 INVITE" in house.caller_side
    assert house.carrier.story(incoming) == "Acknowledged Asked Withdrawn"
    assert (leg.state, incoming.state) == (State.CONFIRMED, State.CONFIRMED)


@pytest.mark.scenario(40)
def test_the_payload_types_of_each_side_are_its_own_business(house: House) -> None:
    def events(payload: int) -> Content:
        return Content("application/sdp", OFFER.data + b"a=rtpmap:%d telephone-event/8000\r\n" % payload)

    leg, incoming = house.calling(content=events(101))
    house.carrier.answer(incoming, events(96))
    house.advance()
    assert (incoming.offer, house.phone.last(leg)) == (events(101), Answered(events(96), late_offer=False))
    recorder = house.carrier.send_inside(incoming, "INVITE", events(97))
    house.advance(0.125)
    assert recorder.statuses == [100, 200]
    house.carrier.acknowledge_inside(incoming, recorder)
    offered = [d.message.body for d in house.network.log if d.destination == house.phone.address and str(d) == "INVITE"]
    assert offered == [events(97).data]


@pytest.mark.parametrize("method", ["INFO", "OPTIONS"])
@pytest.mark.parametrize("by", ["phone", "carrier"])
def test_a_request_inside_the_call_is_passed_on(house: House, method: str, by: str) -> None:
    leg, incoming = house.talking()
    one, phone = (leg, house.phone) if by == "phone" else (incoming, house.carrier)
    recorder = phone.send_inside(one, method, HOLD if method == "INFO" else None)
    house.advance()
    assert recorder.statuses == [200]
    assert house.caller_side.count("< " + method if by == "carrier" else "> " + method) == 1
    assert house.carrier_side.count("> " + method if by == "phone" else "< " + method) == 1


@pytest.mark.scenario(22)
def test_a_carrier_that_does_not_know_the_call_any_more_ends_it(house: House) -> None:
    leg, incoming = house.talking()
    house.carrier.agent.forget(incoming)
    recorder = house.phone.send_inside(leg, "INFO")
    house.advance()
    assert recorder.statuses == [481]
    assert house.phone.story(leg).endswith("HungUp")
    assert (house.cdr.result, house.cdr.hung_up_by, house.cdr.q850) == (Result.ANSWERED, HungUpBy.SWITCH, 27)


# The end.


@pytest.mark.scenario(21)
def test_both_hang_up_at_once(house: House) -> None:
    leg, incoming = house.talking()
    house.phone.hang_up(leg)
    house.carrier.hang_up(incoming)
    house.advance()
    assert [line for line in house.caller_side if "BYE" in line] == ["> BYE", "< 200 BYE"]
    assert sorted(line for line in house.carrier_side if "BYE" in line) == ["< 200 BYE", "< BYE", "> 200 BYE", "> BYE"]
    assert house.cdr.result is Result.ANSWERED


@pytest.mark.scenario(35)
@pytest.mark.parametrize("who", ["phone", "carrier"])
def test_a_forged_bye_does_nothing(house: House, who: str) -> None:
    leg, incoming = house.talking()
    one: OutgoingLeg | IncomingLeg = leg if who == "phone" else incoming
    assert one.dialog is not None
    for change in ({"local_tag": "guess"}, {"remote_tag": "guess"}, {"call_id": "guess"}):
        forged = type(one.dialog).from_json({**one.dialog.to_json(), **change})
        bye = forged.request("BYE", via="SIP/2.0/UDP 198.51.100.66:5060;branch=z9hG4bKforged" + next(iter(change)))
        house.network.carry(bye.encode(), "UDP", ("198.51.100.66", 5060), SWITCH)
    house.advance()
    assert [str(d) for d in house.network.log if d.destination == ("198.51.100.66", 5060)] == ["481 BYE"] * 3
    assert (leg.state, incoming.state, house.switch.tables()["calls"]) == (State.CONFIRMED, State.CONFIRMED, 1)


@pytest.mark.scenario(26)
def test_a_call_is_cut_off_when_its_granted_time_is_over(house: House) -> None:
    leg, incoming = house.talking()
    house.advance(7200.0)
    assert house.phone.story(leg).endswith("HungUp")
    assert house.carrier.story(incoming).endswith("HungUp")
    assert (house.cdr.talk_ms, house.cdr.hung_up_by) == (7_200_000, HungUpBy.SWITCH)


# Trunks.


def test_the_next_trunk_takes_over_from_one_that_fails(house: House) -> None:
    leg, incoming = house.calling()
    house.carrier.reject(incoming, 503, [("retry-after", "30")])
    house.advance()
    house.second.answer(house.second.incoming)
    house.advance()
    assert house.phone.last(leg) == Answered(ANSWER, late_offer=False)
    house.phone.hang_up(leg)
    house.advance()
    assert house.cdr.trunk == "two"
    assert [(attempt.trunk, attempt.status) for attempt in house.cdr.attempts] == [("one", 503), ("two", 200)]


@pytest.mark.scenario(24)
def test_a_failed_trunks_repeated_503_does_not_skip_a_trunk_and_its_late_183_is_not_heard(house: House) -> None:
    house.network.weather = lambda d: (0.1, 0.7, 1.3) if d.source == house.carrier.address else (1 / 64,)
    leg, incoming = house.calling()
    house.carrier.ring(incoming, 183, OFFER)
    house.carrier.reject(incoming, 503)
    house.advance(3.0)
    assert len(house.second.legs) == 1
    assert Progressed(183, OFFER) in house.phone.heard[leg].events
    assert house.phone.heard[leg].events.count(Progressed(183, OFFER)) == 1


def test_all_trunks_failed(house: House) -> None:
    leg, incoming = house.calling()
    house.carrier.reject(incoming, 503)
    house.advance()
    house.second.reject(house.second.incoming, 500)
    house.advance()
    failed = house.phone.last(leg)
    assert isinstance(failed, Failed)
    assert (failed.status, failed.reason) == (480, 'Q.850;cause=34;text="No carrier could take the call"')
    assert (house.cdr.result, house.cdr.sip_status) == (Result.FAILED, 480)


@pytest.mark.scenario(24)
@pytest.mark.scenario(23)
def test_a_silent_trunk_is_given_up_after_a_few_invites_and_its_late_answer_is_ended(house: House) -> None:
    house.network.weather = lambda d: () if d.source == house.carrier.address else (1 / 64,)
    leg = house.phone.call(SWITCH, BERLIN)
    house.advance(5.0)
    assert house.network.instants("INVITE", house.switch_peer)[:4] == [1 / 64, 0.5 + 1 / 64, 1.5 + 1 / 64, 3.5 + 1 / 64]
    assert len(house.second.legs) == 1
    house.network.weather = lambda _d: (1 / 64,)
    house.carrier.answer(house.carrier.incoming)
    house.second.answer(house.second.incoming)
    house.advance(5.0)
    assert house.carrier.story(house.carrier.incoming) == "Acknowledged HungUp"
    assert house.second.story(house.second.incoming) == "Acknowledged"
    assert house.phone.last(leg) == Answered(ANSWER, late_offer=False)


def test_nobody_answers(house: House) -> None:
    leg, incoming = house.calling()
    house.carrier.ring(incoming)
    house.advance(60.0)
    failed = house.phone.last(leg)
    assert isinstance(failed, Failed)
    assert (failed.status, failed.reason) == (480, "Q.850;cause=19")
    assert house.carrier.story(incoming) == "Cancelled"
    assert house.second.legs == []
    assert house.cdr.result is Result.NO_ANSWER


# Loss.


@pytest.mark.parametrize(
    "what",
    [
        *("INVITE", "100 INVITE", "180 INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"),
        *("CANCEL", "200 CANCEL", "487 INVITE", "486 INVITE"),
    ],
)
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("way", ["talk", "cancel", "busy"])
def test_whatever_is_lost_a_few_times_it_ends_well(house: House, what: str, times: int, way: str) -> None:
    def polite(leg: IncomingLeg) -> None:
        house.carrier.ring(leg)
        if way != "cancel":
            act = house.carrier.answer if way == "talk" else lambda leg: house.carrier.reject(leg, 486)
            house.network.at(house.network.now + 0.5, lambda: act(leg))

    house.carrier.on_invite = house.second.on_invite = polite
    house.network.weather = losing(what, times=times)
    leg = house.phone.call(SWITCH, BERLIN)
    house.advance(12.0)
    if way == "cancel":
        house.phone.give_up(leg)
    else:
        house.phone.hang_up(leg)
    house.advance(60.0)
    (cdr,) = house.memory.cdrs
    expected = {"talk": Result.ANSWERED, "cancel": Result.CANCELLED, "busy": Result.BUSY}
    assert cdr.result is expected[way]


def test_an_emergency_call_without_a_trunk_for_it_is_refused_and_shouted_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    deaf = replace(WORLD, trunks=tuple(replace(trunk, emergency=False) for trunk in WORLD.trunks))
    house = House(world=deaf)
    leg = house.phone.call(SWITCH, "112")
    house.advance()
    failed = house.phone.last(leg)
    assert isinstance(failed, Failed)
    assert failed.status == 404
    assert any(record.levelname == "CRITICAL" for record in caplog.records)
    house.forget()


# A crash.


@pytest.mark.scenario(27)
def test_after_a_crash_both_legs_get_a_bye_and_the_call_is_billed_to_the_last_sign_of_life(house: House) -> None:
    leg, incoming = house.talking()
    house.advance(12.0)
    house.restart()
    assert house.switch.health().recovering
    house.advance()
    assert house.phone.last(leg) == HungUp('SIP;cause=503;text="Restarted"')
    assert house.carrier.last(incoming) == HungUp('SIP;cause=503;text="Restarted"')
    cdr = house.cdr
    assert (cdr.recovered, cdr.result, cdr.sip_status, cdr.q850) == (True, Result.ANSWERED, 200, 41)
    relayed_s = house.network.instants("200 INVITE", house.switch_peer)[0]
    assert cdr.talk_ms == 10_000 - int(relayed_s * 1000)  # heartbeats come every 5 s
    assert cdr.charges[0].cost.amount.micros == 170_000
    assert house.switch.health().ready


@pytest.mark.scenario(27)
def test_a_bye_that_was_on_its_way_at_a_crash_is_sent_again(house: House) -> None:
    leg, incoming = house.talking()
    house.network.weather = lambda d: () if str(d) == "BYE" and d.source == SWITCH else (1 / 64,)
    house.phone.hang_up(leg)
    house.advance()
    house.network.weather = lambda _datagram: (1 / 64,)
    house.restart()
    house.advance(40.0)
    assert incoming.state is State.CLOSED


@pytest.mark.scenario(27)
def test_an_invite_that_is_repeated_after_a_crash_places_no_second_call(house: House) -> None:
    house.talking()
    invite = house.network.log[0]
    house.restart()
    house.advance()
    house.network.carry(invite.data, "UDP", invite.source, invite.destination)
    house.advance()
    answer = next(d for d in reversed(house.network.log) if d.destination == house.phone.address)
    assert (str(answer), len(house.carrier.legs)) == ("503 INVITE", 1)
    house.advance(40.0)
    assert house.switch.tables()["calls"] == 0


@pytest.mark.scenario(27)
def test_a_call_that_was_only_ringing_at_a_crash_costs_nothing_and_a_late_answer_is_ended(house: House) -> None:
    leg, incoming = house.calling()
    house.advance(1.0)
    house.restart()
    house.advance()
    assert (house.cdr.result, house.cdr.recovered, house.cdr.charges) == (Result.FAILED, True, ())
    house.carrier.answer(incoming)
    house.advance()
    assert house.carrier.story(incoming) == "Acknowledged HungUp"
    house.phone.give_up(leg)
    house.advance(40.0)


def test_a_command_needs_a_store_and_changes_nothing_without_one(house: House) -> None:
    house.memory.broken = True
    with pytest.raises(Exception, match="disk I/O error"):
        at_once(house.switch.desk.lock("Tel", "gate", "ana"))
    leg, _ = house.calling()
    assert house.phone.story(leg) == "Progressed"
