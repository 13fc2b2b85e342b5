"""Photograph the pages for the documents: a demo with calls, in light and dark, small, and from the right.

    .venv/bin/python -m tools.draw_pages      docs/pictures/desk-*.png

It needs sipp and chromium, and takes a minute.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from sipshop.greeting import DEMO_PASSWORD
from tests.wire.harness import HOST, Server, Sipp, free_port, until

ROOT: Final = Path(__file__).parent.parent
PICTURES: Final = ROOT / "docs/pictures"
CHROMIUM: Final = "/usr/bin/chromium"
FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")

LAPTOP: Final = {"width": 1366, "height": 700}
PHONE: Final = {"width": 360, "height": 740}
#: Who calls whom while the pictures are taken.
CALLS: Final = {"booth1": "0022320223344", "booth3": "00442071234567", "booth4": "0015145551234", "booth5": "112"}
COLOURS: Final = 128


def main() -> None:
    """Take every picture."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        with busy_shop(Path(folder)) as server, browser:
            for name, language, who, path, more in SHOTS:
                with page_of(browser, server, language, who, path, **more) as page:
                    keep(page, name)
            check_out(browser, server)
        with (
            full_shop(Path(folder) / "full") as server,
            page_of(
                playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS)),
                server,
                "English",
                "Ana",
                "/board",
                viewport=LAPTOP,
            ) as page,
        ):
            keep(page, "desk-sixty")


#: Name, language, who, where, and what the browser is like.
SHOTS: Final[list[tuple[str, str, str, str, dict[str, Any]]]] = [
    ("desk-login", "English", "", "/login", {"viewport": LAPTOP}),
    ("desk-board", "English", "Ana", "/board", {"viewport": LAPTOP}),
    ("desk-board-dark", "English", "Ana", "/board", {"viewport": LAPTOP, "color_scheme": "dark"}),
    ("desk-board-phone", "Español", "Ana", "/board", {"viewport": PHONE}),
    ("desk-board-arabic", "العربية", "Ana", "/board", {"viewport": LAPTOP}),
    ("desk-board-arabic-phone", "العربية", "Ana", "/board", {"viewport": PHONE, "color_scheme": "dark"}),
    ("desk-login-phone", "Français", "", "/login", {"viewport": PHONE}),
    ("desk-account", "English", "Ana", "/account", {"viewport": LAPTOP}),
    ("desk-account-arabic-phone", "العربية", "Ana", "/account", {"viewport": PHONE}),
    ("desk-account-dark", "Polski", "Ana", "/account", {"viewport": LAPTOP, "color_scheme": "dark"}),
    ("desk-shops", "English", "Paul", "/board", {"viewport": LAPTOP}),
    ("desk-shops-phone", "Português", "Paul", "/board", {"viewport": PHONE, "color_scheme": "dark"}),
    ("desk-rates", "English", "Ana", "/rates/Corner?q=germany", {"viewport": LAPTOP}),
    ("desk-rates-phone", "العربية", "Ana", "/rates/Corner?q=مالي", {"viewport": PHONE}),
    ("desk-poster", "Français", "Ana", "/rates/Corner/poster", {"viewport": LAPTOP}),
    ("desk-refusal", "Italiano", "Ana", "/nothing", {"viewport": PHONE}),
]


BILL: Final = "/board/Corner/booths/booth2/bill"


def check_out(browser: Browser, server: Server) -> None:
    """The bill of a customer who had a coffee, as it is paid, and what comes then."""
    with page_of(browser, server, "العربية", "Ana", BILL, viewport=PHONE, color_scheme="dark") as page:
        keep(page, "desk-bill-arabic-phone")
    with page_of(browser, server, "English", "Ana", BILL, viewport=LAPTOP) as page:
        page.locator('#link[data-link="live"]').wait_for()
        page.locator("[data-good]").first.click()
        page.locator("#lines > li").nth(1).wait_for()
        page.keyboard.press("d")
        page.keyboard.type("10")
        page.keyboard.press("Enter")
        page.locator("#lines > li").nth(2).wait_for()
        page.keyboard.type("5")
        page.locator('#outcome[data-kind="change"]').wait_for()
        keep(page, "desk-bill")
        page.wait_for_timeout(600)  # longer than a key is held back after a change
        page.keyboard.press("Enter")
        page.wait_for_url("**/receipts/**")
        keep(page, "desk-paid")
        page.goto("/receipts")
        keep(page, "desk-receipts")


@contextmanager
def busy_shop(folder: Path) -> Iterator[Server]:
    """The demo with customers: talking, waiting, to pay, and one who calls for help."""
    carrier = free_port()
    world = (ROOT / "conf/demo.yaml").read_text(encoding="utf-8").replace("port: 5070", f"port: {carrier}")
    with Server(folder, world, carrier_port=carrier) as server, ExitStack() as calls:
        server.ready()
        server.saw("Pages:")
        ana = server.api("POST", "/tokens", {"label": "the pictures", "operator": "Ana"}).json()["token"]
        (server.data / "token.ana").write_text(ana)
        for booth, terms in {
            "booth1": {"deposit": "5.00"},
            "booth3": {"minutes": 20},
            "booth2": {},
            "booth4": {},
        }.items():
            assert server.api("POST", f"/booths/{booth}/unlock", terms, tenant="ana").status_code == 200
        server.command("/booths/booth2/note", {"note": "waits for his brother"})
        calls.enter_context(call(server, folder, "booth2", "00493012345678", pause_ms=100)).passed()
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


def call(server: Server, folder: Path, booth: str, number: str, pause_ms: int = 90_000) -> Sipp:
    """A call of a booth of the demo."""
    secret = f"demo-{booth}"
    return Sipp(
        "call",
        folder / "calls",
        to=server.sip,
        booth=booth,
        password=secret,
        number=number,
        pause_ms=pause_ms,
        within_s=100,
    )


@contextmanager
def page_of(browser: Browser, server: Server, language: str, who: str, path: str, **more: Any) -> Iterator[Page]:
    """A page as somebody sees it, ready to be photographed."""
    context = browser.new_context(base_url=f"http://{HOST}:{server.http}", locale="en-GB", **more)
    page = context.new_page()
    page.goto("/login")
    if who:
        page.locator("#f-name").fill(who)
        page.locator("#f-password").fill(DEMO_PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/board")
    page.goto("/account" if who else "/login")
    page.get_by_role("button", name=language).click()
    page.goto(path)
    if page.locator("#board").count():
        page.locator('#link[data-link="live"]').wait_for()
        page.keyboard.press("1")
        page.wait_for_timeout(400)
    yield page
    context.close()


def keep(page: Page, name: str) -> None:
    """Write a picture, in as few bytes as it can do with."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(COLOURS).save(PICTURES / f"{name}.png", optimize=True)
    print(f"docs/pictures/{name}.png")


if __name__ == "__main__":
    main()
