"""Before the answer: early dialogs by their tags, targets, routes, and peers that forget half of a response."""

from __future__ import annotations

import pytest

from sipshop.sip.course import State
from sipshop.sip.dialog import Dialog
from sipshop.sip.events import Answered, Ask, Asked, Content, Progressed, Replied
from sipshop.sip.message import Request
from sipshop.sip.outgoing import OutgoingLeg
from tests.sip.bench import Bench
from tests.sip.peers import ANSWER, FORGETTING_S, HOLD, summary, unanswered

OTHER = Content("application/sdp", b"v=0\r\ns=another\r\n")
ALLOW = (("allow", "INVITE, ACK, BYE, CANCEL, UPDATE, PRACK"),)


def last(bench: Bench, method: str) -> Request:
    message = bench.last(method)
    assert isinstance(message, Request)
    return message


def confirmed(leg: OutgoingLeg) -> Dialog:
    assert leg.dialog is not None
    return leg.dialog


def forgets(bench: Bench, leg: OutgoingLeg) -> None:
    """Hang up, and after long enough nobody remembers anything."""
    leg.hang_up(None, bench.now)
    bench.effects()
    bench.run(bench.now + FORGETTING_S)
    assert not any(bench.agent.tables().values())


# A caller who waits.


@pytest.mark.rfc("3261", "13.3.1.1")
def test_a_caller_who_waits_hears_each_minute_how_it_goes() -> None:
    bench = Bench()
    leg = bench.offer()
    bench.run(100.0)
    leg.progress(180, ANSWER, bench.now)
    bench.effects()
    bench.run(200.0)
    leg.progress(180, None, bench.now)
    bench.effects()
    bench.run(250.0)
    assert bench.sent_at("183 INVITE") == [59.5], "nobody has said anything yet"
    assert bench.sent_at("180 INVITE") == [100.0, 119.0, 178.5, 200.0, 238.0]
    bodies = [message.body for _, message in bench.sent if summary(message) == "180 INVITE"]
    assert bodies == [ANSWER.data, ANSWER.data, ANSWER.data, b"", b""]
    leg.reject(480, None, [], bench.now)
    bench.effects()
    bench.run(bench.now + FORGETTING_S)
    assert len(bench.sent_at("180 INVITE")) == 5
    assert not any(bench.agent.tables().values())


@pytest.mark.rfc("3261", "13.3.1.1")
def test_a_caller_who_was_answered_hears_no_more_how_it_went() -> None:
    bench = Bench()
    leg = bench.offer()
    leg.progress(180, None, bench.now)
    leg.answer(ANSWER, bench.now)
    bench.ask(leg, "BYE")
    bench.effects()
    bench.run(100.0)
    assert bench.sent_at("180 INVITE") == [0.0]
    assert not any(bench.agent.tables().values())


# Tags.


@pytest.mark.scenario(12)
def test_forked_183s_are_dialogs_of_their_own_and_the_200_says_which_one_lives() -> None:
    bench = Bench()
    leg = bench.dial()
    for tag, content in (("one", ANSWER), ("two", OTHER)):
        bench.respond(leg, 183, tag=tag, content=content, contact=f"<sip:{tag}@192.0.2.3>")
    bench.effects()
    assert [leg.dialog_with(tag) is not None for tag in ("one", "two", "three")] == [True, True, False]
    bench.respond(leg, 200, tag="one", contact="")
    bench.effects()
    assert (confirmed(leg).remote_tag, confirmed(leg).target) == ("one", "sip:one@192.0.2.3")
    assert bench.events[-1] == Answered(ANSWER, late_offer=False), "a 200 without description means that of its own 183"
    assert last(bench, "ACK").target == "sip:one@192.0.2.3"
    assert leg.dialog_with("two") is None
    forgets(bench, leg)


@pytest.mark.scenario(12)
def test_the_200_may_have_another_tag_than_the_180() -> None:
    bench = Bench()
    leg = bench.dial()
    bench.respond(leg, 180, tag="ringing")
    bench.respond(leg, 200, tag="answered", content=ANSWER)
    bench.effects()
    assert confirmed(leg).remote_tag == "answered"
    leg.hang_up(None, bench.now)
    bench.effects()
    assert last(bench, "BYE").to.tag == "answered"


