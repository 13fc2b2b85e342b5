"""Carriers that are known by a name: looked up while nobody waits for it, each address tried; in memory."""

from __future__ import annotations

from typing import Any

import pytest

from sipshop.billing.cdr import CallKind, Result
from sipshop.proxy.trunk import Probing, Registering
from sipshop.sip.flow import Address
from sipshop.sip.lookup import WAIT_S
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.sip.resolve import Srv
from sipshop.switch.trunks import BELIEVED_S
from tests.sip.peers import FORGETTING_S
from tests.switch.house import BERLIN, CARRIER_ONE, SWITCH, TENANT, at_once
from tests.switch.test_trunks import LOGIN, SPARE, CarrierHouse

NAME = "sip.carrier.example"
SRV = f"_sip._udp.{NAME}"
DEAD: Address = ("192.0.2.99", 5060)


class NamedHouse(CarrierHouse):
    """A house whose first trunk is a name that leads to carrier `one`; DNS knows it, and nobody has asked yet."""

    def __init__(self, *, two: dict[str, Any] | None = None, asks: bool = False, **one: Any) -> None:
        super().__init__(one={"host": NAME, "port": None, "transport": "udp", **one}, two=two, asks=asks)
        self.spare.asks = asks
        self.names = self.switch_peer.resolver
        self.lead_to(CARRIER_ONE)

    def lead_to(self, *addresses: Address) -> None:
        """Have the name lead to these addresses, in this order."""
        self.names.zone.clear()
        hosts = {address: f"host{place}.example" for place, address in enumerate(addresses, start=1)}
        self.names.zone[SRV, "SRV"] = tuple(
            Srv(place, 0, address[1], name) for place, (address, name) in enumerate(hosts.items(), start=1)
        )
        for address, name in hosts.items():
            self.names.zone[name, "A"] = (address[0],)

    def dial(self, number: str = BERLIN) -> OutgoingLeg:
        self.leg = self.phone.call(SWITCH, number)
        return self.leg

    def lose(self, why: str) -> None:
        """The connection to the address that is tried cannot be had."""
        [live] = self.switch._calls
        assert live.leg_b is not None
        self.switch_peer.agent.hear_lost(live.leg_b.flow, self.network.now, why)
        self.switch_peer.work(self.network.now)

    def who_is(self, address: Address) -> list[str]:
        """The trunks that this address calls as."""
        return [trunk.name for trunk in self.switch._directory.trunks_of_source(address)]

    @property
    def attempts(self) -> list[tuple[str, int | None, str]]:
        return [(attempt.trunk, attempt.status, attempt.why) for attempt in self.cdr.attempts]

    def answer_and_end(self) -> None:
        """Carrier `one` answers, the caller hangs up, and nothing is left anywhere."""
        self.one.answer(self.one.incoming)
        self.advance()
        self.phone.hang_up(self.leg)
        self.advance()


@pytest.mark.scenario(41)
def test_a_cold_name_is_waited_for_and_a_warm_one_is_dialled_at_once() -> None:
    house = NamedHouse()
    house.dial()
    house.advance(0.15)
    assert house.invites(CARRIER_ONE) == [], "two questions, one after the other"
    house.advance(0.15)
    assert len(house.invites(CARRIER_ONE)) == 1
    assert house.invites(CARRIER_ONE)[0].target == f"sip:+49301234567@{NAME}"
    house.answer_and_end()
    asked = house.names.asked
    house.dial()
    house.advance(0.04)  # there and back, once
    assert len(house.invites(CARRIER_ONE)) == 2
    assert house.names.asked == asked
    house.answer_and_end()


@pytest.mark.parametrize("how", ["the caller cancels", "the operator cuts"])
def test_no_invite_leaves_after_somebody_hung_up_who_waited_for_a_name(how: str) -> None:
    house = NamedHouse()
    house.names.delay_s = 1.0
    leg = house.dial()
    house.advance(0.25)
    if how == "the caller cancels":
        house.phone.give_up(leg)
    else:
        at_once(house.switch.desk.lock(TENANT, "gate", "ana", cut=True))
    house.advance(5)
    assert house.invites(CARRIER_ONE) == []
    assert house.cdr.result is Result.CANCELLED
    house.advance(FORGETTING_S)
    assert house.switch_peer.leftovers() == {}


def test_a_name_that_leads_nowhere_sends_the_call_to_the_next_trunk() -> None:
    house = NamedHouse()
    house.names.zone.clear()
    house.dial()
    house.advance(1)
    house.second.answer(house.second.incoming)
    house.advance()
    house.phone.hang_up(house.leg)
    house.advance()
    assert house.attempts == [("one", None, "dns"), ("two", 200, "")]


