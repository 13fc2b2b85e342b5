"""Where a URI leads: the questions, the order of the targets, and what is remembered for how long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.sip.flow import Flow
from sipshop.sip.message import parse_uri
from sipshop.sip.resolve import (
    KEPT_ANSWERS,
    KEPT_SHUNNED,
    LONGEST_NEGATIVE_S,
    RETRY_S,
    SHORTEST_TTL_S,
    SHUN_S,
    STALE_S,
    Answers,
    Kind,
    Naptr,
    Plan,
    Question,
    Records,
    Shunned,
    Srv,
    Target,
    Wanted,
    ordered,
    plan,
)

Zone = Mapping[tuple[str, Kind], Records]

#: A carrier with NAPTR, as in RFC 3263 section 4.1: TLS is preferred, then TCP, then UDP.
FULL: Zone = {
    ("carrier.example", "NAPTR"): (
        Naptr(90, 50, "s", "SIP+D2T", "_sip._tcp.carrier.example"),
        Naptr(50, 50, "S", "sips+d2t", "_sips._tcp.carrier.example"),
        Naptr(100, 50, "s", "SIP+D2U", "_sip._udp.carrier.example"),
        Naptr(10, 50, "s", "SIP+D2S", "_sip._sctp.carrier.example"),
        Naptr(10, 50, "u", "E2U+sip", ""),
    ),
    ("_sips._tcp.carrier.example", "SRV"): (Srv(0, 1, 5061, "one.carrier.example"),),
    ("_sip._tcp.carrier.example", "SRV"): (
        Srv(1, 1, 5060, "two.carrier.example"),
        Srv(0, 1, 5070, "one.carrier.example"),
    ),
    ("_sip._udp.carrier.example", "SRV"): (Srv(0, 1, 5060, "one.carrier.example"),),
    ("one.carrier.example", "A"): ("192.0.2.1", "192.0.2.2"),
    ("two.carrier.example", "A"): ("192.0.2.3",),
    ("one.carrier.example", "AAAA"): ("2001:db8::1",),
    ("plain.example", "A"): ("192.0.2.9",),
    ("plain.example", "AAAA"): ("2001:db8::9",),
    ("_sip._udp.srv.example", "SRV"): (Srv(0, 1, 5080, "plain.example"),),
    ("_sip._udp.none.example", "SRV"): (Srv(0, 0, 0, ""),),
    ("_sip._tcp.ip.example", "SRV"): (Srv(0, 1, 5060, "192.0.2.77"),),
}


def resolve(
    uri: str,
    zone: Zone = FULL,
    families: Sequence[int] = (4,),
    transports: Sequence[str] = ("UDP", "TCP", "TLS"),
    pick: Callable[[int], int] = lambda _below: 0,
) -> tuple[Plan, list[str]]:
    """The last plan, and what was asked for it."""
    asked: list[str] = []
    known: dict[Question, Records] = {}
    while True:
        made = plan(Wanted.of(parse_uri(uri)), known.get, pick, families=families, transports=transports)
        if not made.questions:
            return made, asked
        assert not made.targets
        assert not set(made.questions) & known.keys(), "nothing is asked twice"
        asked += [f"{question.name} {question.kind}" for question in made.questions]
        known |= {question: zone.get((question.name, question.kind), ()) for question in made.questions}


def texts(made: Plan) -> list[str]:
    return [f"{target.transport} {target.address[0]} {target.address[1]}" for target in made.targets]


@pytest.mark.rfc("3263", "4")
@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        pytest.param("sip:1@192.0.2.7", ["UDP 192.0.2.7 5060"], id="an address"),
        pytest.param("sip:1@192.0.2.7:5070;transport=tcp", ["TCP 192.0.2.7 5070"], id="an address with all"),
        pytest.param("sip:1@192.0.2.7;transport=TLS", ["TLS 192.0.2.7 5061"], id="TLS has a port of its own"),
        pytest.param("sips:1@192.0.2.7", ["TLS 192.0.2.7 5061"], id="sips is TLS"),
        pytest.param("sips:1@192.0.2.7:5071;transport=tcp", ["TLS 192.0.2.7 5071"], id="sips over tcp is TLS"),
        pytest.param("sip:1@[2001:db8::7]", ["UDP 2001:db8::7 5060"], id="an address of IPv6"),
        pytest.param("sip:1@plain.example:5090", ["UDP 192.0.2.9 5090"], id="a port says that the name is a host"),
        pytest.param("sips:1@plain.example:5090", ["TLS 192.0.2.9 5090"], id="a port and sips"),
        pytest.param("sip:1@PLAIN.example.", ["UDP 192.0.2.9 5060"], id="a host without NAPTR and SRV"),
        pytest.param("sips:plain.example", ["TLS 192.0.2.9 5061"], id="such a host by sips"),
        pytest.param("sip:plain.example;transport=Tcp", ["TCP 192.0.2.9 5060"], id="such a host by TCP"),
        pytest.param("sip:x@other.example;maddr=192.0.2.8", ["UDP 192.0.2.8 5060"], id="maddr"),
        pytest.param("sip:srv.example", ["UDP 192.0.2.9 5080"], id="SRV without NAPTR"),
        pytest.param("sip:ip.example", ["TCP 192.0.2.77 5060"], id="an address where a name belongs"),
        pytest.param("sip:none.example", [], id="a service that is not offered"),
        pytest.param("sip:nobody.example", [], id="a name that is nobody's"),
        pytest.param(
            "sip:carrier.example",
            [
                *("TLS 192.0.2.1 5061", "TLS 192.0.2.2 5061"),
                *("TCP 192.0.2.1 5070", "TCP 192.0.2.2 5070", "TCP 192.0.2.3 5060"),
                *("UDP 192.0.2.1 5060", "UDP 192.0.2.2 5060"),
            ],
            id="NAPTR by order, SRV by priority",
        ),
        pytest.param("sips:carrier.example", ["TLS 192.0.2.1 5061", "TLS 192.0.2.2 5061"], id="sips takes TLS alone"),
        pytest.param(
            "sip:carrier.example;transport=udp", ["UDP 192.0.2.1 5060", "UDP 192.0.2.2 5060"], id="the URI decides"
        ),
    ],
)
def test_where_a_uri_leads(uri: str, expected: list[str]) -> None:
    made, _ = resolve(uri)
    assert texts(made) == expected
    assert bool(made.why) is not bool(expected)


@pytest.mark.scenario(38)
def test_a_transport_in_capitals_is_understood() -> None:
    assert resolve("sip:1@192.0.2.7;transport=UDP") == resolve("sip:1@192.0.2.7;TRANSPORT=udp")


def test_only_what_is_needed_is_asked() -> None:
    assert resolve("sip:1@192.0.2.7")[1] == []
    assert resolve("sip:plain.example:5060")[1] == ["plain.example A"]
    assert resolve("sip:plain.example;transport=tcp")[1] == ["_sip._tcp.plain.example SRV", "plain.example A"]
    assert resolve("sips:plain.example")[1] == ["_sips._tcp.plain.example SRV", "plain.example A"]
    assert resolve("sip:plain.example", families=(6, 4))[1] == [
        "plain.example NAPTR",
        *(f"{service}.plain.example SRV" for service in ("_sip._udp", "_sip._tcp", "_sips._tcp")),
        *("plain.example AAAA", "plain.example A"),
    ]


def test_families_are_tried_in_their_order_and_a_transport_that_we_lack_is_said() -> None:
    assert texts(resolve("sip:plain.example", families=(6, 4))[0]) == ["UDP 2001:db8::9 5060", "UDP 192.0.2.9 5060"]
    assert resolve("sip:plain.example;transport=sctp")[0].why == "we do not speak SCTP"
    assert resolve("sips:plain.example", transports=("UDP", "TCP"))[0].why == "we do not speak TLS"


def test_a_certificate_has_to_be_for_the_name_that_was_asked_for() -> None:
    made, _ = resolve("sips:carrier.example")
    assert {target.name for target in made.targets} == {"carrier.example"}
    local = ("192.0.2.200", 5061)
    assert made.targets[0].flow(local) == Flow("TLS", local, ("192.0.2.1", 5061), name="carrier.example")
    assert Target("UDP", ("192.0.2.1", 5060), "carrier.example").flow(local).name == "", "a datagram proves nothing"


# RFC 2782.


@pytest.mark.rfc("2782", "weight")
def test_weights_share_the_calls_out() -> None:
    random = Random(7)
    records = [Srv(0, 60, 1, "big"), Srv(0, 30, 1, "small"), Srv(0, 10, 1, "tiny"), Srv(1, 99, 1, "spare")]
    orders = [[record.target for record in ordered(records, random.randrange)] for _ in range(20_000)]
    first = Counter(order[0] for order in orders)
    assert [round(first[name] / 20_000, 1) for name in ("big", "small", "tiny", "spare")] == [0.6, 0.3, 0.1, 0.0]
    assert {order[-1] for order in orders} == {"spare"}


@given(
    st.lists(st.builds(Srv, st.integers(0, 3), st.integers(0, 65_535), st.just(1), st.text(max_size=3)), max_size=8),
    st.randoms(use_true_random=False),
)
def test_every_record_comes_once_and_priorities_never_mix(records: list[Srv], random: Random) -> None:
    order = list(ordered(records, random.randrange))
    assert Counter(order) == Counter(records)
    assert [record.priority for record in order] == sorted(record.priority for record in records)


def test_a_record_without_weight_is_rarely_first_but_can_be() -> None:
    records = [Srv(0, 0, 1, "hardly"), Srv(0, 9, 1, "mostly")]
    assert next(ordered(records, lambda _below: 0)).target == "hardly"
    assert next(ordered(records, lambda _below: 1)).target == "mostly"


# What is remembered.

NAME = Question("carrier.example", "A")


@pytest.mark.parametrize(
    ("records", "ttl_s", "lasts_s"),
    [
        (("192.0.2.1",), 60, 60),
        (("192.0.2.1",), 0, SHORTEST_TTL_S),
        (("192.0.2.1",), 10**9, 86_400),
        ((), 3600, LONGEST_NEGATIVE_S),
    ],
)
def test_an_answer_is_believed_as_long_as_it_says_within_reason(records: Records, ttl_s: float, lasts_s: float) -> None:
    answers = Answers()
    answers.answered(NAME, records, ttl_s, 100.0)
    assert answers.fresh(NAME, 99.0 + lasts_s) == records
    assert answers.fresh(NAME, 100.0 + lasts_s) is None


def test_an_expired_answer_serves_while_dns_is_dead_and_is_asked_for_again() -> None:
    answers = Answers()
    answers.answered(NAME, ("192.0.2.1",), 60, 0.0)
    assert answers.any(NAME, 61.0) == ("192.0.2.1",)
    answers.failed(NAME, 61.0)
    assert answers.fresh(NAME, 61.0 + RETRY_S - 1) == ("192.0.2.1",)
    assert answers.fresh(NAME, 61.0 + RETRY_S) is None
    answers.failed(NAME, 60.0 + STALE_S)
    assert answers.fresh(NAME, 61.0 + STALE_S) == ()
    assert answers.any(NAME, 61.0 + STALE_S + SHORTEST_TTL_S) is None


def test_a_name_that_never_was_answered_is_soon_asked_for_again() -> None:
    answers = Answers()
    answers.failed(NAME, 0.0)
    assert (answers.fresh(NAME, 1.0), answers.fresh(NAME, SHORTEST_TTL_S)) == ((), None)


def test_the_oldest_answer_makes_room() -> None:
    answers = Answers()
    for number in range(KEPT_ANSWERS + 1):
        answers.answered(Question(str(number), "A"), (), 60, 0.0)
    assert len(answers) == KEPT_ANSWERS
    assert answers.fresh(Question("0", "A"), 0.0) is None
    assert answers.fresh(Question("1", "A"), 0.0) == ()


def test_who_does_not_answer_is_tried_last_for_a_while() -> None:
    one, two, three = (Target("UDP", (f"192.0.2.{number}", 5060), "") for number in (1, 2, 3))
    shunned = Shunned()
    shunned.add(one, 0.0)
    assert shunned.last((one, two, three), SHUN_S - 1) == (two, three, one)
    assert shunned.last((one, two, three), SHUN_S) == (one, two, three)
    shunned.add(two, 0.0, 5.0)
    assert shunned.last((one, two, three), 4.0) == (three, one, two)
    shunned.forgive(one)
    assert shunned.last((one, two, three), 4.0) == (one, three, two)
    assert shunned.last((one,), 0.0) == (one,), "the last one is never left out"
    for port in range(KEPT_SHUNNED):
        shunned.add(Target("UDP", ("192.0.2.9", port), ""), 0.0)
    assert not shunned.holds(two, 1.0)
