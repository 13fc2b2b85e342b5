"""Whether the peer of a dialog lives: session timers (RFC 4028), and probes where there is none."""

from __future__ import annotations

import pytest

from sipshop.sip import session_timer
from sipshop.sip.course import Input, State
from sipshop.sip.events import Ask, Failed, Lost
from sipshop.sip.incoming import IncomingLeg
from sipshop.sip.message import Request, Response
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.sip.session_timer import Terms
from sipshop.sip.useragent import Manners
from tests.sip.bench import Bench
from tests.sip.peers import ANSWER, FORGETTING_S, HOLD, OFFER, unanswered

TIMED = Manners(session_s=1800, session_least_s=90)
PROBING = Manners(probe_s=30)
BOTH = Manners(session_s=1800, session_least_s=90, probe_s=30)
UPDATES = ("allow", "INVITE, ACK, BYE, CANCEL, UPDATE")


def last(bench: Bench, method: str) -> Request:
    message = bench.last(method)
    assert isinstance(message, Request)
    return message


def called(bench: Bench, headers: str = "") -> IncomingLeg:
    """A leg that talks, of somebody who called us."""
    leg = bench.offer(headers=headers)
    leg.answer(ANSWER, bench.now)
    bench.cause(leg, Input.GOT_ACK)
    bench.effects()
    bench.events.clear()
    return leg


def calls(bench: Bench, *headers: tuple[str, str]) -> OutgoingLeg:
    """A leg that talks, of somebody whom we called."""
    leg = bench.dial()
    bench.respond(leg, 200, content=ANSWER, headers=headers)
    bench.effects()
    bench.events.clear()
    return leg


def answers(bench: Bench, method: str, status: int = 200, *headers: tuple[str, str]) -> None:
    """The peer answers our last request of that method."""
    bench.hear(last(bench, method).reply(status, headers=list(headers)).encode())
    bench.effects()


def forgets(bench: Bench) -> None:
    bench.run(bench.now + FORGETTING_S)
    assert not any(bench.agent.tables().values())


# The terms.


@pytest.mark.scenario(20)
@pytest.mark.rfc("4028", "9")
@pytest.mark.parametrize(
    ("headers", "said", "terms"),
    [
        pytest.param("", None, None, id="a phone that knows no session timer"),
        pytest.param("Supported: timer\r\n", "1800;refresher=uac", Terms(1800, False), id="one that knows it"),
        pytest.param(
            "Supported: timer\r\nSession-Expires: 600\r\n", "600;refresher=uac", Terms(600, False), id="shorter"
        ),
        pytest.param(
            "Supported: timer\r\nSession-Expires: 7200\r\n", "1800;refresher=uac", Terms(1800, False), id="longer"
        ),
        pytest.param(
            "k: timer\r\nx: 600;refresher=uas\r\n", "600;refresher=uas", Terms(600, True), id="we are to refresh"
        ),
        pytest.param(
            "Supported: timer\r\nSession-Expires: 7200\r\nMin-SE: 3600\r\n",
            "3600;refresher=uac",
            Terms(3600, False),
            id="it can bear no shorter one",
        ),
        pytest.param(
            "Require: timer\r\nSession-Expires: soon\r\n", "1800;refresher=uac", Terms(1800, False), id="soon"
        ),
    ],
)
def test_what_a_caller_is_answered(headers: str, said: str | None, terms: Terms | None) -> None:
    bench = Bench(manners=TIMED)
    leg = called(bench, headers)
    response = bench.last("200 INVITE")
    assert (response.get("session-expires"), leg.terms) == (said, terms)
    assert response.get("require") == ("timer" if terms is not None and not terms.we_refresh else None)


