"""How a carrier writes his rate sheets: which column means what, and how its cells are to be read.

A mapping is a small YAML (or JSON, which is YAML too); docs/decks.md explains every key. It never guesses: what is not
said is as the defaults here have it, and a cell that does not fit is told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping as Table
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Final

from sipshop.billing.money import RoundMode
from sipshop.config import Problem, Problems, Section, read_yaml, shown


class Status(StrEnum):
    """What a row wants done with its prefixes."""

    SET = "set"  # they have this price
    DELETE = "delete"  # they are not sold any more
    FORBID = "forbid"  # they are refused
    IGNORE = "ignore"  # the row says nothing


#: What a column may be.
COLUMNS: Final = (
    *("prefix", "country", "areas", "destination", "price", "first_price", "connect_fee"),
    *("increments", "first_s", "next_s", "effective_from", "effective_to", "status", "percent"),
)

#: Words that carriers have for what is to be done, in lower case; those of a mapping come on top.
STATUSES: Final[Table[str, Status]] = {
    **dict.fromkeys(("", "new", "add", "added", "increase", "increased", "decrease", "decreased"), Status.SET),
    **dict.fromkeys(("change", "changed", "no change", "unchanged", "current", "same", "active", "open"), Status.SET),
    **dict.fromkeys(("delete", "deleted", "remove", "removed", "withdrawn", "discontinued", "closed"), Status.DELETE),
    **dict.fromkeys(("block", "blocked", "forbidden", "barred"), Status.FORBID),
}

PRICE_PLACES: Final = 9
_DELIMITERS: Final = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", ",": ",", ";": ";", "|": "|"}
_ENCODINGS: Final = ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252")
_SEPARATORS: Final = {"", ".", ",", "'", " "}
_MOST_COLUMNS: Final = 64
_MOST_TEXT: Final = 200


class BadMapping(Exception):
    """A mapping cannot be used; `errors` are all of its errors, by line."""

    def __init__(self, errors: tuple[Problem, ...]) -> None:
        self.errors = errors
        super().__init__("\n".join(map(str, errors)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """How the sheets of a carrier are read.

    `columns` are what a column means by its name in the header, or by `#` and its number from 1. Without a `header` it
    is the first row that has all those names. A price is for `price_per_s` seconds, in hundredths where `price_cents`;
    a minute's is rounded to `price_places`. With `percent_fraction` 0.05 is 5 %, as workbooks keep it. `full` says
    that a sheet names all prefixes: the others are withdrawn.
    """

    columns: Table[str, str]
    sheet: str = ""
    header: int | None = None
    has_header: bool = True
    delimiter: str = ""
    encoding: str = ""
    separators: str = ";,"
    no_area: tuple[str, ...] = ()
    strip: tuple[str, ...] = ()
    price_per_s: int = 60
    price_cents: bool = False
    price_places: int = PRICE_PLACES
    price_mode: RoundMode = RoundMode.HALF_UP
    decimal: str = "."
    thousands: str = ""
    currency: tuple[str, ...] = ()
    percent_fraction: bool = False
    increments: tuple[int, int] | None = None
    dates: tuple[str, ...] = ()
    to_is_last_day: bool = False
    statuses: Table[str, Status] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    full: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return what `parse_mapping` reads, without what goes without saying."""
        said: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in _PLAIN and value != each.default and value not in {(), ""}:
                said[each.name] = list(value) if isinstance(value, tuple) else value
        if not self.has_header:
            said["header"] = "none"
        elif self.header is not None:
            said["header"] = self.header
        if self.increments is not None:
            said["increments"] = f"{self.increments[0]}/{self.increments[1]}"
        price = {
            "per_s": self.price_per_s if self.price_per_s != 60 else None,
            "cents": self.price_cents or None,
            "places": self.price_places if self.price_places != PRICE_PLACES else None,
            "round": self.price_mode.value if self.price_mode is not RoundMode.HALF_UP else None,
        }
        said["price"] = {key: value for key, value in price.items() if value is not None}
        said["statuses"] = {word: status.value for word, status in self.statuses.items()}
        return {"columns": dict(self.columns), **{key: value for key, value in said.items() if value or value == 0}}

    @property
    def text(self) -> str:
        """The mapping as a text for people, which `parse_mapping` reads."""
        return "".join(_lines(self.to_json()))


