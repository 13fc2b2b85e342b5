"""The whole day of a shop in the browser, in three languages: from the float to the blind count.

Each day is worked by the keys, and looks at nothing that is written in a language: whoever is at the desk, whatever he
reads, has the same keys. The last word is the printer's: the bytes that its agent was given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from sipshop.console.pages.words import words
from tests.printing.examples import Paper, Printer

from .harness import HOST, SIPSHOP, Program, Server, World, free_port, until
from .test_pages import BOOTHS, CHROMIUM, FLAGS, LONDON, OPERATORS, Pages, card, fact, live

pytestmark = pytest.mark.wire

DESK: Final = """\
    desk:
      cash_rounding: {step: "0.05", mode: nearest}
      goods: [{name: Espresso, price: "1.80"}]
      legal: {name: Corner Phones SARL, address: "Rue Haute 1, 1000 Bruxelles", tax_id: BE 0123.456.789}
      timezone: Europe/Brussels
      till: required
"""
#: What is in the drawer at the beginning, what the customer pays in, and what he adds; in cents.
FLOAT, DEPOSIT, MORE = 5000, 100, 500
ESPRESSO: Final = 180
#: Notes and coins of the euro in cents, the greatest first.
PIECES: Final = (50_000, 20_000, 10_000, 5000, 2000, 1000, 500, 200, 100, 50, 20, 10, 5, 2, 1)


@dataclass
class Corner:
    """The shop with its browser, and the printer at its desk."""

    pages: Pages
    paper: Path

    def printed(self, so_far: int) -> Paper:
        """What comes out of the printer after so many bytes."""

        def look() -> bytes:
            sent = self.paper.read_bytes()[so_far:] if self.paper.exists() else b""
            return sent if b"\x1dV" in sent else b""

        return Printer().read(until(look, "a receipt that is cut"))

    @property
    def used(self) -> int:
        """How many bytes the printer has had."""
        return self.paper.stat().st_size if self.paper.exists() else 0


@pytest.fixture(scope="module")
def corner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corner]:
    folder, carrier = tmp_path_factory.mktemp("day"), free_port()
    world = World(
        booths=dict.fromkeys(BOOTHS, ""),
        trunks={"carrier": f"port: {carrier}, emergency: true"},
        routes={"": ["carrier"]},
    )
    text = world.yaml().replace("    deck: sell\n    country", f"    deck: sell\n{DESK}    country", 1) + OPERATORS
    with (
        Server(folder, text, carrier_port=carrier) as server,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS)) as browser,
    ):
        server.ready()
        server.saw("Pages:")
        paper = folder / "paper"
        agent = [*SIPSHOP, "print-agent", "--server", f"http://{HOST}:{server.http}", "--shop", "Corner"]
        agent += ["--token-file", str(server.data / "token"), "--printer", f"file:{paper}", "--columns", "42"]
        with Program(agent, folder / "agent.log") as printer:
            printer.saw("Printing the receipts of Corner")
            yield Corner(Pages(browser, server, folder, text), paper)


def cents(text: str) -> int:
    """An amount in any of the languages, in cents: each has two places."""
    return int(re.sub(r"\D", "", text))


@pytest.mark.parametrize(
    ("language", "direction", "customers"),
    [
        pytest.param("English", "ltr", "fr", id="in English, for a customer who reads French"),
        pytest.param("Français", "ltr", "pl", id="in French, for one who reads Polish"),
        pytest.param("العربية", "rtl", "en", id="in Arabic, for one who reads English"),
    ],
)
def test_the_day_of_a_shop(corner: Corner, language: str, direction: str, customers: str) -> None:
    pages, so_far = corner.pages, corner.used
    with pages.page("ana") as page:
        page.get_by_role("button", name=language).click()
        expect(page.locator("html")).to_have_attribute("dir", direction)
        open_shift(page)
        unlock_for_a_deposit(page)
        call_and_top_up(pages, page)
        move(page)
        number, back = check_out(pages, page, customers)
        due_on_paper = read_receipt(corner, number, so_far, customers)
        assert due_on_paper == back
        close_blind(page, expected=FLOAT + DEPOSIT + MORE - back)


def open_shift(page: Page) -> None:
    """Without a shift there is no cash here: the board says so, and the till opens one."""
    page.goto("/till")
    page.locator("#f-opening").fill(f"{FLOAT // 100},00")
    page.keyboard.press("Enter")
    expect(page.locator('a[href$="/count"]')).to_be_visible()


def unlock_for_a_deposit(page: Page) -> None:
    page.goto("/board")
    live(page)
    page.keyboard.press("1")
    page.keyboard.press("u")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.type("1")
    page.keyboard.press("Enter")
    expect(card(page, "one")).to_have_attribute("data-state", "open")
    expect(fact(page, "terms")).to_have_text(re.compile(r"1[.,]00"))


def call_and_top_up(pages: Pages, page: Page) -> None:
    """The customer calls, his cost runs, he pays more in while he talks, and the call is cut."""
    with pages.call("one"):
        expect(card(page, "one")).to_have_attribute("data-state", "talking")
        expect(fact(page, "number")).to_have_text(LONDON)
        expect(fact(page, "cost")).to_have_text(re.compile(r"0[.,]02"))
        expect(fact(page, "cost")).to_have_text(re.compile(r"0[.,]0[3-6]"))
        page.keyboard.press("t")
        page.keyboard.type("5")
        page.keyboard.press("Enter")
        expect(fact(page, "terms")).to_have_text(re.compile(r"6[.,]00"))
        page.keyboard.press("c")
        page.keyboard.press("Enter")
        expect(card(page, "one")).to_have_attribute("data-state", "open")
    until(lambda: pages.server.look("/booths/one/bill")["total"].strip("0."), "its charge")


def move(page: Page) -> None:
    """He takes his bill to the next booth."""
    expect(card(page, "one")).to_have_attribute("data-state", "open")
    page.keyboard.press("m")
    page.keyboard.press("Enter")
    expect(card(page, "two")).to_have_attribute("data-state", "open")
    expect(card(page, "one")).to_have_attribute("data-state", "locked")


def check_out(pages: Pages, page: Page, customers: str) -> tuple[int, int]:
    """He drinks an espresso, calls while the bill is open, and goes: his receipt's number, and the cents he gets."""
    page.keyboard.press("2")
    page.keyboard.press("p")
    page.wait_for_url("**/booths/two/bill")
    live(page)
    expect(page.locator("#lines > li")).to_have_count(1)
    page.keyboard.press("g")
    page.keyboard.press("1")
    expect(page.locator("#lines > li")).to_have_count(2)
    with pages.call("two", pause_ms=1200) as call:
        expect(page.locator("#live-number")).to_have_text(LONDON)
        expect(page.locator("#take")).to_be_disabled()
        call.passed()
    expect(page.locator("#d-news")).to_be_visible()
    page.wait_for_timeout(600)  # longer than a key that was on its way already
    page.keyboard.press("Enter")
    expect(page.locator("#lines > li")).to_have_count(3)
    total = cents(pages.server.look("/booths/two/bill")["total"])
    assert total > ESPRESSO
    due = cents(page.locator("#due").inner_text())
    assert abs(DEPOSIT + MORE - total - due) <= 2, "in whole coins of five"
    page.locator("#t-language").select_option(customers)
    page.wait_for_timeout(600)
    page.locator("#take").click()
    page.wait_for_url("**/receipts/Corner/*?paid=1")
    assert cents(page.locator(".due strong").inner_text()) == due
    number = int(re.findall(r"/receipts/Corner/(\d+)", page.url)[0])
    page.wait_for_timeout(1100)  # longer than Enter is held back: the change is read first
    page.keyboard.press("Enter")
    live(page)
    expect(card(page, "two")).to_have_attribute("data-state", "locked")
    return number, due


