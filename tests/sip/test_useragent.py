"""Two user agents back to back on a network that loses, doubles, delays and forges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from sipshop.sip.course import State
from sipshop.sip.events import Acknowledged, Answered, Ask, Asked, HungUp, Lost, Replied
from sipshop.sip.flow import Address, Flow
from sipshop.sip.incoming import IncomingLeg
from sipshop.sip.message import Request, Response, parse
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.sip.useragent import Requested
from tests.sip.peers import (
    ANSWER,
    FORGETTING_S,
    HELD,
    HOLD,
    LATENCY_S,
    OFFER,
    Datagram,
    Network,
    Phone,
    delaying,
    fair,
    losing,
)


@dataclass
class Pair:
    """A caller, a callee, and the network between them."""

    network: Network
    caller: Phone
    callee: Phone

    def calling(self, **more: Any) -> tuple[OutgoingLeg, IncomingLeg]:
        leg = self.caller.call(self.callee.address, **more)
        self.network.advance()
        return leg, self.callee.incoming

    def talking(self) -> tuple[OutgoingLeg, IncomingLeg]:
        leg, incoming = self.calling()
        self.callee.answer(incoming)
        self.network.advance()
        assert leg.state is incoming.state
        return leg, incoming

    @property
    def ladder(self) -> list[str]:
        return self.network.between(self.caller, self.callee)


def over(transport: str) -> Iterator[Pair]:
    """A pair of which nothing is left when its test is over, whatever the test left undone."""
    network = Network()
    callee = Phone(network, ("192.0.2.2", 5060), user="callee")
    pair = Pair(network, Phone(network, ("192.0.2.1", 5060), user="caller", transport=transport), callee)
    yield pair
    network.weather = fair
    for phone in (pair.caller, pair.callee):
        for leg in phone.legs:
            if leg.state is State.OFFERED and isinstance(leg, IncomingLeg):
                phone.reject(leg, 480)
            elif isinstance(leg, OutgoingLeg):
                phone.give_up(leg)
            phone.hang_up(leg)
    network.advance(FORGETTING_S)
    for phone in (pair.caller, pair.callee):
        assert not any(phone.agent.tables().values()), phone.agent.tables()


@pytest.fixture(params=["UDP", "TCP"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    yield from over(request.param)


@pytest.fixture
def udp() -> Iterator[Pair]:
    yield from over("UDP")


def test_a_plain_call(pair: Pair) -> None:
    leg, incoming = pair.calling()
    pair.callee.ring(incoming)
    pair.network.advance()
    pair.callee.answer(incoming)
    pair.network.advance()
    assert (leg.state, incoming.state) == (State.CONFIRMED, State.CONFIRMED)
    assert pair.caller.last(leg) == Answered(ANSWER, late_offer=False)
    pair.caller.hang_up(leg)
    pair.network.advance()
    assert pair.ladder == [
        *("> INVITE", "< 100 INVITE", "< 180 INVITE", "< 200 INVITE", "> ACK"),
        *("> BYE", "< 200 BYE"),
    ]
    assert pair.callee.story(incoming) == "Acknowledged HungUp"
    assert pair.caller.story(leg) == "Progressed Progressed Answered"


def test_a_refused_call(pair: Pair) -> None:
    leg, incoming = pair.calling()
    pair.callee.reject(incoming, 486)
    pair.network.advance()
    assert pair.ladder == ["> INVITE", "< 100 INVITE", "< 486 INVITE", "> ACK"]
    assert pair.caller.story(leg) == "Progressed Failed"


# Retransmissions.


@pytest.mark.rfc("5407", "3.1.1")
def test_a_repeated_invite_is_absorbed(udp: Pair) -> None:
    udp.network.weather = losing("100 INVITE", times=3)
    udp.caller.call(udp.callee.address)
    udp.network.advance(3.0)
    assert udp.ladder.count("> INVITE") == 3
    assert len(udp.callee.legs) == 1


def test_every_message_twice_makes_one_call(udp: Pair) -> None:
    udp.network.weather = lambda _datagram: (LATENCY_S, LATENCY_S + 0.1)
    leg, incoming = udp.talking()
    udp.caller.hang_up(leg)
    udp.network.advance()
    assert len(udp.callee.legs) == 1
    assert udp.callee.story(incoming) == "Acknowledged HungUp"


@pytest.mark.scenario(7)
def test_a_repeated_200_is_acknowledged_each_time(udp: Pair) -> None:
    udp.network.weather = losing("ACK", times=3)
    leg, incoming = udp.calling()
    udp.callee.answer(incoming)
    udp.network.advance(10.0)
    assert udp.ladder[2:] == ["< 200 INVITE", "> ACK"] * 4
    assert udp.callee.story(incoming) == "Acknowledged"
    assert udp.caller.story(leg) == "Progressed Answered"


@pytest.mark.scenario(7)
def test_without_an_ack_the_callee_gives_up_after_64_t1_and_says_bye(udp: Pair) -> None:
    udp.network.weather = losing("ACK")
    leg, incoming = udp.calling()
    udp.callee.answer(incoming)
    udp.network.advance(33.0)
    assert udp.network.instants("BYE", udp.callee) == [udp.network.instants("200 INVITE", udp.callee)[0] + 32.0]
    assert udp.callee.last(incoming) == Lost("no ACK")
    assert udp.caller.last(leg) == HungUp(None)


@pytest.mark.scenario(8)
def test_a_bye_does_not_overtake_the_ack(pair: Pair) -> None:
    # RFC 3261 section 15; RFC 5407 section 3.2.3
    leg, incoming = pair.calling()
    pair.callee.answer(incoming)
    pair.callee.hang_up(incoming)
    pair.network.advance()
    assert pair.ladder[2:] == ["< 200 INVITE", "> ACK", "< BYE", "> 200 BYE"]
    assert pair.caller.story(leg) == "Progressed Answered HungUp"


def test_a_lost_bye_is_repeated(udp: Pair) -> None:
    leg, incoming = udp.talking()
    udp.network.weather = losing("BYE", "200 BYE", times=2)
    udp.caller.hang_up(leg)
    udp.network.advance(20.0)
    assert udp.ladder.count("> BYE") == 5
    assert udp.callee.story(incoming) == "Acknowledged HungUp"


@pytest.mark.scenario(22)
def test_a_peer_that_is_gone_is_forgotten(udp: Pair) -> None:
    leg, _ = udp.talking()
    udp.network.weather = losing("BYE")
    udp.caller.hang_up(leg)
    states = [leg.state]
    for seconds in (31.9, 0.1):
        udp.network.advance(seconds)
        states.append(leg.state)
    assert states == [State.CLOSING, State.CLOSING, State.CLOSED]


# CANCEL.


def test_a_cancelled_call(pair: Pair) -> None:
    leg, incoming = pair.calling()
    pair.callee.ring(incoming)
    pair.network.advance()
    pair.caller.give_up(leg)
    pair.network.advance()
    assert pair.callee.story(incoming) == "Cancelled"
    assert pair.ladder[3:] == ["> CANCEL", "< 200 CANCEL", "< 487 INVITE", "> ACK"]
    assert pair.caller.story(leg) == "Progressed Progressed"  # who gave up is told no more


@pytest.mark.rfc("5407", "C")
@pytest.mark.scenario(1)
def test_an_answer_that_crosses_the_cancel_is_acknowledged_and_ended(pair: Pair) -> None:
    leg, incoming = pair.calling()
    pair.caller.give_up(leg)
    pair.callee.answer(incoming)
    pair.network.advance()
    assert sorted(pair.ladder[2:]) == sorted(
        ["> CANCEL", "< 200 INVITE", "> ACK", "> BYE", "< 200 CANCEL", "< 200 BYE"]
    )
    assert pair.caller.story(leg) == "Progressed"
    assert pair.callee.story(incoming) == "Acknowledged HungUp"


@pytest.mark.scenario(2)
def test_a_cancel_is_held_until_the_callee_is_there(udp: Pair) -> None:
    udp.network.weather = delaying(2.0, "100 INVITE")
    leg = udp.caller.call(udp.callee.address)
    udp.caller.give_up(leg)
    udp.network.advance(1.0)
    assert "> CANCEL" not in udp.ladder
    udp.network.advance(2.0)
    assert "> CANCEL" in udp.ladder
    assert udp.callee.story(udp.callee.incoming) == "Cancelled"


@pytest.mark.scenario(3)
def test_a_487_is_acknowledged_though_nobody_waits_for_it(udp: Pair) -> None:
    udp.network.weather = delaying(8.0, "487 INVITE")
    leg, _ = udp.calling()
    udp.caller.give_up(leg)
    udp.network.advance(20.0)
    assert "> ACK" in udp.ladder
    assert leg.state is State.CLOSED


@pytest.mark.scenario(4)
def test_never_a_final_response_after_a_cancel(udp: Pair) -> None:
    udp.callee.polite = False
    leg, _ = udp.calling()
    udp.caller.give_up(leg)
    states = [leg.state]
    for seconds in (31.0, 2.0):
        udp.network.advance(seconds)
        states.append(leg.state)
    assert states == [State.CANCELLING, State.CANCELLING, State.CLOSED]
    udp.callee.answer(udp.callee.incoming)  # much too late: it is not ours to answer, and dies without an ACK
    udp.network.advance(100.0)
    assert udp.callee.last(udp.callee.incoming) == Lost("no ACK")


def test_a_cancel_for_nothing_is_answered_481(udp: Pair) -> None:
    udp.caller.call(udp.callee.address)
    udp.network.advance()
    sent = udp.network.log[0].message
    assert isinstance(sent, Request)
    cancel = Request("CANCEL", sent.target, [*sent.headers])
    cancel.set("cseq", "1 CANCEL")
    cancel.set("via", f"SIP/2.0/UDP {udp.caller.address[0]}:5060;branch=z9hG4bKother")
    assert_refused(udp, cancel, 481, "no_transaction")


@pytest.mark.scenario(6)
def test_a_cancel_from_another_port_matches_by_its_branch(udp: Pair) -> None:
    udp.caller.call(udp.callee.address)
    udp.network.advance()
    sent = udp.network.log[0].message
    assert isinstance(sent, Request)
    cancel = Request("CANCEL", sent.target, [*sent.headers])
    cancel.set("cseq", "1 CANCEL")
    udp.network.carry(cancel.encode(), "UDP", ("192.0.2.1", 40_000), udp.callee.address)
    udp.network.advance()
    assert udp.callee.story(udp.callee.incoming) == "Cancelled"


# Forgery and strays.


def assert_refused(pair: Pair, request: Request, status: int, cause: str) -> None:
    recorder = pair.caller.send(request, pair.callee.address)
    pair.network.advance()
    assert recorder.statuses == [status]
    assert pair.callee.refused == [(status, cause)]


def outside(pair: Pair, method: str, **more: str) -> Request:
    """A request of the caller's that belongs to no leg of it."""
    headers = {
        "via": pair.caller.agent.via(pair.caller.flow_to(pair.callee.address, pair.caller.transport)),
        "max-forwards": "70",
        "from": "<sip:mallory@192.0.2.1>;tag=m",
        "to": "<sip:callee@192.0.2.2>",
        "call-id": "forged",
        "cseq": f"9 {method}",
        "contact": "<sip:mallory@192.0.2.1>",
        **more,
    }
    return Request(method, "sip:callee@192.0.2.2", list(headers.items()))