@pytest.mark.scenario(20)
@pytest.mark.parametrize(
    ("header", "terms"),
    [
        pytest.param(None, None, id="a carrier that wants none"),
        pytest.param("1800;refresher=uac", Terms(1800, True), id="we refresh"),
        pytest.param("900", Terms(900, True), id="it does not say who"),
        pytest.param("900;refresher=uas", Terms(900, False), id="it refreshes"),
        pytest.param("never", None, id="what is no interval"),
        pytest.param("0", None, id="nothing at all"),
    ],
)
def test_what_a_carrier_says(header: str | None, terms: Terms | None) -> None:
    bench = Bench(manners=TIMED)
    leg = bench.dial()
    assert b"\r\nMin-SE: 90\r\n" in leg.invite.encode(), "as RFC 4028 spells it"
    assert (leg.invite.get("session-expires"), leg.invite.get("min-se")) == ("1800", "90")
    assert leg.invite.all("supported") == ["100rel", "timer"]
    bench.respond(leg, 200, content=ANSWER, headers=(("session-expires", header),) if header is not None else ())
    bench.effects()
    assert leg.terms == terms


@pytest.mark.scenario(20)
@pytest.mark.rfc("4028", "9")
@pytest.mark.parametrize(("supported", "effects"), [(True, "sends 422"), (False, "")])
def test_a_session_that_would_be_too_short_is_refused(supported: bool, effects: str) -> None:
    bench = Bench(manners=TIMED)
    headers = f"{'Supported: timer' if supported else 'X: y'}\r\nSession-Expires: 60\r\n"
    bench.hear(bench.from_caller("INVITE", tag=None, body=OFFER.data, headers=headers))
    assert bench.effects() == effects
    assert bool(bench.invited) is not supported
    if supported:
        assert bench.last("422 INVITE").get("min-se") == "90"


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_refresh_that_would_be_too_short_is_refused(method: str) -> None:
    bench = Bench(manners=TIMED)
    leg = called(bench, "Supported: timer\r\n")
    bench.ask(leg, method, body=OFFER.data, headers="Supported: timer\r\nSession-Expires: 60\r\n")
    assert bench.effects() == "sends 422"
    assert leg.terms == Terms(1800, False)


@pytest.mark.scenario(20)
@pytest.mark.rfc("4028", "7.3")
def test_a_carrier_that_wants_a_longer_interval_gets_it_and_a_loop_of_422_stops() -> None:
    bench = Bench(manners=TIMED)
    leg = bench.dial()
    bench.respond(leg, 422, headers=(("min-se", "3600"),))
    assert bench.effects() == "sends ACK, sends INVITE"
    assert (leg.invite.get("session-expires"), leg.invite.get("min-se")) == ("3600", "3600")
    assert leg.invite.cseq == (2, "INVITE")
    for least in ("3600", "3600"):
        bench.respond(leg, 422, headers=(("min-se", least),))
    bench.effects()
    assert len(bench.sent_at("INVITE")) == 3
    assert bench.events == [Failed(422, None, None, responded=True)]


def test_a_422_that_says_nothing_ends_the_attempt() -> None:
    bench = Bench(manners=TIMED)
    leg = bench.dial()
    bench.respond(leg, 422)
    assert bench.effects() == "sends ACK, tells Failed"


# Refreshes.


@pytest.mark.scenario(20)
@pytest.mark.parametrize(("header", "method"), [(UPDATES, "UPDATE"), (("allow", "INVITE"), "INVITE")])
def test_we_refresh_at_half_the_interval_by_what_the_peer_takes(header: tuple[str, str], method: str) -> None:
    bench = Bench(manners=TIMED)
    leg = calls(bench, ("session-expires", "600;refresher=uac"), header)
    bench.sent.clear()
    for count in range(1, 4):
        bench.run(300.0 * count)
        assert bench.sent_at(method) == [300.0 * number for number in range(1, count + 1)]
        refresh = last(bench, method)
        assert (refresh.get("session-expires"), refresh.get("supported")) == ("600", "timer")
        assert refresh.body == (OFFER.data if method == "INVITE" else b""), "what holds already is offered again"
        answers(bench, method, 200, ("session-expires", "600;refresher=uac"), ("content-type", ANSWER.type))
    assert (bench.events, leg.state) == ([], State.CONFIRMED)
    assert len(bench.sent_at("ACK")) == (3 if method == "INVITE" else 0)
    leg.hang_up(None, bench.now)
    bench.effects()
    forgets(bench)


