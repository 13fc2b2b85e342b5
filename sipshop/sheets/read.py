"""From the rows of a sheet to what it wants of each prefix, by a mapping; what cannot be read is told row by row.

Nothing is dropped: a row is blank, stands before the header, is one that the mapping ignores, is a bad one, or gives
its prefixes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from sipshop.billing.calendar import Calendar
from sipshop.config import nearest, shown
from sipshop.sheets.cells import (
    Cell,
    number_text,
    read_fee,
    read_instant,
    read_percent,
    read_prefixes,
    read_price,
    written,
)
from sipshop.sheets.mapping import STATUSES, Mapping, Status, read_increments
from sipshop.sheets.table import MAX_CELL, BadSheet, Row

MAX_LINES: Final = 1_000_000
"""So many prefixes a sheet has at most."""
_HEADER_WITHIN: Final = 100
_DESTINATION_LENGTH: Final = 64
_MOST_REMEMBERED: Final = 100_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a call costs: nano-units a call and a minute, and increments in seconds; many prefixes share one."""

    fee_nanos: int
    first_s: int
    first_price_nanos: int
    next_s: int
    next_price_nanos: int


class Line(NamedTuple):
    """What a sheet wants of one prefix from an instant on, None: from when it is taken in.

    With `percent_ppm` the price is the present one changed by so much, and only the increments of `terms` count, where
    it has some. A tuple, because a sheet has a million of them.
    """

    line: int
    prefix: str
    destination: str
    status: Status
    terms: Terms | None
    percent_ppm: int | None
    from_ms: int | None
    to_ms: int | None


class Reject(NamedTuple):
    """A row that cannot be taken, and why; `field` is what the mapping calls the column, and may be empty."""

    line: int
    field: str
    reason: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {f'{self.field}: ' if self.field else ''}{self.reason}"


@dataclass(slots=True)
class Reading:
    """What was read of a sheet; `duplicates` are lines that say again what another one has said."""

    lines: list[Line] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    ignored: list[Reject] = field(default_factory=list)
    duplicates: list[Reject] = field(default_factory=list)
    rows: int = 0
    preamble: int = 0


