"""Rates at the desk, the poster and a customer's screen in a browser, with a real call that costs."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from .test_pages import LONDON, Pages, grave, live, pages

__all__ = ["pages"]  # the fixture: one server and one browser for all of it

pytestmark = pytest.mark.wire


def test_a_question_is_answered_as_it_is_typed(pages: Pages) -> None:
    with pages.page("ana") as page:
        live(page)
        page.keyboard.press("r")
        page.wait_for_url("**/rates/Corner")
        page.keyboard.type("londres")
        row = page.locator("#found tbody tr").first
        expect(row.locator('[data-slot="place"]')).to_have_text("Londres, United Kingdom")
        expect(row.locator('[data-slot="lasts"]')).to_have_text("8:20")  # a cent a second
        expect(row.locator('[data-slot="cost"]')).to_have_text("€6.00")
        page.get_by_label("How long for this amount?").fill("0,60")
        expect(row.locator('[data-slot="lasts"]')).to_have_text("1:00")
        page.get_by_label("How long for this amount?").fill("much")
        expect(page.locator("#note")).to_have_text("This is not an amount of money, such as 5.00.")
        pages.refused(page, 422)
        assert grave(page) == []
        page.keyboard.press("Escape")
        page.wait_for_url("**/board/Corner")
        page.goto("/rates/Corner/poster?language=fr")
        expect(page.locator("h1")).to_have_text("Tarifs des appels")
        assert grave(page) == []


def test_a_customer_sees_what_runs_until_the_desk_switches_it_off(pages: Pages) -> None:
    pages.server.unlock("six")
    with pages.page("ana", at="/screens/Corner") as page, pages.page() as customer:
        assert grave(page) == []
        page.get_by_label("Shows").select_option("six")
        page.get_by_role("button", name="Make the screen").click()
        customer.goto(page.locator("#link code").inner_text())
        booth = customer.locator('[data-booth="six"]')
        expect(booth).to_have_attribute("data-state", "open")
        with pages.call("six"):
            expect(booth).to_have_attribute("data-state", "talking")
            expect(booth.locator('[data-slot="cost"]')).to_have_text(re.compile("€0.0[2-9]"))
            expect(booth.locator('[data-slot="number"]')).to_have_text(f"{LONDON[:5]}{'•' * 9}")
            assert LONDON not in customer.content()
            assert grave(customer) == []
            page.get_by_role("button", name="Switch off").click()
            expect(customer.locator("#off")).to_be_visible(timeout=15_000)
            expect(booth).to_have_count(0)
            pages.server.command("/booths/six/cut")
        pages.refused(customer, 404)
