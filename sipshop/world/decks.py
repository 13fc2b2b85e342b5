"""From what people write to decks: an entry of a world's `decks`, or a file of one deck with its rates in a CSV beside.

docs/decks.md explains every key. A rate is the same in both: a key of YAML is a column of the CSV.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Final, Protocol, TypeVar

from sipshop.billing.calendar import Calendar, Window
from sipshop.billing.deck import (
    NO_EXTRAS,
    PERCENT_PLACES,
    PPM,
    ChangePolicy,
    DurationRound,
    Extras,
    IncrementRule,
    MaxPolicy,
    Rate,
    RateDeck,
    Step,
    WindowPolicy,
    clashes,
    scaled,
)
from sipshop.billing.errors import BadDeck
from sipshop.billing.money import (
    Rounding,
    RoundMode,
    check_currency,
    minor_unit_places,
    parse_amount,
    parse_price,
    parse_scaled,
)
from sipshop.config import Problems, Section, nearest, read_flag, read_integer, read_yaml, shown
from sipshop.world.model import WorldErrors

NAME_LENGTH: Final = 64

_EXTRA_FIELDS: Final = (
    *("steps", "grace_s", "free_s", "free_after_first", "surcharge_percent", "min_charge", "max_charge", "max_policy"),
    *("valid_from", "valid_to", "window"),
)
_INCREMENT_FIELDS: Final = ("first_s", "first_price", "next_s", "next_price")
_FIELDS: Final = ("prefix", "destination", "connect_fee", *_INCREMENT_FIELDS, "forbidden", *_EXTRA_FIELDS)
_FACTOR_PLACES: Final = 9
_MOST_FACTOR: Final = 1000
_MOST_PERCENT: Final = 1000
_MOST_DERIVED: Final = 16
_DAY_S: Final = 86_400
_OVER_IMPORTED: Final = (
    "would undo what was imported: version {version} in force is a sheet's. Write `imported: true` in place of the "
    "rates to keep it, or `imported: false` beside them to have them all the same"
)

E = TypeVar("E", bound=StrEnum)

Beside = Callable[[str], Iterable[str]]
"""Gives the lines of a file that stands beside the one that is read, or raises ValueError with why it cannot."""


class _Fields(Protocol):
    """What a rate is read from: a table of YAML, or a row of a CSV; each tells its faults where it stands."""

    sound: bool

    def has(self, key: str) -> bool: ...
    def has_any(self, keys: Sequence[str]) -> bool: ...
    def fault(self, key: str, message: str) -> None: ...
    def text(self, key: str, default: str | None = None, *, check: Callable[[str], str] | None = None) -> str: ...
    def number(self, key: str, parse: Callable[[str], int], default: int | None = None) -> int: ...
    def integer(self, key: str, default: int | None = None, *, low: int, high: int) -> int: ...
    def flag(self, key: str, default: bool | None = None) -> bool: ...
    def choice(self, key: str, kind: type[E], default: E) -> E: ...


class DeckReader:
    """Reads the decks of a world; one that is derived from another may stand before it, and is read in `finish`.

    `known` are the decks that are there, and those of `imported` have their rates from sheets.
    """

    def __init__(self, known: Mapping[str, RateDeck], imported: Container[str]) -> None:
        self.decks: dict[str, RateDeck] = {}
        self.imported: set[str] = set()
        self._known = known
        self._were_imported = imported
        self._names: set[str] = set()
        self._waiting: dict[str, Section] = {}

    def read(self, section: Section, name: str) -> None:
        """Read a deck, or keep it if it is derived."""
        self._names.add(name)
        if section.has("derived"):
            self._waiting.setdefault(name, section)
        else:
            self._take(section, name, None, ())

    def finish(self) -> None:
        """Read the decks that are derived."""
        for name in tuple(self._waiting):
            self._derive(name, ())

    def _derive(self, name: str, path: tuple[str, ...]) -> RateDeck | None:
        section = self._waiting.pop(name, None)
        if section is None:
            return self.decks.get(name)
        path = (*path, name)
        derived = section.part("derived")
        base_name = derived.text("from", check=check_name)
        base = self._derive(base_name, path) if _is_sound_path(derived, base_name, path) else None
        if base_name and base_name not in self._names:
            derived.fault("from", f"there is no deck named {shown(base_name)}{section.nearest(base_name, self._names)}")
        self._take(section, name, base, _derived_rates(derived, base))
        return self.decks.get(name)

    def _take(self, section: Section, name: str, base: RateDeck | None, rates: Sequence[Rate]) -> None:
        is_imported = section.flag("imported", default=False)
        known = self._known.get(name)
        deck = _deck(section, name, base, rates, None, imported=known.rates if known and is_imported else None)
        if is_imported:
            self._check_imported(section)
            self.imported.add(name)
        elif name in self._were_imported and known is not None and not section.has("imported") and deck is not None:
            if deck == known.renewed(deck.version):
                self.imported.add(name)  # the same rates, written out
            else:
                section.fault("rates", _OVER_IMPORTED.format(version=known.version))
        section.end()
        if deck is not None and section.sound:
            self.decks[name] = deck

    def _check_imported(self, section: Section) -> None:
        for key in ("rates", "derived"):
            if section.has(key):
                section.fault(key, "stands in no file: the deck is `imported`, and has the rates of its sheets")


def parse_deck(text: str, filename: str, name: str, beside: Beside) -> RateDeck:
    """Return the deck of a file; it bears `name` unless the file gives it another.

    Raises:
        WorldErrors: it, or a file beside it that it names, cannot be read, or something in it is wrong.
    """
    return _parse_deck(text, filename, name, beside, ())


def _parse_deck(text: str, filename: str, name: str, beside: Beside, path: tuple[str, ...]) -> RateDeck:
    problems = Problems(filename)
    section = read_yaml(text, problems)
    if section is None:
        raise WorldErrors(problems.in_order())
    name = section.text("name", name, check=check_name)
    path = (*path, filename)
    base: RateDeck | None = None
    rates: Sequence[Rate] = ()
    if section.has("derived"):
        derived = section.part("derived")
        base_file = derived.text("from")
        if base_file and _is_sound_path(derived, base_file, path):
            try:
                base = _parse_deck("".join(beside(base_file)), base_file, base_file, beside, path)
            except ValueError as error:
                derived.fault("from", str(error))
        rates = _derived_rates(derived, base)
    deck = _deck(section, name, base, rates, beside)
    section.end()
    if problems or deck is None:
        raise WorldErrors(problems.in_order())
    return deck


def check_name(text: str) -> str:
    """Return a text that may name something, or raise ValueError with why not."""
    if not text or len(text) > NAME_LENGTH or not text.isprintable() or text != text.strip() or "/" in text:
        raise ValueError(f"{shown(text)} is not a name: 1 to {NAME_LENGTH} printable characters without a slash")
    return text


# A deck.


def _is_sound_path(derived: Section, base: str, path: tuple[str, ...]) -> bool:
    if base in path:
        derived.fault("from", f"goes round in a circle: {' <- '.join((*path[path.index(base) :], base))}")
    elif len(path) > _MOST_DERIVED:
        derived.fault("from", f"is derived over more than {_MOST_DERIVED} decks")
    return derived.sound


def _derived_rates(derived: Section, base: RateDeck | None) -> Sequence[Rate]:
    """Read `derived:`, and return the rates of the base times its factor, or with its margin put on them."""
    num, den = derived.number("factor", _factor, 0), int(10**_FACTOR_PLACES)
    if not derived.has("factor"):
        num, den = PPM + derived.number("margin", _margin_ppm, None), PPM
    elif derived.has("margin"):
        derived.fault("margin", "stands instead of a factor: give one of them")
    derived.end()
    return [scaled(rate, num, den) for rate in base.rates] if base is not None and derived.sound else ()


def _deck(
    section: Section,
    name: str,
    base: RateDeck | None,
    derived: Sequence[Rate],
    beside: Beside | None,
    *,
    imported: Sequence[Rate] | None = None,
) -> RateDeck | None:
    """Read a deck; what it does not say is as its base has it, and its own rates take the place of all of a prefix.

    One that is imported has the rates that are there, none where it is new.
    """
    currency = section.text("currency", base.currency if base is not None else None, check=check_currency)
    if base is not None and currency != base.currency:
        section.fault("currency", f"is not that of {base.name}, which is {base.currency}")
    calendar = _calendar(section, base.calendar if base is not None else Calendar())
    rounding = _rounding(section, currency, base.rounding if base is not None else None)
    duration_round = section.choice(
        "duration_round", DurationRound, base.duration_round if base is not None else DurationRound.CEIL
    )
    window_policy = section.choice(
        "window_policy", WindowPolicy, base.window_policy if base is not None else WindowPolicy.START
    )
    change_policy = section.choice(
        "change_policy", ChangePolicy, base.change_policy if base is not None else ChangePolicy.FREEZE
    )
    increment_rule = section.choice(
        "increment_rule", IncrementRule, base.increment_rule if base is not None else IncrementRule.STANDARD
    )
    reader = _RateReader(calendar, increment_rule)
    is_imported = beside is None and section.flag("imported", default=False)
    if section.has("rates") or not (section.has("derived") or is_imported):
        reader.read(section, beside)
    own = {rate.prefix for rate in reader.rates}
    rates = (*(rate for rate in derived if rate.prefix not in own), *reader.rates) if derived else tuple(reader.rates)
    if is_imported:
        rates = tuple(imported or ())
    if len(own) < len(reader.rates):
        reader.tell_clashes(section)
    if not section.sound:
        return None
    try:
        return RateDeck(
            name,
            currency,
            rates,
            rounding=rounding,
            duration_round=duration_round,
            calendar=calendar,
            window_policy=window_policy,
            change_policy=change_policy,
            increment_rule=increment_rule,
        )
    except BadDeck as error:  # of a derived deck: a window of the base has another meaning here
        section.fault("", str(error))
        return None


def _rounding(deck: Section, currency: str, base: Rounding | None) -> Rounding:
    """Read `round:`; without it amounts are rounded half up to the currency's smallest coin."""
    default = base or Rounding(RoundMode.HALF_UP, minor_unit_places(currency))
    section = deck.section("round", required=False)
    if section is None:
        return default
    mode = section.choice("mode", RoundMode, default.mode)
    places = section.integer("places", default.places, low=0, high=6)
    section.end()
    return Rounding(mode, places)


