"""The torture messages of RFC 4475 and RFC 5118: what parser, validator and user agent say to each."""

from __future__ import annotations

import pytest

from sipshop.sip.flow import Flow
from sipshop.sip.message import MalformedMessage, Request, parse
from sipshop.sip.timers import Timers
from sipshop.sip.useragent import EXTENSIONS, METHODS, Invited, Requested, Send, UserAgent
from sipshop.sip.validate import check, check_response
from tests.sip.torture.cases import CASES, HERE, Case

every_case = pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.id, marks=pytest.mark.torture(case.name)) for case in CASES]
)


def test_no_message_is_forgotten() -> None:
    assert [sum(case.rfc == rfc for case in CASES) for rfc in (4475, 5118)] == [49, 12]
    assert sorted(HERE.rglob("*.dat")) == sorted(
        (HERE / f"rfc{case.rfc}" if case.rfc else HERE) / f"{case.name}.dat" for case in CASES
    )


@every_case
def test_parser_and_validator(case: Case) -> None:
    try:
        message = parse(case.data)
    except MalformedMessage:
        assert not case.is_sound
        assert case.udp is None, "a request that can be answered has to be read"
        return
    if not isinstance(message, Request):
        assert (check_response(message) is None) == case.is_sound
        return
    rejection = check(message, methods=METHODS, extensions=EXTENSIONS)
    assert (rejection is None) == case.is_sound, rejection
    if rejection is not None:
        assert rejection.status == case.udp, rejection


@every_case
def test_the_user_agent_answers_what_nobody_above_needs_to_see(case: Case) -> None:
    """What is sound goes up; all else is answered, once, in SIP that can be read again, or dropped without a word."""
    agent = UserAgent(timers=Timers(), token=lambda: "t", pick=lambda _n: 0, advertise=("192.0.2.1", 5060))
    agent.hear(case.data, Flow("UDP", ("192.0.2.1", 5060), ("192.0.2.2", 5060)), 0.0)
    sent = [output for output in agent.out if isinstance(output, Send)]
    is_told = any(isinstance(output, Invited | Requested) for output in agent.out)
    assert is_told == (case.udp in {200, 401})
    if case.udp is None or is_told:
        assert not sent
        return
    (answer,) = sent
    response = parse(answer.data)
    assert not isinstance(response, Request)
    assert response.status == case.udp
    assert answer.flow.remote[0] == "192.0.2.2", "an answer goes to where the question came from"


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("intmeth", (("allow", ", ".join(sorted(METHODS))),)),
        ("mpart01", (("allow", ", ".join(sorted(METHODS))),)),
        ("bext01", (("unsupported", "nothingSupportsThis, nothingSupportsThisEither"),)),
        ("invut", (("accept", "application/sdp"),)),
    ],
)
def test_a_refusal_says_what_would_be_taken(name: str, headers: tuple[tuple[str, str], ...]) -> None:
    message = parse(next(case.data for case in CASES if case.name == name))
    assert isinstance(message, Request)
    rejection = check(message, methods=METHODS, extensions=EXTENSIONS)
    assert rejection is not None
    assert rejection.headers == headers
