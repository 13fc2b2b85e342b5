"""Switch, booth and carriers joined by a network that loses, doubles, delays and swaps messages, driven by hypothesis.

Whatever people do, whenever the process dies and however slow the disk is: once the trouble is over, both halves of
each call agree; once everybody has hung up, nobody remembers anything after 64*T1 + 32 s; each answered call has one
CDR, for no longer than it was talked. `make soak` tries a hundred times as many stories.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from sipshop.billing.cdr import Result
from sipshop.facts import CallAnswered
from sipshop.sip.course import State
from sipshop.sip.flow import Flow
from sipshop.sip.incoming import IncomingLeg
from sipshop.sip.leg import Leg
from sipshop.sip.message import parse
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.sip.timers import GIVE_UP_S
from sipshop.sip.useragent import Manners
from sipshop.world import parse_world
from tests.sip.peers import ANSWER, HOLD, LATENCY_S, OFFER, Datagram, Phone, fair
from tests.switch.house import BERLIN, BOOTH, GATE, SWITCH, WORLD_TEXT, BoothPhone, House

#: What may become of a datagram: the delays of its copies.
FATES: Final[dict[str, Sequence[float]]] = {
    "arrives": (LATENCY_S,),
    "is lost": (),
    "comes twice": (LATENCY_S, LATENCY_S),
    "comes again": (LATENCY_S, 0.7),
    "is late": (0.3,),
    "is very late": (5.0,),
}
#: What a time jump may be: within a round trip, between retransmissions, past a timer that gives up.
JUMPS: Final = (1 / 64, 1 / 16, 0.25, 0.6, 1.5, 4.0, 12.0, 33.0)
#: What passes after most of what people do: nothing, a part of a round trip, several.
BREATH: Final = st.sampled_from([0.0, 1 / 64, 3 / 64, 1 / 8, 0.5])
#: What the far end does with a call: statuses, after so many seconds each; nothing more where nothing is said.
FAR_ENDS: Final[Sequence[tuple[tuple[float, int], ...]]] = (
    ((0.0, 200),),
    ((0.0, 180), (0.5, 200)),
    ((0.1, 183), (1.0, 183), (2.0, 200)),
    ((0.0, 180),),
    ((0.0, 180), (0.3, 486)),
    ((0.2, 503),),
    (),
)
CALLS: Final = 3
#: The stories are told in so many parts, which share the processors.
PARTS: Final = 4
WORLD: Final = parse_world(WORLD_TEXT.replace("name: gate,", f"name: gate, calls: {CALLS},"), "world.yaml")
#: Peers that keep session timers and probe each other, and so find out by themselves who is gone.
WATCHFUL: Final = Manners(session_s=90, probe_s=30)
#: So long after the last of them has hung up nobody may remember anything.
END_S: Final = GIVE_UP_S + 32 + 1 / 2

WHICH: Final = st.integers(0, 4 * CALLS)
UP: Final = (State.CONFIRMED, State.ANSWERED)


class TwoStacks(RuleBasedStateMachine):
    """A booth that calls through the switch, up to three times at once, and two carriers that answer."""

    house: House

    @initialize(
        transport=st.sampled_from(["UDP", "UDP", "TCP"]),
        watched=st.booleans(),
        far=st.sampled_from(FAR_ENDS),
        offers=st.booleans(),
    )
    def begin(self, transport: str, watched: bool, far: tuple[tuple[float, int], ...], offers: bool) -> None:
        manners = WATCHFUL if watched else None
        self.house = House(world=WORLD, manners=manners, peers=manners)
        self.house.unlock()
        self.booth = BoothPhone(self.house.network, BOOTH)
        self.house.phone.transport = transport
        self.lives = 1
        self.fates: list[str] = []
        self.far_ends: list[tuple[tuple[float, int], ...]] = []
        self.answered: set[str] = set()
        self.began: dict[str, float] = {}  # by the booth's Call-ID: when the switch sent him the first 200
        self.ended: dict[str, float] = {}  # when it sent or heard the first BYE
        for phone in (self.house.carrier, self.house.second):
            phone.on_invite = partial(self._answering, phone)
        self.house.network.weather = self._weather
        self.house.network.tap(SWITCH, self._note)
        self.call(far, offers, True, 0.125)

    # the world

    @rule(fates=st.lists(st.sampled_from(list(FATES)), min_size=1, max_size=12))
    def trouble(self, fates: list[str]) -> None:
        """What becomes of the next datagrams."""
        self.fates = fates

    @rule(seconds=st.sampled_from(JUMPS))
    def time_passes(self, seconds: float) -> None:
        self.house.advance(seconds)

    @rule(delay_s=st.sampled_from([0.0, 0.5, 4.0]))
    def disk(self, delay_s: float) -> None:
        self.house.memory.delay_s = delay_s

    @rule()
    def the_process_dies(self) -> None:
        self._remember()
        self.lives += 1
        self.house.restart(process=f"run-{self.lives}")

    @precondition(lambda self: self.house.phone.transport == "TCP")
    @rule()
    def the_connection_breaks(self) -> None:
        self.house.network.cut(self.house.phone, self.house.switch_peer)

    # the booth

    @precondition(lambda self: len(self.house.phone.legs) < 2 * CALLS)
    @rule(far=st.sampled_from(FAR_ENDS), offers=st.booleans(), reliably=st.booleans(), then_s=BREATH)
    def call(self, far: tuple[tuple[float, int], ...], offers: bool, reliably: bool, then_s: float) -> None:
        self.far_ends.append(far)
        self.house.phone.call(SWITCH, BERLIN, content=OFFER if offers else None, reliably=reliably)
        self.house.advance(then_s)

    @precondition(lambda self: self._legs(State.CALLING, State.PROCEEDING))
    @rule(which=WHICH, then_s=BREATH)
    def give_up(self, which: int, then_s: float) -> None:
        for phone, leg in self._one(which, State.CALLING, State.PROCEEDING):
            assert isinstance(leg, OutgoingLeg)
            phone.give_up(leg)
        self.house.advance(then_s)

    @rule()
    def register(self) -> None:
        self.booth.register()
        self.house.advance(0.1)
        if any(datagram.destination == BOOTH for datagram in self.house.network.log):
            credentials = self.booth.credentials(self.booth.challenge(), "REGISTER", f"sip:{SWITCH[0]}")
            self.booth.register([credentials])

    # the far end

    @precondition(lambda self: self._legs(State.OFFERED))
    @rule(which=WHICH, status=st.sampled_from([180, 183, 200, 200, 486, 503]), reliably=st.booleans(), then_s=BREATH)
    def respond(self, which: int, status: int, reliably: bool, then_s: float) -> None:
        for phone, leg in self._one(which, State.OFFERED):
            self._respond(phone, leg, status, reliably=reliably)
        self.house.advance(then_s)

    # either

    @precondition(lambda self: self._legs(*UP))
    @rule(which=WHICH, both=st.booleans(), then_s=BREATH)
    def hang_up(self, which: int, both: bool, then_s: float) -> None:
        for phone, leg in self._one(which, *UP) + (self._one(which + 1, *UP) if both else []):
            phone.hang_up(leg)
        self.house.advance(then_s)

    @precondition(lambda self: self._legs(State.CONFIRMED))
    @rule(
        which=WHICH, both=st.booleans(), method=st.sampled_from(["INVITE", "UPDATE"]), bare=st.booleans(), then_s=BREATH
    )
    def hold(self, which: int, both: bool, method: str, bare: bool, then_s: float) -> None:
        for phone, leg in self._one(which, State.CONFIRMED) + (self._one(which + 1, State.CONFIRMED) if both else []):
            phone.reinvite(leg, None if bare else HOLD, method=method)
        self.house.advance(then_s)

    @precondition(lambda self: self._legs(State.CONFIRMED))
    @rule(which=WHICH, then_s=BREATH)
    def ask(self, which: int, then_s: float) -> None:
        for phone, leg in self._one(which, State.CONFIRMED):
            phone.send_inside(leg, "INFO")
        self.house.advance(then_s)

    # the end

    def teardown(self) -> None:
        if not hasattr(self, "house"):
            return  # the story was given up before it began
        house = self.house
        house.network.weather, house.memory.delay_s = fair, 0.0
        house.advance(GIVE_UP_S + 8)  # the trouble is over, and nobody does anything
        self._check_that_both_halves_agree()
        self._remember()
        self._everybody_hangs_up()
        house.advance(END_S)
        assert house.switch_peer.leftovers() == {}
        for phone in (*house.phones, self.booth):
            assert not any(phone.agent.tables().values()), (phone.user, phone.agent.tables())
        self._check_the_books()

    def _check_that_both_halves_agree(self) -> None:
        house = self.house
        ours = house.switch_peer.agent.legs.values()
        incoming = up(leg for leg in ours if isinstance(leg, IncomingLeg))
        outgoing = up(leg for leg in ours if isinstance(leg, OutgoingLeg))
        assert up(house.phone.legs) == incoming, "the booth and we are not of one mind"
        assert up([*house.carrier.legs, *house.second.legs]) == outgoing, "a carrier and we are not of one mind"
        assert len(incoming) == len(outgoing), "a call is up on one side only"

    def _check_the_books(self) -> None:
        house = self.house
        cdrs = {cdr.call_id: cdr for cdr in house.memory.cdrs}
        assert len(cdrs) == len(house.memory.cdrs), "two CDRs of one call"
        assert house.memory.count("calls") == 0, "a call that nobody has settled"
        assert house.memory.count("farewells") == 0, "a BYE that nobody has forgotten"
        for call_id in self.answered:  # one that was cut short by a crash within its first commit is free of charge
            assert cdrs[call_id].result is Result.ANSWERED or cdrs[call_id].recovered
        for cdr in cdrs.values():
            began_s = self.began.get(cdr.leg_a_call_id or "")
            if began_s is None:
                assert cdr.talk_ms == 0, "a call that nobody was answered is billed"
                continue
            ended_s = self.ended.get(cdr.leg_a_call_id or "", house.network.now)
            assert cdr.talk_ms <= (ended_s - began_s) * 1000 + 1, "a call is billed for longer than its talk"

    # inside

    def _weather(self, datagram: Datagram) -> Sequence[float]:
        return FATES[self.fates.pop()] if self.fates else fair(datagram)

    def _note(self, data: bytes, flow: Flow, sent: bool) -> None:
        if flow.remote != GATE:
            return
        if sent and data.startswith(b"SIP/2.0 200"):
            message = parse(data)
            if message.cseq[1] == "INVITE":
                self.began.setdefault(message.call_id, self.house.network.now)
        elif data.startswith(b"BYE"):
            self.ended.setdefault(parse(data).call_id, self.house.network.now)

    def _remember(self) -> None:
        """Keep what this life of the switch told of answers."""
        facts = self.house.switch_peer.told(CallAnswered)
        self.answered |= {fact.call_id for fact in facts if isinstance(fact, CallAnswered)}

    def _everybody_hangs_up(self) -> None:
        for phone in self.house.phones:
            for leg in phone.legs:
                if isinstance(leg, OutgoingLeg):
                    phone.give_up(leg)
                elif isinstance(leg, IncomingLeg) and leg.state is State.OFFERED:
                    phone.reject(leg, 480)
                phone.hang_up(leg)

    def _answering(self, phone: Phone, leg: IncomingLeg) -> None:
        """The far end does by itself what was said when the call was made."""
        for after_s, status in self.far_ends.pop(0) if self.far_ends else ():
            self.house.network.at(self.house.network.now + after_s, partial(self._respond, phone, leg, status))

    def _respond(self, phone: Phone, leg: Leg, status: int, *, reliably: bool = False) -> None:
        assert isinstance(leg, IncomingLeg)
        content = ANSWER if leg.offer is not None else OFFER
        if status < 200:
            phone.ring(leg, status, content if status == 183 else None, reliably=reliably)
        elif status == 200:
            phone.answer(leg, content)
        else:
            phone.reject(leg, status)

    def _legs(self, *states: State) -> list[tuple[Phone, Leg]]:
        """The legs of all phones that are in these states."""
        return [(phone, leg) for phone in self.house.phones for leg in phone.legs if leg.state in states]

    def _one(self, which: int, *states: State) -> list[tuple[Phone, Leg]]:
        legs = self._legs(*states)
        return [legs[which % len(legs)]]


def up(legs: Iterable[Leg]) -> list[str]:
    """The Call-IDs of the legs that talk."""
    return sorted(leg.call_id for leg in legs if leg.state is State.CONFIRMED)


@pytest.mark.scenario(42)
@pytest.mark.parametrize("part", range(PARTS))
def test_two_stacks_forget_and_agree_whatever_happens(pytestconfig: pytest.Config, part: int) -> None:
    del part  # each draws its own stories, in whichever process has time
    examples = 200_000 if pytestconfig.getoption("soak") else 2_000
    run_state_machine_as_test(
        TwoStacks,
        settings=settings(
            max_examples=examples // PARTS,
            stateful_step_count=15,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
