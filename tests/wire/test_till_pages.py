"""The till in a browser: a shift by the keys, a count that nobody could have prepared, and what each may see of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Page, Response, expect, sync_playwright

from .harness import Server, World, free_port
from .test_pages import BOOTHS, CHROMIUM, FLAGS, OPERATORS, Pages, grave, weighed

pytestmark = pytest.mark.wire

DESK: Final = "    desk: {till: required, timezone: Europe/Brussels}\n"
#: Of a shop that has nothing to do with the other one.
STRANGER: Final = "  - {name: bea, shop: Other}\n"
#: What a customer pays in, and what is in the drawer with it: 50.00 less 12.50, and 7.77.
PAID, EXPECTED = "7.77", "45.27"
#: Either of them, in any language.
SECRET: Final = re.compile(r"\b(?:7[.,]77|45[.,]27|57[.,]77)\b")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    folder, carrier = tmp_path_factory.mktemp("till"), free_port()
    world = World(
        booths=dict.fromkeys(BOOTHS, ""),
        other_booths=("elsewhere",),
        trunks={"carrier": f"port: {carrier}, emergency: true"},
        routes={"": ["carrier"]},
    )
    text = world.yaml().replace("    deck: sell\n    country", f"    deck: sell\n{DESK}    country", 1)
    text += OPERATORS + STRANGER
    with (
        Server(folder, text) as server,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS)) as browser,
    ):
        server.ready()
        server.saw("Pages:")
        token = server.api("POST", "/tokens", {"label": "ana's", "operator": "ana"}).json()["token"]
        (server.data / "token.ana").write_text(token)
        yield Pages(browser, server, folder, text)


class Ear:
    """Hears every answer that a browser is given: ask on each page, as the next one has lost what it was told."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._answers: list[Response] = []
        page.on("response", self._hear)

    def _hear(self, answer: Response) -> None:
        if answer.request.resource_type not in {"stylesheet", "script", "image", "other"}:  # the same for everybody
            self._answers.append(answer)

    def told(self) -> str:
        """What the page holds, and the texts of all answers that came with it; a redirect has none."""
        self._page.wait_for_load_state()
        answers, self._answers[:] = list(self._answers), []
        texts = [answer.text() for answer in answers if not 300 <= answer.status < 400]
        assert any("<html" in text for text in texts), "no page was heard"
        return "\n".join([self._page.content(), *texts])


def button(page: Page, name: str) -> None:
    """Press a button by the keyboard."""
    page.get_by_role("button", name=name, exact=True).press("Enter")


def link(page: Page, name: str) -> None:
    """Follow a link by the keyboard."""
    page.get_by_role("link", name=name, exact=True).press("Enter")


def deposit(pages: Pages, booth: str, amount: str) -> None:
    """A customer pays something in, at Ana's desk."""
    done = pages.server.api("POST", f"/booths/{booth}/unlock", {"deposit": amount}, tenant="ana", key=f"into-{booth}")
    assert done.status_code == 200, done.text


def test_a_drawer_is_counted_before_anybody_is_told_what_should_be_in_it(pages: Pages) -> None:
    with pages.page("ana", at="/till") as page:
        ear = Ear(page)

        def is_blind() -> None:
            assert not SECRET.search(ear.told())
            assert grave(page) == []

        page.reload()
        expect(page.locator("#open")).to_contain_text("Cash is taken in a shift only here.")
        is_blind()
        page.keyboard.type("50,00")  # the cursor is in the float
        page.keyboard.press("Enter")
        expect(page.locator(".notice.good")).to_contain_text("Your shift is open.")
        is_blind()
        deposit(pages, "one", PAID)

        page.get_by_label("Amount").press_sequentially("12.50")
        page.keyboard.press("Tab")
        page.keyboard.type("parcel <b>for</b> the owner")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator(".notice.good")).to_contain_text("The cash that you took out is noted.")
        moves = page.locator("#own li")
        expect(moves).to_have_text([re.compile("Float.*€50.00"), re.compile("parcel <b>for</b> the owner.*-€12.50")])
        is_blind()

        link(page, "Report so far (X)")
        expect(page.locator("h1")).to_have_text("X report")
        expect(page.get_by_role("rowheader")).to_have_text(["Float", "Cash taken out"])
        is_blind()
        link(page, "Back to the till")
        page.wait_for_url("**/till/Corner")
        is_blind()
        link(page, "Count and close")
        expect(page.locator("h1")).to_have_text("Count the drawer")
        page.get_by_label("€50.00", exact=True).fill("1")
        is_blind()
        button(page, "Only keep this count")
        expect(page.locator(".notice.good")).to_contain_text("The count is kept. The shift goes on.")
        is_blind()
        page.goto("/till/Corner/shifts/1")
        expect(page.locator(".by-hand").last).to_contain_text("€50.00")
        assert "4.73" not in page.content(), "by how much that was wrong"
        is_blind()

        page.goto("/till/Corner/shifts/1/count")
        page.get_by_label("€20.00", exact=True).fill("2")
        page.get_by_label("€5.00", exact=True).fill("1")
        page.get_by_label("€0.10", exact=True).fill("1")
        page.get_by_label("Other cash").fill("0,07")
        is_blind()
        page.keyboard.press("Enter")
        expect(page.locator("#total")).to_have_text("€45.17")
        is_blind()

        button(page, "Close the shift")
        page.wait_for_url("**/till/Corner/z/1")
        expect(page.locator("h1")).to_have_text("Z report 1")
        expect(page.locator("#verdict")).to_contain_text("€0.10 is missing.")
        expect(page.locator("#expected")).to_have_text(f"€{EXPECTED}")
        expect(page.get_by_role("row", name="Deposits")).to_contain_text(f"+€{PAID}")
        assert grave(page) == []
        assert SECRET.search(ear.told()), "now it is told, and would have been heard before"


