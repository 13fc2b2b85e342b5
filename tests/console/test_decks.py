"""Sheets and versions over HTTP: who may import into what, what is told of it page by page, and what is refused."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sipshop.switch.imports import Rows, csv_of
from tests.console.memory import OPERATOR, OWNER, RESELLER, Caller, MemoryDesk, memory_api

MAPPING = "columns: {prefix: Code, destination: Name, price: Price}\nincrements: 1/1\n"
SHEET = "Code,Name,Price\n32,Belgium,0.20\n33,France,0.01\n"


@pytest.fixture
def client() -> Iterator[Caller]:
    with Caller(memory_api(MemoryDesk("b1"))) as client:
        client.request("PUT", "/api/v1/mappings/Far", content=MAPPING)
        yield client


def imported(client: Caller, text: str = SHEET, deck: str = "buy", **query: str) -> dict[str, Any]:
    answer = client.post(f"/api/v1/decks/{deck}/imports", params={"carrier": "Far", **query}, content=text)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    for _ in range(2000):
        if job["state"] not in {"reading", "comparing", "writing"}:
            return job
        time.sleep(0.005)
        job = client.get(f"/api/v1/imports/{job['id']}").json()
    raise AssertionError(job)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_sheet_becomes_a_draft_that_is_looked_at_and_published(client: Caller) -> None:
    job = imported(client, file="may.csv")
    assert (job["state"], job["version"], job["version_state"], job["counts"]["new"]) == ("done", 2, "draft", 2)
    first = client.get(f"/api/v1/imports/{job['id']}/changes", params={"limit": 1}).json()
    second = client.get(f"/api/v1/imports/{job['id']}/changes", params={"limit": 1, "cursor": first["next"]}).json()
    assert [page["changes"][0]["prefix"] for page in (first, second)] == ["32", "33"]
    assert second["next"] is None
    losing = client.get(f"/api/v1/imports/{job['id']}/changes", params={"kind": "losing"}).json()["changes"]
    assert {(loss["party"], loss["sell_deck"]) for loss in losing[0]["losses"]} == {
        ("acme", "to-rhea"),
        ("acme", "to-olga"),
    }
    made = client.post("/api/v1/decks/buy/versions/2/publish", json={"reason": "agreed"}).json()
    assert (made["state"], made["in_force"], made["source"]) == ("published", True, "may.csv by Far")
    assert client.get("/api/v1/decks/buy").json()["version"] == 2
    assert [each["version"] for each in client.get("/api/v1/decks/buy/versions").json()["versions"]] == [2, 1]
    assert code(client.post("/api/v1/decks/buy/versions/2/publish")) == (409, "stale_version")
    back = client.post("/api/v1/decks/buy/versions/1/rollback").json()
    assert (back["version"], back["origin"], back["in_force"]) == (3, "rollback", True)


def test_bad_rows_are_told_in_pages_and_as_a_file(client: Caller) -> None:
    bad = "".join(f"{line},Nowhere,free\n" for line in range(40, 45))
    job = imported(client, SHEET + bad, publish="true")
    assert (job["state"], job["rejected"], job["version"]) == ("refused", 5, None)
    path = f"/api/v1/imports/{job['id']}/rejects"
    first = client.get(path, params={"limit": 3}).json()
    rest = client.get(path, params={"limit": 3, "cursor": first["next"]}).json()
    assert [row["line"] for row in first["rows"] + rest["rows"]] == [4, 5, 6, 7, 8]
    lines = client.get(f"{path}.csv").text.splitlines()
    assert lines[0] == "line,field,reason,text"
    assert lines[1].startswith("4,price,'free' is not a number") or lines[1].startswith("4,price,\"'free'")
    assert len(lines) == 6


def test_a_file_of_bad_rows_runs_no_formula() -> None:
    rows = Rows()
    rows.add({"line": 2, "field": "", "reason": "r", "text": "=cmd()"})
    assert "".join(csv_of(rows)).splitlines()[1] == "2,,r,'=cmd()"
    rows.close()


@pytest.mark.parametrize(
    ("token", "deck", "answer"),
    [
        pytest.param(OWNER, "sell", (202, None), id="an owner by his own"),
        pytest.param(OWNER, "to-olga", (404, "unknown_deck"), id="an owner not by what he buys by"),
        pytest.param(OWNER, "buy", (404, "unknown_deck"), id="nor by the carrier's"),
        pytest.param(RESELLER, "sell", (404, "unknown_deck"), id="a reseller not by another's"),
        pytest.param(OPERATOR, "sell", (403, "forbidden"), id="an operator by none"),
    ],
)
def test_whose_deck_it_is(token: str, deck: str, answer: tuple[int, str | None]) -> None:
    with Caller(memory_api(MemoryDesk("b1")), token=token) as client:
        if token != OPERATOR:
            client.request("PUT", "/api/v1/mappings/Far", content=MAPPING)
        got = client.post(f"/api/v1/decks/{deck}/imports", params={"carrier": "Far"}, content=SHEET)
        assert (got.status_code, got.json().get("code")) == answer


@pytest.mark.parametrize(
    ("method", "path", "body", "answer"),
    [
        ("POST", "/decks/none/imports?carrier=Far", SHEET, (404, "unknown_deck")),
        ("POST", "/decks/buy/imports?carrier=Near", SHEET, (404, "unknown_mapping")),
        ("POST", "/decks/buy/imports?carrier=Far&at=soon", SHEET, (422, "bad_instant")),
        ("POST", "/decks/buy/versions/9/publish", "", (404, "unknown_version")),
        ("POST", "/decks/buy/diff", '{"old": 1, "new": 9}', (404, "unknown_version")),
        ("GET", "/imports/none", "", (404, "unknown_import")),
        ("PUT", "/mappings/Far", "columns: {price: P}", (422, "bad_mapping")),
        ("PUT", "/mappings/Far", "x" * 20_000, (413, "too_large")),
        ("DELETE", "/mappings/Near", "", (404, "unknown_mapping")),
        ("POST", "/mapping-guesses", "hello", (422, "bad_sheet")),
    ],
)
def test_what_is_refused(client: Caller, method: str, path: str, body: str, answer: tuple[int, str]) -> None:
    headers = {"Content-Type": "application/json"} if body.startswith("{") else {}
    assert code(client.request(method, f"/api/v1{path}", content=body, headers=headers)) == answer


def test_mappings_are_kept_shown_suggested_and_removed(client: Caller) -> None:
    (listed,) = client.get("/api/v1/mappings").json()["mappings"]
    assert listed == client.get("/api/v1/mappings/Far").json()
    assert 'prefix": "Code"' in listed["mapping"]
    guessed = client.post("/api/v1/mapping-guesses", content=SHEET).json()["mapping"]
    assert client.request("PUT", "/api/v1/mappings/Near", content=guessed).status_code == 200
    assert client.request("DELETE", "/api/v1/mappings/Far").status_code == 204
    assert [each["carrier"] for each in client.get("/api/v1/mappings").json()["mappings"]] == ["Near"]