@pytest.mark.scenario(12)
def test_a_second_200_of_another_fork_is_acknowledged_and_ended_above_its_own_numbers() -> None:
    bench = Bench()
    leg = bench.dial()
    for tag in ("one", "two"):
        bench.respond(leg, 183, tag=tag, headers=(("require", "100rel"), ("rseq", "7")), content=ANSWER)
    bench.respond(leg, 200, tag="one")
    bench.effects()
    bench.respond(leg, 200, tag="two")
    assert bench.effects() == "sends ACK, sends BYE"
    bye = last(bench, "BYE")
    assert (bye.to.tag, bye.cseq[0]) == ("two", 3), "1 was the INVITE, 2 the PRACK"
    assert leg.state is State.CONFIRMED


def test_so_many_forks_that_nobody_needs_them_are_not_kept() -> None:
    bench = Bench()
    leg = bench.dial()
    for number in range(40):
        bench.respond(leg, 180, tag=f"fork{number}")
    bench.effects()
    assert [leg.dialog_with(f"fork{number}") is not None for number in (0, 15, 16, 39)] == [True, True, False, False]
    bench.respond(leg, 200, tag="fork39")
    bench.effects()
    assert confirmed(leg).remote_tag == "fork39"


# What is missing, late or twice.


@pytest.mark.scenario(11)
def test_a_180_without_to_tag_rings_and_makes_no_dialog() -> None:
    bench = Bench()
    leg = bench.dial()
    bench.respond(leg, 180, tag=None)
    assert bench.effects() == "tells Progressed"
    assert leg.dialog_with("") is None
    bench.respond(leg, 200)
    assert bench.effects() == "tells Answered, sends ACK"


@pytest.mark.scenario(11)
@pytest.mark.parametrize("early", [True, False])
def test_a_200_without_to_tag_and_contact_makes_a_call_all_the_same(early: bool) -> None:
    bench = Bench()
    leg = bench.dial()
    if early:
        bench.respond(leg, 180, contact="<sip:early@192.0.2.9>")
    bench.respond(leg, 200, tag=None, contact="")
    bench.effects()
    assert (confirmed(leg).remote_tag, confirmed(leg).target) == ("", leg.invite.target)
    forgets(bench, leg)


@pytest.mark.scenario(11)
@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(200, 180, id="a 180 after the 200"),
        pytest.param(200, 486, id="a refusal after the 200"),
        pytest.param(486, 200, id="a 200 after a refusal"),
        pytest.param(486, 503, id="another refusal after the first"),
        pytest.param(486, 180, id="a 180 after a refusal"),
    ],
)
def test_what_comes_after_the_final_response_changes_nothing(first: int, then: int) -> None:
    bench = Bench()
    leg = bench.dial()
    bench.respond(leg, first)
    bench.effects()
    state, events = leg.state, list(bench.events)
    bench.respond(leg, then)
    assert bench.effects() in {"", "sends ACK"}  # a refusal is acknowledged each time
    assert (leg.state, bench.events) == (state, events)


# Targets and routes (RFC 3261 section 12.2).

PROXIES = (("record-route", "<sip:192.0.2.8;lr>, <sip:192.0.2.9;lr>"),)


@pytest.mark.rfc("3261", "13.2.2.4")
def test_the_200_says_the_route_anew() -> None:
    bench = Bench()
    leg = bench.dial()
    bench.respond(leg, 183, headers=PROXIES)
    dialog = leg.dialog_with("b")
    assert dialog is not None
    assert dialog.routes == ("<sip:192.0.2.9;lr>", "<sip:192.0.2.8;lr>")
    bench.respond(leg, 200, headers=(("record-route", "<sip:192.0.2.7;lr>"),))
    bench.effects()
    assert confirmed(leg).routes == ("<sip:192.0.2.7;lr>",)
    assert last(bench, "ACK").all("route") == ["<sip:192.0.2.7;lr>"]


@pytest.mark.rfc("3261", "12.2.1.1")
def test_requests_go_to_the_first_proxy_and_name_the_peer() -> None:
    bench = Bench()
    leg = bench.dial()
    bench.respond(leg, 200, headers=PROXIES, contact="<sip:b@192.0.2.50:5070>")
    bench.effects()
    ack = last(bench, "ACK")
    assert (ack.target, ack.all("route")) == ("sip:b@192.0.2.50:5070", ["<sip:192.0.2.9;lr>", "<sip:192.0.2.8;lr>"])
    assert confirmed(leg).next_hop().remote == ("192.0.2.9", 5060)


