"""An import of a rate sheet: read, put onto the deck, compared and told, row by row in files of its own (IO).

All of it runs on a thread beside the event loop. What is told of a sheet may be as long as the sheet, so it stands on
the disk, and in memory only where each row of it begins.
"""

from __future__ import annotations

import csv
import json
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, BinaryIO, Final

from sipshop.billing.deck import RateDeck
from sipshop.sheets import Kind, Losses, Mapping, Reject, Sale, changes, merged, read_lines
from sipshop.switch.sheets import SheetFile

#: What a list of changes can be asked for besides their kinds: the scheduled ones, those with other increments, and
#: those on which somebody loses.
MARKS: Final = ("scheduled", "increments_changed", "losing")
_KINDS: Final = tuple(Kind)
_MOST_NOTED: Final = 4_000
_FREED_AT_ONCE: Final = 1_000
_PIECE: Final = 1 << 20


class Rows:
    """Rows of JSON in a file without a name; a page of them is read from where it begins."""

    def __init__(self) -> None:
        self._file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._lock = Lock()  # it is written by one thread, and read by another
        # A thread that asks the system for something at each row would let no other one run for long.
        self._pending = bytearray()
        self._size = 0
        self._places = array("Q")
        self._marks = array("H")

    def __len__(self) -> int:
        return len(self._places)

    def add(self, row: object, mark: int = 0) -> None:
        """Write a row; what it can be asked for is in the bits of its mark."""
        text = json.dumps(row, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._pending += text
            self._marks.append(mark)
            self._places.append(self._size)
            self._size += len(text)
            if len(self._pending) >= _PIECE:
                self._write()

    def _write(self) -> None:
        self._file.seek(0, 2)
        self._file.write(self._pending)
        self._pending.clear()

    def page(self, first: int, limit: int, mask: int = 0) -> tuple[list[Any], int | None]:
        """Return up to so many rows from a number on, all or those with a mark, and the number of the next one."""
        found: list[Any] = []
        for number in range(first, len(self._places)):
            if mask and not self._marks[number] & mask:
                continue
            if len(found) == limit:
                return found, number
            with self._lock:
                if self._pending:
                    self._write()
                self._file.seek(self._places[number])
                found.append(json.loads(self._file.readline()))
        return found, None

    def __iter__(self) -> Iterator[Any]:
        first: int | None = 0
        while first is not None:
            page, first = self.page(first, 1000)
            yield from page

    def close(self) -> None:
        """Let them go."""
        self._file.close()


@dataclass(slots=True, kw_only=True)
class Import:
    """An import, how far it is, and what came of it.

    `state` is reading, comparing or writing; refused: there are bad rows, and nothing was done; failed, with `why`; or
    done, and then `version` is what was made, None where nothing changes.
    """

    id: str
    tenant: str
    party: str
    deck: str
    carrier: str
    file: str
    state: str = "reading"
    why: str = ""
    done: int = 0
    whole: int = 0
    rows: int = 0
    prefixes: int = 0
    preamble: int = 0
    not_mentioned: int = 0
    unchanged: int = 0
    base: int = 0
    version: int | None = None
    version_state: str | None = None
    skipped: bool = False
    may_be_done: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    changes: Rows = field(default_factory=Rows)
    rejects: Rows = field(default_factory=Rows)
    notices: Rows = field(default_factory=Rows)

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state in {"done", "refused", "failed"}

    def close(self) -> None:
        """Let what was told of it go."""
        for rows in (self.changes, self.rejects, self.notices):
            rows.close()


def mark_of(kind: str) -> int:
    """The mark of the changes of a kind, or of those of `MARKS`; 0 is all; raises KeyError."""
    return {"": 0, **_MARKS}[kind]


_MARKS: Final[Table[str, int]] = {name: 1 << place for place, name in enumerate((*_KINDS, *MARKS))}


def work(
    job: Import,
    sheet: SheetFile,
    mapping: Mapping,
    base: RateDeck,
    *,
    sales: Callable[[RateDeck], Iterable[Sale]],
    at_ms: int,
    skip_bad: bool,
) -> list[RateDeck]:
    """Read a sheet, put it onto a deck and tell all of it in the job; the deck that comes of it.

    Whether it may be used, `may_be_done` of the job says. It is in a list: who lets it go has to be the last one to
    hold it.

    Raises:
        BadSheet: the sheet cannot be read at all.
    """

    def tell(line: int) -> None:
        job.done, job.whole = line, sheet.whole

    reading = read_lines(sheet.rows(mapping), mapping, base.calendar, tell=tell)
    job.rows, job.prefixes, job.preamble = reading.rows, len(reading.lines), reading.preamble
    job.done = job.whole = 0
    job.state = "comparing"
    put = merged(base, reading.lines, mapping, at_ms=at_ms)
    rejects = sorted((*reading.rejects, *put.rejects))
    _tell(job.rejects, rejects)
    _tell(job.notices, (*reading.duplicates, *reading.ignored, *put.done))
    job.not_mentioned = put.not_mentioned
    named = len({line.prefix for line in reading.lines})
    free(reading.lines)
    job.whole = len(put.deck.rates)
    compare(job, base, put.deck, sales=sales(put.deck), at_ms=at_ms)
    changed = sum(job.counts[kind] for kind in _KINDS if kind is not Kind.WITHDRAWN)
    job.unchanged = max(0, named - changed)
    job.skipped = bool(rejects) and skip_bad
    job.may_be_done = not rejects or skip_bad
    return [put.deck]


def compare(job: Import, old: RateDeck, new: RateDeck, *, sales: Iterable[Sale], at_ms: int) -> None:
    """Tell in the job what one version of a deck changes of another, and who loses by it."""
    losses = Losses(old.name, sales, at_ms)
    for number, change in enumerate(changes(old, new, at_ms)):
        losing = losses.of(change)
        marked = {
            change.kind.value: True,
            "scheduled": change.from_ms is not None,
            "increments_changed": change.has_other_increments,
            "losing": bool(losing),
        }
        names = [name for name, holds in marked.items() if holds]
        job.counts.update(names)
        told = change.to_json() | {"losses": [loss.to_json() for loss in losing]}
        job.changes.add(told, sum(_MARKS[name] for name in names))
        if not number % 1000:
            job.done = number


def free(things: list[Any]) -> None:
    """Give the memory of a long list back bit by bit: while it goes all at once, no other thread runs."""
    while things:
        del things[-_FREED_AT_ONCE:]


def _tell(rows: Rows, told: Iterable[Reject]) -> None:
    for each in told:
        rows.add(each._asdict())


def csv_of(rows: Rows) -> Iterator[str]:
    """Yield the lines of a CSV of rejects: line, field, reason, and the row as it was read."""
    fields = ("line", "field", "reason", "text")
    lines: list[str] = []
    writer = csv.writer(_Into(lines))
    writer.writerow(fields)
    for row in rows:
        writer.writerow([_safe(str(row[name])) for name in fields])
        if len(lines) >= 1000:
            yield "".join(lines)
            lines.clear()
    yield "".join(lines)


def _safe(text: str) -> str:
    """A cell that no spreadsheet program takes for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


class _Into:
    """What a writer of CSV writes into: a list of lines."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


def skipped_lines(rows: Rows) -> str:
    """The lines of rows that were skipped, for the log: `3, 7-9`; cut where it gets too long.

    >>> rows = Rows()
    >>> for line in (3, 7, 8, 9):
    ...     rows.add({"line": line})
    >>> skipped_lines(rows)
    '3, 7-9'
    """
    spans: list[list[int]] = []
    for row in rows:
        line = row["line"]
        if spans and line <= spans[-1][1] + 1:
            spans[-1][1] = line
        else:
            spans.append([line, line])
    text = ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in spans)
    if len(text) <= _MOST_NOTED:
        return text
    return f"{text[:_MOST_NOTED].rpartition(', ')[0]} and more"
