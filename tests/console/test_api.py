import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sipshop.billing.cdr import utc_text
from sipshop.billing.errors import AccountInUse
from sipshop.billing.money import parse_amount
from sipshop.console.api import make_api
from sipshop.console.events import Hub
from sipshop.console.guard import MAX_BODY_BYTES
from sipshop.store.audit import LAWS, Violation
from sipshop.store.errors import Unwritable
from sipshop.switch import CommandRefused, Health, RegistrationStatus
from tests.console.memory import (
    OPENED_AT_MS,
    OPERATOR,
    STRANGER,
    TOKEN,
    TOKENS,
    Caller,
    MemoryDesk,
    idle_gate,
    idle_tracer,
    memory_api,
    serving,
    token_of,
)

AUTHOR = "provider/" + next(iter(TOKENS))[:8]
TOKEN_ID = token_of(OPERATOR, party="olga", role="operator").id
EVENTS = "/api/v1/events"  # a stream without an end: tests/console/test_events.py
GUARDED = [
    ("GET", "/api/v1/booths"),
    ("GET", "/api/v1/registrations"),
    ("POST", "/api/v1/booths/b1/unlock"),
    ("POST", "/api/v1/booths/b1/lock"),
    ("POST", "/api/v1/booths/b1/topup"),
    ("GET", "/api/v1/booths/b1/bill"),
    ("POST", "/api/v1/booths/b1/pay"),
    *(
        ("POST", f"/api/v1/booths/b1/bill/{word}")
        for word in ("goods", "discounts", "voids", "reckon", "items/1/remove")
    ),
    *(("GET", f"/api/v1/shops/center/{word}") for word in ("desk", "receipts", "receipts/1")),
    ("POST", "/api/v1/booths/b1/move"),
    ("POST", "/api/v1/booths/b1/note"),
    ("POST", "/api/v1/booths/b1/cut"),
    ("GET", "/api/v1/alarms"),
    ("POST", "/api/v1/alarms/call-1/acknowledge"),
    ("GET", "/api/v1/operators/ana/login"),
    ("POST", "/api/v1/operators/ana/password"),
    ("POST", "/api/v1/operators/ana/forget-factor"),
    ("POST", "/api/v1/operators/ana/sign-out"),
    ("GET", "/api/v1/parties"),
    ("GET", "/api/v1/parties/olga"),
    ("GET", "/api/v1/parties/olga/transfers"),
    ("POST", "/api/v1/parties/olga/suspend"),
    ("POST", "/api/v1/parties/olga/resume"),
    ("POST", "/api/v1/parties/olga/payments"),
    ("POST", "/api/v1/parties/olga/adjustments"),
    ("POST", "/api/v1/parties/olga/limit"),
    ("POST", "/api/v1/world"),
    ("GET", "/api/v1/world"),
    ("GET", "/api/v1/operators"),
    ("GET", "/api/v1/trunks"),
    ("POST", "/api/v1/trunks/spare/probe"),
    ("GET", "/api/v1/decks"),
    ("GET", "/api/v1/decks/sell"),
    ("POST", "/api/v1/decks/sell/imports"),
    ("GET", "/api/v1/decks/sell/versions"),
    *(("POST", f"/api/v1/decks/sell/versions/1/{word}") for word in ("publish", "schedule", "discard", "rollback")),
    ("POST", "/api/v1/decks/sell/diff"),
    ("GET", "/api/v1/imports/0000000000000001"),
    *(("GET", f"/api/v1/imports/0000000000000001/{word}") for word in ("changes", "rejects", "notices", "rejects.csv")),
    ("GET", "/api/v1/mappings"),
    *((method, "/api/v1/mappings/far") for method in ("GET", "PUT", "DELETE")),
    ("POST", "/api/v1/mapping-guesses"),
    ("GET", "/api/v1/quotes"),
    ("GET", "/api/v1/decks/sell/quote"),
    ("GET", "/api/v1/chain"),
    ("GET", "/api/v1/cdrs"),
    ("GET", "/api/v1/cdrs/export"),
    ("GET", "/api/v1/cdrs/verify"),
    ("GET", "/api/v1/cdrs/call-1"),
    ("GET", "/api/v1/outbox"),
    ("POST", "/api/v1/outbox/books/retry"),
    ("POST", "/api/v1/outbox/books/skip"),
    ("GET", "/api/v1/audit"),
    ("POST", "/api/v1/reload"),
    ("GET", "/api/v1/calls"),
    ("GET", EVENTS),
    ("GET", "/api/v1/limits"),
    ("POST", "/api/v1/limits/booth/b1/often/release"),
    ("GET", "/api/v1/alerts"),
    ("POST", "/api/v1/alerts/1/ack"),
    ("POST", "/api/v1/traces"),
    ("GET", "/api/v1/traces/00"),
    ("GET", "/api/v1/traces/00/pcap"),
    ("POST", "/api/v1/traces/00/stop"),
    ("GET", "/api/v1/bans"),
    ("DELETE", "/api/v1/bans/192.0.2.66"),
    ("GET", "/api/v1/parties/olga/statement"),
    ("POST", "/api/v1/parties/olga/invoices"),
    ("GET", "/api/v1/parties/olga/invoices/2026-0001"),
    ("GET", "/api/v1/parties/olga/invoices/2026-0001/html"),
    ("GET", "/api/v1/parties/olga/invoices/2026-0001/pdf"),
    ("GET", "/api/v1/invoices"),
    ("POST", "/api/v1/rerates"),
    ("GET", "/api/v1/tokens"),
    ("POST", "/api/v1/tokens"),
    ("POST", f"/api/v1/tokens/{TOKEN_ID}/revoke"),
    *(("GET", f"/api/v1/shops/center/{word}") for word in ("rates", "poster.pdf", "screens", "prints")),
    *(("GET", f"/api/v1/shops/center/receipts/1/{word}") for word in ("html", "pdf")),
    *(("POST", f"/api/v1/shops/center/{word}") for word in ("screens", "screens/none/remove", "receipts/1/print")),
    *(("POST", f"/api/v1/shops/center/prints/{word}") for word in ("claim", "1/done", "1/failed")),
    ("GET", "/api/v1/shops/center/till"),
    ("GET", "/api/v1/shops/center/shifts"),
    ("POST", "/api/v1/shops/center/shifts"),
    ("GET", "/api/v1/shops/center/shifts/1"),
    ("POST", "/api/v1/shops/center/shifts/1/in"),
    ("POST", "/api/v1/shops/center/shifts/1/out"),
    ("POST", "/api/v1/shops/center/shifts/1/count"),
    ("POST", "/api/v1/shops/center/shifts/1/close"),
    ("GET", "/api/v1/shops/center/z/1"),
    ("GET", "/api/v1/shops/center/variances"),
    ("GET", "/api/v1/shops/center/outside"),
    ("GET", "/api/v1/nothing/here"),
]
# A world is read and applied at one path: see test_worlds.py; of decks see test_decks.py, of shifts test_till.py
COMMANDS = [
    case
    for case in GUARDED
    if case[0] == "POST" and case[1] != "/api/v1/world" and not re.search("/(?:decks|mapping-guesses|shifts)", case[1])
]
MOVE: dict[str, object] = {"amount": "5.00", "reason": "cash"}
BODIES: dict[str, dict[str, object]] = {  # of the commands that need one, by their last word
    "topup": {"amount": "5.00"},
    "pay": {"version": 0, "tendered": "1.00"},
    "goods": {"name": "Coffee"},
    "discounts": {"percent": "10", "reason": "a regular"},
    "voids": {"item": 1, "reason": "a wrong one"},
    "reckon": {"tenders": []},
    "move": {"to": "b2"},
    "note": {"note": "waits for his brother"},
    "password": {"password": "a long password"},
    "payments": MOVE,
    "adjustments": MOVE,
    "limit": {"credit_limit": "20.00", "reason": "trusted"},
    "traces": {"booth": "b1"},
    "release": {"reason": "known customer"},
    "tokens": {"party": "olga", "label": "her till"},
    "invoices": {"month": "2025-12"},
    "rerates": {
        "deck": "sell",
        "version": 1,
        "since": "2025-12-01",
        "until": "2026-01-01",
        "dry_run": False,
        "batch": "b",
        "reason": "r",
    },
    "skip": {"number": 1},
}


