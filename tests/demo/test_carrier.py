"""The demo carrier driven in virtual time by a caller of our own engine, joined to it in memory."""

import asyncio
from collections.abc import Iterator
from itertools import count

import pytest

from sipshop.demo.carrier import Carrier
from sipshop.demo.tone import Player
from sipshop.sip.events import Answered, Ask, Content, Event, Failed, HungUp, Progressed, Replied
from sipshop.sip.flow import Flow
from sipshop.sip.leg import Leg
from sipshop.sip.message import Request
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.sip.timers import Timers
from sipshop.sip.transaction import ServerTransaction
from sipshop.sip.useragent import Happened, Send, UserAgent

CALLER = ("127.0.0.1", 5060)
CARRIER = ("127.0.0.1", 5070)
THERE = Flow("UDP", CALLER, CARRIER)
BACK = Flow("UDP", CARRIER, CALLER)
EAR = ("127.0.0.1", 4000)


def sound(direction: str = "sendrecv", payload_types: str = "8 0") -> Content:
    text = f"v=0\r\nc=IN IP4 {EAR[0]}\r\nm=audio {EAR[1]} RTP/AVP {payload_types}\r\na={direction}\r\n"
    return Content("application/sdp", text.encode())


class Pair:
    """A caller and the carrier on one clock; `heard` is what the caller was told."""

    def __init__(self, player: Player) -> None:
        tokens = count()
        self.now = 0.0
        self.heard: list[Event] = []
        self.caller, self.agent = (
            UserAgent(timers=Timers(), token=lambda: f"t{next(tokens)}", pick=lambda _n: 0, advertise=address)
            for address in (CALLER, CARRIER)
        )
        self.player = player
        self.carrier = Carrier(self.agent, player)

    def dial(self, number: str, content: Content | None) -> OutgoingLeg:
        leg = self.caller.dial(
            THERE,
            target=f"sip:{number}@127.0.0.1:5070",
            from_="<sip:shop@127.0.0.1>",
            to=f"<sip:{number}@127.0.0.1>",
            call_id=f"call-{number}",
            tag="a",
            max_forwards=70,
            content=content,
            now=self.now,
        )
        self.settle()
        return leg

    def acknowledge(self, leg: Leg, event: Event) -> None:
        """Send the ACK of an answer, where it is not to bring an answer of its own."""
        if isinstance(event, Answered) and not event.late_offer and isinstance(leg, OutgoingLeg):
            leg.acknowledge(None, self.now)

    def settle(self) -> None:
        """Carry messages between the two until both are silent."""
        while self.caller.out or self.agent.out:
            while self.caller.out:
                output = self.caller.out.popleft()
                if isinstance(output, Send):
                    self.agent.hear(output.data, BACK, self.now)
                elif isinstance(output, Happened):
                    self.heard.append(output.event)
                    self.acknowledge(output.leg, output.event)
            while self.agent.out:
                answered = self.agent.out.popleft()
                if isinstance(answered, Send):
                    self.caller.hear(answered.data, THERE, self.now)
                else:
                    self.carrier.handle(answered, self.now)

    def run(self, until_s: float) -> None:
        """Let time pass, stopping at every deadline on the way."""
        while True:
            deadlines = [d for d in (self.caller.timers.deadline, self.agent.timers.deadline) if d is not None]
            if not deadlines or min(deadlines) > until_s:
                break
            self.now = max(self.now, min(deadlines))
            self.caller.timers.tick(self.now)
            self.agent.timers.tick(self.now)
            self.settle()
        self.now = until_s

    def statuses(self) -> list[int]:
        """What the caller heard of the call's progress, as statuses; 200 is its answer."""
        found = []
        for event in self.heard:
            if isinstance(event, Progressed | Failed):
                found.append(event.status)
            elif isinstance(event, Answered):
                found.append(200)
        return [status for status in found if status != 100]


@pytest.fixture
def pair() -> Iterator[Pair]:
    loop = asyncio.new_event_loop()  # never run: the player's socket and timer are there, but no sound flows
    player = Player(loop, "127.0.0.1")
    yield Pair(player)
    player.close()
    loop.close()


@pytest.mark.parametrize(
    ("number", "after_s", "statuses"),
    [
        pytest.param("4930123", 0.9, [180], id="it rings"),
        pytest.param("4930123", 1.1, [180, 200], id="and is answered after a second"),
        pytest.param("4930486", 1.1, [486], id="busy"),
        pytest.param("4930404", 1.1, [404], id="unallocated"),
        pytest.param("4930503", 1.1, [503], id="no circuit"),
        pytest.param("4930408", 59, [180], id="never answered"),
        pytest.param("4930408", 301, [180] * 6, id="never answered, and told so each minute"),
        pytest.param("4930183", 1.9, [183], id="early media"),
        pytest.param("4930183", 2.1, [183, 200], id="and then an answer"),
        pytest.param("4930199", 9.9, [180], id="late"),
        pytest.param("4930199", 10.1, [180, 200], id="an answer in the end"),
        pytest.param("112", 0.1, [180, 200], id="an emergency centre is there at once"),
    ],
)
def test_a_call_goes_by_its_number(pair: Pair, number: str, after_s: float, statuses: list[int]) -> None:
    pair.dial(number, sound())
    pair.run(after_s)
    assert pair.statuses() == statuses


