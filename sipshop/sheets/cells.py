"""What a cell of a rate sheet means: exact numbers, prefixes and lists of them, instants.

Each function returns what to take for a text or raises ValueError with what is wrong. Numbers never become floats.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from sipshop.billing.calendar import Calendar
from sipshop.billing.money import RoundMode
from sipshop.config import shown
from sipshop.sheets.mapping import Mapping

Cell = str | Decimal | datetime
"""A cell: what is written there; a workbook's own number, exactly as short as it shows it, or its date, in no zone."""

MOST_PREFIXES: Final = 10_000
"""So many prefixes may stand in one cell."""
_E164_DIGITS: Final = 15
_EXPONENT: Final = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE][+-]?[0-9]{1,3}")
_PLAIN: Final = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?")
#: A workbook counts days from here; what is earlier or later than these serials is no date of a price.
_DAY_ZERO: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - a workbook's days are in no zone
_SERIALS: Final = (30_000, 80_000)
_NANO_PLACES: Final = 9
_PRICE_LIMIT: Final = 10**18


def written(cell: Cell) -> str:
    """A cell as a text for people: 49 where a workbook keeps 49.0."""
    match cell:
        case Decimal():
            text = format(cell, "f")
            return text.rstrip("0").rstrip(".") if "." in text else text
        case datetime():
            return cell.isoformat(" ")
        case _:
            return cell


def number_text(cell: Cell, mapping: Mapping) -> str:
    """A cell as the mapping's numbers are written; a workbook's own numbers have their point whatever it says."""
    match cell:
        case datetime():
            raise ValueError(f"{shown(written(cell))} is a date, not a number: the workbook has taken it for one")
        case Decimal():
            return written(cell).replace(".", mapping.decimal)
        case _:
            return cell


def read_number(text: str, mapping: Mapping) -> tuple[int, int]:
    """Return an exact decimal as digits and how many of them are places, read by a mapping's signs.

    >>> read_number("1.560,05", Mapping(columns={}, decimal=",", thousands="."))
    (156005, 2)
    """
    bare = text.replace("\u00a0", " ").strip()
    for sign in mapping.currency:
        if bare.startswith(sign) or bare.endswith(sign):
            bare = bare.removeprefix(sign).removesuffix(sign).strip()
            break
    if _EXPONENT.fullmatch(bare):
        bare = _without_exponent(bare.replace(mapping.decimal, "."))
    else:
        bare = _with_point(bare, mapping)
    found = _PLAIN.fullmatch(bare)
    if found is None:
        raise ValueError(f"{shown(text)} is not a number{_why_not(text, mapping)}")
    if found[1]:
        raise ValueError(f"{shown(text)} is below zero")
    places = (found[3] or "").rstrip("0")
    if len(found[2]) > 12 or len(places) > 30:
        raise ValueError(f"{shown(text)} has more digits than any price")
    return int(found[2] + places), len(places)


def _with_point(text: str, mapping: Mapping) -> str:
    """Put a point for the decimal sign and take the thousands' away, which have to stand where they do."""
    whole, sign, places = text.partition(mapping.decimal)
    if mapping.thousands and mapping.thousands in whole:
        first, *rest = whole.lstrip("-").split(mapping.thousands)
        if not 1 <= len(first) <= 3 or any(len(group) != 3 for group in rest):
            return text
        whole = whole.replace(mapping.thousands, "")
    return f"{whole}.{places}" if sign else whole


def _without_exponent(text: str) -> str:
    try:
        return format(Decimal(text), "f")
    except InvalidOperation:
        return text


def _why_not(text: str, mapping: Mapping) -> str:
    if any(sign in text for sign in "$€£¥"):
        return ": it has a currency sign that the mapping does not name"
    if mapping.decimal == "." and "," in text:
        return ": a comma is neither the decimal sign nor between thousands in this mapping"
    if mapping.decimal == "," and "." in text:
        return ": the decimal sign of this mapping is a comma, and no point stands between its thousands"
    return ""


def read_price(text: str, mapping: Mapping) -> int:
    """Return the nano-units a minute of a price, which is for as many seconds as the mapping says."""
    digits, places = read_number(text, mapping)
    return _nanos(digits * 60, places + (2 if mapping.price_cents else 0), mapping.price_per_s, mapping)


def read_fee(text: str, mapping: Mapping) -> int:
    """Return the nano-units of what a call costs at once."""
    digits, places = read_number(text, mapping)
    return _nanos(digits, places + (2 if mapping.price_cents else 0), 1, mapping)


def _nanos(num: int, places: int, per: int, mapping: Mapping) -> int:
    """Return `num / (10**places * per)` units in nano-units, rounded once as the mapping says."""
    nanos = rounded(num * 10**_NANO_PLACES, 10**places * per, mapping.price_places, mapping.price_mode)
    if nanos >= _PRICE_LIMIT:
        raise ValueError("is more than any price")
    return nanos


def rounded(num: int, den: int, places: int, mode: RoundMode) -> int:
    """Return `num / den`, which is not negative, in whole steps of as many decimal places of a nano-unit's unit."""
    step: int = 10 ** (_NANO_PLACES - places)
    unit = den * step
    steps, rest = divmod(num, unit)
    match mode:
        case RoundMode.UP:
            more = rest > 0
        case RoundMode.DOWN:
            more = False
        case RoundMode.HALF_UP:
            more = 2 * rest >= unit
        case RoundMode.HALF_EVEN:
            more = 2 * rest > unit or (2 * rest == unit and steps % 2 == 1)
    return (steps + more) * step


