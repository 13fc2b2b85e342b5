"""Rows that cannot be taken: each kind is told with its line, its column and what is wrong; and no other is lost."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipshop.billing.calendar import Calendar
from sipshop.billing.deck import Rate, RateDeck
from sipshop.sheets import BadMapping, Cell, Mapping, Reading, Row, changes, merged, parse_mapping, read_lines

NOW_MS: Final = Calendar().instant("2026-11-20")
#: What the sheets of this table say, in the order of their columns.
MAPPING: Final = """
columns: {prefix: Code, country: CC, areas: AC, destination: Name, price: Price, connect_fee: Fee, increments: Inc,
          effective_from: From, effective_to: To, status: Status, percent: Percent, first_price: First}
dates: ["%d.%m.%Y"]
thousands: ","
"""
#: What a workbook makes of 5/6.
A_DAY: Final = datetime(2026, 6, 5)  # noqa: DTZ001 - a workbook's days are in no zone
GOOD: Final[dict[str, Cell]] = {"Code": "4930", "Name": "Berlin", "Price": "0.05", "Inc": "60/60"}


def reading(rows: Sequence[dict[str, Cell]], mapping: str) -> Reading:
    """A sheet of these rows, under a header in line 1."""
    made = parse_mapping(mapping, "m")
    titles = list(made.columns.values())
    table = [Row(1, titles), *(Row(line, [row.get(title, "") for title in titles]) for line, row in enumerate(rows, 2))]
    return read_lines(table, made, Calendar("Europe/Berlin"))


PLAIN: Final = MAPPING.replace("country: CC, areas: AC, ", "")
AREAS: Final = MAPPING.replace("prefix: Code, ", "")
SECONDS: Final = PLAIN.replace("increments: Inc", "first_s: Inc, price: Price").replace("price: Price, conn", "conn")

BAD: Final = [
    pytest.param({"Code": ""}, "prefix", "is missing", id="no prefix"),
    pytest.param({"Code": "n/a"}, "prefix", "'n/a' is not a prefix", id="a word for a prefix"),
    pytest.param({"Code": "049"}, "prefix", "no 0 first", id="a prefix with a zero first"),
    pytest.param({"Code": "1234567890123456"}, "prefix", "1 to 15 digits", id="a prefix that is too long"),
    pytest.param({"Code": "4.93E+10"}, "prefix", "an exponent, and digits are lost", id="an exponent"),
    pytest.param({"Code": Decimal("49.5")}, "prefix", "'49.5' is not a prefix", id="a prefix with places"),
    pytest.param({"Code": "4935-30"}, "prefix", "is not a range", id="a range that goes down"),
    pytest.param({"Code": "493-49305"}, "prefix", "is not a range", id="a range of two lengths"),
    pytest.param({"Code": "4910000-4999999"}, "prefix", "more than 10000 prefixes", id="a range without end"),
    pytest.param({"Code": "4930; 4930"}, "prefix", "has prefix 4930 twice", id="a list with a prefix twice"),
    pytest.param({"Code": ";"}, "prefix", "';' has no prefix", id="an empty list"),
    pytest.param({"Code": "49 30a"}, "prefix", "'49 30a' is not a prefix", id="a letter in a prefix"),
    pytest.param({"Code": A_DAY}, "prefix", "is not a prefix", id="a prefix that became a date"),
    pytest.param({"Name": ""}, "destination", "is missing", id="no destination"),
    pytest.param({"Name": "x" * 65}, "destination", "1 to 64 characters", id="a destination that is too long"),
    pytest.param({"Name": "Ber\x1blin"}, "destination", "characters that print", id="one that steers terminals"),
    pytest.param({"Name": "K\ufffdln"}, "destination", "is not a name", id="a letter that could not be read"),
    pytest.param({"Price": ""}, "price", "is missing", id="no price"),
    pytest.param({"Price": "free"}, "price", "'free' is not a number", id="a word for a price"),
    pytest.param({"Price": "-0.05"}, "price", "is below zero", id="a price below zero"),
    pytest.param({"Price": "0,05"}, "price", "a comma is neither", id="a decimal comma nobody said"),
    pytest.param({"Price": "1,56.00"}, "price", "a comma is neither", id="thousands where none can be"),
    pytest.param({"Price": "$0.05"}, "price", "currency sign that the mapping does not name", id="a currency sign"),
    pytest.param({"Price": "0.05 USD"}, "price", "is not a number", id="a currency's name"),
    pytest.param({"Price": "9999999999999"}, "price", "more digits than any price", id="a price that is too high"),
    pytest.param({"Price": "0.05/0.06"}, "price", "is not a number", id="two prices"),
    pytest.param({"Price": "#N/A"}, "price", "'#N/A' is not a number", id="what a workbook could not work out"),
    pytest.param({"Price": A_DAY}, "price", "is a date, not a number", id="a price that became a date"),
    pytest.param({"Fee": "none"}, "connect_fee", "is not a number", id="a word for a fee"),
    pytest.param({"Inc": ""}, "increments", "is missing", id="no increments"),
    pytest.param({"Inc": "60/0"}, "increments", "1 to 3600 seconds", id="increments of no seconds"),
    pytest.param({"Inc": "per min"}, "increments", "are no increments such as", id="a word for increments"),
    pytest.param({"Inc": "1/2/3"}, "increments", "are no increments such as", id="three increments"),
    pytest.param({"Inc": A_DAY}, "increments", "are no increments", id="increments that became a date"),
    pytest.param({"From": "12/31/2026"}, "effective_from", "known here: %d.%m.%Y", id="a date in another format"),
    pytest.param({"From": "31.02.2026"}, "effective_from", "is not a date", id="a day that never comes"),
    pytest.param({"From": "soon"}, "effective_from", "is not a date", id="a word for a date"),
    pytest.param({"From": "01.12.1926"}, "effective_from", "is in the year 1926", id="a date of another century"),
    pytest.param({"From": "02.12.2026", "To": "01.12.2026"}, "effective_to", "is not after", id="an end too early"),
    pytest.param({"Status": "upgraded"}, "status", "is not a status that the mapping knows", id="an unknown status"),
    pytest.param({"Percent": "5"}, "percent", "a price stands in the row as well", id="a price and a percentage"),
    pytest.param({"Price": "", "Percent": "-101"}, "percent", "-100 to 1000", id="a percentage below all"),
    pytest.param({"Price": "", "Percent": "5.12345"}, "percent", "4 decimal places", id="a percentage too fine"),
    pytest.param({"First": "x"}, "first_price", "is not a number", id="a first price that is none"),
]


@pytest.mark.parametrize(("bad", "field", "why"), BAD)
def test_a_bad_row_is_told_with_its_line_and_reason(bad: dict[str, Cell], field: str, why: str) -> None:
    found = reading([GOOD, GOOD | {"Code": "44"} | bad, GOOD | {"Code": "33"}], PLAIN)
    (reject,) = found.rejects
    assert (reject.line, reject.field) == (3, field)
    assert why in reject.reason
    assert [line.prefix for line in found.lines] == ["4930", "33"]


@pytest.mark.parametrize(
    ("bad", "field", "why"),
    [
        pytest.param({"CC": "", "AC": "30"}, "country", "is missing", id="areas of no country"),
        pytest.param({"CC": "D", "AC": "30"}, "areas", "'D' is not a prefix", id="a word for a country"),
        pytest.param({"CC": "49", "AC": "x"}, "areas", "'x' is not a prefix", id="a word for an area"),
        pytest.param({"CC": "0", "AC": "30"}, "areas", "no 0 first", id="a country of zero"),
    ],
)
def test_a_bad_row_of_countries_and_areas_is_told(bad: dict[str, Cell], field: str, why: str) -> None:
    found = reading([GOOD | bad], AREAS)
    (reject,) = found.rejects
    assert (reject.line, reject.field) == (2, field)
    assert why in reject.reason


def test_the_same_twice_is_told_and_counts_once_and_another_price_is_refused() -> None:
    found = reading([GOOD, GOOD, GOOD | {"Price": "0.06"}, GOOD | {"From": "01.12.2026"}], PLAIN)
    assert [(line.line, line.prefix) for line in found.lines] == [(2, "4930"), (5, "4930")]
    assert [(each.line, each.reason) for each in found.duplicates] == [
        (3, "prefix 4930 is given at line 2 already, alike")
    ]
    assert [(each.line, each.reason) for each in found.rejects] == [
        (4, "prefix 4930 is given at line 2 already, in another way")
    ]


def test_a_row_that_is_too_short_says_so() -> None:
    made = parse_mapping(PLAIN, "m")
    rows = [Row(1, list(made.columns.values())), Row(2, ["4930", "Berlin"])]
    (reject,) = read_lines(rows, made, Calendar()).rejects
    assert reject.reason == "is missing: the row has 2 of 10 cells"


def rate(prefix: str, **more: Any) -> Rate:
    prices = {"connect_fee_nanos": 0, "first_s": 1, "first_price_nanos": 1, "next_s": 1, "next_price_nanos": 1}
    return Rate(prefix=prefix, destination="X", **(prices | more))


@pytest.mark.parametrize(
    ("row", "why"),
    [
        pytest.param({"Price": "", "Percent": "5", "From": "01.12.2026"}, "no price before", id="of a new prefix"),
        pytest.param({"Price": "", "Percent": "5"}, "a percentage needs the date", id="without a date"),
        pytest.param(
            {"Code": "7", "Price": "", "Percent": "5", "From": "01.12.2026"}, "no price before", id="forbidden"
        ),
    ],
)
def test_a_percentage_that_does_not_fit_the_deck_is_a_bad_row(row: dict[str, Cell], why: str) -> None:
    found = reading([GOOD | row], PLAIN)
    deck = RateDeck("d", "EUR", (rate("7", forbidden=True),))
    put = merged(deck, found.lines, Mapping(columns={}), at_ms=NOW_MS)
    (reject,) = put.rejects
    assert reject.line == 2
    assert why in reject.reason
    assert put.deck == deck


def test_nothing_is_dropped() -> None:
    rows: list[dict[str, Cell]] = [GOOD, {"Name": "Total"}, GOOD | {"Code": "44", "Status": "delete"}, {"Code": "x"}]
    found = reading(rows, PLAIN + "ignore: [Total]\n")
    assert (found.rows, len(found.lines), len(found.rejects), len(found.ignored)) == (4, 2, 1, 1)


#: Lines of any kind, for few prefixes and instants, so that they meet.
statuses = st.sampled_from(["new", "delete", "blocked"])


@given(
    st.lists(
        st.tuples(st.sampled_from(["4", "49", "493"]), statuses, st.sampled_from(["0.01", "0.02"]), st.integers(-2, 3)),
        max_size=8,
    ),
    st.lists(st.sampled_from(["4", "49", "7"]), unique=True),
    st.booleans(),
    st.integers(0, 6),
)
@settings(max_examples=60, deadline=None)
def test_a_sheet_that_is_taken_in_again_changes_nothing(
    rows: list[tuple[str, str, str, int]], there: list[str], full: bool, later_days: int
) -> None:
    cells: list[dict[str, Cell]] = [
        {"Code": prefix, "Name": "X", "Price": price, "Inc": "1", "Status": status, "From": f"{20 + day:02d}.11.2026"}
        for prefix, status, price, day in rows
    ]
    found = reading(cells, PLAIN)
    mapping = Mapping(columns={}, full=full)
    base = RateDeck("d", "EUR", tuple(rate(prefix) for prefix in there), calendar=Calendar("Europe/Berlin"))
    once = merged(base, found.lines, mapping, at_ms=NOW_MS).deck
    at_ms = NOW_MS + later_days * 86_400_000
    twice = merged(once, found.lines, mapping, at_ms=at_ms).deck
    assert list(changes(once, twice, at_ms)) == []


# Mappings


@pytest.mark.parametrize(
    ("text", "field", "why"),
    [
        ("columns: {price: P}\nincrements: 1", "columns", "has no prefix"),
        ("columns: {prefix: C}", "columns", "has no price and no percent"),
        ("columns: {prefix: C, price: P}", "increments", "is missing"),
        ("columns: {prefix: C, areas: A, price: P}\nincrements: 1", "columns", "no country"),
        ("columns: {prefix: C, price: P}\nheader: none\nincrements: 1", "header", "named by their numbers"),
        ("columns: {prefix: '#0', price: P}\nincrements: 1", "columns.prefix", "not a column's number"),
        (
            "columns: {prefix: C, price: P, prise: Q}\nincrements: 1",
            "columns.prise",
            "did you mean price?",
        ),
        ("columns: {prefix: C, price: P}\nincrements: 0/1", "increments", "1 to 3600"),
        ("columns: {prefix: C, price: P}\nincrements: 1\ndelimiter: x", "delimiter", "is not a delimiter"),
        ("columns: {prefix: C, price: P}\nincrements: 1\nencoding: utf-7", "encoding", "is not one of"),
        ("columns: {prefix: C, price: P}\nincrements: 1\ndates: [soon]", "dates[0]", "is not a format of dates"),
        ("columns: {prefix: C, price: P}\nincrements: 1\ndecimal: ','\nthousands: ','", "thousands", "decimal sign"),
        ("columns: {prefix: C, price: P}\nincrements: 1\nprice: {per_s: 0}", "price.per_s", "1 to 3600"),
        ("columns: {prefix: C, price: P}\nincrements: 1\nstatuses: {x: maybe}", "statuses.x", "must be one of"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_refused(text: str, field: str, why: str) -> None:
    with pytest.raises(BadMapping) as caught:
        parse_mapping(text, "m.yaml")
    found = {error.field: error.message for error in caught.value.errors}
    assert why in found[field]


def test_a_mapping_is_written_as_it_was_read() -> None:
    text = (
        "columns: {prefix: '#1', price: '#2', status: '#3'}\nheader: none\nsheet: 'Rates: all'\ndelimiter: tab\n"
        "encoding: utf-16\nno_area: ['0']\nstrip: ['00']\nprice: {per_s: 6, cents: true, places: 5, round: up}\n"
        "decimal: ','\nthousands: '.'\ncurrency: [€]\nincrements: 30/6\ndates: ['%d.%m.%Y']\nto_is_last_day: true\n"
        "statuses: {'n/c': set, off: forbid}\nignore: ['*']\nfull: true\npercent_fraction: true\nseparators: ';,/'\n"
    )
    mapping = parse_mapping(text, "m")
    assert parse_mapping(mapping.text, "m") == mapping