def _calendar(deck: Section, base: Calendar) -> Calendar:
    """Read `timezone` and `windows`; those of the base are there too, unless another bears the name."""
    zone = deck.text("timezone", base.zone, check=_zone)
    windows = dict(base.windows)
    section = deck.part("windows")
    for name in section.names():
        try:
            check_name(name)
            texts = section.texts(name) if section.lists(name) else (section.text(name),)
            if section.sound:
                windows[name] = Window.parse(*texts)
        except ValueError as error:
            section.fault(name, str(error))
    return Calendar(zone or "UTC", windows)


# Rates.


@dataclass(slots=True)
class _RateReader:
    """Reads the rates of a deck, and keeps the line of each."""

    calendar: Calendar
    increment_rule: IncrementRule
    rates: list[Rate] = field(default_factory=list)
    # Where each stands, in numbers that take no room.
    _lines: array[int] = field(default_factory=lambda: array("I"))
    _indexes: array[int] = field(default_factory=lambda: array("I"))
    _file: str | None = None
    # Many rates have one destination and one set of extras.
    _known: dict[str, str] = field(default_factory=dict)
    _shared: dict[Extras, Extras] = field(default_factory=dict)

    def read(self, deck: Section, beside: Beside | None) -> None:
        """Read `rates`: a list, or the name of a CSV."""
        if deck.lists("rates"):
            for index, section in enumerate(deck.sections("rates")):
                self._read(section, section.line, index)
                section.end()
            return
        name = deck.text("rates")
        if not name:
            return
        if beside is None:
            deck.fault("rates", "must be a list: a CSV is read beside a deck in a file of its own")
            return
        self._file = name
        try:
            for row in _rows(beside(name), name, deck):
                self._read(row, row.line, 0)
        except ValueError as error:
            deck.fault("rates", str(error))

    def _read(self, fields: _Fields, line: int, index: int) -> None:
        prefix = fields.text("prefix", check=_prefix)
        destination = fields.text("destination", check=self._destination)
        forbidden = fields.flag("forbidden", default=False)
        extras = self._extras(fields) if fields.has_any(_EXTRA_FIELDS) else NO_EXTRAS
        # A forbidden destination is never called, so it needs no price; any other has one, if only of 0.
        fee = fields.number("connect_fee", _price, 0)
        if extras.steps:
            first, last = extras.steps[0], extras.steps[-1]
            first_s, first_price, next_s, next_price = first.every_s, first.price_nanos, last.every_s, last.price_nanos
        else:
            needed = None if not forbidden and not fields.has("steps") else 0
            first_s = fields.integer("first_s", needed and 1, low=1, high=3600) or 1
            first_price = fields.number("first_price", _price, needed)
            next_s = fields.integer("next_s", needed and 1, low=1, high=3600) or 1
            next_price = fields.number("next_price", _price, first_price)
        if not fields.sound:
            return
        rate = Rate(
            prefix=prefix,
            destination=destination,
            connect_fee_nanos=fee,
            first_s=first_s,
            first_price_nanos=first_price,
            next_s=next_s,
            next_price_nanos=next_price,
            forbidden=forbidden,
            extras=extras,
        )
        if extras is not NO_EXTRAS and not _may_begin(rate):
            fields.fault("max_charge", "is less than the first increment costs, so that no call could be made")
            return
        self.rates.append(rate)
        self._lines.append(line)
        self._indexes.append(index)

    def _destination(self, text: str) -> str:
        known = self._known.get(text)
        if known is None:
            known = self._known[text] = check_name(text)
        return known

    def _extras(self, fields: _Fields) -> Extras:
        """Read what few rates have; where something is wrong it is told, and none are returned."""
        steps = self._steps(fields)
        grace_s = fields.integer("grace_s", 0, low=0, high=_DAY_S)
        free_s = fields.integer("free_s", 0, low=0, high=_DAY_S)
        free_after_first = fields.flag("free_after_first", default=False)
        surcharge_ppm = fields.number("surcharge_percent", _surcharge_ppm, 0)
        min_charge = fields.number("min_charge", _amount, 0)
        max_charge = fields.number("max_charge", _amount, 0) if fields.has("max_charge") else None
        max_policy = fields.choice("max_policy", MaxPolicy, MaxPolicy.FREE)
        valid_from = fields.number("valid_from", self.calendar.instant, 0) if fields.has("valid_from") else None
        valid_to = fields.number("valid_to", self.calendar.instant, 0) if fields.has("valid_to") else None
        window = fields.text("window", "") or None
        if window is not None and window not in self.calendar.windows:
            fields.fault("window", f"there is no window named {shown(window)}{nearest(window, self.calendar.windows)}")
        if free_after_first and not free_s:
            fields.fault("free_after_first", "says where free seconds are: give free_s")
        if max_policy is not MaxPolicy.FREE and max_charge is None:
            fields.fault("max_policy", "says what comes of a maximum: give max_charge")
        if max_charge is not None and max_charge < min_charge:
            fields.fault("max_charge", "is less than min_charge")
        if valid_from is not None and valid_to is not None and valid_to <= valid_from:
            fields.fault("valid_to", "is not after valid_from")
        if not fields.sound:
            return NO_EXTRAS
        extras = Extras(
            steps=steps,
            grace_s=grace_s,
            free_s=free_s,
            free_after_first=free_after_first,
            surcharge_ppm=surcharge_ppm,
            min_charge_micros=min_charge,
            max_charge_micros=max_charge,
            max_policy=max_policy,
            valid_from_ms=valid_from,
            valid_to_ms=valid_to,
            window=window,
        )
        return self._shared.setdefault(extras, extras)

    def _steps(self, fields: _Fields) -> tuple[Step, ...]:
        """Read `steps`: a list of tables, in a CSV `60:60:0.20;6:0.10`, which is until_s, every_s and the price."""
        if not fields.has("steps"):
            return ()
        for key in _INCREMENT_FIELDS:
            if fields.has(key):
                fields.fault(key, "stands instead of steps: give one of them")
        if self.increment_rule is IncrementRule.MODULO:
            fields.fault("steps", "have no meaning with increment_rule modulo")
        try:
            listed = _listed_steps(fields) if isinstance(fields, Section) else _written_steps(fields.text("steps"))
            steps = tuple(listed)
            if fields.sound:
                Extras(steps=steps)
            if not steps and fields.sound:
                fields.fault("steps", "must have a step")
        except ValueError as error:
            fields.fault("steps", str(error))
            return ()
        return steps

    def tell_clashes(self, deck: Section) -> None:
        """Refuse two rates of one prefix of which neither says more at some instant."""
        places = {id(rate): place for place, rate in enumerate(self.rates)}
        for one, other in clashes(self.rates, self.calendar):
            first, place = places[id(one)], places[id(other)]
            key = "prefix" if self._file is not None else f"rates[{self._indexes[place]}].prefix"
            windows = sorted({rate.extras.window for rate in (one, other) if rate.extras.window is not None})
            when = f", and both are for one time, in {' and '.join(windows)}" if windows else ""
            told = f"prefix {shown(one.prefix)} is already at line {self._lines[first]}{when}"
            deck.note(self._lines[place], key, told, file=self._file)


