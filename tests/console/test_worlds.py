"""Whole worlds over HTTP: applied, exported, looked at, and priced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sipshop.billing.errors import AccountInUse
from sipshop.config import MAX_BYTES
from sipshop.console.guard import MAX_WORLD_BYTES
from sipshop.store import Conflict, Unwritable, WorldChanged
from tests.console.memory import OPERATOR, WORLD_TEXT, Caller, MemoryDesk, memory_api


@pytest.fixture
def desk() -> MemoryDesk:
    return MemoryDesk("b1", "b2")


@pytest.fixture
def client(desk: MemoryDesk) -> Iterator[Caller]:
    with Caller(memory_api(desk)) as client:
        yield client


def apply(client: Caller, text: str | bytes, query: str = "", status: int = 200) -> dict[str, Any]:
    answer = client.post(f"/api/v1/world{query}", content=text)
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_a_world_is_applied_once_and_then_changes_nothing(desk: MemoryDesk, client: Caller) -> None:
    text = WORLD_TEXT.replace('first_price: "0.12"', 'first_price: "0.10"')
    before = desk.worlds.stored
    dry = apply(client, text, "?dry_run=true")
    assert (dry["dry_run"], desk.worlds.stored) == (True, before)
    done = apply(client, text)
    assert done == dry | {"dry_run": False}
    (change,) = done["changes"]
    assert change == {
        "action": "change",
        "kind": "deck",
        "name": "sell",
        "details": ["version 1 -> 2", "~ 32 Belgium: first_price 0.12 -> 0.10, next_price 0.12 -> 0.10"],
    }
    assert apply(client, text)["changes"] == []


def test_every_kind_of_thing_is_told(client: Caller) -> None:
    text = WORLD_TEXT.replace("provider: {name: acme}", "provider: {name: acme, legal: {name: Acme Ltd}}").replace(
        "    booths:", "    tax: {percent: '20', mode: added}\n    limits: [{name: two, live_calls: 2}]\n    booths:"
    )
    text += "fx: [{pair: EUR/USD, rates: {'2026-11-22': '1.08'}}]\n"
    told = {(change["kind"], change["name"]) for change in apply(client, text, "?dry_run=true")["changes"]}
    assert told == {("tax", "shop center"), ("letterhead", "acme"), ("limits", "shop center"), ("fx", "EUR/USD")}


def test_what_a_text_does_not_name_is_counted_and_pruned_on_demand(client: Caller) -> None:
    text = WORLD_TEXT.partition("operators:")[0]
    assert apply(client, text) == {"dry_run": False, "changes": [], "absent": {"operator": 2}}
    removed = apply(client, text, "?prune=true")["changes"]
    assert [(change["action"], change["name"]) for change in removed] == [("remove", "ana"), ("remove", "otto")]


def test_an_export_is_yaml_that_changes_nothing(client: Caller) -> None:
    answer = client.get("/api/v1/world")
    assert answer.headers["content-type"] == "application/yaml"
    assert apply(client, answer.text, "?prune=true")["changes"] == []


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"\xff", {"line": 1, "field": "", "message": "is not UTF-8 text"}),
        (b"", {"line": 1, "field": "", "message": "is empty"}),
        (WORLD_TEXT.replace("owner: olga", "owner: olgo").encode(), {"line": 19, "field": "shops[0].owner"}),
        (b"x" * (MAX_BYTES + 1), {"line": 1, "message": f"has {MAX_BYTES + 1} bytes; {MAX_BYTES} is the limit"}),
    ],
)
def test_a_wrong_world_is_refused_with_every_error(client: Caller, text: bytes, error: dict[str, object]) -> None:
    problem = apply(client, text, "?file=my.yaml", 422)
    assert problem["code"] == "bad_world"
    assert any((error | {"file": "my.yaml"}).items() <= each.items() for each in problem["errors"]), problem["errors"]


def test_a_body_that_is_larger_than_any_world_is_not_even_read(client: Caller) -> None:
    assert apply(client, b"x" * (MAX_WORLD_BYTES + 1), status=413)["code"] == "too_large"


@pytest.mark.parametrize("query", ["?file=", "?file=a%0Ab", "?dry_run=perhaps"])
def test_a_question_that_is_none(client: Caller, query: str) -> None:
    assert apply(client, WORLD_TEXT, query, 422)["code"] == "invalid_request"


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (Conflict("booth b1 is umbrella's already"), 409, "conflict"),
        (WorldChanged("changed"), 409, "world_changed"),
        (AccountInUse("calls are live"), 409, "account_in_use"),
        (Unwritable("disk full"), 503, "unwritable"),
    ],
)
def test_what_the_switch_does_not_do_has_its_code(
    desk: MemoryDesk, client: Caller, failure: Exception, status: int, code: str
) -> None:
    desk.worlds.failure = failure
    before = desk.worlds.stored
    assert apply(client, WORLD_TEXT.replace("password: one", "password: eins"), status=status)["code"] == code
    assert desk.worlds.stored == before


def test_only_a_provider_sees_what_everybody_pays(desk: MemoryDesk) -> None:
    with Caller(memory_api(desk), token=OPERATOR) as client:
        assert apply(client, WORLD_TEXT, status=403)["code"] == "forbidden"
        for path in ("world", "operators", "decks", "decks/sell", "trunks", "quotes?number=0321234567"):
            assert client.get(f"/api/v1/{path}").status_code == 403, path
        assert client.get("/api/v1/quotes?number=0321234567&booth=b1").status_code == 200


def test_people_trunks_and_decks_are_listed(client: Caller) -> None:
    assert client.get("/api/v1/operators").json()["operators"] == [
        {"name": "ana", "role": "operator", "party": "olga", "shop": "center", "suspended": False},
        {"name": "otto", "role": "owner", "party": "olga", "shop": None, "suspended": False},
    ]
    demo, spare = client.get("/api/v1/trunks").json()["trunks"]
    assert (demo["trunk"], demo["max_calls"], demo["live_calls"], demo["disabled"]) == ("demo", 30, 0, False)
    assert (spare["host"], spare["cps"], spare["disabled"]) == ("2001:db8::1", None, True)
    sell, *_ = client.get("/api/v1/decks").json()["decks"]
    assert sell == {
        "deck": "sell",
        "version": 1,
        "currency": "EUR",
        "round": {"mode": "half_up", "places": 2},
        "duration_round": "ceil",
        "rates": 2,
        "sales": [{"seller": "olga", "buyer": "customers of center"}],
    }
    shown = client.get("/api/v1/decks/sell?prefix=3290").json()
    assert ([rate["destination"] for rate in shown["shown"]], shown["rates"]) == (["Belgium Premium"], 2)
    assert len(client.get("/api/v1/decks/sell?limit=1").json()["shown"]) == 1
    assert client.get("/api/v1/decks/nothing").json()["code"] == "unknown_deck"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("number=021234567&booth=b1", {"answer": "price", "talk_s": 60, "amount": "0.17", "destination": "Belgium"}),
        ("number=021234567&booth=b1&seconds=61", {"talk_s": 61, "billed_s": 120, "amount": "0.29"}),
        ("number=021234567&amount=5.00", {"buyer": "customers of center", "talk_s": 2460, "amount": "4.97"}),
        ("number=%2B3221234567&party=rhea", {"seller": "acme", "deck": "to-rhea", "prefix": "3", "currency": "EUR"}),
        ("number=090123456&booth=b1", {"answer": "forbidden", "destination": "Belgium Premium", "amount": None}),
        ("number=0049301234567&booth=b1", {"answer": "no_rate", "e164": "49301234567", "deck": None}),
        ("number=x", {"answer": "bad_number", "e164": None}),
    ],
)
def test_a_quote_says_what_the_bill_would(client: Caller, query: str, expected: dict[str, object]) -> None:
    (quote,) = client.get(f"/api/v1/quotes?{query}").json()["quotes"]
    assert quote | expected == quote


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 422, "invalid_request"),
        ("number=1&seconds=-1", 422, "invalid_request"),
        ("number=1&amount=much", 422, "bad_amount"),
        ("number=1&amount=-1", 422, "bad_amount"),
        ("number=1&booth=nowhere", 404, "unknown_booth"),
        ("number=1&party=nobody", 404, "unknown_party"),
    ],
)
def test_a_quote_that_cannot_be_made(client: Caller, query: str, status: int, code: str) -> None:
    answer = client.get(f"/api/v1/quotes?{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
