"""Blind transfers in memory: who hears what, who pays for what, and what is left of a transfer that fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sipshop.billing.cdr import Result
from sipshop.billing.desk import SessionTerms
from sipshop.billing.money import Money
from sipshop.sip.course import State
from sipshop.sip.events import Asked, HungUp
from sipshop.sip.incoming import IncomingLeg
from sipshop.sip.message import Request
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.store.audit import audit
from sipshop.world import parse_world
from tests.sip.peers import ANSWER, HOLD, OFFER, Recorder, losing
from tests.switch.house import BERLIN, SWITCH, TENANT, WORLD_TEXT, House, at_once

TRANSFERRING = parse_world(
    WORLD_TEXT.replace("    deck: sell\n    country", "    deck: sell\n    transfer: true\n    country").replace(
        'routes:\n  - {prefix: "49", trunks: [one, two]}',
        'routes:\n  - {prefix: "49", trunks: [one, two]}\n  - {prefix: "4989", trunks: [two]}',
    ),
    "world.yaml",
)
MUNICH = "0891234567"


@pytest.fixture
def house() -> Iterator[House]:
    house = House(world=TRANSFERRING)
    house.phone.agent.methods |= {"NOTIFY"}
    house.unlock()
    yield house
    house.network.weather = lambda _datagram: (1 / 64,)
    house.memory.broken = False
    house.forget()
    assert house.memory.count("calls") == 0
    assert audit(house.memory.connection) == []


def refers(house: House, leg: OutgoingLeg, to: str = MUNICH, *, host: str = SWITCH[0], more: str = "") -> Recorder:
    recorder = house.phone.send_inside(leg, "REFER", headers=[("refer-to", f"<sip:{to}@{host}{more}>")])
    house.advance()
    return recorder


def told(house: House) -> list[tuple[str, str]]:
    """What the phone was told of its transfer: the status line and the state of the subscription."""
    notifies = [
        datagram.message
        for datagram in house.network.log
        if str(datagram) == "NOTIFY" and datagram.destination == house.phone.address
    ]
    return [
        (message.body.decode().strip(), (message.get("subscription-state") or "").partition(";")[0])
        for message in notifies
    ]


def transferred(house: House) -> tuple[OutgoingLeg, IncomingLeg, IncomingLeg]:
    """A booth's leg, its callee's and the one whom he talks with, a second after the transfer."""
    leg, first = house.talking()
    house.advance(59.0)
    assert refers(house, leg).statuses == [202]
    second = house.second.incoming
    house.second.ring(second)
    house.advance(1.0)
    house.second.answer(second, OFFER)
    house.advance(1.0)
    return leg, first, second


@pytest.mark.scenario(39)
@pytest.mark.rfc("3515", "2.4")
def test_a_booth_that_transfers_is_told_how_it_went_and_let_go(house: House) -> None:
    leg, first, second = transferred(house)
    assert told(house) == [("SIP/2.0 100 Trying", "active"), ("SIP/2.0 200 OK", "terminated")]
    assert isinstance(house.phone.last(leg), HungUp)
    assert (first.state, second.state) == (State.CONFIRMED, State.CONFIRMED)
    reinvite = [d.message for d in house.network.log if str(d) == "INVITE" and d.destination == house.carrier.address]
    assert reinvite[-1].body == OFFER.data
    assert house.carrier_side[-4:] == ["> INVITE", "< 100 INVITE", "< 200 INVITE", "> ACK"]
    ack = [d.message for d in house.network.log if str(d) == "ACK" and d.destination == house.second.address]
    assert ack[-1].body == ANSWER.data


@pytest.mark.scenario(39)
@pytest.mark.parametrize("first_ends", [True, False])
def test_both_calls_are_charged_until_one_of_the_two_hangs_up(house: House, first_ends: bool) -> None:
    _, first, second = transferred(house)
    house.advance(60.0)
    if first_ends:
        house.carrier.hang_up(first)
    else:
        house.second.hang_up(second)
    house.advance()
    one, two = sorted(house.memory.cdrs, key=lambda cdr: cdr.setup_at_ms)
    assert (one.e164, two.e164) == ("49301234567", "49891234567")
    assert (one.result, two.result, one.trunk, two.trunk) == (Result.ANSWERED, Result.ANSWERED, "one", "two")
    assert one.session_id == two.session_id
    assert [cdr.charges[0].cost.billed_s for cdr in (one, two)] == [126, 66]
    assert [cdr.hung_up_by and cdr.hung_up_by.value for cdr in (one, two)] == (
        ["callee", "caller"] if first_ends else ["caller", "callee"]
    )


@pytest.mark.scenario(39)
def test_the_booth_may_hang_up_right_after_the_202_and_the_other_two_stay(house: House) -> None:
    leg, first = house.talking()
    house.phone.send_inside(leg, "REFER", headers=[("refer-to", f"<sip:{MUNICH}@{SWITCH[0]}>")])
    house.phone.hang_up(leg)
    house.advance(5.0)
    assert first.state is State.CONFIRMED
    second = house.second.incoming
    house.second.answer(second, OFFER)
    house.advance()
    assert (first.state, second.state, house.memory.cdrs) == (State.CONFIRMED, State.CONFIRMED, [])
    house.advance(60.0)
    house.carrier.hang_up(first)
    house.advance()
    assert isinstance(house.second.last(second), HungUp)
    assert len(house.memory.cdrs) == 2


@pytest.mark.scenario(39)
def test_requests_of_the_two_go_through(house: House) -> None:
    _, first, second = transferred(house)
    house.carrier.reinvite(first, HOLD)
    house.advance()
    assert house.second.story(second).endswith("Asked Acknowledged")
    house.second.reinvite(second, HOLD)
    house.advance()
    assert house.carrier.story(first).endswith("Asked Acknowledged")


@pytest.mark.scenario(39)
@pytest.mark.parametrize("hangs_up", [False, True])
@pytest.mark.parametrize("status", [486, 404, 503])
def test_a_failed_transfer_leaves_the_old_call_as_it_was(house: House, status: int, hangs_up: bool) -> None:
    leg, first = house.talking()
    refers(house, leg)
    if hangs_up:
        house.phone.hang_up(leg)
        house.advance()
    house.second.reject(house.second.incoming, status)
    house.advance()
    (last, subscription) = told(house)[-1]
    assert subscription == "terminated"
    assert not last.startswith("SIP/2.0 2")
    assert (first.state is State.CONFIRMED) is not hangs_up
    failed = next(cdr for cdr in house.memory.cdrs if cdr.e164 == "49891234567")
    assert (failed.talk_ms, failed.charges) == (0, ())
    if not hangs_up:
        assert refers(house, leg).statuses == [202], "it may be tried again"
        house.second.reject(house.second.incoming, status)
        house.advance()


@pytest.mark.scenario(39)
def test_a_callee_that_does_not_take_the_other_one_keeps_his_call(house: House) -> None:
    leg, first = house.talking()
    refers(house, leg)
    house.carrier.polite = False
    second = house.second.incoming
    house.second.answer(second, OFFER)
    house.advance()
    (asked,) = [event for event in house.carrier.heard[first].events if isinstance(event, Asked)]
    first.reply(asked.ask, 488, None, house.network.now)
    house.carrier.work(house.network.now)
    house.advance()
    assert told(house)[-1] == ("SIP/2.0 487 Request Terminated", "terminated")
    assert (leg.state, first.state) == (State.CONFIRMED, State.CONFIRMED)
    assert isinstance(house.second.last(second), HungUp)
    assert (house.cdr.result, house.cdr.talk_ms) == (Result.CANCELLED, 0)
    house.carrier.polite = True


@pytest.mark.scenario(39)
@pytest.mark.parametrize("moment", ["ringing", "joined"])
def test_a_session_that_is_cut_ends_both_calls(house: House, moment: str) -> None:
    if moment == "joined":
        _, first, second = transferred(house)
    else:
        leg, first = house.talking()
        refers(house, leg)
        second = house.second.incoming
        house.second.ring(second)
        house.advance()
    at_once(house.switch.desk.lock(TENANT, "gate", "ana", cut=True))
    house.advance()
    ends = {cdr.hung_up_by.value for cdr in house.memory.cdrs if cdr.hung_up_by is not None}
    assert ends == {"switch"} if moment == "joined" else {"switch", "caller"}
    assert len(house.memory.cdrs) == 2
    assert isinstance(house.carrier.last(first), HungUp)
    assert second.state in {State.CLOSED, State.CLOSING}


@pytest.mark.scenario(39)
def test_a_callee_that_hangs_up_while_the_other_rings_ends_both(house: House) -> None:
    leg, first = house.talking()
    refers(house, leg)
    house.carrier.hang_up(first)
    house.advance()
    assert isinstance(house.phone.last(leg), HungUp)
    assert told(house)[-1] == ("SIP/2.0 487 Request Terminated", "terminated")
    assert house.second.incoming.state is State.CLOSED


@pytest.mark.scenario(39)
@pytest.mark.parametrize(
    ("to", "host", "more", "status"),
    [
        pytest.param(MUNICH, "203.0.113.9", "", 603, id="another host"),
        pytest.param("490900123", SWITCH[0], ";method=BYE", 603, id="another method"),
        pytest.param("0049900123", SWITCH[0], "", 403, id="a number that is not sold"),
        pytest.param("0033123456", SWITCH[0], "", 404, id="a number without a rate"),
        pytest.param("0044123456", SWITCH[0], "", 404, id="a number without a route"),
        pytest.param("x", SWITCH[0], "", 484, id="no number"),
        pytest.param("112", SWITCH[0], "", 403, id="a call for help"),
    ],
)
def test_what_is_refused(house: House, to: str, host: str, more: str, status: int) -> None:
    leg, first = house.talking()
    assert refers(house, leg, to, host=host, more=more).statuses == [status]
    assert (leg.state, first.state, told(house)) == (State.CONFIRMED, State.CONFIRMED, [])
    assert not house.second.legs


@pytest.mark.scenario(39)
def test_only_one_transfer_at_a_time(house: House) -> None:
    leg, _ = house.talking()
    refers(house, leg)
    assert refers(house, leg, BERLIN).statuses == [603]


@pytest.mark.scenario(39)
def test_a_locked_booth_keeps_its_call_and_transfers_nothing(house: House) -> None:
    leg, _ = house.talking()
    at_once(house.switch.desk.lock(TENANT, "gate", "ana"))
    assert refers(house, leg).statuses == [403]


@pytest.mark.scenario(39)
def test_a_carrier_transfers_nobody(house: House) -> None:
    leg, first = house.talking()
    recorder = house.carrier.send_inside(first, "REFER", headers=[("refer-to", f"<sip:{MUNICH}@{SWITCH[0]}>")])
    house.advance()
    assert (recorder.statuses, leg.state) == ([603], State.CONFIRMED)


def test_a_call_for_help_is_transferred_to_nobody(house: House) -> None:
    leg, _ = house.talking("112")
    assert refers(house, leg).statuses == [603]


@pytest.mark.scenario(39)
def test_a_shop_that_does_not_say_so_has_no_transfers() -> None:
    house = House()
    house.unlock()
    leg, first = house.talking()
    assert refers(house, leg).statuses == [603]
    assert (leg.state, first.state) == (State.CONFIRMED, State.CONFIRMED)
    house.forget()


@pytest.mark.rfc("3515", "2.4.2")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param([], 400, id="no Refer-To"),
        pytest.param([("refer-to", "<sip:a@b>"), ("refer-to", "<sip:c@d>")], 400, id="two of them"),
        pytest.param([("refer-to", "<sip:")], 400, id="no URI"),
        pytest.param([("refer-to", "<tel:+4989>")], 416, id="no SIP URI"),
    ],
)
def test_a_malformed_refer_is_refused(house: House, headers: list[tuple[str, str]], status: int) -> None:
    leg, _ = house.talking()
    recorder = house.phone.send_inside(leg, "REFER", headers=headers)
    house.advance()
    assert recorder.statuses == [status]


def test_a_refer_outside_a_call_is_declined(house: House) -> None:
    fields = [
        ("via", house.phone.agent.via(house.phone.flow_to(SWITCH))),
        *(("max-forwards", "70"), ("from", "<sip:gate@192.0.2.1>;tag=r"), ("to", "<sip:b@192.0.2.1>")),
        *(("call-id", "stray"), ("cseq", "1 REFER"), ("refer-to", f"<sip:{MUNICH}@{SWITCH[0]}>")),
    ]
    recorder = house.phone.send(Request("REFER", "sip:192.0.2.1", fields), SWITCH)
    house.advance()
    assert recorder.statuses == [603]


@pytest.mark.rfc("5057", "5.1")
def test_a_phone_that_wants_no_notify_keeps_its_call(house: House) -> None:
    leg, first = house.talking()
    house.network.weather = losing("NOTIFY")
    refers(house, leg)
    house.advance(40.0)
    assert (leg.state, first.state) == (State.CONFIRMED, State.CONFIRMED)
    house.network.weather = losing()
    house.second.answer(house.second.incoming, OFFER)
    house.advance()
    assert [line for line, _ in told(house)][-1] == "SIP/2.0 100 Trying", "it did not answer the first one"


@pytest.mark.scenario(39)
@pytest.mark.parametrize("deposit", ["0.20", "0.60", "1.00", "3.00"])
@pytest.mark.parametrize("answers", [True, False])
def test_no_account_is_ever_beyond_its_limit_and_both_calls_end_with_the_money(deposit: str, answers: bool) -> None:
    house = House(world=TRANSFERRING)
    house.phone.agent.methods |= {"NOTIFY"}
    terms = SessionTerms(deposit=Money.parse(deposit, "EUR"))
    at_once(house.switch.desk.unlock(TENANT, "gate", "ana", terms))
    leg, first = house.talking()
    refers(house, leg)
    rung = [leg for leg in house.second.legs if isinstance(leg, IncomingLeg)]
    if answers and rung:
        house.second.answer(rung[-1], OFFER)
    for _ in range(60):
        house.advance(30.0)
        assert audit(house.memory.connection) == []
    assert first.state in {State.CLOSED, State.CLOSING}
    assert house.memory.count("calls") == 0
    spent = sum(cdr.charges[0].cost.amount.micros for cdr in house.memory.cdrs if cdr.charges)
    assert 0 < spent <= round(float(deposit) * 1_000_000)
    assert len(house.memory.cdrs) == 2
    house.forget()


@pytest.mark.scenario(39)
@pytest.mark.parametrize("talks", [False, True])
def test_a_crash_in_a_transfer_ends_and_settles_both_calls(talks: bool) -> None:
    house = House(world=TRANSFERRING)
    house.phone.agent.methods |= {"NOTIFY"}
    house.unlock()
    leg, first = house.talking()
    refers(house, leg)
    second = house.second.incoming
    if talks:
        house.second.answer(second, OFFER)
    house.advance(20.0)
    house.restart()
    house.advance()
    assert isinstance(house.carrier.last(first), HungUp)
    assert [cdr.talk_ms > 0 for cdr in house.memory.cdrs] == [True, talks]
    assert audit(house.memory.connection) == []
    if not talks:
        house.second.reject(second, 480)
    house.forget()
