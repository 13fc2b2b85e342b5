"""Who may try a password now: pure, the time is an argument.

Wrong passwords are counted three ways. For a name from one source: after a few, one has to wait, each time longer. For
a name from all sources, and for a source with all names, which are many more: these wait too, but **never a name from a
source from which it has come in before**, so that whoever tries from outside, or at the next desk behind the same
address, does not lock out the shop.

Whether there is such a name plays no part in it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

#: So many are free, for a name from a source; for a name; for a source.
FREE_OF_PAIR: Final = 5
FREE_OF_NAME: Final = 30
FREE_OF_SOURCE: Final = 60
#: The first wait, which doubles with each further one, and the longest.
FIRST_WAIT_MS: Final = 5_000
LONGEST_WAIT_MS: Final = 900_000
#: What was wrong so long ago is forgotten.
FORGOTTEN_MS: Final = 3_600_000
#: So many names and sources are remembered; the oldest go first.
MOST: Final = 20_000

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Wrong:
    times: int
    at_ms: int


class Throttle:
    """What was tried lately; a name is tried with `""` for all sources, a source with `""` for all names."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[_Key, _Wrong] = OrderedDict()
        self._trusted: OrderedDict[_Key, None] = OrderedDict()

    def wait_ms(self, name: str, source: str, now_ms: int) -> int:
        """How long nobody may try this name from this source; 0: now."""
        waits = [self._wait_ms((name, source), FREE_OF_PAIR, now_ms)]
        if (name, source) not in self._trusted:
            waits.append(self._wait_ms((name, ""), FREE_OF_NAME, now_ms))
            waits.append(self._wait_ms(("", source), FREE_OF_SOURCE, now_ms))
        return max(waits)

    def failed(self, name: str, source: str, now_ms: int) -> None:
        """It was the wrong password."""
        for key in ((name, source), (name, ""), ("", source)):
            before = self._wrong.pop(key, None)
            times = 1 if before is None or now_ms - before.at_ms > FORGOTTEN_MS else before.times + 1
            self._wrong[key] = _Wrong(times, now_ms)
        _shorten(self._wrong)

    def passed(self, name: str, source: str) -> None:
        """It was right, though it was counted as wrong before that was known; from now on the name is known here."""
        self._wrong.pop((name, source), None)
        for key in ((name, ""), ("", source)):
            wrong = self._wrong.get(key)
            if wrong is not None:
                self._wrong[key] = _Wrong(wrong.times - 1, wrong.at_ms)
        self._trusted.pop((name, source), None)
        self._trusted[name, source] = None
        _shorten(self._trusted)

    def _wait_ms(self, key: _Key, free: int, now_ms: int) -> int:
        wrong = self._wrong.get(key)
        if wrong is None or wrong.times < free:
            return 0
        wait_ms = min(FIRST_WAIT_MS << min(wrong.times - free, 20), LONGEST_WAIT_MS)
        return max(0, wrong.at_ms + wait_ms - now_ms)


def _shorten(table: OrderedDict[_Key, Any]) -> None:
    while len(table) > MOST:
        table.popitem(last=False)
