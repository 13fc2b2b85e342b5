"""REGISTER: what is bound, replaced, removed and refused, and the laws that any sequence of them keeps."""

from __future__ import annotations

import json

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sipshop.proxy.registrar import Binding, Location, Refusal, Registered
from sipshop.sip.flow import Flow
from sipshop.sip.message import Request

US = ("192.0.2.1", 5060)
AOR = "b1@shop"
PHONE = "<sip:b1@10.0.0.5:5060>"
OTHER = "<sip:b1@10.0.0.6:5060>"
INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"'


def udp(host: str = "198.51.100.7", port: int = 40_000) -> Flow:
    return Flow("UDP", US, (host, port))


def tcp(connection: int, port: int) -> Flow:
    return Flow("TCP", US, ("198.51.100.7", port), connection)


def register(
    *contacts: str,
    cseq: int = 1,
    call_id: str = "c1",
    expires: str | None = None,
    extra: tuple[tuple[str, str], ...] = (),
) -> Request:
    headers = [("call-id", call_id), ("cseq", f"{cseq} REGISTER"), *(("contact", contact) for contact in contacts)]
    if expires is not None:
        headers.append(("expires", expires))
    return Request("REGISTER", "sip:shop", [*headers, *extra])


def contacts_of(answer: Registered | Refusal) -> list[str]:
    assert isinstance(answer, Registered)
    return [value for name, value in answer.headers if name == "contact"]


def uris(location: Location, now: float = 0.0) -> list[str]:
    return [binding.contact for binding in location.bindings(AOR, now)]


@pytest.mark.parametrize(
    ("request_", "contacts"),
    [
        pytest.param(register(), [], id="asks what is bound"),
        pytest.param(register(PHONE), [f"{PHONE};expires=3600"], id="leaves the time to us"),
        pytest.param(register(PHONE, expires="600"), [f"{PHONE};expires=600"], id="a time in the header"),
        pytest.param(register(f"{PHONE};expires=90", expires="600"), [f"{PHONE};expires=90"], id="the parameter wins"),
        pytest.param(register(PHONE, expires="86400"), [f"{PHONE};expires=3600"], id="a day is shortened"),
        pytest.param(register(PHONE, expires="9" * 30), [f"{PHONE};expires=3600"], id="a time beyond numbers"),
        pytest.param(register(PHONE, expires="soon"), [f"{PHONE};expires=3600"], id="a time in words"),
        pytest.param(register(f"{PHONE};expires=-5"), [f"{PHONE};expires=3600"], id="a negative time"),
        pytest.param(register(f"{PHONE};expires=0"), [], id="removes what is not there"),
        pytest.param(
            register(f"{PHONE};q=0.5, {OTHER};q=0.7"),
            [f"{OTHER};expires=3600;q=0.7", f"{PHONE};expires=3600;q=0.5"],
            id="the liked one first",
        ),
        pytest.param(register(f"{PHONE};q=7"), [f"{PHONE};expires=3600"], id="a q that is none"),
        pytest.param(register("sip:b1@h;expires=70"), ["<sip:b1@h>;expires=70"], id="a Contact without brackets"),
        pytest.param(
            register('"B ;<1>" <sip:B%31@H;TRANSPORT=tcp?x=y>;ob'),
            ["<sip:B%31@H;TRANSPORT=tcp?x=y>;expires=3600"],
            id="its own text comes back to the phone",
        ),
        pytest.param(
            register(f"{PHONE};reg-id=1;{INSTANCE}"),
            [f"{PHONE};expires=3600;{INSTANCE};reg-id=1"],
            id="an instance and its flow",
        ),
        pytest.param(
            register(f'{PHONE};reg-id=x;+sip.instance="bad\\"one"'),
            [f"{PHONE};expires=3600"],
            id="an instance that is no URN is passed over",
        ),
    ],
)
def test_the_answer_lists_what_is_bound(request_: Request, contacts: list[str]) -> None:
    assert contacts_of(Location().register(AOR, request_, udp(), 100.0)) == contacts


NUMBERED = f"{PHONE};reg-id=1;{INSTANCE}"
ABLE = (("via", "SIP/2.0/TCP 10.0.0.5:5060;branch=z9hG4bK1"), ("supported", "path, Outbound"))


