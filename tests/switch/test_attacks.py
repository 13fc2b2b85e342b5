"""What thieves try, against the whole switch in virtual time: no unpaid call, and no word about who exists."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from sipshop.facts import MessageDropped, RequestRefused, SourceBanned
from sipshop.sip.digest import answer
from sipshop.sip.flow import Address, Flow
from sipshop.sip.message import Response
from tests.sip.peers import Datagram
from tests.switch.house import BOOTH, CARRIER_ONE, GATE, SWITCH, BoothPhone, House

MALLORY: Address = ("192.0.2.66", 5060)
EVIL: Address = ("192.0.2.99", 5060)
OFFER = b"v=0\r\ns=offer\r\n"


@pytest.fixture
def house() -> House:
    return House()


class Forger:
    """Writes whole messages, with whatever source address he likes, and reads what goes there."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.count = 0

    def send(
        self,
        method: str = "INVITE",
        *,
        source: Address = MALLORY,
        target: str = "sip:0301234567@192.0.2.1",
        user: str = "booth1",
        changes: Mapping[str, str | None] | None = None,
        more: tuple[str, ...] = (),
        body: bytes = OFFER,
    ) -> list[Response]:
        """Send a request, and give all that its source was answered within the next second."""
        self.count += 1
        fields = {
            "Via": f"SIP/2.0/UDP {source[0]}:{source[1]};branch=z9hG4bKm{self.count}",
            "Max-Forwards": "70",
            "From": f"<sip:{user}@192.0.2.1>;tag=m",
            "To": f"<{target}>",
            "Call-ID": f"m{self.count}",
            "CSeq": f"1 {method}",
            "Contact": f"<sip:{user}@{source[0]}:{source[1]}>",
            "Content-Type": "application/sdp",
            **(changes or {}),
        }
        lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
        data = "\r\n".join([f"{method} {target} SIP/2.0", *lines, *more, f"Content-Length: {len(body)}", "", ""])
        answers = self.put(data.encode("utf-8", "surrogateescape") + body, source)
        return [answer for answer in answers if answer.get("call-id") == fields["Call-ID"]]

    def put(self, data: bytes, source: Address = MALLORY, seconds: float = 1.0) -> list[Response]:
        network = self.house.network
        seen = len(network.log)
        network.carry(data, "UDP", source, SWITCH)
        self.house.advance(seconds)
        answers = [sent.message for sent in network.log[seen:] if sent.source == SWITCH and sent.destination == source]
        return [message for message in answers if isinstance(message, Response)]

    def statuses(self, method: str = "INVITE", **how: object) -> list[int]:
        return [response.status for response in self.send(method, **how)]  # type: ignore[arg-type]  # as `send` has it


@pytest.fixture
def forger(house: House) -> Forger:
    return Forger(house)


def sent_to(house: House, address: Address) -> list[Datagram]:
    return [datagram for datagram in house.network.log if datagram.destination == address]


def nothing_happened(house: House) -> bool:
    """No call, no record, no state; nobody but who asked was told anything."""
    return not house.memory.cdrs and not sent_to(house, CARRIER_ONE) and house.switch_peer.leftovers() == {}


def credentials(response: Response, method: str, *, user: str = "booth1", password: str = "secret", nc: int = 1) -> str:
    challenge = response.get("www-authenticate") or ""
    value = answer(challenge, user=user, password=password, method=method, uri="sip:x", cnonce="c", nc=nc)
    return f"Authorization: {value}"


# Inside a dialog of others.


@pytest.mark.scenario(35)
@pytest.mark.parametrize("method", ["BYE", "INVITE", "INFO", "OPTIONS", "CANCEL"])
def test_a_guessed_call_id_is_not_enough(house: House, forger: Forger, method: str) -> None:
    house.unlock()
    leg, _ = house.talking()
    before = len(house.network.log)
    tags = {"From": f"<sip:gate@192.0.2.1>;tag={leg.local_tag}", "To": "<sip:0301234567@192.0.2.1>;tag=guessed"}
    assert forger.statuses(method, changes={"Call-ID": leg.call_id, **tags}) == [481]
    assert forger.statuses(method, changes={"Call-ID": leg.call_id}, source=CARRIER_ONE) in ([481], [404], [200])
    told = {datagram.destination for datagram in house.network.log[before:] if datagram.source == SWITCH}
    assert told <= {MALLORY, CARRIER_ONE}, "neither phone nor carrier hears of it"
    assert len(house.switch.desk.calls("Tel")) == 1
    house.forget()


