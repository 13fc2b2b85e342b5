"""The short form of `make boards`: a full shop with twenty boards and a browser, and what they show is what is."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from sipshop.greeting import DEMO_PASSWORD
from tools.bench_boards import (
    LATEST_MS,
    OPERATOR,
    Boards,
    Shown,
    differences,
    full_shop,
    percentile,
    play,
    settled,
    wrong,
)

from .harness import HOST, until
from .test_pages import CHROMIUM, FLAGS, live

pytestmark = pytest.mark.wire

BOARDS = 20


def test_sixty_booths_on_twenty_boards_that_stay_open_over_a_restart(tmp_path: Path) -> None:
    """How late the slowest one of a hundred is, `make boards` measures: this machine has other tests to run."""
    with (
        full_shop(tmp_path) as shop,
        Boards(shop.server, BOARDS) as watching,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS)) as browser,
    ):
        page = browser.new_page(base_url=f"http://{HOST}:{shop.server.http}", locale="en-GB")
        page.goto("/login")
        page.get_by_label("Name").fill(OPERATOR)
        page.get_by_label("Password").fill(DEMO_PASSWORD)
        page.keyboard.press("Enter")
        live(page)

        calls = len(shop.booths)
        played = play(shop, "before", watching.boards, calls=calls, rate=15, pause_ms=1500)
        print(played)
        assert (played.failed, played.missed) == (0, 0), played
        assert percentile(played.all_late_ms, 50) < LATEST_MS, played
        settled(shop, calls)
        assert wrong(shop, watching.boards) == []
        assert differences(shop, cards(page), "en") == []

        shop.restart()
        until(lambda: all(board.begun == 2 for board in watching.boards), "boards that came back")
        live(page)
        shop.call("after", calls=calls, rate=20, pause_ms=200).passed()
        settled(shop, 2 * calls)
        assert wrong(shop, watching.boards) == []
        assert differences(shop, cards(page), "en") == []
        assert page.evaluate("performance.getEntriesByType('navigation').length") == 1, "it was loaded once"


def cards(page: Page) -> dict[str, Shown]:
    """What every card of a board says."""
    found: dict[str, list[str]] = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll(".booth")].map((card) => {
          const slot = (name) => card.querySelector(`[data-slot="${name}"]`).textContent;
          return [card.dataset.booth, [card.dataset.state, slot("total"), slot("left")]];
        }))"""
    )
    return {booth: Shown(*says) for booth, says in found.items()}