def read_percent(text: str, mapping: Mapping) -> int:
    """Return a change in millionths, such as 50000 for +5 %; it may be negative, and takes no more than all away.

    >>> read_percent("-2.5 %", Mapping(columns={}))
    -25000
    """
    bare = text.strip().removesuffix("%").strip()
    is_less = bare.startswith("-")
    digits, places = read_number(bare.removeprefix("-").removeprefix("+"), mapping)
    if mapping.percent_fraction:
        digits *= 100
        while places and not digits % 10:
            digits, places = digits // 10, places - 1
    if places > 4:
        raise ValueError(f"{shown(text)} has more than 4 decimal places")
    ppm: int = digits * 10 ** (4 - places)
    if ppm > (1_000_000 if is_less else 10_000_000):
        raise ValueError(f"{shown(text)} is not a change from -100 to 1000 percent")
    return -ppm if is_less else ppm


# Prefixes.


def read_prefixes(country: str, areas: str, mapping: Mapping) -> list[str]:
    """Return the prefixes of a country code and a list of area codes, or of a list of whole prefixes.

    >>> read_prefixes("", "4930; 4940-42", Mapping(columns={}))
    ['4930', '4940', '4941', '4942']
    >>> read_prefixes("49", "0, 30", Mapping(columns={}, no_area=("0",)))
    ['49', '4930']
    """
    found: list[str] = []
    head = _code(country, mapping) if country else ""
    for part in _parts(areas, mapping):
        if head and part in mapping.no_area:
            found.append(_checked(head))
            continue
        first, dash, last = part.partition("-")
        start = _area(first, head, mapping)
        if dash:
            found += _range(start, _bare(last), len(head), part)
        else:
            found.append(_checked(start))
        if len(found) > MOST_PREFIXES:
            raise ValueError(f"has more than {MOST_PREFIXES} prefixes")
    if not found and head:
        found.append(_checked(head))
    return found


def _parts(text: str, mapping: Mapping) -> list[str]:
    for separator in mapping.separators[1:]:
        text = text.replace(separator, mapping.separators[0])
    text = re.sub(r"\s*[-\u2013]\s*", "-", text)
    return [part.strip() for part in text.split(mapping.separators[0]) if part.strip()]


def _area(text: str, head: str, mapping: Mapping) -> str:
    """A whole prefix, or behind a country code an area's, whose zeros belong to it."""
    return head + _bare(text) if head else _code(text, mapping)


def _bare(text: str) -> str:
    digits = text.replace(" ", "").replace("\u00a0", "").removeprefix("'")
    if not (digits.isascii() and digits.isdecimal()):
        what = " was written as a number with an exponent, and digits are lost" if _EXPONENT.fullmatch(digits) else ""
        raise ValueError(f"{shown(text)}{what or ' is not a prefix: digits, country code first'}")
    return digits


def _code(text: str, mapping: Mapping) -> str:
    """A country code, or a prefix that begins with one, without what is dialled before it."""
    digits = _bare(text.strip().removeprefix("'").removeprefix("+"))
    for before in mapping.strip:
        if digits.startswith(before):
            return digits.removeprefix(before)
    return digits


def _checked(prefix: str) -> str:
    if not prefix or len(prefix) > _E164_DIGITS or prefix[0] == "0":
        raise ValueError(
            f"{shown(prefix)} is not a prefix: 1 to {_E164_DIGITS} digits with the country code, no 0 first"
        )
    return prefix


def _range(first: str, last: str, head: int, text: str) -> Iterator[str]:
    """Yield what lies between two prefixes; a second one that is shorter has the first one's beginning."""
    last_whole = last if len(last) > len(first) - head else first[: len(first) - len(last)] + last
    if len(last_whole) != len(first) or last_whole < first:
        raise ValueError(f"{shown(text)} is not a range: it goes up, and both ends have as many digits")
    if int(last_whole) - int(first) >= MOST_PREFIXES:
        raise ValueError(f"{shown(text)} has more than {MOST_PREFIXES} prefixes")
    for number in range(int(first), int(last_whole) + 1):
        yield _checked(str(number).rjust(len(first), "0"))


# Instants.


def read_instant(cell: Cell, mapping: Mapping, calendar: Calendar, *, days: int = 0) -> int:
    """Return the UTC milliseconds of a date, or date and time, as the deck's clocks show it, and so many days later."""
    at = cell if isinstance(cell, datetime) else _parsed(cell, mapping.dates)
    at += timedelta(days=days)
    if not 1990 <= at.year <= 2200:
        raise ValueError(f"{shown(written(cell))} is in the year {at.year}")
    if at.tzinfo is None and (at.hour, at.minute, at.second, at.microsecond) == (0, 0, 0, 0):
        return calendar.instant(at.date().isoformat())
    return calendar.instant(at.isoformat())


def _parsed(cell: str | Decimal, formats: Sequence[str]) -> datetime:
    text = written(cell)
    for form in formats:
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007 - the zone is the deck's, unless the format has one
        except ValueError:
            continue
    if isinstance(cell, Decimal) and _SERIALS[0] <= cell <= _SERIALS[1]:
        return _DAY_ZERO + timedelta(days=int(cell))
    try:
        if len(text) == 10:
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day)  # noqa: DTZ001 - as above
        return datetime.fromisoformat(text)
    except ValueError:
        known = ", ".join(formats) or "2026-12-31: say in `dates` how this carrier writes them"
        raise ValueError(f"{shown(text)} is not a date; known here: {known}") from None
