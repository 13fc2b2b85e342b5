"""Every scenario of `sipp-scenarios/` against a running server, and what its CDR says afterwards.

They are started together, each on a booth of its own, and looked at one by one. Prices are worked out by hand:
Germany is 0.05 to connect and 0.12 a minute by whole minutes, so that any call up to a minute costs 0.17; Britain is
0.01 a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from .conftest import Shop
from .harness import Server, Sipp, password, until

pytestmark = pytest.mark.wire

GERMANY = "030123456"  # as dialled in Berlin's own country: a national number
BRITAIN = "00442071234567"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A scenario on a booth; `unlocked` before it starts."""

    booth: str
    scenario: str
    number: str = GERMANY
    pause_ms: int = 300
    transport: str = "u1"
    unlocked: bool = True
    password: str | None = None
    host: str = "127.0.0.1"
    calls: int = 1
    shows: tuple[int, ...] = ()  # which of the scenarios that broke others


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a CDR must say: the trunk and the statuses of each attempt, and the amounts with their currency."""

    result: str
    sip_status: int
    hung_up_by: str | None = None
    trunk: str | None = "carrier"
    tried: tuple[tuple[str, int | None], ...] = ()
    e164: str | None = "4930123456"
    kind: str = "call"
    amounts: tuple[str, ...] = ()


ANSWERED = Record(
    result="answered", sip_status=200, hung_up_by="caller", tried=(("carrier", 200),), amounts=("0.17 EUR",)
)

CASES: list[tuple[Case, Record | None]] = [
    (Case(booth="register", scenario="register", pause_ms=3000), None),
    (Case(booth="wrong_password", scenario="wrong_password", password="wrong"), None),
    (Case(booth="options", scenario="options"), None),
    (
        Case(booth="locked", scenario="locked", unlocked=False),
        Record(result="refused", sip_status=403, hung_up_by="switch", trunk=None, e164=None),
    ),
    (Case(booth="call", scenario="call", number=BRITAIN, pause_ms=2300), None),  # its price is a test of its own
    (Case(booth="by_address", scenario="call_by_address", host="127.0.0.2"), ANSWERED),
    (
        Case(booth="mobile", scenario="call", number="+4930123456"),
        ANSWERED,
    ),
    (
        Case(booth="busy", scenario="busy", number="030486"),
        Record(result="busy", sip_status=486, tried=(("carrier", 486),), e164="4930486"),
    ),
    (
        Case(booth="no_circuit_anywhere", scenario="unavailable", number="030503"),
        Record(result="failed", sip_status=480, tried=(("carrier", 503),), e164="4930503"),
    ),
    (
        Case(booth="not_found", scenario="not_found", number="030404"),
        Record(result="failed", sip_status=404, tried=(("carrier", 404),), e164="4930404"),
    ),
    (
        Case(booth="no_rate", scenario="not_found", number="0081312345"),
        Record(result="refused", sip_status=404, hung_up_by="switch", trunk=None, e164="81312345"),
    ),
    (
        Case(booth="no_answer", scenario="unavailable", number="00431408"),
        Record(
            result="no_answer",
            sip_status=480,
            hung_up_by="switch",
            trunk="impatient",
            tried=(("impatient", None),),
            e164="431408",
        ),
    ),
    (
        Case(booth="cancel", scenario="cancel", number="030408"),
        Record(result="cancelled", sip_status=487, hung_up_by="caller", tried=(("carrier", None),), e164="4930408"),
    ),
    (Case(booth="hold", scenario="hold", pause_ms=500), ANSWERED),
    (
        Case(booth="callee_hangs_up", scenario="callee_hangs_up", number="030800"),
        Record(
            result="answered",
            sip_status=200,
            hung_up_by="callee",
            tried=(("carrier", 200),),
            e164="4930800",
            amounts=("0.17 EUR",),
        ),
    ),
    (
        Case(booth="early_media", scenario="early_media", number="030183"),
        Record(
            result="answered",
            sip_status=200,
            hung_up_by="caller",
            tried=(("carrier", 200),),
            e164="4930183",
            amounts=("0.17 EUR",),
        ),
    ),
    (
        Case(booth="reliable", scenario="reliable", number="030183"),
        Record(
            result="answered",
            sip_status=200,
            hung_up_by="caller",
            tried=(("carrier", 200),),
            e164="4930183",
            amounts=("0.17 EUR",),
        ),
    ),
    (Case(booth="inside", scenario="inside"), ANSWERED),
    (Case(booth="register_and_call", scenario="register_and_call"), ANSWERED),
    (Case(booth="tcp", scenario="register_and_call", transport="t1"), ANSWERED),
    (
        Case(booth="emergency", scenario="call", number="112", unlocked=False),
        Record(
            result="answered",
            sip_status=200,
            hung_up_by="caller",
            tried=(("carrier", 200),),
            e164=None,
            kind="emergency",
        ),
    ),
    (
        Case(booth="suspended", scenario="locked"),
        Record(result="refused", sip_status=403, hung_up_by="switch", trunk=None, e164=None),
    ),
    (
        Case(booth="second_trunk", scenario="call", number="0033123456", shows=(24,)),
        Record(
            result="answered",
            sip_status=200,
            hung_up_by="caller",
            tried=(("no_circuit", 503), ("carrier", 200)),
            e164="33123456",
            amounts=("0.10 EUR",),
        ),
    ),
    (
        Case(booth="silent_trunk", scenario="call", number="0034123456", shows=(23,)),
        Record(
            result="answered",
            sip_status=200,
            hung_up_by="caller",
            tried=(("silent", None), ("carrier", 200)),
            e164="34123456",
            amounts=("0.10 EUR",),
        ),
    ),
    (Case(booth="crowd", scenario="call", calls=20), None),
    (Case(booth="late_offer", scenario="late_offer", shows=(16,)), ANSWERED),
    (Case(booth="cancel_too_late", scenario="cancel_too_late", shows=(1,)), ANSWERED),
    (Case(booth="bye_before_ack", scenario="bye_before_ack", shows=(7, 8)), ANSWERED),
    (Case(booth="to_tag", scenario="to_tag", shows=(35,)), None),
    (Case(booth="stray_ack", scenario="stray_ack", shows=(9,)), None),
]


#: Scenarios that make no call.
NO_CALLS = {"wrong_password", "options", "to_tag", "stray_ack"}


def params(cases: Iterable[tuple[Case, Record | None]]) -> list[Any]:
    """Each case by its booth, with the scenarios that it shows."""
    return [
        pytest.param(case, record, id=case.booth, marks=[pytest.mark.scenario(number) for number in case.shows])
        for case, record in cases
    ]


@pytest.fixture(scope="module")
def runs(shop: Shop) -> Iterator[dict[str, Sipp]]:
    """All scenarios, started together; each is waited for by its own test."""
    server, folder = shop.server, shop.folder / "calls"
    server.unlock(*(case.booth for case, _ in CASES if case.unlocked))
    server.command("/parties/Bad Payer/suspend")
    with ExitStack() as stack:
        stack.enter_context(Sipp("uas_503", folder, listen=shop.no_circuit))
        stack.enter_context(Sipp("uas_silent", folder, listen=shop.silent))
        yield {
            case.booth: stack.enter_context(
                Sipp(
                    case.scenario,
                    folder,
                    to=server.sip,
                    host=case.host,
                    booth=case.booth,
                    password=case.password or password(case.booth),
                    number=case.number,
                    pause_ms=case.pause_ms,
                    transport=case.transport,
                    calls=case.calls,
                )
            )
            for case, _ in CASES
        }


def test_a_registered_phone_is_counted_until_it_leaves(shop: Shop, runs: dict[str, Sipp]) -> None:
    until(lambda: shop.server.booth("register")["registered"] == 1, "a binding of the booth")
    assert shop.server.metrics()['sipshop_registrations{shop="Corner",tenant="Wire Telecom"}'] >= 1
    runs["register"].passed()
    assert shop.server.booth("register")["registered"] == 0


@pytest.mark.parametrize(("case", "_"), params(pair for pair in CASES if pair[0].scenario in NO_CALLS))
def test_what_makes_no_call_leaves_no_record(shop: Shop, runs: dict[str, Sipp], case: Case, _: None) -> None:
    runs[case.booth].passed()
    assert shop.server.cdrs(case.booth) == []


@pytest.mark.parametrize(("case", "record"), params(pair for pair in CASES if pair[1] is not None))
def test_a_call_and_its_record(shop: Shop, runs: dict[str, Sipp], case: Case, record: Record) -> None:
    run = runs[case.booth].passed()
    cdr = shop.server.cdr(case.booth)
    assert seen(cdr) == record
    assert cdr["leg_a_call_id"] in {message.call_id for message in run.messages}
    assert cdr["dialled"] == case.number
    assert (cdr["answered_at"] is not None) == (record.result == "answered")
    assert (cdr["talk_ms"] > 0) == (record.result == "answered")


@pytest.mark.scenario(26)
def test_seconds_are_counted_from_the_answer_to_the_bye(shop: Shop, runs: dict[str, Sipp]) -> None:
    """2.3 s to Britain at 0.01 a second are 3 begun seconds: 0.03."""
    messages = runs["call"].passed().messages
    answered = next(message.at for message in messages if message.is_response(200, "INVITE"))
    ended = next(message.at for message in messages if message.is_request("BYE"))
    cdr = shop.server.cdr("call")
    assert abs(cdr["talk_ms"] - (ended - answered).total_seconds() * 1000) < 100
    assert cdr["talk_ms"] == pytest.approx(2350, abs=250)
    assert cdr["charges"][0]["billed_s"] == 3
    assert (cdr["charges"][0]["amount"], cdr["destination"], cdr["charges"][0]["prefix"]) == ("0.03", "Britain", "44")
    assert (cdr["result"], cdr["hung_up_by"], cdr["e164"]) == ("answered", "caller", "442071234567")


def test_twenty_calls_leave_twenty_records(shop: Shop, runs: dict[str, Sipp]) -> None:
    messages = runs["crowd"].passed().messages
    cdrs = until(lambda: found if len(found := shop.server.cdrs("crowd")) == 20 else None, "20 CDRs")
    assert {cdr["leg_a_call_id"] for cdr in cdrs} == {message.call_id for message in messages}
    assert {tuple(seen(cdr).amounts) for cdr in cdrs} == {("0.17 EUR",)}


@pytest.mark.rfc("3261", "19.3")
def test_nobody_guesses_our_tags(runs: dict[str, Sipp]) -> None:
    answers = [message.text for message in runs["crowd"].passed().messages if message.is_response(200, "INVITE")]
    tags = {tag for text in answers for tag in re.findall(r"^To:.*;tag=([0-9a-f]{16})$", text, re.MULTILINE)}
    assert len(tags) == 20


def test_nothing_of_one_side_is_seen_on_the_other(shop: Shop, runs: dict[str, Sipp]) -> None:
    """The carrier's port, its Call-ID and its product are nowhere in what the booth was sent."""
    run = runs["second_trunk"].passed()
    cdr = shop.server.cdr("second_trunk")
    received = [message.text for message in run.messages if not message.sent]
    heads = "".join(text.partition("\n\n")[0] for text in received)
    assert cdr["leg_b_call_id"] not in heads
    assert "demo carrier" not in heads
    assert str(shop.no_circuit) not in heads