@pytest.mark.scenario(20)
@pytest.mark.parametrize("answer", [408, 481, None])
def test_an_unanswered_refresh_ends_the_call_at_the_last_sign_of_life(answer: int | None) -> None:
    bench = Bench(manners=TIMED)
    leg = calls(bench, ("session-expires", "600;refresher=uac"), UPDATES)
    bench.run(100.0)
    bench.ask(leg, "INFO")
    bench.run(300.0)
    if answer is None:
        bench.run(332.0)
    else:
        answers(bench, "UPDATE", answer)
    bench.effects()
    assert bench.events[-1] == Lost("gone inside the dialog", alive_at_s=100.0)
    assert len(bench.sent_at("BYE")) == 1
    forgets(bench)


@pytest.mark.rfc("4028", "10")
def test_a_refresh_that_is_refused_is_tried_again_until_the_session_expires() -> None:
    bench = Bench(manners=TIMED)
    leg = calls(bench, ("session-expires", "90;refresher=uac"), UPDATES)
    times = 0
    while leg.state is State.CONFIRMED:
        bench.run(bench.now + 0.5)
        if len(bench.sent_at("UPDATE")) > times:
            times += 1
            answers(bench, "UPDATE", 500)
    assert times > 2
    assert bench.sent_at("BYE") == [60.0]  # a third of the interval before its end
    assert bench.events[-1] == Lost("gone inside the dialog", alive_at_s=max(bench.sent_at("UPDATE")))


def test_a_peer_that_takes_no_update_after_all_is_refreshed_by_a_reinvite() -> None:
    bench = Bench(manners=TIMED)
    leg = calls(bench, ("session-expires", "600;refresher=uac"), UPDATES)
    bench.run(300.0)
    answers(bench, "UPDATE", 501)
    bench.run(330.4)
    answers(bench, "INVITE", 200, ("session-expires", "600;refresher=uac"))
    assert (leg.state, leg.exchange.is_stable) == (State.CONFIRMED, True)


def test_a_refresh_that_is_too_short_grows() -> None:
    bench = Bench(manners=TIMED)
    calls(bench, ("session-expires", "600;refresher=uac"), UPDATES)
    bench.run(300.0)
    answers(bench, "UPDATE", 422, ("min-se", "1200"))
    bench.run(330.4)
    assert last(bench, "UPDATE").get("session-expires") == "1200"


@pytest.mark.scenario(20)
def test_a_peer_that_does_not_refresh_is_hung_up_on_a_little_before_the_end() -> None:
    bench = Bench(manners=TIMED)
    leg = called(bench, "Supported: timer\r\nSession-Expires: 600\r\n")
    bench.run(200.0)
    bench.ask(leg, "UPDATE", headers="Supported: timer\r\nSession-Expires: 600;refresher=uac\r\n")
    assert bench.effects() == "sends 200"
    assert bench.last("200 UPDATE").get("session-expires") == "600;refresher=uac"
    bench.run(767.9)
    assert bench.events == []
    bench.run(768.0)
    assert bench.events == [Lost("gone inside the dialog", alive_at_s=200.0)]
    assert bench.sent_at("BYE") == [768.0]
    forgets(bench)


def test_a_refresh_by_the_same_offer_is_answered_by_the_leg_itself() -> None:
    bench = Bench(manners=TIMED)
    leg = called(bench, "Supported: timer\r\nSession-Expires: 600\r\n")
    bench.ask(leg, "INVITE", body=OFFER.data, headers="Supported: timer\r\nSession-Expires: 600\r\n")
    assert bench.effects() == "sends 100, sends 200"
    assert bench.last("200 INVITE").body == ANSWER.data
    bench.hear(bench.from_caller("ACK", tag=leg.local_tag, branch="ack2"))
    bench.effects()
    bench.ask(leg, "INVITE", body=HOLD.data, headers="Supported: timer\r\nSession-Expires: 600\r\n")
    assert bench.effects() == "sends 100, tells Asked"