def body_of(path: str) -> dict[str, object] | None:
    """A body with which the command at this path can be done, None where it needs none."""
    return BODIES.get(path.rpartition("/")[2])


@pytest.fixture
def desk() -> MemoryDesk:
    return MemoryDesk("b1", "b2")


@pytest.fixture
def anyone(desk: MemoryDesk) -> Iterator[Caller]:
    with Caller(memory_api(desk), token=None) as client:
        yield client


@pytest.fixture
def client(anyone: Caller) -> Caller:
    anyone.headers["Authorization"] = f"Bearer {TOKEN}"
    return anyone


def record(call_id: str, booth: str = "b1", **more: Any) -> dict[str, Any]:
    """A call's record, as far as the API looks into it."""
    call = {"call_id": call_id, "revision": 0, "booth": booth, "shop": "center", "dialled": "0049 30 12345678"}
    return call | {"e164": "493012345678", "setup_at": "2025-12-31T23:59:59.007Z", "charges": []} | more


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that an answer is, once its form has been checked (RFC 9457)."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    body: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "code"} <= body.keys()
    assert (body["status"], body["code"], body["type"]) == (status, code, f"urn:sipshop:problem:{code}")
    return body


# Monitoring


def test_the_process_is_alive_without_a_token(anyone: Caller) -> None:
    assert anyone.get("/healthz").json() == {"status": "ok"}


def test_ready(anyone: Caller) -> None:
    answer = anyone.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "recovering": False, "writable": True, "draining": False, "why": ""}


@pytest.mark.parametrize("why", ["recovering", "draining", "the database cannot be written: disk full"])
def test_not_ready_says_why_and_is_alive_all_the_same(desk: MemoryDesk, anyone: Caller, why: str) -> None:
    desk.state = Health(ready=False, recovering=False, writable=False, draining=False, why=why)
    answer = anyone.get("/readyz")
    assert (answer.status_code, answer.json()["why"]) == (503, why)
    assert anyone.get("/healthz").status_code == 200


def test_metrics_need_no_token(anyone: Caller) -> None:
    answer = anyone.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'sipshop_calls_active{shop="center",tenant="acme"} 0.0' in answer.text


# Who is there


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_nothing_of_the_api_is_shown_without_a_token(desk: MemoryDesk, anyone: Caller, method: str, path: str) -> None:
    answer = anyone.request(method, path)
    problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == 'Bearer realm="sipshop"'
    assert desk.log == []


def test_the_table_above_has_every_endpoint(client: Caller) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    documented = {
        (
            method.upper(),
            path.format(
                booth="b1",
                party="olga",
                call_id="call-1",
                deck="sell",
                token_id=TOKEN_ID,
                trace_id="00",
                source="192.0.2.66",
                trunk="spare",
                place="booth",
                name="b1",
                rule="often",
                alert_id=1,
                number="2026-0001",
                item=1,
                shop="center",
                receipt=1,
                target="books",
                import_id="0000000000000001",
                version="1",
                carrier="far",
                operator="ana",
                shift=1,
                z=1,
                job_id=1,
                screen="none",
            ),
        )
        for path, methods in paths.items()
        for method in methods
        if path.startswith("/api/")
    }
    assert documented == set(GUARDED) - {("GET", "/api/v1/nothing/here")}


