"""What each leg keeps for itself: reliable responses, offers, session timers, dead peers; seen from both sides."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sipshop.billing.cdr import HungUpBy, Result
from sipshop.proxy.call import COMMIT_LIMIT_S
from sipshop.sip.course import State
from sipshop.sip.events import Answered, Ask, Content, Failed, HungUp, Progressed, Replied
from sipshop.sip.leg import Leg
from sipshop.sip.message import Message, Request
from sipshop.sip.useragent import Manners
from tests.sip.peers import (
    ANSWER,
    FORGETTING_S,
    HELD,
    HOLD,
    LATENCY_S,
    OFFER,
    Datagram,
    Peer,
    Phone,
    fair,
)
from tests.switch.house import TENANT, House, at_once

OTHER = Content("application/sdp", b"v=0\r\ns=another\r\n")


@contextmanager
def a_house(manners: Manners | None = None, peers: Manners | None = None) -> Iterator[House]:
    """A house of which nothing is left in the end, and each call has one CDR."""
    house = House(manners=manners, peers=peers)
    house.unlock()
    yield house
    house.network.weather = lambda _datagram: (1 / 64,)
    house.memory.broken, house.memory.delay_s = False, 0.0
    house.forget()
    assert house.memory.count("calls") == 0
    call_ids = [cdr.call_id for cdr in house.memory.cdrs]
    assert len(call_ids) == len(set(call_ids)) == house.memory.count("cdrs")


@pytest.fixture
def house() -> Iterator[House]:
    with a_house() as house:
        yield house


def sent(house: House, name: str, to: Peer) -> list[Message]:
    """Messages of that kind that were sent to somebody."""
    return [d.message for d in house.network.log if str(d) == name and d.destination == to.address]


# Reliable provisional responses (RFC 3262).


@pytest.mark.scenario(19)
def test_a_reliable_183_is_acknowledged_on_each_leg_with_numbers_of_its_own(house: House) -> None:
    leg, incoming = house.calling()
    house.carrier.ring(incoming, 183, ANSWER, reliably=True)
    house.advance()
    assert house.carrier_side[2:] == ["< 183 INVITE", "> PRACK", "< 200 PRACK"]
    assert house.caller_side[2:] == ["< 183 INVITE", "> PRACK", "< 200 PRACK"]
    (ours,) = sent(house, "183 INVITE", house.phone)
    (theirs,) = sent(house, "183 INVITE", house.switch_peer)
    assert ours.get("require") == theirs.get("require") == "100rel"
    assert house.phone.last(leg) == Progressed(183, ANSWER, is_reliable=True)
    house.carrier.answer(incoming, ANSWER)
    house.advance()
    assert house.phone.last(leg) == Answered(ANSWER, late_offer=False)
    (answer,) = sent(house, "200 INVITE", house.phone)
    assert answer.body == b"", "the caller acknowledged the description before"
    assert leg.state is State.CONFIRMED


@pytest.mark.scenario(19)
def test_a_caller_that_cannot_acknowledge_gets_plain_responses(house: House) -> None:
    leg = house.phone.call(("192.0.2.1", 5060), reliably=False)
    house.advance()
    house.carrier.ring(house.carrier.incoming, 183, ANSWER, reliably=True)
    house.advance()
    assert house.phone.last(leg) == Progressed(183, ANSWER)
    assert house.carrier_side[2:] == ["< 183 INVITE", "> PRACK", "< 200 PRACK"]


@pytest.mark.scenario(19)
def test_a_caller_that_demands_it_gets_it_though_the_carrier_knows_nothing_of_it(house: House) -> None:
    leg = house.phone.call(("192.0.2.1", 5060), headers=[("require", "100rel")])
    house.advance()
    house.carrier.ring(house.carrier.incoming)
    house.advance()
    assert house.phone.last(leg) == Progressed(180, None, is_reliable=True)
    assert house.carrier_side[2:] == ["< 180 INVITE"]
    (invite,) = [m for m in sent(house, "INVITE", house.carrier) if isinstance(m, Request)]
    assert invite.get("require") is None


@pytest.mark.scenario(19)
def test_an_answer_waits_for_the_callers_prack_and_talk_begins_with_the_200(house: House) -> None:
    leg, incoming = house.calling()
    lost: list[object] = []

    def weather(datagram: Datagram) -> tuple[float, ...]:
        if str(datagram) == "PRACK" and datagram.source == house.phone.address and not lost:
            lost.append(datagram)
            return ()
        return (LATENCY_S,)

    house.network.weather = weather
    house.carrier.ring(incoming, 183, ANSWER, reliably=True)
    house.carrier.answer(incoming)
    house.advance()
    assert sent(house, "200 INVITE", house.phone) == []
    house.advance(1.0)
    (answered_at_s,) = house.network.instants("200 INVITE", house.switch_peer)
    (_, acknowledged_at_s) = house.network.instants("PRACK", house.phone)
    assert answered_at_s == acknowledged_at_s + LATENCY_S
    house.advance(10.0)
    house.phone.hang_up(leg)
    hung_up_at_s = house.network.now + LATENCY_S
    house.advance()
    assert house.cdr.talk_ms == int((hung_up_at_s - answered_at_s) * 1000)


def slow_to_acknowledge(house: House, seconds: float) -> None:
    """The phone's PRACK takes so long."""
    house.network.weather = lambda d: (seconds if str(d) == "PRACK" and d.source == house.phone.address else 1 / 64,)


