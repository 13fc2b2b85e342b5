"""A mapping that a sheet's header suggests; somebody looks at it before it is used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from sipshop.sheets.cells import written
from sipshop.sheets.mapping import Mapping, read_increments
from sipshop.sheets.table import BadSheet, Row

#: What titles of columns say, the more telling ones first.
_WORDS: Final = (
    ("percent", r"percent|%|change in"),
    ("effective_to", r"(?:end|expir|valid to|valid until|effective (?:to|until|end)|till)"),
    ("effective_from", r"effective|valid|start|activation|begin|from|date"),
    ("country", r"country (?:code|dial)|^cc$|^country$"),
    ("areas", r"area|city code|^ac$|region code|breakout"),
    ("connect_fee", r"connect|setup|set-up|per call|fee|charge per"),
    ("first_s", r"(?:first|initial|min(?:imum)?)\b.*(?:inc|interval|int|sec|dur|time|period|s$)|^first$|^initial$"),
    ("next_s", r"^next$|(?:next|sub|recur|further|add).*(?:inc|interval|int|sec|dur|time|period|s$)"),
    ("increments", r"incr|interval|billing|granular|rounding|pulse"),
    ("status", r"status|change|comment|action|indicator|remark"),
    ("price", r"price|rate(?!.*(?:type|plan|name))|tariff|cost|/ ?min|per min|amount|usd|eur|cents"),
    ("prefix", r"prefix|dial|code|number|digits|destination id"),
    ("destination", r"destination|country|name|description|location|network|operator|route|zone|region"),
)
_LOOKED_AT: Final = 60
_DATES: Final = (
    (re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ].*)?"), ""),
    (re.compile(r"(?:1[3-9]|2\d|3[01])/\d{1,2}/\d{4}"), "%d/%m/%Y"),
    (re.compile(r"\d{1,2}/(?:1[3-9]|2\d|3[01])/\d{4}"), "%m/%d/%Y"),
    (re.compile(r"\d{1,2}\.\d{1,2}\.\d{4}"), "%d.%m.%Y"),
    (re.compile(r"\d{8}"), "%Y%m%d"),
    (re.compile(r"\d{1,2}-[A-Za-z]{3}-\d{4}"), "%d-%b-%Y"),
    (re.compile(r"\d{1,2}-[A-Za-z]{3}-\d{2}"), "%d-%b-%y"),
)


def guess_mapping(rows: Iterable[Row], *, sheet: str = "") -> Mapping:
    """Return a mapping for a sheet that begins so; what it could not find has to be added by hand.

    Raises:
        BadSheet: no row looks like a header with a prefix and a price.
    """
    looked = list(islice(rows, _LOOKED_AT))
    best: tuple[int, Row, dict[str, int]] | None = None
    for row in looked:
        found = _columns([written(cell) for cell in row.cells])
        if best is None or len(found) > best[0]:
            best = len(found), row, found
    if best is None or not {"prefix", "country"} & best[2].keys() or not {"price", "percent"} & best[2].keys():
        raise BadSheet("no row looks like a header: name the columns by their numbers, with `header: none`")
    _, header, places = best
    titles = {name: _title(header, place) for name, place in places.items()}
    below = looked[looked.index(header) + 1 :]
    mapping = Mapping(columns=titles, sheet=sheet)
    if not {"increments", "first_s"} & places.keys():
        mapping = replace(mapping, increments=(60, 60))
    elif "increments" in places and not all(map(_are_increments, _texts(below, places["increments"]))):
        titles.pop("increments")
        mapping = replace(mapping, columns=titles, increments=(60, 60))
    if any(re.fullmatch(r"[^.]*\d,\d+\D*", text) for text in _texts(below, places.get("price"))):
        mapping = replace(mapping, decimal=",")
    return replace(mapping, dates=_dates(_texts(below, places.get("effective_from"))))


def _columns(titles: Sequence[str]) -> dict[str, int]:
    """What the titles of a row seem to mean, each column once."""
    found: dict[str, int] = {}
    for place, title in enumerate(titles):
        plain = " ".join(title.replace("_", " ").casefold().split())
        if len(plain) > 60:
            continue
        meaning = next((name for name, words in _WORDS if name not in found and re.search(words, plain)), None)
        if meaning is not None:
            found[meaning] = place
    if "areas" in found and "country" not in found and "prefix" in found:
        found["country"] = found.pop("prefix")  # a code for the country beside those of its areas
    if "country" in found and "areas" not in found and "prefix" in found:
        found["destination"] = found.pop("country")  # a name, as the whole code stands elsewhere
    return found


def _title(header: Row, place: int) -> str:
    """A column's title, or its number where the title would not tell it from another."""
    titles = [" ".join(written(cell).split()) for cell in header.cells]
    title = titles[place]
    return title if titles.count(title) == 1 and title.isprintable() and title[:1] != "#" else f"#{place + 1}"


def _texts(rows: Iterable[Row], place: int | None) -> list[str]:
    if place is None:
        return []
    cells = (row.cells[place] for row in rows if place < len(row.cells))
    return [cell.strip() for cell in cells if isinstance(cell, str) and cell.strip()]


def _are_increments(text: str) -> bool:
    try:
        read_increments(text)
    except ValueError:
        return False
    return True


def _dates(texts: Sequence[str]) -> tuple[str, ...]:
    """The first format that fits every date of a column; where day and month could be taken for one another none."""
    if not texts:
        return ()
    fitting = [form for pattern, form in _DATES if any(map(pattern.fullmatch, texts))]
    return tuple(form for form in dict.fromkeys(fitting) if form)