@pytest.mark.parametrize("method", ["BYE", "INVITE", "INFO", "OPTIONS"])
@pytest.mark.parametrize("wrong", ["call-id", "to", "from"])
def test_a_request_with_a_wrong_call_id_or_tag_is_refused_and_nothing_happens(
    pair: Pair, method: str, wrong: str
) -> None:
    leg, incoming = pair.talking()
    assert incoming.dialog is not None
    right = {
        "call-id": leg.call_id,
        "to": f"<sip:callee@192.0.2.2>;tag={incoming.local_tag}",
        "from": f"<sip:caller@192.0.2.1>;tag={leg.local_tag}",
    }
    forged = {**right, wrong: {"call-id": "guessed", "to": "<sip:x@y>;tag=guess", "from": "<sip:x@y>;tag=guess"}[wrong]}
    assert_refused(pair, outside(pair, method, **forged), 481, "no_dialog")
    assert (leg.state, incoming.state) == (State.CONFIRMED, State.CONFIRMED)


@pytest.mark.parametrize("method", ["BYE", "INFO"])
def test_what_only_exists_inside_a_dialog_is_refused_outside(pair: Pair, method: str) -> None:
    assert_refused(pair, outside(pair, method), 481, "no_dialog")


@pytest.mark.scenario(35)
def test_a_to_tag_is_no_proof_of_a_dialog(pair: Pair) -> None:
    forged = outside(pair, "INVITE", to="<sip:00900123456@192.0.2.2>;tag=guess")
    assert_refused(pair, forged, 481, "no_dialog")
    assert pair.callee.legs == []


