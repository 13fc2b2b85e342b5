"""Transfers with consultation (REFER with Replaces) in memory: who talks with whom then, and who is never joined."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import pytest

from sipshop.billing.cdr import Result
from sipshop.billing.desk import SessionTerms
from sipshop.billing.money import Money
from sipshop.facts import RequestRefused
from sipshop.sip.course import State
from sipshop.sip.events import Asked, Content, HungUp, Replied
from sipshop.sip.incoming import IncomingLeg
from sipshop.sip.leg import Leg
from sipshop.sip.message import Response
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.store.audit import audit
from sipshop.switch.transfers import LIMIT_S
from sipshop.world import parse_world
from tests.sip.peers import ANSWER, HOLD, LATENCY_S, OFFER, Phone, Recorder, losing
from tests.switch.house import GATE, SWITCH, TENANT, WORLD_TEXT, House, at_once
from tests.switch.test_transfers import MUNICH, told

OTHER: Final = ("192.0.2.12", 5060)
WORLD: Final = parse_world(
    WORLD_TEXT.replace("    deck: sell\n    country", "    deck: sell\n    transfer: true\n    country")
    .replace('routes:\n  - {prefix: "49", trunks: [one, two]}', "routes:\n  - {prefix: '49', trunks: [one, two]}")
    .replace("trunks: [one, two]}", "trunks: [one, two]}\n  - {prefix: '4989', trunks: [two]}")
    .replace("auth: ip, ip: 192.0.2.11}", "auth: ip, ip: 192.0.2.11, calls: 3}")
    + "      - {name: other, auth: ip, ip: 192.0.2.12}\n",
    "world.yaml",
)
#: What the two callees say of their sound when they are asked.
OF_CONSULTED: Final = Content("application/sdp", b"v=0\r\ns=consulted\r\n")


@pytest.fixture
def house() -> Iterator[House]:
    house = open_house()
    yield house
    house.network.weather = losing()
    house.carrier.polite = house.second.polite = True
    house.forget()
    assert house.memory.count("calls") == 0
    assert audit(house.memory.connection) == []


def open_house() -> House:
    house = House(world=WORLD)
    house.phone.agent.methods |= {"NOTIFY"}
    house.unlock()
    return house


def consulting(house: House) -> tuple[OutgoingLeg, OutgoingLeg, IncomingLeg, IncomingLeg]:
    """The two legs of a booth that talks with Berlin and has called Munich meanwhile, and theirs."""
    one, berlin = house.talking()
    house.advance(30.0)
    two = house.phone.call(SWITCH, MUNICH)
    house.advance()
    munich = house.second.incoming
    house.second.answer(munich)
    house.advance(30.0)
    return one, two, berlin, munich


def replacing(leg: Leg, more: str = "") -> str:
    """The Refer-To that names a leg of the phone's as its other side has it."""
    assert leg.dialog is not None
    tags = f"%3Bto-tag%3D{leg.dialog.remote_tag}%3Bfrom-tag%3D{leg.dialog.local_tag}"
    return f"<sip:{SWITCH[0]}:{SWITCH[1]}?Replaces={leg.call_id.replace('@', '%40')}{tags}{more}>"


def transfers(house: House, one: Leg, two: Leg, more: str = "", *, wait_s: float = 0.5) -> Recorder:
    recorder = house.phone.send_inside(one, "REFER", headers=[("refer-to", replacing(two, more))])
    house.advance(wait_s)
    return recorder


def last_told(house: House) -> str:
    line, subscription = told(house)[-1]
    assert subscription == "terminated"
    return line


def sent_to(house: House, phone: Phone, name: str) -> list[bytes]:
    """The bodies of one kind of message that the switch sent to a phone."""
    return [d.message.body for d in house.network.log if str(d) == name and d.destination == phone.address]


def answering(house: House, leg: IncomingLeg, status: int, content: Content | None = None) -> None:
    """Have an impolite carrier answer the re-INVITE that it was asked last."""
    phone = house.carrier if leg in house.carrier.legs else house.second
    asked = [event for event in phone.heard[leg].events if isinstance(event, Asked)]
    leg.reply(asked[-1].ask, status, content, house.network.now)
    phone.work(house.network.now)
    house.advance()