@pytest.mark.parametrize(("number", "reason"), [("486", "Q.850;cause=17"), ("503", "Q.850;cause=34")])
def test_a_refusal_has_its_cause(pair: Pair, number: str, reason: str) -> None:
    pair.dial(number, sound())
    assert [event.reason for event in pair.heard if isinstance(event, Failed)] == [reason]


@pytest.mark.parametrize(("payload_types", "chosen"), [("8 0", 8), ("0 8", 0)])
def test_who_is_answered_hears_the_tone_in_his_codec(pair: Pair, payload_types: str, chosen: int) -> None:
    leg = pair.dial("4930123", sound(payload_types=payload_types))
    assert not pair.player.streams
    pair.run(2)
    assert [(stream.remote, stream.payload_type) for stream in pair.player.streams] == [(EAR, chosen)]
    leg.hang_up(None, pair.now)
    pair.settle()
    assert not pair.player.streams
    assert not pair.carrier.calls


def test_early_media_sounds_before_the_answer(pair: Pair) -> None:
    pair.dial("4930183", sound())
    assert len(pair.player.streams) == 1
    pair.run(3)
    assert len(pair.player.streams) == 1


def test_an_echo_is_for_the_time_of_its_call(pair: Pair) -> None:
    leg = pair.dial("4930777", sound())
    assert [echo.sounding for echo in pair.player.echoes] == [False]
    pair.run(2)
    assert [echo.sounding for echo in pair.player.echoes] == [True]
    assert not pair.player.streams
    leg.relay(Ask("INVITE", sound("sendonly"), inside(pair)), pair.now)
    pair.settle()
    assert [echo.sounding for echo in pair.player.echoes] == [False]
    leg.hang_up(None, pair.now)
    pair.settle()
    assert not pair.player.echoes


def test_on_hold_the_tone_stops_and_comes_back(pair: Pair) -> None:
    leg = pair.dial("4930123", sound())
    pair.run(2)
    for direction, sounding in (("sendonly", False), ("sendrecv", True)):
        leg.relay(Ask("INVITE", sound(direction), inside(pair)), pair.now)
        pair.settle()
        assert bool(pair.player.streams) is sounding
    assert [event.status for event in pair.heard if isinstance(event, Replied)] == [200, 200]


def test_info_inside_a_call_is_answered(pair: Pair) -> None:
    leg = pair.dial("4930123", sound())
    pair.run(2)
    leg.relay(Ask("INFO", None, inside(pair)), pair.now)
    pair.settle()
    assert [event.status for event in pair.heard if isinstance(event, Replied)] == [200]


def test_it_hangs_up_by_itself(pair: Pair) -> None:
    pair.dial("4930800", sound())
    pair.run(2.9)
    assert not any(isinstance(event, HungUp) for event in pair.heard)
    pair.run(3.1)
    assert [event.reason for event in pair.heard if isinstance(event, HungUp)] == [
        'Q.850;cause=16;text="Normal call clearing"'
    ]
    assert not pair.carrier.calls


def test_a_caller_may_give_up(pair: Pair) -> None:
    leg = pair.dial("4930408", sound())
    leg.give_up(pair.now)
    pair.settle()
    assert not pair.carrier.calls
    pair.run(100)
    assert pair.agent.tables() == dict.fromkeys(pair.agent.tables(), 0)


def test_a_call_without_an_offer_is_made_one(pair: Pair) -> None:
    leg = pair.dial("4930123", None)
    pair.run(2)
    answer = next(event for event in pair.heard if isinstance(event, Answered))
    assert answer.late_offer
    assert not pair.player.streams
    leg.acknowledge(sound(), pair.now)
    pair.settle()
    assert [stream.remote for stream in pair.player.streams] == [EAR]


def test_an_offer_without_a_codec_of_ours_is_refused(pair: Pair) -> None:
    pair.dial("4930123", sound(payload_types="18"))
    assert pair.statuses() == [488]
    assert not pair.carrier.calls


def inside(pair: Pair) -> ServerTransaction:
    """A request of a third party that the caller passes on; nobody waits for its answer."""
    headers = [
        ("via", f"SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{pair.caller.token()}"),
        ("from", "<sip:b@x>;tag=b"),
        ("to", "<sip:a@x>;tag=a"),
        ("call-id", "other"),
        ("cseq", "1 INFO"),
    ]
    return pair.caller.transactions.serve(Request("INFO", "sip:a@x", headers), THERE)
