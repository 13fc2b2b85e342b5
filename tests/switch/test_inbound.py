"""Calls from outside: a carrier calls a number of the shop, and a booth rings, or nobody does; in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from sipshop.billing.cdr import Direction
from sipshop.proxy.admission import Inbound
from sipshop.proxy.inbound import MOST_A_SECOND, RINGS_S, SILENT_S
from sipshop.sip.events import Cancelled, Content, Failed
from sipshop.sip.flow import Address
from sipshop.sip.incoming import IncomingLeg
from sipshop.sip.message import Request
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.world import World, parse_world
from tests.sip.peers import ANSWER, HOLD, Phone
from tests.switch.house import CARRIER_ONE, CARRIER_TWO, GATE, SWITCH, TENANT, WORLD_TEXT, BoothPhone, House, at_once

GATES: Final = "+493055501"
BOOTH1S: Final = "+493055502"
SHOPS: Final = "+493055500"
SEVERAL: Final = Content("application/sdp", b"v=0\r\nm=audio 4000 RTP/AVP 0 8\r\n")
STRANGER: Final = ("192.0.2.99", 5060)


def rung_world(inbound: str = "open") -> World:
    """The world, in which numbers ring the booths and the shop."""
    text = WORLD_TEXT.replace(
        'emergency: ["112"]', f'emergency: ["112"]\n    inbound: {inbound}\n    inbound_numbers: ["{SHOPS}"]'
    )
    text = text.replace("password: secret}", f'password: secret, inbound_numbers: ["{BOOTH1S}"]}}')
    return parse_world(text.replace("ip: 192.0.2.11}", f'ip: 192.0.2.11, inbound_numbers: ["{GATES}"]}}'), "w")


class Outside(House):
    """The house; booth `gate` has a phone that registers, and a customer who waits to be called."""

    def __init__(
        self, inbound: str = "open", *, transport: str = "UDP", register: bool = True, world: World | None = None
    ) -> None:
        super().__init__(world=world or rung_world(inbound))
        self.phone: BoothPhone = BoothPhone(self.network, GATE, user="gate")
        self.phone.transport = transport
        self.unlock()
        if register:
            self.phone.register()
        self.advance()

    def rung(self, number: str = GATES, *, by: Phone | None = None) -> OutgoingLeg:
        """Somebody outside calls a number."""
        leg = (by or self.carrier).call(SWITCH, number)
        self.advance()
        return leg

    def answered(self, number: str = GATES) -> tuple[OutgoingLeg, IncomingLeg]:
        leg = self.rung(number)
        self.phone.ring(self.phone.incoming)
        self.advance()
        self.phone.answer(self.phone.incoming)
        self.advance()
        return leg, self.phone.incoming

    def refused(self, leg: OutgoingLeg) -> int:
        event = (self.carrier if leg in self.carrier.heard else self.second).last(leg)
        assert isinstance(event, Failed)
        return event.status

    @property
    def booth_side(self) -> list[str]:
        return [each for each in self.network.between(self.switch_peer, self.phone) if "REGISTER" not in each]


def test_a_booth_is_rung_talks_and_nobody_pays() -> None:
    house = Outside()
    carriers, booths = house.answered()
    house.advance(61)
    house.carrier.hang_up(carriers)
    house.advance()
    assert house.phone.story(booths) == "Acknowledged HungUp"
    cdr = house.cdr
    assert (cdr.direction, cdr.kind.value, cdr.result.value) == (Direction.INBOUND, "call", "answered")
    assert (cdr.shop, cdr.booth, cdr.dialled, cdr.e164) == ("Corner", "gate", GATES, "493055501")
    assert (cdr.trunk, cdr.attempts, cdr.charges, cdr.session_id) == ("one", (), (), None)
    assert 61_000 <= cdr.talk_ms < 61_600
    assert (house.memory.version(1), house.switch.accounts.holds) == (0, 0)
    house.forget()


ASSERTED: Final = ("p-asserted-identity", "<sip:+4940123456@carrier>")


def test_the_messages_of_a_call_from_outside() -> None:
    house = Outside()
    carriers, booths = house.answered()
    house.phone.hang_up(booths)
    house.advance()
    assert house.booth_side == [
        "> INVITE",
        "< 100 INVITE",
        "< 180 INVITE",
        "< 200 INVITE",
        "> ACK",
        "< BYE",
        "> 200 BYE",
    ]
    assert house.network.between(house.carrier, house.switch_peer) == [
        *("> INVITE", "< 100 INVITE", "< 180 INVITE", "< 200 INVITE", "> ACK", "< BYE", "> 200 BYE"),
    ]
    assert house.carrier.story(carriers).endswith("Answered HungUp")
    assert house.cdr.hung_up_by is not None
    assert house.cdr.hung_up_by.value == "callee"
    house.forget()


def test_nothing_of_the_carrier_reaches_the_booth_and_nothing_of_the_booth_the_carrier() -> None:
    house = Outside()
    house.carrier.agent.product = "CarrierBox"
    house.answered()
    house.carrier.user = "one"
    for datagram in house.network.log:
        text = datagram.data.decode()
        if datagram.destination == GATE and isinstance(datagram.message, Request):
            assert CARRIER_ONE[0] not in text
            assert "CarrierBox" not in text
        if datagram.destination == CARRIER_ONE:
            assert GATE[0] not in text
            assert "gate" not in text


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        pytest.param([], "anonymous.invalid", id="a name is none"),
        pytest.param([ASSERTED], "sip:+4940123456@192.0.2.1", id="asserted"),
        pytest.param(
            [ASSERTED, ("privacy", "id")],
            "anonymous.invalid",
            id="withheld",
        ),
        pytest.param([("p-asserted-identity", '"x" <<')], "anonymous.invalid", id="nonsense"),
    ],
)
def test_the_caller_is_a_number_or_nobody(headers: list[tuple[str, str]], shown: str) -> None:
    house = Outside()
    house.carrier.call(SWITCH, GATES, headers=headers)
    house.advance()
    invite = next(each for each in house.network.log if each.destination == GATE and str(each) == "INVITE")
    assert shown in (invite.message.get("from") or "")


def locked(house: Outside) -> None:
    at_once(house.switch.desk.lock(TENANT, "gate", "ana"))


def suspended(house: Outside) -> None:
    at_once(house.switch.desk.suspend(TENANT, "Ann", "ana", by=TENANT))


def unregistered(house: Outside) -> None:
    house.phone.register(expires_s=0)
    house.advance()


def in_a_call(house: Outside) -> None:
    house.phone.call(SWITCH, "0301234567")
    house.advance()


def as_it_is(_house: Outside) -> None:
    pass


@pytest.mark.parametrize(
    ("inbound", "number", "before", "status", "cause"),
    [
        pytest.param("open", "+4930999", as_it_is, 404, "no_inbound", id="a number of nobody"),
        pytest.param("open", "0301234567", as_it_is, 404, "no_inbound", id="a number in another format"),
        pytest.param("open", "+44123456789", as_it_is, 404, "no_inbound", id="a number for another carrier"),
        pytest.param("open", "112", as_it_is, 404, "no_inbound", id="an emergency number"),
        pytest.param("open", "gate", as_it_is, 404, "no_inbound", id="a booth's name"),
        pytest.param("open", GATES, locked, 480, "inbound_locked", id="a locked booth"),
        pytest.param("open", GATES, suspended, 403, "inbound_forbidden", id="a suspended owner"),
        pytest.param("always", GATES, unregistered, 480, "unreachable", id="no phone"),
        pytest.param("always", GATES, in_a_call, 486, "busy", id="a booth in a call"),
        pytest.param("open", SHOPS, in_a_call, 486, "busy", id="a shop of which one booth is in a call, one locked"),
        pytest.param("open", SHOPS, locked, 480, "inbound_locked", id="a shop that is closed"),
    ],
)
def test_who_is_not_rung(inbound: str, number: str, before: Callable[[Outside], None], status: int, cause: str) -> None:
    house = Outside(inbound)
    before(house)
    leg = house.rung(number)
    assert house.refused(leg) == status
    assert (status, cause) in house.switch_peer.refusals
    assert "> INVITE" not in house.booth_side


def test_a_shop_that_allows_no_calls_says_so() -> None:
    house = Outside()
    world = rung_world()
    never = replace(world, shops=tuple(replace(shop, inbound=Inbound.NEVER) for shop in world.shops))
    house.switch._directory.swap(never)
    assert house.refused(house.rung()) == 403
    assert (house.cdr.direction, house.cdr.sip_status, house.cdr.trunk) == (Direction.INBOUND, 403, "one")


def test_a_locked_booth_rings_where_the_shop_wants_it() -> None:
    house = Outside("always")
    locked(house)
    house.rung()
    assert "> INVITE" in house.booth_side


def test_a_carrier_is_reached_where_his_contact_says() -> None:
    house = Outside()
    elsewhere = Phone(house.network, CARRIER_ONE, user="one", advertise=CARRIER_TWO)
    house.rung(by=elsewhere)
    house.phone.answer(house.phone.incoming)
    house.advance()
    house.phone.hang_up(house.phone.incoming)
    house.advance()
    assert CARRIER_TWO in sent_to(house, "BYE")


@pytest.mark.parametrize(
    ("trunk", "name"),
    [
        pytest.param({"domain": "Carrier.example"}, "carrier.example", id="an address with a domain"),
        pytest.param({"host": "sip.carrier.example"}, "sip.carrier.example", id="a name"),
        pytest.param({"domain": CARRIER_ONE[0]}, "", id="an address: he has to prove that his Contact is his"),
    ],
)
def test_a_carrier_who_called_by_tls_proves_his_name_where_his_contact_points(trunk: dict[str, Any], name: str) -> None:
    world = rung_world()
    one, two = world.trunks
    one = replace(one, transport="tls", sources=(CARRIER_ONE[0],), **trunk)
    house = Outside(world=replace(world, trunks=(one, two)))
    listens = (CARRIER_ONE[0], 5061)
    house.rung(by=Phone(house.network, (CARRIER_ONE[0], 41_234), user="one", transport="TLS", advertise=listens))
    house.phone.answer(house.phone.incoming)
    house.advance()
    house.phone.hang_up(house.phone.incoming)
    house.advance()
    [bye] = [each for each in house.network.log if str(each) == "BYE" and each.source == SWITCH]
    assert (bye.transport, bye.destination, bye.name) == ("TLS", listens, name)


def test_the_shops_number_rings_a_booth_that_is_free() -> None:
    house = Outside()
    house.rung(SHOPS)
    assert "> INVITE" in house.booth_side


def test_who_is_no_carrier_is_challenged_whatever_he_calls() -> None:
    house = Outside()
    stranger = Phone(house.network, STRANGER, user="one")
    other_port = Phone(house.network, (CARRIER_ONE[0], 9999), user="one")
    for caller in (stranger, other_port):
        leg = house.rung(by=caller)
        event = caller.last(leg)
        assert isinstance(event, Failed)
        assert event.status == 401
    assert "> INVITE" not in house.booth_side


def test_a_carrier_never_gets_out_by_another_one() -> None:
    house = Outside()
    leg = house.rung("+49301234567")
    assert house.refused(leg) == 404
    assert house.network.between(house.switch_peer, house.second) == []
    assert house.memory.cdrs == []


def test_a_flood_of_a_carrier_is_refused_and_another_one_gets_through() -> None:
    house = Outside()
    legs = [house.carrier.call(SWITCH, "+4930999") for _ in range(MOST_A_SECOND + 10)]
    house.advance()
    assert [house.refused(leg) for leg in legs] == [404] * MOST_A_SECOND + [503] * 10
    house.rung(by=house.second)
    assert "> INVITE" in house.booth_side
    house.advance(1)
    house.carrier.call(SWITCH, "+4930999")
    house.advance()
    assert house.switch_peer.refusals[-1] == (404, "no_inbound")


def test_a_carriers_lines_hold_his_calls_from_outside_too() -> None:
    house = Outside()
    world = rung_world()
    full = replace(world, trunks=tuple(replace(trunk, max_calls=1) for trunk in world.trunks))
    house.switch._directory.swap(full)
    house.answered()
    at_once(house.switch.desk.unlock(TENANT, "booth1", "ana"))
    phone = BoothPhone(house.network, ("192.0.2.10", 5060))
    phone.register()
    house.advance()
    phone.register([phone.credentials(phone.challenge(), "REGISTER", "sip:192.0.2.1")])
    house.advance()
    assert house.refused(house.rung(BOOTH1S)) == 503
    assert house.rung(BOOTH1S, by=house.second) in house.second.heard
    assert phone.legs


# How it ends.


def test_the_caller_gives_up_while_it_rings() -> None:
    house = Outside()
    leg = house.rung()
    house.phone.ring(house.phone.incoming)
    house.advance()
    house.carrier.give_up(leg)
    house.advance()
    assert isinstance(house.phone.last(house.phone.incoming), Cancelled)
    assert (house.cdr.result.value, house.cdr.direction) == ("cancelled", Direction.INBOUND)
    house.forget()


def test_nobody_answers() -> None:
    house = Outside()
    leg = house.rung()
    house.phone.ring(house.phone.incoming)
    house.advance(RINGS_S + 1)
    assert house.refused(leg) == 480
    assert house.cdr.result.value == "no_answer"
    house.forget()


@pytest.mark.parametrize(("says", "told"), [(486, 486), (603, 603), (480, 480), (500, 480), (302, 480)])
def test_what_the_phone_says_is_what_the_caller_hears(says: int, told: int) -> None:
    house = Outside()
    leg = house.rung()
    house.phone.reject(house.phone.incoming, says)
    house.advance()
    assert house.refused(leg) == told
    house.forget()


def test_a_phone_that_is_silent_is_left_for_the_next_one() -> None:
    house = Outside()
    silent = BoothPhone(house.network, (GATE[0], 5080), user="gate")
    request = silent.registration()
    request.set("call-id", "another")
    silent.send(request, SWITCH)
    house.advance()
    house.network.leave(silent)
    leg = house.rung()
    assert not house.phone.legs  # it registered first: the other one is rung before
    house.advance(SILENT_S + 1)
    house.phone.answer(house.phone.incoming)
    house.advance()
    assert "Answered" in house.carrier.story(leg)
    house.forget(dead=[silent])


def test_the_desk_cuts_it() -> None:
    house = Outside()
    carriers, booths = house.answered()
    status = house.switch.desk.calls(TENANT)[0]
    assert (status.direction, status.trunk, status.amount_micros) == ("inbound", "one", 0)
    at_once(house.switch.desk.lock(TENANT, "gate", "ana", cut=True))
    house.advance()
    assert house.phone.story(booths).endswith("HungUp")
    assert house.carrier.story(carriers).endswith("HungUp")
    house.forget()


@pytest.mark.parametrize("by_booth", [True, False], ids=["the booth", "the caller"])
def test_either_side_puts_the_other_on_hold(by_booth: bool) -> None:
    house = Outside()
    carriers, booths = house.answered()
    asker, leg = (house.phone, booths) if by_booth else (house.carrier, carriers)
    asker.reinvite(leg, HOLD)
    house.advance()
    assert "Replied" in asker.story(leg)
    other, leg_of_other = (house.carrier, carriers) if by_booth else (house.phone, booths)
    assert "Asked" in other.story(leg_of_other)
    other.hang_up(leg_of_other)
    house.advance()
    house.forget()


def test_a_crash_ends_both_legs_and_leaves_a_record_without_charges() -> None:
    house = Outside()
    carriers, booths = house.answered()
    house.advance(20)
    house.restart()
    house.advance(1)
    assert house.phone.story(booths).endswith("HungUp")
    assert house.carrier.story(carriers).endswith("HungUp")
    assert (house.cdr.direction, house.cdr.recovered, house.cdr.charges) == (Direction.INBOUND, True, ())


def test_a_booth_that_is_rung_over_tcp_is_rung_on_its_connection() -> None:
    house = Outside(transport="TCP")
    leg = house.rung()
    invite = next(each for each in house.network.log if each.destination == GATE and str(each) == "INVITE")
    assert invite.transport == "TCP"
    house.carrier.give_up(leg)
    house.advance()


# A phone behind a NAT.


def moved(house: Outside, port: int = 31_000, host: str = GATE[0]) -> BoothPhone:
    """The phone as it is after its NAT has given it another port: the same dialogs, sent from elsewhere."""
    there = BoothPhone(house.network, (host, port), user="gate")
    there.agent.legs = house.phone.agent.legs
    there.heard, there.legs = house.phone.heard, house.phone.legs
    for leg in there.legs:
        leg.agent = there.agent
    return there


def sent_to(house: Outside, name: str) -> list[Address]:
    return [each.destination for each in house.network.log if str(each) == name and each.source == SWITCH]


@pytest.mark.parametrize("method", ["INVITE", "INFO", "OPTIONS"])
def test_a_phone_that_asks_from_another_port_is_reached_there(method: str) -> None:
    house = Outside()
    _, booths = house.answered()
    there = moved(house)
    recorder = there.send_inside(booths, method, ANSWER if method == "INVITE" else None)
    house.advance()
    if method == "INVITE":
        there.acknowledge_inside(booths, recorder)
    house.advance()
    at_once(house.switch.desk.lock(TENANT, "gate", "ana", cut=True))
    house.advance()
    assert (GATE[0], 31_000) in sent_to(house, "BYE")


@pytest.mark.parametrize("stranger", [("203.0.113.9", 5060), ("203.0.113.9", GATE[1])])
def test_who_asks_from_elsewhere_draws_nothing_to_himself(stranger: Address) -> None:
    house = Outside()
    _, booths = house.answered()
    there = moved(house, stranger[1], stranger[0])
    recorder = there.send_inside(booths, "INVITE", ANSWER)
    house.advance()
    there.acknowledge_inside(booths, recorder)
    at_once(house.switch.desk.lock(TENANT, "gate", "ana", cut=True))
    house.advance()
    assert stranger not in sent_to(house, "BYE")
    assert GATE in sent_to(house, "BYE")


def test_a_request_with_another_tag_moves_nothing() -> None:
    house = Outside()
    _, booths = house.answered()
    there = moved(house)
    assert booths.dialog is not None
    booths.dialog.local_tag = "guessed"
    there.send_inside(booths, "INVITE", ANSWER)
    house.advance()
    at_once(house.switch.desk.lock(TENANT, "gate", "ana", cut=True))
    house.advance()
    assert (GATE[0], 31_000) not in sent_to(house, "BYE")


def test_a_phone_that_registers_from_elsewhere_takes_its_call_along() -> None:
    house = Outside()
    house.answered()
    there = BoothPhone(house.network, (GATE[0], 31_000), user="gate")
    there._cseq = 5
    request = there.registration()
    request.set("contact", f"<sip:gate@{GATE[0]}:{GATE[1]}>")
    there.send(request, SWITCH)
    house.advance()
    at_once(house.switch.desk.lock(TENANT, "gate", "ana", cut=True))
    house.advance()
    assert (GATE[0], 31_000) in sent_to(house, "BYE")


def test_a_carrier_that_calls_without_an_offer_is_offered_his_codecs_alone() -> None:
    world = rung_world()
    house = Outside(world=replace(world, trunks=tuple(replace(trunk, codecs=("PCMA",)) for trunk in world.trunks)))
    leg = house.carrier.call(SWITCH, GATES, content=None)
    house.advance()
    house.phone.answer(house.phone.incoming, SEVERAL)
    house.advance()
    offered = [each.message.body for each in house.network.log if each.destination == CARRIER_ONE and each.message.body]
    assert offered
    assert all(b"RTP/AVP 8\r\n" in body for body in offered)
    house.phone.reinvite(house.phone.incoming, SEVERAL)
    house.advance()
    sent = [each.message for each in house.network.log if each.destination == CARRIER_ONE]
    [again] = [each for each in sent if isinstance(each, Request) and each.method == "INVITE"]
    assert b"RTP/AVP 8\r\n" in again.body
    house.carrier.hang_up(leg)