def _may_begin(rate: Rate) -> bool:
    """Whether a call is not over before it begins, because a maximum ends it."""
    extras = rate.extras
    if extras.max_charge_micros is None or extras.max_policy is MaxPolicy.FREE:
        return True
    num = 60 * rate.connect_fee_nanos + rate.first_s * rate.first_price_nanos
    return num * (PPM + extras.surcharge_ppm) <= extras.max_charge_micros * 60_000 * PPM


def _listed_steps(fields: Section) -> Iterator[Step]:
    for section in fields.sections("steps"):
        until_s = section.integer("until_s", 0, low=1, high=_DAY_S) or None
        every_s = section.integer("every_s", low=1, high=3600)
        price_nanos = section.number("price", _price)
        section.end()
        fields.sound = fields.sound and section.sound
        yield Step(until_s, every_s, price_nanos)


def _written_steps(text: str) -> Iterator[Step]:
    for written in text.split(";"):
        *seconds, price = (part.strip() for part in written.split(":"))
        if not 1 <= len(seconds) <= 2:
            raise ValueError(f"{shown(written)} is not a step, such as 60:60:0.20, or 6:0.10 as the last one")
        until_s = read_integer(seconds[0], low=1, high=_DAY_S) if len(seconds) == 2 else None
        yield Step(until_s, read_integer(seconds[-1], low=1, high=3600), _price(price))