def test_a_forged_ack_does_nothing(house: House, forger: Forger) -> None:
    house.unlock()
    leg, _ = house.talking()
    before = len(house.network.log)
    assert forger.send("ACK", changes={"Call-ID": leg.call_id, "To": "<sip:0301234567@192.0.2.1>;tag=x"}) == []
    assert len(house.network.log) == before + 1
    house.forget()


@pytest.mark.scenario(35)
@pytest.mark.parametrize("source", [MALLORY, CARRIER_ONE, BOOTH, GATE])
def test_a_to_tag_is_no_ticket(house: House, forger: Forger, source: Address) -> None:
    house.unlock()
    assert forger.statuses(changes={"To": "<sip:0301234567@192.0.2.1>;tag=ticket"}, source=source) == [481]
    house.advance(64)
    assert [str(datagram) for datagram in house.network.log] == ["INVITE", "481 INVITE"]
    assert house.memory.cdrs == []


# Round our routes.


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"Route": "<sip:192.0.2.99;lr>"}, id="a Route to elsewhere"),
        pytest.param({"Route": "<sip:192.0.2.1;lr>, <sip:192.0.2.99;lr>"}, id="a Route through us"),
        pytest.param({"Record-Route": "<sip:192.0.2.99;lr>"}, id="a Record-Route"),
        pytest.param({"Contact": "<sip:x@192.0.2.99>"}, id="a Contact elsewhere"),
        pytest.param(
            {"Via": "SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKe;received=192.0.2.99;maddr=192.0.2.99"}, id="a Via"
        ),
    ],
)
def test_nothing_is_sent_where_a_header_points(house: House, forger: Forger, changes: dict[str, str | None]) -> None:
    house.unlock()
    for source in (MALLORY, GATE):
        forger.send(changes=changes, source=source, user="gate" if source == GATE else "booth1")
    house.advance(64)
    assert sent_to(house, EVIL) == []


@pytest.mark.parametrize("target", ["sip:0301234567@192.0.2.99", "sip:0301234567@evil.example;maddr=192.0.2.99"])
def test_we_are_no_open_relay(house: House, forger: Forger, target: str) -> None:
    """A request for another host is a number dialled, for whoever is known; to all others it is a 401."""
    house.unlock()
    assert forger.statuses(target=target) == [401]
    assert sent_to(house, CARRIER_ONE) == []
    assert forger.statuses(target=target, source=GATE, user="gate")[:1] == [100]
    house.advance(64)
    assert sent_to(house, EVIL) == []
    assert str(sent_to(house, CARRIER_ONE)[0]) == "INVITE"


def test_a_request_uri_cannot_carry_headers(house: House, forger: Forger) -> None:
    house.unlock()
    target = "sip:0301234567@192.0.2.1?Route=%3Csip:192.0.2.99%3E"
    assert forger.statuses(target=target, source=GATE, user="gate") == [400]
    assert nothing_happened(house)


@pytest.mark.parametrize("method", ["INVITE", "REGISTER", "OPTIONS", "MESSAGE", "REFER", "SUBSCRIBE"])
def test_a_trunk_s_address_opens_nothing(house: House, forger: Forger, method: str) -> None:
    assert forger.statuses(method, source=CARRIER_ONE)[0] in {200, 401, 404, 405, 603}
    house.advance(64)
    assert [str(datagram) for datagram in sent_to(house, CARRIER_ONE)][1:] == []
    assert house.memory.cdrs == []


