"""The till over HTTP and on pages: a shift is a person's, his drawer is counted blind, and each sees what is his."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from sipshop.console.tokens import hash_token
from sipshop.store import Token
from tests.console.memory import OPENED_AT_MS, OPERATOR, OWNER, TENANT, TOKENS, Caller, MemoryDesk, memory_api
from tests.console.test_pages import Browser

ANA, BEN, OTTO = "sipshop_ana's", "sipshop_ben's", "sipshop_otto's"


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> MemoryDesk:
    for secret, name, role in ((ANA, "ana", "operator"), (BEN, "ben", "operator"), (OTTO, "otto", "owner")):
        token = Token(
            tenant=TENANT,
            sha256=hash_token(secret),
            role=role,
            party="olga",
            shop="center" if role == "operator" else None,
            label=name,
            created_at_ms=OPENED_AT_MS,
            expires_at_ms=None,
            operator=name,
        )
        monkeypatch.setitem(TOKENS, token.sha256, token)
    return MemoryDesk("b1", "b2")


class Desk:
    """The API as people ask it."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    def ask(self, who: str, method: str, path: str, body: object = None, key: str = "") -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {who}"} | ({"Idempotency-Key": key} if key else {})
        answer = self.caller.request(method, f"/api/v1/shops/center{path}", json=body, headers=headers)
        return answer.status_code, answer.json()


@pytest.fixture
def api(desk: MemoryDesk) -> Iterator[Desk]:
    with Caller(memory_api(desk), token=None) as caller:
        yield Desk(caller)


def opened(api: Desk, who: str = ANA, opening: str = "50.00") -> int:
    status, shift = api.ask(who, "POST", "/shifts", {"opening": opening})
    assert status == 201, shift
    return int(shift["shift"])


def test_a_shift_is_opened_worked_counted_and_closed(api: Desk) -> None:
    assert opened(api) == 1
    assert api.ask(ANA, "POST", "/shifts/1/in", {"amount": "20.00", "reason": "change"})[0] == 200
    assert api.ask(ANA, "POST", "/shifts/1/out", {"amount": "5.50", "reason": "a parcel"})[0] == 200
    assert api.ask(ANA, "POST", "/shifts/1/count", {"pieces": {"50": 1}})[0] == 200
    status, z = api.ask(ANA, "POST", "/shifts/1/close", {"pieces": {"50": 1, "10": 1, "0.20": 2}, "other": "4.00"})
    assert (status, z["z"], z["expected"], z["variance"]) == (200, 1, "64.50", "-0.10")
    assert z["count"] == {"pieces": {"50.00": 1, "10.00": 1, "0.20": 2}, "other": "4.00", "total": "64.40"}
    assert [(move["kind"], move["amount"], move["reason"]) for move in z["by_hand"]] == [
        ("float", "50.00", ""),
        ("in", "20.00", "change"),
        ("out", "-5.50", "a parcel"),
    ]
    (check,) = z["checks"]
    assert (check["expected"], check["variance"]) == ("64.50", "-14.50")
    assert api.ask(ANA, "GET", "/z/1") == (200, z)
    assert api.ask(ANA, "GET", "/shifts/1") == (200, z)


def test_who_counts_is_told_nothing_before_the_count_is_in(api: Desk) -> None:
    opened(api)
    api.ask(ANA, "POST", "/shifts/1/in", {"amount": "33.00", "reason": "r"})
    status, told = api.ask(ANA, "POST", "/shifts/1/count", {"pieces": {"20": 1}})
    for x in (told, api.ask(ANA, "GET", "/shifts/1")[1]):
        assert (x["expected"], x["variance"], x["outside"]) == (None, None, None)
        assert "83." not in json.dumps(x)
    (turn,) = api.ask(ANA, "GET", "/shifts")[1]["shifts"]
    assert (turn["expected"], turn["variance"]) == (None, None)
    status, seen = api.ask(OTTO, "GET", "/shifts/1")
    assert (status, seen["expected"]) == (200, "83.00")


def test_even_the_owner_counts_his_own_drawer_blind(api: Desk) -> None:
    opened(api, OTTO)
    assert api.ask(OTTO, "GET", "/shifts/1")[1]["expected"] is None
    assert api.ask(OWNER, "GET", "/shifts/1")[1]["expected"] == "50.00"


def test_a_shift_is_a_persons(api: Desk) -> None:
    for who in (OPERATOR, OWNER):
        status, told = api.ask(who, "POST", "/shifts", {"opening": "1"})
        assert (status, told["code"]) == (403, "forbidden")
    assert api.ask(OPERATOR, "GET", "/shifts")[1]["shifts"] == []


