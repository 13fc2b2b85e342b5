"""Photograph the pages for the documents: a demo with calls, in light and dark, small, and from the right.

    .venv/bin/python -m tools.draw_pages                   docs/pictures/desk-*.png
    .venv/bin/python -m tools.draw_pages till bill-phone   those alone whose names begin so

It needs sipp and chromium, and takes some minutes. Each story goes through the pages of one part of the desk, as a
person would, and keeps what there is to see on the way.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from sipshop.console.pages import totp
from sipshop.console.pages.throttle import FREE_OF_PAIR
from sipshop.greeting import DEMO_PASSWORD
from tests.wire.harness import HOST, SIPSHOP, Program, Server, Sipp, free_port, until

ROOT: Final = Path(__file__).parent.parent
PICTURES: Final = ROOT / "docs/pictures"
CHROMIUM: Final = "/usr/bin/chromium"
FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")

LAPTOP: Final[dict[str, Any]] = {"viewport": {"width": 1366, "height": 700}}
PHONE: Final[dict[str, Any]] = {"viewport": {"width": 360, "height": 740}}
SECOND_WINDOW: Final[dict[str, Any]] = {"viewport": {"width": 1024, "height": 600}}
#: A4 at 96 dots an inch, without its margins.
SHEET: Final[dict[str, Any]] = {"viewport": {"width": 688, "height": 1016}}
DARK: Final[dict[str, Any]] = {"color_scheme": "dark"}

#: Who calls whom while the pictures are taken, and for how long: longer than that takes.
CALLS: Final = {"booth1": "0022320223344", "booth3": "00442071234567", "booth4": "0015145551234", "booth5": "112"}
CALL_MS: Final = 900_000
#: How long he talks who pays.
TALK_MS: Final = 4_000
COLOURS: Final = 128
PATIENCE_MS: Final = 60_000
#: Longer than a key is held back after a change.
HELD_BACK_MS: Final = 600

#: What the world of the demo leaves out and pictures should have: who sells, a tax, a shop where cash needs a shift.
TOLD: Final = {
    '    opening: "100.00"  ': '    legal: {name: Corner Calls GmbH, address: "Lange Reihe 12\\nHamburg", tax_id: DE1}',
    '    country_code: "49"            # put': '    tax: {percent: "19", mode: included}',
    "  - name: Station\n": "    desk: {till: required}",
}


@dataclass
class Studio:
    """A browser before a server; `wanted` are the beginnings of the names of pictures to be taken, all if empty."""

    browser: Browser
    server: Server
    folder: Path
    wanted: tuple[str, ...]
    signed_in: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def page(self, path: str, language: str = "", who: str = "Ana", **look: Any) -> Iterator[Page]:
        """A page as somebody sees it, or nobody; without a language in the one that he had last."""
        if who and who not in self.signed_in:
            with self._context({}) as context:
                page = context.new_page()
                sign_in(page, who)
                page.wait_for_url("**/board")
                self.signed_in[who] = context.storage_state()
        with self._context(LAPTOP | look, storage_state=self.signed_in.get(who)) as context:
            page = context.new_page()
            if language:
                page.goto("/account" if who else "/login")
                page.get_by_role("button", name=language).click()
            page.goto(path)
            if page.locator("#link[data-link]").count():
                page.locator('#link[data-link="live"]').wait_for()
            yield page

    @contextmanager
    def _context(self, look: dict[str, Any], **more: Any) -> Iterator[Any]:
        address = f"http://{HOST}:{self.server.http}"
        context = self.browser.new_context(base_url=address, locale="en-GB", **look, **more)
        context.set_default_timeout(PATIENCE_MS)
        yield context
        context.close()

    def keep(self, page: Page, name: str, *, whole: bool = False) -> None:
        """Write a picture, in as few bytes as it can do with; `whole` has what is below the window too."""
        if self.wanted and not name.startswith(self.wanted):
            return
        picture = Image.open(io.BytesIO(page.screenshot(full_page=whole))).convert("RGB")
        picture.quantize(COLOURS).save(PICTURES / f"desk-{name}.png", optimize=True)
        print(f"docs/pictures/desk-{name}.png", flush=True)

    def sell(self, who: str, good: str, method: str, amount: str) -> None:
        """Sell something to somebody who makes no call."""
        for path, body in (("unlock", {}), ("bill/goods", {"name": good}), ("lock", {})):
            self._command(who, path, body)
        version = self.server.look("/booths/booth6/bill")["version"]
        self._command(who, "pay", {"version": version, "tenders": [{"method": method, "amount": amount}]})

    def _command(self, who: str, path: str, body: object) -> None:
        key = f"picture-{time.monotonic_ns()}"
        answer = self.server.api("POST", f"/booths/booth6/{path}", body, tenant=who, key=key)
        assert answer.status_code == 200, answer.text


def main() -> None:
    """Take every picture, or those whose names begin with one of the arguments."""
    wanted = tuple(sys.argv[1:])

    def meets(names: tuple[str, ...]) -> bool:
        return not wanted or any(name.startswith(each) or each.startswith(name) for name in names for each in wanted)

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        for shop, told in ((busy_shop, STORIES), (full_shop, [(("sixty",), sixty)])):
            chosen = [story for names, story in told if meets(names)]
            if chosen:
                with shop(Path(folder) / shop.__name__) as server:
                    studio = Studio(browser, server, Path(folder), wanted)
                    for story in chosen:
                        story(studio)
        browser.close()


def sign_in(page: Page, who: str, password: str = DEMO_PASSWORD) -> None:
    """Fill in the login and send it."""
    page.goto("/login")
    page.locator("#f-name").fill(who)
    page.locator("#f-password").fill(password)
    page.keyboard.press("Enter")


# Pages that need nothing but to be looked at: name, language, who, where, and what the browser is like.

SHOTS: Final[list[tuple[str, str, str, str, dict[str, Any]]]] = [
    ("login", "English", "", "/login", LAPTOP),
    ("login-phone", "Français", "", "/login", PHONE),
    ("login-arabic-dark", "العربية", "", "/login", LAPTOP | DARK),
    ("shops", "English", "Paul", "/board", LAPTOP),
    ("shops-phone", "Português", "Paul", "/board", PHONE | DARK),
    ("account", "English", "Ana", "/account", LAPTOP),
    ("account-dark", "Polski", "Ana", "/account", LAPTOP | DARK),
    ("account-arabic-phone", "العربية", "Ana", "/account", PHONE),
    ("rates", "English", "Ana", "/rates/Corner?q=bamako", LAPTOP),
    ("rates-many", "Italiano", "Ana", "/rates/Corner?q=germany", LAPTOP | DARK),
    ("rates-number", "Español", "Ana", "/rates/Corner?q=00491512345678&money=2", LAPTOP),
    ("rates-none", "Polski", "Ana", "/rates/Corner?q=atlantyda", PHONE | DARK),
    ("rates-phone", "العربية", "Ana", "/rates/Corner?q=مالي", PHONE),
    ("rates-shops", "English", "Carla", "/rates", LAPTOP),
    ("poster", "Français", "Ana", "/rates/Corner/poster", LAPTOP),
    ("poster-phone", "Português", "Ana", "/rates/Corner/poster", PHONE),
    ("receipts-none", "Español", "Ben", "/receipts", PHONE),
    ("till-required", "Français", "Ben", "/till", LAPTOP),
    ("refusal", "English", "Ana", "/board/Nowhere", LAPTOP),
    ("refusal-phone", "Italiano", "Ana", "/nothing", PHONE | DARK),
    ("refusal-arabic", "العربية", "Ana", "/till/Corner/shifts/9", LAPTOP),
]


def shots(studio: Studio) -> None:
    """Each page of the list."""
    for name, language, who, path, look in SHOTS:
        if not studio.wanted or name.startswith(studio.wanted):
            with studio.page(path, language, who, **look) as page:
                studio.keep(page, name)
    with studio.page("/account", "English") as page:  # a form of a page that is too old
        page.locator('main [name="csrf"]').first.evaluate("field => { field.value = 'old'; }")
        for name in ("current", "new", "again"):
            page.locator(f"#f-{name}").fill(DEMO_PASSWORD)
        page.keyboard.press("Enter")
        page.get_by_role("alert").wait_for()
        studio.keep(page, "refusal-old")


# The stories. Each leaves the shop so that those after it find what they need.

BILL: Final = "/board/Corner/booths/booth2/bill"


def board(studio: Studio) -> None:
    """The board, and what opens on it."""
    for name, language, look in (
        ("board", "English", LAPTOP),
        ("board-dark", "English", LAPTOP | DARK),
        ("board-phone", "Español", PHONE),
        ("board-arabic", "العربية", LAPTOP),
        ("board-arabic-phone", "العربية", PHONE | DARK),
    ):
        with studio.page("/board", language, **look) as page:
            page.keyboard.press("1")
            page.locator("#panel-title").wait_for()
            studio.keep(page, name)
    with studio.page("/board", "English") as page:
        page.keyboard.press("6")
        page.keyboard.press("u")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Tab")
        page.keyboard.type("5")
        studio.keep(page, "board-unlock")
        page.keyboard.press("Escape")
        page.locator("#help").click()
        studio.keep(page, "board-keys")
        page.keyboard.press("Escape")
        page.keyboard.press("3")
        page.context.set_offline(True)
        page.locator("#lost").wait_for()
        studio.keep(page, "board-lost")


def screens(studio: Studio) -> None:
    """Screens for customers: making them, what they show, and one that is switched off."""
    with studio.page("/screens", "English") as page:
        page.locator("#f-label").fill("window, left")
        page.locator("#f-booth").select_option("booth1")
        page.locator("#f-language").select_option("fr")
        studio.keep(page, "screens")
        page.locator("#new .main").click()
        one = page.locator("#link code").inner_text()
        page.locator("#f-label").fill("above the desk")
        page.locator("#f-language").select_option("ar")
        page.locator("#new .main").click()
        page.locator("tbody tr").nth(1).wait_for()
        every = page.locator("#link code").inner_text()
        studio.keep(page, "screens-made")
        for name, path, look in (
            ("screen", one, SECOND_WINDOW),
            ("screen-dark", one, SECOND_WINDOW | DARK),
            ("screen-phone", one, PHONE),
            ("screen-all", every, LAPTOP),
            ("screen-all-phone", every, PHONE | DARK),
        ):
            with studio.page(path, who="", **look) as window:
                window.locator('[data-booth="booth1"] [data-slot="time"]').get_by_text(":").wait_for()
                studio.keep(window, name)
        with studio.page(one, who="", **SECOND_WINDOW) as window:
            window.locator('[data-slot="time"]').get_by_text(":").wait_for()
            page.locator("tbody button").first.click()
            window.locator("#off").wait_for()
            studio.keep(window, "screen-off")
    with studio.page("/screens", "العربية", **PHONE) as page:
        studio.keep(page, "screens-arabic-phone")


def second_factor(studio: Studio) -> None:
    """A second factor is set up, and somebody comes in by it, or does not."""
    with studio.page("/account", "English", "Cleo") as page:
        page.locator("#factor button").click()
        page.locator("#factor .secret").wait_for()
        secret = page.locator('#factor [name="secret"]').input_value().replace(" ", "")
        page.locator("#f-code").fill(totp.code(secret, time.time_ns() // 10**6 // totp.STEP_MS))
        page.locator("#f-on").fill(DEMO_PASSWORD)
        page.locator("#factor").scroll_into_view_if_needed()
        studio.keep(page, "factor", whole=True)
        page.locator("#factor .main").click()
        page.locator("#f-off").wait_for()
        studio.keep(page, "factor-on")
        page.locator("#f-current").fill("not my password")
        for name in ("new", "again"):
            page.locator(f"#f-{name}").fill(DEMO_PASSWORD)
        page.locator("#password .main").click()
        page.get_by_role("alert").wait_for()
        studio.keep(page, "account-refused")
    with studio.page("/login", "English", "") as page:
        sign_in(page, "Cleo")
        page.get_by_role("alert").wait_for()
        studio.keep(page, "login-refused")
    with studio.page("/login", "Español", "", **PHONE | DARK) as page:
        for _ in range(FREE_OF_PAIR + 1):
            sign_in(page, "Somebody")
            page.get_by_role("alert").wait_for()
        studio.keep(page, "login-wait")


def check_out(studio: Studio) -> None:
    """The bill of a customer who had a coffee, as it is paid, and what comes then."""
    with studio.page(BILL, "العربية", **PHONE | DARK) as page:
        studio.keep(page, "bill-arabic-phone")
    with studio.page("/board/Corner/booths/booth3/bill", "English") as page:
        page.locator("#live").wait_for()
        studio.keep(page, "bill-live")
    with studio.page("/board/Corner/booths/booth1/bill", "English") as page:
        page.locator("#cut").click()
        page.locator("#lines > li").first.wait_for()
        page.locator("#take:not(:disabled)").wait_for()
        studio.keep(page, "bill-deposit")
    studio.server.unlock("booth7")
    with studio.page("/board/Station/booths/booth7/bill", "English", "Ben") as page:
        call(studio.server, studio.folder, "booth7", "0022320223344", pause_ms=TALK_MS).passed()
        page.locator("#d-news").wait_for()
        studio.keep(page, "bill-news")
    agent = [*SIPSHOP, "print-agent", "--server", f"http://{HOST}:{studio.server.http}", "--shop", "Corner"]
    agent += ["--token-file", str(studio.server.data / "token"), "--printer", f"file:{studio.folder / 'paper'}"]
    with studio.page(BILL, "English") as page:
        page.locator("[data-good]").first.click()
        page.locator("#lines > li").nth(1).wait_for()
        page.keyboard.press("d")
        page.keyboard.type("10")
        page.keyboard.press("Enter")
        page.locator("#lines > li").nth(2).wait_for()
        page.keyboard.type("5")
        page.locator('#outcome[data-kind="change"]').wait_for()
        studio.keep(page, "bill")
        page.keyboard.press("k")
        page.keyboard.type("1")
        page.locator("#t-card").wait_for()
        page.locator('#outcome strong:has-text("4.25")').wait_for()
        studio.keep(page, "bill-split")
        page.keyboard.press("k")
        page.locator("#t-language").select_option("fr")
        page.wait_for_timeout(HELD_BACK_MS)
        page.locator("#take").click()
        page.wait_for_url("**/receipts/**")
        studio.keep(page, "paid-no-printer")
        with Program(agent, studio.folder / "agent.log") as printer:
            printer.saw("Printing the receipts of Corner")
            page.reload()
            page.locator("#print").wait_for()
            studio.keep(page, "paid")
            with studio.page(page.url, "العربية", **PHONE | DARK) as small:
                studio.keep(small, "paid-arabic-phone")
    look_at_receipts(studio)


def look_at_receipts(studio: Studio) -> None:
    """The receipts of the day, one of them, and what is printed of it."""
    with studio.page("/receipts", "English") as page:
        studio.keep(page, "receipts")
        page.locator("tbody a").first.click()
        page.locator("#receipt").wait_for()
        studio.keep(page, "receipt")
        receipt = page.url.partition("?")[0]
    with studio.page("/receipts", "العربية", **PHONE) as page:
        studio.keep(page, "receipts-arabic-phone")
    with studio.page(f"{receipt}/paper", "English") as page:
        studio.keep(page, "paper")
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 302, "height": 600})  # a roll of 80 mm
        studio.keep(page, "paper-printed", whole=True)
    with studio.page(f"{receipt}/paper?language=ar", **PHONE) as page:
        studio.keep(page, "paper-arabic-phone", whole=True)
    with studio.page("/rates/Corner/poster?language=fr", "English", **SHEET) as page:
        page.emulate_media(media="print")
        studio.keep(page, "poster-printed")
        page.goto("/rates/Corner/poster?language=ar")
        studio.keep(page, "poster-printed-arabic")


def till(studio: Studio) -> None:
    """A shift of Ana's from its float to its Z report, and what the owner sees of it."""
    with studio.page("/till", "English") as page:
        studio.keep(page, "till-open")
        page.locator("#f-opening").fill("50,00")
        page.keyboard.press("Enter")
        page.locator("#f-amount").wait_for()
        by_hand(page, "20", "change from the bank", "button:not([formaction])")
        by_hand(page, "12.50", "parcel for the owner", "[formaction]")
        studio.keep(page, "till")
        studio.sell("Ana", "Coffee", "cash", "2.00")
        studio.sell("Ana", "Phone card 10", "card", "10.00")
        studio.sell("Carla", "Water 0.5 l", "cash", "2.00")  # outside all shifts
        by_hand(page, "a lot", "to the safe", "[formaction]")
        page.get_by_role("alert").wait_for()
        studio.keep(page, "till-refused")
        page.goto("/till/Corner/shifts/1")
        studio.keep(page, "till-x", whole=True)
        page.goto("/till/Corner/shifts/1/count")
        for piece, number in {50_000_000: 1, 5_000_000: 1, 2_000_000: 2, 100_000: 2}.items():
            page.locator(f"#f-p-{piece}").fill(str(number))
        studio.keep(page, "till-count", whole=True)
        with studio.page("/till/Corner/shifts/1/count", "العربية", **PHONE | DARK) as small:
            studio.keep(small, "till-count-arabic-phone", whole=True)
            small.goto("/till")
            studio.keep(small, "till-arabic-phone", whole=True)
            small.get_by_role("button", name="English").click()
        with studio.page("/till/Corner", "English", "Carla") as above:
            studio.keep(above, "till-owner", whole=True)
        page.locator('[name="then"][value="close"]').click()
        page.locator("#total").wait_for()
        studio.keep(page, "till-sure", whole=True)
        page.locator('[name="then"][value="close"]').click()
        page.wait_for_url("**/z/1")
        studio.keep(page, "till-z", whole=True)
        page.emulate_media(media="print")
        page.set_viewport_size(SHEET["viewport"])
        studio.keep(page, "till-z-printed", whole=True)
    for name, language, path, look in (
        ("till-variances", "English", "/till/Corner", LAPTOP),
        ("till-variances-phone", "Français", "/till/Corner", PHONE | DARK),
        ("till-z-phone", "Polski", "/till/Corner/z/1", PHONE),
        ("till-z-arabic", "العربية", "/till/Corner/z/1", LAPTOP | DARK),
        ("till-shops", "English", "/till", LAPTOP),
    ):
        with studio.page(path, language, "Carla", **look) as page:
            studio.keep(page, name, whole=True)