@pytest.mark.scenario(13)
@pytest.mark.rfc("3261", "14.1")
@pytest.mark.parametrize(("ours", "wait_s"), [pytest.param(True, 4.0, id="the Call-ID is ours"), (False, 2.0)])
def test_our_own_reinvite_is_tried_again_after_glare(ours: bool, wait_s: float) -> None:
    bench = Bench(manners=TIMED)  # it picks the longest wait
    if ours:
        calls(bench, ("session-expires", "600;refresher=uac"))
    else:
        called(bench, "Supported: timer\r\nSession-Expires: 600;refresher=uas\r\n")
    bench.sent.clear()
    bench.run(300.0)
    answers(bench, "INVITE", 491)
    bench.run(310.0)
    bench.effects()
    assert list(dict.fromkeys(bench.sent_at("INVITE")))[:2] == [300.0, 300.0 + wait_s]


def test_a_relayed_reinvite_keeps_the_session_timer() -> None:
    bench = Bench(manners=TIMED)
    leg = calls(bench, ("session-expires", "600;refresher=uas"))
    leg.relay(Ask("INVITE", HOLD, unanswered()), bench.now)
    bench.effects()
    assert last(bench, "INVITE").get("session-expires") == "600"
    answers(bench, "INVITE", 200, ("session-expires", "900;refresher=uac"))
    assert leg.terms == Terms(900, True)


# Probes.


def proved(bench: Bench, headers: str = "") -> IncomingLeg:
    """A leg of a caller who has answered the first probe, at 30 s."""
    leg = called(bench, headers)
    bench.run(30.0)
    answers(bench, "OPTIONS", 405)  # whatever it says, it is there
    return leg


def test_a_peer_without_a_session_timer_is_probed() -> None:
    bench = Bench(manners=BOTH)
    leg = proved(bench)
    for count in range(1, 4):
        bench.run(30.0 + 30.0 * count)
        assert len(bench.sent_at("OPTIONS")) == count + 1
        answers(bench, "OPTIONS", 405)
    assert (bench.events, leg.state) == ([], State.CONFIRMED)
    leg.hang_up(None, bench.now)
    bench.effects()
    forgets(bench)


def test_a_callee_with_a_session_timer_is_not_probed() -> None:
    bench = Bench(manners=BOTH)
    calls(bench, ("session-expires", "600;refresher=uas"))
    bench.run(300.0)
    assert bench.sent_at("OPTIONS") == []


def test_a_caller_is_probed_whatever_session_timer_he_has_agreed_to() -> None:
    bench = Bench(manners=BOTH)
    called(bench, "Supported: timer\r\nSession-Expires: 1800;refresher=uac\r\n")
    bench.run(51.0)
    assert bench.events == [Lost("gone inside the dialog", alive_at_s=0.0)]


def test_a_callee_is_probed_as_soon_as_it_wants_no_session_timer_any_more() -> None:
    bench = Bench(manners=BOTH)
    calls(bench, ("session-expires", "600;refresher=uac"), UPDATES)
    bench.run(300.0)
    answers(bench, "UPDATE", 200)
    bench.run(330.4)
    assert len(bench.sent_at("OPTIONS")) == 1


@pytest.mark.parametrize("answer", [408, 481])
def test_a_peer_that_does_not_know_the_dialog_is_gone(answer: int) -> None:
    bench = Bench(manners=PROBING)
    called(bench)
    bench.run(30.5)
    answers(bench, "OPTIONS", answer)
    assert bench.events == [Lost("gone inside the dialog", alive_at_s=0.0)]


