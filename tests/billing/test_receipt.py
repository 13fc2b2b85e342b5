"""Receipts are kept word for word, and none that does not add up is written; cash is rounded once."""

import json
from typing import Any

import pytest

from sipshop.billing.errors import BadBill, BadTerms
from sipshop.billing.money import Money
from sipshop.billing.receipt import Entry, EntryKind, Receipt, Seller
from sipshop.billing.tax import Tax, TaxMode, taxes_within
from sipshop.billing.tender import CashMode, CashRounding, Method, Tender

VAT = Tax(200_000, TaxMode.INCLUDED, "VAT")


def eur(text: str) -> Money:
    return Money.parse(text, "EUR")


def receipt(**other: Any) -> Receipt:
    entries = (
        Entry(
            kind=EntryKind.CALL,
            text="Mali",
            amount=eur("1.26"),
            dialled="0022320123456",
            at_ms=1_790_000_000_000,
            talk_ms=62_000,
            billed_s=120,
            explanation="62 s = 60 + 60 s at 0.63/min = 1.26",
        ),
        Entry(kind=EntryKind.GOOD, text="Tea", amount=eur("1.60"), quantity=2, unit=eur("0.80")),
        Entry(kind=EntryKind.DISCOUNT, text="a regular", amount=eur("-0.10"), author="ana"),
    )
    told: dict[str, Any] = {
        "tenant": "Demo Telecom",
        "shop": "Corner",
        "number": 7,
        "session_id": 3,
        "booth": "booth1",
        "at_ms": 1_790_000_100_000,
        "author": "ana",
        "language": "fr",
        "zone": "Europe/Paris",
        "seller": Seller(name="Corner Calls Ltd", address=("1 High Street", "London"), tax_id="GB1"),
        "entries": entries,
        "taxes": taxes_within((VAT, entry.amount) for entry in entries),
        "total": eur("2.76"),
        "rounding": eur("0.04"),
        "deposit": eur("1.00"),
        "tenders": (Tender(Method.CARD, eur("1.00")), Tender(Method.CASH, eur("5.00"))),
        "change": eur("4.20"),
    }
    return Receipt(**(told | other))


def test_a_receipt_comes_back_from_its_text_word_for_word() -> None:
    made = receipt()
    assert Receipt.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert (made.payable, made.tendered) == (eur("2.80"), eur("6.00"))


def test_a_receipt_of_a_later_program_is_not_guessed_at() -> None:
    with pytest.raises(ValueError, match="a receipt of version 99 is not known, only 1"):
        Receipt.from_json(receipt().to_json() | {"version": 99})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"total": eur("2.75")}, "receipt 7 of Corner: its entries do not add up to 2.75 EUR"),
        ({"change": eur("4.25")}, "what was paid is not the 2.80 EUR of its bill"),
        ({"rounding": eur("0.00")}, "what was paid is not the 2.76 EUR of its bill"),
    ],
)
def test_a_receipt_that_does_not_add_up_is_not_written(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(BadBill, match=says):
        receipt(**wrong)


@pytest.mark.parametrize(
    ("step", "mode", "amount", "rounded"),
    [
        (50_000, CashMode.UP, "1.26", "1.30"),
        (50_000, CashMode.UP, "1.25", "1.25"),
        (50_000, CashMode.DOWN, "1.29", "1.25"),
        (50_000, CashMode.NEAREST, "1.27", "1.25"),
        (50_000, CashMode.NEAREST, "1.275", "1.30"),
        (1_000_000, CashMode.NEAREST, "0.50", "1.00"),
        (1_000_000, CashMode.NEAREST, "0.49", "0.00"),
        (5_000_000, CashMode.UP, "0.01", "5.00"),
    ],
)
def test_cash_is_whole_coins(step: int, mode: CashMode, amount: str, rounded: str) -> None:
    assert CashRounding(step, mode).rounded(eur(amount)) == eur(rounded)


def test_a_coin_and_a_tender_are_more_than_nothing() -> None:
    with pytest.raises(BadTerms, match="the step of cash rounding must be more than nothing"):
        CashRounding(0, CashMode.UP)
    with pytest.raises(BadTerms, match="a payment by card must be more than nothing, not 0"):
        Tender(Method.CARD, eur("0"))
