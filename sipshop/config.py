"""What people write by hand -> typed values, or every problem at once with its file, line and field.

The text is YAML, read more strictly than YAML is: a key that nobody asks for or that stands twice is refused, so are
anchors, aliases, tags and documents that are too large or too deep. Scalars are taken as they are written, so `0049`
stays four digits, `0.12` never becomes a float, and `no` may be a name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeVar

import yaml

MAX_BYTES: Final = 10_000_000
MAX_DEPTH: Final = 16
#: A file of that size which says something has half as many; more are written to keep us busy.
MAX_VALUES: Final = 2_000_000
#: So many problems are told of one file; of the rest only how many there are.
MOST_TOLD: Final = 1000

#: With so many names in all is compared what was perhaps meant: it takes a second.
_MOST_COMPARED: Final = 100_000

# libyaml is about ten times faster, and not in every build of PyYAML.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_REFERENCE: Final = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:[^\x00]+")
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_FLAGS: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_SHOWN_CHARACTERS: Final = 40

E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend in a file: `line` counts from 1, `field` is a path such as `shops[0].owner` or empty.

    A line of 0 is the file as a whole.
    """

    file: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.field}: {self.message}" if self.field else f"{where}: {self.message}"


class Problems:
    """The problems of one file, collected while it is read so that they can all be told at once."""

    __slots__ = ("_compared", "_found", "_more", "file")

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: list[Problem] = []
        self._more = 0
        self._compared = 0

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, line: int, field: str, message: str, *, file: str | None = None) -> None:
        """Note a problem, of another file if that is part of this one."""
        if len(self._found) < MOST_TOLD:
            self._found.append(Problem(file or self.file, line, field, message))
        else:
            self._more += 1

    def in_order(self) -> tuple[Problem, ...]:
        """Return the problems by line, `MOST_TOLD` of them at most and after these how many more there are."""
        found = sorted(self._found, key=lambda problem: (problem.file != self.file, problem.line))
        if self._more:
            found.append(Problem(self.file, 0, "", f"{self._more} problems more are not told: mend these first"))
        return tuple(found)

    def nearest(self, written: str, known: Collection[str]) -> str:
        """Return what `nearest` does, or an empty text where too many were asked for already."""
        self._compared += len(known)
        return nearest(written, known) if self._compared <= _MOST_COMPARED else ""


