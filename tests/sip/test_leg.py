"""The two halves of a leg: every input in every state, and what keeps a leg from forgetting its manners."""

from __future__ import annotations

from itertools import product

import pytest

from sipshop.sip.course import INCOMING, OUTGOING, Input, State, Table
from sipshop.sip.events import Acknowledged, Answered, Ask, Asked, Failed, HungUp, Lost, Progressed, Replied, Withdrawn
from sipshop.sip.flow import Flow
from sipshop.sip.incoming import IncomingLeg
from sipshop.sip.leg import Leg
from sipshop.sip.message import Request
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.sip.transaction import TransactionMisused
from tests.sip.bench import HERE, PEER, Bench
from tests.sip.peers import ANSWER, HOLD, OFFER, summary, unanswered

CALLEE = """
    OFFERED    PROGRESS    OFFERED    sends 180
    OFFERED    NO_PRACK    OFFERED    tells Lost
    OFFERED    PROGRESS_BY_PRACK OFFERED sends 180
    OFFERED    ANSWER      ANSWERED   sends 200
    OFFERED    REJECT      CLOSED     sends 486
    OFFERED    GOT_CANCEL  OFFERED    tells Cancelled
    OFFERED    GOT_BYE     OFFERED    tells Cancelled
    ANSWERED   GOT_ACK     CONFIRMED  tells Acknowledged
    ANSWERED   GOT_BYE     CLOSED     tells HungUp
    ANSWERED   HANG_UP     BYE_HELD
    ANSWERED   NO_ACK      CLOSING    sends BYE, tells Lost
    BYE_HELD   GOT_ACK     CLOSING    sends BYE
    BYE_HELD   GOT_BYE     CLOSED
    BYE_HELD   NO_ACK      CLOSING    sends BYE
    CONFIRMED  GOT_BYE     CLOSED     tells HungUp
    CONFIRMED  HANG_UP     CLOSING    sends BYE
    CONFIRMED  NO_ACK      CLOSING    sends BYE, tells Lost
    CONFIRMED  PEER_GONE   CLOSING    sends BYE, tells Lost
    CLOSING    BYE_DONE    CLOSED
"""
CALLER = """
    CALLING      GOT_1XX      PROCEEDING   tells Progressed
    CALLING      GOT_2XX      ANSWERED     tells Answered
    CALLING      GOT_CHALLENGE CALLING     sends INVITE
    CALLING      GOT_FAILURE  CLOSED       sends ACK, tells Failed
    CALLING      NO_RESPONSE  CLOSED       tells Failed
    CALLING      GIVE_UP      CANCEL_HELD
    PROCEEDING   GOT_1XX      PROCEEDING   tells Progressed
    PROCEEDING   GOT_2XX      ANSWERED     tells Answered
    PROCEEDING   GOT_CHALLENGE CALLING     sends INVITE
    PROCEEDING   GOT_FAILURE  CLOSED       sends ACK, tells Failed
    PROCEEDING   GIVE_UP      CANCELLING   sends CANCEL
    CANCEL_HELD  GOT_1XX      CANCELLING   sends CANCEL
    CANCEL_HELD  GOT_2XX      UNWANTED
    CANCEL_HELD  GOT_FAILURE  CLOSED       sends ACK
    CANCEL_HELD  NO_RESPONSE  CLOSED
    CANCELLING   GOT_2XX      UNWANTED
    CANCELLING   GOT_FAILURE  CLOSED       sends ACK
    CANCELLING   NO_FINAL     CLOSED
    ANSWERED     ACKNOWLEDGE  CONFIRMED    sends ACK
    ANSWERED     HANG_UP      UNWANTED
    ANSWERED     GOT_BYE      CLOSED       sends ACK, tells HungUp
    UNWANTED     KEPT         CLOSING      sends ACK, sends BYE
    UNWANTED     GOT_BYE      CLOSED       sends ACK
    CONFIRMED    GOT_BYE      CLOSED       tells HungUp
    CONFIRMED    HANG_UP      CLOSING      sends BYE
    CONFIRMED    NO_ACK       CLOSING      sends BYE, tells Lost
    CONFIRMED    PEER_GONE    CLOSING      sends BYE, tells Lost
    CLOSING      BYE_DONE     CLOSED
"""
WAYS_OF_CALLEE: dict[State, tuple[Input, ...]] = {
    State.OFFERED: (),
    State.ANSWERED: (Input.ANSWER,),
    State.BYE_HELD: (Input.ANSWER, Input.HANG_UP),
    State.CONFIRMED: (Input.ANSWER, Input.GOT_ACK),
    State.CLOSING: (Input.ANSWER, Input.GOT_ACK, Input.HANG_UP),
    State.CLOSED: (Input.REJECT,),
}
WAYS_OF_CALLER: dict[State, tuple[Input, ...]] = {
    State.CALLING: (),
    State.PROCEEDING: (Input.GOT_1XX,),
    State.CANCEL_HELD: (Input.GIVE_UP,),
    State.CANCELLING: (Input.GOT_1XX, Input.GIVE_UP),
    State.ANSWERED: (Input.GOT_2XX,),
    State.UNWANTED: (Input.GOT_2XX, Input.HANG_UP),
    State.CONFIRMED: (Input.GOT_2XX, Input.ACKNOWLEDGE),
    State.CLOSING: (Input.GOT_2XX, Input.HANG_UP, Input.KEPT),
    State.CLOSED: (Input.GOT_FAILURE,),
}


