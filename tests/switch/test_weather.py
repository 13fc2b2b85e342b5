"""Calls in any weather: whatever is lost, doubled or late, and whoever does what when, it ends, and is billed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sipshop.billing.cdr import Result
from sipshop.facts import CallAnswered, CallAttempted
from sipshop.sip.course import State
from sipshop.sip.events import Ask
from sipshop.sip.incoming import IncomingLeg
from sipshop.sip.leg import Leg
from sipshop.sip.outgoing import OutgoingLeg
from tests.sip.peers import LATENCY_S, Datagram, Phone, fair
from tests.switch.house import BERLIN, SWITCH, TENANT, House, at_once

#: What may become of a datagram: the delays of its copies.
FATES: Final[dict[str, Sequence[float]]] = {
    "arrives": (LATENCY_S,),
    "is lost": (),
    "comes twice": (LATENCY_S, LATENCY_S),
    "comes again": (LATENCY_S, 0.7),
    "is late": (0.3,),
    "is very late": (5.0,),
}


class Play:
    """One call, and what people and the disk may do to it at any moment."""

    def __init__(self, fates: Sequence[str]) -> None:
        self.house = House()
        self.house.unlock()
        left = list(reversed(fates))

        def weather(datagram: Datagram) -> Sequence[float]:
            return FATES[left.pop()] if left else fair(datagram)

        self.house.network.weather = weather
        self.asks: dict[Phone, Ask] = {}
        self.dead: set[Phone] = set()

    def leg_of(self, phone: Phone) -> Leg | None:
        return phone.legs[-1] if phone.legs else None

    def do(self, action: str) -> None:
        who, _, what = action.partition(" ")
        house = self.house
        if who == "disk":
            house.memory.broken = what == "breaks"
            house.memory.delay_s = {"is slow": 0.5, "is stuck": 4.0}.get(what, 0.0)
        elif who == "desk" and not house.memory.broken:
            at_once(house.switch.desk.lock(TENANT, "gate", "ana", cut=True))
        elif who != "desk":
            self.act({"caller": house.phone, "one": house.carrier, "two": house.second}[who], what)

    def act(self, phone: Phone, what: str) -> None:  # one line for each thing that people do
        leg = self.leg_of(phone)
        if phone in self.dead or leg is None:
            return
        now = self.house.network.now
        match what, leg:
            case "dies", _:
                self.dead.add(phone)
                self.house.network.leave(phone)
            case "hangs up", _:
                phone.hang_up(leg)
            case "gives up", OutgoingLeg():
                phone.give_up(leg)
            case "rings", IncomingLeg():
                phone.ring(leg)
            case "answers", IncomingLeg():
                phone.answer(leg)
            case (("486" | "503"), IncomingLeg()):
                phone.reject(leg, int(what))
            case "holds", _:
                self.asks[phone] = phone.reinvite(leg)
            case "withdraws", _ if phone in self.asks:
                leg.withdraw(self.asks[phone], now)
                phone.work(now)
            case "asks", _ if leg.dialog is not None and leg.state is State.CONFIRMED:
                phone.send_inside(leg, "INFO")

    def settle(self) -> None:
        """The weather clears up, the disk works, and nobody does anything until every timer of trouble has run out."""
        self.house.network.weather = fair
        self.house.memory.broken, self.house.memory.delay_s = False, 0.0
        self.house.advance(100.0)

    def talking(self, *phones: Phone) -> int:
        """How many of the legs of these phones are up."""
        return sum(leg.state is State.CONFIRMED for phone in phones for leg in phone.legs)


CARRIER_DOES: Final = ("rings", "answers", "486", "503", "hangs up", "holds", "withdraws", "asks", "dies")
ACTIONS: Final = (
    *(f"caller {what}" for what in ("gives up", "hangs up", "holds", "withdraws", "asks", "dies")),
    *(f"{who} {what}" for who in ("one", "two") for what in CARRIER_DOES),
    *("disk breaks", "disk heals", "disk is slow", "disk is stuck", "desk cuts"),
)
MOMENTS: Final = st.integers(0, 160).map(lambda eighths: eighths / 8)


@pytest.mark.scenario(42)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    fates=st.lists(st.sampled_from(list(FATES)), max_size=40),
    script=st.lists(st.tuples(MOMENTS, st.sampled_from(ACTIONS)), max_size=8),
    answered_after_s=st.none() | st.sampled_from([0.0, 0.5, 2.0]),
)
def test_a_call_in_any_weather(
    fates: list[str], script: list[tuple[float, str]], answered_after_s: float | None
) -> None:
    play = Play(fates)
    house = play.house
    if answered_after_s is not None:
        for phone in (house.carrier, house.second):
            phone.on_invite = _answering(house, phone, answered_after_s)
    house.phone.call(SWITCH, BERLIN)
    for at_s, action in script:
        house.network.at(at_s, partial(play.do, action))
    house.advance(20.5)
    play.settle()
    if play.dead:  # nobody would ever hang up
        play.do("desk cuts")
    else:  # whoever is up is up on both sides, and we know of it
        calls = house.switch.tables()["calls"]
        assert (play.talking(house.phone), play.talking(house.carrier, house.second)) == (calls, calls)
    house.forget(dead=play.dead)

    attempted = {fact.call_id for fact in house.switch_peer.facts if isinstance(fact, CallAttempted)}
    answered = {fact.call_id for fact in house.switch_peer.facts if isinstance(fact, CallAnswered)}
    settled = [cdr for cdr in house.memory.cdrs if cdr.result is not Result.REFUSED]
    assert sorted(cdr.call_id for cdr in settled) == sorted(attempted)
    assert {cdr.call_id for cdr in settled if cdr.result is Result.ANSWERED} == answered
    assert all(bool(cdr.charges) is (cdr.call_id in answered) for cdr in settled)
    assert house.memory.count("calls") == 0


def _answering(house: House, phone: Phone, after_s: float) -> Callable[[IncomingLeg], None]:
    def on_invite(leg: IncomingLeg) -> None:
        house.network.at(house.network.now + after_s, lambda: phone.answer(leg))

    return on_invite