class Scalar(NamedTuple):
    """A value as it is written; `plain` is False in quotes, where a text is always just a text.

    A tuple, because a file may have a million of them.
    """

    line: int
    text: str
    plain: bool

    @property
    def is_null(self) -> bool:
        """Whether nothing stands here."""
        return self.plain and self.text in _NULLS


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    line: int
    items: list[Node]


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping; `lines` are where its keys stand."""

    line: int
    values: Mapping[str, Node]
    lines: Mapping[str, int]


Node = Scalar | Sequence | Table

_READ: Final = Scalar(0, "", plain=True)  # stands where something was that nobody reads again


class Section:
    """A table of the file, asked for its keys by type.

    Each accessor returns a value of its type even where the file is wrong: a neutral one, after the problem is noted.
    So the reader asks for everything first, learns every problem, and builds something only if `sound`. A key without a
    default is required. `end` refuses the keys that nobody asked for.
    """

    __slots__ = ("_asked", "_problems", "_refused", "_table", "field", "sound")

    def __init__(self, table: Table, field: str, problems: Problems) -> None:
        self._table = table
        self._problems = problems
        self._asked: list[str] = []
        self._refused: set[str] = set()
        self.field = field
        self.sound = True

    @property
    def line(self) -> int:
        """The line at which the table begins."""
        return self._table.line

    def fault(self, key: str, message: str) -> None:
        """Note a problem of a key, or of the whole table if the key is empty."""
        self.note(self._table.lines.get(key, self.line), key, message)

    def text(self, key: str, default: str | None = None, *, check: Callable[[str], str] | None = None) -> str:
        """Return a text; `check` returns what to take for it or raises ValueError with what is wrong."""
        written = self._scalar(key, required=default is None)
        if written is None:
            return default or ""
        return self._checked(key, written, check)

    def texts(
        self, key: str, default: tuple[str, ...] | None = None, *, check: Callable[[str], str] | None = None
    ) -> tuple[str, ...]:
        """Return a list of texts, each checked as by `text`."""
        items = self._items(key, required=default is None)
        if items is None:
            return default or ()
        texts: list[str] = []
        for index, item in enumerate(items):
            if isinstance(item, Scalar) and not item.is_null:
                texts.append(self._checked(f"{key}[{index}]", item, check))
            else:
                self.note(item.line, f"{key}[{index}]", "must be a text")
        return tuple(texts)

    def secret(self, key: str, fetch: Callable[[str], str]) -> str | None:
        """Return a secret that is kept elsewhere, or None where the key is left out.

        Here stands only where it is, `env:NAME` or `file:PATH`; `fetch` brings it or raises ValueError with what is
        wrong. What was written is never shown: it may be the secret itself.
        """

        def fetched(text: str) -> str:
            if not _REFERENCE.fullmatch(text):
                raise ValueError("must be env:NAME or file:PATH: a secret is kept elsewhere, not in this file")
            return fetch(text)

        return self.text(key, "", check=fetched) or None

    def number(self, key: str, parse: Callable[[str], int], default: int | None = None) -> int:
        """Return what `parse` makes of a text, such as an amount; it raises ValueError with what is wrong."""
        written = self._scalar(key, required=default is None)
        if written is None:
            return default or 0
        try:
            return parse(written.text)
        except ValueError as error:
            self.fault(key, str(error))
            return 0

    def integer(self, key: str, default: int | None = None, *, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`."""
        return self.number(key, lambda text: read_integer(text, low=low, high=high), default)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """Return true or false."""
        written = self._scalar(key, required=default is None)
        if written is None:
            return bool(default)
        value = _FLAGS.get(written.text.lower()) if written.plain else None
        if value is None:
            self.fault(key, f"must be true or false, not {shown(written.text)}")
        return bool(value)

    def choice(self, key: str, kind: type[E], default: E) -> E:
        """Return the member of a StrEnum that is written here."""
        written = self._scalar(key, required=False)
        if written is None:
            return default
        try:
            return kind(written.text)
        except ValueError:
            members = ", ".join(kind)
            self.fault(key, f"must be one of {members}, not {shown(written.text)}{nearest(written.text, kind)}")
            return default

    def section(self, key: str, *, required: bool = True) -> Section | None:
        """Return the table under a key."""
        node = self._get(key, required=required)
        if node is None:
            return None
        if not isinstance(node, Table):
            self.fault(key, "must be a table of keys and values")
            return None
        return Section(node, self._path(key), self._problems)

    def part(self, key: str) -> Section:
        """Return the table under a key, an empty one where it is left out or is no table."""
        empty = Table(self.line, {}, {})
        return self.section(key, required=False) or Section(empty, self._path(key), self._problems)

    def sections(self, key: str, *, required: bool = True) -> Iterator[Section]:
        """Yield the tables of the list under a key, once.

        Each is forgotten when it is read: a large file gives its memory back bit by bit, and not all of it in one
        breath for which every thread has to wait.
        """
        items = self._items(key, required=required) or []
        path = self._path(key)
        for index, item in enumerate(items):
            items[index] = _READ
            if isinstance(item, Table):
                yield Section(item, f"{path}[{index}]", self._problems)
            else:
                self.note(item.line, f"{key}[{index}]", "must be a table of keys and values")

    def has(self, key: str) -> bool:
        """Whether a key, known from now on, stands here."""
        if key not in self._asked:
            self._asked.append(key)
        return key in self._table.values

    def lists(self, key: str) -> bool:
        """Whether a list stands under a key, where a single value may stand as well."""
        return isinstance(self._table.values.get(key), Sequence)

    def has_any(self, keys: Iterable[str]) -> bool:
        """Whether one of several keys, known from now on, stands here."""
        known = [self.has(key) for key in keys]
        return any(known)

    def lists_tables(self, key: str) -> bool:
        """Whether the list under a key begins with a table, where a list of texts may stand as well."""
        node = self._table.values.get(key)
        return isinstance(node, Sequence) and bool(node.items) and isinstance(node.items[0], Table)

    def names(self) -> tuple[str, ...]:
        """The keys of a table in which they are names that people give."""
        return tuple(self._table.values)

    def note(self, line: int, key: str, message: str, *, file: str | None = None) -> None:
        """Note a problem of what is part of this, at a line of this file or of another one."""
        self.sound = False
        self._problems.add(line, self._path(key) if file is None else key, message, file=file)

    def not_yet(self, *keys: str) -> None:
        """Refuse keys that a later version will know, where they stand here, by saying so."""
        for key in keys:
            if key in self._table.values:
                self._refused.add(key)
                self.fault(key, "is not supported yet: leave it out")

    def end(self) -> None:
        """Refuse every key that was not asked for, with the nearest one that was."""
        for key in self._table.values:
            if key not in self._asked and key not in self._refused:
                known = self.nearest(key, self._asked) or f"; known here: {', '.join(self._asked)}"
                self.fault(key, f"unknown key{known}")

    def nearest(self, written: str, known: Collection[str]) -> str:
        """Return what `nearest` does, or an empty text where too many were asked for already."""
        return self._problems.nearest(written, known)

    def _path(self, key: str) -> str:
        key = key if key.isprintable() else ascii(key)
        return f"{self.field}.{key}" if self.field and key else self.field or key

    def _get(self, key: str, *, required: bool) -> Node | None:
        if key not in self._asked:
            self._asked.append(key)
        node = self._table.values.get(key)
        if node is None and required:
            self.fault(key, "is missing")
        if isinstance(node, Scalar) and node.is_null:
            # Not the default: who writes `national_prefix:` and nothing more may well mean an empty text.
            self.fault(key, 'has no value: leave the key out, or write "" for an empty text')
            return None
        return node

    def _scalar(self, key: str, *, required: bool) -> Scalar | None:
        node = self._get(key, required=required)
        if node is None or isinstance(node, Scalar):
            return node
        self.fault(key, "must be a single value")
        return None

    def _items(self, key: str, *, required: bool) -> list[Node] | None:
        node = self._get(key, required=required)
        if node is None:
            return None
        if not isinstance(node, Sequence):
            self.fault(key, "must be a list")
            return []
        return node.items

    def _checked(self, key: str, written: Scalar, check: Callable[[str], str] | None) -> str:
        if check is None:
            return written.text
        try:
            return check(written.text)
        except ValueError as error:
            self.note(written.line, key, str(error))
            return ""