@pytest.mark.parametrize(
    "credentials",
    [
        pytest.param("Bearer no-such-token", id="unknown"),
        pytest.param(f"Bearer {TOKEN}x", id="one character more"),
        pytest.param(f"Bearer {next(iter(TOKENS))}", id="the hash in place of the token"),
    ],
)
def test_an_unknown_token_is_told_so(anyone: Caller, credentials: str) -> None:
    answer = anyone.get("/api/v1/booths", headers={"Authorization": credentials})
    problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == 'Bearer realm="sipshop", error="invalid_token"'


@pytest.mark.parametrize("credentials", ["Bearer", f"Basic {TOKEN}", TOKEN])
def test_what_is_no_bearer_token_is_no_token(anyone: Caller, credentials: str) -> None:
    answer = anyone.get("/api/v1/booths", headers={"Authorization": credentials})
    assert answer.headers["www-authenticate"] == 'Bearer realm="sipshop"'


def test_two_tokens_are_none(anyone: Caller) -> None:
    twice = [("Authorization", f"Bearer {TOKEN}")] * 2
    assert anyone.get("/api/v1/booths", headers=twice).status_code == 401


def test_the_scheme_may_be_written_in_any_case(anyone: Caller) -> None:
    assert anyone.get("/api/v1/booths", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/v1/booths/b1/unlock", None),
        ("POST", "/api/v1/booths/b1/lock", {"cut": True}),
        ("GET", "/api/v1/booths/b1/bill", None),
        ("POST", "/api/v1/booths/b1/pay", {"version": 0, "tendered": "0.00"}),
        ("POST", "/api/v1/booths/b1/topup", {"amount": "5.00"}),
        ("GET", "/api/v1/parties/olga", None),
        ("GET", "/api/v1/parties/olga/transfers", None),
        ("POST", "/api/v1/parties/olga/suspend", None),
        ("POST", "/api/v1/parties/olga/resume", None),
        ("POST", "/api/v1/parties/olga/payments", MOVE),
        ("POST", "/api/v1/parties/olga/adjustments", MOVE),
        ("POST", "/api/v1/parties/olga/limit", {"unlimited": True, "reason": "mine"}),
        ("GET", "/api/v1/cdrs?booth=b1", None),
        ("GET", "/api/v1/cdrs/call-1", None),
    ],
)
def test_a_token_of_another_tenant_finds_nothing(
    desk: MemoryDesk, client: Caller, method: str, path: str, body: object
) -> None:
    client.post("/api/v1/booths/b1/unlock")
    desk.records = [record("call-1")]
    desk.log.clear()
    answer = client.request(method, path, json=body, headers={"Authorization": f"Bearer {STRANGER}"})
    assert (answer.status_code, desk.log) == (404, [])


@pytest.mark.parametrize("page", ["booths", "parties", "cdrs"])
def test_what_another_tenant_lists_is_empty(desk: MemoryDesk, client: Caller, page: str) -> None:
    desk.records = [record("call-1")]
    stranger = {"Authorization": f"Bearer {STRANGER}"}
    assert client.get(f"/api/v1/{page}", headers=stranger).json()[page] == []
    assert client.get(f"/api/v1/{page}").json()[page] != []


def test_a_token_is_never_logged(desk: MemoryDesk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    desk.failure = RuntimeError("a bug")
    with serving(memory_api(desk)) as url:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert httpx.get(f"{url}/api/v1/booths", headers=headers).status_code == 200
        assert httpx.post(f"{url}/api/v1/booths/b1/unlock", headers=headers).status_code == 500
    server = [record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")]
    assert any("/api/v1/booths" in line for line in server)
    assert TOKEN not in caplog.text


# Booths


def test_a_new_booth_is_locked(client: Caller) -> None:
    assert [booth["state"] for booth in client.get("/api/v1/booths").json()["booths"]] == ["locked", "locked"]


def test_the_phones_that_are_registered_are_listed(desk: MemoryDesk, client: Caller) -> None:
    phone = RegistrationStatus(
        booth="b1",
        shop="center",
        contact="sip:b1@10.0.0.5",
        address="192.0.2.7:31000",
        transport="UDP",
        user_agent="Desk 1",
        reachable=True,
        expires_at_ms=OPENED_AT_MS + 60_000,
        seen_at_ms=None,
        rtt_ms=12.5,
    )
    desk.phones = [phone, replace(phone, booth="b2", address="192.0.2.7:31001")]
    first = client.get("/api/v1/registrations?limit=1").json()
    assert first["registrations"] == [
        {
            "booth": "b1",
            "shop": "center",
            "contact": "sip:b1@10.0.0.5",
            "address": "192.0.2.7:31000",
            "transport": "UDP",
            "user_agent": "Desk 1",
            "reachable": True,
            "expires_at": utc_text(OPENED_AT_MS + 60_000),
            "seen_at": None,
            "rtt_ms": 12.5,
        }
    ]
    rest = client.get(f"/api/v1/registrations?cursor={first['next']}").json()
    assert ([one["booth"] for one in rest["registrations"]], rest["next"]) == (["b2"], None)
    of_one = client.get("/api/v1/registrations?booth=b2").json()
    assert [one["booth"] for one in of_one["registrations"]] == ["b2"]
    assert client.get("/api/v1/registrations?booth=nobody").status_code == 404


def test_unlocking_opens_a_session_in_the_name_of_the_token(desk: MemoryDesk, client: Caller) -> None:
    assert client.post("/api/v1/booths/b1/unlock").json() == {
        "booth": "b1",
        "shop": "center",
        "state": "open",
        "suspended": False,
        "registered": 1,
        "reachable": 1,
        "currency": "EUR",
        "session_id": 1,
        "opened_at": "2025-12-31T23:59:59.007Z",
        "opened_by": AUTHOR,
        "dialled": None,
        "seconds": None,
        "live_calls": 0,
        "deposit": "0.00",
        "credit_limit": None,
        "talk_limit_ms": None,
        "available": None,
        "left_ms": None,
        "tax": None,
    }
    assert desk.log == [("unlock", "b1", AUTHOR)]


@pytest.mark.parametrize(
    ("body", "terms"),
    [
        pytest.param(
            {"deposit": "5.00"},
            {"deposit": "5.00", "credit_limit": "0.00", "available": "5.00"},
            id="for a deposit",
        ),
        pytest.param(
            {"limit": "2.50"},
            {"deposit": "0.00", "credit_limit": "2.50", "available": "2.50"},
            id="up to a limit",
        ),
        pytest.param(
            {"minutes": 10}, {"talk_limit_ms": 600_000, "left_ms": 600_000, "available": None}, id="for minutes of talk"
        ),
        pytest.param({}, {"credit_limit": None, "available": None, "left_ms": None}, id="without end"),
        pytest.param({"deposit": None, "limit": "1"}, {"available": "1.00"}, id="null is not given"),
    ],
)
def test_unlocking(client: Caller, body: object, terms: dict[str, object]) -> None:
    found = client.post("/api/v1/booths/b1/unlock", json=body).json()
    assert {name: found[name] for name in terms} == terms


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param({"deposit": "5.00", "limit": "5.00"}, "bad_terms", id="two kinds of them"),
        pytest.param({"deposit": "0.00"}, "bad_terms", id="nothing"),
        pytest.param({"limit": "-1.00"}, "bad_terms", id="less than nothing"),
        pytest.param({"deposit": "5,00"}, "bad_amount", id="a comma"),
        pytest.param({"deposit": 5}, "invalid_request", id="a number is no decimal string"),
        pytest.param({"minutes": 0}, "invalid_request", id="no minutes"),
        pytest.param({"minutes": "10"}, "invalid_request", id="minutes in a string"),
        pytest.param({"minutes": 44_641}, "invalid_request", id="minutes of more than a month"),
        pytest.param({"hours": 1}, "invalid_request", id="hours"),
    ],
)
def test_what_no_booth_is_unlocked_for(desk: MemoryDesk, client: Caller, body: object, code: str) -> None:
    problem(client.post("/api/v1/booths/b1/unlock", json=body), 422, code)
    assert desk.log == []


