"""What a chaos run is to do: how many calls, and what befalls the server in each of its lives."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final, Self


class Weather(StrEnum):
    """What happens to the server in one life."""

    CALM = "killed at a random moment"
    EARLY = "killed while it starts and recovers"
    SETTLING = "killed between two statements of a settlement"
    FULL = "disk full (ENOSPC), then killed"
    BROKEN = "disk broken (EIO), then killed"
    READ_ONLY = "database read-only from its start, then killed"
    JUMPY = "wall clock jumps by an hour, then killed"


#: Of a full run, how often each weather comes; the rest is calm.
SHARES: Final[Mapping[Weather, int]] = {
    Weather.SETTLING: 30,
    Weather.EARLY: 12,
    Weather.JUMPY: 10,
    Weather.FULL: 6,
    Weather.BROKEN: 6,
    Weather.READ_ONLY: 4,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done: that many `calls` at once, and lives of the server, each of its weather.

    A life lasts `longest_s` at most after its start. The books are audited after every so many lives. `first_statement`
    is the one of a settlement that is died before first.
    """

    seed: int
    calls: int
    weathers: tuple[Weather, ...]
    longest_s: float
    audits_every: int
    first_statement: int = 1

    @property
    def opening(self) -> Decimal:
        """What an owner begins with: enough for every call of his to begin, and for little more."""
        return Decimal(self.calls) / 100

    @property
    def payment_micros(self) -> int:
        """What an owner pays at a time."""
        return self.calls * 4_000

    @classmethod
    def full(cls, seed: int, *, kills: int, calls: int) -> Self:
        """The run that `make chaos` makes."""
        dice = random.Random(seed)
        share = {weather: max(1, count * kills // 120) for weather, count in SHARES.items()}
        weathers = [weather for weather, count in share.items() for _ in range(count)]
        weathers += [Weather.CALM] * (kills - len(weathers))
        dice.shuffle(weathers)
        return cls(seed=seed, calls=calls, weathers=tuple(weathers[:kills]), longest_s=8.0, audits_every=10)

    @classmethod
    def short(cls, seed: int) -> Self:
        """5 kills and 20 calls: the run that the tests make."""
        dice = random.Random(seed)
        broken = dice.choice((Weather.FULL, Weather.BROKEN, Weather.READ_ONLY))
        return cls(
            seed=seed,
            calls=20,
            weathers=(Weather.JUMPY, Weather.SETTLING, Weather.SETTLING, Weather.EARLY, broken),
            longest_s=2.0,
            audits_every=5,
            first_statement=dice.randrange(1, 25),
        )