def test_an_operator_works_no_shift_but_his_own(api: Desk) -> None:
    opened(api)
    for method, path, body in (
        ("GET", "/shifts/1", None),
        ("POST", "/shifts/1/in", {"amount": "1", "reason": "r"}),
        ("POST", "/shifts/1/out", {"amount": "1", "reason": "r"}),
        ("POST", "/shifts/1/count", {}),
        ("POST", "/shifts/1/close", {}),
    ):
        status, told = api.ask(BEN, method, path, body)
        assert (status, told["code"]) == (404, "unknown_shift"), path
    assert api.ask(BEN, "GET", "/shifts")[1]["shifts"] == []
    assert api.ask(BEN, "GET", "/till")[1]["open"] == [
        {"shift": 1, "operator": "ana", "opened_at": "2025-12-31T23:59:59.007Z"}
    ]
    for path in ("/variances", "/outside"):
        assert api.ask(BEN, "GET", path)[0] == 403
    assert api.ask(OTTO, "POST", "/shifts/1/close", {})[1]["author"] == "otto"
    assert api.ask(BEN, "GET", "/z/1")[0] == 404
    assert api.ask(ANA, "GET", "/z/1")[1]["variance"] == "-50.00"


def test_everybodys_variance_is_for_who_stands_above(api: Desk) -> None:
    for shift, (who, counted) in enumerate([(ANA, 40), (BEN, 51), (ANA, 53)], 1):
        assert opened(api, who) == shift
        api.ask(who, "POST", f"/shifts/{shift}/close", {"other": str(counted)})
    told = api.ask(OTTO, "GET", "/variances")[1]["variances"]
    assert told == [
        {"operator": "ana", "shifts": 2, "currency": "EUR", "variance": "-7.00", "missing": "-10.00", "over": "3.00"},
        {"operator": "ben", "shifts": 1, "currency": "EUR", "variance": "1.00", "missing": "0.00", "over": "1.00"},
    ]
    assert api.ask(OTTO, "GET", "/variances?until=2025-01-01T00:00:00Z")[1]["variances"] == []


def test_shifts_are_listed_page_by_page(api: Desk) -> None:
    for shift in (1, 2, 3):
        opened(api)
        api.ask(ANA, "POST", f"/shifts/{shift}/close", {})
    _, page = api.ask(OTTO, "GET", "/shifts?limit=2")
    assert [turn["shift"] for turn in page["shifts"]] == [3, 2]
    _, rest = api.ask(OTTO, "GET", f"/shifts?limit=2&cursor={page['next']}")
    assert ([turn["shift"] for turn in rest["shifts"]], rest["next"]) == ([1], None)


def test_a_command_with_a_key_is_done_once(api: Desk) -> None:
    for _ in range(2):
        assert api.ask(ANA, "POST", "/shifts", {"opening": "5"}, key="k")[1]["shift"] == 1
        assert api.ask(ANA, "POST", "/shifts/1/in", {"amount": "1", "reason": "r"}, key="k")[0] == 200
        assert api.ask(ANA, "POST", "/shifts/1/count", {"other": "1"}, key="k")[0] == 200
    status, told = api.ask(ANA, "POST", "/shifts/1/in", {"amount": "2", "reason": "r"}, key="k")
    assert (status, told["code"]) == (409, "shift_refused")
    for _ in range(2):
        status, z = api.ask(ANA, "POST", "/shifts/1/close", {"other": "6"})
        assert (status, z["z"], z["variance"], len(z["checks"])) == (200, 1, "0.00", 1)
    assert api.ask(ANA, "POST", "/shifts/1/close", {"other": "7"})[0] == 409
    assert api.ask(ANA, "POST", "/shifts/1/out", {"amount": "1", "reason": "r"})[0] == 409


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/shifts", {"opening": "-1"}, "bad_count"),
        ("/shifts", {"opening": "1e3"}, "bad_amount"),
        ("/shifts/1/in", {"amount": "0", "reason": "r"}, "bad_count"),
        ("/shifts/1/in", {"amount": "-5", "reason": "r"}, "bad_count"),
        ("/shifts/1/in", {"amount": "5", "reason": " "}, "invalid_request"),
        ("/shifts/1/close", {"pieces": {"3": 1}}, "bad_count"),
        ("/shifts/1/close", {"pieces": {"50": 1, "50.00": 1}}, "bad_count"),
        ("/shifts/1/close", {"pieces": {"50": -1}}, "invalid_request"),
        ("/shifts/1/close", {"other": "-1"}, "bad_count"),
        (f"/shifts/{2**64}/close", {}, "invalid_request"),
    ],
)
def test_what_cannot_be_is_refused(api: Desk, path: str, body: dict[str, object], code: str) -> None:
    opened(api)
    status, told = api.ask(BEN if path == "/shifts" else ANA, "POST", path, body)
    assert (status, told["code"]) == (422, code)