@pytest.mark.scenario(39)
@pytest.mark.rfc("3891", "3")
@pytest.mark.rfc("5589", "7")
def test_a_booth_that_has_consulted_joins_the_two_and_is_let_go(house: House) -> None:
    one, two, berlin, munich = consulting(house)
    house.second.polite = False
    assert transfers(house, one, two).statuses == [202]
    answering(house, munich, 200, OF_CONSULTED)
    house.advance()
    assert told(house) == [("SIP/2.0 100 Trying", "active"), ("SIP/2.0 200 OK", "terminated")]
    assert isinstance(house.phone.last(one), HungUp)
    assert isinstance(house.phone.last(two), HungUp)
    assert (berlin.state, munich.state) == (State.CONFIRMED, State.CONFIRMED)
    assert sent_to(house, house.second, "INVITE")[-1] == b"", "the consulted one is asked for an offer"
    assert sent_to(house, house.carrier, "INVITE")[-1] == OF_CONSULTED.data
    assert sent_to(house, house.second, "ACK")[-1] == ANSWER.data


@pytest.mark.scenario(39)
@pytest.mark.parametrize("ends", ["berlin", "munich", "desk"])
def test_both_go_on_being_charged_until_the_end_of_both(house: House, ends: str) -> None:
    one, two, berlin, munich = consulting(house)
    transfers(house, one, two)
    house.advance(60.0)
    assert house.memory.cdrs == []
    if ends == "desk":
        at_once(house.switch.desk.lock(TENANT, "gate", "ana", cut=True))
    else:
        (house.carrier if ends == "berlin" else house.second).hang_up(berlin if ends == "berlin" else munich)
    house.advance()
    first, second = sorted(house.memory.cdrs, key=lambda cdr: cdr.setup_at_ms)
    assert [cdr.result for cdr in (first, second)] == [Result.ANSWERED] * 2
    assert (first.trunk, second.trunk, first.session_id) == ("one", "two", second.session_id)
    assert [cdr.charges[0].cost.billed_s for cdr in (first, second)] == [126, 96]
    by = {"berlin": ["callee", "caller"], "munich": ["caller", "callee"], "desk": ["switch", "switch"]}[ends]
    assert [cdr.hung_up_by and cdr.hung_up_by.value for cdr in (first, second)] == by
    assert {type(house.carrier.last(berlin)), type(house.second.last(munich))} <= {HungUp, Asked} or ends != "desk"


@pytest.mark.scenario(39)
@pytest.mark.parametrize("from_the_consulted", [False, True], ids=["the first call", "the call of the consultation"])
@pytest.mark.parametrize("hangs_up", ["nothing", "one", "two", "both"])
def test_the_booth_may_name_either_call_and_hang_up_right_after_the_202(
    house: House, from_the_consulted: bool, hangs_up: str
) -> None:
    one, two, berlin, munich = consulting(house)
    referred, named = (two, one) if from_the_consulted else (one, two)
    house.phone.send_inside(referred, "REFER", headers=[("refer-to", replacing(named))])
    for leg in {"nothing": (), "one": (one,), "two": (two,), "both": (one, two)}[hangs_up]:
        house.phone.hang_up(leg)
    house.advance(1.0)
    if hangs_up not in {"both", "two" if from_the_consulted else "one"}:  # else it knows no more of what it has asked
        assert last_told(house) == "SIP/2.0 200 OK"
    assert (berlin.state, munich.state, house.memory.cdrs) == (State.CONFIRMED, State.CONFIRMED, [])
    assert {one.state, two.state} <= {State.CLOSING, State.CLOSED}
    house.carrier.reinvite(berlin, HOLD)
    house.advance()
    assert house.second.story(munich).endswith("Asked Acknowledged"), "what one asks reaches the other"
    house.second.hang_up(munich)
    house.advance()
    assert len(house.memory.cdrs) == 2


Moment = Callable[[House, OutgoingLeg, OutgoingLeg, IncomingLeg, IncomingLeg], None]


def the_consulted_refuses(house: House, _one: Leg, _two: Leg, _berlin: IncomingLeg, munich: IncomingLeg) -> None:
    answering(house, munich, 488)


def the_other_refuses(house: House, _one: Leg, _two: Leg, berlin: IncomingLeg, munich: IncomingLeg) -> None:
    answering(house, munich, 200, OF_CONSULTED)
    answering(house, berlin, 488)


def the_other_answers_nothing(house: House, _one: Leg, _two: Leg, berlin: IncomingLeg, munich: IncomingLeg) -> None:
    answering(house, munich, 200, OF_CONSULTED)
    answering(house, berlin, 200)
    answering(house, berlin, 200, ANSWER)  # he is offered what he had before