@pytest.mark.parametrize("failure", ["timeout", "503", "tls_name"])
def test_each_address_of_a_name_is_tried_and_the_one_that_failed_is_the_last_from_then_on(failure: str) -> None:
    house = NamedHouse()
    house.lead_to(SPARE, CARRIER_ONE)
    if failure != "503":
        house.network.leave(house.spare)
    house.advance(1)
    house.dial()
    house.advance(0.25)
    if failure == "503":
        house.spare.reject(house.spare.incoming, 503)
    elif failure == "tls_name":
        house.lose(failure)
    house.advance(4.5)
    tried = len(house.invites(SPARE))
    assert tried > 0
    assert len(house.invites(CARRIER_ONE)) == 1
    house.answer_and_end()
    assert house.attempts == [("one", 200, "")], "one trunk was tried, at two addresses"
    assert house.condition().state == "up"
    house.dial()
    house.advance(0.25)
    assert (len(house.invites(SPARE)), len(house.invites(CARRIER_ONE))) == (tried, 2)


def test_a_trunk_of_which_no_address_can_be_had_says_why_and_the_next_one_is_tried() -> None:
    house = NamedHouse()
    house.lead_to(SPARE, DEAD)
    house.network.leave(house.spare)
    house.advance(1)
    house.dial()
    for _ in range(2):
        house.advance(0.25)
        house.lose("tls_name")
    house.advance(0.25)
    house.second.answer(house.second.incoming)
    house.advance()
    house.phone.hang_up(house.leg)
    house.advance()
    assert house.attempts == [("one", 503, "tls_name"), ("two", 200, "")]
    assert house.condition().last_status == 408


def test_hanging_up_between_two_addresses_sends_nothing_more() -> None:
    house = NamedHouse()
    house.lead_to(DEAD, CARRIER_ONE)
    house.advance(1)
    leg = house.dial()
    house.advance(2)
    house.phone.give_up(leg)
    house.advance(FORGETTING_S)
    assert house.invites(CARRIER_ONE) == []
    assert house.cdr.result is Result.CANCELLED
    assert house.switch_peer.leftovers() == {}


def test_help_is_called_by_what_was_known_while_dns_is_dead() -> None:
    house = NamedHouse()
    house.advance(1)
    house.names.dead = True
    house.advance(3600)
    house.dial("112")
    house.advance(WAIT_S + 0.25)
    assert house.invites(CARRIER_ONE)[-1].uri.user == "112"
    house.answer_and_end()
    assert house.cdr.kind is CallKind.EMERGENCY


def test_help_is_called_elsewhere_while_nobody_knows_where_the_first_carrier_is() -> None:
    house = NamedHouse()
    house.names.dead = True
    house.dial("112")
    house.advance(2 * WAIT_S + 0.25)
    assert house.second.incoming is not None


# Registering and asking


def test_a_registration_and_a_probe_try_each_address() -> None:
    house = NamedHouse(
        login=LOGIN,
        registering=Registering(600, registrars=(("registrar.example", 5060),)),
        probing=Probing(every_s=20),
        asks=True,
    )
    house.lead_to(DEAD, CARRIER_ONE)
    house.names.zone["registrar.example", "A"] = (DEAD[0], SPARE[0])
    house.advance(60)
    assert house.condition().registration == "registered"
    assert house.spare.count("REGISTER") == 1
    assert house.one.count("OPTIONS") > 0
    assert house.condition().last_status == 200
    assert house.condition().state == "up"


def test_a_registration_waits_for_a_name_that_nobody_knows_and_is_taken_back_without_one() -> None:
    house = NamedHouse(login=LOGIN, registering=Registering(600), asks=True)
    house.names.zone.clear()
    house.advance(5)
    assert (house.condition().registration, house.condition().registration_status) == ("failed", 408)
    house.lead_to(CARRIER_ONE)
    house.advance(600)
    assert house.condition().registration == "registered"
    house.swap(house.second_trunk)
    house.advance(1)
    assert house.one.last_request.get("expires") == "0"


# Who is let in


def test_where_a_name_leads_is_where_its_carrier_calls_from() -> None:
    house = NamedHouse()
    answers = [house.who_is(CARRIER_ONE)]
    house.advance(1)
    answers.append(house.who_is(CARRIER_ONE))
    house.lead_to(SPARE)
    house.advance(130)  # its TTL, and then the next look
    answers += [house.who_is(CARRIER_ONE), house.who_is(SPARE)]
    assert answers == [[], ["one"], [], ["one"]]
    assert SPARE[0] in house.switch._directory.known_hosts()
    assert CARRIER_ONE[0] not in house.switch._directory.known_hosts()


def test_a_name_lets_nobody_in_long_after_dns_has_died_though_calls_still_go_there() -> None:
    house = NamedHouse()
    house.advance(1)
    house.names.dead = True
    house.advance(BELIEVED_S - 60)
    assert house.who_is(CARRIER_ONE) == ["one"]
    house.advance(180)
    assert house.who_is(CARRIER_ONE) == []
    house.dial()
    house.advance(WAIT_S + 0.25)
    assert len(house.invites(CARRIER_ONE)) == 1


def test_a_trunk_that_goes_takes_its_addresses_along() -> None:
    house = NamedHouse()
    house.advance(1)
    house.swap(house.second_trunk)
    assert house.who_is(CARRIER_ONE) == []
    assert CARRIER_ONE[0] not in house.switch._directory.known_hosts()