def test_a_call_to_ourselves_ends_where_it_began(house: House, forger: Forger) -> None:
    """A Contact that is our own address: what ends the call goes by the flow, and nothing runs in a circle."""
    house.unlock()
    contact = {"Contact": "<sip:gate@192.0.2.1:5060>", "Call-ID": "circle"}
    forger.send(changes=contact, source=GATE, user="gate")
    house.carrier.answer(house.carrier.incoming)
    house.advance()
    house.carrier.hang_up(house.carrier.incoming)
    house.advance(128)
    assert sent_to(house, SWITCH), "the phone and the carrier"
    assert [datagram for datagram in sent_to(house, SWITCH) if datagram.source == SWITCH] == []
    assert house.switch_peer.leftovers() == {}


def test_no_hops_left(house: House, forger: Forger) -> None:
    house.unlock()
    assert forger.statuses(source=GATE, user="gate", changes={"Max-Forwards": "0"}) == [483]
    assert nothing_happened(house)


# In somebody else's name.


@pytest.mark.scenario(33)
def test_a_password_registers_its_own_booth_alone(house: House, forger: Forger) -> None:
    for target in ("sip:gate@192.0.2.1", "sip:booth2@192.0.2.1", "sip:booth1%00@192.0.2.1"):
        (challenge,) = forger.send("REGISTER", target=target)
        proof = credentials(challenge, "REGISTER")
        assert forger.statuses("REGISTER", target=target, more=(proof,)) == [403]
    assert house.switch.tables()["bindings"] == 0


@pytest.mark.scenario(33)
def test_a_booth_does_not_call_in_the_name_of_another(house: House, forger: Forger) -> None:
    house.unlock("booth1")
    for user, statuses in (("gate", [403]), ("Somebody", [100]), ("anonymous", [486])):
        (challenge,) = forger.send(source=BOOTH, user=user)
        proof = credentials(challenge, "INVITE")
        assert forger.statuses(source=BOOTH, user=user, more=(proof,))[:1] == statuses
    (live,) = house.switch.desk.calls("Tel")
    assert live.booth == "booth1", "a name that nobody has is only a name: his password says who pays"


@pytest.mark.scenario(32)
def test_what_was_heard_on_the_wire_cannot_be_played_again(house: House, forger: Forger) -> None:
    house.unlock("booth1")
    (challenge,) = forger.send(source=BOOTH)
    proof = credentials(challenge, "INVITE")
    assert forger.statuses(source=BOOTH, more=(proof,))[:1] == [100]
    (refused,) = forger.send(source=MALLORY, more=(proof,))
    assert refused.status == 401
    assert "stale=true" in (refused.get("www-authenticate") or "")
    assert len(house.switch.desk.calls("Tel")) == 1


def test_credentials_for_another_method_or_realm_are_none(house: House, forger: Forger) -> None:
    house.unlock("booth1")
    (challenge,) = forger.send(source=BOOTH)
    assert forger.statuses(source=BOOTH, more=(credentials(challenge, "REGISTER"),)) == [401]
    elsewhere = credentials(challenge, "INVITE").replace('realm="sipshop"', 'realm="elsewhere"')
    assert forger.statuses(source=BOOTH, more=(elsewhere,)) == [401]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(("f: <sip:gate@192.0.2.1>;tag=m",), id="From twice, once in short"),
        pytest.param(("FROM : <sip:gate@192.0.2.1>;tag=m",), id="From twice, with a blank"),
        pytest.param(("To: <sip:0909@192.0.2.1>",), id="To twice"),
        pytest.param(("i: other",), id="Call-ID twice"),
        pytest.param(("l: 5",), id="Content-Length twice"),
        pytest.param(("m: <sip:x@192.0.2.99>",), id="Contact twice"),
    ],
)
def test_a_header_that_stands_twice_is_refused(house: House, forger: Forger, more: tuple[str, ...]) -> None:
    assert forger.statuses(more=more) == [400]
    assert nothing_happened(house)


