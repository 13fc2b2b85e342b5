"""Taxes in a world: read, written back, compared."""

from __future__ import annotations

import pytest

from sipshop.billing.tax import Tax, TaxMode
from sipshop.world import History, Sold, TaxTerms, WorldErrors, export_world, parse_world, plan_world
from tests.world.test_diff import TEXT

OWNER = "  - {name: Bob, deck: rhea"
SHOP = "  - {name: Side, owner: Bob, "


def taxed(shop: str = "", party: str = "") -> str:
    text = TEXT
    for place, tax in ((SHOP, f"{shop}, " if shop else ""), (OWNER, f", {party}" if party else "")):
        assert text.count(place) == 1
        text = text.replace(place, place + tax)
    return text


def test_a_shop_and_a_party_have_their_taxes() -> None:
    world = parse_world(taxed('tax: {percent: "8.1", mode: included}', 'tax: {percent: "20", name: TVA}'), "w")
    assert world.taxes == (
        TaxTerms(sold=Sold.TO_PARTY, place="Bob", tax=Tax(200_000, TaxMode.ADDED, "TVA")),
        TaxTerms(sold=Sold.IN_SHOP, place="Side", tax=Tax(81_000, TaxMode.INCLUDED, "VAT")),
    )
    assert parse_world(export_world(world), "exported", onto=world).taxes == world.taxes


@pytest.mark.parametrize(
    ("shop", "party", "error"),
    [
        ('tax: {percent: "101", mode: added}', "", "tax.percent: must be a percentage from 0 to 100, not '101'"),
        ('tax: {percent: "20.00001", mode: added}', "", "tax.percent: '20.00001' has more than 4 decimal places"),
        ('tax: {percent: "20"}', "", "tax.mode: is missing: whether prices have the tax in them"),
        ('tax: {percent: "20", mode: on_top}', "", "tax.mode: must be one of included, added, not 'on_top'"),
        ('tax: {percent: "20", mode: added, name: "  "}', "", "tax.name: '  ' is not a name for a bill"),
        ('tax: {percent: "20", mode: added, rate: "1"}', "", "tax.rate: unknown key"),
        ("", 'tax: {percent: "20", mode: included}', "tax.mode: can only be added"),
    ],
)
def test_a_tax_that_cannot_be_is_told(shop: str, party: str, error: str) -> None:
    with pytest.raises(WorldErrors) as told:
        parse_world(taxed(shop, party), "w")
    assert [error in str(fault) for fault in told.value.errors] == [True], told.value


def test_a_change_of_a_tax_is_told_and_what_the_text_does_not_name_keeps_its_own() -> None:
    before = parse_world(taxed('tax: {percent: "20", mode: added}'), "w")
    after = taxed('tax: {percent: "21", mode: included}', 'tax: {percent: "20"}')
    plan = plan_world(after, "w", before, history=History(), prune=False)
    assert [(change.action.value, change.kind, change.name, change.details) for change in plan.changes] == [
        ("add", "tax", "party Bob", ()),
        ("change", "tax", "shop Side", ("tax.percent 20 -> 21", "tax.mode added -> included")),
    ]
    without_side = "\n".join(line for line in TEXT.splitlines() if not line.startswith(SHOP))
    kept = plan_world(without_side, "w", before, history=History(), prune=False)
    assert kept.after.taxes == before.taxes
    assert not kept.changes