def test_who_answers_no_probe_at_all_is_gone_after_50_seconds() -> None:
    bench = Bench(manners=PROBING)
    leg = called(bench)
    bench.run(49.5)
    states = [leg.state]
    bench.run(50.5)
    states.append(leg.state)
    assert states == [State.CONFIRMED, State.CLOSING]
    assert bench.events == [Lost("gone inside the dialog", alive_at_s=0.0)]
    forgets(bench)


def test_a_100_is_a_proxys_and_no_sign_of_life() -> None:
    """What was said after the last one would be billed."""
    bench = Bench(manners=PROBING)
    called(bench)
    bench.run(30.5)
    answers(bench, "OPTIONS", 100)
    bench.run(51.0)
    assert bench.events == [Lost("gone inside the dialog", alive_at_s=0.0)]


def test_whoever_speaks_but_answers_no_probe_is_gone_within_50_seconds_of_his_last_word() -> None:
    bench = Bench(manners=PROBING)
    leg = called(bench)
    bench.run(14.0)
    bench.hear(bench.from_caller("ACK", tag=leg.local_tag, branch="again"))
    bench.run(33.0)
    bench.ask(leg, "UPDATE")
    bench.effects()
    bench.run(90.0)
    assert isinstance(bench.events[-1], Lost)
    assert bench.events[-1].alive_at_s == 33.0
    assert 33.0 + 15.0 <= bench.sent_at("BYE")[0] <= 33.0 + 50.5


def test_one_missed_probe_is_forgiven_and_two_are_not() -> None:
    bench = Bench(manners=PROBING)
    leg = proved(bench)
    bench.run(90.5)  # the one at 60 s has no answer, the next goes out
    answers(bench, "OPTIONS")
    bench.run(179.5)
    states = [leg.state]
    bench.run(181.0)
    states.append(leg.state)
    assert states == [State.CONFIRMED, State.CLOSING]
    assert bench.events == [Lost("gone inside the dialog", alive_at_s=90.5)]
    forgets(bench)


@pytest.mark.scenario(20)
def test_a_call_for_help_has_no_session_timer_and_no_probe() -> None:
    bench = Bench(manners=BOTH)
    leg = bench.offer(headers="Require: timer\r\nSession-Expires: 90;refresher=uas\r\n", watched=False)
    leg.answer(ANSWER, bench.now)
    bench.cause(leg, Input.GOT_ACK)
    out = bench.dial(watched=False)
    bench.respond(out, 200, content=ANSWER, headers=(("session-expires", "90;refresher=uac"),))
    bench.effects()
    bench.events.clear()
    bench.run(3600.0)
    assert (leg.state, out.state, bench.events) == (State.CONFIRMED, State.CONFIRMED, [])
    assert (bench.last("200 INVITE").get("session-expires"), out.invite.get("session-expires")) == (None, None)
    assert bench.sent_at("OPTIONS") == bench.sent_at("UPDATE") == bench.sent_at("BYE") == []


def test_who_is_not_watched_is_not_said_to_have_died_at_the_beginning() -> None:
    bench = Bench()
    leg = calls(bench)
    bench.run(3600.0)
    leg.relay(Ask("INFO", None, unanswered()), bench.now)
    bench.effects()
    answers(bench, "INFO", 481)
    assert bench.events[-1] == Lost("gone inside the dialog", alive_at_s=None)


def test_a_leg_that_is_over_is_not_probed() -> None:
    bench = Bench(manners=BOTH)
    leg = called(bench)
    leg.hang_up(None, bench.now)
    bench.effects()
    forgets(bench)
    assert bench.sent_at("OPTIONS") == []


@pytest.mark.parametrize("text", ["", "x", "-1", "1" * 10, "600 ;refresher"])
def test_no_interval_raises(text: str) -> None:
    response = Response(200, "OK", [("session-expires", text), ("min-se", text)])
    assert session_timer.agreed(response) in {None, Terms(600, True)}
    assert session_timer.demanded(response) in {None, 600}