def test_a_folded_line_is_no_header(house: House, forger: Forger) -> None:
    house.unlock()
    folded = ("Subject: hello\r\n From: <sip:gate@192.0.2.1>;tag=y\r\n\tAuthorization: Digest username=x",)
    assert forger.statuses(more=folded) == [401]


# Escapes into logs, headers, tables.

INJECTED = "030%0D%0AEvil:%20yes%0D%0A%0D%0A%00%1B[2J'\";--"


@pytest.mark.scenario(35)
def test_no_escaped_line_end_gets_out_again(house: House, forger: Forger, caplog: pytest.LogCaptureFixture) -> None:
    house.unlock()
    name = INJECTED.replace('"', "%22")
    forger.send(target=f"sip:{name}@192.0.2.1", user=name)
    forger.send("REGISTER", target=f"sip:{name}@192.0.2.1", user=name)
    forger.send(target=f"sip:{name}@192.0.2.1", source=GATE, user="gate")
    forger.send(target="sip:0301234567@192.0.2.1", source=GATE, user=name, changes={"Call-ID": name})
    bare = b'INVITE sip:x SIP/2.0\r\nFrom: "\\\0"<sip:a@b>;tag=\0\r\n\r\n'
    house.switch_peer.agent.hear(bare, Flow("UDP", SWITCH, MALLORY), house.network.now)
    house.switch_peer.work(house.network.now)
    house.advance(64)
    for datagram in house.network.log:
        if datagram.source == SWITCH:
            head = datagram.data.partition(b"\r\n\r\n")[0]
            assert not re.search(rb"\r\nEvil|[\0\x1b]|(?<!\r)\n|\r(?!\n)", head), head
            assert "evil" not in dict(datagram.message.headers)
    assert "\x1b" not in caplog.text
    assert "\nEvil" not in caplog.text
    for cdr in house.memory.cdrs:
        assert not re.search(r"[\x00-\x1f]", repr(cdr.dialled))


def test_long_and_many_headers_are_answered_once_and_forgotten(house: House, forger: Forger) -> None:
    assert forger.statuses(more=(f"X-Long: {'x' * 60_000}",)) == [401]
    assert forger.statuses(more=tuple(f"X-{number}: y" for number in range(3000))) == [401]
    vias = tuple(f"Via: SIP/2.0/UDP 198.51.100.{number};branch=z9hG4bK{number}" for number in range(100))
    (answer_,) = forger.send(more=vias)
    assert (answer_.status, len(answer_.all("via"))) == (401, 101)
    house.advance(64)
    assert nothing_happened(house)


# What an answer costs and tells.


@pytest.mark.parametrize("method", ["INVITE", "REGISTER", "OPTIONS", "BYE", "CANCEL", "MESSAGE", "FROB", "SUBSCRIBE"])
def test_a_forged_address_gets_one_small_answer_and_no_more(house: House, forger: Forger, method: str) -> None:
    """No amplifier: one answer, which is never repeated and little longer than the question."""
    answers = forger.send(method)
    house.advance(300)
    sent = [datagram for datagram in house.network.log if datagram.destination == MALLORY]
    assert len(sent) == len(answers) == 1
    asked = next(datagram for datagram in house.network.log if datagram.source == MALLORY)
    assert len(sent[0].data) < 1.5 * len(asked.data)
    assert nothing_happened(house)


@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "OPTIONS", "SUBSCRIBE", "ACK", "BYE", "MESSAGE"])
@pytest.mark.parametrize("password", [None, "guessed"])
def test_who_exists_is_not_told(house: House, forger: Forger, method: str, password: str | None) -> None:
    """The same bytes, but for what is random, for a booth, a booth without a password, and nobody."""

    def heard(user: str) -> str:
        changes = {"Call-ID": "same", "Via": "SIP/2.0/UDP 192.0.2.66;branch=z9hG4bKsame"}
        target = f"sip:{user}@192.0.2.1"
        answers = forger.send(method, target=target, user=user, changes=changes)
        if password is not None and answers and answers[0].get("www-authenticate"):
            proof = credentials(answers[0], method, user=user, password=password)
            answers = forger.send(method, target=target, user=user, changes=changes, more=(proof,))
        text = "\n".join(answer.encode().decode() for answer in answers).replace(user, "USER")
        return re.sub(r'nonce="[0-9a-f]+"|tag=[0-9a-zx]+', "", text)

    assert heard("booth1") == heard("nobody") == heard("gate")


