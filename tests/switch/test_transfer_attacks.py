"""What a thief tries with transfers: each attack ends with every call in a record, no money held, and clean books."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from sipshop.billing.cdr import Result
from sipshop.billing.desk import SessionTerms
from sipshop.billing.errors import CallAlive
from sipshop.billing.money import Money
from sipshop.facts import CallAttempted
from sipshop.sip.course import State
from sipshop.sip.events import HungUp
from sipshop.sip.incoming import IncomingLeg
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.store.audit import audit
from sipshop.switch.transfers import LIMIT_S
from tests.sip.peers import ANSWER, OFFER, Recorder, losing
from tests.switch.house import BERLIN, GATE, SWITCH, TENANT, House, at_once, cash
from tests.switch.test_consultations import (
    OF_CONSULTED,
    WORLD,
    answering,
    consulting,
    last_told,
    transfers,
)
from tests.switch.test_transfers import refers, told

DEPOSIT: Final = "5.00"


@pytest.fixture
def house() -> House:
    house = House(world=WORLD)
    house.phone.agent.methods |= {"NOTIFY"}
    at_once(house.switch.desk.unlock(TENANT, "gate", "ana", SessionTerms(deposit=Money.parse(DEPOSIT, "EUR"))))
    return house


def settled(house: House) -> None:
    """Everybody goes: then each call that was tried has its record, and nobody's money is held or beyond his limit."""
    house.network.weather = losing()
    house.carrier.polite = house.second.polite = True
    house.forget()
    tried = {fact.call_id for fact in house.switch_peer.facts if isinstance(fact, CallAttempted)}
    assert tried <= {cdr.call_id for cdr in house.memory.cdrs}
    assert (house.memory.count("calls"), audit(house.memory.connection)) == (0, [])
    spent = sum(cdr.charges[0].cost.amount.micros for cdr in house.memory.cdrs if cdr.charges)
    assert spent <= float(DEPOSIT) * 1_000_000


def never_agreed(house: House) -> tuple[OutgoingLeg, IncomingLeg, IncomingLeg]:
    """A blind transfer to a dear number, which answers; whom it is for does not say whether he wants it."""
    leg, first = house.talking()
    house.carrier.polite = False
    refers(house, leg)
    second = house.second.incoming
    house.second.answer(second, OFFER)
    house.advance()
    return leg, first, second


@pytest.mark.scenario(39)
def test_a_friend_who_never_agrees_does_not_keep_a_dear_number_on_the_line(house: House) -> None:
    """Its answer is charged to nobody, and the carrier wants to be paid for it."""
    leg, first, second = never_agreed(house)
    house.advance(LIMIT_S)
    assert isinstance(house.second.last(second), HungUp)
    assert last_told(house).startswith("SIP/2.0 487")
    assert [(cdr.result, cdr.talk_ms) for cdr in house.memory.cdrs] == [(Result.CANCELLED, 0)]
    assert (leg.state, first.state) == (State.CONFIRMED, State.CONFIRMED)
    settled(house)


@pytest.mark.scenario(39)
def test_two_friends_of_whom_one_says_nothing_are_not_joined_for_ever(house: House) -> None:
    one, two, berlin, munich = consulting(house)
    house.carrier.polite = house.second.polite = False
    transfers(house, one, two)
    house.phone.hang_up(one)
    house.phone.hang_up(two)
    house.advance(LIMIT_S / 2)
    answering(house, munich, 200, OF_CONSULTED)
    house.advance(LIMIT_S)
    assert {type(house.carrier.last(berlin)), type(house.second.last(munich))} == {HungUp}, "the booth has left"
    settled(house)


def repeated(house: House) -> None:
    """Its BYE is not answered, and it transfers on."""
    one, two, _, _ = consulting(house)
    hides = house.phone.agent.legs.copy()
    house.network.weather = lambda datagram: (
        () if datagram.destination == GATE and str(datagram) == "BYE" else (1 / 64,)
    )
    transfers(house, one, two)
    assert hides
    assert [refers(house, leg).statuses for leg in (one, two)] == [[481], [481]]
    assert transfers(house, one, two).statuses == [481]


def before_the_ack(house: House) -> None:
    """The REFER comes before the ACK of the answer: it is a transfer like any other, and goes to no carrier."""
    house.network.weather = losing("ACK")
    leg = house.phone.call(SWITCH, BERLIN)
    house.advance()
    house.carrier.answer(house.carrier.incoming)
    house.advance()
    assert refers(house, leg).statuses == [202]
    house.network.weather = losing()
    house.second.reject(house.second.incoming, 486)


def in_the_callees_name(house: House) -> None:
    """Those who are joined send each other on."""
    one, two, berlin, munich = consulting(house)
    transfers(house, one, two)
    for phone, leg in ((house.carrier, berlin), (house.second, munich)):
        recorder = phone.send_inside(leg, "REFER", headers=[("refer-to", f"<sip:0044123@{SWITCH[0]}>")])
        house.advance()
        assert recorder.statuses == [603]


def more_lines_than_it_has(house: House) -> None:
    """Whoever is joined keeps the booth's lines: it has three, and a transfer may borrow one."""
    one, two, _, _ = consulting(house)
    transfers(house, one, two)
    three = house.phone.call(SWITCH, BERLIN)
    house.advance()
    house.carrier.answer(house.carrier.incoming)
    house.advance()
    assert refers(house, three).statuses == [202]
    house.second.answer(house.second.incoming, OFFER)
    house.advance()
    assert told(house)[-1][0] == "SIP/2.0 200 OK"
    four = house.phone.call(SWITCH, BERLIN)
    house.advance()
    assert house.phone.story(four) == "Failed"
    assert house.switch_peer.refusals[-1] == (486, "busy")