# A CSV.


@dataclass(slots=True)
class _Csv:
    """What the rows of a CSV have in common; a number that was read once in a column is not read again."""

    file: str
    deck: Section
    is_plain: bool = True
    numbers: dict[str, dict[str, int]] = field(default_factory=lambda: {name: {} for name in _FIELDS})


class _Row:
    """A row of a CSV, asked for its cells as a section of YAML is; an empty cell is left out."""

    __slots__ = ("_cells", "_csv", "line", "sound")

    def __init__(self, cells: dict[str, str], line: int, csv_: _Csv) -> None:
        self._cells = cells
        self._csv = csv_
        self.line = line
        self.sound = True

    def has(self, key: str) -> bool:
        return bool(self._cells.get(key))

    def has_any(self, keys: Sequence[str]) -> bool:
        return not self._csv.is_plain and any(map(self._cells.get, keys))

    def fault(self, key: str, message: str) -> None:
        self.sound = False
        self._csv.deck.note(self.line, key, message, file=self._csv.file)

    def text(self, key: str, default: str | None = None, *, check: Callable[[str], str] | None = None) -> str:
        written = self._cells.get(key)
        if not written:
            if default is None:
                self.fault(key, "is missing")
            return default or ""
        try:
            return written if check is None else check(written)
        except ValueError as error:
            self.fault(key, str(error))
            return ""

    def number(self, key: str, parse: Callable[[str], int], default: int | None = None) -> int:
        written = self._cells.get(key)
        if not written:
            if default is None:
                self.fault(key, "is missing")
            return default or 0
        known = self._csv.numbers[key]
        number = known.get(written)
        if number is None:
            try:
                number = known[written] = parse(written)
            except ValueError as error:
                self.fault(key, str(error))
                return 0
        return number

    def integer(self, key: str, default: int | None = None, *, low: int, high: int) -> int:
        return self.number(key, partial(read_integer, low=low, high=high), default)

    def flag(self, key: str, default: bool | None = None) -> bool:
        return bool(self.number(key, read_flag, default))

    def choice(self, key: str, kind: type[E], default: E) -> E:
        written = self._cells.get(key)
        try:
            return kind(written) if written else default
        except ValueError:
            self.fault(key, f"must be one of {', '.join(kind)}, not {shown(written or '')}")
            return default