@pytest.mark.rfc("3261", "12.2.1.1")
def test_a_strict_router_gets_its_own_address_as_the_request_uri() -> None:
    bench = Bench()
    leg = bench.dial()
    strict = (("record-route", "<sip:192.0.2.8;lr>, <sip:192.0.2.9>"),)
    bench.respond(leg, 200, headers=strict, contact="<sip:b@192.0.2.50>")
    bench.effects()
    ack = last(bench, "ACK")
    assert (ack.target, ack.all("route")) == ("sip:192.0.2.9", ["<sip:192.0.2.8;lr>", "<sip:b@192.0.2.50>"])


@pytest.mark.rfc("3261", "12.2.2")
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_who_moves_is_reached_at_the_new_place(method: str) -> None:
    bench = Bench()
    leg = bench.dial()
    bench.respond(leg, 200, content=ANSWER)
    bench.effects()
    moved = "<sip:b@192.0.2.77:5090>"
    bench.ask(leg, method, body=HOLD.data)
    bench.effects()
    assert confirmed(leg).target == "sip:a@192.0.2.2"  # the bench's Contact
    asked = bench.events[-1]
    assert isinstance(asked, Asked)
    leg.reply(asked.ask, 200, ANSWER, bench.now)
    bench.effects()
    if method == "INVITE":
        leg.hear_ack(ack_of(bench, leg), bench.now)
    ask = Ask(method, HOLD, unanswered())
    leg._peer_allows = "UPDATE"
    leg.relay(ask, bench.now)
    bench.effects()
    sent = last(bench, method)
    response = sent.reply(200, headers=[("contact", moved), ("content-type", ANSWER.type)], body=ANSWER.data)
    bench.hear(response.encode())
    bench.effects()
    assert confirmed(leg).target == "sip:b@192.0.2.77:5090"
    assert bench.events[-1] == Replied(ask, 200, ANSWER, late_offer=False)


def ack_of(bench: Bench, leg: OutgoingLeg) -> Request:
    assert leg._unacknowledged is not None
    return Request("ACK", "sip:x", [("cseq", f"{leg._unacknowledged[1]} ACK")])


# UPDATE (RFC 3311).


@pytest.mark.scenario(15)
def test_an_update_without_an_offer_is_answered_by_the_leg_itself() -> None:
    bench = Bench()
    leg = bench.dial()
    bench.respond(leg, 200, content=ANSWER)
    bench.effects()
    told = list(bench.events)
    bench.ask(leg, "UPDATE")
    assert (bench.effects(), bench.events) == ("sends 200", told)
    answer = bench.last("200 UPDATE")
    assert (answer.get("contact"), "UPDATE" in (answer.get("allow") or "")) == ("<sip:192.0.2.1:5060>", True)


@pytest.mark.scenario(15)
def test_an_update_where_there_is_no_dialog_gets_a_final_answer() -> None:
    bench = Bench()
    bench.hear(bench.from_caller("UPDATE", tag="nobody", body=HOLD.data))
    assert bench.effects() == "sends 481"


@pytest.mark.rfc("3311", "5.2")
@pytest.mark.parametrize(
    ("reliable", "answered", "effects"),
    [
        pytest.param(False, False, "sends 500", id="the caller's offer has no answer yet"),
        pytest.param(True, False, "tells Asked", id="it was answered in a reliable 183"),
        pytest.param(False, True, "tells Asked", id="it was answered in the 200"),
    ],
)
def test_an_update_of_the_caller_with_an_offer(reliable: bool, answered: bool, effects: str) -> None:
    bench = Bench()
    leg = bench.offer(headers="Supported: 100rel\r\n")
    if answered:
        leg.answer(ANSWER, bench.now)
    else:
        leg.progress(183, ANSWER, bench.now, reliably=reliable)
    bench.effects()
    bench.events.clear()
    bench.ask(leg, "UPDATE", body=HOLD.data)
    assert bench.effects() == effects
    if effects == "sends 500":
        assert bench.last("500 UPDATE").get("retry-after") == "10"