class _Unreadable(Exception):
    """The file cannot be read further than this line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def read_yaml(text: str, problems: Problems) -> Section | None:
    """Return the table that a file consists of, or None after noting why there is none."""
    try:
        table = _read(text, problems)
    except _Unreadable as error:
        problems.add(error.line, "", str(error))
        return None
    return Section(table, "", problems)


def top_keys(text: str) -> Iterator[str]:
    """Yield the keys of the table that a file consists of as they come; no more of one that cannot be read."""
    depth, is_key = 0, True
    with suppress(_Unreadable):
        for event in _events(text):
            if isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif depth == 1 and isinstance(event, yaml.NodeEvent):
                if is_key and isinstance(event, yaml.ScalarEvent):
                    yield event.value
                is_key = not is_key
            depth += isinstance(event, yaml.CollectionStartEvent)
            if depth > MAX_DEPTH:  # libyaml takes the longer for an event the deeper it is
                return


def read_integer(text: str, *, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`, or raise ValueError with what is wrong."""
    if _INTEGER.fullmatch(text) is None or not low <= int(text) <= high:
        raise ValueError(f"must be a whole number from {low} to {high}, not {shown(text)}")
    return int(text)


def read_flag(text: str) -> bool:
    """Return true or false, or raise ValueError with what is wrong."""
    value = _FLAGS.get(text.lower())
    if value is None:
        raise ValueError(f"must be true or false, not {shown(text)}")
    return value


def shown(text: str) -> str:
    """Quote a text for people: ASCII, controls escaped, cut to a length that a line bears."""
    return ascii(text) if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]!a}..."


def nearest(written: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" for the known word that is nearest to what was written, or an empty text."""
    near = get_close_matches(written, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _read(text: str, problems: Problems) -> Table:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise _Unreadable(text.count("\n", 0, error.start) + 1, "is not UTF-8 text") from error
    if size > MAX_BYTES:
        raise _Unreadable(1, f"has {size} bytes; {MAX_BYTES} is the limit")
    events = _events(text)
    for event in events:
        if isinstance(event, yaml.StreamEndEvent):
            raise _Unreadable(1, "is empty")
        if isinstance(event, yaml.DocumentStartEvent):
            break
    node = _build(next(events), events, problems, 0)
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise _Unreadable(line, "a second document begins; there must be one")
    if isinstance(node, Table):
        return node
    if isinstance(node, Scalar) and node.is_null:
        raise _Unreadable(1, "is empty")
    raise _Unreadable(node.line, "must be a table of keys and values")


def _events(text: str) -> Iterator[yaml.Event]:
    """Yield the parser's events: nodes are built here and not by PyYAML, which follows aliases and keeps duplicates."""
    try:
        for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
            if count > MAX_VALUES:
                raise _Unreadable(1, f"has more than {MAX_VALUES} values")
            yield event
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        raise _Unreadable(mark.line + 1 if mark else 1, f"is not YAML: {what}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _Unreadable(line, f"is not YAML: {error.reason}") from error


def _build(event: Any, events: Iterator[yaml.Event], problems: Problems, depth: int) -> Node:
    """Build the node that begins with an event, which PyYAML gives no types; the one place that a large file is in."""
    line: int = event.start_mark.line + 1
    kind = type(event)
    if kind is yaml.AliasEvent or event.anchor is not None:
        raise _Unreadable(line, "anchors (&) and aliases (*) are not read here: write the value out, or quote it")
    if event.tag is not None:
        raise _Unreadable(line, "tags (!) are not read here: write the plain value, or quote it")
    if depth > MAX_DEPTH:
        raise _Unreadable(line, f"is nested more than {MAX_DEPTH} deep")
    if kind is yaml.ScalarEvent:
        return Scalar(line, event.value, not event.style)
    if kind is yaml.SequenceStartEvent:
        items: list[Node] = []
        while type(event := next(events)) is not yaml.SequenceEndEvent:
            items.append(_build(event, events, problems, depth + 1))
        return Sequence(line, items)
    values: dict[str, Node] = {}
    lines: dict[str, int] = {}
    while type(event := next(events)) is not yaml.MappingEndEvent:
        key = _build(event, events, problems, depth + 1)
        value = _build(next(events), events, problems, depth + 1)
        if type(key) is not Scalar:
            problems.add(key.line, "", "a key must be a single value")
        elif key.text in values:
            problems.add(key.line, "", f"key {shown(key.text)} is already at line {lines[key.text]}")
        else:
            values[key.text], lines[key.text] = value, key.line
    return Table(line, values, lines)
