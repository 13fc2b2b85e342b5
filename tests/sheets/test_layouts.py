"""Sheets as carriers send them: each is read, compared, and changes nothing when it is taken in once more."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from sipshop.billing.calendar import Calendar
from sipshop.billing.cdr import utc_text
from sipshop.billing.deck import Rate, RateDeck
from sipshop.billing.money import format_nanos
from sipshop.sheets import BadSheet, Kind, Mapping, changes, guess_mapping, merged, parse_mapping, read_lines
from sipshop.switch.sheets import SheetFile
from tests.sheets.layouts import LAYOUTS, Layout, Told
from tools.workbooks import Cell, Raw, Sheet, write_workbook

NOVEMBER_MS: Final = Calendar().instant("2026-11-20")
JANUARY_MS: Final = Calendar().instant("2027-01-20")


def rate(prefix: str, price_nanos: int) -> Rate:
    return Rate(
        prefix=prefix,
        destination=f"Old {prefix}",
        connect_fee_nanos=0,
        first_s=60,
        first_price_nanos=price_nanos,
        next_s=60,
        next_price_nanos=price_nanos,
    )


#: What is there before: of the 49 and 44 every sheet that has them has another price.
BASE: Final = RateDeck("carrier", "EUR", (rate("49", 30_000_000), rate("44", 15_000_000), rate("7", 50_000_000)))


_open: list[SheetFile] = []


@pytest.fixture(autouse=True)
def close_sheets() -> Iterator[None]:
    yield
    while _open:
        _open.pop().close()


def sheet(path: Path) -> SheetFile:
    """A sheet that was sent to us, closed with the test."""
    made = SheetFile()
    _open.append(made)
    made.add(path.read_bytes())
    return made


def told(one: Rate) -> Told:
    price = "forbidden" if one.forbidden else format_nanos(one.next_price_nanos)
    since = "" if one.extras.valid_from_ms is None else utc_text(one.extras.valid_from_ms)[:10]
    return one.prefix, one.destination, price, f"{one.first_s}/{one.next_s}", since


@pytest.mark.parametrize("layout", [pytest.param(layout, id=layout.name) for layout in LAYOUTS])
def test_a_sheet_is_read_compared_and_says_nothing_new_a_second_time(layout: Layout, tmp_path: Path) -> None:
    layout.write(tmp_path / "sheet")
    mapping = parse_mapping(layout.mapping, "mapping")
    file = sheet(tmp_path / "sheet")
    reading = read_lines(file.rows(mapping), mapping, BASE.calendar)
    assert [str(each) for each in reading.rejects] == []
    assert len(reading.ignored) == layout.ignored
    if not layout.percent:
        new = merged(RateDeck("new", "EUR", ()), reading.lines, mapping, at_ms=NOVEMBER_MS)
        assert sorted(map(told, new.deck.rates)) == sorted(layout.rates)
    put = merged(BASE, reading.lines, mapping, at_ms=NOVEMBER_MS)
    assert put.rejects == ()
    assert list(changes(BASE, put.deck, NOVEMBER_MS))
    again = read_lines(file.rows(mapping), mapping, BASE.calendar)
    for at_ms in (NOVEMBER_MS, NOVEMBER_MS + 1, JANUARY_MS):
        twice = merged(put.deck, again.lines, mapping, at_ms=at_ms)
        assert (twice.rejects, list(changes(put.deck, twice.deck, at_ms))) == ((), [])


def kinds(layout: Layout, tmp_path: Path) -> dict[str, list[tuple[str, str | None]]]:
    layout.write(tmp_path / "sheet")
    mapping = parse_mapping(layout.mapping, "mapping")
    file = sheet(tmp_path / "sheet")
    reading = read_lines(file.rows(mapping), mapping, BASE.calendar)
    put = merged(BASE, reading.lines, mapping, at_ms=NOVEMBER_MS)
    found: dict[str, list[tuple[str, str | None]]] = {}
    for change in changes(BASE, put.deck, NOVEMBER_MS):
        when = None if change.from_ms is None else utc_text(change.from_ms)[:10]
        found.setdefault(change.kind, []).append((change.prefix, when))
    return found


def test_a_full_sheet_withdraws_what_it_does_not_name_on_its_first_day(tmp_path: Path) -> None:
    full = next(layout for layout in LAYOUTS if "all that there is" in layout.name)
    assert kinds(full, tmp_path) == {
        Kind.WITHDRAWN: [("7", "2026-12-01")],
        Kind.UP: [("44", "2026-12-01")],
        Kind.DOWN: [("49", "2026-12-01")],
        Kind.NEW: [("88213", "2026-12-01")],
    }


def test_any_other_sheet_leaves_what_it_does_not_name(tmp_path: Path) -> None:
    found = kinds(LAYOUTS[0], tmp_path)
    assert found == {
        Kind.NEW: [("49151", "2026-12-15"), ("4930", "2026-12-01")],
        Kind.BLOCKED: [("49900", "2026-12-01")],
    }


def test_percentages_change_the_price_before_their_date_and_round_it(tmp_path: Path) -> None:
    percent = next(layout for layout in LAYOUTS if layout.percent)
    percent.write(tmp_path / "sheet")
    mapping = parse_mapping(percent.mapping, "mapping")
    file = sheet(tmp_path / "sheet")
    reading = read_lines(file.rows(mapping), mapping, BASE.calendar)
    put = merged(BASE, reading.lines, mapping, at_ms=NOVEMBER_MS)
    new = {one.prefix: one.next_price_nanos for one in put.deck.rates if one.extras.valid_from_ms is not None}
    assert new == {"49": 31_500_000, "44": 13_500_000}


@pytest.mark.parametrize(
    ("place", "columns"),
    [
        (0, {"prefix", "destination", "price", "increments", "effective_from", "status"}),
        (2, {"prefix", "destination", "price", "first_s", "next_s", "connect_fee"}),
        (3, {"prefix", "destination", "price", "effective_from"}),
        (6, {"prefix", "destination", "price", "connect_fee", "status"}),
    ],
)
def test_a_mapping_is_suggested_that_can_be_looked_at(place: int, columns: set[str], tmp_path: Path) -> None:
    layout = LAYOUTS[place]
    layout.write(tmp_path / "sheet")
    wanted = parse_mapping(layout.mapping, "mapping")
    guessed = guess_mapping(sheet(tmp_path / "sheet").rows(Mapping(columns={})))
    assert parse_mapping(guessed.text, "again") == guessed
    assert columns <= guessed.columns.keys()
    for name in columns:
        assert guessed.columns[name].split() == wanted.columns[name].split()


def test_where_no_header_is_known_none_is_made_up(tmp_path: Path) -> None:
    LAYOUTS[5].write(tmp_path / "sheet")
    with pytest.raises(BadSheet, match="name the columns by their numbers"):
        guess_mapping(sheet(tmp_path / "sheet").rows(Mapping(columns={})))


# What workbooks do to sheets


def test_a_formula_that_nobody_has_worked_out_is_told_by_its_cell(tmp_path: Path) -> None:
    rows: list[Sequence[Cell | Raw]] = [["Prefix", "Price"], ["49", 0.1], ["44", Raw("<f>B2*2</f>")]]
    write_workbook(tmp_path / "x", [Sheet("Rates", rows)])
    mapping = parse_mapping("columns: {prefix: Prefix, price: Price}\nincrements: 1", "m")
    with pytest.raises(BadSheet, match="sheet 'Rates': cell B3 is a formula without its value"):
        list(sheet(tmp_path / "x").rows(mapping))


def test_a_workbook_that_asks_for_more_memory_than_there_is_is_refused(tmp_path: Path) -> None:
    far = [Raw('<v>1</v></c><c r="XFD1048576"><v>1</v>')]
    write_workbook(tmp_path / "x", [Sheet("Rates", [far])])
    with pytest.raises(BadSheet, match=r"memory|unpacked|more than"):
        list(sheet(tmp_path / "x").rows(Mapping(columns={})))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"PK\x03\x04nonsense", "no workbook that can be read", id="no archive"),
        pytest.param(b"", "is empty", id="nothing"),
        pytest.param(b"\x00\x01\x02\x03" * 40, "bytes of zero|not text|no column is named", id="bytes"),
        pytest.param(b"\x89PNG\r\n\x1a\n\x00\x00\x82", "is not text in utf-16", id="a picture"),
        pytest.param(b"a,b\n1,2\n", r"no column is named 'Code' \(prefix\)", id="another sheet"),
        pytest.param(b"Code,Rate,Rate\n49,1,2\n", "two columns named 'rate'", id="a title twice"),
    ],
)
def test_what_is_no_sheet_of_this_carrier_is_refused_whole(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    mapping = parse_mapping("columns: {prefix: Code, price: Rate}\nincrements: 1", "m")
    with pytest.raises(BadSheet, match=why):
        read_lines(sheet(tmp_path / "x").rows(mapping), mapping, BASE.calendar)