@pytest.mark.scenario(19)
def test_a_caller_may_take_as_long_for_his_prack_as_its_own_limit_lets_him(house: House) -> None:
    leg, incoming = house.calling()
    slow_to_acknowledge(house, 10.0)
    house.carrier.ring(incoming, 183, ANSWER, reliably=True)
    house.carrier.answer(incoming)
    house.advance(15.0)
    (answered_at_s,) = house.network.instants("200 INVITE", house.switch_peer)
    assert answered_at_s > 10.0 > COMMIT_LIMIT_S
    assert (leg.state, house.memory.cdrs) == (State.CONFIRMED, [])


@pytest.mark.scenario(19)
def test_an_answer_whose_prack_never_comes_ends_free_of_charge(house: House) -> None:
    _, incoming = house.calling()
    house.network.weather = lambda d: () if str(d) == "PRACK" and d.source == house.phone.address else (1 / 64,)
    house.carrier.ring(incoming, 183, ANSWER, reliably=True)
    house.carrier.answer(incoming)
    house.advance(40.0)
    assert isinstance(house.carrier.last(incoming), HungUp)
    assert (house.cdr.result, house.cdr.talk_ms, house.cdr.sip_status) == (Result.FAILED, 0, 504)


@pytest.mark.scenario(19)
def test_a_disk_that_fails_ends_the_call_at_once_though_a_prack_is_awaited(house: House) -> None:
    _, incoming = house.calling()
    slow_to_acknowledge(house, 10.0)
    house.carrier.ring(incoming, 183, ANSWER, reliably=True)
    house.memory.broken = True
    house.carrier.answer(incoming)
    house.advance(1.0)
    house.memory.broken = False
    house.advance(1.0)
    assert isinstance(house.carrier.last(incoming), HungUp)
    assert (house.cdr.talk_ms, house.cdr.sip_status) == (0, 503)


@pytest.mark.scenario(19)
def test_a_caller_that_never_acknowledges_is_refused_and_the_carrier_cancelled(house: House) -> None:
    leg, incoming = house.calling()
    house.phone.polite = False
    house.network.weather = lambda d: () if str(d) == "PRACK" and d.source == house.phone.address else (1 / 64,)
    house.carrier.ring(incoming, 183, ANSWER, reliably=True)
    house.advance(33.0)
    failed = house.phone.last(leg)
    assert isinstance(failed, Failed)
    assert failed.status == 504
    assert "> CANCEL" in house.carrier_side
    assert (house.cdr.result, house.cdr.talk_ms, house.cdr.sip_status) == (Result.FAILED, 0, 504)


@pytest.mark.scenario(16)
@pytest.mark.scenario(19)
def test_an_offer_that_rings_is_answered_by_the_callers_prack(house: House) -> None:
    _, incoming = house.calling(content=None)
    house.carrier.ring(incoming, 183, OFFER, reliably=True)
    house.advance()
    (prack,) = sent(house, "PRACK", house.carrier)
    assert prack.body == ANSWER.data
    house.carrier.answer(incoming, None)
    house.advance()
    assert incoming.state is State.CONFIRMED
    (ack,) = sent(house, "ACK", house.carrier)
    assert ack.body == b""


# Offers before the answer, and after it.


