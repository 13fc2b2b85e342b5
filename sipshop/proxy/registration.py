"""Our registration with a carrier: the client's half of RFC 3261 section 10.2.

Refreshed well before it expires, tried again with growing patience (RFC 5626 section 4.5), at the next registrar where
one does not answer, and taken back in the end. The shell sends what `Send` says, answers challenges, and tells what
came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import auto
from typing import Final

from sipshop.sip.message import MalformedMessage, NameAddr, Response, Uri, is_number, parse_uri
from sipshop.sip.words import Word

#: RFC 5626 section 4.5: the wait after the first failure, doubled after each, and the longest.
BASE_WAIT_S: Final = 30.0
MOST_WAIT_S: Final = 1800.0
#: What a registrar may ask for as the least; beyond it he is not taken at his word.
LONGEST_EXPIRES_S: Final = 86_400
#: Before it expires a registration is refreshed by so much, or by a tenth of its time where that is more: a REGISTER
#: that meets silence needs 32 s to find out, and then there is another registrar to ask.
MARGIN_S: Final = 64
#: What an expiry of less than twice the margin is refreshed after, as a part of it.
_SHORT_PART: Final = 0.5


class State(Word):
    """Where our registration stands."""

    IDLE = auto()
    REGISTERING = auto()  # nothing is registered, a REGISTER is out
    REGISTERED = auto()
    REFRESHING = auto()  # registered, and a REGISTER is out
    WAITING = auto()  # it failed, and is tried again in a while
    UNREGISTERING = auto()
    ENDED = auto()


class Input(Word):
    """What it hears."""

    BEGIN = auto()
    ACCEPTED = auto()
    TOO_BRIEF = auto()  # 423, and what he wants is named
    FAILED = auto()  # this registrar; there is another
    FAILED_ALL = auto()
    REFUSED = auto()  # he knows us and does not want us, or our password is wrong
    ALARM = auto()
    END = auto()


class Action(Word):
    """What it does about it."""

    SEND = auto()
    SEND_NEXT = auto()  # to the next registrar
    SEND_END = auto()
    KEEP = auto()  # and set the alarm to the refresh
    WAIT = auto()
    WAIT_LONG = auto()


S, On, Do = State, Input, Action


def _asking(state: State) -> Mapping[tuple[State, Input], tuple[State, tuple[Action, ...]]]:
    """The rows of REGISTERING and REFRESHING: what differs is what was before."""
    return {
        (state, On.ACCEPTED): (S.REGISTERED, (Do.KEEP,)),
        (state, On.TOO_BRIEF): (state, (Do.SEND,)),
        (state, On.FAILED): (S.REGISTERING, (Do.SEND_NEXT,)),
        (state, On.FAILED_ALL): (S.WAITING, (Do.WAIT,)),
        (state, On.REFUSED): (S.WAITING, (Do.WAIT_LONG,)),
        (state, On.END): (S.UNREGISTERING, (Do.SEND_END,)),
    }


REGISTRATION: Final[Mapping[tuple[State, Input], tuple[State, tuple[Action, ...]]]] = {
    (S.IDLE, On.BEGIN): (S.REGISTERING, (Do.SEND,)),
    (S.IDLE, On.END): (S.ENDED, ()),
    **_asking(S.REGISTERING),
    **_asking(S.REFRESHING),
    (S.REGISTERED, On.ALARM): (S.REFRESHING, (Do.SEND,)),
    (S.REGISTERED, On.BEGIN): (S.REFRESHING, (Do.SEND,)),
    (S.REGISTERED, On.END): (S.UNREGISTERING, (Do.SEND_END,)),
    (S.WAITING, On.ALARM): (S.REGISTERING, (Do.SEND,)),
    (S.WAITING, On.BEGIN): (S.REGISTERING, (Do.SEND,)),
    (S.WAITING, On.END): (S.ENDED, ()),
    (S.UNREGISTERING, On.ACCEPTED): (S.ENDED, ()),
    (S.UNREGISTERING, On.TOO_BRIEF): (S.ENDED, ()),
    (S.UNREGISTERING, On.FAILED): (S.ENDED, ()),
    (S.UNREGISTERING, On.FAILED_ALL): (S.ENDED, ()),
    (S.UNREGISTERING, On.REFUSED): (S.ENDED, ()),
}


# What a registration hears; `number` is that of the `Send` that it answers, and an answer to an older one is dropped.


@dataclass(frozen=True, slots=True)
class Accepted:
    """200: the registrar keeps our binding for so long."""

    number: int
    expires_s: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """Any other final response, after our password where he asked for it."""

    number: int
    status: int
    min_expires_s: int | None = None
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Nothing came, or the registrar cannot be reached."""

    number: int


