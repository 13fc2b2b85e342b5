"""Carriers kept alive: registrations, probes, what their health does to calls, and what they are sent; in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from sipshop.billing.cdr import Result
from sipshop.facts import TrunkChanged, TrunkProbed
from sipshop.proxy.routing import Trunk
from sipshop.proxy.trunk import (
    ANONYMOUS,
    CallerId,
    Format,
    Login,
    NumberFormat,
    Probing,
    Registering,
    Show,
)
from sipshop.sip.digest import Algorithm, DigestServer, Verified, ha1
from sipshop.sip.events import Content
from sipshop.sip.flow import Address
from sipshop.sip.message import Request
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.sip.transaction import ServerTransaction
from sipshop.sip.useragent import Invited, Output, Requested
from sipshop.switch.trunks import Condition
from tests.sip.peers import FORGETTING_S, HOLD, Network, losing
from tests.sip.peers import Phone as Peer
from tests.switch.house import BERLIN, CARRIER_ONE, CARRIER_TWO, SWITCH, TENANT, WORLD, House

LOGIN = Login("we", "carrier-secret")
SPARE: Address = ("192.0.2.22", 5060)
SDP = Content("application/sdp", b"v=0\r\nm=audio 4000 RTP/AVP 96 8 0\r\na=rtpmap:96 opus/48000/2\r\n")


class Carrier(Peer):
    """A carrier that asks for passwords and says to REGISTER and OPTIONS what a test wants him to say."""

    def __init__(self, network: Network, address: Address, *, asks: bool = True) -> None:
        super().__init__(network, address, user="carrier")
        self.asks = asks
        self.password = LOGIN.password
        self.says: list[tuple[int, list[tuple[str, str]]]] = []  # to the next REGISTERs and OPTIONS
        self.heard_requests: list[Request] = []
        self.keeps_s = 600
        self.digest = DigestServer(bytes(32), lambda size: b"r" * size)

    def handle(self, output: Output, now: float) -> None:
        match output:
            case Requested(transaction=transaction):
                self._answer(transaction, now)
            case Invited(transaction=transaction) if not self._is_known(transaction, "proxy-authorization", now):
                self._challenge(transaction, 407, "proxy-authenticate", now)
            case _:
                super().handle(output, now)

    def _answer(self, transaction: ServerTransaction, now: float) -> None:
        request = transaction.request
        if request.method == "REGISTER" and not self._is_known(transaction, "authorization", now):
            self._challenge(transaction, 401, "www-authenticate", now)
            return
        self.heard_requests.append(request)
        status, headers = self.says.pop(0) if self.says else (200, [])
        if status == 200 and request.method == "REGISTER":
            contact = (request.get("contact") or "").partition(";expires")[0]
            expires = min(self.keeps_s, int(request.get("expires") or 0))
            headers = [("contact", f"{contact};expires={expires}")] if expires else []
        self.agent.refuse(transaction, status, now, headers=headers)

    def _challenge(self, transaction: ServerTransaction, status: int, header: str, now: float) -> None:
        challenges = self.digest.challenge("carrier", [Algorithm.MD5], now, header=header)
        self.agent.refuse(transaction, status, now, headers=challenges)

    def _is_known(self, transaction: ServerTransaction, header: str, now: float) -> bool:
        request = transaction.request
        known = {Algorithm.MD5: ha1(Algorithm.MD5, LOGIN.username, "carrier", self.password)}
        verdict = self.digest.verify(
            request.method, request.all(header), "carrier", lambda _user: known, [Algorithm.MD5], now
        )
        return not self.asks or isinstance(verdict, Verified)

    def count(self, method: str) -> int:
        return len([request for request in self.heard_requests if request.method == method])

    @property
    def last_request(self) -> Request:
        return self.heard_requests[-1]


class CarrierHouse(House):
    """A house whose first trunk is as a test wants it; `one` and `spare` are carriers, `second` stays a phone."""

    def __init__(self, *, one: dict[str, Any], two: dict[str, Any] | None = None, asks: bool = True) -> None:
        self.first_trunk, self.second_trunk = (
            replace(trunk, **changes) for trunk, changes in zip(WORLD.trunks, (one, two or {}), strict=True)
        )
        super().__init__(world=replace(WORLD, trunks=(self.first_trunk, self.second_trunk)))
        self.one = Carrier(self.network, CARRIER_ONE, asks=asks)  # takes the place of `carrier`
        self.spare = Carrier(self.network, SPARE)
        self.unlock()

    def condition(self, trunk: Trunk | None = None) -> Condition:
        found = self.switch.trunks.condition(trunk or self.first_trunk, self.network.now)
        assert found is not None
        return found

    def changes(self) -> list[tuple[str, str, str | None]]:
        told = cast("list[TrunkChanged]", self.switch_peer.told(TrunkChanged))
        return [(fact.trunk, fact.state, fact.registration) for fact in told]

    def swap(self, *trunks: Trunk) -> None:
        """Another world takes the place of this one, as `apply` does it once it is on disk."""
        names = {trunk.name for trunk in trunks}
        routes = tuple(
            replace(route, choices=tuple(choice for choice in route.choices if choice[0] in names))
            for route in self.worlds[0].routes
        )
        world = replace(self.worlds[0], trunks=trunks, routes=routes)
        self.switch._directory.swap(world)
        self.switch._swapped(world)

    def call_out(self, number: str = BERLIN, *, content: Content | None = SDP, privacy: str | None = None) -> Request:
        """Booth `gate` calls; the INVITE as the first carrier got it last."""
        headers = [("privacy", privacy)] if privacy else []
        self.leg: OutgoingLeg = self.phone.call(SWITCH, number, content=content, headers=headers)
        self.advance()
        return self.invites(CARRIER_ONE)[-1]

    def invites(self, address: Address) -> list[Request]:
        sent = [each.message for each in self.network.log if each.destination == address]
        return [message for message in sent if isinstance(message, Request) and message.method == "INVITE"]


def registering(**more: Any) -> CarrierHouse:
    house = CarrierHouse(one={"login": LOGIN, "registering": Registering(600, **more)})
    house.advance()
    return house


def test_it_registers_at_the_start_with_a_password() -> None:
    house = registering()
    assert house.condition().registration == "registered"
    request = house.one.last_request
    assert request.target == "sip:192.0.2.20"
    assert str(request.to.uri) == str(request.from_.uri) == "sip:we@192.0.2.20"
    assert str(request.contacts[0].uri) == "sip:we@192.0.2.1:5060"
    assert request.get("expires") == "600"
    assert house.changes()[-1] == ("one", "up", "registered")


def test_it_is_refreshed_in_time_with_one_call_id_and_rising_numbers() -> None:
    house = registering()
    house.advance(1700)
    requests = house.one.heard_requests
    assert len(requests) == 4
    assert len({request.call_id for request in requests}) == 1
    numbers = [request.cseq[0] for request in requests]
    assert numbers == sorted(set(numbers))
    assert house.changes() == [("one", "up", "registering"), ("two", "up", None), ("one", "up", "registered")]


def test_a_wrong_password_is_no_storm() -> None:
    house = CarrierHouse(one={"login": replace(LOGIN, password="wrong"), "registering": Registering(600)})
    house.advance(600)
    sent = [each for each in house.network.log if str(each) == "REGISTER"]
    assert len(sent) == 2  # without and with the password
    assert house.condition().registration == "failed"
    assert house.condition().registration_status == 401


def test_a_registrar_that_wants_longer_gets_it() -> None:
    house = CarrierHouse(one={"login": LOGIN, "registering": Registering(60)})
    house.one.says = [(423, [("min-expires", "1800")])]
    house.one.keeps_s = 3600
    house.advance()
    assert house.one.last_request.get("expires") == "1800"
    assert house.condition().registration == "registered"


def test_a_registrar_that_is_silent_is_left_for_the_next_one() -> None:
    house = CarrierHouse(
        one={"login": LOGIN, "registering": Registering(600, registrars=(("192.0.2.99", 5060), SPARE))}
    )
    house.advance(31)
    assert house.condition().registration == "registering"
    house.advance(3)
    assert house.condition().registration == "registered"
    assert house.spare.count("REGISTER") == 1


def test_calls_go_elsewhere_first_while_the_carrier_does_not_know_us() -> None:
    house = CarrierHouse(one={"login": LOGIN, "registering": Registering(600)})
    house.one.says = [(403, [])]
    house.advance()
    house.phone.call(SWITCH)
    house.advance()
    assert (len(house.invites(CARRIER_ONE)), len(house.invites(CARRIER_TWO))) == (0, 1)


def test_a_new_password_registers_anew_and_the_old_binding_is_taken_back() -> None:
    house = registering()
    house.swap(replace(house.first_trunk, login=replace(LOGIN, password="new")), house.second_trunk)
    house.one.password = "new"
    house.advance()
    expires = [request.get("expires") for request in house.one.heard_requests]
    assert expires[0] == "600"
    assert expires[-1] == "600"
    assert house.condition().registration == "registered"


def test_a_trunk_that_is_removed_unregisters() -> None:
    house = registering()
    house.swap(house.second_trunk)
    house.advance()
    assert house.one.last_request.get("expires") == "0"
    assert house.switch.trunks.condition(house.first_trunk, house.network.now) is None
    house.advance(FORGETTING_S)
    assert house.switch_peer.leftovers() == {}


def test_a_trunk_that_is_disabled_unregisters_and_comes_back_when_it_is_enabled() -> None:
    house = registering()
    house.swap(replace(house.first_trunk, disabled=True), house.second_trunk)
    house.advance()
    assert house.one.last_request.get("expires") == "0"
    house.swap(house.first_trunk, house.second_trunk)
    house.advance()
    assert house.condition().registration == "registered"


def test_what_does_not_touch_a_registration_leaves_it_alone() -> None:
    house = registering()
    house.swap(replace(house.first_trunk, max_calls=5, caller_id=CallerId(number="493011")), house.second_trunk)
    house.advance()
    assert house.one.count("REGISTER") == 1


def test_a_stop_unregisters() -> None:
    house = registering()

    async def stop() -> None:
        with house.switch_peer.turn() as now:
            house.switch.trunks.end(now)
        house.advance()
        await asyncio.wait_for(house.switch.trunks.gone(), 1)

    asyncio.run(stop())
    assert house.one.last_request.get("expires") == "0"


def test_a_secret_is_fetched_where_it_is_kept_and_again_on_demand(caplog: pytest.LogCaptureFixture) -> None:
    house = CarrierHouse(one={"login": replace(LOGIN, password="env:CARRIER"), "registering": Registering(600)})
    house.advance()
    assert "trunk one has no password: env:CARRIER cannot be fetched here" in caplog.text
    assert house.condition().registration == "failed"
    house.switch.trunks._fetch = {"env:CARRIER": LOGIN.password}.__getitem__
    with house.switch_peer.turn() as now:
        house.switch.trunks.reread(now)
    house.advance()
    assert house.condition().registration == "registered"


# Probes


WATCHED = {"probing": Probing(every_s=20, misses=2, rest_s=30, patience_s=4)}


def test_a_carrier_is_probed_and_the_time_of_his_answer_told() -> None:
    house = CarrierHouse(one=WATCHED)
    house.advance(61)
    assert 3 <= house.one.count("OPTIONS") <= 5
    assert house.condition().rtt_s == 2 / 64
    assert {cast("TrunkProbed", fact).rtt_s for fact in house.switch_peer.told(TrunkProbed)} == {2 / 64}


def test_a_carrier_that_dies_is_down_and_comes_back_after_a_rest() -> None:
    house = CarrierHouse(one=WATCHED)
    house.advance(21)
    house.network.weather = losing("OPTIONS")
    house.advance(60)
    assert house.condition().state in {"down", "half_open"}
    house.network.weather = losing()
    house.advance(35)
    assert house.condition().state == "up"
    states = [state for name, state, _ in house.changes() if name == "one"]
    assert states[0] == states[-1] == "up"
    assert states[1:3] == ["down", "half_open"]


def test_a_call_goes_past_a_carrier_that_is_down_and_waits_for_nobody() -> None:
    house = CarrierHouse(one=WATCHED)
    house.network.weather = losing("OPTIONS")
    house.advance(60)
    house.phone.call(SWITCH)
    house.advance()
    assert (len(house.invites(CARRIER_ONE)), len(house.invites(CARRIER_TWO))) == (0, 1)


def test_calls_alone_open_the_breaker_too() -> None:
    house = CarrierHouse(one={"probing": Probing(misses=2)}, asks=False)
    house.one.on_invite = lambda leg: house.one.reject(leg, 503)
    for _ in range(3):
        house.phone.hang_up(house.phone.call(SWITCH))
        house.advance()
        for leg in house.phone.legs:
            if isinstance(leg, OutgoingLeg):
                house.phone.give_up(leg)
        house.advance(1)
    assert house.condition().state == "down"
    assert len(house.invites(CARRIER_ONE)) == 2  # the third call began with the other one


def test_a_carrier_that_asks_for_time_is_not_called_until_it_is_over() -> None:
    house = CarrierHouse(one={}, asks=False, two={"disabled": True})
    house.one.on_invite = lambda leg: house.one.reject(leg, 503, [("retry-after", "60")])
    house.call_out()
    house.phone.call(SWITCH)
    house.advance()
    assert len(house.invites(CARRIER_ONE)) == 1
    assert [cdr.result for cdr in house.memory.cdrs] == [Result.FAILED, Result.REFUSED]
    house.phone.call(SWITCH, "112")
    house.advance()
    assert len(house.invites(CARRIER_ONE)) == 2  # a call for help tries everything
    house.advance(60)
    house.phone.call(SWITCH)
    house.advance()
    assert len(house.invites(CARRIER_ONE)) == 3


@pytest.mark.scenario(23)
def test_a_carrier_that_is_silent_is_given_up_and_soon_asked_no_more() -> None:
    house = CarrierHouse(one={"probing": Probing(misses=1)}, asks=False)
    house.network.weather = lambda datagram: () if datagram.destination == CARRIER_ONE else (1 / 64,)
    leg = house.phone.call(SWITCH)
    house.advance(4.5)
    assert house.condition().state == "down"
    assert len(house.invites(CARRIER_ONE)) == 4  # at 0, 0.5, 1.5 and 3.5 s
    assert len(house.invites(CARRIER_TWO)) == 1
    house.phone.give_up(leg)
    house.advance()
    house.phone.call(SWITCH)
    house.advance()
    assert len(house.invites(CARRIER_ONE)) == 4
    assert len(house.invites(CARRIER_TWO)) == 2


def test_somebody_asks_how_a_carrier_does() -> None:
    house = CarrierHouse(one={}, asks=False)

    async def ask() -> Condition | None:
        probing = asyncio.ensure_future(house.switch.desk.worlds.probe(TENANT, "one"))
        await asyncio.sleep(0)
        house.advance()
        return (await probing).condition

    condition = asyncio.run(ask())
    assert condition is not None
    assert (condition.state, condition.last_status, condition.rtt_s) == ("up", 200, 2 / 64)


# What a carrier is sent


@pytest.mark.scenario(18)
def test_a_challenge_to_a_call_is_answered() -> None:
    house = CarrierHouse(one={"login": LOGIN})
    invite = house.call_out()
    assert 'username="we"' in (invite.get("proxy-authorization") or "")
    assert invite.cseq[0] == 2
    assert len(house.invites(CARRIER_TWO)) == 0


@pytest.mark.scenario(18)
def test_a_wrong_password_is_tried_once_and_the_next_trunk_takes_the_call() -> None:
    house = CarrierHouse(one={"login": replace(LOGIN, password="wrong")})
    house.call_out()
    assert len(house.invites(CARRIER_ONE)) == 2
    assert len(house.invites(CARRIER_TWO)) == 1


def test_a_carrier_without_a_login_is_told_nothing() -> None:
    house = CarrierHouse(one={})
    invite = house.call_out()
    assert invite.get("proxy-authorization") is None
    assert len(house.invites(CARRIER_TWO)) == 1


def test_numbers_are_written_as_he_writes_them() -> None:
    numbers = NumberFormat(Format.DIGITS, tech_prefix="77#")
    invite = CarrierHouse(one={"numbers": numbers, "domain": "sip.example.com"}, asks=False).call_out()
    assert (invite.uri.user, invite.uri.host, invite.uri.port) == ("77#49301234567", "sip.example.com", None)
    assert invite.to.uri.user == "77#49301234567"


def test_an_emergency_number_goes_out_as_it_was_dialled() -> None:
    house = CarrierHouse(one={"numbers": NumberFormat(Format.DIGITS, tech_prefix="77#")}, asks=False)
    assert house.call_out("112").uri.user == "112"


def test_nobody_is_shown_where_nobody_has_a_number() -> None:
    invite = CarrierHouse(one={}, asks=False).call_out()
    assert (invite.get("from") or "").startswith(ANONYMOUS)
    for name in ("Corner", "gate", "Ann"):
        assert name not in invite.encode().decode()


def test_the_number_that_was_agreed_on_is_shown_and_asserted() -> None:
    policy = CallerId(Show.FIXED, "4930555", asserted=True)
    invite = CarrierHouse(one={"caller_id": policy, "domain": "sip.example.com"}, asks=False).call_out()
    assert str(invite.from_.uri) == "sip:+4930555@sip.example.com"
    assert invite.get("p-asserted-identity") == "<sip:+4930555@sip.example.com>"
    assert invite.get("privacy") is None


def test_a_caller_who_withholds_his_number_is_asserted_to_the_carrier_alone() -> None:
    policy = CallerId(Show.FIXED, "4930555", asserted=True)
    invite = CarrierHouse(one={"caller_id": policy}, asks=False).call_out(privacy="id")
    assert (invite.get("from") or "").startswith(ANONYMOUS)
    assert invite.get("privacy") == "id"
    assert "4930555" in (invite.get("p-asserted-identity") or "")


def test_only_the_codecs_of_his_list_are_offered_at_first_and_later() -> None:
    house = CarrierHouse(one={"codecs": ("PCMA",)}, asks=False)
    invite = house.call_out()
    assert b"m=audio 4000 RTP/AVP 8\r\n" in invite.body
    assert b"opus" not in invite.body
    house.one.answer(house.one.incoming)
    house.advance()
    house.phone.reinvite(house.leg, SDP)
    house.advance()
    assert b"m=audio 4000 RTP/AVP 8\r\n" in house.invites(CARRIER_ONE)[-1].body
    house.phone.reinvite(house.leg, Content("application/sdp", b"v=0\r\nm=audio 4000 RTP/AVP 18\r\n"))
    house.advance()
    assert "488 INVITE" in " ".join(house.caller_side)
    house.phone.reinvite(house.leg, HOLD)
    house.advance()
    assert house.invites(CARRIER_ONE)[-1].body == HOLD.data


def test_a_carrier_of_whose_codecs_the_phone_has_none_is_passed_over() -> None:
    house = CarrierHouse(one={"codecs": ("G729",)}, asks=False)
    house.phone.call(SWITCH, content=SDP)
    house.advance()
    assert (len(house.invites(CARRIER_ONE)), len(house.invites(CARRIER_TWO))) == (0, 1)


def test_a_talk_ends_when_the_trunk_carries_it_no_longer() -> None:
    house = CarrierHouse(one={"max_call_s": 90}, asks=False)
    house.call_out()
    house.one.answer(house.one.incoming)
    house.advance(100)
    assert house.cdr.talk_ms == 90_000
    assert house.cdr.result is Result.ANSWERED


# From outside


def test_a_call_from_a_carrier_is_his_and_is_not_challenged() -> None:
    house = CarrierHouse(one={}, asks=False)
    house.one.call(SWITCH, "+49301234567")
    house.advance()
    assert house.switch_peer.refusals == [(404, "no_inbound")]


def test_a_stranger_with_a_carriers_name_is_challenged_like_everybody() -> None:
    house = CarrierHouse(one={}, asks=False)
    stranger = Peer(house.network, ("203.0.113.7", 5060), user="carrier")
    stranger.call(SWITCH, "+49301234567", headers=[("p-asserted-identity", "<sip:one@192.0.2.20>")])
    house.advance()
    assert house.switch_peer.refusals == [(401, "unauthenticated")]