@pytest.mark.parametrize("booth", ["hold", "inside"])
def test_what_is_asked_inside_a_call_is_part_of_it(shop: Shop, runs: dict[str, Sipp], booth: str) -> None:
    runs[booth].passed()
    assert len(shop.server.cdrs(booth)) == 1


def test_the_series_count_what_happened(shop: Shop, runs: dict[str, Sipp]) -> None:
    for run in runs.values():
        run.passed()
    until(lambda: not live(shop.server), "the end of all calls")
    samples = shop.server.metrics()
    assert samples['sipshop_calls_total{carrier="carrier",result="answered",tenant="Wire Telecom"}'] >= 30
    assert samples['sipshop_calls_total{carrier="carrier",result="busy",tenant="Wire Telecom"}'] >= 1
    assert samples['sipshop_refused_total{cause="locked",status="403"}'] >= 1
    assert samples['sipshop_refused_total{cause="suspended",status="403"}'] >= 1
    assert samples['sipshop_refused_total{cause="no_rate",status="404"}'] >= 1
    assert samples["sipshop_added_seconds_count"] >= 30
    assert samples["sipshop_commit_seconds_count"] > 0


def seen(cdr: dict[str, Any]) -> Record:
    """What a CDR says, in the words of the cases."""
    return Record(
        result=cdr["result"],
        sip_status=cdr["sip_status"],
        hung_up_by=cdr["hung_up_by"],
        trunk=cdr["trunk"],
        tried=tuple((attempt["trunk"], attempt["status"]) for attempt in cdr["attempts"]),
        e164=cdr["e164"],
        kind=cdr["kind"],
        amounts=tuple(f"{charge['amount']} {charge['currency']}" for charge in cdr["charges"][:1]),
    )


def live(server: Server) -> float:
    """How many calls there are, and calls whose record is not on the disk yet."""
    sizes = server.metrics()
    return sum(sizes[f'sipshop_table_size{{table="{table}"}}'] for table in ("calls", "unsettled_calls"))
