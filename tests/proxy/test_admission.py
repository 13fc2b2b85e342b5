"""Who may call: the order of the questions is the contract with the shop."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sipshop.proxy.admission import (
    Admitted,
    Auth,
    Booth,
    BoothState,
    Cause,
    Emergency,
    Refused,
    Shop,
    admit,
)
from sipshop.proxy.numbers import NumberRules
from sipshop.sip.digest import Algorithm

SHOP = Shop(
    tenant="t",
    name="corner",
    owner="ann",
    deck="sell",
    currency="EUR",
    realm="sipshop",
    digest=(Algorithm.MD5,),
    numbers=NumberRules(country_code="49", emergency=("110", "112")),
)
BOOTH = Booth(tenant="t", shop="corner", name="booth1", calls=2, auth=Auth.DIGEST, ip=None, ha1={})

SUSPENDED, LOCKED, BUSY, BAD = 1, 2, 4, 8
NUMBERS = {False: "0301234567", True: "what"}


@pytest.mark.parametrize("wrong", range(16))
def test_the_first_thing_that_is_wrong_is_the_cause(wrong: int) -> None:
    state = BoothState(
        session_id=None if wrong & LOCKED else 7,
        live_calls=2 if wrong & BUSY else 1,
        suspended="Ann" if wrong & SUSPENDED else None,
    )
    decision = admit(SHOP, BOOTH, state, NUMBERS[bool(wrong & BAD)])
    order = ((SUSPENDED, Cause.SUSPENDED), (LOCKED, Cause.LOCKED), (BUSY, Cause.BUSY), (BAD, Cause.BAD_NUMBER))
    expected = next((cause for flag, cause in order if wrong & flag), None)
    if expected is None:
        assert decision == Admitted(7, "49301234567")
    else:
        assert isinstance(decision, Refused)
        assert decision.cause is expected


@pytest.mark.parametrize("wrong", range(8))
@pytest.mark.parametrize("dialled", ["112", "110", "1-1-2"])
def test_an_emergency_number_is_admitted_whatever_the_booths_state(wrong: int, dialled: str) -> None:
    state = BoothState(
        session_id=None if wrong & LOCKED else 7,
        live_calls=99 if wrong & BUSY else 0,
        suspended="Ann" if wrong & SUSPENDED else None,
    )
    assert admit(SHOP, BOOTH, state, dialled) == Emergency(dialled)


@pytest.mark.parametrize("dialled", ["+112", "0112", "00112", "1120", "11", "912"])
def test_what_only_looks_like_an_emergency_number_is_none(dialled: str) -> None:
    locked = BoothState(session_id=None, live_calls=0, suspended=None)
    decision = admit(SHOP, BOOTH, locked, dialled)
    assert isinstance(decision, Refused)
    assert decision.cause is Cause.LOCKED


@pytest.mark.parametrize(
    ("state", "detail"),
    [
        (BoothState(session_id=1, live_calls=0, suspended="Ann"), "Ann is suspended"),
        (BoothState(session_id=None, live_calls=0, suspended=None), "booth booth1 is locked"),
        (BoothState(session_id=1, live_calls=2, suspended=None), "booth booth1 has 2 of 2 calls"),
    ],
)
def test_a_refusal_says_why(state: BoothState, detail: str) -> None:
    decision = admit(SHOP, BOOTH, state, "0301234567")
    assert isinstance(decision, Refused)
    assert decision.detail == detail


def test_a_hostile_number_is_safe_to_show() -> None:
    decision = admit(
        SHOP, replace(BOOTH, calls=1), BoothState(session_id=1, live_calls=0, suspended=None), "1\r\nX: y\x1b[2J\udcff"
    )
    assert isinstance(decision, Refused)
    assert decision.cause is Cause.BAD_NUMBER
    assert decision.detail.isascii()
    assert decision.detail.isprintable()
