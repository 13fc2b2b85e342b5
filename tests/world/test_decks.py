"""Decks as people write them: every field, every fault with its place, files beside, and decks that stand on others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import pytest

from sipshop.billing.deck import MaxPolicy, RateDeck, Step, WindowPolicy
from sipshop.billing.rating import cost
from sipshop.store import rows
from sipshop.store.rows import Row
from sipshop.world import WorldErrors, export_world, parse_world
from sipshop.world.decks import parse_deck

WHOLE = """\
currency: EUR
timezone: Europe/Berlin
round: {mode: up, places: 4}
duration_round: nearest
window_policy: split
change_policy: split
increment_rule: standard
windows:
  evening: daily 18:00-24:00
  feast: ["2026-12-25", "sat,sun 08:00-20:00"]
rates:
  - {prefix: "49", destination: Germany, first_s: 60, first_price: "0.10", next_s: 6, next_price: "0.05"}
  - {prefix: "49", destination: Germany, first_s: 1, first_price: "0.01", next_s: 1, window: evening}
  - prefix: "33"
    destination: France
    connect_fee: "0.05"
    steps: [{until_s: 60, every_s: 60, price: "0.30"}, {every_s: 1, price: "0.10"}]
    grace_s: 3
    free_s: 10
    free_after_first: true
    surcharge_percent: "12.5"
    min_charge: "0.20"
    max_charge: "2"
    max_policy: disconnect
    valid_from: "2026-01-01"
    valid_to: "2027-01-01T00:00:00Z"
  - {prefix: "44900", destination: Premium, forbidden: true}
"""


def files(**texts: str) -> RateDeck:
    """Read the deck `main.yaml` of these files; `__` in a name stands for its dot."""
    named = {name.replace("__", "."): text for name, text in texts.items()}

    def beside(name: str) -> Iterable[str]:
        if name not in named:
            raise ValueError(f"{name} cannot be read: it is not there")
        return named[name].splitlines(keepends=True)

    return parse_deck(named["main.yaml"], "main.yaml", "main", beside)


def errors(**texts: str) -> list[str]:
    with pytest.raises(WorldErrors) as caught:
        files(**texts)
    return str(caught.value).splitlines()


def test_every_field_of_a_deck() -> None:
    deck = files(main__yaml=WHOLE)
    assert (deck.name, deck.calendar.zone, deck.window_policy) == ("main", "Europe/Berlin", WindowPolicy.SPLIT)
    france = deck.rates[2].extras
    assert france.steps == (Step(60, 60, 300_000_000), Step(None, 1, 100_000_000))
    assert (france.grace_s, france.free_s, france.free_after_first) == (3, 10, True)
    assert (france.surcharge_ppm, france.min_charge_micros, france.max_charge_micros) == (125_000, 200_000, 2_000_000)
    assert france.max_policy is MaxPolicy.DISCONNECT
    assert france.valid_from_ms == deck.calendar.instant("2025-12-31T23:00:00Z")
    assert deck.rates[1].extras.window == "evening"


def test_a_csv_says_what_yaml_says() -> None:
    header, _, _ = WHOLE.partition("rates:")
    rows = """\
