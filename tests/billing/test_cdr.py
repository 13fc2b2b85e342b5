"""The call detail record: its columns, and what it must not say."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sipshop.billing.cdr import Attempt, CallKind, Cdr, Charge, Direction, HungUpBy, Result, utc_text
from sipshop.billing.deck import Rate, RateDeck
from sipshop.billing.errors import BadCdr
from sipshop.billing.money import Money
from sipshop.billing.rating import cost

RATE = Rate(
    prefix="4930",
    destination="Berlin",
    connect_fee_nanos=50_000_000,
    first_s=60,
    first_price_nanos=120_000_000,
    next_s=6,
    next_price_nanos=120_000_000,
)
TARIFF = RateDeck("sell", "EUR", (RATE,), version=2).match("49301234567", 0)
assert TARIFF is not None
CHARGE = Charge(seller="Corner Calls", buyer="booth1", tariff=TARIFF, cost=cost(TARIFF, 0, 61_500))

ANSWERED: dict[str, Any] = {
    "call_id": "c1",
    "kind": CallKind.CALL,
    "tenant": "Demo",
    "shop": "Corner",
    "booth": "booth1",
    "session_id": 7,
    "dialled": "030 1234567",
    "e164": "49301234567",
    "destination": "Berlin",
    "setup_at_ms": 1_767_225_590_000,
    "answered_at_ms": 1_767_225_599_007,
    "ended_at_ms": 1_767_225_660_507,
    "pdd_ms": 1200,
    "talk_ms": 61_500,
    "result": Result.ANSWERED,
    "sip_status": 200,
    "q850": 16,
    "hung_up_by": HungUpBy.CALLER,
    "trunk": "demo",
    "attempts": (
        Attempt(trunk="first", status=503, q850=None, pdd_ms=None),
        Attempt(trunk="demo", status=200, q850=16, pdd_ms=1200),
    ),
    "leg_a_call_id": "a@phone",
    "leg_b_call_id": "b@us",
    "charges": (CHARGE,),
}
REFUSED: dict[str, Any] = ANSWERED | {
    "session_id": None,
    "e164": None,
    "destination": None,
    "answered_at_ms": None,
    "pdd_ms": None,
    "talk_ms": 0,
    "result": Result.REFUSED,
    "sip_status": 403,
    "q850": None,
    "hung_up_by": None,
    "trunk": None,
    "attempts": (),
    "leg_b_call_id": None,
    "charges": (),
}


def test_the_columns_of_an_answered_call() -> None:
    assert json.loads(json.dumps(Cdr(**ANSWERED).to_json())) == {
        "call_id": "c1",
        "revision": 0,
        "kind": "call",
        "direction": "outbound",
        "tenant": "Demo",
        "shop": "Corner",
        "booth": "booth1",
        "session_id": 7,
        "dialled": "030 1234567",
        "e164": "49301234567",
        "destination": "Berlin",
        "setup_at": "2025-12-31T23:59:50.000Z",
        "answered_at": "2025-12-31T23:59:59.007Z",
        "ended_at": "2026-01-01T00:01:00.507Z",
        "pdd_ms": 1200,
        "talk_ms": 61500,
        "result": "answered",
        "sip_status": 200,
        "q850": 16,
        "hung_up_by": "caller",
        "trunk": "demo",
        "attempts": [
            {"trunk": "first", "status": 503, "q850": None, "pdd_ms": None, "why": None},
            {"trunk": "demo", "status": 200, "q850": 16, "pdd_ms": 1200, "why": None},
        ],
        "leg_a_call_id": "a@phone",
        "leg_b_call_id": "b@us",
        "recovered": False,
        "charges": [
            {
                "seller": "Corner Calls",
                "buyer": "booth1",
                "deck": "sell",
                "version": 2,
                "prefix": "4930",
                "billed_s": 66,
                "amount": "0.18",
                "currency": "EUR",
                "lines": [
                    {"kind": "fee", "seconds": 0, "price": "0.05"},
                    {"kind": "first", "seconds": 60, "price": "0.12"},
                    {"kind": "next", "seconds": 6, "price": "0.12"},
                ],
                "margin": None,
                "margin_currency": None,
            }
        ],
    }


def test_each_buyer_keeps_what_he_sells_for_less_what_he_buys_for() -> None:
    def charge(micros: int) -> Charge:
        return replace(CHARGE, cost=replace(CHARGE.cost, amount=Money(micros, "EUR")))

    cdr = Cdr(**ANSWERED | {"charges": (charge(870_000), charge(414_000), charge(319_667), charge(251_200))})
    assert cdr.margins == (None, *(Money(micros, "EUR") for micros in (456_000, 94_333, 68_467)))
    assert [shown["margin"] for shown in cdr.to_json()["charges"]] == [None, "0.456", "0.094333", "0.068467"]


def test_a_refusal_has_the_same_columns_without_charges() -> None:
    refused = Cdr(**REFUSED).to_json()
    assert list(refused) == list(Cdr(**ANSWERED).to_json())
    assert refused["answered_at"] is None
    assert refused["charges"] == []


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(ANSWERED | {"talk_ms": -1}, id="negative talk time"),
        pytest.param(REFUSED | {"talk_ms": 1}, id="talk time without an answer"),
        pytest.param(REFUSED | {"charges": (CHARGE,)}, id="charges without an answer"),
        pytest.param(ANSWERED | {"kind": CallKind.EMERGENCY}, id="a charged emergency call"),
        pytest.param(ANSWERED | {"direction": Direction.INBOUND}, id="a charged call from outside"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadCdr, match="call c1"):
        Cdr(**changes)


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (999, "1970-01-01T00:00:00.999Z"),
        (951_782_400_001, "2000-02-29T00:00:00.001Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_instants_are_written_in_utc_with_milliseconds(at_ms: int, text: str) -> None:
    assert utc_text(at_ms) == text
