"""Seven sheets as carriers send them, made here; each with the mapping that reads it and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from tools.workbooks import Cell, Raw, Sheet, write_workbook

Told = tuple[str, str, str, str, str]
"""A rate in short: prefix, destination, price a minute, increments, and from when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A carrier's way to write a sheet: `write` makes the file, `rates` is what a new deck has by it."""

    name: str
    mapping: str
    write: Callable[[Path], None]
    rates: Sequence[Told]
    ignored: int = 0
    percent: bool = False


def _text(lines: Iterable[str], encoding: str, end: str = "\r\n") -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes("".join(f"{line}{end}" for line in lines).encode(encoding))

    return write


def _workbook(
    *sheets: tuple[str, list[list[Cell | Raw]]], hidden: str = "", merged: Sequence[str] = ()
) -> Callable[[Path], None]:
    return lambda path: write_workbook(
        path, [Sheet(name, rows, hidden=name == hidden, merged=merged) for name, rows in sheets]
    )


LAYOUTS: Final = (
    Layout(
        name="comma, a mark of UTF-8, lines before the header and below the rates",
        mapping="""
columns: {prefix: Dial Code, destination: Destination, price: "Rate (USD/min)", increments: Billing Increment,
          effective_from: Effective Date, status: Change}
dates: ["%d/%m/%Y"]
ignore: ["Total", "*"]
""",
        write=_text(
            [
                "Alfa Telecom,,,,,",
                '"Rates, premium quality",,,,,',
                "",
                "Dial Code,Destination,Rate (USD/min),Billing  Increment,Effective Date,Change",
                '4930,"Germany, Berlin",0.0125,60/60,01/12/2026,New',
                "49151,Germany Mobile,0.08,1/1,15/12/2026,Increase",
                "49900,Germany Premium,0.00,1/1,01/12/2026,Blocked",
                "Total 3,,,,,",
                "* all prices without tax,,,,,",
            ],
            "utf-8-sig",
        ),
        rates=[
            ("4930", "Germany, Berlin", "0.0125", "60/60", "2026-12-01"),
            ("49151", "Germany Mobile", "0.08", "1/1", "2026-12-15"),
            ("49900", "Germany Premium", "forbidden", "1/1", "2026-12-01"),
        ],
        ignored=2,
    ),
    Layout(
        name="semicolon, Windows letters, decimal comma, a country code with lists of areas",
        mapping="""
columns: {country: Ländercode, areas: Ortsnetze, destination: Ziel, price: Preis/Min}
decimal: ","
currency: ["€"]
increments: 30/6
no_area: ["0"]
""",
        write=_text(
            [
                "Ziel;Ländercode;Ortsnetze;Preis/Min",
                "Österreich;43;0;€ 0,021",
                'Österreich Mobil;43;"650; 660-662, 699";0,10 €',
            ],
            "cp1252",
        ),
        rates=[
            ("43", "Österreich", "0.021", "30/6", ""),
            *((f"43{area}", "Österreich Mobil", "0.10", "30/6", "") for area in (650, 660, 661, 662, 699)),
        ],
    ),
    Layout(
        name="tab, UTF-16, prices a second in cents, increments in columns, line ends within cells",
        mapping="""
columns: {prefix: Code, destination: Name, price: Cents per second, first_s: First, next_s: Next,
          connect_fee: Setup (cents)}
price: {per_s: 1, cents: true, places: 6}
""",
        write=_text(
            [
                'Code\tName\t"Cents\nper second"\tFirst\tNext\tSetup (cents)',
                "33\tFrance\t0.02\t30\t6\t5",
                '336\t"France\nMobile"\t0.1234567\t1\t1\t',
            ],
            "utf-16",
            "\n",
        ),
        rates=[("33", "France", "0.012", "30/6", ""), ("336", "France Mobile", "0.074074", "1/1", "")],
    ),
    Layout(
        name="a workbook: prefixes as numbers, dates as dates, a hidden sheet, merged and blank rows, a formula",
        mapping="""
columns: {prefix: Prefix, destination: Country, price: Price, effective_from: Valid from, increments: Min/Inc}
""",
        write=_workbook(
            ("Old", [["Prefix", "Price"], [1.0, 9.0]]),
            (
                "Rates 2026",
                [
                    ["Delta Carrier Services"],
                    [],
                    ["Prefix", "Country", "Price", "Min/Inc", "Valid from", None],
                    [49.0, "Germany", 0.1, "60/60", date(2026, 12, 1)],
                    [],
                    [Raw("<v>4.9300E+4</v>"), "Berlin", Raw("<f>D4/10</f><v>0.01</v>"), "60/60", 46357],
                    [49301234567.0, "One number", Raw("<v>0.10000000000000001</v>"), "1/1", date(2026, 12, 1)],
                ],
            ),
            hidden="Old",
            merged=["A1:E1"],
        ),
        rates=[
            ("49", "Germany", "0.10", "60/60", "2026-12-01"),
            ("49300", "Berlin", "0.01", "60/60", "2026-12-01"),
            ("49301234567", "One number", "0.10", "1/1", "2026-12-01"),
        ],
    ),
    Layout(
        name="a workbook that changes present prices by percentages",
        mapping="""
columns: {prefix: Code, percent: Change, effective_from: From}
percent_fraction: true
price: {places: 4, round: up}
sheet: Notice
""",
        write=_workbook(
            ("Cover", [["see Notice"]]),
            ("Notice", [["Code", "Change", "From"], ["49", 0.05, date(2026, 12, 1)], ["44", -0.1, date(2026, 12, 1)]]),
        ),
        rates=[],
        percent=True,
    ),
    Layout(
        name="pipes, no header, thousands, old line ends, all that there is",
        mapping="""
header: none
columns: {prefix: "#1", destination: "#2", price: "#4", increments: "#3", effective_from: "#5", effective_to: "#6"}
decimal: ","
thousands: "."
dates: ["%Y%m%d"]
to_is_last_day: true
full: true
""",
        write=_text(
            [
                "88213|Satellite|60+60|1.560,5|20261201|20261231",
                "49|Germany|1|0,01|20261201|",
                "44|UK|60|0,02|20261201|",
            ],
            "utf-8",
            "\r",
        ),
        rates=[
            ("88213", "Satellite", "1560.50", "60/60", "2026-12-01"),
            ("49", "Germany", "0.01", "1/1", "2026-12-01"),
            ("44", "UK", "0.02", "60/60", "2026-12-01"),
        ],
    ),
    Layout(
        name="a workbook of texts: apostrophes, plus signs and 00 before codes, ranges, prices for 6 s",
        mapping="""
columns: {prefix: Dialcodes, destination: Region, price: "Price / 6 s", connect_fee: Fee, status: Action}
strip: ["00"]
price: {per_s: 6}
increments: 6/6
statuses: {"=": ignore, off: forbid}
""",
        write=_workbook(
            (
                "Sheet1",
                [
                    ["Region", "Dialcodes", "Price / 6 s", "Fee", "Action"],
                    ["Mali", "'223; +2236 - 8", "0.02", "0.05", "added"],
                    ["Mali", "00 223 9", "0.02", 0, "new"],
                    ["Chad", "235", "", "", "="],
                    ["Niger", "227", "", "", "Off"],
                ],
            )
        ),
        rates=[
            *((prefix, "Mali", "0.20", "6/6", "") for prefix in ("223", "2236", "2237", "2238", "2239")),
            ("227", "Niger", "forbidden", "1/1", ""),
        ],
    ),
)
