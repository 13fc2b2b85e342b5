"""A leg's pulse: whether the peer of its dialog still lives.

With a session timer (RFC 4028) either side refreshes the session in time: `Session`. `Probes` ask by OPTIONS, whoever
has no session timer and whoever's word alone is not enough. Both say what to send and when the peer is to be taken for
gone, and send nothing themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import auto
from typing import Any, ClassVar, Final

from sipshop.sip.session_timer import Terms
from sipshop.sip.timers import Timer, Timers
from sipshop.sip.words import Word

#: How long a probe waits for an answer as long as the peer has answered none (seconds). Short: what is said until he
#: is taken for gone is paid by nobody.
UNPROVEN_S: Final = 10


class State(Word):
    """How the peer is watched."""

    RESTING = auto()  # not at all: the dialog is not confirmed, or over
    UNPROVEN = auto()  # a probe is due soon: none was ever answered
    TRIED = auto()  # the first probe has no answer yet
    TRIED_AGAIN = auto()  # the first one never got any, and the second has none yet
    PROBING = auto()  # a probe is due some time
    AWAITING = auto()  # a probe has no answer yet
    DOUBTING = auto()  # it never got any, and the next has none yet
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
    HEARD = auto()  # a request or an ACK of the peer
    ANSWERED = auto()  # a probe, by whatever status
    REFUSED = auto()  # a refresh, for the moment
    STOP = auto()


class Action(Word):
    """What is done about it."""

    SEND_PROBE = auto()
    SEND_REFRESH = auto()
    WAIT = auto()  # for the next probe
    WAIT_BRIEFLY = auto()
    WAIT_FOR_REFRESH = auto()
    WAIT_TO_RETRY = auto()
    WAIT_FOR_END = auto()
    STOP = auto()
    TELL_GONE = auto()


S, On, Do = State, Input, Action
Table = Mapping[tuple[State, Input], tuple[State, tuple[Action, ...]]]

_PROVED: Final = (S.PROBING, (Do.STOP, Do.WAIT))

#: A sign of life that is no answer to a probe keeps a call for a while; only an answer proves that he answers.
PROBES: Final[Table] = {
    (S.RESTING, On.PROBE): (S.UNPROVEN, (Do.WAIT,)),
    (S.UNPROVEN, On.DUE): (S.TRIED, (Do.SEND_PROBE, Do.WAIT_BRIEFLY)),
    (S.UNPROVEN, On.ANSWERED): _PROVED,
    (S.UNPROVEN, On.STOP): (S.RESTING, (Do.STOP,)),
    (S.TRIED, On.HEARD): (S.UNPROVEN, ()),
    (S.TRIED, On.ANSWERED): _PROVED,
    (S.TRIED, On.DUE): (S.TRIED_AGAIN, (Do.SEND_PROBE, Do.WAIT_BRIEFLY)),
    (S.TRIED, On.STOP): (S.RESTING, (Do.STOP,)),
    (S.TRIED_AGAIN, On.HEARD): (S.UNPROVEN, ()),
    (S.TRIED_AGAIN, On.ANSWERED): _PROVED,
    (S.TRIED_AGAIN, On.DUE): (S.RESTING, (Do.STOP, Do.TELL_GONE)),
    (S.TRIED_AGAIN, On.STOP): (S.RESTING, (Do.STOP,)),
    (S.PROBING, On.DUE): (S.AWAITING, (Do.SEND_PROBE, Do.WAIT)),
    (S.PROBING, On.STOP): (S.RESTING, (Do.STOP,)),
    (S.AWAITING, On.HEARD): (S.PROBING, ()),
    (S.AWAITING, On.ANSWERED): (S.PROBING, ()),
    (S.AWAITING, On.DUE): (S.DOUBTING, (Do.SEND_PROBE, Do.WAIT)),
    (S.AWAITING, On.STOP): (S.RESTING, (Do.STOP,)),
    (S.DOUBTING, On.HEARD): (S.PROBING, ()),
    (S.DOUBTING, On.ANSWERED): (S.PROBING, ()),
    (S.DOUBTING, On.DUE): (S.RESTING, (Do.STOP, Do.TELL_GONE)),
    (S.DOUBTING, On.STOP): (S.RESTING, (Do.STOP,)),
}


def _agreed(state: State) -> Table:
    """Terms may be agreed on in every state, and it may be over in every state."""
    return {
        (state, On.WE_REFRESH): (S.REFRESHING, (Do.STOP, Do.WAIT_FOR_REFRESH, Do.WAIT_FOR_END)),
        (state, On.THEY_REFRESH): (S.EXPECTING, (Do.STOP, Do.WAIT_FOR_END)),
        (state, On.STOP): (S.RESTING, (Do.STOP,)),
    }


SESSION: Final[Table] = {
    **_agreed(S.RESTING),
    **_agreed(S.REFRESHING),
    **_agreed(S.REFRESHED),
    **_agreed(S.EXPECTING),
    (S.REFRESHING, On.DUE): (S.REFRESHED, (Do.SEND_REFRESH,)),
    (S.REFRESHING, On.EXPIRED): (S.RESTING, (Do.STOP, Do.TELL_GONE)),
    (S.REFRESHED, On.REFUSED): (S.REFRESHING, (Do.WAIT_TO_RETRY,)),
    (S.REFRESHED, On.EXPIRED): (S.RESTING, (Do.STOP, Do.TELL_GONE)),
    (S.EXPECTING, On.EXPIRED): (S.RESTING, (Do.STOP, Do.TELL_GONE)),
}


class _Watch:
    """One table at work; `send` and `gone` are what it has done by its owner."""

    __slots__ = ("_due", "_end", "_gone", "_send_by", "_timers", "state")
    table: ClassVar[Table] = {}
    _deeds: ClassVar[Mapping[Action, Callable[[Any, float], None]]] = {}

    def __init__(self, timers: Timers, send: Callable[[float], None], gone: Callable[[float], None]) -> None:
        self.state = State.RESTING
        self._timers = timers
        self._send_by = send
        self._gone = gone
        self._due: Timer | None = None
        self._end: Timer | None = None

    def hear(self, happened: Input, now: float) -> None:
        """Take one step of the table; what has no step comes too late."""
        step = self.table.get((self.state, happened))
        if step is None:
            return
        self.state, actions = step
        for action in actions:
            self._deeds[action](self, now)

    def _hear_due(self, now: float) -> None:
        self.hear(Input.DUE, now)

    def _stop(self, _now: float) -> None:
        for timer in (self._due, self._end):
            if timer is not None:
                timer.stop()
        self._due = self._end = None

    def _send(self, now: float) -> None:
        self._send_by(now)

    def _tell_gone(self, now: float) -> None:
        self._gone(now)


class Probes(_Watch):
    """Asks a peer every `probe_s` whether he is there, and more often until he has answered once.

    `send` sends an OPTIONS; `gone` hears that two of them had no answer.
    """

    __slots__ = ("_probe_s",)
    table = PROBES

    def __init__(
        self, timers: Timers, probe_s: int, *, send: Callable[[float], None], gone: Callable[[float], None]
    ) -> None:
        super().__init__(timers, send, gone)
        self._probe_s = probe_s

    # half a second more or less is no matter, and each call has two of these

    def _wait(self, now: float) -> None:
        self._due = self._timers.start_lazily(now + self._probe_s, self._hear_due)

    def _wait_briefly(self, now: float) -> None:
        self._due = self._timers.start_lazily(now + min(UNPROVEN_S, self._probe_s), self._hear_due)

    _deeds: ClassVar[Mapping[Action, Callable[[Any, float], None]]] = {
        Do.SEND_PROBE: _Watch._send,
        Do.WAIT: _wait,
        Do.WAIT_BRIEFLY: _wait_briefly,
        Do.STOP: _Watch._stop,
        Do.TELL_GONE: _Watch._tell_gone,
    }


class Session(_Watch):
    """Keeps a session timer: `send` refreshes the session, `retry_s` says how long to wait after a refusal."""

    __slots__ = ("_retry_s", "_terms")
    table = SESSION

    def __init__(
        self,
        timers: Timers,
        *,
        send: Callable[[float], None],
        gone: Callable[[float], None],
        retry_s: Callable[[], float],
    ) -> None:
        super().__init__(timers, send, gone)
        self._retry_s = retry_s
        self._terms: Terms | None = None

    def keep(self, terms: Terms | None, now: float) -> None:
        """Keep these terms from now on: they were agreed on, or confirmed, at this moment."""
        self._terms = terms
        if terms is None:
            self.hear(Input.STOP, now)
        else:
            self.hear(Input.WE_REFRESH if terms.we_refresh else Input.THEY_REFRESH, now)

    def _wait_for_refresh(self, now: float) -> None:
        assert self._terms is not None, "it was agreed on"
        self._due = self._timers.start(now + self._terms.refresh_after_s, self._hear_due)

    def _wait_to_retry(self, now: float) -> None:
        self._due = self._timers.start(now + self._retry_s(), self._hear_due)

    def _wait_for_end(self, now: float) -> None:
        assert self._terms is not None, "it was agreed on"
        self._end = self._timers.start(now + self._terms.end_after_s, lambda at_s: self.hear(Input.EXPIRED, at_s))

    _deeds: ClassVar[Mapping[Action, Callable[[Any, float], None]]] = {
        Do.SEND_REFRESH: _Watch._send,
        Do.WAIT_FOR_REFRESH: _wait_for_refresh,
        Do.WAIT_TO_RETRY: _wait_to_retry,
        Do.WAIT_FOR_END: _wait_for_end,
        Do.STOP: _Watch._stop,
        Do.TELL_GONE: _Watch._tell_gone,
    }