def arrows(text: str) -> dict[tuple[State, Input], tuple[State, str]]:
    rows = (line.split(maxsplit=3) for line in text.strip().splitlines())
    return {(State[a], Input[b]): (State[c], rest[0].strip() if rest else "") for a, b, c, *rest in rows}


def test_the_tables_have_these_arrows_and_no_other() -> None:
    for table, text in ((INCOMING, CALLEE), (OUTGOING, CALLER)):
        assert {pair: after for pair, (after, _) in table.items()} == {
            pair: after for pair, (after, _) in arrows(text).items()
        }


def check(bench: Bench, leg: Leg, happened: Input, expected: tuple[State, str] | None) -> None:
    before, tables = leg.state, bench.agent.tables()
    misused = False
    try:
        bench.cause(leg, happened)
    except TransactionMisused:
        misused = True
    effects = bench.effects()
    if expected is not None:
        assert not misused
        assert (leg.state, effects) == expected
        assert (leg in bench.agent.legs.values()) is (leg.state is not State.CLOSED)
        return
    # what a request or a response does in its transaction is no matter of the leg
    own = [effect for effect in effects.split(", ") if effect not in {"", "sends ACK", "sends 200", "sends 481"}]
    assert (leg.state, own) == (before, [])
    assert bench.agent.tables()["legs"] == tables["legs"]


@pytest.mark.parametrize(
    ("state", "happened"),
    [pytest.param(s, i, id=f"{s.name} {i.name}") for s, i in product(WAYS_OF_CALLEE, Input)],
)
def test_the_callees_half_by_every_input_in_every_state(state: State, happened: Input) -> None:
    bench = Bench()
    leg = bench.offer()
    for step in WAYS_OF_CALLEE[state]:
        bench.cause(leg, step)
    assert leg.state is state
    bench.effects()
    expected = arrows(CALLEE).get((state, happened))
    if happened is Input.GOT_CANCEL and expected is not None:
        expected = (expected[0], f"sends 200, {expected[1]}")  # the CANCEL's own answer
    check(bench, leg, happened, expected)


@pytest.mark.parametrize(
    ("state", "happened"),
    [pytest.param(s, i, id=f"{s.name} {i.name}") for s, i in product(WAYS_OF_CALLER, Input)],
)
def test_the_callers_half_by_every_input_in_every_state(state: State, happened: Input) -> None:
    bench = Bench(acknowledges=False, keeps=False)
    leg = bench.dial()
    for step in WAYS_OF_CALLER[state]:
        bench.cause(leg, step)
    assert leg.state is state
    bench.effects()
    check(bench, leg, happened, arrows(CALLER).get((state, happened)))