_PLAIN: Final = frozenset(
    {
        *("sheet", "delimiter", "encoding", "separators", "no_area", "strip", "decimal", "thousands", "currency"),
        *("percent_fraction", "dates", "to_is_last_day", "ignore", "full"),
    }
)


def _lines(values: Table[str, Any]) -> list[str]:
    """YAML of two levels; every text stands in double quotes with JSON's escapes, which are YAML's too."""
    lines: list[str] = []
    for key, value in values.items():
        if isinstance(value, dict):
            lines += [f"{key}:\n", *(f"  {_word(name)}: {_word(each)}\n" for name, each in value.items())]
        else:
            lines.append(f"{key}: {_word(value)}\n")
    return lines


def _word(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def parse_mapping(text: str, filename: str) -> Mapping:
    """Return the mapping that a text describes.

    Raises:
        BadMapping: it cannot be read, or something in it is missing, unknown or out of range.
    """
    problems = Problems(filename)
    section = read_yaml(text, problems)
    mapping = _mapping(section) if section is not None else None
    if problems or mapping is None:
        raise BadMapping(problems.in_order())
    return mapping


def _mapping(section: Section) -> Mapping:
    columns = _columns(section.part("columns"))
    if not columns and section.sound:
        section.fault("columns", "is missing: it says which column means what")
    price = section.part("price")
    header = section.text("header", "", check=_header)
    increments = section.text("increments", "", check=_increments_text)
    found = Mapping(
        columns=columns,
        sheet=section.text("sheet", "", check=_line),
        header=int(header) if header.isdigit() else None,
        has_header=header != "none",
        delimiter=section.text("delimiter", "", check=_delimiter),
        encoding=section.text("encoding", "", check=_encoding),
        separators=section.text("separators", ";,", check=_list_separators),
        no_area=section.texts("no_area", (), check=_line),
        strip=section.texts("strip", (), check=_digits),
        price_per_s=price.integer("per_s", 60, low=1, high=3600),
        price_cents=price.flag("cents", default=False),
        price_places=price.integer("places", PRICE_PLACES, low=0, high=PRICE_PLACES),
        price_mode=price.choice("round", RoundMode, RoundMode.HALF_UP),
        decimal=section.text("decimal", ".", check=_decimal),
        thousands=section.text("thousands", "", check=_thousands),
        currency=section.texts("currency", (), check=_line),
        percent_fraction=section.flag("percent_fraction", default=False),
        increments=read_increments(increments) if increments else None,
        dates=section.texts("dates", (), check=_date_format),
        to_is_last_day=section.flag("to_is_last_day", default=False),
        statuses=_statuses(section.part("statuses")),
        ignore=section.texts("ignore", (), check=_line),
        full=section.flag("full", default=False),
    )
    price.end()
    _check_together(section, found)
    section.end()
    return found


def _columns(section: Section) -> dict[str, str]:
    columns = {name: section.text(name, check=_line) for name in COLUMNS if section.has(name)}
    section.end()
    return columns


def _check_together(section: Section, mapping: Mapping) -> None:
    """Tell what does not go together; a mapping that lacks something would make every row a bad one."""
    columns = mapping.columns
    if columns and "prefix" not in columns and "country" not in columns:
        section.fault("columns", "has no prefix, and no country and areas either")
    if "areas" in columns and "country" not in columns:
        section.fault("columns", "has areas, but no country that they are in")
    if columns and "price" not in columns and "percent" not in columns:
        section.fault("columns", "has no price and no percent")
    if "price" in columns and not section.has("increments") and not {"increments", "first_s"} & columns.keys():
        section.fault("increments", "is missing: no column says them, so say here how calls are billed, such as 60/60")
    if not mapping.has_header and any(not name.startswith("#") for name in columns.values()):
        section.fault("header", "is none, so columns are named by their numbers, such as #1")
    if mapping.decimal == mapping.thousands:
        section.fault("thousands", "is the decimal sign")


def _statuses(section: Section) -> dict[str, Status]:
    found = {name.strip().lower(): section.choice(name, Status, Status.SET) for name in section.names()}
    section.end()
    return found


def read_increments(text: str) -> tuple[int, int]:
    """Return the first and next increment in seconds of a text such as 60/60, 30+6 or 1; raises ValueError.

    >>> read_increments("60/6"), read_increments("30 - 6"), read_increments("1")
    ((60, 6), (30, 6), (1, 1))
    """
    parts = [part.strip() for part in text.replace("+", "/").replace("-", "/").split("/")]
    if not 1 <= len(parts) <= 2 or not all(part.isascii() and part.isdecimal() and len(part) < 6 for part in parts):
        raise ValueError(f"{shown(text)} are no increments such as 60/60, 30/6 or 1")
    first_s, next_s = int(parts[0]), int(parts[-1])
    if not (1 <= first_s <= 3600 and 1 <= next_s <= 3600):
        raise ValueError(f"{shown(text)}: an increment has 1 to 3600 seconds")
    return first_s, next_s


# What a text must be: each returns what to take for it, or raises ValueError with what is wrong.


def _line(text: str) -> str:
    if not text or len(text) > _MOST_TEXT or not text.isprintable():
        raise ValueError(f"{shown(text)} is not a text of 1 to {_MOST_TEXT} printable characters")
    if text.startswith("#") and not (text[1:].isdecimal() and text.isascii() and 1 <= int(text[1:4]) <= _MOST_COLUMNS):
        raise ValueError(f"{shown(text)} is not a column's number, #1 to #{_MOST_COLUMNS}")
    return text


def _header(text: str) -> str:
    if text != "none" and not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 10_000):
        raise ValueError(f"{shown(text)} is not the number of a row, 1 to 10000, or none")
    return text


