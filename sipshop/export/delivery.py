"""What a target gets, and when: batches in order, each until it is taken, with pauses that grow while it fails.

The machine deals in numbers of the outbox, never in records: a batch that has to wait is read again when its time has
come, so a target that is dead for days costs the disk its rows and the memory nothing. Time is an argument, in seconds
that only go forward; chance is handed in.

A failure (no answer, a server in trouble, a wrong password) is the target's: the same batch is sent again, until it is
taken. A refusal is the batch's: it is halved until the record that is meant stands alone, and that one is parked after
a few tries, so that it does not keep the others waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum, auto
from typing import Final

#: Between two looks at an outbox in which nothing waits.
LOOK_S: Final = 1.0
#: Before the second try, and at most before any; half of it by chance, so that targets do not come back all at once.
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 300.0
#: A target that asks for time gets so much at most.
LONGEST_RETRY_AFTER_S: Final = 3600.0
#: How often a record is refused by itself before it is parked.
REFUSALS: Final = 3


class State(StrEnum):
    """What a delivery is at."""

    LOOKING = auto()
    SENDING = auto()
    KEEPING = auto()
    IDLE = auto()
    FAILING = auto()


@dataclass(frozen=True, slots=True)
class Batch:
    """The records from one number to another; `is_parked` says that it is one that was parked before."""

    first: int
    last: int
    is_parked: bool = False

    @property
    def count(self) -> int:
        """How many numbers that are."""
        return self.last - self.first + 1


# What a delivery hears.


@dataclass(frozen=True, slots=True)
class Found:
    """There is this to send, or nothing."""

    batch: Batch | None


@dataclass(frozen=True, slots=True)
class Taken:
    """The target has what it was sent."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The target has not got it this time, or the disk did not let us; `after_s` is how long we are asked to wait."""

    why: str
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Refused:
    """The target does not want what it was sent, and would not the next time."""

    why: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of the batch is on the disk."""


@dataclass(frozen=True, slots=True)
class Hurried:
    """Somebody wants it tried now."""


Input = Found | Taken | Failed | Refused | Kept | Hurried


# What it wants done.


@dataclass(frozen=True, slots=True)
class Look:
    """Find what comes next, so many records at most; `last` is where a batch ended that has to be repeated."""

    at_most: int
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """Give the target a batch."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Keep:
    """Make durable that a batch was taken."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Park:
    """Make durable that a record was refused."""

    batch: Batch
    why: str


Action = Look | Send | Keep | Park


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How a delivery does: failures in a row, what the last one was, and when the next try is (None: now)."""

    state: State = State.LOOKING
    failures: int = 0
    why: str = ""
    next_try_s: float | None = None


class Delivery:
    """The delivery to one target: `hear(input, now) -> actions`, `deadline`, `tick(now) -> actions`.

    `most` is how many records a batch has at most; `chance` gives numbers from 0 to 1.
    """

    def __init__(self, most: int, chance: Callable[[], float]) -> None:
        assert most >= 1, "a batch has a record"
        self._most = self._at_most = most
        self._chance = chance
        self._batch: Batch | None = None  # that is being sent, kept, or has to be sent again
        self._refusals = 0
        self.deadline: float | None = 0.0
        self.progress = Progress()

    def tick(self, now: float) -> list[Action]:
        """Do what is due."""
        if self.deadline is None or now < self.deadline:
            return []
        self.deadline = None
        return self._look()

    def hear(self, heard: Input, now: float) -> list[Action]:
        """Take note of what happened."""
        match self.progress.state, heard:
            case State.LOOKING, Found(batch):
                return self._found(batch, now)
            case State.SENDING, Taken():
                assert self._batch is not None
                return self._keep(Keep(self._batch))
            case State.SENDING, Refused(why):
                return self._refused(why, now)
            case State.KEEPING, Kept():
                self._batch, self._refusals = None, 0
                self._at_most = min(self._most, self._at_most * 2)
                self.progress = Progress()
                return self._look()
            case ((State.LOOKING | State.SENDING | State.KEEPING), Failed(why, after_s)):
                return self._failed(why, after_s, now)
            case ((State.IDLE | State.FAILING), Hurried()):
                self.deadline = now
                return self.tick(now)
            case _, Hurried():  # it is being tried
                return []
            case state, _:
                raise AssertionError(f"{heard!r} is not heard while {state}")

    def _look(self) -> list[Action]:
        again = self._batch
        self.progress = replace(self.progress, state=State.LOOKING, next_try_s=None)
        return [Look(self._at_most, None if again is None else again.last)]

    def _found(self, batch: Batch | None, now: float) -> list[Action]:
        if batch is None:
            self._batch, self._refusals = None, 0
            self.progress = Progress(state=State.IDLE)
            self.deadline = now + LOOK_S
            return []
        if self._batch is None or batch.first != self._batch.first:
            self._refusals = 0
        self._batch = batch
        self.progress = replace(self.progress, state=State.SENDING)
        return [Send(batch)]

    def _keep(self, action: Keep | Park) -> list[Action]:
        self.progress = replace(self.progress, state=State.KEEPING)
        return [action]

    def _refused(self, why: str, now: float) -> list[Action]:
        assert self._batch is not None, "something was sent"
        if self._batch.count > 1:
            self._at_most, self._batch = self._batch.count // 2, None
            return self._look()
        self._refusals += 1
        if self._refusals >= REFUSALS or self._batch.is_parked:
            return self._keep(Park(self._batch, why))
        return self._failed(why, 0.0, now)

    def _failed(self, why: str, after_s: float, now: float) -> list[Action]:
        failures = self.progress.failures + 1
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures - 1, 16))
        pause_s = pause_s / 2 + pause_s / 2 * self._chance()
        self.deadline = now + max(pause_s, min(after_s, LONGEST_RETRY_AFTER_S))
        self.progress = Progress(state=State.FAILING, failures=failures, why=why, next_try_s=self.deadline)
        return []