def test_guessing_ends_after_a_few_tries(house: House, forger: Forger) -> None:
    def guesses(user: str) -> int:
        """How many wrong passwords were answered."""
        for count in range(100):
            challenges = forger.send("REGISTER", target=f"sip:{user}@192.0.2.1", user=user)
            if not challenges:
                return count
            proof = credentials(challenges[0], "REGISTER", user=user, password=f"guess{count}")
            forger.send("REGISTER", target=f"sip:{user}@192.0.2.1", user=user, more=(proof,))
        return 100

    assert guesses("booth1") == guesses("nobody") == 5, "the same for who exists and who does not"
    assert [(ban.source, ban.account) for ban in house.switch.gate.bans()] == [
        ("192.0.2.66", "booth1"),
        ("192.0.2.66", "nobody"),
    ]
    assert [guesses(f"user{number}") for number in range(3)] == [5, 5, 0], "then the address is not heard at all"
    assert house.switch.gate.bans()[-1].account is None
    assert [fact.account for fact in house.switch_peer.told(SourceBanned) if isinstance(fact, SourceBanned)][-1] is None
    dropped = [fact.reason for fact in house.switch_peer.told(MessageDropped) if isinstance(fact, MessageDropped)]
    assert set(dropped) == {"banned"}
    assert house.switch.gate.lift("192.0.2.66") == 5
    assert forger.statuses("REGISTER") == [401]


def test_a_forger_cannot_lock_a_booth_out(house: House, forger: Forger) -> None:
    """He has a nonce that was sent to him, and writes the booth's address on a thousand wrong answers to it."""
    house.unlock("booth1")
    phone = BoothPhone(house.network, BOOTH)
    phone.register()
    house.advance()
    phone.register([phone.credentials(phone.challenge(), "REGISTER", "sip:192.0.2.1")])
    house.advance()
    assert house.switch.tables()["bindings"] == 1
    (challenge,) = forger.send("REGISTER")
    for number in range(100):
        proof = credentials(challenge, "REGISTER", password=f"guess{number}")
        forger.send("REGISTER", source=(BOOTH[0], 6666), more=(proof,))
    assert house.switch.gate.bans() == []
    phone.call(SWITCH)
    house.advance()
    leg = phone.call_with_password()
    house.advance()
    house.carrier.answer(house.carrier.incoming)
    house.advance()
    assert "Answered" in phone.story(leg)


def test_a_scanner_hears_nothing(house: House, forger: Forger) -> None:
    for method in ("OPTIONS", "REGISTER", "INVITE"):
        assert forger.send(method, more=("User-Agent: friendly-scanner",)) == []
    assert nothing_happened(house)


@pytest.mark.parametrize(
    ("user", "challenged", "why"),
    [
        ("booth1", True, "a wrong password"),
        ("nobody", True, "no booth of that name in the realm sipshop"),
        ("booth1", False, "credentials that answer no challenge of ours"),
    ],
)
def test_the_log_says_what_a_401_was_for_and_to_whom_and_the_sender_does_not_hear_it(
    house: House, user: str, challenged: bool, why: str
) -> None:
    stranger = BoothPhone(house.network, MALLORY, user=user, password="wrong")
    stranger.register()
    house.advance()
    challenge = stranger.challenge() if challenged else 'Digest realm="sipshop", nonce="x", qop="auth"'
    recorder = stranger.register([stranger.credentials(challenge, "REGISTER", f"sip:{SWITCH[0]}")])
    house.advance()
    told = [fact for fact in house.switch_peer.facts if isinstance(fact, RequestRefused)]
    assert [(fact.account, fact.why) for fact in told] == [(user, "no credentials yet"), (user, why)]
    assert recorder.statuses == [401]
