"""A client's half of digest: which challenge is answered, how often, and by whom never (RFC 7616, RFC 8760)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from sipshop.sip.course import Input, State
from sipshop.sip.digest import Algorithm, Credentials, DigestClient, DigestServer, Verified, ha1
from sipshop.sip.events import Ask, Failed, HungUp
from sipshop.sip.message import Request, Response
from tests.sip.bench import FLOW, Bench
from tests.sip.peers import HOLD, Recorder, summary, unanswered

REALM = "carrier.example"
WHO = Credentials("we", 'se"cret')
BOTH = (Algorithm.SHA_256, Algorithm.MD5)
KNOWN = {algorithm: ha1(algorithm, WHO.username, REALM, WHO.password) for algorithm in Algorithm}


class Guard:
    """What a carrier does: challenges, and verifies what comes back."""

    def __init__(self, algorithms: Sequence[Algorithm] = (Algorithm.MD5,), realm: str = REALM) -> None:
        draws = itertools.count()
        self.realm = realm
        self.algorithms = algorithms
        self.server = DigestServer(b"s" * 32, lambda size: next(draws).to_bytes(size, "big"))

    def challenge(self, request: Request, status: int = 401, *, stale: bool = False, now: float = 0.0) -> Response:
        header = "www-authenticate" if status == 401 else "proxy-authenticate"
        challenges = self.server.challenge(self.realm, self.algorithms, now, stale=stale, header=header)
        return request.reply(status, to_tag="guard", headers=challenges)

    def accepts(self, request: Request, header: str = "authorization", now: float = 0.0) -> bool:
        known = {algorithm: ha1(algorithm, WHO.username, self.realm, WHO.password) for algorithm in self.algorithms}
        verdict = self.server.verify(
            request.method, request.all(header), self.realm, lambda _: known, self.algorithms, now
        )
        return verdict == Verified(WHO.username)


def last(bench: Bench, method: str) -> Request:
    message = bench.last(method)
    assert isinstance(message, Request)
    return message


# Which challenge is answered.


def response(*challenges: str, status: int = 401) -> Response:
    header = "www-authenticate" if status == 401 else "proxy-authenticate"
    return Response(status, "", [(header, challenge) for challenge in challenges])


@pytest.mark.rfc("8760", "2.4")
@pytest.mark.parametrize(
    ("challenges", "answered"),
    [
        pytest.param(['Digest realm="r", nonce="a"'], "a", id="no algorithm is MD5"),
        pytest.param(
            ['Digest realm="r", nonce="a", algorithm=MD5', 'Digest realm="r", nonce="b", algorithm=SHA-256'],
            "b",
            id="the strongest, though it stands below",
        ),
        pytest.param(
            ['Digest realm="r", nonce="a", algorithm=SHA-512-256', 'Digest realm="r", nonce="b", algorithm=md5'],
            "b",
            id="the one that we know",
        ),
        pytest.param(
            ['Digest realm="r", nonce="a"', 'Digest realm="s", nonce="b", algorithm=SHA-256'],
            "a",
            id="the first realm, though another has a stronger one",
        ),
        pytest.param(['Basic realm="r"', 'Digest realm="r", nonce="b"'], "b", id="not Basic"),
        pytest.param(['Digest realm="r", nonce="b", qop="auth-int,auth"'], "b", id="auth among others"),
        pytest.param(['Digest realm="r", nonce="b", qop="auth-int"'], None, id="only auth-int"),
        pytest.param(['Digest nonce="b"'], None, id="no realm"),
        pytest.param(['Digest realm="r", nonce="b", algorithm=MD5-sess'], None, id="an algorithm that we do not know"),
        pytest.param([], None, id="no challenge at all"),
    ],
)
def test_of_several_challenges_one_is_answered(challenges: list[str], answered: str | None) -> None:
    headers = DigestClient(WHO, lambda: "c").begin().hear(response(*challenges), "INVITE", "sip:x")
    if answered is None:
        assert headers is None
    else:
        assert headers is not None
        ((name, value),) = headers
        assert name == "authorization"
        assert f'nonce="{answered}"' in value


def test_credentials_of_a_realm_are_for_no_other() -> None:
    challenge = response('Digest realm="r", nonce="a"')
    assert DigestClient(Credentials("we", "x", "other"), lambda: "c").begin().hear(challenge, "BYE", "sip:x") is None
    assert DigestClient(Credentials("we", "x", "r"), lambda: "c").begin().hear(challenge, "BYE", "sip:x")


def test_who_answered_one_realm_answers_no_other_later() -> None:
    client = DigestClient(WHO, lambda: "c")
    assert client.begin().hear(response('Digest realm="r", nonce="a"'), "INVITE", "sip:x")
    assert client.begin().hear(response('Digest realm="s", nonce="b"'), "BYE", "sip:x") is None
    assert client.begin().hear(response('Digest realm="r", nonce="c"'), "BYE", "sip:x")


def test_a_nonce_that_comes_again_is_counted() -> None:
    client = DigestClient(WHO, lambda: "c")
    challenge = response('Digest realm="r", nonce="a", qop="auth", opaque="o/=="')
    values = [(client.begin().hear(challenge, "INVITE", "sip:x") or [])[0][1] for _ in range(3)]
    assert [f"nc=0000000{count}" in value for count, value in enumerate(values, 1)] == [True] * 3
    assert all('opaque="o/=="' in value for value in values)


def test_a_password_is_not_seen_where_credentials_are_shown() -> None:
    assert WHO.password not in repr(WHO)


# A request outside any dialog.


def asks(bench: Bench, *, credentials: Credentials | None = WHO) -> Recorder:
    recorder = Recorder()
    bench.agent.request(
        "REGISTER",
        FLOW,
        target="sip:carrier.example",
        from_="<sip:we@carrier.example>",
        to="<sip:we@carrier.example>",
        call_id="r",
        tag="t",
        cseq=7,
        headers=[("contact", "<sip:we@192.0.2.1>"), ("expires", "600")],
        user=recorder,
        now=bench.now,
        credentials=credentials,
    )
    bench.effects()
    return recorder


@pytest.mark.parametrize("algorithms", [BOTH, BOTH[::-1], BOTH[:1], BOTH[1:]])
@pytest.mark.parametrize(("status", "header"), [(401, "authorization"), (407, "proxy-authorization")])
def test_a_challenged_request_is_sent_again(algorithms: Sequence[Algorithm], status: int, header: str) -> None:
    bench, guard = Bench(), Guard(algorithms)
    recorder = asks(bench)
    first = last(bench, "REGISTER")
    assert first.get(header) is None
    bench.hear(guard.challenge(first, status).encode())
    assert bench.effects() == "sends REGISTER"
    again = last(bench, "REGISTER")
    assert guard.accepts(again, header)
    assert (again.call_id, again.from_.tag, again.cseq) == ("r", "t", (8, "REGISTER"))
    assert again.via.branch != first.via.branch
    assert (again.get("contact"), again.get("expires")) == (first.get("contact"), "600")
    bench.hear(again.reply(200).encode())
    assert (recorder.statuses, recorder.last.cseq[0]) == ([200], 8)


@pytest.mark.scenario(18)
@pytest.mark.parametrize(
    ("stale", "sent"),
    [
        pytest.param([False], 2, id="a wrong password: one try"),
        pytest.param([True, False], 3, id="a stale nonce: a second"),
        pytest.param([True, True], 3, id="stale for ever: no third"),
    ],
)
def test_a_refused_answer_is_not_repeated(stale: list[bool], sent: int) -> None:
    bench, guard = Bench(), Guard()
    recorder = asks(bench)
    bench.hear(guard.challenge(last(bench, "REGISTER")).encode())
    for each in stale:
        bench.effects()
        bench.hear(guard.challenge(last(bench, "REGISTER"), stale=each).encode())
    bench.effects()
    assert (len(bench.sent_at("REGISTER")), recorder.statuses) == (sent, [401])


def test_a_proxy_and_the_server_behind_it_may_each_ask_once() -> None:
    bench, proxy, server = Bench(), Guard(), Guard()
    recorder = asks(bench)
    bench.hear(proxy.challenge(last(bench, "REGISTER"), 407).encode())
    bench.effects()
    assert proxy.accepts(last(bench, "REGISTER"), "proxy-authorization")
    bench.hear(server.challenge(last(bench, "REGISTER"), 401).encode())
    bench.effects()
    again = last(bench, "REGISTER")
    assert server.accepts(again)
    assert proxy.accepts(again, "proxy-authorization"), "the proxy's nonce is counted on"
    bench.hear(proxy.challenge(again, 407).encode())
    assert recorder.statuses == [407]


def test_without_credentials_a_challenge_is_an_answer() -> None:
    bench = Bench()
    recorder = asks(bench, credentials=None)
    bench.hear(Guard().challenge(last(bench, "REGISTER")).encode())
    assert (bench.effects(), recorder.statuses) == ("", [401])


def test_silence_after_the_challenge_is_told() -> None:
    bench = Bench()
    recorder = asks(bench)
    bench.hear(Guard().challenge(last(bench, "REGISTER")).encode())
    bench.run(40.0)
    assert recorder.failure == "timeout"
    bench.run(100.0)
    assert not any(bench.agent.tables().values())


# The INVITE.


@pytest.mark.scenario(18)
@pytest.mark.parametrize("provisional", [False, True])
@pytest.mark.parametrize(("status", "header"), [(401, "authorization"), (407, "proxy-authorization")])
def test_a_challenged_call_is_made_with_credentials(provisional: bool, status: int, header: str) -> None:
    bench, guard = Bench(), Guard(BOTH)
    leg = bench.dial(credentials=WHO)
    first = leg.invite
    if provisional:
        bench.respond(leg, 100)
    bench.hear(guard.challenge(first, status).encode())
    assert bench.effects() == f"{'tells Progressed, ' if provisional else ''}sends ACK, sends INVITE"
    assert guard.accepts(leg.invite, header)
    assert (leg.invite.call_id, leg.invite.from_.tag, leg.invite.cseq) == (first.call_id, "a", (2, "INVITE"))
    assert leg.invite.body == first.body
    bench.respond(leg, 200)
    assert bench.effects() == "tells Answered, sends ACK"
    ack = last(bench, "ACK")
    assert (ack.cseq, ack.get(header)) == ((2, "ACK"), leg.invite.get(header))
    leg.hang_up(None, bench.now)
    bench.effects()
    assert last(bench, "BYE").cseq == (3, "BYE")


@pytest.mark.scenario(18)
def test_a_wrong_password_ends_the_attempt_after_one_try() -> None:
    bench, guard = Bench(), Guard()
    leg = bench.dial(credentials=WHO)
    for _ in range(2):
        bench.hear(guard.challenge(leg.invite).encode())
    bench.effects()
    assert len(bench.sent_at("INVITE")) == 2
    assert bench.events == [Failed(401, None, None, responded=True)]
    assert leg.state is State.CLOSED


@pytest.mark.rfc("3261", "22.1")
def test_the_ack_of_a_refusal_repeats_the_credentials() -> None:
    bench, guard = Bench(), Guard()
    leg = bench.dial(credentials=WHO)
    bench.hear(guard.challenge(leg.invite).encode())
    bench.respond(leg, 486)
    bench.effects()
    assert last(bench, "ACK").get("authorization") == leg.invite.get("authorization")


@pytest.mark.scenario(5)
def test_a_cancel_after_the_challenge_waits_for_the_new_invite_and_hits_only_that() -> None:
    bench, guard = Bench(), Guard()
    leg = bench.dial(credentials=WHO)
    first = leg.invite
    bench.respond(leg, 100)
    bench.hear(guard.challenge(first).encode())
    bench.effects()
    leg.give_up(bench.now)
    assert bench.effects() == "", "the new INVITE has no provisional response yet"
    bench.respond(leg, 100)
    assert bench.effects() == "sends CANCEL"
    cancel = last(bench, "CANCEL")
    assert (cancel.via.branch, cancel.cseq) == (leg.invite.via.branch, (2, "CANCEL"))
    assert cancel.via.branch != first.via.branch


@pytest.mark.scenario(18)
@pytest.mark.parametrize("way", [(Input.GIVE_UP,), (Input.GOT_1XX, Input.GIVE_UP)])
def test_a_challenge_to_a_call_that_was_given_up_ends_it(way: tuple[Input, ...]) -> None:
    bench = Bench()
    leg = bench.dial(credentials=WHO)
    for step in way:
        bench.cause(leg, step)
    bench.effects()
    bench.hear(Guard().challenge(leg.invite).encode())
    assert (bench.effects(), leg.state) == ("sends ACK", State.CLOSED)


# Elsewhere.

MOVED = (("contact", "<mailto:x@y>, <sip:b@carrier.example>, <sip:b@192.0.2.40:5070>;q=0.1"),)


def test_a_redirection_to_another_address_is_followed_without_credentials() -> None:
    bench, guard = Bench(), Guard()
    leg = bench.dial(credentials=WHO, redirects=1)
    bench.hear(guard.challenge(leg.invite).encode())
    bench.respond(leg, 302, headers=MOVED)
    bench.effects()
    assert (leg.invite.target, leg.flow.remote) == ("sip:b@192.0.2.40:5070", ("192.0.2.40", 5070))
    assert (leg.invite.cseq, leg.invite.get("authorization")) == ((3, "INVITE"), None)
    bench.hear(guard.challenge(leg.invite).encode())
    bench.effects()
    assert bench.events == [Failed(401, None, None, responded=True)]


@pytest.mark.parametrize(
    ("redirects", "contact"),
    [
        pytest.param(0, "<sip:b@192.0.2.40>", id="none is followed"),
        pytest.param(1, "<sip:premium@192.0.2.40>", id="another number"),
        pytest.param(1, "<sip:b@carrier.example>", id="a name"),
        pytest.param(1, "*", id="no address at all"),
        pytest.param(1, "<sip:b@", id="an address that is none"),
    ],
)
def test_a_redirection_that_is_not_followed_ends_the_attempt(redirects: int, contact: str) -> None:
    bench = Bench()
    leg = bench.dial(redirects=redirects)
    bench.respond(leg, 302, headers=(("contact", contact),))
    assert bench.effects() == "sends ACK, tells Failed"
    assert bench.events == [Failed(302, None, None, responded=True)]


def test_a_circle_of_redirections_ends() -> None:
    bench = Bench()
    leg = bench.dial(redirects=2)
    for _ in range(3):
        bench.respond(leg, 302, headers=MOVED)
    bench.effects()
    assert len(bench.sent_at("INVITE")) == 3
    assert leg.state is State.CLOSED


# Inside the dialog.


@pytest.mark.scenario(17)
@pytest.mark.parametrize("method", ["BYE", "INVITE", "INFO", "OPTIONS"])
def test_a_request_inside_that_a_trunk_challenges_is_sent_again_to_the_same_place(method: str) -> None:
    bench, guard = Bench(), Guard()
    leg = bench.dial(credentials=WHO)
    bench.respond(leg, 200)
    bench.effects()
    if method == "BYE":
        leg.hang_up("Q.850;cause=16", bench.now)
    else:
        leg.relay(Ask(method, HOLD if method == "INVITE" else None, unanswered()), bench.now)
    bench.effects()
    first = last(bench, method)
    bench.hear(guard.challenge(first).encode())
    bench.effects()
    again = last(bench, method)
    assert guard.accepts(again)
    assert again.cseq[0] == first.cseq[0] + 1
    for name in ("call-id", "from", "to", "reason", "contact"):
        assert again.get(name) == first.get(name)
    assert (again.target, again.body) == (first.target, first.body)
    bench.hear(again.reply(200).encode())
    bench.effects()
    if method == "INVITE":
        assert last(bench, "ACK").cseq == (again.cseq[0], "ACK")
    assert leg.state is (State.CLOSED if method == "BYE" else State.CONFIRMED)


@pytest.mark.scenario(34)
def test_a_phone_that_challenges_our_bye_gets_no_credentials() -> None:
    bench = Bench()
    leg = bench.offer()
    bench.cause(leg, Input.ANSWER)
    bench.cause(leg, Input.GOT_ACK)
    bench.cause(leg, Input.HANG_UP)
    bench.effects()
    bench.hear(Guard().challenge(last(bench, "BYE")).encode())
    assert (bench.effects(), leg.state) == ("", State.CLOSED)


@pytest.mark.scenario(34)
def test_another_realm_inside_the_dialog_gets_no_credentials() -> None:
    bench = Bench()
    leg = bench.dial(credentials=WHO)
    bench.hear(Guard().challenge(leg.invite).encode())
    bench.respond(leg, 200)
    leg.hang_up(None, bench.now)
    bench.effects()
    bench.hear(Guard(realm="evil.example").challenge(last(bench, "BYE")).encode())
    assert (bench.effects(), leg.state) == ("", State.CLOSED)


def test_a_bye_that_is_refused_twice_ends_the_leg_all_the_same() -> None:
    bench, guard = Bench(), Guard()
    leg = bench.dial(credentials=WHO)
    bench.respond(leg, 200)
    leg.hang_up(None, bench.now)
    bench.effects()
    for _ in range(2):
        bench.hear(guard.challenge(last(bench, "BYE")).encode())
        bench.effects()
    assert (len({m.encode() for _, m in bench.sent if summary(m) == "BYE"}), leg.state) == (2, State.CLOSED)
    assert HungUp not in map(type, bench.events)


def test_a_reinvite_that_was_cancelled_is_not_sent_again() -> None:
    bench = Bench()
    leg = bench.dial(credentials=WHO)
    bench.respond(leg, 200)
    ask = Ask("INVITE", HOLD, unanswered())
    bench.effects()
    leg.relay(ask, bench.now)
    bench.effects()
    leg.withdraw(ask, bench.now)
    bench.hear(Guard().challenge(last(bench, "INVITE")).encode())
    assert bench.effects() == "sends ACK, tells Replied"
