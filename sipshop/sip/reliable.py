"""Reliable provisional responses, the callee's half (RFC 3262 section 3).

One at a time: each is repeated until its PRACK, and the next waits until then, so that they come in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from enum import auto
from typing import Any, ClassVar, Final

from sipshop.sip.message import Request, Response, is_number
from sipshop.sip.timers import GIVE_UP_S, T1_S, Timer, Timers
from sipshop.sip.words import Word

#: The highest first RSeq (section 3).
_HIGHEST_FIRST: Final = 2**31 - 1


class State(Word):
    """Where the responses to an INVITE stand."""

    FREE = auto()
    AWAITING = auto()  # the PRACK of the last one
    OVER = auto()


class Input(Word):
    """What happens to them."""

    SEND = auto()
    GOT_PRACK = auto()
    TIMER = auto()
    NO_PRACK = auto()
    FINAL = auto()  # the final response goes out


class Action(Word):
    """What is done about it."""

    SEND = auto()
    QUEUE = auto()
    REPEAT = auto()
    STOP = auto()
    SEND_NEXT = auto()
    TELL_LOST = auto()


S, On, Do = State, Input, Action
Table = Mapping[tuple[State, Input], tuple[State, tuple[Action, ...]]]

RELIABLE: Final[Table] = {
    (S.FREE, On.SEND): (S.AWAITING, (Do.SEND,)),
    (S.FREE, On.FINAL): (S.OVER, ()),
    (S.AWAITING, On.SEND): (S.AWAITING, (Do.QUEUE,)),
    (S.AWAITING, On.GOT_PRACK): (S.FREE, (Do.STOP, Do.SEND_NEXT)),
    (S.AWAITING, On.TIMER): (S.AWAITING, (Do.REPEAT,)),
    (S.AWAITING, On.NO_PRACK): (S.OVER, (Do.STOP, Do.TELL_LOST)),
    (S.AWAITING, On.FINAL): (S.OVER, (Do.STOP,)),
}


class Reliable:
    """The reliable provisional responses to one INVITE.

    `send` hands a response to the transaction, `lost` hears that nobody acknowledged one; `pick(n)` is a random number
    below n.
    """

    def __init__(
        self,
        timers: Timers,
        pick: Callable[[int], int],
        send: Callable[[Response, float], None],
        lost: Callable[[float], None],
    ) -> None:
        self.state = State.FREE
        self._timers = timers
        self._send_by = send
        self._lost = lost
        self._rseq = pick(_HIGHEST_FIRST)
        self._last: Response | None = None
        self._queue: deque[Response] = deque()
        self._timer: Timer | None = None
        self._wait_s = T1_S
        self._give_up_s = 0.0
        self._waiting: list[Callable[[float], None]] = []

    @property
    def holds_answer(self) -> bool:
        """Whether a 2xx has to wait: a description is on its way that nobody acknowledged (section 3)."""
        last = (self._last,) if self.state is State.AWAITING else ()
        return any(response is not None and response.body for response in (*last, *self._queue))

    def send(self, response: Response, now: float) -> None:
        """Send a provisional response other than 100, now or in its turn."""
        response.headers += [("require", "100rel")]
        self._hear(Input.SEND, now, response)

    def when_free(self, do: Callable[[float], None], now: float) -> None:
        """Do something as soon as nothing holds a 2xx back; never, if the PRACK does not come."""
        if self.holds_answer:
            self._waiting.append(do)
        else:
            do(now)

    def takes(self, prack: Request) -> bool:
        """Whether a PRACK is that of the response that is repeated (section 3)."""
        if self.state is not State.AWAITING or self._last is None:
            return False
        cseq, _ = self._last.cseq
        return _rack_of(prack) == (self._rseq, cseq, "INVITE")

    def acknowledge(self, now: float) -> None:
        """The PRACK that `takes` took has been answered: the next one may go."""
        self._hear(Input.GOT_PRACK, now)
        if not self.holds_answer:
            waiting, self._waiting = self._waiting, []
            for do in waiting:
                do(now)

    def finish(self, now: float) -> None:
        """The final response goes out: nothing is repeated any more."""
        self._waiting.clear()
        self._queue.clear()
        self._hear(Input.FINAL, now)

    def _hear(self, happened: Input, now: float, response: Response | None = None) -> None:
        step = RELIABLE.get((self.state, happened))
        if step is None:
            return
        self.state, actions = step
        for action in actions:
            self._deeds[action](self, response, now)

    def _send(self, response: Response, now: float) -> None:
        self._rseq += 1
        response.set("rseq", str(self._rseq))
        self._last = response
        self._wait_s, self._give_up_s = T1_S, now + GIVE_UP_S
        self._send_by(response, now)
        self._start(now)

    def _queue_up(self, response: Response, _now: float) -> None:
        """Have it wait. Of those that only say how it goes the newest is enough: a callee may say it without end."""
        if self._queue and not (self._queue[-1].body or response.body):
            self._queue.pop()
        self._queue.append(response)

    def _repeat(self, _response: None, now: float) -> None:
        assert self._last is not None, "what is repeated was sent"
        self._wait_s *= 2
        self._send_by(self._last, now)
        self._start(now)

    def _start(self, now: float) -> None:
        at_s = min(now + self._wait_s, self._give_up_s)
        happened = Input.NO_PRACK if at_s >= self._give_up_s else Input.TIMER
        self._timer = self._timers.start(at_s, lambda then: self._hear(happened, then))

    def _stop(self, _response: None, _now: float) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _send_next(self, _response: None, now: float) -> None:
        if self._queue:
            self._hear(Input.SEND, now, self._queue.popleft())

    def _tell_lost(self, _response: None, now: float) -> None:
        self._lost(now)

    _deeds: ClassVar[Mapping[Action, Callable[[Any, Any, float], None]]] = {
        Do.SEND: _send,
        Do.QUEUE: _queue_up,
        Do.REPEAT: _repeat,
        Do.STOP: _stop,
        Do.SEND_NEXT: _send_next,
        Do.TELL_LOST: _tell_lost,
    }


def rseq_of(response: Response) -> int | None:
    """The number of a reliable provisional response, or None where it is not one."""
    text = response.get("rseq")
    if text is None or response.status == 100 or not is_number(text, 10):
        return None
    if not any(tag.lower() == "100rel" for tag in response.all("require")):
        return None
    return int(text)


def _rack_of(prack: Request) -> tuple[int, int, str] | None:
    """RAck taken apart: RSeq, CSeq number and method of what it acknowledges (section 7.2)."""
    parts = (prack.get("rack") or "").split()
    if len(parts) != 3 or not is_number(parts[0], 10) or not is_number(parts[1], 10):
        return None
    return int(parts[0]), int(parts[1]), parts[2]