def test_a_request_that_came_by_two_paths_is_refused_the_second_time(udp: Pair) -> None:
    # RFC 3261 section 8.2.2.2
    udp.caller.call(udp.callee.address)
    udp.network.advance()
    sent = udp.network.log[0].message
    assert isinstance(sent, Request)
    again = Request("INVITE", sent.target, [*sent.headers])
    again.set("via", f"SIP/2.0/UDP {udp.caller.address[0]}:5060;branch=z9hG4bKother")
    assert_refused(udp, again, 482, "merged")
    assert len(udp.callee.legs) == 1


@pytest.mark.scenario(9)
@pytest.mark.parametrize("tag", ["", ";tag=guess"])
def test_a_stray_ack_is_dropped_and_never_answered(pair: Pair, tag: str) -> None:
    ack = outside(pair, "ACK", to=f"<sip:callee@192.0.2.2>{tag}")
    pair.network.carry(ack.encode(), "UDP", pair.caller.address, pair.callee.address)
    pair.network.advance()
    assert pair.callee.dropped == ["stray_ack"]
    assert pair.ladder == ["> ACK"]


def test_a_stray_response_is_dropped(pair: Pair) -> None:
    response = outside(pair, "INVITE").reply(200, to_tag="x")
    pair.network.carry(response.encode(), "UDP", pair.caller.address, pair.callee.address)
    pair.network.advance()
    assert pair.callee.dropped == ["stray_response"]
    assert pair.ladder == ["> 200 INVITE"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", "malformed", id="no SIP"),
        pytest.param(b"\x00\x01\x02", "malformed", id="no text"),
        pytest.param(b"BYE sip:x@y SIP/2.0\r\nCall-ID: x\r\n\r\n", "malformed", id="no Via to answer by"),
        pytest.param(
            b"ACK sip:x@y SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\n\r\n", "stray_ack", id="half an ACK"
        ),
        pytest.param(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\n\r\n", "malformed", id="half a 200"),
    ],
)
def test_bytes_that_cannot_be_answered_are_dropped(udp: Pair, data: bytes, reason: str) -> None:
    udp.callee.agent.hear(data, Flow("UDP", udp.callee.address, udp.caller.address), udp.network.now)
    udp.callee.work(udp.network.now)
    assert (udp.callee.dropped, udp.ladder) == ([reason], [])