@pytest.mark.scenario(15)
@pytest.mark.parametrize("by_caller", [True, False])
def test_an_update_before_the_answer_goes_through(house: House, by_caller: bool) -> None:
    leg, incoming = house.calling()
    house.carrier.ring(incoming, 183, ANSWER, reliably=True)
    house.advance()
    asker, asking, asked = (house.phone, leg, house.carrier) if by_caller else (house.carrier, incoming, house.phone)
    ask = asker.reinvite(asking, HOLD, method="UPDATE")
    house.advance()
    assert asker.last(asking) == Replied(ask, 200, HELD, late_offer=False)
    (update,) = sent(house, "UPDATE", asked)
    assert update.body == HOLD.data
    house.carrier.answer(incoming, None)
    house.advance()
    assert leg.state is incoming.state is State.CONFIRMED


@pytest.mark.scenario(15)
def test_an_update_while_the_next_carrier_is_dialled_gets_a_final_answer(house: House) -> None:
    leg, incoming = house.calling()
    house.carrier.ring(incoming, 183, ANSWER, reliably=True)
    house.advance()
    house.carrier.reject(incoming, 503)
    house.advance()
    ask = house.phone.reinvite(leg, HOLD, method="UPDATE")
    house.advance()
    assert house.phone.last(leg) == Replied(ask, 491, None, late_offer=False)


@pytest.mark.scenario(15)
def test_an_update_whose_carrier_fails_before_it_answers_gets_a_final_answer(house: House) -> None:
    leg, incoming = house.calling()
    house.carrier.ring(incoming, 183, ANSWER, reliably=True)
    house.advance()
    house.carrier.polite = False
    ask = house.phone.reinvite(leg, HOLD, method="UPDATE")
    house.advance()
    house.carrier.reject(incoming, 503)
    house.advance()
    assert house.phone.last(leg) == Replied(ask, 491, None, late_offer=False)


@pytest.mark.parametrize("by_caller", [True, False])
def test_an_update_inside_the_call_goes_through(house: House, by_caller: bool) -> None:
    leg, incoming = house.talking()
    asker, asking, asked = (house.phone, leg, house.carrier) if by_caller else (house.carrier, incoming, house.phone)
    ask = asker.reinvite(asking, HOLD, method="UPDATE")
    house.advance()
    assert asker.last(asking) == Replied(ask, 200, HELD, late_offer=False)
    assert [m.body for m in sent(house, "UPDATE", asked)] == [HOLD.data]


# Glare.


@pytest.mark.scenario(13)
def test_reinvites_of_both_sides_at_once_are_refused_and_both_come_through_when_they_try_again(house: House) -> None:
    leg, incoming = house.talking()
    asks = [house.phone.reinvite(leg), house.carrier.reinvite(incoming)]
    house.advance(1.0)
    statuses = [_status(house.phone, leg, asks[0]), _status(house.carrier, incoming, asks[1])]
    assert 491 in statuses
    house.advance(1.0)
    again = [house.carrier.reinvite(incoming)]  # not the owner of its Call-ID: within 2 s
    house.advance(1.5)
    again.append(house.phone.reinvite(leg))  # the owner: after 2.1 to 4 s
    house.advance(1.0)
    assert _status(house.carrier, incoming, again[0]) == _status(house.phone, leg, again[1]) == 200


@pytest.mark.scenario(14)
def test_a_second_reinvite_before_the_first_is_answered_is_put_off(house: House) -> None:
    leg, incoming = house.talking()
    house.carrier.polite = False
    first = house.phone.send_inside(leg, "INVITE", HOLD)
    house.advance()
    second = house.phone.send_inside(leg, "INVITE", OTHER)
    house.advance()
    assert second.statuses == [500]
    assert second.last.get("retry-after") == "1"
    assert len(sent(house, "INVITE", house.carrier)) == 2, "the call and the first of the two"
    house.phone.hang_up(leg)
    house.advance()
    assert first.statuses == [100, 487]
    assert incoming.state is State.CLOSED


def _status(phone: Phone, leg: Leg, ask: Ask) -> int | None:
    replied = [e for e in phone.heard[leg].events if isinstance(e, Replied) and e.ask is ask]
    return replied[0].status if replied else None


# Session timers and dead peers.


def comes_back(house: House, phone: Phone) -> None:
    """A phone has power again, and remembers nothing."""
    house.network.join(phone)
    phone.agent.legs.clear()


