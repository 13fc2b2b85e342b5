"""A leg's pulse: whether the peer of its dialog still lives.

With a session timer (RFC 4028) either side refreshes the session in time; without one we probe by OPTIONS. It says what
to send and when the peer is to be taken for gone, and sends nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import auto
from typing import Any, ClassVar, Final

from sipshop.sip.session_timer import Terms
from sipshop.sip.timers import Timer, Timers
from sipshop.sip.words import Word


class State(Word):
    """How the peer is watched."""

    RESTING = auto()  # not at all: the dialog is not confirmed, or over
    PROBING = auto()  # a probe is due some time
    AWAITING = auto()  # a probe has no answer yet
    DOUBTING = auto()  # the first one never got any, and the second has none yet
    REFRESHING = auto()  # we refresh the session, some time
    REFRESHED = auto()  # our refresh has no answer yet
    EXPECTING = auto()  # the peer refreshes the session


class Input(Word):
    """What happens to it."""

    PROBE = auto()  # from now on, every so often
    WE_REFRESH = auto()  # terms were agreed on, or agreed on anew
    THEY_REFRESH = auto()
    DUE = auto()
    EXPIRED = auto()
    ANSWERED = auto()  # a probe, by whatever status
    REFUSED = auto()  # a refresh, for the moment
    STOP = auto()


class Action(Word):
    """What is done about it."""

    SEND_PROBE = auto()
    SEND_REFRESH = auto()
    WAIT = auto()  # for the next probe
    WAIT_FOR_REFRESH = auto()
    WAIT_TO_RETRY = auto()
    WAIT_FOR_END = auto()
    STOP = auto()
    TELL_GONE = auto()


S, On, Do = State, Input, Action
Table = Mapping[tuple[State, Input], tuple[State, tuple[Action, ...]]]


def _agreed(state: State) -> Table:
    """Terms may be agreed on in every state, and it may be over in every state."""
    return {
        (state, On.WE_REFRESH): (S.REFRESHING, (Do.STOP, Do.WAIT_FOR_REFRESH, Do.WAIT_FOR_END)),
        (state, On.THEY_REFRESH): (S.EXPECTING, (Do.STOP, Do.WAIT_FOR_END)),
        (state, On.STOP): (S.RESTING, (Do.STOP,)),
    }


PULSE: Final[Table] = {
    **{pair: step for state in State for pair, step in _agreed(state).items()},
    (S.RESTING, On.PROBE): (S.PROBING, (Do.WAIT,)),
    (S.REFRESHING, On.PROBE): (S.PROBING, (Do.STOP, Do.WAIT)),  # the peer wants no session timer any more
    (S.REFRESHED, On.PROBE): (S.PROBING, (Do.STOP, Do.WAIT)),
    (S.EXPECTING, On.PROBE): (S.PROBING, (Do.STOP, Do.WAIT)),
    (S.PROBING, On.DUE): (S.AWAITING, (Do.SEND_PROBE, Do.WAIT)),
    (S.AWAITING, On.ANSWERED): (S.PROBING, ()),
    (S.AWAITING, On.DUE): (S.DOUBTING, (Do.SEND_PROBE, Do.WAIT)),
    (S.DOUBTING, On.ANSWERED): (S.PROBING, ()),
    (S.DOUBTING, On.DUE): (S.RESTING, (Do.STOP, Do.TELL_GONE)),
    (S.REFRESHING, On.DUE): (S.REFRESHED, (Do.SEND_REFRESH,)),
    (S.REFRESHING, On.EXPIRED): (S.RESTING, (Do.STOP, Do.TELL_GONE)),
    (S.REFRESHED, On.REFUSED): (S.REFRESHING, (Do.WAIT_TO_RETRY,)),
    (S.REFRESHED, On.EXPIRED): (S.RESTING, (Do.STOP, Do.TELL_GONE)),
    (S.EXPECTING, On.EXPIRED): (S.RESTING, (Do.STOP, Do.TELL_GONE)),
}


class Pulse:
    """The watch over one peer.

    `probe_s` is the time between two probes, 0 for none. `probe`, `refresh` and `gone` are what the table has done by
    its owner; `retry_s` says how long to wait after a refusal.
    """

    __slots__ = ("_due", "_end", "_gone", "_probe", "_probe_s", "_refresh", "_retry_s", "_terms", "_timers", "state")

    def __init__(
        self,
        timers: Timers,
        probe_s: int,
        *,
        probe: Callable[[float], None],
        refresh: Callable[[float], None],
        gone: Callable[[float], None],
        retry_s: Callable[[], float],
    ) -> None:
        self.state = State.RESTING
        self._timers = timers
        self._probe_s = probe_s
        self._probe = probe
        self._refresh = refresh
        self._gone = gone
        self._retry_s = retry_s
        self._terms: Terms | None = None
        self._due: Timer | None = None
        self._end: Timer | None = None

    def watch(self, terms: Terms | None, now: float) -> None:
        """Watch by these terms from now on: they were agreed on, or confirmed, at this moment."""
        self._terms = terms
        if terms is not None:
            self.hear(Input.WE_REFRESH if terms.we_refresh else Input.THEY_REFRESH, now)
        elif self._probe_s:
            self.hear(Input.PROBE, now)
        else:
            self.hear(Input.STOP, now)

    def hear(self, happened: Input, now: float) -> None:
        """Take one step of the table; what has no step comes too late."""
        step = PULSE.get((self.state, happened))
        if step is None:
            return
        self.state, actions = step
        for action in actions:
            self._deeds[action](self, now)

    def _stop(self, _now: float) -> None:
        for timer in (self._due, self._end):
            if timer is not None:
                timer.stop()
        self._due = self._end = None

    def _wait(self, now: float) -> None:
        # half a second more or less is no matter, and each call has two of these
        self._due = self._timers.start_lazily(now + self._probe_s, lambda at_s: self.hear(Input.DUE, at_s))

    def _wait_for_refresh(self, now: float) -> None:
        assert self._terms is not None, "it was agreed on"
        self._due = self._timers.start(now + self._terms.refresh_after_s, lambda at_s: self.hear(Input.DUE, at_s))

    def _wait_to_retry(self, now: float) -> None:
        self._due = self._timers.start(now + self._retry_s(), lambda at_s: self.hear(Input.DUE, at_s))

    def _wait_for_end(self, now: float) -> None:
        assert self._terms is not None, "it was agreed on"
        self._end = self._timers.start(now + self._terms.end_after_s, lambda at_s: self.hear(Input.EXPIRED, at_s))

    def _send_probe(self, now: float) -> None:
        self._probe(now)

    def _send_refresh(self, now: float) -> None:
        self._refresh(now)

    def _tell_gone(self, now: float) -> None:
        self._gone(now)

    _deeds: ClassVar[Mapping[Action, Callable[[Any, float], None]]] = {
        Do.SEND_PROBE: _send_probe,
        Do.SEND_REFRESH: _send_refresh,
        Do.WAIT: _wait,
        Do.WAIT_FOR_REFRESH: _wait_for_refresh,
        Do.WAIT_TO_RETRY: _wait_to_retry,
        Do.WAIT_FOR_END: _wait_for_end,
        Do.STOP: _stop,
        Do.TELL_GONE: _tell_gone,
    }