@pytest.mark.rfc("5626", "6")
@pytest.mark.parametrize(
    ("request_", "flow", "is_told"),
    [
        pytest.param(register(NUMBERED, extra=ABLE), tcp(7, 40_000), True, id="a flow with a number"),
        pytest.param(register(NUMBERED, extra=ABLE[:1]), tcp(7, 40_000), False, id="a phone that does not say it can"),
        pytest.param(register(f"{PHONE};{INSTANCE}", extra=ABLE), tcp(7, 40_000), False, id="a flow without a number"),
        pytest.param(register(f"{PHONE};reg-id=1", extra=ABLE), tcp(7, 40_000), False, id="nobody's number"),
        pytest.param(register(f"{NUMBERED};expires=0", extra=ABLE), tcp(7, 40_000), False, id="one that leaves"),
        pytest.param(register(NUMBERED, extra=(*ABLE, ABLE[0])), tcp(7, 40_000), False, id="a proxy between us"),
        pytest.param(register(NUMBERED, extra=ABLE), udp(), False, id="UDP, where it would ask by STUN"),
    ],
)
def test_a_phone_is_told_to_keep_its_connection_alive(request_: Request, flow: Flow, is_told: bool) -> None:
    answer = Location().register(AOR, request_, flow, 0.0)
    assert isinstance(answer, Registered)
    assert (("require", "outbound") in answer.headers) is is_told


def test_a_binding_keeps_the_flow_it_came_on_and_not_the_address_in_the_contact() -> None:
    location = Location()
    extra = (("user-agent", "Phone\x1b 1"), ("path", "<sip:edge;lr>"))
    answer = location.register(AOR, register(PHONE, extra=extra), udp(), 5.0)
    assert answer == Registered(
        (
            Binding(
                contact="sip:b1@10.0.0.5:5060",
                flow=udp(),
                expires_at_s=3605.0,
                call_id="c1",
                cseq=1,
                user_agent="Phone\\x1b 1",
                path=("<sip:edge;lr>",),
            ),
        ),
        (("contact", f"{PHONE};expires=3600"), ("path", "<sip:edge;lr>")),
    )


@pytest.mark.scenario(31)
@pytest.mark.parametrize(
    ("request_", "status", "headers"),
    [
        pytest.param(register(PHONE, expires="59"), 423, (("min-expires", "60"),), id="too brief"),
        pytest.param(register(OTHER, f"{PHONE};expires=1"), 423, (("min-expires", "60"),), id="one too brief of two"),
        pytest.param(register("*"), 400, (), id="the star without a time"),
        pytest.param(register("*", expires="60"), 400, (), id="the star with a time above 0"),
        pytest.param(register("*", PHONE, expires="0"), 400, (), id="the star with company"),
        pytest.param(register(f"{PHONE}, *", expires="0"), 400, (), id="the star with company in one line"),
        pytest.param(register(OTHER, "<sip:b1@h"), 400, (), id="a Contact that cannot be read"),
        pytest.param(register("<tel:1>"), 400, (), id="a Contact of another scheme"),
        pytest.param(register(OTHER, extra=(("path", "edge"),)), 400, (), id="a Path that cannot be read"),
        pytest.param(register(PHONE, cseq=2, call_id="held"), 500, (), id="an older one of the same Call-ID"),
        pytest.param(register(OTHER, PHONE, cseq=3, call_id="held"), 500, (), id="the same number again"),
        pytest.param(register("*", cseq=3, call_id="held", expires="0"), 500, (), id="the star out of order"),
        pytest.param(register(*(f"<sip:{n}@h>" for n in range(5))), 403, (), id="too many bindings"),
    ],
)
def test_what_is_refused_changes_nothing(request_: Request, status: int, headers: tuple[tuple[str, str], ...]) -> None:
    location = Location()
    location.register(AOR, register(PHONE, cseq=3, call_id="held"), udp(), 0.0)
    before = location.bindings(AOR, 0.0)
    answer = location.register(AOR, request_, udp(), 10.0)
    assert isinstance(answer, Refusal)
    assert (answer.status, answer.headers) == (status, headers)
    assert answer.cause.isprintable()
    assert answer.cause
    assert location.bindings(AOR, 10.0) == before