def _rows(lines: Iterable[str], file: str, deck: Section) -> Iterator[_Row]:
    """Yield the rows of a CSV whose first line names the columns; what is wrong with it as one is told."""
    reader = csv.reader(lines, strict=True)
    shared = _Csv(file, deck)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        if not _is_header(header, file, deck):
            return
        shared.is_plain = not set(header) & set(_EXTRA_FIELDS)
        for cells in reader:
            if len(cells) == len(header):
                yield _Row(dict(zip(header, map(str.strip, cells), strict=True)), reader.line_num, shared)
            elif cells:
                deck.note(reader.line_num, "", f"has {len(cells)} cells, the header {len(header)}", file=file)
    except csv.Error as error:
        deck.note(reader.line_num, "", f"is not CSV: {error}", file=file)


def _is_header(header: Sequence[str], file: str, deck: Section) -> bool:
    faults = [
        f"there is no column named {shown(name)}{nearest(name, _FIELDS)}" for name in header if name not in _FIELDS
    ]
    faults += [f"column {name} stands twice" for name in sorted({name for name in header if header.count(name) > 1})]
    faults += [f"column {name} is missing" for name in ("prefix", "destination") if name not in header]
    for fault in faults:
        deck.note(1, "", fault, file=file)
    return not faults


# What a text must be: each returns what to take for it, or raises ValueError with what is wrong.


