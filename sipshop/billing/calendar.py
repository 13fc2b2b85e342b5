"""Windows of the day, the week and the year in the time zone of a deck, and the UTC instants between which they hold.

An instant is in a window when the clocks of the zone show a time of the window. So an hour that a night in autumn has
twice counts twice, and one that a night in spring leaves out does not come; only UTC instants are ever subtracted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import IntEnum
from itertools import product
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sipshop.billing.errors import BadDeck

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MIN: Final = 24 * 60
_WEEK_MIN: Final = 7 * _DAY_MIN
_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
#: The clocks of a zone are not changed twice within this.
_STEADY_MS: Final = 6 * 3_600_000
_TEXT: Final = re.compile(r"(\S+)(?:\s+([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9]))?")
_EXAMPLES: Final = "daily 18:00-24:00, mon-fri 08:00-20:00, sat,sun or 2026-12-25"


class Precedence(IntEnum):
    """Which of two windows is meant at an instant that is in both: the one that says more."""

    DAILY = 0
    WEEKDAYS = 1
    DATE = 2


@dataclass(frozen=True, slots=True)
class Span:
    """A time of some days: from `start_min` to `end_min`, half-open, in minutes of the day.

    `days` are 0 (Monday) to 6, for a date its ordinal. A span that ends after 24:00 runs into the next day.
    """

    precedence: Precedence
    days: frozenset[int]
    start_min: int
    end_min: int

    def has(self, ordinal: int, day_ms: int) -> bool:
        """Whether a time of a day, which is named by its ordinal, is in it."""
        start_ms, end_ms = self.start_min * _MINUTE_MS, self.end_min * _MINUTE_MS
        return (self.falls_on(ordinal) and start_ms <= day_ms < end_ms) or (
            end_ms > _DAY_MS and self.falls_on(ordinal - 1) and day_ms < end_ms - _DAY_MS
        )

    def falls_on(self, ordinal: int) -> bool:
        """Whether it begins on a day."""
        return (ordinal if self.precedence is Precedence.DATE else (ordinal - 1) % 7) in self.days

    def meets(self, other: Span) -> bool:
        """Whether both are of one precedence and have a time in common."""
        if self.precedence is not other.precedence:
            return False
        around = (0,) if self.precedence is Precedence.DATE else (-_WEEK_MIN, 0, _WEEK_MIN)
        return any(
            mine * _DAY_MIN + self.start_min < theirs * _DAY_MIN + other.end_min + shift
            and theirs * _DAY_MIN + other.start_min + shift < mine * _DAY_MIN + self.end_min
            for mine, theirs, shift in product(self.days, other.days, around)
        )


@dataclass(frozen=True, slots=True)
class Window:
    """A time that a rate may be for: the union of what its texts say."""

    texts: tuple[str, ...]
    spans: tuple[Span, ...] = field(compare=False, repr=False)

    @classmethod
    def parse(cls, *texts: str) -> Window:
        """Read a window.

        >>> Window.parse("mon-fri 08:00-20:00").spans[0].start_min
        480

        Raises:
            BadDeck: a text is no window.
        """
        if not texts:
            raise BadDeck(f"a window says when: {_EXAMPLES}")
        return cls(texts, tuple(_span(text) for text in texts))

    def meets(self, other: Window) -> bool:
        """Whether there is a time at which neither window says more than the other."""
        return any(mine.meets(theirs) for mine, theirs in product(self.spans, other.spans))


@dataclass(frozen=True, slots=True)
class Calendar:
    """The windows of a deck by name, and the zone whose clocks they mean (IANA).

    Raises:
        BadDeck: there is no such zone.
    """

    zone: str = "UTC"
    windows: Mapping[str, Window] = field(default_factory=dict)
    _clocks: ZoneInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_clocks", _zone(self.zone))

    def precedence(self, name: str, at_ms: int) -> Precedence | None:
        """What a window has to say at an instant, None where it does not hold then."""
        local = datetime.fromtimestamp(at_ms // 1000, self._clocks)
        ordinal = local.toordinal()
        day_ms = ((local.hour * 60 + local.minute) * 60 + local.second) * 1000 + at_ms % 1000
        spans = self.windows[name].spans
        return max((span.precedence for span in spans if span.has(ordinal, day_ms)), default=None)

    def edges(self, name: str, from_ms: int, to_ms: int) -> Iterator[int]:
        """Yield the instants between two at which what a window has to say may change, in no order, some twice."""
        for start_ms, end_ms, offset_ms in self._steady(from_ms, to_ms):
            yield start_ms
            first, last = ((at_ms + offset_ms) // _DAY_MS + _EPOCH_ORDINAL for at_ms in (start_ms, end_ms))
            for span, ordinal in product(self.windows[name].spans, range(first - 1, last + 1)):
                if span.falls_on(ordinal):
                    midnight_ms = (ordinal - _EPOCH_ORDINAL) * _DAY_MS - offset_ms
                    both = (midnight_ms + minute * _MINUTE_MS for minute in (span.start_min, span.end_min))
                    yield from (at_ms for at_ms in both if start_ms <= at_ms < end_ms)

    def instant(self, text: str) -> int:
        """Return the UTC milliseconds of an ISO 8601 date or time; without an offset it is a time of the zone.

        >>> Calendar("Europe/London").instant("2026-07-01")
        1782860400000

        Raises:
            BadDeck: the text is none, or names a time that the clocks leave out.
        """
        try:
            told = datetime.fromisoformat(text)
        except ValueError:
            raise BadDeck(f"{text[:40]!a} is not an ISO 8601 date or time, such as 2026-12-25T08:00") from None
        if told.tzinfo is None:
            told = told.replace(tzinfo=self._clocks)
            if told.astimezone(UTC).astimezone(told.tzinfo).replace(tzinfo=None) != told.replace(tzinfo=None):
                raise BadDeck(f"{text} does not come in {self.zone}: the clocks are put forward then")
        since = told - datetime(1970, 1, 1, tzinfo=UTC)
        return since.days * _DAY_MS + since.seconds * 1000 + since.microseconds // 1000

    def _steady(self, from_ms: int, to_ms: int) -> Iterator[tuple[int, int, int]]:
        """Cut a time where the zone's clocks are changed; yield each piece with its offset from UTC."""
        offset_ms, seen_ms = self._offset_ms(from_ms), from_ms
        while seen_ms < to_ms:
            next_ms = min(to_ms, seen_ms + _STEADY_MS)
            next_offset_ms = self._offset_ms(next_ms)
            if next_offset_ms != offset_ms:
                changed_ms = self._changed(seen_ms, next_ms, offset_ms)
                yield from_ms, changed_ms, offset_ms
                from_ms, offset_ms = changed_ms, next_offset_ms
            seen_ms = next_ms
        if from_ms < to_ms:
            yield from_ms, to_ms, offset_ms

    def _changed(self, from_ms: int, to_ms: int, offset_ms: int) -> int:
        """The first instant of a time at which the offset is not any more what it was at its beginning."""
        while to_ms - from_ms > 1:
            middle_ms = (from_ms + to_ms) // 2
            if self._offset_ms(middle_ms) == offset_ms:
                from_ms = middle_ms
            else:
                to_ms = middle_ms
        return to_ms

    def _offset_ms(self, at_ms: int) -> int:
        offset = datetime.fromtimestamp(at_ms // 1000, self._clocks).utcoffset()
        assert offset is not None, "a zone has one at every instant"
        return offset.days * _DAY_MS + offset.seconds * 1000


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadDeck(f"{name[:40]!a} is not a time zone such as Europe/London (IANA)") from None


def _span(text: str) -> Span:
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise BadDeck(f"{text[:40]!a} is not a window, such as {_EXAMPLES}")
    precedence, days = _days(found[1], text)
    start_min, end_min = 0, _DAY_MIN
    if found[2] is not None:
        start_min, end_min = int(found[2]) * 60 + int(found[3]), int(found[4]) * 60 + int(found[5])
    if start_min >= _DAY_MIN or end_min > _DAY_MIN or start_min == end_min:
        raise BadDeck(f"{text[:40]!a}: a window is from 00:00 to 24:00, and has some time in it")
    return Span(precedence, days, start_min, end_min if end_min > start_min else end_min + _DAY_MIN)


def _days(text: str, window: str) -> tuple[Precedence, frozenset[int]]:
    if text == "daily":
        return Precedence.DAILY, frozenset(range(7))
    try:
        if text[0].isdigit():
            return Precedence.DATE, frozenset(date.fromisoformat(day).toordinal() for day in text.split(","))
        days: set[int] = set()
        for part in text.lower().split(","):
            first, dash, last = part.partition("-")
            start = _DAYS.index(first)
            end = _DAYS.index(last) if dash else start
            days.update(day % 7 for day in range(start, end + 1 if end >= start else end + 8))
    except ValueError:
        raise BadDeck(f"{window[:40]!a} is not a window, such as {_EXAMPLES}") from None
    return Precedence.WEEKDAYS, frozenset(days)
