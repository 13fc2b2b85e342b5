"""Reliable provisional responses in both roles (RFC 3262)."""

from __future__ import annotations

import pytest

from sipshop.sip.course import State
from sipshop.sip.events import Asked, Lost, ProgressAcknowledged, Progressed
from sipshop.sip.incoming import IncomingLeg
from sipshop.sip.message import Request, Response
from sipshop.sip.outgoing import OutgoingLeg
from tests.sip.bench import Bench
from tests.sip.peers import ANSWER, FORGETTING_S, HOLD, OFFER

SUPPORTED, REQUIRED = "Supported: timer, 100rel\r\n", "Require: 100rel\r\n"
pytestmark = pytest.mark.scenario(19)


def prack(bench: Bench, leg: IncomingLeg, *, rack: str | None = None, body: bytes = b"") -> None:
    """The caller acknowledges the last reliable response."""
    last = next(m for _, m in reversed(bench.sent) if isinstance(m, Response) and m.get("rseq"))
    number = last.get("rseq")
    bench.ask(leg, "PRACK", body=body, headers=f"RAck: {rack or f'{number} 1 INVITE'}\r\n")


def ringing(bench: Bench, *, headers: str = SUPPORTED, body: bytes = OFFER.data) -> IncomingLeg:
    leg = bench.offer(headers=headers, body=body)
    leg.progress(183, ANSWER, bench.now, reliably=True)
    bench.effects()
    return leg


def dialled(bench: Bench, *, rseq: int = 7, late: bool = False) -> OutgoingLeg:
    leg = bench.dial(late=late)
    respond(bench, leg, rseq)
    return leg


def respond(bench: Bench, leg: OutgoingLeg, rseq: int, *, tag: str = "b", contact: str = "<sip:b@192.0.2.2>") -> None:
    headers = (("require", "100rel"), ("rseq", str(rseq)))
    bench.respond(leg, 183, headers=headers, content=ANSWER, tag=tag, contact=contact)


# We are the callee.


@pytest.mark.parametrize(
    ("headers", "reliably", "is_reliable"),
    [
        pytest.param("", True, False, id="a caller that knows nothing of it"),
        pytest.param(SUPPORTED, True, True, id="one that takes it"),
        pytest.param(SUPPORTED, False, False, id="one that takes it, and nobody wants to know"),
        pytest.param(REQUIRED, False, True, id="one that demands it"),
    ],
)
def test_who_gets_reliable_responses(headers: str, reliably: bool, is_reliable: bool) -> None:
    bench = Bench()
    leg = bench.offer(headers=headers)
    leg.progress(180, None, bench.now, reliably=reliably)
    assert bench.effects() == "sends 180"
    response = bench.last("180 INVITE")
    assert (response.get("require"), response.get("rseq") is not None) == (
        ("100rel", True) if is_reliable else (None, False)
    )


def test_a_reliable_response_is_repeated_ever_more_slowly_until_its_prack() -> None:
    bench = Bench()
    leg = ringing(bench)
    bench.run(4.0)
    assert bench.sent_at("183 INVITE") == [0.0, 0.5, 1.5, 3.5]
    prack(bench, leg)
    assert bench.effects() == "sends 200"
    bench.run(59.0)
    assert len(bench.sent_at("183 INVITE")) == 4


@pytest.mark.rfc("3261", "13.3.1.1")
@pytest.mark.parametrize("headers", [SUPPORTED, REQUIRED])
def test_a_caller_who_waits_and_wants_it_reliably_hears_each_minute_how_it_goes(headers: str) -> None:
    bench = Bench()
    leg = ringing(bench, headers=headers)
    prack(bench, leg)
    for _ in range(2):
        bench.run(bench.now + 60.0)
        bench.effects()
        again = bench.last("183 INVITE")
        assert (again.get("require"), again.body) == ("100rel", b""), "the description was acknowledged"
        prack(bench, leg)
        assert bench.effects() == "sends 200"
    numbers = [int(m.get("rseq") or 0) for _, m in bench.sent if isinstance(m, Response) and m.get("rseq")]
    first = numbers[0]
    assert sorted(set(numbers)) == [first, first + 1, first + 2]
    leg.answer(ANSWER, bench.now)
    assert bench.effects() == "sends 200"


