"""What RFC 3261 asks of every message that we send, looked at in the messages of whole stories."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sipshop.sip.message import Request, Response
from sipshop.sip.transaction import MAGIC_COOKIE
from tests.sip.peers import HOLD, Network, Phone, delaying
from tests.sip.test_useragent import Pair, over

ROUTE = "<sip:192.0.2.9;lr>"


@pytest.fixture
def pair() -> Iterator[Pair]:
    yield from over("UDP")


@pytest.fixture
def told(pair: Pair) -> list[Request | Response]:
    """Every message of a call with all that can happen in it, of one that is refused and of one that is cancelled."""
    leg, incoming = pair.talking()
    pair.caller.reinvite(leg, HOLD)
    pair.network.advance()
    pair.callee.send_inside(incoming, "INFO", HOLD)
    pair.network.advance()
    pair.callee.hang_up(incoming)
    _, refused = pair.calling()
    pair.callee.reject(refused, 486)
    pair.network.advance()
    cancelled, ringing = pair.calling()
    pair.callee.ring(ringing)
    pair.network.advance()
    pair.caller.give_up(cancelled)
    pair.network.advance(40.0)
    return [datagram.message for datagram in pair.network.log]


def requests(told: list[Request | Response], *methods: str) -> list[Request]:
    return [m for m in told if isinstance(m, Request) and (not methods or m.method in methods)]


@pytest.mark.rfc("3261", "8.1.1")
def test_a_request_has_the_six_headers_once_each_and_its_own_cseq(told: list[Request | Response]) -> None:
    for request in requests(told):
        for name in ("to", "from", "cseq", "call-id", "max-forwards", "via"):
            assert len(request.all(name)) == 1, (request, name)
        assert request.cseq[1] == request.method
        assert 0 <= request.cseq[0] < 2**31
        assert request.from_.tag


@pytest.mark.rfc("3261", "8.1.1.2")
def test_a_request_that_begins_a_call_has_no_to_tag_and_one_contact(told: list[Request | Response]) -> None:
    first = [invite for invite in requests(told, "INVITE") if invite.cseq[0] == 1]
    assert len(first) == 3
    assert [(invite.to.tag, len(invite.contacts)) for invite in first] == [(None, 1)] * 3
    assert len({invite.call_id for invite in first}) == 3
    assert len({invite.from_.tag for invite in first}) == 3


@pytest.mark.rfc("3261", "8.1.1.7")
def test_every_branch_is_new_but_those_of_cancel_and_the_ack_of_a_refusal(told: list[Request | Response]) -> None:
    by_branch: dict[str, list[str]] = {}
    for request in requests(told):
        assert request.via.branch.startswith(MAGIC_COOKIE)
        by_branch.setdefault(request.via.branch, []).append(request.method)
    shared = sorted(tuple(methods) for methods in by_branch.values() if len(methods) > 1)
    assert shared == [("INVITE", "ACK"), ("INVITE", "CANCEL", "ACK")]


@pytest.mark.rfc("3261", "20.14")
def test_every_message_says_how_long_its_body_is_and_what_it_is(told: list[Request | Response]) -> None:
    for message in told:
        assert message.get("content-length") == str(len(message.body)), message
        assert bool(message.get("content-type")) == bool(message.body), message


@pytest.mark.rfc("3261", "9.1")
def test_a_cancel_is_its_invite_in_all_but_its_method(pair: Pair) -> None:
    leg, _ = pair.calling(headers=[("route", ROUTE), ("supported", "timer")])
    pair.caller.give_up(leg)
    pair.network.advance()
    sent = [datagram for datagram in pair.network.log if str(datagram) in {"INVITE", "CANCEL"}]
    (invite, cancel), (here, there) = ([d.message for d in sent], [(d.transport, d.destination) for d in sent])
    assert isinstance(invite, Request)
    assert isinstance(cancel, Request)
    for name in ("via", "route", "from", "to", "call-id"):
        assert cancel.all(name) == invite.all(name), name
    assert (cancel.target, cancel.cseq[0], here) == (invite.target, invite.cseq[0], there)
    assert (cancel.get("require"), cancel.get("proxy-require")) == (None, None)


@pytest.mark.rfc("3261", "9.2")
@pytest.mark.parametrize("when", ["while it rings", "after the answer"])
def test_the_answer_to_a_cancel_has_the_to_tag_of_the_invites(pair: Pair, when: str) -> None:
    leg, incoming = pair.calling()
    if when == "after the answer":
        pair.network.weather = delaying(0.25, "200 INVITE", times=1)
        pair.callee.answer(incoming)
    pair.caller.give_up(leg)
    pair.network.advance()
    responses = [d.message for d in pair.network.log if isinstance(d.message, Response) and d.message.status >= 200]
    tags = {m.to.tag for m in responses if m.cseq[1] in {"CANCEL", "INVITE"}}
    assert tags == {incoming.local_tag}


@pytest.mark.rfc("3261", "8.2.6.1")
def test_what_is_no_invite_gets_no_provisional_response(told: list[Request | Response]) -> None:
    provisional = {m.cseq[1] for m in told if isinstance(m, Response) and m.status < 200}
    assert provisional == {"INVITE"}


@pytest.mark.rfc("3261", "17.2.1")
def test_an_invite_is_answered_100_at_once_without_a_tag(pair: Pair) -> None:
    pair.calling()
    assert pair.network.instants("100 INVITE", pair.callee) == [1 / 64]
    trying = next(d.message for d in pair.network.log if str(d) == "100 INVITE")
    assert trying.to.tag is None


@pytest.mark.rfc("3261", "10.2")
def test_record_route_is_copied_into_what_makes_a_dialog_and_nothing_else() -> None:
    fields = [("via", "SIP/2.0/UDP h;branch=z9hG4bKx"), ("from", "<sip:a@h>;tag=a"), ("to", "<sip:b@h>")]
    fields += [("call-id", "c"), ("record-route", ROUTE)]
    for method, status, expected in (
        ("INVITE", 180, [ROUTE]),
        ("INVITE", 200, [ROUTE]),
        ("INVITE", 486, []),
        ("REGISTER", 200, []),
        ("OPTIONS", 200, []),
    ):
        reply = Request(method, "sip:h", [*fields, ("cseq", f"1 {method}")]).reply(status, to_tag="t")
        assert reply.all("record-route") == expected, (method, status)


@pytest.mark.rfc("3261", "7.1")
def test_a_method_is_what_it_is_spelt(pair: Pair) -> None:
    request = Request(
        "invite",
        "sip:b@192.0.2.2",
        [
            ("via", pair.caller.agent.via(pair.caller.flow_to(pair.callee.address))),
            ("max-forwards", "70"),
            ("from", "<sip:a@192.0.2.1>;tag=a"),
            ("to", "<sip:b@192.0.2.2>"),
            ("call-id", "c"),
            ("cseq", "1 invite"),
            ("contact", "<sip:a@192.0.2.1>"),
        ],
    )
    recorder = pair.caller.send(request, pair.callee.address)
    pair.network.advance()
    assert recorder.statuses in ([405], [501])
    assert pair.callee.legs == []


@pytest.mark.rfc("3261", "7.3.2")
def test_a_header_that_means_nothing_here_is_passed_over() -> None:
    network = Network()
    caller, callee = Phone(network, ("192.0.2.1", 5060)), Phone(network, ("192.0.2.2", 5060))
    headers = [("retry-after", "never"), ("www-authenticate", "Digest"), ("no-such-header", "\t;,<"), ("server", "x")]
    leg = caller.call(callee.address, headers=headers)
    network.advance()
    callee.answer(callee.incoming)
    network.advance()
    assert caller.story(leg) == "Progressed Answered"
    caller.hang_up(leg)
    network.advance(40.0)