@pytest.mark.scenario(30)
@pytest.mark.scenario(29)
@pytest.mark.parametrize(
    ("first", "first_flow", "second", "second_flow", "left"),
    [
        pytest.param(
            register(PHONE), udp(), register(PHONE, call_id="c2"), udp(), ["sip:b1@10.0.0.5:5060"], id="a new Call-ID"
        ),
        pytest.param(
            register(PHONE), udp(), register(PHONE, cseq=2), udp(port=9), ["sip:b1@10.0.0.5:5060"], id="a new NAT port"
        ),
        pytest.param(
            register("<sip:B1@H;Lr>"),
            udp(),
            register("<sip:B%31@h;lr>", cseq=2),
            udp(),
            ["sip:B%31@h;lr"],
            id="the same URI in other letters",
        ),
        pytest.param(
            register(f"{PHONE};{INSTANCE}"),
            udp(),
            register(f"{OTHER};{INSTANCE}", call_id="c2"),
            udp("203.0.113.9"),
            ["sip:b1@10.0.0.6:5060"],
            id="the same instance elsewhere",
        ),
        pytest.param(
            register("<sip:b1@10.0.0.5:50001;transport=tcp>"),
            tcp(1, 50_001),
            register("<sip:b1@10.0.0.5:50002;transport=tcp>", cseq=2),
            tcp(2, 50_002),
            ["sip:b1@10.0.0.5:50002;transport=tcp"],
            id="the same phone over a new connection",
        ),
        pytest.param(
            register(PHONE),
            udp(),
            register(PHONE, call_id="c2"),
            udp("203.0.113.9"),
            ["sip:b1@10.0.0.5:5060"] * 2,
            id="the same private address behind another NAT is another phone",
        ),
        pytest.param(
            register(PHONE),
            udp(),
            register("<sip:b1@10.0.0.5:31000>", cseq=2),
            udp(port=31_000),
            ["sip:b1@10.0.0.5:31000"],
            id="the same Call-ID with another port in its Contact",
        ),
        pytest.param(
            register(PHONE),
            udp(),
            register("<sip:b1@10.0.0.5:31000>", call_id="c2"),
            udp(port=31_000),
            ["sip:b1@10.0.0.5:31000", "sip:b1@10.0.0.5:5060"],
            id="another Call-ID and another port is another phone, as far as is known",
        ),
        pytest.param(
            register(PHONE),
            udp(),
            register(OTHER, cseq=2),
            udp(),
            ["sip:b1@10.0.0.6:5060", "sip:b1@10.0.0.5:5060"],
            id="another Contact over UDP is another binding",
        ),
        pytest.param(
            register(f"{PHONE};reg-id=1;{INSTANCE}"),
            tcp(1, 50_001),
            register(f"{OTHER};reg-id=2;{INSTANCE}", cseq=2),
            tcp(2, 50_002),
            ["sip:b1@10.0.0.6:5060", "sip:b1@10.0.0.5:5060"],
            id="a second flow of the same instance",
        ),
    ],
)
@pytest.mark.scenario(29)
def test_who_replaces_whom(
    first: Request, first_flow: Flow, second: Request, second_flow: Flow, left: list[str]
) -> None:
    location = Location()
    location.register(AOR, first, first_flow, 0.0)
    location.register(AOR, second, second_flow, 1.0)
    assert uris(location, 1.0) == left
    assert location.bindings(AOR, 1.0)[0].flow == second_flow


@pytest.mark.scenario(30)
def test_a_lost_connection_leaves_a_binding_that_its_phone_replaces_after_a_start_of_its_own() -> None:
    location = Location()
    location.register(AOR, register("<sip:b1@10.0.0.5:50001;transport=tcp>"), tcp(1, 50_001), 0.0)
    location.register(AOR, register("<sip:b1@10.0.0.8:50008;transport=tcp>", call_id="c8"), tcp(8, 50_008), 0.0)
    assert location.lose(tcp(1, 50_001)) == [AOR]
    assert location.lose(tcp(1, 50_001)) == []
    assert [binding.reachable for binding in location.bindings(AOR, 1.0)] == [True, False]
    again = register("<sip:b1@10.0.0.5:50002;transport=tcp>", call_id="c2")
    location.register(AOR, again, tcp(2, 50_002), 1.0)
    assert sorted(uris(location, 1.0)) == ["sip:b1@10.0.0.5:50002;transport=tcp", "sip:b1@10.0.0.8:50008;transport=tcp"]