@pytest.mark.rfc("3262", "3")
def test_without_a_prack_for_64_t1_the_call_is_told_to_be_lost() -> None:
    bench = Bench()
    leg = ringing(bench)
    bench.run(31.9)
    assert bench.events == []
    bench.run(32.0)
    assert bench.events == [Lost("no PRACK")]
    leg.reject(504, None, [], bench.now)
    bench.effects()
    bench.run(FORGETTING_S)
    assert not any(bench.agent.tables().values())


@pytest.mark.rfc("3262", "3")
@pytest.mark.parametrize("rack", ["1 1 INVITE", "{} 2 INVITE", "{} 1 UPDATE", "{}", "x 1 INVITE", ""])
def test_a_prack_of_something_else_is_answered_481(rack: str) -> None:
    bench = Bench()
    leg = ringing(bench)
    rseq = bench.last("183 INVITE").get("rseq")
    prack(bench, leg, rack=rack.format(rseq) or "-")
    assert bench.effects() == "sends 481"
    prack(bench, leg)
    assert bench.effects() == "sends 200"
    prack(bench, leg)
    assert bench.effects() == "sends 481", "it was acknowledged"


def test_a_prack_where_nothing_was_reliable_is_answered_481() -> None:
    bench = Bench()
    leg = bench.offer()
    bench.ask(leg, "PRACK", headers="RAck: 1 1 INVITE\r\n")
    assert bench.effects() == "sends 481"


def test_the_next_response_waits_for_the_prack_and_counts_on() -> None:
    bench = Bench()
    leg = ringing(bench)
    leg.progress(180, None, bench.now, reliably=True)
    assert bench.effects() == ""
    first = bench.last("183 INVITE").get("rseq")
    prack(bench, leg)
    assert bench.effects() == "sends 200, sends 180"
    assert bench.last("180 INVITE").get("rseq") == str(int(first or 0) + 1)


def test_of_all_that_rings_meanwhile_the_newest_is_told() -> None:
    """A callee who rings without end fills nothing."""
    bench = Bench()
    leg = ringing(bench)
    for status in (180, 181, 182) * 100:
        leg.progress(status, None, bench.now, reliably=True)
    prack(bench, leg)
    assert bench.effects() == "sends 200, sends 182"
    prack(bench, leg)
    assert bench.effects() == "sends 200"


@pytest.mark.rfc("3262", "3")
def test_the_200_waits_for_the_prack_of_a_description() -> None:
    bench = Bench()
    leg = ringing(bench)
    leg.answer(ANSWER, bench.now)
    assert (bench.effects(), leg.state) == ("", State.OFFERED)
    prack(bench, leg)
    assert bench.effects() == "sends 200, sends 200"
    assert leg.state is State.ANSWERED
    assert bench.last("200 INVITE").body == b"", "the caller has the answer, and acknowledged it"


def test_the_200_waits_for_no_prack_of_mere_ringing() -> None:
    bench = Bench()
    leg = bench.offer(headers=SUPPORTED)
    leg.progress(180, None, bench.now, reliably=True)
    leg.answer(ANSWER, bench.now)
    assert bench.effects() == "sends 180, sends 200"
    assert bench.last("200 INVITE").body == ANSWER.data
    bench.run(10.0)
    assert bench.sent_at("180 INVITE") == [0.0]


def test_who_gives_up_is_told_so_though_his_prack_is_missing() -> None:
    bench = Bench()
    leg = ringing(bench)
    leg.answer(ANSWER, bench.now)
    leg.reject(487, None, [], bench.now)
    assert bench.effects() == "sends 487"
    bench.run(FORGETTING_S)
    assert not any(bench.agent.tables().values())


def test_an_offer_that_rang_is_answered_by_the_prack() -> None:
    bench = Bench()
    leg = ringing(bench, body=b"")
    prack(bench, leg, body=HOLD.data)
    assert bench.effects() == "sends 200, tells ProgressAcknowledged"
    assert bench.events == [ProgressAcknowledged(HOLD)]
    assert (leg.exchange.ours, leg.exchange.theirs) == (ANSWER, HOLD)