@pytest.mark.scenario(39)
@pytest.mark.parametrize("hangs_up", ["", "one", "two", "both"])
@pytest.mark.parametrize("happens", [the_consulted_refuses, the_other_refuses, the_other_answers_nothing])
def test_who_is_not_joined_has_the_booth_as_before(house: House, happens: Moment, hangs_up: str) -> None:
    one, two, berlin, munich = consulting(house)
    house.carrier.polite = house.second.polite = False
    assert transfers(house, one, two).statuses == [202]
    for leg in {"": (), "one": (one,), "two": (two,), "both": (one, two)}[hangs_up]:
        house.phone.hang_up(leg)
    house.advance()
    happens(house, one, two, berlin, munich)
    house.advance()
    assert last_told(house) == "SIP/2.0 488 Not Acceptable Here"
    assert (berlin.state is State.CONFIRMED) is (hangs_up not in {"one", "both"})
    assert (munich.state is State.CONFIRMED) is (hangs_up not in {"two", "both"})
    assert len(house.memory.cdrs) == {"": 0, "both": 2}.get(hangs_up, 1)
    if happens is the_other_refuses:
        assert sent_to(house, house.second, "ACK")[-1] == OFFER.data, "what it was offered holds again"
    house.carrier.polite = house.second.polite = True
    if not hangs_up:
        transfers(house, one, two, wait_s=5.0)
        assert last_told(house) == "SIP/2.0 200 OK", "it may be tried again"


@pytest.mark.scenario(39)
@pytest.mark.parametrize("moment", ["asked", "offered", "agreed"])
@pytest.mark.parametrize("who", ["berlin", "munich"])
def test_who_hangs_up_while_they_are_joined_leaves_the_other_to_the_booth(house: House, who: str, moment: str) -> None:
    one, two, berlin, munich = consulting(house)
    house.carrier.polite = house.second.polite = False
    transfers(house, one, two)
    if moment != "asked":
        answering(house, munich, 200, OF_CONSULTED)
    phone, leg = (house.carrier, berlin) if who == "berlin" else (house.second, munich)
    phone.hang_up(leg)
    if (moment, who) == ("agreed", "munich"):  # his BYE and the other one's agreement cross
        answering(house, berlin, 200, ANSWER)
    house.carrier.polite = house.second.polite = True
    house.advance(1.0)
    assert last_told(house) == "SIP/2.0 487 Request Terminated"
    stays, ends = (two, one) if who == "berlin" else (one, two)
    assert (stays.state, isinstance(house.phone.last(ends), HungUp)) == (State.CONFIRMED, True)
    assert (house.cdr.hung_up_by and house.cdr.hung_up_by.value, len(house.memory.cdrs)) == ("callee", 1)


@pytest.mark.scenario(39)
def test_who_has_agreed_to_another_one_that_left_is_offered_the_booth_again(house: House) -> None:
    one, two, berlin, munich = consulting(house)
    house.carrier.polite = house.second.polite = False
    transfers(house, one, two)
    answering(house, munich, 200, OF_CONSULTED)
    house.network.weather = losing("CANCEL")
    house.second.hang_up(munich)
    house.advance()
    answering(house, berlin, 200, ANSWER)
    house.advance()
    assert sent_to(house, house.carrier, "INVITE")[-2:] == [OF_CONSULTED.data, OFFER.data]
    answering(house, berlin, 200, ANSWER)
    assert (one.state, berlin.state) == (State.CONFIRMED, State.CONFIRMED)


@pytest.mark.scenario(39)
@pytest.mark.rfc("3891", "3")
@pytest.mark.parametrize(
    ("more", "line"),
    [
        pytest.param("x", "481 Call/Transaction Does Not Exist", id="another tag"),
        pytest.param("%3Bearly-only", "486 Busy Here", id="only if it was not answered"),
    ],
)
def test_a_dialog_that_may_not_be_replaced(house: House, more: str, line: str) -> None:
    one, two, berlin, munich = consulting(house)
    assert transfers(house, one, two, more).statuses == [202], "a 481 would end the call that it came in"
    assert last_told(house) == f"SIP/2.0 {line}"
    assert {leg.state for leg in (one, two, berlin, munich)} == {State.CONFIRMED}