@pytest.mark.scenario(29)
def test_who_cannot_be_reached_makes_room_and_who_can_does_not() -> None:
    location = Location(max_bindings=2)
    location.register(AOR, register(PHONE), udp(), 0.0)
    location.register(AOR, register(OTHER, call_id="c2"), udp(), 0.0)
    third = register("<sip:b1@10.0.0.7>", call_id="c3")
    assert isinstance(location.register(AOR, third, udp(), 0.0), Refusal)
    (key,) = (binding.key for binding in location.held(AOR) if binding.contact == "sip:b1@10.0.0.5:5060")
    assert location.mark(AOR, key, reachable=False)
    assert not location.mark(AOR, key, reachable=False)
    assert isinstance(location.register(AOR, third, udp(), 0.0), Registered)
    assert sorted(uris(location)) == ["sip:b1@10.0.0.6:5060", "sip:b1@10.0.0.7"]


def test_what_is_written_down_comes_back_but_for_its_connection() -> None:
    location = Location()
    location.register(AOR, register(f"{PHONE};q=0.5;{INSTANCE};reg-id=1", extra=(("path", "<sip:e;lr>"),)), udp(), 0.0)
    location.register(AOR, register("<sip:b1@h;transport=tcp>", call_id="c2"), tcp(7, 50_001), 0.0)
    before = location.held(AOR)
    kept = json.loads(json.dumps([binding.to_json(5_000) for binding in before]))
    after = [Binding.from_json(one, one["expires_at_ms"] / 1000) for one in kept]
    assert [binding.matters for binding in after[:1]] == [binding.matters for binding in before[:1]]
    assert [(binding.reachable, binding.flow.connection, binding.expires_at_s) for binding in after] == [
        (True, 0, 5.0),
        (False, 0, 5.0),
    ]


def test_one_request_adds_one_and_removes_another() -> None:
    location = Location()
    location.register(AOR, register(PHONE), udp(), 0.0)
    location.register(AOR, register(f"{PHONE};expires=0", OTHER, cseq=2), udp(), 0.0)
    assert uris(location) == ["sip:b1@10.0.0.6:5060"]


@pytest.mark.scenario(29)
def test_a_full_address_may_still_be_refreshed_and_swapped() -> None:
    location = Location(max_bindings=1)
    location.register(AOR, register(PHONE), udp(), 0.0)
    assert isinstance(location.register(AOR, register(OTHER, call_id="c2"), udp(), 0.0), Refusal)
    assert isinstance(location.register(AOR, register(PHONE, cseq=2), udp(), 0.0), Registered)
    swapped = location.register(AOR, register(f"{PHONE};expires=0", OTHER, cseq=3), udp(), 0.0)
    assert contacts_of(swapped) == [f"{OTHER};expires=3600"]


@pytest.mark.scenario(31)
def test_the_star_removes_all_that_is_bound() -> None:
    location = Location()
    location.register(AOR, register(PHONE, OTHER), udp(), 0.0)
    assert contacts_of(location.register(AOR, register("*", cseq=2, expires="0"), udp(), 0.0)) == []
    assert (location.count(AOR), location.size, location.deadline) == (0, 0, None)


def test_what_expires_is_gone_on_the_instant_and_told_of_once() -> None:
    location = Location()
    location.register(AOR, register(f"{PHONE};expires=60", f"{OTHER};expires=120"), udp(), 0.0)
    assert location.deadline == 60.0
    assert location.tick(59.9) == []
    assert (uris(location, 60.0), location.count(AOR)) == (["sip:b1@10.0.0.6:5060"], 2)
    assert location.tick(60.0) == [AOR]
    assert (location.count(AOR), location.tick(60.0), location.deadline) == (1, [], 120.0)
    assert location.tick(1e9) == [AOR]
    assert location.count(AOR) == 0
    assert location.deadline is None


def test_a_refresh_keeps_the_binding_and_the_remaining_time_is_told() -> None:
    location = Location()
    location.register(AOR, register(f"{PHONE};expires=60"), udp(), 0.0)
    location.register(AOR, register(f"{PHONE};expires=60", cseq=2), udp(), 50.0)
    assert location.tick(60.0) == []
    assert contacts_of(location.register(AOR, register(), udp(), 100.4)) == [f"{PHONE};expires=10"]
    assert contacts_of(location.register(AOR, register(), udp(), 109.9)) == [f"{PHONE};expires=1"]
    assert location.tick(110.0) == [AOR]


