"""Receipts printed from the page: what comes out of the printer at the desk, and what is said where none is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Page, expect

from tests.printing.examples import Paper, Printer

from .harness import HOST, SIPSHOP, Program, free_port, until
from .test_checkout_pages import pages
from .test_pages import Pages, grave, live

__all__ = ["pages"]  # the fixture: a shop that sells coffee at 1.80, and rounds cash to 0.05

pytestmark = pytest.mark.wire

#: A receipt as it is sent: from the setting back to the cut.
RECEIPT: Final = re.compile(rb"\x1b@.*?\x1dV.", re.DOTALL)


@contextmanager
def agent(pages: Pages, printer: str) -> Iterator[Program]:
    """A printer's agent at the desk."""
    command = [*SIPSHOP, "print-agent", "--server", f"http://{HOST}:{pages.server.http}", "--shop", "Corner"]
    command += ["--token-file", str(pages.server.data / "token"), "--printer", printer, "--name", "desk"]
    with Program(command, pages.folder / "agent.log") as program:
        program.saw("Printing the receipts of Corner")
        yield program


def printed(paper: Path, times: int = 1) -> Paper:
    """The last of so many receipts that a printer was sent."""

    def look() -> list[bytes]:
        sent = paper.read_bytes() if paper.exists() else b""
        receipts = RECEIPT.findall(sent)
        assert len(receipts) <= times, "more came out than was asked for"
        return receipts if len(receipts) == times else []

    return Printer().read(until(look, f"{times} receipts")[-1])


def sell_coffee(pages: Pages, page: Page, booth: str) -> int:
    """A customer who only drinks a coffee pays 2.00 for it, in the page; the number of his receipt."""
    pages.server.unlock(booth)
    page.goto(f"/board/Corner/booths/{booth}/bill")
    live(page)
    page.keyboard.press("g")
    page.keyboard.press("1")
    expect(page.locator("#due")).to_have_text("€1.80")
    page.keyboard.type("2")
    expect(page.locator("#outcome")).to_have_text(re.compile("Change €0.20"))
    page.wait_for_timeout(600)  # longer than a key is held back
    page.keyboard.press("Enter")
    page.wait_for_url("**/receipts/Corner/*?paid=1")
    return int(re.findall(r"/receipts/Corner/(\d+)", page.url)[0])


def test_where_there_is_no_printer_the_page_says_so_before_anybody_presses(pages: Pages) -> None:
    with pages.page("ana") as page:
        sell_coffee(pages, page, "one")
        expect(page.locator(".paid")).to_contain_text("No printer at the desk: receipts are printed from this browser.")
        assert page.locator("#print").count() == 0, "nothing that would wait for a printer"
        with page.context.expect_page() as opened:
            page.keyboard.press("p")  # prints from the browser instead
        paper = opened.value
        expect(paper.locator("main")).to_contain_text("1.80")
        assert "job=" in paper.url
        assert grave(page) == []


def test_what_is_paid_in_the_page_comes_out_of_the_printer(pages: Pages) -> None:
    paper = pages.folder / "paper"
    with pages.page("ana") as page, agent(pages, f"file:{paper}"):
        number = sell_coffee(pages, page, "two")
        expect(page.locator(".paid")).to_contain_text("The printer is ready.")
        assert not paper.exists(), "nothing is printed unasked"
        page.keyboard.press("p")
        expect(page.locator(".toast")).to_have_text("Sent to the printer.")
        first = printed(paper)
        assert first.is_cut
        assert re.search(rf"^Receipt +{number}$", first.text, re.MULTILINE)
        for line in ("Coffee +1.80", "Total +€1.80", "Cash +2.00", "Change, given back +0.20"):
            assert re.search(line, first.text), first.text
        assert "REPRINT" not in first.text
        page.goto(f"/receipts/Corner/{number}")
        page.get_by_role("button", name="Print again").click()
        again = printed(paper, times=2)
        assert "REPRINT" in again.text
        assert again.text.count("1.80") == first.text.count("1.80")

        page.goto(f"/receipts/Corner/{number}?paid=1")
        page.get_by_label("Print each receipt at once").check()
        number = sell_coffee(pages, page, "three")
        assert re.search(rf"^Receipt +{number}$", printed(paper, times=3).text, re.MULTILINE)
        page.reload()
        expect(page.locator(".toast")).to_have_text("Sent to the printer.")
        assert len(pages.server.look("/shops/Corner/prints")["prints"]) == 4, "one for the browser, and no fifth"


def test_a_printer_that_cannot_print_is_told_before_anybody_presses(pages: Pages) -> None:
    with pages.page("ana") as page, agent(pages, f"tcp:{HOST}:{free_port()}"):
        number = sell_coffee(pages, page, "four")
        until(lambda: any(each["fault"] for each in pages.server.look("/shops/Corner/prints")["printers"]), "its fault")
        page.goto(f"/receipts/Corner/{number}?paid=1")
        expect(page.locator(".paid")).to_contain_text("The printer does not print: look at its paper and its cable.")