Heard = Accepted | Rejected | Unanswered


@dataclass(frozen=True, slots=True)
class Send:
    """Send a REGISTER to the registrar of that place in the list; 0 seconds take the binding back."""

    number: int
    registrar: int
    expires_s: int


class Registration:
    """One registration; `registrars` is how many there are. `pick(n)` draws a whole number below n.

    `expires_at_s` is how long the carrier knows us, None where he does not; `last_status` his last answer, 408 where
    there was none.
    """

    __slots__ = (
        *("_alarm_s", "_failures", "_number", "_pick", "_raised", "_registrars", "_retry_after_s", "_tried"),
        "_wanted_s",
        *("expires_at_s", "last_status", "registrar", "since_s", "state"),
    )

    def __init__(self, expires_s: int, registrars: int, pick: Callable[[int], int], now: float) -> None:
        assert registrars > 0, "somebody to register with"
        self.state = State.IDLE
        self.since_s = now
        self.registrar = 0
        self.last_status: int | None = None
        self.expires_at_s: float | None = None
        self._pick = pick
        self._registrars = registrars
        self._wanted_s = expires_s
        self._number = 0
        self._tried = 0  # registrars that failed in a row
        self._failures = 0  # of all of them, in a row
        self._raised = False  # what is asked for, since the last success or wait
        self._retry_after_s = 0
        self._alarm_s: float | None = None

    @property
    def deadline(self) -> float | None:
        """When `tick` is wanted next, or None."""
        return self._alarm_s

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to do or to hear."""
        return self.state is State.ENDED

    def is_registered(self, now: float) -> bool:
        """Whether the carrier knows us: still, while a refresh is under way or has failed."""
        return self.expires_at_s is not None and now < self.expires_at_s

    def begin(self, now: float) -> list[Send]:
        """Register, or refresh at once."""
        return self._step(Input.BEGIN, now)

    def end(self, now: float) -> list[Send]:
        """Take the binding back, where there may be one."""
        return self._step(Input.END, now)

    def tick(self, now: float) -> list[Send]:
        """Say what to do because time has passed."""
        if self._alarm_s is None or now < self._alarm_s:
            return []
        self._alarm_s = None
        return self._step(Input.ALARM, now)

    def hear(self, happened: Heard, now: float) -> list[Send]:
        """Take what came of a REGISTER and say what to do."""
        if happened.number != self._number:
            return []
        if self.state is State.UNREGISTERING:
            self.expires_at_s = None
        match happened:
            case Accepted(expires_s=expires_s):
                self.last_status = 200
                if expires_s > 0 and self.state is not State.UNREGISTERING:
                    self.expires_at_s = now + expires_s
                    return self._step(Input.ACCEPTED, now)
                return self._step(Input.ACCEPTED if self.state is State.UNREGISTERING else self._failed(), now)
            case Rejected(status=status, min_expires_s=min_expires_s, retry_after_s=retry_after_s):
                self.last_status = status
                self._retry_after_s = retry_after_s or 0
                return self._step(self._sort(status, min_expires_s), now)
            case Unanswered():
                self.last_status = 408
                return self._step(self._failed(), now)

    def _sort(self, status: int, min_expires_s: int | None) -> Input:
        if status == 423 and not self._raised and self._wanted_s < (min_expires_s or 0) <= LONGEST_EXPIRES_S:
            assert min_expires_s is not None, "more than we asked for"
            self._wanted_s, self._raised = min_expires_s, True
            return Input.TOO_BRIEF
        if status == 408 or status < 400 or 500 <= status < 600:
            return self._failed()
        return Input.REFUSED

    def _failed(self) -> Input:
        self._tried += 1
        return Input.FAILED if self._tried < self._registrars else Input.FAILED_ALL

    def _step(self, happened: Input, now: float) -> list[Send]:
        step = REGISTRATION.get((self.state, happened))
        if step is None:
            return []
        state, actions = step
        if state is not self.state:
            self.state, self.since_s = state, now
        return [command for action in actions for command in self._do(action, now)]

    def _do(self, action: Action, now: float) -> list[Send]:
        match action:
            case Action.SEND_NEXT:
                self.registrar = (self.registrar + 1) % self._registrars
                return [self._send(self._wanted_s)]
            case Action.SEND:
                return [self._send(self._wanted_s)]
            case Action.SEND_END:
                return [self._send(0)]
            case Action.KEEP:
                self._tried = self._failures = 0
                self._raised = False
                assert self.expires_at_s is not None, "what is accepted expires"
                self._alarm_s = now + refresh_after_s(self.expires_at_s - now, self._pick)
            case Action.WAIT:
                self._failures += 1
                self._wait(wait_s(self._failures, self._pick), now)
            case Action.WAIT_LONG:
                self._wait(wait_s(64, self._pick), now)
        return []

    def _send(self, expires_s: int) -> Send:
        self._alarm_s = None
        self._number += 1
        return Send(self._number, self.registrar, expires_s)

    def _wait(self, seconds: float, now: float) -> None:
        """The next attempt begins with the next registrar: what failed last is asked last."""
        self.registrar = (self.registrar + 1) % self._registrars
        self._tried = 0
        self._raised = False
        self._alarm_s = now + max(seconds, min(self._retry_after_s, MOST_WAIT_S))
        self._retry_after_s = 0


def refresh_after_s(expires_s: float, pick: Callable[[int], int]) -> float:
    """When a registration is refreshed that was made now, up to a twentieth earlier than it has to be."""
    latest_s = min(expires_s - MARGIN_S, 0.9 * expires_s) if expires_s >= 2 * MARGIN_S else _SHORT_PART * expires_s
    return latest_s * (1 - pick(1000) / 20_000)


def wait_s(failures: int, pick: Callable[[int], int]) -> float:
    """How long to wait after so many failures in a row: half to all of a bound that doubles (RFC 5626 section 4.5)."""
    bound_s = min(MOST_WAIT_S, BASE_WAIT_S * 2.0 ** min(failures - 1, 16))
    return bound_s * (0.5 + pick(1001) / 2000)


def granted_s(response: Response, contact: Uri, asked_s: int) -> int:
    """How long a registrar's 200 keeps our binding; 0 where it lists bindings and ours is not among them.

    Ours is found by its URI as RFC 3261 section 19.1.4 compares them. What stands at the Contact goes before Expires,
    and where neither says anything he has taken what we asked for (section 10.2.4).
    """
    try:
        contacts: Sequence[NameAddr] = response.contacts
    except MalformedMessage:
        contacts = ()
    expires = response.get("expires") or ""
    default_s = int(expires) if is_number(expires, 9) else asked_s
    if not contacts:
        return default_s
    for address in contacts:
        if _is_same(address.uri, contact):
            own = address.params.get("expires") or ""
            return int(own) if is_number(own, 9) else default_s
    return 0


def _is_same(one: Uri, other: Uri) -> bool:
    """Whether two URIs name one place, as far as a registrar that changed their spelling can tell."""
    where = [(uri.user, uri.host.lower(), uri.port or 5060, uri.transport or "udp") for uri in (one, other)]
    return where[0] == where[1]


def contact_uri(contact: str) -> Uri:
    """The URI of a Contact value in angle brackets."""
    return parse_uri(contact[contact.index("<") + 1 : contact.index(">")])