class _Bad(Exception):
    """This row cannot be taken."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


def read_lines(
    rows: Iterable[Row],
    mapping: Mapping,
    calendar: Calendar,
    *,
    tell: Callable[[int], None] = lambda _line: None,
) -> Reading:
    """Read a sheet; `tell` hears how far it is, by the line.

    Raises:
        BadSheet: it has not the columns that the mapping names, or is too long.
    """
    reading = Reading()
    rest = iter(rows)
    places = _places(rest, mapping, reading)
    reader = _RowReader(mapping, calendar, places)
    known: dict[tuple[str, int | None], Line] = {}
    for row in rest:
        reading.rows += 1
        if not reading.rows % 1000:
            tell(row.line)
        if reader.is_ignored(row):
            reading.ignored.append(Reject(row.line, "", "is ignored by the mapping", _text_of(row)))
            continue
        try:
            for line in reader.read(row):
                _keep(line, row, reading, known)
        except _Bad as bad:
            reading.rejects.append(Reject(row.line, bad.column, str(bad), _text_of(row)))
        if len(reading.lines) > MAX_LINES:
            raise BadSheet(f"has more than {MAX_LINES} prefixes")
    while known:  # bit by bit: no other thread runs while a long table goes
        known.popitem()
    return reading


def _keep(line: Line, row: Row, reading: Reading, known: dict[tuple[str, int | None], Line]) -> None:
    """Keep a line, unless one before it says the same, or another thing of the same prefix at the same time."""
    before = known.setdefault((line.prefix, line.from_ms), line)
    if before is line:
        reading.lines.append(line)
    elif before._replace(line=line.line) == line:
        told = f"prefix {line.prefix} is given at line {before.line} already, alike"
        reading.duplicates.append(Reject(row.line, "prefix", told, _text_of(row)))
    else:
        raise _Bad("prefix", f"prefix {line.prefix} is given at line {before.line} already, in another way")


def _text_of(row: Row) -> str:
    """A row for people, cut to what a line bears; what does not print is escaped."""
    text = " | ".join(written(cell) for cell in row.cells)[:400]
    return text if text.isprintable() else ascii(text)[1:-1]


# The header.


def _places(rows: Iterator[Row], mapping: Mapping, reading: Reading) -> dict[str, int]:
    """Find the header, and return where each column stands, from 0."""
    numbers = {name: int(title[1:]) - 1 for name, title in mapping.columns.items() if title.startswith("#")}
    if not mapping.has_header:
        return numbers
    titles = {name: _plain(title) for name, title in mapping.columns.items() if name not in numbers}
    wanted = set(titles.values())
    best: tuple[int, Row | None] = (0, None)
    for row in rows:
        if mapping.header is not None and row.line < mapping.header:
            reading.preamble += 1
            continue
        found = [_plain(written(cell)) for cell in row.cells]
        twice = sorted(title for title in titles.values() if found.count(title) > 1)
        if not wanted - set(found) and not twice:
            return numbers | {name: found.index(title) for name, title in titles.items()}
        hits = len(wanted & set(found))
        if best[1] is None or hits > best[0]:
            best = hits, row
        reading.preamble += 1
        if twice and not wanted - set(found):
            raise BadSheet(f"line {row.line}: the header has two columns named {shown(twice[0])}: name them by number")
        if mapping.header is not None or reading.preamble >= _HEADER_WITHIN:
            break
    raise BadSheet(_no_header(best[1], mapping, titles))


def _no_header(row: Row | None, mapping: Mapping, titles: Table[str, str]) -> str:
    if row is None:
        return "is empty" if mapping.header is None else f"has no line {mapping.header} where the header should be"
    found = [written(cell).strip() for cell in row.cells]
    missing = next(name for name, title in titles.items() if title not in map(_plain, found))
    named = mapping.columns[missing]
    where = f"line {row.line}" if mapping.header is not None else "the first lines"
    return f"{where}: no column is named {shown(named)} ({missing}){nearest(named, found)}"


def _plain(title: str) -> str:
    """A title without its case, and with one space where there are many, or ends of lines."""
    return " ".join(title.split()).casefold()


# Rows.


class _RowReader:
    """Reads one row after the other; what was read once in a column is not read again."""

    def __init__(self, mapping: Mapping, calendar: Calendar, places: Table[str, int]) -> None:
        self._mapping = mapping
        self._calendar = calendar
        self._places = places
        self._needed = max(places.values(), default=0) + 1
        self._statuses = {**STATUSES, **mapping.statuses}
        self._known: dict[tuple[str, Cell], object] = {}
        self._terms: dict[Terms, Terms] = {}
        self._names: dict[str, str] = {}

    def is_ignored(self, row: Row) -> bool:
        """Whether the mapping says that such a row is none."""
        if not self._mapping.ignore:
            return False
        first = next((written(cell).strip() for cell in row.cells if cell != ""), "")
        return first.startswith(self._mapping.ignore)

    def read(self, row: Row) -> Iterator[Line]:
        """Yield a line for each prefix of a row."""
        cells = row.cells
        status = self._of("status", cells, self._status, Status.SET)
        if status is Status.IGNORE:
            return
        prefixes = self._prefixes(cells)
        destination = self._destination(cells, is_needed=status is not Status.DELETE)
        from_ms = self._of("effective_from", cells, self._instant, None)
        to_ms = self._of("effective_to", cells, self._end, None)
        if from_ms is not None and to_ms is not None and to_ms <= from_ms:
            raise _Bad("effective_to", "is not after effective_from")
        percent_ppm, terms = None, None
        if status is Status.SET:
            percent_ppm = self._of("percent", cells, self._percent, None)
            terms = self._read_terms(cells, is_percent=percent_ppm is not None)
        for prefix in prefixes:
            yield Line(row.line, prefix, destination, status, terms, percent_ppm, from_ms, to_ms)

    def _text(self, column: str, cells: Sequence[Cell]) -> str:
        place = self._places.get(column)
        if place is None or place >= len(cells):
            return ""
        text = written(cells[place])
        if len(text) > MAX_CELL:
            raise _Bad(column, f"has more than {MAX_CELL} characters")
        return text.strip()

    def _of(self, column: str, cells: Sequence[Cell], parse: Callable[[Cell], T], empty: T) -> T:
        """What `parse` makes of a cell; where nothing stands `empty`."""
        place = self._places.get(column)
        if place is None or place >= len(cells):
            return empty
        cell = cells[place]
        if isinstance(cell, str):
            cell = cell.strip()
            if not cell:
                return empty
        key = column, cell
        if key not in self._known:
            try:
                found = parse(cell)
            except ValueError as error:
                raise _Bad(column, str(error)) from None
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[key] = found
        known: T = self._known[key]  # type: ignore[assignment] # the key says which column's it is
        return known

    def _prefixes(self, cells: Sequence[Cell]) -> list[str]:
        country = self._text("country", cells)
        column = "areas" if "areas" in self._places else "prefix"
        listed = self._text(column, cells)
        if not country and not listed:
            has_country = "country" in self._places
            raise _Bad("country" if has_country else "prefix", "is missing" + self._short(cells))
        if "country" in self._places and not country:
            raise _Bad("country", "is missing" + self._short(cells))
        try:
            found = read_prefixes(country, listed, self._mapping)
        except ValueError as error:
            raise _Bad(column if listed else "country", str(error)) from None
        if not found:
            raise _Bad(column, f"{shown(listed)} has no prefix")
        if len(set(found)) < len(found):
            twice = next(prefix for prefix in found if found.count(prefix) > 1)
            raise _Bad(column, f"has prefix {twice} twice")
        return found

    def _short(self, cells: Sequence[Cell]) -> str:
        return f": the row has {len(cells)} of {self._needed} cells" if len(cells) < self._needed else ""

    def _destination(self, cells: Sequence[Cell], *, is_needed: bool) -> str:
        text = " ".join(self._text("destination", cells).replace("/", "-").split())
        known = self._names.get(text)
        if known is not None:
            return known
        if not text and is_needed and "destination" in self._places:
            raise _Bad("destination", "is missing" + self._short(cells))
        if len(text) > _DESTINATION_LENGTH or not text.isprintable() or "\ufffd" in text:
            raise _Bad("destination", f"{shown(text)} is not a name: 1 to {_DESTINATION_LENGTH} characters that print")
        return self._names.setdefault(text, text)

    def _read_terms(self, cells: Sequence[Cell], *, is_percent: bool) -> Terms | None:
        increments = self._of("increments", cells, self._increments, self._mapping.increments)
        if "first_s" in self._places:
            first_s = self._of("first_s", cells, self._seconds, None)
            next_s = self._of("next_s", cells, self._seconds, first_s)
            if first_s is None or next_s is None:
                if increments is None:
                    raise _Bad("first_s", "is missing" + self._short(cells))
            else:
                increments = first_s, next_s
        price = self._of("price", cells, self._price, None)
        if is_percent:
            if price is not None:
                raise _Bad("percent", "a price stands in the row as well: which of them holds?")
            return None if increments is None else self._shared(Terms(0, increments[0], 0, increments[1], 0))
        if price is None:
            column = "price" if "price" in self._places else "percent"
            raise _Bad(column, "is missing" + self._short(cells))
        if increments is None:
            raise _Bad("increments", "is missing" + self._short(cells))
        first_price = self._of("first_price", cells, self._price, None)
        fee = self._of("connect_fee", cells, self._fee, None)
        return self._shared(
            Terms(fee or 0, increments[0], price if first_price is None else first_price, increments[1], price)
        )

    def _shared(self, terms: Terms) -> Terms:
        return self._terms.setdefault(terms, terms)

    # What a cell must be.

    def _status(self, cell: Cell) -> Status:
        word = " ".join(written(cell).lower().split())
        found = self._statuses.get(word)
        if found is None:
            raise ValueError(f"{shown(word)} is not a status that the mapping knows{nearest(word, self._statuses)}")
        return found

    def _price(self, cell: Cell) -> int | None:
        return read_price(number_text(cell, self._mapping), self._mapping)

    def _fee(self, cell: Cell) -> int | None:
        return read_fee(number_text(cell, self._mapping), self._mapping)

    def _percent(self, cell: Cell) -> int | None:
        return read_percent(number_text(cell, self._mapping), self._mapping)

    def _increments(self, cell: Cell) -> tuple[int, int] | None:
        return read_increments(written(cell))

    def _seconds(self, cell: Cell) -> int | None:
        first_s, next_s = read_increments(written(cell))
        if first_s != next_s:
            raise ValueError(f"{shown(written(cell))} is not a number of seconds")
        return first_s

    def _instant(self, cell: Cell) -> int | None:
        return read_instant(cell, self._mapping, self._calendar)

    def _end(self, cell: Cell) -> int | None:
        return read_instant(cell, self._mapping, self._calendar, days=int(self._mapping.to_is_last_day))