prefix,destination,connect_fee,first_s,first_price,next_s,next_price,steps,grace_s,free_s,free_after_first,\
surcharge_percent,min_charge,max_charge,max_policy,valid_from,valid_to,window,forbidden
49,Germany,,60,0.10,6,0.05,,,,,,,,,,,,
49,Germany,,1,0.01,1,,,,,,,,,,,,evening,
33,France,0.05,,,,,60:60:0.30;1:0.10,3,10,true,12.5,0.20,2,disconnect,2026-01-01,2027-01-01T00:00:00Z,,
44900,Premium,,,,,,,,,,,,,,,,,true
"""
    assert files(main__yaml=f"{header}rates: rates.csv\n", rates__csv=rows) == files(main__yaml=WHOLE)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("Europe/Berlin", "Europe/Berln", "main.yaml:2: timezone: 'Europe/Berln' is not a time zone"),
        ("window_policy: split", "window_policy: both", "main.yaml:5: window_policy: must be one of start, split"),
        ("change_policy: split", "change_policy: no", "main.yaml:6: change_policy: must be one of freeze, split"),
        ("increment_rule: standard", "increment_rule: x", "main.yaml:7: increment_rule: must be one of standard"),
        ("increment_rule: standard", "increment_rule: modulo", "main.yaml:17: rates[2].steps: have no meaning"),
        ("daily 18:00-24:00", "daily 18-24", "main.yaml:9: windows.evening: 'daily 18-24' is not a window"),
        ("window: evening", "window: evning", "main.yaml:13: rates[1].window: there is no window named 'evning'"),
        (", window: evening", "", "main.yaml:13: rates[1].prefix: prefix '49' is already at line 12"),
        ("grace_s: 3", "grace_s: -1", "main.yaml:18: rates[2].grace_s: must be a whole number from 0 to 86400"),
        ("free_s: 10", "free_s: 1.5", "main.yaml:19: rates[2].free_s: must be a whole number"),
        ("    free_s: 10\n", "", "main.yaml:19: rates[2].free_after_first: says where free seconds are: give free_s"),
        ("free_after_first: true", "free_after_first: 7", "main.yaml:20: rates[2].free_after_first: must be true"),
        ('"12.5"', '"-1"', "main.yaml:21: rates[2].surcharge_percent: must be a percentage from 0 to 1000"),
        ('"12.5"', '"1.23456"', "main.yaml:21: rates[2].surcharge_percent: '1.23456' has more than 4 decimal places"),
        ('max_charge: "2"', 'max_charge: "0.1"', "main.yaml:23: rates[2].max_charge: is less than min_charge"),
        ('max_charge: "2"', 'max_charge: "0.3"', "main.yaml:23: rates[2].max_charge: is less than the first increment"),
        ('    max_charge: "2"\n', "", "main.yaml:23: rates[2].max_policy: says what comes of a maximum"),
        ("disconnect", "hang up", "main.yaml:24: rates[2].max_policy: must be one of free, disconnect"),
        ('"2026-01-01"', '"1 May"', "main.yaml:25: rates[2].valid_from: '1 May' is not an ISO 8601 date or time"),
        ('"2027-01-01T00:00:00Z"', '"2025-01-01"', "main.yaml:26: rates[2].valid_to: is not after valid_from"),
        (
            "until_s: 60, every_s: 60",
            "until_s: 60, every_s: 45",
            "main.yaml:17: rates[2].steps: step 1: from 0 to 60 s",
        ),
        ("until_s: 60, every_s: 60", "every_s: 60", "main.yaml:17: rates[2].steps: step 1: every step but the last"),
        ("grace_s: 3", "first_s: 3", "main.yaml:18: rates[2].first_s: stands instead of steps: give one of them"),
        ("grace_s: 3", "grace: 3", "main.yaml:18: rates[2].grace: unknown key; did you mean grace_s?"),
    ],
)
def test_a_fault_is_told_with_its_file_line_and_field(old: str, new: str, told: str) -> None:
    assert WHOLE.count(old) >= 1
    found = errors(main__yaml=WHOLE.replace(old, new, 1))
    assert any(line.startswith(told) for line in found), found


@pytest.mark.parametrize(
    ("window", "other", "told"),
    [
        ("daily 08:00-20:00", "daily 19:00-21:00", "and both are for one time, in a and b"),
        ("mon-fri", "fri-sun", "and both are for one time, in a and b"),
        ("2026-12-25", "2026-12-25 08:00-09:00", "and both are for one time, in a and b"),
        ("daily 08:00-20:00", "daily 20:00-21:00", None),
        ("daily", "mon-sun", None),
        ("fri", "2026-12-25", None),
    ],
)
def test_a_tie_is_refused_and_what_says_more_is_none(window: str, other: str, told: str | None) -> None:
    text = f"""\
currency: EUR
windows: {{a: "{window}", b: "{other}"}}
rates:
  - {{prefix: "49", destination: G, first_s: 1, first_price: "1", next_s: 1, window: a}}
  - {{prefix: "49", destination: G, first_s: 1, first_price: "2", next_s: 1, window: b}}
