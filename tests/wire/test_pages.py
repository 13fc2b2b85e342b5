"""The pages in a browser, against a real server with real calls: what an operator sees and does in a day.

Whatever a page says on its console as an error fails the test, and with it every breach of the content policy; axe-core
looks at each page.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from sipshop.greeting import DEMO_PASSWORD

from .harness import HOST, Server, Sipp, World, free_port, password, until

pytestmark = pytest.mark.wire

CHROMIUM: Final = "/usr/bin/chromium"
FLAGS: Final = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    "--disable-sync",
)
BOOTHS: Final = ("one", "two", "three", "four", "five", "six")
OPERATORS: Final = """\
operators:
  - {name: ana, shop: Corner}
  - {name: otto, role: owner, party: Good Payer}
  - {name: paula, role: provider, party: Wire Telecom}
"""
#: GB is 0.01 a second.
LONDON: Final = "00442071234567"
#: What happens at the switch is on the board within this.
LATEST_MS: Final = 300
#: What axe may not find.
GRAVE: Final = {"serious", "critical"}


@dataclass
class Pages:
    """A browser, and the server that it looks at; `errors` is what its consoles said."""

    browser: Browser
    server: Server
    folder: Path
    world: str
    errors: list[str] = field(default_factory=list)

    @contextmanager
    def page(self, who: str = "", *, at: str = "/board", **more: Any) -> Iterator[Page]:
        """A page in a browser of its own, signed in as somebody."""
        context = self.browser.new_context(base_url=f"http://{HOST}:{self.server.http}", locale="en-GB", **more)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        try:
            page.goto("/")
            if who:
                page.get_by_label("Name").fill(who)
                page.get_by_label("Password").fill(DEMO_PASSWORD)
                page.keyboard.press("Enter")
                page.wait_for_url("**/board")
                if at != "/board":
                    page.goto(at)
            yield page
        finally:
            context.close()
        assert self.errors == []

    def refused(self, page: Page, status: int) -> None:
        """Wait until the page's console says that something was refused, as it should be, and forget that."""
        told = f"status of {status}"
        if not any(told in error for error in self.errors):
            page.wait_for_event("console", lambda message: told in message.text)
        self.errors[:] = [error for error in self.errors if told not in error]

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def call(self, booth: str, number: str = LONDON, pause_ms: int = 20_000, scenario: str = "call") -> Sipp:
        return Sipp(
            scenario,
            self.folder / "calls",
            to=self.server.sip,
            booth=booth,
            password=password(booth),
            number=number,
            pause_ms=pause_ms,
        )


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    folder, carrier = tmp_path_factory.mktemp("pages"), free_port()
    world = World(
        booths=dict.fromkeys(BOOTHS, ""),
        other_booths=("elsewhere",),
        trunks={"carrier": f"port: {carrier}, emergency: true"},
        routes={"": ["carrier"]},
    )
    text = world.yaml() + OPERATORS
    with (
        Server(folder, text, carrier_port=carrier) as server,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS)) as browser,
    ):
        server.ready()
        server.saw("Pages:")
        yield Pages(browser, server, folder, text)


def card(page: Page, booth: str) -> Locator:
    return page.locator(f'.booth[data-booth="{booth}"]')


def fact(page: Page, name: str) -> Locator:
    return page.locator(f'[data-panel="{name}"]')


def live(page: Page) -> None:
    expect(page.locator("#link")).to_have_attribute("data-link", "live")


def watch(page: Page, booth: str) -> None:
    """Write down when the card of a booth gets another state: by the clock that the server reads too."""
    page.evaluate(
        """(booth) => {
          const card = document.querySelector(`.booth[data-booth="${booth}"]`);
          window.seen = {};
          new MutationObserver(() => { window.seen[card.dataset.state] ??= Date.now(); })
            .observe(card, { attributes: true, attributeFilter: ["data-state"] });
        }""",
        booth,
    )


def cents(amount: str) -> int:
    return int(re.sub(r"\D", "", amount))