def read_receipt(corner: Corner, number: int, so_far: int, customers: str) -> int:
    """It is printed in the customer's language, with all that he got; what was given back, in cents."""
    corner.pages.server.command(f"/shops/Corner/receipts/{number}/print")
    paper = corner.printed(so_far)
    assert paper.is_cut
    assert not paper.pictures, "the printer has letters for this language"
    text, say = paper.text, words(customers)
    assert "Corner Phones SARL" in text
    assert "BE 0123.456.789" in text
    assert re.search(rf"\b{number}\b", text)
    assert re.search(r"Espresso +1[.,]80", text)
    assert text.count("Britain") == 2
    back = re.search(rf"^{re.escape(say('Change, given back'))}.*?([\d.,]+)", text, re.MULTILINE)
    assert back is not None, text
    return cents(back[1])


def close_blind(page: Page, expected: int) -> None:
    """A coin of ten cents is missing, and nobody could have known before he had counted."""
    page.goto("/till")
    page.locator('a[href$="/count"]').first.click()
    assert page.locator("#expected").count() == 0
    left = expected - 10
    for piece in PIECES:
        number, left = divmod(left, piece)
        if number:
            page.locator(f'[name="p-{piece * 10_000}"]').fill(str(number))
    page.locator('button[name="then"][value="close"]').click()
    assert cents(page.locator("#total").inner_text()) == expected - 10
    assert page.locator("#expected").count() == 0
    page.locator('button[name="then"][value="close"]').click()
    page.wait_for_url("**/z/*")
    assert cents(page.locator("#expected").inner_text()) == expected
    expect(page.locator("#verdict")).to_have_text(re.compile(r"0[.,]10"))
