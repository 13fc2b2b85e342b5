"""Phones that come, move, go, and are kept over a restart; in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise

import pytest

from sipshop.facts import Fact, RegistrationChanged
from sipshop.sip.flow import Address
from sipshop.sip.message import Response
from sipshop.switch import RegistrationStatus
from sipshop.switch.registrations import RENEWALS_S
from tests.sip.peers import Recorder
from tests.switch.house import GATE, SWITCH, TENANT, BoothPhone, House

INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"'
#: The same NAT, and the next port that it gives.
MOVED = (GATE[0], 31_000)


class Home(House):
    """The house, with a phone for booth `gate` that registers."""

    def __init__(self, *, keepalive_s: int = 0, transport: str = "UDP") -> None:
        super().__init__(keepalive_s=keepalive_s)
        self.phone: BoothPhone = BoothPhone(self.network, GATE, user="gate")
        self.phone.transport = transport

    def phone_at(self, address: Address) -> BoothPhone:
        return BoothPhone(self.network, address, user="gate")

    def registered(self, phone: BoothPhone | None = None, headers: Iterable[tuple[str, str]] = ()) -> Response:
        recorder: Recorder = (phone or self.phone).register(headers)
        self.advance()
        return recorder.responses[-1]

    @property
    def phones_there(self) -> list[RegistrationStatus]:
        return self.switch.desk.registrations(TENANT)

    @property
    def addresses(self) -> list[str]:
        return [status.address for status in self.phones_there]

    @property
    def told(self) -> list[tuple[int, int]]:
        facts: list[Fact] = self.switch_peer.told(RegistrationChanged)
        return [(fact.bindings, fact.reachable) for fact in facts if isinstance(fact, RegistrationChanged)]

    def writes(self) -> int:
        """How often a row of a binding was written or removed."""
        ((count,),) = self.memory.connection.execute("SELECT total_changes()").fetchall()
        return int(count)


def contact(port: int, params: str = "") -> tuple[str, str]:
    return ("contact", f"<sip:gate@10.0.0.5:{port}>{params}")


# A phone that comes back is one phone.


@pytest.mark.scenario(29)
def test_a_phone_that_comes_from_another_port_of_its_nat_replaces_itself() -> None:
    house = Home()
    house.registered()
    moved = house.phone_at(MOVED)
    moved._cseq = 1
    fields = {"contact": f"<sip:gate@{GATE[0]}:{GATE[1]}>", "call-id": f"register@{GATE[0]}"}
    request = moved.registration()
    for name, value in fields.items():
        request.set(name, value)
    moved.send(request, SWITCH)
    house.advance()
    assert house.addresses == [f"{MOVED[0]}:{MOVED[1]}"]
    assert house.told == [(1, 1)]


@pytest.mark.scenario(30)
def test_a_phone_whose_connection_broke_is_unreachable_until_it_registers_again() -> None:
    house = Home(transport="TCP")
    house.registered()
    assert [status.reachable for status in house.phones_there] == [True]
    house.network.cut(house.phone, house.switch_peer)
    assert [status.reachable for status in house.phones_there] == [False]
    assert house.switch.desk.booth(TENANT, "gate").reachable == 0
    house.registered()
    assert [(status.transport, status.reachable) for status in house.phones_there] == [("TCP", True)]
    assert house.told == [(1, 1), (1, 0), (1, 1)]


@pytest.mark.scenario(33)
def test_the_name_of_another_booth_is_refused_with_a_reason_before_anything_changes() -> None:
    house = Home()
    phone = BoothPhone(house.network, ("192.0.2.12", 5060))
    phone.register(user="gate")
    house.advance()
    challenge = phone.challenge()
    recorder = phone.register([phone.credentials(challenge, "REGISTER", "sip:192.0.2.1")], user="gate")
    house.advance()
    assert (recorder.responses[-1].status, recorder.responses[-1].reason) == (403, "Not this booth's address")
    assert house.phones_there == []


@pytest.mark.scenario(31)
@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        pytest.param([("contact", "*")], 400, "Contact * needs Expires 0", id="star"),
        pytest.param([("expires", "5")], 423, "Interval Too Brief", id="too brief"),
        pytest.param([("path", "edge")], 400, "Registration not understood", id="path"),
    ],
)
def test_a_refusal_says_why_and_changes_nothing(
    fields: list[tuple[str, str]], status: int, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    house = Home()
    house.registered()
    before = house.phones_there
    request = house.phone.registration()
    for name, value in fields:
        request.set(name, value)
    recorder = house.phone.send(request, SWITCH)
    house.advance()
    response = recorder.responses[-1]
    assert (response.status, response.reason) == (status, reason)
    assert [one.contact for one in house.phones_there] == [one.contact for one in before]
    assert f"REGISTER was refused with {status}" in caplog.text


def test_too_many_phones_of_a_booth_are_refused_by_name(caplog: pytest.LogCaptureFixture) -> None:
    house = Home()
    phones = [house.phone_at(("192.0.2.11", 5070 + number)) for number in range(6)]
    answers = []
    for number, phone in enumerate(phones):
        request = phone.registration()
        request.set("contact", f"<sip:gate@10.0.0.{number}>")
        request.set("call-id", f"phone{number}")
        recorder = phone.send(request, SWITCH)
        house.advance()
        answers.append((recorder.responses[-1].status, recorder.responses[-1].reason))
    assert answers == [(200, "OK")] * 5 + [(403, "Too many phones registered")]
    assert "too many bindings: 6 of at most 5" in caplog.text


# What a restart leaves.


def test_a_phone_is_there_after_a_restart_until_its_time_is_over() -> None:
    house = Home()
    house.registered(headers=[("user-agent", "Desk 1")])
    (before,) = house.phones_there
    house.advance(100)
    house.restart()
    (after,) = house.phones_there
    assert (after.contact, after.address, after.expires_at_ms) == (before.contact, before.address, before.expires_at_ms)
    assert (after.reachable, after.seen_at_ms, after.user_agent) == (True, None, "Desk 1")
    assert house.told == [(1, 1)]
    house.advance(499)
    assert len(house.phones_there) == 1
    house.advance(2)
    assert house.phones_there == []
    house.advance()
    assert house.memory.count("bindings") == 0


def test_what_expired_while_nobody_was_there_is_gone() -> None:
    house = Home()
    house.registered()
    house.network.leave(house.switch_peer)
    house.network.advance(601)
    house.network.join(house.switch_peer)
    house.restart()
    house.advance()
    assert house.phones_there == []
    assert house.memory.count("bindings") == 0


def test_a_clock_that_was_set_back_does_not_make_a_phone_last() -> None:
    house = Home()
    house.registered()
    house.memory.connection.execute(
        "UPDATE bindings SET held = replace(held, '\"expires_at_ms\":1', '\"expires_at_ms\":9')"
    )
    house.restart()
    assert len(house.phones_there) == 1
    house.advance(3601)
    assert house.phones_there == []


def test_a_connection_does_not_outlive_us() -> None:
    house = Home(transport="TCP")
    house.registered()
    house.advance()
    house.restart()
    assert [(status.transport, status.reachable) for status in house.phones_there] == [("TCP", False)]
    house.registered()
    assert [(status.transport, status.reachable) for status in house.phones_there] == [("TCP", True)]


def test_a_phone_that_was_overtaken_by_a_restart_is_still_in_order() -> None:
    house = Home()
    house.registered()
    house.registered()
    house.advance(RENEWALS_S)
    house.restart()
    house.phone._cseq = 0
    assert house.registered().status == 500


def test_a_booth_that_is_gone_has_no_phone_after_a_restart() -> None:
    house = Home()
    house.registered()
    house.advance()
    house.memory.connection.execute("UPDATE bindings SET booth = 'gone'")
    house.restart()
    house.advance()
    assert house.phones_there == []
    assert house.memory.count("bindings") == 0


def test_a_contact_that_is_no_text_survives_too() -> None:
    house = Home()
    request = house.phone.registration()
    request.set("contact", "<sip:g\udcff@10.0.0.5>")
    house.phone.send(request, SWITCH)
    house.advance()
    house.restart()
    assert [status.contact for status in house.phones_there] == ["sip:g\\udcff@10.0.0.5"]


def test_a_renewal_is_written_with_others_and_a_move_at_once() -> None:
    house = Home()
    house.registered()
    house.advance()
    (text,) = house.memory.connection.execute("SELECT held FROM bindings").fetchone()
    assert json.loads(text)[0]["cseq"] == 1
    before = house.writes()
    for _ in range(10):
        house.registered()
        house.advance(0.5)
    assert house.writes() == before + 1  # a heartbeat
    house.advance(RENEWALS_S)
    (text,) = house.memory.connection.execute("SELECT held FROM bindings").fetchone()
    assert json.loads(text)[0]["cseq"] == 11
    moved = house.phone_at(MOVED)
    moved._cseq = 20
    request = moved.registration()
    request.set("contact", f"<sip:gate@{GATE[0]}:{GATE[1]}>")
    moved.send(request, SWITCH)
    house.advance()
    (text,) = house.memory.connection.execute("SELECT held FROM bindings").fetchone()
    assert json.loads(text)[0]["flow"][4] == MOVED[1]


def test_a_broken_disk_stops_no_phone() -> None:
    house = Home()
    house.memory.broken = True
    assert house.registered().status == 200
    assert len(house.phones_there) == 1


# Whether a phone is there.


def asked(house: Home) -> list[float]:
    return house.network.instants("OPTIONS", house.switch_peer)


def test_a_phone_is_asked_and_how_long_it_takes_is_told() -> None:
    house = Home(keepalive_s=30)
    house.registered()
    house.advance(80)
    times = asked(house)
    assert len(times) == 3
    assert times[0] >= 15
    assert [later - sooner for sooner, later in pairwise(times)] == [30.0, 30.0]
    (phone,) = house.phones_there
    assert phone.rtt_ms == pytest.approx(31.2, abs=0.1)  # two ways of 1/64 s
    assert phone.reachable


def test_a_phone_that_misses_three_is_unreachable_until_it_is_heard() -> None:
    house = Home(keepalive_s=30)
    house.registered()
    house.network.leave(house.phone)
    house.advance(75)
    assert house.told == [(1, 1)]
    house.advance(10)
    assert house.told == [(1, 1), (1, 0)]
    assert house.switch.desk.booth(TENANT, "gate").reachable == 0
    house.network.join(house.phone)
    house.advance(30)
    assert house.told == [(1, 1), (1, 0), (1, 1)]


def test_a_phone_that_registers_again_is_reachable_at_once() -> None:
    house = Home(keepalive_s=30)
    house.registered()
    house.network.leave(house.phone)
    house.advance(90)
    house.network.join(house.phone)
    house.registered()
    assert house.told == [(1, 1), (1, 0), (1, 1)]


def test_nobody_is_asked_whose_connection_is_gone_or_who_is_gone() -> None:
    house = Home(keepalive_s=30, transport="TCP")
    house.registered()
    house.network.cut(house.phone, house.switch_peer)
    house.advance(100)
    assert asked(house) == []
    house.phone.register(expires_s=0)
    house.advance(100)
    assert asked(house) == []
    assert house.switch_peer.leftovers() == {}


def test_phones_are_asked_after_a_restart_and_nobody_is_asked_without_the_setting() -> None:
    house = Home(keepalive_s=30)
    house.registered()
    house.restart()
    house.advance(40)
    assert house.phones_there[0].seen_at_ms is not None
    house = Home()
    house.registered()
    house.advance(300)
    assert asked(house) == []