def test_remove_forgets_an_address_and_no_other() -> None:
    location = Location()
    location.register(AOR, register(PHONE, OTHER), udp(), 0.0)
    location.register("b2@shop", register(PHONE), udp(), 0.0)
    assert (location.remove(AOR), location.remove(AOR), location.size) == (2, 0, 1)
    assert location.tick(1e9) == ["b2@shop"]


def test_refreshing_for_ever_takes_no_more_room() -> None:
    location = Location()
    for cseq in range(1, 2000):
        location.register(AOR, register(f"{PHONE};expires={4000 - cseq}", cseq=cseq), udp(), 0.0)
    assert len(location._heap) < 100


AORS = ("a@shop", "b@shop")
CONTACTS = tuple(f"<sip:x@10.0.0.{n}>" for n in range(4))


class Registering(RuleBasedStateMachine):
    """A Location against a plain dictionary of what ought to be bound until when."""

    def __init__(self) -> None:
        super().__init__()
        self.location = Location(max_bindings=3)
        self.until: dict[str, dict[str, float]] = {aor: {} for aor in AORS}
        self.now = 0.0
        self.cseq = 0

    def alive(self, aor: str) -> dict[str, float]:
        return {contact: at for contact, at in self.until[aor].items() if at > self.now}

    @rule(
        aor=st.sampled_from(AORS),
        wishes=st.lists(st.tuples(st.sampled_from(CONTACTS), st.sampled_from([0, 30, 60, 100, 5000])), max_size=4),
    )
    def register(self, aor: str, wishes: list[tuple[str, int]]) -> None:
        self.cseq += 1
        contacts = [f"{contact};expires={seconds}" for contact, seconds in wishes]
        answer = self.location.register(aor, register(*contacts, cseq=self.cseq), udp(), self.now)
        wanted = self.alive(aor)
        for contact, seconds in wishes:
            wanted.pop(contact, None)
            if seconds:
                wanted[contact] = self.now + min(seconds, 3600)
        if any(0 < seconds < 60 for _, seconds in wishes):
            assert isinstance(answer, Refusal)
            assert answer.status == 423
        elif len(wanted) > 3:
            assert isinstance(answer, Refusal)
            assert answer.status == 403
        else:
            assert isinstance(answer, Registered)
            self.until[aor] = wanted

    @rule(aor=st.sampled_from(AORS))
    def remove_all(self, aor: str) -> None:
        self.cseq += 1
        assert isinstance(
            self.location.register(aor, register("*", cseq=self.cseq, expires="0"), udp(), self.now), Registered
        )
        self.until[aor] = {}

    @rule(aor=st.sampled_from(AORS), contact=st.sampled_from(CONTACTS), cseq=st.integers(0, 3))
    def repeat(self, aor: str, contact: str, cseq: int) -> None:
        late = register(f"{contact};expires=0", cseq=max(1, self.cseq - cseq), call_id="c1")
        answer = self.location.register(aor, late, udp(), self.now)
        if isinstance(answer, Registered):
            self.until[aor].pop(contact, None)
            assert contact not in self.alive(aor)
        else:
            assert answer.status == 500

    @rule(seconds=st.sampled_from([0.5, 30.0, 60.0, 99.75, 4000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def tick(self) -> None:
        lost = self.location.tick(self.now)
        assert len(lost) == len(set(lost))
        deadline = self.location.deadline
        assert deadline is None or deadline > self.now
        assert all(self.location.count(aor) == len(self.alive(aor)) for aor in AORS)

    @invariant()
    def holds_what_it_ought_to(self) -> None:
        for aor in AORS:
            held = {f"<{binding.contact}>": binding.expires_at_s for binding in self.location.bindings(aor, self.now)}
            assert held == self.alive(aor)
            assert self.location.count(aor) <= 3

    @invariant()
    def is_woken_before_anything_expires(self) -> None:
        expiries = [at for aor in AORS for at in self.alive(aor).values()]
        deadline = self.location.deadline
        assert (deadline is None) <= (not expiries)
        if expiries:
            assert deadline is not None
            assert deadline <= min(expiries)


TestRegistering = Registering.TestCase
TestRegistering.settings = settings(max_examples=100, stateful_step_count=30)