def _prefix(text: str) -> str:
    if not (text.isascii() and text.isdecimal() and len(text) <= 15 and text[0] != "0"):
        raise ValueError(f"{shown(text)} is not a prefix: 1 to 15 digits with the country code, no 0 or + first")
    return text


def _zone(text: str) -> str:
    return Calendar(text).zone


def _price(text: str) -> int:
    nanos = parse_price(text)
    if nanos < 0:
        raise ValueError(f"must not be negative: {text}")
    return nanos


def _amount(text: str) -> int:
    micros = parse_amount(text)
    if micros < 0:
        raise ValueError(f"must not be negative: {text}")
    return micros


def _surcharge_ppm(text: str) -> int:
    return _percent_ppm(text, 0)


def _margin_ppm(text: str) -> int:
    return _percent_ppm(text, -100)


def _percent_ppm(text: str, least: int) -> int:
    ppm = parse_scaled(text, PERCENT_PLACES)
    if not least * 10**PERCENT_PLACES <= ppm <= _MOST_PERCENT * 10**PERCENT_PLACES:
        raise ValueError(f"must be a percentage from {least} to {_MOST_PERCENT}, not {shown(text)}")
    return ppm


def _factor(text: str) -> int:
    parts = parse_scaled(text, _FACTOR_PLACES)
    if not 0 <= parts <= _MOST_FACTOR * 10**_FACTOR_PLACES:
        raise ValueError(f"must be a factor from 0 to {_MOST_FACTOR}, not {shown(text)}")
    return parts