@pytest.mark.parametrize(
    ("method", "more", "status", "cause"),
    [
        pytest.param("INVITE", {"cseq": "9 BYE"}, 400, "malformed", id="CSeq of another method"),
        pytest.param("INVITE", {"require": "timer"}, 420, "not_supported", id="Require"),
        pytest.param("SUBSCRIBE", {}, 405, "not_supported", id="a method that we know and do not take"),
        pytest.param("FROB", {}, 501, "not_supported", id="a method that nobody knows"),
        pytest.param("INVITE", {"max-forwards": "0"}, 483, "not_supported", id="too many hops"),
    ],
)
def test_what_cannot_be_taken_is_refused_without_state(
    udp: Pair, method: str, more: dict[str, str], status: int, cause: str
) -> None:
    data = outside(udp, method, **more).encode()
    udp.callee.agent.hear(data, Flow("UDP", udp.callee.address, udp.caller.address), udp.network.now)
    assert not any(udp.callee.agent.tables().values())
    udp.callee.work(udp.network.now)
    assert udp.callee.refused == [(status, cause)]
    answer = udp.network.log[-1].message
    assert isinstance(answer, Response)
    assert answer.status == status


def test_options_outside_a_dialog_are_handed_up(pair: Pair) -> None:
    recorder = pair.caller.send(outside(pair, "OPTIONS"), pair.callee.address)
    pair.network.advance()
    assert recorder.statuses == [200]


# Where messages come from and go to.


