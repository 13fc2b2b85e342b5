"""The checkout in a browser, against a real server with real calls: from the last call to the receipt, by the keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from .harness import Server, World, free_port, until
from .test_pages import BOOTHS, CHROMIUM, FLAGS, LONDON, OPERATORS, Pages, card, grave, live, weighed

pytestmark = pytest.mark.wire

#: 0.17 each: 0.05 to connect and a minute at 0.12.
BERLIN: Final = "00493012345678"
DESK: Final = """\
    desk:
      cash_rounding: {step: "0.05", mode: nearest}
      goods: [{name: Coffee, price: "1.80"}, {name: Copy, price: "0.10"}]
      discount_most_percent: "20"
      timezone: Europe/Brussels
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    folder, carrier = tmp_path_factory.mktemp("checkout"), free_port()
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
        yield Pages(browser, server, folder, text)


def called(pages: Pages, booth: str, times: int = 1) -> None:
    """Let somebody talk for a moment in a booth, so often."""
    before = len(pages.server.cdrs(booth))
    for _ in range(times):
        with pages.call(booth, BERLIN, pause_ms=100) as call:
            call.passed()
    until(lambda: len(pages.server.cdrs(booth)) == before + times, "the records")


def lines(page: Page) -> Locator:
    return page.locator("#lines > li")


def due(page: Page, amount: str) -> None:
    expect(page.locator("#due")).to_have_text(amount)


def outcome(page: Page, text: str) -> None:
    expect(page.locator("#outcome")).to_have_text(re.compile(text))


def test_a_customer_pays_while_a_call_lands_in_between(pages: Pages) -> None:
    pages.server.unlock("one")
    called(pages, "one")
    with pages.page("ana") as page:
        live(page)
        page.keyboard.press("1")
        page.keyboard.press("p")
        page.wait_for_url("**/booths/one/bill")
        live(page)
        due(page, "€0.15")  # of 0.17, in whole coins
        page.keyboard.press("g")
        page.keyboard.press("1")
        due(page, "€1.95")
        expect(lines(page)).to_have_text(
            [re.compile("Germany.*0.17", re.DOTALL), re.compile("Coffee.*1.80", re.DOTALL)]
        )
        page.keyboard.type("5,00")
        outcome(page, "Change €3.05")
        with pages.call("one", LONDON, pause_ms=2500) as call:
            expect(page.locator("#live-number")).to_have_text(LONDON)
            expect(page.locator("#take")).to_be_disabled()
            expect(page.locator("#live-cost")).to_have_text(re.compile("€0.0[1-3]"))
            call.passed()
        question = page.locator("#d-news")
        expect(question).to_contain_text(re.compile("1 new call, €0.0[34]: include it[?]"))
        page.wait_for_timeout(600)  # longer than a key that was on its way already
        page.keyboard.press("Enter")
        outcome(page, "Change €3.00")
        expect(lines(page)).to_have_count(3)
        assert grave(page) == []
        page.wait_for_timeout(600)
        page.keyboard.press("Enter")
        page.wait_for_url("**/receipts/Corner/1?paid=1")
        expect(page.locator(".due strong")).to_have_text("€3.00")
        assert grave(page) == []
        page.keyboard.press("Enter")  # the same key twice: the change is read first
        expect(page).to_have_url(re.compile(r"/receipts/Corner/1\?paid=1$"))
        page.wait_for_timeout(1100)
        page.keyboard.press("Enter")
        live(page)
        expect(card(page, "one")).to_have_attribute("data-state", "locked")
        expect(page.locator("#panel-title")).to_have_text("one")


