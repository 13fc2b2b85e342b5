"""The checkout's pages without a browser: every change in his name, refusals in words, receipts of a day."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest

from tests.console.memory import MemoryDesk
from tests.console.test_pages import BOARD, SCRIPT, Browser

BILL: Final = f"{BOARD}/bill"


@pytest.fixture
def desk() -> MemoryDesk:
    return MemoryDesk("b1", "b2")


@pytest.fixture
def browser(desk: MemoryDesk) -> Iterator[Browser]:
    with Browser(desk) as browser:
        browser.sign_in()
        yield browser


@pytest.fixture
def called(browser: Browser, desk: MemoryDesk) -> Browser:
    """With a bill of 0.44 in booth b1."""
    browser.send(f"{BOARD}/unlock", SCRIPT, key="a-new-key")
    desk.charge("b1", 440_000)
    return browser


def sheet(browser: Browser, **typed: Any) -> dict[str, Any]:
    found: dict[str, Any] = browser.get(f"{BILL}/sheet", params=typed).json()
    return found


def test_a_bill_grows_is_reckoned_and_paid_in_his_name(called: Browser, desk: MemoryDesk) -> None:
    assert called.see(BILL).status_code == 200
    assert sheet(called)["due"] == "€0.44"
    for does, fields in (
        ("good", {"name": "Coffee", "key": "key-one-1"}),
        ("good", {"name": "Stamp", "unit": "0,85", "quantity": "2", "key": "key-two-2"}),
        ("discount", {"percent": "10", "reason": "Goodwill", "key": "key-three"}),
        ("takeback", {"number": "1"}),
    ):
        assert called.send(f"{BILL}/{does}", SCRIPT, **fields).json() == {"done": True}, does
    found = sheet(called, cash="5", card="1")
    assert [line["title"] for line in found["lines"]] == ["Belgium", "Stamp", "Discount: 10% of €2.14"]
    assert (found["due"], found["outcome"][2], found["canPay"]) == ("€1.93", "€4.07", True)
    answer = called.send(BILL, SCRIPT, version=str(found["version"]), cash="5", card="1", language="fr")
    assert answer.json() == {"receipt": "/receipts/center/1?paid=1"}
    assert "€4.07" in called.see("/receipts/center/1?paid=1").text
    ((_, receipt),) = desk.checkout.drawn
    assert (receipt.author, receipt.language, receipt.change.text) == ("ana", "fr", "4.07")
    assert {author for _, _, author in desk.log} == {"ana"}


def test_a_bill_that_is_gone_leads_to_its_receipt_or_the_board(called: Browser) -> None:
    session = sheet(called)["session"]
    called.send(BILL, SCRIPT, version="1", cash="")
    assert sheet(called, session=session) == {"gone": "/receipts/center/1?paid=1"}
    assert sheet(called, session=session + 1) == {"gone": "/board/center"}
    assert called.see(BILL).headers["location"] == "/board/center"


def test_a_call_that_came_after_what_he_saw_is_asked_about(called: Browser, desk: MemoryDesk) -> None:
    seen = sheet(called)["version"]
    desk.charge("b1", 350_000)
    desk.rooms["b1"].lines[-1] = replace(desk.rooms["b1"].lines[-1], added=seen + 1, priced=seen + 1)
    assert sheet(called, seen=seen, expected=0)["news"] == "1 new call, €0.35: include it?"
    assert sheet(called, seen=seen, expected=1)["news"] == ""
    answer = called.send(BILL, SCRIPT, version=str(seen), cash="")
    assert (answer.status_code, answer.json()["code"]) == (409, "stale_bill")


@pytest.mark.parametrize(
    ("does", "fields", "status", "says"),
    [
        ("good", {"name": "Tea", "key": "key-one-1"}, 422, "cannot be used so"),
        ("good", {"name": "Tea", "unit": "1.2.3", "key": "key-one-1"}, 422, "not an amount"),
        ("good", {"name": "Coffee"}, 422, "missing or too long"),
        ("good", {"name": "a\nb", "unit": "1", "key": "key-one-1"}, 422, "missing or too long"),
        ("discount", {"percent": "50", "reason": "r", "key": "key-one-1"}, 403, "does not let its operators"),
        ("void", {"call": "call-0", "reason": "Bad line", "key": "key-one-1"}, 403, "does not let its operators"),
        ("takeback", {"number": "7"}, 404, "not on the bill any more"),
        ("takeback", {"number": "x"}, 422, "missing or too long"),
    ],
)
def test_what_is_not_done_to_a_bill_is_said_in_words(
    called: Browser, does: str, fields: dict[str, str], status: int, says: str
) -> None:
    answer = called.send(f"{BILL}/{does}", SCRIPT, **fields)
    assert (answer.status_code, says in answer.json()["message"]) == (status, True), answer.text
    assert len(sheet(called)["lines"]) == 1


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"version": "1", "cash": "0.10"}, 422, "tender_too_small"),
        ({"version": "1", "cash": "", "card": "9"}, 409, "too_much_tendered"),
        ({"version": "0", "cash": ""}, 409, "stale_bill"),
        ({"cash": ""}, 422, "invalid_request"),
        ({"version": "1", "cash": "", "language": "xx"}, 422, "bad_terms"),
    ],
)
def test_what_does_not_pay_is_refused(
    called: Browser, desk: MemoryDesk, fields: dict[str, str], status: int, code: str
) -> None:
    answer = called.send(BILL, SCRIPT, **fields)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert desk.checkout.drawn == []


@pytest.mark.parametrize(
    "path", ["/board/other/booths/b1/bill", "/board/center/booths/b9/bill", "/receipts/other", "/receipts/center/9"]
)
def test_what_is_anothers_or_nobodys_is_not_there(browser: Browser, path: str) -> None:
    assert browser.see(path).status_code == 404


def test_the_receipts_of_a_day_are_found_again(called: Browser) -> None:
    called.send(BILL, SCRIPT, version="1", cash="")
    assert called.see("/receipts").headers["location"] == "/receipts/center"
    assert "€0.44" in called.see("/receipts/center?day=2026-01-01").text
    for day in ("2025-12-31", "2026-01-02"):
        assert "No receipt was given on this day." in called.see(f"/receipts/center?day={day}").text
    assert called.see("/receipts/center?day=1&before=x").status_code == 404


def test_what_was_written_on_a_bill_is_text(called: Browser) -> None:
    called.send(f"{BILL}/good", SCRIPT, name="<script>alert(1)</script>", unit="1", key="key-one-1")
    page = called.see(BILL).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