def test_an_answer_that_nobody_wants_is_acknowledged_when_its_bye_is_kept() -> None:
    bench = Bench(keeps=False)
    leg = bench.dial()
    for step in (Input.GOT_1XX, Input.GIVE_UP, Input.GOT_2XX, Input.GOT_2XX):
        bench.cause(leg, step)
    assert "ACK" not in bench.effects()
    bench.owed.pop()(bench.now)
    assert (bench.effects(), bench.owed, bench.over) == ("sends ACK, sends BYE", [], 0)
    bench.run(31.0)
    assert bench.over == 0
    bench.run(33.0)  # nobody has answered the BYE
    assert (bench.over, leg.state) == (1, State.CLOSED)


def test_the_answer_of_a_second_fork_is_acknowledged_once_when_its_bye_is_kept() -> None:
    bench = Bench(keeps=False)
    leg = bench.dial()
    bench.respond(leg, 200)
    bench.effects()
    for _ in range(2):  # it comes again meanwhile
        bench.respond(leg, 200, tag="c")
    assert bench.effects() == ""
    (kept,) = bench.owed
    kept(bench.now)
    assert bench.effects() == "sends ACK, sends BYE"
    bench.respond(leg, 200, tag="c")
    assert bench.effects() == "sends ACK"
    bye = bench.last("BYE")
    assert isinstance(bye, Request)
    for _ in range(2):
        bench.hear(bye.reply(200).encode())
    assert (bench.over, leg.state) == (1, State.CONFIRMED)


def tables_are_empty(bench: Bench) -> bool:
    return not any(bench.agent.tables().values())


# The repeated 2xx and the ACK.


def test_a_2xx_is_repeated_until_its_ack() -> None:
    bench = Bench()
    leg = bench.offer()
    leg.answer(ANSWER, bench.now)
    bench.effects()
    bench.run(5.0)
    bench.cause(leg, Input.GOT_ACK)
    bench.effects()
    bench.run(100.0)
    assert bench.sent_at("200 INVITE") == [0.0, 0.5, 1.5, 3.5]
    assert bench.events == [Acknowledged(None, None)]