def test_an_open_booth_keeps_its_terms(client: Caller) -> None:
    client.post("/api/v1/booths/b1/unlock", json={"deposit": "5.00"})
    found = problem(client.post("/api/v1/booths/b1/unlock", json={"limit": "9.00"}), 422, "bad_terms")
    assert found["detail"] == "booth b1 is open already: top up its session instead"
    assert client.post("/api/v1/booths/b1/unlock").json()["available"] == "5.00"


def test_a_top_up_adds_to_the_deposit(client: Caller) -> None:
    client.post("/api/v1/booths/b1/unlock", json={"deposit": "5.00"})
    found = client.post("/api/v1/booths/b1/topup", json={"amount": "2.50"}).json()
    assert (found["booth"], found["deposit"], found["available"]) == ("b1", "7.50", "7.50")


def test_without_a_session_there_is_nothing_to_top_up(client: Caller) -> None:
    problem(client.post("/api/v1/booths/b1/topup", json={"amount": "5.00"}), 404, "no_session")


def test_unlocking_twice_is_unlocking_once(client: Caller) -> None:
    first = client.post("/api/v1/booths/b1/unlock").json()
    assert client.post("/api/v1/booths/b1/unlock").json() == first


@pytest.mark.parametrize(
    ("body", "state"),
    [
        pytest.param(None, "in call", id="without a body the call goes on"),
        pytest.param({}, "in call", id="with an empty body too"),
        pytest.param({"cut": False}, "in call", id="and where it says so"),
        pytest.param({"cut": True}, "locked", id="unless it is cut"),
    ],
)
def test_locking_a_booth_in_a_call(desk: MemoryDesk, client: Caller, body: object, state: str) -> None:
    client.post("/api/v1/booths/b1/unlock")
    desk.rooms["b1"].live_calls = 1
    assert client.post("/api/v1/booths/b1/lock", json=body).json()["state"] == state


@pytest.mark.parametrize("command", ["unlock", "lock", "bill", "pay"])
def test_an_unknown_booth(client: Caller, command: str) -> None:
    path = f"/api/v1/booths/nobody/{command}"
    answer = client.get(path) if command == "bill" else client.post(path, json={"version": 0, "tendered": "1.00"})
    if command in {"unlock", "lock"}:
        answer = client.post(path)
    assert "nobody" in problem(answer, 404, "unknown_booth")["detail"]


@pytest.mark.parametrize(("method", "path"), [case for case in GUARDED if case[0] == "GET" and case[1] != EVENTS])
def test_no_get_changes_anything(desk: MemoryDesk, client: Caller, method: str, path: str) -> None:
    client.request(method, path)
    assert desk.log == []


@pytest.mark.parametrize(("method", "path"), [case for case in COMMANDS if ("GET", case[1]) not in GUARDED])
def test_no_command_is_taken_by_get(desk: MemoryDesk, client: Caller, method: str, path: str) -> None:
    answer = client.get(path)
    problem(answer, 405, "method_not_allowed")
    assert (answer.headers["allow"], desk.log) == (method, [])


# The bill


def test_the_bill_explains_every_call(desk: MemoryDesk, client: Caller) -> None:
    client.post("/api/v1/booths/b1/unlock")
    desk.charge("b1", 240_000)
    assert client.get("/api/v1/booths/b1/bill").json() == {
        "booth": "b1",
        "session_id": 1,
        "version": 1,
        "currency": "EUR",
        "lines": [
            {
                "call_id": "call-0",
                "answered_at": "2025-12-31T23:59:59.007Z",
                "dialled": "003222222222",
                "e164": "3222222222",
                "destination": "Belgium",
                "talk_ms": 61_250,
                "billed_s": 120,
                "amount": "0.24",
                "explanation": "62 s = 60 + 60 s at 0.12/min",
            }
        ],
        "items": [],
        "total": "0.24",
        "net": "0.24",
        "tax": "0.00",
        "taxes": [],
        "deposit": "0.00",
        "due": "0.24",
        "rounding": "0.00",
        "due_in_cash": "0.24",
    }