def via_of(datagram: Datagram) -> str:
    return datagram.message.get("via") or ""


@pytest.mark.parametrize(
    ("via", "destination", "marked"),
    [
        pytest.param(
            "SIP/2.0/UDP 10.0.0.5:5062;branch=z9hG4bKx;rport",
            ("192.0.2.1", 5060),
            "SIP/2.0/UDP 10.0.0.5:5062;branch=z9hG4bKx;rport=5060;received=192.0.2.1",
            id="rport: back to the source, RFC 3581",
        ),
        pytest.param(
            "SIP/2.0/UDP 10.0.0.5:5062;branch=z9hG4bKx",
            ("192.0.2.1", 5062),
            "SIP/2.0/UDP 10.0.0.5:5062;branch=z9hG4bKx;received=192.0.2.1",
            id="without: to the source's address and the Via's port",
        ),
        pytest.param(
            "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx",
            ("192.0.2.1", 5060),
            "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx",
            id="nothing to say",
        ),
        pytest.param(
            "SIP/2.0/UDP 10.0.0.5;rport;branch=z9hG4bKx, SIP/2.0/UDP 10.0.0.6;branch=z9hG4bKy",
            ("192.0.2.1", 5060),
            "SIP/2.0/UDP 10.0.0.5;rport=5060;branch=z9hG4bKx;received=192.0.2.1, SIP/2.0/UDP 10.0.0.6;branch=z9hG4bKy",
            id="two Vias in one line",
        ),
        pytest.param(
            "SIP/2.0/TCP 10.0.0.5:5062;branch=z9hG4bKx",
            ("192.0.2.1", 5060),
            "SIP/2.0/TCP 10.0.0.5:5062;branch=z9hG4bKx;received=192.0.2.1",
            id="TCP: by the connection",
        ),
    ],
)
def test_where_a_response_goes(udp: Pair, via: str, destination: tuple[str, int], marked: str) -> None:
    transport = "TCP" if "/TCP" in via else "UDP"
    udp.network.carry(outside(udp, "OPTIONS", via=via).encode(), transport, udp.caller.address, udp.callee.address)
    udp.network.advance()
    answer = udp.network.log[-1]
    assert (str(answer), answer.destination, via_of(answer)) == ("200 OPTIONS", destination, marked)


def test_a_phone_behind_nat_is_called_back_where_it_called_from() -> None:
    network = Network()
    phone = Phone(network, ("203.0.113.7", 40_000), advertise=("10.0.0.5", 5060))
    switch = Phone(network, ("192.0.2.2", 5060))
    pair = Pair(network, phone, switch)
    leg, incoming = pair.talking()
    switch.hang_up(incoming)
    network.advance()
    bye = next(datagram for datagram in network.log if str(datagram) == "BYE")
    assert bye.destination == ("203.0.113.7", 40_000)
    assert isinstance(bye.message, Request)
    assert bye.message.target == "sip:10.0.0.5:5060"
    assert phone.last(leg) == HungUp(None)


def test_a_dialog_follows_a_phone_whose_nat_gave_it_a_new_port(udp: Pair) -> None:
    leg, incoming = udp.talking()
    moved = ("192.0.2.1", 41_000)
    assert leg.dialog is not None
    via = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKmoved;rport"
    reinvite = leg.dialog.request("INVITE", via=via, headers=[("contact", "<sip:caller@192.0.2.1>")])
    udp.network.carry(reinvite.encode(), "UDP", moved, udp.callee.address)
    udp.network.advance()
    udp.callee.hang_up(incoming)
    udp.network.advance()
    assert next(datagram.destination for datagram in udp.network.log if str(datagram) == "BYE") == moved


# Requests inside.


def test_hold_and_back(pair: Pair) -> None:
    leg, incoming = pair.talking()
    for offer, expected in ((HOLD, HELD), (OFFER, ANSWER)):
        recorder = pair.caller.send_inside(leg, "INVITE", offer)
        pair.network.advance(0.1)
        pair.caller.acknowledge_inside(leg, recorder)
        pair.network.advance()
        assert (recorder.statuses, recorder.last.body) == ([100, 200], expected.data)
        assert pair.callee.last(incoming) == Acknowledged(None, the_ask(pair.callee, incoming))
    pair.network.advance(40.0)
    assert (leg.state, incoming.state) == (State.CONFIRMED, State.CONFIRMED)


