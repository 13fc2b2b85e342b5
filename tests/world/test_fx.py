"""Rates of exchange in a world, and the currencies of accounts: read, written back, compared."""

from __future__ import annotations

import pytest

from sipshop.billing.fx import Pair
from sipshop.world import History, Plan, World, WorldErrors, export_world, parse_world, plan_world
from tests.world.test_diff import TEXT

FX = 'fx:\n  - {pair: EUR/USD, margin: "1.5", rates: {"2026-11-20": "1.1", "2026-11-13": "1.05"}}\n'
#: Bob buys by a deck in dollars, on an account in euros.
DOLLARS = TEXT.replace("Bob, deck: rhea", "Bob, deck: dollars, currency: EUR")


def changed(*pairs: tuple[str, str]) -> str:
    text = DOLLARS + FX
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


WORLD = parse_world(changed(), "w")


def errors(text: str, onto: World | None = None) -> list[str]:
    with pytest.raises(WorldErrors) as told:
        parse_world(text, "w", onto=onto)
    return [f"{error.field}: {error.message}" for error in told.value.errors]


def test_a_pair_and_the_currency_of_an_account_are_read_and_written_back() -> None:
    rates = (("2026-11-13", 1_050_000_000), ("2026-11-20", 1_100_000_000))
    assert WORLD.fx == (Pair(base="EUR", quote="USD", rates=rates, margin_ppm=15_000),)
    assert {opening.party: opening.currency for opening in WORLD.openings}["Bob"] == "EUR"
    again = parse_world(export_world(WORLD), "exported", onto=WORLD)
    assert (again.fx, again.openings) == (WORLD.fx, WORLD.openings)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("EUR/USD", "EURUSD", "fx[0].pair: 'EURUSD' is not a pair of currencies such as EUR/XOF"),
        ("EUR/USD", "EUR/EUR", "fx[0].pair: EUR/EUR is one currency"),
        ('"1.05"', '"0"', "fx[0].rates.2026-11-13: a rate is more than nothing, not '0'"),
        ('"1.05"', '"1,05"', "fx[0].rates.2026-11-13: '1,05' is not a decimal number such as 0.12"),
        ('"2026-11-13"', '"13.11.2026"', "fx[0].rates.13.11.2026: '13.11.2026' is not a day such as 2026-11-22"),
        ('"2026-11-13"', '"2026-02-30"', "fx[0].rates.2026-02-30: '2026-02-30' is not a day such as 2026-11-22"),
        ('{"2026-11-20": "1.1", "2026-11-13": "1.05"}', "{}", "fx[0].rates: has no rates: give one"),
        ('"1.5"', '"101"', "fx[0].margin: must be a percentage from 0 to 100, not '101'"),
        ("margin:", "holds_days: 0, margin:", "fx[0].holds_days: must be a whole number from 1 to 36525"),
        (
            "EUR/USD",
            "EUR/TND",
            "owners[1].deck: deck 'dollars' is in USD, the account of Bob in EUR: say under `fx`",
        ),
        ("currency: EUR}\n", "currency: EURO}\n", "owners[1].currency: 'EURO' is not a currency"),
    ],
)
def test_what_is_wrong_is_told(old: str, new: str, error: str) -> None:
    text = DOLLARS + FX
    assert old in text
    (told,) = errors(text.replace(old, new, 1))
    assert told.startswith(error), told


def test_the_same_two_currencies_are_one_pair() -> None:
    double = FX + '  - {pair: USD/EUR, rates: {"2026-11-20": "0.9"}}\n'
    (told,) = errors(DOLLARS + double)
    assert told.startswith("fx[1].pair: these two currencies are already at line ")


def test_the_currency_of_an_account_and_of_a_till_stays() -> None:
    other = changed(("dollars, currency: EUR", "dollars, currency: USD"))
    assert "owners[1].currency: the account of Bob is in EUR, and stays so" in errors(other, WORLD)
    till = changed(("{name: Side, owner: Bob,", "{name: Side, currency: USD, owner: Bob,"))
    assert errors(till, WORLD) == ["shops[1].currency: the till of shop Side is in EUR, and stays so"]
    # left out it is not taken for the deck's
    left_out = parse_world(changed(("dollars, currency: EUR", "dollars")), "w", onto=WORLD)
    assert left_out.openings == WORLD.openings


def plan(text: str, *, prune: bool = False) -> Plan:
    return plan_world(text, "w", WORLD, history=History(), prune=prune)


def test_another_rate_is_told_by_its_day() -> None:
    text = changed(('"2026-11-13": "1.05"', '"2026-11-21": "1.2"'), ('"1.5"', '"2"'))
    assert [(change.kind, change.name, change.details) for change in plan(text).changes] == [
        ("fx", "EUR/USD", ("2026-11-13: 1.05 -> none", "2026-11-21: none -> 1.2", "margin 1.5 -> 2"))
    ]


def test_a_pair_that_the_text_does_not_name_stays_unless_it_is_pruned() -> None:
    kept = plan(DOLLARS)
    assert (kept.changes, dict(kept.absent)["fx"]) == ((), 1)
    with pytest.raises(WorldErrors, match="say under `fx` what USD is in EUR"):
        plan(DOLLARS, prune=True)


def test_who_has_a_role_that_there_is_not_is_told_of_that_alone() -> None:
    wrong = changed(("role: reseller", "role: boss"))
    assert errors(wrong) == ["operators[1].role: must be one of operator, owner, reseller, provider, not 'boss'"]