"""
    if told is None:
        assert len(files(main__yaml=text).rates) == 2
    else:
        (line,) = errors(main__yaml=text)
        assert line == f"main.yaml:5: rates[1].prefix: prefix '49' is already at line 4, {told}"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("prefix,destination,price\n", "rates.csv:1: there is no column named 'price'"),
        ("prefix,destination,first_s,first_s\n", "rates.csv:1: column first_s stands twice"),
        ("destination,first_s\n", "rates.csv:1: column prefix is missing"),
        ("", "rates.csv:1: column prefix is missing"),
        ("prefix,destination,first_s,first_price,next_s\n49,G,1,1\n", "rates.csv:2: has 4 cells, the header 5"),
        (
            "prefix,destination,first_s,first_price,next_s\n\n+49,G,1,1,1\n",
            "rates.csv:3: prefix: '+49' is not a prefix",
        ),
        ("prefix,destination,first_s,first_price,next_s\n49,G,1,,1\n", "rates.csv:2: first_price: is missing"),
        ("prefix,destination,first_s,first_price,next_s\n49,G,1,1;5,1\n", "rates.csv:2: first_price: '1;5' is not"),
        (
            "prefix,destination,first_s,first_price,next_s\n49,G,1,1,1\n49,G,1,2,1\n",
            "rates.csv:3: prefix: prefix '49' is",
        ),
        ("prefix,destination,forbidden\n49,G,maybe\n", "rates.csv:2: forbidden: must be true or false, not 'maybe'"),
        (
            "prefix,destination,steps\n49,G,60:60:1\n",
            "rates.csv:2: steps: step 1: every step but the last",
        ),
        ("prefix,destination,steps\n49,G,1\n", "rates.csv:2: steps: '1' is not a step, such as"),
        ('prefix,destination\n49,"G\n', "rates.csv:2: is not CSV"),
    ],
)
def test_a_fault_of_a_csv_is_told_with_its_line_and_column(rows: str, told: str) -> None:
    found = errors(main__yaml="currency: EUR\nrates: rates.csv\n", rates__csv=rows)
    assert any(line.startswith(told) for line in found), found


def test_a_csv_that_is_not_there() -> None:
    assert errors(main__yaml="currency: EUR\nrates: rates.csv\n") == [
        "main.yaml:2: rates: rates.csv cannot be read: it is not there"
    ]


BASE = """\
currency: EUR
round: {places: 4}
windows: {evening: "daily 18:00-24:00"}
rates:
  - {prefix: "49", destination: G, connect_fee: "0.05", first_s: 60, first_price: "0.10", next_s: 6}
  - {prefix: "49", destination: G, first_s: 1, first_price: "0.01", next_s: 1, window: evening}
  - {prefix: "33", destination: F, first_s: 1, first_price: "0.000000001", next_s: 1, max_charge: "1"}