def the_ask(phone: Phone, leg: IncomingLeg) -> Ask:
    return next(event.ask for event in reversed(phone.heard[leg].events) if isinstance(event, Asked))


@pytest.mark.scenario(14)
def test_a_second_reinvite_while_the_first_waits_is_refused_with_a_time_to_try_again(udp: Pair) -> None:
    udp.callee.polite = False
    leg, _ = udp.talking()
    first = udp.caller.send_inside(leg, "INVITE", HOLD)
    second = udp.caller.send_inside(leg, "INVITE", OFFER)
    udp.network.advance()
    assert (first.statuses, second.statuses) == ([100], [500])
    assert second.last.get("retry-after") == "1"


@pytest.mark.scenario(14)
def test_an_info_before_a_reinvite_makes_no_false_491(udp: Pair) -> None:
    udp.callee.polite = False
    leg, _ = udp.talking()
    udp.caller.send_inside(leg, "INFO")
    reinvite = udp.caller.send_inside(leg, "INVITE", HOLD)
    udp.network.advance()
    assert reinvite.statuses == [100]


def test_an_older_request_that_was_overtaken_is_refused(udp: Pair) -> None:
    leg, _ = udp.talking()
    udp.network.weather = delaying(0.1, "INFO", times=1)
    overtaken, overtaking = udp.caller.send_inside(leg, "INFO"), udp.caller.send_inside(leg, "OPTIONS")
    udp.network.advance()
    assert (overtaken.statuses, overtaking.statuses) == ([500], [200])


@pytest.mark.scenario(16)
def test_a_late_offer_is_answered_in_the_ack(pair: Pair) -> None:
    leg, incoming = pair.calling(content=None)
    assert incoming.offer is None
    pair.callee.answer(incoming, OFFER)
    pair.network.advance()
    assert pair.caller.last(leg) == Answered(OFFER, late_offer=True)
    assert pair.callee.last(incoming) == Acknowledged(ANSWER, None)


@pytest.mark.rfc("5407", "3.3.1")
@pytest.mark.scenario(13)
def test_reinvites_that_cross_are_both_refused_for_now(pair: Pair) -> None:
    # RFC 3261 section 14.1 and 14.2
    leg, incoming = pair.talking()
    mine, theirs = pair.caller.reinvite(leg), pair.callee.reinvite(incoming)
    pair.network.advance()
    assert pair.caller.last(leg) == Replied(mine, 491, None, late_offer=False)
    assert pair.callee.last(incoming) == Replied(theirs, 491, None, late_offer=False)
    again = pair.caller.reinvite(leg)
    pair.network.advance()
    assert pair.caller.last(leg) == Replied(again, 200, HELD, late_offer=False)


@pytest.mark.rfc("5407", "3.2.1")
@pytest.mark.scenario(21)
def test_both_hang_up_at_once(pair: Pair) -> None:
    leg, incoming = pair.talking()
    pair.caller.hang_up(leg)
    pair.callee.hang_up(incoming)
    pair.network.advance()
    assert sorted(pair.ladder[4:]) == ["< 200 BYE", "< BYE", "> 200 BYE", "> BYE"]
    assert (leg.state, incoming.state) == (State.CLOSED, State.CLOSED)


@pytest.mark.scenario(21)
def test_a_second_bye_finds_no_dialog(udp: Pair) -> None:
    leg, incoming = udp.talking()
    udp.callee.hang_up(incoming)
    udp.network.advance()
    late = udp.caller.send_inside(leg, "BYE")
    udp.network.advance()
    assert late.statuses == [481]


@pytest.mark.rfc("5407", "A")
def test_a_caller_may_end_a_call_by_bye_before_it_is_answered(udp: Pair) -> None:
    # RFC 3261 section 15: an early dialog; the tag came with the 180
    leg, incoming = udp.calling()
    udp.callee.ring(incoming)
    udp.network.advance()
    early = outside(
        udp,
        "BYE",
        **{
            "call-id": leg.call_id,
            "from": f"<sip:caller@192.0.2.1>;tag={leg.local_tag}",
            "to": f"<sip:x@192.0.2.2>;tag={incoming.local_tag}",
        },
    )
    recorder = udp.caller.send(early, udp.callee.address)
    udp.network.advance()
    assert (recorder.statuses, udp.callee.story(incoming)) == ([200], "Cancelled")


