"""Screens for customers: what a link shows, what it never shows or opens, and that it ends when it is taken away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest

from sipshop.billing.desk import SessionTerms
from sipshop.billing.money import Money
from sipshop.console.events import Hub
from sipshop.console.pages.screen import RENEW_S, Show, hidden
from sipshop.console.tokens import hash_token
from sipshop.facts import BoothChanged
from sipshop.store import Screen
from sipshop.switch.screens import MOST_SCREENS
from tests.console.memory import OPENED_AT_MS, OPERATOR, RESELLER, TENANT, Caller, MemoryDesk, memory_api
from tests.console.test_pages import HERE, Browser

API: Final = "/api/v1/shops/center/screens"


@pytest.fixture
def desk() -> MemoryDesk:
    return MemoryDesk("b1", "b2")


@pytest.fixture
def caller(desk: MemoryDesk) -> Iterator[Caller]:
    with Caller(memory_api(desk), OPERATOR) as caller:
        yield caller


def screen(booth: str | None = None) -> Screen:
    return Screen(
        tenant=TENANT,
        sha256=hash_token("the key"),
        shop="center",
        booth=booth,
        language="en",
        label="door",
        author="ana",
        created_at_ms=OPENED_AT_MS,
    )


def test_a_link_shows_booths_to_whoever_has_it(caller: Caller) -> None:
    made = caller.post(API, json={"booth": "b1", "language": "fr", "label": "window"}).json()
    page = Caller(caller_api(caller), token=None)
    with page:
        answer = page.get(made["path"])
        assert answer.status_code == 200
        assert 'lang="fr"' in answer.text
        assert 'data-booth="b1"' in answer.text
        assert 'data-booth="b2"' not in answer.text
        assert "set-cookie" not in answer.headers
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "csrf" not in answer.text
        assert page.get("/screen/" + "x" * 43).status_code == 404
    assert made["path"].removeprefix("/screen/") not in json.dumps(caller.get(API).json())


def caller_api(caller: Caller) -> Any:
    return caller._client._transport.app  # type: ignore[attr-defined] # the same server, asked without a token


def test_a_key_opens_nothing_else(caller: Caller) -> None:
    key = caller.post(API).json()["path"].removeprefix("/screen/")
    with Caller(caller_api(caller), token=key) as other:
        assert other.get("/api/v1/booths").status_code == 401
    with Caller(caller_api(caller), token=None) as other:
        other._client.cookies.set("sipshop", key)
        assert other.get("/board", headers={"Accept": "text/html"}).headers["location"] == "/login"


def test_a_screen_that_was_taken_away_shows_nothing(caller: Caller, desk: MemoryDesk) -> None:
    made = caller.post(API).json()
    assert [each["id"] for each in caller.get(API).json()["screens"]] == [made["id"]]
    gone = caller.post(f"{API}/{made['id']}/remove")
    assert gone.json()["id"] == made["id"]
    assert caller.get(made["path"]).status_code == 404
    assert caller.get(f"{made['path']}/events").status_code == 404
    assert caller.post(f"{API}/{made['id']}/remove").json()["code"] == "unknown_screen"
    connection = desk.screens._store.connection  # type: ignore[attr-defined] # the database in memory
    told = [tuple(row) for row in connection.execute("SELECT action, subject, author FROM desk_log ORDER BY id")]
    assert [action for action, _, _ in told] == ["add screen", "remove screen"]
    assert connection.execute("SELECT count(*) FROM screens").fetchone()[0] == 0


def test_of_a_key_only_its_hash_is_kept(caller: Caller, desk: MemoryDesk) -> None:
    key = caller.post(API).json()["path"].removeprefix("/screen/")
    dump = "\n".join(desk.screens._store.connection.iterdump())  # type: ignore[attr-defined] # likewise
    assert key not in dump
    assert hash_token(key) in dump


@pytest.mark.parametrize(
    ("token", "path", "body", "code"),
    [
        (RESELLER, API, {}, "unknown_shop"),
        (OPERATOR, "/api/v1/shops/other/screens", {}, "unknown_shop"),
        (OPERATOR, API, {"booth": "nowhere"}, "unknown_booth"),
        (OPERATOR, API, {"language": "xx"}, "invalid_request"),
        (OPERATOR, API, {"label": "a\nb"}, "invalid_request"),
    ],
)
def test_what_is_not_his_or_cannot_be_is_refused(
    desk: MemoryDesk, token: str, path: str, body: dict[str, str], code: str
) -> None:
    with Caller(memory_api(desk), token) as caller:
        assert caller.post(path, json=body).json()["code"] == code


def test_a_shop_has_only_so_many(caller: Caller) -> None:
    for _ in range(MOST_SCREENS):
        assert caller.post(API).status_code == 201
    assert caller.post(API).json()["code"] == "not_now"


def test_what_cannot_be_written_shows_nothing(caller: Caller, desk: MemoryDesk) -> None:
    desk.failure = OSError("the disk is full")
    assert caller.post(API).status_code == 500
    desk.failure = None
    assert caller.get(API).json()["screens"] == []


def test_a_restart_keeps_the_screens(caller: Caller, desk: MemoryDesk) -> None:
    made = caller.post(API, json={"booth": "b2"}).json()
    desk.screens._screens = {}
    assert caller.get(made["path"]).status_code == 404
    desk.screens.begin()
    assert caller.get(made["path"]).status_code == 200


def test_of_a_number_the_first_digits_are_shown(desk: MemoryDesk) -> None:
    assert hidden("0022320223344") == "00223" + "•" * 8
    asyncio.run(desk.unlock(TENANT, "b1", "ana", SessionTerms(deposit=Money(5_000_000, "EUR")), "k"))
    (tile,) = Show(Hub(), desk.floor, screen("b1")).tiles()
    assert set(tile) == {
        "booth",
        "state",
        "stateText",
        "country",
        "number",
        "talk",
        "figures",
        "minutes",
    }


def test_a_stream_begins_with_all_and_goes_on_with_what_changed(desk: MemoryDesk) -> None:
    async def story() -> None:
        hub, now_s, is_there = Hub(lambda: OPENED_AT_MS), [0.0], [True]
        show = Show(hub, desk.floor, screen("b1"), lambda: now_s[0])
        events = show.stream(lambda: is_there[0], gather_s=0, ping_s=0.01)

        async def heard() -> dict[str, Any]:
            while True:
                kind, data = (await anext(events)).splitlines()[:2]
                if kind == "event: tiles":
                    found: dict[str, Any] = json.loads(data.removeprefix("data: "))
                    return found

        begun = await heard()
        assert (begun["whole"], [tile["booth"] for tile in begun["tiles"]]) == (True, ["b1"])
        await desk.unlock(TENANT, "b2", "ana")
        hub.publish(BoothChanged(tenant=TENANT, shop="center", booth="b2"))
        await desk.unlock(TENANT, "b1", "ana")
        hub.publish(BoothChanged(tenant=TENANT, shop="center", booth="b1"))
        changed = await heard()
        assert [(tile["booth"], tile["state"]) for tile in changed["tiles"]] == [("b1", "open")]
        now_s[0] += RENEW_S
        is_there[0] = False
        assert [event async for event in events] in ([], ["event: ping\ndata: {}\n\n"])
        assert hub._listeners == {TENANT: set()}

    asyncio.run(asyncio.wait_for(story(), 5))


def test_operators_make_them_on_a_page(desk: MemoryDesk) -> None:
    with Browser(desk) as browser:
        browser.sign_in()
        assert browser.see("/screens").headers["location"] == "/screens/center"
        browser.see("/screens/center")
        made = browser.send("/screens/center/add", HERE, label="<b>door</b>", booth="b2", language="it")
        assert "http://api/screen/" in made.text
        assert "&lt;b&gt;door" in made.text
        (kept,) = desk.screens.of_shops(TENANT, {"center"})
        assert (kept.booth, kept.language, kept.author) == ("b2", "it", "ana")
        assert browser.send(f"/screens/center/{kept.id}/remove", HERE).headers["location"] == "/screens/center"
        assert desk.screens.of_shops(TENANT, {"center"}) == []
        assert browser.send("/screens/center/add", HERE, booth="elsewhere").status_code == 404


def test_a_screen_whose_booth_went_elsewhere_shows_nothing(desk: MemoryDesk) -> None:
    asyncio.run(desk.screens.add(screen("b1")))
    assert desk.screens.find(hash_token("the key")) is not None
    asyncio.run(desk.screens.add(replace(screen("gone"), sha256="0" * 64)))
    assert desk.screens.find("0" * 64) is None
