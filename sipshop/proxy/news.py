"""What a call is told: what the switch has found out or wants, besides the events of the two legs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sipshop.proxy.admission import Cause
from sipshop.sip import events

#: The cause of an attempt at a trunk that is at its cap: no circuit is available (ITU-T Q.850).
NO_CIRCUIT_Q850: Final = 34


@dataclass(frozen=True, slots=True)
class Granted:
    """Every level can pay for so long a talk (milliseconds); None is without end."""

    talk_ms: int | None


@dataclass(frozen=True, slots=True)
class Extended:
    """Every level can pay for a longer talk than was granted: so long in all (milliseconds)."""

    talk_ms: int


@dataclass(frozen=True, slots=True)
class Blocked:
    """The trunk that was to be dialled cannot take this call; nothing was sent. `why` is for its attempt."""

    q850: int = NO_CIRCUIT_Q850
    detail: str = "no carrier has a free line"
    why: str = "full"


@dataclass(frozen=True, slots=True)
class Searching:
    """The addresses of the trunk that is to be dialled are looked up; nothing was sent yet."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An INVITE went to an address of the target; so many others are left to try if nothing comes of it."""

    others: int = 0


@dataclass(frozen=True, slots=True)
class Denied:
    """The call must not be made."""

    cause: Cause
    detail: str


@dataclass(frozen=True, slots=True)
class Written:
    """The answer is on disk, but the caller cannot have it yet; `Committed` comes when he can, `Lost` if he never can.

    A 2xx waits for the PRACK of a description that is on its way to him (RFC 3262 section 3), which has a limit of its
    own.
    """


@dataclass(frozen=True, slots=True)
class Committed:
    """The answer is durable, and the caller can have it."""


@dataclass(frozen=True, slots=True)
class NotCommitted:
    """The answer cannot be made durable."""

    why: str


@dataclass(frozen=True, slots=True)
class Cut:
    """End the call now: the operator wants it, or we stop."""

    detail: str


@dataclass(frozen=True, slots=True)
class Vanished:
    """Who talked was taken for gone; `alive_at_s` was his last sign of life, and BYE is on its way to him.

    Who is told of `Lost` instead is gone for certain.
    """

    why: str
    alive_at_s: float


@dataclass(frozen=True, slots=True)
class Proved:
    """Who was taken for gone has answered BYE, or never will: `lived` says that he knew of the call until then."""

    lived: bool


@dataclass(frozen=True, slots=True)
class TransferBegun:
    """The caller wants the callee to talk with somebody else, and that one is being called."""


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """That one cannot be had."""


@dataclass(frozen=True, slots=True)
class Transferred:
    """That one has answered: the caller is let go, and his leg from now on is the other call's."""


Heard = (
    Granted
    | Extended
    | Blocked
    | Searching
    | Sent
    | Denied
    | Written
    | Committed
    | NotCommitted
    | Cut
    | Vanished
    | Proved
    | TransferBegun
    | TransferFailed
    | Transferred
    | events.Event
)