# Forks.


def fork(pair: Pair, *, late_s: float) -> None:
    """A proxy on the way sends the INVITE to a second phone too, whose answer comes later."""
    second = Phone(pair.network, ("192.0.2.3", 5060))
    invite = pair.network.log[0]
    pair.network.carry(invite.data, "UDP", pair.caller.address, second.address)
    pair.network.advance(late_s)
    second.answer(second.incoming)
    pair.network.advance()
    assert second.story(second.incoming) == "Acknowledged HungUp"


@pytest.mark.rfc("5407", "E")
@pytest.mark.scenario(12)
def test_the_second_answer_of_a_fork_is_acknowledged_and_ended(udp: Pair) -> None:
    leg, incoming = udp.calling()
    udp.callee.answer(incoming)
    fork(udp, late_s=5.0)
    assert (leg.state, incoming.state) == (State.CONFIRMED, State.CONFIRMED)
    assert udp.caller.story(leg) == "Progressed Answered"


@pytest.mark.scenario(12)
def test_the_second_answer_of_a_fork_is_ended_even_when_the_call_is_over(udp: Pair) -> None:
    leg, incoming = udp.calling()
    udp.callee.answer(incoming)
    udp.network.advance()
    udp.caller.hang_up(leg)
    fork(udp, late_s=5.0)


# After a restart.


@pytest.mark.parametrize("known", [True, False])
def test_an_answer_to_an_earlier_life_is_ended_if_the_call_was_ours(known: bool) -> None:
    network = Network()
    caller, callee = Phone(network, ("192.0.2.1", 5060)), Phone(network, ("192.0.2.2", 5060))
    caller.call(callee.address, call_id="c")
    network.advance()
    network.leave(caller)
    reborn = Phone(network, caller.address, ours=lambda call_id, _tag: known and call_id == "c")
    callee.answer(callee.incoming)
    network.advance()
    assert network.between(reborn, callee)[2:5] == [
        "< 200 INVITE",
        *(["> ACK", "> BYE"] if known else ["< 200 INVITE"]),
    ]
    network.advance(FORGETTING_S)
    assert callee.story(callee.incoming) == ("Acknowledged HungUp" if known else "Lost")
    for phone in (reborn, callee):
        assert not any(phone.agent.tables().values())


def test_a_connection_that_breaks_before_any_answer_ends_the_attempt() -> None:
    network = Network()
    caller = Phone(network, ("192.0.2.1", 5060), transport="TCP")
    callee = Phone(network, ("192.0.2.2", 5060))
    leg = caller.call(callee.address)
    network.cut(caller, callee)
    assert caller.story(leg) == "Failed"


def test_a_connection_that_breaks_inside_a_call_does_not_end_it(pair: Pair) -> None:
    leg, incoming = pair.talking()
    pair.network.cut(pair.caller, pair.callee)
    assert (leg.state, incoming.state) == (State.CONFIRMED, State.CONFIRMED)
    pair.callee.hang_up(incoming)
    pair.network.advance()
    assert pair.caller.last(leg) == HungUp(None)


def test_what_is_advertised_is_what_peers_are_told() -> None:
    network = Network()
    phone = Phone(network, ("192.0.2.1", 5060), advertise=("2001:db8::1", 5090))
    flow = phone.flow_to(("192.0.2.2", 5060))
    assert phone.agent.contact(flow) == "<sip:[2001:db8::1]:5090>"
    assert phone.agent.contact(Flow("TCP", flow.local, flow.remote)) == "<sip:[2001:db8::1]:5090;transport=tcp>"
    via = parse(b"OPTIONS sip:x SIP/2.0\r\nVia: " + phone.agent.via(flow).encode() + b"\r\n\r\n").via
    assert (via.sent_by, "rport" in via.params) == ("[2001:db8::1]:5090", True)