"""


@pytest.mark.parametrize(
    ("by", "fee", "price"), [('factor: "1.5"', 75_000_000, 150_000_000), ('margin: "20"', 60_000_000, 120_000_000)]
)
def test_a_deck_that_stands_on_another(by: str, fee: int, price: int) -> None:
    deck = files(main__yaml=f"derived: {{from: base.yaml, {by}}}\n", base__yaml=BASE)
    assert (deck.rates[0].connect_fee_nanos, deck.rates[0].first_price_nanos) == (fee, price)
    assert deck.rates[2].first_price_nanos == 2, "never less than the factor says"
    assert deck.rounding.places == 4
    assert list(deck.calendar.windows) == ["evening"]


def test_own_rates_take_the_place_of_all_of_a_prefix() -> None:
    own = 'rates:\n  - {prefix: "49", destination: G, first_s: 1, first_price: "9", next_s: 1}\n'
    deck = files(main__yaml=f'derived: {{from: base.yaml, factor: "2"}}\n{own}', base__yaml=BASE)
    assert [(rate.prefix, rate.first_price_nanos) for rate in deck.rates] == [("33", 2), ("49", 9 * 10**9)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "derived: {from: main.yaml, factor: 2}",
            "main.yaml:1: derived.from: goes round in a circle: main.yaml <- main",
        ),
        ("derived: {from: gone.yaml, factor: 2}", "main.yaml:1: derived.from: gone.yaml cannot be read"),
        ("derived: {from: base.yaml}", "main.yaml:1: derived.margin: is missing"),
        ("derived: {from: base.yaml, factor: 1, margin: 2}", "main.yaml:1: derived.margin: stands instead of a factor"),
        ("derived: {from: base.yaml, factor: 1001}", "main.yaml:1: derived.factor: must be a factor from 0 to 1000"),
        ("derived: {from: base.yaml, margin: -101}", "main.yaml:1: derived.margin: must be a percentage from -100"),
        ("derived: {from: base.yaml, factor: 1}\ncurrency: USD", "main.yaml:2: currency: is not that of base.yaml"),
        ("derived: {from: base.yaml, factor: 1, plus: 2}", "main.yaml:1: derived.plus: unknown key"),
    ],
)
def test_a_deck_that_cannot_stand_on_another(text: str, told: str) -> None:
    found = errors(main__yaml=text + "\n", base__yaml=BASE)
    assert any(line.startswith(told) for line in found), found


def test_a_circle_of_three_files_is_told_in_the_file_that_closes_it() -> None:
    found = errors(
        main__yaml="derived: {from: b.yaml, factor: 1}\n",
        b__yaml="derived: {from: c.yaml, factor: 1}\n",
        c__yaml="derived: {from: main.yaml, factor: 1}\n",
    )
    assert any("goes round in a circle: main.yaml <- b.yaml <- c.yaml <- main.yaml" in line for line in found), found


DOCS = Path(__file__).parents[2] / "docs" / "decks.md"


def test_the_examples_of_the_documentation_are_decks_and_cost_what_it_says() -> None:
    blocks = [block.partition("```")[0] for block in DOCS.read_text(encoding="utf-8").split("```yaml\n")[1:]]
    named = {
        block.splitlines()[0].removeprefix("# "): block
        for block in blocks
        if block.startswith("# ") and ".yaml" in block
    }
    named["rates.csv"] = DOCS.read_text(encoding="utf-8").partition("```csv\n")[2].partition("```")[0]
    assert {"peak.yaml", "carrier.yaml", "resold.yaml"} <= named.keys()

    def beside(name: str) -> Iterable[str]:
        return named[name].splitlines(keepends=True)

    for name, text in named.items():
        if name.endswith(".yaml"):
            parse_deck(text, name, name, beside)
    peak = parse_deck(named["peak.yaml"], "peak.yaml", "peak", beside)
    at_ms = peak.calendar.instant("2026-11-20T19:59:30")
    tariff = peak.match("4930123", at_ms)
    assert tariff is not None
    assert cost(tariff, at_ms, 60_400).amount.micros == 151_700


def test_a_deck_with_everything_is_stored_exported_and_read_as_it_was() -> None:
    indented = "".join(f"    {line}\n" for line in WHOLE.splitlines())
    shipped = (Path(__file__).parents[2] / "conf" / "demo.yaml").read_text(encoding="utf-8")
    text = re.sub("(?m)^decks:.*\n", lambda _: f"decks:\n  - name: whole\n{indented}", shipped)
    world = parse_world(text, "world.yaml")
    (deck,) = (deck for deck in world.decks if deck.name == "whole")
    assert len(deck.rates) == 4
    again = parse_world(export_world(world).replace('"********"', "secret"), "again.yaml")
    assert [other for other in again.decks if other.name == "whole"] == [deck]
    kept = [rows.rate(cast("Row", rows.rate_values("Tel", deck, rate))) for rate in deck.rates]
    assert rows.deck(cast("Row", rows.deck_values("Tel", deck)), kept) == deck


def test_a_world_s_deck_may_stand_on_one_that_comes_later() -> None:
    shipped = (Path(__file__).parents[2] / "conf" / "demo.yaml").read_text(encoding="utf-8")
    text = re.sub("(?m)^decks:.*\n", "\ndecks:\n", shipped)
    derived = """
decks:
  - {name: top, derived: {from: mid, factor: "2"}}
  - {name: mid, derived: {from: corner-sell, factor: 1}}
"""
    world = parse_world(text.replace("\ndecks:\n", derived, 1), "world.yaml")
    decks = {deck.name: deck for deck in world.decks}
    base, top = decks["corner-sell"].rates, decks["top"].rates
    assert [rate.first_price_nanos for rate in top] == [2 * rate.first_price_nanos for rate in base]
    circle = derived.replace("from: corner-sell", "from: top")
    with pytest.raises(WorldErrors, match="from: goes round in a circle: top <- mid <- top"):
        parse_world(text.replace("\ndecks:\n", circle, 1), "world.yaml")
    nobody = derived.replace("from: corner-sell", "from: corner-sel")
    with pytest.raises(WorldErrors, match="there is no deck named 'corner-sel'; did you mean corner-sell"):
        parse_world(text.replace("\ndecks:\n", nobody, 1), "world.yaml")
    file = derived.replace("{from: corner-sell, factor: 1}", "{from: corner-sell, factor: 1}, rates: more.csv")
    with pytest.raises(WorldErrors, match="rates: must be a list: a CSV is read beside a deck in a file of its own"):
        parse_world(text.replace("\ndecks:\n", file, 1), "world.yaml")