def test_a_bill_is_changed_with_a_reason_and_paid_in_two_ways(pages: Pages) -> None:
    pages.server.unlock("two")
    called(pages, "two", 2)
    with pages.page("ana", at="/board/Corner/booths/two/bill") as page:
        live(page)
        page.keyboard.press("v")
        page.keyboard.press("Enter")  # the last call, as the line was bad
        expect(lines(page).nth(1)).to_contain_text("Bad line · ana")
        due(page, "€0.15")
        lines(page).nth(1).get_by_role("button").click()
        page.keyboard.press("Enter")
        due(page, "€0.35")
        page.keyboard.press("d")
        page.keyboard.type("50")
        page.keyboard.press("Enter")
        expect(page.locator("#d-discount [data-why]")).to_contain_text("The shop does not let its operators do this")
        pages.refused(page, 403)
        page.keyboard.press("Escape")
        page.keyboard.press("d")
        page.keyboard.type("10")
        page.keyboard.press("Enter")
        expect(lines(page).nth(2)).to_contain_text("Discount: 10% of €0.34")
        due(page, "€0.30")  # 0.34 less 0.03 is 0.31
        page.keyboard.press("k")
        due(page, "€0.31")  # by card to the cent
        page.keyboard.type("0.20")
        due(page, "€0.30")
        expect(page.locator("#t-cash")).to_have_attribute("placeholder", "0.10")
        page.locator("#t-card").fill("1")
        expect(page.locator("#t-why")).to_contain_text("more than there is to pay")
        page.locator("#t-card").fill("0.20")
        page.keyboard.press("Enter")  # before the answer to what is typed
        page.wait_for_url("**/receipts/**")
        expect(page.locator(".sums")).to_have_text(re.compile("Card.*€0.20.*Cash.*€0.10", re.DOTALL))


def test_a_deposit_goes_back_and_its_receipt_is_found_again(pages: Pages) -> None:
    pages.server.command("/booths/three/unlock", {"deposit": "5.00"})
    called(pages, "three")
    with pages.page("ana") as page:
        live(page)
        page.keyboard.press("3")
        page.keyboard.press("l")
        page.keyboard.press("Enter")
        expect(page.locator("#d-lock")).to_be_hidden()
        expect(card(page, "three")).to_have_attribute("data-state", "unpaid")
        page.keyboard.press("Enter")
        page.wait_for_url("**/bill")
        due(page, "€4.85")
        page.keyboard.press("Enter")
        page.wait_for_url("**/receipts/**")
        expect(page.locator(".due strong")).to_have_text("€4.85")
        page.goto("/receipts")
        expect(page.locator("tbody tr").first).to_contain_text("three")
        assert grave(page) == []
        page.locator("tbody a").first.click()
        expect(page.get_by_role("button", name="Print again")).to_be_visible()


def test_what_is_paid_elsewhere_is_gone_here(pages: Pages) -> None:
    pages.server.unlock("four")
    called(pages, "four")
    with (
        pages.page("ana", at="/board/Corner/booths/four/bill") as page,
        pages.page("otto", at="/board/Corner/booths/four/bill") as other,
    ):
        live(page)
        live(other)
        page.keyboard.press("g")
        page.keyboard.press("2")
        due(page, "€0.25")
        expect(other.locator("#d-news")).to_contain_text("The bill was changed: it comes to €0.27 now.")
        page.keyboard.press("Enter")
        page.wait_for_url("**/receipts/**")
        other.keyboard.press("Escape")
        other.wait_for_url("**/receipts/**")


@pytest.mark.parametrize(
    ("language", "direction", "width"), [("Polski", "ltr", 1280), ("العربية", "rtl", 360)], ids=["pl", "ar"]
)
def test_a_bill_in_other_languages(pages: Pages, language: str, direction: str, width: int) -> None:
    pages.server.unlock("five")
    called(pages, "five")
    with pages.page(
        "ana", viewport={"width": width, "height": 740}, color_scheme="dark" if width < 500 else "light"
    ) as page:
        page.get_by_role("button", name=language).click()
        expect(page.locator("html")).to_have_attribute("dir", direction)
        sizes = weighed(page)
        for path in ("/board/Corner/booths/five/bill", "/receipts/Corner", "/receipts/Corner/1"):
            sizes.clear()
            page.goto(path)
            english = re.compile(r"\b(the|Paid|Cash|bill|Receipt|Take|Change|Total)\b")
            assert not english.search(page.locator("main").inner_text())
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert grave(page) == []
            assert 10_000 < sum(sizes.values()) < 150_000, sizes
        page.goto("/account")
        page.get_by_role("button", name="English").click()