def test_each_peer_is_told_the_address_that_is_meant_for_him() -> None:
    network = Network()
    phone = Phone(network, ("192.0.2.1", 5060))
    v4, v6, tls = ("192.0.2.1", 5060), ("2001:db8::1", 5060), ("192.0.2.1", 5061)
    addresses = phone.agent.addresses
    for transport, local, told in (
        ("UDP", v4, v4),
        ("UDP", v6, v6),
        ("TCP", v4, ("203.0.113.7", 5070)),
        ("TLS", tls, tls),
    ):
        addresses.add(transport, local, told)

    def contact(transport: str, local: Address, *, secure: bool = False) -> str:
        return phone.agent.contact(Flow(transport, local, ("192.0.2.9", 5060)), secure=secure)

    assert contact("UDP", v4) == "<sip:192.0.2.1:5060>"
    assert contact("UDP", v6) == "<sip:[2001:db8::1]:5060>"
    assert contact("TCP", v4) == "<sip:203.0.113.7:5070;transport=tcp>"
    assert contact("TLS", tls) == "<sip:192.0.2.1:5061;transport=tls>"
    assert contact("TLS", tls, secure=True) == "<sips:192.0.2.1:5061>"
    assert contact("TLS", ("192.0.2.77", 5061)) == "<sip:192.0.2.1:5061;transport=tls>", "ours no more: the next best"
    assert contact("TCP", v6) == "<sip:[2001:db8::1]:5060;transport=tcp>"
    assert addresses.families == (4, 6)
    assert addresses.local_for("TLS", "192.0.2.9", "192.0.2.1") == tls
    assert addresses.local_for("TLS", "2001:db8::9") == v6, "there is no TLS: at least the family is right"


def test_a_request_in_a_dialog_leaves_from_an_address_that_reaches_the_peer() -> None:
    network = Network()
    caller, callee = Phone(network, ("192.0.2.1", 5060)), Phone(network, ("192.0.2.2", 5060))
    caller.agent.addresses.add("UDP", caller.address, caller.address)
    caller.agent.addresses.add("UDP", ("2001:db8::1", 5060), ("2001:db8::1", 5060))
    leg = caller.call(callee.address)
    network.advance()
    [incoming] = callee.legs
    assert isinstance(incoming, IncomingLeg)
    callee.answer(incoming)
    network.advance()
    assert leg.dialog is not None
    leg.dialog.target = "sip:[2001:db8::2]:5060"
    assert caller.agent.way(leg.dialog) == Flow("UDP", ("2001:db8::1", 5060), ("2001:db8::2", 5060))
    leg.dialog.target = "sip:192.0.2.2:5060"
    assert caller.agent.way(leg.dialog) is leg.dialog.flow


@pytest.mark.parametrize(
    ("host", "via", "marked"),
    [
        ("2001:db8::9", "[2001:db8::9]:5062;branch=z9hG4bKx", ""),
        ("2001:db8::9", "[2001:db8::9]:5062;branch=z9hG4bKx;rport", "=5060;received=2001:db8::9"),
        ("2001:db8::9", "phone.lan:5062;branch=z9hG4bKx", ";received=2001:db8::9"),
        ("fe80::9%eth0", "phone.lan:5062;branch=z9hG4bKx", ";received=fe80::9"),
        ("fe80::9%eth0", "[fe80::9];branch=z9hG4bKx", ""),
    ],
)
def test_a_source_of_ipv6_is_marked_without_brackets_and_without_zone(host: str, via: str, marked: str) -> None:
    phone = Phone(Network(), ("192.0.2.1", 5060))
    asked = (
        f"OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP {via}\r\nMax-Forwards: 70\r\nFrom: <sip:a@h>;tag=a\r\n"
        "To: <sip:h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n"
    )
    phone.agent.hear(asked.encode(), Flow("UDP", ("::", 5060), (host, 5060)), 0.0)
    [requested] = phone.agent.out
    assert isinstance(requested, Requested)
    assert requested.transaction.request.get("via") == f"SIP/2.0/UDP {via}{marked}"
    assert requested.transaction.flow.remote[0] == host, "the answer needs the zone"


@pytest.mark.scenario(11)
def test_a_180_that_is_overtaken_by_its_200_changes_nothing(udp: Pair) -> None:
    leg, incoming = udp.calling()
    udp.network.weather = delaying(0.2, "180 INVITE")
    udp.callee.ring(incoming)
    udp.callee.answer(incoming)
    udp.network.advance()
    assert udp.caller.story(leg) == "Progressed Answered"