def test_a_2xx_is_repeated_for_64_t1_and_then_the_call_is_ended() -> None:
    # RFC 3261 section 13.3.1.4
    bench = Bench()
    leg = bench.offer()
    leg.answer(ANSWER, bench.now)
    bench.effects()
    bench.run(32.0)
    assert bench.sent_at("200 INVITE") == [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert bench.sent_at("BYE") == [32.0]
    assert bench.events == [Lost("no ACK")]
    bench.run(100.0)
    assert tables_are_empty(bench)


def test_a_2xx_is_repeated_over_tcp_too() -> None:
    bench = Bench()
    bench.agent.hear(bench.from_caller("INVITE", tag=None), Flow("TCP", HERE, PEER, 1), 0.0)
    bench.effects()
    leg = bench.agent.accept(bench.invited[-1].transaction, 0.0)
    leg.answer(ANSWER, 0.0)
    bench.effects()
    bench.run(4.0)
    assert bench.sent_at("200 INVITE") == [0.0, 0.5, 1.5, 3.5]


def test_an_ack_of_another_number_is_none_of_ours() -> None:
    bench = Bench()
    leg = bench.offer()
    leg.answer(ANSWER, bench.now)
    bench.hear(bench.from_caller("ACK", tag=leg.local_tag, branch="ack", cseq=9))
    bench.effects()
    assert (leg.state, bench.events) == (State.ANSWERED, [])


def test_the_caller_acknowledges_each_repetition_with_the_same_bytes() -> None:
    bench = Bench()
    leg = bench.dial()
    for at_s in (0.0, 0.5, 1.5, 40.0):  # the last one finds no transaction any more
        bench.run(at_s)
        bench.respond(leg, 200)
        bench.effects()
    acks = [message.encode() for _, message in bench.sent if summary(message) == "ACK"]
    assert len(acks) == 4
    assert len(set(acks)) == 1
    assert [type(event) for event in bench.events] == [Answered]


def test_a_late_offers_ack_waits_for_the_answer_and_carries_it() -> None:
    bench = Bench()
    leg = bench.dial(late=True)
    for _ in range(3):
        bench.respond(leg, 200)
        bench.effects()
    assert bench.sent_at("ACK") == []
    assert bench.events == [Answered(None, late_offer=True)]
    leg.acknowledge(ANSWER, bench.now)
    bench.effects()
    bench.respond(leg, 200)
    bench.effects()
    acks = [message for _, message in bench.sent if summary(message) == "ACK"]
    assert [ack.body for ack in acks] == [ANSWER.data] * 2


# What is resisted.


def test_what_comes_after_the_2xx_changes_nothing() -> None:
    bench = Bench()
    leg = bench.dial()
    for status in (180, 200, 180, 486, 183):
        bench.respond(leg, status)
        bench.effects()
    assert [type(event) for event in bench.events] == [Progressed, Answered]
    assert (leg.state, bench.sent_at("ACK")) == (State.CONFIRMED, [0.0])


@pytest.mark.parametrize("tag", ["", "b"])
def test_a_1xx_without_a_tag_and_a_200_without_contact_are_borne(tag: str) -> None:
    bench = Bench()
    leg = bench.dial()
    for status in (183, 200):
        text = leg.invite.reply(status, to_tag=tag or None).encode()
        bench.hear(text)
    bench.effects()
    assert leg.state is State.CONFIRMED
    leg.hang_up(None, bench.now)
    bench.effects()
    bye = bench.last("BYE")
    assert isinstance(bye, Request)
    assert (bye.target, bye.to.tag) == (leg.invite.target, tag or None)


def test_a_second_200_of_a_fork_is_acknowledged_and_ended_and_the_first_call_goes_on() -> None:
    bench = Bench()
    leg = bench.dial()
    bench.respond(leg, 180, tag="other")
    bench.respond(leg, 200, tag="b")
    bench.effects()
    bench.sent.clear()
    bench.respond(leg, 200, tag="fork")
    assert bench.effects() == "sends ACK, sends BYE"
    assert {message.to.tag for _, message in bench.sent} == {"fork"}
    bench.respond(leg, 200, tag="fork")
    assert bench.effects() == "sends ACK"
    assert leg.dialog is not None
    assert (leg.state, leg.dialog.remote_tag) == (State.CONFIRMED, "b")


@pytest.mark.parametrize(
    ("headers", "reason", "retry_s"),
    [
        pytest.param((), None, None, id="bare"),
        pytest.param((("reason", "Q.850;cause=17"),), "Q.850;cause=17", None, id="Reason"),
        pytest.param((("retry-after", "18000;duration=3600"),), None, 18000, id="Retry-After with parameters"),
        pytest.param((("retry-after", "120 (in a meeting)"),), None, 120, id="Retry-After with a comment"),
        pytest.param((("retry-after", "soon"),), None, None, id="Retry-After that is none"),
    ],
)
def test_what_a_refusal_says(headers: tuple[tuple[str, str], ...], reason: str | None, retry_s: int | None) -> None:
    bench = Bench()
    leg = bench.dial()
    bench.respond(leg, 503, headers=headers)
    bench.effects()
    assert bench.events == [Failed(503, reason, retry_s, responded=True)]


def test_silence_is_told_as_408() -> None:
    bench = Bench()
    bench.dial()
    bench.run(32.0)
    assert bench.events == [Failed(408, None, None, responded=False, why="timeout")]
    assert tables_are_empty(bench)


def test_a_trunk_that_cannot_be_reached_is_told_as_503() -> None:
    bench = Bench()
    tcp = Flow("TCP", HERE, PEER)
    bench.agent.dial(
        tcp,
        target="sip:b@192.0.2.2;transport=tcp",
        from_="<sip:a@192.0.2.1>",
        to="<sip:b@192.0.2.2>",
        call_id="c",
        tag="a",
        max_forwards=70,
        content=OFFER,
        now=0.0,
    )
    bench.agent.hear_lost(Flow("TCP", HERE, PEER, 5), 0.0)
    bench.effects()
    assert bench.events == [Failed(503, None, None, responded=False, why="transport")]
    assert tables_are_empty(bench)


# CANCEL.


@pytest.mark.scenario(2)
def test_a_cancel_waits_for_a_provisional_response() -> None:
    # RFC 3261 section 9.1
    bench = Bench()
    leg = bench.dial()
    leg.give_up(bench.now)
    assert bench.effects() == ""
    bench.respond(leg, 100)
    assert bench.effects() == "sends CANCEL"
    cancel = bench.last("CANCEL")
    assert isinstance(cancel, Request)
    assert (cancel.via.branch, cancel.cseq, cancel.target) == (leg.invite.via.branch, (1, "CANCEL"), leg.invite.target)
    assert (cancel.get("to"), cancel.get("from")) == (leg.invite.get("to"), leg.invite.get("from"))


@pytest.mark.scenario(2)
def test_a_cancel_that_waits_is_dropped_by_a_final_response() -> None:
    bench = Bench()
    leg = bench.dial()
    leg.give_up(bench.now)
    bench.respond(leg, 486)
    assert bench.effects() == "sends ACK"
    bench.run(100.0)
    assert (bench.sent_at("CANCEL"), tables_are_empty(bench)) == ([], True)


def test_without_a_final_response_a_cancelled_leg_dies_after_64_t1_and_a_200_after_that_finds_nobody() -> None:
    bench = Bench()
    leg = bench.dial()
    bench.respond(leg, 180)
    leg.give_up(bench.now)
    bench.effects()
    bench.run(31.9)
    assert leg.state is State.CANCELLING
    bench.run(32.0)
    assert (leg.state, bench.agent.tables()["legs"]) == (State.CLOSED, 0)
    bench.run(40.0)
    assert tables_are_empty(bench)


# Requests inside the dialog.


def talking(bench: Bench) -> IncomingLeg:
    leg = bench.offer()
    leg.answer(ANSWER, bench.now)
    bench.cause(leg, Input.GOT_ACK)
    bench.effects()
    bench.events.clear()
    bench.sent.clear()
    return leg


def an_ask(bench: Bench) -> Ask:
    asked = next(event for event in bench.events if isinstance(event, Asked))
    return asked.ask


@pytest.mark.parametrize("method", ["INVITE", "INFO", "OPTIONS"])
def test_a_request_inside_is_told_and_answered_by_its_ask(method: str) -> None:
    bench = Bench()
    leg = talking(bench)
    bench.ask(leg, method, body=HOLD.data if method == "INVITE" else b"")
    assert bench.effects() == ("sends 100, tells Asked" if method == "INVITE" else "tells Asked")
    ask = an_ask(bench)
    assert (ask.method, ask.answered) == (method, False)
    leg.reply(ask, 200, ANSWER if method == "INVITE" else None, bench.now)
    assert (bench.effects(), ask.answered) == ("sends 200", True)
    leg.reply(ask, 500, None, bench.now)
    assert bench.effects() == ""


def test_the_2xx_of_a_reinvite_is_repeated_until_its_ack_and_without_one_the_call_ends() -> None:
    for acknowledged in (True, False):
        bench = Bench()
        leg = talking(bench)
        bench.ask(leg, "INVITE", body=HOLD.data)
        bench.effects()
        leg.reply(an_ask(bench), 200, ANSWER, bench.now)
        bench.effects()
        bench.run(2.0)
        if acknowledged:
            bench.hear(bench.from_caller("ACK", tag=leg.local_tag, branch="ack2"))
            bench.effects()
        bench.run(31.0)
        assert len(bench.sent_at("200 INVITE")) == (3 if acknowledged else 10)
        assert leg.state is State.CONFIRMED
        bench.run(32.0)
        assert leg.state is (State.CONFIRMED if acknowledged else State.CLOSING)


@pytest.mark.parametrize(
    ("prepare", "status"),
    [
        pytest.param("asked", 500, id="a second one while the first waits: RFC 3261 section 14.2"),
        pytest.param("unacknowledged", 500, id="before the ACK of the first"),
        pytest.param("relaying", 491, id="while ours is open"),
    ],
)
def test_a_reinvite_at_a_bad_moment(prepare: str, status: int) -> None:
    bench = Bench()
    leg = talking(bench)
    if prepare == "relaying":
        leg.relay(Ask("INVITE", HOLD, bench.invited[0].transaction), bench.now)
    else:
        bench.ask(leg, "INVITE", body=HOLD.data)
        bench.effects()
        if prepare == "unacknowledged":
            leg.reply(an_ask(bench), 200, ANSWER, bench.now)
    bench.effects()
    bench.ask(leg, "INVITE", body=HOLD.data)
    assert bench.effects() == f"sends {status}"
    retry = bench.last(f"{status} INVITE").get("retry-after")
    assert retry == ("10" if status == 500 else None)


def test_a_number_that_does_not_count_up_is_answered_500() -> None:
    bench = Bench()
    leg = talking(bench)
    bench.ask(leg, "INFO")
    bench.cseq -= 1
    bench.effects()
    bench.hear(bench.from_caller("INFO", tag=leg.local_tag, branch="late", cseq=1))
    assert bench.effects() == "sends 500"


@pytest.mark.parametrize(
    ("way", "method", "status"),
    [
        pytest.param((), "INFO", 480, id="not answered yet"),
        pytest.param((), "INVITE", 500, id="a second offer before the answer", marks=pytest.mark.scenario(14)),
        pytest.param((Input.ANSWER, Input.HANG_UP), "INFO", 481, id="to be hung up"),
        pytest.param((Input.ANSWER, Input.GOT_ACK, Input.HANG_UP), "INVITE", 481, id="hanging up"),
        pytest.param((Input.ANSWER, Input.GOT_ACK, Input.HANG_UP), "BYE", 200, id="both hang up"),
    ],
)
def test_a_request_inside_at_the_wrong_time(way: tuple[Input, ...], method: str, status: int) -> None:
    bench = Bench()
    leg = bench.offer()
    for step in way:
        bench.cause(leg, step)
    bench.effects()
    bench.events.clear()
    bench.ask(leg, method)
    assert (bench.effects(), bench.events) == (f"sends {status}", [])


def test_requests_that_wait_for_an_answer_get_one_when_the_call_ends() -> None:
    # RFC 3261 section 15.1.2
    bench = Bench()
    leg = talking(bench)
    bench.ask(leg, "INVITE", body=HOLD.data)
    bench.ask(leg, "INFO")
    bench.ask(leg, "BYE")
    assert bench.effects() == "sends 100, tells Asked, tells Asked, sends 200, tells HungUp, sends 487, sends 481"


def test_a_reinvite_that_is_cancelled_is_told() -> None:
    bench = Bench()
    leg = talking(bench)
    bench.ask(leg, "INVITE", body=HOLD.data)
    bench.effects()
    ask = an_ask(bench)
    cancel = bench.from_caller("CANCEL", tag=leg.local_tag, branch=f"INVITE{bench.cseq}")
    bench.hear(cancel)
    assert bench.effects() == "sends 200, tells Withdrawn"
    assert bench.events[-1] == Withdrawn(ask)
    leg.reply(ask, 487, None, bench.now)
    assert bench.effects() == "sends 487"


# Requests of the other leg.


def relayed(bench: Bench, method: str, *, late: bool = False) -> tuple[OutgoingLeg, Ask, Request]:
    """A leg that talks, and a request of the other leg that it sent on."""
    leg = bench.dial()
    bench.respond(leg, 200)
    bench.effects()
    ask = Ask(method, None if late or method != "INVITE" else HOLD, unanswered())
    leg.relay(ask, bench.now)
    assert bench.effects() == f"sends {method}"
    request = bench.last(method)
    assert isinstance(request, Request)
    bench.events.clear()
    return leg, ask, request


@pytest.mark.parametrize(
    ("method", "status", "effects"),
    [
        pytest.param("INFO", 200, "tells Replied", id="INFO"),
        pytest.param("INFO", 415, "tells Replied", id="INFO refused"),
        pytest.param("INVITE", 200, "sends ACK, tells Replied", id="re-INVITE"),
        pytest.param("INVITE", 488, "sends ACK, tells Replied", id="re-INVITE refused"),
        pytest.param("INVITE", 491, "sends ACK, tells Replied", id="glare"),
        pytest.param("INFO", 481, "tells Replied, sends BYE, tells Lost", id="481 ends the dialog"),
        pytest.param("INFO", 408, "tells Replied, sends BYE, tells Lost", id="408 ends the dialog"),
    ],
)
def test_the_answer_to_a_request_of_the_other_leg(method: str, status: int, effects: str) -> None:
    bench = Bench()
    leg, ask, request = relayed(bench, method)
    bench.hear(request.reply(100).encode())
    bench.hear(request.reply(status).encode())
    assert bench.effects() == effects
    replied = bench.events[0]
    assert isinstance(replied, Replied)
    assert (replied.ask, replied.status, replied.late_offer) == (ask, status, False)
    assert (leg.state is State.CONFIRMED) is (status not in {408, 481})


def test_no_answer_to_a_request_of_the_other_leg_ends_the_dialog() -> None:
    bench = Bench()
    leg, ask, _ = relayed(bench, "OPTIONS")
    bench.run(32.0)
    assert bench.events == [Replied(ask, 408, None, late_offer=False), Lost("gone inside the dialog")]
    assert leg.state is State.CLOSING
    bench.run(100.0)
    assert tables_are_empty(bench)


def test_a_late_offer_inside_waits_for_the_answer_of_the_other_leg() -> None:
    bench = Bench()
    leg, ask, request = relayed(bench, "INVITE", late=True)
    answer = request.reply(200, headers=[("content-type", OFFER.type)], body=OFFER.data).encode()
    bench.hear(answer)
    assert bench.effects() == "tells Replied"
    assert bench.events == [Replied(ask, 200, OFFER, late_offer=True)]
    leg.acknowledge_relayed(ask, ANSWER)
    leg.acknowledge_relayed(ask, ANSWER)  # again: nothing
    assert bench.effects() == "sends ACK"
    assert bench.last("ACK").body == ANSWER.data
    bench.hear(answer)
    assert bench.effects() == "sends ACK"


@pytest.mark.scenario(10)
def test_the_200_of_a_reinvite_that_comes_after_our_bye_is_still_acknowledged() -> None:
    bench = Bench()
    leg, _, request = relayed(bench, "INVITE")
    leg.hang_up(None, bench.now)
    bench.effects()
    bench.hear(request.reply(200).encode())
    assert bench.effects() == "sends ACK, tells Replied"


def test_a_reinvite_that_never_gets_its_final_response_does_not_outlive_the_call() -> None:
    bench = Bench()
    leg, _, request = relayed(bench, "INVITE")
    bench.hear(request.reply(100).encode())
    leg.hang_up(None, bench.now)
    bench.run(200.0)
    assert bench.agent.tables() == {"server_transactions": 0, "client_transactions": 0, "legs": 0, "timers": 0}


def test_the_cancel_of_a_reinvite_waits_for_a_provisional_response_as_any_does() -> None:
    bench = Bench()
    leg, ask, request = relayed(bench, "INVITE")
    leg.withdraw(ask, bench.now)
    assert bench.effects() == ""
    bench.hear(request.reply(100).encode())
    assert bench.effects() == "sends CANCEL"
    bench.hear(request.reply(487).encode())
    assert bench.effects() == "sends ACK, tells Replied"
    leg.withdraw(ask, bench.now)
    assert bench.effects() == ""


def test_a_cancelled_reinvite_without_a_final_response_is_given_up_and_the_next_may_go() -> None:
    bench = Bench()
    leg, ask, request = relayed(bench, "INVITE")
    bench.hear(request.reply(100).encode())
    leg.withdraw(ask, bench.now)
    bench.run(31.0)
    following = Ask("INVITE", HOLD, unanswered())
    leg.relay(following, bench.now)
    assert bench.effects() == "tells Replied"
    bench.run(33.0)
    leg.relay(following, bench.now)
    assert bench.effects() == "sends INVITE"


def test_the_offer_of_a_late_reinvite_that_was_cancelled_too_late_is_acknowledged_at_once() -> None:
    bench = Bench()
    leg, ask, request = relayed(bench, "INVITE", late=True)
    bench.hear(request.reply(100).encode())
    leg.withdraw(ask, bench.now)
    bench.effects()
    bench.hear(request.reply(200, headers=[("content-type", OFFER.type)], body=OFFER.data).encode())
    assert bench.effects() == "sends ACK, tells Replied"


@pytest.mark.parametrize("status", [100, 487])
def test_a_reinvite_is_cancelled_once_it_was_seen(status: int) -> None:
    bench = Bench()
    leg, ask, request = relayed(bench, "INVITE")
    bench.hear(request.reply(status).encode())
    bench.effects()
    leg.withdraw(ask, bench.now)
    assert bench.effects() == ("sends CANCEL" if status == 100 else "")


@pytest.mark.parametrize(
    ("way", "status"),
    [
        pytest.param((Input.GOT_2XX,), 491, id="its ACK is still owed"),
        pytest.param((Input.GOT_1XX,), 481, id="it has no dialog yet"),
        pytest.param((Input.GOT_2XX, Input.HANG_UP), 481, id="it is over"),
    ],
)
def test_a_leg_that_cannot_relay_says_so(way: tuple[Input, ...], status: int) -> None:
    bench = Bench(acknowledges=False)
    leg = bench.dial()
    for step in way:
        bench.cause(leg, step)
    bench.effects()
    bench.events.clear()
    ask = Ask("INFO", None, unanswered())
    leg.relay(ask, bench.now)
    assert (bench.effects(), bench.events) == ("tells Replied", [Replied(ask, status, None, late_offer=False)])


def test_a_reinvite_of_the_other_leg_is_refused_while_the_peer_asks_for_one_itself() -> None:
    bench = Bench()
    leg = talking(bench)
    bench.ask(leg, "INVITE", body=HOLD.data)
    bench.effects()
    ask = Ask("INVITE", HOLD, unanswered())
    leg.relay(ask, bench.now)
    assert bench.effects() == "tells Replied"
    assert bench.events[-1] == Replied(ask, 491, None, late_offer=False)


# The end.


@pytest.mark.scenario(34)
@pytest.mark.parametrize("answer", [200, 401, 407, 481, 500, None])
def test_whatever_a_bye_is_answered_the_leg_is_over_and_no_credentials_are_sent(answer: int | None) -> None:
    bench = Bench()
    leg = bench.dial()
    bench.respond(leg, 200)
    leg.hang_up("Q.850;cause=31", bench.now)
    bench.effects()
    bye = bench.last("BYE")
    assert isinstance(bye, Request)
    assert bye.get("reason") == "Q.850;cause=31"
    if answer is not None:
        bench.hear(bye.reply(answer, headers=[("www-authenticate", 'Digest realm="x", nonce="y"')]).encode())
    bench.run(32.0)
    assert (leg.state, len({m.encode() for _, m in bench.sent if summary(m) == "BYE"})) == (State.CLOSED, 1)
    bench.run(100.0)
    assert tables_are_empty(bench)


def test_the_reason_of_a_bye_is_told() -> None:
    bench = Bench()
    leg = talking(bench)
    bye = bench.from_caller("BYE", tag=leg.local_tag, branch="bye", cseq=2)
    bench.hear(bye.replace(b"Max-Forwards", b"Reason: Q.850;cause=16\r\nMax-Forwards"))
    bench.effects()
    assert bench.events == [HungUp("Q.850;cause=16")]


def test_tables_are_typed_as_tables() -> None:
    tables: list[Table] = [INCOMING, OUTGOING]
    assert [leg.table for leg in (IncomingLeg, OutgoingLeg)] == tables