def test_a_deposit_is_taken_off_the_bill_and_its_rest_given_back(desk: MemoryDesk, client: Caller) -> None:
    client.post("/api/v1/booths/b1/unlock", json={"deposit": "5.00"})
    desk.charge("b1", 240_000)
    bill = client.get("/api/v1/booths/b1/bill").json()
    assert (bill["total"], bill["deposit"], bill["due"]) == ("0.24", "5.00", "0.00")
    paid = client.post("/api/v1/booths/b1/pay", json={"version": 1, "tendered": "0.00"}).json()
    assert (paid["deposit"], paid["change"]) == ("5.00", "4.76")


def test_a_booth_without_a_session_has_no_bill(client: Caller) -> None:
    problem(client.get("/api/v1/booths/b1/bill"), 404, "no_session")


def test_paying_gives_change_and_locks(desk: MemoryDesk, client: Caller) -> None:
    client.post("/api/v1/booths/b1/unlock")
    desk.charge("b1", 240_000)
    desk.charge("b1", 319_667)
    answer = client.post("/api/v1/booths/b1/pay", json={"version": 2, "tendered": "5.00"})
    assert answer.json() == {
        "booth": "b1",
        "session_id": 1,
        "version": 2,
        "currency": "EUR",
        "total": "0.559667",
        "net": "0.559667",
        "tax": "0.00",
        "taxes": [],
        "rounding": "0.00",
        "payable": "0.559667",
        "deposit": "0.00",
        "tenders": [{"method": "cash", "amount": "5.00"}],
        "tendered": "5.00",
        "change": "4.440333",
        "shop": "center",
        "receipt": 1,
    }
    assert client.get("/api/v1/booths").json()["booths"][0]["state"] == "locked"


def test_a_payment_whose_answer_was_lost_may_be_asked_again(desk: MemoryDesk, client: Caller) -> None:
    client.post("/api/v1/booths/b1/unlock")
    desk.charge("b1", 240_000)
    body = {"version": 1, "tendered": "0.50"}
    first = client.post("/api/v1/booths/b1/pay", json=body).json()
    assert client.post("/api/v1/booths/b1/pay", json=body).json() == first


def test_a_stale_bill_says_what_came_since(desk: MemoryDesk, client: Caller) -> None:
    client.post("/api/v1/booths/b1/unlock")
    desk.charge("b1", 240_000)
    desk.charge("b1", 350_000)
    answer = problem(client.post("/api/v1/booths/b1/pay", json={"version": 1, "tendered": "5.00"}), 409, "stale_bill")
    wanted = {"version": 2, "new_calls": 1, "new_amount": "0.35", "currency": "EUR"}
    assert {name: answer[name] for name in wanted} == wanted


def test_a_version_that_never_was_says_what_is(desk: MemoryDesk, client: Caller) -> None:
    client.post("/api/v1/booths/b1/unlock")
    desk.charge("b1", 240_000)
    answer = problem(client.post("/api/v1/booths/b1/pay", json={"version": 7, "tendered": "5.00"}), 409, "stale_bill")
    assert (answer["version"], answer["new_calls"], answer["new_amount"]) == (1, None, None)


def test_nobody_pays_while_a_call_is_alive(desk: MemoryDesk, client: Caller) -> None:
    client.post("/api/v1/booths/b1/unlock")
    desk.rooms["b1"].live_calls = 1
    answer = client.post("/api/v1/booths/b1/pay", json={"version": 0, "tendered": "5.00"})
    assert problem(answer, 409, "call_alive")["live_calls"] == 1


def test_a_tender_that_is_too_small_says_what_is_missing(desk: MemoryDesk, client: Caller) -> None:
    client.post("/api/v1/booths/b1/unlock")
    desk.charge("b1", 240_000)
    answer = client.post("/api/v1/booths/b1/pay", json={"version": 1, "tendered": "0.20"})
    wanted = {"total": "0.24", "tendered": "0.20", "missing": "0.04", "currency": "EUR"}
    found = problem(answer, 422, "tender_too_small")
    assert {name: found[name] for name in wanted} == wanted


@pytest.mark.parametrize("tendered", ["", "5,00", "1,560.00", "1e3", "5.0000001", " 5.00", "+5", "five", "NaN", ".5"])
def test_what_is_no_amount_pays_nothing(desk: MemoryDesk, client: Caller, tendered: str) -> None:
    client.post("/api/v1/booths/b1/unlock")
    answer = client.post("/api/v1/booths/b1/pay", json={"version": 0, "tendered": tendered})
    problem(answer, 422, "bad_amount")
    assert desk.checkout.drawn == []


@pytest.mark.parametrize(
    ("body", "where"),
    [
        pytest.param({"version": 0, "tendered": 5.0}, "body.tendered", id="a float is no decimal string"),
        pytest.param({"version": 0, "tendered": 5}, "body.tendered", id="nor is an integer"),
        pytest.param({"version": "0", "tendered": "5.00"}, "body.version", id="a version is an integer"),
        pytest.param({"version": -1, "tendered": "5.00"}, "body.version", id="and not negative"),
        pytest.param({"version": 2**63, "tendered": "5.00"}, "body.version", id="and one that a database can hold"),
        pytest.param({"tendered": "5.00"}, "body.version", id="it has to be there"),
        pytest.param({"version": 0, "tendered": "5.00", "tip": "1.00"}, "body.tip", id="unknown members are refused"),
        pytest.param(["version", 0], "body", id="a list"),
        pytest.param(None, "body", id="null"),
    ],
)
def test_a_payment_that_is_not_as_documented(client: Caller, body: object, where: str) -> None:
    client.post("/api/v1/booths/b1/unlock")
    found = problem(client.post("/api/v1/booths/b1/pay", json=body), 422, "invalid_request")
    assert [error["where"] for error in found["errors"]] == [where]
    assert where in found["detail"]