@pytest.mark.scenario(39)
@pytest.mark.rfc("3891", "3")
def test_an_early_dialog_is_replaced_by_nobody_who_has_not_begun_it(house: House) -> None:
    one, _ = house.talking()
    two = house.phone.call(SWITCH, MUNICH)
    house.advance()
    house.second.ring(house.second.incoming)
    house.advance()
    (rang,) = [d.message for d in house.network.log if str(d) == "180 INVITE" and d.message.call_id == two.call_id][-1:]
    names = f"{two.call_id.replace('@', '%40')}%3Bto-tag%3D{rang.to.tag}%3Bfrom-tag%3D{rang.from_.tag}"
    house.phone.send_inside(one, "REFER", headers=[("refer-to", f"<sip:{SWITCH[0]}?Replaces={names}>")])
    house.advance()
    assert last_told(house) == "SIP/2.0 481 Call/Transaction Does Not Exist"
    assert (one.state, house.second.incoming.state) == (State.CONFIRMED, State.OFFERED)


@pytest.mark.scenario(39)
@pytest.mark.rfc("3891", "3")
def test_a_call_that_has_ended_meanwhile_is_declined_and_then_unknown(house: House) -> None:
    one, two, _, munich = consulting(house)
    house.network.weather = lambda datagram: (
        () if datagram.destination == GATE and str(datagram) == "BYE" else (1 / 64,)
    )
    house.second.hang_up(munich)
    house.advance()
    transfers(house, one, two)
    assert last_told(house) == "SIP/2.0 603 Decline"
    house.advance(40.0)
    transfers(house, one, two)
    assert last_told(house) == "SIP/2.0 481 Call/Transaction Does Not Exist"
    assert one.state is State.CONFIRMED


def locked(house: House) -> None:
    at_once(house.switch.desk.lock(TENANT, "gate", "ana"))


def suspended(house: House) -> None:
    at_once(house.switch.desk.suspend(TENANT, "Ann", "boss", by="Tel"))


@pytest.mark.scenario(39)
@pytest.mark.parametrize("what", [locked, suspended])
def test_a_booth_that_may_not_call_joins_nobody(house: House, what: Callable[[House], None]) -> None:
    one, two, berlin, munich = consulting(house)
    what(house)
    assert transfers(house, one, two).statuses == [403]
    assert {leg.state for leg in (one, two, berlin, munich)} == {State.CONFIRMED}
    assert told(house) == []


@pytest.mark.scenario(39)
@pytest.mark.parametrize("number", ["112", "itself"])
def test_a_call_for_help_and_the_call_itself_are_joined_with_nobody(house: House, number: str) -> None:
    one, _ = house.talking()
    two = one
    if number == "112":
        two = house.phone.call(SWITCH, number)
        house.advance()
        house.carrier.answer(house.carrier.incoming)
        house.advance()
        assert transfers(house, two, one).statuses == [603]
    assert transfers(house, one, two).statuses == [202]
    assert last_told(house) == "SIP/2.0 603 Decline"
    assert (one.state, two.state) == (State.CONFIRMED, State.CONFIRMED)


@pytest.mark.scenario(39)
def test_another_booths_call_is_as_unknown_as_none(house: House) -> None:
    """Whoever has seen its tags could talk at its cost, and listen."""
    one, berlin = house.talking()
    at_once(house.switch.desk.unlock(TENANT, "other", "ana"))
    neighbour = Phone(house.network, OTHER, user="other")
    theirs = neighbour.call(SWITCH, MUNICH)
    house.advance()
    munich = house.second.incoming
    house.second.answer(munich)
    house.advance()
    transfers(house, one, theirs)
    assert last_told(house) == "SIP/2.0 481 Call/Transaction Does Not Exist"
    dialog = munich.dialog
    assert dialog is not None
    names = f"{munich.call_id}%3Bto-tag%3D{dialog.remote_tag}%3Bfrom-tag%3D{dialog.local_tag}"
    house.phone.send_inside(one, "REFER", headers=[("refer-to", f"<sip:{SWITCH[0]}?Replaces={names}>")])
    house.advance()
    assert last_told(house) == "SIP/2.0 481 Call/Transaction Does Not Exist", "a carrier's dialog is no booth's"
    assert {leg.state for leg in (theirs, munich, one, berlin)} == {State.CONFIRMED}
    assert [fact.cause for fact in house.switch_peer.facts if isinstance(fact, RequestRefused)] == ["no_dialog"] * 2
    neighbour.hang_up(theirs)
    house.advance()


@pytest.mark.scenario(39)
def test_only_one_join_at_a_time(house: House) -> None:
    one, two, _, munich = consulting(house)
    house.second.polite = False
    transfers(house, one, two)
    for referred, named in ((one, two), (two, one)):
        assert transfers(house, referred, named).statuses == [603]
    answering(house, munich, 200, OF_CONSULTED)
    house.advance()
    assert last_told(house) == "SIP/2.0 200 OK"


