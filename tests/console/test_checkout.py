"""Checkout over HTTP: what comes on a bill, split payment, receipts, and what an operator may not do."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sipshop.billing.tender import CashMode, CashRounding
from tests.console.memory import OPERATOR, Caller, MemoryDesk, memory_api

BILL = "/api/v1/booths/b1/bill"
PAY = "/api/v1/booths/b1/pay"


@pytest.fixture(name="desk")
def _desk() -> MemoryDesk:
    desk = MemoryDesk("b1", "b2")
    counter = desk.checkout.desk_of_center
    desk.checkout.desk_of_center = replace(counter, rounding=CashRounding(50_000, CashMode.NEAREST))
    return desk


@pytest.fixture(name="client")
def _client(desk: MemoryDesk) -> Iterator[Caller]:
    with Caller(memory_api(desk)) as client:
        client.post("/api/v1/booths/b1/unlock")
        yield client


@pytest.fixture(name="empty", scope="module")
def _empty() -> Iterator[Caller]:
    """A booth with an empty bill, for what is refused and changes nothing."""
    with Caller(memory_api(MemoryDesk("b1"))) as client:
        client.post("/api/v1/booths/b1/unlock")
        yield client


def done(answer: Any, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_bill_with_goods_discount_and_void_is_paid_by_card_and_cash(desk: MemoryDesk, client: Caller) -> None:
    desk.charge("b1", 240_000)
    done(client.post(f"{BILL}/goods", json={"name": "Coffee", "quantity": 2}))
    done(client.post(f"{BILL}/goods", json={"name": "Stamp", "price": "0.89"}))
    done(client.post(f"{BILL}/discounts", json={"percent": "10", "reason": "a regular"}))
    bill = done(client.post(f"{BILL}/voids", json={"call_id": "call-0", "reason": "a bad line"}))
    assert [(item["item"], item["kind"], item["text"], item["amount"]) for item in bill["items"]] == [
        (1, "good", "Coffee", "3.60"),
        (2, "good", "Stamp", "0.89"),
        (3, "discount", "a regular", "-0.45"),
        (4, "void", "a bad line", "-0.24"),
    ]
    assert (bill["total"], bill["due_in_cash"], bill["rounding"], bill["version"]) == ("4.04", "4.05", "0.01", 5)
    tenders = [{"method": "card", "amount": "4.00"}, {"method": "cash", "amount": "1.00"}]
    reckoned = done(client.post(f"{BILL}/reckon", json={"tenders": tenders}))
    assert (reckoned["payable"], reckoned["missing"], reckoned["change"]) == ("4.05", "0.00", "0.95")
    assert done(client.post(f"{BILL}/reckon", json={}))["missing"] == "4.05"
    paid = done(client.post(PAY, json={"version": 5, "tenders": tenders, "language": "fr"}))
    assert (paid["total"], paid["rounding"], paid["change"], paid["receipt"]) == ("4.04", "0.01", "0.95", 1)
    (receipt,) = done(client.get("/api/v1/shops/center/receipts"))["receipts"]
    assert receipt == done(client.get("/api/v1/shops/center/receipts/1"))
    assert (receipt["language"], receipt["seller"]["name"], receipt["tenders"]) == ("fr", "olga", tenders)
    assert [entry["kind"] for entry in receipt["entries"]] == ["call", "good", "good", "discount", "void"]


def test_an_item_goes_and_a_command_with_its_key_is_done_once(client: Caller) -> None:
    headers = {"Idempotency-Key": "k1"}
    once = client.post(f"{BILL}/goods", json={"name": "Coffee"}, headers=headers).json()
    assert client.post(f"{BILL}/goods", json={"name": "Coffee"}, headers=headers).json() == once
    assert client.post(f"{BILL}/goods", json={"name": "Coffee", "quantity": 2}, headers=headers).status_code == 409
    assert client.post(f"{BILL}/items/1/remove").json()["items"] == []


def test_a_stale_bill_names_what_came_besides_calls(client: Caller) -> None:
    client.post(f"{BILL}/goods", json={"name": "Coffee"})
    answer = done(client.post(PAY, json={"version": 0, "tendered": "5.00"}), 409)
    assert (answer["code"], answer["version"], answer["new_calls"]) == ("stale_bill", 1, 0)
    assert (answer["new_items"], answer["gone_items"]) == (["Coffee, 1.80 EUR"], [])


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("goods", {"name": "Tea"}, 422, "bad_terms"),
        ("goods", {"name": "Tea", "price": "-1.00"}, 422, "bad_terms"),
        ("goods", {"name": "Tea", "price": "1,00"}, 422, "bad_amount"),
        ("goods", {"name": "Coffee", "quantity": 0}, 422, "invalid_request"),
        ("discounts", {"amount": "0.10", "percent": "1", "reason": "r"}, 422, "invalid_request"),
        ("discounts", {"amount": "0.10"}, 422, "invalid_request"),
        ("discounts", {"amount": "0.10", "reason": "r"}, 422, "bad_terms"),
        ("discounts", {"percent": "ten", "reason": "r"}, 422, "bad_amount"),
        ("voids", {"reason": "r"}, 422, "invalid_request"),
        ("voids", {"call_id": "call-9", "reason": "r"}, 404, "unknown_item"),
        ("items/9/remove", None, 404, "unknown_item"),
        ("reckon", {"tenders": [{"method": "barter", "amount": "1.00"}]}, 422, "invalid_request"),
        ("reckon", {"tenders": [{"method": "card", "amount": "1.00"}]}, 409, "too_much_tendered"),
    ],
)
def test_what_is_refused(empty: Caller, path: str, body: object, status: int, code: str) -> None:
    assert done(empty.post(f"{BILL}/{path}", json=body), status)["code"] == code


def test_an_operator_does_what_his_shop_lets_him(desk: MemoryDesk, client: Caller) -> None:
    client.post(f"{BILL}/goods", json={"name": "Coffee"})
    with Caller(memory_api(desk), OPERATOR) as operator:
        refused = done(operator.post(f"{BILL}/discounts", json={"amount": "0.37", "reason": "r"}), 403)
        assert (refused["code"], "20%" in refused["detail"]) == ("beyond_rights", True)
        done(operator.post(f"{BILL}/discounts", json={"amount": "0.36", "reason": "r"}))
        refused = done(operator.post(f"{BILL}/voids", json={"item": 1, "reason": "r"}), 403)
        assert refused["code"] == "beyond_rights"
        assert done(operator.get("/api/v1/shops/center/desk"))["goods"] == [{"name": "Coffee", "price": "1.80"}]
    done(client.post(f"{BILL}/voids", json={"item": 1, "reason": "r"}))


def test_receipts_come_in_pages(client: Caller) -> None:
    for number in range(3):
        client.post("/api/v1/booths/b1/unlock")
        assert done(client.post(PAY, json={"version": 0, "tendered": "0.00"}))["receipt"] == number + 1
    first = done(client.get("/api/v1/shops/center/receipts?limit=2"))
    then = done(client.get(f"/api/v1/shops/center/receipts?limit=2&cursor={first['next']}"))
    assert [receipt["number"] for page in (first, then) for receipt in page["receipts"]] == [3, 2, 1]
    assert then["next"] is None
    assert done(client.get("/api/v1/shops/center/receipts?since=2030-01-01"))["receipts"] == []
    assert done(client.get("/api/v1/shops/center/receipts/9"), 404)["code"] == "unknown_receipt"
    assert done(client.get("/api/v1/shops/nowhere/receipts"), 404)["code"] == "unknown_shop"
