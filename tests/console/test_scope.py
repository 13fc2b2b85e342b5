"""A party sees itself and all below it, and never what those above it pay."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi import HTTPException

from sipshop.billing.errors import UnknownParty
from sipshop.console.scope import Scope
from sipshop.console.tokens import Identity
from sipshop.store import Token
from sipshop.switch import Reach, UnknownCall, UnknownShop
from tests.console.memory import (
    OPENED_AT_MS,
    OPERATOR,
    OWNER,
    RESELLER,
    TOKEN,
    Caller,
    MemoryDesk,
    memory_api,
    token_of,
)

CHAIN = [("b1", "ann"), ("ann", "sub"), ("sub", "rhea"), ("rhea", "tel"), ("tel", "carrier")]  # (buyer, seller)
CDR: dict[str, Any] = {
    "call_id": "c",
    "shop": "corner",
    "trunk": "cheap",
    "attempts": [{"trunk": "cheap"}],
    "leg_b_call_id": "leg b",
    "charges": [{"buyer": buyer, "seller": seller} for buyer, seller in CHAIN],
}
PARTIES = ["tel", "rhea", "sub", "ann"]  # from the top down, each sells to the next


class Tel(MemoryDesk):
    """A chain of four parties, with the shop `corner` at its end."""

    def reach(self, tenant: str, party: str) -> Reach:
        return Reach(parties=frozenset(PARTIES[PARTIES.index(party) :]), shops=frozenset({"corner"}))


def scope_of(role: str, party: str, shop: str | None = None) -> Scope:
    return Scope.of(Identity(token_of("t", party=party, role=role, shop=shop), "me"), Tel())


@pytest.mark.parametrize(
    ("role", "party", "levels"),
    [
        pytest.param("operator", "ann", 1, id="an operator sees what the customer pays"),
        pytest.param("owner", "ann", 2, id="an owner sees his own cost too"),
        pytest.param("reseller", "sub", 3, id="a sub-reseller sees nothing of what his reseller pays"),
        pytest.param("reseller", "rhea", 4, id="a reseller sees nothing of the carriers"),
        pytest.param("provider", "tel", 5, id="the provider sees all of it"),
    ],
)
def test_a_record_ends_with_ones_own_cost(role: str, party: str, levels: int) -> None:
    seen = scope_of(role, party, "corner" if role == "operator" else None).record(CDR)
    assert seen["charges"] == CDR["charges"][:levels]
    assert (seen["trunk"] is not None) is (role == "provider")


def test_a_booth_named_like_a_reseller_opens_no_charge_of_his() -> None:
    charges = [{"buyer": "sub", "seller": "ann"}, *CDR["charges"][1:]]
    assert len(scope_of("reseller", "sub").record(CDR | {"charges": charges})["charges"]) == 3


def test_the_record_of_another_ones_shop_is_not_there() -> None:
    with pytest.raises(UnknownCall):
        scope_of("reseller", "sub").record(CDR | {"shop": "elsewhere"})
    with pytest.raises(UnknownCall):
        scope_of("operator", "ann", "another shop").record(CDR)


def test_what_is_above_is_not_there() -> None:
    with pytest.raises(UnknownParty):
        scope_of("reseller", "sub").party("rhea")
    with pytest.raises(UnknownShop):
        scope_of("owner", "ann").shop("elsewhere")


@pytest.mark.parametrize("party", ["rhea", "sub"])
def test_nobody_is_his_own_seller(party: str) -> None:
    scope = Scope.of(Identity(token_of("t", party="rhea", role="reseller"), "me"), MemoryDesk())
    if party == "rhea":
        with pytest.raises(HTTPException, match="only who sells to rhea"):
            scope.customer(party)
    else:
        with pytest.raises(UnknownParty):
            scope.customer(party)


# Over HTTP


@pytest.fixture
def desk() -> MemoryDesk:
    return MemoryDesk("b1", "b2")


@pytest.fixture
def caller(desk: MemoryDesk) -> Iterator[Callable[[str], Caller]]:
    """Whoever shows this token."""
    with Caller(memory_api(desk)) as client:

        def with_token(token: str) -> Caller:
            client.headers["Authorization"] = f"Bearer {token}"
            return client

        yield with_token


MOVE = {"amount": "5.00", "reason": "cash"}
ALLOWED = [  # method, path, body: the status for provider, reseller without shops, owner and operator of the booths
    ("GET", "booths/b1/bill", None, (200, 404, 200, 200)),
    ("POST", "booths/b1/unlock", None, (200, 404, 200, 200)),
    ("POST", "booths/b1/lock", None, (200, 404, 200, 200)),
    ("POST", "booths/b1/topup", {"amount": "1.00"}, (200, 404, 200, 200)),
    ("GET", "cdrs?booth=b1", None, (200, 404, 200, 200)),
    ("GET", "calls", None, (200, 200, 200, 200)),
    ("GET", "parties", None, (200, 200, 200, 403)),
    ("GET", "parties/olga", None, (200, 404, 200, 403)),
    ("GET", "parties/olga/transfers", None, (200, 404, 200, 403)),
    ("POST", "parties/olga/payments", MOVE, (200, 404, 403, 403)),
    ("POST", "parties/olga/adjustments", MOVE, (200, 404, 403, 403)),
    ("POST", "parties/olga/limit", {"unlimited": True, "reason": "mine"}, (200, 404, 403, 403)),
    ("POST", "parties/olga/suspend", None, (200, 404, 403, 403)),
    ("POST", "parties/olga/resume", None, (200, 404, 403, 403)),
    ("GET", "audit", None, (200, 403, 403, 403)),
    ("GET", "tokens", None, (200, 200, 200, 403)),
    ("POST", "tokens", {"label": "x", "party": "acme"}, (201, 404, 404, 403)),
    ("POST", "tokens", {"label": "x", "party": "olga"}, (201, 404, 201, 403)),
    ("POST", "tokens", {"label": "x", "shop": "center"}, (201, 404, 201, 403)),
]


@pytest.mark.parametrize(("method", "path", "body", "statuses"), ALLOWED)
def test_who_may_do_what(
    desk: MemoryDesk,
    caller: Callable[[str], Caller],
    method: str,
    path: str,
    body: object,
    statuses: tuple[int, ...],
) -> None:
    caller(TOKEN).post("/api/v1/booths/b1/unlock", json={"deposit": "1.00"})
    for token, status in zip((TOKEN, RESELLER, OWNER, OPERATOR), statuses, strict=True):
        desk.log.clear()
        answer = caller(token).request(method, f"/api/v1/{path}", json=body)
        assert answer.status_code == status, (token, answer.text)
        if status >= 400:
            assert desk.log == []


@pytest.mark.parametrize(("token", "seen"), [(TOKEN, 2), (RESELLER, 0), (OWNER, 2), (OPERATOR, 2)])
def test_lists_hold_what_one_sees(caller: Callable[[str], Caller], token: str, seen: int) -> None:
    assert len(caller(token).get("/api/v1/booths").json()["booths"]) == seen


def test_parties_are_listed_from_ones_own_down(caller: Callable[[str], Caller]) -> None:
    def listed(token: str) -> list[str]:
        return [party["party"] for party in caller(token).get("/api/v1/parties").json()["parties"]]

    assert (listed(TOKEN), listed(RESELLER), listed(OWNER)) == (["acme", "rhea", "olga"], ["rhea"], ["olga"])


# Tokens


def test_a_token_that_was_made_opens_what_it_is_for_and_is_told_once(caller: Callable[[str], Caller]) -> None:
    made = caller(OWNER).post("/api/v1/tokens", json={"label": "till 2", "shop": "center", "days": 1})
    assert made.status_code == 201
    token = made.json()
    assert (token["role"], token["party"], token["shop"]) == ("operator", "olga", "center")
    assert token["expires_at"] == "2026-01-01T23:59:59.007Z"
    listed = caller(OWNER).get("/api/v1/tokens").json()["tokens"]
    assert token["id"] in {one["id"] for one in listed}
    assert token["token"] not in str(listed)
    assert caller(token["token"]).post("/api/v1/booths/b1/unlock").json()["opened_by"].startswith("operator/")


def test_a_token_that_was_revoked_opens_nothing_from_that_moment(caller: Callable[[str], Caller]) -> None:
    assert caller(OPERATOR).get("/api/v1/booths").status_code == 200
    token_id = token_of(OPERATOR, party="olga", role="operator").id
    revoked = caller(OWNER).post(f"/api/v1/tokens/{token_id}/revoke")
    assert revoked.json()["revoked_at"] is not None
    assert caller(OPERATOR).get("/api/v1/booths").status_code == 401


def test_nobody_revokes_a_token_from_above(caller: Callable[[str], Caller]) -> None:
    token_id = token_of(TOKEN, party="acme", role="provider").id
    assert caller(OWNER).post(f"/api/v1/tokens/{token_id}/revoke").json()["code"] == "unknown_token"


def test_a_token_past_its_end_opens_nothing(desk: MemoryDesk, caller: Callable[[str], Caller]) -> None:
    old: Token = replace(token_of("old", party="olga", role="owner"), expires_at_ms=OPENED_AT_MS)
    desk.issued[old.sha256] = old
    assert caller("old").get("/api/v1/booths").status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {"label": "x"},
        {"label": "x", "party": "olga", "shop": "center"},
        {"label": "two\nlines", "party": "olga"},
        {"label": "", "party": "olga"},
        {"label": "x", "party": "olga", "days": 0},
        {"label": "x", "party": "olga", "role": "provider"},
    ],
)
def test_what_is_no_token(caller: Callable[[str], Caller], body: object) -> None:
    assert caller(TOKEN).post("/api/v1/tokens", json=body).json()["code"] == "invalid_request"