@pytest.mark.rfc("3891", "6.1")
@pytest.mark.parametrize(
    "names",
    [
        pytest.param("x", id="no tags"),
        pytest.param("x%3Bto-tag%3Da", id="one tag"),
        pytest.param("x%3Bto-tag%3Da%3Bto-tag%3Db%3Bfrom-tag%3Dc", id="a tag twice"),
        pytest.param("%3Bto-tag%3Da%3Bfrom-tag%3Db", id="no Call-ID"),
        pytest.param("x%20y%3Bto-tag%3Da%3Bfrom-tag%3Db", id="white space"),
        pytest.param("x%3Bto-tag%3Da%3Bfrom-tag%3Db&Replaces=x%3Bto-tag%3Da%3Bfrom-tag%3Db", id="twice"),
    ],
)
def test_what_names_no_dialog_is_malformed(house: House, names: str) -> None:
    one, _ = house.talking()
    recorder = house.phone.send_inside(one, "REFER", headers=[("refer-to", f"<sip:{SWITCH[0]}?Replaces={names}>")])
    house.advance()
    assert (recorder.statuses, one.state) == ([400], State.CONFIRMED)


@pytest.mark.scenario(39)
@pytest.mark.parametrize("deposit", ["0.60", "1.00", "3.00"])
def test_joined_calls_end_with_the_money_of_their_session(deposit: str) -> None:
    house = House(world=WORLD)
    house.phone.agent.methods |= {"NOTIFY"}
    at_once(house.switch.desk.unlock(TENANT, "gate", "ana", SessionTerms(deposit=Money.parse(deposit, "EUR"))))
    one, berlin = house.talking()
    two = house.phone.call(SWITCH, MUNICH)
    house.advance()
    munich = house.second.incoming
    house.second.answer(munich)
    house.advance()
    transfers(house, one, two)
    assert last_told(house) == "SIP/2.0 200 OK"
    for _ in range(40):
        house.advance(30.0)
        assert audit(house.memory.connection) == []
    assert {berlin.state, munich.state} <= {State.CLOSED, State.CLOSING}
    spent = sum(cdr.charges[0].cost.amount.micros for cdr in house.memory.cdrs)
    assert (len(house.memory.cdrs), 0 < spent <= round(float(deposit) * 1_000_000)) == (2, True)
    house.forget()


@pytest.mark.scenario(39)
@pytest.mark.parametrize("moment", ["asked", "offered", "joined"])
def test_a_crash_while_they_are_joined_ends_and_settles_both(moment: str) -> None:
    house = open_house()
    one, two, berlin, munich = consulting(house)
    house.carrier.polite = house.second.polite = moment == "joined"
    transfers(house, one, two)
    if moment == "offered":
        answering(house, munich, 200, OF_CONSULTED)
    house.advance(20.0)
    house.carrier.polite = house.second.polite = True
    house.restart()
    house.advance()
    assert {type(house.carrier.last(berlin)), type(house.second.last(munich))} == {HungUp}
    assert [cdr.talk_ms > 0 for cdr in house.memory.cdrs] == [True, True]
    assert (audit(house.memory.connection), house.memory.count("calls")) == ([], 0)
    house.forget()


# Our re-INVITE meets one of theirs.


@pytest.mark.rfc("3261", "14.1")
@pytest.mark.scenario(13)
@pytest.mark.parametrize(("drawn", "wait_s"), [(0, 2.1), (190, 4.0)], ids=["the shortest time", "the longest time"])
@pytest.mark.parametrize("who", ["munich", "berlin", "a transferee"])
def test_a_reinvite_that_meets_one_of_theirs_is_sent_again_after_a_time_of_chance(
    house: House, who: str, drawn: int, wait_s: float
) -> None:
    house.switch_peer.agent.pick = lambda below: min(drawn, below - 1)
    one, two, berlin, munich = consulting(house)
    if who == "a transferee":
        house.phone.hang_up(two)
        house.phone.send_inside(one, "REFER", headers=[("refer-to", f"<sip:{MUNICH}@{SWITCH[0]}>")])
        house.advance()
        house.second.answer(house.second.incoming, OF_CONSULTED)
    else:
        transfers(house, one, two, wait_s=0.0)
    house.advance((3 if who == "berlin" else 1) * LATENCY_S)  # ours is on its way to him
    (phone, leg) = (house.second, munich) if who == "munich" else (house.carrier, berlin)
    theirs = phone.reinvite(leg)
    house.advance(5.0)
    assert phone.last(leg) != Replied(theirs, 491, None, late_offer=False), "ours came through meanwhile"
    assert Replied(theirs, 491, None, late_offer=False) in phone.heard[leg].events
    first, second = [d.at_s for d in house.network.log if str(d) == "INVITE" and d.destination == phone.address][-2:]
    assert second - first == pytest.approx(wait_s + 2 * LATENCY_S)
    assert last_told(house) == "SIP/2.0 200 OK"


