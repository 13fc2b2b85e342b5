"""The races of RFC 5407: two agents on a network where one message overtakes another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sipshop.sip.course import State
from sipshop.sip.events import Acknowledged, Replied
from sipshop.sip.message import Request
from tests.sip.peers import ANSWER, HOLD, LATENCY_S, OFFER, delaying, losing
from tests.sip.test_useragent import Pair, over


@pytest.fixture(params=["UDP", "TCP"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    yield from over(request.param)


@pytest.fixture
def lossy() -> Iterator[Pair]:
    """A pair over UDP, where messages can overtake each other."""
    yield from over("UDP")


def inside_early(pair: Pair, method: str) -> Request:
    """A request in the early dialog that the callee's 180 made, as its caller would send it."""
    invite, ringing = (next(d.message for d in pair.network.log if str(d) == name) for name in ("INVITE", "180 INVITE"))
    fields = [
        ("via", pair.caller.agent.via(pair.caller.flow_to(pair.callee.address))),
        ("max-forwards", "70"),
        ("from", invite.get("from") or ""),
        ("to", ringing.get("to") or ""),
        ("call-id", invite.call_id),
        ("cseq", f"2 {method}"),
    ]
    return Request(method, f"sip:callee@{pair.callee.address[0]}", fields)


@pytest.mark.rfc("5407", "3.1.1")
def test_an_invite_that_comes_again_after_the_200_makes_no_second_call(lossy: Pair) -> None:
    lossy.network.weather = losing("100 INVITE", "200 INVITE", times=1)
    lossy.callee.on_invite = lossy.callee.answer
    leg = lossy.caller.call(lossy.callee.address)
    lossy.network.advance(5.0)
    assert len(lossy.network.instants("INVITE", lossy.caller)) == 2
    assert len(lossy.callee.legs) == 1
    assert (leg.state, lossy.callee.incoming.state) == (State.CONFIRMED, State.CONFIRMED)


@pytest.mark.rfc("5407", "3.1.2")
@pytest.mark.scenario(1)
def test_a_cancel_that_comes_after_the_200_changes_nothing_and_the_caller_says_bye(lossy: Pair) -> None:
    leg, incoming = lossy.calling()
    lossy.callee.ring(incoming)
    lossy.network.advance()
    lossy.network.weather = delaying(0.25, "200 INVITE", times=1)
    lossy.callee.answer(incoming)
    lossy.caller.give_up(leg)
    lossy.network.advance(5.0)
    assert "< 200 CANCEL" in lossy.ladder
    assert "< 487 INVITE" not in lossy.ladder
    assert lossy.ladder.index("> ACK") < lossy.ladder.index("> BYE")
    assert lossy.callee.story(incoming) == "Acknowledged HungUp"


@pytest.mark.rfc("5407", "3.1.3")
def test_a_bye_of_the_early_dialog_that_comes_after_the_200_ends_the_call(lossy: Pair) -> None:
    leg, incoming = lossy.calling()
    lossy.callee.ring(incoming)
    lossy.network.advance()
    lossy.network.weather = delaying(0.25, "200 INVITE", times=1)
    lossy.callee.answer(incoming)
    answer = lossy.caller.send(inside_early(lossy, "BYE"), lossy.callee.address)
    lossy.network.advance(5.0)
    assert answer.statuses == [200]
    assert lossy.callee.story(incoming) == "HungUp"
    assert "> ACK" in lossy.ladder, "the 200 is acknowledged all the same"
    assert len(lossy.network.instants("200 INVITE", lossy.callee)) == 1, "nobody repeats an answer to who hung up"
    lossy.caller.hang_up(leg)


@pytest.mark.rfc("5407", "3.1.4")
def test_a_reinvite_that_overtakes_the_ack_is_asked_to_come_again(lossy: Pair) -> None:
    leg, incoming = lossy.calling()
    lossy.network.weather = delaying(0.25, "ACK", times=1)
    lossy.callee.answer(incoming)
    lossy.network.advance(2 * LATENCY_S)
    ask = lossy.caller.reinvite(leg)
    lossy.network.advance(5.0)
    replied = lossy.caller.last(leg)
    assert isinstance(replied, Replied)
    assert (replied.ask, replied.status) == (ask, 500)  # with Retry-After: RFC 6337 section 4.3
    assert (leg.state, incoming.state) == (State.CONFIRMED, State.CONFIRMED)


