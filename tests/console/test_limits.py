"""Limits and alerts over HTTP: who may let calls pass again, what a release says, and who takes note."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sipshop.billing.limits import LimitAction
from tests.console.memory import OWNER, TOKEN, Caller, MemoryDesk
from tests.console.test_api import anyone, desk, problem  # noqa: F401  # fixtures

RELEASE = "/api/v1/limits/booth/b1/often/release"


def as_(client: Caller, token: str) -> Caller:
    client.headers["Authorization"] = f"Bearer {token}"
    return client


@pytest.mark.parametrize(
    ("action", "set_by", "status"),
    [
        pytest.param(LimitAction.HOLD, "acme", 200, id="what is held, a person of the party releases"),
        pytest.param(LimitAction.BLOCK, "olga", 200, id="what is blocked, who has set it"),
        pytest.param(LimitAction.BLOCK, "acme", 403, id="and not who is below"),
        pytest.param(LimitAction.ALERT, "acme", 403, id="nor silences he an alert of one above"),
    ],
)
def test_who_releases_a_limit(
    desk: MemoryDesk,  # noqa: F811  # a fixture
    anyone: Caller,  # noqa: F811  # a fixture
    action: LimitAction,
    set_by: str,
    status: int,
) -> None:
    desk.rule = replace(desk.rule, rule=replace(desk.rule.rule, action=action, set_by=set_by))
    answer = as_(anyone, OWNER).post(RELEASE, json={"reason": "known customer"})
    assert answer.status_code == status
    assert as_(anyone, TOKEN).post(RELEASE, json={"reason": "known customer"}).status_code == 200
    assert len(desk.log) == (2 if status == 200 else 1)


def test_a_release_says_for_what_and_until_when(desk: MemoryDesk, anyone: Caller) -> None:  # noqa: F811  # fixtures
    body = {"reason": "holiday", "destination": "53", "until": "2026-12-25T08:00:00+01:00"}
    assert as_(anyone, TOKEN).post(RELEASE, json=body).status_code == 200
    assert desk.log[-1][1:4] == ("often", "53", "1798182000000")


@pytest.mark.parametrize(
    "body",
    [{}, {"reason": "x", "destination": "0053"}, {"reason": "x", "until": "tomorrow"}, {"reason": "x", "for": 3}],
)
def test_a_release_that_cannot_be_read_changes_nothing(
    desk: MemoryDesk,  # noqa: F811  # a fixture
    anyone: Caller,  # noqa: F811  # a fixture
    body: dict[str, object],
) -> None:
    assert as_(anyone, TOKEN).post(RELEASE, json=body).status_code == 422
    assert desk.log == []


def test_a_limit_that_is_not_there(anyone: Caller) -> None:  # noqa: F811  # a fixture
    answer = as_(anyone, TOKEN).post("/api/v1/limits/booth/b1/never/release", json={"reason": "x"})
    problem(answer, 404, "unknown_limit")


def test_taking_note_ends_an_alert_and_names_who_did(anyone: Caller) -> None:  # noqa: F811  # a fixture
    client = as_(anyone, TOKEN)
    assert [alert["id"] for alert in client.get("/api/v1/alerts?open=true").json()["alerts"]] == [1]
    noted = client.post("/api/v1/alerts/1/ack").json()
    assert noted["acknowledged_by"] is not None
    assert client.get("/api/v1/alerts?open=true").json() == {"alerts": [], "next": None}
    assert [alert["id"] for alert in client.get("/api/v1/alerts").json()["alerts"]] == [1]
    problem(client.post("/api/v1/alerts/2/ack"), 404, "unknown_alert")