def test_a_drawer_is_for_its_holder_and_whoever_stands_above(pages: Pages) -> None:
    """After the day before: Ana's drawer was wrong."""
    with pages.page("ana", at="/till") as page:
        expect(page.get_by_role("row", name="1 ana")).to_contain_text("-€0.10")
        assert page.get_by_role("heading", name="Drawers by person").count() == 0
    with pages.page("otto", at="/till") as page:
        drawers = page.get_by_role("region", name="Drawers by person").get_by_role("row")
        expect(drawers.nth(1)).to_have_text(re.compile("ana.*1.*-€0.10.*€0.00.*-€0.10", re.DOTALL))
        assert grave(page) == []
        page.get_by_role("row", name="1 ana").get_by_role("link").last.press("Enter")
        page.wait_for_url("**/till/Corner/z/1")
        expect(page.locator("#verdict")).to_contain_text("€0.10 is missing.")
    with pages.page("bea", at="/till") as page:
        expect(page.locator("h1")).to_contain_text("Other")
        assert "ana" not in page.locator("main").inner_text()
        for path in ("/till/Corner", "/till/Corner/shifts/1", "/till/Corner/shifts/1/count", "/till/Corner/z/1"):
            answer = page.goto(path)
            assert answer is not None
            assert answer.status == 404
            pages.refused(page, 404)
            assert not SECRET.search(page.content())


@pytest.mark.parametrize(
    ("language", "direction", "width"), [("Polski", "ltr", 1280), ("العربية", "rtl", 360)], ids=["pl", "ar"]
)
def test_a_shift_in_other_languages(pages: Pages, language: str, direction: str, width: int) -> None:
    """Each closes the next Z report, as the numbers have no gap."""
    english = re.compile(r"\b(the|Till|shift|Shift|Cash|Count|Float|report|Variance|drawer)\b")
    before = max([shift["z"] for shift in pages.server.look("/shops/Corner/shifts")["shifts"]], default=0)

    def looks_well(page: Page, sizes: dict[str, int]) -> None:
        assert not english.search(page.locator("main").inner_text())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert grave(page) == []
        assert 10_000 < sum(sizes.values()) < 150_000, sizes
        sizes.clear()

    with pages.page(
        "ana", viewport={"width": width, "height": 740}, color_scheme="dark" if width < 500 else "light"
    ) as page:
        page.get_by_role("button", name=language).click()
        expect(page.locator("html")).to_have_attribute("dir", direction)
        sizes = weighed(page)
        page.goto("/till")
        looks_well(page, sizes)
        page.keyboard.type("12")
        page.keyboard.press("Enter")
        page.wait_for_url("**done=open")
        sizes.clear()
        page.locator("#f-amount").fill("much")
        page.locator("#f-reason").fill("!")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_be_visible()
        pages.refused(page, 422)
        looks_well(page, sizes)
        page.goto("/till/Corner")
        sizes.clear()
        page.locator('a[href$="/count"]').click()
        page.wait_for_url("**/count")
        looks_well(page, sizes)
        page.locator("#f-other").fill("12")
        page.keyboard.press("Enter")
        page.locator("#total").wait_for()
        sizes.clear()
        page.locator('[name="then"][value="close"]').click()
        page.wait_for_url(f"**/z/{before + 1}")
        expect(page.locator("#verdict.good")).to_be_visible()
        looks_well(page, sizes)
        page.goto("/account")
        page.get_by_role("button", name="English").click()