TIMED = Manners(session_s=600, session_least_s=90)
PROBING = Manners(probe_s=30)


@pytest.mark.scenario(20)
def test_each_leg_has_a_session_timer_of_its_own(house: House) -> None:
    with a_house(manners=TIMED, peers=Manners(session_s=300, session_least_s=90)) as timed:
        leg, incoming = timed.talking()
        timed.advance(2000.0)
        assert leg.state is incoming.state is State.CONFIRMED
        # the phone asked for 300 s and refreshes; the carrier was asked for 600 s and gave 300
        assert timed.caller_side.count("> UPDATE") == 2000 // 150
        assert timed.carrier_side.count("> UPDATE") == 2000 // 150
        assert "< UPDATE" not in (*timed.caller_side, *timed.carrier_side)
        timed.phone.hang_up(leg)
        timed.advance()
        assert (timed.cdr.result, timed.cdr.hung_up_by) == (Result.ANSWERED, HungUpBy.CALLER)


@pytest.mark.scenario(20)
@pytest.mark.parametrize("dead", ["phone", "carrier"])
def test_an_unanswered_refresh_ends_the_call_with_a_right_cdr(dead: str) -> None:
    with a_house(manners=TIMED, peers=TIMED) as timed:
        leg, incoming = timed.talking()
        timed.advance(1000.0)
        talked_ms = round((timed.network.now - timed.network.instants("200 INVITE", timed.switch_peer)[0]) * 1000)
        gone = timed.phone if dead == "phone" else timed.carrier
        timed.network.leave(gone)
        timed.advance(700.0)
        survivor, its = (timed.carrier, incoming) if dead == "phone" else (timed.phone, leg)
        assert isinstance(survivor.last(its), HungUp)
        cdr = timed.cdr
        assert (cdr.result, cdr.hung_up_by, cdr.q850) == (Result.ANSWERED, HungUpBy.SWITCH, 27)
        assert 0 < talked_ms - cdr.talk_ms <= 300_000, "billed to the last sign of life, a refresh ago"
        comes_back(timed, gone)


@pytest.mark.parametrize("dead", ["phone", "carrier"])
def test_a_dead_peer_is_found_by_two_probes_and_billed_to_its_last_sign_of_life(dead: str) -> None:
    with a_house(manners=PROBING) as probing:
        leg, incoming = probing.talking()
        probing.advance(100.0)
        gone = probing.phone if dead == "phone" else probing.carrier
        died_at_s = probing.network.now
        probing.network.leave(gone)
        probing.advance(100.0)
        survivor, its = (probing.carrier, incoming) if dead == "phone" else (probing.phone, leg)
        assert isinstance(survivor.last(its), HungUp)
        cdr = probing.cdr
        answered_at_s = probing.network.instants("200 INVITE", probing.switch_peer)[0]
        assert (cdr.result, cdr.hung_up_by, cdr.q850) == (Result.ANSWERED, HungUpBy.SWITCH, 27)
        # the last probe that was answered, at most 30 s (and a lazy timer) before it died
        assert 0 <= (died_at_s - answered_at_s) * 1000 - cdr.talk_ms <= 30_600
        assert cdr.charges[0].cost.billed_s == 96
        comes_back(probing, gone)


@pytest.mark.parametrize(("manners", "deaf"), [(PROBING, "phone"), (PROBING, "carrier"), (TIMED, "carrier")])
def test_who_answers_no_question_but_bye_pays_up_to_that(manners: Manners, deaf: str) -> None:
    with a_house(manners=manners, peers=TIMED if manners is TIMED else None) as watchful:
        leg, incoming = watchful.talking()
        silent, its = (watchful.phone, leg) if deaf == "phone" else (watchful.carrier, incoming)
        mute = {"200 OPTIONS", "200 UPDATE"}
        watchful.network.weather = lambda d: () if str(d) in mute and d.source == silent.address else (LATENCY_S,)
        watchful.advance(600.0)
        assert isinstance(silent.last(its), HungUp)
        answered_at_s = watchful.network.instants("200 INVITE", watchful.switch_peer)[0]
        talked_s = watchful.network.instants("BYE", watchful.switch_peer)[0] - answered_at_s
        assert (watchful.cdr.hung_up_by, watchful.cdr.q850) == (HungUpBy.SWITCH, 102)
        assert watchful.cdr.talk_ms == int(talked_s * 1000) > 49_000


