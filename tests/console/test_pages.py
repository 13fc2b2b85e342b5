"""The pages without a browser: who comes in, what a change needs, what no GET does, what the headers forbid."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from http.cookies import SimpleCookie
from typing import Any, Final

import httpx
import pytest

from sipshop.console.pages.assets import Assets
from sipshop.console.pages.board import ACTIONS
from sipshop.console.pages.door import MAX_FORM_BYTES, hash_secret
from sipshop.console.pages.throttle import FREE_OF_PAIR
from sipshop.console.pages.totp import code
from tests.console.memory import OPENED_AT_MS, TENANT, Caller, MemoryDesk, own_api
from tests.console.memory_floor import PASSWORD

HERE: Final = {"Origin": "http://api", "Accept": "text/html"}
SCRIPT: Final = {"Origin": "http://api", "Accept": "application/json"}
SECRET: Final = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
BOARD: Final = "/board/center/booths/b1"


class Browser(Caller):
    """A caller that keeps cookies and repeats the token of the page that it saw last."""

    def __init__(self, desk: MemoryDesk) -> None:
        super().__init__(own_api(desk), token=None)
        self.token = ""

    def see(self, path: str) -> httpx.Response:
        answer = self.get(path, headers={"Accept": "text/html"})
        found = re.search(r'name="csrf" content="([^"]+)"', answer.text)
        self.token = found[1] if found is not None else self.token
        return answer

    def send(self, path: str, headers: Mapping[str, str] = HERE, /, **fields: str) -> httpx.Response:
        if headers["Accept"] == "text/html":
            return self.post(path, data={"csrf": self.token, **fields}, headers=dict(headers))
        return self.post(path, data=fields, headers={**headers, "X-CSRF-Token": self.token})

    def sign_in(self, name: str = "ana", password: str = PASSWORD, **more: str) -> httpx.Response:
        self.see("/login")
        answer = self.send("/login", HERE, name=name, password=password, **more)
        if answer.status_code == 303:
            self.see("/board")
        return answer

    @property
    def secret(self) -> str:
        return self._client.cookies["sipshop"]


@pytest.fixture
def desk() -> MemoryDesk:
    return MemoryDesk("b1", "b2")


@pytest.fixture
def browser(desk: MemoryDesk) -> Iterator[Browser]:
    with Browser(desk) as browser:
        yield browser


def routes(browser: Browser, desk: MemoryDesk) -> list[tuple[str, str]]:
    """Every route of the pages, with names in it that there are."""
    names = {
        "shop": "center",
        "shift": 1,
        "z": 1,
        "booth": "b1",
        "number": "1",
        "call_id": "call-1",
        "name": "none.css",
    }
    names |= {"key": "k" * 43, "screen": "none"}
    return [
        (method, route.path.format(**names)) for route in own_api(desk).state.pages.routes for method in route.methods
    ]


# Coming in


def test_who_has_not_come_in_sees_the_login_alone(browser: Browser, desk: MemoryDesk) -> None:
    for method, path in routes(browser, desk):
        if method == "GET" and path not in {"/login", "/"} and not path.startswith("/screen/"):
            answer = browser.get(path, headers={"Accept": "text/html"})
            assert (answer.status_code, answer.headers["location"]) == (303, "/login"), path


def test_coming_in_changes_the_cookie_which_is_kept_as_a_hash(browser: Browser, desk: MemoryDesk) -> None:
    browser.see("/login")
    before = browser.secret
    answer = browser.sign_in()
    assert (answer.status_code, answer.headers["location"]) == (303, "/board")
    assert browser.secret != before
    found = desk.logins.who(hash_secret(browser.secret))
    assert found is not None
    assert found[1].name == "ana"
    assert browser.see("/board").status_code == 200


@pytest.mark.parametrize(("base", "name"), [("http://api", "sipshop"), ("https://api", "__Host-sipshop")])
def test_the_cookie_is_for_this_server_alone(desk: MemoryDesk, base: str, name: str) -> None:
    async def login() -> httpx.Response:
        transport = httpx.ASGITransport(own_api(desk))
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.get("/login")

    answer = asyncio.run(login())
    cookie = SimpleCookie(answer.headers["set-cookie"])[name]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["domain"]) == (True, "strict", "/", "")
    assert bool(cookie["secure"]) is base.startswith("https")
    assert ("strict-transport-security" in answer.headers) is base.startswith("https")


@pytest.mark.parametrize(
    ("name", "password"),
    [("ana", "not her password"), ("nobody", PASSWORD), ("", ""), ("ana@other", PASSWORD), ("ana" * 99, "x" * 999)],
)
def test_nobody_learns_whether_there_is_such_a_person(
    browser: Browser, caplog: pytest.LogCaptureFixture, name: str, password: str
) -> None:
    answer = browser.sign_in(name, password)
    assert answer.status_code == 403
    assert f"nobody was let in as {name[:200]}" in caplog.text
    assert "The name, the password or the code is wrong." in answer.text
    assert browser.get("/board", headers={"Accept": "text/html"}).headers["location"] == "/login"


def test_after_a_few_tries_even_the_right_password_waits(browser: Browser) -> None:
    told = [browser.sign_in("ana", "wrong").status_code for _ in range(FREE_OF_PAIR + 1)]
    assert told == [403] * FREE_OF_PAIR + [429]
    assert browser.sign_in().status_code == 429
    assert browser.sign_in("otto").status_code == 303
    told = [browser.sign_in("nobody", "wrong").status_code for _ in range(FREE_OF_PAIR + 1)]
    assert told == [403] * FREE_OF_PAIR + [429], "who is not there waits as well"


def test_a_name_with_its_provider_comes_in(browser: Browser) -> None:
    assert browser.sign_in(f"ana@{TENANT}").status_code == 303


def test_a_second_factor_is_asked_for_and_a_code_is_used_once(browser: Browser, desk: MemoryDesk) -> None:
    browser.sign_in()
    now = code(SECRET, OPENED_AT_MS // 30_000)
    assert browser.send("/account/factor", secret=SECRET, code=now, current="wrong").status_code == 403
    assert browser.send("/account/factor", secret=SECRET, code="000000", current=PASSWORD).status_code == 403
    assert browser.send("/account/factor", secret=SECRET, code=now, current=PASSWORD).status_code == 200
    browser.send("/logout")
    assert browser.sign_in().status_code == 403
    assert browser.sign_in(code=now).status_code == 403, "it was used already"
    later = code(SECRET, OPENED_AT_MS // 30_000 + 1)
    assert browser.sign_in(code=later).status_code == 303
    assert browser.sign_in(code=later).status_code == 403, "nor is this one used twice"
    assert browser.send("/account/factor/off", current=PASSWORD).status_code == 200


def test_a_new_password_signs_out_everybody_else(browser: Browser, desk: MemoryDesk) -> None:
    browser.sign_in()
    with Browser(desk) as other:
        other.sign_in()
        new = {"new": "a much better one", "again": "a much better one"}
        assert browser.send("/account/password", HERE, current="wrong", **new).status_code == 403
        assert browser.send("/account/password", current=PASSWORD, new="short", again="short").status_code == 403
        assert browser.send("/account/password", HERE, current=PASSWORD, **new).status_code == 303
        assert other.see("/board").headers["location"] == "/login"
        assert browser.see("/account/changed").status_code == 200
        assert browser.send("/account/sign-out-everywhere").status_code == 303
        assert browser.see("/board").headers["location"] == "/login"
        assert browser.sign_in(password="a much better one").status_code == 303


def test_going_out_ends_the_session(browser: Browser, desk: MemoryDesk) -> None:
    browser.sign_in()
    secret = browser.secret
    assert browser.send("/logout").headers["location"] == "/login"
    assert desk.logins.who(hash_secret(secret)) is None


# What a change needs


BAD: Final = [
    pytest.param({"Accept": "application/json"}, None, id="no origin"),
    pytest.param({**SCRIPT, "Origin": "http://evil"}, None, id="another origin"),
    pytest.param({**SCRIPT, "Origin": "null"}, None, id="the origin null"),
    pytest.param({**SCRIPT, "Origin": "http://api:81"}, None, id="another port"),
    pytest.param({**SCRIPT, "Sec-Fetch-Site": "cross-site"}, None, id="another site"),
    pytest.param({**SCRIPT, "Sec-Fetch-Site": "same-site"}, None, id="a neighbour below the same domain"),
    pytest.param(SCRIPT, "", id="no token"),
    pytest.param(SCRIPT, "x" * 43, id="another token"),
]


@pytest.mark.parametrize(("headers", "token"), BAD)
def test_no_change_is_made_that_does_not_come_from_our_page(
    browser: Browser, desk: MemoryDesk, headers: dict[str, str], token: str | None
) -> None:
    browser.sign_in()
    token = browser.token if token is None else token
    changes = [path for method, path in routes(browser, desk) if method != "GET"]
    assert len(changes) > 12
    for path in changes:
        data = {"csrf": token or "", "key": "12345678", "to": "b2", "note": "n", "amount": "1", "name": "ana"}
        answer = browser.post(path, data=data, headers=headers)
        assert answer.status_code == 403, path
    assert desk.log == []
    assert browser.see("/board").status_code == 200, "he is in still"


def test_no_get_changes_anything(browser: Browser, desk: MemoryDesk) -> None:
    browser.sign_in()
    before = repr((desk.rooms, desk.floor.notes, desk.floor.open, desk.logins._sessions, desk.logins._logins))
    for method, path in routes(browser, desk):
        if path.endswith("/events"):
            continue  # it has no end; tests/console/test_feed.py hears it
        answer = browser.get(path, headers={"Accept": "text/html"})
        assert answer.status_code in ({200, 303, 404} if method == "GET" else {404, 405, 200, 303}), path
    assert desk.log == []
    after = repr((desk.rooms, desk.floor.notes, desk.floor.open, desk.logins._sessions, desk.logins._logins))
    assert after == before


def test_a_session_is_no_token_of_the_api_and_a_token_no_session(browser: Browser) -> None:
    browser.sign_in()
    assert browser.get("/api/v1/booths").status_code == 401
    assert browser.get("/api/v1/booths", headers={"Authorization": f"Bearer {browser.secret}"}).status_code == 401


def test_a_form_has_an_end(browser: Browser) -> None:
    browser.sign_in()
    answer = browser.send("/language", language="x" * MAX_FORM_BYTES)
    assert answer.status_code == 413


@pytest.mark.parametrize("back", ["//evil", "http://evil/", "/\\evil", "/%0d%0aSet-Cookie: x", ""])
def test_the_language_leads_back_to_a_page_of_ours(browser: Browser, back: str) -> None:
    browser.sign_in()
    assert browser.send("/language", language="fr", back=back).headers["location"] == "/"
    assert browser.send("/language", language="fr", back="/account").headers["location"] == "/account"
    assert "Mon compte" in browser.see("/account").text


# What an operator does, and where his reach ends


COMMANDS: Final[dict[str, dict[str, str]]] = {
    "unlock": {"key": "a-new-key", "terms": "deposit", "amount": "5,00"},
    "topup": {"key": "another-key", "amount": "1"},
    "note": {"note": " he waits "},
    "move": {"to": "b2"},
    "lock": {"call": "finish"},
    "cut": {},
}


def test_every_command_of_the_board_is_done_in_his_name(browser: Browser, desk: MemoryDesk) -> None:
    browser.sign_in()
    for command, fields in COMMANDS.items():
        answer = browser.send(f"{BOARD}/{command}", SCRIPT, **fields)
        assert (answer.status_code, answer.json()) == (200, {"done": True}), command
    assert browser.send("/board/center/alarms/call-1/acknowledge", SCRIPT).status_code == 200
    assert {author for _, _, author in desk.log} == {"ana"}
    assert {command for command, _, _ in desk.log} == {*COMMANDS}
    assert set(COMMANDS) | {"acknowledge", "pay"} == set(ACTIONS)
    assert desk.floor.notes == {"b1": "he waits"}
    assert desk.floor.open == []


@pytest.mark.parametrize(
    ("command", "fields", "status", "says"),
    [
        ("unlock", {"key": "a-new-key", "terms": "deposit", "amount": "much"}, 422, "not an amount of money"),
        ("unlock", {"key": "a-new-key", "terms": "minutes", "minutes": "0"}, 422, "open, taken or out of use"),
        ("unlock", {"terms": "postpaid"}, 422, "missing or too long"),
        ("topup", {"key": "a-new-key", "amount": "1"}, 404, "no customer"),
        ("note", {"note": "x" * 201}, 422, "missing or too long"),
        ("note", {"note": "a\nb"}, 422, "missing or too long"),
        ("move", {"to": "b2"}, 404, "no customer"),
        ("move", {"to": "nowhere"}, 404, "no such booth"),
    ],
)
def test_what_is_not_done_is_said_in_words(
    browser: Browser, command: str, fields: dict[str, Any], status: int, says: str
) -> None:
    browser.sign_in()
    answer = browser.send(f"{BOARD}/{command}", SCRIPT, **fields)
    assert answer.status_code == status
    assert says in answer.json()["message"]


@pytest.mark.parametrize("path", ["/board/other", "/board/other/events", "/board/other/booths/b1/cut"])
def test_another_shop_is_not_there(browser: Browser, desk: MemoryDesk, path: str) -> None:
    browser.sign_in()
    answer = browser.send(path, SCRIPT) if path.endswith("cut") else browser.see(path)
    assert answer.status_code == 404
    assert desk.log == []


# What is answered


def test_a_page_may_load_and_do_what_is_here_alone(browser: Browser) -> None:
    browser.sign_in()
    for path in ("/board", "/account", "/login", "/nothing", "/docs"):
        headers = browser.see(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store"), path


def test_a_file_is_kept_for_ever_under_the_name_of_its_content(browser: Browser) -> None:
    assets = Assets()
    for name in ("pages.css", "board.js", "icons.svg"):
        answer = browser.get(assets.url(name))
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert re.search(r"board\.[0-9a-f]{12}\.js$", assets.url("board.js"))
    assert assets.url("feed.js").rpartition("/")[2] in browser.get(assets.url("board.js")).text
    assert browser.get("/static/board.js").status_code == 404
    assert browser.get("/static/..%2Fapp.py").status_code == 404


def test_what_a_person_wrote_is_text(browser: Browser, desk: MemoryDesk) -> None:
    browser.sign_in()
    browser.send(f"{BOARD}/unlock", SCRIPT, key="a-new-key")
    browser.send(f"{BOARD}/note", SCRIPT, note="<script>alert(1)</script>")
    page = browser.see("/board").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    answer = browser.sign_in('"><script>alert(1)</script>', "x")
    assert "<script>alert" not in answer.text