def to_numbers_that_are_not_sold(house: House) -> None:
    """Neither blindly nor by a second call that was refused."""
    one, _ = house.talking()
    for number in ("0049900123", "0033123456", "112"):
        assert refers(house, one, number).statuses[0] >= 403
    refused = house.phone.call(SWITCH, "0049900123")
    house.advance()
    tag = next(d.message.to.tag for d in reversed(house.network.log) if str(d) == "403 INVITE")
    names = f"{refused.call_id.replace('@', '%40')}%3Bto-tag%3D{tag}%3Bfrom-tag%3D{refused.local_tag}"
    house.phone.send_inside(one, "REFER", headers=[("refer-to", f"<sip:{SWITCH[0]}?Replaces={names}>")])
    house.advance()
    assert last_told(house) == "SIP/2.0 481 Call/Transaction Does Not Exist"


def paying_before_the_end(house: House) -> None:
    """The bill is asked for while those who were joined talk on."""
    one, two, _, _ = consulting(house)
    transfers(house, one, two)
    with pytest.raises(CallAlive):
        at_once(
            house.switch.desk.checkout.pay(
                TENANT, "gate", version=1, tenders=cash(Money.parse("1.00", "EUR")), language=None, author="ana"
            )
        )


def again_and_again(house: House) -> None:
    """A hundred transfers that come to nothing leave nothing."""
    one, two, berlin, munich = consulting(house)
    house.second.polite = False
    for _ in range(20):
        transfers(house, one, two, "x")
        transfers(house, one, two)
        answering(house, munich, 488)
        refers(house, one)
        house.second.reject(house.second.incoming, 486)
        house.advance()
    assert {one.state, two.state, berlin.state, munich.state} == {State.CONFIRMED}


@pytest.mark.scenario(39)
@pytest.mark.parametrize(
    "attack",
    [
        repeated,
        before_the_ack,
        in_the_callees_name,
        more_lines_than_it_has,
        to_numbers_that_are_not_sold,
        paying_before_the_end,
        again_and_again,
    ],
)
def test_an_attack_that_comes_to_nothing(house: House, attack: Callable[[House], None]) -> None:
    attack(house)
    assert not any(str(datagram) == "REFER" and datagram.source == SWITCH for datagram in house.network.log)
    settled(house)


def asked(house: House) -> None:
    one, two, _, _ = consulting(house)
    house.carrier.polite = house.second.polite = False
    transfers(house, one, two)


def offered(house: House) -> None:
    asked(house)
    answering(house, house.second.incoming, 200, OF_CONSULTED)


def left(house: House) -> None:
    offered(house)
    for leg in house.phone.legs:
        house.phone.hang_up(leg)
    house.advance()


def blind(house: House) -> None:
    never_agreed(house)


def cut(house: House) -> None:
    at_once(house.switch.desk.lock(TENANT, "gate", "ana", cut=True))


def suspended(house: House) -> None:
    at_once(house.switch.desk.suspend(TENANT, "Ann", "boss", by="Tel", cut=True))


def stopped(house: House) -> None:
    coroutine = house.switch.drain(0.0)
    with pytest.raises((StopIteration, RuntimeError)):
        coroutine.send(None)
    coroutine.close()


def spent(house: House) -> None:
    house.advance(4000.0)


def crashed(house: House) -> None:
    house.restart()


def crossed(house: House) -> None:
    """Both hang up in the moment in which they agree."""
    for phone in (house.carrier, house.second):
        for leg in list(phone.legs):
            phone.hang_up(leg)


@pytest.mark.scenario(39)
@pytest.mark.parametrize("what", [cut, suspended, stopped, spent, crashed, crossed])
@pytest.mark.parametrize("moment", [asked, offered, left, blind])
def test_whatever_happens_while_two_are_joined(
    house: House, moment: Callable[[House], None], what: Callable[[House], None]
) -> None:
    moment(house)
    what(house)
    house.advance(1.0)
    assert audit(house.memory.connection) == []
    alive = [leg for phone in (house.carrier, house.second) for leg in phone.legs if leg.state is State.CONFIRMED]
    assert not alive
    settled(house)
    assert len(house.memory.cdrs) == 2


@pytest.mark.scenario(39)
def test_a_transfer_that_a_new_one_overtakes_is_acknowledged_all_the_same(house: House) -> None:
    """The consulted one makes his offer after its transfer has failed, and while the next one waits."""
    one, two, berlin, munich = consulting(house)
    house.second.polite = False
    transfers(house, one, two)
    house.carrier.hang_up(berlin)
    house.advance()
    assert last_told(house) == "SIP/2.0 487 Request Terminated"
    assert _refers_on(house, two).statuses == [202]
    answering(house, munich, 200, OF_CONSULTED)
    ack = [d.message.body for d in house.network.log if str(d) == "ACK" and d.destination == house.second.address]
    assert ack[-1] == OFFER.data
    house.carrier.answer(house.carrier.incoming, OFFER)
    house.advance()
    answering(house, munich, 200, ANSWER)
    assert last_told(house) == "SIP/2.0 200 OK"
    settled(house)


def _refers_on(house: House, leg: OutgoingLeg) -> Recorder:
    recorder = house.phone.send_inside(leg, "REFER", headers=[("refer-to", f"<sip:{BERLIN}@{SWITCH[0]}>")])
    house.advance()
    return recorder