def epoch_ms(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp() * 1000


def grave(page: Page) -> list[str]:
    """What axe-core finds serious on a page."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {[node['target'] for node in each['nodes']]}" for each in found if each["impact"] in GRAVE]


@pytest.mark.parametrize(
    ("who", "sees"),
    [
        pytest.param("ana", {"Corner"}, id="an operator sees the board of his shop"),
        pytest.param("otto", {"Corner"}, id="an owner too, of the one that he has"),
        pytest.param("paula", {"Corner", "Other"}, id="the provider sees all shops"),
    ],
)
def test_who_comes_in_sees_what_is_his(pages: Pages, who: str, sees: set[str]) -> None:
    with pages.page(who) as page:
        if len(sees) == 1:
            assert page.locator("h1").inner_text() in sees
            expect(page.locator(".booth")).to_have_count(len(BOOTHS))
        else:
            assert set(page.locator("tbody th").all_inner_texts()) == sees
        assert grave(page) == []
        assert page.goto("/board/Other").status == (200 if "Other" in sees else 404)  # type: ignore[union-attr] # an answer
        if "Other" not in sees:
            pages.refused(page, 404)
        page.context.clear_cookies()
        page.goto("/board")
        assert page.url.endswith("/login")


def test_a_customer_is_served_by_the_keys_alone(pages: Pages) -> None:
    with pages.page("ana") as page:
        live(page)
        page.keyboard.press("1")
        expect(page.locator("#panel-title")).to_have_text("one")
        page.keyboard.press("u")
        page.keyboard.press("ArrowDown")  # a deposit
        page.keyboard.press("Tab")
        page.keyboard.type("0,06")
        page.keyboard.press("Enter")
        expect(card(page, "one")).to_have_attribute("data-state", "open")
        expect(fact(page, "terms")).to_have_text("Deposit €0.06")
        watch(page, "one")
        with pages.call("one"):
            expect(card(page, "one")).to_have_attribute("data-state", "talking")
            answered_at = pages.server.look("/calls")["calls"][0]["answered_at"]
            assert page.evaluate("window.seen.talking") - epoch_ms(answered_at) < LATEST_MS
            expect(fact(page, "number")).to_have_text(LONDON)
            expect(fact(page, "country")).to_have_text("United Kingdom")
            expect(fact(page, "cost")).to_have_text("€0.02")  # the figure runs, a cent a second
            expect(fact(page, "cost")).to_have_text(re.compile("€0.0[3-6]"))
            assert sum(cents(fact(page, name).inner_text()) for name in ("cost", "left")) in {5, 6, 7}
            page.keyboard.press("t")
            page.keyboard.type("5")
            page.keyboard.press("Enter")
            expect(fact(page, "terms")).to_have_text("Deposit €5.06")
            expect(fact(page, "time")).to_have_text("0:08", timeout=9_000)  # beyond what the first deposit paid for
            page.keyboard.press("c")
            page.keyboard.press("Enter")
            expect(card(page, "one")).to_have_attribute("data-state", "open")
        bill = until(lambda: pages.server.look("/booths/one/bill")["total"].strip("0."), "its charge")
        expect(fact(page, "total")).to_have_text(f"€0.{bill:0>2}")
        page.keyboard.press("n")
        page.keyboard.type("waits <b>outside</b>")
        page.keyboard.press("Enter")
        expect(fact(page, "note")).to_have_text("waits <b>outside</b>")
        page.keyboard.press("m")
        page.keyboard.press("Enter")  # the first free one
        expect(card(page, "two")).to_have_attribute("data-state", "open")
        expect(card(page, "one")).to_have_attribute("data-state", "locked")
        assert pages.server.look("/booths/two/bill")["total"].strip("0.") == bill
        page.keyboard.press("ArrowRight")
        page.keyboard.press("l")
        page.keyboard.press("Enter")
        expect(card(page, "two")).to_have_attribute("data-state", "unpaid")
        assert pages.server.booth("two")["state"] == "locked"
        assert grave(page) == []


def test_a_session_with_a_call_is_not_moved(pages: Pages) -> None:
    pages.server.unlock("three")
    with pages.call("three"):
        until(lambda: pages.server.booth("three")["seconds"] is not None, "the call")
        refused = pages.server.api("POST", "/booths/three/move", {"to": "four"})
        assert (refused.status_code, refused.json()["code"]) == (409, "call_alive")
        pages.server.command("/booths/three/cut")
    moved = until(
        lambda: done if (done := pages.server.cli("session", "move", "three", "four")).returncode == 0 else None, "it"
    )
    assert moved.stdout.startswith("four: open")


def test_an_emergency_call_is_an_alarm_until_somebody_has_seen_to_it(pages: Pages) -> None:
    with pages.page("ana") as page:
        live(page)
        with pages.call("five", "112", pause_ms=100):
            shown = page.locator("#alarms .notice")
            expect(shown).to_contain_text("five → 112")
            page.reload()
            expect(shown).to_contain_text("five")
        page.keyboard.press("a")
        expect(shown).to_have_count(0)
    assert pages.server.look("/alarms")["alarms"] == []


@pytest.mark.parametrize("place", ["/login", "/account", "/board"])
@pytest.mark.parametrize(
    ("language", "direction", "width"), [("Français", "ltr", 1280), ("العربية", "rtl", 360)], ids=["fr", "ar"]
)
def test_a_page_in_other_languages(pages: Pages, place: str, language: str, direction: str, width: int) -> None:
    scheme = "dark" if direction == "rtl" else "light"
    who = "" if place == "/login" else "ana"
    with pages.page(who, viewport={"width": width, "height": 740}, color_scheme=scheme) as page:
        page.goto(place)
        page.get_by_role("button", name=language).click()
        expect(page.locator("html")).to_have_attribute("dir", direction)
        english = re.compile(r"\b(the|Sign|Password|Locked|Board|account)\b")
        assert not english.search(page.locator("main").inner_text())
        assert grave(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if place == "/board":
            page.get_by_role("button", name="English").click()


def weighed(page: Page) -> dict[str, int]:
    """The bytes of what a page loads from now on by address, before any compression; no stream of events."""
    sizes: dict[str, int] = {}
    urls: dict[str, str] = {}

    def sent(event: dict[str, Any]) -> None:
        if event.get("type") != "EventSource":
            urls[event["requestId"]] = event["request"]["url"]

    def received(event: dict[str, Any]) -> None:
        if (url := urls.get(event["requestId"])) is not None:
            sizes[url] = sizes.get(url, 0) + event["dataLength"]

    network = page.context.new_cdp_session(page)
    network.on("Network.requestWillBeSent", sent)
    network.on("Network.dataReceived", received)
    network.send("Network.enable")
    return sizes


def test_no_page_is_heavy(pages: Pages) -> None:
    with pages.page("ana") as page:
        sizes = weighed(page)
        began_s = time.perf_counter()
        page.reload()
        live(page)
        assert time.perf_counter() - began_s < 5
    assert 10_000 < sum(sizes.values()) < 150_000, sizes
    assert all(url.startswith(f"http://{HOST}:{pages.server.http}/") for url in sizes)


def test_a_lost_connection_is_shown_and_heals_by_itself(pages: Pages) -> None:
    """The last one: it leaves no server."""
    with pages.page("ana") as page:
        live(page)
        old = pages.server
        old.stop()
        expect(page.locator("#lost")).to_be_visible(timeout=2_000)
        with Server(pages.folder, pages.world, sip_port=old.sip, http_port=old.http) as again:
            again.ready()
            again.unlock("six")
            live(page)
            expect(page.locator("#lost")).to_be_hidden()
            expect(card(page, "six")).to_have_attribute("data-state", "open")
            assert page.evaluate("performance.getEntriesByType('navigation').length") == 1
            page.close()
            pages.errors.clear()  # that nobody answered is on the console, as it should be