# Parties and CDRs


def test_a_party_and_its_account(desk: MemoryDesk, client: Caller) -> None:
    desk.hold("olga", 1_250_000)
    assert client.get("/api/v1/parties/olga").json() == {
        "party": "olga",
        "kind": "owner",
        "parent": "acme",
        "suspended": False,
        "suspended_by": None,
        "suspender": None,
        "currency": "EUR",
        "balance": "0.00",
        "credit_limit": "10.00",
        "unlimited": False,
        "held": "1.25",
        "available": "8.75",
        "overdrawn": False,
        "live_calls": 0,
        "tax": None,
        "granted": None,
        "grants_without_end": False,
    }


def test_the_provider_has_no_account_and_who_owes_without_end_no_limit(client: Caller) -> None:
    acme, rhea, olga = client.get("/api/v1/parties").json()["parties"]
    account = ("currency", "balance", "credit_limit", "held", "available")
    assert (acme["party"], [acme[name] for name in account]) == ("acme", [None] * 5)
    assert (rhea["party"], [rhea[name] for name in account]) == ("rhea", ["EUR", "0.00", None, "0.00", None])
    assert (acme["unlimited"], rhea["unlimited"], olga["unlimited"]) == (False, True, False)


def test_suspending_and_resuming(desk: MemoryDesk, client: Caller) -> None:
    suspended = client.post("/api/v1/parties/acme/suspend").json()
    assert (suspended["party"], suspended["suspended"], suspended["suspended_by"]) == ("acme", True, "acme")
    below = client.get("/api/v1/parties/olga").json()
    assert (below["suspended"], below["suspended_by"]) == (False, "acme")
    assert client.get("/api/v1/booths").json()["booths"][0]["suspended"] is True
    assert client.post("/api/v1/parties/acme/resume").json()["suspended_by"] is None
    assert client.get("/api/v1/booths").json()["booths"][0]["suspended"] is False
    assert desk.log == [("suspend", "acme", AUTHOR), ("resume", "acme", AUTHOR)]


@pytest.mark.parametrize(
    ("body", "live_calls"),
    [
        pytest.param(None, 1, id="without a body"),
        pytest.param({"cut": False}, 1, id="and where it says so"),
        pytest.param({"cut": True}, 0, id="unless they are cut"),
    ],
)
def test_the_running_calls_of_a_suspended_party_go_on(
    desk: MemoryDesk, client: Caller, body: object, live_calls: int
) -> None:
    desk.rooms["b1"].live_calls = 1
    assert client.post("/api/v1/parties/olga/suspend", json=body).json()["live_calls"] == live_calls


@pytest.mark.parametrize(("method", "path"), [case for case in GUARDED if "/olga" in case[1]])
def test_an_unknown_party(client: Caller, method: str, path: str) -> None:
    answer = client.request(method, path.replace("olga", "nobody"), json=body_of(path))
    problem(answer, 404, "unknown_party")


@pytest.mark.parametrize("page", ["payments", "adjustments", "limit", "transfers"])
def test_an_account_that_nobody_has(client: Caller, page: str) -> None:
    path = f"/api/v1/parties/acme/{page}"
    answer = client.get(path) if page == "transfers" else client.post(path, json=body_of(path))
    problem(answer, 404, "unknown_account")


@pytest.mark.parametrize(
    ("page", "amount", "balance"),
    [("payments", "50.00", "50.00"), ("payments", "-10.00", "-10.00"), ("adjustments", "-0.000001", "-0.000001")],
)
def test_money_moves(client: Caller, page: str, amount: str, balance: str) -> None:
    answer = client.post(f"/api/v1/parties/olga/{page}", json={"amount": amount, "reason": "by bank, 3 May"})
    assert answer.json()["balance"] == balance
    (moved,) = client.get("/api/v1/parties/olga/transfers").json()["transfers"]
    assert (moved["kind"], moved["amount"], moved["author"]) == (page.removesuffix("s"), amount, AUTHOR)
    assert moved["reason"] == "by bank, 3 May"


def test_transfers_newest_first(client: Caller) -> None:
    for amount in ("1.00", "2.00", "3.00"):
        client.post("/api/v1/parties/olga/payments", json={"amount": amount, "reason": "cash"})
    answer = client.get("/api/v1/parties/olga/transfers?limit=2").json()
    assert (answer["party"], [moved["amount"] for moved in answer["transfers"]]) == ("olga", ["3.00", "2.00"])


def test_only_what_is_available_is_paid_back(desk: MemoryDesk, client: Caller) -> None:
    desk.hold("olga", 4_000_000)
    answer = client.post("/api/v1/parties/olga/payments", json={"amount": "-6.01", "reason": "his"})
    found = problem(answer, 409, "not_available")
    assert (found["wanted"], found["available"], found["currency"]) == ("6.01", "6.00", "EUR")


def test_an_adjustment_may_overdraw(client: Caller) -> None:
    answer = client.post("/api/v1/parties/olga/adjustments", json={"amount": "-10.01", "reason": "a bounced cheque"})
    assert (answer.json()["available"], answer.json()["overdrawn"]) == ("-0.01", True)


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({"credit_limit": "25.00"}, ("25.00", False)),
        ({"credit_limit": "0"}, ("0.00", False)),
        ({"unlimited": True}, (None, True)),
        ({"credit_limit": "1.00", "unlimited": False}, ("1.00", False)),
    ],
)
def test_a_credit_limit(client: Caller, body: dict[str, object], limit: tuple[object, bool]) -> None:
    found = client.post("/api/v1/parties/olga/limit", json=body | {"reason": "agreed"}).json()
    assert (found["credit_limit"], found["unlimited"]) == limit