@pytest.mark.rfc("5407", "3.1.5")
def test_a_reinvite_that_overtakes_the_answer_to_a_late_offer_is_refused_for_now(lossy: Pair) -> None:
    leg, incoming = lossy.calling(content=None)
    lossy.network.weather = delaying(0.25, "ACK", times=1)
    lossy.callee.answer(incoming, OFFER)
    lossy.network.advance(2 * LATENCY_S)
    recorder = lossy.caller.send_inside(leg, "INVITE", HOLD)
    lossy.network.advance(5.0)
    assert recorder.statuses == [500]
    assert 0 <= int(recorder.last.get("retry-after") or "") <= 10
    assert lossy.callee.heard[incoming].events[0] == Acknowledged(ANSWER, None)
    assert (leg.state, incoming.state) == (State.CONFIRMED, State.CONFIRMED)


@pytest.mark.rfc("5407", "3.1.6")
@pytest.mark.rfc("5407", "3.2.4")
def test_a_bye_that_overtakes_the_ack_ends_the_call_and_the_ack_is_dropped(lossy: Pair) -> None:
    leg, incoming = lossy.calling()
    lossy.network.weather = delaying(0.25, "ACK", times=1)
    lossy.callee.answer(incoming)
    lossy.network.advance(2 * LATENCY_S)
    lossy.caller.hang_up(leg)
    lossy.network.advance(5.0)
    assert lossy.ladder[-2:] == ["> BYE", "< 200 BYE"]
    assert lossy.callee.story(incoming) == "HungUp"
    assert lossy.callee.dropped == ["stray_ack"]
    assert len(lossy.network.instants("200 INVITE", lossy.callee)) == 1


@pytest.mark.rfc("5407", "3.2.2")
def test_a_reinvite_that_crosses_a_bye_is_refused(pair: Pair) -> None:
    leg, incoming = pair.talking()
    pair.caller.reinvite(leg)
    pair.callee.hang_up(incoming)
    pair.network.advance(5.0)
    assert [line for line in pair.ladder if line.endswith("INVITE") and line.startswith("< 4")] == ["< 481 INVITE"]
    assert "> 200 BYE" in pair.ladder
    assert "HungUp" in pair.caller.story(leg)


@pytest.mark.rfc("5407", "3.2.3")
@pytest.mark.scenario(10)
def test_the_200_of_a_reinvite_that_crosses_a_bye_is_acknowledged(pair: Pair) -> None:
    leg, incoming = pair.talking()
    pair.caller.reinvite(leg)
    pair.network.advance(LATENCY_S)  # the callee answers it at once
    pair.caller.hang_up(leg)
    pair.network.advance(5.0)
    assert pair.ladder.count("> ACK") == 2
    assert "< 200 BYE" in pair.ladder
    assert pair.callee.story(incoming).endswith("HungUp")


@pytest.mark.rfc("5407", "B")
def test_a_bye_while_our_reinvite_waits_ends_both(pair: Pair) -> None:
    leg, incoming = pair.talking()
    pair.callee.polite = False
    pair.caller.reinvite(leg)
    pair.network.advance()
    pair.caller.hang_up(leg)
    pair.network.advance(5.0)
    assert "< 200 BYE" in pair.ladder
    assert "< 487 INVITE" in pair.ladder
    assert pair.callee.story(incoming).endswith("HungUp")


@pytest.mark.rfc("5407", "D")
@pytest.mark.parametrize("method", ["INFO", "OPTIONS"])
def test_a_request_that_crosses_a_bye_is_refused_and_nothing_more(pair: Pair, method: str) -> None:
    leg, incoming = pair.talking()
    pair.callee.hang_up(incoming)
    recorder = pair.caller.send_inside(leg, method)
    pair.network.advance(5.0)
    assert recorder.statuses == [481]
    assert pair.caller.story(leg) == "Progressed Answered HungUp"


@pytest.mark.rfc("5407", "3.3.3")
def test_a_refer_that_crosses_a_bye_is_refused_and_refers_nobody(pair: Pair) -> None:
    leg, incoming = pair.talking()
    pair.callee.hang_up(incoming)
    recorder = pair.caller.send_inside(leg, "REFER", headers=[("refer-to", "<sip:carol@192.0.2.9>")])
    pair.network.advance(5.0)
    assert recorder.statuses == [481]
    assert pair.callee.story(incoming) == "Acknowledged"
    assert pair.caller.story(leg) == "Progressed Answered HungUp"
    assert not any("NOTIFY" in line for line in pair.ladder)