@pytest.mark.rfc("3261", "14.1")
@pytest.mark.parametrize("ends", ["never", "while it waits"])
def test_a_reinvite_that_meets_theirs_again_and_again_is_given_up(house: House, ends: str) -> None:
    one, two, berlin, munich = consulting(house)
    house.second.polite = False
    transfers(house, one, two)
    answering(house, munich, 491)
    if ends == "while it waits":
        house.carrier.hang_up(berlin)
        house.advance(LIMIT_S)
    else:
        for _ in range(4):
            house.advance(2.0)
            answering(house, munich, 491)
        house.advance(LIMIT_S)
    tries = 5 if ends == "never" else 1
    assert sent_to(house, house.second, "INVITE")[1:] == [b""] * tries
    assert last_told(house) == f"SIP/2.0 {'491 Request Pending' if ends == 'never' else '487 Request Terminated'}"
    assert (two.state, munich.state) == (State.CONFIRMED, State.CONFIRMED)
    assert (one.state is State.CONFIRMED) is (ends == "never")


# An INVITE that would take a dialog over.


def invites(phone: Phone, names: str, number: str = MUNICH, more: tuple[tuple[str, str], ...] = ()) -> list[int]:
    phone.call(SWITCH, number, headers=[("replaces", names), *more])
    phone.network.advance(0.25)
    return [
        datagram.message.status
        for datagram in phone.network.log
        if datagram.destination == phone.address and isinstance(datagram.message, Response)
    ][-1:]


def names_of(leg: Leg, more: str = "") -> str:
    assert leg.dialog is not None
    return f"{leg.call_id};to-tag={leg.dialog.remote_tag};from-tag={leg.dialog.local_tag}{more}"


@pytest.mark.rfc("3891", "3")
@pytest.mark.parametrize(
    ("more", "status"),
    [
        pytest.param("", 603, id="its own call"),
        pytest.param(";early-only", 486, id="its own call, if it was not answered"),
        pytest.param("x", 481, id="no call"),
    ],
)
@pytest.mark.parametrize("who", ["booth", "carrier"])
def test_an_invite_takes_no_call_over(house: House, who: str, more: str, status: int) -> None:
    one, berlin = house.talking()
    phone, leg = (house.phone, one) if who == "booth" else (house.carrier, berlin)
    assert invites(phone, names_of(leg, more)) == [status]
    other, theirs = (house.carrier, one) if who == "booth" else (house.phone, berlin)
    assert invites(other, names_of(theirs, more)) == [481], "it is not his"
    assert (one.state, berlin.state, house.memory.cdrs) == (State.CONFIRMED, State.CONFIRMED, [])


@pytest.mark.rfc("3891", "3")
@pytest.mark.parametrize(
    ("names", "more", "status"),
    [
        pytest.param("x", (), 400, id="no tags"),
        pytest.param("x;to-tag=a;from-tag=b", (("replaces", "x;to-tag=a;from-tag=b"),), 400, id="twice"),
        pytest.param("x;to-tag=a;from-tag=b", (("join", "x;to-tag=a;from-tag=b"),), 400, id="with Join"),
        pytest.param("x;to-tag=a;from-tag=b", (("require", "replaces"),), 420, id="required"),
    ],
)
def test_an_invite_with_a_wrong_replaces(
    house: House, names: str, more: tuple[tuple[str, str], ...], status: int
) -> None:
    assert invites(house.phone, names, more=more) == [status]


def test_a_call_for_help_is_made_whatever_it_says_of_others(house: House) -> None:
    house.phone.call(SWITCH, "112", headers=[("replaces", "x;to-tag=a;from-tag=b")])
    house.advance()
    assert house.carrier.incoming.state is State.OFFERED


def test_replaces_belongs_into_an_invite(house: House) -> None:
    one, _ = house.talking()
    recorder = house.phone.send_inside(one, "INFO", headers=[("replaces", names_of(one))])
    house.advance()
    assert recorder.statuses == [400]