def test_a_credit_limit_is_not_set_below_what_is_used(desk: MemoryDesk, client: Caller) -> None:
    desk.hold("olga", 4_000_000)
    answer = client.post("/api/v1/parties/olga/limit", json={"credit_limit": "3.99", "reason": "less trust"})
    found = problem(answer, 409, "below_used")
    assert (found["limit"], found["used"], found["currency"]) == ("3.99", "4.00", "EUR")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"reason": "none"}, id="neither"),
        pytest.param({"credit_limit": "5.00", "unlimited": True, "reason": "both"}, id="both"),
        pytest.param({"unlimited": False, "reason": "no"}, id="a no that says nothing"),
        pytest.param({"credit_limit": 5, "reason": "a number"}, id="no decimal string"),
        pytest.param({"unlimited": True}, id="no reason"),
    ],
)
def test_what_is_no_credit_limit(desk: MemoryDesk, client: Caller, body: object) -> None:
    problem(client.post("/api/v1/parties/olga/limit", json=body), 422, "invalid_request")
    assert desk.log == []


def test_a_credit_limit_is_not_below_zero(client: Caller) -> None:
    body = {"credit_limit": "-0.01", "reason": "he has to leave something"}
    problem(client.post("/api/v1/parties/olga/limit", json=body), 422, "bad_amount")


@pytest.mark.parametrize(
    "reason",
    [
        *("", " ", "a\nb", "a\tb", "\x1b[2J", "\u202e", "x" * 201, None, 5),
        pytest.param("\x00", id="a zero"),
    ],
)
@pytest.mark.parametrize("page", ["payments", "adjustments", "limit"])
def test_what_is_no_reason(desk: MemoryDesk, client: Caller, page: str, reason: object) -> None:
    path = f"/api/v1/parties/olga/{page}"
    found = problem(client.post(path, json=BODIES[page] | {"reason": reason}), 422, "invalid_request")
    assert [error["where"] for error in found["errors"]] == ["body.reason"]
    assert desk.log == []


@pytest.mark.parametrize("half", [b"\\ud800", b"\xed\xa0\x80"])
def test_half_a_surrogate_pair_is_no_reason(desk: MemoryDesk, client: Caller, half: bytes) -> None:
    body = b'{"amount": "5.00", "reason": "' + half + b'"}'
    answer = client.post("/api/v1/parties/olga/payments", content=body, headers={"Content-Type": "application/json"})
    problem(answer, 422, "invalid_request")
    assert desk.log == []


def test_a_reason_keeps_no_spaces_around_it(client: Caller) -> None:
    client.post("/api/v1/parties/olga/payments", json={"amount": "5.00", "reason": "  für Mai "})
    assert client.get("/api/v1/parties/olga/transfers").json()["transfers"][0]["reason"] == "für Mai"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        pytest.param("/api/v1/booths/b1/topup", "deposit", id="a top-up"),
        pytest.param("/api/v1/parties/olga/payments", "balance", id="a payment"),
        pytest.param("/api/v1/parties/olga/adjustments", "balance", id="an adjustment"),
    ],
)
def test_money_moves_once_for_a_key(client: Caller, path: str, name: str) -> None:
    client.post("/api/v1/booths/b1/unlock")
    for key, amount in (
        ("a.1_A-z", "5.00"),
        ("a.1_A-z", "5.00"),
        ("b" * 64, "10.00"),
        (None, "15.00"),
        (None, "20.00"),
    ):
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = client.post(path, json=body_of(path), headers=headers)
        assert answer.json()[name] == amount


def test_a_key_does_not_serve_twice(client: Caller) -> None:
    headers = {"Idempotency-Key": "k"}
    client.post("/api/v1/parties/olga/payments", json=MOVE, headers=headers)
    answer = client.post("/api/v1/parties/olga/payments", json=MOVE | {"amount": "6.00"}, headers=headers)
    problem(answer, 409, "refused")


@pytest.mark.parametrize("key", ["", "a b", "a" * 65, "a/b", "a:b", "é".encode()])
@pytest.mark.parametrize(
    "path", ["/api/v1/booths/b1/topup", "/api/v1/parties/olga/payments", "/api/v1/parties/olga/adjustments"]
)
def test_what_is_no_key(desk: MemoryDesk, client: Caller, path: str, key: str | bytes) -> None:
    name = "Idempotency-Key" if isinstance(key, str) else b"Idempotency-Key"
    answer = client.post(path, json=body_of(path), headers=[(name, key)])
    found = problem(answer, 422, "invalid_request")
    assert [error["where"] for error in found["errors"]] == ["header.Idempotency-Key"]
    assert desk.log == []


def test_an_account_on_which_calls_are_live(desk: MemoryDesk, client: Caller) -> None:
    desk.failure = AccountInUse("1 call below olga is live")
    answer = client.post("/api/v1/parties/olga/limit", json={"credit_limit": "1.00", "reason": "no more"})
    problem(answer, 409, "account_in_use")


def test_one_cdr(desk: MemoryDesk, client: Caller) -> None:
    desk.records = [{"call_id": "a", "booth": "b1"}, {"call_id": "b/1", "booth": "b2"}]
    assert client.get("/api/v1/cdrs/a").json() == desk.records[0]
    problem(client.get("/api/v1/cdrs/c"), 404, "unknown_call")


def test_an_audit_tells_of_a_tenants_own_books_and_of_the_database(desk: MemoryDesk, client: Caller) -> None:
    assert client.get("/api/v1/audit").json() == {"clean": True, "laws": dict(LAWS), "violations": []}
    desk.violations = [
        Violation("I3", "acme", "customer:olga@acme", "1.00 is missing"),
        Violation("I6", "other", "EUR", "the secret of another provider"),
        Violation("I8", "", "transfers_stay", "is gone"),
    ]
    found = client.get("/api/v1/audit").json()
    assert found["clean"] is False
    assert found["violations"] == [
        {"law": "I3", "tenant": "acme", "subject": "customer:olga@acme", "text": "1.00 is missing"},
        {"law": "I8", "tenant": "", "subject": "transfers_stay", "text": "is gone"},
    ]


