"""What a leg tells its owner: the events of a call, the descriptions that they carry, and what its peer asks for."""

from __future__ import annotations

from dataclasses import dataclass

from sipshop.sip.message import Message, Uri
from sipshop.sip.replaces import Replaces
from sipshop.sip.transaction import ServerTransaction


@dataclass(frozen=True, slots=True)
class Content:
    """A body and its media type; bodies cross from leg to leg unread."""

    type: str
    data: bytes


def content_of(message: Message) -> Content | None:
    """The body of a message, or None where it has none."""
    return Content(message.get("content-type") or "application/sdp", message.body) if message.body else None


class Ask:
    """A request inside a dialog on its way through us; it is handed back to `reply` and to `relay`.

    One without a transaction is our own: nobody waits for its answer but us.
    """

    __slots__ = ("content", "method", "transaction")

    def __init__(self, method: str, content: Content | None, transaction: ServerTransaction | None = None) -> None:
        self.method = method
        self.content = content
        self.transaction = transaction

    @property
    def answered(self) -> bool:
        """Whether its final response was sent."""
        return self.transaction is None or self.transaction.final is not None

    @property
    def is_about_session(self) -> bool:
        """Whether it makes an offer, or asks for one."""
        return self.method == "INVITE" or (self.content is not None and self.method in {"UPDATE", "PRACK"})


# Nobody changes an event. They are not frozen because a frozen one costs three times as much to make, and each message
# makes one.


@dataclass(slots=True)
class Progressed:
    """The callee's side gave a provisional response (101 to 199; 100 only says that it is there).

    `is_offer`: `content` is an offer in a reliable response, and waits for the answer of `acknowledge_progress`.
    """

    status: int
    content: Content | None
    is_reliable: bool = False
    is_offer: bool = False


@dataclass(slots=True)
class Answered:
    """The callee answered, and waits for the ACK that `acknowledge` sends.

    `late_offer` means that `content` is an offer, to which that ACK carries the answer.
    """

    content: Content | None
    late_offer: bool


@dataclass(slots=True)
class Failed:
    """The callee's side refused, or never responded: then `status` is 408, or 503 for a broken transport.

    `reason` is the Reason header as it came (RFC 3326), `retry_after_s` what the peer asked for. Where there was no
    response, `why` is "timeout", or in a word what became of the connection.
    """

    status: int
    reason: str | None
    retry_after_s: int | None
    responded: bool
    why: str = ""


@dataclass(slots=True)
class Acknowledged:
    """The peer's ACK came; `ask` is the re-INVITE that it ends, None for the first INVITE."""

    content: Content | None
    ask: Ask | None


@dataclass(slots=True)
class ProgressAcknowledged:
    """The caller acknowledged a reliable provisional response that had our offer; `content` is its answer."""

    content: Content | None


@dataclass(slots=True)
class Cancelled:
    """The caller gave up before he was answered."""


@dataclass(slots=True)
class HungUp:
    """The peer sent BYE; `reason` is its Reason header."""

    reason: str | None


@dataclass(slots=True)
class Lost:
    """The peer is gone without a BYE: no ACK or PRACK came, or it answered 481 or 408, or nothing, inside the dialog.

    `alive_at_s` is its last sign of life, None where nobody watched for such signs.
    """

    why: str
    alive_at_s: float | None = None


@dataclass(slots=True)
class Asked:
    """The peer sent a request inside the dialog, to be answered by `reply`: re-INVITE, INFO, OPTIONS, an offer.

    An offer may come in UPDATE or PRACK, then too before the call is answered.
    """

    ask: Ask


@dataclass(slots=True)
class Withdrawn:
    """The peer cancelled its re-INVITE."""

    ask: Ask


@dataclass(slots=True)
class Replied:
    """The peer's final response to `relay`; `late_offer` as in `Answered`."""

    ask: Ask
    status: int
    content: Content | None
    late_offer: bool


@dataclass(slots=True)
class Referred:
    """The peer sent a REFER (RFC 3515), which `refer` accepts and `reply` refuses.

    It wants its other side to talk with `uri`, in the place of the dialog `replaces` where it names one.
    """

    ask: Ask
    uri: Uri
    replaces: Replaces | None


Event = (
    Progressed
    | Answered
    | Failed
    | Acknowledged
    | ProgressAcknowledged
    | Cancelled
    | HungUp
    | Lost
    | Asked
    | Withdrawn
    | Replied
    | Referred
)