@pytest.mark.rfc("3262", "5")
def test_a_prack_may_make_an_offer_of_its_own() -> None:
    bench = Bench()
    leg = ringing(bench)
    prack(bench, leg, body=HOLD.data)
    assert bench.effects() == "tells Asked"
    asked = bench.events[-1]
    assert isinstance(asked, Asked)
    assert (asked.ask.method, asked.ask.content) == ("PRACK", HOLD)
    leg.reply(asked.ask, 200, ANSWER, bench.now)
    assert bench.effects() == "sends 200"
    assert bench.last("200 PRACK").body == ANSWER.data
    bench.run(10.0)
    assert bench.sent_at("183 INVITE") == [0.0]


# We are the caller.


def test_a_reliable_response_is_acknowledged_in_its_own_dialog() -> None:
    bench = Bench()
    leg = bench.dial()
    assert "100rel" in leg.invite.all("supported")
    for tag, rseq in (("one", 7), ("two", 900)):
        respond(bench, leg, rseq, tag=tag, contact=f"<sip:{tag}@192.0.2.3>")
        assert bench.effects() == "sends PRACK, tells Progressed"
        prack = bench.last("PRACK")
        assert isinstance(prack, Request)
        assert (prack.get("rack"), prack.cseq) == (f"{rseq} 1 INVITE", (2, "PRACK"))
        assert (prack.to.tag, prack.target) == (tag, f"sip:{tag}@192.0.2.3")
    assert bench.events[-1] == Progressed(183, ANSWER, is_reliable=True)


@pytest.mark.rfc("3262", "4")
@pytest.mark.parametrize(
    ("rseq", "effects"),
    [
        pytest.param(8, "sends PRACK, tells Progressed", id="the next"),
        pytest.param(7, "", id="again: its PRACK repeats itself"),
        pytest.param(9, "", id="before its turn"),
        pytest.param(6, "", id="an older one"),
    ],
)
def test_reliable_responses_are_taken_in_their_order(rseq: int, effects: str) -> None:
    bench = Bench()
    leg = dialled(bench)
    bench.effects()
    respond(bench, leg, rseq)
    assert bench.effects() == effects


@pytest.mark.parametrize("rseq", ["", "x", "99999999999"])
def test_a_number_that_is_none_makes_no_response_reliable(rseq: str) -> None:
    bench = Bench()
    leg = bench.dial()
    bench.respond(leg, 183, headers=(("require", "100rel"), ("rseq", rseq)), content=ANSWER)
    assert bench.effects() == "tells Progressed"


@pytest.mark.parametrize("answer", [481, 500, None])
def test_whatever_a_prack_is_answered_the_call_goes_on(answer: int | None) -> None:
    bench = Bench()
    leg = dialled(bench)
    bench.effects()
    prack = bench.last("PRACK")
    assert isinstance(prack, Request)
    if answer is None:
        bench.run(33.0)
    else:
        bench.hear(prack.reply(answer).encode())
    bench.respond(leg, 200)
    assert bench.effects() == "tells Answered, sends ACK"


def test_an_offer_that_rings_waits_for_the_callers_answer() -> None:
    bench = Bench(acknowledges=False)
    leg = dialled(bench, late=True)
    assert bench.effects() == "tells Progressed"
    assert bench.events == [Progressed(183, ANSWER, is_reliable=True, is_offer=True)]
    leg.acknowledge_progress(HOLD, bench.now)
    leg.acknowledge_progress(HOLD, bench.now)
    assert bench.effects() == "sends PRACK"
    assert bench.last("PRACK").body == HOLD.data
    bench.respond(leg, 200)
    bench.effects()
    leg.acknowledge(None, bench.now)
    bench.effects()
    assert (bench.last("ACK").body, leg.exchange.is_stable) == (b"", True)


def test_who_cannot_answer_an_offer_that_rings_asks_for_none() -> None:
    bench = Bench()
    leg = bench.agent.dial(
        bench.dial().flow,
        target="sip:b@192.0.2.2",
        from_="<sip:a@192.0.2.1>",
        to="<sip:b@192.0.2.2>",
        call_id="d",
        tag="d",
        max_forwards=70,
        content=None,
        now=0.0,
        reliably=False,
    )
    assert leg.invite.all("supported") == []