@pytest.mark.parametrize("answer", ["481", "nothing", "200 too late"])
def test_who_does_not_prove_that_he_knew_the_call_pays_to_his_last_sign_of_life(answer: str) -> None:
    with a_house(manners=PROBING) as probing:
        _, incoming = probing.talking()
        weathers = {"481": (LATENCY_S,), "nothing": (), "200 too late": (8.5,)}
        if answer == "481":
            probing.phone.agent.legs.clear()
        phone = probing.phone.address
        probing.network.weather = lambda d: (
            (LATENCY_S,) if d.source != phone else () if str(d).endswith("OPTIONS") else weathers[answer]
        )
        probing.advance(51.5)
        assert isinstance(probing.carrier.last(incoming), HungUp)
        assert (probing.memory.cdrs == []) is (answer != "481")
        probing.advance(10.0)
        assert (probing.cdr.q850, probing.cdr.talk_ms < 100) == (27, True)


def in_doubt(probing: House) -> None:
    """A phone that talks for money, answers no probe, and has not answered its BYE yet."""
    probing.talking()
    probing.network.weather = lambda d: (LATENCY_S,) if d.source != probing.phone.address else ()
    probing.advance(51.5)
    assert probing.memory.cdrs == []


def test_a_crash_while_a_bye_is_to_tell_how_long_a_talk_was_bills_to_the_last_sign_of_life() -> None:
    with a_house(manners=PROBING) as probing:
        in_doubt(probing)
        probing.advance(6.0)  # past a heartbeat
        probing.network.weather = fair
        probing.restart()
        probing.advance()
        assert (probing.cdr.recovered, probing.cdr.talk_ms < 100) == (True, True)


def test_that_a_talk_is_over_is_written_though_the_disk_fails_at_first() -> None:
    with a_house(manners=PROBING) as probing:
        probing.talking()
        probing.network.weather = lambda d: (LATENCY_S,) if d.source != probing.phone.address else ()
        probing.advance(49.0)
        probing.memory.broken = True
        probing.advance(2.5)
        probing.memory.broken = False
        probing.advance(5.0)
        probing.network.weather = fair
        probing.restart()
        probing.advance()
        assert (probing.cdr.recovered, probing.cdr.talk_ms < 100) == (True, True)


def test_a_call_in_doubt_is_settled_at_once_when_somebody_cuts_it() -> None:
    with a_house(manners=PROBING) as probing:
        in_doubt(probing)
        at_once(probing.switch.desk.lock(TENANT, "gate", "ana", cut=True))
        probing.advance()
        assert (probing.cdr.q850, probing.cdr.talk_ms < 100) == (27, True)


def test_a_call_for_help_is_ended_by_nobodys_silence() -> None:
    with a_house(manners=Manners(session_s=600, session_least_s=90, probe_s=30), peers=TIMED) as timed:
        leg, incoming = timed.talking("112")
        timed.network.weather = lambda d: () if str(d) in {"200 OPTIONS", "200 UPDATE"} else (LATENCY_S,)
        timed.advance(7200.0)
        assert (leg.state, incoming.state) == (State.CONFIRMED, State.CONFIRMED)
        assert "OPTIONS" not in " ".join(timed.caller_side + timed.carrier_side)
        timed.network.weather = fair


def test_a_probe_is_answered_by_whoever_it_reaches_and_never_passed_on(house: House) -> None:
    with a_house(manners=PROBING) as probing:
        probing.talking()
        probing.advance(100.0)  # at 30, 60 and 90 s
        assert probing.caller_side.count("< OPTIONS") == probing.carrier_side.count("> OPTIONS") == 3
        assert probing.caller_side.count("> OPTIONS") == probing.carrier_side.count("< OPTIONS") == 0


@pytest.mark.scenario(42)
def test_a_call_with_all_of_it_leaves_nothing_for_the_garbage_collector() -> None:
    with a_house(manners=Manners(session_s=600, probe_s=30), peers=TIMED) as timed:
        gc.collect()
        gc.disable()
        try:
            leg, incoming = timed.calling()
            timed.carrier.ring(incoming, 183, ANSWER, reliably=True)
            timed.advance()
            timed.carrier.answer(incoming)
            timed.advance(700.0)
            timed.phone.hang_up(leg)
            timed.advance(2 * FORGETTING_S)
            assert timed.switch_peer.leftovers() == {}
            assert gc.collect() == 0
        finally:
            gc.enable()