@pytest.mark.rfc("5407", "3.3.2")
@pytest.mark.rfc("3311", "5.2")
def test_an_update_of_the_callee_while_our_offer_is_open_is_glare() -> None:
    bench = Bench()
    leg = bench.dial()
    bench.respond(leg, 183, content=ANSWER)  # a preview is no answer
    bench.effects()
    bench.ask(leg, "UPDATE", body=HOLD.data, tag="b")
    assert bench.effects() == "sends 491"


def test_an_offer_of_the_other_leg_goes_into_the_early_dialog_by_update() -> None:
    bench = Bench()
    leg = bench.dial()
    bench.respond(leg, 183, content=ANSWER, headers=(("require", "100rel"), ("rseq", "1"), *ALLOW))
    bench.effects()
    ask = Ask("UPDATE", HOLD, unanswered())
    leg.relay(ask, bench.now)
    assert bench.effects() == "sends UPDATE"
    update = last(bench, "UPDATE")
    assert (update.to.tag, update.cseq, update.body) == ("b", (3, "UPDATE"), HOLD.data)
    bench.hear(update.reply(200, headers=[("content-type", ANSWER.type)], body=OTHER.data).encode())
    bench.effects()
    assert bench.events[-1] == Replied(ask, 200, OTHER, late_offer=False)
    bench.respond(leg, 200)
    bench.effects()
    assert leg.exchange.theirs == OTHER


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param((("require", "100rel"), ("rseq", "1")), 488, id="a callee that takes no UPDATE"),
        pytest.param(ALLOW, 491, id="one that has not answered our offer"),
    ],
)
def test_an_offer_that_cannot_go_on_before_the_answer_is_refused(
    headers: tuple[tuple[str, str], ...], status: int
) -> None:
    bench = Bench()
    leg = bench.dial()
    bench.respond(leg, 183, content=ANSWER, headers=headers)
    bench.effects()
    ask = Ask("UPDATE", HOLD, unanswered())
    leg.relay(ask, bench.now)
    bench.effects()
    assert bench.events[-1] == Replied(ask, status, None, late_offer=False)


@pytest.mark.parametrize(("allows", "method"), [(True, "UPDATE"), (False, "INVITE")])
def test_an_update_goes_on_as_a_reinvite_to_a_peer_that_takes_none(allows: bool, method: str) -> None:
    bench = Bench()
    leg = bench.dial()
    bench.respond(leg, 200, content=ANSWER, headers=ALLOW if allows else ())
    bench.effects()
    leg.relay(Ask("UPDATE", HOLD, unanswered()), bench.now)
    assert bench.effects() == f"sends {method}"
    assert last(bench, method).body == HOLD.data


@pytest.mark.scenario(14)
def test_an_info_and_then_a_reinvite_are_no_glare() -> None:
    bench = Bench()
    leg = bench.dial()
    bench.respond(leg, 200, content=ANSWER)
    bench.effects()
    bench.ask(leg, "INFO")
    bench.ask(leg, "INVITE", body=HOLD.data)
    assert bench.effects() == "tells Asked, sends 100, tells Asked"


def test_methods_that_nobody_here_takes_are_told_what_is() -> None:
    bench = Bench()
    leg = bench.dial()
    bench.respond(leg, 200, content=ANSWER)
    bench.effects()
    for method, status in (("MESSAGE", 405), ("SUBSCRIBE", 405), ("FROB", 501)):
        bench.ask(leg, method)
        assert bench.effects() == f"sends {status}"
        assert "UPDATE" in (bench.last(f"{status} {method}").get("allow") or "")


def test_a_progress_event_says_what_it_carries() -> None:
    bench = Bench()
    leg = bench.dial()
    bench.respond(leg, 180)
    bench.respond(leg, 183, content=ANSWER)
    bench.respond(leg, 183, content=ANSWER, tag="r", headers=(("require", "100rel"), ("rseq", "9")))
    bench.effects()
    assert bench.events == [Progressed(180, None), Progressed(183, ANSWER), Progressed(183, ANSWER, is_reliable=True)]
    assert [summary(message) for _, message in bench.sent] == ["INVITE", "PRACK"]
    assert leg.state is State.PROCEEDING