def by_hand(page: Page, amount: str, reason: str, button: str) -> None:
    """Put cash in or take it out."""
    page.locator("#f-amount").fill(amount)
    page.locator("#f-reason").fill(reason)
    page.locator(f"#by-hand {button}").click()
    page.locator(".notice").wait_for()


def sixty(studio: Studio) -> None:
    """A shop with sixty booths."""
    with studio.page("/board", "English") as page:
        page.keyboard.press("1")
        page.locator("#panel-title").wait_for()
        studio.keep(page, "sixty")


#: The beginnings of the names of each story's pictures, and the story; in the order in which they can be told.
STORIES: Final = [
    (("board",), board),
    (("screen",), screens),
    ((*(name for name, *_ in SHOTS), "refusal-old"), shots),
    (("factor", "account-refused", "login-refused", "login-wait"), second_factor),
    (("bill", "paid", "receipt", "paper", "poster-printed"), check_out),
    (("till",), till),
]


# The shops.


@contextmanager
def busy_shop(folder: Path) -> Iterator[Server]:
    """The demo with customers: talking, waiting, to pay, and one who calls for help."""
    carrier = free_port()
    world = (ROOT / "conf/demo.yaml").read_text(encoding="utf-8").replace("port: 5070", f"port: {carrier}")
    for place, told in TOLD.items():
        assert world.count(place) == 1, place
        is_head = place.startswith("  - ")
        world = world.replace(place, f"{place}{told}\n" if is_head else f"{told}\n{place}")
    with Server(folder, world, carrier_port=carrier) as server, ExitStack() as calls:
        server.ready()
        server.saw("Pages:")
        for who in ("Ana", "Carla"):
            token = server.api("POST", "/tokens", {"label": "the pictures", "operator": who}).json()["token"]
            (server.data / f"token.{who}").write_text(token)
        for booth, terms in {
            "booth1": {"deposit": "5.00"},
            "booth3": {"minutes": 20},
            "booth2": {},
            "booth4": {},
        }.items():
            assert server.api("POST", f"/booths/{booth}/unlock", terms, tenant="Ana").status_code == 200
        server.command("/booths/booth2/note", {"note": "waits for his brother"})
        calls.enter_context(call(server, folder, "booth2", "00493012345678", pause_ms=TALK_MS)).passed()
        until(lambda: server.cdrs("booth2"), "a bill")
        server.command("/booths/booth2/lock")
        for booth, number in CALLS.items():
            calls.enter_context(call(server, folder, booth, number))
        until(lambda: len(server.look("/calls")["calls"]) == len(CALLS), "the calls")
        yield server


@contextmanager
def full_shop(folder: Path) -> Iterator[Server]:
    """A shop with sixty booths, some of them open."""
    world = (ROOT / "conf/demo.yaml").read_text(encoding="utf-8")
    booths = '      - {name: booth1, password: "demo-booth1"'
    many = f'      - {{name: "p01..p54", password: "pw01..pw54"}}\n{booths}'
    with Server(folder, world.replace(booths, many, 1)) as server:
        server.ready()
        server.saw("Pages:")
        server.unlock(*(f"p{number:02d}" for number in range(1, 55, 3)))
        for number in range(1, 55, 9):
            server.command(f"/booths/p{number:02d}/lock")
        yield server


def call(server: Server, folder: Path, booth: str, number: str, pause_ms: int = CALL_MS) -> Sipp:
    """A call of a booth of the demo, by a phone that registers first."""
    return Sipp(
        "register_and_call",
        folder / "calls",
        to=server.sip,
        booth=booth,
        password=f"demo-{booth}",
        number=number,
        pause_ms=pause_ms,
        within_s=CALL_MS // 1000,
    )


if __name__ == "__main__":
    main()
