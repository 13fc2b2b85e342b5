"""Whether a carrier can be called: OPTIONS now and then, and a circuit breaker with its half-open state.

A carrier is UP until so many questions in a row were missed: calls and probes alike, no answer, 408, or a 502, 503 or
504. Then he is DOWN and left alone for a while. After that he is HALF_OPEN: one call, or one OPTIONS, may try him, and
what comes of it decides. Any other answer means that somebody is there, a 404 too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Final

from sipshop.proxy.trunk import Probing
from sipshop.sip.words import Word

#: Answers that count as none: timeouts, and servers that are not there or cannot work.
MISSED: Final = frozenset({408, 502, 503, 504})
#: A Retry-After beyond this is taken for this: a slip of the carrier's must not close a trunk for a day.
LONGEST_RETRY_AFTER_S: Final = 600


class State(Word):
    """What is known of a carrier."""

    UP = auto()
    DOWN = auto()
    HALF_OPEN = auto()


class Input(Word):
    """What is heard of a carrier."""

    ALIVE = auto()
    MISSED = auto()
    MISSED_OFTEN = auto()  # so many in a row that he is down
    TOLD_TO_WAIT = auto()  # by Retry-After
    RESTED = auto()


class Action(Word):
    """What is done about it."""

    REST = auto()  # leave him alone for a while
    PROBE = auto()


S, On, Do = State, Input, Action

HEALTH: Final[Mapping[tuple[State, Input], tuple[State, tuple[Action, ...]]]] = {
    (S.UP, On.ALIVE): (S.UP, ()),
    (S.UP, On.MISSED): (S.UP, ()),
    (S.UP, On.MISSED_OFTEN): (S.DOWN, (Do.REST,)),
    (S.UP, On.TOLD_TO_WAIT): (S.DOWN, (Do.REST,)),
    (S.DOWN, On.ALIVE): (S.UP, ()),  # he calls us, or took an emergency call
    (S.DOWN, On.TOLD_TO_WAIT): (S.DOWN, (Do.REST,)),
    (S.DOWN, On.RESTED): (S.HALF_OPEN, (Do.PROBE,)),
    (S.HALF_OPEN, On.ALIVE): (S.UP, ()),
    (S.HALF_OPEN, On.MISSED): (S.DOWN, (Do.REST,)),
    (S.HALF_OPEN, On.MISSED_OFTEN): (S.DOWN, (Do.REST,)),
    (S.HALF_OPEN, On.TOLD_TO_WAIT): (S.DOWN, (Do.REST,)),
}


class Standing(IntEnum):
    """When a call tries a trunk, for its health."""

    FIRST = 0  # in the order of its route
    LAST = 1  # after those that are up
    NOT = 2  # not at all: the carrier asked to be left alone (RFC 3261 section 21.5.4); an emergency call does


# What a carrier's health hears.


@dataclass(frozen=True, slots=True)
class Tried:
    """A call tries him now."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A call that tried him is over, and says nothing of him."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A response came, to a call or to a probe; `rtt_s` is how long a probe was away."""

    status: int
    retry_after_s: int | None = None
    rtt_s: float | None = None


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing came, to a call or to a probe, or he cannot be reached at all."""


Heard = Tried | Withdrawn | Answered | Silent


@dataclass(frozen=True, slots=True)
class Probe:
    """Send him an OPTIONS."""


class Health:
    """One carrier's. `pick(n)` draws a whole number below n: carriers are not all probed in one instant."""

    __slots__ = (
        *("_misses", "_pick", "_probe_at_s", "_rest_until_s", "_told_until_s", "_trying"),
        *("last_status", "probing", "rtt_s", "since_s", "state"),
    )

    def __init__(self, probing: Probing, pick: Callable[[int], int], now: float) -> None:
        self.probing = probing
        self.state = State.UP
        self.since_s = now
        self.last_status: int | None = None  # 408 where nothing came
        self.rtt_s: float | None = None
        self._pick = pick
        self._misses = 0
        self._trying = False  # half-open, and on trial
        self._rest_until_s: float | None = None
        self._told_until_s = now
        first_s = pick(max(1, probing.every_s * 1000)) / 1000
        self._probe_at_s = now + first_s if probing.every_s else None

    def change(self, probing: Probing, now: float) -> None:
        """Go on by other rules; what is known stays."""
        self.probing = probing
        self._probe_at_s = now if probing.every_s else None

    def standing(self, now: float) -> Standing:
        """When a call that begins now tries him."""
        if now < self._told_until_s:
            return Standing.NOT
        if self.state is State.UP or (self.state is State.HALF_OPEN and not self._trying):
            return Standing.FIRST
        return Standing.LAST

    @property
    def deadline(self) -> float | None:
        """When `tick` is wanted next, or None."""
        times = [at_s for at_s in (self._rest_until_s, self._probe_at_s) if at_s is not None]
        return min(times, default=None)

    def tick(self, now: float) -> list[Probe]:
        """Say what to do because time has passed."""
        if self._rest_until_s is not None and now >= self._rest_until_s:
            self._rest_until_s = None
            return self._step(Input.RESTED, now)
        if self._probe_at_s is not None and now >= self._probe_at_s:
            if self.state is State.DOWN:
                self._probe_at_s = None  # the rest ends with one
                return []
            return self._probe(now)
        return []

    def probe(self, now: float) -> list[Probe]:
        """Ask him now, because somebody wants to know."""
        return self._probe(now)

    def hear(self, happened: Heard, now: float) -> list[Probe]:
        """Take what happened and say what to do."""
        match happened:
            case Tried():
                self._trying = self.state is State.HALF_OPEN
                return []
            case Withdrawn():
                self._trying = False
                return []
            case Answered(status=status, retry_after_s=retry_after_s, rtt_s=rtt_s):
                self.last_status = status
                self.rtt_s = rtt_s if rtt_s is not None else self.rtt_s
                if status not in MISSED:
                    return self._alive(now)
                if status == 503 and retry_after_s:
                    self._told_until_s = now + min(retry_after_s, LONGEST_RETRY_AFTER_S)
                    return self._step(Input.TOLD_TO_WAIT, now)
                return self._miss(now)
            case Silent():
                self.last_status = 408
                return self._miss(now)

    def _alive(self, now: float) -> list[Probe]:
        self._misses = 0
        self._told_until_s = now
        return self._step(Input.ALIVE, now)

    def _miss(self, now: float) -> list[Probe]:
        self._misses += 1
        return self._step(Input.MISSED_OFTEN if self._misses >= self.probing.misses else Input.MISSED, now)

    def _step(self, happened: Input, now: float) -> list[Probe]:
        self._trying = False
        step = HEALTH.get((self.state, happened))
        if step is None:
            return []
        state, actions = step
        if state is not self.state:
            self.state, self.since_s = state, now
        if state is State.UP:
            self._rest_until_s = None
            if self._probe_at_s is None and self.probing.every_s:
                self._probe_at_s = now + self.probing.every_s
        return [command for action in actions for command in self._do(action, now)]

    def _do(self, action: Action, now: float) -> list[Probe]:
        if action is Action.REST:
            self._rest_until_s = max(now + self.probing.rest_s, self._told_until_s)
            self._probe_at_s = None
            return []
        return self._probe(now) if self.probing.every_s else []

    def _probe(self, now: float) -> list[Probe]:
        """One now, and the next when its time has come: a tenth earlier at most, so that they do not march in step."""
        self._trying = self.state is State.HALF_OPEN
        every_s = self.probing.every_s
        self._probe_at_s = now + every_s - self._pick(every_s * 100) / 1000 if every_s else None
        return [Probe()]