# Pages


@pytest.fixture
def browser(desk: MemoryDesk) -> Iterator[Browser]:
    with Browser(desk) as browser:
        browser.sign_in()
        yield browser


def key_of(text: str) -> str:
    found = re.search(r'name="key" value="([^"]+)"', text)
    assert found is not None
    return found[1]


def test_the_day_of_a_till_on_its_pages(browser: Browser, desk: MemoryDesk) -> None:
    page = browser.see("/till").text
    assert "Open the shift" in page
    key = key_of(page)
    for _ in range(2):  # a second click changes nothing
        assert (
            browser.send("/till/center/open", opening="50,00", key=key).headers["location"] == "/till/center?done=open"
        )
    page = browser.see("/till/center?done=open").text
    assert "Your shift is open" in page
    assert "Also on shift" not in page
    key = key_of(page)
    assert browser.send("/till/center/shifts/1/in", amount="7.77", reason="change", key=key).status_code == 303
    refused = browser.send("/till/center/shifts/1/out", amount="1", reason=" ", key=key_of(page))
    assert (refused.status_code, "say why in a line" in refused.text) == (422, True)
    page = browser.see("/till/center/shifts/1/count").text
    assert "57" not in re.sub(r'(?:value|content|href|src)="[^"]*"', "", page)
    again = browser.send("/till/center/shifts/1/count", key=key_of(page), then="check", **{"p-50000000": "1"})
    assert again.headers["location"] == "/till/center?done=check"
    asked = browser.send(
        "/till/center/shifts/1/count", key=key_of(page), then="close", **{"p-50000000": "1"}, other="8"
    )
    assert (asked.status_code, "€58.00" in asked.text) == (200, True)
    assert desk.till.open_in(TENANT, "center"), "nothing is closed before it was looked at"
    back = browser.send("/till/center/shifts/1/close", then="again", **{"p-50000000": "1"}, other="8")
    assert 'value="8"' in back.text
    done = browser.send("/till/center/shifts/1/close", then="close", **{"p-50000000": "1"}, other="8")
    assert done.headers["location"] == "/till/center/z/1"
    page = browser.see("/till/center/z/1").text
    assert "€0.23 is too much." in page
    assert "€57.77" in page
    assert browser.see("/till/center/shifts/1/count").headers["location"] == "/till/center/shifts/1"
    assert "Open the shift" in browser.see("/till/center").text


def test_no_page_shows_what_is_expected_before_the_count_is_in(browser: Browser) -> None:
    browser.send("/till/center/open", opening="41.11", key="12345678")
    browser.send("/till/center/shifts/1/in", amount="22.22", reason="change", key="12345678")
    paths = ["/till", "/till/center", "/till/center/shifts/1", "/till/center/shifts/1/count", "/board"]
    assert all("63.33" not in browser.see(path).text for path in paths)


def test_a_form_that_cannot_be_taken_keeps_what_was_typed(browser: Browser) -> None:
    browser.send("/till/center/open", opening="0", key="12345678")
    wrong = browser.send(
        "/till/center/shifts/1/count", key="12345678", then="close", **{"p-50000000": "two"}, other="8"
    )
    assert (wrong.status_code, 'value="two"' in wrong.text, 'value="8"' in wrong.text) == (422, True, True)


def test_an_owner_sees_whose_drawer_was_wrong(browser: Browser, desk: MemoryDesk) -> None:
    browser.send("/till/center/open", opening="10", key="12345678")
    browser.send("/till/center/shifts/1/close", then="close", other="8")
    assert "Drawers by person" not in browser.see("/till/center").text
    with Browser(desk) as owner:
        owner.sign_in("otto")
        page = owner.see("/till/center").text
        assert "Drawers by person" in page
        assert "-€2.00" in page
        assert owner.see("/till/center/z/1").status_code == 200


def test_what_is_not_there_is_not_found(browser: Browser) -> None:
    for path in ("/till/other", "/till/center/shifts/9", "/till/center/z/9", f"/till/center/z/{2**70}"):
        assert browser.see(path).status_code == 404, path