def _increments_text(text: str) -> str:
    read_increments(text)
    return text


def _delimiter(text: str) -> str:
    found = _DELIMITERS.get(text)
    if found is None and text != "\t":
        raise ValueError(f"{shown(text)} is not a delimiter: comma, semicolon, tab or pipe")
    return found or text


def _encoding(text: str) -> str:
    if text.lower() not in _ENCODINGS:
        raise ValueError(f"{shown(text)} is not one of {', '.join(_ENCODINGS)}")
    return text.lower()


def _list_separators(text: str) -> str:
    if not text or not set(text) <= set(";,/ |"):
        raise ValueError(f"{shown(text)} are not separators of a list: some of ; , / | and the space")
    return text


def _digits(text: str) -> str:
    if not (text.isascii() and text.isdecimal() and len(text) <= 6):
        raise ValueError(f"{shown(text)} is not what stands before a country code: up to 6 digits")
    return text


def _decimal(text: str) -> str:
    if text not in {".", ","}:
        raise ValueError(f"{shown(text)} is not a decimal sign: a point or a comma")
    return text


def _thousands(text: str) -> str:
    if text not in _SEPARATORS:
        raise ValueError(f"{shown(text)} is not what stands between thousands: . , ' or a space")
    return text


def _date_format(text: str) -> str:
    if not any(sign in text for sign in ("%d", "%j")) or not any(sign in text for sign in ("%Y", "%y")):
        raise ValueError(f"{shown(text)} is not a format of dates, such as %d.%m.%Y or %m/%d/%Y %H:%M")
    return _line(text)