@pytest.mark.parametrize(
    ("query", "call_ids"),
    [("", ["c", "b", "a"]), ("?limit=2", ["c", "b"]), ("?booth=b1", ["c", "a"]), ("?booth=b1&limit=1", ["c"])],
)
def test_cdrs_newest_first(desk: MemoryDesk, client: Caller, query: str, call_ids: list[str]) -> None:
    desk.records = [record("c"), record("b", "b2"), record("a")]
    assert [cdr["call_id"] for cdr in client.get(f"/api/v1/cdrs{query}").json()["cdrs"]] == call_ids


def test_cdrs_of_an_unknown_booth(client: Caller) -> None:
    problem(client.get("/api/v1/cdrs?booth=nobody"), 404, "unknown_booth")


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "many", ""])
@pytest.mark.parametrize("page", ["cdrs", "parties/olga/transfers"])
def test_a_limit_has_limits(client: Caller, page: str, limit: str) -> None:
    found = problem(client.get(f"/api/v1/{page}?limit={limit}"), 422, "invalid_request")
    assert found["errors"][0]["where"] == "query.limit"


# When things are broken


@pytest.mark.parametrize(
    ("failure", "code"),
    [(Unwritable("disk full"), "unwritable"), (CommandRefused("the switch is going down"), "not_now")],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        case
        for case in COMMANDS
        # those write nothing, or have nothing to write of here: see tests/export, tests/store/test_outbox.py and
        # test_printing.py
        if not case[1].endswith(("/reload", "/probe", "/reckon", "/screens/none/remove", "/receipts/1/print"))
        and "/prints/" not in case[1]
        and "/traces" not in case[1]
        and "/outbox/" not in case[1]
    ],
)
def test_a_command_that_cannot_be_made_durable(
    desk: MemoryDesk, client: Caller, method: str, path: str, failure: Exception, code: str
) -> None:
    client.post("/api/v1/booths/b1/unlock")
    desk.failure = failure
    answer = client.request(method, path, json=body_of(path))
    assert problem(answer, 503, code)["detail"] == str(failure)
    assert int(answer.headers["retry-after"]) > 0


def test_a_bug_is_answered_without_its_details(desk: MemoryDesk, client: Caller) -> None:
    desk.failure = RuntimeError("the secret is 42")
    assert "42" not in problem(client.post("/api/v1/booths/b1/unlock"), 500, "internal")["detail"]


def test_an_unknown_path(client: Caller) -> None:
    problem(client.get("/api/v1/nothing/here"), 404, "not_found")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large(client: Caller, chunked: bool) -> None:
    body = b"[" * (MAX_BODY_BYTES + 1)

    async def parts() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 1000):
            yield body[at : at + 1000]

    headers = {"Content-Type": "application/json"}
    answer = client.post("/api/v1/booths/b1/pay", content=parts() if chunked else body, headers=headers)
    problem(answer, 413, "too_large")


def test_a_stranger_is_answered_before_his_body_is_read() -> None:
    api = memory_api(MemoryDesk("b1"))
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("the body was asked for")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/api/v1/booths/b1/pay", "headers": [], "query_string": b""}
    asyncio.run(api(scope, receive, send))
    assert sent[0]["status"] == 401


@pytest.fixture(scope="module")
def server() -> Iterator[Caller]:
    """One server for many examples; a booth that was paid is opened again by the next one."""
    with Caller(memory_api(MemoryDesk("b1"))) as client:
        yield client


@given(body=st.binary(max_size=200))
@example(body=b"\xed\xa0\x80")
def test_no_body_breaks_the_server(server: Caller, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = server.post("/api/v1/booths/b1/pay", content=body, headers=headers)
    if is_utf8(body):
        problem(answer, 422, "invalid_request")
    else:
        problem(answer, 400, "malformed")


@given(tendered=st.text(max_size=40) | st.decimals(0, 100, allow_nan=False, places=2).map(str))
def test_a_text_pays_if_and_only_if_it_is_an_amount(server: Caller, tendered: str) -> None:
    server.post("/api/v1/booths/b1/unlock")
    answer = server.post("/api/v1/booths/b1/pay", json={"version": 0, "tendered": tendered})
    assert answer.status_code == (200 if is_amount(tendered) else 422)


def is_amount(text: str) -> bool:
    """Whether an empty bill can be paid with it."""
    try:
        return parse_amount(text) >= 0
    except ValueError:
        return False


def is_utf8(body: bytes) -> bool:
    """Whether JSON may be read from it; its byte order mark says where it is UTF-16 or UTF-32 (RFC 4627 section 3).

    Half of a surrogate pair passes here, as it may stand in JSON as an escape too: no name or reason has one.
    """
    try:
        body.decode(json.detect_encoding(body), "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


# The documentation


def test_every_endpoint_documents_its_refusals(client: Caller) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            assert operation["description"], f"{method} {path}"
            if path.startswith("/api/"):
                refusals = {code for code in operation["responses"] if not code.startswith("2")}
                assert "401" in refusals, f"{method} {path}"
                for code in refusals:
                    assert list(operation["responses"][code]["content"]) == ["application/problem+json"]


def test_a_request_that_went_round_the_guard_is_nobodys() -> None:
    api = make_api(MemoryDesk("b1"), _Blank(), Hub(), idle_tracer(), bans=idle_gate(), version="1")
    api.user_middleware.clear()
    with Caller(api) as client:
        assert client.get("/api/v1/booths").status_code == 401


class _Blank:
    content_type = "text/plain"

    def render(self) -> bytes:
        return b""
